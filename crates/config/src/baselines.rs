//! Baselines: what metric streams are expected to be, and what learns it.

use crate::arguments::{Unit, describe_value, unit, value, written};
use crate::fields::{Fields, span, text, wrong};
use crate::library::Functions;
use crate::names::{Names, name};
use crate::problem::{Problems, suggest};
use crate::raw::{Content as Raw, Key, Node};
use crate::settings::BaselineBinding;
use crate::streams::StreamEntry;
use crate::windows::{self, DAY};
use functions::{Function, FunctionKind};
use model::Span;
use model::definition::{
    Argument, BaselineDefinition, BaselineFunction, Content, Downsampling, Learner, OnlineModel, Window,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Batches in a training window, and phases in a period, at most.
const MOST_BATCHES: i64 = 10_000;
/// The training window, and how long an online model is kept, where nothing is written.
const FOUR_WEEKS: Span = Span::from_secs(28 * 86_400);
/// How many times the usual residual the bounds of `deviation` lie from the average, where nothing is written.
const SCALES: f64 = 4.0;
/// Sizes that are proposed, in seconds: those that people name and that divide the day.
const SIZES: [i64; 28] = [
    1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 240, 300, 360, 600, 720, 900, 1200, 1800, 2700, 3600, 5400, 7200, 10_800,
    14_400, 21_600, 28_800, 43_200, 86_400,
];

/// What baselines are read with.
pub(crate) struct Around<'a> {
    pub(crate) streams: &'a Names<'a, StreamEntry>,
    pub(crate) functions: &'a Functions,
    /// The zone of batches and models that name none.
    pub(crate) zone: &'a Arc<str>,
}

/// A baseline, and what is said of it.
pub(crate) struct BaselineEntry {
    pub(crate) definition: BaselineDefinition,
    pub(crate) binding: BaselineBinding,
}

/// Reads all baselines. They come in the order of their names, so that inputs know them by their final places.
pub(crate) fn baselines<'b>(
    entries: &[(&Key, &Node)],
    around: &Around<'_>,
    broken: &'b BTreeSet<String>,
    problems: &mut Problems,
) -> Names<'b, BaselineEntry> {
    let mut entries = entries.to_vec();
    entries.sort_by(|a, b| a.0.text.cmp(&b.0.text));
    let mut names = Names::new("baseline", broken);
    for (key, node) in entries {
        let name = name(key, problems);
        let entry = baseline(&name, key, node, around, problems);
        names.add(name, &key.place, entry, problems);
    }
    names
}

/// What is written beside stream, function and downsampling.
struct Rest<'a> {
    key: &'a Key,
    path: &'a str,
    /// The window, or where it is missing.
    window: &'a Node,
    arguments: Option<&'a Node>,
    period: Option<&'a Node>,
    train: Option<&'a Node>,
    adapt_after: Option<&'a Node>,
    keep: Option<&'a Node>,
}

fn baseline(name: &str, key: &Key, node: &Node, around: &Around<'_>, problems: &mut Problems) -> Option<BaselineEntry> {
    const WANTED: &str =
        "a baseline such as { stream: NAME, function: seasonal_median, window: batching 1h, downsample: average }";
    const FUNCTION: &str = "a baseline function, `deviation` or `novelty`";
    let mut fields = Fields::of(node, WANTED, problems)?;
    let stream_node = fields.need("stream", "the name of a metric stream", problems);
    let function_node = fields.need("function", FUNCTION, problems);
    let window_node = fields.need("window", "a window such as `batching 1h`", problems);
    let downsample_node = fields.need("downsample", "a downsampling such as `average`", problems);
    let zone_node = fields.take("zone");
    let rest = Rest {
        key,
        path: &node.path,
        window: window_node.unwrap_or(node),
        arguments: fields.take("arguments"),
        period: fields.take("period"),
        train: fields.take("train"),
        adapt_after: fields.take("adapt_after"),
        keep: fields.take("keep"),
    };
    fields.finish(problems);
    let stream = stream_node.and_then(|node| stream(node, around, problems));
    let window = window_node.and_then(|node| windows::window(node, around.zone, problems));
    let downsample = downsample_node.and_then(|node| downsample(node, problems));
    let zone = zone(window.as_ref(), zone_node, around, problems);
    let function_name = function_node.and_then(|node| text(node, FUNCTION, problems));
    let learner = match function_node.zip(function_name.as_deref()) {
        None => None,
        Some((_, "deviation")) => {
            let scales = scales(&rest, problems).map(|scales| OnlineModel::Deviation { scales });
            online(scales, window.as_ref(), &rest, problems)
        }
        Some((_, "novelty")) => {
            let model = no_arguments(&rest, problems).map(|()| OnlineModel::Novelty);
            online(model, window.as_ref(), &rest, problems)
        }
        Some((node, name)) => {
            let function = around.functions.find(name, FunctionKind::Baseline, node, problems);
            let unit = match stream.zip(downsample) {
                Some((stream, downsample)) => unit(stream, Some(downsample), around.streams),
                None => Unit::NotKnown,
            };
            let arguments = function.and_then(|function| arguments(function, &unit, stream, &rest, around, problems));
            let batch = batch(window.as_ref(), &rest, problems);
            let lengths = lengths(batch, &rest, problems);
            let made = function.zip(arguments).zip(lengths);
            made.map(|((function, arguments), Lengths { period, train, adapt_after, keep })| {
                let function = function.name.clone();
                (Learner::Function(BaselineFunction { function, arguments, period, train, adapt_after }), keep)
            })
        }
    };
    let (learner, keep) = learner?;
    let definition = BaselineDefinition {
        name: name.into(),
        stream: stream?,
        window: window?,
        downsample: downsample?,
        zone: zone?,
        keep,
        learner,
    };
    let binding = binding(&definition, around);
    Some(BaselineEntry { definition, binding })
}

fn stream(node: &Node, around: &Around<'_>, problems: &mut Problems) -> Option<usize> {
    let name = text(node, "the name of a metric stream", problems)?;
    let (stream, entry) = around.streams.find(&name, node, problems)?;
    if entry.content == Content::Events {
        problems
            .error(&node.place, format!("{}: `{name}` is an event stream, a metric stream is wanted", node.path))
            .help("with `as: count` or `as: { field: /pointer }` a stream of events is read as a metric");
        return None;
    }
    Some(stream)
}

fn downsample(node: &Node, problems: &mut Problems) -> Option<Downsampling> {
    match windows::downsampling(node, problems)[..] {
        [] => None,
        [one] => Some(one),
        [first, ..] => {
            let message = format!("{}: several found, exactly one wanted", node.path);
            let help = format!("write `downsample: {first}`, and a baseline of its own for each other");
            problems.error(&node.place, message).help(help);
            None
        }
    }
}

/// The zone whose clock gives the phase. That of batches is their window's.
fn zone(
    window: Option<&Window>,
    node: Option<&Node>,
    around: &Around<'_>,
    problems: &mut Problems,
) -> Option<Arc<str>> {
    let written = node.map(|node| (node, windows::zone_setting(node, problems)));
    match (window, written) {
        (Some(Window::Batching { size, .. }), Some((node, zone))) => {
            let message = format!("{}: the window has the zone of batches", node.path);
            let zone = zone.as_deref().unwrap_or("Europe/Amsterdam");
            problems.error(&node.place, message).help(format!("write `window: batching {size} in {zone}` instead"));
            None
        }
        (Some(Window::Batching { zone, .. }), None) => Some(zone.clone()),
        (_, Some((_, zone))) => zone,
        (_, None) => Some(around.zone.clone()),
    }
}

/// An online model with how long it is kept.
fn online(
    model: Option<OnlineModel>,
    window: Option<&Window>,
    rest: &Rest<'_>,
    problems: &mut Problems,
) -> Option<(Learner, Span)> {
    let mut right = true;
    for node in [rest.period, rest.train, rest.adapt_after].into_iter().flatten() {
        let message = format!("{}: an online model learns from each point", node.path);
        problems.error(&node.place, message).help("leave it out");
        right = false;
    }
    let least = window.map_or(Span::ZERO, windows::width);
    let written = length(rest.keep, problems);
    let keep = written.and_then(|written| keep(written, rest, FOUR_WEEKS, (least, "the window"), problems));
    model.filter(|_| right).map(Learner::Online).zip(keep)
}

/// A length of time that may be left out; nothing where what is written is none.
fn length(node: Option<&Node>, problems: &mut Problems) -> Option<Option<Span>> {
    node.map_or(Some(None), |node| span(node, false, problems).map(Some))
}

/// How long what was learned is kept: at least as long as something else.
fn keep(
    written: Option<Span>,
    rest: &Rest<'_>,
    default: Span,
    (least, what): (Span, &str),
    problems: &mut Problems,
) -> Option<Span> {
    let default = default.max(least);
    let Some((keep, node)) = written.zip(rest.keep) else { return Some(default) };
    if keep < least {
        let message = format!("{}: {keep} found, at least {what} of {least} wanted", node.path);
        problems.error(&node.place, message).help(format!("write `keep: {default}`"));
        return None;
    }
    Some(keep)
}

/// The one argument of `deviation`.
fn scales(rest: &Rest<'_>, problems: &mut Problems) -> Option<f64> {
    const WANTED: &str = "arguments such as { scales: 4 }";
    let Some(node) = rest.arguments else { return Some(SCALES) };
    let mut fields = Fields::of(node, WANTED, problems)?;
    let scales = fields.take("scales");
    let more = fields.rest().next().is_some();
    fields.finish(problems);
    let scales = match scales.map(|node| (node, &node.content)) {
        None => Some(SCALES),
        Some((_, Raw::Number(number, _))) if *number > 0.0 && number.is_finite() => Some(*number),
        Some((node, _)) => {
            wrong(node, "a number above 0", problems);
            None
        }
    };
    scales.filter(|_| !more)
}

fn no_arguments(rest: &Rest<'_>, problems: &mut Problems) -> Option<()> {
    match rest.arguments.map(|node| (node, &node.content)) {
        None | Some((_, Raw::Nothing)) => Some(()),
        Some((_, Raw::Table(entries))) if entries.is_empty() => Some(()),
        Some((node, _)) => {
            problems.error(&node.place, format!("{}: `novelty` takes none", node.path)).help("leave them out");
            None
        }
    }
}

/// The arguments of a baseline function: literals, and labels that the instances of its stream have.
fn arguments(
    function: &Function,
    unit: &Unit,
    stream: Option<usize>,
    rest: &Rest<'_>,
    around: &Around<'_>,
    problems: &mut Problems,
) -> Option<Vec<(Arc<str>, Argument)>> {
    let written = written(function, rest.arguments, rest.key, rest.path, problems)?;
    let (mut all, mut right) = (Vec::new(), written.known);
    for parameter in &function.parameters {
        let node = written.get(parameter);
        let argument = value(parameter, node, unit, problems);
        if let (Some(Argument::Label(label)), Some(node), Some(stream)) = (&argument, node, stream) {
            let (name, _, entry) = &around.streams.entries[stream];
            let each = entry.as_ref().map(|entry| entry.each.as_slice()).unwrap_or_default();
            if !each.contains(label) {
                let message = format!("{}: the stream `{name}` has no label `{label}` in its `each`", node.path);
                problems.error(&node.place, message).help(suggest(label, each.iter().map(|label| &**label)));
                right = false;
            }
        }
        all.push(argument.map(|argument| (parameter.name.clone(), argument)));
    }
    all.into_iter().collect::<Option<Vec<_>>>().filter(|_| right)
}

/// The size of the batches that a baseline function learns.
fn batch(window: Option<&Window>, rest: &Rest<'_>, problems: &mut Problems) -> Option<Span> {
    let node = rest.window;
    match window? {
        Window::Batching { size, .. } if *size > DAY || DAY.nanos() % size.nanos() == 0 => Some(*size),
        Window::Batching { size, zone } => {
            let message = format!("{}: batches of {size} do not divide the day", node.path);
            let near = |found: Option<i64>| Span::from_secs(found.unwrap_or(86_400));
            let below = near(SIZES.into_iter().rfind(|fits| Span::from_secs(*fits) < *size));
            let above = near(SIZES.into_iter().find(|fits| Span::from_secs(*fits) > *size));
            let written = |size| Window::Batching { size, zone: zone.clone() };
            let help = format!("write `window: {}` or `window: {}`", written(below), written(above));
            problems.error(&node.place, message).help(help);
            None
        }
        Window::Sliding { .. } => {
            problems
                .error(&node.place, format!("{}: a baseline function learns batches, not sliding windows", node.path))
                .help("write `window: batching 1h`, or let an online model learn: `function: deviation`");
            None
        }
    }
}

/// The lengths of time of a baseline function.
struct Lengths {
    period: Span,
    train: Span,
    adapt_after: Span,
    keep: Span,
}

fn lengths(batch: Option<Span>, rest: &Rest<'_>, problems: &mut Problems) -> Option<Lengths> {
    let [period, train, adapt_after, kept] =
        [rest.period, rest.train, rest.adapt_after, rest.keep].map(|node| length(node, problems));
    let batch = batch?;
    let period = match period? {
        Some(period) => period,
        None if batch <= Span::from_secs(12 * 3600) => DAY,
        None => batch.times(7),
    };
    fits_period(period, batch, rest, problems)?;
    // As many whole periods as there may be batches.
    let most = period.times(batch.times(MOST_BATCHES).nanos() / period.nanos());
    let proposed = FOUR_WEEKS.max(period.times(2));
    let train = match train? {
        None => proposed,
        Some(train) if train >= period => train,
        Some(train) => {
            let node = rest.train.unwrap_or(rest.window);
            let message = format!("{}: {train} found, at least the period of {period} wanted", node.path);
            problems.error(&node.place, message).help(format!("write `train: {}`", proposed.min(most)));
            return None;
        }
    };
    few_enough(("train", rest.train), train, batch, period, rest, problems)?;
    let adapt_after = adapt_after.and_then(|written| adapts(written, batch, period, train, rest, problems));
    let keep = kept.and_then(|written| keep(written, rest, train, (train, "the training window"), problems));
    Some(Lengths { period, train, adapt_after: adapt_after?, keep: keep? })
}

/// Whether the period is a multiple of the batch, and not of too many.
fn fits_period(period: Span, batch: Span, rest: &Rest<'_>, problems: &mut Problems) -> Option<()> {
    let node = rest.period.unwrap_or(rest.window);
    if period.nanos() % batch.nanos() == 0 {
        return few_enough(("period", rest.period), period, batch, period, rest, problems);
    }
    let times = (period.nanos() + batch.nanos() / 2) / batch.nanos();
    let mut help = format!("write `period: {}`", batch.times(times.max(1)));
    if let Some(size) = sizes(period).rfind(|size| *size < batch) {
        help.push_str(&format!(" or `window: batching {size}`"));
    }
    problems
        .error(&node.place, format!("{}: {period} found, a multiple of the batch of {batch} wanted", node.path))
        .help(help);
    None
}

/// Sizes of batches that divide a period.
fn sizes(period: Span) -> impl DoubleEndedIterator<Item = Span> {
    SIZES.into_iter().map(Span::from_secs).filter(move |size| period.nanos() % size.nanos() == 0)
}

/// Refuses a length of time that has too many batches.
fn few_enough(
    (setting, node): (&str, Option<&Node>),
    length: Span,
    batch: Span,
    period: Span,
    rest: &Rest<'_>,
    problems: &mut Problems,
) -> Option<()> {
    let count = (length.nanos() + batch.nanos() - 1) / batch.nanos();
    if count <= MOST_BATCHES {
        return Some(());
    }
    let written = if node.is_some() { "" } else { ", the default," };
    let most = batch.times(MOST_BATCHES);
    let most = if setting == "train" { period.times(most.nanos() / period.nanos()) } else { most };
    let mut help = format!("write `{setting}: {most}` or less");
    let longest = if rest.train.is_some() { length } else { length.max(FOUR_WEEKS) };
    if let Some(size) = sizes(period).find(|size| size.times(MOST_BATCHES) >= longest) {
        help = format!("write `window: batching {size}`, or `{setting}: {most}` or less");
    }
    let message = format!(
        "{}.{setting}: {length}{written} has {count} batches of {batch}, at most {MOST_BATCHES} wanted",
        rest.path
    );
    problems.error(&node.unwrap_or(rest.window).place, message).help(help);
    None
}

/// How long anomalous batches have to go on to be what is normal. They are known for as long as they are kept.
fn adapts(
    written: Option<Span>,
    batch: Span,
    period: Span,
    train: Span,
    rest: &Rest<'_>,
    problems: &mut Problems,
) -> Option<Span> {
    let most = (train - batch).max(batch);
    let Some((adapt_after, node)) = written.zip(rest.adapt_after) else { return Some(period.min(most)) };
    let (wanted, help) = if adapt_after < batch {
        (format!("at least the batch of {batch}"), "a shorter time would make every anomaly normal at once".to_owned())
    } else if adapt_after > most {
        let wanted = format!("at most {most}, which is shorter than the training window,");
        (wanted, format!("write `adapt_after: {}`", period.min(most)))
    } else {
        return Some(adapt_after);
    };
    problems.error(&node.place, format!("{}: {adapt_after} found, {wanted} wanted", node.path)).help(help);
    None
}

/// What is said of a baseline.
fn binding(baseline: &BaselineDefinition, around: &Around<'_>) -> BaselineBinding {
    let mut settings: Vec<(Arc<str>, String)> = Vec::new();
    let function = match &baseline.learner {
        Learner::Online(model) => {
            if let OnlineModel::Deviation { scales } = model {
                settings.push(("scales".into(), scales.to_string()));
            }
            model.name().into()
        }
        Learner::Function(function) => {
            settings.extend(function.arguments.iter().map(|(name, argument)| (name.clone(), describe_value(argument))));
            let lengths =
                [("period", function.period), ("train", function.train), ("adapt_after", function.adapt_after)];
            settings.extend(lengths.map(|(name, length)| (name.into(), length.to_string())));
            function.function.clone()
        }
    };
    if let Window::Sliding { .. } = baseline.window {
        settings.push(("zone".into(), baseline.zone.to_string()));
    }
    settings.push(("keep".into(), baseline.keep.to_string()));
    let stream = &around.streams.entries[baseline.stream].0;
    let input = format!("stream {stream}, {}, {}", baseline.window, baseline.downsample);
    BaselineBinding { baseline: baseline.name.clone(), function, input, settings }
}
