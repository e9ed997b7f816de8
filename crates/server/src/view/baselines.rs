//! What is shown of baselines: under what they learn, and of each instance what is asked for. What they learned is
//! not here: it may be a thousand times more, and only the engine needs it.

use super::{Feed, FeedInstance, Held};
use engine::state::{ActiveError, BaselineHead, BaselineRecord, KeptPoint};
use model::definition::{Definitions, Learner};
use model::{Band, Labels, Reading, Time};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

/// A baseline, as it is learned on one clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaselineView {
    /// Its place in the definitions.
    pub definition: usize,
    /// What its instances are asked for by; none where it has learned nothing yet.
    pub key: Option<u64>,
    /// The sources whose clock it follows.
    pub sources: Vec<Arc<str>>,
    /// What began before it is no longer kept.
    pub kept_from: Option<Time>,
    /// How many instances have learned something.
    pub instances: usize,
    /// How many of them have a band.
    pub with_band: usize,
    /// How many of them have an active error.
    pub with_error: usize,
}

/// A baseline for one instance of its stream.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselineInstanceView {
    /// What makes the instance.
    pub labels: Labels,
    /// Where the first window begins that it has learned.
    pub since: Time,
    /// The band that its function has said last.
    pub band: Option<Band>,
    /// The end of the batch that the function was last asked about.
    pub asked: Option<Time>,
    /// The function's error, while its last call failed.
    pub error: Option<ActiveError>,
    /// The newest closed window that has a point.
    pub newest: Option<ReadingView>,
}

/// A closed window as a baseline sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadingView {
    /// Where it begins.
    pub start: Time,
    /// Where it ends.
    pub end: Time,
    /// How many samples lie in it.
    pub count: u64,
    /// Its value.
    pub value: Option<f64>,
    /// Whether records of this time were lost.
    pub incomplete: bool,
    /// What the baseline said of it.
    pub reading: Option<Reading>,
}

/// All that is shown, by key.
pub(super) type Baselines = BTreeMap<u64, Baseline>;

#[derive(Debug, Default)]
pub(super) struct Baseline {
    head: Option<BaselineHead>,
    instances: BTreeMap<Labels, Instance>,
    with_band: usize,
    with_error: usize,
}

#[derive(Debug)]
struct Instance {
    since: Time,
    band: Option<Band>,
    asked: Option<Time>,
    /// There are few of them, and many that have none.
    error: Option<Box<ActiveError>>,
}

pub(super) fn put_head(baselines: &mut Baselines, key: u64, head: Option<&BaselineHead>) {
    match head {
        Some(head) => baselines.entry(key).or_default().head = Some(head.clone()),
        // With its head all goes that is kept under its key.
        None => _ = baselines.remove(&key),
    }
}

pub(super) fn put_instance(baselines: &mut Baselines, key: u64, labels: &Labels, record: Option<&BaselineRecord>) {
    let baseline = baselines.entry(key).or_default();
    let is = record.map(|record| Instance {
        since: record.since,
        band: record.band,
        asked: record.asked,
        error: record.error.clone().map(Box::new),
    });
    baseline.with_band += usize::from(is.as_ref().is_some_and(|is| is.band.is_some()));
    baseline.with_error += usize::from(is.as_ref().is_some_and(|is| is.error.is_some()));
    let was = match is {
        Some(is) => baseline.instances.insert(labels.clone(), is),
        None => baseline.instances.remove(labels),
    };
    baseline.with_band -= usize::from(was.as_ref().is_some_and(|was| was.band.is_some()));
    baseline.with_error -= usize::from(was.as_ref().is_some_and(|was| was.error.is_some()));
}

/// How many instances of a feed have a newest point with a reading, for each of its baselines.
#[derive(Debug, Default)]
pub(super) struct Readings(HashMap<u64, Vec<usize>>);

impl Readings {
    /// The newest point of an instance of a feed was one, and is another.
    pub(super) fn change(&mut self, feed: u64, was: Option<&KeptPoint>, is: Option<&KeptPoint>) {
        let has = |point: Option<&KeptPoint>, place: usize| {
            usize::from(point.and_then(|point| *point.readings.get(place)?).is_some())
        };
        let places = [was, is].map(|point| point.map_or(0, |point| point.readings.len()));
        let places = places[0].max(places[1]);
        if places > 0 {
            let counts = self.0.entry(feed).or_default();
            counts.resize(counts.len().max(places), 0);
            for (place, count) in counts.iter_mut().enumerate() {
                *count = *count + has(is, place) - has(was, place);
            }
        }
    }

    /// For how many instances each baseline of a feed has spoken last.
    pub(super) fn put(&mut self, feed: u64, counts: Vec<usize>) {
        self.0.insert(feed, counts);
    }

    fn count(&self, feed: u64, place: usize) -> usize {
        self.0.get(&feed).and_then(|counts| counts.get(place).copied()).unwrap_or(0)
    }
}

/// All baselines that are defined, by name and sources.
pub(super) fn list(held: &Held, definitions: &Definitions, feeds: &HashMap<u64, Feed>) -> Vec<BaselineView> {
    let mut shown = Vec::new();
    for (definition, of) in definitions.baselines.iter().enumerate() {
        let mut found: Vec<BaselineView> = Vec::new();
        for (key, baseline) in &held.baselines {
            let Some(head) = baseline.head.as_ref().filter(|head| head.name == of.name) else { continue };
            // What is kept of it under another configuration is dropped by the engine; until then it is nobody's.
            let Some((feed, place)) = feed(head, feeds) else { continue };
            found.push(BaselineView {
                definition,
                key: Some(*key),
                sources: head.agenda.clone(),
                kept_from: head.kept_from,
                instances: baseline.instances.len(),
                with_band: match &of.learner {
                    Learner::Function(_) => baseline.with_band,
                    Learner::Online(_) => held.readings.count(feed.fingerprint, place),
                },
                with_error: baseline.with_error,
            });
        }
        if found.is_empty() {
            let (sources, kept_from) = (Vec::new(), None);
            let (instances, with_band, with_error) = (0, 0, 0);
            found.push(BaselineView { definition, key: None, sources, kept_from, instances, with_band, with_error });
        }
        found.sort_by(|one, other| one.sources.cmp(&other.sources));
        shown.extend(found);
    }
    shown
}

/// The instances of a baseline that follow on this one, `most` at most.
pub(super) fn instances(
    held: &Held,
    definitions: &Definitions,
    feeds: &HashMap<u64, Feed>,
    key: u64,
    after: Option<&Labels>,
    most: usize,
) -> Vec<BaselineInstanceView> {
    let Some(Baseline { head: Some(head), instances, .. }) = held.baselines.get(&key) else { return Vec::new() };
    let Some((feed, place)) = feed(head, feeds) else { return Vec::new() };
    let downsample = definitions.baselines.iter().find(|of| of.name == head.name).map(|of| of.downsample);
    let pick = feed.downsample.iter().position(|of| Some(*of) == downsample);
    let of_stream = held.instances.get(&feed.stream);
    let newest = |labels: &Labels| -> Option<ReadingView> {
        let of_feed: &FeedInstance = &of_stream?.get(labels)?.iter().find(|(of, _)| *of == feed.fingerprint)?.1;
        let KeptPoint { start, end, count, values, incomplete, readings } = held.newest(feed.fingerprint, of_feed)?;
        let value = pick.and_then(|pick| values.get(pick).copied()).filter(|value| !value.is_nan());
        let reading = readings.get(place).copied().flatten();
        Some(ReadingView { start, end, count, value, incomplete, reading })
    };
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let following = instances.range((from, Bound::Unbounded)).take(most);
    following
        .map(|(labels, of)| BaselineInstanceView {
            labels: labels.clone(),
            since: of.since,
            band: of.band,
            asked: of.asked,
            error: of.error.as_deref().cloned(),
            newest: newest(labels),
        })
        .collect()
}

/// The feed whose points a baseline learns from, and its place among the readings of a point.
fn feed<'a>(head: &BaselineHead, feeds: &'a HashMap<u64, Feed>) -> Option<(&'a Feed, usize)> {
    let mut on_its_clock = feeds.values().filter(|feed| feed.sources == head.agenda);
    on_its_clock.find_map(|feed| Some((feed, feed.baselines.iter().position(|name| *name == head.name)?)))
}
