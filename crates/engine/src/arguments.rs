//! What a check's function is given: literals, labels read as values, and what its streams show at the
//! instant of the evaluation.

use crate::checks::{CheckInstance, Trigger};
use crate::plan::{ArgumentPlan, CheckPlan, InputPlan, Plan};
use crate::points::ClosedPoint;
use crate::windows::Windows;
use functions::{Failure, ParameterKind, Seen};
use model::definition::Shape;
use model::{Labels, Point, Time, Value};
use std::sync::Arc;

/// Why an evaluation could not be made.
pub(crate) enum Lack {
    /// Data of this stream, by its place, are missing.
    Data(usize),
    Failure(Failure),
}

/// What each parameter holds.
pub(crate) fn arguments(
    plan: &Plan,
    check: &CheckPlan,
    of: &CheckInstance,
    time: Time,
    trigger: &Trigger<'_>,
    windows: &Windows,
) -> Result<Vec<(Arc<str>, Seen)>, Lack> {
    let names = plan.definitions.checks[of.check].arguments.iter().map(|(name, _)| name);
    names
        .zip(check.arguments.iter().enumerate())
        .map(|(name, (place, argument))| {
            let seen = match argument {
                ArgumentPlan::Value(value) => Seen::Value(value.clone()),
                ArgumentPlan::Label(label, kind) => {
                    Seen::Value(labelled(name, label, kind, &of.labels).map_err(Lack::Failure)?)
                }
                ArgumentPlan::Input(input) => {
                    let trigger = (place == check.trigger).then_some(trigger);
                    seen(plan, input, of, time, trigger, windows)?
                }
            };
            Ok((name.clone(), seen))
        })
        .collect()
}

/// The value of a label, read as a parameter's kind.
pub(crate) fn labelled(name: &str, label: &str, kind: &ParameterKind, labels: &Labels) -> Result<Value, Failure> {
    let failure = |message| Failure { kind: functions::FailureKind::Type, message, line: 0, column: 0 };
    let text = labels.get(label).ok_or_else(|| failure(format!("argument `{name}`: there is no label `{label}`")))?;
    kind.accept(&Value::Text(text.clone()))
        .map_err(|message| failure(format!("argument `{name}` from label `{label}`: {message}")))
}

/// What one input shows.
fn seen(
    plan: &Plan,
    input: &InputPlan,
    of: &CheckInstance,
    time: Time,
    trigger: Option<&Trigger<'_>>,
    windows: &Windows,
) -> Result<Seen, Lack> {
    let lane = &plan.lanes[plan.feeds[input.feed].lane];
    let stream = &plan.definitions.streams[lane.stream];
    match trigger {
        Some(Trigger::Window(point)) if input.shape == Shape::Point => {
            return Ok(Seen::Point(shaped(input, *point).expect("the trigger has a point")));
        }
        Some(Trigger::Events(_, events)) => return Ok(Seen::Events(events.to_vec())),
        Some(Trigger::Event(event)) => return Ok(Seen::Events(vec![(*event).clone()])),
        _ => {}
    }
    let cut = lane.cut.as_ref().expect("only a trigger may be without a window");
    let fresh = |end: Time| time < cut.next_end(end) + input.deadline;
    if matches!(input.shape, Shape::List | Shape::Table) {
        let mut rows: Vec<(Labels, Arc<str>, Point)> = windows
            .living(input.feed)
            .filter_map(|place| {
                let labels = windows.labels(input.feed, place);
                let record = windows.feeds[input.feed].instances[place as usize].record.as_ref()?;
                let point = record
                    .points
                    .iter()
                    .rev()
                    .find_map(|point| shaped(input, point.as_closed()))
                    .filter(|point| fresh(point.end))?;
                let lacking =
                    labels.iter().filter(|(name, _)| of.labels.get(name).is_none()).map(|(_, value)| &**value);
                let key = lacking.collect::<Vec<_>>().join(",");
                labels.agrees_with(&of.labels).then(|| (labels.clone(), key.into(), point))
            })
            .collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        return Ok(Seen::Rows(rows));
    }
    let key = Labels::new(
        stream.each.iter().filter_map(|name| of.labels.get(name).map(|value| (name.clone(), value.clone()))),
    );
    let place = if trigger.is_some() { Some(of.instance) } else { windows.find(input.feed, &key) };
    let instance = place.map(|place| &windows.feeds[input.feed].instances[place as usize]);
    let record = instance.and_then(|instance| instance.record.as_ref()).ok_or(Lack::Data(lane.stream))?;
    if input.shape == Shape::Events {
        return Ok(Seen::Events(record.events.clone()));
    }
    let points: Vec<Point> = record.points.iter().filter_map(|point| shaped(input, point.as_closed())).collect();
    if points.last().is_none_or(|point| !fresh(point.end)) {
        return Err(Lack::Data(lane.stream));
    }
    Ok(match input.shape {
        Shape::Series(most) => Seen::Points(points[points.len().saturating_sub(most)..].to_vec()),
        _ => Seen::Point(points.last().cloned().ok_or(Lack::Data(lane.stream))?),
    })
}

/// Whether a closed window has all of an input's own numbers. One without samples has a count, but no point unless
/// nothing else is asked for.
pub(crate) fn has_shape(input: &InputPlan, point: ClosedPoint<'_>) -> bool {
    !input.picks.is_empty() && input.picks.iter().all(|pick| point.values[*pick].is_finite())
}

/// A closed window with an input's own numbers; none where it lacks one.
pub(crate) fn shaped(input: &InputPlan, point: ClosedPoint<'_>) -> Option<Point> {
    let ClosedPoint { start, end, count, incomplete, .. } = point;
    let baseline = input.lesson.and_then(|lesson| point.readings.get(lesson).copied().flatten());
    has_shape(input, point).then(|| Point {
        start,
        end,
        count,
        values: input.picks.iter().map(|pick| point.values[*pick]).collect(),
        downsample: input.downsample.clone(),
        incomplete,
        baseline,
    })
}
