//! The book: positions, working orders and marks, with gross exposure added up by account and by strategy.
//!
//! Accounts, strategies and instruments are the caller's small numbers.

mod check;

use rustc_hash::FxHashMap;

use super::side::{Asked, Open, Side, Sum};
use super::{Wrong, times};

/// An account as a whole, or one strategy on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Owner {
    account: u32,
    strategy: Option<u32>,
}

/// What an owner has of one instrument.
#[derive(Clone, Debug, Default)]
struct Part {
    held: i128,
    /// What the position was opened at: better than to count nothing where no price has arrived.
    opened_at: Option<i128>,
    sides: [Side; 2],
    /// What it could become by its sells and by its buys; None where that can't be told.
    worst: [Option<i128>; 2],
}

impl Part {
    /// Its part of the gross exposure.
    fn gross(&self) -> Option<i128> {
        self.worst[0].zip(self.worst[1]).map(|(one, other)| one.max(other))
    }
}

#[derive(Clone, Debug, Default)]
struct Parts {
    by_instrument: FxHashMap<u32, Part>,
    /// Σ gross over the parts where it is known.
    total: i128,
    unknown: usize,
    orders: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Market {
    multiplier: Option<i128>,
    /// Several contracts at once, which count one by one: nobody ever holds a spread.
    spread: bool,
    /// What a unit is sold for, and bought for.
    marks: [Option<i128>; 2],
}

/// What an order could trade with: nothing of our own that is exempt, else its limit, or the market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resting {
    Exempt,
    Market,
    Limit(i128),
}

impl Resting {
    /// Whether an order of the other side, with this limit (None: at the market), could trade with it.
    pub fn meets(self, buy: bool, limit: Option<i128>) -> bool {
        match (self, limit) {
            (Self::Exempt, _) => false,
            (Self::Limit(theirs), Some(ours)) => {
                if buy {
                    ours >= theirs
                } else {
                    theirs >= ours
                }
            }
            _ => true,
        }
    }
}

#[derive(Clone, Debug)]
struct Placed {
    number: u64,
    account: u32,
    strategy: u32,
    instrument: u32,
    buy: bool,
    resting: Resting,
    /// The contracts of a spread, and on which side each is.
    legs: Box<[(u32, bool)]>,
}

/// One contract of a spread: how many of it one spread has, less than 0 where it is sold, and what a unit is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    pub instrument: u32,
    pub ratio: i128,
    pub worth: Option<i128>,
}

impl Leg {
    /// What an order of the spread does to the contract: its side, and how much of it can be filled.
    fn part(&self, buy: bool, qty: i128) -> Result<(bool, i128), Wrong> {
        Ok((buy == (self.ratio > 0), times(qty, self.ratio.abs())?))
    }
}

/// An order that is judged. `qty` is None where it is given in money and can't be told in units.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    pub order: &'a str,
    pub instrument: u32,
    pub buy: bool,
    pub qty: Option<i128>,
    pub price: Option<i128>,
    pub group: Option<&'a str>,
    /// Which one of those that are judged, counted from 0.
    pub of: usize,
    /// Whether it is what an order of a spread does to one of its contracts.
    pub leg: bool,
}

impl Candidate<'_> {
    /// Put what it does to the contract of a spread beside it.
    pub fn leg(&self, leg: &Leg) -> Result<Self, Wrong> {
        let (buy, qty) = leg.part(self.buy, self.qty.unwrap_or(0))?;
        let qty = self.qty.map(|_| qty);
        Ok(Self { instrument: leg.instrument, buy, qty, price: leg.worth, group: None, leg: true, ..self.clone() })
    }
}

/// What a limit is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Node,
    Account,
    Strategy,
}

/// What binds the orders of one strategy on one account. Values in 10⁻¹⁸ USD.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    pub position_of_account: Option<i128>,
    pub position_of_strategy: Option<i128>,
    pub gross: Vec<(Level, i128)>,
    pub open_orders: Vec<(Level, usize)>,
}

/// The first bound that is exceeded, with the numbers; `candidate`, `bound`: which one, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    Position { level: Level, candidate: usize, instrument: u32, worst: i128, held: i128, working: i128 },
    PositionUnpriced { level: Level, candidate: usize },
    Gross { bound: usize, before: i128, after: i128 },
    GrossUnpriced { bound: usize, instrument: u32 },
    OpenOrders { bound: usize, working: usize },
}

#[derive(Clone, Debug, Default)]
pub struct Book {
    markets: FxHashMap<u32, Market>,
    owners: FxHashMap<Owner, Parts>,
    placed: FxHashMap<Box<str>, Placed>,
    names: FxHashMap<u64, Box<str>>,
    number: u64,
}

impl Book {
    /// Say what one contract is of (None where that is not known, any more), and whether it is a spread.
    pub fn declare(&mut self, instrument: u32, multiplier: Option<i128>, spread: bool) {
        let market = self.markets.entry(instrument).or_default();
        (market.multiplier, market.spread) = (multiplier, spread);
        self.revalue(instrument, true);
        self.revalue(instrument, false);
    }

    /// What a unit is bought (`buy`) or sold for now; None where nothing is known.
    pub fn mark(&mut self, instrument: u32, buy: bool, price: Option<i128>) -> Result<(), Wrong> {
        let market = self.markets.get_mut(&instrument).ok_or(Wrong::Undeclared(instrument))?;
        if market.marks[usize::from(buy)] == price {
            return Ok(());
        }
        market.marks[usize::from(buy)] = price;
        self.revalue(instrument, buy);
        Ok(())
    }

    /// Set a position: of the account as a whole, or a strategy's share of it.
    pub fn hold(
        &mut self,
        account: u32,
        strategy: Option<u32>,
        instrument: u32,
        held: i128,
        opened_at: Option<i128>,
    ) -> Result<(), Wrong> {
        self.market(instrument)?;
        let owner = Owner { account, strategy };
        let part = self.owners.entry(owner).or_default().by_instrument.entry(instrument).or_insert_with(nothing);
        if part.held == held && part.opened_at == opened_at {
            return Ok(());
        }
        (part.held, part.opened_at) = (held, opened_at);
        self.value(owner, instrument, true);
        self.value(owner, instrument, false);
        Ok(())
    }

    /// An order works, with so much of it open; again replaces what was said before. After an error it is not known.
    #[allow(clippy::too_many_arguments)]
    pub fn put(
        &mut self,
        order: &str,
        account: u32,
        strategy: u32,
        instrument: u32,
        buy: bool,
        open: Open,
        resting: Resting,
        legs: &[Leg],
    ) -> Result<(), Wrong> {
        self.remove(order);
        let mut opens = vec![(instrument, buy, open)];
        for leg in legs {
            let (buy, qty) = leg.part(buy, opens[0].2.qty)?;
            opens.push((leg.instrument, buy, Open { qty, price: leg.worth, group: None, leg: true }));
        }
        for (instrument, ..) in &opens {
            self.market(*instrument)?;
        }
        self.number += 1;
        let number = self.number;
        let legs = opens[1..].iter().map(|(instrument, buy, _)| (*instrument, *buy)).collect();
        self.placed.insert(order.into(), Placed { number, account, strategy, instrument, buy, resting, legs });
        self.names.insert(number, order.into());
        for owner in [Owner { account, strategy: None }, Owner { account, strategy: Some(strategy) }] {
            for (instrument, buy, open) in &opens {
                let parts = self.owners.entry(owner).or_default();
                let part = parts.by_instrument.entry(*instrument).or_insert_with(nothing);
                if let Err(wrong) = part.sides[usize::from(*buy)].put(number, open.clone()) {
                    self.remove(order);
                    return Err(wrong);
                }
                parts.orders += usize::from(!open.leg);
                self.value(owner, *instrument, *buy);
            }
        }
        Ok(())
    }

    /// An order is over. Nothing where it is not known.
    pub fn remove(&mut self, order: &str) {
        let Some(placed) = self.placed.remove(order) else { return };
        self.names.remove(&placed.number);
        let Placed { number, account, strategy, instrument, buy, legs, .. } = placed;
        for owner in [Owner { account, strategy: None }, Owner { account, strategy: Some(strategy) }] {
            let own = [(instrument, buy, true)].into_iter();
            for (instrument, buy, own) in own.chain(legs.iter().map(|(leg, buy)| (*leg, *buy, false))) {
                if let Some(parts) = self.owners.get_mut(&owner)
                    && let Some(part) = parts.by_instrument.get_mut(&instrument)
                {
                    let removed = part.sides[usize::from(buy)].remove(number);
                    parts.orders -= usize::from(removed && own);
                    self.value(owner, instrument, buy);
                }
            }
        }
    }

    /// How many orders work: of one account, of one strategy on it, or of all.
    pub fn orders(&self, account: Option<u32>, strategy: Option<u32>) -> usize {
        let Some(account) = account else { return self.placed.len() };
        self.owners.get(&Owner { account, strategy }).map_or(0, |parts| parts.orders)
    }

    /// The instruments that anybody holds or has ordered.
    pub fn instruments(&self) -> Vec<u32> {
        // An account may be flat where two of its strategies hold opposite positions.
        let mut found: Vec<u32> = self.owners.values().flat_map(|parts| parts.by_instrument.keys().copied()).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The gross exposure, or Err with an instrument whose price is missing.
    pub fn total(&self, account: u32, strategy: Option<u32>) -> Result<i128, u32> {
        let Some(parts) = self.owners.get(&Owner { account, strategy }) else { return Ok(0) };
        if parts.unknown == 0 {
            return Ok(parts.total);
        }
        let missing = parts.by_instrument.iter().find(|(_, part)| part.gross().is_none());
        missing.map_or(Ok(parts.total), |(instrument, _)| Err(*instrument))
    }

    /// The largest instrument's part of it, of those that can be told.
    pub fn largest(&self, account: u32, strategy: Option<u32>) -> i128 {
        let parts = self.owners.get(&Owner { account, strategy });
        parts.and_then(|parts| parts.by_instrument.values().filter_map(Part::gross).max()).unwrap_or(0)
    }

    /// What an account, or one strategy on it, holds of an instrument.
    pub fn held(&self, account: u32, strategy: Option<u32>, instrument: u32) -> i128 {
        self.part(Owner { account, strategy }, instrument).map_or(0, |part| part.held)
    }

    /// What the orders of one side can fill together, but for this one and those of its group.
    pub fn others(
        &self,
        account: u32,
        strategy: Option<u32>,
        instrument: u32,
        buy: bool,
        without: &str,
        group: Option<&str>,
    ) -> Result<i128, Wrong> {
        let own = self.placed.get(without).map(|placed| placed.number);
        let part = self.part(Owner { account, strategy }, instrument);
        part.map_or(Ok(0), |part| part.sides[usize::from(buy)].others(own, group))
    }

    /// The orders of one side of an account, those of spreads among them.
    pub fn working(&self, account: u32, instrument: u32, buy: bool) -> impl Iterator<Item = (&str, &Open)> {
        let part = self.part(Owner { account, strategy: None }, instrument);
        let orders = part.into_iter().flat_map(move |part| part.sides[usize::from(buy)].orders());
        orders.filter_map(|(number, open)| Some((&**self.names.get(&number)?, open)))
    }

    /// What one contract is of; None where that is not known.
    pub fn multiplier(&self, instrument: u32) -> Option<i128> {
        self.markets.get(&instrument)?.multiplier
    }

    /// What the orders of one side can fill together, with the candidates of that side and without spreads.
    pub fn side(
        &self,
        account: u32,
        strategy: Option<u32>,
        instrument: u32,
        buy: bool,
        candidates: &[Candidate<'_>],
    ) -> Result<i128, Wrong> {
        let part = self.part(Owner { account, strategy }, instrument);
        let legs = part.map_or(0, |part| part.sides[usize::from(buy)].legs());
        Ok(self.sum(part, instrument, buy, candidates)?.qty - legs)
    }

    /// Whether it is several contracts at once.
    pub fn is_spread(&self, instrument: u32) -> bool {
        self.markets.get(&instrument).is_some_and(|market| market.spread)
    }

    /// Whether the candidates of one instrument only shrink the position, together with what closes it already.
    pub fn reduces(
        &self,
        account: u32,
        strategy: Option<u32>,
        instrument: u32,
        candidates: &[Candidate<'_>],
    ) -> Result<bool, Wrong> {
        let part = self.part(Owner { account, strategy }, instrument);
        let held = part.map_or(0, |part| part.held);
        let buy = held < 0;
        if held == 0 || candidates.iter().any(|each| each.instrument == instrument && each.buy != buy) {
            return Ok(false);
        }
        Ok(self.sum(part, instrument, buy, candidates)?.qty <= held.abs())
    }

    /// The first of our own orders, on the other side, that an order with this limit (None: at the market) could meet.
    pub fn meets(&self, account: u32, instrument: u32, buy: bool, limit: Option<i128>, order: &str) -> Option<&str> {
        let part = self.part(Owner { account, strategy: None }, instrument)?;
        for number in part.sides[usize::from(!buy)].numbers() {
            let name = self.names.get(&number)?;
            if self.placed.get(name)?.resting.meets(buy, limit) && **name != *order {
                return Some(name);
            }
        }
        None
    }

    fn market(&self, instrument: u32) -> Result<&Market, Wrong> {
        self.markets.get(&instrument).ok_or(Wrong::Undeclared(instrument))
    }

    fn part(&self, owner: Owner, instrument: u32) -> Option<&Part> {
        self.owners.get(&owner)?.by_instrument.get(&instrument)
    }

    fn sum(&self, part: Option<&Part>, instrument: u32, buy: bool, candidates: &[Candidate<'_>]) -> Result<Sum, Wrong> {
        let of_side = candidates.iter().filter(|each| each.instrument == instrument && each.buy == buy);
        let asked: Vec<Asked> = of_side
            .map(|each| Asked {
                number: self.placed.get(each.order).map(|placed| placed.number),
                open: Open {
                    qty: each.qty.unwrap_or(0),
                    price: each.price,
                    group: each.group.map(Into::into),
                    leg: each.leg,
                },
            })
            .collect();
        match part {
            Some(part) => part.sides[usize::from(buy)].with(&asked),
            None => Side::default().with(&asked),
        }
    }

    /// What a part could become by one side, with its multiplier; None where that can't be told.
    fn worst(&self, part: Option<&Part>, instrument: u32, sum: &Sum, buy: bool) -> Result<Option<i128>, Wrong> {
        let held = part.map_or(0, |part| part.held);
        if held == 0 && sum.qty == 0 {
            return Ok(Some(0));
        }
        let market = self.market(instrument)?;
        if market.spread {
            return Ok(Some(0)); // its contracts count
        }
        let mark = market.marks[usize::from(buy)];
        let mark = if held == 0 { mark } else { mark.or(part.and_then(|part| part.opened_at)) };
        let (Some(worst), Some(multiplier)) = (sum.worst(held, mark, buy)?, market.multiplier) else {
            return Ok(None);
        };
        times(worst, multiplier).map(Some)
    }

    /// Work out one side of one part anew, and its owner's total. What can't be told is unknown, and so is the total.
    fn value(&mut self, owner: Owner, instrument: u32, buy: bool) {
        let Some(part) = self.part(owner, instrument) else { return };
        let sum = part.sides[usize::from(buy)].with(&[]);
        let worst = sum.and_then(|sum| self.worst(Some(part), instrument, &sum, buy)).unwrap_or(None);
        let Some(parts) = self.owners.get_mut(&owner) else { return };
        let Some(part) = parts.by_instrument.get_mut(&instrument) else { return };
        let before = part.gross();
        part.worst[usize::from(buy)] = worst;
        let rest = parts.total - before.unwrap_or(0);
        if part.gross().is_some_and(|gross| rest.checked_add(gross).is_none()) {
            part.worst[usize::from(buy)] = None;
        }
        let after = part.gross();
        parts.unknown = parts.unknown + usize::from(after.is_none()) - usize::from(before.is_none());
        parts.total = rest + after.unwrap_or(0);
        if part.held == 0 && part.sides.iter().all(Side::is_empty) {
            parts.total = rest;
            parts.unknown -= usize::from(after.is_none());
            parts.by_instrument.remove(&instrument);
        }
    }

    fn revalue(&mut self, instrument: u32, buy: bool) {
        let owners = self.owners.iter().filter(|(_, parts)| parts.by_instrument.contains_key(&instrument));
        let owners: Vec<Owner> = owners.map(|(owner, _)| *owner).collect();
        for owner in owners {
            self.value(owner, instrument, buy);
        }
    }
}

/// A part that nothing is in.
fn nothing() -> Part {
    Part { worst: [Some(0), Some(0)], ..Part::default() }
}

#[cfg(test)]
mod tests;
