//! One run of one system: it is started, watched from outside, and its answer is held against the truth.

use crate::broker::Broker;
use crate::failure::Failure;
use crate::points::{Answer, Found, Windows};
use crate::process::{Process, Usage, pause};
use crate::systems::{self, Kind, System, Task};
use crate::workload::Workload;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two looks at the process and at the ends of its output.
const LOOK_MS: u64 = 10;

/// What all runs of one invocation share.
pub(crate) struct Setting<'a> {
    pub(crate) brokers: &'a str,
    /// Where the logs of the programs go.
    pub(crate) logs: &'a Path,
    pub(crate) heap: &'a str,
    /// A program that gives nothing for as long is taken for stuck.
    pub(crate) patience: Duration,
}

/// What is asked of each system.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) workload: Workload,
    pub(crate) windows: Windows,
    /// The filled topic.
    pub(crate) input: &'a str,
    /// The name of our configuration.
    pub(crate) configuration: &'a str,
}

/// What a run has cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// From the start to the end of the process.
    pub(crate) whole: Usage,
    /// Where the first results came, and how many readings were left then.
    pub(crate) warm: Option<(Usage, u64)>,
}

/// Runs a system. The output is checked, and deleted.
pub(crate) fn points(system: &System, job: &Job<'_>, setting: &Setting<'_>) -> Result<(Cost, Found), Failure> {
    let mut broker = Broker::connect(setting.brokers)?;
    let id = testkit::unique(&format!("bench-{}", system.name));
    let output = format!("{id}-out");
    let outcome = watched(system, job, setting, &mut broker, &id, &output);
    // Changelogs, and whatever else it has made.
    let cleared = broker.delete(&id);
    let done = outcome?;
    cleared.map(|()| done)
}

fn watched(
    system: &System,
    job: &Job<'_>,
    setting: &Setting<'_>,
    broker: &mut Broker,
    id: &str,
    output: &str,
) -> Result<(Cost, Found), Failure> {
    let Job { workload, windows, .. } = *job;
    let mut answer = Answer::new(workload, windows);
    let folder = tempfile::Builder::new().prefix("vitalsign-bench-").tempdir();
    let folder = folder.map_err(|e| Failure::at("a temporary folder", e))?;
    let task = Task {
        brokers: setting.brokers,
        id,
        input: job.input,
        output,
        workload,
        windows,
        folder: folder.path(),
        heap: setting.heap,
        configuration: job.configuration,
    };
    let command = systems::command(system, &task)?;
    let writes = !matches!(system.kind, Kind::Drain(_));
    if writes {
        broker.create(output, workload.partitions, &[])?;
    }
    let warm = answer.warm().map(|(end_s, rest)| (answer.wanted_until(end_s), rest));
    let mut process = Process::start(command, &setting.logs.join(format!("{}.log", system.name)))?;
    let mut watch = Watch { warm: None, count: 0, moved: Instant::now(), asked: false };
    let whole = loop {
        let usage = process.usage()?;
        if usage.ended {
            process.end()?;
            break usage;
        }
        if writes {
            watch.look(broker, output, workload.partitions, usage, warm)?;
            if system.kind == Kind::Ours && watch.count >= answer.wanted() && !watch.asked {
                watch.asked = true;
                process.ask_to_end()?;
            }
        }
        if watch.moved.elapsed() > setting.patience {
            let told =
                format!("it has given nothing for {} s, {} results before", setting.patience.as_secs(), watch.count);
            return Err(process.failure(told));
        }
        pause(LOOK_MS);
    };
    if writes {
        broker.read(output, workload.partitions, &mut |key, value| answer.check(key, value))?;
    }
    let found = if writes { answer.complete()? } else { Found::default() };
    Ok((Cost { whole, warm: watch.warm }, found))
}

/// What was seen of a run so far.
struct Watch {
    warm: Option<(Usage, u64)>,
    /// Offsets that the output takes.
    count: u64,
    /// When there was the last new one.
    moved: Instant,
    asked: bool,
}

impl Watch {
    fn look(
        &mut self,
        broker: &mut Broker,
        output: &str,
        partitions: i32,
        usage: Usage,
        warm: Option<(u64, u64)>,
    ) -> Result<(), Failure> {
        let count = broker.ends(output, partitions)?.iter().sum::<i64>() as u64;
        if count > self.count {
            (self.count, self.moved) = (count, Instant::now());
        }
        if let (None, Some((results, rest))) = (self.warm, warm)
            && count >= results
        {
            self.warm = Some((usage, rest));
        }
        Ok(())
    }
}
