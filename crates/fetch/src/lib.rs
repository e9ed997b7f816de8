//! Vitalsign's own way of reading Kafka: whole record batches from the socket into the buffer that the engine reads.
//!
//! A client library that hands over single messages costs several times what the engine does with them. Here nothing
//! is done for a record but its line in the index of a [`model::record::Batch`]; what lies uncompressed on the topic
//! is copied by the kernel alone.
//!
//! One process owns all partitions of its sources: no consumer group takes part. A [`Reader`] reads one source on a
//! thread of its own, one connection to each broker, and hands over [`Input`]s in the order of each partition's
//! offsets. What a broker sends is trusted in nothing: a length is believed when its bytes have come.
//!
//! Points go back the same way: [`produce`] writes whole pieces of them as record batches.

mod asking;
mod batch;
mod codec;
mod connection;
mod extent;
mod fetching;
mod finder;
mod messages;
pub mod produce;
mod properties;
mod reader;
mod sasl;
mod scram;
mod session;
mod tls;
pub mod topics;
mod wire;
mod worker;

pub use extent::{Extent, extents};
pub use properties::Connection;
pub use reader::{Input, Position, Reader, Reading};

/// What an operator has to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A property that the reader or the publisher decides itself.
    #[error("kafka property `{property}` cannot be set here: {reason}")]
    Refused {
        /// The property's name.
        property: String,
        /// Why, and what to use instead.
        reason: &'static str,
    },
    /// A property that the client does not know, or a value that it does not take. The value may be a secret and is
    /// not shown.
    #[error("kafka property `{property}` is not accepted: {reason}")]
    Property {
        /// The property's name.
        property: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The client could not be made from its properties.
    #[error("cannot make a kafka client: {0}")]
    Client(String),
    /// The brokers did not answer what was asked once.
    #[error("cannot {action}: {reason}")]
    Unanswered {
        /// What was asked for.
        action: String,
        /// What is wrong.
        reason: String,
    },
    /// Not everything was acknowledged.
    #[error("cannot publish to topic `{topic}`: {reason}")]
    Unpublished {
        /// The topic.
        topic: String,
        /// The first thing that went wrong for good, or the last that did not pass in time.
        reason: String,
    },
}
