//! A store in memory: what commits leave behind, and what a start gets back.

use engine::state::{Change, Entry, PartitionKey, Restored};
use model::{Element, Labels, Transition};
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
    elements: BTreeMap<Element, engine::state::ElementRecord>,
    blocks: BTreeMap<u64, engine::state::BlockRecord>,
    journal: BTreeMap<u64, Entry>,
    trimmed: u64,
    sequence: u64,
    /// All transitions that were ever committed.
    pub(crate) transitions: Vec<Transition>,
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
                Change::Block { number, record } => put(&mut self.blocks, number, record),
                Change::Journal { number, entry } => _ = self.journal.insert(number, entry),
                Change::JournalTrim { below } => self.trimmed = below,
                Change::Transition(transition) => self.transitions.push(transition),
                Change::Sequence(sequence) => self.sequence = sequence,
            }
        }
    }

    /// All that the shell ever said, in order.
    pub(crate) fn journal(&self) -> impl Iterator<Item = &Entry> {
        self.journal.values()
    }

    /// What a start gets.
    pub(crate) fn restored(&self) -> Restored {
        Restored {
            sources: self.sources.clone().into_iter().collect(),
            partitions: self.partitions.clone().into_iter().collect(),
            agendas: self.agendas.clone().into_iter().collect(),
            instances: self
                .instances
                .clone()
                .into_iter()
                .map(|((feed, labels), record)| (feed, labels, record))
                .collect(),
            checks: self.checks.clone().into_iter().collect(),
            elements: self.elements.clone().into_iter().collect(),
            blocks: self.blocks.clone().into_iter().collect(),
            journal: self.journal.clone().into_iter().filter(|(number, _)| *number >= self.trimmed).collect(),
            sequence: self.sequence,
        }
    }
}
