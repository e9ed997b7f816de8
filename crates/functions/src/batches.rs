//! The batches of a training window as baseline functions see them. All selections from one window are lists of
//! places in it, so that taking some of them copies no batch.

use crate::host::{error, worked};
use crate::series::{place_of, register_statistics};
use crate::smoothing::{self, Forecast, Gains, Observation};
use crate::statistics;
use crate::values::{brief, incomparable, printable, printed};
use crate::{BaselineCall, TrainingBatch};
use model::{Span, Time};
use rhai::{Dynamic, Engine, EvalAltResult};
use std::sync::Arc;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// Some batches of a training window, oldest first.
#[derive(Clone, Debug)]
pub(crate) struct Batches {
    window: Arc<Training>,
    /// Places in the window, ascending.
    places: Arc<[u32]>,
    /// Whether others than the anomalous were left out.
    narrowed: bool,
}

#[derive(Debug)]
struct Training {
    batches: Vec<TrainingBatch>,
    next: Next,
}

/// What is known of the batch that comes next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next {
    /// Its place in the fundamental period.
    pub(crate) phase: u32,
    /// How many batches a fundamental period has; at least 1.
    pub(crate) phases: u32,
    /// Where it begins.
    pub(crate) start: Time,
    /// The length of a batch where the clock does not change; positive.
    size: Span,
}

/// One of the batches.
#[derive(Clone, Debug)]
pub(crate) struct BatchView {
    window: Arc<Training>,
    place: u32,
}

impl Batches {
    /// Those of a call that are not anomalous.
    pub(crate) fn new(call: &BaselineCall<'_>) -> Batches {
        let phases = call.phases.max(1);
        let size = Span::from_nanos((call.period.nanos() / i64::from(phases)).max(1));
        let next = Next { phase: call.phase, phases, start: call.start, size };
        let normal = (0..).zip(call.batches).filter(|(_, batch)| !batch.anomalous).map(|(place, _)| place);
        Batches {
            places: normal.collect(),
            window: Arc::new(Training { batches: call.batches.to_vec(), next }),
            narrowed: false,
        }
    }

    /// What is known of the batch that comes next.
    pub(crate) fn next(&self) -> Next {
        self.window.next
    }

    fn with_anomalous(&self) -> Result<Batches> {
        if self.narrowed {
            let advice = "it belongs before what selects: p.batches.with_anomalous().same_phase()";
            return Err(error(format!("with_anomalous() brings back all batches; {advice}")));
        }
        Ok(Batches { places: (0..).zip(&self.window.batches).map(|(place, _)| place).collect(), ..self.clone() })
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = &TrainingBatch> + ExactSizeIterator {
        self.places.iter().map(|place| &self.window.batches[*place as usize])
    }

    /// The values of all; an error where there is none.
    fn values(&self) -> Result<Vec<f64>> {
        if self.places.is_empty() {
            return Err(error("there are no batches to reckon with"));
        }
        Ok(self.numbers())
    }

    fn numbers(&self) -> Vec<f64> {
        worked(self.places.len());
        self.iter().map(|batch| batch.value).collect()
    }

    fn batch(&self, place: u32) -> BatchView {
        BatchView { window: self.window.clone(), place }
    }

    /// The batch at an index that counts from the end where it is negative.
    fn at(&self, index: i64) -> Result<BatchView> {
        match place_of(index, self.places.len()) {
            Some(place) => Ok(self.batch(self.places[place])),
            None => Err(error(format!("there is no batch {index}: there are {}", self.places.len()))),
        }
    }

    /// Those whose phase is at most so many from that of the batch that comes next, around the period's end too.
    fn same_phase(&self, neighbours: i64) -> Result<Batches> {
        let Ok(neighbours) = u64::try_from(neighbours) else {
            return Err(error(format!("same_phase({neighbours}): a number of neighbours from 0 is wanted")));
        };
        let Next { phase, phases, .. } = self.window.next;
        Ok(self.chosen(|batch| {
            let apart = batch.phase.abs_diff(phase);
            u64::from(apart.min(phases.saturating_sub(apart))) <= neighbours
        }))
    }

    fn phase(&self, phase: i64) -> Result<Batches> {
        let phases = self.window.next.phases;
        match u32::try_from(phase).ok().filter(|phase| *phase < phases) {
            Some(phase) => Ok(self.chosen(|batch| batch.phase == phase)),
            None => Err(error(format!("phase({phase}) lies outside 0 to {}", phases - 1))),
        }
    }

    fn chosen(&self, test: impl Fn(&TrainingBatch) -> bool) -> Batches {
        worked(self.places.len());
        let places = self.places.iter().copied().filter(|place| test(&self.window.batches[*place as usize]));
        Batches { window: self.window.clone(), places: places.collect(), narrowed: true }
    }

    /// At most so many, from one end.
    fn some(&self, name: &str, most: i64) -> Result<Batches> {
        let Ok(most) = usize::try_from(most) else {
            return Err(error(format!("{name}({most}): a number of batches from 0 is wanted")));
        };
        let count = self.places.len();
        let most = most.min(count);
        let range = if name == "oldest" { 0..most } else { count - most..count };
        worked(most);
        Ok(Batches { window: self.window.clone(), places: self.places[range].into(), narrowed: true })
    }

    /// How far the values lie from the median of their own phase: the median of that.
    fn mad_by_phase(&self) -> Result<f64> {
        let values = self.values()?;
        let mut all: Vec<(u32, f64)> = self.iter().map(|batch| batch.phase).zip(values).collect();
        all.sort_by_key(|(phase, _)| *phase);
        let mut distances = Vec::with_capacity(all.len());
        for of_phase in all.chunk_by(|(a, _), (b, _)| a == b) {
            let values: Vec<f64> = of_phase.iter().map(|(_, value)| *value).collect();
            let middle = statistics::median(&values);
            distances.extend(values.iter().map(|value| (value - middle).abs()));
        }
        Ok(statistics::median(&distances))
    }

    /// The forecast for the batch that comes next; nothing while too little is known.
    fn holt_winters(&self, gains: Gains) -> Option<Forecast> {
        let Next { phase, phases, start, size } = self.window.next;
        worked(2 * self.places.len() + phases as usize);
        let steps = |from: Time, to: Time| ((to - from).as_secs_f64() / size.as_secs_f64()).round().max(1.0);
        let mut step = 0.0;
        let mut last = None;
        let observations = self.iter().map(|batch| {
            step += last.map_or(0.0, |last| steps(last, batch.start));
            last = Some(batch.start);
            Observation { step, phase: batch.phase, value: batch.value }
        });
        let observations: Vec<Observation> = observations.collect();
        let next = (step + last.map_or(0.0, |last| steps(last, start)), phase);
        smoothing::holt_winters(&observations, phases, next, gains)
    }
}

impl BatchView {
    fn get(&self) -> &TrainingBatch {
        &self.window.batches[self.place as usize]
    }
}

impl IntoIterator for Batches {
    type Item = BatchView;
    type IntoIter = Box<dyn Iterator<Item = BatchView>>;
    fn into_iter(self) -> Self::IntoIter {
        Box::new((0..self.places.len()).map(move |place| self.batch(self.places[place])))
    }
}

/// What this module offers to scripts: as written there, and what it means.
pub(crate) const REFERENCE: &[(&str, &str)] = &[
    ("batches.with_anomalous()", "all batches of the training window, also those that a check found anomalous"),
    ("batches.same_phase()", "those of the same phase as the batch that comes next"),
    (
        "batches.same_phase(neighbours)",
        "those of its phase and of so many on either side, around the end of the period",
    ),
    ("batches.phase(n)", "those of phase `n`, from 0 to `p.phases - 1`"),
    ("batches.newest(n), batches.oldest(n)", "at most `n` from one end"),
    ("batches.len(), batches.count(), batches.is_empty()", "how many there are"),
    ("batches[0], batches[-1], batches.first, batches.last", "one batch; negative indexes count from the end"),
    ("for batch in batches { .. }", "all batches, oldest first"),
    ("batch.value, batch.count", "its value as it was learned (with seven digits); how many samples lay in it"),
    ("batch.start, batch.end, batch.phase", "its bounds, and its place in the fundamental period, from 0"),
    ("batch.anomalous", "whether a check found it anomalous"),
    ("batches.values()", "the values as an array"),
    ("batches.minimum(), batches.maximum(), batches.sum(), batches.mean()", "of the values"),
    ("batches.stddev()", "the standard deviation of the sample (divisor n - 1)"),
    ("batches.median(), batches.percentile(90)", "the median; a percentile by nearest rank"),
    (
        "batches.mad()",
        "the median absolute deviation from the median, unscaled (Hampel 1974): times 1.4826 it estimates the \
         standard deviation of what is normally distributed",
    ),
    (
        "batches.mad_by_phase()",
        "the same of the values' distances from the median of their own phase, which a season does not widen",
    ),
    (
        "batches.ewma(gain)",
        "the exponentially weighted mean (Roberts 1959): the newest batch weighs 1, each older one 1 - gain times its \
         successor; `gain` lies above 0 and is at most 1",
    ),
    ("batches.ewm_stddev(gain)", "the standard deviation of the sample under the same weights; 0 for a single batch"),
    (
        "batches.holt_winters(level, trend, season)",
        "the forecast of additive exponential smoothing (Holt 1957, Winters 1960) for the batch that comes next, by \
         the gains of level, trend and season, each from 0 to 1. It begins from the first two periods; missing \
         batches count as time that passed. `()` with less than two periods, and where the phase was never seen",
    ),
    (
        "forecast.average, forecast.error",
        "what it expects; the root mean square of the errors of its forecasts, from the second period on",
    ),
];

/// Registers the types and functions of this module.
pub(crate) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Batches>("batches")
        .register_get("is_empty", |batches: &mut Batches| batches.places.is_empty())
        .register_fn("is_empty", |batches: &mut Batches| batches.places.is_empty())
        .register_get("first", |batches: &mut Batches| batches.at(0))
        .register_fn("first", |batches: &mut Batches| batches.at(0))
        .register_get("last", |batches: &mut Batches| batches.at(-1))
        .register_fn("last", |batches: &mut Batches| batches.at(-1))
        .register_indexer_get(|batches: &mut Batches, index: i64| batches.at(index))
        .register_iterator::<Batches>()
        .register_fn("with_anomalous", |batches: &mut Batches| batches.with_anomalous())
        .register_fn("same_phase", |batches: &mut Batches| batches.same_phase(0))
        .register_fn("same_phase", |batches: &mut Batches, neighbours: Dynamic| {
            batches.same_phase(whole("same_phase", &neighbours)?)
        })
        .register_fn("phase", |batches: &mut Batches, phase: Dynamic| batches.phase(whole("phase", &phase)?))
        .register_fn("mad_by_phase", |batches: &mut Batches| batches.mad_by_phase())
        .register_fn("ewma", |batches: &mut Batches, gain: Dynamic| {
            let gain = positive_gain("ewma", &gain)?;
            batches.values().map(|values| smoothing::ewma(&values, gain).0)
        })
        .register_fn("ewm_stddev", |batches: &mut Batches, gain: Dynamic| {
            let gain = positive_gain("ewm_stddev", &gain)?;
            batches.values().map(|values| smoothing::ewma(&values, gain).1)
        })
        .register_fn(
            "holt_winters",
            |batches: &mut Batches, level: Dynamic, trend: Dynamic, season: Dynamic| -> Result<Dynamic> {
                let gain = |value| gain("holt_winters", value);
                let gains = Gains { level: gain(&level)?, trend: gain(&trend)?, season: gain(&season)? };
                Ok(batches.holt_winters(gains).map_or(Dynamic::UNIT, Dynamic::from))
            },
        );
    for name in ["len", "count"] {
        engine
            .register_get(name, |batches: &mut Batches| batches.places.len() as i64)
            .register_fn(name, |batches: &mut Batches| batches.places.len() as i64);
    }
    for name in ["newest", "oldest"] {
        engine.register_fn(name, move |batches: &mut Batches, most: Dynamic| batches.some(name, whole(name, &most)?));
    }
    register_statistics(engine, Batches::values, Batches::numbers);
    incomparable::<Batches>(engine, "; `.last.value` is its newest number");
    printable(engine, |batches: &Batches| format!("{} batches", batches.places.len()));
    engine
        .register_type_with_name::<BatchView>("batch")
        .register_get("start", |batch: &mut BatchView| batch.get().start)
        .register_get("end", |batch: &mut BatchView| batch.get().end)
        .register_get("value", |batch: &mut BatchView| batch.get().value)
        .register_get("count", |batch: &mut BatchView| batch.get().count as i64)
        .register_get("phase", |batch: &mut BatchView| i64::from(batch.get().phase))
        .register_get("anomalous", |batch: &mut BatchView| batch.get().anomalous);
    incomparable::<BatchView>(engine, "; `.value` is the batch's number");
    printable(engine, |batch: &BatchView| brief(batch.get().value));
    engine
        .register_type_with_name::<Forecast>("forecast")
        .register_get("average", |forecast: &mut Forecast| forecast.average)
        .register_get("error", |forecast: &mut Forecast| forecast.error);
    incomparable::<Forecast>(engine, "; `.average` is what it expects");
    printable(engine, |forecast: &Forecast| brief(forecast.average));
}

/// A whole number: parameters have decimals, so one of these counts too where there are none.
fn whole(function: &str, value: &Dynamic) -> Result<i64> {
    let of_decimals = || value.as_float().ok().filter(|number| number.fract() == 0.0).map(|number| number as i64);
    match value.as_int().ok().or_else(of_decimals) {
        Some(whole) => Ok(whole),
        None => Err(error(format!("{function}({}): a whole number is wanted", printed(value)))),
    }
}

/// A number from 0 to 1.
fn gain(function: &str, value: &Dynamic) -> Result<f64> {
    let number = value.as_float().or_else(|_| value.as_int().map(|whole| whole as f64));
    match number.ok().filter(|number| (0.0..=1.0).contains(number)) {
        Some(gain) => Ok(gain),
        None => Err(error(format!("{function}: the gain {} lies outside 0 to 1", printed(value)))),
    }
}

/// A number above 0, at most 1.
fn positive_gain(function: &str, value: &Dynamic) -> Result<f64> {
    match gain(function, value)? {
        0.0 => Err(error(format!("{function}: a gain above 0 is wanted"))),
        gain => Ok(gain),
    }
}

/// The name of the kind, for values of this module.
pub(crate) fn kind(value: &Dynamic) -> Option<&'static str> {
    match value {
        _ if value.is::<Batches>() => Some("set of batches"),
        _ if value.is::<BatchView>() => Some("batch"),
        _ if value.is::<Forecast>() => Some("forecast"),
        _ => None,
    }
}

/// The number that a value of this module stands for.
pub(crate) fn number(value: &Dynamic) -> Option<f64> {
    match value.read_lock::<BatchView>() {
        Some(batch) => Some(batch.get().value),
        None => value.read_lock::<Forecast>().map(|forecast| forecast.average),
    }
}

/// The numbers that a value of this module stands for.
pub(crate) fn numbers(value: &Dynamic) -> Option<Vec<f64>> {
    value.read_lock::<Batches>().map(|batches| batches.numbers())
}
