//! The world as far as the journal has told it: which samples count, how far each source and agenda has
//! come, and what lives.

use crate::baseline::Lesson;
use crate::reduce::Sample;
use crate::{Content, Entry, Item, Kind, Outcome, Record};
use functions::Library;
use model::definition::{
    Argument, Content as Made, Definitions, Downsampling, Input, Propagation, Shape, Stream, Window,
};
use model::transition::Health;
use model::{Element, Event, Labels, Point, Reading, Reason, Span, State, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Before anything that can be due.
const BEFORE_ALL: Time = Time::from_nanos(i64::MIN / 2);

pub(crate) struct World<'a> {
    pub(crate) definitions: &'a Definitions,
    pub(crate) library: &'a Library,
    records: &'a [Record],
    partitions: BTreeMap<(usize, Arc<str>, i32), Partition>,
    pub(crate) sources: Vec<Source>,
    /// What counts, by stream, instance and time.
    pub(crate) data: Vec<BTreeMap<Labels, BTreeMap<Time, Vec<Datum>>>>,
    pub(crate) agendas: Vec<Agenda>,
    pub(crate) feeds: Vec<Feed>,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) lessons: Vec<Lesson>,
    pub(crate) elements: BTreeMap<Element, Living<'a>>,
    pub(crate) checks: BTreeMap<CheckKey, CheckInstance>,
    /// Check instances that retired at the instant that is being processed.
    pub(crate) retired: Vec<CheckKey>,
    /// What checks have found anomalous at this instant: the baseline that they read, and the instance.
    pub(crate) anomalous: BTreeSet<(usize, Labels)>,
    /// When each health of what lives last changed, so that its transitions never go back in time.
    pub(crate) changed: BTreeMap<(Element, Health), Time>,
    pub(crate) outcome: Outcome,
}

#[derive(Default)]
struct Partition {
    position: i64,
    max_time: Option<Time>,
    first_watermark: Option<Time>,
    floor: Option<Time>,
    idle: bool,
}

#[derive(Default)]
pub(crate) struct Source {
    frontier: Option<Time>,
    /// What ticks have crossed: (after, up to and including).
    pub(crate) silences: Vec<(Time, Time)>,
}

#[derive(Clone)]
pub(crate) enum Datum {
    Sample(Sample),
    Event(Event),
}

pub(crate) struct Agenda {
    pub(crate) sources: BTreeSet<usize>,
    pub(crate) origin: Option<Time>,
    pub(crate) place: (Time, u8),
}

pub(crate) struct Feed {
    pub(crate) agenda: usize,
    pub(crate) stream: usize,
    pub(crate) window: Option<Window>,
    /// What the inputs that share it reduce its windows to.
    pub(crate) downsample: Vec<Arc<[Downsampling]>>,
    /// Which publications its points are, with what these are reduced to.
    pub(crate) published: Vec<(usize, Arc<[Downsampling]>)>,
    pub(crate) live: BTreeMap<Labels, Instance>,
}

pub(crate) struct Instance {
    pub(crate) bound: bool,
    pub(crate) born: Time,
    /// For bound ones the origin, for others the first sample's time.
    pub(crate) first: Time,
    pub(crate) closed: Vec<Closed>,
}

/// A window that was evaluated, with the points of those downsamplings that gave one, and what baselines, by their
/// places, had expected of it.
pub(crate) struct Closed {
    pub(crate) start: Time,
    pub(crate) end: Time,
    pub(crate) points: BTreeMap<Arc<[Downsampling]>, Point>,
    pub(crate) readings: BTreeMap<usize, Reading>,
}

/// A check with the feeds that it reads; its place is that in `Definitions::checks`.
pub(crate) struct Binding {
    pub(crate) agenda: usize,
    /// For each argument, the feed that it reads.
    pub(crate) feeds: Vec<Option<usize>>,
    /// Which argument triggers.
    pub(crate) trigger: usize,
}

pub(crate) struct Living<'a> {
    /// The name as the definition has it.
    pub(crate) definition: Element,
    pub(crate) kind: &'a Arc<str>,
    pub(crate) labels: Labels,
    pub(crate) propagation: &'a Propagation,
    /// The stream whose instance made it; none for one that is written out.
    pub(crate) for_each: Option<usize>,
    pub(crate) own: State,
    pub(crate) propagated: State,
    pub(crate) message: Arc<str>,
}

/// Element, check by its place, labels of the instance.
pub(crate) type CheckKey = (Element, usize, Labels);

#[derive(Default)]
pub(crate) struct CheckInstance {
    pub(crate) state: Option<State>,
    pub(crate) since: Option<Time>,
    pub(crate) results: Vec<State>,
    pub(crate) message: Arc<str>,
    pub(crate) evidence: Arc<str>,
    /// Whether the state changed at the instant that is being processed.
    pub(crate) changed: bool,
    pub(crate) missing_at: Option<Time>,
    pub(crate) missed: u32,
    pub(crate) expires_at: Option<Time>,
}

impl<'a> World<'a> {
    pub(crate) fn new(definitions: &'a Definitions, library: &'a Library, records: &'a [Record]) -> World<'a> {
        let mut world = World {
            definitions,
            library,
            records,
            partitions: BTreeMap::new(),
            sources: definitions.sources.iter().map(|_| Source::default()).collect(),
            data: vec![BTreeMap::new(); definitions.streams.len()],
            agendas: Vec::new(),
            feeds: Vec::new(),
            bindings: Vec::new(),
            lessons: Vec::new(),
            elements: BTreeMap::new(),
            checks: BTreeMap::new(),
            retired: Vec::new(),
            anomalous: BTreeSet::new(),
            changed: BTreeMap::new(),
            outcome: Outcome::default(),
        };
        for check in &definitions.checks {
            let input = |argument: &'a Argument| match argument {
                Argument::Input(input) => Some(input),
                _ => None,
            };
            let inputs: Vec<Option<&Input>> = check.arguments.iter().map(|(_, argument)| input(argument)).collect();
            let sources = inputs.iter().flatten().map(|input| definitions.streams[input.stream].source).collect();
            let agenda = world.agenda(sources);
            let many = |input: &Input| matches!(input.shape, Shape::List | Shape::Table);
            let windowed = inputs.iter().position(|input| input.is_some_and(|of| of.window.is_some() && !many(of)));
            let trigger = windowed.or(inputs.iter().position(Option::is_some)).expect("a check reads something");
            let feeds = inputs.into_iter().map(|input| {
                input.map(|input| {
                    let feed = world.feed(agenda, input.stream, input.window.clone(), &input.downsample);
                    input.baseline.into_iter().for_each(|baseline| world.lesson(baseline, feed));
                    feed
                })
            });
            let feeds = feeds.collect();
            world.bindings.push(Binding { agenda, feeds, trigger });
        }
        for (place, baseline) in definitions.baselines.iter().enumerate() {
            if !world.lessons.iter().any(|lesson| lesson.baseline == place) {
                let agenda = world.agenda(BTreeSet::from([definitions.streams[baseline.stream].source]));
                let how = Arc::from([baseline.downsample]);
                let feed = world.feed(agenda, baseline.stream, Some(baseline.window.clone()), &how);
                world.lesson(place, feed);
            }
        }
        for (place, of) in definitions.publications.iter().enumerate() {
            let agenda = world.agenda(BTreeSet::from([definitions.streams[of.stream].source]));
            let feed = world.feed(agenda, of.stream, Some(of.window.clone()), &of.downsample);
            world.feeds[feed].published.push((place, of.downsample.clone()));
        }
        let components = definitions.components.iter().filter_map(|component| component.for_each);
        for stream in components.chain(definitions.relations.iter().filter_map(|relation| relation.for_each)) {
            let agenda = world.agenda(BTreeSet::from([definitions.streams[stream].source]));
            if !world.feeds.iter().any(|feed| feed.agenda == agenda && feed.stream == stream) {
                let hidden = Window::Batching { size: Span::from_secs(10), zone: "UTC".into() };
                world.feed(agenda, stream, Some(hidden), &Arc::from([Downsampling::Count]));
            }
        }
        world.give_birth();
        world
    }

    fn agenda(&mut self, sources: BTreeSet<usize>) -> usize {
        self.agendas.iter().position(|agenda| agenda.sources == sources).unwrap_or_else(|| {
            self.agendas.push(Agenda { sources, origin: None, place: (BEFORE_ALL, 0) });
            self.agendas.len() - 1
        })
    }

    fn feed(&mut self, agenda: usize, stream: usize, window: Option<Window>, how: &Arc<[Downsampling]>) -> usize {
        let same = |feed: &Feed| feed.agenda == agenda && feed.stream == stream && feed.window == window;
        let place = self.feeds.iter().position(same).unwrap_or_else(|| {
            let (downsample, published, live) = (Vec::new(), Vec::new(), BTreeMap::new());
            self.feeds.push(Feed { agenda, stream, window, downsample, published, live });
            self.feeds.len() - 1
        });
        if !self.feeds[place].downsample.contains(how) {
            self.feeds[place].downsample.push(how.clone());
        }
        place
    }

    /// Has a baseline learn from a feed.
    fn lesson(&mut self, baseline: usize, feed: usize) {
        if !self.lessons.iter().any(|lesson| (lesson.baseline, lesson.feed) == (baseline, feed)) {
            self.lessons.push(Lesson::new(baseline, feed));
            let how = Arc::from([self.definitions.baselines[baseline].downsample]);
            if !self.feeds[feed].downsample.contains(&how) {
                self.feeds[feed].downsample.push(how);
            }
        }
    }

    /// One step of the journal; it is over where `Entry::Step` is its last entry.
    pub(crate) fn step(&mut self, entries: &[Entry]) {
        let (mut observed, mut processed) = (false, 0);
        for entry in entries {
            if !observed && matches!(entry, Entry::Tick { .. } | Entry::Advanced { .. } | Entry::Step) {
                self.observe();
                observed = true;
            }
            match entry {
                Entry::Active { source, topic, partition, at_offset, floor } => {
                    let known = self.partitions.entry((*source, topic.clone(), *partition)).or_default();
                    known.position = known.position.max(*at_offset);
                    known.floor = *floor;
                    known.idle = false;
                }
                Entry::Polled { source, topic, partition, next_offset, at } => {
                    self.polled((*source, topic.clone(), *partition), *next_offset, *at);
                }
                Entry::Idle { source, topic, partition, .. } => {
                    self.partitions.entry((*source, topic.clone(), *partition)).or_default().idle = true;
                }
                Entry::Tick { source, frontier } => {
                    let source = &mut self.sources[*source];
                    if let Some(before) = source.frontier.filter(|before| before < frontier) {
                        source.silences.push((before, *frontier));
                    }
                    source.frontier = source.frontier.max(Some(*frontier));
                }
                Entry::Advanced { agenda, time, phase } => {
                    self.originate();
                    let wanted: BTreeSet<usize> = agenda.iter().copied().collect();
                    let agenda = self.agendas.iter().position(|agenda| agenda.sources == wanted);
                    processed += self.advance(agenda.expect("a known agenda"), (*time, *phase));
                }
                Entry::Step => {
                    self.originate();
                    let full = processed >= self.definitions.limits.instants_per_step;
                    for agenda in 0..self.agendas.len() {
                        let left = self.due(agenda);
                        assert!(full || left.is_none(), "left undone: {left:?} of {:?}", self.agendas[agenda].sources);
                    }
                }
            }
        }
    }

    /// Says for everything in the records below `next_offset` whether it counts.
    fn polled(&mut self, key: (usize, Arc<str>, i32), next_offset: i64, at: Time) {
        let source = &self.definitions.sources[key.0];
        let partition = self.partitions.entry(key.clone()).or_default();
        let (position, records) = (partition.position, self.records);
        partition.position = next_offset;
        let of_it = |record: &&Record| (record.source, &record.topic, record.partition) == (key.0, &key.1, key.2);
        let mut records: Vec<&Record> = records.iter().filter(of_it).collect();
        records.retain(|record| (position..next_offset).contains(&record.offset));
        records.sort_by_key(|record| record.offset);
        for record in records {
            let partition = self.partitions.get_mut(&key).expect("it was made above");
            let watermark = partition.max_time.map(|time| time - source.lateness);
            let latest = record.arrival_appended.unwrap_or(at) + source.max_ahead;
            let floor = partition.floor;
            let refusal = |time: Time| match time {
                time if time > latest => Some(Reason::Ahead),
                time if floor.is_some_and(|floor| time < floor) => Some(Reason::BelowFloor),
                time if watermark.is_some_and(|watermark| time < watermark) => Some(Reason::Late),
                _ => None,
            };
            let accepted = record.items.iter().filter(|item| refusal(item.time).is_none());
            partition.max_time = partition.max_time.max(accepted.map(|item| item.time).max());
            partition.first_watermark =
                partition.first_watermark.or(partition.max_time.map(|time| time - source.lateness));
            for item in &record.items {
                match refusal(item.time) {
                    Some(reason) => *self.outcome.refused.entry((key.0, reason)).or_default() += 1,
                    None => self.accept(record, item),
                }
            }
        }
    }

    fn accept(&mut self, record: &Record, item: &Item) {
        for (place, stream) in self.definitions.streams.iter().enumerate() {
            let Some((instance, datum)) = select(stream, record, item) else { continue };
            self.data[place].entry(instance).or_default().entry(item.time).or_default().push(datum);
        }
    }

    /// Takes each frontier to the least watermark of the source's active partitions.
    fn observe(&mut self) {
        for (place, source) in self.sources.iter_mut().enumerate() {
            let lateness = self.definitions.sources[place].lateness;
            let active = self.partitions.iter().filter(|(key, partition)| key.0 == place && !partition.idle);
            let marks: Option<Vec<Time>> = active.map(|(_, partition)| Some(partition.max_time? - lateness)).collect();
            source.frontier = source.frontier.max(marks.and_then(|marks| marks.into_iter().min()));
        }
    }

    /// The least frontier of the agenda's sources; none while one has none.
    pub(crate) fn clock(&self, agenda: usize) -> Option<Time> {
        let frontiers = self.agendas[agenda].sources.iter().map(|source| self.sources[*source].frontier);
        frontiers.min().flatten()
    }

    /// Gives an origin to every agenda whose clock has come to be, and births to the instances bound there.
    fn originate(&mut self) {
        for agenda in 0..self.agendas.len() {
            if self.agendas[agenda].origin.is_some() || self.clock(agenda).is_none() {
                continue;
            }
            let of_source = |source: &usize| {
                let partitions = self.partitions.iter().filter(|(key, _)| key.0 == *source);
                let first = partitions.filter_map(|(_, partition)| partition.first_watermark).min();
                first.or(self.sources[*source].frontier)
            };
            self.agendas[agenda].origin = self.agendas[agenda].sources.iter().filter_map(of_source).min();
            let origin = self.agendas[agenda].origin.expect("a clock has sources with frontiers");
            for feed in self.feeds_of(agenda) {
                for labels in self.bound(feed) {
                    let instance = Instance { bound: true, born: origin, first: origin, closed: Vec::new() };
                    self.feeds[feed].live.insert(labels, instance);
                }
            }
            self.give_birth();
            self.bind(origin);
        }
    }

    pub(crate) fn feeds_of(&self, agenda: usize) -> Vec<usize> {
        (0..self.feeds.len()).filter(|feed| self.feeds[*feed].agenda == agenda).collect()
    }

    /// The instances of a feed that need no data to be known: those that the labels of a written-out element name.
    fn bound(&self, feed: usize) -> BTreeSet<Labels> {
        let each = &self.definitions.streams[self.feeds[feed].stream].each;
        if each.is_empty() {
            return BTreeSet::from([Labels::default()]);
        }
        let reading = (0..self.bindings.len()).filter(|check| self.bindings[*check].feeds.contains(&Some(feed)));
        let elements =
            reading.flat_map(|check| self.elements.values().filter(move |living| self.targets(check, living)));
        let written = elements.filter(|living| living.for_each.is_none());
        written.filter_map(|living| restricted(&living.labels, each)).collect()
    }

    pub(crate) fn input(&self, check: usize, argument: usize) -> &'a Input {
        match &self.definitions.checks[check].arguments[argument].1 {
            Argument::Input(input) => input,
            other => unreachable!("no input: {other:?}"),
        }
    }

    pub(crate) fn outcome(mut self) -> Outcome {
        self.outcome.elements =
            self.elements.into_iter().map(|(element, living)| (element, (living.own, living.propagated))).collect();
        self.outcome
    }
}

/// The part of `labels` that names an instance; none where a label of `each` is not there or empty.
pub(crate) fn restricted(labels: &Labels, each: &[Arc<str>]) -> Option<Labels> {
    let value = |name: &Arc<str>| labels.get(name).filter(|value| !value.is_empty());
    let pairs: Option<Vec<_>> = each.iter().map(|name| Some((name.clone(), value(name)?.clone()))).collect();
    pairs.map(Labels::new)
}

/// What `item` is in `stream`, and of which instance; none where it does not belong.
fn select(stream: &Stream, record: &Record, item: &Item) -> Option<(Labels, Datum)> {
    let (name, body) = match &item.content {
        Content::Number { .. } => (&item.name, None),
        Content::Event { kind, body } => (kind, Some(body)),
    };
    let json: Option<serde_json::Value> = body.map(|body| serde_json::from_str(body).expect("a checked event"));
    let field = |pointer: &str| json.as_ref().and_then(|json| json.pointer(pointer));
    let label = |name: &str| item.labels.get(name).map_or("", |value| &**value);
    let text = |pointer: &str| match field(pointer) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => other.to_string(),
        _ => String::new(),
    };
    let select = &stream.select;
    let belongs = stream.source == record.source
        && select.name.iter().all(|condition| condition.holds(name))
        && select.labels.iter().all(|(name, condition)| condition.holds(label(name)))
        && select.fields.iter().all(|(pointer, condition)| condition.holds(&text(pointer)));
    let instance = restricted(&item.labels, &stream.each).filter(|_| belongs)?;
    let sample = |value: f64, kind: Kind| {
        Datum::Sample(Sample { series: (name.clone(), item.labels.clone()), time: item.time, value, kind })
    };
    let datum = match (&stream.content, &item.content) {
        (Made::Metric, Content::Number { value, kind }) => sample(*value, *kind),
        (Made::Events, Content::Event { kind, body }) => Datum::Event(Event {
            time: item.time,
            kind: kind.clone(),
            topic: record.topic.clone(),
            partition: record.partition,
            offset: record.offset,
            body: body.clone(),
        }),
        (Made::EventsAsMetric(None), Content::Event { .. }) => sample(1.0, Kind::Gauge),
        (Made::EventsAsMetric(Some(pointer)), Content::Event { .. }) => sample(field(pointer)?.as_f64()?, Kind::Gauge),
        _ => return None,
    };
    Some((instance, datum))
}
