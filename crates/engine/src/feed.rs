//! A lane as one agenda reads it: which of its instances live, and what their windows have come to.

use crate::plan::FeedPlan;
use crate::points::Points;
use crate::rolling::Rolling;
use crate::rows::Rows;
use crate::state::{Change, Column, InstanceRecord};
use crate::windows::LaneState;
use model::Time;
use std::collections::BTreeSet;

/// A lane as one agenda reads it: which instances live, and what their windows have come to.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    /// One for each instance of the lane.
    pub(crate) instances: Vec<FeedInstance>,
    /// The points of the windows that have just closed, one for each of `instances`.
    pub(crate) closed: Points,
    /// Those that closed before, where they are still to be shown.
    newest: Option<Points>,
    /// The rows that living instances have in columns.
    pub(crate) rows: Rows,
    /// Instances of the lane that may be born when they have samples.
    pub(crate) unborn: BTreeSet<u32>,
    pub(crate) live: usize,
    /// The next window end of live instances, where it has been worked out.
    pub(crate) next_end: Option<Time>,
    /// Where there are no windows: before this time no instance retires, as far as was looked.
    pub(crate) settled_until: Option<Time>,
    pub(crate) changed: Vec<u32>,
}

/// One instance of a feed.
#[derive(Debug, Default)]
pub(crate) struct FeedInstance {
    pub(crate) record: Option<InstanceRecord>,
    pub(crate) bound: bool,
    /// What its sliding window is carried on from.
    pub(crate) rolling: Option<Box<Rolling>>,
    /// Checks that run when its windows close or its events come.
    pub(crate) triggers: Vec<usize>,
    changed: bool,
}

impl FeedInstance {
    pub(crate) fn touch(&mut self, place: u32, changed: &mut Vec<u32>) {
        if !std::mem::replace(&mut self.changed, true) {
            changed.push(place);
        }
    }
}

impl Feed {
    /// Begins the life of an instance. Its row may have been another's, so the columns are written anew.
    pub(crate) fn bear(&mut self, place: u32, begin: Time, born: Time) -> &mut InstanceRecord {
        self.live += 1;
        self.unborn.remove(&place);
        let row = self.rows.take();
        let instance = &mut self.instances[place as usize];
        instance.touch(place, &mut self.changed);
        let (last_sample, points, events) = (None, Vec::new(), Vec::new());
        instance.record.insert(InstanceRecord { row, begin, born, last_sample, points, events })
    }

    /// Ends the closing of windows. With `show`, what was read of their points is to be shown.
    pub(crate) fn end(&mut self, mut closed: Points, show: bool) {
        if show {
            closed = self.newest.replace(closed).unwrap_or_default();
        }
        closed.clear();
        self.closed = closed;
    }

    /// What changed since it was last asked.
    pub(crate) fn changes(&mut self, of: &FeedPlan, keeps_column: bool, lane: &LaneState, changes: &mut Vec<Change>) {
        let feed = of.fingerprint;
        for place in std::mem::take(&mut self.changed) {
            let labels = lane.instances[place as usize].labels.clone();
            let state = &mut self.instances[place as usize];
            if std::mem::take(&mut state.changed) {
                changes.push(Change::Instance { feed, labels, record: state.record.clone() });
            }
        }
        if !keeps_column {
            self.rows.forget_changes();
        } else if self.rows.is_changed() {
            let mut times = vec![Time::MIN; self.rows.len()];
            for record in self.instances.iter().filter_map(|instance| instance.record.as_ref()) {
                times[record.row as usize] = record.last_sample.unwrap_or(Time::MIN);
            }
            self.rows.changes(&Column::LastSamples { feed }, &times, changes);
        }
        if let Some(newest) = self.newest.take() {
            let row_of = |place: usize| Some(self.instances[place].record.as_ref()?.row as usize);
            changes.push(Change::Newest { feed, points: newest.moved(self.rows.len(), row_of).into() });
        }
    }
}
