//! Reads one source on a thread of its own, and hands over what has come through a bounded channel.
//!
//! Each partition has a queue of its own in librdkafka: an end of partition and an error then say whose they are
//! (rdkafka's events do not name the topic), and the records of a partition come in one run.

use crate::connection::{Voice, client, settings};
use crate::finder::{self, Finder, Finding, Question, Topic, Trouble};
use crate::{Connection, Error};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded, never, select, unbounded};
use model::Time;
use model::definition::Start;
use model::record::Batch;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message as _, Timestamp};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A batch is handed over when it holds so many bytes, or has taken so long.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_TIME: Duration = Duration::from_millis(5);
/// Reading stands still while so much waits for the caller.
const WAITING_BYTES: usize = 8 << 20;
const WAITING_INPUTS: usize = 1024;
/// Between two looks at all queues, should a wake-up have been lost.
const IDLE: Duration = Duration::from_millis(100);
/// Between two looks while the caller is behind.
const FULL: Duration = Duration::from_millis(2);

const REFRESH: &str = "topic.metadata.refresh.interval.ms";

/// May be overridden.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "vitalsign"),
    // The default of a second starves a fast reader.
    ("fetch.queue.backoff.ms", "1"),
    // More is dearer: 10 000 cost the least of those measured.
    ("queued.min.messages", "10000"),
    // For each partition.
    ("queued.max.messages.kbytes", "4096"),
    ("isolation.level", "read_committed"),
    // A broker that is back is found soon.
    ("reconnect.backoff.max.ms", "2000"),
    (REFRESH, "5000"),
];

const FIXED: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("auto.offset.reset", "error"),
];

const REFUSED: &[(&str, &str)] = &[
    ("group.id", "the group for lag monitors has a setting of its own"),
    ("group.instance.id", "one process reads all partitions; no group shares them out"),
    ("group.protocol", "one process reads all partitions; no group shares them out"),
    ("auto.commit.enable", "correct results need the built-in value"),
];

pub(crate) type Client = BaseConsumer<Voice>;

/// What to read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The source's place in `Definitions::sources`: it goes into the batches.
    pub source: usize,
    /// The cluster.
    pub connection: Connection,
    /// Topics by name. One that does not exist yet is waited for.
    pub topics: Vec<String>,
    /// Where a source without stored positions begins.
    pub start: Start,
    /// Under which group offsets are committed, as information for lag monitors; none: nowhere.
    pub group: Option<String>,
}

/// A stored position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The first offset that has not been read.
    pub next_offset: i64,
    /// The topic's id, where the client tells it; librdkafka does not.
    pub topic_id: Option<String>,
}

/// What comes from a source. Those of one partition come in the order of its offsets.
#[derive(Clone, Debug)]
pub enum Input {
    /// Records of one partition, offsets ascending.
    Batch(Batch),
    /// A partition to read. Reading begins, or goes on, when the caller calls [`Reader::assign`].
    Found {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// Where reading begins: the stored offset; by `start` for a source without stored offsets; the
        /// beginning for partitions found later, and for recreated ones.
        start: i64,
        /// Where the log begins.
        low: i64,
        /// Whether its position is stored, or it has been read before.
        stored: bool,
        /// The stored position lies below the log's start: offsets from the first to before the second are lost.
        gap: Option<(i64, i64)>,
        /// The position lies beyond the log's end, or the topic was deleted and made again: it is another log.
        /// A topic that is deleted and made again, and filled beyond the position, all between two looks at it,
        /// goes unnoticed: librdkafka tells no topic ids.
        recreated: bool,
    },
    /// The end of the partition is reached; told each time.
    AtEnd {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The first offset that has not been read. It may lie beyond the last record: marks of transactions
        /// take offsets too.
        next_offset: i64,
    },
    /// From time to time: where the log ends.
    Lag {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The offset after the last record.
        high: i64,
    },
    /// Records were deleted before they were read; reading goes on at `to`.
    Gap {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The first offset that is lost.
        from: i64,
        /// The first offset that is there.
        to: i64,
    },
    /// A topic does not exist, or no longer; it is waited for.
    Missing {
        /// The topic.
        topic: Arc<str>,
    },
    /// The source cannot be read, or only in part. Told once.
    Error {
        /// For an operator.
        message: String,
    },
    /// What the last `Error` said is over.
    Healthy,
}

/// Reads one source on a thread of its own. Dropping it stops the thread.
pub struct Reader {
    inputs: Receiver<Input>,
    /// Bytes on their way to the caller.
    waiting: Arc<AtomicUsize>,
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

enum Command {
    Assign { topic: Arc<str>, partition: i32, next_offset: i64 },
    Pause { topic: Arc<str>, partition: i32, paused: bool },
    Commit(TopicPartitionList),
}

impl Reader {
    /// Starts to look for topics and partitions. `positions` are those that are stored. Fails only on bad
    /// settings; a broker that does not answer is an [`Input::Error`].
    pub fn start(reading: Reading, positions: Vec<Position>) -> Result<Reader, Error> {
        let mut config = settings(&reading.connection, DEFAULTS, FIXED, REFUSED)?;
        let interval = config.get(REFRESH).and_then(|text| text.parse().ok()).unwrap_or(5000);
        let asking = client(&config)?;
        // An assignment needs the name of a group, even where nothing is ever committed under it.
        config.set("group.id", reading.group.as_deref().unwrap_or("vitalsign"));
        let consumer: Arc<Client> = Arc::new(client(&config)?);

        let (outgoing, inputs) = bounded(WAITING_INPUTS);
        // Commands come from one caller, a few for each of its steps, and the thread takes them at once.
        let (commands, obeyed) = unbounded();
        let (tell, findings) = bounded(WAITING_INPUTS);
        let (ask, questions) = unbounded();
        let stop = Arc::new(AtomicBool::new(false));
        let waiting = Arc::new(AtomicUsize::new(0));
        let finder = Finder {
            reading: consumer.clone(),
            asking,
            topics: reading.topics.iter().map(|name| Topic::new(name)).collect(),
            stored: finder::stored(positions),
            start: reading.start,
            interval: Duration::from_millis(interval),
            questions,
            findings: tell,
            stop: stop.clone(),
        };
        let (wake, woken) = bounded(1);
        let worker = Worker {
            source: reading.source,
            commits: reading.group.is_some(),
            partitions: Vec::new(),
            first: 0,
            backlog: VecDeque::new(),
            waiting: waiting.clone(),
            outgoing,
            commands: obeyed,
            findings,
            questions: ask,
            wake,
            woken,
            source_trouble: None,
            told: None,
            consumer,
        };
        let failed = |e: std::io::Error| Error::Client(format!("no thread can be started: {e}"));
        let finding = std::thread::Builder::new().name("kafka-finder".to_owned());
        let finding = finding.spawn(move || finder.run()).map_err(failed)?;
        let thread = std::thread::Builder::new().name("kafka-reader".to_owned());
        let thread = thread.spawn(move || {
            worker.run();
            stop.store(true, Ordering::Relaxed);
            let _ = finding.join();
        });
        Ok(Reader { inputs, waiting, commands: Some(commands), thread: Some(thread.map_err(failed)?) })
    }

    /// What has come since; waits up to `wait` for the first. About 8 MB of records at most.
    pub fn poll(&mut self, wait: Duration) -> Vec<Input> {
        let mut inputs = Vec::new();
        match self.inputs.recv_timeout(wait) {
            Ok(input) => inputs.push(input),
            Err(RecvTimeoutError::Timeout) => return inputs,
            // The thread ends before the reader only by a panic, which is a bug and not to be hidden.
            Err(RecvTimeoutError::Disconnected) => match self.thread.take().map(JoinHandle::join) {
                Some(Err(panic)) => resume_unwind(panic),
                _ => return inputs,
            },
        }
        let mut bytes = weight(&inputs[0]);
        while bytes < WAITING_BYTES {
            let Ok(input) = self.inputs.try_recv() else { break };
            bytes += weight(&input);
            inputs.push(input);
        }
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        inputs
    }

    /// Begins to read a partition at an offset. The caller has committed that it begins there.
    pub fn assign(&self, topic: &Arc<str>, partition: i32, next_offset: i64) {
        self.command(Command::Assign { topic: topic.clone(), partition, next_offset });
    }

    /// Stops reading a partition for a while. What is on its way still comes.
    pub fn pause(&self, topic: &Arc<str>, partition: i32) {
        self.command(Command::Pause { topic: topic.clone(), partition, paused: true });
    }

    /// Goes on reading a partition.
    pub fn resume(&self, topic: &Arc<str>, partition: i32) {
        self.command(Command::Pause { topic: topic.clone(), partition, paused: false });
    }

    /// Tells lag monitors how far we are: topic, partition, next offset. Nothing waits for it and a failure is
    /// only logged. Without a group it does nothing.
    pub fn commit_offsets(&self, positions: &[(Arc<str>, i32, i64)]) {
        let mut offsets = TopicPartitionList::with_capacity(positions.len());
        for (topic, partition, next_offset) in positions {
            // Fails for an offset that no partition has; a lag monitor misses nothing.
            let _ = offsets.add_partition_offset(topic, *partition, Offset::Offset(*next_offset));
        }
        if offsets.count() > 0 {
            self.command(Command::Commit(offsets));
        }
    }

    fn command(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // A thread that has ended is told at the next poll.
            let _ = commands.send(command);
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What an input takes of the memory for what waits.
fn weight(input: &Input) -> usize {
    match input {
        Input::Batch(batch) => batch.buffer.len() + size_of_val(batch.records.as_slice()),
        _ => 0,
    }
}

/// The reading thread.
struct Worker {
    source: usize,
    commits: bool,
    /// Before the consumer: queues go first.
    partitions: Vec<Partition>,
    /// Whose turn it is: with a bound on what waits, the first would starve the others.
    first: usize,
    /// What the channel has no room for. Nothing is read while something is here.
    backlog: VecDeque<Input>,
    waiting: Arc<AtomicUsize>,
    outgoing: Sender<Input>,
    commands: Receiver<Command>,
    findings: Receiver<Finding>,
    questions: Sender<Question>,
    wake: Sender<()>,
    woken: Receiver<()>,
    /// After the last look at the whole source.
    source_trouble: Option<Trouble>,
    /// What the caller believes is wrong.
    told: Option<String>,
    consumer: Arc<Client>,
}

struct Partition {
    topic: Arc<str>,
    number: i32,
    queue: PartitionQueue<Voice>,
    /// Something may lie in the queue.
    ready: Arc<AtomicBool>,
    /// The first offset that has not been read.
    next_offset: i64,
    trouble: Option<Trouble>,
}

impl Worker {
    /// Runs until the reader is dropped.
    fn run(mut self) {
        let mut wait = IDLE;
        loop {
            if !self.hand_over() {
                return;
            }
            // News wait too while the caller is behind.
            let findings = if self.backlog.is_empty() { self.findings.clone() } else { never() };
            select! {
                recv(self.commands) -> command => match command {
                    Ok(command) => self.obey(command),
                    Err(_) => return,
                },
                recv(findings) -> finding => if let Ok(finding) = finding { self.learn(finding) },
                recv(self.woken) -> _ => {}
                default(wait) => if wait == IDLE {
                    self.partitions.iter().for_each(|partition| partition.ready.store(true, Ordering::Relaxed));
                }
            }
            wait = if self.backlog.is_empty() { self.read() } else { FULL };
        }
    }

    /// Hands over what there is room for. False when nobody takes it any more.
    fn hand_over(&mut self) -> bool {
        self.tell_health();
        while let Some(input) = self.backlog.pop_front() {
            let bytes = weight(&input);
            self.waiting.fetch_add(bytes, Ordering::Relaxed);
            match self.outgoing.try_send(input) {
                Ok(()) => {}
                Err(TrySendError::Full(input)) => {
                    self.waiting.fetch_sub(bytes, Ordering::Relaxed);
                    self.backlog.push_front(input);
                    return true;
                }
                Err(TrySendError::Disconnected(_)) => return false,
            }
        }
        true
    }

    /// One error at a time, told once: the source's before those of its partitions.
    fn tell_health(&mut self) {
        let partitions = self.partitions.iter().filter_map(|partition| partition.trouble.as_ref());
        let trouble = self.source_trouble.iter().chain(partitions).next();
        if self.told.as_ref() == trouble.map(|trouble| &trouble.what) {
            return;
        }
        self.told = trouble.map(|trouble| trouble.what.clone());
        self.backlog.push_back(match trouble {
            None => Input::Healthy,
            Some(Trouble { what, detail: None }) => Input::Error { message: what.clone() },
            Some(Trouble { what, detail: Some(detail) }) => Input::Error { message: format!("{what}: {detail}") },
        });
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Assign { topic, partition, next_offset } => self.assign(topic, partition, next_offset),
            Command::Pause { topic, partition, paused } => {
                let mut list = TopicPartitionList::new();
                list.add_partition(&topic, partition);
                let done = if paused { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
                if let Err(error) = done {
                    tracing::warn!(%error, %topic, partition, paused, "a partition could not be paused or resumed");
                }
            }
            Command::Commit(offsets) => {
                if self.commits
                    && let Err(error) = self.consumer.commit(&offsets, CommitMode::Async)
                {
                    tracing::warn!(%error, "offsets for lag monitors could not be committed");
                }
            }
        }
    }

    fn assign(&mut self, topic: Arc<str>, number: i32, next_offset: i64) {
        self.release(&topic, number);
        // Before the assignment: records that have come already would lie in the common queue.
        let Some(mut queue) = self.consumer.split_partition_queue(&topic, number) else {
            tracing::error!(%topic, number, "librdkafka has no queue for this partition");
            return;
        };
        let ready = Arc::new(AtomicBool::new(true));
        let (flag, wake) = (ready.clone(), self.wake.clone());
        queue.set_nonempty_callback(move || {
            flag.store(true, Ordering::Release);
            // Full: the thread wakes anyway.
            let _ = wake.try_send(());
        });
        let mut list = TopicPartitionList::new();
        let assigned = list
            .add_partition_offset(&topic, number, Offset::Offset(next_offset))
            .and_then(|()| self.consumer.incremental_assign(&list));
        let trouble = assigned.err().map(|error| Trouble {
            what: format!("partition {number} of topic `{topic}` cannot be read"),
            detail: Some(error.to_string()),
        });
        self.partitions.push(Partition { topic, number, queue, ready, next_offset, trouble });
    }

    /// Stops reading a partition for good.
    fn release(&mut self, topic: &str, number: i32) {
        let is_it = |partition: &Partition| &*partition.topic == topic && partition.number == number;
        let Some(place) = self.partitions.iter().position(is_it) else { return };
        self.partitions.remove(place);
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, number);
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            tracing::warn!(%error, topic, number, "a partition could not be released");
        }
    }

    fn learn(&mut self, finding: Finding) {
        match finding {
            Finding::Health(trouble) => self.source_trouble = trouble,
            Finding::Log { question, low, high } => self.go_on(question, low, high),
            Finding::Tell(input) => {
                if let Input::Found { topic, partition, .. } = &input {
                    self.release(topic, *partition);
                }
                self.backlog.push_back(input);
            }
        }
    }

    /// After an offset that the log does not have.
    fn go_on(&mut self, Question { topic, partition: number }: Question, low: i64, high: i64) {
        let is_it = |partition: &&mut Partition| partition.topic == topic && partition.number == number;
        let Some(partition) = self.partitions.iter_mut().find(is_it) else { return };
        if partition.next_offset > high {
            self.release(&topic, number);
            let (start, stored, gap, recreated) = (low, true, None, true);
            self.backlog.push_back(Input::Found { topic, partition: number, start, low, stored, gap, recreated });
            return;
        }
        if partition.next_offset < low {
            let from = std::mem::replace(&mut partition.next_offset, low);
            self.backlog.push_back(Input::Gap { topic: topic.clone(), partition: number, from, to: low });
        }
        let next_offset = partition.next_offset;
        self.assign(topic, number, next_offset);
    }

    /// Reads what lies in the queues. How long to wait for events before reading again.
    fn read(&mut self) -> Duration {
        let count = self.partitions.len();
        let mut bytes = self.waiting.load(Ordering::Relaxed);
        let mut wait = IDLE;
        for turn in 0..count {
            let place = (self.first + turn) % count;
            if bytes >= WAITING_BYTES {
                // Nobody tells when the caller has taken something, so this looks again soon.
                self.first = place;
                return FULL;
            }
            if self.partitions[place].ready.swap(false, Ordering::Acquire) {
                if self.read_partition(place) {
                    wait = Duration::ZERO;
                }
                bytes += self.backlog.back().map_or(0, weight);
            }
        }
        wait
    }

    /// True when something may be left in the queue.
    fn read_partition(&mut self, place: usize) -> bool {
        let Worker { source, partitions, backlog, questions, consumer, .. } = self;
        let Partition { topic, number, queue, ready, next_offset, trouble } = &mut partitions[place];
        let since = Instant::now();
        let mut batch: Option<Batch> = None;
        let mut more = false;
        while let Some(event) = queue.poll(Duration::ZERO) {
            let error = match event {
                Ok(message) => {
                    *trouble = None;
                    // Nothing comes twice, whatever a pause or a seek has left in a queue.
                    if message.offset() >= *next_offset {
                        *next_offset = message.offset() + 1;
                        let batch = batch.get_or_insert_with(|| Batch::new(*source, topic.clone(), *number, now()));
                        push(batch, &message);
                    }
                    let full = batch.as_ref().is_some_and(|batch| batch.buffer.len() >= BATCH_BYTES);
                    if full || since.elapsed() >= BATCH_TIME {
                        ready.store(true, Ordering::Relaxed);
                        more = true;
                        break;
                    }
                    continue;
                }
                Err(error) => error,
            };
            backlog.extend(batch.take().map(Input::Batch));
            match error {
                KafkaError::PartitionEOF(_) => {
                    *trouble = None;
                    // Never back: the message that names the end may be missing.
                    *next_offset = consumer.context().take_end().unwrap_or(0).max(*next_offset);
                    let (topic, partition, next_offset) = (topic.clone(), *number, *next_offset);
                    backlog.push_back(Input::AtEnd { topic, partition, next_offset });
                }
                KafkaError::MessageConsumption(
                    RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
                ) => {
                    // Fails only when the finder has ended, and then so do we.
                    let _ = questions.send(Question { topic: topic.clone(), partition: *number });
                }
                error => {
                    let what = format!("partition {number} of topic `{topic}` cannot be read");
                    let code = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
                    *trouble = Some(Trouble { what, detail: Some(code) });
                }
            }
        }
        backlog.extend(batch.map(Input::Batch));
        more
    }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

fn push(batch: &mut Batch, message: &BorrowedMessage<'_>) {
    let timestamp = message.timestamp();
    let appended = matches!(timestamp, Timestamp::LogAppendTime(_));
    let headers = message.headers();
    let count = headers.map_or(0, Headers::count);
    let headers = (0..count).filter_map(|place| {
        let headers = headers?;
        // rdkafka panics on a name that is not UTF-8. A hostile record must not stop the source: it loses that
        // header.
        let header = catch_unwind(AssertUnwindSafe(|| headers.try_get(place))).ok().flatten()?;
        Some((header.key, header.value))
    });
    batch.push(message.offset(), timestamp.to_millis(), appended, message.key(), message.payload(), headers);
}
