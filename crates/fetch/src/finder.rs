//! Finds the topics and partitions of a source, who leads them, and where reading them begins. It has connections of
//! its own, so that a question never waits behind a fetch that waits for records.

mod extents;

use crate::asking::{self, ANSWER, Asking};
use crate::connection::{self, Address, Connection, Fault, limited};
use crate::messages::{
    self, Asked, EARLIEST, FIND_COORDINATOR, LATEST, LIST_OFFSETS, Led, Metadata, OFFSET_COMMIT, code,
};
use crate::properties::Settings;
use crate::reader::{Input, Position, Reading};
use crate::topics::{Begin, Log, Origin, Topic, first_millis};
use crate::wire::TopicId;
use model::definition::Start;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

/// Between two looks while something is wrong.
const RETRY: Duration = Duration::from_millis(500);
/// Between two looks, however often one is asked for.
const SPACING: Duration = Duration::from_millis(100);
/// How often people see a new lag.
const LAG: Duration = Duration::from_secs(10);
/// What passes by itself within so many looks is not told: a new topic has no leader for a moment.
const PATIENCE: u32 = 4;

/// What the finder tells the worker.
pub(crate) enum Finding {
    /// For the caller as it is.
    Tell(Input),
    /// For the caller, of a topic with this id.
    Found(Input, TopicId),
    /// The answer to a question.
    Log { question: Question, low: i64, high: i64 },
    /// Who leads what.
    Cluster(Cluster),
    /// What is wrong with the source, after each look at all of it.
    Health(Option<Trouble>),
}

/// Who leads what, and where they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    pub(crate) brokers: BTreeMap<i32, Address>,
    pub(crate) leaders: HashMap<(Arc<str>, i32), Led>,
}

/// What the worker asks of the finder.
pub(crate) enum Ask {
    Log(Question),
    Commit(Vec<(Arc<str>, i32, i64)>),
}

/// An offset that the broker no longer has, or does not have yet.
#[derive(Clone)]
pub(crate) struct Question {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
}

/// Something that an operator should know. The detail is left out of comparisons: it changes with every attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) what: String,
    pub(crate) detail: Option<String>,
}

impl Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            None => write!(f, "{}", self.what),
            Some(detail) => write!(f, "{}: {detail}", self.what),
        }
    }
}

pub(crate) struct Finder {
    settings: Arc<Settings>,
    group: Option<String>,
    topics: Vec<Topic>,
    begin: Begin,
    cluster: Cluster,
    asking: Asking,
    /// To those that lead, or coordinate.
    nodes: HashMap<i32, Connection>,
    coordinator: Option<i32>,
    open: Vec<Question>,
    uncommitted: BTreeMap<(Arc<str>, i32), i64>,
    /// For how many looks in a row something was wrong that passes by itself.
    unsettled: u32,
    lag_told: Instant,
    findings: mpsc::Sender<Finding>,
    asks: mpsc::UnboundedReceiver<Ask>,
    poke: Arc<Notify>,
}

/// The worker has gone; there is nobody to tell.
struct Ended;

/// What a look has found to be wrong.
#[derive(Default)]
struct Wrong {
    /// To be told at once.
    told: Option<Trouble>,
    /// To be told when it stays.
    passing: Option<Trouble>,
}

impl Wrong {
    fn note(&mut self, what: String, error: i16) {
        let place = if passes(error) { &mut self.passing } else { &mut self.told };
        place.get_or_insert(Trouble { what, detail: Some(messages::words(error)) });
    }
}

/// Whether an error is one of those that come and go with leaders.
pub(crate) fn passes(error: i16) -> bool {
    matches!(
        error,
        code::UNKNOWN_TOPIC
            | code::LEADER_NOT_AVAILABLE
            | code::NOT_LEADER
            | code::REQUEST_TIMED_OUT
            | code::REPLICA_NOT_AVAILABLE
            | code::STORAGE_ERROR
            | code::FENCED_LEADER_EPOCH
            | code::UNKNOWN_LEADER_EPOCH
            | code::OFFSET_NOT_AVAILABLE
            | code::UNKNOWN_TOPIC_ID
            | code::INCONSISTENT_TOPIC_ID
    )
}

impl Finder {
    pub(crate) fn new(
        reading: &Reading,
        positions: Vec<Position>,
        settings: Arc<Settings>,
        findings: mpsc::Sender<Finding>,
        asks: mpsc::UnboundedReceiver<Ask>,
        poke: Arc<Notify>,
    ) -> Finder {
        Finder {
            settings,
            group: reading.group.clone(),
            topics: reading.topics.iter().map(|name| Topic::new(name)).collect(),
            begin: Begin::new(positions, reading.start),
            cluster: Cluster::default(),
            asking: Asking::default(),
            nodes: HashMap::new(),
            coordinator: None,
            open: Vec::new(),
            uncommitted: BTreeMap::new(),
            unsettled: 0,
            lag_told: Instant::now(),
            findings,
            asks,
            poke,
        }
    }

    /// Runs until the worker ends.
    pub(crate) async fn run(mut self) {
        // Its end is the end of the channels, which says nothing that the worker does not know.
        let _ = self.looks().await;
    }

    async fn looks(&mut self) -> Result<(), Ended> {
        loop {
            let wrong = self.look().await?;
            self.unsettled = if wrong.passing.is_some() { self.unsettled + 1 } else { 0 };
            let passing = wrong.passing.filter(|_| self.unsettled >= PATIENCE);
            let trouble = wrong.told.or(passing);
            let well = trouble.is_none() && self.unsettled == 0;
            self.tell(Finding::Health(trouble)).await?;
            self.answer().await?;
            let settled = well && self.open.is_empty() && self.uncommitted.is_empty();
            self.rest(if settled { self.settings.refresh } else { RETRY.min(self.settings.refresh) }).await?;
        }
    }

    /// Waits for the next look, and answers what is asked meanwhile.
    async fn rest(&mut self, pause: Duration) -> Result<(), Ended> {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(until) => return Ok(()),
                () = self.poke.notified() => {
                    sleep(SPACING).await;
                    return Ok(());
                }
                ask = self.asks.recv() => match ask {
                    None => return Err(Ended),
                    Some(Ask::Log(question)) => {
                        self.open.push(question);
                        self.answer().await?;
                    }
                    Some(Ask::Commit(positions)) => {
                        for (topic, partition, next_offset) in positions {
                            self.uncommitted.insert((topic, partition), next_offset);
                        }
                        self.commit().await;
                    }
                },
            }
        }
    }

    /// Looks at all topics.
    async fn look(&mut self) -> Result<Wrong, Ended> {
        let mut wrong = Wrong::default();
        let metadata = match self.metadata().await {
            Ok(metadata) => metadata,
            Err(fault) => {
                let what = "the brokers do not answer".to_owned();
                wrong.told = Some(Trouble { what, detail: Some(fault.to_string()) });
                return Ok(wrong);
            }
        };
        self.learn(&metadata);
        self.tell(Finding::Cluster(self.cluster.clone())).await?;
        let mut new = Vec::new();
        let mut present = Vec::new();
        for found in metadata.topics {
            let Some(place) = self.topics.iter().position(|topic| *topic.name == *found.name) else { continue };
            let topic = &mut self.topics[place];
            let name = topic.name.clone();
            match found.error {
                code::NONE => {}
                code::UNKNOWN_TOPIC => {
                    if topic.absent() {
                        self.tell(Finding::Tell(Input::Missing { topic: name })).await?;
                    }
                    continue;
                }
                error => {
                    wrong.note(format!("topic `{name}`"), error);
                    continue;
                }
            }
            let all: BTreeSet<i32> = found.partitions.iter().map(|partition| partition.number).collect();
            let Some(origin) = topic.present(found.id, &all) else { continue };
            for partition in &found.partitions {
                if partition.leader < 0 {
                    let what = format!("partition {} of topic `{name}` has no leader", partition.number);
                    wrong.passing.get_or_insert(Trouble { what, detail: None });
                } else if !topic.partitions.contains(&partition.number) {
                    new.push((place, partition.number, origin));
                }
            }
            present.push((place, all));
        }
        self.begin_with(&new, &mut wrong).await?;
        for (place, all) in present {
            self.topics[place].looked(&all);
        }
        if self.lag_told.elapsed() >= LAG {
            self.lag_told = Instant::now();
            self.tell_lag(&mut wrong).await?;
        }
        Ok(wrong)
    }

    /// Tells of partitions that were not known, and where they begin.
    async fn begin_with(&mut self, new: &[(usize, i32, Origin)], wrong: &mut Wrong) -> Result<(), Ended> {
        if new.is_empty() {
            return Ok(());
        }
        let asked = |finder: &Finder, time: i64| -> Vec<Asked> {
            new.iter()
                .map(|(place, partition, _)| finder.asked(&finder.topics[*place].name, *partition, time))
                .collect()
        };
        let committed_only = self.settings.bounds.committed_only;
        let lows = self.offsets(asked(self, EARLIEST), committed_only, wrong).await;
        let highs = self.offsets(asked(self, LATEST), committed_only, wrong).await;
        let by_time: Vec<Asked> = match self.begin.start {
            Start::At(time) => {
                let millis = first_millis(time);
                let timed = new.iter().filter(|(_, _, origin)| self.begin.by_time(*origin));
                timed.map(|(place, number, _)| self.asked(&self.topics[*place].name, *number, millis)).collect()
            }
            _ => Vec::new(),
        };
        let timed = by_time.len();
        let times = self.offsets(by_time, committed_only, wrong).await;
        if times.len() < timed {
            return Ok(()); // All or none: they are asked for again.
        }
        for (place, partition, origin) in new {
            let topic = &self.topics[*place];
            let key = (topic.name.clone(), *partition);
            let (Some(low), Some(high)) = (lows.get(&key), highs.get(&key)) else { continue };
            let at_time = times.get(&key).copied().filter(|offset| *offset >= 0);
            let found = self.begin.found(topic, *partition, *origin, Log { low: *low, high: *high, at_time });
            let (topic, id) = (topic.name.clone(), topic.id);
            self.topics[*place].told(*partition);
            self.tell(Finding::Found(found, id)).await?;
            self.tell(Finding::Tell(Input::Lag { topic, partition: *partition, high: *high })).await?;
        }
        Ok(())
    }

    async fn tell_lag(&mut self, wrong: &mut Wrong) -> Result<(), Ended> {
        let known = self.topics.iter().flat_map(|topic| topic.partitions.iter().map(|number| (&topic.name, *number)));
        let asked = known.map(|(topic, partition)| self.asked(topic, partition, LATEST)).collect();
        for ((topic, partition), high) in self.offsets(asked, self.settings.bounds.committed_only, wrong).await {
            self.tell(Finding::Tell(Input::Lag { topic, partition, high })).await?;
        }
        Ok(())
    }

    /// Answers what can be answered; the rest stays open until the next look.
    async fn answer(&mut self) -> Result<(), Ended> {
        if !self.uncommitted.is_empty() {
            self.commit().await;
        }
        for question in std::mem::take(&mut self.open) {
            let mut wrong = Wrong::default();
            let mut bound = async |time| {
                let asked = self.asked(&question.topic, question.partition, time);
                // Of all records: what is not committed yet is no reason to take the log for another.
                self.offsets(vec![asked], false, &mut wrong).await.into_values().next()
            };
            let (low, high) = (bound(EARLIEST).await, bound(LATEST).await);
            match (low, high) {
                (Some(low), Some(high)) => self.tell(Finding::Log { question, low, high }).await?,
                _ => self.open.push(question),
            }
        }
        Ok(())
    }

    fn asked(&self, topic: &Arc<str>, partition: i32, time: i64) -> Asked {
        let epoch = self.cluster.leaders.get(&(topic.clone(), partition)).map_or(-1, |led| led.epoch);
        Asked { topic: topic.clone(), partition, leader_epoch: epoch, time }
    }

    /// Asks the leaders; what they do not answer is missing in the result.
    async fn offsets(
        &mut self,
        asked: Vec<Asked>,
        committed_only: bool,
        wrong: &mut Wrong,
    ) -> HashMap<(Arc<str>, i32), i64> {
        let mut by_leader: BTreeMap<i32, Vec<Asked>> = BTreeMap::new();
        for asked in asked {
            let led = self.cluster.leaders.get(&(asked.topic.clone(), asked.partition));
            by_leader.entry(led.map_or(-1, |led| led.leader)).or_default().push(asked);
        }
        let mut offsets = HashMap::new();
        for (node, asked) in by_leader {
            let call = self.ask_node(
                node,
                &LIST_OFFSETS,
                |writer, version| messages::write_list_offsets(writer, version, committed_only, &asked),
                messages::read_list_offsets,
            );
            let answers = match call.await {
                Ok(answers) => answers,
                Err(fault) => {
                    let what = format!("broker {node} does not answer");
                    wrong.passing.get_or_insert(Trouble { what, detail: Some(fault.to_string()) });
                    continue;
                }
            };
            for answer in answers {
                let of = |asked: &&Asked| *asked.topic == *answer.topic && asked.partition == answer.partition;
                let Some(topic) = asked.iter().find(of).map(|asked| asked.topic.clone()) else { continue };
                if answer.error == code::NONE {
                    offsets.insert((topic, answer.partition), answer.offset);
                } else {
                    wrong.note(
                        format!("partition {} of topic `{topic}` cannot be read", answer.partition),
                        answer.error,
                    );
                }
            }
        }
        offsets
    }

    fn learn(&mut self, metadata: &Metadata) {
        let brokers = asking::brokers(metadata);
        // One that has moved is reached at its new place.
        let moved = |node: &i32| self.cluster.brokers.get(node) != brokers.get(node);
        self.nodes.retain(|node, _| !moved(node));
        let mut leaders = HashMap::new();
        for topic in &metadata.topics {
            let Some(known) = self.topics.iter().find(|known| *known.name == *topic.name) else { continue };
            for led in topic.partitions.iter().filter(|led| led.leader >= 0) {
                leaders.insert((known.name.clone(), led.number), *led);
            }
        }
        self.cluster = Cluster { brokers, leaders };
    }

    async fn metadata(&mut self) -> Result<Metadata, Fault> {
        let names: Vec<Arc<str>> = self.topics.iter().map(|topic| topic.name.clone()).collect();
        self.asking.metadata(&self.settings, &self.cluster.brokers, &names, false).await
    }

    /// Asks one broker, over a connection that is kept.
    async fn ask_node<T>(
        &mut self,
        node: i32,
        api: &messages::Api,
        request: impl FnOnce(&mut crate::wire::Writer<'_>, i16),
        response: impl FnOnce(&mut crate::wire::Bytes<'_>, i16) -> Result<T, crate::wire::Malformed>,
    ) -> Result<T, Fault> {
        let mut connection = match self.nodes.remove(&node).filter(|connection| !connection.expired()) {
            Some(connection) => connection,
            None => {
                let address = self.cluster.brokers.get(&node);
                let address = address.ok_or_else(|| Fault("its address is not known".to_owned()))?;
                connection::open(&self.settings, address).await?
            }
        };
        let answer = limited(ANSWER, "there is no answer", connection.call(api, request, response)).await;
        let answer = answer.map_err(|fault| connection.of_broker(&fault))?;
        self.nodes.insert(node, connection);
        Ok(answer)
    }

    /// Commits for lag monitors. What fails is tried again with the next.
    async fn commit(&mut self) {
        match self.try_commit().await {
            Ok(()) => self.uncommitted.clear(),
            Err(error) => {
                self.coordinator = None;
                tracing::debug!(%error, "offsets for lag monitors could not be committed");
            }
        }
    }

    async fn try_commit(&mut self) -> Result<(), Fault> {
        let Some(group) = self.group.clone() else { return Ok(()) };
        let node = match self.coordinator {
            Some(node) => node,
            None => {
                let any = *self.cluster.brokers.keys().next().ok_or_else(|| Fault("no broker is known".to_owned()))?;
                let call = self.ask_node(
                    any,
                    &FIND_COORDINATOR,
                    |writer, _| messages::write_find_coordinator(writer, &group),
                    |bytes, _| messages::read_find_coordinator(bytes),
                );
                match call.await? {
                    (code::NONE, node) => node,
                    (error, _) => return Err(Fault(messages::words(error))),
                }
            }
        };
        let positions: Vec<(Arc<str>, i32, i64)> =
            self.uncommitted.iter().map(|((topic, partition), next)| (topic.clone(), *partition, *next)).collect();
        let call = self.ask_node(
            node,
            &OFFSET_COMMIT,
            |writer, version| messages::write_offset_commit(writer, version, &group, &positions),
            messages::read_offset_commit,
        );
        match call.await? {
            code::NONE => {
                self.coordinator = Some(node);
                Ok(())
            }
            error => Err(Fault(messages::words(error))),
        }
    }

    async fn tell(&self, finding: Finding) -> Result<(), Ended> {
        self.findings.send(finding).await.map_err(|_| Ended)
    }
}
