//! librdkafka's mock cluster, for the demo and for tests without a broker.
//!
//! It holds about 5 MB of each partition, finds no offsets by time, and forgets all when it ends.

use crossbeam_channel::{Receiver, Sender, bounded};
use fetch::Error;
use rdkafka::mocking::MockCluster;

/// A broker inside this process. It ends when this is dropped.
pub struct Embedded {
    brokers: String,
    _alive: Sender<()>,
}

impl Embedded {
    /// Starts it with these topics, each with its number of partitions.
    pub fn start(topics: &[(&str, i32)]) -> Result<Embedded, crate::Error> {
        let topics: Vec<(String, i32)> = topics.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let (alive, ended) = bounded(0);
        let (tell, hear) = bounded(1);
        // The cluster may not leave the thread that made it; an `Embedded` may go anywhere.
        let thread = std::thread::Builder::new().name("embedded-kafka".to_owned());
        thread.spawn(move || serve(&topics, &tell, &ended)).map_err(|e| Error::Client(e.to_string()))?;
        let brokers = hear.recv().unwrap_or_else(|_| Err(Error::Client("the embedded broker ended".to_owned())))?;
        Ok(Embedded { brokers, _alive: alive })
    }

    /// Where it answers: host and port.
    pub fn brokers(&self) -> String {
        self.brokers.clone()
    }
}

fn serve(topics: &[(String, i32)], started: &Sender<Result<String, Error>>, ended: &Receiver<()>) {
    let cluster = MockCluster::new(1).and_then(|cluster| {
        topics.iter().try_for_each(|(name, count)| cluster.create_topic(name, *count, 1))?;
        Ok(cluster)
    });
    let cluster = match cluster {
        Ok(cluster) => cluster,
        Err(e) => {
            let _ = started.send(Err(Error::Client(e.to_string())));
            return;
        }
    };
    let _ = started.send(Ok(cluster.bootstrap_servers()));
    // Returns when the other end is dropped.
    let _ = ended.recv();
}
