//! Fetches: one request at a time under way to each broker, and the next one sent before the records of the last are
//! looked at. So the broker works while we do, and little more than one response for each broker is held.

use crate::batch::{self, Opener, Section, Spare};
use crate::codec::Codecs;
use crate::connection::{self, Address, Connection, Fault, limited};
use crate::fetching::{self, Bounds, Fetched, Named};
use crate::finder::{Ask, Cluster, Finding, Question, Trouble, passes};
use crate::messages::{self, FETCH, FETCH_BY_NAME, code};
use crate::properties::{Settings, backoff};
use crate::reader::{Budget, Input};
use crate::session::{Session, Wanted};
use crate::wire::{TopicId, Writer};
use crossbeam_channel::{Receiver, Sender, TrySendError};
use model::Time;
use model::record::Batch;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// A response of less than this is one of a live tail, and the next request waits a little for more: a few records
/// cost as much as a few thousand.
const SMALL_BYTES: usize = 64 << 10;
const LINGER: Duration = Duration::from_millis(5);
/// The longest that a broker may have us wait.
const THROTTLE: Duration = Duration::from_secs(60);
/// So many failures in a row of a broker, or of a partition, may pass by themselves; then they are told.
const PATIENCE: u32 = 4;

/// What the caller wants done.
pub(crate) enum Command {
    Assign { topic: Arc<str>, partition: i32, next_offset: i64 },
    Pause { topic: Arc<str>, partition: i32, paused: bool },
    Commit(Vec<(Arc<str>, i32, i64)>),
}

/// The worker's ends of its channels.
pub(crate) struct Ends {
    pub(crate) budget: Arc<Budget>,
    pub(crate) outgoing: Sender<Input>,
    /// Batches that nobody needs any more.
    pub(crate) returning: Receiver<Batch>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) findings: mpsc::Receiver<Finding>,
    pub(crate) ask: mpsc::UnboundedSender<Ask>,
    /// Asks for a look at who leads what.
    pub(crate) poke: Arc<Notify>,
}

/// The fetching half of a reader.
pub(crate) struct Worker {
    source: usize,
    settings: Arc<Settings>,
    partitions: Vec<Partition>,
    brokers: BTreeMap<i32, Broker>,
    cluster: Cluster,
    /// The id of each topic as it was last found.
    ids: HashMap<Arc<str>, TopicId>,
    serial: u64,
    /// What is under way.
    trips: JoinSet<Trip>,
    opener: Opener,
    /// What is read as there is room for it.
    come: VecDeque<Come>,
    /// What the channel has no room for. Nothing is fetched while something is here.
    backlog: VecDeque<Input>,
    /// After the last look at the whole source.
    source_trouble: Option<Trouble>,
    /// What the caller believes is wrong.
    told: Option<String>,
    ends: Ends,
}

struct Partition {
    serial: u64,
    topic: Arc<str>,
    topic_id: TopicId,
    number: i32,
    /// The first offset that has not been fetched.
    next_offset: i64,
    /// The first offset that has not been read: what was fetched lies between.
    next_read: i64,
    last_epoch: i32,
    /// The longest batch of the last response that had any.
    longest: usize,
    paused: bool,
    /// A broker has answered for it since it was assigned.
    answered: bool,
    /// The finder looks where its log begins and ends.
    asking: bool,
    /// The end that the caller was told of.
    end_told: Option<i64>,
    failed: u32,
    not_before: Option<Instant>,
    trouble: Option<Trouble>,
}

struct Broker {
    /// Tells it from one that had its number before.
    serial: u64,
    address: Address,
    connection: Option<Connection>,
    /// Something is under way: its connection is there.
    busy: bool,
    session: Session,
    failed: u32,
    not_before: Option<Instant>,
    trouble: Option<Trouble>,
    /// Whose turn it is to be first in a request.
    turn: usize,
}

/// What comes back from a broker.
struct Trip {
    node: i32,
    serial: u64,
    outcome: Result<(Connection, Option<Fetched>), Fault>,
    /// Buffers that were not needed.
    spare: Vec<Vec<u8>>,
}

/// Records of one partition that have come and are not all read yet.
struct Come {
    node: i32,
    serial: u64,
    /// Where the log ended when they left.
    end: i64,
    section: Section,
}

impl Worker {
    /// A worker that reads nothing yet.
    pub(crate) fn new(source: usize, settings: Arc<Settings>, ends: Ends) -> Worker {
        let codecs = Codecs::new(settings.longest);
        let opener = Opener { check_crcs: settings.check_crcs, codecs, spare: Spare::default() };
        Worker {
            source,
            settings,
            partitions: Vec::new(),
            brokers: BTreeMap::new(),
            cluster: Cluster::default(),
            ids: HashMap::new(),
            serial: 0,
            trips: JoinSet::new(),
            opener,
            come: VecDeque::new(),
            backlog: VecDeque::new(),
            source_trouble: None,
            told: None,
            ends,
        }
    }

    /// Runs until the reader is dropped.
    pub(crate) async fn run(mut self) {
        while self.hand_over() {
            self.ends.returning.try_iter().for_each(|batch| self.opener.spare.keep(batch));
            if self.read_on() {
                continue;
            }
            let until = self.fetch();
            tokio::select! {
                command = self.ends.commands.recv() => {
                    let Some(command) = command else { return };
                    self.obey(command);
                    // All at once: the first request after a start names all partitions.
                    while let Ok(command) = self.ends.commands.try_recv() {
                        self.obey(command);
                    }
                }
                // News wait for what has come before them.
                finding = self.ends.findings.recv(), if self.backlog.is_empty() && self.come.is_empty() => match finding {
                    Some(finding) => self.learn(finding),
                    None => return,
                },
                Some(trip) = self.trips.join_next() => match trip {
                    Ok(trip) => self.come_back(trip).await,
                    Err(error) => if let Ok(panic) = error.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                },
                () = self.ends.budget.room() => {}
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
            }
        }
    }

    /// Hands over what there is room for. False when nobody takes it any more.
    fn hand_over(&mut self) -> bool {
        self.tell_health();
        let mut waits = false;
        while let Some(input) = self.backlog.pop_front() {
            match self.ends.outgoing.try_send(input) {
                Ok(()) => {}
                Err(TrySendError::Full(input)) => {
                    self.backlog.push_front(input);
                    if waits {
                        return true;
                    }
                    // And once more: room may have been made before it was wanted.
                    self.ends.budget.wait();
                    waits = true;
                }
                Err(TrySendError::Disconnected(_)) => return false,
            }
        }
        true
    }

    /// One error at a time, told once: the source's before those of brokers and partitions.
    fn tell_health(&mut self) {
        let brokers = self.brokers.values().filter_map(|broker| broker.trouble.as_ref());
        let partitions = self.partitions.iter().filter_map(|partition| partition.trouble.as_ref());
        let trouble = self.source_trouble.iter().chain(brokers).chain(partitions).next();
        if self.told.as_ref() == trouble.map(|trouble| &trouble.what) {
            return;
        }
        self.told = trouble.map(|trouble| trouble.what.clone());
        let input = match trouble {
            None => Input::Healthy,
            Some(trouble) => Input::Error { message: trouble.to_string() },
        };
        self.push(input);
    }

    fn push(&mut self, input: Input) {
        self.ends.budget.add(input.weight());
        self.backlog.push_back(input);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Assign { topic, partition, next_offset } => self.assign(topic, partition, next_offset),
            Command::Pause { topic, partition, paused } => {
                if let Some(partition) = self.partitions.iter_mut().find(|of| of.is(&topic, partition)) {
                    partition.paused = paused;
                }
            }
            Command::Commit(positions) => {
                // Fails only when the finder has ended, and then so do we.
                let _ = self.ends.ask.send(Ask::Commit(positions));
            }
        }
    }

    fn assign(&mut self, topic: Arc<str>, number: i32, next_offset: i64) {
        self.release(&topic, number);
        // A broker tells only what is new in a session, and whoever begins anew wants to hear all.
        for broker in self.brokers.values_mut().filter(|broker| broker.session.knows(&topic, number)) {
            broker.session.leave();
        }
        self.serial += 1;
        let topic_id = self.ids.get(&topic).copied().unwrap_or_default();
        self.partitions.push(Partition {
            serial: self.serial,
            topic,
            topic_id,
            number,
            next_offset,
            next_read: next_offset,
            last_epoch: -1,
            longest: 0,
            paused: false,
            answered: false,
            asking: false,
            end_told: None,
            failed: 0,
            not_before: None,
            trouble: None,
        });
    }

    /// Stops reading a partition for good.
    fn release(&mut self, topic: &str, number: i32) {
        self.partitions.retain(|partition| !partition.is(topic, number));
    }

    fn learn(&mut self, finding: Finding) {
        match finding {
            Finding::Health(trouble) => self.source_trouble = trouble,
            Finding::Log { question, low, high } => self.go_on(question, low, high),
            Finding::Tell(input) => {
                if let Input::Missing { topic } = &input {
                    // Whatever else was wrong with it is over.
                    self.partitions.iter_mut().filter(|of| of.topic == *topic).for_each(|of| of.trouble = None);
                }
                self.push(input);
            }
            Finding::Found(input, id) => {
                if let Input::Found { topic, partition, .. } = &input {
                    self.release(topic, *partition);
                    self.ids.insert(topic.clone(), id);
                }
                self.push(input);
            }
            Finding::Cluster(cluster) => {
                for (node, address) in &cluster.brokers {
                    self.serial += 1;
                    let broker = self.brokers.entry(*node).or_insert_with(|| Broker::new(self.serial, address));
                    if broker.address != *address {
                        (broker.address, broker.connection) = (address.clone(), None);
                    }
                }
                // What is under way comes back to nobody.
                self.brokers.retain(|node, _| cluster.brokers.contains_key(node));
                // Nothing is wanted of those that lead nothing.
                let leads = |node: &i32| cluster.leaders.values().any(|led| led.leader == *node);
                self.brokers.iter_mut().filter(|(node, _)| !leads(node)).for_each(|(_, broker)| broker.trouble = None);
                self.cluster = cluster;
            }
        }
    }

    /// After an offset that the log does not have.
    fn go_on(&mut self, Question { topic, partition: number }: Question, low: i64, high: i64) {
        let Some(partition) = self.partitions.iter_mut().find(|of| of.is(&topic, number)) else { return };
        partition.asking = false;
        if partition.next_offset > high {
            self.say_recreated(topic, number, low, low);
        } else if partition.next_offset < low {
            let from = std::mem::replace(&mut partition.next_offset, low);
            partition.next_read = low;
            self.push(Input::Gap { topic, partition: number, from, to: low });
        } else {
            // The log has it after all. Not at once: the broker that said no may say it again.
            partition.not_before = Some(Instant::now() + self.settings.retry.0);
        }
    }

    /// The log is no longer the one that was read. The caller begins anew.
    fn say_recreated(&mut self, topic: Arc<str>, partition: i32, start: i64, low: i64) {
        self.release(&topic, partition);
        let topic_id = self.ids.get(&topic).and_then(crate::topics::shown_id);
        let (stored, gap, recreated) = (true, None, true);
        self.push(Input::Found { topic, topic_id, partition, start, low, stored, gap, recreated });
    }

    /// Sends what can be sent. When there is something to do again, if that is known.
    fn fetch(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let nodes: Vec<i32> = self.brokers.keys().copied().collect();
        for node in nodes {
            self.fetch_from(node, now);
        }
        let brokers = self.brokers.values().filter(|broker| !broker.busy).filter_map(|broker| broker.not_before);
        let partitions = self.partitions.iter().filter_map(|partition| partition.not_before);
        brokers.chain(partitions).filter(|until| *until > now).min()
    }

    /// Begins a trip to a broker, unless one is under way or there is nothing to get.
    fn fetch_from(&mut self, node: i32, now: Instant) {
        let Some(broker) = self.brokers.get_mut(&node) else { return };
        let due = |at: Option<Instant>| at.is_none_or(|at| at <= now);
        if broker.busy || !due(broker.not_before) {
            return;
        }
        let leaders = &self.cluster.leaders;
        let led = |partition: &Partition| {
            leaders.get(&(partition.topic.clone(), partition.number)).filter(|led| led.leader == node).copied()
        };
        let ready = |partition: &&Partition| !partition.paused && !partition.asking && due(partition.not_before);
        let mut answered = true;
        let mut wanted: Vec<Wanted> = Vec::new();
        for partition in self.partitions.iter().filter(ready) {
            if let Some(led) = led(partition) {
                answered &= partition.answered;
                wanted.push(partition.wanted(led.epoch, self.settings.bounds.partition_bytes));
            }
        }
        let idle = self.backlog.is_empty() && self.come.is_empty();
        if wanted.is_empty() || !idle || !self.ends.budget.has_room() {
            return;
        }
        broker.busy = true;
        let serial = broker.serial;
        let Some(mut connection) = broker.connection.take_if(|connection| !connection.expired()) else {
            broker.connection = None;
            broker.session = Session::default();
            let (settings, address) = (self.settings.clone(), broker.address.clone());
            self.trips.spawn(async move {
                let opened = connection::open(&settings, &address).await;
                Trip { node, serial, outcome: opened.map(|connection| (connection, None)), spare: Vec::new() }
            });
            return;
        };
        broker.turn += 1;
        let first = broker.turn % wanted.len();
        wanted.rotate_left(first);
        let by_name = wanted.iter().any(|wanted| wanted.topic_id == TopicId::default());
        let api = if by_name { &FETCH_BY_NAME } else { &FETCH };
        let request = broker.session.request(wanted);
        // Where a partition's end is not known yet, the broker is to say it at once.
        let wait_ms = if answered { self.settings.bounds.wait_ms } else { 0 };
        let bounds = Bounds { wait_ms, ..self.settings.bounds };
        let limit = self.settings.answer_timeout + Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
        let mut spare = self.opener.spare.take_fetching();
        self.trips.spawn(async move {
            let answer = async {
                let write = |writer: &mut Writer<'_>, version| fetching::write(writer, version, &bounds, &request);
                let version = connection.send(api, write).await?;
                let mut frame = connection.frame(api, version).await?;
                fetching::read(&mut frame, version, &mut spare).await
            };
            let outcome = match limited(limit, "there is no answer", answer).await {
                Ok(fetched) => Ok((connection, Some(fetched))),
                Err(fault) => Err(connection.of_broker(&fault)),
            };
            Trip { node, serial, outcome, spare }
        });
    }

    async fn come_back(&mut self, Trip { node, serial, outcome, spare }: Trip) {
        self.opener.spare.keep_fetching(spare);
        let Some(broker) = self.brokers.get_mut(&node).filter(|broker| broker.serial == serial) else { return };
        broker.busy = false;
        let (connection, fetched) = match outcome {
            Ok(back) => back,
            Err(fault) => {
                broker.failed += 1;
                broker.session = Session::default();
                broker.not_before = Some(Instant::now() + backoff(self.settings.reconnect, broker.failed));
                tracing::debug!(node, %fault, "a broker is lost");
                // A connection may end for good reasons; that there is no new one for long is worth telling.
                if broker.failed >= PATIENCE {
                    let what = format!("broker {node} does not answer");
                    broker.trouble = Some(Trouble { what, detail: Some(fault.to_string()) });
                }
                self.ends.poke.notify_one();
                return;
            }
        };
        if connection.is_to(&broker.address) {
            broker.connection = Some(connection);
        }
        broker.not_before = None;
        let Some(fetched) = fetched else { return };
        (broker.failed, broker.trouble) = (0, None);
        self.take(node, fetched).await;
    }

    /// Takes a response: first only how far it goes, then the next request, then its records.
    async fn take(&mut self, node: i32, fetched: Fetched) {
        let now = Instant::now();
        let Some(broker) = self.brokers.get_mut(&node) else { return };
        if fetched.error != code::NONE {
            broker.session.leave();
            broker.not_before = Some(now + self.settings.retry.0);
            let of_session = [
                code::FETCH_SESSION_NOT_FOUND,
                code::INVALID_FETCH_SESSION_EPOCH,
                code::FETCH_SESSION_TOPIC_ID,
                code::INCONSISTENT_TOPIC_ID,
                code::UNKNOWN_TOPIC_ID,
            ];
            if !of_session.contains(&fetched.error) {
                let what = format!("broker {node} does not answer");
                broker.trouble = Some(Trouble { what, detail: Some(messages::words(fetched.error)) });
            }
            self.ends.poke.notify_one();
            return;
        }
        broker.session.answered(fetched.session);
        let bytes: usize = fetched.partitions.iter().map(|partition| partition.records.len()).sum();
        let linger = if (1..SMALL_BYTES).contains(&bytes) { LINGER } else { Duration::ZERO };
        let throttle = Duration::from_millis(u64::try_from(fetched.throttle_ms).unwrap_or(0)).min(THROTTLE);
        let pause = linger.max(throttle);
        broker.not_before = (!pause.is_zero()).then(|| now + pause);
        for partition in &mut self.partitions {
            partition.answered |= broker.session.asked(partition.serial).is_some();
        }
        let polled_at = clock();
        let advance = |fetched| self.advance(node, fetched, polled_at, now);
        let come: Vec<Come> = fetched.partitions.into_iter().filter_map(advance).collect();
        self.fetch_from(node, now);
        // The request goes out before we are busy with the records.
        tokio::task::yield_now().await;
        self.come.extend(come);
    }

    /// Moves a partition to where the response ends. What is to be read of it, if anything.
    fn advance(&mut self, node: i32, fetched: fetching::Partition, polled_at: Time, now: Instant) -> Option<Come> {
        let session = &self.brokers.get(&node)?.session;
        let partition = self.partitions.iter_mut().find(|of| of.is_named(&fetched.topic, fetched.number))?;
        // It may have been assigned anew meanwhile.
        if session.asked(partition.serial) != Some(partition.next_offset) || partition.asking {
            return None;
        }
        match fetched.error {
            code::NONE => {}
            code::OFFSET_OUT_OF_RANGE => {
                // Without the epoch: the broker may have forgotten it, and say the same again.
                (partition.asking, partition.last_epoch) = (true, -1);
                let question = Question { topic: partition.topic.clone(), partition: partition.number };
                let _ = self.ends.ask.send(Ask::Log(question));
                return None;
            }
            error => {
                partition.failed += 1;
                partition.not_before = Some(now + backoff(self.settings.retry, partition.failed));
                // Those are the finder's to tell.
                let missing = [code::UNKNOWN_TOPIC, code::UNKNOWN_TOPIC_ID, code::INCONSISTENT_TOPIC_ID];
                if !passes(error) || (partition.failed >= PATIENCE && !missing.contains(&error)) {
                    partition.trouble = Some(partition.cannot_be_read(messages::words(error)));
                }
                self.ends.poke.notify_one();
                return None;
            }
        }
        if let Some(end) = fetched.diverging {
            let (topic, number, next_read) = (partition.topic.clone(), partition.number, partition.next_read);
            let start = end.min(next_read);
            tracing::warn!(%topic, partition = number, start, next_read, "records that were read are no longer there");
            self.say_recreated(topic, number, start, fetched.low.max(0));
            return None;
        }
        let from = partition.next_offset;
        let ahead = batch::ahead(&fetched.records, from);
        partition.next_offset = ahead.next_offset;
        partition.last_epoch = ahead.epoch.unwrap_or(partition.last_epoch);
        partition.longest = if ahead.longest > 0 { ahead.longest } else { partition.longest };
        let end = if self.settings.bounds.committed_only { fetched.stable } else { fetched.high };
        let like = Batch::new(self.source, partition.topic.clone(), partition.number, polled_at);
        let section = Section::new(like, fetched.records, from, &fetched.aborted);
        Some(Come { node, serial: partition.serial, end, section })
    }

    /// Reads some of what has come. False when there is nothing, or no room for it.
    fn read_on(&mut self) -> bool {
        if !self.backlog.is_empty() || self.come.is_empty() || !self.ends.budget.has_room() {
            return false;
        }
        let Some(mut come) = self.come.pop_front() else { return false };
        let Some(partition) = self.partitions.iter_mut().find(|of| of.serial == come.serial) else { return true };
        if partition.next_read != come.section.next_offset {
            return true; // What came before it could not be read.
        }
        let read = self.opener.next(&mut come.section);
        let next_offset = come.section.next_offset;
        partition.next_read = next_offset;
        match read {
            Ok(Some(batch)) => {
                self.come.push_front(come);
                self.push(Input::Batch(batch));
            }
            Ok(None) => {
                (partition.failed, partition.not_before, partition.trouble) = (0, None, None);
                if next_offset >= come.end && partition.end_told != Some(next_offset) {
                    partition.end_told = Some(next_offset);
                    let (topic, partition) = (partition.topic.clone(), partition.number);
                    self.push(Input::AtEnd { topic, partition, next_offset });
                }
            }
            Err(unreadable) => {
                // What has come behind it, or is under way, is for nobody.
                partition.next_offset = unreadable.offset;
                partition.failed += 1;
                partition.not_before = Some(Instant::now() + backoff(self.settings.retry, partition.failed));
                partition.trouble = Some(partition.cannot_be_read(unreadable.to_string()));
                if let Some(broker) = self.brokers.get_mut(&come.node) {
                    broker.session.leave();
                }
            }
        }
        true
    }
}

impl Partition {
    fn is(&self, topic: &str, number: i32) -> bool {
        self.number == number && *self.topic == *topic
    }

    fn is_named(&self, topic: &Named, number: i32) -> bool {
        self.number == number
            && match topic {
                Named::Id(id) => self.topic_id == *id,
                Named::Name(name) => *self.topic == **name,
            }
    }

    fn wanted(&self, leader_epoch: i32, limit: i32) -> Wanted {
        // The broker cuts the last batch, and what is cut is sent for nothing. Batches are much of one length: so many
        // whole ones are asked for as the limit holds, a little longer than the longest of the last.
        let room = i32::try_from(self.longest + self.longest / 32).unwrap_or(limit).max(1);
        let max_bytes = if room < limit { limit - limit % room } else { limit };
        Wanted {
            serial: self.serial,
            topic: self.topic.clone(),
            topic_id: self.topic_id,
            partition: self.number,
            offset: self.next_offset,
            leader_epoch,
            last_epoch: self.last_epoch,
            max_bytes,
        }
    }

    fn cannot_be_read(&self, reason: String) -> Trouble {
        let what = format!("partition {} of topic `{}` cannot be read", self.number, self.topic);
        Trouble { what, detail: Some(reason) }
    }
}

impl Broker {
    fn new(serial: u64, address: &Address) -> Broker {
        Broker {
            serial,
            address: address.clone(),
            connection: None,
            busy: false,
            session: Session::default(),
            failed: 0,
            not_before: None,
            trouble: None,
            turn: 0,
        }
    }
}

fn clock() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
