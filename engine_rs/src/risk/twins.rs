//! The same order twice within a short time: a double click, a handler that ran twice, a loop gone wild.

use rustc_hash::FxHashMap;

/// What two orders have in common that are the same: whose, of what, and on what terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Likeness {
    pub strategy: u32,
    pub instrument: u32,
    pub buy: bool,
    /// The caller's number for the order's type.
    pub kind: u8,
    /// The quantity as it was asked for, be it money.
    pub asked: i128,
    pub limit: Option<i128>,
    pub trigger: Option<i128>,
    /// How far a trailing stop stays behind the market.
    pub trail: Option<i128>,
}

const FEW: usize = 256;

/// When each of them passed last, and for how long that matters. Denied orders don't count.
#[derive(Debug, Default)]
pub struct Twins {
    passed: FxHashMap<Likeness, (i64, i64)>,
    tidy_at: usize,
}

impl Twins {
    /// How long ago the same passed, where that is less than the window: before now, or by a clock that was ahead.
    pub fn age(&self, order: &Likeness, window: i64, now: i64) -> Option<i64> {
        let age = now.saturating_sub(self.passed.get(order)?.0);
        (age.unsigned_abs() < window.unsigned_abs()).then_some(age)
    }

    pub fn passed(&mut self, order: Likeness, window: i64, now: i64) {
        if self.passed.len() > self.tidy_at.max(FEW) {
            self.passed.retain(|_, (at, window)| now.abs_diff(*at) < window.unsigned_abs());
            self.tidy_at = 2 * self.passed.len();
        }
        self.passed.insert(order, (now, window));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(strategy: u32, asked: i128) -> Likeness {
        Likeness { strategy, instrument: 0, buy: true, kind: 1, asked, limit: Some(1), trigger: None, trail: None }
    }

    #[test]
    fn what_passed_long_ago_is_forgotten() {
        let order = |asked| order(0, asked);
        let mut twins = Twins::default();
        for now in 0..10_000 {
            twins.passed(order(i128::from(now)), 100, now);
        }
        assert!(twins.passed.len() < 1000, "{}", twins.passed.len());
        assert_eq!(twins.age(&order(9_999), 100, 10_000), Some(1));
        assert_eq!(twins.age(&order(9_900), 100, 10_000), None, "at the end of the window it is over");
        assert_eq!(twins.age(&order(9_999), 100, 9_900), Some(-99));
        assert_eq!(twins.age(&order(9_999), 100, 9_899), None, "it is of a clock that was ahead");
        assert_eq!(twins.age(&Likeness { buy: false, ..order(9_999) }, 100, 10_000), None);
        assert_eq!(twins.age(&Likeness { trail: Some(1), ..order(9_999) }, 100, 10_000), None);
    }

    #[test]
    fn one_strategys_window_forgets_no_order_of_anothers() {
        let mut twins = Twins::default();
        twins.passed(order(0, 1), 1_000_000, 0);
        for now in 1..1_000 {
            twins.passed(order(1, i128::from(now)), 1, now);
        }
        assert_eq!(twins.age(&order(0, 1), 1_000_000, 1_000), Some(1_000));
        assert!(twins.passed.len() < 600, "{}", twins.passed.len());
    }
}
