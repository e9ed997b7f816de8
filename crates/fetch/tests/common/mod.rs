//! What the tests of reading share.

// Each test program uses its share of this.
#![allow(dead_code, unused_imports)]

pub(crate) mod client;
mod inputs;

pub(crate) use inputs::{at_end, position, reading, records};

use fetch::{Input, Reader, Reading};
use inputs::read_until;

/// The same with more properties.
pub(crate) fn with(mut reading: Reading, properties: &[(&str, &str)]) -> Reading {
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    reading.connection.properties.extend(properties);
    reading
}

/// Everything up to the first input that is looked for, and what came together with it.
pub(crate) fn until(reader: &mut Reader, found: impl FnMut(&Input) -> bool) -> Vec<Input> {
    read_until(reader, |reader, wait| reader.poll(wait), Reader::assign, found)
}
