//! Records go in, transitions come out: the run loop of a scenario, with time taken from the records alone.

use crate::text::Record;
use config::Settings;
use engine::state::{Change, Restored};
use engine::{Engine, Said, fill};
use model::record::Batch;
use model::{Time, Transition};
use std::collections::BTreeSet;

/// Steps from instant to instant of the records, and then to `until` and over it, so that what lies at that very
/// instant counts. A source without a record at an instant is said to be silent until then.
pub(crate) fn drive(settings: &Settings, records: &[Record], start: Time, until: Time) -> Vec<Transition> {
    let definitions = &settings.definitions;
    let (formats, library) = (settings.formats.clone().into(), settings.library.clone());
    let (mut engine, mut shards, _) = Engine::new(definitions.clone(), formats, library, 1, Restored::default());
    let mut instants: BTreeSet<Time> = records.iter().map(|record| record.time).collect();
    instants.extend([start, until]);
    let after = Time::from_nanos(until.nanos() + 1);
    let mut next_offsets = vec![0; definitions.sources.len()];
    let mut transitions = Vec::new();
    for instant in instants.into_iter().filter(|instant| *instant <= until).chain([after]) {
        let mut said = Vec::new();
        for (source, definition) in definitions.sources.iter().enumerate() {
            let mut batch = Batch::new(source, definition.name.clone(), 0, instant);
            for record in records.iter().filter(|it| it.time == instant && *it.source == *definition.name) {
                let value = Some(record.value.as_bytes());
                batch.push(next_offsets[source], Some(instant.millis()), false, None, value, []);
                next_offsets[source] += 1;
            }
            if batch.records.is_empty() {
                said.push(Said::Tick { source, frontier: instant });
                continue;
            }
            let shard = engine.admit(&mut shards, &batch);
            fill(&mut shards[shard], &batch);
        }
        while engine.advance(&mut shards, &std::mem::take(&mut said)).more {}
        let changes = engine.collect(&shards, 0);
        transitions.extend(changes.into_iter().filter_map(|change| match change {
            Change::Transition(transition) => Some(transition),
            _ => None,
        }));
    }
    transitions
}
