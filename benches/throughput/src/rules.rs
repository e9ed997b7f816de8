//! The peers that evaluate rules: vmalert with VictoriaMetrics, and Kapacitor.
//!
//! Neither reads Kafka. They are handed the readings over HTTP in the line protocol that both take, by this process, whose
//! own time does not count: what reading Kafka would cost them is given to them. Both are asked for the same as ours: the
//! average of ten seconds, a threshold on it, and how far it lies from what was usual lately. vmalert evaluates in replay,
//! which asks for many instants at once and is the least that it costs.

use crate::failure::Failure;
use crate::health::{Answer, Change, WINDOW_S};
use crate::measure::{Cost, Setting, temporary};
use crate::points::Found;
use crate::process::{Process, Usage, pause};
use crate::server::free_address;
use crate::systems::{self, Rules};
use crate::workload::{CLOSING, Next, START_S, Workload, group, identifier, limit, series_of};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The length of one request that hands over readings.
const BODY_BYTES: usize = 1 << 20;

/// Runs one of them, and checks what it told.
pub(crate) fn run(rules: Rules, workload: Workload, setting: &Setting<'_>) -> Result<(Cost, Found), Failure> {
    match rules {
        Rules::Vmalert => vmalert(workload, setting),
        Rules::Kapacitor => kapacitor(workload, setting),
    }
}

fn vmalert(workload: Workload, setting: &Setting<'_>) -> Result<(Cost, Found), Failure> {
    let folder = temporary()?;
    let address = free_address()?;
    let mut command = Command::new(built("victoriametrics", "victoria-metrics")?);
    command.arg(format!("-storageDataPath={}", folder.path().join("data").display()));
    command.arg(format!("-httpListenAddr={address}"));
    // Readings lie years back, and there are many series.
    command.args(["-retentionPeriod=100y", "-search.maxUniqueTimeseries=5000000", "-search.maxQueryDuration=10m"]);
    command.args(["-search.latencyOffset=0s", "-search.maxExportDuration=10m"]);
    let mut database = Process::start(command, &setting.logs.join("victoria-metrics.log"))?;
    answers(&mut database, &address, "/health", setting)?;
    hand_over(workload, &address, "/write?precision=s")?;
    request(&address, "GET", "/internal/force_flush", "")?;

    let path = folder.path().join("rules.yaml");
    fs::write(&path, rules_of(workload)).map_err(|e| Failure::at(path.display(), e))?;
    let mut command = Command::new(built("victoriametrics", "vmalert")?);
    command.arg(format!("-rule={}", path.display()));
    for option in ["datasource.url", "remoteWrite.url"] {
        command.arg(format!("-{option}=http://{address}"));
    }
    let first = START_S - START_S.rem_euclid(WINDOW_S) + WINDOW_S;
    command.arg(format!("-replay.timeFrom={}", instant(first)));
    command.arg(format!("-replay.timeTo={}", instant(workload.end_s() + WINDOW_S)));
    // A rule that reads what another one records has to wait for it.
    let delay = if workload.groups == 0 { "-replay.rulesDelay=1s" } else { "-replay.rulesDelay=0s" };
    command.args(["-replay.disableProgressBar", "-remoteWrite.maxQueueSize=5000000", delay]);
    command.arg(format!("-httpListenAddr={}", free_address()?));
    let mut alerting = Process::start(command, &setting.logs.join("vmalert.log"))?;
    let began = Instant::now();
    let alerted = loop {
        let usage = alerting.usage()?;
        if usage.ended {
            alerting.end()?;
            break usage;
        }
        if began.elapsed() > setting.patience {
            return Err(alerting.failure(format!("it is not done after {} s", setting.patience.as_secs())));
        }
        pause(10);
    };
    request(&address, "GET", "/internal/force_flush", "")?;
    let found = told_by_vmalert(workload, &address)?;
    let stored = database.usage()?;
    Ok((Cost { whole: both(stored, alerted), warm: None }, found))
}

/// At an instant t the readings from t - 10 s on and before t: VictoriaMetrics takes those after t - 10 s and up to t.
const RULES: &str = "groups:
  - name: sensors
    interval: 10s
    rules:
      - record: power:average
        expr: avg_over_time(power_value[10s] offset 1s)
      - alert: too much power
        expr: avg_over_time(power_value[10s] offset 1s) >= 4000
      - alert: unusual power
        expr: abs(power:average - avg_over_time(power:average[5m])) > 4 * stddev_over_time(power:average[5m])
";

/// With groups of series one alert for each, with a limit of its own, and no baseline.
fn rules_of(workload: Workload) -> String {
    if workload.groups == 0 {
        return RULES.to_owned();
    }
    let mut rules = String::from("groups:\n  - name: sensors\n    interval: 10s\n    rules:\n");
    for number in 0..workload.groups {
        let (group, limit) = (group(number), limit(number));
        let _ = writeln!(rules, "      - alert: too much power");
        let average = format!("avg_over_time(power_value{{group=\"{group}\"}}[10s] offset 1s)");
        let _ = writeln!(rules, "        expr: '{average} >= {limit}'");
        // Two alerts of one name and expression are one; these differ by their labels too.
        let _ = writeln!(rules, "        labels: {{ function: {group} }}");
    }
    rules
}

#[derive(Deserialize)]
struct Alerts {
    metric: AlertLabels,
    timestamps: Vec<i64>,
}

#[derive(Deserialize)]
struct AlertLabels {
    identifier: String,
}

/// An alert is a sample at each instant at which it fires.
fn told_by_vmalert(workload: Workload, address: &str) -> Result<Found, Failure> {
    let mut answer = Answer::new(workload);
    answer.excuse(workload.end_s() + WINDOW_S);
    let path = "/api/v1/export?match%5B%5D=ALERTS%7Balertname%3D%22too%20much%20power%22%7D";
    for line in request(address, "GET", path, "")?.lines() {
        let alerts: Alerts = serde_json::from_str(line).map_err(|e| Failure::at("an alert of vmalert", e))?;
        if alerts.metric.identifier.starts_with(CLOSING) {
            continue;
        }
        let series = series_of(&alerts.metric.identifier);
        let series = series.ok_or_else(|| Failure(format!("wrong alert: no series `{}`", alerts.metric.identifier)))?;
        let ends: BTreeSet<i64> = alerts.timestamps.iter().map(|ms| ms / 1000).collect();
        let wrong = |why| Failure(format!("wrong alerts: {why}"));
        for end in &ends {
            if !ends.contains(&(end - WINDOW_S)) {
                answer.take(series, *end, Change::Enters).map_err(wrong)?;
            }
            if !ends.contains(&(end + WINDOW_S)) && answer.has_window(end + WINDOW_S) {
                answer.take(series, end + WINDOW_S, Change::Leaves).map_err(wrong)?;
            }
        }
    }
    answer.complete()
}

fn kapacitor(workload: Workload, setting: &Setting<'_>) -> Result<(Cost, Found), Failure> {
    let folder = temporary()?;
    let address = free_address()?;
    let alerts = folder.path().join("alerts.json");
    let path = folder.path().join("kapacitor.conf");
    let text = SETTINGS.replace("FOLDER", &folder.path().display().to_string()).replace("ADDRESS", &address);
    fs::write(&path, text).map_err(|e| Failure::at(path.display(), e))?;
    let mut command = Command::new(built("kapacitor", "kapacitord")?);
    command.arg("-config").arg(&path);
    let mut process = Process::start(command, &setting.logs.join("kapacitor.log"))?;
    answers(&mut process, &address, "/kapacitor/v1/ping", setting)?;
    for (id, script) in scripts(workload) {
        let script = script.replace("ALERTS", &alerts.display().to_string());
        let task = serde_json::json!({
            "id": id, "type": "stream", "status": "enabled", "script": script,
            "dbrps": [{ "db": "bench", "rp": "autogen" }],
        });
        request(&address, "POST", "/kapacitor/v1/tasks", &task.to_string())?;
    }
    hand_over(workload, &address, "/kapacitor/v1/write?db=bench&rp=autogen&precision=s")?;

    let mut answer = Answer::new(workload);
    // A window closes when its series reports again, so the last one stays open.
    answer.excuse(workload.end_s() - i64::from(workload.step_s));
    let began = Instant::now();
    let usage = loop {
        let usage = process.usage()?;
        let text = fs::read_to_string(&alerts).unwrap_or_default();
        // The record behind the last reading.
        let closed =
            text.lines().filter(|line| line.contains(CLOSING) && line.contains("\"level\":\"CRITICAL\"")).count();
        if closed >= workload.partitions as usize {
            break usage;
        }
        if usage.ended || began.elapsed() > setting.patience {
            return Err(process.failure("it does not tell the end of the readings"));
        }
        pause(200);
    };
    let text = fs::read_to_string(&alerts).map_err(|e| Failure::at(alerts.display(), e))?;
    for line in text.lines() {
        told_by_kapacitor(&mut answer, workload, line)?;
    }
    Ok((Cost { whole: usage, warm: None }, answer.complete()?))
}

/// Without reports to anybody, and without InfluxDB.
const SETTINGS: &str = "data_dir = \"FOLDER\"
skip-config-overrides = true
[http]
  bind-address = \"ADDRESS\"
  log-enabled = false
[replay]
  dir = \"FOLDER/replay\"
[storage]
  boltdb = \"FOLDER/kapacitor.db\"
[task]
  dir = \"FOLDER/tasks\"
[load]
  enabled = false
[logging]
  file = \"STDERR\"
  level = \"WARN\"
[[influxdb]]
  enabled = false
  name = \"none\"
  urls = [\"http://127.0.0.1:1\"]
[reporting]
  enabled = false
[stats]
  enabled = false
";

/// `sigma` counts standard deviations from the mean of all that was before.
const SCRIPT: &str = "stream
    |from()
        .measurement('power')
        .groupBy('identifier')
    |window()
        .period(10s)
        .every(10s)
        .align()
    |mean('value')
        .as('value')
    |alert()
        .id('{{ index .Tags \"identifier\" }}')
        .crit(lambda: \"value\" >= 4000.0)
        .warn(lambda: sigma(\"value\") > 4.0)
        .stateChangesOnly()
        .log('ALERTS')
";

/// With groups of series one task for each, with a limit of its own, and no baseline.
fn scripts(workload: Workload) -> Vec<(String, String)> {
    if workload.groups == 0 {
        return vec![("sensors".to_owned(), SCRIPT.to_owned())];
    }
    let script = |number| {
        let group = group(number);
        let of_group = format!(".measurement('power')\n        .where(lambda: \"group\" == '{group}')");
        let script = SCRIPT.replace(".measurement('power')", &of_group);
        let script = script.replace("4000.0", &format!("{}.0", limit(number)));
        (group, script.replace("        .warn(lambda: sigma(\"value\") > 4.0)\n", ""))
    };
    (0..workload.groups).map(script).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    id: String,
    time: String,
    level: String,
    previous_level: String,
}

fn told_by_kapacitor(answer: &mut Answer, workload: Workload, line: &str) -> Result<(), Failure> {
    let wrong = |why: String| Failure(format!("wrong alert: {why}: {line}"));
    let alert: Alert = serde_json::from_str(line).map_err(|e| wrong(e.to_string()))?;
    let change = match (&*alert.previous_level, &*alert.level) {
        (_, "CRITICAL") => Change::Enters,
        ("CRITICAL", _) => Change::Leaves,
        _ => return Ok(()),
    };
    let Some(series) = series_of(&alert.id) else { return Ok(()) };
    let time = alert.time.parse::<model::Time>().map_err(|e| wrong(e.to_string()))?.millis() / 1000;
    if time > workload.end_s() - i64::from(workload.step_s) {
        return Ok(());
    }
    answer.take(series, time, change).map_err(wrong)
}

/// What two processes that do one job have used.
fn both(one: Usage, other: Usage) -> Usage {
    Usage {
        user_s: one.user_s + other.user_s,
        system_s: one.system_s + other.system_s,
        wall_s: one.wall_s.max(other.wall_s),
        peak_mb: one.peak_mb + other.peak_mb,
        ended: true,
    }
}

/// Writes all readings, in the order of time, and behind them what closes windows.
fn hand_over(workload: Workload, address: &str, path: &str) -> Result<(), Failure> {
    let mut body = String::with_capacity(BODY_BYTES + 100);
    let mut failure = None;
    workload.each(&mut |series, second, hundredths| {
        let name = match series {
            Ok(series) => identifier(series),
            Err(partition) => format!("{CLOSING}{partition}"),
        };
        let tag = workload.group_of(series.unwrap_or(0)).map_or_else(String::new, |group| format!(",group={group}"));
        let (whole, part) = (hundredths / 100, hundredths % 100);
        let _ = writeln!(body, "power,identifier={name}{tag} value={whole}.{part:02} {second}");
        if body.len() >= BODY_BYTES {
            failure = request(address, "POST", path, &body).err();
            body.clear();
        }
        if failure.is_some() { Next::Stop } else { Next::Go }
    });
    failure.map_or(Ok(()), Err)?;
    request(address, "POST", path, &body).map(|_| ())
}

/// One request, one connection. The body of the answer, where it is a good one.
fn request(address: &str, method: &str, path: &str, body: &str) -> Result<String, Failure> {
    let place = || format!("http://{address}{path}");
    let asked = TcpStream::connect(address).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(600)))?;
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{body}")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    });
    let answer = asked.map_err(|e| Failure::at(place(), e))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(body.to_owned()),
        _ => Err(Failure::at(place(), format_args!("{} {}", head.lines().next().unwrap_or_default(), body.trim()))),
    }
}

/// Waits until a server answers there.
fn answers(process: &mut Process, address: &str, path: &str, setting: &Setting<'_>) -> Result<(), Failure> {
    let began = Instant::now();
    while request(address, "GET", path, "").is_err() {
        if process.usage()?.ended || began.elapsed() > setting.patience {
            return Err(process.failure("it does not answer"));
        }
        pause(20);
    }
    Ok(())
}

/// A program that Go has built.
fn built(project: &str, name: &str) -> Result<PathBuf, Failure> {
    let folder = systems::folder().join("peers").join(project);
    let path: PathBuf = Path::new(&folder).join("target").join(name);
    match path.is_file() {
        true => Ok(path),
        false => Err(Failure(format!(
            "{} is not there; {}/build.sh builds it, with Go 1.26.6 or later",
            path.display(),
            folder.display()
        ))),
    }
}

/// As vmalert wants it.
fn instant(second: i64) -> String {
    model::Time::from_nanos(second * 1_000_000_000).to_string()
}
