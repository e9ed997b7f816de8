//! One source, as the caller sees it: what to read, what comes of it, and the handle that reads.
//!
//! Two threads stand behind a reader: one that reads (`worker`) and one that asks the brokers (`finder`).

use crate::connection::{client, settings};
use crate::finder::{self, Finder, Topic};
use crate::worker::{Client, Command, Ends, Worker, weight};
use crate::{Connection, Error};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use model::definition::Start;
use model::record::Batch;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Reading stands still while so much waits for the caller.
pub(crate) const WAITING_BYTES: usize = 8 << 20;
const WAITING_INPUTS: usize = 1024;

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
        let ends = Ends { waiting: waiting.clone(), outgoing, commands: obeyed, findings, questions: ask };
        let worker = Worker::new(reading.source, reading.group.is_some(), consumer, ends);
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
