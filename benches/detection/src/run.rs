//! A detector over a series: what it says of each point, in one pass.

use crate::drive::{self, Verdict};
use crate::series::{Row, Series};
use config::Settings;
use model::Time;
use model::baseline::learnable;
use model::definition::OnlineModel;
use online::Model;
use std::fmt::Write as _;

/// A point and what was said of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// When.
    pub at: Time,
    /// What was measured.
    pub value: f64,
    /// How anomalous it is held to be; 0 while nothing is said. It ranks points, also between series.
    pub score: f64,
    /// Whether a user would be told.
    pub alert: bool,
}

/// What the engine says of a series with the settings that a user would have.
pub fn run_engine(series: &Series, settings: &Settings) -> Vec<Scored> {
    let verdicts = drive::run(settings, series);
    let scored = |(row, verdict): (&Row, Verdict)| Scored {
        at: row.at,
        value: row.value,
        score: verdict.score,
        alert: verdict.alert,
    };
    series.rows.iter().zip(verdicts).map(scored).collect()
}

/// What a model says of a series without the engine around it: each point is assessed before it is learned.
pub fn run_model(series: &Series, model: OnlineModel) -> Vec<Scored> {
    let mut model = Model::new(model);
    let mut scored = Vec::with_capacity(series.rows.len());
    for row in &series.rows {
        let value = learnable(row.value);
        let score = model.assess(row.at, row.at, value).and_then(|reading| reading.score).unwrap_or_default();
        model.learn(row.at, row.at, value);
        scored.push(Scored { at: row.at, value: row.value, score, alert: score >= 1.0 });
    }
    scored
}

/// What was said of a series, as the text of a file for others to judge.
pub fn print(scored: &[Scored]) -> String {
    let mut text = String::from("timestamp,value,score\n");
    for point in scored {
        let nanos = point.at.nanos();
        let (seconds, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
        let fraction = if rest == 0 { String::new() } else { format!(".{rest:09}").trim_end_matches('0').to_owned() };
        let _ = writeln!(text, "{seconds}{fraction},{},{}", point.value, point.score);
    }
    text
}
