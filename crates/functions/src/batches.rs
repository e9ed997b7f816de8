//! The batches of a training window as baseline functions see them.

use crate::{BaselineCall, TrainingBatch};
use model::Span;
use rhai::Engine;
use std::sync::Arc;

/// Some batches of a training window, oldest first. All selections from one window share its batches.
#[derive(Clone, Debug)]
pub(crate) struct Batches {
    training: Arc<[TrainingBatch]>,
    /// Places in `training`, ascending.
    places: Arc<[u32]>,
    next: Next,
    /// Whether something beyond anomalous batches was left out.
    narrowed: bool,
}

/// What is known of the batch that comes next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next {
    /// Its place in the fundamental period.
    pub(crate) phase: u32,
    /// How many batches a fundamental period has; at least 1.
    pub(crate) phases: u32,
    /// Where it begins.
    start: model::Time,
    /// The length of a batch where the clock does not change.
    size: Span,
}

impl Batches {
    /// Those of a call that are not anomalous.
    pub(crate) fn new(call: &BaselineCall<'_>) -> Batches {
        let phases = call.phases.max(1);
        let size = Span::from_nanos((call.period.nanos() / i64::from(phases)).max(1));
        let training: Arc<[TrainingBatch]> = call.batches.into();
        let normal = (0..).zip(call.batches).filter(|(_, batch)| !batch.anomalous).map(|(place, _)| place);
        Batches {
            places: normal.collect(),
            training,
            next: Next { phase: call.phase, phases, start: call.start, size },
            narrowed: false,
        }
    }

    /// What is known of the batch that comes next.
    pub(crate) fn next(&self) -> Next {
        self.next
    }
}

/// Registers the types and functions of this module.
pub(crate) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Batches>("batches");
}
