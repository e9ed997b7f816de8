//! What reading alone costs: fills a topic on a broker of its own, or takes one that is there, reads all of it a few
//! times, and prints the processor's time for a million records.
//!
//!     cargo run -p fetch --example drain -- fill=2000000 partitions=4 codec=lz4 times=3
//!     cargo run -p fetch --example drain -- brokers=127.0.0.1:9092 topic=readings idle=10
//!
//! With `idle` it then stays at the end for so many seconds. Names with a dot are properties.

#[allow(dead_code)]
#[path = "../tests/common/client.rs"]
mod client;

use client::{Client, numbered_record, record};
use fetch::{Connection, Input, Reader, Reading};
use kafka_protocol::records::Record;
use model::definition::Start;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// About half a megabyte.
const BATCH: i64 = 5_500;

fn main() {
    let words: HashMap<String, String> = std::env::args()
        .skip(1)
        .filter_map(|word| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    let word = |name: &str, otherwise: &str| words.get(name).cloned().unwrap_or_else(|| otherwise.to_owned());
    let number = |name: &str, otherwise: &str| word(name, otherwise).parse::<i64>().expect("a number");
    let own = (!words.contains_key("brokers")).then(testkit::Broker::start);
    let brokers = own.as_ref().map_or_else(|| word("brokers", ""), |broker| broker.brokers().to_owned());
    let topic = word("topic", "readings");
    if own.is_some() || words.contains_key("fill") {
        let partitions = i32::try_from(number("partitions", "4")).expect("few");
        fill(&brokers, &topic, partitions, &word("codec", "uncompressed"), number("fill", "2000000"));
    }
    let properties = words.iter().filter(|(name, _)| name.contains('.'));
    let properties: Vec<(String, String)> = properties.map(|(name, value)| (name.clone(), value.clone())).collect();
    for _ in 0..number("times", "3") {
        drain(&brokers, &topic, &properties, number("idle", "0"));
    }
}

fn fill(brokers: &str, topic: &str, partitions: i32, codec: &str, count: i64) {
    let mut client = Client::new(brokers);
    client.create_topic(topic, partitions, 1, &[("compression.type", codec)]);
    for (turn, first) in (0..count).step_by(BATCH as usize).enumerate() {
        let reading = |number: i64| -> Record {
            let (series, time) = (number % 10_000, 1_645_564_942_000 + number / 10);
            let value = format!(
                r#"{{"identifier":"sensor-{series:06}","timestamp":{time},"valueInW":{}.{:02}}}"#,
                number * 7919 % 5_000,
                number % 100
            );
            numbered_record(
                usize::try_from(number - first).expect("a place"),
                Record { timestamp: time, ..record(&format!("sensor-{series:06}"), &value) },
            )
        };
        let records: Vec<Record> = (first..count.min(first + BATCH)).map(reading).collect();
        client.produce(topic, i32::try_from(turn).expect("few") % partitions, &records);
    }
}

fn drain(brokers: &str, topic: &str, properties: &[(String, String)], idle_s: i64) {
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    let connection = Connection { brokers: brokers.to_owned(), properties: properties.to_vec() };
    let topics = vec![topic.to_owned()];
    let reading = Reading { source: 0, connection, topics, start: Start::Earliest, group: None };
    let mut reader = Reader::start(reading, vec![]).expect("the settings are good");
    let (mut found, mut ends, mut records, mut bytes, mut batches) = (0, 0, 0, 0, 0);
    while found == 0 || ends < found {
        for input in reader.poll(Duration::from_secs(1)) {
            match input {
                Input::Found { topic, partition, start, .. } => {
                    found += 1;
                    reader.assign(&topic, partition, start);
                }
                Input::Batch(batch) => {
                    batches += 1;
                    records += batch.records.len();
                    bytes += batch.buffer.len();
                    reader.give_back(batch);
                }
                Input::AtEnd { .. } => ends += 1,
                Input::Error { message } => panic!("{message}"),
                _ => {}
            }
        }
    }
    let (wall, [user, system]) = (wall.elapsed(), cpu_seconds());
    let (user, system) = (user - cpu[0], system - cpu[1]);
    let million = records as f64 / 1e6;
    println!(
        "{records} records in {batches} batches, {bytes} bytes, {:.2} s: {:.4} CPU-s for a million ({:.4} user, {:.4} sys)",
        wall.as_secs_f64(),
        (user + system) / million,
        user / million,
        system / million,
    );
    if idle_s > 0 {
        let before = cpu_seconds();
        (0..idle_s).for_each(|_| drop(reader.poll(Duration::from_secs(1))));
        let after = cpu_seconds();
        println!("at the end for {idle_s} s: {:.2} CPU-s", after[0] + after[1] - before[0] - before[1]);
    }
}

/// User and system time of this process, in hundredths of a second as Linux tells them.
fn cpu_seconds() -> [f64; 2] {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells the times of a process");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
    [12, 13].map(|at| fields[at].parse::<f64>().expect("a number") / 100.0)
}
