//! How many orders, cancels or fills there were in the last so many nanoseconds of venue time.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

/// At most `count` of what `key` counts within any `per` nanoseconds.
#[derive(Clone, Debug)]
pub struct Limit {
    pub key: Box<str>,
    pub count: usize,
    pub per: i64,
}

/// A sliding window for each key.
///
/// Venue time is made of stamps from several streams and may step back a little; a window never does. One that is further
/// ahead than it is long was brought there by a clock that was wrong: it goes back too, and what it holds happened now.
#[derive(Debug, Default)]
pub struct Windows {
    counted: FxHashMap<Box<str>, Window>,
}

#[derive(Debug)]
struct Window {
    happened: VecDeque<i64>,
    now: i64,
}

impl Window {
    /// It is this late; what is over by then is forgotten.
    fn look(&mut self, per: i64, now: i64) {
        if self.now.saturating_sub(now) > per {
            self.tidy(per); // by the clock that it happened by
            self.now = now;
            self.happened.iter_mut().for_each(|at| *at = now.min(*at));
        } else {
            self.now = self.now.max(now);
        }
        self.tidy(per);
    }

    fn tidy(&mut self, per: i64) {
        let oldest = self.now.saturating_sub(per);
        while self.happened.front().is_some_and(|at| *at <= oldest) {
            self.happened.pop_front();
        }
    }
}

impl Windows {
    /// The first limit that `more` would exceed, counted from 0, with how many its window holds.
    pub fn exceeded(&mut self, limits: &[Limit], more: usize, now: i64) -> Option<(usize, usize)> {
        limits.iter().enumerate().find_map(|(index, limit)| {
            // As many as were ever counted are not too many, so nothing needs to be tidied up to say so.
            let counted = self.counted.get(&limit.key).map_or(0, |window| window.happened.len());
            if counted.saturating_add(more) <= limit.count {
                return None;
            }
            let held = self.held(&limit.key, limit.per, now);
            (held.saturating_add(more) > limit.count).then_some((index, held))
        })
    }

    /// Remember that so many happened now.
    pub fn count(&mut self, limits: &[Limit], more: usize, now: i64) {
        for limit in limits {
            let window = match self.counted.get_mut(&limit.key) {
                Some(window) => window,
                None => {
                    self.counted.entry(limit.key.clone()).or_insert_with(|| Window { happened: VecDeque::new(), now })
                }
            };
            let is_behind = now < window.now;
            // Where nothing was near the limit for long, nobody has tidied up.
            if is_behind || window.happened.len() > limit.count.saturating_mul(2) {
                window.look(limit.per, now);
            }
            window.now = window.now.max(now);
            window.happened.extend(std::iter::repeat_n(window.now, more));
        }
    }

    /// How many a key's window of this length holds.
    pub fn held(&mut self, key: &str, per: i64, now: i64) -> usize {
        let Some(window) = self.counted.get_mut(key) else { return 0 };
        window.look(per, now);
        window.happened.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(key: &str, count: usize, per: i64) -> Limit {
        Limit { key: key.into(), count, per }
    }

    #[test]
    fn what_is_counted_for_two_keys_is_counted_for_each() {
        let mut windows = Windows::default();
        let both = [limit("node", 5, 10), limit("ema", 1, 10)];
        windows.count(&both, 1, 100);
        assert_eq!(windows.exceeded(&both, 1, 100), Some((1, 1)));
        assert_eq!(windows.exceeded(&both[..1], 4, 100), None);
        assert_eq!(
            (windows.held("node", 10, 109), windows.held("node", 10, 110), windows.held("other", 10, 0)),
            (1, 0, 0)
        );
    }

    #[test]
    fn a_clock_that_was_ahead_for_a_moment_keeps_no_window_full() {
        for (back, until) in [(100, 109), (95, 104)] {
            let (mut windows, limits) = (Windows::default(), [limit("node", 2, 10)]);
            windows.count(&limits, 1, 94);
            windows.count(&limits, 1, 3_600);
            windows.count(&limits, 1, back);
            assert_eq!(
                windows.held("node", 10, back),
                2,
                "what happened by the clock that was ahead counts from now on"
            );
            assert_eq!(windows.exceeded(&limits, 1, until), Some((0, 2)));
            assert_eq!(windows.exceeded(&limits, 2, back + 10), None);
        }
    }

    #[test]
    fn what_was_over_before_a_clock_went_back_does_not_begin_anew() {
        let (mut windows, limits) = (Windows::default(), [limit("node", 2, 10)]);
        windows.count(&limits, 2, 3_600);
        windows.count(&limits, 1, 3_650);
        assert_eq!(windows.exceeded(&limits, 1, 100), None);
        assert_eq!(windows.held("node", 10, 100), 1);
    }

    #[test]
    fn a_clock_that_is_set_back_by_less_than_a_window_lets_no_more_through() {
        let (mut windows, limits) = (Windows::default(), [limit("node", 2, 10)]);
        windows.count(&limits, 2, 100);
        for now in [100, 95, 90, 99, 109] {
            assert_eq!(windows.exceeded(&limits, 1, now), Some((0, 2)));
        }
        assert_eq!(windows.exceeded(&limits, 1, 110), None);
    }

    proptest! {
        #[test]
        fn a_window_holds_what_a_list_of_all_that_happened_does(
            steps in prop::collection::vec((0..40_i64, 1..4_usize), 0..60), count in 1..6_usize, per in 1..20_i64,
        ) {
            let (mut windows, limits) = (Windows::default(), [limit("node", count, per)]);
            let (mut sent, mut clock) = (Vec::<i64>::new(), None::<i64>);
            for (now, more) in steps {
                let latest = clock.map_or(now, |latest| if latest - now > per { now } else { latest.max(now) });
                if let Some(before) = clock.filter(|before| *before > latest) {
                    sent.retain(|at| *at > before - per);
                    sent.iter_mut().for_each(|at| *at = now.min(*at));
                }
                clock = clock.map(|_| latest);
                let held = sent.iter().filter(|at| **at > latest - per).count();
                prop_assert_eq!(windows.exceeded(&limits, more, now), (held + more > count).then_some((0, held)));
                if held + more <= count {
                    windows.count(&limits, more, now);
                    sent.extend(std::iter::repeat_n(latest, more));
                    clock = Some(latest);
                }
            }
        }
    }
}
