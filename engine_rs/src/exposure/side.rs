//! One side's orders of one instrument, and what a position can become by them.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::{Wrong, plus, times};

/// What may still be filled of an order, at most, and what one unit is taken to be worth (None: unknown).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub qty: i128,
    pub price: Option<i128>,
    /// Of the orders of one group only one can be filled, so the largest counts.
    pub group: Option<Box<str>>,
    /// Whether it is what an order of a spread does to one of its contracts.
    pub leg: bool,
}

/// Orders together: quantity, Σ quantity × price, and the dearest price of those whose price is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub qty: i128,
    pub value: i128,
    pub dearest: Option<i128>,
    /// Whether any has no price.
    pub unpriced: bool,
}

impl Sum {
    fn add(&mut self, qty: i128, price: Option<i128>) -> Result<(), Wrong> {
        if qty <= 0 {
            return Ok(());
        }
        self.qty = plus(self.qty, qty)?;
        match price {
            None => self.unpriced = true,
            Some(price) => {
                self.value = plus(self.value, times(qty, price)?)?;
                self.dearest = self.dearest.max(Some(price));
            }
        }
        Ok(())
    }

    /// A position's value once these are all filled; None where a price that it needs is unknown.
    ///
    /// What is held is valued at `mark`, what is ordered at the orders' own prices; where the orders turn the position
    /// round, what remains of them is valued at the dearest.
    pub fn worst(&self, position: i128, mark: Option<i128>, buy: bool) -> Result<Option<i128>, Wrong> {
        let held = if buy { position } else { -position };
        let after = plus(held, self.qty)?;
        let dearest = if self.unpriced { None } else { self.dearest };
        if held < 0 && after > 0 {
            return dearest.map(|price| times(after, price)).transpose();
        }
        let still = if held > 0 { held } else { after.min(0) };
        let mut value = 0;
        if still != 0 {
            let Some(price) = mark.or(dearest) else { return Ok(None) };
            value = times(still.abs(), price)?;
        }
        if held >= 0 {
            if self.unpriced {
                return Ok(None);
            }
            value = plus(value, self.value)?;
        }
        Ok(Some(value))
    }
}

/// An order that is asked about, in the place of the working one with its number, if there is one.
#[derive(Clone, Debug)]
pub struct Asked {
    pub number: Option<u64>,
    pub open: Open,
}

/// The working orders of one side, with the sums of those that count by themselves.
#[derive(Clone, Debug, Default)]
pub struct Side {
    orders: Vec<(u64, Open)>,
    qty: i128,
    value: i128,
    unpriced: usize,
    prices: BTreeMap<i128, usize>,
    grouped: usize,
    legs: i128,
}

impl Side {
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    /// The numbers of the orders, in the order in which they came, without those of spreads.
    pub fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        self.orders.iter().filter(|(_, open)| !open.leg).map(|(number, _)| *number)
    }

    /// The orders, those of spreads among them.
    pub fn orders(&self) -> impl Iterator<Item = (u64, &Open)> {
        self.orders.iter().map(|(number, open)| (*number, open))
    }

    /// What of it orders of spreads can fill.
    pub fn legs(&self) -> i128 {
        self.legs
    }

    /// Add an order that is not there yet. An error changes nothing.
    pub fn put(&mut self, number: u64, open: Open) -> Result<(), Wrong> {
        if open.group.is_some() {
            self.grouped += 1;
        } else if open.qty > 0 {
            let qty = plus(self.qty, open.qty)?;
            if let Some(price) = open.price {
                self.value = plus(self.value, times(open.qty, price)?)?;
                *self.prices.entry(price).or_default() += 1;
            } else {
                self.unpriced += 1;
            }
            self.qty = qty;
            self.legs += if open.leg { open.qty } else { 0 };
        }
        self.orders.push((number, open));
        Ok(())
    }

    /// Remove an order; false where it is not there.
    pub fn remove(&mut self, number: u64) -> bool {
        let Some(index) = self.orders.iter().position(|(each, _)| *each == number) else { return false };
        let (_, open) = self.orders.remove(index);
        if open.group.is_some() {
            self.grouped -= 1;
        } else if open.qty > 0 {
            self.qty -= open.qty;
            self.legs -= if open.leg { open.qty } else { 0 };
            self.unprice(&open);
        }
        true
    }

    /// What they can fill together, of each group its largest. Without this order, and without its group.
    pub fn others(&self, without: Option<u64>, group: Option<&str>) -> Result<i128, Wrong> {
        let own = without.and_then(|own| self.orders.iter().find(|(each, _)| *each == own)).map(|(_, open)| open);
        let plain = self.qty - own.filter(|open| open.group.is_none()).map_or(0, |open| open.qty.max(0));
        if self.grouped == 0 {
            return Ok(plain);
        }
        let group = group.or_else(|| own?.group.as_deref());
        let others = self.orders.iter().map(|(_, open)| open).filter(|open| open.group.as_deref() != group);
        largest(others.map(|open| (open.group.as_deref(), open.qty, None)))
            .try_fold(plain, |sum, (qty, _)| plus(sum, qty.max(0)))
    }

    fn unprice(&mut self, open: &Open) {
        let Some(price) = open.price else {
            self.unpriced -= 1;
            return;
        };
        self.value -= open.qty * price;
        if let Some(count) = self.prices.get_mut(&price) {
            *count -= 1;
            if *count == 0 {
                self.prices.remove(&price);
            }
        }
    }

    /// The sums with these orders too. One that stands for a working order counts with the larger of the two
    /// quantities: a larger modification may still be under way.
    pub fn with(&self, asked: &[Asked]) -> Result<Sum, Wrong> {
        let replaced = |number: u64| asked.iter().any(|each| each.number == Some(number));
        let mut sum = Sum::default();
        if asked.iter().any(|each| each.number.is_some()) {
            for (number, open) in &self.orders {
                if open.group.is_none() && !replaced(*number) {
                    sum.add(open.qty, open.price)?;
                }
            }
        } else {
            let dearest = self.prices.last_key_value().map(|(price, _)| *price);
            sum = Sum { qty: self.qty, value: self.value, dearest, unpriced: self.unpriced > 0 };
        }
        for Asked { number, open } in asked {
            if open.group.is_none() {
                sum.add(self.larger(*number, open.qty), open.price)?;
            }
        }
        if self.grouped > 0 || asked.iter().any(|each| each.open.group.is_some()) {
            let working = self.orders.iter().filter(|(number, _)| !replaced(*number));
            let working = working.map(|(_, open)| (open.group.as_deref(), open.qty, open.price));
            let more = asked
                .iter()
                .map(|Asked { number, open }| (open.group.as_deref(), self.larger(*number, open.qty), open.price));
            for (qty, price) in largest(working.chain(more)) {
                sum.add(qty, price)?;
            }
        }
        Ok(sum)
    }

    fn larger(&self, number: Option<u64>, qty: i128) -> i128 {
        let Some(number) = number else { return qty };
        self.orders.iter().find(|(each, _)| *each == number).map_or(qty, |(_, open)| open.qty.max(qty))
    }
}

/// Of each group the largest quantity and the dearer price, unknown where one is.
fn largest<'a>(
    orders: impl Iterator<Item = (Option<&'a str>, i128, Option<i128>)>,
) -> impl Iterator<Item = (i128, Option<i128>)> {
    let mut groups: FxHashMap<&str, (i128, Option<i128>)> = FxHashMap::default();
    for (group, qty, price) in orders {
        let Some(group) = group else { continue };
        groups
            .entry(group)
            .and_modify(|known| {
                known.0 = known.0.max(qty);
                known.1 = known.1.zip(price).map(|(one, other)| one.max(other));
            })
            .or_insert((qty, price));
    }
    groups.into_values()
}
