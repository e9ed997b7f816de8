//! Drives the engine over a series: the configuration, windows and shipped checks that a user would have, in event
//! time, once through and without looking ahead.

use crate::series::Series;
use config::{Errors, File, Settings};
use engine::state::{Change, Restored};
use engine::{Engine, Said, fill};
use model::record::Batch;
use model::transition::Health;
use model::{Span, Time};

/// What was said of one row: by its window, which other rows may share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The score of the model; 0 while it says nothing.
    pub score: f64,
    /// Whether the check was DEVIATING or CRITICAL once the row's window had closed.
    pub alert: bool,
}

/// Rows that are handed over at once.
const ROWS: usize = 5_000;

/// The settings for one model: what stands in `settings.yaml` beside this crate's manifest, with the model's name.
///
/// # Errors
/// Where the settings are wrong.
pub fn settings(model: &str) -> Result<Settings, Errors> {
    let check = if model == "novelty" { "novelty" } else { "deviation_from_baseline" };
    let text = include_str!("../settings.yaml").replace("MODEL", model).replace("CHECK", check);
    let file = File { path: "settings.yaml".to_owned(), text };
    config::load(&[file], Vec::new(), &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()))
}

/// What is said of each row.
pub fn run(settings: &Settings, series: &Series) -> Vec<Verdict> {
    let (formats, library) = (settings.formats.clone().into(), settings.library.clone());
    let (mut engine, mut shards, _) =
        Engine::new(settings.definitions.clone(), formats, library, 1, Restored::default());
    engine.lived();
    let mut scores: Vec<(Time, Time, f64)> = Vec::new();
    let mut states: Vec<(Time, bool)> = Vec::new();
    let last = series.rows.last().map_or(Time::MIN, |row| row.at);
    let batches = series.rows.chunks(ROWS).map(Some).chain([None]);
    let mut offset = 0;
    for rows in batches {
        let mut said = Vec::new();
        match rows {
            Some(rows) => {
                let mut batch = Batch::new(0, "series".into(), 0, last);
                for row in rows {
                    let value = format!(r#"{{"at":{},"value":{}}}"#, row.at.nanos().div_euclid(1_000_000), row.value);
                    batch.push(offset, Some(row.at.millis()), true, None, Some(value.as_bytes()), []);
                    offset += 1;
                }
                let shard = engine.admit(&mut shards, &batch);
                fill(&mut shards[shard], &batch);
            }
            None => said.push(Said::Tick { source: 0, frontier: last + Span::from_secs(3600) }),
        }
        while engine.advance(&mut shards, &std::mem::take(&mut said)).more {}
        for change in engine.collect(&shards, 0) {
            if let Change::Transition(transition) = change
                && transition.health == Health::Own
            {
                states.push((transition.time, transition.to.propagates()));
            }
        }
        let lived = engine.lived().into_iter();
        scores.extend(lived.map(|of| (of.start, of.end, of.reading.and_then(|reading| reading.score).unwrap_or(0.0))));
    }
    let of_row = |at: Time| {
        let window = scores[..scores.partition_point(|(start, ..)| *start <= at)].last();
        let Some((_, end, score)) = window.filter(|(_, end, _)| at < *end) else {
            return Verdict { score: 0.0, alert: false };
        };
        let state = states[..states.partition_point(|(time, _)| time <= end)].last();
        Verdict { score: *score, alert: state.is_some_and(|(_, propagates)| *propagates) }
    };
    series.rows.iter().map(|row| of_row(row.at)).collect()
}
