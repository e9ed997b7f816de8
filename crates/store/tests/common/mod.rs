//! What all tests of the store begin with.
#![allow(dead_code)] // Each test file takes what it needs.

use engine::state::{AgendaRecord, Change, ElementRecord, Instant, Standing};
use model::transition::{Cause, Health};
use model::{Element, Labels, Span, State, Time, Transition};
use std::collections::BTreeMap;
use std::path::Path;
use store::{Durability, Options, Store};

pub(crate) fn options(path: &Path) -> Options {
    Options {
        path: path.to_path_buf(),
        durability: Durability::Process,
        history: Span::ZERO,
        memory_bytes: 16 << 20,
        keep_journal: false,
    }
}

pub(crate) fn open(path: &Path) -> Store {
    Store::open(&options(path)).expect("a store")
}

/// Transition number `sequence` of a component, `sequence` seconds after the epoch.
pub(crate) fn transition(component: &str, sequence: u64) -> Transition {
    Transition {
        id: u128::from(sequence) << 64,
        sequence,
        element: Element::component(component),
        health: Health::Own,
        time: seconds(sequence),
        from: State::Clear,
        to: State::Critical,
        cause: Cause::Check { check: "latency".into(), labels: Labels::new([("host", "web-1")]) },
        message: "slow".into(),
        evidence: "{}".into(),
    }
}

pub(crate) fn seconds(seconds: u64) -> Time {
    Time::from_nanos(seconds as i64 * 1_000_000_000)
}

/// Takes the clock to this second.
pub(crate) fn clock(second: u64) -> Change {
    let place = Some(Instant { time: seconds(second), phase: 0 });
    Change::Agenda { sources: vec!["metrics".into()], record: AgendaRecord { origin: None, place } }
}

pub(crate) fn element(kind: &str) -> ElementRecord {
    ElementRecord {
        kind: kind.into(),
        labels: Labels::new([("team", "shop")]),
        instance: None,
        definition: "host {host}".into(),
        own: Standing::default(),
        propagated: Standing::default(),
        error: None,
    }
}

/// All files below a folder and what is in them.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.display().to_string(), std::fs::read(&path).expect("a file"));
        }
    }
    found
}
