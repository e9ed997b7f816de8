//! From the outbox to Kafka, on a thread of its own: a slow broker holds up nothing before the outbox is full.
//!
//! What is published is one JSON object for each transition, with the element as key, so that the transitions
//! of an element keep their order, and with the id as header and field, so that whoever sees one twice can drop it.
//! Points come as the messages that the engine made of them, and go behind transitions: health is what is waited for.

use crate::crash::Crash;
use engine::state::ActiveError;
use kafka::{Message, Points, Publisher};
use model::transition::Cause;
use model::{Element, Transition};
use serde_json::{Map, Value, json};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use store::Store;

/// How many transitions may wait before consumption stops.
const OUTBOX_MOST: usize = 10_000;
/// How many pieces of points may, each of about a megabyte at most.
const POINTS_MOST: usize = 1000;
/// How many transitions are published together.
const TOGETHER: usize = 500;
/// How many pieces of points are.
const PIECES_TOGETHER: usize = 4;
/// Between two attempts.
const RETRY: Duration = Duration::from_secs(1);

/// Where all goes. What has nowhere to go is taken out of the outbox all the same.
#[derive(Default)]
pub(crate) struct Destination {
    /// The publisher of transitions, and their topic.
    pub(crate) transitions: Option<(Publisher, String)>,
    /// Points have their topics with them.
    pub(crate) points: Option<Points>,
}

/// What waits to be published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) transitions: usize,
    /// In pieces.
    pub(crate) points: usize,
}

impl Waiting {
    /// Whether consumption stops.
    pub(crate) fn is_full(&self) -> bool {
        self.transitions >= OUTBOX_MOST || self.points >= POINTS_MOST
    }
}

/// `10000 transitions, at most 10000 may`.
impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Waiting { transitions, points } if *points < POINTS_MOST => {
                write!(f, "{transitions} transitions wait to be published, at most {OUTBOX_MOST} may")
            }
            Waiting { points, .. } => {
                write!(f, "{points} pieces of points wait to be published, at most {POINTS_MOST} may")
            }
        }
    }
}

/// The publishing thread.
pub(crate) struct Publishing {
    wake: SyncSender<()>,
    stop: Arc<AtomicBool>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    published: AtomicU64,
    points: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Publishing {
    /// Begins with what a former process has left in the outbox. Where there is nowhere to publish to, the outbox
    /// is emptied.
    pub(crate) fn start(store: Arc<Store>, mut to: Destination, crash: Arc<Crash>) -> std::io::Result<Publishing> {
        let (wake, woken) = sync_channel(1);
        let (stop, shared) = (Arc::new(AtomicBool::new(false)), Arc::new(Shared::default()));
        let (stopping, sharing) = (stop.clone(), shared.clone());
        let thread = std::thread::Builder::new().name("publisher".to_owned());
        let thread = thread.spawn(move || work(&store, &mut to, &crash, &woken, &stopping, &sharing))?;
        let publishing = Publishing { wake, stop, shared, thread: Some(thread) };
        publishing.wake();
        Ok(publishing)
    }

    /// There is something in the outbox.
    pub(crate) fn wake(&self) {
        // Full: it wakes anyway.
        let _ = self.wake.try_send(());
    }

    /// What keeps the outbox from being published, while something does.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Publishes what it can until `patience` is over. A broker that does not answer may hold the thread longer;
    /// then it ends with the process, and what is left in the outbox goes out after the next start.
    /// Gives how many transitions and how many points were published since the start.
    pub(crate) fn stop(mut self, patience: Duration) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake();
        let Some(thread) = self.thread.take() else { return (0, 0) };
        let until = std::time::Instant::now() + patience;
        while !thread.is_finished() && std::time::Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        if thread.is_finished() {
            let _ = thread.join();
        } else {
            tracing::warn!("the broker does not take what is left in the outbox; it waits there for the next start");
        }
        (self.shared.published.load(Ordering::Relaxed), self.shared.points.load(Ordering::Relaxed))
    }
}

fn work(store: &Store, to: &mut Destination, crash: &Crash, woken: &Receiver<()>, stop: &AtomicBool, shared: &Shared) {
    let mut wait = RETRY;
    loop {
        match woken.recv_timeout(wait) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let stopping = stop.load(Ordering::Relaxed);
        let outcome = drain(store, to, crash, shared);
        wait = RETRY;
        let mut trouble = shared.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match &outcome {
            Ok(()) => {
                if trouble.take().is_some() {
                    tracing::info!("the outbox is published again");
                }
            }
            Err(reason) => {
                if trouble.is_none() {
                    tracing::error!(%reason, "the outbox is not published; trying on");
                }
                *trouble = Some(reason.clone());
            }
        }
        if stopping {
            return;
        }
    }
}

/// Publishes until the outbox is empty. A topic that nobody can write to does not hold up the others' kind.
fn drain(store: &Store, to: &mut Destination, crash: &Crash, shared: &Shared) -> Result<(), String> {
    loop {
        let transitions = drain_transitions(store, to.transitions.as_ref(), crash, shared);
        let points = publish_points(store, to.points.as_mut(), crash, shared);
        transitions?;
        if !points? {
            return Ok(());
        }
    }
}

/// Publishes some of the points that wait. False where none do.
fn publish_points(store: &Store, to: Option<&mut Points>, crash: &Crash, shared: &Shared) -> Result<bool, String> {
    let pieces = store.points(PIECES_TOGETHER).map_err(|error| error.to_string())?;
    if let Some(publisher) = to {
        // Those for one topic go together; they are next to each other where there are many.
        for (place, same) in pieces.chunk_by(|a, b| a.topic == b.topic).enumerate() {
            let topic = &same[0].topic;
            let count: usize = same.iter().map(|piece| piece.messages.index.len()).sum();
            let messages = || same.iter().flat_map(|piece| piece.messages.iter());
            let points = || messages().map(|(key, value, timestamp_ms)| (Some(key), value, timestamp_ms));
            // In two halves, so that a crash between them leaves pieces that are published in part.
            let half = count.div_ceil(2);
            publisher.publish(topic, points().take(half)).map_err(|error| error.to_string())?;
            if place == 0 {
                crash.here("mid-points");
            }
            publisher.publish(topic, points().skip(half)).map_err(|error| error.to_string())?;
            shared.points.fetch_add(count as u64, Ordering::Relaxed);
        }
    }
    store.trim_points(&pieces).map_err(|error| error.to_string())?;
    Ok(!pieces.is_empty())
}

fn drain_transitions(
    store: &Store,
    to: Option<&(Publisher, String)>,
    crash: &Crash,
    shared: &Shared,
) -> Result<(), String> {
    loop {
        let waiting = store.outbox(TOGETHER).map_err(|error| error.to_string())?;
        let Some(last) = waiting.last().map(|transition| transition.sequence) else { return Ok(()) };
        if let Some((publisher, topic)) = to {
            let messages: Vec<Message> = waiting.iter().map(message).collect();
            // In two halves, so that a crash between them leaves an outbox that is published in part.
            let (first, second) = messages.split_at(messages.len().div_ceil(2));
            publisher.publish(topic, first).map_err(|error| error.to_string())?;
            crash.here("mid-publish");
            if !second.is_empty() {
                publisher.publish(topic, second).map_err(|error| error.to_string())?;
            }
            shared.published.fetch_add(waiting.len() as u64, Ordering::Relaxed);
        }
        store.trim_outbox(last).map_err(|error| error.to_string())?;
    }
}

/// A transition as it lies on Kafka.
pub(crate) fn message(transition: &Transition) -> Message<'static> {
    let id = format!("{:032x}", transition.id);
    Message {
        key: Some(transition.element.to_string().into_bytes().into()),
        value: Some(value(transition).to_string().into_bytes().into()),
        headers: vec![("id".to_owned(), id.into_bytes())],
        timestamp_ms: Some(transition.time.millis()),
        partition: None,
    }
}

fn value(transition: &Transition) -> Value {
    let element = match &transition.element {
        Element::Component(name) => json!({ "kind": "component", "name": &**name }),
        Element::Relation { from, to } => json!({ "kind": "relation", "from": &**from, "to": &**to }),
    };
    let cause = match &transition.cause {
        Cause::Check { check, labels } => {
            let labels: Map<String, Value> =
                labels.iter().map(|(name, value)| (name.to_string(), Value::from(&**value))).collect();
            json!({ "check": &**check, "labels": labels })
        }
        Cause::Element(element) => json!({ "element": element.to_string() }),
    };
    // Evidence is JSON that the engine wrote; for propagated health it is empty.
    let evidence: Value = serde_json::from_str(&transition.evidence).unwrap_or(Value::Null);
    json!({
        "id": format!("{:032x}", transition.id),
        "sequence": transition.sequence,
        "element": element,
        "health": transition.health.name(),
        "time": transition.time.to_string(),
        "from": transition.from.name(),
        "to": transition.to.name(),
        "cause": cause,
        "message": &*transition.message,
        "evidence": evidence,
    })
}

/// What stops consumption while the outbox is full.
pub(crate) fn full(waiting: &Waiting, trouble: Option<&str>, since: model::Time) -> ActiveError {
    let reason = trouble.unwrap_or("the broker takes them too slowly");
    let message = format!("{waiting}: {reason}");
    ActiveError { kind: "outbox_full".into(), message: message.into(), line: 0, column: 0, since }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::transition::Health;
    use model::{Labels, State, Time};

    #[test]
    fn a_transition_is_one_json_object() {
        let transition = Transition {
            id: 0xab,
            sequence: 7,
            element: Element::relation("checkout", "payments"),
            health: Health::Own,
            time: Time::from_nanos(1_500_000_000),
            from: State::Clear,
            to: State::Critical,
            cause: Cause::Check { check: "failing".into(), labels: Labels::new([("host", "a")]) },
            message: "0.5 of 1".into(),
            evidence: r#"{"inputs":{}}"#.into(),
        };
        let message = message(&transition);
        assert_eq!(message.key.as_deref(), Some(b"checkout -> payments".as_slice()));
        assert_eq!(message.headers, [("id".to_owned(), b"000000000000000000000000000000ab".to_vec())]);
        let found: Value = serde_json::from_slice(&message.value.expect("a value")).expect("JSON");
        let wanted = json!({
            "id": "000000000000000000000000000000ab",
            "sequence": 7,
            "element": { "kind": "relation", "from": "checkout", "to": "payments" },
            "health": "own",
            "time": "1970-01-01T00:00:01.5Z",
            "from": "CLEAR",
            "to": "CRITICAL",
            "cause": { "check": "failing", "labels": { "host": "a" } },
            "message": "0.5 of 1",
            "evidence": { "inputs": {} },
        });
        assert_eq!(found, wanted);
    }
}
