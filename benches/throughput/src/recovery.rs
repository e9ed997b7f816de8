//! W5: the process is killed in the middle of its work, and started again. How soon is what it had committed there to be
//! read, and how soon does it tell something new? In the end every transition must have come, as if nothing had happened.

use crate::broker::Broker;
use crate::failure::Failure;
use crate::health::Answer;
use crate::measure::{Setting, temporary};
use crate::process::pause;
use crate::server::{On, Server, knows, runtime};
use crate::workload::{LATENESS_S, START_S, Workload, identifier};
use api::v1::health_client::HealthClient;
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// What a recovery was like.
#[derive(Debug, Serialize)]
pub(crate) struct Recovery {
    pub(crate) workload: &'static str,
    pub(crate) series: u32,
    pub(crate) events: u64,
    /// How many readings were behind the last transition that had come before the kill.
    pub(crate) events_before: u64,
    /// Bytes handed to disks for a million readings until then.
    pub(crate) written_mb_per_million: f64,
    /// The store after the kill, in MB of a million bytes.
    pub(crate) store_mb: f64,
    /// From the second start until gRPC tells what had been committed.
    pub(crate) readable_s: f64,
    /// From the second start until the first transition that had not been told before is on the topic.
    pub(crate) first_new_s: f64,
    /// Resident memory of the second process at its most.
    pub(crate) peak_mb: f64,
    /// Transitions that came twice; consumers drop them by their id.
    pub(crate) again: u64,
}

/// Kills once, in the middle.
pub(crate) fn run(workload: Workload, input: &str, setting: &Setting<'_>) -> Result<Recovery, Failure> {
    let mut broker = Broker::connect(setting.brokers)?;
    let output = testkit::unique("bench-w5");
    broker.create(&output, workload.partitions, &[])?;
    let outcome = killed(workload, input, &output, &mut broker, setting);
    broker.delete(&output)?;
    outcome
}

fn killed(
    workload: Workload,
    input: &str,
    output: &str,
    broker: &mut Broker,
    setting: &Setting<'_>,
) -> Result<Recovery, Failure> {
    let folder = temporary()?;
    let log = setting.logs.join("w5.log");
    let on = On { brokers: setting.brokers, input, output, workload, folder: folder.path(), log: &log };
    let mut answer = Answer::new(workload);
    let mut positions = vec![0; workload.partitions as usize];
    let middle_s = START_S + i64::from(workload.seconds) / 2;

    let mut first = Server::start(&on)?;
    until(setting, &mut first, || {
        broker.read(output, &mut positions, &mut |_, value, _| answer.check(value))?;
        Ok(answer.newest_s() >= middle_s)
    })?;
    let written = first.process.written_bytes()?;
    first.process.kill();
    drop(first);
    // What it told with its last breath.
    broker.read(output, &mut positions, &mut |_, value, _| answer.check(value))?;
    let events_before = workload.events_before(answer.newest_s() + LATENESS_S);
    let (told, store_mb) = (answer.right(), size(&folder.path().join("store")) as f64 / 1e6);

    let began = Instant::now();
    let mut second = Server::start(&on)?;
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let mut client = HealthClient::new(second.channel()?);
    let (mut readable_s, mut first_new_s) = (None, None);
    until(setting, &mut second, || {
        if readable_s.is_none() && runtime.block_on(knows(&mut client, &identifier(0))) {
            readable_s = Some(began.elapsed().as_secs_f64());
        }
        broker.read(output, &mut positions, &mut |_, value, _| answer.check(value))?;
        if first_new_s.is_none() && answer.right() > told {
            first_new_s = Some(began.elapsed().as_secs_f64());
        }
        Ok(readable_s.is_some() && answer.is_over())
    })?;
    let peak_mb = second.process.usage()?.peak_mb;
    second.process.ask_to_end()?;
    second.process.end()?;
    broker.read(output, &mut positions, &mut |_, value, _| answer.check(value))?;
    let found = answer.complete()?;
    Ok(Recovery {
        workload: "W5",
        series: workload.series,
        events: workload.events(),
        events_before,
        written_mb_per_million: written as f64 / events_before as f64,
        store_mb,
        readable_s: readable_s.unwrap_or_default(),
        first_new_s: first_new_s.unwrap_or_default(),
        peak_mb,
        again: found.again,
    })
}

/// Looks until it is so; a failure where the server ends by itself, or nothing is so for too long.
fn until(
    setting: &Setting<'_>,
    server: &mut Server,
    mut look: impl FnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let began = Instant::now();
    while !look()? {
        if server.process.usage()?.ended {
            return Err(server.process.failure("it has ended by itself"));
        }
        if began.elapsed() > setting.patience {
            return Err(server.process.failure(format!("it is not done after {} s", setting.patience.as_secs())));
        }
        pause(2);
    }
    Ok(())
}

/// Bytes of all files in a folder.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}
