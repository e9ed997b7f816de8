//! `vitalsign demo`: the shop, a broker and the real loop in one process, and what they come to, line by line.

use crate::health::{clock, connect, painted, state};
use crate::{Failure, setup, shutdown, simulate};
use api::v1;
use api::v1::health_client::HealthClient;
use api::v1::watch_event::Event;
use clap::Args;
use config::{File, Settings, TransitionsSettings};
use kafka::{Connection, Embedded, Publisher};
use model::definition::Start;
use model::{Span, Time};
use server::{Options, Range};
use simulator::{CYCLE, DEMO_CONFIGURATION, Shop, TOPICS, TOPICS_WITH_PAST};
use std::io::IsTerminal;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tonic::Streaming;

const ADDRESS: &str = "127.0.0.1:7979";
const TRANSITIONS: &str = "vitalsign.transitions";
/// Between two looks at what the simulator breaks, and whether it is time to end.
const LOOK: Duration = Duration::from_millis(200);
/// How much of the shop's past there is.
const PAST: Span = Span::from_secs(14 * 86_400);

/// Watch a small shop break and recover: a broker, producers and Vitalsign in one process.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vitalsign demo
  vitalsign demo --for 2m
  vitalsign demo --store /tmp/shop --listen 127.0.0.1:8000

Lines that begin with # tell what the simulator does; all others are transitions: time, element, from and to,
and the reason. While it runs, `vitalsign health` shows how things stand.")]
pub(crate) struct Arguments {
    /// How long; without it until SIGTERM or SIGINT.
    #[arg(long = "for", value_name = "DURATION")]
    lasts: Option<Span>,
    /// The folder for state; without it one that goes with the demo.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The address that gRPC listens on; without it 127.0.0.1:7979, or any free port where that is taken.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// What chance is made of: the same seed, the same shop.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let shutdown = shutdown()?;
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
    let mut topics = TOPICS.map(|topic| (topic, 2)).to_vec();
    topics.push((TRANSITIONS, 1));
    let embedded = Embedded::start(&topics).map_err(|error| failed(&error))?;
    let brokers = embedded.brokers();
    let mut settings = settings(&brokers)?;
    let _folder;
    settings.store.path = Some(match &arguments.store {
        Some(path) => path.display().to_string(),
        None => {
            let folder =
                tempfile::Builder::new().prefix("vitalsign-demo-").tempdir().map_err(|error| failed(&error))?;
            let path = folder.path().display().to_string();
            _folder = folder;
            path
        }
    });
    let listener = listener(arguments.listen.as_deref())?;
    let address = listener.local_addr().map_err(|error| failed(&error))?.to_string();
    let connection = Connection { brokers: brokers.clone(), properties: Vec::new() };
    let publisher = Publisher::new(&connection).map_err(|error| failed(&error))?;
    let shop = Shop::new(arguments.seed, simulate::now());
    let open = shop.open();
    teach(&shop, &publisher, &mut settings).map_err(|error| failed(&error))?;
    println!("# the shop is open; Kafka is at {brokers}, gRPC at {address}");

    let (stop, stopped): (_, Receiver<()>) = channel();
    let writer = std::thread::spawn(move || simulator::run(shop, &publisher, &stopped));
    let ending = Arc::new(AtomicBool::new(false));
    let (end, options) = (ending.clone(), Options { listener: Some(listener), ..Options::default() });
    let watcher = std::thread::spawn(move || server::run(&settings, options, &end));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
    let over = || {
        let lasted = arguments.lasts.is_some_and(|lasts| simulate::now() - open >= lasts);
        lasted || shutdown.load(Ordering::Relaxed) || watcher.is_finished() || writer.is_finished()
    };
    let told = runtime.block_on(tell(&address, open, over));
    drop(stop);
    ending.store(true, Ordering::Relaxed);
    let bug = || Failure::Failed("a thread of the demo has ended by a bug".to_owned());
    writer.join().map_err(|_| bug())?.map_err(|error| failed(&error))?;
    let summary = watcher.join().map_err(|_| bug())?.map_err(crate::run::failure)?;
    told?;
    let samples: u64 = summary.sources.iter().map(|(_, counters)| counters.samples + counters.events).sum();
    println!(
        "# the shop closes after {}: {samples} samples and events, {} runs of checks, {} transitions, {} published",
        Span::from_secs((simulate::now() - open).nanos() / 1_000_000_000),
        summary.checks,
        summary.transitions,
        summary.published
    );
    Ok(())
}

/// Writes the shop's past to Kafka, and teaches it to the baselines, as `vitalsign train` would.
fn teach(shop: &Shop, publisher: &Publisher, settings: &mut Settings) -> Result<(), Box<dyn std::error::Error>> {
    let began = Instant::now();
    simulator::write(shop.past(PAST), publisher)?;
    let folder = PathBuf::from(settings.store.path.as_deref().unwrap_or_default());
    let range = Range { from: Start::Earliest, to: None };
    let trained = server::train(settings, &folder, range, &AtomicBool::new(false), &mut |_| ())?.unwrap_or_default();
    let names: Vec<&str> = trained.baselines.iter().map(|baseline| &*baseline.name).collect();
    println!(
        "# the baselines `{}` have learned {} samples of the last {PAST} in {:.1} s",
        names.join("`, `"),
        trained.read,
        began.elapsed().as_secs_f64()
    );
    // What was learned is not read again.
    for source in &mut settings.sources {
        if source.topics.iter().any(|topic| TOPICS_WITH_PAST.contains(&&**topic)) {
            source.start = Start::Latest;
        }
    }
    Ok(())
}

/// The demo's configuration, on this broker.
fn settings(brokers: &str) -> Result<Settings, Failure> {
    let file = File { path: "demo.yaml".to_owned(), text: DEMO_CONFIGURATION.to_owned() };
    let mut settings = setup::load(&[file], Vec::new())?;
    for source in &mut settings.sources {
        source.brokers = brokers.to_owned();
        source.start = Start::Earliest;
    }
    let (topic, properties) = (TRANSITIONS.to_owned(), Vec::new());
    settings.transitions = Some(TransitionsSettings { topic, brokers: brokers.to_owned(), properties });
    Ok(settings)
}

fn listener(wanted: Option<&str>) -> Result<TcpListener, Failure> {
    let bound = match wanted {
        Some(address) => TcpListener::bind(address),
        None => TcpListener::bind(ADDRESS).or_else(|_| TcpListener::bind("127.0.0.1:0")),
    };
    bound.map_err(|error| {
        Failure::Failed(format!("cannot listen on {}: {error}; choose another by --listen", wanted.unwrap_or(ADDRESS)))
    })
}

/// Prints transitions as they come, and what the simulator does, until it is over.
async fn tell(address: &str, open: Time, over: impl Fn() -> bool) -> Result<(), Failure> {
    let mut changes = watch(address, &over).await?;
    let mut looks = tokio::time::interval(LOOK);
    let mut since = Span::ZERO;
    loop {
        tokio::select! {
            event = async {
                match &mut changes {
                    Some(changes) => changes.message().await,
                    None => std::future::pending().await,
                }
            } => match event {
                Ok(Some(event)) => print_event(event),
                // The loop has ended; what it ended by is told by whoever waits for it.
                Ok(None) | Err(_) => changes = None,
            },
            _ = looks.tick() => {
                let now = simulate::now() - open;
                print_breakages(open, since, now);
                since = now;
                if over() {
                    return Ok(());
                }
            }
        }
    }
}

/// All changes; none where it is over before the server answers.
async fn watch(address: &str, over: &impl Fn() -> bool) -> Result<Option<Streaming<v1::WatchEvent>>, Failure> {
    let mut looks = tokio::time::interval(LOOK);
    let begin = async {
        let mut client = HealthClient::new(connect(address).await?);
        let changes = client.watch(v1::WatchRequest::default()).await;
        changes.map(|answer| Some(answer.into_inner())).map_err(|status| Failure::Failed(status.message().to_owned()))
    };
    tokio::pin!(begin);
    loop {
        tokio::select! {
            changes = &mut begin => return changes,
            _ = looks.tick() => if over() {
                return Ok(None);
            },
        }
    }
}

fn print_event(event: v1::WatchEvent) {
    let Some(Event::Changed(v1::Changed { transition: Some(of), .. })) = event.event else { return };
    // What an element has of itself is told already.
    let cause = of.cause.as_ref().and_then(|cause| cause.cause.as_ref());
    if matches!(cause, Some(v1::cause::Cause::Element(cause)) if *cause == of.element) {
        return;
    }
    let (from, to) = (state(of.from()), state(of.to()));
    let to = if std::io::stdout().is_terminal() { painted(to, to) } else { to.to_owned() };
    let time = of.time.as_ref().map_or_else(String::new, |time| clock(time, 1));
    let reason = if of.message.is_empty() { String::new() } else { format!(": {}", of.message) };
    println!("{time} {} {from} -> {to}{reason}", of.element);
}

/// What began and what ended after `since`, up to `now`, since the shop opened.
fn print_breakages(open: Time, since: Span, now: Span) {
    let cycle = |span: Span| span.nanos().div_euclid(CYCLE.nanos());
    for number in cycle(since)..=cycle(now) {
        let begin = CYCLE.times(number);
        for breakage in simulator::schedule() {
            let (element, what) = (breakage.element, breakage.description);
            for (at, words) in [(begin + breakage.begins, "now"), (begin + breakage.ends, "no longer")] {
                if since < at && at <= now {
                    println!("# {} {words}: {what} (see `{element}`)", open + at);
                }
            }
        }
    }
}
