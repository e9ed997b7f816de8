//! `vitalsign train`: teaches baselines what is still on Kafka, before they are needed.

use crate::plot::cut;
use crate::setup::Configuration;
use crate::{Failure, shutdown, simulate};
use clap::Args;
use model::definition::Start;
use model::{Span, Time};
use server::{Progress, Range, TrainError, Trained, TrainedBaseline};
use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// How often a line is told where there is no terminal.
const LINE: Duration = Duration::from_secs(5);
/// How many letters of a bar are drawn.
const BAR: usize = 24;
/// Where less than this is missing at the begin, nothing is said.
const MISSING: Span = Span::from_secs(3600);

/// Teach baselines the past that is still on Kafka, at full speed, before going live.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vitalsign train shop.yaml --from 4w --store data
  vitalsign train shop.yaml --from 2026-03-01T00:00:00Z --to 2026-04-01T00:00:00Z --store data

All records from TIME on, by their own times, go through the same windows and checks as live ones, so that anomalies
are known as such; nothing is told and nothing published. What baselines learn of it is written at the end, in one
piece, and takes the place of what they had learned before; all else in the folder stays as it is. Where `vitalsign
run` has read before, it is read no further than that, and `run` goes on from there. The folder must not be in use.
An interrupt ends it and leaves the folder as it was.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// Where to begin: RFC 3339, a length of time back such as `4w`, or `earliest`.
    #[arg(long, value_name = "TIME")]
    from: When,
    /// Where to end. Without it where partitions end now, or where `vitalsign run` has come to.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Time>,
    /// The folder for state, instead of `store.path`.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The brokers of all sources, instead of those in the configuration.
    #[arg(long, value_name = "HOST:PORT,...")]
    brokers: Option<String>,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// At a time.
    At(Time),
    /// A length of time before now.
    Back(Span),
    /// With the oldest that is there.
    Earliest,
}

impl FromStr for When {
    type Err = String;
    fn from_str(text: &str) -> Result<When, String> {
        if text == "earliest" {
            return Ok(When::Earliest);
        }
        if let Some(span) = text.parse::<Span>().ok().filter(|span| *span > Span::ZERO) {
            return Ok(When::Back(span));
        }
        text.parse().map(When::At).map_err(|_| {
            "wanted is a time such as 2026-03-01T12:00:00Z, a length of time back such as 4w, or `earliest`".to_owned()
        })
    }
}

impl When {
    pub(crate) fn start(self, now: Time) -> Start {
        match self {
            When::At(time) => Start::At(time),
            When::Back(span) => Start::At(now - span),
            When::Earliest => Start::Earliest,
        }
    }
}

/// A time, or a length of time back.
pub(crate) fn time(text: &str) -> Result<Time, String> {
    match text.parse() {
        Ok(When::At(time)) => Ok(time),
        Ok(When::Back(span)) => Ok(simulate::now() - span),
        _ => Err("wanted is a time such as 2026-03-01T12:00:00Z, or a length of time back such as 4w".to_owned()),
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut settings = arguments.configuration.load()?;
    if settings.definitions.baselines.is_empty() {
        return Err(Failure::Usage("the configuration has no `baselines`, so there is nothing to train".to_owned()));
    }
    if let Some(brokers) = &arguments.brokers {
        settings.sources.iter_mut().for_each(|source| source.brokers.clone_from(brokers));
    }
    let folder = arguments.store.clone().or_else(|| settings.store.path.clone().map(PathBuf::from));
    let Some(folder) = folder else {
        let words = "there is no folder to keep what is learned; name one by `store: { path: DIR }` or --store DIR";
        return Err(Failure::Usage(words.to_owned()));
    };
    let from = arguments.from.start(simulate::now());
    let range = Range { from, to: arguments.to };
    if let (Start::At(from), Some(to)) = (from, arguments.to)
        && to <= from
    {
        return Err(Failure::Usage(format!("--to {to} is not after --from {from}")));
    }
    let shutdown = shutdown()?;
    let mut bar = Bar::new();
    let trained = server::train(&settings, &folder, range, &shutdown, &mut |progress| bar.show(progress));
    bar.end();
    let Some(trained) = trained.map_err(failure)? else {
        return Err(Failure::Failed("ended before all was read; nothing was written".to_owned()));
    };
    print!("{}", table(&trained.baselines));
    println!("{} records in {}; written to {}", grouped(trained.read), lasted(bar.since.elapsed()), folder.display());
    warn(&trained, from);
    Ok(())
}

/// What an operator has to change is a matter of usage, all else a failure.
pub(crate) fn failure(error: TrainError) -> Failure {
    let words = error.to_string();
    match error {
        TrainError::Source { error: kafka::Error::Admin { .. }, .. } => Failure::Failed(words),
        TrainError::Source { .. } => Failure::Usage(words),
        TrainError::Store(store::Error::Locked { .. }) => {
            Failure::Failed(format!("{words}; stop `vitalsign run` while baselines are trained"))
        }
        _ => Failure::Failed(words),
    }
}

fn table(baselines: &[TrainedBaseline]) -> String {
    let header = ["BASELINE", "INSTANCES", "BATCHES", "FULL", "FROM", "TO"].map(str::to_owned);
    let row = |of: &TrainedBaseline| {
        let (from, to) = of.learned.map_or(("-".to_owned(), "-".to_owned()), |(a, b)| (a.to_string(), b.to_string()));
        let batches = of.batches.map_or_else(|| "-".to_owned(), |batches| batches.to_string());
        let full = of.full.map_or_else(|| "-".to_owned(), |full| full.to_string());
        [of.name.to_string(), of.instances.to_string(), batches, full, from, to]
    };
    let rows: Vec<[String; 6]> = std::iter::once(header).chain(baselines.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Says what will be missed.
fn warn(trained: &Trained, from: Start) {
    for of in &trained.baselines {
        if of.replaced {
            eprintln!("`{}` has forgotten what it had learned before", of.name);
        }
        if of.instances == 0 {
            eprintln!("`{}` has learned nothing of that time; what it had learned before stays", of.name);
        } else if let (Some(full), Some(at)) = (of.full, of.full_at) {
            let late = of.instances - full;
            let which =
                if late == of.instances { "full".to_owned() } else { format!("full for all but {late} instances") };
            eprintln!("the training window of `{}` reaches further back than that: it is {which} on {at}", of.name);
        }
    }
    let Start::At(from) = from else { return };
    for (source, oldest) in trained.oldest.iter().filter(|(_, oldest)| *oldest - from > MISSING) {
        eprintln!(
            "the oldest record of source `{source}` is of {oldest}, after {from}: what was there before is deleted, or was never written"
        );
    }
}

/// How far it is, on standard error: a bar on a terminal, else a line now and then.
pub(crate) struct Bar {
    terminal: bool,
    since: Instant,
    told: Instant,
    drawn: bool,
}

impl Bar {
    pub(crate) fn new() -> Bar {
        let now = Instant::now();
        Bar { terminal: std::io::stderr().is_terminal(), since: now, told: now, drawn: false }
    }

    pub(crate) fn show(&mut self, progress: Progress) {
        if !self.terminal && self.told.elapsed() < LINE {
            return;
        }
        self.told = Instant::now();
        let elapsed = self.since.elapsed();
        if self.terminal {
            let full = (share(progress) * BAR as f64).round() as usize;
            let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
            let line = format!("{}{} {}", "█".repeat(full), "░".repeat(BAR - full), short(progress, elapsed));
            // A line that the terminal breaks could not be drawn over.
            eprint!("\r\x1b[2K{}", cut(&line, width.saturating_sub(1)));
            let _ = std::io::stderr().flush();
            self.drawn = true;
        } else {
            eprintln!("{}", line(progress, elapsed));
        }
    }

    /// Leaves the line as it was before.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.drawn) {
            eprint!("\r\x1b[2K");
        }
    }
}

fn share(Progress { read, total, .. }: Progress) -> f64 {
    if total > 0 { (read as f64 / total as f64).clamp(0.0, 1.0) } else { 1.0 }
}

/// `43 %, 1,250,000 of 2,900,000 records, 410,000/s, at 2026-03-04T11:00:00Z, 4s left`
fn line(progress: Progress, elapsed: Duration) -> String {
    let Progress { read, total, .. } = progress;
    let mut line = format!("{:.0} %, {} of {} records", share(progress) * 100.0, grouped(read), grouped(total));
    line.push_str(&format!(", {}", rest(progress, elapsed)));
    line
}

/// `43 %, 410,000/s, at 2026-03-04T11:00:00Z, 4s left`
fn short(progress: Progress, elapsed: Duration) -> String {
    format!("{:.0} %, {}", share(progress) * 100.0, rest(progress, elapsed))
}

fn rest(Progress { read, total, time }: Progress, elapsed: Duration) -> String {
    let rate = read as f64 / elapsed.as_secs_f64().max(0.001);
    let mut rest = format!("{}/s", grouped(rate as i64));
    if let Some(time) = time {
        rest.push_str(&format!(", at {}", time.floor(Span::from_secs(1))));
    }
    if rate > 0.0 && read < total {
        rest.push_str(&format!(", {} left", lasted(Duration::from_secs_f64((total - read) as f64 / rate))));
    }
    rest
}

fn lasted(duration: Duration) -> String {
    Span::from_secs((duration.as_secs_f64().round() as i64).max(1)).to_string()
}

/// `1,250,000`
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        let time = "2026-03-04T11:00:00.25Z".parse().ok();
        let progress = Progress { read: 1_250_000, total: 5_000_000, time };
        let wanted = "25 %, 1,250,000 of 5,000,000 records, 125,000/s, at 2026-03-04T11:00:00Z, 30s left";
        assert_eq!(line(progress, Duration::from_secs(10)), wanted);
        assert_eq!(short(progress, Duration::from_secs(10)), "25 %, 125,000/s, at 2026-03-04T11:00:00Z, 30s left");
        let progress = Progress { read: 999, total: 999, time: None };
        assert_eq!(line(progress, Duration::from_secs(1)), "100 %, 999 of 999 records, 999/s");
    }

    #[test]
    fn a_begin_is_a_time_or_a_length_back() {
        assert_eq!("4w".parse(), Ok(When::Back(Span::from_secs(28 * 86_400))));
        assert_eq!("earliest".parse(), Ok(When::Earliest));
        assert!(matches!("2026-03-01T12:00:00Z".parse(), Ok(When::At(_))));
        assert!("yesterday".parse::<When>().is_err_and(|words| words.contains("such as 4w")));
    }
}
