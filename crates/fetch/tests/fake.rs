//! What real brokers do seldom, from one that is told what to answer.

mod common;

use bytes::Bytes;
use common::{at_end, reading, records, until, with};
use fetch::{Input, Reader};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::fetch_response::{EpochEndOffset, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiVersionsResponse, FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataResponse,
    RequestHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use kafka_protocol::records::{Compression, RecordBatchEncoder, RecordEncodeOptions};
use model::definition::Start;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What comes back for a fetch: bytes of a response without its header, or none, and the connection ends.
type Answer = dyn FnMut(&FetchRequest) -> Option<Vec<u8>> + Send;

/// The version of Fetch that it speaks.
const FETCH: i16 = 12;

/// Starts a broker with one topic, `shop`, of one partition, whose log goes from 0 to 100.
fn broker(answer: impl FnMut(&FetchRequest) -> Option<Vec<u8>> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(answer));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            // Ends with its connection.
            std::thread::spawn(move || serve(stream, i32::from(address.port()), &answer));
        }
    });
    address.to_string()
}

fn serve(mut stream: TcpStream, port: i32, answer: &Mutex<Answer>) -> Option<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length).ok()?;
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut request).ok()?;
        let (key, version) =
            (i16::from_be_bytes([request[0], request[1]]), i16::from_be_bytes([request[2], request[3]]));
        let flexible = (key == 1 && version >= 12) || (key == 2 && version >= 6) || (key == 3 && version >= 9);
        let mut request = Bytes::from(request);
        let header = RequestHeader::decode(&mut request, if flexible { 2 } else { 1 }).expect("a header");
        let mut response = vec![0; 4];
        response.extend(header.correlation_id.to_be_bytes());
        response.extend(flexible.then_some(0));
        match key {
            1 => {
                let request = FetchRequest::decode(&mut request, version).expect("a request");
                let answer = answer.lock().expect("nobody has panicked")(&request);
                response.extend(answer?);
            }
            2 => {
                let request = ListOffsetsRequest::decode(&mut request, version).expect("a request");
                offsets(&request).encode(&mut response, version).expect("memory takes all");
            }
            3 => metadata(port).encode(&mut response, version).expect("memory takes all"),
            _ => {
                let speaks = |(api_key, max_version)| {
                    ApiVersion::default().with_api_key(api_key).with_min_version(0).with_max_version(max_version)
                };
                let keys = [(1, FETCH), (2, 7), (3, 12), (18, 0)].map(speaks).to_vec();
                let versions = ApiVersionsResponse::default().with_api_keys(keys);
                versions.encode(&mut response, version).expect("memory takes all");
            }
        }
        let length = response.len() as u32 - 4;
        response[..4].copy_from_slice(&length.to_be_bytes());
        stream.write_all(&response).ok()?;
    }
}

fn name() -> TopicName {
    TopicName(StrBytes::from_static_str("shop"))
}

fn metadata(port: i32) -> MetadataResponse {
    let host = StrBytes::from_static_str("127.0.0.1");
    let broker = MetadataResponseBroker::default().with_node_id(1.into()).with_host(host).with_port(port);
    let partition = MetadataResponsePartition::default().with_leader_id(1.into()).with_leader_epoch(5);
    let topic = MetadataResponseTopic::default().with_name(Some(name())).with_partitions(vec![partition]);
    MetadataResponse::default().with_brokers(vec![broker]).with_topics(vec![topic])
}

fn offsets(request: &ListOffsetsRequest) -> ListOffsetsResponse {
    let earliest = request.topics[0].partitions[0].timestamp == -2;
    let partition = ListOffsetsPartitionResponse::default().with_offset(if earliest { 0 } else { 100 });
    let topic = ListOffsetsTopicResponse::default().with_name(name()).with_partitions(vec![partition]);
    ListOffsetsResponse::default().with_topics(vec![topic])
}

/// A response for the partition.
fn response(partition: PartitionData) -> FetchResponse {
    let topic = FetchableTopicResponse::default().with_topic(name()).with_partitions(vec![partition]);
    FetchResponse::default().with_responses(vec![topic])
}

fn encoded(response: &FetchResponse) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    response.encode(&mut bytes, FETCH).expect("memory takes all");
    Some(bytes)
}

/// One record at an offset, and the end of the log behind it.
fn one_record(offset: i64) -> PartitionData {
    let mut records = bytes::BytesMut::new();
    let mut record = common::client::record("k", "v");
    (record.offset, record.partition_leader_epoch) = (offset, 5);
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut records, [&record], &options).expect("memory takes all");
    empty(offset + 1).with_records(Some(records.freeze()))
}

fn empty(end: i64) -> PartitionData {
    PartitionData::default().with_high_watermark(end).with_last_stable_offset(end).with_aborted_transactions(None)
}

fn read(brokers: &str) -> Reader {
    Reader::start(reading(brokers, &["shop"], Start::Latest), vec![]).expect("the settings are good")
}

/// Where a request asks for the partition; none where a session goes without.
fn asked(request: &FetchRequest) -> Option<(i64, i32)> {
    let partition = request.topics.first()?.partitions.first()?;
    Some((partition.fetch_offset, partition.last_fetched_epoch))
}

#[test]
fn a_log_that_was_cut_back_is_told_with_where_it_was_cut() {
    // After a leader that had missed records took over.
    let brokers = broker(|request| match asked(request) {
        Some((100, -1)) => encoded(&response(one_record(100))),
        Some((101, 5)) => {
            let diverging = EpochEndOffset::default().with_epoch(4).with_end_offset(33);
            encoded(&response(empty(40).with_diverging_epoch(diverging)))
        }
        Some((33, -1)) => encoded(&response(one_record(33))),
        other => panic!("{other:?}"),
    });
    let mut reader = read(&brokers);
    let recreated = |input: &Input| matches!(input, Input::Found { start: 33, stored: true, recreated: true, .. });
    let inputs = until(&mut reader, recreated);
    assert_eq!(records(&inputs), ["100 k=v"]);
    assert_eq!(records(&until(&mut reader, at_end(34))), ["33 k=v"]);
}

#[test]
fn a_session_that_the_broker_has_forgotten_begins_anew() {
    let mut turn = 0;
    let brokers = broker(move |request| {
        turn += 1;
        match (turn, request.session_id, request.session_epoch, asked(request)) {
            (1, 0, 0, Some((100, _))) => encoded(&response(empty(100)).with_session_id(7)),
            (2, 7, 1, None) => encoded(&FetchResponse::default().with_error_code(70)),
            (3, 7, 0, Some((100, _))) => encoded(&response(one_record(100)).with_session_id(8)),
            (_, 8, _, _) => encoded(&FetchResponse::default().with_session_id(8)),
            other => panic!("{other:?}"),
        }
    });
    let mut reader = read(&brokers);
    let inputs = until(&mut reader, at_end(101));
    assert_eq!(records(&inputs), ["100 k=v"]);
    assert!(!inputs.iter().any(|input| matches!(input, Input::Error { .. })), "{inputs:?}");
}

#[test]
fn garbage_and_a_connection_that_ends_are_got_over() {
    let mut turn = 0;
    let brokers = broker(move |_| {
        turn += 1;
        match turn {
            1 => Some(vec![0xff; 100]),
            2 => None,
            3 => encoded(&response(one_record(100))).map(|whole| whole[..whole.len() - 30].to_vec()),
            _ => encoded(&response(one_record(100))),
        }
    });
    assert_eq!(records(&until(&mut read(&brokers), at_end(101))), ["100 k=v"]);
}

/// Batches of one to five records with holes between them: bytes, and the offset behind each.
fn log() -> Vec<(Vec<u8>, i64)> {
    let mut next = 100;
    let mut batches = Vec::new();
    for turn in 0..60 {
        let first = next + turn % 3;
        let records: Vec<_> = (0..=turn % 5)
            .map(|at| {
                let record = common::client::record("k", &format!("v{}", first + at));
                let mut record = common::client::numbered_record(usize::try_from(at).expect("a few"), record);
                (record.offset, record.partition_leader_epoch) = (first + at, 5);
                record
            })
            .collect();
        let mut bytes = bytes::BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut bytes, &records, &options).expect("memory takes all");
        next = first + turn % 5 + 1;
        batches.push((bytes.to_vec(), next));
    }
    batches
}

#[test]
fn whatever_happens_every_record_comes_once_and_in_order() {
    let log = log();
    let end = log.last().map_or(0, |(_, next)| *next);
    let from = |log: &[(Vec<u8>, i64)], offset: i64, most: usize| -> Vec<u8> {
        log.iter().filter(|(_, next)| *next > offset).take(most).flat_map(|(bytes, _)| bytes.clone()).collect()
    };
    let whole = log.clone();
    let mut reader = read(&broker(move |request| {
        let (offset, _) = asked(request)?;
        encoded(&response(empty(end).with_records(Some(from(&whole, offset, 60).into()))))
    }));
    let expected = records(&until(&mut reader, at_end(end)));
    assert_eq!(expected.len(), 180);

    for seed in 1..=20_u64 {
        println!("seed {seed}");
        let mut state = seed;
        let mut random = move |below: usize| {
            // An ordinary xorshift is random enough.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).expect("it fits") % below
        };
        let log = log.clone();
        let brokers = broker(move |request| {
            let (offset, _) = asked(request)?;
            let mut bytes = from(&log, offset, 1 + random(6));
            let what = random(10);
            match what {
                0 => return None,
                1 => return Some((0..random(300)).map(|_| random(256) as u8).collect()),
                2 => return encoded(&response(empty(-1).with_error_code([6, 74, -1, 56][random(4)]))),
                3 => return encoded(&FetchResponse::default().with_error_code([70, 71, -1][random(3)])),
                4 => bytes.truncate(random(bytes.len() + 1)),
                5 if !bytes.is_empty() => {
                    // In the last record: the checksum does not cover a batch's offset and length.
                    let at = bytes.len() - 1 - random(8);
                    bytes[at] ^= 1 << random(8);
                }
                _ => {}
            }
            let mut whole = encoded(&response(empty(end).with_records(Some(bytes.into()))))?;
            if what == 6 {
                whole.truncate(random(whole.len()));
            }
            Some(whole)
        });
        let backoff = ["reconnect.backoff.ms", "reconnect.backoff.max.ms", "retry.backoff.ms", "retry.backoff.max.ms"];
        let reading = with(reading(&brokers, &["shop"], Start::Latest), &backoff.map(|name| (name, "1")));
        let mut reader = Reader::start(reading, vec![]).expect("the settings are good");
        let inputs = until(&mut reader, at_end(end));
        assert_eq!(records(&inputs), expected);
        let again = |input: &&Input| matches!(input, Input::Found { .. } | Input::Gap { .. });
        assert_eq!(inputs.iter().filter(again).count(), 1, "{inputs:?}");
    }
}

#[test]
fn what_cannot_be_read_is_an_error_until_it_can() {
    let mut turn = 0;
    let brokers = broker(move |_| {
        turn += 1;
        let mut bytes = encoded(&response(one_record(100)))?;
        if turn < 4 {
            // The last byte of the record, in front of four that end structs and the record itself.
            let at = bytes.len() - 5;
            bytes[at] ^= 1;
        }
        Some(bytes)
    });
    let mut reader = read(&brokers);
    let inputs = until(&mut reader, |input| matches!(input, Input::Error { .. }));
    let Some(Input::Error { message }) = inputs.iter().find(|input| matches!(input, Input::Error { .. })) else {
        panic!("{inputs:?}")
    };
    let expected = "partition 0 of topic `shop` cannot be read: the batch at offset 100: its checksum is wrong";
    assert_eq!(message, expected);
    let inputs = until(&mut reader, |input| matches!(input, Input::Healthy));
    assert_eq!(records(&inputs), ["100 k=v"]);
}

#[test]
fn a_broker_that_has_no_answer_for_the_partition_is_told() {
    let brokers = broker(|_| encoded(&response(empty(100).with_error_code(29))));
    let inputs = until(&mut read(&brokers), |input| matches!(input, Input::Error { .. }));
    let told = "partition 0 of topic `shop` cannot be read: reading the topic is not allowed to this user";
    assert!(inputs.iter().any(|input| matches!(input, Input::Error { message } if message == told)), "{inputs:?}");
}
