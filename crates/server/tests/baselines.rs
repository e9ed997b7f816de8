//! What callers learn of baselines, over a real connection.

mod rig;

use api::v1;
use config::{File, Settings};
use engine::state::{ActiveError, BaselineHead, BaselineRecord, Change, InstanceRecord, KeptPoint, Restored};
use engine::{Engine, Shard, fill};
use functions::Script;
use model::definition::{
    BaselineDefinition, BaselineFunction, Content, Definitions, Downsampling, Learner, OnlineModel, Selector, Stream,
    Window,
};
use model::record::Batch;
use model::{Band, Labels, Reading, Span, Time};
use rig::{BEGINNING, Rig, World, refused};
use server::view::{Feed, View};
use std::sync::Arc;
use tonic::Code;

const HOUR: Span = Span::from_secs(3600);
const FEED: u64 = 11;
const HEAD: u64 = 1;
const MODEL: u64 = 2;

fn window() -> Window {
    Window::Batching { size: HOUR, zone: "UTC".into() }
}

fn definitions() -> Definitions {
    let baseline = |name: &str, learner| BaselineDefinition {
        name: name.into(),
        stream: 0,
        window: window(),
        downsample: Downsampling::Average,
        zone: "UTC".into(),
        keep: HOUR.times(24),
        learner,
    };
    let function = || {
        Learner::Function(BaselineFunction {
            function: "seasonal_median".into(),
            arguments: vec![],
            period: HOUR.times(24),
            train: HOUR.times(168),
            adapt_after: HOUR.times(24),
        })
    };
    let stream = Stream {
        name: "response time".into(),
        source: 0,
        select: Selector::default(),
        each: vec!["host".into()],
        content: Content::Metric,
        time_to_live: HOUR,
        unit: None,
    };
    Definitions {
        streams: vec![stream],
        baselines: vec![
            baseline("by hour", function()),
            baseline("new", function()),
            baseline("novel", Learner::Online(OnlineModel::Novelty)),
        ],
        ..Definitions::default()
    }
}

/// Both baselines learn from one feed; its readings have them in this order.
fn feeds() -> Vec<Feed> {
    vec![Feed {
        fingerprint: FEED,
        stream: "response time".into(),
        window: Some(window()),
        downsample: vec![Downsampling::Maximum, Downsampling::Average],
        sources: vec!["telegraf".into()],
        baselines: vec!["novel".into(), "by hour".into()],
    }]
}

fn head(name: &str, source: &str) -> Option<BaselineHead> {
    let kept_from = Some(BEGINNING);
    Some(BaselineHead { name: name.into(), agenda: vec![source.into()], kept_from, ..BaselineHead::default() })
}

fn host(name: &str) -> Labels {
    Labels::new([("host", name), ("zone", "eu")])
}

fn at(hours: i64) -> Time {
    BEGINNING + HOUR.times(hours)
}

fn band(average: f64, lower: f64, higher: f64) -> Band {
    Band::new(average, lower, higher).expect("a band")
}

/// An instance of the stream whose newest window is the fifth hour.
fn point(name: &str, average: f64, readings: Vec<Option<Reading>>) -> Change {
    let point =
        KeptPoint { start: at(4), end: at(5), count: 60, values: vec![99.0, average], incomplete: false, readings };
    let record = InstanceRecord {
        row: 0,
        begin: at(0),
        born: at(0),
        last_sample: Some(at(5)),
        points: vec![point],
        events: vec![],
    };
    Change::Instance { feed: FEED, labels: host(name), record: Some(record) }
}

fn learned(key: u64, name: &str, band: Option<Band>, asked: Option<i64>, failed: bool) -> Change {
    let error = failed.then(|| ActiveError {
        kind: "error".into(),
        message: "no median".into(),
        line: 7,
        column: 3,
        since: at(5),
    });
    let record = BaselineRecord { row: 0, since: at(1), newest: at(1), band, asked: asked.map(at), error };
    Change::BaselineInstance { key, labels: host(name), record: Some(record) }
}

/// A world in which host a has all, b a failed function, c no band yet, and d only what was learned.
fn world() -> World {
    let world = World::new(definitions(), feeds(), 100);
    let said = |average, stale| Some(Reading { band: band(average, 8.0, 14.0), score: None, stale });
    let novel = Some(Reading { band: band(10.0, 0.0, 20.0), score: Some(0.25), stale: false });
    world.apply(&[
        Change::Baseline { key: HEAD, head: head("by hour", "telegraf") },
        Change::Baseline { key: MODEL, head: head("novel", "telegraf") },
        // Of a former configuration, and not yet dropped.
        Change::Baseline { key: 3, head: head("by hour", "statsd") },
        Change::Baseline { key: 4, head: head("gone", "telegraf") },
        learned(3, "a", None, None, false),
        learned(HEAD, "a", Some(band(11.0, 9.0, 15.0)), Some(6), false),
        learned(HEAD, "b", Some(band(10.0, 8.0, 14.0)), Some(5), true),
        learned(HEAD, "c", None, Some(7), false),
        learned(HEAD, "d", None, None, false),
        learned(MODEL, "a", None, None, false),
        learned(MODEL, "b", None, None, false),
        point("a", 12.0, vec![novel, said(10.0, false)]),
        point("b", 14.0, vec![None, said(10.0, true)]),
        point("c", f64::NAN, vec![novel, None]),
    ]);
    world
}

/// `by hour a from 1: 11 [9 15] to 6; 12 at 10 [8 14] is 0.5`: hours, and what there is.
fn show(of: &v1::BaselineInstance) -> String {
    let hours = |time: &Option<prost_types::Timestamp>| {
        time.map_or("?".to_owned(), |time| ((time.seconds - BEGINNING.nanos() / 1_000_000_000) / 3600).to_string())
    };
    let band = |band: &Option<v1::Band>| {
        band.map_or("none".into(), |band| format!("{} [{} {}]", band.average, band.lower, band.higher))
    };
    let mut shown = format!("{} {} from {}: {}", of.baseline, of.labels["host"], hours(&of.since), band(&of.band));
    if of.band_end.is_some() {
        shown += &format!(" for {} to {}", hours(&of.band_start), hours(&of.band_end));
    }
    if let Some(newest) = &of.newest {
        shown += &format!(
            "; {} to {}: {:?} at {}",
            hours(&newest.start),
            hours(&newest.end),
            newest.value,
            band(&newest.band)
        );
        shown += &newest.deviation.map_or(String::new(), |deviation| format!(" is {deviation}"));
        shown += &newest.score.map_or(String::new(), |score| format!(" scored {score}"));
        shown += if newest.stale { " stale" } else { "" };
    }
    shown += &of.error.as_ref().map_or(String::new(), |error| format!("; {} in line {}", error.message, error.line));
    shown
}

async fn list(rig: &Rig, request: v1::ListBaselinesRequest) -> Vec<String> {
    let mut request = request;
    let mut found = Vec::new();
    loop {
        let page = rig.engine().list_baselines(request.clone()).await.expect("a page").into_inner();
        found.extend(page.instances.iter().map(show));
        if page.next_page_token.is_empty() {
            return found;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn baselines_are_listed_with_what_they_are_and_how_far_they_came() {
    let rig = Rig::of(world()).await;
    let answer = rig.engine().list_baselines(v1::ListBaselinesRequest::default()).await.expect("a list").into_inner();
    assert_eq!((answer.instances.len(), &*answer.next_page_token), (0, ""));
    let shown = |of: &v1::Baseline| {
        let days = |span: &Option<prost_types::Duration>| span.map(|span| span.seconds / 86_400);
        let counts = (of.instances, of.with_band, of.with_error);
        format!("{} of {:?}: {} {:?} {:?}", of.name, of.sources, of.function, days(&of.period), counts)
    };
    let found: Vec<String> = answer.baselines.iter().map(shown).collect();
    let expected = [
        r#"by hour of ["telegraf"]: seasonal_median Some(1) (4, 2, 1)"#,
        "new of []: seasonal_median Some(1) (0, 0, 0)",
        r#"novel of ["telegraf"]: novelty None (2, 2, 0)"#,
    ];
    assert_eq!(found, expected);
    let first = &answer.baselines[0];
    let named = [&first.stream, &first.window, &first.downsample, &first.zone].map(String::as_str);
    assert_eq!(named, ["response time", "batching 1h", "average", "UTC"]);
    assert_eq!(first.train.expect("a training window").seconds, 7 * 86_400);
    assert_eq!(first.kept_from.expect("a time").seconds, BEGINNING.nanos() / 1_000_000_000);
    assert!(answer.baselines[2].online && !first.online);
}

#[tokio::test]
async fn instances_are_read_with_band_reading_and_error() {
    let rig = Rig::of(world()).await;
    let all = [
        "by hour a from 1: 11 [9 15] for 5 to 6; 4 to 5: Some(12.0) at 10 [8 14] is 0.5",
        "by hour b from 1: 10 [8 14] for 4 to 5; 4 to 5: Some(14.0) at 10 [8 14] is 1 stale; no median in line 7",
        "by hour c from 1: none for ? to 7; 4 to 5: None at none",
        "by hour d from 1: none",
    ];
    let models = [
        "novel a from 1: none; 4 to 5: Some(12.0) at 10 [0 20] is 0.2 scored 0.25",
        "novel b from 1: none; 4 to 5: Some(14.0) at none",
    ];
    let any = v1::ListBaselinesRequest::default;
    let labelled = |name: &str| [("host".to_owned(), name.to_owned()), ("zone".to_owned(), "eu".to_owned())].into();
    for page_size in [1, 3, 1000] {
        for (request, expected) in [
            (v1::ListBaselinesRequest { baseline: "by hour".into(), ..any() }, &all[..]),
            (v1::ListBaselinesRequest { baseline: "novel".into(), ..any() }, &models[..]),
            (v1::ListBaselinesRequest { baseline: "new".into(), ..any() }, &[]),
            (v1::ListBaselinesRequest { with_error: true, ..any() }, &all[1..2]),
            (v1::ListBaselinesRequest { labels: labelled("b"), ..any() }, &[all[1], models[1]]),
            (v1::ListBaselinesRequest { labels: labelled("b"), baseline: "novel".into(), ..any() }, &models[1..]),
            (v1::ListBaselinesRequest { labels: labelled("e"), ..any() }, &[]),
        ] {
            assert_eq!(
                list(&rig, v1::ListBaselinesRequest { page_size, ..request.clone() }).await,
                expected,
                "{request:?}"
            );
        }
    }
    let named = v1::ListBaselinesRequest { baseline: "old".into(), ..any() };
    refused(rig.engine().list_baselines(named).await, Code::NotFound, "there is no baseline `old`");
    let token = v1::ListBaselinesRequest { page_token: "AAAA".into(), ..any() };
    refused(rig.engine().list_baselines(token).await, Code::InvalidArgument, "page_token");
}

#[tokio::test]
async fn what_is_told_follows_commits_and_survives_a_restart() {
    let world = world();
    let counts = |view: &View| {
        let counts = |of: &server::view::BaselineView| [of.instances, of.with_band, of.with_error];
        view.baselines().iter().map(counts).collect::<Vec<_>>()
    };
    let anew = |world: &World| View::new(Arc::new(definitions()), feeds(), &world.restored(), 100);
    assert_eq!(counts(&world.served.view), [[4, 2, 1], [0, 0, 0], [2, 2, 0]]);
    assert_eq!(counts(&anew(&world)), counts(&world.served.view));

    world.apply(&[
        learned(HEAD, "b", None, Some(6), false),
        learned(HEAD, "d", Some(band(1.0, 1.0, 1.0)), Some(6), false),
        Change::BaselineInstance { key: HEAD, labels: host("c"), record: None },
        point("a", 12.0, vec![None, None]),
        Change::Instance { feed: FEED, labels: host("c"), record: None },
    ]);
    assert_eq!(counts(&world.served.view), [[3, 2, 0], [0, 0, 0], [2, 0, 0]]);
    assert_eq!(counts(&anew(&world)), counts(&world.served.view));
    let key = world.served.view.baselines()[0].key.expect("a key");
    let instances = world.served.view.baseline_instances(key, None, 9);
    assert_eq!(instances, anew(&world).baseline_instances(key, None, 9));
    assert_eq!(world.served.view.baseline_instances(key, Some(&host("b")), 9), instances[2..]);

    world.apply(&[Change::Baseline { key: HEAD, head: None }]);
    assert_eq!(counts(&world.served.view)[0], [0, 0, 0]);
    assert_eq!(counts(&anew(&world)), counts(&world.served.view));
    let rig = Rig::of(world).await;
    let named = v1::ListBaselinesRequest { baseline: "by hour".into(), ..Default::default() };
    assert_eq!(list(&rig, named).await, [""; 0]);
}

const CONFIGURATION: &str = "
sources: { s: { topics: [t], format: influx, lateness: 0s } }
streams: { load: { source: s, select: { metric: cpu.load }, each: [host] } }
components: { 'host {host}': { type: host, for_each: load } }
baselines:
  novel: { stream: load, function: novelty, window: batching 1h, downsample: average }
  usual: { stream: load, function: middle, window: batching 1h, downsample: average, period: 2h, train: 4h }
checks:
  unusual:
    on: host {host}
    function: apart
    arguments: { metric: { baseline: usual } }
";

const MIDDLE: &str = "
fn baseline(p) {
    if p.batches.maximum() > 50 { throw \"no middle\"; }
    let mean = p.batches.mean();
    baseline(mean, mean - 1.0, mean + 1.0)
}
";

const APART: &str = "
parameters(#{ metric: metric(\"m\") });
fn check(p) {
    if p.metric.deviation == () { return; }
    if p.metric.deviation >= 1 { critical(\"apart\") } else { clear() }
}
";

fn settings() -> Settings {
    let script = |name: &str, text: &str| Script { name: name.into(), path: name.into(), text: text.into() };
    let files = [File { path: "learning.yaml".into(), text: CONFIGURATION.into() }];
    let scripts = vec![script("middle", MIDDLE), script("apart", APART)];
    let settings = config::load(&files, scripts, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()));
    settings.unwrap_or_else(|errors| panic!("{}", errors.render(false)))
}

fn begin(settings: &Settings, restored: Restored) -> (Engine, Vec<Shard>, Vec<Feed>) {
    let (definitions, formats) = (settings.definitions.clone(), settings.formats.clone().into());
    let (engine, shards, _) = Engine::new(definitions, formats, settings.library.clone(), 1, restored);
    let streams = &settings.definitions.streams;
    let feeds = engine.feeds().map(|feed| Feed {
        fingerprint: feed.fingerprint,
        stream: streams[feed.stream].name.clone(),
        window: feed.window,
        downsample: feed.downsample,
        sources: feed.sources,
        baselines: feed.baselines,
    });
    let feeds = feeds.collect();
    (engine, shards, feeds)
}

/// Hours of samples go through the engine: b leaves its band in the sixth, c makes its function fail before.
#[tokio::test]
async fn what_the_engine_learns_is_told_and_goes_on_after_a_restart() {
    let settings = settings();
    let (mut engine, mut shards, feeds) = begin(&settings, Restored::default());
    let world = World::new((*settings.definitions).clone(), feeds.clone(), 100);
    for hour in 0..7 {
        let time = at(hour) + Span::from_secs(1800);
        let mut batch = Batch::new(0, Arc::from("t"), 0, time);
        for (place, (host, ill_at, value)) in [("a", 0, 10), ("b", 5, 12), ("c", 4, 100)].into_iter().enumerate() {
            let value = if hour == ill_at { value } else { 10 };
            let line = format!("cpu,host={host} load={value} {}\n", time.nanos());
            batch.push(3 * hour + place as i64, None, false, None, Some(line.as_bytes()), []);
        }
        let worker = engine.admit(&mut shards, &batch);
        fill(&mut shards[worker], &batch);
        loop {
            let step = engine.advance(&mut shards, &[]);
            if !step.more && !step.asking {
                break;
            }
        }
        world.apply(&engine.collect(&shards, 0));
    }

    // The first hour was seen in part and is not learned; the training window of four hours was full with the fifth.
    let all = [
        "novel a from 1: none; 5 to 6: Some(10.0) at none",
        "novel b from 1: none; 5 to 6: Some(12.0) at none",
        "novel c from 1: none; 5 to 6: Some(10.0) at none",
        "usual a from 1: 10 [9 11] for 6 to 7; 5 to 6: Some(10.0) at 10 [9 11] is 0",
        "usual b from 1: 10 [9 11] for 6 to 7; 5 to 6: Some(12.0) at 10 [9 11] is 2",
        "usual c from 1: none for 6 to 7; 5 to 6: Some(10.0) at none; no middle in line 3",
    ];
    let rig = Rig::of(world).await;
    let by_zone = |name: &str| v1::ListBaselinesRequest { baseline: name.into(), ..Default::default() };
    let told = async |rig: &Rig| [list(rig, by_zone("novel")).await, list(rig, by_zone("usual")).await].concat();
    assert_eq!(told(&rig).await, all);
    let request = v1::GetHistoryRequest { name: "host b".into(), ..Default::default() };
    let history = rig.health().get_history(request).await.expect("a history").into_inner().transitions;
    let own = history.iter().find(|of| of.health() == v1::HealthKind::Own).expect("a transition of its own health");
    let request = v1::ExplainTransitionRequest { id: own.id.clone() };
    let explained = rig.health().explain_transition(request).await.expect("an explanation").into_inner();
    assert_eq!(explained.transition.map(|transition| transition.message).as_deref(), Some("apart"));
    let seen = &explained.evidence.expect("evidence").inputs["metric"];
    let band = seen.baseline.expect("a band");
    assert_eq!(
        (band.average, band.lower, band.higher, seen.deviation, seen.stale),
        (10.0, 9.0, 11.0, Some(2.0), false)
    );
    assert_eq!(
        seen.values.iter().map(|(name, value)| (name.as_str(), *value)).collect::<Vec<_>>(),
        [("average", 12.0)]
    );

    // A start has all of it before anything is read, and drops nothing.
    let learned = rig.world.restored();
    let usual = learned.baselines.iter().find(|(_, head)| &*head.name == "usual").expect("a head").0;
    let hours: Vec<Time> = learned.columns.iter().filter(|(key, ..)| *key == usual).map(|(_, end, _)| *end).collect();
    assert_eq!(hours, [3, 4, 5, 6].map(at), "the training window of the hour that comes next");
    let world = rig.stop().await.reopen_with((*settings.definitions).clone(), feeds, 100);
    let (mut engine, shards, _) = begin(&settings, world.restored());
    world.apply(&engine.collect(&shards, 0));
    let kept = world.restored();
    assert_eq!(format!("{:?}", (kept.baselines, kept.baseline_instances, kept.columns, kept.models)), {
        let Restored { baselines, baseline_instances, columns, models, .. } = learned;
        format!("{:?}", (baselines, baseline_instances, columns, models))
    });
    assert_eq!(told(&Rig::of(world).await).await, all);
}
