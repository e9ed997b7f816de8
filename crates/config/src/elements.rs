//! Components and relations, written out or made by template.

use crate::fields::{Fields, found, items, labels, text, wrong};
use crate::library::Functions;
use crate::names::{Names, name};
use crate::problem::Problems;
use crate::raw::{Content, Key, Node};
use crate::streams::StreamEntry;
use functions::FunctionKind;
use model::definition::Propagation;
use model::{Element, Labels};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A component or a relation, or a template of them.
#[derive(Clone)]
pub(crate) struct ElementEntry {
    pub(crate) element: Element,
    pub(crate) kind: Arc<str>,
    pub(crate) labels: Labels,
    /// The stream whose instances make one each.
    pub(crate) for_each: Option<usize>,
    /// The labels that it has from its instance.
    pub(crate) each: Vec<Arc<str>>,
    pub(crate) propagation: Propagation,
}

impl ElementEntry {
    /// Whether it has a label of this name, its own or from its instance.
    pub(crate) fn has_label(&self, name: &str) -> bool {
        self.labels.get(name).is_some() || self.each.iter().any(|label| **label == *name)
    }
}

/// What components and relations are read with.
pub(crate) struct Around<'a> {
    pub(crate) streams: &'a Names<'a, StreamEntry>,
    pub(crate) functions: &'a Functions,
}

/// Reads all components.
pub(crate) fn components<'b>(
    entries: &[(&Key, &Node)],
    around: &Around<'_>,
    broken: &'b BTreeSet<String>,
    problems: &mut Problems,
) -> Names<'b, ElementEntry> {
    let mut names = Names::new("component", broken);
    for (key, node) in entries {
        let name = name(key, problems);
        if name.contains("->") {
            problems
                .error(&key.place, format!("{}: a component's name holds no `->`", node.path))
                .help("relations are listed under `relations`");
            names.add(name, &key.place, None, problems);
            continue;
        }
        let entry = component(&name, key, node, around, problems);
        names.add(name, &key.place, entry, problems);
    }
    names
}

fn component(name: &str, key: &Key, node: &Node, around: &Around<'_>, problems: &mut Problems) -> Option<ElementEntry> {
    let mut fields = Fields::of(node, "a component such as { type: service }", problems)?;
    let (kind, labels, propagation) = common(&mut fields, "component", around, problems);
    let for_each_node = fields.take("for_each");
    fields.finish(problems);
    let placeholders = match placeholders(name) {
        Some(placeholders) => placeholders,
        None => {
            let message = format!("{}: a brace in a name stands around a label, such as {{host}}", node.path);
            problems.error(&key.place, message);
            return None;
        }
    };
    let mut entry =
        ElementEntry { element: Element::component(name), kind, labels, for_each: None, each: Vec::new(), propagation };
    let Some(for_each_node) = for_each_node else {
        if let Some(label) = placeholders.first() {
            let message = format!("{}: `{{{label}}}` stands for a label, but there is no `for_each`", node.path);
            problems.error(&key.place, message).help("write the stream whose instances make one each: for_each: NAME");
            return None;
        }
        return Some(entry);
    };
    let stream = text(for_each_node, "the name of a stream", problems)?;
    let (place, stream_entry) = around.streams.find(&stream, for_each_node, problems)?;
    if stream_entry.each.is_empty() {
        let message = format!("{}: the stream `{stream}` has no `each`, so it has one instance only", node.path);
        problems.error(&for_each_node.place, message).help("leave `for_each` away, or give the stream `each`");
        return None;
    }
    for label in &placeholders {
        if !stream_entry.each.iter().any(|each| **each == **label) {
            let message = format!("{}: `{label}` is no label in `each` of the stream `{stream}`", node.path);
            problems
                .error(&key.place, message)
                .help(crate::problem::suggest(label, stream_entry.each.iter().map(|l| &**l)));
            return None;
        }
    }
    for label in &stream_entry.each {
        if !placeholders.contains(&&**label) {
            let message = format!("{}: the name lacks the label `{label}` of the stream `{stream}`", node.path);
            problems
                .error(&key.place, message)
                .help(format!("instances that differ in it would get one name; write `{name} {{{label}}}`"));
            return None;
        }
        if entry.labels.get(label).is_some() {
            let message = format!("{}: the label `{label}` comes from the stream `{stream}` already", node.path);
            problems.error(&node.place, message);
        }
    }
    entry.for_each = Some(place);
    entry.each = stream_entry.each.clone();
    Some(entry)
}

/// What components and relations have in common.
fn common(
    fields: &mut Fields<'_>,
    kind: &str,
    around: &Around<'_>,
    problems: &mut Problems,
) -> (Arc<str>, Labels, Propagation) {
    let written = fields.take("type").and_then(|node| text(node, "a type such as service", problems));
    let labels = fields.take("labels").map(|node| labels(node, problems)).unwrap_or_default();
    let propagation = fields.take("propagation").and_then(|node| propagation(node, around, problems));
    (written.unwrap_or_else(|| kind.to_owned()).into(), labels, propagation.unwrap_or_default())
}

fn propagation(node: &Node, around: &Around<'_>, problems: &mut Problems) -> Option<Propagation> {
    match text(node, "`auto`, `none` or the name of a propagation function", problems)?.as_str() {
        "auto" => Some(Propagation::Auto),
        "none" => Some(Propagation::None),
        name => {
            let function = around.functions.find(name, FunctionKind::Propagation, node, problems)?;
            Some(Propagation::Function(function.name.clone()))
        }
    }
}

/// Reads all relations, whose ends are components that are defined.
pub(crate) fn relations<'b>(
    lists: &[&Node],
    components: &Names<'_, ElementEntry>,
    around: &Around<'_>,
    broken: &'b BTreeSet<String>,
    problems: &mut Problems,
) -> Names<'b, ElementEntry> {
    let mut names = Names::new("relation", broken);
    for list in lists {
        if let Content::Table(_) = list.content {
            wrong(list, "a list of relations such as `- checkout -> payments`", problems);
            continue;
        }
        for node in items(list) {
            relation(node, components, around, &mut names, problems);
        }
    }
    names
}

fn relation(
    node: &Node,
    components: &Names<'_, ElementEntry>,
    around: &Around<'_>,
    names: &mut Names<'_, ElementEntry>,
    problems: &mut Problems,
) {
    const WANTED: &str = "a relation such as `checkout -> payments`";
    let (ends_node, common) = match &node.content {
        Content::Table(_) => {
            let Some(mut fields) = Fields::of(node, WANTED, problems) else { return };
            let ends = fields.need("relation", WANTED, problems);
            let common = common(&mut fields, "relation", around, problems);
            fields.finish(problems);
            let Some(ends) = ends else { return };
            (ends, common)
        }
        _ => (node, ("relation".into(), Labels::default(), Propagation::Auto)),
    };
    let Some(written) = text(ends_node, WANTED, problems) else { return };
    let Element::Relation { from, to } = Element::parse(&written) else {
        wrong(ends_node, WANTED, problems);
        return;
    };
    let element = Element::relation(from.clone(), to.clone());
    let ends = (components.find(&from, ends_node, problems), components.find(&to, ends_node, problems));
    let entry = match ends {
        (Some((from_place, _)), Some((to_place, _))) if from_place == to_place => {
            problems.error(&ends_node.place, format!("{}: `{from}` cannot depend on itself", node.path));
            None
        }
        (Some((_, from)), Some((_, to))) => {
            if let (Some(a), Some(b)) = (from.for_each, to.for_each)
                && a != b
            {
                let message = format!("{}: {} joins templates of different streams", node.path, found(ends_node));
                problems.error(&ends_node.place, message).help("both ends need the same `for_each`");
            }
            let template = if from.for_each.is_some() { from } else { to };
            let (kind, labels, propagation) = common;
            let (for_each, each) = (template.for_each, template.each.clone());
            if let Some(label) = each.iter().find(|label| labels.get(label).is_some()) {
                let message = format!("{}: the label `{label}` comes from the instance already", node.path);
                problems.error(&ends_node.place, message);
            }
            Some(ElementEntry { element: element.clone(), kind, labels, for_each, each, propagation })
        }
        _ => None,
    };
    names.add(element.to_string(), &ends_node.place, entry, problems);
}

/// The labels that stand in braces in a name; nothing where the braces do not pair.
fn placeholders(name: &str) -> Option<Vec<&str>> {
    let mut labels = Vec::new();
    let mut rest = name;
    while let Some(at) = rest.find(['{', '}']) {
        let inner = rest[at..].strip_prefix('{')?;
        let (label, after) = inner.split_once('}')?;
        if label.is_empty() || label.contains('{') {
            return None;
        }
        labels.push(label);
        rest = after;
    }
    Some(labels)
}
