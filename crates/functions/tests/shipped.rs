//! The functions that come with Vitalsign: what they answer to what they see.

mod common;

use common::{call, events, expected, metric, number, point, series, table, text, told};
use functions::{Function, Library, Seen, reference, shipped};
use model::definition::Limits;
use model::{Band, Point, Reading, State, Value};
use std::sync::Arc;

fn library() -> Library {
    Library::compile(shipped(), &Limits::default()).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn function(name: &str) -> Arc<Function> {
    library().function(name).expect("it is shipped").clone()
}

#[track_caller]
fn check(name: &str, state: State, given: &[(&str, Seen)], wanted: &str) {
    assert_eq!(told(call(&function(name), state, given)), wanted);
}

#[test]
fn all_are_described() {
    let names: Vec<String> = library().iter().map(|function| function.name.to_string()).collect();
    let sorted = "absence compare_instances deviation_from_baseline error_ratio event_pattern event_state ewma \
                  holt_winters min_max novelty percentile_band seasonal_median threshold time_until_limit";
    assert_eq!(names.join(" "), sorted);
    for function in library().iter() {
        assert!(function.summary.ends_with('.'), "{}: {:?}", function.name, function.summary);
        assert!(function.parameters.iter().all(|parameter| !parameter.description.is_empty()), "{}", function.name);
    }
    let reference = reference();
    for wanted in [
        "### seasonal_median (baseline)\n\nWhat is usual",
        "| `width` | number | `3` | how many",
        "### threshold\n\nA metric reaches a threshold.",
        "| `horizon` | duration | `1h` | DEVIATING when",
    ] {
        assert!(reference.contains(wanted), "{wanted:?} is not in\n{reference}");
    }
}

#[test]
fn threshold_is_reached_at_equality() {
    let given = |value| {
        [("metric", metric(value)), ("deviating", number(400.0)), ("critical", number(1000.0)), ("unit", text("ms"))]
    };
    check("threshold", State::Unknown, &given(399.96), "CLEAR: 400 ms");
    check("threshold", State::Unknown, &given(400.0), "DEVIATING: 400 ms, at or above 400 ms");
    check("threshold", State::Critical, &given(999.0), "DEVIATING: 999 ms, at or above 400 ms");
    check("threshold", State::Clear, &given(1000.0), "CRITICAL: 1000 ms, at or above 1000 ms");
}

#[test]
fn threshold_below() {
    let given = |value| [("metric", metric(value)), ("critical", number(5.0)), ("direction", text("below"))];
    check("threshold", State::Unknown, &given(5.1), "CLEAR: 5.1");
    check("threshold", State::Unknown, &given(5.0), "CRITICAL: 5, at or below 5");
    let wrong = [("metric", metric(1.0)), ("critical", number(5.0)), ("direction", text("under"))];
    check("threshold", State::Unknown, &wrong, "error at 17:9: direction is under, above or below is wanted");
    let none = [("metric", metric(1.0))];
    check("threshold", State::Unknown, &none, "error at 19:48: neither deviating nor critical is given");
}

#[test]
fn threshold_keeps_its_state_until_recovery() {
    let given = |value| {
        [("metric", metric(value)), ("deviating", number(80.0)), ("critical", number(90.0)), ("recovery", number(70.0))]
    };
    check("threshold", State::Clear, &given(75.0), "CLEAR");
    check("threshold", State::Unknown, &given(75.0), "CLEAR: 75");
    check("threshold", State::Deviating, &given(75.0), "DEVIATING: 75, not yet back past 70");
    check("threshold", State::Critical, &given(85.0), "CRITICAL: 85, not yet back past 70");
    check("threshold", State::Deviating, &given(95.0), "CRITICAL: 95, at or above 90");
    check("threshold", State::Critical, &given(70.0), "CRITICAL: 70, not yet back past 70");
    check("threshold", State::Critical, &given(69.9), "CLEAR: 69.9");
}

#[test]
fn error_ratio_needs_enough_requests() {
    let given = |errors, total| [("errors", metric(errors)), ("total", metric(total)), ("minimum", number(20.0))];
    check("error_ratio", State::Unknown, &given(0.0, 0.0), "CLEAR: 0 requests, at least 20 are needed to judge");
    check("error_ratio", State::Unknown, &given(19.0, 19.0), "CLEAR: 19 requests, at least 20 are needed to judge");
    check("error_ratio", State::Unknown, &given(0.0, 20.0), "CLEAR: 0% failed (0 of 20)");
    check("error_ratio", State::Unknown, &given(3.0, 300.0), "DEVIATING: 1% failed (3 of 300)");
    check("error_ratio", State::Unknown, &given(20.0, 300.0), "CRITICAL: 6.667% failed (20 of 300)");
}

#[test]
fn event_state_takes_the_newest_that_it_knows() {
    let states = [("firing", State::Critical), ("resolved", State::Clear)];
    let states = Value::Table(states.into_iter().map(|(name, state)| (name.into(), Value::State(state))).collect());
    let given = |bodies: &[&str]| [("events", events(bodies)), ("states", Seen::Value(states.clone()))];
    check("event_state", State::Unknown, &given(&[]), "nothing");
    check("event_state", State::Unknown, &given(&[r#"{"level": 1}"#]), "nothing");
    let fired =
        given(&[r#"{"state": "resolved"}"#, r#"{"state": "firing", "message": "disk full"}"#, r#"{"state": "odd"}"#]);
    check("event_state", State::Clear, &fired, "CRITICAL: disk full");
    check("event_state", State::Critical, &given(&[r#"{"state": "resolved"}"#]), "CLEAR: reported as resolved");
    let mut otherwise = given(&[r#"{"state": "odd"}"#]).to_vec();
    otherwise.push(("otherwise", Seen::Value(Value::State(State::Unknown))));
    check("event_state", State::Clear, &otherwise, "UNKNOWN: reported as odd");
}

#[test]
fn event_pattern_counts() {
    let given = |bodies: &[&str]| [("events", events(bodies)), ("pattern", text("timeout")), ("critical", number(2.0))];
    check("event_pattern", State::Critical, &given(&[]), r#"CLEAR: no event with "timeout""#);
    let other = given(&[r#"{"message": "all well"}"#, r#"{"text": "timeout"}"#]);
    check("event_pattern", State::Unknown, &other, r#"CLEAR: no event with "timeout""#);
    let one = given(&[r#"{"message": "a timeout"}"#, r#"{"message": null}"#]);
    check(
        "event_pattern",
        State::Unknown,
        &one,
        r#"DEVIATING: 1 event with "timeout", the newest at 2026-03-01T12:00:00Z"#,
    );
    let two = given(&[r#"{"message": "a timeout"}"#, r#"{"message": "timeout again"}"#]);
    let answer = call(&function("event_pattern"), State::Unknown, &two).expect("it runs").expect("it speaks");
    assert_eq!((answer.state, &*answer.detail), (State::Critical, "timeout again"));
}

#[test]
fn absence_is_what_does_not_arrive() {
    let given = |value| [("metric", metric(value)), ("minimum", number(3.0))];
    check("absence", State::Unknown, &given(0.0), "CRITICAL: nothing arrived in 1m");
    check("absence", State::Unknown, &given(2.0), "CRITICAL: 2 arrived in 1m, at least 3 are expected");
    check("absence", State::Unknown, &given(3.0), "CLEAR: 3 arrived in 1m");
    let milder = [("metric", metric(0.0)), ("severity", Seen::Value(Value::State(State::Deviating)))];
    check("absence", State::Unknown, &milder, "DEVIATING: nothing arrived in 1m");
}

#[test]
fn time_until_limit_follows_the_line() {
    let given = |values: &[f64], limit| [("metric", series(values)), ("limit", metric(limit))];
    let growing = [10.0, 20.0, 30.0, 40.0];
    check(
        "time_until_limit",
        State::Unknown,
        &given(&growing, 1040.0),
        "CLEAR: the limit of 1040 is reached in 1h40m, now at 40",
    );
    check(
        "time_until_limit",
        State::Unknown,
        &given(&growing, 640.0),
        "CLEAR: the limit of 640 is reached in 1h, now at 40",
    );
    check(
        "time_until_limit",
        State::Unknown,
        &given(&growing, 340.0),
        "DEVIATING: the limit of 340 is reached in 30m, now at 40",
    );
    check(
        "time_until_limit",
        State::Unknown,
        &given(&growing, 140.0),
        "CRITICAL: the limit of 140 is reached in 10m, now at 40",
    );
    check("time_until_limit", State::Unknown, &given(&growing, 40.0), "CRITICAL: 40 has reached the limit of 40");
    check("time_until_limit", State::Unknown, &given(&[40.0, 30.0, 20.0], 50.0), "CLEAR: 20 does not grow towards 50");
    check("time_until_limit", State::Unknown, &given(&[30.0, 30.0, 30.0], 50.0), "CLEAR: 30 does not grow towards 50");
    check("time_until_limit", State::Unknown, &given(&[30.0, 40.0], 50.0), "nothing");
}

#[test]
fn compare_instances_names_who_stands_out() {
    let given = |rows: &[(&str, f64)]| [("metric", metric(250.0)), ("instances", table(rows)), ("unit", text("ms"))];
    let two = given(&[("a", 1.0), ("b", 90.0)]);
    check("compare_instances", State::Unknown, &two, "CLEAR: 2 instances, at least 3 are needed to compare");
    let equal = given(&[("a", 100.0), ("b", 110.0), ("c", 199.0)]);
    check("compare_instances", State::Unknown, &equal, "CLEAR: none stands out; the median of 3 is 110 ms");
    let slow = given(&[("a", 100.0), ("b", 110.0), ("c", 220.0)]);
    check("compare_instances", State::Unknown, &slow, "DEVIATING: c at 220 ms; the median of 3 is 110 ms");
    let broken = given(&[("a", 100.0), ("b", 100.0), ("c", 220.0), ("d", 100.0), ("e", 400.0)]);
    check(
        "compare_instances",
        State::Unknown,
        &broken,
        "CRITICAL: c at 220 ms, e at 400 ms; the median of 5 is 100 ms",
    );
    let idle = given(&[("a", 0.0), ("b", 0.0), ("c", 9.0)]);
    check("compare_instances", State::Unknown, &idle, "CLEAR: the median is 0: nothing to compare with");
    let mut both = given(&[("a", 100.0), ("b", 100.0), ("c", 50.0), ("d", 0.0), ("e", 100.0)]).to_vec();
    both.push(("direction", text("both")));
    check("compare_instances", State::Unknown, &both, "CRITICAL: c at 50 ms, d at 0 ms; the median of 5 is 100 ms");
}

/// A metric whose baseline is 10, from 8 to 14.
fn with_baseline(value: f64, score: Option<f64>, stale: bool) -> (&'static str, Seen) {
    ("metric", Seen::Point(expected(value, score, stale)))
}

#[test]
fn deviation_from_baseline_is_in_units_of_the_band() {
    let name = "deviation_from_baseline";
    let given = |value| [with_baseline(value, None, false), ("unit", text("ms"))];
    check(name, State::Unknown, &given(12.0), "CLEAR: 12 ms, expected 10 ms (8 to 14), deviation 0.5");
    check(name, State::Unknown, &given(14.0), "DEVIATING: 14 ms, expected 10 ms (8 to 14), deviation 1");
    check(name, State::Unknown, &given(15.0), "CRITICAL: 15 ms, expected 10 ms (8 to 14), deviation 1.25");
    check(name, State::Unknown, &given(7.9), "DEVIATING: 7.9 ms, expected 10 ms (8 to 14), deviation -1.05");
    let only = |direction, value| [with_baseline(value, None, false), ("direction", text(direction))];
    check(name, State::Unknown, &only("above", 1.0), "CLEAR: 1, expected 10 (8 to 14), deviation -4.5");
    check(name, State::Unknown, &only("below", 1.0), "CRITICAL: 1, expected 10 (8 to 14), deviation -4.5");
    let wrong = "error at 24:16: direction is up, above, below or both is wanted";
    check(name, State::Unknown, &only("up", 1.0), wrong);
    check(name, State::Clear, &[("metric", metric(3.0))], "UNKNOWN: 3, there is no baseline yet");
    check(name, State::Clear, &given(12.0), "CLEAR");
    check(name, State::Unknown, &[with_baseline(10.0, None, true)], {
        "CLEAR: 10, expected 10 (8 to 14), deviation 0, by an old baseline: its function fails"
    });
    let band = Band::new(0.0, 0.0, 0.0).expect("a band");
    let rests = Point { baseline: Some(Reading { band, score: None, stale: false }), ..point(0, 1.0) };
    check(name, State::Clear, &[("metric", Seen::Point(rests))], {
        "CRITICAL: 1, expected 0 (0 to 0), deviation infinite"
    });
}

#[test]
fn novelty_reads_the_score() {
    check("novelty", State::Clear, &[("metric", metric(3.0))], "UNKNOWN: 3, too little is known yet");
    check("novelty", State::Unknown, &[with_baseline(9.0, Some(0.25), false)], "CLEAR: 9 is not new, score 0.25");
    check("novelty", State::Unknown, &[with_baseline(9.0, Some(1.0), false)], "DEVIATING: 9 is new, score 1");
    let strict = [with_baseline(9.0, Some(2.5), false), ("critical", number(2.0)), ("unit", text("ms"))];
    check("novelty", State::Unknown, &strict, "CRITICAL: 9 ms is new, score 2.5");
    // Without a score the deviation counts, whatever its sign.
    check("novelty", State::Unknown, &[with_baseline(7.0, None, false)], "DEVIATING: 7 is new, score 1.5");
    check("novelty", State::Unknown, &[with_baseline(11.0, None, false)], "CLEAR: 11 is not new, score 0.25");
}
