//! The Rhai engine that scripts run on: what it offers, and what it does not let pass.
//!
//! Every limit is set here and none is left to its default, because Rhai's defaults differ between
//! debug and release builds.

use crate::arguments;
use crate::baseline::NoBand;
use crate::{Failure, FailureKind, baseline, batches, events, series, values};
use model::definition::Limits;
use rhai::packages::{Package, StandardPackage};
use rhai::{Dynamic, Engine, EvalAltResult, OptimizationLevel, Position};
use std::cell::Cell;

/// Bytes of a script's text.
pub(crate) const SCRIPT_TEXT_BYTES: usize = 256 * 1024;
/// Bytes of one string in a script.
pub(crate) const STRING_BYTES: usize = 64 * 1024;
/// Entries of one array or map, those of the arrays and maps in it included. This bounds how deep they nest as
/// well, and with it the stack that copying and dropping them takes.
pub(crate) const ENTRIES: usize = 1_000;
/// Calls of script functions within each other.
const CALL_DEPTH: usize = 24;
/// Levels that Rhai counts above the function that is called.
const CALLERS: usize = 2;
/// Expressions within each other, at the top level and in functions.
const EXPRESSION_DEPTH: (usize, usize) = (48, 48);
/// Variables in scope at once, and functions in a script.
const VARIABLES: usize = 256;
const FUNCTIONS: usize = 256;
/// Bytes of a failure's message.
const MESSAGE_BYTES: usize = 1024;

/// How many numbers a native function reads for each operation that it counts as.
const NUMBERS_AN_OPERATION: usize = 32;

/// What `Engine::on_progress` answers when a call holds too much.
#[derive(Clone, Copy)]
struct OverMemory;

/// What it answers when native functions have worked too much.
#[derive(Clone, Copy)]
struct OverWork;

thread_local! {
    /// What this thread held when its current call began.
    static BEGAN_WITH: Cell<isize> = const { Cell::new(0) };
    /// What native functions did in this thread's current call, in operations.
    static WORKED: Cell<u64> = const { Cell::new(0) };
}

/// An engine with the language, the budget and nothing of ours: enough to parse and to read declarations.
pub(crate) fn bare_engine(limits: &Limits) -> Engine {
    let mut engine = Engine::new_raw();
    engine.register_global_module(StandardPackage::new().as_shared_module());
    engine
        .disable_symbol("eval")
        .disable_symbol("curry")
        .set_optimization_level(OptimizationLevel::None)
        .set_strict_variables(true)
        // Else comparisons of numbers would be Rhai's own, to which infinity is not greater than a number.
        .set_fast_operators(false)
        .set_max_operations(limits.script_operations.max(1))
        .set_max_call_levels(CALL_DEPTH + CALLERS)
        .set_max_expr_depths(EXPRESSION_DEPTH.0, EXPRESSION_DEPTH.1)
        .set_max_variables(VARIABLES)
        .set_max_functions(FUNCTIONS)
        .set_max_string_size(STRING_BYTES)
        .set_max_array_size(ENTRIES)
        .set_max_map_size(ENTRIES);
    let most = isize::try_from(limits.script_bytes).unwrap_or(isize::MAX);
    let operations = limits.script_operations.max(1);
    engine.on_progress(move |done| {
        if done.saturating_add(WORKED.get()) > operations {
            return Some(Dynamic::from(OverWork));
        }
        let holds = meter::held().wrapping_sub(BEGAN_WITH.get());
        (holds > most).then(|| Dynamic::from(OverMemory))
    });
    engine
}

/// An engine for calls, with everything that scripts can name. Parameters get their getters from
/// `arguments::register_names` once they are known.
pub(crate) fn call_engine(limits: &Limits) -> Engine {
    let mut engine = bare_engine(limits);
    values::register(&mut engine);
    series::register(&mut engine);
    events::register(&mut engine);
    batches::register(&mut engine);
    baseline::register(&mut engine);
    arguments::register(&mut engine);
    engine
}

/// Runs something on an engine with the thread's memory counted from here.
pub(crate) fn budgeted<T>(run: impl FnOnce() -> T) -> T {
    BEGAN_WITH.set(meter::held());
    WORKED.set(0);
    run()
}

/// Counts what a native function does with so many numbers against the budget of operations: else a script could
/// ask for the median of ten thousand batches as often as it may add one to one.
pub(crate) fn worked(numbers: usize) {
    let operations = (numbers / NUMBERS_AN_OPERATION) as u64;
    WORKED.set(WORKED.get().saturating_add(operations));
}

/// Whether a call ended because it held too much.
pub(crate) fn over_memory(error: &EvalAltResult) -> bool {
    matches!(error, EvalAltResult::ErrorTerminated(token, _) if token.is::<OverMemory>())
}

/// Brings an error of Rhai into ours, without the calls around it.
pub(crate) fn failure(error: Box<EvalAltResult>) -> Failure {
    let mut error = error;
    let mut position = error.position();
    while let EvalAltResult::ErrorInFunctionCall(_, _, inner, at) = *error {
        position = if inner.position().is_none() { at } else { inner.position() };
        error = inner;
    }
    let (kind, message) = match &*error {
        EvalAltResult::ErrorTooManyOperations(_) => {
            (FailureKind::Operations, "the budget of operations is used up".to_owned())
        }
        EvalAltResult::ErrorTerminated(token, _) if token.is::<OverWork>() => {
            (FailureKind::Operations, "the budget of operations is used up".to_owned())
        }
        EvalAltResult::ErrorStackOverflow(_) => {
            (FailureKind::Depth, format!("functions call each other more than {CALL_DEPTH} deep"))
        }
        EvalAltResult::ErrorTerminated(token, _) if token.is::<OverMemory>() => {
            (FailureKind::Memory, "the budget of memory is used up".to_owned())
        }
        EvalAltResult::ErrorDataTooLarge(what, _) => {
            (FailureKind::Memory, format!("{} over the limit", lowercase(what)))
        }
        EvalAltResult::ErrorRuntime(thrown, _) if thrown.is::<NoBand>() => {
            let message = thrown.read_lock::<NoBand>().map_or_else(String::new, |wrong| wrong.0.clone());
            (FailureKind::Type, message)
        }
        EvalAltResult::ErrorRuntime(thrown, _) => (FailureKind::Error, values::printed(thrown)),
        _ => {
            error.set_position(Position::NONE);
            (FailureKind::Error, lowercase(&error.to_string()))
        }
    };
    let message = shortened(&message, MESSAGE_BYTES).into_owned();
    Failure { kind, message, line: position.line().unwrap_or(0), column: position.position().unwrap_or(0) }
}

/// An error that a native function raises; Rhai adds the position.
pub(crate) fn error(message: impl Into<String>) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorRuntime(message.into().into(), Position::NONE))
}

/// With a small first letter, as messages go on after a colon.
pub(crate) fn lowercase(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}

/// At most `bytes` of a text, an ellipsis included where it was cut.
pub(crate) fn shortened(text: &str, bytes: usize) -> std::borrow::Cow<'_, str> {
    if text.len() <= bytes {
        return text.into();
    }
    let mut end = bytes.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end]).into()
}
