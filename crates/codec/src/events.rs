//! Format `events`: JSON objects that happened at a time. Their text is handed on as it is.

use crate::decoded::{Fault, shorten};
use crate::mapping::{Label, TimePlan, documents, keep, labels, template, write_labels};
use crate::pointer::{Found, Met, Pointer, Template};
use crate::tape::{Json, NodeKind};
use crate::{Decoded, Decoder, Message, Plan, RawEvent, Settings};
use model::Reason;
use std::sync::Arc;

/// The settings that mean something here.
pub(crate) const SETTINGS: &[&str] = &["each", "type", "time", "time_unit", "identity", "labels", "max_event_bytes"];

/// Events with a longer text are refused, unless the source says otherwise.
const MAX_EVENT_BYTES: u32 = 64 << 10;

struct EventsPlan {
    each: Pointer,
    event_type: Template,
    time: TimePlan,
    identity: Option<Template>,
    labels: Vec<Label>,
    max_event_bytes: usize,
}

/// Compiles the plan.
pub(crate) fn plan(settings: &Settings) -> Plan {
    let mut errors = Vec::new();
    let each = keep(Pointer::parse(settings.each.as_deref().unwrap_or("")), "each", &mut errors);
    let stars = each.as_ref().map_or(usize::MAX, Pointer::stars);
    let text = settings.event_type.as_deref().unwrap_or("event");
    let event_type = template(text, "type", stars, &mut errors);
    let identity = settings.identity.as_deref().and_then(|text| template(text, "identity", stars, &mut errors));
    let labels = labels(settings, stars, &mut errors);
    let time = TimePlan::new(settings, stars, &mut errors);
    let max_event_bytes = settings.max_event_bytes.unwrap_or(MAX_EVENT_BYTES) as usize;
    match (each, event_type) {
        (Some(each), Some(event_type)) if errors.is_empty() => {
            Ok(Arc::new(EventsPlan { each, event_type, time, identity, labels, max_event_bytes }))
        }
        _ => Err(errors),
    }
}

impl Decoder for EventsPlan {
    fn decode(&self, message: &Message<'_>, out: &mut Decoded) -> Result<(), Fault> {
        documents(message, out, |root, out| {
            let mut any = false;
            self.each.each(root, &mut |json, met| {
                any = true;
                out.part(|out| self.event(json, root, met, message, out))
            })?;
            if !any {
                out.reject(Reason::NothingInside, || format!("no event at `{}`", self.each.text()));
            }
            Ok(())
        })
    }
}

impl EventsPlan {
    fn event<'a>(
        &self,
        json: Found<'a>,
        root: Json<'a>,
        met: &Met<'a>,
        message: &Message<'_>,
        out: &mut Decoded,
    ) -> Result<(), Fault> {
        let way = self.each.text();
        let json = match json {
            Found::Value(json) if json.kind() == NodeKind::Object => json,
            Found::Missing => return Err(Fault::part(Reason::Missing, format!("no event at `{way}`"))),
            Found::Value(json) => {
                let found = shorten(json.raw().as_bytes());
                return Err(Fault::part(Reason::WrongType, format!("`{found}` where an object is wanted")));
            }
            Found::WrongType => {
                return Err(Fault::part(Reason::WrongType, format!("no array or object on the way to `{way}`")));
            }
        };
        let (found, wanted) = (json.raw().len(), self.max_event_bytes);
        if found > wanted {
            return Err(Fault::part(Reason::Oversized, format!("an event of {found} bytes, at most {wanted} wanted")));
        }
        let time = self.time.read(root, met, message)?;
        let start = out.place();
        if self.event_type.fill(root, met, &mut out.bytes).is_err() {
            // An event without a type is an event still: its type reads as empty.
            out.bytes.truncate(start as usize);
        }
        write_labels(&self.labels, root, met, message, out)?;
        let series = start..out.place();
        let body = out.place();
        out.text(json.raw().as_bytes());
        let body = body..out.place();
        let start = out.place();
        let filled = self.identity.as_ref().is_some_and(|template| template.fill(root, met, &mut out.bytes).is_ok());
        if !filled {
            out.bytes.truncate(start as usize);
        }
        let identity = filled.then(|| start..out.place());
        out.room()?;
        out.events.push(RawEvent { series, time, body, identity });
        Ok(())
    }
}
