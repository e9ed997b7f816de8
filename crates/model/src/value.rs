//! Values of arguments and of what scripts hand back: JSON's, and durations and states beside them.

use crate::{Span, State};
use std::collections::BTreeMap;
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
