//! `vitalsign simulate`: the shop of the demo, on any Kafka.

use crate::{Failure, shutdown};
use clap::Args;
use kafka::{Connection, Publisher};
use model::Span;
use simulator::{Shop, TOPICS};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// Write the metrics and events of a small shop, which breaks on a schedule and recovers, to any Kafka.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vitalsign simulate --brokers localhost:9092
  vitalsign simulate --brokers localhost:9092 --for 10m --seed 7")]
pub(crate) struct Arguments {
    /// The brokers to begin with.
    #[arg(long, value_name = "HOST:PORT,...", default_value = "localhost:9092")]
    brokers: String,
    /// How long; without it until SIGTERM or SIGINT.
    #[arg(long = "for", value_name = "DURATION")]
    lasts: Option<Span>,
    /// What chance is made of: the same seed, the same shop.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Partitions of topics that do not exist yet.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=1000))]
    partitions: i32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let failed = |error: kafka::Error| Failure::Failed(format!("{}: {error}", arguments.brokers));
    let connection = Connection { brokers: arguments.brokers.clone(), properties: Vec::new() };
    let missing: Vec<(&str, i32)> = TOPICS.map(|topic| (topic, arguments.partitions)).to_vec();
    kafka::create_topics(&connection, &missing).map_err(failed)?;
    let publisher = Publisher::new(&connection).map_err(failed)?;
    let shutdown = shutdown()?;
    let shop = Shop::new(arguments.seed, now());
    println!("the shop is open; it writes to {}", TOPICS.join(", "));
    std::thread::scope(|scope| {
        let (stop, stopped) = channel();
        let writer = scope.spawn(|| {
            let stopped = stopped;
            simulator::run(shop, &publisher, &stopped)
        });
        wait(arguments.lasts, &shutdown, || writer.is_finished(), stop);
        writer.join().map_err(|_| Failure::Failed("the simulator has ended by a bug".into()))?.map_err(failed)
    })
}

/// Waits until the time is over, or the end is asked for or has come; then says stop.
fn wait(lasts: Option<Span>, shutdown: &AtomicBool, ended: impl Fn() -> bool, stop: Sender<()>) {
    let since = Instant::now();
    let over = || lasts.is_some_and(|lasts| since.elapsed().as_secs_f64() >= lasts.as_secs_f64());
    while !shutdown.load(Ordering::Relaxed) && !ended() && !over() {
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(stop);
}

/// The clock of the machine.
pub(crate) fn now() -> model::Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    model::Time::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
