//! The numbers of a decision: whether an order keeps to the limits, and the room that it takes when it does.
//!
//! Everything that is counted is kept up change by change: positions, working orders and prices (`crate::exposure`), the
//! buying power that working orders hold (`room`), what passed lately (`crate::rate`, `twins`), quotes. A question walks
//! over nothing that it is not about. Quantities are nano-units, prices nano-dollars, values 10⁻¹⁸ USD; what does not
//! fit 128 bits is an error, never a wrapped number.

mod closing;
mod fault;
mod order;
pub mod quote;
pub mod room;
pub mod twins;

use rustc_hash::FxHashMap;

use crate::exposure::{self, Candidate, Level, minus, plus, times};
use crate::margin::reg_t::{Rates, initial};
use crate::margin::{NANO, RANGE};
use crate::rate;
pub use fault::{Fault, Look, Wrong};
use order::candidates;
pub use order::{Checks, Most, Order, Rules};
use quote::Quote;
use room::{Entry, Open, Power, Purse, Room, Whole};
use twins::Twins;

/// One dollar, as values are counted.
pub const ATTO: i128 = 1_000_000_000_000_000_000;

/// What one unit is bought or sold for; None where nothing tells.
#[derive(Clone, Copy, Debug)]
pub struct Priced {
    pub instrument: u32,
    pub buy: bool,
    pub price: Option<i128>,
}

/// All accounts of a node.
#[derive(Debug, Default)]
pub struct Desk {
    pub book: exposure::Book,
    pub room: Room,
    /// Whether anything is asked of margin; without, what orders cost is not followed.
    pub margin: bool,
    /// Accounts and instruments of which positions or orders changed since it was worked out what closes.
    changed: Vec<(u32, u32)>,
    rates: rate::Windows,
    margins: FxHashMap<u32, Rates>,
    twins: Twins,
    quotes: FxHashMap<u32, Quote>,
    largest: FxHashMap<Box<str>, i128>,
}

impl Desk {
    pub fn quote(&mut self, instrument: u32, quote: Quote) {
        self.quotes.insert(instrument, quote);
    }

    /// How an instrument is margined where the broker lends on it.
    pub fn margined(&mut self, instrument: u32, rates: Rates) {
        self.margins.insert(instrument, rates);
    }

    /// What a unit costs at least that is lent on: `least`, and twice the initial margin that the position will ask for,
    /// which is what it takes of twice the excess. Cheap shares, and some funds, ask for more than half.
    pub fn floor(&self, account: u32, priced: &Priced, least: i128) -> Result<i128, Wrong> {
        let Some(price) = priced.price.map(|price| price.max(least)) else { return Ok(least) };
        let Some(rates) = self.margins.get(&priced.instrument) else { return Ok(least) };
        if price > RANGE || !self.room.levered(account)? {
            return Ok(least);
        }
        let two = if priced.buy { 2 * NANO } else { -2 * NANO };
        Ok(least.max(initial(two, price, rates)))
    }

    /// The largest order that a limit on one let through, by the limit's place in the file.
    pub fn largest(&self, place: &str) -> i128 {
        self.largest.get(place).copied().unwrap_or(0)
    }

    /// How many orders that passed a window holds.
    pub fn passed(&mut self, key: &str, per: i64, now: i64) -> usize {
        self.rates.held(key, per, now)
    }

    /// Orders passed, as one command: they count for the rates, the doubles and the largest. A modification that was not
    /// judged comes without its order, and counts for the rates all the same.
    pub fn count(&mut self, strategy: u32, rules: &Rules, orders: &[&Order], now: i64) {
        self.rates.count(&rules.rates, orders.len().max(1), now);
        for order in orders {
            if let Some(window) = rules.twins
                && !order.change
            {
                self.twins.passed(order.likeness(strategy), window, now);
            }
            self.measure(rules, order);
        }
    }

    /// A modification passed: see `Room::expect`.
    pub fn expect(&mut self, id: &str, least: i128, whole: Option<Whole>, order: Option<&Order>) -> Result<(), Wrong> {
        let (mut closing, mut least) = (0, least);
        if let (Some(order), Some(entry)) = (order, self.room.entry(id)) {
            closing = plus(self.closes(entry.account, order, &[])?, order.filled)?;
            least = least.max(self.least(entry.account, order)?);
        }
        self.room.expect(id, least, whole, closing)
    }

    /// No modification of an order is under way any more: see `Room::settle`.
    pub fn settle(&mut self, id: &str, priced: &Priced, least: i128, whole: Option<Whole>) -> Result<(), Wrong> {
        let Some(entry) = self.room.entry(id) else { return Ok(()) };
        let least = if entry.lent { self.floor(entry.account, priced, least)? } else { least };
        self.room.settle(id, least, whole);
        Ok(())
    }

    /// What a unit of an order costs at least, besides its own price.
    fn least(&self, account: u32, order: &Order) -> Result<i128, Wrong> {
        let Order { instrument, buy, cost, least, purse, mark, trigger, .. } = *order;
        if purse != Some(Purse::RegT) {
            return Ok(least);
        }
        let floor = self.floor(account, &Priced { instrument, buy, price: cost }, least)?;
        if !buy || trigger.is_some() {
            return Ok(floor);
        }
        // Filled below its limit, a share that is cheap there asks for more.
        let now = cost.zip(mark).map(|(cost, mark)| cost.min(mark));
        Ok(floor.max(self.floor(account, &Priced { instrument, buy, price: now }, least)?))
    }

    /// Hold orders that are one command against what binds them. `gross` stands in for that of the rules.
    #[allow(clippy::too_many_arguments)]
    pub fn look(
        &mut self,
        account: u32,
        strategy: u32,
        rules: &Rules,
        orders: &[&Order],
        checks: Checks,
        gross: Option<&[(Level, i128)]>,
        now: i64,
    ) -> Result<Look, Wrong> {
        self.cover();
        for order in orders {
            self.book.mark(order.instrument, order.buy, order.mark)?;
        }
        let candidates = candidates(orders)?;
        let reduces = self.shrink(account, None, orders, &candidates)?;
        let at_all = self.at_all(account, strategy, rules, orders, checks, now).err();
        let opening = if reduces {
            None
        } else {
            self.opening(account, strategy, rules, (orders, &candidates), checks, gross, now).err()
        };
        Ok(Look { reduces, at_all, opening })
    }

    /// Whether orders only shrink what one strategy holds, together with what closes that already.
    pub fn reduces(&self, account: u32, strategy: u32, orders: &[&Order]) -> Result<bool, Wrong> {
        self.shrink(account, Some(strategy), orders, &candidates(orders)?)
    }

    fn shrink(
        &self,
        account: u32,
        strategy: Option<u32>,
        orders: &[&Order],
        candidates: &[Candidate<'_>],
    ) -> Result<bool, Wrong> {
        let untold = |order: &&Order| self.book.is_spread(order.instrument) && order.legs.is_empty();
        if orders.is_empty() || orders.iter().any(|order| order.money || order.units.is_none() || untold(order)) {
            return Ok(false);
        }
        for each in candidates.iter().filter(|each| !self.book.is_spread(each.instrument)) {
            if !self.book.reduces(account, strategy, each.instrument, candidates)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// An order passed: its room is taken from now on. `whole`: what it costs, where that is not told by its price.
    pub fn take(
        &mut self,
        account: u32,
        strategy: u32,
        order: &Order,
        whole: Option<Whole>,
        now: i64,
    ) -> Result<(), Wrong> {
        if self.margin {
            let closing = self.closes(account, order, &[])?;
            let lent = order.purse == Some(Purse::RegT);
            let least = self.least(account, order)?;
            self.room.enter(&order.id, Entry { lent, whole, ..Entry::new(account, closing, least) });
        }
        self.book.put(
            &order.id,
            account,
            strategy,
            order.instrument,
            order.buy,
            order.open(),
            order.resting(),
            &order.legs,
        )?;
        if self.margin {
            let (left, worth, filled, size) = (order.left, order.worth, order.filled, self.size(order.instrument));
            self.room.note(&order.id, &Open { left, worth, filled, size, closed: false, accepted: false }, now)?;
            // The last that came changes nothing for the others; but of a group it may share with one that came before.
            if order.group.is_some() {
                self.change(account, order.instrument);
            }
        }
        Ok(())
    }

    /// Whether it is the largest that a limit on one order let through. A modification that does not add to an order is
    /// let through by none.
    fn measure(&mut self, rules: &Rules, order: &Order) {
        for (most, value) in [(&rules.qty, order.units), (&rules.notional, self.value(order).unwrap_or(None))] {
            if let (Some(most), Some(value)) = (most, value)
                && value <= most.value
            {
                match self.largest.get_mut(&most.place) {
                    Some(largest) => *largest = value.max(*largest),
                    None => _ = self.largest.insert(most.place.clone(), value),
                }
            }
        }
    }

    /// Something happened to an order: what it still costs is worked out anew. Nothing where it was never entered.
    #[allow(clippy::too_many_arguments)]
    pub fn note(
        &mut self,
        order: &str,
        instrument: u32,
        left: i128,
        worth: Option<i128>,
        filled: i128,
        closed: bool,
        accepted: bool,
        now: i64,
    ) -> Result<(), Wrong> {
        let size = self.size(instrument); // asked for only where some of it opens
        if let Some(account) = self.room.note(order, &Open { left, worth, filled, size, closed, accepted }, now)? {
            self.change(account, instrument);
        }
        Ok(())
    }

    fn size(&self, instrument: u32) -> Result<i128, Wrong> {
        self.book.multiplier(instrument).ok_or(Wrong::Unsized(instrument))
    }

    /// The whole order's; None where nothing tells.
    fn value(&self, order: &Order) -> Result<Option<i128>, Wrong> {
        let Some((units, worth)) = order.units.zip(order.worth) else { return Ok(None) };
        Ok(Some(times(times(units, worth)?, self.size(order.instrument)?)?))
    }

    fn at_all(
        &self,
        account: u32,
        strategy: u32,
        rules: &Rules,
        orders: &[&Order],
        checks: Checks,
        now: i64,
    ) -> Result<(), Fault> {
        let mut unpriced = None;
        for (index, order) in orders.iter().enumerate() {
            let before = &orders[..index];
            if let Some(window) = rules.twins
                && checks.has(Checks::TWINS)
            {
                let likeness = order.likeness(strategy);
                let twice = before.iter().any(|each| each.likeness(strategy) == likeness);
                let age = self.twins.age(&likeness, window, now);
                if twice || age.is_some() {
                    return Err(Fault::Twin { order: index, age });
                }
            }
            if rules.self_match && !order.exempt && checks.has(Checks::SELF_MATCH) {
                let Order { instrument, buy, limit, ref id, .. } = **order;
                let own = before.iter().find(|each| order.meets(each)).map(|each| &*each.id);
                if let Some(met) = own.or_else(|| self.book.meets(account, instrument, buy, limit, id)) {
                    return Err(Fault::SelfMatch { order: index, met: met.into() });
                }
            }
            if let Some(most) = &rules.qty
                && checks.has(Checks::QTY)
            {
                match order.units {
                    Some(units) if units > most.value => return Err(Fault::Qty { order: index }),
                    Some(_) => {}
                    None => unpriced = unpriced.or(Some(Fault::Unpriced { order: index, notional: false })),
                }
            }
            if let Some(most) = &rules.notional
                && checks.has(Checks::NOTIONAL)
            {
                match self.value(order)? {
                    Some(value) if value > most.value => return Err(Fault::Notional { order: index, value }),
                    Some(_) => {}
                    None => unpriced = unpriced.or(Some(Fault::Unpriced { order: index, notional: true })),
                }
            }
        }
        unpriced.map_or(Ok(()), Err)
    }

    #[allow(clippy::too_many_arguments)]
    fn opening(
        &mut self,
        account: u32,
        strategy: u32,
        rules: &Rules,
        (orders, candidates): (&[&Order], &[Candidate<'_>]),
        checks: Checks,
        gross: Option<&[(Level, i128)]>,
        now: i64,
    ) -> Result<(), Fault> {
        if checks.has(Checks::QUOTES) && !rules.collar.is_none() {
            for (index, order) in orders.iter().enumerate() {
                let quote = self.quotes.get(&order.instrument).copied().unwrap_or_default();
                let Order { buy, held_to, limit, trigger, .. } = **order;
                if let Some(off) = rules.collar.check(quote, quote::Priced { buy, held_to, limit, trigger }, now)? {
                    return Err(Fault::Quote { order: index, off });
                }
            }
        }
        let gross = if rules.of_equity { gross } else { Some(&rules.bounds.gross[..]) };
        if checks.has(Checks::EXPOSURE)
            && let Some(gross) = gross
            && let Some(breach) =
                self.book.check(account, strategy, candidates, &rules.bounds, gross, checks.has(Checks::OPEN_ORDERS))?
        {
            return Err(Fault::Exposure(breach));
        }
        if checks.has(Checks::RATES)
            && let Some((bound, held)) = self.rates.exceeded(&rules.rates, orders.len(), now)
        {
            return Err(Fault::Rate { bound, held });
        }
        match rules.headroom {
            Some(headroom) if checks.has(Checks::MARGIN) => self.afford(account, orders, headroom),
            _ => Ok(()),
        }
    }

    /// Whether what these open can be paid for, a list as a whole, a modification by what it adds.
    fn afford(&self, account: u32, orders: &[&Order], headroom: i128) -> Result<(), Fault> {
        let [lent, cash] = self.costs(account, orders)?;
        let costs = if lent > 0 && cash > 0 {
            // One equity pays for both, and they reach the venue in any order: each beside all of the other.
            [(Purse::RegT, plus(lent, times(cash, 2)?)?), (Purse::Cash, plus(cash, lent)?)]
        } else {
            [(Purse::RegT, lent), (Purse::Cash, cash)]
        };
        for (purse, cost) in costs.into_iter().filter(|(_, cost)| *cost > 0) {
            let power = self.room.power(account, purse)?.ok_or(Fault::NoEquity)?;
            let kept = power.kept(headroom)?;
            let Power { own, broker, .. } = power;
            let asked = plus(cost, kept)?;
            if asked > own || broker.is_some_and(|broker| asked > broker) {
                return Err(Fault::Margin { cost, kept, own, broker });
            }
        }
        Ok(())
    }

    /// What these open costs, of options nothing: what is lent on and what is not, which is all of it where the broker
    /// does not lend.
    pub fn costs(&self, account: u32, orders: &[&Order]) -> Result<[i128; 2], Fault> {
        let (mut lent, mut cash) = (0, 0);
        for (index, order) in orders.iter().enumerate() {
            let Some(purse) = order.purse else { continue };
            let cost = self.cost(account, orders, index)?;
            if cost == 0 {
                continue;
            }
            if !order.buy && !self.room.levered(account)? {
                return Err(Fault::Short { order: index });
            }
            let total = if purse == Purse::Cash { &mut cash } else { &mut lent };
            *total = plus(*total, cost)?;
        }
        if lent > 0 && !self.room.levered(account)? {
            return Ok([0, plus(lent, cash)?]);
        }
        Ok([lent, cash])
    }

    fn cost(&self, account: u32, orders: &[&Order], index: usize) -> Result<i128, Fault> {
        let (before, order) = (&orders[..index], orders[index]);
        let known = self.room.entry(&order.id);
        let mut closing = plus(self.closes(account, order, before)?, order.filled)?;
        if let Some(entry) = known {
            closing = closing.max(entry.closing);
        }
        let opens = room::opens(order.left, closing, order.filled);
        if opens == 0 {
            return Ok(0);
        }
        let (Some(cost), Some(_)) = (order.cost, order.units) else { return Err(Fault::NoPrice { order: index }) };
        let unit = cost.max(self.least(account, order)?);
        let mut cost = times(times(opens, unit)?, self.size(order.instrument)?)?;
        if order.change
            && let Some(entry) = known
        {
            cost = minus(cost, entry.amount)?;
        }
        Ok(cost.max(0))
    }
}

#[cfg(test)]
mod tests;
