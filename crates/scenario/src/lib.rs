//! Golden scenarios: what is measured, and which transitions must come of it. `vitalsign test` runs them.
//!
//! A file holds one configuration and any number of scenarios for it:
//!
//! ```yaml
#![doc = include_str!("../tests/example.scenario.yaml")]
//! ```
//!
//! Two sources are there without being written: `samples` and `events`. Their records are JSON and take the way of
//! all records. All times are since the start, 2026-01-01T00:00:00Z.
//!
//! The values of a series are written as `promtool` has them, one each `every`, the first at `from` (0s):
//! `3` is a value, `_` is none, `1+2x3` is `1 3 5 7`, `9-2x2` is `9 7 5`, `4x2` is `4 4 4`, `_x3` is `_ _ _`.
//! Beyond that, `(1 2)x2` is `1 2 1 2 1 2`: what stands in parentheses, and twice again; groups may hold groups.
//!
//! Time ends with `until`, or where it is not written with the last slot of a series, the last event and the last
//! expected transition. All transitions of own health must be listed; those of propagated health once one is.

mod compare;
mod drive;
mod notation;
mod text;
pub mod truth;

pub use compare::{Case, Report};

use functions::Script;

/// Why scenarios could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not what a file of scenarios is.
    #[error("{path}: {message}")]
    Text {
        /// The file's path.
        path: String,
        /// What was found and what is wanted.
        message: String,
    },
    /// The configuration in it is wrong.
    #[error(transparent)]
    Configuration(#[from] config::Errors),
}

/// Runs all scenarios of a file. `scripts` are the user's functions, beside those that are shipped.
///
/// # Errors
///
/// Where the file cannot be read as scenarios, or its configuration is wrong. A scenario that comes to something
/// else than it expects is no error, but stands in the report.
pub fn run(text: &str, path: &str, scripts: Vec<Script>) -> Result<Report, Error> {
    let file = text::read(text).map_err(|message| Error::Text { path: path.to_owned(), message })?;
    let files = [
        config::File { path: path.to_owned(), text: file.configuration },
        config::File { path: "sources of scenarios".to_owned(), text: text::SOURCES.to_owned() },
    ];
    let nothing = |_: &str| None;
    let no_file = |_: &str| Err(std::io::Error::other("a scenario reads no files"));
    let settings = config::load(&files, scripts, &nothing, &no_file)?;
    let run_one = |scenario: text::Scenario| {
        let transitions = drive::drive(&settings, &scenario.records, text::START, scenario.until);
        compare::compare(scenario.name, &scenario.expected, &transitions)
    };
    Ok(Report { path: path.to_owned(), cases: file.scenarios.into_iter().map(run_one).collect() })
}
