//! Scripts become functions here: compiled once, with all their errors told at once.

use crate::Function;
use crate::arguments::register_names;
use crate::declaration::{Complaint, Declaration, declaration, parse_complaint};
use crate::host::{SCRIPT_TEXT_BYTES, call_engine};
use model::definition::Limits;
use rhai::{AST, Engine, Position, Scope};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The source text of one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The function's name: the stem of the file's name.
    pub name: String,
    /// Where it was read, for messages.
    pub path: String,
    /// The script itself.
    pub text: String,
}

/// What is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The script's path.
    pub path: String,
    /// The line, from 1; 0 where it is not known.
    pub line: usize,
    /// The column, from 1; 0 where it is not known.
    pub column: usize,
    /// What was found and what is wanted.
    pub message: String,
}

/// `check-functions/threshold.rhai:3:7: ...`
impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}: {}", self.path, self.message),
            (line, 0) => write!(f, "{}:{line}: {}", self.path, self.message),
            (line, column) => write!(f, "{}:{line}:{column}: {}", self.path, self.message),
        }
    }
}

impl std::error::Error for ScriptError {}

/// Compiled functions by name.
#[derive(Clone, Debug, Default)]
pub struct Library {
    functions: BTreeMap<String, Arc<Function>>,
}

impl Library {
    /// Compiles all scripts, each call of which will have the budget of `limits`; or says all that is wrong.
    /// Two scripts of one name are an error.
    pub fn compile(scripts: impl IntoIterator<Item = Script>, limits: &Limits) -> Result<Library, Vec<ScriptError>> {
        let mut engine = call_engine(limits);
        let (mut paths, mut compiled, mut errors) = (BTreeMap::<String, String>::new(), Vec::new(), Vec::new());
        for script in scripts {
            if let Some(other) = paths.insert(script.name.clone(), script.path.clone()) {
                let message = format!("a function `{}` stands in {other} already", script.name);
                errors.push(ScriptError { path: script.path.clone(), line: 0, column: 0, message });
            }
            match compile(&engine, &script.text, limits) {
                Ok((declaration, ast)) => compiled.push((script, declaration, ast)),
                Err(complaints) => errors.extend(complaints.into_iter().map(|(position, message)| ScriptError {
                    path: script.path.clone(),
                    line: position.line().unwrap_or(0),
                    column: position.position().unwrap_or(0),
                    message,
                })),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let parameters = compiled.iter().flat_map(|(_, declaration, _)| &declaration.parameters);
        register_names(&mut engine, parameters.map(|parameter| &parameter.name));
        let engine = Arc::new(engine);
        let functions = compiled.into_iter().map(|(script, declaration, ast)| {
            let function = Function::new(&script, declaration, engine.clone(), ast, limits);
            (script.name, Arc::new(function))
        });
        Ok(Library { functions: functions.collect() })
    }

    /// The function of this name.
    pub fn function(&self, name: &str) -> Option<&Arc<Function>> {
        self.functions.get(name)
    }

    /// All functions, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.functions.values()
    }
}

fn compile(engine: &Engine, text: &str, limits: &Limits) -> Result<(Declaration, AST), Vec<Complaint>> {
    if text.len() > SCRIPT_TEXT_BYTES {
        let message = format!("the script has {} bytes, at most {SCRIPT_TEXT_BYTES} are possible", text.len());
        return Err(vec![(Position::NONE, message)]);
    }
    // The constants stand in the scope so that the parser knows their names.
    let mut constants = Scope::new();
    for state in model::State::ALL {
        constants.push_constant(state.name(), state);
    }
    let ast = engine.compile_with_scope(&constants, text).map_err(|error| vec![parse_complaint(&error)])?;
    let declaration = declaration(text, &ast, limits)?;
    // Calls need the functions alone: the top level has said what it had to say.
    Ok((declaration, ast.clone_functions_only()))
}

/// The scripts of the functions that come with Vitalsign.
pub fn shipped() -> Vec<Script> {
    let script = |name: &str, text: &str| Script {
        name: name.to_owned(),
        path: format!("check-functions/{name}.rhai"),
        text: text.to_owned(),
    };
    vec![
        script("absence", include_str!("../../../check-functions/absence.rhai")),
        script("compare_instances", include_str!("../../../check-functions/compare_instances.rhai")),
        script("deviation_from_baseline", include_str!("../../../check-functions/deviation_from_baseline.rhai")),
        script("error_ratio", include_str!("../../../check-functions/error_ratio.rhai")),
        script("event_pattern", include_str!("../../../check-functions/event_pattern.rhai")),
        script("event_state", include_str!("../../../check-functions/event_state.rhai")),
        script("ewma", include_str!("../../../check-functions/ewma.rhai")),
        script("holt_winters", include_str!("../../../check-functions/holt_winters.rhai")),
        script("min_max", include_str!("../../../check-functions/min_max.rhai")),
        script("novelty", include_str!("../../../check-functions/novelty.rhai")),
        script("percentile_band", include_str!("../../../check-functions/percentile_band.rhai")),
        script("seasonal_median", include_str!("../../../check-functions/seasonal_median.rhai")),
        script("threshold", include_str!("../../../check-functions/threshold.rhai")),
        script("time_until_limit", include_str!("../../../check-functions/time_until_limit.rhai")),
    ]
}
