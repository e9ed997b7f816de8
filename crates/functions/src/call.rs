//! Calling a function: what it is given, what it answers, and how it can fail.

use crate::arguments::{CheckArguments, PropagationArguments};
use crate::declaration::{Declaration, entry_point};
use crate::host::{failure, shortened};
use crate::straight::Straight;
use crate::values::{Answer, bounded, kind, printed, to_value};
use crate::warm::Warm;
use crate::{Parameter, Script};
use model::definition::Limits;
use model::{Element, Event, Labels, Point, Span, State, Time, Value};
use rhai::{AST, Dynamic, Engine};
use sha2::{Digest, Sha256};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Bytes of a verdict's message and of its detail; what is longer is cut.
const MESSAGE_BYTES: usize = 1024;
const DETAIL_BYTES: usize = 8 * 1024;

/// A compiled script.
#[derive(Debug)]
pub struct Function {
    /// Its name: the stem of its file's name.
    pub name: Arc<str>,
    /// What it is for.
    pub kind: FunctionKind,
    /// The first paragraph of its `//!` head, in one line.
    pub summary: String,
    /// The rest of its head; may be empty.
    pub description: String,
    /// What it wants, in the order in which the script declares it.
    pub parameters: Vec<Parameter>,
    /// The first 64 bits of SHA-256 over the script's text.
    pub fingerprint: u64,
    engine: Arc<Engine>,
    ast: AST,
    pub(crate) straight: Option<Straight>,
    warm: Warm,
}

/// What a function is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FunctionKind {
    /// It has `fn check(p)` and says how healthy an element is.
    Check,
    /// It has `fn baseline(p)` and says what a metric is expected to be.
    Baseline,
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
    pub(crate) fn new(
        script: &Script,
        declaration: Declaration,
        engine: Arc<Engine>,
        ast: AST,
        limits: &Limits,
    ) -> Function {
        let parameters = declaration.parameters;
        let digest = Sha256::digest(script.text.as_bytes());
        Function {
            name: script.name.as_str().into(),
            kind: declaration.kind,
            summary: declaration.summary,
            description: declaration.description,
            straight: (declaration.kind == FunctionKind::Check)
                .then(|| Straight::new(&ast, &parameters, limits))
                .flatten(),
            parameters,
            fingerprint: digest.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte)),
            engine,
            ast,
            warm: Warm::default(),
        }
    }

    /// Runs a check function. Nothing where it said nothing: then the state stays.
    pub fn check(&self, call: &CheckCall<'_>) -> Result<Option<Verdict>, Failure> {
        assert_eq!(self.kind, FunctionKind::Check, "`{}` is no check function", self.name);
        match self.straight.as_ref().and_then(|straight| straight.run(call)) {
            Some(said) => Ok(said.map(|(state, message)| Verdict {
                state,
                message: bounded(message, MESSAGE_BYTES),
                detail: Arc::default(),
                expires: None,
                data: Value::Nothing,
            })),
            None => self.interpreted(call),
        }
    }

    /// Runs a check function by the interpreter.
    pub(crate) fn interpreted(&self, call: &CheckCall<'_>) -> Result<Option<Verdict>, Failure> {
        self.run(CheckArguments::new(&self.parameters, call), |answer| match answer.read_lock::<Answer>() {
            Some(answer) => Ok(Some(Verdict {
                state: answer.state,
                message: bounded(&answer.message, MESSAGE_BYTES),
                detail: bounded(&answer.detail, DETAIL_BYTES),
                expires: answer.expires,
                data: to_value(&answer.data),
            })),
            None if answer.is_unit() => Ok(None),
            None => Err(wrong_answer(answer, "clear(), deviating(..), critical(..), unknown(..) or nothing")),
        })
    }

    /// Runs a propagation function. Nothing where it said nothing.
    pub fn propagate(
        &self,
        element: &Element,
        own: State,
        dependencies: &[Dependency<'_>],
    ) -> Result<Option<State>, Failure> {
        assert_eq!(self.kind, FunctionKind::Propagation, "`{}` is no propagation function", self.name);
        let arguments = PropagationArguments::new(element, own, dependencies);
        self.run(arguments, |answer| match answer.read_lock::<State>() {
            Some(state) => Ok(Some(*state)),
            None if answer.is_unit() => Ok(None),
            None => match answer.read_lock::<Answer>() {
                Some(answer) => Ok(Some(answer.state)),
                None => Err(wrong_answer(answer, "a state such as CRITICAL or nothing")),
            },
        })
    }

    /// One call within its budget, and what `read` makes of its answer.
    pub(crate) fn run<A: Clone + Send + Sync + 'static, T>(
        &self,
        argument: A,
        read: impl FnOnce(&Dynamic) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let argument = Dynamic::from(argument);
        let run = || self.warm.call(&self.engine, &self.ast, entry_point(self.kind), &argument);
        // A panic in the interpreter is the script's failure too, and must not take the process with it.
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(answer) => read(&answer.map_err(failure)?),
            Err(_) => Err(Failure {
                kind: FailureKind::Error,
                message: "the interpreter came to a state that it does not know".to_owned(),
                line: 0,
                column: 0,
            }),
        }
    }
}

/// What to say of an answer of the wrong kind.
pub(crate) fn wrong_answer(answer: &Dynamic, wanted: &str) -> Failure {
    let found = match kind(answer) {
        found @ ("number" | "text" | "state" | "boolean" | "duration") => format!("the {found} {}", printed(answer)),
        found => format!("a {found}"),
    };
    let message = format!("the function gave back {found}, {wanted} is wanted");
    Failure { kind: FailureKind::Type, message: shortened(&message, MESSAGE_BYTES).into_owned(), line: 0, column: 0 }
}
