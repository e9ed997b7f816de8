//! How long results come after the reading that closes their window: all else is read and quiet, then one record for each
//! partition moves time on. Times are those at which the broker has appended; results of a transaction may be read only
//! after its commit, which is later.

use crate::broker::Broker;
use crate::failure::Failure;
use crate::measure::{Setting, temporary};
use crate::points::{Answer, Windows};
use crate::process::{Process, pause};
use crate::server::free_address;
use crate::systems::{self, Kind, System, Task};
use crate::workload::{Next, START_S, Signal, Workload};
use serde::Serialize;
use std::time::{Duration, Instant, SystemTime};

/// A process that has used less than a twentieth of a second in as long is quiet.
const QUIET: Duration = Duration::from_secs(2);
const QUIET_CPU_S: f64 = 0.05;

/// How long results took.
#[derive(Debug, Serialize)]
pub(crate) struct Delay {
    pub(crate) workload: &'static str,
    pub(crate) series: u32,
    pub(crate) name: &'static str,
    /// From the closing record's acknowledgement to the first and to the last result, in milliseconds.
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    /// How many came.
    pub(crate) results: u64,
}

/// Three minutes, the last of which ends with the last reading.
pub(crate) fn workload(series: u64, step_s: u32, partitions: i32) -> Result<Workload, Failure> {
    let series = u32::try_from(series).ok().filter(|series| step_s > 0 && *series >= step_s && series % step_s == 0);
    let series = series.ok_or_else(|| Failure(format!("--series: a multiple of the step, {step_s}, is wanted")))?;
    let seconds = (180 - START_S.rem_euclid(60)) as u32;
    Ok(Workload { series, step_s, seconds, partitions, signal: Signal::Scattered, groups: 0 })
}

/// Runs a system, and closes the last window once it is quiet.
pub(crate) fn run(system: &System, workload: Workload, setting: &Setting<'_>) -> Result<Delay, Failure> {
    let mut broker = Broker::connect(setting.brokers)?;
    let id = testkit::unique(&format!("bench-delay-{}", system.name));
    let outcome = closed(system, workload, setting, &mut broker, &id);
    broker.delete(&id)?;
    outcome
}

fn closed(
    system: &System,
    workload: Workload,
    setting: &Setting<'_>,
    broker: &mut Broker,
    id: &str,
) -> Result<Delay, Failure> {
    if !matches!(system.kind, Kind::Ours(_) | Kind::Java(..)) {
        return Err(Failure(format!("{} gives no results that could be late; leave it out of --systems", system.name)));
    }
    let (input, output) = (format!("{id}-in"), format!("{id}-out"));
    broker.create(&input, workload.partitions, &[])?;
    broker.create(&output, workload.partitions, &[("message.timestamp.type", "LogAppendTime")])?;
    workload.feed(broker, &input, &mut |_| Next::Go)?;
    let windows = Windows { width_s: 60, slide_s: 60, percentile: false };
    let (folder, listen) = (temporary()?, free_address()?);
    let task = Task {
        brokers: setting.brokers,
        id,
        input: &input,
        output: &output,
        workload,
        windows: Some(windows),
        folder: folder.path(),
        heap: setting.heap,
        lives: true,
        listen: &listen,
        configuration: "w1.yaml",
    };
    let command = systems::command(system, &task)?;
    let mut process = Process::start(command, &setting.logs.join(format!("{}.log", system.name)))?;
    let mut answer = Answer::new(workload, windows);
    let mut positions = vec![0; workload.partitions as usize];
    let before = answer.wanted() - u64::from(workload.series);
    let began = Instant::now();

    // Until all windows but the last are there, and nothing moves.
    let mut quiet = (Instant::now(), 0.0);
    while answer.right() < before || quiet.0.elapsed() < QUIET {
        broker.read(&output, &mut positions, &mut |key, value, _| answer.check(key, value))?;
        let usage = process.usage()?;
        if usage.ended || began.elapsed() > setting.patience {
            return Err(process.failure("it does not come to the end of the readings"));
        }
        if usage.cpu_s() - quiet.1 > QUIET_CPU_S {
            quiet = (Instant::now(), usage.cpu_s());
        }
        // A virtual machine is never quite still.
        if answer.right() >= before && began.elapsed() > setting.patience / 4 {
            break;
        }
        pause(10);
    }
    workload.close(broker, &input)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let closed_ms = now.map_or(0, |since| since.as_millis() as i64);
    let (mut first_ms, mut last_ms) = (i64::MAX, i64::MIN);
    while answer.right() < answer.wanted() {
        broker.read(&output, &mut positions, &mut |key, value, at_ms| {
            let right = answer.right();
            answer.check(key, value)?;
            if answer.right() > right {
                (first_ms, last_ms) = (first_ms.min(at_ms), last_ms.max(at_ms));
            }
            Ok(())
        })?;
        if process.usage()?.ended && answer.right() < answer.wanted() && !matches!(system.kind, Kind::Java(..)) {
            return Err(process.failure("it has ended by itself"));
        }
        if began.elapsed() > setting.patience * 2 {
            return Err(process.failure("it does not give the last window"));
        }
        pause(1);
    }
    Ok(Delay {
        workload: "W1 delay",
        series: workload.series,
        name: system.name,
        first_ms: first_ms - closed_ms,
        last_ms: last_ms - closed_ms,
        results: u64::from(workload.series),
    })
}
