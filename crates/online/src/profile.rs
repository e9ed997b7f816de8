//! What is usual at a phase of the day or week.

use crate::stored::{Stored, narrow, put_table, take_table};
use model::Time;

const DAY_NS: i64 = 86_400_000_000_000;

/// How a period is cut into cells, and how fast they learn.
#[derive(Debug, PartialEq)]
pub(crate) struct Shape {
    /// Cells of the period.
    pub(crate) cells: u16,
    /// The length of the period in nanoseconds.
    pub(crate) period_ns: i64,
    /// The least weight of a new visit: a fifth remembers about five periods.
    pub(crate) gain: f64,
    /// The weight of the first visit is one over this: 1 takes it whole, 2 half of it, as one visit proves little.
    pub(crate) lead: f64,
}

/// Five minutes each. Finer ones would not be worth their memory, coarser ones blur what happens on the hour.
pub(crate) const DAILY: Shape = Shape { cells: 288, period_ns: DAY_NS, gain: 0.2, lead: 1.0 };
/// An hour each: what the week adds to the day is smooth. It is seen seven times less often, so it learns more slowly
/// lest one odd week be taken for the rule.
pub(crate) const WEEKLY: Shape = Shape { cells: 168, period_ns: 7 * DAY_NS, gain: 0.1, lead: 2.0 };

impl Shape {
    /// The cell of a moment on the local clock.
    pub(crate) fn cell(&self, local: Time) -> u16 {
        let phase_ns = local.nanos().rem_euclid(self.period_ns);
        (phase_ns / (self.period_ns / i64::from(self.cells))) as u16
    }

    /// A cell and those beside it, around the end of the period.
    pub(crate) fn around(&self, cell: u16) -> [u16; 3] {
        [(cell + self.cells - 1) % self.cells, cell, (cell + 1) % self.cells]
    }
}

/// The points of one visit to a cell, which count as one: so the interval of the points does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Visit {
    cell: u16,
    count: u32,
    sum: f64,
}

/// A running mean for each cell of a period.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    shape: &'static Shape,
    /// Empty until the first visit is over: a series that lives for minutes needs none.
    means: Vec<f32>,
    /// Visits of each cell and 1; 0 where there was none. It stops at 255, as only the first few are told apart.
    visits: Vec<u8>,
    visit: Visit,
}

impl Profile {
    pub(crate) fn new(shape: &'static Shape) -> Profile {
        Profile { shape, means: Vec::new(), visits: Vec::new(), visit: Visit::default() }
    }

    /// What is usual around a phase: the mean of its cell and those beside it, as far as they have been visited; 0
    /// where none was.
    pub(crate) fn expected(&self, cell: u16) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for near in self.shape.around(cell) {
            if self.is_known(near) || self.is_visiting(near) {
                sum += self.mean(near);
                count += 1.0;
            }
        }
        if count > 0.0 { sum / count } else { 0.0 }
    }

    /// The mean of a cell, the visit that is under way included.
    pub(crate) fn mean(&self, cell: u16) -> f64 {
        let before = f64::from(self.means.get(usize::from(cell)).copied().unwrap_or_default());
        if !self.is_visiting(cell) {
            return before;
        }
        let gain = (1.0 / (f64::from(self.visits(cell)) + self.shape.lead)).max(self.shape.gain);
        before + gain * (self.visit.sum / f64::from(self.visit.count) - before)
    }

    /// How often a cell has been visited, the visit under way and provisional ones not counted.
    pub(crate) fn visits(&self, cell: u16) -> u8 {
        self.visits.get(usize::from(cell)).map_or(0, |visits| visits.saturating_sub(1))
    }

    fn is_known(&self, cell: u16) -> bool {
        self.visits.get(usize::from(cell)).is_some_and(|visits| *visits > 0)
    }

    /// Adds a value to the visit of a cell; one to another cell ends there. A visit that ends while `provisional` does
    /// not count: the next one takes its place.
    pub(crate) fn learn(&mut self, cell: u16, value: f64, provisional: bool) {
        if self.visit.cell != cell {
            self.end_visit(provisional);
            self.visit = Visit { cell, count: 0, sum: 0.0 };
        }
        self.visit.sum += value;
        self.visit.count = self.visit.count.saturating_add(1);
    }

    fn end_visit(&mut self, provisional: bool) {
        if self.visit.count == 0 {
            return;
        }
        if self.means.is_empty() {
            self.means = vec![0.0; usize::from(self.shape.cells)];
            self.visits = vec![0; usize::from(self.shape.cells)];
        }
        let place = usize::from(self.visit.cell);
        self.means[place] = narrow(self.mean(self.visit.cell));
        self.visits[place] = self.visits[place].max(1).saturating_add(u8::from(!provisional));
    }

    fn is_visiting(&self, cell: u16) -> bool {
        self.visit.cell == cell && self.visit.count > 0
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.means.capacity() * size_of::<f32>() + self.visits.capacity()
    }

    pub(crate) fn put(&self, bytes: &mut Vec<u8>) {
        put_table(&self.means, bytes);
        put_table(&self.visits, bytes);
        self.visit.cell.put(bytes);
        self.visit.count.put(bytes);
        self.visit.sum.put(bytes);
    }

    pub(crate) fn take(shape: &'static Shape, bytes: &mut &[u8]) -> Option<Profile> {
        let cells = usize::from(shape.cells);
        let (means, visits): (Vec<f32>, Vec<u8>) = (take_table(cells, bytes)?, take_table(cells, bytes)?);
        let visit = Visit { cell: u16::take(bytes)?, count: u32::take(bytes)?, sum: f64::take(bytes)? };
        let agrees = means.len() == visits.len() && visit.cell < shape.cells;
        agrees.then_some(Profile { shape, means, visits, visit })
    }
}
