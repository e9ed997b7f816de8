//! Plots of a series in the band that was expected of it: for a terminal and as SVG. Pure: points go in, text comes
//! out.

mod axes;
mod svg;
mod terminal;

pub(crate) use axes::{brief, day_and_time};

use axes::{Scale, time_ticks, value_ticks};
use jiff::tz::TimeZone;
use model::{Band, Span, Time};

/// What is to be seen.
#[derive(Debug)]
pub(crate) struct Plot {
    /// What it is.
    pub(crate) title: String,
    /// How it was made.
    pub(crate) subtitle: String,
    /// The unit of the values; empty where it is not known.
    pub(crate) unit: String,
    /// Whose clock the time axis shows.
    pub(crate) zone: TimeZone,
    /// In the order of time.
    pub(crate) points: Vec<Point>,
}

/// One window.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// Where it stands on the time axis.
    pub(crate) at: Time,
    /// The value.
    pub(crate) value: f64,
    /// The band in force; none where there was no baseline.
    pub(crate) band: Option<Band>,
    /// Whether it is marked, and what is said of it where a plot can say something.
    pub(crate) mark: Option<String>,
}

impl Plot {
    /// Lines for a terminal of so many columns.
    pub(crate) fn terminal(&self, width: usize, colour: bool) -> String {
        terminal::draw(self, width, colour)
    }

    /// A page that needs nothing else, light or dark as its reader likes it.
    pub(crate) fn svg(&self) -> String {
        svg::draw(self)
    }

    /// The least and the greatest number that is to be seen, with a margin.
    fn values(&self) -> (f64, f64) {
        let of = |point: &Point| {
            let (lower, higher) = point.band.map_or((point.value, point.value), |band| (band.lower, band.higher));
            (lower.min(point.value), higher.max(point.value))
        };
        let (low, high) = self
            .points
            .iter()
            .map(of)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (a, b)| (low.min(a), high.max(b)));
        if !low.is_finite() || !high.is_finite() {
            return (0.0, 1.0);
        }
        let margin = if high > low { (high - low) * 0.04 } else { (low.abs() * 0.1).max(1e-9) };
        // What is never negative is not shown below zero.
        let below = if low >= 0.0 { (low - margin).max(0.0) } else { low - margin };
        (below, high + margin)
    }

    /// The time that is to be seen; at least a moment.
    fn times(&self) -> (Time, Time) {
        match (self.points.first(), self.points.last()) {
            (Some(first), Some(last)) if last.at > first.at => (first.at, last.at),
            (Some(only), _) => (only.at - Span::from_secs(1800), only.at + Span::from_secs(1800)),
            _ => (Time::from_nanos(0), Time::from_nanos(1)),
        }
    }

    /// The points in runs without a gap: where the next one is missing, the line ends.
    fn runs(&self) -> Vec<&[Point]> {
        let mut steps: Vec<i64> = self.points.windows(2).map(|pair| (pair[1].at - pair[0].at).nanos()).collect();
        steps.sort_unstable();
        // A batch is longer where the clock is set back.
        let most = steps.get(steps.len() / 2).map_or(i64::MAX, |usual| usual.saturating_mul(9) / 4);
        self.points.chunk_by(|a, b| (b.at - a.at).nanos() <= most).collect()
    }
}

/// A text, shortened where it is longer than so many letters.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
