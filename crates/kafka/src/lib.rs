//! Reading sources, publishing, and the embedded broker. Only this crate knows a type of rdkafka.
//!
//! One process owns all partitions of its sources by its own assignment: no consumer group ever takes one away.
//! A [`Reader`] reads one source on a thread of its own and hands over [`Input`]s in the order of each
//! partition's offsets; what is stored, and where reading begins, is the caller's decision and commit. It reads by our
//! own fetch path, which is the crate `fetch`, or by librdkafka, and shows the same of both. [`Points`] are published by
//! either too; transitions by librdkafka's [`Publisher`].

mod admin;
mod connection;
mod embedded;
mod extent;
mod librdkafka;
mod points;
mod publisher;
mod reader;

pub use admin::{create_topics, topics_exist};
pub use embedded::Embedded;
pub use extent::extents;
pub use fetch::{Connection, Extent, Input, Position, Reading};
pub use points::Points;
pub use publisher::{Message, Publisher};
pub use reader::Reader;

/// What an operator has to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The connection's settings.
    #[error(transparent)]
    Connection(fetch::Error),
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

impl From<fetch::Error> for Error {
    fn from(error: fetch::Error) -> Error {
        match error {
            fetch::Error::Unanswered { action, reason } => Error::Admin { action, reason },
            fetch::Error::Unpublished { topic, reason } => Error::Publish { topic, reason },
            error => Error::Connection(error),
        }
    }
}
