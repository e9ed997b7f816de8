//! What a script says of itself: `parameters(#{ .. })`, its `//!` head, and which of the functions it has.

use crate::arguments::{CHECK_FIELDS, PROPAGATION_FIELDS};
use crate::baseline::BASELINE_FIELDS;
use crate::host::{bare_engine, budgeted, error, failure, lowercase};
use crate::reads::{mark_baselines, unknown_fields};
use crate::values::to_value;
use crate::{FunctionKind, Parameter, ParameterKind};
use model::definition::Limits;
use model::{State, Value};
use rhai::{AST, ASTNode, Dynamic, Engine, EvalAltResult, Expr, ImmutableString, Map, Position, Scope, Stmt};
use std::sync::{Arc, Mutex, PoisonError};

/// What is wrong, and where.
pub(crate) type Complaint = (Position, String);

/// One entry of `parameters`, before it has its name.
#[derive(Clone, Debug)]
struct Declared {
    kind: ParameterKind,
    description: String,
    default: Option<Dynamic>,
}

/// Head, kind and parameters of a script.
#[derive(Debug)]
pub(crate) struct Declaration {
    /// What it is for.
    pub(crate) kind: FunctionKind,
    /// The first paragraph of its head, in one line.
    pub(crate) summary: String,
    /// The rest of its head.
    pub(crate) description: String,
    /// In the order in which they stand.
    pub(crate) parameters: Vec<Parameter>,
}

/// Reads a parsed script's declarations, or says all that is wrong with them.
pub(crate) fn declaration(text: &str, ast: &AST, limits: &Limits) -> Result<Declaration, Vec<Complaint>> {
    let mut complaints = Vec::new();
    complaints.extend(captures(ast));
    let kind = function_kind(ast).map_err(|complaint| complaints.push(complaint)).ok();
    let names = parameter_names(ast).map_err(|complaint| complaints.push(complaint)).ok();
    let (Some(kind), Some(names), true) = (kind, names, complaints.is_empty()) else { return Err(complaints) };
    let declared = declared_parameters(ast, limits).map_err(|complaint| vec![complaint])?;

    let fields: &[&str] = match kind {
        FunctionKind::Check => &CHECK_FIELDS,
        FunctionKind::Baseline => &BASELINE_FIELDS,
        FunctionKind::Propagation => &PROPAGATION_FIELDS,
    };
    let what = if kind == FunctionKind::Baseline { "baseline" } else { "check" };
    let mut parameters: Vec<Parameter> = Vec::new();
    for (name, position) in names {
        let made = match declared.get(name.as_str()) {
            _ if kind == FunctionKind::Propagation => Err("a propagation function takes no parameters".to_owned()),
            _ if fields.contains(&name.as_str()) => Err(format!("every {what} function has `p.{name}` already")),
            Some(value) => parameter(&name, value).and_then(|parameter| match kind {
                FunctionKind::Baseline if parameter.kind.reads_stream() => Err(format!(
                    "`{name}` is a {}: a baseline function is given the batches of its own stream and no other; \
                     number, duration, text, boolean, state, and lists and tables of these are possible",
                    parameter.kind
                )),
                _ => Ok(parameter),
            }),
            None => continue,
        };
        match made {
            Ok(parameter) => parameters.push(parameter),
            Err(message) => complaints.push((position, message)),
        }
    }
    if complaints.is_empty() {
        let known = parameters.iter().map(|parameter| &*parameter.name).chain(fields.iter().copied());
        complaints = unknown_fields(ast, kind, known);
        mark_baselines(ast, kind, &mut parameters);
    }
    let (summary, description) = head(text);
    if complaints.is_empty() { Ok(Declaration { kind, summary, description, parameters }) } else { Err(complaints) }
}

/// The name of the function that is called.
pub(crate) const fn entry_point(kind: FunctionKind) -> &'static str {
    match kind {
        FunctionKind::Check => "check",
        FunctionKind::Baseline => "baseline",
        FunctionKind::Propagation => "propagate",
    }
}

/// Exactly one of `fn check(p)`, `fn baseline(p)` and `fn propagate(p)` makes the script what it is.
fn function_kind(ast: &AST) -> Result<FunctionKind, Complaint> {
    let mut found = None;
    for kind in [FunctionKind::Check, FunctionKind::Baseline, FunctionKind::Propagation] {
        let entry = entry_point(kind);
        for function in ast.iter_fn_def().filter(|function| function.name == entry) {
            if function.params.len() != 1 {
                let message = format!("`fn {entry}` has {} parameters, one is wanted", function.params.len());
                return Err((Position::NONE, message));
            }
            if let Some(other) = found.replace(kind).map(entry_point) {
                let message = format!("the script has both `fn {other}(p)` and `fn {entry}(p)`, one of them is wanted");
                return Err((Position::NONE, message));
            }
        }
    }
    found.ok_or_else(|| {
        let message = "the script has none of `fn check(p)`, `fn baseline(p)` and `fn propagate(p)`";
        (Position::NONE, message.to_owned())
    })
}

/// The names in `parameters(#{ .. })` as they stand: a map of Rhai forgets their order.
fn parameter_names(ast: &AST) -> Result<Vec<(String, Position)>, Complaint> {
    let mut names = None;
    for statement in ast.statements() {
        let call = match statement {
            Stmt::Noop(_) => continue,
            Stmt::FnCall(call, _) if call.name == "parameters" && call.args.len() == 1 => Some(call),
            Stmt::Expr(expression) => match &**expression {
                Expr::FnCall(call, _) if call.name == "parameters" && call.args.len() == 1 => Some(call),
                _ => None,
            },
            _ => None,
        };
        let Some(call) = call else {
            let message = "only `parameters(#{ .. })` and functions may stand at the top level of a script";
            return Err((statement.position(), message.to_owned()));
        };
        let entries = match &call.args[0] {
            Expr::Map(map, _) => map.0.iter().map(|(name, _)| (name.name.to_string(), name.pos)).collect(),
            Expr::DynamicConstant(map, _) if map.as_map_ref().is_ok_and(|map| map.is_empty()) => Vec::new(),
            other => {
                return Err((other.position(), "`parameters` takes a literal `#{ name: kind(..), .. }`".to_owned()));
            }
        };
        if names.replace(entries).is_some() {
            return Err((statement.position(), "`parameters` is called twice, once is wanted".to_owned()));
        }
    }
    Ok(names.unwrap_or_default())
}

/// Runs the top level once, on an engine that knows the constructors of parameters and nothing else.
fn declared_parameters(ast: &AST, limits: &Limits) -> Result<Map, Complaint> {
    let mut engine = bare_engine(limits);
    let declared = Arc::new(Mutex::new(Map::new()));
    let kept = declared.clone();
    engine.register_fn("parameters", move |map: Map| {
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = map;
    });
    register_constructors(&mut engine);
    let _: Dynamic = budgeted(|| engine.eval_ast_with_scope(&mut Scope::new(), ast)).map_err(|error| {
        let position = error.position();
        (position, failure(error).message)
    })?;
    let mut declared = declared.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *declared))
}

fn register_constructors(engine: &mut Engine) {
    let streams =
        [("metric", ParameterKind::Metric), ("series", ParameterKind::Series), ("events", ParameterKind::Events)];
    for (name, kind) in streams {
        engine.register_fn(name, move |description: ImmutableString| Declared {
            kind: kind.clone(),
            description: description.to_string(),
            default: None,
        });
    }
    let literals = [
        ("number", ParameterKind::Number),
        ("duration", ParameterKind::Duration),
        ("text", ParameterKind::Text),
        ("boolean", ParameterKind::Boolean),
        ("state", ParameterKind::State),
    ];
    for (name, kind) in literals {
        let make = move |description: ImmutableString, default: Option<Dynamic>| Declared {
            kind: kind.clone(),
            description: description.to_string(),
            default,
        };
        let without_default = make.clone();
        engine
            .register_fn(name, move |description: ImmutableString| without_default(description, None))
            .register_fn(name, move |description: ImmutableString, default: Dynamic| make(description, Some(default)));
    }
    for name in ["list", "table"] {
        let wrap = if name == "list" { ParameterKind::List } else { ParameterKind::Table };
        let make = move |of: Declared, default: Option<Dynamic>| -> Result<Declared, Box<EvalAltResult>> {
            let several = format!("`{name}({}(..))`", of.kind);
            match of.kind {
                ParameterKind::Series | ParameterKind::Events | ParameterKind::List(_) | ParameterKind::Table(_) => {
                    Err(error(format!("{several} is not possible; metrics and literals may stand there")))
                }
                kind if kind.reads_stream() && default.is_some() => Err(error(format!("{several} takes no default"))),
                _ if of.default.is_some() => Err(error(format!("the default belongs after the kind in {several}"))),
                kind => Ok(Declared { kind: wrap(Box::new(kind)), description: of.description, default }),
            }
        };
        engine
            .register_fn(name, move |of: Declared| make(of, None))
            .register_fn(name, move |of: Declared, default: Dynamic| make(of, Some(default)));
    }
}

fn parameter(name: &str, value: &Dynamic) -> Result<Parameter, String> {
    let Some(declared) = value.read_lock::<Declared>() else {
        return Err(format!("`{name}` is no kind of parameter such as metric(\"..\") or number(\"..\", 1)"));
    };
    let default = match declared.default.as_ref().map(to_value) {
        None => None,
        Some(Value::Nothing) => Some(Value::Nothing),
        Some(value) => Some(declared.kind.accept(&value).map_err(|error| format!("the default of `{name}`: {error}"))?),
    };
    Ok(Parameter {
        name: name.into(),
        kind: declared.kind.clone(),
        description: declared.description.clone(),
        reads_baseline: false,
        default,
    })
}

/// Closures that use variables from around them. Rhai shares such variables by counted references: they could
/// hold themselves, and would never be freed, or hang on each other in chains that overflow the stack.
fn captures(ast: &AST) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(ASTNode::Stmt(Stmt::Share(variables))) = path.last() {
            complaints.extend(variables.iter().map(|(variable, _)| {
                let name = variable.name.as_str();
                let advice = match State::ALL.iter().any(|state| name == state.name()) {
                    true => format!("ask `.is_{}` of the state", name.to_ascii_lowercase()),
                    false => "write a loop, or hand it over as a parameter".to_owned(),
                };
                (variable.pos, format!("the closure uses `{name}` from around it: {advice}"))
            }));
        }
        true
    });
    complaints
}

/// The `//!` lines at the top: the first paragraph in one line, and the rest.
fn head(text: &str) -> (String, String) {
    let lines = text.lines().map(str::trim).skip_while(|line| line.is_empty());
    let lines = lines.map_while(|line| line.strip_prefix("//!")).map(|line| line.strip_prefix(' ').unwrap_or(line));
    let lines: Vec<&str> = lines.collect();
    let end = lines.iter().position(|line| line.trim().is_empty()).unwrap_or(lines.len());
    (lines[..end].join(" ").trim().to_owned(), lines[end..].join("\n").trim().to_owned())
}

/// An error of Rhai's parser.
pub(crate) fn parse_complaint(error: &rhai::ParseError) -> Complaint {
    (error.position(), lowercase(&error.err_type().to_string()))
}
