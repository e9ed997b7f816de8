//! Single rules of the engine, by hand: what random worlds meet too rarely, and what the oracle is not told,
//! such as gaps and bounds.

#[allow(dead_code, reason = "not all of it is wanted here")]
#[path = "simulation/memory.rs"]
mod memory;

use config::{File, Settings};
use engine::state::{Change, PartitionKey, Restored};
use engine::{Engine, Said, Shard, Step, fill};
use functions::Script;
use model::record::Batch;
use model::transition::Health;
use model::{Counters, Reason, Span, Time};

/// The settings of every test here; `more` stands before the checks.
const SETTINGS: &str = r#"
sources:
  samples:
    topics: [samples]
    format: json
    name: /name
    value: /value
    time: /at in ms
    labels: { host: /host }
    lateness: 2s
    max_ahead: 1m
    max_skew: 30s
  events:
    topics: [events]
    format: events
    type: /type
    time: /at in ms
    lateness: 2s
streams:
  load:
    source: samples
    select: { metric: load }
    each: [host]
    publish: { topic: points, window: batching 10s, downsample: [sum, count] }
  all load: { source: samples, select: { metric: load } }
  happenings: { source: events, select: { type: log } }
components:
  host {host}: { for_each: load }
  service: {}
  journal: {}
checks:
  load:
    on: host {host}
    function: shown
    arguments: { metric: { stream: load, window: batching 10s, downsample: [count, sum] } }
  all:
    on: service
    function: shown
    arguments: { metric: { stream: all load, window: batching 10s, downsample: [count, sum] } }
  log:
    on: journal
    function: counted
    arguments: { events: { stream: happenings, window: batching 10s } }
"#;

/// Scripts that tell what they see: each run is another state than the one before.
const SCRIPTS: [(&str, &str); 2] = [
    (
        "shown",
        "parameters(#{ metric: metric(\"m\") });
         fn check(p) {
             if p.metric.sum < 0 { throw `less than nothing`; }
             let text = `${p.metric.count} make ${p.metric.sum}, incomplete: ${p.metric.incomplete}`;
             if p.state == CLEAR { deviating(text) } else { clear(text) }
         }",
    ),
    (
        "counted",
        "parameters(#{ events: events(\"e\") });
         fn check(p) {
             let text = `${p.events.len} events`;
             if p.state == CLEAR { deviating(text) } else { clear(text) }
         }",
    ),
];

struct Bench {
    settings: Settings,
    engine: Engine,
    shards: Vec<Shard>,
    start: Time,
    counters: Vec<Counters>,
}

impl Bench {
    fn new(more: &str) -> Bench {
        let file = File { path: "rules.yaml".to_owned(), text: format!("{SETTINGS}{more}") };
        let scripts =
            SCRIPTS.map(|(name, text)| Script { name: name.into(), path: format!("{name}.rhai"), text: text.into() });
        let settings = config::load(&[file], scripts.into(), &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()))
            .unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        let (formats, library) = (settings.formats.clone().into(), settings.library.clone());
        let (engine, shards, _) = Engine::new(settings.definitions.clone(), formats, library, 2, Restored::default());
        let counters = vec![Counters::default(); settings.definitions.sources.len()];
        Bench { settings, engine, shards, start: "2026-03-01T00:00:00Z".parse().expect("a time"), counters }
    }

    /// Begins again with what was committed.
    fn restart(&mut self, memory: &memory::Memory) {
        let (formats, library) = (self.settings.formats.clone().into(), self.settings.library.clone());
        (self.engine, self.shards, _) =
            Engine::new(self.settings.definitions.clone(), formats, library, 2, memory.restored());
    }

    fn source(&self, name: &str) -> usize {
        self.settings.definitions.sources.iter().position(|source| *source.name == *name).expect("a source")
    }

    fn key(&self, source: &str, partition: i32) -> PartitionKey {
        PartitionKey { source: source.into(), topic: source.into(), partition }
    }

    /// Reads samples of 1, polled at the second `polled`: of which host, and at which millisecond.
    fn read(&mut self, partition: i32, first: i64, polled: i64, samples: &[(&str, i64)]) {
        let samples: Vec<_> = samples.iter().map(|(host, at)| (*host, *at, 1.0)).collect();
        self.measure(partition, first, polled, &samples);
    }

    /// The same, with a value for each.
    fn measure(&mut self, partition: i32, first: i64, polled: i64, samples: &[(&str, i64, f64)]) {
        let start = self.start.millis();
        let value = |(host, at, value): &(&str, i64, f64)| {
            format!(r#"{{"name":"load","host":"{host}","value":{value},"at":{}}}"#, start + at)
        };
        self.take("samples", partition, first, polled, samples.iter().map(value));
    }

    /// Reads events: at which millisecond.
    fn happen(&mut self, partition: i32, first: i64, events: &[i64]) {
        let start = self.start.millis();
        let value = |at: &i64| format!(r#"{{"type":"log","at":{}}}"#, start + at);
        self.take("events", partition, first, 0, events.iter().map(value));
    }

    fn take(
        &mut self,
        source: &'static str,
        partition: i32,
        first: i64,
        polled: i64,
        values: impl Iterator<Item = String>,
    ) {
        let of = self.source(source);
        let mut batch = Batch::new(of, source.into(), partition, self.start + Span::from_secs(polled));
        for (offset, value) in (first..).zip(values) {
            batch.push(offset, None, false, None, Some(value.as_bytes()), []);
        }
        let shard = self.engine.admit(&mut self.shards, &batch);
        fill(&mut self.shards[shard], &batch);
    }

    fn tick(&self, source: &str, second: i64) -> Said {
        Said::Tick { source: self.source(source), frontier: self.start + Span::from_secs(second) }
    }

    fn advance(&mut self, said: &[Said]) -> Step {
        self.engine.advance(&mut self.shards, said)
    }

    /// What own health has come to since this was last asked.
    fn told(&mut self) -> Vec<String> {
        let start = self.start;
        let mut told = Vec::new();
        for change in self.engine.collect(&self.shards, 1) {
            match change {
                Change::Transition(of) if of.health == Health::Own => {
                    told.push(format!("{} {} {}", of.time - start, of.element, of.message));
                }
                Change::Source { name, record } => {
                    let source = self.source(&name);
                    self.counters[source] = record.counters;
                }
                _ => {}
            }
        }
        told
    }

    fn refused(&self, source: &str, reason: Reason) -> u64 {
        self.counters[self.source(source)].refused(reason)
    }
}

#[test]
fn each_bound_of_time_lies_inside() {
    let mut bench = Bench::new("");
    bench.read(0, 0, 0, &[("a", 0), ("a", 60_000), ("a", 60_001), ("a", 58_000), ("a", 57_999)]);
    bench.advance(&[]);
    assert_eq!(bench.told(), ["10s host a 1 make 1.0, incomplete: false", "10s service 1 make 1.0, incomplete: false"]);
    assert_eq!(bench.refused("samples", Reason::Ahead), 1);
    assert_eq!(bench.refused("samples", Reason::Late), 1);
    // A partition that comes later has the frontier for its floor.
    bench.read(1, 0, 60, &[("a", 58_000), ("a", 57_999)]);
    bench.advance(&[]);
    bench.told();
    assert_eq!(bench.refused("samples", Reason::BelowFloor), 1);
    assert_eq!(bench.counters[bench.source("samples")].samples, 4);
}

#[test]
fn a_sum_does_not_depend_on_the_order() {
    for values in [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]] {
        let mut bench = Bench::new("");
        bench.measure(0, 0, 60, &values.map(|value| ("a", 1_000, value)));
        bench.read(0, 3, 60, &[("b", 13_000)]);
        bench.advance(&[]);
        assert_eq!(bench.told()[0], "10s host a 3 make 0.6, incomplete: false");
    }
}

#[test]
fn records_that_were_lost_make_windows_incomplete() {
    let mut bench = Bench::new("");
    bench.read(0, 0, 60, &[("a", 5_000)]);
    bench.advance(&[]);
    let partition = bench.key("samples", 0);
    bench.engine.lose(&mut bench.shards, &partition, 1, 9);
    bench.read(0, 9, 60, &[("a", 30_000), ("a", 45_000)]);
    bench.advance(&[]);
    let told = bench.told();
    let of_host: Vec<_> = told.iter().filter(|told| told.contains("host")).collect();
    assert_eq!(of_host, ["10s host a 1 make 1.0, incomplete: true", "40s host a 1 make 1.0, incomplete: false"]);
}

/// What goes to topics, as the messages are written.
fn published(bench: &mut Bench) -> Vec<String> {
    let mut lines = Vec::new();
    for change in bench.engine.collect(&bench.shards, 0) {
        let Change::Publish { number, topic, messages } = change else { continue };
        for (key, value, at) in messages.iter() {
            let (key, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value));
            lines.push(format!("{number} {topic} {key} {value} {}", at - bench.start.millis()));
        }
    }
    lines
}

#[test]
fn points_are_published_once_they_are_final() {
    let mut bench = Bench::new("");
    bench.measure(0, 0, 60, &[("b\\n", 5_000, 0.25), ("a", 6_000, 1.0), ("a", 7_000, 2.0), ("a", 11_999, 7.0)]);
    assert!(!bench.advance(&[]).points);
    assert_eq!(published(&mut bench), Vec::<String>::new());
    let partition = bench.key("samples", 0);
    bench.engine.lose(&mut bench.shards, &partition, 4, 9);
    bench.read(0, 9, 60, &[("a", 32_000)]);
    assert!(bench.advance(&[]).points);
    // An empty window has a count, but no sum, and so no point; between 11 s and 32 s records were lost.
    let whole = r#""count":2,"values":{"sum":3,"count":2},"incomplete":true}"#;
    let point = |number: i64, key: &str, label: &str, start: &str, end: &str, rest: &str| {
        format!(
            r#"{number} points {key} {{"stream":"load","labels":{{"host":"{label}"}},"start":"2026-03-01T00:00:{start}Z","end":"2026-03-01T00:00:{end}Z",{rest} {end}000"#
        )
    };
    let quarter = r#""count":1,"values":{"sum":0.25,"count":1},"incomplete":true}"#;
    let seven = r#""count":1,"values":{"sum":7,"count":1},"incomplete":true}"#;
    let wanted = [
        point(1, "b\n", "b\\n", "00", "10", quarter),
        point(1, "a", "a", "00", "10", whole),
        point(1, "a", "a", "10", "20", seven),
    ];
    assert_eq!(published(&mut bench), wanted);
    // The next commit has the next number; the second window of it lacks nothing.
    bench.read(0, 10, 60, &[("a", 42_000), ("a", 52_000)]);
    bench.advance(&[]);
    let one = r#""count":1,"values":{"sum":1,"count":1}}"#;
    assert_eq!(published(&mut bench)[1], point(2, "a", "a", "40", "50", one));
}

#[test]
fn a_topic_made_anew_begins_at_the_frontier() {
    let mut bench = Bench::new("");
    bench.read(0, 0, 60, &[("a", 5_000), ("a", 20_000)]);
    bench.advance(&[]);
    bench.told();
    let partition = bench.key("samples", 0);
    bench.advance(&[Said::Recreated { partition, start: 0 }]);
    bench.read(0, 0, 60, &[("a", 17_999), ("a", 18_000), ("a", 33_000)]);
    bench.advance(&[]);
    assert_eq!(bench.told()[0], "20s host a 1 make 1.0, incomplete: false");
    assert_eq!(bench.refused("samples", Reason::BelowFloor), 1);
}

#[test]
fn the_first_instances_stay_served() {
    let mut bench = Bench::new("limits: { instances: 2 }");
    for window in 0..3 {
        let at = 10_000 * window;
        bench.read(0, 3 * window, 60, &[("a", at + 5_000), ("b", at + 5_000), ("c", at + 5_000)]);
        bench.advance(&[]);
    }
    let told = bench.told();
    assert_eq!(told.iter().filter(|told| told.contains("host a") || told.contains("host b")).count(), 4, "{told:?}");
    assert!(!told.iter().any(|told| told.contains("host c")), "{told:?}");
    assert!(bench.engine.overflow() > 0);
}

#[test]
fn the_first_series_stay_served() {
    let mut bench = Bench::new("limits: { series: 3 }");
    bench.read(0, 0, 60, &[("a", 1_000), ("b", 1_000), ("c", 1_000), ("a", 15_000)]);
    bench.advance(&[]);
    assert_eq!(bench.told(), ["10s host a 1 make 1.0, incomplete: false", "10s service 2 make 2.0, incomplete: false"]);
    assert_eq!(bench.refused("samples", Reason::Overflow), 3);
}

#[test]
fn a_window_holds_so_many_events() {
    let mut bench = Bench::new("limits: { events_per_window: 2 }");
    bench.happen(0, 0, &[1_000, 2_000, 3_000]);
    bench.happen(1, 0, &[1_000]);
    bench.advance(&[bench.tick("events", 10)]);
    assert_eq!(bench.told().last().map(String::as_str), Some("10s journal 2 events"));
    assert_eq!(bench.refused("events", Reason::Overflow), 1);
    // A window that has closed makes room.
    bench.happen(0, 3, &[11_000, 12_000]);
    bench.advance(&[bench.tick("events", 20)]);
    assert_eq!(bench.told(), ["20s journal 2 events"]);
    assert_eq!(bench.refused("events", Reason::Overflow), 1);
}

#[test]
fn a_partition_far_ahead_waits() {
    let mut bench = Bench::new("");
    bench.read(0, 0, 0, &[("a", 1_000)]);
    bench.read(1, 0, 0, &[("a", 60_000)]);
    assert_eq!(bench.advance(&[]).ahead, [bench.key("samples", 1)]);
    bench.read(0, 1, 0, &[("a", 29_999)]);
    assert_eq!(bench.advance(&[]).ahead, [bench.key("samples", 1)]);
    bench.read(0, 2, 0, &[("a", 30_000)]);
    assert_eq!(bench.advance(&[]).ahead, []);
}

#[test]
fn a_step_takes_so_many_instants() {
    let mut bench = Bench::new("limits: { instants_per_step: 1 }");
    bench.read(0, 0, 60, &[("a", 5_000), ("a", 15_000), ("a", 25_000), ("a", 32_000)]);
    for (end, more) in [(10, true), (20, true), (30, false)] {
        assert_eq!(bench.advance(&[]).more, more, "{end}");
        let told = bench.told();
        assert!(told.len() == 2 && told.iter().all(|told| told.starts_with(&format!("{end}s "))), "{told:?}");
    }
}

/// Runs one scenario of samples, one each 10 s.
fn check(configuration: &str, series: &str, until: &str, expect: &str) {
    let configuration = configuration.replace('\n', "\n  ");
    let text = format!(
        "configuration: |\n  {configuration}\nscenarios:\n  s:\n    given: [{{ every: 10s, series: {{ {series} }} }}]\n    \
         until: {until}\n    expect: {expect}\n"
    );
    let lapsing = "parameters(#{ metric: metric(\"m\") });
        fn check(p) { deviating(`${p.metric.value}`, #{ expires: duration(\"12s\") }) }";
    let beside = "parameters(#{ metric: metric(\"m\"), other: metric(\"o\") });
        fn check(p) {
            let text = `${p.metric.value.brief()} beside ${p.other.value.brief()}`;
            if p.state == CLEAR { deviating(text) } else { clear(text) }
        }";
    let scripts = [("lapsing", lapsing), ("beside", beside)];
    let scripts =
        scripts.map(|(name, text)| Script { name: name.into(), path: format!("{name}.rhai"), text: text.into() });
    let report = scenario::run(&text, "s.yaml", scripts.into()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(report.passed(), "{text}\n{report}");
}

#[test]
fn a_negated_condition_leaves_out_what_it_names() {
    let forms = [("b", "2"), ("'!b'", "5"), ("/b.*/", "6"), ("'!/b.*/'", "1"), ("{ match: b.*, not: b }", "4")];
    for (condition, sum) in forms {
        let configuration = format!(
            "streams:
  load: {{ source: samples, select: {{ metric: load, host: {condition} }} }}
components: {{ service: {{}} }}
checks:
  c:
    on: service
    function: threshold
    arguments: {{ metric: {{ stream: load, window: batching 10s, downsample: sum }}, critical: 100 }}"
        );
        let series = r#"'load{host="a"}': 1, 'load{host="b"}': 2, 'load{host="bc"}': 4"#;
        check(&configuration, series, "10s", &format!(r#"['10s service CLEAR "{sum}"']"#));
    }
}

#[test]
fn results_from_before_a_recovery_do_not_count() {
    let configuration = "streams:
  load: { source: samples, select: { metric: load } }
components: { service: {} }
checks:
  c:
    on: service
    function: threshold
    arguments: { metric: { stream: load, window: batching 10s, downsample: last }, deviating: 1 }
    for: 2 of 3";
    check(configuration, "load: 1 1 0 1 1", "50s", "[20s service DEVIATING, 30s service CLEAR, 50s service DEVIATING]");
}

#[test]
fn results_from_before_a_state_lapsed_do_not_count() {
    let configuration = "streams:
  load: { source: samples, select: { metric: load } }
components: { service: {} }
checks:
  c:
    on: service
    function: lapsing
    arguments: { metric: { stream: load, window: batching 10s, downsample: last } }
    for: 2 of 2
    on_missing: keep";
    let expect = "[20s service DEVIATING, 32s service UNKNOWN, 1m service DEVIATING]";
    check(configuration, "load: 1 1 _ _ 1 1", "1m", expect);
}

#[test]
fn what_retires_lets_go_of_what_depends_on_it() {
    let configuration = "streams:
  load: { source: samples, select: { metric: load }, each: [host], time_to_live: 30s }
components:
  service: {}
  host {host}: { for_each: load }
relations: [ 'service -> host {host}' ]
checks:
  c:
    on: host {host}
    function: threshold
    arguments: { metric: { stream: load, window: batching 10s, downsample: last }, critical: 1 }
    on_missing: keep";
    let expect = "[10s host a CRITICAL, 10s host a propagated CRITICAL, 10s service -> host a propagated CRITICAL, \
                  10s service propagated CRITICAL, 10s host b CLEAR, 10s host b propagated CLEAR, \
                  30s service propagated UNKNOWN]";
    check(configuration, r#"'load{host="a"}': 1, 'load{host="b"}': 0x9"#, "1m", expect);
}

#[test]
fn an_empty_window_takes_no_place_from_a_point_that_is_fresh() {
    let configuration = "streams:
  load: { source: samples, select: { metric: load } }
  beat: { source: samples, select: { metric: beat } }
components: { service: {} }
checks:
  c:
    on: service
    function: beside
    arguments:
      metric: { stream: beat, window: batching 10s, downsample: last }
      other: { stream: load, window: batching 10s, downsample: [minimum, count] }";
    let expect = "['10s service CLEAR \"1 beside 7\"', '20s service DEVIATING \"2 beside 7\"', \
                  '30s service CLEAR \"3 beside 9\"']";
    check(configuration, "beat: 1 2 3, load: 7 _ 9", "30s", expect);
}

#[test]
fn what_a_binding_names_is_counted_from_the_start_whatever_it_is_read_for() {
    let configuration = "streams:
  load: { source: samples, select: { metric: load } }
  beat: { source: samples, select: { metric: beat }, each: [host] }
components: { 'host {host}': { for_each: beat } }
checks:
  c:
    on: host {host}
    function: beside
    arguments:
      metric: { stream: beat, window: batching 10s, downsample: last }
      other: { stream: load, window: batching 10s, downsample: count }";
    let expect = "['10s host a CLEAR \"1 beside 0\"', '20s host a DEVIATING \"2 beside 1\"']";
    check(configuration, r#"'beat{host="a"}': 1 2, load: _ 9"#, "20s", expect);
}

#[test]
fn no_partition_is_idle_after_a_restart() {
    let mut bench = Bench::new("");
    let mut memory = memory::Memory::default();
    bench.read(0, 0, 60, &[("a", 5_000)]);
    bench.read(1, 0, 60, &[("a", 5_000)]);
    bench.advance(&[Said::Idle { partition: bench.key("samples", 1), at_offset: 1 }]);
    memory.commit(bench.engine.collect(&bench.shards, 9));
    bench.restart(&memory);
    bench.read(0, 1, 60, &[("a", 35_000)]);
    bench.advance(&[]);
    assert!(bench.told().is_empty(), "nobody knows yet what lies at the end of the other partition");
    bench.advance(&[Said::Idle { partition: bench.key("samples", 1), at_offset: 1 }]);
    assert_eq!(bench.told()[0], "10s host a 2 make 2.0, incomplete: false");
}

#[test]
fn an_error_that_stands_keeps_its_begin_over_a_restart() {
    let mut bench = Bench::new("");
    let mut memory = memory::Memory::default();
    let since = |memory: &memory::Memory| {
        let of = |(_, record): (_, engine::state::CheckRecord)| record.error.map(|error| error.since);
        memory.restored().checks.into_iter().find_map(of)
    };
    bench.measure(0, 0, 60, &[("a", 5_000, -1.0), ("a", 13_000, -1.0)]);
    bench.advance(&[]);
    memory.commit(bench.engine.collect(&bench.shards, 9));
    let first = since(&memory);
    assert_eq!(first, Some(bench.start + Span::from_secs(10)));
    bench.restart(&memory);
    bench.measure(0, 2, 60, &[("a", 25_000, -1.0)]);
    bench.advance(&[]);
    memory.commit(bench.engine.collect(&bench.shards, 9));
    assert_eq!(since(&memory), first);
}

#[test]
fn a_topic_made_anew_is_read_again_after_a_crash() {
    let mut bench = Bench::new("");
    let mut memory = memory::Memory::default();
    bench.read(0, 0, 60, &[("a", 5_000), ("a", 23_000)]);
    bench.advance(&[]);
    memory.commit(bench.engine.collect(&bench.shards, 9));
    let partition = bench.key("samples", 0);
    bench.advance(&[Said::Recreated { partition, start: 0 }]);
    bench.read(0, 0, 60, &[("a", 24_000)]);
    bench.advance(&[]);
    memory.commit(bench.engine.collect(&bench.shards, 0));
    bench.restart(&memory);
    let (_, position) = bench.engine.positions(&bench.shards).into_iter().next().expect("a partition");
    if position.next_offset == 0 {
        bench.read(0, 0, 60, &[("a", 24_000)]);
    }
    bench.read(0, 1, 60, &[("a", 35_000)]);
    bench.advance(&[]);
    assert_eq!(bench.told()[0], "30s host a 2 make 2.0, incomplete: false", "from {}", position.next_offset);
}

#[test]
fn a_gap_reaches_up_to_the_next_record() {
    let mut bench = Bench::new("");
    bench.read(0, 0, 60, &[("a", 5_000)]);
    bench.advance(&[]);
    let partition = bench.key("samples", 0);
    bench.engine.lose(&mut bench.shards, &partition, 1, 9);
    // Silence closes a window before anything is read behind the gap.
    bench.advance(&[bench.tick("samples", 10)]);
    assert_eq!(bench.told()[0], "10s host a 1 make 1.0, incomplete: true");
    bench.read(0, 9, 60, &[("a", 23_000)]);
    bench.advance(&[]);
    bench.read(0, 10, 60, &[("a", 35_000), ("a", 45_000)]);
    bench.advance(&[]);
    let told = bench.told();
    let of_host: Vec<_> = told.iter().filter(|told| told.contains("host")).collect();
    assert_eq!(of_host, ["30s host a 1 make 1.0, incomplete: true", "40s host a 1 make 1.0, incomplete: false"]);
}
