//! Calling cargo. Everything is built in one profile and, as `tests/tidy` holds, with the same features whichever
//! package is asked for: RocksDB and librdkafka are compiled once for the demo, the binary and the tests.

use crate::Failure;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What costs minutes: the name of the built file begins like this. Measured on two cores.
const HEAVY: [(&str, &str); 2] =
    [("liblibrocksdb_sys-", "RocksDB, 17 minutes"), ("librdkafka_sys-", "librdkafka, 2 minutes")];

/// Says what the build will cost, where it has not been paid yet.
pub(crate) fn announce() {
    let built =
        env::current_exe().ok().and_then(|program| names_in(&program.parent()?.join("deps"))).unwrap_or_default();
    let is_built = |start: &str| built.iter().any(|name| name.starts_with(start) && name.ends_with(".rlib"));
    let missing: Vec<&str> = HEAVY.iter().filter(|(start, _)| !is_built(start)).map(|(_, what)| *what).collect();
    if !missing.is_empty() {
        eprintln!(
            "xtask: this is a first build. On two cores it takes about 26 minutes, {} among them; more cores shorten \
             it. It is done once: demo, run and tests share it.",
            missing.join(" and ")
        );
    }
}

/// Runs cargo at the root with these arguments and variables; its exit code where it fails.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>, set: &[(&str, &str)]) -> Result<(), Failure> {
    let mut command = Command::new(program());
    command.args(arguments).envs(set.iter().copied()).current_dir(root());
    status(command)
}

/// Runs the scenarios of all shipped functions through the built program.
pub(crate) fn scenarios() -> Result<(), Failure> {
    let mut command = vitalsign();
    command.arg("test");
    status(command)
}

/// Builds the program and becomes it, so that signals reach it. Comes back only with the reason why it could not.
pub(crate) fn become_vitalsign<'a>(arguments: impl Iterator<Item = &'a str>) -> Failure {
    let error = vitalsign().args(arguments).exec();
    Failure::missing(format!("cannot start cargo: {error}"))
}

/// Builds a Maven project.
pub(crate) fn maven(project: &str) -> Result<(), Failure> {
    let mut command = Command::new("mvn");
    command.args(["--quiet", "--batch-mode", "--file", project, "package"]).current_dir(root());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::missing(format!(
            "Maven could not build {project}: {status}; it fetches from Maven Central, through the settings in ~/.m2"
        ))),
        Err(error) => Err(Failure::missing(format!("cannot start mvn: {error}"))),
    }
}

/// Becomes another program of this workspace, which has been built. Comes back only with the reason why it could not.
pub(crate) fn become_beside(name: &str, arguments: &[String]) -> Failure {
    let path = env::current_exe().map(|own| own.with_file_name(name));
    let error = path.map_or_else(|error| error, |path| Command::new(path).args(arguments).exec());
    Failure::missing(format!("cannot start {name}: {error}"))
}

fn vitalsign() -> Command {
    let mut command = Command::new(program());
    // The manifest is named so that paths in the arguments stay those of the caller's folder.
    command.args(["run", "--quiet", "--package", "cli", "--bin", "vitalsign", "--manifest-path"]);
    command.arg(root().join("Cargo.toml")).arg("--");
    command
}

fn status(mut command: Command) -> Result<(), Failure> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
            Err(Failure { message: String::new(), code })
        }
        Err(error) => Err(Failure::missing(format!("cannot start cargo: {error}"))),
    }
}

fn program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn names_in(folder: &Path) -> Option<Vec<String>> {
    let entries = fs::read_dir(folder).ok()?;
    Some(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}
