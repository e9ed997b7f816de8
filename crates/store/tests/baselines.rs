//! What baselines learned: it comes back bit for bit, goes where it is trimmed or dropped, and costs what it says.

mod common;

use common::{open, seconds};
use engine::state::*;
use model::{Band, Labels, Reading, Time};
use std::collections::BTreeMap;
use store::Store;

const KEYS: [u64; 3] = [0, 7, u64::MAX];

fn head(name: &str) -> BaselineHead {
    BaselineHead {
        name: name.into(),
        agenda: vec!["a".into(), "b".into()],
        determines: vec![("window".into(), "batching 1h".into()), ("period".into(), "1w".into())],
        derives: vec![("function".into(), "00ff".into())],
        kept_from: Some(Time::MIN),
    }
}

fn band() -> Band {
    Band { average: 0.1, lower: f64::MIN, higher: f64::MAX }
}

fn record(row: u32) -> BaselineRecord {
    let error = ActiveError { kind: "error".into(), message: "m".into(), line: 3, column: 4, since: Time::MAX };
    BaselineRecord {
        row,
        since: Time::MIN,
        newest: Time::MAX,
        band: Some(band()),
        asked: Some(Time::MAX),
        error: Some(error),
    }
}

fn host(name: &str) -> Labels {
    Labels::new([("host", name)])
}

fn column(values: Vec<f32>) -> ColumnRecord {
    ColumnRecord { start: Time::MIN, counts: vec![255; values.len()], anomalous: vec![0b101], values }
}

fn model(byte: u8) -> ModelRecord {
    ModelRecord { end: Time::MAX, bytes: vec![byte; 300] }
}

fn put(key: u64, end: Time) -> Change {
    Change::Column { key, end, record: column(vec![1.0]) }
}

/// Which columns there are: key and seconds.
fn columns(store: &Store) -> String {
    let columns = store.restore().expect("state").columns;
    let shown: Vec<String> =
        columns.iter().map(|(key, end, _)| format!("{key}:{}", end.nanos() / 1_000_000_000)).collect();
    shown.join(" ")
}

#[test]
fn what_was_learned_comes_back_in_order() {
    let values = vec![0.0, -0.0, f32::NAN, f32::INFINITY, f32::MIN_POSITIVE / 2.0, f32::MAX];
    let bare = BaselineRecord { band: None, asked: None, error: None, ..record(u32::MAX) };
    let empty = ColumnRecord { start: Time::MAX, values: vec![], counts: vec![], anomalous: vec![] };
    let mut changes = Vec::new();
    let mut wanted = Restored::default();
    for key in KEYS {
        wanted.baselines.push((key, head(&key.to_string())));
        wanted.baseline_instances.extend([
            (key, Labels::default(), record(0)),
            (key, host("\0"), bare.clone()),
            (key, host("a"), record(2)),
        ]);
        wanted.columns.extend([
            (key, Time::MIN, column(values.clone())),
            (key, seconds(0), empty.clone()),
            (key, Time::MAX, column(vec![1.5; 3000])),
        ]);
        wanted.models.extend([(key, 0, model(1)), (key, 255, model(2)), (key, u32::MAX, model(3))]);
    }
    let Restored { baselines, baseline_instances, columns, models, .. } = wanted.clone();
    changes.extend(models.into_iter().rev().map(|(key, row, is)| Change::Model { key, row, record: Some(is) }));
    changes.extend(columns.into_iter().rev().map(|(key, end, record)| Change::Column { key, end, record }));
    for (key, labels, is) in baseline_instances.into_iter().rev() {
        changes.push(Change::BaselineInstance { key, labels, record: Some(is) });
    }
    changes.extend(baselines.into_iter().rev().map(|(key, is)| Change::Baseline { key, head: Some(is) }));

    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    store.commit(&changes, true).expect("a commit");
    // NaN is not equal to itself, but prints; -0.0 is equal to 0.0, and prints its sign.
    assert_eq!(format!("{:#?}", store.restore().expect("state")), format!("{wanted:#?}"));
    store.close();
    assert_eq!(format!("{:#?}", open(folder.path()).restore().expect("state")), format!("{wanted:#?}"));

    // What can be seen of it from beside is what is small.
    let seen = store::look(folder.path()).expect("a look").expect("a store");
    let outline = Restored { columns: vec![], models: vec![], ..wanted };
    assert_eq!(format!("{seen:#?}"), format!("{outline:#?}"));
}

#[test]
fn columns_are_trimmed_from_one_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let trim = |key, before| Change::ColumnTrim { key, before: seconds(before) };
    let all: Vec<Change> = (1..=5).flat_map(|end| KEYS.map(|key| put(key, seconds(end)))).collect();
    store.commit(&all, false).expect("a commit");
    store.commit(&[trim(7, 3)], false).expect("a trim");
    assert_eq!(columns(&store), format!("0:1 0:2 0:3 0:4 0:5 7:3 7:4 7:5 {}", [1, 2, 3, 4, 5].map(last).join(" ")));
    store.commit(&[trim(7, 2), trim(0, 9), trim(u64::MAX, 5)], false).expect("trims");
    assert_eq!(columns(&store), format!("7:3 7:4 7:5 {}", last(5)));
    // What comes below what was trimmed is there, until the next trim.
    store.commit(&[put(7, seconds(1)), put(0, seconds(8))], false).expect("a commit");
    assert_eq!(columns(&store), format!("0:8 7:1 7:3 7:4 7:5 {}", last(5)));
    store.commit(&[trim(7, 4)], false).expect("a trim");
    drop(store);
    let store = open(folder.path());
    assert_eq!(columns(&store), format!("0:8 7:4 7:5 {}", last(5)));
    store.commit(&[trim(7, 5)], false).expect("a trim after a start");
    assert_eq!(columns(&store), format!("0:8 7:5 {}", last(5)));
}

fn last(end: u64) -> String {
    format!("{}:{end}", u64::MAX)
}

#[test]
fn without_its_head_nothing_is_kept_of_a_baseline() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let all = |key| {
        [
            Change::Baseline { key, head: Some(head("b")) },
            Change::BaselineInstance { key, labels: host("a"), record: Some(record(1)) },
            put(key, Time::MIN),
            put(key, Time::MAX),
            Change::Model { key, row: u32::MAX, record: Some(model(1)) },
        ]
    };
    let keys = [6, 7, 8, u64::MAX];
    for key in keys {
        store.commit(&all(key), false).expect("a commit");
    }
    let kept = |store: &Store| {
        let Restored { baselines, baseline_instances, columns, models, .. } = store.restore().expect("state");
        let mut keys: BTreeMap<u64, usize> = BTreeMap::new();
        let of_all = (baselines.iter().map(|of| of.0)).chain(baseline_instances.iter().map(|of| of.0));
        for key in of_all.chain(columns.iter().map(|of| of.0)).chain(models.iter().map(|of| of.0)) {
            *keys.entry(key).or_default() += 1;
        }
        keys.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(kept(&store), keys.map(|key| (key, 5)));
    store.commit(&[7, u64::MAX].map(|key| Change::Baseline { key, head: None }), false).expect("a commit");
    assert_eq!(kept(&store), [(6, 5), (8, 5)]);
    // In the same commit, what comes after is kept.
    let mut anew = vec![Change::Baseline { key: 6, head: None }];
    anew.extend(all(6).into_iter().take(2));
    anew.push(Change::BaselineInstance { key: 8, labels: host("a"), record: None });
    anew.push(Change::Model { key: 8, row: u32::MAX, record: None });
    store.commit(&anew, false).expect("a commit");
    drop(store);
    assert_eq!(kept(&open(folder.path())), [(6, 2), (8, 3)]);
}

/// A hundred thousand instances whose batch closes: the column alone, and all that a commit may have beside it.
#[test]
fn a_batch_costs_five_bytes_a_row() {
    const ROWS: u32 = 100_000;
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let end: Time = "2026-03-01T01:00:00Z".parse().expect("a time");
    let start = end - model::Span::from_secs(3600);
    let column = ColumnRecord {
        start,
        values: (0..ROWS).map(|row| row as f32).collect(),
        counts: vec![60; ROWS as usize],
        anomalous: vec![1; ROWS as usize / 8],
    };
    let change = [Change::Column { key: 1, end, record: column.clone() }];
    let bytes = store.commit(&change, false).expect("a commit").bytes;
    println!("{bytes} bytes for the column of {ROWS} rows");
    assert!(bytes <= ROWS as usize * 41 / 8 + 100, "{bytes} bytes for the column");
    let trimmed = store.commit(&[Change::ColumnTrim { key: 1, before: end }], false).expect("a trim").bytes;
    assert!(trimmed < 100, "{trimmed} bytes for a trim");
    assert_eq!(store.restore().expect("state").columns, [(1, end, column)]);

    let reading = Reading { band: band(), score: None, stale: false };
    let points = |readings: Vec<Option<Reading>>| {
        let records = (0..ROWS).map(|row| {
            let point = KeptPoint {
                start,
                end,
                count: 60,
                values: vec![f64::from(row)],
                incomplete: false,
                readings: readings.clone(),
            };
            let record = InstanceRecord {
                row,
                begin: start,
                born: start,
                last_sample: Some(end),
                points: vec![point],
                events: vec![],
            };
            Change::Instance { feed: 1, labels: host(&row.to_string()), record: Some(record) }
        });
        let changes: Vec<Change> = records.collect();
        store.commit(&changes, false).expect("a commit").bytes
    };
    let (without, with) = (points(vec![]), points(vec![Some(reading)]));
    println!("{without} bytes for their points without a reading, {with} with one");
    assert!(with - without <= 27 * ROWS as usize, "{with} bytes, and {without} without readings");

    let records = (0..ROWS).map(|row| {
        let is = BaselineRecord { row, since: start, newest: end, band: Some(band()), asked: Some(end), error: None };
        Change::BaselineInstance { key: 1, labels: host(&row.to_string()), record: Some(is) }
    });
    let bands = store.commit(&records.collect::<Vec<_>>(), false).expect("a commit").bytes;
    println!("{bands} bytes for their bands");
    assert!(bands < 100 * ROWS as usize, "{bands} bytes for bands");
}
