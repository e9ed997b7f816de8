//! Record batches (format 2), written where they are sent from: nothing is kept of a message but its bytes.

use crate::batch::{HEADER, UNCOUNTED, UNCOVERED};

/// What goes to one partition: batches one behind the other in one buffer, which serves again.
#[derive(Default)]
pub(crate) struct Batches {
    bytes: Vec<u8>,
    /// Where each batch ends.
    ends: Vec<usize>,
    /// How many of them are acknowledged.
    acknowledged: usize,
    /// The one that is being written.
    open: Option<Open>,
}

struct Open {
    start: usize,
    count: i32,
    first_ms: i64,
    greatest_ms: i64,
}

impl Batches {
    /// Empty again.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        (self.acknowledged, self.open) = (0, None);
    }

    /// Appends a record: to the last batch, or to a new one where that would become longer than `most`. Only a record
    /// that alone is longer makes a longer batch.
    pub(crate) fn push(&mut self, key: Option<&[u8]>, value: &[u8], at_ms: i64, most: usize) {
        let body = |open: &Open| body(key, value, at_ms.wrapping_sub(open.first_ms), open.count);
        let full = |open: &Open| {
            let length = body(open);
            self.bytes.len() - open.start + varint_len(length as i64) + length > most
        };
        if self.open.as_ref().is_some_and(full) {
            self.finish();
        }
        let open = self.open.get_or_insert_with(|| {
            let start = self.bytes.len();
            self.bytes.resize(start + HEADER, 0);
            Open { start, count: 0, first_ms: at_ms, greatest_ms: at_ms }
        });
        let length = body(open);
        let bytes = &mut self.bytes;
        varint(bytes, length as i64);
        bytes.push(0); // Attributes, of which there are none.
        varint(bytes, at_ms.wrapping_sub(open.first_ms));
        varint(bytes, i64::from(open.count));
        match key {
            None => varint(bytes, -1),
            Some(key) => {
                varint(bytes, key.len() as i64);
                bytes.extend_from_slice(key);
            }
        }
        varint(bytes, value.len() as i64);
        bytes.extend_from_slice(value);
        varint(bytes, 0); // Headers.
        open.count += 1;
        open.greatest_ms = open.greatest_ms.max(at_ms);
    }

    /// Ends the last batch: its header says what is known only now.
    pub(crate) fn finish(&mut self) {
        let Some(Open { start, count, first_ms, greatest_ms }) = self.open.take() else { return };
        let batch = &mut self.bytes[start..];
        let length = (batch.len() - UNCOUNTED) as i32;
        let mut header = batch;
        let mut put = |bytes: &[u8]| {
            let (field, rest) = std::mem::take(&mut header).split_at_mut(bytes.len());
            field.copy_from_slice(bytes);
            header = rest;
        };
        put(&0_i64.to_be_bytes()); // The broker knows the offset.
        put(&length.to_be_bytes());
        put(&(-1_i32).to_be_bytes()); // And the leader's epoch.
        put(&[2]);
        put(&[0; 4]);
        put(&[0; 2]); // Neither compressed nor of a transaction; times are those of whoever made the messages.
        put(&(count - 1).to_be_bytes());
        put(&first_ms.to_be_bytes());
        put(&greatest_ms.to_be_bytes());
        put(&(-1_i64).to_be_bytes()); // Of no producer that counts its batches.
        put(&(-1_i16).to_be_bytes());
        put(&(-1_i32).to_be_bytes());
        put(&count.to_be_bytes());
        let checksum = crc32c::crc32c(&self.bytes[start + UNCOVERED..]);
        self.bytes[start + UNCOVERED - 4..start + UNCOVERED].copy_from_slice(&checksum.to_be_bytes());
        self.ends.push(self.bytes.len());
    }

    /// The oldest finished batch that is not acknowledged.
    pub(crate) fn next(&self) -> Option<&[u8]> {
        let end = *self.ends.get(self.acknowledged)?;
        let start = self.acknowledged.checked_sub(1).map_or(0, |last| self.ends[last]);
        Some(&self.bytes[start..end])
    }

    /// The broker has it.
    pub(crate) fn acknowledge(&mut self) {
        self.acknowledged += 1;
    }
}

/// How long a record is without its length.
fn body(key: Option<&[u8]>, value: &[u8], time_delta: i64, offset_delta: i32) -> usize {
    let key = key.map_or(1, |key| varint_len(key.len() as i64) + key.len());
    let value = varint_len(value.len() as i64) + value.len();
    // One byte of attributes, and one for the count of headers.
    2 + varint_len(time_delta) + varint_len(i64::from(offset_delta)) + key + value
}

/// The sign in the last bit.
fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn varint_len(number: i64) -> usize {
    // Seven bits in each byte, and one byte at least.
    (70 - (zigzag(number) | 1).leading_zeros() as usize) / 7
}

fn varint(bytes: &mut Vec<u8>, number: i64) {
    let mut rest = zigzag(number);
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::records::{RecordBatchDecoder, TimestampType};

    /// Offset, time, key, and length of the value.
    type Found = (i64, i64, Option<String>, usize);

    /// What another library reads, by batch.
    fn read(batches: &mut Batches) -> Vec<Vec<Found>> {
        batches.finish();
        let mut read = Vec::new();
        while let Some(batch) = batches.next() {
            let mut bytes = bytes::Bytes::copy_from_slice(batch);
            let set = RecordBatchDecoder::decode(&mut bytes).expect("a valid batch");
            assert!(bytes.is_empty());
            let records = set.records.into_iter().map(|record| {
                assert_eq!((record.timestamp_type, record.producer_id), (TimestampType::Creation, -1));
                let key = record.key.map(|key| String::from_utf8_lossy(&key).into_owned());
                (record.offset, record.timestamp, key, record.value.map_or(0, |value| value.len()))
            });
            read.push(records.collect());
            batches.acknowledge();
        }
        read
    }

    fn key(key: &str) -> Option<String> {
        Some(key.to_owned())
    }

    #[test]
    fn batches_are_those_of_kafka() {
        let mut batches = Batches::default();
        assert!(read(&mut batches).is_empty());
        // The buffer serves again.
        for _ in 0..2 {
            batches.clear();
            batches.push(Some(b"a"), b"one", 1_700_000_000_000, 1_000);
            batches.push(Some(b""), &[b'x'; 300], 1_699_999_999_000, 1_000);
            batches.push(None, b"", 1_700_000_060_000, 1_000);
            let first = (0, 1_700_000_000_000, key("a"), 3);
            let rest = [(1, 1_699_999_999_000, key(""), 300), (2, 1_700_000_060_000, None, 0)];
            assert_eq!(read(&mut batches), [[&[first], rest.as_slice()].concat()]);
        }
        batches.clear();
        batches.push(None, b"", -1, 1_000);
        batches.push(None, b"", i64::MAX / 2, 1_000);
        assert_eq!(read(&mut batches), [[(0, -1, None, 0), (1, i64::MAX / 2, None, 0)]]);
    }

    #[test]
    fn the_header_says_the_latest_time() {
        let mut batches = Batches::default();
        [5, 9, 7].iter().for_each(|at_ms| batches.push(None, b"", *at_ms, 1_000));
        batches.finish();
        let header = batches.next().expect("a batch");
        assert_eq!(
            (header[27..35].to_vec(), header[35..43].to_vec()),
            (5_i64.to_be_bytes().into(), 9_i64.to_be_bytes().into())
        );
    }

    #[test]
    fn no_batch_is_longer_than_it_may_be_but_for_one_long_record() {
        let mut batches = Batches::default();
        for length in (0..600).chain([5_000]).chain(0..600) {
            batches.push(Some(b"k"), &vec![b'x'; length], length as i64 * 1_000, 700);
        }
        batches.finish();
        let mut lengths = Vec::new();
        while let Some(batch) = batches.next() {
            lengths.push(batch.len());
            batches.acknowledge();
        }
        assert_eq!(lengths.iter().filter(|length| **length > 700).count(), 1, "{lengths:?}");
        batches.acknowledged = 0;
        let found: Vec<usize> = read(&mut batches).into_iter().flatten().map(|record| record.3).collect();
        assert!(found.into_iter().eq((0..600).chain([5_000]).chain(0..600)));
        // To the byte: the header, then two records of nine bytes around their values.
        for (most, expected) in [(HEADER + 2 * 109, 1), (HEADER + 2 * 109 - 1, 2)] {
            batches.clear();
            (0..2).for_each(|_| batches.push(None, &[b'x'; 100], 0, most));
            assert_eq!(read(&mut batches).len(), expected);
        }
    }

    #[test]
    fn lengths_of_numbers_are_those_that_are_written() {
        for number in
            (0..64).flat_map(|bits| [1_i64 << bits, (1_i64 << bits).wrapping_sub(1), (1_i64 << bits).wrapping_neg()])
        {
            let mut bytes = Vec::new();
            varint(&mut bytes, number);
            assert_eq!(bytes.len(), varint_len(number), "{number}");
        }
    }
}
