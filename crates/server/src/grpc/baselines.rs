//! Baselines: what streams are expected to be, and what came of it for each of their instances.

use super::convert::{self, timestamp};
use super::page::{self, Page};
use crate::view::{BaselineInstanceView, BaselineView, ReadingView, View};
use api::v1;
use model::definition::{Learner, OnlineModel, Window};
use model::{Band, Labels};
use std::collections::BTreeMap;
use tonic::Status;

/// Where a page ends: baseline, sources, labels.
type Place = (String, Vec<String>, BTreeMap<String, String>);

pub(super) fn list(view: &View, mut request: v1::ListBaselinesRequest) -> Result<v1::ListBaselinesResponse, Status> {
    let token = std::mem::take(&mut request.page_token);
    let mut page: Page<v1::BaselineInstance> = Page::new(std::mem::take(&mut request.page_size));
    let scope = page::scope("ListBaselines", &request);
    let bad = |_| page::bad_token();
    let resumed = page::key(scope, &token)?.map(|key| serde_json::from_str::<Place>(&key).map_err(bad)).transpose()?;

    let v1::ListBaselinesRequest { baseline: named, labels, with_error, .. } = &request;
    let name = |shown: &BaselineView| view.definitions().baselines[shown.definition].name.clone();
    let mut wanted = view.baselines();
    wanted.retain(|shown| named.is_empty() || *name(shown) == **named);
    if wanted.is_empty() && !named.is_empty() {
        return Err(Status::not_found(format!("there is no baseline `{named}`")));
    }
    let baselines = wanted.iter().map(|shown| baseline(view, shown)).collect();
    if named.is_empty() && labels.is_empty() && !with_error {
        return Ok(v1::ListBaselinesResponse { baselines, ..v1::ListBaselinesResponse::default() });
    }

    let passes = |shown: &BaselineInstanceView| {
        let has = |(name, value): (&String, &String)| shown.labels.get(name).is_some_and(|found| **found == **value);
        (!with_error || shown.error.is_some()) && labels.iter().all(has)
    };
    let mut next_page_token = String::new();
    'pages: for of in &wanted {
        let Some(key) = of.key else { continue };
        let (name, sources) = (name(of).to_string(), texts(&of.sources));
        let mut after = None;
        if let Some((resumed_name, resumed_sources, resumed_labels)) = &resumed {
            match (&name, &sources).cmp(&(resumed_name, resumed_sources)) {
                std::cmp::Ordering::Less => continue,
                std::cmp::Ordering::Equal => after = Some(Labels::new(resumed_labels.clone())),
                std::cmp::Ordering::Greater => {}
            }
        }
        loop {
            let chunk = view.baseline_instances(key, after.as_ref(), page::CHUNK);
            let window = &view.definitions().baselines[of.definition].window;
            for shown in chunk.iter().filter(|shown| passes(shown)) {
                if page.full() {
                    let last = page.entries.last().map(|last| (&last.baseline, &last.sources, &last.labels));
                    next_page_token = page::token(scope, &serde_json::json!(last).to_string());
                    break 'pages;
                }
                page.push(instance(&name, &sources, window, shown));
            }
            match chunk.last() {
                Some(last) if chunk.len() == page::CHUNK => after = Some(last.labels.clone()),
                _ => break,
            }
        }
    }
    Ok(v1::ListBaselinesResponse { baselines, instances: page.entries, next_page_token })
}

fn baseline(view: &View, shown: &BaselineView) -> v1::Baseline {
    let definitions = view.definitions();
    let definition = &definitions.baselines[shown.definition];
    let stream = definitions.streams.get(definition.stream);
    let mut message = v1::Baseline {
        name: definition.name.to_string(),
        stream: stream.map_or_else(String::new, |stream| stream.name.to_string()),
        window: definition.window.to_string(),
        downsample: definition.downsample.to_string(),
        zone: definition.zone.to_string(),
        sources: texts(&shown.sources),
        kept_from: shown.kept_from.map(timestamp),
        instances: shown.instances as u64,
        with_band: shown.with_band as u64,
        with_error: shown.with_error as u64,
        ..v1::Baseline::default()
    };
    match &definition.learner {
        Learner::Function(of) => {
            message.function = of.function.to_string();
            message.period = Some(convert::duration(of.period));
            message.train = Some(convert::duration(of.train));
            message.adapt_after = Some(convert::duration(of.adapt_after));
        }
        Learner::Online(model) => {
            message.online = true;
            message.function = match model {
                OnlineModel::Deviation { .. } => "deviation",
                OnlineModel::Novelty => "novelty",
            }
            .to_owned();
        }
    }
    message
}

fn instance(baseline: &str, sources: &[String], window: &Window, shown: &BaselineInstanceView) -> v1::BaselineInstance {
    let BaselineInstanceView { labels, since, band: in_force, asked, error, newest } = shown;
    // The function is asked ahead about the batch that comes next. It follows on the newest one, unless there was
    // silence in between, or the clock was set.
    let batch_start = newest.as_ref().zip(*asked).and_then(|(newest, asked)| match window {
        _ if newest.end == asked => Some(newest.start),
        Window::Batching { size, .. } if newest.end + *size == asked => Some(newest.end),
        _ => None,
    });
    v1::BaselineInstance {
        baseline: baseline.to_owned(),
        sources: sources.to_vec(),
        labels: convert::labels(labels),
        since: Some(timestamp(*since)),
        band: in_force.as_ref().map(band),
        band_start: batch_start.map(timestamp),
        band_end: asked.map(timestamp),
        newest: newest.as_ref().map(reading),
        error: error.as_ref().map(convert::error),
    }
}

fn reading(shown: &ReadingView) -> v1::BaselineReading {
    let ReadingView { start, end, count, value, incomplete, reading } = shown;
    v1::BaselineReading {
        start: Some(timestamp(*start)),
        end: Some(timestamp(*end)),
        count: *count,
        value: *value,
        band: reading.as_ref().map(|reading| band(&reading.band)),
        deviation: reading.as_ref().zip(*value).map(|(reading, value)| reading.band.deviation(value)),
        score: reading.as_ref().and_then(|reading| reading.score),
        stale: reading.as_ref().is_some_and(|reading| reading.stale),
        incomplete: *incomplete,
    }
}

fn band(band: &Band) -> v1::Band {
    v1::Band { average: band.average, lower: band.lower, higher: band.higher }
}

fn texts(texts: &[std::sync::Arc<str>]) -> Vec<String> {
    texts.iter().map(|text| text.to_string()).collect()
}
