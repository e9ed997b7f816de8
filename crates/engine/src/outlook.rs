//! What a start would make of what is kept: what goes on, what is worked out anew from what was learned, and what
//! begins with nothing.

use crate::baselines::{heads, matched};
use crate::plan::Plan;
use crate::state::{BaselineHead, Restored};
use functions::Library;
use model::definition::Definitions;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What becomes of one stream, check or baseline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Its kind.
    pub kind: OutlookKind,
    /// Its name; for a stream with how it is cut: `response time, sliding 5m every 30s, p95`.
    pub name: String,
    /// How many instances of it are kept now.
    pub instances: usize,
    /// What becomes of them.
    pub fate: Fate,
}

/// What an outlook is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutlookKind {
    /// The windows of a stream.
    Stream,
    /// The states of a check.
    Check,
    /// What a baseline has learned.
    Baseline,
}

/// What becomes of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Kept,
    /// What was learned is kept, and bands are worked out anew from it, because of this.
    Recomputed(Vec<Difference>),
    /// It begins with nothing, because of this; where there is no difference, nothing is kept of it yet.
    Anew(Vec<Difference>),
    /// Nothing asks for it any more.
    Dropped,
}

/// Something that is written in another way than what is kept was made under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What: `window`, `function` and so on.
    pub what: Arc<str>,
    /// How it was; empty where it was not.
    pub was: Arc<str>,
    /// How it is now; empty where it is no more.
    pub now: Arc<str>,
}

/// Compares definitions with what is kept, of which columns, models and blocks are not looked at. In the order of
/// kinds and names.
pub fn outlook(definitions: Arc<Definitions>, library: &Library, kept: &Restored) -> Vec<Outlook> {
    let plan = Plan::new(definitions, library);
    let mut found = streams(&plan, kept);
    found.extend(checks(&plan, kept));
    found.extend(baselines(&plan, library, kept));
    found.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    found
}

fn streams(plan: &Plan, kept: &Restored) -> Vec<Outlook> {
    let mut instances: BTreeMap<u64, usize> = BTreeMap::new();
    kept.instances.iter().for_each(|(feed, ..)| *instances.entry(*feed).or_default() += 1);
    let mut found = Vec::new();
    for feed in &plan.feeds {
        let lane = &plan.lanes[feed.lane];
        let cut = lane.window.as_ref().map_or("event by event".to_owned(), ToString::to_string);
        let parts = [plan.definitions.streams[lane.stream].name.to_string(), cut];
        let parts = parts.into_iter().chain(feed.downsample.iter().map(ToString::to_string));
        let instances = instances.remove(&feed.fingerprint).unwrap_or_default();
        let fate = if instances > 0 { Fate::Kept } else { Fate::Anew(Vec::new()) };
        let name = parts.collect::<Vec<_>>().join(", ");
        found.push(Outlook { kind: OutlookKind::Stream, name, instances, fate });
    }
    // Of windows that nothing asks for any more only the number is known.
    found.extend(instances.into_values().map(|instances| {
        let name = "windows of another definition".to_owned();
        Outlook { kind: OutlookKind::Stream, name, instances, fate: Fate::Dropped }
    }));
    found
}

fn checks(plan: &Plan, kept: &Restored) -> Vec<Outlook> {
    let mut instances: BTreeMap<&str, usize> = BTreeMap::new();
    kept.checks.iter().for_each(|(key, _)| *instances.entry(&key.check).or_default() += 1);
    let outlook = |name: &str, instances: usize, fate: Fate| Outlook {
        kind: OutlookKind::Check,
        name: name.to_owned(),
        instances,
        fate,
    };
    let mut found: Vec<Outlook> = (plan.definitions.checks.iter())
        .map(|check| match instances.remove(&*check.name) {
            Some(instances) => outlook(&check.name, instances, Fate::Kept),
            None => outlook(&check.name, 0, Fate::Anew(Vec::new())),
        })
        .collect();
    found.extend(instances.into_iter().map(|(name, instances)| outlook(name, instances, Fate::Dropped)));
    found
}

fn baselines(plan: &Plan, library: &Library, kept: &Restored) -> Vec<Outlook> {
    let mut instances: BTreeMap<u64, usize> = BTreeMap::new();
    kept.baseline_instances.iter().for_each(|(key, ..)| *instances.entry(*key).or_default() += 1);
    let outlook = |head: &BaselineHead, key: Option<&u64>, fate: Fate| Outlook {
        kind: OutlookKind::Baseline,
        name: head.name.to_string(),
        instances: key.and_then(|key| instances.get(key)).copied().unwrap_or_default(),
        fate,
    };
    let heads = heads(plan, library);
    let matches = matched(&heads, &kept.baselines);
    let mut found = Vec::new();
    let mut named: Vec<usize> = Vec::new();
    for (head, place) in heads.iter().zip(&matches) {
        if let Some(place) = place {
            let (key, was) = &kept.baselines[*place];
            let differences = differences(&was.derives, &head.derives);
            let fate = if differences.is_empty() { Fate::Kept } else { Fate::Recomputed(differences) };
            found.push(outlook(head, Some(key), fate));
            continue;
        }
        let was = kept.baselines.iter().enumerate().find(|(place, (_, was))| {
            was.name == head.name && !matches.contains(&Some(*place)) && !named.contains(place)
        });
        let Some((place, (key, was))) = was else {
            found.push(outlook(head, None, Fate::Anew(Vec::new())));
            continue;
        };
        named.push(place);
        found.push(outlook(head, Some(key), Fate::Anew(differences(&was.determines, &head.determines))));
    }
    let gone = kept.baselines.iter().enumerate();
    let gone = gone.filter(|(place, _)| !matches.contains(&Some(*place)) && !named.contains(place));
    found.extend(gone.map(|(_, (key, head))| outlook(head, Some(key), Fate::Dropped)));
    found
}

fn differences(was: &[(Arc<str>, Arc<str>)], now: &[(Arc<str>, Arc<str>)]) -> Vec<Difference> {
    let of = |pairs: &[(Arc<str>, Arc<str>)], name: &str| {
        pairs.iter().find(|(of, _)| &**of == name).map_or_else(|| "".into(), |(_, text)| text.clone())
    };
    let names: Vec<&Arc<str>> = was.iter().chain(now).map(|(name, _)| name).collect();
    let mut differences: Vec<Difference> = Vec::new();
    for name in names {
        let (before, after) = (of(was, name), of(now, name));
        if before != after && !differences.iter().any(|known| known.what == *name) {
            differences.push(Difference { what: name.clone(), was: before, now: after });
        }
    }
    differences
}
