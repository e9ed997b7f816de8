//! Statistics over the values of a series. All are of the sample at hand; none keeps state.

/// The arithmetic mean. Rounding does not carry it out of the range of the values: that of a constant is the constant.
pub(crate) fn mean(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    mean.max(minimum(values)).min(maximum(values))
}

/// The least value; infinite where there is none.
pub(crate) fn minimum(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The greatest value; infinite where there is none.
pub(crate) fn maximum(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// The standard deviation of the sample (divisor n - 1), in two passes; 0 for a single value.
pub(crate) fn stddev(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// The middle value; of an even number, the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut parted = values.to_vec();
    let middle = parted.len() / 2;
    let (below, upper, _) = parted.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    match below.iter().copied().max_by(f64::total_cmp) {
        Some(lower) if values.len().is_multiple_of(2) => lower / 2.0 + upper / 2.0,
        _ => upper,
    }
}

/// The median absolute deviation from the median, unscaled (Hampel, "The influence curve and its role
/// in robust estimation", 1974).
pub(crate) fn mad(values: &[f64]) -> f64 {
    let middle = median(values);
    median(&values.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>())
}

/// The percentile by nearest rank, as for windows. `percent` lies in (0, 100].
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let rank = (percent / 100.0 * values.len() as f64).ceil() as usize;
    let mut parted = values.to_vec();
    *parted.select_nth_unstable_by(rank.clamp(1, values.len()) - 1, f64::total_cmp).1
}

/// A straight line: its value at the last x, and its slope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    /// The line's value at the first x.
    pub(crate) first: f64,
    /// The line's value at the last x.
    pub(crate) last: f64,
    /// Its rise for each unit of x.
    pub(crate) slope: f64,
}

/// The line of least squares (Legendre, 1805) through the points; level at their mean where all x are the same.
pub(crate) fn line(points: &[(f64, f64)]) -> Line {
    let n = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / n;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / n;
    let (mut xx, mut xy) = (0.0, 0.0);
    for (x, y) in points {
        xx += (x - mean_x) * (x - mean_x);
        xy += (x - mean_x) * (y - mean_y);
    }
    let slope = if xx > 0.0 { xy / xx } else { 0.0 };
    let at = |x: f64| mean_y + slope * (x - mean_x);
    let (first, last) = (points.first(), points.last());
    Line { first: first.map_or(mean_y, |(x, _)| at(*x)), last: last.map_or(mean_y, |(x, _)| at(*x)), slope }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        assert_eq!(mean(&values), 5.0);
        assert_eq!(median(&values), 4.5);
        assert_eq!(mad(&values), 0.5);
        assert_eq!(stddev(&values), (32.0f64 / 7.0).sqrt());
        assert_eq!(stddev(&[3.0]), 0.0);
        assert_eq!([10.0, 50.0, 51.0, 100.0].map(|percent| percentile(&values, percent)), [2.0, 4.0, 5.0, 9.0]);
    }

    #[test]
    fn a_line_of_least_squares() {
        let line_of = |points: &[(f64, f64)]| {
            let found = line(points);
            (found.first, found.last, found.slope)
        };
        assert_eq!(line_of(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]), (1.0, 5.0, 2.0));
        assert_eq!(line_of(&[(0.0, 0.0), (1.0, 3.0), (2.0, 0.0)]), (1.0, 1.0, 0.0));
        assert_eq!(line_of(&[(4.0, 7.0)]), (7.0, 7.0, 0.0));
    }
}
