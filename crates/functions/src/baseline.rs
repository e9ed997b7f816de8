//! Calling a baseline function: what it is given, the `p` of `fn baseline(p)`, and the band that it answers.

use crate::arguments::find_argument;
use crate::batches::Batches;
use crate::series::label_map;
use crate::values::{self, brief, incomparable, printable, to_dynamic};
use crate::{Failure, Function, FunctionKind, Seen};
use model::baseline::BandError;
use model::{Band, Labels, Span, Time};
use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, Position};
use std::sync::Arc;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// What every baseline function is given beside its parameters.
pub(crate) const BASELINE_FIELDS: [&str; 7] = ["batches", "period", "phase", "phases", "labels", "start", "end"];

/// One batch of a training window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingBatch {
    /// Where it begins; inclusive.
    pub start: Time,
    /// Where it ends; exclusive.
    pub end: Time,
    /// Its value, as it was learned; finite.
    pub value: f64,
    /// How many samples lay in it.
    pub count: u64,
    /// Its place in the fundamental period, from 0.
    pub phase: u32,
    /// Whether a check found it anomalous, and it is not what has become normal since.
    pub anomalous: bool,
}

/// One call of a baseline function.
#[derive(Clone, Copy, Debug)]
pub struct BaselineCall<'a> {
    /// The labels of the instance.
    pub labels: &'a Labels,
    /// Where the batch that comes next begins: the one that the band is for.
    pub start: Time,
    /// Where it ends.
    pub end: Time,
    /// Its place in the fundamental period, below `phases`.
    pub phase: u32,
    /// How many batches a fundamental period has.
    pub phases: u32,
    /// The fundamental period.
    pub period: Span,
    /// The training window, oldest first; only batches with a value.
    pub batches: &'a [TrainingBatch],
    /// What each parameter holds, in the order of the function's parameters: `Seen::Value` only.
    pub arguments: &'a [(Arc<str>, Seen)],
}

impl Function {
    /// Runs a baseline function. Nothing where it said nothing: then there is no band.
    ///
    /// # Errors
    /// Where the script fails, or what it gives back is no band.
    pub fn baseline(&self, call: &BaselineCall<'_>) -> std::result::Result<Option<Band>, Failure> {
        assert_eq!(self.kind, FunctionKind::Baseline, "`{}` is no baseline function", self.name);
        self.run(BaselineArguments::new(call), |answer| match answer.read_lock::<Expected>() {
            Some(answer) => Ok(Some(answer.band)),
            None if answer.is_unit() => Ok(None),
            None => Err(crate::call::wrong_answer(answer, "baseline(average, lower, higher) or nothing")),
        })
    }
}

/// The argument of a baseline function.
#[derive(Clone, Debug)]
pub(crate) struct BaselineArguments(Arc<BaselineFields>);

#[derive(Debug)]
struct BaselineFields {
    labels: Labels,
    start: Time,
    end: Time,
    period: Span,
    batches: Batches,
    arguments: Vec<(Arc<str>, Dynamic)>,
}

/// A band in a script's hand: what `baseline(..)` makes, and what a point shows of its baseline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) band: Band,
    pub(crate) stale: bool,
}

/// What a script throws where three numbers are no band, so that its failure is told apart from others.
#[derive(Clone, Debug)]
pub(crate) struct NoBand(pub(crate) String);

impl BaselineArguments {
    fn new(call: &BaselineCall<'_>) -> BaselineArguments {
        let arguments = call.arguments.iter().map(|(name, seen)| match seen {
            Seen::Value(value) => (name.clone(), to_dynamic(value)),
            _ => unreachable!("a baseline function reads no stream: `{name}`"),
        });
        BaselineArguments(Arc::new(BaselineFields {
            labels: call.labels.clone(),
            start: call.start,
            end: call.end,
            period: call.period,
            batches: Batches::new(call),
            arguments: arguments.collect(),
        }))
    }

    /// The argument of this name.
    pub(crate) fn argument(&self, name: &str) -> Result<Dynamic> {
        find_argument(&self.0.arguments, name, &BASELINE_FIELDS)
    }
}

/// What this module offers to scripts: as written there, and what it means.
pub(crate) const REFERENCE: &[(&str, &str)] = &[
    ("p.batches", "the batches of the training window that are not anomalous, oldest first"),
    ("p.start, p.end", "the bounds of the batch that comes next: the one that the baseline is for"),
    ("p.phase, p.phases", "its place in the fundamental period, from 0; how many batches that has"),
    ("p.period", "the fundamental period, a duration"),
    ("p.labels", "the labels of the instance, by name"),
    (
        "baseline(average, lower, higher)",
        "the answer: what is expected of the batch that comes next, with bounds in the metric's own unit; \
         `lower <= average <= higher`, all finite. Without an answer there is no baseline for that batch",
    ),
];

/// Registers the types and functions of this module, without getters for parameters.
pub(crate) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<BaselineArguments>("parameters")
        .register_get("batches", |p: &mut BaselineArguments| p.0.batches.clone())
        .register_get("period", |p: &mut BaselineArguments| p.0.period)
        .register_get("phase", |p: &mut BaselineArguments| i64::from(p.0.batches.next().phase))
        .register_get("phases", |p: &mut BaselineArguments| i64::from(p.0.batches.next().phases))
        .register_get("labels", |p: &mut BaselineArguments| label_map(&p.0.labels))
        .register_get("start", |p: &mut BaselineArguments| p.0.start)
        .register_get("end", |p: &mut BaselineArguments| p.0.end)
        .register_indexer_get(|p: &mut BaselineArguments, name: ImmutableString| p.argument(&name));
    printable(engine, |_: &BaselineArguments| "parameters".to_owned());
    engine
        .register_type_with_name::<Expected>("baseline")
        .register_fn("baseline", |average: Dynamic, lower: Dynamic, higher: Dynamic| {
            let found = [average, lower, higher];
            if let Some(wrong) = found.iter().find(|value| !value.is_int() && !value.is_float()) {
                return Err(no_band(format!(
                    "baseline(average, lower, higher) takes numbers, a {} found",
                    values::kind(wrong)
                )));
            }
            let [average, lower, higher] = found.map(|value| match value.as_int() {
                Ok(whole) => whole as f64,
                Err(_) => value.as_float().unwrap_or(f64::NAN),
            });
            expected(average, lower, higher).map_err(|error| no_band(error.to_string()))
        })
        .register_get("average", |expected: &mut Expected| expected.band.average)
        .register_get("lower", |expected: &mut Expected| expected.band.lower)
        .register_get("higher", |expected: &mut Expected| expected.band.higher)
        .register_get("stale", |expected: &mut Expected| expected.stale);
    incomparable::<Expected>(engine, "; it has average, lower and higher");
    printable(engine, |expected: &Expected| {
        let Band { average, lower, higher } = expected.band;
        format!("{} ({} to {})", brief(average), brief(lower), brief(higher))
    });
    engine.register_type_with_name::<NoBand>("error");
    printable(engine, |wrong: &NoBand| wrong.0.clone());
}

fn expected(average: f64, lower: f64, higher: f64) -> std::result::Result<Expected, BandError> {
    Ok(Expected { band: Band::new(average, lower, higher)?, stale: false })
}

fn no_band(message: String) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorRuntime(Dynamic::from(NoBand(message)), Position::NONE))
}

/// The name of the kind, for values of this module.
pub(crate) fn kind(value: &Dynamic) -> Option<&'static str> {
    match value {
        _ if value.is::<BaselineArguments>() => Some("set of parameters"),
        _ if value.is::<Expected>() => Some("baseline"),
        _ if value.is::<NoBand>() => Some("error"),
        _ => None,
    }
}
