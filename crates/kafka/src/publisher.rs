//! Publishing: an idempotent producer that answers only when the broker has everything.

use crate::connection::{Voice, rejected, settings};
use crate::{Connection, Error};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// May be overridden.
const DEFAULTS: &[(&str, &str)] = &[
    // Also the longest that `publish` waits.
    ("message.timeout.ms", "30000"),
    // What is to go out comes all at once; what waits for more would only come later.
    ("linger.ms", "1"),
    ("compression.type", "none"),
    // As Java's clients do it: equal keys meet in one partition whoever writes them.
    ("partitioner", "murmur2_random"),
    ("queue.buffering.max.kbytes", "32768"),
];

/// Order for each key, and no doubles by retries.
const FIXED: &[(&str, &str)] = &[("enable.idempotence", "true"), ("acks", "all")];

const REFUSED: &[(&str, &str)] = &[
    ("request.required.acks", "correct results need all acknowledgements"),
    ("transactional.id", "messages have deterministic ids instead of transactions"),
];

/// Between two looks for acknowledgements.
const LOOK: Duration = Duration::from_micros(500);

/// What is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// The key: messages of one key keep their order. None goes to any partition.
    pub key: Option<Cow<'a, [u8]>>,
    /// The value; none is a tombstone.
    pub value: Option<Cow<'a, [u8]>>,
    /// Names and values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Milliseconds since the epoch; none is now.
    pub timestamp_ms: Option<i64>,
    /// None: by the key, as Java's clients do it.
    pub partition: Option<i32>,
}

/// Publishes to any topic of one cluster.
pub struct Publisher {
    config: ClientConfig,
    /// One batch at a time: two would mix their order.
    producer: Mutex<BaseProducer<Deliveries>>,
}

impl Publisher {
    /// Fails only on bad settings; a broker that cannot be reached is `publish`'s matter.
    pub fn new(connection: &Connection) -> Result<Publisher, Error> {
        let config = settings(connection, DEFAULTS, FIXED, REFUSED)?;
        let producer = Mutex::new(producer(&config)?);
        Ok(Publisher { config, producer })
    }

    /// Sends all and waits until the broker has acknowledged each, at most `message.timeout.ms`. After an error
    /// nothing is known: some may lie on the topic, and the caller publishes all again.
    pub fn publish(&self, topic: &str, messages: &[Message<'_>]) -> Result<(), Error> {
        // A panic elsewhere leaves the producer as it was.
        let mut producer_now = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if producer_now.client().fatal_error().is_some() {
            // An idempotent producer that has lost count of its messages cannot go on; a new one can.
            *producer_now = producer(&self.config)?;
        }
        let batch = Arc::new(Batch { open: AtomicUsize::new(0), failure: Mutex::new(None) });
        for message in messages {
            if let Err(reason) = send(&producer_now, topic, message, &batch) {
                batch.fail(reason);
                break;
            }
        }
        // Also after a failure: what is still under way would come after its own repetition.
        while batch.open.load(Ordering::Acquire) > 0 {
            serve(&producer_now, &batch);
        }
        match batch.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None => Ok(()),
            Some(reason) => {
                let reason = match producer_now.context().0.take_trouble() {
                    Some(trouble) => format!("{reason} ({trouble})"),
                    None => reason,
                };
                Err(Error::Publish { topic: topic.to_owned(), reason })
            }
        }
    }
}

fn producer(config: &ClientConfig) -> Result<BaseProducer<Deliveries>, fetch::Error> {
    BaseProducer::from_config_and_context(config, Deliveries(Voice::default())).map_err(rejected)
}

fn send(
    producer: &BaseProducer<Deliveries>,
    topic: &str,
    message: &Message<'_>,
    batch: &Arc<Batch>,
) -> Result<(), String> {
    let mut record: BaseRecord<'_, [u8], [u8], Arc<Batch>> = BaseRecord::with_opaque_to(topic, batch.clone());
    record.key = message.key.as_deref();
    record.payload = message.value.as_deref();
    record.partition = message.partition;
    record.timestamp = message.timestamp_ms;
    if !message.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(message.headers.len());
        record.headers = Some(
            message
                .headers
                .iter()
                .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value.as_slice()) })),
        );
    }
    batch.open.fetch_add(1, Ordering::Relaxed);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            // The producer's queue is bounded; deliveries make room.
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                record = returned;
                serve(producer, batch);
            }
            Err((error, _)) => {
                batch.open.fetch_sub(1, Ordering::Relaxed);
                return Err(error.to_string());
            }
        }
    }
}

/// Takes in acknowledgements that have come; waits a moment where there was none. To wait by `poll` would spin away its
/// last millisecond.
fn serve(producer: &BaseProducer<Deliveries>, batch: &Batch) {
    let open = batch.open.load(Ordering::Acquire);
    producer.poll(Duration::ZERO);
    if batch.open.load(Ordering::Acquire) == open {
        std::thread::sleep(LOOK);
    }
}

/// What is still to be acknowledged of one call of `publish`.
struct Batch {
    open: AtomicUsize,
    failure: Mutex<Option<String>>,
}

impl Batch {
    /// The first failure is kept: others follow from it.
    fn fail(&self, reason: String) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
    }
}

/// Counts the acknowledgements.
struct Deliveries(Voice);

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Batch>;

    fn delivery(&self, result: &DeliveryResult<'_>, batch: Arc<Batch>) {
        if let Err((error, _)) = result {
            batch.fail(error.to_string());
        }
        batch.open.fetch_sub(1, Ordering::Release);
    }
}
