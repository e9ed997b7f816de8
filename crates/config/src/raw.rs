//! A configuration as it is written: a tree of values, each with its place and its path. Nothing here
//! knows what a setting means. It is not deserialised straight into structs, because that ends at the
//! first thing wrong, and every error is to be told at once.

use crate::problem::{File, Place, Problems};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

/// A value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    /// The keys that lead to it, joined with dots, as messages name it.
    pub(crate) path: String,
    pub(crate) content: Content,
}

/// What YAML knows.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Nothing,
    Boolean(bool),
    /// The number, and how it is spelt.
    Number(f64, String),
    Text(String),
    List(Vec<Node>),
    Table(Vec<(Key, Node)>),
}

/// A key of a table.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) place: Place,
}

/// Reads a file. Where YAML itself is broken, the definition around the place is left out and its name
/// is added to `broken`, so that the rest of the file is still read and nobody complains about the name.
pub(crate) fn read(index: usize, file: &File, broken: &mut BTreeSet<String>, problems: &mut Problems) -> Option<Node> {
    let mut text = file.text.clone();
    for _ in 0..50 {
        let error = match parse(&text) {
            Ok(value) => return Some(convert(value, index, &text, String::new(), problems)),
            Err(error) => error,
        };
        let at = error_at(&text, &error);
        let span = at..text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
        let message = error.without_snippet().to_string();
        let message = message.lines().next().unwrap_or("").split(" at line ").next().unwrap_or("").to_owned();
        let place = Place { file: index, span };
        let problem = problems.error(&place, format!("this is no YAML: {message}"));
        if message.contains("tag") {
            problem.help("a text that begins with `!` is quoted: \"!web-1\"");
        } else if has_bare_placeholder(text[..at].rsplit('\n').next().unwrap_or(""), &text[at..]) {
            problem.help("within braces a name with a placeholder is quoted: \"host {host}\"");
        }
        // A bracket or quote that is not closed shows only in the definition after it: whichever of the two
        // lets reading get further is the one that is broken.
        let here = enclosing(&text, at)?;
        let before = here.start.checked_sub(1).and_then(|at| enclosing(&text, at));
        let reach = |range: &Range<usize>| {
            let text = without(&text, range);
            parse(&text).map_or_else(|error| error_at(&text, &error), |_| usize::MAX)
        };
        let range = match before.filter(|before| before.end <= here.start) {
            Some(before) if reach(&before) > reach(&here) => {
                let line = text[..before.start].matches('\n').count() + 1;
                problem.help(format!("something is not closed in what begins at line {line}"));
                before
            }
            _ => here,
        };
        let key = text[range.clone()].trim().split(':').next().unwrap_or("");
        broken.insert(key.trim_start_matches("- ").trim_matches(['"', '\'']).to_owned());
        text = without(&text, &range);
    }
    None
}

/// Whether a line, given in two parts, holds a `{word}` right after another word.
fn has_bare_placeholder(before: &str, after: &str) -> bool {
    let line = format!("{before}{}", after.lines().next().unwrap_or(""));
    line.match_indices('{').any(|(at, _)| {
        let word = line[at + 1..].split('}').next().unwrap_or("");
        let plain = word.chars().all(|c| c.is_alphanumeric() || "_.-".contains(c));
        !word.is_empty() && plain && line[..at].trim_end().ends_with(char::is_alphanumeric)
    })
}

/// The text with blanks instead of this range, so that all places after it stay what they are.
fn without(text: &str, range: &Range<usize>) -> String {
    let blank = text[range.clone()].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' });
    text[..range.start].chars().chain(blank).chain(text[range.end..].chars()).collect()
}

fn error_at(text: &str, error: &serde_saphyr::Error) -> usize {
    byte_of(text, error.location().unwrap_or(Location::UNKNOWN))
}

fn parse(text: &str) -> Result<Spanned<Value>, serde_saphyr::Error> {
    if text.trim().is_empty() {
        return Ok(Spanned::new(Value::Nothing, Location::UNKNOWN, Location::UNKNOWN));
    }
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        reject_unsupported_tags: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    serde_saphyr::from_str_with_options(text, options)
}

/// Where a location lies in the text; lines and columns count from 1.
fn byte_of(text: &str, location: Location) -> usize {
    let line = usize::try_from(location.line()).unwrap_or(usize::MAX).max(1);
    let column = usize::try_from(location.column()).unwrap_or(usize::MAX).max(1);
    let start = line_starts(text).nth(line - 1).unwrap_or(text.len());
    let rest = &text[start..];
    start
        + rest
            .char_indices()
            .take_while(|(_, c)| *c != '\n')
            .nth(column - 1)
            .map_or_else(|| rest.find('\n').unwrap_or(rest.len()), |(at, _)| at)
}

fn line_starts(text: &str) -> impl Iterator<Item = usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1))
}

/// The definition around a place: from the line above it that is indented like a definition to the next
/// such line. A definition stands one step inside a section; where there is none, it is the section.
fn enclosing(text: &str, at: usize) -> Option<Range<usize>> {
    let indent = |start: usize| {
        let line = text[start..].lines().next().unwrap_or("");
        let depth = line.len() - line.trim_start().len();
        (!line.trim().is_empty() && !line.trim_start().starts_with('#')).then_some(depth)
    };
    let lines: Vec<(usize, usize)> = line_starts(text).filter_map(|start| Some((start, indent(start)?))).collect();
    let mut here = lines.iter().rposition(|(start, _)| *start <= at)?;
    let section = lines[..=here].iter().rposition(|(_, depth)| *depth == 0).unwrap_or(0);
    let step = lines.get(section + 1).map_or(0, |(_, depth)| *depth);
    while here > section && lines[here].1 > step {
        here -= 1;
    }
    let depth = lines[here].1;
    let end = lines[here + 1..].iter().find(|(_, other)| *other <= depth).map_or(text.len(), |(start, _)| *start);
    Some(lines[here].0..end)
}

fn convert(value: Spanned<Value>, file: usize, text: &str, path: String, problems: &mut Problems) -> Node {
    let place = place_of(&value.referenced, file, text);
    let content = match value.value {
        Value::Nothing => Content::Nothing,
        Value::Boolean(boolean) => Content::Boolean(boolean),
        Value::Number(number) => {
            let written = place_of(&value.defined, file, text);
            let spelt = text.get(written.span).map(str::trim).filter(|spelt| !spelt.is_empty());
            Content::Number(number, spelt.map_or_else(|| number.to_string(), str::to_owned))
        }
        Value::Text(text) => Content::Text(text),
        Value::List(items) => {
            let item = |(at, item)| convert(item, file, text, format!("{path}[{}]", at + 1), problems);
            Content::List(items.into_iter().enumerate().map(item).collect())
        }
        Value::Table(entries) => {
            let mut table: Vec<(Key, Node)> = Vec::new();
            for (key, value) in entries {
                let place = place_of(&key.referenced, file, text);
                let path = if path.is_empty() { key.value.clone() } else { format!("{path}.{}", key.value) };
                if let Some((first, _)) = table.iter().find(|(known, _)| known.text == key.value) {
                    problems.twice(&place, &first.place, format!("{path} is written twice"));
                    continue;
                }
                let value = convert(value, file, text, path, problems);
                table.push((Key { text: key.value, place }, value));
            }
            Content::Table(table)
        }
    };
    Node { place, path, content }
}

fn place_of(location: &Location, file: usize, text: &str) -> Place {
    let span = location.span();
    let range = match (span.byte_offset(), span.byte_len()) {
        (Some(start), Some(length)) => start as usize..(start + length) as usize,
        _ => {
            let at = byte_of(text, *location);
            at..at
        }
    };
    Place { file, span: range }
}

/// The value as the YAML reader hands it over.
enum Value {
    Nothing,
    Boolean(bool),
    Number(f64),
    Text(String),
    List(Vec<Spanned<Value>>),
    Table(Vec<(Spanned<String>, Spanned<Value>)>),
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut table = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            table.push(entry);
        }
        Ok(Value::Table(table))
    }
}
