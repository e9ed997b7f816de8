//! A file of samples, and what a baseline would have said of them: they are fed to the engine as samples of the
//! baseline's stream, whatever source that has.

use crate::Failure;
use codec::{Format, LabelSetting};
use config::Settings;
use engine::state::Restored;
use engine::{Engine, Lived, Said, fill};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::definition::{Argument, Content, Selector, Source, Stream};
use model::record::Batch;
use model::{Labels, Span, Time};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Samples that go to the engine at once.
const AT_ONCE: usize = 1000;

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// In the order of time.
    samples: Vec<Sample>,
    /// Lines without a number.
    pub(super) skipped: usize,
}

#[derive(Debug)]
struct Sample {
    time: Time,
    value: f64,
    labels: Labels,
}

/// Reads CSV with the columns `timestamp` and `value`. Those of the labels in `each` are taken too; where one is
/// missing, all samples get the file's name as its value, or what `given` says.
pub(super) fn read(text: &str, path: &str, each: &[Arc<str>], given: &Labels) -> Result<Samples, Failure> {
    let wrong = |line: usize, what: String| Failure::Usage(format!("{path}:{line}: {what}"));
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header: Vec<String> = lines.next().map(|(_, line)| fields(line)).unwrap_or_default();
    let column = |name: &str| header.iter().position(|column| column.eq_ignore_ascii_case(name));
    let needed = |name: &str| {
        let found = if header.is_empty() { "nothing".to_owned() } else { header.join(", ") };
        let what = format!("no column `{name}`; the first line names the columns, `timestamp,value`, and has {found}");
        column(name).ok_or_else(|| wrong(1, what))
    };
    let (at, value) = (needed("timestamp")?, needed("value")?);
    let stem = std::path::Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let missing =
        |label: &Arc<str>| given.get(label).cloned().unwrap_or_else(|| stem.clone().unwrap_or_default().into());
    let labels: Vec<(Arc<str>, Option<usize>)> = each.iter().map(|label| (label.clone(), column(label))).collect();
    let mut found = Samples::default();
    for (number, line) in lines {
        let fields = fields(line);
        let field = |column: usize| fields.get(column).map(String::as_str).unwrap_or_default();
        let time = time(field(at)).ok_or_else(|| {
            let wanted = "seconds since 1970 or a time such as 2026-03-01T12:00:00Z";
            wrong(number + 1, format!("`{}` is no timestamp; wanted are {wanted}", field(at)))
        })?;
        let text = field(value);
        let parsed = text.parse::<f64>();
        if !text.is_empty() && parsed.is_err() {
            return Err(wrong(number + 1, format!("`{text}` is no number")));
        }
        let Some(value) = parsed.ok().filter(|value| value.is_finite()) else {
            found.skipped += 1;
            continue;
        };
        let of = |(label, column): &(Arc<str>, Option<usize>)| {
            (label.clone(), column.map_or_else(|| missing(label), |column| field(column).into()))
        };
        found.samples.push(Sample { time, value, labels: Labels::new(labels.iter().map(of)) });
    }
    if found.samples.is_empty() {
        return Err(wrong(1, "the file holds no samples".to_owned()));
    }
    found.samples.sort_by_key(|sample| sample.time);
    Ok(found)
}

/// The fields of a line; those in quotes may hold commas.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.trim_end_matches('\r').trim_start_matches('\u{feff}').chars().peekable();
    while let Some(letter) = letters.next() {
        let field = fields.last_mut();
        match letter {
            '"' if quoted && letters.next_if_eq(&'"').is_some() => field.into_iter().for_each(|of| of.push('"')),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            letter => field.into_iter().for_each(|of| of.push(letter)),
        }
    }
    fields.iter().map(|field| field.trim().to_owned()).collect()
}

/// Seconds since the epoch, RFC 3339, or the same without a zone: then it is UTC.
fn time(text: &str) -> Option<Time> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1_000_000_000).map(Time::from_nanos);
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return Span::from_secs_f64(seconds).map(|span| Time::from_nanos(span.nanos()));
    }
    text.parse::<Time>().ok().or_else(|| {
        let clock: DateTime = text.parse().ok()?;
        let nanos = clock.to_zoned(TimeZone::UTC).ok()?.timestamp().as_nanosecond();
        i64::try_from(nanos).ok().map(Time::from_nanos)
    })
}

impl Samples {
    /// Leaves out what is not before a time.
    pub(super) fn before(&mut self, to: Time) {
        self.samples.retain(|sample| sample.time < to);
    }

    /// What a baseline, by its place in the definitions, would have said of them.
    pub(super) fn live(&self, settings: &Settings, baseline: usize, path: &str) -> Result<Vec<Lived>, Failure> {
        let (mut definitions, baseline) = server::narrowed(&settings.definitions, baseline);
        let stream = definitions.baselines[baseline].stream;
        // A check that reads something else beside it would only miss that.
        definitions.checks.retain(|check| {
            check.arguments.iter().all(|(_, argument)| match argument {
                Argument::Input(input) => input.stream == stream,
                _ => true,
            })
        });
        let source = definitions.sources.len();
        definitions.sources.push(Source {
            name: format!("file {path}").into(),
            mapping: 0,
            lateness: Span::ZERO,
            idle_after: Span::from_secs(5),
            max_ahead: Span::from_secs(60),
            max_skew: Span::from_secs(3600),
        });
        let of = &mut definitions.streams[stream];
        *of = Stream { source, select: Selector::default(), content: Content::Metric, ..of.clone() };
        let mut formats = settings.formats.clone();
        formats.push(format()?);

        let (library, definitions) = (settings.library.clone(), Arc::new(definitions));
        let (mut engine, mut shards, _) = Engine::new(definitions, formats.into(), library, 1, Restored::default());
        let mut lived = engine.lived();
        for (number, samples) in self.samples.chunks(AT_ONCE).enumerate() {
            let mut batch = Batch::new(source, "file".into(), 0, samples[0].time);
            for (place, sample) in samples.iter().enumerate() {
                let value = sample.record().to_string();
                let offset = (number * AT_ONCE + place) as i64;
                batch.push(offset, Some(sample.time.millis()), true, None, Some(value.as_bytes()), []);
            }
            let shard = engine.admit(&mut shards, &batch);
            fill(&mut shards[shard], &batch);
            while engine.advance(&mut shards, &[]).more {}
            lived.extend(engine.lived());
        }
        // The last sample stands for as long as the others do, so its window may end with it.
        let end = self.samples.last().map_or(Time::MIN, |last| last.time + self.interval());
        let mut said = vec![Said::Tick { source, frontier: end }];
        while engine.advance(&mut shards, &std::mem::take(&mut said)).more {}
        lived.extend(engine.lived());
        lived.retain(|window| window.baseline == baseline);
        Ok(lived)
    }

    /// The usual time between two samples.
    fn interval(&self) -> Span {
        let times: BTreeSet<Time> = self.samples.iter().map(|sample| sample.time).collect();
        let times: Vec<Time> = times.into_iter().collect();
        let mut steps: Vec<Span> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.sort_unstable();
        steps.get(steps.len() / 2).copied().unwrap_or(Span::from_nanos(1))
    }
}

impl Sample {
    fn record(&self) -> serde_json::Value {
        let labels: serde_json::Map<String, serde_json::Value> =
            self.labels.iter().map(|(name, value)| (name.to_string(), json!(&**value))).collect();
        json!({ "at": self.time.nanos(), "value": self.value, "labels": labels })
    }
}

/// The format of what `record` makes.
fn format() -> Result<Format, Failure> {
    let settings = codec::Settings {
        name: Some("value".to_owned()),
        value: Some("/value".to_owned()),
        labels: vec![("*".to_owned(), LabelSetting::Template("/labels".to_owned()))],
        time: Some("/at".to_owned()),
        time_unit: Some("ns".to_owned()),
        ..codec::Settings::default()
    };
    Format::new("json", &settings).map_err(|_| Failure::Failed("samples cannot be read by a bug".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, wanted: &str) {
        let found = match read(text, "folder/web.csv", &["host".into()], &Labels::default()) {
            Ok(found) => found.samples.iter().map(|it| format!("{} {} {}\n", it.time, it.value, it.labels)).collect(),
            Err(failure) => failure.to_string(),
        };
        assert_eq!(found.trim_end(), wanted);
    }

    #[test]
    fn samples_come_in_the_order_of_time() {
        check(
            "timestamp,value,host\n1767225660,2,b\n2026-01-01T00:00:00Z,1.5,\"a, \"\"b\"\"\"\n\"2026-01-01 00:02:00\",nan,a\n1767225720.5,3,a",
            "2026-01-01T00:00:00Z 1.5 {host=\"a, \\\"b\\\"\"}\n2026-01-01T00:01:00Z 2 {host=\"b\"}\n2026-01-01T00:02:00.5Z 3 {host=\"a\"}",
        );
        check("Value,label,Timestamp\n1,0,1767225600\n", "2026-01-01T00:00:00Z 1 {host=\"web\"}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        check(
            "",
            "folder/web.csv:1: no column `timestamp`; the first line names the columns, `timestamp,value`, and has nothing",
        );
        check(
            "time,value\n",
            "folder/web.csv:1: no column `timestamp`; the first line names the columns, `timestamp,value`, and has time, value",
        );
        check(
            "timestamp,value\n\nnow,1",
            "folder/web.csv:3: `now` is no timestamp; wanted are seconds since 1970 or a time such as 2026-03-01T12:00:00Z",
        );
        check("timestamp,value\n1,one", "folder/web.csv:2: `one` is no number");
        check("timestamp,value\n", "folder/web.csv:1: the file holds no samples");
    }
}
