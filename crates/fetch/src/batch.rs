//! Record batches (format 2) as they lie in a response, and the index of records over them.
//!
//! What is not compressed is never copied: the bytes of the response are the buffer of the batch that goes to the
//! engine, with headers of batches between the records.

use crate::codec::Codecs;
use crate::fetching::Aborted;
use crate::wire::Malformed;
use model::record::{Batch, RecordIndex};
use std::ops::Range;

/// Length of a batch's header.
pub(crate) const HEADER: usize = 61;
/// What its length does not count: the base offset, and the length itself.
pub(crate) const UNCOUNTED: usize = 12;
/// What its checksum does not cover.
pub(crate) const UNCOVERED: usize = 21;
/// The shortest record: seven fields of a byte.
const SHORTEST: usize = 7;
/// Unpacked records go on when they are so many bytes.
const UNPACKED_BYTES: usize = 1 << 20;
/// Memory of each kind that is kept for the next records.
const SPARE_BYTES: usize = 8 << 20;

/// How far the whole batches at the beginning of some bytes go. Only headers are looked at, so that the next request
/// can be under way while the records are read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ahead {
    pub(crate) next_offset: i64,
    /// The epoch of the last batch, if there is one.
    pub(crate) epoch: Option<i32>,
    /// In bytes; what lies behind was cut short.
    pub(crate) length: usize,
    /// The longest of them.
    pub(crate) longest: usize,
    /// Whether any is compressed.
    packed: bool,
}

/// Hops over the whole batches, coming from an offset.
pub(crate) fn ahead(bytes: &[u8], from: i64) -> Ahead {
    let mut ahead = Ahead { next_offset: from, epoch: None, length: 0, longest: 0, packed: false };
    while let Ok(Some(header)) = Header::read(&bytes[ahead.length..]) {
        ahead.next_offset = ahead.next_offset.max(header.last_offset.saturating_add(1));
        ahead.epoch = Some(header.epoch);
        ahead.length += header.length;
        ahead.longest = ahead.longest.max(header.length);
        ahead.packed |= header.codec() != 0;
    }
    ahead
}

/// What cannot be read, and from where on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the batch at offset {offset}: {reason}")]
pub(crate) struct Unreadable {
    /// Reading can go on here, when whatever is wrong is mended.
    pub(crate) offset: i64,
    pub(crate) reason: String,
}

/// Memory that has been used and may be used again: fresh memory costs more than what is done with it.
#[derive(Default)]
pub(crate) struct Spare {
    batches: Vec<Batch>,
    /// For what comes from the socket.
    fetching: Vec<Vec<u8>>,
    /// For what is unpacked.
    unpacking: Vec<Vec<u8>>,
    /// What came last was compressed: batches hold what was unpacked, and else what came from the socket.
    packed: bool,
}

impl Spare {
    /// Keeps a batch's memory, as long as there is little of it.
    pub(crate) fn keep(&mut self, mut batch: Batch) {
        let buffer = std::mem::take(&mut batch.buffer);
        keep_buffer(if self.packed { &mut self.unpacking } else { &mut self.fetching }, buffer);
        let held: usize = self.batches.iter().map(index_bytes).sum();
        if held + index_bytes(&batch) <= SPARE_BYTES {
            batch.records.clear();
            batch.headers.clear();
            self.batches.push(batch);
        }
    }

    /// Takes the buffers for what comes next from the socket.
    pub(crate) fn take_fetching(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.fetching)
    }

    /// Takes back those that were not needed.
    pub(crate) fn keep_fetching(&mut self, buffers: Vec<Vec<u8>>) {
        buffers.into_iter().for_each(|buffer| keep_buffer(&mut self.fetching, buffer));
    }

    /// An empty buffer to unpack into.
    fn unpacking(&mut self) -> Vec<u8> {
        let mut buffer = self.unpacking.pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    /// An empty batch of the same partition as `like`.
    fn blank(&mut self, like: &Batch) -> Batch {
        let used = self.batches.pop().unwrap_or_default();
        Batch {
            source: like.source,
            topic: like.topic.clone(),
            partition: like.partition,
            polled_at_ns: like.polled_at_ns,
            ..used
        }
    }
}

fn keep_buffer(buffers: &mut Vec<Vec<u8>>, buffer: Vec<u8>) {
    let held: usize = buffers.iter().map(Vec::capacity).sum();
    if buffer.capacity() > 0 && held + buffer.capacity() <= SPARE_BYTES {
        buffers.push(buffer);
    }
}

fn index_bytes(batch: &Batch) -> usize {
    batch.records.capacity() * size_of::<RecordIndex>()
}

/// What a response has of one partition: read piece by piece, so that little memory holds what is unpacked.
pub(crate) struct Section {
    /// An empty batch of the partition.
    like: Batch,
    records: Vec<u8>,
    /// How far it is read, in bytes.
    at: usize,
    /// How far it is read: the next record.
    pub(crate) next_offset: i64,
    hidden: Hidden,
    /// Whether any batch is compressed.
    packed: bool,
    unreadable: Option<Unreadable>,
}

impl Section {
    pub(crate) fn new(like: Batch, records: Vec<u8>, from: i64, aborted: &[Aborted]) -> Section {
        let packed = ahead(&records, from).packed;
        let hidden = Hidden::new(aborted);
        Section { like, records, at: 0, next_offset: from, hidden, packed, unreadable: None }
    }
}

/// Reads records out of sections.
pub(crate) struct Opener {
    pub(crate) check_crcs: bool,
    pub(crate) codecs: Codecs,
    pub(crate) spare: Spare,
}

impl Opener {
    /// The next records of a section, none at its end. What comes before something unreadable comes before the error.
    pub(crate) fn next(&mut self, section: &mut Section) -> Result<Option<Batch>, Unreadable> {
        if section.unreadable.is_none() && section.at < section.records.len() {
            self.spare.packed = section.packed;
            let mut batch = self.spare.blank(&section.like);
            let outcome =
                if section.packed { self.unpack(section, &mut batch) } else { self.index(section, &mut batch) };
            section.unreadable = outcome.err().map(|reason| Unreadable { offset: section.next_offset, reason });
            if !batch.records.is_empty() {
                return Ok(Some(batch));
            }
            self.spare.keep(batch);
        }
        self.spare.keep_fetching(vec![std::mem::take(&mut section.records)]);
        section.unreadable.take().map_or(Ok(None), Err)
    }

    /// Over batches that are their own buffer, to the end.
    fn index(&self, section: &mut Section, batch: &mut Batch) -> Result<(), String> {
        batch.buffer = std::mem::take(&mut section.records);
        let mut at = 0;
        while let Some(header) = self.checked(&batch.buffer[at..])? {
            if !section.hidden.hides(&header, &batch.buffer[at + HEADER..at + header.length]) {
                walk(&header, at + HEADER..at + header.length, &mut section.next_offset, batch)
                    .map_err(|e| e.to_string())?;
            }
            section.next_offset = section.next_offset.max(header.last_offset.saturating_add(1));
            at += header.length;
        }
        batch.buffer.truncate(at);
        Ok(())
    }

    /// Over batches of which some are compressed, until there is enough.
    fn unpack(&mut self, section: &mut Section, batch: &mut Batch) -> Result<(), String> {
        batch.buffer = self.spare.unpacking();
        while batch.buffer.len() < UNPACKED_BYTES {
            let Some(header) = self.checked(&section.records[section.at..])? else {
                section.at = section.records.len();
                return Ok(());
            };
            let body = &section.records[section.at + HEADER..section.at + header.length];
            if !section.hidden.hides(&header, body) {
                let start = batch.buffer.len();
                match header.codec() {
                    0 => batch.buffer.extend_from_slice(body),
                    codec => self.codecs.unpack(codec, body, &mut batch.buffer)?,
                }
                let unpacked = start..batch.buffer.len();
                walk(&header, unpacked, &mut section.next_offset, batch).map_err(|e| e.to_string())?;
            }
            section.next_offset = section.next_offset.max(header.last_offset.saturating_add(1));
            section.at += header.length;
        }
        Ok(())
    }

    /// The header of the next whole batch, if its checksum is right.
    fn checked(&self, bytes: &[u8]) -> Result<Option<Header>, String> {
        let Some(header) = Header::read(bytes).map_err(|e| e.to_string())? else { return Ok(None) };
        if self.check_crcs && crc32c::crc32c(&bytes[UNCOVERED..header.length]) != header.crc {
            return Err("its checksum is wrong".to_owned());
        }
        Ok(Some(header))
    }
}

/// What the header of a batch tells.
struct Header {
    /// Of the whole batch, in bytes.
    length: usize,
    base_offset: i64,
    last_offset: i64,
    epoch: i32,
    crc: u32,
    attributes: i16,
    base_time: i64,
    max_time: i64,
    producer: i64,
    count: i32,
}

impl Header {
    /// None where the batch is cut short.
    fn read(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
        // It stands at the same place in all formats.
        if bytes.get(16).is_some_and(|format| *format != 2) {
            return Err(Malformed("the records are of a format from before Kafka 0.11, which is not read"));
        }
        let Some(header) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
        let length = i32::from_be_bytes(word(header, 8));
        let length = usize::try_from(length).ok().map(|length| length + UNCOUNTED).filter(|length| *length >= HEADER);
        let length = length.ok_or(Malformed("it is shorter than its header"))?;
        if bytes.len() < length {
            return Ok(None);
        }
        let base_offset = i64::from_be_bytes(word(header, 0));
        let last_delta = i32::from_be_bytes(word(header, 23));
        if base_offset < 0 || last_delta < 0 {
            return Err(Malformed("it has an offset below zero"));
        }
        Ok(Some(Header {
            length,
            base_offset,
            last_offset: base_offset.saturating_add(i64::from(last_delta)),
            epoch: i32::from_be_bytes(word(header, 12)),
            crc: u32::from_be_bytes(word(header, 17)),
            attributes: i16::from_be_bytes(word(header, 21)),
            base_time: i64::from_be_bytes(word(header, 27)),
            max_time: i64::from_be_bytes(word(header, 35)),
            producer: i64::from_be_bytes(word(header, 43)),
            count: i32::from_be_bytes(word(header, 57)),
        }))
    }

    fn codec(&self) -> i16 {
        self.attributes & 7
    }

    /// Whether records carry the broker's time, which is then that of the whole batch.
    fn appended(&self) -> bool {
        self.attributes & 8 != 0
    }

    fn transactional(&self) -> bool {
        self.attributes & 16 != 0
    }

    /// Marks of transactions instead of records.
    fn control(&self) -> bool {
        self.attributes & 32 != 0
    }
}

fn word<const N: usize>(header: &[u8; HEADER], at: usize) -> [u8; N] {
    let mut word = [0; N];
    word.copy_from_slice(&header[at..at + N]);
    word
}

/// Tells what is not for readers: marks, and what belongs to transactions that came to nothing. Only those that the
/// broker names count, so without them everything is read.
struct Hidden {
    /// Those that begin later, the next last.
    later: Vec<Aborted>,
    /// The producers inside of one.
    producers: Vec<i64>,
}

impl Hidden {
    fn new(aborted: &[Aborted]) -> Hidden {
        let mut later = aborted.to_vec();
        later.sort_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
        Hidden { later, producers: Vec::new() }
    }

    fn hides(&mut self, header: &Header, body: &[u8]) -> bool {
        while let Some(aborted) = self.later.pop_if(|aborted| aborted.first_offset <= header.last_offset) {
            self.producers.push(aborted.producer);
        }
        if header.control() {
            if aborts(body) {
                self.producers.retain(|producer| *producer != header.producer);
            }
            return true;
        }
        header.transactional() && self.producers.contains(&header.producer)
    }
}

/// Whether a mark says that its transaction came to nothing: the second number of its key is zero.
fn aborts(body: &[u8]) -> bool {
    let mut at = 0;
    let mut key = || {
        varint(body, &mut at)?;
        at += 1;
        varint(body, &mut at)?;
        varint(body, &mut at)?;
        body.get(field(body, &mut at)??.start as usize..)
    };
    key().and_then(|key| key.get(2..4)) == Some(&[0, 0])
}

/// Appends the records that lie in a range of the batch's buffer to its index, from an offset on.
fn walk(header: &Header, range: Range<usize>, next_offset: &mut i64, batch: &mut Batch) -> Result<(), Malformed> {
    let Batch { buffer, records, headers, .. } = batch;
    // What is before the range takes no part: positions are those of the buffer.
    let bytes = &buffer[..range.end];
    let count = usize::try_from(header.count).map_err(|_| Malformed("it has less than no records"))?;
    if count > range.len() / SHORTEST {
        return Err(Malformed("it has more records than bytes for them"));
    }
    records.reserve(count);
    let appended = header.appended();
    let mut at = range.start;
    for _ in 0..count {
        let record = record(bytes, &mut at, headers).ok_or(Malformed("a record does not end where it says"))?;
        let offset = header.base_offset.saturating_add(record.offset_delta);
        if offset > header.last_offset {
            return Err(Malformed("a record lies beyond its end"));
        }
        // A response begins with the whole batch that holds the offset.
        if offset < *next_offset {
            headers.truncate(record.headers.start as usize);
            continue;
        }
        *next_offset = offset.saturating_add(1);
        let time = if appended { header.max_time } else { header.base_time.wrapping_add(record.time_delta) };
        records.push(RecordIndex {
            offset,
            timestamp_ms: (time != -1).then_some(time),
            appended,
            key: record.key,
            value: record.value,
            headers: record.headers,
        });
    }
    Ok(())
}

/// One record, in places of the buffer.
struct Record {
    time_delta: i64,
    offset_delta: i64,
    key: Option<Range<u32>>,
    value: Option<Range<u32>>,
    headers: Range<u32>,
}

type Headers = Vec<(Range<u32>, Option<Range<u32>>)>;

#[inline(always)]
fn record(bytes: &[u8], at: &mut usize, headers: &mut Headers) -> Option<Record> {
    let length = usize::try_from(varint(bytes, at)?).ok()?;
    let end = at.checked_add(length)?;
    *at += 1; // Attributes, of which there are none.
    let time_delta = varint(bytes, at)?;
    let offset_delta = varint(bytes, at)?;
    let key = field(bytes, at)?;
    let value = field(bytes, at)?;
    let count = varint(bytes, at)?;
    let first = headers.len() as u32;
    for _ in 0..count {
        let name = field(bytes, at)??;
        headers.push((name, field(bytes, at)?));
    }
    (*at == end).then_some(Record { time_delta, offset_delta, key, value, headers: first..headers.len() as u32 })
}

/// A length and so many bytes; none where the length is below zero. The outer none is a length that cannot be.
#[inline(always)]
fn field(bytes: &[u8], at: &mut usize) -> Option<Option<Range<u32>>> {
    let length = varint(bytes, at)?;
    if length < 0 {
        return Some(None);
    }
    let start = *at;
    let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length))?;
    if end > bytes.len() {
        return None;
    }
    *at = end;
    Some(Some(start as u32..end as u32))
}

/// A number in as many bytes as it needs, the sign in its last bit. Lengths of records and values take two mostly.
#[inline(always)]
fn varint(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let first = *bytes.get(*at)?;
    *at += 1;
    if first < 0x80 {
        return Some(signed(u64::from(first)));
    }
    let second = *bytes.get(*at)?;
    *at += 1;
    let number = u64::from(first & 0x7f) | u64::from(second & 0x7f) << 7;
    if second < 0x80 { Some(signed(number)) } else { longer_varint(bytes, at, number) }
}

#[cold]
fn longer_varint(bytes: &[u8], at: &mut usize, mut number: u64) -> Option<i64> {
    let mut shift = 14;
    while shift < 64 {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(signed(number));
        }
        shift += 7;
    }
    None
}

#[inline(always)]
fn signed(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests;
