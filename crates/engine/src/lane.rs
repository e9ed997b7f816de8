//! One worker's share of a lane: panes as flat columns, a row for each series. A sample costs one
//! update, however many windows it will lie in.

use crate::calendar::Cut;
use crate::plan::{LanePlan, Needs};
use crate::quantile::Values;
use crate::state::{PaneRecord, SeriesRecord};
use crate::sum::{self, ExactSum};
use codec::Kind;
use model::{Event, Labels, Span, Time};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What one worker holds of a lane.
#[derive(Debug)]
pub(crate) struct Lane {
    needs: Needs,
    cut: Option<Cut>,
    /// How long a rate looks back for the sample before its window.
    carry_width: Span,
    /// The series of each row; none where a row is free.
    pub(crate) rows: Vec<Option<Row>>,
    free: Vec<u32>,
    /// The earliest first.
    panes: Vec<Pane>,
    /// The pane that the last sample went to.
    recent: usize,
    /// The last sample of a row before the oldest pane, for rates.
    carries: HashMap<u32, (Time, f64)>,
    /// Events by time, with their rows.
    pub(crate) events: BTreeMap<Time, Vec<(u32, Event)>>,
}

/// Whose samples a row holds.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: Arc<str>,
    pub(crate) labels: Labels,
    pub(crate) instance: Labels,
    pub(crate) delta: bool,
    /// How many events of it wait or lie in open windows.
    pub(crate) waiting: usize,
}

/// Columns over the rows of a lane, for one stretch of time. Only those that are needed have entries.
#[derive(Debug)]
struct Pane {
    start: Time,
    end: Time,
    /// What every row has, side by side, so that a sample touches little memory.
    heads: Vec<Head>,
    sum: Vec<i128>,
    /// Sums that left the narrow range.
    wide: HashMap<u32, ExactSum>,
    /// The least and the greatest value.
    extremes: Vec<(f64, f64)>,
    values: Vec<Values>,
    samples: Vec<Vec<(Time, f64)>>,
}

/// How many samples a row has, and the last of them.
#[derive(Clone, Copy, Debug)]
struct Head {
    count: u32,
    last: (Time, f64),
}

/// The head and the extremes of a row without samples.
const EMPTY: (Head, (f64, f64)) =
    (Head { count: 0, last: (Time::MIN, f64::NEG_INFINITY) }, (f64::INFINITY, f64::NEG_INFINITY));

/// The summary of some samples of one series, or of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) sum: ExactSum,
    pub(crate) minimum: f64,
    pub(crate) maximum: f64,
    pub(crate) last: (Time, f64),
    pub(crate) values: Values,
    /// Where the earliest pane with samples begins.
    pub(crate) first_pane: Time,
}

impl Default for Summary {
    fn default() -> Summary {
        let (Head { last, .. }, (minimum, maximum)) = EMPTY;
        Summary {
            count: 0,
            sum: ExactSum::default(),
            minimum,
            maximum,
            last,
            values: Values::default(),
            first_pane: Time::MAX,
        }
    }
}

/// Whether a (time, value) is the later of two: the greater time, and of one time the greater value.
fn later(sample: (Time, f64), than: (Time, f64)) -> bool {
    sample.0 > than.0 || (sample.0 == than.0 && sample.1.total_cmp(&than.1).is_gt())
}

impl Pane {
    fn new(start: Time, end: Time) -> Pane {
        Pane {
            start,
            end,
            heads: Vec::new(),
            sum: Vec::new(),
            wide: HashMap::new(),
            extremes: Vec::new(),
            values: Vec::new(),
            samples: Vec::new(),
        }
    }

    fn holds(&self, time: Time) -> bool {
        self.start <= time && time < self.end
    }

    /// How many samples a row has.
    fn count(&self, row: u32) -> u32 {
        self.heads.get(row as usize).map_or(0, |head| head.count)
    }

    /// Makes room for this many rows.
    #[cold]
    fn grow(&mut self, rows: usize, needs: Needs) {
        self.heads.resize(rows, EMPTY.0);
        if needs.sum {
            self.sum.resize(rows, 0);
        }
        if needs.extremes {
            self.extremes.resize(rows, EMPTY.1);
        }
        if needs.values {
            self.values.resize_with(rows, Values::default);
        }
        if needs.samples {
            self.samples.resize_with(rows, Vec::new);
        }
    }

    fn add(&mut self, row: u32, time: Time, value: f64, needs: Needs) {
        let place = row as usize;
        let head = &mut self.heads[place];
        head.count += 1;
        if later((time, value), head.last) {
            head.last = (time, value);
        }
        if needs.sum {
            let sum = &mut self.sum[place];
            match sum::narrow(value).and_then(|term| sum.checked_add(term)) {
                Some(more) => *sum = more,
                None => self.add_wide(row, value),
            }
        }
        if needs.extremes {
            let (minimum, maximum) = &mut self.extremes[place];
            (*minimum, *maximum) = (minimum.min(value), maximum.max(value));
        }
        if needs.values {
            self.values[place].add(value);
        }
        if needs.samples {
            self.samples[place].push((time, value));
        }
    }

    #[cold]
    fn add_wide(&mut self, row: u32, value: f64) {
        self.wide.entry(row).or_default().add(value);
    }

    fn merge_into(&self, row: u32, summary: &mut Summary, needs: Needs) {
        let place = row as usize;
        let Some(Head { count, last }) = self.heads.get(place).filter(|head| head.count > 0) else { return };
        summary.count += u64::from(*count);
        summary.first_pane = summary.first_pane.min(self.start);
        if later(*last, summary.last) {
            summary.last = *last;
        }
        if needs.sum {
            summary.sum.add_narrow(self.sum[place]);
            if let Some(wide) = self.wide.get(&row) {
                summary.sum.merge(wide);
            }
        }
        if needs.extremes {
            let (minimum, maximum) = self.extremes[place];
            summary.minimum = summary.minimum.min(minimum);
            summary.maximum = summary.maximum.max(maximum);
        }
        if needs.values {
            summary.values.merge(&self.values[place]);
        }
    }

    fn forget(&mut self, row: u32, needs: Needs) {
        let place = row as usize;
        if place >= self.heads.len() {
            return;
        }
        self.heads[place] = EMPTY.0;
        if needs.sum {
            self.sum[place] = 0;
            self.wide.remove(&row);
        }
        if needs.extremes {
            self.extremes[place] = EMPTY.1;
        }
        if needs.values {
            self.values[place] = Values::default();
        }
        if needs.samples {
            self.samples[place] = Vec::new();
        }
    }
}

impl Lane {
    pub(crate) fn new(plan: &LanePlan) -> Lane {
        Lane {
            needs: plan.needs,
            carry_width: plan.cut.as_ref().map(Cut::width).unwrap_or_default(),
            cut: plan.cut.clone(),
            rows: Vec::new(),
            free: Vec::new(),
            panes: Vec::new(),
            recent: 0,
            carries: HashMap::new(),
            events: BTreeMap::new(),
        }
    }

    /// Gives a series a row.
    pub(crate) fn open(&mut self, row: Row) -> u32 {
        match self.free.pop() {
            Some(place) => {
                self.rows[place as usize] = Some(row);
                place
            }
            None => {
                self.rows.push(Some(row));
                (self.rows.len() - 1) as u32
            }
        }
    }

    /// Takes a row back, with all that it holds.
    pub(crate) fn close(&mut self, row: u32) {
        self.rows[row as usize] = None;
        self.free.push(row);
        self.carries.remove(&row);
        for pane in &mut self.panes {
            pane.forget(row, self.needs);
        }
        self.events.retain(|_, events| {
            events.retain(|(of, _)| *of != row);
            !events.is_empty()
        });
    }

    /// Adds one sample: one pane is updated.
    pub(crate) fn add(&mut self, row: u32, time: Time, value: f64, kind: Kind) {
        if self.needs.samples
            && let Some(row) = &mut self.rows[row as usize]
        {
            row.delta = kind == Kind::Delta;
        }
        let (rows, needs) = (self.rows.len(), self.needs);
        let pane = self.pane(time);
        if pane.heads.len() <= row as usize {
            pane.grow(rows, needs);
        }
        pane.add(row, time, value, needs);
    }

    /// The pane of a time, made where there is none.
    #[inline]
    fn pane(&mut self, time: Time) -> &mut Pane {
        if !self.panes.get(self.recent).is_some_and(|pane| pane.holds(time)) {
            self.recent = self.other_pane(time);
        }
        &mut self.panes[self.recent]
    }

    #[cold]
    fn other_pane(&mut self, time: Time) -> usize {
        let place = self.panes.partition_point(|pane| pane.end <= time);
        if !self.panes.get(place).is_some_and(|pane| pane.holds(time)) {
            let (start, end) = self.cut.as_ref().expect("samples are windowed").pane(time);
            self.panes.insert(place, Pane::new(start, end));
        }
        place
    }

    /// Adds one event.
    pub(crate) fn add_event(&mut self, row: u32, event: Event) {
        if let Some(row) = &mut self.rows[row as usize] {
            row.waiting += 1;
        }
        self.events.entry(event.time).or_default().push((row, event));
    }

    /// Adds what `row` holds between two times to a summary.
    pub(crate) fn merge(&self, row: u32, from: Time, to: Time, summary: &mut Summary) {
        for pane in self.between(from, to) {
            pane.merge_into(row, summary, self.needs);
        }
    }

    fn between(&self, from: Time, to: Time) -> impl Iterator<Item = &Pane> {
        let first = self.panes.partition_point(|pane| pane.start < from);
        self.panes[first..].iter().take_while(move |pane| pane.start < to)
    }

    /// The samples of `row` between two times, and before them its last one that is not before `back`.
    pub(crate) fn samples(&self, row: u32, back: Time, from: Time, to: Time, samples: &mut Vec<(Time, f64)>) {
        let carry = self.carries.get(&row).copied().into_iter().chain(
            self.panes
                .iter()
                .take_while(|pane| pane.start < from)
                .flat_map(|pane| pane.samples.get(row as usize))
                .flatten()
                .copied(),
        );
        let before =
            carry.filter(|sample| sample.0 >= back && sample.0 < from).reduce(|a, b| if later(b, a) { b } else { a });
        samples.extend(before);
        samples.extend(self.between(from, to).flat_map(|pane| pane.samples.get(row as usize)).flatten());
    }

    /// Where the first pane or event that is not before `from` begins.
    pub(crate) fn earliest(&self, from: Time) -> Option<Time> {
        if self.needs.events {
            return self.events.range(from..).next().map(|(time, _)| *time);
        }
        self.panes.get(self.panes.partition_point(|pane| pane.start < from)).map(|pane| pane.start)
    }

    /// Whether `row` holds anything at all that a window may still show.
    pub(crate) fn is_bare(&self, row: u32) -> bool {
        self.rows[row as usize].as_ref().is_none_or(|row| row.waiting == 0)
            && self.panes.iter().all(|pane| pane.count(row) == 0)
    }

    /// Drops what lies before `horizon`, where no window begins any more; rates keep one sample of it.
    pub(crate) fn trim(&mut self, horizon: Time) {
        let gone = self.panes.partition_point(|pane| pane.end <= horizon);
        for pane in self.panes.drain(..gone) {
            for (row, samples) in pane.samples.into_iter().enumerate() {
                let carried = self.carries.get(&(row as u32)).copied();
                let last = samples.into_iter().chain(carried).reduce(|a, b| if later(b, a) { b } else { a });
                if let Some(last) = last {
                    self.carries.insert(row as u32, last);
                }
            }
        }
        if gone > 0 {
            self.recent = 0;
            let oldest = horizon - self.carry_width;
            self.carries.retain(|_, last| last.0 >= oldest);
        }
        if self.needs.events {
            let kept = self.events.split_off(&horizon);
            for (row, _) in std::mem::replace(&mut self.events, kept).into_values().flatten() {
                if let Some(row) = &mut self.rows[row as usize] {
                    row.waiting -= 1;
                }
            }
        }
    }

    /// What a block keeps of a row, added to what other workers hold of the same series.
    pub(crate) fn record(&self, row: u32, record: &mut SeriesRecord) {
        let place = row as usize;
        for pane in self.panes.iter().filter(|pane| pane.count(row) > 0) {
            let at = record.panes.partition_point(|known| known.start_ns < pane.start.nanos());
            if record.panes.get(at).is_none_or(|known| known.start_ns != pane.start.nanos()) {
                record.panes.insert(at, empty_record(pane.start));
            }
            let known = &mut record.panes[at];
            let mut summary = read_record(known);
            pane.merge_into(row, &mut summary, self.needs);
            if let Some(samples) = pane.samples.get(place) {
                known.samples.extend(samples.iter().map(|(time, value)| (time.nanos(), *value)));
                known.delta |= self.rows[place].as_ref().is_some_and(|row| row.delta);
            }
            write_record(summary, self.needs, known);
        }
        if let Some(carry) = self.carries.get(&row)
            && record.carry.is_none_or(|known| later(*carry, known))
        {
            record.carry = Some(*carry);
        }
        let of_row = |(of, event): &(u32, Event)| (*of == row).then(|| event.clone());
        record.events.extend(self.events.values().flatten().filter_map(of_row));
    }

    /// Puts what a block kept into a row.
    pub(crate) fn restore(&mut self, row: u32, record: &SeriesRecord) {
        let (rows, needs) = (self.rows.len(), self.needs);
        for kept in &record.panes {
            let summary = read_record(kept);
            if let Some(row) = &mut self.rows[row as usize] {
                row.delta = kept.delta;
            }
            let pane = self.pane(Time::from_nanos(kept.start_ns));
            pane.grow(rows.max(pane.heads.len()), needs);
            let place = row as usize;
            pane.heads[place] = Head { count: summary.count as u32, last: summary.last };
            if needs.sum {
                pane.wide.insert(row, summary.sum);
            }
            if needs.extremes {
                pane.extremes[place] = (summary.minimum, summary.maximum);
            }
            if needs.values {
                pane.values[place] = summary.values;
            }
            if needs.samples {
                pane.samples[place] =
                    kept.samples.iter().map(|(time, value)| (Time::from_nanos(*time), *value)).collect();
            }
        }
        if let Some(carry) = record.carry {
            self.carries.insert(row, carry);
        }
        for event in &record.events {
            self.add_event(row, event.clone());
        }
    }
}

fn empty_record(start: Time) -> PaneRecord {
    let mut record = PaneRecord { start_ns: start.nanos(), ..PaneRecord::default() };
    write_record(Summary::default(), Needs::default(), &mut record);
    record
}

fn read_record(record: &PaneRecord) -> Summary {
    Summary {
        count: record.count,
        sum: ExactSum::from_words(&record.sum),
        minimum: record.minimum,
        maximum: record.maximum,
        last: (Time::from_nanos(record.last_ns), record.last),
        values: if record.buckets.is_empty() {
            Values::Exact(record.values.clone())
        } else {
            Values::Buckets(record.buckets.iter().copied().collect())
        },
        first_pane: Time::from_nanos(record.start_ns),
    }
}

fn write_record(summary: Summary, needs: Needs, record: &mut PaneRecord) {
    record.count = summary.count;
    record.sum = if needs.sum { summary.sum.to_words() } else { Vec::new() };
    (record.minimum, record.maximum) = (summary.minimum, summary.maximum);
    (record.last_ns, record.last) = (summary.last.0.nanos(), summary.last.1);
    (record.values, record.buckets) = match summary.values {
        Values::Exact(values) => (values, Vec::new()),
        Values::Buckets(buckets) => (Vec::new(), buckets.into_iter().collect()),
    };
}

impl Summary {
    /// Adds what came later. Values stay in order.
    pub(crate) fn add(&mut self, later: &Summary) {
        self.count += later.count;
        self.sum.merge(&later.sum);
        self.last = later.last;
        self.first_pane = self.first_pane.min(later.first_pane);
        self.values.merge_in_order(&later.values);
    }

    /// Takes away what was added first. Says whether what is left is known: not where values in buckets have become so
    /// few that they are wanted themselves.
    pub(crate) fn take_away(&mut self, first: &Summary) -> bool {
        self.count -= first.count;
        self.sum.take_away(&first.sum);
        if self.count == 0 {
            self.last = Summary::default().last;
        }
        self.values.take_away(&first.values)
    }

    /// Whether there is anything in it.
    pub(crate) fn has_samples(&self) -> bool {
        self.count > 0
    }
}
