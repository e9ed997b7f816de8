//! Blocks: what open windows hold, written in rotation, so that a commit never writes all of it and a
//! start reads only a short stretch of Kafka again.

use crate::frontier::Frontiers;
use crate::plan::Plan;
use crate::shard::{Replay, Shard};
use crate::state::{BlockRecord, Change, Entry, PartitionKey, PartitionRecord, Restored, SeriesRecord};
use crate::windows::Windows;
use hashbrown::HashMap;
use model::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// Series of one block.
const SERIES: u32 = 256;

/// All blocks, and whose turn it is.
#[derive(Debug)]
pub(crate) struct Blocks {
    plan: Arc<Plan>,
    /// By lane and place in the lane.
    known: BTreeMap<(usize, u32), Block>,
    /// Blocks that the next commit must write: they are new, or took in what a start has read again.
    fresh: BTreeSet<(usize, u32)>,
    /// The block that was written last.
    turn: Option<(usize, u32)>,
    next_number: u64,
    /// Blocks of lanes that are no more.
    dropped: Vec<u64>,
    /// The number of the next journal entry.
    journal: u64,
    trimmed: u64,
}

/// One block.
#[derive(Clone, Copy, Debug)]
struct Block {
    number: u64,
    /// The journal entry from which on it is needed to read again what the block lacks.
    journal: u64,
}

impl Blocks {
    pub(crate) fn new(plan: Arc<Plan>, restored: &Restored) -> Blocks {
        let first = restored.journal.first().map_or(0, |(number, _)| *number);
        Blocks {
            plan,
            known: BTreeMap::new(),
            fresh: BTreeSet::new(),
            turn: None,
            next_number: restored.blocks.last().map_or(0, |(number, _)| number + 1),
            dropped: Vec::new(),
            journal: restored.journal.last().map_or(0, |(number, _)| number + 1),
            trimmed: first,
        }
    }

    /// Has the next commit write all blocks: a topic was made anew, and what they say of its offsets is void.
    pub(crate) fn write_all(&mut self) {
        self.fresh.extend(self.known.keys());
    }

    /// How many blocks there are.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Notes that a series with this number was met in a lane. One that was met while records were read
    /// again may lie before what its block names, so that block is written at once.
    pub(crate) fn note(&mut self, lane: usize, number: u32, read_again: bool) {
        let key = (lane, number / SERIES);
        if !self.known.contains_key(&key) {
            self.known.insert(key, Block { number: self.next_number, journal: self.journal });
            self.next_number += 1;
            self.fresh.insert(key);
        }
        if read_again {
            self.fresh.insert(key);
        }
    }

    /// What a commit writes of blocks and journal: those that are new, and `turns` of the others.
    pub(crate) fn changes(
        &mut self,
        turns: usize,
        shards: &[Shard],
        windows: &Windows,
        frontiers: &mut Frontiers,
        changes: &mut Vec<Change>,
    ) {
        changes
            .extend(std::mem::take(&mut self.dropped).into_iter().map(|number| Change::Block { number, record: None }));
        for entry in std::mem::take(&mut frontiers.journal) {
            changes.push(Change::Journal { number: self.journal, entry });
            self.journal += 1;
        }
        let mut due = std::mem::take(&mut self.fresh);
        for _ in 0..turns.min(self.known.len()) {
            let after = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
            let next = self.known.range((after, Bound::Unbounded)).next().or_else(|| self.known.first_key_value());
            self.turn = next.map(|(key, _)| *key);
            due.extend(self.turn);
        }
        let positions: Vec<_> = if due.is_empty() { Vec::new() } else { frontiers.positions(shards).collect() };
        for key in due {
            let series = series_of(key, shards, windows);
            let number = self.known[&key].number;
            if series.is_empty() {
                self.known.remove(&key);
                changes.push(Change::Block { number, record: None });
                continue;
            }
            self.known.insert(key, Block { number, journal: self.journal });
            let record = BlockRecord { lane: self.plan.lanes[key.0].fingerprint, positions: positions.clone(), series };
            changes.push(Change::Block { number, record: Some(record) });
        }
        // The last entry stays, so that numbers go on from it after a start.
        let needed = self.known.values().map(|block| block.journal).min().unwrap_or(self.journal);
        let needed = needed.min(self.journal.saturating_sub(1));
        if needed > self.trimmed {
            self.trimmed = needed;
            changes.push(Change::JournalTrim { below: needed });
        }
    }

    /// Puts what blocks hold into the workers' panes, and says from where each partition is read again.
    pub(crate) fn restore(
        &mut self,
        restored: &Restored,
        shards: &mut [Shard],
        numbers: &mut HashMap<(usize, u32), u32>,
    ) -> Vec<(PartitionKey, PartitionRecord, Option<Replay>)> {
        let mut held: Vec<&BlockRecord> = Vec::new();
        for (number, record) in &restored.blocks {
            let Some(lane) = self.plan.lanes.iter().position(|lane| lane.fingerprint == record.lane) else {
                self.dropped.push(*number);
                continue;
            };
            let block = held.len() as u32;
            held.push(record);
            for series in &record.series {
                for (worker, shard) in shards.iter_mut().enumerate() {
                    if let Some(row) = shard.restore(lane, block, series, worker == 0)
                        && worker == 0
                    {
                        numbers.insert((lane, row), series.number);
                        self.known
                            .insert((lane, series.number / SERIES), Block { number: *number, journal: self.trimmed });
                    }
                }
            }
        }
        let replay = |(key, committed): &(PartitionKey, PartitionRecord)| {
            let of_block =
                |record: &BlockRecord| record.positions.iter().find(|(of, _)| of == key).map(|(_, at)| at.clone());
            let beginning = || PartitionRecord {
                start_offset: committed.start_offset,
                next_offset: committed.start_offset,
                topic_id: committed.topic_id.clone(),
                ..PartitionRecord::default()
            };
            let positions: Vec<PartitionRecord> =
                held.iter().map(|block| of_block(block).unwrap_or_else(beginning)).collect();
            let oldest = positions
                .iter()
                .min_by_key(|position| position.next_offset)
                .filter(|oldest| oldest.next_offset < committed.next_offset);
            let Some(oldest) = oldest else { return (key.clone(), committed.clone(), None) };
            // A block may be older than what is known of the topic.
            let oldest = PartitionRecord { topic_id: committed.topic_id.clone(), ..oldest.clone() };
            let mut polled: Vec<(i64, Time)> = Vec::new();
            let mut floors = Vec::new();
            for (_, entry) in &restored.journal {
                match entry {
                    Entry::Polled { partition, next_offset, at } if partition == key => {
                        polled.push((*next_offset, *at))
                    }
                    Entry::Active { partition, at_offset, floor } if partition == key => {
                        floors.push((*at_offset, *floor))
                    }
                    _ => {}
                }
            }
            let held = positions.iter().map(|position| position.next_offset).collect();
            (key.clone(), oldest, Some(Replay { committed: committed.clone(), polled, floors, held }))
        };
        restored.partitions.iter().map(replay).collect()
    }
}

/// The series of a block, merged over workers.
fn series_of(key: (usize, u32), shards: &[Shard], windows: &Windows) -> Vec<SeriesRecord> {
    let (lane, index) = key;
    let state = &windows.lanes[lane];
    let numbers = index * SERIES..(index + 1) * SERIES;
    numbers
        .filter_map(|number| {
            let (instance, at) = *state.by_number.get(&number)?;
            let series = &state.instances[instance as usize].series[at as usize];
            let (name, labels) = (series.name.clone(), series.labels.clone());
            let mut record = SeriesRecord { number, name, labels, panes: Vec::new(), carry: None, events: Vec::new() };
            for (worker, row) in &series.rows {
                shards[*worker as usize].lanes[lane].record(*row, &mut record);
            }
            Some(record)
        })
        .collect()
}
