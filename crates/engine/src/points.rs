//! The points of a feed's windows that close at one instant, as columns: of a million instances, none costs an
//! allocation.

use crate::state::KeptPoint;
use model::{Reading, Time};

/// A closed window, as whoever reads it at its instant sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosedPoint<'a> {
    pub(crate) start: Time,
    pub(crate) end: Time,
    pub(crate) count: u64,
    /// A number for each downsampling of the feed, NaN where there is none.
    pub(crate) values: &'a [f64],
    pub(crate) incomplete: bool,
    /// What each baseline of the feed said of it; empty before they were asked.
    pub(crate) readings: &'a [Option<Reading>],
}

impl ClosedPoint<'_> {
    /// The same, to be kept.
    pub(crate) fn to_kept(self) -> KeptPoint {
        let ClosedPoint { start, end, count, values, incomplete, readings } = self;
        KeptPoint { start, end, count, values: values.to_vec(), incomplete, readings: readings.to_vec() }
    }
}

impl KeptPoint {
    /// The same, as it was when it closed.
    pub(crate) fn as_closed(&self) -> ClosedPoint<'_> {
        let KeptPoint { start, end, count, values, incomplete, readings } = self;
        ClosedPoint { start: *start, end: *end, count: *count, values, incomplete: *incomplete, readings }
    }
}

/// The points of windows that ended at one instant, a row for each instance of a feed.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    end: Time,
    incomplete: bool,
    /// How many numbers a point has.
    width: usize,
    /// How many baselines speak of it.
    lessons: usize,
    /// Where the window begins; `Time::MAX` where there is no point.
    starts: Vec<Time>,
    counts: Vec<u64>,
    values: Vec<f64>,
    readings: Vec<Option<Reading>>,
}

impl Default for Points {
    fn default() -> Points {
        Points {
            end: Time::MIN,
            incomplete: false,
            width: 0,
            lessons: 0,
            starts: Vec::new(),
            counts: Vec::new(),
            values: Vec::new(),
            readings: Vec::new(),
        }
    }
}

impl Points {
    /// Begins anew, without any point.
    pub(crate) fn begin(&mut self, end: Time, incomplete: bool, rows: usize, width: usize, lessons: usize) {
        (self.end, self.incomplete, self.width, self.lessons) = (end, incomplete, width, lessons);
        self.clear();
        self.starts.resize(rows, Time::MAX);
        self.counts.resize(rows, 0);
        self.values.resize(rows * width, f64::NAN);
        self.readings.resize(rows * lessons, None);
    }

    /// Forgets all points, and keeps their memory.
    pub(crate) fn clear(&mut self) {
        self.starts.clear();
        self.counts.clear();
        self.values.clear();
        self.readings.clear();
    }

    /// The numbers of a row, to be written before `put`.
    pub(crate) fn values_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.values[row * self.width..(row + 1) * self.width]
    }

    /// Puts a point into a row.
    fn set(&mut self, row: usize, point: ClosedPoint<'_>) {
        self.values_mut(row).copy_from_slice(point.values);
        self.readings_mut(row).copy_from_slice(point.readings);
        self.put(row, point.start, point.count);
    }

    /// The same points in other rows: `row_of` gives the new one for each old one, below `rows`.
    pub(crate) fn moved(&self, rows: usize, row_of: impl Fn(usize) -> Option<usize>) -> Points {
        let mut moved = Points::default();
        moved.begin(self.end, self.incomplete, rows, self.width, self.lessons);
        for (row, point) in self.iter() {
            if let Some(row) = row_of(row) {
                moved.set(row, point);
            }
        }
        moved
    }

    /// The point of a row, where there is one.
    pub fn point(&self, row: u32) -> Option<KeptPoint> {
        self.get(row as usize).map(ClosedPoint::to_kept)
    }

    /// For how many rows each baseline of the feed has spoken, in their order.
    pub fn spoken(&self) -> Vec<usize> {
        let mut spoken = vec![0; self.lessons];
        for (_, point) in self.iter() {
            spoken.iter_mut().zip(point.readings).for_each(|(count, reading)| *count += usize::from(reading.is_some()));
        }
        spoken
    }

    /// Makes a point of the numbers that were written.
    pub(crate) fn put(&mut self, row: usize, start: Time, count: u64) {
        (self.starts[row], self.counts[row]) = (start, count);
    }

    /// What baselines say of a row's point.
    pub(crate) fn readings_mut(&mut self, row: usize) -> &mut [Option<Reading>] {
        &mut self.readings[row * self.lessons..(row + 1) * self.lessons]
    }

    /// The point of a row, where there is one.
    pub(crate) fn get(&self, row: usize) -> Option<ClosedPoint<'_>> {
        let start = self.starts.get(row).copied().filter(|start| *start != Time::MAX)?;
        Some(ClosedPoint {
            start,
            end: self.end,
            count: self.counts[row],
            values: &self.values[row * self.width..(row + 1) * self.width],
            incomplete: self.incomplete,
            readings: &self.readings[row * self.lessons..(row + 1) * self.lessons],
        })
    }

    /// All points, with their rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, ClosedPoint<'_>)> {
        (0..self.starts.len()).filter_map(|row| Some((row, self.get(row)?)))
    }
}
