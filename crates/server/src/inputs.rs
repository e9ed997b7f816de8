//! What comes from the sources, and what the shell has to say beside it: which partitions there are, which of
//! them stand at their end and are silent, which sources are silent as a whole, and which cannot be read.
//!
//! Silence is counted only while it is listened for. After a standstill of the process, of the broker or of
//! consumption it begins anew: what has come meanwhile must be read before anything is called silent.

use config::{Secret, Settings, SourceSettings};
use engine::Said;
use engine::state::{ActiveError, PartitionKey, PartitionRecord};
use kafka::{Connection, Input, Position, Reader, Reading};
use model::definition::Definitions;
use model::record::Batch;
use model::{Span, Time};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// When nothing was polled for so long, the process stood still.
const STANDSTILL: Span = Span::from_secs(1);
/// Between two ticks of a silent source.
const TICK: Span = Span::from_secs(1);

/// All sources.
pub(crate) struct Inputs {
    definitions: Arc<Definitions>,
    sources: Vec<Source>,
    /// Who is waited for at the next poll.
    turn: usize,
    polled_at: Time,
}

struct Source {
    name: Arc<str>,
    reader: Reader,
    partitions: BTreeMap<(Arc<str>, i32), Partition>,
    error: Option<ActiveError>,
    ticked: Time,
}

struct Partition {
    /// The first offset that has not come.
    next_offset: i64,
    /// Where it is read from once that is committed.
    found: Option<i64>,
    /// The position at the end, while it stands there.
    at_end: Option<i64>,
    /// When something last came, or when listening began.
    heard: Time,
    /// It has been called idle, and nothing has come since.
    idle: bool,
    paused: bool,
    /// The log's end, where it is known.
    high: Option<i64>,
}

/// What a poll gave.
#[derive(Default)]
pub(crate) struct Polled {
    /// Partitions to be read, from where, and their topic's id; the engine may know them already.
    pub(crate) found: Vec<(PartitionKey, i64, Option<String>)>,
    /// Records.
    pub(crate) batches: Vec<Batch>,
    /// Gaps, and topics that were made anew.
    pub(crate) said: Vec<Said>,
    /// Records that were lost: the partition, the first offset, and the first that is there again.
    pub(crate) gaps: Vec<(PartitionKey, i64, i64)>,
}

impl Inputs {
    /// Starts one reader for each source. `positions` say from where known partitions are read, and `committed`
    /// up to where they were read before.
    pub(crate) fn start(
        settings: &Settings,
        positions: &[(PartitionKey, PartitionRecord)],
        committed: &HashMap<PartitionKey, i64>,
        now: Time,
    ) -> Result<Inputs, (Arc<str>, kafka::Error)> {
        let mut sources = Vec::new();
        for (place, source) in settings.sources.iter().enumerate() {
            let of_source = || positions.iter().filter(|(key, _)| key.source == source.name);
            let stored = of_source().map(|(key, record)| Position {
                topic: key.topic.clone(),
                partition: key.partition,
                next_offset: record.next_offset,
                topic_id: record.topic_id.clone(),
            });
            let reader = Reader::start(source.fetch, reading(place, source), stored.collect());
            let reader = reader.map_err(|error| (source.name.clone(), error))?;
            let mut partitions = BTreeMap::new();
            for (key, record) in of_source() {
                let read = committed.get(key).copied().unwrap_or(0).max(record.next_offset);
                let mut partition = Partition::new(read, now);
                // Nobody finds a topic that is no longer configured: it has come to its end.
                partition.at_end = (!source.topics.contains(&key.topic)).then_some(read);
                partitions.insert((key.topic.clone(), key.partition), partition);
            }
            sources.push(Source { name: source.name.clone(), reader, partitions, error: None, ticked: now });
        }
        Ok(Inputs { definitions: settings.definitions.clone(), sources, turn: 0, polled_at: now })
    }

    /// What has come from all sources; waits a little where there is nothing.
    pub(crate) fn poll(&mut self, now: Time, wait: Duration) -> Polled {
        if now - self.polled_at > STANDSTILL {
            self.listen_anew(now);
        }
        self.polled_at = now;
        let mut polled = Polled::default();
        let count = self.sources.len();
        for turn in 0..count {
            let place = (self.turn + turn) % count;
            // Only one is waited for, and only where the others had nothing: the last one asked.
            let wait = if turn + 1 == count && polled.batches.is_empty() { wait } else { Duration::ZERO };
            let source = &mut self.sources[place];
            for input in source.reader.poll(wait) {
                source.take(input, now, &mut polled);
            }
        }
        self.turn = (self.turn + 1) % count.max(1);
        polled
    }

    /// Gives batches back that are no longer needed.
    pub(crate) fn give_back(&self, batches: Vec<Batch>) {
        batches.into_iter().for_each(|batch| self.sources[batch.source].reader.give_back(batch));
    }

    /// Begins to count silence anew.
    pub(crate) fn listen_anew(&mut self, now: Time) {
        self.polled_at = now;
        for partition in self.sources.iter_mut().flat_map(|source| source.partitions.values_mut()) {
            partition.heard = now;
        }
    }

    /// What silence means at this moment: partitions that are idle, and ticks of sources that are silent as a
    /// whole. Not to be asked while records are read again.
    pub(crate) fn silence(&mut self, now: Time, frontier: impl Fn(usize) -> Option<Time>) -> Vec<Said> {
        let mut said = Vec::new();
        for (place, source) in self.sources.iter_mut().enumerate() {
            let definition = &self.definitions.sources[place];
            if source.error.is_some() {
                continue;
            }
            let mut all = !source.partitions.is_empty();
            for ((topic, number), partition) in &mut source.partitions {
                let silent =
                    !partition.paused && partition.found.is_none() && now - partition.heard >= definition.idle_after;
                let Some(at_offset) = partition.at_end.filter(|_| silent) else {
                    all = false;
                    continue;
                };
                if !partition.idle {
                    partition.idle = true;
                    let partition = key(&source.name, topic, *number);
                    said.push(Said::Idle { partition, at_offset });
                }
            }
            let to = now - definition.idle_after - definition.lateness;
            if all && now - source.ticked >= TICK && frontier(place).is_none_or(|known| known < to) {
                source.ticked = now;
                said.push(Said::Tick { source: place, frontier: to });
            }
        }
        said
    }

    /// The partitions that stand at their end.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (usize, PartitionKey)> + '_ {
        self.sources.iter().enumerate().flat_map(|(place, source)| {
            let ended = source.partitions.iter().filter(|(_, partition)| partition.at_end.is_some());
            ended.map(move |((topic, number), _)| (place, key(&source.name, topic, *number)))
        })
    }

    /// Whether a partition waits for its beginning to be committed.
    pub(crate) fn waits_for_commit(&self) -> bool {
        self.sources.iter().flat_map(|source| source.partitions.values()).any(|partition| partition.found.is_some())
    }

    /// Reads the partitions whose beginning is committed now.
    pub(crate) fn committed(&mut self, now: Time) {
        for source in &mut self.sources {
            for ((topic, number), partition) in &mut source.partitions {
                if let Some(start) = partition.found.take() {
                    partition.heard = now;
                    source.reader.assign(topic, *number, start);
                }
            }
        }
    }

    /// Lets these partitions wait, and all others be read.
    pub(crate) fn hold(&mut self, ahead: &[PartitionKey], now: Time) {
        for source in &mut self.sources {
            for ((topic, number), partition) in &mut source.partitions {
                let is_it =
                    |key: &PartitionKey| key.source == source.name && key.topic == *topic && key.partition == *number;
                let wait = ahead.iter().any(is_it);
                if wait && !partition.paused {
                    tracing::debug!(source = %source.name, %topic, partition = number, "ahead of its readers; it waits");
                    source.reader.pause(topic, *number);
                } else if partition.paused && !wait {
                    source.reader.resume(topic, *number);
                    partition.heard = now;
                }
                partition.paused = wait;
            }
        }
    }

    /// Tells lag monitors how far each partition is committed.
    pub(crate) fn tell_offsets(&self, positions: &[(PartitionKey, PartitionRecord)]) {
        for source in &self.sources {
            let of_source = positions.iter().filter(|(key, _)| key.source == source.name);
            let offsets: Vec<_> =
                of_source.map(|(key, record)| (key.topic.clone(), key.partition, record.next_offset)).collect();
            source.reader.commit_offsets(&offsets);
        }
    }

    /// The ends of partitions, where they are known.
    pub(crate) fn ends(&self) -> Vec<(PartitionKey, i64)> {
        let ends = self.sources.iter().flat_map(|source| {
            let known = |((topic, number), partition): (&(Arc<str>, i32), &Partition)| {
                Some((key(&source.name, topic, *number), partition.at_end.max(partition.high)?))
            };
            source.partitions.iter().filter_map(known)
        });
        ends.collect()
    }

    /// What keeps sources from being read.
    pub(crate) fn errors(&self) -> Vec<(Arc<str>, ActiveError)> {
        let errors = self.sources.iter().filter_map(|source| Some((source.name.clone(), source.error.clone()?)));
        errors.collect()
    }

    /// The names of all sources.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.sources.iter().map(|source| &source.name)
    }

    /// Stops all readers, side by side: one whose broker does not answer takes its time.
    pub(crate) fn stop(self) {
        std::thread::scope(|scope| {
            for source in self.sources {
                scope.spawn(move || drop(source.reader));
            }
        });
    }
}

/// A connection with its secrets revealed to the client.
pub(crate) fn connection(brokers: &str, properties: &[(String, Secret)]) -> Connection {
    let properties = properties.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned()));
    Connection { brokers: brokers.to_owned(), properties: properties.collect() }
}

fn reading(place: usize, source: &SourceSettings) -> Reading {
    Reading {
        source: place,
        connection: connection(&source.brokers, &source.properties),
        topics: source.topics.iter().map(ToString::to_string).collect(),
        start: source.start,
        group: Some(source.group.clone()).filter(|group| !group.is_empty()),
    }
}

fn key(source: &Arc<str>, topic: &Arc<str>, partition: i32) -> PartitionKey {
    PartitionKey { source: source.clone(), topic: topic.clone(), partition }
}

impl Partition {
    fn new(next_offset: i64, now: Time) -> Partition {
        Partition { next_offset, found: None, at_end: None, heard: now, idle: false, paused: false, high: None }
    }
}

impl Source {
    fn take(&mut self, input: Input, now: Time, polled: &mut Polled) {
        let name = self.name.clone();
        match input {
            Input::Batch(batch) => {
                let partition = self.partition(&batch.topic, batch.partition, now);
                (partition.at_end, partition.idle, partition.heard) = (None, false, now);
                let next_offset = batch.records.last().map_or(0, |record| record.offset + 1);
                partition.next_offset = partition.next_offset.max(next_offset);
                polled.batches.push(batch);
            }
            Input::Found { topic, topic_id, partition: number, start, low, stored, gap, recreated } => {
                tracing::info!(source = %name, %topic, partition = number, start, low, stored, recreated, "found a partition");
                let partition = self.partition(&topic, number, now);
                (partition.at_end, partition.idle, partition.heard) = (None, false, now);
                let key = key(&name, &topic, number);
                if let Some((from, to)) = gap {
                    self.lost(&key, from, to, polled);
                }
                if recreated {
                    tracing::warn!(source = %name, %topic, partition = number, "the topic was made anew");
                    polled.said.push(Said::Recreated { partition: key.clone(), start });
                }
                let partition = self.partition(&topic, number, now);
                if stored && !recreated {
                    // Its position is committed already.
                    self.reader.assign(&topic, number, start);
                } else {
                    (partition.found, partition.next_offset) = (Some(start), start);
                }
                polled.found.push((key, start, topic_id));
            }
            Input::AtEnd { topic, partition: number, next_offset } => {
                let partition = self.partition(&topic, number, now);
                partition.at_end = Some(next_offset);
                partition.high = partition.high.max(Some(next_offset));
            }
            Input::Lag { topic, partition: number, high } => self.partition(&topic, number, now).high = Some(high),
            Input::Gap { topic, partition: number, from, to } => {
                let key = key(&name, &topic, number);
                self.lost(&key, from, to, polled);
            }
            Input::Missing { topic } => {
                tracing::warn!(source = %name, %topic, "the topic does not exist; it is waited for");
                // Nothing can come from it: it has come to its end.
                for ((of, _), partition) in &mut self.partitions {
                    if *of == topic && partition.at_end.is_none() {
                        partition.at_end = Some(partition.next_offset);
                    }
                }
            }
            Input::Error { message } => {
                tracing::error!(source = %name, %message, "the source cannot be read");
                let message = message.into();
                let kind = "unreachable".into();
                self.error = Some(ActiveError { kind, message, line: 0, column: 0, since: now });
            }
            Input::Healthy => {
                if self.error.take().is_some() {
                    tracing::info!(source = %name, "the source can be read again");
                }
                for partition in self.partitions.values_mut() {
                    partition.heard = now;
                }
            }
        }
    }

    fn lost(&self, key: &PartitionKey, from: i64, to: i64, polled: &mut Polled) {
        let (source, topic, partition) = (&self.name, &key.topic, key.partition);
        tracing::warn!(%source, %topic, partition, from, to, "records were deleted before they could be read");
        polled.gaps.push((key.clone(), from, to));
    }

    fn partition(&mut self, topic: &Arc<str>, number: i32, now: Time) -> &mut Partition {
        self.partitions.entry((topic.clone(), number)).or_insert_with(|| Partition::new(0, now))
    }
}
