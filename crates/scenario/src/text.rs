//! From the text of a file to scenarios: what is given becomes records, in the order of their time.

use crate::notation::{self, Expected};
use model::{Labels, Span, Time};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// 2026-01-01T00:00:00Z: a multiple of every usual window.
pub(crate) const START: Time = Time::from_nanos(1_767_225_600_000_000_000);

/// The sources that every configuration of scenarios has.
pub(crate) const SOURCES: &str = "
sources:
  samples:
    topics: [samples]
    format: json
    name: /name
    value: /value
    kind: /kind
    labels: { '*': /labels }
    time: /at in ns
    lateness: 0s
  events:
    topics: [events]
    format: events
    type: /type
    labels: { '*': /labels }
    time: /at in ns
    lateness: 0s
";

/// A file of scenarios.
pub(crate) struct File {
    /// With the lines of the file, so that messages name the right ones.
    pub(crate) configuration: String,
    pub(crate) scenarios: Vec<Scenario>,
}

/// One scenario.
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// In the order of their time.
    pub(crate) records: Vec<Record>,
    pub(crate) expected: Vec<Expected>,
    pub(crate) until: Time,
}

/// A record of one of the sources: `samples` or `events`, which are topics too.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) source: &'static str,
    pub(crate) time: Time,
    pub(crate) value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    configuration: String,
    scenarios: BTreeMap<String, RawScenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScenario {
    given: Vec<RawGiven>,
    expect: Option<Vec<String>>,
    until: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGiven {
    every: Option<String>,
    from: Option<String>,
    kind: Option<String>,
    #[serde(default)]
    series: BTreeMap<String, String>,
    #[serde(default)]
    events: Vec<Map<String, Value>>,
}

/// Reads a file; the error says what is wrong with it, and where.
pub(crate) fn read(text: &str) -> Result<File, String> {
    let raw: RawFile = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let lines_before = text.lines().position(|line| line.starts_with("configuration:")).map_or(0, |line| line + 1);
    let configuration = "\n".repeat(lines_before) + raw.configuration.as_str();
    let scenarios = raw
        .scenarios
        .into_iter()
        .map(|(name, raw)| scenario(&name, raw).map_err(|message| format!("scenario `{name}`: {message}")));
    Ok(File { configuration, scenarios: scenarios.collect::<Result<_, _>>()? })
}

fn scenario(name: &str, raw: RawScenario) -> Result<Scenario, String> {
    let mut records = Vec::new();
    let mut last = Span::ZERO;
    for given in &raw.given {
        let kind = given.kind.as_deref().unwrap_or("gauge");
        if !["gauge", "cumulative", "delta"].contains(&kind) {
            return Err(format!("`{kind}` is no kind; there are gauge, cumulative, delta"));
        }
        let from = span(given.from.as_deref().unwrap_or("0s"))?;
        for (series, values) in &given.series {
            let every = given.every.as_deref().ok_or("`every` is missing beside `series`, such as `every: 10s`")?;
            let every = span(every)?;
            let (metric, labels) = notation::series(series)?;
            let values = notation::values(values)?;
            last = last.max(from + every.times(values.len() as i64));
            for (place, value) in values.into_iter().enumerate() {
                let Some(value) = value else { continue };
                let time = START + from + every.times(place as i64);
                let labels = object(&labels);
                let body = json!({
                    "name": metric, "value": value, "kind": kind, "labels": labels, "at": time.nanos(),
                });
                records.push(Record { source: "samples", time, value: body.to_string() });
            }
        }
        for event in &given.events {
            let at = event.get("at").and_then(Value::as_str).ok_or("an event has no `at`, such as `at: 20s`")?;
            let at = span(at)?;
            last = last.max(at);
            let time = START + at;
            let mut event = event.clone();
            event.insert("at".to_owned(), json!(time.nanos()));
            records.push(Record { source: "events", time, value: Value::Object(event).to_string() });
        }
    }
    records.sort_by_key(|record| record.time);
    let lines = raw.expect.unwrap_or_default();
    let expected: Vec<Expected> = lines.iter().map(|line| notation::expected(line)).collect::<Result<_, _>>()?;
    let last = expected.iter().map(|expected| expected.at).fold(last, Span::max);
    let until = START + raw.until.as_deref().map(span).transpose()?.unwrap_or(last);
    Ok(Scenario { name: name.to_owned(), records, expected, until })
}

fn object(labels: &Labels) -> Value {
    labels.iter().map(|(name, value)| (name.to_string(), json!(**value))).collect::<Map<_, _>>().into()
}

fn span(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    if span < Span::ZERO { Err(format!("{span} lies before the start")) } else { Ok(span) }
}
