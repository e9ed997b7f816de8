//! The reading thread: it polls librdkafka, and hands over what has come through a bounded channel.
//!
//! Each partition has a queue of its own in librdkafka: an end of partition and an error then say whose they are
//! (rdkafka's events do not name the topic), and the records of a partition come in one run.

use super::WAITING_BYTES;
use super::finder::{Finding, Question, Trouble};
use super::queue::Queue;
use crate::Input;
use crate::connection::Voice;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, never, select};
use model::Time;
use model::record::Batch;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::VecDeque;
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
    queue: Queue,
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
                // An end that is taken from a queue counts as a record there, and a partition that was paused at its
                // end would go on one record too far.
                let is_it = |of: &&Partition| of.topic == topic && of.number == partition;
                if !paused && let Some(next_offset) = self.partitions.iter().find(is_it).map(|of| of.next_offset) {
                    self.assign(topic, partition, next_offset);
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
        let ready = Arc::new(AtomicBool::new(true));
        let (flag, wake) = (ready.clone(), self.wake.clone());
        let nonempty = move || {
            flag.store(true, Ordering::Release);
            // Full: the thread wakes anyway.
            let _ = wake.try_send(());
        };
        let Some(queue) = Queue::split(&self.consumer, &topic, number, nonempty) else {
            tracing::error!(%topic, number, "librdkafka has no queue for this partition");
            return;
        };
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
        let waiting = self.ends.waiting.load(Ordering::Relaxed);
        let mut bytes = waiting;
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
                bytes = waiting + self.backlog.iter().map(Input::weight).sum::<usize>();
            }
        }
        wait
    }

    /// True when something may be left in the queue.
    fn read_partition(&mut self, place: usize) -> bool {
        let Worker { source, partitions, backlog, ends, .. } = self;
        let Partition { topic, number, queue, ready, next_offset, trouble } = &mut partitions[place];
        let since = Instant::now();
        let mut batch: Option<Batch> = None;
        let mut bytes = 0;
        let mut more = true;
        while more && bytes < BATCH_BYTES && since.elapsed() < BATCH_TIME {
            more = false;
            for message in queue.take() {
                more = true;
                let Some(error) = message.error() else {
                    *trouble = None;
                    // Nothing comes twice, whatever a pause or a seek has left in a queue.
                    if message.offset() >= *next_offset {
                        *next_offset = message.offset() + 1;
                        let filling = batch.get_or_insert_with(|| Batch::new(*source, topic.clone(), *number, now()));
                        message.push_to(filling);
                        if filling.buffer.len() >= BATCH_BYTES {
                            bytes += filling.buffer.len();
                            backlog.extend(batch.take().map(Input::Batch));
                        }
                    }
                    continue;
                };
                backlog.extend(batch.take().map(Input::Batch));
                match error {
                    RDKafkaErrorCode::PartitionEOF => {
                        *trouble = None;
                        // What lies between the last record and the end, such as a transaction's marks, is read too.
                        *next_offset = message.offset().max(*next_offset);
                        let (topic, partition, next_offset) = (topic.clone(), *number, *next_offset);
                        backlog.push_back(Input::AtEnd { topic, partition, next_offset });
                    }
                    RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                        // Fails only when the finder has ended, and then so do we.
                        let _ = ends.questions.send(Question { topic: topic.clone(), partition: *number });
                    }
                    error => {
                        let what = format!("partition {number} of topic `{topic}` cannot be read");
                        *trouble = Some(Trouble { what, detail: Some(error.to_string()) });
                    }
                }
            }
        }
        backlog.extend(batch.map(Input::Batch));
        if more {
            ready.store(true, Ordering::Relaxed);
        }
        more
    }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
