//! What an order that opens needs of the market: a sound quote, and a price that is near it.
//!
//! The collar is about being filled far from the market, so only the harmful side counts: a buy above the middle of the
//! quote, a sale below it.

use super::Wrong;
use crate::exposure::{plus, times};
use crate::margin::NANO;

/// The newest quote: prices in nano-dollars (None: nobody bids, or asks), and venue time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quote {
    pub bid: Option<i128>,
    pub ask: Option<i128>,
    pub ts: i64,
    /// Of several quotes as one the newest's; `ts` is the oldest's.
    pub newest: i64,
    /// Twice what a percentage is of; None: of the price that an order is held to. A spread's own price says nothing of
    /// its size.
    pub worth: Option<i128>,
}

/// Which price of an order is held against the market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldTo {
    /// None of its own: the far side of the quote.
    Market,
    /// Its limit; without one nothing, as a stop has no price until it is triggered.
    Limit,
    /// Its limit, to its trigger where that is further away than the market.
    Trigger,
}

/// The collar's bounds: a fraction in billionths, and nano-dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collar {
    pub percent: Option<i128>,
    pub absolute: Option<i128>,
    /// How old a quote may be, in nanoseconds.
    pub age: Option<i64>,
}

/// What is wrong with a quote, or with a price beside it. Prices are doubled, since a middle can lie between two
/// nano-dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Off {
    Missing,
    Crossed,
    /// Below 0 where it is of a time that has not come yet.
    Stale {
        age: i64,
    },
    Away {
        price: i128,
        reference: i128,
        away: i128,
        worth: i128,
        absolute: bool,
        at_trigger: bool,
    },
}

/// An order's side and prices, as far as the market is asked about them.
#[derive(Clone, Copy, Debug)]
pub struct Priced {
    pub buy: bool,
    pub held_to: HeldTo,
    pub limit: Option<i128>,
    pub trigger: Option<i128>,
}

impl Collar {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    pub fn check(&self, quote: Quote, order: Priced, now: i64) -> Result<Option<Off>, Wrong> {
        let (Some(bid), Some(ask)) = (quote.bid, quote.ask) else { return Ok(Some(Off::Missing)) };
        if bid > ask {
            return Ok(Some(Off::Crossed));
        }
        if let Some(most) = self.age {
            // The clocks of a feed and of the venue differ a little. One that is further ahead would never grow too old.
            let stale = |age: &i64| age.unsigned_abs() > most.unsigned_abs();
            if let Some(age) = [quote.ts, quote.newest].map(|ts| now.saturating_sub(ts)).into_iter().find(stale) {
                return Ok(Some(Off::Stale { age }));
            }
        }
        if self.percent.is_none() && self.absolute.is_none() {
            return Ok(None);
        }
        let Priced { buy, held_to, limit, trigger } = order;
        let (mut reference, mut at_trigger) = (plus(bid, ask)?, false);
        let price = if held_to == HeldTo::Market {
            times(2, if buy { ask } else { bid })?
        } else {
            let Some(limit) = limit else { return Ok(None) };
            if held_to == HeldTo::Trigger
                && let Some(trigger) = trigger
            {
                let trigger = times(2, trigger)?;
                if if buy { trigger > reference } else { trigger < reference } {
                    (reference, at_trigger) = (trigger, true);
                }
            }
            times(2, limit)?
        };
        let away = if buy { price - reference } else { reference - price };
        if away <= 0 {
            return Ok(None);
        }
        let worth = quote.worth.unwrap_or(reference);
        let absolute = match self.absolute {
            Some(most) => away > times(2, most)?,
            None => false,
        };
        let beyond = absolute
            || match self.percent {
                Some(most) => times(away, NANO)? > times(most, worth)?,
                None => false,
            };
        Ok(beyond.then_some(Off::Away { price, reference, away, worth, absolute, at_trigger }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOLLAR: i128 = NANO;

    fn quote(bid: i128, ask: i128) -> Quote {
        Quote { bid: Some(bid * DOLLAR), ask: Some(ask * DOLLAR), ts: 100, newest: 100, worth: None }
    }

    fn limit(buy: bool, price: i128) -> Priced {
        Priced { buy, held_to: HeldTo::Limit, limit: Some(price), trigger: None }
    }

    #[test]
    fn a_quote_must_be_there_whole_not_crossed_and_young() {
        let collar = Collar { age: Some(10), ..Collar::default() };
        let order = limit(true, 1);
        for missing in [Quote { bid: None, ..quote(99, 101) }, Quote { ask: None, ..quote(99, 101) }] {
            assert_eq!(collar.check(missing, order, 100), Ok(Some(Off::Missing)));
        }
        assert_eq!(collar.check(quote(102, 101), order, 100), Ok(Some(Off::Crossed)));
        assert_eq!(collar.check(quote(99, 101), order, 110), Ok(None));
        assert_eq!(collar.check(quote(99, 101), order, 111), Ok(Some(Off::Stale { age: 11 })));
    }

    #[test]
    fn a_quote_may_be_ahead_by_as_much_as_it_may_be_old() {
        let (collar, order) = (Collar { age: Some(10), ..Collar::default() }, limit(true, 1));
        assert_eq!(collar.check(quote(99, 101), order, 90), Ok(None));
        assert_eq!(collar.check(quote(99, 101), order, 89), Ok(Some(Off::Stale { age: -11 })));
        let legs = Quote { newest: 112, ..quote(99, 101) };
        assert_eq!(collar.check(legs, order, 102), Ok(None));
        assert_eq!(collar.check(legs, order, 101), Ok(Some(Off::Stale { age: -11 })));
        assert_eq!(Collar::default().check(quote(99, 101), order, i64::MIN), Ok(None));
    }

    #[test]
    fn at_the_bound_a_price_passes_and_a_nano_dollar_further_it_does_not() {
        let collar = Collar { percent: Some(NANO / 50), absolute: Some(5 * DOLLAR), age: None };
        for (buy, at, out) in [(true, 102, 1), (false, 98, -1)] {
            assert_eq!(collar.check(quote(99, 101), limit(buy, at * DOLLAR), 100), Ok(None));
            let beyond = collar.check(quote(99, 101), limit(buy, at * DOLLAR + out), 100).unwrap();
            assert!(matches!(beyond, Some(Off::Away { absolute: false, at_trigger: false, .. })), "{beyond:?}");
            let far = collar.check(quote(99, 101), limit(buy, (100 + 6 * out) * DOLLAR), 100).unwrap();
            assert!(matches!(far, Some(Off::Away { absolute: true, .. })), "{far:?}");
            // The side that does no harm.
            assert_eq!(collar.check(quote(99, 101), limit(!buy, at * DOLLAR), 100), Ok(None));
        }
    }

    #[test]
    fn a_market_order_is_held_to_the_far_side_and_a_stop_to_its_trigger() {
        let collar = Collar { percent: Some(NANO / 100), ..Collar::default() };
        let market = Priced { buy: true, held_to: HeldTo::Market, limit: None, trigger: None };
        assert_eq!(collar.check(quote(99, 101), market, 0), Ok(None));
        assert!(collar.check(quote(98, 102), market, 0).unwrap().is_some());
        let stop = Priced { held_to: HeldTo::Limit, ..market };
        assert_eq!(collar.check(quote(98, 102), stop, 0), Ok(None), "it has no price yet");
        let stop =
            Priced { held_to: HeldTo::Trigger, limit: Some(121 * DOLLAR), trigger: Some(120 * DOLLAR), ..market };
        assert_eq!(collar.check(quote(99, 101), stop, 0), Ok(None));
        let near = Priced { trigger: Some(90 * DOLLAR), ..stop };
        let Ok(Some(Off::Away { at_trigger, reference, .. })) = collar.check(quote(99, 101), near, 0) else { panic!() };
        assert_eq!((at_trigger, reference), (false, 200 * DOLLAR));
    }
}
