//! What lies on topics at this moment, asked once: for those who read a stretch of the past and then end.

use crate::finder::Finder;
use crate::topics::Log;
use crate::{Connection, Error, Reading, properties};
use model::Time;
use model::definition::Start;
use std::sync::Arc;
use tokio::sync::mpsc;

/// What lies on one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Where the log begins.
    pub low: i64,
    /// Where it ends: the offset after the last record.
    pub high: i64,
    /// The first offset that is asked for; `high` where there is none.
    pub start: i64,
    /// The offset after the last one that is asked for.
    pub end: i64,
}

impl Extent {
    /// What is asked for of a log: up to `before`, where that is a place in it.
    pub fn new(topic: Arc<str>, partition: i32, log: Log, from: Start, before: Option<i64>) -> Extent {
        let Log { low, high, at_time } = log;
        let start = match from {
            Start::Earliest => low,
            Start::Latest => high,
            Start::At(_) => at_time.unwrap_or(high),
        };
        Extent { topic, partition, low, high, start, end: before.unwrap_or(high).max(start) }
    }
}

/// What lies on these topics from `from` on, and before `to` where one is given. Times are those of the records. A
/// topic that does not exist has no partitions.
///
/// # Errors
/// Where the brokers do not answer, or a setting is wrong.
pub fn extents(
    connection: &Connection,
    topics: &[Arc<str>],
    from: Start,
    to: Option<Time>,
) -> Result<Vec<Extent>, Error> {
    let settings = Arc::new(properties::settings(connection)?);
    let names = topics.iter().map(ToString::to_string).collect();
    let reading = Reading { source: 0, connection: connection.clone(), topics: names, start: from, group: None };
    // It is asked for this alone: there is nobody to tell, and nobody else who asks.
    let ((tell, _), (_, asked)) = (mpsc::channel(1), mpsc::unbounded_channel());
    let finder = Finder::new(&reading, Vec::new(), settings, tell, asked, Arc::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::Client(format!("no runtime can be made: {e}")))?;
    let found = runtime.block_on(finder.extents(to));
    // Without waiting for a name that is being looked up.
    runtime.shutdown_background();
    let action = || format!("ask what lies on {}", topics.join(", "));
    found.map_err(|reason| Error::Unanswered { action: action(), reason })
}
