//! The wanted values of a JSON document, in one pass over its bytes: a key is compared with the few that are wanted
//! where it stands, and of all else it is only seen that it is JSON.
//!
//! A scan answers exactly as the [`tape`](crate::tape) does, or not at all. It gives up on what is broken, and on what
//! is rare: keys with escapes, wanted strings with escapes, wanted keys that stand twice, arrays and objects where
//! a scalar is wanted (and the other way round), deep nesting, and several documents. So the tape alone has
//! to say what is wrong with a document.

use crate::decimal::Decimal;
use crate::tape::escape;
use crate::words::{below, equal, find, load};

/// How many values may be wanted of a document.
pub(crate) const MAX_WANTED: usize = 16;

/// How deep wanted values may lie; with what may be nested in between less than the tape takes.
const MAX_WANTED_DEPTH: usize = 16;
const MAX_SKIPPED_DEPTH: usize = 64;

/// Which values are wanted, as a tree of objects.
pub(crate) struct Wanted {
    /// The document's members first.
    objects: Vec<Vec<Member>>,
    /// How many values are wanted.
    count: usize,
}

/// A member that is wanted, or leads to such.
struct Member {
    /// The key and the quote behind it in words of eight bytes: which bits of each count, and what they are.
    words: Vec<(u64, u64)>,
    /// The bytes of the key and the quote.
    length: usize,
    key: String,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    /// It is the wanted value of this number.
    Value(usize),
    /// It is this one of the objects.
    Object(usize),
}

/// A value that was wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'a> {
    Missing,
    Null,
    Boolean(&'a [u8]),
    /// A number, and its text.
    Number(&'a [u8], Decimal),
    /// A string without escapes.
    Text(&'a [u8]),
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
    pub(crate) fn scan<'a>(&self, text: &'a [u8], found: &mut [Found<'a>; MAX_WANTED]) -> Option<()> {
        let mut scan = Scan { text, at: 0 };
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
}

impl<'a> Scan<'a> {
    /// Reads the members of an object in which something is wanted, behind its brace.
    fn object(&mut self, wanted: &Wanted, object: usize, found: &mut [Found<'a>; MAX_WANTED]) -> Option<()> {
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
                    found[number] = self.scalar()?;
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

    fn scalar(&mut self) -> Option<Found<'a>> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                let (text, plain) = self.string()?;
                plain.then_some(Found::Text(text))
            }
            b'-' | b'0'..=b'9' => {
                let start = self.at;
                let (decimal, end) = Decimal::read(self.text, start)?;
                self.at = end;
                Some(Found::Number(&self.text[start..end], decimal))
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
            b'"' => {
                self.at += 1;
                return self.string().map(|_| ());
            }
            b'{' => b'}',
            b'[' => b']',
            _ => return self.scalar().map(|_| ()),
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
    fn string(&mut self) -> Option<(&'a [u8], bool)> {
        let (start, mut plain) = (self.at, true);
        loop {
            self.at = find(self.text, self.at, |word| below(word, 0x20) | equal(word, b'"') | equal(word, b'\\'));
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    plain = false;
                    self.at += escape(&self.text[self.at..])?.1;
                }
                _ => return None,
            }
        }
        let text = &self.text[start..self.at];
        self.at += 1;
        Some((text, plain))
    }

    fn word(&mut self, word: &[u8]) -> Option<&'a [u8]> {
        let found = &self.text[self.at..];
        let found = found.get(..word.len()).filter(|found| *found == word)?;
        self.at += word.len();
        Some(found)
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
