//! The past, read at full speed through the engine that runs live: to teach baselines before they are needed, and to
//! see what one would have said. Nothing is told and nothing published; transitions are thrown away.

use crate::inputs::connection;
use crate::run::{fill_all, store_options, system_time};
use config::Settings;
use engine::state::{BaselineHead, Change, PartitionKey, Restored};
use engine::{Engine, Lived, Said, Shard, Step};
use kafka::{Extent, Input, Position, Reader, Reading};
use model::definition::{Argument, CheckDefinition, Definitions, Input as CheckInput, Learner, Start};
use model::record::Batch;
use model::{Span, Time};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use store::Store;

/// How long a poll waits where there is nothing.
const WAIT: Duration = Duration::from_millis(20);
/// How often what would have been committed is thrown away.
const THROW_AWAY: Duration = Duration::from_secs(1);
/// How often progress is told.
const TELL: Duration = Duration::from_millis(200);
/// How long a source may be out of reach.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which part of the past, by the times of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// From where on.
    pub from: Start,
    /// Up to where; without it up to where partitions end now.
    pub to: Option<Time>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Offsets that were read.
    pub read: i64,
    /// Offsets to be read.
    pub total: i64,
    /// How far event time has come.
    pub time: Option<Time>,
}

/// What was taught.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trained {
    /// For each baseline, and where checks read it with several sets of sources, for each of these.
    pub baselines: Vec<TrainedBaseline>,
    /// Offsets that were read.
    pub read: i64,
    /// The first record of each source from whose topics older ones are gone, or never were: what lies before its
    /// time cannot be learned.
    pub oldest: Vec<(Arc<str>, Time)>,
}

/// What a baseline was taught.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainedBaseline {
    /// Its name.
    pub name: Arc<str>,
    /// Its instances.
    pub instances: usize,
    /// Batches of all instances that are kept; none for online models, which keep none.
    pub batches: Option<u64>,
    /// Instances whose training window is full; none for online models, which have none.
    pub full: Option<usize>,
    /// When the training window of the last instance will be full, where one is not.
    pub full_at: Option<Time>,
    /// Where the first window begins that was learned, and where the last ends.
    pub learned: Option<(Time, Time)>,
    /// Whether the store had learned the same before: that is replaced.
    pub replaced: bool,
}

/// Why the past cannot be read, or what it taught cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The store.
    #[error("state: {0}")]
    Store(#[from] store::Error),
    /// A source cannot be asked or read.
    #[error("source `{source_name}`: {error}")]
    Source {
        /// Its name.
        source_name: Arc<str>,
        /// What is wrong.
        error: kafka::Error,
    },
    /// A source could not be reached for a while.
    #[error("source `{source_name}` cannot be read: {message}")]
    Unreachable {
        /// Its name.
        source_name: Arc<str>,
        /// What is wrong.
        message: String,
    },
    /// There are no records of that time.
    #[error("nothing to read on {topics}: {}", if *older { "no record there is of that time, or all are behind what `vitalsign run` has read" } else { "no records, or no such topics" })]
    Nothing {
        /// The topics.
        topics: String,
        /// Whether there are any records at all.
        older: bool,
    },
}

/// Teaches all baselines the past, and writes what they learned into the store in this folder, instead of what the
/// same baselines had learned there. Where the store has read a partition before, it is read no further than that, so
/// that what comes next is learned once. Nothing is written, and nothing given, where `stop` is set meanwhile.
///
/// # Errors
/// Where the store is in use, and where sources cannot be read.
pub fn train(
    settings: &Settings,
    folder: &Path,
    range: Range,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(Progress),
) -> Result<Option<Trained>, TrainError> {
    let store = Store::open(&store_options(&settings.store, folder.to_path_buf(), false))?;
    let restored = store::look(folder)?.unwrap_or_default();
    // No other check changes what baselines learn.
    let mut definitions = (*settings.definitions).clone();
    definitions.checks.retain(|check| inputs(check).any(|input| input.baseline.is_some()));
    definitions.publications.clear();
    let mut past = Past::begin(settings, definitions, range, &restored)?;
    if !past.live(stop, tell, &mut |_| ())? {
        return Ok(None);
    }
    let mut learned = past.engine.learned();
    let replaced = replace(&restored.baselines, &mut learned);
    let baselines = summary(&past.definitions, &learned, &replaced);
    let gone = replaced.into_iter().map(|(key, _)| Change::Baseline { key, head: None });
    let changes: Vec<Change> = gone.chain(taught(learned)).collect();
    store.commit(&changes, true)?;
    store.close();
    Ok(Some(Trained { baselines, read: past.progress.read, oldest: past.oldest() }))
}

/// What the baseline at this place in the definitions would have said of the past, window by window in the order in
/// which they end. What it says begins with nothing learned. False where `stop` is set meanwhile.
///
/// # Errors
/// Where sources cannot be read.
pub fn relive(
    settings: &Settings,
    baseline: usize,
    range: Range,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(Progress),
    lived: &mut dyn FnMut(Lived),
) -> Result<bool, TrainError> {
    let (definitions, baseline) = narrowed(&settings.definitions, baseline);
    let mut past = Past::begin(settings, definitions, range, &Restored::default())?;
    past.live(stop, tell, &mut |engine| {
        engine.lived().into_iter().filter(|window| window.baseline == baseline).for_each(&mut *lived);
    })
}

/// The definitions with what one baseline is taught by alone: its stream, the checks that read it, and what these read;
/// and its new place among the baselines.
pub fn narrowed(definitions: &Definitions, baseline: usize) -> (Definitions, usize) {
    let mut narrowed = definitions.clone();
    narrowed.checks.retain(|check| inputs(check).any(|input| input.baseline == Some(baseline)));
    narrowed.publications.clear();
    let read = narrowed.checks.iter().flat_map(inputs).filter_map(|input| input.baseline);
    let wanted: BTreeSet<usize> = read.chain([baseline]).collect();
    let place = |old: usize| wanted.iter().position(|wanted| *wanted == old);
    narrowed.baselines = wanted.iter().map(|wanted| definitions.baselines[*wanted].clone()).collect();
    for (_, argument) in narrowed.checks.iter_mut().flat_map(|check| &mut check.arguments) {
        if let Argument::Input(input) = argument {
            input.baseline = input.baseline.and_then(place);
        }
    }
    (narrowed, place(baseline).unwrap_or_default())
}

fn inputs(check: &CheckDefinition) -> impl Iterator<Item = &CheckInput> {
    check.arguments.iter().filter_map(|(_, argument)| match argument {
        Argument::Input(input) => Some(input),
        _ => None,
    })
}

/// An engine that begins with nothing, and what it is to read.
struct Past {
    definitions: Arc<Definitions>,
    engine: Engine,
    shards: Vec<Shard>,
    sources: Vec<Source>,
    progress: Progress,
}

/// What is to be read of one source.
struct Source {
    place: usize,
    name: Arc<str>,
    reader: Reader,
    partitions: BTreeMap<(Arc<str>, i32), Partition>,
    /// Its time goes at least so far once all has been read.
    until: Time,
    ended: bool,
    error: Option<String>,
    /// When something came last.
    heard: Instant,
}

struct Partition {
    extent: Extent,
    next_offset: i64,
    done: bool,
    paused: bool,
    /// The time of the first record.
    first: Option<Time>,
}

impl Past {
    fn begin(
        settings: &Settings,
        definitions: Definitions,
        range: Range,
        restored: &Restored,
    ) -> Result<Past, TrainError> {
        let definitions = Arc::new(definitions);
        let of_baselines = definitions.baselines.iter().map(|baseline| baseline.stream);
        let of_checks = definitions.checks.iter().flat_map(inputs).map(|input| input.stream);
        let needed: HashSet<usize> =
            of_baselines.chain(of_checks).map(|stream| definitions.streams[stream].source).collect();
        let mut sources = Vec::new();
        for place in (0..settings.sources.len()).filter(|place| needed.contains(place)) {
            sources.push(Source::begin(settings, place, range, restored)?);
        }
        let total: i64 = sources.iter().flat_map(Source::extents).map(|extent| extent.end - extent.start).sum();
        if total == 0 {
            let topics = settings.sources.iter().enumerate().filter(|(place, _)| needed.contains(place));
            let topics: Vec<&str> = topics.flat_map(|(_, source)| &source.topics).map(|topic| &**topic).collect();
            let older = sources.iter().flat_map(Source::extents).any(|extent| extent.high > extent.low);
            return Err(TrainError::Nothing { topics: topics.join(", "), older });
        }
        let (library, formats) = (settings.library.clone(), settings.formats.clone().into());
        let nothing = Restored::default();
        let (mut engine, mut shards, _) = Engine::new(definitions.clone(), formats, library, settings.workers, nothing);
        for source in &sources {
            for partition in source.partitions.values() {
                engine.found(&mut shards, source.key(&partition.extent), partition.extent.start, None);
            }
        }
        Ok(Past { definitions, engine, shards, sources, progress: Progress { total, ..Progress::default() } })
    }

    /// Reads all of it. False where `stop` was set meanwhile.
    fn live(
        &mut self,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(Progress),
        watch: &mut dyn FnMut(&mut Engine),
    ) -> Result<bool, TrainError> {
        watch(&mut self.engine);
        let (mut thrown, mut told) = (Instant::now(), Instant::now());
        let mut step = Step::default();
        loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let (mut batches, mut said) = (Vec::new(), Vec::new());
            if !step.more {
                let last = self.sources.len().saturating_sub(1);
                for (turn, source) in self.sources.iter_mut().enumerate() {
                    let wait = if turn == last && batches.is_empty() && !step.asking { WAIT } else { Duration::ZERO };
                    source.poll(wait, &mut self.engine, &mut self.shards, &mut batches)?;
                }
                said.extend(self.sources.iter_mut().flat_map(Source::silence));
            }
            let filled = !batches.is_empty();
            for batch in fill_all(&mut self.engine, &mut self.shards, batches) {
                if let Some(source) = self.sources.iter().find(|source| source.place == batch.source) {
                    source.reader.give_back(batch);
                }
            }
            step = self.engine.advance(&mut self.shards, &said);
            self.sources.iter_mut().for_each(|source| source.hold(&step.ahead));
            watch(&mut self.engine);
            if thrown.elapsed() >= THROW_AWAY {
                thrown = Instant::now();
                drop(self.engine.collect(&self.shards, 0));
                self.shards.iter_mut().for_each(|shard| drop(shard.take_refusals()));
            }
            if told.elapsed() >= TELL {
                told = Instant::now();
                tell(self.progress());
            }
            // What still waits then waits for a source whose time has ended earlier.
            let over = self.sources.iter().flat_map(|source| source.partitions.values()).all(|it| it.done || it.paused);
            if over && !filled && said.is_empty() && !step.more && !step.asking {
                tell(self.progress());
                return Ok(true);
            }
        }
    }

    fn progress(&mut self) -> Progress {
        let partitions = self.sources.iter().flat_map(|source| source.partitions.values());
        self.progress.read = partitions.map(|partition| partition.next_offset - partition.extent.start).sum();
        self.progress.time = self.sources.iter().filter_map(|source| self.engine.frontier(source.place)).min();
        self.progress
    }

    /// Where sources begin whose logs hold nothing before what was read.
    fn oldest(&self) -> Vec<(Arc<str>, Time)> {
        let oldest = |source: &Source| {
            let partitions = source.partitions.values().filter(|it| it.extent.start == it.extent.low);
            Some((source.name.clone(), partitions.filter_map(|partition| partition.first).min()?))
        };
        self.sources.iter().filter_map(oldest).collect()
    }
}

impl Source {
    fn begin(settings: &Settings, place: usize, range: Range, restored: &Restored) -> Result<Source, TrainError> {
        let (of, definition) = (&settings.sources[place], &settings.definitions.sources[place]);
        let name = of.name.clone();
        let failed = |error| TrainError::Source { source_name: of.name.clone(), error };
        let connection = connection(&of.brokers, &of.properties);
        let mut until = system_time() - definition.idle_after - definition.lateness;
        let mut partitions = BTreeMap::new();
        for mut extent in kafka::extents(of.fetch, &connection, &of.topics, range.from, range.to).map_err(failed)? {
            let is_it = |key: &PartitionKey| {
                key.source == of.name && key.topic == extent.topic && key.partition == extent.partition
            };
            if let Some((_, read)) = restored.partitions.iter().find(|(key, _)| is_it(key)) {
                extent.end = extent.end.min(read.next_offset).max(extent.start);
                let frontier = restored.sources.iter().find(|(name, _)| *name == of.name);
                until = frontier.and_then(|(_, record)| record.frontier).map_or(until, |frontier| until.min(frontier));
            }
            let key = (extent.topic.clone(), extent.partition);
            let next_offset = extent.start;
            partitions.insert(key, Partition { extent, next_offset, done: false, paused: false, first: None });
        }
        until = range.to.map_or(until, |to| until.min(to));
        let open: Vec<Position> = (partitions.values())
            .map(|Partition { extent, .. }| extent)
            .filter(|extent| extent.start < extent.end)
            .map(|Extent { topic, partition, start, .. }| Position {
                topic: topic.clone(),
                partition: *partition,
                next_offset: *start,
                topic_id: None,
            })
            .collect();
        let topics = of.topics.iter().filter(|topic| open.iter().any(|open| open.topic == **topic));
        let topics = topics.map(ToString::to_string).collect();
        let reading = Reading { source: place, connection, topics, start: Start::Latest, group: None };
        let reader = Reader::start(of.fetch, reading, open).map_err(failed)?;
        Ok(Source { place, name, reader, partitions, until, ended: false, error: None, heard: Instant::now() })
    }

    fn extents(&self) -> impl Iterator<Item = &Extent> {
        self.partitions.values().map(|partition| &partition.extent)
    }

    fn key(&self, extent: &Extent) -> PartitionKey {
        PartitionKey { source: self.name.clone(), topic: extent.topic.clone(), partition: extent.partition }
    }

    /// Takes what has come.
    fn poll(
        &mut self,
        wait: Duration,
        engine: &mut Engine,
        shards: &mut [Shard],
        batches: &mut Vec<Batch>,
    ) -> Result<(), TrainError> {
        for input in self.reader.poll(wait) {
            self.heard = Instant::now();
            match input {
                Input::Batch(mut batch) => {
                    let Some(partition) = self.partitions.get_mut(&(batch.topic.clone(), batch.partition)) else {
                        continue;
                    };
                    let first =
                        batch.records.first().and_then(|record| record.timestamp_ms).and_then(Time::from_millis);
                    partition.first = partition.first.or(first);
                    batch.records.retain(|record| record.offset < partition.extent.end);
                    let next_offset = batch.records.last().map_or(partition.extent.end, |record| record.offset + 1);
                    partition.next_offset = next_offset.max(partition.next_offset);
                    if !batch.records.is_empty() {
                        batches.push(batch);
                    }
                }
                Input::Found { topic, partition: number, start, .. } => {
                    let known = self.partitions.get(&(topic.clone(), number));
                    if known.is_some_and(|partition| partition.extent.start < partition.extent.end) {
                        self.reader.assign(&topic, number, start);
                    }
                }
                Input::AtEnd { topic, partition: number, .. } => {
                    // What is missing was no record, or has been removed.
                    if let Some(partition) = self.partitions.get_mut(&(topic, number)) {
                        partition.next_offset = partition.extent.end;
                    }
                }
                Input::Gap { topic, partition, from, to } => {
                    let key = PartitionKey { source: self.name.clone(), topic, partition };
                    engine.lose(shards, &key, from, to);
                }
                Input::Missing { topic } => {
                    for (_, partition) in self.partitions.iter_mut().filter(|((of, _), _)| *of == topic) {
                        partition.next_offset = partition.extent.end;
                    }
                }
                Input::Error { message } => {
                    tracing::warn!(source = %self.name, %message, "the source cannot be read; it is waited for");
                    self.error = Some(message);
                }
                Input::Healthy => self.error = None,
                Input::Lag { .. } => {}
            }
        }
        match self.error.take_if(|_| self.heard.elapsed() >= PATIENCE) {
            Some(message) => Err(TrainError::Unreachable { source_name: self.name.clone(), message }),
            None => Ok(()),
        }
    }

    /// What is to be said: partitions that are read hold no time, and when all are, time goes on by itself.
    fn silence(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        if self.ended {
            return said;
        }
        for ((topic, number), partition) in &mut self.partitions {
            if !partition.done && partition.next_offset >= partition.extent.end {
                partition.done = true;
                self.reader.pause(topic, *number);
                let key = PartitionKey { source: self.name.clone(), topic: topic.clone(), partition: *number };
                said.push(Said::Idle { partition: key, at_offset: partition.next_offset });
            }
        }
        if self.partitions.values().all(|partition| partition.done) {
            self.ended = true;
            said.push(Said::Tick { source: self.place, frontier: self.until });
        }
        said
    }

    /// Lets the partitions wait that are far ahead of those who read them.
    fn hold(&mut self, ahead: &[PartitionKey]) {
        for ((topic, number), partition) in self.partitions.iter_mut().filter(|(_, partition)| !partition.done) {
            let is_it = |key: &PartitionKey| key.source == self.name && key.topic == *topic && key.partition == *number;
            let wait = ahead.iter().any(is_it);
            match (partition.paused, wait) {
                (false, true) => self.reader.pause(topic, *number),
                (true, false) => self.reader.resume(topic, *number),
                _ => {}
            }
            partition.paused = wait;
        }
    }
}

/// Gives what was learned keys that the store does not have, and says which of the kept ones it stands instead of:
/// those of the same baselines. One that has learned nothing stands instead of none.
fn replace(kept: &[(u64, BaselineHead)], learned: &mut [Change]) -> Vec<(u64, Arc<str>)> {
    let with_instances = with_instances(learned);
    let mut taken: HashSet<u64> = kept.iter().map(|(key, _)| *key).collect();
    let mut anew: HashMap<u64, u64> = HashMap::new();
    let mut replaced = Vec::new();
    for change in learned.iter() {
        let Change::Baseline { key, head: Some(head) } = change else { continue };
        let mut free = *key;
        while !taken.insert(free) {
            free = free.wrapping_add(1);
        }
        anew.insert(*key, free);
        let same = |was: &BaselineHead| {
            (&was.name, &was.agenda, &was.determines) == (&head.name, &head.agenda, &head.determines)
        };
        let same = kept.iter().filter(|(_, was)| with_instances.contains(key) && same(was));
        replaced.extend(same.map(|(key, was)| (*key, was.name.clone())));
    }
    for key in learned.iter_mut().filter_map(key_of) {
        *key = anew.get(key).copied().unwrap_or(*key);
    }
    replaced
}

/// The changes of baselines that have learned something.
fn taught(mut learned: Vec<Change>) -> Vec<Change> {
    let with_instances = with_instances(&learned);
    learned.retain_mut(|change| key_of(change).is_none_or(|key| with_instances.contains(key)));
    learned
}

fn with_instances(learned: &[Change]) -> HashSet<u64> {
    let key = |change: &Change| match change {
        Change::BaselineInstance { key, record: Some(_), .. } => Some(*key),
        _ => None,
    };
    learned.iter().filter_map(key).collect()
}

/// The baseline that a change is of.
fn key_of(change: &mut Change) -> Option<&mut u64> {
    match change {
        Change::Baseline { key, .. }
        | Change::BaselineInstance { key, .. }
        | Change::Column { key, .. }
        | Change::ColumnTrim { key, .. }
        | Change::Model { key, .. } => Some(key),
        _ => None,
    }
}

/// What the changes teach.
fn summary(definitions: &Definitions, learned: &[Change], replaced: &[(u64, Arc<str>)]) -> Vec<TrainedBaseline> {
    let mut by_key: BTreeMap<u64, Taught<'_>> = BTreeMap::new();
    for change in learned {
        match change {
            Change::Baseline { key, head } => by_key.entry(*key).or_default().head = head.as_ref(),
            Change::BaselineInstance { key, record: Some(record), .. } => {
                by_key.entry(*key).or_default().since.push(record.since);
            }
            Change::Column { key, end, record } => {
                let of = by_key.entry(*key).or_default();
                of.batches += record.values.iter().filter(|value| !value.is_nan()).count() as u64;
                of.last = of.last.max(Some(*end));
            }
            _ => {}
        }
    }
    let baseline = |of: Taught<'_>| {
        let name = of.head?.name.clone();
        let definition = definitions.baselines.iter().find(|definition| definition.name == name)?;
        let train = match &definition.learner {
            Learner::Function(function) => Some(function.train),
            Learner::Online(_) => None,
        };
        let last = of.last.unwrap_or(Time::MIN);
        let full = |train: Span| of.since.iter().filter(|since| last - **since >= train).count();
        let not_full = |train: Span| of.since.iter().map(|since| *since + train).filter(|full| *full > last).max();
        Some(TrainedBaseline {
            instances: of.since.len(),
            batches: train.map(|_| of.batches),
            full: train.map(full),
            full_at: train.and_then(not_full),
            learned: of.since.iter().min().copied().zip(of.last),
            replaced: replaced.iter().any(|(_, replaced)| *replaced == name),
            name,
        })
    };
    let mut baselines: Vec<TrainedBaseline> = by_key.into_values().filter_map(baseline).collect();
    baselines.sort_by(|a, b| a.name.cmp(&b.name));
    baselines
}

/// What one baseline's changes hold.
#[derive(Default)]
struct Taught<'a> {
    head: Option<&'a BaselineHead>,
    since: Vec<Time>,
    batches: u64,
    last: Option<Time>,
}
