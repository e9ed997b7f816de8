//! Axes: from values and times to places, and at which of them something is written.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use model::Time;

/// Steps of the time axis in seconds; longer ones are whole days.
const STEPS: [i64; 26] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
    1_209_600, 2_419_200, 4_838_400, 9_676_800, 19_353_600, 38_707_200,
];
const DAY: i64 = 86_400;

/// A straight way from a number to a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    from: f64,
    upto: f64,
    first: f64,
    last: f64,
}

impl Scale {
    /// From `from` at `first` to `upto` at `last`.
    pub(crate) fn new((from, upto): (f64, f64), (first, last): (f64, f64)) -> Scale {
        Scale { from, upto, first, last }
    }

    /// The same of times.
    pub(crate) fn of_times((from, upto): (Time, Time), places: (f64, f64)) -> Scale {
        Scale::new((from.nanos() as f64, upto.nanos() as f64), places)
    }

    /// The place of a number.
    pub(crate) fn place(&self, number: f64) -> f64 {
        self.first + (number - self.from) / (self.upto - self.from) * (self.last - self.first)
    }

    /// The place of a time.
    pub(crate) fn time(&self, time: Time) -> f64 {
        self.place(time.nanos() as f64)
    }
}

/// At most so many round numbers in a range, each as it is written.
pub(crate) fn value_ticks((low, high): (f64, f64), most: usize) -> Vec<(f64, String)> {
    let raw = (high - low) / most.max(1) as f64;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= raw * 0.999_999);
    let step = step.unwrap_or(10.0 * power);
    let first = (low / step).ceil();
    let count = ((high / step).floor() - first).clamp(0.0, most as f64 * 2.0) as usize;
    let greatest = low.abs().max(high.abs());
    let (unit, suffix) = match greatest {
        _ if greatest >= 1e15 || (greatest < 1e-3 && greatest > 0.0) => (power, None),
        _ if greatest >= 1e12 => (1e12, Some("T")),
        _ if greatest >= 1e9 => (1e9, Some("G")),
        _ if greatest >= 1e6 => (1e6, Some("M")),
        _ if greatest >= 1e4 => (1e3, Some("k")),
        _ => (1.0, Some("")),
    };
    let decimals = (-(step / unit).log10().floor()).clamp(0.0, 9.0) as usize;
    let ticks = (0..=count).map(|tick| {
        let value = (first + tick as f64) * step;
        let text = match suffix {
            _ if value == 0.0 => "0".to_owned(),
            Some(suffix) => format!("{:.decimals$}{suffix}", value / unit),
            None => format!("{value:.2e}"),
        };
        (value, text)
    });
    ticks.collect()
}

/// At most so many round times in a range, each as the local clock shows it: the day where it begins one.
pub(crate) fn time_ticks((from, upto): (Time, Time), zone: &TimeZone, most: usize) -> Vec<(Time, String)> {
    let seconds = (upto - from).as_secs_f64();
    let wanted = seconds / most.max(1) as f64;
    let step = STEPS.into_iter().find(|step| *step as f64 >= wanted).unwrap_or(STEPS[STEPS.len() - 1]);
    let mut ticks = Vec::new();
    let mut day = local(from, zone).datetime().date();
    if step > DAY {
        // Whole days are counted from a Monday.
        let monday = jiff::civil::date(1970, 1, 5);
        let days = i64::from((day - monday).get_days());
        let back = days.rem_euclid(step / DAY);
        day = day.checked_sub(back.days()).unwrap_or(day);
    }
    while ticks.len() <= most * 2 {
        let midnight = day.at(0, 0, 0, 0);
        let of_day = if step >= DAY { 1 } else { DAY / step };
        for number in 0..of_day {
            let at = midnight.checked_add((number * step).seconds()).unwrap_or(midnight);
            let Some(time) = moment(at, zone) else { return ticks };
            if time > upto {
                return ticks;
            }
            let shown = local(time, zone);
            // A time that the clock skips is shown as what it shows instead, once.
            let known = ticks.last().is_some_and(|(last, _)| *last >= time);
            if time >= from && !known {
                let form = match (number, step) {
                    (0, _) => "%b %-d",
                    (_, 60..) => "%H:%M",
                    _ => "%H:%M:%S",
                };
                ticks.push((time, shown.strftime(form).to_string()));
            }
        }
        let Ok(next) = day.checked_add((step / DAY).max(1).days()) else { return ticks };
        day = next;
    }
    ticks
}

/// `Tue 2026-11-03 14:00`, as the local clock shows it, with seconds where there are any.
pub(crate) fn day_and_time(time: Time, zone: &TimeZone) -> String {
    let shown = local(time, zone);
    let form = if shown.second() == 0 { "%a %Y-%m-%d %H:%M" } else { "%a %Y-%m-%d %H:%M:%S" };
    shown.strftime(form).to_string()
}

/// A number with four digits that count.
pub(crate) fn brief(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return format!("{number}").replace("inf", "infinite");
    }
    let exponent = number.abs().log10().floor() as i32;
    if !(-4..=9).contains(&exponent) {
        return format!("{number:.3e}");
    }
    let text = format!("{number:.*}", (3 - exponent).max(0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn local(time: Time, zone: &TimeZone) -> Zoned {
    let timestamp = Timestamp::from_nanosecond(i128::from(time.nanos())).unwrap_or_default();
    timestamp.to_zoned(zone.clone())
}

fn moment(at: DateTime, zone: &TimeZone) -> Option<Time> {
    let nanos = at.to_zoned(zone.clone()).ok()?.timestamp().as_nanosecond();
    i64::try_from(nanos).ok().map(Time::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn values(low: f64, high: f64, most: usize, wanted: &str) {
        let ticks: Vec<String> = value_ticks((low, high), most).into_iter().map(|(_, text)| text).collect();
        assert_eq!(ticks.join(" "), wanted);
    }

    #[test]
    fn values_are_round() {
        values(0.0, 10.0, 5, "0 2 4 6 8 10");
        values(-3.0, 3.0, 4, "-2 0 2");
        values(0.12, 0.19, 4, "0.12 0.14 0.16 0.18");
        values(99.0, 103.0, 4, "99 100 101 102 103");
        values(0.0, 48_000.0, 5, "0 10k 20k 30k 40k");
        values(1.0e9, 2.4e9, 4, "1.0G 1.5G 2.0G");
        values(0.0, 0.0004, 4, "0 1.00e-4 2.00e-4 3.00e-4 4.00e-4");
    }

    #[track_caller]
    fn times(from: &str, upto: &str, zone: &str, most: usize, wanted: &str) {
        let range = (from.parse().expect("a time"), upto.parse().expect("a time"));
        let zone = TimeZone::get(zone).expect("a zone");
        let ticks: Vec<String> = time_ticks(range, &zone, most).into_iter().map(|(_, text)| text).collect();
        assert_eq!(ticks.join(" | "), wanted);
    }

    #[test]
    fn times_are_those_of_the_local_clock() {
        times("2026-11-03T07:10:00Z", "2026-11-03T09:10:00Z", "UTC", 4, "07:30 | 08:00 | 08:30 | 09:00");
        times("2026-11-03T20:00:00Z", "2026-11-04T03:00:00Z", "Europe/Amsterdam", 4, "22:00 | Nov 4 | 02:00 | 04:00");
        times("2026-11-01T12:00:00Z", "2026-11-25T12:00:00Z", "UTC", 4, "Nov 2 | Nov 9 | Nov 16 | Nov 23");
        times("2026-11-03T07:00:00Z", "2026-11-03T07:01:00Z", "UTC", 2, "07:00:00 | 07:00:30 | 07:01:00");
    }

    #[test]
    fn a_day_of_another_length_has_its_midnights_where_the_clock_shows_them() {
        times("2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z", "Europe/Amsterdam", 3, "Oct 25 | Oct 26 | Oct 27");
        times(
            "2026-03-29T00:00:00Z",
            "2026-03-29T04:00:00Z",
            "Europe/Amsterdam",
            4,
            "01:00 | 03:00 | 04:00 | 05:00 | 06:00",
        );
    }

    #[test]
    fn numbers_are_brief() {
        let numbers = [0.0, 12.0, 123_456.0, 0.123_456, -1.0 / 3.0, 1e12, f64::NEG_INFINITY];
        assert_eq!(numbers.map(brief).join(" "), "0 12 123456 0.1235 -0.3333 1.000e12 -infinite");
    }
}
