//! The host of check, baseline and propagation functions: Rhai scripts with typed parameters.
//!
//! `Library::compile` takes the scripts; each `Function` in it says what it wants (`Parameter`) and is
//! called with what its inputs hold (`CheckCall`, `BaselineCall`, `Dependency`). A call sees no clock, no random
//! numbers, no files and no network, has a budget of operations and of memory, and comes to the same
//! answer wherever it runs. A script's failure is a value (`Failure`), never a panic.
//!
//! Only this crate knows Rhai.

mod arguments;
mod baseline;
mod batches;
mod call;
mod declaration;
mod events;
mod evidence;
mod host;
mod library;
mod parameter;
mod reads;
mod reference;
mod series;
mod smoothing;
mod statistics;
mod straight;
mod values;
mod warm;

pub use baseline::{BaselineCall, TrainingBatch};
pub use call::{CheckCall, Dependency, Failure, FailureKind, Function, FunctionKind, Seen, Verdict};
pub use evidence::evidence;
pub use library::{Library, Script, ScriptError, shipped};
pub use parameter::{Parameter, ParameterKind};
pub use reference::reference;
