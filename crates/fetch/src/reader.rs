//! One source, as the caller sees it: what to read, what comes of it, and the handle that reads.
//!
//! One thread stands behind a reader, with a small runtime: `worker` fetches on it, and `finder` asks what is there.

use crate::finder::Finder;
use crate::worker::{Command, Ends, Worker};
use crate::{Connection, Error, properties};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use model::definition::Start;
use model::record::{Batch, RecordIndex};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// No more is fetched while so much waits for the caller.
pub(crate) const WAITING_BYTES: usize = 8 << 20;
const WAITING_INPUTS: usize = 1024;
/// Batches on their way back to be filled again.
const RETURNING: usize = 64;

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
    /// The topic's id as [`Input::Found`] told it: a topic of the same name with another id is another. None where
    /// the client tells none; librdkafka does not.
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
        /// The topic's id, to be stored with the position; none where the brokers tell none (before Kafka 2.8), and
        /// from librdkafka.
        topic_id: Option<String>,
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
        /// It is another log: the topic was deleted and made again, or the position lies beyond the log's end, or a
        /// leader that had missed records took over. In the last case it is the same up to `start`. Without ids, a
        /// topic that is deleted, made again and filled beyond the position between two looks at it goes unnoticed.
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
    /// From time to time: where the log ends, for who reads committed records alone where that is asked for.
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

impl Input {
    /// What it takes of the memory for what waits.
    pub fn weight(&self) -> usize {
        match self {
            Input::Batch(batch) => batch.buffer.len() + batch.records.len() * size_of::<RecordIndex>(),
            _ => 0,
        }
    }
}

/// Reads one source on a thread of its own. Dropping it stops the thread.
pub struct Reader {
    inputs: Receiver<Input>,
    budget: Arc<Budget>,
    returned: Sender<Batch>,
    commands: Option<mpsc::UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

/// What waits for the caller.
#[derive(Default)]
pub(crate) struct Budget {
    bytes: AtomicUsize,
    /// Somebody waits for room.
    wanted: AtomicBool,
    room: Notify,
}

impl Budget {
    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    fn take(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        if self.wanted.swap(false, Ordering::SeqCst) {
            self.room.notify_one();
        }
    }

    /// Whether there is room. If not, [`Budget::room`] ends when there may be.
    pub(crate) fn has_room(&self) -> bool {
        if self.bytes.load(Ordering::SeqCst) < WAITING_BYTES {
            return true;
        }
        self.wait();
        // Looked at again: room may have been made before it was wanted.
        self.bytes.load(Ordering::SeqCst) < WAITING_BYTES
    }

    /// Wants to hear of room.
    pub(crate) fn wait(&self) {
        self.wanted.store(true, Ordering::SeqCst);
    }

    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }
}

impl Reader {
    /// Starts to look for topics and partitions. `positions` are those that are stored. Fails only on bad
    /// settings; a broker that does not answer is an [`Input::Error`].
    pub fn start(reading: Reading, positions: Vec<Position>) -> Result<Reader, Error> {
        let settings = Arc::new(properties::settings(&reading.connection)?);
        let (outgoing, inputs) = bounded(WAITING_INPUTS);
        let (returned, returning) = bounded(RETURNING);
        // Commands come from one caller, a few for each of its steps, and the thread takes them at once.
        let (commands, obeyed) = mpsc::unbounded_channel();
        let (tell, findings) = mpsc::channel(WAITING_INPUTS);
        let (ask, asked) = mpsc::unbounded_channel();
        let poke = Arc::new(Notify::new());
        let budget = Arc::new(Budget::default());
        let finder = Finder::new(&reading, positions, settings.clone(), tell, asked, poke.clone());
        let ends = Ends { budget: budget.clone(), outgoing, returning, commands: obeyed, findings, ask, poke };
        let failed = |e: std::io::Error| Error::Client(format!("no thread can be started: {e}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let thread = std::thread::Builder::new().name("kafka-fetch".to_owned());
        let thread = thread.spawn(move || {
            runtime.block_on(async {
                let finding = tokio::spawn(finder.run());
                Worker::new(reading.source, settings, ends).run().await;
                if finding.is_finished()
                    && let Err(ended) = finding.await
                    && let Ok(panic) = ended.try_into_panic()
                {
                    resume_unwind(panic);
                }
            });
            // Without waiting for a name that is being looked up.
            runtime.shutdown_background();
        });
        let thread = Some(thread.map_err(failed)?);
        Ok(Reader { inputs, budget, returned, commands: Some(commands), thread })
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
        let mut bytes = inputs[0].weight();
        while bytes < WAITING_BYTES {
            let Ok(input) = self.inputs.try_recv() else { break };
            bytes += input.weight();
            inputs.push(input);
        }
        self.budget.take(bytes);
        inputs
    }

    /// Gives a batch back that is no longer needed, so that its memory serves the next one. Nobody has to.
    pub fn give_back(&self, batch: Batch) {
        // Full: the memory is freed.
        let _ = self.returned.try_send(batch);
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
        if !positions.is_empty() {
            self.command(Command::Commit(positions.to_vec()));
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
