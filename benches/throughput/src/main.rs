//! What an event costs, beside what it costs others: fills a real Kafka, runs each system on the same topic in turn,
//! believes a figure only after the output has been held against the truth, and prints a table.

mod batch;
mod broker;
mod delay;
mod failure;
mod health;
mod measure;
mod plot;
mod points;
mod process;
mod reads;
mod recovery;
mod results;
mod rules;
mod server;
mod systems;
mod workload;

use broker::Broker;
use clap::{Args, Parser, Subcommand};
use failure::Failure;
use measure::{Job, Setting};
use points::Windows;
use results::{Heading, Run};
use std::path::{Path, PathBuf};
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
    /// How long results of W1 come after the reading that closes their window.
    Delay(W1),
    /// Sliding windows: a slide of ten seconds, and widths of up to 300 slides.
    W2(W2),
    /// Health: windows of ten seconds, a threshold and a learned baseline for each series; only changes are told.
    W3(W3),
    /// Many functions: as W3, without the baseline, with a thousand check functions.
    W4(W4),
    /// Recovery: the process is killed in the middle, and started again.
    W5(W5),
    /// Reads: point reads and watchers over gRPC, while readings come in.
    W6(W6),
    /// Prints the table of what has been measured before.
    Table {
        /// The file of results, without it that of the last runs.
        file: Option<PathBuf>,
        /// Draws a picture of it too.
        #[arg(long, value_name = "SVG")]
        plot: Option<PathBuf>,
    },
}

#[derive(Args)]
struct W1 {
    /// How many series, for each measurement one.
    #[arg(long, value_delimiter = ',', value_parser = count, default_value = "10k,100k,1M")]
    series: Vec<u64>,
    /// Which systems, in this order.
    #[arg(long, default_value = "ours,drain-poll,drain-queue,flink,flink-keyby,streams-eos,streams-alo")]
    systems: String,
    /// Seconds between two readings of a series.
    #[arg(long, default_value_t = 10)]
    step: u32,
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
    /// Which systems, in this order.
    #[arg(long, default_value = "ours,drain-poll,drain-queue,flink,flink-keyby,streams-eos,streams-alo")]
    systems: String,
    /// Seconds between two readings of a series.
    #[arg(long, default_value_t = 10)]
    step: u32,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct W3 {
    /// How many series, for each measurement one.
    #[arg(long, value_delimiter = ',', value_parser = count, default_value = "100k")]
    series: Vec<u64>,
    /// Which systems, in this order.
    #[arg(long, default_value = "ours,ours-commits-off,drain-poll")]
    systems: String,
    /// Seconds between two readings of a series.
    #[arg(long, default_value_t = 1)]
    step: u32,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct W4 {
    /// How many series.
    #[arg(long, value_delimiter = ',', value_parser = count, default_value = "100k")]
    series: Vec<u64>,
    /// How many check functions, each for its share of the series.
    #[arg(long, default_value_t = 1000)]
    functions: u32,
    /// Which systems, in this order.
    #[arg(long, default_value = "ours,drain-poll")]
    systems: String,
    /// Seconds between two readings of a series.
    #[arg(long, default_value_t = 1)]
    step: u32,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct W5 {
    /// How many series.
    #[arg(long, value_delimiter = ',', value_parser = count, default_value = "1M")]
    series: Vec<u64>,
    /// Seconds between two readings of a series.
    #[arg(long, default_value_t = 10)]
    step: u32,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct W6 {
    /// How many series.
    #[arg(long, value_parser = count, default_value = "100k")]
    series: u64,
    /// Readings a second; without it half of what ours took in the runs of W3.
    #[arg(long, value_parser = count)]
    rate: Option<u64>,
    /// How long nobody asks, reads are made, and watchers watch, in seconds each.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Clone)]
struct Common {
    /// How many readings; JVMs need 20M to be warm.
    #[arg(long, value_parser = count, default_value = "20M")]
    events: u64,
    /// How often each.
    #[arg(long, default_value_t = 3)]
    runs: usize,
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
    #[arg(skip)]
    groups: u32,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::W1(W1 { series, systems, step, common }) => {
            let windows = Windows { width_s: 60, slide_s: 60, percentile: false };
            let asked = [Asked { name: "W1".to_owned(), configuration: "w1.yaml", windows: Some(windows) }];
            compare(&common, &series, step, &systems, &asked)
        }
        Command::Delay(arguments) => delays(&arguments),
        Command::W2(W2 { series, ratios, systems, step, common }) => {
            let asked = |ratio: &i64| {
                let windows = Windows { width_s: 10 * ratio, slide_s: 10, percentile: true };
                Asked { name: format!("W2 / {ratio}"), configuration: "w2.yaml", windows: Some(windows) }
            };
            compare(&common, &series, step, &systems, &ratios.iter().map(asked).collect::<Vec<_>>())
        }
        Command::W3(W3 { series, systems, step, common }) => {
            let asked = [Asked { name: "W3".to_owned(), configuration: "w3.yaml", windows: None }];
            compare(&common, &series, step, &systems, &asked)
        }
        Command::W4(W4 { series, functions, systems, step, common }) => {
            let asked = [Asked { name: "W4".to_owned(), configuration: "w4.yaml", windows: None }];
            compare(&Common { groups: functions, ..common }, &series, step, &systems, &asked)
        }
        Command::W5(arguments) => recovery(&arguments),
        Command::W6(arguments) => reads(&arguments),
        Command::Table { file, plot } => table(&file.unwrap_or_else(latest), plot.as_deref()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("throughput: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// What is asked of all systems.
struct Asked {
    name: String,
    configuration: &'static str,
    /// None where health is asked for.
    windows: Option<Windows>,
}

/// Runs all systems on all of these, in turn, as often as is wanted.
fn compare(common: &Common, series: &[u64], step: u32, systems: &str, asked: &[Asked]) -> Result<(), Failure> {
    let systems = systems::named(systems)?;
    let signal = if asked.iter().any(|asked| asked.windows.is_none()) { Signal::Episodes } else { Signal::Scattered };
    let workloads =
        series.iter().map(|series| workload(common, *series, step, signal)).collect::<Result<Vec<_>, _>>()?;
    let (results, logs, kafka) = (common.results(), logs()?, testkit::Broker::start());
    let setting = common.setting(kafka.brokers(), &logs);
    let mut runs = Vec::new();
    for workload in workloads {
        let input = filled(&workload, kafka.brokers())?;
        for round in 1..=common.runs {
            for Asked { name, configuration, windows } in asked {
                let job = Job { workload, windows: *windows, input: &input, configuration };
                eprintln!("{name}, {} series, round {round} of {}", workload.series, common.runs);
                for system in &systems {
                    runs.push(once(name, system, &job, &setting, &results)?);
                }
            }
        }
        Broker::connect(kafka.brokers())?.delete(&input)?;
    }
    println!("{}", results::table(&runs));
    match runs.iter().filter(|run| run.wrong.is_some()).count() {
        0 => Ok(()),
        failed => Err(Failure(format!("{failed} of {} runs have no figure; why is said above", runs.len()))),
    }
}

/// Closes a window while everything is quiet, as often as is wanted.
fn delays(W1 { series, systems, step, common }: &W1) -> Result<(), Failure> {
    let mut systems = systems::named(systems)?;
    // What only reads gives no results that could be late.
    systems.retain(|system| !matches!(system.kind, systems::Kind::Drain(_)));
    let (results, logs, kafka) = (common.results(), logs()?, testkit::Broker::start());
    let setting = common.setting(kafka.brokers(), &logs);
    for series in series {
        let workload = delay::workload(*series, *step, common.partitions)?;
        for _ in 0..common.runs {
            for system in &systems {
                let delay = delay::run(system, workload, &setting)?;
                results::append(&results, &delay)?;
                println!("{delay:?}");
            }
        }
    }
    Ok(())
}

/// Kills and starts again, as often as is wanted.
fn recovery(W5 { series, step, common }: &W5) -> Result<(), Failure> {
    let workload = |series: &u64| workload(common, *series, *step, Signal::Episodes);
    let workloads = series.iter().map(workload).collect::<Result<Vec<_>, _>>()?;
    let (results, logs, kafka) = (common.results(), logs()?, testkit::Broker::start());
    let setting = common.setting(kafka.brokers(), &logs);
    for workload in workloads {
        let input = filled(&workload, kafka.brokers())?;
        for _ in 0..common.runs {
            let recovery = recovery::run(workload, &input, &setting)?;
            results::append(&results, &recovery)?;
            println!("{recovery:#?}");
        }
        Broker::connect(kafka.brokers())?.delete(&input)?;
    }
    Ok(())
}

/// Asks over gRPC while readings come in, as often as is wanted.
fn reads(W6 { series, rate, seconds, common }: &W6) -> Result<(), Failure> {
    let results = common.results();
    let rate = match rate {
        Some(rate) => *rate as f64,
        None => half_of_the_most(&results)?,
    };
    // More than is needed: feeding ends with the last question.
    let events = (rate * (*seconds * 3) as f64) as u64 + 600 * series;
    let common = Common { events, ..common.clone() };
    let workload = workload(&common, *series, 1, Signal::Episodes)?;
    let (logs, kafka) = (logs()?, testkit::Broker::start());
    for _ in 0..common.runs {
        let reads = reads::run(workload, rate, *seconds, &common.setting(kafka.brokers(), &logs))?;
        results::append(&results, &reads)?;
        println!("{reads:#?}");
    }
    Ok(())
}

fn half_of_the_most(results: &Path) -> Result<f64, Failure> {
    let runs = results::read(results).unwrap_or_default();
    let ours =
        results::rows(&runs).into_iter().find(|row| row.workload == "W3" && row.system == "ours" && row.runs > 0);
    let none = || Failure(format!("{} has no run of W3: make one, or give --rate", results.display()));
    ours.map(|row| row.rate / 2.0).ok_or_else(none)
}

impl Common {
    fn results(&self) -> PathBuf {
        self.results.clone().unwrap_or_else(latest)
    }

    fn setting<'a>(&'a self, brokers: &'a str, logs: &'a Path) -> Setting<'a> {
        Setting { brokers, logs, heap: &self.heap, patience: Duration::from_secs(self.patience) }
    }
}

fn table(file: &Path, picture: Option<&Path>) -> Result<(), Failure> {
    let runs = results::read(file)?;
    print!("{}", results::table(&runs));
    let Some(picture) = picture else { return Ok(()) };
    std::fs::write(picture, plot::svg(&results::rows(&runs))).map_err(|e| Failure::at(picture.display(), e))
}

/// Where what the measured programs say is kept.
fn logs() -> Result<PathBuf, Failure> {
    let logs = systems::folder().join("results/logs");
    std::fs::create_dir_all(&logs).map_err(|e| Failure::at(logs.display(), e))?;
    Ok(logs)
}

/// A topic with a workload on it.
fn filled(workload: &Workload, brokers: &str) -> Result<String, Failure> {
    let input = testkit::unique("bench-in");
    let began = std::time::Instant::now();
    workload.fill(&mut Broker::connect(brokers)?, &input)?;
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("{} readings of {} series are written after {seconds:.1} s", workload.events(), workload.series);
    Ok(input)
}

fn once(name: &str, system: &System, job: &Job<'_>, setting: &Setting<'_>, results: &Path) -> Result<Run, Failure> {
    let Workload { series, .. } = job.workload;
    let heading =
        Heading { workload: name, series, events: job.workload.events(), system: system.name, load: results::load() };
    let run = Run::new(&heading, measure::run(system, job, setting));
    eprintln!("  {}", run.told());
    results::append(results, &run)?;
    Ok(run)
}

fn workload(common: &Common, series: u64, step: u32, signal: Signal) -> Result<Workload, Failure> {
    let (step, partitions) = (step.max(1), common.partitions.max(1));
    let series = u32::try_from(series).ok().filter(|series| *series >= step && series % step == 0);
    let series = series.ok_or_else(|| Failure(format!("--series: a multiple of the step, {step}, is wanted")))?;
    let workload = Workload::of_events(series, step, common.events, partitions, signal);
    let workload = Workload { groups: common.groups, ..workload };
    // Three windows of a minute, the first of which begins 22 s before the first reading; or episodes of half a minute.
    let wanted = if signal == Signal::Episodes { 100 } else { 170 };
    if workload.seconds < wanted {
        let least = u64::from(wanted) * u64::from(series / step);
        return Err(Failure(format!("--events: {series} series need {least} or more, for {wanted} s")));
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
