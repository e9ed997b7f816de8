//! Check instances: where they come from, what they see, and how their results become states.

use crate::replay::{CheckInstance, CheckKey, Closed, Instance, Living, World, restricted};
use crate::window;
use functions::{CheckCall, Failure, FailureKind, Function, Seen, Verdict, evidence};
use model::definition::{Argument, CheckDefinition, Downsampling, Input, Shape, Target};
use model::{Event, Labels, Point, Span, State, Time, Value};
use std::sync::Arc;

/// What came of an attempt to run a check.
enum Run {
    /// An input is not there, or not fresh: its stream, by place.
    Missing(usize),
    Failed(Failure),
    Silent,
    Spoke(Verdict, String),
}

impl World<'_> {
    /// Whether a check is bound to an element.
    pub(crate) fn targets(&self, check: usize, living: &Living<'_>) -> bool {
        self.definitions.checks[check].on.iter().any(|target| match target {
            Target::Named(name) => *name == living.definition,
            Target::Matching { kind, labels } => {
                kind.as_ref().is_none_or(|kind| kind == living.kind)
                    && labels.iter().all(|(name, value)| living.labels.get(name) == Some(value))
            }
        })
    }

    /// Makes the check instances that are not there yet; those whose trigger's instance and element are.
    pub(crate) fn bind(&mut self, now: Time) {
        for (check, binding) in self.bindings.iter().enumerate() {
            let feed = &self.feeds[binding.feeds[binding.trigger].expect("a feed")];
            for (element, living) in &self.elements {
                if !self.targets(check, living) {
                    continue;
                }
                for (labels, trigger) in feed.live.iter().filter(|(labels, _)| labels.agrees_with(&living.labels)) {
                    let missing_at = self.missing_after(check).map(|after| trigger.born.max(now) + after);
                    let instance = CheckInstance { missing_at, ..CheckInstance::default() };
                    self.checks.entry((element.clone(), check, labels.clone())).or_insert(instance);
                }
            }
        }
    }

    /// Takes away the check instances whose trigger's instance has retired.
    pub(crate) fn unbind(&mut self) {
        let gone = self.checks.keys().filter(|(_, check, labels)| {
            let binding = &self.bindings[*check];
            !self.feeds[binding.feeds[binding.trigger].expect("a feed")].live.contains_key(labels)
        });
        for key in gone.cloned().collect::<Vec<_>>() {
            // One that never spoke is no cause of anything.
            self.retired.extend(self.checks.remove(&key).filter(|check| check.state.is_some()).map(|_| key));
        }
    }

    /// How long past birth or due time a check's trigger may stay away; none where nobody minds.
    fn missing_after(&self, check: usize) -> Option<Span> {
        let (definition, trigger) = (&self.definitions.checks[check], self.trigger(check));
        let always = !trigger.downsample.is_empty() && trigger.downsample.iter().all(|how| *how == Downsampling::Count);
        let minded = match (&trigger.window, trigger.shape) {
            (None, _) => definition.missing_after.is_some(),
            (Some(_), shape) => shape != Shape::Events && !always,
        };
        minded.then(|| deadline(definition, trigger))
    }

    fn trigger(&self, check: usize) -> &Input {
        self.input(check, self.bindings[check].trigger)
    }

    /// Runs the checks whose trigger's window closes now.
    pub(crate) fn evaluate_windows(&mut self, agenda: usize, now: Time) {
        let of_agenda = |key: &&CheckKey| self.bindings[key.1].agenda == agenda;
        let keys: Vec<CheckKey> = self.checks.keys().filter(of_agenda).cloned().collect();
        for key in keys {
            let trigger = self.trigger(key.1);
            let Some(cut) = trigger.window.as_ref().filter(|cut| window::is_end(cut, now)) else { continue };
            let feed = &self.feeds[self.bindings[key.1].feeds[self.bindings[key.1].trigger].expect("a feed")];
            let closed = feed.live[&key.2].closed.last().filter(|closed| closed.end == now);
            let gives =
                |closed: &&Closed| trigger.shape == Shape::Events || closed.points.contains_key(&trigger.downsample);
            let Some(start) = closed.filter(gives).map(|closed| closed.start) else { continue };
            let missing_at = self.missing_after(key.1).map(|after| window::next_end(cut, now) + after);
            self.arrived(&key, missing_at);
            self.evaluate(&key, now, Some((start, now)), None);
        }
    }

    /// Runs the checks that this event triggers.
    pub(crate) fn evaluate_event(&mut self, feed: usize, labels: &Labels, event: Event, now: Time) {
        let triggered = |key: &&CheckKey| {
            let binding = &self.bindings[key.1];
            binding.feeds[binding.trigger] == Some(feed) && key.2 == *labels
        };
        let keys: Vec<CheckKey> = self.checks.keys().filter(triggered).cloned().collect();
        for key in keys {
            let missing_at = self.missing_after(key.1).map(|after| now + after);
            self.arrived(&key, missing_at);
            self.evaluate(&key, now, None, Some(&event));
        }
    }

    fn arrived(&mut self, key: &CheckKey, missing_at: Option<Time>) {
        let instance = self.checks.get_mut(key).expect("a check instance");
        (instance.missing_at, instance.missed) = (missing_at, 0);
    }

    fn evaluate(&mut self, key: &CheckKey, now: Time, window: Option<(Time, Time)>, event: Option<&Event>) {
        let definition = &self.definitions.checks[key.1];
        match self.attempt(key, now, window, event) {
            Run::Missing(stream) => self.missing(key, stream, now),
            Run::Silent => {}
            Run::Failed(failure) if definition.unknown_on_error => {
                self.forget(key, failure.message.into(), "error", now);
            }
            Run::Failed(_) => {}
            Run::Spoke(verdict, evidence) => {
                let expires_at = verdict.expires.map(|after| now + after);
                self.checks.get_mut(key).expect("a check instance").expires_at = expires_at;
                let baseline = self.trigger(key.1).baseline.filter(|_| verdict.state.propagates());
                self.anomalous.extend(baseline.map(|baseline| (baseline, key.2.clone())));
                self.result(key, verdict.state, verdict.message, evidence.into(), now);
            }
        }
    }

    fn attempt(&self, key: &CheckKey, now: Time, window: Option<(Time, Time)>, event: Option<&Event>) -> Run {
        let definition = &self.definitions.checks[key.1];
        let function = self.library.function(&definition.function).expect("a known function");
        let labels = self.elements[&key.0].labels.with(&key.2);
        let mut arguments = Vec::new();
        for (place, (name, argument)) in definition.arguments.iter().enumerate() {
            let seen = match argument {
                Argument::Value(value) => Seen::Value(value.clone()),
                Argument::Label(label) => match labelled(function, name, label, &labels) {
                    Ok(value) => Seen::Value(value),
                    Err(message) => {
                        return Run::Failed(Failure { kind: FailureKind::Type, message, line: 0, column: 0 });
                    }
                },
                Argument::Input(input) => match self.see(key.1, place, &labels, now, event) {
                    Some(seen) => seen,
                    None => return Run::Missing(input.stream),
                },
            };
            arguments.push((name.clone(), seen));
        }
        let instance = &self.checks[key];
        let (state, since) = (instance.state.unwrap_or_default(), instance.since);
        let call =
            CheckCall { element: &key.0, labels: &labels, state, since, time: now, window, arguments: &arguments };
        match function.check(&call) {
            Err(failure) => Run::Failed(failure),
            Ok(None) => Run::Silent,
            Ok(Some(verdict)) => {
                let limit = self.definitions.limits.evidence_bytes;
                let evidence = evidence(&definition.name, function, &call, &verdict, limit);
                Run::Spoke(verdict, evidence)
            }
        }
    }

    /// What an input shows now; none where it is missing.
    fn see(&self, check: usize, argument: usize, labels: &Labels, now: Time, event: Option<&Event>) -> Option<Seen> {
        let (input, binding) = (self.input(check, argument), &self.bindings[check]);
        let place = binding.feeds[argument].expect("a feed");
        let feed = &self.feeds[place];
        let Some(cut) = &input.window else {
            return event
                .filter(|_| binding.feeds[binding.trigger] == Some(place))
                .map(|event| Seen::Events(vec![event.clone()]));
        };
        let fresh = |end: Time| now < window::next_end(cut, end) + deadline(&self.definitions.checks[check], input);
        let points = |instance: &Instance| -> Option<Vec<Point>> {
            let points = instance.closed.iter().filter_map(|closed| {
                let baseline = input.baseline.and_then(|baseline| closed.readings.get(&baseline).copied());
                Some(Point { baseline, ..closed.points.get(&input.downsample)?.clone() })
            });
            let points: Vec<Point> = points.collect();
            points.last().is_some_and(|newest| fresh(newest.end)).then_some(points)
        };
        let own =
            restricted(labels, &self.definitions.streams[input.stream].each).filter(|own| feed.live.contains_key(own));
        match input.shape {
            Shape::Point => points(&feed.live[&own?])?.pop().map(Seen::Point),
            Shape::Series(most) => {
                let mut points = points(&feed.live[&own?])?;
                Some(Seen::Points(points.split_off(points.len().saturating_sub(most))))
            }
            Shape::Events => {
                let own = own?;
                let newest = feed.live[&own].closed.last().filter(|closed| fresh(closed.end))?;
                Some(Seen::Events(self.events_of(place, &own, newest.start, newest.end)))
            }
            Shape::List | Shape::Table => {
                let agree = feed.live.iter().filter(|(other, _)| other.agrees_with(labels));
                let rows = agree.filter_map(|(other, instance)| {
                    let lacking = other.iter().filter(|(name, _)| labels.get(name).is_none());
                    let key = lacking.map(|(_, value)| &**value).collect::<Vec<_>>().join(",");
                    Some((other.clone(), Arc::from(key), points(instance)?.pop()?))
                });
                Some(Seen::Rows(rows.collect()))
            }
        }
    }

    /// Tells a check instance that data are missing.
    fn missing(&mut self, key: &CheckKey, stream: usize, now: Time) {
        if let Some(state) = self.definitions.checks[key.1].on_missing {
            let message = format!("no data for stream `{}`", self.definitions.streams[stream].name);
            self.result(key, state, message.into(), self.without_call(key, "missing", now), now);
        }
    }

    /// The evidence of a state that no call brought.
    fn without_call(&self, key: &CheckKey, reason: &str, time: Time) -> Arc<str> {
        let check = &self.definitions.checks[key.1].name;
        format!(r#"{{"check":{check:?},"reason":"{reason}","time":"{time}"}}"#).into()
    }

    /// Makes the state UNKNOWN at once.
    fn forget(&mut self, key: &CheckKey, message: Arc<str>, reason: &str, now: Time) {
        let evidence = self.without_call(key, reason, now);
        let instance = self.checks.get_mut(key).expect("a check instance");
        instance.results.clear();
        change(instance, State::Unknown, message, evidence, now);
    }

    fn result(&mut self, key: &CheckKey, result: State, message: Arc<str>, evidence: Arc<str>, now: Time) {
        let CheckDefinition { trigger, recover, .. } = self.definitions.checks[key.1];
        let instance = self.checks.get_mut(key).expect("a check instance");
        instance.results.push(result);
        let results = &instance.results;
        let count = |of: u32, wanted: &dyn Fn(State) -> bool| {
            results.iter().rev().take(of as usize).filter(|result| wanted(**result)).count() as u32
        };
        let is_clear = count(recover.of, &|result| result == State::Clear) >= recover.needed;
        let problem = [State::Critical, State::Deviating, State::Unknown].into_iter().find(|state| {
            let counts = |result: State| result == *state || (state.propagates() && result >= *state);
            count(trigger.of, &counts) >= trigger.needed
        });
        let well = matches!(instance.state, None | Some(State::Clear));
        let recovers = !well && is_clear;
        let next = if recovers { Some(State::Clear) } else { problem.or(is_clear.then_some(State::Clear)) };
        if recovers {
            instance.results = vec![result];
        }
        if let Some(next) = next {
            change(instance, next, message, evidence, now);
        }
    }

    /// Tells the check instances whose trigger has stayed away for too long.
    pub(crate) fn fire_missing(&mut self, agenda: usize, now: Time) {
        for key in self.checks.keys().cloned().collect::<Vec<_>>() {
            let definition = &self.definitions.checks[key.1];
            if self.bindings[key.1].agenda != agenda || self.checks[&key].missing_at.is_none_or(|at| at > now) {
                continue;
            }
            let (stream, again) = match self.trigger(key.1) {
                Input { stream, window: Some(cut), .. } => (*stream, window::slide(cut)),
                input => (input.stream, deadline(definition, input)),
            };
            let instance = self.checks.get_mut(&key).expect("a check instance");
            instance.missed += 1;
            let heard = instance.missed >= definition.trigger.of.max(definition.recover.of);
            instance.missing_at = (!heard).then(|| now + again);
            self.missing(&key, stream, now);
        }
    }

    /// Ends the states whose verdict was given for a time only.
    pub(crate) fn fire_expired(&mut self, agenda: usize, now: Time) {
        for key in self.checks.keys().cloned().collect::<Vec<_>>() {
            if self.bindings[key.1].agenda == agenda && self.checks[&key].expires_at.is_some_and(|at| at <= now) {
                self.checks.get_mut(&key).expect("a check instance").expires_at = None;
                self.forget(&key, "expired".into(), "expired", now);
            }
        }
    }
}

fn change(instance: &mut CheckInstance, state: State, message: Arc<str>, evidence: Arc<str>, now: Time) {
    if instance.state != Some(state) {
        (instance.state, instance.since, instance.changed) = (Some(state), Some(now), true);
        (instance.message, instance.evidence) = (message, evidence);
    }
}

fn deadline(check: &CheckDefinition, input: &Input) -> Span {
    let minute = Span::from_secs(60);
    let usual = input.window.as_ref().map_or(minute, |cut| window::slide(cut).times(2).max(minute));
    check.missing_after.unwrap_or(usual)
}

/// The value of a label as the parameter of this name takes it.
pub(crate) fn labelled(function: &Function, parameter: &str, label: &str, labels: &Labels) -> Result<Value, String> {
    let value = labels.get(label).ok_or_else(|| format!("argument `{parameter}`: there is no label `{label}`"))?;
    let known = function.parameters.iter().find(|known| &*known.name == parameter).expect("a known parameter");
    let accepted = known.kind.accept(&Value::Text(value.clone()));
    accepted.map_err(|error| format!("argument `{parameter}` from label `{label}`: {error}"))
}
