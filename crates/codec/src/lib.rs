//! From bytes of Kafka records to samples and events, by a plan compiled from a source's settings.
//! Pure: it takes bytes and fills a buffer that its caller keeps, so that a good record of known shape
//! allocates nothing. What cannot be used is handed back as a value, counted by reason.
//!
//! | format | what it reads | series name | labels | kind |
//! |---|---|---|---|---|
//! | `json` | any JSON, by pointer; one document a record or several | template | pointers, templates, members of an object, record key, headers, topic | constant, or a word in the document |
//! | `influx` | line protocol as Telegraf writes it, any number of lines | `measurement.field` | tags | gauge |
//! | `otlp_proto` | OTLP metrics, an unframed `ExportMetricsServiceRequest` | the metric's name; histograms give `.count` and `.sum` (`.min` and `.max` with `extremes`) | attributes of resource and point (the point's win), `otel.scope.name` | gauge; cumulative for monotonic cumulative sums and histograms; delta |
//! | `events` | JSON objects, one document a record or several, or those under `each` | the event's type | pointers and templates, as with `json` | |
//!
//! Only `FORMATS` knows which formats there are: another one is a module and a line there.

mod decimal;
mod decoded;
mod direct;
mod events;
mod influx;
mod json;
mod mapping;
mod otlp_proto;
mod pointer;
mod protobuf;
mod scan;
mod settings;
mod shape;
mod tape;
mod words;

pub use decoded::{Decoded, Kind, RawEvent, Reject, Sample, series};
pub use settings::{LabelSetting, PlanError, Settings};

use decoded::Fault;
use model::record::Record;
use model::{Reason, Time};
use std::fmt;
use std::sync::Arc;

/// Records with a longer value are refused, unless the source says otherwise.
pub const MAX_RECORD_BYTES: u32 = 4 << 20;

/// What is known about a format before anything is read with it.
pub struct FormatEntry {
    /// What a source writes as `format`.
    pub name: &'static str,
    /// The settings that mean something to it, beside `max_record_bytes`, which all have.
    pub settings: &'static [&'static str],
    /// Makes its plan, or says everything that is wrong.
    plan: fn(&Settings) -> Plan,
}

/// A plan that can decode, or everything that is wrong with the settings.
type Plan = Result<Arc<dyn Decoder>, Vec<PlanError>>;

/// All formats, by name.
pub const FORMATS: &[FormatEntry] = &[
    FormatEntry { name: "events", settings: events::SETTINGS, plan: events::plan },
    FormatEntry { name: "influx", settings: influx::SETTINGS, plan: influx::plan },
    FormatEntry { name: "json", settings: json::SETTINGS, plan: json::plan },
    FormatEntry { name: "otlp_proto", settings: otlp_proto::SETTINGS, plan: otlp_proto::plan },
];

/// A source's format, validated and ready to decode. Cheap to clone, and shared between threads.
#[derive(Clone)]
pub struct Format {
    name: &'static str,
    max_record_bytes: usize,
    decoder: Arc<dyn Decoder>,
}

/// The part of a format that differs: one implementation for each entry of `FORMATS`.
trait Decoder: Send + Sync {
    /// Adds what the message holds. An error refuses all of it, and what was added is taken back.
    fn decode(&self, message: &Message<'_>, out: &mut Decoded) -> Result<(), Fault>;
}

/// A record with a value that is worth decoding.
struct Message<'a> {
    /// The topic it lay on.
    topic: &'a str,
    /// The record, for its key and headers.
    record: &'a Record<'a>,
    /// Its value: at least a byte, at most `max_record_bytes`.
    value: &'a [u8],
}

impl Message<'_> {
    /// The record's own time.
    fn time(&self) -> Option<Time> {
        self.record.timestamp_ms.and_then(Time::from_millis)
    }
}

impl Format {
    /// Compiles the settings for the format of this name, or says everything that is wrong with them.
    pub fn new(name: &str, settings: &Settings) -> Result<Format, Vec<PlanError>> {
        let Some(entry) = FORMATS.iter().find(|entry| entry.name == name) else {
            let known: Vec<&str> = FORMATS.iter().map(|entry| entry.name).collect();
            let message = format!("`{name}` is no format; there are {}", known.join(", "));
            return Err(vec![PlanError { setting: "format".to_owned(), message }]);
        };
        let mut errors: Vec<PlanError> = settings
            .written()
            .filter(|setting| !entry.settings.contains(setting) && *setting != "max_record_bytes")
            .map(|setting| PlanError {
                setting: setting.to_owned(),
                message: format!("means nothing to format `{name}`, which takes: {}", takes(entry)),
            })
            .collect();
        let max_record_bytes = settings.max_record_bytes.unwrap_or(MAX_RECORD_BYTES);
        if max_record_bytes == 0 || max_record_bytes > 1 << 30 {
            let message = format!("{max_record_bytes} is not between 1 and 1073741824 bytes");
            errors.push(PlanError { setting: "max_record_bytes".to_owned(), message });
        }
        match (entry.plan)(settings) {
            Ok(decoder) if errors.is_empty() => {
                Ok(Format { name: entry.name, max_record_bytes: max_record_bytes as usize, decoder })
            }
            Ok(_) => Err(errors),
            Err(more) => {
                errors.extend(more);
                Err(errors)
            }
        }
    }

    /// The name of the format: `influx`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Adds to `out` what the record holds: samples, events, and what of it cannot be used. It never
    /// adds nothing.
    #[inline]
    pub fn decode(&self, topic: &str, record: &Record<'_>, out: &mut Decoded) {
        let value = match record.value {
            None => return out.reject(Reason::Null, || "null value".to_owned()),
            Some([]) => return out.reject(Reason::Empty, || "empty value".to_owned()),
            Some(value) if value.len() > self.max_record_bytes => {
                let (found, wanted) = (value.len(), self.max_record_bytes);
                return out.reject(Reason::Oversized, || format!("a value of {found} bytes, at most {wanted} wanted"));
            }
            Some(value) => value,
        };
        out.record(|out| self.decoder.decode(&Message { topic, record, value }, out));
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Format").field("name", &self.name).finish_non_exhaustive()
    }
}

fn takes(entry: &FormatEntry) -> String {
    let mut names = entry.settings.to_vec();
    names.push("max_record_bytes");
    names.join(", ")
}
