//! The shape of the document that was read last: what stands before, between and behind its wanted values. Programs
//! write the same again and again but for the values, so that most documents need only be compared with it.
//!
//! A number in the place of a number, and a string in the place of a string, leave a document what it was to all around
//! them. So where all else is the same, a scan would find the same places: a shape answers exactly as the scan, or
//! not at all.

use crate::decimal::Decimal;
use crate::scan::{Found, MAX_WANTED, Scalar, Span, StringEnd, Wanted, string};
use crate::words::load;
use std::sync::Arc;

/// Documents of more numbers and strings have no shape.
const MAX_SCALARS: usize = 64;

/// A shape, and the memory for the next one.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    /// What was wanted of the document; nothing where it has no shape.
    of: Option<Arc<Wanted>>,
    /// What was found in the document that was read last, by the numbers of what is wanted. All that is found in
    /// documents of one shape is found in each of them.
    pub(crate) found: [Found; MAX_WANTED],
    /// The numbers and strings in their order, each with the text before it; of a string it has the first quote.
    scalars: Vec<(Text, Scalar)>,
    /// What stands behind the last of them.
    end: Vec<u8>,
    /// All these texts.
    around: Vec<u8>,
}

/// A text to compare with.
#[derive(Debug, Default)]
struct Text {
    /// Its first sixteen bytes in words: which bits of each count, and what they are.
    words: [(u64, u64); 2],
    /// Where all of it lies in `Shape::around`.
    start: usize,
    length: usize,
}

impl Text {
    fn new(text: &[u8], around: &mut Vec<u8>) -> Text {
        let word = |at: usize| {
            let bytes = text.len().saturating_sub(at).min(8);
            let mask = u64::MAX.checked_shr(64 - 8 * bytes as u32).unwrap_or(0);
            (mask, load(text, at) & mask)
        };
        let start = around.len();
        around.extend_from_slice(text);
        Text { words: [word(0), word(8)], start, length: text.len() }
    }

    /// What comes behind this text, if `rest` begins with it.
    #[inline]
    fn pass<'a>(&self, rest: &'a [u8], around: &[u8]) -> Option<&'a [u8]> {
        let [(first_mask, first), (second_mask, second)] = self.words;
        if let Some(chunk) = rest.first_chunk::<16>() {
            if load(chunk, 0) & first_mask != first || load(chunk, 8) & second_mask != second {
                return None;
            }
            if self.length <= 16 {
                return Some(&rest[self.length..]);
            }
        }
        rest.strip_prefix(around.get(self.start..self.start + self.length)?)
    }
}

impl Shape {
    /// Reads a document, if it has this shape.
    #[inline]
    pub(crate) fn read(&mut self, wanted: &Arc<Wanted>, text: &[u8]) -> bool {
        self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, wanted)) && self.find(text).is_some()
    }

    #[inline(never)]
    fn find(&mut self, text: &[u8]) -> Option<()> {
        let mut rest = text;
        for (before, scalar) in &self.scalars {
            rest = before.pass(rest, &self.around)?;
            let start = text.len() - rest.len();
            if scalar.text {
                let StringEnd { length, plain, ascii } = string(rest)?;
                let (text, behind) = rest.split_at(length);
                if !ascii && std::str::from_utf8(text).is_err() {
                    return None;
                }
                if let Some(number) = scalar.number {
                    self.found[number] = plain.then_some(Found::Text(Span::new(start, start + length)))?;
                }
                rest = behind;
            } else {
                let (decimal, length) = Decimal::read(rest)?;
                if let Some(number) = scalar.number {
                    self.found[number] = Found::Number(Span::new(start, start + length), decimal);
                }
                rest = &rest[length..];
            }
        }
        (rest == self.end).then_some(())
    }

    /// Reads a document by a scan, and takes its shape.
    pub(crate) fn scan(&mut self, wanted: &Arc<Wanted>, text: &[u8]) -> Option<()> {
        self.of = None;
        self.scalars.clear();
        self.around.clear();
        self.end.clear();
        self.found = [Found::Missing; MAX_WANTED];
        let (mut at, mut known) = (0, true);
        let (around, scalars) = (&mut self.around, &mut self.scalars);
        wanted.scan(text, &mut self.found, &mut |scalar, span| {
            known &= scalars.len() < MAX_SCALARS;
            if known {
                scalars.push((Text::new(&text[at..span.start()], around), scalar));
                at = span.end();
            }
        })?;
        // A wanted word is not found by a shape, so that such a document has none.
        if known && !self.found.iter().any(|found| matches!(found, Found::Null | Found::Boolean(_))) {
            self.end.extend_from_slice(&text[at..]);
            self.of = Some(wanted.clone());
        }
        Some(())
    }
}
