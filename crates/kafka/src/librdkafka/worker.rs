//! The reading thread: it polls librdkafka, and hands over what has come through a bounded channel.
//!
//! Each partition has a queue of its own in librdkafka: an end of partition and an error then say whose they are
//! (rdkafka's events do not name the topic), and the records of a partition come in one run.

use super::WAITING_BYTES;
use super::finder::{Finding, Question, Trouble};
use crate::Input;
use crate::connection::Voice;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, never, select};
use model::Time;
use model::record::Batch;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message as _, Timestamp};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A batch is handed over when it holds so many bytes, or has taken so long.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_TIME: Duration = Duration::from_millis(5);
/// Between two looks at all queues, should a wake-up have been lost.
const IDLE: Duration = Duration::from_millis(100);
/// Between two looks while the caller is behind.
const FULL: Duration = Duration::from_millis(2);

pub(crate) type Client = BaseConsumer<Voice>;

/// What the caller wants done.
pub(crate) enum Command {
    Assign { topic: Arc<str>, partition: i32, next_offset: i64 },
    Pause { topic: Arc<str>, partition: i32, paused: bool },
    Commit(TopicPartitionList),
}

/// The reading thread.
pub(crate) struct Worker {
    source: usize,
    commits: bool,
    /// Before the consumer: queues go first.
    partitions: Vec<Partition>,
    /// Whose turn it is: with a bound on what waits, the first would starve the others.
    first: usize,
    /// What the channel has no room for. Nothing is read while something is here.
    backlog: VecDeque<Input>,
    ends: Ends,
    wake: Sender<()>,
    woken: Receiver<()>,
    /// After the last look at the whole source.
    source_trouble: Option<Trouble>,
    /// What the caller believes is wrong.
    told: Option<String>,
    consumer: Arc<Client>,
}

/// The worker's ends of its channels.
pub(crate) struct Ends {
    /// Bytes on their way to the caller.
    pub(crate) waiting: Arc<AtomicUsize>,
    pub(crate) outgoing: Sender<Input>,
    pub(crate) commands: Receiver<Command>,
    pub(crate) findings: Receiver<Finding>,
    pub(crate) questions: Sender<Question>,
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
    /// A worker that reads nothing yet.
    pub(crate) fn new(source: usize, commits: bool, consumer: Arc<Client>, ends: Ends) -> Worker {
        let (wake, woken) = bounded(1);
        Worker {
            source,
            commits,
            partitions: Vec::new(),
            first: 0,
            backlog: VecDeque::new(),
            ends,
            wake,
            woken,
            source_trouble: None,
            told: None,
            consumer,
        }
    }

    /// Runs until the reader is dropped.
    pub(crate) fn run(mut self) {
        let mut wait = IDLE;
        loop {
            if !self.hand_over() {
                return;
            }
            // News wait too while the caller is behind.
            let findings = if self.backlog.is_empty() { self.ends.findings.clone() } else { never() };
            select! {
                recv(self.ends.commands) -> command => match command {
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
            let bytes = input.weight();
            self.ends.waiting.fetch_add(bytes, Ordering::Relaxed);
            match self.ends.outgoing.try_send(input) {
                Ok(()) => {}
                Err(TrySendError::Full(input)) => {
                    self.ends.waiting.fetch_sub(bytes, Ordering::Relaxed);
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
            let (topic_id, start, stored, gap, recreated) = (None, low, true, None, true);
            let partition = number;
            self.backlog.push_back(Input::Found { topic, topic_id, partition, start, low, stored, gap, recreated });
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
        let mut bytes = self.ends.waiting.load(Ordering::Relaxed);
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
                bytes += self.backlog.back().map_or(0, Input::weight);
            }
        }
        wait
    }

    /// True when something may be left in the queue.
    fn read_partition(&mut self, place: usize) -> bool {
        let Worker { source, partitions, backlog, ends, consumer, .. } = self;
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
                    let _ = ends.questions.send(Question { topic: topic.clone(), partition: *number });
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
