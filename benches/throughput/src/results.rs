//! What was measured: a line of JSON for each run, and the table made of them.

use crate::failure::Failure;
use crate::measure::Cost;
use crate::points::Found;
use crate::systems::SYSTEMS;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

/// One run of one system.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Seconds since the epoch.
    pub(crate) at: u64,
    /// The commit that was measured, and whether more was in the tree.
    pub(crate) version: String,
    /// Processor, cores, memory, kernel.
    pub(crate) machine: String,
    /// How many processes wanted to run before it began.
    pub(crate) load: f64,
    pub(crate) workload: String,
    pub(crate) series: u32,
    pub(crate) events: u64,
    pub(crate) system: String,
    /// Why there are no figures; none where the output was right.
    pub(crate) wrong: Option<String>,
    pub(crate) user_s: f64,
    pub(crate) system_s: f64,
    pub(crate) wall_s: f64,
    pub(crate) peak_mb: f64,
    /// Right results, and how often one came again.
    pub(crate) results: u64,
    pub(crate) again: u64,
    /// Seconds of processor time for a million readings, from start to end.
    pub(crate) whole: f64,
    /// The same once it was warm; none where the workload is too short, and for readers alone, which need no warming.
    pub(crate) warm: Option<f64>,
    /// Readings a second of wall time, once it was warm where that is known.
    pub(crate) rate: f64,
}

/// Which run it is.
pub(crate) struct Heading<'a> {
    pub(crate) workload: &'a str,
    pub(crate) series: u32,
    pub(crate) events: u64,
    pub(crate) system: &'a str,
    pub(crate) load: f64,
}

impl Run {
    /// From what a run has cost and given, or why it has failed.
    pub(crate) fn new(heading: &Heading<'_>, outcome: Result<(Cost, Found), Failure>) -> Run {
        let Heading { workload, series, events, system, load } = *heading;
        let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let mut run = Run {
            at: at.map_or(0, |since| since.as_secs()),
            version: version(),
            machine: machine(),
            load,
            workload: workload.to_owned(),
            series,
            events,
            system: system.to_owned(),
            wrong: None,
            user_s: 0.0,
            system_s: 0.0,
            wall_s: 0.0,
            peak_mb: 0.0,
            results: 0,
            again: 0,
            whole: 0.0,
            warm: None,
            rate: 0.0,
        };
        match outcome {
            Err(failure) => run.wrong = Some(failure.to_string()),
            Ok((Cost { whole, warm }, found)) => {
                let millions = events as f64 / 1e6;
                (run.user_s, run.system_s) = (whole.user_s, whole.system_s);
                (run.wall_s, run.peak_mb) = (whole.wall_s, whole.peak_mb);
                (run.results, run.again) = (found.right, found.again);
                run.whole = whole.cpu_s() / millions;
                run.warm = warm.map(|(then, rest)| (whole.cpu_s() - then.cpu_s()) / (rest as f64 / 1e6));
                run.rate = match warm {
                    Some((then, rest)) => rest as f64 / (whole.wall_s - then.wall_s),
                    None => events as f64 / whole.wall_s,
                };
            }
        }
        run
    }

    /// The figure that systems are compared by.
    fn cost(&self) -> f64 {
        self.warm.unwrap_or(self.whole)
    }

    /// In one line, for whoever waits.
    pub(crate) fn told(&self) -> String {
        let Run { system, wall_s, peak_mb, rate, results, .. } = self;
        match &self.wrong {
            Some(why) => format!("{system}: no figure: {why}"),
            None => format!(
                "{system}: {:.3} CPU-s/M warm, {:.3} whole, {:.0} k/s, {peak_mb:.0} MB, {results} results right, {wall_s:.1} s",
                self.cost(),
                self.whole,
                rate / 1000.0
            ),
        }
    }
}

/// Appends what was measured to a file.
pub(crate) fn append(path: &Path, run: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(run).map_err(|e| Failure::at(path.display(), e))?;
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| writeln!(file, "{line}")).map_err(|e| Failure::at(path.display(), e))
}

/// All runs of a file. Recoveries and reads, which are no runs of several systems, are left out.
pub(crate) fn read(path: &Path) -> Result<Vec<Run>, Failure> {
    let text = fs::read_to_string(path).map_err(|e| Failure::at(path.display(), e))?;
    let is_run = |line: &&str| line.contains("\"system\":");
    let read =
        |line| serde_json::from_str(line).map_err(|e| Failure::at(format_args!("{}: {line}", path.display()), e));
    text.lines().filter(is_run).map(read).collect()
}

/// What one system has come to on one workload.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) workload: String,
    pub(crate) series: u32,
    pub(crate) system: String,
    pub(crate) runs: usize,
    pub(crate) failed: usize,
    pub(crate) events: u64,
    /// Medians, and the least and the greatest.
    pub(crate) cost: [f64; 3],
    /// With the start, the median.
    pub(crate) whole: f64,
    pub(crate) rate: f64,
    pub(crate) peak_mb: f64,
}

/// One row for each system of each workload; in the order of workload, series, events and the systems' list.
pub(crate) fn rows(runs: &[Run]) -> Vec<Row> {
    let place = |name: &str| SYSTEMS.iter().position(|system| system.name == name).unwrap_or(SYSTEMS.len());
    let mut groups: BTreeMap<(&str, u32, u64, usize, &str), Vec<&Run>> = BTreeMap::new();
    for run in runs {
        let key = (&*run.workload, run.series, run.events, place(&run.system), &*run.system);
        groups.entry(key).or_default().push(run);
    }
    let row = |((workload, series, events, _, system), all): (_, Vec<&Run>)| {
        let good: Vec<&Run> = all.iter().filter(|run| run.wrong.is_none()).copied().collect();
        let of = |figure: fn(&Run) -> f64| spread(good.iter().map(|run| figure(run)).collect());
        Row {
            workload: str::to_owned(workload),
            series,
            system: str::to_owned(system),
            runs: good.len(),
            failed: all.len() - good.len(),
            events,
            cost: of(Run::cost),
            whole: of(|run| run.whole)[0],
            rate: of(|run| run.rate)[0],
            peak_mb: of(|run| run.peak_mb)[0],
        }
    };
    groups.into_iter().map(row).collect()
}

/// As Markdown: medians, with the least and the greatest, and how many times as much as ours and as reading alone.
pub(crate) fn table(runs: &[Run]) -> String {
    let rows = rows(runs);
    let mut text = String::from(
        "| workload | series | events | system | runs | CPU-s / M events | least to greatest | with the start | to ours | to drain | k events/s | peak MB |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in &rows {
        let Row { workload, series, system, runs, failed, events, cost, whole, rate, peak_mb } = row;
        let failures = if *failed > 0 { format!(" ({failed} failed)") } else { String::new() };
        let _ = write!(text, "| {workload} | {series} | {events} | {system} | {runs}{failures} |");
        if *runs == 0 {
            text.push_str(" | | | | | | |\n");
            continue;
        }
        let to = |name: &str| {
            let of = |other: &&Row| other.system == name && other.runs > 0 && other.workload == *workload;
            let other = rows.iter().filter(of).find(|other| (other.series, other.events) == (*series, *events));
            other.map_or_else(|| "–".to_owned(), |other| format!("{:.2}", cost[0] / other.cost[0]))
        };
        let [median, least, greatest] = cost;
        let _ = writeln!(
            text,
            " {median:.3} | {least:.3} to {greatest:.3} | {whole:.3} | {} | {} | {:.0} | {peak_mb:.0} |",
            to("ours"),
            to("drain-poll"),
            rate / 1000.0
        );
    }
    text
}

/// Median, least and greatest.
fn spread(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    let (Some(least), Some(greatest)) = (figures.first(), figures.last()) else { return [0.0; 3] };
    let middle = figures.len() / 2;
    let median = if figures.len() % 2 == 1 { figures[middle] } else { (figures[middle - 1] + figures[middle]) / 2.0 };
    [median, *least, *greatest]
}

/// How many processes want to run.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

fn machine() -> String {
    let after = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
        line.map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (model, memory) = (after("/proc/cpuinfo", "model name"), after("/proc/meminfo", "MemTotal"));
    format!("{model}, {cores} cores, {memory}, Linux {}", kernel.trim())
}

fn version() -> String {
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output();
        output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    git(&["describe", "--always", "--dirty"])
}

#[cfg(test)]
mod tests {
    use super::{Heading, Run, spread, table};
    use crate::failure::Failure;
    use crate::measure::Cost;
    use crate::points::Found;
    use crate::process::Usage;

    fn run(system: &str, cpu_s: f64) -> Run {
        let heading = Heading { workload: "W1", series: 10, events: 2_000_000, system, load: 0.5 };
        let usage = |user_s, wall_s| Usage { user_s, system_s: 0.0, wall_s, peak_mb: 20.0, ended: true };
        let cost = Cost { whole: usage(cpu_s, 4.0), warm: Some((usage(0.0, 2.0), 1_000_000)) };
        Run::new(&heading, Ok((cost, Found { right: 7, again: 0, beside: 0 })))
    }

    #[test]
    fn the_table_has_medians_and_ratios() {
        assert_eq!(spread(vec![3.0, 1.0, 2.0]), [2.0, 1.0, 3.0]);
        assert_eq!(spread(vec![3.0, 1.0]), [2.0, 1.0, 3.0]);
        let heading = Heading { workload: "W1", series: 10, events: 2_000_000, system: "flink", load: 0.5 };
        let failed = Run::new(&heading, Err(Failure("wrong result: too few".to_owned())));
        let runs = [run("flink", 1.0), run("ours", 0.1), run("flink", 2.0), failed, run("flink", 1.5)];
        let table = table(&runs);
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| W1 | 10 | 2000000 | ours | 1 | 0.100 | 0.100 to 0.100 | 0.050 | 1.00 | – | 500 | 20 |",
                "| W1 | 10 | 2000000 | flink | 3 (1 failed) | 1.500 | 1.000 to 2.000 | 0.750 | 15.00 | – | 500 | 20 |",
            ]
        );
    }
}
