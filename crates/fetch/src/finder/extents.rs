//! The finder's questions, asked once.

use super::{Finder, RETRY, Trouble, Wrong};
use crate::extent::Extent;
use crate::messages::{Asked, EARLIEST, LATEST, code};
use crate::topics::{Log, first_millis};
use model::Time;
use model::definition::Start;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// For how long what passes by itself may stay.
const PASSING: Duration = Duration::from_secs(10);

impl Finder {
    /// What lies on all topics from the start on; or what is wrong, for an operator.
    pub(crate) async fn extents(mut self, to: Option<Time>) -> Result<Vec<Extent>, String> {
        let until = Instant::now() + PASSING;
        loop {
            let Wrong { told, passing } = match self.try_extents(to).await {
                Ok(extents) => return Ok(extents),
                Err(wrong) => wrong,
            };
            match told.or(passing.filter(|_| Instant::now() >= until)) {
                Some(trouble) => return Err(trouble.to_string()),
                None => sleep(RETRY).await,
            }
        }
    }

    async fn try_extents(&mut self, to: Option<Time>) -> Result<Vec<Extent>, Wrong> {
        let mut wrong = Wrong::default();
        let metadata = match self.metadata().await {
            Ok(metadata) => metadata,
            Err(fault) => {
                let detail = Some(fault.to_string());
                let passing = Some(Trouble { what: "the brokers do not answer".to_owned(), detail });
                return Err(Wrong { told: None, passing });
            }
        };
        self.learn(&metadata);
        let mut partitions: Vec<(Arc<str>, i32)> = Vec::new();
        for found in &metadata.topics {
            let Some(topic) = self.topics.iter().find(|topic| *topic.name == *found.name) else { continue };
            match found.error {
                code::NONE => partitions.extend(found.partitions.iter().map(|led| (topic.name.clone(), led.number))),
                code::UNKNOWN_TOPIC => {}
                error => wrong.note(format!("topic `{}`", found.name), error),
            }
        }
        let from = self.begin.start;
        let lows = self.all(&partitions, EARLIEST, &mut wrong).await;
        let highs = self.all(&partitions, LATEST, &mut wrong).await;
        let starts = match from {
            Start::At(time) => self.all(&partitions, first_millis(time), &mut wrong).await,
            _ => HashMap::new(),
        };
        let ends = match to {
            Some(time) => self.all(&partitions, first_millis(time), &mut wrong).await,
            None => HashMap::new(),
        };
        if wrong.told.is_some() || wrong.passing.is_some() {
            return Err(wrong);
        }
        // Below zero where no record is that late.
        let place = |of: &HashMap<(Arc<str>, i32), i64>, key: &(Arc<str>, i32)| {
            of.get(key).copied().filter(|offset| *offset >= 0)
        };
        let extent = |key: &(Arc<str>, i32)| {
            let log = Log { low: lows[key], high: highs[key], at_time: place(&starts, key) };
            Extent::new(key.0.clone(), key.1, log, from, place(&ends, key))
        };
        Ok(partitions.iter().map(extent).collect())
    }

    /// An offset of each partition, or something is wrong.
    async fn all(
        &mut self,
        partitions: &[(Arc<str>, i32)],
        time: i64,
        wrong: &mut Wrong,
    ) -> HashMap<(Arc<str>, i32), i64> {
        let asked: Vec<Asked> =
            partitions.iter().map(|(topic, partition)| self.asked(topic, *partition, time)).collect();
        let offsets = self.offsets(asked, self.settings.bounds.committed_only, wrong).await;
        if offsets.len() < partitions.len() {
            let what = "the brokers do not answer for all partitions".to_owned();
            wrong.passing.get_or_insert(Trouble { what, detail: None });
        }
        offsets
    }
}
