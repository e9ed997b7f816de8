//! The command line of the measurements: runs a detector over labelled series, and prints what it is worth.

use clap::{Parser, Subcommand, ValueEnum};
use detection::events::{self, Judged};
use detection::run::{Scored, run_engine, run_model};
use detection::series::{Series, SeriesError};
use detection::{drive, generate, nab, run, series};
use model::Time;
use model::definition::Learner;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How well the baselines find what is wrong, on labelled series.
#[derive(Parser)]
#[command(name = "detection")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The Numenta Anomaly Benchmark: FOLDER holds its `data/` and `labels/`.
    Nab {
        /// The unpacked archive.
        folder: PathBuf,
        #[command(flatten)]
        detector: Detector,
    },
    /// Any labelled series: files with the columns `timestamp`, `value` and, where known, `label`.
    Series {
        /// The folder with the files, folders in it included.
        folder: PathBuf,
        #[command(flatten)]
        detector: Detector,
        /// A segment is found by an alert among its first points, this many after the first one.
        #[arg(long, default_value_t = 7)]
        delay: usize,
        /// The share of each series that is only learned from.
        #[arg(long, default_value_t = 0.0)]
        skip: f64,
        /// Print each series too.
        #[arg(long)]
        each: bool,
    },
    /// Write made-up service metrics with labelled anomalies, one file for each series.
    Generate {
        /// The folder to write to.
        folder: PathBuf,
        /// The same seed gives the same series.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many series.
        #[arg(long, default_value_t = 40)]
        series: usize,
        /// How many days each.
        #[arg(long, default_value_t = 28)]
        days: usize,
    },
}

#[derive(clap::Args)]
struct Detector {
    /// The baseline.
    #[arg(long, value_enum, default_value_t = Baseline::Novelty)]
    model: Baseline,
    /// Give the points to the model itself, without the engine, its windows and checks: quicker, and nearly the same.
    #[arg(long)]
    direct: bool,
    /// Write timestamp, value and score of each point of each series into this folder.
    #[arg(long)]
    scores: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Baseline {
    Deviation,
    Novelty,
}

impl Baseline {
    fn name(self) -> &'static str {
        match self {
            Baseline::Deviation => "deviation",
            Baseline::Novelty => "novelty",
        }
    }
}

/// How many false alerts a series and day one puts up with.
const CALM: f64 = 0.5;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Nab { folder, detector } => print_nab(&folder, &detector),
        Command::Series { folder, detector, delay, skip, each } => print_series(&folder, &detector, delay, skip, each),
        Command::Generate { folder, seed, series, days } => write_made_up(&folder, seed, series, days),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn print_nab(folder: &Path, detector: &Detector) -> Result<(), SeriesError> {
    let windows = nab::read_windows(&folder.join("labels").join("combined_windows.json"))?;
    let all = series::read_folder(&folder.join("data"))?;
    let (mut files, mut judged) = (Vec::new(), Vec::new());
    for (series, scored) in detector.run(&all)? {
        if let Some(windows) = windows.get(&series.name) {
            files.push(nab::weigh(&scored, windows));
            let is_labelled = |at: Time| windows.iter().any(|(start, end)| (*start..=*end).contains(&at));
            let labels = scored.iter().map(|point| is_labelled(point.at)).collect();
            let learning = nab::learning_rows(scored.len());
            judged.push(Judged { scored, labels, learning });
        }
    }
    println!("{}, {} files", detector.model.name(), files.len());
    println!("{:<10} {:>7} {:>10} {:>12}", "profile", "score", "threshold", "at score 1");
    for profile in nab::PROFILES {
        let best = nab::best(&files, profile);
        let told = nab::at_threshold(&files, profile, 1.0);
        println!("{:<10} {:>7.2} {:>10.3} {told:>12.2}", profile.name, best.score, best.threshold);
    }
    let (events, delays, per_day) = (events::by_event(&judged), events::delays(&judged), false_alerts_a_day(&judged));
    println!(
        "alerts: {} of {} windows found, {per_day:.2} false alerts a series and day, median delay {} points after a \
         window's start",
        events.hits,
        events.hits + events.misses,
        median(&delays),
    );
    Ok(())
}

fn print_series(folder: &Path, detector: &Detector, delay: usize, skip: f64, each: bool) -> Result<(), SeriesError> {
    let all = series::read_folder(folder)?;
    let mut judged = Vec::new();
    let labelled = detector.run(&all)?.into_iter().filter(|(series, _)| series.labelled);
    for (series, scored) in labelled {
        let learning = (scored.len() as f64 * skip.clamp(0.0, 1.0)) as usize;
        let labels = series.rows.iter().map(|row| row.label).collect();
        let one = Judged { scored, labels, learning };
        if each {
            print_quality(&series.name, std::slice::from_ref(&one), delay);
        }
        judged.push(one);
    }
    if judged.is_empty() {
        println!("no series has a column `label`: there is nothing to compare with");
        return Ok(());
    }
    println!("{}, {} series", detector.model.name(), judged.len());
    print_quality("alerts", &judged, delay);
    let best = events::set_best_threshold(&mut judged, delay, |all| events::by_point(all, delay).f1());
    print_quality(&format!("best by point, {best:.3}"), &judged, delay);
    let best = events::set_best_threshold(&mut judged, delay, |all| events::by_event(all).f1());
    print_quality(&format!("best by event, {best:.3}"), &judged, delay);
    let calm = |all: &[Judged]| if false_alerts_a_day(all) <= CALM { events::by_event(all).recall() } else { 0.0 };
    let best = events::set_best_threshold(&mut judged, delay, calm);
    print_quality(&format!("calm, {best:.3}"), &judged, delay);
    Ok(())
}

fn print_quality(name: &str, judged: &[Judged], delay: usize) {
    let (points, whole) = (events::by_point(judged, delay), events::by_event(judged));
    let middle = median(&events::delays(judged));
    let per_day = false_alerts_a_day(judged);
    println!(
        "{name:<24} by point: F1 {:.3} precision {:.3} recall {:.3}; by event: F1 {:.3} precision {:.3} recall {:.3}; \
         {per_day:.2} false alerts a series and day; median delay {middle} points",
        points.f1(),
        points.precision(),
        points.recall(),
        whole.f1(),
        whole.precision(),
        whole.recall(),
    );
}

fn false_alerts_a_day(judged: &[Judged]) -> f64 {
    events::by_event(judged).false_alerts as f64 / events::series_days(judged).max(f64::MIN_POSITIVE)
}

/// The middle one of sorted numbers.
fn median(sorted: &[usize]) -> String {
    sorted.get(sorted.len() / 2).map_or("none".to_owned(), usize::to_string)
}

fn write_made_up(folder: &Path, seed: u64, count: usize, days: usize) -> Result<(), SeriesError> {
    println!("seed {seed}");
    for number in 0..count {
        let made = generate::series(seed, number, days);
        write(&folder.join(&made.name), &series::print(&made))?;
    }
    Ok(())
}

impl Detector {
    /// What is said of each series; written down too, where that is asked for.
    fn run<'a>(&self, all: &'a [Series]) -> Result<Vec<(&'a Series, Vec<Scored>)>, SeriesError> {
        let settings = drive::settings(self.model.name()).unwrap_or_else(|errors| panic!("settings.yaml: {errors}"));
        let learner = settings.definitions.baselines.first().map(|baseline| &baseline.learner);
        let Some(Learner::Online(model)) = learner else { panic!("settings.yaml has no online baseline") };
        let run_one = |series: &'a Series| {
            let scored = if self.direct { run_model(series, *model) } else { run_engine(series, &settings) };
            if let Some(folder) = &self.scores {
                write(&folder.join(&series.name), &run::print(&scored))?;
            }
            Ok((series, scored))
        };
        all.iter().map(run_one).collect()
    }
}

fn write(path: &Path, text: &str) -> Result<(), SeriesError> {
    let failed = |error| SeriesError::Io { path: path.to_owned(), error };
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
    std::fs::write(path, text).map_err(failed)
}
