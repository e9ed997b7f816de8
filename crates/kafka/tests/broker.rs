//! Reading from a real Apache Kafka: what the embedded broker does not know. Everything holds for both ways of reading;
//! what our own fetch path does beyond that is shown by the tests of `fetch`.

mod common;

use common::{at_end, both, connection, message, reading, records, start, until};
use kafka::{Connection, Input, Message, Position, Publisher, Reader, Reading, create_topics, extents, topics_exist};
use model::Time;
use model::definition::{Fetch, Start};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A new topic on the shared broker.
fn topic(name: &str, partitions: i32) -> String {
    let topic = testkit::unique(name);
    create_topics(&connection(testkit::broker().brokers()), &[(&topic, partitions)]).expect("the topic is created");
    topic
}

/// The same with a setting of its own.
fn configured(name: &str, partitions: i32, setting: &str, value: &str) -> String {
    let topic = testkit::unique(name);
    let new = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1)).set(setting, value);
    wait(admin().create_topics(&[new], &AdminOptions::new())).expect("the topic is created");
    topic
}

fn publish(topic: &str, messages: &[Message]) {
    let publisher = Publisher::new(&connection(testkit::broker().brokers())).expect("the settings are good");
    publisher.publish(topic, messages).expect("the broker acknowledges");
}

fn read(by: Fetch, topic: &str, from: Start, stored: Option<i64>) -> Reader {
    start(by, reading(testkit::broker().brokers(), &[topic], from), stored)
}

fn admin() -> AdminClient<DefaultClientContext> {
    client_config().create().expect("an administrator can be made")
}

fn client_config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", testkit::broker().brokers());
    config
}

/// The administrator's answer. It comes from a thread of its own; yielding until then is good enough for a test.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

fn delete(topic: &str) {
    let results = wait(admin().delete_topics(&[topic], &AdminOptions::new())).expect("the broker answers");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

fn delete_records_before(topic: &str, offset: i64) {
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(topic, 0, Offset::Offset(offset)).expect("the offset is good");
    wait(admin().delete_records(&before, &AdminOptions::new())).expect("the broker deletes");
}

#[test]
fn topics_are_made_and_found() {
    let connection = connection(testkit::broker().brokers());
    let made = topic("made", 3);
    let missing = testkit::unique("missing");
    assert_eq!(topics_exist(&connection, &[&made, &missing]), Ok(vec![true, false]));
    assert_eq!(create_topics(&connection, &[(&made, 3)]), Ok(()), "what exists is as wanted");
}

#[test]
fn start_by_time_begins_with_the_first_record_not_before_it() {
    both(|by| {
        let topic = topic("by-time", 1);
        let at = |timestamp_ms, value| Message { timestamp_ms: Some(timestamp_ms), ..message("k", value) };
        publish(&topic, &[at(1_000, "a"), at(2_000, "b"), at(3_000, "c")]);
        let check = |nanos, expected: &[&str]| {
            let mut reader = read(by, &topic, Start::At(Time::from_nanos(nanos)), None);
            assert_eq!(records(&until(&mut reader, at_end(3))), expected);
        };
        check(0, &["0 k=a", "1 k=b", "2 k=c"]);
        check(2_000_000_000, &["1 k=b", "2 k=c"]);
        check(2_000_000_001, &["2 k=c"]);
        check(4_000_000_000, &[]);
    });
}

#[test]
fn what_lies_on_topics_is_told_once() {
    let topic = topic("extents", 2);
    let at =
        |timestamp_ms, value| Message { timestamp_ms: Some(timestamp_ms), partition: Some(0), ..message("k", value) };
    publish(&topic, &[at(1_000, "a"), at(2_000, "b"), at(3_000, "c"), at(4_000, "d")]);
    delete_records_before(&topic, 1);
    let topics = [topic.as_str().into(), testkit::unique("nowhere").into()];
    let seconds = |seconds: i64| Time::from_nanos(seconds * 1_000_000_000);
    let check = |by: Fetch, from: Start, to: Option<Time>, expected: &str| {
        let found = extents(by, &connection(testkit::broker().brokers()), &topics, from, to).expect("an answer");
        let shown = found.iter().map(|it| format!("{} {}..{} {}..{}", it.partition, it.low, it.high, it.start, it.end));
        assert_eq!(shown.collect::<Vec<_>>().join(", "), expected);
    };
    both(|by| {
        check(by, Start::Earliest, None, "0 1..4 1..4, 1 0..0 0..0");
        check(by, Start::Latest, None, "0 1..4 4..4, 1 0..0 0..0");
        check(by, Start::At(seconds(3)), None, "0 1..4 2..4, 1 0..0 0..0");
        check(by, Start::Earliest, Some(seconds(3)), "0 1..4 1..2, 1 0..0 0..0");
        check(by, Start::At(seconds(5)), Some(seconds(9)), "0 1..4 4..4, 1 0..0 0..0");
    });
}

#[test]
fn times_of_producer_and_of_broker_are_told_apart() {
    both(|by| {
        let by_producer = topic("create-time", 1);
        let by_broker = configured("append-time", 1, "message.timestamp.type", "LogAppendTime");
        let check = |topic: &str, expected: bool| {
            publish(topic, &[Message { timestamp_ms: Some(5_000), ..message("k", "v") }]);
            let inputs = until(&mut read(by, topic, Start::Earliest, None), at_end(1));
            let batch = inputs.iter().find_map(|input| match input {
                Input::Batch(batch) => Some(batch),
                _ => None,
            });
            let index = &batch.expect("a record has come").records[0];
            assert_eq!((index.appended, index.timestamp_ms == Some(5_000)), (expected, !expected), "{index:?}");
        };
        check(&by_producer, false);
        check(&by_broker, true);
    });
}

#[test]
fn a_topic_that_appears_later_is_waited_for_and_read_from_its_beginning() {
    both(|by| {
        let name = testkit::unique("later");
        let mut reader = read(by, &name, Start::Latest, None);
        until(&mut reader, |input| matches!(input, Input::Missing { topic } if **topic == *name));
        create_topics(&connection(testkit::broker().brokers()), &[(&name, 1)]).expect("the topic is created");
        publish(&name, &[message("k", "v")]);
        assert_eq!(records(&until(&mut reader, at_end(1))), ["0 k=v"]);
    });
}

#[test]
fn partitions_that_appear_later_are_read_from_their_beginning() {
    both(|by| {
        let topic = topic("growing", 1);
        let mut reader = read(by, &topic, Start::Latest, None);
        until(&mut reader, at_end(0));
        wait(admin().create_partitions(&[NewPartitions::new(&topic, 2)], &AdminOptions::new())).expect("it grows");
        let inputs = until(&mut reader, |input| matches!(input, Input::Found { partition: 1, .. }));
        assert!(inputs.iter().any(|input| matches!(
            input,
            Input::Found { partition: 1, start: 0, stored: false, gap: None, recreated: false, .. }
        )));
        publish(&topic, &[Message { partition: Some(1), ..message("k", "v") }]);
        assert_eq!(records(&until(&mut reader, at_end(1))), ["0 k=v"]);
    });
}

#[test]
fn a_caller_that_is_behind_gets_everything_in_bounded_pieces() {
    // What is compressed is a small part of what it unpacks to.
    for codec in ["uncompressed", "zstd"] {
        let topic = configured("large", 2, "compression.type", codec);
        let value = "x".repeat(100_000);
        let large = |key: i32| Message { partition: Some(key % 2), ..message(&key.to_string(), &value) };
        publish(&topic, &(0..240).map(large).collect::<Vec<_>>());
        both(|by| gets_everything_in_bounded_pieces(&mut read(by, &topic, Start::Earliest, None)));
    }
}

fn gets_everything_in_bounded_pieces(reader: &mut Reader) {
    let mut next = [0, 0];
    while next != [120, 120] {
        let inputs = reader.poll(Duration::from_secs(30));
        assert!(!inputs.is_empty(), "nothing came any more at {next:?}");
        let mut bytes = 0;
        for input in inputs {
            match input {
                Input::Found { topic, partition, start, .. } => reader.assign(&topic, partition, start),
                Input::Batch(batch) => {
                    bytes += batch.buffer.len();
                    for record in &batch.records {
                        assert_eq!(record.offset, next[batch.partition as usize]);
                        next[batch.partition as usize] += 1;
                    }
                    reader.give_back(batch);
                }
                _ => {}
            }
        }
        // Up to 8 MB, and the batch that went beyond.
        assert!(bytes < 11_000_000, "{bytes}");
    }
}

#[test]
fn what_was_deleted_before_the_start_is_a_gap() {
    both(|by| {
        let topic = topic("deleted", 1);
        publish(&topic, &["a", "b", "c", "d"].map(|value| message("k", value)));
        delete_records_before(&topic, 3);
        let mut reader = read(by, &topic, Start::Latest, Some(1));
        let inputs = until(&mut reader, at_end(4));
        assert!(
            inputs.iter().any(|input| matches!(
                input,
                Input::Found { start: 3, low: 3, stored: true, gap: Some((1, 3)), recreated: false, .. }
            )),
            "{inputs:?}"
        );
        assert_eq!(records(&inputs), ["3 k=d"]);
    });
}

#[test]
fn what_is_deleted_while_reading_is_a_gap() {
    both(|by| {
        let topic = topic("deleting", 1);
        let mut reader = read(by, &topic, Start::Latest, None);
        until(&mut reader, at_end(0));
        publish(&topic, &["a", "b", "c", "d"].map(|value| message("k", value)));
        until(&mut reader, at_end(4));
        delete_records_before(&topic, 3);
        // As if the reader had been slower than the deletion.
        reader.assign(&topic.as_str().into(), 0, 1);
        let inputs = until(&mut reader, at_end(4));
        assert!(inputs.iter().any(|input| matches!(input, Input::Gap { from: 1, to: 3, .. })), "{inputs:?}");
        assert_eq!(records(&inputs), ["3 k=d"]);
    });
}

#[test]
fn a_topic_made_again_is_reported_at_the_start() {
    both(|by| {
        let topic = topic("again", 1);
        publish(&topic, &[message("k", "new")]);
        let mut reader = read(by, &topic, Start::Latest, Some(7));
        let inputs = until(&mut reader, at_end(1));
        assert!(
            inputs.iter().any(|input| matches!(input, Input::Found { start: 0, stored: true, recreated: true, .. })),
            "{inputs:?}"
        );
        assert_eq!(records(&inputs), ["0 k=new"]);
    });
}

#[test]
fn a_topic_made_again_while_reading_is_reported() {
    both(|by| {
        let topic = topic("reborn", 1);
        publish(&topic, &[message("k", "old"), message("k", "old")]);
        let mut reader = read(by, &topic, Start::Earliest, None);
        until(&mut reader, at_end(2));
        delete(&topic);
        until(&mut reader, |input| matches!(input, Input::Missing { .. }));
        create_topics(&connection(testkit::broker().brokers()), &[(&topic, 1)]).expect("the topic is created again");
        publish(&topic, &["a", "b", "c"].map(|value| message("k", value)));
        let inputs = until(&mut reader, at_end(3));
        assert!(
            inputs.iter().any(|input| matches!(input, Input::Found { start: 0, recreated: true, .. })),
            "{inputs:?}"
        );
        assert_eq!(records(&inputs), ["0 k=a", "1 k=b", "2 k=c"]);
    });
}

#[test]
fn the_end_is_told_to_who_begins_there_anew() {
    both(|by| {
        let topic = topic("anew", 1);
        publish(&topic, &[message("k", "a")]);
        let mut reader = read(by, &topic, Start::Latest, None);
        until(&mut reader, at_end(1));
        reader.assign(&topic.as_str().into(), 0, 1);
        until(&mut reader, at_end(1));
        reader.assign(&topic.as_str().into(), 0, 0);
        assert_eq!(records(&until(&mut reader, at_end(1))), ["0 k=a"]);
    });
}

#[test]
fn whoever_reads_goes_on_where_the_other_has_ended() {
    let topic = topic("handed-over", 1);
    let mut position = Position { topic: topic.as_str().into(), partition: 0, next_offset: 0, topic_id: None };
    for (place, by) in [Fetch::Own, Fetch::Librdkafka, Fetch::Own].into_iter().enumerate() {
        publish(&topic, &[message("k", &place.to_string())]);
        let reading = reading(testkit::broker().brokers(), &[&topic], Start::Latest);
        let mut reader = Reader::start(by, reading, vec![position.clone()]).expect("the settings are good");
        position.next_offset += 1;
        let inputs = until(&mut reader, at_end(position.next_offset));
        let found = |input: &Input| match input {
            Input::Found { stored: true, recreated: false, gap: None, topic_id, .. } => Some(topic_id.clone()),
            _ => None,
        };
        position.topic_id = inputs.iter().find_map(found).expect("it is the same topic");
        assert_eq!(position.topic_id.is_some(), by == Fetch::Own, "librdkafka tells no ids");
        assert_eq!(records(&inputs), [format!("{place} k={place}")]);
    }
}

#[test]
fn aborted_records_are_hidden_and_the_end_lies_behind_them() {
    both(|by| {
        let topic = topic("transactions", 1);
        let producer: BaseProducer =
            client_config().set("transactional.id", &topic).create().expect("a producer can be made");
        producer.init_transactions(Duration::from_secs(30)).expect("the broker knows transactions");
        let send = |value: &str, commit: bool| {
            producer.begin_transaction().expect("it begins");
            producer.send(BaseRecord::to(&topic).key("k").payload(value)).expect("it is sent");
            producer.flush(Duration::from_secs(30)).expect("it arrives");
            let end = Duration::from_secs(30);
            if commit { producer.commit_transaction(end) } else { producer.abort_transaction(end) }.expect("it ends");
        };
        send("kept", true);
        send("aborted", false);
        // Each transaction is a record and a mark.
        assert_eq!(records(&until(&mut read(by, &topic, Start::Earliest, None), at_end(4))), ["0 k=kept"]);
    });
}

#[test]
fn offsets_are_committed_for_lag_monitors() {
    both(|by| {
        let topic = topic("monitored", 1);
        publish(&topic, &[message("k", "v")]);
        let group = testkit::unique("monitored");
        let reading =
            Reading { group: Some(group.clone()), ..reading(testkit::broker().brokers(), &[&topic], Start::Earliest) };
        let mut reader = start(by, reading, None);
        until(&mut reader, at_end(1));
        reader.commit_offsets(&[(topic.as_str().into(), 0, 1)]);
        let monitor: BaseConsumer = client_config().set("group.id", &group).create().expect("a monitor can be made");
        let committed = || {
            let mut asked = TopicPartitionList::new();
            asked.add_partition(&topic, 0);
            let answer = monitor.committed_offsets(asked, Duration::from_secs(10)).expect("the broker answers");
            answer.elements()[0].offset()
        };
        assert!((0..1_000).any(|_| committed() == Offset::Offset(1)), "{:?}", committed());
    });
}

#[test]
fn a_broker_that_goes_away_is_an_error_until_it_is_back() {
    both(|by| {
        let mut broker = testkit::Broker::start();
        if !broker.is_own() {
            return; // Others use it.
        }
        let connection = connection(broker.brokers());
        create_topics(&connection, &[("shop", 1)]).expect("the topic is created");
        let publisher = Publisher::new(&connection).expect("the settings are good");
        let mut reader = start(by, reading(broker.brokers(), &["shop"], Start::Earliest), None);
        until(&mut reader, at_end(0));
        broker.kill();
        let inputs = until(&mut reader, |input| matches!(input, Input::Error { .. }));
        assert!(
            inputs.iter().any(
                |input| matches!(input, Input::Error { message } if message.starts_with("the brokers do not answer: "))
            ),
            "{inputs:?}"
        );
        broker.restart();
        until(&mut reader, |input| matches!(input, Input::Healthy));
        publisher.publish("shop", &[message("k", "v")]).expect("the publisher finds the broker again");
        assert_eq!(records(&until(&mut reader, at_end(1))), ["0 k=v"]);
    });
}

#[test]
fn a_broker_that_is_not_there_is_an_error_with_its_reason() {
    // Nothing listens on the port of a socket that has been closed.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let brokers = port.expect("a port is free").to_string();
    both(|by| {
        let mut reader = start(by, reading(&brokers, &["shop"], Start::Latest), None);
        let inputs = until(&mut reader, |input| matches!(input, Input::Error { .. }));
        let Input::Error { message: told } = &inputs[0] else { panic!("{inputs:?}") };
        assert!(told.contains(&brokers) && told.contains("Connection refused"), "{told}");
        let asked = extents(by, &connection(&brokers), &["shop".into()], Start::Earliest, None);
        let told = asked.expect_err("nobody answers").to_string();
        assert!(told.starts_with("cannot ask what lies on ") && told.contains("Connection refused"), "{told}");
    });

    let mut connection: Connection = connection(&brokers);
    connection.properties.push(("message.timeout.ms".to_owned(), "1000".to_owned()));
    let publisher = Publisher::new(&connection).expect("the settings are good");
    let error = publisher.publish("shop", &[message("k", "v")]).expect_err("nobody acknowledges").to_string();
    assert!(error.starts_with("cannot publish to topic `shop`: ") && error.contains("Connection refused"), "{error}");
}
