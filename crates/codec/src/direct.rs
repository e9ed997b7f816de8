//! The short way of format `json`: records of one document, from which a few values are wanted by keys alone, go from
//! their bytes to samples without a [`tape`](crate::tape) in between.
//!
//! It answers exactly as the way over the tape, or not at all. So it refuses nothing itself: whatever it does not
//! know to be good, it leaves to the other way, which says what is wrong.

use crate::decimal::{TimeUnit, number};
use crate::json::KindPlan;
use crate::mapping::{Label, LabelSource, MAX_TIME_BYTES, TimePlan, write_beside};
use crate::pointer::{Part, Pointer, Template};
use crate::scan::{Found, MAX_WANTED, Span, Wanted};
use crate::{Decoded, Kind, Message};
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
    /// Name and value; at least one.
    values: Vec<(Vec<Piece>, usize)>,
    labels: Vec<DirectLabel>,
    time: Option<usize>,
    unit: TimeUnit,
    kind: DirectKind,
}

/// A piece of a text.
enum Piece {
    Text(String),
    Value(usize),
}

struct DirectLabel {
    /// The name between separators.
    name: Vec<u8>,
    source: Source,
}

enum Source {
    Document(Vec<Piece>),
    Beside(LabelSource),
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
            Part::Text(text) => Some(Piece::Text(text.clone())),
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
        let values: Option<Vec<(Vec<Piece>, usize)>> =
            values.iter().map(|(name, value)| Some((compiler.pieces(name)?, compiler.value(value)?))).collect();
        let label = |label: &Label| {
            let name = [b"\xFF", label.name.as_bytes(), b"\xFF"].concat();
            let source = match &label.source {
                LabelSource::Template(template) => Source::Document(compiler.pieces(template)?),
                LabelSource::Members(_) => return None,
                beside => Source::Beside(beside.clone()),
            };
            Some(DirectLabel { name, source })
        };
        let labels: Option<Vec<DirectLabel>> = labels.iter().map(label).collect();
        let (values, labels) = (values?, labels?);
        let time_value = match &time.pointer {
            None => None,
            Some(pointer) => Some(compiler.value(pointer)?),
        };
        let kind = match kind {
            KindPlan::Constant(kind) => DirectKind::Constant(*kind),
            KindPlan::Word(pointer, words) => DirectKind::Word(compiler.value(pointer)?, words.clone()),
        };
        let name_bytes: usize = labels.iter().map(|label| label.name.len()).sum();
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
        let mut found = [Found::Missing; MAX_WANTED];
        self.find(text, out, &mut found)?;
        let time = self.time(&found, message)?;
        let kind = self.kind(&found, text)?;
        let mut any = false;
        for (name, value) in &self.values {
            let value = match found[*value] {
                Found::Missing if self.values.len() > 1 => continue,
                Found::Number(span, decimal) => decimal.value().or_else(|| number(str(text, span)?))?,
                Found::Text(span) => number(str(text, span)?)?,
                _ => return None,
            };
            let start = out.place();
            if !value.is_finite() || !fill(name, &found, text, out) || out.place() == start {
                return None;
            }
            for label in &self.labels {
                write_label(label, &found, message, out);
            }
            out.sample(start, time, value, kind).ok()?;
            any = true;
        }
        any.then_some(())
    }

    /// Finds the wanted values: by the shape of the document before, otherwise by a scan.
    fn find(&self, text: &[u8], out: &mut Decoded, found: &mut [Found; MAX_WANTED]) -> Option<()> {
        if text.len() > MAX_BYTES {
            return None;
        }
        if out.shape.read(&self.wanted, text, found).is_some() {
            return Some(());
        }
        *found = [Found::Missing; MAX_WANTED];
        std::str::from_utf8(text).ok()?;
        out.shape.scan(&self.wanted, text, found)
    }

    fn time(&self, found: &[Found; MAX_WANTED], message: &Message<'_>) -> Option<Time> {
        let Some(number) = self.time else { return message.time };
        match found[number] {
            Found::Missing | Found::Null => message.time,
            Found::Number(span, _) | Found::Text(span) if span.end() - span.start() > MAX_TIME_BYTES => None,
            Found::Number(span, decimal) => {
                decimal.time(self.unit).or_else(|| self.unit.read(str(message.value, span)?))
            }
            Found::Text(span) => self.unit.read(str(message.value, span)?),
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

/// Appends a label; takes it back where it has no value.
fn write_label(label: &DirectLabel, found: &[Found; MAX_WANTED], message: &Message<'_>, out: &mut Decoded) {
    let start = out.bytes.len();
    out.text(&label.name);
    let written = match &label.source {
        Source::Document(pieces) => fill(pieces, found, message.value, out),
        Source::Beside(source) => write_beside(source, message, out),
    };
    if !written {
        out.bytes.truncate(start);
    }
}

/// Appends a text; says whether all of it was there.
fn fill(pieces: &[Piece], found: &[Found; MAX_WANTED], text: &[u8], out: &mut Decoded) -> bool {
    pieces.iter().all(|piece| {
        let piece = match piece {
            Piece::Text(text) => text.as_bytes(),
            Piece::Value(number) => match found[*number].span() {
                Some(span) => &text[span.start()..span.end()],
                None => return false,
            },
        };
        out.bytes.extend_from_slice(piece);
        true
    })
}

fn str(text: &[u8], span: Span) -> Option<&str> {
    std::str::from_utf8(&text[span.start()..span.end()]).ok()
}
