//! What scripts see of a stream: points of its windows, and events.

use crate::Time;
use crate::baseline::Reading;
use crate::definition::Downsampling;
use std::sync::Arc;

/// A window of one stream instance, reduced to numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Where the window begins; inclusive.
    pub start: Time,
    /// Where it ends; exclusive.
    pub end: Time,
    /// How many samples lie in it.
    pub count: u64,
    /// One number for each of `downsample`, in its order; the first is the point's `value`.
    pub values: Vec<f64>,
    /// What the numbers are; shared by all points of an input.
    pub downsample: Arc<[Downsampling]>,
    /// Whether records that belong to this window were lost before they could be read.
    pub incomplete: bool,
    /// What the input's baseline expected of this window before it learned from it; none without a baseline, and
    /// while it has not learned enough.
    pub baseline: Option<Reading>,
}

impl Point {
    /// The number that stands for the point: the first of its input's downsamplings.
    pub fn value(&self) -> f64 {
        self.values[0]
    }
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub time: Time,
    /// What kind of event it is, where the source says how to tell; else empty.
    pub kind: Arc<str>,
    /// The topic that it lies on.
    pub topic: Arc<str>,
    /// The partition there.
    pub partition: i32,
    /// The offset there.
    pub offset: i64,
    /// The event itself: the text of one JSON object, valid UTF-8 and checked.
    pub body: Arc<str>,
}

impl Event {
    /// The order in which events are evaluated: time, partition, offset.
    pub fn order(&self) -> (Time, &str, i32, i64) {
        (self.time, &self.topic, self.partition, self.offset)
    }
}
