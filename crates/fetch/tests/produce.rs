//! Publishing points to a real Apache Kafka, and to a broker that is told what to answer.

mod common;

use bytes::Bytes;
use common::client::Client;
use common::{reading, until};
use fetch::produce::Producer;
use fetch::{Connection, Input, Reader};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    ApiVersionsResponse, MetadataResponse, ProduceRequest, ProduceResponse, RequestHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use model::definition::Start;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use testkit::Broker;

fn client() -> Client {
    Client::new(testkit::broker().brokers())
}

fn topic(name: &str, partitions: i32) -> String {
    let topic = testkit::unique(name);
    client().create_topic(&topic, partitions, 1, &[]);
    topic
}

fn producer(brokers: &str, properties: &[(&str, &str)]) -> Producer {
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Producer::new(&Connection { brokers: brokers.to_owned(), properties }).expect("the settings are good")
}

/// Key, value and time.
type Point = (String, String, i64);

/// Numbered points of so many keys.
fn points(count: usize, keys: usize) -> Vec<Point> {
    let at_ms = |place: usize| 1_700_000_000_000 + place as i64 * 1_000;
    (0..count).map(|place| (format!("key {}", place % keys), format!("value {place}"), at_ms(place))).collect()
}

#[track_caller]
fn publish(producer: &mut Producer, topic: &str, points: &[Point]) {
    assert_eq!(try_to_publish(producer, topic, points), Ok(()));
}

fn try_to_publish(producer: &mut Producer, topic: &str, points: &[Point]) -> Result<(), String> {
    let messages = points.iter().map(|(key, value, at_ms)| (Some(key.as_bytes()), value.as_bytes(), *at_ms));
    producer.publish(topic, messages).map_err(|error| error.to_string())
}

/// What lies on a topic, by partition, once it is so many records.
fn read(brokers: &str, topic: &str, count: usize) -> BTreeMap<i32, Vec<Point>> {
    let mut reader = Reader::start(reading(brokers, &[topic], Start::Earliest), vec![]).expect("good");
    let mut seen = 0;
    let inputs = until(&mut reader, |input| {
        if let Input::Batch(batch) = input {
            seen += batch.records.len();
        }
        seen >= count
    });
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let mut found: BTreeMap<i32, Vec<Point>> = BTreeMap::new();
    for input in &inputs {
        let Input::Batch(batch) = input else { continue };
        for (place, index) in batch.records.iter().enumerate() {
            let record = batch.record(place);
            let point = (text(record.key), text(record.value), index.timestamp_ms.unwrap_or(-1));
            found.entry(batch.partition).or_default().push(point);
        }
    }
    found
}

/// Each partition has its keys alone, with their points in order.
#[track_caller]
fn check_all(found: &BTreeMap<i32, Vec<Point>>, points: &[Point]) {
    let home: BTreeMap<&str, i32> = found
        .iter()
        .flat_map(|(partition, points)| points.iter().map(|point| (point.0.as_str(), *partition)))
        .collect();
    for (partition, found) in found {
        let expected: Vec<&Point> = points.iter().filter(|point| home.get(&*point.0) == Some(partition)).collect();
        assert!(found.iter().eq(expected.iter().copied()), "partition {partition}: {} found", found.len());
    }
    assert_eq!(found.values().map(Vec::len).sum::<usize>(), points.len());
}

#[test]
fn what_is_published_is_read_with_keys_and_times_and_in_order() {
    let (topic, other) = (topic("points", 3), topic("other", 1));
    let mut producer = producer(testkit::broker().brokers(), &[]);
    let points = points(5_000, 100);
    let (first, rest) = points.split_at(2_000);
    publish(&mut producer, &topic, first);
    publish(&mut producer, &other, &points[..10]);
    publish(&mut producer, &topic, &[]);
    publish(&mut producer, &topic, rest);
    let found = read(testkit::broker().brokers(), &topic, points.len());
    assert_eq!(found.len(), 3);
    check_all(&found, &points);
    check_all(&read(testkit::broker().brokers(), &other, 10), &points[..10]);
}

#[test]
fn what_is_more_than_a_batch_or_a_request_goes_out_in_several() {
    let topic = topic("large", 2);
    // Batches of the usual length and requests of the most, and then more batches than are worth while.
    let long: Vec<Point> = points(12_000, 50)
        .into_iter()
        .map(|(key, value, at)| (key, format!("{value} {}", "x".repeat(1_000)), at))
        .collect();
    publish(&mut producer(testkit::broker().brokers(), &[]), &topic, &long);
    let short = points(2_000, 50);
    publish(&mut producer(testkit::broker().brokers(), &[("message.max.bytes", "1000")]), &topic, &short);
    let all = [long, short].concat();
    check_all(&read(testkit::broker().brokers(), &topic, all.len()), &all);
}

#[test]
fn a_record_that_the_broker_does_not_take_is_told_at_once() {
    let topic = topic("huge", 1);
    let huge = [("key".to_owned(), "x".repeat(2 << 20), 0)];
    let mut producer = producer(testkit::broker().brokers(), &[]);
    let told = try_to_publish(&mut producer, &topic, &huge).expect_err("it is too long");
    let expected = format!(
        "cannot publish to topic `{topic}`: partition 0: the broker takes no batch of records as large; \
         `message.max.bytes` bounds those of more than one record"
    );
    assert!(told.starts_with(&expected), "{told}");
    publish(&mut producer, &topic, &points(1, 1));
    check_all(&read(testkit::broker().brokers(), &topic, 1), &points(1, 1));
}

#[test]
fn a_topic_that_does_not_exist_is_told_in_time_and_waited_for_until_then() {
    let topic = testkit::unique("later");
    let brokers = testkit::broker().brokers();
    let told = try_to_publish(&mut producer(brokers, &[("message.timeout.ms", "300")]), &topic, &points(1, 1));
    let expected = format!(
        "cannot publish to topic `{topic}`: the broker does not know the topic or partition; it was tried for 300 ms"
    );
    assert_eq!(told, Err(expected));
    let mut producer = producer(brokers, &[]);
    std::thread::scope(|scope| {
        scope.spawn(|| publish(&mut producer, &topic, &points(10, 3)));
        client().create_topic(&topic, 2, 1, &[]);
    });
    check_all(&read(brokers, &topic, 10), &points(10, 3));
}

#[test]
fn a_broker_that_goes_away_is_waited_for() {
    let mut broker = Broker::start();
    if !broker.is_own() {
        return; // Others need it.
    }
    Client::new(broker.brokers()).create_topic("points", 2, 1, &[]);
    let mut producer = producer(broker.brokers(), &[]);
    let points = points(20, 5);
    let (first, rest) = points.split_at(10);
    publish(&mut producer, "points", first);
    broker.stop();
    std::thread::scope(|scope| {
        scope.spawn(|| publish(&mut producer, "points", rest));
        broker.restart();
    });
    // Connections that were closed while nobody needed them are no matter either.
    broker.restart();
    publish(&mut producer, "points", &points);
    let expected = [&points[..], &points].concat();
    check_all(&read(broker.brokers(), "points", expected.len()), &expected);
}

/// Starts a broker with one topic, `points`, of two partitions. It answers for each partition of a request with an
/// error code; none, and the connection ends.
fn told(answer: impl FnMut(&[i32]) -> Option<Vec<i16>> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let mut answer = answer;
    std::thread::spawn(move || {
        // One connection asks who leads, and one publishes; each may come again.
        let (requests, served) = std::sync::mpsc::channel::<(Vec<i32>, std::sync::mpsc::Sender<Option<Vec<i16>>>)>();
        std::thread::spawn(move || {
            for (asked, reply) in served {
                let _ = reply.send(answer(&asked));
            }
        });
        for stream in listener.incoming().map_while(Result::ok) {
            let requests = requests.clone();
            std::thread::spawn(move || {
                serve(stream, i32::from(address.port()), |asked| {
                    let (reply, replied) = std::sync::mpsc::channel();
                    requests.send((asked, reply)).ok()?;
                    replied.recv().ok()?
                })
            });
        }
    });
    address.to_string()
}

fn serve(mut stream: TcpStream, port: i32, answer: impl Fn(Vec<i32>) -> Option<Vec<i16>>) -> Option<()> {
    let name = || TopicName(StrBytes::from_static_str("points"));
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length).ok()?;
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut request).ok()?;
        let (key, version) =
            (i16::from_be_bytes([request[0], request[1]]), i16::from_be_bytes([request[2], request[3]]));
        let flexible = matches!(key, 0 | 3) && version >= 9;
        let mut request = Bytes::from(request);
        let header = RequestHeader::decode(&mut request, if flexible { 2 } else { 1 }).expect("a header");
        let mut response = vec![0; 4];
        response.extend(header.correlation_id.to_be_bytes());
        response.extend(flexible.then_some(0));
        match key {
            0 => {
                let request = ProduceRequest::decode(&mut request, version).expect("a request");
                let asked: Vec<i32> = request.topic_data[0].partition_data.iter().map(|of| of.index).collect();
                let errors = answer(asked.clone())?;
                let partition = |(index, error): (&i32, &i16)| {
                    PartitionProduceResponse::default().with_index(*index).with_error_code(*error)
                };
                let partitions = asked.iter().zip(&errors).map(partition).collect();
                let topic = TopicProduceResponse::default().with_name(name()).with_partition_responses(partitions);
                let answer = ProduceResponse::default().with_responses(vec![topic]);
                answer.encode(&mut response, version).expect("memory takes all");
            }
            3 => {
                let host = StrBytes::from_static_str("127.0.0.1");
                let broker = MetadataResponseBroker::default().with_node_id(1.into()).with_host(host).with_port(port);
                let led =
                    |index| MetadataResponsePartition::default().with_partition_index(index).with_leader_id(1.into());
                let topic =
                    MetadataResponseTopic::default().with_name(Some(name())).with_partitions([0, 1].map(led).to_vec());
                let answer = MetadataResponse::default().with_brokers(vec![broker]).with_topics(vec![topic]);
                answer.encode(&mut response, version).expect("memory takes all");
            }
            _ => {
                let speaks = |(api_key, max_version)| {
                    ApiVersion::default().with_api_key(api_key).with_min_version(0).with_max_version(max_version)
                };
                let versions =
                    ApiVersionsResponse::default().with_api_keys([(0, 9), (3, 12), (18, 0)].map(speaks).to_vec());
                versions.encode(&mut response, version).expect("memory takes all");
            }
        }
        let length = response.len() as u32 - 4;
        response[..4].copy_from_slice(&length.to_be_bytes());
        stream.write_all(&response).ok()?;
    }
}

/// What a broker is asked for that answers so in turn, and what comes of it.
#[track_caller]
fn check(answers: &[Option<&[i16]>], asked: &[&[i32]], expected: Result<(), &str>) {
    let (seen, all) = std::sync::mpsc::channel();
    let mut answers: Vec<Option<Vec<i16>>> = answers.iter().rev().map(|of| of.map(<[i16]>::to_vec)).collect();
    let brokers = told(move |partitions| {
        seen.send(partitions.to_vec()).expect("the test listens");
        answers.pop().expect("no more is asked")
    });
    let quick = [("retry.backoff.ms", "1"), ("retry.backoff.max.ms", "1")];
    // The keys lie on both partitions.
    let outcome = try_to_publish(&mut producer(&brokers, &quick), "points", &points(100, 10));
    assert_eq!(outcome.as_ref().map_err(String::as_str), expected.as_ref().map(|()| &()).map_err(|told| *told));
    assert_eq!(all.try_iter().collect::<Vec<_>>(), asked);
}

#[test]
fn only_what_is_not_acknowledged_is_sent_again() {
    // What passes: no leader here any more, too few replicas, too late; and a connection that ends.
    let answers: [Option<&[i16]>; 5] = [Some(&[0, 6]), Some(&[19]), None, Some(&[7]), Some(&[0])];
    check(&answers, &[&[0, 1], &[1], &[1], &[1], &[1]], Ok(()));
    check(&[Some(&[3, 0]), Some(&[0])], &[&[0, 1], &[0]], Ok(()));
    // A broker that forgets one.
    check(&[Some(&[0]), Some(&[0])], &[&[0, 1], &[1]], Ok(()));
}

#[test]
fn what_somebody_has_to_mend_is_told_at_once() {
    let told = "cannot publish to topic `points`: partition 0: writing to the topic is not allowed to this user";
    check(&[Some(&[29, 6])], &[&[0, 1]], Err(told));
}
