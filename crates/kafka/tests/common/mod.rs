//! What the tests of reading share.

use kafka::{Connection, Input, Message, Reader, Reading};
use model::definition::Start;
use std::borrow::Cow;
use std::time::{Duration, Instant};

pub(crate) fn connection(brokers: &str) -> Connection {
    Connection { brokers: brokers.to_owned(), properties: vec![] }
}

/// Looks for news five times a second, so that tests need not wait for them.
pub(crate) fn reading(brokers: &str, topics: &[&str], start: Start) -> Reading {
    let mut connection = connection(brokers);
    connection.properties.push(("topic.metadata.refresh.interval.ms".to_owned(), "200".to_owned()));
    let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
    Reading { source: 0, connection, topics, start, group: None }
}

pub(crate) fn message(key: &str, value: &str) -> Message<'static> {
    let bytes = |text: &str| Some(text.as_bytes().to_vec().into());
    Message { key: bytes(key), value: bytes(value), ..Message::default() }
}

/// Everything up to the first input that is looked for, and what came together with it. Partitions are read as
/// soon as they are found.
pub(crate) fn until(reader: &mut Reader, mut found: impl FnMut(&Input) -> bool) -> Vec<Input> {
    let deadline = Instant::now() + Duration::from_secs(40);
    let mut seen = Vec::new();
    while Instant::now() < deadline {
        let inputs = reader.poll(Duration::from_millis(200));
        let mut done = false;
        for input in inputs {
            if let Input::Found { topic, partition, start, .. } = &input {
                reader.assign(topic, *partition, *start);
            }
            done |= found(&input);
            seen.push(input);
        }
        if done {
            return seen;
        }
    }
    panic!("it did not come; this did: {seen:#?}")
}

/// The records in text: offset, key, value, headers.
pub(crate) fn records(inputs: &[Input]) -> Vec<String> {
    let mut lines = Vec::new();
    for input in inputs {
        let Input::Batch(batch) = input else { continue };
        for (place, index) in batch.records.iter().enumerate() {
            let record = batch.record(place);
            let mut line = format!("{} {}={}", index.offset, text(record.key), text(record.value));
            for (name, value) in record.headers() {
                line += &format!(" {}={}", String::from_utf8_lossy(name), text(value));
            }
            lines.push(line);
        }
    }
    lines
}

fn text(bytes: Option<&[u8]>) -> Cow<'_, str> {
    bytes.map_or("null".into(), String::from_utf8_lossy)
}
