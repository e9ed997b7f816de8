//! Requests that another library reads, and responses that it writes, in every version that is spoken here.

use super::*;
use crate::messages::FETCH;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{FetchRequest, FetchResponse, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use proptest::prelude::*;

const BOUNDS: Bounds =
    Bounds { wait_ms: 500, min_bytes: 1, max_bytes: 1000, partition_bytes: 100, committed_only: true };

fn wanted(topic: &str, partition: i32) -> Wanted {
    Wanted {
        serial: 0,
        topic: topic.into(),
        topic_id: [9; 16],
        partition,
        offset: 77,
        leader_epoch: 5,
        last_epoch: 4,
        max_bytes: 100,
    }
}

fn request() -> Request {
    let wanted_now = vec![wanted("a", 0), wanted("a", 1), wanted("b", 0)];
    Request { session: 8, epoch: 2, wanted: wanted_now, forgotten: vec![wanted("c", 3)] }
}

/// What the other library reads out of a request of ours.
fn understood(version: i16, request: &Request) -> FetchRequest {
    let mut bytes = Vec::new();
    write(&mut Writer::new(&mut bytes, version >= FETCH.flexible), version, &BOUNDS, request);
    let mut rest = bytes.as_slice();
    let read = FetchRequest::decode(&mut rest, version).expect("it is understood");
    assert!(rest.is_empty(), "version {version}: {rest:?}");
    read
}

#[test]
fn a_request_is_understood_in_every_version() {
    for version in FETCH.lowest..=FETCH.highest {
        let read = understood(version, &request());
        assert_eq!((read.max_wait_ms, read.min_bytes, read.max_bytes, read.isolation_level), (500, 1, 1000, 1));
        let partitions: Vec<(&str, i32, i64, i32)> = read
            .topics
            .iter()
            .flat_map(|topic| {
                let name = topic.topic.0.as_str();
                topic.partitions.iter().map(move |of| (name, of.partition, of.fetch_offset, of.partition_max_bytes))
            })
            .collect();
        if version >= 13 {
            assert!(read.topics.iter().all(|topic| *topic.topic_id.as_bytes() == [9; 16]));
            assert_eq!(partitions, [("", 0, 77, 100), ("", 1, 77, 100), ("", 0, 77, 100)]);
        } else {
            assert_eq!(partitions, [("a", 0, 77, 100), ("a", 1, 77, 100), ("b", 0, 77, 100)]);
        }
        let first = &read.topics[0].partitions[0];
        assert_eq!(first.current_leader_epoch, if version >= 9 { 5 } else { -1 });
        assert_eq!(first.last_fetched_epoch, if version >= 12 { 4 } else { -1 });
        if version >= 7 {
            assert_eq!((read.session_id, read.session_epoch), (8, 2));
            assert_eq!(read.forgotten_topics_data[0].partitions, [3]);
        }
    }
}

fn response(version: i16, diverging: bool) -> Vec<u8> {
    let aborted = AbortedTransaction::default().with_producer_id(6.into()).with_first_offset(41);
    let mut full = PartitionData::default()
        .with_partition_index(1)
        .with_high_watermark(50)
        .with_last_stable_offset(49)
        .with_aborted_transactions(Some(vec![aborted]))
        .with_records(Some(bytes::Bytes::from_static(b"records")));
    let mut empty = PartitionData::default().with_partition_index(2).with_error_code(1).with_aborted_transactions(None);
    if version >= 5 {
        full.log_start_offset = 3;
    }
    if diverging && version >= 12 {
        empty.diverging_epoch = EpochEndOffset::default().with_epoch(4).with_end_offset(33);
    }
    let mut topic = FetchableTopicResponse::default().with_partitions(vec![full, empty]);
    if version >= 13 {
        // Its type is not ours to make: it is taken from a request.
        topic.topic_id = understood(13, &request()).topics[0].topic_id;
    } else {
        topic.topic = TopicName(StrBytes::from_static_str("shop"));
    }
    let mut response = FetchResponse::default().with_throttle_time_ms(12).with_responses(vec![topic]);
    if version >= 7 {
        response.session_id = 8;
    }
    let mut bytes = Vec::new();
    response.encode(&mut bytes, version).expect("memory takes all");
    bytes
}

fn parse(version: i16, bytes: &[u8], spare: &mut Vec<Vec<u8>>) -> Result<Fetched, Fault> {
    let mut stream = bytes;
    let mut frame = Frame { stream: &mut stream, left: bytes.len(), flexible: version >= FETCH.flexible };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(read(&mut frame, version, spare))
}

#[test]
fn a_response_is_understood_in_every_version() {
    for version in FETCH.lowest..=FETCH.highest {
        let used = vec![1, 2, 3];
        let place = used.as_ptr();
        let fetched = parse(version, &response(version, true), &mut vec![Vec::new(), used]).expect("it is understood");
        assert_eq!((fetched.throttle_ms, fetched.error), (12, 0));
        assert_eq!(fetched.session, if version >= 7 { 8 } else { 0 });
        let [full, empty] = &fetched.partitions[..] else { panic!("{fetched:?}") };
        let named = if version >= 13 { Named::Id([9; 16]) } else { Named::Name("shop".to_owned()) };
        assert_eq!((&full.topic, full.number, full.error), (&named, 1, 0));
        assert_eq!((full.high, full.stable, full.low), (50, 49, if version >= 5 { 3 } else { -1 }));
        assert_eq!(full.aborted, [Aborted { producer: 6, first_offset: 41 }]);
        assert_eq!(full.records, b"records");
        assert!(full.records.capacity() < 8 || full.records.as_ptr() == place, "a used buffer serves again");
        assert_eq!((empty.number, empty.error, empty.records.len()), (2, 1, 0));
        assert_eq!((full.diverging, empty.diverging), (None, (version >= 12).then_some(33)));
    }
}

proptest! {
    #[test]
    fn no_bytes_are_fatal(
        version in FETCH.lowest..=FETCH.highest,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let mut bytes = response(version, true);
        for (at, byte) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(fetched) = parse(version, &bytes, &mut Vec::new()) {
            let held: usize = fetched.partitions.iter().map(|partition| partition.records.capacity()).sum();
            prop_assert!(held <= bytes.len() + 64 * fetched.partitions.len());
            prop_assert!(fetched.partitions.len() <= bytes.len());
        }
    }
}
