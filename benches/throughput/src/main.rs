//! What an event costs, beside what it costs others: fills a real Kafka, runs each system on the same topic in turn,
//! believes a figure only after the output has been held against the truth, and prints a table.

mod batch;
mod broker;
mod failure;
mod measure;
mod points;
mod process;
mod results;
mod systems;
mod workload;

use broker::Broker;
use clap::{Args, Parser, Subcommand};
use failure::Failure;
use measure::{Job, Setting};
use points::Windows;
use results::{Heading, Run};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use systems::System;
use workload::{Signal, Workload};

/// Measures what an event costs, beside what it costs others, over one real Kafka.
#[derive(Parser)]
#[command(name = "throughput", max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Downsampling: windows of a minute, five figures for each series.
    W1(W1),
    /// Sliding windows: a slide of ten seconds, and widths of up to 300 slides.
    W2(W2),
    /// Prints the table of what has been measured before.
    Table {
        /// The file of results, without it that of the last runs.
        file: Option<PathBuf>,
    },
}

#[derive(Args)]
struct W1 {
    /// How many series, for each measurement one.
    #[arg(long, value_delimiter = ',', value_parser = count, default_value = "10k,100k,1M")]
    series: Vec<u64>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct W2 {
    /// How many series.
    #[arg(long, value_delimiter = ',', value_parser = count, default_value = "10k")]
    series: Vec<u64>,
    /// Widths, in slides.
    #[arg(long, value_delimiter = ',', default_value = "1,6,30,60,300")]
    ratios: Vec<i64>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Common {
    /// How many readings; JVMs need 20M to be warm.
    #[arg(long, value_parser = count, default_value = "20M")]
    events: u64,
    /// Which systems, in this order.
    #[arg(long, default_value = "ours,drain-poll,drain-queue,flink,flink-keyby,streams-eos,streams-alo")]
    systems: String,
    /// How often each.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Seconds between two readings of a series.
    #[arg(long, default_value_t = 10)]
    step: u32,
    /// Partitions of the topics.
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// The heap that JVMs may grow to.
    #[arg(long, default_value = "2g")]
    heap: String,
    /// A system that gives nothing for as many seconds is taken for stuck.
    #[arg(long, default_value_t = 300)]
    patience: u64,
    /// Where results are appended, a line for each run.
    #[arg(long)]
    results: Option<PathBuf>,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::W1(W1 { series, common }) => {
            let windows = Windows { width_s: 60, slide_s: 60, percentile: false };
            compare(&common, &series, &[("W1".to_owned(), "w1.yaml", windows)])
        }
        Command::W2(W2 { series, ratios, common }) => {
            let windows = |ratio: &i64| {
                let windows = Windows { width_s: 10 * ratio, slide_s: 10, percentile: true };
                (format!("W2 / {ratio}"), "w2.yaml", windows)
            };
            compare(&common, &series, &ratios.iter().map(windows).collect::<Vec<_>>())
        }
        Command::Table { file } => {
            results::read(&file.unwrap_or_else(latest)).map(|runs| print!("{}", results::table(&runs)))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("throughput: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all systems on all of these workloads, in turn, as often as is asked for.
fn compare(common: &Common, series: &[u64], kinds: &[(String, &str, Windows)]) -> Result<(), Failure> {
    let systems = systems::named(&common.systems)?;
    let results = common.results.clone().unwrap_or_else(latest);
    let logs = systems::folder().join("results/logs");
    std::fs::create_dir_all(&logs).map_err(|e| Failure::at(logs.display(), e))?;
    let kafka = testkit::Broker::start();
    let patience = Duration::from_secs(common.patience);
    let setting = Setting { brokers: kafka.brokers(), logs: &logs, heap: &common.heap, patience };
    let mut runs = Vec::new();
    for series in series {
        let workload = workload(common, *series)?;
        let input = testkit::unique("bench-in");
        let began = std::time::Instant::now();
        let mut broker = Broker::connect(kafka.brokers())?;
        workload.fill(&mut broker, &input)?;
        let (events, seconds) = (workload.events(), began.elapsed().as_secs_f64());
        eprintln!("{events} readings of {series} series lie on `{input}` after {seconds:.1} s");
        for round in 0..common.runs {
            for (name, configuration, windows) in kinds {
                let job = Job { workload, windows: *windows, input: &input, configuration };
                eprintln!("{name}, {series} series, round {} of {}", round + 1, common.runs);
                for system in &systems {
                    runs.push(once(name, system, &job, &setting, &results)?);
                }
            }
        }
        broker.delete(&input)?;
    }
    println!("{}", results::table(&runs));
    match runs.iter().filter(|run| run.wrong.is_some()).count() {
        0 => Ok(()),
        failed => Err(Failure(format!("{failed} of {} runs have no figure; why is said above", runs.len()))),
    }
}

fn once(
    name: &str,
    system: &System,
    job: &Job<'_>,
    setting: &Setting<'_>,
    results: &std::path::Path,
) -> Result<Run, Failure> {
    let Workload { series, .. } = job.workload;
    let heading =
        Heading { workload: name, series, events: job.workload.events(), system: system.name, load: results::load() };
    let run = Run::new(&heading, measure::points(system, job, setting));
    eprintln!("  {}", run.told());
    results::append(results, &run)?;
    Ok(run)
}

fn workload(common: &Common, series: u64) -> Result<Workload, Failure> {
    let (step, partitions) = (common.step.max(1), common.partitions.max(1));
    let series = u32::try_from(series).ok().filter(|series| *series >= step && series % step == 0);
    let series = series.ok_or_else(|| Failure(format!("--series: a multiple of the step, {step}, is wanted")))?;
    let workload = Workload::of_events(series, step, common.events, partitions, Signal::Scattered);
    // Three windows of a minute, which begin 22 s before the first reading.
    if workload.seconds < 170 {
        let least = 170 * u64::from(series / step);
        return Err(Failure(format!("--events: {series} series need {least} or more to close three windows")));
    }
    Ok(workload)
}

/// Where results go without another word.
fn latest() -> PathBuf {
    systems::folder().join("results/latest.jsonl")
}

/// A count as people write it: `20M`, `100k`.
fn count(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'M']) {
        Some(digits) if text.ends_with('k') => (digits, 1_000),
        Some(digits) => (digits, 1_000_000),
        None => (text, 1),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    number.filter(|number| *number > 0).ok_or_else(|| "a count such as 500, 100k or 20M is wanted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Arguments, count};
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn counts_are_written_as_people_do() {
        assert_eq!([count("20M"), count("100k"), count("7")], [Ok(20_000_000), Ok(100_000), Ok(7)]);
        assert!(["", "0", "k", "1.5M", "20G"].iter().all(|text| count(text).is_err()));
    }
}
