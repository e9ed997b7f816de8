//! The changes of the last commits, which watchers are fed from: live ones and resumed ones alike, each at
//! its own pace. What is held is bounded, and never by what a watcher has read: one that falls behind
//! finds its place gone, and nobody has waited for it.

use super::ElementView;
use engine::state::{Change, ElementRecord, Standing};
use model::transition::Health;
use model::{Element, Transition};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use store::Store;

/// A change of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its number in the one sequence of history and watch.
    pub sequence: u64,
    /// The element before; none where it was born.
    pub before: Option<Arc<ElementView>>,
    /// The element after; none where it is gone.
    pub after: Option<Arc<ElementView>>,
    /// The transition that it was, without evidence; none for births, removals and other changes.
    pub transition: Option<Arc<Transition>>,
}

/// What one commit changed, in the order of the numbers.
#[derive(Debug)]
pub struct Commit {
    /// Its place among the commits that changed something; from 0.
    pub number: u64,
    /// The last number of the sequence that was given with it.
    pub sequence: u64,
    /// The changes; at least one.
    pub told: Vec<Told>,
}

/// What there is for a watcher.
#[derive(Debug)]
pub enum Next {
    /// The commit it asked for.
    Commit(Arc<Commit>),
    /// Nothing yet.
    Nothing,
    /// What it asked for is no longer held.
    Lost,
}

/// The last commits.
#[derive(Debug, Default)]
pub(super) struct Recent {
    commits: VecDeque<Arc<Commit>>,
    /// All changes up to this number are no longer held.
    trimmed: u64,
    /// How many changes there are in `commits`.
    changes: usize,
    most: usize,
    end: u64,
}

impl Recent {
    pub(super) fn new(sequence: u64, most: usize) -> Recent {
        Recent { trimmed: sequence, most, ..Recent::default() }
    }

    /// Takes up what the store still holds of the last changes, as one commit. It reaches back to the last
    /// removal at most: of what is gone nothing is left to show it by.
    pub(super) fn recall(&mut self, elements: &Elements, sequence: u64, store: &Store) -> Result<(), store::Error> {
        // Old changes expire from below, so what is still there begins at one place.
        let (mut from, mut known) = (sequence.saturating_sub(self.most as u64), sequence);
        while from < known {
            let middle = from + (known - from) / 2;
            match store.since(middle, 1)? {
                store::Since::Told(_) => known = middle,
                store::Since::Trimmed => from = middle + 1,
            }
        }
        let told = match store.since(known, self.most)? {
            store::Since::Told(told) => told,
            store::Since::Trimmed => Vec::new(),
        };
        let mut before = elements.clone();
        let undone = told.iter().rev().take_while(|told| undo(&mut before, told)).count();
        let (lost, kept) = told.split_at(told.len() - undone);
        if !kept.is_empty() {
            self.trimmed = lost.last().map_or(known, store::Told::sequence);
            let changes: Vec<Change> = kept.iter().map(change).collect();
            self.push(sequence, tell(&before, self.trimmed, &changes).0);
        }
        Ok(())
    }

    /// Appends a commit, and lets go of old ones as long as there are too many changes, but never of the
    /// newest: a large birth must not drop watchers that keep pace. Gives the number of the next commit.
    pub(super) fn push(&mut self, sequence: u64, told: Vec<Told>) -> u64 {
        self.changes += told.len();
        self.commits.push_back(Arc::new(Commit { number: self.end, sequence, told }));
        self.end += 1;
        while self.changes > self.most && self.commits.len() > 1 {
            if let Some(oldest) = self.commits.pop_front() {
                self.changes -= oldest.told.len();
                self.trimmed = oldest.sequence;
            }
        }
        self.end
    }

    /// The number of the next commit.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The first commit that has changes after this number; none where some are no longer held, or the
    /// number is greater than any that was given.
    pub(super) fn after(&self, after: u64, last: u64) -> Option<u64> {
        if after < self.trimmed || after > last {
            return None;
        }
        let seen = self.commits.partition_point(|commit| commit.sequence <= after);
        Some(self.end - (self.commits.len() - seen) as u64)
    }

    pub(super) fn get(&self, number: u64) -> Next {
        if number >= self.end {
            return Next::Nothing;
        }
        let first = self.end - self.commits.len() as u64;
        match number.checked_sub(first).and_then(|place| self.commits.get(place as usize)) {
            Some(commit) => Next::Commit(commit.clone()),
            None => Next::Lost,
        }
    }
}

/// Elements as they stand.
pub(super) type Elements = BTreeMap<Element, Arc<ElementView>>;

/// Elements that a commit touches, as they stand after it; none where they are gone.
pub(super) type Touched = HashMap<Element, Option<Arc<ElementView>>>;

/// Works out what a commit changes, change by change: an element with two transitions in one commit is told
/// as it stood after each. `last` is the last number given before this commit: a change that comes without a
/// number of its own, such as an error of propagation, has that one. The elements given back are those that
/// the commit touches.
pub(super) fn tell(held: &Elements, last: u64, changes: &[Change]) -> (Vec<Told>, Touched) {
    let mut told = Vec::new();
    let mut elements = Touched::new();
    let records: HashMap<&Element, Option<&ElementRecord>> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Element { element, record, .. } => Some((element, record.as_ref())),
            _ => None,
        })
        .collect();
    let mut pending: HashMap<&Element, usize> = HashMap::new();
    let mut numbered: Vec<(u64, &Change)> = Vec::new();
    for change in changes {
        match change {
            Change::Transition(transition) => {
                *pending.entry(&transition.element).or_default() += 1;
                numbered.push((transition.sequence, change));
            }
            Change::Element { sequence, .. } => numbered.push(((*sequence).max(last), change)),
            _ => {}
        }
    }
    // A record may come under the number of the transition that changed it, and then belongs behind it.
    numbered.sort_by_key(|(sequence, change)| (*sequence, matches!(change, Change::Element { .. })));

    for (sequence, change) in numbered {
        match change {
            Change::Transition(transition) => {
                let element = &transition.element;
                if let Some(left) = pending.get_mut(element) {
                    *left -= 1;
                }
                let before = stands(&elements, held, element);
                let base = match (&before, records.get(element)) {
                    (Some(before), _) => before.record.clone(),
                    (None, Some(Some(record))) => unspoken(record),
                    // Born and gone in this one commit: there is nothing to show it by.
                    (None, _) => continue,
                };
                let record = with_transition(base, transition);
                let after = Some(Arc::new(ElementView { element: element.clone(), record }));
                elements.insert(element.clone(), after.clone());
                let transition = Arc::new(Transition { evidence: "".into(), ..transition.clone() });
                told.push(Told { sequence, before, after, transition: Some(transition) });
            }
            Change::Element { element, record: Some(record), .. } => {
                let before = stands(&elements, held, element);
                let mut record = record.clone();
                if pending.get(element).is_some_and(|left| *left > 0) {
                    // Its transitions come later in this commit: until then it stands as before.
                    let standing = before.as_ref().map(|before| &before.record);
                    record.own = standing.map(|record| record.own.clone()).unwrap_or_default();
                    record.propagated = standing.map(|record| record.propagated.clone()).unwrap_or_default();
                }
                if before.as_ref().is_some_and(|before| before.record == record) {
                    continue;
                }
                let after = Some(Arc::new(ElementView { element: element.clone(), record }));
                elements.insert(element.clone(), after.clone());
                let same = |told: &&mut Told| told.sequence == sequence && told.element() == Some(element);
                match told.last_mut().filter(same) {
                    Some(last) => last.after = after,
                    None => told.push(Told { sequence, before, after, transition: None }),
                }
            }
            Change::Element { element, record: None, .. } => {
                let before = stands(&elements, held, element);
                elements.insert(element.clone(), None);
                if before.is_some() {
                    told.push(Told { sequence, before, after: None, transition: None });
                }
            }
            _ => {}
        }
    }
    // Whatever the order within the commit was: what it says of an element is how it stands.
    for (element, record) in records {
        let stands = record.map(|record| Arc::new(ElementView { element: element.clone(), record: record.clone() }));
        elements.insert(element.clone(), stands);
    }
    (told, elements)
}

impl Told {
    /// The element that changed.
    pub fn element(&self) -> Option<&Element> {
        self.after.as_ref().or(self.before.as_ref()).map(|shown| &shown.element)
    }
}

fn stands(elements: &Touched, held: &Elements, element: &Element) -> Option<Arc<ElementView>> {
    match elements.get(element) {
        Some(stands) => stands.clone(),
        None => held.get(element).cloned(),
    }
}

/// An element as it is born, before its first transition.
fn unspoken(record: &ElementRecord) -> ElementRecord {
    ElementRecord { own: Standing::default(), propagated: Standing::default(), ..record.clone() }
}

fn with_transition(mut record: ElementRecord, transition: &Transition) -> ElementRecord {
    let standing = match transition.health {
        Health::Own => &mut record.own,
        Health::Propagated => &mut record.propagated,
    };
    *standing = Standing {
        state: transition.to,
        since: Some(transition.time),
        sequence: transition.sequence,
        message: transition.message.clone(),
    };
    record
}

/// Takes back what was told. Not possible where an element was taken away, or is not there.
fn undo(elements: &mut Elements, told: &store::Told) -> bool {
    match told {
        store::Told::Born { element, .. } => elements.remove(element).is_some(),
        store::Told::Transition { transition } => {
            let Some(shown) = elements.get_mut(&transition.element) else { return false };
            let record = &mut Arc::make_mut(shown).record;
            let standing = match transition.health {
                Health::Own => &mut record.own,
                Health::Propagated => &mut record.propagated,
            };
            *standing = Standing { state: transition.from, ..Standing::default() };
            true
        }
        store::Told::Removed { .. } => false,
    }
}

fn change(told: &store::Told) -> Change {
    match told.clone() {
        store::Told::Born { sequence, element, record } => Change::Element { sequence, element, record: Some(record) },
        store::Told::Transition { transition } => Change::Transition(transition),
        store::Told::Removed { sequence, element } => Change::Element { sequence, element, record: None },
    }
}
