//! `vitalsign test`: runs golden scenarios.

use crate::Failure;
use crate::setup::{files_at, folder_of, is_scenario, read, scripts};
use clap::Args;
use std::path::PathBuf;

/// Run scenarios: what is measured, and which transitions must come of it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vitalsign test                               the scenarios of the shipped functions
  vitalsign test functions                     all *.scenario.yaml in a folder
  vitalsign test functions/queue.scenario.yaml

Functions (*.rhai) that lie beside a file of scenarios can be named in it. Exit code 1 where a scenario comes to
something else than it expects.")]
pub(crate) struct Arguments {
    /// Files of scenarios, or folders of *.scenario.yaml. Without any: those of the shipped functions.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Folders of further functions (*.rhai).
    #[arg(long, value_name = "DIR")]
    functions: Vec<PathBuf>,
}

macro_rules! shipped {
    ($($name:literal),*) => {
        [$((
            concat!("check-functions/", $name, ".scenario.yaml"),
            include_str!(concat!("../../../check-functions/", $name, ".scenario.yaml")),
        )),*]
    };
}

/// The scenarios of the functions that come with Vitalsign.
const SHIPPED: [(&str, &str); 14] = shipped!(
    "absence",
    "compare_instances",
    "deviation_from_baseline",
    "error_ratio",
    "event_pattern",
    "event_state",
    "ewma",
    "holt_winters",
    "min_max",
    "novelty",
    "percentile_band",
    "seasonal_median",
    "threshold",
    "time_until_limit"
);

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut reports = Vec::new();
    if arguments.paths.is_empty() {
        for (path, text) in SHIPPED {
            reports.push(report(text, path, scripts(&arguments.functions)?)?);
        }
    }
    for path in &arguments.paths {
        for file in files_at(path, &is_scenario, "*.scenario.yaml")? {
            let mut folders = vec![folder_of(&file)];
            folders.extend(arguments.functions.iter().cloned());
            reports.push(report(&read(&file)?, &file.display().to_string(), scripts(&folders)?)?);
        }
    }
    reports.iter().for_each(|report| print!("{report}"));
    let cases = || reports.iter().flat_map(|report| &report.cases);
    let failed = cases().filter(|case| !case.passed).count();
    println!("{} scenarios, {failed} failed", cases().count());
    if failed > 0 { Err(Failure::Failed(String::new())) } else { Ok(()) }
}

fn report(text: &str, path: &str, scripts: Vec<functions::Script>) -> Result<scenario::Report, Failure> {
    scenario::run(text, path, scripts).map_err(|error| Failure::Usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_function_has_its_scenarios_here() {
        let functions = functions::shipped();
        let wanted: Vec<String> =
            functions.iter().map(|script| script.path.replace(".rhai", ".scenario.yaml")).collect();
        assert_eq!(SHIPPED.map(|(path, _)| path.to_owned()).to_vec(), wanted);
    }
}
