//! The usual peak of the residual at a time of day: a job that runs each night at three is no news at three.
//!
//! What the mean of a phase cannot foresee, as it does not come at the same minute, its peaks do. The idea is that of
//! FluxEV (Li et al., "FluxEV: a fast and effective unsupervised framework for time-series anomaly detection", 2021),
//! which holds a fluctuation against those of the same phase on the days before.

use crate::profile::Shape;
use crate::stored::{Stored, narrow, put_table, take_table};

/// What a peak may grow by from one visit to the next: an anomaly alone does not make a habit, a repeated one does.
const GROWTH: f64 = 3.0;

/// A running mean of the highest value of each visit, for each cell of a period.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Peaks {
    shape: &'static Shape,
    /// Empty until the first visit is over.
    means: Vec<f32>,
    cell: u16,
    highest: f64,
}

impl Peaks {
    pub(crate) fn new(shape: &'static Shape) -> Peaks {
        Peaks { shape, means: Vec::new(), cell: 0, highest: 0.0 }
    }

    /// The highest of the usual peaks around a phase; 0 where there is none.
    pub(crate) fn usual(&self, cell: u16) -> f64 {
        let peak = |near: u16| f64::from(self.means.get(usize::from(near)).copied().unwrap_or_default());
        self.shape.around(cell).map(peak).into_iter().fold(0.0, f64::max)
    }

    /// Adds a size to the visit of a cell; one to another cell ends there. Up to `free` a peak counts in full.
    pub(crate) fn learn(&mut self, cell: u16, size: f64, free: f64) {
        if self.cell != cell {
            // Before the first point there is no visit, and nothing to keep a table for.
            if self.highest > 0.0 || !self.means.is_empty() {
                self.end_visit(free);
            }
            (self.cell, self.highest) = (cell, 0.0);
        }
        self.highest = self.highest.max(size);
    }

    fn end_visit(&mut self, free: f64) {
        if self.means.is_empty() {
            self.means = vec![0.0; usize::from(self.shape.cells)];
        }
        let mean = &mut self.means[usize::from(self.cell)];
        let before = f64::from(*mean);
        let peak = self.highest.min(free.max(GROWTH * before));
        *mean = narrow(before + self.shape.gain * (peak - before));
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.means.capacity() * size_of::<f32>()
    }

    pub(crate) fn put(&self, bytes: &mut Vec<u8>) {
        put_table(&self.means, bytes);
        self.cell.put(bytes);
        self.highest.put(bytes);
    }

    pub(crate) fn take(shape: &'static Shape, bytes: &mut &[u8]) -> Option<Peaks> {
        let means = take_table(usize::from(shape.cells), bytes)?;
        let (cell, highest) = (u16::take(bytes)?, f64::take(bytes)?);
        (cell < shape.cells).then_some(Peaks { shape, means, cell, highest })
    }
}
