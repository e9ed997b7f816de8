//! The main fields of a transition's evidence, read from its JSON. What is cut short there, or was written
//! otherwise by an earlier version, is left out: the JSON itself is always told beside it.

use super::convert::timestamp;
use api::v1;
use model::Time;
use prost_types::Timestamp;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The fields; nothing where there is no JSON object.
pub(super) fn parse(json: &str) -> Option<v1::Evidence> {
    let Ok(Value::Object(evidence)) = serde_json::from_str(json) else { return None };
    let empty = Map::new();
    let object = |name| evidence.get(name).and_then(Value::as_object).unwrap_or(&empty);
    let window = object("window");
    Some(v1::Evidence {
        function: text(&evidence, "function"),
        script: text(&evidence, "script"),
        window_start: time(window, "start"),
        window_end: time(window, "end"),
        inputs: object("inputs").iter().map(|(name, seen)| (name.clone(), input(seen))).collect(),
        arguments: object("arguments").iter().map(|(name, value)| (name.clone(), value.to_string())).collect(),
        detail: text(&evidence, "detail"),
    })
}

fn input(seen: &Value) -> v1::InputEvidence {
    let Some(seen) = seen.as_object() else { return v1::InputEvidence::default() };
    let count = |name| seen.get(name).and_then(Value::as_u64).unwrap_or_default();
    let Some(start) = time(seen, "start") else {
        return v1::InputEvidence { count: count("count"), ..v1::InputEvidence::default() };
    };
    // What is a number and no downsampling.
    let values = seen.iter().filter(|(name, _)| !["samples", "deviation", "score"].contains(&name.as_str()));
    let values: BTreeMap<_, _> = values.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect();
    let baseline = seen.get("baseline").and_then(Value::as_object);
    v1::InputEvidence {
        count: 1,
        start: Some(start),
        end: time(seen, "end"),
        samples: count("samples"),
        values,
        incomplete: flag(seen, "incomplete"),
        baseline: baseline.and_then(band),
        deviation: number(seen, "deviation"),
        score: number(seen, "score"),
        stale: baseline.is_some_and(|baseline| flag(baseline, "stale")),
    }
}

fn band(band: &Map<String, Value>) -> Option<v1::Band> {
    let [average, lower, higher] = ["average", "lower", "higher"].map(|name| number(band, name));
    Some(v1::Band { average: average?, lower: lower?, higher: higher? })
}

/// JSON has no infinity: it is written as a text.
fn number(object: &Map<String, Value>, name: &str) -> Option<f64> {
    let value = object.get(name)?;
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn flag(object: &Map<String, Value>, name: &str) -> bool {
    object.get(name).and_then(Value::as_bool).unwrap_or_default()
}

fn text(object: &Map<String, Value>, name: &str) -> String {
    object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn time(object: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    object.get(name)?.as_str()?.parse::<Time>().ok().map(timestamp)
}
