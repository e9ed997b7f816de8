//! What never was: a value, a mean, a dip, a restlessness outside of all that has been seen.
//!
//! A few features of the series each have an [`Envelope`]. What stands outside of one is evidence; the strongest, with
//! its weight, is the score. On a break the envelope jumps, so the same is not new again; for a while after an alert
//! nothing is said, as what follows belongs to it.
//!
//! Weights and lengths were chosen on the Numenta Anomaly Benchmark, which makes its score an optimistic one:
//! benches/detection says by how much.

use crate::envelope::Envelope;
use crate::seasons::Seasons;
use crate::stored::{Stored, narrow};
use model::{Band, Reading, Time};

/// The layout of the bytes.
const VERSION: u8 = 1;
/// Points before the first reading.
const WARM_POINTS: u32 = 50;
/// Points without a word after an alert.
const QUIET_POINTS: u8 = 30;
/// The evidence that is an alert where its weight is one.
const ALERT: f64 = 0.17;
/// The least spread, as a share of the magnitude of the mean of the first points, and beyond that.
const FLOOR_SHARE: f64 = 1e-3;
const FLOOR: f64 = 1e-9;
/// Points of that mean.
const FLOOR_POINTS: u32 = 100;
/// Points of the running mean.
const MEAN_POINTS: usize = 42;
/// Points of the running minimum.
const LOW_POINTS: usize = 4;
/// The restlessness is the mean step over so many blocks of so many points, and the block under way.
const BLOCKS: usize = 24;
const BLOCK_POINTS: u8 = 8;

const FEATURES: usize = 5;
/// Places of the features in what follows.
const LEVEL: usize = 0;
const RESIDUAL: usize = 2;
/// What the evidence of a feature counts. The distance from the level and the running mean of the residuals are smooth,
/// so leaving their range means much. A single residual, the minimum of a few values, the mean step mean less.
const WEIGHTS: [f64; FEATURES] = [1.0, 1.0, 0.06, 0.5, 0.3];

/// What one series has taught about what it has been.
#[derive(Clone, Debug, PartialEq)]
pub struct Novelty {
    seasons: Seasons,
    /// In the order of the weights: distance from the level; mean residual; residual; minimum; mean step.
    envelopes: [Envelope; FEATURES],
    /// Points since a whole day had been seen.
    warm: u32,
    /// The sum of the first points, whose mean gives the floor.
    first_sum: f64,
    /// The last residuals, each at its point's number modulo the length.
    residuals: [f32; MEAN_POINTS],
    /// The last values but the newest.
    values: [f32; LOW_POINTS - 1],
    steps: Steps,
    /// Points for which nothing is said.
    quiet: u8,
}

/// The steps from value to value, in blocks: their mean over a while without keeping each.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Steps {
    sums: [f32; BLOCKS],
    /// Blocks that were filled so far.
    full: u32,
    sum: f64,
    count: u8,
}

impl Steps {
    /// The mean with one step more; nothing until all blocks were full once.
    fn mean(&self, step: f64) -> Option<f64> {
        let mut with = *self;
        with.learn(step);
        if (with.full as usize) < BLOCKS {
            return None;
        }
        let sum: f64 = with.sums.iter().map(|sum| f64::from(*sum)).sum();
        Some((sum + with.sum) / (BLOCKS as f64 * f64::from(BLOCK_POINTS) + f64::from(with.count)))
    }

    fn learn(&mut self, step: f64) {
        self.sum += step;
        self.count += 1;
        if self.count == BLOCK_POINTS {
            self.sums[self.full as usize % BLOCKS] = narrow(self.sum);
            self.full = self.full.saturating_add(1);
            (self.sum, self.count) = (0.0, 0);
        }
    }
}

/// What a point is worth: its features, each once it can be told, and what they are measured by.
struct View {
    features: [Option<f64>; FEATURES],
    floor: f64,
    residual: f64,
}

impl Novelty {
    pub(crate) fn new() -> Novelty {
        Novelty {
            seasons: Seasons::new(),
            envelopes: [Envelope::default(); FEATURES],
            warm: 0,
            first_sum: 0.0,
            residuals: [0.0; MEAN_POINTS],
            values: [0.0; LOW_POINTS - 1],
            steps: Steps::default(),
            quiet: 0,
        }
    }

    pub(crate) fn assess(&self, at: Time, local: Time, value: f64) -> Option<Reading> {
        if self.seasons.count() < WARM_POINTS {
            return None;
        }
        let view = self.view(at, local, value);
        let score = if self.quiet > 0 { 0.0 } else { self.evidence(&view) };
        Some(Reading { band: self.band(&view, at, value)?, score: Some(score), stale: false })
    }

    pub(crate) fn learn(&mut self, at: Time, local: Time, value: f64) {
        let view = self.view(at, local, value);
        let count = self.seasons.count();
        if self.quiet > 0 {
            self.quiet -= 1;
        } else if count >= WARM_POINTS && self.evidence(&view) >= 1.0 {
            self.quiet = QUIET_POINTS;
        }
        for (envelope, feature) in self.envelopes.iter_mut().zip(view.features) {
            if let Some(feature) = feature {
                envelope.learn(feature);
            }
        }
        if count < FLOOR_POINTS {
            self.first_sum += value;
        }
        let is_behind_gap = self.seasons.is_behind_gap(at);
        if count > 0 && !is_behind_gap {
            self.steps.learn((value - self.last()).abs());
        }
        if is_behind_gap {
            let residuals = self.seasons.residuals(local, value);
            self.seasons.move_level(residuals[self.seasons.best(at, self.seasons.errors())]);
        }
        self.warm = self.warm.saturating_add(u32::from(self.seasons.has_day(at)));
        self.residuals[count as usize % MEAN_POINTS] = narrow(view.residual);
        self.values.rotate_right(1);
        self.values[0] = narrow(value);
        self.seasons.learn(at, local, value, true);
    }

    /// The strongest evidence, in units of what is an alert.
    fn evidence(&self, view: &View) -> f64 {
        let each = self.envelopes.iter().zip(view.features).zip(WEIGHTS);
        let evidence = each.map(|((envelope, feature), weight)| {
            feature.map_or(0.0, |feature| weight * envelope.evidence(feature, view.floor))
        });
        evidence.fold(0.0, f64::max) / ALERT
    }

    fn view(&self, at: Time, local: Time, value: f64) -> View {
        let residuals = self.seasons.residuals(local, value);
        let residual = residuals[self.seasons.best(at, self.seasons.errors())];
        let count = self.seasons.count();
        let is_warm = self.seasons.has_day(at);
        if self.seasons.is_behind_gap(at) {
            // Nothing is known of what went before, so this point is as good as expected.
            let features = [None; FEATURES];
            return View { features, floor: self.floor(value), residual: 0.0 };
        }
        let lowest = self.values.iter().fold(value, |lowest, earlier| lowest.min(f64::from(*earlier)));
        let step = if count == 0 { 0.0 } else { (value - self.last()).abs() };
        let features = [
            Some(residuals[0]),
            (is_warm && self.warm as usize >= MEAN_POINTS).then(|| self.mean_residual(residual)),
            is_warm.then_some(residual),
            (count as usize >= LOW_POINTS).then_some(lowest),
            self.steps.mean(step),
        ];
        View { features, floor: self.floor(value), residual }
    }

    /// The mean of the last residuals, the newest included.
    fn mean_residual(&self, newest: f64) -> f64 {
        let oldest = self.residuals[self.seasons.count() as usize % MEAN_POINTS];
        let sum: f64 = self.residuals.iter().map(|residual| f64::from(*residual)).sum();
        (sum - f64::from(oldest) + newest) / MEAN_POINTS as f64
    }

    /// The least spread that counts: without it a constant series would be left by rounding alone.
    fn floor(&self, value: f64) -> f64 {
        let count = self.seasons.count();
        let (sum, points) =
            if count < FLOOR_POINTS { (self.first_sum + value, count + 1) } else { (self.first_sum, FLOOR_POINTS) };
        FLOOR + FLOOR_SHARE * (sum / f64::from(points)).abs()
    }

    fn last(&self) -> f64 {
        f64::from(self.values[0])
    }

    /// Where a value would be without evidence enough for an alert from its distance to the level, or from its residual.
    fn band(&self, view: &View, at: Time, value: f64) -> Option<Band> {
        let average = value - view.residual;
        let level = value - view.features[LEVEL].unwrap_or_default();
        let (low, high) = self.envelopes[LEVEL].range(ALERT / WEIGHTS[LEVEL], view.floor);
        let (mut lower, mut higher) = (level + low, level + high);
        if self.seasons.has_day(at) {
            let (low, high) = self.envelopes[RESIDUAL].range(ALERT / WEIGHTS[RESIDUAL], view.floor);
            (lower, higher) = (lower.max(average + low), higher.min(average + high));
        }
        Band::new(average, lower.min(average), higher.max(average)).ok()
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.seasons.heap_bytes()
    }

    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        VERSION.put(bytes);
        self.seasons.put(bytes);
        self.envelopes.put(bytes);
        self.warm.put(bytes);
        self.first_sum.put(bytes);
        self.residuals.put(bytes);
        self.values.put(bytes);
        self.steps.sums.put(bytes);
        self.steps.full.put(bytes);
        self.steps.sum.put(bytes);
        self.steps.count.put(bytes);
        self.quiet.put(bytes);
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Novelty> {
        let bytes = &mut bytes;
        if u8::take(bytes)? != VERSION {
            return None;
        }
        let novelty = Novelty {
            seasons: Seasons::take(bytes)?,
            envelopes: <[Envelope; FEATURES]>::take(bytes)?,
            warm: u32::take(bytes)?,
            first_sum: f64::take(bytes)?,
            residuals: <[f32; MEAN_POINTS]>::take(bytes)?,
            values: <[f32; LOW_POINTS - 1]>::take(bytes)?,
            steps: Steps {
                sums: <[f32; BLOCKS]>::take(bytes)?,
                full: u32::take(bytes)?,
                sum: f64::take(bytes)?,
                count: u8::take(bytes)?,
            },
            quiet: u8::take(bytes)?,
        };
        bytes.is_empty().then_some(novelty)
    }
}
