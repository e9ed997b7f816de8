//! Percentiles by nearest rank: exact while a window is small, by buckets once it is large.
//!
//! The buckets are those of HdrHistogram (Tene) carried over to doubles: sign, exponent and the seven
//! leading bits of the mantissa, so that a bucket's middle is within 2^-8 of any value in it. Which of
//! the two answers is given depends on the count of the merged window alone: how samples were spread
//! over workers cannot show.

use std::collections::BTreeMap;

/// A window of more values than this is answered by buckets.
pub(crate) const EXACT_LIMIT: usize = 512;
/// Bits of a double that a bucket does not tell apart.
const DROPPED_BITS: u32 = 45;

/// The values of a pane or window.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// All of them, in any order.
    Exact(Vec<f64>),
    /// How many lie in each bucket.
    Buckets(BTreeMap<i32, u64>),
}

impl Default for Values {
    fn default() -> Values {
        Values::Exact(Vec::new())
    }
}

/// The bucket of a value: 0 for zero, else by sign and magnitude.
fn bucket(value: f64) -> i32 {
    let magnitude = (value.abs().to_bits() >> DROPPED_BITS) as i32 + 1;
    if value == 0.0 {
        0
    } else if value < 0.0 {
        -magnitude
    } else {
        magnitude
    }
}

/// The middle of a bucket.
fn middle(bucket: i32) -> f64 {
    if bucket == 0 {
        return 0.0;
    }
    let least = (u64::from(bucket.unsigned_abs()) - 1) << DROPPED_BITS;
    let middle = (f64::from_bits(least) + f64::from_bits(least | ((1 << DROPPED_BITS) - 1))) / 2.0;
    if bucket < 0 { -middle } else { middle }
}

impl Values {
    /// Adds a value.
    pub(crate) fn add(&mut self, value: f64) {
        match self {
            Values::Exact(values) => {
                values.push(value);
                if values.len() > EXACT_LIMIT {
                    self.bucketed();
                }
            }
            Values::Buckets(buckets) => *buckets.entry(bucket(value)).or_default() += 1,
        }
    }

    /// Adds what another holds.
    pub(crate) fn merge(&mut self, other: &Values) {
        match other {
            Values::Exact(values) => values.iter().for_each(|value| self.add(*value)),
            Values::Buckets(theirs) => {
                for (bucket, count) in theirs {
                    *self.bucketed().entry(*bucket).or_default() += count;
                }
            }
        }
    }

    fn bucketed(&mut self) -> &mut BTreeMap<i32, u64> {
        if let Values::Exact(values) = self {
            let mut buckets = BTreeMap::new();
            for value in std::mem::take(values) {
                *buckets.entry(bucket(value)).or_default() += 1;
            }
            *self = Values::Buckets(buckets);
        }
        match self {
            Values::Buckets(buckets) => buckets,
            Values::Exact(_) => unreachable!("they have just become buckets"),
        }
    }

    /// Adds what another holds to values that are in order, and keeps them so.
    pub(crate) fn merge_in_order(&mut self, other: &Values) {
        match (&mut *self, other) {
            (Values::Exact(values), Values::Exact(more)) if values.len() + more.len() <= EXACT_LIMIT => {
                for value in more {
                    let place = values.partition_point(|known| known.total_cmp(value).is_lt());
                    values.insert(place, *value);
                }
            }
            _ => self.merge(other),
        }
    }

    /// Takes away what another holds, and keeps values in order. False where what is left should be exact and is not.
    pub(crate) fn take_away(&mut self, other: &Values) -> bool {
        match (self, other) {
            (Values::Exact(values), Values::Exact(gone)) => {
                for value in gone {
                    let place = values.partition_point(|known| known.total_cmp(value).is_lt());
                    values.remove(place);
                }
                true
            }
            (Values::Exact(_), Values::Buckets(_)) => false,
            (Values::Buckets(buckets), other) => {
                let mut gone = other.clone();
                for (bucket, count) in gone.bucketed() {
                    if let Some(left) = buckets.get_mut(bucket) {
                        *left -= *count;
                    }
                }
                buckets.retain(|_, count| *count > 0);
                buckets.values().sum::<u64>() > EXACT_LIMIT as u64
            }
        }
    }

    /// Puts exact values in order, as `percentile` wants them.
    pub(crate) fn sort(&mut self) {
        if let Values::Exact(values) = self {
            values.sort_unstable_by(f64::total_cmp);
        }
    }

    /// The value of nearest rank among sorted values: the least of which at least this share, in
    /// thousandths of a percent, is not greater. `minimum` and `maximum` bound what buckets answer.
    pub(crate) fn percentile(&self, thousandths: u32, minimum: f64, maximum: f64) -> Option<f64> {
        let count = match self {
            Values::Exact(values) => values.len() as u64,
            Values::Buckets(buckets) => buckets.values().sum(),
        };
        let rank = (u128::from(count) * u128::from(thousandths)).div_ceil(100_000).max(1) as u64;
        match self {
            Values::Exact(values) => values.get(rank as usize - 1).copied(),
            Values::Buckets(buckets) => {
                let mut seen = 0;
                let reached = buckets.iter().find(|(_, count)| {
                    seen += **count;
                    seen >= rank
                });
                reached.map(|(bucket, _)| middle(*bucket).max(minimum).min(maximum))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percentile(values: impl IntoIterator<Item = f64>, thousandths: u32) -> f64 {
        let (mut all, mut least, mut greatest) = (Values::default(), f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            all.add(value);
            least = least.min(value);
            greatest = greatest.max(value);
        }
        all.sort();
        all.percentile(thousandths, least, greatest).expect("there are values")
    }

    #[test]
    fn small_windows_are_exact() {
        assert_eq!(percentile([3.0, 1.0, 2.0], 50_000), 2.0);
        assert_eq!(percentile([3.0, 1.0], 50_000), 1.0);
        assert_eq!(percentile([3.0, 1.0], 1), 1.0);
        assert_eq!(percentile((1..=100).map(f64::from), 99_000), 99.0);
        assert_eq!(percentile((1..=100).map(f64::from), 99_900), 100.0);
    }

    #[test]
    fn large_windows_are_within_a_256th() {
        for scale in [1e-6, 1.0, 1e9, -1.0, -1e-3] {
            let exact = 9_500.0 * scale;
            let share = if scale < 0.0 { 5_010 } else { 95_000 };
            let found = percentile((1..=10_000).map(|value| f64::from(value) * scale), share);
            assert!(((found - exact) / exact).abs() <= 1.0 / 256.0, "{found} for {exact}");
        }
        assert_eq!(percentile((0..10_000).map(|_| 0.0), 50_000), 0.0);
        assert_eq!(percentile((0..10_000).map(|_| 7.3), 50_000), 7.3);
    }
}
