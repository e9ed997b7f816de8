//! W6: the same server tells and ingests at once. Readings come at half of what it could take; in turn nobody asks, 64
//! point reads are always in flight, and a thousand watchers hold their streams open.

use crate::broker::Broker;
use crate::failure::Failure;
use crate::measure::{Setting, temporary};
use crate::process::{Usage, pause};
use crate::server::{On, Server, knows, runtime};
use crate::workload::{Next, Workload, identifier};
use api::v1::health_client::HealthClient;
use api::v1::{ElementFilter, GetElementRequest, WatchRequest};
use serde::Serialize;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tonic::transport::Channel;

const IN_FLIGHT: usize = 64;
const WATCHERS: usize = 1000;
/// A connection carries at most so many calls at once.
const CALLS_EACH: usize = 50;

/// What reading was like, and what it did to ingesting.
#[derive(Debug, Serialize)]
pub(crate) struct Reads {
    pub(crate) workload: &'static str,
    pub(crate) series: u32,
    /// Readings a second that came in while nobody asked, during reads, and during watching.
    pub(crate) ingest_rate: [f64; 3],
    /// Seconds of the server's processor time for each second, in the same three.
    pub(crate) server_cpu: [f64; 3],
    pub(crate) reads_per_s: f64,
    /// By processor time of the server beyond that of ingesting alone.
    pub(crate) reads_per_core: f64,
    /// Of one read, in milliseconds.
    pub(crate) median_ms: f64,
    pub(crate) p99_ms: f64,
    /// What the watchers were told, a second.
    pub(crate) told_per_s: f64,
}

/// Measures each of the three for as many seconds.
pub(crate) fn run(workload: Workload, rate: f64, seconds: u64, setting: &Setting<'_>) -> Result<Reads, Failure> {
    let mut broker = Broker::connect(setting.brokers)?;
    let (input, output) = (testkit::unique("bench-w6-in"), testkit::unique("bench-w6-out"));
    broker.create(&input, workload.partitions, &[])?;
    broker.create(&output, workload.partitions, &[])?;
    let fed = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let feeder = {
        let (brokers, input) = (setting.brokers.to_owned(), input.clone());
        let (fed, stop) = (fed.clone(), stop.clone());
        std::thread::spawn(move || feed(workload, rate, &brokers, &input, &fed, &stop))
    };
    let folder = temporary()?;
    let log = setting.logs.join("w6.log");
    let on =
        On { brokers: setting.brokers, input: &input, output: &output, workload, folder: folder.path(), log: &log };
    let outcome = Server::start(&on).and_then(|mut server| asked(workload, seconds, &mut server, &fed, setting));
    stop.store(true, Ordering::Relaxed);
    let fed = feeder.join().unwrap_or_else(|_| Err(Failure("the thread that feeds has failed".to_owned())));
    broker.delete(&input)?;
    broker.delete(&output)?;
    let reads = outcome?;
    fed.map(|()| reads)
}

/// Writes readings at a pace.
fn feed(
    workload: Workload,
    rate: f64,
    brokers: &str,
    input: &str,
    fed: &AtomicU64,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let began = Instant::now();
    workload.feed(&mut Broker::connect(brokers)?, input, &mut |second| {
        let done = workload.events_before(second + 1);
        fed.store(done, Ordering::Relaxed);
        let due = Duration::from_secs_f64(done as f64 / rate);
        while began.elapsed() < due && !stop.load(Ordering::Relaxed) {
            pause(1);
        }
        if stop.load(Ordering::Relaxed) { Next::Stop } else { Next::Send }
    })
}

fn asked(
    workload: Workload,
    seconds: u64,
    server: &mut Server,
    fed: &AtomicU64,
    setting: &Setting<'_>,
) -> Result<Reads, Failure> {
    let runtime = runtime()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut client = HealthClient::new(server.channel()?);
        let began = Instant::now();
        // All series have been born when the last one is known.
        while !knows(&mut client, &identifier(workload.series - 1)).await {
            if began.elapsed() > setting.patience || server.process.usage()?.ended {
                return Err(server.process.failure("it does not tell the health of the last series"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let span = Duration::from_secs(seconds);
        let idle = phase(server, fed, span).await?;

        let took = Rc::new(RefCell::new(Vec::new()));
        let mut readers = tokio::task::JoinSet::new();
        let channels = channels(server, IN_FLIGHT)?;
        for number in 0..IN_FLIGHT {
            readers.spawn_local(read(
                channels[number / CALLS_EACH].clone(),
                workload.series,
                number as u32,
                took.clone(),
            ));
        }
        let reading = phase(server, fed, span).await?;
        ended(&mut readers)?;
        readers.shutdown().await;

        let told = Rc::new(RefCell::new(0_u64));
        let mut watchers = tokio::task::JoinSet::new();
        let channels = self::channels(server, WATCHERS)?;
        for number in 0..WATCHERS {
            let series = number as u32 % workload.series;
            watchers.spawn_local(watch(channels[number / CALLS_EACH].clone(), series, told.clone()));
        }
        let watching = phase(server, fed, span).await?;
        ended(&mut watchers)?;
        watchers.shutdown().await;

        let mut took = took.take();
        took.sort_unstable();
        let at =
            |share: f64| took.get((took.len() as f64 * share) as usize).map_or(f64::NAN, |us| f64::from(*us) / 1e3);
        let phases = [&idle, &reading, &watching];
        let reads_per_s = took.len() as f64 / reading.seconds;
        Ok(Reads {
            workload: "W6",
            series: workload.series,
            ingest_rate: phases.map(|phase| phase.events / phase.seconds),
            server_cpu: phases.map(|phase| phase.cpu_s / phase.seconds),
            reads_per_s,
            reads_per_core: reads_per_s / (reading.cpu_s / reading.seconds - idle.cpu_s / idle.seconds).max(0.01),
            median_ms: at(0.5),
            p99_ms: at(0.99),
            told_per_s: *told.borrow() as f64 / watching.seconds,
        })
    })
}

/// What happened in a stretch of time.
struct Phase {
    seconds: f64,
    events: f64,
    cpu_s: f64,
}

async fn phase(server: &mut Server, fed: &AtomicU64, span: Duration) -> Result<Phase, Failure> {
    let before: Usage = server.process.usage()?;
    let events = fed.load(Ordering::Relaxed);
    tokio::time::sleep(span).await;
    let after = server.process.usage()?;
    if after.ended {
        return Err(server.process.failure("it has ended by itself"));
    }
    let events = fed.load(Ordering::Relaxed) - events;
    Ok(Phase { seconds: after.wall_s - before.wall_s, events: events as f64, cpu_s: after.cpu_s() - before.cpu_s() })
}

fn channels(server: &Server, calls: usize) -> Result<Vec<Channel>, Failure> {
    (0..calls.div_ceil(CALLS_EACH)).map(|_| server.channel()).collect()
}

/// Reads one element after the other, as long as it is let.
async fn read(channel: Channel, series: u32, first: u32, took: Rc<RefCell<Vec<u32>>>) -> Result<(), tonic::Status> {
    let mut client = HealthClient::new(channel);
    let mut next = first;
    loop {
        // A prime apart: no order that a cache could know.
        next = (next + 7919) % series;
        let began = Instant::now();
        client.get_element(GetElementRequest { name: identifier(next) }).await?;
        took.borrow_mut().push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

/// Holds a stream of one element's changes, as long as it is let.
async fn watch(channel: Channel, series: u32, told: Rc<RefCell<u64>>) -> Result<(), tonic::Status> {
    let filter = ElementFilter { name_prefix: identifier(series), ..ElementFilter::default() };
    let request = WatchRequest { filter: Some(filter), after_sequence: None };
    let mut stream = HealthClient::new(channel).watch(request).await?.into_inner();
    while stream.message().await?.is_some() {
        *told.borrow_mut() += 1;
    }
    Err(tonic::Status::unavailable("the stream has ended"))
}

/// A failure where one of those that should go on for ever has ended.
fn ended(tasks: &mut tokio::task::JoinSet<Result<(), tonic::Status>>) -> Result<(), Failure> {
    match tasks.try_join_next() {
        None => Ok(()),
        Some(Ok(Err(status))) => Err(Failure(format!("the server refuses: {status}"))),
        Some(other) => Err(Failure(format!("a reader has ended: {other:?}"))),
    }
}
