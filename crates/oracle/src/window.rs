//! Where windows end, straight from the definition: the local clock is followed through its zone's changes.

use jiff::{Timestamp, tz::TimeZone};
use model::definition::Window;
use model::{Span, Time};

const DAY: i64 = 86_400_000_000_000;
const MONDAY: i64 = 4 * DAY;
const NANO: Span = Span::from_nanos(1);

/// The least end of a window that is after `time`.
pub(crate) fn next_end(window: &Window, time: Time) -> Time {
    match window {
        Window::Sliding { slide, .. } => time.next_multiple(*slide),
        Window::Batching { size, zone } => {
            let zone = TimeZone::get(zone).expect("a known zone");
            let offset = |time: Time| {
                let second = Timestamp::from_second(time.nanos().div_euclid(1_000_000_000)).expect("a time in range");
                i64::from(zone.to_offset(second).seconds()) * 1_000_000_000
            };
            let mut from = time;
            loop {
                let after = Timestamp::from_nanosecond(from.nanos().into()).expect("a time in range");
                let change = zone.following(after).next();
                let change = change.map(|change| Time::from_nanos(change.timestamp().as_nanosecond() as i64));
                let before = offset(from);
                let shown = Time::from_nanos(next_shown(from.nanos() + before, *size) - before);
                let Some(change) = change.filter(|change| *change <= shown) else { return shown };
                // The clock jumps here. Forward, it skips what lies between, and shows where it lands; backward,
                // it only shows where it lands.
                let (left, landed) = (change.nanos() + before, change.nanos() + offset(change));
                if next_shown(left.min(landed) - 1, *size) <= landed {
                    return change;
                }
                from = change;
            }
        }
    }
}

/// The least reading of the local clock after `local` that is a multiple of `size`: since midnight, or for
/// whole days since Monday 1970-01-05.
fn next_shown(local: i64, size: Span) -> i64 {
    let size = size.nanos();
    if size > DAY {
        return (local - MONDAY).div_euclid(size) * size + size + MONDAY;
    }
    let midnight = local.div_euclid(DAY) * DAY;
    (midnight + (local - midnight) / size * size + size).min(midnight + DAY)
}

/// Whether a window ends at `time`.
pub(crate) fn is_end(window: &Window, time: Time) -> bool {
    next_end(window, time - NANO) == time
}

/// Where the window that ends at `end` begins, the youth of its stream aside.
pub(crate) fn start(window: &Window, end: Time) -> Time {
    if let Window::Sliding { width, .. } = window {
        return end - *width;
    }
    let mut back = size(window);
    loop {
        let first = next_end(window, end - back - NANO);
        if first < end {
            let ends = std::iter::successors(Some(first), |time| Some(next_end(window, *time)));
            return ends.take_while(|time| *time < end).last().expect("the first is earlier");
        }
        back = back.times(2);
    }
}

/// How long a window is, nominally.
pub(crate) fn size(window: &Window) -> Span {
    match window {
        Window::Sliding { width, .. } => *width,
        Window::Batching { size, .. } => *size,
    }
}

/// How long it is from one end to the next, nominally.
pub(crate) fn slide(window: &Window) -> Span {
    match window {
        Window::Sliding { slide, .. } => *slide,
        Window::Batching { size, .. } => *size,
    }
}

/// Where the first window of an instance may begin, given its first sample.
pub(crate) fn floor(window: &Window, time: Time) -> Time {
    match window {
        Window::Batching { .. } => Time::MIN,
        Window::Sliding { width, slide } => {
            let (mut a, mut b) = (width.nanos(), slide.nanos());
            while b > 0 {
                (a, b) = (b, a % b);
            }
            time.floor(Span::from_nanos(a))
        }
    }
}
