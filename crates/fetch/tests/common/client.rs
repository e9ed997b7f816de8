//! What tests want of a broker besides reading: topics, records, transactions. It speaks by the messages of another
//! library, so that a mistake in ours is not made on both sides.

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, CreateTopicsRequest, DeleteTopicsRequest, EndTxnRequest, FindCoordinatorRequest,
    InitProducerIdRequest, MetadataRequest, ProduceRequest, RequestHeader, ResponseHeader, TopicName, TransactionalId,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};
use std::io::{Read, Write};
use std::net::TcpStream;

/// A connection to one broker.
pub(crate) struct Client(TcpStream);

/// What may pass by itself: a broker that does not know yet what the cluster has agreed on.
const PASSING: [i16; 7] = [3, 5, 6, 14, 15, 16, 51];

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

impl Client {
    pub(crate) fn new(brokers: &str) -> Client {
        Client(TcpStream::connect(brokers).expect("the broker answers"))
    }

    fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let mut bytes = vec![0; 4];
        let header = RequestHeader::default().with_request_api_key(R::KEY).with_request_api_version(version);
        header.encode(&mut bytes, R::header_version(version)).expect("memory takes all");
        request.encode(&mut bytes, version).expect("memory takes all");
        let length = bytes.len() as u32 - 4;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        self.0.write_all(&bytes).expect("the broker takes it");
        let mut length = [0; 4];
        self.0.read_exact(&mut length).expect("the broker answers");
        let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut bytes).expect("the broker answers");
        let mut bytes = bytes::Bytes::from(bytes);
        ResponseHeader::decode(&mut bytes, R::Response::header_version(version)).expect("a header");
        R::Response::decode(&mut bytes, version).expect("a response")
    }

    /// Asks until the error is none, as long as it is one that passes.
    fn insist<T>(&mut self, what: &str, mut ask: impl FnMut(&mut Client) -> (i16, T)) -> T {
        for _ in 0..10_000 {
            match ask(self) {
                (0, answer) => return answer,
                (error, _) if PASSING.contains(&error) => {}
                (error, _) => panic!("{what}: error {error}"),
            }
        }
        panic!("{what}: the broker does not come round")
    }

    pub(crate) fn create_topic(&mut self, name: &str, partitions: i32, replicas: i16, configs: &[(&str, &str)]) {
        let config = |(name, value): &(&str, &str)| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        };
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(replicas)
            .with_configs(configs.iter().map(config).collect());
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
        let response = self.call(4, &request);
        assert_eq!(response.topics[0].error_code, 0, "{response:?}");
        self.insist("a new topic", |client| {
            (client.leaders(name).iter().find(|leader| **leader < 0).map_or(0, |_| 5), ())
        });
    }

    /// The leader of each partition; one of -1 where the topic is not known.
    pub(crate) fn leaders(&mut self, name: &str) -> Vec<i32> {
        let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let response = self.call(7, &MetadataRequest::default().with_topics(Some(vec![topic])));
        let topic = &response.topics[0];
        if topic.error_code != 0 {
            return vec![-1];
        }
        topic.partitions.iter().map(|partition| partition.leader_id.0).collect()
    }

    pub(crate) fn delete_topic(&mut self, name: &str) {
        let request = DeleteTopicsRequest::default().with_topic_names(vec![topic_name(name)]).with_timeout_ms(30_000);
        let response = self.call(3, &request);
        assert_eq!(response.responses[0].error_code, 0, "{response:?}");
    }

    /// Produces all as one batch, to one partition.
    pub(crate) fn produce(&mut self, topic: &str, partition: i32, records: &[Record]) {
        self.produce_in(None, topic, partition, records);
    }

    fn produce_in(&mut self, transaction: Option<&str>, topic: &str, partition: i32, records: &[Record]) {
        let mut batch = bytes::BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut batch, records, &options).expect("memory takes all");
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch.freeze()));
        let data = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(transaction.map(|id| TransactionalId(text(id))))
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![data]);
        self.insist("producing", |client| {
            let response = client.call(7, &request);
            (response.responses[0].partition_responses[0].error_code, ())
        });
    }

    /// A producer of transactions.
    pub(crate) fn transactions(&mut self, id: &str) -> Transactions {
        self.insist("the coordinator of transactions", |client| {
            let request = FindCoordinatorRequest::default().with_key(text(id)).with_key_type(1);
            (client.call(2, &request).error_code, ())
        });
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(id))))
            .with_transaction_timeout_ms(60_000);
        let (producer, epoch) = self.insist("a producer of transactions", |client| {
            let response = client.call(1, &request);
            (response.error_code, (response.producer_id.0, response.producer_epoch))
        });
        Transactions { id: id.to_owned(), producer, epoch, sequence: 0 }
    }
}

/// Writes transactions to partition 0 of topics.
pub(crate) struct Transactions {
    id: String,
    producer: i64,
    epoch: i16,
    sequence: i32,
}

impl Transactions {
    pub(crate) fn send(&mut self, client: &mut Client, topic: &str, values: &[&str]) {
        let id = TransactionalId(text(&self.id));
        let added = AddPartitionsToTxnTopic::default().with_name(topic_name(topic)).with_partitions(vec![0]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id)
            .with_v3_and_below_producer_id(self.producer.into())
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![added]);
        client.insist("a partition of the transaction", |client| {
            let response = client.call(2, &request);
            (response.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code, ())
        });
        let records: Vec<Record> = values
            .iter()
            .enumerate()
            .map(|(place, value)| Record {
                transactional: true,
                producer_id: self.producer,
                producer_epoch: self.epoch,
                sequence: self.sequence + place as i32,
                offset: place as i64,
                ..record("k", value)
            })
            .collect();
        self.sequence += values.len() as i32;
        client.produce_in(Some(&self.id.clone()), topic, 0, &records);
    }

    pub(crate) fn end(&mut self, client: &mut Client, committed: bool) {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(&self.id)))
            .with_producer_id(self.producer.into())
            .with_producer_epoch(self.epoch)
            .with_committed(committed);
        client.insist("the end of the transaction", |client| (client.call(1, &request).error_code, ()));
    }
}

/// A record with a time of the producer.
pub(crate) fn record(key: &str, value: &str) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: NO_SEQUENCE,
        timestamp: 1_000,
        key: Some(bytes::Bytes::copy_from_slice(key.as_bytes())),
        value: Some(bytes::Bytes::copy_from_slice(value.as_bytes())),
        headers: Default::default(),
    }
}

/// A batch of records with these values, numbered as a producer does it.
pub(crate) fn records(values: &[&str]) -> Vec<Record> {
    let numbered = values.iter().enumerate();
    numbered.map(|(place, value)| numbered_record(place, record("k", value))).collect()
}

/// A record at a place of its batch: the encoder takes as one batch what is numbered in one row.
pub(crate) fn numbered_record(place: usize, record: Record) -> Record {
    Record { offset: place as i64, sequence: NO_SEQUENCE + place as i32, ..record }
}
