//! What is due on an agenda, and what happens at each instant: windows, checks, retirements, timers, health.

use crate::reduce::{Sample, reduce};
use crate::replay::{Closed, Datum, Instance, World};
use crate::window;
use model::{Event, Labels, Point, Span, Time};
use std::collections::BTreeMap;

impl World<'_> {
    /// Processes what is due up to and including `place`, and says how many instants that took.
    pub(crate) fn advance(&mut self, agenda: usize, place: (Time, u8)) -> usize {
        let clock = self.clock(agenda).expect("an agenda without a clock does not advance");
        assert!(place <= (clock, 0), "{place:?} lies beyond the clock {clock}");
        assert!(place >= self.agendas[agenda].place, "{place:?} lies behind {:?}", self.agendas[agenda].place);
        let mut processed = 0;
        while let Some(next) = self.due(agenda).filter(|next| *next <= place) {
            assert!(next > self.agendas[agenda].place, "{next:?} is due although it is done");
            self.agendas[agenda].place = next;
            self.process(agenda, next);
            processed += 1;
        }
        self.agendas[agenda].place = place;
        processed
    }

    /// The next place on an agenda at which something happens, if its clock allows it.
    pub(crate) fn due(&self, agenda: usize) -> Option<(Time, u8)> {
        let clock = self.clock(agenda)?;
        let (now, phase) = self.agendas[agenda].place;
        let mut places = Vec::new();
        for (feed, reads) in self.feeds.iter().enumerate().filter(|(_, reads)| reads.agenda == agenda) {
            let data = &self.data[reads.stream];
            let Some(cut) = &reads.window else {
                let later = data.values().map(|data| data.range(now..).map(|(time, _)| (*time, 1)));
                places.extend(later.filter_map(|mut later| later.find(|place| *place > (now, phase))));
                places.extend(reads.live.keys().filter_map(|labels| Some((self.retirement(feed, labels, now)?, 0))));
                continue;
            };
            let live = reads.live.values().map(|instance| if instance.bound { now.max(instance.born) } else { now });
            places.extend(live.min().map(|after| (window::next_end(cut, after), 0)));
            let open = window::start(cut, window::next_end(cut, now));
            let unborn = data.iter().filter(|(labels, _)| !reads.live.contains_key(*labels));
            let first = unborn.filter_map(|(_, data)| data.range(open..).next()).map(|(first, _)| now.max(*first));
            places.extend(first.min().map(|after| (window::next_end(cut, after), 0)));
        }
        let checks = self.checks.iter().filter(|((_, check, _), _)| self.bindings[*check].agenda == agenda);
        let timers = checks.flat_map(|(_, instance)| [instance.missing_at, instance.expires_at]);
        // A check instance that another agenda brought forth may be due since before this place.
        let late = |time: Time| if (time, 0) > (now, phase) { time } else { now + Span::from_nanos(1) };
        places.extend(timers.flatten().map(|time| (late(time), 0)));
        places.into_iter().min().filter(|place| *place <= (clock, 0))
    }

    fn process(&mut self, agenda: usize, (now, phase): (Time, u8)) {
        for check in self.checks.values_mut() {
            check.changed = false;
            // What explains that all is well is told once and not kept.
            if check.state.is_some_and(|state| !state.propagates()) {
                check.evidence = "".into();
            }
        }
        self.retired.clear();
        self.anomalous.clear();
        if phase == 0 {
            self.close(agenda, now);
            self.give_birth();
            self.bind(now);
            self.expect(agenda, now);
            self.evaluate_windows(agenda, now);
            self.learn(agenda, now);
            self.retire(agenda, now);
            self.unbind();
            self.fire_missing(agenda, now);
            self.fire_expired(agenda, now);
        } else {
            self.events(agenda, now);
        }
        self.bury();
        self.apply_health(now);
    }

    /// Closes the windows that end now, and gives birth to the instances that they are the first to hold.
    fn close(&mut self, agenda: usize, end: Time) {
        for feed in self.feeds.iter_mut().filter(|feed| feed.agenda == agenda) {
            let Some(cut) = feed.window.as_ref().filter(|cut| window::is_end(cut, end)) else { continue };
            let begin = window::start(cut, end);
            for (labels, data) in &self.data[feed.stream] {
                if let Some((first, _)) = data.range(begin..end).next().filter(|_| !feed.live.contains_key(labels)) {
                    let instance = Instance { bound: false, born: end, first: *first, closed: Vec::new() };
                    feed.live.insert(labels.clone(), instance);
                }
            }
            for (labels, instance) in
                feed.live.iter_mut().filter(|(_, instance)| !instance.bound || end > instance.born)
            {
                let none = BTreeMap::new();
                let data = self.data[feed.stream].get(labels).unwrap_or(&none);
                let first = data.keys().next().filter(|_| instance.bound).unwrap_or(&instance.first);
                let start = begin.max(window::floor(cut, instance.first.min(*first)));
                let inside = samples(data, begin, end);
                // What retired and came back begins anew.
                let born = if instance.bound { Time::MIN } else { instance.first };
                let earlier = samples(data, born.min(begin).max(begin - window::size(cut)), begin);
                let mut points = BTreeMap::new();
                for downsample in &feed.downsample {
                    let values = downsample
                        .iter()
                        .map(|how| reduce(*how, &inside, &earlier, end - begin).filter(|value| value.is_finite()));
                    let Some(values) = values.collect::<Option<Vec<f64>>>() else { continue };
                    let (count, downsample) = (inside.len() as u64, downsample.clone());
                    let point = Point {
                        start,
                        end,
                        count,
                        values,
                        downsample: downsample.clone(),
                        incomplete: false,
                        baseline: None,
                    };
                    points.insert(downsample, point);
                }
                for (publication, how) in &feed.published {
                    let point = points.get(how).map(|point| (labels.clone(), point.clone()));
                    self.outcome.published.entry(*publication).or_default().extend(point);
                }
                instance.closed.push(Closed { start, end, points, readings: BTreeMap::new() });
            }
        }
    }

    /// The events of an instance in `[start, end)`, in their order.
    pub(crate) fn events_of(&self, feed: usize, labels: &Labels, start: Time, end: Time) -> Vec<Event> {
        let data = self.data[self.feeds[feed].stream].get(labels);
        let data = data.into_iter().flat_map(|data| data.range(start..end)).flat_map(|(_, data)| data);
        let events = data.filter_map(|datum| if let Datum::Event(event) = datum { Some(event.clone()) } else { None });
        let mut events: Vec<Event> = events.collect();
        events.sort_by(|a, b| a.order().cmp(&b.order()));
        events
    }

    /// Lets every event of this instant be born, and be seen by the checks that it triggers.
    fn events(&mut self, agenda: usize, now: Time) {
        let mut events = Vec::new();
        for feed in self.feeds_of(agenda) {
            if self.feeds[feed].window.is_some() {
                continue;
            }
            let labels: Vec<Labels> = self.data[self.feeds[feed].stream].keys().cloned().collect();
            for labels in labels {
                let of_it = self.events_of(feed, &labels, now, now + Span::from_nanos(1));
                if !of_it.is_empty() {
                    let instance = Instance { bound: false, born: now, first: now, closed: Vec::new() };
                    self.feeds[feed].live.entry(labels.clone()).or_insert(instance);
                }
                events.extend(of_it.into_iter().map(|event| (event, feed, labels.clone())));
            }
        }
        self.give_birth();
        self.bind(now);
        events.sort_by(|a, b| a.0.order().cmp(&b.0.order()));
        for (event, feed, labels) in events {
            self.evaluate_event(feed, &labels, event, now);
        }
    }

    /// Retires the instances whose time to live has run out.
    fn retire(&mut self, agenda: usize, now: Time) {
        for feed in self.feeds_of(agenda) {
            if self.feeds[feed].window.as_ref().is_some_and(|cut| !window::is_end(cut, now)) {
                continue;
            }
            let labels: Vec<Labels> = self.feeds[feed].live.keys().cloned().collect();
            for labels in labels {
                let before = now - Span::from_nanos(1);
                if self.retirement(feed, &labels, before).is_some_and(|instant| instant <= now) {
                    self.feeds[feed].live.remove(&labels);
                }
            }
        }
    }

    /// When a discovered instance's time to live is over, if nothing comes from it in the meantime. Samples up to
    /// `known` cannot change that any more; those after it can.
    fn retirement(&self, feed: usize, labels: &Labels, known: Time) -> Option<Time> {
        let feed = &self.feeds[feed];
        let stream = &self.definitions.streams[feed.stream];
        if feed.live[labels].bound {
            return None;
        }
        let times: Vec<Time> = self.data[feed.stream][labels].keys().copied().collect();
        let from = times.partition_point(|time| *time <= known).saturating_sub(1);
        let over = |place: usize| {
            let mut over = times[place] + stream.time_to_live;
            for (after, until) in &self.sources[stream.source].silences {
                let after = (*after).max(times[place]);
                if after < over && after < *until {
                    over = over + (*until - after);
                }
            }
            over
        };
        let mut places = from..times.len();
        places.find_map(|place| Some(over(place)).filter(|over| times.get(place + 1).is_none_or(|next| over <= next)))
    }
}

fn samples(data: &BTreeMap<Time, Vec<Datum>>, start: Time, end: Time) -> Vec<&Sample> {
    let data = data.range(start..end).flat_map(|(_, data)| data);
    data.filter_map(|datum| if let Datum::Sample(sample) = datum { Some(sample) } else { None }).collect()
}
