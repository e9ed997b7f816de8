//! What breaks when. The same in every cycle, so that whoever watches can say what should be seen.

use model::Span;

/// After this much event time everything begins anew.
pub const CYCLE: Span = Span::from_secs(120);

/// The ways in which the shop breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Queries of the orders database take a second, and checkout waits for them.
    SlowDatabase,
    /// The heap of one application host climbs to its limit; then the process is restarted.
    FullHeap,
    /// A web host stops reporting.
    DeadHost,
    /// Payments refuses what checkout asks.
    FailingRelation,
    /// The catalogue throws fatal exceptions.
    ErrorBurst,
    /// One web host answers much more slowly than the others.
    OddHost,
    /// Icinga finds the host of the message queue down.
    HostDown,
    /// Sales are those of another hour of the day.
    OddSales,
}

/// One entry of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breakage {
    /// What kind it is.
    pub fault: Fault,
    /// What happens, for people.
    pub description: &'static str,
    /// The element of the demo's configuration whose own health tells of it.
    pub element: &'static str,
    /// When it begins, since the cycle's begin.
    pub begins: Span,
    /// When it is over, since the cycle's begin.
    pub ends: Span,
}

const fn breakage(
    fault: Fault,
    description: &'static str,
    element: &'static str,
    begins_s: i64,
    ends_s: i64,
) -> Breakage {
    Breakage { fault, description, element, begins: Span::from_secs(begins_s), ends: Span::from_secs(ends_s) }
}

/// All breakages of a cycle, by their begin.
const SCHEDULE: [Breakage; 8] = [
    breakage(Fault::SlowDatabase, "the orders database is slow", "orders db", 4, 34),
    breakage(Fault::FullHeap, "the heap of app-2 is filling up", "jvm app-2", 15, 60),
    breakage(Fault::OddSales, "sales are those of another hour of the day", "sales", 20, 40),
    breakage(Fault::DeadHost, "host web-2 is dead", "host web-2", 40, 75),
    breakage(Fault::FailingRelation, "payments refuses what checkout asks", "checkout -> payments", 55, 85),
    breakage(Fault::ErrorBurst, "the catalogue throws fatal exceptions", "catalogue", 72, 94),
    breakage(Fault::OddHost, "host web-3 is much slower than the others", "web", 84, 106),
    breakage(Fault::HostDown, "the host of the message queue is down", "message queue", 94, 114),
];

/// What breaks in each cycle, by its begin. The first cycle begins when the shop opens.
pub fn schedule() -> &'static [Breakage] {
    &SCHEDULE
}

/// What is broken so long after the shop has opened.
pub fn broken(elapsed: Span) -> impl Iterator<Item = &'static Breakage> {
    SCHEDULE.iter().filter(move |breakage| {
        let now = elapsed.nanos().rem_euclid(CYCLE.nanos());
        (breakage.begins.nanos()..breakage.ends.nanos()).contains(&now)
    })
}

/// How far a fault has come, from 0 at its begin to 1 at its end; nothing while all is well.
pub(crate) fn progress(fault: Fault, elapsed: Span) -> Option<f64> {
    let breakage = broken(elapsed).find(|breakage| breakage.fault == fault)?;
    let now = Span::from_nanos(elapsed.nanos().rem_euclid(CYCLE.nanos()));
    Some((now - breakage.begins).as_secs_f64() / (breakage.ends - breakage.begins).as_secs_f64())
}
