//! Worlds in which much is learned: batches so small that training windows fill within minutes, over a change of the
//! clock, with functions that fail at times, and models; read by checks that show what they were told.

use crate::world::World;
use functions::Script;
use model::{Span, Time};

/// Moments at which a clock changes, with whose clock it is: forward and back, by an hour and by half of one, in the
/// night and at midnight.
const CHANGES: [(&str, &str); 8] = [
    ("2026-03-29T01:00:00Z", "Europe/Amsterdam"),
    ("2026-10-25T01:00:00Z", "Europe/Amsterdam"),
    ("2026-03-08T07:00:00Z", "America/New_York"),
    ("2026-11-01T06:00:00Z", "America/New_York"),
    ("2026-04-04T15:00:00Z", "Australia/Lord_Howe"),
    ("2026-10-03T15:30:00Z", "Australia/Lord_Howe"),
    ("2026-03-08T05:00:00Z", "America/Havana"),
    ("2026-11-01T05:00:00Z", "America/Havana"),
];

/// Baselines of one source, and who reads them: each check has an element of its own, which tells all that it says. The clock's changes are no multiple of a period of 35 s, so phases
/// move with them.
const ONE: &str = r#"
sources:
  metrics:
    topics: [m]
    format: json
    name: "{/name}"
    value: /value
    time: /t in ms
    labels: { host: /host, disk: /disk }
    kind: /kind
    kinds: { counter: cumulative, delta: delta }
    lateness: 4s
    max_ahead: 1m
    max_skew: 1h
streams:
  load:     { source: metrics, select: { metric: load }, each: [host], time_to_live: 25s }
  all load: { source: metrics, select: { metric: load } }
  steady:   { source: metrics, select: { metric: load }, each: [host], time_to_live: 2h }
  requests: { source: metrics, select: { metric: requests }, each: [host], time_to_live: 30s }
  sizes:    { source: metrics, select: { metric: size, host: d }, each: [host, disk], time_to_live: 20s }
components:
  by clock of {host}: { for_each: load }
  by clock shown: { labels: { host: a } }
  follows of {host}: { for_each: load }
  forecast: {}
  forecast shown: {}
  seen: {}
  usual rate of {host}: { for_each: load }
  shaky of {host}: { for_each: load }
  shaky and its past of {host}: { for_each: load }
  counts of {host}: { for_each: load }
  alone: {}
  siblings: { labels: { host: a } }
  unusual of {host}: { for_each: load }
  unusual batch: {}
  never seen of {host}: { for_each: load }
  never seen shown: { labels: { host: a } }
baselines:
  by clock:
    stream: steady
    function: seasonal_median
    arguments: { minimum: 2 }
    window: batching 5s in ZONE
    downsample: average
    period: 35s
    train: 80s
    adapt_after: 20s
    keep: 2m
  follows:
    stream: steady
    function: ewma
    arguments: { minimum: 1, width: 1 }
    window: batching 10s in ZONE
    downsample: maximum
    period: 30s
    train: 40s
    adapt_after: 10s
    keep: 50s
  forecast:
    stream: all load
    function: holt_winters
    window: batching 5s
    downsample: average
    period: 15s
    train: 1m
  seen:
    stream: all load
    function: min_max
    window: batching 5s
    downsample: average
    period: 5s
    train: 25s
    adapt_after: 10s
  usual rate:
    stream: requests
    function: percentile_band
    window: batching 10s
    downsample: rate
    period: 20s
    train: 1m
    keep: 3m
  shaky:
    stream: load
    function: shaky
    arguments: { host: { label: host } }
    window: batching 5s
    downsample: average
    period: 35s
    train: 35s
    keep: 4m
  counts:
    stream: load
    function: counts
    window: batching 10s
    downsample: count
    period: 10s
    train: 70s
    adapt_after: 25s
  alone:
    stream: sizes
    function: needy
    window: batching 5s
    downsample: minimum
    period: 35s
    train: 35s
    keep: 2m
  unread: { stream: all load, function: counts, window: batching 15s, downsample: sum, period: 30s, train: 30s }
  unusual: { stream: load, function: deviation, window: sliding 20s every 5s, downsample: average, zone: ZONE, keep: 90s }
  unusual batch: { stream: all load, function: deviation, arguments: { scales: 1.5 }, window: batching 5s in ZONE, downsample: p50 }
  never seen: { stream: load, function: novelty, window: sliding 10s every 5s, downsample: average, keep: 10m }
checks:
  by clock:
    on: "by clock of {host}"
    function: deviation_from_baseline
    arguments: { metric: { baseline: by clock } }
  by clock, shown:
    on: "by clock shown"
    function: shown
    arguments: { metric: { baseline: by clock } }
  follows:
    on: "follows of {host}"
    function: deviation_from_baseline
    arguments: { metric: { baseline: follows }, direction: above }
    for: 2 of 3
  forecast:
    on: "forecast"
    function: deviation_from_baseline
    arguments: { metric: { baseline: forecast } }
  forecast, shown:
    on: "forecast shown"
    function: shown
    arguments: { metric: { stream: all load, window: batching 5s, downsample: [average, count], baseline: forecast } }
  seen:
    on: "seen"
    function: novelty
    arguments: { metric: { baseline: seen }, critical: 2 }
  usual rate:
    on: "usual rate of {host}"
    function: deviation_from_baseline
    arguments: { metric: { baseline: usual rate } }
    on_missing: keep
  shaky:
    on: "shaky of {host}"
    function: shown
    arguments: { metric: { baseline: shaky } }
  shaky and its past:
    on: "shaky and its past of {host}"
    function: past
    arguments:
      points: { baseline: shaky, points: 4 }
      other:  { baseline: never seen }
  counts:
    on: "counts of {host}"
    function: deviation_from_baseline
    arguments: { metric: { baseline: counts } }
  alone:
    on: "alone"
    function: shown
    arguments: { metric: { baseline: alone } }
  siblings:
    on: "siblings"
    function: siblings
    arguments:
      metric: { baseline: follows }
      others: { baseline: by clock }
  unusual:
    on: "unusual of {host}"
    function: deviation_from_baseline
    arguments: { metric: { baseline: unusual } }
  unusual batch:
    on: "unusual batch"
    function: shown
    arguments: { metric: { baseline: unusual batch } }
  never seen:
    on: "never seen of {host}"
    function: novelty
    arguments: { metric: { baseline: never seen } }
  never seen, shown:
    on: "never seen shown"
    function: shown
    arguments: { metric: { baseline: never seen } }
"#;

/// The same baselines on the agenda of both sources, where other checks judge.
const TWO: &str = r#"
sources:
  happenings:
    topics: [e]
    format: events
    time: /t in ms
    type: /type
    labels: { host: /host }
    lateness: 2s
    max_ahead: 1m
    max_skew: 1h
streams:
  errors: { source: happenings, select: { type: log, field: { /level: error } }, each: [host], time_to_live: 3m }
  logs:   { source: happenings, select: { type: log }, each: [host], time_to_live: 30s, as: count }
  amount: { source: happenings, select: { type: log }, as: { field: /amount } }
components:
  errors beside load of {host}: { for_each: load }
  load beside logs of {host}: { for_each: load }
  load beside amounts of {host}: { for_each: load }
  amounts: {}
baselines:
  amounts:
    stream: amount
    function: counts
    window: batching 10s
    downsample: average
    period: 20s
    train: 40s
    adapt_after: 20s
checks:
  errors beside load:
    on: "errors beside load of {host}"
    function: beside
    arguments:
      events: { stream: errors, window: batching 10s }
      load:   { baseline: follows }
  load beside logs:
    on: "load beside logs of {host}"
    function: judged
    arguments:
      metric: { baseline: by clock }
      other:  { stream: logs, window: batching 10s, downsample: count }
  load beside amounts:
    on: "load beside amounts of {host}"
    function: both
    arguments:
      metric: { baseline: unusual }
      other:  { baseline: amounts }
  amounts:
    on: "amounts"
    function: deviation_from_baseline
    arguments: { metric: { baseline: amounts } }
"#;

const SCRIPTS: [(&str, &str); 9] = [
    (
        // Fails, says nothing, and says what is no band, now and then.
        "shaky",
        "parameters(#{ host: text(\"of which host\") });
         fn baseline(p) {
             if p.batches.is_empty() { return; }
             let last = p.batches.last;
             let kind = (last.value.abs() * 8.0).to_int() % 9;
             if kind == 0 { throw `not after ${last.value} of ${p.host}`; }
             if kind == 1 { return; }
             if kind == 2 { return baseline(1, 2, 3); }
             if kind == 3 { return 7; }
             baseline(p.batches.mean() + p.phase, p.batches.minimum() - last.count, p.batches.maximum() + p.phases)
         }",
    ),
    (
        // Cannot do without batches, but says nothing at some phases: what stands then depends on every call.
        "needy",
        "fn baseline(p) {
             if p.phase == 1 { return; }
             let last = p.batches.last.value;
             baseline(last, last - p.phase, last + 1)
         }",
    ),
    (
        // Looks at all of what was learned, anomalous or not.
        "counts",
        "fn baseline(p) {
             let all = p.batches.with_anomalous();
             if all.is_empty() { return; }
             let found = 0;
             let samples = 0;
             for of in all { if of.anomalous { found += 1; } samples += of.count; }
             let mean = all.mean();
             baseline(mean, mean - found - 1, mean + 1 + samples / 10)
         }",
    ),
    (
        // Tells all that it sees, with a transition for each window, and finds nothing anomalous.
        "shown",
        "parameters(#{ metric: metric(\"m\") });
         fn check(p) {
             let m = p.metric;
             let of = m.baseline;
             let text = if of == () { `${m.value}` } else {
                 `${m.value} in ${of.average} ${of.lower} ${of.higher} ${of.stale}: ${m.deviation} ${m.score}`
             };
             if p.state == CLEAR { unknown(text) } else { clear(text) }
         }",
    ),
    (
        "past",
        "parameters(#{ points: series(\"p\"), other: metric(\"o\") });
         fn check(p) {
             let text = `${p.other.baseline}:`;
             let out = 0;
             for point in p.points {
                 text += ` ${point.baseline}`;
                 if point.deviation != () && point.deviation.abs() > 1 { out += 1; }
             }
             if out > 2 { return critical(text); }
             if p.state == CLEAR { unknown(text) } else { clear(text) }
         }",
    ),
    (
        "siblings",
        "parameters(#{ metric: metric(\"m\"), others: table(metric(\"m\")) });
         fn check(p) {
             let text = `${p.metric.baseline}:`;
             for row in p.others { text += ` ${row.baseline}`; }
             if p.state == CLEAR { unknown(text) } else { clear(text) }
         }",
    ),
    (
        "beside",
        "parameters(#{ events: events(\"e\"), load: metric(\"l\") });
         fn check(p) {
             let text = `${p.events.len} beside ${p.load.value} in ${p.load.baseline}`;
             if p.state == CLEAR { deviating(text) } else { clear(text) }
         }",
    ),
    (
        "judged",
        "parameters(#{ metric: metric(\"m\"), other: metric(\"o\") });
         fn check(p) {
             let text = `${p.metric.baseline} beside ${p.other.value}`;
             if p.other.value > 2 { return deviating(text); }
             if p.state == CLEAR { unknown(text) } else { clear(text) }
         }",
    ),
    (
        "both",
        "parameters(#{ metric: metric(\"m\"), other: metric(\"o\") });
         fn check(p) {
             let text = `${p.metric.baseline} beside ${p.other.value}, ${p.other.baseline}`;
             if (p.metric.value * 4.0).to_int() % 3 == 0 { return critical(text); }
             if p.state == CLEAR { unknown(text) } else { clear(text) }
         }",
    ),
];

/// A world with baselines. Its middle is a moment at which a clock changes.
pub(crate) fn world(seed: u64) -> World {
    let (change, zone) = CHANGES[seed as usize % CHANGES.len()];
    let texts = [ONE, TWO].map(|text| text.replace("ZONE", zone));
    let scripts =
        SCRIPTS.map(|(name, text)| Script { name: name.into(), path: format!("{name}.rhai"), text: text.into() });
    let change: Time = change.parse().expect("a time");
    let half = Span::from_secs(100 + (seed * 37 % 100) as i64);
    World::with(seed, &texts, scripts.into(), change - half, half.times(2))
}
