//! From the raw samples of a window to its point: every downsampling by its definition.

use crate::Kind;
use model::definition::Downsampling;
use model::{Labels, Span, Time};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A sample that counts.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) series: (Arc<str>, Labels),
    pub(crate) time: Time,
    pub(crate) value: f64,
    pub(crate) kind: Kind,
}

/// What the samples of a window come to that lasts `length`; `earlier` are those of one width before it. None where
/// there is no number.
pub(crate) fn reduce(how: Downsampling, samples: &[&Sample], earlier: &[&Sample], length: Span) -> Option<f64> {
    let count = samples.len();
    if count == 0 && how != Downsampling::Count {
        return None;
    }
    let mut sorted: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
    sorted.sort_by(f64::total_cmp);
    Some(match how {
        Downsampling::Count => count as f64,
        Downsampling::Sum => exact_sum(&sorted),
        Downsampling::Average => exact_sum(&sorted) / count as f64,
        Downsampling::Minimum => sorted[0],
        Downsampling::Maximum => sorted[count - 1],
        Downsampling::Last => in_time(samples.to_vec()).last()?.value,
        Downsampling::Percentile(thousandths) => {
            let rank = (count as u128 * u128::from(thousandths)).div_ceil(100_000).max(1) as usize;
            let value = sorted[rank - 1];
            if count <= 512 { value } else { representative(value).clamp(sorted[0], sorted[count - 1]) }
        }
        Downsampling::Rate => {
            let mut series: BTreeMap<&(Arc<str>, Labels), Vec<&Sample>> = BTreeMap::new();
            samples.iter().for_each(|sample| series.entry(&sample.series).or_default().push(sample));
            let rates = series.into_iter().filter_map(|(name, samples)| {
                let carried = earlier.iter().filter(|sample| sample.series == *name);
                let samples = in_time(samples);
                if samples[0].kind == Kind::Delta {
                    let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
                    return Some(exact_sum(&values) / length.as_secs_f64());
                }
                let mut run: Vec<&Sample> = in_time(carried.copied().collect()).last().copied().into_iter().collect();
                run.extend(samples);
                let seconds = (run[run.len() - 1].time - run[0].time).as_secs_f64();
                let steps = run.windows(2).map(|pair| (pair[0].value, pair[1].value));
                let increase = steps.fold(0.0, |sum, (a, b)| sum + if b >= a { b - a } else { b });
                (seconds > 0.0).then(|| increase / seconds)
            });
            rates.reduce(|sum, rate| sum + rate)?
        }
    })
}

fn in_time(mut samples: Vec<&Sample>) -> Vec<&Sample> {
    samples.sort_by(|a, b| a.time.cmp(&b.time).then(a.value.total_cmp(&b.value)));
    samples
}

/// The middle of the bucket that holds `value`: 128 buckets for each power of two, and one for zero.
fn representative(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let least = value.abs().to_bits() >> 45 << 45;
    let middle = (f64::from_bits(least) + f64::from_bits(least | ((1 << 45) - 1))) / 2.0;
    middle.copysign(value)
}

/// The exact sum, rounded once to the nearest double, to even where two are as near. The values are added up as
/// one integer, in units of the least double, in digits of 32 bits.
pub(crate) fn exact_sum(values: &[f64]) -> f64 {
    let mut digits = [0i64; 72];
    for value in values {
        let bits = value.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as usize;
        let mantissa = (bits & ((1 << 52) - 1)) | if exponent == 0 { 0 } else { 1 << 52 };
        let shift = exponent.max(1) - 1;
        let sign = if value.is_sign_negative() { -1 } else { 1 };
        let wide = u128::from(mantissa) << (shift % 32);
        for place in 0..3 {
            digits[shift / 32 + place] += sign * (wide >> (32 * place) & 0xffff_ffff) as i64;
        }
    }
    carry(&mut digits);
    let negative = digits[71] < 0;
    if negative {
        digits.iter_mut().for_each(|digit| *digit = -*digit);
        carry(&mut digits);
    }
    let top = digits.iter().rposition(|digit| *digit != 0).unwrap_or(0).max(3);
    // The four highest digits hold at least 97 bits; what lies below matters only by being there at all.
    let high = (top - 3..=top).rev().fold(0u128, |high, place| high << 32 | digits[place] as u128);
    let rest = digits[..top - 3].iter().any(|digit| *digit != 0);
    let rounded = (high | u128::from(rest)) as f64;
    // A power of two beyond what a double holds is applied in two halves; no half rounds.
    let power = 32 * (top as i32 - 3) - 1074;
    let half = power / 2;
    let sum = rounded * 2f64.powi(half) * 2f64.powi(power - half);
    if negative { -sum } else { sum }
}

/// Brings every digit but the highest into 0..2^32.
fn carry(digits: &mut [i64; 72]) {
    for place in 0..71 {
        digits[place + 1] += digits[place] >> 32;
        digits[place] &= 0xffff_ffff;
    }
}
