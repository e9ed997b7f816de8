//! A running `vitalsign` that is asked over gRPC, for the workloads that look at it from that side.

use crate::failure::Failure;
use crate::process::Process;
use crate::systems::{self, SYSTEMS, Task};
use crate::workload::Workload;
use api::v1::engine_client::EngineClient;
use api::v1::health_client::HealthClient;
use api::v1::{GetElementRequest, ListSourcesRequest, State};
use std::net::TcpListener;
use std::path::Path;
use tonic::transport::{Channel, Endpoint};

/// A server, and where it answers.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: String,
}

/// What a server is started on.
pub(crate) struct On<'a> {
    pub(crate) brokers: &'a str,
    pub(crate) input: &'a str,
    pub(crate) output: &'a str,
    pub(crate) workload: Workload,
    /// Holds the store: a second start goes on where the first one was.
    pub(crate) folder: &'a Path,
    pub(crate) log: &'a Path,
}

impl Server {
    /// Starts one on the configuration of W3.
    pub(crate) fn start(on: &On<'_>) -> Result<Server, Failure> {
        let On { brokers, input, output, workload, folder, log } = *on;
        let listen = free_address()?;
        let (id, heap, configuration) = ("", "", "w3.yaml");
        let (windows, lives, listen_on) = (None, true, &*listen);
        let task = Task {
            brokers,
            id,
            input,
            output,
            workload,
            windows,
            folder,
            heap,
            lives,
            listen: listen_on,
            configuration,
        };
        let process = Process::start(systems::command(&SYSTEMS[0], &task)?, log)?;
        Ok(Server { process, address: format!("http://{listen}") })
    }

    /// A connection, which is made when it is needed first.
    pub(crate) fn channel(&self) -> Result<Channel, Failure> {
        let endpoint = Endpoint::from_shared(self.address.clone()).map_err(|e| Failure::at(&self.address, e))?;
        Ok(endpoint.connect_lazy())
    }
}

/// An address of this machine that nobody listens on.
pub(crate) fn free_address() -> Result<String, Failure> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.map(|address| address.to_string()).map_err(|e| Failure::at("a free port", e))
}

/// How many records a server had read at its last commit.
pub(crate) fn records(listen: &str) -> Result<u64, Failure> {
    let place = || format!("gRPC at {listen}");
    let answer = runtime()?.block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{listen}")).map_err(|e| Failure::at(place(), e))?;
        let channel = endpoint.connect().await.map_err(|e| Failure::at(place(), e))?;
        let sources = EngineClient::new(channel).list_sources(ListSourcesRequest::default()).await;
        sources.map_err(|status| Failure::at(place(), status.message()))
    });
    Ok(answer?.into_inner().sources.iter().map(|source| source.records).sum())
}

/// Whether the element's health is told, and known.
pub(crate) async fn knows(client: &mut HealthClient<Channel>, name: &str) -> bool {
    let answer = client.get_element(GetElementRequest { name: name.to_owned() }).await;
    let element = answer.ok().and_then(|answer| answer.into_inner().element);
    element.and_then(|element| element.own).is_some_and(|own| own.state() > State::Unknown)
}

/// One thread is enough to ask, and leaves the others to who answers.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Failure::at("a runtime for gRPC", e))
}
