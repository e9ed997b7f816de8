//! Check functions at work: which instances they are bound to, what they are given, and what their
//! results make of a state.

use crate::arguments::{Lack, arguments};
use crate::health::{Spoken, Topology};
use crate::plan::{ArgumentPlan, Plan};
use crate::points::ClosedPoint;
use crate::rows::Rows;
use crate::state::{ActiveError, Change, CheckKey, CheckRecord, Column};
use crate::windows::Windows;
use functions::{CheckCall, Failure, Library, Verdict};
use hashbrown::HashMap;
use model::definition::{Quorum, Target};
use model::{Element, Event, Labels, Span, State, Time};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

/// All check instances, and what is due for them.
#[derive(Debug)]
pub(crate) struct Checks {
    plan: Arc<Plan>,
    library: Arc<Library>,
    pub(crate) instances: Vec<Option<CheckInstance>>,
    free: Vec<usize>,
    places: HashMap<CheckKey, usize>,
    by_element: HashMap<Element, Vec<usize>>,
    /// For each check, the elements it is bound to, by those of their labels that its trigger's instances have.
    bound: Vec<Bound>,
    /// For each agenda, timers: when, which, and the check instance.
    pub(crate) timers: Vec<BinaryHeap<Reverse<(Time, Timer, usize)>>>,
    /// For each check, the rows that its instances have in the column of deadlines.
    rows: Vec<Rows>,
    /// What was kept of check instances that are not bound yet.
    kept: HashMap<CheckKey, CheckRecord>,
    changed: Vec<usize>,
    gone: Vec<CheckKey>,
    /// Runs of functions since the start, for counters.
    pub(crate) runs: u64,
}

/// Elements by some of their labels: which labels, then their values.
type Bound = BTreeMap<BTreeSet<Arc<str>>, HashMap<Labels, Vec<Element>>>;

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Missing,
    Expiry,
}

/// One check on one element for one instance.
#[derive(Debug)]
pub(crate) struct CheckInstance {
    pub(crate) check: usize,
    pub(crate) element: Element,
    /// The trigger's instance.
    pub(crate) instance: u32,
    instance_labels: Labels,
    /// Labels of the element, and of the instance on top.
    pub(crate) labels: Labels,
    pub(crate) record: CheckRecord,
    /// When it last ran.
    pub(crate) last_run: Option<Time>,
    changed: bool,
}

/// What makes a check run.
pub(crate) enum Trigger<'e> {
    Window(ClosedPoint<'e>),
    Events(ClosedPoint<'e>, &'e [Event]),
    Event(&'e Event),
}

impl Checks {
    pub(crate) fn new(plan: Arc<Plan>, library: Arc<Library>, kept: Vec<(CheckKey, CheckRecord)>) -> Checks {
        Checks {
            instances: Vec::new(),
            free: Vec::new(),
            places: HashMap::new(),
            by_element: HashMap::new(),
            bound: plan.checks.iter().map(|_| BTreeMap::new()).collect(),
            timers: plan.agendas.iter().map(|_| BinaryHeap::new()).collect(),
            rows: rows_of(&plan, &kept),
            kept: kept.into_iter().collect(),
            changed: Vec::new(),
            gone: Vec::new(),
            runs: 0,
            library,
            plan,
        }
    }

    /// Binds checks to an element that has come, and to the instances that live already.
    pub(crate) fn element_born(
        &mut self,
        place: usize,
        definition: &Element,
        windows: &mut Windows,
        topology: &mut Topology,
        now: Option<Time>,
    ) {
        let plan = self.plan.clone();
        let (element, labels, kind) = {
            let of = topology.state(place);
            (of.element.clone(), of.record.labels.clone(), of.record.kind.clone())
        };
        for (check, of) in plan.checks.iter().enumerate() {
            if !plan.definitions.checks[check].on.iter().any(|target| targets(target, definition, &kind, &labels)) {
                continue;
            }
            let each = &plan.definitions.streams[plan.lanes[plan.feeds[of.feed].lane].stream].each;
            let shared =
                Labels::new(each.iter().filter_map(|name| labels.get(name).map(|value| (name.clone(), value.clone()))));
            let names = shared.iter().map(|(name, _)| name.clone()).collect();
            self.bound[check].entry(names).or_default().entry(shared.clone()).or_default().push(element.clone());
            if shared.len() == each.len() {
                if let Some(instance) = windows.find(of.feed, &shared) {
                    self.create(check, place, instance, windows, topology, now);
                }
                continue;
            }
            let living: Vec<u32> = windows
                .living(of.feed)
                .filter(|instance| windows.labels(of.feed, *instance).agrees_with(&labels))
                .collect();
            for instance in living {
                self.create(check, place, instance, windows, topology, now);
            }
        }
    }

    /// Brings to life the instances of an agenda's feeds that bindings to written elements determine, whatever they
    /// are read for, and that of each stream that has but one. Gives those that did not live yet; their check
    /// instances are made as for any that is born.
    pub(crate) fn bind(
        &mut self,
        agenda: usize,
        origin: Time,
        windows: &mut Windows,
        topology: &Topology,
    ) -> Vec<(usize, u32)> {
        let plan = self.plan.clone();
        let each = |feed: usize| &plan.definitions.streams[plan.lanes[plan.feeds[feed].lane].stream].each;
        let whole = |feed: &usize| plan.feeds[*feed].agenda == agenda && each(*feed).is_empty();
        let mut named: BTreeSet<(usize, Labels)> =
            (0..plan.feeds.len()).filter(whole).map(|feed| (feed, Labels::default())).collect();
        for (check, of) in plan.checks.iter().enumerate().filter(|(_, of)| of.agenda == agenda) {
            let elements = self.bound[check].values().flat_map(|by_labels| by_labels.values().flatten());
            let records = elements.filter_map(|element| Some(&topology.state(topology.place(element)?).record));
            for labels in records.filter(|record| record.instance.is_none()).map(|record| &record.labels) {
                let feeds = of.arguments.iter().filter_map(|argument| match argument {
                    ArgumentPlan::Input(input) => Some(input.feed),
                    _ => None,
                });
                named.extend(feeds.filter_map(|feed| Some((feed, full(labels, each(feed))?))));
            }
        }
        let mut fresh = Vec::new();
        for (feed, labels) in named {
            let instance = windows.instance(plan.feeds[feed].lane, &labels);
            if windows.bind(feed, instance, origin) {
                fresh.push((feed, instance));
            }
        }
        fresh
    }

    /// Which check instance this is.
    fn key(&self, of: &CheckInstance) -> CheckKey {
        let check = self.plan.definitions.checks[of.check].name.clone();
        CheckKey { element: of.element.clone(), check, labels: of.instance_labels.clone() }
    }

    /// Unbinds everything from an element that goes.
    pub(crate) fn element_gone(&mut self, element: &Element, windows: &mut Windows, topology: &mut Topology) {
        let Some(place) = topology.place(element) else { return };
        let labels = topology.state(place).record.labels.clone();
        for (names, by_labels) in self.bound.iter_mut().flatten() {
            let shared = restricted(&labels, names);
            if let Some(elements) = by_labels.get_mut(&shared) {
                elements.retain(|of| of != element);
                if elements.is_empty() {
                    by_labels.remove(&shared);
                }
            }
        }
        for place in self.by_element.get(element).cloned().unwrap_or_default() {
            if let Some(of) = &self.instances[place] {
                let feed = self.plan.checks[of.check].feed;
                windows.feeds[feed].instances[of.instance as usize].triggers.retain(|trigger| *trigger != place);
            }
            self.drop_instance(place, topology);
        }
    }

    /// Creates the check instances that a newly born instance of a feed asks for.
    pub(crate) fn instance_born(
        &mut self,
        feed: usize,
        instance: u32,
        windows: &mut Windows,
        topology: &mut Topology,
        now: Option<Time>,
    ) {
        let labels = windows.labels(feed, instance).clone();
        for check in 0..self.plan.checks.len() {
            if self.plan.checks[check].feed != feed {
                continue;
            }
            let mut elements: Vec<Element> = Vec::new();
            for (names, by_labels) in &self.bound[check] {
                let shared = restricted(&labels, names);
                elements.extend(by_labels.get(&shared).into_iter().flatten().cloned());
            }
            for element in elements {
                if let Some(place) = topology.place(&element) {
                    self.create(check, place, instance, windows, topology, now);
                }
            }
        }
    }

    fn create(
        &mut self,
        check: usize,
        element: usize,
        instance: u32,
        windows: &mut Windows,
        topology: &mut Topology,
        now: Option<Time>,
    ) {
        let plan = self.plan.clone();
        let of = &plan.checks[check];
        let state = topology.state(element);
        let instance_labels = windows.labels(of.feed, instance).clone();
        let definition = &plan.definitions.checks[check];
        let key = CheckKey {
            element: state.element.clone(),
            check: definition.name.clone(),
            labels: instance_labels.clone(),
        };
        if self.places.contains_key(&key) {
            return;
        }
        let kept = self.kept.remove(&key);
        let known = kept.is_some();
        let born = windows.feeds[of.feed].instances[instance as usize].record.as_ref().map(|record| record.born);
        let record = kept.unwrap_or_else(|| CheckRecord {
            row: self.rows[check].take(),
            state: None,
            since: None,
            results: Vec::new(),
            message: "".into(),
            evidence: "".into(),
            missing_at: of.trigger_deadline.zip(now.max(born)).map(|(deadline, from)| from + deadline),
            missed: 0,
            expires_at: None,
            error: None,
        });
        let labels = state.record.labels.with(&instance_labels);
        let place = self.free.pop().unwrap_or(self.instances.len());
        for (at, timer) in [(record.missing_at, Timer::Missing), (record.expires_at, Timer::Expiry)] {
            self.timers[of.agenda].extend(at.map(|at| Reverse((at, timer, place))));
        }
        if let Some(state) = record.state {
            let (message, evidence) = (record.message.clone(), record.evidence.clone());
            topology.recall(element, &definition.name, &instance_labels, Spoken { state, message, evidence });
        }
        let created = CheckInstance {
            check,
            element: key.element.clone(),
            instance,
            instance_labels,
            labels,
            record,
            last_run: None,
            changed: false,
        };
        if place == self.instances.len() {
            self.instances.push(Some(created));
        } else {
            self.instances[place] = Some(created);
        }
        self.by_element.entry(key.element.clone()).or_default().push(place);
        self.places.insert(key, place);
        windows.feeds[of.feed].instances[instance as usize].triggers.push(place);
        if !known {
            self.touch(place);
        }
    }

    /// Ends a check instance, and lets its element know.
    pub(crate) fn drop_instance(&mut self, place: usize, topology: &mut Topology) {
        let Some(of) = self.instances[place].take() else { return };
        self.rows[of.check].give_back(of.record.row);
        let check = self.plan.definitions.checks[of.check].name.clone();
        if let Some(element) = topology.place(&of.element) {
            topology.fall_silent(element, &check, &of.instance_labels);
        }
        let key = CheckKey { element: of.element, check, labels: of.instance_labels };
        self.places.remove(&key);
        if let Some(places) = self.by_element.get_mut(&key.element) {
            places.retain(|of| *of != place);
            if places.is_empty() {
                self.by_element.remove(&key.element);
            }
        }
        self.gone.push(key);
        self.free.push(place);
    }

    /// Forgets what was kept of check instances that no longer exist. Says whether there was any.
    pub(crate) fn drop_kept(&mut self) -> usize {
        let dropped = self.kept.len();
        for (key, record) in std::mem::take(&mut self.kept) {
            let check = self.plan.definitions.checks.iter().position(|check| check.name == key.check);
            check.into_iter().for_each(|check| self.rows[check].give_back(record.row));
            self.gone.push(key);
        }
        dropped
    }

    fn touch(&mut self, place: usize) {
        if let Some(of) = &mut self.instances[place]
            && !std::mem::replace(&mut of.changed, true)
        {
            self.changed.push(place);
        }
    }

    /// Runs a check at an instant. Gives what its function said, if it said anything.
    pub(crate) fn evaluate(
        &mut self,
        place: usize,
        time: Time,
        trigger: &Trigger<'_>,
        windows: &Windows,
        topology: &mut Topology,
    ) -> Option<State> {
        let plan = self.plan.clone();
        let of = self.instances[place].as_mut()?;
        let check = &plan.checks[of.check];
        of.last_run = Some(time);
        if let Some(deadline) = check.trigger_deadline {
            let lane = &plan.lanes[plan.feeds[check.feed].lane];
            let due = match &lane.cut {
                Some(cut) => cut.next_end(time),
                None => time,
            };
            let missed = std::mem::take(&mut of.record.missed);
            self.miss_at(place, Some(due + deadline));
            if missed > 0 || lane.cut.is_none() {
                self.touch(place);
            }
        }
        let of = self.instances[place].as_ref()?;
        let arguments = arguments(&plan, check, of, time, trigger, windows);
        let arguments = match arguments {
            Ok(arguments) => arguments,
            Err(Lack::Data(stream)) => {
                self.missing(place, time, stream, topology);
                return None;
            }
            Err(Lack::Failure(failure)) => {
                self.fail(place, time, failure, topology);
                return None;
            }
        };
        let definition = &plan.definitions.checks[of.check];
        let function =
            self.library.function(&definition.function).expect("validated checks have their function").clone();
        let window = match trigger {
            Trigger::Window(point) | Trigger::Events(point, _) => Some((point.start, point.end)),
            Trigger::Event(_) => None,
        };
        let call = CheckCall {
            element: &of.element,
            labels: &of.labels,
            state: of.record.state.unwrap_or_default(),
            since: of.record.since,
            time,
            window,
            arguments: &arguments,
        };
        self.runs += 1;
        match function.check(&call) {
            Err(failure) => {
                self.fail(place, time, failure, topology);
                None
            }
            Ok(verdict) => {
                let limit = plan.definitions.limits.evidence_bytes;
                let evidence =
                    |verdict: &Verdict| functions::evidence(&definition.name, &function, &call, verdict, limit).into();
                let changes = verdict.as_ref().map(|verdict| {
                    (
                        verdict,
                        decide(
                            of.record.state,
                            &of.record.results,
                            verdict.state,
                            definition.trigger,
                            definition.recover,
                        ),
                    )
                });
                let evidence: Option<Arc<str>> = match &changes {
                    Some((verdict, (Some(state), _))) if of.record.state != Some(*state) => Some(evidence(verdict)),
                    _ => None,
                };
                if let Some(of) = self.instances[place].as_mut()
                    && of.record.error.take().is_some()
                {
                    self.touch(place);
                }
                let verdict = verdict?;
                self.expire_at(place, verdict.expires.map(|span| time + span));
                self.result(place, time, verdict.state, verdict.message, evidence.unwrap_or_default(), topology);
                Some(verdict.state)
            }
        }
    }

    /// Notes when data will be missing.
    fn miss_at(&mut self, place: usize, at: Option<Time>) {
        let Some(of) = self.instances[place].as_mut() else { return };
        of.record.missing_at = at;
        let agenda = self.plan.checks[of.check].agenda;
        self.timers[agenda].extend(at.map(|at| Reverse((at, Timer::Missing, place))));
        self.rows[of.check].touch(of.record.row);
    }

    fn expire_at(&mut self, place: usize, at: Option<Time>) {
        let Some(of) = self.instances[place].as_mut() else { return };
        if of.record.expires_at != at {
            of.record.expires_at = at;
            let agenda = self.plan.checks[of.check].agenda;
            self.timers[agenda].extend(at.map(|at| Reverse((at, Timer::Expiry, place))));
            self.touch(place);
        }
    }

    /// Takes in one result.
    fn result(
        &mut self,
        place: usize,
        time: Time,
        result: State,
        message: Arc<str>,
        evidence: Arc<str>,
        topology: &mut Topology,
    ) {
        let plan = self.plan.clone();
        let Some(of) = self.instances[place].as_mut() else { return };
        let definition = &plan.definitions.checks[of.check];
        let (state, results) =
            decide(of.record.state, &of.record.results, result, definition.trigger, definition.recover);
        if of.record.results != results {
            of.record.results = results;
            self.touch(place);
        }
        self.set(place, time, state, message, evidence, topology);
    }

    /// Brings a check instance to a state, where that is another one.
    fn set(
        &mut self,
        place: usize,
        time: Time,
        state: Option<State>,
        message: Arc<str>,
        evidence: Arc<str>,
        topology: &mut Topology,
    ) {
        let Some(of) = self.instances[place].as_mut() else { return };
        let Some(state) = state.filter(|state| of.record.state != Some(*state)) else { return };
        of.record.state = Some(state);
        of.record.since = Some(time);
        // What explains that all is well is told once and not kept: there may be a million of it.
        let kept = if state.propagates() { evidence.clone() } else { "".into() };
        (of.record.message, of.record.evidence) = (message.clone(), kept);
        let check = &self.plan.definitions.checks[of.check].name;
        if let Some(element) = topology.place(&of.element) {
            topology.speak(element, check, &of.instance_labels, Spoken { state, message, evidence });
        }
        self.touch(place);
    }

    /// Applies what holds when data of a stream are missing.
    fn missing(&mut self, place: usize, time: Time, stream: usize, topology: &mut Topology) {
        let Some(of) = self.instances[place].as_ref() else { return };
        let definition = &self.plan.definitions.checks[of.check];
        let Some(state) = definition.on_missing else { return };
        let message = format!("no data for stream `{}`", self.plan.definitions.streams[stream].name).into();
        let evidence = without_call(&definition.name, "missing", time);
        self.result(place, time, state, message, evidence, topology);
    }

    /// Notes that a script failed. What it last said stands, unless its check wants UNKNOWN.
    fn fail(&mut self, place: usize, time: Time, failure: Failure, topology: &mut Topology) {
        let Some(of) = self.instances[place].as_mut() else { return };
        let definition = &self.plan.definitions.checks[of.check];
        let (unknown, name) = (definition.unknown_on_error, definition.name.clone());
        let message: Arc<str> = failure.message.into();
        let (kind, line, column) = (failure.kind.name(), failure.line as u32, failure.column as u32);
        let same = of.record.error.as_ref().is_some_and(|error| {
            (&*error.kind, &error.message, error.line, error.column) == (kind, &message, line, column)
        });
        if !same {
            let since = of.record.error.as_ref().map_or(time, |error| error.since);
            of.record.error = Some(ActiveError { kind: kind.into(), message: message.clone(), line, column, since });
            self.touch(place);
        }
        if unknown {
            self.drop_results(place);
            self.set(place, time, Some(State::Unknown), message, without_call(&name, "error", time), topology);
        }
    }

    fn drop_results(&mut self, place: usize) {
        if let Some(of) = self.instances[place].as_mut()
            && !of.record.results.is_empty()
        {
            of.record.results.clear();
            self.touch(place);
        }
    }

    /// The earliest timer of an agenda that still stands.
    pub(crate) fn next_timer(&mut self, agenda: usize) -> Option<Time> {
        while let Some(Reverse((at, timer, place))) = self.timers[agenda].peek().copied() {
            let of = self.instances[place].as_ref().filter(|of| self.plan.checks[of.check].agenda == agenda);
            let stands = of.is_some_and(|of| match timer {
                Timer::Missing => of.record.missing_at == Some(at),
                Timer::Expiry => of.record.expires_at == Some(at),
            });
            if stands {
                return Some(at);
            }
            self.timers[agenda].pop();
        }
        None
    }

    /// Fires an agenda's timers that are due at `time`.
    pub(crate) fn fire(&mut self, agenda: usize, time: Time, topology: &mut Topology) {
        let plan = self.plan.clone();
        while self.next_timer(agenda).is_some_and(|at| at <= time) {
            let Some(Reverse((_, timer, place))) = self.timers[agenda].pop() else { return };
            let Some(of) = self.instances[place].as_mut() else { continue };
            let check = &plan.checks[of.check];
            match timer {
                Timer::Missing => {
                    of.record.missed += 1;
                    let lane = &plan.lanes[plan.feeds[check.feed].lane];
                    let again = lane.cut.as_ref().map(|cut| cut.slide()).or(check.trigger_deadline).unwrap_or_default();
                    let more = (of.record.missed as usize) < check.results && again > Span::ZERO;
                    self.miss_at(place, more.then_some(time + again));
                    self.touch(place);
                    self.missing(place, time, lane.stream, topology);
                }
                Timer::Expiry => {
                    of.record.expires_at = None;
                    let name = plan.definitions.checks[of.check].name.clone();
                    self.drop_results(place);
                    self.touch(place);
                    self.set(
                        place,
                        time,
                        Some(State::Unknown),
                        "expired".into(),
                        without_call(&name, "expired", time),
                        topology,
                    );
                }
            }
        }
    }

    /// What changed since it was last asked.
    pub(crate) fn changes(&mut self, changes: &mut Vec<Change>) {
        changes.extend(std::mem::take(&mut self.gone).into_iter().map(|key| Change::Check { key, record: None }));
        for place in std::mem::take(&mut self.changed) {
            let Some(of) = self.instances[place].as_mut().filter(|of| of.changed) else { continue };
            of.changed = false;
            let record = Some(of.record.clone());
            let of = self.instances[place].as_ref();
            changes.extend(of.map(|of| Change::Check { key: self.key(of), record }));
        }
        self.deadlines(changes);
    }

    /// When the instances of each check last ran, by their rows.
    pub(crate) fn last_runs(&self) -> Vec<(Arc<str>, Vec<Time>)> {
        let names = self.plan.definitions.checks.iter().map(|check| check.name.clone());
        let mut runs: Vec<_> = names.zip(&self.rows).map(|(name, rows)| (name, vec![Time::MIN; rows.len()])).collect();
        for of in self.instances.iter().flatten() {
            runs[of.check].1[of.record.row as usize] = of.last_run.unwrap_or(Time::MIN);
        }
        runs
    }

    /// The columns of deadlines that changed, of checks whose instances are all pushed on when their windows end.
    fn deadlines(&mut self, changes: &mut Vec<Change>) {
        let mut columns: Vec<Option<Vec<Time>>> = Vec::new();
        for (check, rows) in self.plan.checks.iter().zip(&mut self.rows) {
            if self.plan.lanes[self.plan.feeds[check.feed].lane].cut.is_none() {
                rows.forget_changes();
            }
            columns.push(rows.is_changed().then(|| vec![Time::MIN; rows.len()]));
        }
        if columns.iter().all(Option::is_none) {
            return;
        }
        for of in self.instances.iter().flatten() {
            if let Some(times) = &mut columns[of.check] {
                times[of.record.row as usize] = of.record.missing_at.unwrap_or(Time::MIN);
            }
        }
        for (check, times) in columns.into_iter().enumerate() {
            let Some(times) = times else { continue };
            let column = Column::Deadlines { check: self.plan.definitions.checks[check].name.clone() };
            self.rows[check].changes(&column, &times, changes);
        }
    }
}

/// The rows that are taken for what was kept.
fn rows_of(plan: &Plan, kept: &[(CheckKey, CheckRecord)]) -> Vec<Rows> {
    let mut rows: HashMap<&str, Rows> = HashMap::new();
    for (key, record) in kept {
        rows.entry(&*key.check).or_default().take_again(record.row);
    }
    plan.definitions.checks.iter().map(|check| rows.remove(&*check.name).unwrap_or_default()).collect()
}

/// Those of the labels that have one of these names.
fn restricted(labels: &Labels, names: &BTreeSet<Arc<str>>) -> Labels {
    let kept = labels.iter().filter(|(name, _)| names.contains(*name));
    Labels::new(kept.map(|(name, value)| (name.clone(), value.clone())))
}

/// Those of the labels that name an instance, where all of them are there.
fn full(labels: &Labels, each: &[Arc<str>]) -> Option<Labels> {
    let value = |name: &Arc<str>| labels.get(name).filter(|value| !value.is_empty());
    let pairs: Option<Vec<_>> = each.iter().map(|name| Some((name.clone(), value(name)?.clone()))).collect();
    pairs.map(Labels::new)
}

/// The evidence of a state that no run of the function brought.
fn without_call(check: &str, reason: &str, time: Time) -> Arc<str> {
    format!(r#"{{"check":{check:?},"reason":"{reason}","time":"{time}"}}"#).into()
}

/// Whether a check's target names an element: by its definition, or by kind and labels.
fn targets(target: &Target, definition: &Element, kind: &str, labels: &Labels) -> bool {
    match target {
        Target::Named(named) => named == definition,
        Target::Matching { kind: wanted, labels: pairs } => {
            wanted.as_ref().is_none_or(|wanted| **wanted == *kind)
                && pairs.iter().all(|(name, value)| labels.get(name) == Some(value))
        }
    }
}

/// What a result makes of a state: the state afterwards, and the results to keep.
pub(crate) fn decide(
    state: Option<State>,
    results: &[State],
    result: State,
    trigger: Quorum,
    recover: Quorum,
) -> (Option<State>, Vec<State>) {
    let mut results: Vec<State> = results.iter().copied().chain([result]).collect();
    let over = results.len().saturating_sub(trigger.of.max(recover.of) as usize);
    results.drain(..over);
    let count = |of: u32, wanted: fn(State) -> bool| {
        results.iter().rev().take(of as usize).filter(|state| wanted(**state)).count() as u32
    };
    let problem = if count(trigger.of, |state| state == State::Critical) >= trigger.needed {
        Some(State::Critical)
    } else if count(trigger.of, State::propagates) >= trigger.needed {
        Some(State::Deviating)
    } else if count(trigger.of, |state| state == State::Unknown) >= trigger.needed {
        Some(State::Unknown)
    } else {
        None
    };
    let clear = count(recover.of, |state| state == State::Clear) >= recover.needed;
    match state {
        None | Some(State::Clear) => (problem.or(clear.then_some(State::Clear)).or(state), results),
        Some(_) if clear => (Some(State::Clear), vec![result]),
        Some(_) => (problem.or(state), results),
    }
}
