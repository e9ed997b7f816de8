//! What a sliding window holds, carried from one end to the next: what has come in is added, and what will be out of the
//! next window is taken away again. A window costs the same then, however many slides wide it is.
//!
//! Nothing is lost by it: counts and sums are exact, values are kept in order, and of extremes are kept those that no
//! later one surpasses (Lemire, "Streaming maximum-minimum filter using no more than three comparisons per element",
//! Nordic Journal of Computing 13, 2006).

use crate::calendar::Cut;
use crate::lane::Summary;
use model::{Span, Time};
use std::collections::VecDeque;

/// The window of one instance that ended last, without what the next one does not show.
#[derive(Debug)]
pub(crate) struct Rolling {
    /// Where that window ended.
    end: Time,
    pub(crate) summary: Summary,
    /// For the end of each slide whose least value no later one surpasses: that value. The earliest slide has the least.
    minima: VecDeque<(Time, f64)>,
    maxima: VecDeque<(Time, f64)>,
}

/// The slide of windows that can be carried on: they are several whole slides wide.
pub(crate) fn slide(cut: &Cut) -> Option<Span> {
    match cut {
        Cut::Sliding { width, slide, .. } if width > slide && width.nanos() % slide.nanos() == 0 => Some(*slide),
        _ => None,
    }
}

impl Rolling {
    /// Takes the window on to the one that ends at `end`; `of` gives what lies between two times. Without a former
    /// window, and where there was none for a while, all of it is taken anew.
    pub(crate) fn take_on(
        former: Option<Box<Rolling>>,
        (start, end): (Time, Time),
        slide: Span,
        of: impl Fn(Time, Time) -> Summary,
    ) -> Box<Rolling> {
        if let Some(mut rolling) = former.filter(|former| former.end + slide == end) {
            rolling.enter(end, of(end - slide, end));
            return rolling;
        }
        let (minima, maxima) = (VecDeque::new(), VecDeque::new());
        let mut rolling = Box::new(Rolling { end, summary: Summary::default(), minima, maxima });
        let mut at = start;
        while at < end {
            rolling.enter(at + slide, of(at, at + slide));
            at = at + slide;
        }
        rolling
    }

    fn enter(&mut self, end: Time, came: Summary) {
        self.end = end;
        if came.count == 0 {
            return;
        }
        while self.minima.back().is_some_and(|(_, known)| *known >= came.minimum) {
            self.minima.pop_back();
        }
        self.minima.push_back((end, came.minimum));
        while self.maxima.back().is_some_and(|(_, known)| *known <= came.maximum) {
            self.maxima.pop_back();
        }
        self.maxima.push_back((end, came.maximum));
        self.summary.add(&came);
        self.bound();
    }

    /// Takes the first slide of the window away, of which the next one shows nothing. None where what is left cannot be
    /// told: then the next window is taken anew.
    pub(crate) fn without(mut self: Box<Self>, first_end: Time, first: &Summary) -> Option<Box<Rolling>> {
        if first.count == 0 {
            return Some(self);
        }
        for extremes in [&mut self.minima, &mut self.maxima] {
            if extremes.front().is_some_and(|(end, _)| *end <= first_end) {
                extremes.pop_front();
            }
        }
        let known = self.summary.take_away(first);
        self.bound();
        known.then_some(self)
    }

    fn bound(&mut self) {
        self.summary.minimum = self.minima.front().map_or(f64::INFINITY, |(_, value)| *value);
        self.summary.maximum = self.maxima.front().map_or(f64::NEG_INFINITY, |(_, value)| *value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn summary(values: &[f64], slide: usize) -> Summary {
        let mut summary = Summary::default();
        for value in values {
            summary.count += 1;
            summary.sum.add(*value);
            summary.minimum = summary.minimum.min(*value);
            summary.maximum = summary.maximum.max(*value);
            summary.last = (at(slide), *value);
            summary.first_pane = summary.first_pane.min(at(slide));
            summary.values.add(*value);
        }
        summary.values.sort();
        summary
    }

    fn at(slide: usize) -> Time {
        Time::from_nanos(slide as i64 * 10)
    }

    fn told(summary: &Summary) -> Vec<Option<u64>> {
        let percentile = |share| summary.values.percentile(share, summary.minimum, summary.maximum).map(f64::to_bits);
        vec![
            Some(summary.count),
            Some(summary.sum.value().to_bits()),
            Some(summary.minimum.to_bits()),
            Some(summary.maximum.to_bits()),
            Some(summary.last.1.to_bits()),
            percentile(1),
            percentile(50_000),
            percentile(99_000),
        ]
    }

    proptest! {
        /// However windows are carried on, they are those that are taken anew; around the size from which on percentiles
        /// are told by buckets too.
        #[test]
        fn a_window_that_is_carried_on_is_the_same_as_one_that_is_taken_anew(
            slides in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(prop_oneof![1.0..9.0f64, Just(2.5), Just(1e300), Just(-1e-300)], 0..6),
                    (200..600usize, 1..50u32).prop_map(|(count, step)| {
                        (0..count).map(|place| f64::from((place as u32 * step) % 97) + 0.5).collect()
                    }),
                ],
                1..30,
            ),
            width in 2..8usize,
            gap in 0..40usize,
        ) {
            let between = |from: Time, to: Time| {
                let (from, to) = (from.nanos() / 10, to.nanos() / 10);
                let mut all = Summary::default();
                for slide in from.max(0)..to {
                    let values: &[f64] = slides.get(slide as usize).map_or(&[], Vec::as_slice);
                    let of = summary(values, slide as usize);
                    if of.count > 0 {
                        all.minimum = all.minimum.min(of.minimum);
                        all.maximum = all.maximum.max(of.maximum);
                        all.add(&of);
                    }
                }
                all
            };
            let slide = Span::from_nanos(10);
            let mut rolling = None;
            for end in (1..slides.len() + width).filter(|end| *end != gap) {
                let (start, end) = (at(end) - slide.times(width as i64), at(end));
                let now = Rolling::take_on(rolling.take(), (start, end), slide, between);
                prop_assert_eq!(told(&now.summary), told(&between(start, end)));
                rolling = now.without(start + slide, &between(start, start + slide));
            }
        }
    }
}
