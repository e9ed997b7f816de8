//! Keys whose bytes sort as what they stand for, so that a scan gives records in the order of their keys.
//! Texts end with 00 01 and write a zero byte as 00 FF, after the tuple layer of
//! FoundationDB; lists put 01 before each item and end with 00.

use crate::records::Damaged;
use engine::state::{CheckKey, Column, PartitionKey};
use model::{Element, Labels, Time};
use std::sync::Arc;

/// The bit that tells whether a time lies before the epoch.
const SIGN: u64 = 1 << 63;

/// A key in the making.
#[derive(Default)]
pub(crate) struct Key(pub(crate) Vec<u8>);

impl Key {
    pub(crate) fn number(number: u64) -> [u8; 8] {
        number.to_be_bytes()
    }

    pub(crate) fn byte(mut self, byte: u8) -> Key {
        self.0.push(byte);
        self
    }

    pub(crate) fn u64(mut self, number: u64) -> Key {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(crate) fn u32(mut self, number: u32) -> Key {
        self.0.extend(number.to_be_bytes());
        self
    }

    /// With the sign turned over, times before the epoch sort before the others.
    pub(crate) fn time(self, time: Time) -> Key {
        self.u64(time.nanos() as u64 ^ SIGN)
    }

    /// A key after all that begin with this number.
    pub(crate) fn beyond(number: u64) -> Key {
        match number.checked_add(1) {
            Some(next) => Key::default().u64(next),
            // No key that begins with a number goes on with so many of these.
            None => Key(vec![0xff; 32]),
        }
    }

    pub(crate) fn text(mut self, text: &str) -> Key {
        for byte in text.bytes() {
            self.0.push(byte);
            if byte == 0 {
                self.0.push(0xff);
            }
        }
        self.0.extend([0, 1]);
        self
    }

    pub(crate) fn texts(mut self, texts: &[Arc<str>]) -> Key {
        for text in texts {
            self = self.byte(1).text(text);
        }
        self.byte(0)
    }

    pub(crate) fn labels(mut self, labels: &Labels) -> Key {
        for (name, value) in labels.iter() {
            self = self.byte(1).text(name).text(value);
        }
        self.byte(0)
    }

    pub(crate) fn element(self, element: &Element) -> Key {
        match element {
            Element::Component(name) => self.byte(0).text(name),
            Element::Relation { from, to } => self.byte(1).text(from).text(to),
        }
    }

    pub(crate) fn check(self, key: &CheckKey) -> Key {
        self.element(&key.element).text(&key.check).labels(&key.labels)
    }

    pub(crate) fn column(self, column: &Column) -> Key {
        match column {
            Column::LastSamples { feed } => self.byte(0).u64(*feed),
            Column::Deadlines { check } => self.byte(1).text(check),
        }
    }

    pub(crate) fn partition(mut self, key: &PartitionKey) -> Key {
        self = self.text(&key.source).text(&key.topic);
        // With the sign turned over, negative numbers sort before the others.
        self.0.extend((key.partition ^ i32::MIN).to_be_bytes());
        self
    }
}

/// What is left of a key that is read.
pub(crate) struct Parts<'a>(pub(crate) &'a [u8]);

impl Parts<'_> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or(Damaged("a key is too short"))?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Damaged> {
        Ok(self.bytes::<1>()?[0])
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Damaged> {
        Ok(u64::from_be_bytes(self.bytes()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Damaged> {
        Ok(u32::from_be_bytes(self.bytes()?))
    }

    pub(crate) fn time(&mut self) -> Result<Time, Damaged> {
        Ok(Time::from_nanos((self.u64()? ^ SIGN) as i64))
    }

    pub(crate) fn text(&mut self) -> Result<Arc<str>, Damaged> {
        let mut text = Vec::new();
        loop {
            match self.byte()? {
                0 if self.byte()? == 1 => break,
                byte => text.push(byte),
            }
        }
        String::from_utf8(text).map(Arc::from).map_err(|_| Damaged("a key holds no UTF-8"))
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, Damaged>) -> Result<Vec<T>, Damaged> {
        let mut list = Vec::new();
        while self.byte()? == 1 {
            list.push(item(self)?);
        }
        Ok(list)
    }

    pub(crate) fn texts(&mut self) -> Result<Vec<Arc<str>>, Damaged> {
        self.list(Self::text)
    }

    pub(crate) fn labels(&mut self) -> Result<Labels, Damaged> {
        Ok(Labels::new(self.list(|parts| Ok((parts.text()?, parts.text()?)))?))
    }

    pub(crate) fn element(&mut self) -> Result<Element, Damaged> {
        match self.byte()? {
            0 => Ok(Element::Component(self.text()?)),
            1 => Ok(Element::Relation { from: self.text()?, to: self.text()? }),
            _ => Err(Damaged("a key names no kind of element")),
        }
    }

    pub(crate) fn check(&mut self) -> Result<CheckKey, Damaged> {
        Ok(CheckKey { element: self.element()?, check: self.text()?, labels: self.labels()? })
    }

    pub(crate) fn column(&mut self) -> Result<Column, Damaged> {
        match self.byte()? {
            0 => Ok(Column::LastSamples { feed: self.u64()? }),
            1 => Ok(Column::Deadlines { check: self.text()? }),
            _ => Err(Damaged("a key names no such column")),
        }
    }

    pub(crate) fn partition(&mut self) -> Result<PartitionKey, Damaged> {
        let (source, topic) = (self.text()?, self.text()?);
        Ok(PartitionKey { source, topic, partition: i32::from_be_bytes(self.bytes()?) ^ i32::MIN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_what_they_stand_for() {
        let names = ["", "\0", "\0\0", "\0a", "a", "a\0", "a\0b", "ab", "b", "é", "\u{10ffff}"];
        let mut keys: Vec<CheckKey> = Vec::new();
        for name in names {
            for other in names {
                let labels = Labels::new([(name, other), ("z", name)]);
                let element = Element::relation(other, name);
                keys.push(CheckKey { element, check: name.into(), labels });
                let labels = Labels::new([(other, "")]);
                keys.push(CheckKey { element: Element::component(name), check: other.into(), labels });
                keys.push(CheckKey {
                    element: Element::component(name),
                    check: other.into(),
                    labels: Labels::default(),
                });
            }
        }
        keys.sort();
        keys.dedup();
        let written: Vec<Vec<u8>> = keys.iter().map(|key| Key::default().check(key).0).collect();
        assert!(written.is_sorted_by(|a, b| a < b));
        for (key, written) in keys.iter().zip(&written) {
            assert_eq!(Parts(written).check().as_ref(), Ok(key));
        }
    }

    #[test]
    fn times_sort_as_they_come_and_before_what_is_beyond() {
        for number in [0, u64::MAX] {
            let times = [Time::MIN, Time::from_nanos(-1), Time::from_nanos(0), Time::MAX];
            let written = times.map(|time| Key::default().u64(number).time(time).0);
            assert!(written.is_sorted());
            assert!(written[3] < Key::beyond(number).0);
            let read = written.map(|written| Parts(&written[8..]).time().expect("a time"));
            assert_eq!(read, times);
        }
        assert_eq!(Key::beyond(0).0, Key::number(1));
    }

    #[test]
    fn partitions_sort_by_number() {
        let written = [i32::MIN, -1, 0, 1, i32::MAX].map(|partition| {
            let key = PartitionKey { source: "s".into(), topic: "t".into(), partition };
            let written = Key::default().partition(&key).0;
            assert_eq!(Parts(&written).partition(), Ok(key));
            written
        });
        assert!(written.is_sorted());
    }
}
