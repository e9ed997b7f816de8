//! What a function wants to be given: named parameters, each of a kind.

use model::{Span, State, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// One parameter of a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name, unique within the function.
    pub name: Arc<str>,
    /// What it takes.
    pub kind: ParameterKind,
    /// What it means, in the script's words.
    pub description: String,
    /// Whether the script asks its points for their baseline, deviation or score, so that its input must have one.
    pub reads_baseline: bool,
    /// What it holds where a check gives no argument; `Value::Nothing` where it may stay empty. None where a
    /// check must give one.
    pub default: Option<Value>,
}

/// What a parameter takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// The newest point of a metric stream.
    Metric,
    /// The newest points of a metric stream.
    Series,
    /// The events of a window, or one event.
    Events,
    /// A number.
    Number,
    /// A length of time.
    Duration,
    /// A text.
    Text,
    /// True or false.
    Boolean,
    /// A health state.
    State,
    /// Several of a kind: of metrics, the newest points of all instances that agree; else literals.
    List(Box<ParameterKind>),
    /// Several of a kind by name: of metrics, by the labels that tell the instances apart; else literals.
    Table(Box<ParameterKind>),
}

impl ParameterKind {
    /// `metric`, `list of number`.
    pub fn name(&self) -> String {
        self.to_string()
    }

    /// Whether its argument is a stream; else it is a literal or a label.
    pub fn reads_stream(&self) -> bool {
        match self {
            ParameterKind::Metric | ParameterKind::Series | ParameterKind::Events => true,
            ParameterKind::List(of) | ParameterKind::Table(of) => of.reads_stream(),
            _ => false,
        }
    }

    /// Whether it holds points, which may have a baseline.
    pub fn reads_points(&self) -> bool {
        self.reads_stream() && *self != ParameterKind::Events
    }

    /// Checks a literal and brings it to this kind: a text such as `1h` becomes a duration, one such as
    /// `critical` a state, one such as `1.5` a number. The error says what was found and what is wanted.
    pub fn accept(&self, value: &Value) -> Result<Value, String> {
        let found = match (self, value) {
            (ParameterKind::Number, Value::Number(number)) if number.is_finite() => return Ok(value.clone()),
            (ParameterKind::Duration, Value::Duration(_))
            | (ParameterKind::Text, Value::Text(_))
            | (ParameterKind::Boolean, Value::Boolean(_))
            | (ParameterKind::State, Value::State(_)) => return Ok(value.clone()),
            (ParameterKind::Number, Value::Text(text)) => {
                if let Some(number) = text.trim().parse::<f64>().ok().filter(|number| number.is_finite()) {
                    return Ok(Value::Number(number));
                }
                format!("`{text}`")
            }
            (ParameterKind::Duration, Value::Text(text)) => return text.parse::<Span>().map(Value::Duration),
            (ParameterKind::State, Value::Text(text)) => return text.parse::<State>().map(Value::State),
            (ParameterKind::Boolean, Value::Text(text)) => match &**text {
                "true" => return Ok(Value::Boolean(true)),
                "false" => return Ok(Value::Boolean(false)),
                _ => format!("`{text}`"),
            },
            (ParameterKind::List(of), Value::List(values)) if !self.reads_stream() => {
                let accepted = values
                    .iter()
                    .enumerate()
                    .map(|(place, value)| of.accept(value).map_err(|error| format!("entry {}: {error}", place + 1)));
                return accepted.collect::<Result<Vec<_>, _>>().map(Value::List);
            }
            (ParameterKind::Table(of), Value::Table(values)) if !self.reads_stream() => {
                let accepted = values.iter().map(|(name, value)| match of.accept(value) {
                    Ok(value) => Ok((name.clone(), value)),
                    Err(error) => Err(format!("`{name}`: {error}")),
                });
                return accepted.collect::<Result<BTreeMap<_, _>, _>>().map(Value::Table);
            }
            (_, Value::Text(text)) => format!("the text `{text}`"),
            (_, Value::Number(number)) => format!("the number {number}"),
            (_, Value::Duration(span)) => format!("the duration {span}"),
            (_, Value::State(state)) => format!("the state {state}"),
            (_, Value::Boolean(boolean)) => format!("`{boolean}`"),
            (_, other) => format!("a {}", other.kind()),
        };
        Err(format!("{found} found, {} wanted", self.wanted()))
    }

    /// The kind with its article, and an example where one helps.
    fn wanted(&self) -> String {
        match self {
            ParameterKind::Metric | ParameterKind::Series => "a metric stream".to_owned(),
            ParameterKind::Events => "an event stream".to_owned(),
            ParameterKind::Duration => "a duration such as 30s or 1h30m".to_owned(),
            ParameterKind::Boolean => "true or false".to_owned(),
            ParameterKind::State => "a state: clear, deviating, critical or unknown".to_owned(),
            ParameterKind::List(of) | ParameterKind::Table(of) if of.reads_stream() => of.wanted(),
            _ => format!("a {self}"),
        }
    }
}

impl fmt::Display for ParameterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParameterKind::Metric => "metric",
            ParameterKind::Series => "series",
            ParameterKind::Events => "events",
            ParameterKind::Number => "number",
            ParameterKind::Duration => "duration",
            ParameterKind::Text => "text",
            ParameterKind::Boolean => "boolean",
            ParameterKind::State => "state",
            ParameterKind::List(of) => return write!(f, "list of {of}"),
            ParameterKind::Table(of) => return write!(f, "table of {of}"),
        })
    }
}
