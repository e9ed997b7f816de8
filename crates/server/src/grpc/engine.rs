//! The service `Engine`: checks, streams, baselines, sources.

use super::filter::{self, States};
use super::health::no_element;
use super::page::{self, Page};
use super::{Served, baselines, convert};
use api::v1;
use engine::state::CheckKey;
use model::{Element, Labels};
use std::sync::Arc;
use tonic::{Request, Response, Status};

pub(super) struct EngineService {
    served: Arc<Served>,
}

impl EngineService {
    pub(super) fn new(served: Arc<Served>) -> EngineService {
        EngineService { served }
    }
}

#[tonic::async_trait]
impl v1::engine_server::Engine for EngineService {
    async fn list_checks(
        &self,
        request: Request<v1::ListChecksRequest>,
    ) -> Result<Response<v1::ListChecksResponse>, Status> {
        let mut request = request.into_inner();
        let token = std::mem::take(&mut request.page_token);
        let mut page: Page<v1::Check> = Page::new(std::mem::take(&mut request.page_size));
        let scope = page::scope("ListChecks", &request);
        let view = &self.served.view;
        let states = States::parse("states", &request.states)?;
        let element = match request.element.as_str() {
            "" => None,
            name => Some(filter::element("element", name)?),
        };
        if let Some(element) = &element
            && view.element(element).is_none()
        {
            return Err(no_element(element));
        }
        let first =
            |element: &Element| CheckKey { element: element.clone(), check: "".into(), labels: Labels::default() };
        let mut after = match page::key(scope, &token)? {
            Some(key) => Some(check_key(&key)?),
            None => element.as_ref().map(first),
        };
        let mut next_page_token = String::new();
        'pages: loop {
            let chunk = view.checks(after.as_ref(), page::CHUNK);
            for (key, check) in &chunk {
                if element.as_ref().is_some_and(|element| *element != key.element) {
                    break 'pages;
                }
                let wanted = (request.check.is_empty() || *key.check == *request.check)
                    && states.hold(check.state)
                    && (!request.with_error || check.error.is_some());
                if !wanted {
                    continue;
                }
                if page.full() {
                    next_page_token = page.entries.last().map_or_else(String::new, |last| {
                        let key = serde_json::json!([last.element, last.check, last.labels]);
                        page::token(scope, &key.to_string())
                    });
                    break 'pages;
                }
                page.push(convert::check(key, check));
            }
            match chunk.last() {
                Some((last, _)) if chunk.len() == page::CHUNK => after = Some(last.clone()),
                _ => break,
            }
        }
        Ok(Response::new(v1::ListChecksResponse { checks: page.entries, next_page_token }))
    }

    async fn list_streams(
        &self,
        request: Request<v1::ListStreamsRequest>,
    ) -> Result<Response<v1::ListStreamsResponse>, Status> {
        let mut request = request.into_inner();
        let token = std::mem::take(&mut request.page_token);
        let mut page: Page<v1::Instance> = Page::new(std::mem::take(&mut request.page_size));
        let scope = page::scope("ListStreams", &request);
        let after = page::key(scope, &token)?.map(|key| instance_key(&key)).transpose()?;
        let view = &self.served.view;
        let definitions = view.definitions();
        let named = &*request.stream;
        let mut streams: Vec<v1::Stream> = definitions
            .streams
            .iter()
            .filter(|stream| named.is_empty() || *stream.name == *named)
            .map(|stream| v1::Stream {
                name: stream.name.to_string(),
                source: definitions
                    .sources
                    .get(stream.source)
                    .map_or_else(String::new, |source| source.name.to_string()),
                each: stream.each.iter().map(|label| label.to_string()).collect(),
                instances: view.instance_count(&stream.name) as u64,
            })
            .collect();
        streams.sort_by(|one, other| one.name.cmp(&other.name));
        let mut next_page_token = String::new();
        if !named.is_empty() {
            if streams.is_empty() {
                return Err(Status::not_found(format!("there is no stream `{named}`")));
            }
            for shown in view.instances(named, after.as_ref(), page.room() + 1) {
                if page.full() {
                    let last = page.entries.last().map(|last| serde_json::json!(last.labels).to_string());
                    next_page_token = page::token(scope, &last.unwrap_or_default());
                    break;
                }
                page.push(convert::instance(view, &shown));
            }
        }
        Ok(Response::new(v1::ListStreamsResponse { streams, instances: page.entries, next_page_token }))
    }

    async fn list_baselines(
        &self,
        request: Request<v1::ListBaselinesRequest>,
    ) -> Result<Response<v1::ListBaselinesResponse>, Status> {
        baselines::list(&self.served.view, request.into_inner()).map(Response::new)
    }

    async fn list_sources(
        &self,
        request: Request<v1::ListSourcesRequest>,
    ) -> Result<Response<v1::ListSourcesResponse>, Status> {
        let named = request.into_inner().source;
        let view = &self.served.view;
        let mut wanted: Vec<_> = view.definitions().sources.iter().collect();
        wanted.retain(|source| named.is_empty() || *source.name == *named);
        wanted.sort_by(|one, other| one.name.cmp(&other.name));
        if wanted.is_empty() && !named.is_empty() {
            return Err(Status::not_found(format!("there is no source `{named}`")));
        }
        let sources = wanted.into_iter().map(|source| convert::source(source, &view.source(&source.name))).collect();
        Ok(Response::new(v1::ListSourcesResponse { sources }))
    }
}

type LabelMap = std::collections::BTreeMap<String, String>;

fn check_key(key: &str) -> Result<CheckKey, Status> {
    let (element, check, labels): (String, String, LabelMap) =
        serde_json::from_str(key).map_err(|_| page::bad_token())?;
    Ok(CheckKey { element: Element::parse(&element), check: check.into(), labels: Labels::new(labels) })
}

fn instance_key(key: &str) -> Result<Labels, Status> {
    serde_json::from_str::<LabelMap>(key).map(Labels::new).map_err(|_| page::bad_token())
}
