//! Streams: which series or events belong to them, and what makes their instances.

use crate::fields::{Fields, found, items, span, text, texts, wrong};
use crate::names::{Names, name};
use crate::problem::{Place, Problems, suggest};
use crate::raw::{Content as Raw, Key, Node};
use crate::sources::SourceEntry;
use crate::windows;
use model::Span;
use model::definition::{Condition, Content, Downsampling, Selector, Window};
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A stream, as far as it is known before checks say how wide their windows are.
pub(crate) struct StreamEntry {
    pub(crate) source: usize,
    pub(crate) select: Selector,
    pub(crate) each: Vec<Arc<str>>,
    pub(crate) content: Content,
    pub(crate) time_to_live: Option<(Span, Place)>,
    pub(crate) unit: Option<Arc<str>>,
    pub(crate) publish: Vec<Publish>,
}

/// A topic that a stream's points go to.
pub(crate) struct Publish {
    pub(crate) topic: String,
    /// Where the topic is written.
    pub(crate) place: Place,
    pub(crate) window: Window,
    pub(crate) downsample: Vec<Downsampling>,
}

/// Reads all streams.
pub(crate) fn streams<'b>(
    entries: &[(&Key, &Node)],
    sources: &Names<'_, SourceEntry>,
    zone: &Arc<str>,
    broken: &'b BTreeSet<String>,
    problems: &mut Problems,
) -> Names<'b, StreamEntry> {
    let mut names = Names::new("stream", broken);
    for (key, node) in entries {
        let name = name(key, problems);
        let entry = stream(node, sources, zone, problems);
        names.add(name, &key.place, entry, problems);
    }
    names
}

fn stream(
    node: &Node,
    sources: &Names<'_, SourceEntry>,
    zone: &Arc<str>,
    problems: &mut Problems,
) -> Option<StreamEntry> {
    let mut fields =
        Fields::of(node, "a stream such as { source: telegraf, select: { metric: cpu.usage } }", problems)?;
    let source = fields.need("source", "the name of a source", problems);
    let source = source.and_then(|node| sources.find(&text(node, "the name of a source", problems)?, node, problems));
    let select_node = fields.take("select");
    let each_node = fields.take("each");
    let each_texts = each_node.map(|node| match &node.content {
        Raw::List(items) if items.is_empty() => Vec::new(),
        _ => texts(node, "a list of labels", problems),
    });
    let mut each = each_texts.unwrap_or_default();
    each.sort();
    let time_to_live = fields.take("time_to_live");
    let time_to_live = time_to_live.and_then(|node| Some((span(node, false, problems)?, node.place.clone())));
    let unit = fields.take("unit").and_then(|node| text(node, "a unit such as ms", problems)).map(Arc::from);
    let as_node = fields.take("as");
    let publish_node = fields.take("publish");
    let publish = publish_node.map(|node| publications(node, zone, problems)).unwrap_or_default();
    fields.finish(problems);
    let (source_place, source) = source?;
    let select = select_node.map(|node| selector(node, source, problems)).unwrap_or_default();
    if let Some(node) = each_node {
        for label in &each {
            known_label(label, node, source, problems);
        }
    }
    let content = match as_node {
        None if source.events => Content::Events,
        None => Content::Metric,
        Some(node) => as_metric(node, source, problems)?,
    };
    if let Some(node) = publish_node.filter(|_| content == Content::Events) {
        let message =
            format!("{}: the source `{}` gives events, which have no points", node.path, source.settings.name);
        problems.error(&node.place, message).help("read the events as a metric: write `as: count` beside it");
    }
    Some(StreamEntry { source: source_place, select, each, content, time_to_live, unit, publish })
}

/// One topic with what goes there, or a list of these.
fn publications(node: &Node, zone: &Arc<str>, problems: &mut Problems) -> Vec<Publish> {
    const WANTED: &str = "a table such as { topic: power.minutes, window: batching 1m, downsample: average }";
    if items(node).is_empty() {
        wrong(node, WANTED, problems);
    }
    let mut all = Vec::new();
    for item in items(node) {
        let Some(mut fields) = Fields::of(item, WANTED, problems) else { continue };
        let topic = fields.need("topic", "a topic", problems);
        let window = fields.need("window", "a window such as `batching 1m`", problems);
        let downsample = fields.need("downsample", "one or more downsamplings such as average", problems);
        fields.finish(problems);
        let topic = topic.and_then(|node| Some((text(node, "a topic", problems)?, node.place.clone())));
        let window = window.and_then(|node| windows::window(node, zone, problems));
        let downsample = downsample.map(|node| windows::downsampling(node, problems)).unwrap_or_default();
        if let (Some((topic, place)), Some(window), false) = (topic, window, downsample.is_empty()) {
            all.push(Publish { topic, place, window, downsample });
        }
    }
    all
}

/// Refuses topics that another one writes to: what a consumer finds there must be one stream's, each point once. And
/// topics that are read, since a stream would feed on itself.
pub(crate) fn apart(
    streams: &Names<'_, StreamEntry>,
    sources: &Names<'_, SourceEntry>,
    transitions: Option<&str>,
    problems: &mut Problems,
) {
    let mut known: Vec<(&str, &str)> = Vec::new();
    for (name, _, entry) in streams.iter() {
        for Publish { topic, place, .. } in &entry.publish {
            let path = format!("streams.{name}.publish");
            let reads = |source: &SourceEntry| source.settings.topics.iter().any(|of| **of == **topic);
            if let Some((source, ..)) = sources.iter().find(|(_, _, entry)| reads(entry)) {
                let message = format!("{path}: the source `{source}` reads the topic `{topic}`");
                problems.error(place, message).help("write another topic: it would be fed with its own points");
            } else if transitions == Some(topic) {
                let message = format!("{path}: transitions are published to the topic `{topic}`");
                problems.error(place, message).help("points go to a topic of their own");
            } else if let Some((_, first)) = known.iter().find(|(of, _)| of == topic) {
                let message = format!("{path}: the stream `{first}` is published to the topic `{topic}` already");
                problems.error(place, message).help("each window of each stream goes to a topic of its own");
            }
            known.push((topic, name));
        }
    }
}

/// `count`, or `{ field: /pointer }`.
fn as_metric(node: &Node, source: &SourceEntry, problems: &mut Problems) -> Option<Content> {
    const WANTED: &str = "`count` or { field: /pointer }";
    if !source.events {
        let message = format!("{}: the source `{}` gives metrics already", node.path, source.settings.name);
        problems.error(&node.place, message).help("only a stream of events is read as a metric");
        return None;
    }
    if matches!(&node.content, Raw::Text(text) if text == "count") {
        return Some(Content::EventsAsMetric(None));
    }
    let mut fields = Fields::of(node, WANTED, problems)?;
    let field = fields.need("field", "a JSON pointer such as /duration_ms", problems);
    fields.finish(problems);
    Some(Content::EventsAsMetric(Some(crate::fields::pointer(field?, problems)?.into())))
}

fn selector(node: &Node, source: &SourceEntry, problems: &mut Problems) -> Selector {
    let mut selector = Selector::default();
    let Some(mut fields) = Fields::of(node, "conditions such as { metric: cpu.usage, host: web-1 }", problems) else {
        return selector;
    };
    let (metric, kind, field) = (fields.take("metric"), fields.take("type"), fields.take("field"));
    let labels = fields.take("labels");
    for (node, of_events) in [(metric, false), (kind, true), (field, true)] {
        let Some(node) = node.filter(|_| of_events != source.events) else { continue };
        let gives = if source.events { "events, which have a type" } else { "metrics, which have a name" };
        let instead = if source.events { "type" } else { "metric" };
        problems
            .error(&node.place, format!("{}: the source `{}` gives {gives}", node.path, source.settings.name))
            .help(format!("select by `{instead}`; a label of this name is written under `labels`"));
    }
    for node in [metric, kind].into_iter().flatten() {
        selector.name.extend(conditions(node, problems));
    }
    let mut label = |name: &str, node: &Node, problems: &mut Problems| {
        known_label(name, node, source, problems);
        for condition in conditions(node, problems) {
            selector.labels.push((name.into(), condition));
        }
    };
    for (key, node) in fields.rest() {
        label(&key.text, node, problems);
    }
    match labels.map(|node| (node, &node.content)) {
        Some((_, Raw::Table(entries))) => entries.iter().for_each(|(key, node)| label(&key.text, node, problems)),
        Some((node, _)) => {
            wrong(node, "conditions by label", problems);
        }
        None => {}
    }
    match field.map(|node| (node, &node.content)) {
        Some((_, Raw::Table(entries))) => {
            for (key, node) in entries {
                if !key.text.starts_with('/') {
                    problems
                        .error(&key.place, format!("{}: `{}` is no JSON pointer", node.path, key.text))
                        .help(format!("write `/{}`", key.text.replace('.', "/")));
                }
                for condition in conditions(node, problems) {
                    selector.fields.push((key.text.as_str().into(), condition));
                }
            }
        }
        Some((node, _)) => {
            wrong(node, "conditions by JSON pointer, such as { /level: error }", problems);
        }
        None => {}
    }
    selector
}

/// Refuses a label that a source cannot give.
fn known_label(label: &str, node: &Node, source: &SourceEntry, problems: &mut Problems) {
    if let Some(known) = source.labels.as_ref().filter(|known| !known.iter().any(|name| name == label)) {
        let message = format!("{}: the source `{}` gives no label `{label}`", node.path, source.settings.name);
        problems.error(&node.place, message).help(match known.is_empty() {
            true => "a source of this format names its labels under `labels`".to_owned(),
            false => suggest(label, known.iter().map(String::as_str)),
        });
    }
}

/// A text, `!text`, `/expression/`, `!/expression/`, any of a list of these, or a table of `is`, `not`, `match`,
/// `not_match`, all of which must hold.
fn conditions(node: &Node, problems: &mut Problems) -> Vec<Condition> {
    let Raw::Table(_) = &node.content else {
        return any_of(node, Form::Written, problems).into_iter().collect();
    };
    let Some(mut fields) = Fields::of(node, "a condition", problems) else { return Vec::new() };
    let forms = [("is", Form::Is), ("not", Form::Not), ("match", Form::Match), ("not_match", Form::NotMatch)];
    let written: Vec<_> = forms.map(|(name, form)| (fields.take(name), form)).into_iter().collect();
    if !written.iter().any(|(node, _)| node.is_some()) {
        wrong(node, "a condition such as { not: text }", problems);
    }
    fields.finish(problems);
    written.into_iter().filter_map(|(node, form)| any_of(node?, form, problems)).collect()
}

/// How a text is meant.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// As its first and last letters say.
    Written,
    Is,
    Not,
    Match,
    NotMatch,
}

/// A condition that holds for any of the texts; for the negations, for none of them.
fn any_of(node: &Node, form: Form, problems: &mut Problems) -> Option<Condition> {
    let list = items(node);
    if list.is_empty() {
        wrong(node, "a text, or a list of texts", problems);
    }
    let mut parts = Vec::new();
    for item in list {
        // The empty text is a condition too: it holds where the label is missing.
        let text = match &item.content {
            Raw::Text(text) => text.clone(),
            _ => text(item, "a text such as web-1, !web-1 or /web-.*/", problems)?,
        };
        let (form, text) = if form == Form::Written { written(&text) } else { (form, text.as_str()) };
        let expression = form == Form::Match || form == Form::NotMatch;
        if let Some(Err(error)) = expression.then(|| Regex::new(text)) {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned();
            problems.error(&item.place, format!("{}: {} is no regular expression: {reason}", item.path, found(item)));
            return None;
        }
        parts.push((form, text.to_owned()));
    }
    if list.len() > 1
        && form == Form::Written
        && parts.iter().any(|(form, _)| matches!(form, Form::Not | Form::NotMatch))
    {
        problems
            .error(&node.place, format!("{}: a list means any of its texts, and cannot hold a negation", node.path))
            .help("write { not: [a, b] } for none of them");
        return None;
    }
    match parts.as_slice() {
        [(Form::Is, text)] => return Some(Condition::Equal(text.as_str().into())),
        [(Form::Not, text)] => return Some(Condition::NotEqual(text.as_str().into())),
        _ => {}
    }
    let expressions: Vec<String> = parts
        .iter()
        .map(|(form, text)| match form {
            Form::Match | Form::NotMatch => format!("(?:{text})"),
            _ => regex::escape(text),
        })
        .collect();
    let negative = matches!(parts.first(), Some((Form::Not | Form::NotMatch, _)));
    match Regex::new(&format!("^(?:{})$", expressions.join("|"))) {
        Ok(regex) if negative => Some(Condition::NotMatch(regex)),
        Ok(regex) => Some(Condition::Match(regex)),
        Err(_) => {
            wrong(node, "expressions that are not as large together", problems);
            None
        }
    }
}

fn written(text: &str) -> (Form, &str) {
    let (negative, rest) = match text.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    match rest.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        Some(expression) if !expression.is_empty() => (if negative { Form::NotMatch } else { Form::Match }, expression),
        _ => (if negative { Form::Not } else { Form::Is }, rest),
    }
}
