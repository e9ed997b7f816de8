//! Where windows begin and end: on the local clock for batching ones, on multiples since the epoch for
//! sliding ones.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::definition::Window;
use model::{Span, Time};

const DAY_NS: i64 = 86_400_000_000_000;
/// Monday 1970-01-05, from which whole days are counted.
const FIRST_MONDAY_NS: i64 = 4 * DAY_NS;

/// How a feed cuts time into windows, and windows into panes.
#[derive(Clone, Debug)]
pub(crate) enum Cut {
    /// Windows `width` wide that end at multiples of `slide`; panes of their greatest common divisor.
    Sliding {
        width: Span,
        slide: Span,
        pane: Span,
    },
    Batching(Calendar),
}

/// The moments at which a local clock shows or skips a multiple of a size since midnight.
#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    size: Span,
    zone: TimeZone,
}

impl Cut {
    /// The cut that a window asks for. Its zone is known: that was validated.
    pub(crate) fn new(window: &Window) -> Cut {
        match window {
            Window::Sliding { width, slide } => {
                let pane = Span::from_nanos(greatest_common_divisor(width.nanos(), slide.nanos()));
                Cut::Sliding { width: *width, slide: *slide, pane }
            }
            Window::Batching { size, zone } => {
                let zone = TimeZone::get(zone).expect("validated zones are known");
                Cut::Batching(Calendar { size: *size, zone })
            }
        }
    }

    /// The pane that holds a time: start and end.
    pub(crate) fn pane(&self, time: Time) -> (Time, Time) {
        match self {
            Cut::Sliding { pane, .. } => {
                let start = time.floor(*pane);
                (start, start + *pane)
            }
            Cut::Batching(calendar) => {
                let start = calendar.last_boundary(time);
                (start, calendar.next_boundary(start))
            }
        }
    }

    /// The first window end after a time.
    pub(crate) fn next_end(&self, time: Time) -> Time {
        match self {
            Cut::Sliding { slide, .. } => time.next_multiple(*slide),
            Cut::Batching(calendar) => calendar.next_boundary(time),
        }
    }

    /// The last window end that is not after a time.
    pub(crate) fn last_end(&self, time: Time) -> Time {
        match self {
            Cut::Sliding { slide, .. } => time.floor(*slide),
            Cut::Batching(calendar) => calendar.last_boundary(time),
        }
    }

    /// Where the window that ends at `end` begins.
    pub(crate) fn start(&self, end: Time) -> Time {
        match self {
            Cut::Sliding { width, .. } => end - *width,
            Cut::Batching(calendar) => calendar.last_boundary(end - Span::from_nanos(1)),
        }
    }

    /// How long a window lasts, nominally.
    pub(crate) fn width(&self) -> Span {
        match self {
            Cut::Sliding { width, .. } => *width,
            Cut::Batching(calendar) => calendar.size,
        }
    }

    /// How often one ends, nominally.
    pub(crate) fn slide(&self) -> Span {
        match self {
            Cut::Sliding { slide, .. } => *slide,
            Cut::Batching(calendar) => calendar.size,
        }
    }
}

/// What a zone's clock shows at a time, in nanoseconds since 1970-01-01 on that clock.
pub(crate) fn local(time: Time, zone: &TimeZone) -> i64 {
    time.nanos() + i64::from(zone.to_offset(timestamp(time)).seconds()) * 1_000_000_000
}

/// Which batch of its fundamental period begins at `start`, on a zone's clock, counted from Monday 1970-01-05. A
/// clock that is set back shows a phase twice, one that is set forward skips some.
pub(crate) fn phase(start: Time, zone: &TimeZone, period: Span, batch: Span) -> u32 {
    let into = (local(start, zone) - FIRST_MONDAY_NS).rem_euclid(period.nanos());
    (into / batch.nanos()) as u32
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

impl Calendar {
    /// The greatest local time not after `local` at which a window may begin. Local times are
    /// nanoseconds since 1970-01-01 on the local clock.
    fn local_floor(&self, local: i64) -> i64 {
        let size = self.size.nanos();
        if size > DAY_NS {
            return local - (local - FIRST_MONDAY_NS).rem_euclid(size);
        }
        local - local.rem_euclid(DAY_NS) % size
    }

    /// The least local time after `local` at which a window may begin.
    fn local_next(&self, local: i64) -> i64 {
        let next = self.local_floor(local) + self.size.nanos();
        if self.size.nanos() > DAY_NS { next } else { next.min(local - local.rem_euclid(DAY_NS) + DAY_NS) }
    }

    fn offset(&self, time: Time) -> i64 {
        local(time, &self.zone) - time.nanos()
    }

    /// Whether a window begins at the moment when the clock is set from offset `before` to `after`.
    fn begins_at(&self, change: Time, before: i64, after: i64) -> bool {
        let (shown, skipped_from) = (change.nanos() + after, change.nanos() + before);
        // Set forward, the clock skips `skipped_from` up to what it shows; set back, it only shows.
        self.local_floor(shown) >= skipped_from.min(shown)
    }

    fn next_boundary(&self, time: Time) -> Time {
        let mut from = time;
        for change in self.zone.following(timestamp(time)) {
            let at = Time::from_nanos(change.timestamp().as_nanosecond() as i64);
            let before = self.offset(from);
            let candidate = self.local_next(from.nanos() + before) - before;
            if candidate < at.nanos() {
                return Time::from_nanos(candidate);
            }
            let after = self.offset(at);
            if self.begins_at(at, before, after) {
                return at;
            }
            from = at;
        }
        let offset = self.offset(from);
        Time::from_nanos(self.local_next(from.nanos() + offset) - offset)
    }

    fn last_boundary(&self, time: Time) -> Time {
        let mut from = time;
        // `preceding` is strict; one more nanosecond includes a change at this very moment.
        for change in self.zone.preceding(timestamp(time + Span::from_nanos(1))) {
            let at = Time::from_nanos(change.timestamp().as_nanosecond() as i64);
            let offset = self.offset(from);
            let candidate = self.local_floor(from.nanos() + offset) - offset;
            if candidate > at.nanos() {
                return Time::from_nanos(candidate);
            }
            let earlier = at - Span::from_nanos(1);
            if self.begins_at(at, self.offset(earlier), offset) {
                return at;
            }
            from = earlier;
        }
        let offset = self.offset(from);
        Time::from_nanos(self.local_floor(from.nanos() + offset) - offset)
    }
}

fn timestamp(time: Time) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(time.nanos())).expect("nanoseconds in 64 bits are within a timestamp's range")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The boundaries from one time to another, on the zone's own clock.
    fn check(size: &str, zone: &str, from: &str, to: &str, wanted: &str) {
        let window = Window::Batching { size: size.parse().expect("a size"), zone: zone.into() };
        let cut = Cut::new(&window);
        let (mut time, to): (Time, Time) = (from.parse().expect("a time"), to.parse().expect("a time"));
        let mut found = Vec::new();
        loop {
            let next = cut.next_end(time);
            if next > to {
                break;
            }
            assert_eq!(cut.last_end(next), next, "a boundary is the last one at itself");
            assert_eq!(cut.start(next), cut.last_end(time), "windows are strictly separate");
            let before = next - Span::from_nanos(1);
            assert_eq!(cut.pane(before), (cut.last_end(time), next), "up to the last nanosecond");
            found.push(
                timestamp(next).to_zoned(TimeZone::get(zone).expect("a zone")).strftime("%H:%M%:::z").to_string(),
            );
            time = next;
        }
        assert_eq!(found.join(" "), wanted);
    }

    #[test]
    fn batches_follow_the_local_clock() {
        check("6h", "UTC", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", "06:00+00 12:00+00 18:00+00 00:00+00");
        check("10h", "UTC", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", "10:00+00 20:00+00 00:00+00");
    }

    #[test]
    fn a_clock_set_forward_skips_and_bounds() {
        let (from, to) = ("2026-03-28T23:00:00Z", "2026-03-29T03:00:00Z");
        check("1h", "Europe/Amsterdam", from, to, "01:00+01 03:00+02 04:00+02 05:00+02");
        check("30m", "Europe/Amsterdam", "2026-03-29T00:00:00Z", "2026-03-29T01:30:00Z", "01:30+01 03:00+02 03:30+02");
        check("4h", "Europe/Amsterdam", from, to, "04:00+02");
        check("1d", "Europe/Amsterdam", from, "2026-03-30T00:00:00Z", "00:00+02");
        check("1d", "America/Havana", "2026-03-07T05:00:00Z", "2026-03-09T05:00:00Z", "01:00-04 00:00-04");
    }

    #[test]
    fn a_clock_set_back_shows_again() {
        let (from, to) = ("2026-10-24T22:00:00Z", "2026-10-25T03:00:00Z");
        check("1h", "Europe/Amsterdam", from, to, "01:00+02 02:00+02 02:00+01 03:00+01 04:00+01");
        check("4h", "Europe/Amsterdam", from, to, "04:00+01");
        check("1d", "Europe/Amsterdam", from, "2026-10-26T00:00:00Z", "00:00+01");
        check(
            "30m",
            "Australia/Lord_Howe",
            "2026-04-04T14:30:00Z",
            "2026-04-04T16:00:00Z",
            "01:30+10:30 02:00+10:30 02:30+10:30",
        );
    }

    #[test]
    fn days_are_counted_from_a_monday() {
        check("7d", "UTC", "2026-11-21T00:00:00Z", "2026-11-30T00:00:00Z", "00:00+00 00:00+00");
        let week = Cut::new(&Window::Batching { size: Span::from_secs(7 * 86_400), zone: "UTC".into() });
        assert_eq!(week.last_end("2026-11-21T00:00:00Z".parse().expect("a time")).to_string(), "2026-11-16T00:00:00Z");
    }
}
