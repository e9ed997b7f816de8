//! Checks: functions bound to elements, with their arguments, and what must fit together between them.

use crate::arguments::{Unit, Written, describe, unit, value, written};
use crate::baselines::BaselineEntry;
use crate::elements::ElementEntry;
use crate::fields::{Fields, choice, items, labels, text, wrong};
use crate::inputs::{Given, input};
use crate::library::Functions;
use crate::names::{Names, name};
use crate::problem::{Place, Problems};
use crate::raw::{Content as Raw, Key, Node};
use crate::settings::Binding;
use crate::sources::child;
use crate::streams::StreamEntry;
use functions::{Function, FunctionKind};
use model::definition::{Argument, CheckDefinition, Input, Quorum, Shape, Target};
use model::{Element, Labels, Span, State, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What checks are read with.
pub(crate) struct Around<'a> {
    pub(crate) streams: &'a Names<'a, StreamEntry>,
    pub(crate) baselines: &'a Names<'a, BaselineEntry>,
    pub(crate) components: &'a Names<'a, ElementEntry>,
    pub(crate) relations: &'a Names<'a, ElementEntry>,
    pub(crate) functions: &'a Functions,
    /// The zone of batches that name none.
    pub(crate) zone: &'a Arc<str>,
}

/// A check, and what it is bound to.
pub(crate) struct CheckEntry {
    pub(crate) definition: CheckDefinition,
    pub(crate) binding: Binding,
}

/// Reads all checks.
pub(crate) fn checks<'b>(
    entries: &[(&Key, &Node)],
    around: &Around<'_>,
    broken: &'b BTreeSet<String>,
    problems: &mut Problems,
) -> Names<'b, CheckEntry> {
    let mut names = Names::new("check", broken);
    for (key, node) in entries {
        let name = name(key, problems);
        let entry = check(&name, key, node, around, problems);
        names.add(name, &key.place, entry, problems);
    }
    names
}

fn check(name: &str, key: &Key, node: &Node, around: &Around<'_>, problems: &mut Problems) -> Option<CheckEntry> {
    let mut fields = Fields::of(node, "a check such as { on: checkout, function: threshold }", problems)?;
    let on_node = fields.need("on", "the elements it is bound to", problems);
    let function_node = fields.need("function", "the name of a check function", problems);
    let arguments_node = fields.take("arguments");
    let trigger = fields.take("for").and_then(|node| quorum(node, problems)).unwrap_or_default();
    let recover = fields.take("recover_for").and_then(|node| quorum(node, problems)).unwrap_or_default();
    let missing = fields.take("on_missing").and_then(|node| on_missing(node, problems));
    let (on_missing, missing_after) = missing.unwrap_or((Some(State::Unknown), None));
    let on_error =
        fields.take("on_error").and_then(|node| choice(node, &[("keep", false), ("unknown", true)], problems));
    fields.finish(problems);
    let targets = on_node.map(|node| targets(node, around, problems));
    let function = function_node.and_then(|node| {
        let name = text(node, "the name of a check function", problems)?;
        around.functions.find(&name, FunctionKind::Check, node, problems)
    });
    let (on, function) = (targets?, function?);
    let arguments = arguments(function, arguments_node, key, node, around, problems)?;
    let elements = bound(on.as_ref()?, around);
    if elements.is_empty() {
        let help = "no component and no relation has this type and these labels";
        problems.warn(&key.place, format!("{}: the check is bound to nothing", node.path), help);
    }
    fits(
        &Fitting { path: &node.path, place: &key.place, arguments_node, elements: &elements },
        function,
        &arguments,
        around,
        problems,
    )?;
    let binding = Binding {
        check: name.into(),
        function: function.name.clone(),
        elements: elements.iter().map(|entry| entry.element.to_string()).collect(),
        arguments: arguments
            .iter()
            .map(|(name, argument)| (name.clone(), describe(argument, around.streams, around.baselines)))
            .collect(),
    };
    let definition = CheckDefinition {
        name: name.into(),
        on: on?,
        function: function.name.clone(),
        arguments,
        trigger,
        recover,
        on_missing,
        missing_after,
        unknown_on_error: on_error.unwrap_or(false),
    };
    Some(CheckEntry { definition, binding })
}

/// `3 of 5`, or `3` for three in a row.
fn quorum(node: &Node, problems: &mut Problems) -> Option<Quorum> {
    const WANTED: &str = "a number of results such as `3 of 5`, at most 1000";
    let written = text(node, WANTED, problems)?;
    let (needed, of) = written.split_once(" of ").unwrap_or((&written, &written));
    match (needed.trim().parse::<u32>(), of.trim().parse::<u32>()) {
        (Ok(needed), Ok(of)) if needed >= 1 && needed <= of && of <= 1000 => Some(Quorum { needed, of }),
        (Ok(needed), Ok(of)) if needed > of && of > 0 && needed <= 1000 => {
            wrong(node, WANTED, problems).help(format!("did you mean `{of} of {needed}`?"));
            None
        }
        _ => {
            wrong(node, WANTED, problems);
            None
        }
    }
}

/// `unknown`, `keep`, `critical after 2m`, `after 2m`.
fn on_missing(node: &Node, problems: &mut Problems) -> Option<(Option<State>, Option<Span>)> {
    const WANTED: &str = "`unknown`, `clear`, `deviating`, `critical` or `keep`, perhaps with `after 2m`";
    let written = text(node, WANTED, problems)?;
    let (state, after) = match written.split_once("after ") {
        Some((state, after)) => (state.trim(), Some(after)),
        None => (written.trim(), None),
    };
    let state = match state {
        "keep" => None,
        "" if after.is_some() => Some(State::Unknown),
        _ => match state.parse::<State>() {
            Ok(state) => Some(state),
            Err(_) => {
                let problem = wrong(node, WANTED, problems);
                let known = ["unknown", "clear", "deviating", "critical", "keep"];
                if let Some(state) = crate::problem::nearest(state, known) {
                    problem.help(format!("did you mean `{state}`?"));
                }
                return None;
            }
        },
    };
    match after.map(str::parse::<Span>) {
        None => Some((state, None)),
        Some(Ok(after)) if after > Span::ZERO => Some((state, Some(after))),
        Some(_) => {
            wrong(node, WANTED, problems).help("a duration has a unit: `after 2m`");
            None
        }
    }
}

/// What a check is bound to; nothing where any of it is wrong.
fn targets(node: &Node, around: &Around<'_>, problems: &mut Problems) -> Option<Vec<Target>> {
    let mut all = Vec::new();
    if items(node).is_empty() {
        wrong(node, "an element such as `checkout`, or { type: service }", problems);
    }
    for item in items(node) {
        all.push(match &item.content {
            Raw::Table(_) => matching(item, problems),
            _ => named(item, around, problems),
        });
    }
    all.into_iter().collect()
}

fn named(node: &Node, around: &Around<'_>, problems: &mut Problems) -> Option<Target> {
    let written = text(node, "an element such as `checkout` or `checkout -> payments`", problems)?;
    let element = Element::parse(&written);
    let name = element.to_string();
    let elements = if matches!(element, Element::Component(_)) { around.components } else { around.relations };
    elements.find(&name, node, problems)?;
    Some(Target::Named(element))
}

/// `{ type: service, team: shop }`.
fn matching(node: &Node, problems: &mut Problems) -> Option<Target> {
    let mut fields = Fields::of(node, "elements such as { type: service, team: shop }", problems)?;
    let kind = fields.take("type").and_then(|node| text(node, "a type", problems)).map(Arc::from);
    let listed = fields.take("labels").map(|node| labels(node, problems)).unwrap_or_default();
    let rest: Vec<(String, String)> =
        fields.rest().filter_map(|(key, node)| Some((key.text.clone(), text(node, "a text", problems)?))).collect();
    Some(Target::Matching { kind, labels: listed.with(&Labels::new(rest)) })
}

/// The definitions of elements that targets name. Of a template it is not known which labels its elements will
/// have, so all that can match are bound.
fn bound<'a>(on: &[Target], around: &'a Around<'_>) -> Vec<&'a ElementEntry> {
    let all = around.components.iter().chain(around.relations.iter()).map(|(_, _, entry)| entry);
    let matches = |entry: &ElementEntry, target: &Target| match target {
        Target::Named(element) => *element == entry.element,
        Target::Matching { kind, labels } => {
            kind.as_ref().is_none_or(|kind| *kind == entry.kind)
                && labels.iter().all(|(name, value)| match entry.labels.get(name) {
                    Some(own) => own == value,
                    None => entry.each.contains(name),
                })
        }
    };
    all.filter(|entry| on.iter().any(|target| matches(entry, target))).collect()
}

/// An argument for each parameter, in their order; nothing where any is wrong.
fn arguments(
    function: &Function,
    arguments_node: Option<&Node>,
    key: &Key,
    check_node: &Node,
    around: &Around<'_>,
    problems: &mut Problems,
) -> Option<Vec<(Arc<str>, Argument)>> {
    let written = written(function, arguments_node, key, &check_node.path, problems)?;
    let Around { streams, baselines, zone, .. } = around;
    let given = Given { function, streams, baselines, zone };
    // Streams come first: the numbers beside them are in their unit.
    let mut arguments: Vec<(Arc<str>, Option<Argument>)> = Vec::new();
    for parameter in &function.parameters {
        let argument = written.get(parameter).filter(|_| parameter.kind.reads_stream());
        let argument = argument.and_then(|node| input(parameter, node, &given, problems));
        arguments.push((parameter.name.clone(), argument.map(Argument::Input)));
    }
    let unit = check_unit(function, &arguments, &written, around);
    for (parameter, (_, argument)) in function.parameters.iter().zip(&mut arguments) {
        let node = written.get(parameter);
        if node.is_none() || !parameter.kind.reads_stream() {
            *argument = value(parameter, node, &unit, problems);
        }
    }
    let complete: Option<Vec<_>> = arguments.into_iter().map(|(name, argument)| Some((name, argument?))).collect();
    complete.filter(|_| written.known)
}

/// The unit of the first metric or series that is read.
fn check_unit(
    function: &Function,
    arguments: &[(Arc<str>, Option<Argument>)],
    written: &Written<'_>,
    around: &Around<'_>,
) -> Unit {
    for (parameter, (_, argument)) in function.parameters.iter().zip(arguments) {
        match argument {
            Some(Argument::Input(input)) if input.shape != Shape::Events => {
                return unit(input.stream, input.downsample.first().copied(), around.streams);
            }
            None if parameter.kind.reads_stream() && written.get(parameter).is_some() => return Unit::NotKnown,
            _ => {}
        }
    }
    Unit::NoMetric
}

/// Where the parts of a check stand, for messages.
struct Fitting<'a> {
    path: &'a str,
    place: &'a Place,
    arguments_node: Option<&'a Node>,
    elements: &'a [&'a ElementEntry],
}

impl Fitting<'_> {
    fn place_of(&self, argument: &str) -> Place {
        let node = self.arguments_node.and_then(|node| child(node, argument));
        node.map_or_else(|| self.place.clone(), |node| node.place.clone())
    }
}

/// Whether inputs and labels fit together; nothing where they do not.
fn fits(
    at: &Fitting<'_>,
    function: &Function,
    arguments: &[(Arc<str>, Argument)],
    around: &Around<'_>,
    problems: &mut Problems,
) -> Option<()> {
    let path = at.path;
    let inputs: Vec<(&Arc<str>, &Input)> = arguments
        .iter()
        .filter_map(|(name, argument)| match argument {
            Argument::Input(input) => Some((name, input)),
            _ => None,
        })
        .collect();
    let unwindowed: Vec<&(&Arc<str>, &Input)> = inputs.iter().filter(|(_, input)| input.window.is_none()).collect();
    let many = |input: &Input| matches!(input.shape, Shape::List | Shape::Table);
    let paced = inputs.iter().find(|(_, input)| input.window.is_some() && !many(input));
    let trigger = paced.or(unwindowed.first().copied());
    let Some((trigger_name, trigger)) = trigger else {
        let message = match inputs.is_empty() {
            true => format!("{path}: the function `{}` is given no stream, so it would never run", function.name),
            false => format!("{path}: lists and tables alone do not tell when `{}` runs", function.name),
        };
        problems
            .error(at.place, message)
            .help("give it a `metric`, `series` or `events` argument, whose windows set the pace");
        return None;
    };
    for (name, input) in &unwindowed {
        if !std::ptr::eq(*input, *trigger) {
            let message = format!("{path}: `{name}` has no window, but `{trigger_name}` decides when the check runs");
            problems.error(&at.place_of(name), message).help("write the window whose events the check sees");
            return None;
        }
    }
    let (trigger_stream, _, trigger_entry) = &around.streams.entries[trigger.stream];
    let trigger_each = trigger_entry.as_ref().map(|entry| entry.each.as_slice()).unwrap_or_default();
    let mut right = Some(());
    for element in at.elements {
        let has = |name: &str| element.has_label(name) || trigger_each.iter().any(|label| **label == *name);
        for (name, input) in &inputs {
            let (stream, _, entry) = &around.streams.entries[input.stream];
            let each = entry.as_ref().map(|entry| entry.each.as_slice()).unwrap_or_default();
            let lacking = each.iter().find(|label| !has(label));
            let single = !matches!(input.shape, Shape::List | Shape::Table);
            if let Some(label) = lacking.filter(|_| single) {
                let message = format!(
                    "{path}: `{name}` needs a value of the label `{label}` of the stream `{stream}`, which neither \
                     `{}` nor the stream `{trigger_stream}` has",
                    element.element
                );
                problems
                    .error(&at.place_of(name), message)
                    .help("give the element the label, leave it out of the stream's `each`, or read all instances with a list or table parameter");
                right = None;
            }
        }
        for (parameter, (name, argument)) in function.parameters.iter().zip(arguments) {
            let Argument::Label(label) = argument else { continue };
            let value = element.labels.get(label).filter(|_| !element.each.contains(label));
            let refused = value.and_then(|value| parameter.kind.accept(&Value::Text(value.clone())).err());
            let message = match refused {
                Some(reason) => format!("{path}: the label `{label}` of `{}` does not fit: {reason}", element.element),
                None if has(label) => continue,
                None => format!("{path}: `{name}` is the label `{label}`, which `{}` does not have", element.element),
            };
            problems.error(&at.place_of(name), message);
            right = None;
        }
    }
    right
}
