//! How alerts meet labels: by point, by event, and what it costs the one who is told.
//!
//! Point-adjusted counts follow the AIOps challenge of 2018: a labelled segment counts as found, all of it, when there
//! is an alert among its first points; every point outside of segments counts for itself. This flatters (Kim et al.,
//! "Towards a rigorous evaluation of time-series anomaly detection", 2022), so events stand beside it: a segment is one
//! event however long, and alerts close together outside of segments are one false alert; one that lasts counts again.

use crate::run::Scored;

/// Alerts of so many points from the first one on are one.
const TOGETHER_POINTS: usize = 10;
/// How many thresholds are tried for the best one.
const THRESHOLDS: usize = 200;

/// A series with its labels, and what was said of its points.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What was said, point by point.
    pub scored: Vec<Scored>,
    /// What was labelled, point by point.
    pub labels: Vec<bool>,
    /// The first points, which are for learning, and count neither way.
    pub learning: usize,
}

/// What comes of comparing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// Found and not, as points of segments or as segments, and false alerts, as points or as alerts.
    pub hits: usize,
    /// What was missed.
    pub misses: usize,
    /// What was told without reason.
    pub false_alerts: usize,
}

impl Quality {
    /// The share of what was told that is right.
    pub fn precision(&self) -> f64 {
        share(self.hits, self.hits + self.false_alerts)
    }

    /// The share of what is there that was told.
    pub fn recall(&self) -> f64 {
        share(self.hits, self.hits + self.misses)
    }

    /// The harmonic mean of the two.
    pub fn f1(&self) -> f64 {
        share(2 * self.hits, 2 * self.hits + self.misses + self.false_alerts)
    }

    fn add(&mut self, other: Quality) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.false_alerts += other.false_alerts;
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The labelled segments after the learning points, from the first point to behind the last.
pub fn segments(judged: &Judged) -> Vec<(usize, usize)> {
    let mut segments = Vec::new();
    let mut start = None;
    for place in judged.learning..=judged.labels.len() {
        match (judged.labels.get(place).copied().unwrap_or(false), start) {
            (true, None) => start = Some(place),
            (false, Some(from)) => {
                segments.push((from, place));
                start = None;
            }
            _ => {}
        }
    }
    segments
}

/// Point-adjusted counts: a segment is found by an alert among its first `delay + 1` points.
pub fn by_point(all: &[Judged], delay: usize) -> Quality {
    sum(all, |judged| {
        let mut quality = Quality::default();
        for (start, end) in segments(judged) {
            let reacted = (start + delay + 1).min(end);
            let found = judged.scored[start..reacted].iter().any(|point| point.alert);
            *(if found { &mut quality.hits } else { &mut quality.misses }) += end - start;
        }
        let outside = (judged.learning..judged.scored.len()).filter(|place| !judged.labels[*place]);
        quality.false_alerts = outside.filter(|place| judged.scored[*place].alert).count();
        quality
    })
}

/// Counts of events.
pub fn by_event(all: &[Judged]) -> Quality {
    sum(all, |judged| {
        let mut quality = Quality::default();
        for (start, end) in segments(judged) {
            let found = judged.scored[start..end].iter().any(|point| point.alert);
            *(if found { &mut quality.hits } else { &mut quality.misses }) += 1;
        }
        let mut last = None;
        for place in (judged.learning..judged.scored.len()).filter(|place| judged.scored[*place].alert) {
            // What follows closely on an alert, false or not, is no new one; but one that does not end counts again, or
            // to cry all day would cost nothing.
            let is_new = last.is_none_or(|last| place - last > TOGETHER_POINTS);
            if judged.labels[place] {
                last = Some(place);
            } else if is_new {
                quality.false_alerts += 1;
                last = Some(place);
            }
        }
        quality
    })
}

fn sum(all: &[Judged], of_one: impl Fn(&Judged) -> Quality) -> Quality {
    all.iter().fold(Quality::default(), |mut total, judged| {
        total.add(of_one(judged));
        total
    })
}

/// Points from the start of each segment that was found to the first alert in it, in ascending order.
pub fn delays(all: &[Judged]) -> Vec<usize> {
    let mut delays: Vec<usize> = all
        .iter()
        .flat_map(|judged| {
            let delay = |(start, end): (usize, usize)| judged.scored[start..end].iter().position(|point| point.alert);
            segments(judged).into_iter().filter_map(delay).collect::<Vec<_>>()
        })
        .collect();
    delays.sort_unstable();
    delays
}

/// Days that all series cover together, learning left out.
pub fn series_days(all: &[Judged]) -> f64 {
    let days = |judged: &Judged| {
        let points = judged.scored.get(judged.learning..).unwrap_or_default();
        points.first().zip(points.last()).map_or(0.0, |(first, last)| (last.at - first.at).as_secs_f64() / 86_400.0)
    };
    all.iter().map(days).sum()
}

/// Alerts wherever the score reaches the threshold, and nowhere else.
pub fn set_threshold(all: &mut [Judged], threshold: f64) {
    for point in all.iter_mut().flat_map(|judged| &mut judged.scored) {
        point.alert = point.score >= threshold;
    }
}

/// The threshold with which the series are judged best; it is set when this returns.
pub fn set_best_threshold(all: &mut [Judged], delay: usize, quality: impl Fn(&[Judged]) -> f64) -> f64 {
    let (mut best, mut highest) = (f64::INFINITY, 0.0);
    for threshold in thresholds(all, delay) {
        set_threshold(all, threshold);
        let quality = quality(all);
        if quality > highest {
            (best, highest) = (threshold, quality);
        }
    }
    set_threshold(all, best);
    best
}

/// Thresholds to try, ascending: evenly among the highest scores near the starts of the segments.
fn thresholds(all: &[Judged], delay: usize) -> Vec<f64> {
    let highest = |judged: &Judged, (start, end): (usize, usize)| {
        let reacted = (start + delay + 1).min(end);
        judged.scored[start..reacted].iter().map(|point| point.score).fold(0.0, f64::max)
    };
    let mut scores: Vec<f64> =
        all.iter().flat_map(|judged| segments(judged).into_iter().map(|segment| highest(judged, segment))).collect();
    scores.retain(|score| *score > 0.0);
    scores.sort_by(f64::total_cmp);
    scores.dedup();
    let stride = scores.len().div_ceil(THRESHOLDS).max(1);
    scores.into_iter().step_by(stride).collect()
}
