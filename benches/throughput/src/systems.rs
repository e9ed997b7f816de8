//! The systems: how each is started on a task, and what has to be there for it.

use crate::failure::Failure;
use crate::points::Windows;
use crate::workload::{LATENESS_S, Workload, group, limit};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program and its choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `vitalsign run` with a configuration as a user would write it, less these words for those.
    Ours(&'static [(&'static str, &'static str)]),
    /// Reads the topic and does nothing with it, by this call of librdkafka.
    Drain(&'static str),
    /// A program for the JVM: its module, its main class and its choices.
    Java(&'static str, &'static str, &'static [&'static str]),
    /// Evaluates rules on readings that are handed to it: it does not read Kafka. See `rules`.
    Rules(Rules),
}

/// The systems that evaluate rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// vmalert in replay, over VictoriaMetrics.
    Vmalert,
    /// Kapacitor, stream tasks.
    Kapacitor,
}

/// A system as it is named on the command line and in tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct System {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What it is, in words.
    pub(crate) what: &'static str,
}

const STREAMS: (&str, &str) = ("streams", "peers.StreamsWindows");
const FLINK: (&str, &str) = ("flink", "peers.FlinkWindows");

const fn streams(choices: &'static [&'static str]) -> Kind {
    Kind::Java(STREAMS.0, STREAMS.1, choices)
}

const fn flink(choices: &'static [&'static str]) -> Kind {
    Kind::Java(FLINK.0, FLINK.1, choices)
}

/// All that there are.
pub(crate) const SYSTEMS: [System; 16] = [
    System { name: "ours", kind: Kind::Ours(&[]), what: "Vitalsign, with persistence" },
    System {
        name: "ours-commits-off",
        kind: Kind::Ours(&[("commit_every: 100ms", "commit_every: 1d"), ("snapshot_every: 1m", "snapshot_every: 1d")]),
        what: "Vitalsign, all but without persistence",
    },
    System { name: "drain-poll", kind: Kind::Drain("poll"), what: "librdkafka, reading only, by poll" },
    System { name: "drain-queue", kind: Kind::Drain("queue"), what: "librdkafka, reading only, by queue batches" },
    System {
        name: "flink",
        kind: flink(&["shuffle=none", "guarantee=at_least_once"]),
        what: "Flink, no shuffle, at least once",
    },
    System {
        name: "flink-keyby",
        kind: flink(&["shuffle=keyby", "guarantee=at_least_once"]),
        what: "Flink, keyBy, at least once",
    },
    System {
        name: "flink-eos",
        kind: flink(&["shuffle=keyby", "guarantee=exactly_once"]),
        what: "Flink, keyBy, exactly once",
    },
    System {
        name: "streams-eos",
        kind: streams(&["guarantee=exactly_once_v2", "store=rocksdb", "last=emit"]),
        what: "Kafka Streams, exactly once, RocksDB",
    },
    System {
        name: "streams-alo",
        kind: streams(&["guarantee=at_least_once", "store=rocksdb", "last=emit"]),
        what: "Kafka Streams, at least once, RocksDB",
    },
    System {
        name: "streams-eos-memory",
        kind: streams(&["guarantee=exactly_once_v2", "store=memory", "last=emit"]),
        what: "Kafka Streams, exactly once, in memory",
    },
    System {
        name: "streams-alo-memory",
        kind: streams(&["guarantee=at_least_once", "store=memory", "last=emit"]),
        what: "Kafka Streams, at least once, in memory",
    },
    System {
        name: "streams-eos-suppress",
        kind: streams(&["guarantee=exactly_once_v2", "store=rocksdb", "last=suppress"]),
        what: "Kafka Streams, exactly once, RocksDB, suppress",
    },
    System {
        name: "streams-alo-suppress",
        kind: streams(&["guarantee=at_least_once", "store=rocksdb", "last=suppress"]),
        what: "Kafka Streams, at least once, RocksDB, suppress",
    },
    System {
        name: "streams-alo-memory-suppress",
        kind: streams(&["guarantee=at_least_once", "store=memory", "last=suppress"]),
        what: "Kafka Streams, at least once, in memory, suppress",
    },
    System { name: "vmalert", kind: Kind::Rules(Rules::Vmalert), what: "vmalert replay, with VictoriaMetrics" },
    System { name: "kapacitor", kind: Kind::Rules(Rules::Kapacitor), what: "Kapacitor" },
];

/// The systems of these names, separated by commas.
pub(crate) fn named(names: &str) -> Result<Vec<System>, Failure> {
    let find = |name: &str| {
        let known = || SYSTEMS.map(|system| system.name).join(", ");
        let found = SYSTEMS.into_iter().find(|system| system.name == name);
        found.ok_or_else(|| Failure(format!("there is no system `{name}`; there are {}", known())))
    };
    names.split(',').map(|name| find(name.trim())).collect()
}

/// What a system is to do.
pub(crate) struct Task<'a> {
    pub(crate) brokers: &'a str,
    /// Unique in this broker: begins the names of the topics and groups that the program makes.
    pub(crate) id: &'a str,
    pub(crate) input: &'a str,
    pub(crate) output: &'a str,
    pub(crate) workload: Workload,
    /// None where health is asked for.
    pub(crate) windows: Option<Windows>,
    /// A folder of its own, which is removed afterwards.
    pub(crate) folder: &'a Path,
    /// The heap that JVMs may grow to.
    pub(crate) heap: &'a str,
    /// Whether the topic goes on: nobody ends by himself then.
    pub(crate) lives: bool,
    /// The address of our gRPC.
    pub(crate) listen: &'a str,
    /// Our configuration, with the words that the task replaces.
    pub(crate) configuration: &'a str,
}

/// The command that starts a system on a task.
pub(crate) fn command(system: &System, task: &Task<'_>) -> Result<Command, Failure> {
    match system.kind {
        Kind::Ours(other) => ours(task, other),
        Kind::Drain(way) => {
            let mut command = Command::new(beside("drain")?);
            command.args([way, task.brokers, task.input]);
            Ok(command)
        }
        Kind::Rules(_) => Err(Failure(format!("{} evaluates rules, and is there for health alone", system.name))),
        Kind::Java(module, main, choices) => java(module, main, choices, task),
    }
}

fn ours(task: &Task<'_>, other: &[(&str, &str)]) -> Result<Command, Failure> {
    let path = task.folder.join("configuration.yaml");
    let mut text = configuration(task, other)?;
    if task.workload.groups > 0 {
        text.push_str(&checks(task)?);
    }
    fs::write(&path, text).map_err(|e| Failure::at(path.display(), e))?;
    let mut command = Command::new(beside("vitalsign")?);
    command.arg("run").arg(&path).arg("--store").arg(task.folder.join("store"));
    command.args(["--listen", task.listen]);
    Ok(command)
}

/// The configuration as it lies in `configurations/`, with the topics and the broker of this run.
fn configuration(task: &Task<'_>, other: &[(&str, &str)]) -> Result<String, Failure> {
    let path = folder().join("throughput/configurations").join(task.configuration);
    let mut text = fs::read_to_string(&path).map_err(|e| Failure::at(path.display(), e))?;
    let (topic, results) = (format!("topics: [{}]", task.input), format!("topic: {}", task.output));
    let mut words =
        vec![("localhost:9092", task.brokers), ("topics: [readings]", &topic), ("topic: results", &results)];
    words.extend(other);
    let sliding = task.windows.filter(|windows| windows.slide_s < windows.width_s || windows.percentile);
    let sliding = sliding.map(|of| format!("sliding {}s every {}s", of.width_s, of.slide_s));
    words.extend(sliding.iter().map(|window| ("sliding 1m every 10s", &**window)));
    for (word, with) in words {
        if !text.contains(word) {
            return Err(Failure(format!("{}: `{word}` is not in it, which a run replaces", path.display())));
        }
        text = text.replace(word, with);
    }
    Ok(text)
}

/// A check function for each group, in the folder beside the configuration, and its check.
fn checks(task: &Task<'_>) -> Result<String, Failure> {
    let functions = task.folder.join("functions");
    fs::create_dir(&functions).map_err(|e| Failure::at(functions.display(), e))?;
    let mut checks = String::from("\nchecks:\n");
    for number in 0..task.workload.groups {
        let (name, limit) = (group(number), limit(number));
        let path = functions.join(format!("{name}.rhai"));
        let text = FUNCTION.replace("GROUP", &name).replace("LIMIT", &limit.to_string());
        fs::write(&path, text).map_err(|e| Failure::at(path.display(), e))?;
        let _ = writeln!(
            checks,
            "  too much in {name}:\n    on: {{ type: sensor, labels: {{ group: {name} }} }}\n    function: {name}\n    \
             arguments: {{ metric: {{ stream: power, window: batching 10s, downsample: average }} }}"
        );
    }
    Ok(checks)
}

const FUNCTION: &str = "//! Too much for a sensor of group GROUP.

parameters(#{ metric: metric(\"the power\") });

fn check(p) {
    let value = p.metric.value;
    if value >= LIMIT.0 { return critical(`${value.brief()} W, at or above LIMIT W`); }
    clear(`${value.brief()} W`)
}
";

fn java(module: &str, main: &str, choices: &[&str], task: &Task<'_>) -> Result<Command, Failure> {
    let Some(windows) = task.windows else {
        return Err(Failure(format!("there is no program for {module} that tells health; leave it out of --systems")));
    };
    let target = folder().join("peers").join(module).join("target");
    let jar = target.join(format!("{module}-1.jar"));
    if !jar.is_file() {
        let peers = folder().join("peers/pom.xml");
        return Err(Failure(format!(
            "{} is not there; `mvn -q -f {} package` builds it",
            jar.display(),
            peers.display()
        )));
    }
    let Task { brokers, id, input, output, workload, folder, heap, .. } = task;
    let mut command = Command::new("java");
    command.args([&format!("-Xmx{heap}"), "-XX:+UseParallelGC"]);
    // Flink reaches into these.
    command.args(["util", "lang", "nio"].map(|package| format!("--add-opens=java.base/java.{package}=ALL-UNNAMED")));
    command.arg("-cp").arg(format!("{}:{}/lib/*", jar.display(), target.display())).arg(main).args(choices);
    if module == FLINK.0 {
        command.arg(format!("bounded={}", !task.lives));
    }
    command.arg(format!("brokers={brokers}"));
    command.arg(format!("id={id}"));
    command.arg(format!("in={input}"));
    command.arg(format!("out={output}"));
    command.arg(format!("width_ms={}", windows.width_s * 1000));
    command.arg(format!("slide_ms={}", windows.slide_s * 1000));
    command.arg(format!("lateness_ms={}", LATENESS_S * 1000));
    command.arg(format!("records={}", workload.records()));
    command.arg(format!("percentile={}", windows.percentile));
    command.arg(format!("state={}", folder.display()));
    Ok(command)
}

/// A program of this workspace, which lies where this one does.
fn beside(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(|e| Failure::at("the running program", e))?;
    let path = own.with_file_name(name);
    match path.is_file() {
        true => Ok(path),
        false => Err(Failure(format!("{} is not there; `cargo xtask bench` builds it", path.display()))),
    }
}

/// `benches/` of this repository.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(1).map_or_else(PathBuf::new, Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn systems_are_found_by_name() {
        let found = named("ours, flink").expect("there are such");
        assert_eq!(found.iter().map(|system| system.name).collect::<Vec<_>>(), ["ours", "flink"]);
        assert!(named("spark").expect_err("there is none").to_string().contains("streams-eos"));
    }
}
