//! The messages of Kafka that reading and publishing need, in all versions that are spoken here; only Fetch has a module of its own.
//!
//! They are written by hand: there are few, and a general library reserves memory for whatever count a response
//! claims, which a hostile one turns into the end of the process.

use crate::wire::{Bytes, Malformed, TopicId, Writer};
use std::sync::Arc;

/// A kind of message.
pub(crate) struct Api {
    pub(crate) name: &'static str,
    pub(crate) key: i16,
    /// The versions that are spoken here.
    pub(crate) lowest: i16,
    pub(crate) highest: i16,
    /// From which version on it is flexible.
    pub(crate) flexible: i16,
}

pub(crate) const PRODUCE: Api = Api { name: "Produce", key: 0, lowest: 3, highest: 9, flexible: 9 };
pub(crate) const FETCH: Api = Api { name: "Fetch", key: 1, lowest: 4, highest: 13, flexible: 12 };
/// The last version that names topics, for those whose brokers give them no ids.
pub(crate) const FETCH_BY_NAME: Api = Api { highest: 12, ..FETCH };
pub(crate) const LIST_OFFSETS: Api = Api { name: "ListOffsets", key: 2, lowest: 2, highest: 7, flexible: 6 };
pub(crate) const METADATA: Api = Api { name: "Metadata", key: 3, lowest: 4, highest: 12, flexible: 9 };
pub(crate) const OFFSET_COMMIT: Api = Api { name: "OffsetCommit", key: 8, lowest: 2, highest: 7, flexible: 8 };
pub(crate) const FIND_COORDINATOR: Api = Api { name: "FindCoordinator", key: 10, lowest: 1, highest: 2, flexible: 3 };
pub(crate) const SASL_HANDSHAKE: Api = Api { name: "SaslHandshake", key: 17, lowest: 1, highest: 1, flexible: 2 };
/// Only the first version: it is asked before it is known what the broker speaks, and every broker speaks that one.
pub(crate) const API_VERSIONS: Api = Api { name: "ApiVersions", key: 18, lowest: 0, highest: 0, flexible: 3 };
pub(crate) const SASL_AUTHENTICATE: Api = Api { name: "SaslAuthenticate", key: 36, lowest: 0, highest: 1, flexible: 2 };

/// Error codes on which something depends.
pub(crate) mod code {
    pub(crate) const NONE: i16 = 0;
    pub(crate) const OFFSET_OUT_OF_RANGE: i16 = 1;
    pub(crate) const CORRUPT: i16 = 2;
    pub(crate) const UNKNOWN_TOPIC: i16 = 3;
    pub(crate) const LEADER_NOT_AVAILABLE: i16 = 5;
    pub(crate) const NOT_LEADER: i16 = 6;
    pub(crate) const REQUEST_TIMED_OUT: i16 = 7;
    pub(crate) const REPLICA_NOT_AVAILABLE: i16 = 9;
    pub(crate) const RECORD_TOO_LARGE: i16 = 10;
    pub(crate) const NETWORK: i16 = 13;
    pub(crate) const FEW_REPLICAS: i16 = 19;
    pub(crate) const FEW_REPLICAS_AFTER_APPEND: i16 = 20;
    pub(crate) const TOPIC_NOT_ALLOWED: i16 = 29;
    pub(crate) const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
    pub(crate) const STORAGE_ERROR: i16 = 56;
    pub(crate) const FETCH_SESSION_NOT_FOUND: i16 = 70;
    pub(crate) const INVALID_FETCH_SESSION_EPOCH: i16 = 71;
    pub(crate) const FENCED_LEADER_EPOCH: i16 = 74;
    pub(crate) const UNKNOWN_LEADER_EPOCH: i16 = 75;
    pub(crate) const OFFSET_NOT_AVAILABLE: i16 = 78;
    pub(crate) const UNKNOWN_TOPIC_ID: i16 = 100;
    pub(crate) const INCONSISTENT_TOPIC_ID: i16 = 103;
    pub(crate) const FETCH_SESSION_TOPIC_ID: i16 = 106;
}

/// An error code in words, as far as an operator meets it.
pub(crate) fn words(code: i16) -> String {
    let words = match code {
        -1 => "the broker met an error of its own",
        code::OFFSET_OUT_OF_RANGE => "the log does not have the offset",
        code::CORRUPT => "the broker found the records corrupt",
        code::UNKNOWN_TOPIC => "the broker does not know the topic or partition",
        code::LEADER_NOT_AVAILABLE => "there is no leader",
        code::NOT_LEADER => "the broker is not the leader",
        code::REQUEST_TIMED_OUT => "the broker could not answer in time",
        code::REPLICA_NOT_AVAILABLE => "the replica is not available",
        code::RECORD_TOO_LARGE => "the broker takes no batch of records as large",
        code::NETWORK => "the broker was cut off",
        15 => "the coordinator is not available",
        16 => "the broker is not the coordinator",
        17 => "the name of the topic is invalid",
        code::FEW_REPLICAS | code::FEW_REPLICAS_AFTER_APPEND => "too few replicas are in sync",
        code::TOPIC_NOT_ALLOWED => "reading the topic is not allowed to this user",
        30 => "the group is not allowed to this user",
        31 => "the cluster is not allowed to this user",
        code::UNSUPPORTED_SASL_MECHANISM => "the broker does not take this sasl.mechanism",
        34 => "SASL comes too early or too late",
        35 => "the broker does not speak this version",
        code::STORAGE_ERROR => "the broker's disk fails",
        58 => "authentication failed",
        code::FENCED_LEADER_EPOCH => "there is a newer leader",
        code::UNKNOWN_LEADER_EPOCH => "the broker does not know the newer leader yet",
        76 => "the broker does not know the compression",
        code::OFFSET_NOT_AVAILABLE => "the leader does not know its end yet",
        code::UNKNOWN_TOPIC_ID => "the broker does not know the topic's id",
        code::INCONSISTENT_TOPIC_ID => "the topic has another id",
        _ => return format!("error {code} of Kafka"),
    };
    words.to_owned()
}

/// What a broker speaks: key, lowest and highest version.
pub(crate) fn read_api_versions(bytes: &mut Bytes<'_>) -> Result<Vec<(i16, i16, i16)>, Malformed> {
    let _error = bytes.i16()?;
    bytes.each(|api| Ok((api.i16()?, api.i16()?, api.i16()?)))
}

/// Who leads what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// Node, host, port.
    pub(crate) brokers: Vec<(i32, String, i32)>,
    pub(crate) topics: Vec<Topic>,
}

/// One topic, as brokers tell it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) error: i16,
    pub(crate) name: String,
    pub(crate) id: TopicId,
    pub(crate) partitions: Vec<Led>,
}

/// One partition, as brokers tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Led {
    pub(crate) number: i32,
    /// Below zero where there is none.
    pub(crate) leader: i32,
    /// Below zero where the broker tells none.
    pub(crate) epoch: i32,
}

/// Asks for these topics. Brokers that make topics for whoever asks do so where `make` says it.
pub(crate) fn write_metadata<'t>(
    writer: &mut Writer<'_>,
    version: i16,
    topics: impl ExactSizeIterator<Item = &'t Arc<str>>,
    make: bool,
) {
    writer.count(topics.len());
    for topic in topics {
        if version >= 10 {
            writer.id(&TopicId::default());
        }
        writer.text(topic);
        writer.end();
    }
    writer.i8(i8::from(make));
    if (8..=10).contains(&version) {
        writer.i8(0); // What is allowed in the cluster is not wanted.
    }
    if version >= 8 {
        writer.i8(0); // Nor for each topic.
    }
    writer.end();
}

pub(crate) fn read_metadata(bytes: &mut Bytes<'_>, version: i16) -> Result<Metadata, Malformed> {
    let _throttle_ms = bytes.i32()?;
    let brokers = bytes.each(|broker| {
        let (node, host, port) = (broker.i32()?, broker.text()?.unwrap_or_default().to_owned(), broker.i32()?);
        let _rack = broker.text()?;
        broker.end()?;
        Ok((node, host, port))
    })?;
    let _cluster = bytes.text()?;
    let _controller = bytes.i32()?;
    let topics = bytes.each(|topic| {
        let error = topic.i16()?;
        let name = topic.text()?.unwrap_or_default().to_owned();
        let id = if version >= 10 { topic.id()? } else { TopicId::default() };
        let _internal = topic.i8()?;
        let partitions = topic.each(|partition| {
            let _error = partition.i16()?; // Says again what the leader says.
            let (number, leader) = (partition.i32()?, partition.i32()?);
            let epoch = if version >= 7 { partition.i32()? } else { -1 };
            let _replicas = partition.each(Bytes::i32)?;
            let _in_sync = partition.each(Bytes::i32)?;
            if version >= 5 {
                let _offline = partition.each(Bytes::i32)?;
            }
            partition.end()?;
            Ok(Led { number, leader, epoch })
        })?;
        if version >= 8 {
            let _allowed = topic.i32()?;
        }
        topic.end()?;
        Ok(Topic { error, name, id, partitions })
    })?;
    if (8..=10).contains(&version) {
        let _allowed = bytes.i32()?;
    }
    Ok(Metadata { brokers, topics })
}

/// One batch of records for each of these partitions of a topic.
pub(crate) fn write_produce<'b>(
    writer: &mut Writer<'_>,
    topic: &str,
    timeout_ms: i32,
    batches: impl ExactSizeIterator<Item = (i32, &'b [u8])>,
) {
    writer.no_text(); // Of no transaction.
    writer.i16(-1); // All replicas in sync are to have them.
    writer.i32(timeout_ms);
    writer.count(1);
    writer.text(topic);
    writer.count(batches.len());
    for (partition, batch) in batches {
        writer.i32(partition);
        writer.bytes(batch);
        writer.end();
    }
    writer.end();
    writer.end();
}

/// What became of batches.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Produced {
    pub(crate) partitions: Vec<Taken>,
    pub(crate) throttle_ms: i32,
}

/// What became of one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) partition: i32,
    pub(crate) error: i16,
    /// The broker's own words.
    pub(crate) message: Option<String>,
}

/// Of the one topic that was asked for.
pub(crate) fn read_produce(bytes: &mut Bytes<'_>, version: i16) -> Result<Produced, Malformed> {
    let topics = bytes.each(|topic| {
        let _name = topic.text()?;
        let partitions = topic.each(|taken| {
            let (partition, error) = (taken.i32()?, taken.i16()?);
            let (_offset, _append_time) = (taken.i64()?, taken.i64()?);
            if version >= 5 {
                let _log_start = taken.i64()?;
            }
            let mut message = None;
            if version >= 8 {
                taken.each(|record| {
                    let (_place, said) = (record.i32()?, record.text()?);
                    message = message.take().or(said.map(str::to_owned));
                    record.end()
                })?;
                let said = taken.text()?.map(str::to_owned);
                message = said.or(message);
            }
            taken.end()?;
            Ok(Taken { partition, error, message })
        })?;
        topic.end()?;
        Ok(partitions)
    })?;
    let throttle_ms = bytes.i32()?;
    Ok(Produced { partitions: topics.into_iter().flatten().collect(), throttle_ms })
}

/// The times that stand for the beginning and the end of a log.
pub(crate) const EARLIEST: i64 = -2;
pub(crate) const LATEST: i64 = -1;

/// A partition that an offset is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) leader_epoch: i32,
    /// In milliseconds since the epoch, or one of the two above.
    pub(crate) time: i64,
}

/// Partitions of a topic stand together in `asked`.
pub(crate) fn write_list_offsets(writer: &mut Writer<'_>, version: i16, committed_only: bool, asked: &[Asked]) {
    writer.i32(-1); // We are no replica.
    writer.i8(i8::from(committed_only));
    let runs = || asked.chunk_by(|a, b| a.topic == b.topic);
    writer.count(runs().count());
    for run in runs() {
        writer.text(&run[0].topic);
        writer.count(run.len());
        for asked in run {
            writer.i32(asked.partition);
            if version >= 4 {
                writer.i32(asked.leader_epoch);
            }
            writer.i64(asked.time);
            writer.end();
        }
        writer.end();
    }
    writer.end();
}

/// The answer for one partition: below zero where no record is that late.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Offset {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) error: i16,
    pub(crate) offset: i64,
}

pub(crate) fn read_list_offsets(bytes: &mut Bytes<'_>, version: i16) -> Result<Vec<Offset>, Malformed> {
    let _throttle_ms = bytes.i32()?;
    let topics = bytes.each(|topic| {
        let name = topic.text()?.unwrap_or_default();
        let partitions = topic.each(|answer| {
            let (partition, error) = (answer.i32()?, answer.i16()?);
            let _time = answer.i64()?;
            let offset = answer.i64()?;
            if version >= 4 {
                let _epoch = answer.i32()?;
            }
            answer.end()?;
            Ok(Offset { topic: name.to_owned(), partition, error, offset })
        })?;
        topic.end()?;
        Ok(partitions)
    })?;
    Ok(topics.into_iter().flatten().collect())
}

pub(crate) fn write_find_coordinator(writer: &mut Writer<'_>, group: &str) {
    writer.text(group);
    writer.i8(0); // Of a group, not of transactions.
}

/// The error and the node.
pub(crate) fn read_find_coordinator(bytes: &mut Bytes<'_>) -> Result<(i16, i32), Malformed> {
    let _throttle_ms = bytes.i32()?;
    let error = bytes.i16()?;
    let _message = bytes.text()?;
    Ok((error, bytes.i32()?))
}

/// Commits as one who is no member of the group. Partitions of a topic stand together.
pub(crate) fn write_offset_commit(
    writer: &mut Writer<'_>,
    version: i16,
    group: &str,
    positions: &[(Arc<str>, i32, i64)],
) {
    writer.text(group);
    writer.i32(-1); // Of no generation.
    writer.text(""); // No member.
    if version >= 7 {
        writer.no_text(); // No instance.
    }
    if version <= 4 {
        writer.i64(-1); // Kept as long as the broker keeps any.
    }
    let runs = || positions.chunk_by(|a, b| a.0 == b.0);
    writer.count(runs().count());
    for run in runs() {
        writer.text(&run[0].0);
        writer.count(run.len());
        for (_, partition, next_offset) in run {
            writer.i32(*partition);
            writer.i64(*next_offset);
            if version >= 6 {
                writer.i32(-1); // The epoch is of no use to a lag monitor.
            }
            writer.no_text();
        }
    }
}

/// The first error, or none.
pub(crate) fn read_offset_commit(bytes: &mut Bytes<'_>, version: i16) -> Result<i16, Malformed> {
    if version >= 3 {
        let _throttle_ms = bytes.i32()?;
    }
    let topics = bytes.each(|topic| {
        let _name = topic.text()?;
        topic.each(|partition| {
            let _number = partition.i32()?;
            partition.i16()
        })
    })?;
    Ok(topics.into_iter().flatten().find(|error| *error != code::NONE).unwrap_or(code::NONE))
}

/// The error, and the mechanisms that the broker takes.
pub(crate) fn read_sasl_handshake(bytes: &mut Bytes<'_>) -> Result<(i16, Vec<String>), Malformed> {
    Ok((bytes.i16()?, bytes.each(|name| Ok(name.text()?.unwrap_or_default().to_owned()))?))
}

/// What the broker says to a step of authentication.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Authenticated {
    pub(crate) error: i16,
    pub(crate) message: Option<String>,
    pub(crate) bytes: Vec<u8>,
    /// After which it hangs up; zero: never.
    pub(crate) lifetime_ms: i64,
}

pub(crate) fn read_sasl_authenticate(bytes: &mut Bytes<'_>, version: i16) -> Result<Authenticated, Malformed> {
    let (error, message) = (bytes.i16()?, bytes.text()?.map(str::to_owned));
    let answer = bytes.bytes()?.to_vec();
    let lifetime_ms = if version >= 1 { bytes.i64()? } else { 0 };
    Ok(Authenticated { error, message, bytes: answer, lifetime_ms })
}

#[cfg(test)]
mod tests;
