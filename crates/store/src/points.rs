//! The points that wait to be published: each piece lies under its number as one record, and goes as one.
//!
//! Messages of one topic resemble each other, so a piece is compressed (LZ4) before it goes into the log: writing,
//! checking and copying the rest costs more than that.

use crate::key::{Key, Parts};
use crate::records::{Damaged, RECORD_VERSION, Wire, decode};
use crate::{Error, Store, family};
use engine::state::Messages;
use lz4_flex::block::{compress_prepend_size, decompress_size_prepended};
use rocksdb::{Direction, IteratorMode, WriteBatch};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A piece of points that waits to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its number.
    pub number: u64,
    /// Where it goes.
    pub topic: Arc<str>,
    /// The points.
    pub messages: Messages,
}

impl Store {
    /// The points that wait to be published, the oldest pieces first.
    pub fn points(&self, most: usize) -> Result<Vec<Waiting>, Error> {
        let from = Key::number(self.points_low.load(Ordering::SeqCst));
        let mode = IteratorMode::From(&from, Direction::Forward);
        let pieces = self.db.iterator_cf(self.family(family::POINTS), mode).take(most);
        let waiting = |key: &[u8], value: &[u8]| -> Result<Waiting, Damaged> {
            let (topic, messages) = read(value)?;
            Ok(Waiting { number: Parts(key).u64()?, topic, messages })
        };
        pieces
            .map(|piece| {
                let (key, value) = piece.map_err(|error| self.failed(error))?;
                waiting(&key, &value).map_err(|damaged| self.damaged(family::POINTS, damaged))
            })
            .collect()
    }

    /// How many pieces wait.
    pub fn points_len(&self) -> usize {
        self.points_len.load(Ordering::SeqCst)
    }

    /// Forgets these, the oldest that wait: all of them have been acknowledged. One thread publishes.
    pub fn trim_points(&self, pieces: &[Waiting]) -> Result<(), Error> {
        let Some(last) = pieces.last() else { return Ok(()) };
        let mut batch = WriteBatch::default();
        for piece in pieces {
            batch.delete_cf(self.family(family::POINTS), Key::number(piece.number));
        }
        self.db.write(batch).map_err(|error| self.failed(error))?;
        self.points_low.store(last.number.saturating_add(1), Ordering::SeqCst);
        self.points_len.fetch_sub(pieces.len(), Ordering::SeqCst);
        Ok(())
    }

    /// Counts what a former process has left.
    pub(crate) fn count_points(&self) -> Result<(), Error> {
        let numbers = self.scan_from(family::POINTS, &[], |_| true, |key, _| key.u64())?;
        self.points_len.store(numbers.len(), Ordering::SeqCst);
        self.points_low.store(numbers.first().copied().unwrap_or(0), Ordering::SeqCst);
        Ok(())
    }
}

/// A piece as it lies there.
pub(crate) fn write(topic: &Arc<str>, messages: &Messages) -> Vec<u8> {
    let mut record = Vec::with_capacity(messages.bytes.len() + 16 * messages.index.len() + topic.len() + 32);
    record.push(RECORD_VERSION);
    topic.write(&mut record);
    messages.write(&mut record);
    compress_prepend_size(&record)
}

/// What `write` wrote.
fn read(bytes: &[u8]) -> Result<(Arc<str>, Messages), Damaged> {
    decode(&decompress_size_prepended(bytes).map_err(|_| Damaged("a piece of points is no LZ4"))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::state::MessagePlace;

    #[test]
    fn a_piece_is_read_as_it_was_written() {
        let index = vec![
            MessagePlace { key_end: 1, value_end: 3, timestamp_ms: -1 },
            MessagePlace { key_end: 3, value_end: 4, timestamp_ms: i64::MAX },
        ];
        let messages = Messages { bytes: b"kv\0w".to_vec(), index };
        let found: (Arc<str>, Messages) = read(&write(&"t".into(), &messages)).expect("a piece");
        assert_eq!(found, ("t".into(), messages));
        // An index that leads out of the buffer would make whoever reads it fall.
        let broken =
            Messages { bytes: Vec::new(), index: vec![MessagePlace { key_end: 2, value_end: 1, timestamp_ms: 0 }] };
        assert!(read(&write(&"t".into(), &broken)).is_err());
        assert!(read(b"nonsense").is_err());
    }
}
