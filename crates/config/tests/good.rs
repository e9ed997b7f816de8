//! A configuration that is right comes out as it is meant.

use config::{Durability, File, Settings, feed_fingerprint, load};
use model::definition::{Argument, Content, Fetch, Learner, OnlineModel, Quorum, Start, Window};
use model::{Span, State, Time, Value};

const EXAMPLE: &str = include_str!("example.yaml");

fn read(texts: &[&str]) -> Settings {
    let files: Vec<File> = texts
        .iter()
        .enumerate()
        .map(|(place, text)| File { path: format!("{place}.yaml"), text: (*text).to_owned() })
        .collect();
    let environment = |name: &str| (name == "KAFKA_PASSWORD").then(|| "hunter2".to_owned());
    load(&files, Vec::new(), &environment, &|_| Ok("from a file\n".to_owned())).expect("a configuration")
}

/// The arguments of a check, as `validate` prints them.
fn arguments(settings: &Settings, check: &str) -> Vec<String> {
    let binding = settings.bindings.iter().find(|binding| &*binding.check == check).expect("a check");
    binding.arguments.iter().map(|(name, argument)| format!("{name}: {argument}")).collect()
}

/// All baselines, much as `validate` prints them.
fn baselines(settings: &Settings) -> String {
    let mut text = String::new();
    for baseline in &settings.baselines {
        text.push_str(&format!("\n{}: {} of {}", baseline.baseline, baseline.function, baseline.input));
        let settings: Vec<String> = baseline.settings.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let own = settings.iter().position(|setting| setting.starts_with("period: ")).unwrap_or_default();
        for line in [&settings[..own], &settings[own..]].into_iter().filter(|line| !line.is_empty()) {
            text.push_str(&format!("\n    {}", line.join(", ")));
        }
    }
    text
}

#[test]
fn the_example_is_read_as_its_comments_say() {
    let settings = read(&[EXAMPLE]);
    let definitions = &settings.definitions;
    let names: Vec<&str> = settings.sources.iter().map(|source| &*source.name).collect();
    assert_eq!(names, ["telegraf", "collector", "probes", "shop events"]);
    let formats: Vec<&str> = settings.formats.iter().map(codec::Format::name).collect();
    assert_eq!(formats, ["influx", "otlp_proto", "json", "events"]);
    assert_eq!(settings.sources[0].brokers, "kafka-1:9092,kafka-2:9092");
    assert_eq!(settings.sources[3].brokers, "events:9092");
    let fetch: Vec<Fetch> = settings.sources.iter().map(|source| source.fetch).collect();
    assert_eq!(fetch, [Fetch::Own, Fetch::Own, Fetch::Own, Fetch::Librdkafka]);
    assert_eq!(settings.sources[1].properties[1].0, "sasl.password");
    assert_eq!(settings.sources[1].properties[1].1.reveal(), "hunter2");
    assert_eq!(definitions.sources[2].lateness, Span::from_secs(10));
    let heap = &definitions.streams[1];
    assert_eq!((&*heap.name, heap.source, heap.unit.as_deref()), ("heap used", 1, Some("B")));
    assert_eq!(definitions.streams[5].content, Content::EventsAsMetric(None));
    assert_eq!(definitions.streams[6].content, Content::EventsAsMetric(Some("/amount".into())));
    assert_eq!(definitions.components[2].for_each, Some(0));
    assert_eq!(definitions.relations[1].for_each, Some(0));
    assert_eq!(settings.store.path.as_deref(), Some("/var/lib/vitalsign"));
    assert_eq!(settings.store.durability, Durability::Power);
    assert_eq!(settings.transitions.as_ref().map(|it| it.topic.as_str()), Some("vitalsign.transitions"));
    assert_eq!(definitions.limits, model::definition::Limits::default());
    let unread: Vec<&str> = settings.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(unread, ["streams.order value: no check reads this stream"]);
}

#[test]
fn checks_are_sorted_and_bound_with_all_their_arguments() {
    let settings = read(&[EXAMPLE]);
    let checks = &settings.definitions.checks;
    let names: Vec<&str> = checks.iter().map(|check| &*check.name).collect();
    let first = ["bank is slow", "deployment state", "heap runs out", "no orders", "slow responses"];
    assert_eq!(names, [&first[..], &["unusual heap", "unusual responses"]].concat());
    let slow = &checks[4];
    assert_eq!((slow.trigger, slow.recover), (Quorum { needed: 3, of: 5 }, Quorum { needed: 2, of: 2 }));
    assert_eq!((slow.on_missing, slow.missing_after), (Some(State::Unknown), Some(Span::from_secs(120))));
    assert_eq!(checks[1].on_missing, None);
    let threshold = |metric: &str, deviating: &str, critical: &str| {
        [
            format!("metric: {metric}"),
            format!("deviating: {deviating}"),
            format!("critical: {critical}"),
            "direction: above".to_owned(),
            "recovery: nothing".to_owned(),
            "unit: ".to_owned(),
        ]
    };
    let slow = threshold("stream response time, sliding 5m every 30s, p95", "400", "1000");
    assert_eq!(arguments(&settings, "slow responses"), slow);
    // The stream is in seconds, and the slide is a sixth of the width.
    let bank = threshold("stream probe time, sliding 2m every 20s, average", "nothing", "1.5");
    assert_eq!(arguments(&settings, "bank is slow"), bank);
    let heap = arguments(&settings, "heap runs out");
    assert_eq!(heap[0], "metric: stream heap used, batching 1m, last, 120 points");
    assert_eq!(heap[1], "limit: stream heap limit, batching 1m, last, maximum");
    let bound = |check: usize| settings.bindings[check].elements.clone();
    assert_eq!(bound(0), ["bank", "payments -> bank"]);
    assert_eq!(bound(1), ["checkout"]);
    assert_eq!(bound(2), ["checkout", "payments"]);
    assert_eq!(bound(4), ["host {host}"]);
}

#[test]
fn baselines_of_the_example_are_read_and_bound() {
    let settings = read(&[EXAMPLE]);
    let wanted = "
response time by hour: seasonal_median of stream response time, batching 1h in Europe/Amsterdam, average
    width: 4, neighbours: 1, minimum: 3, least_ratio: 0.05, least: 0
    period: 1w, train: 8w, adapt_after: 2d, keep: 10w
usual heap: deviation of stream heap used, sliding 10m every 1m, average
    scales: 5, zone: Europe/Amsterdam, keep: 4w";
    assert_eq!(baselines(&settings), wanted);
    let [by_hour, heap] = &settings.definitions.baselines[..] else { panic!("two baselines") };
    let function = match &by_hour.learner {
        Learner::Function(function) => function,
        Learner::Online(model) => panic!("{model:?}"),
    };
    assert_eq!((function.period, function.train), (Span::from_secs(7 * 86_400), Span::from_secs(56 * 86_400)));
    assert!(matches!(&function.arguments[0], (name, Argument::Value(Value::Number(4.0))) if &**name == "width"));
    // The zone of batches is that of their window.
    assert_eq!((&*by_hour.zone, &*heap.zone), ("Europe/Amsterdam", "Europe/Amsterdam"));
    assert!(matches!(heap.learner, Learner::Online(OnlineModel::Deviation { scales: 5.0 })));
    let metric = |check: &str| arguments(&settings, check).swap_remove(0);
    assert_eq!(
        metric("unusual responses"),
        "metric: stream response time, batching 1h in Europe/Amsterdam, average, p95, baseline response time by hour"
    );
    let heap = "metric: stream heap used, sliding 10m every 1m, average, baseline usual heap";
    assert_eq!(metric("unusual heap"), heap);
}

#[test]
fn what_is_not_written_of_a_baseline_follows_from_its_batches() {
    let text = "
zone: Asia/Tokyo
sources: { a: { topics: [t], format: influx } }
streams: { s: { source: a }, t: { source: a } }
components: { c: }
baselines:
  hours: { stream: s, function: min_max, window: batching 1h in UTC, downsample: maximum }
  half days: { stream: s, function: min_max, window: batching 12h, downsample: maximum }
  days: { stream: s, function: min_max, window: batching 1d, downsample: maximum }
  weeks: { stream: s, function: min_max, window: batching 1w, downsample: maximum }
  short: { stream: s, function: min_max, window: batching 1h, downsample: maximum, train: 1d }
  of the week: { stream: s, function: min_max, window: batching 1h, downsample: maximum, period: 3w }
  points: { stream: t, function: novelty, window: sliding 3h, downsample: maximum }
  scales: { stream: t, function: deviation, window: batching 1h, downsample: maximum }
";
    let settings = read(&[text]);
    let wanted = "
days: min_max of stream s, batching 1d in Asia/Tokyo, maximum
    period: 1w, train: 4w, adapt_after: 1w, keep: 4w
half days: min_max of stream s, batching 12h in Asia/Tokyo, maximum
    period: 1d, train: 4w, adapt_after: 1d, keep: 4w
hours: min_max of stream s, batching 1h, maximum
    period: 1d, train: 4w, adapt_after: 1d, keep: 4w
of the week: min_max of stream s, batching 1h in Asia/Tokyo, maximum
    period: 3w, train: 6w, adapt_after: 3w, keep: 6w
points: novelty of stream t, sliding 3h every 30m, maximum
    zone: Asia/Tokyo, keep: 4w
scales: deviation of stream t, batching 1h in Asia/Tokyo, maximum
    scales: 4, keep: 4w
short: min_max of stream s, batching 1h in Asia/Tokyo, maximum
    period: 1d, train: 1d, adapt_after: 23h, keep: 1d
weeks: min_max of stream s, batching 1w in Asia/Tokyo, maximum
    period: 7w, train: 14w, adapt_after: 7w, keep: 14w";
    assert_eq!(baselines(&settings), wanted);
    // No check reads the streams, and nobody warns of it; an instance lives twice as long as the widest window.
    assert!(settings.warnings.is_empty(), "{}", settings.render_warnings(false));
    let lives: Vec<Span> = settings.definitions.streams.iter().map(|stream| stream.time_to_live).collect();
    assert_eq!(lives, [Span::from_secs(2 * (7 * 86_400 + 3600)), Span::from_secs(6 * 3600)]);
}

#[test]
fn an_input_has_the_baseline_that_it_names_or_the_only_one_of_its_points() {
    let one = "
sources: { a: { topics: [t], format: influx } }
streams: { s: { source: a }, other: { source: a } }
components: { c: }
baselines:
  z: { stream: s, function: novelty, window: batching 1h, downsample: average }
  y: { stream: s, function: novelty, window: batching 1h, downsample: maximum }
";
    let two = "
baselines:
  x: { stream: s, function: min_max, window: batching 1h, downsample: maximum }
checks:
";
    let inputs = [
        ("{ stream: s, window: batching 1h, downsample: average }", Some("z")),
        ("{ stream: s, window: batching 60m, downsample: [average, maximum] }", Some("z")),
        // Another downsampling comes first, another zone, another width, another stream: another point.
        ("{ stream: s, window: batching 1h, downsample: [p95, average] }", None),
        ("{ stream: s, window: batching 1h in Europe/London, downsample: average }", None),
        ("{ stream: s, window: sliding 1h every 1h, downsample: average }", None),
        ("{ stream: other, window: batching 1h, downsample: average }", None),
        // Two have such points, and nobody asked.
        ("{ stream: s, window: batching 1h, downsample: maximum }", None),
        ("{ stream: s, window: batching 1h, downsample: maximum, baseline: x }", Some("x")),
        ("{ baseline: y }", Some("y")),
        ("{ baseline: z, downsample: [average, maximum] }", Some("z")),
    ];
    let check = |(place, (input, _)): (usize, &(&str, _))| {
        format!("  c{place}: {{ on: c, function: threshold, arguments: {{ metric: {input} }} }}\n")
    };
    let checks: String = inputs.iter().enumerate().map(check).collect();
    let settings = read(&[one, &format!("{two}{checks}")]);
    let definitions = &settings.definitions;
    let names: Vec<&str> = definitions.baselines.iter().map(|baseline| &*baseline.name).collect();
    assert_eq!(names, ["x", "y", "z"]);
    for ((written, wanted), check) in inputs.iter().zip(&definitions.checks) {
        let Argument::Input(input) = &check.arguments[0].1 else { panic!("{check:?}") };
        let baseline = input.baseline.map(|place| &definitions.baselines[place]);
        assert_eq!(baseline.map(|baseline| &*baseline.name), *wanted, "{written}");
        if let Some(baseline) = baseline {
            let of = (baseline.stream, Some(&baseline.window), Some(&baseline.downsample));
            assert_eq!((input.stream, input.window.as_ref(), input.downsample.first()), of, "{written}");
        }
    }
    // All that is read beside the baseline's own downsampling comes behind it.
    assert_eq!(arguments(&settings, "c9")[0], "metric: stream s, batching 1h, average, maximum, baseline z");
}

#[test]
fn selectors_hold_for_what_they_say() {
    let settings = read(&[EXAMPLE]);
    let select = &settings.definitions.streams[1].select;
    let holds = |label: &str, text: &str| {
        let mut found = select.labels.iter().filter(|(name, _)| &**name == label).peekable();
        assert!(found.peek().is_some(), "{label}");
        found.all(|(_, condition)| condition.holds(text))
    };
    for (label, text, wanted) in [
        ("jvm.memory.pool.name", "G1 Eden Space", true),
        ("jvm.memory.pool.name", "not G1 Eden", false),
        ("deployment.environment", "test", false),
        ("deployment.environment", "", true),
        ("service.name", "payments", true),
        ("service.name", "payments2", false),
        ("service.name", "check.ut", false),
    ] {
        assert_eq!(holds(label, text), wanted, "{label} {text}");
    }
}

#[test]
fn several_files_are_one_configuration() {
    let sources = "sources: { a: { topics: t, format: influx, start: 2026-03-01T12:00:00Z } }";
    let rest = "
streams: { s: { source: a, unit: ms } }
components: { c: { labels: { limit: 7 } } }
relations: []
checks:
  quick:
    on: c
    function: threshold
    arguments: { metric: { stream: s, window: sliding 3h, downsample: average }, critical: { label: limit } }
";
    let settings = read(&[rest, "", "# nothing", sources]);
    let time: Time = "2026-03-01T12:00:00Z".parse().expect("a time");
    assert_eq!(settings.sources[0].start, Start::At(time));
    let check = &settings.definitions.checks[0];
    let Argument::Input(input) = &check.arguments[0].1 else { panic!("{check:?}") };
    let slide = Span::from_secs(1800);
    assert_eq!(input.window, Some(Window::Sliding { width: Span::from_secs(3 * 3600), slide }));
    assert!(matches!(&check.arguments[1].1, Argument::Value(Value::Nothing)));
    assert!(matches!(&check.arguments[2].1, Argument::Label(name) if &**name == "limit"));
    // The time to live is twice as long as the widest window.
    assert_eq!(settings.definitions.streams[0].time_to_live, Span::from_secs(6 * 3600));
}

#[test]
fn a_users_script_replaces_the_shipped_one() {
    let script = |text: &str| functions::Script {
        name: "threshold".into(),
        path: "functions/threshold.rhai".into(),
        text: text.into(),
    };
    let text = "
sources: { a: { topics: [t], format: influx } }
streams: { s: { source: a } }
components: { c: }
checks:
  mine: { on: c, function: threshold, arguments: { value: { stream: s, window: batching 1m, downsample: sum } } }
";
    let own = "//! Mine.\nparameters(#{ value: metric(\"the value\") });\nfn check(p) { clear() }\n";
    let files = [File { path: "a.yaml".into(), text: text.into() }];
    let settings = load(&files, vec![script(own)], &|_| None, &|_| Ok(String::new())).expect("a configuration");
    let names: Vec<String> = arguments(&settings, "mine");
    assert_eq!(names, ["value: stream s, batching 1m, sum"]);
}

#[test]
fn panes_are_known_again_by_what_determines_them() {
    let before = read(&[EXAMPLE]);
    let window = Window::Batching { size: Span::from_secs(60), zone: "UTC".into() };
    let fingerprint = |settings: &Settings, name: &str| {
        let stream = settings.definitions.streams.iter().position(|stream| &*stream.name == name).expect("a stream");
        feed_fingerprint(settings, stream, Some(&window))
    };
    let renamed =
        EXAMPLE.replace("response time", "latency").replace("400 ms", "300 ms").replace("telegraf:", "agent:");
    let renamed = read(&[&renamed.replace("source: telegraf", "source: agent")]);
    assert_eq!(fingerprint(&before, "response time"), fingerprint(&renamed, "latency"));
    let selected = read(&[&EXAMPLE.replace("service: checkout }\n    each", "service: payments }\n    each")]);
    assert_ne!(fingerprint(&before, "response time"), fingerprint(&selected, "response time"));
    let mapped = read(&[&EXAMPLE.replace("value: /result/ms", "value: /result/s")]);
    assert_ne!(fingerprint(&before, "probe time"), fingerprint(&mapped, "probe time"));
    assert_eq!(fingerprint(&before, "response time"), fingerprint(&mapped, "response time"));
}

#[test]
fn secrets_are_not_printed() {
    let text = EXAMPLE.replace("sasl.username: vitalsign", "sasl.username: swordfish\n    a.b: { file: /secret }");
    let settings = read(&[&text]);
    assert_eq!(settings.sources[0].properties[0].1.reveal(), "from a file");
    let printed = format!("{settings:?}");
    for secret in ["hunter2", "swordfish", "from a file"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(printed.contains("sasl.password"), "{printed}");
}

/// The settings of the example, which is to hold all that there are, are those of the reference.
#[test]
fn the_reference_knows_what_the_example_writes() {
    let reference = config::reference();
    for line in EXAMPLE.lines() {
        let Some((name, _)) = line.trim_start().trim_start_matches("- ").split_once(':') else { continue };
        let depth = line.len() - line.trim_start().len();
        let is_setting =
            (depth == 4 && !line.contains("sasl")) && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        assert!(!is_setting || reference.contains(&format!("`{name}`")), "{name}");
    }
    assert!(reference.contains("| `lateness` | `10s` |"));
}
