//! Values of arguments and of what scripts hand back: JSON's, and durations and states beside them.

use crate::{Span, State};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A value that a script gets or gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Nothing,
    /// True or false.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// A length of time.
    Duration(Span),
    /// A health state.
    State(State),
    /// A text.
    Text(Arc<str>),
    /// Values in order.
    List(Vec<Value>),
    /// Values by name.
    Table(BTreeMap<Arc<str>, Value>),
}

/// As a configuration would write it, texts without quotes.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nothing => f.write_str("none"),
            Value::Boolean(boolean) => write!(f, "{boolean}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Duration(span) => write!(f, "{span}"),
            Value::State(state) => write!(f, "{state}"),
            Value::Text(text) => f.write_str(text),
            Value::List(values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", values.join(", "))
            }
            Value::Table(values) => {
                let values: Vec<String> = values.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                write!(f, "{{{}}}", values.join(", "))
            }
        }
    }
}

impl Value {
    /// What kind of value it is, as messages name it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Value::Nothing => "nothing",
            Value::Boolean(_) => "boolean",
            Value::Number(_) => "number",
            Value::Duration(_) => "duration",
            Value::State(_) => "state",
            Value::Text(_) => "text",
            Value::List(_) => "list",
            Value::Table(_) => "table",
        }
    }
}
