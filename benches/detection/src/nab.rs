//! The score of the Numenta Anomaly Benchmark (Lavin and Ahmad, "Evaluating real-time anomaly detection algorithms",
//! 2015), version 1.1.
//!
//! Each anomaly has a window. The best detection in a window counts once, the earlier the better; each detection outside
//! costs, the further past a window the more. One threshold is chosen for all files together, the best one for each
//! profile: as the benchmark does for all detectors. 0 is the score of saying nothing, 100 that of perfection.

use crate::run::Scored;
use crate::series::{SeriesError, instant};
use model::Time;
use std::collections::BTreeMap;
use std::path::Path;

/// What hits and misses are worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    missed: f64,
    false_alert: f64,
}

/// The three profiles of the benchmark.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", missed: 1.0, false_alert: 0.11 },
    Profile { name: "low FP", missed: 1.0, false_alert: 0.22 },
    Profile { name: "low FN", missed: 2.0, false_alert: 0.11 },
];

/// The first rows of a file are for learning: this share, of at most so many.
const LEARNING_SHARE: f64 = 0.15;
const LEARNING_OF_ROWS: f64 = 5000.0;

/// The windows of each file, by its path in the folder of data.
pub type Windows = BTreeMap<String, Vec<(Time, Time)>>;

/// A file with what was said of its points.
#[derive(Debug)]
pub struct File {
    /// Windows that the labels name.
    labelled: usize,
    points: Vec<Weighed>,
}

/// A point that counts: its score, and what a detection there is worth.
#[derive(Clone, Copy, Debug)]
struct Weighed {
    score: f64,
    worth: f64,
    window: Option<usize>,
}

/// A profile's score, and the threshold that gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// From 0, silence, to 100, perfection.
    pub score: f64,
    /// What scores at least this is a detection.
    pub threshold: f64,
}

/// Reads `labels/combined_windows.json` of the benchmark's archive.
///
/// # Errors
/// Where it cannot be read, or is not what is wanted.
pub fn read_windows(path: &Path) -> Result<Windows, SeriesError> {
    let text = std::fs::read_to_string(path).map_err(|error| SeriesError::Io { path: path.to_owned(), error })?;
    let wrong = |line: usize, what: String| SeriesError::Line { path: path.to_owned(), line, what };
    let read: BTreeMap<String, Vec<(String, String)>> = serde_json::from_str(&text)
        .map_err(|error| wrong(error.line(), format!("{error}; {{\"file.csv\": [[start, end], ..]}} is wanted")))?;
    let time = |moment: &str| {
        let line = text.lines().position(|line| line.contains(moment)).unwrap_or_default() + 1;
        instant(moment).ok_or_else(|| wrong(line, format!("`{moment}` is no time such as 2014-04-10 07:15:00")))
    };
    let window = |(start, end): &(String, String)| Ok((time(start)?, time(end)?));
    let windows = |(file, windows): (&String, &Vec<(String, String)>)| {
        Ok((file.clone(), windows.iter().map(window).collect::<Result<_, _>>()?))
    };
    read.iter().map(windows).collect()
}

/// How many of a file's first rows are for learning, and count neither way.
pub fn learning_rows(rows: usize) -> usize {
    (LEARNING_SHARE * (rows as f64).min(LEARNING_OF_ROWS)).floor() as usize
}

/// Weighs what was said of a file's points by the windows of its anomalies.
pub fn weigh(scored: &[Scored], windows: &[(Time, Time)]) -> File {
    let learning = learning_rows(scored.len());
    let places: Vec<(usize, usize)> = windows
        .iter()
        .filter_map(|(start, end)| {
            let place = |time: &Time| scored.iter().position(|point| point.at == *time);
            Some((place(start)?, place(end)?))
        })
        .collect();
    let weigh = |(place, point): (usize, &Scored)| {
        let window = places.iter().position(|(start, end)| (*start..=*end).contains(&place));
        Weighed { score: point.score, worth: worth(place, &places, window), window }
    };
    let points = scored.iter().enumerate().skip(learning).map(weigh).collect();
    File { labelled: windows.len(), points }
}

/// What a detection at a place is worth: near 1 at the start of a window, 0 at its end, then below, -1 far from any.
fn worth(place: usize, windows: &[(usize, usize)], window: Option<usize>) -> f64 {
    if let Some((start, end)) = window.and_then(|window| windows.get(window)) {
        let width = (end - start + 1) as f64;
        return sigmoid(-((end - place + 1) as f64) / width) / sigmoid(-1.0);
    }
    match windows.iter().rfind(|(_, end)| *end < place) {
        Some((start, end)) => sigmoid((place - end) as f64 / (end - start) as f64),
        None => -1.0,
    }
}

/// The benchmark's scaled sigmoid: 1 far before 0, -1 far behind.
fn sigmoid(position: f64) -> f64 {
    if position > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * position).exp()) - 1.0 }
}

/// The score of a detector over all files with the one threshold that is best for the profile.
pub fn best(files: &[File], profile: Profile) -> Best {
    curve(files, profile).into_iter().max_by(|one, other| one.score.total_cmp(&other.score)).unwrap_or(SILENCE)
}

/// The score with this threshold.
pub fn at_threshold(files: &[File], profile: Profile, threshold: f64) -> f64 {
    let reached = curve(files, profile).into_iter().rfind(|point| point.threshold >= threshold);
    reached.unwrap_or(SILENCE).score
}

const SILENCE: Best = Best { score: 0.0, threshold: f64::INFINITY };

/// The score at each threshold that makes a difference, from the highest threshold.
fn curve(files: &[File], profile: Profile) -> Vec<Best> {
    let mut points = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let of_file = |point: &Weighed| (point.score, point.worth, point.window.map(|window| (number, window)));
        points.extend(file.points.iter().map(of_file));
    }
    points.sort_by(|one, other| other.0.total_cmp(&one.0));
    let counted: BTreeMap<(usize, usize), f64> =
        points.iter().filter_map(|(_, _, window)| window.map(|window| (window, -profile.missed))).collect();
    // A window inside the learning rows cannot be found, and is part of perfection all the same.
    let labelled: usize = files.iter().map(|file| file.labelled).sum();
    let span = labelled as f64 + counted.len() as f64 * profile.missed;
    let mut windows = counted;
    let mut gained = 0.0;
    let mut curve = vec![SILENCE];
    for (place, (score, worth, window)) in points.iter().enumerate() {
        match window.and_then(|window| windows.get_mut(&window)) {
            Some(best) if worth > best => {
                gained += worth - *best;
                *best = *worth;
            }
            Some(_) => {}
            None => gained += worth * profile.false_alert,
        }
        if points.get(place + 1).is_none_or(|next| next.0 != *score) {
            curve.push(Best { score: 100.0 * gained / span, threshold: *score });
        }
    }
    curve
}
