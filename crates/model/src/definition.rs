//! What is to be watched, validated: sources, streams, elements and checks as the engine takes them.
//! `config` makes these from what people write; nothing in them can still be wrong.

use crate::{Element, Labels, Span, State, Time, Value};
use regex::Regex;
use std::fmt;
use std::sync::Arc;

/// Everything that one engine runs.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    /// Where records come from.
    pub sources: Vec<Source>,
    /// What checks read.
    pub streams: Vec<Stream>,
    /// What streams give away. No topic stands here twice.
    pub publications: Vec<Publication>,
    /// What streams are expected to be. In order of their names, which are unique.
    pub baselines: Vec<BaselineDefinition>,
    /// Components, written out or made by template.
    pub components: Vec<ComponentDefinition>,
    /// Relations, written out or made by template.
    pub relations: Vec<RelationDefinition>,
    /// Check functions bound to elements. In order of their names, which are unique.
    pub checks: Vec<CheckDefinition>,
    /// Bounds of everything that could grow.
    pub limits: Limits,
}

/// Kafka topics, and how time runs on them. How bytes become samples is `codec`'s matter.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name; unique.
    pub name: Arc<str>,
    /// A fingerprint of the topics and of how their bytes become samples: state under another one is
    /// another source's.
    pub mapping: u64,
    /// How far out of order samples of one partition may lie.
    pub lateness: Span,
    /// After how much silence at its end a partition no longer holds the frontier.
    pub idle_after: Span,
    /// How far past its record's arrival a sample may lie.
    pub max_ahead: Span,
    /// How far the watermark of a partition may run ahead of the clocks of those who read it.
    pub max_skew: Span,
}

/// A metric stream or an event stream.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its name; unique.
    pub name: Arc<str>,
    /// The place of its source in `Definitions::sources`.
    pub source: usize,
    /// Which series or events belong to it.
    pub select: Selector,
    /// Labels whose distinct values make instances, sorted. Samples that lack one do not belong.
    pub each: Vec<Arc<str>>,
    /// What it is made of.
    pub content: Content,
    /// How long an instance that data made outlives its last sample. At least as long as any window over it.
    pub time_to_live: Span,
    /// The unit of its values, where one is written.
    pub unit: Option<Arc<str>>,
}

/// The points of a metric stream, as they go to a topic of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The place of the stream in `Definitions::streams`; a metric stream.
    pub stream: usize,
    /// The topic: no other publication's, and no source's.
    pub topic: Arc<str>,
    /// How time is cut.
    pub window: Window,
    /// What each window is reduced to; at least one.
    pub downsample: Arc<[Downsampling]>,
}

/// What a stream is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Samples.
    Metric,
    /// Events.
    Events,
    /// Events read as a metric: each is a sample of the number at this JSON pointer (events without a
    /// number there do not belong), or of 1 where there is no pointer.
    EventsAsMetric(Option<Arc<str>>),
}

/// `samples`, `events`, `events, counted`, `events, /pointer`.
impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Metric => f.write_str("samples"),
            Content::Events => f.write_str("events"),
            Content::EventsAsMetric(None) => f.write_str("events, counted"),
            Content::EventsAsMetric(Some(pointer)) => write!(f, "events, {pointer}"),
        }
    }
}

/// Which series, or which events, belong to a stream: all conditions hold.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    /// On the metric's name; for events on their type.
    pub name: Vec<Condition>,
    /// On labels; a label that is missing reads as empty.
    pub labels: Vec<(Arc<str>, Condition)>,
    /// On an event's fields, by JSON pointer; texts as they are, numbers and booleans as JSON writes
    /// them, all else reads as empty.
    pub fields: Vec<(Arc<str>, Condition)>,
}

/// `name = cpu.load, host != web-1, /level ~ err.*`; `all` without conditions.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_name = self.name.iter().map(|condition| ("name", condition));
        let rest = self.labels.iter().chain(&self.fields).map(|(name, condition)| (&**name, condition));
        let mut separator = "";
        for (name, condition) in of_name.chain(rest) {
            write!(f, "{separator}{name} {condition}")?;
            separator = ", ";
        }
        if separator.is_empty() { f.write_str("all") } else { Ok(()) }
    }
}

/// A condition on a text.
#[derive(Clone, Debug)]
pub enum Condition {
    /// It is this.
    Equal(Arc<str>),
    /// It is anything but this.
    NotEqual(Arc<str>),
    /// The expression matches all of it.
    Match(Regex),
    /// The expression does not match all of it.
    NotMatch(Regex),
}

/// `= text`, `!= text`, `~ expression`, `!~ expression`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Equal(text) => write!(f, "= {text}"),
            Condition::NotEqual(text) => write!(f, "!= {text}"),
            Condition::Match(regex) => write!(f, "~ {regex}"),
            Condition::NotMatch(regex) => write!(f, "!~ {regex}"),
        }
    }
}

impl Condition {
    /// Whether it holds for `text`. Expressions are anchored by whoever made them.
    pub fn holds(&self, text: &str) -> bool {
        match self {
            Condition::Equal(wanted) => text == &**wanted,
            Condition::NotEqual(unwanted) => text != &**unwanted,
            Condition::Match(regex) => regex.is_match(text),
            Condition::NotMatch(regex) => !regex.is_match(text),
        }
    }
}

/// How time is cut. Sizes are positive.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Window {
    /// Strictly separate windows, bounded when the local clock shows or skips a multiple of `size`
    /// since midnight; sizes over a day are whole days, counted from Monday 1970-01-05.
    Batching {
        /// At most a day, or whole days.
        size: Span,
        /// The IANA time zone whose clock it is; one that is known.
        zone: Arc<str>,
    },
    /// Windows at most `width` wide that end at each multiple of `slide` since the epoch.
    Sliding {
        /// At least `slide`, and a multiple of it.
        width: Span,
        /// How often a window ends.
        slide: Span,
    },
}

/// `batching 1h`, `batching 1d in Europe/Amsterdam`, `sliding 5m every 30s`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Window::Batching { size, zone } if &**zone == "UTC" => write!(f, "batching {size}"),
            Window::Batching { size, zone } => write!(f, "batching {size} in {zone}"),
            Window::Sliding { width, slide } => write!(f, "sliding {width} every {slide}"),
        }
    }
}

/// How a window becomes a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Downsampling {
    /// The exact sum, rounded once, over the count.
    Average,
    /// The least value.
    Minimum,
    /// The greatest value.
    Maximum,
    /// The exact sum, rounded once.
    Sum,
    /// How many samples there are; 0 for an empty window.
    Count,
    /// The value of the greatest (time, value).
    Last,
    /// The increase in each second; counters may start again from zero.
    Rate,
    /// Nearest rank, in thousandths of a percent: 95_000 is p95. Above 0, at most 100_000.
    Percentile(u32),
}

/// `average`, `p95`, `p99.9`.
impl fmt::Display for Downsampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Downsampling::Average => "average",
            Downsampling::Minimum => "minimum",
            Downsampling::Maximum => "maximum",
            Downsampling::Sum => "sum",
            Downsampling::Count => "count",
            Downsampling::Last => "last",
            Downsampling::Rate => "rate",
            Downsampling::Percentile(thousandths) => {
                return write!(f, "p{}", f64::from(*thousandths) / 1000.0);
            }
        })
    }
}

/// A component, or a template of components.
#[derive(Clone, Debug)]
pub struct ComponentDefinition {
    /// The name. In a template, `{label}` stands for the value of that label of the instance.
    pub name: Arc<str>,
    /// What kind of component it is.
    pub kind: Arc<str>,
    /// Its labels. An element made by template has those of its instance beside them.
    pub labels: Labels,
    /// The stream whose instances make one each, by its place in `Definitions::streams`.
    pub for_each: Option<usize>,
    /// How the health of what it depends on reaches it.
    pub propagation: Propagation,
}

/// A relation, or a template of relations. A template's labels are those of the templates it joins:
/// there is one for each instance of each of `for_each`, which has one entry or two with the same stream.
#[derive(Clone, Debug)]
pub struct RelationDefinition {
    /// The dependent, or a template of it.
    pub from: Arc<str>,
    /// What it depends on, or a template of it.
    pub to: Arc<str>,
    /// What kind of relation it is.
    pub kind: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// The stream whose instances make one each.
    pub for_each: Option<usize>,
    /// How the health of its target reaches it.
    pub propagation: Propagation,
}

/// How health of dependencies reaches an element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// The most severe of its own and what propagates from its dependencies.
    #[default]
    Auto,
    /// Its own alone.
    None,
    /// What a propagation function says, by name.
    Function(Arc<str>),
}

/// A check function bound to elements.
#[derive(Clone, Debug)]
pub struct CheckDefinition {
    /// Its name; unique.
    pub name: Arc<str>,
    /// The elements it is bound to: those that any of these names.
    pub on: Vec<Target>,
    /// The check function's name in the library.
    pub function: Arc<str>,
    /// One for each parameter of the function, in the order of its parameters.
    pub arguments: Vec<(Arc<str>, Argument)>,
    /// How many of the last results must say so before the state becomes anything but CLEAR.
    pub trigger: Quorum,
    /// How many of the last results must be CLEAR before a state becomes CLEAR again.
    pub recover: Quorum,
    /// What holds when data are missing; none where the last state stays.
    pub on_missing: Option<State>,
    /// How long past its due time a point may stay away; where none is written, two slides and at least
    /// a minute, and never for events without a window.
    pub missing_after: Option<Span>,
    /// Whether an error of the script makes the state UNKNOWN; else the last one stays.
    pub unknown_on_error: bool,
}

/// N of the last M.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// At least 1, at most `of`.
    pub needed: u32,
    /// At most 1000.
    pub of: u32,
}

impl Default for Quorum {
    fn default() -> Quorum {
        Quorum { needed: 1, of: 1 }
    }
}

/// Which elements a check is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One that is written out, or all of a template: `checkout`, `host {host}`, `checkout -> host {host}`.
    /// Matches the definition with exactly this name.
    Named(Element),
    /// Components and relations of this kind, where one is given, and with these labels.
    Matching {
        /// The kind.
        kind: Option<Arc<str>>,
        /// The labels.
        labels: Labels,
    },
}

/// What a check hands to a parameter of its function.
#[derive(Clone, Debug)]
pub enum Argument {
    /// A stream: a `metric`, `series`, `events` or `table` parameter, or a `list` of points.
    Input(Input),
    /// A value of the parameter's kind.
    Value(Value),
    /// The value of a label of the instance or element, read as the parameter's kind.
    Label(Arc<str>),
}

/// A value as values print; `label name`; an input by its place.
impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Argument::Input(input) => write!(f, "stream {}", input.stream),
            Argument::Value(value) => write!(f, "{value}"),
            Argument::Label(label) => write!(f, "label {label}"),
        }
    }
}

/// A stream as a check reads it.
#[derive(Clone, Debug)]
pub struct Input {
    /// The place of the stream in `Definitions::streams`.
    pub stream: usize,
    /// How time is cut; none only for events, which then come one by one.
    pub window: Option<Window>,
    /// What each window is reduced to; at least one for metrics, none for events.
    pub downsample: Arc<[Downsampling]>,
    /// What the function sees of it.
    pub shape: Shape,
    /// The baseline that its points are held against, by its place in `Definitions::baselines`: one of the same stream
    /// and window, whose downsampling is the first of `downsample`.
    pub baseline: Option<usize>,
}

/// What a metric stream is expected to be, learned from its own history, for each of its instances.
#[derive(Clone, Debug)]
pub struct BaselineDefinition {
    /// Its name; unique.
    pub name: Arc<str>,
    /// The place of its stream in `Definitions::streams`; a metric stream.
    pub stream: usize,
    /// How time is cut; batching for a baseline function.
    pub window: Window,
    /// What each window is reduced to, and learned.
    pub downsample: Downsampling,
    /// The IANA time zone whose clock gives the phase; that of the window where it has one.
    pub zone: Arc<str>,
    /// How long what was learned of an instance outlives its last point. At least the training window.
    pub keep: Span,
    /// What learns.
    pub learner: Learner,
}

/// What learns a baseline.
#[derive(Clone, Debug)]
pub enum Learner {
    /// A baseline function, called once for each batch with those of its training window.
    Function(BaselineFunction),
    /// A recursive model that learns from each point.
    Online(OnlineModel),
}

/// A baseline function with all that it is called with.
#[derive(Clone, Debug)]
pub struct BaselineFunction {
    /// Its name in the library.
    pub function: Arc<str>,
    /// One for each parameter of the function, in the order of its parameters; none is an input.
    pub arguments: Vec<(Arc<str>, Argument)>,
    /// The fundamental period: a multiple of the batch size, at most 10,000 times it.
    pub period: Span,
    /// The training window: at least the period, at most 10,000 batches.
    pub train: Span,
    /// A run of anomalous batches that lasts longer than this is what is normal now.
    pub adapt_after: Span,
}

/// A recursive model by its name, with its settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OnlineModel {
    /// Level with daily and weekly profile: what is unusual now.
    Deviation {
        /// How many times the usual residual the bounds lie from the average; above 0.
        scales: f64,
    },
    /// The envelope of all that has been seen: what never was.
    Novelty,
}

impl OnlineModel {
    /// `deviation`, `novelty`.
    pub const fn name(self) -> &'static str {
        match self {
            OnlineModel::Deviation { .. } => "deviation",
            OnlineModel::Novelty => "novelty",
        }
    }
}

/// What a function sees of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The newest point: a `metric` parameter.
    Point,
    /// The newest points, at most this many, newest last: a `series` parameter.
    Series(usize),
    /// The events of the window, or the one event: an `events` parameter.
    Events,
    /// The newest point of every instance that agrees, in the order of their labels: a `list` of metrics.
    List,
    /// The same, by the values of the labels that the check's own instance lacks: a `table`.
    Table,
}

/// Bounds. What is reached is counted and shown; what came first stays served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Series that panes are kept for.
    pub series: usize,
    /// Instances of one stream.
    pub instances: usize,
    /// Events that one open window holds for one instance.
    pub events_per_window: usize,
    /// Instants that one step evaluates.
    pub instants_per_step: usize,
    /// Bytes of one event's text that scripts are given.
    pub event_bytes: usize,
    /// Operations of one call of a script.
    pub script_operations: u64,
    /// Bytes that one call of a script may hold.
    pub script_bytes: usize,
    /// Bytes of one transition's evidence.
    pub evidence_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            series: 2_000_000,
            instances: 1_000_000,
            events_per_window: 10_000,
            instants_per_step: 10_000,
            event_bytes: 64 * 1024,
            script_operations: 100_000,
            script_bytes: 8 * 1024 * 1024,
            evidence_bytes: 16 * 1024,
        }
    }
}

/// Who reads a source from Kafka.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fetch {
    /// Our own fetch path: whole record batches, read in place.
    #[default]
    Own,
    /// The client library, which knows more properties.
    Librdkafka,
}

/// Where a source that has no stored offset begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With what comes from now on.
    #[default]
    Latest,
    /// With the oldest that is there.
    Earliest,
    /// With the first record not before this time.
    At(Time),
}
