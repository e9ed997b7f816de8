//! The naive truth that the engine is held against: all records in memory, every window recomputed
//! from raw samples, nothing incremental and nothing shared with the engine. It is given the records and
//! the journal of what the shell said beside them, and finds out by itself which samples count, how far
//! time has come, and what every instant brings.

mod agenda;
mod baseline;
mod check;
mod health;
mod reduce;
mod replay;
#[cfg(test)]
mod tests;
mod window;

use functions::Library;
use model::definition::Definitions;
use model::{Element, Labels, Point, Reason, State, Time, Transition};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One decoded record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its source: the place in `Definitions::sources`.
    pub source: usize,
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// The broker's append time, where the topic has it.
    pub arrival_appended: Option<Time>,
    /// The samples and events in it, in their order.
    pub items: Vec<Item>,
}

/// A sample or an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The metric's name; for events nobody reads it.
    pub name: Arc<str>,
    /// The labels.
    pub labels: Labels,
    /// The event time.
    pub time: Time,
    /// What it says.
    pub content: Content,
}

/// What a sample or an event says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A sample.
    Number {
        /// The measured value; finite.
        value: f64,
        /// How to read it.
        kind: Kind,
    },
    /// An event.
    Event {
        /// The text of one JSON object.
        body: Arc<str>,
        /// The event's type.
        kind: Arc<str>,
    },
}

/// How a number is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it stands.
    Gauge,
    /// As a count that only grows, until it starts again from zero.
    Cumulative,
    /// As an increment.
    Delta,
}

/// What the shell said, as it happened. A step is `[Active*, Polled*, Idle*, Tick*, Advanced*, Step]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Records below `next_offset`, and not below the previous such entry's, were polled at `at`.
    Polled {
        /// The source.
        source: usize,
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The offset of the next record to read.
        next_offset: i64,
        /// The shell's clock.
        at: Time,
    },
    /// The partition is new, or active again.
    Active {
        /// The source.
        source: usize,
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The first offset that this holds for.
        at_offset: i64,
        /// Samples before it are refused.
        floor: Option<Time>,
    },
    /// The partition stands at its end and is silent.
    Idle {
        /// The source.
        source: usize,
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The offset of the next record to read.
        at_offset: i64,
    },
    /// The source is silent as a whole; its frontier is now at least this.
    Tick {
        /// The source.
        source: usize,
        /// The frontier.
        frontier: Time,
    },
    /// The agenda was taken up to and including this place.
    Advanced {
        /// The agenda's sources, in any order.
        agenda: Vec<usize>,
        /// The place's time.
        time: Time,
        /// 0 for windows and timers, 1 for events.
        phase: u8,
    },
    /// A step ended.
    Step,
}

/// What must come out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Every transition, in the order of processing; sequence numbers begin at 1.
    pub transitions: Vec<Transition>,
    /// Every element that is there at the end, with its own and its propagated health.
    pub elements: BTreeMap<Element, (State, State)>,
    /// What each of `Definitions::publications` gave away, by instance: in the order of closing, then of labels.
    pub published: BTreeMap<usize, Vec<(Labels, Point)>>,
    /// How many samples and events of each source were refused, by reason.
    pub refused: BTreeMap<(usize, Reason), u64>,
}

/// Replays `journal` over `records`. Panics where the journal says what cannot be: a place beyond its
/// agenda's clock, or something that was due and left undone by a step that was not full.
pub fn run(definitions: &Definitions, library: &Library, records: &[Record], journal: &[Entry]) -> Outcome {
    let mut world = replay::World::new(definitions, library, records);
    for step in journal.split_inclusive(|entry| *entry == Entry::Step) {
        world.step(step);
    }
    world.outcome()
}
