//! Fetch sessions (KIP-227): a broker remembers what it was asked for, so that a request names only what has changed
//! and a response only what has news. An idle source of many partitions costs next to nothing by this.

use crate::wire::TopicId;
use std::collections::HashMap;
use std::sync::Arc;

/// A partition to be fetched, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Which assignment of the partition it is for.
    pub(crate) serial: u64,
    pub(crate) topic: Arc<str>,
    pub(crate) topic_id: TopicId,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    /// The epoch of the last record that was read, by which the broker sees whether its log still has that record.
    pub(crate) last_epoch: i32,
    /// The most to be sent of it, but for a batch that is longer.
    pub(crate) max_bytes: i32,
}

/// What a request says of sessions and partitions. Partitions of a topic stand together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) session: i32,
    pub(crate) epoch: i32,
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) forgotten: Vec<Wanted>,
}

/// The session with one broker.
#[derive(Debug, Default)]
pub(crate) struct Session {
    id: i32,
    /// Zero asks for a new session.
    epoch: i32,
    /// What the broker was last asked for, by serial.
    known: HashMap<u64, Wanted>,
    /// There is none to come back to: the response that is under way belongs to one that was left.
    left: bool,
}

impl Session {
    /// The next request, for exactly these partitions.
    pub(crate) fn request(&mut self, wanted: Vec<Wanted>) -> Request {
        self.left = false;
        let known: HashMap<u64, Wanted> = wanted.iter().map(|wanted| (wanted.serial, wanted.clone())).collect();
        let before = std::mem::replace(&mut self.known, known);
        let (session, epoch) = (self.id, self.epoch);
        if epoch == 0 {
            return Request { session, epoch, wanted: together(wanted), forgotten: Vec::new() };
        }
        let forgotten = before.values().filter(|old| !self.known.contains_key(&old.serial)).cloned().collect();
        let changed = wanted.into_iter().filter(|wanted| before.get(&wanted.serial) != Some(wanted)).collect();
        Request { session, epoch, wanted: together(changed), forgotten: together(forgotten) }
    }

    /// The broker has answered the request, in this session; zero where it keeps none.
    pub(crate) fn answered(&mut self, id: i32) {
        if self.left {
            return;
        }
        (self.id, self.epoch) = match id {
            0 => (0, 0),
            _ if self.epoch == i32::MAX => (id, 1),
            _ => (id, self.epoch + 1),
        };
    }

    /// The next request begins anew, and the response that is under way is for nobody: after an error of the session,
    /// and where the broker has to tell all it knows once more.
    pub(crate) fn leave(&mut self) {
        self.epoch = 0;
        self.known.clear();
        self.left = true;
    }

    /// Whether the broker is asked for a partition.
    pub(crate) fn knows(&self, topic: &str, partition: i32) -> bool {
        self.known.values().any(|wanted| wanted.partition == partition && *wanted.topic == *topic)
    }

    /// Where the partition was asked for, in the request that has just been answered.
    pub(crate) fn asked(&self, serial: u64) -> Option<i64> {
        self.known.get(&serial).map(|wanted| wanted.offset)
    }
}

/// A message has each topic once: topics come in the order of their first partition, and the order within a topic
/// stays. The broker fills a response in the order of the request, and whoever asks lets the first change.
fn together(mut wanted: Vec<Wanted>) -> Vec<Wanted> {
    let mut first: HashMap<Arc<str>, usize> = HashMap::new();
    for wanted in &wanted {
        let next = first.len();
        first.entry(wanted.topic.clone()).or_insert(next);
    }
    wanted.sort_by_key(|wanted| first.get(&wanted.topic).copied());
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(serial: u64, topic: &str, offset: i64) -> Wanted {
        let partition = serial as i32;
        let (topic_id, leader_epoch, last_epoch) = (TopicId::default(), 0, -1);
        Wanted { serial, topic: topic.into(), topic_id, partition, offset, leader_epoch, last_epoch, max_bytes: 100 }
    }

    fn shown(request: &Request) -> String {
        let show = |list: &[Wanted]| -> Vec<String> {
            list.iter().map(|wanted| format!("{}-{}@{}", wanted.topic, wanted.partition, wanted.offset)).collect()
        };
        let Request { session, epoch, wanted, forgotten } = request;
        format!("{session}/{epoch} {} less {}", show(wanted).join(" "), show(forgotten).join(" "))
    }

    #[test]
    fn a_request_names_what_has_changed() {
        let mut session = Session::default();
        let mut check = |wanted: &[Wanted], expected: &str, answer: i32| {
            assert_eq!(shown(&session.request(wanted.to_vec())), expected);
            session.answered(answer);
        };
        check(&[wanted(1, "b", 0), wanted(2, "a", 5), wanted(9, "b", 2)], "0/0 b-1@0 b-9@2 a-2@5 less ", 77);
        check(&[wanted(1, "b", 0), wanted(2, "a", 9)], "77/1 a-2@9 less b-9@2", 77);
        check(&[wanted(1, "b", 0), wanted(2, "a", 9)], "77/2  less ", 77);
        check(&[wanted(2, "a", 9), wanted(3, "b", 1)], "77/3 b-3@1 less b-1@0", 77);
    }

    #[test]
    fn a_session_that_was_left_is_not_gone_back_to() {
        let mut session = Session::default();
        session.request(vec![wanted(1, "a", 0)]);
        session.answered(77);
        session.request(vec![wanted(1, "a", 1)]);
        session.leave();
        session.answered(77);
        assert_eq!(session.asked(1), None, "the answer is for nobody");
        assert_eq!(shown(&session.request(vec![wanted(1, "a", 1)])), "77/0 a-1@1 less ");
    }

    #[test]
    fn a_broker_without_room_for_a_session_is_told_all_each_time() {
        let mut session = Session::default();
        for offset in [0, 1] {
            assert_eq!(shown(&session.request(vec![wanted(1, "a", offset)])), format!("0/0 a-1@{offset} less "));
            session.answered(0);
        }
    }
}
