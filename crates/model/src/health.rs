//! The four health states and how severe they are.

use std::fmt;
use std::str::FromStr;

/// How healthy something is. The order is that of severity: `Unknown < Clear < Deviating < Critical`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nothing is known.
    #[default]
    Unknown,
    /// All is well.
    Clear,
    /// Something is off.
    Deviating,
    /// Something is broken.
    Critical,
}

impl State {
    /// All states, the least severe first.
    pub const ALL: [State; 4] = [State::Unknown, State::Clear, State::Deviating, State::Critical];

    /// The name as it is printed: `CLEAR`, `DEVIATING`, `CRITICAL`, `UNKNOWN`.
    pub const fn name(self) -> &'static str {
        match self {
            State::Unknown => "UNKNOWN",
            State::Clear => "CLEAR",
            State::Deviating => "DEVIATING",
            State::Critical => "CRITICAL",
        }
    }

    /// Whether it flows on to what depends on this: only DEVIATING and CRITICAL do.
    pub const fn propagates(self) -> bool {
        matches!(self, State::Deviating | State::Critical)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Reads a name in any case.
impl FromStr for State {
    type Err = String;
    fn from_str(text: &str) -> Result<State, String> {
        State::ALL
            .into_iter()
            .find(|state| state.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("`{text}` is none of clear, deviating, critical, unknown"))
    }
}
