//! What the tests of reading and publishing share.

// Each test program uses its share of this.
#![allow(dead_code, unused_imports)]

// The same as for our own fetch path alone.
#[path = "../../../fetch/tests/common/inputs.rs"]
mod inputs;

pub(crate) use inputs::{at_end, reading, records};

use inputs::read_until;
use kafka::{Connection, Input, Message, Reader, Reading};
use model::definition::Fetch;

/// Checks both ways of reading. What fails shows which of them was the last to begin.
pub(crate) fn both(check: impl Fn(Fetch)) {
    for by in [Fetch::Own, Fetch::Librdkafka] {
        println!("read by: {by:?}");
        check(by);
    }
}

pub(crate) fn start(by: Fetch, reading: Reading, stored: Option<i64>) -> Reader {
    let stored = stored.map(|next_offset| inputs::position(&reading, next_offset));
    Reader::start(by, reading, stored.into_iter().collect()).expect("the settings are good")
}

/// Everything up to the first input that is looked for, and what came together with it.
pub(crate) fn until(reader: &mut Reader, found: impl FnMut(&Input) -> bool) -> Vec<Input> {
    read_until(reader, |reader, wait| reader.poll(wait), Reader::assign, found)
}

pub(crate) fn connection(brokers: &str) -> Connection {
    Connection { brokers: brokers.to_owned(), properties: vec![] }
}

pub(crate) fn message(key: &str, value: &str) -> Message<'static> {
    let bytes = |text: &str| Some(text.as_bytes().to_vec().into());
    Message { key: bytes(key), value: bytes(value), ..Message::default() }
}
