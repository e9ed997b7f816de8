//! The run loop around the engine, and what it tells: gRPC from a read model of what is committed, and
//! transitions on Kafka.

mod crash;
mod due;
pub mod grpc;
mod inputs;
mod publish;
mod run;
mod train;
pub mod view;

pub use crash::{Crash, POINTS};
pub use run::{Clock, Error, Options, Summary, run};
pub use train::{Progress, Range, TrainError, Trained, TrainedBaseline, narrowed, relive, train};
