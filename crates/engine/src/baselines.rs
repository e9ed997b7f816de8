//! All baselines: which learn from which feed's points, and what was kept of them.

use crate::learning::Pupil;
use crate::plan::{Plan, fingerprint};
use crate::points::ClosedPoint;
use crate::state::{BaselineHead, BaselineRecord, Change, ColumnRecord, ModelRecord};
use crate::windows::Windows;
use functions::Library;
use hashbrown::{HashMap, HashSet};
use model::{Labels, Reading, Time};
use std::sync::Arc;

/// How many functions one step asks about the batch that comes next.
const ASKED_PER_STEP: usize = 256;

/// One pupil for each lesson of the plan.
#[derive(Debug)]
pub(crate) struct Baselines {
    plan: Arc<Plan>,
    library: Arc<Library>,
    pub(crate) pupils: Vec<Pupil>,
    /// Heads that nothing asks for any more.
    dropped: Vec<u64>,
    /// Instances that the bound kept out.
    pub(crate) overflow: u64,
    /// What was read and learned since it was last asked, where somebody looks on.
    pub(crate) watched: Option<Vec<Lived>>,
}

/// A window's point with what a baseline said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Lived {
    /// The baseline's place in the definitions.
    pub baseline: usize,
    /// The instance.
    pub labels: Labels,
    /// Where the window begins.
    pub start: Time,
    /// Where it ends.
    pub end: Time,
    /// The value that the baseline learns.
    pub value: f64,
    /// What the baseline said before.
    pub reading: Option<Reading>,
    /// Whether a check that reads the baseline found it anomalous.
    pub anomalous: bool,
}

/// What was kept of baselines.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) heads: Vec<(u64, BaselineHead)>,
    pub(crate) instances: Vec<(u64, Labels, BaselineRecord)>,
    pub(crate) columns: Vec<(u64, Time, ColumnRecord)>,
    pub(crate) models: Vec<(u64, u32, ModelRecord)>,
}

impl Baselines {
    /// Takes back what was kept.
    pub(crate) fn new(plan: Arc<Plan>, library: Arc<Library>, kept: Kept) -> Baselines {
        let heads = heads(&plan, &library);
        let found = matched(&heads, &kept.heads);
        let mut taken: HashSet<u64> = kept.heads.iter().map(|(key, _)| *key).collect();
        let mut instances = by_key(kept.instances.into_iter().map(|(key, labels, record)| (key, (labels, record))));
        let mut columns = by_key(kept.columns.into_iter().map(|(key, end, record)| (key, (end, record))));
        let mut models = by_key(kept.models.into_iter().map(|(key, row, record)| (key, (row, record))));
        let mut pupils = Vec::new();
        for ((lesson, head), found) in plan.lessons.iter().zip(heads).zip(&found) {
            let Some(place) = found else {
                let mut key = fingerprint(&format!("{} {:?} {:?}", head.name, head.agenda, head.determines));
                while !taken.insert(key) {
                    key = key.wrapping_add(1);
                }
                pupils.push(Pupil::new(key, head));
                continue;
            };
            let (key, was) = &kept.heads[*place];
            let definition = &plan.definitions.baselines[lesson.baseline];
            let mut pupil = Pupil::new(*key, head);
            let instances = instances.remove(key).unwrap_or_default();
            let (columns, models) = (columns.remove(key).unwrap_or_default(), models.remove(key).unwrap_or_default());
            pupil.restore(lesson, definition, was, instances, columns, models);
            pupils.push(pupil);
        }
        let kept_on: HashSet<usize> = found.into_iter().flatten().collect();
        let orphans = kept.heads.iter().enumerate().filter(|(place, _)| !kept_on.contains(place));
        let dropped = orphans.map(|(_, (key, _))| *key).collect();
        Baselines { pupils, dropped, overflow: 0, watched: None, plan, library }
    }

    /// How many heads were dropped at the start.
    pub(crate) fn dropped(&self) -> usize {
        self.dropped.len()
    }

    /// Says how far each agenda has come.
    pub(crate) fn resume(&mut self, place_of: impl Fn(usize) -> Option<Time>) {
        for (pupil, lesson) in self.pupils.iter_mut().zip(&self.plan.lessons) {
            pupil.resume(lesson, place_of(self.plan.feeds[lesson.feed].agenda));
        }
    }

    /// Begins the end of a feed's windows, before they close.
    pub(crate) fn begin(&mut self, feed: usize, end: Time) {
        let plan = self.plan.clone();
        for lesson in &plan.feeds[feed].lessons {
            let of = &plan.lessons[*lesson];
            self.pupils[*lesson].begin(of, &plan.definitions.baselines[of.baseline], &self.library, end);
        }
    }

    /// Puts beside each point of a feed's closed windows what the baselines say of it.
    pub(crate) fn read(&mut self, feed: usize, windows: &mut Windows) {
        let plan = self.plan.clone();
        let lessons = &plan.feeds[feed].lessons;
        if lessons.is_empty() {
            return;
        }
        let mut closed = std::mem::take(&mut windows.feeds[feed].closed);
        for place in 0..windows.feeds[feed].instances.len() {
            for (at, lesson) in lessons.iter().enumerate() {
                let Some(point) = closed.get(place) else { continue };
                let of = &plan.lessons[*lesson];
                let definition = &plan.definitions.baselines[of.baseline];
                let labels = windows.labels(feed, place as u32);
                let said = self.pupils[*lesson].read(of, definition, &self.library, place as u32, labels, point);
                closed.readings_mut(place)[at] = said;
            }
        }
        windows.feeds[feed].closed = closed;
        if plan.feeds[feed].keep > 0 {
            windows.keep_readings(feed);
        }
    }

    /// Teaches all baselines of a feed one point. `anomalous` says for each whether a check found it so.
    pub(crate) fn learn(
        &mut self,
        feed: usize,
        place: u32,
        labels: &Labels,
        point: ClosedPoint<'_>,
        origin: Time,
        anomalous: &[bool],
    ) {
        let plan = self.plan.clone();
        for ((lesson, anomalous), reading) in plan.feeds[feed].lessons.iter().zip(anomalous).zip(point.readings) {
            let of = &plan.lessons[*lesson];
            let definition = &plan.definitions.baselines[of.baseline];
            let most = plan.definitions.limits.instances;
            if !self.pupils[*lesson].learn(of, definition, place, labels, point, origin, *anomalous, most) {
                self.overflow += 1;
            }
            if let Some(watched) = &mut self.watched {
                watched.push(Lived {
                    baseline: of.baseline,
                    labels: labels.clone(),
                    start: point.start,
                    end: point.end,
                    value: of.value(point),
                    reading: *reading,
                    anomalous: *anomalous,
                });
            }
        }
    }

    /// Ends the end of a feed's windows.
    pub(crate) fn end(&mut self, feed: usize, end: Time) {
        for lesson in &self.plan.feeds[feed].lessons {
            let of = &self.plan.lessons[*lesson];
            self.pupils[*lesson].end(of, &self.plan.definitions.baselines[of.baseline], end);
        }
    }

    /// Asks some functions about the batch that comes next. It is the same whenever that happens, so it is spread over
    /// the time until the batch ends. Says whether some are left.
    pub(crate) fn ask_some(&mut self) -> bool {
        let plan = self.plan.clone();
        let mut left = false;
        for (pupil, lesson) in self.pupils.iter_mut().zip(&plan.lessons) {
            let definition = &plan.definitions.baselines[lesson.baseline];
            left |= pupil.ask_some(lesson, definition, &self.library, ASKED_PER_STEP);
        }
        left
    }

    /// Notes that a place of a feed's lane may become another instance's.
    pub(crate) fn leave(&mut self, feed: usize, place: u32) {
        for lesson in &self.plan.feeds[feed].lessons {
            self.pupils[*lesson].leave(place);
        }
    }

    /// What changed since it was last asked; with `whole`, all there is.
    pub(crate) fn changes(&mut self, whole: bool, changes: &mut Vec<Change>) {
        let dropped = std::mem::take(&mut self.dropped);
        changes.extend(dropped.into_iter().map(|key| Change::Baseline { key, head: None }));
        self.pupils.iter_mut().for_each(|pupil| pupil.changes(whole, changes));
    }
}

/// What each lesson is learned under.
pub(crate) fn heads(plan: &Plan, library: &Library) -> Vec<BaselineHead> {
    let head = |lesson: &crate::learning::Lesson| {
        let agenda = &plan.agendas[plan.feeds[lesson.feed].agenda].names;
        lesson.head(&plan.definitions, library, agenda)
    };
    plan.lessons.iter().map(head).collect()
}

/// For each head the kept one that it goes on from, by its place: the one of the same name where there is one, else
/// one that has only been renamed, else one that has only changed its agenda. What determines it is always the same.
pub(crate) fn matched(heads: &[BaselineHead], kept: &[(u64, BaselineHead)]) -> Vec<Option<usize>> {
    let mut found: Vec<Option<usize>> = vec![None; heads.len()];
    let mut free: HashSet<usize> = (0..kept.len()).collect();
    let same: [fn(&BaselineHead, &BaselineHead) -> bool; 3] =
        [|a, b| a.name == b.name && a.agenda == b.agenda, |a, b| a.agenda == b.agenda, |a, b| a.name == b.name];
    for same in same {
        for (head, found) in heads.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
            let fits = |place: &usize| kept[*place].1.determines == head.determines && same(head, &kept[*place].1);
            *found = (0..kept.len()).filter(|place| free.contains(place)).find(fits);
            found.iter().for_each(|place| _ = free.remove(place));
        }
    }
    found
}

fn by_key<T>(records: impl Iterator<Item = (u64, T)>) -> HashMap<u64, Vec<T>> {
    let mut by_key: HashMap<u64, Vec<T>> = HashMap::new();
    records.for_each(|(key, record)| by_key.entry(key).or_default().push(record));
    by_key
}
