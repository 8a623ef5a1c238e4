//! What of the orders closes: a position is there for those of the closing side in the order in which they came, for
//! those of one group once. Looked at again only where a position, or an order that closes some of it, has changed.

use rustc_hash::FxHashMap;

use super::{Desk, Order, Wrong};
use crate::exposure::{self, minus};

impl Desk {
    /// What of the account's position, or of what one strategy holds of it, is there to be closed by an order of this
    /// side, besides what other orders can close; those of its group don't count.
    pub fn closable(
        &self,
        account: u32,
        strategy: Option<u32>,
        instrument: u32,
        buy: bool,
        order: &str,
        group: Option<&str>,
    ) -> Result<i128, Wrong> {
        let held = self.book.held(account, strategy, instrument);
        if held == 0 || (held > 0) == buy {
            return Ok(0);
        }
        Ok(minus(held.abs(), self.book.others(account, strategy, instrument, buy, order, group)?)?.max(0))
    }

    /// A signed position: the account's whole one, or a strategy's share.
    pub fn hold(
        &mut self,
        account: u32,
        strategy: Option<u32>,
        instrument: u32,
        held: i128,
        opened_at: Option<i128>,
    ) -> Result<(), Wrong> {
        if strategy.is_none() && held != self.book.held(account, None, instrument) {
            self.change(account, instrument);
        }
        Ok(self.book.hold(account, strategy, instrument, held, opened_at)?)
    }

    pub(super) fn change(&mut self, account: u32, instrument: u32) {
        if self.margin && !self.changed.contains(&(account, instrument)) {
            self.changed.push((account, instrument));
        }
    }

    /// Work out what closes of the orders where anything changed: a position is there for them in the order in which they
    /// came, for those of one group once.
    pub fn cover(&mut self) {
        for (account, instrument) in std::mem::take(&mut self.changed) {
            for buy in [false, true] {
                self.cover_side(account, instrument, buy);
            }
        }
    }

    fn cover_side(&mut self, account: u32, instrument: u32, buy: bool) {
        let held = self.book.held(account, None, instrument);
        let mut there = if (held > 0) == buy { 0 } else { held.abs() };
        let Self { book, room, .. } = self;
        let number = |order: &str| room.entry(order).map_or(0, |entry| entry.number);
        let mut orders: Vec<_> =
            book.working(account, instrument, buy).map(|(name, open)| (number(name), name, open)).collect();
        orders.sort_unstable_by_key(|(number, ..)| *number);
        let mut groups: FxHashMap<&str, i128> = FxHashMap::default(); // what those of it have taken
        for (_, name, open) in orders {
            let mut alone = 0;
            let taken = match open.group.as_deref() {
                Some(group) => groups.entry(group).or_default(),
                None => &mut alone,
            };
            let closes = open.qty.clamp(0, there.saturating_add(*taken));
            let more = (closes - *taken).max(0);
            there -= more;
            *taken += more;
            if !open.leg {
                room.cover(name, open.qty, closes);
            }
        }
    }

    /// How much of an order closes, besides what other orders close already: those that work, and those before it in its
    /// list.
    pub(super) fn closes(&self, account: u32, order: &Order, before: &[&Order]) -> Result<i128, Wrong> {
        // Of an exit, what can't be filled yet closes what its entry opens.
        let waits = if order.exit { order.left.saturating_sub(order.released).max(0) } else { 0 };
        let free = order.left - waits;
        if free == 0 {
            return Ok(waits);
        }
        let mut earlier = exposure::Side::default();
        for other in before.iter().filter(|other| other.instrument == order.instrument && other.buy == order.buy) {
            earlier.put(0, other.open())?;
        }
        let group = order.group.as_deref();
        let closable = self.closable(account, None, order.instrument, order.buy, &order.id, group)?;
        Ok(waits + free.min(minus(closable, earlier.others(None, group)?)?.max(0)))
    }
}
