//! The binary `vitalsign`: what its users type, and nothing that the other crates could do.

mod demo;
mod health;
mod plan;
mod plot;
mod preview;
mod run;
mod scenarios;
mod setup;
mod simulate;
mod train;
mod validate;

use clap::{Parser, Subcommand, ValueEnum};
use std::fmt;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tracing_subscriber::EnvFilter;

/// Scripts are held to a budget of memory, which is counted here.
#[global_allocator]
static METER: meter::Meter = meter::Meter;

/// Says, second by second, how healthy every component and every relation is, from metrics and events on Kafka.
#[derive(Debug, Parser)]
#[command(name = "vitalsign", version, max_term_width = 110, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// What is logged: a level, or `target=level` separated by commas.
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// How the log is written, to standard error.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

const EXAMPLES: &str = "\
Examples:
  vitalsign demo                               watch a shop break and recover; needs nothing else
  vitalsign validate shop.yaml                 say all that is wrong, or what is bound to what
  vitalsign preview load shop.yaml --from 6w   show what a baseline would have said
  vitalsign train shop.yaml --from 4w --store data
                                               teach baselines what is still on Kafka
  vitalsign plan shop.yaml --store data        say what of the state a configuration keeps
  vitalsign run shop.yaml --store data         watch what the configuration says
  vitalsign health                             the elements, the worst first
  vitalsign test                               hold the shipped functions to their scenarios

Exit codes: 0 all is well; 1 something failed, or is not healthy; 2 wrong usage, or a wrong configuration.";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Demo(demo::Arguments),
    Simulate(simulate::Arguments),
    Validate(validate::Arguments),
    Test(scenarios::Arguments),
    Plan(plan::Arguments),
    Train(train::Arguments),
    Preview(preview::Arguments),
    Health(health::Arguments),
}

/// Why a command ended badly, in words for who typed it. Empty words: all was said already.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something failed, or is not healthy.
    Failed(String),
    /// What was typed or configured cannot be meant.
    Usage(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Failed(words) | Failure::Usage(words) => f.write_str(words),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // These tell their story by themselves; what is logged beside it must be worth it.
    let quiet =
        matches!(arguments.command, Command::Demo(_) | Command::Health(_) | Command::Train(_) | Command::Preview(_));
    let level = if quiet { "warn" } else { "info" };
    let outcome =
        log(arguments.log.as_deref().unwrap_or(level), arguments.log_format).and_then(|()| match arguments.command {
            Command::Run(arguments) => run::run(arguments),
            Command::Demo(arguments) => demo::run(&arguments),
            Command::Simulate(arguments) => simulate::run(&arguments),
            Command::Validate(arguments) => validate::run(&arguments),
            Command::Test(arguments) => scenarios::run(&arguments),
            Command::Plan(arguments) => plan::run(&arguments),
            Command::Train(arguments) => train::run(&arguments),
            Command::Preview(arguments) => preview::run(&arguments),
            Command::Health(arguments) => health::run(&arguments),
        });
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    let words = failure.to_string();
    if !words.is_empty() {
        eprintln!("vitalsign: {}", words.trim_end());
    }
    match failure {
        Failure::Failed(_) => ExitCode::from(1),
        Failure::Usage(_) => ExitCode::from(2),
    }
}

fn log(filter: &str, format: LogFormat) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Failure::Usage(format!("--log {filter}: {error}; wanted is a level such as `debug`")))?;
    let colour = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    match format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

/// Is set by the first SIGTERM or SIGINT; a second one ends the process at once.
pub(crate) fn shutdown() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, flag.clone())
            .and_then(|_| signal_hook::flag::register(signal, flag.clone()))
            .map_err(|error| Failure::Failed(format!("signals cannot be caught: {error}")))?;
    }
    Ok(flag)
}
