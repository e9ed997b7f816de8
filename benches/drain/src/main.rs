//! Reads a topic from its beginning to its end and does nothing with it: the least that a program on librdkafka costs.
//! `drain poll BROKERS TOPIC` takes message by message, as its Rust binding does; `drain queue` takes batches, by the
//! call that only C has. What is measured stands outside, so this prints how many records there were and no more.

use rdkafka::bindings::{
    rd_kafka_consume_batch_queue, rd_kafka_message_destroy, rd_kafka_message_t, rd_kafka_queue_destroy,
    rd_kafka_queue_get_consumer,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const SETTINGS: [(&str, &str); 6] = [
    ("group.id", "drain"),
    ("enable.auto.commit", "false"),
    ("enable.partition.eof", "true"),
    ("isolation.level", "read_committed"),
    // A reader that is faster than its queue otherwise waits up to a second for nothing.
    ("fetch.queue.backoff.ms", "1"),
    // The cheapest that was found: a longer queue does not fit the caches.
    ("queued.min.messages", "10000"),
];
/// How long the broker may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many messages one call takes at most, and how long it waits for as many.
const TOGETHER: usize = 1000;
const WAIT: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["poll", brokers, topic] => place(brokers, topic).and_then(|(consumer, open)| poll(&consumer, open)),
        ["queue", brokers, topic] => place(brokers, topic).and_then(|(consumer, open)| queue(&consumer, open)),
        _ => Err("`drain poll BROKERS TOPIC` or `drain queue BROKERS TOPIC` is wanted".into()),
    };
    match outcome {
        Ok(count) => {
            println!("{count} records");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("drain: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A consumer at the beginning of all partitions, and how many these are.
fn place(brokers: &str, topic: &str) -> Result<(BaseConsumer, usize), Box<dyn Error>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    for (name, value) in SETTINGS {
        config.set(name, value);
    }
    let consumer: BaseConsumer = config.create()?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let mut assignment = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        assignment.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    match assignment.count() {
        0 => Err(format!("there is no topic `{topic}` at {brokers}").into()),
        open => Ok((consumer, open)),
    }
}

fn poll(consumer: &BaseConsumer, mut open: usize) -> Result<u64, Box<dyn Error>> {
    let mut count = 0;
    while open > 0 {
        match consumer.poll(PATIENCE) {
            Some(Ok(message)) => {
                black_box(message.payload());
                count += 1;
            }
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => return Err(error.into()),
            None => return Err("the broker gives nothing more".into()),
        }
    }
    Ok(count)
}

fn queue(consumer: &BaseConsumer, mut open: usize) -> Result<u64, Box<dyn Error>> {
    let mut messages = vec![std::ptr::null_mut::<rd_kafka_message_t>(); TOGETHER];
    let mut count = 0;
    // SAFETY: the client lives as long as the consumer, which outlives this function.
    let queue = unsafe { rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
    if queue.is_null() {
        return Err("the consumer has no queue".into());
    }
    let mut failure = None;
    let mut given = Instant::now();
    while open > 0 && failure.is_none() {
        let wait_ms = WAIT.as_millis() as i32;
        // SAFETY: the queue is there until it is destroyed below, and `messages` has room for as many as are asked for.
        let taken = unsafe { rd_kafka_consume_batch_queue(queue, wait_ms, messages.as_mut_ptr(), messages.len()) };
        if taken > 0 {
            given = Instant::now();
        } else if given.elapsed() > PATIENCE {
            failure = Some("the broker gives nothing more".to_owned());
        }
        for &message in &messages[..taken.max(0) as usize] {
            // SAFETY: the call has filled as many places as it says, each with a message that is ours until destroyed.
            let (error, payload) = unsafe { ((*message).err, (*message).payload) };
            black_box(payload);
            match error {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => count += 1,
                RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => open -= 1,
                other => failure = Some(format!("the broker gives an error instead of a message: {other:?}")),
            }
            // SAFETY: it is destroyed once, and not looked at again.
            unsafe { rd_kafka_message_destroy(message) };
        }
    }
    // SAFETY: it is destroyed once.
    unsafe { rd_kafka_queue_destroy(queue) };
    failure.map_or(Ok(count), |why| Err(why.into()))
}
