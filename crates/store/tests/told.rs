//! The outbox, the history, and what a watch has missed.

mod common;

use common::{clock, element, open, seconds, transition};
use engine::state::{Change, MessagePlace, Messages};
use model::{Element, Time, Transition};
use store::{EXPIRED_AT_ONCE, Since, Store, Told, Waiting};

fn numbers(transitions: &[Transition]) -> Vec<u64> {
    transitions.iter().map(|transition| transition.sequence).collect()
}

fn outbox(store: &Store, most: usize) -> Vec<u64> {
    numbers(&store.outbox(most).expect("an outbox"))
}

fn history(store: &Store, name: &str, before: Option<u64>, most: usize) -> Vec<u64> {
    numbers(&store.history(&Element::component(name), before, most).expect("a history"))
}

/// `+3 host` for a birth, `3 host` for a transition, `-3 host` for a removal.
fn since(store: &Store, sequence: u64, most: usize) -> String {
    match store.since(sequence, most).expect("an answer") {
        Since::Trimmed => "trimmed".to_owned(),
        Since::Told(told) => {
            let told: Vec<String> = told
                .iter()
                .map(|told| match told {
                    Told::Born { sequence, element, .. } => format!("+{sequence} {element}"),
                    Told::Transition { transition } => format!("{} {}", transition.sequence, transition.element),
                    Told::Removed { sequence, element } => format!("-{sequence} {element}"),
                })
                .collect();
            told.join(", ")
        }
    }
}

fn tell(store: &Store, component: &str, sequences: impl IntoIterator<Item = u64>) {
    let changes: Vec<Change> =
        sequences.into_iter().map(|sequence| Change::Transition(transition(component, sequence))).collect();
    store.commit(&changes, false).expect("a commit");
}

#[test]
fn the_outbox_gives_the_oldest_until_they_are_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    tell(&store, "checkout", [3, 255, 1]);
    tell(&store, "payments", [256]);
    assert_eq!(outbox(&store, 3), [1, 3, 255]);
    assert_eq!(store.outbox(1).expect("an outbox"), [transition("checkout", 1)]);
    assert_eq!(store.outbox_len().expect("a length"), 4);
    store.trim_outbox(3).expect("a trim");
    store.trim_outbox(2).expect("a trim");
    assert_eq!(outbox(&store, 9), [255, 256]);
    assert_eq!(store.outbox_len().expect("a length"), 2);
    drop(store);

    let store = open(folder.path());
    assert_eq!(outbox(&store, 9), [255, 256]);
    assert_eq!(store.outbox_len().expect("a length"), 2);
    store.trim_outbox(u64::MAX).expect("a trim");
    tell(&store, "checkout", [257]);
    assert_eq!(outbox(&store, 9), [257]);
    assert_eq!(store.outbox_len().expect("a length"), 1);
    // What has been published is still history.
    assert_eq!(history(&store, "checkout", None, 9), [257, 255, 3, 1]);
}

/// A piece of two points.
fn piece(number: u64, topic: &str) -> Waiting {
    let place = |key_end, value_end| MessagePlace { key_end, value_end, timestamp_ms: number as i64 };
    let messages = Messages { bytes: b"a{}bb{ }".to_vec(), index: vec![place(1, 3), place(5, 8)] };
    Waiting { number, topic: topic.into(), messages }
}

fn publish(store: &Store, pieces: &[Waiting]) {
    let change = |of: &Waiting| {
        let Waiting { number, topic, messages } = of.clone();
        Change::Publish { number, topic, messages }
    };
    store.commit(&pieces.iter().map(change).collect::<Vec<_>>(), true).expect("a commit");
}

#[test]
fn points_wait_in_pieces_until_they_are_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let pieces = [piece(1, "minutes"), piece(2, "hours"), piece(3, "minutes")];
    publish(&store, &pieces[..1]);
    publish(&store, &pieces[1..]);
    assert_eq!(store.points(2).expect("points"), pieces[..2]);
    assert_eq!(store.points_len(), 3);
    store.trim_points(&pieces[..2]).expect("a trim");
    assert_eq!(store.points(9).expect("points"), pieces[2..]);
    // Transitions have numbers of their own.
    tell(&store, "checkout", [1]);
    assert_eq!((store.points_len(), outbox(&store, 9)), (1, vec![1]));
    drop(store);

    let store = open(folder.path());
    assert_eq!(store.points(9).expect("points"), pieces[2..]);
    assert_eq!(store.points_len(), 1);
    store.trim_points(&pieces[2..]).expect("a trim");
    assert_eq!((store.points(9).expect("points"), store.points_len()), (vec![], 0));
    drop(store);

    // The last number outlives what had it.
    let store = open(folder.path());
    assert_eq!(store.restore().expect("state").published, 3);
    publish(&store, &[piece(4, "minutes")]);
    assert_eq!(store.points(9).expect("points"), [piece(4, "minutes")]);
    assert_eq!(store.restore().expect("state").published, 4);
}

#[test]
fn history_goes_back_page_by_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    tell(&store, "a", [1, 3, 5, 300]);
    tell(&store, "a\0", [2]);
    tell(&store, "ab", [4]);
    assert_eq!(history(&store, "a", None, 2), [300, 5]);
    assert_eq!(history(&store, "a", Some(5), 2), [3, 1]);
    assert_eq!(history(&store, "a", Some(1), 2), Vec::<u64>::new());
    assert_eq!(history(&store, "a", Some(0), 2), Vec::<u64>::new());
    assert_eq!(history(&store, "ab", None, 9), [4]);
    assert_eq!(history(&store, "b", None, 9), Vec::<u64>::new());
    assert_eq!(store.transition(3 << 64).expect("a look"), Some(transition("a", 3)));
    assert_eq!(store.transition(9).expect("a look"), None);
}

#[test]
fn a_watch_that_comes_back_hears_what_it_missed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let host = || Element::component("host");
    let record = || Some(element("host"));
    let is = |sequence, record| Change::Element { element: host(), sequence, record };
    let changed = |sequence| [is(sequence, record()), Change::Transition(transition("host", sequence))];
    store.commit(&[is(1, record())], false).expect("a birth");
    store.commit(&changed(2), false).expect("a transition");
    store.commit(&[is(3, None)], false).expect("a removal");
    store.commit(&[is(3, None)], false).expect("nothing to remove");
    store.commit(&changed(4), false).expect("a birth with a transition");
    store.commit(&[is(5, None), is(6, record()), is(7, None)], false).expect("much at once");
    let all = "+1 host, 2 host, -3 host, +4 host, 4 host, -5 host, +6 host, -7 host";
    assert_eq!(since(&store, 0, 99), all);
    assert_eq!(since(&store, 2, 1), "-3 host");
    assert_eq!(since(&store, 3, 1), "+4 host, 4 host");
    assert_eq!(since(&store, 7, 1), "");
    assert_eq!(since(&store, 8, 1), "trimmed");
    let born = Told::Born { sequence: 1, element: host(), record: element("host") };
    assert_eq!(store.since(0, 1).expect("an answer"), Since::Told(vec![born]));
    drop(store);
    assert_eq!(since(&open(folder.path()), 0, 99), all);
}

#[test]
fn history_expires_in_the_order_of_numbers_and_never_before_it_is_published() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    tell(&store, "host", [1, 2, 3, 4, 5]);
    assert_eq!(store.expire(Time::MAX).expect("no clock yet"), 0);
    store.commit(&[clock(100), Change::Sequence(5)], false).expect("a commit");
    assert_eq!(store.expire(Time::MAX).expect("all of it waits"), 0);
    store.trim_outbox(4).expect("a trim");
    assert_eq!(store.expire(seconds(3)).expect("two are older"), 2);
    assert_eq!(history(&store, "host", None, 9), [5, 4, 3]);
    assert_eq!(store.transition(2 << 64).expect("a look"), None);
    assert_eq!(since(&store, 1, 9), "trimmed");
    assert_eq!(since(&store, 2, 9), "3 host, 4 host, 5 host");
    assert_eq!(store.expire(Time::MAX).expect("the last one waits"), 2);
    assert_eq!(outbox(&store, 9), [5]);
    store.trim_outbox(5).expect("a trim");
    drop(store);
    // The clock is known again after a start, and numbers do not come again when all history is gone.
    let store = open(folder.path());
    assert_eq!(store.expire(Time::MAX).expect("the last"), 1);
    assert_eq!(since(&store, 4, 9), "trimmed");
    assert_eq!(since(&store, 5, 9), "");
    assert_eq!(store.restore().expect("state").sequence, 5);
}

#[test]
fn births_and_removals_age_by_the_clock_of_their_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let is = |sequence, record| Change::Element { element: Element::component("host"), sequence, record };
    store.commit(&[clock(10), is(1, Some(element("host")))], false).expect("a commit");
    store.commit(&[clock(20), is(2, None)], false).expect("a commit");
    store.commit(&[clock(30)], false).expect("a commit");
    assert_eq!(store.expire(seconds(10)).expect("none is older"), 0);
    assert_eq!(store.expire(seconds(20)).expect("the birth"), 1);
    assert_eq!(since(&store, 1, 9), "-2 host");
}

#[test]
fn the_history_that_is_wanted_does_not_expire() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = store::Options { history: model::Span::from_secs(60), ..common::options(folder.path()) };
    let store = Store::open(&options).expect("a store");
    tell(&store, "host", [1, 40, 41]);
    store.commit(&[clock(100)], false).expect("a commit");
    store.trim_outbox(41).expect("a trim");
    assert_eq!(store.expire(Time::MAX).expect("what is older than a minute"), 1);
    assert_eq!(history(&store, "host", None, 9), [41, 40]);
}

#[test]
fn expiry_does_a_bounded_amount_of_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let most = EXPIRED_AT_ONCE as u64;
    tell(&store, "host", 1..=most + 10);
    store.commit(&[clock(1_000_000)], false).expect("a commit");
    store.trim_outbox(u64::MAX).expect("a trim");
    assert_eq!(store.expire(Time::MAX).expect("a part"), most);
    assert_eq!(store.expire(Time::MAX).expect("the rest"), 10);
    assert_eq!(history(&store, "host", None, 1), Vec::<u64>::new());
}
