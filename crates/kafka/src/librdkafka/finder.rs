//! Finds the topics and partitions of a source, and where reading them begins. It asks the brokers and waits for
//! their answers, which may take seconds: on a thread and a client of its own, so that reading never waits.

use super::worker::Client;
use crate::Input;
use crate::connection::Voice;
use crate::extent::first_at;
use crossbeam_channel::{Receiver, Sender};
use fetch::topics::{Begin, Log, Origin, Topic};
use model::definition::Start;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::BTreeSet;
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
    pub(crate) begin: Begin,
    /// Between two looks while all is well.
    pub(crate) interval: Duration,
    pub(crate) questions: Receiver<Question>,
    pub(crate) findings: Sender<Finding>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// The caller has gone; there is nobody to tell.
struct Ended;

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
                if self.topics[place].absent() {
                    self.tell(Input::Missing { topic: name })?;
                }
                return Ok(None);
            }
            Some(code) => return Ok(Some(Trouble { what: format!("topic `{name}`: {code}"), detail: None })),
        }
        let led: Vec<i32> = found.partitions().iter().filter(|p| p.leader() >= 0).map(|p| p.id()).collect();
        let all: BTreeSet<i32> = found.partitions().iter().map(|p| p.id()).collect();
        drop(metadata);
        self.present(place, &led, &all, with_lag)
    }

    fn present(
        &mut self,
        place: usize,
        led: &[i32],
        all: &BTreeSet<i32>,
        with_lag: bool,
    ) -> Result<Option<Trouble>, Ended> {
        let name = self.topics[place].name.clone();
        // librdkafka tells no ids.
        let Some(origin) = self.topics[place].present([0; 16], all) else { return Ok(None) };
        let mut trouble = None;
        for partition in all {
            let known = self.topics[place].partitions.contains(partition);
            if !led.contains(partition) {
                let what = format!("partition {partition} of topic `{name}` has no leader");
                trouble.get_or_insert(Trouble { what, detail: None });
            } else if !known {
                match self.begin(place, *partition, origin) {
                    Ok((found, high)) => {
                        self.topics[place].told(*partition);
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
        self.topics[place].looked(all);
        Ok(trouble)
    }

    /// Where reading a partition begins, and the log's end.
    fn begin(&self, place: usize, partition: i32, origin: Origin) -> Result<(Input, i64), KafkaError> {
        let topic = &self.topics[place];
        let (low, high) = self.asking.fetch_watermarks(&topic.name, partition, ANSWER)?;
        let at_time = match self.begin.start {
            Start::At(time) if self.begin.by_time(origin) => {
                Some(first_at(&self.asking, &topic.name, partition, time, high, ANSWER)?)
            }
            _ => None,
        };
        Ok((self.begin.found(topic, partition, origin, Log { low, high, at_time }), high))
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
