//! The run loop: `poll (bounded) -> fill -> advance -> store.commit (one batch) -> publish the outbox`.
//!
//! One thread runs it, and everything that it decides is in `run`. Readers, the publisher and gRPC have threads
//! of their own, behind bounded queues; they see only what is committed.

use crate::crash::Crash;
use crate::due::Due;
use crate::grpc::{self, History, Served};
use crate::inputs::{Inputs, Polled, connection};
use crate::publish::{self, Destination, Publishing};
use crate::view::{Feed, Observations, RECENT_CHANGES, View};
use config::{Durability, Settings, StoreSettings};
use engine::state::{ActiveError, Change, PartitionKey, Restored};
use engine::{Engine, Kept, Shard, Step, fill};
use kafka::{Points, Publisher};
use model::record::Batch;
use model::{Counters, Reason, Time};
use std::collections::HashMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::Store;

/// How long a step waits for records where there are none.
const WAIT: Duration = Duration::from_millis(20);
/// How long the publisher may take for the last transitions.
const LAST_PUBLISH: Duration = Duration::from_millis(1500);
/// How long calls may go on after the end.
const LAST_CALLS: Duration = Duration::from_millis(500);

/// Where the time comes from: the system, or a test.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// What a caller may decide beside the settings.
pub struct Options {
    /// What gRPC listens on; none: the settings' address.
    pub listener: Option<TcpListener>,
    /// The clock for ticks, idle marks and intervals. Event time decides everything else.
    pub clock: Clock,
    /// Keeps the whole journal in the store, so that a test can hold the oracle against it.
    pub keep_journal: bool,
    /// Where to end without a farewell; for tests.
    pub crash: Crash,
}

impl Default for Options {
    fn default() -> Options {
        Options { listener: None, clock: Arc::new(system_time), keep_journal: false, crash: Crash::default() }
    }
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// What each source has counted since its state began.
    pub sources: Vec<(Arc<str>, Counters)>,
    /// Transitions in this run.
    pub transitions: u64,
    /// How many of them, and of those that waited before, were published in this run.
    pub published: u64,
    /// Points that were published in this run.
    pub points: u64,
    /// How often check functions ran in this run.
    pub checks: u64,
    /// Commits in this run.
    pub commits: u64,
}

/// Why a run cannot begin, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store.
    #[error("state: {0}")]
    Store(#[from] store::Error),
    /// A source cannot be set up.
    #[error("source `{source_name}`: {error}")]
    Source {
        /// Its name.
        source_name: Arc<str>,
        /// What is wrong.
        error: kafka::Error,
    },
    /// Nothing can be published.
    #[error("publishing: {0}")]
    Publishing(kafka::Error),
    /// Nothing can listen there.
    #[error("cannot listen on {address}: {reason}; choose another address by `listen` or `--listen`")]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The system gives no thread, or no folder for state that is not kept.
    #[error("cannot begin: {0}")]
    System(#[from] std::io::Error),
}

/// Runs until `shutdown` is set, which takes five seconds at most, or until a commit fails.
///
/// # Errors
/// Where something cannot be set up, and where a commit fails: then the next start begins from the last one.
pub fn run(settings: &Settings, options: Options, shutdown: &AtomicBool) -> Result<Summary, Error> {
    let Options { listener, clock, keep_journal, crash } = options;
    let crash = Arc::new(crash);
    let listener = listener.map_or_else(|| listen(&settings.listen), Ok)?;
    let (path, _temporary) = folder(&settings.store)?;
    let store = Arc::new(Store::open(&store_options(&settings.store, path, keep_journal))?);
    let restored = store.restore()?;
    let read_before: HashMap<PartitionKey, i64> =
        restored.partitions.iter().map(|(key, record)| (key.clone(), record.next_offset)).collect();
    let shown = shown(&restored);
    let (definitions, library) = (settings.definitions.clone(), settings.library.clone());
    let formats = settings.formats.clone().into();
    let (mut engine, mut shards, kept) = Engine::new(definitions, formats, library, settings.workers, restored);
    let served = Arc::new(served(settings, &engine, &shown, &store)?);
    let Kept { instances, checks, baselines, dropped } = kept;
    tracing::info!(
        instances,
        checks,
        baselines,
        dropped,
        "what a former run has left is kept, or dropped where nothing asks for it"
    );

    let service = Service::start(listener, served.clone())?;
    let publishing = Publishing::start(store.clone(), destination(settings, &store)?, crash.clone())?;
    let mut now = clock();
    let mut inputs = Inputs::start(settings, &engine.positions(&shards), &read_before, now)
        .map_err(|(source_name, error)| Error::Source { source_name, error })?;
    let mut due = Due::new(&settings.store, now);
    let mut commits = Commits { store: &store, view: &served.view, crash: &crash, count: 0, transitions: 0 };
    let mut step = Step::default();
    let mut full = false; // of the outbox: nothing is read
    let mut dirty = true; // something has happened since the last commit
    served.view.engine_runs(true);

    while !shutdown.load(Ordering::Relaxed) {
        now = clock();
        let waiting = publish::Waiting { transitions: store.outbox_len()?, points: store.points_len() };
        if full != waiting.is_full() {
            full = !full;
            tracing::warn!(%waiting, stopped = full, "the outbox is full: nothing is read while it is");
            inputs.listen_anew(now);
        }

        // poll, but for what is left over from the last step
        let mut polled = Polled::default();
        if full {
            std::thread::sleep(WAIT);
        } else if !step.more {
            polled = inputs.poll(now, if step.asking { Duration::ZERO } else { WAIT });
        }
        for (partition, start, topic_id) in polled.found {
            engine.found(&mut shards, partition, start, topic_id);
            dirty = true;
        }
        for (partition, from, to) in polled.gaps {
            engine.lose(&mut shards, &partition, from, to);
            dirty = true;
        }

        // fill
        let replaying = engine.replaying(&shards);
        if replaying {
            polled.batches.extend(ends_of_replay(&inputs, &engine, &shards, &read_before, now));
        } else if !full && !step.more {
            polled.said.extend(inputs.silence(now, |source| engine.frontier(source)));
        }
        let filled = !polled.batches.is_empty();
        inputs.give_back(fill_all(&mut engine, &mut shards, polled.batches));
        if replaying && filled {
            crash.here("catch-up");
        }

        // advance
        if !full && (filled || step.more || step.asking || !polled.said.is_empty()) {
            step = engine.advance(&mut shards, &polled.said);
            inputs.hold(&step.ahead, now);
            dirty = true;
        }

        // commit
        let often = due.commit(now, engine.blocks()) && (dirty || due.has_turns());
        let told = step.transitions || step.points;
        if told || often || inputs.waits_for_commit() {
            let turns = due.take_turns(engine.blocks());
            if commits.write(&engine.collect(&shards, turns), told)? {
                inputs.committed(now);
                dirty = false;
            }
        }

        // publish
        if told {
            (step.transitions, step.points) = (false, false);
            crash.here("after-commit");
            publishing.wake();
        }

        if due.offsets(now) {
            inputs.tell_offsets(&engine.positions(&shards));
        }
        if due.observe(now) {
            let stopped = full.then(|| publish::full(&waiting, publishing.trouble().as_deref(), now));
            observe(&served.view, &engine, &inputs, stopped.as_ref());
        }
        if due.expire(now) {
            store.expire(now)?;
        }
        due.tell(now, &served.view, &inputs, &engine, &mut shards);
    }

    tracing::info!("ending: what was read is committed, and what can be published is");
    served.view.engine_runs(false);
    commits.write(&engine.collect(&shards, 0), true)?;
    let counters = |name: &Arc<str>| (name.clone(), served.view.source(name).record.counters);
    let sources = inputs.names().map(counters).collect();
    let (published, points) = std::thread::scope(|scope| {
        scope.spawn(|| inputs.stop());
        service.stop();
        publishing.stop(LAST_PUBLISH)
    });
    let summary = Summary {
        sources,
        transitions: commits.transitions,
        commits: commits.count,
        checks: engine.runs(),
        published,
        points,
    };
    summary.log();
    Ok(summary)
}

/// Writes commits, and shows what they wrote.
struct Commits<'a> {
    store: &'a Store,
    view: &'a View,
    crash: &'a Crash,
    count: u64,
    transitions: u64,
}

impl Commits<'_> {
    /// One batch. False where there is nothing to write.
    fn write(&mut self, changes: &[Change], transitions: bool) -> Result<bool, Error> {
        if changes.is_empty() {
            return Ok(false);
        }
        let rewritten =
            |change: &Change| matches!(change, Change::Block { record: Some(block), .. } if !block.series.is_empty());
        if changes.iter().any(rewritten) {
            self.crash.here("mid-block");
        }
        self.store.commit(changes, transitions)?;
        self.view.apply(changes);
        self.count += 1;
        self.transitions += changes.iter().filter(|change| matches!(change, Change::Transition(_))).count() as u64;
        Ok(true)
    }
}

/// Fills panes, with a thread for each shard that has something to do. Gives the batches back.
pub(crate) fn fill_all(engine: &mut Engine, shards: &mut [Shard], batches: Vec<Batch>) -> Vec<Batch> {
    let mut work: Vec<Vec<Batch>> = shards.iter().map(|_| Vec::new()).collect();
    for batch in batches {
        work[engine.admit(shards, &batch)].push(batch);
    }
    let busy = work.iter().filter(|batches| !batches.is_empty()).count();
    let fill_one = |(shard, batches): (&mut Shard, &Vec<Batch>)| batches.iter().for_each(|batch| fill(shard, batch));
    if busy <= 1 {
        shards.iter_mut().zip(&work).for_each(fill_one);
    } else {
        std::thread::scope(|scope| {
            for share in shards.iter_mut().zip(&work).filter(|(_, batches)| !batches.is_empty()) {
                scope.spawn(move || fill_one(share));
            }
        });
    }
    work.into_iter().flatten().collect()
}

/// A partition may end below the position that is committed: what lay between was deleted, or was no record but
/// a transaction's mark. Then nothing would ever say that all of it has been read again. A record without a value
/// in the last place that is committed says so; what is read again counts nowhere.
fn ends_of_replay(
    inputs: &Inputs,
    engine: &Engine,
    shards: &[Shard],
    read_before: &HashMap<PartitionKey, i64>,
    now: Time,
) -> Vec<Batch> {
    let ended: HashMap<PartitionKey, usize> = inputs.ended().map(|(source, key)| (key, source)).collect();
    if ended.is_empty() {
        return Vec::new();
    }
    let mut batches = Vec::new();
    for (key, record) in engine.positions(shards) {
        let (Some(source), Some(committed)) = (ended.get(&key), read_before.get(&key)) else { continue };
        if record.next_offset < *committed {
            let mut batch = Batch::new(*source, key.topic, key.partition, now);
            batch.push(committed - 1, Some(now.millis()), true, None, None, []);
            batches.push(batch);
        }
    }
    batches
}

/// Shows what is known beside what is committed.
fn observe(view: &View, engine: &Engine, inputs: &Inputs, stopped: Option<&ActiveError>) {
    let (ends, mut source_errors) = (inputs.ends(), inputs.errors());
    if let Some(stopped) = stopped {
        source_errors = inputs.names().map(|name| (name.clone(), stopped.clone())).collect();
    }
    let runs = engine.last_runs();
    view.observe(Observations { ends, source_errors, runs });
}

fn listen(address: &str) -> Result<TcpListener, Error> {
    TcpListener::bind(address).map_err(|reason| Error::Listen { address: address.to_owned(), reason })
}

/// Where state is kept; a folder that goes with the process where none is written.
fn folder(store: &StoreSettings) -> Result<(PathBuf, Option<tempfile::TempDir>), Error> {
    if let Some(path) = &store.path {
        return Ok((path.into(), None));
    }
    let folder = tempfile::Builder::new().prefix("vitalsign-").tempdir()?;
    let path = folder.path().to_path_buf();
    tracing::warn!(path = %path.display(), "no `store.path` is set: state is kept in a folder that goes with this process");
    Ok((path, Some(folder)))
}

pub(crate) fn store_options(store: &StoreSettings, path: PathBuf, keep_journal: bool) -> store::Options {
    store::Options {
        path,
        durability: match store.durability {
            Durability::Power => store::Durability::Power,
            Durability::Process => store::Durability::Process,
        },
        history: store.history,
        // The rest is for panes and for the queues of Kafka's client.
        memory_bytes: store.memory_bytes / 4,
        keep_journal,
    }
}

fn destination(settings: &Settings, store: &Store) -> Result<Destination, Error> {
    let mut to = Destination::default();
    if let Some(of) = &settings.transitions {
        let publisher = Publisher::new(&connection(&of.brokers, &of.properties)).map_err(Error::Publishing)?;
        to.transitions = Some((publisher, of.topic.clone()));
    }
    // Beside transitions, also what a former run has left goes out where no stream publishes points any more.
    let left = to.transitions.is_some() && store.points_len() > 0;
    if left || !settings.definitions.publications.is_empty() {
        let of = &settings.points;
        to.points = Some(Points::new(&connection(&of.brokers, &of.properties)).map_err(Error::Publishing)?);
    }
    Ok(to)
}

/// What the view begins with: all but what only the engine needs, which may be large.
fn shown(restored: &Restored) -> Restored {
    Restored {
        sources: restored.sources.clone(),
        partitions: restored.partitions.clone(),
        agendas: restored.agendas.clone(),
        instances: restored.instances.clone(),
        checks: restored.checks.clone(),
        elements: restored.elements.clone(),
        baselines: restored.baselines.clone(),
        baseline_instances: restored.baseline_instances.clone(),
        sequence: restored.sequence,
        ..Restored::default()
    }
}

fn served(settings: &Settings, engine: &Engine, shown: &Restored, store: &Arc<Store>) -> Result<Served, Error> {
    let streams = &settings.definitions.streams;
    let feeds = engine.feeds().map(|feed| Feed {
        fingerprint: feed.fingerprint,
        stream: streams[feed.stream].name.clone(),
        window: feed.window,
        downsample: feed.downsample,
        sources: feed.sources,
        baselines: feed.baselines,
    });
    let view = View::new(settings.definitions.clone(), feeds, shown, RECENT_CHANGES);
    view.recall(store)?;
    let (all, one) = (store.clone(), store.clone());
    let history = History {
        of_element: Box::new(move |(element, before, most)| {
            all.history(&element, before, most).map_err(|error| error.to_string())
        }),
        transition: Box::new(move |id| one.transition(id).map_err(|error| error.to_string())),
    };
    Ok(Served { view, history })
}

/// gRPC, on threads of its own.
struct Service {
    runtime: tokio::runtime::Runtime,
    stop: tokio::sync::oneshot::Sender<()>,
    server: tokio::task::JoinHandle<()>,
}

impl Service {
    fn start(listener: TcpListener, served: Arc<Served>) -> Result<Service, Error> {
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = runtime.spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            if let Err(error) = grpc::serve(listener, served, shutdown).await {
                tracing::error!(%error, "gRPC has ended; evaluation goes on");
            }
        });
        tracing::info!(%address, "gRPC listens");
        Ok(Service { runtime, stop, server })
    }

    /// Tells watchers that it ends, and gives other calls a moment.
    fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.runtime.block_on(async { tokio::time::timeout(LAST_CALLS, self.server).await });
        self.runtime.shutdown_background();
    }
}

impl Summary {
    fn log(&self) {
        for (source, counters) in &self.sources {
            let refused: Vec<String> = Reason::ALL
                .iter()
                .filter(|reason| counters.refused(**reason) > 0)
                .map(|reason| format!("{} {}", counters.refused(*reason), reason.name()))
                .collect();
            let Counters { records, samples, events, .. } = counters;
            tracing::info!(%source, records, samples, events, refused = refused.join(", "), "read since its state began");
        }
        let Summary { transitions, published, points, checks, commits, .. } = self;
        tracing::info!(transitions, published, points, checks, commits, "ended");
    }
}

/// The system's clock.
pub(crate) fn system_time() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Time::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
