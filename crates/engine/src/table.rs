//! Where samples and events of a source go, by the raw keys of their series. One that is known costs a hash of its key,
//! and few lines of memory: its place in the table, its key, and its entry, which has the first target in it.

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use model::Labels;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

/// Raw series keys of one source, and what they stand for.
#[derive(Debug, Default)]
pub(crate) struct Table {
    hasher: DefaultHashBuilder,
    keys: HashTable<Key>,
    /// The bytes of all keys.
    raw: Vec<u8>,
    by_series: HashMap<(Arc<str>, Labels), u32>,
    entries: Vec<Entry>,
}

/// A raw series key, and its entry.
#[derive(Clone, Copy, Debug)]
struct Key {
    /// Where it begins in `Table::raw`.
    start: usize,
    length: u32,
    entry: u32,
}

/// Where samples of one series go.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    first: Option<Target>,
    others: Vec<Target>,
    /// Whether a row of it was taken back: it must be looked at again.
    pub(crate) stale: bool,
}

/// One lane that wants a series, and the row there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) lane: u32,
    pub(crate) row: u32,
    /// Whether the lane's stream is made of samples; else of events.
    pub(crate) samples: bool,
}

impl Key {
    fn is(&self, raw: &[u8], all: &[u8]) -> bool {
        &all[self.start..self.start + self.length as usize] == raw
    }
}

impl Entry {
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.first.iter().chain(&self.others)
    }

    pub(crate) fn push(&mut self, target: Target) {
        match self.first {
            None => self.first = Some(target),
            Some(_) => self.others.push(target),
        }
    }

    /// Takes out the targets that are this row of this lane.
    fn remove(&mut self, lane: usize, row: u32) {
        let mut kept: Vec<Target> =
            self.targets().copied().filter(|target| (target.lane as usize, target.row) != (lane, row)).collect();
        self.first = (!kept.is_empty()).then(|| kept.remove(0));
        self.others = kept;
    }
}

impl Table {
    /// The entry of a raw key, where it is known and need not be looked at again.
    #[inline]
    pub(crate) fn find(&self, raw: &[u8]) -> Option<usize> {
        let key = self.keys.find(hash(&self.hasher, raw), |key| key.is(raw, &self.raw))?;
        let entry = key.entry as usize;
        (!self.entries[entry].stale).then_some(entry)
    }

    /// Notes what a raw key stands for.
    pub(crate) fn know(&mut self, raw: &[u8], entry: usize) {
        let (hasher, all) = (&self.hasher, &self.raw);
        let rehash = |key: &Key| hash(hasher, &all[key.start..key.start + key.length as usize]);
        let known = self.keys.entry(hash(hasher, raw), |key| key.is(raw, all), rehash);
        let mut is_new = false;
        let new = || {
            is_new = true;
            Key { start: all.len(), length: raw.len() as u32, entry: 0 }
        };
        known.or_insert_with(new).into_mut().entry = entry as u32;
        if is_new {
            self.raw.extend_from_slice(raw);
        }
    }

    /// How many raw keys are known.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn at(&self, entry: usize) -> &Entry {
        &self.entries[entry]
    }

    pub(crate) fn at_mut(&mut self, entry: usize) -> &mut Entry {
        &mut self.entries[entry]
    }

    /// The entry of a series, made where there is none.
    pub(crate) fn entry(&mut self, name: &Arc<str>, labels: &Labels) -> usize {
        let next = self.entries.len() as u32;
        let entry = *self.by_series.entry((name.clone(), labels.clone())).or_insert(next);
        if entry == next {
            self.entries.push(Entry { stale: true, ..Entry::default() });
        }
        entry as usize
    }

    /// Forgets that samples of a series go to this row of this lane.
    pub(crate) fn close(&mut self, series: (Arc<str>, Labels), lane: usize, row: u32) {
        if let Some(&entry) = self.by_series.get(&series) {
            let entry = &mut self.entries[entry as usize];
            entry.remove(lane, row);
            entry.stale = true;
            if entry.first.is_none() {
                self.by_series.remove(&series);
            }
        }
    }

    /// Forgets raw keys, and the series that go nowhere; they are met anew when they come again.
    pub(crate) fn sweep(&mut self) {
        self.keys.clear();
        self.raw.clear();
        let mut kept = Vec::new();
        self.by_series.retain(|_, entry| {
            let of = std::mem::take(&mut self.entries[*entry as usize]);
            *entry = kept.len() as u32;
            let wanted = of.first.is_some();
            if wanted {
                kept.push(of);
            }
            wanted
        });
        self.entries = kept;
    }
}

#[inline]
fn hash(hasher: &DefaultHashBuilder, raw: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(raw);
    hasher.finish()
}
