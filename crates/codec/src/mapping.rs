//! What `json` and `events` share: the documents in a record, their time, and their labels.

use crate::decimal::TimeUnit;
use crate::decoded::{Fault, shorten};
use crate::pointer::{Met, Pointer, Template, scalar};
use crate::tape::{Json, NodeKind};
use crate::{Decoded, LabelSetting, Message, PlanError, Settings};
use model::{Reason, Time};

/// A longer text is no time.
pub(crate) const MAX_TIME_BYTES: usize = 256;

/// Calls `take` with each document in the record: they stand one after the other, with or without white
/// space between them. After one that is broken it goes on with the next line that begins a document.
pub(crate) fn documents(
    message: &Message<'_>,
    out: &mut Decoded,
    mut take: impl FnMut(Json<'_>, &mut Decoded) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let text = std::str::from_utf8(message.value)
        .map_err(|error| Fault::undecodable(format!("no UTF-8 at byte {}", error.valid_up_to())))?;
    let mut tape = std::mem::take(&mut out.tape);
    tape.refill();
    let mut at = 0;
    let result = loop {
        match tape.read(text, at) {
            Ok(None) => break Ok(()),
            Ok(Some(end)) => {
                let taken = take(tape.root(text), out);
                if taken.is_err() {
                    break taken;
                }
                if tape.exhausted() {
                    let detail = "too many values to look at".to_owned();
                    break Err(Fault { reason: Reason::Oversized, detail, whole: true });
                }
                at = end;
            }
            Err(error) => {
                out.reject(Reason::Undecodable, || not_wanted(message.value, error.at, error.wanted));
                let broken = at + text[at..].len() - text[at..].trim_start().len();
                match text[broken..].find("\n{").into_iter().chain(text[broken..].find("\n[")).min() {
                    Some(next) => at = broken + next,
                    None => break Ok(()),
                }
            }
        }
    };
    out.tape = tape;
    result
}

/// What stands at a place, and what should.
pub(crate) fn not_wanted(text: &[u8], at: usize, wanted: &str) -> String {
    match text.get(at..) {
        None | Some([]) => format!("ends at byte {at}, {wanted} is wanted"),
        Some(rest) => format!("at byte {at} `{}`, {wanted} is wanted", shorten(rest)),
    }
}

/// Where the time stands, and how it is written.
#[derive(Clone, Debug)]
pub(crate) struct TimePlan {
    /// Without it the record's time counts.
    pub(crate) pointer: Option<Pointer>,
    pub(crate) unit: TimeUnit,
}

impl TimePlan {
    pub(crate) fn new(settings: &Settings, stars: usize, errors: &mut Vec<PlanError>) -> TimePlan {
        let unit = settings.time_unit.as_deref().map_or(Ok(TimeUnit::Rfc3339), TimeUnit::parse);
        let unit = keep(unit, "time_unit", errors).unwrap_or(TimeUnit::Rfc3339);
        let text = settings.time.as_deref().filter(|text| *text != "record");
        if text.is_none() && settings.time_unit.is_some() {
            let message = "is given, but `time` is no pointer".to_owned();
            errors.push(PlanError { setting: "time_unit".to_owned(), message });
        }
        TimePlan { pointer: text.and_then(|text| pointer(text, "time", stars, errors)), unit }
    }

    /// The time of a value: the record's where the document has none.
    pub(crate) fn read<'a>(&self, root: Json<'a>, met: &Met<'a>, message: &Message<'_>) -> Result<Time, Fault> {
        let json = self.pointer.as_ref().and_then(|pointer| pointer.get(root, met));
        match json.filter(|json| json.kind() != NodeKind::Null) {
            None => message.time().ok_or_else(no_time),
            Some(json) => {
                let scalar = matches!(json.kind(), NodeKind::Number | NodeKind::Plain | NodeKind::Escaped);
                let short = json.raw().len() <= MAX_TIME_BYTES;
                let time = if scalar && short { self.unit.read(&json.text()) } else { None };
                time.ok_or_else(|| {
                    Fault::part(Reason::BadTime, format!("time is `{}`", shorten(json.raw().as_bytes())))
                })
            }
        }
    }
}

/// Neither a value nor its record says when it was.
pub(crate) fn no_time() -> Fault {
    Fault::part(Reason::Missing, "no time, and the record has none")
}

/// A label, or labels of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    /// The name; of members what stands before it.
    pub(crate) name: String,
    pub(crate) source: LabelSource,
}

/// Where a label comes from.
#[derive(Clone, Debug)]
pub(crate) enum LabelSource {
    /// A text made of values of the document.
    Template(Template),
    /// The members of an object, each a label.
    Members(Pointer),
    /// The record's key.
    Key,
    /// The record's last header of this name.
    Header(String),
    /// The topic.
    Topic,
}

/// Compiles the labels of a format whose values have met `stars` stars.
pub(crate) fn labels(settings: &Settings, stars: usize, errors: &mut Vec<PlanError>) -> Vec<Label> {
    let mut labels = Vec::new();
    for (name, setting) in &settings.labels {
        let path = format!("labels.{name}");
        let source = match (name.strip_suffix('*'), setting) {
            (Some(_), LabelSetting::Template(text)) => pointer(text, &path, stars, errors).map(LabelSource::Members),
            (Some(_), _) => {
                let message = "a name with `*` takes the members of an object, and wants a pointer to it".to_owned();
                errors.push(PlanError { setting: path, message });
                None
            }
            (None, LabelSetting::Template(text)) => template(text, &path, stars, errors).map(LabelSource::Template),
            (None, LabelSetting::Key) => Some(LabelSource::Key),
            (None, LabelSetting::Header(header)) => Some(LabelSource::Header(header.clone())),
            (None, LabelSetting::Topic) => Some(LabelSource::Topic),
        };
        let name = name.strip_suffix('*').unwrap_or(name).to_owned();
        labels.extend(source.map(|source| Label { name, source }));
    }
    labels
}

/// Appends the labels to a raw series key. Those that are missing, null, or no scalars are left out.
pub(crate) fn write_labels<'a>(
    labels: &[Label],
    root: Json<'a>,
    met: &Met<'a>,
    message: &Message<'_>,
    out: &mut Decoded,
) -> Result<(), Fault> {
    for label in labels {
        out.room()?;
        match &label.source {
            LabelSource::Template(template) => {
                write_label(out, &label.name, None, |out| template.fill(root, met, &mut out.bytes).is_ok());
            }
            LabelSource::Members(pointer) => {
                for (key, value) in pointer.get(root, met).into_iter().flat_map(Json::members) {
                    write_label(out, &label.name, Some(key), |out| scalar(value, &mut out.bytes).is_ok());
                }
            }
            LabelSource::Key | LabelSource::Header(_) | LabelSource::Topic => {
                write_label(out, &label.name, None, |out| write_beside(&label.source, message, out));
            }
        }
    }
    Ok(())
}

/// Appends one label; takes it back where it has no value.
fn write_label(out: &mut Decoded, name: &str, key: Option<Json<'_>>, value: impl FnOnce(&mut Decoded) -> bool) {
    let start = out.bytes.len();
    out.separate();
    out.text(name.as_bytes());
    if let Some(key) = key {
        key.pieces(|piece| out.text(piece.as_bytes()));
    }
    out.separate();
    if !value(out) {
        out.bytes.truncate(start);
    }
}

/// Appends what lies beside the document, where it is there.
pub(crate) fn write_beside(source: &LabelSource, message: &Message<'_>, out: &mut Decoded) -> bool {
    match source {
        LabelSource::Key => write_bytes(message.record.key, out),
        LabelSource::Header(name) => {
            let header = message.record.headers().filter(|(found, _)| *found == name.as_bytes()).last();
            write_bytes(header.and_then(|(_, value)| value), out)
        }
        LabelSource::Topic => write_bytes(Some(message.topic.as_bytes()), out),
        LabelSource::Template(_) | LabelSource::Members(_) => false,
    }
}

/// Appends bytes that should be text, else their hexadecimal digits: keys may be hashes.
fn write_bytes(bytes: Option<&[u8]>, out: &mut Decoded) -> bool {
    let Some(bytes) = bytes else { return false };
    if std::str::from_utf8(bytes).is_ok() {
        out.text(bytes);
    } else {
        for byte in bytes {
            out.text(format!("{byte:02x}").as_bytes());
        }
    }
    true
}

/// Compiles a pointer whose stars move with `stars` others.
pub(crate) fn pointer(text: &str, setting: &str, stars: usize, errors: &mut Vec<PlanError>) -> Option<Pointer> {
    let compiled = Pointer::parse(text).and_then(|pointer| in_step(text, pointer.stars(), stars).map(|()| pointer));
    keep(compiled, setting, errors)
}

/// Compiles a template whose stars move with `stars` others.
pub(crate) fn template(text: &str, setting: &str, stars: usize, errors: &mut Vec<PlanError>) -> Option<Template> {
    let compiled = Template::parse(text).and_then(|template| in_step(text, template.stars(), stars).map(|()| template));
    keep(compiled, setting, errors)
}

fn in_step(text: &str, stars: usize, met: usize) -> Result<(), String> {
    if stars > met {
        return Err(format!("`{text}` has {stars} `*`, but there are only {met} to move in step with"));
    }
    Ok(())
}

/// The result, or an error about this setting.
pub(crate) fn keep<T>(result: Result<T, String>, setting: &str, errors: &mut Vec<PlanError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(message) => {
            errors.push(PlanError { setting: setting.to_owned(), message });
            None
        }
    }
}
