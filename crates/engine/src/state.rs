//! What is kept: the records that a commit is made of, and that a start begins with. `store` writes
//! them in its own twin; nothing here knows how.

pub use crate::points::Points;
use model::transition::Health;
use model::{Band, Counters, Element, Event, Labels, Reading, State, Time, Transition};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A partition of a source. The source is named, since its place changes with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// The source's name.
    pub source: Arc<str>,
    /// The topic.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
}

/// Where reading stands in a partition, and how its time runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionRecord {
    /// Where reading of this partition began.
    pub start_offset: i64,
    /// The offset of the next record to read.
    pub next_offset: i64,
    /// The topic's id, where the client tells it.
    pub topic_id: Option<String>,
    /// The greatest time of a sample or event that counted.
    pub max_time: Option<Time>,
    /// The first watermark it had.
    pub first_watermark: Option<Time>,
    /// Samples before it are refused.
    pub floor: Option<Time>,
    /// Whether it stands at its end, is silent, and so does not hold the frontier.
    pub idle: bool,
}

/// What is kept of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRecord {
    /// The fingerprint of its mapping.
    pub mapping: u64,
    /// How far its time has come.
    pub frontier: Option<Time>,
    /// The stretches of time that only ticks have crossed: (after, up to), in order, apart.
    pub silences: Vec<(Time, Time)>,
    /// The stretches of event time in which records were lost before they could be read.
    pub gaps: Vec<(Time, Time)>,
    /// What was counted.
    pub counters: Counters,
    /// Offsets that were lost in gaps.
    pub lost: u64,
    /// How often a topic was found made anew.
    pub recreated: u64,
}

/// A place on an agenda: a time, and whether windows and timers (0) or events (1) of that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    /// The event time.
    pub time: Time,
    /// 0: windows that end then, and timers. 1: events of that time, once the clock has passed it.
    pub phase: u8,
}

/// How far an agenda has come. Its key is the sorted names of its sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgendaRecord {
    /// The lower end of what it has seen; set once, when its clock first runs.
    pub origin: Option<Time>,
    /// Everything up to and including this is done.
    pub place: Option<Instant>,
}

/// What the windows of one instance of a feed have come to. Keyed by feed fingerprint and labels.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceRecord {
    /// Its row in `Column::LastSamples`.
    pub row: u32,
    /// Where its first window may begin.
    pub begin: Time,
    /// When it was born.
    pub born: Time,
    /// Its greatest sample time that an evaluated window or event has shown. Where there is a column, that says.
    pub last_sample: Option<Time>,
    /// Points that inputs may still ask for, oldest first: start, end, count, numbers (NaN for none), incomplete.
    pub points: Vec<KeptPoint>,
    /// The events of its newest window, where an input may still ask for them.
    pub events: Vec<Event>,
}

/// A closed window, with all downsamplings that any input of its feed wants.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptPoint {
    /// Where the window begins.
    pub start: Time,
    /// Where it ends.
    pub end: Time,
    /// How many samples lie in it.
    pub count: u64,
    /// A number for each downsampling of the feed, NaN where there is none.
    pub values: Vec<f64>,
    /// Whether records of this time were lost.
    pub incomplete: bool,
    /// What each baseline of the feed said of it, in their order; empty for a feed without any.
    pub readings: Vec<Option<Reading>>,
}

/// How many rows a piece of a column of times has. Those that do not change are not written again.
pub const TIMES_PER_PIECE: usize = 1024;

/// What changes with each window for nearly all at once, and is kept apart from the records it belongs to.
#[allow(missing_docs, reason = "each variant's words name its fields")]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Column {
    /// `InstanceRecord::last_sample` of a feed's instances.
    LastSamples { feed: u64 },
    /// `CheckRecord::missing_at` of a check's instances.
    Deadlines { check: Arc<str> },
}

/// One check on one element for one instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckKey {
    /// The element.
    pub element: Element,
    /// The check's name.
    pub check: Arc<str>,
    /// The instance's labels.
    pub labels: Labels,
}

/// What is kept of a check instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRecord {
    /// Its row in `Column::Deadlines`.
    pub row: u32,
    /// Its state; none until it has spoken.
    pub state: Option<State>,
    /// When the state began.
    pub since: Option<Time>,
    /// The last results, newest last.
    pub results: Vec<State>,
    /// Why the state is what it is.
    pub message: Arc<str>,
    /// What the run that brought the state had seen, as JSON.
    pub evidence: Arc<str>,
    /// When data will be missing, if no point comes. Where there is a column, that says.
    pub missing_at: Option<Time>,
    /// How often in a row they were.
    pub missed: u32,
    /// When the state lapses.
    pub expires_at: Option<Time>,
    /// The script's error, while its last run failed.
    pub error: Option<ActiveError>,
}

/// An error that stands until its cause has gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveError {
    /// What kind: `error`, `operations`, `memory` and so on.
    pub kind: Arc<str>,
    /// What went wrong.
    pub message: Arc<str>,
    /// The script's line; 0 where there is none.
    pub line: u32,
    /// The column; 0 where there is none.
    pub column: u32,
    /// The instant at which it was first met in a row.
    pub since: Time,
}

/// What is kept of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementRecord {
    /// What kind of component or relation it is.
    pub kind: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// The labels of the instance that made it by template; none for one that is written out.
    pub instance: Option<Labels>,
    /// The name of the definition that made it, as written.
    pub definition: Arc<str>,
    /// Own health.
    pub own: Standing,
    /// Propagated health.
    pub propagated: Standing,
    /// An error of its propagation.
    pub error: Option<ActiveError>,
}

/// A health and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The state.
    pub state: State,
    /// When it began: the time of the last transition; none before the first.
    pub since: Option<Time>,
    /// The sequence number of that transition; 0 before the first.
    pub sequence: u64,
    /// Its message.
    pub message: Arc<str>,
}

impl ElementRecord {
    /// One of its two healths.
    pub fn standing(&self, health: Health) -> &Standing {
        match health {
            Health::Own => &self.own,
            Health::Propagated => &self.propagated,
        }
    }
}

/// What the shell has said, at its place among the records.
#[allow(missing_docs, reason = "each variant's words name its fields")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Records below `next_offset`, and not below the previous such entry's, were polled at `at`.
    Polled { partition: PartitionKey, next_offset: i64, at: Time },
    /// The partition is new, or active again: from `at_offset` on, samples before `floor` are refused.
    Active { partition: PartitionKey, at_offset: i64, floor: Option<Time> },
    /// The partition stands at its end and is silent.
    Idle { partition: PartitionKey, at_offset: i64 },
    /// The source is silent as a whole; its frontier is now at least this.
    Tick { source: Arc<str>, frontier: Time },
    /// The agenda was taken up to here.
    Advanced { agenda: Vec<Arc<str>>, place: Instant },
    /// A step ended.
    Step,
}

/// What a baseline on one agenda was learned under: the first thing a start compares. Everything that was learned is
/// kept under its key, which is a number and says nothing by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaselineHead {
    /// The baseline's name.
    pub name: Arc<str>,
    /// The sorted names of the agenda's sources.
    pub agenda: Vec<Arc<str>>,
    /// What determines what is learned, in words: `window`, `batching 1h`.
    pub determines: Vec<(Arc<str>, Arc<str>)>,
    /// What determines the band that is made of it, in words: the function's version, its arguments.
    pub derives: Vec<(Arc<str>, Arc<str>)>,
    /// What began before it is no longer kept.
    pub kept_from: Option<Time>,
}

/// What is kept of a baseline for one instance, beside what it learned. Keyed by baseline and labels.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselineRecord {
    /// Its row in the columns.
    pub row: u32,
    /// Where the first window begins that it has learned.
    pub since: Time,
    /// Where the newest window ends that it has learned, or an older one that columns are kept of.
    pub newest: Time,
    /// The band of the last batch that the function has spoken on; none before, and for online models.
    pub band: Option<Band>,
    /// The end of the batch that the function was last asked about.
    pub asked: Option<Time>,
    /// The function's error, while its last call failed: the band is then that of an earlier batch.
    pub error: Option<ActiveError>,
}

/// What a baseline learned from one window, as columns by row. Keyed by baseline and the window's end.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnRecord {
    /// Where the window begins.
    pub start: Time,
    /// The values, NaN where a row has none. Rows past the end have none.
    pub values: Vec<f32>,
    /// How many samples, each as one byte: see `counts`. As long as `values`; empty for online models.
    pub counts: Vec<u8>,
    /// A bit for each row, lowest first: whether a check found it anomalous. Empty where none was.
    pub anomalous: Vec<u8>,
}

/// A model as it was after the window that ended at `end`. Keyed by baseline and row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRecord {
    /// The end of the last window that it has learned.
    pub end: Time,
    /// As `online::Model::encode` writes it.
    pub bytes: Vec<u8>,
}

/// Some hundred series of one lane, with what their open windows hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlockRecord {
    /// The fingerprint of the lane: stream, window, summaries kept.
    pub lane: u64,
    /// Where reading stood when it was written, and how time ran there: what lies below is in it.
    pub positions: Vec<(PartitionKey, PartitionRecord)>,
    /// Its series.
    pub series: Vec<SeriesRecord>,
}

/// What a block holds of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesRecord {
    /// Its number within the lane.
    pub number: u32,
    /// The metric's name, or the events' type.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// Its panes, the earliest first.
    pub panes: Vec<PaneRecord>,
    /// Its last sample before the oldest pane, where a rate may start from it.
    pub carry: Option<(Time, f64)>,
    /// Its events of open windows, and those not yet evaluated.
    pub events: Vec<Event>,
}

/// The summary of one series over one pane. What the lane does not need is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PaneRecord {
    /// Where it begins, in nanoseconds since the epoch.
    pub start_ns: i64,
    /// How many samples.
    pub count: u64,
    /// Their exact sum: see `sum`.
    pub sum: Vec<i64>,
    /// The least.
    pub minimum: f64,
    /// The greatest.
    pub maximum: f64,
    /// The time of the last, in nanoseconds since the epoch.
    pub last_ns: i64,
    /// The value of the last.
    pub last: f64,
    /// All values, while they are few, for percentiles.
    pub values: Vec<f64>,
    /// Counts by bucket, once they are many.
    pub buckets: Vec<(i32, u64)>,
    /// All samples with their times, for rates.
    pub samples: Vec<(i64, f64)>,
    /// Whether samples are increments.
    pub delta: bool,
}

/// Many messages for one topic, one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// The key and the value of each.
    pub bytes: Vec<u8>,
    /// Where they end, in their order.
    pub index: Vec<MessagePlace>,
}

/// Where one of many messages lies; it begins where the one before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagePlace {
    /// Where its key ends.
    pub key_end: u32,
    /// Where its value ends.
    pub value_end: u32,
    /// Its timestamp, in milliseconds since the epoch.
    pub timestamp_ms: i64,
}

impl Messages {
    /// Key, value and timestamp of each message.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], i64)> {
        let mut begin = 0;
        self.index.iter().map(move |place| {
            let (key_end, value_end) = (place.key_end as usize, place.value_end as usize);
            let (key, value) = (&self.bytes[begin..key_end], &self.bytes[key_end..value_end]);
            begin = value_end;
            (key, value, place.timestamp_ms)
        })
    }
}

/// One thing that a commit writes.
#[allow(missing_docs, reason = "each variant's words name its fields")]
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A source.
    Source { name: Arc<str>, record: SourceRecord },
    /// A partition.
    Partition { key: PartitionKey, record: PartitionRecord },
    /// An agenda, by the sorted names of its sources.
    Agenda { sources: Vec<Arc<str>>, record: AgendaRecord },
    /// An instance of a feed; none where it has retired.
    Instance { feed: u64, labels: Labels, record: Option<InstanceRecord> },
    /// A piece of a column of times: the rows from `piece * TIMES_PER_PIECE` on. `Time::MIN` stands for none. Empty
    /// where it is no longer kept.
    Times { column: Column, piece: u32, times: Vec<Time> },
    /// What has just closed on a feed that baselines learn from, by the rows of its instances. It is there to be
    /// looked at, and not kept.
    Newest { feed: u64, points: Arc<Points> },
    /// A check instance; none where it is gone.
    Check { key: CheckKey, record: Option<CheckRecord> },
    /// An element; none where it is gone.
    Element { element: Element, sequence: u64, record: Option<ElementRecord> },
    /// A block; none where it is no longer needed.
    Block { number: u64, record: Option<BlockRecord> },
    /// A baseline on one agenda; none where nothing asks for it any more, and then all that is kept under its key goes.
    Baseline { key: u64, head: Option<BaselineHead> },
    /// A baseline's instance; none where it is forgotten.
    BaselineInstance { key: u64, labels: Labels, record: Option<BaselineRecord> },
    /// What a baseline learned from the window that ended at `end`.
    Column { key: u64, end: Time, record: ColumnRecord },
    /// Columns of windows that ended before this are no longer needed.
    ColumnTrim { key: u64, before: Time },
    /// An online model of a baseline's row; none where the row is free.
    Model { key: u64, row: u32, record: Option<ModelRecord> },
    /// What the shell said, by its number in the one journal.
    Journal { number: u64, entry: Entry },
    /// Entries below this number are no longer needed.
    JournalTrim { below: u64 },
    /// A transition: into the history, and into the outbox.
    Transition(Transition),
    /// The last number given in the sequence of history and watch.
    Sequence(u64),
    /// Points for a topic, under a number of a sequence of their own: into the outbox, in one piece.
    Publish { number: u64, topic: Arc<str>, messages: Messages },
}

/// What a store gives back at a start. In the order of keys where there are keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    /// Sources by name.
    pub sources: Vec<(Arc<str>, SourceRecord)>,
    /// Partitions.
    pub partitions: Vec<(PartitionKey, PartitionRecord)>,
    /// Agendas.
    pub agendas: Vec<(Vec<Arc<str>>, AgendaRecord)>,
    /// Instances of feeds.
    pub instances: Vec<(u64, Labels, InstanceRecord)>,
    /// Check instances.
    pub checks: Vec<(CheckKey, CheckRecord)>,
    /// Columns of times, in pieces. What they say stands in the records already: see `put_times`.
    pub times: Vec<(Column, u32, Vec<Time>)>,
    /// Elements.
    pub elements: Vec<(Element, ElementRecord)>,
    /// Blocks by number.
    pub blocks: Vec<(u64, BlockRecord)>,
    /// Baselines by key.
    pub baselines: Vec<(u64, BaselineHead)>,
    /// Their instances.
    pub baseline_instances: Vec<(u64, Labels, BaselineRecord)>,
    /// What they learned, by key and end.
    pub columns: Vec<(u64, Time, ColumnRecord)>,
    /// Their models, by key and row.
    pub models: Vec<(u64, u32, ModelRecord)>,
    /// The journal from its oldest needed entry on, by number.
    pub journal: Vec<(u64, Entry)>,
    /// The last number given.
    pub sequence: u64,
    /// The number of the last `Change::Publish`.
    pub published: u64,
}

/// Columns of times, put together of their pieces.
#[derive(Debug, Default)]
pub struct Times(HashMap<Column, BTreeMap<u32, Vec<Time>>>);

impl Times {
    /// Takes in a piece; an empty one is no longer kept.
    pub fn put(&mut self, column: Column, piece: u32, times: Vec<Time>) {
        let pieces = self.0.entry(column).or_default();
        match times.is_empty() {
            true => pieces.remove(&piece),
            false => pieces.insert(piece, times),
        };
    }

    /// What a column says of a row, where it says anything.
    pub fn get(&self, column: &Column, row: u32) -> Option<Option<Time>> {
        let row = row as usize;
        let piece = self.0.get(column)?.get(&((row / TIMES_PER_PIECE) as u32))?;
        let time = *piece.get(row % TIMES_PER_PIECE)?;
        Some(Some(time).filter(|time| *time != Time::MIN))
    }
}

impl Restored {
    /// Puts what columns of times say into the records that they belong to.
    pub fn put_times(&mut self) {
        let mut columns = Times::default();
        for (column, piece, times) in &self.times {
            columns.put(column.clone(), *piece, times.clone());
        }
        for (feed, _, record) in &mut self.instances {
            if let Some(time) = columns.get(&Column::LastSamples { feed: *feed }, record.row) {
                record.last_sample = time;
            }
        }
        for (key, record) in &mut self.checks {
            if let Some(time) = columns.get(&Column::Deadlines { check: key.check.clone() }, record.row) {
                record.missing_at = time;
            }
        }
    }
}
