//! The range of all that a feature has been, and how far a value stands outside of it.

use crate::seasons::gain;
use crate::stored::Stored;

/// The least weight of a new point in mean and spread: a memory of 5,000 points, so that the unit in which novelty is
/// measured is not set by the novelty.
const SPREAD_GAIN: f64 = 2e-4;
/// How much of its distance to the mean a bound loses at each point: a range is forgotten in about 30,000 points.
const SHRINK: f64 = 3e-5;
/// A young envelope has seen little: its evidence is divided by 1 + this / sqrt(points).
const EARLY: f64 = 2.0;
/// Points before there is evidence at all: nearly all is new to an envelope that has seen only a few.
const YOUNG_POINTS: u32 = 50;

/// Bounds that jump to what lies outside of them, and then come back slowly.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Envelope {
    count: u32,
    low: f64,
    high: f64,
    mean: f64,
    variance: f64,
}

impl Envelope {
    /// How far a value stands outside, in units of the spread; 0 inside, and while young. `floor` is the least spread.
    pub(crate) fn evidence(&self, value: f64, floor: f64) -> f64 {
        if self.count < YOUNG_POINTS {
            return 0.0;
        }
        (value - self.high).max(self.low - value).max(0.0) / self.unit(floor)
    }

    /// The range in which there is less than this evidence.
    pub(crate) fn range(&self, evidence: f64, floor: f64) -> (f64, f64) {
        let margin = evidence * self.unit(floor);
        (self.low - margin, self.high + margin)
    }

    /// The distance that makes an evidence of one.
    fn unit(&self, floor: f64) -> f64 {
        (self.variance.sqrt() + floor) * (1.0 + EARLY / f64::from(self.count.saturating_add(1)).sqrt())
    }

    /// Takes a value in. Mean and variance are those of exponential weights (West, "Updating mean and variance
    /// estimates: an improved method", 1979).
    pub(crate) fn learn(&mut self, value: f64) {
        self.count = self.count.saturating_add(1);
        if self.count == 1 {
            (self.low, self.high, self.mean) = (value, value, value);
            return;
        }
        let gain = gain(SPREAD_GAIN, self.count);
        let distance = value - self.mean;
        self.mean += gain * distance;
        self.variance = (1.0 - gain) * (self.variance + gain * distance * distance);
        self.high = (self.high - SHRINK * (self.high - self.mean)).max(value);
        self.low = (self.low + SHRINK * (self.mean - self.low)).min(value);
    }
}

impl Stored for Envelope {
    fn put(&self, bytes: &mut Vec<u8>) {
        self.count.put(bytes);
        [self.low, self.high, self.mean, self.variance].put(bytes);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let count = u32::take(bytes)?;
        let [low, high, mean, variance] = <[f64; 4]>::take(bytes)?;
        Some(Envelope { count, low, high, mean, variance })
    }
}
