//! Records as they come from a source: one contiguous buffer for a batch, and an index into it.

use crate::Time;
use std::ops::Range;
use std::sync::Arc;

/// Records of one partition, in the order of their offsets.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Which source it was read for: its place in `Definitions::sources`.
    pub source: usize,
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The shell's clock when the batch was polled: the arrival of records without a broker's time.
    pub polled_at_ns: i64,
    /// The bytes that `records` and `headers` point into.
    pub buffer: Vec<u8>,
    /// One entry for each record.
    pub records: Vec<RecordIndex>,
    /// Headers of all records, as ranges of name and value.
    pub headers: Vec<(Range<u32>, Option<Range<u32>>)>,
}

/// Where one record lies in its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordIndex {
    /// The offset in the partition.
    pub offset: i64,
    /// The record's own time in milliseconds since the epoch, where it has one.
    pub timestamp_ms: Option<i64>,
    /// Whether that time is the broker's append time; else it is the producer's.
    pub appended: bool,
    /// The key's bytes; none where it is null.
    pub key: Option<Range<u32>>,
    /// The value's bytes; none where it is null.
    pub value: Option<Range<u32>>,
    /// Its entries in `Batch::headers`.
    pub headers: Range<u32>,
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The offset in the partition.
    pub offset: i64,
    /// The record's own time in milliseconds since the epoch, where it has one.
    pub timestamp_ms: Option<i64>,
    /// The key; none where it is null.
    pub key: Option<&'a [u8]>,
    /// The value; none where it is null.
    pub value: Option<&'a [u8]>,
    /// The batch, for headers.
    batch: &'a Batch,
    /// Which of the batch's headers are this record's.
    headers: (u32, u32),
}

impl Batch {
    /// An empty batch of this partition.
    pub fn new(source: usize, topic: Arc<str>, partition: i32, polled_at: Time) -> Batch {
        Batch { source, topic, partition, polled_at_ns: polled_at.nanos(), ..Batch::default() }
    }

    /// Appends a record. Offsets ascend; the buffer stays under 4 GiB.
    pub fn push<'h>(
        &mut self,
        offset: i64,
        timestamp_ms: Option<i64>,
        appended: bool,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) {
        let key = key.map(|bytes| self.copy(bytes));
        let value = value.map(|bytes| self.copy(bytes));
        let first = self.headers.len() as u32;
        for (name, value) in headers {
            let name = self.copy(name.as_bytes());
            let value = value.map(|bytes| self.copy(bytes));
            self.headers.push((name, value));
        }
        let headers = first..self.headers.len() as u32;
        self.records.push(RecordIndex { offset, timestamp_ms, appended, key, value, headers });
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<u32> {
        let start = self.buffer.len() as u32;
        self.buffer.extend_from_slice(bytes);
        start..self.buffer.len() as u32
    }

    /// The record at a place in the index.
    #[inline]
    pub fn record(&self, place: usize) -> Record<'_> {
        let index = &self.records[place];
        Record {
            offset: index.offset,
            timestamp_ms: index.timestamp_ms,
            key: index.key.clone().map(|range| self.bytes(range)),
            value: index.value.clone().map(|range| self.bytes(range)),
            batch: self,
            headers: (index.headers.start, index.headers.end),
        }
    }

    /// When the record at a place in the index arrived: the broker's append time where the topic has
    /// it, else the time of the poll.
    #[inline]
    pub fn arrival(&self, place: usize) -> Time {
        let index = &self.records[place];
        match index.timestamp_ms.filter(|_| index.appended).and_then(Time::from_millis) {
            Some(appended) => appended,
            None => Time::from_nanos(self.polled_at_ns),
        }
    }

    #[inline]
    fn bytes(&self, range: Range<u32>) -> &[u8] {
        &self.buffer[range.start as usize..range.end as usize]
    }
}

impl<'a> Record<'a> {
    /// The headers: name and value.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let batch = self.batch;
        batch.headers[self.headers.0 as usize..self.headers.1 as usize]
            .iter()
            .map(|(name, value)| (batch.bytes(name.clone()), value.clone().map(|range| batch.bytes(range))))
    }
}
