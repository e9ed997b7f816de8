//! One source, as the caller sees it, whoever reads it.

use crate::{Error, Input, Position, Reading, librdkafka};
use model::definition::Fetch;
use model::record::Batch;
use std::sync::Arc;
use std::time::Duration;

/// Reads one source on a thread of its own. Dropping it stops the thread.
pub struct Reader(Path);

enum Path {
    Own(fetch::Reader),
    Librdkafka(librdkafka::Reader),
}

impl Reader {
    /// Starts to look for topics and partitions. `positions` are those that are stored, by whichever way of reading.
    /// Fails only on bad settings; a broker that does not answer is an [`Input::Error`].
    pub fn start(by: Fetch, reading: Reading, positions: Vec<Position>) -> Result<Reader, Error> {
        Ok(Reader(match by {
            Fetch::Own => Path::Own(fetch::Reader::start(reading, positions)?),
            Fetch::Librdkafka => Path::Librdkafka(librdkafka::Reader::start(reading, positions)?),
        }))
    }

    /// What has come since; waits up to `wait` for the first. About 8 MB of records at most.
    pub fn poll(&mut self, wait: Duration) -> Vec<Input> {
        match &mut self.0 {
            Path::Own(reader) => reader.poll(wait),
            Path::Librdkafka(reader) => reader.poll(wait),
        }
    }

    /// Gives a batch back that is no longer needed, so that its memory may serve the next one. Nobody has to.
    pub fn give_back(&self, batch: Batch) {
        if let Path::Own(reader) = &self.0 {
            reader.give_back(batch);
        }
    }

    /// Begins to read a partition at an offset. The caller has committed that it begins there.
    pub fn assign(&self, topic: &Arc<str>, partition: i32, next_offset: i64) {
        match &self.0 {
            Path::Own(reader) => reader.assign(topic, partition, next_offset),
            Path::Librdkafka(reader) => reader.assign(topic, partition, next_offset),
        }
    }

    /// Stops reading a partition for a while. What is on its way still comes.
    pub fn pause(&self, topic: &Arc<str>, partition: i32) {
        match &self.0 {
            Path::Own(reader) => reader.pause(topic, partition),
            Path::Librdkafka(reader) => reader.pause(topic, partition),
        }
    }

    /// Goes on reading a partition.
    pub fn resume(&self, topic: &Arc<str>, partition: i32) {
        match &self.0 {
            Path::Own(reader) => reader.resume(topic, partition),
            Path::Librdkafka(reader) => reader.resume(topic, partition),
        }
    }

    /// Tells lag monitors how far we are: topic, partition, next offset. Nothing waits for it and a failure is
    /// only logged. Without a group it does nothing.
    pub fn commit_offsets(&self, positions: &[(Arc<str>, i32, i64)]) {
        match &self.0 {
            Path::Own(reader) => reader.commit_offsets(positions),
            Path::Librdkafka(reader) => reader.commit_offsets(positions),
        }
    }
}
