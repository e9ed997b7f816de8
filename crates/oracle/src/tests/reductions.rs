//! From samples to numbers.

use super::*;
use crate::reduce;
use std::slice::from_ref;

#[track_caller]
fn sums(values: &[f64], expected: f64) {
    assert_eq!(reduce::exact_sum(values).to_bits(), expected.to_bits(), "{values:?}");
    let reversed: Vec<f64> = values.iter().rev().copied().collect();
    assert_eq!(reduce::exact_sum(&reversed).to_bits(), expected.to_bits(), "{values:?}");
}

#[test]
fn sums_are_exact_and_rounded_once() {
    sums(&[], 0.0);
    sums(&[-0.0], 0.0);
    sums(&[0.1; 10], 1.0);
    sums(&[1e308, 1e308, -1e308], 1e308);
    sums(&[f64::MAX, f64::MAX], f64::INFINITY);
    sums(&[1e100, 1.0, -1e100], 1.0);
    sums(&[-1e100, -3.5, 1e100], -3.5);
    sums(&[1.0, f64::EPSILON / 2.0], 1.0);
    sums(&[1.0, f64::EPSILON / 2.0, 1e-300], 1.0 + f64::EPSILON);
    sums(&[5e-324, 5e-324], 1e-323);
    sums(&[2.2250738585072014e-308, -5e-324], 2.225073858507201e-308);
}

#[track_caller]
fn percentile(percent: u32, values: &[f64], expected: f64) {
    let sample = |value: &f64| reduce::Sample {
        series: ("x".into(), Labels::default()),
        time: Time::from_nanos(0),
        value: *value,
        kind: Kind::Gauge,
    };
    let samples: Vec<reduce::Sample> = values.iter().map(sample).collect();
    let samples: Vec<&reduce::Sample> = samples.iter().collect();
    let found = reduce::reduce(Downsampling::Percentile(1000 * percent), &samples, &[], Span::from_secs(1));
    assert_eq!(found, Some(expected));
}

#[test]
fn percentiles_are_by_nearest_rank_and_of_many_values_by_bucket() {
    percentile(50, &[3.0, 1.0, 2.0, 4.0], 2.0);
    percentile(51, &[3.0, 1.0, 2.0, 4.0], 3.0);
    percentile(100, &[3.0, 1.0], 3.0);
    percentile(1, &[3.0, 1.0], 1.0);
    percentile(50, from_ref(&-7.0), -7.0);
    let mut many: Vec<f64> = (1..=512).map(f64::from).collect();
    percentile(99, &many, 507.0);
    many.push(0.0);
    // The rank is 508 of 513: 507, whose bucket of [506, 508) has the middle of 507 less half a last place.
    percentile(99, &many, (506.0 + 508f64.next_down()) / 2.0);
    // The bucket's middle lies above the greatest value.
    many.iter_mut().for_each(|value| *value = 506.0);
    percentile(99, &many, 506.0);
    many.iter_mut().enumerate().for_each(|(place, value)| *value = if place < 300 { -0.0 } else { -507.0 });
    percentile(50, &many, 0.0);
    percentile(10, &many, -(506.0 + 508f64.next_down()) / 2.0);
}

#[test]
fn a_rate_carries_on_from_before_the_window_and_sees_counters_start_again() {
    let script = |samples: &str| {
        format!("{ONE} check c on=other call=level m=cpu;10s:10s;rate\n active p0\n {samples}\n to 20s\n step")
    };
    // 10s-20s: from 4 at 8s over 10 at 12s and, started again, 3 at 18s: (6 + 3) / 10s.
    points(
        &script("p0 2s cpu:=1\n p0 8s cpu:=4\n p0 12s cpu:=10\n p0 18s cpu:=3\n p0 25s cpu:=3"),
        "cpu {} -10s-0s:\n cpu {} 0s-10s: 0.5 of 2\n cpu {} 10s-20s: 0.9 of 2",
    );
    // Series are rated apart and added: 4 / 8s + 2 / 4s; a series with one sample gives nothing.
    points(
        &script("p0 11s cpu{a=1}=1 12s cpu{a=2}=1 16s cpu{a=2}=3 19s cpu{a=1}=5 19s cpu{a=3}=7\n p0 25s cpu{a=9}=3"),
        "cpu {} 10s-20s: 1 of 5",
    );
    // Deltas are over the nominal width.
    points(&script("p0 11s cpu+=1\n p0 12s cpu+=4\n p0 25s cpu+=9"), "cpu {} 0s-10s:\n cpu {} 10s-20s: 0.5 of 2");
}

#[test]
fn average_last_and_several_at_once() {
    points(
        &format!(
            "{ONE} check c on=other call=level m=cpu;10s:10s;average,last,count
             active p0
             active p1
             p0 15s cpu=1 13s cpu=7
             p1 15s cpu=4
             p0 25s cpu=0
             p1 25s cpu=0
             to 20s
             step"
        ),
        "cpu {} 10s-20s: 4 4 3 of 3",
    );
}
