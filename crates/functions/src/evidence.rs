//! What a check saw and said, as JSON that stays small and is the same wherever it is written.
//!
//! It is written by hand, field after field, so that its order is ours and not that of a map; what is too
//! large is written again with less of everything.

use crate::{CheckCall, Function, Seen, Verdict};
use model::{Event, Labels, Point, Reading, State, Value};
use std::fmt::Display;

/// How much is kept of each list and each text, from all that one would read down to nearly nothing.
const CUTS: [Cut; 6] = [
    Cut { entries: 120, bytes: 2048 },
    Cut { entries: 40, bytes: 1024 },
    Cut { entries: 12, bytes: 512 },
    Cut { entries: 4, bytes: 256 },
    Cut { entries: 1, bytes: 128 },
    Cut { entries: 0, bytes: 64 },
];

#[derive(Clone, Copy)]
struct Cut {
    entries: usize,
    bytes: usize,
}

/// The evidence of one run, as one JSON object of at most `limit` bytes: what the check saw, what it said,
/// and by which script. Of long series and lists of events the newest are kept; their counts are always there.
pub fn evidence(check: &str, function: &Function, call: &CheckCall<'_>, verdict: &Verdict, limit: usize) -> String {
    let written = CUTS.iter().map(|cut| cut.evidence(check, function, call, verdict));
    let least = || {
        let fields = [("state", text(&verdict.state)), ("cut", "true".to_owned())];
        object(fields)
    };
    written
        .into_iter()
        .chain(std::iter::once_with(least))
        .find(|json| json.len() <= limit)
        .unwrap_or_else(|| "{}".to_owned())
}

impl Cut {
    fn evidence(self, check: &str, function: &Function, call: &CheckCall<'_>, verdict: &Verdict) -> String {
        let window = |(start, end): (model::Time, model::Time)| object([("start", text(&start)), ("end", text(&end))]);
        let of = |wanted: bool| {
            let seen = call.arguments.iter().filter(move |(_, seen)| matches!(seen, Seen::Value(_)) != wanted);
            object(seen.map(|(name, seen)| (name, self.seen(seen))))
        };
        object([
            ("check", self.text(check)),
            ("function", self.text(&function.name)),
            ("script", text(&format_args!("{:016x}", function.fingerprint))),
            ("element", self.text(&call.element.to_string())),
            ("labels", self.labels(call.labels)),
            ("time", text(&call.time)),
            ("window", call.window.map_or("null".to_owned(), window)),
            ("before", state(call.state, call.since)),
            ("inputs", of(true)),
            ("arguments", of(false)),
            ("state", text(&verdict.state)),
            ("message", self.text(&verdict.message)),
            ("detail", self.text(&verdict.detail)),
            ("expires", verdict.expires.map_or("null".to_owned(), |span| text(&span))),
            ("data", self.value(&verdict.data)),
        ])
    }

    fn seen(self, seen: &Seen) -> String {
        match seen {
            Seen::Value(value) => self.value(value),
            Seen::Point(found) => point(found),
            Seen::Points(points) => object([
                ("count", points.len().to_string()),
                ("points", array(newest(points, self.entries).iter().map(point))),
            ]),
            Seen::Events(events) => object([
                ("count", events.len().to_string()),
                ("events", array(newest(events, self.entries).iter().map(|event| self.event(event)))),
            ]),
            Seen::Rows(rows) => object([
                ("count", rows.len().to_string()),
                (
                    "rows",
                    array(rows.iter().take(self.entries).map(|(labels, key, found)| {
                        object([("key", self.text(key)), ("labels", self.labels(labels)), ("point", point(found))])
                    })),
                ),
            ]),
        }
    }

    fn event(self, event: &Event) -> String {
        // A body that fits is JSON already; of a longer one the beginning is kept, as text.
        let body = if event.body.len() <= self.bytes { event.body.to_string() } else { self.text(&event.body) };
        object([
            ("time", text(&event.time)),
            ("kind", self.text(&event.kind)),
            ("topic", self.text(&event.topic)),
            ("partition", event.partition.to_string()),
            ("offset", event.offset.to_string()),
            ("body", body),
        ])
    }

    fn value(self, value: &Value) -> String {
        match value {
            Value::Nothing => "null".to_owned(),
            Value::Boolean(boolean) => boolean.to_string(),
            Value::Number(value) => number(*value),
            Value::Duration(span) => text(span),
            Value::State(state) => text(state),
            Value::Text(value) => self.text(value),
            Value::List(values) => array(values.iter().take(self.entries).map(|value| self.value(value))),
            Value::Table(values) => {
                object(values.iter().take(self.entries).map(|(name, value)| (name, self.value(value))))
            }
        }
    }

    fn labels(self, labels: &Labels) -> String {
        object(labels.iter().take(self.entries.max(8)).map(|(name, value)| (name, self.text(value))))
    }

    fn text(self, value: &str) -> String {
        text(&crate::host::shortened(value, self.bytes))
    }
}

fn newest<T>(all: &[T], most: usize) -> &[T] {
    &all[all.len().saturating_sub(most)..]
}

fn state(state: State, since: Option<model::Time>) -> String {
    object([("state", text(&state)), ("since", since.map_or("null".to_owned(), |since| text(&since)))])
}

fn point(point: &Point) -> String {
    let mut fields = vec![("start".to_owned(), text(&point.start)), ("end".to_owned(), text(&point.end))];
    fields.push(("samples".to_owned(), point.count.to_string()));
    if point.incomplete {
        fields.push(("incomplete".to_owned(), "true".to_owned()));
    }
    fields.extend(point.downsample.iter().zip(&point.values).map(|(name, value)| (name.to_string(), number(*value))));
    if let Some(Reading { band, score, stale }) = point.baseline {
        let numbers = [("average", band.average), ("lower", band.lower), ("higher", band.higher)];
        let mut baseline = numbers.map(|(name, bound)| (name, number(bound))).to_vec();
        if stale {
            baseline.push(("stale", "true".to_owned()));
        }
        fields.push(("baseline".to_owned(), object(baseline)));
        fields.push(("deviation".to_owned(), number(band.deviation(point.value()))));
        fields.extend(score.map(|score| ("score".to_owned(), number(score))));
    }
    object(fields)
}

fn object(fields: impl IntoIterator<Item = (impl AsRef<str>, String)>) -> String {
    let fields = fields.into_iter().map(|(name, value)| format!("{}:{value}", text(&name.as_ref())));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn array(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}

/// A number as JSON; what JSON has no number for is a text.
fn number(value: f64) -> String {
    match serde_json::Number::from_f64(value) {
        Some(number) => number.to_string(),
        None => text(&value),
    }
}

fn text(value: &dyn Display) -> String {
    serde_json::Value::String(value.to_string()).to_string()
}
