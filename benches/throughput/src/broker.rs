//! A connection to the broker for what the runner itself does there: topics, filling, ends, and reading answers.
//!
//! It goes by Kafka's protocol and by no client library, so that filling a topic costs little more than the bytes, and
//! none of the programs that are measured checks itself with its own library. The cluster has one node.

use crate::failure::Failure;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest,
    ProduceRequest, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, HeaderVersion, Request, StrBytes, encode_request_header_into_buffer};
use kafka_protocol::records::{Record, RecordBatchDecoder};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Versions that brokers from 2.4 to 4.x speak, and that name topics by name.
const CREATE: i16 = 4;
const DELETE: i16 = 3;
const METADATA: i16 = 8;
const ENDS: i16 = 3;
const PRODUCE: i16 = 7;
const FETCH: i16 = 11;
/// How many produce requests may be under way.
const UNDER_WAY: usize = 4;
/// How long the broker may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is done with the key, the value and the time of a record, in milliseconds.
pub(crate) type Each<'a> = dyn FnMut(&[u8], &[u8], i64) -> Result<(), Failure> + 'a;

/// How long it may take until a new topic is led.
const LEADERS: Duration = Duration::from_secs(10);

/// A connection.
pub(crate) struct Broker {
    address: String,
    stream: TcpStream,
    next: i32,
    /// Requests of `produce` that are not answered yet.
    producing: VecDeque<i32>,
}

impl Broker {
    /// Connects to the first of these brokers.
    pub(crate) fn connect(brokers: &str) -> Result<Broker, Failure> {
        let address = brokers.split(',').next().unwrap_or_default().trim().to_owned();
        let stream = TcpStream::connect(&address).and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        });
        let stream = stream.map_err(|e| Failure(format!("the broker {address} cannot be reached: {e}")))?;
        Ok(Broker { address, stream, next: 0, producing: VecDeque::new() })
    }

    /// Makes a topic whose records are never deleted by their age: event times lie years back. `settings` come on top.
    pub(crate) fn create(&mut self, topic: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<(), Failure> {
        let settings = [("retention.ms", "-1"), ("max.message.bytes", "8388608")].iter().chain(settings);
        let settings = settings
            .map(|(name, value)| CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value))));
        let creatable = CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(settings.collect());
        let request = CreateTopicsRequest::default().with_topics(vec![creatable]).with_timeout_ms(30_000);
        let response = self.call(CREATE, &request)?;
        if let Some(of) = response.topics.iter().find(|topic| topic.error_code != 0) {
            let reason = of.error_message.as_ref().map_or_else(String::new, |words| words.to_string());
            return Err(self.failure(format!("topic `{topic}` cannot be made: {} {reason}", code(of.error_code))));
        }
        // It is made, but for a moment nobody leads it.
        let since = Instant::now();
        loop {
            match self.ends(topic, partitions) {
                Err(_) if since.elapsed() < LEADERS => std::thread::sleep(Duration::from_millis(20)),
                outcome => return outcome.map(|_| ()),
            }
        }
    }

    /// Deletes all topics whose names begin so: also those that a measured program has made for itself.
    pub(crate) fn delete(&mut self, start: &str) -> Result<(), Failure> {
        let request = MetadataRequest::default().with_topics(None);
        let names = self.call(METADATA, &request)?.topics.into_iter().filter_map(|topic| topic.name);
        let doomed: Vec<TopicName> = names.filter(|name| name.starts_with(start)).collect();
        if doomed.is_empty() {
            return Ok(());
        }
        let request = DeleteTopicsRequest::default().with_topic_names(doomed).with_timeout_ms(30_000);
        self.call(DELETE, &request).map(|_| ())
    }

    /// Where each partition ends. Marks of transactions take offsets too.
    pub(crate) fn ends(&mut self, topic: &str, partitions: i32) -> Result<Vec<i64>, Failure> {
        let asked = (0..partitions)
            .map(|number| ListOffsetsPartition::default().with_partition_index(number).with_timestamp(-1))
            .collect();
        let asked = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(asked);
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]);
        let response = self.call(ENDS, &request)?;
        let mut ends = vec![0; usize::try_from(partitions).unwrap_or_default()];
        for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
            if partition.error_code != 0 {
                return Err(self.failure(format!("the end of topic `{topic}`: {}", code(partition.error_code))));
            }
            if let Some(end) = ends.get_mut(partition.partition_index as usize) {
                *end = partition.offset;
            }
        }
        Ok(ends)
    }

    /// Sends one record batch to a partition. The answer is waited for later, by another call or by `settle`.
    pub(crate) fn produce(&mut self, topic: &str, partition: i32, batch: Bytes) -> Result<(), Failure> {
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
        let data = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
        let request = ProduceRequest::default().with_acks(1).with_timeout_ms(30_000).with_topic_data(vec![data]);
        while self.producing.len() >= UNDER_WAY {
            self.acknowledge()?;
        }
        let id = self.send(PRODUCE, &request)?;
        self.producing.push_back(id);
        Ok(())
    }

    /// Waits until all that was produced is acknowledged.
    pub(crate) fn settle(&mut self) -> Result<(), Failure> {
        while !self.producing.is_empty() {
            self.acknowledge()?;
        }
        Ok(())
    }

    fn acknowledge(&mut self) -> Result<(), Failure> {
        let Some(id) = self.producing.pop_front() else { return Ok(()) };
        let response = self.receive::<ProduceRequest>(PRODUCE, id)?;
        for partition in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
            if partition.error_code != 0 {
                return Err(self.failure(format!("records are refused: {}", code(partition.error_code))));
            }
        }
        Ok(())
    }

    /// Gives key, value and time of each committed record from these positions on, to where the partitions end now, and moves
    /// the positions there.
    pub(crate) fn read(&mut self, topic: &str, positions: &mut [i64], each: &mut Each<'_>) -> Result<(), Failure> {
        let ends = self.ends(topic, positions.len() as i32)?;
        for (partition, (position, end)) in (0..).zip(positions.iter_mut().zip(ends)) {
            while *position < end {
                let (records, after) = self.fetch(topic, partition, *position)?;
                for record in records.iter().filter(|record| record.offset >= *position && !record.control) {
                    let bytes = |of: &Option<Bytes>| of.clone().unwrap_or_default();
                    each(&bytes(&record.key), &bytes(&record.value), record.timestamp)?;
                }
                if after <= *position {
                    let stuck = format!("topic `{topic}` gives nothing from offset {position} on, of {end}");
                    return Err(self.failure(stuck));
                }
                *position = after;
            }
        }
        Ok(())
    }

    /// Records from an offset on, and the offset behind them. Marks of transactions are among them.
    fn fetch(&mut self, topic: &str, partition: i32, offset: i64) -> Result<(Vec<Record>, i64), Failure> {
        let asked = FetchPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(4 << 20);
        let asked = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![asked]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(500)
            .with_min_bytes(1)
            .with_max_bytes(4 << 20)
            // Committed alone.
            .with_isolation_level(1)
            .with_session_epoch(-1)
            .with_topics(vec![asked]);
        let response = self.call(FETCH, &request)?;
        let partition = response.responses.into_iter().flat_map(|topic| topic.partitions).next();
        let partition = partition.ok_or_else(|| self.failure(format!("no answer about topic `{topic}`")))?;
        if partition.error_code != 0 {
            return Err(self.failure(format!("topic `{topic}` cannot be read: {}", code(partition.error_code))));
        }
        if partition.aborted_transactions.is_some_and(|aborted| !aborted.is_empty()) {
            return Err(self.failure(format!("topic `{topic}` holds aborted transactions: a program has failed")));
        }
        let bytes = partition.records.unwrap_or_default();
        let mut records = Vec::new();
        for (from, to) in batches(&bytes) {
            let appended = appended_ms(&bytes[from..to]);
            let set = RecordBatchDecoder::decode(&mut bytes.slice(from..to))
                .map_err(|e| self.failure(format!("topic `{topic}` holds what cannot be decoded: {e}")))?;
            let timed = |record: Record| Record { timestamp: appended.unwrap_or(record.timestamp), ..record };
            records.extend(set.records.into_iter().map(timed));
        }
        let after = records.iter().map(|record| record.offset + 1).max().unwrap_or(offset);
        Ok((records, after))
    }

    fn call<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response, Failure> {
        self.settle()?;
        let id = self.send(version, request)?;
        self.receive::<R>(version, id)
    }

    fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<i32, Failure> {
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(id)
            .with_client_id(Some(StrBytes::from_static_str("throughput")));
        let mut frame = BytesMut::zeroed(4);
        let encoded =
            encode_request_header_into_buffer(&mut frame, &header).and_then(|()| request.encode(&mut frame, version));
        encoded.map_err(|e| self.failure(format!("a request cannot be written: {e}")))?;
        let length = u32::try_from(frame.len() - 4).map_err(|e| self.failure(format!("a request is too long: {e}")))?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&frame).map_err(|e| self.failure(e))?;
        Ok(id)
    }

    fn receive<R: Request>(&mut self, version: i16, id: i32) -> Result<R::Response, Failure> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).map_err(|e| self.failure(e))?;
        let mut frame = BytesMut::zeroed(u32::from_be_bytes(length) as usize);
        self.stream.read_exact(&mut frame).map_err(|e| self.failure(e))?;
        let mut frame = frame.freeze();
        let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version));
        match header {
            Ok(header) if header.correlation_id == id => {}
            Ok(header) => return Err(self.failure(format!("answer {} came instead of {id}", header.correlation_id))),
            Err(e) => return Err(self.failure(e)),
        }
        R::Response::decode(&mut frame, version).map_err(|e| self.failure(format!("an answer cannot be read: {e}")))
    }

    fn failure(&self, what: impl std::fmt::Display) -> Failure {
        Failure::at(format_args!("the broker {}", self.address), what)
    }
}

/// Where the whole batches of what a fetch gave lie: the last one may be cut.
fn batches(bytes: &[u8]) -> Vec<(usize, usize)> {
    let (mut batches, mut from) = (Vec::new(), 0);
    while let Some(length) = bytes.get(from + 8..from + 12).and_then(|four| four.try_into().ok()) {
        let to = from + 12 + u32::from_be_bytes(length) as usize;
        if to > bytes.len() {
            break;
        }
        batches.push((from, to));
        from = to;
    }
    batches
}

/// When the broker has appended a batch, where it keeps that: then it stands for the times of all its records.
fn appended_ms(batch: &[u8]) -> Option<i64> {
    let attributes = u16::from_be_bytes(batch.get(21..23)?.try_into().ok()?);
    let newest = i64::from_be_bytes(batch.get(35..43)?.try_into().ok()?);
    (attributes & 8 != 0).then_some(newest)
}

fn name(topic: &str) -> TopicName {
    TopicName(text(topic))
}

fn text(of: &str) -> StrBytes {
    StrBytes::from_string(of.to_owned())
}

/// An error of Kafka in words, as far as one meets it here.
fn code(code: i16) -> String {
    match code {
        3 => "there is no such topic or partition".to_owned(),
        6 => "another node leads it; the benchmark wants a cluster of one node".to_owned(),
        10 => "the broker takes no batches of this size; raise its message.max.bytes".to_owned(),
        29..=31 => "this user is not allowed to".to_owned(),
        36 => "it is there already".to_owned(),
        56 => "the broker's disk fails; is it full?".to_owned(),
        _ => format!("error {code} of Kafka"),
    }
}
