//! Reading and publishing on the embedded broker. It tells topic ids, but keeps to no sessions and waits for no bytes:
//! what is said here of our own fetch path holds for the demo.

mod common;

use common::{both, connection, message, reading, records, start, until};
use kafka::{Connection, Embedded, Error, Input, Message, Points, Publisher, Reader};
use model::definition::{Fetch, Start};
use std::collections::BTreeMap;
use std::sync::Arc;

fn publish(embedded: &Embedded, topic: &str, messages: &[Message]) {
    let publisher = Publisher::new(&connection(&embedded.brokers())).expect("the settings are good");
    publisher.publish(topic, messages).expect("the broker acknowledges");
}

#[test]
fn what_is_published_is_read_with_keys_nulls_and_headers() {
    both(|by| {
        let embedded = Embedded::start(&[("shop", 1)]).expect("it starts");
        let header = |value: &str| ("source".to_owned(), value.as_bytes().to_vec());
        let tombstone = Message { value: None, headers: vec![header("a"), header("")], ..message("k2", "") };
        publish(&embedded, "shop", &[message("k1", "v1"), tombstone, message("", "")]);
        let mut reader = start(by, reading(&embedded.brokers(), &["shop"], Start::Earliest), None);
        let inputs = until(&mut reader, |input| matches!(input, Input::AtEnd { .. }));
        assert_eq!(records(&inputs), ["0 k1=v1", "1 k2=null source=a source=", "2 ="]);
        assert!(matches!(inputs.last(), Some(Input::AtEnd { next_offset: 3, partition: 0, .. })), "{inputs:?}");
    });
}

#[test]
fn latest_begins_at_the_end_and_what_comes_later_is_read() {
    both(|by| {
        let embedded = Embedded::start(&[("shop", 1)]).expect("it starts");
        publish(&embedded, "shop", &[message("k", "old")]);
        let mut reader = start(by, reading(&embedded.brokers(), &["shop"], Start::Latest), None);
        until(&mut reader, |input| matches!(input, Input::AtEnd { next_offset: 1, .. }));
        publish(&embedded, "shop", &[message("k", "new")]);
        let inputs = until(&mut reader, |input| matches!(input, Input::AtEnd { next_offset: 2, .. }));
        assert_eq!(records(&inputs), ["1 k=new"]);
    });
}

#[test]
fn a_stored_position_is_where_reading_goes_on() {
    both(|by| {
        let embedded = Embedded::start(&[("shop", 1)]).expect("it starts");
        publish(&embedded, "shop", &["a", "b", "c"].map(|value| message("k", value)));
        let mut reader = start(by, reading(&embedded.brokers(), &["shop"], Start::Latest), Some(2));
        let inputs = until(&mut reader, |input| matches!(input, Input::AtEnd { .. }));
        assert!(
            inputs.iter().any(|input| matches!(
                input,
                Input::Found { start: 2, low: 0, stored: true, gap: None, recreated: false, .. }
            )),
            "{inputs:?}"
        );
        assert_eq!(records(&inputs), ["2 k=c"]);
    });
}

#[test]
fn a_stored_position_beyond_the_end_says_that_the_topic_is_another() {
    both(|by| {
        let embedded = Embedded::start(&[("shop", 1)]).expect("it starts");
        publish(&embedded, "shop", &[message("k", "a")]);
        let mut reader = start(by, reading(&embedded.brokers(), &["shop"], Start::Latest), Some(50));
        let inputs = until(&mut reader, |input| matches!(input, Input::Found { .. }));
        assert!(
            inputs.iter().any(|input| matches!(input, Input::Found { start: 0, stored: true, recreated: true, .. })),
            "{inputs:?}"
        );
    });
}

#[test]
fn a_paused_partition_gives_nothing_until_it_is_resumed_and_then_everything() {
    both(|by| {
        let embedded = Embedded::start(&[("shop", 2)]).expect("it starts");
        let mut reader = start(by, reading(&embedded.brokers(), &["shop"], Start::Earliest), None);
        until(&mut reader, |input| matches!(input, Input::AtEnd { partition: 0, .. }));
        let topic: Arc<str> = "shop".into();
        reader.pause(&topic, 0);
        // The other partition shows that the pause has been obeyed: commands are taken in their order.
        let to = |partition| Message { partition: Some(partition), ..message("k", "v") };
        reader.assign(&topic, 1, 0);
        until(&mut reader, |input| matches!(input, Input::AtEnd { partition: 1, .. }));
        publish(&embedded, "shop", &[to(0), to(0)]);
        publish(&embedded, "shop", &[to(1)]);
        let inputs = until(&mut reader, |input| matches!(input, Input::AtEnd { partition: 1, next_offset: 1, .. }));
        assert!(
            !inputs.iter().any(|input| matches!(input, Input::Batch(batch) if batch.partition == 0)),
            "a paused partition was read: {inputs:?}"
        );
        reader.resume(&topic, 0);
        let inputs = until(&mut reader, |input| matches!(input, Input::AtEnd { partition: 0, next_offset: 2, .. }));
        assert_eq!(records(&inputs), ["0 k=v", "1 k=v"]);
    });
}

#[test]
fn more_than_the_channel_holds_arrives_once_and_in_order() {
    both(|by| {
        let embedded = Embedded::start(&[("shop", 1)]).expect("it starts");
        let value = "x".repeat(500);
        let messages: Vec<Message> = (0..9_000).map(|i| message(&i.to_string(), &value)).collect();
        publish(&embedded, "shop", &messages);
        let mut reader = start(by, reading(&embedded.brokers(), &["shop"], Start::Earliest), None);
        let inputs = until(&mut reader, |input| matches!(input, Input::AtEnd { next_offset: 9_000, .. }));
        let batches = inputs.iter().filter_map(|input| match input {
            Input::Batch(batch) => Some(batch),
            _ => None,
        });
        let offsets: Vec<i64> = batches.flat_map(|batch| batch.records.iter().map(|record| record.offset)).collect();
        assert_eq!(offsets, (0..9_000).collect::<Vec<i64>>());
    });
}

#[test]
fn equal_keys_meet_in_one_partition() {
    both(|by| {
        let embedded = Embedded::start(&[("shop", 8)]).expect("it starts");
        let keys = ["checkout", "payments", "checkout", "payments", "checkout"];
        publish(&embedded, "shop", &keys.map(|key| message(key, "v")));
        let mut reader = start(by, reading(&embedded.brokers(), &["shop"], Start::Earliest), None);
        let mut ends = 0;
        let inputs = until(&mut reader, |input| {
            ends += i32::from(matches!(input, Input::AtEnd { .. }));
            ends == 8
        });
        let mut shares: Vec<Vec<String>> = Vec::new();
        for input in &inputs {
            if let Input::Batch(batch) = input {
                let keys = (0..batch.records.len()).map(|place| batch.record(place).key.unwrap_or_default());
                shares.push(keys.map(|key| String::from_utf8_lossy(key).into_owned()).collect());
            }
        }
        shares.sort();
        assert_eq!(shares, [vec!["checkout"; 3], vec!["payments"; 2]]);
    });
}

#[test]
fn points_lie_where_librdkafka_puts_them_whoever_publishes_them() {
    let embedded = Embedded::start(&[("own", 7), ("librdkafka", 7)]).expect("it starts");
    let points: Vec<(String, i64)> = (0..500).map(|place| (format!("key {}", place % 99), 1_000 + place)).collect();
    let published = |topic: &str, properties: &[(&str, &str)]| {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let connection = Connection { properties, ..connection(&embedded.brokers()) };
        let mut publisher = Points::new(&connection).expect("one of both takes the settings");
        let messages = points.iter().map(|(key, at_ms)| (Some(key.as_bytes()), b"v".as_slice(), *at_ms));
        publisher.publish(topic, messages).expect("the broker acknowledges");
        let mut reader = start(Fetch::Own, reading(&embedded.brokers(), &[topic], Start::Earliest), None);
        let mut ends = 0;
        let inputs = until(&mut reader, |input| {
            ends += i32::from(matches!(input, Input::AtEnd { .. }));
            ends == 7
        });
        let mut found: BTreeMap<i32, Vec<(String, i64)>> = BTreeMap::new();
        for input in &inputs {
            let Input::Batch(batch) = input else { continue };
            let points = batch.records.iter().enumerate().map(|(place, index)| {
                let key = batch.record(place).key.unwrap_or_default();
                (String::from_utf8_lossy(key).into_owned(), index.timestamp_ms.unwrap_or(-1))
            });
            found.entry(batch.partition).or_default().extend(points);
        }
        found
    };
    let own = published("own", &[("fetch.min.bytes", "1")]);
    assert_eq!((own.len(), own.values().map(Vec::len).sum::<usize>()), (7, 500));
    // A property that our own path does not know.
    assert_eq!(published("librdkafka", &[("compression.type", "gzip")]), own);
}

#[test]
fn a_bad_setting_of_points_is_named() {
    let properties = vec![("enable.idempotence".to_owned(), "false".to_owned())];
    let error = Points::new(&Connection { properties, ..connection("127.0.0.1:1") }).err().map(|e| e.to_string());
    let expected =
        "kafka property `enable.idempotence` cannot be set here: correct results need the built-in value".to_owned();
    assert_eq!(error, Some(expected));
}

#[test]
fn bad_settings_are_named() {
    let check = |by: Fetch, properties: &[(&str, &str)], expected: &str| {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let connection = Connection { brokers: "127.0.0.1:1".to_owned(), properties };
        let reading = kafka::Reading { connection, ..reading("", &["shop"], Start::Latest) };
        let error = Reader::start(by, reading, vec![]).err().map(|e: Error| e.to_string()).unwrap_or_default();
        assert_eq!(error, expected);
    };
    both(|by| {
        check(
            by,
            &[("enable.auto.commit", "true")],
            "kafka property `enable.auto.commit` cannot be set here: correct results need the built-in value",
        );
        check(
            by,
            &[("group.instance.id", "a")],
            "kafka property `group.instance.id` cannot be set here: one process reads all partitions; \
             no group shares them out",
        );
    });
    check(
        Fetch::Librdkafka,
        &[("security.protocl", "ssl")],
        "kafka property `security.protocl` is not accepted: No such configuration property: \"security.protocl\"",
    );
    check(
        Fetch::Librdkafka,
        &[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "GSSAPI")],
        "cannot make a kafka client: No provider for SASL mechanism GSSAPI: recompile librdkafka with libsasl2 or \
         openssl support. Current build options: PLAIN SASL_SCRAM OAUTHBEARER",
    );
    check(
        Fetch::Own,
        &[("queued.min.messages", "1000")],
        "kafka property `queued.min.messages` is not accepted: our own fetch path does not know it: leave it out, or \
         write `fetch: librdkafka` at the source",
    );
}
