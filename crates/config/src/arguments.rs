//! Arguments of checks: streams as a check reads them, literals with their units, and labels.

use crate::fields::{Fields, count, found, items, span, text, wrong};
use crate::names::Names;
use crate::problem::Problems;
use crate::raw::{Content as Raw, Node};
use crate::sources::boolean;
use crate::streams::StreamEntry;
use crate::units;
use crate::windows::{downsampling, window};
use functions::{Parameter, ParameterKind};
use model::definition::{Argument, Content, Downsampling, Input, Shape};
use model::{State, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many points a series holds unless it is told.
const SERIES_POINTS: usize = 60;

/// What arguments are read with.
pub(crate) struct Given<'a> {
    pub(crate) streams: &'a Names<'a, StreamEntry>,
    /// The zone of batches that name none.
    pub(crate) zone: &'a Arc<str>,
}

/// Reads a stream for a parameter that reads one.
pub(crate) fn input(parameter: &Parameter, node: &Node, given: &Given<'_>, problems: &mut Problems) -> Option<Input> {
    const WANTED: &str = "a stream such as { stream: NAME, window: sliding 5m, downsample: p95 }";
    let Raw::Table(_) = &node.content else {
        wrong(node, WANTED, problems);
        return None;
    };
    let mut fields = Fields::of(node, WANTED, problems)?;
    let stream_node = fields.need("stream", "the name of a stream", problems);
    let (window_node, downsample_node) = (fields.take("window"), fields.take("downsample"));
    let points = fields.take("points");
    fields.finish(problems);
    let window = window_node.and_then(|node| window(node, given.zone, problems));
    let downsample = downsample_node.map(|node| downsampling(node, problems)).unwrap_or_default();
    let mut shape = shape(&parameter.kind, node, problems)?;
    if let Some(points) = points {
        match &mut shape {
            Shape::Series(most) => *most = count(points, 1, 1_000, problems)? as usize,
            _ => {
                let message = format!("{}: `{}` takes no series of points", points.path, parameter.name);
                problems.error(&points.place, message).help(format!("it is a {} parameter", parameter.kind));
            }
        }
    }
    let stream_node = stream_node?;
    let name = text(stream_node, "the name of a stream", problems)?;
    let (stream, entry) = given.streams.find(&name, stream_node, problems)?;
    let of_events = entry.content == Content::Events;
    if of_events != (shape == Shape::Events) {
        let (is, wants) = match of_events {
            true => ("an event stream", "a metric stream"),
            false => ("a metric stream", "an event stream"),
        };
        let message = format!("{}: `{name}` is {is}, `{}` wants {wants}", stream_node.path, parameter.name);
        let problem = problems.error(&stream_node.place, message);
        if of_events {
            problem.help("with `as: count` or `as: { field: /pointer }` a stream of events is read as a metric");
        }
        return None;
    }
    if of_events {
        if let Some(node) = downsample_node {
            problems.error(&node.place, format!("{}: events are not downsampled", node.path));
        }
        if window_node.is_some() && window.is_none() {
            return None;
        }
        return Some(Input { stream, window, downsample: Arc::new([]), shape, baseline: None });
    }
    let (node_path, place) = (&node.path, &node.place);
    for (setting, node, such_as) in [
        ("window", window_node, "`sliding 5m` or `batching 1h`"),
        ("downsample", downsample_node, "`average` or `p95`"),
    ] {
        if node.is_none() {
            let message = format!("{}: `{setting}` is missing, {such_as} wanted", node_path);
            problems.error(place, message);
        }
    }
    if downsample.is_empty() {
        return None;
    }
    Some(Input { stream, window: Some(window?), downsample: downsample.into(), shape, baseline: None })
}

fn shape(kind: &ParameterKind, node: &Node, problems: &mut Problems) -> Option<Shape> {
    match kind {
        ParameterKind::Metric => Some(Shape::Point),
        ParameterKind::Series => Some(Shape::Series(SERIES_POINTS)),
        ParameterKind::Events => Some(Shape::Events),
        ParameterKind::List(of) if **of == ParameterKind::Metric => Some(Shape::List),
        ParameterKind::Table(of) if **of == ParameterKind::Metric => Some(Shape::Table),
        other => {
            problems.error(&node.place, format!("{}: no stream can be given to a {other} parameter", node.path));
            None
        }
    }
}

/// The label that an argument names: `{ label: heap_max }`.
pub(crate) fn label(node: &Node, problems: &mut Problems) -> Option<Arc<str>> {
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

/// The unit of an input: that of its stream, and for a rate that in each second.
pub(crate) fn unit(input: &Input, streams: &Names<'_, StreamEntry>) -> Unit {
    let (name, _, entry) = &streams.entries[input.stream];
    let unit = entry.as_ref().and_then(|entry| entry.unit.as_deref());
    match (input.downsample.first(), unit) {
        (Some(Downsampling::Count), _) => Unit::Counts,
        (_, None) => Unit::NotWritten(name.clone()),
        (Some(Downsampling::Rate), Some(unit)) => Unit::Of(format!("{unit}/s")),
        (_, Some(unit)) => Unit::Of(unit.to_owned()),
    }
}

/// Reads a literal of a kind.
pub(crate) fn literal(kind: &ParameterKind, node: &Node, unit: &Unit, problems: &mut Problems) -> Option<Value> {
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
pub(crate) fn describe(argument: &Argument, streams: &Names<'_, StreamEntry>) -> String {
    match argument {
        Argument::Label(name) => format!("label {name}"),
        Argument::Value(value) => value_text(value),
        Argument::Input(input) => {
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
            text
        }
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
