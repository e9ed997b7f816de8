//! What the read model holds, as the messages of `vitalsign.v1`.

use crate::view::{CheckView, ElementView, InstanceView, SourceView, Told, View};
use api::v1;
use engine::state::{ActiveError, CheckKey, Standing};
use model::definition::Source;
use model::transition::{Cause, Health};
use model::{Element, Labels, Reason, Span, State, Time, Transition};
use prost_types::{Duration, Timestamp};
use std::collections::BTreeMap;

pub(super) fn timestamp(time: Time) -> Timestamp {
    let nanos = time.nanos();
    Timestamp { seconds: nanos.div_euclid(1_000_000_000), nanos: nanos.rem_euclid(1_000_000_000) as i32 }
}

/// Both parts have the sign of the whole, as protobuf wants it.
pub(super) fn duration(span: Span) -> Duration {
    Duration { seconds: span.nanos() / 1_000_000_000, nanos: (span.nanos() % 1_000_000_000) as i32 }
}

pub(super) fn state(state: State) -> v1::State {
    match state {
        State::Unknown => v1::State::Unknown,
        State::Clear => v1::State::Clear,
        State::Deviating => v1::State::Deviating,
        State::Critical => v1::State::Critical,
    }
}

pub(super) fn state_from(state: v1::State) -> Option<State> {
    match state {
        v1::State::Unspecified => None,
        v1::State::Unknown => Some(State::Unknown),
        v1::State::Clear => Some(State::Clear),
        v1::State::Deviating => Some(State::Deviating),
        v1::State::Critical => Some(State::Critical),
    }
}

pub(super) fn kind(element: &Element) -> v1::ElementKind {
    match element {
        Element::Component(_) => v1::ElementKind::Component,
        Element::Relation { .. } => v1::ElementKind::Relation,
    }
}

pub(super) fn labels(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

pub(super) fn element(shown: &ElementView) -> v1::Element {
    let (from, to) = match &shown.element {
        Element::Component(_) => (String::new(), String::new()),
        Element::Relation { from, to } => (from.to_string(), to.to_string()),
    };
    v1::Element {
        name: shown.element.to_string(),
        kind: kind(&shown.element).into(),
        r#type: shown.record.kind.to_string(),
        labels: labels(&shown.record.labels),
        from,
        to,
        own: Some(standing(&shown.record.own)),
        propagated: Some(standing(&shown.record.propagated)),
        definition: shown.record.definition.to_string(),
        error: shown.record.error.as_ref().map(error),
    }
}

fn standing(standing: &Standing) -> v1::Standing {
    v1::Standing {
        state: state(standing.state).into(),
        since: standing.since.map(timestamp),
        message: standing.message.to_string(),
        sequence: standing.sequence,
    }
}

pub(super) fn error(error: &ActiveError) -> v1::ActiveError {
    v1::ActiveError {
        kind: error.kind.to_string(),
        message: error.message.to_string(),
        line: error.line,
        column: error.column,
        since: Some(timestamp(error.since)),
    }
}

pub(super) fn check(key: &CheckKey, shown: &CheckView) -> v1::Check {
    v1::Check {
        element: key.element.to_string(),
        check: key.check.to_string(),
        labels: labels(&key.labels),
        state: shown.state.map_or(v1::State::Unspecified, state).into(),
        since: shown.since.map(timestamp),
        message: shown.message.to_string(),
        last_run: shown.last_run.map(timestamp),
        error: shown.error.as_ref().map(error),
        missing_at: shown.missing_at.map(timestamp),
        expires_at: shown.expires_at.map(timestamp),
    }
}

pub(super) fn id(id: u128) -> String {
    format!("{id:032x}")
}

pub(super) fn transition(transition: &Transition) -> v1::Transition {
    let health = match transition.health {
        Health::Own => v1::HealthKind::Own,
        Health::Propagated => v1::HealthKind::Propagated,
    };
    let cause = match &transition.cause {
        Cause::Check { check, labels: instance } => {
            v1::cause::Cause::Check(v1::CheckCause { check: check.to_string(), labels: labels(instance) })
        }
        Cause::Element(element) => v1::cause::Cause::Element(element.to_string()),
    };
    v1::Transition {
        id: id(transition.id),
        sequence: transition.sequence,
        element: transition.element.to_string(),
        health: health.into(),
        time: Some(timestamp(transition.time)),
        from: state(transition.from).into(),
        to: state(transition.to).into(),
        cause: Some(v1::Cause { cause: Some(cause) }),
        message: transition.message.to_string(),
    }
}

pub(super) fn changed(told: &Told, after: &ElementView) -> v1::Changed {
    v1::Changed {
        sequence: told.sequence,
        element: Some(element(after)),
        transition: told.transition.as_deref().map(transition),
    }
}

pub(super) fn instance(view: &View, shown: &InstanceView) -> v1::Instance {
    let points = shown.points.iter().filter_map(|(feed, point)| {
        let feed = view.feed(*feed)?;
        let numbers = feed.downsample.iter().zip(&point.values).filter(|(_, value)| !value.is_nan());
        Some(v1::WindowPoint {
            window: feed.window.as_ref()?.to_string(),
            start: Some(timestamp(point.start)),
            end: Some(timestamp(point.end)),
            count: point.count,
            values: numbers.map(|(downsampling, value)| (downsampling.to_string(), *value)).collect(),
            incomplete: point.incomplete,
        })
    });
    v1::Instance {
        labels: labels(&shown.labels),
        born: Some(timestamp(shown.born)),
        last_sample: shown.last_sample.map(timestamp),
        points: points.collect(),
    }
}

pub(super) fn source(definition: &Source, shown: &SourceView) -> v1::Source {
    let SourceView { record, partitions, error: active } = shown;
    let refused = Reason::ALL.into_iter().map(|reason| (reason.name().to_owned(), record.counters.refused(reason)));
    let partitions = partitions.iter().map(|(key, partition, lag)| v1::Partition {
        topic: key.topic.to_string(),
        partition: key.partition,
        next_offset: partition.next_offset,
        lag: *lag,
        watermark: partition.max_time.map(|greatest| timestamp(greatest - definition.lateness)),
        floor: partition.floor.map(timestamp),
        idle: partition.idle,
    });
    v1::Source {
        name: definition.name.to_string(),
        frontier: record.frontier.map(timestamp),
        lateness: Some(duration(definition.lateness)),
        idle_after: Some(duration(definition.idle_after)),
        partitions: partitions.collect(),
        records: record.counters.records,
        samples: record.counters.samples,
        events: record.counters.events,
        refused: refused.filter(|(_, count)| *count > 0).collect(),
        lost: record.lost,
        recreated: record.recreated,
        gaps: record
            .gaps
            .iter()
            .map(|(start, end)| v1::Gap { start: Some(timestamp(*start)), end: Some(timestamp(*end)) })
            .collect(),
        error: active.as_ref().map(error),
    }
}
