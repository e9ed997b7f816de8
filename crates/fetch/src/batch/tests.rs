//! Batches as another library writes them, read here; and what nobody would write.

use super::*;
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use proptest::prelude::*;
use std::io::Write;

/// Records of one producer, with offsets from `base` on.
fn records(base: i64, values: &[&str]) -> Vec<Record> {
    let record = |(at, value): (usize, &&str)| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 3,
        producer_id: 1,
        producer_epoch: 0,
        timestamp_type: TimestampType::Creation,
        offset: base + at as i64,
        sequence: at as i32,
        timestamp: 1_000 + at as i64,
        key: Some(format!("k{at}").into()),
        value: Some(bytes::Bytes::copy_from_slice(value.as_bytes())),
        headers: Default::default(),
    };
    values.iter().enumerate().map(record).collect()
}

fn written(records: &[Record], gzip: bool) -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    let compression = if gzip { Compression::Gzip } else { Compression::None };
    let pack = |plain: &mut bytes::BytesMut, into: &mut bytes::BytesMut, _| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain)?;
        into.extend_from_slice(&encoder.finish()?);
        Ok(())
    };
    let options = RecordEncodeOptions { version: 2, compression };
    let pack = gzip.then_some(pack);
    RecordBatchEncoder::encode_with_custom_compression(&mut bytes, records, &options, pack).expect("memory takes all");
    bytes.to_vec()
}

/// Puts the right checksum on what was changed.
fn seal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[UNCOVERED..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

fn opener(check_crcs: bool) -> Opener {
    Opener { check_crcs, codecs: Codecs::new(10 << 20), spare: Spare::default() }
}

fn open(bytes: Vec<u8>, from: i64, aborted: &[Aborted]) -> (Vec<Batch>, Result<(), Unreadable>) {
    let like = Batch { source: 7, topic: "shop".into(), partition: 2, ..Batch::default() };
    drain(&mut opener(true), &mut Section::new(like, bytes, from, aborted))
}

fn drain(opener: &mut Opener, section: &mut Section) -> (Vec<Batch>, Result<(), Unreadable>) {
    let mut batches = Vec::new();
    loop {
        match opener.next(section) {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) => return (batches, Ok(())),
            Err(unreadable) => return (batches, Err(unreadable)),
        }
    }
}

/// The records in text, and what went wrong.
fn shown(bytes: Vec<u8>, from: i64, aborted: &[Aborted]) -> String {
    let (batches, outcome) = open(bytes, from, aborted);
    let mut shown = Vec::new();
    for batch in &batches {
        assert_eq!((batch.source, &*batch.topic, batch.partition), (7, "shop", 2));
        for at in 0..batch.records.len() {
            let record = batch.record(at);
            let text =
                |bytes: Option<&[u8]>| bytes.map_or("null".into(), |it| String::from_utf8_lossy(it).into_owned());
            shown.push(format!("{}:{}={}", record.offset, text(record.key), text(record.value)));
        }
    }
    shown.extend(outcome.err().map(|unreadable| unreadable.to_string()));
    shown.join(" ")
}

#[test]
fn what_is_not_compressed_stays_where_it_came() {
    let bytes = [written(&records(5, &["a", "b"]), false), written(&records(9, &["c"]), false)].concat();
    let (batches, outcome) = open(bytes.clone(), 5, &[]);
    assert_eq!(outcome, Ok(()));
    assert_eq!(batches[0].buffer, bytes);
    assert_eq!(shown(bytes, 5, &[]), "5:k0=a 6:k1=b 9:k0=c");
}

#[test]
fn compressed_batches_lie_among_others() {
    let bytes = [
        written(&records(0, &["a"]), true),
        written(&records(1, &["b"]), false),
        written(&records(2, &["c", "d"]), true),
    ];
    assert_eq!(shown(bytes.concat(), 1, &[]), "1:k0=b 2:k0=c 3:k1=d");
}

#[test]
fn what_unpacks_to_much_comes_in_pieces() {
    let value = "x".repeat(800_000);
    let bytes: Vec<Vec<u8>> = (0..4).map(|at| written(&records(at, &[&value]), true)).collect();
    let (batches, outcome) = open(bytes.concat(), 0, &[]);
    assert_eq!(outcome, Ok(()));
    assert_eq!(batches.iter().map(|batch| batch.records.len()).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn what_was_cut_short_is_left_for_later() {
    let mut bytes = [written(&records(0, &["a"]), false), written(&records(1, &["b", "c"]), false)].concat();
    for cut in [1, 20, 60] {
        bytes.truncate(bytes.len() - cut);
        assert_eq!(ahead(&bytes, 0).next_offset, 1);
        assert_eq!(shown(bytes.clone(), 0, &[]), "0:k0=a");
    }
}

#[test]
fn a_hop_goes_over_headers_alone() {
    let whole = written(&records(3, &["a", "b"]), false);
    let bytes = [whole.clone(), written(&records(10, &["c"]), true)].concat();
    let hop = ahead(&bytes, 4);
    assert_eq!((hop.next_offset, hop.epoch, hop.length, hop.packed), (11, Some(3), bytes.len(), true));
    assert_eq!(ahead(&[], 4).next_offset, 4);
    assert_eq!(ahead(&whole[..whole.len() - 1], 3).next_offset, 3);
}

#[test]
fn nothing_is_read_below_the_offset_that_was_asked_for() {
    let bytes = written(&records(0, &["a", "b", "c"]), false);
    assert_eq!(shown(bytes.clone(), 2, &[]), "2:k2=c");
    assert_eq!(shown(bytes, 3, &[]), "");
}

#[test]
fn aborted_transactions_and_marks_are_hidden() {
    let of = |base, producer_id, value: &str| -> Vec<u8> {
        let mut records = records(base, &[value]);
        (records[0].transactional, records[0].producer_id) = (true, producer_id);
        written(&records, false)
    };
    let mark = |base, producer_id, commits: u8| -> Vec<u8> {
        let mut records = records(base, &[""]);
        (records[0].transactional, records[0].control, records[0].producer_id) = (true, true, producer_id);
        records[0].key = Some(vec![0, 0, 0, commits].into());
        written(&records, false)
    };
    let bytes = [
        of(0, 1, "kept"),
        mark(1, 1, 1),
        of(2, 1, "aborted"),
        of(3, 2, "kept"),
        mark(4, 1, 0),
        of(5, 1, "kept"),
        mark(6, 2, 1),
        mark(7, 1, 1),
    ]
    .concat();
    let aborted = [Aborted { producer: 1, first_offset: 2 }];
    assert_eq!(shown(bytes.clone(), 0, &aborted), "0:k0=kept 3:k0=kept 5:k0=kept");
    assert_eq!(ahead(&bytes, 0).next_offset, 8);
}

#[test]
fn the_brokers_time_is_that_of_the_batch() {
    let mut appended = written(&records(0, &["a", "b"]), false);
    appended[22] |= 8;
    seal(&mut appended);
    let (batches, _) = open(appended, 0, &[]);
    let times: Vec<_> = batches[0].records.iter().map(|record| (record.timestamp_ms, record.appended)).collect();
    assert_eq!(times, [(Some(1_001), true); 2]);
    let mut timeless = records(0, &["a"]);
    timeless[0].timestamp = -1;
    let (batches, _) = open(written(&timeless, false), 0, &[]);
    assert_eq!(batches[0].records[0].timestamp_ms, None);
}

#[test]
fn what_is_broken_is_told_and_what_comes_before_is_read() {
    let good = written(&records(0, &["a"]), false);
    let check = |spoil: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let mut bad = written(&records(1, &["b", "c"]), false);
        spoil(&mut bad);
        assert_eq!(shown([good.clone(), bad].concat(), 0, &[]), format!("0:k0=a the batch at offset 1: {expected}"));
    };
    check(&|bad| bad[70] ^= 1, "its checksum is wrong");
    check(
        &|bad| bad[16] = 1,
        "malformed message: the records are of a format from before Kafka 0.11, which is not read",
    );
    check(&|bad| bad[8..12].fill(0xff), "malformed message: it is shorter than its header");
    check(&|bad| bad[0] = 0x80, "malformed message: it has an offset below zero");
    let count = |count: i32| {
        move |bad: &mut Vec<u8>| {
            bad[57..61].copy_from_slice(&count.to_be_bytes());
            seal(bad);
        }
    };
    check(&count(-1), "malformed message: it has less than no records");
    check(&count(i32::MAX), "malformed message: it has more records than bytes for them");
    let mut short = written(&records(1, &["b"]), false);
    short[61] += 2;
    seal(&mut short);
    assert_eq!(shown(short, 0, &[]), "the batch at offset 0: malformed message: a record does not end where it says");
    let codec = |bad: &mut Vec<u8>| {
        bad[22] = 5;
        seal(bad);
    };
    check(&codec, "codec 5 is not known");
}

proptest! {
    /// Lengths and numbers may be anything, and the checksum right nevertheless.
    #[test]
    fn no_bytes_are_fatal(
        values in proptest::collection::vec("[a-z]{0,9}", 1..6),
        gzip in any::<bool>(),
        from in 0_i64..6,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let mut bytes = [written(&records(0, &values), gzip), written(&records(6, &values), false)].concat();
        for (at, byte) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        let length = bytes.len();
        let next_offset = ahead(&bytes, from).next_offset;
        let aborted = [Aborted { producer: 1, first_offset: 1 }];
        let mut section = Section::new(Batch::default(), bytes, from, &aborted);
        let (out, outcome) = drain(&mut opener(false), &mut section);
        prop_assert!(outcome.is_err() || next_offset >= from);
        let mut last = from - 1;
        for batch in &out {
            prop_assert!(batch.records.capacity() <= length && batch.headers.capacity() <= length);
            for at in 0..batch.records.len() {
                let record = batch.record(at);
                prop_assert!(record.offset > last, "{} after {last}", record.offset);
                last = record.offset;
                let _ = record.headers().count();
            }
        }
        prop_assert!(outcome.is_err() || last < next_offset);
    }
}
