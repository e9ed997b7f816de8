//! The state machine: records and the shell's words go in, transitions and what must be kept come out.
//! It does no IO, reads no clock and starts no thread. A shell polls, calls `Engine::admit` and `fill`
//! for each batch, then `Engine::advance`, and commits what `Engine::collect` gives.
//!
//! In front of the frontier, `fill` puts each sample into a pane, in shards that share nothing. Behind
//! it, `advance` takes instants in ascending event time: windows close into points, checks run on them,
//! and what they say becomes health, once for each instant.

mod arguments;
mod baselines;
mod blocks;
mod calendar;
mod checks;
mod feed;
mod frontier;
mod health;
mod lane;
mod learning;
mod outlook;
mod plan;
mod points;
mod publications;
mod quantile;
mod rolling;
mod rows;
mod shard;
pub mod state;
mod sum;
mod table;
mod windows;

pub use baselines::Lived;
pub use frontier::Said;
pub use outlook::{Difference, Fate, Outlook, OutlookKind, outlook};
pub use shard::{Refusal, Shard, fill};

use crate::baselines::Baselines;
use crate::blocks::Blocks;
use crate::checks::{Checks, Trigger};
use crate::frontier::Frontiers;
use crate::health::Topology;
use crate::plan::{ArgumentPlan, Plan};
use crate::publications::Publications;
use crate::state::{
    AgendaRecord, Change, Column, ElementRecord, Entry, Instant, PartitionKey, PartitionRecord, Restored, Standing,
};
use crate::windows::Windows;
use codec::Format;
use functions::Library;
use hashbrown::HashMap;
use model::definition::{Definitions, Downsampling, Propagation, Shape, Window};
use model::record::Batch;
use model::{Element, Labels, Span, State, Time};
use std::sync::Arc;

/// Everything behind the frontier.
#[derive(Debug)]
pub struct Engine {
    plan: Arc<Plan>,
    library: Arc<Library>,
    frontiers: Frontiers,
    agendas: Vec<Agenda>,
    windows: Windows,
    checks: Checks,
    baselines: Baselines,
    topology: Topology,
    publications: Publications,
    blocks: Blocks,
    /// Whether nothing has advanced since the start: what is met then may have been read again.
    started: bool,
    /// What a start has found to be no longer wanted.
    dropped: Vec<Change>,
    /// The records of elements that were kept and have not come yet.
    kept_elements: HashMap<Element, ElementRecord>,
}

/// How far an agenda has come.
#[derive(Debug, Default)]
struct Agenda {
    record: AgendaRecord,
    changed: bool,
}

/// What a step came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Whether there are transitions, so that a commit is due at once.
    pub transitions: bool,
    /// Whether there are points to publish: then too.
    pub points: bool,
    /// Whether instants are left over for the next step.
    pub more: bool,
    /// Whether baseline functions are still to be asked about the batch that comes next: further steps do that, and
    /// records may be read in between.
    pub asking: bool,
    /// Partitions that are so far ahead of those who read them that they must wait; all others may be read.
    pub ahead: Vec<PartitionKey>,
}

/// What a start has made of what was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Instances of streams that live on.
    pub instances: usize,
    /// Check instances that live on.
    pub checks: usize,
    /// Instances of baselines that go on from what they have learned.
    pub baselines: usize,
    /// Instances, check instances, elements and blocks that nothing asks for any more.
    pub dropped: usize,
}

/// A stream as it is cut for the checks that read it; its instances are kept under the fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedDescription {
    /// What `Change::Instance` names it by.
    pub fingerprint: u64,
    /// The stream's place in the definitions.
    pub stream: usize,
    /// How time is cut; none for events that come one by one.
    pub window: Option<Window>,
    /// What its windows are reduced to.
    pub downsample: Vec<Downsampling>,
    /// The sorted names of its agenda's sources.
    pub sources: Vec<Arc<str>>,
    /// The names of the baselines whose readings its points have, in their order.
    pub baselines: Vec<Arc<str>>,
}

impl Engine {
    /// Makes the engine and its shards, one for each worker, from definitions and what was kept. Formats are
    /// those of the sources, in their order; the library has the functions that the definitions name.
    pub fn new(
        definitions: Arc<Definitions>,
        formats: Arc<[Format]>,
        library: Arc<Library>,
        workers: usize,
        mut restored: Restored,
    ) -> (Engine, Vec<Shard>, Kept) {
        let plan = Arc::new(Plan::new(definitions.clone(), &library));
        let mut shards: Vec<Shard> = (0..workers.max(1)).map(|_| Shard::new(plan.clone(), formats.clone())).collect();
        let learned = baselines::Kept {
            heads: std::mem::take(&mut restored.baselines),
            instances: std::mem::take(&mut restored.baseline_instances),
            columns: std::mem::take(&mut restored.columns),
            models: std::mem::take(&mut restored.models),
        };
        let mut engine = Engine {
            baselines: Baselines::new(plan.clone(), library.clone(), learned),
            frontiers: Frontiers::new(definitions),
            agendas: plan.agendas.iter().map(|_| Agenda::default()).collect(),
            windows: Windows::new(plan.clone()),
            checks: Checks::new(plan.clone(), library.clone(), restored.checks.clone()),
            topology: Topology::default(),
            publications: Publications::new(plan.clone(), restored.published),
            blocks: Blocks::new(plan.clone(), &restored),
            started: true,
            dropped: Vec::new(),
            kept_elements: restored.elements.iter().cloned().collect(),
            library,
            plan,
        };
        let kept = engine.restore(restored, &mut shards);
        (engine, shards, kept)
    }

    fn restore(&mut self, restored: Restored, shards: &mut [Shard]) -> Kept {
        self.topology.sequence = restored.sequence;
        let mut numbers = HashMap::new();
        for (name, record) in &restored.sources {
            self.frontiers.restore_source(name, record.clone());
        }
        for (key, record, replay) in self.blocks.restore(&restored, shards, &mut numbers) {
            self.frontiers.own(shards, key, record, replay, true);
        }
        self.frontiers.awake(shards);
        for (names, record) in &restored.agendas {
            if let Some(place) = self.plan.agendas.iter().position(|agenda| agenda.names == *names) {
                self.agendas[place].record = *record;
            }
        }
        self.windows.meet(shards, &numbers);
        self.windows.free_numbers();
        self.add_written();
        let mut living = Vec::new();
        for (fingerprint, labels, record) in restored.instances {
            match self.plan.feeds.iter().position(|feed| feed.fingerprint == fingerprint) {
                Some(feed) => living.push((feed, self.windows.restore(feed, &labels, record))),
                None => self.dropped.push(Change::Instance { feed: fingerprint, labels, record: None }),
            }
        }
        for (feed, instance) in &living {
            self.hold(*feed, *instance, None);
        }
        for (feed, instance) in &living {
            // What is bound only now counts as missing one deadline from now on.
            let now = self.agendas[self.plan.feeds[*feed].agenda].record.place.map(|place| place.time);
            self.checks.instance_born(*feed, *instance, &mut self.windows, &mut self.topology, now);
        }
        for agenda in 0..self.agendas.len() {
            let AgendaRecord { origin, place } = self.agendas[agenda].record;
            if let Some(origin) = origin {
                self.bind(agenda, origin, place.map_or(origin, |place| place.time));
            }
        }
        let gone = std::mem::take(&mut self.kept_elements).into_keys().map(|element| Change::Element {
            element,
            sequence: self.topology.sequence,
            record: None,
        });
        self.dropped.extend(gone);
        self.baselines.resume(|agenda| self.agendas[agenda].record.place.map(|place| place.time));
        let kept = Kept {
            instances: living.len(),
            checks: self.checks.instances.iter().flatten().count(),
            baselines: self.baselines.pupils.iter().map(learning::Pupil::instances).sum(),
            dropped: self.dropped.len() + self.checks.drop_kept() + self.baselines.dropped(),
        };
        for (column, piece, _) in restored.times {
            if !self.keeps(&column) {
                self.dropped.push(Change::Times { column, piece, times: Vec::new() });
            }
        }
        kept
    }

    /// Whether a column is still kept.
    fn keeps(&self, column: &Column) -> bool {
        let plan = &self.plan;
        match column {
            Column::LastSamples { feed } => {
                plan.feeds.iter().any(|of| of.fingerprint == *feed && of.keeps_column(plan))
            }
            Column::Deadlines { check } => {
                let at = plan.definitions.checks.iter().position(|of| of.name == *check);
                at.is_some_and(|at| plan.lanes[plan.feeds[plan.checks[at].feed].lane].cut.is_some())
            }
        }
    }

    /// Adds the elements that are written out.
    fn add_written(&mut self) {
        let plan = self.plan.clone();
        for component in plan.definitions.components.iter().filter(|component| component.for_each.is_none()) {
            let element = Element::component(component.name.clone());
            self.add(element.clone(), element, &component.kind, &component.labels, None, &component.propagation, None);
        }
        for relation in plan.definitions.relations.iter().filter(|relation| relation.for_each.is_none()) {
            let element = Element::relation(relation.from.clone(), relation.to.clone());
            self.add(element.clone(), element, &relation.kind, &relation.labels, None, &relation.propagation, None);
        }
    }

    /// Adds an element, with what was kept of it, and binds checks to it.
    #[allow(clippy::too_many_arguments)]
    fn add(
        &mut self,
        element: Element,
        definition: Element,
        kind: &Arc<str>,
        labels: &Labels,
        instance: Option<Labels>,
        propagation: &Propagation,
        now: Option<Time>,
    ) -> usize {
        if let Some(place) = self.topology.place(&element) {
            return place;
        }
        let kept = self.kept_elements.remove(&element);
        let known = kept.is_some();
        let labels = instance.as_ref().map_or_else(|| labels.clone(), |instance| labels.with(instance));
        let (own, propagated, error) = match kept {
            Some(record) => (record.own, record.propagated, record.error),
            None => (Standing::default(), Standing::default(), None),
        };
        let definition_name = definition.to_string().into();
        let record =
            ElementRecord { kind: kind.clone(), labels, instance, definition: definition_name, own, propagated, error };
        let place = self.topology.add(element, record, propagation.clone(), known);
        self.checks.element_born(place, &definition, &mut self.windows, &mut self.topology, now);
        place
    }

    /// Makes the elements that templates want for an instance of a feed, and holds on to them.
    fn hold(&mut self, feed: usize, instance: u32, now: Option<Time>) {
        let plan = self.plan.clone();
        let labels = self.windows.labels(feed, instance).clone();
        for template in &plan.templates[plan.lanes[plan.feeds[feed].lane].stream] {
            let (element, definition) = (filled_in(&template.definition, &labels), template.definition.clone());
            let of_instance = Some(labels.clone());
            let place = self.add(
                element,
                definition,
                &template.kind,
                &template.labels,
                of_instance,
                &template.propagation,
                now,
            );
            self.topology.state_mut(place).holders += 1;
        }
    }

    /// Lets go of the elements that templates made for an instance of a feed.
    fn release(&mut self, feed: usize, instance: u32) {
        let plan = self.plan.clone();
        let labels = self.windows.labels(feed, instance).clone();
        for template in &plan.templates[plan.lanes[plan.feeds[feed].lane].stream] {
            let element = filled_in(&template.definition, &labels);
            let Some(place) = self.topology.place(&element) else { continue };
            let of = self.topology.state_mut(place);
            of.holders -= 1;
            if of.holders == 0 {
                self.checks.element_gone(&element, &mut self.windows, &mut self.topology);
                self.topology.remove(place);
            }
        }
    }

    /// Brings the instances to life that bindings to written elements name.
    fn bind(&mut self, agenda: usize, origin: Time, now: Time) {
        let fresh = self.checks.bind(agenda, origin, &mut self.windows, &self.topology);
        self.bring_forth(&fresh, now);
    }

    /// Takes in a partition that is to be read from an offset on, where it is not known yet. The shell commits
    /// before it reads it. Of a partition that is known it takes the topic's id alone.
    pub fn found(
        &mut self,
        shards: &mut [Shard],
        partition: PartitionKey,
        start_offset: i64,
        topic_id: Option<String>,
    ) {
        self.frontiers.found(shards, partition, start_offset, topic_id);
    }

    /// Notes that a partition's records of these offsets, `to` not among them, were lost before they could be read.
    /// Called before anything behind them is filled.
    pub fn lose(&mut self, shards: &mut [Shard], partition: &PartitionKey, from: i64, to: i64) {
        self.frontiers.lose(shards, partition, from, to);
    }

    /// Where each known partition is to be read from: the next offset, and how its time stands there.
    pub fn positions(&self, shards: &[Shard]) -> Vec<(PartitionKey, PartitionRecord)> {
        self.frontiers.positions(shards).collect()
    }

    /// Notes a batch before it is filled; gives the worker that owns its partition.
    pub fn admit(&mut self, shards: &mut [Shard], batch: &Batch) -> usize {
        self.frontiers.admit(shards, batch)
    }

    /// Whether records below the committed positions are still read again: until then nothing advances.
    pub fn replaying(&self, shards: &[Shard]) -> bool {
        self.frontiers.replaying(shards)
    }

    /// How far a source's time has come.
    pub fn frontier(&self, source: usize) -> Option<Time> {
        self.frontiers.sources[source].record.frontier
    }

    /// How many blocks open windows are kept in.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Instances that bounds kept out since the start.
    pub fn overflow(&self) -> u64 {
        self.windows.overflow + self.baselines.overflow
    }

    /// How often check functions have run since the start.
    pub fn runs(&self) -> u64 {
        self.checks.runs
    }

    /// All feeds: each stream as it is cut for the checks that read it.
    pub fn feeds(&self) -> impl Iterator<Item = FeedDescription> + '_ {
        self.plan.feeds.iter().map(|feed| {
            let lane = &self.plan.lanes[feed.lane];
            let name =
                |lesson: &usize| self.plan.definitions.baselines[self.plan.lessons[*lesson].baseline].name.clone();
            FeedDescription {
                fingerprint: feed.fingerprint,
                stream: lane.stream,
                window: lane.window.clone(),
                downsample: feed.downsample.clone(),
                sources: self.plan.agendas[feed.agenda].names.clone(),
                baselines: feed.lessons.iter().map(name).collect(),
            }
        })
    }

    /// For each check, when its instances last ran, by their rows; `Time::MIN` for one that has not since the start.
    pub fn last_runs(&self) -> Vec<(Arc<str>, Vec<Time>)> {
        self.checks.last_runs()
    }

    /// Takes the engine forward to what the shards hold and the shell says. Does no IO, reads no clock, does
    /// bounded work.
    pub fn advance(&mut self, shards: &mut [Shard], said: &[Said]) -> Step {
        self.frontiers.observe(shards, said);
        if said.iter().any(|word| matches!(word, Said::Recreated { .. })) {
            self.blocks.write_all();
        }
        if self.replaying(shards) {
            return Step::default();
        }
        let told = self.topology.sequence;
        for (lane, number) in self.windows.meet(shards, &HashMap::new()) {
            self.blocks.note(lane, number, self.started);
        }
        self.started = false;
        self.start_clocks(shards);
        let mut left = self.plan.definitions.limits.instants_per_step;
        let mut last: Option<(usize, Instant)> = None;
        let mut more = false;
        while let Some((agenda, instant)) = self.next(shards) {
            if left == 0 || self.publications.are_many() {
                more = true;
                break;
            }
            left -= 1;
            if let Some((of, place)) = last.filter(|(of, _)| *of != agenda) {
                self.note_place(of, place);
            }
            self.evaluate(agenda, instant, shards); // windows close, checks run on their points
            self.topology.apply(instant.time, &self.library); // own -> propagated -> transitions
            self.agendas[agenda].record.place = Some(instant);
            self.agendas[agenda].changed = true;
            last = Some((agenda, instant));
        }
        if let Some((agenda, place)) = last {
            self.note_place(agenda, place);
        }
        self.frontiers.journal.push(Entry::Step);
        self.trim(shards);
        let asking = self.baselines.ask_some();
        let (transitions, points) = (self.topology.sequence > told, self.publications.wait());
        Step { transitions, points, more, asking, ahead: self.ahead(shards) }
    }

    fn note_place(&mut self, agenda: usize, place: Instant) {
        self.frontiers.journal.push(Entry::Advanced { agenda: self.plan.agendas[agenda].names.clone(), place });
    }

    /// The clock of an agenda: the least frontier of its sources.
    fn clock(&self, agenda: usize) -> Option<Time> {
        let frontiers = self.plan.agendas[agenda].sources.iter().map(|source| self.frontier(*source));
        frontiers.min().flatten()
    }

    /// Gives an origin to agendas whose clock has just begun to run, and binds what is written out.
    fn start_clocks(&mut self, shards: &[Shard]) {
        for agenda in 0..self.agendas.len() {
            if self.agendas[agenda].record.origin.is_some() || self.clock(agenda).is_none() {
                continue;
            }
            let sources = &self.plan.agendas[agenda].sources;
            let origin = sources.iter().filter_map(|source| self.frontiers.first_watermark(shards, *source)).min();
            if let Some(origin) = origin {
                self.agendas[agenda].record.origin = Some(origin);
                self.agendas[agenda].changed = true;
                self.bind(agenda, origin, origin);
            }
        }
    }

    /// The earliest instant that is due on any agenda.
    fn next(&mut self, shards: &[Shard]) -> Option<(usize, Instant)> {
        let due = (0..self.agendas.len()).filter_map(|agenda| Some((self.next_of(agenda, shards)?, agenda)));
        let due: Option<(Instant, usize)> = due.collect::<Vec<_>>().into_iter().min();
        due.map(|(instant, agenda)| (agenda, instant))
    }

    fn next_of(&mut self, agenda: usize, shards: &[Shard]) -> Option<Instant> {
        let clock = self.clock(agenda)?;
        let AgendaRecord { origin, place } = self.agendas[agenda].record;
        let mut next = self.checks.next_timer(agenda).map(|time| Instant { time, phase: 0 });
        for feed in self.plan.clone().agendas[agenda].feeds.iter().copied() {
            let windowed = self.plan.lanes[self.plan.feeds[feed].lane].cut.is_some();
            let time = self.windows.next(feed, shards, place, origin?);
            let expiry = if windowed { None } else { self.windows.next_expiry(feed, &self.frontiers, clock) };
            let window_or_event = time.map(|time| Instant { time, phase: u8::from(!windowed) });
            let expiry = expiry.map(|time| Instant { time, phase: 0 });
            next = next.into_iter().chain(window_or_event).chain(expiry).min();
        }
        // A timer that a start has made too late for its time is due now.
        let late = |next: Instant, place: Instant| {
            if next > place { next } else { Instant { time: place.time + Span::from_nanos(1), phase: 0 } }
        };
        let next = next.map(|next| place.map_or(next, |place| late(next, place)));
        next.filter(|next| if next.phase == 0 { next.time <= clock } else { next.time < clock })
    }

    /// Does all that is due at an instant of an agenda.
    fn evaluate(&mut self, agenda: usize, instant: Instant, shards: &mut [Shard]) {
        let plan = self.plan.clone();
        let feeds = &plan.agendas[agenda].feeds;
        let cut_of = |feed: &usize| plan.lanes[plan.feeds[*feed].lane].cut.as_ref();
        if instant.phase > 0 {
            for feed in feeds.iter().filter(|feed| cut_of(feed).is_none()) {
                self.take_events(*feed, instant.time, shards);
            }
            return;
        }
        let Some(origin) = self.agendas[agenda].record.origin else { return };
        let place = self.agendas[agenda].record.place;
        let windowed = feeds.iter().copied().filter(|feed| cut_of(feed).is_some());
        let closing: Vec<usize> =
            windowed.filter(|feed| self.windows.next(*feed, shards, place, origin) == Some(instant.time)).collect();
        let mut events = HashMap::new();
        let mut born = Vec::new();
        for feed in &closing {
            self.baselines.begin(*feed, instant.time);
            let (fresh, of_windows) = self.windows.close(*feed, instant.time, shards, &self.frontiers);
            born.extend(fresh.into_iter().map(|instance| (*feed, instance)));
            events.insert(*feed, of_windows);
            self.baselines.read(*feed, &mut self.windows); // the bands in force
            self.publications.write(*feed, instant.time, &self.windows);
        }
        self.bring_forth(&born, instant.time);
        for feed in &closing {
            self.run_checks(*feed, instant.time, origin, &events[feed]); // and only then are baselines taught
        }
        self.checks.fire(agenda, instant.time, &mut self.topology);
        for feed in feeds {
            if closing.contains(feed) || cut_of(feed).is_none() {
                for instance in self.windows.expired(*feed, instant.time, &self.frontiers) {
                    self.retire(*feed, instance, shards);
                }
            }
        }
    }

    /// Makes elements and check instances for instances that were born.
    fn bring_forth(&mut self, born: &[(usize, u32)], time: Time) {
        for (feed, instance) in born {
            self.hold(*feed, *instance, Some(time));
        }
        for (feed, instance) in born {
            self.checks.instance_born(*feed, *instance, &mut self.windows, &mut self.topology, Some(time));
        }
    }

    /// Runs the checks that a feed's closed windows make run, and teaches its baselines.
    fn run_checks(&mut self, feed: usize, time: Time, origin: Time, events: &HashMap<u32, Vec<model::Event>>) {
        let plan = self.plan.clone();
        let mut anomalous = vec![false; plan.feeds[feed].lessons.len()];
        let closed = std::mem::take(&mut self.windows.feeds[feed].closed);
        for (instance, point) in closed.iter().filter(|_| plan.feeds[feed].is_read) {
            for at in 0..self.windows.feeds[feed].instances[instance].triggers.len() {
                let place = self.windows.feeds[feed].instances[instance].triggers[at];
                let Some(check) = self.checks.instances[place].as_ref().map(|of| of.check) else { continue };
                let check = &plan.checks[check];
                let ArgumentPlan::Input(input) = &check.arguments[check.trigger] else { continue };
                let trigger = match input.shape {
                    Shape::Events => Trigger::Events(point, events.get(&(instance as u32)).map_or(&[], Vec::as_slice)),
                    _ if arguments::has_shape(input, point) => Trigger::Window(point),
                    _ => continue,
                };
                let said = self.checks.evaluate(place, time, &trigger, &self.windows, &mut self.topology);
                if let Some(lesson) = input.lesson {
                    anomalous[lesson] |= said.is_some_and(State::propagates);
                }
            }
            if !anomalous.is_empty() {
                let labels = self.windows.labels(feed, instance as u32);
                self.baselines.learn(feed, instance as u32, labels, point, origin, &anomalous);
                anomalous.fill(false);
            }
        }
        let of = &plan.feeds[feed];
        self.windows.feeds[feed].end(closed, of.keep == 0 && !of.lessons.is_empty());
        self.baselines.end(feed, time);
    }

    /// Runs the checks that events of this time make run, one by one.
    fn take_events(&mut self, feed: usize, time: Time, shards: &[Shard]) {
        let lane = self.plan.feeds[feed].lane;
        let by_instance = self.windows.events(lane, shards, time, time + Span::from_nanos(1));
        let mut in_order: Vec<(u32, model::Event)> = by_instance
            .into_iter()
            .flat_map(|(instance, events)| events.into_iter().map(move |event| (instance, event)))
            .collect();
        in_order.sort_by(|a, b| a.1.order().cmp(&b.1.order()));
        for (instance, event) in in_order {
            if self.windows.at_event(feed, instance, time) {
                self.bring_forth(&[(feed, instance)], time);
            }
            for place in self.windows.feeds[feed].instances[instance as usize].triggers.clone() {
                self.checks.evaluate(place, time, &Trigger::Event(&event), &self.windows, &mut self.topology);
            }
        }
    }

    fn retire(&mut self, feed: usize, instance: u32, shards: &mut [Shard]) {
        for place in std::mem::take(&mut self.windows.feeds[feed].instances[instance as usize].triggers) {
            self.checks.drop_instance(place, &mut self.topology);
        }
        self.release(feed, instance);
        self.baselines.leave(feed, instance);
        self.windows.retire(feed, instance, shards);
    }

    /// Drops what no open window shows any more.
    fn trim(&mut self, shards: &mut [Shard]) {
        let mut oldest = Time::MAX;
        for lane in 0..self.plan.lanes.len() {
            let horizon = self.windows.horizon(lane, |agenda| self.agendas[agenda].record.place);
            let stream = &self.plan.definitions.streams[self.plan.lanes[lane].stream];
            oldest = oldest.min(horizon.map_or(Time::MIN, |horizon| horizon - stream.time_to_live.times(2)));
            if let Some(horizon) = horizon {
                shards.iter_mut().for_each(|shard| shard.lanes[lane].trim(horizon));
            }
        }
        self.frontiers.trim(oldest);
    }

    /// Partitions that must wait for the clocks of those who read them.
    fn ahead(&self, shards: &[Shard]) -> Vec<PartitionKey> {
        self.frontiers.ahead(shards, |source| {
            let readers = self.plan.agendas.iter().enumerate().filter(|(_, agenda)| agenda.sources.contains(&source));
            readers.filter_map(|(agenda, _)| self.clock(agenda)).min()
        })
    }

    /// All that changed since it was last asked: what one commit writes. `turns` blocks beside those that are
    /// new are part of it. Nothing while records are read again.
    pub fn collect(&mut self, shards: &[Shard], turns: usize) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.replaying(shards) {
            return changes;
        }
        changes.append(&mut self.dropped);
        self.blocks.changes(turns, shards, &self.windows, &mut self.frontiers, &mut changes);
        self.frontiers.changes(shards, &mut changes);
        for (place, agenda) in self.agendas.iter_mut().enumerate() {
            if std::mem::take(&mut agenda.changed) {
                changes.push(Change::Agenda { sources: self.plan.agendas[place].names.clone(), record: agenda.record });
            }
        }
        self.windows.changes(&mut changes);
        self.checks.changes(&mut changes);
        self.baselines.changes(false, &mut changes);
        self.topology.changes(&mut changes);
        self.publications.changes(&mut changes);
        changes
    }

    /// All that baselines have learned, for a store that has nothing of it or other things.
    pub fn learned(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        self.baselines.changes(true, &mut changes);
        changes
    }

    /// What baselines have read and learned since it was last asked. The first call begins it and gives nothing.
    pub fn lived(&mut self) -> Vec<Lived> {
        self.baselines.watched.replace(Vec::new()).unwrap_or_default()
    }
}

/// The element that a template makes of an instance's labels.
fn filled_in(template: &Element, labels: &Labels) -> Element {
    match template {
        Element::Component(name) => Element::component(with_values(name, labels)),
        Element::Relation { from, to } => Element::relation(with_values(from, labels), with_values(to, labels)),
    }
}

/// A text with the values of labels in place of `{label}`.
fn with_values(template: &str, labels: &Labels) -> Arc<str> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        match after.split_once('}').and_then(|(name, after)| Some((labels.get(name)?, after))) {
            Some((value, after)) => {
                text.push_str(value);
                rest = after;
            }
            None => {
                text.push('{');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text.into()
}
