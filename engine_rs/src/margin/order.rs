//! Whether an options order may be sent at all, by its shape, the account's level and what it holds, and what it costs.
//!
//! Sources: docs.alpaca.markets "Options Level 3 Trading" (legs, cover inside one order, cost basis) and "Options Trading
//! Overview" (levels, covered calls, cash-secured puts); derived readings are said to be so.

use super::SHARES;
use super::leg::{Contract, Leg, Right};
use super::usr::{Expirations, Requirement, Uncovered, requirement};

/// What a leg is meant to do to the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    BuyToOpen,
    BuyToClose,
    SellToOpen,
    SellToClose,
}

impl Intent {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "buy_to_open" => Some(Self::BuyToOpen),
            "buy_to_close" => Some(Self::BuyToClose),
            "sell_to_open" => Some(Self::SellToOpen),
            "sell_to_close" => Some(Self::SellToClose),
            _ => None,
        }
    }

    pub fn buys(self) -> bool {
        matches!(self, Self::BuyToOpen | Self::BuyToClose)
    }

    pub fn opens(self) -> bool {
        matches!(self, Self::BuyToOpen | Self::SellToOpen)
    }

    /// What an order on this side does to so many contracts held. None where it would cross zero.
    pub fn infer(buys: bool, held: i64, qty: i64) -> Option<Self> {
        match (buys, held) {
            (true, held) if held >= 0 => Some(Self::BuyToOpen),
            (false, held) if held <= 0 => Some(Self::SellToOpen),
            (true, held) if qty <= -held => Some(Self::BuyToClose),
            (false, held) if qty <= held => Some(Self::SellToClose),
            _ => None,
        }
    }
}

/// One leg of an order: `ratio` contracts in each unit of it, held before: `held` contracts (negative short).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderLeg {
    pub contract: Contract,
    pub ratio: i64,
    pub intent: Intent,
    pub held: i64,
}

impl OrderLeg {
    fn signed(&self) -> i64 {
        if self.intent.buys() { self.ratio } else { -self.ratio }
    }
}

/// Why an order is not taken. The text of each is a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The account's level is 0, or too low for what the order opens.
    Level,
    /// A multi-leg order has two to four legs.
    LegCount,
    /// All legs are of one underlying (one root).
    Underlying,
    /// No contract stands in two legs.
    DuplicateLeg,
    /// Ratios have no common divisor: 2:1, not 4:2.
    Ratio,
    /// Each short leg of a multi-leg order is covered inside the order, whatever its intent (derived).
    LegUncovered,
    /// A short call without long calls or shares to cover it.
    Uncovered,
    /// The order says to open or close what its side and the position can't.
    Intent,
    /// Numbers that make no order: no contracts, none at all.
    Quantity,
}

impl Refusal {
    pub const ALL: [Self; 9] = [
        Self::Level,
        Self::LegCount,
        Self::Underlying,
        Self::DuplicateLeg,
        Self::Ratio,
        Self::LegUncovered,
        Self::Uncovered,
        Self::Intent,
        Self::Quantity,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Self::Level => "OPTIONS_LEVEL",
            Self::LegCount => "MLEG_LEG_COUNT",
            Self::Underlying => "MLEG_UNDERLYING_MISMATCH",
            Self::DuplicateLeg => "MLEG_DUPLICATE_LEG",
            Self::Ratio => "MLEG_RATIO",
            Self::LegUncovered => "MLEG_UNCOVERED_SHORT",
            Self::Uncovered => "OPTIONS_UNCOVERED",
            Self::Intent => "POSITION_INTENT",
            Self::Quantity => "OPTIONS_QUANTITY",
        }
    }
}

/// The level that an order needs: 1 covered calls, cash-secured puts and closing; 2 buying; 3 several legs, be it that
/// they close, which is done contract by contract below that.
pub fn level_needed(legs: &[OrderLeg]) -> u8 {
    match legs {
        [leg] if leg.intent == Intent::BuyToOpen => 2,
        [_] => 1,
        _ => 3,
    }
}

/// Check the legs of one order (of one root) against the rules that need no money. `level` 0 to 3.
pub fn validate(legs: &[OrderLeg], qty: i64, level: u8) -> Result<(), Refusal> {
    if qty <= 0 || legs.iter().any(|leg| leg.ratio <= 0) {
        return Err(Refusal::Quantity);
    }
    match legs.len() {
        1 => {}
        2..=4 => several(legs)?,
        _ => return Err(Refusal::LegCount),
    }
    for leg in legs {
        let size = leg.ratio.checked_mul(qty).ok_or(Refusal::Quantity)?;
        let possible = match leg.intent {
            Intent::BuyToOpen => leg.held >= 0,
            Intent::SellToOpen => leg.held <= 0,
            Intent::BuyToClose => leg.held <= -size,
            Intent::SellToClose => leg.held >= size,
        };
        if !possible {
            return Err(Refusal::Intent);
        }
    }
    if level < level_needed(legs) { Err(Refusal::Level) } else { Ok(()) }
}

fn several(legs: &[OrderLeg]) -> Result<(), Refusal> {
    for (at, leg) in legs.iter().enumerate() {
        if legs[..at].iter().any(|other| other.contract == leg.contract) {
            return Err(Refusal::DuplicateLeg);
        }
    }
    if legs.iter().fold(0, |divisor, leg| gcd(divisor, leg.ratio)) != 1 {
        return Err(Refusal::Ratio);
    }
    // Strikes are irrelevant here; a leg that expires later covers one that expires earlier.
    for right in [Right::Call, Right::Put] {
        for date in legs.iter().map(|leg| leg.contract.expiry) {
            let alive = legs.iter().filter(|leg| leg.contract.right == right && leg.contract.expiry >= date);
            if alive.map(OrderLeg::signed).sum::<i64>() < 0 {
                return Err(Refusal::LegUncovered);
            }
        }
    }
    Ok(())
}

/// What an order takes from options buying power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostBasis {
    /// Nano-dollars, never negative: the rise of the requirement and of what is owed, and what is paid (less what is got).
    pub amount: i128,
    /// Of the positions that count, before the order and after it.
    pub before: Requirement,
    pub after: Requirement,
    /// Nano-dollars paid (positive) or got (negative) for the whole order.
    pub net: i128,
    /// Nano-dollars: by how much what calls on shares are worth rises. An `Account` knows, which has prices; 0 elsewhere.
    pub owed: i128,
}

/// The cost basis of an order that changes `positions` by `changes`, at `net` nano-dollars a unit of the underlying's
/// share (positive: paid) for `qty` units.
///
/// With no positions this is the worked rule: requirement of the order's legs + net × 100 × quantity. With positions
/// what counts is the difference that the order makes, at least 0: what closes or hedges gives its requirement back.
pub fn cost_basis(
    positions: &[Leg],
    changes: &[Leg],
    shares: (i64, i64),
    net: i128,
    qty: i64,
    reading: Expirations,
) -> Result<CostBasis, Uncovered> {
    // What is uncovered already has no requirement that an order could raise; it is refused by what comes after it.
    let before = requirement(positions, shares.0, reading).unwrap_or_default();
    let together: Vec<Leg> = merge(positions, changes);
    let after = requirement(&together, shares.1, reading)?;
    let net = net * i128::from(SHARES) * i128::from(qty);
    let amount = (after.amount - before.amount + net).max(0);
    Ok(CostBasis { amount, before, after, net, owed: 0 })
}

/// Positions with changes added, contract by contract.
pub fn merge(positions: &[Leg], changes: &[Leg]) -> Vec<Leg> {
    let mut together = positions.to_vec();
    for change in changes {
        match together.iter_mut().find(|leg| leg.contract == change.contract) {
            Some(leg) => leg.qty += change.qty,
            None => together.push(*change),
        }
    }
    together.retain(|leg| leg.qty != 0);
    together
}

/// What a cash-secured put keeps back: its strike for a hundred shares a contract, less the premium. Nano-dollars.
pub fn cash_secured_put(strike: i64, premium: i128, qty: i64) -> i128 {
    let contracts = i128::from(qty) * i128::from(SHARES);
    (i128::from(strike) * super::MILL - premium).max(0) * contracts
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
