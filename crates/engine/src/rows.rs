//! Numbers for the rows of a column, the lowest free one first, so that columns stay short.

use std::collections::BTreeSet;

/// Which rows are taken.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    free: BTreeSet<u32>,
    /// How many there ever were.
    count: u32,
}

impl Rows {
    /// How long a column of them is.
    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    /// A row for somebody new.
    pub(crate) fn take(&mut self) -> u32 {
        self.free.pop_first().unwrap_or_else(|| {
            self.count += 1;
            self.count - 1
        })
    }

    /// The row that somebody has had before.
    pub(crate) fn take_again(&mut self, row: u32) {
        self.free.extend(self.count..row);
        self.count = self.count.max(row + 1);
        self.free.remove(&row);
    }

    /// A row that nobody has any more.
    pub(crate) fn give_back(&mut self, row: u32) {
        self.free.insert(row);
    }
}
