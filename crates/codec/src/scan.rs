//! The wanted values of a JSON document, in one pass over its bytes: a key is compared with the few that are wanted
//! where it stands, and of all else it is only seen that it is JSON.
//!
//! A scan answers exactly as the [`tape`](crate::tape) does, or not at all. It gives up on what is broken, and on what
//! is rare: keys with escapes, wanted strings with escapes, wanted keys that stand twice, arrays and objects where
//! a scalar is wanted (and the other way round), deep nesting, and several documents. So the tape alone has
//! to say what is wrong with a document.

use crate::decimal::Decimal;
use crate::tape::escape;
use crate::words::{ascii, find, load, string_end};

/// How many values may be wanted of a document.
pub(crate) const MAX_WANTED: usize = 16;

/// How deep wanted values may lie; with what may be nested in between less than the tape takes.
const MAX_WANTED_DEPTH: usize = 16;
const MAX_SKIPPED_DEPTH: usize = 64;

/// Which values are wanted, as a tree of objects.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The document's members first.
    objects: Vec<Vec<Member>>,
    /// How many values are wanted.
    count: usize,
}

/// A member that is wanted, or leads to such.
#[derive(Debug)]
struct Member {
    /// The key and the quote behind it in words of eight bytes: which bits of each count, and what they are.
    words: Vec<(u64, u64)>,
    /// The bytes of the key and the quote.
    length: usize,
    key: String,
    then: Then,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    /// It is the wanted value of this number.
    Value(usize),
    /// It is this one of the objects.
    Object(usize),
}

/// A value that was wanted. It says in a byte of its own what it is, which is read more often than copied.
#[derive(Clone, Copy, Debug, Default)]
#[repr(u8)]
pub(crate) enum Found {
    #[default]
    Missing,
    Null,
    Boolean(Span),
    /// A number, where it stands and what it is.
    Number(Span, Decimal),
    /// A string, which has no escapes.
    Text(Span),
}

/// What is to be known of a number or a string to find it in the next document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalar {
    /// Which of the wanted values it is, if any.
    pub(crate) number: Option<usize>,
    /// Whether it is a string; otherwise it is a number.
    pub(crate) text: bool,
}

/// Where a value stands in its document; of a string what is between the quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(u32, u32);

impl Span {
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Span {
        Span(start as u32, end as u32)
    }

    #[inline]
    pub(crate) fn start(self) -> usize {
        self.0 as usize
    }

    #[inline]
    pub(crate) fn end(self) -> usize {
        self.1 as usize
    }
}

impl Found {
    /// Where it stands, if it is there and no null.
    #[inline]
    pub(crate) fn span(&self) -> Option<Span> {
        match *self {
            Found::Missing | Found::Null => None,
            Found::Boolean(span) | Found::Number(span, _) | Found::Text(span) => Some(span),
        }
    }
}

impl Wanted {
    /// Nothing is wanted yet.
    pub(crate) fn new() -> Wanted {
        Wanted { objects: vec![Vec::new()], count: 0 }
    }

    /// Wants the value that lies under these keys, one in the other. Gives its number; nothing where a scan cannot
    /// look for it.
    pub(crate) fn want(&mut self, keys: &[&str]) -> Option<usize> {
        let (last, way) = keys.split_last()?;
        if way.len() >= MAX_WANTED_DEPTH {
            return None;
        }
        let mut object = 0;
        for key in way {
            let next = self.objects.len();
            object = match self.member(object, key, Then::Object(next))? {
                Then::Object(object) => object,
                Then::Value(_) => return None,
            };
            if object == next {
                self.objects.push(Vec::new());
            }
        }
        let Then::Value(number) = self.member(object, last, Then::Value(self.count))? else { return None };
        self.count = self.count.max(number + 1);
        (self.count <= MAX_WANTED).then_some(number)
    }

    /// What is behind this key of the object: `then` where it is a new one.
    fn member(&mut self, object: usize, key: &str, then: Then) -> Option<Then> {
        let members = &mut self.objects[object];
        if let Some(member) = members.iter().find(|member| member.key == key) {
            return Some(member.then);
        }
        // Such a key stands in a document with escapes only.
        if key.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
            return None;
        }
        let quoted = format!("{key}\"");
        let chunks = quoted.as_bytes().chunks(8);
        let words = chunks.map(|chunk| (u64::MAX >> (64 - 8 * chunk.len()), load(chunk, 0))).collect();
        members.push(Member { words, length: quoted.len(), key: key.to_owned(), then });
        Some(then)
    }

    /// Reads a text that is one document, and UTF-8: what is found of each wanted value goes to its number.
    /// All numbers and strings are shown to `seen` in their order.
    pub(crate) fn scan(
        &self,
        text: &[u8],
        found: &mut [Found; MAX_WANTED],
        seen: &mut dyn FnMut(Scalar, Span),
    ) -> Option<()> {
        let mut scan = Scan { text, at: 0, seen };
        scan.space();
        scan.expect(b'{')?;
        scan.object(self, 0, found)?;
        scan.space();
        (scan.at == text.len()).then_some(())
    }
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    seen: &'a mut dyn FnMut(Scalar, Span),
}

impl Scan<'_> {
    /// Reads the members of an object in which something is wanted, behind its brace.
    fn object(&mut self, wanted: &Wanted, object: usize, found: &mut [Found; MAX_WANTED]) -> Option<()> {
        let members = &wanted.objects[object];
        let mut entered = 0_u64;
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.expect(b'"')?;
            let then = self.key(members)?;
            self.space();
            self.expect(b':')?;
            self.space();
            match then {
                None => self.skip(0)?,
                Some(Then::Value(number)) => {
                    let Found::Missing = found[number] else { return None };
                    found[number] = self.scalar(Some(number))?;
                }
                Some(Then::Object(object)) => {
                    let bit = 1_u64.checked_shl(object as u32)?;
                    if entered & bit != 0 {
                        return None;
                    }
                    entered |= bit;
                    self.expect(b'{')?;
                    self.object(wanted, object, found)?;
                }
            }
            if self.last(b'}')? {
                return Some(());
            }
        }
    }

    /// Reads a key behind its first quote, and says what is wanted of its value.
    fn key(&mut self, members: &[Member]) -> Option<Option<Then>> {
        let first = load(self.text, self.at);
        for member in members {
            let (mask, word) = member.words[0];
            if first & mask == word && self.behind(&member.words[1..]) {
                self.at += member.length;
                return Some(Some(member.then));
            }
        }
        self.string()?.1.then_some(None)
    }

    /// Whether these words follow the first one.
    fn behind(&self, words: &[(u64, u64)]) -> bool {
        let mut at = self.at;
        words.iter().all(|(mask, word)| {
            at += 8;
            load(self.text, at) & mask == *word
        })
    }

    fn scalar(&mut self, number: Option<usize>) -> Option<Found> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                let (span, plain) = self.string()?;
                (self.seen)(Scalar { number, text: true }, span);
                (plain || number.is_none()).then_some(Found::Text(span))
            }
            b'-' | b'0'..=b'9' => {
                let start = self.at;
                let (decimal, length) = Decimal::read(&self.text[start..])?;
                let end = start + length;
                self.at = end;
                let span = Span::new(start, end);
                (self.seen)(Scalar { number, text: false }, span);
                Some(Found::Number(span, decimal))
            }
            b'n' => self.word(b"null").map(|_| Found::Null),
            b't' => self.word(b"true").map(Found::Boolean),
            b'f' => self.word(b"false").map(Found::Boolean),
            _ => None,
        }
    }

    /// Passes over a value of which nothing is wanted.
    fn skip(&mut self, depth: usize) -> Option<()> {
        let end = match self.peek()? {
            b'{' => b'}',
            b'[' => b']',
            _ => return self.scalar(None).map(|_| ()),
        };
        if depth == MAX_SKIPPED_DEPTH {
            return None;
        }
        self.at += 1;
        self.space();
        if self.peek()? == end {
            self.at += 1;
            return Some(());
        }
        loop {
            if end == b'}' {
                self.expect(b'"')?;
                self.string()?;
                self.space();
                self.expect(b':')?;
                self.space();
            }
            self.skip(depth + 1)?;
            if self.last(end)? {
                return Some(());
            }
        }
    }

    /// Reads a string behind its first quote: what is between the quotes, and whether that is its text.
    #[inline]
    fn string(&mut self) -> Option<(Span, bool)> {
        let start = self.at;
        let text = string(&self.text[start..])?;
        self.at = start + text.length + 1;
        Some((Span::new(start, start + text.length), text.plain))
    }

    fn word(&mut self, word: &[u8]) -> Option<Span> {
        let start = self.at;
        self.at += word.len();
        (self.text.get(start..self.at)? == word).then_some(Span::new(start, self.at))
    }

    /// Behind an element: whether it was the last. Otherwise the next one begins here.
    #[inline]
    fn last(&mut self, end: u8) -> Option<bool> {
        self.space();
        let byte = self.peek()?;
        self.at += 1;
        if byte == b',' {
            self.space();
            return Some(false);
        }
        (byte == end).then_some(true)
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        let found = self.peek()? == byte;
        self.at += 1;
        found.then_some(())
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
    }
}

/// What is said of a string without looking at it again.
pub(crate) struct StringEnd {
    /// How many bytes stand before its last quote.
    pub(crate) length: usize,
    /// Whether it has no escapes.
    pub(crate) plain: bool,
    /// Whether it is known to be ASCII.
    pub(crate) ascii: bool,
}

/// Reads a string behind its first quote.
#[inline(always)]
pub(crate) fn string(text: &[u8]) -> Option<StringEnd> {
    let mut seen = 0;
    let length = find(text, |word| {
        seen |= word;
        string_end(word)
    });
    match text.get(length)? {
        b'"' => Some(StringEnd { length, plain: true, ascii: ascii(seen) }),
        b'\\' => escaped(text, length),
        _ => None,
    }
}

/// Reads a string whose first escape stands here.
#[inline(never)]
fn escaped(text: &[u8], mut at: usize) -> Option<StringEnd> {
    while text.get(at)? == &b'\\' {
        at += escape(&text[at..])?.1;
        at += find(text.get(at..)?, string_end);
    }
    (text[at] == b'"').then_some(StringEnd { length: at, plain: false, ascii: false })
}
