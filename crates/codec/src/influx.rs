//! Format `influx`: line protocol (<https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/>) as
//! Telegraf writes it. A quoted string may hold a line feed, so that records are not split into lines
//! before they are read. In a tag a backslash stands for itself unless a comma, an equals sign or a
//! space follows: what Telegraf writes for a line feed there cannot be told from a backslash and an n.

use crate::decimal::{Decimal, TimeUnit, number};
use crate::decoded::{Fault, shorten};
use crate::mapping::{keep, no_time, not_wanted};
use crate::words::{find, first, line_marks};
use crate::{Decoded, Decoder, Kind, Message, Plan, Settings};
use model::{Reason, Time};
use std::ops::Range;
use std::sync::Arc;

/// The settings that mean something here.
pub(crate) const SETTINGS: &[&str] = &["time_unit"];

/// Headers of more tags are read by tokens.
const MAX_PLAIN_TAGS: usize = 16;

struct InfluxPlan {
    unit: TimeUnit,
}

/// Compiles the plan.
pub(crate) fn plan(settings: &Settings) -> Plan {
    let mut errors = Vec::new();
    let unit = match TimeUnit::parse(settings.time_unit.as_deref().unwrap_or("ns")) {
        Ok(TimeUnit::Rfc3339) => Err("`rfc3339` is no unit of line protocol; there are s, ms, us, ns".to_owned()),
        unit => unit,
    };
    match keep(unit, "time_unit", &mut errors) {
        Some(unit) => Ok(Arc::new(InfluxPlan { unit })),
        None => Err(errors),
    }
}

impl Decoder for InfluxPlan {
    fn decode(&self, message: &Message<'_>, out: &mut Decoded) -> Result<(), Fault> {
        let text = message.value;
        let valid = text.is_ascii() || std::str::from_utf8(text).is_ok();
        let mut at = 0;
        while at < text.len() {
            let start = at;
            out.part(|out| {
                self.line(text, &mut at, message, out)?;
                if !valid && std::str::from_utf8(&text[start..at]).is_err() {
                    return Err(Fault::part(Reason::Undecodable, "a line that is no UTF-8"));
                }
                Ok(())
            })?;
            // After a line `at` stands at its end, after a broken one where it broke.
            at = text[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |end| at + end + 1);
        }
        Ok(())
    }
}

impl InfluxPlan {
    fn line(&self, text: &[u8], at: &mut usize, message: &Message<'_>, out: &mut Decoded) -> Result<(), Fault> {
        skip_spaces(text, at);
        if ends(text, *at) || text[*at] == b'#' {
            return Ok(());
        }
        // Measurement and tags are written once, and copied into the key of each field.
        let (measurement, tags) = match plain_header(text, at, out) {
            Some(header) => header,
            None => header(text, at, out)?,
        };
        if text.get(*at) != Some(&b' ') {
            return broken(text, *at, "a space and fields");
        }
        skip_spaces(text, at);
        let first_sample = out.samples.len();
        loop {
            let key = token(text, at, b",= ");
            if key.is_empty() || text.get(*at) != Some(&b'=') {
                return broken(text, *at, "a field");
            }
            *at += 1;
            if let Some(value) = value(text, at, key, out)? {
                let start = out.place();
                out.again(measurement.clone())?;
                out.text(b".");
                unescape(key, b",= ", out);
                out.again(tags.clone())?;
                // The time is not known before the line's end.
                out.sample(start, Time::MIN, value, Kind::Gauge)?;
            }
            if text.get(*at) != Some(&b',') {
                break;
            }
            *at += 1;
        }
        skip_spaces(text, at);
        let time = self.time(text, at)?.or(message.time()).ok_or_else(no_time)?;
        for sample in &mut out.samples[first_sample..] {
            sample.time = time;
        }
        Ok(())
    }

    fn time(&self, text: &[u8], at: &mut usize) -> Result<Option<Time>, Fault> {
        let start = *at;
        if ends(text, start) {
            return Ok(None);
        }
        let Some((decimal, length)) = Decimal::read_whole(&text[start..]) else {
            return broken(text, start, "a time and the end of the line");
        };
        let end = start + length;
        *at = end;
        skip_spaces(text, at);
        if !ends(text, *at) {
            return broken(text, start, "a time and the end of the line");
        }
        let digits = &text[start..end];
        let read = || std::str::from_utf8(digits).ok().and_then(|digits| self.unit.read(digits));
        let time = decimal.time(self.unit).or_else(read);
        time.map(Some).ok_or_else(|| Fault::part(Reason::BadTime, format!("time is `{}`", shorten(digits))))
    }
}

/// Writes measurement and tags, as parts of a raw series key, and says where they lie.
fn header(text: &[u8], at: &mut usize, out: &mut Decoded) -> Result<(Range<u32>, Range<u32>), Fault> {
    let start = out.place();
    let measurement = token(text, at, b", ");
    if measurement.is_empty() {
        return broken(text, *at, "a measurement");
    }
    unescape(measurement, b", ", out);
    let tags = out.place();
    while text.get(*at) == Some(&b',') {
        *at += 1;
        let key = token(text, at, b",= ");
        if key.is_empty() || text.get(*at) != Some(&b'=') {
            return broken(text, *at, "a tag");
        }
        *at += 1;
        let value = token(text, at, b", ");
        if value.is_empty() {
            return broken(text, *at, "the value of a tag");
        }
        out.separate();
        unescape(key, b",= ", out);
        out.separate();
        unescape(value, b",= ", out);
    }
    Ok((start..tags, tags..out.place()))
}

/// Does as `header` for one without a backslash, or nothing at all: such a header is a key already, but for the
/// separators. It gives up on whatever is broken, too.
fn plain_header(text: &[u8], at: &mut usize, out: &mut Decoded) -> Option<(Range<u32>, Range<u32>)> {
    let line = text.get(*at..)?;
    let mut places = [0; 2 * MAX_PLAIN_TAGS];
    let (mut count, mut part) = (0, 0);
    let (mut word, mut marks, mut behind) = (0, 0, 0);
    let end = loop {
        while marks == 0 {
            word = first(line.get(behind..)?);
            marks = line_marks(word);
            behind += 8;
        }
        let bit = marks.trailing_zeros();
        marks &= marks - 1;
        let (place, byte) = (behind - 8 + bit as usize / 8, (word >> (bit - 7)) as u8);
        // In turn there come a comma, and the first equals sign behind it. A space ends the header.
        let in_key = count % 2 == 1;
        match byte {
            b'=' if !in_key => continue,
            b'=' if place > part => {}
            b',' if place > part && !in_key => {}
            b' ' if place > part && !in_key => break place,
            _ => return None,
        }
        *places.get_mut(count)? = place;
        (count, part) = (count + 1, place + 1);
    };
    let places = &places[..count];
    let range = out.keyed(&line[..end], places);
    let tags = range.start + places.first().map_or(range.len(), |place| *place) as u32;
    *at += end;
    Some((range.start..tags, tags..range.end))
}

/// Reads the value of a field; gives nothing where it is no number, which is counted.
fn value(text: &[u8], at: &mut usize, key: &[u8], out: &mut Decoded) -> Result<Option<f64>, Fault> {
    let mut other = |kind: &str| {
        out.reject(Reason::NotNumeric, || format!("field `{}` is a {kind}", shorten(key)));
        Ok(None)
    };
    let start = *at;
    // Most values are numbers as JSON writes them, or whole ones.
    if let Some((decimal, length)) = Decimal::read(&text[start..]) {
        let end = start + length;
        let value = match (text.get(end), text.get(end + 1)) {
            (None | Some(b',' | b' '), _) => decimal.value().map(|value| (value, end)),
            (Some(b'i'), None | Some(b',' | b' ')) => decimal.integer().map(|whole| (whole as f64, end + 1)),
            _ => None,
        };
        if let Some((value, end)) = value {
            *at = end;
            return Ok(Some(value));
        }
    }
    if text.get(start) == Some(&b'"') {
        let mut end = start + 1;
        loop {
            match text.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
                None => return broken(text, start, "a string with its end"),
            }
        }
        *at = end + 1;
        return other("string");
    }
    let raw = token(text, at, b", ");
    let Ok(word) = std::str::from_utf8(raw) else { return broken(text, start, "a value") };
    let value = match raw {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" | b"f" | b"F" | b"false" | b"False" | b"FALSE" => {
            return other("boolean");
        }
        [.., b'i'] => word[..word.len() - 1].parse::<i64>().ok().map(|whole| whole as f64),
        [.., b'u'] => word[..word.len() - 1].parse::<u64>().ok().map(|whole| whole as f64),
        _ => number(word),
    };
    match value {
        Some(value) => Ok(Some(value)),
        None => broken(text, start, "a value"),
    }
}

fn broken<T>(text: &[u8], at: usize, wanted: &str) -> Result<T, Fault> {
    Err(Fault::part(Reason::Undecodable, not_wanted(text, at, wanted)))
}

/// What lies before the next of `stops` that has no backslash before it, or before the line's end.
fn token<'a>(text: &'a [u8], at: &mut usize, stops: &[u8]) -> &'a [u8] {
    let start = *at;
    loop {
        *at += find(text.get(*at..).unwrap_or_default(), line_marks);
        let Some(byte) = text.get(*at) else { break };
        match byte {
            b'\n' | b'\r' if ends(text, *at) => break,
            b'\\' if text.get(*at + 1).is_some_and(|next| b",= ".contains(next)) => *at += 2,
            _ if stops.contains(byte) => break,
            _ => *at += 1,
        }
    }
    &text[start..*at]
}

fn skip_spaces(text: &[u8], at: &mut usize) {
    while text.get(*at) == Some(&b' ') {
        *at += 1;
    }
}

/// Whether the line ends here, with LF, CR LF, or the record.
fn ends(text: &[u8], at: usize) -> bool {
    match text.get(at) {
        None | Some(b'\n') => true,
        Some(b'\r') => matches!(text.get(at + 1), None | Some(b'\n')),
        Some(_) => false,
    }
}

/// Appends the text without the backslashes that stand before one of `special`.
fn unescape(raw: &[u8], special: &[u8], out: &mut Decoded) {
    if !raw.contains(&b'\\') {
        return out.text(raw);
    }
    let mut rest = raw;
    while let Some(place) = rest.iter().position(|byte| *byte == b'\\') {
        let (before, after) = rest.split_at(place);
        out.text(before);
        if !after.get(1).is_some_and(|next| special.contains(next)) {
            out.text(b"\\");
            rest = &after[1..];
        } else {
            out.text(&after[1..2]);
            rest = &after[2..];
        }
    }
    out.text(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn a_plain_header_is_a_header(text in "[a-c]{0,9}(,[a-c,= ü\\\\]{0,9}=[a-c,=ü\r\n\\\\]{1,9}){0,20}[ \n]?[a-c]{0,9}", at in 0..4_usize) {
            let (mut plain, mut other) = (Decoded::default(), Decoded::default());
            let (mut plain_at, mut other_at) = (at, at);
            if let Some(found) = plain_header(text.as_bytes(), &mut plain_at, &mut plain) {
                let wanted = header(text.as_bytes(), &mut other_at, &mut other);
                prop_assert_eq!(wanted.ok(), Some(found), "{}", text);
                prop_assert_eq!((plain_at, format!("{plain:?}")), (other_at, format!("{other:?}")), "{}", text);
            } else {
                prop_assert_eq!((plain_at, plain.bytes.len()), (at, 0), "{}", text);
            }
        }
    }
}
