//! All settings with their defaults and meanings, as Markdown: the page that is printed and published.

/// A section: its name, what it is about, and its settings with default and meaning.
type Section = (&'static str, &'static str, &'static [(&'static str, &'static str, &'static str)]);

const SECTIONS: [Section; 11] = [
    (
        "kafka",
        "How Kafka is reached, by every source, by transitions and by what streams publish, unless they say otherwise.",
        &[
            ("brokers", "`localhost:9092`", "The brokers to begin with: a list of `host:port`."),
            (
                "properties",
                "none",
                "Further settings of the Kafka client, by librdkafka's names: each a text, `{ file: path }` or `{ env: NAME }`. \
                 They are never printed. A source that is read with `fetch: own` takes those of TLS (`security.protocol`, \
                 `ssl.*` in PEM), of SASL (PLAIN, SCRAM, OAUTHBEARER), bounds of fetches (`fetch.*`), timeouts and \
                 back-offs, and refuses others by name. Publishing takes all; points are published by our own path, and by \
                 librdkafka where a property besides those, `message.timeout.ms` and `message.max.bytes` is set.",
            ),
        ],
    ),
    (
        "sources.NAME",
        "Topics, and how samples or events lie on them.",
        &[
            ("topics", "required", "The topics: a list."),
            ("format", "required", "`influx`, `json`, `otlp_proto` or `events`."),
            ("lateness", "`10s`", "How far out of order samples of one partition may lie."),
            ("idle_after", "`5s`", "A partition that is at its end and silent for as long holds nobody up."),
            ("max_ahead", "`1m`", "Samples further past their record's arrival are refused."),
            ("max_skew", "`5m`", "A partition further ahead of the others waits for them."),
            ("start", "`latest`", "`latest`, `earliest` or a time: where reading begins when no offset is stored."),
            ("group", "`vitalsign`", "The consumer group that offsets are told to, for lag monitors."),
            (
                "fetch",
                "`own`",
                "Who reads it: `own`, our own fetch path, or `librdkafka`, which costs more and knows more properties.",
            ),
            ("brokers, properties", "those of `kafka`", "Another cluster; properties are added to the others."),
            ("max_record_bytes", "`4 MiB`", "Longer records are refused."),
            ("value, name", "", "`json`: the pointer to the value, and the template of the series' name."),
            ("values", "none", "`json`: pointers by the name of the series, where a document has several values."),
            ("kind", "`gauge`", "`json`: `gauge`, `cumulative`, `delta`, or a pointer to a word."),
            ("kinds", "none", "`json`: what words at that pointer mean."),
            ("time", "`record`", "`json`, `events`: `/pointer`, `/pointer in ms`, `{ at, unit }`, or `record`."),
            ("time_unit", "`rfc3339`; `influx`: `ns`", "How time is written: `rfc3339`, `s`, `ms`, `us`, `ns`."),
            (
                "labels",
                "none",
                "`json`, `events`: for each label a pointer, a text with pointers in braces, `{ header: name }`, \
                 `{ from: key }` or `{ from: topic }`.",
            ),
            ("type", "`event`", "`events`: the template of an event's type."),
            ("identity", "none", "`events`: the template of what tells an event from all others."),
            ("each", "none", "`events`: the pointer to the events in a document that holds several."),
            ("max_event_bytes", "`64 KiB`", "`events`: longer ones are refused."),
            ("extremes", "`false`", "`otlp_proto`: whether histograms give `.min` and `.max`."),
        ],
    ),
    (
        "streams.NAME",
        "What checks read: a selection of one source.",
        &[
            ("source", "required", "The name of a source."),
            (
                "select",
                "all",
                "Conditions, all of which hold: on `metric` (for events on `type`), on labels by name or under `labels`, \
                 and for events on `field` by pointer. A condition is a text, `\"!text\"`, `/expression/`, \
                 `\"!/expression/\"`, a list for any of these, or `{ is, not, match, not_match }`.",
            ),
            ("each", "none", "Labels whose values make instances; without it the stream is one instance."),
            ("unit", "none", "The unit of the values; numbers of checks may then have one, and are converted."),
            ("as", "events", "An event stream read as a metric: `count`, or `{ field: /pointer }`."),
            (
                "time_to_live",
                "`1h`, or twice the widest window",
                "An instance that is silent for as long is forgotten.",
            ),
            (
                "publish",
                "none",
                "Where points of a metric stream go: `{ topic, window, downsample }`, or a list of these, each with a topic \
                 of its own, at the brokers of `transitions`. Each window of each instance becomes one record once it is \
                 final. The key is the value of the one label of `each`, or, of none or several, a JSON object of them; the \
                 timestamp is the window's end; the value is `{ stream, labels, start, end, count, values }`, with \
                 `incomplete` where records were lost. A window without a point gives none. After a crash records may come \
                 again, the same byte for byte: key and `end` tell them.",
            ),
        ],
    ),
    (
        "baselines.NAME",
        "What a metric stream is expected to be, learned for each of its instances. A baseline function is called with the \
         batches of its training window; the online models `deviation` (what is unusual now) and `novelty` (what never \
         was) learn from each point. Another function, other arguments and another training window work on what was \
         learned so far; another stream, window, downsampling, period, zone or model begins anew.",
        &[
            ("stream", "required", "The name of a metric stream."),
            ("function", "required", "The name of a baseline function, or `deviation` or `novelty`."),
            (
                "arguments",
                "none",
                "By parameter: a literal, or `{ label: name }` of the stream's instances. For `deviation`: `scales` (4), how \
                 many times the usual residual the bounds lie from the average.",
            ),
            (
                "window",
                "required",
                "What is learned of: for a function `batching 1h` or `batching 1h in Europe/Amsterdam`, of a size that \
                 divides the day or is whole days; for a model any window.",
            ),
            ("downsample", "required", "What each window is reduced to: exactly one downsampling."),
            (
                "period",
                "`1d`; from batches of a day on 7 batches",
                "Functions: the fundamental period, after which phases come again; a multiple of the batch, at most 10000 \
                 of it.",
            ),
            (
                "train",
                "`4w`, at least two periods",
                "Functions: the training window, at least the period and at most 10000 batches. There is no band before it \
                 is full.",
            ),
            (
                "adapt_after",
                "the period",
                "Functions: batches that a check found anomalous are marked so; a run of them that lasts longer than this is \
                 what is normal now. At least a batch, and shorter than the training window.",
            ),
            (
                "zone",
                "top-level `zone`",
                "Models with sliding windows: whose clock says which time of the day and week it is.",
            ),
            (
                "keep",
                "`train`; models: `4w`",
                "How long what was learned of an instance is kept while it is silent; at least the training window.",
            ),
        ],
    ),
    (
        "components.NAME",
        "Components. In a name `{label}` stands for a label of an instance of `for_each`.",
        &[
            ("type", "`component`", "What kind of component it is."),
            ("labels", "none", "Its labels."),
            ("for_each", "none", "A stream, each of whose instances makes one component."),
            ("propagation", "`auto`", "`auto`, `none`, or the name of a propagation function."),
        ],
    ),
    (
        "relations",
        "A list of `dependent -> dependency`, or of tables:",
        &[
            ("relation", "required", "`dependent -> dependency`, by the names that they are defined with."),
            ("type", "`relation`", "What kind of relation it is."),
            ("labels, propagation", "", "As with components."),
        ],
    ),
    (
        "checks.NAME",
        "Functions, bound to elements.",
        &[
            ("on", "required", "An element by its name, `{ type, labels }`, or a list of these."),
            ("function", "required", "The name of a check function."),
            (
                "arguments",
                "none",
                "By parameter: a literal, `{ label: name }`, or `{ stream, window, downsample, points }`. A window is \
                 `sliding 5m every 30s`, `sliding 5m` or `batching 1d in Europe/Amsterdam`; a downsampling is `average`, \
                 `minimum`, `maximum`, `sum`, `count`, `last`, `rate` or `p95`, or a list of these; `points` is the length \
                 of a series (60). `{ baseline: NAME }` stands for the stream, window and downsampling of a baseline, and \
                 may have more downsamplings behind its own; an input of such points has a baseline also where it does \
                 not name it, if there is just one.",
            ),
            ("for", "`1 of 1`", "How many of the last results must say so before the state leaves CLEAR."),
            ("recover_for", "`1 of 1`", "How many of the last results must be CLEAR before it is CLEAR again."),
            (
                "on_missing",
                "`unknown`",
                "What holds without data: a state or `keep`, perhaps with `after 2m` (two slides and at least 1m).",
            ),
            ("on_error", "`keep`", "`keep` or `unknown`: what holds after an error of the script."),
        ],
    ),
    (
        "store",
        "Where and how state is kept.",
        &[
            ("path", "none", "The folder."),
            ("commit_every", "`100ms`", "How often a commit is made while anything changes."),
            ("snapshot_every", "`1m`", "Within how long every block of panes is written anew."),
            ("durability", "`power`", "`power` or `process`: what a commit outlives the loss of."),
            ("history", "`30d`", "How long transitions are kept."),
            ("memory", "`1 GiB`", "The memory that caches, queues and panes share."),
        ],
    ),
    (
        "transitions",
        "Where transitions are published; nowhere without this section.",
        &[
            ("topic", "`vitalsign.transitions`", "The topic."),
            ("brokers, properties", "those of `kafka`", "Another cluster; properties are added to the others."),
        ],
    ),
    (
        "limits",
        "Bounds of what could grow. What is reached is counted and shown, and what came first stays served.",
        &[
            ("series", "`2000000`", "Series that panes are kept for."),
            ("instances", "`1000000`", "Instances of one stream."),
            ("events_per_window", "`10000`", "Events that one open window holds for one instance."),
            ("instants_per_step", "`10000`", "Instants that one step evaluates."),
            ("event_size", "`64 KiB`", "The text of one event that scripts are given."),
            ("script_operations", "`100000`", "Operations of one call of a script."),
            ("script_memory", "`8 MiB`", "What one call of a script may hold."),
            ("evidence_size", "`16 KiB`", "The evidence of one transition."),
        ],
    ),
    (
        "",
        "At the top:",
        &[
            ("zone", "`UTC`", "The time zone of batches that name none."),
            ("listen", "`127.0.0.1:7979`", "The address of gRPC and the web page."),
            ("workers", "`1`", "How many threads fill panes."),
        ],
    ),
];

/// All settings as Markdown.
pub fn reference() -> String {
    let mut text =
        String::from("# Settings\n\nDurations and sizes are written with their units: `90s`, `1h30m`, `64 MiB`.\n");
    for (name, about, settings) in SECTIONS {
        let title = if name.is_empty() { "Top level" } else { name };
        text.push_str(&format!("\n## {title}\n\n{about}\n\n| setting | default | meaning |\n|---|---|---|\n"));
        for (setting, default, meaning) in settings {
            let names: Vec<String> = setting.split(", ").map(|name| format!("`{name}`")).collect();
            text.push_str(&format!("| {} | {default} | {meaning} |\n", names.join(", ")));
        }
    }
    text
}
