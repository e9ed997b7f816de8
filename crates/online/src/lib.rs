//! Online baselines: two small recursive models that say of each point how unusual it is, and learn from it.
//!
//! `deviation` answers "unusual now", `novelty` answers "never seen before". Each takes one pass over the points, a
//! bounded amount of work for each, and a bounded amount of memory; nothing is looked at twice, and nothing ahead.
//! A model knows neither the interval of its points nor a clock: both come with the points.

mod deviation;
mod envelope;
mod novelty;
mod peaks;
mod profile;
mod seasons;
mod stored;

pub use deviation::Deviation;
use model::definition::OnlineModel;
use model::{Reading, Time};
pub use novelty::Novelty;

/// The most memory that a model holds, in bytes.
pub const MOST_BYTES: usize = 4096;

/// What one series has taught a model.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    /// What is unusual now.
    Deviation(Box<Deviation>),
    /// What never was.
    Novelty(Box<Novelty>),
}

impl Model {
    /// A model that has seen nothing.
    pub fn new(model: OnlineModel) -> Model {
        match model {
            OnlineModel::Deviation { scales } => Model::Deviation(Box::new(Deviation::new(scales))),
            OnlineModel::Novelty => Model::Novelty(Box::new(Novelty::new())),
        }
    }

    /// What the model says of a point before it learns from it; nothing while it has not warmed up. `at` is the end of
    /// the point's window, `local` the same moment as the local clock shows it.
    pub fn assess(&self, at: Time, local: Time, value: f64) -> Option<Reading> {
        match self {
            Model::Deviation(model) => model.assess(at, local, value),
            Model::Novelty(model) => model.assess(at, local, value),
        }
    }

    /// Learns from a point. Points come in the order of time.
    pub fn learn(&mut self, at: Time, local: Time, value: f64) {
        match self {
            Model::Deviation(model) => model.learn(at, local, value),
            Model::Novelty(model) => model.learn(at, local, value),
        }
    }

    /// Appends the model's bytes, led by the version of their layout.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Model::Deviation(model) => model.encode(bytes),
            Model::Novelty(model) => model.encode(bytes),
        }
    }

    /// The model that was encoded to these bytes; nothing where they are those of another model or layout.
    pub fn decode(model: OnlineModel, bytes: &[u8]) -> Option<Model> {
        match model {
            OnlineModel::Deviation { scales } => Deviation::decode(scales, bytes).map(Box::new).map(Model::Deviation),
            OnlineModel::Novelty => Novelty::decode(bytes).map(Box::new).map(Model::Novelty),
        }
    }

    /// Bytes of memory held, those on the heap included; at most [`MOST_BYTES`].
    pub fn held_bytes(&self) -> usize {
        let heap_bytes = match self {
            Model::Deviation(model) => size_of::<Deviation>() + model.heap_bytes(),
            Model::Novelty(model) => size_of::<Novelty>() + model.heap_bytes(),
        };
        size_of::<Model>() + heap_bytes
    }
}
