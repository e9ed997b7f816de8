//! How far event time has come: partitions, sources, and what the shell says of them.

use crate::shard::{Gap, Partition, Replay, Shard};
use crate::state::{Change, Entry, PartitionKey, PartitionRecord, SourceRecord};
use hashbrown::HashMap;
use model::definition::Definitions;
use model::record::Batch;
use model::{Span, Time};
use std::sync::Arc;

/// What the shell says beside the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The partition stands at its end, which is `at_offset`, and is silent for its source's `idle_after`.
    Idle {
        /// Which partition.
        partition: PartitionKey,
        /// The offset after its last record.
        at_offset: i64,
    },
    /// All partitions of a source stand at their end and are silent.
    Tick {
        /// The source's place in the definitions.
        source: usize,
        /// Its frontier is at least this.
        frontier: Time,
    },
    /// The topic was found made anew: its offsets begin again. `Engine::found` has told its id.
    Recreated {
        /// Which partition.
        partition: PartitionKey,
        /// Where reading begins.
        start: i64,
    },
}

/// All sources, and which worker owns which of their partitions.
#[derive(Debug)]
pub(crate) struct Frontiers {
    definitions: Arc<Definitions>,
    pub(crate) sources: Vec<SourceState>,
    places: HashMap<PartitionKey, (usize, usize)>,
    /// What the shell has said since the last step, in order.
    pub(crate) journal: Vec<Entry>,
}

/// One source.
#[derive(Debug, Default)]
pub(crate) struct SourceState {
    pub(crate) record: SourceRecord,
    changed: bool,
    partitions: Vec<Owned>,
}

/// Which worker owns a partition, and what of it was kept last.
#[derive(Debug)]
struct Owned {
    shard: usize,
    place: usize,
    kept: Option<PartitionRecord>,
}

fn of<'s>(shards: &'s [Shard], owned: &Owned) -> &'s Partition {
    &shards[owned.shard].partitions[owned.place]
}

impl Frontiers {
    pub(crate) fn new(definitions: Arc<Definitions>) -> Frontiers {
        let fresh = |mapping| SourceState {
            record: SourceRecord { mapping, ..SourceRecord::default() },
            changed: true,
            ..SourceState::default()
        };
        let sources = definitions.sources.iter().map(|source| fresh(source.mapping)).collect();
        Frontiers { definitions, sources, places: HashMap::new(), journal: Vec::new() }
    }

    /// Takes a source's record as it was kept.
    pub(crate) fn restore_source(&mut self, name: &str, record: SourceRecord) {
        if let Some(place) = self.definitions.sources.iter().position(|source| *source.name == *name) {
            let mapping = self.sources[place].record.mapping;
            self.sources[place].changed = record.mapping != mapping;
            self.sources[place].record = SourceRecord { mapping, ..record };
        }
    }

    /// Makes a worker the owner of a partition. What was kept of it is none for one that is new.
    pub(crate) fn own(
        &mut self,
        shards: &mut [Shard],
        key: PartitionKey,
        record: PartitionRecord,
        replay: Option<Replay>,
        kept: bool,
    ) {
        let Some(source) = self.definitions.sources.iter().position(|source| source.name == key.source) else { return };
        let shard = self.places.len() % shards.len();
        let kept = kept.then(|| replay.as_ref().map_or_else(|| record.clone(), |replay| replay.committed.clone()));
        let place = shards[shard].own(Partition::new(key.clone(), source, record, replay));
        self.sources[source].partitions.push(Owned { shard, place, kept });
        self.places.insert(key, (source, self.sources[source].partitions.len() - 1));
    }

    /// Takes in a partition that the shell has found, where it is not known: it is active from here on. Of one that is
    /// known it takes the topic's id.
    pub(crate) fn found(&mut self, shards: &mut [Shard], key: PartitionKey, start: i64, topic_id: Option<String>) {
        let Some(source) = self.definitions.sources.iter().position(|source| source.name == key.source) else { return };
        if let Some(&(source, at)) = self.places.get(&key) {
            let owned = &self.sources[source].partitions[at];
            let partition = &mut shards[owned.shard].partitions[owned.place];
            if let Some(replay) = &mut partition.replay {
                replay.committed.topic_id.clone_from(&topic_id);
            }
            partition.record.topic_id = topic_id;
            return;
        }
        let floor = self.sources[source].record.frontier;
        self.journal.push(Entry::Active { partition: key.clone(), at_offset: start, floor });
        let record =
            PartitionRecord { start_offset: start, next_offset: start, topic_id, floor, ..PartitionRecord::default() };
        self.own(shards, key, record, None, false);
    }

    /// Notes what a batch means before it is read: when it was polled, and that its partition is active.
    /// Gives the worker that owns it.
    pub(crate) fn admit(&mut self, shards: &mut [Shard], batch: &Batch) -> usize {
        let source = self.definitions.sources[batch.source].name.clone();
        let key = PartitionKey { source, topic: batch.topic.clone(), partition: batch.partition };
        let first = batch.records.first().map_or(0, |record| record.offset);
        let next_offset = batch.records.last().map_or(first, |record| record.offset + 1);
        if !self.places.contains_key(&key) {
            self.found(shards, key.clone(), first, None);
        }
        let (source, at) = self.places[&key];
        let owned = &self.sources[source].partitions[at];
        let (shard, place) = (owned.shard, owned.place);
        let frontier = self.sources[source].record.frontier;
        let partition = &mut shards[shard].partitions[place];
        let record = partition.replay.as_mut().map_or(&mut partition.record, |replay| &mut replay.committed);
        if next_offset <= record.next_offset {
            return shard;
        }
        if record.idle {
            (record.idle, record.floor) = (false, frontier);
            let at_offset = first.max(record.next_offset);
            self.journal.push(Entry::Active { partition: key.clone(), at_offset, floor: frontier });
        }
        self.journal.push(Entry::Polled { partition: key, next_offset, at: Time::from_nanos(batch.polled_at_ns) });
        shard
    }

    /// Makes every partition active: after a start none is idle until it has reached its end again.
    pub(crate) fn awake(&mut self, shards: &mut [Shard]) {
        for source in &mut self.sources {
            for owned in &source.partitions {
                let partition = &mut shards[owned.shard].partitions[owned.place];
                let record = partition.replay.as_mut().map_or(&mut partition.record, |replay| &mut replay.committed);
                if record.idle {
                    (record.idle, record.floor) = (false, source.record.frontier);
                    let (partition, at_offset) = (partition.key.clone(), record.next_offset);
                    self.journal.push(Entry::Active { partition, at_offset, floor: source.record.frontier });
                }
            }
        }
    }

    /// Whether a partition is still read again up to its committed position.
    pub(crate) fn replaying(&self, shards: &[Shard]) -> bool {
        self.sources.iter().flat_map(|source| &source.partitions).any(|owned| of(shards, owned).replay.is_some())
    }

    /// Where reading begins: each partition, and the offset.
    pub(crate) fn positions<'a>(
        &'a self,
        shards: &'a [Shard],
    ) -> impl Iterator<Item = (PartitionKey, PartitionRecord)> + 'a {
        self.sources.iter().flat_map(|source| &source.partitions).map(|owned| {
            let partition = of(shards, owned);
            (partition.key.clone(), partition.record.clone())
        })
    }

    /// Hears what the shell says, and moves the frontiers.
    pub(crate) fn observe(&mut self, shards: &mut [Shard], said: &[Said]) {
        for word in said {
            match word {
                Said::Idle { partition, at_offset } => self.idle(shards, partition, *at_offset),
                Said::Recreated { partition, start } => self.recreated(shards, partition, *start),
                Said::Tick { .. } => {}
            }
        }
        if self.replaying(shards) {
            // Partitions that are read again stand, for a while, before what is committed of them.
            return;
        }
        for (place, source) in self.sources.iter_mut().enumerate() {
            let lateness = self.definitions.sources[place].lateness;
            let mut least = Some(Time::MAX);
            for owned in &source.partitions {
                let record = &of(shards, owned).record;
                if !record.idle {
                    least = least.min(record.max_time.map(|time| time - lateness));
                }
            }
            if let Some(least) = least.filter(|least| *least < Time::MAX)
                && source.record.frontier < Some(least)
            {
                source.record.frontier = Some(least);
                source.changed = true;
            }
        }
        for word in said {
            if let Said::Tick { source, frontier } = word {
                self.tick(*source, *frontier);
            }
        }
        for (place, source) in self.sources.iter_mut().enumerate() {
            for owned in &source.partitions {
                let ended = std::mem::take(&mut shards[owned.shard].partitions[owned.place].ended_gaps);
                source.changed |= !ended.is_empty();
                source.record.gaps.extend(ended);
            }
            for shard in shards.iter_mut() {
                let counted = std::mem::take(&mut shard.counters[place]);
                source.changed |= counted != Default::default();
                source.record.counters.add(&counted);
            }
        }
    }

    fn idle(&mut self, shards: &mut [Shard], key: &PartitionKey, at_offset: i64) {
        let Some(&(source, at)) = self.places.get(key) else { return };
        let owned = &self.sources[source].partitions[at];
        let partition = &mut shards[owned.shard].partitions[owned.place];
        if partition.replay.is_none() && !partition.record.idle && partition.record.next_offset <= at_offset {
            partition.record.idle = true;
            // The end of a partition may lie behind records that no reader gets, such as a transaction's marks.
            partition.record.next_offset = at_offset;
            self.journal.push(Entry::Idle { partition: key.clone(), at_offset });
        }
    }

    fn tick(&mut self, source: usize, frontier: Time) {
        let state = &mut self.sources[source];
        if state.record.frontier.is_some_and(|known| known >= frontier) {
            return;
        }
        let from = state.record.frontier.unwrap_or(frontier);
        match state.record.silences.last_mut() {
            Some(last) if last.1 == from => last.1 = frontier,
            _ => state.record.silences.push((from, frontier)),
        }
        state.record.frontier = Some(frontier);
        state.changed = true;
        self.journal.push(Entry::Tick { source: self.definitions.sources[source].name.clone(), frontier });
    }

    /// Notes that records of a partition were lost. What was lost ends, in event time, with the first record behind
    /// it that moves the partition's time.
    pub(crate) fn lose(&mut self, shards: &mut [Shard], key: &PartitionKey, from: i64, to: i64) {
        let Some(&(source, at)) = self.places.get(key) else { return };
        let state = &mut self.sources[source];
        let owned = &state.partitions[at];
        let partition = &mut shards[owned.shard].partitions[owned.place];
        let max_time = partition.record.max_time;
        let since = max_time.map_or(Time::MIN, |time| time - self.definitions.sources[source].lateness);
        let since = partition.gap.map_or(since, |gap| gap.since);
        partition.gap = Some(Gap { since, max_time });
        state.record.lost += (to - from).max(0) as u64;
        state.changed = true;
    }

    fn recreated(&mut self, shards: &mut [Shard], key: &PartitionKey, start: i64) {
        let Some(&(source, at)) = self.places.get(key) else { return };
        let state = &mut self.sources[source];
        state.record.recreated += 1;
        state.changed = true;
        let owned = &state.partitions[at];
        let partition = &mut shards[owned.shard].partitions[owned.place];
        partition.replay = None;
        let floor = state.record.frontier;
        let topic_id = partition.record.topic_id.take();
        partition.record =
            PartitionRecord { start_offset: start, next_offset: start, topic_id, floor, ..PartitionRecord::default() };
        self.journal.push(Entry::Active { partition: key.clone(), at_offset: start, floor });
    }

    /// Forgets silences and gaps that end before anything that still looks back.
    pub(crate) fn trim(&mut self, horizon: Time) {
        for source in &mut self.sources {
            let before = (source.record.silences.len(), source.record.gaps.len());
            source.record.silences.retain(|(_, to)| *to >= horizon);
            source.record.gaps.retain(|(_, to)| *to >= horizon);
            source.changed |= before != (source.record.silences.len(), source.record.gaps.len());
        }
    }

    /// How much of the time after `from`, up to `to`, only ticks have crossed.
    pub(crate) fn silence(&self, source: usize, from: Time, to: Time) -> Span {
        let crossed = |(start, end): &(Time, Time)| (*end).min(to) - (*start).max(from);
        let spans = self.sources[source].record.silences.iter().map(crossed);
        spans.filter(|span| *span > Span::ZERO).fold(Span::ZERO, |sum, span| sum + span)
    }

    /// Whether records of this stretch of time were lost.
    pub(crate) fn lost(&self, shards: &[Shard], source: usize, from: Time, to: Time) -> bool {
        let state = &self.sources[source];
        let open = |owned: &Owned| of(shards, owned).gap.is_some_and(|gap| gap.since < to);
        state.partitions.iter().any(open) || state.record.gaps.iter().any(|(start, end)| *start < to && from < *end)
    }

    /// The lowest first watermark of a source's partitions, or its frontier where none has one.
    pub(crate) fn first_watermark(&self, shards: &[Shard], source: usize) -> Option<Time> {
        let firsts =
            self.sources[source].partitions.iter().filter_map(|owned| of(shards, owned).record.first_watermark);
        firsts.min().or(self.sources[source].record.frontier)
    }

    /// Partitions whose watermark is so far ahead of those who read them that they must wait.
    pub(crate) fn ahead(&self, shards: &[Shard], clock_of: impl Fn(usize) -> Option<Time>) -> Vec<PartitionKey> {
        let mut ahead = Vec::new();
        for (place, source) in self.sources.iter().enumerate() {
            let definition = &self.definitions.sources[place];
            let Some(clock) = clock_of(place) else { continue };
            for owned in &source.partitions {
                let partition = of(shards, owned);
                let watermark = partition.record.max_time.map(|time| time - definition.lateness);
                if partition.replay.is_none()
                    && watermark.is_some_and(|watermark| watermark > clock + definition.max_skew)
                {
                    ahead.push(partition.key.clone());
                }
            }
        }
        ahead
    }

    /// What changed since it was last asked.
    pub(crate) fn changes(&mut self, shards: &[Shard], changes: &mut Vec<Change>) {
        for (place, source) in self.sources.iter_mut().enumerate() {
            if std::mem::take(&mut source.changed) {
                let name = self.definitions.sources[place].name.clone();
                changes.push(Change::Source { name, record: source.record.clone() });
            }
            for owned in &mut source.partitions {
                let partition = of(shards, owned);
                if partition.replay.is_none() && owned.kept.as_ref() != Some(&partition.record) {
                    owned.kept = Some(partition.record.clone());
                    changes.push(Change::Partition { key: partition.key.clone(), record: partition.record.clone() });
                }
            }
        }
    }
}
