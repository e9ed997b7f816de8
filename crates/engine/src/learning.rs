//! What one baseline learns on one agenda: the lesson, which is the plan's, and the pupil, which holds what was learned
//! of each instance.
//!
//! What a window taught is a column over all instances, because they close at once: a value of a batch costs five
//! bytes, in memory and in the store, and a commit writes one record for all of them.

use crate::calendar::{Cut, local, phase};
use crate::points::ClosedPoint;
use crate::state::{ActiveError, BaselineHead, BaselineRecord, ColumnRecord, ModelRecord};
use functions::{BaselineCall, Failure, Library, Seen, TrainingBatch};
use hashbrown::HashMap;
use jiff::tz::TimeZone;
use model::baseline::{learnable, pack_count, unpack_count};
use model::definition::{Argument, BaselineDefinition, BaselineFunction, Definitions, Learner, OnlineModel};
use model::{Band, Labels, Reading, Span, Time, Value};
use online::Model;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Windows in which each row's model is written once: a start learns no more than these anew.
const ROUND: usize = 16;

/// A baseline as the points of one feed teach it.
#[derive(Debug)]
pub(crate) struct Lesson {
    /// Its place in `Definitions::baselines`.
    pub(crate) baseline: usize,
    pub(crate) feed: usize,
    /// The place of its downsampling in the feed's.
    pick: usize,
    zone: TimeZone,
    cut: Cut,
}

/// What was learned.
#[derive(Debug)]
pub(crate) struct Pupil {
    pub(crate) key: u64,
    pub(crate) head: BaselineHead,
    rows: Vec<Option<Row>>,
    free: BTreeSet<u32>,
    by_labels: HashMap<Labels, u32>,
    /// The row of each instance of the lane, where it was looked up.
    by_place: Vec<Option<u32>>,
    /// What windows taught, oldest first: for functions of the training window, for models what no commit has yet.
    columns: VecDeque<Column>,
    /// How many of the newest columns no commit has.
    uncommitted: usize,
    /// What the local clock shows at the end of the windows that are closing.
    local: Time,
    /// The window that comes next, and the row from which on functions have not been asked about it.
    next: Option<(Time, Time)>,
    asking: usize,
    /// The row whose model is written next, and those whose turn has come.
    turn: usize,
    to_write: Vec<u32>,
    /// Columns that ended before this are not needed, and what the store was last told of it.
    trim: Option<Time>,
    trimmed: Option<Time>,
    changed: BTreeSet<u32>,
    gone: Vec<(u32, Labels)>,
    head_changed: bool,
}

/// What was learned from one window.
#[derive(Debug)]
struct Column {
    end: Time,
    phase: u32,
    record: ColumnRecord,
}

/// One instance.
#[derive(Debug)]
struct Row {
    labels: Labels,
    since: Time,
    /// The end of the newest window that it has learned.
    newest: Time,
    band: Option<Band>,
    asked: Option<Time>,
    error: Option<Box<ActiveError>>,
    /// For online models, and the end of the newest window that the store's copy of it has learned.
    model: Option<Box<Model>>,
    written: Option<Time>,
}

impl Lesson {
    pub(crate) fn new(definitions: &Definitions, baseline: usize, feed: usize, pick: usize) -> Lesson {
        let definition = &definitions.baselines[baseline];
        let zone = TimeZone::get(&definition.zone).expect("validated zones are known");
        Lesson { baseline, feed, pick, zone, cut: Cut::new(&definition.window) }
    }

    /// What it is learned under.
    pub(crate) fn head(&self, definitions: &Definitions, library: &Library, agenda: &[Arc<str>]) -> BaselineHead {
        let of = &definitions.baselines[self.baseline];
        let stream = &definitions.streams[of.stream];
        let source = &definitions.sources[stream.source];
        let mut determines = vec![
            ("source", format!("{} {:016x}", source.name, source.mapping)),
            ("select", stream.select.to_string()),
            ("each", stream.each.join(", ")),
            ("as", stream.content.to_string()),
            ("window", of.window.to_string()),
            ("downsample", of.downsample.to_string()),
        ];
        let mut derives = Vec::new();
        match &of.learner {
            Learner::Function(function) => {
                determines.push(("period", function.period.to_string()));
                let script = library.function(&function.function).map_or(0, |function| function.fingerprint);
                derives.push(("function", format!("{} {script:016x}", function.function)));
                derives.push(("train", function.train.to_string()));
                derives.push(("adapt_after", function.adapt_after.to_string()));
                derives.extend(function.arguments.iter().map(|(name, argument)| (&**name, argument.to_string())));
            }
            Learner::Online(model) => {
                determines.push(("function", model.name().to_owned()));
                determines.push(("zone", of.zone.to_string()));
                if let OnlineModel::Deviation { scales } = model {
                    derives.push(("scales", scales.to_string()));
                }
            }
        }
        let words = |pairs: Vec<(&str, String)>| pairs.into_iter().map(|(name, of)| (name.into(), of.into())).collect();
        BaselineHead {
            name: of.name.clone(),
            agenda: agenda.to_vec(),
            determines: words(determines),
            derives: words(derives),
            kept_from: None,
        }
    }
}

impl Pupil {
    /// One that has learned nothing, or whatever was kept under the key: columns, rows and models.
    pub(crate) fn new(key: u64, head: BaselineHead) -> Pupil {
        Pupil {
            key,
            head,
            rows: Vec::new(),
            free: BTreeSet::new(),
            by_labels: HashMap::new(),
            by_place: Vec::new(),
            columns: VecDeque::new(),
            uncommitted: 0,
            local: Time::MIN,
            next: None,
            asking: 0,
            turn: 0,
            to_write: Vec::new(),
            trim: None,
            trimmed: None,
            changed: BTreeSet::new(),
            gone: Vec::new(),
            head_changed: true,
        }
    }

    /// Takes back what was kept. `was` is the head that it was learned under, which may say other things of how bands
    /// are made: then functions are asked anew. Columns come in the order of time.
    pub(crate) fn restore(
        &mut self,
        lesson: &Lesson,
        definition: &BaselineDefinition,
        was: &BaselineHead,
        instances: Vec<(Labels, BaselineRecord)>,
        columns: Vec<(Time, ColumnRecord)>,
        models: Vec<(u32, ModelRecord)>,
    ) {
        let anew = was.derives != self.head.derives;
        let train = |head: &BaselineHead| {
            head.derives.iter().find(|(name, _)| &**name == "train").and_then(|(_, train)| train.parse::<Span>().ok())
        };
        // What a shorter training window has let go does not come back with a longer one.
        let cut_off = columns.first().map(|(_, column)| column.start).filter(|_| train(was) < train(&self.head));
        self.head.kept_from = was.kept_from.max(cut_off);
        self.head_changed = self.head != *was;
        for (labels, record) in instances {
            let BaselineRecord { row, since, newest, band, asked, error } = record;
            let row = row as usize;
            self.rows.resize_with(self.rows.len().max(row + 1), || None);
            self.by_labels.insert(labels.clone(), row as u32);
            let (asked, error) = if anew { (None, None) } else { (asked, error.map(Box::new)) };
            // A model has learned what is said with it, and learns the columns behind that.
            let model = fresh_model(definition);
            let newest = if model.is_some() { since } else { newest };
            self.rows[row] = Some(Row { labels, since, newest, band, asked, error, model, written: None });
        }
        if let Learner::Online(model) = &definition.learner {
            for (row, record) in models {
                let Some(Some(of)) = self.rows.get_mut(row as usize) else { continue };
                // What another version wrote cannot be read: the model begins with the columns that are left.
                if let Some(model) = Model::decode(*model, &record.bytes) {
                    of.model = Some(Box::new(model));
                    (of.newest, of.written) = (record.end, Some(record.end));
                }
            }
        }
        self.free = (0..self.rows.len() as u32).filter(|row| self.rows[*row as usize].is_none()).collect();
        for (end, record) in columns {
            let local = lesson.local(end);
            for (row, value) in self.rows.iter_mut().zip(&record.values) {
                let Some(row) = row.as_mut().filter(|row| !value.is_nan() && record.start >= row.since) else {
                    continue;
                };
                if let Some(model) = row.model.as_mut().filter(|_| end > row.newest) {
                    model.learn(end, local, f64::from(*value));
                }
                row.newest = row.newest.max(end);
            }
            if let Learner::Function(function) = &definition.learner {
                let phase = lesson.phase(function, record.start);
                self.columns.push_back(Column { end, phase, record });
            }
        }
    }

    /// Says how far the feed has come: functions are asked about the window that comes next.
    pub(crate) fn resume(&mut self, lesson: &Lesson, place: Option<Time>) {
        self.next = place.map(|place| lesson.cut.last_end(place)).map(|end| (end, lesson.cut.next_end(end)));
        self.asking = 0;
    }

    /// Begins a window's end: functions that were not asked yet about that window are, and what is silent for too long
    /// is forgotten.
    pub(crate) fn begin(&mut self, lesson: &Lesson, definition: &BaselineDefinition, library: &Library, end: Time) {
        self.local = lesson.local(end);
        if self.next.is_some_and(|(_, next)| next != end) {
            // None closed for a while. What is to be asked is asked before any column is dropped.
            (self.next, self.asking) = (Some((lesson.cut.start(end), end)), 0);
        }
        self.ask_some(lesson, definition, library, usize::MAX);
        for row in 0..self.rows.len() {
            if self.rows[row].as_ref().is_some_and(|of| of.newest + definition.keep < end)
                && let Some(of) = self.rows[row].take()
            {
                self.by_labels.remove(&of.labels);
                self.changed.remove(&(row as u32));
                self.free.insert(row as u32);
                self.gone.push((row as u32, of.labels));
                self.by_place.iter_mut().filter(|place| **place == Some(row as u32)).for_each(|place| *place = None);
            }
        }
    }

    /// What the baseline says of a window's point before it learns from it.
    pub(crate) fn read(
        &mut self,
        lesson: &Lesson,
        definition: &BaselineDefinition,
        library: &Library,
        place: u32,
        labels: &Labels,
        point: ClosedPoint<'_>,
    ) -> Option<Reading> {
        let row = self.find(place, labels)?;
        match &definition.learner {
            Learner::Function(function) => {
                let start = lesson.cut.start(point.end);
                self.ask(lesson, function, library, row as usize, start, point.end);
                let of = self.rows[row as usize].as_ref()?;
                Some(Reading { band: of.band?, score: None, stale: of.error.is_some() })
            }
            Learner::Online(_) => {
                let value = lesson.value(point);
                let model = self.rows[row as usize].as_ref()?.model.as_ref()?;
                value.is_finite().then(|| model.assess(point.end, self.local, value))?
            }
        }
    }

    /// Learns from a window's point, unless it was learned, or shows the window in part.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn learn(
        &mut self,
        lesson: &Lesson,
        definition: &BaselineDefinition,
        place: u32,
        labels: &Labels,
        point: ClosedPoint<'_>,
        origin: Time,
        anomalous: bool,
        most: usize,
    ) -> bool {
        let (start, end) = (lesson.cut.start(point.end), point.end);
        let value = lesson.value(point);
        let newest = self.columns.back().map(|column| column.end);
        if point.incomplete || start < origin || !value.is_finite() || newest.is_some_and(|newest| end < newest) {
            return true;
        }
        let row = match self.find(place, labels) {
            Some(row) => row,
            None if self.by_labels.len() >= most => return false,
            None => self.add(definition, place, labels, start),
        };
        let Some(of) = self.rows[row as usize].as_mut() else { return true };
        if end <= of.newest {
            return true;
        }
        of.newest = end;
        if let Some(model) = &mut of.model {
            model.learn(end, self.local, value);
        }
        if newest != Some(end) {
            let phase = match &definition.learner {
                Learner::Function(function) => lesson.phase(function, start),
                Learner::Online(_) => 0,
            };
            let record = ColumnRecord { start, values: Vec::new(), counts: Vec::new(), anomalous: Vec::new() };
            self.columns.push_back(Column { end, phase, record });
            self.uncommitted += 1;
        }
        if let Some(column) = self.columns.back_mut() {
            column.put(row as usize, value as f32, of.model.is_none().then_some(point.count), anomalous);
        }
        true
    }

    /// Ends a window's end: what falls out of the training window goes, models whose turn it is will be written, and
    /// functions are to be asked about the next window.
    pub(crate) fn end(&mut self, lesson: &Lesson, definition: &BaselineDefinition, end: Time) {
        self.next = Some((end, lesson.cut.next_end(end)));
        self.asking = 0;
        match &definition.learner {
            Learner::Function(function) => {
                let from = end - function.train;
                while let Some(column) = self.columns.front().filter(|column| column.record.start < from) {
                    // No column says any more how long these have been silent.
                    let last = |(_, of): &(u32, &Option<Row>)| of.as_ref().is_some_and(|of| of.newest == column.end);
                    self.changed.extend((0..).zip(&self.rows).filter(last).map(|(row, _)| row));
                    self.columns.pop_front();
                    self.uncommitted = self.uncommitted.min(self.columns.len());
                    self.trim = self.columns.front().map_or(Some(end), |column| Some(column.end));
                }
            }
            Learner::Online(_) => {
                let turns = self.rows.len().div_ceil(ROUND);
                let upto = (self.turn + turns).min(self.rows.len());
                self.to_write.extend(self.turn as u32..upto as u32);
                self.turn = if upto == self.rows.len() { 0 } else { upto };
            }
        }
    }

    /// Asks functions about the window that comes next, `most` rows of them. False once all are asked.
    pub(crate) fn ask_some(
        &mut self,
        lesson: &Lesson,
        definition: &BaselineDefinition,
        library: &Library,
        most: usize,
    ) -> bool {
        let (Some((start, end)), Learner::Function(function)) = (self.next, &definition.learner) else { return false };
        let upto = self.asking.saturating_add(most).min(self.rows.len());
        for row in self.asking..upto {
            self.ask(lesson, function, library, row, start, end);
        }
        self.asking = upto;
        upto < self.rows.len()
    }

    /// Asks a row's function about a window, unless that was done.
    fn ask(
        &mut self,
        lesson: &Lesson,
        function: &BaselineFunction,
        library: &Library,
        row: usize,
        start: Time,
        end: Time,
    ) {
        let Some(of) = self.rows[row].as_ref().filter(|of| of.asked != Some(end)) else { return };
        let Some(answer) = self.answer(lesson, function, library, row, start, end) else {
            // It was full, for a shorter training window.
            if let Some(of) = self.rows[row].as_mut().filter(|of| of.band.is_some() || of.error.is_some()) {
                (of.band, of.error) = (None, None);
                self.changed.insert(row as u32);
            }
            return;
        };
        // A failure leaves what was said of the window before. Where none closed for a while nobody asked about those,
        // which shows only here; an edited function leaves what the former one said.
        let mut band = of.band;
        let (asked, mut from) = (of.asked, start);
        while answer.is_err() && asked.map_or(of.band.is_none(), |asked| asked < from) {
            let before = lesson.cut.start(from);
            match self.answer(lesson, function, library, row, before, from) {
                Some(Err(_)) => from = before,
                said => {
                    band = said.and_then(Result::ok).flatten();
                    break;
                }
            }
        }
        let Some(of) = self.rows[row].as_mut() else { return };
        of.asked = Some(end);
        match answer {
            Ok(band) => (of.band, of.error) = (band, None),
            Err(failure) => {
                let since = of.error.as_ref().map_or(start, |error| error.since);
                let Failure { kind, message, line, column } = failure;
                let (kind, message) = (kind.name().into(), message.into());
                let (line, column) = (line as u32, column as u32);
                of.band = band;
                of.error = Some(Box::new(ActiveError { kind, message, line, column, since }));
            }
        }
        self.changed.insert(row as u32);
    }

    /// What a row's function says of a window; nothing while its training window is not full.
    fn answer(
        &self,
        lesson: &Lesson,
        function: &BaselineFunction,
        library: &Library,
        row: usize,
        start: Time,
        end: Time,
    ) -> Option<Result<Option<Band>, Failure>> {
        let of = self.rows[row].as_ref()?;
        if start - of.since.max(self.head.kept_from.unwrap_or(of.since)) < function.train {
            return None;
        }
        let batches = self.training(of, row, function, start);
        Some(literals(function, library, &of.labels).and_then(|arguments| {
            let call = BaselineCall {
                labels: &of.labels,
                start,
                end,
                phase: lesson.phase(function, start),
                phases: (function.period.nanos() / lesson.cut.width().nanos()) as u32,
                period: function.period,
                batches: &batches,
                arguments: &arguments,
            };
            library.function(&function.function).expect("validated baselines have their function").baseline(&call)
        }))
    }

    /// The batches of a row that a function is given for the batch that begins at `start`.
    fn training(&self, of: &Row, row: usize, function: &BaselineFunction, start: Time) -> Vec<TrainingBatch> {
        let from = of.since.max(start - function.train);
        let columns = self.columns.iter().filter(|column| column.record.start >= from && column.end <= start);
        let mut batches: Vec<TrainingBatch> = columns.filter_map(|column| column.batch(row)).collect();
        // A run of anomalies that goes on for long enough is what is normal now.
        let mut begin = 0;
        while begin < batches.len() {
            let run = batches[begin..].iter().take_while(|batch| batch.anomalous).count();
            if run > 0 && batches[begin + run - 1].end - batches[begin].start > function.adapt_after {
                batches[begin..begin + run].iter_mut().for_each(|batch| batch.anomalous = false);
            }
            begin += run.max(1);
        }
        batches
    }

    fn find(&mut self, place: u32, labels: &Labels) -> Option<u32> {
        let at = place as usize;
        if let Some(row) = self.by_place.get(at).copied().flatten() {
            return Some(row);
        }
        let row = self.by_labels.get(labels).copied()?;
        self.by_place.resize(self.by_place.len().max(at + 1), None);
        self.by_place[at] = Some(row);
        Some(row)
    }

    fn add(&mut self, definition: &BaselineDefinition, place: u32, labels: &Labels, since: Time) -> u32 {
        let row = self.free.pop_first().unwrap_or(self.rows.len() as u32);
        let model = fresh_model(definition);
        let labels = labels.clone();
        self.by_labels.insert(labels.clone(), row);
        let fresh = Row { labels, since, newest: since, band: None, asked: None, error: None, model, written: None };
        self.rows.resize_with(self.rows.len().max(row as usize + 1), || None);
        self.rows[row as usize] = Some(fresh);
        self.by_place.resize(self.by_place.len().max(place as usize + 1), None);
        self.by_place[place as usize] = Some(row);
        self.changed.insert(row);
        row
    }

    /// Forgets which row a place of the lane had: another instance may take it.
    pub(crate) fn leave(&mut self, place: u32) {
        if let Some(row) = self.by_place.get_mut(place as usize) {
            *row = None;
        }
    }

    /// How many instances it knows.
    pub(crate) fn instances(&self) -> usize {
        self.by_labels.len()
    }

    /// What changed since it was last asked; all of it for a store that has nothing.
    pub(crate) fn changes(&mut self, whole: bool, changes: &mut Vec<crate::state::Change>) {
        use crate::state::Change;
        let key = self.key;
        if std::mem::take(&mut self.head_changed) || whole {
            changes.push(Change::Baseline { key, head: Some(self.head.clone()) });
        }
        for (row, labels) in std::mem::take(&mut self.gone) {
            if !self.by_labels.contains_key(&labels) {
                changes.push(Change::BaselineInstance { key, labels, record: None });
            }
            changes.push(Change::Model { key, row, record: None });
        }
        if whole {
            self.changed = (0..self.rows.len() as u32).collect();
            self.to_write = self.changed.iter().copied().collect();
            self.uncommitted = self.columns.len();
        }
        for row in std::mem::take(&mut self.changed) {
            let Some(of) = &self.rows[row as usize] else { continue };
            let Row { since, newest, band, asked, .. } = *of;
            let record = BaselineRecord { row, since, newest, band, asked, error: of.error.as_deref().cloned() };
            changes.push(Change::BaselineInstance { key, labels: of.labels.clone(), record: Some(record) });
        }
        let known = self.columns.len() - std::mem::take(&mut self.uncommitted);
        for column in self.columns.iter().skip(known) {
            changes.push(Change::Column { key, end: column.end, record: column.record.clone() });
        }
        for row in std::mem::take(&mut self.to_write) {
            let Some(of) = self.rows[row as usize].as_mut() else { continue };
            let Some(model) = of.model.as_ref().filter(|_| whole || of.written != Some(of.newest)) else { continue };
            let mut bytes = Vec::new();
            model.encode(&mut bytes);
            of.written = Some(of.newest);
            changes.push(Change::Model { key, row, record: Some(ModelRecord { end: of.newest, bytes }) });
        }
        let models = || self.rows.iter().flatten().filter(|row| row.model.is_some());
        let behind = models().filter(|row| row.written != Some(row.newest));
        let needed = behind.map(|row| row.written.unwrap_or(row.since)).min();
        let needed = needed.or_else(|| models().map(|row| row.newest).max());
        if let Some(needed) = needed {
            // A start learns what its models have not; the newest column stays to say how far that is.
            self.columns.drain(..self.columns.len().saturating_sub(1));
            if self.turn == 0 {
                self.trim = Some(needed + Span::from_nanos(1));
            }
        }
        if self.trim != self.trimmed {
            self.trimmed = self.trim;
            changes.extend(self.trim.map(|before| Change::ColumnTrim { key, before }));
        }
    }
}

impl Lesson {
    /// The number of a point that is learned.
    pub(crate) fn value(&self, point: ClosedPoint<'_>) -> f64 {
        learnable(point.values[self.pick])
    }

    fn local(&self, time: Time) -> Time {
        Time::from_nanos(local(time, &self.zone))
    }

    fn phase(&self, function: &BaselineFunction, start: Time) -> u32 {
        phase(start, &self.zone, function.period, self.cut.width())
    }
}

impl Column {
    fn put(&mut self, row: usize, value: f32, count: Option<u64>, anomalous: bool) {
        let record = &mut self.record;
        let rows = record.values.len().max(row + 1);
        record.values.resize(rows, f32::NAN);
        record.values[row] = value;
        if let Some(count) = count {
            record.counts.resize(rows, 0);
            record.counts[row] = pack_count(count);
        }
        if anomalous {
            record.anomalous.resize(record.anomalous.len().max(row / 8 + 1), 0);
            record.anomalous[row / 8] |= 1 << (row % 8);
        }
    }

    fn batch(&self, row: usize) -> Option<TrainingBatch> {
        let ColumnRecord { start, values, counts, anomalous } = &self.record;
        let value = values.get(row).copied().filter(|value| !value.is_nan())?;
        Some(TrainingBatch {
            start: *start,
            end: self.end,
            value: f64::from(value),
            count: counts.get(row).copied().map_or(0, unpack_count),
            phase: self.phase,
            anomalous: anomalous.get(row / 8).is_some_and(|bits| bits & 1 << (row % 8) != 0),
        })
    }
}

/// The model of a row that has learned nothing; none where a function makes the bands.
fn fresh_model(definition: &BaselineDefinition) -> Option<Box<Model>> {
    match &definition.learner {
        Learner::Online(model) => Some(Box::new(Model::new(*model))),
        Learner::Function(_) => None,
    }
}

/// What a baseline function's parameters hold: literals, and labels of the instance read as their kinds.
fn literals(function: &BaselineFunction, library: &Library, labels: &Labels) -> Result<Vec<(Arc<str>, Seen)>, Failure> {
    let parameters = &library.function(&function.function).expect("validated baselines have their function").parameters;
    let read = |((name, argument), parameter): (&(Arc<str>, Argument), &functions::Parameter)| {
        let value = match argument {
            Argument::Value(value) => value.clone(),
            Argument::Label(label) => crate::arguments::labelled(name, label, &parameter.kind, labels)?,
            Argument::Input(_) => Value::Nothing,
        };
        Ok((name.clone(), Seen::Value(value)))
    };
    function.arguments.iter().zip(parameters).map(read).collect()
}
