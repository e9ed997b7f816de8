//! Exponential smoothing over batches: means whose weights fade with age, and forecasts with trend and season.

/// The exponentially weighted mean (Roberts, "Control chart tests based on geometric moving averages", 1959) and
/// standard deviation of values that stand oldest first. The newest weighs 1, each other 1 - gain times its successor,
/// so that the mean of few values does not hang on the oldest. The deviation is that of a sample: its divisor is the
/// one of reliability weights, n - 1 where all weigh the same; 0 where one value has all the weight.
pub(crate) fn ewma(values: &[f64], gain: f64) -> (f64, f64) {
    let keep = 1.0 - gain;
    let (mut sum, mut weight, mut square_weight) = (0.0, 0.0, 0.0);
    let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values {
        sum = sum * keep + value;
        weight = weight * keep + 1.0;
        square_weight = square_weight * keep * keep + 1.0;
        (least, greatest) = (least.min(*value), greatest.max(*value));
    }
    // Rounding must not carry it out of the range of the values: a constant has its own mean.
    let mean = (sum / weight).max(least).min(greatest);
    let squares = values.iter().fold(0.0, |sum, value| sum * keep + (value - mean) * (value - mean));
    let divisor = weight - square_weight / weight;
    (mean, if divisor > 0.0 { (squares / divisor).sqrt() } else { 0.0 })
}

/// How fast each part of a Holt-Winters forecast follows its errors, from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gains {
    /// Of the level.
    pub(crate) level: f64,
    /// Of its rise with each step.
    pub(crate) trend: f64,
    /// Of each phase's distance from the level.
    pub(crate) season: f64,
}

/// A value at its place in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observation {
    /// How many batches after the first it lies, missing ones counted; whole.
    pub(crate) step: f64,
    /// Its place in the period.
    pub(crate) phase: u32,
    /// What was seen.
    pub(crate) value: f64,
}

/// What is expected of the batch that comes next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forecast {
    /// The expected value.
    pub(crate) average: f64,
    /// The root mean square of the errors of the forecasts so far.
    pub(crate) error: f64,
}

/// The forecast of additive exponential smoothing for the step and phase that come `next` (Holt, "Forecasting
/// seasonals and trends by exponentially weighted moving averages", 1957; Winters, "Forecasting sales by
/// exponentially weighted moving averages", 1960).
///
/// It begins with the first two periods: the trend is the mean rise between batches of one phase, level and season
/// what is left, phase by phase, so that missing batches bend neither. Over missing batches the level goes on with
/// its trend. The first period's errors do not count: season and trend were made to fit it. Nothing where all lies
/// within one period, and where the next phase has never been seen.
pub(crate) fn holt_winters(
    observations: &[Observation],
    phases: u32,
    next: (f64, u32),
    gains: Gains,
) -> Option<Forecast> {
    let (mut level, mut trend, mut season) = beginning(observations, phases);
    let (mut last, mut squares, mut errors) = (-1.0, 0.0, 0u32);
    for Observation { step, phase, value } in observations {
        let expected = level + (step - last) * trend;
        match &mut season[*phase as usize] {
            Some(season) => {
                let error = value - (expected + *season);
                if *step >= f64::from(phases) {
                    squares += error * error;
                    errors += 1;
                }
                let before = level;
                level = expected + gains.level * error;
                trend += gains.trend * ((level - before) / (step - last) - trend);
                *season += gains.season * (value - level - *season);
            }
            unknown => {
                *unknown = Some(value - expected);
                level = expected;
            }
        }
        last = *step;
    }
    let season = season[next.1 as usize]?;
    let average = level + (next.0 - last) * trend + season;
    (errors > 0).then(|| Forecast { average, error: (squares / f64::from(errors)).sqrt() })
}

/// Level one step before the first observation, trend, and season by phase, from the first two periods.
fn beginning(observations: &[Observation], phases: u32) -> (f64, f64, Vec<Option<f64>>) {
    let period = f64::from(phases);
    let first_two = &observations[..observations.partition_point(|observation| observation.step < 2.0 * period)];
    let mut first: Vec<Option<Observation>> = vec![None; phases as usize];
    let (mut rise, mut pairs) = (0.0, 0.0);
    for observation in first_two {
        let place = &mut first[observation.phase as usize];
        match place {
            // The hour that a clock shows twice makes no pair.
            Some(earlier) if observation.step - earlier.step > period / 2.0 => {
                rise += (observation.value - earlier.value) / (observation.step - earlier.step);
                pairs += 1.0;
            }
            _ => *place = Some(*observation),
        }
    }
    let trend = if pairs > 0.0 { rise / pairs } else { 0.0 };

    let mut season = vec![(0.0, 0.0); phases as usize];
    for observation in first_two {
        let (sum, count) = &mut season[observation.phase as usize];
        *sum += observation.value - trend * (observation.step + 1.0);
        *count += 1.0;
    }
    let season: Vec<Option<f64>> =
        season.into_iter().map(|(sum, count)| (count > 0.0).then_some(sum / count)).collect();
    let seen = season.iter().flatten().count().max(1) as f64;
    let level = season.iter().flatten().sum::<f64>() / seen;
    (level, trend, season.into_iter().map(|phase| phase.map(|mean| mean - level)).collect())
}
