//! Publishing points, as the caller sees it, whoever does it.

use crate::publisher::{Message, Publisher};
use crate::{Connection, Error};
use fetch::produce::{self, Producer};

/// Publishes points to any topic of one cluster: by our own path, which costs a tenth, or by librdkafka where a property
/// asks for what our own does not know.
pub struct Points(Path);

enum Path {
    Own(Box<Producer>),
    Librdkafka(Publisher),
}

impl Points {
    /// Fails only on settings that neither of both takes.
    pub fn new(connection: &Connection) -> Result<Points, Error> {
        let property = match Producer::new(connection) {
            Ok(producer) => return Ok(Points(Path::Own(Box::new(producer)))),
            Err(fetch::Error::Refused { property, .. } | fetch::Error::Property { property, .. }) => property,
            Err(error) => return Err(error.into()),
        };
        let publisher = Publisher::new(connection)?;
        tracing::info!(property, "points are published by librdkafka: our own path does not take the property");
        Ok(Points(Path::Librdkafka(publisher)))
    }

    /// Sends all and waits until the broker has acknowledged each, at most `message.timeout.ms`. After an error
    /// nothing is known: some may lie on the topic, and the caller publishes all again.
    pub fn publish<'m>(
        &mut self,
        topic: &str,
        messages: impl Iterator<Item = produce::Message<'m>>,
    ) -> Result<(), Error> {
        match &mut self.0 {
            Path::Own(producer) => Ok(producer.publish(topic, messages)?),
            Path::Librdkafka(publisher) => {
                let message = |(key, value, at_ms): produce::Message<'m>| Message {
                    key: key.map(Into::into),
                    value: Some(value.into()),
                    timestamp_ms: Some(at_ms),
                    ..Message::default()
                };
                publisher.publish(topic, &messages.map(message).collect::<Vec<_>>())
            }
        }
    }
}
