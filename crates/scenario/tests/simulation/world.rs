//! Random worlds: a configuration with every kind of window, input and binding, and records that are
//! late, out of order, ahead, repeated, silent for a while, and spread over partitions without a key.

use config::{File, Settings};
use functions::Script;
use model::record::Batch;
use model::{Span, Time};
use std::ops::Range;
use std::sync::Arc;

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) start: Time,
    pub(crate) end: Time,
}

pub(crate) struct Partition {
    pub(crate) source: usize,
    name: Arc<str>,
    topic: Arc<str>,
    pub(crate) number: i32,
    pub(crate) appears: Time,
    /// Whether the broker stamps the records with the time at which it appends them.
    stamped: bool,
    pub(crate) records: Vec<Written>,
}

/// A record, and when it was written.
pub(crate) struct Written {
    pub(crate) written: Time,
    value: String,
}

impl Partition {
    pub(crate) fn key(&self) -> (Arc<str>, Arc<str>, i32) {
        (self.name.clone(), self.topic.clone(), self.number)
    }

    pub(crate) fn batch(&self, records: Range<usize>, polled_at: Time) -> Batch {
        let mut batch = Batch::new(self.source, self.topic.clone(), self.number, polled_at);
        for place in records {
            let of = &self.records[place];
            batch.push(place as i64, Some(of.written.millis()), self.stamped, None, Some(of.value.as_bytes()), []);
        }
        batch
    }
}

/// Checks that read one source.
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
  load:
    source: metrics
    select: { metric: load }
    each: [host]
    time_to_live: 45s
    publish:
      - { topic: published.load, window: sliding 20s every 5s, downsample: [count, average] }
      - { topic: published.seconds, window: batching 2s, downsample: count }
  all load: { source: metrics, select: { metric: load }, publish: { topic: published.all, window: batching 15s in Asia/Kathmandu, downsample: [p50, sum] } }
  requests: { source: metrics, select: { metric: requests }, each: [host], time_to_live: 30s, publish: { topic: published.rate, window: sliding 20s, downsample: [rate, last] } }
  sizes:
    source: metrics
    select: { metric: size, host: "!c" }
    each: [host, disk]
    time_to_live: 30s
    publish: { topic: published.sizes, window: sliding 20s every 10s, downsample: [minimum, maximum] }
  all sizes: { source: metrics, select: { metric: size }, each: [host], time_to_live: 2m }
components:
  service:     { type: service }
  store:       { type: service, propagation: none }
  a:           { type: box, labels: { host: a } }
  host {host}: { type: host, for_each: load }
  primary:     { propagation: contrary }
  standby:     {}
  neighbour:   {}
relations:
  - service -> store
  - store -> service
  - service -> host {host}
  - store -> a
  - primary -> standby
  - standby -> primary
  - a -> neighbour
  - neighbour -> a
checks:
  mean load:
    on: host {host}
    function: threshold
    arguments: { metric: { stream: load, window: sliding 20s every 5s, downsample: average }, deviating: 50, critical: 75 }
    for: 2 of 3
    recover_for: 2 of 2
    on_missing: unknown after 15s
  peak:
    on: [service, a, primary]
    function: threshold
    arguments: { metric: { stream: load, window: sliding 10s every 10s, downsample: [p90, maximum] }, deviating: 60, critical: 90 }
    on_missing: critical after 12s
  total:
    on: [service, standby]
    function: threshold
    arguments: { metric: { stream: all load, window: batching 15s in Asia/Kathmandu, downsample: sum }, deviating: 300, critical: 500 }
  rate:
    on: host {host}
    function: threshold
    arguments: { metric: { stream: requests, window: sliding 30s every 10s, downsample: rate }, deviating: 4, critical: 6 }
    on_missing: keep
  trend:
    on: host {host}
    function: trend
    arguments:
      points: { stream: all sizes, window: sliding 20s every 10s, downsample: last, points: 4 }
      load:   { stream: load, window: sliding 20s every 5s, downsample: [minimum, count] }
    on_missing: deviating after 20s
  siblings:
    on: a
    function: siblings
    arguments:
      metric: { stream: load, window: sliding 20s every 5s, downsample: average }
      others: { stream: load, window: sliding 10s every 10s, downsample: last }
    for: 2 of 3
  disk:
    on: { type: host }
    function: threshold
    arguments: { metric: { stream: sizes, window: batching 20s, downsample: [minimum, p50] }, direction: below, deviating: -60, critical: -85 }
    for: 2 of 3
  silent:
    on: [service, { type: host }]
    function: absence
    arguments: { metric: { stream: requests, window: batching 10s, downsample: count }, minimum: 1 }
"#;

/// Checks that read events, alone and beside metrics.
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
  states: { source: happenings, select: { type: state }, each: [host], time_to_live: 40s }
  amount: { source: happenings, select: { type: log }, as: { field: /amount } }
checks:
  error burst:
    on: [service, "host {host}"]
    function: burst
    arguments: { events: { stream: errors, window: sliding 20s every 10s } }
  reported:
    on: [store, { type: host }]
    function: reported
    arguments: { events: { stream: states } }
  stale report:
    on: a
    function: reported
    arguments: { events: { stream: states } }
    on_missing: unknown after 25s
    on_error: unknown
  amounts:
    on: store
    function: threshold
    arguments: { metric: { stream: amount, window: batching 10s, downsample: average }, deviating: 40, critical: 60 }
  errors under load:
    on: host {host}
    function: burst_under_load
    arguments:
      events: { stream: errors, window: batching 10s }
      load: { stream: load, window: sliding 20s every 5s, downsample: average }
"#;

const SCRIPTS: [(&str, &str); 6] = [
    (
        // In a cycle this settles only while what it depends on is in trouble of its own.
        "contrary",
        "fn propagate(p) {
             for of in p.dependencies { if of.state >= DEVIATING { return p.own; } }
             worst(p.own, DEVIATING)
         }",
    ),
    (
        "burst_under_load",
        "parameters(#{ events: events(\"e\"), load: metric(\"l\") });
         fn check(p) { if p.events.len > 0 && p.load.value >= 40 { deviating(`${p.load.value}`) } else { clear() } }",
    ),
    (
        "trend",
        "parameters(#{ points: series(\"p\"), load: metric(\"l\") });
         fn check(p) {
             if p.points.len < 2 { return (); }
             let rise = p.points.last - p.points.first;
             if rise > 40 { critical(`${rise} over ${p.points.len}, load ${p.load.value}`) }
             else if rise > 15 { deviating(`${rise}`) } else { clear() }
         }",
    ),
    (
        "siblings",
        "parameters(#{ metric: metric(\"m\"), others: table(metric(\"m\")) });
         fn check(p) {
             let sum = 0.0;
             for row in p.others { sum += row.value; }
             if p.others.len == 0 { return unknown(\"nobody else\"); }
             if p.metric.value > 1.5 * sum / p.others.len { deviating(`${p.metric.value} of ${sum}`, #{ expires: duration(\"12s\") }) } else { clear() }
         }",
    ),
    (
        "burst",
        "parameters(#{ events: events(\"e\") });
         fn check(p) {
             if p.events.len > 2 { critical(`${p.events.len} errors`) }
             else if p.events.len > 0 { deviating(`${p.events[0].message}`) } else { clear() }
         }",
    ),
    (
        "reported",
        "parameters(#{ events: events(\"e\") });
         fn check(p) {
             let code = p.events[0].code;
             if code == 3 { throw \"what is three\"; }
             if code == 2 { critical(\"two\") } else if code == 1 { deviating(\"one\", #{ expires: duration(\"9s\") }) } else { clear() }
         }",
    ),
];

impl World {
    /// A world with two sources, so that agendas of one and of both run side by side.
    pub(crate) fn new(seed: u64) -> World {
        World::usual(seed, &[ONE, TWO])
    }

    /// A world with one source, and so with one agenda.
    pub(crate) fn of_one_source(seed: u64) -> World {
        World::usual(seed, &[ONE])
    }

    fn usual(seed: u64, texts: &[&str]) -> World {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let scripts =
            SCRIPTS.map(|(name, text)| Script { name: name.into(), path: format!("{name}.rhai"), text: text.into() });
        let start = "2026-03-01T00:00:00Z".parse().expect("a time");
        let length = Span::from_secs(180 + Random::new(!seed).below(240) as i64);
        World::with(seed, &texts, scripts.into(), start, length)
    }

    /// A world of these configurations, each with one source.
    pub(crate) fn with(seed: u64, texts: &[String], scripts: Vec<Script>, start: Time, length: Span) -> World {
        let file = |(place, text): (usize, &String)| File { path: format!("{place}.yaml"), text: text.clone() };
        let files: Vec<File> = texts.iter().enumerate().map(file).collect();
        let settings = config::load(&files, scripts, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()));
        let settings = settings.unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        let mut random = Random::new(seed);
        let mut partitions = Vec::new();
        for source in 0..settings.definitions.sources.len() {
            for number in 0..4 {
                let definition = &settings.definitions.sources[source];
                let late = number == 3 && random.below(2) == 0;
                let appears = if late { start + Span::from_secs(40) } else { start };
                let metrics = &*definition.name == "metrics";
                let topic: Arc<str> = if metrics { "m" } else { "e" }.into();
                let mut records = written(&mut random, appears, start + length, metrics);
                if random.below(3) == 0 {
                    // Silent for longer than a partition may be without falling idle.
                    let from = start + Span::from_secs(30 + random.below(60) as i64);
                    let to = from + Span::from_secs(10 + random.below(80) as i64);
                    if random.below(2) == 0 {
                        records.retain(|record| record.written < from || record.written >= to);
                    } else {
                        // All of it comes when the silence ends.
                        let held = records.iter_mut().filter(|record| (from..to).contains(&record.written));
                        held.for_each(|record| record.written = to);
                    }
                }
                let (name, stamped) = (definition.name.clone(), number == 1);
                partitions.push(Partition { source, name, topic, number, appears, stamped, records });
            }
        }
        World { settings, partitions, start, end: start + length }
    }
}

/// The records of one partition, as they are written one after the other.
fn written(random: &mut Random, from: Time, to: Time, metrics: bool) -> Vec<Written> {
    let mut records = Vec::new();
    let mut now = from;
    let (mut mood, mut counter) = (30, 0);
    while now < to {
        now = now + Span::from_millis(random.below(2500) as i64);
        let jitter = match random.below(30) {
            0 => -(random.below(30_000) as i64),
            // Hardly any may count: one alone makes all that follows in its partition late.
            1 => match random.below(16) {
                0 => 60_000 + random.below(2) as i64,
                1..4 => 480_000 + random.below(420_000) as i64,
                _ => random.below(3_000) as i64,
            },
            2..8 => -(random.below(4_000) as i64),
            _ => -(random.below(300) as i64),
        };
        // Some samples share an instant: the end of a window, or the last before it.
        let time = match random.below(12) {
            0 => now.floor(Span::from_secs(5)),
            1 => now.floor(Span::from_secs(5)) - Span::from_millis(1),
            _ => now + Span::from_millis(jitter),
        };
        let minute = (now - from).nanos() / 60_000_000_000;
        // Hosts come and go.
        let host = ["a", "b", "c", "d"][random.below(if minute % 3 == 2 { 2 } else { 4 }) as usize];
        mood = (mood + random.below(21) as i64 - 10).clamp(0, 100);
        let ms = time.millis();
        let value = if metrics {
            let decimal = random.below(1000);
            match random.below(20) {
                0..9 => {
                    format!(r#"{{"name":"load","host":"{host}","t":{ms},"value":{mood}.{decimal:03},"kind":"gauge"}}"#)
                }
                9..13 => {
                    counter = if random.below(15) == 0 { 0 } else { counter + random.below(12) as i64 };
                    format!(r#"{{"name":"requests","host":"{host}","t":{ms},"value":{counter},"kind":"counter"}}"#)
                }
                13..17 => {
                    let disk = random.below(2);
                    format!(
                        r#"{{"name":"size","host":"{host}","disk":"d{disk}","t":{ms},"value":-{mood},"kind":"gauge"}}"#
                    )
                }
                17 => format!(
                    r#"{{"name":"requests","host":"{host}","disk":"x","t":{ms},"value":{decimal},"kind":"delta"}}"#
                ),
                // Few are so large that no baseline learns them.
                18 => {
                    let power = if decimal % 100 == 7 { 37 } else { -3 };
                    format!(r#"{{"name":"load","t":{ms},"value":{decimal}e{power},"kind":"gauge"}}"#)
                }
                _ => "{broken".to_owned(),
            }
        } else {
            match random.below(4) {
                0 => format!(r#"{{"type":"state","host":"{host}","t":{ms},"code":{}}}"#, random.below(4)),
                1 => format!(r#"{{"type":"log","host":"{host}","t":{ms},"level":"info","amount":{mood}}}"#),
                2 if mood > 45 => {
                    format!(r#"{{"type":"log","host":"{host}","t":{ms},"level":"error","message":"m{mood}"}}"#)
                }
                _ => format!(r#"{{"type":"other","t":{ms}}}"#),
            }
        };
        records.push(Written { written: now, value });
    }
    records
}
