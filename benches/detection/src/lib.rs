//! How well the baselines find what is wrong: labelled series, detectors' scores on them, and what they are worth.

pub mod drive;
pub mod generate;
pub mod series;
