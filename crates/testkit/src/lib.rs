//! A real Apache Kafka for tests: one node in KRaft mode on 127.0.0.1.
//!
//! The mock cluster inside librdkafka knows no offsets by time, no deleted records, no transactions and no
//! restart; what depends on these is tested against the real thing. Java 17 and Maven are all it needs: Maven
//! fetches the broker once, into a cache folder.
//!
//! `VITALSIGN_TEST_BROKERS` names another broker to use instead; then nothing is started.

mod broker;
mod installation;
mod listeners;

pub use broker::Broker;
pub use listeners::{Listener, PASSWORD, USER};

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The broker that all tests of this process share, started by the first who asks. It ends with the process.
pub fn broker() -> &'static Broker {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    SHARED.get_or_init(Broker::start)
}

/// A name for a topic or a group that no other test, process or earlier run has used.
pub fn unique(name: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    format!("{name}-{now_ms:x}-{}-{count}", std::process::id())
}
