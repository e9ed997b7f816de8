//! Writing a commit as one batch, and giving back at a start what the last one left.

use crate::key::{Key, Parts};
use crate::records::{Damaged, Wire, decode, encode};
use crate::times::Times;
use crate::told::Told;
use crate::{Committed, Durability, Error, Store, family, points};
use engine::state::{AgendaRecord, Change, Entry, Restored};
use model::{Element, Time};
use rocksdb::{ReadOptions, WriteBatch, WriteOptions};
use std::collections::HashMap;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

/// What stands first in the keys of `family::META`.
mod meta {
    pub(super) const SOURCE: u8 = b's';
    pub(super) const PARTITION: u8 = b'p';
    pub(super) const AGENDA: u8 = b'a';
    pub(super) const BASELINE: u8 = b'b';
    pub(super) const SEQUENCE: u8 = b'q';
    pub(super) const TIMES: u8 = b't';
    /// The number of the last piece of points.
    pub(super) const PUBLISHED: u8 = b'u';
}

impl Store {
    /// Writes all changes or none, in their order. With `sync` the log is flushed to the disk before this
    /// returns, unless the store's durability is that of the process. After an error the process stops.
    pub fn commit(&self, changes: &[Change], sync: bool) -> Result<Committed, Error> {
        let mut batch = WriteBatch::default();
        let clock = clock_after(self.clock(), changes);
        let mut present = HashMap::new();
        let (mut transitions, mut trimmed, mut points) = (0, 0, 0);
        for change in changes {
            match change {
                Change::Source { name, record } => {
                    put(self, &mut batch, family::META, Key::default().byte(meta::SOURCE).text(name), record);
                }
                Change::Partition { key, record } => {
                    put(self, &mut batch, family::META, Key::default().byte(meta::PARTITION).partition(key), record);
                }
                Change::Agenda { sources, record } => {
                    put(self, &mut batch, family::META, Key::default().byte(meta::AGENDA).texts(sources), record);
                }
                Change::Sequence(sequence) => {
                    put(self, &mut batch, family::META, Key::default().byte(meta::SEQUENCE), sequence);
                }
                Change::Publish { number, topic, messages } => {
                    points += 1;
                    batch.put_cf(self.family(family::POINTS), Key::number(*number), points::write(topic, messages));
                    put(self, &mut batch, family::META, Key::default().byte(meta::PUBLISHED), number);
                }
                Change::Instance { feed, labels, record } => {
                    let key = Key::default().u64(*feed).labels(labels);
                    put_or_delete(self, &mut batch, family::INSTANCES, key, record.as_ref());
                }
                Change::Times { column, piece, times } => {
                    let key = Key::default().byte(meta::TIMES).column(column).u32(*piece);
                    let times = Some(Times(times.clone())).filter(|times| !times.0.is_empty());
                    put_or_delete(self, &mut batch, family::META, key, times.as_ref());
                }
                // Only to be looked at.
                Change::Newest { .. } => {}
                Change::Check { key, record } => {
                    put_or_delete(self, &mut batch, family::CHECKS, Key::default().check(key), record.as_ref());
                }
                Change::Block { number, record } => {
                    put_or_delete(self, &mut batch, family::BLOCKS, Key::default().u64(*number), record.as_ref());
                }
                Change::Element { element, sequence, record } => {
                    let was = match present.insert(element, record.is_some()) {
                        Some(was) => was,
                        None => self.has_element(element)?,
                    };
                    let (element, sequence) = (element.clone(), *sequence);
                    let key = Key::default().element(&element);
                    put_or_delete(self, &mut batch, family::ELEMENTS, key, record.as_ref());
                    match record {
                        Some(record) if !was => {
                            self.tell(&mut batch, clock, Told::Born { sequence, element, record: record.clone() });
                        }
                        None if was => self.tell(&mut batch, clock, Told::Removed { sequence, element }),
                        _ => {}
                    }
                }
                Change::Baseline { key, head } => {
                    let place = Key::default().byte(meta::BASELINE).u64(*key);
                    put_or_delete(self, &mut batch, family::META, place, head.as_ref());
                    if head.is_none() {
                        let (first, beyond) = (Key::number(*key).to_vec(), Key::beyond(*key).0);
                        for of_baseline in [family::BASELINES, family::COLUMNS, family::MODELS] {
                            batch.delete_range_cf(self.family(of_baseline), first.clone(), beyond.clone());
                        }
                        self.columns_low().remove(key);
                    }
                }
                Change::BaselineInstance { key, labels, record } => {
                    let place = Key::default().u64(*key).labels(labels);
                    put_or_delete(self, &mut batch, family::BASELINES, place, record.as_ref());
                }
                Change::Column { key, end, record } => {
                    put(self, &mut batch, family::COLUMNS, Key::default().u64(*key).time(*end), record);
                    // What comes below what was trimmed is trimmed like all else.
                    self.columns_low().entry(*key).and_modify(|low| *low = (*low).min(*end));
                }
                Change::ColumnTrim { key, before } => {
                    // From where the last one ended: ranges that lie on top of each other make reading slow.
                    let mut lows = self.columns_low();
                    let low = lows.entry(*key).or_insert(Time::MIN);
                    if *before > *low {
                        let [from, to] = [*low, *before].map(|end| Key::default().u64(*key).time(end).0);
                        batch.delete_range_cf(self.family(family::COLUMNS), from, to);
                        *low = *before;
                    }
                }
                Change::Model { key, row, record } => {
                    let place = Key::default().u64(*key).u32(*row);
                    put_or_delete(self, &mut batch, family::MODELS, place, record.as_ref());
                }
                Change::Journal { number, entry } => {
                    put(self, &mut batch, family::JOURNAL, Key::default().u64(*number), entry);
                }
                Change::JournalTrim { below } => {
                    let low = self.journal_low.load(Ordering::Relaxed);
                    if !self.keep_journal && *below > low.max(trimmed) {
                        batch.delete_range_cf(self.family(family::JOURNAL), Key::number(low), Key::number(*below));
                        trimmed = *below;
                    }
                }
                Change::Transition(transition) => {
                    transitions += 1;
                    self.tell(&mut batch, clock, Told::Transition { transition: transition.clone() });
                }
            }
        }

        let committed = Committed { bytes: batch.size_in_bytes() };
        let sync = sync && self.durability == Durability::Power;
        // Counted before: whoever sees a transition in the outbox finds it counted.
        self.outbox_len.fetch_add(transitions, Ordering::SeqCst);
        self.points_len.fetch_add(points, Ordering::SeqCst);
        let written = if batch.is_empty() {
            if sync { self.db.flush_wal(true) } else { Ok(()) }
        } else {
            let mut how = WriteOptions::default();
            how.set_sync(sync);
            self.db.write_opt(batch, &how)
        };
        if let Err(error) = written {
            self.outbox_len.fetch_sub(transitions, Ordering::SeqCst);
            self.points_len.fetch_sub(points, Ordering::SeqCst);
            return Err(self.failed(error));
        }
        self.journal_low.fetch_max(trimmed, Ordering::Relaxed);
        self.clock_ns.store(clock.map_or(i64::MIN, Time::nanos), Ordering::Relaxed);
        Ok(committed)
    }

    /// Everything that is kept, in the order of keys.
    pub fn restore(&self) -> Result<Restored, Error> {
        Ok(Restored {
            blocks: self.scan(family::BLOCKS, |key, value| Ok((key.u64()?, decode(value)?)))?,
            columns: self.scan(family::COLUMNS, |key, value| Ok((key.u64()?, key.time()?, decode(value)?)))?,
            models: self.scan(family::MODELS, |key, value| Ok((key.u64()?, key.u32()?, decode(value)?)))?,
            journal: self.journal()?,
            ..self.restore_outline()?
        })
    }

    /// The same without what is large and says little by itself: blocks, columns, models, the journal.
    pub(crate) fn restore_outline(&self) -> Result<Restored, Error> {
        let mut restored = Restored {
            sources: self.meta(meta::SOURCE, |key, value| Ok((key.text()?, decode(value)?)))?,
            partitions: self.meta(meta::PARTITION, |key, value| Ok((key.partition()?, decode(value)?)))?,
            agendas: self.meta(meta::AGENDA, |key, value| Ok((key.texts()?, decode(value)?)))?,
            instances: self.scan(family::INSTANCES, |key, value| Ok((key.u64()?, key.labels()?, decode(value)?)))?,
            checks: self.scan(family::CHECKS, |key, value| Ok((key.check()?, decode(value)?)))?,
            times: self.meta(meta::TIMES, |key, value| Ok((key.column()?, key.u32()?, decode::<Times>(value)?.0)))?,
            elements: self.scan(family::ELEMENTS, |key, value| Ok((key.element()?, decode(value)?)))?,
            baselines: self.meta(meta::BASELINE, |key, value| Ok((key.u64()?, decode(value)?)))?,
            baseline_instances: self
                .scan(family::BASELINES, |key, value| Ok((key.u64()?, key.labels()?, decode(value)?)))?,
            sequence: self.last_sequence()?,
            published: self.meta(meta::PUBLISHED, |_, value| decode(value))?.into_iter().fold(0, u64::max),
            ..Restored::default()
        };
        restored.put_times();
        Ok(restored)
    }

    /// What the shell said, by number: what is not trimmed.
    pub fn journal(&self) -> Result<Vec<(u64, Entry)>, Error> {
        let from = Key::number(self.journal_low.load(Ordering::Relaxed));
        self.scan_from(family::JOURNAL, &from, |_| true, |key, value| Ok((key.u64()?, decode(value)?)))
    }

    /// The last number given. It does not go back even where a commit told more than it counted.
    pub(crate) fn last_sequence(&self) -> Result<u64, Error> {
        let counted: Vec<u64> = self.meta(meta::SEQUENCE, |_, value| decode(value))?;
        let told = self.last_told()?;
        Ok(counted.into_iter().fold(told, u64::max))
    }

    /// The latest place of any agenda: the clock by which history ages.
    pub(crate) fn clock(&self) -> Option<Time> {
        Some(Time::from_nanos(self.clock_ns.load(Ordering::Relaxed))).filter(|clock| *clock != Time::MIN)
    }

    /// The same, as it lies on the disk.
    pub(crate) fn stored_clock(&self) -> Result<Option<Time>, Error> {
        let agendas: Vec<AgendaRecord> = self.meta(meta::AGENDA, |_, value| decode(value))?;
        Ok(agendas.iter().filter_map(|record| Some(record.place?.time)).max())
    }

    /// Changed while a batch is made: where it cannot be written the process stops.
    fn columns_low(&self) -> MutexGuard<'_, HashMap<u64, Time>> {
        self.columns_low.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn has_element(&self, element: &Element) -> Result<bool, Error> {
        let key = Key::default().element(element).0;
        let found = self.db.get_pinned_cf(self.family(family::ELEMENTS), key).map_err(|error| self.failed(error))?;
        Ok(found.is_some())
    }

    fn meta<T>(
        &self,
        kind: u8,
        mut read: impl FnMut(&mut Parts<'_>, &[u8]) -> Result<T, Damaged>,
    ) -> Result<Vec<T>, Error> {
        let of_kind = |key: &[u8]| key.first() == Some(&kind);
        self.scan_from(family::META, &[kind], of_kind, |key, value| {
            key.byte()?;
            read(key, value)
        })
    }

    fn scan<T>(
        &self,
        family: &'static str,
        read: impl FnMut(&mut Parts<'_>, &[u8]) -> Result<T, Damaged>,
    ) -> Result<Vec<T>, Error> {
        self.scan_from(family, &[], |_| true, read)
    }

    /// Reads the records of a family in the order of their keys, for as long as keys are wanted.
    pub(crate) fn scan_from<T>(
        &self,
        family: &'static str,
        from: &[u8],
        wanted: impl Fn(&[u8]) -> bool,
        mut read: impl FnMut(&mut Parts<'_>, &[u8]) -> Result<T, Damaged>,
    ) -> Result<Vec<T>, Error> {
        let mut how = ReadOptions::default();
        // What is read once at a start is not worth a place in the cache.
        how.fill_cache(false);
        let mut records = self.db.raw_iterator_cf_opt(self.family(family), how);
        records.seek(from);
        let mut found = Vec::new();
        while let Some((key, value)) = records.item().filter(|(key, _)| wanted(key)) {
            found.push(read(&mut Parts(key), value).map_err(|damaged| self.damaged(family, damaged))?);
            records.next();
        }
        records.status().map_err(|error| self.failed(error))?;
        Ok(found)
    }
}

pub(crate) fn put<T: Wire>(store: &Store, batch: &mut WriteBatch, family: &str, key: Key, record: &T) {
    batch.put_cf(store.family(family), key.0, encode(record));
}

fn put_or_delete<T: Wire>(store: &Store, batch: &mut WriteBatch, family: &str, key: Key, record: Option<&T>) {
    match record {
        Some(record) => put(store, batch, family, key, record),
        None => batch.delete_cf(store.family(family), key.0),
    }
}

/// The clock once these changes are written.
fn clock_after(clock: Option<Time>, changes: &[Change]) -> Option<Time> {
    let places = changes.iter().filter_map(|change| match change {
        Change::Agenda { record, .. } => Some(record.place?.time),
        _ => None,
    });
    clock.into_iter().chain(places).max()
}
