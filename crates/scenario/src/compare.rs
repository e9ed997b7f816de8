//! What was expected beside what came, line by line.

use crate::notation::Expected;
use crate::text::START;
use model::transition::Health;
use model::{Element, Span, State, Transition};
use std::fmt;

/// What came of the scenarios of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The file's path.
    pub path: String,
    /// One for each scenario, by name.
    pub cases: Vec<Case>,
}

/// What came of one scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The scenario's name.
    pub name: String,
    /// Whether everything that was expected came, and nothing else.
    pub passed: bool,
    /// Transitions, by time and element: with a blank before it what was expected and came, with `-` what did not
    /// come, with `+` what came unexpected.
    pub lines: Vec<String>,
}

impl Report {
    /// Whether all scenarios came to what they expect.
    pub fn passed(&self) -> bool {
        self.cases.iter().all(|case| case.passed)
    }
}

/// One line for each scenario that passed; for others also its transitions.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.cases {
            writeln!(f, "{} {}: {}", if case.passed { "ok    " } else { "FAILED" }, self.path, case.name)?;
            if !case.passed {
                writeln!(f, "    - expected, + came")?;
                for line in &case.lines {
                    writeln!(f, "    {line}")?;
                }
            }
        }
        Ok(())
    }
}

/// What two transitions are compared by.
type Key = (Span, Element, Health, State);

pub(crate) fn compare(name: String, expected: &[Expected], transitions: &[Transition]) -> Case {
    let propagated = expected.iter().any(|expected| expected.health == Health::Propagated);
    let mut came: Vec<(Key, &str)> = transitions
        .iter()
        .filter(|transition| propagated || transition.health == Health::Own)
        .map(|it| ((it.time - START, it.element.clone(), it.health, it.to), &*it.message))
        .collect();
    let mut lines: Vec<(Key, char, &str)> = Vec::new();
    for expected in expected {
        let key = (expected.at, expected.element.clone(), expected.health, expected.to);
        let found = came.iter().position(|(other, message)| *other == key && message.contains(&expected.message));
        match found {
            Some(place) => lines.push((key, ' ', came.remove(place).1)),
            None => lines.push((key, '-', &expected.message)),
        }
    }
    lines.extend(came.into_iter().map(|(key, message)| (key, '+', message)));
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    let passed = lines.iter().all(|line| line.1 == ' ');
    let print = |((at, element, health, to), sign, message): &(Key, char, &str)| {
        let health = if *health == Health::Own { "" } else { " propagated" };
        let message = if message.is_empty() { String::new() } else { format!(" \"{message}\"") };
        format!("{sign} {at} {element}{health} {to}{message}")
    };
    Case { name, passed, lines: lines.iter().map(print).collect() }
}
