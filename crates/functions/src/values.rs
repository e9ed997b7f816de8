//! Durations, times, states, elements and answers as scripts see them, and values on their way in and out.

use crate::host::{STRING_BYTES, error, shortened};
use crate::{arguments, baseline, batches, events, series};
use model::{Element, Span, State, Time, Value};
use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map, Module, Position};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A duration that does not end. It prints `never`, stays what it is in sums, and is longer than any other.
pub(crate) const NEVER: Span = Span::from_nanos(i64::MAX);

/// How deep values may nest on their way out; what lies deeper is printed as text.
const DEPTH: usize = 16;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// What `clear()`, `deviating(..)`, `critical(..)` and `unknown(..)` make, and a check function gives back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The state.
    pub(crate) state: State,
    /// Why.
    pub(crate) message: ImmutableString,
    /// More about it.
    pub(crate) detail: ImmutableString,
    /// For how long it holds.
    pub(crate) expires: Option<Span>,
    /// What to keep in evidence.
    pub(crate) data: Dynamic,
}

/// What this module offers to scripts: as written there, and what it means.
pub(crate) const REFERENCE: &[(&str, &str)] = &[
    ("clear()", "all is well; `clear(message)` says why"),
    ("deviating(message)", "something is off"),
    ("critical(message)", "something is broken"),
    ("unknown(message)", "nothing can be said"),
    (
        "critical(message, #{ detail: .., expires: .., data: .. })",
        "for each of the four: `detail` is a longer text, after the duration `expires` without a further answer \
         the state becomes UNKNOWN, `data` is kept in evidence. `clear(#{ .. })` needs no message",
    ),
    ("health(state, message)", "the answer for a state that the script has in hand"),
    ("CLEAR, DEVIATING, CRITICAL, UNKNOWN", "the states; ordered UNKNOWN < CLEAR < DEVIATING < CRITICAL"),
    (
        "s.is_clear, s.is_deviating, s.is_critical, s.is_unknown",
        "whether a state is this; closures cannot use its name",
    ),
    ("worst(a, b)", "the more severe of two states"),
    ("duration(\"1h30m\")", "a duration"),
    ("d.seconds, d.minutes, d.hours", "a duration as a number"),
    ("d + d, d - d, d * 2, d / 4, d / d, -d", "arithmetic of durations; the ratio of two is a number"),
    ("d.is_never", "whether it does not end, as `time_until` may answer; such a duration is longer than any other"),
    ("t - t, t + d, t - d", "arithmetic of times; the difference of two is a duration"),
    ("x.brief()", "a number as people read it: at most four digits where it has decimals"),
    ("text.trimmed()", "a text without blanks at its ends (Rhai's `trim` changes the text itself)"),
    ("element.name, element.kind", "the element's name, and `component` or `relation`"),
    ("element.from, element.to", "the names of the two ends of a relation; `()` for a component"),
];

/// Registers the types and functions of this module.
pub(crate) fn register(engine: &mut Engine) {
    register_numbers(engine);
    register_states_and_answers(engine);
    register_arrays_and_maps(engine);
    register_durations(engine);
    register_times(engine);
    engine
        .register_type_with_name::<Element>("element")
        .register_get("name", |element: &mut Element| element.to_string())
        .register_get("kind", |element: &mut Element| match element {
            Element::Component(_) => "component",
            Element::Relation { .. } => "relation",
        })
        .register_get("from", |element: &mut Element| match element {
            Element::Component(_) => Dynamic::UNIT,
            Element::Relation { from, .. } => from.as_ref().into(),
        })
        .register_get("to", |element: &mut Element| match element {
            Element::Component(_) => Dynamic::UNIT,
            Element::Relation { to, .. } => to.as_ref().into(),
        })
        .register_fn("==", |element: Element, name: ImmutableString| element.to_string() == *name)
        .register_fn("!=", |element: Element, name: ImmutableString| element.to_string() != *name)
        .register_fn("==", |a: Element, b: Element| a == b)
        .register_fn("!=", |a: Element, b: Element| a != b);
    printable(engine, Element::to_string);
    engine
        .register_fn("brief", |number: f64| brief(number))
        .register_fn("brief", |number: i64| number.to_string())
        .register_fn("replace", |text: &mut ImmutableString, found: &str, by: &str| replace(text, found, by))
        .register_fn("replace", |text: &mut ImmutableString, found: &str, by: char| {
            replace(text, found, by.encode_utf8(&mut [0; 4]))
        })
        .register_fn("replace", |text: &mut ImmutableString, found: char, by: &str| {
            replace(text, found.encode_utf8(&mut [0; 4]), by)
        })
        .register_fn("replace", |text: &mut ImmutableString, found: char, by: char| {
            replace(text, found.encode_utf8(&mut [0; 4]), by.encode_utf8(&mut [0; 4]))
        })
        .register_fn("trimmed", |text: &mut ImmutableString| ImmutableString::from(text.trim()));
}

/// Compares numbers in place of Rhai, which takes what is infinite for neither greater nor less than anything: a
/// value infinitely far from its baseline would reach no threshold.
fn register_numbers(engine: &mut Engine) {
    type Test = fn(Option<Ordering>) -> bool;
    let tests: [(&str, Test); 6] = [
        ("==", |order| order == Some(Ordering::Equal)),
        ("!=", |order| order != Some(Ordering::Equal)),
        ("<", |order| order == Some(Ordering::Less)),
        ("<=", |order| matches!(order, Some(Ordering::Less | Ordering::Equal))),
        (">", |order| order == Some(Ordering::Greater)),
        (">=", |order| matches!(order, Some(Ordering::Greater | Ordering::Equal))),
    ];
    for (operator, test) in tests {
        engine
            .register_fn(operator, move |a: f64, b: f64| test(order(a, b)))
            .register_fn(operator, move |a: f64, b: i64| test(order(a, b as f64)))
            .register_fn(operator, move |a: i64, b: f64| test(order(a as f64, b)));
    }
}

/// How two numbers compare. As in Rhai, finite ones that differ by no more than rounding are equal: by 2^-52 of the
/// greater one.
pub(crate) fn order(a: f64, b: f64) -> Option<Ordering> {
    let scale = if a * b == 0.0 { 1.0 } else { a.abs().max(b.abs()) };
    match (a - b).abs() / scale <= f64::EPSILON {
        true => Some(Ordering::Equal),
        false => a.partial_cmp(&b),
    }
}

/// In place of Rhai's `replace`, which looks at the size of what it made only when it is made: two strings
/// of the largest size can make one of four gigabytes.
fn replace(text: &mut ImmutableString, found: &str, by: &str) -> Result<()> {
    let growth = text.matches(found).count().saturating_mul(by.len().saturating_sub(found.len()));
    if text.len().saturating_add(growth) > STRING_BYTES {
        return Err(Box::new(EvalAltResult::ErrorDataTooLarge("Length of string".to_owned(), Position::NONE)));
    }
    *text = text.replace(found, by).into();
    Ok(())
}

/// Prints and compares arrays and maps in place of Rhai, whose way takes so much stack for each level that a
/// thousand levels overflow that of a thread. What lies deeper than `DEPTH` is not looked at.
fn register_arrays_and_maps(engine: &mut Engine) {
    for name in ["to_string", "to_debug", "print", "debug", "to_json"] {
        engine
            .register_fn(name, |values: &mut Map| literal(&to_value(&values.clone().into())))
            .register_fn(name, |values: &mut Array| literal(&to_value(&values.clone().into())));
    }
    engine
        .register_fn("==", |a: Map, b: Map| to_value(&a.into()) == to_value(&b.into()))
        .register_fn("!=", |a: Map, b: Map| to_value(&a.into()) != to_value(&b.into()))
        .register_fn("==", |a: Array, b: Array| to_value(&a.into()) == to_value(&b.into()))
        .register_fn("!=", |a: Array, b: Array| to_value(&a.into()) != to_value(&b.into()));
}

/// A value as JSON writes it; durations and states as texts.
fn literal(value: &Value) -> String {
    match value {
        Value::Nothing => "null".to_owned(),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Duration(span) => format!("\"{}\"", written(span)),
        Value::State(state) => format!("\"{state}\""),
        Value::Text(text) => serde_json::Value::from(text.as_ref()).to_string(),
        Value::List(values) => format!("[{}]", values.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Table(values) => {
            let entries = values
                .iter()
                .map(|(name, value)| format!("{}: {}", serde_json::Value::from(name.as_ref()), literal(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

fn register_states_and_answers(engine: &mut Engine) {
    let mut constants = Module::new();
    for state in State::ALL {
        constants.set_var(state.name(), state);
    }
    engine.register_global_module(constants.into());
    engine.register_type_with_name::<State>("state").register_fn("worst", |a: State, b: State| a.max(b));
    ordered::<State>(engine);
    printable(engine, |state: &State| state.name().to_owned());

    engine.register_type_with_name::<Answer>("answer");
    for state in [State::Clear, State::Deviating, State::Critical, State::Unknown] {
        let name = state.name().to_ascii_lowercase();
        engine
            .register_get(format!("is_{name}"), move |found: &mut State| *found == state)
            .register_fn(&name, move |message: ImmutableString| answer(state, message, Map::new()))
            .register_fn(&name, move |message: ImmutableString, more: Map| answer(state, message, more));
    }
    engine
        .register_fn("health", |state: State, message: ImmutableString| answer(state, message, Map::new()))
        .register_fn("health", answer)
        .register_fn("clear", || answer(State::Clear, ImmutableString::new(), Map::new()))
        .register_fn("clear", |more: Map| answer(State::Clear, ImmutableString::new(), more));
}

fn answer(state: State, message: ImmutableString, more: Map) -> Result<Answer> {
    let mut answer = Answer { state, message, detail: ImmutableString::new(), expires: None, data: Dynamic::UNIT };
    for (name, value) in more {
        let found = kind(&value);
        match name.as_str() {
            "detail" => {
                answer.detail = value
                    .into_immutable_string()
                    .map_err(|_| error(format!("`detail` is a {found}, a text is wanted")))?;
            }
            "expires" => {
                let span = value.try_cast::<Span>().filter(|span| *span > Span::ZERO);
                let span = span.ok_or_else(|| {
                    error(format!("`expires` is a {found}, a duration such as duration(\"5m\") is wanted"))
                })?;
                answer.expires = Some(span);
            }
            "data" => answer.data = value,
            other => return Err(error(format!("`{other}` is none of detail, expires, data"))),
        }
    }
    Ok(answer)
}

fn register_durations(engine: &mut Engine) {
    engine
        .register_type_with_name::<Span>("duration")
        .register_fn("duration", |text: ImmutableString| text.parse::<Span>().map_err(error))
        .register_fn("duration", |span: Span| span)
        .register_get("seconds", |span: &mut Span| span.as_secs_f64())
        .register_get("minutes", |span: &mut Span| span.as_secs_f64() / 60.0)
        .register_get("hours", |span: &mut Span| span.as_secs_f64() / 3600.0)
        .register_get("is_never", |span: &mut Span| *span == NEVER)
        .register_fn("+", |a: Span, b: Span| if a == NEVER || b == NEVER { NEVER } else { a + b })
        .register_fn("-", |a: Span, b: Span| if a == NEVER { NEVER } else { a - b })
        .register_fn("-", |a: Span| Span::ZERO - a)
        .register_fn("*", |span: Span, times: i64| scaled(span, times as f64))
        .register_fn("*", |times: i64, span: Span| scaled(span, times as f64))
        .register_fn("*", scaled)
        .register_fn("*", |times: f64, span: Span| scaled(span, times))
        .register_fn("/", |span: Span, by: i64| divided(span, by as f64))
        .register_fn("/", divided)
        .register_fn("/", |a: Span, b: Span| {
            if b == Span::ZERO {
                Err(error("division by a duration of zero"))
            } else {
                Ok(a.as_secs_f64() / b.as_secs_f64())
            }
        });
    ordered::<Span>(engine);
    printable(engine, written);
}

fn written(span: &Span) -> String {
    if *span == NEVER { "never".to_owned() } else { span.to_string() }
}

fn scaled(span: Span, times: f64) -> Result<Span> {
    match times {
        _ if times.is_nan() => Err(error("a duration times NaN")),
        _ if span == NEVER && times > 0.0 => Ok(NEVER),
        // The cast stays at the end of the range where the product leaves it.
        _ => Ok(Span::from_nanos((span.nanos() as f64 * times).round() as i64)),
    }
}

fn divided(span: Span, by: f64) -> Result<Span> {
    match by {
        0.0 => Err(error("division of a duration by zero")),
        _ if span == NEVER && by > 0.0 => Ok(NEVER),
        _ if by.is_nan() => Err(error("a duration divided by NaN")),
        _ => Ok(Span::from_nanos((span.nanos() as f64 / by).round() as i64)),
    }
}

fn register_times(engine: &mut Engine) {
    engine
        .register_type_with_name::<Time>("time")
        .register_fn("-", |a: Time, b: Time| a - b)
        .register_fn("-", |time: Time, span: Span| time - span)
        .register_fn("+", |time: Time, span: Span| time + span)
        .register_fn("+", |span: Span, time: Time| time + span);
    ordered::<Time>(engine);
    printable(engine, Time::to_string);
}

/// Comparisons of a type with itself; with anything else they are errors.
fn ordered<T: Clone + Ord + Send + Sync + 'static>(engine: &mut Engine) {
    engine
        .register_fn("==", |a: T, b: T| a == b)
        .register_fn("!=", |a: T, b: T| a != b)
        .register_fn("<", |a: T, b: T| a < b)
        .register_fn("<=", |a: T, b: T| a <= b)
        .register_fn(">", |a: T, b: T| a > b)
        .register_fn(">=", |a: T, b: T| a >= b);
    incomparable::<T>(engine, "");
}

/// Makes comparisons with other types errors: Rhai takes them for false, and a threshold that compares a
/// point instead of its value would never be reached. Only nothing may be told apart from something.
pub(crate) fn incomparable<T: Clone + Send + Sync + 'static>(engine: &mut Engine, advice: &'static str) {
    for operator in ["==", "!=", "<", "<=", ">", ">="] {
        let compare = move |a: Dynamic, b: Dynamic| -> Result<bool> {
            if (a.is_unit() || b.is_unit()) && matches!(operator, "==" | "!=") {
                return Ok(operator == "!=");
            }
            Err(error(format!("a {} cannot be compared with a {}{advice}", kind(&a), kind(&b))))
        };
        engine
            .register_fn(operator, move |a: T, b: Dynamic| compare(Dynamic::from(a), b))
            .register_fn(operator, move |a: Dynamic, b: T| compare(a, Dynamic::from(b)));
    }
}

/// Makes a type print by this, in interpolations and wherever else Rhai writes text.
pub(crate) fn printable<T: Clone + Send + Sync + 'static>(engine: &mut Engine, print: fn(&T) -> String) {
    engine
        .register_fn("to_string", move |value: &mut T| print(value))
        .register_fn("to_debug", move |value: &mut T| print(value));
}

/// A number as people read it: whole from 1000 up, else at most four digits, without zeros at the end.
pub(crate) fn brief(number: f64) -> String {
    let scientific = format!("{number:.3e}");
    let Some(exponent) = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()) else {
        return number.to_string();
    };
    match exponent {
        3..=15 => format!("{number:.0}"),
        -5..=2 => {
            let decimals = usize::try_from(3 - exponent).unwrap_or(0);
            let text = format!("{number:.decimals$}");
            let text = text.trim_end_matches('0').trim_end_matches('.');
            if text == "-0" { "0".to_owned() } else { text.to_owned() }
        }
        _ => scientific,
    }
}

/// What kind of value a script has in hand, in the words of the product.
pub(crate) fn kind(value: &Dynamic) -> &'static str {
    match value {
        _ if value.is_unit() => "nothing",
        _ if value.is_bool() => "boolean",
        _ if value.is_int() || value.is_float() => "number",
        _ if value.is_string() || value.is_char() => "text",
        _ if value.is_array() || value.is_blob() => "list",
        _ if value.is_map() => "table",
        _ if value.is_fnptr() => "function",
        _ if value.is::<Span>() => "duration",
        _ if value.is::<Time>() => "time",
        _ if value.is::<State>() => "state",
        _ if value.is::<Answer>() => "answer",
        _ if value.is::<Element>() => "element",
        _ => series::kind(value)
            .or_else(|| events::kind(value))
            .or_else(|| arguments::kind(value))
            .or_else(|| baseline::kind(value))
            .or_else(|| batches::kind(value))
            .unwrap_or("value"),
    }
}

/// A value as messages show it.
pub(crate) fn printed(value: &Dynamic) -> String {
    match to_value(value) {
        Value::Nothing => "nothing".to_owned(),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Duration(span) => written(&span),
        Value::State(state) => state.to_string(),
        Value::Text(text) => text.as_ref().to_owned(),
        Value::List(values) => format!("a list of {}", values.len()),
        Value::Table(values) => format!("a table of {}", values.len()),
    }
}

/// A value on its way into a script.
pub(crate) fn to_dynamic(value: &Value) -> Dynamic {
    match value {
        Value::Nothing => Dynamic::UNIT,
        Value::Boolean(boolean) => (*boolean).into(),
        Value::Number(number) => (*number).into(),
        Value::Duration(span) => Dynamic::from(*span),
        Value::State(state) => Dynamic::from(*state),
        Value::Text(text) => text.as_ref().into(),
        Value::List(values) => values.iter().map(to_dynamic).collect::<Array>().into(),
        Value::Table(values) => {
            values.iter().map(|(name, value)| (name.as_ref().into(), to_dynamic(value))).collect::<Map>().into()
        }
    }
}

/// A value on its way out of a script. What has no counterpart becomes text or a number that stands for it.
pub(crate) fn to_value(value: &Dynamic) -> Value {
    nested_value(value, DEPTH)
}

fn nested_value(value: &Dynamic, depth: usize) -> Value {
    if let Ok(number) = value.as_float() {
        return Value::Number(number);
    }
    if let Ok(number) = value.as_int() {
        return Value::Number(number as f64);
    }
    if let Ok(boolean) = value.as_bool() {
        return Value::Boolean(boolean);
    }
    if let Some(text) = value.read_lock::<ImmutableString>() {
        return Value::Text(text.as_str().into());
    }
    if let Some(span) = value.read_lock::<Span>() {
        return Value::Duration(*span);
    }
    if let Some(state) = value.read_lock::<State>() {
        return Value::State(*state);
    }
    if let Some(time) = value.read_lock::<Time>() {
        return Value::Text(time.to_string().into());
    }
    if let Some(element) = value.read_lock::<Element>() {
        return Value::Text(element.to_string().into());
    }
    if let Some(number) = series::number(value).or_else(|| batches::number(value)) {
        return Value::Number(number);
    }
    if value.is_unit() {
        return Value::Nothing;
    }
    if depth == 0 {
        return Value::Text("…".into());
    }
    if let Some(values) = value.read_lock::<Array>() {
        return Value::List(values.iter().map(|value| nested_value(value, depth - 1)).collect());
    }
    if let Some(values) = value.read_lock::<Map>() {
        let values = values.iter().map(|(name, value)| (Arc::from(name.as_str()), nested_value(value, depth - 1)));
        return Value::Table(values.collect::<BTreeMap<_, _>>());
    }
    if let Some(values) = series::numbers(value).or_else(|| batches::numbers(value)) {
        return Value::List(values.into_iter().map(Value::Number).collect());
    }
    match value.as_char() {
        Ok(letter) => Value::Text(letter.to_string().into()),
        Err(_) => Value::Text(format!("a {}", kind(value)).into()),
    }
}

/// A JSON value on its way into a script: whole numbers as integers where they fit.
pub(crate) fn from_json(value: serde_json::Value) -> Dynamic {
    match value {
        serde_json::Value::Null => Dynamic::UNIT,
        serde_json::Value::Bool(boolean) => boolean.into(),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().map_or(Dynamic::UNIT, Dynamic::from),
        },
        serde_json::Value::String(text) => text.into(),
        serde_json::Value::Array(values) => values.into_iter().map(from_json).collect::<Array>().into(),
        serde_json::Value::Object(values) => {
            values.into_iter().map(|(name, value)| (name.into(), from_json(value))).collect::<Map>().into()
        }
    }
}

/// An `Arc<str>` of at most so many bytes.
pub(crate) fn bounded(text: &str, bytes: usize) -> Arc<str> {
    if text.is_empty() { Arc::default() } else { shortened(text, bytes).as_ref().into() }
}
