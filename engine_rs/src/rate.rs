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
/// Venue time is made of stamps from several streams and may step back a little; the windows never do.
#[derive(Debug, Default)]
pub struct Windows {
    counted: FxHashMap<Box<str>, VecDeque<i64>>,
    now: i64,
}

impl Windows {
    /// The first limit that `more` would exceed, counted from 0, with how many its window holds.
    pub fn exceeded(&mut self, limits: &[Limit], more: usize, now: i64) -> Option<(usize, usize)> {
        limits.iter().enumerate().find_map(|(index, limit)| {
            // As many as were ever counted are not too many, so nothing needs to be tidied up to say so.
            let counted = self.counted.get(&limit.key).map_or(0, VecDeque::len);
            if counted.saturating_add(more) <= limit.count {
                return None;
            }
            let held = self.held(&limit.key, limit.per, now);
            (held.saturating_add(more) > limit.count).then_some((index, held))
        })
    }

    /// Remember that so many happened now.
    pub fn count(&mut self, limits: &[Limit], more: usize, now: i64) {
        self.now = self.now.max(now);
        for limit in limits {
            if self.counted.get(&limit.key).is_some_and(|counted| counted.len() > limit.count.saturating_mul(2)) {
                self.held(&limit.key, limit.per, now); // nothing was near the limit for long, so nobody has tidied up
            }
            let counted = match self.counted.get_mut(&limit.key) {
                Some(counted) => counted,
                None => self.counted.entry(limit.key.clone()).or_default(),
            };
            counted.extend(std::iter::repeat_n(self.now, more));
        }
    }

    /// How many a key's window of this length holds.
    pub fn held(&mut self, key: &str, per: i64, now: i64) -> usize {
        self.now = self.now.max(now);
        let Some(counted) = self.counted.get_mut(key) else { return 0 };
        let oldest = self.now.saturating_sub(per);
        while counted.front().is_some_and(|at| *at <= oldest) {
            counted.pop_front();
        }
        counted.len()
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

    proptest! {
        #[test]
        fn a_window_holds_what_a_list_of_all_that_happened_does(
            steps in prop::collection::vec((0..40_i64, 1..4_usize), 0..60), count in 1..6_usize, per in 1..20_i64,
        ) {
            let (mut windows, limits) = (Windows::default(), [limit("node", count, per)]);
            let (mut sent, mut latest) = (Vec::new(), 0);
            for (now, more) in steps {
                latest = latest.max(now);
                let held = sent.iter().filter(|at| **at > latest - per).count();
                prop_assert_eq!(windows.exceeded(&limits, more, now), (held + more > count).then_some((0, held)));
                if held + more <= count {
                    windows.count(&limits, more, now);
                    sent.extend(std::iter::repeat_n(latest, more));
                }
            }
        }
    }
}
