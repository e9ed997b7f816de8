//! Windows close here: what the workers' panes hold is merged in one order and becomes points, and
//! instances are born and retire.

use crate::calendar::Cut;
use crate::feed::{Feed, FeedInstance};
use crate::frontier::Frontiers;
use crate::lane::Summary;
use crate::plan::{FeedPlan, Plan};
use crate::rolling::{self, Rolling};
use crate::shard::Shard;
use crate::state::{Change, InstanceRecord, KeptPoint};
use crate::sum::ExactSum;
use hashbrown::HashMap;
use model::definition::Downsampling;
use model::{Event, Labels, Span, Time};
use std::collections::BTreeSet;
use std::sync::Arc;

/// All lanes with their series, and all feeds with their instances.
#[derive(Debug)]
pub(crate) struct Windows {
    plan: Arc<Plan>,
    pub(crate) lanes: Vec<LaneState>,
    pub(crate) feeds: Vec<Feed>,
    /// Instances that the bound on them kept out.
    pub(crate) overflow: u64,
    /// What retired since it was last asked.
    retired: Vec<Change>,
}

/// What all workers together hold of a lane: which rows are which instance's.
#[derive(Debug, Default)]
pub(crate) struct LaneState {
    pub(crate) instances: Vec<LaneInstance>,
    /// The worker and row of each instance that is made of one series on one worker, as nearly all are.
    lone: Vec<Option<(u32, u32)>>,
    by_labels: HashMap<Labels, u32>,
    /// Places of instances that are no more.
    free: Vec<u32>,
    /// The place of each series: instance, and place in its series.
    by_series: HashMap<(Arc<str>, Labels), (u32, u32)>,
    pub(crate) feeds: Vec<usize>,
    /// Numbers of series, for blocks: which are free again, and how many there ever were.
    free_numbers: BTreeSet<u32>,
    pub(crate) numbers: u32,
    /// Blocks in which a series was born or went since they were last written.
    pub(crate) by_number: HashMap<u32, (u32, u32)>,
}

/// An instance, with the series that it is made of.
#[derive(Debug)]
pub(crate) struct LaneInstance {
    pub(crate) labels: Labels,
    pub(crate) series: Vec<Series>,
    /// Whether `series` is in the order of name and labels.
    sorted: bool,
}

/// A series, and where each worker keeps it.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: Arc<str>,
    pub(crate) labels: Labels,
    pub(crate) number: u32,
    /// Worker and row.
    pub(crate) rows: Vec<(u32, u32)>,
}

impl Windows {
    pub(crate) fn new(plan: Arc<Plan>) -> Windows {
        let mut lanes: Vec<LaneState> = plan.lanes.iter().map(|_| LaneState::default()).collect();
        for (place, feed) in plan.feeds.iter().enumerate() {
            lanes[feed.lane].feeds.push(place);
        }
        Windows {
            feeds: plan.feeds.iter().map(|_| Feed::default()).collect(),
            lanes,
            overflow: 0,
            retired: Vec::new(),
            plan,
        }
    }

    fn cut(&self, feed: usize) -> Option<&Cut> {
        self.plan.lanes[self.plan.feeds[feed].lane].cut.as_ref()
    }

    /// The instance of a lane with these labels, made where there is none.
    pub(crate) fn instance(&mut self, lane: usize, labels: &Labels) -> u32 {
        let state = &mut self.lanes[lane];
        if let Some(&place) = state.by_labels.get(labels) {
            return place;
        }
        let fresh = LaneInstance { labels: labels.clone(), series: Vec::new(), sorted: true };
        let place = state.free.pop().unwrap_or(state.instances.len() as u32);
        if place as usize == state.instances.len() {
            state.instances.push(fresh);
            state.lone.push(None);
            state.feeds.iter().for_each(|feed| self.feeds[*feed].instances.push(FeedInstance::default()));
        } else {
            state.instances[place as usize] = fresh;
            state.lone[place as usize] = None;
        }
        state.by_labels.insert(labels.clone(), place);
        state.feeds.iter().for_each(|feed| _ = self.feeds[*feed].unborn.insert(place));
        place
    }

    /// The instance of a feed with these labels, if it lives.
    pub(crate) fn find(&self, feed: usize, labels: &Labels) -> Option<u32> {
        let place = *self.lanes[self.plan.feeds[feed].lane].by_labels.get(labels)?;
        self.feeds[feed].instances[place as usize].record.is_some().then_some(place)
    }

    pub(crate) fn labels(&self, feed: usize, place: u32) -> &Labels {
        &self.lanes[self.plan.feeds[feed].lane].instances[place as usize].labels
    }

    /// The instances of a feed that live.
    pub(crate) fn living(&self, feed: usize) -> impl Iterator<Item = u32> + '_ {
        let instances = self.feeds[feed].instances.iter().enumerate();
        instances.filter(|(_, instance)| instance.record.is_some()).map(|(place, _)| place as u32)
    }

    /// Meets the rows that workers have opened. A block's series come with their number.
    pub(crate) fn meet(&mut self, shards: &mut [Shard], numbers: &HashMap<(usize, u32), u32>) -> Vec<(usize, u32)> {
        let mut numbered = Vec::new();
        for (worker, shard) in shards.iter_mut().enumerate() {
            for (lane, row) in std::mem::take(&mut shard.opened) {
                let Some(of) = shard.lanes[lane].rows[row as usize].clone() else { continue };
                let place = self.instance(lane, &of.instance);
                let state = &mut self.lanes[lane];
                let key = (of.name.clone(), of.labels.clone());
                if let Some(&(instance, at)) = state.by_series.get(&key) {
                    state.instances[instance as usize].series[at as usize].rows.push((worker as u32, row));
                    state.lone[instance as usize] = None;
                    continue;
                }
                let number = numbers.get(&(lane, row)).copied().or_else(|| state.free_numbers.pop_first());
                let number = number.unwrap_or(state.numbers);
                state.numbers = state.numbers.max(number + 1);
                let instance = &mut state.instances[place as usize];
                let at = instance.series.len() as u32;
                instance.sorted = at == 0;
                state.lone[place as usize] = (at == 0).then_some((worker as u32, row));
                // Most have but one.
                instance.series.reserve_exact(1);
                instance.series.push(Series {
                    name: of.name,
                    labels: of.labels,
                    number,
                    rows: vec![(worker as u32, row)],
                });
                state.by_series.insert(key, (place, at));
                state.by_number.insert(number, (place, at));
                numbered.push((lane, number));
            }
        }
        numbered
    }

    /// Free numbers below `numbers` that no series has, after a start.
    pub(crate) fn free_numbers(&mut self) {
        for lane in &mut self.lanes {
            lane.free_numbers = (0..lane.numbers).filter(|number| !lane.by_number.contains_key(number)).collect();
        }
    }

    /// When a feed next has something to do, after `place`: a window's end or an event's time.
    pub(crate) fn next(
        &mut self,
        feed: usize,
        shards: &[Shard],
        after: Option<crate::state::Instant>,
        origin: Time,
    ) -> Option<Time> {
        let lane = self.plan.feeds[feed].lane;
        let earliest = |from: Time| shards.iter().filter_map(|shard| shard.lanes[lane].earliest(from)).min();
        let Some(cut) = self.plan.lanes[lane].cut.as_ref() else {
            let from = after.map_or(Time::MIN, |after| after.time + Span::from_nanos(i64::from(after.phase)));
            return earliest(from);
        };
        let fresh =
            earliest(after.map_or(Time::MIN, |after| cut.last_end(after.time))).map(|start| cut.next_end(start));
        if self.feeds[feed].live == 0 {
            return fresh;
        }
        if self.feeds[feed].next_end.is_none() {
            self.feeds[feed].next_end = Some(cut.next_end(after.map_or(origin, |after| after.time)));
        }
        self.feeds[feed].next_end.min(fresh.or(self.feeds[feed].next_end))
    }

    /// Makes an instance live from the start on, since a binding names it. Says whether it did not live yet.
    pub(crate) fn bind(&mut self, feed: usize, place: u32, origin: Time) -> bool {
        let begin = self.cut(feed).map_or(origin, |cut| cut.pane(origin).0);
        let state = &mut self.feeds[feed];
        let instance = &mut state.instances[place as usize];
        instance.bound = true;
        let fresh = instance.record.is_none();
        if fresh {
            state.bear(place, begin, origin);
        }
        fresh
    }

    /// Takes an instance as it was kept.
    pub(crate) fn restore(&mut self, feed: usize, labels: &Labels, record: InstanceRecord) -> u32 {
        let place = self.instance(self.plan.feeds[feed].lane, labels);
        let state = &mut self.feeds[feed];
        state.rows.take_again(record.row);
        state.instances[place as usize].record = Some(record);
        state.unborn.remove(&place);
        state.live += 1;
        place
    }

    fn summary(&self, shards: &[Shard], lane: usize, place: u32, from: Time, to: Time) -> Summary {
        let mut summary = Summary::default();
        if let Some((worker, row)) = self.lanes[lane].lone[place as usize] {
            shards[worker as usize].lanes[lane].merge(row, from, to, &mut summary);
            summary.values.sort();
            return summary;
        }
        for series in &self.lanes[lane].instances[place as usize].series {
            for (worker, row) in &series.rows {
                shards[*worker as usize].lanes[lane].merge(*row, from, to, &mut summary);
            }
        }
        summary.values.sort();
        summary
    }

    /// The increase in each second of an instance's counters, summed over its series in their order.
    fn rate(&mut self, shards: &[Shard], lane: usize, place: u32, from: Time, to: Time, back: Time) -> Option<f64> {
        let instance = &mut self.lanes[lane].instances[place as usize];
        if !instance.sorted {
            instance.series.sort_by(|a, b| (&a.name, &a.labels).cmp(&(&b.name, &b.labels)));
            instance.sorted = true;
            let moved: Vec<_> = instance
                .series
                .iter()
                .map(|series| (series.name.clone(), series.labels.clone(), series.number))
                .collect();
            let state = &mut self.lanes[lane];
            for (at, (name, labels, number)) in moved.into_iter().enumerate() {
                state.by_series.insert((name, labels), (place, at as u32));
                state.by_number.insert(number, (place, at as u32));
            }
        }
        let mut total = None;
        for series in &self.lanes[lane].instances[place as usize].series {
            let (mut samples, mut delta) = (Vec::new(), false);
            for (worker, row) in &series.rows {
                let of = &shards[*worker as usize].lanes[lane];
                of.samples(*row, back, from, to, &mut samples);
                delta |= of.rows[*row as usize].as_ref().is_some_and(|row| row.delta);
            }
            if let Some(rate) = rate_of(samples, delta, from, to) {
                total = Some(total.unwrap_or(0.0) + rate);
            }
        }
        total
    }

    /// Whether an instance of this feed may still be born.
    fn has_room(&self, feed: usize) -> bool {
        self.feeds[feed].live < self.plan.definitions.limits.instances
    }

    /// Closes the windows of a feed that end at `end`: gives the instances that are born by it.
    /// And the events of the window, by instance. Afterwards each live instance has its point, where it has one.
    pub(crate) fn close(
        &mut self,
        feed: usize,
        end: Time,
        shards: &[Shard],
        frontiers: &Frontiers,
    ) -> (Vec<u32>, HashMap<u32, Vec<Event>>) {
        let plan = self.plan.clone();
        let FeedPlan { lane, keep, .. } = plan.feeds[feed];
        let cut = plan.lanes[lane].cut.as_ref().expect("only windows close");
        let keeps_column = plan.feeds[feed].keeps_column(&plan);
        let start = cut.start(end);
        self.feeds[feed].next_end = Some(cut.next_end(end));
        let by_instance = self.events(lane, shards, start, end);
        let born = self.bear_seen(feed, start, end, shards, &by_instance);
        let incomplete = frontiers.lost(shards, plan.lanes[lane].source, start, end);
        let of_events = plan.lanes[lane].needs.events;
        let width = if of_events { 1 } else { plan.feeds[feed].downsample.len() };
        let slide = rolling::slide(cut).filter(|_| !of_events && !plan.lanes[lane].needs.samples);
        let mut closed = std::mem::take(&mut self.feeds[feed].closed);
        let rows = self.feeds[feed].instances.len();
        closed.begin(end, incomplete, rows, width, plan.feeds[feed].lessons.len());
        for place in 0..rows {
            if self.feeds[feed].instances[place].record.is_none() {
                continue;
            }
            let former = self.feeds[feed].instances[place].rolling.take();
            let between = |from, to| self.summary(shards, lane, place as u32, from, to);
            let rolling = slide.map(|slide| Rolling::take_on(former, (start, end), slide, between));
            let (summary, leaving) = match (&rolling, slide) {
                (Some(rolling), Some(slide)) => (&rolling.summary, between(start, start + slide)),
                _ => (&between(start, end), Summary::default()),
            };
            let events = by_instance.get(&(place as u32));
            let Some(record) = &self.feeds[feed].instances[place].record else { continue };
            let seen = events.and_then(|events| events.last()).map(|event| event.time);
            let seen = seen.max(summary.has_samples().then_some(summary.last.0));
            let first =
                if summary.has_samples() { summary.first_pane } else { seen.map_or(Time::MAX, |_| record.begin) };
            let begin = record.begin.min(first);
            let shown = if matches!(cut, Cut::Sliding { .. }) { start.max(begin) } else { start };
            let count = if of_events { events.map_or(0, Vec::len) as u64 } else { summary.count };
            let has_point = if of_events {
                closed.values_mut(place)[0] = count as f64;
                true
            } else {
                self.numbers(&plan, feed, place as u32, summary, start, end, shards, closed.values_mut(place))
            };
            if has_point {
                closed.put(place, shown, count);
            }
            let state = &mut self.feeds[feed];
            let instance = &mut state.instances[place];
            instance.rolling = rolling.and_then(|rolling| rolling.without(start + cut.slide(), &leaving));
            let Some(record) = &mut instance.record else { continue };
            let mut changed = begin < record.begin;
            record.begin = begin;
            if seen > record.last_sample {
                record.last_sample = seen;
                if keeps_column {
                    state.rows.touch(record.row);
                } else {
                    changed = true;
                }
            }
            if keep > 0
                && !of_events
                && let Some(point) = closed.get(place)
            {
                record.points.push(point.to_kept());
                drop_old(&mut record.points, keep);
                changed = true;
            }
            if plan.feeds[feed].keep_events {
                changed |= events.is_some() || !record.events.is_empty();
                record.events = events.cloned().unwrap_or_default();
            }
            if changed {
                instance.touch(place as u32, &mut state.changed);
            }
        }
        self.feeds[feed].closed = closed;
        (born, by_instance)
    }

    /// Brings to life the instances that a window is the first to show, as far as there is room.
    fn bear_seen(
        &mut self,
        feed: usize,
        start: Time,
        end: Time,
        shards: &[Shard],
        events: &HashMap<u32, Vec<Event>>,
    ) -> Vec<u32> {
        let lane = self.plan.feeds[feed].lane;
        let mut born = Vec::new();
        for place in self.feeds[feed].unborn.clone() {
            let first = self.first_seen(shards, lane, place, start, end, events);
            let Some(first) = first else { continue };
            if !self.has_room(feed) {
                self.overflow += 1;
                continue;
            }
            let begin = self.cut(feed).map_or(first, |cut| cut.pane(first).0);
            self.feeds[feed].bear(place, begin, end);
            born.push(place);
        }
        born
    }

    /// Keeps with the newest points of a feed's instances what baselines have said of them since.
    pub(crate) fn keep_readings(&mut self, feed: usize) {
        let Feed { instances, closed, .. } = &mut self.feeds[feed];
        for (place, point) in closed.iter() {
            let kept = instances[place].record.as_mut().and_then(|record| record.points.last_mut());
            if let Some(kept) = kept.filter(|kept| kept.end == point.end) {
                kept.readings = point.readings.to_vec();
            }
        }
    }

    /// The earliest sample or event of an instance in a window, if there is one.
    fn first_seen(
        &self,
        shards: &[Shard],
        lane: usize,
        place: u32,
        start: Time,
        end: Time,
        events: &HashMap<u32, Vec<Event>>,
    ) -> Option<Time> {
        if self.plan.lanes[lane].needs.events {
            return events.get(&place).and_then(|events| events.first()).map(|event| event.time);
        }
        let summary = self.summary(shards, lane, place, start, end);
        summary.has_samples().then_some(summary.first_pane)
    }

    /// Writes the numbers of a closed window in the order of the feed's downsamplings. Says whether there is a point.
    #[allow(clippy::too_many_arguments)]
    fn numbers(
        &mut self,
        plan: &Plan,
        feed: usize,
        place: u32,
        summary: &Summary,
        start: Time,
        end: Time,
        shards: &[Shard],
        numbers: &mut [f64],
    ) -> bool {
        let of = &plan.feeds[feed];
        if summary.count == 0 {
            for (number, of_what) in numbers.iter_mut().zip(&of.downsample) {
                *number = if *of_what == Downsampling::Count { 0.0 } else { f64::NAN };
            }
            return of.downsample.contains(&Downsampling::Count);
        }
        for (number, of_what) in numbers.iter_mut().zip(&of.downsample) {
            *number = match of_what {
                Downsampling::Average => summary.sum.value() / summary.count as f64,
                Downsampling::Sum => summary.sum.value(),
                Downsampling::Minimum => summary.minimum,
                Downsampling::Maximum => summary.maximum,
                Downsampling::Count => summary.count as f64,
                Downsampling::Last => summary.last.1,
                Downsampling::Percentile(share) => {
                    summary.values.percentile(*share, summary.minimum, summary.maximum).unwrap_or(f64::NAN)
                }
                Downsampling::Rate => {
                    // What retired and came back begins anew, whatever is still held of its former life.
                    let instance = &self.feeds[feed].instances[place as usize];
                    let living = instance.record.as_ref().filter(|_| !instance.bound);
                    let width = plan.lanes[of.lane].cut.as_ref().map(Cut::width).unwrap_or_default();
                    let back = (start - width).max(living.map_or(Time::MIN, |record| record.begin));
                    self.rate(shards, of.lane, place, start, end, back).unwrap_or(f64::NAN)
                }
            };
        }
        true
    }

    /// The events of a lane between two times, in order, by instance.
    pub(crate) fn events(&self, lane: usize, shards: &[Shard], from: Time, to: Time) -> HashMap<u32, Vec<Event>> {
        let mut by_instance: HashMap<u32, Vec<Event>> = HashMap::new();
        if !self.plan.lanes[lane].needs.events {
            return by_instance;
        }
        for shard in shards {
            for (row, event) in shard.lanes[lane].events.range(from..to).flat_map(|(_, events)| events) {
                let Some(of) = shard.lanes[lane].rows[*row as usize].as_ref() else { continue };
                let place = self.lanes[lane].by_labels[&of.instance];
                by_instance.entry(place).or_default().push(event.clone());
            }
        }
        for events in by_instance.values_mut() {
            events.sort_by(|a, b| a.order().cmp(&b.order()));
            events.truncate(self.plan.definitions.limits.events_per_window);
        }
        by_instance
    }

    /// Makes an instance of a feed without windows live at its event, where it was not.
    pub(crate) fn at_event(&mut self, feed: usize, place: u32, time: Time) -> bool {
        let room = self.has_room(feed);
        let state = &mut self.feeds[feed];
        let instance = &mut state.instances[place as usize];
        instance.touch(place, &mut state.changed);
        match &mut instance.record {
            Some(record) => record.last_sample = Some(time),
            None if !room => self.overflow += 1,
            None => {
                state.bear(place, time, time).last_sample = Some(time);
                // It may be the first to go.
                state.settled_until = None;
                return true;
            }
        }
        false
    }

    /// Instances of a feed whose time to live has run out at `time`.
    pub(crate) fn expired(&self, feed: usize, time: Time, frontiers: &Frontiers) -> Vec<u32> {
        let lane = &self.plan.lanes[self.plan.feeds[feed].lane];
        let time_to_live = self.plan.definitions.streams[lane.stream].time_to_live;
        let expired = |instance: &FeedInstance| {
            let last = instance.record.as_ref().filter(|_| !instance.bound)?.last_sample?;
            (time >= last + time_to_live && time >= last + time_to_live + frontiers.silence(lane.source, last, time))
                .then_some(())
        };
        let instances = self.feeds[feed].instances.iter().enumerate();
        instances.filter_map(|(place, instance)| expired(instance).map(|()| place as u32)).collect()
    }

    /// When the first instance of a feed without windows retires, if that is not after `clock`.
    pub(crate) fn next_expiry(&mut self, feed: usize, frontiers: &Frontiers, clock: Time) -> Option<Time> {
        if self.feeds[feed].settled_until.is_some_and(|until| clock < until) {
            return None;
        }
        let lane = &self.plan.lanes[self.plan.feeds[feed].lane];
        let time_to_live = self.plan.definitions.streams[lane.stream].time_to_live;
        let instances = self.feeds[feed].instances.iter().filter(|instance| !instance.bound);
        let last = instances.filter_map(|instance| instance.record.as_ref()?.last_sample).min();
        let Some(last) = last else {
            self.feeds[feed].settled_until = Some(Time::MAX);
            return None;
        };
        // Silence pushes the end off; it can only be what has been crossed by then.
        let mut end = last + time_to_live;
        loop {
            let pushed = last + time_to_live + frontiers.silence(lane.source, last, end);
            if pushed == end || end > clock {
                self.feeds[feed].settled_until = Some(end);
                return (end <= clock).then_some(end);
            }
            end = pushed;
        }
    }

    /// Ends an instance's life in a feed. Its series go where no feed of the lane has it any more.
    pub(crate) fn retire(&mut self, feed: usize, place: u32, shards: &mut [Shard]) {
        let lane = self.plan.feeds[feed].lane;
        let state = &mut self.feeds[feed];
        let gone = std::mem::take(&mut state.instances[place as usize]);
        if let Some(record) = gone.record {
            state.rows.give_back(record.row);
        }
        state.live -= 1;
        state.unborn.insert(place);
        let labels = self.lanes[lane].instances[place as usize].labels.clone();
        self.retired.push(Change::Instance {
            feed: self.plan.feeds[feed].fingerprint,
            labels: labels.clone(),
            record: None,
        });
        let lives =
            self.lanes[lane].feeds.iter().any(|feed| self.feeds[*feed].instances[place as usize].record.is_some());
        if lives {
            return;
        }
        let state = &mut self.lanes[lane];
        let (gone, kept): (Vec<Series>, Vec<Series>) =
            std::mem::take(&mut state.instances[place as usize].series).into_iter().partition(|series| {
                series.rows.iter().all(|(worker, row)| shards[*worker as usize].lanes[lane].is_bare(*row))
            });
        for series in gone {
            for (worker, row) in &series.rows {
                shards[*worker as usize].close(lane, *row);
            }
            state.by_series.remove(&(series.name, series.labels));
            state.by_number.remove(&series.number);
            state.free_numbers.insert(series.number);
        }
        for (at, series) in kept.iter().enumerate() {
            state.by_series.insert((series.name.clone(), series.labels.clone()), (place, at as u32));
            state.by_number.insert(series.number, (place, at as u32));
        }
        if kept.is_empty() {
            state.by_labels.remove(&labels);
            state.free.push(place);
            state.feeds.iter().for_each(|feed| _ = self.feeds[*feed].unborn.remove(&place));
        }
        state.lone[place as usize] = match kept.as_slice() {
            [Series { rows, .. }] if rows.len() == 1 => Some(rows[0]),
            _ => None,
        };
        state.instances[place as usize].series = kept;
    }

    /// The earliest time that an open window of this lane may still show; none while all of it is open.
    pub(crate) fn horizon(
        &self,
        lane: usize,
        place_of: impl Fn(usize) -> Option<crate::state::Instant>,
    ) -> Option<Time> {
        let cut = self.plan.lanes[lane].cut.as_ref();
        let of_feed = |feed: &usize| {
            let place = place_of(self.plan.feeds[*feed].agenda)?;
            Some(match cut {
                Some(cut) => cut.start(cut.next_end(place.time)),
                None => place.time + Span::from_nanos(i64::from(place.phase)),
            })
        };
        self.lanes[lane].feeds.iter().map(of_feed).min().flatten()
    }

    /// What changed since it was last asked.
    pub(crate) fn changes(&mut self, changes: &mut Vec<Change>) {
        changes.append(&mut self.retired);
        for (place, feed) in self.feeds.iter_mut().enumerate() {
            let of = &self.plan.feeds[place];
            feed.changes(of, of.keeps_column(&self.plan), &self.lanes[of.lane], changes);
        }
    }
}

/// The increase in each second over samples of one series: those of the window, and the last before it.
fn rate_of(mut samples: Vec<(Time, f64)>, delta: bool, from: Time, to: Time) -> Option<f64> {
    samples.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let inside = samples.partition_point(|sample| sample.0 < from);
    if delta {
        let inside = &samples[inside..];
        let mut sum = ExactSum::default();
        inside.iter().for_each(|sample| sum.add(sample.1));
        return (!inside.is_empty()).then(|| sum.value() / (to - from).as_secs_f64());
    }
    // Several workers may each hand over a last sample before the window; the last of them counts.
    let samples = &samples[inside.saturating_sub(1)..];
    let (first, last) = (samples.first()?, samples.last()?);
    if first.0 == last.0 {
        return None;
    }
    let steps = samples.windows(2).map(|pair| if pair[1].1 >= pair[0].1 { pair[1].1 - pair[0].1 } else { pair[1].1 });
    Some(steps.sum::<f64>() / (last.0 - first.0).as_secs_f64())
}

/// Drops the points of which `keep` newer ones say as much. An empty window has a count alone, which stands for none
/// of the numbers that an older point has.
fn drop_old(points: &mut Vec<KeptPoint>, keep: usize) {
    if points.len() <= keep {
        return;
    }
    let says = |point: &KeptPoint| {
        let finite = (0..64).zip(&point.values).filter(|(_, value)| value.is_finite());
        finite.fold(0u64, |says, (place, _)| says | 1 << place)
    };
    let mut newer: Vec<(u64, usize)> = Vec::new();
    let mut kept = Vec::with_capacity(points.len());
    for said in points.iter().rev().map(says) {
        let as_much = newer.iter().filter(|(says, _)| says & said == said).map(|(_, count)| count);
        kept.push(as_much.sum::<usize>() < keep);
        match newer.iter_mut().find(|(says, _)| *says == said) {
            Some((_, count)) => *count += 1,
            None => newer.push((said, 1)),
        }
    }
    points.retain(|_| kept.pop().unwrap_or(true));
}
