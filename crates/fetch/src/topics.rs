//! What is known of a source's topics, and where reading their partitions begins. Nothing here asks a broker; whoever
//! does, by whatever client, is told here what the answers mean.

use crate::reader::{Input, Position};
use crate::wire::TopicId;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Time;
use model::definition::Start;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// One topic of the source.
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    pub(crate) id: TopicId,
    /// Ids that the name had before. A broker that is behind may still tell one.
    former: Vec<TopicId>,
    /// Those that the caller has been told of.
    pub partitions: BTreeSet<i32>,
    /// The brokers have said once whether it exists. What they name later has come later, and is read from its
    /// beginning.
    answered: bool,
    /// For how many looks in a row it has not existed.
    absent: u32,
    /// It has gone, and what comes under its name is another topic, unless it has the same id.
    gone: bool,
    /// A former topic of this name was read.
    again: bool,
}

/// How a partition comes to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was there at the first look.
    First,
    /// It has come later.
    Later,
    /// It is of another topic than the one that was read under this name.
    Again,
}

impl Topic {
    /// One that nothing is known of yet.
    pub fn new(name: &str) -> Topic {
        Topic {
            name: Arc::from(name),
            id: TopicId::default(),
            former: Vec::new(),
            partitions: BTreeSet::new(),
            answered: false,
            absent: 0,
            gone: false,
            again: false,
        }
    }

    /// A look did not find it. True when the caller is to be told.
    pub fn absent(&mut self) -> bool {
        self.absent += 1;
        self.answered = true;
        // A broker that has just come up may not know all topics yet: a topic that we read is gone only when it is
        // missed twice.
        let gone = !self.partitions.is_empty() && self.absent >= 2;
        let news = (gone && !self.gone) || (self.partitions.is_empty() && self.absent == 1);
        self.gone |= gone;
        news
    }

    /// A look has found it with these partitions. How those come to be read that are not read yet; none where the
    /// broker is behind. The id is zeros where the client tells none.
    pub fn present(&mut self, id: TopicId, all: &BTreeSet<i32>) -> Option<Origin> {
        if self.former.contains(&id) {
            return None;
        }
        self.absent = 0;
        let unknown = TopicId::default();
        let another = if id == unknown || self.id == unknown {
            // Partitions are never taken away from a topic.
            self.gone || !self.partitions.is_subset(all)
        } else {
            id != self.id
        };
        if another {
            self.again |= !self.partitions.is_empty();
            self.partitions.clear();
            if self.id != unknown {
                self.former.push(self.id);
            }
        }
        self.id = id;
        self.gone = false;
        Some(match (self.again, self.answered) {
            (true, _) => Origin::Again,
            (false, true) => Origin::Later,
            (false, false) => Origin::First,
        })
    }

    /// The caller has been told of a partition.
    pub fn told(&mut self, partition: i32) {
        self.partitions.insert(partition);
    }

    /// The end of a look that found it: what comes from now on has come later.
    pub fn looked(&mut self, all: &BTreeSet<i32>) {
        if all.is_subset(&self.partitions) {
            self.answered = true;
            self.again = false;
        }
    }
}

/// The stored positions of a source, and where it begins without.
pub struct Begin {
    stored: HashMap<(Arc<str>, i32), (i64, Option<TopicId>)>,
    /// Where it begins without.
    pub start: Start,
}

/// The bounds of a log, and the first offset that is not before the time of `Start::At`.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    /// Where it begins.
    pub low: i64,
    /// The offset after the last record.
    pub high: i64,
    /// None where no record is that late, or no time was asked for.
    pub at_time: Option<i64>,
}

impl Begin {
    /// From the positions that are stored.
    pub fn new(positions: Vec<Position>, start: Start) -> Begin {
        let stored = |position: Position| {
            let id = position.topic_id.as_deref().and_then(read_id);
            ((position.topic, position.partition), (position.next_offset, id))
        };
        Begin { stored: positions.into_iter().map(stored).collect(), start }
    }

    /// Whether the first offset not before a time is needed for this partition.
    pub fn by_time(&self, origin: Origin) -> bool {
        origin == Origin::First && self.stored.is_empty() && matches!(self.start, Start::At(_))
    }

    /// Where reading a partition begins.
    pub fn found(&self, topic: &Topic, partition: i32, origin: Origin, log: Log) -> Input {
        let Log { low, high, at_time } = log;
        let stored = self.stored.get(&(topic.name.clone(), partition));
        let another = stored.and_then(|(_, id)| *id).is_some_and(|id| topic.id != TopicId::default() && id != topic.id);
        let (start, stored, gap, recreated) = match stored {
            _ if origin == Origin::Again || another => (low, true, None, true),
            Some((next, _)) if *next > high => (low, true, None, true),
            Some((next, _)) if *next < low => (low, true, Some((*next, low)), false),
            Some((next, _)) => (*next, true, None, false),
            None if origin == Origin::Later || !self.stored.is_empty() => (low, false, None, false),
            None => {
                let start = match self.start {
                    Start::Earliest => low,
                    Start::Latest => high,
                    // No record is that late.
                    Start::At(_) => at_time.unwrap_or(high),
                };
                (start, false, None, false)
            }
        };
        let topic_id = shown_id(&topic.id);
        Input::Found { topic: topic.name.clone(), topic_id, partition, start, low, stored, gap, recreated }
    }
}

/// A time as Kafka counts: the first whole millisecond that is not before it.
pub fn first_millis(time: Time) -> i64 {
    (time.millis() + i64::from(time.nanos().rem_euclid(1_000_000) > 0)).max(0)
}

/// An id as Kafka's own tools show it; none where the broker tells none.
pub(crate) fn shown_id(id: &TopicId) -> Option<String> {
    (*id != TopicId::default()).then(|| URL_SAFE_NO_PAD.encode(id))
}

fn read_id(text: &str) -> Option<TopicId> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: TopicId = [0; 16];
    const ONE: TopicId = [1; 16];
    const TWO: TopicId = [2; 16];

    /// Looks at a topic: what each finds of it, and what comes of that.
    fn check(looks: &[Option<(TopicId, i32)>], expected: &str) {
        let mut topic = Topic::new("shop");
        let mut seen = Vec::new();
        for look in looks {
            let Some((id, count)) = look else {
                seen.push(if topic.absent() { "missing" } else { "-" }.to_owned());
                continue;
            };
            let all: BTreeSet<i32> = (0..*count).collect();
            let Some(origin) = topic.present(*id, &all) else {
                seen.push("behind".to_owned());
                continue;
            };
            let new: Vec<i32> = all.difference(&topic.partitions).copied().collect();
            new.iter().for_each(|partition| topic.told(*partition));
            topic.looked(&all);
            seen.push(if new.is_empty() { "-".to_owned() } else { format!("{origin:?} {new:?}") });
        }
        assert_eq!(seen.join(", "), expected);
    }

    #[test]
    fn an_id_tells_whether_a_topic_is_another() {
        check(&[Some((ONE, 1)), Some((ONE, 2)), Some((ONE, 2))], "First [0], Later [1], -");
        check(&[None, None, Some((ONE, 1))], "missing, -, Later [0]");
        check(&[Some((ONE, 1)), None, None, None, Some((ONE, 1))], "First [0], -, missing, -, -");
        check(&[Some((ONE, 1)), Some((TWO, 1)), Some((ONE, 1)), Some((TWO, 1))], "First [0], Again [0], behind, -");
        check(&[Some((ONE, 1)), Some((TWO, 1)), Some((TWO, 2))], "First [0], Again [0], Later [1]");
    }

    #[test]
    fn without_ids_a_topic_is_another_when_it_was_gone() {
        check(&[Some((NONE, 1)), None, Some((NONE, 1))], "First [0], -, -");
        check(&[Some((NONE, 1)), None, None, Some((NONE, 1))], "First [0], -, missing, Again [0]");
        check(&[Some((NONE, 3)), Some((NONE, 1))], "First [0, 1, 2], Again [0]");
    }

    #[test]
    fn where_reading_begins() {
        let check = |stored: Option<(i64, TopicId)>, start, origin, expected: &str| {
            let position = |(next_offset, id)| Position {
                topic: "shop".into(),
                partition: 0,
                next_offset,
                topic_id: shown_id(&id),
            };
            let begin = Begin::new(stored.map(position).into_iter().collect(), start);
            let mut topic = Topic::new("shop");
            topic.present(TWO, &BTreeSet::from([0]));
            let found = begin.found(&topic, 0, origin, Log { low: 10, high: 20, at_time: Some(15) });
            let Input::Found { start, stored, gap, recreated, topic_id, .. } = found else { panic!("{found:?}") };
            assert_eq!(topic_id.as_deref(), Some("AgICAgICAgICAgICAgICAg"));
            let told = [(stored, "stored"), (recreated, "recreated"), (gap.is_some(), "gap")];
            let told: Vec<&str> = told.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
            assert_eq!(format!("{start} {}", told.join(" ")).trim_end(), expected);
        };
        let at = Start::At(model::Time::from_nanos(0));
        check(None, Start::Latest, Origin::First, "20");
        check(None, Start::Earliest, Origin::First, "10");
        check(None, at, Origin::First, "15");
        check(None, Start::Latest, Origin::Later, "10");
        check(None, Start::Latest, Origin::Again, "10 stored recreated");
        check(Some((12, TWO)), Start::Latest, Origin::First, "12 stored");
        check(Some((12, NONE)), Start::Latest, Origin::First, "12 stored");
        check(Some((5, TWO)), Start::Latest, Origin::First, "10 stored gap");
        check(Some((21, TWO)), Start::Latest, Origin::First, "10 stored recreated");
        check(Some((12, ONE)), Start::Latest, Origin::First, "10 stored recreated");
    }
}
