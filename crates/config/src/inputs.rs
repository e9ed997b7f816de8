//! Streams as a check reads them: which windows, reduced to what, seen in which shape, and held against which baseline.

use crate::baselines::BaselineEntry;
use crate::fields::{Fields, count, text, wrong};
use crate::names::Names;
use crate::problem::Problems;
use crate::raw::{Content as Raw, Node};
use crate::streams::StreamEntry;
use crate::windows::{as_written, downsampling, window};
use functions::{Function, Parameter, ParameterKind};
use model::definition::{Content, Downsampling, Input, Shape, Window};
use std::sync::Arc;

/// How many points a series holds unless it is told.
const SERIES_POINTS: usize = 60;

/// What inputs are read with.
pub(crate) struct Given<'a> {
    /// The function that they are for.
    pub(crate) function: &'a Function,
    pub(crate) streams: &'a Names<'a, StreamEntry>,
    pub(crate) baselines: &'a Names<'a, BaselineEntry>,
    /// The zone of batches that name none.
    pub(crate) zone: &'a Arc<str>,
}

/// What is written of an input beside its baseline.
struct Written<'a> {
    stream: Option<&'a Node>,
    window: Option<&'a Node>,
    downsample: Option<&'a Node>,
}

/// Reads a stream for a parameter that reads one.
pub(crate) fn input(parameter: &Parameter, node: &Node, given: &Given<'_>, problems: &mut Problems) -> Option<Input> {
    const WANTED: &str = "a stream such as { stream: NAME, window: sliding 5m, downsample: p95 }";
    let Raw::Table(_) = &node.content else {
        wrong(node, WANTED, problems);
        return None;
    };
    let mut fields = Fields::of(node, WANTED, problems)?;
    let baseline = fields.take("baseline");
    let stream = match baseline {
        Some(_) => fields.take("stream"),
        None => fields.need("stream", "the name of a stream", problems),
    };
    let written = Written { stream, window: fields.take("window"), downsample: fields.take("downsample") };
    let points = fields.take("points");
    fields.finish(problems);
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
    match baseline {
        Some(baseline) if shape == Shape::Events => {
            let message = format!("{}: `{}` reads events, which have no baseline", baseline.path, parameter.name);
            problems.error(&baseline.place, message);
            None
        }
        Some(baseline) => of_baseline(baseline, &written, shape, given, problems),
        None => of_stream(parameter, node, &written, shape, given, problems),
    }
}

/// An input that names its baseline, which says where its points come from. What is written besides has to agree.
fn of_baseline(
    node: &Node,
    written: &Written<'_>,
    shape: Shape,
    given: &Given<'_>,
    problems: &mut Problems,
) -> Option<Input> {
    let window = written.window.map(|node| (node, window(node, given.zone, problems)));
    let downsample = written.downsample.map(|node| (node, downsampling(node, problems)));
    let stream = written.stream.map(|node| {
        let name = text(node, "the name of a stream", problems);
        (node, name.and_then(|name| Some(given.streams.find(&name, node, problems)?.0)))
    });
    let name = text(node, "the name of a baseline", problems)?;
    let (place, entry) = given.baselines.find(&name, node, problems)?;
    let baseline = &entry.definition;
    let mut right = true;
    let mut disagrees = |node: &Node, found: &str, has: String, help: String| {
        let message = format!("{}: `{found}` found, but the baseline `{name}` has `{has}`", node.path);
        problems.error(&node.place, message).help(help);
        right = false;
    };
    let leave_out = |setting: &str| format!("leave `{setting}` out: it comes from the baseline");
    if let Some((node, found)) = stream
        && found? != baseline.stream
    {
        let of = |stream: usize| given.streams.entries[stream].0.clone();
        disagrees(node, &of(found?), of(baseline.stream), leave_out("stream"));
    }
    if let Some((node, found)) = window {
        let (found, wanted) = (as_written(&found?, given.zone), as_written(&baseline.window, given.zone));
        if found != wanted {
            disagrees(node, &found, wanted, leave_out("window"));
        }
    }
    let mut all = vec![baseline.downsample];
    if let Some((node, found)) = downsample {
        let first = *found.first()?;
        all.extend(found.iter().filter(|other| **other != baseline.downsample));
        if first != baseline.downsample {
            let help = match found.len() {
                1 => leave_out("downsample"),
                _ => format!("what it learns comes first: `downsample: [{}]`", list(&all)),
            };
            disagrees(node, &first.to_string(), baseline.downsample.to_string(), help);
        }
    }
    right.then(|| Input {
        stream: baseline.stream,
        window: Some(baseline.window.clone()),
        downsample: all.into(),
        shape,
        baseline: Some(place),
    })
}

fn list(all: &[Downsampling]) -> String {
    all.iter().map(Downsampling::to_string).collect::<Vec<_>>().join(", ")
}

/// An input that names its stream. It has a baseline where there is exactly one of such points.
fn of_stream(
    parameter: &Parameter,
    node: &Node,
    written: &Written<'_>,
    shape: Shape,
    given: &Given<'_>,
    problems: &mut Problems,
) -> Option<Input> {
    let window = written.window.and_then(|node| window(node, given.zone, problems));
    let downsample = written.downsample.map(|node| downsampling(node, problems)).unwrap_or_default();
    let stream_node = written.stream?;
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
        if let Some(node) = written.downsample {
            problems.error(&node.place, format!("{}: events are not downsampled", node.path));
        }
        if written.window.is_some() && window.is_none() {
            return None;
        }
        return Some(Input { stream, window, downsample: Arc::new([]), shape, baseline: None });
    }
    for (setting, found, such_as) in [
        ("window", written.window, "`sliding 5m` or `batching 1h`"),
        ("downsample", written.downsample, "`average` or `p95`"),
    ] {
        if found.is_none() {
            let message = format!("{}: `{setting}` is missing, {such_as} wanted", node.path);
            problems.error(&node.place, message);
        }
    }
    let (window, first) = (window?, *downsample.first()?);
    let fits = |entry: &BaselineEntry| {
        let baseline = &entry.definition;
        (baseline.stream, &baseline.window, baseline.downsample) == (stream, &window, first)
    };
    let all = given.baselines.entries.iter().enumerate();
    let fitting: Vec<usize> =
        all.filter(|(_, (_, _, entry))| entry.as_ref().is_some_and(fits)).map(|(place, _)| place).collect();
    let baseline = if let [one] = fitting[..] { Some(one) } else { None };
    if parameter.reads_baseline && baseline.is_none() {
        unclear_baseline(parameter, node, (stream, &window, first), &fitting, given, problems);
        return None;
    }
    Some(Input { stream, window: Some(window), downsample: downsample.into(), shape, baseline })
}

/// Says that a function reads a baseline of an input which has none, or may have several.
fn unclear_baseline(
    parameter: &Parameter,
    node: &Node,
    (stream, window, first): (usize, &Window, Downsampling),
    fitting: &[usize],
    given: &Given<'_>,
    problems: &mut Problems,
) {
    let reads = format!("{}: `{}` reads the baseline of `{}`", node.path, given.function.name, parameter.name);
    if !fitting.is_empty() {
        let names: Vec<String> =
            fitting.iter().map(|place| format!("`baseline: {}`", given.baselines.entries[*place].0)).collect();
        let help = format!("write {}", names.join(" or "));
        problems.error(&node.place, format!("{reads}, and several fit")).help(help);
        return;
    }
    // The one that is meant may be among those that are wrong, which has been told.
    if !given.baselines.all_right() {
        return;
    }
    let of_stream: Vec<String> = given
        .baselines
        .iter()
        .filter(|(_, _, entry)| entry.definition.stream == stream)
        .map(|(name, _, entry)| {
            let window = as_written(&entry.definition.window, given.zone);
            format!("`baseline: {name}`, which has `window: {window}, downsample: {}`", entry.definition.downsample)
        })
        .collect();
    let stream = &given.streams.entries[stream].0;
    let function = if matches!(window, Window::Sliding { .. }) { "deviation" } else { "seasonal_median" };
    let window = as_written(window, given.zone);
    let help = match of_stream.is_empty() {
        true => format!(
            "there is no baseline of the stream `{stream}`: add one under `baselines:`, such as\n\
             usual {stream}: {{ stream: {stream}, function: {function}, window: {window}, downsample: {first} }}"
        ),
        false => format!("in place of stream, window and downsampling write\n{}", of_stream.join("\nor ")),
    };
    problems.error(&node.place, format!("{reads}, and there is none of `{window}, {first}`")).help(help);
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
