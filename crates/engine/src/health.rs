//! From states of checks to health of elements: own health first, then what flows along relations, then
//! the transitions that are told.
//!
//! Propagated health is computed from own health, from scratch, over strongly connected components
//! (Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1, 1972): a cycle cannot
//! hold on to what nothing outside it feeds any more.

use crate::state::{ActiveError, Change, ElementRecord, Standing};
use functions::{Dependency, Library};
use hashbrown::{HashMap, HashSet};
use model::definition::Propagation;
use model::transition::{Cause, Health};
use model::{Element, Labels, Span, State, Time, Transition};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All elements, and how they hang together.
#[derive(Debug, Default)]
pub(crate) struct Topology {
    pub(crate) elements: Vec<Option<ElementState>>,
    free: Vec<usize>,
    places: HashMap<Element, usize>,
    /// For each component, the relations that lead from it, and to it.
    from: HashMap<Arc<str>, BTreeSet<Element>>,
    to: HashMap<Arc<str>, BTreeSet<Element>>,
    /// Elements whose own health may have changed at this instant, with the checks that changed.
    touched: BTreeMap<Element, Vec<Touch>>,
    changed: BTreeSet<Element>,
    /// The last number given to anything told.
    pub(crate) sequence: u64,
    /// Transitions and removals since they were last taken, in order.
    told: Vec<Change>,
}

/// One element.
#[derive(Debug)]
pub(crate) struct ElementState {
    pub(crate) element: Element,
    pub(crate) record: ElementRecord,
    pub(crate) propagation: Propagation,
    /// The state of each check instance that has one, with why.
    checks: BTreeMap<(Arc<str>, Labels), Spoken>,
    /// How many instances keep it here, for one made by template.
    pub(crate) holders: usize,
}

/// What a check instance last said.
#[derive(Clone, Debug)]
pub(crate) struct Spoken {
    pub(crate) state: State,
    pub(crate) message: Arc<str>,
    pub(crate) evidence: Arc<str>,
}

/// Something that may change an element's own health.
#[derive(Clone, Debug)]
enum Touch {
    Changed(Arc<str>, Labels),
    Retired(Arc<str>, Labels),
}

impl Topology {
    /// Puts an element in its place. One that is there already is kept.
    pub(crate) fn add(
        &mut self,
        element: Element,
        record: ElementRecord,
        propagation: Propagation,
        known: bool,
    ) -> usize {
        if let Some(&place) = self.places.get(&element) {
            return place;
        }
        let state = ElementState { element: element.clone(), record, propagation, checks: BTreeMap::new(), holders: 0 };
        let place = self.free.pop().unwrap_or(self.elements.len());
        if place == self.elements.len() {
            self.elements.push(Some(state));
        } else {
            self.elements[place] = Some(state);
        }
        if let Element::Relation { from, to } = &element {
            self.from.entry(from.clone()).or_default().insert(element.clone());
            self.to.entry(to.clone()).or_default().insert(element.clone());
        }
        self.places.insert(element.clone(), place);
        self.touched.entry(element.clone()).or_default();
        if !known {
            self.sequence += 1;
            let record = self.state(place).record.clone();
            self.told.push(Change::Element { element, sequence: self.sequence, record: Some(record) });
        }
        place
    }

    /// Takes an element away, and lets go of what depends on it.
    pub(crate) fn remove(&mut self, place: usize) {
        let Some(state) = self.elements[place].take() else { return };
        self.free.push(place);
        self.places.remove(&state.element);
        if let Element::Relation { from, to } = &state.element {
            for (ends, name) in [(&mut self.from, from), (&mut self.to, to)] {
                if let Some(relations) = ends.get_mut(name) {
                    relations.remove(&state.element);
                }
            }
        }
        for dependent in self.dependents(&state.element) {
            self.touched.entry(dependent).or_default();
        }
        self.touched.remove(&state.element);
        self.changed.remove(&state.element);
        self.sequence += 1;
        self.told.push(Change::Element { element: state.element, sequence: self.sequence, record: None });
    }

    pub(crate) fn place(&self, element: &Element) -> Option<usize> {
        self.places.get(element).copied()
    }

    /// The element at a place that holds one.
    pub(crate) fn state(&self, place: usize) -> &ElementState {
        self.elements[place].as_ref().expect("callers hold places of elements that are there")
    }

    /// The same, to change.
    pub(crate) fn state_mut(&mut self, place: usize) -> &mut ElementState {
        self.elements[place].as_mut().expect("callers hold places of elements that are there")
    }

    /// Hears that a check instance has come to a state.
    pub(crate) fn speak(&mut self, place: usize, check: &Arc<str>, labels: &Labels, spoken: Spoken) {
        self.recall(place, check, labels, spoken);
        let element = self.state(place).element.clone();
        self.touched.entry(element).or_default().push(Touch::Changed(check.clone(), labels.clone()));
    }

    /// Hears in what state a check instance was before the start.
    pub(crate) fn recall(&mut self, place: usize, check: &Arc<str>, labels: &Labels, spoken: Spoken) {
        let of = self.state_mut(place);
        of.checks.insert((check.clone(), labels.clone()), spoken);
        let element = of.element.clone();
        self.touched.entry(element).or_default();
    }

    /// Hears that a check instance is gone.
    pub(crate) fn fall_silent(&mut self, place: usize, check: &Arc<str>, labels: &Labels) {
        let of = self.state_mut(place);
        if of.checks.remove(&(check.clone(), labels.clone())).is_some() {
            let element = of.element.clone();
            self.touched.entry(element).or_default().push(Touch::Retired(check.clone(), labels.clone()));
        }
    }

    /// What an element depends on: a component on the relations that lead from it, a relation on its target.
    fn dependencies(&self, element: &Element) -> Vec<Element> {
        match element {
            Element::Component(name) => self.from.get(name).into_iter().flatten().cloned().collect(),
            Element::Relation { to, .. } => {
                let target = Element::Component(to.clone());
                if self.places.contains_key(&target) { vec![target] } else { Vec::new() }
            }
        }
    }

    fn dependents(&self, element: &Element) -> Vec<Element> {
        match element {
            Element::Component(name) => self.to.get(name).into_iter().flatten().cloned().collect(),
            Element::Relation { from, .. } => {
                let source = Element::Component(from.clone());
                if self.places.contains_key(&source) { vec![source] } else { Vec::new() }
            }
        }
    }

    /// Applies, once for an instant, all that its checks have said.
    pub(crate) fn apply(&mut self, time: Time, library: &Library) {
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() {
            return;
        }
        for (element, touches) in &touched {
            let Some(place) = self.place(element) else { continue };
            let of = self.state(place);
            let worst = of.checks.values().map(|spoken| spoken.state).max().unwrap_or_default();
            if worst != of.record.own.state {
                let (cause, message, evidence) = own_cause(of, worst, touches);
                self.tell(place, Health::Own, time, worst, cause, message, evidence);
            }
        }
        for (element, touches) in &touched {
            self.forget_evidence(element, touches);
        }
        let mut affected: BTreeSet<Element> =
            touched.into_keys().filter(|element| self.places.contains_key(element)).collect();
        let mut waiting: Vec<Element> = affected.iter().cloned().collect();
        while let Some(element) = waiting.pop() {
            let fresh = self.dependents(&element).into_iter().filter(|dependent| affected.insert(dependent.clone()));
            waiting.extend(fresh.collect::<Vec<_>>());
        }
        let mut found: BTreeMap<Element, State> = BTreeMap::new();
        for members in self.components(&affected) {
            self.settle(&members, &mut found, time, library);
        }
        for (element, state) in &found {
            let Some(place) = self.place(element) else { continue };
            let of = self.state(place);
            if of.record.propagated.state != *state {
                let by = self
                    .dependencies(element)
                    .into_iter()
                    .find(|dependency| self.flowing(dependency, &found) == *state);
                let by = by.filter(|_| state.propagates() && of.propagation != Propagation::None);
                let message: Arc<str> = match &by {
                    Some(dependency) => format!("{dependency} is {state}").into(),
                    None => of.record.own.message.clone(),
                };
                let cause = Cause::Element(by.unwrap_or_else(|| element.clone()));
                self.tell(place, Health::Propagated, time, *state, cause, message, "".into());
            }
        }
    }

    /// Drops what explains that a check is well again, once it has been told.
    fn forget_evidence(&mut self, element: &Element, touches: &[Touch]) {
        let Some(place) = self.place(element) else { return };
        for touch in touches {
            let Touch::Changed(check, labels) = touch else { continue };
            let spoken = self.state_mut(place).checks.get_mut(&(check.clone(), labels.clone()));
            if let Some(spoken) = spoken.filter(|spoken| !spoken.state.propagates()) {
                spoken.evidence = "".into();
            }
        }
    }

    /// The propagated state of an element, as it is being computed or as it stands.
    fn flowing(&self, element: &Element, found: &BTreeMap<Element, State>) -> State {
        found.get(element).copied().unwrap_or_else(|| {
            self.place(element).map_or(State::Unknown, |place| self.state(place).record.propagated.state)
        })
    }

    /// Strongly connected components of the affected elements, those depended on first; members in order.
    fn components(&self, affected: &BTreeSet<Element>) -> Vec<Vec<Element>> {
        struct Visit {
            element: Element,
            next: Vec<Element>,
        }
        let (mut order, mut low, mut on_stack) = (HashMap::new(), HashMap::new(), HashMap::new());
        let (mut stack, mut found): (Vec<Element>, Vec<Vec<Element>>) = (Vec::new(), Vec::new());
        for root in affected {
            let mut visits: Vec<Visit> = Vec::new();
            let mut entering = Some(root.clone()).filter(|root| !order.contains_key(root));
            loop {
                if let Some(element) = entering.take() {
                    let number = order.len();
                    order.insert(element.clone(), number);
                    low.insert(element.clone(), number);
                    on_stack.insert(element.clone(), true);
                    stack.push(element.clone());
                    let next = self.dependencies(&element).into_iter().filter(|of| affected.contains(of)).collect();
                    visits.push(Visit { element, next });
                }
                let Some(visit) = visits.last_mut() else { break };
                match visit.next.pop() {
                    Some(next) if !order.contains_key(&next) => entering = Some(next),
                    Some(next) if on_stack.get(&next) == Some(&true) => {
                        let reached = order[&next].min(low[&visit.element]);
                        low.insert(visit.element.clone(), reached);
                    }
                    Some(_) => {}
                    None => {
                        let element = visit.element.clone();
                        visits.pop();
                        if let Some(parent) = visits.last() {
                            let reached = low[&element].min(low[&parent.element]);
                            low.insert(parent.element.clone(), reached);
                        }
                        if low[&element] == order[&element] {
                            let mut members = Vec::new();
                            while let Some(member) = stack.pop() {
                                on_stack.insert(member.clone(), false);
                                members.push(member.clone());
                                if member == element {
                                    break;
                                }
                            }
                            members.sort();
                            found.push(members);
                        }
                    }
                }
            }
        }
        found
    }

    /// Computes the propagated health of one strongly connected component.
    fn settle(&mut self, members: &[Element], found: &mut BTreeMap<Element, State>, time: Time, library: &Library) {
        let alone = members.len() == 1 && !self.dependencies(&members[0]).contains(&members[0]);
        let rounds = if alone { 1 } else { 3 * members.len() };
        for automatic in [false, true] {
            for member in members {
                let own = self.place(member).map_or(State::Unknown, |place| self.state(place).record.own.state);
                found.insert(member.clone(), own);
            }
            let mut settled = false;
            let mut errors: Vec<(Element, Option<ActiveError>)> = Vec::new();
            // One round more than may change anything shows that nothing changes any more.
            for _ in 0..=rounds {
                errors.clear();
                let next: Vec<(Element, State)> = members
                    .iter()
                    .map(|member| {
                        let (state, error) = self.propagated(member, found, automatic, time, library);
                        errors.push((member.clone(), error));
                        (member.clone(), state)
                    })
                    .collect();
                settled = next.iter().all(|(member, state)| found.get(member) == Some(state));
                found.extend(next);
                if settled || alone {
                    settled = true;
                    break;
                }
            }
            if settled && !automatic {
                errors.into_iter().for_each(|(member, error)| self.set_error(&member, error));
                return;
            }
            if !automatic {
                for member in members {
                    let message = "propagation does not settle in its cycle; it falls back to `auto`".into();
                    self.set_error(
                        member,
                        Some(ActiveError { kind: "cycle".into(), message, line: 0, column: 0, since: time }),
                    );
                }
            }
        }
    }

    fn set_error(&mut self, member: &Element, error: Option<ActiveError>) {
        let Some(place) = self.place(member) else { return };
        let record = &mut self.state_mut(place).record;
        let same = match (&record.error, &error) {
            (Some(known), Some(new)) => known.kind == new.kind && known.message == new.message,
            (known, new) => known.is_none() && new.is_none(),
        };
        if !same {
            record.error = error;
            self.changed.insert(member.clone());
        }
    }

    /// One element's propagated health, from its own and what it depends on.
    fn propagated(
        &self,
        element: &Element,
        found: &BTreeMap<Element, State>,
        automatic: bool,
        time: Time,
        library: &Library,
    ) -> (State, Option<ActiveError>) {
        let Some(place) = self.place(element) else { return (State::Unknown, None) };
        let of = self.state(place);
        let own = of.record.own.state;
        let dependencies = self.dependencies(element);
        let auto = dependencies
            .iter()
            .map(|dependency| self.flowing(dependency, found))
            .filter(|state| state.propagates())
            .max()
            .max(Some(own))
            .unwrap_or(own);
        let name = match &of.propagation {
            _ if automatic => return (auto, None),
            Propagation::Auto => return (auto, None),
            Propagation::None => return (own, None),
            Propagation::Function(name) => name,
        };
        let seen: Vec<Dependency<'_>> = (dependencies.iter())
            .filter_map(|dependency| {
                let kind = &self.state(self.place(dependency)?).record.kind;
                Some(Dependency { element: dependency, kind, state: self.flowing(dependency, found) })
            })
            .collect();
        let Some(function) = library.function(name) else { return (auto, None) };
        match function.propagate(element, own, &seen) {
            Ok(answer) => (answer.unwrap_or(auto), None),
            Err(failure) => {
                let error = ActiveError {
                    kind: failure.kind.name().into(),
                    message: failure.message.into(),
                    line: failure.line as u32,
                    column: failure.column as u32,
                    since: time,
                };
                (auto, Some(error))
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn tell(
        &mut self,
        place: usize,
        health: Health,
        time: Time,
        to: State,
        cause: Cause,
        message: Arc<str>,
        evidence: Arc<str>,
    ) {
        self.sequence += 1;
        let sequence = self.sequence;
        let of = self.state_mut(place);
        let standing = match health {
            Health::Own => &mut of.record.own,
            Health::Propagated => &mut of.record.propagated,
        };
        let time = standing.since.map_or(time, |since| time.max(since + Span::from_nanos(1)));
        let from =
            std::mem::replace(standing, Standing { state: to, since: Some(time), sequence, message: message.clone() })
                .state;
        let element = of.element.clone();
        let mut transition =
            Transition { id: 0, sequence, element: element.clone(), health, time, from, to, cause, message, evidence };
        transition.id = id(&transition);
        self.changed.insert(element);
        self.told.push(Change::Transition(transition));
    }

    /// What changed since it was last asked.
    pub(crate) fn changes(&mut self, changes: &mut Vec<Change>) {
        let before = changes.len();
        changes.append(&mut self.told);
        let changed = changes[before..].iter().filter_map(|change| match change {
            Change::Transition(of) => Some(of.element.clone()),
            _ => None,
        });
        let changed: HashSet<Element> = changed.collect();
        for element in std::mem::take(&mut self.changed) {
            let Some(place) = self.place(&element) else { continue };
            let record = self.state(place).record.clone();
            let sequence = if changed.contains(&element) {
                record.own.sequence.max(record.propagated.sequence)
            } else {
                // An error alone is told too, and has a number of its own.
                self.sequence += 1;
                self.sequence
            };
            changes.push(Change::Element { element, sequence, record: Some(record) });
        }
        if changes.len() > before {
            changes.push(Change::Sequence(self.sequence));
        }
    }
}

/// The first 128 bits of SHA-256 over what identifies a transition.
fn id(transition: &Transition) -> u128 {
    let digest = Sha256::digest(transition.identity().as_bytes());
    u128::from_be_bytes(digest[..16].try_into().expect("sixteen bytes"))
}

/// Which check brought an element's own health to `worst`, and why.
fn own_cause(of: &ElementState, worst: State, touches: &[Touch]) -> (Cause, Arc<str>, Arc<str>) {
    let changed = |key: &(Arc<str>, Labels)| {
        touches
            .iter()
            .any(|touch| matches!(touch, Touch::Changed(check, labels) if (check, labels) == (&key.0, &key.1)))
    };
    let mut standing = of.checks.iter().filter(|(_, spoken)| spoken.state == worst);
    let first = standing.clone().find(|(key, _)| changed(key)).or_else(|| standing.next());
    if let Some(((check, labels), spoken)) = first {
        let cause = Cause::Check { check: check.clone(), labels: labels.clone() };
        return (cause, spoken.message.clone(), spoken.evidence.clone());
    }
    let retired = touches.iter().filter_map(|touch| match touch {
        Touch::Retired(check, labels) => Some(Cause::Check { check: check.clone(), labels: labels.clone() }),
        Touch::Changed(..) => None,
    });
    (retired.min().unwrap_or_else(|| Cause::Element(of.element.clone())), "".into(), "".into())
}
