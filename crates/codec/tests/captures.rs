//! Records that Telegraf, the OpenTelemetry Collector, collectd and Icinga 2 wrote decode to exactly the
//! numeric series that are known to be in them, and the rest is counted by reason.

use codec::{Decoded, Format, LabelSetting, Settings};
use model::Reason;
use serde_json::Value;
use std::collections::BTreeMap;

mod common;
use common::{capture, decode, show};

/// First and last sample in the order of arrival, and how many there are.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    count: u64,
    first: (i64, Option<f64>),
    last: (i64, Option<f64>),
}

/// Decodes a capture, and compares it with its truth: `series` gives name and labels of a line of it, and its
/// samples' times in nanoseconds; nothing for lines whose samples are all to be refused. Series
/// for which `gaps` holds have some samples that are refused.
fn check(
    name: &str,
    format: &str,
    settings: Settings,
    series: impl Fn(&Value) -> Option<(String, BTreeMap<String, String>)>,
    nanos: impl Fn(&Value) -> i64,
    gaps: impl Fn(&str) -> bool,
    refused: &[(Reason, u32)],
) {
    let format = Format::new(format, &settings).expect("a format");
    let batch = capture(name);
    let mut found: BTreeMap<String, Seen> = BTreeMap::new();
    let mut rejects: BTreeMap<Reason, u32> = BTreeMap::new();
    let mut decoded = Decoded::default();
    let mut no_time: Vec<i64> = Vec::new();
    for place in 0..batch.records.len() {
        decoded.clear();
        let record = batch.record(place);
        format.decode(&batch.topic, &record, &mut decoded);
        for sample in &decoded.samples {
            let last = (sample.time.nanos(), Some(sample.value));
            let key = show(decoded.slice(&sample.series));
            let seen = found.entry(key).or_insert(Seen { count: 0, first: last, last });
            seen.count += 1;
            seen.last = last;
        }
        for reject in &decoded.rejects {
            *rejects.entry(reject.reason).or_default() += reject.count;
        }
        no_time.extend(record.timestamp_ms.map(|millis| millis * 1_000_000));
    }
    assert_eq!(rejects.into_iter().collect::<Vec<_>>(), refused, "{name}");

    let (mut missing, mut with_gaps) = (0, false);
    for truth in common::truth(name) {
        let Some((series, labels)) = series(&truth) else { continue };
        let labels = model::Labels::new(labels);
        let key = format!("{series}{labels}");
        let sample = |truth: &Value| (nanos(&truth[0]), truth[1].as_f64());
        let truth = Seen {
            count: truth["count"].as_u64().expect("a count"),
            first: sample(&truth["first"]),
            last: sample(&truth["last"]),
        };
        let seen = found.remove(&key);
        if gaps(&key) {
            with_gaps = true;
            let count = seen.as_ref().map_or(0, |seen| seen.count);
            missing += truth.count - count;
            for (seen, truth) in seen.iter().flat_map(|seen| [(seen.first, truth.first), (seen.last, truth.last)]) {
                assert!(truth.1.is_none() || seen == truth, "{name} {key}: {seen:?}, wanted {truth:?}");
            }
        } else {
            let mut seen = seen.unwrap_or_else(|| panic!("{name}: no {key}"));
            // Points without a time got that of their record.
            if truth.first.0 == 0 && no_time.contains(&seen.first.0) {
                (seen.first.0, seen.last.0) = (0, 0);
            }
            assert_eq!(seen, truth, "{name} {key}");
        }
    }
    assert!(found.is_empty(), "{name}: not in the truth: {:?}", found.keys());
    // What is missing in series with gaps is exactly what was refused.
    let values = refused.iter().filter(|(reason, _)| *reason != Reason::NothingInside).map(|(_, count)| count);
    assert_eq!(missing, if with_gaps { values.sum::<u32>().into() } else { 0 }, "{name}");
}

fn texts(labels: &Value) -> BTreeMap<String, String> {
    labels.as_object().expect("labels").iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(object) if object.len() == 1 && object.contains_key("bytes") => text(&object["bytes"]),
        other => other.to_string(),
    }
}

fn telegraf(truth: &Value) -> Option<(String, BTreeMap<String, String>)> {
    let name = format!("{}.{}", text(&truth["name"]), text(&truth["field"]));
    truth["first"][1].is_number().then(|| (name, texts(&truth["labels"])))
}

fn otel(truth: &Value) -> Option<(String, BTreeMap<String, String>)> {
    if truth["type"] == "summary" || !truth["first"][1].is_number() {
        return None;
    }
    let mut labels = texts(&truth["resource"]);
    if truth["scope"] != "" {
        labels.insert("otel.scope.name".to_owned(), text(&truth["scope"]));
    }
    labels.append(&mut texts(&truth["labels"]));
    let name = match truth.get("field") {
        Some(field) => format!("{}.{}", text(&truth["name"]), text(field)),
        None => text(&truth["name"]),
    };
    Some((name, labels))
}

fn template(text: &str) -> LabelSetting {
    LabelSetting::Template(text.to_owned())
}

#[test]
fn telegraf_influx() {
    let refused = [(Reason::NotNumeric, 56 + 70)];
    let nanos = |time: &Value| time.as_i64().expect("nanoseconds");
    check("telegraf-influx", "influx", Settings::default(), telegraf, nanos, |_| false, &refused);
}

#[test]
fn telegraf_json() {
    let settings = Settings {
        value: Some("/fields/*".to_owned()),
        name: Some("{/name}.{*}".to_owned()),
        labels: vec![("*".to_owned(), template("/tags"))],
        time: Some("/timestamp".to_owned()),
        time_unit: Some("s".to_owned()),
        ..Settings::default()
    };
    let refused = [(Reason::NothingInside, 70), (Reason::NotNumeric, 56 + 70)];
    let nanos = |time: &Value| time.as_i64().expect("seconds") * 1_000_000_000;
    check("telegraf-json", "json", settings, telegraf, nanos, |_| false, &refused);
}

#[test]
fn otel_host_proto() {
    let nanos = |time: &Value| time.as_i64().expect("nanoseconds");
    check("otel-host-proto", "otlp_proto", Settings::default(), otel, nanos, |_| false, &[]);
}

#[test]
fn otel_sdk_proto() {
    let refused = [
        (Reason::NothingInside, 5),
        (Reason::Missing, 5),
        (Reason::NotFinite, 15),
        (Reason::NoRecordedValue, 1),
        (Reason::Unsupported, 5),
    ];
    let nanos = |time: &Value| time.as_i64().expect("nanoseconds");
    check("otel-sdk-proto", "otlp_proto", Settings::default(), otel, nanos, |_| false, &refused);
}

#[test]
fn collectd_json() {
    let settings = Settings {
        value: Some("/*/values/*".to_owned()),
        name: Some("{/*/plugin}.{/*/type}.{/*/dsnames/*}".to_owned()),
        labels: ["host", "plugin_instance", "type_instance"]
            .map(|label| (label.to_owned(), template(&format!("/*/{label}"))))
            .to_vec(),
        time: Some("/*/time".to_owned()),
        time_unit: Some("s".to_owned()),
        kind: Some("/*/dstypes/*".to_owned()),
        kinds: [("derive", "cumulative"), ("counter", "cumulative"), ("absolute", "delta")]
            .map(|(word, kind)| (word.to_owned(), kind.to_owned()))
            .to_vec(),
        ..Settings::default()
    };
    let series = |truth: &Value| {
        let name = ["plugin", "type", "dsname"].map(|part| text(&truth[part])).join(".");
        let labels = ["host", "plugin_instance", "type_instance"].map(|label| (label.to_owned(), text(&truth[label])));
        Some((name, labels.into_iter().collect()))
    };
    // The truth has doubles here, of which the milliseconds are exact.
    let nanos = |time: &Value| (time.as_f64().expect("seconds") * 1000.0).round() as i64 * 1_000_000;
    let gaps = |key: &str| key.starts_with("statsd.latency") || key.starts_with("odd.gauge");
    // 103 nulls, and a number above the largest double.
    let refused = [(Reason::NotNumeric, 103), (Reason::NotFinite, 1)];
    check("collectd-json-raw", "json", settings, series, nanos, gaps, &refused);
}

#[test]
fn icinga2_events() {
    let settings = Settings {
        event_type: Some("/type".to_owned()),
        time: Some("/timestamp".to_owned()),
        time_unit: Some("s".to_owned()),
        labels: vec![("host".to_owned(), template("/host")), ("service".to_owned(), template("/service"))],
        ..Settings::default()
    };
    let format = Format::new("events", &settings).expect("a format");
    let batch = capture("icinga2-events");
    let decoded = decode(&format, &batch);
    assert_eq!(decoded.rejects, []);
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for event in &decoded.events {
        let (name, labels) = codec::series(decoded.slice(&event.series), |name| name.into());
        *found.entry(name.to_string()).or_default() += 1;
        let body: Value = serde_json::from_slice(decoded.slice(&event.body)).expect("JSON");
        for label in ["host", "service"] {
            assert_eq!(labels.get(label).map(|text| &**text), body[label].as_str(), "{body}");
        }
        let micros = (body["timestamp"].as_f64().expect("a time") * 1e6).round() as i64;
        assert_eq!(event.time.nanos(), micros * 1000);
    }
    let counts = common::counts("icinga2-events");
    let wanted = counts["by_kind"].as_object().expect("counts").iter();
    assert_eq!(found, wanted.map(|(kind, count)| (kind.clone(), count.as_u64().expect("a count"))).collect());
}
