//! Arguments of functions: literals with their units, and labels. What reads a stream is in `inputs`.

use crate::baselines::BaselineEntry;
use crate::fields::{Fields, found, items, span, text, wrong};
use crate::names::Names;
use crate::problem::{Problems, suggest};
use crate::raw::{Content as Raw, Key, Node};
use crate::sources::{boolean, child};
use crate::streams::StreamEntry;
use crate::units;
use functions::{Function, Parameter, ParameterKind};
use model::definition::{Argument, Downsampling, Shape};
use model::{State, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The arguments that are written for a function.
pub(crate) struct Written<'a> {
    entries: &'a [(Key, Node)],
    /// Whether each of them is of a parameter.
    pub(crate) known: bool,
}

impl<'a> Written<'a> {
    /// What is written for a parameter.
    pub(crate) fn get(&self, parameter: &Parameter) -> Option<&'a Node> {
        self.entries.iter().find(|(key, _)| *key.text == *parameter.name).map(|(_, node)| node)
    }
}

/// Reads which arguments are written, and tells which are none of the function's and which are missing. `key` and
/// `path` are those of the check or baseline.
pub(crate) fn written<'a>(
    function: &Function,
    arguments_node: Option<&'a Node>,
    key: &Key,
    path: &str,
    problems: &mut Problems,
) -> Option<Written<'a>> {
    let entries: &[(Key, Node)] = match arguments_node.map(|node| (node, &node.content)) {
        None | Some((_, Raw::Nothing)) => &[],
        Some((_, Raw::Table(entries))) => entries,
        Some((node, _)) => {
            wrong(node, "arguments by parameter", problems);
            return None;
        }
    };
    let mut written = Written { entries, known: true };
    for (key, node) in entries {
        if !function.parameters.iter().any(|parameter| *parameter.name == *key.text) {
            let message = format!("{}: the function `{}` has no parameter `{}`", node.path, function.name, key.text);
            let names = function.parameters.iter().map(|parameter| &*parameter.name);
            problems.error(&key.place, message).help(suggest(&key.text, names));
            written.known = false;
        }
    }
    let missing: Vec<String> = function
        .parameters
        .iter()
        .filter(|parameter| parameter.default.is_none() && written.get(parameter).is_none())
        .map(|parameter| format!("`{}` ({}): {}", parameter.name, parameter.kind, parameter.description))
        .collect();
    if !missing.is_empty() {
        let message = format!("{path}: the function `{}` is not given all it needs", function.name);
        problems.error(&key.place, message).help(format!("add under `arguments`:\n{}", missing.join("\n")));
    }
    Some(written)
}

/// The argument of a parameter that reads no stream: a literal, a label, or the default where nothing is written.
pub(crate) fn value(
    parameter: &Parameter,
    node: Option<&Node>,
    unit: &Unit,
    problems: &mut Problems,
) -> Option<Argument> {
    let Some(node) = node else { return parameter.default.clone().map(Argument::Value) };
    match child(node, "label").filter(|_| !matches!(parameter.kind, ParameterKind::Table(_))) {
        Some(_) => label(node, problems).map(Argument::Label),
        None => literal(&parameter.kind, node, unit, problems).map(Argument::Value),
    }
}

/// The label that an argument names: `{ label: heap_max }`.
fn label(node: &Node, problems: &mut Problems) -> Option<Arc<str>> {
    let mut fields = Fields::of(node, "a label", problems)?;
    let label = fields.need("label", "the name of a label", problems)?;
    fields.finish(problems);
    text(label, "the name of a label", problems).map(Arc::from)
}

/// The unit that a check's numbers are in: that of the first metric it reads.
pub(crate) enum Unit {
    /// It reads no metric.
    NoMetric,
    /// It reads one whose stream could not be understood, so nothing can be said.
    NotKnown,
    /// It counts.
    Counts,
    /// The stream of this name does not say.
    NotWritten(String),
    /// This one.
    Of(String),
}

/// The unit of a stream's points: that of the stream, and for a rate that in each second.
pub(crate) fn unit(stream: usize, downsample: Option<Downsampling>, streams: &Names<'_, StreamEntry>) -> Unit {
    let (name, _, entry) = &streams.entries[stream];
    let unit = entry.as_ref().and_then(|entry| entry.unit.as_deref());
    match (downsample, unit) {
        (Some(Downsampling::Count), _) => Unit::Counts,
        (_, None) => Unit::NotWritten(name.clone()),
        (Some(Downsampling::Rate), Some(unit)) => Unit::Of(format!("{unit}/s")),
        (_, Some(unit)) => Unit::Of(unit.to_owned()),
    }
}

/// Reads a literal of a kind.
fn literal(kind: &ParameterKind, node: &Node, unit: &Unit, problems: &mut Problems) -> Option<Value> {
    match kind {
        ParameterKind::Number => number(node, unit, problems).map(Value::Number),
        ParameterKind::Duration => span(node, true, problems).map(Value::Duration),
        ParameterKind::Boolean => boolean(node, problems).map(Value::Boolean),
        ParameterKind::Text => match &node.content {
            Raw::Text(text) => Some(Value::Text(text.as_str().into())),
            _ => text(node, "a text", problems).map(|text| Value::Text(text.into())),
        },
        ParameterKind::State => match &node.content {
            Raw::Text(text) if text.parse::<State>().is_ok() => text.parse().ok().map(Value::State),
            _ => {
                wrong(node, "a state: clear, deviating, critical or unknown", problems);
                None
            }
        },
        ParameterKind::List(of) => {
            let values: Vec<_> = items(node).iter().map(|item| literal(of, item, unit, problems)).collect();
            values.into_iter().collect::<Option<Vec<_>>>().map(Value::List)
        }
        ParameterKind::Table(of) => match &node.content {
            Raw::Table(entries) => {
                let mut table = BTreeMap::new();
                for (key, value) in entries {
                    table.insert(Arc::from(key.text.as_str()), literal(of, value, unit, problems)?);
                }
                Some(Value::Table(table))
            }
            _ => {
                wrong(node, &format!("a {kind}"), problems);
                None
            }
        },
        ParameterKind::Metric | ParameterKind::Series | ParameterKind::Events => None,
    }
}

/// A number; with a unit it is brought to that of the metric it is compared with.
fn number(node: &Node, unit: &Unit, problems: &mut Problems) -> Option<f64> {
    let written = match &node.content {
        Raw::Number(number, _) if number.is_finite() => return Some(*number),
        Raw::Text(text) => text,
        _ => {
            wrong(node, "a number", problems);
            return None;
        }
    };
    let Some((number, from)) = units::split(written) else {
        wrong(node, "a number", problems);
        return None;
    };
    if from.is_empty() {
        return Some(number);
    }
    let (reason, help) = match unit {
        Unit::NotKnown => return None,
        Unit::NoMetric => ("the check reads no metric that could have one".to_owned(), None),
        Unit::Counts => {
            let plain = if from == "%" { number / 100.0 } else { number };
            ("a count has none".to_owned(), Some(format!("write `{plain}`")))
        }
        Unit::NotWritten(stream) => (
            format!("the stream `{stream}` declares none"),
            Some(format!("add `unit:` to the stream, such as `unit: {from}`")),
        ),
        Unit::Of(unit) => match units::convert(written, unit) {
            Ok(number) => return Some(number),
            Err(reason) => (format!("the metric is in `{unit}`: {reason}"), None),
        },
    };
    let message = format!("{}: {} has a unit, but {reason}", node.path, found(node));
    problems.error(&node.place, message).help = help;
    None
}

/// An argument as it would be written.
pub(crate) fn describe(
    argument: &Argument,
    streams: &Names<'_, StreamEntry>,
    baselines: &Names<'_, BaselineEntry>,
) -> String {
    let Argument::Input(input) = argument else { return describe_value(argument) };
    let mut text = format!("stream {}", streams.entries[input.stream].0);
    if let Some(window) = &input.window {
        text.push_str(&format!(", {window}"));
    }
    for downsampling in input.downsample.iter() {
        text.push_str(&format!(", {downsampling}"));
    }
    if let Shape::Series(points) = input.shape {
        text.push_str(&format!(", {points} points"));
    }
    if let Some(baseline) = input.baseline {
        text.push_str(&format!(", baseline {}", baselines.entries[baseline].0));
    }
    text
}

/// An argument that is no stream, as it would be written.
pub(crate) fn describe_value(argument: &Argument) -> String {
    match argument {
        Argument::Label(name) => format!("label {name}"),
        Argument::Value(value) => value_text(value),
        Argument::Input(input) => unreachable!("an input where only values are read: {input:?}"),
    }
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Nothing => "nothing".into(),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Duration(span) => span.to_string(),
        Value::State(state) => state.to_string(),
        Value::Text(text) => text.to_string(),
        Value::List(values) => format!("[{}]", values.iter().map(value_text).collect::<Vec<_>>().join(", ")),
        Value::Table(values) => {
            let entries = values.iter().map(|(name, value)| format!("{name}: {}", value_text(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}
