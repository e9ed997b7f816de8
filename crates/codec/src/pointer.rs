//! JSON pointers with wildcards, and templates of text made from them.

use crate::tape::{Json, NodeKind};

/// How many `*` a pointer may have.
const MAX_STARS: usize = 4;

/// A JSON pointer (RFC 6901) in which a segment `*` stands for every element or member.
#[derive(Clone, Debug)]
pub(crate) struct Pointer {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug)]
enum Segment {
    Key(String),
    /// With its number among the stars of the pointer.
    Star(usize),
}

/// What the stars of a pointer have met on the way to one value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Met<'a> {
    stars: [Option<Star<'a>>; MAX_STARS],
    count: usize,
}

/// What one star has met.
#[derive(Clone, Copy, Debug)]
struct Star<'a> {
    /// The place of the array or object.
    parent: u32,
    /// What was met in it.
    child: Json<'a>,
    /// Under which key, or at which index.
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Key(Json<'a>),
    Index(usize),
}

/// What a pointer found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'a> {
    /// A value.
    Value(Json<'a>),
    /// Nothing, or a null on the way.
    Missing,
    /// On the way stands something that has no members.
    WrongType,
}

impl Pointer {
    /// Reads a pointer.
    pub(crate) fn parse(text: &str) -> Result<Pointer, String> {
        let wrong = || format!("`{text}` is no JSON pointer such as /host/name");
        let mut segments = Vec::new();
        let mut stars = 0;
        if !text.is_empty() {
            for segment in text.strip_prefix('/').ok_or_else(wrong)?.split('/') {
                segments.push(if segment == "*" {
                    stars += 1;
                    Segment::Star(stars - 1)
                } else {
                    Segment::Key(segment.replace("~1", "/").replace("~0", "~"))
                });
            }
        }
        if stars > MAX_STARS {
            return Err(format!("`{text}` has {stars} `*`, at most {MAX_STARS} are wanted"));
        }
        Ok(Pointer { text: text.to_owned(), segments })
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The keys that lead to what it points to, where it has no stars. In an array they are indexes.
    pub(crate) fn keys(&self) -> Option<Vec<&str>> {
        let keys = self.segments.iter().map(|segment| match segment {
            Segment::Key(key) => Some(key.as_str()),
            Segment::Star(_) => None,
        });
        keys.collect()
    }

    /// How many stars it has.
    pub(crate) fn stars(&self) -> usize {
        self.segments.iter().filter(|segment| matches!(segment, Segment::Star(_))).count()
    }

    /// Calls `take` for everything that it points to, with what the stars have met.
    pub(crate) fn each<'a, E>(
        &self,
        root: Json<'a>,
        take: &mut dyn FnMut(Found<'a>, &Met<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        walk(root, &self.segments, &mut Met::default(), take)
    }

    /// What it points to, where its stars stand for what others have met.
    pub(crate) fn get<'a>(&self, root: Json<'a>, met: &Met<'a>) -> Option<Json<'a>> {
        let mut at = root;
        for segment in &self.segments {
            at = match segment {
                Segment::Key(key) => step(at, key)?,
                Segment::Star(number) => match met.stars[*number]? {
                    star if star.parent == at.place() => star.child,
                    Star { step: Step::Key(key), .. } => at.member(&key.text())?,
                    Star { step: Step::Index(index), .. } => at.element(index)?,
                },
            };
        }
        Some(at)
    }
}

fn walk<'a, E>(
    at: Json<'a>,
    segments: &[Segment],
    met: &mut Met<'a>,
    take: &mut dyn FnMut(Found<'a>, &Met<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let Some((segment, rest)) = segments.split_first() else { return take(Found::Value(at), met) };
    match (segment, at.kind()) {
        (_, NodeKind::Null) => take(Found::Missing, met),
        (Segment::Key(key), NodeKind::Array | NodeKind::Object) => match step(at, key) {
            Some(child) => walk(child, rest, met, take),
            None => take(Found::Missing, met),
        },
        (Segment::Star(number), NodeKind::Array) => {
            for (index, child) in at.elements().enumerate() {
                met.set(*number, Star { parent: at.place(), child, step: Step::Index(index) });
                walk(child, rest, met, take)?;
            }
            Ok(())
        }
        (Segment::Star(number), NodeKind::Object) => {
            for (key, child) in at.members() {
                met.set(*number, Star { parent: at.place(), child, step: Step::Key(key) });
                walk(child, rest, met, take)?;
            }
            Ok(())
        }
        _ => take(Found::WrongType, met),
    }
}

fn step<'a>(at: Json<'a>, key: &str) -> Option<Json<'a>> {
    match at.kind() {
        NodeKind::Array => at.element(key.parse().ok()?),
        _ => at.member(key),
    }
}

impl<'a> Met<'a> {
    fn set(&mut self, number: usize, star: Star<'a>) {
        self.stars[number] = Some(star);
        self.count = number + 1;
    }

    /// The key or index that the last star has met.
    fn last(&self) -> Option<Step<'a>> {
        self.stars[self.count.checked_sub(1)?].map(|star| star.step)
    }
}

/// Text with pointers in it.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

/// A part of a template.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// Text as it stands.
    Text(String),
    /// What is pointed to.
    Pointer(Pointer),
    /// The key or index that the last star has met.
    Last,
}

/// Why a template gave no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfilled {
    /// A part is missing or null.
    Missing,
    /// A part is an array or an object.
    WrongType,
}

impl Template {
    /// Reads a template: a pointer, or text with pointers in braces.
    pub(crate) fn parse(text: &str) -> Result<Template, String> {
        if text.starts_with('/') {
            return Ok(Template { parts: vec![Part::Pointer(Pointer::parse(text)?)] });
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((inside, behind)) = after.split_once('}') else {
                return Err(format!("`{text}` opens a brace that it does not close"));
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(if inside == "*" { Part::Last } else { Part::Pointer(Pointer::parse(inside)?) });
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template { parts })
    }

    /// Its parts, in their order.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// How many stars must have met something before it can be filled.
    pub(crate) fn stars(&self) -> usize {
        let stars = |part: &Part| match part {
            Part::Text(_) => 0,
            Part::Pointer(pointer) => pointer.stars(),
            Part::Last => 1,
        };
        self.parts.iter().map(stars).max().unwrap_or(0)
    }

    /// Appends the text. What stands in `out` after a failure is to be taken back.
    pub(crate) fn fill<'a>(&self, root: Json<'a>, met: &Met<'a>, out: &mut Vec<u8>) -> Result<(), Unfilled> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Pointer(pointer) => scalar(pointer.get(root, met).ok_or(Unfilled::Missing)?, out)?,
                Part::Last => match met.last().ok_or(Unfilled::Missing)? {
                    Step::Key(key) => scalar(key, out)?,
                    Step::Index(index) => out.extend_from_slice(index.to_string().as_bytes()),
                },
            }
        }
        Ok(())
    }
}

/// Appends a string's text, or a number or boolean as JSON writes it.
pub(crate) fn scalar(json: Json<'_>, out: &mut Vec<u8>) -> Result<(), Unfilled> {
    match json.kind() {
        NodeKind::Null => Err(Unfilled::Missing),
        NodeKind::Array | NodeKind::Object => Err(Unfilled::WrongType),
        _ => {
            json.pieces(|piece| out.extend_from_slice(piece.as_bytes()));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::Tape;

    /// What a template gives for each value in a document, one in a line.
    fn check(document: &str, value: &str, template: &str, wanted: &[&str]) {
        let mut tape = Tape::default();
        tape.read(document, 0).expect("JSON");
        let root = tape.root(document);
        let template = Template::parse(template).expect("a template");
        let mut found = Vec::new();
        let _: Result<(), ()> = Pointer::parse(value).expect("a pointer").each(root, &mut |json, met| {
            let mut text = Vec::new();
            let filled = template.fill(root, met, &mut text);
            found.push(match (json, filled) {
                (Found::Value(json), Ok(())) => {
                    format!("{} {}", String::from_utf8_lossy(&text), json.raw())
                }
                (json, filled) => format!("{json:?} {filled:?}").split('(').next().unwrap_or_default().to_owned(),
            });
            Ok(())
        });
        assert_eq!(found, wanted);
    }

    #[test]
    fn stars_move_in_step() {
        let collectd =
            r#"[{"values":[1,2],"names":["rx","tx"],"plugin":"if"},{"values":[3],"names":["v"],"plugin":"u"}]"#;
        check(collectd, "/*/values/*", "{/*/plugin}.{/*/names/*}", &["if.rx 1", "if.tx 2", "u.v 3"]);
        check(collectd, "/*/values/*", "{*}", &["0 1", "1 2", "0 3"]);
        let telegraf = r#"{"fields":{"a\u002fb":1,"c":2},"units":{"c":"s","a/b":"m"},"name":"cpu"}"#;
        check(telegraf, "/fields/*", "{/name}.{*} in {/units/*}", &["cpu.a/b in m 1", "cpu.c in s 2"]);
        check(r#"{"a/b":{"~":5}}"#, "/a~1b/~0", "x", &["x 5"]);
        check("[[7]]", "/0/0", "/0/0", &["7 7"]);
        check("8", "", "", &[" 8"]);
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        check(r#"{"fields":{}}"#, "/fields/*", "x", &[]);
        check(r#"{}"#, "/fields/*", "x", &["Missing Ok"]);
        check(r#"{"fields":null}"#, "/fields/*", "x", &["Missing Ok"]);
        check(r#"{"fields":3}"#, "/fields/*", "x", &["WrongType Ok"]);
        check(r#"[{"v":1},{"w":1}]"#, "/*/v", "x", &["x 1", "Missing Ok"]);
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for text in ["a", "a/b", "/*/*/*/*/*"] {
            assert!(Pointer::parse(text).is_err(), "{text}");
        }
        for text in ["{/a", "{a}", "x{b}y"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
