//! What an administrator does before a simulation or a test: looking for topics and making them.

use crate::connection::{Voice, client, settings};
use crate::{Connection, Error};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// For each topic whether it exists.
pub fn topics_exist(connection: &Connection, topics: &[&str]) -> Result<Vec<bool>, Error> {
    let failed = |reason: String| Error::Admin { action: format!("look for {}", listed(topics)), reason };
    let admin = admin(connection)?;
    // All topics at once: asking for one by name would make it, where the cluster makes topics on demand.
    let metadata = admin.inner().fetch_metadata(None, TIMEOUT).map_err(|e| failed(e.to_string()))?;
    let exists = |topic: &&str| metadata.topics().iter().any(|found| found.name() == *topic && found.error().is_none());
    Ok(topics.iter().map(exists).collect())
}

/// Makes the topics that do not exist yet, each with its number of partitions and as many replicas as the cluster
/// has by default.
pub fn create_topics(connection: &Connection, topics: &[(&str, i32)]) -> Result<(), Error> {
    let names: Vec<&str> = topics.iter().map(|(name, _)| *name).collect();
    let failed = |reason: String| Error::Admin { action: format!("create {}", listed(&names)), reason };
    let admin = admin(connection)?;
    let new: Vec<NewTopic<'_>> =
        topics.iter().map(|(name, partitions)| NewTopic::new(name, *partitions, TopicReplication::Fixed(-1))).collect();
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
    let results = wait(admin.create_topics(&new, &options)).map_err(|e| failed(e.to_string()))?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(failed(format!("{topic}: {code}"))),
        }
    }
    Ok(())
}

fn admin(connection: &Connection) -> Result<AdminClient<Voice>, Error> {
    Ok(client(&settings(connection, &[], &[], &[])?)?)
}

fn listed(topics: &[&str]) -> String {
    format!("topics {}", topics.join(", "))
}

/// Blocks until the future is ready. rdkafka's administrator answers by futures; nothing else here does, and an
/// executor for it would be a dependency.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
