//! What is typed and answered about the past: what of the state a configuration keeps, what baselines learn of what is
//! still on Kafka, and what one would have said.

use config::{File, Settings};
use engine::Engine;
use engine::state::{BaselineRecord, Change, PartitionKey, PartitionRecord, Restored, SourceRecord};
use kafka::{Connection, Message, Publisher};
use model::{Labels, Time};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

const CONFIGURATION: &str = r#"
sources:
  metrics: { topics: [TOPIC], format: json, name: load, value: /v, labels: { host: /host }, time: /t in s }
streams:
  load: { source: metrics, select: { metric: load }, each: [host], unit: jobs }
components:
  host {host}: { type: host, for_each: load }
baselines:
  usual load:
    stream: load
    function: seasonal_median
    arguments: { width: 3, neighbours: 0, least_ratio: 0.05 }
    window: batching 1h
    downsample: average
    train: 1w
checks:
  unusual:
    on: host {host}
    function: deviation_from_baseline
    arguments: { metric: { baseline: usual load } }
"#;

/// Four weeks before a batch begins.
const BEGIN: i64 = 1_772_323_200;
const HOURS: i64 = 240;

fn vitalsign(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vitalsign")).args(arguments).output().expect("it runs")
}

/// What is answered: the exit code, and both outputs.
fn said(arguments: &[&str]) -> (i32, String) {
    let output = vitalsign(arguments);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

/// The exit code, and these words in what was said.
#[track_caller]
fn check(arguments: &[&str], code: i32, words: &[&str]) {
    let (found, said) = said(arguments);
    assert_eq!(found, code, "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?}: {word:?} is not in\n{said}");
    }
}

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

/// Quiet but for one hour of one host: every ten minutes a value that the hour of the day decides.
fn samples() -> impl Iterator<Item = (i64, &'static str, f64)> {
    let of_time = |minutes: i64| {
        let (at, hour) = (BEGIN + minutes * 60, minutes / 60 % 24);
        let strange = if minutes / 60 == 200 { 40.0 } else { 0.0 };
        [(at, "a", (100 + hour) as f64), (at, "b", (50 + hour) as f64 + strange)]
    };
    (0..HOURS * 6).map(|ten| ten * 10).flat_map(of_time)
}

fn as_csv() -> String {
    let mut text = "timestamp,host,value\n".to_owned();
    samples().for_each(|(at, host, value)| writeln!(text, "{at},{host},{value}").expect("text"));
    text
}

fn settings(text: &str) -> Settings {
    let files = [File { path: "test.yaml".to_owned(), text: text.to_owned() }];
    let no_file = |_: &str| Err(std::io::Error::other("there are no files"));
    config::load(&files, Vec::new(), &|_| None, &no_file).unwrap_or_else(|errors| panic!("{errors}"))
}

/// A store in which every baseline of the configuration has learned of one instance.
fn learned(folder: &Path, configuration: &str) {
    let settings = settings(configuration);
    let (definitions, library) = (settings.definitions.clone(), settings.library.clone());
    let formats = settings.formats.clone().into();
    let (mut engine, shards, _) = Engine::new(definitions, formats, library, 1, Restored::default());
    let mut changes = engine.collect(&shards, 0);
    let keys: Vec<u64> = changes
        .iter()
        .filter_map(|change| if let Change::Baseline { key, .. } = change { Some(*key) } else { None })
        .collect();
    assert_eq!(keys.len(), settings.definitions.baselines.len());
    let record = {
        let since = Time::from_nanos(0);
        BaselineRecord { row: 0, since, newest: since, band: None, asked: None, error: None }
    };
    changes.extend(keys.into_iter().map(|key| Change::BaselineInstance {
        key,
        labels: Labels::new([("host", "a")]),
        record: Some(record.clone()),
    }));
    commit(folder, &changes);
}

fn opened(folder: &Path) -> store::Store {
    let options = store::Options {
        path: folder.to_path_buf(),
        durability: store::Durability::Process,
        history: model::Span::from_secs(60),
        memory_bytes: 8 << 20,
        keep_journal: false,
    };
    store::Store::open(&options).expect("a store")
}

fn commit(folder: &Path, changes: &[Change]) {
    let store = opened(folder);
    store.commit(changes, false).expect("a commit");
    store.close();
}

/// What `plan` answers where what is kept was learned under CONFIGURATION, and this is replaced in it.
#[track_caller]
fn plan(replaced: &[(&str, &str)], code: i32, wanted: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    learned(&store, CONFIGURATION);
    let changed = replaced.iter().fold(CONFIGURATION.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    let path = written(folder.path(), "new.yaml", &changed);
    check(&["plan", &path, "--check", "--store", &store.display().to_string()], code, wanted);
}

#[test]
fn help_has_examples() {
    for command in ["plan", "train", "preview"] {
        check(&[command, "--help"], 0, &["Usage: vitalsign", "Examples:", "shop.yaml"]);
    }
}

#[test]
fn what_is_not_changed_is_kept() {
    plan(
        &[],
        0,
        &[
            "= usual load  kept: 1 instance\n",
            "+ load, batching 1h, average  new",
            "1 kept, 0 recomputed, 0 start anew",
        ],
    );
}

#[test]
fn what_bands_are_made_with_may_change() {
    let wanted = ["~ usual load  recomputed from what was learned of 1 instance\n", "train: 1w → 2w"];
    plan(&[("train: 1w", "train: 2w")], 0, &wanted);
    plan(
        &[("seasonal_median\n    arguments: { width: 3, neighbours: 0, least_ratio: 0.05 }", "ewma")],
        0,
        &["function: seasonal_median → ewma"],
    );
    // A name means nothing.
    plan(&[("usual load", "load by hour")], 0, &["= load by hour  kept: 1 instance"]);
}

#[test]
fn what_starts_anew_is_told_with_its_reason() {
    let lost = "vitalsign: what was learned of 1 baseline would be lost";
    let wanted = [
        "! usual load  starts anew; what was learned of 1 instance is lost\n",
        "window: batching 1h → batching 30m",
        lost,
    ];
    plan(&[("batching 1h", "batching 30m")], 1, &wanted);
    plan(&[("downsample: average", "downsample: p95")], 1, &["downsample: average → p95"]);
    plan(
        &[("format: json,", "format: json, kind: delta,")],
        1,
        &["source: how records of `metrics` are read has changed"],
    );
    let (_, tail) = CONFIGURATION.split_once("baselines:").expect("baselines");
    plan(
        &[(tail, "\n  other: { stream: load, function: deviation, window: batching 5m, downsample: average }\n")],
        1,
        &["- usual load", "dropped: 1 instance", "+ other", lost],
    );
}

#[test]
fn a_folder_without_state_and_one_that_is_not_named_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = written(folder.path(), "new.yaml", CONFIGURATION);
    let store = folder.path().join("store");
    let wanted = ["holds no state yet: all starts anew", "+ usual load  new", "0 kept"];
    check(&["plan", &path, "--check", "--store", &store.display().to_string()], 0, &wanted);
    assert!(!store.exists(), "nothing is written");
    check(&["plan", &path], 2, &["no folder to compare with", "--store DIR"]);
    check(&["train", &path, "--from", "4w"], 2, &["no folder to keep what is learned"]);
}

#[test]
fn a_preview_shows_where_a_file_deviates() {
    let folder = tempfile::tempdir().expect("a folder");
    let configuration = written(folder.path(), "load.yaml", CONFIGURATION);
    let input = written(folder.path(), "load.csv", &as_csv());
    let [svg, csv] = ["out.svg", "out.csv"].map(|name| folder.path().join(name));
    let [svg_path, csv_path] = [&svg, &csv].map(|path| path.display().to_string());
    let arguments =
        ["preview", "usual load", &configuration, "--input", &input, "--svg", &svg_path, "--csv", &csv_path];
    let plotted = [
        "usual load {host=\"b\"}",
        "100 ┤",
        "●",
        "⣀⡠ value, jobs   ░░ expected   ● deviates",
        "240 windows: 1 deviate, 168 without a band",
        "worst: Mon 2026-03-09 08:00, 98 jobs, expected 58 (55.1 to 60.9), deviation 13.79",
        "2 instances; this is {host=\"b\"}, the one with the most deviations",
    ];
    check(&arguments, 0, &plotted);
    let (_, plot) = said(&arguments);
    assert!(plot.lines().take(22).all(|line| line.chars().count() <= 80), "{plot}");

    let rows = std::fs::read_to_string(&csv).expect("CSV");
    let strange = rows.lines().find(|line| line.ends_with(",true")).expect("an anomalous row");
    let wanted = "2026-03-09T08:00:00Z,2026-03-09T09:00:00Z,98,58,55.1,60.9,13.793103448275868,,false,true";
    assert_eq!(strange, wanted);
    assert_eq!(rows.lines().nth(1), Some("2026-03-01T00:00:00Z,2026-03-01T01:00:00Z,50,,,,,,,false"));
    assert_eq!(rows.lines().count(), 241);

    let picture = std::fs::read_to_string(&svg).expect("SVG");
    assert_eq!(picture.matches("<circle class=\"mark\"").count(), 2, "one deviation, and the legend");
    assert!(picture.contains("<title>Mon 2026-03-09 08:00, 98 jobs, expected 58 (55.1 to 60.9)"), "{picture}");
    assert!(picture.contains("usual load {host=&quot;b&quot;}") && picture.contains("<polygon class=\"band\""));

    check(
        &["preview", "usual load", &configuration, "--input", &input, "--instance", "host=a"],
        0,
        &["240 windows: 0 deviate"],
    );
    check(
        &["preview", "usual load", &configuration, "--input", &input, "--instance", "host=c"],
        2,
        &["none of these labels; one is {host=\"a\"}"],
    );
    let early = ["preview", "usual load", &configuration, "--input", &input, "--to", "2026-03-02T00:00:00Z"];
    check(&early, 0, &["24 windows", "training window of 1w is full on Sun 2026-03-08 00:00 at the earliest"]);
}

#[test]
fn a_preview_that_cannot_be_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let configuration = written(folder.path(), "load.yaml", CONFIGURATION);
    let input = written(folder.path(), "load.csv", "time,value\n1,2\n");
    check(
        &["preview", "load", &configuration, "--input", &input],
        2,
        &["there is no baseline `load`; there are: `usual load`"],
    );
    check(&["preview", "usual load", &configuration, "--input", &input], 2, &["load.csv:1: no column `timestamp`"]);
    check(&["preview", "usual load", &configuration, "--input", "nowhere.csv"], 2, &["nowhere.csv: "]);
    check(&["preview", "usual load", &configuration], 2, &["--input", "--from"]);
    check(&["preview", "usual load", &configuration, "--from", "soon"], 2, &["a length of time back such as 4w"]);
    let (before, _) = CONFIGURATION.split_once("baselines:").expect("baselines");
    let none = written(folder.path(), "none.yaml", before);
    check(&["preview", "load", &none, "--from", "1w"], 2, &["the configuration has none"]);
    check(&["train", &none, "--from", "1w", "--store", "x"], 2, &["no `baselines`, so there is nothing to train"]);
}

/// A topic with the samples, over three partitions, and a configuration that reads it.
fn on_kafka(folder: &Path) -> (String, String) {
    let brokers = testkit::broker().brokers();
    let connection = Connection { brokers: brokers.to_owned(), properties: Vec::new() };
    let topic = testkit::unique("past");
    kafka::create_topics(&connection, &[(&topic, 3)]).expect("a topic");
    let message = |(at, host, value): (i64, &str, f64)| Message {
        value: Some(format!(r#"{{"host":"{host}","v":{value},"t":{at}}}"#).into_bytes().into()),
        timestamp_ms: Some(at * 1000),
        // The third stays empty.
        partition: Some(i32::from(host == "b")),
        ..Message::default()
    };
    let messages: Vec<Message> = samples().map(message).collect();
    Publisher::new(&connection).and_then(|publisher| publisher.publish(&topic, &messages)).expect("records");
    let text = format!("kafka: {{ brokers: \"{brokers}\" }}\n{}", CONFIGURATION.replace("TOPIC", &topic));
    (written(folder, "kafka.yaml", &text), topic)
}

#[test]
fn baselines_are_taught_what_is_on_kafka() {
    let folder = tempfile::tempdir().expect("a folder");
    let (configuration, _) = on_kafka(folder.path());
    let store = folder.path().join("store").display().to_string();
    let train = ["train", &configuration, "--store", &store, "--from", "2026-03-01T00:00:00Z"];

    let learned = [
        "BASELINE    INSTANCES  BATCHES  FULL  FROM",
        "usual load  2          332      2     2026-03-01T00:00:00Z  2026-03-11T00:00:00Z",
        "2,880 records in",
    ];
    check(&train, 0, &learned);
    check(&["plan", &configuration, "--store", &store], 0, &["= usual load  kept: 2 instances"]);
    // Once more: nothing is learned twice, and what was learned before has gone.
    check(&train, 0, &[&learned[..], &["`usual load` has forgotten what it had learned before"]].concat());
    check(&["plan", &configuration, "--store", &store], 0, &["= usual load  kept: 2 instances", "1 kept"]);

    let kept = opened(Path::new(&store)).restore().expect("what is kept");
    let banded = kept.baseline_instances.iter().filter(|(_, _, instance)| instance.band.is_some());
    assert_eq!(banded.count(), 2, "bands are in force at once");

    let nothing = ["train", &configuration, "--store", &store, "--from", "2026-03-10T23:30:00Z"];
    check(&nothing, 0, &["`usual load` has learned nothing of that time; what it had learned before stays"]);
    check(&["plan", &configuration, "--store", &store], 0, &["= usual load  kept: 2 instances"]);

    let late =
        ["train", &configuration, "--store", &store, "--from", "2026-03-08T00:00:00Z", "--to", "2026-03-10T00:00:00Z"];
    let wanted = [
        "2026-03-08T00:00:00Z  2026-03-10T00:00:00Z",
        "the training window of `usual load` reaches further back than that: it is full on 2026-03-15T00:00:00Z",
    ];
    check(&late, 0, &wanted);
    let early = ["train", &configuration, "--store", &store, "--from", "2026-02-20T00:00:00Z"];
    check(&early, 0, &["the oldest record of source `metrics` is of 2026-03-01T00:00:00Z, after 2026-02-20T00:00:00Z"]);
    let never = ["train", &configuration, "--store", &store, "--from", "2026-04-01T00:00:00Z"];
    check(&never, 1, &["no record there is of that time"]);
}

#[test]
fn what_was_read_live_is_the_end_of_what_is_taught() {
    let folder = tempfile::tempdir().expect("a folder");
    let (configuration, topic) = on_kafka(folder.path());
    let store = folder.path().join("store");
    // As if five days had been read, and then `vitalsign run` had ended.
    let read = |partition: i32| Change::Partition {
        key: PartitionKey { source: "metrics".into(), topic: topic.as_str().into(), partition },
        record: PartitionRecord { next_offset: 5 * 24 * 6, ..PartitionRecord::default() },
    };
    let frontier = Some(Time::from_nanos((BEGIN + 5 * 86_400) * 1_000_000_000));
    let source =
        Change::Source { name: "metrics".into(), record: SourceRecord { frontier, ..SourceRecord::default() } };
    commit(&store, &[read(0), read(1), source]);
    let store = store.display().to_string();
    let wanted =
        ["240      0     2026-03-01T00:00:00Z  2026-03-06T00:00:00Z", "1,440 records", "full on 2026-03-08T00:00:00Z"];
    check(&["train", &configuration, "--store", &store, "--from", "earliest"], 0, &wanted);
}

#[test]
fn a_source_that_ended_earlier_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let (configuration, topic) = on_kafka(folder.path());
    std::fs::create_dir(folder.path().join("functions")).expect("a folder");
    let script = r#"//! Watches one metric beside another.
        parameters(#{ metric: metric("watched"), beside: metric("beside it") });
        fn check(p) { if p.metric.deviation != () && p.metric.deviation > p.beside.value { critical("high") } else { clear() } }"#;
    written(&folder.path().join("functions"), "beside.rhai", script);
    let text = std::fs::read_to_string(&configuration).expect("the configuration");
    // The same topic once more, by a source of its own.
    let (before, after) = text.split_once("streams:").expect("streams");
    let of_source = before.lines().find(|line| line.contains("metrics:")).expect("the source");
    let text = format!(
        "{before}{}\nstreams:\n  other: {{ source: others, select: {{ metric: load }}, each: [host] }}{after}",
        of_source.replace("metrics:", "others:")
    )
    .replace("function: deviation_from_baseline", "function: beside")
    .replace(
        "{ metric: { baseline: usual load } }",
        "{ metric: { baseline: usual load }, beside: { stream: other, window: batching 1h, downsample: average } }",
    );
    let configuration = written(folder.path(), "two.yaml", &text);
    let store = folder.path().join("store");
    // `vitalsign run` had read five days of the other one.
    let frontier = Some(Time::from_nanos((BEGIN + 5 * 86_400) * 1_000_000_000));
    let read = |partition: i32| Change::Partition {
        key: PartitionKey { source: "others".into(), topic: topic.as_str().into(), partition },
        record: PartitionRecord { next_offset: 5 * 24 * 6, ..PartitionRecord::default() },
    };
    let source = Change::Source { name: "others".into(), record: SourceRecord { frontier, ..SourceRecord::default() } };
    commit(&store, &[read(0), read(1), source]);
    let store = store.display().to_string();
    let wanted = ["2          240      0     2026-03-01T00:00:00Z  2026-03-06T00:00:00Z"];
    check(&["train", &configuration, "--store", &store, "--from", "earliest"], 0, &wanted);
    // Without what was read, both go to their ends.
    let fresh = folder.path().join("fresh").display().to_string();
    let wanted = ["2026-03-01T00:00:00Z  2026-03-11T00:00:00Z", "5,760 records"];
    check(&["train", &configuration, "--store", &fresh, "--from", "earliest"], 0, &wanted);
}

#[test]
fn a_preview_says_of_kafka_what_it_says_of_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (configuration, _) = on_kafka(folder.path());
    let input = written(folder.path(), "load.csv", &as_csv());
    let [of_file, of_kafka] = ["file.csv", "kafka.csv"].map(|name| folder.path().join(name).display().to_string());
    check(
        &["preview", "usual load", &configuration, "--input", &input, "--csv", &of_file],
        0,
        &["240 windows: 1 deviate"],
    );
    let from = "2026-03-01T00:00:00Z";
    check(
        &["preview", "usual load", &configuration, "--from", from, "--csv", &of_kafka],
        0,
        &["240 windows: 1 deviate"],
    );
    let text = |path: &str| std::fs::read_to_string(path).expect("CSV");
    assert_eq!(text(&of_file), text(&of_kafka));
}

#[test]
fn a_folder_that_is_in_use_is_not_trained_and_can_be_planned_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let configuration = written(folder.path(), "load.yaml", CONFIGURATION);
    let path = folder.path().join("store");
    learned(&path, CONFIGURATION);
    let _held = opened(&path);
    let path = path.display().to_string();
    let busy = ["another process holds this state folder", "stop `vitalsign run`"];
    check(&["train", &configuration, "--from", "1w", "--store", &path], 1, &busy);
    check(&["plan", &configuration, "--store", &path], 0, &["= usual load  kept: 1 instance"]);
}
