//! An order as it is judged, and what binds it.

use super::Wrong;
use super::quote::{Collar, HeldTo};
use super::room::Purse;
use super::twins::Likeness;
use crate::exposure::{self, Bounds, Candidate, Resting};
use crate::rate::Limit;

/// A limit on one order, with where it stands in the file.
#[derive(Clone, Debug)]
pub struct Most {
    pub value: i128,
    pub place: Box<str>,
}

/// What binds the orders of one strategy on one account.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub qty: Option<Most>,
    pub notional: Option<Most>,
    pub bounds: Bounds,
    /// Whether a bound on the gross exposure is a fraction of the equity: `gross` comes with each order then, and what
    /// an account is exposed to is not judged without.
    pub of_equity: bool,
    pub collar: Collar,
    /// Within how many nanoseconds the same order is a double.
    pub twins: Option<i64>,
    pub self_match: bool,
    pub rates: Vec<Limit>,
    /// The fraction of the buying power that is never used, in billionths; None where margin is not checked.
    pub headroom: Option<i128>,
}

/// An order as it would be.
#[derive(Clone, Debug)]
pub struct Order {
    pub id: Box<str>,
    pub instrument: u32,
    pub buy: bool,
    /// The caller's number for its type.
    pub kind: u8,
    pub held_to: HeldTo,
    /// The quantity as it was asked for, be it money.
    pub asked: i128,
    /// Whether that is money.
    pub money: bool,
    /// Its whole base quantity; None where it is given in money and no price is known.
    pub units: Option<i128>,
    /// What of it is left to be filled.
    pub left: i128,
    /// What of it can be filled now: of an exit, as far as its entry is filled.
    pub released: i128,
    pub filled: i128,
    /// What a unit costs at most; None where nothing tells.
    pub cost: Option<i128>,
    /// What a unit costs at least, besides its own price.
    pub least: i128,
    /// What a unit counts for in limits on value.
    pub worth: Option<i128>,
    pub limit: Option<i128>,
    pub trigger: Option<i128>,
    /// How far a trailing stop stays behind the market.
    pub trail: Option<i128>,
    /// What the market pays, or asks for, a unit.
    pub mark: Option<i128>,
    /// Of the orders of one group only one can be filled.
    pub group: Option<Box<str>>,
    /// Whether it counts by itself, whatever else works.
    pub plain: bool,
    /// Whether the venue lets it stand beside orders that it could trade with.
    pub exempt: bool,
    /// Whether it closes what its own entry opened.
    pub exit: bool,
    /// Of a spread its contracts.
    pub legs: Box<[exposure::Leg]>,
    /// What it is paid from; None where that is judged elsewhere (options).
    pub purse: Option<Purse>,
    /// Whether this is what a working order is to become.
    pub change: bool,
}

impl Order {
    /// As the one that is judged as the `of`th.
    pub fn candidate(&self, of: usize) -> Candidate<'_> {
        Candidate {
            of,
            leg: false,
            order: &self.id,
            instrument: self.instrument,
            buy: self.buy,
            qty: self.units.map(|_| self.released),
            price: self.worth,
            group: self.group.as_deref(),
        }
    }

    pub(super) fn open(&self) -> exposure::Open {
        exposure::Open { qty: self.released, price: self.worth, group: self.group.clone(), leg: false }
    }

    pub(super) fn resting(&self) -> Resting {
        match self.limit {
            _ if self.exempt || !self.plain => Resting::Exempt,
            Some(limit) => Resting::Limit(limit),
            None => Resting::Market,
        }
    }

    /// Whether it could trade with another of its list.
    pub(super) fn meets(&self, other: &Self) -> bool {
        other.instrument == self.instrument && other.buy != self.buy && other.resting().meets(self.buy, self.limit)
    }

    pub(super) fn likeness(&self, strategy: u32) -> Likeness {
        let Self { instrument, buy, kind, asked, limit, trigger, trail, .. } = *self;
        Likeness { strategy, instrument, buy, kind, asked, limit, trigger, trail }
    }
}

/// What is looked at: flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks(pub u16);

impl Checks {
    pub const TWINS: Self = Self(1);
    pub const SELF_MATCH: Self = Self(2);
    pub const QTY: Self = Self(4);
    pub const NOTIONAL: Self = Self(8);
    pub const QUOTES: Self = Self(16);
    pub const EXPOSURE: Self = Self(32);
    pub const OPEN_ORDERS: Self = Self(64);
    pub const RATES: Self = Self(128);
    pub const MARGIN: Self = Self(256);
    pub const NEW_ORDER: Self = Self(511);

    pub(super) fn has(self, check: Self) -> bool {
        self.0 & check.0 != 0
    }
}

/// Orders as candidates, those of spreads with their contracts.
pub(super) fn candidates<'a>(orders: &[&'a Order]) -> Result<Vec<Candidate<'a>>, Wrong> {
    let mut candidates = Vec::with_capacity(orders.len());
    for (of, order) in orders.iter().enumerate() {
        let own = order.candidate(of);
        for leg in &order.legs {
            candidates.push(own.leg(leg)?);
        }
        candidates.push(own);
    }
    Ok(candidates)
}
