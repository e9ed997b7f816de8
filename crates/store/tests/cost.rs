//! What a commit costs, in bytes: it follows what changed, not what there is.

use config::File;
use engine::{Engine, fill};
use model::record::Batch;
use model::{Span, Time};
use std::sync::Arc;
use store::{Durability, Options, Store};

const SERIES: usize = 1_000_000;

const CONFIGURATION: &str = "
sources: { s: { topics: [t], format: influx, lateness: 0s } }
streams: { load: { source: s, select: { metric: cpu.load }, each: [host] } }
components: { fleet: { type: fleet } }
checks:
  load:
    on: fleet
    function: high
    arguments: { metric: { stream: load, window: batching 10s, downsample: average } }
    on_missing: unknown after 1h
";

const HIGH: &str = "
parameters(#{ metric: metric(\"m\") });
fn check(p) { if p.metric.value > 90 { critical(\"high\") } else { clear() } }
";

/// One sample of each of these hosts.
fn batch(offset: i64, at: Time, hosts: impl Iterator<Item = usize>) -> Batch {
    let mut batch = Batch::new(0, Arc::from("t"), 0, at);
    for (place, host) in hosts.enumerate() {
        let line = format!("cpu,host=h{host} load=1 {}\n", at.nanos());
        batch.push(offset + place as i64, None, false, None, Some(line.as_bytes()), []);
    }
    batch
}

#[test]
fn a_commit_follows_what_changed_and_not_what_there_is() {
    let files = [File { path: "cost.yaml".into(), text: CONFIGURATION.into() }];
    let high = functions::Script { name: "high".into(), path: "high.rhai".into(), text: HIGH.into() };
    let settings = config::load(&files, vec![high], &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()));
    let settings = settings.unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options {
        path: folder.path().join("store"),
        durability: Durability::Process,
        history: Span::from_secs(3600),
        memory_bytes: 64 << 20,
        keep_journal: false,
    };
    let store = Store::open(&options).expect("a store");
    let (mut engine, mut shards, _) = Engine::new(
        settings.definitions,
        settings.formats.into(),
        settings.library,
        1,
        store.restore().expect("nothing"),
    );

    let mut offset = 0;
    let mut now: Time = "2026-03-01T00:00:01Z".parse().expect("a time");
    let mut step = |hosts: &mut dyn Iterator<Item = usize>, engine: &mut Engine| {
        let batch = batch(offset, now, hosts);
        offset += batch.records.len() as i64;
        now = now + Span::from_secs(10);
        let worker = engine.admit(&mut shards, &batch);
        fill(&mut shards[worker], &batch);
        while engine.advance(&mut shards, &[]).more {}
        store.commit(&engine.collect(&shards, 0), false).expect("a commit").bytes
    };
    // All are met, and then all have closed a window.
    step(&mut (0..SERIES), &mut engine);
    let all = step(&mut (0..1), &mut engine);
    // From here on a hundred of them have samples. The first step closes the window of one alone.
    step(&mut (0..100), &mut engine);
    let some = step(&mut (0..100), &mut engine);
    println!("{all} bytes after {SERIES} windows closed, {some} after 100");
    assert!(all > SERIES * 10, "{all} bytes for a million windows");
    assert!(some < 100 * 1000, "{some} bytes for a hundred windows");
}
