//! The Fetch message. Its response is read from the connection piece by piece, so that records go from the socket
//! straight into the buffer that they stay in.

use crate::connection::{Fault, Frame};
use crate::session::{Request, Wanted};
use crate::wire::{Malformed, TopicId, Writer};
use tokio::io::AsyncBufRead;

/// Bounds of a request, from the properties.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How long the broker may wait for `min_bytes`.
    pub(crate) wait_ms: i32,
    pub(crate) min_bytes: i32,
    pub(crate) max_bytes: i32,
    pub(crate) partition_bytes: i32,
    pub(crate) committed_only: bool,
}

/// How a response names a topic: by id where the version has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Id(TopicId),
    Name(String),
}

/// A response.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    pub(crate) throttle_ms: i32,
    pub(crate) error: i16,
    pub(crate) session: i32,
    pub(crate) partitions: Vec<Partition>,
}

/// What a response has of one partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) topic: Named,
    pub(crate) number: i32,
    pub(crate) error: i16,
    /// The offset after the last record that is safe on all replicas.
    pub(crate) high: i64,
    /// The offset of the first record of a transaction that is still open, else `high`.
    pub(crate) stable: i64,
    /// Where the log begins; below zero where the version does not tell.
    pub(crate) low: i64,
    /// Our last record was of an epoch that ended here: what we have read beyond is no longer there.
    pub(crate) diverging: Option<i64>,
    pub(crate) aborted: Vec<Aborted>,
    /// Record batches; the last may be cut short.
    pub(crate) records: Vec<u8>,
}

/// A transaction that came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer: i64,
    pub(crate) first_offset: i64,
}

pub(crate) fn write(writer: &mut Writer<'_>, version: i16, bounds: &Bounds, request: &Request) {
    writer.i32(-1); // We are no replica.
    writer.i32(bounds.wait_ms);
    writer.i32(bounds.min_bytes);
    writer.i32(bounds.max_bytes);
    writer.i8(i8::from(bounds.committed_only));
    if version >= 7 {
        writer.i32(request.session);
        writer.i32(request.epoch);
    }
    let runs = || request.wanted.chunk_by(|a, b| a.topic == b.topic);
    writer.count(runs().count());
    for run in runs() {
        topic(writer, version, &run[0]);
        writer.count(run.len());
        for wanted in run {
            writer.i32(wanted.partition);
            if version >= 9 {
                writer.i32(wanted.leader_epoch);
            }
            writer.i64(wanted.offset);
            if version >= 12 {
                writer.i32(wanted.last_epoch);
            }
            if version >= 5 {
                writer.i64(-1); // We have no log that could begin somewhere.
            }
            writer.i32(wanted.max_bytes);
            writer.end();
        }
        writer.end();
    }
    if version >= 7 {
        let runs = || request.forgotten.chunk_by(|a, b| a.topic == b.topic);
        writer.count(runs().count());
        for run in runs() {
            topic(writer, version, &run[0]);
            writer.count(run.len());
            run.iter().for_each(|wanted| writer.i32(wanted.partition));
            writer.end();
        }
    }
    if version >= 11 {
        writer.text(""); // No rack: leaders are read.
    }
    writer.end();
}

fn topic(writer: &mut Writer<'_>, version: i16, wanted: &Wanted) {
    if version >= 13 { writer.id(&wanted.topic_id) } else { writer.text(&wanted.topic) }
}

/// Reads a response. `spare` holds buffers for records that have been used before.
pub(crate) async fn read<S: AsyncBufRead + Unpin>(
    frame: &mut Frame<'_, S>,
    version: i16,
    spare: &mut Vec<Vec<u8>>,
) -> Result<Fetched, Fault> {
    let mut fetched = Fetched { throttle_ms: frame.i32().await?, ..Fetched::default() };
    if version >= 7 {
        fetched.error = frame.i16().await?;
        fetched.session = frame.i32().await?;
    }
    for _ in 0..frame.count().await? {
        let topic = if version >= 13 { Named::Id(frame.take().await?) } else { Named::Name(frame.text().await?) };
        for _ in 0..frame.count().await? {
            let partition = partition(frame, version, topic.clone(), spare).await?;
            fetched.partitions.push(partition);
        }
        frame.end(|_, _| {}).await?;
    }
    frame.end(|_, _| {}).await?;
    if frame.left > 0 {
        return Err(Malformed("it goes on behind its end").into());
    }
    Ok(fetched)
}

async fn partition<S: AsyncBufRead + Unpin>(
    frame: &mut Frame<'_, S>,
    version: i16,
    topic: Named,
    spare: &mut Vec<Vec<u8>>,
) -> Result<Partition, Fault> {
    let (number, error) = (frame.i32().await?, frame.i16().await?);
    let (high, stable) = (frame.i64().await?, frame.i64().await?);
    let low = if version >= 5 { frame.i64().await? } else { -1 };
    let mut aborted = Vec::new();
    for _ in 0..frame.count().await? {
        aborted.push(Aborted { producer: frame.i64().await?, first_offset: frame.i64().await? });
        frame.end(|_, _| {}).await?;
    }
    if version >= 11 {
        let _preferred = frame.i32().await?; // Told only to those who name their rack.
    }
    let length = frame.count().await?;
    let mut records = spare.pop().unwrap_or_default();
    records.clear();
    frame.fill(&mut records, length).await?;
    let mut diverging = None;
    // The first tagged field: the epoch, and its end.
    frame
        .end(|tag, bytes| {
            if let (0, Some(end)) = (tag, bytes.get(4..12)) {
                diverging = end.try_into().ok().map(i64::from_be_bytes).filter(|end| *end >= 0);
            }
        })
        .await?;
    Ok(Partition { topic, number, error, high, stable, low, diverging, aborted, records })
}

#[cfg(test)]
mod tests;
