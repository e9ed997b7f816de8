//! Made-up service metrics with labelled anomalies: what the models are checked on where no data may be had.
//!
//! Each series draws its nature from a seed: traffic, latency, success ratio, sparse counter, processor, flat line; with
//! daily and weekly rhythm, drifting days, noise that goes with the level, nightly jobs, harmless bursts, missing points
//! and gaps. Into it come spikes, dips, and shifts, from hardly visible to plain. It is a check of robustness, not of
//! quality: who writes the generator knows what the detector sees.

use crate::series::{Row, Series};

const DAY_S: f64 = 86_400.0;
/// 2026-03-02T00:00:00Z, a Monday.
const START_S: f64 = 1_772_409_600.0;
const NANOS: f64 = 1e9;

/// Numbers that look random and are the same for the same seed (Steele, Lea and Flood, "Fast splittable pseudorandom
/// number generators", 2014).
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly between the two.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True this often.
    pub fn chance(&mut self, share: f64) -> bool {
        self.between(0.0, 1.0) < share
    }

    /// From the normal distribution (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.between(1e-12, 1.0).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.between(0.0, 1.0)).cos()
    }

    /// How often something happens that is expected `mean` times; by the normal distribution where that is often.
    fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 50.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let (mut count, mut product) = (0.0, self.between(0.0, 1.0));
        while product > (-mean).exp() {
            count += 1.0;
            product *= self.between(0.0, 1.0);
        }
        count
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Nature {
    Traffic,
    Latency,
    Success,
    Sparse,
    Processor,
    Flat,
}

/// What a series is drawn from.
struct Recipe {
    nature: Nature,
    level: f64,
    /// Weights, cycles a day and phases of the daily rhythm.
    waves: [(f64, f64, f64); 3],
    /// The share of the level that is left on Saturday and Sunday.
    weekend: f64,
    /// Growth over thirty days.
    trend: f64,
    /// Spread of the noise from point to point, as a share of the level.
    noise: f64,
    /// Spread and memory of the slow noise.
    wander: (f64, f64),
    /// The share of points with a harmless burst, and its size as a share of the level.
    burst: (f64, f64),
    /// Each night from this second of the day for this many seconds this share of the level more.
    job: Option<(f64, f64, f64)>,
    /// The share of points that are missing.
    missing: f64,
    /// Whether the values are scaled to mean 0 and spread 1 in the end, as published data often are.
    standardised: bool,
    /// Decimals that are kept.
    decimals: i32,
}

fn recipe(random: &mut Random) -> Recipe {
    let natures = [Nature::Traffic, Nature::Traffic, Nature::Latency, Nature::Latency, Nature::Success];
    let others = [Nature::Sparse, Nature::Processor, Nature::Processor, Nature::Traffic, Nature::Flat];
    let place = random.between(0.0, 10.0) as usize;
    let nature = *natures.iter().chain(&others).nth(place).unwrap_or(&Nature::Traffic);
    let (level, swing, noise) = match nature {
        Nature::Traffic => {
            (10_f64.powf(random.between(1.5, 5.0)), random.between(0.3, 0.9), random.between(0.01, 0.08))
        }
        Nature::Latency => (random.between(20.0, 500.0), random.between(0.0, 0.4), random.between(0.03, 0.25)),
        Nature::Success => (100.0, random.between(0.0, 0.5), random.between(0.1, 0.4)),
        Nature::Sparse => (10_f64.powf(random.between(-1.7, 0.5)), random.between(0.0, 0.9), 0.0),
        Nature::Processor => (random.between(5.0, 50.0), random.between(0.1, 0.6), random.between(0.02, 0.15)),
        Nature::Flat => (random.between(1.0, 100.0).round(), 0.0, 0.0),
    };
    let peak = random.between(0.4, 0.9);
    let waves = [
        (swing, 1.0, peak),
        (swing * random.between(0.0, 0.5), 2.0, random.between(0.0, 1.0)),
        (swing * random.between(0.0, 0.2), 5.0, random.between(0.0, 1.0)),
    ];
    let lively = nature != Nature::Flat;
    let bursty = lively && random.chance(if nature == Nature::Latency { 0.7 } else { 0.2 });
    Recipe {
        nature,
        level,
        waves,
        weekend: if lively && random.chance(0.6) { random.between(0.4, 1.1) } else { 1.0 },
        trend: if lively { random.between(-0.2, 0.3) } else { 0.0 },
        noise,
        wander: if lively { (random.between(0.005, 0.06), random.between(0.9, 0.995)) } else { (0.0, 0.0) },
        burst: if bursty { (random.between(0.0005, 0.01), random.between(0.2, 2.0)) } else { (0.0, 0.0) },
        job: (lively && random.chance(0.35)).then(|| {
            let start = (random.between(0.0, 24.0)).floor() * 3600.0;
            (start, random.between(60.0, 1800.0), random.between(0.2, 1.5))
        }),
        missing: if random.chance(0.5) { random.between(0.0, 0.03) } else { 0.0 },
        standardised: lively && random.chance(0.3),
        decimals: random.between(0.0, 5.0) as i32,
    }
}

/// A span with an anomaly: what it does to the value, in shares of the level.
struct Anomaly {
    start: usize,
    end: usize,
    by: f64,
    /// Points until it has its full size.
    ramp: usize,
}

/// Spikes, dips, and shifts, one in a stretch; none on the first four days, which are for learning.
fn anomalies(random: &mut Random, recipe: &Recipe, points: usize, day: usize) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let a_day = random.between(0.1, 1.2);
    let mut at = 4 * day;
    loop {
        at += (day as f64 * -random.between(1e-9, 1.0).ln() / a_day) as usize + day / 12;
        let (least, most, sign) = match random.between(0.0, 1.0) {
            kind if kind < 0.35 => (1.0, 6.0, 1.0),
            kind if kind < 0.7 => (4.0, 60.0, -1.0),
            _ => (20.0, 240.0, if random.chance(0.5) { 1.0 } else { -1.0 }),
        };
        let end = at + random.between(least, most) as usize;
        if end >= points {
            return found;
        }
        let spread = (recipe.noise.powi(2) + 1.0 / recipe.level.max(0.2)).sqrt().clamp(0.01, 3.0);
        let size = (spread * random.between(4.0, 25.0)).max(0.08);
        let by = if sign < 0.0 { -size.min(random.between(0.5, 1.0)) } else { size };
        let ramp = if random.chance(0.25) { random.between(1.0, 6.0) as usize } else { 0 };
        found.push(Anomaly { start: at, end, by, ramp });
        at = end;
    }
}

fn effect(anomalies: &[Anomaly], place: usize) -> Option<f64> {
    let anomaly = anomalies.iter().find(|anomaly| (anomaly.start..anomaly.end).contains(&place))?;
    let grown = (place - anomaly.start + 1) as f64 / (anomaly.ramp + 1) as f64;
    Some(anomaly.by * grown.min(1.0))
}

/// What is expected at a moment, as a share of the level.
fn rhythm(recipe: &Recipe, at_s: f64) -> f64 {
    let day = at_s / DAY_S;
    let wave =
        |(weight, cycles, phase): &(f64, f64, f64)| weight * (std::f64::consts::TAU * cycles * (day - phase)).cos();
    let daily = (1.0 + recipe.waves.iter().map(wave).sum::<f64>()).max(0.05);
    // 1970-01-01 was a Thursday: the days since then modulo seven are 2 and 3 on Saturday and Sunday. Nights between
    // are crossed within two hours, as people go to bed at different hours.
    let weekday = day.rem_euclid(7.0);
    let inside = (weekday - 2.0).min(4.0 - weekday).clamp(-0.04, 0.04) / 0.08 + 0.5;
    daily * (1.0 + inside * (recipe.weekend - 1.0)) * (1.0 + recipe.trend * (at_s - START_S) / (30.0 * DAY_S))
}

/// One series of so many days, named by its number.
pub fn series(seed: u64, number: usize, days: usize) -> Series {
    let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
    let recipe = recipe(&mut random);
    let interval_s = if random.chance(0.6) { 60.0 } else { 300.0 };
    let day = (DAY_S / interval_s) as usize;
    let points = days * day;
    let anomalies = anomalies(&mut random, &recipe, points, day);
    let gaps: Vec<usize> = (0..3).map(|_| random.between(0.0, 1.5 * points as f64) as usize).collect();
    let gap_points = random.between(10.0, 5.0 * 3600.0 / interval_s) as usize;
    let mut rows = Vec::new();
    let (mut slow, mut day_factor) = (0.0, 0.0);
    for place in 0..points {
        let at_s = START_S + place as f64 * interval_s;
        let (spread, memory) = recipe.wander;
        slow = memory * slow + (1.0 - memory * memory).sqrt() * spread * random.normal();
        day_factor += (random.normal() * 0.05 - day_factor) / day as f64 * 3.0;
        let by = effect(&anomalies, place);
        let value = value(&mut random, &recipe, at_s, slow + day_factor, by.unwrap_or(0.0));
        let lost = random.chance(recipe.missing) || gaps.iter().any(|gap| (*gap..gap + gap_points).contains(&place));
        if !lost {
            let at = model::Time::from_nanos((at_s * NANOS) as i64);
            rows.push(Row { at, value, label: by.is_some() });
        }
    }
    finish(&recipe, &mut rows);
    Series { name: format!("made-{number:03}.csv"), rows, labelled: true }
}

fn value(random: &mut Random, recipe: &Recipe, at_s: f64, slow: f64, by: f64) -> f64 {
    let mut expected = recipe.level * rhythm(recipe, at_s) * (1.0 + slow);
    if let Some((start, length, more)) = recipe.job {
        let since = (at_s - start).rem_euclid(DAY_S);
        expected += if since < length { recipe.level * more } else { 0.0 };
    }
    let burst = if random.chance(recipe.burst.0) { recipe.burst.1 * random.between(0.3, 1.5) } else { 0.0 };
    let noise = recipe.noise * random.normal();
    match recipe.nature {
        Nature::Traffic => random.poisson((expected * (1.0 + by) * (1.0 + noise + burst)).max(0.0)),
        Nature::Latency => expected * (1.0 + by) * (noise.exp() + burst),
        Nature::Success => 100.0 - (0.3 * rhythm(recipe, at_s) * noise.exp() * (1.0 + 4.0 * by.abs())).min(100.0),
        Nature::Sparse => random.poisson((expected * (1.0 + burst) + 5.0 * by.abs() * expected.max(0.5)).max(0.0)),
        Nature::Processor => (expected * (1.0 + by) * (1.0 + noise + burst)).clamp(0.0, 100.0),
        Nature::Flat => recipe.level * (1.0 + by),
    }
}

fn finish(recipe: &Recipe, rows: &mut [Row]) {
    let count = rows.len().max(1) as f64;
    let mean = rows.iter().map(|row| row.value).sum::<f64>() / count;
    let spread = (rows.iter().map(|row| (row.value - mean).powi(2)).sum::<f64>() / count).sqrt().max(1e-9);
    let steps = 10_f64.powi(if recipe.standardised { 4 } else { recipe.decimals });
    for row in rows {
        let value = if recipe.standardised { (row.value - mean) / spread } else { row.value };
        row.value = (value * steps).round() / steps;
    }
}
