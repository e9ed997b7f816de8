//! `vitalsign run`: the process that watches.

use crate::setup::Configuration;
use crate::{Failure, shutdown};
use clap::Args;
use server::{Crash, Options};
use std::path::PathBuf;

/// Watch what a configuration says, until SIGTERM or SIGINT.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vitalsign run shop.yaml
  vitalsign run /etc/vitalsign --store /var/lib/vitalsign --listen 0.0.0.0:7979
  vitalsign run shop.yaml --brokers kafka-1:9092,kafka-2:9092 --log-format json

For tests: VITALSIGN_CRASH_AT=POINT or POINT:N ends the process without a farewell the first, or the Nth, time
that it comes to after-commit, mid-publish, mid-block or catch-up, and appends the point's name to the file
VITALSIGN_CRASH_LOG. VITALSIGN_KEEP_JOURNAL=1 keeps all that was ever said beside the records.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// The folder for state, instead of `store.path`.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The address that gRPC listens on, instead of `listen`.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The brokers of all sources and of transitions, instead of those in the configuration.
    #[arg(long, value_name = "HOST:PORT,...")]
    brokers: Option<String>,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let options = Options { keep_journal: keep_journal(), crash: crash()?, ..Options::default() };
    let mut settings = arguments.configuration.load()?;
    if settings.sources.is_empty() {
        return Err(Failure::Usage("the configuration has no `sources`, so there is nothing to watch".into()));
    }
    if let Some(store) = arguments.store {
        settings.store.path = Some(store.display().to_string());
    }
    if let Some(listen) = arguments.listen {
        settings.listen = listen;
    }
    if let Some(brokers) = arguments.brokers {
        settings.sources.iter_mut().for_each(|source| source.brokers.clone_from(&brokers));
        settings.transitions.iter_mut().for_each(|transitions| transitions.brokers.clone_from(&brokers));
    }
    for warning in &settings.warnings {
        tracing::warn!(file = warning.file, line = warning.line, "{warning}");
    }
    let shutdown = shutdown()?;
    server::run(&settings, options, &shutdown).map(|_| ()).map_err(failure)
}

/// What an operator has to change is a matter of usage, all else a failure.
pub(crate) fn failure(error: server::Error) -> Failure {
    match &error {
        server::Error::Source { .. } | server::Error::Publishing(_) => Failure::Usage(error.to_string()),
        _ => Failure::Failed(error.to_string()),
    }
}

fn crash() -> Result<Crash, Failure> {
    let Some(point) = std::env::var_os("VITALSIGN_CRASH_AT") else { return Ok(Crash::default()) };
    let log = std::env::var_os("VITALSIGN_CRASH_LOG").map(PathBuf::from);
    Crash::parse(&point.to_string_lossy(), log).map_err(|words| Failure::Usage(format!("VITALSIGN_CRASH_AT: {words}")))
}

fn keep_journal() -> bool {
    std::env::var_os("VITALSIGN_KEEP_JOURNAL").is_some_and(|value| value == "1")
}
