//! Sums that do not depend on the order of their terms: kept exactly, rounded once.
//!
//! Nearly every measured value is a multiple of 2^-64 below 2^63, so a sum is a 128-bit integer in that
//! unit. What does not fit goes to a superaccumulator over the whole range of doubles (Kulisch, "Very
//! fast and exact accumulation of products", Computing 91, 2011), which is larger and rarely needed.

/// Base of the wide accumulator's digits: 2^32.
const DIGIT_BITS: i32 = 32;
/// The weight of the wide accumulator's first digit is 2^-1088, below the least double.
const LEAST_EXPONENT: i32 = -1088;
/// Digits that cover 2^-1088 up to 2^1152: any double, and 2^127 of the largest.
const DIGITS: usize = 70;
/// The unit of the narrow sum: 2^-64.
const UNIT_EXPONENT: i32 = -64;

/// An exact sum of finite doubles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExactSum {
    /// In units of 2^-64.
    narrow: i128,
    /// What did not fit, by digits; empty where all did.
    wide: Vec<i64>,
}

/// The value in units of 2^-64, where it is a whole number of them and leaves room for many like it.
pub(crate) fn narrow(value: f64) -> Option<i128> {
    let (mantissa, exponent) = parts(value);
    let shift = exponent - UNIT_EXPONENT;
    if mantissa == 0 {
        Some(0)
    } else if (0..=60).contains(&shift) {
        Some(i128::from(mantissa) << shift)
    } else if (-52..0).contains(&shift) && mantissa.trailing_zeros() as i32 >= -shift {
        Some(i128::from(mantissa >> -shift))
    } else {
        None
    }
}

/// The signed mantissa and the exponent: `value = mantissa * 2^exponent`.
fn parts(value: f64) -> (i64, i32) {
    let bits = value.to_bits();
    let raw = ((bits >> 52) & 0x7ff) as i32;
    let fraction = (bits & ((1 << 52) - 1)) as i64;
    let (mantissa, exponent) = if raw == 0 { (fraction, -1074) } else { (fraction | 1 << 52, raw - 1075) };
    (if value.is_sign_negative() { -mantissa } else { mantissa }, exponent)
}

impl ExactSum {
    /// Adds one finite value.
    pub(crate) fn add(&mut self, value: f64) {
        match narrow(value) {
            Some(term) => self.add_narrow(term),
            None => {
                let (mantissa, exponent) = parts(value);
                self.add_wide(i128::from(mantissa), exponent);
            }
        }
    }

    /// Adds a whole number of units of 2^-64.
    pub(crate) fn add_narrow(&mut self, term: i128) {
        match self.narrow.checked_add(term) {
            Some(sum) => self.narrow = sum,
            None => {
                self.add_wide(self.narrow, UNIT_EXPONENT);
                self.narrow = term;
            }
        }
    }

    /// Adds another sum.
    pub(crate) fn merge(&mut self, other: &ExactSum) {
        self.add_narrow(other.narrow);
        if !other.wide.is_empty() {
            self.widen();
            for (digit, term) in self.wide.iter_mut().zip(&other.wide) {
                *digit += term;
            }
            carry(&mut self.wide);
        }
    }

    /// Takes another sum away that is part of this one.
    pub(crate) fn take_away(&mut self, other: &ExactSum) {
        let negative = other.wide.iter().map(|digit| -digit).collect();
        self.merge(&ExactSum { narrow: -other.narrow, wide: negative });
    }

    fn widen(&mut self) {
        if self.wide.is_empty() {
            self.wide = vec![0; DIGITS];
        }
    }

    fn add_wide(&mut self, mantissa: i128, exponent: i32) {
        self.widen();
        let place = exponent - LEAST_EXPONENT;
        let first = (place / DIGIT_BITS) as usize;
        let (sign, magnitude) = (if mantissa < 0 { -1 } else { 1 }, mantissa.unsigned_abs());
        let shift = (place % DIGIT_BITS) as u32;
        let low = (magnitude & u128::from(u64::MAX)) << shift;
        let high = (magnitude >> 64) << shift;
        for (half, offset) in [(low, 0), (high, 2)] {
            for digit in 0..4 {
                let term = ((half >> (32 * digit)) & 0xffff_ffff) as i64;
                if term != 0 {
                    self.wide[first + offset + digit] += sign * term;
                }
            }
        }
        carry(&mut self.wide);
    }

    /// The sum, rounded to the nearest double, ties to even.
    pub(crate) fn value(&self) -> f64 {
        if self.wide.is_empty() {
            return self.narrow as f64 * 2f64.powi(UNIT_EXPONENT);
        }
        let mut total = self.clone();
        total.add_wide(self.narrow, UNIT_EXPONENT);
        round(total.wide)
    }

    /// The sum as numbers to keep: two for the narrow part, then the wide digits.
    pub(crate) fn to_words(&self) -> Vec<i64> {
        let mut words = vec![(self.narrow >> 64) as i64, self.narrow as i64];
        words.extend(&self.wide);
        words
    }

    /// What `to_words` gave.
    pub(crate) fn from_words(words: &[i64]) -> ExactSum {
        match words {
            [high, low, wide @ ..] => {
                ExactSum { narrow: (i128::from(*high) << 64) | i128::from(*low as u64), wide: wide.to_vec() }
            }
            _ => ExactSum::default(),
        }
    }
}

/// Brings every digit but the last into 0..2^32.
fn carry(digits: &mut [i64]) {
    for place in 0..digits.len() - 1 {
        let over = digits[place] >> DIGIT_BITS;
        digits[place] -= over << DIGIT_BITS;
        digits[place + 1] += over;
    }
}

fn round(mut digits: Vec<i64>) -> f64 {
    let negative = digits.last().is_some_and(|top| *top < 0);
    if negative {
        for digit in &mut digits {
            *digit = -*digit;
        }
        carry(&mut digits);
    }
    let Some(top) = digits.iter().rposition(|digit| *digit != 0) else { return 0.0 };
    // Four digits hold at least 97 significant bits; a set last bit stands for everything below them.
    let bottom = top.saturating_sub(3);
    let mut leading: u128 = digits[bottom..=top].iter().rev().fold(0, |sum, digit| (sum << 32) | *digit as u128);
    if digits[..bottom].iter().any(|digit| *digit != 0) {
        leading |= 1;
    }
    let exponent = LEAST_EXPONENT + DIGIT_BITS * bottom as i32;
    // Two steps, since 2^exponent alone may be below the least double.
    let half = exponent / 2;
    let value = leading as f64 * 2f64.powi(half) * 2f64.powi(exponent - half);
    if negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        values.iter().for_each(|value| sum.add(*value));
        let mut reversed = ExactSum::default();
        values.iter().rev().for_each(|value| reversed.add(*value));
        let (left, right) = values.split_at(values.len() / 2);
        let mut merged = ExactSum::default();
        for part in [right, left] {
            let mut partial = ExactSum::default();
            part.iter().for_each(|value| partial.add(*value));
            merged.merge(&ExactSum::from_words(&partial.to_words()));
        }
        assert_eq!(sum.value().to_bits(), reversed.value().to_bits());
        assert_eq!(sum.value().to_bits(), merged.value().to_bits());
        sum.value()
    }

    #[test]
    fn sums_are_exact_and_rounded_once() {
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[1e308, 1.0, -1e308]), 1.0);
        assert_eq!(sum(&[1e16, 1.0, 1.0, -1e16]), 2.0);
        assert_eq!(sum(&[5e-324, 5e-324]), 1e-323);
        assert_eq!(sum(&[1e-300, -1e-300]), 0.0);
        assert_eq!(sum(&[1e308, 1e-308, 1e308, -1e308]), 1e308);
        assert_eq!(sum(&[-3.5, 1.25]), -2.25);
        assert_eq!(sum(&[2f64.powi(62); 8]), 2f64.powi(65));
        assert_eq!(sum(&[f64::MAX, -f64::MAX, -0.5]), -0.5);
        assert_eq!(sum(&[9007199254740992.0, 1.0, 1e-40]), 9007199254740994.0);
    }
}
