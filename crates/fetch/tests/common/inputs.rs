//! What comes from a source, for the tests of whoever reads it.

use fetch::{Connection, Input, Position, Reading};
use model::definition::Start;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Looks for news five times a second, so that tests need not wait for them.
pub(crate) fn reading(brokers: &str, topics: &[&str], start: Start) -> Reading {
    let properties = vec![("topic.metadata.refresh.interval.ms".to_owned(), "200".to_owned())];
    let connection = Connection { brokers: brokers.to_owned(), properties };
    let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
    Reading { source: 0, connection, topics, start, group: None }
}

/// A stored position of the first partition, by a client that tells no ids.
pub(crate) fn position(reading: &Reading, next_offset: i64) -> Position {
    Position { topic: reading.topics[0].as_str().into(), partition: 0, next_offset, topic_id: None }
}

/// Everything up to the first input that is looked for, and what came together with it. Partitions are read as
/// soon as they are found.
pub(crate) fn read_until<R>(
    reader: &mut R,
    poll: impl Fn(&mut R, Duration) -> Vec<Input>,
    assign: impl Fn(&R, &Arc<str>, i32, i64),
    mut found: impl FnMut(&Input) -> bool,
) -> Vec<Input> {
    let deadline = Instant::now() + Duration::from_secs(40);
    let mut seen = Vec::new();
    while Instant::now() < deadline {
        let mut done = false;
        for input in poll(reader, Duration::from_millis(200)) {
            if let Input::Found { topic, partition, start, .. } = &input {
                assign(reader, topic, *partition, *start);
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

/// Looks for the end of any partition at an offset.
pub(crate) fn at_end(offset: i64) -> impl FnMut(&Input) -> bool {
    move |input| matches!(input, Input::AtEnd { next_offset, .. } if *next_offset == offset)
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
