//! From a connection's settings to a librdkafka client, and what such a client says while it lives.

use crate::Connection;
use fetch::Error;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// What nobody may set, for readers and publishers alike.
const REFUSED: &[(&str, &str)] = &[
    ("bootstrap.servers", "the brokers have a setting of their own"),
    ("metadata.broker.list", "the brokers have a setting of their own"),
    ("test.mock.num.brokers", "only tests and the demo embed a broker"),
];

/// A client's settings: `defaults` may be overridden, `fixed` may not.
pub(crate) fn settings(
    connection: &Connection,
    defaults: &[(&str, &str)],
    fixed: &[(&str, &str)],
    refused: &[(&str, &'static str)],
) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::new();
    for (name, value) in defaults {
        config.set(*name, *value);
    }
    for (name, value) in &connection.properties {
        if let Some((_, reason)) = REFUSED.iter().chain(refused).find(|(refused, _)| refused == name) {
            return Err(Error::Refused { property: name.clone(), reason });
        }
        if fixed.iter().any(|(fixed, _)| fixed == name) {
            return Err(Error::Refused { property: name.clone(), reason: "correct results need the built-in value" });
        }
        config.set(name, value);
    }
    for (name, value) in fixed {
        config.set(*name, *value);
    }
    config.set("bootstrap.servers", &connection.brokers);
    Ok(config)
}

/// Makes a client; what is wrong with a property is said of the property.
pub(crate) fn client<T: FromClientConfigAndContext<Voice>>(config: &ClientConfig) -> Result<T, Error> {
    config.create_with_context(Voice::default()).map_err(rejected)
}

/// An error at the making of a client, without the value that may be a secret.
pub(crate) fn rejected(error: KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, description, property, value) => {
            let reason = if value.is_empty() { description } else { description.replace(&value, "...") };
            Error::Property { property, reason }
        }
        KafkaError::ClientCreation(reason) => Error::Client(reason),
        other => Error::Client(other.to_string()),
    }
}

/// What librdkafka says of a client beside its answers.
#[derive(Default)]
pub(crate) struct Voice {
    /// The last trouble with a broker, in librdkafka's words: the reason behind a mere "timed out".
    trouble: Mutex<Option<String>>,
    /// No broker is reachable, or one refused us: worth a look at once.
    alarm: AtomicBool,
}

impl Voice {
    /// Whether there was an alarm since the last call.
    pub(crate) fn take_alarm(&self) -> bool {
        self.alarm.swap(false, Ordering::Relaxed)
    }

    /// The last trouble with a broker since the last call.
    pub(crate) fn take_trouble(&self) -> Option<String> {
        self.trouble.lock().ok().and_then(|mut trouble| trouble.take())
    }

    fn remember(&self, reason: &str) {
        if let Ok(mut trouble) = self.trouble.lock() {
            *trouble = Some(reason.to_owned());
        }
    }
}

impl ClientContext for Voice {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            // What matters comes as an error event too, and is told from there, once.
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(facility, "{message}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::warn!(facility, "{message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(facility, "{message}"),
            RDKafkaLogLevel::Debug => tracing::debug!(facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.alarm.store(true, Ordering::Relaxed),
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
                self.remember(reason);
                self.alarm.store(true, Ordering::Relaxed);
            }
            _ => self.remember(reason),
        }
    }
}

impl ConsumerContext for Voice {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::warn!(%error, "offsets for lag monitors could not be committed");
        }
    }
}
