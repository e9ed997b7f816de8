//! Changes of health, with what explains them.

use crate::{Element, Labels, State, Time};
use std::fmt;
use std::sync::Arc;

/// A change of an element's own or propagated health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The first 128 bits of SHA-256 over `identity()`: the same change has the same id wherever and
    /// however often it is computed.
    pub id: u128,
    /// Its number in the one sequence of everything told; from 1, never reused.
    pub sequence: u64,
    /// Whose health changed.
    pub element: Element,
    /// Which of its two healths.
    pub health: Health,
    /// When, in event time. No transition of an element's health is earlier than its previous one or at the same instant.
    pub time: Time,
    /// The state until then.
    pub from: State,
    /// The state from then on.
    pub to: State,
    /// What brought it about.
    pub cause: Cause,
    /// The reason, in the words of the check; may be empty.
    pub message: Arc<str>,
    /// What the check saw, as JSON of at most `Limits::evidence_bytes`; empty for propagated health.
    pub evidence: Arc<str>,
}

/// An element's own health, or that with what it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// The most severe state of its checks.
    Own,
    /// With what it depends on.
    Propagated,
}

impl Health {
    /// `own` or `propagated`.
    pub const fn name(self) -> &'static str {
        match self {
            Health::Own => "own",
            Health::Propagated => "propagated",
        }
    }
}

/// What brought a transition about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// A check, at one of its instances.
    Check {
        /// The check's name.
        check: Arc<str>,
        /// The labels of the instance.
        labels: Labels,
    },
    /// For propagated health: the element it came from; the element itself where its own health did it.
    Element(Element),
}

/// `slow responses {host="web-1"}`, or the element.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Check { check, labels } if labels.is_empty() => f.write_str(check),
            Cause::Check { check, labels } => write!(f, "{check} {labels}"),
            Cause::Element(element) => element.fmt(f),
        }
    }
}

impl Transition {
    /// The text that the id is made of: element, which health, instant, cause, from and to.
    pub fn identity(&self) -> String {
        format!(
            "{}\n{}\n{}\n{}\n{}\n{}",
            self.element,
            self.health.name(),
            self.time.nanos(),
            self.cause,
            self.from,
            self.to
        )
    }
}
