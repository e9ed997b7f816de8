//! The readings: which series reports when and what follows from a formula alone, so every answer can be computed
//! without having read a single record.

use crate::batch::Batch;
use crate::broker::Broker;
use crate::failure::Failure;

/// Event time of the first second, in seconds: 22 s into a minute, so that the first window is seen in part.
pub(crate) const START_S: i64 = 1_645_564_942;
/// How far out of order every system has to expect samples.
pub(crate) const LATENESS_S: i64 = 10;
/// Keys of the records behind the last reading, which move every partition's event time past all windows.
pub(crate) const CLOSING: &str = "closing-";
/// How many of these each partition gets, and how many seconds lie between them. One record a day later would do for
/// most systems, but Kafka Streams then takes windows that it has not given yet for too old, and drops them; and series
/// that are silent for long are missing, which is another workload.
const CLOSING_RECORDS: i64 = 4;
const CLOSING_STEP_S: i64 = 10;
/// A batch is sent from this size on; brokers take 1 MiB unless told otherwise.
const BATCH_BYTES: usize = 900_000;

/// What lies on the input topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    /// How many series.
    pub(crate) series: u32,
    /// Seconds between two readings of a series; series take turns. Divides their number.
    pub(crate) step_s: u32,
    /// Seconds of event time.
    pub(crate) seconds: u32,
    /// How many partitions the topic has.
    pub(crate) partitions: i32,
    /// What is measured.
    pub(crate) signal: Signal,
    /// Into how many groups series are divided, each with a check function of its own; 0 for none.
    pub(crate) groups: u32,
}

/// What the readings are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Anything from 0 to 5,000, scattered.
    Scattered,
    /// About 1,000 while all is well. A thousandth of the series has an episode now and then, at five times as much.
    Episodes,
}

/// How writing goes on after a second.
pub(crate) enum Next {
    /// Batches are sent when they are full.
    Go,
    /// What there is goes out at once, as from a source that lives.
    Send,
    /// Nothing more is wanted.
    Stop,
}

/// Length of an episode, and how often a series may have one, in seconds.
const EPISODE_S: i64 = 30;
const BETWEEN_S: i64 = 300;

impl Workload {
    /// As many seconds as make about this many readings.
    pub(crate) fn of_events(series: u32, step_s: u32, events: u64, partitions: i32, signal: Signal) -> Workload {
        let each_second = u64::from(series / step_s).max(1);
        let seconds = u32::try_from(events / each_second).unwrap_or(u32::MAX);
        Workload { series, step_s, seconds, partitions, signal, groups: 0 }
    }

    /// How many readings there are.
    pub(crate) fn events(&self) -> u64 {
        self.events_before(self.end_s())
    }

    /// How many lie before this second.
    pub(crate) fn events_before(&self, second: i64) -> u64 {
        let seconds = (second - START_S).clamp(0, i64::from(self.seconds));
        seconds as u64 * u64::from(self.series / self.step_s)
    }

    /// How many records the topic holds: readings, and those that close windows.
    pub(crate) fn records(&self) -> u64 {
        self.events() + self.partitions as u64 * CLOSING_RECORDS as u64
    }

    /// The second behind the last reading.
    pub(crate) fn end_s(&self) -> i64 {
        START_S + i64::from(self.seconds)
    }

    /// What a series reports in a second, in hundredths.
    pub(crate) fn hundredths(&self, series: u32, second: i64) -> u64 {
        let random = mix(u64::from(series) << 32 | (second - START_S) as u64);
        match self.signal {
            Signal::Scattered => random % 500_000,
            Signal::Episodes => {
                (if self.in_episode(series, second) { 500_000 } else { 100_000 }) - 5_000 + random % 10_000
            }
        }
    }

    /// Whether a series is in an episode. Episodes begin at whole tens of seconds, and not in the first minute.
    pub(crate) fn in_episode(&self, series: u32, second: i64) -> bool {
        let (turn, within) = (second.div_euclid(BETWEEN_S), second.rem_euclid(BETWEEN_S));
        let drawn = mix(u64::from(series) << 32 ^ turn as u64 ^ 0x5eed);
        let begin = 10 * ((drawn >> 32) as i64 % ((BETWEEN_S - EPISODE_S) / 10));
        let is_warm = turn * BETWEEN_S + begin >= START_S + 60;
        drawn.is_multiple_of(1000) && is_warm && (begin..begin + EPISODE_S).contains(&within)
    }

    /// Whether a series reports in a second.
    pub(crate) fn reports(&self, series: u32, second: i64) -> bool {
        i64::from(series % self.step_s) == (second - START_S) % i64::from(self.step_s)
    }

    /// The group of a series, where there are groups.
    pub(crate) fn group_of(&self, series: u32) -> Option<String> {
        (self.groups > 0).then(|| group(series % self.groups))
    }

    /// Where the readings of a series lie.
    fn partition(&self, series: u32) -> usize {
        (mix(u64::from(series)) % self.partitions as u64) as usize
    }

    /// The series that report in a second, each time in another order.
    fn due(&self, second: i64) -> impl Iterator<Item = u32> {
        let (step, count) = (self.step_s, u64::from(self.series / self.step_s));
        let first = (second - START_S) as u32 % step;
        let offset = mix(second as u64) % count;
        let mut factor = 1 + mix(!second as u64) % count;
        while common_divisor(factor, count) != 1 {
            factor += 1;
        }
        (0..count).map(move |index| first + step * ((index * factor + offset) % count) as u32)
    }

    /// Makes the topic and writes everything to it.
    pub(crate) fn fill(&self, broker: &mut Broker, topic: &str) -> Result<(), Failure> {
        broker.create(topic, self.partitions, &[])?;
        self.feed(broker, topic, &mut |_| Next::Go)?;
        self.close(broker, topic)
    }

    /// Writes all readings to a topic; asks after each second of event time how to go on.
    pub(crate) fn feed(
        &self,
        broker: &mut Broker,
        topic: &str,
        asks: &mut dyn FnMut(i64) -> Next,
    ) -> Result<(), Failure> {
        let names: Vec<String> = (0..self.series).map(identifier).collect();
        let groups: Vec<Option<String>> = (0..self.groups.max(1)).map(|number| self.group_of(number)).collect();
        let mut batches: Vec<Batch> = (0..self.partitions).map(|_| Batch::new()).collect();
        let mut value = Vec::with_capacity(128);
        for second in START_S..self.end_s() {
            for series in self.due(second) {
                let (name, partition) = (&names[series as usize], self.partition(series));
                let group = groups[series as usize % groups.len()].as_deref();
                reading(&mut value, name, group, second * 1000, self.hundredths(series, second));
                let batch = &mut batches[partition];
                batch.push(second * 1000, name.as_bytes(), &value);
                if batch.len() >= BATCH_BYTES {
                    send(broker, topic, partition, batch)?;
                }
            }
            match asks(second) {
                Next::Go => {}
                Next::Send => {
                    for (partition, batch) in batches.iter_mut().enumerate() {
                        send(broker, topic, partition, batch)?;
                    }
                    broker.settle()?;
                }
                Next::Stop => return broker.settle(),
            }
        }
        for (partition, batch) in batches.iter_mut().enumerate() {
            send(broker, topic, partition, batch)?;
        }
        broker.settle()
    }

    /// Writes what comes behind the last reading.
    pub(crate) fn close(&self, broker: &mut Broker, topic: &str) -> Result<(), Failure> {
        let mut batches: Vec<Batch> = (0..self.partitions).map(|_| Batch::new()).collect();
        let (mut value, group) = (Vec::new(), self.group_of(0));
        for (partition, second, hundredths) in self.closing() {
            let name = format!("{CLOSING}{partition}");
            reading(&mut value, &name, group.as_deref(), second * 1000, hundredths);
            batches[partition].push(second * 1000, name.as_bytes(), &value);
        }
        for (partition, batch) in batches.iter_mut().enumerate() {
            send(broker, topic, partition, batch)?;
        }
        broker.settle()
    }

    /// Gives each reading in the order of time, and then those that close windows, with their partition for a series.
    pub(crate) fn each(&self, take: &mut dyn FnMut(Result<u32, usize>, i64, u64) -> Next) {
        for second in START_S..self.end_s() {
            for series in self.due(second) {
                if let Next::Stop = take(Ok(series), second, self.hundredths(series, second)) {
                    return;
                }
            }
        }
        for (partition, second, hundredths) in self.closing() {
            take(Err(partition), second, hundredths);
        }
    }

    /// What comes behind the last reading: partition, second and value. The first of each partition is what ends a run
    /// that asks for health: nothing that is asked for comes behind it.
    fn closing(&self) -> impl Iterator<Item = (usize, i64, u64)> + use<> {
        let (end, partitions) = (self.end_s(), self.partitions as usize);
        let value = |step| if step == 1 { 500_000 } else { 100_000 };
        (1..=CLOSING_RECORDS)
            .flat_map(move |step| (0..partitions).map(move |of| (of, end + step * CLOSING_STEP_S, value(step))))
    }
}

fn send(broker: &mut Broker, topic: &str, partition: usize, batch: &mut Batch) -> Result<(), Failure> {
    batch.take().map_or(Ok(()), |bytes| broker.produce(topic, partition as i32, bytes))
}

/// The name of a group, and of its check function.
pub(crate) fn group(number: u32) -> String {
    format!("g{number:04}")
}

/// From where on a group's function finds too much: somewhere between what is usual and what an episode brings.
pub(crate) fn limit(number: u32) -> u32 {
    2000 + number % 2000
}

/// The name of a series.
pub(crate) fn identifier(series: u32) -> String {
    format!("sensor-{series:06}")
}

/// The series of a name.
pub(crate) fn series_of(identifier: &str) -> Option<u32> {
    identifier.strip_prefix("sensor-")?.parse().ok()
}

fn reading(to: &mut Vec<u8>, identifier: &str, group: Option<&str>, at_ms: i64, hundredths: u64) {
    to.clear();
    to.extend_from_slice(b"{\"identifier\":\"");
    to.extend_from_slice(identifier.as_bytes());
    if let Some(group) = group {
        to.extend_from_slice(b"\",\"group\":\"");
        to.extend_from_slice(group.as_bytes());
    }
    to.extend_from_slice(b"\",\"timestamp\":");
    decimal(to, at_ms as u64);
    to.extend_from_slice(b",\"valueInW\":");
    decimal(to, hundredths / 100);
    let part = (hundredths % 100) as u8;
    to.extend_from_slice(&[b'.', b'0' + part / 10, b'0' + part % 10, b'}']);
}

fn decimal(to: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    to.extend_from_slice(&digits[at..]);
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn mix(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::{START_S, Signal, Workload, reading};

    #[test]
    fn a_reading_is_the_text_that_the_workload_names() {
        let mut text = Vec::new();
        reading(&mut text, "sensor-000123", None, 1_645_564_942_000, 123_456);
        let wanted = r#"{"identifier":"sensor-000123","timestamp":1645564942000,"valueInW":1234.56}"#;
        assert_eq!(String::from_utf8(text).expect("text"), wanted);
    }

    #[test]
    fn each_series_reports_once_in_each_step() {
        let workload = Workload::of_events(40, 10, 80, 4, Signal::Scattered);
        assert_eq!((workload.seconds, workload.events()), (20, 80));
        let mut told: Vec<(u32, i64)> = (START_S..workload.end_s())
            .flat_map(|second| workload.due(second).map(move |series| (series, second)))
            .collect();
        told.sort_unstable();
        let wanted: Vec<(u32, i64)> = (0..40)
            .flat_map(|series| (START_S..workload.end_s()).map(move |second| (series, second)))
            .filter(|(series, second)| workload.reports(*series, *second))
            .collect();
        assert_eq!(told, wanted);
    }
}
