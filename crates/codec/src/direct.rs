//! The short way of format `json`: records of one document, from which a few values are wanted by keys alone, go from
//! their bytes to samples without a [`tape`](crate::tape) in between.
//!
//! It answers exactly as the way over the tape, or not at all. So it refuses nothing itself: whatever it does not
//! know to be good, it leaves to the other way, which says what is wrong.

use crate::decimal::{TimeUnit, number};
use crate::decoded::SEPARATOR;
use crate::json::KindPlan;
use crate::mapping::{Label, LabelSource, MAX_TIME_BYTES, TimePlan, write_beside};
use crate::pointer::{Part, Pointer, Template};
use crate::scan::{Found, MAX_WANTED, Span, Wanted};
use crate::{Decoded, Kind, Message, Sample};
use model::Time;
use std::sync::Arc;

/// Longer records go the other way, where what they may cost is counted.
const MAX_BYTES: usize = 64 << 10;
/// How often values may be used.
const MAX_USES: usize = 64;
/// How long the names of labels may be in all.
const MAX_NAME_BYTES: usize = 4 << 10;

/// A plan in which values have become numbers of what a scan finds.
pub(crate) struct Direct {
    wanted: Arc<Wanted>,
    /// At least one.
    values: Vec<DirectValue>,
    /// Each with its separators and its name.
    labels: Vec<Vec<Piece>>,
    time: Option<usize>,
    unit: TimeUnit,
    kind: DirectKind,
}

struct DirectValue {
    value: usize,
    name: Vec<Piece>,
    /// The name and all labels, as nearly all documents have them.
    key: Vec<Piece>,
}

/// A piece of a text.
#[derive(Clone)]
enum Piece {
    Text(Vec<u8>),
    Value(usize),
    Beside(Box<LabelSource>),
}

enum DirectKind {
    Constant(Kind),
    Word(usize, Vec<(String, Kind)>),
}

/// Notes what is wanted while a plan is compiled.
struct Compiler {
    wanted: Wanted,
    uses: usize,
}

impl Compiler {
    fn value(&mut self, pointer: &Pointer) -> Option<usize> {
        self.uses += 1;
        self.wanted.want(&pointer.keys()?)
    }

    fn pieces(&mut self, template: &Template) -> Option<Vec<Piece>> {
        let piece = |part: &Part| match part {
            Part::Text(text) => Some(Piece::Text(text.clone().into_bytes())),
            Part::Pointer(pointer) => self.value(pointer).map(Piece::Value),
            Part::Last => None,
        };
        template.parts().iter().map(piece).collect()
    }
}

impl Direct {
    /// Compiles the plan, if it is one that can go the short way.
    pub(crate) fn new(
        values: &[(Template, Pointer)],
        labels: &[Label],
        time: &TimePlan,
        kind: &KindPlan,
    ) -> Option<Direct> {
        let mut compiler = Compiler { wanted: Wanted::new(), uses: 0 };
        let name_bytes: usize = labels.iter().map(|label| label.name.len()).sum();
        let label = |label: &Label| {
            let mut pieces = vec![Piece::Text([&[SEPARATOR], label.name.as_bytes(), &[SEPARATOR]].concat())];
            match &label.source {
                LabelSource::Template(template) => join(&mut pieces, &compiler.pieces(template)?),
                LabelSource::Members(_) => return None,
                beside => pieces.push(Piece::Beside(Box::new(beside.clone()))),
            }
            Some(pieces)
        };
        let labels: Option<Vec<Vec<Piece>>> = labels.iter().map(label).collect();
        let labels = labels?;
        let value = |(name, value): &(Template, Pointer)| {
            let name = compiler.pieces(name)?;
            let mut key = Vec::new();
            [&name].into_iter().chain(&labels).for_each(|pieces| join(&mut key, pieces));
            Some(DirectValue { value: compiler.value(value)?, name, key })
        };
        let values: Option<Vec<DirectValue>> = values.iter().map(value).collect();
        let values = values?;
        let time_value = match &time.pointer {
            None => None,
            Some(pointer) => Some(compiler.value(pointer)?),
        };
        let kind = match kind {
            KindPlan::Constant(kind) => DirectKind::Constant(*kind),
            KindPlan::Word(pointer, words) => DirectKind::Word(compiler.value(pointer)?, words.clone()),
        };
        let few = compiler.uses <= MAX_USES && name_bytes <= MAX_NAME_BYTES;
        few.then_some(Direct {
            wanted: Arc::new(compiler.wanted),
            values,
            labels,
            time: time_value,
            unit: time.unit,
            kind,
        })
    }

    /// Adds what the message holds; nothing where it is for the other way to say. Then what was added is to be
    /// taken back.
    pub(crate) fn decode(&self, message: &Message<'_>, out: &mut Decoded) -> Option<()> {
        let text = message.value;
        if text.len() > MAX_BYTES || !out.shape.read(&self.wanted, text) {
            self.scan(text, out)?;
        }
        let time = self.time(&out.shape.found, message)?;
        let kind = self.kind(&out.shape.found, text)?;
        let mut any = false;
        for DirectValue { value, name, key } in &self.values {
            let value = match out.shape.found[*value] {
                Found::Missing if self.values.len() > 1 => continue,
                Found::Number(span, decimal) => decimal.value().or_else(|| finite(text, span))?,
                Found::Text(span) => finite(text, span)?,
                _ => return None,
            };
            let start = out.bytes.len();
            if !fill(key, message, out) {
                out.bytes.truncate(start);
                self.fill_name_and_labels(name, message, out)?;
            }
            if out.bytes.get(start).is_none_or(|first| *first == SEPARATOR) {
                return None;
            }
            out.samples.push(Sample { series: start as u32..out.place(), time, value, kind });
            any = true;
        }
        any.then_some(())
    }

    /// Finds the wanted values in a document that is not of the shape of the one before.
    #[inline(never)]
    fn scan(&self, text: &[u8], out: &mut Decoded) -> Option<()> {
        if text.len() > MAX_BYTES {
            return None;
        }
        std::str::from_utf8(text).ok()?;
        out.shape.scan(&self.wanted, text)
    }

    /// Appends a key without the labels that have no value.
    #[inline(never)]
    fn fill_name_and_labels(&self, name: &[Piece], message: &Message<'_>, out: &mut Decoded) -> Option<()> {
        if !fill(name, message, out) {
            return None;
        }
        for label in &self.labels {
            let start = out.bytes.len();
            if !fill(label, message, out) {
                out.bytes.truncate(start);
            }
        }
        Some(())
    }

    fn time(&self, found: &[Found; MAX_WANTED], message: &Message<'_>) -> Option<Time> {
        let Some(number) = self.time else { return message.time() };
        if let Found::Number(_, decimal) = found[number]
            && let Some(time) = decimal.time(self.unit)
        {
            return Some(time);
        }
        match found[number] {
            Found::Missing | Found::Null => message.time(),
            Found::Number(span, _) | Found::Text(span) if span.end() - span.start() > MAX_TIME_BYTES => None,
            Found::Number(span, _) | Found::Text(span) => self.unit.read(str(message.value, span)?),
            Found::Boolean(_) => None,
        }
    }

    fn kind(&self, found: &[Found; MAX_WANTED], text: &[u8]) -> Option<Kind> {
        match &self.kind {
            DirectKind::Constant(kind) => Some(*kind),
            DirectKind::Word(number, words) => {
                let Found::Text(span) = found[*number] else { return None };
                let text = &text[span.start()..span.end()];
                words.iter().find(|(word, _)| word.as_bytes() == text).map(|(_, kind)| *kind)
            }
        }
    }
}

/// Appends a text; says whether all of it was there.
#[inline(always)]
fn fill(pieces: &[Piece], message: &Message<'_>, out: &mut Decoded) -> bool {
    for piece in pieces {
        let piece = match piece {
            Piece::Text(text) => text,
            Piece::Value(number) => match out.shape.found[*number].span() {
                Some(span) => &message.value[span.start()..span.end()],
                None => return false,
            },
            Piece::Beside(source) if write_beside(source, message, out) => continue,
            Piece::Beside(_) => return false,
        };
        out.bytes.extend_from_slice(piece);
    }
    true
}

/// Appends pieces to others, so that there are no two constant ones side by side.
fn join(pieces: &mut Vec<Piece>, more: &[Piece]) {
    for piece in more {
        match (pieces.last_mut(), piece) {
            (Some(Piece::Text(text)), Piece::Text(more)) => text.extend_from_slice(more),
            _ => pieces.push(piece.clone()),
        }
    }
}

/// The number in the text of a document, if it is finite.
fn finite(text: &[u8], span: Span) -> Option<f64> {
    number(str(text, span)?).filter(|value| value.is_finite())
}

fn str(text: &[u8], span: Span) -> Option<&str> {
    std::str::from_utf8(&text[span.start()..span.end()]).ok()
}
