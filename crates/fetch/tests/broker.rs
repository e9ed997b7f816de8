//! Reading from a real Apache Kafka: what only this way of reading does. What it has in common with librdkafka is
//! shown for both by the tests of `kafka`.

mod common;

use common::client::{Client, numbered_record, record, records as batch};
use common::{at_end, position, reading, records, until, with};
use fetch::{Input, Position, Reader, Reading};
use kafka_protocol::records::Record;
use model::definition::Start;

fn client() -> Client {
    Client::new(testkit::broker().brokers())
}

/// A new topic on the shared broker.
fn topic(name: &str, partitions: i32) -> String {
    configured(name, partitions, &[])
}

fn configured(name: &str, partitions: i32, configs: &[(&str, &str)]) -> String {
    let topic = testkit::unique(name);
    client().create_topic(&topic, partitions, 1, configs);
    topic
}

fn publish(topic: &str, values: &[&str]) {
    client().produce(topic, 0, &batch(values));
}

fn start(reading: Reading, positions: Vec<Position>) -> Reader {
    Reader::start(reading, positions).expect("the settings are good")
}

fn read(topic: &str, start_at: Start, stored: Option<i64>) -> Reader {
    let reading = reading(testkit::broker().brokers(), &[topic], start_at);
    let stored = stored.map(|next_offset| position(&reading, next_offset));
    start(reading, stored.into_iter().collect())
}

/// Inputs without what tells of health and lag.
fn found(inputs: &[Input]) -> Vec<&Input> {
    inputs.iter().filter(|input| matches!(input, Input::Found { .. })).collect()
}

#[test]
fn what_is_produced_is_read_with_keys_nulls_and_headers() {
    let topic = topic("shop", 1);
    let headers = [("source", Some("a")), ("empty", Some("")), ("null", None)];
    let headers = headers.map(|(name, value)| {
        (name.to_owned().into(), value.map(|value| bytes::Bytes::copy_from_slice(value.as_bytes())))
    });
    let tombstone = Record { value: None, headers: headers.into_iter().collect(), ..record("k2", "") };
    let keyless = Record { key: None, ..record("", "") };
    client().produce(&topic, 0, &[record("k1", "v1"), numbered_record(1, tombstone), numbered_record(2, keyless)]);
    let inputs = until(&mut read(&topic, Start::Earliest, None), at_end(3));
    assert_eq!(records(&inputs), ["0 k1=v1", "1 k2=null source=a empty= null=null", "2 null="]);
    let times = inputs.iter().filter_map(|input| match input {
        Input::Batch(batch) => Some(batch.records[0].timestamp_ms),
        _ => None,
    });
    assert_eq!(times.collect::<Vec<_>>(), [Some(1_000)]);
}

#[test]
fn every_codec_is_read() {
    // The broker packs anew what comes, as Java does it.
    for codec in ["uncompressed", "gzip", "snappy", "lz4", "zstd"] {
        let topic = configured(codec, 1, &[("compression.type", codec)]);
        let values: Vec<String> = (0..2_000).map(|i| format!("{i} {}", "abc".repeat(i % 50))).collect();
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        publish(&topic, &texts);
        publish(&topic, &["last"]);
        let expected: Vec<String> = values.iter().enumerate().map(|(at, value)| format!("{at} k={value}")).collect();
        let seen = records(&until(&mut read(&topic, Start::Earliest, None), at_end(2_001)));
        assert!(seen[..2_000] == expected && seen[2_000..] == ["2000 k=last"], "{codec}: {} records", seen.len());
        // From the middle of a batch.
        let seen = records(&until(&mut read(&topic, Start::Latest, Some(1_999)), at_end(2_001)));
        assert_eq!(seen, [expected[1_999].as_str(), "2000 k=last"], "{codec}");
    }
}

#[test]
fn a_batch_that_is_larger_than_the_limit_is_read_all_the_same() {
    let topic = topic("oversized", 2);
    let value = "x".repeat(200_000);
    for partition in [0, 1] {
        client().produce(&topic, partition, &batch(&[&value, "small"]));
        client().produce(&topic, partition, &batch(&["next"]));
    }
    let small = [("fetch.max.bytes", "1000"), ("fetch.message.max.bytes", "100")];
    let mut reader = start(with(reading(testkit::broker().brokers(), &[&topic], Start::Earliest), &small), vec![]);
    let mut ends = 0;
    let inputs = until(&mut reader, |input| {
        ends += i32::from(matches!(input, Input::AtEnd { next_offset: 3, .. }));
        ends == 2
    });
    assert_eq!(records(&inputs).len(), 6);
}

#[test]
fn a_topic_made_again_between_two_starts_is_told_by_its_id() {
    let topic = topic("another", 1);
    publish(&topic, &["old", "old"]);
    let inputs = until(&mut read(&topic, Start::Earliest, None), at_end(2));
    let [Input::Found { topic_id, .. }] = found(&inputs)[..] else { panic!("{inputs:?}") };
    let position = Position { topic: topic.as_str().into(), partition: 0, next_offset: 2, topic_id: topic_id.clone() };
    let again = || start(reading(testkit::broker().brokers(), &[&topic], Start::Latest), vec![position.clone()]);
    let inputs = until(&mut again(), at_end(2));
    assert!(matches!(found(&inputs)[..], [Input::Found { start: 2, recreated: false, .. }]), "{inputs:?}");

    client().delete_topic(&topic);
    client().create_topic(&topic, 1, 1, &[]);
    publish(&topic, &["a", "b", "c"]);
    let inputs = until(&mut again(), at_end(3));
    assert!(matches!(found(&inputs)[..], [Input::Found { start: 0, recreated: true, .. }]), "{inputs:?}");
    assert_eq!(records(&inputs), ["0 k=a", "1 k=b", "2 k=c"]);
}

#[test]
fn a_topic_made_again_while_reading_is_reported() {
    let topic = topic("reborn", 1);
    publish(&topic, &["old", "old"]);
    let mut reader = read(&topic, Start::Earliest, None);
    until(&mut reader, at_end(2));
    // At once: nobody sees that it was gone, but it has another id.
    client().delete_topic(&topic);
    client().create_topic(&topic, 1, 1, &[]);
    publish(&topic, &["a", "b", "c"]);
    let inputs = until(&mut reader, at_end(3));
    assert!(inputs.iter().any(|input| matches!(input, Input::Found { start: 0, recreated: true, .. })), "{inputs:?}");
    assert_eq!(records(&inputs), ["0 k=a", "1 k=b", "2 k=c"]);
}

#[test]
fn a_topic_that_is_deleted_is_missing_and_no_error() {
    let topic = topic("gone", 1);
    let mut reader = read(&topic, Start::Earliest, None);
    until(&mut reader, at_end(0));
    client().delete_topic(&topic);
    let inputs = until(&mut reader, |input| matches!(input, Input::Missing { .. }));
    assert!(!inputs.iter().any(|input| matches!(input, Input::Error { .. })), "{inputs:?}");
}

#[test]
fn aborted_records_are_hidden_and_the_end_lies_behind_them() {
    let topic = topic("transactions", 1);
    let mut client = client();
    let mut one = client.transactions(&testkit::unique("one"));
    let mut other = client.transactions(&testkit::unique("other"));
    one.send(&mut client, &topic, &["kept"]);
    one.end(&mut client, true);
    one.send(&mut client, &topic, &["aborted", "aborted too"]);
    other.send(&mut client, &topic, &["other"]);
    client.produce(&topic, 0, &batch(&["plain"]));
    one.end(&mut client, false);
    one.send(&mut client, &topic, &["kept too"]);
    other.end(&mut client, true);
    one.end(&mut client, true);
    let kept = ["0 k=kept", "4 k=other", "5 k=plain", "7 k=kept too"];
    assert_eq!(records(&until(&mut read(&topic, Start::Earliest, None), at_end(10))), kept);
    // From inside the aborted transaction.
    assert_eq!(records(&until(&mut read(&topic, Start::Latest, Some(3)), at_end(10))), kept[1..]);
    let all = with(
        reading(testkit::broker().brokers(), &[&topic], Start::Earliest),
        &[("isolation.level", "read_uncommitted")],
    );
    assert_eq!(records(&until(&mut start(all, vec![]), at_end(10))).len(), 6);
}

#[test]
fn an_open_transaction_is_the_end_until_it_ends() {
    let topic = topic("open", 1);
    let mut client = client();
    let mut transactions = client.transactions(&testkit::unique("open"));
    client.produce(&topic, 0, &batch(&["before"]));
    transactions.send(&mut client, &topic, &["inside"]);
    let mut reader = read(&topic, Start::Earliest, None);
    assert_eq!(records(&until(&mut reader, at_end(1))), ["0 k=before"]);
    transactions.end(&mut client, true);
    assert_eq!(records(&until(&mut reader, at_end(3))), ["1 k=inside"]);
}

#[test]
fn offsets_of_compacted_topics_have_holes() {
    let configs = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.0001"),
        ("segment.ms", "1"),
        ("max.compaction.lag.ms", "1"),
    ];
    let topic = configured("compacted", 1, &configs);
    for value in ["a", "b", "c"] {
        publish(&topic, &[value, value]);
    }
    // Each attempt closes a segment by its later time; the cleaner comes when it likes.
    let mut expected = 6;
    for _ in 0..200 {
        client().produce(&topic, 0, &[Record { timestamp: 1_000 * expected, ..record("k", "z") }]);
        expected += 1;
        let seen = records(&until(&mut read(&topic, Start::Earliest, None), at_end(expected)));
        assert_eq!(seen.last(), Some(&format!("{} k=z", expected - 1)));
        let offsets: Vec<i64> =
            seen.iter().map(|line| line.split(' ').next().unwrap_or("").parse().expect("")).collect();
        assert!(offsets.is_sorted(), "{seen:?}");
        if seen.len() < usize::try_from(expected).expect("a few") {
            return;
        }
    }
    panic!("the topic was never compacted");
}
