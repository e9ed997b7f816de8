//! One run of one system: it is started, watched from outside, and its answer is held against the truth.

use crate::broker::Broker;
use crate::failure::Failure;
use crate::points::{Found, Windows};
use crate::process::{Process, Usage, pause};
use crate::systems::{self, Kind, System, Task};
use crate::workload::Workload;
use crate::{health, points, rules, server};
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two looks at the process and at its output.
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
    /// Which windows are to become points; none where health is asked for.
    pub(crate) windows: Option<Windows>,
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
    /// Where the first fifth was done, and how many readings were left then.
    pub(crate) warm: Option<(Usage, u64)>,
}

/// Runs a system. The output is checked, and deleted.
pub(crate) fn run(system: &System, job: &Job<'_>, setting: &Setting<'_>) -> Result<(Cost, Found), Failure> {
    if let (Kind::Rules(rules), None) = (system.kind, job.windows) {
        return rules::run(rules, job.workload, setting);
    }
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
    let workload = job.workload;
    let folder = temporary()?;
    let listen = server::free_address()?;
    let task = Task {
        brokers: setting.brokers,
        id,
        input: job.input,
        output,
        workload,
        windows: job.windows,
        folder: folder.path(),
        heap: setting.heap,
        lives: false,
        listen: &listen,
        configuration: job.configuration,
    };
    let command = systems::command(system, &task)?;
    let writes = !matches!(system.kind, Kind::Drain(_));
    if writes {
        broker.create(output, workload.partitions, &[])?;
    }
    let mut watch = Watch::new(Answer::new(job), output, workload.partitions);
    let mut process = Process::start(command, &setting.logs.join(format!("{}.log", system.name)))?;
    let mut asked = false;
    let whole = loop {
        let usage = process.usage()?;
        if usage.ended {
            process.end()?;
            break usage;
        }
        if writes {
            let was_warm = watch.warm.is_some();
            watch.look(broker, usage)?;
            // Others end by themselves once they have read all.
            if matches!(system.kind, Kind::Ours(_)) {
                if let (false, Some((_, rest))) = (was_warm, &mut watch.warm) {
                    // Ours may have read far ahead of what it has published: what is read is not to come any more.
                    *rest = (*rest).min(workload.records().saturating_sub(server::records(&listen)?));
                }
                if !asked && watch.is_over() {
                    asked = true;
                    process.ask_to_end()?;
                }
            }
        }
        if watch.moved.elapsed() > setting.patience {
            let (silent, before) = (setting.patience.as_secs(), watch.count);
            return Err(process.failure(format!("it has given nothing for {silent} s, and {before} records before")));
        }
        pause(LOOK_MS);
    };
    // Of a short rest the figure would be that of the end.
    let warm = watch.warm.filter(|(_, rest)| rest * 4 >= workload.events());
    let found = if writes { watch.complete(broker)? } else { Found::default() };
    Ok((Cost { whole, warm }, found))
}

/// A folder that goes with its owner.
pub(crate) fn temporary() -> Result<tempfile::TempDir, Failure> {
    let folder = tempfile::Builder::new().prefix("vitalsign-bench-").tempdir();
    folder.map_err(|e| Failure::at("a temporary folder", e))
}

/// What is right.
enum Answer {
    Points(points::Answer),
    Health(health::Answer),
}

impl Answer {
    fn new(job: &Job<'_>) -> Answer {
        match job.windows {
            Some(windows) => Answer::Points(points::Answer::new(job.workload, windows)),
            None => Answer::Health(health::Answer::new(job.workload)),
        }
    }

    fn warm(&self) -> Option<(i64, u64)> {
        match self {
            Answer::Points(answer) => answer.warm(),
            Answer::Health(answer) => answer.warm(),
        }
    }

    fn check(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        match self {
            Answer::Points(answer) => answer.check(key, value),
            Answer::Health(answer) => answer.check(value),
        }
    }
}

/// What was seen of a run so far.
struct Watch<'a> {
    answer: Answer,
    output: &'a str,
    /// Up to where the output was read. Points are many, and read when all is over; till then only the ends are looked at.
    positions: Vec<i64>,
    /// Offsets that the output takes.
    count: u64,
    /// When there was the last new one.
    moved: Instant,
    warm: Option<(Usage, u64)>,
}

impl<'a> Watch<'a> {
    fn new(answer: Answer, output: &'a str, partitions: i32) -> Watch<'a> {
        let positions = vec![0; partitions as usize];
        Watch { answer, output, positions, count: 0, moved: Instant::now(), warm: None }
    }

    fn look(&mut self, broker: &mut Broker, usage: Usage) -> Result<(), Failure> {
        let count = broker.ends(self.output, self.positions.len() as i32)?.iter().sum::<i64>() as u64;
        if count > self.count {
            (self.count, self.moved) = (count, Instant::now());
            if let Answer::Health(_) = self.answer {
                self.read(broker)?;
            }
        }
        if let (None, Some((end_s, rest))) = (self.warm, self.answer.warm()) {
            let is_warm = match &self.answer {
                Answer::Points(answer) => count >= answer.wanted_until(end_s),
                Answer::Health(answer) => answer.newest_s() >= end_s,
            };
            self.warm = is_warm.then_some((usage, rest));
        }
        Ok(())
    }

    fn read(&mut self, broker: &mut Broker) -> Result<(), Failure> {
        let answer = &mut self.answer;
        broker.read(self.output, &mut self.positions, &mut |key, value, _| answer.check(key, value))
    }

    fn is_over(&self) -> bool {
        match &self.answer {
            Answer::Points(answer) => self.count >= answer.wanted(),
            Answer::Health(answer) => answer.is_over(),
        }
    }

    fn complete(mut self, broker: &mut Broker) -> Result<Found, Failure> {
        self.read(broker)?;
        match self.answer {
            Answer::Points(answer) => answer.complete(),
            Answer::Health(answer) => answer.complete(),
        }
    }
}
