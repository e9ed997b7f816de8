//! What a sample costs, counted instead of timed.

use config::File;
use engine::{Engine, Shard, fill};
use model::record::Batch;
use model::{Span, Time};
use std::sync::Arc;

#[global_allocator]
static METER: meter::Meter = meter::Meter;

/// An engine with one check that reads `metric` cut and reduced like this.
fn engine(window: &str, downsample: &str) -> (Engine, Vec<Shard>) {
    let text = format!(
        "
sources: {{ s: {{ topics: [t], format: influx }} }}
streams: {{ load: {{ source: s, select: {{ metric: cpu.load }}, each: [host] }} }}
components: {{ 'host {{host}}': {{ type: host, for_each: load }} }}
checks:
  load:
    on: host {{host}}
    function: threshold
    arguments: {{ metric: {{ stream: load, window: {window}, downsample: {downsample} }}, critical: 1e9 }}
"
    );
    let files = [File { path: "cost.yaml".into(), text }];
    let settings = config::load(&files, Vec::new(), &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()));
    let settings = settings.unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    let (engine, shards, _) =
        Engine::new(settings.definitions, settings.formats.into(), settings.library, 1, Default::default());
    (engine, shards)
}

fn batch(offset: i64, at: Time, series: usize, samples: usize) -> Batch {
    let mut batch = Batch::new(0, Arc::from("t"), 0, at + Span::from_secs(60));
    for place in 0..samples {
        let time = at + Span::from_millis(place as i64 % 900);
        let line = format!("cpu,dc=x,host=h{} load={}.5 {}\n", place % series, place % 100, time.nanos());
        batch.push(offset + place as i64, None, false, None, Some(line.as_bytes()), []);
    }
    batch
}

/// Reads the batch, and gives the pane updates and allocations that it took.
fn cost(engine: &mut Engine, shards: &mut [Shard], batch: &Batch) -> (u64, u64) {
    let worker = engine.admit(shards, batch);
    let (updates, allocations) = (shards[worker].pane_updates(), meter::allocations());
    fill(&mut shards[worker], batch);
    (shards[worker].pane_updates() - updates, meter::allocations() - allocations)
}

#[test]
fn a_sample_is_one_pane_update_at_any_width_and_slide() {
    let start: Time = "2026-03-01T00:00:00Z".parse().expect("a time");
    for window in ["batching 1m", "sliding 10s every 10s", "sliding 5m every 5s", "sliding 1h every 10s"] {
        let (mut engine, mut shards) = engine(window, "average");
        let (updates, _) = cost(&mut engine, &mut shards, &batch(0, start, 100, 5000));
        assert_eq!(updates, 5000, "{window}");
    }
}

#[test]
fn a_sample_of_a_known_series_allocates_nothing() {
    let start: Time = "2026-03-01T00:00:00Z".parse().expect("a time");
    for downsample in ["count", "sum", "minimum", "maximum", "average", "last"] {
        let (mut engine, mut shards) = engine("sliding 1m every 10s", downsample);
        cost(&mut engine, &mut shards, &batch(0, start, 100, 1000));
        engine.advance(&mut shards, &[]);
        let (updates, allocations) =
            cost(&mut engine, &mut shards, &batch(1000, start + Span::from_secs(1), 100, 10_000));
        assert_eq!((updates, allocations), (10_000, 0), "{downsample}");
    }
}
