//! Format `json`: any JSON, read by pointers.

use crate::decimal::number;
use crate::decoded::{Fault, shorten};
use crate::direct::Direct;
use crate::mapping::{Label, TimePlan, documents, keep, labels, pointer, template, write_labels};
use crate::pointer::{Found, Met, Pointer, Template, Unfilled};
use crate::tape::{Json, NodeKind};
use crate::{Decoded, Decoder, Kind, Message, Plan, PlanError, Settings};
use model::Reason;
use std::sync::Arc;

/// The settings that mean something here.
pub(crate) const SETTINGS: &[&str] = &["value", "values", "name", "labels", "time", "time_unit", "kind", "kinds"];

/// The words for kinds.
const KINDS: [(&str, Kind); 3] = [("gauge", Kind::Gauge), ("cumulative", Kind::Cumulative), ("delta", Kind::Delta)];

struct JsonPlan {
    /// The short way, where there is one.
    direct: Option<Direct>,
    /// Names and pointers; at least one.
    values: Vec<(Template, Pointer)>,
    labels: Vec<Label>,
    time: TimePlan,
    kind: KindPlan,
}

/// What kind values are of.
pub(crate) enum KindPlan {
    /// Always this one.
    Constant(Kind),
    /// A word in the document, and what words mean.
    Word(Pointer, Vec<(String, Kind)>),
}

/// Compiles the plan.
pub(crate) fn plan(settings: &Settings) -> Plan {
    let mut errors = Vec::new();
    let mut wrong = |setting: &str, message: &str| {
        errors.push(PlanError { setting: setting.to_owned(), message: message.to_owned() });
    };
    let mut written: Vec<(String, &str, String, &str)> = Vec::new();
    match (&settings.value, &settings.name) {
        (Some(_), _) if !settings.values.is_empty() => wrong("values", "stands beside `value`; one of them is wanted"),
        (Some(value), Some(name)) => written.push(("name".to_owned(), name, "value".to_owned(), value)),
        (Some(_), None) => wrong("name", "is missing, such as `{/name}.{*}`"),
        (None, _) if settings.values.is_empty() => wrong("value", "is missing: a pointer such as /value or /fields/*"),
        (None, Some(_)) => wrong("name", "stands beside `values`, which are named there"),
        (None, None) => {}
    }
    for (name, value) in &settings.values {
        written.push((format!("values.{name}"), name, format!("values.{name}"), value));
    }
    let mut values = Vec::new();
    for (name_setting, name, value_setting, value) in &written {
        let Some(value) = keep(Pointer::parse(value), value_setting, &mut errors) else { continue };
        if let Some(name) = template(name, name_setting, value.stars(), &mut errors) {
            values.push((name, value));
        }
    }
    // Labels, time and kind go with every value: their stars must be met by all.
    let stars = values.iter().map(|(_, value)| value.stars()).min().unwrap_or(0);
    // Where a value is already wrong, how many stars there are is not known.
    let stars = if errors.is_empty() { stars } else { usize::MAX };
    let labels = labels(settings, stars, &mut errors);
    let time = TimePlan::new(settings, stars, &mut errors);
    let kind = kind_plan(settings, stars, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let direct = Direct::new(&values, &labels, &time, &kind);
    Ok(Arc::new(JsonPlan { direct, values, labels, time, kind }))
}

fn kind_plan(settings: &Settings, stars: usize, errors: &mut Vec<PlanError>) -> KindPlan {
    let meaning = |word: &str| KINDS.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind);
    let wanted = |word: &str| format!("`{word}` is no kind; there are gauge, cumulative, delta");
    let text = settings.kind.as_deref().unwrap_or("gauge");
    if !text.starts_with('/') {
        if !settings.kinds.is_empty() {
            let message = "is given, but `kind` is no pointer to a word".to_owned();
            errors.push(PlanError { setting: "kinds".to_owned(), message });
        }
        let kind = keep(meaning(text).ok_or_else(|| wanted(text)), "kind", errors);
        return KindPlan::Constant(kind.unwrap_or(Kind::Gauge));
    }
    let mut words: Vec<(String, Kind)> = Vec::new();
    for (word, kind) in &settings.kinds {
        let kind = keep(meaning(kind).ok_or_else(|| wanted(kind)), &format!("kinds.{word}"), errors);
        words.extend(kind.map(|kind| (word.clone(), kind)));
    }
    words.extend(KINDS.map(|(word, kind)| (word.to_owned(), kind)));
    match pointer(text, "kind", stars, errors) {
        Some(pointer) => KindPlan::Word(pointer, words),
        None => KindPlan::Constant(Kind::Gauge),
    }
}

impl Decoder for JsonPlan {
    fn decode(&self, message: &Message<'_>, out: &mut Decoded) -> Result<(), Fault> {
        if let Some(direct) = &self.direct
            && out.attempt(|out| direct.decode(message, out))
        {
            return Ok(());
        }
        self.documents(message, out)
    }
}

impl JsonPlan {
    #[inline(never)]
    fn documents(&self, message: &Message<'_>, out: &mut Decoded) -> Result<(), Fault> {
        documents(message, out, |root, out| self.document(root, message, out))
    }

    fn document(&self, root: Json<'_>, message: &Message<'_>, out: &mut Decoded) -> Result<(), Fault> {
        let mut any = false;
        for (name, value) in &self.values {
            value.each(root, &mut |found, met| {
                // With several values a document need not have all of them.
                any |= self.values.len() == 1 || !matches!(found, Found::Missing);
                match found {
                    Found::Value(json) => out.part(|out| self.sample(name, json, root, met, message, out)),
                    Found::Missing if self.values.len() > 1 => Ok(()),
                    Found::Missing => {
                        out.reject(Reason::Missing, || format!("no value at `{}`", value.text()));
                        Ok(())
                    }
                    Found::WrongType => {
                        let way = value.text();
                        out.reject(Reason::WrongType, || format!("no array or object on the way to `{way}`"));
                        Ok(())
                    }
                }
            })?;
        }
        if !any {
            match self.values.as_slice() {
                [(_, value)] => out.reject(Reason::NothingInside, || format!("nothing at `{}`", value.text())),
                _ => out.reject(Reason::Missing, || "none of the values is there".to_owned()),
            }
        }
        Ok(())
    }

    fn sample<'a>(
        &self,
        name: &Template,
        json: Json<'a>,
        root: Json<'a>,
        met: &Met<'a>,
        message: &Message<'_>,
        out: &mut Decoded,
    ) -> Result<(), Fault> {
        let start = out.place();
        name.fill(root, met, &mut out.bytes).map_err(|unfilled| match unfilled {
            Unfilled::Missing => Fault::part(Reason::Missing, "a part of the name is not there"),
            Unfilled::WrongType => Fault::part(Reason::WrongType, "a part of the name is an array or an object"),
        })?;
        if out.place() == start {
            return Err(Fault::part(Reason::Missing, "the name is empty"));
        }
        let value = match json.kind() {
            NodeKind::Number | NodeKind::Plain => number(json.raw()),
            NodeKind::Escaped => number(&json.text()),
            _ => None,
        };
        let value = value.ok_or_else(|| {
            let (name, found) = (shorten(&out.bytes[start as usize..]), shorten(json.raw().as_bytes()));
            Fault::part(Reason::NotNumeric, format!("value of `{name}` is `{found}`"))
        })?;
        let time = self.time.read(root, met, message)?;
        let kind = self.kind(root, met)?;
        write_labels(&self.labels, root, met, message, out)?;
        out.sample(start, time, value, kind)
    }

    fn kind<'a>(&self, root: Json<'a>, met: &Met<'a>) -> Result<Kind, Fault> {
        let (pointer, words) = match &self.kind {
            KindPlan::Constant(kind) => return Ok(*kind),
            KindPlan::Word(pointer, words) => (pointer, words),
        };
        let json = pointer.get(root, met).filter(|json| json.kind() != NodeKind::Null);
        let json = json.ok_or_else(|| Fault::part(Reason::Missing, format!("no kind at `{}`", pointer.text())))?;
        let known = words.iter().find(|(word, _)| json.is_text(word)).map(|(_, kind)| *kind);
        known.ok_or_else(|| Fault::part(Reason::Unsupported, format!("kind is `{}`", shorten(json.raw().as_bytes()))))
    }
}
