//! What a function is called with, the `p` of `fn check(p)` and `fn propagate(p)`.

use crate::baseline::BaselineArguments;
use crate::events::Events;
use crate::host::error;
use crate::series::{PointView, Series, Table, label_map};
use crate::values::{incomparable, printable, to_dynamic};
use crate::{CheckCall, Dependency, Parameter, ParameterKind, Seen};
use model::{Element, Labels, State, Time};
use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString};
use std::sync::Arc;

/// What every check function is given beside its parameters.
pub(crate) const CHECK_FIELDS: [&str; 6] = ["element", "labels", "state", "since", "time", "window"];
/// What every propagation function is given.
pub(crate) const PROPAGATION_FIELDS: [&str; 3] = ["element", "own", "dependencies"];

/// The argument of a check function.
#[derive(Clone, Debug)]
pub(crate) struct CheckArguments(Arc<CheckFields>);

#[derive(Debug)]
struct CheckFields {
    element: Element,
    labels: Labels,
    state: State,
    since: Option<Time>,
    time: Time,
    window: Option<(Time, Time)>,
    arguments: Vec<(Arc<str>, Dynamic)>,
}

#[derive(Clone, Copy, Debug)]
struct WindowView {
    start: Time,
    end: Time,
}

/// The argument of a propagation function.
#[derive(Clone, Debug)]
pub(crate) struct PropagationArguments(Arc<(Element, State, Array)>);

#[derive(Clone, Debug)]
struct DependencyView {
    element: Element,
    kind: ImmutableString,
    state: State,
}

impl CheckArguments {
    /// What the call shows to a function with these parameters.
    pub(crate) fn new(parameters: &[Parameter], call: &CheckCall<'_>) -> CheckArguments {
        let arguments = call.arguments.iter().map(|(name, seen)| {
            let listed = || parameters.iter().any(|p| p.name == *name && matches!(p.kind, ParameterKind::List(_)));
            let value = match seen {
                Seen::Value(value) => to_dynamic(value),
                Seen::Point(point) => Dynamic::from(one_point(point)),
                Seen::Points(points) => Dynamic::from(Series::new(points.iter())),
                Seen::Events(events) => Dynamic::from(Events::new(events)),
                Seen::Rows(rows) if listed() => Dynamic::from(Series::new(rows.iter().map(|(_, _, point)| point))),
                Seen::Rows(rows) => Dynamic::from(Table::new(rows)),
            };
            (name.clone(), value)
        });
        CheckArguments(Arc::new(CheckFields {
            element: call.element.clone(),
            labels: call.labels.clone(),
            state: call.state,
            since: call.since,
            time: call.time,
            window: call.window,
            arguments: arguments.collect(),
        }))
    }

    fn argument(&self, name: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        find_argument(&self.0.arguments, name, &CHECK_FIELDS)
    }
}

/// The argument of this name, beside which there are these fields.
pub(crate) fn find_argument(
    arguments: &[(Arc<str>, Dynamic)],
    name: &str,
    fields: &[&str],
) -> Result<Dynamic, Box<EvalAltResult>> {
    let known = || arguments.iter().map(|(name, _)| &**name).chain(fields.iter().copied());
    let found = arguments.iter().find(|(known, _)| &**known == name);
    found.map(|(_, value)| value.clone()).ok_or_else(|| error(unknown_field(name, known())))
}

fn one_point(point: &model::Point) -> PointView {
    Series::new(std::iter::once(point)).point(0)
}

impl PropagationArguments {
    /// What the call shows.
    pub(crate) fn new(element: &Element, own: State, dependencies: &[Dependency<'_>]) -> PropagationArguments {
        let dependencies = dependencies.iter().map(|dependency| {
            let element = dependency.element.clone();
            Dynamic::from(DependencyView { element, kind: dependency.kind.into(), state: dependency.state })
        });
        PropagationArguments(Arc::new((element.clone(), own, dependencies.collect())))
    }
}

/// What to say of a field that is not there.
pub(crate) fn unknown_field<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let near = known.clone().max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
    match near.filter(|near| strsim::jaro_winkler(near, name) > 0.8) {
        Some(near) => format!("there is no parameter `{name}`; did you mean `{near}`?"),
        None => format!("there is no parameter `{name}`: there are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// What this module offers to scripts: as written there, and what it means.
pub(crate) const REFERENCE: &[(&str, &str)] = &[
    ("p.<parameter>", "what a parameter holds"),
    ("p.element, p.labels", "the element; its labels and those of the check's instance, by name"),
    ("p.state, p.since", "the check's state so far, and since when; `()` where it has not spoken yet"),
    ("p.time", "the instant of the evaluation"),
    ("p.window.start, p.window.end, p.window.duration", "the window that closed; `p.window` is `()` without one"),
    ("p.own, p.dependencies", "in a propagation function: the element's own state, and an array of what it depends on"),
    ("dependency.element, dependency.kind, dependency.state", "one of these, with its type and state"),
];

/// Registers the types and functions of this module, without getters for parameters.
pub(crate) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<CheckArguments>("parameters")
        .register_get("element", |p: &mut CheckArguments| p.0.element.clone())
        .register_get("labels", |p: &mut CheckArguments| label_map(&p.0.labels))
        .register_get("state", |p: &mut CheckArguments| p.0.state)
        .register_get("since", |p: &mut CheckArguments| p.0.since.map_or(Dynamic::UNIT, Dynamic::from))
        .register_get("time", |p: &mut CheckArguments| p.0.time)
        .register_get("window", |p: &mut CheckArguments| {
            p.0.window.map_or(Dynamic::UNIT, |(start, end)| Dynamic::from(WindowView { start, end }))
        })
        .register_indexer_get(|p: &mut CheckArguments, name: ImmutableString| p.argument(&name));
    printable(engine, |_: &CheckArguments| "parameters".to_owned());
    engine
        .register_type_with_name::<WindowView>("window")
        .register_get("start", |window: &mut WindowView| window.start)
        .register_get("end", |window: &mut WindowView| window.end)
        .register_get("duration", |window: &mut WindowView| window.end - window.start);
    incomparable::<WindowView>(engine, "; it has start, end and duration");
    printable(engine, |window: &WindowView| format!("{} to {}", window.start, window.end));
    engine
        .register_type_with_name::<PropagationArguments>("parameters")
        .register_get("element", |p: &mut PropagationArguments| p.0.0.clone())
        .register_get("own", |p: &mut PropagationArguments| p.0.1)
        .register_get("dependencies", |p: &mut PropagationArguments| p.0.2.clone())
        .register_indexer_get(|_: &mut PropagationArguments, name: ImmutableString| {
            Err::<Dynamic, _>(error(unknown_field(&name, PROPAGATION_FIELDS.into_iter())))
        });
    printable(engine, |_: &PropagationArguments| "parameters".to_owned());
    engine
        .register_type_with_name::<DependencyView>("dependency")
        .register_get("element", |dependency: &mut DependencyView| dependency.element.clone())
        .register_get("kind", |dependency: &mut DependencyView| dependency.kind.clone())
        .register_get("state", |dependency: &mut DependencyView| dependency.state);
    incomparable::<DependencyView>(engine, "; `.state` is its state");
    printable(engine, |dependency: &DependencyView| format!("{} is {}", dependency.element, dependency.state));
}

/// Registers a getter for each of these parameters; without one the indexer would answer too, but slower.
pub(crate) fn register_names<'a>(engine: &mut Engine, names: impl Iterator<Item = &'a Arc<str>>) {
    for name in names {
        let (of_check, of_baseline) = (name.clone(), name.clone());
        engine
            .register_get(&**name, move |p: &mut CheckArguments| p.argument(&of_check))
            .register_get(&**name, move |p: &mut BaselineArguments| p.argument(&of_baseline));
    }
}

/// The name of the kind, for values of this module.
pub(crate) fn kind(value: &Dynamic) -> Option<&'static str> {
    match value {
        _ if value.is::<CheckArguments>() || value.is::<PropagationArguments>() => Some("set of parameters"),
        _ if value.is::<WindowView>() => Some("window"),
        _ if value.is::<DependencyView>() => Some("dependency"),
        _ => None,
    }
}
