//! What a baseline says: the band in which the value of a window is expected, and how far a value lies from it.

/// Where a value is expected: around `average`, from `lower` to `higher`, all in the metric's own unit.
/// Finite, and `lower <= average <= higher`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// The expected value.
    pub average: f64,
    /// The lower bound.
    pub lower: f64,
    /// The upper bound.
    pub higher: f64,
}

/// What is wrong with three numbers that should be a band.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum BandError {
    /// A number is NaN or infinite.
    #[error("baseline({average}, {lower}, {higher}) has a number that is not finite")]
    NotFinite {
        /// The expected value.
        average: f64,
        /// The lower bound.
        lower: f64,
        /// The upper bound.
        higher: f64,
    },
    /// They are not in order.
    #[error("baseline({average}, {lower}, {higher}): lower <= average <= higher is wanted")]
    Disordered {
        /// The expected value.
        average: f64,
        /// The lower bound.
        lower: f64,
        /// The upper bound.
        higher: f64,
    },
}

/// What a baseline said of one window before it learned from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The band in force.
    pub band: Band,
    /// How strongly an online model takes the value for an anomaly, 1 where it would alert; none for baselines of
    /// batches.
    pub score: Option<f64>,
    /// Whether the baseline function failed, so that the band is that of an earlier batch.
    pub stale: bool,
}

impl Band {
    /// A band of these numbers.
    ///
    /// # Errors
    /// Where one is not finite, or they are not in order.
    pub fn new(average: f64, lower: f64, higher: f64) -> Result<Band, BandError> {
        if ![average, lower, higher].iter().all(|number| number.is_finite()) {
            return Err(BandError::NotFinite { average, lower, higher });
        }
        if !(lower <= average && average <= higher) {
            return Err(BandError::Disordered { average, lower, higher });
        }
        Ok(Band { average, lower, higher })
    }

    /// How far a value lies from the average, in units of the distance to the bound on its side: 1 at the upper
    /// bound, -1 at the lower one, infinite beyond a bound that is the average. What was learned was rounded to
    /// single precision, so the value is too: one that never changes lies on its average.
    pub fn deviation(&self, value: f64) -> f64 {
        let value = learnable(value);
        if value > self.average {
            (value - self.average) / (self.higher - self.average)
        } else if value < self.average {
            -(self.average - value) / (self.average - self.lower)
        } else {
            0.0
        }
    }
}

/// A value as baselines learn it: in single precision, which has seven digits. Infinite beyond its range.
pub fn learnable(value: f64) -> f64 {
    f64::from(value as f32)
}

/// A count of samples in one byte, as baselines keep it: exact below 32, within a thirty-second beyond, and at most
/// half a million.
pub fn pack_count(count: u64) -> u8 {
    let count = count.min(31 << 14);
    if count < 32 {
        return count as u8;
    }
    // Five leading bits, rounded to the nearest; rounding may carry into the next exponent.
    let exponent = count.ilog2() - 4;
    let rounded = (count + (1 << (exponent - 1))) >> exponent;
    let (exponent, leading) = if rounded == 32 { (exponent + 1, 16) } else { (exponent, rounded) };
    (32 + (exponent - 1) * 16 + (leading as u32 - 16)) as u8
}

/// The count that a byte stands for.
pub fn unpack_count(byte: u8) -> u64 {
    if byte < 32 {
        return u64::from(byte);
    }
    let (exponent, leading) = ((byte - 32) / 16 + 1, (byte - 32) % 16 + 16);
    u64::from(leading) << exponent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_in_one_byte_is_near_the_count() {
        for count in (0..5_000).chain((5_000..507_904).step_by(97)) {
            let kept = unpack_count(pack_count(count));
            assert!(count.abs_diff(kept) * 32 <= count, "{count} is kept as {kept}");
            assert!(count >= 32 || kept == count, "{count} is kept as {kept}");
        }
        assert_eq!([507_904, u64::MAX].map(|count| unpack_count(pack_count(count))), [507_904, 507_904]);
        assert!((0..=255).all(|byte| pack_count(unpack_count(byte)) == byte), "what was kept stays what it is");
    }

    #[test]
    fn a_deviation_is_one_at_the_upper_bound_and_minus_one_at_the_lower() {
        let band = Band::new(10.0, 8.0, 14.0).expect("a band");
        let found = [6.0, 8.0, 9.0, 10.0, 12.0, 14.0, 19.0].map(|value| band.deviation(value));
        assert_eq!(found, [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.25]);
    }

    #[test]
    fn a_band_without_width_is_left_at_once() {
        let average = learnable(0.3);
        let band = Band::new(average, average, average).expect("a band");
        assert_eq!([0.2, 0.3, 0.4].map(|value| band.deviation(value)), [f64::NEG_INFINITY, 0.0, f64::INFINITY]);
    }

    #[test]
    fn what_is_no_band_is_refused() {
        let refused = |average, lower, higher| Band::new(average, lower, higher).expect_err("no band").to_string();
        assert_eq!(refused(1.0, 2.0, 3.0), "baseline(1, 2, 3): lower <= average <= higher is wanted");
        assert_eq!(refused(1.0, 0.0, f64::NAN), "baseline(1, 0, NaN) has a number that is not finite");
    }
}
