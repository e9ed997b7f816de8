//! Times and numbers as text. Times are read as decimals, never by way of a double, so that
//! 1795258683.385 s is exactly that many nanoseconds.

use crate::words;
use model::Time;

/// Powers of ten that are exact as whole numbers, and as doubles too.
const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut place = 1;
    while place < powers.len() {
        powers[place] = powers[place - 1] * 10;
        place += 1;
    }
    powers
};

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeUnit {
    Rfc3339,
    /// A number; one of it is ten to this power of nanoseconds.
    Power(i64),
}

impl TimeUnit {
    /// The unit of this name.
    pub(crate) fn parse(name: &str) -> Result<TimeUnit, String> {
        match name {
            "rfc3339" => Ok(TimeUnit::Rfc3339),
            "s" => Ok(TimeUnit::Power(9)),
            "ms" => Ok(TimeUnit::Power(6)),
            "us" => Ok(TimeUnit::Power(3)),
            "ns" => Ok(TimeUnit::Power(0)),
            _ => Err(format!("`{name}` is no unit of time; there are rfc3339, s, ms, us, ns")),
        }
    }

    /// Reads a time in this unit. What is finer than a nanosecond is cut off.
    pub(crate) fn read(self, text: &str) -> Option<Time> {
        match self {
            TimeUnit::Rfc3339 => utc(text.as_bytes()).or_else(|| text.parse().ok()),
            TimeUnit::Power(power) => decimal(text, power).map(Time::from_nanos),
        }
    }
}

/// A number taken apart while it is read, so that most need not be read again. What it says of the number is what
/// [`number`] and [`TimeUnit::read`] say of its text, or nothing: then these are to be asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Decimal {
    negative: bool,
    /// All digits as one whole number.
    digits: u64,
    /// How many of them stand behind the point; more than there are powers, where that is not all: there is an
    /// exponent, or the digits have overflowed.
    places: u8,
}

/// The places of a number that its digits alone do not tell.
const UNKNOWN: u8 = u8::MAX;

impl Decimal {
    /// Reads the number that the text begins with as JSON writes it, and gives its length.
    #[inline(always)]
    pub(crate) fn read(text: &[u8]) -> Option<(Decimal, usize)> {
        let (negative, rest) = signed(text);
        let Run { mut digits, count, mut next, mut behind } = run(rest, 0);
        if count == 0 || rest[0] == b'0' && count > 1 {
            return None;
        }
        let mut places = 0;
        if next == b'.' {
            let fraction = run(behind.get(1..)?, digits);
            Run { digits, count: places, next, behind } = fraction;
            if places == 0 {
                return None;
            }
        }
        let mut known = count + places < POWERS.len();
        if let b'e' | b'E' = next {
            known = false;
            let power = match &behind[1..] {
                [b'+' | b'-', power @ ..] => power,
                power => power,
            };
            let power = run(power, 0);
            if power.count == 0 {
                return None;
            }
            behind = power.behind;
        }
        let places = if known { places as u8 } else { UNKNOWN };
        Some((Decimal { negative, digits, places }, text.len() - behind.len()))
    }

    /// Reads digits alone, after a minus perhaps, and gives their length.
    #[inline]
    pub(crate) fn read_whole(text: &[u8]) -> Option<(Decimal, usize)> {
        let (negative, rest) = signed(text);
        let Run { digits, count, behind, .. } = run(rest, 0);
        let places = if count < POWERS.len() { 0 } else { UNKNOWN };
        (count > 0).then_some((Decimal { negative, digits, places }, text.len() - behind.len()))
    }

    /// The nearest double: both digits and power are doubles themselves, so that one division rounds right.
    #[inline]
    pub(crate) fn value(self) -> Option<f64> {
        let power = *POWERS.get(usize::from(self.places)).filter(|_| self.digits <= 1 << 53)?;
        let size = self.digits as i64 as f64 / power as i64 as f64;
        Some(if self.negative { -size } else { size })
    }

    /// As a whole number.
    #[inline]
    pub(crate) fn integer(self) -> Option<i64> {
        let size = i64::try_from(self.digits).ok().filter(|_| self.places == 0)?;
        Some(if self.negative { -size } else { size })
    }

    /// As a time in this unit.
    #[inline]
    pub(crate) fn time(self, unit: TimeUnit) -> Option<Time> {
        let TimeUnit::Power(power) = unit else { return None };
        let behind = power - i64::from(self.places);
        let size = match POWERS.get(behind.unsigned_abs() as usize)? {
            power if behind >= 0 => self.digits.checked_mul(*power)?,
            power => self.digits / power,
        };
        let nanos = i64::try_from(size).ok()?;
        Some(Time::from_nanos(if self.negative { -nanos } else { nanos }))
    }
}

/// Whether a minus stands first, and what is behind it.
#[inline]
fn signed(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', behind @ ..] => (true, behind),
        _ => (false, text),
    }
}

/// Digits in a row.
struct Run<'a> {
    /// As one whole number with those before them. It wraps around, which is to be seen from how many there are.
    digits: u64,
    count: usize,
    /// The byte behind them; zero at the end.
    next: u8,
    behind: &'a [u8],
}

/// Reads the digits that begin here behind those already read.
#[inline(always)]
fn run(text: &[u8], before: u64) -> Run<'_> {
    let mut word = words::first(text);
    let (mut more, digits) = words::digits(word);
    let (mut digits, mut count) = (before.wrapping_mul(POWERS[more]).wrapping_add(digits), more);
    while more == 8 {
        word = words::first(&text[count..]);
        let (after, last) = words::digits(word);
        (digits, more) = (digits.wrapping_mul(POWERS[after]).wrapping_add(last), after);
        count += more;
    }
    Run { digits, count, next: (word >> (8 * more)) as u8, behind: &text[count..] }
}

/// Times as most programs write them, 2026-03-01T12:00:00.5Z; nothing for all others, be they right or wrong.
fn utc(text: &[u8]) -> Option<Time> {
    let (date_and_time, rest) = text.split_at_checked(19)?;
    let shape = |at: usize, byte: u8| date_and_time[at] == byte;
    if !(shape(4, b'-') && shape(7, b'-') && shape(10, b'T') && shape(13, b':') && shape(16, b':')) {
        return None;
    }
    let number = |at: usize, length: usize| {
        let (count, number) = words::digits(words::load(date_and_time, at));
        (count == length).then_some(number as i64)
    };
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    // Every month has 28 days; times on the days behind them are rarer, and left to the calendar.
    let usual = (1700..2200).contains(&year) && (1..=12).contains(&month) && (1..=28).contains(&day);
    if !usual || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanos = match rest {
        b"Z" => 0,
        [b'.', fraction @ .., b'Z'] if (1..=9).contains(&fraction.len()) => {
            let Run { digits, count, .. } = run(fraction, 0);
            if count < fraction.len() {
                return None;
            }
            digits as i64 * POWERS[9 - fraction.len()] as i64
        }
        _ => return None,
    };
    // Days since 1970 by years that begin in March, so that a leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(Time::from_nanos(seconds * 1_000_000_000 + nanos))
}

/// The decimal number in `text` times ten to `power`, without what stands behind the point.
fn decimal(text: &str, power: i64) -> Option<i64> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 {
        return None;
    }
    let mut power = power + i64::from(exponent) - fraction.len() as i64;
    let mut digits: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if !digit.is_ascii_digit() {
            return None;
        }
        if digits < 10_i128.pow(30) {
            digits = digits * 10 + i128::from(digit - b'0');
        } else {
            // More digits than any time needs: they only count as places.
            power += 1;
        }
    }
    while power > 0 && digits != 0 {
        digits = digits.checked_mul(10)?;
        power -= 1;
    }
    while power < 0 && digits != 0 {
        digits /= 10;
        power += 1;
    }
    i64::try_from(if negative { -digits } else { digits }).ok()
}

/// The nearest double to a number as JSON writes it, or as people write it in a text: `NaN`, `+Inf` too.
pub(crate) fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_exact() {
        let check = |text: &str, unit: &str, nanos: Option<i64>| {
            let unit = TimeUnit::parse(unit).expect("a unit");
            assert_eq!(unit.read(text).map(Time::nanos), nanos, "{text}");
        };
        check("1795258683.385", "s", Some(1_795_258_683_385_000_000));
        check("1458229140.123456", "s", Some(1_458_229_140_123_456_000));
        check("1458229140.1234567899", "s", Some(1_458_229_140_123_456_789));
        check("1.458229140e9", "s", Some(1_458_229_140_000_000_000));
        check("1458229140123.25", "ms", Some(1_458_229_140_123_250_000));
        check("-1", "us", Some(-1000));
        check("7", "ns", Some(7));
        check("0e999999999", "s", Some(0));
        check("1e-999999999", "s", Some(0));
        check(&"9".repeat(400), "ns", None);
        check(&format!("0.{}", "9".repeat(400)), "s", Some(999_999_999));
        check("9223372036.854775807", "s", Some(i64::MAX));
        check("9223372036.854775808", "s", None);
        check("1e10", "s", None);
        for text in ["", ".", "-", "1s", "1e", "NaN", "1.2.3", "٣"] {
            check(text, "s", None);
        }
        check("2026-03-01T12:00:00.5+02:00", "rfc3339", Some(1_772_359_200_500_000_000));
        check("0001-01-01T00:00:00Z", "rfc3339", None);
        assert!(TimeUnit::parse("sec").is_err());
        assert_eq!(
            utc(b"2024-02-28T23:59:59.25Z"),
            "2024-02-28T23:59:59.25Z".parse().ok(),
            "usual times go the short way"
        );
        assert_eq!(Decimal::read(b"1234.5").and_then(|(decimal, _)| decimal.value()), Some(1234.5));
    }

    proptest! {
        #[test]
        fn whole_and_decimal_seconds_agree(nanos in any::<i64>()) {
            let (sign, size) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
            let text = format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000);
            prop_assert_eq!(decimal(&text, 9), Some(nanos));
            prop_assert_eq!(decimal(&nanos.to_string(), 0), Some(nanos));
        }

        #[test]
        fn what_is_taken_apart_is_what_the_text_says(text in "-?[0-9]{1,22}(\\.[0-9]{0,22})?([eE][+-]?[0-9]{0,3})?[,i]?") {
            let json = |text: &str| serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
            match Decimal::read(text.as_bytes()) {
                None => prop_assert!(!json(text.trim_end_matches([',', 'i']))),
                Some((decimal, length)) => {
                    let text = &text[..length];
                    prop_assert!(json(text), "{}", text);
                    let bits = |value: f64| value.to_bits();
                    prop_assert!(decimal.value().is_none_or(|value| number(text).map(bits) == Some(bits(value))));
                    prop_assert!(decimal.integer().is_none_or(|whole| text.parse() == Ok(whole)));
                    for unit in ["s", "ms", "us", "ns"].map(|unit| TimeUnit::parse(unit).expect("a unit")) {
                        prop_assert!(decimal.time(unit).is_none_or(|time| unit.read(text) == Some(time)));
                    }
                }
            }
        }

        #[test]
        fn the_short_way_to_a_time_is_the_calendars(nanos in any::<i64>(), finer in 0..10_usize, place in 0..40_usize, byte in "[-0-9TZ:. ]") {
            let mut text = Time::from_nanos(nanos / POWERS[finer] as i64 * POWERS[finer] as i64).to_string();
            prop_assert!(utc(text.as_bytes()).is_none_or(|time| text.parse() == Ok(time)), "{}", text);
            if place < text.len() {
                text.replace_range(place..=place, &byte);
                prop_assert!(utc(text.as_bytes()).is_none_or(|time| text.parse() == Ok(time)), "{}", text);
            }
        }

        #[test]
        fn numbers_are_the_nearest_doubles(value in any::<f64>(), whole in any::<u64>(), signed in any::<i64>()) {
            prop_assume!(value.is_finite());
            for text in [serde_json::to_string(&value).expect("JSON"), format!("{value}"), format!("{value:e}")] {
                prop_assert_eq!(number(&text).map(f64::to_bits), Some(value.to_bits()));
            }
            prop_assert_eq!(number(&whole.to_string()), Some(whole as f64));
            prop_assert_eq!(number(&signed.to_string()), Some(signed as f64));
        }
    }
}
