//! What users rely on of baselines, through configuration and engine: values in, bands out.

#[allow(dead_code, reason = "not all of it is wanted here")]
#[path = "simulation/memory.rs"]
mod memory;

use config::{File, Settings};
use engine::state::Change;
use engine::{Engine, Said, Shard, fill};
use functions::Script;
use model::record::Batch;
use model::transition::Health;
use model::{Span, Time};

/// The settings of every test here, with one baseline of one stream.
const SETTINGS: &str = "
sources:
  samples: { topics: [samples], format: json, name: /name, value: /value, time: /at in ms, lateness: LATENESS }
streams:
  load: { source: samples, select: { metric: load } }
components: { shown: {}, judged: {} }
baselines:
  usual: { stream: load, downsample: average, BASELINE }
checks:
  shown:
    on: shown
    function: shown
    arguments: { metric: { baseline: usual } }
    on_missing: keep
";

/// Says with `deviation_from_baseline` what is anomalous.
const JUDGED: &str = "
  judged:
    on: judged
    function: deviation_from_baseline
    arguments: { metric: { baseline: usual } }
    on_missing: keep
";

/// Tells the band of each batch, and finds nothing anomalous.
const SHOWN: &str = r#"
parameters(#{ metric: metric("m") });
fn check(p) {
    let band = p.metric.baseline;
    let text = if band == () { "none" } else if band.stale { `${band} stale` } else { `${band}` };
    if p.state == CLEAR { unknown(text) } else { clear(text) }
}
"#;
/// The phase of the batch that comes next, of so many.
const PHASE: &str = "fn baseline(p) { baseline(p.phase, 0, p.phases) }";

struct Bench {
    settings: Settings,
    engine: Engine,
    shards: Vec<Shard>,
    memory: memory::Memory,
    start: Time,
    /// All that lies on the topic.
    records: Vec<String>,
    told: Vec<String>,
}

impl Bench {
    /// A bench with this baseline, and the functions that it wants beside the shipped ones.
    fn new(start: &str, settings: Settings) -> Bench {
        let memory = memory::Memory::default();
        let (engine, shards) = begin(&settings, &memory);
        let start: Time = start.parse().expect("a time");
        let mut bench = Bench { settings, engine, shards, memory, start, records: Vec::new(), told: Vec::new() };
        // Time begins with something that no stream selects.
        bench.records.push(record("other", start, 0.0));
        bench.read(0);
        bench
    }

    /// Begins again with what was committed, perhaps with other settings.
    fn restart(&mut self, settings: Settings) {
        self.settings = settings;
        (self.engine, self.shards) = begin(&self.settings, &self.memory);
        let position = self.engine.positions(&self.shards).into_iter().next();
        self.read(position.map_or(0, |(_, record)| record.next_offset as usize));
    }

    /// Reads what lies on the topic from an offset on.
    fn read(&mut self, from: usize) {
        let end: Time = "2100-01-01T00:00:00Z".parse().expect("a time");
        let mut batch = Batch::new(0, "samples".into(), 0, end);
        for (offset, value) in self.records.iter().enumerate().skip(from) {
            batch.push(offset as i64, None, false, None, Some(value.as_bytes()), []);
        }
        let shard = self.engine.admit(&mut self.shards, &batch);
        fill(&mut self.shards[shard], &batch);
    }

    /// Measures values, each at a time.
    fn measure(&mut self, samples: impl IntoIterator<Item = (Time, f64)>) {
        let from = self.records.len();
        self.records.extend(samples.into_iter().map(|(at, value)| record("load", at, value)));
        self.read(from);
        self.advance(&[]);
    }

    /// Says that nothing more comes before a time.
    fn tick(&mut self, frontier: Time) {
        self.advance(&[Said::Tick { source: 0, frontier }]);
    }

    fn advance(&mut self, said: &[Said]) {
        let mut said = said.to_vec();
        while self.engine.advance(&mut self.shards, &std::mem::take(&mut said)).more {}
        let changes = self.engine.collect(&self.shards, 9);
        for change in &changes {
            if let Change::Transition(of) = change
                && of.health == Health::Own
            {
                let judged = of.element.to_string() == "judged";
                let text = if judged { format!("judged {}", of.to) } else { of.message.to_string() };
                self.told.push(format!("{} {text}", of.time - self.start));
            }
        }
        self.memory.commit(changes);
    }

    /// One batch of an hour for each word, beginning with the hour `first`: its value, or `-` where nothing is measured.
    fn hours(&mut self, first: i64, values: &str) {
        for (hour, word) in (first..).zip(values.split_whitespace()) {
            let start = self.start + Span::from_secs(3600 * hour);
            if word != "-" {
                self.measure([(start + Span::from_secs(1800), word.parse().expect("a number"))]);
            }
            self.tick(start + Span::from_secs(3600));
        }
    }

    /// The errors that stand at instances of the baseline.
    fn errors(&self) -> Vec<String> {
        let records = self.memory.restored().baseline_instances;
        records.into_iter().filter_map(|(_, _, record)| Some(record.error?.message.to_string())).collect()
    }
}

fn begin(settings: &Settings, memory: &memory::Memory) -> (Engine, Vec<Shard>) {
    let (formats, library) = (settings.formats.clone().into(), settings.library.clone());
    let (engine, shards, _) = Engine::new(settings.definitions.clone(), formats, library, 2, memory.restored());
    (engine, shards)
}

fn record(name: &str, at: Time, value: f64) -> String {
    format!(r#"{{"name":"{name}","value":{value},"at":{}}}"#, at.millis())
}

/// The settings with this baseline and these checks beside, and a script `own` for whom it wants one.
fn settings(baseline: &str, checks: &str, own: &str) -> Settings {
    let text = SETTINGS.replace("BASELINE", baseline).replace("LATENESS", "0s") + checks;
    load(text, own)
}

fn load(text: String, own: &str) -> Settings {
    let script = |name: &str, text: &str| Script { name: name.into(), path: format!("{name}.rhai"), text: text.into() };
    let scripts = [("shown", SHOWN), ("phase", PHASE), ("own", own)];
    let scripts = scripts.iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| script(name, text));
    let file = File { path: "baselines.yaml".to_owned(), text };
    config::load(&[file], scripts.collect(), &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()))
        .unwrap_or_else(|errors| panic!("{}", errors.render(false)))
}

/// Monday, midnight in UTC.
const MONDAY: &str = "2026-03-02T00:00:00Z";

/// Runs batches of an hour, and compares all that is told.
#[track_caller]
fn check(settings: Settings, values: &str, expected: &str) {
    let mut bench = Bench::new(MONDAY, settings);
    bench.hours(0, values);
    same(&bench.told, expected);
}

#[track_caller]
fn same(told: &[String], expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(told, expected, "\nfound:\n{}\n", told.join("\n"));
}

const HOURLY: &str = "window: batching 1h";

#[test]
fn there_is_no_baseline_before_the_training_window_is_full() {
    check(
        settings(&format!("function: min_max, {HOURLY}, period: 1h, train: 3h"), "", ""),
        "1 2 3 2 1",
        "1h none
         2h none
         3h none
         4h 2 (1 to 3)
         5h 2.333 (2 to 3)",
    );
}

#[test]
fn empty_batches_are_empty_and_a_gap_shifts_no_phase() {
    check(
        settings(&format!("function: min_max, {HOURLY}, period: 1h, train: 4h, keep: 1d"), "", ""),
        "4 - - 4 4 - - - - 4 4",
        "1h none
         4h none
         5h 4 (4 to 4)
         10h none
         11h 4 (4 to 4)",
    );
    check(
        settings(&format!("function: phase, {HOURLY}, period: 4h, train: 4h"), "", ""),
        "1 1 1 1 1 1 - - - 1 1 1 1",
        "1h none
         2h none
         3h none
         4h none
         5h 0 (0 to 4)
         6h 1 (0 to 4)
         10h 1 (0 to 4)
         11h 2 (0 to 4)
         12h 3 (0 to 4)
         13h 0 (0 to 4)",
    );
}

#[test]
fn a_period_need_not_divide_the_training_window() {
    let own = "fn baseline(p) { baseline(p.batches.same_phase().len, 0, p.batches.len) }";
    check(
        settings(&format!("function: own, {HOURLY}, period: 3h, train: 7h"), "", own),
        "1 1 1 1 1 1 1 1 1 1",
        "1h none
         2h none
         3h none
         4h none
         5h none
         6h none
         7h none
         8h 2 (0 to 7)
         9h 2 (0 to 7)
         10h 2 (0 to 7)",
    );
}

#[test]
fn late_samples_belong_to_their_batch_until_it_closes() {
    let text = SETTINGS.replace("BASELINE", "function: min_max, window: batching 1h, period: 1h, train: 2h");
    let mut bench = Bench::new(MONDAY, load(text.replace("LATENESS", "20m"), ""));
    let at = |minute: i64| Span::from_secs(60 * minute);
    let start = bench.start;
    // The first 20 minutes are held for late samples of a batch; what comes after that is no part of it.
    for (minute, value) in
        [(10, 1.0), (70, 3.0), (55, 5.0), (130, 3.0), (150, 3.0), (110, 99.0), (200, 3.0), (265, 3.0)]
    {
        bench.measure([(start + at(minute), value)]);
    }
    same(
        &bench.told,
        "1h none
         2h none
         3h 3 (3 to 3)
         4h 3 (3 to 3)",
    );
}

#[test]
fn windows_that_lost_records_are_not_learned() {
    let mut bench =
        Bench::new(MONDAY, settings(&format!("function: min_max, {HOURLY}, period: 1h, train: 2h"), "", ""));
    bench.hours(0, "1 2");
    let first = bench.records.len() as i64;
    bench.records.extend(["lost".to_owned(), "lost".to_owned()]);
    let partition = bench.engine.positions(&bench.shards)[0].0.clone();
    bench.engine.lose(&mut bench.shards, &partition, first, first + 2);
    bench.hours(2, "50 2 3");
    same(
        &bench.told,
        "1h none
         2h none
         3h 1.5 (1 to 2)
         4h 2 (2 to 2)
         5h 2 (2 to 2)",
    );
}

/// What is kept for a model that has fallen silent is the model alone.
#[test]
fn a_silent_instance_holds_nothing_back() {
    let text = SETTINGS.replace("select: { metric: load }", "select: { metric: load|rest }, each: [name]");
    let text =
        text.replace("value: /value", "value: /value, labels: { name: /name }").replace("load|rest", "/load|rest/");
    let text =
        text.replace("shown: {}", "'shown {name}': { for_each: load }").replace(" on: shown", " on: 'shown {name}'");
    let baseline = "function: novelty, window: sliding 10m every 5m";
    let mut bench = Bench::new(MONDAY, load(text.replace("BASELINE", baseline).replace("LATENESS", "0s"), ""));
    let at = |minute: i64| bench.start + Span::from_secs(60 * minute);
    let [once, later] = [at(7), at(8)];
    bench.records.push(record("rest", once, 1.0));
    bench.read(1);
    bench.measure([(later, 1.0)]);
    for window in 2..400 {
        let at = bench.start + Span::from_secs(300 * window);
        bench.measure([(at, 1.0)]);
    }
    let restored = bench.memory.restored();
    assert_eq!(restored.baseline_instances.len(), 2);
    assert!(restored.columns.len() < 50, "{} columns", restored.columns.len());
}

#[test]
fn a_check_reads_before_the_baseline_learns_and_anomalies_are_left_out() {
    check(
        settings(&format!("function: min_max, {HOURLY}, period: 1h, train: 3h, adapt_after: 2h"), JUDGED, ""),
        "1 3 2 9 2.4 2.3 9",
        "1h none
         2h none
         3h none
         4h judged CRITICAL
         4h 2 (1 to 3)
         5h judged CLEAR
         5h 2.5 (2 to 3)
         6h 2.2 (2 to 2.4)
         7h judged CRITICAL
         7h 2.35 (2.3 to 2.4)",
    );
}

/// A level that lasts is what is normal once its anomalous batches have gone on for longer than `adapt_after`: all of
/// them are learned then. With the shortest run that is longer, `min_max` has it in its band for the batch after it,
/// so within `adapt_after` and two batches.
#[test]
fn a_lasting_change_of_level_is_learned() {
    let mut bench = Bench::new(
        MONDAY,
        settings(&format!("function: min_max, {HOURLY}, period: 2h, train: 12h, adapt_after: 3h"), JUDGED, ""),
    );
    bench.hours(0, &format!("{} {}", "1 2 ".repeat(6), "9 9 9 9 8 8 8 8"));
    let judged: Vec<_> = bench.told.iter().filter(|told| told.contains("judged")).collect();
    assert_eq!(judged, ["13h judged CRITICAL", "17h judged CLEAR"]);
    // One that ends before that is not.
    let mut bench = Bench::new(
        MONDAY,
        settings(&format!("function: min_max, {HOURLY}, period: 2h, train: 12h, adapt_after: 3h"), JUDGED, ""),
    );
    bench.hours(0, &format!("{} 9 9 9 1.5 1.5 1.5 1.5 9", "1 2 ".repeat(6)));
    let judged: Vec<_> = bench.told.iter().filter(|told| told.contains("judged")).collect();
    assert_eq!(judged, ["13h judged CRITICAL", "16h judged CLEAR", "20h judged CRITICAL"]);
}

/// A median moves once more than half of its batches do: within `adapt_after` and half of the training window.
#[test]
fn a_lasting_change_of_level_is_learned_by_a_seasonal_median() {
    let mut bench = Bench::new(
        MONDAY,
        settings(&format!("function: seasonal_median, {HOURLY}, period: 1d, train: 1w"), JUDGED, ""),
    );
    let day = |level: i64| (0..24).map(|hour| format!("{} ", level + (hour - 12i64).abs())).collect::<String>();
    bench.hours(0, &format!("{}{}", day(100).repeat(8), day(200).repeat(6)));
    let judged: Vec<_> =
        bench.told.iter().filter(|told| told.contains("judged CRITICAL") || told.contains("judged CLEAR")).collect();
    assert_eq!(judged, ["7d1h judged CLEAR", "8d1h judged CRITICAL", "9d2h judged CLEAR"]);
}

#[test]
fn a_restart_at_any_batch_changes_nothing() {
    let baseline =
        format!("function: ewma, arguments: {{ minimum: 1 }}, {HOURLY}, period: 2h, train: 6h, adapt_after: 2h");
    let values = "1 2 1 - 3 2 1 9 9 - 9 9 2 - - - - - - - 1 2 1 2 - 2 1 9 1";
    let words: Vec<&str> = values.split_whitespace().collect();
    let mut whole = Bench::new(MONDAY, settings(&baseline, JUDGED, ""));
    whole.hours(0, values);
    assert!(whole.told.iter().filter(|told| told.contains(" to ")).count() > 8, "{:?}", whole.told);
    for restart in 0..words.len() {
        let mut bench = Bench::new(MONDAY, settings(&baseline, JUDGED, ""));
        bench.hours(0, &words[..restart].join(" "));
        bench.restart(settings(&baseline, JUDGED, ""));
        bench.hours(restart as i64, &words[restart..].join(" "));
        assert_eq!(bench.told, whole.told, "restart after {restart} batches");
    }
}

#[test]
fn an_edited_function_and_other_arguments_begin_with_what_was_learned() {
    let own = |text: &str| {
        format!(
            "parameters(#{{ width: number(\"w\") }}); fn baseline(p) {{ let m = p.batches.{text}; baseline(m, m - p.width, m + p.width) }}"
        )
    };
    let baseline = |width: i64, train: &str| {
        format!("function: own, arguments: {{ width: {width} }}, {HOURLY}, period: 1h, train: {train}")
    };
    let mut bench = Bench::new(MONDAY, settings(&baseline(1, "3h"), "", &own("mean()")));
    bench.hours(0, "1 2 6 3");
    bench.restart(settings(&baseline(1, "3h"), "", &own("median()")));
    bench.hours(4, "3");
    bench.restart(settings(&baseline(2, "3h"), "", &own("median()")));
    bench.hours(5, "3");
    // A shorter training window is full at once; a longer one is so once it has been kept.
    bench.restart(settings(&baseline(2, "2h"), "", &own("mean()")));
    bench.hours(6, "5 5");
    bench.restart(settings(&baseline(2, "3h"), "", &own("mean()")));
    bench.hours(8, "5 5");
    same(
        &bench.told,
        "1h none
         2h none
         3h none
         4h 3 (2 to 4)
         5h 3 (2 to 4)
         6h 3 (1 to 5)
         7h 3 (1 to 5)
         8h 4 (2 to 6)
         9h none
         10h 5 (3 to 7)",
    );
}

#[test]
fn another_batch_size_begins_anew() {
    let mut bench =
        Bench::new(MONDAY, settings(&format!("function: min_max, {HOURLY}, period: 1h, train: 2h"), "", ""));
    bench.hours(0, "1 2 3");
    let half = "function: min_max, window: batching 30m, period: 30m, train: 1h30m";
    bench.restart(settings(half, "", ""));
    bench.hours(3, "4 5 6");
    same(
        &bench.told,
        "1h none
         2h none
         3h 1.5 (1 to 2)
         4h none
         5h none
         6h 5 (5 to 5)",
    );
}

#[test]
fn a_bad_function_leaves_the_old_band_marked_and_an_error() {
    for (bad, message) in [
        (r#"throw "bad luck""#, "bad luck"),
        ("return 7", "the function gave back the number 7, baseline(average, lower, higher) or nothing is wanted"),
        (
            r#"return "wide""#,
            "the function gave back the text wide, baseline(average, lower, higher) or nothing is wanted",
        ),
        ("return baseline(1, 2, 3)", "baseline(1, 2, 3): lower <= average <= higher is wanted"),
        ("return baseline(0.0 / 0.0, 0, 1)", "baseline(NaN, 0, 1) has a number that is not finite"),
        ("loop {}", "the budget of operations is used up"),
    ] {
        let own = format!(
            "fn baseline(p) {{
                 let all = p.batches;
                 if all.last.value == 14 {{ {bad}; }}
                 if all.last.value == 13 {{ return; }}
                 baseline(all.mean(), all.minimum(), all.maximum())
             }}"
        );
        let settings = || settings(&format!("function: own, {HOURLY}, period: 1h, train: 2h"), "", &own);
        let mut bench = Bench::new(MONDAY, settings());
        bench.hours(0, "1 2 14 14");
        bench.tick(bench.start + Span::from_secs(4 * 3600 + 1));
        assert_eq!(bench.errors(), [message]);
        bench.restart(settings());
        bench.hours(4, "4 6 13 3 5");
        bench.tick(bench.start + Span::from_secs(9 * 3600 + 1));
        assert_eq!(bench.errors(), Vec::<String>::new());
        same(
            &bench.told,
            "1h none
             2h none
             3h 1.5 (1 to 2)
             4h 1.5 (1 to 2) stale
             5h 1.5 (1 to 2) stale
             6h 9 (4 to 14)
             7h 5 (4 to 6)
             8h none
             9h 8 (3 to 13)",
        );
    }
}

/// The phases of the batches of an hour between two moments, as runs, after how many there are.
fn phases_of_day(zone: &str, from: &str, to: &str) -> String {
    let (from, to): (Time, Time) = (from.parse().expect("a time"), to.parse().expect("a time"));
    let start = from - Span::from_secs(3 * 86_400);
    let baseline = format!("function: phase, window: batching 1h in {zone}, period: 1d, train: 1d");
    let mut bench = Bench::new(&start.to_string(), settings(&baseline, "", ""));
    let quarters = (to - start).nanos() / 900_000_000_000;
    bench.measure((0..quarters).map(|quarter| (start + Span::from_secs(900 * quarter), 1.0)));
    bench.tick(to);
    let told = bench.told.iter().filter_map(|told| told.split_once(' '));
    let inside = told.filter(|(end, _)| start + end.parse().expect("a time") > from);
    let phases: Vec<i64> =
        inside.map(|(_, band)| band.split(' ').next().and_then(|of| of.parse().ok()).expect("a phase")).collect();
    let runs = phases.chunk_by(|a, b| a + 1 == *b).map(|run| format!("{} to {}", run[0], run[run.len() - 1]));
    format!("{}: {}", phases.len(), runs.collect::<Vec<_>>().join(", "))
}

#[test]
fn at_a_change_of_the_clock_the_phase_is_that_of_local_time() {
    for (zone, from, to, expected) in [
        ("Europe/Amsterdam", "2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "24: 0 to 23"),
        ("Europe/Amsterdam", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", "23: 0 to 1, 3 to 23"),
        ("Europe/Amsterdam", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", "25: 0 to 2, 2 to 23"),
        ("America/New_York", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z", "23: 0 to 1, 3 to 23"),
        ("America/New_York", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z", "25: 0 to 1, 1 to 23"),
        // Half an hour: the batch of two o'clock has half of one, that of one o'clock half of one more.
        ("Australia/Lord_Howe", "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z", "24: 0 to 23"),
        ("Australia/Lord_Howe", "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z", "24: 0 to 23"),
        // The clock changes at midnight: one day has none, another has two.
        ("America/Havana", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z", "23: 1 to 23"),
        ("America/Havana", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z", "25: 0 to 0, 0 to 23"),
    ] {
        assert_eq!(phases_of_day(zone, from, to), expected, "{zone} {from}");
    }
}
