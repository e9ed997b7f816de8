//! Calls of one function that do not look up again what earlier ones looked up.
//!
//! Rhai finds the function behind every operator, property and call by a hash of its name and the types of what it
//! is given, and keeps what it found for the length of one call. That search is a third of what a short check costs,
//! and finds the same in each call: it depends on the engine and the script alone.

use crate::host::{budgeted, over_memory};
use rhai::{AST, Caches, Dynamic, Engine, EvalAltResult, EvalContext, Scope};
use std::sync::{Mutex, PoisonError};

/// So many findings are kept; beyond that a script makes up names, and all are forgotten.
const FINDINGS: usize = 448;

/// What was found, for as many calls as run at a time.
#[derive(Debug, Default)]
pub(crate) struct Warm(Mutex<Vec<Caches>>);

impl Warm {
    /// Calls a function of the script with one argument, within its budget.
    pub(crate) fn call(
        &self,
        engine: &Engine,
        ast: &AST,
        entry: &str,
        argument: &Dynamic,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut caches = kept.unwrap_or_else(cold);
        let run = |caches: &mut Caches| {
            let mut global = engine.new_global_runtime_state();
            global.lib.push(ast.shared_lib().clone());
            let mut given = argument.clone();
            budgeted(|| {
                EvalContext::new(engine, &mut global, caches, &mut Scope::new(), None).call_fn_raw(
                    entry,
                    false,
                    false,
                    &mut [&mut given],
                )
            })
        };
        let mut answer = run(&mut caches);
        // What was found in this call counted as its memory. Whether it holds too much is asked again with all of it
        // there already, else the answer would depend on what ran before.
        for _ in 0..2 {
            if answer.as_ref().is_err_and(|error| over_memory(error)) {
                caches.rewind_fn_resolution_caches(1);
                answer = run(&mut caches);
            }
        }
        caches.rewind_fn_resolution_caches(1);
        if caches.fn_resolution_cache_mut().dict.len() < FINDINGS {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(caches);
        }
        answer
    }
}

/// Nothing found yet, but with room for all that is kept.
fn cold() -> Caches {
    let mut caches = Caches::new();
    caches.fn_resolution_cache_mut().dict.reserve(FINDINGS);
    caches
}
