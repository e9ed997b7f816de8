//! What stored panes are keyed by: a hash of everything that determines them, and of nothing else. So an edited
//! check keeps its windows, and an edited selector does not find those of the old one.

use crate::Settings;
use model::definition::{Condition, Window};

/// The fingerprint of a stream's windows: of its source's topics and mapping, its selector, labels and content, and
/// the window. Not of names, places, checks or anything that may change while the panes stay the same.
pub fn feed_fingerprint(settings: &Settings, stream: usize, window: Option<&Window>) -> u64 {
    let stream = &settings.definitions.streams[stream];
    let select = &stream.select;
    let mut conditions: Vec<String> = Vec::new();
    conditions.extend(select.name.iter().map(|condition| describe("name", "", condition)));
    conditions.extend(select.labels.iter().map(|(name, condition)| describe("label", name, condition)));
    conditions.extend(select.fields.iter().map(|(name, condition)| describe("field", name, condition)));
    // All conditions hold, so their order means nothing.
    conditions.sort();
    let mapping = settings.definitions.sources[stream.source].mapping;
    let text = format!("{mapping}\n{conditions:?}\n{:?}\n{:?}\n{window:?}", stream.each, stream.content);
    fnv(text.as_bytes())
}

fn describe(what: &str, name: &str, condition: &Condition) -> String {
    let (how, text) = match condition {
        Condition::Equal(text) => ("=", &**text),
        Condition::NotEqual(text) => ("!=", &**text),
        Condition::Match(regex) => ("=~", regex.as_str()),
        Condition::NotMatch(regex) => ("!~", regex.as_str()),
    };
    format!("{what} {name:?} {how} {text:?}")
}

/// FNV-1a with 64 bits: stable over versions of the compiler, which the standard library's hash is not.
/// Fowler, Noll, Vo, and Eastlake, draft-eastlake-fnv.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
