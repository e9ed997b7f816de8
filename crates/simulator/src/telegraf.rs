//! Telegraf on every host: line protocol with a trailing line feed, integers with `i`, times in whole
//! seconds, the key is the host.

use crate::{Fault, Moment, Output, random::Random};
use std::fmt::Write;

pub(crate) const TOPIC: &str = "telegraf";

const MIB: f64 = 1_048_576.0;
const HEAP_MAX: f64 = 1024.0 * MIB;
const MEMORY: f64 = 8192.0 * MIB;

/// A machine that Telegraf runs on.
struct Host {
    name: &'static str,
    role: &'static str,
    /// `fixed`, or `spot` for those that come and go.
    pool: &'static str,
    /// The seconds of a cycle in which it is there.
    there: std::ops::Range<i64>,
}

const ALWAYS: std::ops::Range<i64> = 0..i64::MAX;

const HOSTS: [Host; 10] = [
    Host { name: "web-1", role: "web", pool: "fixed", there: ALWAYS },
    Host { name: "web-2", role: "web", pool: "fixed", there: ALWAYS },
    Host { name: "web-3", role: "web", pool: "fixed", there: ALWAYS },
    Host { name: "web-4", role: "web", pool: "fixed", there: ALWAYS },
    Host { name: "web-5", role: "web", pool: "spot", there: 25..100 },
    Host { name: "web-6", role: "web", pool: "spot", there: 45..80 },
    Host { name: "app-1", role: "app", pool: "fixed", there: ALWAYS },
    Host { name: "app-2", role: "app", pool: "fixed", there: ALWAYS },
    Host { name: "app-3", role: "app", pool: "fixed", there: ALWAYS },
    Host { name: "db-1", role: "db", pool: "fixed", there: ALWAYS },
];

/// What the Telegrafs write in this second: each host every two seconds.
pub(crate) fn write(moment: &Moment, random: &mut Random, outputs: &mut Vec<Output>) {
    let in_cycle = moment.second.rem_euclid(crate::CYCLE.nanos() / crate::SECOND.nanos());
    for (place, host) in HOSTS.iter().enumerate() {
        let silent = host.name == "web-2" && moment.broken(Fault::DeadHost);
        let turn = (moment.second + place as i64) % 2 == 0;
        if !turn || silent || (host.there != ALWAYS && !host.there.contains(&in_cycle)) {
            continue;
        }
        let tags = format!("host={},pool={},role={}", host.name, host.pool, host.role);
        for mut line in lines(host, &tags, moment, random) {
            // Writing into a string does not fail.
            let _ = writeln!(line, " {}", moment.time.nanos());
            let (key, value) = (Some(host.name.into()), line.into_bytes());
            outputs.push(Output { topic: TOPIC, key, value, headers: Vec::new(), time: moment.time });
        }
    }
}

fn lines(host: &Host, tags: &str, moment: &Moment, random: &mut Random) -> Vec<String> {
    let odd = host.name == "web-3" && moment.broken(Fault::OddHost);
    let user = random.around(if odd { 78.0 } else { 22.0 }, 0.1);
    let system = random.around(6.0, 0.2);
    let idle = ((100.0 - user - system) * 1000.0).round() / 1000.0;
    let used = random.around(0.55, 0.03);
    let mut lines = vec![
        format!("cpu,cpu=cpu-total,{tags} usage_idle={idle},usage_system={system},usage_user={user}"),
        format!(
            "mem,{tags} total={MEMORY}i,used={}i,used_percent={}",
            (used * MEMORY).round(),
            (used * 100_000.0).round() / 1000.0
        ),
    ];
    let slow_database = moment.broken(Fault::SlowDatabase);
    match host.role {
        "web" => {
            let middle = if odd { 420.0 } else { 60.0 };
            lines.push(format!("http,{tags},service=web response_ms={}", random.around(middle, 0.15)));
        }
        "app" => {
            let middle = if slow_database { 1400.0 } else { 110.0 };
            lines.push(format!("http,{tags},service=checkout response_ms={}", random.around(middle, 0.15)));
            // The heap climbs for three quarters of the time, and is then full.
            let climbed = match moment.progress(Fault::FullHeap) {
                Some(progress) if host.name == "app-2" => (progress / 0.75).min(1.0),
                _ => 0.0,
            };
            let heap = random.around(400.0 + 610.0 * climbed, 0.01) * MIB;
            lines.push(format!("jvm,{tags} heap_max={HEAP_MAX}i,heap_used={}i", heap.round().min(HEAP_MAX)));
        }
        _ => {
            let middle = if slow_database { 900.0 } else { 8.0 };
            let connections = if slow_database { 96 } else { 30 + random.below(10) };
            lines.push(format!(
                "postgresql,db=orders,{tags} connections={connections}i,query_ms={}",
                random.around(middle, 0.2)
            ));
        }
    }
    lines
}
