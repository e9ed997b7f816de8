//! Sources: topics, how time runs on them, and how their records are decoded.

use crate::fields::{Fields, bytes, choice, pointer, span_or, text, texts, wrong};
use crate::fingerprint::fnv;
use crate::names::{Names, name};
use crate::problem::Problems;
use crate::raw::{Content, Key, Node};
use crate::settings::{Secret, SourceSettings};
use codec::LabelSetting;
use model::definition::{Fetch, Source, Start};
use model::{Span, Time};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where variables and files come from.
pub(crate) struct Outside<'a> {
    pub(crate) environment: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) read_file: &'a dyn Fn(&str) -> std::io::Result<String>,
}

/// How Kafka is reached.
#[derive(Clone, Debug)]
pub(crate) struct Kafka {
    pub(crate) brokers: String,
    pub(crate) properties: Vec<(String, Secret)>,
}

/// A source, with what streams want to know of it.
pub(crate) struct SourceEntry {
    pub(crate) definition: Source,
    pub(crate) settings: SourceSettings,
    pub(crate) format: codec::Format,
    /// Whether it gives events; else samples.
    pub(crate) events: bool,
    /// The labels that its series or events have; none where the records themselves say.
    pub(crate) labels: Option<Vec<String>>,
}

/// Properties of the Kafka client that follow from other settings, and the setting to use.
const OWN_PROPERTIES: [(&str, &str); 7] = [
    ("bootstrap.servers", "write `brokers`"),
    ("metadata.broker.list", "write `brokers`"),
    ("group.id", "write `group`"),
    ("auto.offset.reset", "write `start`"),
    ("enable.auto.commit", "offsets are committed with the state they belong to"),
    ("enable.auto.offset.store", "offsets are committed with the state they belong to"),
    ("enable.idempotence", "transitions are always published with it"),
];

const FETCH: [(&str, Fetch); 2] = [("own", Fetch::Own), ("librdkafka", Fetch::Librdkafka)];

/// Reads `brokers` and `properties`, on top of the defaults.
pub(crate) fn kafka(fields: &mut Fields<'_>, base: &Kafka, outside: &Outside<'_>, problems: &mut Problems) -> Kafka {
    let mut kafka = base.clone();
    if let Some(node) = fields.take("brokers") {
        let brokers = texts(node, "brokers such as localhost:9092", problems);
        for broker in brokers.iter().flat_map(|list| list.split(',')) {
            let port = broker.rsplit_once(':').map(|(_, port)| port.trim().parse::<u16>());
            if !matches!(port, Some(Ok(_))) {
                wrong(node, "brokers with their ports, such as localhost:9092", problems);
            }
        }
        kafka.brokers = brokers.join(",");
    }
    let Some(node) = fields.take("properties") else { return kafka };
    let Content::Table(entries) = &node.content else {
        wrong(node, "properties of the Kafka client by name", problems);
        return kafka;
    };
    for (key, value) in entries {
        if let Some((_, instead)) = OWN_PROPERTIES.iter().find(|(name, _)| *name == key.text) {
            problems.error(&key.place, format!("{}: this property is not free", value.path)).help(*instead);
        }
        if let Some(secret) = property(value, outside, problems) {
            kafka.properties.retain(|(name, _)| *name != key.text);
            kafka.properties.push((key.text.clone(), secret));
        }
    }
    kafka.properties.sort_by(|a, b| a.0.cmp(&b.0));
    kafka
}

/// A property: a text, or where it is read. Its value never gets into a message.
fn property(node: &Node, outside: &Outside<'_>, problems: &mut Problems) -> Option<Secret> {
    const WANTED: &str = "a text, { file: path } or { env: NAME }";
    let Content::Table(_) = &node.content else {
        problems.hide(&node.place);
        return match &node.content {
            Content::Text(text) => Some(Secret(text.clone())),
            Content::Number(..) | Content::Boolean(_) => text(node, WANTED, problems).map(Secret),
            _ => {
                wrong(node, WANTED, problems);
                None
            }
        };
    };
    let mut fields = Fields::of(node, WANTED, problems)?;
    let (file, env) = (fields.take("file"), fields.take("env"));
    fields.finish(problems);
    match (file, env) {
        (Some(node), None) => {
            let path = text(node, "a path", problems)?;
            match (outside.read_file)(&path) {
                Ok(text) => Some(Secret(text.trim_end_matches(['\r', '\n']).to_owned())),
                Err(error) => {
                    problems.error(&node.place, format!("{}: `{path}` cannot be read: {error}", node.path));
                    None
                }
            }
        }
        (None, Some(node)) => {
            let variable = text(node, "a variable", problems)?;
            let value = (outside.environment)(&variable);
            if value.is_none() {
                problems.error(&node.place, format!("{}: the variable `{variable}` is not set", node.path));
            }
            value.map(Secret)
        }
        _ => {
            wrong(node, WANTED, problems);
            None
        }
    }
}

/// Reads all sources.
pub(crate) fn sources<'b>(
    entries: &[(&Key, &Node)],
    base: &Kafka,
    outside: &Outside<'_>,
    broken: &'b BTreeSet<String>,
    problems: &mut Problems,
) -> Names<'b, SourceEntry> {
    let mut names = Names::new("source", broken);
    for (key, node) in entries {
        let name = name(key, problems);
        let entry = source(&name, node, base, outside, problems);
        names.add(name, &key.place, entry, problems);
    }
    names
}

fn source(
    name: &str,
    node: &Node,
    base: &Kafka,
    outside: &Outside<'_>,
    problems: &mut Problems,
) -> Option<SourceEntry> {
    let mut fields = Fields::of(node, "a source such as { topics: [telegraf], format: influx }", problems)?;
    let topics = fields.need("topics", "a list of topics", problems);
    let topics = topics.map(|node| self::topics(node, problems)).unwrap_or_default();
    let formats: Vec<(&str, &str)> = codec::FORMATS.iter().map(|entry| (entry.name, entry.name)).collect();
    let format_node = fields.need("format", "the format of the records", problems);
    let format_name = format_node.and_then(|node| choice(node, &formats, problems));
    let mut definition = Source {
        name: name.into(),
        mapping: 0,
        lateness: span_or(fields.take("lateness"), Span::from_secs(10), true, problems),
        idle_after: span_or(fields.take("idle_after"), Span::from_secs(5), false, problems),
        max_ahead: span_or(fields.take("max_ahead"), Span::from_secs(60), true, problems),
        max_skew: span_or(fields.take("max_skew"), Span::from_secs(300), false, problems),
    };
    let start = fields.take("start").and_then(|node| start(node, problems)).unwrap_or_default();
    let group = fields.take("group").and_then(|node| text(node, "a consumer group", problems));
    let fetch = fields.take("fetch").and_then(|node| choice(node, &FETCH, problems)).unwrap_or_default();
    let kafka = kafka(&mut fields, base, outside, problems);
    let settings = format_settings(&mut fields, problems);
    fields.finish(problems);
    let format_name = format_name?;
    let format = match codec::Format::new(format_name, &settings) {
        Ok(format) => format,
        Err(errors) => {
            for error in errors {
                plan_error(node, &error, problems);
            }
            return None;
        }
    };
    let labels = matches!(format_name, "json" | "events")
        .then(|| settings.labels.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>())
        .filter(|names| !names.iter().any(|name| name.ends_with('*')));
    let mut sorted = topics.clone();
    sorted.sort();
    definition.mapping = fnv(format!("{sorted:?} {format_name} {settings:?}").as_bytes());
    Some(SourceEntry {
        definition,
        settings: SourceSettings {
            name: name.into(),
            topics,
            format: format_name.to_owned(),
            start,
            fetch,
            brokers: kafka.brokers,
            group: group.unwrap_or_else(|| "vitalsign".to_owned()),
            properties: kafka.properties,
        },
        format,
        events: format_name == "events",
        labels,
    })
}

/// Topics by their names, which are Kafka's: what begins with `^` would be an expression to the client.
fn topics(node: &Node, problems: &mut Problems) -> Vec<Arc<str>> {
    let topics = texts(node, "a list of topics", problems);
    for topic in &topics {
        if topic.len() > 249 || !topic.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
            let message = format!("{}: `{topic}` is no name of a topic", node.path);
            problems.error(&node.place, message).help("it has letters, digits, dots, underscores and hyphens only");
        }
    }
    topics
}

fn start(node: &Node, problems: &mut Problems) -> Option<Start> {
    match text(node, "`latest`, `earliest` or a time", problems)?.as_str() {
        "latest" => Some(Start::Latest),
        "earliest" => Some(Start::Earliest),
        other => {
            let time = other.parse::<Time>().ok();
            if time.is_none() {
                wrong(node, "`latest`, `earliest` or a time such as 2026-03-01T12:00:00Z", problems);
            }
            time.map(Start::At)
        }
    }
}

/// What is written about the format, as the codec takes it: it knows what means something to which format.
fn format_settings(fields: &mut Fields<'_>, problems: &mut Problems) -> codec::Settings {
    let mut settings = codec::Settings {
        value: fields.take("value").and_then(|node| pointer(node, problems)),
        values: pairs(fields.take("values"), "pointers by name, such as { rtt: /rtt_ms }", problems),
        name: fields.take("name").and_then(|node| text(node, "a name", problems)),
        kind: fields.take("kind").and_then(|node| text(node, "a kind of value", problems)),
        kinds: pairs(fields.take("kinds"), "kinds by word, such as { counter: cumulative }", problems),
        event_type: fields.take("type").and_then(|node| text(node, "a type", problems)),
        identity: fields.take("identity").and_then(|node| text(node, "a pointer such as /id", problems)),
        each: fields.take("each").and_then(|node| pointer(node, problems)),
        extremes: fields.take("extremes").and_then(|node| boolean(node, problems)),
        ..codec::Settings::default()
    };
    for (name, size) in
        [("max_event_bytes", &mut settings.max_event_bytes), ("max_record_bytes", &mut settings.max_record_bytes)]
    {
        *size = fields.take(name).and_then(|node| bytes(node, problems)).map(|size| size.min(1 << 31) as u32);
    }
    if let Some(node) = fields.take("time") {
        time(node, &mut settings, problems);
    }
    if let Some(node) = fields.take("time_unit") {
        settings.time_unit = text(node, "a unit of time", problems);
    }
    if let Some(node) = fields.take("labels") {
        match &node.content {
            Content::Table(entries) => {
                for (key, value) in entries {
                    if let Some(label) = label(value, problems) {
                        settings.labels.push((key.text.clone(), label));
                    }
                }
                settings.labels.sort_by(|a, b| a.0.cmp(&b.0));
            }
            _ => {
                wrong(node, "labels by name, such as { host: /host }", problems);
            }
        }
    }
    settings
}

/// `/timestamp in ms`, `{ at: /timestamp, unit: ms }`, or `record`.
fn time(node: &Node, settings: &mut codec::Settings, problems: &mut Problems) {
    const WANTED: &str = "a time such as `/timestamp in ms`, or `record`";
    match &node.content {
        Content::Text(text) if text == "record" => settings.time = Some(text.clone()),
        Content::Text(text) if text.starts_with('/') => match text.rsplit_once(" in ") {
            Some((at, unit)) => {
                settings.time = Some(at.trim().to_owned());
                settings.time_unit = Some(unit.trim().to_owned());
            }
            None => settings.time = Some(text.clone()),
        },
        Content::Table(_) => {
            let Some(mut fields) = Fields::of(node, WANTED, problems) else { return };
            let at = fields.need("at", "a JSON pointer such as /timestamp", problems);
            settings.time = at.and_then(|node| pointer(node, problems));
            settings.time_unit = fields.take("unit").and_then(|node| text(node, "a unit of time", problems));
            fields.finish(problems);
        }
        _ => {
            wrong(node, WANTED, problems);
        }
    }
}

/// A template, or `{ from: key }`, `{ from: topic }`, `{ header: name }`.
fn label(node: &Node, problems: &mut Problems) -> Option<LabelSetting> {
    const WANTED: &str = "a pointer such as /host, a text, { from: key }, { from: topic } or { header: name }";
    let Content::Table(_) = &node.content else {
        return text(node, WANTED, problems).map(LabelSetting::Template);
    };
    let mut fields = Fields::of(node, WANTED, problems)?;
    let (from, header) = (fields.take("from"), fields.take("header"));
    fields.finish(problems);
    match (from, header) {
        (Some(from), None) => match choice(from, &[("key", false), ("topic", true)], problems)? {
            true => Some(LabelSetting::Topic),
            false => Some(LabelSetting::Key),
        },
        (None, Some(header)) => text(header, "the name of a header", problems).map(LabelSetting::Header),
        _ => {
            wrong(node, WANTED, problems);
            None
        }
    }
}

fn pairs(node: Option<&Node>, what: &str, problems: &mut Problems) -> Vec<(String, String)> {
    match node.map(|node| (&node.content, node)) {
        None => Vec::new(),
        Some((Content::Table(entries), _)) => {
            entries.iter().filter_map(|(key, node)| Some((key.text.clone(), text(node, what, problems)?))).collect()
        }
        Some((_, node)) => {
            wrong(node, what, problems);
            Vec::new()
        }
    }
}

/// True or false.
pub(crate) fn boolean(node: &Node, problems: &mut Problems) -> Option<bool> {
    if let Content::Boolean(boolean) = node.content {
        return Some(boolean);
    }
    wrong(node, "`true` or `false`", problems);
    None
}

/// Tells what the codec says, at the setting that it speaks of.
fn plan_error(node: &Node, error: &codec::PlanError, problems: &mut Problems) {
    let setting = if error.setting == "event_type" { "type" } else { &error.setting };
    let mut at = node;
    for part in setting.splitn(2, '.') {
        let Content::Table(entries) = &at.content else { break };
        let Some((_, inner)) = entries.iter().find(|(key, _)| key.text == part) else { break };
        at = inner;
    }
    // The unit of time may stand within `time`.
    if at.path == node.path && setting == "time_unit" {
        at = child(node, "time").unwrap_or(node);
    }
    // What could not even be read is not there for the codec, and has been told.
    if !problems.any_at(&at.place) {
        problems.error(&at.place, format!("{}.{setting}: {}", node.path, error.message));
    }
}

/// The value of a key, wherever it is a table.
pub(crate) fn child<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    match &node.content {
        Content::Table(entries) => entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node),
        _ => None,
    }
}
