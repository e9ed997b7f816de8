//! A column of times: what they lie before the latest, in the coarsest unit that loses nothing.

use crate::records::{Damaged, Wire};
use model::Time;

/// Times by row; `Time::MIN` stands for none.
pub(crate) struct Times(pub(crate) Vec<Time>);

/// Nanoseconds, microseconds, milliseconds, seconds.
const UNITS: [i64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

/// The number of rows, the latest time, the place of the unit, and for each row 0 for none, else one more than the units
/// before the latest.
impl Wire for Times {
    fn write(&self, out: &mut Vec<u8>) {
        let known = || self.0.iter().filter(|time| **time != Time::MIN).map(|time| time.nanos());
        let latest = known().max().unwrap_or_default();
        // Times that lie further apart than a number can say are told by themselves.
        let fits = known().all(|time| latest.checked_sub(time).is_some_and(|before| before < i64::MAX));
        let unit = UNITS.iter().rposition(|unit| fits && known().all(|time| (latest - time) % unit == 0));
        (self.0.len() as u64).write(out);
        latest.write(out);
        out.push(unit.map_or(u8::MAX, |unit| unit as u8));
        for time in &self.0 {
            match unit {
                Some(unit) if *time != Time::MIN => {
                    ((latest - time.nanos()) / UNITS[unit] + 1).cast_unsigned().write(out)
                }
                Some(_) => out.push(0),
                None => time.write(out),
            }
        }
    }

    fn read(input: &mut &[u8]) -> Result<Times, Damaged> {
        let (rows, latest, unit) = (u64::read(input)?, i64::read(input)?, u8::read(input)?);
        let damaged = || Damaged("a column of times holds none");
        let time = |input: &mut &[u8]| {
            if unit == u8::MAX {
                return Time::read(input);
            }
            let unit = UNITS.get(usize::from(unit)).ok_or_else(damaged)?;
            let units = u64::read(input)?;
            let Some(before) = units.checked_sub(1) else { return Ok(Time::MIN) };
            let nanos = i64::try_from(before).ok().and_then(|before| latest.checked_sub(before.checked_mul(*unit)?));
            nanos.map(Time::from_nanos).ok_or_else(damaged)
        };
        // A row takes a byte at least.
        if rows > input.len() as u64 {
            return Err(damaged());
        }
        (0..rows).map(|_| time(input)).collect::<Result<_, _>>().map(Times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(nanos: &[i64], most_bytes: usize) {
        let times: Vec<Time> = nanos.iter().copied().map(Time::from_nanos).collect();
        let mut written = Vec::new();
        Times(times.clone()).write(&mut written);
        assert!(written.len() <= most_bytes, "{} bytes", written.len());
        assert_eq!(Times::read(&mut &written[..]).map(|times| times.0), Ok(times));
        for cut in 0..written.len() {
            assert!(Times::read(&mut &written[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_column_is_short_and_loses_nothing() {
        let now = 1_700_000_000_000_000_000;
        check(&[], 3);
        check(&[i64::MIN, i64::MIN], 5);
        let millis: Vec<i64> = (0..100).map(|row| now - row * 7_000_000).collect();
        check(&millis, 11 + 2 * 100);
        check(&[now, now - 1, i64::MIN, now - 60_000_000_000], 40);
        check(&[i64::MAX, i64::MIN + 1, 0, i64::MIN], 60);
    }
}
