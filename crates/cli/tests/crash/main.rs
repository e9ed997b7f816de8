//! The crash property, on a real broker: whatever kills the process, and wherever, the transitions topic
//! without repeats of an id, the history and the states are those of the oracle, which never stops and is
//! given the records and the committed journal of what the shell said. Who reads makes no difference to that, not even
//! where another reads after a crash.
//!
//! `VITALSIGN_KILLS` sets how often processes are killed in all, `VITALSIGN_SEED` repeats a run's choices.

mod shop;

use engine::state::Entry;
use kafka::{Connection, Input, Reader, Reading};
use model::definition::{Fetch, Start};
use model::record::Batch;
use model::{Element, Reason, State, Transition};
use shop::{Random, Writer};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Fewer prove little.
const LEAST_TRANSITIONS: usize = 200;
const POINTS: [&str; 5] = ["after-commit", "mid-publish", "mid-points", "mid-block", "catch-up"];

/// Who reads, as the configuration says it.
#[derive(Clone, Copy, Debug)]
enum Readers {
    One(&'static str),
    /// Another in each process.
    InTurn,
}

/// One set of topics, one store, and what happened to the processes on them.
struct Run {
    folder: tempfile::TempDir,
    broker: Connection,
    metrics: String,
    later: String,
    events: String,
    transitions: String,
    /// What a stream is published to: as batches, and as sliding windows.
    points: [String; 2],
    workers: usize,
    readers: Readers,
    /// How many processes there were.
    started: Cell<usize>,
    hit: BTreeSet<String>,
}

/// A process that is killed by SIGKILL when it is dropped, also by a test that fails.
struct Process(Child);

impl Process {
    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a status")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Run {
    fn new(workers: usize, readers: Readers) -> Run {
        let broker = Connection { brokers: testkit::broker().brokers().to_owned(), properties: Vec::new() };
        let name = |what: &str| testkit::unique(&format!("crash-{what}"));
        let run = Run {
            folder: tempfile::tempdir().expect("a folder"),
            broker,
            metrics: name("metrics"),
            later: name("later"),
            events: name("events"),
            transitions: name("transitions"),
            points: [name("points"), name("sliding")],
            workers,
            readers,
            started: Cell::new(0),
            hit: BTreeSet::new(),
        };
        let [points, sliding] = &run.points;
        let topics = [(&*run.metrics, 4), (&*run.events, 4), (&*run.transitions, 1), (points, 3), (sliding, 1)];
        kafka::create_topics(&run.broker, &topics).expect("topics");
        std::fs::create_dir(run.path("functions")).expect("a folder of functions");
        for (name, text) in shop::SCRIPTS {
            std::fs::write(run.path("functions").join(format!("{name}.rhai")), text).expect("a script");
        }
        run
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configuration(&self) -> PathBuf {
        self.path("crash.yaml")
    }

    fn text(&self) -> String {
        let Run { metrics, later, events, transitions, points: [points, sliding], workers, .. } = self;
        let reader = match self.readers {
            Readers::One(reader) => reader,
            Readers::InTurn => ["own", "librdkafka"][self.started.get() % 2],
        };
        shop::CONFIGURATION
            .replace("BROKERS", &self.broker.brokers)
            .replace("METRICS", metrics)
            .replace("LATER", later)
            .replace("EVENTS", events)
            .replace("TRANSITIONS", transitions)
            .replace("POINTS", points)
            .replace("SLIDING", sliding)
            .replace("FETCH", reader)
            .replace("WORKERS", &workers.to_string())
            .replace("STORE", &self.path("store").display().to_string())
    }

    /// Starts a process, which may kill itself at a point.
    fn start(&self, crash_at: Option<&str>, listen: &str) -> Process {
        std::fs::write(self.configuration(), self.text()).expect("a configuration");
        self.started.set(self.started.get() + 1);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_vitalsign"));
        command.arg("run").arg(self.configuration()).args(["--listen", listen]);
        command.env("VITALSIGN_KEEP_JOURNAL", "1").env("VITALSIGN_CRASH_LOG", self.path("points"));
        if let Some(point) = crash_at {
            command.env("VITALSIGN_CRASH_AT", point);
        }
        Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("the binary starts"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Lets a process run until it has killed itself, or until the time is up; then it is killed.
    fn run_until_killed(&mut self, crash_at: Option<&str>, patience: Duration) {
        let mut child = self.start(crash_at, "127.0.0.1:0");
        let end = Instant::now() + patience;
        let died = loop {
            if child.ended().is_some() {
                break true;
            }
            if Instant::now() >= end {
                break false;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        };
        match died {
            true => {
                let points = std::fs::read_to_string(self.path("points")).unwrap_or_default();
                assert!(crash_at.is_some() && !points.is_empty(), "it ended by itself: {}", tail(&self.log()));
                self.hit.extend(points.lines().map(str::to_owned));
            }
            false => drop(child),
        }
    }

    /// Lets a process read all that is there until nothing moves any more, and ends it in good order.
    fn finish(&self) {
        let free =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let mut child = self.start(None, &free.to_string());
        let until = Instant::now() + Duration::from_secs(90);
        while !all_read(&format!("http://{free}")) {
            assert!(child.ended().is_none(), "it ended by itself: {}", tail(&self.log()));
            assert!(Instant::now() < until, "not all is read: {}", tail(&self.log()));
            std::thread::park_timeout(Duration::from_millis(100));
        }
        // The shell's own `kill`: a minimal system has no other.
        let kill = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &child.0.id().to_string()]).status();
        assert!(kill.expect("a shell").success());
        let status = child.0.wait().expect("it ends");
        assert!(status.success(), "{status}: {}", tail(&self.log()));
    }

    /// All records of some topics, as batches that know their source.
    fn read(&self, topics: &[&str]) -> Vec<Batch> {
        let mut all = Vec::new();
        for topic in topics {
            let mut properties = self.broker.properties.clone();
            properties.push(("topic.metadata.refresh.interval.ms".into(), "200".into()));
            let connection = Connection { brokers: self.broker.brokers.clone(), properties };
            let source = usize::from(**topic != self.metrics && **topic != self.later);
            let reading =
                Reading { source, connection, topics: vec![(*topic).to_owned()], start: Start::Earliest, group: None };
            let mut reader = Reader::start(Fetch::Own, reading, Vec::new()).expect("a reader");
            let (mut open, mut ended) = (BTreeSet::new(), BTreeSet::new());
            let until = Instant::now() + Duration::from_secs(60);
            while open.is_empty() || open != ended {
                assert!(Instant::now() < until, "{topic} cannot be read to its end");
                for input in reader.poll(Duration::from_millis(100)) {
                    match input {
                        Input::Found { topic, partition, start, .. } => {
                            open.insert(partition);
                            reader.assign(&topic, partition, start);
                        }
                        Input::Batch(batch) => all.push(batch),
                        Input::AtEnd { partition, .. } => _ = ended.insert(partition),
                        _ => {}
                    }
                }
            }
        }
        all
    }
}

/// Whether every partition of every source is read to its end and has fallen idle.
fn all_read(address: &str) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let asked = runtime.block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(address.to_owned()).ok()?.connect().await.ok()?;
        let mut client = api::v1::engine_client::EngineClient::new(channel);
        Some(client.list_sources(api::v1::ListSourcesRequest::default()).await.ok()?.into_inner())
    });
    let partitions = asked.into_iter().flat_map(|answer| answer.sources).flat_map(|source| source.partitions);
    let partitions: Vec<api::v1::Partition> = partitions.collect();
    partitions.len() == 10 && partitions.iter().all(|of| of.idle && of.lag == Some(0))
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// What a run must have met to prove anything.
#[derive(Default)]
struct Met {
    kills: usize,
    points: BTreeSet<String>,
    published_twice: usize,
    points_published: usize,
    points_twice: usize,
    transitions: usize,
    late: u64,
    out_of_order: usize,
    idle: usize,
    new: usize,
}

fn check(workers: usize, readers: Readers, kills: usize, seed: u64, met: &mut Met) {
    let mut random = Random::new(seed ^ workers as u64);
    let mut run = Run::new(workers, readers);
    let writer = Writer::start(&run.broker, &run.metrics, &run.later, &run.events, seed);
    for kill in 0..kills {
        let point = POINTS.get(kill % (POINTS.len() + 2)).copied();
        match point {
            // A point that needs time to come to is waited for; a kill at random comes soon.
            Some("catch-up") => run.run_until_killed(Some("catch-up"), Duration::from_secs(12)),
            Some(point) => {
                run.run_until_killed(Some(&format!("{point}:{}", 2 + random.below(8))), Duration::from_secs(12))
            }
            None => run.run_until_killed(None, Duration::from_millis(700 + random.below(4000))),
        }
        met.kills += 1;
    }
    // A fast machine comes to its points sooner than to enough to compare.
    for _ in 0..30 {
        if published(&run).0.len() >= LEAST_TRANSITIONS / 2 {
            break;
        }
        run.run_until_killed(None, Duration::from_secs(4));
        met.kills += 1;
    }
    writer.stop();
    run.finish();

    let files = [config::File { path: "crash.yaml".into(), text: run.text() }];
    let scripts =
        shop::SCRIPTS.map(|(name, text)| functions::Script { name: name.into(), path: name.into(), text: text.into() });
    let settings = config::load(&files, scripts.into(), &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()));
    let settings = settings.unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    let store = store::Store::open(&store::Options {
        path: run.path("store"),
        durability: store::Durability::Process,
        history: settings.store.history,
        memory_bytes: 64 << 20,
        keep_journal: true,
    });
    let store = store.unwrap_or_else(|error| panic!("{error}"));
    let journal: Vec<Entry> = store.journal().expect("a journal").into_iter().map(|(_, entry)| entry).collect();
    let records = run.read(&[&run.metrics, &run.later, &run.events]);
    let truth = scenario::truth::of(&settings, &records, &journal);
    let what =
        format!("seed {seed}, {workers} workers, read by {readers:?}, {kills} kills (log: {})", tail(&run.log()));

    let restored = store.restore().expect("what was kept");
    let elements = restored.elements.iter().map(|(element, _)| element);
    let kept = history(&store, elements.chain(truth.transitions.iter().map(|of| &of.element)));
    same(&lines(&truth.transitions), &lines(&kept), &format!("history; {what}"));
    let (published, repeats) = published(&run);
    let wanted: Vec<String> = truth.transitions.iter().map(|of| format!("{:032x}", of.id)).collect();
    same(&wanted, &published, &format!("published; {what}"));
    let wanted = scenario::truth::points(&settings, &truth);
    for topic in &run.points {
        let (points, repeats) = points(&run, topic);
        let mut wanted = wanted[topic.as_str()].clone();
        // Partitions keep the order of each instance alone.
        wanted.sort();
        same(&wanted, &points, &format!("{topic}; {what}"));
        met.points_published += points.len();
        met.points_twice += repeats;
    }
    let states: BTreeMap<Element, (State, State)> = restored
        .elements
        .iter()
        .map(|(element, record)| (element.clone(), (record.own.state, record.propagated.state)))
        .collect();
    assert_eq!(states, truth.elements, "states; {what}");

    met.points.append(&mut run.hit);
    met.published_twice += repeats;
    met.transitions += published.len();
    met.late +=
        truth.refused.iter().filter(|((_, reason), _)| *reason == Reason::Late).map(|(_, count)| count).sum::<u64>();
    met.out_of_order += records.iter().map(out_of_order).sum::<usize>();
    met.idle += journal.iter().filter(|entry| matches!(entry, Entry::Idle { .. })).count();
    let later = |entry: &&Entry| matches!(entry, Entry::Active { partition, .. } if *partition.topic == *run.later);
    met.new += journal.iter().filter(later).count();
}

/// Neighbours in a partition of which the second happened before the first.
fn out_of_order(batch: &Batch) -> usize {
    let time = |place: usize| {
        let value = batch.record(place).value.unwrap_or_default();
        let value: serde_json::Value = serde_json::from_slice(value).unwrap_or_default();
        value["t"].as_i64().unwrap_or_default()
    };
    (1..batch.records.len()).filter(|place| time(*place) < time(place - 1)).count()
}

/// All transitions that a store has of these elements, in the order of their numbers.
fn history<'e>(store: &store::Store, elements: impl Iterator<Item = &'e Element>) -> Vec<Transition> {
    let elements: BTreeSet<&Element> = elements.collect();
    let of_one = |element: &&Element| store.history(element, None, usize::MAX).expect("a history");
    let mut all: Vec<Transition> = elements.iter().flat_map(of_one).collect();
    all.sort_by_key(|of| of.sequence);
    all
}

/// The ids on the transitions topic without repeats, in order, and how many repeats there were.
fn published(run: &Run) -> (Vec<String>, usize) {
    let (mut seen, mut ids, mut repeats) = (HashSet::new(), Vec::new(), 0);
    for batch in run.read(&[&run.transitions]) {
        for place in 0..batch.records.len() {
            let value: serde_json::Value =
                serde_json::from_slice(batch.record(place).value.unwrap_or_default()).expect("a transition is JSON");
            let id = value["id"].as_str().expect("a transition has an id").to_owned();
            if seen.insert(id.clone()) {
                ids.push(id);
            } else {
                repeats += 1;
            }
        }
    }
    (ids, repeats)
}

/// The points on a topic without repeats, sorted, and how many repeats there were. A repeat is the same byte for byte,
/// and what is new of an instance comes in the order of time.
fn points(run: &Run, topic: &str) -> (Vec<String>, usize) {
    let (mut seen, mut newest, mut lines, mut repeats) = (BTreeMap::new(), BTreeMap::new(), Vec::new(), 0);
    for batch in run.read(&[topic]) {
        for place in 0..batch.records.len() {
            let record = batch.record(place);
            let (key, value) = (record.key.expect("a key").to_vec(), record.value.expect("a value").to_vec());
            let at = record.timestamp_ms.expect("a timestamp");
            if let Some(before) = seen.insert((key.clone(), at), value.clone()) {
                assert_eq!(before, value, "a point of {topic} came again, and another");
                repeats += 1;
                continue;
            }
            let before = newest.insert(key.clone(), at);
            assert!(before.is_none_or(|before| before < at), "a point of {topic} came late");
            lines.push(scenario::truth::point(&key, &value, at));
        }
    }
    lines.sort();
    (lines, repeats)
}

fn lines(transitions: &[Transition]) -> Vec<String> {
    let line = |of: &Transition| {
        let (element, health) = (&of.element, of.health.name());
        format!(
            "{} {element} {health} {} -> {} by {} [{}] {} {:032x}",
            of.time, of.from, of.to, of.cause, of.message, of.evidence, of.id
        )
    };
    transitions.iter().map(line).collect()
}

fn same(wanted: &[String], found: &[String], what: &str) {
    let differs = (0..wanted.len().max(found.len())).find(|place| wanted.get(*place) != found.get(*place));
    if let Some(place) = differs {
        let near =
            |list: &[String]| list.get(place.saturating_sub(2)..list.len().min(place + 3)).map(<[String]>::to_vec);
        panic!(
            "{what}\n{} wanted, {} found\nwanted {:#?}\nfound {:#?}",
            wanted.len(),
            found.len(),
            near(wanted),
            near(found)
        );
    }
}

#[test]
fn what_is_killed_goes_on_as_if_nothing_had_happened() {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().expect("a number"));
    let seed = number("VITALSIGN_SEED", 1);
    let kills = number("VITALSIGN_KILLS", 21) as usize;
    println!("seed {seed}, {kills} kills");
    let mut met = Met::default();
    for (workers, readers) in [(1, Readers::One("own")), (2, Readers::InTurn), (4, Readers::One("librdkafka"))] {
        check(workers, readers, kills.div_ceil(3), seed, &mut met);
    }
    let Met { kills, published_twice, points_published, points_twice, transitions, late, out_of_order, .. } = met;
    let Met { idle, new, .. } = met;
    println!("{points_published} points, {points_twice} twice");
    println!(
        "{kills} kills, {transitions} transitions, {published_twice} published twice, {late} late, {out_of_order} out of order, {idle} idle, {new} new"
    );
    for point in POINTS {
        assert!(met.points.contains(point), "no process was killed at `{point}`");
    }
    assert!(published_twice > 0, "nothing was published twice");
    assert!(
        points_twice > 0 && points_published >= LEAST_TRANSITIONS,
        "{points_published} points, {points_twice} twice"
    );
    assert!(late > 0 && out_of_order > 0 && idle > 0 && new > 0, "nothing late, out of order, idle or new");
    assert!(transitions >= LEAST_TRANSITIONS, "only {transitions} transitions");
}
