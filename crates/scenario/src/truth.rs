//! What the oracle makes of records as they lay on Kafka and of the journal as it was committed: what an
//! engine must have said, whatever happened to it.

use codec::Decoded;
use config::Settings;
use engine::state::{Entry, PartitionKey};
use model::record::Batch;
use oracle::{Content, Item, Outcome};

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

fn items(decoded: &Decoded) -> Vec<Item> {
    let samples = decoded.samples.iter().map(|sample| {
        let (name, labels) = codec::series(decoded.slice(&sample.series));
        let kind = match sample.kind {
            codec::Kind::Gauge => oracle::Kind::Gauge,
            codec::Kind::Cumulative => oracle::Kind::Cumulative,
            codec::Kind::Delta => oracle::Kind::Delta,
        };
        Item { name, labels, time: sample.time, content: Content::Number { value: sample.value, kind } }
    });
    let events = decoded.events.iter().map(|event| {
        let (kind, labels) = codec::series(decoded.slice(&event.series));
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
