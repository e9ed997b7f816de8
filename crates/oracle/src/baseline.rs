//! Baselines: every band is asked for with all that was learned before it, and every model is taught from its first
//! point on, each time that anybody looks.

use crate::check::labelled;
use crate::replay::World;
use crate::window;
use functions::{BaselineCall, Library, Seen, TrainingBatch};
use jiff::{Timestamp, tz::TimeZone};
use model::baseline::learnable;
use model::definition::{Argument, BaselineDefinition, BaselineFunction, Learner};
use model::{Band, Labels, Reading, Time};
use std::collections::BTreeMap;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// What a baseline has learned on the agenda of a feed: from each instance, oldest first, with what checks found.
pub(crate) struct Lesson {
    /// Its place in `Definitions::baselines`.
    pub(crate) baseline: usize,
    pub(crate) feed: usize,
    learned: BTreeMap<Labels, Vec<TrainingBatch>>,
}

impl Lesson {
    pub(crate) fn new(baseline: usize, feed: usize) -> Lesson {
        Lesson { baseline, feed, learned: BTreeMap::new() }
    }
}

impl World<'_> {
    /// Says of the windows that close now what was expected of them.
    pub(crate) fn expect(&mut self, agenda: usize, now: Time) {
        for lesson in &mut self.lessons {
            let (definition, feed) = (&self.definitions.baselines[lesson.baseline], &mut self.feeds[lesson.feed]);
            if feed.agenda != agenda || !window::is_end(&definition.window, now) {
                continue;
            }
            lesson
                .learned
                .retain(|_, learned| learned.last().is_some_and(|newest| newest.end + definition.keep >= now));
            for (labels, instance) in &mut feed.live {
                let Some(closed) = instance.closed.last_mut().filter(|closed| closed.end == now) else { continue };
                let Some(point) = closed.points.get(&[definition.downsample][..]) else { continue };
                let learned = lesson.learned.get(labels).map_or(&[][..], Vec::as_slice);
                let reading = match &definition.learner {
                    Learner::Online(model) => {
                        let mut model = online::Model::new(*model);
                        let on_clock = |time: Time| Time::from_nanos(local(time, &definition.zone));
                        for batch in learned {
                            model.learn(batch.end, on_clock(batch.end), batch.value);
                        }
                        let value = learnable(point.value());
                        value.is_finite().then(|| model.assess(now, on_clock(now), value)).flatten()
                    }
                    Learner::Function(function) => {
                        let ask = |bounds| ask(self.library, definition, function, labels, learned, bounds);
                        in_force(ask, definition, (point.start, point.end))
                    }
                };
                closed.readings.extend(reading.map(|reading| (lesson.baseline, reading)));
            }
        }
    }

    /// Learns from the windows that closed now, after the checks have spoken on them.
    pub(crate) fn learn(&mut self, agenda: usize, now: Time) {
        let origin = self.agendas[agenda].origin.expect("what is processed has an origin");
        for lesson in &mut self.lessons {
            let (definition, feed) = (&self.definitions.baselines[lesson.baseline], &self.feeds[lesson.feed]);
            for (labels, instance) in feed.live.iter().filter(|_| feed.agenda == agenda) {
                let closed = instance.closed.last().filter(|closed| closed.end == now);
                let point = closed.and_then(|closed| closed.points.get(&[definition.downsample][..]));
                let Some(point) = point.filter(|point| !point.incomplete) else { continue };
                // A young stream's window is shorter, but what came before it was not there, while what came before
                // the origin was not seen.
                let (start, value) = (window::start(&definition.window, now), learnable(point.value()));
                let learned = lesson.learned.entry(labels.clone()).or_default();
                if start < origin || !value.is_finite() || learned.last().is_some_and(|newest| newest.end >= now) {
                    continue;
                }
                let phase = match &definition.learner {
                    Learner::Function(function) => phase(start, definition, function),
                    Learner::Online(_) => 0,
                };
                learned.push(TrainingBatch {
                    start,
                    end: now,
                    value,
                    count: in_one_byte(point.count),
                    phase,
                    anomalous: self.anomalous.contains(&(lesson.baseline, labels.clone())),
                });
            }
        }
    }
}

/// What holds for a batch. A call that fails leaves what the one for the batch before came to.
fn in_force(
    ask: impl Fn((Time, Time)) -> Option<Result<Option<Band>, String>>,
    definition: &BaselineDefinition,
    bounds: (Time, Time),
) -> Option<Reading> {
    let before = |(start, _): &(Time, Time)| Some((window::start(&definition.window, *start), *start));
    for (failed, bounds) in std::iter::successors(Some(bounds), before).enumerate() {
        if let Ok(band) = ask(bounds)? {
            return band.map(|band| Reading { band, score: None, stale: failed > 0 });
        }
    }
    None
}

/// What the function says of a batch, given what was learned before it; none while its training window is not full.
fn ask(
    library: &Library,
    definition: &BaselineDefinition,
    of: &BaselineFunction,
    labels: &Labels,
    learned: &[TrainingBatch],
    (start, end): (Time, Time),
) -> Option<Result<Option<Band>, String>> {
    let from = start - of.train;
    if from < learned.first()?.start {
        return None;
    }
    let inside = |batch: &&TrainingBatch| batch.start >= from && batch.end <= start;
    let mut batches: Vec<TrainingBatch> = learned.iter().filter(inside).copied().collect();
    for run in batches.chunk_by_mut(|a, b| a.anomalous == b.anomalous) {
        if run[run.len() - 1].end - run[0].start > of.adapt_after {
            run.iter_mut().for_each(|batch| batch.anomalous = false);
        }
    }
    let function = library.function(&of.function).expect("a known function");
    let arguments = of.arguments.iter().map(|(name, argument)| {
        let value = match argument {
            Argument::Value(value) => value.clone(),
            Argument::Label(label) => labelled(function, name, label, labels)?,
            Argument::Input(_) => unreachable!("a baseline function reads no stream"),
        };
        Ok((name.clone(), Seen::Value(value)))
    });
    let arguments: Result<Vec<_>, String> = arguments.collect();
    Some(arguments.and_then(|arguments| {
        let call = BaselineCall {
            labels,
            start,
            end,
            phase: phase(start, definition, of),
            phases: (of.period.nanos() / window::size(&definition.window).nanos()) as u32,
            period: of.period,
            batches: &batches,
            arguments: &arguments,
        };
        function.baseline(&call).map_err(|failure| failure.message)
    }))
}

/// Which batch of the fundamental period begins at `start`: periods follow each other from Monday 1970-01-05 on.
fn phase(start: Time, definition: &BaselineDefinition, function: &BaselineFunction) -> u32 {
    let since_monday = local(start, &definition.zone) - 4 * DAY;
    let into_period = since_monday.rem_euclid(function.period.nanos());
    (into_period / window::size(&definition.window).nanos()) as u32
}

/// Nanoseconds from 1970-01-01 to what the clock of a zone shows.
fn local(time: Time, zone: &str) -> i64 {
    let zone = TimeZone::get(zone).expect("a known zone");
    let second = Timestamp::from_second(time.nanos().div_euclid(SECOND)).expect("a time in range");
    time.nanos() + i64::from(zone.to_offset(second).seconds()) * SECOND
}

/// A count as one byte has it: rounded to five digits of the binary number.
pub(crate) fn in_one_byte(count: u64) -> u64 {
    let count = count.min(31 << 14);
    let digits = u64::BITS - count.leading_zeros();
    let unit = 1 << digits.saturating_sub(5);
    (count + unit / 2) / unit * unit
}
