//! What is usual now: a slow level, and what the day and the week add to it.
//!
//! Three predictions compete: the level alone, with the daily profile, with both profiles. Each keeps a running error,
//! and the one with the least is believed: a series without a rhythm pays nothing for the profiles.
//!
//! What teaches is clipped, so that an anomaly of any height moves what is usual by a bounded step: the idea of Huber's
//! proposal for robust location ("Robust estimation of a location parameter", 1964) in recursive form.

use crate::profile::{DAILY, Profile, WEEKLY};
use crate::stored::Stored;
use model::{Span, Time};

const DAY_NS: i64 = 86_400_000_000_000;
const WEEK_NS: i64 = 7 * DAY_NS;
/// The least weight of a new point in the level and in the errors: a memory of 250 points.
const GAIN: f64 = 0.004;
/// The interval of the points is followed by this factor: it tends to their median.
const INTERVAL_FACTOR: f64 = 1.05;
/// A point counts as missing past so many intervals.
const GAP_INTERVALS: f64 = 1.5;
/// Behind a gap of more than so many points the level lies where the day stood before: the first point tells where it
/// is now.
const LONG_GAP_POINTS: f64 = 20.0;
/// What teaches is cut off at so many times the running error.
const CLIP: f64 = 5.0;
/// Points before anything is cut off: until then the error says little.
const FREE_POINTS: u32 = 50;
/// Points until the level has forgotten where it began. What profiles learn from it until then is provisional.
const SETTLED_POINTS: u32 = 250;
/// Visits of a cell before it is cut off.
const FREE_VISITS: u8 = 2;
/// A cell with fewer visits learns even while the series is disturbed, lest a noisy first week leave it empty.
const NEW_VISITS: u8 = 3;

/// The level, the profiles, and how well each prediction does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seasons {
    /// When the first point was, and the last.
    first_ns: i64,
    last_ns: i64,
    /// The usual time from point to point; 0 until there were two.
    interval_s: f64,
    /// Points so far.
    count: u32,
    level: f64,
    /// Running absolute errors of the three predictions.
    errors: [f64; 3],
    daily: Profile,
    weekly: Profile,
}

/// The cells that a moment lies in.
#[derive(Clone, Copy)]
struct Cells {
    daily: u16,
    weekly: u16,
}

impl Cells {
    fn of(local: Time) -> Cells {
        Cells { daily: DAILY.cell(local), weekly: WEEKLY.cell(local) }
    }
}

impl Seasons {
    pub(crate) fn new() -> Seasons {
        let (daily, weekly) = (Profile::new(&DAILY), Profile::new(&WEEKLY));
        Seasons { first_ns: 0, last_ns: 0, interval_s: 0.0, count: 0, level: 0.0, errors: [0.0; 3], daily, weekly }
    }

    /// Points so far.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Time since the last point.
    pub(crate) fn passed_s(&self, at: Time) -> f64 {
        let passed = at - Time::from_nanos(self.last_ns);
        if self.count == 0 { 0.0 } else { passed.max(Span::ZERO).as_secs_f64() }
    }

    /// How many points are missing since the last one, not to the whole; 0 where it is no later than usual.
    pub(crate) fn missing(&self, at: Time) -> f64 {
        if self.interval_s == 0.0 {
            return 0.0;
        }
        (self.passed_s(at) / self.interval_s - GAP_INTERVALS).max(0.0)
    }

    /// Whether so many points are missing that the level is not known.
    pub(crate) fn is_behind_gap(&self, at: Time) -> bool {
        self.missing(at) > LONG_GAP_POINTS
    }

    fn follow_interval(&mut self, at: Time) {
        let passed_s = self.passed_s(at);
        if self.interval_s == 0.0 {
            self.interval_s = passed_s;
        } else if passed_s > self.interval_s {
            self.interval_s *= INTERVAL_FACTOR;
        } else if passed_s < self.interval_s {
            self.interval_s /= INTERVAL_FACTOR;
        }
        self.last_ns = at.nanos();
    }

    /// Whether a whole day has been seen.
    pub(crate) fn has_day(&self, at: Time) -> bool {
        self.count > 0 && at.nanos().saturating_sub(self.first_ns) >= DAY_NS
    }

    fn has_week(&self, at: Time) -> bool {
        self.count > 0 && at.nanos().saturating_sub(self.first_ns) >= WEEK_NS
    }

    /// What is left of a value by each of the three predictions: the level, the day, the week.
    pub(crate) fn residuals(&self, local: Time, value: f64) -> [f64; 3] {
        let cells = Cells::of(local);
        // The first point is the first level.
        let by_level = if self.count == 0 { 0.0 } else { value - self.level };
        let by_day = by_level - self.daily.expected(cells.daily);
        [by_level, by_day, by_day - self.weekly.expected(cells.weekly)]
    }

    /// Which prediction has the least error, of those that a whole period has taught.
    pub(crate) fn best(&self, at: Time, errors: &[f64; 3]) -> usize {
        let mut best = 0;
        if self.has_day(at) && errors[1] < errors[best] {
            best = 1;
        }
        if self.has_week(at) && errors[2] < errors[best] {
            best = 2;
        }
        best
    }

    /// Whether this prediction stands on cells that hardly know anything yet.
    pub(crate) fn is_new(&self, local: Time, prediction: usize) -> bool {
        let cells = Cells::of(local);
        let is_new = |profile: &Profile, cell: u16| profile.visits(cell) < NEW_VISITS;
        (prediction >= 1 && is_new(&self.daily, cells.daily)) || (prediction >= 2 && is_new(&self.weekly, cells.weekly))
    }

    /// Moves the level at once, where a new one has lasted, or a gap has hidden how it went on.
    pub(crate) fn move_level(&mut self, by: f64) {
        self.level += by;
    }

    /// The running absolute errors of the three predictions.
    pub(crate) fn errors(&self) -> &[f64; 3] {
        &self.errors
    }

    /// Learns from a value. While the series is not `calm` only cells that hardly know anything learn: a disturbance is
    /// not what is usual.
    pub(crate) fn learn(&mut self, at: Time, local: Time, value: f64, calm: bool) {
        if self.count == 0 {
            self.first_ns = at.nanos();
            self.level = value;
        }
        let residuals = self.residuals(local, value);
        let best = self.best(at, &self.errors);
        let is_free = self.count < FREE_POINTS;
        self.follow_interval(at);
        self.count = self.count.saturating_add(1);
        let cells = Cells::of(local);
        let settled = self.count > SETTLED_POINTS;
        teach(&mut self.daily, cells.daily, residuals[0], CLIP * self.errors[1], calm, settled);
        teach(&mut self.weekly, cells.weekly, residuals[1], CLIP * self.errors[2], calm, settled);
        if !calm {
            return;
        }
        let gain = gain(GAIN, self.count);
        let limit = if is_free { f64::INFINITY } else { CLIP * self.errors[best].max(self.errors[0]) };
        self.level += gain * residuals[0].clamp(-limit, limit);
        for (error, residual) in self.errors.iter_mut().zip(residuals) {
            *error += gain * (residual.abs() - *error);
        }
        if !self.has_week(at) {
            // What the week adds starts where the day stands, and has to become better than that.
            self.errors[2] = self.errors[1];
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.daily.heap_bytes() + self.weekly.heap_bytes()
    }

    pub(crate) fn put(&self, bytes: &mut Vec<u8>) {
        self.first_ns.put(bytes);
        self.last_ns.put(bytes);
        self.interval_s.put(bytes);
        self.count.put(bytes);
        self.level.put(bytes);
        self.errors.put(bytes);
        self.daily.put(bytes);
        self.weekly.put(bytes);
    }

    pub(crate) fn take(bytes: &mut &[u8]) -> Option<Seasons> {
        Some(Seasons {
            first_ns: i64::take(bytes)?,
            last_ns: i64::take(bytes)?,
            interval_s: f64::take(bytes)?,
            count: u32::take(bytes)?,
            level: f64::take(bytes)?,
            errors: <[f64; 3]>::take(bytes)?,
            daily: Profile::take(&DAILY, bytes)?,
            weekly: Profile::take(&WEEKLY, bytes)?,
        })
    }
}

/// The weight of the newest of so many: each the same at first, at least `least` later.
pub(crate) fn gain(least: f64, count: u32) -> f64 {
    (1.0 / f64::from(count.max(1))).max(least)
}

/// A cell's visit takes the value, cut off at `limit` from the cell's mean once it knows one.
fn teach(profile: &mut Profile, cell: u16, value: f64, limit: f64, calm: bool, settled: bool) {
    let visits = profile.visits(cell);
    if !calm && visits >= NEW_VISITS {
        return;
    }
    let mean = profile.mean(cell);
    let taught = if visits > FREE_VISITS { mean + (value - mean).clamp(-limit, limit) } else { value };
    profile.learn(cell, taught, !settled);
}
