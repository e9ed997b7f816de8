//! Event time, in nanoseconds: what lies on Kafka is stamped that finely, and whole nanoseconds
//! compare and add without rounding.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

/// An instant: nanoseconds since 1970-01-01T00:00:00Z, from 1677 to 2262.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// A length of time in nanoseconds; it may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

impl Time {
    /// The earliest instant.
    pub const MIN: Time = Time(i64::MIN);
    /// The latest instant.
    pub const MAX: Time = Time(i64::MAX);

    /// The instant `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: i64) -> Time {
        Time(nanos)
    }

    /// The instant `millis` milliseconds after the epoch; nothing outside 1677 to 2262.
    pub fn from_millis(millis: i64) -> Option<Time> {
        millis.checked_mul(1_000_000).map(Time)
    }

    /// Nanoseconds since the epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The greatest multiple of `step` since the epoch that is not after this instant. `step` is positive.
    pub fn floor(self, step: Span) -> Time {
        Time(self.0.saturating_sub(self.0.rem_euclid(step.0)))
    }

    /// The least multiple of `step` since the epoch that is after this instant.
    pub fn next_multiple(self, step: Span) -> Time {
        self.floor(step) + step
    }
}

/// Adds, and stays at the end of the range instead of leaving it.
impl Add<Span> for Time {
    type Output = Time;
    fn add(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

/// Subtracts, and stays at the end of the range instead of leaving it.
impl Sub<Span> for Time {
    type Output = Time;
    fn sub(self, span: Span) -> Time {
        Time(self.0.saturating_sub(span.0))
    }
}

impl Sub for Time {
    type Output = Span;
    fn sub(self, other: Time) -> Span {
        Span(self.0.saturating_sub(other.0))
    }
}

/// RFC 3339 in UTC, with as many decimals as are needed.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(timestamp) => timestamp.fmt(f),
            Err(_) => write!(f, "{} ns", self.0),
        }
    }
}

/// Reads RFC 3339, with any offset.
impl FromStr for Time {
    type Err = String;
    fn from_str(text: &str) -> Result<Time, String> {
        let timestamp: jiff::Timestamp =
            text.parse().map_err(|_| format!("`{text}` is no time such as 2026-03-01T12:00:00Z"))?;
        i64::try_from(timestamp.as_nanosecond()).map(Time).map_err(|_| format!("`{text}` lies outside 1677 to 2262"))
    }
}

/// Unit names and their nanoseconds, longest first, as they print.
const UNITS: [(&str, i64); 8] = [
    ("w", 604_800_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// A length of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Span {
        Span(nanos)
    }

    /// A length of `millis` milliseconds.
    pub const fn from_millis(millis: i64) -> Span {
        Span(millis.saturating_mul(1_000_000))
    }

    /// A length of `secs` seconds.
    pub const fn from_secs(secs: i64) -> Span {
        Span(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Seconds, as the nearest double.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The length in seconds, rounded to the nanosecond; nothing for what is not finite or out of range.
    pub fn from_secs_f64(secs: f64) -> Option<Span> {
        let nanos = (secs * 1e9).round();
        (nanos.is_finite() && nanos.abs() < i64::MAX as f64).then_some(Span(nanos as i64))
    }

    /// This length `times` over, at most the end of the range.
    pub const fn times(self, times: i64) -> Span {
        Span(self.0.saturating_mul(times))
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl Sub for Span {
    type Output = Span;
    fn sub(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }
}

/// As people write it: `1h30m`, `250ms`, `0s`. Weeks print only where nothing else is left over.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut left = self.0.unsigned_abs();
        for (name, nanos) in UNITS {
            let nanos = nanos.unsigned_abs();
            if name == "w" && !left.is_multiple_of(nanos) {
                continue;
            }
            if left >= nanos {
                write!(f, "{}{name}", left / nanos)?;
                left %= nanos;
            }
        }
        Ok(())
    }
}

/// Reads `5m`, `1h 30m`, `250 ms`, `1.5s`, `2d`, `1w`: whole or decimal numbers, each with its unit.
impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Span, String> {
        let wanted = || format!("`{text}` is no duration such as 30s, 5m or 1h30m");
        let mut rest = text.trim();
        let negative = rest.starts_with('-');
        rest = rest.trim_start_matches('-').trim_start();
        if rest.is_empty() {
            return Err(wanted());
        }
        let mut total: i64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wanted)?;
            let (number, after) = rest.split_at(digits);
            let after = after.trim_start();
            let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            let unit = if unit == "µs" { "us" } else { unit };
            let nanos = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, nanos)| *nanos).ok_or_else(wanted)?;
            let part = match number.parse::<i64>() {
                Ok(whole) => whole.checked_mul(nanos),
                Err(_) => number
                    .parse::<f64>()
                    .ok()
                    .map(|decimal| (decimal * nanos as f64).round())
                    .filter(|part| *part < i64::MAX as f64)
                    .map(|part| part as i64),
            };
            total = part.and_then(|part| total.checked_add(part)).ok_or_else(wanted)?;
            rest = after.trim_start();
        }
        Ok(Span(if negative { -total } else { total }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_print_as_they_are_read() {
        for text in ["0s", "5m", "1h30m", "250ms", "1w", "8d", "2d3h", "-1m30s", "1s500ms", "7ns"] {
            assert_eq!(text.parse::<Span>().expect("a duration").to_string(), text);
        }
        assert_eq!("1.5 s".parse(), Ok(Span::from_millis(1500)));
        assert_eq!("1h 30m".parse(), Ok(Span::from_secs(5400)));
        for text in ["", "5", "m", "5x", "1h30", "999999999w", "1..5s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_rfc_3339() {
        let time: Time = "2026-03-01T12:00:00.5+02:00".parse().expect("a time");
        assert_eq!(time.to_string(), "2026-03-01T10:00:00.5Z");
        assert_eq!(time.floor(Span::from_secs(60)).to_string(), "2026-03-01T10:00:00Z");
        assert_eq!(Time::from_nanos(-1).floor(Span::from_secs(1)), Time::from_nanos(-1_000_000_000));
        assert!("yesterday".parse::<Time>().is_err());
    }
}
