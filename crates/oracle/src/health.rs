//! Elements and their health: who is there, what their checks say, and what reaches them from what they
//! depend on. Everything is computed from scratch at every instant.

use crate::replay::{Living, World};
use functions::Dependency;
use model::definition::Propagation;
use model::transition::{Cause, Health};
use model::{Element, Labels, State, Time, Transition};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl<'a> World<'a> {
    /// Everything that is there now: what is written out, and what living instances make of templates.
    fn population(&self) -> BTreeMap<Element, Living<'a>> {
        let components = self.definitions.components.iter().map(|component| {
            let name = Element::Component(component.name.clone());
            (name, &component.kind, &component.labels, &component.propagation, component.for_each)
        });
        let relations = self.definitions.relations.iter().map(|relation| {
            let name = Element::relation(relation.from.clone(), relation.to.clone());
            (name, &relation.kind, &relation.labels, &relation.propagation, relation.for_each)
        });
        let mut population = BTreeMap::new();
        for (definition, kind, labels, propagation, for_each) in components.chain(relations) {
            let feeds = self.feeds.iter().filter(|feed| Some(feed.stream) == for_each);
            let instances: BTreeSet<Labels> = match for_each {
                None => BTreeSet::from([Labels::default()]),
                Some(_) => feeds.flat_map(|feed| feed.live.keys().cloned()).collect(),
            };
            for instance in instances {
                let element = match &definition {
                    Element::Component(name) => Element::component(substitute(name, &instance)),
                    Element::Relation { from, to } => {
                        Element::relation(substitute(from, &instance), substitute(to, &instance))
                    }
                };
                population.entry(element).or_insert(Living {
                    definition: definition.clone(),
                    kind,
                    labels: labels.with(&instance),
                    propagation,
                    for_each,
                    own: State::Unknown,
                    propagated: State::Unknown,
                    message: "".into(),
                });
            }
        }
        population
    }

    /// Adds the elements that are new.
    pub(crate) fn give_birth(&mut self) {
        for (element, living) in self.population() {
            self.elements.entry(element).or_insert(living);
        }
    }

    /// Removes the elements whose instance is gone, with their checks.
    pub(crate) fn bury(&mut self) {
        let population = self.population();
        self.elements.retain(|element, _| population.contains_key(element));
        self.checks.retain(|key, _| population.contains_key(&key.0));
        self.changed.retain(|key, _| population.contains_key(&key.0));
    }

    /// Computes all health as it is now, and tells what has changed.
    pub(crate) fn apply_health(&mut self, now: Time) {
        for element in self.elements.keys().cloned().collect::<Vec<_>>() {
            let of_it = || self.checks.iter().filter(|(key, _)| key.0 == element);
            let to = of_it().filter_map(|(_, check)| check.state).max().unwrap_or_default();
            let from = self.elements[&element].own;
            if from == to {
                continue;
            }
            let in_it = || of_it().filter(|(_, check)| check.state == Some(to));
            let said = in_it().find(|(_, check)| check.changed).or_else(|| in_it().next());
            let (key, message, evidence) = match said {
                Some((key, check)) => (key, check.message.clone(), check.evidence.clone()),
                None => {
                    let retired = self.retired.iter().find(|key| key.0 == element);
                    (retired.expect("a state goes with its check only"), Arc::from(""), Arc::from(""))
                }
            };
            let cause = Cause::Check { check: self.definitions.checks[key.1].name.clone(), labels: key.2.clone() };
            let living = self.elements.get_mut(&element).expect("it is there");
            (living.own, living.message) = (to, message.clone());
            self.tell(element, Health::Own, (from, to), cause, (message, evidence), now);
        }
        let propagated = self.propagated();
        for (element, to) in &propagated {
            let living = self.elements.get_mut(element).expect("it is there");
            let (from, own) = (living.propagated, living.message.clone());
            if from == *to {
                continue;
            }
            living.propagated = *to;
            let alone = *living.propagation == Propagation::None;
            let dependencies = self.dependencies(element);
            let from_there = dependencies.iter().find(|other| !alone && to.propagates() && propagated[*other] == *to);
            let message = from_there.map_or(own, |other| format!("{other} is {to}").into());
            let cause = Cause::Element(from_there.unwrap_or(element).clone());
            self.tell(element.clone(), Health::Propagated, (from, *to), cause, (message, "".into()), now);
        }
    }

    fn tell(
        &mut self,
        element: Element,
        health: Health,
        (from, to): (State, State),
        cause: Cause,
        (message, evidence): (Arc<str>, Arc<str>),
        now: Time,
    ) {
        let key = (element.clone(), health);
        let after = self.changed.get(&key).map_or(now, |time| *time + model::Span::from_nanos(1));
        let time = now.max(after);
        self.changed.insert(key, time);
        let sequence = self.outcome.transitions.len() as u64 + 1;
        let mut transition = Transition { id: 0, sequence, element, health, time, from, to, cause, message, evidence };
        let hash = Sha256::digest(transition.identity());
        transition.id = hash[..16].iter().fold(0, |id, byte| id << 8 | u128::from(*byte));
        self.outcome.transitions.push(transition);
    }

    /// What an element depends on, in order.
    fn dependencies(&self, element: &Element) -> Vec<Element> {
        match element {
            Element::Relation { to, .. } => {
                let target = Element::Component(to.clone());
                Some(target).filter(|target| self.elements.contains_key(target)).into_iter().collect()
            }
            Element::Component(name) => {
                let from_it = |other: &&Element| matches!(other, Element::Relation { from, .. } if from == name);
                self.elements.keys().filter(from_it).cloned().collect()
            }
        }
    }

    /// The propagated health of every element. Elements that reach the same elements reach each other, and settle
    /// together; before them come those that reach fewer.
    fn propagated(&self) -> BTreeMap<Element, State> {
        let mut together: BTreeMap<(usize, BTreeSet<Element>), Vec<&Element>> = BTreeMap::new();
        for element in self.elements.keys() {
            let (mut reached, mut open) = (BTreeSet::from([element.clone()]), vec![element.clone()]);
            while let Some(next) = open.pop() {
                open.extend(self.dependencies(&next).into_iter().filter(|other| reached.insert(other.clone())));
            }
            together.entry((reached.len(), reached)).or_default().push(element);
        }
        let mut states = BTreeMap::new();
        for members in together.values() {
            let from_own = members.iter().map(|member| ((*member).clone(), self.elements[*member].own));
            states.extend(from_own.clone());
            let mut settled = false;
            // The last round only shows that nothing changes any more.
            for _ in 0..=3 * members.len() {
                settled = self.round(members, &mut states, false);
                if settled {
                    break;
                }
            }
            if !settled {
                states.extend(from_own);
                while !self.round(members, &mut states, true) {}
            }
        }
        states
    }

    /// Takes every member one round further, all from the old round; says whether nothing changed.
    fn round(&self, members: &[&Element], states: &mut BTreeMap<Element, State>, all_auto: bool) -> bool {
        let next = members.iter().map(|member| {
            let living = &self.elements[*member];
            let dependencies = self.dependencies(member);
            let auto = dependencies.iter().map(|other| states[other]).filter(|state| state.propagates());
            let auto = auto.fold(living.own, State::max);
            let state = match living.propagation {
                Propagation::None if !all_auto => living.own,
                Propagation::Function(name) if !all_auto => {
                    let function = self.library.function(name).expect("a known function");
                    let seen = dependencies.iter().map(|element| Dependency {
                        element,
                        kind: self.elements[element].kind,
                        state: states[element],
                    });
                    function.propagate(member, living.own, &seen.collect::<Vec<_>>()).ok().flatten().unwrap_or(auto)
                }
                _ => auto,
            };
            ((*member).clone(), state)
        });
        let next: BTreeMap<Element, State> = next.collect();
        let settled = next.iter().all(|(member, state)| states[member] == *state);
        states.extend(next);
        settled
    }
}

/// The name with `{label}` replaced by the instance's value of that label.
fn substitute(name: &str, instance: &Labels) -> String {
    let mut parts = name.split('{');
    let mut made = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('}').and_then(|(label, rest)| Some((instance.get(label)?, rest))) {
            Some((value, rest)) => made.extend([&**value, rest]),
            None => made.extend(["{", part]),
        }
    }
    made
}
