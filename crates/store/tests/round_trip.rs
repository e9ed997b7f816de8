//! Every kind of change comes back bit for bit after a restart, in the order of keys.

mod common;

use common::{element, open, options, transition};
use engine::state::*;
use model::transition::{Cause, Health};
use model::{Band, Counters, Element, Event, Labels, Reading, State, Time};
use store::{Options, Store};

const DOUBLES: [f64; 8] =
    [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE / 2.0, f64::MIN, f64::MAX];

fn key(partition: i32) -> PartitionKey {
    PartitionKey { source: "shop\0events".into(), topic: "é".into(), partition }
}

fn partition() -> PartitionRecord {
    PartitionRecord {
        start_offset: i64::MIN,
        next_offset: i64::MAX,
        topic_id: Some("id".to_owned()),
        max_time: Some(Time::MAX),
        first_watermark: Some(Time::MIN),
        floor: None,
        idle: true,
    }
}

fn event() -> Event {
    let body = r#"{"a": "ü\u0000"}"#.into();
    Event { time: Time::MIN, kind: "".into(), topic: "t".into(), partition: -1, offset: i64::MAX, body }
}

fn labels() -> Labels {
    Labels::new([("", ""), ("host", "\0\0"), ("zone", "b")])
}

fn error() -> Option<ActiveError> {
    let (kind, message) = ("operations".into(), "too many".into());
    Some(ActiveError { kind, message, line: u32::MAX, column: 0, since: Time::MAX })
}

/// Everything that a commit can hold, and what a start is to find.
fn everything() -> (Vec<Change>, Restored) {
    let source = SourceRecord {
        mapping: u64::MAX,
        frontier: Some(Time::from_nanos(-1)),
        silences: vec![(Time::MIN, Time::MAX)],
        gaps: vec![(Time::MAX, Time::MIN), (Time::MIN, Time::MIN)],
        counters: Counters { records: 1, samples: u64::MAX, events: 0, refused: std::array::from_fn(|n| n as u64) },
        lost: 7,
        recreated: u64::MAX,
    };
    let agenda = AgendaRecord { origin: Some(Time::MIN), place: Some(Instant { time: Time::from_nanos(1), phase: 1 }) };
    let band = Band { average: -0.0, lower: f64::MIN, higher: f64::MAX };
    let reading = Reading { band, score: Some(f64::INFINITY), stale: true };
    let point = |number: f64| KeptPoint {
        start: Time::MIN,
        end: Time::MAX,
        count: u64::MAX,
        values: vec![number, -number],
        incomplete: true,
        readings: vec![None, Some(reading), Some(Reading { score: None, stale: false, ..reading })],
    };
    let instance = InstanceRecord {
        row: u32::MAX,
        begin: Time::MIN,
        born: Time::MAX,
        last_sample: None,
        points: DOUBLES.map(point).to_vec(),
        events: vec![event()],
    };
    let check = CheckRecord {
        row: u32::MAX,
        state: Some(State::Deviating),
        since: Some(Time::MIN),
        results: State::ALL.to_vec(),
        message: "m".into(),
        evidence: "x".repeat(16 << 10).into(),
        missing_at: Some(Time::MAX),
        missed: u32::MAX,
        expires_at: None,
        error: error(),
    };
    let check_key = CheckKey { element: Element::relation("a", "b"), check: "c".into(), labels: labels() };
    let standing = Standing { state: State::Critical, since: Some(Time::MIN), sequence: 9, message: "m".into() };
    let relation = ElementRecord {
        instance: Some(labels()),
        own: standing.clone(),
        propagated: standing,
        error: error(),
        ..element("host")
    };
    let pane = |number: f64| PaneRecord {
        start_ns: i64::MIN,
        count: u64::MAX,
        sum: vec![i64::MIN, 0, i64::MAX],
        minimum: number,
        maximum: -number,
        last_ns: i64::MAX,
        last: number,
        values: DOUBLES.to_vec(),
        buckets: vec![(i32::MIN, u64::MAX), (i32::MAX, 0)],
        samples: vec![(i64::MIN, number)],
        delta: true,
    };
    let series = SeriesRecord {
        number: u32::MAX,
        name: "".into(),
        labels: labels(),
        panes: DOUBLES.map(pane).to_vec(),
        carry: Some((Time::MIN, -0.0)),
        events: vec![event(), event()],
    };
    let block =
        BlockRecord { lane: u64::MAX, positions: vec![(key(-1), partition())], series: vec![series.clone(), series] };
    let entries = [
        Entry::Polled { partition: key(0), next_offset: i64::MIN, at: Time::MAX },
        Entry::Active { partition: key(i32::MIN), at_offset: 0, floor: Some(Time::MIN) },
        Entry::Idle { partition: key(i32::MAX), at_offset: -1 },
        Entry::Tick { source: "s".into(), frontier: Time::MIN },
        Entry::Advanced { agenda: vec!["a".into(), "b".into()], place: Instant { time: Time::MAX, phase: u8::MAX } },
        Entry::Step,
    ];

    // Written in another order than that of the keys.
    let agendas: [Vec<_>; 3] = [vec!["a".into()], vec!["a".into(), "b".into()], vec!["ab".into()]];
    let mut changes = vec![Change::Sequence(u64::MAX)];
    for (number, entry) in entries.iter().enumerate().rev() {
        changes.push(Change::Journal { number: 255 + number as u64, entry: entry.clone() });
    }
    for number in [u64::MAX, 256, 255] {
        changes.push(Change::Block { number, record: Some(block.clone()) });
        changes.push(Change::Instance { feed: number, labels: labels(), record: Some(instance.clone()) });
    }
    for number in [i32::MAX, 0, i32::MIN] {
        changes.push(Change::Partition { key: key(number), record: partition() });
    }
    for sources in agendas.iter().rev() {
        changes.push(Change::Agenda { sources: sources.clone(), record: agenda });
    }
    for (sequence, element) in [Element::relation("a", "b"), Element::component("z")].into_iter().enumerate() {
        let sequence = sequence as u64 + 1;
        changes.push(Change::Element { element, sequence, record: Some(relation.clone()) });
    }
    changes.push(Change::Source { name: "shop".into(), record: source.clone() });
    changes.push(Change::Check { key: check_key.clone(), record: Some(check.clone()) });

    let restored = Restored {
        sources: vec![("shop".into(), source)],
        partitions: [i32::MIN, 0, i32::MAX].map(|number| (key(number), partition())).to_vec(),
        agendas: agendas.map(|sources| (sources, agenda)).to_vec(),
        instances: [255, 256, u64::MAX].map(|feed| (feed, labels(), instance.clone())).to_vec(),
        checks: vec![(check_key, check)],
        elements: vec![(Element::component("z"), relation.clone()), (Element::relation("a", "b"), relation)],
        blocks: [255, 256, u64::MAX].map(|number| (number, block.clone())).to_vec(),
        journal: (255..).zip(entries).collect(),
        sequence: u64::MAX,
        ..Restored::default()
    };
    (changes, restored)
}

/// NaN is not equal to itself, but prints; -0.0 is equal to 0.0, and prints its sign.
fn same(found: &Restored, wanted: &Restored) {
    assert_eq!(format!("{found:#?}"), format!("{wanted:#?}"));
}

#[test]
fn everything_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    same(&store.restore().expect("nothing"), &Restored::default());
    let (changes, wanted) = everything();
    assert!(store.commit(&changes, true).expect("a commit").bytes > 0);
    same(&store.restore().expect("state"), &wanted);
    store.close();
    same(&open(folder.path()).restore().expect("state"), &wanted);
}

#[test]
fn what_is_gone_stays_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (changes, wanted) = everything();
    let store = open(folder.path());
    store.commit(&changes, false).expect("a commit");
    let gone: Vec<Change> = changes
        .into_iter()
        .filter_map(|change| match change {
            Change::Instance { feed, labels, .. } => Some(Change::Instance { feed, labels, record: None }),
            Change::Check { key, .. } => Some(Change::Check { key, record: None }),
            Change::Element { element, sequence, .. } => {
                Some(Change::Element { element, sequence: sequence + 10, record: None })
            }
            Change::Block { number, .. } => Some(Change::Block { number, record: None }),
            _ => None,
        })
        .chain([Change::JournalTrim { below: 258 }])
        .collect();
    store.commit(&gone, false).expect("a commit");
    let mut left = wanted;
    left.instances.clear();
    left.checks.clear();
    left.elements.clear();
    left.blocks.clear();
    left.journal.drain(..3);
    same(&store.restore().expect("state"), &left);
    drop(store);
    same(&open(folder.path()).restore().expect("state"), &left);
}

/// Columns hold what changes with each window; the records beside them stay as they were written.
#[test]
fn what_columns_say_stands_in_the_records() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let at = Time::from_nanos;
    let of_feed = |row| InstanceRecord {
        row,
        begin: at(0),
        born: at(0),
        last_sample: Some(at(1)),
        points: Vec::new(),
        events: Vec::new(),
    };
    let host = |name: &str| Labels::new([("host", name)]);
    let column = Column::LastSamples { feed: 7 };
    let times = |times: &[Time]| Change::Times { column: column.clone(), piece: 0, times: times.to_vec() };
    let last = || store.restore().expect("state").instances.iter().map(|of| of.2.last_sample).collect::<Vec<_>>();
    let mut changes: Vec<Change> = (["a", "b", "c"].into_iter().zip([1, 0, 2]))
        .map(|(name, row)| Change::Instance { feed: 7, labels: host(name), record: Some(of_feed(row)) })
        .collect();
    changes.push(times(&[at(50), Time::MIN]));
    store.commit(&changes, false).expect("a commit");
    assert_eq!(last(), [None, Some(at(50)), Some(at(1))], "by row, and where there is one");
    store.commit(&[times(&[at(60), at(61), at(62)])], false).expect("a commit");
    assert_eq!(last(), [Some(at(61)), Some(at(60)), Some(at(62))]);
    store.commit(&[times(&[])], false).expect("a commit");
    assert_eq!(last(), [Some(at(1)); 3], "without a column the records say");
    assert_eq!(store.restore().expect("state").times, []);
}

#[test]
fn a_journal_that_is_kept_is_not_trimmed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&Options { keep_journal: true, ..options(folder.path()) }).expect("a store");
    let entry = |number| Change::Journal { number, entry: Entry::Step };
    store.commit(&[entry(1), entry(2), Change::JournalTrim { below: 2 }], false).expect("a commit");
    assert_eq!(store.journal().expect("a journal"), [(1, Entry::Step), (2, Entry::Step)]);
}

#[test]
fn transitions_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let by_relation = model::Transition {
        id: u128::MAX,
        element: Element::relation("a", "b"),
        health: Health::Propagated,
        time: Time::MIN,
        cause: Cause::Element(Element::component("b")),
        ..transition("", u64::MAX)
    };
    let store = open(folder.path());
    store.commit(&[Change::Transition(by_relation.clone())], false).expect("a commit");
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.transition(u128::MAX).expect("a look"), Some(by_relation.clone()));
    assert_eq!(store.outbox(2).expect("an outbox"), [by_relation]);
    assert_eq!(store.restore().expect("state").sequence, u64::MAX);
}

#[test]
fn a_commit_costs_what_has_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let (changes, _) = everything();
    let all = store.commit(&changes, false).expect("a commit").bytes;
    let one = store.commit(&[Change::Sequence(1)], false).expect("a commit").bytes;
    assert!(one < 100 && all > 20_000, "{one} and {all}");
}
