//! What the engine says of a series is what the model says that is given its points one by one.

use detection::{drive, generate};
use model::baseline::learnable;
use model::definition::{Learner, OnlineModel};
use model::{Span, Time};
use online::Model;

/// The end of the minute that holds a time.
fn end(at: Time) -> Time {
    at.floor(Span::from_secs(60)) + Span::from_secs(60)
}

fn by_hand(model: OnlineModel, series: &detection::series::Series) -> Vec<f64> {
    let mut model = Model::new(model);
    let scores = series.rows.iter().map(|row| {
        let (at, value) = (end(row.at), learnable(row.value));
        let reading = model.assess(at, at, value);
        model.learn(at, at, value);
        reading.and_then(|reading| reading.score).unwrap_or(0.0)
    });
    scores.collect()
}

#[test]
fn the_engine_gives_the_scores_of_its_models() {
    for name in ["novelty", "deviation"] {
        let settings = drive::settings(name).unwrap_or_else(|errors| panic!("{errors}"));
        let Learner::Online(model) = settings.definitions.baselines[0].learner else { panic!("an online model") };
        for number in 0..3 {
            let series = generate::series(7, number, 5);
            let wanted = by_hand(model, &series);
            let found: Vec<f64> = drive::run(&settings, &series).iter().map(|said| said.score).collect();
            assert_eq!(found.len(), wanted.len());
            let other = (0..wanted.len()).find(|row| found[*row] != wanted[*row]);
            let other = other.map(|row| (series.rows[row].at.to_string(), found[row], wanted[row]));
            assert_eq!(other, None, "{name}, {}: time, found, wanted", series.name);
        }
    }
}
