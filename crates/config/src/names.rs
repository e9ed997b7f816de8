//! Definitions by name: what refers to one finds its place, or is told what it may have meant. A name whose
//! definition is wrong is known all the same, so that nobody else is blamed for it.

use crate::problem::{Place, Problems, suggest};
use crate::raw::{Key, Node};
use std::collections::{BTreeMap, BTreeSet};

/// Definitions of one kind, in the order in which they are written.
pub(crate) struct Names<'b, T> {
    what: &'static str,
    /// Names that stood where YAML could not be read.
    broken: &'b BTreeSet<String>,
    places: BTreeMap<String, usize>,
    pub(crate) entries: Vec<(String, Place, Option<T>)>,
}

impl<'b, T> Names<'b, T> {
    pub(crate) fn new(what: &'static str, broken: &'b BTreeSet<String>) -> Names<'b, T> {
        Names { what, broken, places: BTreeMap::new(), entries: Vec::new() }
    }

    /// Adds a definition; nothing as its value where it is wrong.
    pub(crate) fn add(&mut self, name: String, place: &Place, value: Option<T>, problems: &mut Problems) {
        match self.places.get(&name) {
            Some(first) => {
                let message = format!("the {} `{name}` is defined twice", self.what);
                problems.twice(place, &self.entries[*first].1, message);
            }
            None => {
                self.places.insert(name.clone(), self.entries.len());
                self.entries.push((name, place.clone(), value));
            }
        }
    }

    /// The place of a definition among `entries`, and the definition. Nothing where there is none, which is
    /// told, or where it is wrong, which has been told.
    pub(crate) fn find(&self, name: &str, node: &Node, problems: &mut Problems) -> Option<(usize, &T)> {
        match self.places.get(name) {
            Some(place) => self.entries[*place].2.as_ref().map(|value| (*place, value)),
            None if self.broken.contains(name) => None,
            None => {
                problems
                    .error(&node.place, format!("{}: there is no {} `{name}`", node.path, self.what))
                    .help(suggest(name, self.places.keys().map(String::as_str)));
                None
            }
        }
    }

    /// Whether there is none that is wrong, or could not be read.
    pub(crate) fn all_right(&self) -> bool {
        self.broken.is_empty() && self.entries.iter().all(|(_, _, value)| value.is_some())
    }

    /// The definitions that are right.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Place, &T)> {
        self.entries.iter().filter_map(|(name, place, value)| Some((name.as_str(), place, value.as_ref()?)))
    }
}

/// The name of a definition, which is its key.
pub(crate) fn name(key: &Key, problems: &mut Problems) -> String {
    if key.text.trim() != key.text || key.text.is_empty() || key.text.contains(char::is_control) {
        problems.error(&key.place, "a name is not empty, is one line and has no blanks around it");
    }
    key.text.clone()
}
