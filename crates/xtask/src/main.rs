//! The tasks of this repository, `cargo xtask TASK`: they find what a machine lacks, say how long a first build
//! takes, and call cargo so that whatever is built is built once.

mod build;
mod needs;

use std::env;
use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask TASK

  demo [ARGS]          runs a small shop that breaks, and watches it; ARGS are those of `vitalsign demo`
  test [ARGS]          runs all tests and the scenarios of the shipped functions; ARGS are those of `cargo test`
  run -- ARGS          runs `vitalsign ARGS`
  lint                 checks format and lints; a warning is an error
  soak [--kills N]     runs the crash test with N kills (1000), which takes hours
  bench WORKLOAD ..    measures what an event costs, and what it costs others; `bench --help` tells the workloads
  guard [--update]     counts instructions, stage by stage, beside those of the last change; needs valgrind
  reference            writes the generated reference to crates/cli/reference/

What a build needs and the machine lacks is installed with apt-get where this user may, or named.
";

/// Ends with the exit code of what was run; 2 where something is missing or the command line is wrong.
fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (task, rest) = match arguments.split_first() {
        Some((task, rest)) => (task.as_str(), rest),
        None => ("help", &[][..]),
    };
    let outcome = match task {
        "demo" => demo(rest),
        "test" => test(rest),
        "run" => run(rest),
        "lint" => lint(rest),
        "soak" => soak(rest),
        "bench" => bench(rest),
        "guard" => guard(rest),
        "reference" => reference(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        _ => Err(Failure::usage(format!("`{task}` is no task"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { message, code }) => {
            if !message.is_empty() {
                eprintln!("xtask: {message}");
            }
            ExitCode::from(code)
        }
    }
}

/// Why a task did not come to its end.
struct Failure {
    /// What to tell; empty where a command has told it already.
    message: String,
    code: u8,
}

impl Failure {
    fn usage(message: String) -> Failure {
        Failure { message: format!("{message}\n\n{HELP}"), code: 2 }
    }

    /// The machine lacks something: its user must act before anything can go on.
    fn missing(message: String) -> Failure {
        Failure { message, code: 2 }
    }
}

fn demo(arguments: &[String]) -> Result<(), Failure> {
    needs::meet(needs::BUILD)?;
    build::announce();
    Err(build::become_vitalsign(["demo"].into_iter().chain(arguments.iter().map(String::as_str))))
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    needs::meet(needs::BUILD)?;
    build::announce();
    let arguments = arguments.iter().map(String::as_str).skip_while(|argument| *argument == "--");
    Err(build::become_vitalsign(arguments))
}

fn test(arguments: &[String]) -> Result<(), Failure> {
    needs::meet(of_tests())?;
    build::announce();
    build::cargo(["test", "--workspace"].into_iter().chain(arguments.iter().map(String::as_str)), &[])?;
    if arguments.is_empty() { build::scenarios() } else { Ok(()) }
}

fn lint(arguments: &[String]) -> Result<(), Failure> {
    none(arguments)?;
    needs::meet(needs::BUILD)?;
    needs::component("rustfmt", "fmt")?;
    needs::component("clippy", "clippy")?;
    build::cargo(["fmt", "--all", "--check"], &[])?;
    build::announce();
    build::cargo(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"], &[])
}

fn soak(arguments: &[String]) -> Result<(), Failure> {
    let kills = match arguments {
        [] => "1000",
        [option, kills] if option == "--kills" && kills.parse::<u32>().is_ok_and(|kills| kills > 0) => kills,
        _ => return Err(Failure::usage(format!("soak takes `--kills N`, not `{}`", arguments.join(" ")))),
    };
    needs::meet(of_tests())?;
    build::announce();
    let command = ["test", "--package", "cli", "--test", "crash", "--", "--include-ignored", "--nocapture"];
    build::cargo(command, &[("VITALSIGN_KILLS", kills)])
}

/// What is measured is compiled as a release would be, and the peers by Maven; the rest is the runner's.
fn bench(arguments: &[String]) -> Result<(), Failure> {
    needs::meet(needs::BUILD.iter().chain(needs::BROKER))?;
    build::announce();
    build::cargo(["build", "--config", ".cargo/measured.toml", "-p", "cli", "-p", "throughput", "-p", "drain"], &[])?;
    build::maven("benches/peers/pom.xml")?;
    Err(build::become_beside("throughput", arguments))
}

/// Counts are compared with those of the last change, so they are made of what is measured.
fn guard(arguments: &[String]) -> Result<(), Failure> {
    needs::meet(needs::BUILD)?;
    build::announce();
    build::cargo(["build", "--config", ".cargo/measured.toml", "-p", "cli", "-p", "guard"], &[])?;
    Err(build::become_beside("guard", arguments))
}

fn reference(arguments: &[String]) -> Result<(), Failure> {
    none(arguments)?;
    needs::meet(needs::BUILD)?;
    build::announce();
    build::cargo(["test", "--package", "cli", "--test", "reference"], &[("UPDATE", "1")])
}

/// Who names a broker needs none to be fetched and started.
fn of_tests() -> impl Iterator<Item = &'static needs::Need> {
    let broker = if env::var_os("VITALSIGN_TEST_BROKERS").is_none() { needs::BROKER } else { &[] };
    needs::BUILD.iter().chain(broker)
}

fn none(arguments: &[String]) -> Result<(), Failure> {
    match arguments {
        [] => Ok(()),
        _ => Err(Failure::usage(format!("`{}` means nothing here", arguments.join(" ")))),
    }
}
