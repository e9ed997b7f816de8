//! The till: what is sold in a minute, with the rhythm of days and weeks. There is a past to it, so that a baseline
//! has something to learn from.

use crate::{Fault, Moment, Output, SECOND, random::Random};
use model::{Span, Time};
use serde_json::json;

pub(crate) const TOPIC: &str = "shop.sales";

const DAY_S: f64 = 86_400.0;
/// What is sold in a minute on average, and the share by which the day moves it.
const MIDDLE: f64 = 100.0;
const SWING: f64 = 0.6;
/// What is left of it at the weekend.
const WEEKEND: f64 = 0.8;
/// In the past the till told once in a minute, now it does every two seconds.
const PAST_EVERY: Span = Span::from_secs(60);

/// What the till writes in this second.
pub(crate) fn write(moment: &Moment, seed: u64, outputs: &mut Vec<Output>) {
    if moment.second % 2 == 0 {
        outputs.push(record(seed, moment.time, moment.broken(Fault::OddSales)));
    }
}

/// What it wrote before `open`, in the order of time.
pub(crate) fn past(seed: u64, open: Time, lasts: Span) -> impl Iterator<Item = Output> {
    let minutes = lasts.nanos() / PAST_EVERY.nanos();
    (0..minutes).rev().map(move |minute| record(seed, open - PAST_EVERY.times(minute) - SECOND, false))
}

/// What is usual at a time: lowest at three in the morning, highest at three in the afternoon.
fn usual(time: Time) -> f64 {
    let seconds = time.nanos() as f64 / 1e9;
    let of_day = SWING * (std::f64::consts::TAU * (seconds / DAY_S - 0.375)).sin();
    // 1970-01-01 was a Thursday.
    let weekend = (seconds / DAY_S + 3.0).rem_euclid(7.0) >= 5.0;
    MIDDLE * (1.0 + of_day) * if weekend { WEEKEND } else { 1.0 }
}

fn record(seed: u64, time: Time, odd: bool) -> Output {
    let mut middle = usual(time);
    if odd {
        // Half of it, or half as much again: always what some other hour of the day would have.
        middle *= if middle >= MIDDLE { 0.5 } else { 1.5 };
    }
    let value = Random::new(seed ^ time.nanos() as u64).around(middle, 0.05);
    let body = json!({ "ts": time.millis(), "name": "sales.per_minute", "value": value });
    let headers = vec![("content-type", b"application/json".to_vec())];
    Output { topic: TOPIC, key: None, value: body.to_string().into_bytes(), headers, time }
}
