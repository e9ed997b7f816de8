//! Record batches as they lie on Kafka, version 2, written in place: a library that owns each record would make filling
//! a topic the slowest part of a measurement.

use bytes::{BufMut, Bytes, BytesMut};

/// What stands before the records of a batch.
const HEADER: usize = 61;
/// Where what the checksum covers begins.
const CHECKED: usize = 21;

/// A batch that is being filled.
pub(crate) struct Batch {
    bytes: BytesMut,
    count: i32,
    first_ms: i64,
    last_ms: i64,
    record: Vec<u8>,
}

impl Batch {
    /// Empty.
    pub(crate) fn new() -> Batch {
        Batch { bytes: BytesMut::new(), count: 0, first_ms: 0, last_ms: 0, record: Vec::new() }
    }

    /// How long it would be now.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a record.
    pub(crate) fn push(&mut self, at_ms: i64, key: &[u8], value: &[u8]) {
        if self.count == 0 {
            self.bytes.put_bytes(0, HEADER);
            (self.first_ms, self.last_ms) = (at_ms, at_ms);
        }
        self.last_ms = self.last_ms.max(at_ms);
        self.record.clear();
        self.record.push(0);
        varint(&mut self.record, at_ms - self.first_ms);
        varint(&mut self.record, i64::from(self.count));
        varint(&mut self.record, key.len() as i64);
        self.record.extend_from_slice(key);
        varint(&mut self.record, value.len() as i64);
        self.record.extend_from_slice(value);
        varint(&mut self.record, 0);
        varint(&mut self.bytes, self.record.len() as i64);
        self.bytes.put_slice(&self.record);
        self.count += 1;
    }

    /// The finished batch; none where nothing was pushed. What follows begins anew.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        if self.count == 0 {
            return None;
        }
        let mut bytes = self.bytes.split();
        let mut header = Vec::with_capacity(HEADER);
        header.put_i64(0);
        header.put_i32((bytes.len() - 12) as i32);
        header.put_i32(-1);
        header.put_i8(2);
        header.put_u32(0);
        // Neither compressed nor of a transaction; times are those of whoever made the records.
        header.put_i16(0);
        header.put_i32(self.count - 1);
        header.put_i64(self.first_ms);
        header.put_i64(self.last_ms);
        header.put_i64(-1);
        header.put_i16(-1);
        header.put_i32(-1);
        header.put_i32(self.count);
        bytes[..HEADER].copy_from_slice(&header);
        let sum = crc32c::crc32c(&bytes[CHECKED..]);
        bytes[CHECKED - 4..CHECKED].copy_from_slice(&sum.to_be_bytes());
        self.count = 0;
        Some(bytes.freeze())
    }
}

/// A number in zigzag and base 128, as Protocol Buffers have it.
fn varint(to: &mut impl BufMut, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        to.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    to.put_u8(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::Batch;
    use kafka_protocol::records::RecordBatchDecoder;

    /// What a library for Kafka's protocol reads from them.
    #[test]
    fn batches_are_those_of_kafka() {
        let mut batch = Batch::new();
        assert!(batch.take().is_none());
        for round in 0..2 {
            batch.push(1_000, b"a", b"one");
            batch.push(900, b"", &[b'x'; 300]);
            let mut bytes = batch.take().expect("it has records");
            let set = RecordBatchDecoder::decode(&mut bytes).expect("a valid batch");
            let found: Vec<_> = set
                .records
                .iter()
                .map(|record| {
                    (record.offset, record.timestamp, record.key.clone(), record.value.as_ref().map(|v| v.len()))
                })
                .collect();
            let key = |text: &'static str| Some(bytes::Bytes::from_static(text.as_bytes()));
            assert_eq!(found, [(0, 1_000, key("a"), Some(3)), (1, 900, key(""), Some(300))], "round {round}");
        }
    }
}
