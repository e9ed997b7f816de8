//! The reference of the script interface and of the shipped functions, made from what the code knows.

use crate::host::{ENTRIES, STRING_BYTES};
use crate::{Function, FunctionKind, Library, ParameterKind};
use crate::{arguments, baseline, batches, events, series, shipped, values};
use model::Value;
use model::definition::Limits;
use std::fmt::Write;

/// How parameters are declared.
const DECLARATIONS: &[(&str, &str)] = &[
    ("parameters(#{ name: kind(..), .. })", "once, at the top level: what the function wants to be given"),
    ("metric(description)", "the newest point of a metric stream"),
    ("series(description)", "the newest points of a metric stream, oldest first"),
    ("events(description)", "the events of a window, or one event where the input has no window"),
    (
        "number(description), number(description, default)",
        "a number; with the default `()` it may stay empty and is `()` then. Likewise `duration` (its default may \
         be a text such as \"1h\"), `text`, `boolean` and `state`",
    ),
    ("list(metric(description))", "the newest points of all instances that agree; it has what a series has"),
    ("table(metric(description))", "the same, by the labels that tell the instances apart"),
    ("list(number(description), default), table(text(description), default)", "several literals, by name for a table"),
];

/// Markdown of the script interface and of the shipped functions.
pub fn reference() -> String {
    let mut text = format!(
        "# Check functions\n\nA check function is a Rhai script with `fn check(p)`. It begins with its description, \
         in lines that start with `//!`, and declares its parameters. It sees no clock, no random numbers, no files \
         and no network, and each call has a budget of operations and of memory.\n\n\
         Beside what stands here, the language is Rhai's. A text has at most {STRING_BYTES} bytes, an array or a map at \
         most {ENTRIES} entries, what is nested in it included. A closure cannot use the variables around it. Numbers of \
         parameters and points have decimals; `1 / 2` between whole numbers of the script itself is 0.\n\n\
         A baseline function has `fn baseline(p)` instead. It is called once for each batch that a metric stream has, \
         with the batches of the training window before it, and says what is expected of that batch. Its parameters \
         are literals; it reads no stream but its own.\n\n\
         Comparing values of different types, such as a duration with a number, is an error; only `==` and `!=` with \
         `()` are possible for all.\n",
    );
    let sections = [
        ("Declaring parameters", DECLARATIONS),
        ("What a function is called with", arguments::REFERENCE),
        ("Answers, states, durations and times", values::REFERENCE),
        ("Points, series and tables", series::REFERENCE),
        ("Events", events::REFERENCE),
        ("What a baseline function is called with, and what it answers", baseline::REFERENCE),
        ("The batches of a training window", batches::REFERENCE),
    ];
    for (title, entries) in sections {
        let _ = write!(text, "\n## {title}\n\n| in a script | meaning |\n|---|---|\n");
        for (written, meaning) in entries {
            let _ = writeln!(text, "| `{}` | {meaning} |", written.replace('|', "\\|"));
        }
    }
    text.push_str("\n## The functions that come with Vitalsign\n");
    if let Ok(library) = Library::compile(shipped(), &Limits::default()) {
        library.iter().for_each(|function| describe(&mut text, function));
    }
    text
}

fn describe(text: &mut String, function: &Function) {
    let kind = match function.kind {
        FunctionKind::Check => "",
        FunctionKind::Baseline => " (baseline)",
        FunctionKind::Propagation => " (propagation)",
    };
    let _ = write!(text, "\n### {}{kind}\n\n{}\n", function.name, function.summary);
    if !function.description.is_empty() {
        let _ = write!(text, "\n{}\n", function.description);
    }
    text.push_str("\n| parameter | kind | default | meaning |\n|---|---|---|---|\n");
    for parameter in &function.parameters {
        let default = match &parameter.default {
            None => "required".to_owned(),
            Some(Value::Nothing) => "none".to_owned(),
            Some(value) => format!("`{}`", written(&parameter.kind, value)),
        };
        let (name, kind, description) = (&parameter.name, &parameter.kind, &parameter.description);
        let _ = writeln!(text, "| `{name}` | {kind} | {default} | {description} |");
    }
}

/// A default as a configuration would write it.
fn written(kind: &ParameterKind, value: &Value) -> String {
    match (kind, value) {
        (_, Value::Nothing) => String::new(),
        (_, Value::Boolean(boolean)) => boolean.to_string(),
        (_, Value::Number(number)) => number.to_string(),
        (_, Value::Duration(span)) => span.to_string(),
        (_, Value::State(state)) => state.name().to_ascii_lowercase(),
        (_, Value::Text(text)) => format!("{text:?}"),
        (ParameterKind::List(of) | ParameterKind::Table(of), Value::List(values)) => {
            format!("[{}]", values.iter().map(|value| written(of, value)).collect::<Vec<_>>().join(", "))
        }
        (ParameterKind::List(of) | ParameterKind::Table(of), Value::Table(values)) => {
            let entries = values.iter().map(|(name, value)| format!("{name}: {}", written(of, value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        _ => String::new(),
    }
}
