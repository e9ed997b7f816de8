//! Publishing points: whole pieces of them as record batches, with nothing done for a message but its line in a batch.
//!
//! Points need less than a general producer offers, and so this one is small:
//!
//! - They come in pieces, so nothing has to be gathered, and there is nothing that waits for more.
//! - Each goes out at least once, and all replicas in sync have it before it counts as published. Repeats are allowed:
//!   readers tell them apart by key and window end. So a batch whose fate is not known is sent again.
//! - Messages of one key keep their order. They meet in one partition, of each partition one batch is under way at a
//!   time, and the next piece goes out only when the former is acknowledged. That takes no idempotence: a repeat alone
//!   can come behind what followed it.
//!
//! Transitions want more, and are published by librdkafka.

mod batches;
mod partition;

use crate::asking::{self, Asking};
use crate::connection::{self, Address, Connection as Open, Fault, limited};
use crate::finder::passes;
use crate::messages::{self, PRODUCE, Taken, code};
use crate::properties::{self, Publishing, Settings, backoff};
use crate::{Connection, Error};
use batches::Batches;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// No more batches are put into a request that is as long.
const REQUEST_BYTES: usize = 4 << 20;
/// A broker says itself when it could not answer in time; this much later it is not waited for any longer. Also what
/// the last attempt has in any case.
const SLACK: Duration = Duration::from_secs(1);
/// The longest that a broker may have us wait.
const THROTTLE: Duration = Duration::from_secs(60);

/// A message: its key, its value, and its time in milliseconds since the epoch.
pub type Message<'m> = (Option<&'m [u8]>, &'m [u8], i64);

/// Publishes to any topic of one cluster, on the thread of whoever calls. Connections stay open in between.
pub struct Producer {
    runtime: Runtime,
    sender: Sender,
}

impl Producer {
    /// Fails only on bad settings, and on those that this way of publishing does not know; a broker that cannot be
    /// reached is `publish`'s matter.
    pub fn new(connection: &Connection) -> Result<Producer, Error> {
        let Publishing { settings, timeout, batch_bytes } = properties::publishing(connection)?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Error::Client(format!("no runtime can be made: {e}")))?;
        let sender = Sender {
            settings: Arc::new(settings),
            timeout,
            batch_bytes,
            asking: Asking::default(),
            brokers: BTreeMap::new(),
            nodes: HashMap::new(),
            topics: HashMap::new(),
            logs: Vec::new(),
        };
        Ok(Producer { runtime, sender })
    }

    /// Sends all and returns when the brokers have acknowledged each. What may pass is tried again for at most
    /// `message.timeout.ms`. After an error nothing is known: some may lie on the topic, and the caller publishes all
    /// again.
    pub fn publish<'m>(&mut self, topic: &str, messages: impl Iterator<Item = Message<'m>>) -> Result<(), Error> {
        let outcome = self.runtime.block_on(self.sender.publish(&topic.into(), messages));
        outcome.map_err(|reason| Error::Unpublished { topic: topic.to_owned(), reason })
    }
}

/// Why something is not published yet.
enum Wrong {
    /// It may be otherwise in a moment.
    Passing(String),
    /// Somebody has to mend it.
    Lasting(String),
}

impl From<Fault> for Wrong {
    fn from(fault: Fault) -> Wrong {
        Wrong::Passing(fault.to_string())
    }
}

struct Sender {
    settings: Arc<Settings>,
    timeout: Duration,
    batch_bytes: usize,
    asking: Asking,
    brokers: BTreeMap<i32, Address>,
    nodes: HashMap<i32, Node>,
    topics: HashMap<Arc<str>, Led>,
    /// What goes to each partition of the topic that is published to; buffers serve again for any.
    logs: Vec<Log>,
}

/// Who leads the partitions of a topic, below zero where nobody does, and since when that is known.
struct Led {
    leaders: Arc<[i32]>,
    since: Instant,
}

#[derive(Default)]
struct Log {
    partition: usize,
    batches: Batches,
}

/// A broker, with the connection to it where one is open.
#[derive(Default)]
struct Node {
    connection: Option<Open>,
    /// Until then the broker wants to be left alone.
    ready_at: Option<Instant>,
}

impl Sender {
    async fn publish<'m>(
        &mut self,
        topic: &Arc<str>,
        messages: impl Iterator<Item = Message<'m>>,
    ) -> Result<(), String> {
        let deadline = Instant::now() + self.timeout;
        let mut unwritten = Some(messages);
        let mut failed = 0;
        loop {
            let reason = match self.attempt(topic, &mut unwritten, deadline).await {
                Ok(()) => return Ok(()),
                Err(Wrong::Lasting(reason)) => return Err(reason),
                Err(Wrong::Passing(reason)) => reason,
            };
            failed += 1;
            let again = Instant::now() + backoff(self.settings.retry, failed);
            if again >= deadline {
                return Err(format!("{reason}; it was tried for {} ms", self.timeout.as_millis()));
            }
            tracing::debug!(%topic, %reason, "not all is published; trying again");
            sleep_until(again).await;
            self.topics.remove(topic); // Who leads is asked anew.
        }
    }

    /// Sends what is not acknowledged.
    async fn attempt<'m>(
        &mut self,
        topic: &Arc<str>,
        unwritten: &mut Option<impl Iterator<Item = Message<'m>>>,
        deadline: Instant,
    ) -> Result<(), Wrong> {
        let leaders = self.leaders(topic, deadline).await?;
        if let Some(messages) = unwritten.take() {
            self.write(messages, leaders.len());
        }
        self.send(topic, &leaders, deadline).await
    }

    async fn leaders(&mut self, topic: &Arc<str>, deadline: Instant) -> Result<Arc<[i32]>, Wrong> {
        if let Some(led) = self.topics.get(topic).filter(|led| led.since.elapsed() < self.settings.refresh) {
            return Ok(led.leaders.clone());
        }
        let topics = [topic.clone()];
        // A topic that does not exist is made by brokers that do so for whoever writes to it.
        let asked = self.asking.metadata(&self.settings, &self.brokers, &topics, true);
        let metadata = limited(until(deadline), "the brokers do not answer", asked).await?;
        self.brokers = asking::brokers(&metadata);
        let found = metadata.topics.into_iter().find(|found| *found.name == **topic);
        let (error, partitions) = found.map_or((code::UNKNOWN_TOPIC, Vec::new()), |it| (it.error, it.partitions));
        if error != code::NONE {
            return Err(wrong(String::new(), error, None));
        }
        let mut leaders = vec![-1; partitions.len()];
        for led in partitions {
            if let Some(leader) = usize::try_from(led.number).ok().and_then(|number| leaders.get_mut(number)) {
                *leader = led.leader;
            }
        }
        if leaders.is_empty() {
            return Err(Wrong::Passing("it has no partitions".to_owned()));
        }
        let leaders: Arc<[i32]> = leaders.into();
        self.topics.insert(topic.clone(), Led { leaders: leaders.clone(), since: Instant::now() });
        Ok(leaders)
    }

    fn write<'m>(&mut self, messages: impl Iterator<Item = Message<'m>>, partitions: usize) {
        self.logs.resize_with(self.logs.len().max(partitions), Log::default);
        for (partition, log) in self.logs.iter_mut().enumerate() {
            log.partition = partition;
            log.batches.clear();
        }
        for (place, (key, value, at_ms)) in messages.enumerate() {
            let log = &mut self.logs[partition::of(key, place, partitions)];
            log.batches.push(key, value, at_ms, self.batch_bytes);
        }
        self.logs.iter_mut().for_each(|log| log.batches.finish());
    }

    /// To all leaders side by side.
    async fn send(&mut self, topic: &Arc<str>, leaders: &[i32], deadline: Instant) -> Result<(), Wrong> {
        let mut outcome = Ok(());
        let mut shares: BTreeMap<i32, Vec<Log>> = BTreeMap::new();
        for log in std::mem::take(&mut self.logs) {
            let leader = leaders.get(log.partition).copied().unwrap_or(-1);
            if log.batches.next().is_none() {
                self.logs.push(log);
            } else if self.brokers.contains_key(&leader) {
                shares.entry(leader).or_default().push(log);
            } else {
                outcome = Err(Wrong::Passing(format!("partition {} has no leader", log.partition)));
                self.logs.push(log);
            }
        }
        let mut sending = JoinSet::new();
        for (node, logs) in shares {
            let Some(address) = self.brokers.get(&node).cloned() else { continue };
            let (settings, topic, broker) =
                (self.settings.clone(), topic.clone(), self.nodes.remove(&node).unwrap_or_default());
            let mut share = Share { settings, topic, address, deadline, node: broker, logs };
            sending.spawn(async move { (share.send().await, node, share) });
        }
        while let Some(sent) = sending.join_next().await {
            let (sent, node, share) = sent.map_err(|e| Wrong::Lasting(e.to_string()))?;
            self.nodes.insert(node, share.node);
            self.logs.extend(share.logs);
            // What somebody has to mend is told before what passes.
            if !matches!(outcome, Err(Wrong::Lasting(_))) {
                outcome = sent.and(outcome);
            }
        }
        outcome
    }
}

/// What goes to one broker.
struct Share {
    settings: Arc<Settings>,
    topic: Arc<str>,
    address: Address,
    deadline: Instant,
    node: Node,
    logs: Vec<Log>,
}

impl Share {
    /// One request at a time, until all is acknowledged or something is wrong.
    async fn send(&mut self) -> Result<(), Wrong> {
        while self.logs.iter().any(|log| log.batches.next().is_some()) {
            if let Some(ready_at) = self.node.ready_at.take_if(|ready_at| *ready_at > Instant::now()) {
                sleep_until(ready_at.min(self.deadline)).await;
            }
            self.request().await?;
        }
        Ok(())
    }

    /// The next batch of as many partitions as a request takes.
    async fn request(&mut self) -> Result<(), Wrong> {
        let reusable = |open: &mut Open| open.is_to(&self.address) && !open.expired();
        let mut connection = match self.node.connection.take_if(reusable) {
            Some(connection) => connection,
            None => {
                let opened = connection::open(&self.settings, &self.address);
                limited(until(self.deadline), "there is no connection", opened).await?
            }
        };
        let mut length = 0;
        let waiting = self.logs.iter_mut().filter(|log| log.batches.next().is_some());
        let mut chosen: Vec<&mut Log> = waiting
            .take_while(|log| {
                let takes = length < REQUEST_BYTES;
                length += log.batches.next().map_or(0, <[u8]>::len);
                takes
            })
            .collect();
        let patience = until(self.deadline).min(self.settings.answer_timeout);
        let batches = chosen.iter().map(|log| (log.partition as i32, log.batches.next().unwrap_or_default()));
        let call = connection.call(
            &PRODUCE,
            |writer, _| messages::write_produce(writer, &self.topic, patience.as_millis() as i32, batches),
            messages::read_produce,
        );
        let produced = limited(patience + SLACK, "there is no answer", call).await;
        let produced = produced.map_err(|fault| connection.of_broker(&fault))?;
        self.node.connection = Some(connection);
        let throttle = Duration::from_millis(u64::try_from(produced.throttle_ms).unwrap_or(0)).min(THROTTLE);
        self.node.ready_at = (!throttle.is_zero()).then(|| Instant::now() + throttle);
        let mut outcome = Ok(());
        for log in &mut chosen {
            let taken = produced.partitions.iter().find(|taken| usize::try_from(taken.partition) == Ok(log.partition));
            match taken {
                Some(Taken { error: code::NONE, .. }) => log.batches.acknowledge(),
                Some(Taken { error, message, .. }) => {
                    let wrong = wrong(format!("partition {}: ", log.partition), *error, message.as_deref());
                    if !matches!(outcome, Err(Wrong::Lasting(_))) {
                        outcome = Err(wrong);
                    }
                }
                None => {
                    outcome = outcome.and(Err(Wrong::Passing("the broker answers for other partitions".to_owned())))
                }
            }
        }
        outcome
    }
}

/// What is left of the time.
fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(SLACK)
}

/// An error code with its words, and what the broker itself says of it.
fn wrong(what: String, error: i16, said: Option<&str>) -> Wrong {
    let words = match error {
        code::TOPIC_NOT_ALLOWED => "writing to the topic is not allowed to this user".to_owned(),
        code::RECORD_TOO_LARGE => {
            format!("{}; `message.max.bytes` bounds those of more than one record", messages::words(error))
        }
        error => messages::words(error),
    };
    let reason = match said {
        Some(said) => format!("{what}{words} ({said})"),
        None => what + &words,
    };
    let for_writers =
        matches!(error, code::CORRUPT | code::NETWORK | code::FEW_REPLICAS | code::FEW_REPLICAS_AFTER_APPEND);
    if for_writers || passes(error) { Wrong::Passing(reason) } else { Wrong::Lasting(reason) }
}
