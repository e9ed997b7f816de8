//! The stages: each makes its input, and then does its work once in [`measured`], where it is counted.

use codec::{Decoded, Format};
use config::{File, Settings};
use engine::state::{Change, Restored};
use engine::{Engine, Shard, fill};
use model::record::Batch;
use model::{Span, Time};
use store::{Durability, Options, Store};

/// One stage.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    /// What is counted.
    pub(crate) unit: &'static str,
    /// Runs it, and says how many units it did.
    pub(crate) run: fn() -> usize,
}

/// All stages, in the order of the flow.
pub(crate) const STAGES: &[Stage] = &[
    Stage { name: "decode json", unit: "record of one sample", run: || decode(JSON, json) },
    Stage { name: "decode influx", unit: "line of one sample", run: || decode(INFLUX, influx) },
    Stage { name: "fill json", unit: "record, decoding, finding and adding", run: || filled(JSON, json) },
    Stage { name: "fill influx", unit: "line, decoding, finding and adding", run: || filled(INFLUX, influx) },
    Stage { name: "close", unit: "window", run: || close("") },
    Stage { name: "close and check", unit: "window", run: || close(CHECK) },
    Stage { name: "close, learn and check", unit: "window", run: || close(BASELINE) },
    Stage { name: "commit", unit: "window of those that were closed", run: commit },
];

const SERIES: usize = 2_000;
const ROUNDS: usize = 5;
/// Samples of one series lie so far apart.
const EVERY: Span = Span::from_secs(10);

const JSON: &str = "{ topics: [t], format: json, name: value, value: /valueInW, labels: { sensor: /identifier }, \
                    time: /timestamp in ms, lateness: 10s }";
const INFLUX: &str = "{ topics: [t], format: influx, lateness: 10s }";
const CHECK: &str = "
checks:
  high:
    on: \"sensor {sensor}\"
    function: threshold
    arguments: { metric: { stream: power, window: batching 10s, downsample: average }, deviating: 5000, critical: 9000 }
";
const BASELINE: &str = "
baselines:
  usual: { stream: power, function: deviation, window: batching 10s, downsample: average }
checks:
  unusual:
    on: \"sensor {sensor}\"
    function: deviation_from_baseline
    arguments: { metric: { baseline: usual } }
";

/// What is counted: all that happens in here, and nothing else.
#[inline(never)]
pub(crate) fn measured<T>(work: impl FnOnce() -> T) -> T {
    let done = work();
    std::hint::black_box(done)
}

fn settings(source: &str, more: &str) -> Settings {
    // Without a check the stream is followed by its template, in the same windows.
    let text = format!(
        "sources: {{ s: {source} }}
streams: {{ power: {{ source: s, each: [sensor] }} }}
components: {{ \"sensor {{sensor}}\": {{ for_each: power }} }}
{more}"
    );
    let files = [File { path: "guard.yaml".into(), text }];
    let settings = config::load(&files, Vec::new(), &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()));
    settings.unwrap_or_else(|errors| panic!("{}", errors.render(false)))
}

fn begin() -> Time {
    "2022-02-23T00:00:00Z".parse().expect("a time")
}

fn value(series: usize, at: Time) -> f64 {
    let mixed = (series as u64 * 7919 + at.nanos() as u64 / 1_000_000_000).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 44) as f64 / 1000.0
}

fn json(series: usize, at: Time) -> String {
    format!(r#"{{"identifier":"sensor-{series:06}","timestamp":{},"valueInW":{}}}"#, at.millis(), value(series, at))
}

fn influx(series: usize, at: Time) -> String {
    format!("power,sensor=sensor-{series:06},site=a value={} {}", value(series, at), at.nanos())
}

/// One sample of each series, `round` times ten seconds after the begin.
fn batch(round: usize, record: fn(usize, Time) -> String) -> Batch {
    let at = begin() + EVERY.times(round as i64);
    let mut batch = Batch::new(0, "t".into(), 0, at);
    for series in 0..SERIES {
        let (offset, text) = ((round * SERIES + series) as i64, record(series, at));
        batch.push(offset, Some(at.millis()), true, None, Some(text.as_bytes()), []);
    }
    batch
}

fn decode(source: &str, record: fn(usize, Time) -> String) -> usize {
    let settings = settings(source, CHECK);
    let format: &Format = &settings.formats[0];
    let batch = batch(0, record);
    let mut decoded = Decoded::default();
    measured(|| {
        for at in 0..batch.records.len() {
            decoded.clear();
            format.decode(&batch.topic, &batch.record(at), &mut decoded);
        }
    });
    SERIES
}

fn engine(settings: &Settings) -> (Engine, Vec<Shard>) {
    let (formats, library) = (settings.formats.clone().into(), settings.library.clone());
    let (engine, shards, _) = Engine::new(settings.definitions.clone(), formats, library, 1, Restored::default());
    (engine, shards)
}

fn read(engine: &mut Engine, shards: &mut [Shard], batch: &Batch) {
    let shard = engine.admit(shards, batch);
    fill(&mut shards[shard], batch);
}

fn filled(source: &str, record: fn(usize, Time) -> String) -> usize {
    let settings = settings(source, CHECK);
    let (mut engine, mut shards) = engine(&settings);
    read(&mut engine, &mut shards, &batch(0, record));
    let batches: Vec<Batch> = (1..=ROUNDS).map(|round| batch(round, record)).collect();
    measured(|| batches.iter().for_each(|batch| read(&mut engine, &mut shards, batch)));
    ROUNDS * SERIES
}

/// An engine in which some windows have closed, so that all series are known and checks have spoken.
fn warm(more: &str) -> (Engine, Vec<Shard>) {
    let settings = settings(JSON, more);
    let (mut engine, mut shards) = engine(&settings);
    for round in 0..20 {
        read(&mut engine, &mut shards, &batch(round, json));
        while engine.advance(&mut shards, &[]).more {}
        engine.collect(&shards, 0);
    }
    (engine, shards)
}

fn close(more: &str) -> usize {
    let (mut engine, mut shards) = warm(more);
    (20..20 + ROUNDS).for_each(|round| read(&mut engine, &mut shards, &batch(round, json)));
    measured(|| while engine.advance(&mut shards, &[]).more {});
    ROUNDS * SERIES
}

fn commit() -> usize {
    let folder = tempfile::tempdir().expect("a folder for the store");
    let options = Options {
        path: folder.path().join("store"),
        durability: Durability::Process,
        history: Span::from_secs(3600),
        memory_bytes: 64 << 20,
        keep_journal: false,
    };
    let store = Store::open(&options).expect("a store");
    let (mut engine, mut shards) = warm(BASELINE);
    (20..20 + ROUNDS).for_each(|round| read(&mut engine, &mut shards, &batch(round, json)));
    while engine.advance(&mut shards, &[]).more {}
    measured(|| {
        let changes: Vec<Change> = engine.collect(&shards, 0);
        store.commit(&changes, false).expect("a commit");
    });
    ROUNDS * SERIES
}
