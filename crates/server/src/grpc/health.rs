//! The service `Health`: elements, changes, history.

use super::filter::{self, Filter};
use super::page::{self, Page};
use super::{Served, convert, evidence, watch};
use api::v1;
use model::transition::{Cause, Health};
use model::{Element, Transition};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// How many watchers there may be at once.
const WATCHERS: usize = 1000;

/// How far back the transition that another one follows from is looked for.
const ORIGIN_DEPTH: usize = 1000;

pub(super) struct HealthService {
    served: Arc<Served>,
    stopping: tokio::sync::watch::Receiver<bool>,
    places: Arc<Semaphore>,
}

impl HealthService {
    pub(super) fn new(served: Arc<Served>, stopping: tokio::sync::watch::Receiver<bool>) -> HealthService {
        HealthService { served, stopping, places: Arc::new(Semaphore::new(WATCHERS)) }
    }

    /// Reads history where blocking is allowed.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Served) -> Result<T, String> + Send + 'static,
    ) -> Result<T, Status> {
        let served = self.served.clone();
        match tokio::task::spawn_blocking(move || read(&served)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(Status::unavailable(format!("history cannot be read: {error}"))),
            Err(_) => Err(Status::internal("reading history has failed")),
        }
    }
}

#[tonic::async_trait]
impl v1::health_server::Health for HealthService {
    async fn get_element(
        &self,
        request: Request<v1::GetElementRequest>,
    ) -> Result<Response<v1::GetElementResponse>, Status> {
        let element = filter::element("name", &request.get_ref().name)?;
        let view = &self.served.view;
        let shown = view.element(&element).ok_or_else(|| no_element(&element))?;
        let checks = view.checks_of(&element);
        let checks = checks.iter().map(|(key, check)| convert::check(key, check)).collect();
        Ok(Response::new(v1::GetElementResponse { element: Some(convert::element(&shown)), checks }))
    }

    async fn list_elements(
        &self,
        request: Request<v1::ListElementsRequest>,
    ) -> Result<Response<v1::ListElementsResponse>, Status> {
        let mut request = request.into_inner();
        let token = std::mem::take(&mut request.page_token);
        let mut page = Page::new(std::mem::take(&mut request.page_size));
        let scope = page::scope("ListElements", &request);
        let filter = Filter::parse(request.filter)?;
        let mut after = page::key(scope, &token)?.map(|key| Element::parse(&key));
        let mut next_page_token = String::new();
        'pages: loop {
            let chunk = self.served.view.elements(after.as_ref(), page::CHUNK);
            for shown in &chunk {
                if !filter.passes(shown) {
                    continue;
                }
                if page.full() {
                    // Not from `after`, which may lie before the last entry.
                    next_page_token = page.entries.last().map_or_else(String::new, last_key(scope));
                    break 'pages;
                }
                page.push(convert::element(shown));
            }
            match chunk.last() {
                Some(last) if chunk.len() == page::CHUNK => after = Some(last.element.clone()),
                _ => break,
            }
        }
        Ok(Response::new(v1::ListElementsResponse { elements: page.entries, next_page_token }))
    }

    type WatchStream = ReceiverStream<watch::Sent>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let filter = Filter::parse(request.filter)?;
        let place = self.places.clone().try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("there are {WATCHERS} watchers already, which is as many as are served"))
        })?;
        let (events, told) = mpsc::channel(watch::WAITING);
        tokio::spawn(watch::run(watch::Watcher {
            served: self.served.clone(),
            filter,
            after: request.after_sequence,
            events,
            stopping: self.stopping.clone(),
            place,
        }));
        Ok(Response::new(ReceiverStream::new(told)))
    }

    async fn get_history(
        &self,
        request: Request<v1::GetHistoryRequest>,
    ) -> Result<Response<v1::GetHistoryResponse>, Status> {
        let mut request = request.into_inner();
        let token = std::mem::take(&mut request.page_token);
        let mut page = Page::new(std::mem::take(&mut request.page_size));
        let scope = page::scope("GetHistory", &request);
        let element = filter::element("name", &request.name)?;
        let before = match page::key(scope, &token)? {
            Some(key) => Some(key.parse().map_err(|_| page::bad_token())?),
            None => None,
        };
        let (asked, wanted) = (element.clone(), page.room() + 1);
        let found = self.read(move |served| (served.history.of_element)((asked, before, wanted))).await?;
        if found.is_empty() && before.is_none() && self.served.view.element(&element).is_none() {
            return Err(no_element(&element));
        }
        let mut next_page_token = String::new();
        for transition in &found {
            if page.full() {
                let last = page.entries.last().map_or(0, |last: &v1::Transition| last.sequence);
                next_page_token = page::token(scope, &last.to_string());
                break;
            }
            page.push(convert::transition(transition));
        }
        Ok(Response::new(v1::GetHistoryResponse { transitions: page.entries, next_page_token }))
    }

    async fn explain_transition(
        &self,
        request: Request<v1::ExplainTransitionRequest>,
    ) -> Result<Response<v1::ExplainTransitionResponse>, Status> {
        let text = request.into_inner().id;
        let id = parse_id(&text)?;
        let found = self
            .read(move |served| match (served.history.transition)(id)? {
                Some(transition) => {
                    let origin = origin(served, &transition)?;
                    Ok(Some((transition, origin)))
                }
                None => Ok(None),
            })
            .await?;
        let (transition, origin) = found.ok_or_else(|| {
            Status::not_found(format!("history holds no transition of id {text}; it may have held it once"))
        })?;
        Ok(Response::new(v1::ExplainTransitionResponse {
            transition: Some(convert::transition(&transition)),
            evidence_json: transition.evidence.to_string(),
            evidence: evidence::parse(&transition.evidence),
            origin: origin.as_ref().map(convert::transition),
        }))
    }
}

/// The transition of its cause that a transition of propagated health follows from.
fn origin(served: &Served, of: &Transition) -> Result<Option<Transition>, String> {
    let Cause::Element(cause) = &of.cause else { return Ok(None) };
    let health = if *cause == of.element { Health::Own } else { Health::Propagated };
    let candidates = (served.history.of_element)((cause.clone(), None, ORIGIN_DEPTH))?;
    // Not by sequence number: at one instant elements are numbered by name, and not cause first.
    Ok(candidates.into_iter().find(|found| found.health == health && found.to == of.to && found.time <= of.time))
}

fn parse_id(text: &str) -> Result<u128, Status> {
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(text, 16)
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| Status::invalid_argument(format!("id is `{text}`, where 32 hexadecimal digits are wanted")))
}

pub(super) fn no_element(element: &Element) -> Status {
    Status::not_found(format!("there is no element `{element}`"))
}

fn last_key(scope: u64) -> impl Fn(&v1::Element) -> String {
    move |last| page::token(scope, &last.name)
}
