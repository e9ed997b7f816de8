//! A validated configuration: what the shell needs to run. Nothing in it can still be wrong.

use crate::problem::{File, Warning, render};
use model::Span;
use model::definition::{Definitions, Fetch, Start};
use std::fmt;
use std::sync::Arc;

/// Everything that one process runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the engine runs.
    pub definitions: Arc<Definitions>,
    /// The compiled functions: those that are shipped, and the user's.
    pub library: Arc<functions::Library>,
    /// How the bytes of each source become samples or events; in the order of `definitions.sources`.
    pub formats: Vec<codec::Format>,
    /// Where each source is read; in the order of `definitions.sources`.
    pub sources: Vec<SourceSettings>,
    /// Where and how state is kept.
    pub store: StoreSettings,
    /// Where transitions are published, if anywhere.
    pub transitions: Option<TransitionsSettings>,
    /// Where points are published, if a stream publishes any; their topics stand in `definitions.publications`.
    pub points: PointsSettings,
    /// The address that gRPC and the web page listen on.
    pub listen: String,
    /// How many threads fill panes.
    pub workers: usize,
    /// Which check is bound to what; in the order of `definitions.checks`.
    pub bindings: Vec<Binding>,
    /// What each baseline learns, and how; in the order of `definitions.baselines`.
    pub baselines: Vec<BaselineBinding>,
    /// What is legal and probably not meant.
    pub warnings: Vec<Warning>,
    pub(crate) files: Arc<[File]>,
}

impl Settings {
    /// The warnings, each with its source line and a caret below; with terminal colours where wanted.
    pub fn render_warnings(&self, colour: bool) -> String {
        render(&self.files, &self.warnings, miette::Severity::Warning, colour)
    }
}

/// Where a source is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSettings {
    /// Its name.
    pub name: Arc<str>,
    /// The topics, each once.
    pub topics: Vec<Arc<str>>,
    /// The name of its format, as it is written.
    pub format: String,
    /// Where reading begins when no offset is stored.
    pub start: Start,
    /// Who reads it.
    pub fetch: Fetch,
    /// The brokers to begin with: `host:port`, separated by commas.
    pub brokers: String,
    /// The consumer group that offsets are told to, for lag monitors.
    pub group: String,
    /// Further settings of the Kafka client.
    pub properties: Vec<(String, Secret)>,
}

/// Where and how state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The folder; none where state is kept in memory alone.
    pub path: Option<String>,
    /// At least how often a commit is made while anything changes.
    pub commit_every: Span,
    /// Within how long every block of panes is written anew.
    pub snapshot_every: Span,
    /// What a commit outlives.
    pub durability: Durability,
    /// How long transitions are kept for questions about the past.
    pub history: Span,
    /// The memory that the caches of the store, of Kafka's client and panes share.
    pub memory_bytes: usize,
}

/// What a commit outlives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The loss of power.
    #[default]
    Power,
    /// The end of the process, but not of the machine.
    Process,
}

/// Where transitions are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitionsSettings {
    /// The topic.
    pub topic: String,
    /// The brokers to begin with.
    pub brokers: String,
    /// Further settings of the Kafka client.
    pub properties: Vec<(String, Secret)>,
}

/// Where points are published: where transitions are, if these are anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointsSettings {
    /// The brokers to begin with.
    pub brokers: String,
    /// Further settings of the Kafka client.
    pub properties: Vec<(String, Secret)>,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(crate) String);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Three stars, whatever it is.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a check is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The check.
    pub check: Arc<str>,
    /// Its function.
    pub function: Arc<str>,
    /// Elements, and templates of elements, by the name that they are defined with.
    pub elements: Vec<String>,
    /// What each parameter of the function gets: its name, and the argument as it would be written.
    pub arguments: Vec<(Arc<str>, String)>,
}

/// What a baseline learns, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaselineBinding {
    /// The baseline.
    pub baseline: Arc<str>,
    /// Its function, or the online model.
    pub function: Arc<str>,
    /// The stream with its window and downsampling, as they would be written.
    pub input: String,
    /// What it is given: the arguments by parameter, then its own settings, each as it would be written.
    pub settings: Vec<(Arc<str>, String)>,
}
