//! Reading a configuration: files are merged, then sections are validated in the order in which they refer to
//! each other.

use crate::baselines::{self, BaselineEntry};
use crate::checks::{self, CheckEntry};
use crate::elements::{self, ElementEntry};
use crate::fields::{Fields, bytes, choice, count, span_or, text, wrong};
use crate::library::{self, Functions};
use crate::names::Names;
use crate::problem::{Errors, File, Problems};
use crate::raw::{self, Content, Key, Node};
use crate::settings::{Durability, PointsSettings, Settings, StoreSettings, TransitionsSettings};
use crate::sources::{self, Kafka, Outside, SourceEntry};
use crate::streams::{self, StreamEntry};
use crate::windows;
use functions::Script;
use model::definition::{Argument, ComponentDefinition, Definitions, Limits, Publication, RelationDefinition, Stream};
use model::{Element, Span};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What stands at the top of files. A section that lists definitions may stand in several of them.
#[derive(Default)]
struct Document<'a> {
    kafka: Option<&'a Node>,
    store: Option<&'a Node>,
    transitions: Option<&'a Node>,
    listen: Option<&'a Node>,
    limits: Option<&'a Node>,
    workers: Option<&'a Node>,
    zone: Option<&'a Node>,
    sources: Vec<(&'a Key, &'a Node)>,
    streams: Vec<(&'a Key, &'a Node)>,
    baselines: Vec<(&'a Key, &'a Node)>,
    components: Vec<(&'a Key, &'a Node)>,
    relations: Vec<&'a Node>,
    checks: Vec<(&'a Key, &'a Node)>,
}

/// Reads and validates a configuration. Several files are one configuration: what each defines is added to
/// the others'. `scripts` are the user's functions; one that has the name of a shipped function replaces it.
/// `environment` and `read_file` give what properties take from variables and files.
///
/// # Errors
///
/// Everything that is wrong, by file and place. What is written under a name that is defined wrongly is not
/// blamed for naming it.
pub fn load(
    files: &[File],
    scripts: Vec<Script>,
    environment: &dyn Fn(&str) -> Option<String>,
    read_file: &dyn Fn(&str) -> std::io::Result<String>,
) -> Result<Settings, Errors> {
    let mut problems = Problems::new(files);
    let mut broken = BTreeSet::new();
    let trees: Vec<Node> = files
        .iter()
        .enumerate()
        .filter_map(|(index, file)| raw::read(index, file, &mut broken, &mut problems))
        .collect();
    let document = merge(&trees, &mut problems);
    let outside = Outside { environment, read_file };
    let settings = validate(&document, scripts, &outside, &broken, &mut problems);
    let (errors, warnings, files) = problems.finish();
    match errors {
        Some(errors) => Err(errors),
        None => Ok(Settings { warnings, files, ..settings }),
    }
}

fn merge<'a>(trees: &'a [Node], problems: &mut Problems) -> Document<'a> {
    let mut document = Document::default();
    for tree in trees {
        let Some(mut fields) = Fields::of(tree, "sections such as `sources:`", problems) else { continue };
        for (name, section) in [
            ("sources", &mut document.sources),
            ("streams", &mut document.streams),
            ("baselines", &mut document.baselines),
            ("components", &mut document.components),
            ("checks", &mut document.checks),
        ] {
            match fields.take(name).map(|node| (node, &node.content)) {
                None | Some((_, Content::Nothing)) => {}
                Some((_, Content::Table(entries))) => section.extend(entries.iter().map(|(key, node)| (key, node))),
                Some((node, _)) => {
                    wrong(node, "definitions by name", problems);
                }
            }
        }
        document.relations.extend(fields.take("relations"));
        for (name, section) in [
            ("kafka", &mut document.kafka),
            ("store", &mut document.store),
            ("transitions", &mut document.transitions),
            ("listen", &mut document.listen),
            ("limits", &mut document.limits),
            ("workers", &mut document.workers),
            ("zone", &mut document.zone),
        ] {
            match (fields.take(name), &section) {
                (Some(node), None) => *section = Some(node),
                (Some(node), Some(first)) => {
                    problems.twice(&node.place, &first.place, format!("{name} is written twice"))
                }
                (None, _) => {}
            }
        }
        fields.finish(problems);
    }
    document
}

fn validate(
    document: &Document<'_>,
    scripts: Vec<Script>,
    outside: &Outside<'_>,
    broken: &BTreeSet<String>,
    problems: &mut Problems,
) -> Settings {
    let limits = document.limits.map(|node| limits(node, problems)).unwrap_or_default();
    let functions = library::compile(scripts, &limits, problems);
    let base = Kafka { brokers: "localhost:9092".to_owned(), properties: Vec::new() };
    let base = document.kafka.map(|node| kafka(node, &base, outside, problems)).unwrap_or(base);
    let zone = document.zone.and_then(|node| windows::zone_setting(node, problems)).unwrap_or_else(|| "UTC".into());
    let sources = sources::sources(&document.sources, &base, outside, broken, problems);
    let streams = streams::streams(&document.streams, &sources, &zone, broken, problems);
    let around = baselines::Around { streams: &streams, functions: &functions, zone: &zone };
    let baselines = baselines::baselines(&document.baselines, &around, broken, problems);
    let around = elements::Around { streams: &streams, functions: &functions };
    let components = elements::components(&document.components, &around, broken, problems);
    let relations = elements::relations(&document.relations, &components, &around, broken, problems);
    let around = checks::Around {
        streams: &streams,
        baselines: &baselines,
        components: &components,
        relations: &relations,
        functions: &functions,
        zone: &zone,
    };
    let checks = checks::checks(&document.checks, &around, broken, problems);
    let readers = readers(&streams, &baselines, &checks);
    unused(&sources, &streams, &components, &readers, problems);
    let defined = finish_streams(&streams, &readers, problems);
    let store = store(document.store, problems);
    let transitions = document.transitions.and_then(|node| transitions(node, &base, outside, problems));
    streams::apart(&streams, &sources, transitions.as_ref().map(|of| &*of.topic), problems);
    let publications = publications(&streams);
    let points = transitions.as_ref().map_or_else(
        || PointsSettings { brokers: base.brokers.clone(), properties: base.properties.clone() },
        |of| PointsSettings { brokers: of.brokers.clone(), properties: of.properties.clone() },
    );
    let listen = document.listen.and_then(|node| listen(node, problems));
    let workers = document.workers.and_then(|node| count(node, 1, 256, problems)).unwrap_or(1) as usize;
    assemble(
        Parts { sources, streams: defined, publications, baselines, components, relations, checks, functions, limits },
        |settings| Settings {
            store,
            transitions,
            points,
            listen: listen.unwrap_or_else(|| "127.0.0.1:7979".to_owned()),
            workers,
            ..settings
        },
    )
}

/// One who reads a stream: the stream, the width of the window, and who it is.
type Reader = (usize, Span, String);

/// All baselines, checks and topics, with what they read.
fn readers(
    streams: &Names<'_, StreamEntry>,
    baselines: &Names<'_, BaselineEntry>,
    checks: &Names<'_, CheckEntry>,
) -> Vec<Reader> {
    let mut readers = Vec::new();
    for of in publications(streams) {
        readers.push((of.stream, windows::width(&of.window), format!("what goes to the topic `{}`", of.topic)));
    }
    for (name, _, entry) in baselines.iter() {
        let baseline = &entry.definition;
        readers.push((baseline.stream, windows::width(&baseline.window), format!("the baseline `{name}`")));
    }
    for (name, _, entry) in checks.iter() {
        for (_, argument) in &entry.definition.arguments {
            let Argument::Input(input) = argument else { continue };
            let width = input.window.as_ref().map_or(Span::ZERO, windows::width);
            readers.push((input.stream, width, format!("the check `{name}`")));
        }
    }
    readers
}

/// What streams publish, in the order in which it is written.
fn publications(streams: &Names<'_, StreamEntry>) -> Vec<Publication> {
    let mut publications = Vec::new();
    for (stream, (_, _, entry)) in streams.entries.iter().enumerate() {
        publications.extend(entry.iter().flat_map(|entry| &entry.publish).map(|of| Publication {
            stream,
            topic: of.topic.as_str().into(),
            window: of.window.clone(),
            downsample: of.downsample.as_slice().into(),
        }));
    }
    publications
}

/// Streams with their time to live: at least as long as the widest window over each.
fn finish_streams(streams: &Names<'_, StreamEntry>, readers: &[Reader], problems: &mut Problems) -> Vec<Stream> {
    let mut widest = vec![(Span::ZERO, ""); streams.entries.len()];
    for (stream, width, reader) in readers {
        widest[*stream] = widest[*stream].max((*width, reader));
    }
    let mut defined = Vec::new();
    for ((name, _, entry), (widest, reader)) in streams.entries.iter().zip(widest) {
        let Some(entry) = entry else { continue };
        let time_to_live = match &entry.time_to_live {
            Some((written, place)) if *written < widest => {
                let message = format!("streams.{name}.time_to_live: {written} found, at least {widest} wanted");
                problems.error(place, message).help(format!("{reader} reads a window that is as long"));
                widest
            }
            Some((written, _)) => *written,
            // One that has a sample in each window lives on.
            None => widest.times(2).max(Span::from_secs(3600)),
        };
        defined.push(Stream {
            name: name.as_str().into(),
            source: entry.source,
            select: entry.select.clone(),
            each: entry.each.clone(),
            content: entry.content.clone(),
            time_to_live,
            unit: entry.unit.clone(),
        });
    }
    defined
}

/// Warns of what nobody reads.
fn unused(
    sources: &Names<'_, SourceEntry>,
    streams: &Names<'_, StreamEntry>,
    components: &Names<'_, ElementEntry>,
    readers: &[Reader],
    problems: &mut Problems,
) {
    let mut read: BTreeSet<usize> = components.iter().filter_map(|(_, _, entry)| entry.for_each).collect();
    read.extend(readers.iter().map(|(stream, _, _)| *stream));
    for (at, (name, place, _)) in streams.entries.iter().enumerate() {
        if !read.contains(&at) {
            problems.warn(
                place,
                format!("streams.{name}: no check reads this stream"),
                "it costs nothing, and gives nothing",
            );
        }
    }
    let read: BTreeSet<usize> = streams.iter().map(|(_, _, entry)| entry.source).collect();
    for (at, (name, place, _)) in sources.entries.iter().enumerate() {
        if !read.contains(&at) {
            problems.warn(place, format!("sources.{name}: no stream is made from this source"), "it is read in vain");
        }
    }
}

/// The validated sections.
struct Parts<'a> {
    sources: Names<'a, SourceEntry>,
    streams: Vec<Stream>,
    publications: Vec<Publication>,
    baselines: Names<'a, BaselineEntry>,
    components: Names<'a, ElementEntry>,
    relations: Names<'a, ElementEntry>,
    checks: Names<'a, CheckEntry>,
    functions: Functions,
    limits: Limits,
}

/// Puts the sections together. Where definitions were wrong they are left out, places do not agree, and the
/// caller gives back the errors instead.
fn assemble(parts: Parts<'_>, rest: impl FnOnce(Settings) -> Settings) -> Settings {
    let Parts { streams, publications, limits, .. } = parts;
    let mut definitions = Definitions { streams, publications, limits, ..Definitions::default() };
    let (mut formats, mut source_settings, mut baselines) = (Vec::new(), Vec::new(), Vec::new());
    for source in parts.sources.entries.into_iter().filter_map(|(_, _, entry)| entry) {
        definitions.sources.push(source.definition);
        formats.push(source.format);
        source_settings.push(source.settings);
    }
    for baseline in parts.baselines.entries.into_iter().filter_map(|(_, _, entry)| entry) {
        definitions.baselines.push(baseline.definition);
        baselines.push(baseline.binding);
    }
    for (_, _, entry) in parts.components.iter() {
        let Element::Component(name) = &entry.element else { continue };
        definitions.components.push(ComponentDefinition {
            name: name.clone(),
            kind: entry.kind.clone(),
            labels: entry.labels.clone(),
            for_each: entry.for_each,
            propagation: entry.propagation.clone(),
        });
    }
    for (_, _, entry) in parts.relations.iter() {
        let Element::Relation { from, to } = &entry.element else { continue };
        definitions.relations.push(RelationDefinition {
            from: from.clone(),
            to: to.clone(),
            kind: entry.kind.clone(),
            labels: entry.labels.clone(),
            for_each: entry.for_each,
            propagation: entry.propagation.clone(),
        });
    }
    let mut checks: Vec<CheckEntry> = parts.checks.entries.into_iter().filter_map(|(_, _, entry)| entry).collect();
    checks.sort_by(|a, b| a.definition.name.cmp(&b.definition.name));
    let mut bindings = Vec::new();
    for check in checks {
        definitions.checks.push(check.definition);
        bindings.push(check.binding);
    }
    rest(Settings {
        definitions: Arc::new(definitions),
        library: Arc::new(parts.functions.library),
        formats,
        sources: source_settings,
        store: StoreSettings::default(),
        transitions: None,
        points: PointsSettings { brokers: String::new(), properties: Vec::new() },
        listen: String::new(),
        workers: 1,
        bindings,
        baselines,
        warnings: Vec::new(),
        files: [].into(),
    })
}

fn kafka(node: &Node, base: &Kafka, outside: &Outside<'_>, problems: &mut Problems) -> Kafka {
    let Some(mut fields) = Fields::of(node, "settings such as { brokers: localhost:9092 }", problems) else {
        return base.clone();
    };
    let kafka = sources::kafka(&mut fields, base, outside, problems);
    fields.finish(problems);
    kafka
}

impl Default for StoreSettings {
    fn default() -> StoreSettings {
        StoreSettings {
            path: None,
            commit_every: Span::from_millis(100),
            snapshot_every: Span::from_secs(60),
            durability: Durability::Power,
            history: Span::from_secs(30 * 86_400),
            memory_bytes: 1 << 30,
        }
    }
}

fn store(node: Option<&Node>, problems: &mut Problems) -> StoreSettings {
    let mut store = StoreSettings::default();
    let Some(mut fields) = node.and_then(|node| Fields::of(node, "settings such as { path: data }", problems)) else {
        return store;
    };
    store.path = fields.take("path").and_then(|node| text(node, "a path", problems));
    store.commit_every = span_or(fields.take("commit_every"), store.commit_every, false, problems);
    store.snapshot_every = span_or(fields.take("snapshot_every"), store.snapshot_every, false, problems);
    store.history = span_or(fields.take("history"), store.history, false, problems);
    let words = [("power", Durability::Power), ("process", Durability::Process)];
    let durability = fields.take("durability").and_then(|node| choice(node, &words, problems));
    store.durability = durability.unwrap_or_default();
    let memory = fields.take("memory").and_then(|node| bytes(node, problems));
    store.memory_bytes = memory.map_or(store.memory_bytes, |memory| memory as usize);
    fields.finish(problems);
    store
}

fn transitions(
    node: &Node,
    base: &Kafka,
    outside: &Outside<'_>,
    problems: &mut Problems,
) -> Option<TransitionsSettings> {
    let mut fields = Fields::of(node, "settings such as { topic: vitalsign.transitions }", problems)?;
    let topic = fields.take("topic").and_then(|node| text(node, "a topic", problems));
    let Kafka { brokers, properties } = sources::kafka(&mut fields, base, outside, problems);
    fields.finish(problems);
    Some(TransitionsSettings {
        topic: topic.unwrap_or_else(|| "vitalsign.transitions".to_owned()),
        brokers,
        properties,
    })
}

fn listen(node: &Node, problems: &mut Problems) -> Option<String> {
    const WANTED: &str = "an address such as 127.0.0.1:7979";
    let address = text(node, WANTED, problems)?;
    match address.rsplit_once(':').map(|(host, port)| (host.is_empty(), port.parse::<u16>())) {
        Some((false, Ok(_))) => Some(address),
        _ => {
            wrong(node, WANTED, problems);
            None
        }
    }
}

fn limits(node: &Node, problems: &mut Problems) -> Limits {
    let mut limits = Limits::default();
    let Some(mut fields) = Fields::of(node, "bounds such as { series: 2000000 }", problems) else { return limits };
    for (name, limit) in [
        ("series", &mut limits.series),
        ("instances", &mut limits.instances),
        ("events_per_window", &mut limits.events_per_window),
        ("instants_per_step", &mut limits.instants_per_step),
    ] {
        if let Some(most) = fields.take(name).and_then(|node| count(node, 1, 1 << 40, problems)) {
            *limit = most as usize;
        }
    }
    if let Some(most) = fields.take("script_operations").and_then(|node| count(node, 1, 1 << 40, problems)) {
        limits.script_operations = most;
    }
    for (name, limit) in [
        ("event_size", &mut limits.event_bytes),
        ("script_memory", &mut limits.script_bytes),
        ("evidence_size", &mut limits.evidence_bytes),
    ] {
        if let Some(most) = fields.take(name).and_then(|node| bytes(node, problems)) {
            *limit = most as usize;
        }
    }
    fields.finish(problems);
    limits
}
