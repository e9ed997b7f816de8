//! Requests that another library reads, and responses that it writes, in every version that is spoken here.

use super::*;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest,
    MetadataResponse, OffsetCommitRequest, OffsetCommitResponse, ProduceRequest, ProduceResponse,
    SaslAuthenticateResponse, SaslHandshakeResponse, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use proptest::prelude::*;

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

/// What the other library reads out of a request of ours.
fn read_by_other<T: Decodable>(api: &Api, version: i16, write: impl FnOnce(&mut Writer<'_>)) -> T {
    let mut bytes = Vec::new();
    write(&mut Writer::new(&mut bytes, version >= api.flexible));
    let mut rest = bytes.as_slice();
    let read = T::decode(&mut rest, version).expect("it is understood");
    assert!(rest.is_empty(), "{} {version}: {rest:?}", api.name);
    read
}

/// What we read out of a response of the other library.
fn read_by_us<T>(
    api: &Api,
    version: i16,
    response: &impl Encodable,
    read: impl Fn(&mut Bytes<'_>, i16) -> Result<T, Malformed>,
) -> T {
    let mut written = Vec::new();
    response.encode(&mut written, version).expect("memory takes all");
    let mut bytes = Bytes::new(&written, version >= api.flexible);
    let answer = read(&mut bytes, version).expect("it is understood");
    // The tagged fields at the very end may be left: nothing comes behind them.
    assert!(bytes.take(2).is_err(), "{} {version}", api.name);
    answer
}

fn versions(api: &Api) -> std::ops::RangeInclusive<i16> {
    api.lowest..=api.highest
}

#[test]
fn metadata_is_asked_for_and_understood() {
    for version in versions(&METADATA) {
        let topics: [Arc<str>; 2] = ["a".into(), "b".into()];
        let asked: MetadataRequest =
            read_by_other(&METADATA, version, |writer| write_metadata(writer, version, topics.iter(), false));
        assert!(!asked.allow_auto_topic_creation);
        let names: Vec<String> = asked
            .topics
            .iter()
            .flatten()
            .filter_map(|topic| topic.name.as_ref().map(|name| name.0.to_string()))
            .collect();
        assert_eq!(names, ["a", "b"]);

        let answer = read_by_us(&METADATA, version, &metadata(version), read_metadata);
        assert_eq!(answer.brokers, [(4, "host".to_owned(), 9092)]);
        let [topic, missing] = &answer.topics[..] else { panic!("{answer:?}") };
        let epoch = if version >= 7 { 6 } else { -1 };
        assert_eq!((topic.name.as_str(), topic.error), ("a", 0));
        assert_eq!(topic.partitions, [Led { number: 2, leader: 4, epoch }]);
        assert_eq!((missing.name.as_str(), missing.error), ("b", code::UNKNOWN_TOPIC));
    }
}

fn metadata(version: i16) -> MetadataResponse {
    let broker = MetadataResponseBroker::default().with_node_id(4.into()).with_host(text("host")).with_port(9092);
    let mut partition = MetadataResponsePartition::default()
        .with_partition_index(2)
        .with_leader_id(4.into())
        .with_replica_nodes(vec![4.into(), 5.into()])
        .with_isr_nodes(vec![4.into()]);
    if version >= 7 {
        partition.leader_epoch = 6;
    }
    let topic = |name| MetadataResponseTopic::default().with_name(Some(TopicName(text(name))));
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_topics(vec![topic("a").with_partitions(vec![partition]), topic("b").with_error_code(3)])
}

#[test]
fn offsets_are_asked_for_and_understood() {
    let asked = |topic: &str, partition| Asked { topic: topic.into(), partition, leader_epoch: 6, time: LATEST };
    for version in versions(&LIST_OFFSETS) {
        let all = [asked("a", 0), asked("a", 1), asked("b", 0)];
        let read: ListOffsetsRequest =
            read_by_other(&LIST_OFFSETS, version, |writer| write_list_offsets(writer, version, true, &all));
        assert_eq!(read.isolation_level, 1);
        assert_eq!(read.topics.iter().map(|topic| topic.partitions.len()).collect::<Vec<_>>(), [2, 1]);
        let first = &read.topics[0].partitions[0];
        assert_eq!((first.timestamp, first.current_leader_epoch), (-1, if version >= 4 { 6 } else { -1 }));

        let partition = ListOffsetsPartitionResponse::default().with_partition_index(1).with_offset(99);
        let topic =
            ListOffsetsTopicResponse::default().with_name(TopicName(text("a"))).with_partitions(vec![partition]);
        let response = ListOffsetsResponse::default().with_topics(vec![topic]);
        let answer = read_by_us(&LIST_OFFSETS, version, &response, read_list_offsets);
        assert_eq!(answer, [Offset { topic: "a".to_owned(), partition: 1, error: 0, offset: 99 }]);
    }
}

#[test]
fn commits_are_asked_for_and_understood() {
    for version in versions(&FIND_COORDINATOR) {
        let read: FindCoordinatorRequest =
            read_by_other(&FIND_COORDINATOR, version, |writer| write_find_coordinator(writer, "group"));
        assert_eq!((read.key.as_str(), read.key_type), ("group", 0));
        let response = FindCoordinatorResponse::default().with_node_id(4.into()).with_host(text("host"));
        let answer = {
            let mut written = Vec::new();
            response.encode(&mut written, version).expect("memory takes all");
            read_find_coordinator(&mut Bytes::new(&written, false))
        };
        assert_eq!(answer, Ok((0, 4)));
    }
    for version in versions(&OFFSET_COMMIT) {
        let positions = [("a".into(), 0, 5), ("a".into(), 1, 6), ("b".into(), 0, 7)];
        let read: OffsetCommitRequest =
            read_by_other(&OFFSET_COMMIT, version, |writer| write_offset_commit(writer, version, "group", &positions));
        assert_eq!(read.group_id.0.as_str(), "group");
        let offsets = read.topics.iter().flat_map(|topic| topic.partitions.iter().map(|of| of.committed_offset));
        assert_eq!(offsets.collect::<Vec<_>>(), [5, 6, 7]);
        let none = OffsetCommitResponse::default();
        assert_eq!(read_by_us(&OFFSET_COMMIT, version, &none, read_offset_commit), code::NONE);
    }
}

#[test]
fn batches_are_handed_over_and_acknowledged() {
    for version in versions(&PRODUCE) {
        let batches = [(0, b"ab".as_slice()), (2, b"c")];
        let read: ProduceRequest =
            read_by_other(&PRODUCE, version, |writer| write_produce(writer, "a", 700, batches.into_iter()));
        assert_eq!((read.transactional_id, read.acks, read.timeout_ms), (None, -1, 700));
        let [topic] = &read.topic_data[..] else { panic!("{:?}", read.topic_data) };
        let found: Vec<_> = topic.partition_data.iter().map(|of| (of.index, of.records.as_deref())).collect();
        assert_eq!((topic.name.0.as_str(), found), ("a", batches.map(|(at, batch)| (at, Some(batch))).to_vec()));

        let mut partition = PartitionProduceResponse::default().with_index(2).with_error_code(10).with_base_offset(7);
        if version >= 8 {
            let record = BatchIndexAndErrorMessage::default().with_batch_index(1).with_batch_index_error_message(None);
            partition.record_errors = vec![record];
            partition.error_message = Some(text("no"));
        }
        let topic =
            TopicProduceResponse::default().with_name(TopicName(text("a"))).with_partition_responses(vec![partition]);
        let response = ProduceResponse::default().with_responses(vec![topic]).with_throttle_time_ms(12);
        let message = (version >= 8).then(|| "no".to_owned());
        let expected = Produced { partitions: vec![Taken { partition: 2, error: 10, message }], throttle_ms: 12 };
        assert_eq!(read_by_us(&PRODUCE, version, &response, read_produce), expected);
    }
}

#[test]
fn answers_to_sasl_are_understood() {
    let takes = SaslHandshakeResponse::default().with_error_code(33).with_mechanisms(vec![text("PLAIN")]);
    let answer = read_by_us(&SASL_HANDSHAKE, 1, &takes, |bytes, _| read_sasl_handshake(bytes));
    assert_eq!(answer, (33, vec!["PLAIN".to_owned()]));
    for version in versions(&SASL_AUTHENTICATE) {
        let response = SaslAuthenticateResponse::default()
            .with_error_message(Some(text("no")))
            .with_auth_bytes(bytes::Bytes::from_static(b"bytes"))
            .with_session_lifetime_ms(if version >= 1 { 60 } else { 0 });
        let answer = read_by_us(&SASL_AUTHENTICATE, version, &response, read_sasl_authenticate);
        let lifetime_ms = if version >= 1 { 60 } else { 0 };
        let (message, bytes) = (Some("no".to_owned()), b"bytes".to_vec());
        assert_eq!(answer, Authenticated { error: 0, message, bytes, lifetime_ms });
    }
}

proptest! {
    #[test]
    fn no_bytes_are_fatal(
        version in METADATA.lowest..=METADATA.highest,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        noise in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut bytes = Vec::new();
        metadata(version).encode(&mut bytes, version).expect("memory takes all");
        for (at, byte) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        let flexible = version >= METADATA.flexible;
        let _ = read_metadata(&mut Bytes::new(&bytes, flexible), version);
        for flexible in [false, true] {
            let noise = || Bytes::new(&noise, flexible);
            let _ = read_metadata(&mut noise(), version);
            let _ = read_list_offsets(&mut noise(), version);
            let _ = read_produce(&mut noise(), version);
            let _ = read_api_versions(&mut noise());
            let _ = read_find_coordinator(&mut noise());
            let _ = read_offset_commit(&mut noise(), version);
            let _ = read_sasl_handshake(&mut noise());
            let _ = read_sasl_authenticate(&mut noise(), 1);
        }
    }
}
