//! What never was: how far a value stands outside of all that has been seen.

use model::{Band, Reading, Time};

/// How many points come before the first reading.
const WARM_POINTS: f64 = 30.0;

/// A running level and the usual distance from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Novelty {
    count: f64,
    level: f64,
    distance: f64,
}

impl Novelty {
    pub(crate) fn new() -> Novelty {
        Novelty { count: 0.0, level: 0.0, distance: 0.0 }
    }

    pub(crate) fn assess(&self, _at: Time, _local: Time, value: f64) -> Option<Reading> {
        if self.count < WARM_POINTS {
            return None;
        }
        let reach = 10.0 * (self.distance + 1e-9 + 1e-3 * self.level.abs());
        let band = Band::new(self.level, self.level - reach, self.level + reach).ok()?;
        Some(Reading { band, score: Some((value - self.level).abs() / reach), stale: false })
    }

    pub(crate) fn learn(&mut self, _at: Time, _local: Time, value: f64) {
        self.count += 1.0;
        let gain = (1.0 / self.count).max(0.01);
        self.distance += gain * ((value - self.level).abs() - self.distance);
        self.level += gain * (value - self.level);
    }

    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.push(1);
        for number in [self.count, self.level, self.distance] {
            bytes.extend(number.to_le_bytes());
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Novelty> {
        let (&[1], numbers) = bytes.split_at_checked(1)? else { return None };
        let number = |place: usize| Some(f64::from_le_bytes(numbers.get(place * 8..)?.get(..8)?.try_into().ok()?));
        Some(Novelty { count: number(0)?, level: number(1)?, distance: number(2)? })
    }
}
