//! What streams publish: when a window closes, each instance's point becomes a message for a topic.
//!
//! Messages are written one behind the other into a buffer that goes into the outbox in one piece: of a million
//! windows that close at once, none costs a record of the store, nor memory of its own. Those of one instance come in the
//! order of time; those of one instant come in any.

use crate::plan::Plan;
use crate::state::{Change, MessagePlace, Messages};
use crate::windows::Windows;
use model::definition::Publication;
use model::{Labels, Time};
use std::sync::Arc;

/// A piece has no more messages than this.
const MOST_MESSAGES: usize = 4096;
/// A piece ends with the message that reaches this.
const MOST_BYTES: usize = 1 << 20;
/// What waits for the next commit is about this large at most, but for the windows that end together.
const MOST_WAITING: usize = 16 << 20;

/// What has been written since the last commit.
#[derive(Debug)]
pub(crate) struct Publications {
    plan: Arc<Plan>,
    /// One for each publication: the piece that is being filled.
    open: Vec<Messages>,
    whole: Vec<Change>,
    /// The number of the last piece that there ever was.
    number: u64,
    waiting: usize,
}

impl Publications {
    pub(crate) fn new(plan: Arc<Plan>, number: u64) -> Publications {
        let open = plan.definitions.publications.iter().map(|_| Messages::default()).collect();
        Publications { plan, open, whole: Vec::new(), number, waiting: 0 }
    }

    /// Whether there is anything that a commit would bring on its way.
    pub(crate) fn wait(&self) -> bool {
        self.waiting > 0
    }

    /// Whether a commit is due before more windows close.
    pub(crate) fn are_many(&self) -> bool {
        self.waiting >= MOST_WAITING
    }

    /// Writes the points of a feed's windows that have just closed.
    pub(crate) fn write(&mut self, feed: usize, end: Time, windows: &Windows) {
        let plan = self.plan.clone();
        let of_feed = &plan.feeds[feed];
        for (publication, picks) in &of_feed.publications {
            let of = &plan.definitions.publications[*publication];
            let words = Words::new(&plan, of, end);
            // Only a sliding window over a young instance begins elsewhere than those of the others.
            let (mut start, mut start_text) = (end, String::new());
            for (place, point) in windows.feeds[feed].closed.iter() {
                let values = || picks.iter().map(|pick| point.values[*pick]);
                if !values().all(f64::is_finite) {
                    continue;
                }
                if point.start != start {
                    (start, start_text) = (point.start, point.start.to_string());
                }
                let messages = &mut self.open[*publication];
                let before = messages.bytes.len();
                let labels = windows.labels(feed, place as u32);
                write_key(labels, &mut messages.bytes);
                let key_end = messages.bytes.len() as u32;
                words.write(labels, &start_text, point.count, values(), point.incomplete, &mut messages.bytes);
                let value_end = messages.bytes.len() as u32;
                messages.index.push(MessagePlace { key_end, value_end, timestamp_ms: end.millis() });
                self.waiting += messages.bytes.len() - before;
                if messages.index.len() >= MOST_MESSAGES || messages.bytes.len() >= MOST_BYTES {
                    self.close(*publication);
                }
            }
        }
    }

    fn close(&mut self, publication: usize) {
        let messages = std::mem::take(&mut self.open[publication]);
        if !messages.index.is_empty() {
            self.number += 1;
            let topic = self.plan.definitions.publications[publication].topic.clone();
            self.whole.push(Change::Publish { number: self.number, topic, messages });
        }
    }

    /// What a commit writes.
    pub(crate) fn changes(&mut self, changes: &mut Vec<Change>) {
        if self.waiting == 0 {
            return;
        }
        (0..self.open.len()).for_each(|publication| self.close(publication));
        changes.append(&mut self.whole);
        self.waiting = 0;
    }
}

/// What all messages of one closing have in common.
struct Words {
    stream: String,
    end: String,
    /// For each value, what stands before it.
    values: Vec<String>,
}

impl Words {
    fn new(plan: &Plan, of: &Publication, end: Time) -> Words {
        let mut stream = Vec::from(br#"{"stream":"#);
        write_text(&plan.definitions.streams[of.stream].name, &mut stream);
        stream.extend(br#","labels":"#);
        let name = |(place, of): (usize, &model::definition::Downsampling)| {
            format!("{}\"{of}\":", if place == 0 { r#","values":{"# } else { "," })
        };
        Words {
            stream: String::from_utf8(stream).expect("JSON is text"),
            end: format!(r#"","end":"{end}","count":"#),
            values: of.downsample.iter().enumerate().map(name).collect(),
        }
    }

    fn write(
        &self,
        labels: &Labels,
        start: &str,
        count: u64,
        values: impl Iterator<Item = f64>,
        incomplete: bool,
        out: &mut Vec<u8>,
    ) {
        out.extend(self.stream.as_bytes());
        write_labels(labels, out);
        out.extend(br#","start":""#);
        out.extend(start.as_bytes());
        out.extend(self.end.as_bytes());
        write_number(count as f64, out);
        for (name, value) in self.values.iter().zip(values) {
            out.extend(name.as_bytes());
            write_number(value, out);
        }
        out.extend(if incomplete { br#"},"incomplete":true}"#.as_slice() } else { b"}}" });
    }
}

/// The value of the one label that makes instances, as other topics about the same things are likely to have it; of
/// none or several labels a JSON object.
fn write_key(labels: &Labels, out: &mut Vec<u8>) {
    match labels.iter().next() {
        Some((_, value)) if labels.len() == 1 => out.extend(value.as_bytes()),
        _ => write_labels(labels, out),
    }
}

fn write_labels(labels: &Labels, out: &mut Vec<u8>) {
    for (place, (name, value)) in labels.iter().enumerate() {
        out.push(if place == 0 { b'{' } else { b',' });
        write_text(name, out);
        out.push(b':');
        write_text(value, out);
    }
    out.extend(if labels.is_empty() { b"{}".as_slice() } else { b"}" });
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("memory takes all that is written");
}

/// A finite number in the fewest digits that read as the same number; whole numbers without a point.
fn write_number(number: f64, out: &mut Vec<u8>) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let negative_zero = number == 0.0 && number.is_sign_negative();
    let written = if number.fract() == 0.0 && number.abs() < EXACT && !negative_zero {
        serde_json::to_writer(out, &(number as i64))
    } else {
        serde_json::to_writer(out, &number)
    };
    written.expect("memory takes all that is written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(number: f64, wanted: &str) {
        let mut out = Vec::new();
        write_number(number, &mut out);
        assert_eq!(String::from_utf8(out).expect("text"), wanted);
        let read: f64 = serde_json::from_str(wanted).expect("JSON");
        assert_eq!(read.to_bits(), number.to_bits());
    }

    #[test]
    fn numbers_are_json_and_read_as_what_they_are() {
        check(0.0, "0");
        check(-7.0, "-7");
        check(-0.0, "-0.0");
        check(0.1 + 0.2, "0.30000000000000004");
        check(1234.56, "1234.56");
        check(9_007_199_254_740_993.0, "9007199254740992.0");
        check(1e300, "1e+300");
        check(-2.5e-9, "-2.5e-9");
    }

    #[test]
    fn keys_are_what_other_topics_may_have() {
        let key = |labels: &[(&str, &str)]| {
            let mut out = Vec::new();
            write_key(&Labels::new(labels.iter().copied()), &mut out);
            String::from_utf8(out).expect("text")
        };
        assert_eq!(key(&[("sensor", "a \"b\"")]), "a \"b\"");
        assert_eq!(key(&[("zone", "1"), ("host", "a\"\n")]), r#"{"host":"a\"\n","zone":"1"}"#);
        assert_eq!(key(&[]), "{}");
    }
}
