//! The answer to the workloads that ask for health: when each series becomes CRITICAL, and when it no longer is.
//!
//! The threshold's word follows from the formula of the readings, to the window. What the learned baseline says beside
//! it makes a series DEVIATING at most; that is counted, and no figure depends on it.

use crate::failure::Failure;
use crate::points::Found;
use crate::workload::{CLOSING, LATENESS_S, START_S, Workload, series_of};
use model::Time;
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};

/// How long the windows of the configuration are.
pub(crate) const WINDOW_S: i64 = 10;

/// What was asked for, and which of it has come.
pub(crate) struct Answer {
    workload: Workload,
    /// By series, end of the window and change: whether it has been told.
    wanted: HashMap<(u32, i64, Change), bool>,
    found: Found,
    /// The time of the newest transition.
    newest_s: i64,
    /// The partitions whose closing series has become CRITICAL, which comes behind all else.
    closed: BTreeSet<String>,
}

/// A change that the threshold makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    /// Something is known for the first time.
    Begins,
    /// It becomes CRITICAL.
    Enters,
    /// It no longer is.
    Leaves,
}

#[derive(Deserialize)]
struct Told<'t> {
    #[serde(borrow)]
    element: Element<'t>,
    health: &'t str,
    time: &'t str,
    from: &'t str,
    to: &'t str,
}

#[derive(Deserialize)]
struct Element<'t> {
    #[serde(default)]
    name: &'t str,
}

impl Answer {
    /// Nothing has come yet.
    pub(crate) fn new(workload: Workload) -> Answer {
        let mut wanted = HashMap::new();
        for series in 0..workload.series {
            let mut was = None;
            let first = START_S - START_S.rem_euclid(WINDOW_S) + WINDOW_S;
            for end in (first..workload.end_s() + WINDOW_S).step_by(WINDOW_S as usize) {
                let seconds = (end - WINDOW_S).max(START_S)..end.min(workload.end_s());
                let Some(second) = seconds.into_iter().find(|second| workload.reports(series, *second)) else {
                    continue;
                };
                // Episodes begin and end where windows do.
                let is = workload.in_episode(series, second);
                match was.replace(is) {
                    None => wanted.insert((series, end, Change::Begins), false),
                    Some(false) if is => wanted.insert((series, end, Change::Enters), false),
                    Some(true) if !is => wanted.insert((series, end, Change::Leaves), false),
                    Some(_) => None,
                };
            }
        }
        Answer { workload, wanted, found: Found::default(), newest_s: i64::MIN, closed: BTreeSet::new() }
    }

    /// From where on the figures are those of a warm system: a window's end, and how many readings come after it closes.
    pub(crate) fn warm(&self) -> Option<(i64, u64)> {
        let total = self.workload.events();
        let read = |end: i64| self.workload.events_before(end + LATENESS_S);
        let first = START_S - START_S.rem_euclid(WINDOW_S) + WINDOW_S;
        let end = (first..self.workload.end_s()).step_by(WINDOW_S as usize).find(|end| read(*end) * 5 >= total)?;
        let rest = total - read(end);
        (rest * 4 >= total).then_some((end, rest))
    }

    /// Holds one transition against the truth.
    pub(crate) fn check(&mut self, value: &[u8]) -> Result<(), Failure> {
        let wrong = |why: String| Failure(format!("wrong transition: {why}: {}", String::from_utf8_lossy(value)));
        // Evidence is skipped, but must be there as JSON.
        let told: Told<'_> = serde_json::from_slice(value).map_err(|e| wrong(e.to_string()))?;
        let time_s = told.time.parse::<Time>().map_err(|e| wrong(e.to_string()))?.millis() / 1000;
        self.newest_s = self.newest_s.max(time_s);
        if told.health != "own" {
            self.found.beside += 1;
            return Ok(());
        }
        if told.element.name.starts_with(CLOSING) {
            if told.to == "CRITICAL" {
                self.closed.insert(told.element.name.to_owned());
            }
            return Ok(());
        }
        let change = match (told.from, told.to) {
            ("UNKNOWN", _) => Change::Begins,
            (_, "CRITICAL") => Change::Enters,
            ("CRITICAL", _) => Change::Leaves,
            _ => {
                self.found.beside += 1;
                return Ok(());
            }
        };
        // The name may have the group of the series too.
        let series = told.element.name.split(' ').next().and_then(series_of);
        let series = series.ok_or_else(|| wrong(format!("there is no series `{}`", told.element.name)))?;
        self.take(series, time_s, change).map_err(wrong)
    }

    /// Takes a change that was told.
    pub(crate) fn take(&mut self, series: u32, time_s: i64, change: Change) -> Result<(), String> {
        let Some(seen) = self.wanted.get_mut(&(series, time_s, change)) else {
            return Err(format!("series {series} at {time_s} s {change:?}: nothing of the kind is wanted then"));
        };
        match std::mem::replace(seen, true) {
            false => self.found.right += 1,
            true => self.found.again += 1,
        }
        Ok(())
    }

    /// Wants only that from a system that tells less: not that something is known for the first time, and nothing of
    /// windows that end after this second.
    pub(crate) fn excuse(&mut self, after_s: i64) {
        self.wanted.retain(|(_, end, change), _| *change != Change::Begins && *end <= after_s);
    }

    /// Whether a series has readings in the window that ends then.
    pub(crate) fn has_window(&self, end_s: i64) -> bool {
        end_s - WINDOW_S < self.workload.end_s()
    }

    /// The time of the newest transition that has come.
    pub(crate) fn newest_s(&self) -> i64 {
        self.newest_s
    }

    /// How many that are wanted have come.
    pub(crate) fn right(&self) -> u64 {
        self.found.right
    }

    /// Whether all has come, or will never.
    pub(crate) fn is_over(&self) -> bool {
        self.closed.len() >= self.workload.partitions as usize
    }

    /// What was found, where nothing is missing.
    pub(crate) fn complete(self) -> Result<Found, Failure> {
        let missing = self
            .wanted
            .iter()
            .filter(|(_, seen)| !**seen)
            .map(|(key, _)| *key)
            .min_by_key(|(series, end, _)| (*end, *series));
        match missing {
            None => Ok(self.found),
            Some((series, end, change)) => Err(Failure(format!(
                "wrong transitions: {} of {} are there; the first that is missing: series {series} at {end} s {change:?}",
                self.found.right,
                self.wanted.len()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;
    use crate::workload::{START_S, Signal, Workload, identifier};

    const WORKLOAD: Workload =
        Workload { series: 2_000, step_s: 10, seconds: 1_200, partitions: 2, signal: Signal::Episodes, groups: 0 };

    fn told(name: &str, at_s: i64, from: &str, to: &str) -> Vec<u8> {
        let time = model::Time::from_nanos(at_s * 1_000_000_000);
        let text = format!(
            r#"{{"element":{{"kind":"component","name":"{name}"}},"health":"own","time":"{time}","from":"{from}","to":"{to}","evidence":{{"a":"\n"}}}}"#
        );
        text.into_bytes()
    }

    /// Told window by window from the readings themselves.
    fn transitions() -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for series in 0..WORKLOAD.series {
            let mut state = "UNKNOWN";
            for end in (START_S..=WORKLOAD.end_s() + 10).filter(|end| end % 10 == 0) {
                let seconds = (end - 10..end).filter(|s| (START_S..WORKLOAD.end_s()).contains(s));
                let values: Vec<u64> =
                    seconds.filter(|s| WORKLOAD.reports(series, *s)).map(|s| WORKLOAD.hundredths(series, s)).collect();
                if values.is_empty() {
                    continue;
                }
                let average = values.iter().sum::<u64>() as f64 / 100.0 / values.len() as f64;
                let next = if average >= 4_000.0 { "CRITICAL" } else { "CLEAR" };
                if next != state {
                    all.push(told(&identifier(series), end, state, next));
                }
                state = next;
            }
        }
        all
    }

    #[test]
    fn transitions_that_follow_from_the_readings_are_right() {
        let all = transitions();
        assert!(all.len() > WORKLOAD.series as usize + 4, "there are episodes");
        let mut answer = Answer::new(WORKLOAD);
        all.iter().for_each(|one| answer.check(one).expect("a right transition"));
        answer.check(&all[0]).expect("a repetition");
        answer.check(&told("sensor-000001", START_S + 8, "CLEAR", "DEVIATING")).expect("the baseline's word");
        assert!(!answer.is_over());
        answer.check(&told("closing-0", WORKLOAD.end_s() + 20, "CLEAR", "CRITICAL")).expect("the end");
        answer.check(&told("closing-1", WORKLOAD.end_s() + 20, "CLEAR", "CRITICAL")).expect("the end");
        assert!(answer.is_over());
        let found = answer.complete().expect("all");
        assert_eq!((found.right, found.again, found.beside), (all.len() as u64, 1, 1));
    }

    #[test]
    fn wrong_and_missing_transitions_are_named() {
        let mut answer = Answer::new(WORKLOAD);
        let wrong = answer.check(&told("sensor-000001", START_S + 38, "CLEAR", "CRITICAL"));
        assert!(wrong.expect_err("no episode then").to_string().contains("nothing of the kind"));
        assert!(answer.complete().expect_err("nothing came").to_string().contains("series 0 at"));
    }
}
