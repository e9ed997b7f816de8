//! From YAML to validated definitions, with every error told at once: file, line, column, what was found
//! and what is wanted.
//!
//! `load` takes the text of all files, reads them into trees of values with their places (`raw`), then
//! validates section by section. A definition that is wrong does not hide what is wrong in others, and
//! who refers to it is not blamed.
//!
//! A complete configuration, with every section and what it may hold:
//!
//! ```yaml
#![doc = include_str!("../tests/example.yaml")]
//! ```

mod arguments;
mod baselines;
mod checks;
mod elements;
mod fields;
mod fingerprint;
mod inputs;
mod library;
mod load;
mod names;
mod problem;
mod raw;
mod reference;
mod settings;
mod sources;
mod streams;
mod units;
mod windows;

pub use fingerprint::feed_fingerprint;
pub use load::load;
pub use problem::{Errors, File, Problem, Warning};
pub use reference::reference;
pub use settings::{
    BaselineBinding, Binding, Durability, PointsSettings, Secret, Settings, SourceSettings, StoreSettings,
    TransitionsSettings,
};
