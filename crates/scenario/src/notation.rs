//! The short forms in scenarios: names of series, their values, and expected transitions.

use model::transition::Health;
use model::{Element, Labels, Span, State};

/// No series is longer: a slip in `x1000000000` shall not take the machine's memory.
const MOST_VALUES: usize = 100_000;

/// Reads `http.response_ms{host="a", zone="b"}`.
pub(crate) fn series(text: &str) -> Result<(String, Labels), String> {
    let wanted = || format!("`{text}` is no series such as http.response_ms{{host=\"a\"}}");
    let Some((name, rest)) = text.split_once('{') else {
        return if text.trim().is_empty() { Err(wanted()) } else { Ok((text.trim().to_owned(), Labels::default())) };
    };
    let mut rest = rest.trim().strip_suffix('}').ok_or_else(wanted)?.trim();
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once('=').ok_or_else(wanted)?;
        let (value, after) =
            after.trim_start().strip_prefix('"').and_then(|it| it.split_once('"')).ok_or_else(wanted)?;
        pairs.push((label.trim().to_owned(), value.to_owned()));
        rest = after.trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(',').ok_or_else(wanted)?.trim_start();
        }
    }
    Ok((name.trim().to_owned(), Labels::new(pairs)))
}

/// Reads values such as `100 _ 1+2x3 (5 6)x2`: one for each slot, nothing where none was measured.
pub(crate) fn values(text: &str) -> Result<Vec<Option<f64>>, String> {
    // The values of each group that is open; the outermost is the series.
    let mut open = vec![Vec::new()];
    for word in text.replace('(', " ( ").replace(')', " )").split_whitespace() {
        let made = match word.strip_prefix(')') {
            _ if word == "(" => {
                open.push(Vec::new());
                continue;
            }
            Some(times) => group(&open.pop().unwrap_or_default(), times)?,
            None => some_values(word)?,
        };
        let group = open.last_mut().ok_or_else(|| format!("`{word}` closes a group that is not open"))?;
        if group.len() + made.len() > MOST_VALUES {
            return Err(too_many(word));
        }
        group.extend(made);
    }
    match (open.pop(), open.is_empty()) {
        (Some(values), true) => Ok(values),
        _ => Err(format!("a group of `{text}` is not closed: (1 2)x3 is wanted")),
    }
}

/// What one word between blanks stands for.
fn some_values(word: &str) -> Result<Vec<Option<f64>>, String> {
    let wanted = || format!("`{word}` is no value such as 3, _, 1+2x3 or 4x2");
    let (start, times) = match word.split_once('x') {
        Some((start, times)) => (start, Some(times.parse::<usize>().map_err(|_| wanted())?)),
        None => (word, None),
    };
    if times.is_some_and(|times| times > MOST_VALUES) {
        return Err(too_many(word));
    }
    if start == "_" {
        return Ok(vec![None; times.unwrap_or(1)]);
    }
    let (first, step) = first_and_step(start).ok_or_else(wanted)?;
    if times.is_none() && step.is_some() {
        return Err(wanted());
    }
    Ok((0..=times.unwrap_or(0)).map(|place| Some(first + step.unwrap_or(0.0) * place as f64)).collect())
}

/// The values of a group, and as often again as stands after the `x`.
fn group(values: &[Option<f64>], times: &str) -> Result<Vec<Option<f64>>, String> {
    let again = match times.strip_prefix('x') {
        None if times.is_empty() => 0,
        again => again
            .and_then(|again| again.parse::<usize>().ok())
            .ok_or_else(|| format!("`){times}` does not end a group as (1 2)x3 does"))?,
    };
    match values.len().saturating_mul(again.saturating_add(1)) > MOST_VALUES {
        true => Err(too_many(&format!("(..)x{again}"))),
        false => Ok(values.repeat(again + 1)),
    }
}

fn too_many(word: &str) -> String {
    format!("`{word}` makes more than {MOST_VALUES} values")
}

/// `1+2` is 1 and 2, `1-2` is 1 and -2; a sign at the begin or after an `e` belongs to its number.
fn first_and_step(text: &str) -> Option<(f64, Option<f64>)> {
    let finite = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    if let Some(number) = finite(text) {
        return Some((number, None));
    }
    let signs = text.char_indices().skip(1).filter(|(_, letter)| matches!(letter, '+' | '-'));
    signs.map(|(at, _)| text.split_at(at)).find_map(|(first, step)| Some((finite(first)?, Some(finite(step)?))))
}

/// A transition that a scenario expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) at: Span,
    pub(crate) element: Element,
    pub(crate) health: Health,
    pub(crate) to: State,
    /// A part of its message; empty where any will do.
    pub(crate) message: String,
}

/// Reads `20s checkout -> payments propagated DEVIATING "part of the message"`; own health is meant where neither
/// is written.
pub(crate) fn expected(text: &str) -> Result<Expected, String> {
    let wanted = || format!("`{text}` is no transition such as `20s checkout DEVIATING \"400 ms\"`");
    let (at, rest) = text.trim().split_once(char::is_whitespace).ok_or_else(wanted)?;
    let at: Span = at.parse()?;
    let (head, message) = match rest.split_once('"') {
        Some((head, message)) => (head, message.strip_suffix('"').ok_or_else(wanted)?),
        None => (rest, ""),
    };
    let mut words: Vec<&str> = head.split_whitespace().collect();
    let to = words.pop().ok_or_else(wanted)?;
    let to = State::ALL.into_iter().find(|state| state.name() == to).ok_or_else(wanted)?;
    let health = match words.last().copied() {
        Some("propagated") => Health::Propagated,
        _ => Health::Own,
    };
    if matches!(words.last().copied(), Some("propagated" | "own")) {
        words.pop();
    }
    if words.is_empty() {
        return Err(wanted());
    }
    Ok(Expected { at, element: Element::parse(&words.join(" ")), health, to, message: message.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_promtool_has_them() {
        for (text, wanted) in [
            ("1 -2.5 1e3", "1 -2.5 1000"),
            ("_ 3 _x2", "_ 3 _ _"),
            ("1+2x3", "1 3 5 7"),
            ("9-2x2", "9 7 5"),
            ("-1e-1+1x1", "-0.1 0.9"),
            ("4x2", "4 4 4"),
            ("", ""),
            ("1+2", "`1+2` is no value such as 3, _, 1+2x3 or 4x2"),
            ("ten", "`ten` is no value such as 3, _, 1+2x3 or 4x2"),
            ("1 inf", "`inf` is no value such as 3, _, 1+2x3 or 4x2"),
            ("1x1000000000", "`1x1000000000` makes more than 100000 values"),
            ("0 (1 _)x2 9", "0 1 _ 1 _ 1 _ 9"),
            ("(1 (2x1)x1 )x1 (3)", "1 2 2 2 2 1 2 2 2 2 3"),
            ("(1 2", "a group of `(1 2` is not closed: (1 2)x3 is wanted"),
            ("1 2)x3", "`)x3` closes a group that is not open"),
            ("(1 2)3", "`)3` does not end a group as (1 2)x3 does"),
            ("((1x99)x99)x99", "`(..)x99` makes more than 100000 values"),
        ] {
            let print = |value: Option<f64>| value.map_or("_".to_owned(), |value| value.to_string());
            let found = values(text).map(|values| values.into_iter().map(print).collect::<Vec<_>>().join(" "));
            assert_eq!(found.unwrap_or_else(|error| error), wanted, "{text}");
        }
    }

    #[test]
    fn series_have_names_and_labels() {
        for (text, wanted) in [
            ("up", "up{}"),
            (r#"http.ms{host="a", zone = "b=c,d"}"#, r#"http.ms{host="a", zone="b=c,d"}"#),
            ("up{}", "up{}"),
            ("up{host=a}", "`up{host=a}` is no series such as http.response_ms{host=\"a\"}"),
        ] {
            let found = series(text).map(|(name, labels)| format!("{name}{labels}"));
            assert_eq!(found.unwrap_or_else(|error| error), wanted, "{text}");
        }
    }

    #[test]
    fn transitions_are_written_in_one_line() {
        for (text, wanted) in [
            ("20s  checkout  DEVIATING", "20s checkout own DEVIATING \"\""),
            ("1m host web-1 own CLEAR", "1m host web-1 own CLEAR \"\""),
            ("1m a -> b c propagated CRITICAL \"b is CRITICAL\"", "1m a -> b c propagated CRITICAL \"b is CRITICAL\""),
            ("20s DEVIATING", "`20s DEVIATING` is no transition such as `20s checkout DEVIATING \"400 ms\"`"),
            (
                "20s checkout broken",
                "`20s checkout broken` is no transition such as `20s checkout DEVIATING \"400 ms\"`",
            ),
            ("20 checkout CLEAR", "`20` is no duration such as 30s, 5m or 1h30m"),
        ] {
            let found = expected(text)
                .map(|it| format!("{} {} {} {} {:?}", it.at, it.element, it.health.name(), it.to, it.message));
            assert_eq!(found.unwrap_or_else(|error| error), wanted, "{text}");
        }
    }
}
