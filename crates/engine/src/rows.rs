//! Rows of columns that are kept in pieces: who has which, and which pieces have changed.

use crate::state::{Change, Column, TIMES_PER_PIECE};
use model::Time;
use std::collections::BTreeSet;

/// Which rows are taken: the lowest free one first, so that columns stay short.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    free: BTreeSet<u32>,
    /// How many there ever were.
    count: u32,
    /// For each piece, whether it is to be written.
    changed: Vec<bool>,
}

impl Rows {
    /// How long a column of them is.
    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    /// A row for somebody new. It may have been another's, so it has changed.
    pub(crate) fn take(&mut self) -> u32 {
        let row = self.free.pop_first().unwrap_or_else(|| {
            self.count += 1;
            self.count - 1
        });
        self.touch(row);
        row
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

    /// Notes that what stands in a row has changed.
    pub(crate) fn touch(&mut self, row: u32) {
        let piece = row as usize / TIMES_PER_PIECE;
        if piece >= self.changed.len() {
            self.changed.resize(piece + 1, false);
        }
        self.changed[piece] = true;
    }

    /// Whether anything has changed since it was last written.
    pub(crate) fn is_changed(&self) -> bool {
        self.changed.contains(&true)
    }

    /// Forgets that anything has changed.
    pub(crate) fn forget_changes(&mut self) {
        self.changed.clear();
    }

    /// Writes the pieces that have changed of a column that has a time for each row.
    pub(crate) fn changes(&mut self, column: &Column, times: &[Time], changes: &mut Vec<Change>) {
        for (piece, times) in times.chunks(TIMES_PER_PIECE).enumerate() {
            if self.changed.get(piece) == Some(&true) {
                let (column, times) = (column.clone(), times.to_vec());
                changes.push(Change::Times { column, piece: piece as u32, times });
            }
        }
        self.forget_changes();
    }
}
