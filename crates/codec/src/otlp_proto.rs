//! Format `otlp_proto`: OTLP metrics
//! (<https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/metrics/v1/metrics.proto>), read
//! where they lie. Fields of a message may come in any order, so each is gone over once for what
//! its contents hang on, and once for the contents. A request that is broken anywhere is refused whole.

use crate::decoded::Fault;
use crate::protobuf::{Malformed, Wire, fields, text, text_bytes};
use crate::{Decoded, Decoder, Kind, Message, Plan, Settings};
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use model::{Reason, Time};
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

/// The settings that mean something here.
pub(crate) const SETTINGS: &[&str] = &["extremes"];

/// How deep attribute values may be nested.
const MAX_DEPTH: usize = 100;

/// The bit of a point's flags that says that it holds no recorded value.
const NO_RECORDED_VALUE: u64 = 1;

struct OtlpPlan {
    extremes: bool,
}

/// Compiles the plan.
pub(crate) fn plan(settings: &Settings) -> Plan {
    Ok(Arc::new(OtlpPlan { extremes: settings.extremes.unwrap_or(false) }))
}

impl Decoder for OtlpPlan {
    fn decode(&self, message: &Message<'_>, out: &mut Decoded) -> Result<(), Fault> {
        for resource_metrics in children(message.value, 1) {
            self.resource_metrics(resource_metrics?, message.time(), out)?;
        }
        Ok(())
    }
}

/// The messages in the fields of this number.
#[inline]
fn children(message: &[u8], wanted: u32) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    fields(message).filter_map(move |field| match field {
        Ok((number, Wire::Bytes(bytes))) if number == wanted => Some(Ok(bytes)),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    })
}

/// What all data points of a metric share.
struct Metric<'a> {
    name: &'a str,
    /// Where the labels of resource and scope lie, as parts of a raw series key.
    labels: Range<u32>,
    kind: Kind,
    /// The record's time, for points without one.
    time: Option<Time>,
}

/// The numbers of the fields of a kind of data point.
struct Layout {
    attributes: u32,
    flags: u32,
    minimum: u32,
    maximum: u32,
}

const NUMBER: Layout = Layout { attributes: 7, flags: 8, minimum: 0, maximum: 0 };
const HISTOGRAM: Layout = Layout { attributes: 9, flags: 10, minimum: 11, maximum: 12 };
const EXPONENTIAL: Layout = Layout { attributes: 1, flags: 10, minimum: 12, maximum: 13 };

impl OtlpPlan {
    fn resource_metrics(&self, message: &[u8], time: Option<Time>, out: &mut Decoded) -> Result<(), Fault> {
        let start = out.place();
        for resource in children(message, 1) {
            for attribute in children(resource?, 1) {
                write_attribute(attribute?, out)?;
            }
        }
        let resource = start..out.place();
        for scope_metrics in children(message, 2) {
            let scope_metrics = scope_metrics?;
            let start = out.place();
            out.again(resource.clone())?;
            let mut name = "";
            for scope in children(scope_metrics, 1) {
                for found in children(scope?, 1) {
                    name = text(found?)?;
                }
            }
            if !name.is_empty() {
                write_label(b"otel.scope.name", name.as_bytes(), out);
            }
            let labels = start..out.place();
            for metric in children(scope_metrics, 2) {
                self.metric(metric?, labels.clone(), time, out)?;
            }
        }
        Ok(())
    }

    fn metric(&self, message: &[u8], labels: Range<u32>, time: Option<Time>, out: &mut Decoded) -> Result<(), Fault> {
        let mut name = "";
        for found in children(message, 1) {
            name = text(found?)?;
        }
        let mut any = false;
        for field in fields(message) {
            let (number, Wire::Bytes(data)) = field? else { continue };
            if !matches!(number, 5 | 7 | 9 | 10 | 11) {
                continue;
            }
            let (mut temporality, mut monotonic) = (0, number != 7);
            for field in fields(data) {
                match field? {
                    (2, Wire::Varint(value)) => temporality = value,
                    (3, Wire::Varint(value)) if number == 7 => monotonic = value != 0,
                    _ => {}
                }
            }
            let kind = match (number, temporality) {
                (5, _) => Kind::Gauge,
                (_, 1) => Kind::Delta,
                (_, 2) if monotonic => Kind::Cumulative,
                _ => Kind::Gauge,
            };
            let metric = Metric { name, labels: labels.clone(), kind, time };
            for point in children(data, 1) {
                let point = point?;
                any = true;
                match number {
                    5 | 7 => out.part(|out| number_point(point, &metric, out))?,
                    9 => out.part(|out| self.histogram_point(point, &metric, &HISTOGRAM, out))?,
                    10 => out.part(|out| self.histogram_point(point, &metric, &EXPONENTIAL, out))?,
                    _ => out.reject(Reason::Unsupported, || format!("`{name}` is a summary")),
                }
            }
        }
        if !any {
            out.reject(Reason::NothingInside, || format!("`{name}` has no data points"));
        }
        Ok(())
    }

    fn histogram_point(
        &self,
        point: &[u8],
        metric: &Metric<'_>,
        layout: &Layout,
        out: &mut Decoded,
    ) -> Result<(), Fault> {
        let (mut time, mut flags, mut count) = (0, 0, 0);
        let (mut sum, mut minimum, mut maximum) = (None, None, None);
        for field in fields(point) {
            match field? {
                (3, Wire::Fixed64(nanos)) => time = nanos,
                (4, Wire::Fixed64(value)) => count = value,
                (5, Wire::Fixed64(bits)) => sum = Some(f64::from_bits(bits)),
                (number, Wire::Fixed64(bits)) if number == layout.minimum => minimum = Some(f64::from_bits(bits)),
                (number, Wire::Fixed64(bits)) if number == layout.maximum => maximum = Some(f64::from_bits(bits)),
                (number, Wire::Varint(bits)) if number == layout.flags => flags = bits,
                _ => {}
            }
        }
        let time = usable(time, flags, metric)?;
        let start = out.place();
        let tail = write_key(point, metric, ".count", layout, out)?;
        out.sample(start, time, count as f64, metric.kind)?;
        let wanted = [(".sum", sum, metric.kind), (".min", minimum, Kind::Gauge), (".max", maximum, Kind::Gauge)];
        for (suffix, value, kind) in wanted.into_iter().take(if self.extremes { 3 } else { 1 }) {
            if let Some(value) = value {
                let start = out.place();
                out.text(metric.name.as_bytes());
                out.text(suffix.as_bytes());
                out.again(tail.clone())?;
                out.sample(start, time, value, kind)?;
            }
        }
        Ok(())
    }
}

fn number_point(point: &[u8], metric: &Metric<'_>, out: &mut Decoded) -> Result<(), Fault> {
    let (mut time, mut flags, mut value) = (0, 0, None);
    for field in fields(point) {
        match field? {
            (3, Wire::Fixed64(nanos)) => time = nanos,
            (4, Wire::Fixed64(bits)) => value = Some(f64::from_bits(bits)),
            (6, Wire::Fixed64(bits)) => value = Some(bits as i64 as f64),
            (number, Wire::Varint(bits)) if number == NUMBER.flags => flags = bits,
            _ => {}
        }
    }
    let time = usable(time, flags, metric)?;
    let value =
        value.ok_or_else(|| Fault::part(Reason::Missing, format!("a point of `{}` has no value", metric.name)))?;
    let start = out.place();
    write_key(point, metric, "", &NUMBER, out)?;
    out.sample(start, time, value, metric.kind)
}

/// The time of a point that holds something.
fn usable(time: u64, flags: u64, metric: &Metric<'_>) -> Result<Time, Fault> {
    let fault = |reason, what: &str| Fault::part(reason, format!("a point of `{}` {what}", metric.name));
    if flags & NO_RECORDED_VALUE != 0 {
        return Err(fault(Reason::NoRecordedValue, "is marked as without a recorded value"));
    }
    match i64::try_from(time) {
        Ok(0) => metric.time.ok_or_else(|| fault(Reason::Missing, "has no time, and neither has the record")),
        Ok(nanos) => Ok(Time::from_nanos(nanos)),
        Err(_) => Err(fault(Reason::BadTime, "lies after the year 2262")),
    }
}

/// Appends the raw series key of a point; gives where the labels lie in it.
fn write_key(
    point: &[u8],
    metric: &Metric<'_>,
    suffix: &str,
    layout: &Layout,
    out: &mut Decoded,
) -> Result<Range<u32>, Fault> {
    out.text(metric.name.as_bytes());
    out.text(suffix.as_bytes());
    let start = out.place();
    out.again(metric.labels.clone())?;
    for attribute in children(point, layout.attributes) {
        write_attribute(attribute?, out)?;
    }
    Ok(start..out.place())
}

fn write_label(name: &[u8], value: &[u8], out: &mut Decoded) {
    out.separate();
    out.text(name);
    out.separate();
    out.text(value);
}

/// Appends an attribute as a label: its value as text, arrays and maps as JSON.
fn write_attribute(message: &[u8], out: &mut Decoded) -> Result<(), Fault> {
    let (key, value) = key_value(message)?;
    write_label(key, b"", out);
    match any_value(value)? {
        Any::Nothing => {}
        Any::Text(text) => out.text(text),
        Any::Bytes(bytes) => write(out, format_args!("{}", Base64Display::new(bytes, &STANDARD))),
        Any::Double(value) => write_double(value, out),
        Any::Boolean(_) | Any::Int(_) | Any::Array(_) | Any::Map(_) => write_json(value, 0, out)?,
    }
    Ok(())
}

/// The value of an attribute.
enum Any<'a> {
    Nothing,
    /// UTF-8.
    Text(&'a [u8]),
    Boolean(bool),
    Int(i64),
    Double(f64),
    Array(&'a [u8]),
    Map(&'a [u8]),
    Bytes(&'a [u8]),
}

/// The key of an attribute, which is UTF-8, and its value's message.
fn key_value(message: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    for field in fields(message) {
        match field? {
            (1, Wire::Bytes(bytes)) => key = text_bytes(bytes)?,
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok((key, value))
}

fn any_value(message: &[u8]) -> Result<Any<'_>, Fault> {
    let mut any = Any::Nothing;
    for field in fields(message) {
        match field? {
            (1, Wire::Bytes(bytes)) => any = Any::Text(text_bytes(bytes)?),
            (2, Wire::Varint(value)) => any = Any::Boolean(value != 0),
            (3, Wire::Varint(value)) => any = Any::Int(value as i64),
            (4, Wire::Fixed64(bits)) => any = Any::Double(f64::from_bits(bits)),
            (5, Wire::Bytes(bytes)) => any = Any::Array(bytes),
            (6, Wire::Bytes(bytes)) => any = Any::Map(bytes),
            (7, Wire::Bytes(bytes)) => any = Any::Bytes(bytes),
            _ => {}
        }
    }
    Ok(any)
}

/// Appends a value as JSON; numbers that JSON lacks as strings.
fn write_json(value: &[u8], depth: usize, out: &mut Decoded) -> Result<(), Fault> {
    if depth == MAX_DEPTH {
        return Err(Fault::undecodable(format!("an attribute value of more than {MAX_DEPTH} levels")));
    }
    match any_value(value)? {
        Any::Nothing => out.text(b"null"),
        Any::Text(bytes) => write_json_string(text(bytes)?, out),
        Any::Boolean(value) => write(out, format_args!("{value}")),
        Any::Int(value) => write(out, format_args!("{value}")),
        Any::Double(value) if value.is_finite() => write_double(value, out),
        Any::Double(value) => write(out, format_args!("\"{value}\"")),
        Any::Bytes(bytes) => write(out, format_args!("\"{}\"", Base64Display::new(bytes, &STANDARD))),
        Any::Array(array) => {
            out.text(b"[");
            for (place, element) in children(array, 1).enumerate() {
                out.text(if place == 0 { b"" } else { b"," });
                write_json(element?, depth + 1, out)?;
            }
            out.text(b"]");
        }
        Any::Map(map) => {
            out.text(b"{");
            for (place, member) in children(map, 1).enumerate() {
                out.text(if place == 0 { b"" } else { b"," });
                let (key, value) = key_value(member?)?;
                write_json_string(text(key)?, out);
                out.text(b":");
                write_json(value, depth + 1, out)?;
            }
            out.text(b"}");
        }
    }
    Ok(())
}

fn write_json_string(text: &str, out: &mut Decoded) {
    // Writing a string into memory cannot fail.
    let written = serde_json::to_writer(&mut out.bytes, text);
    assert!(written.is_ok(), "a string is written to memory");
}

/// Appends the shortest text that reads as this double.
fn write_double(value: f64, out: &mut Decoded) {
    if value == 0.0 || (1e-6..1e21).contains(&value.abs()) || !value.is_finite() {
        write(out, format_args!("{value}"));
    } else {
        write(out, format_args!("{value:e}"));
    }
}

fn write(out: &mut Decoded, text: std::fmt::Arguments<'_>) {
    let written = out.bytes.write_fmt(text);
    assert!(written.is_ok(), "memory takes what is written");
}
