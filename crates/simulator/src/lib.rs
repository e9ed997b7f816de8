//! A small shop for the demo and for tests: its producers write metrics and events in the formats of
//! real ones, and it breaks on a schedule and recovers.
//!
//! `Shop::step` is pure: what is written depends on the seed, the time of opening and how much time has
//! passed, and not on how that time is cut into steps.
//!
//! | topic | written as | what |
//! |---|---|---|
//! | `telegraf` | line protocol, as Telegraf writes it; key: the host | cpu, memory, answers, heap, queries |
//! | `otlp_metrics` | OTLP, as the OpenTelemetry Collector writes it; no key | requests and their durations |
//! | `shop.metrics` | JSON of the shop's own | depth of the queue, orders a minute |
//! | `shop.events` | JSON of the shop's own | the log |
//! | `shop.sales` | JSON of the shop's own | what is sold in a minute, with weeks of past |
//! | `icinga` | JSON, as Icinga 2 streams its events; no key | results of checks, changes of state |

mod icinga;
mod journal;
mod otlp;
mod random;
mod run;
mod sales;
mod schedule;
mod telegraf;

pub use run::{run, write};
pub use schedule::{Breakage, CYCLE, Fault, broken, schedule};

use model::{Span, Time};
use random::Random;

/// The configuration that watches this shop: sources, streams, elements and checks.
pub const DEMO_CONFIGURATION: &str = include_str!("../demo/demo.yaml");

/// The topics that the shop writes to.
pub const TOPICS: [&str; 6] =
    [telegraf::TOPIC, otlp::TOPIC, journal::METRICS, journal::EVENTS, icinga::TOPIC, sales::TOPIC];

/// Those of them that have a past.
pub const TOPICS_WITH_PAST: [&str; 1] = [sales::TOPIC];

const SECOND: Span = Span::from_secs(1);

/// One record, as a producer hands it to Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The topic.
    pub topic: &'static str,
    /// The key; none where the producer writes none.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Vec<u8>,
    /// Names and values of headers.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// The record's time: that of what it tells.
    pub time: Time,
}

/// A shop at one moment of its life.
pub struct Shop {
    open: Time,
    seed: u64,
    /// How many seconds of its life are written.
    seconds: i64,
    random: Random,
    services: otlp::Services,
    watched: icinga::Watched,
    orders: u64,
}

/// The second that is being written.
struct Moment {
    /// Its number since the shop opened, from 1.
    second: i64,
    /// Its end.
    time: Time,
    /// Since the shop opened.
    elapsed: Span,
}

impl Shop {
    /// Opens a shop at `start`, cut to a whole second.
    pub fn new(seed: u64, start: Time) -> Shop {
        let open = start.floor(SECOND);
        let random = Random::new(seed);
        let services = otlp::Services::new(open);
        Shop { open, seed, seconds: 0, random, services, watched: icinga::Watched::new(), orders: 100_000 }
    }

    /// When it opened: the schedule runs from here.
    pub fn open(&self) -> Time {
        self.open
    }

    /// What was written in this time before the shop opened, in the order of its time.
    pub fn past(&self, lasts: Span) -> impl Iterator<Item = Output> + use<> {
        sales::past(self.seed, self.open, lasts)
    }

    /// What the producers have written since the last step, up to `until`, in the order of its time.
    /// Seconds are written whole.
    pub fn step(&mut self, until: Time) -> Vec<Output> {
        let mut outputs = Vec::new();
        loop {
            let second = self.seconds + 1;
            let elapsed = SECOND.times(second);
            let moment = Moment { second, time: self.open + elapsed, elapsed };
            if moment.time > until {
                return outputs;
            }
            let first = outputs.len();
            telegraf::write(&moment, &mut self.random, &mut outputs);
            self.services.write(&moment, &mut self.random, &mut outputs);
            journal::write(&moment, &mut self.orders, &mut self.random, &mut outputs);
            self.watched.write(&moment, &mut self.random, &mut outputs);
            sales::write(&moment, self.seed, &mut outputs);
            outputs[first..].sort_by_key(|output| output.time);
            self.seconds = second;
        }
    }
}

impl Moment {
    /// How far a fault has come; nothing while all is well.
    fn progress(&self, fault: Fault) -> Option<f64> {
        schedule::progress(fault, self.elapsed)
    }

    fn broken(&self, fault: Fault) -> bool {
        self.progress(fault).is_some()
    }

    /// Some instant within the second, to the millisecond.
    fn within(&self, random: &mut Random) -> Time {
        self.time - Span::from_millis(random.below(1000) as i64)
    }
}
