//! Times and numbers as text. Times are read as decimals, never by way of a double, so that
//! 1795258683.385 s is exactly that many nanoseconds.

use model::Time;

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
            TimeUnit::Rfc3339 => text.parse().ok(),
            TimeUnit::Power(power) => decimal(text, power).map(Time::from_nanos),
        }
    }
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
