//! Asks who leads what: any broker knows it.

use crate::connection::{self, Address, Connection, Fault, limited};
use crate::messages::{self, METADATA, Metadata};
use crate::properties::Settings;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The longest wait for an answer to a question.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// A connection to any broker, once one has answered.
#[derive(Default)]
pub(crate) struct Asking(Option<Connection>);

impl Asking {
    /// Asks any broker: the one that answered last, then all that are known. Topics that do not exist are made by
    /// brokers that do so, where `make` says it.
    pub(crate) async fn metadata(
        &mut self,
        settings: &Settings,
        known: &BTreeMap<i32, Address>,
        topics: &[Arc<str>],
        make: bool,
    ) -> Result<Metadata, Fault> {
        if let Some(connection) = self.0.take_if(|connection| !connection.expired())
            && let Ok(metadata) = self.ask(connection, topics, make).await
        {
            return Ok(metadata);
        }
        let mut last = Fault("no broker is known".to_owned());
        let others = settings.brokers.iter().filter(|address| !known.values().any(|known| known == *address));
        for address in known.values().chain(others) {
            match connection::open(settings, address).await {
                Ok(connection) => match self.ask(connection, topics, make).await {
                    Ok(metadata) => return Ok(metadata),
                    Err(fault) => last = fault,
                },
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    async fn ask(&mut self, mut connection: Connection, topics: &[Arc<str>], make: bool) -> Result<Metadata, Fault> {
        let call = connection.call(
            &METADATA,
            |writer, version| messages::write_metadata(writer, version, topics.iter(), make),
            messages::read_metadata,
        );
        let answer = limited(ANSWER, "there is no answer", call).await;
        let metadata = answer.map_err(|fault| connection.of_broker(&fault))?;
        self.0 = Some(connection);
        Ok(metadata)
    }
}

/// Where brokers are, by their numbers.
pub(crate) fn brokers(metadata: &Metadata) -> BTreeMap<i32, Address> {
    let address = |(node, host, port): &(i32, String, i32)| {
        Some((*node, Address { host: host.clone(), port: u16::try_from(*port).ok()? }))
    };
    metadata.brokers.iter().filter_map(address).collect()
}
