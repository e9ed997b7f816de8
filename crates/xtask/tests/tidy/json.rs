//! As much of JSON as it takes to read what `cargo metadata` prints: this crate depends on nothing.

use std::collections::BTreeMap;

/// A JSON value; numbers are not needed and come as `Null`.
#[derive(Debug)]
pub(crate) enum Json {
    Null,
    Bool,
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// Reads one value, which must be all there is.
    pub(crate) fn read(text: &str) -> Json {
        let mut rest = text.chars().peekable();
        let value = value(&mut rest);
        assert!(rest.all(char::is_whitespace), "more than one value");
        value
    }

    /// What stands under a name; panics where this is no object or has no such name.
    pub(crate) fn get(&self, name: &str) -> &Json {
        match self {
            Json::Object(members) => members.get(name).unwrap_or_else(|| panic!("there is no `{name}`")),
            other => panic!("`{name}` is asked of {other:?}"),
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Json::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) fn list(&self) -> &[Json] {
        if let Json::List(list) = self { list } else { panic!("a list is asked of {self:?}") }
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn value(rest: &mut Chars<'_>) -> Json {
    skip(rest);
    match rest.peek().expect("a value") {
        '{' => {
            rest.next();
            let mut members = BTreeMap::new();
            while !ends(rest, '}') {
                let name = string(rest);
                skip(rest);
                assert_eq!(rest.next(), Some(':'));
                members.insert(name, value(rest));
            }
            Json::Object(members)
        }
        '[' => {
            rest.next();
            let mut list = Vec::new();
            while !ends(rest, ']') {
                list.push(value(rest));
            }
            Json::List(list)
        }
        '"' => Json::Text(string(rest)),
        _ => {
            let mut word = String::new();
            while let Some(c) = rest.next_if(|c| !matches!(c, ',' | ']' | '}') && !c.is_whitespace()) {
                word.push(c);
            }
            if word == "true" || word == "false" { Json::Bool } else { Json::Null }
        }
    }
}

/// Steps over what stands between members; true at the closing bracket, which is taken.
fn ends(rest: &mut Chars<'_>, bracket: char) -> bool {
    skip(rest);
    rest.next_if_eq(&',');
    skip(rest);
    rest.next_if_eq(&bracket).is_some()
}

fn skip(rest: &mut Chars<'_>) {
    while rest.next_if(|c| c.is_whitespace()).is_some() {}
}

fn string(rest: &mut Chars<'_>) -> String {
    assert_eq!(rest.next(), Some('"'));
    let mut text = String::new();
    loop {
        match rest.next().expect("the end of a text") {
            '"' => return text,
            // Names and paths are all that is asked for: what is escaped otherwise does not matter.
            '\\' => text.extend(rest.next()),
            c => text.push(c),
        }
    }
}
