//! Reading settings out of a raw tree: each function takes what it wants, tells what is wrong with it,
//! and lets the reading go on.

use crate::problem::{Place, Problems, suggest};
use crate::raw::{Content, Key, Node};
use model::{Labels, Span};
use std::sync::Arc;

/// The entries of a table whose keys are settings. Every known key is taken once; `finish` tells of the rest.
pub(crate) struct Fields<'a> {
    entries: &'a [(Key, Node)],
    path: &'a str,
    known: Vec<&'static str>,
    pub(crate) place: &'a Place,
}

impl<'a> Fields<'a> {
    /// The fields of a table; of nothing, none. `what` says what is wanted.
    pub(crate) fn of(node: &'a Node, what: &str, problems: &mut Problems) -> Option<Fields<'a>> {
        let entries = match &node.content {
            Content::Table(entries) => entries.as_slice(),
            Content::Nothing => &[],
            _ => {
                wrong(node, what, problems);
                return None;
            }
        };
        Some(Fields { entries, path: &node.path, known: Vec::new(), place: &node.place })
    }

    /// The value of a key; nothing where it is not written.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<&'a Node> {
        self.known.push(name);
        self.entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node)
    }

    /// The value of a key that must be there.
    pub(crate) fn need(&mut self, name: &'static str, what: &str, problems: &mut Problems) -> Option<&'a Node> {
        let node = self.take(name);
        if node.is_none() {
            problems.error(self.place, format!("{}: `{name}` is missing, {what} wanted", self.path));
        }
        node
    }

    /// The entries whose keys are none of those taken: labels that stand among settings.
    pub(crate) fn rest(&self) -> impl Iterator<Item = &'a (Key, Node)> {
        let known = self.known.clone();
        self.entries.iter().filter(move |(key, _)| !known.contains(&key.text.as_str()))
    }

    /// Refuses the keys that nobody took.
    pub(crate) fn finish(self, problems: &mut Problems) {
        for (key, _) in self.rest() {
            let path = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
            problems
                .error(&key.place, format!("{path}`{}` is no setting here", key.text))
                .help(suggest(&key.text, self.known.iter().copied()));
        }
    }
}

/// Says that something else is wanted where this node stands.
pub(crate) fn wrong<'p>(node: &Node, what: &str, problems: &'p mut Problems) -> &'p mut crate::Problem {
    problems.error(&node.place, format!("{}: {} found, {what} wanted", node.path, found(node)))
}

/// What a node is, in a message.
pub(crate) fn found(node: &Node) -> String {
    match &node.content {
        Content::Nothing => "nothing".into(),
        Content::Boolean(boolean) => format!("`{boolean}`"),
        Content::Number(_, spelt) => format!("the number {spelt}"),
        Content::Text(text) if text.chars().count() > 60 => "a long text".into(),
        Content::Text(text) => format!("`{text}`"),
        Content::List(items) if items.is_empty() => "an empty list".into(),
        Content::List(_) => "a list".into(),
        Content::Table(_) => "a table".into(),
    }
}

/// A text that is not empty; numbers and booleans count as they are spelt.
pub(crate) fn text(node: &Node, what: &str, problems: &mut Problems) -> Option<String> {
    match &node.content {
        Content::Text(text) if !text.trim().is_empty() => Some(text.clone()),
        Content::Number(_, spelt) => Some(spelt.clone()),
        Content::Boolean(boolean) => Some(boolean.to_string()),
        _ => {
            wrong(node, what, problems);
            None
        }
    }
}

/// A duration with its unit; zero only where it is allowed.
pub(crate) fn span(node: &Node, zero: bool, problems: &mut Problems) -> Option<Span> {
    let found = match &node.content {
        Content::Text(text) => match text.parse::<Span>() {
            Ok(span) if span > Span::ZERO || (zero && span == Span::ZERO) => return Some(span),
            Ok(_) => {
                wrong(node, if zero { "a duration of at least 0s" } else { "a duration above 0s" }, problems);
                return None;
            }
            Err(_) => None,
        },
        Content::Number(_, spelt) => Some(spelt),
        _ => None,
    };
    let problem = wrong(node, "a duration such as 30s or 1h30m", problems);
    if let Some(spelt) = found {
        problem.help(format!("write the unit: `{spelt}s`, `{spelt}ms` or `{spelt}m`"));
    }
    None
}

/// A duration, or the default where nothing is written.
pub(crate) fn span_or(node: Option<&Node>, default: Span, zero: bool, problems: &mut Problems) -> Span {
    node.and_then(|node| span(node, zero, problems)).unwrap_or(default)
}

/// A whole number of at least `least` and at most `most`.
pub(crate) fn count(node: &Node, least: u64, most: u64, problems: &mut Problems) -> Option<u64> {
    match &node.content {
        Content::Number(number, _)
            if number.fract() == 0.0 && *number >= least as f64 && *number <= most as f64 && *number >= 0.0 =>
        {
            Some(*number as u64)
        }
        _ => {
            let range = if most < 1 << 40 { format!("from {least} to {most}") } else { format!("of at least {least}") };
            wrong(node, &format!("a whole number {range}"), problems);
            None
        }
    }
}

/// A size in bytes: `512 MiB`, or a whole number.
pub(crate) fn bytes(node: &Node, problems: &mut Problems) -> Option<u64> {
    let size = match &node.content {
        Content::Number(number, _) => Some(*number),
        Content::Text(text) => crate::units::convert(text, "B").ok(),
        _ => None,
    };
    match size {
        Some(size) if (1.0..1e18).contains(&size) => Some(size as u64),
        _ => {
            wrong(node, "a size such as 512 MiB", problems);
            None
        }
    }
}

/// One of some words.
pub(crate) fn choice<T: Copy>(node: &Node, words: &[(&str, T)], problems: &mut Problems) -> Option<T> {
    if let Content::Text(text) = &node.content
        && let Some((_, value)) = words.iter().find(|(word, _)| word == text)
    {
        return Some(*value);
    }
    let names: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    let problem = wrong(node, &format!("one of {}", names.join(", ")), problems);
    if let Content::Text(text) = &node.content
        && let Some(name) = crate::problem::nearest(text, words.iter().map(|(word, _)| *word))
    {
        problem.help(format!("did you mean `{name}`?"));
    }
    None
}

/// The entries of a list; a single value stands for a list of one.
pub(crate) fn items(node: &Node) -> &[Node] {
    match &node.content {
        Content::List(items) => items,
        Content::Nothing => &[],
        _ => std::slice::from_ref(node),
    }
}

/// Texts, one or a list, each once.
pub(crate) fn texts(node: &Node, what: &str, problems: &mut Problems) -> Vec<Arc<str>> {
    let mut texts: Vec<Arc<str>> = Vec::new();
    if items(node).is_empty() {
        wrong(node, what, problems);
    }
    for item in items(node) {
        if let Some(text) = text(item, what, problems) {
            if texts.iter().any(|known| **known == *text) {
                problems.error(&item.place, format!("{}: `{text}` is written twice", item.path));
            } else {
                texts.push(text.into());
            }
        }
    }
    texts
}

/// Labels: names and texts.
pub(crate) fn labels(node: &Node, problems: &mut Problems) -> Labels {
    let mut pairs: Vec<(String, String)> = Vec::new();
    match &node.content {
        Content::Table(entries) => {
            for (key, value) in entries {
                if let Some(value) = text(value, "a text", problems) {
                    pairs.push((key.text.clone(), value));
                }
            }
        }
        _ => {
            wrong(node, "labels such as { team: shop }", problems);
        }
    }
    Labels::new(pairs)
}

/// A text that begins with a slash: a place in a JSON document.
pub(crate) fn pointer(node: &Node, problems: &mut Problems) -> Option<String> {
    let text = text(node, "a JSON pointer such as /value", problems)?;
    if text.starts_with('/') {
        return Some(text);
    }
    wrong(node, "a JSON pointer such as /value", problems).help(format!("write `/{}`", text.replace('.', "/")));
    None
}
