//! The read model: what is committed, in memory, in the shape in which it is asked for. It stands beside
//! the engine and not inside, so that a reader never waits for a step, only for the short moment in which
//! a commit is taken over; and since only commits are taken over, nothing is told that a restart could
//! take back.

mod baselines;
mod recent;

pub use baselines::{BaselineInstanceView, BaselineView, ReadingView};
pub use recent::{Commit, Next, Told};

use baselines::{Baselines, Readings};
use engine::state::{
    ActiveError, Change, CheckKey, CheckRecord, Column, ElementRecord, InstanceRecord, KeptPoint, PartitionKey,
    PartitionRecord, Points, Restored, SourceRecord, Times,
};
use model::definition::{Definitions, Downsampling, Window};
use model::{Element, Labels, State, Time};
use recent::{Elements, Recent};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};
use store::Store;
use tokio::sync::watch;

/// How many changes are held for watchers, unless told otherwise.
pub const RECENT_CHANGES: usize = 32_768;

/// What is committed, for many readers and one writer.
#[derive(Debug)]
pub struct View {
    definitions: Arc<Definitions>,
    feeds: HashMap<u64, Feed>,
    held: RwLock<Held>,
    /// Held while a commit is taken over: what it changes is worked out before readers are kept out.
    writer: Mutex<()>,
    commits: watch::Sender<u64>,
    running: watch::Sender<bool>,
}

/// What an instance's feed number stands for.
#[derive(Clone, Debug)]
pub struct Feed {
    /// The number that instances are kept under.
    pub fingerprint: u64,
    /// The stream's name.
    pub stream: Arc<str>,
    /// How time is cut; none for events that come one by one.
    pub window: Option<Window>,
    /// What the values of a kept point are, in their order.
    pub downsample: Vec<Downsampling>,
    /// The sorted names of the sources whose clock it follows.
    pub sources: Vec<Arc<str>>,
    /// The names of the baselines whose readings a kept point has, in their order.
    pub baselines: Vec<Arc<str>>,
}

/// An element as it stood after some change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementView {
    /// Which.
    pub element: Element,
    /// What is kept of it.
    pub record: ElementRecord,
}

/// A check instance. Its evidence is left to the store: it would fill memory, and is asked for by transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckView {
    /// Its state; none until it has spoken.
    pub state: Option<State>,
    /// When the state began.
    pub since: Option<Time>,
    /// Why the state is what it is.
    pub message: Arc<str>,
    /// What it was last run for, where it has run since the start of the process.
    pub last_run: Option<Time>,
    /// The script's error, while its last run failed.
    pub error: Option<ActiveError>,
    /// When data will be missing.
    pub missing_at: Option<Time>,
    /// Its row in the column of deadlines.
    row: u32,
    /// When the state lapses.
    pub expires_at: Option<Time>,
}

/// An instance of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceView {
    /// What makes it.
    pub labels: Labels,
    /// When it was born.
    pub born: Time,
    /// The time of its last sample that was shown.
    pub last_sample: Option<Time>,
    /// Its newest point for each of its feeds that has one, by the feed's number.
    pub points: Vec<(u64, KeptPoint)>,
}

/// A source and its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceView {
    /// What is kept of it.
    pub record: SourceRecord,
    /// Its partitions; with each how many records lie between reading and its end, where that is known.
    pub partitions: Vec<(PartitionKey, PartitionRecord, Option<i64>)>,
    /// What keeps it from being read.
    pub error: Option<ActiveError>,
}

/// What the run loop knows beside what is committed.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    /// The offset after the last record of each partition for which it is known. Replaces what was told before.
    pub ends: Vec<(PartitionKey, i64)>,
    /// The sources that have an active error. Replaces what was told before.
    pub source_errors: Vec<(Arc<str>, ActiveError)>,
    /// When the instances of each check last ran, by their rows. Replaces what was told before.
    pub runs: Vec<(Arc<str>, Vec<Time>)>,
}

/// Where a watcher begins.
#[derive(Debug)]
pub enum Start {
    /// With all elements, as they stood after the change of this number.
    Snapshot {
        /// The last number that is in it.
        sequence: u64,
        /// All elements, in their order.
        elements: Vec<Arc<ElementView>>,
        /// The first commit that is not in it.
        next: u64,
    },
    /// With the changes that it has not seen, which begin somewhere in this commit.
    Resumed {
        /// The commit's number.
        next: u64,
    },
}

#[derive(Debug, Default)]
struct Held {
    sequence: u64,
    elements: Elements,
    checks: BTreeMap<CheckKey, CheckView>,
    /// By stream, instance and feed.
    instances: BTreeMap<Arc<str>, BTreeMap<Labels, FeedInstances>>,
    baselines: Baselines,
    readings: Readings,
    /// What has just closed on feeds whose instances do not keep it themselves.
    newest: HashMap<u64, Arc<Points>>,
    times: Times,
    /// For each check, when its instances last ran, by their rows.
    runs: HashMap<Arc<str>, Vec<Time>>,
    sources: BTreeMap<Arc<str>, SourceRecord>,
    partitions: BTreeMap<PartitionKey, PartitionRecord>,
    ends: HashMap<PartitionKey, i64>,
    source_errors: HashMap<Arc<str>, ActiveError>,
    recent: Recent,
}

/// What an instance is for each feed that has it, by the feed's number. Nearly always it is one.
type FeedInstances = Vec<(u64, FeedInstance)>;

#[derive(Debug)]
struct FeedInstance {
    born: Time,
    last_sample: Option<Time>,
    newest: Option<Box<KeptPoint>>,
    /// Its row in the columns of the feed.
    row: u32,
}

impl View {
    /// The view at a start: what the store gave back. `recent_changes` bounds what is held for watchers;
    /// a watcher that falls back further is dropped.
    pub fn new(
        definitions: Arc<Definitions>,
        feeds: impl IntoIterator<Item = Feed>,
        restored: &Restored,
        recent_changes: usize,
    ) -> View {
        let feeds: HashMap<_, _> = feeds.into_iter().map(|feed| (feed.fingerprint, feed)).collect();
        let shown = |(element, record): &(Element, ElementRecord)| {
            (element.clone(), Arc::new(ElementView { element: element.clone(), record: record.clone() }))
        };
        let mut held = Held {
            sequence: restored.sequence,
            elements: restored.elements.iter().map(shown).collect(),
            checks: restored.checks.iter().map(|(key, record)| (key.clone(), check_view(record))).collect(),
            sources: restored.sources.iter().cloned().collect(),
            partitions: restored.partitions.iter().cloned().collect(),
            recent: Recent::new(restored.sequence, recent_changes),
            ..Held::default()
        };
        for (feed, labels, record) in &restored.instances {
            held.put_instance(&feeds, *feed, labels, Some(record));
        }
        for (key, head) in &restored.baselines {
            baselines::put_head(&mut held.baselines, *key, Some(head));
        }
        for (key, labels, record) in &restored.baseline_instances {
            baselines::put_instance(&mut held.baselines, *key, labels, Some(record));
        }
        View {
            definitions,
            feeds,
            held: RwLock::new(held),
            writer: Mutex::default(),
            commits: watch::Sender::new(0),
            running: watch::Sender::new(false),
        }
    }

    /// Takes up the last changes again that the store holds, so that watchers may go on where they were before
    /// a restart. To be called before the first commit is taken over.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn recall(&self, store: &Store) -> Result<(), store::Error> {
        let mut held = self.held.write().expect(SOUND);
        let Held { recent, elements, sequence, .. } = &mut *held;
        recent.recall(elements, *sequence, store)
    }

    /// Takes a commit over, after it was written. Readers wait only while the results are put in place.
    pub fn apply(&self, changes: &[Change]) {
        let _one = self.writer.lock().expect(SOUND);
        let (told, elements) = {
            let held = self.read();
            recent::tell(&held.elements, held.sequence, changes)
        };
        let mut held = self.held.write().expect(SOUND);
        for (element, shown) in elements {
            match shown {
                Some(shown) => held.elements.insert(element, shown),
                None => held.elements.remove(&element),
            };
        }
        for change in changes {
            match change {
                Change::Source { name, record } => {
                    held.sources.insert(name.clone(), record.clone());
                }
                Change::Partition { key, record } => {
                    held.partitions.insert(key.clone(), record.clone());
                }
                Change::Instance { feed, labels, record } => {
                    held.put_instance(&self.feeds, *feed, labels, record.as_ref());
                }
                Change::Times { column, piece, times } => held.times.put(column.clone(), *piece, times.clone()),
                Change::Newest { feed, points } => {
                    held.readings.put(*feed, points.spoken());
                    held.newest.insert(*feed, points.clone());
                }
                Change::Check { key, record: Some(record) } => {
                    held.checks.insert(key.clone(), check_view(record));
                }
                Change::Check { key, record: None } => {
                    held.checks.remove(key);
                }
                Change::Baseline { key, head } => baselines::put_head(&mut held.baselines, *key, head.as_ref()),
                Change::BaselineInstance { key, labels, record } => {
                    baselines::put_instance(&mut held.baselines, *key, labels, record.as_ref());
                }
                Change::Sequence(last) => held.sequence = held.sequence.max(*last),
                Change::Element { .. }
                | Change::Transition(_)
                | Change::Publish { .. }
                | Change::Agenda { .. }
                | Change::Block { .. }
                | Change::Column { .. }
                | Change::ColumnTrim { .. }
                | Change::Model { .. }
                | Change::Journal { .. }
                | Change::JournalTrim { .. } => {}
            }
        }
        if let Some(last) = told.last() {
            held.sequence = held.sequence.max(last.sequence);
            let sequence = held.sequence;
            let commits = held.recent.push(sequence, told);
            drop(held);
            self.commits.send_replace(commits);
        }
    }

    /// Takes over what the run loop knows beside what is committed.
    pub fn observe(&self, observations: Observations) {
        let mut held = self.held.write().expect(SOUND);
        held.ends = observations.ends.into_iter().collect();
        held.source_errors = observations.source_errors.into_iter().collect();
        held.runs = observations.runs.into_iter().collect();
    }

    /// Says whether the engine runs: health checks answer by it. It does not until told so.
    pub fn engine_runs(&self, runs: bool) {
        self.running.send_replace(runs);
    }

    /// Whether the engine runs, now and whenever that changes.
    pub fn running(&self) -> watch::Receiver<bool> {
        self.running.subscribe()
    }

    /// What is watched.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// What the number of a feed stands for.
    pub fn feed(&self, fingerprint: u64) -> Option<&Feed> {
        self.feeds.get(&fingerprint)
    }

    /// The number of the last change that is committed.
    pub fn sequence(&self) -> u64 {
        self.read().sequence
    }

    /// One element.
    pub fn element(&self, element: &Element) -> Option<Arc<ElementView>> {
        self.read().elements.get(element).cloned()
    }

    /// The elements that follow on this one, `most` at most.
    pub fn elements(&self, after: Option<&Element>, most: usize) -> Vec<Arc<ElementView>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.read().elements.range((from, Bound::Unbounded)).take(most).map(|(_, shown)| shown.clone()).collect()
    }

    /// The checks that follow on this one, `most` at most.
    pub fn checks(&self, after: Option<&CheckKey>, most: usize) -> Vec<(CheckKey, CheckView)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let held = self.read();
        held.checks
            .range((from, Bound::Unbounded))
            .take(most)
            .map(|(key, shown)| (key.clone(), held.with_times(key, shown)))
            .collect()
    }

    /// All checks of an element.
    pub fn checks_of(&self, element: &Element) -> Vec<(CheckKey, CheckView)> {
        // No check has an empty name, so this key comes before all of the element's.
        let first = CheckKey { element: element.clone(), check: "".into(), labels: Labels::default() };
        let held = self.read();
        let checks = held.checks.range(&first..).take_while(|(key, _)| key.element == *element);
        checks.map(|(key, shown)| (key.clone(), held.with_times(key, shown))).collect()
    }

    /// How many instances of a stream live.
    pub fn instance_count(&self, stream: &str) -> usize {
        self.read().instances.get(stream).map_or(0, BTreeMap::len)
    }

    /// The instances of a stream that follow on this one, `most` at most.
    pub fn instances(&self, stream: &str, after: Option<&Labels>, most: usize) -> Vec<InstanceView> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let held = self.read();
        let Some(instances) = held.instances.get(stream) else { return Vec::new() };
        instances
            .range((from, Bound::Unbounded))
            .take(most)
            .filter_map(|(labels, feeds)| held.show(labels, feeds))
            .collect()
    }

    /// All baselines that are defined, by name and by the sources whose clock they follow.
    pub fn baselines(&self) -> Vec<BaselineView> {
        baselines::list(&self.read(), &self.definitions, &self.feeds)
    }

    /// The instances of a baseline that follow on this one, `most` at most.
    pub fn baseline_instances(&self, key: u64, after: Option<&Labels>, most: usize) -> Vec<BaselineInstanceView> {
        baselines::instances(&self.read(), &self.definitions, &self.feeds, key, after, most)
    }

    /// A source as it stands; all is empty while nothing was committed for it.
    pub fn source(&self, name: &Arc<str>) -> SourceView {
        let held = self.read();
        let first = PartitionKey { source: name.clone(), topic: "".into(), partition: i32::MIN };
        let partitions = held.partitions.range(&first..).take_while(|(key, _)| key.source == *name);
        SourceView {
            record: held.sources.get(name).cloned().unwrap_or_default(),
            partitions: partitions
                .map(|(key, record)| {
                    let lag = held.ends.get(key).map(|end| end.saturating_sub(record.next_offset).max(0));
                    (key.clone(), record.clone(), lag)
                })
                .collect(),
            error: held.source_errors.get(name).cloned(),
        }
    }

    /// Begins to watch, after this number where one is given and changes after it are still held. The start
    /// and the commits from its `next` on leave nothing out and hold nothing twice, but for what a resumed
    /// watcher has seen of its first commit.
    pub fn start(&self, after: Option<u64>) -> Start {
        let held = self.read();
        if let Some(next) = after.and_then(|after| held.recent.after(after, held.sequence)) {
            return Start::Resumed { next };
        }
        // Only pointers are copied while the writer is kept out.
        let elements = held.elements.values().cloned().collect();
        Start::Snapshot { sequence: held.sequence, elements, next: held.recent.end() }
    }

    /// The commit of this number, if it is there, not yet, or no longer.
    pub fn commit(&self, number: u64) -> Next {
        self.read().recent.get(number)
    }

    /// Wakes whenever there is a commit that watchers have not seen.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().expect(SOUND)
    }
}

/// A lock is unsound after a panic of its holder; then nothing that the view says can be relied on.
const SOUND: &str = "no holder of the view has panicked";

impl Held {
    fn put_instance(
        &mut self,
        feeds: &HashMap<u64, Feed>,
        feed: u64,
        labels: &Labels,
        record: Option<&InstanceRecord>,
    ) {
        // A feed that is no longer configured is dropped by the engine; until then it is nobody's instance.
        let Some(Feed { stream, .. }) = feeds.get(&feed) else { return };
        let instances = self.instances.entry(stream.clone()).or_default();
        let is = record.and_then(|record| record.points.last());
        let was = match record {
            Some(record) => {
                let InstanceRecord { row, born, last_sample, .. } = *record;
                let shown = FeedInstance { born, last_sample, newest: is.cloned().map(Box::new), row };
                let of_feeds = instances.entry(labels.clone()).or_default();
                match of_feeds.binary_search_by_key(&feed, |(feed, _)| *feed) {
                    Ok(at) => Some(std::mem::replace(&mut of_feeds[at].1, shown)),
                    Err(at) => {
                        of_feeds.reserve_exact(1);
                        of_feeds.insert(at, (feed, shown));
                        None
                    }
                }
            }
            None => {
                let of_feeds = instances.get_mut(labels);
                let was = of_feeds.and_then(|of_feeds| {
                    let at = of_feeds.iter().position(|(of, _)| *of == feed)?;
                    Some(of_feeds.remove(at).1)
                });
                if instances.get(labels).is_some_and(Vec::is_empty) {
                    instances.remove(labels);
                }
                was
            }
        };
        self.readings.change(feed, was.as_ref().and_then(|was| was.newest.as_deref()), is);
    }

    fn show(&self, labels: &Labels, feeds: &FeedInstances) -> Option<InstanceView> {
        let last_sample = |(feed, of_feed): &(u64, FeedInstance)| {
            self.times.get(&Column::LastSamples { feed: *feed }, of_feed.row).unwrap_or(of_feed.last_sample)
        };
        Some(InstanceView {
            labels: labels.clone(),
            born: feeds.iter().map(|(_, of_feed)| of_feed.born).min()?,
            last_sample: feeds.iter().filter_map(last_sample).max(),
            points: feeds.iter().filter_map(|(feed, of_feed)| Some((*feed, self.newest(*feed, of_feed)?))).collect(),
        })
    }

    /// The newest point of an instance.
    fn newest(&self, feed: u64, of_feed: &FeedInstance) -> Option<KeptPoint> {
        of_feed.newest.as_deref().cloned().or_else(|| self.newest.get(&feed)?.point(of_feed.row))
    }

    /// A check with what stands in columns.
    fn with_times(&self, key: &CheckKey, shown: &CheckView) -> CheckView {
        let column = Column::Deadlines { check: key.check.clone() };
        let missing_at = self.times.get(&column, shown.row).unwrap_or(shown.missing_at);
        let ran = self.runs.get(&key.check).and_then(|runs| runs.get(shown.row as usize)).copied();
        CheckView { missing_at, last_run: ran.filter(|time| *time != Time::MIN), ..shown.clone() }
    }
}

fn check_view(record: &CheckRecord) -> CheckView {
    CheckView {
        state: record.state,
        since: record.since,
        message: record.message.clone(),
        last_run: None,
        error: record.error.clone(),
        missing_at: record.missing_at,
        row: record.row,
        expires_at: record.expires_at,
    }
}
