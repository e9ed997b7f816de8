//! What was told, under the numbers of the one sequence: the outbox, the history, and what a watch that
//! comes back has missed. Each thing told is written once; outbox, history and ids only point to it.

use crate::key::{Key, Parts};
use crate::records::{decode, encode};
use crate::{Error, Store, family};
use engine::state::ElementRecord;
use model::{Element, Time, Transition};
use rocksdb::{Direction, IteratorMode, ReadOptions, WriteBatch};
use std::sync::atomic::Ordering;

/// How many things told one call of `expire` drops at most.
pub const EXPIRED_AT_ONCE: usize = 1000;

/// One thing told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// An element has come.
    Born {
        /// Its number in the sequence.
        sequence: u64,
        /// The element.
        element: Element,
        /// What it was like after the commit that brought it.
        record: ElementRecord,
    },
    /// A health has changed.
    Transition {
        /// The change.
        transition: Transition,
    },
    /// An element is gone.
    Removed {
        /// Its number in the sequence.
        sequence: u64,
        /// The element.
        element: Element,
    },
}

impl Told {
    /// Its number in the sequence.
    pub fn sequence(&self) -> u64 {
        match self {
            Told::Born { sequence, .. } | Told::Removed { sequence, .. } => *sequence,
            Told::Transition { transition } => transition.sequence,
        }
    }

    /// Where it stands among what has the same number: birth first.
    fn rank(&self) -> u8 {
        match self {
            Told::Born { .. } => 0,
            Told::Transition { .. } => TRANSITION,
            Told::Removed { .. } => 2,
        }
    }
}

const TRANSITION: u8 = 1;
/// In `family::META`: the greatest number that has expired.
const EXPIRED: u8 = b'x';

/// What came after a number.
#[derive(Clone, Debug, PartialEq)]
pub enum Since {
    /// All of it, or the first part of it, in order; a number is never torn apart.
    Told(Vec<Told>),
    /// That is no longer known, or the number was never given by this store.
    Trimmed,
}

impl Store {
    /// The transitions that wait to be published, oldest first.
    pub fn outbox(&self, most: usize) -> Result<Vec<Transition>, Error> {
        let low = *self.outbox_low.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let sequences = self.numbers(family::OUTBOX, low, most)?;
        sequences
            .into_iter()
            .map(|sequence| self.told_transition(sequence)?.ok_or_else(|| self.lacking(sequence)))
            .collect()
    }

    /// How many transitions wait to be published.
    pub fn outbox_len(&self) -> Result<usize, Error> {
        Ok(self.outbox_len.load(Ordering::SeqCst))
    }

    /// Forgets that the transitions up to this number wait: they have been acknowledged.
    pub fn trim_outbox(&self, upto_sequence: u64) -> Result<(), Error> {
        let mut low = self.outbox_low.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let beyond = upto_sequence.saturating_add(1);
        if beyond <= *low {
            return Ok(());
        }
        let trimmed = self.count_outbox(*low, beyond)?;
        if trimmed > 0 {
            let mut batch = WriteBatch::default();
            batch.delete_range_cf(self.family(family::OUTBOX), Key::number(*low), Key::number(beyond));
            self.db.write(batch).map_err(|error| self.failed(error))?;
            self.outbox_len.fetch_sub(trimmed, Ordering::SeqCst);
        }
        // Not beyond what has been told: numbers that are yet to come must be seen.
        *low = beyond.min(self.last_told()?.saturating_add(1));
        Ok(())
    }

    /// The transitions of an element, newest first: those with a number below `before`, where one is given.
    pub fn history(&self, element: &Element, before: Option<u64>, most: usize) -> Result<Vec<Transition>, Error> {
        let prefix = Key::default().element(element).0;
        let Some(last) = before.unwrap_or(u64::MAX).checked_sub(1) else { return Ok(Vec::new()) };
        let from = [prefix.as_slice(), &Key::number(last)].concat();
        let mut found = Vec::new();
        let snapshot = self.db.snapshot();
        let mode = IteratorMode::From(&from, Direction::Reverse);
        for item in snapshot.iterator_cf(self.family(family::HISTORY), mode).take(most) {
            let (key, _) = item.map_err(|error| self.failed(error))?;
            let Some(number) = key.strip_prefix(prefix.as_slice()) else { break };
            let sequence = Parts(number).u64().map_err(|damaged| self.damaged(family::HISTORY, damaged))?;
            let value = snapshot
                .get_cf(self.family(family::TOLD), told_key(sequence, TRANSITION))
                .map_err(|error| self.failed(error))?
                .ok_or_else(|| self.lacking(sequence))?;
            if let (_, Told::Transition { transition }) = self.read_told(&value)? {
                found.push(transition);
            }
        }
        Ok(found)
    }

    /// The transition with this id, while it is kept.
    pub fn transition(&self, id: u128) -> Result<Option<Transition>, Error> {
        let found = self.db.get_cf(self.family(family::IDS), id.to_be_bytes()).map_err(|error| self.failed(error))?;
        let Some(number) = found else { return Ok(None) };
        let sequence = Parts(&number).u64().map_err(|damaged| self.damaged(family::IDS, damaged))?;
        self.told_transition(sequence)
    }

    /// What was told after a number: about `most` of it, more only to finish a number.
    pub fn since(&self, sequence: u64, most: usize) -> Result<Since, Error> {
        // One snapshot: what expires meanwhile is either wholly there or known to be gone.
        let snapshot = self.db.snapshot();
        let expired = snapshot.get_cf(self.family(family::META), [EXPIRED]).map_err(|error| self.failed(error))?;
        let expired: u64 = match expired {
            Some(value) => decode(&value).map_err(|damaged| self.damaged(family::META, damaged))?,
            None => 0,
        };
        if sequence < expired || sequence > self.last_sequence()? {
            return Ok(Since::Trimmed);
        }
        let mut told: Vec<Told> = Vec::new();
        let from = Key::number(sequence.saturating_add(1));
        let mode = IteratorMode::From(&from, Direction::Forward);
        for item in snapshot.iterator_cf(self.family(family::TOLD), mode) {
            let (_, value) = item.map_err(|error| self.failed(error))?;
            let (_, next) = self.read_told(&value)?;
            if told.len() >= most && told.last().is_none_or(|last| last.sequence() != next.sequence()) {
                break;
            }
            told.push(next);
        }
        Ok(Since::Told(told))
    }

    /// Drops what was told before a time, oldest number first and at most `EXPIRED_AT_ONCE`, and gives back
    /// how much. Stops at what waits in the outbox, and at what is younger than the store's `history` as
    /// the clocks of the agendas have it, whatever the time. Drops a run of numbers, so that `since` stays
    /// complete for all others. Where it has dropped `EXPIRED_AT_ONCE`, more may be due.
    pub fn expire(&self, before: Time) -> Result<u64, Error> {
        let Some(clock) = self.clock() else { return Ok(0) };
        let before = before.min(clock - self.history);
        let waiting = self.numbers(family::OUTBOX, 0, 1)?.first().copied().unwrap_or(u64::MAX);
        let mut batch = WriteBatch::default();
        let (mut dropped, mut last) = (0, 0);
        let first = self.expired()?.saturating_add(1);
        let from = Key::number(first);
        for item in self.db.iterator_cf(self.family(family::TOLD), IteratorMode::From(&from, Direction::Forward)) {
            let (_, value) = item.map_err(|error| self.failed(error))?;
            let (time, told) = self.read_told(&value)?;
            let sequence = told.sequence();
            let whole = dropped >= EXPIRED_AT_ONCE && sequence != last;
            if whole || sequence >= waiting || time >= before {
                break;
            }
            if let Told::Transition { transition } = &told {
                batch.delete_cf(self.family(family::HISTORY), history_key(transition));
                batch.delete_cf(self.family(family::IDS), transition.id.to_be_bytes());
            }
            dropped += 1;
            last = sequence;
        }
        if dropped > 0 {
            batch.delete_range_cf(self.family(family::TOLD), Key::number(first), Key::number(last.saturating_add(1)));
            batch.put_cf(self.family(family::META), [EXPIRED], encode(&last));
            self.db.write(batch).map_err(|error| self.failed(error))?;
        }
        Ok(dropped as u64)
    }

    /// Writes a thing told, and what points to it.
    pub(crate) fn tell(&self, batch: &mut WriteBatch, clock: Option<Time>, told: Told) {
        let key = told_key(told.sequence(), told.rank());
        let time = match &told {
            Told::Transition { transition } => {
                batch.put_cf(self.family(family::HISTORY), history_key(transition), []);
                batch.put_cf(self.family(family::IDS), transition.id.to_be_bytes(), Key::number(transition.sequence));
                batch.put_cf(self.family(family::OUTBOX), Key::number(transition.sequence), []);
                transition.time
            }
            // What comes before any clock runs is older than everything.
            Told::Born { .. } | Told::Removed { .. } => clock.unwrap_or(Time::MIN),
        };
        batch.put_cf(self.family(family::TOLD), key, encode(&(time, told)));
    }

    /// The greatest number under which something was told and is kept; 0 where there is none.
    pub(crate) fn last_told(&self) -> Result<u64, Error> {
        match self.db.iterator_cf(self.family(family::TOLD), IteratorMode::End).next() {
            Some(Ok((key, _))) => Parts(&key).u64().map_err(|damaged| self.damaged(family::TOLD, damaged)),
            Some(Err(error)) => Err(self.failed(error)),
            None => Ok(0),
        }
    }

    /// The least number in a family that is keyed by numbers.
    pub(crate) fn first_number(&self, family: &'static str) -> Result<Option<u64>, Error> {
        Ok(self.numbers(family, 0, 1)?.first().copied())
    }

    /// How many transitions with numbers from `low` on and below `beyond` wait.
    pub(crate) fn count_outbox(&self, low: u64, beyond: u64) -> Result<usize, Error> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(Key::number(beyond));
        let from = Key::number(low);
        let mode = IteratorMode::From(&from, Direction::Forward);
        let mut count = 0;
        for item in self.db.iterator_cf_opt(self.family(family::OUTBOX), options, mode) {
            item.map_err(|error| self.failed(error))?;
            count += 1;
        }
        Ok(count)
    }

    fn numbers(&self, family: &'static str, low: u64, most: usize) -> Result<Vec<u64>, Error> {
        let from = Key::number(low);
        let mode = IteratorMode::From(&from, Direction::Forward);
        self.db
            .iterator_cf(self.family(family), mode)
            .take(most)
            .map(|item| {
                let (key, _) = item.map_err(|error| self.failed(error))?;
                Parts(&key).u64().map_err(|damaged| self.damaged(family, damaged))
            })
            .collect()
    }

    fn expired(&self) -> Result<u64, Error> {
        match self.db.get_cf(self.family(family::META), [EXPIRED]).map_err(|error| self.failed(error))? {
            Some(value) => decode(&value).map_err(|damaged| self.damaged(family::META, damaged)),
            None => Ok(0),
        }
    }

    fn told_transition(&self, sequence: u64) -> Result<Option<Transition>, Error> {
        let key = told_key(sequence, TRANSITION);
        let found = self.db.get_cf(self.family(family::TOLD), key).map_err(|error| self.failed(error))?;
        let Some(value) = found else { return Ok(None) };
        match self.read_told(&value)? {
            (_, Told::Transition { transition }) => Ok(Some(transition)),
            _ => Err(self.lacking(sequence)),
        }
    }

    fn read_told(&self, value: &[u8]) -> Result<(Time, Told), Error> {
        decode(value).map_err(|damaged| self.damaged(family::TOLD, damaged))
    }

    fn lacking(&self, sequence: u64) -> Error {
        let message = format!("transition {sequence} is pointed to and missing");
        Error::Corrupt { path: self.path.clone(), message }
    }
}

fn told_key(sequence: u64, rank: u8) -> Vec<u8> {
    Key::default().u64(sequence).byte(rank).0
}

fn history_key(transition: &Transition) -> Vec<u8> {
    Key::default().element(&transition.element).u64(transition.sequence).0
}
