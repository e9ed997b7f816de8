//! Finds the topics and partitions of a source, and where reading them begins. It asks the brokers and waits for
//! their answers, which may take seconds: on a thread and a client of its own, so that reading never waits.

use crate::connection::Voice;
use crate::extent::first_at;
use crate::worker::Client;
use crate::{Input, Position};
use crossbeam_channel::{Receiver, Sender};
use model::definition::Start;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The longest wait for an answer; also the longest that the end of a reader may take.
const ANSWER: Duration = Duration::from_secs(3);
/// Between two looks while something is wrong.
const RETRY: Duration = Duration::from_millis(500);
/// How often people see a new lag.
const LAG: Duration = Duration::from_secs(10);
/// Between two looks at what the clients have to say.
const STEP: Duration = Duration::from_millis(50);

/// What the finder tells the reader.
pub(crate) enum Finding {
    /// For the caller as it is.
    Tell(Input),
    /// The answer to a question.
    Log { question: Question, low: i64, high: i64 },
    /// What is wrong with the source, after each look at all of it.
    Health(Option<Trouble>),
}

/// An offset that the broker no longer has, or does not have yet.
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

pub(crate) struct Finder {
    /// Reads; the finder only listens to what it says of itself.
    pub(crate) reading: Arc<Client>,
    /// Asks. Without a group, and without fetches that would hold up its questions.
    pub(crate) asking: Client,
    pub(crate) topics: Vec<Topic>,
    pub(crate) stored: HashMap<(Arc<str>, i32), i64>,
    pub(crate) start: Start,
    /// Between two looks while all is well.
    pub(crate) interval: Duration,
    pub(crate) questions: Receiver<Question>,
    pub(crate) findings: Sender<Finding>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// One topic of the source.
pub(crate) struct Topic {
    name: Arc<str>,
    partitions: BTreeSet<i32>,
    /// The brokers have said once whether it exists. What they name later has come later, and is read from its
    /// beginning.
    answered: bool,
    /// For how many looks in a row it has not existed.
    absent: u32,
    /// It has gone, and what comes under its name is another topic.
    gone: bool,
}

/// The caller has gone; there is nobody to tell.
struct Ended;

impl Topic {
    pub(crate) fn new(name: &str) -> Topic {
        Topic { name: Arc::from(name), partitions: BTreeSet::new(), answered: false, absent: 0, gone: false }
    }
}

pub(crate) fn stored(positions: Vec<Position>) -> HashMap<(Arc<str>, i32), i64> {
    positions.into_iter().map(|position| ((position.topic, position.partition), position.next_offset)).collect()
}

impl Finder {
    /// Runs until the reader ends.
    pub(crate) fn run(mut self) {
        let mut lag_told = Instant::now();
        let mut open: Vec<Question> = Vec::new();
        loop {
            let mut trouble = None;
            let with_lag = lag_told.elapsed() >= LAG;
            for topic in 0..self.topics.len() {
                match self.look(topic, with_lag) {
                    Ok(found) => trouble = trouble.or(found),
                    Err(Ended) => return,
                }
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
            }
            if with_lag {
                lag_told = Instant::now();
            }
            if trouble.is_none() {
                // What was wrong between is no reason for what may come.
                self.reading.context().take_trouble();
                self.asking.context().take_trouble();
            }
            let pause = if trouble.is_some() { RETRY } else { self.interval };
            let well = trouble.is_none();
            if self.findings.send(Finding::Health(trouble)).is_err() {
                return;
            }
            let since = Instant::now();
            while since.elapsed() < pause {
                self.listen();
                open.extend(self.questions.try_iter());
                match self.answer(&mut open) {
                    Ok(()) => {}
                    Err(Ended) => return,
                }
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                let alarm = self.reading.context().take_alarm() | self.asking.context().take_alarm();
                if alarm && well {
                    break;
                }
            }
        }
    }

    /// One topic: whether it exists, and what is new of it.
    fn look(&mut self, place: usize, with_lag: bool) -> Result<Option<Trouble>, Ended> {
        let name = self.topics[place].name.clone();
        let metadata = match self.asking.fetch_metadata(Some(&name), ANSWER) {
            Ok(metadata) => metadata,
            Err(e) => return Ok(Some(self.unreachable(&e))),
        };
        let Some(found) = metadata.topics().first() else { return Ok(None) };
        match found.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                return self.absent(place).map(|()| None);
            }
            Some(code) => return Ok(Some(Trouble { what: format!("topic `{name}`: {code}"), detail: None })),
        }
        let led: Vec<i32> = found.partitions().iter().filter(|p| p.leader() >= 0).map(|p| p.id()).collect();
        let all: BTreeSet<i32> = found.partitions().iter().map(|p| p.id()).collect();
        drop(metadata);
        self.present(place, &led, &all, with_lag)
    }

    fn absent(&mut self, place: usize) -> Result<(), Ended> {
        let topic = &mut self.topics[place];
        topic.absent += 1;
        topic.answered = true;
        // A broker that has just come up may not know all topics yet: a topic that we read is gone only when it
        // is missed twice.
        let gone = !topic.partitions.is_empty() && topic.absent >= 2;
        let news = (gone && !topic.gone) || (topic.partitions.is_empty() && topic.absent == 1);
        topic.gone |= gone;
        if news {
            let topic = topic.name.clone();
            self.tell(Input::Missing { topic })?;
        }
        Ok(())
    }

    fn present(
        &mut self,
        place: usize,
        led: &[i32],
        all: &BTreeSet<i32>,
        with_lag: bool,
    ) -> Result<Option<Trouble>, Ended> {
        let topic = &mut self.topics[place];
        let name = topic.name.clone();
        topic.absent = 0;
        // Partitions are never taken away from a topic: it is another.
        if !topic.partitions.is_subset(all) {
            topic.gone = true;
        }
        let recreated = topic.gone;
        if recreated {
            topic.partitions.clear();
        }
        let mut trouble = None;
        for partition in all {
            let known = self.topics[place].partitions.contains(partition);
            if !led.contains(partition) {
                let what = format!("partition {partition} of topic `{name}` has no leader");
                trouble.get_or_insert(Trouble { what, detail: None });
            } else if !known {
                match self.begin(&name, *partition, recreated, !self.topics[place].answered) {
                    Ok((found, high)) => {
                        self.topics[place].partitions.insert(*partition);
                        self.tell(found)?;
                        self.tell(Input::Lag { topic: name.clone(), partition: *partition, high })?;
                    }
                    Err(e) => {
                        trouble.get_or_insert(self.unreachable(&e));
                    }
                }
            } else if with_lag {
                match self.asking.fetch_watermarks(&name, *partition, ANSWER) {
                    Ok((_, high)) => self.tell(Input::Lag { topic: name.clone(), partition: *partition, high })?,
                    Err(e) => {
                        trouble.get_or_insert(self.unreachable(&e));
                    }
                }
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(Ended);
            }
        }
        let topic = &mut self.topics[place];
        if all.is_subset(&topic.partitions) {
            topic.answered = true;
            topic.gone = false;
        }
        Ok(trouble)
    }

    /// Where reading a partition begins, and the log's end.
    fn begin(
        &self,
        topic: &Arc<str>,
        partition: i32,
        recreated: bool,
        first: bool,
    ) -> Result<(Input, i64), KafkaError> {
        let (low, high) = self.asking.fetch_watermarks(topic, partition, ANSWER)?;
        let stored = self.stored.get(&(topic.clone(), partition)).copied();
        let found = |start: i64, stored: bool, gap: Option<(i64, i64)>, recreated: bool| Input::Found {
            topic: topic.clone(),
            partition,
            start,
            low,
            stored,
            gap,
            recreated,
        };
        let input = match stored {
            _ if recreated => found(low, true, None, true),
            Some(next) if next > high => found(low, true, None, true),
            Some(next) if next < low => found(low, true, Some((next, low)), false),
            Some(next) => found(next, true, None, false),
            None if !first || !self.stored.is_empty() => found(low, false, None, false),
            None => match self.start {
                Start::Earliest => found(low, false, None, false),
                Start::Latest => found(high, false, None, false),
                Start::At(time) => {
                    found(first_at(&self.asking, topic, partition, time, high, ANSWER)?, false, None, false)
                }
            },
        };
        Ok((input, high))
    }

    fn answer(&self, open: &mut Vec<Question>) -> Result<(), Ended> {
        let Some(question) = open.pop() else { return Ok(()) };
        match self.asking.fetch_watermarks(&question.topic, question.partition, ANSWER) {
            Ok((low, high)) => self.findings.send(Finding::Log { question, low, high }).map_err(|_| Ended),
            Err(error) => {
                tracing::debug!(%error, "the bounds of a log could not be asked for; trying again");
                open.push(question);
                Ok(())
            }
        }
    }

    /// Serves the clients' events: their log, their errors, the outcome of commits.
    fn listen(&self) {
        // Errors have gone to `Voice` before they come here; records go to the queues of their partitions.
        let _ = self.reading.poll(STEP);
        self.drain(&self.asking);
    }

    fn drain(&self, client: &BaseConsumer<Voice>) {
        for _ in 0..64 {
            if client.poll(Duration::from_millis(1)).is_none() {
                return;
            }
        }
    }

    fn unreachable(&self, error: &KafkaError) -> Trouble {
        // The reason lies in the events that came meanwhile; the error itself often says no more than "timed out".
        self.drain(&self.asking);
        self.drain(&self.reading);
        let code = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
        let detail = self.asking.context().take_trouble().or_else(|| self.reading.context().take_trouble());
        Trouble { what: "the brokers do not answer".to_owned(), detail: detail.or(Some(code)) }
    }

    fn tell(&self, input: Input) -> Result<(), Ended> {
        self.findings.send(Finding::Tell(input)).map_err(|_| Ended)
    }
}
