//! A server on a free port of this machine, and a small world whose commits are written as text.
#![allow(dead_code)] // Each test file takes what it needs.

use api::v1;
use api::v1::engine_client::EngineClient;
use api::v1::health_client::HealthClient;
use api::v1::watch_event::Event;
use engine::state::{Change, ElementRecord, Restored, Standing};
use model::definition::Definitions;
use model::transition::{Cause, Health};
use model::{Element, Labels, Span, State, Time, Transition};
use server::grpc::{Error, History, Served, serve};
use server::view::{Feed, View};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Durability, Options, Store};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

/// When the world begins. Each change is a second later than the one before.
pub(crate) const BEGINNING: Time = Time::from_nanos(1_767_225_600_000_000_000);

/// What has been committed, from the engine's side. Its store lasts as long as its folder.
pub(crate) struct World {
    pub(crate) served: Arc<Served>,
    store: Arc<Store>,
    sequence: u64,
    elements: BTreeMap<Element, ElementRecord>,
    folder: Arc<TempDir>,
}

/// A world with a server.
pub(crate) struct Rig {
    pub(crate) world: World,
    pub(crate) endpoint: Endpoint,
    pub(crate) channel: Channel,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), Error>>,
}

impl World {
    pub(crate) fn new(definitions: Definitions, feeds: Vec<Feed>, recent_changes: usize) -> World {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        World::open(folder, definitions, feeds, recent_changes)
    }

    fn open(folder: Arc<TempDir>, definitions: Definitions, feeds: Vec<Feed>, recent_changes: usize) -> World {
        let options = Options {
            path: folder.path().join("state"),
            durability: Durability::Process,
            history: Span::from_secs(3600),
            memory_bytes: 16 << 20,
            keep_journal: false,
        };
        let store = Arc::new(Store::open(&options).expect("a store"));
        let restored = store.restore().expect("what it holds");
        let view = View::new(Arc::new(definitions), feeds, &restored, recent_changes);
        view.recall(&store).expect("its last changes");
        World {
            served: Arc::new(Served { view, history: History::of(store.clone()) }),
            store,
            sequence: restored.sequence,
            elements: restored.elements.into_iter().collect(),
            folder,
        }
    }

    /// The world after a restart. Nothing may hold the one before any more.
    pub(crate) fn reopen(self, recent_changes: usize) -> World {
        self.reopen_with(Definitions::default(), Vec::new(), recent_changes)
    }

    /// The same, with other definitions.
    pub(crate) fn reopen_with(self, definitions: Definitions, feeds: Vec<Feed>, recent_changes: usize) -> World {
        let World { served, store, folder, .. } = self;
        drop((served, store));
        World::open(folder, definitions, feeds, recent_changes)
    }

    /// What a step comes to, one change for each line:
    /// `born NAME | TYPE | LABEL=VALUE ...`, `own NAME | STATE | MESSAGE`, `propagated NAME | STATE | CAUSE`,
    /// `gone NAME`. As the engine does it, the records of elements follow at the end, under their last numbers.
    pub(crate) fn step(&mut self, script: &str) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut touched = Vec::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (verb, rest) = line.split_once(' ').expect("a verb and a name");
            let mut fields = rest.split('|').map(str::trim);
            let element = Element::parse(fields.next().expect("a name"));
            let mut field = || fields.next().unwrap_or_default();
            self.sequence += 1;
            let sequence = self.sequence;
            match verb {
                "born" => {
                    let (kind, labels) = (field().into(), field());
                    let labels = labels.split_whitespace().filter_map(|label| label.split_once('='));
                    let record = ElementRecord {
                        kind,
                        labels: Labels::new(labels),
                        instance: None,
                        definition: element.to_string().into(),
                        own: Standing::default(),
                        propagated: Standing::default(),
                        error: None,
                    };
                    self.elements.insert(element.clone(), record.clone());
                    changes.push(Change::Element { element, sequence, record: Some(record) });
                }
                "gone" => {
                    self.elements.remove(&element);
                    changes.push(Change::Element { element, sequence, record: None });
                }
                _ => {
                    let to: State = field().parse().expect("a state");
                    let message: Arc<str> = field().into();
                    let time = BEGINNING + Span::from_secs(sequence as i64);
                    let record = self.elements.get_mut(&element).expect("an element that is there");
                    let (health, standing, cause) = match verb {
                        "own" => {
                            let cause = Cause::Check {
                                check: "slow responses".into(),
                                labels: Labels::new([("host", "web-1")]),
                            };
                            (Health::Own, &mut record.own, cause)
                        }
                        _ => (Health::Propagated, &mut record.propagated, Cause::Element(Element::parse(&message))),
                    };
                    let since = Some(time);
                    let from =
                        std::mem::replace(standing, Standing { state: to, since, sequence, message: message.clone() })
                            .state;
                    let evidence = if health == Health::Own { EVIDENCE.into() } else { "".into() };
                    let id = 0xabc0_0000 + u128::from(sequence);
                    let told = Transition {
                        id,
                        sequence,
                        element: element.clone(),
                        health,
                        time,
                        from,
                        to,
                        cause,
                        message,
                        evidence,
                    };
                    changes.push(Change::Transition(told));
                    touched.push(element);
                }
            }
        }
        for element in touched {
            if let Some(record) = self.elements.get(&element).cloned() {
                let sequence = record.own.sequence.max(record.propagated.sequence);
                changes.push(Change::Element { element, sequence, record: Some(record) });
            }
        }
        changes.push(Change::Sequence(self.sequence));
        changes
    }

    /// What a start would get.
    pub(crate) fn restored(&self) -> Restored {
        self.store.restore().expect("what it holds")
    }

    /// Commits a step: into the store, then into the view.
    pub(crate) fn commit(&mut self, script: &str) {
        let changes = self.step(script);
        self.apply(&changes);
    }

    pub(crate) fn apply(&self, changes: &[Change]) {
        self.store.commit(changes, false).expect("a commit");
        self.served.view.apply(changes);
    }
}

/// What the check of this world always sees.
const EVIDENCE: &str = r#"{"check":"slow responses","function":"threshold","script":"00000000000000ff",
    "window":{"start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:05:00Z"},
    "inputs":{"metric":{"start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:05:00Z","samples":42,"p95":412.5,
                        "baseline":{"average":200,"lower":100,"higher":300.5,"stale":true},"deviation":"inf","score":0.5},
              "recent":{"count":3,"points":[]}},
    "arguments":{"deviating":"400ms"},"detail":"p95 is over the limit"}"#;

impl Rig {
    pub(crate) async fn new() -> Rig {
        Rig::of(World::new(Definitions::default(), Vec::new(), 100)).await
    }

    pub(crate) async fn of(world: World) -> Rig {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, world.served.clone(), async {
            let _ = stopped.await;
        }));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let channel = endpoint.connect().await.expect("a connection");
        Rig { world, endpoint, channel, stop, server }
    }

    pub(crate) fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel.clone())
    }

    pub(crate) fn engine(&self) -> EngineClient<Channel> {
        EngineClient::new(self.channel.clone())
    }

    /// Watches; an answer has begun when this returns.
    pub(crate) async fn watch(
        &self,
        filter: Option<v1::ElementFilter>,
        after: Option<u64>,
    ) -> Streaming<v1::WatchEvent> {
        let request = v1::WatchRequest { filter, after_sequence: after };
        self.health().watch(request).await.expect("a stream").into_inner()
    }

    /// Stops the server, and gives back the world that it served.
    pub(crate) async fn stop(self) -> World {
        self.stop.send(()).expect("a server that runs");
        drop(self.channel);
        self.server.await.expect("no panic").expect("a clean end");
        self.world
    }
}

/// The events that come next are these, one for each line.
pub(crate) async fn told(stream: &mut Streaming<v1::WatchEvent>, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut found = Vec::new();
    while found.len() < expected.len() {
        found.push(line(&stream.message().await.expect("an event").expect("a stream that goes on")));
    }
    assert_eq!(found, expected);
}

pub(crate) fn line(event: &v1::WatchEvent) -> String {
    match event.event.as_ref().expect("an event") {
        Event::SnapshotBegin(begin) => format!("begin {}{}", begin.sequence, if begin.fresh { " fresh" } else { "" }),
        Event::Element(element) => show(element),
        Event::SnapshotEnd(end) => format!("end {}", end.sequence),
        Event::Resumed(resumed) => format!("resumed {}", resumed.sequence),
        Event::Changed(changed) => {
            let element = show(changed.element.as_ref().expect("an element"));
            match &changed.transition {
                Some(of) => format!("{}: {element} by {}", changed.sequence, transition(of)),
                None => format!("{}: {element}", changed.sequence),
            }
        }
        Event::Removed(removed) if removed.filtered => {
            format!("{}: {} no longer passes", removed.sequence, removed.name)
        }
        Event::Removed(removed) => format!("{}: {} is gone", removed.sequence, removed.name),
    }
}

/// `checkout CLEAR/UNKNOWN`: own and propagated.
pub(crate) fn show(element: &v1::Element) -> String {
    let state = |standing: &Option<v1::Standing>| name(standing.as_ref().expect("a standing").state());
    format!("{} {}/{}", element.name, state(&element.own), state(&element.propagated))
}

/// `own CLEAR -> CRITICAL`.
pub(crate) fn transition(of: &v1::Transition) -> String {
    let health = of.health().as_str_name().trim_start_matches("HEALTH_KIND_").to_lowercase();
    format!("{health} {} -> {}", name(of.from()), name(of.to()))
}

pub(crate) fn name(state: v1::State) -> &'static str {
    state.as_str_name().trim_start_matches("STATE_")
}

/// The call is refused with this code, and says so.
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, words: &str) {
    let status = answer.expect_err("a refusal");
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(words), "{status}");
}
