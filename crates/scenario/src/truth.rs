//! What the oracle makes of records as they lay on Kafka and of the journal as it was committed: what an
//! engine must have said, whatever happened to it.

use codec::Decoded;
use config::Settings;
use engine::state::{Entry, PartitionKey};
use model::record::Batch;
use model::{Labels, Point};
use oracle::{Content, Item, Outcome};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Replays batches of records, which together hold each record once, and the journal of what the shell said.
///
/// # Panics
/// Where the journal names a source that the settings do not have, or goes further than its own clocks.
pub fn of(settings: &Settings, batches: &[Batch], journal: &[Entry]) -> Outcome {
    let mut decoded = Decoded::default();
    let mut records = Vec::new();
    for batch in batches {
        for place in 0..batch.records.len() {
            decoded.clear();
            settings.formats[batch.source].decode(&batch.topic, &batch.record(place), &mut decoded);
            let index = &batch.records[place];
            records.push(oracle::Record {
                source: batch.source,
                topic: batch.topic.clone(),
                partition: batch.partition,
                offset: index.offset,
                arrival_appended: index.appended.then(|| batch.arrival(place)),
                items: items(&decoded),
            });
        }
    }
    let sources = &settings.definitions.sources;
    let source = |name: &str| sources.iter().position(|known| *known.name == *name).expect("a known source");
    let journal: Vec<oracle::Entry> = journal.iter().map(|entry| told(entry, &source)).collect();
    oracle::run(&settings.definitions, &settings.library, &records, &journal)
}

/// What must lie on each topic that a stream is published to: of each point a line, as `point` writes it.
pub fn points(settings: &Settings, outcome: &Outcome) -> BTreeMap<Arc<str>, Vec<String>> {
    let definitions = &settings.definitions;
    let mut topics = BTreeMap::new();
    for (place, of) in definitions.publications.iter().enumerate() {
        let stream = &definitions.streams[of.stream].name;
        let line = |(labels, point): &(Labels, Point)| {
            let object: Value = labels.iter().map(|(name, value)| (name.to_string(), Value::from(&**value))).collect();
            let key = match labels.iter().next() {
                Some((_, value)) if labels.len() == 1 => value.to_string(),
                _ => object.to_string(),
            };
            let names = point.downsample.iter().map(ToString::to_string);
            let values: BTreeMap<String, f64> = names.zip(point.values.iter().copied()).collect();
            let Point { start, end, count, incomplete, .. } = point;
            let at = end.millis();
            format!("{key}: {stream} {object} {start} {end} {count} {values:?} {incomplete} at {at}")
        };
        let lines = outcome.published.get(&place).into_iter().flatten().map(line);
        topics.insert(of.topic.clone(), lines.collect());
    }
    topics
}

/// One message of such a topic as a line. What it lacks reads as nothing.
pub fn point(key: &[u8], value: &[u8], timestamp_ms: i64) -> String {
    let key = String::from_utf8_lossy(key);
    let value: Value = serde_json::from_slice(value).unwrap_or_default();
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let [stream, start, end] = ["stream", "start", "end"].map(text);
    let (labels, count) = (&value["labels"], &value["count"]);
    let values = value["values"].as_object().into_iter().flatten();
    let values: BTreeMap<&String, f64> = values.map(|(name, of)| (name, of.as_f64().unwrap_or(f64::NAN))).collect();
    let incomplete = value["incomplete"].as_bool().unwrap_or_default();
    format!("{key}: {stream} {labels} {start} {end} {count} {values:?} {incomplete} at {timestamp_ms}")
}

fn items(decoded: &Decoded) -> Vec<Item> {
    let samples = decoded.samples.iter().map(|sample| {
        let (name, labels) = codec::series(decoded.slice(&sample.series), |name| name.into());
        let kind = match sample.kind {
            codec::Kind::Gauge => oracle::Kind::Gauge,
            codec::Kind::Cumulative => oracle::Kind::Cumulative,
            codec::Kind::Delta => oracle::Kind::Delta,
        };
        Item { name, labels, time: sample.time, content: Content::Number { value: sample.value, kind } }
    });
    let events = decoded.events.iter().map(|event| {
        let (kind, labels) = codec::series(decoded.slice(&event.series), |name| name.into());
        let body = String::from_utf8_lossy(decoded.slice(&event.body)).as_ref().into();
        Item { name: kind.clone(), labels, time: event.time, content: Content::Event { body, kind } }
    });
    samples.chain(events).collect()
}

fn told(entry: &Entry, source: &impl Fn(&str) -> usize) -> oracle::Entry {
    match entry.clone() {
        Entry::Polled { partition: PartitionKey { source: of, topic, partition }, next_offset, at } => {
            oracle::Entry::Polled { source: source(&of), topic, partition, next_offset, at }
        }
        Entry::Active { partition: PartitionKey { source: of, topic, partition }, at_offset, floor } => {
            oracle::Entry::Active { source: source(&of), topic, partition, at_offset, floor }
        }
        Entry::Idle { partition: PartitionKey { source: of, topic, partition }, at_offset } => {
            oracle::Entry::Idle { source: source(&of), topic, partition, at_offset }
        }
        Entry::Tick { source: of, frontier } => oracle::Entry::Tick { source: source(&of), frontier },
        Entry::Advanced { agenda, place } => oracle::Entry::Advanced {
            agenda: agenda.iter().map(|of| source(of)).collect(),
            time: place.time,
            phase: place.phase,
        },
        Entry::Step => oracle::Entry::Step,
    }
}
