//! One account as a whole: cash, positions, options, and what working orders have taken; from these, what is left.
//!
//! Source: docs.alpaca.markets "Margin and Short Selling" and Alpaca's OpenAPI text of `buying_power`.

use rustc_hash::FxHashMap;

use super::leg::{Contract, Leg};
use super::order::{CostBasis, cost_basis, merge};
use super::reg_t::{MARGIN_MINIMUM_EQUITY, Rates, initial, maintenance};
use super::usr::{Expirations, Requirement, Uncovered, covered_by_shares, requirement};
use super::{NANO, SHARES, product};

/// Shares or coins held: nano-units (negative short), and nano-dollars a unit.
#[derive(Clone, Copy, Debug)]
struct Holding {
    qty: i128,
    price: i128,
    rates: Rates,
}

impl Holding {
    fn value(&self) -> i128 {
        product(self.qty, self.price)
    }
}

/// The options of one root.
#[derive(Clone, Debug, Default)]
struct Chain {
    legs: Vec<Leg>,
    /// Nano-dollars a share, by contract.
    prices: FxHashMap<Contract, i128>,
    /// The requirement, until something changes.
    known: Option<Result<Requirement, Uncovered>>,
    /// The short calls that shares cover, as of then.
    written: Vec<Leg>,
}

impl Chain {
    /// What calls on shares are worth: it is owed, as nothing is required for them. Those not held yet are worth nothing.
    fn owed(&self, written: &[Leg]) -> i128 {
        -written.iter().map(|leg| self.worth(leg)).sum::<i128>()
    }

    fn worth(&self, leg: &Leg) -> i128 {
        self.prices.get(&leg.contract).map_or(0, |price| price * i128::from(leg.qty)) * i128::from(SHARES)
    }
}

/// What an account has and may still spend. Nano-dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub equity: i128,
    pub long_market_value: i128,
    pub short_market_value: i128,
    pub initial: i128,
    pub maintenance: i128,
    /// Of them what the options of the account ask for.
    pub options: i128,
    /// Equity less initial margin less what working orders hold, of own money. May be negative.
    pub excess: i128,
    /// For marginable shares: excess times the multiplier, at least 0. Where nothing is lent (a multiplier of 1, or less
    /// than 2,000 USD of equity) this and what options are bought with is excess, and no more than the cash that secures
    /// no options.
    pub buying_power: i128,
    /// For options: excess, at least 0.
    pub options_buying_power: i128,
    /// For coins and what is not marginable: excess, and no more than the cash, at least 0.
    pub non_marginable_buying_power: i128,
}

/// An account, kept up change by change, so that a figure costs no walk over what did not change.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub cash: i128,
    pub multiplier: i128,
    pub reading: Expirations,
    holdings: FxHashMap<Box<str>, Holding>,
    chains: FxHashMap<Box<str>, Chain>,
    reserved: FxHashMap<Box<str>, i128>,
    totals: Totals,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    long: i128,
    short: i128,
    initial: i128,
    maintenance: i128,
    reserved: i128,
}

impl Totals {
    fn add(&mut self, holding: &Holding, sign: i128) {
        let value = holding.value() * sign;
        if holding.qty >= 0 {
            self.long += value;
        } else {
            self.short += value;
        }
        self.initial += initial(holding.qty, holding.price, &holding.rates) * sign;
        self.maintenance += maintenance(holding.qty, holding.price, &holding.rates) * sign;
    }
}

impl Account {
    pub fn new(multiplier: i64, reading: Expirations) -> Self {
        Self { multiplier: i128::from(multiplier), reading, ..Self::default() }
    }

    /// Set a position of shares or coins; a quantity of 0 removes it.
    pub fn set_position(&mut self, symbol: &str, qty: i128, price: i128, rates: Rates) {
        if let Some(old) = self.holdings.remove(symbol) {
            self.totals.add(&old, -1);
        }
        if qty != 0 {
            let holding = Holding { qty, price, rates };
            self.totals.add(&holding, 1);
            self.holdings.insert(symbol.into(), holding);
        }
        if let Some(chain) = self.chains.get_mut(symbol) {
            chain.known = None; // shares cover calls of the same root
        }
    }

    /// A new price of what is held; nothing where it is not.
    pub fn set_price(&mut self, symbol: &str, price: i128) {
        if let Some(holding) = self.holdings.get_mut(symbol) {
            self.totals.add(holding, -1);
            holding.price = price;
            self.totals.add(holding, 1);
        }
    }

    /// Set a position in contracts (negative short), worth so many nano-dollars a share.
    pub fn set_option(&mut self, root: &str, contract: Contract, qty: i64, price: i128) {
        let chain = match self.chains.get_mut(root) {
            Some(chain) => chain,
            None => self.chains.entry(root.into()).or_default(),
        };
        match chain.legs.iter_mut().find(|leg| leg.contract == contract) {
            Some(leg) if leg.qty == qty => {}
            Some(leg) => {
                leg.qty = qty;
                chain.known = None;
            }
            None if qty == 0 => return,
            None => {
                chain.legs.push(Leg { contract, qty });
                chain.known = None;
            }
        }
        if qty == 0 {
            chain.legs.retain(|leg| leg.qty != 0);
            chain.prices.remove(&contract);
        } else {
            chain.prices.insert(contract, price);
        }
    }

    /// An order holds so many nano-dollars of own money until it is released; again with another amount replaces it.
    pub fn reserve(&mut self, order: &str, amount: i128) {
        self.release(order);
        if amount > 0 {
            self.totals.reserved += amount;
            self.reserved.insert(order.into(), amount);
        }
    }

    /// Give back what an order holds; nothing where it holds nothing.
    pub fn release(&mut self, order: &str) {
        if let Some(amount) = self.reserved.remove(order) {
            self.totals.reserved -= amount;
        }
    }

    pub fn reserved(&self) -> i128 {
        self.totals.reserved
    }

    /// Whole long shares of a root's underlying.
    pub fn shares(&self, root: &str) -> i64 {
        let qty = self.holdings.get(root).map_or(0, |holding| holding.qty.max(0) / NANO);
        i64::try_from(qty).unwrap_or(i64::MAX)
    }

    /// The positions of a root.
    pub fn legs(&self, root: &str) -> &[Leg] {
        self.chains.get(root).map_or(&[], |chain| &chain.legs)
    }

    /// The contracts held of one.
    pub fn held(&self, root: &str, contract: Contract) -> i64 {
        self.legs(root).iter().find(|leg| leg.contract == contract).map_or(0, |leg| leg.qty)
    }

    /// What an options order of one root takes, given what is held; `shares` is the change that it makes to them.
    pub fn options_cost(
        &self,
        root: &str,
        changes: &[Leg],
        shares: i64,
        net: i128,
        qty: i64,
    ) -> Result<CostBasis, Uncovered> {
        let held = self.shares(root);
        let mut cost = cost_basis(self.legs(root), changes, (held, held + shares), net, qty, self.reading)?;
        if let Some(chain) = self.chains.get(root) {
            let after = chain.owed(&covered_by_shares(&merge(&chain.legs, changes)));
            cost.owed = after - chain.owed(&covered_by_shares(&chain.legs));
            cost.amount = (cost.after.amount - cost.before.amount + cost.owed + cost.net).max(0);
        }
        Ok(cost)
    }

    /// The account's figures. Short calls that nothing covers make the figures an error: no requirement is enough.
    pub fn figures(&mut self) -> Result<Figures, Uncovered> {
        let (mut options, mut long_value, mut short_value, mut owed) = (0, 0, 0, 0);
        let shares: Vec<(Box<str>, i64)> = self
            .chains
            .iter()
            .filter(|(_, chain)| chain.known.is_none())
            .map(|(root, _)| (root.clone(), self.shares(root)))
            .collect();
        for (root, held) in shares {
            if let Some(chain) = self.chains.get_mut(&root) {
                chain.known = Some(requirement(&chain.legs, held, self.reading));
                chain.written = covered_by_shares(&chain.legs);
            }
        }
        for chain in self.chains.values() {
            if let Some(known) = chain.known {
                options += known?.amount;
            }
            for leg in &chain.legs {
                let worth = chain.worth(leg);
                if worth >= 0 { long_value += worth } else { short_value += worth }
            }
            owed += chain.owed(&chain.written);
        }
        let Totals { long, short, initial, maintenance, reserved } = self.totals;
        let (long, short) = (long + long_value, short + short_value);
        let (initial, maintenance) = (initial + options, maintenance + options);
        let equity = self.cash + long + short;
        // Options lend nothing: long ones are paid in full, and of short ones the requirement is the whole worst loss, so
        // that what they cost to buy back now is not taken off once more. Calls on shares ask for nothing, and what they
        // cost is owed: the shares are worth no more than their strike.
        let own = equity - long_value - short_value - owed;
        let excess = own - initial - reserved;
        let times = if equity < MARGIN_MINIMUM_EQUITY { 1 } else { self.multiplier };
        // Where nothing is lent, what secures options is cash, and what is bought is paid in cash.
        let lends = times > 1;
        let paid = excess.min(self.cash - reserved - if lends { 0 } else { options }).max(0);
        Ok(Figures {
            equity,
            long_market_value: long,
            short_market_value: short,
            initial,
            maintenance,
            options,
            excess,
            buying_power: if lends { (excess * times).max(0) } else { paid },
            options_buying_power: if lends { excess.max(0) } else { paid },
            non_marginable_buying_power: paid,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::margin::leg::{Right, parse_occ};

    fn whole(dollars: i128) -> i128 {
        dollars * NANO
    }

    #[test]
    fn a_fresh_account_has_twice_its_cash() {
        let mut account = Account::new(2, Expirations::PerDate);
        account.cash = whole(100_000);
        let figures = account.figures().unwrap();
        assert_eq!((figures.equity, figures.buying_power), (whole(100_000), whole(200_000)));
        assert_eq!(
            (figures.options_buying_power, figures.non_marginable_buying_power),
            (whole(100_000), whole(100_000))
        );
    }

    #[test]
    fn positions_and_orders_take_their_part() {
        let mut account = Account::new(2, Expirations::PerDate);
        account.cash = whole(95_000);
        account.set_position("IBM", 100 * NANO, whole(50), Rates::default());
        account.reserve("O-1", whole(1_500));
        let figures = account.figures().unwrap();
        assert_eq!(
            (figures.equity, figures.initial, figures.maintenance),
            (whole(100_000), whole(2_500), whole(1_500))
        );
        assert_eq!(figures.buying_power, whole((97_500 - 1_500) * 2));
        account.release("O-1");
        account.set_price("IBM", whole(60));
        let figures = account.figures().unwrap();
        assert_eq!((figures.equity, figures.initial), (whole(101_000), whole(3_000)));
        account.set_position("IBM", 0, 0, Rates::default());
        assert_eq!(account.figures().unwrap().buying_power, whole(190_000));
    }

    #[test]
    fn a_small_account_has_no_margin() {
        let mut account = Account::new(2, Expirations::PerDate);
        account.cash = whole(1_999);
        assert_eq!(account.figures().unwrap().buying_power, whole(1_999));
    }

    #[test]
    fn shares_cover_calls_and_only_while_they_are_held() {
        let mut account = Account::new(2, Expirations::PerDate);
        account.cash = whole(10_000);
        account.set_position("AAPL", 100 * NANO, whole(100), Rates::default());
        let (root, call) = parse_occ("AAPL250117C00110000").unwrap();
        account.set_option(root, call, -1, whole(1));
        let figures = account.figures().unwrap();
        assert_eq!((figures.options, figures.short_market_value), (0, -whole(100)));
        account.set_position("AAPL", 99 * NANO, whole(100), Rates::default());
        assert_eq!(account.figures(), Err(Uncovered { expiry: 250_117, contracts: 1 }));
    }

    #[test]
    fn shares_under_a_call_lend_no_more_than_what_it_leaves_of_them() {
        let mut account = Account::new(2, Expirations::PerDate);
        account.set_position("AAPL", 100 * NANO, whole(200), Rates::default());
        let (root, call) = parse_occ("AAPL250117C00100000").unwrap();
        account.set_option(root, call, -1, whole(100));
        // Whatever the shares do above 100, they bring 10,000: half of the 20,000 that they are at is all there is.
        let figures = account.figures().unwrap();
        assert_eq!((figures.equity, figures.initial, figures.options), (whole(10_000), whole(10_000), 0));
        assert_eq!((figures.excess, figures.buying_power, figures.options_buying_power), (0, 0, 0));
        // Bought back it is owed no more, which pays for it.
        let cost = account.options_cost(root, &[Leg { contract: call, qty: 1 }], 0, whole(101), 1).unwrap();
        assert_eq!((cost.owed, cost.amount), (-whole(10_000), whole(100)));
        // One that another call covers is asked for by the spread rule instead.
        let (_, long) = parse_occ("AAPL250117C00110000").unwrap();
        account.set_option(root, long, 1, whole(90));
        let figures = account.figures().unwrap();
        assert_eq!((figures.equity, figures.options, figures.excess), (whole(19_000), whole(1_000), whole(9_000)));
    }

    #[test]
    fn values_of_options_are_told_long_and_short_apart() {
        let mut account = Account::new(2, Expirations::PerDate);
        let leg = |strike, qty| Leg::new(Right::Call, strike, 250_117, qty).unwrap();
        for (leg, price) in [(leg(200_000, 1), 5), (leg(190_000, -1), 8)] {
            account.set_option("AAPL", leg.contract, leg.qty, whole(price));
        }
        let figures = account.figures().unwrap();
        assert_eq!((figures.long_market_value, figures.short_market_value), (whole(500), -whole(800)));
    }

    #[test]
    fn where_nothing_is_lent_everything_is_paid_in_cash() {
        for (multiplier, cash, price) in [(1, 5_000, 100), (2, 999, 10)] {
            let mut account = Account::new(multiplier, Expirations::PerDate);
            account.cash = whole(cash);
            account.set_position("IBM", 100 * NANO, whole(price), Rates::default());
            let figures = account.figures().unwrap();
            let powers = (figures.buying_power, figures.options_buying_power, figures.non_marginable_buying_power);
            assert_eq!(powers, (whole(cash), whole(cash), whole(cash)));
        }
        // The cash that secures a put is no one else's.
        let mut account = Account::new(1, Expirations::PerDate);
        account.cash = whole(10_500);
        account.set_position("IBM", 100 * NANO, whole(200), Rates::default());
        let (root, put) = parse_occ("AAPL250117P00100000").unwrap();
        account.set_option(root, put, -1, whole(5));
        assert_eq!(account.figures().unwrap().buying_power, whole(500));
    }

    #[test]
    fn a_short_put_takes_its_strike_less_its_premium() {
        let mut account = Account::new(2, Expirations::PerDate);
        account.cash = whole(10_500); // 10,000 and the premium
        let (root, put) = parse_occ("AAPL250117P00100000").unwrap();
        account.set_option(root, put, -1, whole(5));
        let figures = account.figures().unwrap();
        assert_eq!((figures.equity, figures.options), (whole(10_000), whole(10_000)));
        // At worst the shares are bought for 10,000: 500 are left, whatever the put is worth meanwhile.
        assert_eq!(figures.options_buying_power, whole(500));
        account.set_option(root, put, -1, whole(20));
        assert_eq!(account.figures().unwrap().options_buying_power, whole(500));
    }

    #[test]
    fn a_credit_spread_costs_its_width_less_the_credit() {
        let mut account = Account::new(2, Expirations::PerDate);
        account.cash = whole(10_000);
        let leg = |strike, qty| Leg::new(Right::Call, strike, 250_117, qty).unwrap();
        let cost = account.options_cost("AAPL", &[leg(200_000, 1), leg(190_000, -1)], 0, -whole(5), 1).unwrap();
        assert_eq!(cost.amount, whole(500));
        for leg in [leg(200_000, 1), leg(190_000, -1)] {
            account.set_option("AAPL", leg.contract, leg.qty, whole(5));
        }
        assert_eq!(account.figures().unwrap().options, whole(1_000));
        // Closing it gives the requirement back: what is paid costs less than that, so nothing.
        let cost = account.options_cost("AAPL", &[leg(200_000, -1), leg(190_000, 1)], 0, whole(5), 1).unwrap();
        assert_eq!(cost.amount, 0);
    }
}
