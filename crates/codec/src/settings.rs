//! What a user writes beside `format:`, as plain text. A format takes what means something to it.

/// Settings of a source's format, as they are written. Where one may be a pointer, it is a JSON pointer in
/// which a segment `*` stands for every element of an array or member of an object; the n-th `*` of any
/// other pointer stands for what the n-th `*` of `value` (of `each` for events) has met.
/// A template is text with pointers in braces, `{/plugin}.{/type}`, where `{*}` is the key or index
/// that the last `*` has met; a text that begins with `/` is one pointer, any other is a constant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The pointer to a document's values; goes with `name`.
    pub value: Option<String>,
    /// Several values of a document: for each the template of its name, and its pointer. A document need not
    /// have all of them; one that has none is refused.
    pub values: Vec<(String, String)>,
    /// The template of the series' name.
    pub name: Option<String>,
    /// Label names and where their values come from. A name that ends in `*` takes all members of the
    /// object at a pointer, each as a label whose name is what stands before the `*`, and its key.
    pub labels: Vec<(String, LabelSetting)>,
    /// The pointer to the time, or `record` for the time of the record (the default).
    pub time: Option<String>,
    /// How time is written: `rfc3339` (the default of pointers), `s`, `ms`, `us`, `ns` (the default of `influx`).
    pub time_unit: Option<String>,
    /// `gauge` (the default), `cumulative`, `delta`, or a pointer to a word that `kinds` explains.
    pub kind: Option<String>,
    /// What words at the pointer `kind` mean; `gauge`, `cumulative` and `delta` mean themselves.
    pub kinds: Vec<(String, String)>,
    /// The template of an event's type, written as `type`; without it all are of type `event`.
    pub event_type: Option<String>,
    /// The template of what tells an event from all others.
    pub identity: Option<String>,
    /// The pointer to the events in a document; without it the document is one.
    pub each: Option<String>,
    /// Events with a longer text are refused; 64 KiB unless told.
    pub max_event_bytes: Option<u32>,
    /// Whether histograms give `.min` and `.max` beside `.count` and `.sum`.
    pub extremes: Option<bool>,
    /// Records with a longer value are refused; 4 MiB unless told.
    pub max_record_bytes: Option<u32>,
}

/// Where the value of a label comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelSetting {
    /// A template: a pointer, text with pointers in braces, or a constant.
    Template(String),
    /// The record's key; in hexadecimal where it is no text.
    Key,
    /// The record's last header of this name; in hexadecimal where it is no text.
    Header(String),
    /// The topic.
    Topic,
}

/// What is wrong with a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    /// The setting; `labels.host` for an entry of one that has several.
    pub setting: String,
    /// What was found and what is wanted.
    pub message: String,
}

impl Settings {
    /// The names of the settings that are written.
    pub(crate) fn written(&self) -> impl Iterator<Item = &'static str> {
        [
            ("value", self.value.is_some()),
            ("values", !self.values.is_empty()),
            ("name", self.name.is_some()),
            ("labels", !self.labels.is_empty()),
            ("time", self.time.is_some()),
            ("time_unit", self.time_unit.is_some()),
            ("kind", self.kind.is_some()),
            ("kinds", !self.kinds.is_empty()),
            ("type", self.event_type.is_some()),
            ("identity", self.identity.is_some()),
            ("each", self.each.is_some()),
            ("max_event_bytes", self.max_event_bytes.is_some()),
            ("extremes", self.extremes.is_some()),
            ("max_record_bytes", self.max_record_bytes.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, written)| written.then_some(name))
    }
}
