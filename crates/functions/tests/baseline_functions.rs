//! The baseline functions that come with Vitalsign, against implementations that are as simple as can be.

mod common;

use common::{arguments, baseline, number, told_band, training};
use functions::{Function, Library, Seen, TrainingBatch, shipped};
use model::definition::Limits;
use model::{Band, Value};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

static LIBRARY: LazyLock<Library> =
    LazyLock::new(|| Library::compile(shipped(), &Limits::default()).unwrap_or_else(|errors| panic!("{errors:?}")));

/// All that is shipped, with its counterpart: the training window that is not anomalous and the phase of what comes
/// next go in.
type Naive = fn(&Window, &dyn Fn(&str) -> f64) -> Option<Band>;
const SHIPPED: [(&str, Naive); 5] = [
    ("ewma", ewma),
    ("holt_winters", holt_winters),
    ("min_max", min_max),
    ("percentile_band", percentile_band),
    ("seasonal_median", seasonal_median),
];

fn function(name: &str) -> Arc<Function> {
    LIBRARY.function(name).expect("it is shipped").clone()
}

/// A training window hour by hour, without anomalies: nothing where there is no batch.
struct Window {
    hours: Vec<Option<f64>>,
    phases: usize,
}

impl Window {
    fn values(&self) -> Vec<f64> {
        self.hours.iter().flatten().copied().collect()
    }

    /// The values whose phase is at most so far from that of the hour that comes next.
    fn near(&self, neighbours: usize) -> Vec<f64> {
        let next = self.hours.len() % self.phases;
        let near = |phase: usize| {
            (0..=neighbours).any(|apart| (phase + apart) % self.phases == next || (next + apart) % self.phases == phase)
        };
        let hours = self.hours.iter().enumerate().filter(|(hour, _)| near(hour % self.phases));
        hours.filter_map(|(_, value)| *value).collect()
    }
}

fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0
}

fn percentile(values: &[f64], percent: f64) -> f64 {
    let sorted = sorted(values);
    *sorted
        .iter()
        .enumerate()
        .find(|(place, _)| (place + 1) as f64 >= percent / 100.0 * sorted.len() as f64)
        .expect("one")
        .1
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    sorted
}

/// Mean and standard deviation of a sample under these weights.
fn weighted(values: &[f64], weights: &[f64]) -> (f64, f64) {
    let sum = |of: &dyn Fn(usize) -> f64| (0..values.len()).map(of).sum::<f64>();
    let weight = sum(&|i| weights[i]);
    let mean = sum(&|i| weights[i] * values[i]) / weight;
    let divisor = weight - sum(&|i| weights[i] * weights[i]) / weight;
    let squares = sum(&|i| weights[i] * (values[i] - mean).powi(2));
    (mean, if values.len() > 1 { (squares / divisor).sqrt() } else { 0.0 })
}

fn around(average: f64, below: f64, above: f64, argument: &dyn Fn(&str) -> f64) -> Option<Band> {
    let least = (argument("least_ratio") * average.abs()).max(argument("least"));
    Band::new(average, average - below.max(least), average + above.max(least)).ok()
}

fn min_max(window: &Window, _: &dyn Fn(&str) -> f64) -> Option<Band> {
    let sorted = sorted(&window.values());
    let (lower, higher) = (*sorted.first()?, *sorted.last()?);
    let mean = window.values().iter().sum::<f64>() / sorted.len() as f64;
    Band::new(mean.clamp(lower, higher), lower, higher).ok()
}

fn seasonal_median(window: &Window, argument: &dyn Fn(&str) -> f64) -> Option<Band> {
    let values = window.near(0);
    let count = values.len() as f64;
    if values.len() < 2 || count < argument("minimum") {
        return None;
    }
    let next = window.hours.len() % window.phases;
    let distances = (0..window.phases).filter(|phase| {
        let apart = phase.abs_diff(next);
        apart.min(window.phases - apart) as f64 <= argument("neighbours")
    });
    let distances = distances.flat_map(|phase| {
        let values: Vec<f64> = window.hours.iter().skip(phase).step_by(window.phases).flatten().copied().collect();
        let middle = if values.is_empty() { 0.0 } else { median(&values) };
        values.into_iter().map(move |value| (value - middle).abs())
    });
    let mut deviation = 1.4826 * median(&distances.collect::<Vec<_>>());
    if deviation == 0.0 {
        deviation = weighted(&values, &vec![1.0; values.len()]).1;
    }
    let distance = argument("width") * deviation * (count + 2.0) / (count - 1.0);
    around(median(&values), distance, distance, argument)
}

fn ewma(window: &Window, argument: &dyn Fn(&str) -> f64) -> Option<Band> {
    let values = if argument("seasonal") == 1.0 { window.near(0) } else { window.values() };
    if values.is_empty() || (values.len() as f64) < argument("minimum") {
        return None;
    }
    let weights = (0..values.len()).rev().map(|age| (1.0 - argument("gain")).powi(age as i32));
    let (mean, deviation) = weighted(&values, &weights.collect::<Vec<_>>());
    let distance = argument("width") * deviation;
    around(mean, distance, distance, argument)
}

fn percentile_band(window: &Window, argument: &dyn Fn(&str) -> f64) -> Option<Band> {
    let values = window.near(argument("neighbours") as usize);
    if values.is_empty() || (values.len() as f64) < argument("minimum") {
        return None;
    }
    let (middle, further) = (median(&values), 1.0 + argument("margin"));
    let below = (middle - percentile(&values, argument("lower"))) * further;
    let above = (percentile(&values, argument("higher")) - middle) * further;
    around(middle, below, above, argument)
}

/// Hour by hour in the form of the textbooks, missing hours included.
fn holt_winters(window: &Window, argument: &dyn Fn(&str) -> f64) -> Option<Band> {
    let [alpha, beta, gamma] = ["level_gain", "trend_gain", "season_gain"].map(argument);
    // Time runs from the first hour that has a value; the phases stay those of the clock.
    let begin = window.hours.iter().position(Option::is_some)?;
    let (hours, phases) = (&window.hours[begin..], window.phases);
    let phase = |hour: usize| (begin + hour) % phases;

    let pairs = (0..phases).filter_map(|hour| {
        let later = hours.get(hour + phases).copied().flatten()?;
        Some((later - hours[hour]?) / phases as f64)
    });
    let pairs: Vec<f64> = pairs.collect();
    let mut trend = if pairs.is_empty() { 0.0 } else { pairs.iter().sum::<f64>() / pairs.len() as f64 };
    let mut season = vec![None; phases];
    for (place, season) in season.iter_mut().enumerate() {
        let hours = hours.iter().enumerate().take(2 * phases).filter(|(hour, _)| phase(*hour) == place);
        let left: Vec<f64> = hours.filter_map(|(hour, value)| Some((*value)? - trend * (hour + 1) as f64)).collect();
        *season = (!left.is_empty()).then(|| left.iter().sum::<f64>() / left.len() as f64);
    }
    let seen: Vec<f64> = season.iter().flatten().copied().collect();
    let mut level = seen.iter().sum::<f64>() / seen.len() as f64;
    season.iter_mut().flatten().for_each(|season| *season -= level);

    let mut errors = Vec::new();
    let (mut known, mut missing) = (level, 0.0); // The level at the last hour with a value, and hours since.
    for (hour, value) in hours.iter().enumerate() {
        level += trend;
        missing += 1.0;
        let Some(value) = value else { continue };
        let place = phase(hour);
        if let Some(usual) = season[place] {
            if hour >= phases {
                errors.push(value - level - usual);
            }
            level = alpha * (value - usual) + (1.0 - alpha) * level;
            trend = beta * (level - known) / missing + (1.0 - beta) * trend;
            season[place] = Some(gamma * (value - level) + (1.0 - gamma) * usual);
        } else {
            season[place] = Some(value - level);
        }
        (known, missing) = (level, 0.0);
    }
    let average = level + trend + season[phase(hours.len())]?;
    let error = (errors.iter().map(|error| error * error).sum::<f64>() / errors.len() as f64).sqrt();
    let distance = argument("width") * error;
    if errors.is_empty() { None } else { around(average, distance, distance, argument) }
}

/// A value as it is learned, or nothing; and whether it is anomalous.
fn hour() -> impl Strategy<Value = (Option<f32>, bool)> {
    let value = prop_oneof![
        6 => (-100.0f32..1000.0).prop_map(Some),
        2 => (0u8..4).prop_map(|value| Some(f32::from(value))),
        1 => Just(None),
    ];
    (value, prop::bool::weighted(0.1))
}

/// Whole windows: of any values, of the same value throughout, and with a season.
fn hours() -> impl Strategy<Value = Vec<(Option<f32>, bool)>> {
    prop_oneof![
        prop::collection::vec(hour(), 0..200),
        (-1e6f32..1e6, 0..100usize).prop_map(|(value, count)| vec![(Some(value), false); count]),
        prop::collection::vec((hour(), 0.0f32..10.0), 0..100).prop_map(|hours| {
            let season = |(place, ((value, anomalous), noise)): (usize, ((Option<f32>, bool), f32))| {
                (value.map(|_| 500.0 + 40.0 * (place % 24) as f32 + noise), anomalous)
            };
            hours.into_iter().enumerate().map(season).collect()
        }),
    ]
}

fn batches(hours: &[(Option<f32>, bool)], phases: u32) -> (Vec<TrainingBatch>, u32) {
    let text = hours.iter().map(|(value, anomalous)| match value {
        Some(value) => format!("{}{}", f64::from(*value), if *anomalous { "!" } else { "" }),
        None => "_".to_owned(),
    });
    training(&text.collect::<Vec<_>>().join(" "), phases)
}

proptest! {
    #[test]
    fn each_says_what_its_definition_says(
        hours in hours(),
        phases in 1u32..30,
        neighbours in 0u8..3,
        width in 0.0f64..5.0,
        gain in 0.01f64..0.9,
        seasonal: bool,
        least in prop_oneof![Just(0.0), 0.0f64..10.0],
    ) {
        let window = Window {
            hours: hours.iter().map(|(value, anomalous)| value.filter(|_| !anomalous).map(f64::from)).collect(),
            phases: phases as usize,
        };
        for (name, naive) in SHIPPED {
            let function = function(name);
            let wanted = [
                ("neighbours", number(f64::from(neighbours))), ("width", number(width)), ("gain", number(gain)),
                ("level_gain", number(gain)), ("least", number(least)), ("seasonal", Seen::Value(Value::Boolean(seasonal))),
            ];
            let given: Vec<(&str, Seen)> = wanted
                .into_iter()
                .filter(|(name, _)| function.parameters.iter().any(|parameter| &*parameter.name == *name))
                .collect();
            let held = arguments(&function, &given);
            let argument = |name: &str| match held.iter().find(|(known, _)| &**known == name) {
                Some((_, Seen::Value(Value::Number(number)))) => *number,
                Some((_, Seen::Value(Value::Boolean(boolean)))) => f64::from(u8::from(*boolean)),
                other => panic!("{other:?}"),
            };
            let found = baseline(&function, &batches(&hours, phases), phases, &given);
            let wanted = naive(&window, &argument);
            let told = format!("{name}: {found:?}, {wanted:?} is wanted");
            match (found, wanted) {
                (Ok(None), None) => {}
                (Ok(Some(found)), Some(wanted)) => {
                    let scale = wanted.average.abs() + (wanted.higher - wanted.lower) + 1.0;
                    let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * scale;
                    prop_assert!(near(found.average, wanted.average), "{}", told);
                    prop_assert!(near(found.lower, wanted.lower) && near(found.higher, wanted.higher), "{}", told);
                }
                _ => prop_assert!(false, "{}", told),
            }
        }
    }

    #[test]
    fn none_fails_whatever_was_learned(
        values in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::ZERO | prop::num::f32::SUBNORMAL, 0..80),
        phases in 1u32..30,
    ) {
        let hours: Vec<(Option<f32>, bool)> = values.iter().map(|value| (Some(*value), false)).collect();
        for (name, _) in SHIPPED {
            let found = baseline(&function(name), &batches(&hours, phases), phases, &[]);
            prop_assert!(found.is_ok(), "{}: {:?}", name, found);
        }
    }
}

#[track_caller]
fn check(name: &str, values: &str, phases: u32, given: &[(&str, f64)], wanted: &str) {
    let given: Vec<(&str, Seen)> = given.iter().map(|(name, value)| (*name, number(*value))).collect();
    assert_eq!(told_band(baseline(&function(name), &training(values, phases), phases, &given)), wanted);
}

#[test]
fn min_max_is_all_that_was_seen() {
    check("min_max", "3 1 _ 5 99!", 24, &[], "3 (1 to 5)");
    check("min_max", "_ 99!", 24, &[], "nothing");
    check("min_max", "7 7 7", 24, &[], "7 (7 to 7)");
}

#[test]
fn seasonal_median_is_of_its_phase_and_not_moved_by_outliers() {
    let window = "10 50 10 90 11 52 9 91 9 900 12 92 12 50 11 89 10";
    check("seasonal_median", window, 4, &[("neighbours", 0.0), ("width", 1.0)], "51 (48.0348 to 53.9652)");
    check("seasonal_median", window, 4, &[("neighbours", 1.0), ("width", 1.0)], "51 (48.0348 to 53.9652)");
    check("seasonal_median", window, 4, &[("least", 30.0), ("width", 1.0)], "51 (21 to 81)");
    check("seasonal_median", "1 2 3 4 5 6 7 8", 4, &[], "nothing");
}

#[test]
fn a_metric_that_never_changes_has_a_band() {
    let constant = ["200"; 50].join(" ");
    for name in ["seasonal_median", "ewma", "percentile_band", "holt_winters"] {
        check(name, &constant, 4, &[], "200 (190 to 210)");
        check(name, &constant, 4, &[("least", 25.0)], "200 (175 to 225)");
    }
    let rests = [&["0"; 12][..], &["8", "0", "0", "0"]].concat().join(" ");
    // More than half of the values are the same: the standard deviation of 0 0 0 8 counts, which is 4.
    check("seasonal_median", &rests, 4, &[("width", 0.0), ("least", 1.0)], "0 (-1 to 1)");
    check("seasonal_median", &rests, 4, &[("width", 1.0)], "0 (-8 to 8)");
}

#[test]
fn percentile_band_may_be_wider_above() {
    let window = "10 11 10 12 10 14 10 30 11 10";
    check("percentile_band", window, 1, &[("margin", 1.0), ("neighbours", 0.0)], "10.5 (9.5 to 49.5)");
    check("percentile_band", window, 1, &[("lower", 60.0)], {
        "error at 20:40: lower is 60.0, higher 98.0: the median lies between them"
    });
}
