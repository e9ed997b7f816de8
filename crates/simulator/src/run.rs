//! The shop on a real Kafka, at the pace of the clock. Only this module knows Kafka, and what time it is.

use crate::{Output, Shop};
use kafka::{Error, Message, Publisher};
use model::Time;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

/// How long what was written may wait.
const PACE: Duration = Duration::from_millis(250);

/// Publishes what the shop writes until something is received, or the other end is gone.
///
/// # Errors
///
/// When something was not acknowledged: then nothing is known of what was written in that step.
pub fn run(mut shop: Shop, publisher: &Publisher, stop: &Receiver<()>) -> Result<(), Error> {
    loop {
        write(shop.step(now()), publisher)?;
        if stop.recv_timeout(PACE) != Err(RecvTimeoutError::Timeout) {
            return Ok(());
        }
    }
}

/// Publishes these records.
///
/// # Errors
///
/// When something was not acknowledged.
pub fn write(outputs: impl IntoIterator<Item = Output>, publisher: &Publisher) -> Result<(), Error> {
    let mut by_topic: BTreeMap<&str, Vec<Message>> = BTreeMap::new();
    for output in outputs {
        by_topic.entry(output.topic).or_default().push(Message {
            key: output.key.map(Into::into),
            value: Some(output.value.into()),
            headers: output.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            timestamp_ms: Some(output.time.millis()),
            partition: None,
        });
    }
    by_topic.into_iter().try_for_each(|(topic, messages)| publisher.publish(topic, &messages))
}

/// The clock of the machine. One that stands before 1970 opens no shop.
fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
