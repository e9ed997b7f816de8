//! The answer to the workloads that reduce windows to points, and what a system gave instead.
//!
//! Each result is held against what the formula of the workload says of its window, by itself: nothing is summed up that
//! could hide two faults in one another.

use crate::failure::Failure;
use crate::workload::{CLOSING, LATENESS_S, START_S, Workload, series_of};
use model::Time;
use serde::Deserialize;
use std::collections::HashMap;

/// From this many values on a percentile may be one of buckets, and off by this share.
const EXACT_VALUES: usize = 512;
const BUCKET: f64 = 1.0 / 256.0;

/// Which windows are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    /// Width and slide, in seconds; equal for windows that do not overlap.
    pub(crate) width_s: i64,
    pub(crate) slide_s: i64,
    /// Average, maximum and 99th percentile; else count, sum, minimum, maximum and average.
    pub(crate) percentile: bool,
}

/// What was asked for, and which of it has come.
pub(crate) struct Answer {
    workload: Workload,
    windows: Windows,
    first_end_s: i64,
    /// A bit for each window and series.
    seen: Vec<u64>,
    found: Found,
}

/// What a system gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Right ones, each once.
    pub(crate) right: u64,
    /// Right ones that came again.
    pub(crate) again: u64,
    /// Of windows that are not asked for: behind the last reading, or of records that only close windows.
    pub(crate) beside: u64,
}

#[derive(Deserialize)]
struct Told<'t> {
    #[serde(borrow, default)]
    labels: HashMap<&'t str, &'t str>,
    end: serde_json::Value,
    count: u64,
    #[serde(borrow)]
    values: HashMap<&'t str, f64>,
}

impl Answer {
    /// Nothing has come yet.
    pub(crate) fn new(workload: Workload, windows: Windows) -> Answer {
        let first_end_s = START_S - START_S.rem_euclid(windows.slide_s) + windows.slide_s;
        let mut answer = Answer { workload, windows, first_end_s, seen: Vec::new(), found: Found::default() };
        let bits = answer.ends().count() as u64 * u64::from(workload.series);
        answer.seen = vec![0; bits.div_ceil(64) as usize];
        answer
    }

    /// The ends of the windows that are asked for: those that readings alone fill.
    pub(crate) fn ends(&self) -> impl Iterator<Item = i64> + use<> {
        (self.first_end_s..=self.workload.end_s()).step_by(self.windows.slide_s as usize)
    }

    /// How many results are asked for.
    pub(crate) fn wanted(&self) -> u64 {
        self.wanted_until(self.workload.end_s())
    }

    /// How many of them are of windows that end not later.
    pub(crate) fn wanted_until(&self, end_s: i64) -> u64 {
        let Workload { series, step_s, .. } = self.workload;
        let each = |end: i64| {
            let seconds = (end - START_S.max(end - self.windows.width_s)).min(i64::from(step_s));
            seconds as u64 * u64::from(series / step_s)
        };
        self.ends().take_while(|end| *end <= end_s).map(each).sum()
    }

    /// From where on the figures are those of a warm system: the end of the first window that closes after a fifth of
    /// the readings, and how many readings come after it has closed.
    pub(crate) fn warm(&self) -> Option<(i64, u64)> {
        let total = self.workload.events();
        let read = |end: i64| self.workload.events_before(end + LATENESS_S);
        let end = self.ends().find(|end| read(*end) * 5 >= total)?;
        let rest = total - read(end);
        (rest * 4 >= total).then_some((end, rest))
    }

    /// How many that are asked for have come.
    pub(crate) fn right(&self) -> u64 {
        self.found.right
    }

    /// Holds one record of the output topic against the truth.
    pub(crate) fn check(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        let wrong = |why: String| Failure(format!("wrong result: {why}: {}", String::from_utf8_lossy(value)));
        let result: Told<'_> = serde_json::from_slice(value).map_err(|e| wrong(e.to_string()))?;
        let name = match result.labels.get("identifier") {
            Some(name) => name,
            None => std::str::from_utf8(key).map_err(|e| wrong(e.to_string()))?,
        };
        if name.starts_with(CLOSING) {
            self.found.beside += 1;
            return Ok(());
        }
        let series = series_of(name).filter(|series| *series < self.workload.series);
        let series = series.ok_or_else(|| wrong(format!("there is no series `{name}`")))?;
        let end_s = seconds(&result.end).ok_or_else(|| wrong("`end` is no time in whole seconds".to_owned()))?;
        if end_s > self.workload.end_s() {
            self.found.beside += 1;
            return Ok(());
        }
        let apart = end_s - self.first_end_s;
        if apart < 0 || apart % self.windows.slide_s != 0 {
            return Err(wrong("no window ends there".to_owned()));
        }
        self.compare(series, end_s, &result).map_err(wrong)?;
        let bit = (apart / self.windows.slide_s) as u64 * u64::from(self.workload.series) + u64::from(series);
        let (word, mask) = ((bit / 64) as usize, 1 << (bit % 64));
        match self.seen[word] & mask {
            0 => self.found.right += 1,
            _ => self.found.again += 1,
        }
        self.seen[word] |= mask;
        Ok(())
    }

    /// What was found, where nothing is missing.
    pub(crate) fn complete(self) -> Result<Found, Failure> {
        let wanted = self.wanted();
        if self.found.right == wanted {
            return Ok(self.found);
        }
        let series = u64::from(self.workload.series);
        let is_missing = |bit: &u64| {
            let end_s = self.first_end_s + (bit / series) as i64 * self.windows.slide_s;
            let asked = !self.values((bit % series) as u32, end_s).is_empty();
            asked && self.seen[(bit / 64) as usize] & (1 << (bit % 64)) == 0
        };
        let missing = (0..self.ends().count() as u64 * series).find(is_missing);
        let missing = missing.map_or_else(String::new, |bit| {
            let end_s = self.first_end_s + (bit / series) as i64 * self.windows.slide_s;
            format!("; the first that is missing: series {} until {end_s} s", bit % series)
        });
        Err(Failure(format!("wrong result: {} of {wanted} results are there{missing}", self.found.right)))
    }

    /// The readings of a window, in hundredths.
    fn values(&self, series: u32, end_s: i64) -> Vec<u64> {
        let step = i64::from(self.workload.step_s);
        let start = (end_s - self.windows.width_s).max(START_S);
        let mut first = start - (start - START_S) % step + i64::from(series) % step;
        if first < start {
            first += step;
        }
        let end = end_s.min(self.workload.end_s());
        (first..end).step_by(step as usize).map(|second| self.workload.hundredths(series, second)).collect()
    }

    fn compare(&self, series: u32, end_s: i64, result: &Told<'_>) -> Result<(), String> {
        let mut values = self.values(series, end_s);
        let count = values.len();
        if result.count != count as u64 {
            return Err(format!("count {} is wanted", count));
        }
        values.sort_unstable();
        let (Some(least), Some(greatest)) = (values.first(), values.last()) else {
            return Err("the window is empty".to_owned());
        };
        let sum = values.iter().sum::<u64>() as f64 / 100.0;
        let near = |name: &str, wanted: f64, share: f64| match result.values.get(name) {
            Some(value) if (value - wanted).abs() <= wanted.abs() * share => Ok(()),
            _ => Err(format!("{name} {wanted} is wanted")),
        };
        near("maximum", *greatest as f64 / 100.0, 0.0)?;
        near("average", sum / count as f64, 1e-12)?;
        if self.windows.percentile {
            let rank = (count * 99).div_ceil(100) - 1;
            return near("p99", values[rank] as f64 / 100.0, if count > EXACT_VALUES { BUCKET } else { 0.0 });
        }
        near("count", count as f64, 0.0)?;
        near("minimum", *least as f64 / 100.0, 0.0)?;
        near("sum", sum, 1e-12)
    }
}

/// A time in milliseconds, or in words.
fn seconds(of: &serde_json::Value) -> Option<i64> {
    let ms = match of {
        serde_json::Value::Number(ms) => ms.as_i64()?,
        serde_json::Value::String(words) => words.parse::<Time>().ok()?.millis(),
        _ => return None,
    };
    (ms % 1000 == 0).then_some(ms / 1000)
}

#[cfg(test)]
mod tests {
    use super::{Answer, Found, Windows};
    use crate::workload::{START_S, Signal, Workload, identifier};

    const WORKLOAD: Workload =
        Workload { series: 20, step_s: 10, seconds: 200, partitions: 2, signal: Signal::Scattered, groups: 0 };

    /// Reduced naively: every second of the window, whether the series reports in it or not.
    fn results(windows: Windows) -> Vec<(u32, i64, String)> {
        let mut results = Vec::new();
        for end in (START_S + 1..=WORKLOAD.end_s()).filter(|end| end % windows.slide_s == 0) {
            for series in 0..WORKLOAD.series {
                let seconds = (end - windows.width_s..end).filter(|second| *second >= START_S);
                let mut values: Vec<f64> = seconds
                    .filter(|second| WORKLOAD.reports(series, *second))
                    .map(|second| WORKLOAD.hundredths(series, second) as f64 / 100.0)
                    .collect();
                values.sort_by(f64::total_cmp);
                if let (Some(least), Some(greatest)) = (values.first(), values.last()) {
                    let (count, sum) = (values.len(), values.iter().sum::<f64>());
                    let rank = values[(count as f64 * 0.99).ceil() as usize - 1];
                    let text = format!(
                        r#"{{"start":{},"end":{},"count":{count},"values":{{"count":{count},"sum":{sum},"minimum":{least},"maximum":{greatest},"average":{},"p99":{rank}}}}}"#,
                        (end - windows.width_s) * 1000,
                        end * 1000,
                        sum / count as f64
                    );
                    results.push((series, end, text));
                }
            }
        }
        results
    }

    #[test]
    fn right_results_are_found_right_and_a_wrong_or_missing_one_is_named() {
        for (width_s, slide_s, percentile) in [(60, 60, false), (10, 10, true), (60, 10, true)] {
            let windows = Windows { width_s, slide_s, percentile };
            let all = results(windows);
            let mut answer = Answer::new(WORKLOAD, windows);
            assert_eq!(answer.wanted(), all.len() as u64, "{windows:?}");
            for (series, _, text) in &all {
                answer.check(identifier(*series).as_bytes(), text.as_bytes()).expect("a right result");
            }
            answer.check(b"closing-1", all[0].2.as_bytes()).expect("not asked for");
            answer.check(identifier(all[0].0).as_bytes(), all[0].2.as_bytes()).expect("the first again");
            assert_eq!(answer.complete().expect("all"), Found { right: all.len() as u64, again: 1, beside: 1 });

            let mut answer = Answer::new(WORKLOAD, windows);
            for (series, _, text) in &all[1..] {
                answer.check(identifier(*series).as_bytes(), text.as_bytes()).expect("a right result");
            }
            let told = answer.complete().expect_err("one is missing").to_string();
            assert!(told.contains(&format!("series {} until {} s", all[0].0, all[0].1)), "{told}");

            let mut answer = Answer::new(WORKLOAD, windows);
            let told = answer.check(identifier(1 + all[0].0).as_bytes(), all[0].2.as_bytes());
            assert!(told.expect_err("of another series").to_string().contains("is wanted"));
        }
    }

    #[test]
    fn results_of_ours_are_read_too() {
        let windows = Windows { width_s: 60, slide_s: 60, percentile: false };
        let (series, end, text) = results(windows).swap_remove(0);
        let labels = format!(r#"{{"stream":"power","labels":{{"identifier":"{}"}},"#, identifier(series));
        let at: model::Time = model::Time::from_nanos(end * 1_000_000_000);
        let text =
            text.replacen('{', &labels, 1).replace(&format!("\"end\":{}", end * 1000), &format!("\"end\":\"{at}\""));
        Answer::new(WORKLOAD, windows).check(b"anything", text.as_bytes()).expect("a right result");
    }
}
