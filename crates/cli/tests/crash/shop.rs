//! What is watched while processes are killed: records without keys over four partitions, late and out of
//! order, partitions that fall idle, and a topic that appears later.

use kafka::{Connection, Message, Publisher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The configuration, with words in capitals for what differs from run to run.
pub(crate) const CONFIGURATION: &str = r#"
kafka:
  brokers: BROKERS
  properties: { topic.metadata.refresh.interval.ms: "500" }
store: { path: STORE, commit_every: 50ms, snapshot_every: 2s, durability: process }
transitions: { topic: TRANSITIONS }
workers: WORKERS
sources:
  metrics:
    topics: [METRICS, LATER]
    format: json
    name: "{/name}"
    value: /value
    time: /t in ms
    labels: { host: /host }
    lateness: 1s
    idle_after: 1s
    start: earliest
    fetch: FETCH
  happenings:
    topics: [EVENTS]
    format: events
    time: /t in ms
    type: /type
    labels: { host: /host }
    lateness: 500ms
    idle_after: 1s
    start: earliest
    fetch: FETCH
streams:
  load:
    source: metrics
    select: { metric: load }
    each: [host]
    time_to_live: 15s
    publish:
      - { topic: POINTS, window: batching 1s, downsample: [count, sum, minimum, maximum, average] }
      - { topic: SLIDING, window: sliding 2s every 1s, downsample: average }
  requests: { source: metrics, select: { metric: requests }, each: [host], time_to_live: 15s }
  errors:   { source: happenings, select: { type: log, field: { /level: error } }, each: [host], time_to_live: 20s }
  states:   { source: happenings, select: { type: state }, each: [host], time_to_live: 20s }
baselines:
  band of load: { stream: load, function: percentile_band, window: batching 2s, downsample: average, period: 4s, train: 12s }
  usual load:   { stream: load, function: deviation, window: sliding 2s every 1s, downsample: average }
components:
  service:     { type: service }
  store:       { type: service }
  host {host}: { type: host, for_each: load }
relations:
  - service -> store
  - service -> host {host}
checks:
  load:
    on: host {host}
    function: threshold
    arguments: { metric: { stream: load, window: sliding 2s every 1s, downsample: average }, deviating: 45, critical: 60 }
    for: 2 of 3
    on_missing: unknown after 2s
  peak:
    on: service
    function: threshold
    arguments: { metric: { stream: load, window: batching 3s, downsample: [p95, maximum] }, deviating: 80, critical: 95 }
  rate:
    on: host {host}
    function: threshold
    arguments: { metric: { stream: requests, window: sliding 4s every 2s, downsample: rate }, deviating: 20, critical: 40 }
    on_missing: keep
  burst:
    on: [store, "host {host}"]
    function: burst
    arguments: { events: { stream: errors, window: sliding 3s every 1s } }
  reported:
    on: { type: host }
    function: reported
    arguments: { events: { stream: states } }
  unusual load:
    on: host {host}
    function: deviation_from_baseline
    arguments: { metric: { baseline: band of load } }
  strange load:
    on: host {host}
    function: deviation_from_baseline
    arguments: { metric: { baseline: usual load }, deviating: 0.7, critical: 1 }
  errors under load:
    on: host {host}
    function: burst_under_load
    arguments:
      events: { stream: errors, window: batching 2s }
      load: { stream: load, window: sliding 2s every 1s, downsample: average }
"#;

pub(crate) const SCRIPTS: [(&str, &str); 3] = [
    (
        "burst",
        "parameters(#{ events: events(\"e\") });
         fn check(p) {
             if p.events.len > 3 { critical(`${p.events.len} errors`) }
             else if p.events.len > 1 { deviating(`${p.events[0].message}`) } else { clear() }
         }",
    ),
    (
        "burst_under_load",
        "parameters(#{ events: events(\"e\"), load: metric(\"l\") });
         fn check(p) { if p.events.len > 0 && p.load.value >= 40 { deviating(`${p.load.value}`) } else { clear() } }",
    ),
    (
        "reported",
        "parameters(#{ events: events(\"e\") });
         fn check(p) {
             let code = p.events[0].code;
             if code == 3 { throw \"what is three\"; }
             if code == 2 { critical(\"two\") } else if code == 1 { deviating(\"one\", #{ expires: duration(\"3s\") }) } else { clear() }
         }",
    ),
];

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Writes at the pace of the clock, until it is stopped.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Writer {
    pub(crate) fn start(broker: &Connection, metrics: &str, later: &str, events: &str, seed: u64) -> Writer {
        let stop = Arc::new(AtomicBool::new(false));
        let publisher = Publisher::new(broker).expect("a publisher");
        let (broker, stopping) = (broker.clone(), stop.clone());
        let topics = [metrics.to_owned(), later.to_owned(), events.to_owned()];
        let thread = std::thread::spawn(move || write(&broker, &publisher, &topics, &mut Random::new(seed), &stopping));
        Writer { stop, thread }
    }

    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("all was written");
    }
}

fn write(
    broker: &Connection,
    publisher: &Publisher,
    [metrics, later, events]: &[String; 3],
    random: &mut Random,
    stop: &AtomicBool,
) {
    let mut appeared = false;
    let (mut moods, mut counter) = ([30i64; 4], 0);
    for round in 0u64.. {
        // Not before the later topic has appeared and has been written to.
        if stop.load(Ordering::Relaxed) && round > 60 {
            return;
        }
        if round == 30 {
            kafka::create_topics(broker, &[(later.as_str(), 2)]).expect("a topic that comes later");
            appeared = true;
        }
        let (mut samples, mut happened, mut late) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..4 + random.below(8) {
            let host = random.below(if round / 60 % 3 == 2 { 2 } else { 4 }) as usize;
            moods[host] = (moods[host] + random.below(25) as i64 - 12).clamp(0, 100);
            let (mood, t) = (moods[host], time_ms(random));
            let text = match random.below(3) {
                0 => {
                    counter += random.below(9) as i64;
                    format!(r#"{{"name":"requests","host":"h{host}","t":{t},"value":{counter}}}"#)
                }
                _ => format!(r#"{{"name":"load","host":"h{host}","t":{t},"value":{mood}.{}}}"#, random.below(10)),
            };
            let partition = random.below(4) as i32;
            // The last partition is silent for stretches that are longer than it may be without falling idle.
            if partition == 3 && round / 25 % 2 == 1 {
                continue;
            }
            if appeared && random.below(5) == 0 {
                late.push(message(partition % 2, text));
            } else {
                samples.push(message(partition, text));
            }
        }
        for _ in 0..random.below(4) {
            let (host, t) = (random.below(4), time_ms(random));
            let text = match random.below(3) {
                0 => format!(r#"{{"type":"state","host":"h{host}","t":{t},"code":{}}}"#, random.below(4)),
                1 => format!(r#"{{"type":"log","host":"h{host}","t":{t},"level":"info"}}"#),
                _ => format!(r#"{{"type":"log","host":"h{host}","t":{t},"level":"error","message":"m{round}"}}"#),
            };
            happened.push(message(random.below(4) as i32, text));
        }
        for (topic, messages) in [(metrics, &samples), (later, &late), (events, &happened)] {
            if !messages.is_empty() {
                publisher.publish(topic, messages).expect("it is written");
            }
        }
        std::thread::park_timeout(Duration::from_millis(80));
    }
}

fn message(partition: i32, text: String) -> Message<'static> {
    Message { value: Some(text.into_bytes().into()), partition: Some(partition), ..Message::default() }
}

/// Now, or a while ago: sometimes longer than may be.
fn time_ms(random: &mut Random) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as u64;
    now - match random.below(12) {
        0 => random.below(4000),
        1..5 => random.below(900),
        _ => random.below(60),
    }
}
