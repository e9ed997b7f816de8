//! JSON documents as a flat list of nodes over their bytes: one strict pass, nothing copied, and the list
//! is kept from document to document. Numbers stay text, so that none is rounded before its use is known.
//! What RFC 8259 allows is taken, except surrogates without their other half.

use std::borrow::Cow;
use std::cell::Cell;

/// How deep arrays and objects may be nested.
const MAX_DEPTH: usize = 127;

/// How many nodes may be looked at for one record: a hostile one could have a million values beside a million
/// others that are to be passed over for each.
const MAX_STEPS: u32 = 1 << 27;

/// The nodes of one document in the order of their text: after an object, its keys and values in turn.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    nodes: Vec<Node>,
    /// How many nodes have been looked at since `refill`.
    steps: Cell<u32>,
}

/// A value, or the key of a member.
#[derive(Clone, Copy, Debug)]
struct Node {
    kind: NodeKind,
    /// Where its text begins; of a string what is between the quotes.
    start: u32,
    /// Where its text ends.
    end: u32,
    /// The place of the node after it and all that is in it.
    next: u32,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    Null,
    Boolean,
    Number,
    /// A string that is its own text.
    Plain,
    /// A string with escapes.
    Escaped,
    Array,
    Object,
}

/// Why, and where, a text is no JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TapeError {
    pub(crate) at: usize,
    pub(crate) wanted: &'static str,
}

impl Tape {
    /// Allows as many steps as one record may take.
    pub(crate) fn refill(&mut self) {
        self.steps.set(0);
    }

    /// Whether the steps are used up: then objects and arrays seem to end early.
    pub(crate) fn exhausted(&self) -> bool {
        self.steps.get() >= MAX_STEPS
    }

    /// Reads the document that begins at `start`, after white space; gives the place after it, or nothing
    /// where only white space is left. The text is less than 4 GiB long.
    pub(crate) fn read(&mut self, text: &str, start: usize) -> Result<Option<usize>, TapeError> {
        self.nodes.clear();
        let mut reader = Reader { text: text.as_bytes(), at: start, nodes: &mut self.nodes };
        reader.space();
        if reader.at == text.len() {
            return Ok(None);
        }
        reader.value(0)?;
        Ok(Some(reader.at))
    }

    /// The document, borrowed with the text it was read from.
    pub(crate) fn root<'a>(&'a self, text: &'a str) -> Json<'a> {
        Json { text, tape: self, place: 0 }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    nodes: &'a mut Vec<Node>,
}

impl Reader<'_> {
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    fn error<T>(&self, wanted: &'static str) -> Result<T, TapeError> {
        Err(TapeError { at: self.at, wanted })
    }

    fn value(&mut self, depth: usize) -> Result<(), TapeError> {
        match self.text.get(self.at) {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'n') => self.word(b"null", NodeKind::Null),
            Some(b't') => self.word(b"true", NodeKind::Boolean),
            Some(b'f') => self.word(b"false", NodeKind::Boolean),
            _ => self.error("a value"),
        }
    }

    fn push(&mut self, kind: NodeKind, start: usize, end: usize) {
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { kind, start: start as u32, end: end as u32, next });
    }

    fn word(&mut self, word: &'static [u8], kind: NodeKind) -> Result<(), TapeError> {
        if !self.text[self.at..].starts_with(word) {
            return self.error("a value");
        }
        self.push(kind, self.at, self.at + word.len());
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) -> Result<(), TapeError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.text.get(self.at) {
            self.at += 1;
        }
        if self.at == start { self.error("a digit") } else { Ok(()) }
    }

    fn number(&mut self) -> Result<(), TapeError> {
        let start = self.at;
        if self.text[self.at] == b'-' {
            self.at += 1;
        }
        match self.text.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if let Some(b'.') = self.text.get(self.at) {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.push(NodeKind::Number, start, self.at);
        Ok(())
    }

    fn string(&mut self) -> Result<(), TapeError> {
        self.at += 1;
        let start = self.at;
        let mut kind = NodeKind::Plain;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    kind = NodeKind::Escaped;
                    let Some((_, length)) = escape(&self.text[self.at..]) else { return self.error("an escape") };
                    self.at += length;
                }
                Some(0..=0x1F) => return self.error("no control character in a string"),
                Some(_) => self.at += 1,
                None => return self.error("the end of a string"),
            }
        }
        self.push(kind, start, self.at);
        self.at += 1;
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), TapeError> {
        let place = self.open(NodeKind::Array, depth)?;
        if self.text.get(self.at) != Some(&b']') {
            loop {
                self.value(depth + 1)?;
                if self.last(b']', "`,` or `]`")? {
                    break;
                }
            }
        }
        self.close(place)
    }

    fn object(&mut self, depth: usize) -> Result<(), TapeError> {
        let place = self.open(NodeKind::Object, depth)?;
        if self.text.get(self.at) != Some(&b'}') {
            loop {
                match self.text.get(self.at) {
                    Some(b'"') => self.string()?,
                    _ => return self.error("a key"),
                }
                self.space();
                match self.text.get(self.at) {
                    Some(b':') => self.at += 1,
                    _ => return self.error("`:`"),
                }
                self.space();
                self.value(depth + 1)?;
                if self.last(b'}', "`,` or `}`")? {
                    break;
                }
            }
        }
        self.close(place)
    }

    fn open(&mut self, kind: NodeKind, depth: usize) -> Result<usize, TapeError> {
        if depth == MAX_DEPTH {
            return self.error("at most 127 levels");
        }
        let place = self.nodes.len();
        self.push(kind, self.at, self.at);
        self.at += 1;
        self.space();
        Ok(place)
    }

    /// After an element: whether it was the last. Otherwise the next one begins here.
    fn last(&mut self, end: u8, wanted: &'static str) -> Result<bool, TapeError> {
        self.space();
        match self.text.get(self.at) {
            Some(b',') => {
                self.at += 1;
                self.space();
                Ok(false)
            }
            Some(byte) if *byte == end => Ok(true),
            _ => self.error(wanted),
        }
    }

    fn close(&mut self, place: usize) -> Result<(), TapeError> {
        self.at += 1;
        let next = self.nodes.len() as u32;
        let node = &mut self.nodes[place];
        node.end = self.at as u32;
        node.next = next;
        Ok(())
    }
}

/// The character that the escape at the beginning of `text` stands for, and its length.
pub(crate) fn escape(text: &[u8]) -> Option<(char, usize)> {
    let simple = match text.get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let high = unit(text, 2)?;
            if !(0xD800..0xDC00).contains(&high) {
                return Some((char::from_u32(high)?, 6));
            }
            if text.get(6..8)? != b"\\u" {
                return None;
            }
            let low = unit(text, 8).filter(|low| (0xDC00..0xE000).contains(low))?;
            return Some((char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))?, 12));
        }
        _ => return None,
    };
    Some((simple, 2))
}

/// Four hexadecimal digits.
fn unit(text: &[u8], at: usize) -> Option<u32> {
    text.get(at..at + 4)?.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

/// A value of a document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json<'a> {
    text: &'a str,
    tape: &'a Tape,
    place: u32,
}

impl<'a> Json<'a> {
    /// What it is.
    pub(crate) fn kind(self) -> NodeKind {
        self.node().kind
    }

    /// Its text; of a string what is between the quotes, with escapes.
    pub(crate) fn raw(self) -> &'a str {
        &self.text[self.node().start as usize..self.node().end as usize]
    }

    /// Its place in the document, which no other value has.
    pub(crate) fn place(self) -> u32 {
        self.place
    }

    /// The text of a string, escapes resolved; of anything else its JSON.
    pub(crate) fn text(self) -> Cow<'a, str> {
        if self.kind() != NodeKind::Escaped {
            return Cow::Borrowed(self.raw());
        }
        let mut text = String::new();
        self.pieces(|piece| text.push_str(piece));
        Cow::Owned(text)
    }

    /// Calls `take` with the pieces of a string's text, escapes resolved; of anything else with its JSON.
    pub(crate) fn pieces(self, mut take: impl FnMut(&str)) {
        let raw = self.raw();
        // Long texts count as more steps: they may be asked for again for each of many values.
        self.step(1 + raw.len() as u32 / 16);
        if self.kind() != NodeKind::Escaped {
            return take(raw);
        }
        let mut at = 0;
        while let Some(plain) = raw[at..].find('\\') {
            take(&raw[at..at + plain]);
            at += plain;
            // The reader has seen that every escape is one.
            let Some((character, length)) = escape(&raw.as_bytes()[at..]) else { return };
            take(character.encode_utf8(&mut [0; 4]));
            at += length;
        }
        take(&raw[at..]);
    }

    /// Whether it is a string of this text.
    pub(crate) fn is_text(self, wanted: &str) -> bool {
        match self.kind() {
            NodeKind::Plain => self.raw() == wanted,
            NodeKind::Escaped => {
                let mut rest = Some(wanted);
                self.pieces(|piece| rest = rest.and_then(|rest| rest.strip_prefix(piece)));
                rest == Some("")
            }
            _ => false,
        }
    }

    /// The member of this key; of a key that stands twice the last one.
    pub(crate) fn member(self, key: &str) -> Option<Json<'a>> {
        self.members().filter(|(name, _)| name.is_text(key)).last().map(|(_, value)| value)
    }

    /// The element at this index.
    pub(crate) fn element(self, index: usize) -> Option<Json<'a>> {
        self.elements().nth(index)
    }

    /// Keys and values of an object; nothing for all else.
    pub(crate) fn members(self) -> impl Iterator<Item = (Json<'a>, Json<'a>)> {
        let mut children = self.children(NodeKind::Object);
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    /// The elements of an array; nothing for all else.
    pub(crate) fn elements(self) -> impl Iterator<Item = Json<'a>> {
        self.children(NodeKind::Array)
    }

    fn children(self, wanted: NodeKind) -> impl Iterator<Item = Json<'a>> {
        let end = if self.kind() == wanted { self.node().next } else { 0 };
        let mut place = self.place + 1;
        std::iter::from_fn(move || {
            if place >= end || self.tape.exhausted() {
                return None;
            }
            self.step(1);
            let child = Json { place, ..self };
            place = child.node().next;
            Some(child)
        })
    }

    fn step(self, count: u32) {
        self.tape.steps.set(self.tape.steps.get().saturating_add(count));
    }

    fn node(self) -> Node {
        self.tape.nodes[self.place as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether our reader and serde_json take the same text, and see the same in it.
    fn check(text: &str) {
        let mut tape = Tape::default();
        let ours = tape.read(text, 0).ok().flatten().filter(|end| text[*end..].trim_ascii().is_empty());
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(theirs) => {
                assert!(ours.is_some(), "refused: {text}");
                assert_eq!(value(tape.root(text)), theirs, "{text}");
            }
            Err(error) if error.to_string().contains("number out of range") => {}
            Err(error) => assert!(ours.is_none(), "taken, although {error}: {text}"),
        }
    }

    fn value(json: Json<'_>) -> serde_json::Value {
        match json.kind() {
            NodeKind::Plain | NodeKind::Escaped => serde_json::Value::String(json.text().into_owned()),
            NodeKind::Array => json.elements().map(value).collect(),
            NodeKind::Object => json.members().map(|(key, member)| (key.text().into_owned(), value(member))).collect(),
            _ => json.raw().parse().expect("a scalar"),
        }
    }

    #[test]
    fn reads_what_json_allows_and_nothing_else() {
        for text in [
            "{}",
            "[]",
            " [ 1 , -0.5e+3 , true, null ] ",
            r#"{"a":{"b":[{}]},"":"\u00fc\n\ud83d\ude00"}"#,
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "nul",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "\"a\nb\"",
            r#""\x""#,
            r#""\ud800""#,
            r#""\ud800\u0041""#,
            r#""\udc00""#,
            "\"",
            "{\"a\":1}}",
            "1e400",
            "NaN",
            "\u{feff}1",
            r#"{"a":1,"a":2}"#,
        ] {
            check(text);
        }
        check(&format!("{}{}", "[".repeat(127), "]".repeat(127)));
        check(&format!("{}{}", "[".repeat(128), "]".repeat(128)));
        check(&"[".repeat(100_000));
    }

    #[test]
    fn keys_are_found_by_what_they_mean() {
        let text = r#"{"a\u002fb":1,"c":2,"c":3}"#;
        let mut tape = Tape::default();
        tape.read(text, 0).expect("JSON");
        let root = tape.root(text);
        assert_eq!(root.member("a/b").map(Json::raw), Some("1"));
        assert_eq!(root.member("c").map(Json::raw), Some("3"), "the last of a key that stands twice");
        assert!(root.member("a").is_none());
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in r#"([\[\]{}:,"\\ \n]|"a"|true|null|-?[0-9]{1,3}|\.|[eE+]|\\u[0-9a-f]{4}|"[a-zü]*":){0,24}"#) {
            check(&text);
        }

        #[test]
        fn takes_what_serde_json_writes(texts in proptest::collection::vec(any::<String>(), 0..4), number in any::<f64>()) {
            check(&serde_json::json!({ "texts": texts, "number": number, "same": [{ "again": texts }] }).to_string());
        }
    }
}
