//! gRPC: what is committed, told to whoever asks. Answers come from the read model and from history, never
//! from the engine, so a question cannot hold a step and a step cannot hold a question.

mod baselines;
mod convert;
mod engine;
mod evidence;
mod filter;
mod health;
mod page;
mod watch;

use crate::view::View;
use api::v1::engine_server::EngineServer;
use api::v1::health_server::HealthServer;
use model::{Element, Transition};
use std::fmt;
use std::future::{Future, pending};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// How long calls may go on after shutdown was asked for, before they are cut off.
const GRACE: Duration = Duration::from_secs(5);

/// How often a silent connection is asked whether its client is still there, and how long it may take to say so.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// A request holds names and filters; nothing that is asked for in earnest is larger.
const REQUEST_BYTES: usize = 256 * 1024;

/// What the services answer from.
#[derive(Debug)]
pub struct Served {
    /// What is committed, as it stands.
    pub view: View,
    /// What was.
    pub history: History,
}

type Read<A, B> = Box<dyn Fn(A) -> Result<B, String> + Send + Sync>;

/// How history is read. These calls may block; they run on threads that may.
pub struct History {
    /// The transitions of an element before this sequence number, newest first, this many at most.
    pub of_element: Read<(Element, Option<u64>, usize), Vec<Transition>>,
    /// The transition of this id.
    pub transition: Read<u128, Option<Transition>>,
}

impl History {
    /// History as a store keeps it.
    pub fn of(store: Arc<Store>) -> History {
        let other = store.clone();
        History {
            of_element: Box::new(move |(element, before, most)| {
                store.history(&element, before, most).map_err(|error| error.to_string())
            }),
            transition: Box::new(move |id| other.transition(id).map_err(|error| error.to_string())),
        }
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("History")
    }
}

/// Why gRPC cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener is of no use.
    #[error("cannot take calls on the gRPC listener: {0}")]
    Listener(#[from] std::io::Error),
    /// The server has failed.
    #[error("the gRPC server has failed: {0}")]
    Server(#[from] tonic::transport::Error),
    /// The descriptors that are built in are not what they should be.
    #[error("the gRPC descriptors cannot be reflected: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves the services of `vitalsign.v1`, `grpc.health.v1` and reflection until `shutdown`. Then watchers
/// are told that the server stops, other calls may end, and after five seconds what is left is cut off.
///
/// # Errors
/// Where the listener cannot be used, or the server fails. Nothing that a client does is an error here.
pub async fn serve(
    listener: TcpListener,
    served: Arc<Served>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    listener.set_nonblocking(true)?;
    let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener)?).with_nodelay(Some(true));
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let (reporter, health_checks) = tonic_health::server::health_reporter();
    let runs = *served.view.running().borrow();
    report(&reporter, runs).await;

    let descriptors = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(api::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let health = health::HealthService::new(served.clone(), stopping.clone());
    let engine = engine::EngineService::new(served.clone());
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .add_service(HealthServer::new(health).max_decoding_message_size(REQUEST_BYTES))
        .add_service(EngineServer::new(engine).max_decoding_message_size(REQUEST_BYTES))
        .add_service(health_checks)
        .add_service(descriptors().build_v1()?)
        .add_service(descriptors().build_v1alpha()?)
        .serve_with_incoming_shutdown(incoming, stopped(stopping));

    tokio::select! {
        ended = server => Ok(ended?),
        () = async {
            shutdown.await;
            stop.send_replace(true);
            tokio::time::sleep(GRACE).await;
        } => Ok(()),
        () = report_changes(&reporter, &served.view) => Ok(()),
    }
}

/// Ends when the server is to stop; a server that is gone has stopped.
async fn stopped(mut stopping: tokio::sync::watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

async fn report_changes(reporter: &HealthReporter, view: &View) {
    let mut running = view.running();
    loop {
        let runs = *running.borrow_and_update();
        report(reporter, runs).await;
        if running.changed().await.is_err() {
            return pending().await;
        }
    }
}

async fn report(reporter: &HealthReporter, runs: bool) {
    let status = if runs { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in ["", "vitalsign.v1.Health", "vitalsign.v1.Engine"] {
        reporter.set_service_status(service, status).await;
    }
}
