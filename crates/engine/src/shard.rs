//! What one worker owns: its partitions, and panes for the series that it sees there. `fill` takes
//! records in, without a lock and without an allocation for a series that is known.

use crate::lane::{Lane, Row};
use crate::plan::Plan;
use crate::state::{PartitionKey, PartitionRecord, SeriesRecord};
use crate::table::{Table, Target};
use codec::{Decoded, Format, Kind, Reject, Sample};
use hashbrown::{HashMap, HashSet};
use model::definition::{Content, Source, Stream};
use model::record::{Batch, RecordIndex};
use model::{Counters, Event, Labels, Reason, Span, Time};
use std::ops::Range;
use std::sync::Arc;

/// One worker's share of everything in front of the frontier.
#[derive(Debug)]
pub struct Shard {
    plan: Arc<Plan>,
    formats: Arc<[Format]>,
    /// One for each lane of the plan.
    pub(crate) lanes: Vec<Lane>,
    /// Where samples go, for each source, by raw series key.
    tables: Vec<Table>,
    pub(crate) partitions: Vec<Partition>,
    places: HashMap<(usize, Arc<str>, i32), usize>,
    /// Rows that the engine has not met yet: lane and row.
    pub(crate) opened: Vec<(usize, u32)>,
    /// One for each source: what was counted since the engine last took it.
    pub(crate) counters: Vec<Counters>,
    /// The first refusals of each source and reason since the engine last took them.
    pub(crate) refusals: Vec<Refusal>,
    /// The names of metrics and labels that series have.
    names: HashSet<Arc<str>>,
    /// How many rows all lanes have.
    rows: usize,
    /// How often a pane took in a sample, since the start.
    updates: u64,
    /// For each lane and row, which block it was restored from.
    restored: Vec<HashMap<u32, u32>>,
    decoded: Decoded,
    /// The records that are taken in together, kept for its memory.
    block: Vec<Read>,
    /// For each of their samples the entry of its series, where it is known.
    found: Vec<Option<usize>>,
}

/// Something that was not used, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The source.
    pub source: usize,
    /// Where it lay.
    pub topic: Arc<str>,
    /// The partition there.
    pub partition: i32,
    /// The offset there.
    pub offset: i64,
    /// Why it was not used.
    pub reason: Reason,
    /// What was found, and what is wanted.
    pub detail: String,
}

/// A partition, as the worker that owns it reads it.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) key: PartitionKey,
    pub(crate) source: usize,
    pub(crate) record: PartitionRecord,
    pub(crate) replay: Option<Replay>,
    /// Records were lost, and none behind them has moved the partition's time yet.
    pub(crate) gap: Option<Gap>,
    /// Stretches of event time in which records were lost, since the engine last took them.
    pub(crate) ended_gaps: Vec<(Time, Time)>,
}

/// Records that were lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap {
    /// They do not lie before this.
    pub(crate) since: Time,
    /// How far the partition's time had come.
    pub(crate) max_time: Option<Time>,
}

impl Partition {
    pub(crate) fn new(key: PartitionKey, source: usize, record: PartitionRecord, replay: Option<Replay>) -> Partition {
        Partition { key, source, record, replay, gap: None, ended_gaps: Vec::new() }
    }

    /// Moves behind a record, after which the greatest time is `max_time`.
    fn pass(&mut self, offset: i64, max_time: Option<Time>, lateness: Span) {
        self.record.next_offset = offset + 1;
        self.record.max_time = max_time;
        if let Some(gap) = self.gap
            && let Some(time) = max_time.filter(|_| max_time > gap.max_time)
        {
            self.gap = None;
            self.ended_gaps.push((gap.since, time));
        }
        if self.record.first_watermark.is_none() {
            self.record.first_watermark = max_time.map(|time| time - lateness);
        }
        if self.replay.is_some() {
            self.end_replay(offset + 1);
        }
    }

    /// Whether a record is read again: then it arrived, and the floor is, as it was the first time.
    #[cold]
    fn replay(&mut self, offset: i64, appended: bool, arrival: &mut Time) -> bool {
        self.end_replay(offset);
        let Some(replay) = &self.replay else { return false };
        if !appended {
            let polled = replay.polled.partition_point(|(next_offset, _)| *next_offset <= offset);
            *arrival = replay.polled.get(polled).map_or(*arrival, |(_, at)| *at);
        }
        let floors = replay.floors.partition_point(|(from, _)| *from <= offset);
        if floors > 0 {
            self.record.floor = replay.floors[floors - 1].1;
        }
        true
    }

    /// Ends reading again where that is done; the partition then stands as it did.
    #[cold]
    fn end_replay(&mut self, next_offset: i64) {
        if let Some(replay) = self.replay.take_if(|replay| replay.committed.next_offset <= next_offset) {
            self.record = replay.committed;
        }
    }
}

/// What a partition is read again for: up to the committed position records only fill panes.
#[derive(Debug)]
pub(crate) struct Replay {
    /// How the partition stands once it has been read again.
    pub(crate) committed: PartitionRecord,
    /// Records below the offset were polled at the time.
    pub(crate) polled: Vec<(i64, Time)>,
    /// From the offset on, the floor.
    pub(crate) floors: Vec<(i64, Option<Time>)>,
    /// For each block that was restored: it holds records of this partition below the offset.
    pub(crate) held: Vec<i64>,
}

/// Fills panes with a batch of records. The shard owns the batch's partition; the shell may fill several
/// shards in parallel. Records below the partition's position are passed over: they were read before.
pub fn fill(shard: &mut Shard, batch: &Batch) {
    let Some(&place) = shard.places.get(&(batch.source, batch.topic.clone(), batch.partition)) else {
        unreachable!("the engine admits a partition before it is filled");
    };
    let (format, next_offset) = (shard.formats[batch.source].clone(), shard.partitions[place].record.next_offset);
    let (mut decoded, mut block) = (std::mem::take(&mut shard.decoded), std::mem::take(&mut shard.block));
    let mut counters = Counters::default();
    let mut records = (0..batch.records.len()).filter(|at| batch.records[*at].offset >= next_offset).peekable();
    while records.peek().is_some() {
        decoded.clear();
        block.clear();
        // What was rejected is not told apart by records, so that it ends a block.
        while block.len() < BLOCK_RECORDS && decoded.bytes.len() < BLOCK_BYTES && decoded.rejects.is_empty() {
            let Some(at) = records.next() else { break };
            format.decode(&batch.topic, &batch.record(at), &mut decoded);
            block.push(Read { at, samples: decoded.samples.len(), events: decoded.events.len() });
        }
        shard.find(batch.source, &decoded);
        shard.take_block(place, batch, &block, &decoded, &mut counters);
    }
    shard.counters[batch.source].add(&counters);
    (shard.decoded, shard.block) = (decoded, block);
}

/// So many records are decoded, or so many bytes of them, before they are taken in. Their series are looked for one
/// behind the other: then the memory where they lie is waited for side by side.
const BLOCK_RECORDS: usize = 32;
const BLOCK_BYTES: usize = 16 << 10;

/// A record of a block.
#[derive(Debug)]
struct Read {
    /// Its place in the batch.
    at: usize,
    /// Where its samples end among those of the block, and its events.
    samples: usize,
    events: usize,
}

/// What one record holds.
struct Contents<'a> {
    decoded: &'a Decoded,
    samples: Range<usize>,
    events: Range<usize>,
    rejects: &'a [Reject],
}

/// Between which times samples of a record count.
struct Bounds {
    latest: Time,
    floor: Time,
    watermark: Time,
}

impl Bounds {
    fn new(partition: &PartitionRecord, source: &Source, arrival: Time) -> Bounds {
        Bounds {
            latest: arrival + source.max_ahead,
            floor: partition.floor.unwrap_or(Time::MIN),
            watermark: partition.max_time.map_or(Time::MIN, |time| time - source.lateness),
        }
    }

    /// Why a sample of this time does not count, if so.
    fn judge(&self, time: Time) -> Option<Reason> {
        if time > self.latest {
            Some(Reason::Ahead)
        } else if time < self.floor {
            Some(Reason::BelowFloor)
        } else if time < self.watermark {
            Some(Reason::Late)
        } else {
            None
        }
    }
}

impl Shard {
    pub(crate) fn new(plan: Arc<Plan>, formats: Arc<[Format]>) -> Shard {
        let sources = plan.definitions.sources.len();
        Shard {
            lanes: plan.lanes.iter().map(Lane::new).collect(),
            tables: (0..sources).map(|_| Table::default()).collect(),
            partitions: Vec::new(),
            places: HashMap::new(),
            opened: Vec::new(),
            counters: vec![Counters::default(); sources],
            refusals: Vec::new(),
            names: HashSet::new(),
            rows: 0,
            updates: 0,
            restored: plan.lanes.iter().map(|_| HashMap::new()).collect(),
            decoded: Decoded::default(),
            block: Vec::new(),
            found: Vec::new(),
            plan,
            formats,
        }
    }

    /// How often a pane took in a sample, since the start: the cost of windows in front of the frontier.
    pub fn pane_updates(&self) -> u64 {
        self.updates
    }

    /// What was refused since this was last asked: the first of each source and reason, for the log.
    pub fn take_refusals(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.refusals)
    }

    /// Makes this worker the owner of a partition.
    pub(crate) fn own(&mut self, partition: Partition) -> usize {
        let key = (partition.source, partition.key.topic.clone(), partition.key.partition);
        self.partitions.push(partition);
        self.places.insert(key, self.partitions.len() - 1);
        self.partitions.len() - 1
    }

    /// Takes in records one after the other, and counts what they hold, unless it was counted before.
    fn take_block(&mut self, place: usize, batch: &Batch, block: &[Read], decoded: &Decoded, counters: &mut Counters) {
        let mut counted_before = Counters::default();
        let mut contents = Contents { decoded, samples: 0..0, events: 0..0, rejects: &[] };
        for (number, read) in block.iter().enumerate() {
            contents.samples = contents.samples.end..read.samples;
            contents.events = contents.events.end..read.events;
            contents.rejects = if number + 1 == block.len() { &decoded.rejects } else { &[] };
            let RecordIndex { offset, appended, .. } = batch.records[read.at];
            let (mut arrival, partition) = (batch.arrival(read.at), &mut self.partitions[place]);
            if partition.replay.is_some() && partition.replay(offset, appended, &mut arrival) {
                self.take(place, offset, arrival, &contents, &mut counted_before);
            } else {
                self.take(place, offset, arrival, &contents, counters);
            }
        }
    }

    /// Takes in what one record holds.
    #[inline(never)]
    fn take(&mut self, place: usize, offset: i64, arrival: Time, contents: &Contents<'_>, counters: &mut Counters) {
        let Contents { decoded, samples, events, rejects } = contents;
        let partition = &self.partitions[place];
        let (source, replayed) = (partition.source, partition.replay.is_some());
        let definition = &self.plan.definitions.sources[source];
        let (bounds, lateness) = (Bounds::new(&partition.record, definition, arrival), definition.lateness);
        let mut max_time = partition.record.max_time;
        counters.records += 1;
        for number in samples.clone() {
            let sample = &decoded.samples[number];
            if let Some(reason) = bounds.judge(sample.time) {
                counters.refuse(reason);
                self.note(place, offset, reason, replayed, || format!("a sample of {}", sample.time));
                continue;
            }
            max_time = max_time.max(Some(sample.time));
            counters.samples += 1;
            let entry = match self.found.get(number) {
                Some(Some(entry)) => *entry,
                _ => self.entry(source, decoded.slice(&sample.series), counters),
            };
            self.take_sample(place, offset, entry, sample);
        }
        for event in &decoded.events[events.clone()] {
            if let Some(reason) = bounds.judge(event.time) {
                counters.refuse(reason);
                self.note(place, offset, reason, replayed, || format!("an event of {}", event.time));
                continue;
            }
            max_time = max_time.max(Some(event.time));
            counters.events += 1;
            let entry = self.entry(source, decoded.slice(&event.series), counters);
            self.take_event(place, offset, entry, event.time, decoded.slice(&event.body), counters);
        }
        for reject in *rejects {
            counters.refused[reject.reason as usize] += u64::from(reject.count);
            self.note(place, offset, reject.reason, replayed, || reject.detail.clone());
        }
        self.partitions[place].pass(offset, max_time, lateness);
    }

    /// Adds a sample to all rows that do not hold it yet.
    #[inline]
    fn take_sample(&mut self, place: usize, offset: i64, entry: usize, sample: &Sample) {
        let Partition { source, replay, .. } = &self.partitions[place];
        self.tables[*source].at(entry).targets().for_each(|target| {
            if target.samples && wants(replay.as_ref(), &self.restored, offset, target) {
                self.lanes[target.lane as usize].add(target.row, sample.time, sample.value, sample.kind);
                self.updates += 1;
            }
        });
    }

    #[inline(never)]
    fn take_event(
        &mut self,
        place: usize,
        offset: i64,
        entry: usize,
        time: Time,
        body: &[u8],
        counters: &mut Counters,
    ) {
        let source = self.partitions[place].source;
        let mut shared: Option<(Arc<str>, Arc<str>)> = None;
        let mut parsed: Option<serde_json::Value> = None;
        let replay = self.partitions[place].replay.as_ref();
        for target in self.tables[source].at(entry).targets() {
            if target.samples || !wants(replay, &self.restored, offset, target) {
                continue;
            }
            let Target { lane, row, .. } = *target;
            let stream = &self.plan.definitions.streams[self.plan.lanes[lane as usize].stream];
            let needs_body =
                !stream.select.fields.is_empty() || matches!(stream.content, Content::EventsAsMetric(Some(_)));
            if needs_body && parsed.is_none() {
                parsed = serde_json::from_slice(body).ok();
            }
            if !selects_fields(stream, parsed.as_ref()) {
                continue;
            }
            match &stream.content {
                Content::EventsAsMetric(None) => self.lanes[lane as usize].add(row, time, 1.0, Kind::Gauge),
                Content::EventsAsMetric(Some(pointer)) => {
                    let number =
                        parsed.as_ref().and_then(|body| body.pointer(pointer)).and_then(serde_json::Value::as_f64);
                    if let Some(number) = number.filter(|number| number.is_finite()) {
                        self.lanes[lane as usize].add(row, time, number, Kind::Gauge);
                    }
                }
                _ => {
                    let lane = &mut self.lanes[lane as usize];
                    let Some(of) = lane.rows[row as usize].as_ref() else { continue };
                    let full = of.waiting >= self.plan.definitions.limits.events_per_window;
                    if full || body.len() > self.plan.definitions.limits.event_bytes {
                        counters.refuse(if full { Reason::Overflow } else { Reason::Oversized });
                        continue;
                    }
                    let (kind, body) = shared
                        .get_or_insert_with(|| (of.name.clone(), String::from_utf8_lossy(body).as_ref().into()))
                        .clone();
                    let key = &self.partitions[place].key;
                    let (topic, partition) = (key.topic.clone(), key.partition);
                    lane.add_event(row, Event { time, kind, topic, partition, offset, body });
                }
            }
        }
    }

    /// Notes the first refusal of its kind, for the log.
    #[cold]
    fn note(&mut self, place: usize, offset: i64, reason: Reason, replayed: bool, detail: impl FnOnce() -> String) {
        let partition = &self.partitions[place];
        let known = |refusal: &Refusal| refusal.source == partition.source && refusal.reason == reason;
        if !replayed && !self.refusals.iter().any(known) {
            let (topic, partition, source) = (partition.key.topic.clone(), partition.key.partition, partition.source);
            self.refusals.push(Refusal { source, topic, partition, offset, reason, detail: detail() });
        }
    }

    /// Looks for the series of all samples that were decoded.
    #[inline(never)]
    fn find(&mut self, source: usize, decoded: &Decoded) {
        let table = &self.tables[source];
        self.found.clear();
        self.found.extend(decoded.samples.iter().map(|sample| table.find(decoded.slice(&sample.series))));
    }

    /// Where samples of a series go: one look-up for a series that is known.
    #[inline]
    fn entry(&mut self, source: usize, raw: &[u8], counters: &mut Counters) -> usize {
        match self.tables[source].find(raw) {
            Some(entry) => entry,
            None => self.meet(source, raw, counters),
        }
    }

    /// Finds out where samples of a series go that is new, or of which rows were taken back.
    #[cold]
    fn meet(&mut self, source: usize, raw: &[u8], counters: &mut Counters) -> usize {
        let names = &mut self.names;
        let (name, labels) = codec::series(raw, |name| names.get_or_insert_with(name, |name| name.into()).clone());
        // The table may be about to change.
        self.found.clear();
        if self.tables[source].len() > 2 * self.plan.definitions.limits.series {
            self.tables[source].sweep();
        }
        let entry = self.tables[source].entry(&name, &labels);
        self.tables[source].know(raw, entry);
        self.open(source, entry, &name, &labels, counters);
        entry
    }

    /// Opens rows for a series in all lanes that want it and do not have it.
    fn open(&mut self, source: usize, entry: usize, name: &Arc<str>, labels: &Labels, counters: &mut Counters) {
        let plan = self.plan.clone();
        for (lane, of) in plan.lanes.iter().enumerate().filter(|(_, lane)| lane.source == source) {
            let known = self.tables[source].at(entry).targets().any(|target| target.lane as usize == lane);
            let stream = &plan.definitions.streams[of.stream];
            let Some(instance) = instance(stream, name, labels).filter(|_| !known) else { continue };
            if self.rows >= plan.definitions.limits.series {
                counters.refuse(Reason::Overflow);
                continue;
            }
            let row = self.open_row(lane, name.clone(), labels.clone(), instance);
            let samples = stream.content == Content::Metric;
            self.tables[source].at_mut(entry).push(Target { lane: lane as u32, row, samples });
        }
        self.tables[source].at_mut(entry).stale = false;
    }

    fn open_row(&mut self, lane: usize, name: Arc<str>, labels: Labels, instance: Labels) -> u32 {
        let row = self.lanes[lane].open(Row { name, labels, instance, delta: false, waiting: 0 });
        self.rows += 1;
        self.opened.push((lane, row));
        row
    }

    /// Opens a row for a series that a block names, and where `filled` gives it what the block holds.
    /// Nothing where its stream no longer wants it.
    pub(crate) fn restore(&mut self, lane: usize, block: u32, record: &SeriesRecord, filled: bool) -> Option<u32> {
        let plan = self.plan.clone();
        let source = plan.lanes[lane].source;
        let stream = &plan.definitions.streams[plan.lanes[lane].stream];
        let instance = instance(stream, &record.name, &record.labels)?;
        let row = self.open_row(lane, record.name.clone(), record.labels.clone(), instance);
        self.restored[lane].insert(row, block);
        if filled {
            self.lanes[lane].restore(row, record);
        }
        let entry = self.tables[source].entry(&record.name, &record.labels);
        let entry = self.tables[source].at_mut(entry);
        entry.push(Target { lane: lane as u32, row, samples: stream.content == Content::Metric });
        // Another lane may want it too, whose block does not name it.
        entry.stale = true;
        Some(row)
    }

    /// Takes a row back, and forgets where its series went.
    pub(crate) fn close(&mut self, lane: usize, row: u32) {
        let Some(of) = self.lanes[lane].rows[row as usize].clone() else { return };
        self.tables[self.plan.lanes[lane].source].close((of.name, of.labels), lane, row);
        self.lanes[lane].close(row);
        self.restored[lane].remove(&row);
        self.rows -= 1;
    }
}

/// Whether a target's row does not hold this record yet.
#[inline]
fn wants(replay: Option<&Replay>, restored: &[HashMap<u32, u32>], offset: i64, target: &Target) -> bool {
    let Some(replay) = replay else { return true };
    let block = restored[target.lane as usize].get(&target.row);
    block.is_none_or(|block| offset >= replay.held[*block as usize])
}

/// The instance of a stream that a series belongs to, where it does.
fn instance(stream: &Stream, name: &str, labels: &Labels) -> Option<Labels> {
    let label = |name: &str| labels.get(name).map_or("", |value| value);
    let selected = stream.select.name.iter().all(|condition| condition.holds(name))
        && stream.select.labels.iter().all(|(name, condition)| condition.holds(label(name)));
    let of_each: Option<Vec<_>> = (stream.each.iter())
        .map(|name| labels.get(name).filter(|value| !value.is_empty()).map(|value| (name.clone(), value.clone())))
        .collect();
    // Nearly always an instance is what makes a series, and shares its labels.
    let shared = |pairs: Vec<(Arc<str>, Arc<str>)>| {
        Some(Labels::new(pairs)).map(|own| if own == *labels { labels.clone() } else { own })
    };
    of_each.filter(|_| selected).and_then(shared)
}

/// Whether an event's fields are those that a stream selects.
fn selects_fields(stream: &Stream, body: Option<&serde_json::Value>) -> bool {
    stream.select.fields.iter().all(|(pointer, condition)| {
        let value = body.and_then(|body| body.pointer(pointer));
        match value {
            Some(serde_json::Value::String(text)) => condition.holds(text),
            Some(value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => {
                condition.holds(&value.to_string())
            }
            _ => condition.holds(""),
        }
    })
}
