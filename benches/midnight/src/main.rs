//! What a baseline on each of many series costs in memory and in the store, and how long transitions take when every
//! batch closes at once.
//!
//! It drives the engine and the store as the run loop does, without Kafka: four weeks of hourly batches are learned,
//! committed, restored, and then hours close. All times are of the wall clock, beside the processor's own.

use clap::Parser;
use config::{File, Settings};
use engine::state::{BaselineRecord, Change, ColumnRecord, Restored};
use engine::{Engine, Shard, fill};
use model::record::Batch;
use model::{Labels, Span, Time};
use std::path::Path;
use std::time::{Duration, Instant};
use store::{Durability, Options, Store};

#[global_allocator]
static METER: meter::Meter = meter::Meter;

const HOUR: Span = Span::from_secs(3600);

#[derive(Parser)]
#[command(
    about = "Measures baselines on many series: memory, bytes in the store, and the hour at which all batches close"
)]
struct Arguments {
    /// How many series.
    #[arg(long, default_value_t = 100_000)]
    series: usize,
    /// How many hours are learned before anything is measured; the training window is as long.
    #[arg(long, default_value_t = 672)]
    hours: i64,
    /// How many hours close while it is measured.
    #[arg(long, default_value_t = 5)]
    measured: i64,
    /// The baseline function.
    #[arg(long, default_value = "seasonal_median")]
    function: String,
}

fn main() {
    let arguments = Arguments::parse();
    let settings = settings(&arguments);
    let folder = tempfile::tempdir().expect("a folder for the store");
    let begin: Time = "2026-06-01T00:00:00Z".parse().expect("a time");
    let store = open(folder.path());
    let taught = teach(&arguments, &settings, begin, &store);
    drop(store);
    let cells = arguments.series as i64 * arguments.hours;
    println!("{} series, {} batches of 1h, {}", arguments.series, arguments.hours, arguments.function);
    println!("written for each series and batch: {:.2} bytes", taught as f64 / cells as f64);
    println!("in the store for each series: {} bytes", on_disk(folder.path()) / arguments.series as u64);

    let store = open(folder.path());
    let before = meter::held();
    let clock = Instant::now();
    let restored = store.restore().expect("what was committed");
    println!("read from the store in {:.0?}", clock.elapsed());
    let clock = Instant::now();
    let (mut engine, mut shards) = engine(&settings, restored);
    println!("an engine made of it in {:.0?}", clock.elapsed());
    println!("in memory for each series: {} bytes", (meter::held() - before) / arguments.series as isize);
    // Half an hour before the first batch, so that it is not seen in part.
    let half = begin + HOUR.times(arguments.hours) - Span::from_secs(1800);
    read(&mut engine, &mut shards, &samples(&arguments, half, false));
    for hour in 0..arguments.measured {
        let at = begin + HOUR.times(arguments.hours + hour);
        // One of a hundred is far off in every second hour.
        close_hour(&arguments, &mut engine, &mut shards, &store, at, hour % 2 == 1);
    }
}

fn settings(arguments: &Arguments) -> Settings {
    let text = format!(
        "sources: {{ s: {{ topics: [t], format: influx, lateness: 0s, max_ahead: 1h }} }}
streams: {{ load: {{ source: s, select: {{ metric: cpu.load }}, each: [host], time_to_live: 1d }} }}
components: {{ \"host {{host}}\": {{ for_each: load }} }}
baselines:
  usual: {{ stream: load, function: {}, window: batching 1h, downsample: average, period: 1d, train: {}h }}
checks:
  unusual:
    on: \"host {{host}}\"
    function: deviation_from_baseline
    arguments: {{ metric: {{ baseline: usual }} }}
",
        arguments.function, arguments.hours
    );
    let files = [File { path: "midnight.yaml".into(), text }];
    let settings = config::load(&files, Vec::new(), &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()));
    settings.unwrap_or_else(|errors| panic!("{}", errors.render(false)))
}

fn open(folder: &Path) -> Store {
    let options = Options {
        path: folder.join("store"),
        durability: Durability::Process,
        history: Span::from_secs(86_400),
        memory_bytes: 64 << 20,
        keep_journal: false,
    };
    Store::open(&options).expect("a store")
}

fn engine(settings: &Settings, restored: Restored) -> (Engine, Vec<Shard>) {
    let (formats, library) = (settings.formats.clone().into(), settings.library.clone());
    let (engine, shards, _) = Engine::new(settings.definitions.clone(), formats, library, 1, restored);
    (engine, shards)
}

/// A value: scattered, the same in each run, with a daily rhythm; one of a hundred is far off in an odd hour.
fn load(host: usize, at: Time, odd: bool) -> f64 {
    let hour = at.nanos() / HOUR.nanos();
    let noise = (host as u64 * 7919 + hour as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
    let noise = 10.0 * noise as f64 / (1_u64 << 53) as f64;
    (100 + 10 * (hour % 24)) as f64 + noise + if odd && host.is_multiple_of(100) { 500.0 } else { 0.0 }
}

/// One sample of each series.
fn samples(arguments: &Arguments, at: Time, odd: bool) -> Batch {
    let mut batch = Batch::new(0, "t".into(), 0, at);
    let hour = at.nanos() / HOUR.nanos();
    for host in 0..arguments.series {
        let load = load(host, at, odd);
        let line = format!("cpu,host=h{host} load={load} {}\n", at.nanos());
        batch.push(
            hour * arguments.series as i64 + host as i64,
            Some(at.millis()),
            true,
            None,
            Some(line.as_bytes()),
            [],
        );
    }
    batch
}

fn read(engine: &mut Engine, shards: &mut [Shard], batch: &Batch) {
    let shard = engine.admit(shards, batch);
    fill(&mut shards[shard], batch);
}

/// Writes what would have been learned hour by hour: the head as the engine has it, and columns of made-up values.
/// Gives the bytes of the commits of columns.
fn teach(arguments: &Arguments, settings: &Settings, begin: Time, store: &Store) -> usize {
    let (mut engine, _) = engine(settings, Restored::default());
    let learned = engine.learned();
    let key = learned.iter().find_map(|change| match change {
        Change::Baseline { key, .. } => Some(*key),
        _ => None,
    });
    let key = key.expect("the configuration has a baseline");
    store.commit(&learned, false).expect("a commit");
    let instances = (0..arguments.series).map(|host| {
        let newest = begin + HOUR.times(arguments.hours);
        let (row, since) = (host as u32, begin);
        let record = BaselineRecord { row, since, newest, band: None, asked: None, error: None };
        Change::BaselineInstance { key, labels: Labels::new([("host", format!("h{host}"))]), record: Some(record) }
    });
    store.commit(&instances.collect::<Vec<_>>(), false).expect("a commit");
    let mut bytes = 0;
    for hour in 0..arguments.hours {
        let start = begin + HOUR.times(hour);
        let record = ColumnRecord {
            start,
            values: (0..arguments.series).map(|host| load(host, start, false) as f32).collect(),
            counts: vec![60; arguments.series],
            anomalous: Vec::new(),
        };
        bytes += store.commit(&[Change::Column { key, end: start + HOUR, record }], false).expect("a commit").bytes;
    }
    bytes
}

/// An hour passes: all batches close at once. Then functions are asked, step by step, and records are read in between.
fn close_hour(arguments: &Arguments, engine: &mut Engine, shards: &mut [Shard], store: &Store, at: Time, odd: bool) {
    let batch = samples(arguments, at, odd);
    let filled = timed(|| read(engine, shards, &batch));
    // The first record of the next hour moves the frontier over the end of this one.
    let first = samples(&Arguments { series: 1, function: String::new(), ..*arguments }, at + HOUR, false);
    let polled = Instant::now();
    read(engine, shards, &first);
    let mut asked = Vec::new();
    let closed = timed(|| while engine.advance(shards, &[]).more {});
    let mut transitions = 0;
    let committed = timed(|| {
        let changes = engine.collect(shards, 0);
        transitions = changes.iter().filter(|change| matches!(change, Change::Transition(_))).count();
        store.commit(&changes, true).expect("a commit");
    });
    let delay = polled.elapsed();
    loop {
        let clock = Instant::now();
        let asking = engine.advance(shards, &[]).asking;
        asked.push(clock.elapsed());
        if !asking {
            break;
        }
    }
    let total: Duration = asked.iter().sum();
    println!(
        "{at}: {transitions} transitions {delay:.0?} after the record that closes the hour was polled (closing and \
         checking {closed:.0?}, committing {committed:.0?}); then functions are asked in {} steps, {:.0?} the longest, \
         {total:.1?} in all; filling {filled:.0?}",
        asked.len(),
        asked.iter().max().copied().unwrap_or_default(),
    );
}

fn timed(work: impl FnOnce()) -> Duration {
    let clock = Instant::now();
    work();
    clock.elapsed()
}

fn on_disk(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(of) if of.is_dir() => on_disk(&entry.path()),
        Ok(of) => of.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
