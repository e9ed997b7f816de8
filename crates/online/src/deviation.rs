//! What is unusual now: how far a value lies from what the moment lets expect, in units of how far it usually does.
//!
//! The prediction is that of [`Seasons`] and a fast level of what it leaves over. Beside it stands a memory of how
//! things were before they became unusual: a value that agrees with it is no second anomaly when the first ends. The
//! scale is what residuals usually are, overall and at this time of day; a series that alerts again and again is taken
//! less and less seriously, down to a few alerts a day.
//!
//! Two distances make the score: that of the point, and that of the mean of the last five, which sees a small shift
//! that lasts. One point alone counts less than two in a row.

use crate::peaks::Peaks;
use crate::profile::DAILY;
use crate::seasons::{Seasons, gain};
use crate::stored::Stored;
use model::{Band, Reading, Time};

/// The layout of the bytes.
const VERSION: u8 = 1;
/// Points before the first reading.
const WARM_POINTS: u32 = 50;
/// The least weight of a new point in the fast level: a memory of 20 points.
const LOCAL_GAIN: f64 = 0.05;
/// The same while disturbed, when nothing is cut off: what is new is the level after some 20 points.
const DISTURBED_GAIN: f64 = 0.1;
/// What teaches the fast level is cut off at so many times the running error.
const CLIP: f64 = 5.0;
/// The least weight in the running errors by which predictions compete.
const ERROR_GAIN: f64 = 0.002;
/// What teaches these errors is cut off at so many times what they are.
const ERROR_CLIP: f64 = 10.0;
/// The least weight in the scales, and where what teaches them is cut off.
const SCALE_GAIN: f64 = 1e-3;
const SCALE_CLIP: f64 = 5.0;
/// The share of residuals that the tail lets through, the least share of itself by which it moves, and where it lies in a
/// normal distribution, in standard deviations. A series that leaves its usual range this often has a wider range:
/// anomalies are rarer.
const TAIL_SHARE: f64 = 0.05;
const TAIL_GAIN: f64 = 0.02;
const TAIL_SIGMAS: f64 = 1.96;
/// A normal distribution's standard deviation over its mean absolute value, sqrt(pi / 2).
const SIGMA: f64 = 1.2533;
/// Scales at which a disturbance begins, and within which the series is back to what it was.
const DISTURBED: f64 = 5.0;
const RETURNED: f64 = 4.0;
/// After so many points what was before is forgotten, and the level of now is the level.
const DISTURBED_POINTS: u16 = 400;
/// For so many points what was before is as good as known; then it is in doubt like what lies behind a gap.
const FRESH_POINTS: u16 = 15;
/// Points of the mean that sees small shifts; what it counts; and its most, as a multiple of what the point counts:
/// once the series is back, the mean must not go on.
const MEAN_POINTS: usize = 5;
const MEAN_WEIGHT: f64 = 1.2;
const MEAN_MOST: f64 = 3.0;
/// What the distance of a point counts where the one before it was as usual: noise comes alone more often than trouble.
const ALONE: f64 = 0.6;
/// The scale is at least the usual peak of this time of day over this.
const PEAK_SHARE: f64 = 1.2;
/// The least scale as a share of the mean magnitude, and beyond that.
const FLOOR_SHARE: f64 = 5e-4;
const FLOOR: f64 = 1e-9;
/// The least weight in the mean magnitude.
const MAGNITUDE_GAIN: f64 = 1e-4;
/// The least scale as a share of the smallest step between values: a counter that goes from 0 to 1 does what counters
/// do. Where the values are far larger than the step, it is a share of them at most.
const STEP_SHARE: f64 = 0.3;
const STEP_OF_MAGNITUDE: f64 = 0.1;
/// How much the smallest step grows at each change, so that one odd value does not set it for good.
const STEP_GROWTH: f64 = 1.001;
/// What an alert multiplies the scale by, at most how far, and how many alerts a day make up for what time takes back.
const WEARY_FACTOR: f64 = 1.16;
const WEARY_MOST: f64 = 5.0;
const WEARY_ALERTS_A_DAY: f64 = 3.0;
/// How much the usual size of the fast level adds to the scale while that level is in doubt. After a long gap the slow
/// level is in doubt too, as it lies where the day stood before: then the usual distance from it adds as much.
const DOUBT_WEIGHT: f64 = 2.0;

/// What one series has taught about what is usual.
#[derive(Clone, Debug, PartialEq)]
pub struct Deviation {
    scales: f64,
    seasons: Seasons,
    /// Fast levels of what each prediction of the seasons leaves over, and the running errors of what is left then.
    local: [f64; 3],
    errors: [f64; 3],
    /// The usual size of the fast level in use: how wrong one is without it.
    local_size: f64,
    /// Running mean sizes of the residual, and of the mean of the last residuals.
    scale: f64,
    mean_scale: f64,
    /// The size that so few residuals exceed (a quantile by stochastic approximation: Robbins and Monro, 1951).
    tail: f64,
    /// The last residuals, each at its point's number modulo the length.
    recent: [f64; MEAN_POINTS],
    /// How many scales the last point lay off.
    off: f64,
    peaks: Peaks,
    before: Option<Before>,
    magnitude: f64,
    /// The smallest step between values; infinite until there was one.
    step: f64,
    /// The factor of the scale that alerts have earned, at least 1.
    weariness: f64,
    last: f64,
    /// How little the fast level is to be believed after a gap: 0 fully, 1 not at all.
    doubt: f64,
}

/// How things were before they became unusual.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Before {
    local: [f64; 3],
    points: u16,
}

/// A point as the model sees it before it learns.
struct View {
    /// What the seasons leave over, and which of their predictions is believed.
    left: [f64; 3],
    best: usize,
    /// What is left of that by the fast level, or by that of before, whichever is nearer.
    residual: f64,
    is_as_before: bool,
    recent: [f64; MEAN_POINTS],
    floor: f64,
    step: f64,
    /// The scale, and the same with what doubt adds.
    scale: f64,
    wide: f64,
    /// How many of these scales the point lies off; the greater of it and its recent mean.
    off: f64,
    /// The same of the point before, 0 after a gap.
    earlier: f64,
    weariness: f64,
    doubt: f64,
}

impl Deviation {
    pub(crate) fn new(scales: f64) -> Deviation {
        Deviation {
            scales,
            seasons: Seasons::new(),
            local: [0.0; 3],
            errors: [0.0; 3],
            local_size: 0.0,
            scale: 0.0,
            mean_scale: 0.0,
            tail: 0.0,
            recent: [0.0; MEAN_POINTS],
            off: 0.0,
            peaks: Peaks::new(&DAILY),
            before: None,
            magnitude: 0.0,
            step: f64::INFINITY,
            weariness: 1.0,
            last: 0.0,
            doubt: 0.0,
        }
    }

    pub(crate) fn assess(&self, at: Time, local: Time, value: f64) -> Option<Reading> {
        if self.seasons.count() < WARM_POINTS {
            return None;
        }
        let view = self.view(at, local, value);
        let average = value - view.residual;
        let limit = self.scales * view.weariness;
        let score = view.off.min(view.earlier).max(ALONE * view.off) / limit;
        // What a single point must reach for an alert; less where the mean of the last points alerts and it alone would
        // not: a value lies outside of the band where the score is 1 or more.
        let widest = view.wide * if view.earlier >= limit { limit } else { limit / ALONE };
        let reach = if score < 1.0 { widest } else { widest.min(view.residual.abs() / score) };
        let band = Band::new(average, average - reach, average + reach).ok()?;
        Some(Reading { band, score: Some(score), stale: false })
    }

    pub(crate) fn learn(&mut self, at: Time, local: Time, value: f64) {
        let view = self.view(at, local, value);
        let count = self.seasons.count().saturating_add(1);
        // One point after a gap takes away half of the doubt.
        self.doubt = view.doubt / 2.0;
        self.weariness = view.weariness;
        self.follow_values(value, count, &view);
        self.follow_scales(count, &view);
        self.peaks.learn(DAILY.cell(local), view.residual.abs(), SCALE_CLIP * view.scale);
        self.follow_disturbance(count, &view);
        let moved = self.restart_behind_gap(at, &view);
        self.seasons.learn(at, local, value, self.before.is_none());
        self.follow_local(count, &view, moved);
    }

    fn view(&self, at: Time, local: Time, value: f64) -> View {
        let count = self.seasons.count();
        let left = self.seasons.residuals(local, value);
        let best = self.believed(at, local, &left);
        let by_local = left[best] - self.local[best];
        let by_before = self.before.map_or(f64::INFINITY, |before| left[best] - before.local[best]);
        let is_as_before = by_before.abs() < by_local.abs();
        let residual = if is_as_before { by_before } else { by_local };
        let (doubt, weariness) = self.after(at);
        // The points before a gap say nothing about those after it.
        let (mut recent, earlier) =
            if self.seasons.is_behind_gap(at) { ([0.0; MEAN_POINTS], 0.0) } else { (self.recent, self.off) };
        recent[count as usize % MEAN_POINTS] = residual;
        let step = self.step_with(value);
        let floor = self.floor(step);
        let peak = self.peaks.usual(DAILY.cell(local));
        let scale = (SIGMA * self.scale).max(self.tail / TAIL_SIGMAS).max(peak / PEAK_SHARE).max(floor);
        let wide = scale + DOUBT_WEIGHT * doubt * (self.local_size + doubt * self.seasons.errors()[0]);
        let point = residual.abs() / wide;
        let mean = MEAN_WEIGHT * mean_size(&recent) / (SIGMA * self.mean_scale).max(floor / 2.0);
        let off = point.max(mean.min(MEAN_MOST * point));
        View { left, best, residual, is_as_before, recent, floor, step, scale, wide, off, earlier, weariness, doubt }
    }

    /// The prediction with the least running error; where it stands on a profile that is new, the one that comes nearest
    /// of this and the simpler ones.
    fn believed(&self, at: Time, local: Time, left: &[f64; 3]) -> usize {
        let best = self.seasons.best(at, &self.errors);
        if !self.seasons.is_new(local, best) {
            return best;
        }
        let size = |prediction: &usize| (left[*prediction] - self.local[*prediction]).abs();
        (0..=best).min_by(|one, other| size(one).total_cmp(&size(other))).unwrap_or(best)
    }

    /// What the time since the last point has made of doubt and weariness.
    fn after(&self, at: Time) -> (f64, f64) {
        let doubt = doubt(self.doubt, self.seasons.missing(at));
        let rest = (WEARY_FACTOR - 1.0) * WEARY_ALERTS_A_DAY * self.seasons.passed_s(at) / 86_400.0;
        (doubt, (self.weariness * (1.0 - rest)).max(1.0))
    }

    fn step_with(&self, value: f64) -> f64 {
        let step = (value - self.last).abs();
        if self.seasons.count() == 0 || step == 0.0 { self.step } else { step.min(self.step * STEP_GROWTH) }
    }

    /// The least scale that counts: below it lies rounding, or the grain of the values.
    fn floor(&self, step: f64) -> f64 {
        let is_grain = self.magnitude < 0.5 * step;
        let step = if is_grain { step } else { step.min(STEP_OF_MAGNITUDE * self.magnitude) };
        let grain = if step.is_finite() { STEP_SHARE * step } else { 0.0 };
        FLOOR + FLOOR_SHARE * self.magnitude + grain
    }

    fn follow_values(&mut self, value: f64, count: u32, view: &View) {
        self.magnitude += gain(MAGNITUDE_GAIN, count) * (value.abs() - self.magnitude);
        self.step = view.step;
        self.last = value;
    }

    fn follow_scales(&mut self, count: u32, view: &View) {
        let (size, mean_size) = (view.residual.abs(), mean_size(&view.recent));
        let (most, mean_most) = if count <= WARM_POINTS {
            (f64::INFINITY, f64::INFINITY)
        } else {
            (SCALE_CLIP * view.scale, SCALE_CLIP * (SIGMA * self.mean_scale).max(view.floor / 2.0))
        };
        let gain_of_scale = gain(SCALE_GAIN, count);
        self.scale += gain_of_scale * (size.min(most) - self.scale);
        self.mean_scale += gain_of_scale * (mean_size.min(mean_most) - self.mean_scale);
        let tail_gain = TAIL_GAIN.max(5.0 / f64::from(count.max(10)));
        self.tail = self.tail.max(view.floor);
        self.tail *= 1.0 + tail_gain * if size > self.tail { 1.0 - TAIL_SHARE } else { -TAIL_SHARE };
        self.local_size += gain(ERROR_GAIN, count) * (self.local[view.best].abs() - self.local_size);
        self.recent = view.recent;
        self.off = view.off;
    }

    /// Remembers how things were when they become unusual, and forgets it when they are so again, or have not been for
    /// long.
    fn follow_disturbance(&mut self, count: u32, view: &View) {
        match &mut self.before {
            None if view.off >= DISTURBED && count > WARM_POINTS => {
                if view.off >= DISTURBED * view.weariness {
                    self.weariness = (self.weariness * WEARY_FACTOR).min(WEARY_MOST);
                }
                self.before = Some(Before { local: self.local, points: 0 });
            }
            None => {}
            Some(before) if view.is_as_before && view.off < RETURNED => {
                self.local = before.local;
                self.doubt = doubt(self.doubt, f64::from(before.points.saturating_sub(FRESH_POINTS)));
                self.before = None;
            }
            Some(before) if before.points >= DISTURBED_POINTS => {
                let moved = self.local[view.best];
                self.seasons.move_level(moved);
                self.local = self.local.map(|local| local - moved);
                self.before = None;
            }
            Some(before) => before.points += 1,
        }
    }

    /// Takes the first point behind a long gap for the level. Gives back by how much that moves.
    fn restart_behind_gap(&mut self, at: Time, view: &View) -> Option<f64> {
        if !self.seasons.is_behind_gap(at) {
            return None;
        }
        let moved = view.left[view.best];
        self.seasons.move_level(moved);
        self.local = [0.0; 3];
        self.before = None;
        Some(moved)
    }

    fn follow_local(&mut self, count: u32, view: &View, moved: Option<f64>) {
        let is_calm = self.before.is_none();
        let least = if is_calm { LOCAL_GAIN } else { DISTURBED_GAIN };
        // After a gap the first point tells where the series is.
        let gain_of_local = gain(least, count).max(view.doubt);
        let is_free = count <= WARM_POINTS || !is_calm || moved.is_some();
        for ((local, error), left) in self.local.iter_mut().zip(&mut self.errors).zip(view.left) {
            let residual = left - moved.unwrap_or_default() - *local;
            let limit = if is_free { f64::INFINITY } else { CLIP * *error };
            *local += gain_of_local * residual.clamp(-limit, limit);
            if is_calm {
                let most = if count <= WARM_POINTS { f64::INFINITY } else { ERROR_CLIP * *error + view.floor };
                *error += gain(ERROR_GAIN, count) * (residual.abs().min(most) - *error);
            }
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.seasons.heap_bytes() + self.peaks.heap_bytes()
    }

    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        VERSION.put(bytes);
        self.seasons.put(bytes);
        self.local.put(bytes);
        self.errors.put(bytes);
        self.local_size.put(bytes);
        self.scale.put(bytes);
        self.mean_scale.put(bytes);
        self.tail.put(bytes);
        self.recent.put(bytes);
        self.off.put(bytes);
        self.peaks.put(bytes);
        self.before.put(bytes);
        self.magnitude.put(bytes);
        self.step.put(bytes);
        self.weariness.put(bytes);
        self.last.put(bytes);
        self.doubt.put(bytes);
    }

    pub(crate) fn decode(scales: f64, mut bytes: &[u8]) -> Option<Deviation> {
        let bytes = &mut bytes;
        if u8::take(bytes)? != VERSION {
            return None;
        }
        let deviation = Deviation {
            scales,
            seasons: Seasons::take(bytes)?,
            local: <[f64; 3]>::take(bytes)?,
            errors: <[f64; 3]>::take(bytes)?,
            local_size: f64::take(bytes)?,
            scale: f64::take(bytes)?,
            mean_scale: f64::take(bytes)?,
            tail: f64::take(bytes)?,
            recent: <[f64; MEAN_POINTS]>::take(bytes)?,
            off: f64::take(bytes)?,
            peaks: Peaks::take(&DAILY, bytes)?,
            before: Stored::take(bytes)?,
            magnitude: f64::take(bytes)?,
            step: f64::take(bytes)?,
            weariness: f64::take(bytes)?,
            last: f64::take(bytes)?,
            doubt: f64::take(bytes)?,
        };
        bytes.is_empty().then_some(deviation)
    }
}

impl Stored for Before {
    fn put(&self, bytes: &mut Vec<u8>) {
        self.local.put(bytes);
        self.points.put(bytes);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        Some(Before { local: <[f64; 3]>::take(bytes)?, points: u16::take(bytes)? })
    }
}

/// The doubt about a fast level that so many points more have not confirmed.
fn doubt(before: f64, points: f64) -> f64 {
    1.0 - (1.0 - before) / (1.0 + LOCAL_GAIN * points)
}

fn mean_size(recent: &[f64; MEAN_POINTS]) -> f64 {
    recent.iter().sum::<f64>().abs() / MEAN_POINTS as f64
}
