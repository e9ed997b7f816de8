//! How well the baselines find what is wrong: labelled series, what a detector says of their points, and what that is
//! worth.
//!
//! [`run`] is the one place that knows the detector. All else takes what was said, point by point.

pub mod drive;
pub mod events;
pub mod generate;
pub mod nab;
pub mod run;
pub mod series;
