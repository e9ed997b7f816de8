//! Calls of functions, written shortly: what goes in, and the answer as one line of text.
#![allow(dead_code)] // Each test binary uses its part.

use functions::{
    BaselineCall, CheckCall, Dependency, Failure, Function, Library, Script, Seen, TrainingBatch, Verdict,
};
use model::definition::{Downsampling, Limits};
use model::{Band, Element, Event, Labels, Point, Reading, Span, State, Time, Value};
use std::sync::Arc;

/// Noon of the first day of March.
pub(crate) fn noon() -> Time {
    "2026-03-01T12:00:00Z".parse().expect("a time")
}

/// A point of one minute that ends `minute` minutes after noon, with these downsamplings.
pub(crate) fn point_with(minute: i64, values: &[(Downsampling, f64)]) -> Point {
    let end = noon() + Span::from_secs(60 * minute);
    Point {
        start: end - Span::from_secs(60),
        end,
        count: 6,
        values: values.iter().map(|(_, value)| *value).collect(),
        downsample: values.iter().map(|(downsampling, _)| *downsampling).collect(),
        incomplete: false,
        baseline: None,
    }
}

/// The average of a minute.
pub(crate) fn point(minute: i64, value: f64) -> Point {
    point_with(minute, &[(Downsampling::Average, value)])
}

pub(crate) fn metric(value: f64) -> Seen {
    Seen::Point(point(0, value))
}

/// A series of averages, minute by minute, the last one at noon.
pub(crate) fn series(values: &[f64]) -> Seen {
    let first = 1 - values.len() as i64;
    Seen::Points(values.iter().enumerate().map(|(place, value)| point(first + place as i64, *value)).collect())
}

pub(crate) fn table(rows: &[(&str, f64)]) -> Seen {
    let row = |(host, value): &(&str, f64)| (Labels::new([("host", *host)]), Arc::from(*host), point(0, *value));
    Seen::Rows(rows.iter().map(row).collect())
}

/// Events a second apart, the first at noon.
pub(crate) fn events(bodies: &[&str]) -> Seen {
    let event = |(place, body): (usize, &&str)| Event {
        time: noon() + Span::from_secs(place as i64),
        kind: "alert".into(),
        topic: "events".into(),
        partition: 3,
        offset: 100 + place as i64,
        body: (*body).into(),
    };
    Seen::Events(bodies.iter().enumerate().map(event).collect())
}

pub(crate) fn number(value: f64) -> Seen {
    Seen::Value(Value::Number(value))
}

pub(crate) fn text(value: &str) -> Seen {
    Seen::Value(Value::Text(value.into()))
}

pub(crate) fn duration(value: &str) -> Seen {
    Seen::Value(Value::Duration(value.parse().expect("a duration")))
}

/// Compiles one script alone.
pub(crate) fn compile(script: &str, limits: &Limits) -> Arc<Function> {
    let script = Script { name: "tried".to_owned(), path: "tried.rhai".to_owned(), text: script.to_owned() };
    let library = Library::compile([script], limits).unwrap_or_else(|errors| panic!("{errors:?}"));
    library.function("tried").expect("it is there").clone()
}

/// The errors of a script, one a line.
pub(crate) fn complaints(script: &str) -> String {
    let script = Script { name: "tried".to_owned(), path: "tried.rhai".to_owned(), text: script.to_owned() };
    match Library::compile([script], &Limits::default()) {
        Ok(_) => "none".to_owned(),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

/// The arguments of a call: those given, and the defaults of all other parameters.
pub(crate) fn arguments(function: &Function, given: &[(&str, Seen)]) -> Vec<(Arc<str>, Seen)> {
    for (name, _) in given {
        assert!(function.parameters.iter().any(|parameter| &*parameter.name == *name), "no parameter {name}");
    }
    let argument = |parameter: &functions::Parameter| {
        let seen = given.iter().find(|(name, _)| *name == &*parameter.name).map(|(_, seen)| seen.clone());
        let seen = seen.or_else(|| parameter.default.clone().map(Seen::Value));
        (parameter.name.clone(), seen.unwrap_or_else(|| panic!("no argument for {}", parameter.name)))
    };
    function.parameters.iter().map(argument).collect()
}

/// Calls a check function at noon, with the state of the check so far.
pub(crate) fn call(function: &Function, state: State, given: &[(&str, Seen)]) -> Result<Option<Verdict>, Failure> {
    let element = Element::relation("checkout", "payments");
    let labels = Labels::new([("team", "shop"), ("host", "web-1")]);
    function.check(&CheckCall {
        element: &element,
        labels: &labels,
        state,
        since: (state != State::Unknown).then(|| noon() - Span::from_secs(600)),
        time: noon(),
        window: Some((noon() - Span::from_secs(60), noon())),
        arguments: &arguments(function, given),
    })
}

/// The answer as text: `CRITICAL: message`, `nothing`, or `error at 3:7: message`.
pub(crate) fn told(answer: Result<Option<Verdict>, Failure>) -> String {
    match answer {
        Ok(None) => "nothing".to_owned(),
        Ok(Some(verdict)) if verdict.message.is_empty() => verdict.state.to_string(),
        Ok(Some(verdict)) => format!("{}: {}", verdict.state, verdict.message),
        Err(failure) => format!("{} at {}:{}: {}", failure.kind.name(), failure.line, failure.column, failure.message),
    }
}

/// Calls a propagation function on `checkout` with these dependencies.
pub(crate) fn propagated(function: &Function, own: State, dependencies: &[(&str, &str, State)]) -> String {
    let elements: Vec<Element> = dependencies.iter().map(|(name, ..)| Element::parse(name)).collect();
    let dependencies: Vec<Dependency<'_>> = dependencies
        .iter()
        .zip(&elements)
        .map(|((_, kind, state), element)| Dependency { element, kind, state: *state })
        .collect();
    match function.propagate(&Element::component("checkout"), own, &dependencies) {
        Ok(None) => "nothing".to_owned(),
        Ok(Some(state)) => state.to_string(),
        Err(failure) => format!("{} at {}:{}: {}", failure.kind.name(), failure.line, failure.column, failure.message),
    }
}

/// When every training window of these tests begins: a Monday.
pub(crate) fn monday() -> Time {
    "2026-02-02T00:00:00Z".parse().expect("a time")
}

pub(crate) const HOUR: Span = Span::from_secs(3600);

/// The batches of a training window, hour by hour: `3 _ 2.5 9!` has none in its second hour and an anomalous one in
/// its fourth. The second number is how many hours it covers.
pub(crate) fn training(values: &str, phases: u32) -> (Vec<TrainingBatch>, u32) {
    let values: Vec<&str> = values.split_whitespace().collect();
    let batch = |(hour, text): (usize, &&str)| {
        let value = text.trim_end_matches('!').parse().ok()?;
        let start = monday() + HOUR.times(hour as i64);
        let phase = hour as u32 % phases;
        Some(TrainingBatch { start, end: start + HOUR, value, count: 60, phase, anomalous: text.ends_with('!') })
    };
    (values.iter().enumerate().filter_map(batch).collect(), values.len() as u32)
}

/// Calls a baseline function for the batch that follows a training window of so many hours.
pub(crate) fn baseline(
    function: &Function,
    (batches, hours): &(Vec<TrainingBatch>, u32),
    phases: u32,
    given: &[(&str, Seen)],
) -> Result<Option<Band>, Failure> {
    let start = monday() + HOUR.times(i64::from(*hours));
    function.baseline(&BaselineCall {
        labels: &Labels::new([("host", "web-1")]),
        start,
        end: start + HOUR,
        phase: hours % phases,
        phases,
        period: HOUR.times(i64::from(phases)),
        batches,
        arguments: &arguments(function, given),
    })
}

/// The answer as text: `2 (1 to 3)`, `nothing`, or `type at 3:7: message`.
pub(crate) fn told_band(answer: Result<Option<Band>, Failure>) -> String {
    match answer {
        Ok(None) => "nothing".to_owned(),
        Ok(Some(Band { average, lower, higher })) => format!("{average} ({lower} to {higher})"),
        Err(failure) => format!("{} at {}:{}: {}", failure.kind.name(), failure.line, failure.column, failure.message),
    }
}

/// A point with a baseline of 10, from 8 to 14.
pub(crate) fn expected(value: f64, score: Option<f64>, stale: bool) -> Point {
    let band = Band::new(10.0, 8.0, 14.0).expect("a band");
    Point { baseline: Some(Reading { band, score, stale }), ..point(0, value) }
}
