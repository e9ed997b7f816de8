//! What lies on topics at this moment, asked once: for those who read a stretch of the past and then end.

use crate::connection::{Voice, client, settings};
use crate::{Connection, Error, Extent};
use fetch::topics::{Log, first_millis};
use model::Time;
use model::definition::{Fetch, Start};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::Duration;

/// The longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(10);

/// What lies on these topics from `from` on, and before `to` where one is given. Times are those of the records. A
/// topic that does not exist has no partitions.
///
/// # Errors
/// Where the brokers do not answer, or a setting is wrong.
pub fn extents(
    by: Fetch,
    connection: &Connection,
    topics: &[Arc<str>],
    from: Start,
    to: Option<Time>,
) -> Result<Vec<Extent>, Error> {
    match by {
        Fetch::Own => Ok(fetch::extents(connection, topics, from, to)?),
        Fetch::Librdkafka => by_librdkafka(connection, topics, from, to),
    }
}

fn by_librdkafka(
    connection: &Connection,
    topics: &[Arc<str>],
    from: Start,
    to: Option<Time>,
) -> Result<Vec<Extent>, Error> {
    let asking: BaseConsumer<Voice> = client(&settings(connection, &[], &[], &[])?)?;
    let mut found = Vec::new();
    for topic in topics {
        let failed = |error: KafkaError| {
            // The reason lies in what the client says meanwhile; the error is often no more than a time-out.
            (0..16).take_while(|_| asking.poll(Duration::from_millis(1)).is_some()).for_each(drop);
            let detail = asking.context().take_trouble();
            let reason = detail.map_or_else(|| error.to_string(), |detail| format!("{error} ({detail})"));
            Error::Admin { action: format!("ask what lies on {topic}"), reason }
        };
        for partition in partitions(&asking, topic).map_err(failed)? {
            let (low, high) = asking.fetch_watermarks(topic, partition, ANSWER).map_err(failed)?;
            let at = |time: Time| first_at(&asking, topic, partition, time, high, ANSWER).map_err(failed);
            let at_time = match from {
                Start::At(time) => Some(at(time)?),
                _ => None,
            };
            let (topic, log) = (topic.clone(), Log { low, high, at_time });
            found.push(Extent::new(topic, partition, log, from, to.map(at).transpose()?));
        }
    }
    Ok(found)
}

fn partitions(asking: &BaseConsumer<Voice>, topic: &str) -> Result<Vec<i32>, KafkaError> {
    let metadata = asking.fetch_metadata(Some(topic), ANSWER)?;
    let Some(found) = metadata.topics().first() else { return Ok(Vec::new()) };
    match found.error().map(RDKafkaErrorCode::from) {
        None => Ok(found.partitions().iter().map(|partition| partition.id()).collect()),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(Vec::new()),
        Some(code) => Err(KafkaError::MetadataFetch(code)),
    }
}

/// The first offset whose record is not before a time; `high` where none is that late.
pub(crate) fn first_at(
    asking: &BaseConsumer<Voice>,
    topic: &str,
    partition: i32,
    time: Time,
    high: i64,
    patience: Duration,
) -> Result<i64, KafkaError> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_offset(topic, partition, Offset::Offset(first_millis(time)))?;
    let answered = asking.offsets_for_times(asked, patience)?;
    let Some(answer) = answered.find_partition(topic, partition) else { return Ok(high) };
    answer.error()?;
    Ok(match answer.offset() {
        Offset::Offset(offset) => offset,
        _ => high,
    })
}
