//! Reading a source by librdkafka: what the caller sees, as our own fetch path shows it.
//!
//! Two threads stand behind a reader: one that reads (`worker`) and one that asks the brokers (`finder`).

mod finder;
mod queue;
mod worker;

use crate::connection::{client, settings};
use crate::{Input, Position, Reading};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use fetch::Error;
use fetch::topics::{Begin, Topic};
use finder::Finder;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use worker::{Client, Command, Ends, Worker};

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

/// Reads one source on a thread of its own. Dropping it stops the thread.
pub(crate) struct Reader {
    inputs: Receiver<Input>,
    /// Bytes on their way to the caller.
    waiting: Arc<AtomicUsize>,
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    pub(crate) fn start(reading: Reading, positions: Vec<Position>) -> Result<Reader, Error> {
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
            begin: Begin::new(positions, reading.start),
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

    pub(crate) fn poll(&mut self, wait: Duration) -> Vec<Input> {
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
        let mut bytes = inputs[0].weight();
        while bytes < WAITING_BYTES {
            let Ok(input) = self.inputs.try_recv() else { break };
            bytes += input.weight();
            inputs.push(input);
        }
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        inputs
    }

    pub(crate) fn assign(&self, topic: &Arc<str>, partition: i32, next_offset: i64) {
        self.command(Command::Assign { topic: topic.clone(), partition, next_offset });
    }

    pub(crate) fn pause(&self, topic: &Arc<str>, partition: i32) {
        self.command(Command::Pause { topic: topic.clone(), partition, paused: true });
    }

    pub(crate) fn resume(&self, topic: &Arc<str>, partition: i32) {
        self.command(Command::Pause { topic: topic.clone(), partition, paused: false });
    }

    pub(crate) fn commit_offsets(&self, positions: &[(Arc<str>, i32, i64)]) {
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
