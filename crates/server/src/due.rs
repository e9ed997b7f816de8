//! What the run loop does from time to time, and when it is due.

use crate::inputs::Inputs;
use crate::view::View;
use config::StoreSettings;
use engine::{Engine, Refusal, Shard};
use model::{Counters, Reason, Span, Time};
use std::collections::HashMap;
use std::sync::Arc;

/// How often offsets are told to lag monitors.
const OFFSETS_EVERY: Span = Span::from_secs(5);
/// How often what is not committed is shown: ends of partitions, errors of sources, runs of checks.
const OBSERVE_EVERY: Span = Span::from_secs(1);
/// How often old history is looked for.
const EXPIRE_EVERY: Span = Span::from_secs(10);
/// How often what was refused is logged.
const TELL_EVERY: Span = Span::from_secs(10);

/// When each was done last.
pub(crate) struct Due {
    commit_every: Span,
    snapshot_every: Span,
    committed: Time,
    turned: Time,
    /// How many blocks are to be written anew; parts of one add up.
    turns: f64,
    offsets: Time,
    observed: Time,
    expired: Time,
    told: Time,
    /// What had been counted when it was last logged.
    counters: HashMap<Arc<str>, Counters>,
    overflow: u64,
}

impl Due {
    pub(crate) fn new(store: &StoreSettings, now: Time) -> Due {
        Due {
            commit_every: store.commit_every,
            snapshot_every: store.snapshot_every,
            committed: now,
            turned: now,
            turns: 0.0,
            offsets: now,
            observed: now,
            expired: now,
            told: now,
            counters: HashMap::new(),
            overflow: 0,
        }
    }

    /// Whether to commit what has come, though no transition is in it.
    pub(crate) fn commit(&mut self, now: Time, blocks: usize) -> bool {
        if !passed(&mut self.committed, now, self.commit_every) {
            return false;
        }
        // A little faster than needed, so that all have had their turn within the time.
        let elapsed = (now - self.turned).as_secs_f64().max(0.0);
        self.turns += 1.1 * blocks as f64 * elapsed / self.snapshot_every.as_secs_f64();
        self.turned = now;
        true
    }

    /// How many blocks a commit that is made now writes anew.
    pub(crate) fn take_turns(&mut self, blocks: usize) -> usize {
        let turns = self.turns.floor().min(blocks as f64);
        self.turns = (self.turns - turns).min(blocks as f64);
        turns as usize
    }

    /// Whether a block has its turn.
    pub(crate) fn has_turns(&self) -> bool {
        self.turns >= 1.0
    }

    pub(crate) fn offsets(&mut self, now: Time) -> bool {
        passed(&mut self.offsets, now, OFFSETS_EVERY)
    }

    pub(crate) fn observe(&mut self, now: Time) -> bool {
        passed(&mut self.observed, now, OBSERVE_EVERY)
    }

    pub(crate) fn expire(&mut self, now: Time) -> bool {
        passed(&mut self.expired, now, EXPIRE_EVERY)
    }

    /// Logs from time to time what was refused since it was last logged, and what bounds kept out.
    pub(crate) fn tell(&mut self, now: Time, view: &View, inputs: &Inputs, engine: &Engine, shards: &mut [Shard]) {
        if !passed(&mut self.told, now, TELL_EVERY) {
            return;
        }
        for Refusal { topic, partition, offset, reason, detail, .. } in shards.iter_mut().flat_map(Shard::take_refusals)
        {
            tracing::warn!(%topic, partition, offset, reason = reason.name(), detail, "an example of what is not used");
        }
        for name in inputs.names() {
            let now = view.source(name).record.counters;
            let before = self.counters.insert(name.clone(), now).unwrap_or(now);
            let refused = Reason::ALL.iter().filter_map(|reason| {
                let more = now.refused(*reason).saturating_sub(before.refused(*reason));
                (more > 0).then(|| format!("{more} {}", reason.name()))
            });
            let refused: Vec<String> = refused.collect();
            if !refused.is_empty() {
                tracing::warn!(source = %name, refused = refused.join(", "), "something that was read is not used");
            }
        }
        let overflow = engine.overflow();
        if overflow > self.overflow {
            tracing::warn!(overflow, "bounds keep out instances; see `limits`");
            self.overflow = overflow;
        }
    }
}

/// Whether the time has passed since it was last done; then it is done now. A clock that was set back does not
/// put it off.
fn passed(last: &mut Time, now: Time, every: Span) -> bool {
    let due = now - *last >= every || now < *last;
    if due {
        *last = now;
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_blocks_have_their_turn_within_the_time() {
        let settings = config::load(&[], vec![], &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()));
        let settings = settings.expect("nothing is wrong with nothing").store;
        let mut now = Time::from_nanos(0);
        for blocks in [1, 7, 600, 20_000] {
            let mut due = Due::new(&settings, now);
            let end = now + settings.snapshot_every;
            let mut turns = 0;
            while now < end {
                now = now + settings.commit_every;
                assert!(due.commit(now, blocks));
                turns += due.take_turns(blocks);
            }
            assert!((blocks..=blocks * 6 / 5 + 1).contains(&turns), "{turns} of {blocks}");
        }
    }
}
