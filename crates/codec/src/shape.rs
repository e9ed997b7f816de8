//! The shape of the document that was read last: what stands before, between and behind its wanted values. Programs
//! write the same again and again but for the values, so that most documents need only be compared with it.
//!
//! A number in the place of a number, and a string in the place of a string, leave a document what it was to all around
//! them. So where all else is the same, a scan would find the same places: a shape answers exactly as the scan, or
//! not at all.

use crate::decimal::Decimal;
use crate::scan::{Found, MAX_WANTED, Scalar, Span, StringEnd, Wanted, string};
use std::sync::Arc;

/// Documents of more numbers and strings have no shape.
const MAX_SCALARS: usize = 64;

/// A shape, and the memory for the next one.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    /// What was wanted of the document.
    of: Option<Arc<Wanted>>,
    /// All that is no number or string, one behind the other.
    around: Vec<u8>,
    /// The numbers and strings in their order, and where the text before each of them ends in `around`; of a string
    /// it has the first quote.
    scalars: Vec<(Scalar, usize)>,
}

impl Shape {
    /// Reads a document that has this shape.
    pub(crate) fn read(&self, wanted: &Arc<Wanted>, text: &[u8], found: &mut [Found; MAX_WANTED]) -> Option<()> {
        if !self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, wanted)) {
            return None;
        }
        let (mut at, mut begin) = (0, 0);
        for (scalar, before) in &self.scalars {
            let before = self.around.get(begin..*before)?;
            let start = at + before.len();
            if text.get(at..start)? != before {
                return None;
            }
            begin += before.len();
            if scalar.text {
                let StringEnd { end, plain, ascii } = string(text, start)?;
                if !ascii && std::str::from_utf8(&text[start..end]).is_err() {
                    return None;
                }
                at = end;
                if let Some(number) = scalar.number {
                    found[number] = plain.then_some(Found::Text(Span::new(start, end)))?;
                }
            } else {
                let (decimal, end) = Decimal::read(text, start)?;
                at = end;
                if let Some(number) = scalar.number {
                    found[number] = Found::Number(Span::new(start, end), decimal);
                }
            }
        }
        (text.get(at..)? == self.around.get(begin..)?).then_some(())
    }

    /// Reads a document by a scan, and takes its shape.
    pub(crate) fn scan(&mut self, wanted: &Arc<Wanted>, text: &[u8], found: &mut [Found; MAX_WANTED]) -> Option<()> {
        self.of = None;
        self.around.clear();
        self.scalars.clear();
        let (mut at, mut known) = (0, true);
        let (around, scalars) = (&mut self.around, &mut self.scalars);
        wanted.scan(text, found, &mut |scalar, span| {
            known &= scalars.len() < MAX_SCALARS;
            if known {
                around.extend_from_slice(&text[at..span.start()]);
                scalars.push((scalar, around.len()));
                at = span.end();
            }
        })?;
        // A wanted word is not found by a shape, so that such a document has none.
        if known && !found.iter().any(|found| matches!(found, Found::Null | Found::Boolean(_))) {
            self.around.extend_from_slice(&text[at..]);
            self.of = Some(wanted.clone());
        }
        Some(())
    }
}
