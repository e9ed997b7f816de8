//! Where decoders put what they find: one buffer of bytes, and samples and events that point into it.
//! It is kept from record to record, so that the steady state allocates nothing.

use crate::shape::Shape;
use crate::tape::Tape;
use model::{Labels, Reason, Time};
use std::ops::Range;
use std::sync::Arc;

/// How many bytes may be written for one record. A hostile one could repeat long labels for each of many values.
const MAX_UNFOLDED_BYTES: usize = 64 << 20;

/// Between the parts of a raw series key: a byte that UTF-8 never holds.
pub(crate) const SEPARATOR: u8 = 0xFF;

/// What was found in records since the last `clear`.
#[derive(Debug, Default)]
pub struct Decoded {
    /// What the ranges of samples and events point into.
    pub bytes: Vec<u8>,
    /// Samples, in the order of their bytes. Values are finite.
    pub samples: Vec<Sample>,
    /// Events, in the order of their bytes.
    pub events: Vec<RawEvent>,
    /// What could not be used: at most one entry for each reason.
    pub rejects: Vec<Reject>,
    /// The document that is being read, kept for its memory.
    pub(crate) tape: Tape,
    /// The shape of the document that was read last.
    pub(crate) shape: Shape,
    /// The length of `bytes` before the record that is being read.
    start: usize,
    /// How many bytes were written for that record, those that were taken back again too.
    written: usize,
}

/// One measured value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The raw series key, in `Decoded::bytes`.
    pub series: Range<u32>,
    /// When it was measured.
    pub time: Time,
    /// The value, finite.
    pub value: f64,
    /// What the value means.
    pub kind: Kind,
}

/// What a value means beside the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A reading that stands for itself.
    Gauge,
    /// A total since some start, which grows until it starts again.
    Cumulative,
    /// What was added since the previous sample.
    Delta,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEvent {
    /// A raw series key, in `Decoded::bytes`: its name is the event's type.
    pub series: Range<u32>,
    /// When it happened.
    pub time: Time,
    /// The text of one JSON object, in `Decoded::bytes`. Its numbers may be larger than any double.
    pub body: Range<u32>,
    /// What tells it from all other events, in `Decoded::bytes`, where the source says and the event has it.
    pub identity: Option<Range<u32>>,
}

/// Something that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub reason: Reason,
    /// How many samples, events, lines or records.
    pub count: u32,
    /// What was found and what was wanted, of the first of them.
    pub detail: String,
}

/// Name and labels of a raw series key: name, then label and value in turn, with a byte 0xFF between them.
/// Two keys may differ in the order of their labels and yet be the same series; of a label that
/// stands twice the last value counts. `name_of` gives the names of metrics and labels: a million series share few.
pub fn series(raw: &[u8], mut name_of: impl FnMut(&str) -> Arc<str>) -> (Arc<str>, Labels) {
    let mut parts = raw.split(|byte| *byte == SEPARATOR).map(String::from_utf8_lossy);
    let name = name_of(&parts.next().unwrap_or_default());
    let mut pairs: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    while let (Some(label), Some(value)) = (parts.next(), parts.next()) {
        pairs.push((name_of(&label), value.into()));
    }
    (name, Labels::new(pairs))
}

impl Decoded {
    /// Forgets everything but the memory it holds.
    #[inline]
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.samples.clear();
        self.events.clear();
        self.rejects.clear();
    }

    /// The bytes of a range.
    #[inline]
    pub fn slice(&self, range: &Range<u32>) -> &[u8] {
        &self.bytes[range.start as usize..range.end as usize]
    }

    /// Counts something that cannot be used; the detail is asked for only where it is the first.
    pub(crate) fn reject(&mut self, reason: Reason, detail: impl FnOnce() -> String) {
        match self.rejects.iter_mut().find(|reject| reject.reason == reason) {
            Some(reject) => reject.count = reject.count.saturating_add(1),
            None => self.rejects.push(Reject { reason, count: 1, detail: detail() }),
        }
    }

    /// Decodes one record: what fails is counted, and so is a record that holds nothing.
    pub(crate) fn record(&mut self, decode: impl FnOnce(&mut Decoded) -> Result<(), Fault>) {
        self.start = self.bytes.len();
        self.written = 0;
        let (samples, events, rejected) = (self.samples.len(), self.events.len(), self.rejected());
        if let Err(fault) = decode(self) {
            self.undo(self.start, samples, events, fault);
        } else if samples == self.samples.len() && events == self.events.len() && rejected == self.rejected() {
            self.reject(Reason::NothingInside, || "no sample or event inside".to_owned());
        }
    }

    /// Decodes a part of a record that stands for itself: where it fails, it is counted and the rest goes on.
    /// Only a fault of the whole record is handed on.
    pub(crate) fn part(&mut self, decode: impl FnOnce(&mut Decoded) -> Result<(), Fault>) -> Result<(), Fault> {
        let (bytes, samples, events) = (self.bytes.len(), self.samples.len(), self.events.len());
        match decode(self) {
            Err(fault) if !fault.whole => {
                self.undo(bytes, samples, events, fault);
                Ok(())
            }
            result => result,
        }
    }

    /// Decodes a whole record by a way that knows good ones only. Otherwise all is as before, and gives `false`.
    pub(crate) fn attempt(&mut self, decode: impl FnOnce(&mut Decoded) -> Option<()>) -> bool {
        let samples = self.samples.len();
        // Where `room` is about to end, the other way alone knows when.
        let done = decode(self).is_some() && self.has_room() && self.unfolded() < MAX_UNFOLDED_BYTES / 2;
        if !done {
            self.bytes.truncate(self.start);
            self.samples.truncate(samples);
            self.written = 0;
        }
        done
    }

    fn undo(&mut self, bytes: usize, samples: usize, events: usize, fault: Fault) {
        self.bytes.truncate(bytes);
        self.samples.truncate(samples);
        self.events.truncate(events);
        self.reject(fault.reason, || fault.detail);
    }

    #[inline]
    fn rejected(&self) -> u64 {
        self.rejects.iter().map(|reject| u64::from(reject.count)).sum()
    }

    /// The place where the next bytes will lie.
    pub(crate) fn place(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// Appends a part of a raw series key.
    #[inline]
    pub(crate) fn text(&mut self, text: &[u8]) {
        self.written += text.len();
        self.bytes.extend_from_slice(text);
    }

    /// Appends parts of a raw series key that have other bytes at these places between them.
    pub(crate) fn keyed(&mut self, text: &[u8], places: &[usize]) -> Range<u32> {
        let start = self.bytes.len();
        self.text(text);
        self.written -= places.len();
        for place in places {
            self.bytes[start + place] = SEPARATOR;
        }
        start as u32..self.place()
    }

    /// Ends a part of a raw series key.
    pub(crate) fn separate(&mut self) {
        self.bytes.push(SEPARATOR);
    }

    /// Appends what lies at an earlier place once more.
    #[inline]
    pub(crate) fn again(&mut self, range: Range<u32>) -> Result<(), Fault> {
        self.written += range.len();
        if !self.has_room() {
            return Err(no_room());
        }
        self.bytes.extend_from_within(range.start as usize..range.end as usize);
        Ok(())
    }

    /// Appends a sample whose key begins at `start` and ends here. A value that is not finite is refused.
    #[inline]
    pub(crate) fn sample(&mut self, start: u32, time: Time, value: f64, kind: Kind) -> Result<(), Fault> {
        if !self.has_room() {
            return Err(no_room());
        }
        if value.is_finite() {
            self.samples.push(Sample { series: start..self.place(), time, value, kind });
        } else {
            self.not_finite(start, value);
        }
        Ok(())
    }

    #[cold]
    fn not_finite(&mut self, start: u32, value: f64) {
        let name = shorten(&self.bytes[start as usize..]);
        self.bytes.truncate(start as usize);
        self.reject(Reason::NotFinite, || format!("value of `{name}` is {value}"));
    }

    /// How many bytes were written for the record, or would be if none were taken back.
    fn unfolded(&self) -> usize {
        self.written.max(self.bytes.len() - self.start)
    }

    /// Fails where the record has unfolded to more than may be held for it.
    #[inline]
    pub(crate) fn room(&self) -> Result<(), Fault> {
        if self.has_room() { Ok(()) } else { Err(no_room()) }
    }

    /// Whether the record has unfolded to no more than may be held for it.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        // Ranges are of 32 bits: a buffer that is never cleared must not outgrow them.
        self.unfolded() <= MAX_UNFOLDED_BYTES && self.bytes.len() <= u32::MAX as usize / 2
    }
}

#[cold]
fn no_room() -> Fault {
    let detail = format!("unfolds to more than {MAX_UNFOLDED_BYTES} bytes");
    Fault { reason: Reason::Oversized, detail, whole: true }
}

/// Why something cannot be used.
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
    /// Whether nothing of the record can be used then.
    pub(crate) whole: bool,
}

impl Fault {
    /// A sample, an event or a line cannot be used.
    pub(crate) fn part(reason: Reason, detail: impl Into<String>) -> Fault {
        Fault { reason, detail: detail.into(), whole: false }
    }

    /// The bytes of a record are not what the format says.
    pub(crate) fn undecodable(detail: impl Into<String>) -> Fault {
        Fault { reason: Reason::Undecodable, detail: detail.into(), whole: true }
    }
}

/// The beginning of a text in one line, for messages; of a raw series key its name.
pub(crate) fn shorten(text: &[u8]) -> String {
    let name = text.split(|byte| *byte == SEPARATOR).next().unwrap_or_default();
    let cut = &name[..name.len().min(80)];
    let mut shown = String::from_utf8_lossy(cut).replace(char::is_control, " ");
    if cut.len() < name.len() {
        shown.push('…');
    }
    shown
}
