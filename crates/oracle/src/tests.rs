//! The semantics, read a second time: each rule with what it must come to, worked out by hand.
//!
//! A test is a text. First what is to be watched (`source`, `stream`, `baseline`, `component`, `check` ...), then what
//! happens: `p0 10s cpu{host=a}=5` is a record on partition 0 of the source `p` with a gauge of 5 (`:=` a
//! cumulative sample, `+=` a delta, `!{...}` an event), and `active`, `idle`, `tick`, `to`, `step` are the journal's
//! entries; a step's entries are put in their order.

mod baselines;
mod checks;
mod health;
mod reductions;
mod samples_and_clocks;
mod windows;

use crate::replay::World;
use crate::{Content, Entry, Item, Kind, Record};
use functions::{Library, Script};
use model::definition::{
    Argument, BaselineDefinition, BaselineFunction, CheckDefinition, ComponentDefinition, Condition, Content as Made,
    Definitions, Downsampling, Input, Learner, OnlineModel, Propagation, Quorum, RelationDefinition, Selector, Shape,
    Source, Stream, Target, Window,
};
use model::{Element, Labels, Span, Time, Value};
use std::fmt::{Debug, Display, Write};
use std::str::FromStr;
use std::sync::Arc;

/// Above 100 critical, above 50 deviating, below 0 unknown, 13 nothing, 14 an error; 200 for fifteen seconds.
const LEVEL: &str = r#"
parameters(#{ m: metric("m"), limit: number("l", 100) });
fn check(p) {
    let v = p.m.value;
    if v == 13 { return; }
    if v == 14 { throw "bad luck"; }
    if v == 200 { return critical("for a while", #{ expires: duration("15s") }); }
    let said = `${v.brief()}`;
    if v >= p.limit { critical(said) } else if v >= 50 { deviating(said) } else if v < 0 { unknown(said) } else { clear() }
}
"#;
const SUM: &str = r#"
parameters(#{ m: metric("m"), o: metric("o") });
fn check(p) { critical(`${p.m.value.brief()} and ${p.o.value.brief()}`) }
"#;
const LIST: &str = r#"
parameters(#{ m: metric("m"), o: list(metric("o")) });
fn check(p) { let said = ""; for o in p.o { said += `${o.value.brief()};`; } critical(said) }
"#;
const TABLE: &str = r#"
parameters(#{ m: metric("m"), o: table(metric("o")) });
fn check(p) { critical(`${p.o.keys()}`) }
"#;
const SERIES: &str = r#"
parameters(#{ m: series("m") });
fn check(p) { if p.m.len() >= 3 { critical(`${p.m.first().value.brief()}`) } else { clear() } }
"#;
const EVENTS: &str = r#"
parameters(#{ e: events("e") });
fn check(p) { let said = ""; for e in p.e { said += e.at("/s"); } if said == "" { clear() } else { critical(said) } }
"#;
const EVENT: &str = r#"
parameters(#{ e: events("e") });
fn check(p) {
    switch p.e.first().at("/s") { "critical" => critical(""), "deviating" => deviating(""), _ => clear() }
}
"#;
const INVERT: &str = r#"
fn propagate(p) { if p.dependencies[0].state == CRITICAL { CLEAR } else { CRITICAL } }
"#;

fn parse<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("what the test means")
}

fn time(text: &str) -> Time {
    Time::from_nanos(0) + parse::<Span>(text)
}

fn shown(time: Time) -> Span {
    time - Time::from_nanos(0)
}

/// `key=value` among `words`.
fn option<'t>(words: &[&'t str], key: &str) -> Option<&'t str> {
    words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// `host=a,zone=b`
fn labels(text: &str) -> Labels {
    Labels::new(text.split(',').filter_map(|pair| pair.split_once('=')))
}

fn element(text: &str) -> Element {
    Element::parse(&text.replace("->", " -> "))
}

fn downsampling(text: &str) -> Downsampling {
    match text {
        "average" => Downsampling::Average,
        "count" => Downsampling::Count,
        "last" => Downsampling::Last,
        "rate" => Downsampling::Rate,
        "sum" => Downsampling::Sum,
        percentile => Downsampling::Percentile(1000 * parse::<u32>(&percentile[1..])),
    }
}

/// `cpu;20s:10s;average,count;series3`, and the name of a baseline behind it
fn argument(definitions: &Definitions, text: &str) -> Argument {
    if let Some(number) = text.strip_prefix('#') {
        return Argument::Value(Value::Number(parse(number)));
    }
    if let Some(label) = text.strip_prefix('$') {
        return Argument::Label(label.into());
    }
    let parts: Vec<&str> = text.split(';').collect();
    let downsample = parts.get(2).copied().unwrap_or_default().split(',').filter(|part| !part.is_empty());
    let shape = match parts.get(3).copied() {
        None | Some("point") => Shape::Point,
        Some("events") => Shape::Events,
        Some("list") => Shape::List,
        Some("table") => Shape::Table,
        Some(series) => Shape::Series(parse(series.trim_start_matches("series"))),
    };
    let stream = definitions.streams.iter().position(|stream| &*stream.name == parts[0]).expect("a stream");
    let baseline = |name: &&str| definitions.baselines.iter().position(|of| &*of.name == *name).expect("a baseline");
    let (downsample, baseline) = (downsample.map(downsampling).collect(), parts.get(4).map(baseline));
    Argument::Input(Input { stream, window: cut(parts[1]), downsample, shape, baseline })
}

/// `20s:10s` slides, `1h@Europe/Amsterdam` is a batch, `-` is none.
fn cut(text: &str) -> Option<Window> {
    match (text.split_once(':'), text.split_once('@')) {
        _ if text == "-" => None,
        (Some((width, slide)), _) => Some(Window::Sliding { width: parse(width), slide: parse(slide) }),
        (_, Some((size, zone))) => Some(Window::Batching { size: parse(size), zone: zone.into() }),
        _ => Some(Window::Batching { size: parse(text), zone: "UTC".into() }),
    }
}

fn quorum(text: Option<&str>) -> Quorum {
    let parts = text.and_then(|text| text.split_once('/'));
    parts.map_or(Quorum::default(), |(needed, of)| Quorum { needed: parse(needed), of: parse(of) })
}

/// Reads one line of what is to be watched; says whether it was one.
fn define(definitions: &mut Definitions, line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let name: Arc<str> = words.get(1).copied().unwrap_or_default().into();
    let span = |key: &str, usual: &str| parse::<Span>(option(&words, key).unwrap_or(usual));
    let stream = |name: &str| definitions.streams.iter().position(|stream| &*stream.name == name).expect("a stream");
    let for_each = option(&words, "for_each").map(stream);
    let own = labels(option(&words, "labels").unwrap_or_default());
    let kind: Arc<str> = option(&words, "type").unwrap_or("service").into();
    let propagation = match option(&words, "propagation") {
        None => Propagation::Auto,
        Some("none") => Propagation::None,
        Some(function) => Propagation::Function(function.into()),
    };
    match words[0] {
        "limit" => definitions.limits.instants_per_step = parse(&name),
        "source" => definitions.sources.push(Source {
            name,
            mapping: 0,
            lateness: span("lateness", "0s"),
            idle_after: span("idle_after", "5s"),
            max_ahead: span("ahead", "1m"),
            max_skew: span("skew", "1h"),
        }),
        "stream" => {
            let source = &words[2];
            let source = definitions.sources.iter().position(|known| *known.name == **source).expect("a source");
            let equal = |text: &str| Condition::Equal(text.into());
            let pair = |pair: &str| pair.split_once(':').map(|(name, value)| (Arc::from(name), equal(value)));
            let each = option(&words, "each").unwrap_or_default().split(',').filter(|label| !label.is_empty());
            let stream = Stream {
                name,
                source,
                select: Selector {
                    name: option(&words, "name").map(equal).into_iter().collect(),
                    labels: option(&words, "where").and_then(pair).into_iter().collect(),
                    fields: option(&words, "field").and_then(pair).into_iter().collect(),
                },
                each: each.map(Arc::from).collect(),
                content: match option(&words, "of") {
                    None => Made::Metric,
                    Some("events") => Made::Events,
                    Some("count") => Made::EventsAsMetric(None),
                    Some(pointer) => Made::EventsAsMetric(Some(pointer.into())),
                },
                time_to_live: span("ttl", "1h"),
                unit: None,
            };
            definitions.streams.push(stream);
        }
        "baseline" => {
            let learner = match option(&words, "call").expect("a learner") {
                "deviation" => Learner::Online(OnlineModel::Deviation { scales: 6.0 }),
                "novelty" => Learner::Online(OnlineModel::Novelty),
                function => Learner::Function(BaselineFunction {
                    function: function.into(),
                    arguments: Vec::new(),
                    period: span("period", "10s"),
                    train: span("train", "30s"),
                    adapt_after: span("adapt", "1h"),
                }),
            };
            definitions.baselines.push(BaselineDefinition {
                name,
                stream: stream(words[2]),
                window: cut(words[3]).expect("a window"),
                downsample: downsampling(words[4]),
                zone: words[3].split_once('@').map_or("UTC", |(_, zone)| zone).into(),
                keep: span("keep", "4w"),
                learner,
            });
        }
        "component" => {
            definitions.components.push(ComponentDefinition { name, kind, labels: own, for_each, propagation });
        }
        "relation" => {
            let (from, to) = name.split_once("->").expect("a relation");
            let (from, to) = (from.into(), to.into());
            definitions.relations.push(RelationDefinition { from, to, kind, labels: own, for_each, propagation });
        }
        "check" => {
            let known = ["on", "call", "for", "recover", "missing", "after", "error"];
            let given = words[2..].iter().filter_map(|word| word.split_once('='));
            let given = given.filter(|(name, _)| !known.contains(name));
            let mut arguments: Vec<(Arc<str>, Argument)> =
                given.map(|(name, text)| (Arc::from(name), argument(definitions, text))).collect();
            if words.contains(&"call=level") && option(&words, "limit").is_none() {
                arguments.push(("limit".into(), Argument::Value(Value::Number(100.0))));
            }
            let on = option(&words, "on").expect("a target");
            let on = match on.strip_prefix('@') {
                Some(text) => Target::Matching { kind: None, labels: labels(text) },
                None => Target::Named(element(on)),
            };
            definitions.checks.push(CheckDefinition {
                name,
                on: vec![on],
                function: option(&words, "call").expect("a function").into(),
                arguments,
                trigger: quorum(option(&words, "for")),
                recover: quorum(option(&words, "recover")),
                on_missing: option(&words, "missing").map(parse),
                missing_after: option(&words, "after").map(parse),
                unknown_on_error: option(&words, "error").is_some(),
            });
        }
        _ => return false,
    }
    true
}

/// `cpu{host=a}=5`
fn item(at: &str, text: &str) -> Item {
    let (name, rest) = text.split_at(text.find(['{', '!', '=', ':', '+']).expect("a value"));
    let (own, rest) = match rest.strip_prefix('{') {
        Some(rest) => rest.split_once('}').expect("an end of labels"),
        None => ("", rest),
    };
    let kinds = [(":=", Kind::Cumulative), ("+=", Kind::Delta), ("=", Kind::Gauge)];
    let content = match kinds.iter().find_map(|(sign, kind)| Some((rest.strip_prefix(sign)?, *kind))) {
        Some((value, kind)) => Content::Number { value: parse(value), kind },
        None => Content::Event { body: rest[1..].into(), kind: name.into() },
    };
    Item { name: name.into(), labels: labels(own), time: time(at), content }
}

/// Reads a test's text.
fn read(text: &str) -> (Definitions, Vec<Record>, Vec<Entry>) {
    let (mut definitions, mut records, mut journal) = (Definitions::default(), Vec::<Record>::new(), Vec::new());
    let mut step: Vec<(u8, Entry)> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if define(&mut definitions, line) {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let source = |name: &str| definitions.sources.iter().position(|known| *known.name == *name).expect("a source");
        let topic: Arc<str> = "t".into();
        let partition = |word: &str| (source(&word[..1]), parse::<i32>(&word[1..]));
        let next = |records: &[Record], (source, partition): (usize, i32)| {
            records.iter().filter(|record| (record.source, record.partition) == (source, partition)).count() as i64
        };
        match words[0] {
            "active" | "idle" => {
                let (source, partition) = partition(words[1]);
                let at_offset = next(&records, (source, partition));
                let floor = option(&words, "floor").map(time);
                step.push(match words[0] {
                    "active" => (0, Entry::Active { source, topic, partition, at_offset, floor }),
                    _ => (2, Entry::Idle { source, topic, partition, at_offset }),
                });
            }
            "tick" => step.push((3, Entry::Tick { source: source(words[1]), frontier: time(words[2]) })),
            "to" => {
                let (agenda, place) = if words.len() == 2 { ("p", words[1]) } else { (words[1], words[2]) };
                let (at, phase) = place.split_once('.').unwrap_or((place, "0"));
                let agenda = agenda.split('+').map(source).collect();
                step.push((4, Entry::Advanced { agenda, time: time(at), phase: parse(phase) }));
            }
            "step" => {
                step.sort_by_key(|(order, _)| *order);
                journal.extend(step.drain(..).map(|(_, entry)| entry));
                journal.push(Entry::Step);
            }
            _ => {
                let (source, partition) = partition(words[0]);
                let offset = next(&records, (source, partition));
                let rest: Vec<&str> = words[1..].iter().copied().filter(|word| !word.contains("at=")).collect();
                let items: Vec<Item> = rest.chunks(2).map(|pair| item(pair[0], pair[1])).collect();
                let arrival_appended = option(&words, "at").map(time);
                let at = items.iter().map(|item| item.time).min().expect("an item");
                step.push((1, Entry::Polled { source, topic: topic.clone(), partition, next_offset: offset + 1, at }));
                records.push(Record { source, topic, partition, offset, arrival_appended, items });
            }
        }
    }
    definitions.checks.sort_by(|a, b| a.name.cmp(&b.name));
    (definitions, records, journal)
}

fn library(definitions: &Definitions) -> Library {
    let scripts = [
        ("level", LEVEL),
        ("sum", SUM),
        ("list", LIST),
        ("table", TABLE),
        ("series", SERIES),
        ("events", EVENTS),
        ("event", EVENT),
        ("invert", INVERT),
        ("within", baselines::WITHIN),
        ("mean", baselines::MEAN),
        ("everything", baselines::EVERYTHING),
        ("phase", baselines::PHASE),
    ];
    let scripts = scripts.map(|(name, text)| Script { name: name.into(), path: name.into(), text: text.into() });
    Library::compile(scripts, &definitions.limits).expect("scripts that compile")
}

#[track_caller]
fn same(found: &str, expected: &str) {
    let trimmed =
        |text: &str| text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(found), trimmed(expected), "\nfound:\n{found}");
}

/// Replays, and compares transitions and refusals.
#[track_caller]
fn check(text: &str, expected: &str) {
    let (definitions, records, journal) = read(text);
    let outcome = crate::run(&definitions, &library(&definitions), &records, &journal);
    let mut found = String::new();
    for told in &outcome.transitions {
        let (at, health, message) = (shown(told.time), told.health.name(), &told.message);
        let message: &dyn Display = if message.is_empty() { &"" } else { &format!(": {message}") };
        let (element, from, to, cause) = (&told.element, told.from, told.to, &told.cause);
        writeln!(found, "{at} {element} {health} {from} > {to} by {cause}{message}").expect("memory");
    }
    for ((source, reason), count) in &outcome.refused {
        writeln!(found, "refused {} {count} {}", definitions.sources[*source].name, reason.name()).expect("memory");
    }
    same(&found, expected);
}

/// The same with own health alone.
#[track_caller]
fn check_own(text: &str, expected: &str) {
    let (definitions, records, journal) = read(text);
    let outcome = crate::run(&definitions, &library(&definitions), &records, &journal);
    let own = outcome.transitions.iter().filter(|told| told.health == model::transition::Health::Own);
    let lines = own.map(|told| format!("{} {} {} {}", shown(told.time), told.element, told.to, told.message));
    same(&lines.collect::<Vec<_>>().join("\n"), expected);
}

/// Replays, and compares the windows of the instances that live at the end.
#[track_caller]
fn points(text: &str, expected: &str) {
    let (definitions, records, journal) = read(text);
    let library = library(&definitions);
    let mut world = World::new(&definitions, &library, &records);
    journal.split_inclusive(|entry| *entry == Entry::Step).for_each(|step| world.step(step));
    let mut found = String::new();
    for feed in &world.feeds {
        for (labels, instance) in &feed.live {
            for closed in &instance.closed {
                let name = &definitions.streams[feed.stream].name;
                let (start, end) = (shown(closed.start), shown(closed.end));
                let points = closed.points.values().map(|point| format!("{} of {}", debug(&point.values), point.count));
                let points = points.collect::<Vec<_>>().join("; ");
                writeln!(found, "{name} {labels} {start}-{end}: {points}").expect("memory");
            }
        }
    }
    for ((source, reason), count) in &world.outcome().refused {
        writeln!(found, "refused {} {count} {}", definitions.sources[*source].name, reason.name()).expect("memory");
    }
    same(&found, expected);
}

fn debug(values: &[f64]) -> String {
    values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
}

const ONE: &str = "
    source p lateness=5s
    stream cpu p name=cpu ttl=30s
    component web
";
