//! `vitalsign preview`: what a baseline would have said of the past, as a plot, SVG and CSV.

mod samples;

use crate::plot::{Plot, Point, brief, day_and_time};
use crate::setup::{Configuration, read};
use crate::train::{Bar, When};
use crate::{Failure, shutdown, simulate};
use clap::Args;
use config::Settings;
use engine::Lived;
use jiff::tz::TimeZone;
use model::definition::{Learner, Window};
use model::{Labels, Span, Time};
use server::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// Columns where there is no terminal to ask.
const WIDTH: usize = 80;
/// Fewer and more show nothing.
const WIDTHS: (usize, usize) = (40, 400);
/// Windows that are held at most, of all instances that are wanted.
const MOST: usize = 2_000_000;
/// Settings that stand first below the title, and those that do not stand there.
const TIMES: [&str; 2] = ["period", "train"];
const UNTOLD: [&str; 2] = ["adapt_after", "keep"];

/// Show what a baseline would have said of the past: the series, the band, and where it deviates.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("past").required(true).args(["input", "from"]),
    after_help = "\
Examples:
  vitalsign preview 'response time by hour' shop.yaml --from 6w
  vitalsign preview 'response time by hour' shop.yaml --input export.csv --svg band.svg
  vitalsign preview load shop.yaml --from 2026-03-01T00:00:00Z --instance host=web-1 --csv load.csv

The baseline begins with nothing learned, so there is no band until its training window is full: begin that much
earlier than what you want to see. A file has the columns `timestamp` (seconds since 1970, or RFC 3339) and `value`,
and one for each label of the stream's `each`; its values are taken as samples of the baseline's stream. Nothing is
written but the files that are asked for, and nothing is told. A window deviates where its value lies at a bound of
the band or beyond it; for online models where the score is 1 or more."
)]
pub(crate) struct Arguments {
    /// The baseline's name.
    #[arg(value_name = "BASELINE")]
    baseline: String,
    #[command(flatten)]
    configuration: Configuration,
    /// A file of samples (CSV).
    #[arg(long, value_name = "FILE.csv")]
    input: Option<PathBuf>,
    /// What lies on Kafka from this time on: RFC 3339, a length of time back such as `6w`, or `earliest`.
    #[arg(long, value_name = "TIME")]
    from: Option<When>,
    /// Leaves out what is not before this time.
    #[arg(long, value_name = "TIME", value_parser = crate::train::time)]
    to: Option<Time>,
    /// Which instance, by some of its labels. Without it the one with the most deviations.
    #[arg(long, value_name = "LABEL=VALUE,...", value_parser = labels)]
    instance: Option<Labels>,
    /// Writes the plot as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Writes a line for each window: its value, band, deviation and score.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Columns of the plot. Without it those of the terminal.
    #[arg(long, value_name = "N")]
    width: Option<usize>,
    /// The brokers of all sources, instead of those in the configuration.
    #[arg(long, value_name = "HOST:PORT,...")]
    brokers: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut settings = arguments.configuration.load()?;
    if let Some(brokers) = &arguments.brokers {
        settings.sources.iter_mut().for_each(|source| source.brokers.clone_from(brokers));
    }
    let baseline = find(&settings, &arguments.baseline)?;
    let lived = lived(&settings, baseline, arguments)?;
    let preview = Preview::of(&settings, baseline, lived)?;
    let plot = preview.plot(&settings);
    let width = arguments.width.unwrap_or_else(|| terminal_size::terminal_size().map_or(WIDTH, |(w, _)| w.0.into()));
    let colour = std::io::stdout().is_terminal();
    print!("{}", plot.terminal(width.clamp(WIDTHS.0, WIDTHS.1), colour));
    println!("{}", preview.summary(&settings));
    if let Some(path) = &arguments.svg {
        write(path, &plot.svg())?;
    }
    if let Some(path) = &arguments.csv {
        write(path, &preview.csv())?;
    }
    Ok(())
}

fn find(settings: &Settings, name: &str) -> Result<usize, Failure> {
    let baselines = &settings.definitions.baselines;
    baselines.iter().position(|baseline| *baseline.name == *name).ok_or_else(|| {
        let known: Vec<String> = baselines.iter().map(|baseline| format!("`{}`", baseline.name)).collect();
        let known = if known.is_empty() { "the configuration has none".to_owned() } else { known.join(", ") };
        Failure::Usage(format!("there is no baseline `{name}`; there are: {known}").replace("there are: the", "the"))
    })
}

/// What was lived through.
struct Past<'a> {
    /// Which instances are wanted.
    wanted: Option<&'a Labels>,
    /// All that there are.
    labels: BTreeSet<Labels>,
    /// The windows of those that are wanted, by their ends.
    windows: BTreeMap<Labels, BTreeMap<Time, Lived>>,
    count: usize,
}

impl Past<'_> {
    fn take(&mut self, window: Lived) {
        if !window.value.is_finite() {
            return;
        }
        if !self.labels.contains(&window.labels) {
            self.labels.insert(window.labels.clone());
        }
        let is_it = |wanted: &Labels| wanted.iter().all(|(name, value)| window.labels.get(name) == Some(value));
        if self.wanted.is_none_or(is_it) {
            self.count += 1;
            // Where checks read it with several sets of sources, it lives once for each.
            let of = self.windows.entry(window.labels.clone()).or_default().entry(window.end);
            of.and_modify(|known| known.anomalous |= window.anomalous).or_insert(window);
        }
    }
}

fn lived<'a>(settings: &Settings, baseline: usize, arguments: &'a Arguments) -> Result<Past<'a>, Failure> {
    let wanted = arguments.instance.as_ref();
    let mut past = Past { wanted, labels: BTreeSet::new(), windows: BTreeMap::new(), count: 0 };
    if let Some(path) = &arguments.input {
        let stream = &settings.definitions.streams[settings.definitions.baselines[baseline].stream];
        let name = path.display().to_string();
        let mut found = samples::read(&read(path)?, &name, &stream.each, &wanted.cloned().unwrap_or_default())?;
        if let Some(to) = arguments.to {
            found.before(to);
        }
        if found.skipped > 0 {
            eprintln!("{} lines of {name} have no number and are left out", found.skipped);
        }
        found.live(settings, baseline, &name)?.into_iter().for_each(|window| past.take(window));
        return Ok(past);
    }
    let from = arguments.from.unwrap_or(When::Earliest).start(simulate::now());
    let range = Range { from, to: arguments.to };
    let (stop, mut bar) = (shutdown()?, Bar::new());
    let mut take = |window: Lived| {
        past.take(window);
        if past.count > MOST {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let whole = server::relive(settings, baseline, range, &stop, &mut |progress| bar.show(progress), &mut take);
    bar.end();
    match whole.map_err(crate::train::failure)? {
        true => Ok(past),
        false if past.count > MOST => {
            let instances = past.windows.len();
            let words = format!("{instances} instances have more than {MOST} windows; choose one by --instance");
            Err(Failure::Usage(words))
        }
        false => Err(Failure::Failed("ended before all was read".to_owned())),
    }
}

/// The windows of one instance.
struct Preview {
    baseline: usize,
    labels: Labels,
    /// How many instances there are.
    instances: usize,
    /// Whether it was asked for.
    chosen: bool,
    windows: Vec<Lived>,
}

impl Preview {
    fn of(settings: &Settings, baseline: usize, past: Past<'_>) -> Result<Preview, Failure> {
        let name = &settings.definitions.baselines[baseline].name;
        let Some(first) = past.labels.first() else {
            return Err(Failure::Failed(format!("`{name}` has no window with a value in that time")));
        };
        let instances = past.labels.len();
        let deviations = |windows: &BTreeMap<Time, Lived>| windows.values().filter(|window| deviates(window)).count();
        // The first of those with the most.
        let found = past.windows.into_iter().map(|(labels, windows)| (deviations(&windows), labels, windows));
        let Some((_, labels, windows)) = found.reduce(|a, b| if b.0 > a.0 { b } else { a }) else {
            let there = counted(instances, "instance");
            return Err(Failure::Usage(format!("`{name}` has {there}, none of these labels; one is {first}")));
        };
        let windows = windows.into_values().collect();
        Ok(Preview { baseline, labels, instances, chosen: past.wanted.is_some(), windows })
    }

    fn plot(&self, settings: &Settings) -> Plot {
        let definition = &settings.definitions.baselines[self.baseline];
        let binding = &settings.baselines[self.baseline];
        let zone = TimeZone::get(&definition.zone).unwrap_or(TimeZone::UTC);
        let labels = if self.labels.is_empty() { String::new() } else { format!(" {}", self.labels) };
        // What says most first: a plot has little room.
        let (times, rest): (Vec<_>, Vec<_>) = binding.settings.iter().partition(|(name, _)| TIMES.contains(&&**name));
        let given = times.into_iter().chain(rest).filter(|(name, _)| !UNTOLD.contains(&&**name));
        let given: Vec<String> = given.map(|(name, value)| format!("{name} {value}")).collect();
        let unit = self.unit(settings);
        let points = self.windows.iter().map(|window| Point {
            at: match definition.window {
                Window::Batching { .. } => window.start + Span::from_nanos((window.end - window.start).nanos() / 2),
                Window::Sliding { .. } => window.end,
            },
            value: window.value,
            band: window.reading.map(|reading| reading.band),
            mark: deviates(window).then(|| words(window, &zone, unit)),
        });
        Plot {
            title: format!("{}{labels}", definition.name),
            subtitle: format!("{} of {}; {}", binding.function, binding.input, given.join(", ")),
            unit: unit.to_owned(),
            points: points.collect(),
            zone,
        }
    }

    fn unit<'a>(&self, settings: &'a Settings) -> &'a str {
        let stream = settings.definitions.baselines[self.baseline].stream;
        settings.definitions.streams[stream].unit.as_deref().unwrap_or_default()
    }

    fn summary(&self, settings: &Settings) -> String {
        let definition = &settings.definitions.baselines[self.baseline];
        let zone = TimeZone::get(&definition.zone).unwrap_or(TimeZone::UTC);
        let (total, marked) = (self.windows.len(), self.windows.iter().filter(|window| deviates(window)).count());
        let without = self.windows.iter().filter(|window| window.reading.is_none()).count();
        let mut said = format!("{}: {marked} deviate, {without} without a band", counted(total, "window"));
        let stale = self.windows.iter().filter(|window| window.reading.is_some_and(|reading| reading.stale)).count();
        if stale > 0 {
            let _ = write!(said, ", {stale} with an old band because the function failed");
        }
        let strength = |window: &&Lived| strength(window).unwrap_or(0.0);
        let worst =
            self.windows.iter().filter(|window| deviates(window)).max_by(|a, b| strength(a).total_cmp(&strength(b)));
        if let Some(worst) = worst {
            let _ = write!(said, "\nworst: {}", words(worst, &zone, self.unit(settings)));
        }
        if without == total {
            let first = self.windows.first().map_or(Time::MIN, |window| window.start);
            said.push_str(&match &definition.learner {
                Learner::Function(function) => {
                    let full = day_and_time(first + function.train, &zone);
                    format!(
                        "\nno window has a band: the training window of {} is full on {full} at the earliest",
                        function.train
                    )
                }
                Learner::Online(_) => "\nno window has a band: the model has not seen enough to warm up".to_owned(),
            });
        }
        if self.instances > 1 && !self.chosen {
            let which = if marked > 0 { "the one with the most deviations" } else { "none of them deviates" };
            let _ = write!(
                said,
                "\n{} instances; this is {}, {which}; --instance chooses another",
                self.instances, self.labels
            );
        }
        said
    }

    fn csv(&self) -> String {
        let mut csv = "start,end,value,average,lower,higher,deviation,score,stale,anomalous\n".to_owned();
        for window in &self.windows {
            let Lived { start, end, value, anomalous, .. } = window;
            let said = window.reading.map_or_else(
                || ",,,,,".to_owned(),
                |reading| {
                    let band = reading.band;
                    let score = reading.score.map_or_else(String::new, |score| score.to_string());
                    let deviation = band.deviation(*value);
                    format!("{},{},{},{deviation},{score},{}", band.average, band.lower, band.higher, reading.stale)
                },
            );
            let _ = writeln!(csv, "{start},{end},{value},{said},{anomalous}");
        }
        csv
    }
}

/// How far a window lies from what was expected: 1 at the bound; by the score of models that have one.
fn strength(window: &Lived) -> Option<f64> {
    let reading = window.reading?;
    Some(reading.score.unwrap_or_else(|| reading.band.deviation(window.value).abs()))
}

fn deviates(window: &Lived) -> bool {
    strength(window).is_some_and(|strength| strength >= 1.0)
}

/// `Tue 2026-11-03 14:00, 812 ms, expected 300 (250 to 350), deviation 10.2`
fn words(window: &Lived, zone: &TimeZone, unit: &str) -> String {
    let Lived { start, value, reading, .. } = window;
    let mut words = format!("{}, {}", day_and_time(*start, zone), format!("{} {unit}", brief(*value)).trim_end());
    if let Some(reading) = reading {
        let band = reading.band;
        let (average, lower, higher) = (brief(band.average), brief(band.lower), brief(band.higher));
        let _ =
            write!(words, ", expected {average} ({lower} to {higher}), deviation {}", brief(band.deviation(*value)));
        if let Some(score) = reading.score {
            let _ = write!(words, ", score {}", brief(score));
        }
    }
    words
}

fn labels(text: &str) -> Result<Labels, String> {
    let pair = |pair: &str| {
        let pair = pair.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        pair.ok_or_else(|| "wanted are labels such as host=web-1,zone=a".to_owned())
    };
    text.split(',').map(pair).collect::<Result<Vec<_>, _>>().map(Labels::new)
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}
