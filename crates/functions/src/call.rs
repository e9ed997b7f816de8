//! Calling a function: what it is given, what it answers, and how it can fail.

use crate::Parameter;
use model::{Element, Event, Labels, Point, Span, State, Time, Value};
use std::fmt;
use std::sync::Arc;

/// A compiled script.
#[derive(Debug)]
pub struct Function {
    /// Its name: the stem of its file's name.
    pub name: Arc<str>,
    /// What it is for.
    pub kind: FunctionKind,
    /// The first sentence or line of its `//!` head.
    pub summary: String,
    /// The rest of its head; may be empty.
    pub description: String,
    /// What it wants, in the order in which the script declares it.
    pub parameters: Vec<Parameter>,
    /// A hash of the script's text.
    pub fingerprint: u64,
}

/// What a function is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FunctionKind {
    /// It has `fn check(p)` and says how healthy an element is.
    Check,
    /// It has `fn propagate(p)` and says how the health of dependencies reaches an element.
    Propagation,
}

/// What one parameter holds at a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// A literal, of the parameter's kind.
    Value(Value),
    /// For a metric: the newest point.
    Point(Point),
    /// For a series: the newest points, newest last.
    Points(Vec<Point>),
    /// For events, in their order.
    Events(Vec<Event>),
    /// For a list or table of metrics: labels, the table's key, and the newest point, in the order of labels.
    Rows(Vec<(Labels, Arc<str>, Point)>),
}

/// One evaluation of a check.
#[derive(Clone, Copy, Debug)]
pub struct CheckCall<'a> {
    /// The element whose health is asked for.
    pub element: &'a Element,
    /// The labels of the element and of the check's instance.
    pub labels: &'a Labels,
    /// The check's state so far.
    pub state: State,
    /// Since when, if ever it spoke.
    pub since: Option<Time>,
    /// The instant of the evaluation.
    pub time: Time,
    /// The window that closed, `[start, end)`; none for events that come one by one.
    pub window: Option<(Time, Time)>,
    /// What each parameter holds, in the order of the function's parameters.
    pub arguments: &'a [(Arc<str>, Seen)],
}

/// What a check function said.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The state.
    pub state: State,
    /// Why, for people; may be empty.
    pub message: Arc<str>,
    /// More about it; may be empty.
    pub detail: Arc<str>,
    /// After how long without a further verdict the state becomes UNKNOWN.
    pub expires: Option<Span>,
    /// Whatever the function wants to be kept in evidence.
    pub data: Value,
}

/// Why a call gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// What happened, lowercase, no full stop.
    pub message: String,
    /// The line in the script, from 1; 0 where it is not known.
    pub line: usize,
    /// The column, from 1; 0 where it is not known.
    pub column: usize,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// The script went wrong.
    Error,
    /// It took more operations than it may.
    Operations,
    /// It held more memory, or made a larger value, than it may.
    Memory,
    /// It called itself too deeply.
    Depth,
    /// It gave back what is no answer.
    Type,
}

impl FailureKind {
    /// `error`, `operations`, `memory`, `depth`, `type`.
    pub const fn name(self) -> &'static str {
        match self {
            FailureKind::Error => "error",
            FailureKind::Operations => "operations",
            FailureKind::Memory => "memory",
            FailureKind::Depth => "depth",
            FailureKind::Type => "type",
        }
    }
}

/// `line 3, column 7: division by zero`
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => f.write_str(&self.message),
            (line, 0) => write!(f, "line {line}: {}", self.message),
            (line, column) => write!(f, "line {line}, column {column}: {}", self.message),
        }
    }
}

impl std::error::Error for Failure {}

/// What an element depends on, with its health.
#[derive(Clone, Copy, Debug)]
pub struct Dependency<'a> {
    /// The element.
    pub element: &'a Element,
    /// Its type.
    pub kind: &'a str,
    /// Its health, as it would propagate.
    pub state: State,
}

impl Function {
    /// Runs a check function. Nothing where it said nothing: then the state stays.
    pub fn check(&self, call: &CheckCall<'_>) -> Result<Option<Verdict>, Failure> {
        let _ = call;
        Ok(None)
    }

    /// Runs a propagation function. Nothing where it said nothing.
    pub fn propagate(
        &self,
        element: &Element,
        own: State,
        dependencies: &[Dependency<'_>],
    ) -> Result<Option<State>, Failure> {
        let _ = (element, own, dependencies);
        Ok(None)
    }
}
