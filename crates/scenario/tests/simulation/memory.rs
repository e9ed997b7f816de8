//! A store in memory: what commits leave behind, and what a start gets back.

use engine::state::{Change, Entry, Messages, PartitionKey, Restored};
use model::{Element, Labels, Time, Transition};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that was committed.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    sources: BTreeMap<Arc<str>, engine::state::SourceRecord>,
    partitions: BTreeMap<PartitionKey, engine::state::PartitionRecord>,
    agendas: BTreeMap<Vec<Arc<str>>, engine::state::AgendaRecord>,
    instances: BTreeMap<(u64, Labels), engine::state::InstanceRecord>,
    checks: BTreeMap<engine::state::CheckKey, engine::state::CheckRecord>,
    times: BTreeMap<(engine::state::Column, u32), Vec<Time>>,
    elements: BTreeMap<Element, engine::state::ElementRecord>,
    blocks: BTreeMap<u64, engine::state::BlockRecord>,
    baselines: BTreeMap<u64, engine::state::BaselineHead>,
    baseline_instances: BTreeMap<(u64, Labels), engine::state::BaselineRecord>,
    columns: BTreeMap<(u64, Time), engine::state::ColumnRecord>,
    models: BTreeMap<(u64, u32), engine::state::ModelRecord>,
    journal: BTreeMap<u64, Entry>,
    trimmed: u64,
    sequence: u64,
    /// All transitions that were ever committed.
    pub(crate) transitions: Vec<Transition>,
    /// All points that were ever committed, by the number of their piece, with their topic.
    pub(crate) published: BTreeMap<u64, (Arc<str>, Messages)>,
}

impl Memory {
    /// Writes one commit.
    pub(crate) fn commit(&mut self, changes: Vec<Change>) {
        fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, record: Option<V>) {
            match record {
                Some(record) => map.insert(key, record),
                None => map.remove(&key),
            };
        }
        for change in changes {
            match change {
                Change::Source { name, record } => _ = self.sources.insert(name, record),
                Change::Partition { key, record } => _ = self.partitions.insert(key, record),
                Change::Agenda { sources, record } => _ = self.agendas.insert(sources, record),
                Change::Instance { feed, labels, record } => put(&mut self.instances, (feed, labels), record),
                Change::Check { key, record } => put(&mut self.checks, key, record),
                Change::Element { element, record, .. } => put(&mut self.elements, element, record),
                Change::Times { column, piece, times } => {
                    put(&mut self.times, (column, piece), Some(times).filter(|times| !times.is_empty()));
                }
                Change::Newest { .. } => {}
                Change::Block { number, record } => put(&mut self.blocks, number, record),
                Change::Baseline { key, head: Some(head) } => _ = self.baselines.insert(key, head),
                Change::Baseline { key, head: None } => {
                    self.baselines.remove(&key);
                    self.baseline_instances.retain(|(of, _), _| *of != key);
                    self.columns.retain(|(of, _), _| *of != key);
                    self.models.retain(|(of, _), _| *of != key);
                }
                Change::BaselineInstance { key, labels, record } => {
                    put(&mut self.baseline_instances, (key, labels), record);
                }
                Change::Column { key, end, record } => _ = self.columns.insert((key, end), record),
                Change::ColumnTrim { key, before } => self.columns.retain(|(of, end), _| *of != key || *end >= before),
                Change::Model { key, row, record } => put(&mut self.models, (key, row), record),
                Change::Journal { number, entry } => _ = self.journal.insert(number, entry),
                Change::JournalTrim { below } => self.trimmed = below,
                Change::Transition(transition) => self.transitions.push(transition),
                Change::Sequence(sequence) => self.sequence = sequence,
                Change::Publish { number, topic, messages } => {
                    assert!(self.published.last_key_value().is_none_or(|(last, _)| *last < number), "a number again");
                    self.published.insert(number, (topic, messages));
                }
            }
        }
    }

    /// All that the shell ever said, in order.
    pub(crate) fn journal(&self) -> impl Iterator<Item = &Entry> {
        self.journal.values()
    }

    /// What a start gets.
    pub(crate) fn restored(&self) -> Restored {
        let mut restored = Restored {
            sources: self.sources.clone().into_iter().collect(),
            partitions: self.partitions.clone().into_iter().collect(),
            agendas: self.agendas.clone().into_iter().collect(),
            instances: self
                .instances
                .clone()
                .into_iter()
                .map(|((feed, labels), record)| (feed, labels, record))
                .collect(),
            times: (self.times.clone().into_iter()).map(|((column, piece), times)| (column, piece, times)).collect(),
            checks: self.checks.clone().into_iter().collect(),
            elements: self.elements.clone().into_iter().collect(),
            blocks: self.blocks.clone().into_iter().collect(),
            baselines: self.baselines.clone().into_iter().collect(),
            baseline_instances: (self.baseline_instances.clone().into_iter())
                .map(|((key, labels), record)| (key, labels, record))
                .collect(),
            columns: self.columns.clone().into_iter().map(|((key, end), record)| (key, end, record)).collect(),
            models: self.models.clone().into_iter().map(|((key, row), record)| (key, row, record)).collect(),
            journal: self.journal.clone().into_iter().filter(|(number, _)| *number >= self.trimmed).collect(),
            sequence: self.sequence,
            published: self.published.last_key_value().map_or(0, |(number, _)| *number),
        };
        restored.put_times();
        restored
    }
}
