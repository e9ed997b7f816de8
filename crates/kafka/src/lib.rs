//! Reading sources, publishing, and the embedded broker. Only this crate knows a type of rdkafka.
//!
//! One process owns all partitions of its sources by its own assignment: no consumer group ever takes one away.
//! A [`Reader`] reads one source on a thread of its own and hands over [`Input`]s in the order of each
//! partition's offsets; what is stored, and where reading begins, is the caller's decision and commit.

mod admin;
mod connection;
mod embedded;
mod extent;
mod finder;
mod publisher;
mod reader;
mod worker;

pub use admin::{create_topics, topics_exist};
pub use connection::Connection;
pub use embedded::Embedded;
pub use extent::{Extent, extents};
pub use publisher::{Message, Publisher};
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
    /// A property that librdkafka does not accept.
    #[error("kafka property `{property}` is not accepted: {reason}")]
    Property {
        /// The property's name.
        property: String,
        /// What librdkafka says.
        reason: String,
    },
    /// The client could not be made from its properties.
    #[error("cannot make a kafka client: {0}")]
    Client(String),
    /// Not everything was acknowledged.
    #[error("cannot publish to topic `{topic}`: {reason}")]
    Publish {
        /// The topic.
        topic: String,
        /// The first thing that went wrong.
        reason: String,
    },
    /// The broker did not do what an administrator asked for.
    #[error("cannot {action}: {reason}")]
    Admin {
        /// What was asked for.
        action: String,
        /// What the broker says.
        reason: String,
    },
}
