//! Events as scripts see them. A field is read out of the event's text when it is asked for, and nothing
//! else of it is kept: a window may hold ten thousand events.

use crate::host::error;
use crate::values::{from_json, incomparable, kind as kind_of, printable};
use model::{Event, Time};
use rhai::{Dynamic, Engine, EvalAltResult, FnPtr, ImmutableString, NativeCallContext};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::sync::Arc;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// The events of a window, or one that came alone.
#[derive(Clone, Debug)]
pub(crate) struct Events(Arc<[Event]>);

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct EventView {
    events: Events,
    place: usize,
}

impl Events {
    /// Of these, in their order.
    pub(crate) fn new(events: &[Event]) -> Events {
        Events(events.into())
    }

    fn event(&self, place: usize) -> EventView {
        EventView { events: self.clone(), place }
    }

    /// The event at an index that counts from the end where it is negative.
    fn at(&self, index: i64) -> Result<EventView> {
        let length = self.0.len();
        let place = if index < 0 { index.checked_add(length as i64) } else { Some(index) };
        match place.and_then(|place| usize::try_from(place).ok()).filter(|place| *place < length) {
            Some(place) => Ok(self.event(place)),
            None => Err(error(format!("there is no event {index}: there are {length}"))),
        }
    }
}

impl EventView {
    fn event(&self) -> &Event {
        &self.events.0[self.place]
    }

    /// What lies at these steps into the body; nothing where there is none.
    fn field(&self, path: &[String]) -> Dynamic {
        let mut json = serde_json::Deserializer::from_str(&self.event().body);
        Pick(path).deserialize(&mut json).ok().flatten().map_or(Dynamic::UNIT, from_json)
    }

    /// What lies at a JSON pointer (RFC 6901).
    fn pointer(&self, pointer: &str) -> Result<Dynamic> {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(error(format!("`{pointer}` is no pointer such as /order/id")));
        }
        let steps = pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
        Ok(self.field(&steps.collect::<Vec<_>>()))
    }
}

impl IntoIterator for Events {
    type Item = EventView;
    type IntoIter = Box<dyn Iterator<Item = EventView>>;
    fn into_iter(self) -> Self::IntoIter {
        Box::new((0..self.0.len()).map(move |place| self.event(place)))
    }
}

/// Reads one place of a JSON text and skips the rest without keeping it.
#[derive(Clone, Copy)]
struct Pick<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Pick<'_> {
    type Value = Option<serde_json::Value>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            return serde::Deserialize::deserialize(deserializer).map(Some);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pick<'_> {
    type Value = Option<serde_json::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            // Of a name that stands twice the last value counts.
            if *name == self.0[0] {
                found = map.next_value_seed(Pick(&self.0[1..]))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> std::result::Result<Self::Value, A::Error> {
        let wanted = self.0[0].parse::<usize>().ok();
        let mut found = None;
        let mut place = 0;
        loop {
            if wanted == Some(place) {
                match entries.next_element_seed(Pick(&self.0[1..]))? {
                    Some(value) => found = value,
                    None => return Ok(found),
                }
            } else if entries.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            place += 1;
        }
    }

    fn visit_bool<E: Error>(self, _: bool) -> std::result::Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> std::result::Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> std::result::Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> std::result::Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, _: &str) -> std::result::Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> std::result::Result<Self::Value, E> {
        Ok(None)
    }
}

/// What this module offers to scripts: as written there, and what it means.
pub(crate) const REFERENCE: &[(&str, &str)] = &[
    ("events.len(), events.is_empty()", "how many events there are"),
    ("events[0], events[-1], events.first, events.last", "one event; negative indexes count from the end"),
    ("for event in events { .. }", "all events, in the order of time, topic, partition, offset"),
    (
        "events.count(|event| ..), events.count(|event, x| .., x)",
        "how many events the closure is true for; it cannot use the variables around it, so it is given what it needs",
    ),
    ("events.filter(|event| ..), events.filter(|event, x| .., x)", "those that it is true for"),
    ("event.time, event.kind", "when it happened; what kind of event its source says it is"),
    ("event.topic, event.partition, event.offset", "where it lies"),
    ("event.level, event[\"level\"]", "a field of its body, `()` where it has none; the second way reaches any name"),
    ("event.at(\"/order/lines/0/price\")", "what lies at a JSON pointer, `()` where nothing does"),
];

/// Registers the types and functions of this module.
pub(crate) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Events>("events")
        .register_get("len", |events: &mut Events| events.0.len() as i64)
        .register_fn("len", |events: &mut Events| events.0.len() as i64)
        .register_get("is_empty", |events: &mut Events| events.0.is_empty())
        .register_fn("is_empty", |events: &mut Events| events.0.is_empty())
        .register_get("first", |events: &mut Events| events.at(0))
        .register_fn("first", |events: &mut Events| events.at(0))
        .register_get("last", |events: &mut Events| events.at(-1))
        .register_fn("last", |events: &mut Events| events.at(-1))
        .register_indexer_get(|events: &mut Events, index: i64| events.at(index))
        .register_iterator::<Events>()
        .register_fn("count", |context: NativeCallContext, events: &mut Events, test: FnPtr| {
            matching(&context, events, &test, None).map(|found| found.0.len() as i64)
        })
        .register_fn("count", |context: NativeCallContext, events: &mut Events, test: FnPtr, with: Dynamic| {
            matching(&context, events, &test, Some(with)).map(|found| found.0.len() as i64)
        })
        .register_fn("filter", |context: NativeCallContext, events: &mut Events, test: FnPtr| {
            matching(&context, events, &test, None)
        })
        .register_fn("filter", |context: NativeCallContext, events: &mut Events, test: FnPtr, with: Dynamic| {
            matching(&context, events, &test, Some(with))
        });
    incomparable::<Events>(engine, "; `.len()` is how many there are");
    printable(engine, |events: &Events| format!("{} events", events.0.len()));
    engine
        .register_type_with_name::<EventView>("event")
        .register_get("time", |event: &mut EventView| -> Time { event.event().time })
        .register_get("kind", |event: &mut EventView| ImmutableString::from(event.event().kind.as_ref()))
        .register_get("topic", |event: &mut EventView| ImmutableString::from(event.event().topic.as_ref()))
        .register_get("partition", |event: &mut EventView| i64::from(event.event().partition))
        .register_get("offset", |event: &mut EventView| event.event().offset)
        .register_fn("at", |event: &mut EventView, pointer: ImmutableString| event.pointer(&pointer))
        .register_indexer_get(|event: &mut EventView, name: ImmutableString| event.field(&[name.to_string()]));
    incomparable::<EventView>(engine, "; compare one of its fields");
    printable(engine, |event: &EventView| event.event().body.as_ref().to_owned());
}

/// The events that a closure is true for. It cannot see the variables around it, so what it needs comes `with` it.
fn matching(context: &NativeCallContext<'_>, events: &Events, test: &FnPtr, with: Option<Dynamic>) -> Result<Events> {
    let mut found = Vec::new();
    for event in events.clone() {
        let place = event.place;
        let answer: Dynamic = match &with {
            None => test.call_within_context(context, (event,))?,
            Some(with) => test.call_within_context(context, (event, with.clone()))?,
        };
        match answer.as_bool() {
            Ok(true) => found.push(events.0[place].clone()),
            Ok(false) => {}
            Err(_) => return Err(error(format!("the test gave a {}, true or false is wanted", kind_of(&answer)))),
        }
    }
    Ok(Events(found.into()))
}

/// The name of the kind, for values of this module.
pub(crate) fn kind(value: &Dynamic) -> Option<&'static str> {
    match value {
        _ if value.is::<Events>() => Some("events"),
        _ if value.is::<EventView>() => Some("event"),
        _ => None,
    }
}
