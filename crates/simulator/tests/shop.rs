//! What users of the shop rely on: it is the same for a seed, Vitalsign's decoders read what it writes, and each
//! fault is seen in what is written while it lasts, and not after.

use codec::{Decoded, Format, LabelSetting, Settings, series};
use model::record::Batch;
use model::{Labels, Span, Time};
use simulator::{CYCLE, Fault, Output, Shop, TOPICS, broken, schedule};
use std::collections::{BTreeMap, BTreeSet};

fn opening() -> Time {
    "2026-03-01T12:00:00.4Z".parse().expect("a time")
}

/// What a shop has written after so many seconds, in steps of this length.
fn written(seed: u64, seconds: i64, step: Span) -> Vec<Output> {
    let mut shop = Shop::new(seed, opening());
    let (mut now, end) = (shop.open(), shop.open() + Span::from_secs(seconds));
    let mut outputs = Vec::new();
    while now < end {
        now = (now + step).min(end);
        let written = shop.step(now);
        assert!(written.iter().all(|output| output.time <= now), "written before its time");
        outputs.extend(written);
    }
    outputs
}

fn format(topic: &str) -> Format {
    let text = |text: &str| Some(text.to_owned());
    let label = |name: &str, at: &str| (name.to_owned(), LabelSetting::Template(at.to_owned()));
    let (name, settings) = match topic {
        "telegraf" => ("influx", Settings::default()),
        "otlp_metrics" => ("otlp_proto", Settings::default()),
        "shop.metrics" => {
            let labels = vec![label("service", "/service")];
            let (name, value, time, time_unit) = (text("/name"), text("/value"), text("/ts"), text("ms"));
            ("json", Settings { name, value, time, time_unit, labels, ..Settings::default() })
        }
        "shop.sales" => {
            let (name, value, time, time_unit) = (text("/name"), text("/value"), text("/ts"), text("ms"));
            ("json", Settings { name, value, time, time_unit, ..Settings::default() })
        }
        "shop.events" => {
            let labels = vec![label("service", "/service")];
            ("events", Settings { event_type: text("/level"), time: text("/ts"), labels, ..Settings::default() })
        }
        _ => {
            let (event_type, time, time_unit) = (text("/type"), text("/timestamp"), text("s"));
            let labels = vec![label("host", "/host"), label("service", "/service")];
            ("events", Settings { event_type, time, time_unit, labels, ..Settings::default() })
        }
    };
    Format::new(name, &settings).expect("good settings")
}

/// One sample, or one event, whose value is then 1.
struct Seen {
    topic: &'static str,
    name: String,
    labels: Labels,
    time: Time,
    value: f64,
    body: String,
}

/// Reads everything as a source would; nothing of it may be refused.
fn decoded(outputs: &[Output]) -> Vec<Seen> {
    let formats: BTreeMap<&str, Format> = TOPICS.into_iter().map(|topic| (topic, format(topic))).collect();
    let mut seen = Vec::new();
    for output in outputs {
        let mut batch = Batch::new(0, output.topic.into(), 0, output.time);
        batch.push(0, Some(output.time.millis()), false, output.key.as_deref(), Some(&output.value), []);
        let mut found = Decoded::default();
        formats[output.topic].decode(output.topic, &batch.record(0), &mut found);
        assert!(found.rejects.is_empty(), "{:?} in {}", found.rejects, String::from_utf8_lossy(&output.value));
        for sample in &found.samples {
            let (name, labels) = series(found.slice(&sample.series), |name| name.into());
            let (name, value, time, body) = (name.to_string(), sample.value, sample.time, String::new());
            seen.push(Seen { topic: output.topic, name, labels, time, value, body });
        }
        for event in &found.events {
            let (name, labels) = series(found.slice(&event.series), |name| name.into());
            let body = String::from_utf8_lossy(found.slice(&event.body)).into_owned();
            seen.push(Seen { topic: output.topic, name: name.to_string(), labels, time: event.time, value: 1.0, body });
        }
    }
    seen
}

#[test]
fn a_seed_means_the_same_shop_however_time_is_cut() {
    let reference = written(7, 150, Span::from_secs(150));
    assert!(written(7, 150, Span::from_millis(330)) == reference);
    assert!(written(8, 150, Span::from_secs(150)) != reference);
    assert!(reference.is_sorted_by_key(|output| output.time));
}

#[test]
fn decoders_read_all_that_is_written() {
    let outputs = written(1, 120, Span::from_secs(1));
    let seen = decoded(&outputs);
    let series: BTreeSet<String> = seen.iter().map(|seen| format!("{} {}", seen.topic, seen.name)).collect();
    let wanted = [
        "icinga CheckResult",
        "icinga StateChange",
        "otlp_metrics http.client.requests",
        "otlp_metrics http.server.duration.count",
        "otlp_metrics http.server.duration.sum",
        "otlp_metrics http.server.requests",
        "shop.events error",
        "shop.events fatal",
        "shop.events info",
        "shop.events warn",
        "shop.metrics orders.per_minute",
        "shop.metrics queue.depth",
        "shop.sales sales.per_minute",
        "telegraf cpu.usage_idle",
        "telegraf cpu.usage_system",
        "telegraf cpu.usage_user",
        "telegraf http.response_ms",
        "telegraf jvm.heap_max",
        "telegraf jvm.heap_used",
        "telegraf mem.total",
        "telegraf mem.used",
        "telegraf mem.used_percent",
        "telegraf postgresql.connections",
        "telegraf postgresql.query_ms",
    ];
    assert_eq!(series.into_iter().collect::<Vec<_>>(), wanted);
    for seen in &seen {
        let late = opening() + Span::from_secs(120) - seen.time;
        assert!(Span::ZERO <= late && late <= Span::from_secs(121), "{} at {}", seen.name, seen.time);
    }
    for output in outputs.iter().filter(|output| output.topic == "telegraf") {
        assert!(output.value.ends_with(b"\n") && output.key.is_some());
    }
}

/// What shows a fault: a number that is above `limit` while it lasts, once it is under way, and below it otherwise.
fn symptom(fault: Fault, seen: &[&Seen]) -> (f64, f64) {
    let greatest = |name: &str, label: &str, value: &str| {
        let matching = seen.iter().filter(|seen| {
            seen.name == name && (label.is_empty() || seen.labels.get(label).is_some_and(|found| &**found == value))
        });
        matching.map(|seen| seen.value).fold(0.0, f64::max)
    };
    let events = |topic: &str, kind: &str, text: &str| {
        seen.iter().filter(|seen| seen.topic == topic && seen.name == kind && seen.body.contains(text)).count() as f64
    };
    match fault {
        Fault::SlowDatabase => (greatest("postgresql.query_ms", "", ""), 500.0),
        Fault::FullHeap => (greatest("jvm.heap_used", "host", "app-2"), 700.0 * 1_048_576.0),
        Fault::DeadHost => {
            let reports = seen.iter().any(|seen| seen.labels.get("host").is_some_and(|host| &**host == "web-2"));
            (if reports { 0.0 } else { 1.0 }, 0.5)
        }
        Fault::FailingRelation => (events("shop.events", "error", "502"), 0.5),
        Fault::ErrorBurst => (events("shop.events", "fatal", "OutOfMemoryError"), 0.5),
        Fault::OddHost => (greatest("http.response_ms", "host", "web-3"), 300.0),
        // At noon on a Sunday, what is usual is about 114.
        Fault::OddSales => {
            let sales = seen.iter().filter(|seen| seen.topic == "shop.sales").map(|seen| seen.value);
            (if sales.fold(f64::MAX, f64::min) < 80.0 { 1.0 } else { 0.0 }, 0.5)
        }
        Fault::HostDown => (events("icinga", "CheckResult", "No route to host"), 0.5),
    }
}

#[test]
fn every_fault_shows_while_it_lasts_and_then_is_over() {
    let seen = decoded(&written(3, 240, Span::from_secs(10)));
    let open = opening().floor(Span::from_secs(1));
    for cycle in [0, 1] {
        for breakage in schedule() {
            let begin = open + CYCLE.times(cycle);
            let middle = breakage.begins + Span::from_nanos((breakage.ends - breakage.begins).nanos() * 6 / 10);
            for (at, expected) in [(middle, true), (breakage.ends + Span::from_secs(1), false)] {
                // Whatever is measured is measured at least once in six seconds.
                let span = (begin + at, begin + at + Span::from_secs(6));
                let then: Vec<&Seen> = seen.iter().filter(|seen| span.0 <= seen.time && seen.time < span.1).collect();
                let (found, limit) = symptom(breakage.fault, &then);
                assert_eq!(found >= limit, expected, "{} after {at} of cycle {cycle}: {found}", breakage.description);
            }
        }
    }
}

#[test]
fn the_failing_relation_shows_in_what_checkout_counts() {
    let seen = decoded(&written(3, 100, Span::from_secs(10)));
    let at = |class: &str, seconds: i64| {
        let until = opening() + Span::from_secs(seconds);
        let asked = seen.iter().filter(|seen| {
            let is = |label: &str, value: &str| seen.labels.get(label).is_some_and(|found| &**found == value);
            seen.name == "http.client.requests"
                && seen.time <= until
                && is("service.name", "checkout")
                && is("peer.service", "payments")
                && is("status_class", class)
        });
        asked.map(|seen| seen.value).fold(0.0, f64::max)
    };
    let ratio = |from: i64, to: i64| {
        let failed = at("5xx", to) - at("5xx", from);
        failed / (failed + at("2xx", to) - at("2xx", from))
    };
    assert!(ratio(10, 50) < 0.03, "{}", ratio(10, 50));
    assert!(ratio(58, 82) > 0.3, "{}", ratio(58, 82));
}

#[test]
fn the_past_has_the_rhythm_of_days_and_odd_sales_do_not_leave_its_range() {
    let shop = Shop::new(5, opening());
    let sales = |outputs: Vec<Output>| decoded(&outputs).iter().map(|seen| seen.value).collect::<Vec<f64>>();
    let past = sales(shop.past(Span::from_secs(7 * 86_400)).collect());
    assert_eq!(past.len(), 7 * 24 * 60);
    let (least, most) = (past.iter().copied().fold(f64::MAX, f64::min), past.iter().copied().fold(0.0, f64::max));
    assert!(least < 40.0 && most > 150.0, "{least} to {most}");
    let now = written(5, 120, Span::from_secs(10)).into_iter().filter(|output| output.topic == "shop.sales");
    let now = sales(now.collect());
    assert!(now.iter().all(|value| (least..=most).contains(value)), "a threshold would find them: {now:?}");
    assert!(now.iter().any(|value| *value < 80.0));
}

#[test]
fn the_schedule_begins_at_once_breaks_everything_and_leaves_time_to_recover() {
    let faults: BTreeSet<Fault> = schedule().iter().map(|breakage| breakage.fault).collect();
    assert_eq!(faults.len(), schedule().len());
    assert!(schedule()[0].begins <= Span::from_secs(5));
    assert!(schedule().is_sorted_by_key(|breakage| breakage.begins));
    assert!(schedule().iter().all(|breakage| breakage.begins < breakage.ends && breakage.ends < CYCLE));
    let names = |elapsed| broken(Span::from_secs(elapsed)).map(|breakage| breakage.fault).collect::<Vec<_>>();
    assert_eq!(names(3), []);
    assert_eq!(names(4), [Fault::SlowDatabase]);
    assert_eq!(names(125), [Fault::SlowDatabase]);
    assert_eq!(names(60), [Fault::DeadHost, Fault::FailingRelation]);
}

#[test]
fn the_configuration_of_the_demo_is_good_and_uses_every_check_function_that_is_shipped() {
    let files = [config::File { path: "demo.yaml".to_owned(), text: simulator::DEMO_CONFIGURATION.to_owned() }];
    let no_file = |_: &str| Err(std::io::Error::other("no files here"));
    let settings = config::load(&files, Vec::new(), &|_| None, &no_file).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(settings.warnings.is_empty(), "{}", settings.render_warnings(false));
    let used: BTreeSet<&str> = settings.bindings.iter().map(|binding| &*binding.function).collect();
    for script in functions::shipped() {
        let function = settings.library.function(&script.name).expect("shipped functions are in every library");
        let is_check = function.kind == functions::FunctionKind::Check;
        assert!(!is_check || used.contains(script.name.as_str()), "{}", script.name);
    }
    let topics: BTreeSet<&str> =
        settings.sources.iter().flat_map(|source| &source.topics).map(|topic| &**topic).collect();
    assert_eq!(topics, BTreeSet::from(TOPICS));
}
