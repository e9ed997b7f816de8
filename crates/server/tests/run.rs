//! The run loop on an embedded broker: from records to transitions in gRPC, in history and on Kafka, and on
//! from there after a restart.

use api::v1::health_client::HealthClient;
use api::v1::watch_event::Event;
use api::v1::{GetHistoryRequest, WatchRequest};
use config::{File, Settings};
use kafka::{Connection, Embedded, Input, Message, Publisher, Reader, Reading};
use model::definition::{Fetch, Start};
use model::{Span, Time};
use server::{Error, Options, Summary};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tonic::transport::Endpoint;

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs in this process.
struct Running {
    address: String,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Summary, Error>>,
}

fn connection(brokers: &str) -> Connection {
    Connection { brokers: brokers.to_owned(), properties: Vec::new() }
}

fn settings(brokers: &str, folder: &Path, publish_to: &str) -> Settings {
    let text = format!(
        r#"
kafka: {{ brokers: "{brokers}" }}
sources:
  metrics: {{ topics: [m], format: json, name: up, value: /v, time: /t in ms, lateness: 0s, idle_after: 1h, start: earliest }}
streams:
  up: {{ source: metrics, select: {{ metric: up }} }}
components:
  a: {{}}
checks:
  high:
    on: a
    function: threshold
    arguments: {{ metric: {{ stream: up, window: batching 10s, downsample: maximum }}, critical: 50 }}
store: {{ path: "{}" }}
transitions: {{ topic: out, brokers: "{publish_to}" }}
"#,
        folder.display()
    );
    let files = [File { path: "t.yaml".to_owned(), text }];
    let no_file = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    config::load(&files, Vec::new(), &|_| None, &no_file).unwrap_or_else(|errors| panic!("{errors}"))
}

fn start(settings: Settings) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("its address"));
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, options) = (stop.clone(), Options { listener: Some(listener), ..Options::default() });
    let thread = std::thread::spawn(move || server::run(&settings, options, &flag));
    Running { address, stop, thread }
}

impl Running {
    fn stop(self) -> Summary {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic").expect("a clean end")
    }
}

/// The values, one every ten seconds of event time from the `first`th on.
fn produce(brokers: &str, begin: Time, first: i64, values: &[i64]) {
    let message = |(place, value): (usize, &i64)| {
        let time = begin + Span::from_secs(10 * (first + place as i64));
        let text = format!(r#"{{"v":{value},"t":{}}}"#, time.millis());
        Message { value: Some(text.into_bytes().into()), partition: Some(0), ..Message::default() }
    };
    let messages: Vec<Message> = values.iter().enumerate().map(message).collect();
    Publisher::new(&connection(brokers)).expect("good settings").publish("m", &messages).expect("acknowledged");
}

/// The states that `a` comes to by itself, as gRPC tells them, until there are so many transitions in its history.
async fn states(address: &str, wanted: usize) -> Vec<String> {
    let told = async {
        let endpoint = Endpoint::from_shared(address.to_owned()).expect("an address");
        let mut client = HealthClient::new(endpoint.connect().await.expect("a connection"));
        let mut changes = client.watch(WatchRequest::default()).await.expect("a stream").into_inner();
        loop {
            let request = GetHistoryRequest { name: "a".to_owned(), ..GetHistoryRequest::default() };
            let history = match client.get_history(request).await {
                Ok(answer) => answer.into_inner().transitions,
                Err(_) => Vec::new(), // it is not born yet
            };
            let own = history.iter().rev().filter(|of| of.health() == api::v1::HealthKind::Own);
            let own: Vec<String> = own.map(|of| of.to().as_str_name().replace("STATE_", "")).collect();
            if own.len() >= wanted {
                return own;
            }
            // Something has changed, or will.
            loop {
                let event = changes.message().await.expect("a stream that goes on").expect("an event").event;
                if matches!(event, Some(Event::Changed(_))) {
                    break;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("it comes in time")
}

/// The ids on the topic of transitions, once there are so many.
fn published(brokers: &str, wanted: usize) -> Vec<String> {
    let reading = Reading {
        source: 0,
        connection: connection(brokers),
        topics: vec!["out".to_owned()],
        start: Start::Earliest,
        group: None,
    };
    let mut reader = Reader::start(Fetch::Own, reading, Vec::new()).expect("good settings");
    let (mut ids, until) = (Vec::new(), Instant::now() + PATIENCE);
    while ids.len() < wanted {
        assert!(Instant::now() < until, "only {ids:?} came");
        for input in reader.poll(Duration::from_millis(100)) {
            match input {
                Input::Found { topic, partition, start, .. } => reader.assign(&topic, partition, start),
                Input::Batch(batch) => ids.extend((0..batch.records.len()).map(|place| {
                    let value = batch.record(place).value.expect("a value");
                    let value: serde_json::Value = serde_json::from_slice(value).expect("JSON");
                    value["id"].as_str().expect("an id").to_owned()
                })),
                _ => {}
            }
        }
    }
    ids
}

/// A whole ten seconds in the recent past.
fn beginning() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Time::from_nanos(since.as_nanos() as i64).floor(Span::from_secs(10)) - Span::from_secs(600)
}

#[tokio::test]
async fn records_become_transitions_and_a_restart_goes_on() {
    let embedded = Embedded::start(&[("m", 1), ("out", 1)]).expect("a broker");
    let brokers = embedded.brokers();
    let folder = tempfile::tempdir().expect("a folder");
    let begin = beginning();

    produce(&brokers, begin, 0, &[0, 100, 0, 0]);
    let running = start(settings(&brokers, folder.path(), &brokers));
    assert_eq!(states(&running.address, 3).await, ["CLEAR", "CRITICAL", "CLEAR"]);
    let first = published(&brokers, 6);
    let summary = running.stop();
    assert_eq!((summary.transitions, summary.published), (6, 6));
    assert_eq!(summary.sources[0].1.samples, 4);

    // What was read is not counted again, and what was told is not told again.
    produce(&brokers, begin, 4, &[100, 100]);
    let running = start(settings(&brokers, folder.path(), &brokers));
    assert_eq!(states(&running.address, 4).await, ["CLEAR", "CRITICAL", "CLEAR", "CRITICAL"]);
    let all = published(&brokers, 8);
    let summary = running.stop();
    assert_eq!((summary.transitions, summary.sources[0].1.samples), (2, 6));
    assert_eq!(all[..6], first);
    let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[tokio::test]
async fn another_may_read_after_a_restart() {
    let embedded = Embedded::start(&[("m", 1), ("out", 1)]).expect("a broker");
    let brokers = embedded.brokers();
    let folder = tempfile::tempdir().expect("a folder");
    let begin = beginning();
    let check = async |by: Fetch, first: i64, values: &[i64], expected: &[&str]| {
        produce(&brokers, begin, first, values);
        let mut settings = settings(&brokers, folder.path(), &brokers);
        settings.sources[0].fetch = by;
        let running = start(settings);
        assert_eq!(states(&running.address, expected.len()).await, expected);
        let summary = running.stop();
        assert_eq!(summary.sources[0].1.samples, first as u64 + values.len() as u64);
        let kept = store::look(folder.path()).expect("a store").expect("a state").partitions;
        kept.into_iter().find_map(|(_, record)| record.topic_id)
    };
    let told = check(Fetch::Own, 0, &[0, 100], &["CLEAR"]).await;
    assert!(told.is_some());
    // It tells no ids, and what is not told anew is not kept: the topic may have become another.
    assert_eq!(check(Fetch::Librdkafka, 2, &[0], &["CLEAR", "CRITICAL"]).await, None);
    assert_eq!(check(Fetch::Own, 3, &[0], &["CLEAR", "CRITICAL", "CLEAR"]).await, told);
}

#[tokio::test]
async fn what_cannot_be_published_waits_for_a_broker() {
    let embedded = Embedded::start(&[("m", 1), ("out", 1)]).expect("a broker");
    let brokers = embedded.brokers();
    let folder = tempfile::tempdir().expect("a folder");
    let begin = beginning();

    produce(&brokers, begin, 0, &[0, 100, 0]);
    // Nobody answers at port 1; health is told all the same.
    let mut nowhere = settings(&brokers, folder.path(), "127.0.0.1:1");
    // The publisher's thread may outlive its server while it waits for an answer, and holds the store.
    nowhere.store.path = Some(folder.path().join("a").display().to_string());
    let running = start(nowhere);
    assert_eq!(states(&running.address, 2).await, ["CLEAR", "CRITICAL"]);
    let summary = running.stop();
    assert_eq!((summary.transitions, summary.published), (4, 0));
}

#[test]
fn what_keeps_a_server_from_starting_is_told_with_its_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("letter.txt"), "dear").expect("a file");
    let check = |settings: Settings, words: &str| {
        let error =
            server::run(&settings, Options::default(), &AtomicBool::new(true)).expect_err("an error").to_string();
        assert!(error.contains(words), "{error}");
    };
    let mut foreign = settings("127.0.0.1:1", folder.path(), "127.0.0.1:1");
    foreign.listen = "127.0.0.1:0".to_owned();
    check(foreign, "is no state folder; wanted an empty folder or one of ours");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut twice = settings("127.0.0.1:1", folder.path(), "127.0.0.1:1");
    twice.listen = taken.local_addr().expect("its address").to_string();
    check(twice, "choose another address by `listen` or `--listen`");
}
