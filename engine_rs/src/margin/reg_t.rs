//! Regulation T and maintenance margin of shares and coins, and what an order for them takes from buying power.
//!
//! Source: docs.alpaca.markets "Margin and Short Selling" (2026) and "Orders at Alpaca", "Buying Power". The tables are
//! data; a rate that the asset itself names wins where it is higher.

use super::{NANO, product};

/// Per cent of value.
type Percent = i128;

/// What an account of less equity than this may not do: trade on margin, or short. Nano-dollars.
pub const MARGIN_MINIMUM_EQUITY: i128 = 2_000 * NANO;
/// A short sale is valued at its limit, or this much over the ask in per cent, whichever is higher.
pub const SHORT_BUFFER: Percent = 103;

/// Long positions: below this price (nano-dollars), this rate; the last row has no bound.
const LONG: [(i128, Percent); 3] = [(2_500_000_000, 100), (6_000_000_001, 50), (i128::MAX, 30)];
/// Short positions: below this price, at least so many nano-dollars a share, and at least this rate.
const SHORT: [(i128, i128, Percent); 2] = [(5_000_000_000, 2_500_000_000, 100), (i128::MAX, 5_000_000_000, 30)];
/// Funds that move two or three times as much as their index.
const LEVERAGED: [(u8, Percent); 2] = [(2, 50), (3, 75)];

/// How an asset is margined. `long` and `short` are the asset's own per cent, 0 where it names none; `leverage` 1, 2, 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    pub marginable: bool,
    pub long: i64,
    pub short: i64,
    pub leverage: u8,
}

impl Default for Rates {
    fn default() -> Self {
        Self { marginable: true, long: 0, short: 0, leverage: 1 }
    }
}

impl Rates {
    /// Coins, and shares that no money is lent on.
    pub const CASH: Self = Self { marginable: false, long: 100, short: 0, leverage: 1 };

    /// Maintenance rate of a long position at a price, in per cent.
    pub fn long_rate(&self, price: i128) -> Percent {
        if !self.marginable {
            return 100;
        }
        let by_price = LONG.iter().find(|row| price < row.0).map_or(100, |row| row.1);
        let by_leverage = LEVERAGED.iter().find(|row| row.0 == self.leverage).map_or(0, |row| row.1);
        by_price.max(by_leverage).max(Percent::from(self.long)).min(100)
    }
}

/// The maintenance margin of `qty` nano-shares (negative short) at `price` nano-dollars. Nano-dollars, rounded up.
pub fn maintenance(qty: i128, price: i128, rates: &Rates) -> i128 {
    let value = product(qty.abs(), price);
    if qty >= 0 {
        return percent(value, rates.long_rate(price));
    }
    let (_, per_share, rate) = SHORT.iter().find(|row| price < row.0).copied().unwrap_or(SHORT[1]);
    let leveraged = LEVERAGED.iter().find(|row| row.0 == rates.leverage).map_or(0, |row| row.1);
    let rate = rate.max(leveraged).max(Percent::from(rates.short));
    product(qty.abs(), per_share).max(percent(value, rate))
}

/// The initial margin: half of the value where money is lent, all of it elsewhere; never less than the maintenance.
pub fn initial(qty: i128, price: i128, rates: &Rates) -> i128 {
    let value = product(qty.abs(), price);
    let half = percent(value, if rates.marginable { 50 } else { 100 });
    half.max(maintenance(qty, price, rates))
}

/// What an order's unit is valued at when it is checked. Prices in nano-dollars, None where there is none.
///
/// A purchase at its limit, else at the ask; a short sale at the higher of its limit and 1.03 × the ask. None where no
/// price is known: then nobody can say what the order takes.
pub fn unit_value(buys: bool, limit: Option<i128>, ask: Option<i128>) -> Option<i128> {
    if buys {
        return limit.or(ask);
    }
    let buffered = ask.map(|price| percent(price, SHORT_BUFFER));
    match (limit, buffered) {
        (Some(limit), Some(buffered)) => Some(limit.max(buffered)),
        (None, found) => found,
        // A limit alone says less than the rule asks for.
        (Some(_), None) => None,
    }
}

/// `rate` per cent of a value, rounded up.
pub fn percent(value: i128, rate: Percent) -> i128 {
    let raised = value * rate;
    raised / 100 + i128::from(raised % 100 > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(qty: i128) -> i128 {
        qty * NANO
    }

    fn price(cents: i128) -> i128 {
        cents * NANO / 100
    }

    /// The worked rows of "Margin and Short Selling": quantity, price in cents, initial and maintenance in dollars.
    #[test]
    fn worked_rows() {
        let rates = Rates::default();
        for (qty, cents, start, keep) in [
            (100, 5000, 2500, 1500),
            (100, 400, 200, 200),
            (100, 200, 200, 200),
            (100, 250, 125, 125),
            (100, 600, 300, 300),
            (100, 601, 301, 181),
            (-100, 400, 400, 400),
            (-100, 200, 250, 250),
            (-100, 1200, 600, 500),
            (-100, 4000, 2000, 1200),
        ] {
            let found = (initial(shares(qty), price(cents), &rates), maintenance(shares(qty), price(cents), &rates));
            let up = |amount: i128| (amount + NANO - 1) / NANO;
            assert_eq!((up(found.0), up(found.1)), (start, keep), "{qty} at {cents}");
        }
    }

    #[test]
    fn the_largest_numbers_fit() {
        use crate::margin::RANGE;
        let value = RANGE / NANO * RANGE;
        assert_eq!(initial(RANGE, RANGE, &Rates::CASH), value);
        assert_eq!(maintenance(-RANGE, RANGE, &Rates { short: 1_000, ..Rates::default() }), value * 10);
    }

    #[test]
    fn assets_of_their_own_rates() {
        let fund = Rates { leverage: 3, ..Rates::default() };
        assert_eq!(maintenance(shares(10), price(10_000), &fund), 750 * NANO);
        assert_eq!(maintenance(shares(10), price(10_000), &Rates { long: 40, ..Rates::default() }), 400 * NANO);
        assert_eq!(maintenance(shares(-10), price(10_000), &Rates { short: 100, ..Rates::default() }), 1000 * NANO);
        assert_eq!(initial(shares(1), price(10_000), &Rates::CASH), 100 * NANO);
        assert_eq!(initial(shares(10), price(10_000), &fund), 750 * NANO, "initial is never less than maintenance");
    }

    #[test]
    fn values_at_submission() {
        assert_eq!(unit_value(true, Some(10), Some(20)), Some(10));
        assert_eq!(unit_value(true, None, Some(20)), Some(20));
        assert_eq!(unit_value(false, Some(100 * NANO), Some(100 * NANO)), Some(103 * NANO));
        assert_eq!(unit_value(false, Some(110 * NANO), Some(100 * NANO)), Some(110 * NANO));
        assert_eq!(unit_value(false, Some(110 * NANO), None), None);
        assert_eq!(unit_value(true, None, None), None);
    }
}
