//! What scores and alerts are worth, on cases small enough to be counted by hand.

use detection::events::{self, Judged, Quality};
use detection::nab::{self, PROFILES};
use detection::run::Scored;
use model::Time;

/// Points a minute apart with these scores; an alert at 1.
fn scored(scores: impl IntoIterator<Item = f64>) -> Vec<Scored> {
    let point = |(place, score): (usize, f64)| Scored {
        at: Time::from_nanos(place as i64 * 60_000_000_000),
        value: 0.0,
        score,
        alert: score >= 1.0,
    };
    scores.into_iter().enumerate().map(point).collect()
}

/// Points as a text: `.` is quiet, `!` an alert, in capital where labelled: `-` is quiet and labelled, `X` an alert.
fn judged(text: &str) -> Judged {
    let labels = text.chars().map(|c| matches!(c, '-' | 'X')).collect();
    let scores = text.chars().map(|c| if matches!(c, '!' | 'X') { 2.0 } else { 0.5 });
    Judged { scored: scored(scores), labels, learning: 0 }
}

#[track_caller]
fn check(text: &str, by_point: (usize, usize, usize), by_event: (usize, usize, usize), delays: &[usize]) {
    let all = [judged(text)];
    let quality = |(hits, misses, false_alerts)| Quality { hits, misses, false_alerts };
    assert_eq!(events::by_point(&all, 2), quality(by_point), "by point");
    assert_eq!(events::by_event(&all), quality(by_event), "by event");
    assert_eq!(events::delays(&all), delays, "delays");
}

#[test]
fn a_segment_is_found_whole_or_not_at_all() {
    check("..X---..", (4, 0, 0), (1, 0, 0), &[0]);
    check("..--X-..", (4, 0, 0), (1, 0, 0), &[2]);
    // Later than the delay of two: for the points it is missed, for the event it is found late.
    check("..---X..", (0, 4, 0), (1, 0, 0), &[3]);
    check("..----..", (0, 4, 0), (0, 1, 0), &[]);
}

#[test]
fn alerts_close_together_are_one_false_alert() {
    check("!..!.........", (0, 0, 2), (0, 0, 1), &[]);
    check("!...........!", (0, 0, 2), (0, 0, 2), &[]);
    // What goes on after a segment's end costs by the point, and is no new alert.
    check("..X-!!....", (2, 0, 2), (1, 0, 0), &[0]);
    check("--..X", (1, 2, 0), (1, 1, 0), &[0]);
}

#[test]
fn the_best_threshold_is_found_and_set() {
    let mut all = [judged("..X---....!.")];
    all[0].scored[2].score = 9.0;
    let threshold = events::set_best_threshold(&mut all, 2, |all| events::by_point(all, 2).f1());
    assert_eq!((threshold, events::by_point(&all, 2).f1()), (9.0, 1.0));
}

/// 100 points, of which the first 15 are for learning, with the window 50..=59.
fn nab(scores: &[(usize, f64)]) -> [f64; 3] {
    let score = |place: usize| scores.iter().find(|(at, _)| *at == place).map_or(0.0, |(_, score)| *score);
    let scored = scored((0..100).map(score));
    let files = [nab::weigh(&scored, &[(scored[50].at, scored[59].at)])];
    PROFILES.map(|profile| (nab::at_threshold(&files, profile, 1.0) * 100.0).round() / 100.0)
}

/// The figures are those of the benchmark's own scorer.
#[test]
fn detections_are_worth_what_the_benchmark_says() {
    assert_eq!(nab(&[]), [0.0; 3], "silence");
    assert_eq!(nab(&[(50, 1.0)]), [100.0; 3], "at once");
    assert_eq!(nab(&[(59, 1.0)]), [62.41, 62.41, 74.94], "in the last moment");
    assert_eq!(nab(&[(52, 1.0), (55, 2.0)]), [98.86, 98.86, 99.24], "the best counts, once");
    assert_eq!(nab(&[(50, 1.0), (20, 1.0)]), [94.5, 89.0, 96.33], "a false alert before any window");
    assert_eq!(nab(&[(50, 1.0), (60, 1.0)]), [98.51, 97.02, 99.01], "right behind the window");
    assert_eq!(nab(&[(50, 1.0), (10, 9.0)]), [100.0; 3], "while learning nothing counts");
}
