//! What users rely on, for both models: they say nothing too early, nothing that is no number, nothing about gaps and
//! constants; they get used to what lasts; and a restart does not show.

use model::definition::OnlineModel;
use model::{Reading, Time};
use online::{MOST_BYTES, Model};
use proptest::prelude::*;

const NOVELTY: OnlineModel = OnlineModel::Novelty;
const DEVIATION: OnlineModel = OnlineModel::Deviation { scales: 4.0 };
const BOTH: [OnlineModel; 2] = [NOVELTY, DEVIATION];
const MINUTE_S: f64 = 60.0;
const DAY_S: f64 = 86_400.0;

fn time(seconds: f64) -> Time {
    Time::from_nanos((seconds * 1e9) as i64)
}

/// Values as they are given to models.
fn single(value: f64) -> f64 {
    f64::from(value as f32)
}

/// A model and what it says of points at these seconds.
fn run(model: &mut Model, points: impl IntoIterator<Item = (f64, f64)>) -> Vec<Option<Reading>> {
    let mut said = Vec::new();
    for (seconds, value) in points {
        let (at, value) = (time(seconds), single(value));
        said.push(model.assess(at, at, value));
        model.learn(at, at, value);
    }
    said
}

fn scores(said: &[Option<Reading>]) -> Vec<f64> {
    said.iter().map(|reading| reading.and_then(|reading| reading.score).unwrap_or(0.0)).collect()
}

/// Noise between -1 and 1 that is the same each time.
fn noise(place: usize) -> f64 {
    let mut mixed = (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64 * 2.0 - 1.0
}

/// A service by day and night, a point each minute.
fn service(place: usize) -> (f64, f64) {
    let seconds = place as f64 * MINUTE_S;
    let rhythm = (seconds / DAY_S * std::f64::consts::TAU).sin();
    (seconds, 1000.0 + 400.0 * rhythm + 20.0 * noise(place))
}

#[test]
fn nothing_is_said_of_the_first_points() {
    for model in BOTH {
        let said = run(&mut Model::new(model), (0..100).map(service));
        let first = said.iter().position(Option::is_some);
        assert_eq!(first, Some(50), "{model:?}");
    }
}

#[test]
fn what_is_as_ever_is_no_alert() {
    let said = scores(&run(&mut Model::new(DEVIATION), (0..14 * 1440).map(service)));
    let alerts: Vec<usize> = (1440..said.len()).filter(|place| said[*place] >= 1.0).collect();
    assert_eq!(alerts, [0; 0]);
}

/// Even noise sets a new record now and then, but ever more rarely.
#[test]
fn what_has_been_becomes_no_news() {
    let said = scores(&run(&mut Model::new(NOVELTY), (0..28 * 1440).map(service)));
    let alerts =
        |days: std::ops::Range<usize>| (days.start * 1440..days.end * 1440).filter(|place| said[*place] >= 1.0).count();
    let found = [alerts(1..7), alerts(7..14), alerts(14..28)];
    assert!(
        found[0] <= 10 && found[1] <= 3 && found[2] <= 2,
        "{found:?} alerts in the first week, the second, two more"
    );
}

#[test]
fn a_dip_is_told_at_once_and_its_end_is_none() {
    let mut model = Model::new(DEVIATION);
    run(&mut model, (0..7 * 1440).map(service));
    let dip = 7 * 1440 + 600..7 * 1440 + 660;
    let points = (7 * 1440..8 * 1440).map(|place| {
        let (seconds, value) = service(place);
        (seconds, if dip.contains(&place) { value * 0.5 } else { value })
    });
    let alerts: Vec<usize> = scores(&run(&mut model, points))
        .iter()
        .enumerate()
        .filter(|(_, score)| **score >= 1.0)
        .map(|(place, _)| 7 * 1440 + place)
        .collect();
    assert_eq!(alerts.first(), Some(&dip.start));
    assert!(alerts.iter().all(|place| dip.contains(place)), "{alerts:?} beside {dip:?}");
}

#[test]
fn what_never_was_is_told_once() {
    let is_high = |place: usize| [4000, 4300].iter().any(|start| (*start..start + 10).contains(&place));
    let value = |place: usize| if is_high(place) { 1200.0 } else { 1000.0 + 20.0 * noise(place) };
    let points = (0..5000).map(|place| (place as f64 * MINUTE_S, value(place)));
    let said = scores(&run(&mut Model::new(NOVELTY), points));
    let first = (3900..4100).find(|place| said[*place] >= 1.0);
    assert_eq!(first, Some(4000));
    assert!(said[4001..4031].iter().all(|score| *score == 0.0), "quiet after an alert");
    let again = (4300..4310).find(|place| said[*place] >= 1.0);
    assert_eq!(again, None, "the same height is not new");
}

/// A new level is what is usual after at most so many points.
const ADOPTED_AFTER: usize = 100;

#[test]
fn a_lasting_change_becomes_usual() {
    for (model, factor) in [(DEVIATION, 0.5), (DEVIATION, 3.0), (NOVELTY, 3.0)] {
        let mut taught = Model::new(model);
        run(&mut taught, (0..7 * 1440).map(service));
        let points = (7 * 1440..9 * 1440).map(|place| (service(place).0, service(place).1 + (factor - 1.0) * 1000.0));
        let said = scores(&run(&mut taught, points));
        let last = said.iter().rposition(|score| *score >= 1.0).expect("the change is told");
        assert!(last < ADOPTED_AFTER, "{model:?} {factor}: alert {last} points after the change");
    }
}

#[test]
fn a_constant_is_never_an_alert() {
    for (model, value) in BOTH.into_iter().flat_map(|model| [0.0, 0.1, -7.0, 3e38].map(|value| (model, value))) {
        let said = run(&mut Model::new(model), (0..3000).map(|place| (place as f64 * MINUTE_S, value)));
        assert_eq!(scores(&said).into_iter().fold(0.0, f64::max), 0.0, "{model:?} {value}");
    }
}

#[test]
fn a_gap_is_no_alert() {
    for (model, start, longest) in [
        (DEVIATION, 400, 300),
        (DEVIATION, 3 * 1440 + 200, 1000),
        (DEVIATION, 7 * 1440, 1000),
        (NOVELTY, 7 * 1440, 1000),
    ] {
        for length in [1, 5, 60, 300, 1000].into_iter().filter(|length| *length <= longest) {
            let kept = (0..14 * 1440).filter(|place| !(start..start + length).contains(place));
            let said = scores(&run(&mut Model::new(model), kept.map(service)));
            let alert = said[start..start + 120].iter().position(|score| *score >= 1.0);
            assert_eq!(alert, None, "{model:?}: points after a gap of {length} minutes from minute {start}");
        }
    }
}

#[test]
fn single_events_of_a_sparse_counter_are_no_alert() {
    let count = |place: usize| (place as f64 * MINUTE_S, f64::from(u8::from(noise(place) > 0.96)));
    let said = scores(&run(&mut Model::new(DEVIATION), (0..14 * 1440).map(count)));
    let alerts = said.iter().filter(|score| **score >= 1.0).count();
    assert!(alerts <= 14, "at most one a day where some 30 things happen: {alerts}");
}

#[test]
fn any_interval_will_do() {
    for interval_s in [1.0, 10.0, 300.0, 3600.0, DAY_S] {
        let point = |place: usize| (place as f64 * interval_s, 50.0 + 2.0 * noise(place));
        for model in BOTH {
            let mut taught = Model::new(model);
            let said = scores(&run(&mut taught, (0..3000).map(point)));
            let alerts = said[1000..].iter().filter(|score| **score >= 1.0).count();
            assert!(alerts <= 3, "{model:?} every {interval_s} s: {alerts} alerts");
            let (at, value) = (time(3000.0 * interval_s), 100.0);
            let score = taught.assess(at, at, value).and_then(|reading| reading.score);
            assert!(score > Some(1.0), "{model:?} every {interval_s} s: {score:?}");
        }
    }
}

#[test]
fn memory_is_bounded_and_small_at_first() {
    for model in BOTH {
        let mut taught = Model::new(model);
        run(&mut taught, (0..5).map(service));
        assert!(taught.held_bytes() < 1024, "{model:?}: {} after five points", taught.held_bytes());
        run(&mut taught, (5..21 * 1440).map(service));
        assert!(taught.held_bytes() <= MOST_BYTES, "{model:?}: {}", taught.held_bytes());
        let mut bytes = Vec::new();
        taught.encode(&mut bytes);
        assert!(bytes.len() <= MOST_BYTES, "{model:?}: {} encoded", bytes.len());
    }
}

#[test]
fn other_bytes_are_no_model() {
    for model in BOTH {
        let mut taught = Model::new(model);
        run(&mut taught, (0..1000).map(service));
        let mut bytes = Vec::new();
        taught.encode(&mut bytes);
        assert_eq!(Model::decode(model, &bytes), Some(taught));
        assert_eq!(Model::decode(model, &bytes[..bytes.len() - 1]), None, "too short");
        assert_eq!(Model::decode(model, &[&bytes[..], &[0]].concat()), None, "too long");
        bytes[0] = 99;
        assert_eq!(Model::decode(model, &bytes), None, "another layout");
        assert_eq!(Model::decode(model, &[]), None);
    }
}

/// Series of every sort: intervals that change, gaps, and numbers up to the end of the range.
fn series() -> impl Strategy<Value = Vec<(f64, f64)>> {
    let value = prop_oneof![
        8 => -100.0..100.0_f64,
        2 => Just(0.0),
        1 => any::<f32>().prop_filter("finite", |value| value.is_finite()).prop_map(f64::from),
        1 => prop_oneof![Just(f64::from(f32::MAX)), Just(f64::from(f32::MIN)), Just(1e-45)],
    ];
    let passed = prop_oneof![20 => Just(60.0), 5 => 0.0..10_000.0_f64, 1 => 0.0..4e6_f64];
    prop::collection::vec((passed, value), 0..600).prop_map(|steps| {
        let mut at = 1.7e9;
        let step = |(passed, value)| {
            at += passed;
            (at, value)
        };
        steps.into_iter().map(step).collect()
    })
}

proptest! {
    #[test]
    fn what_is_said_is_a_number_and_the_band_holds_the_average(points in series()) {
        for model in BOTH {
            for (place, reading) in run(&mut Model::new(model), points.clone()).into_iter().enumerate() {
                prop_assert_eq!(reading.is_some(), place >= 50, "{:?} at {}", model, place);
                if let Some(Reading { band, score, stale }) = reading {
                    prop_assert!(!stale);
                    prop_assert!(score.is_some_and(|score| score.is_finite() && score >= 0.0), "{:?}", score);
                    prop_assert!(band.lower <= band.average && band.average <= band.higher, "{:?}", band);
                    prop_assert!(band.lower.is_finite() && band.higher.is_finite(), "{:?}", band);
                }
            }
        }
    }

    #[test]
    fn a_restart_does_not_show(points in series(), share in 0.0..1.0_f64) {
        let cut = (points.len() as f64 * share) as usize;
        for model in BOTH {
            let mut whole = Model::new(model);
            let wanted = run(&mut whole, points.clone());
            let mut first = Model::new(model);
            let mut found = run(&mut first, points[..cut].iter().copied());
            let mut bytes = Vec::new();
            first.encode(&mut bytes);
            let mut second = Model::decode(model, &bytes).expect("the model again");
            found.extend(run(&mut second, points[cut..].iter().copied()));
            prop_assert_eq!(found, wanted);
            prop_assert_eq!(second, whole);
        }
    }
}
