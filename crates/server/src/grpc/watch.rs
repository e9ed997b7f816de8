//! One watcher: a task that goes from commit to commit at the pace of its client. It holds nothing that
//! others wait for; where it is too slow, what it wants next is gone, and it is told so.

use super::filter::Filter;
use super::{Served, convert, stopped};
use crate::view::{Commit, Next, Start};
use api::v1;
use api::v1::watch_event::Event;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tonic::Status;

/// How many events wait for a client that is busy, beside what the transport takes.
pub(super) const WAITING: usize = 16;

/// What a watcher is told.
pub(super) type Sent = Result<v1::WatchEvent, Status>;

/// A watcher at the start of its task.
pub(super) struct Watcher {
    pub(super) served: Arc<Served>,
    pub(super) filter: Filter,
    pub(super) after: Option<u64>,
    pub(super) events: mpsc::Sender<Sent>,
    pub(super) stopping: watch::Receiver<bool>,
    /// Its place among the watchers, which it gives back at its end.
    pub(super) place: OwnedSemaphorePermit,
}

/// Why a watcher ends.
enum End {
    /// Its client has gone.
    Gone,
    /// It is told why.
    Told(Status),
}

/// Feeds a watcher until its end.
pub(super) async fn run(watcher: Watcher) {
    let stopping = watcher.stopping.clone();
    let end = tokio::select! {
        end = feed(&watcher) => end,
        () = watcher.events.closed() => End::Gone,
        () = stopped(stopping) => End::Told(Status::unavailable("the server is stopping: watch again from the last sequence number")),
    };
    if let End::Told(status) = end {
        // A client that is gone, or has no room while the server stops, is not told.
        tokio::select! {
            _ = watcher.events.send(Err(status)) => {}
            () = watcher.events.closed() => {}
        }
    }
    drop(watcher.place);
}

async fn feed(watcher: &Watcher) -> End {
    match follow(watcher).await {
        Ok(never) => match never {},
        Err(end) => end,
    }
}

async fn follow(watcher: &Watcher) -> Result<std::convert::Infallible, End> {
    let view = &watcher.served.view;
    // Before the start is taken: a commit between the two is then one that wakes.
    let mut commits = view.commits();
    let (mut seen, mut next, mut resumed) = match view.start(watcher.after) {
        Start::Snapshot { sequence, elements, next } => {
            let fresh = watcher.after.is_some();
            send(watcher, Event::SnapshotBegin(v1::SnapshotBegin { sequence, fresh })).await?;
            for shown in elements {
                if watcher.filter.passes(&shown) {
                    send(watcher, Event::Element(convert::element(&shown))).await?;
                }
            }
            send(watcher, Event::SnapshotEnd(v1::SnapshotEnd { sequence })).await?;
            (sequence, next, false)
        }
        Start::Resumed { next } => {
            let sequence = watcher.after.unwrap_or_default();
            send(watcher, Event::Resumed(v1::Resumed { sequence })).await?;
            (sequence, next, true)
        }
    };
    loop {
        match view.commit(next) {
            Next::Commit(commit) => {
                // Only the first commit of one that resumes may hold what it has seen.
                let skipped = if resumed { seen } else { 0 };
                tell(watcher, &commit, skipped).await?;
                resumed = false;
                seen = commit.sequence;
                next += 1;
            }
            Next::Nothing => {
                if commits.changed().await.is_err() {
                    return Err(End::Gone);
                }
            }
            Next::Lost => {
                return Err(End::Told(Status::resource_exhausted(format!(
                    "this watcher reads too slowly: changes after sequence number {seen} are no longer held for it; watch again"
                ))));
            }
        }
    }
}

/// Tells what a commit changed, but for what has numbers up to `skipped`.
async fn tell(watcher: &Watcher, commit: &Commit, skipped: u64) -> Result<(), End> {
    for told in commit.told.iter().filter(|told| told.sequence > skipped) {
        let passes = |shown| watcher.filter.passes(shown);
        let event = match (&told.before, &told.after) {
            (_, Some(after)) if passes(after) => Event::Changed(convert::changed(told, after)),
            (Some(before), after) if passes(before) => Event::Removed(v1::Removed {
                sequence: told.sequence,
                name: before.element.to_string(),
                filtered: after.is_some(),
            }),
            _ => continue,
        };
        send(watcher, event).await?;
    }
    Ok(())
}

async fn send(watcher: &Watcher, event: Event) -> Result<(), End> {
    watcher.events.send(Ok(v1::WatchEvent { event: Some(event) })).await.map_err(|_| End::Gone)
}
