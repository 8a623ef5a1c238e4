//! The Universal Spread Rule: what the options of one underlying can lose at worst, premiums left aside.
//!
//! Each option's intrinsic value is a piecewise-linear function of the underlying's price, so the least of their sum lies
//! at a price of 0 or at a strike. With several expirations each is worked out by itself and the largest counts, not the
//! sum. Short calls must be covered, contract by contract, by long calls that expire on the same day or later, or by
//! shares; without that the loss has no bound and the position is refused.

use super::leg::{Leg, Right};
use super::{MILL, SHARES};

/// How expirations are told apart, which Alpaca's page leaves open where they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expirations {
    /// The page's words: each date by itself, helped by later longs that no later short needs.
    #[default]
    PerDate,
    /// At each date everything that is still alive then.
    FromDate,
}

/// What must be kept, and where the worst lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    /// Nano-dollars, never negative.
    pub amount: i128,
    /// The price of the underlying, in mills, at which the loss is largest; 0 too where there is none.
    pub price: i64,
    /// The expiration (YYMMDD) that decides; 0 where nothing is required.
    pub expiry: i32,
}

/// Short calls that nothing covers: at this expiration, so many contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uncovered {
    pub expiry: i32,
    pub contracts: i64,
}

/// A point at which the slope changes: strike in mills, units (shares) by which it does.
type Bend = (i64, i64);

/// The requirement of all option positions of one underlying, `shares` (whole ones, long) held beside them.
///
/// A hundred shares cover a short call that no long call covers, and such a pair asks for nothing; shares that no call
/// needs help nothing else. Of several short calls those that expire last are covered by shares, the highest strikes
/// first, which is never too little.
pub fn requirement(legs: &[Leg], shares: i64, reading: Expirations) -> Result<Requirement, Uncovered> {
    let (needed, expiry) = lots_needed(legs);
    if needed == 0 {
        return covered(legs, reading);
    }
    let lots = (shares / SHARES).max(0);
    if lots < needed {
        return Err(Uncovered { expiry, contracts: needed - lots });
    }
    covered(&split_covered(legs, needed).0, reading)
}

/// The short calls that shares must cover, as legs of their own: those that `requirement` asks nothing for.
pub fn covered_by_shares(legs: &[Leg]) -> Vec<Leg> {
    let (needed, _) = lots_needed(legs);
    if needed == 0 { Vec::new() } else { split_covered(legs, needed).1 }
}

/// How many hundreds of shares the short calls can't do without, and the expiration that says so.
fn lots_needed(legs: &[Leg]) -> (i64, i32) {
    // A few dates at most: a list is quicker than anything that is sorted or hashed.
    let mut dates: Vec<(i32, i64)> = Vec::with_capacity(4);
    for leg in legs.iter().filter(|leg| leg.contract.right == Right::Call) {
        match dates.iter_mut().find(|date| date.0 == leg.contract.expiry) {
            Some(date) => date.1 += leg.qty,
            None => dates.push((leg.contract.expiry, leg.qty)),
        }
    }
    dates.sort_unstable_by_key(|date| std::cmp::Reverse(date.0));
    let (mut worst, mut net) = ((0, 0), 0);
    for (expiry, qty) in dates {
        net += qty;
        if -net > worst.0 {
            worst = (-net, expiry);
        }
    }
    worst
}

/// The legs less so many short calls, and those.
fn split_covered(legs: &[Leg], mut lots: i64) -> (Vec<Leg>, Vec<Leg>) {
    let (mut left, mut covered) = (legs.to_vec(), Vec::new());
    left.sort_unstable_by_key(|leg| std::cmp::Reverse((leg.contract.expiry, leg.contract.strike)));
    for leg in left.iter_mut().filter(|leg| leg.contract.right == Right::Call && leg.qty < 0) {
        let taken = lots.min(-leg.qty);
        leg.qty += taken;
        lots -= taken;
        if taken > 0 {
            covered.push(Leg { qty: -taken, ..*leg });
        }
    }
    (left, covered)
}

/// The requirement where long calls cover all short ones.
fn covered(legs: &[Leg], reading: Expirations) -> Result<Requirement, Uncovered> {
    // Dates are few: going over all legs for each of them is quicker than sorting the legs by date.
    let mut dates: Vec<i32> = Vec::with_capacity(8);
    for leg in legs {
        if !dates.contains(&leg.contract.expiry) {
            dates.push(leg.contract.expiry);
        }
    }
    if dates.len() < 2 {
        return Ok(one_date(legs));
    }
    dates.sort_unstable_by_key(|&date| std::cmp::Reverse(date));
    let mut worst = Requirement::default();
    let mut later = Longs::default();
    for (number, &expiry) in dates.iter().enumerate() {
        let own = || legs.iter().filter(move |leg| leg.contract.expiry == expiry).copied();
        later.check_cover(own(), expiry)?;
        let found = match reading {
            Expirations::PerDate => least(own(), later.legs(expiry)),
            Expirations::FromDate => {
                least(legs.iter().filter(|leg| leg.contract.expiry >= expiry).copied(), std::iter::empty())
            }
        };
        worst = larger(worst, found, expiry);
        if number + 1 < dates.len() {
            later.take(own());
        }
    }
    Ok(worst)
}

/// The common case: no table of later longs is needed.
fn one_date(legs: &[Leg]) -> Requirement {
    let Some(first) = legs.first() else { return Requirement::default() };
    let found = least(legs.iter().copied(), std::iter::empty());
    larger(Requirement::default(), found, first.contract.expiry)
}

/// The least of the sum, in mills times contracts (at most 0, as all may expire worthless), and the price where it lies.
fn least(legs: impl Iterator<Item = Leg>, more: impl Iterator<Item = Leg>) -> (i128, i64) {
    let mut bends: Vec<Bend> = Vec::with_capacity(16);
    let (mut value, mut slope) = (0_i128, 0_i128);
    for leg in legs.chain(more).filter(|leg| leg.qty != 0) {
        let (strike, qty) = (leg.contract.strike, leg.qty);
        if leg.contract.right == Right::Put {
            value += i128::from(strike) * i128::from(qty);
            slope -= i128::from(qty);
        }
        // At its strike a call begins to rise, and a put ends to fall: the slope changes by the same.
        bends.push((strike, qty));
    }
    bends.sort_unstable_by_key(|bend| bend.0);
    let (mut least, mut place, mut at) = (value.min(0), 0, 0);
    for (strike, qty) in bends {
        value += slope * i128::from(strike - at);
        at = strike;
        slope += i128::from(qty);
        // Of several prices the one nearest to the strikes: where the loss has just reached its bound.
        if value < least || (value == least && value < 0) {
            (least, place) = (value, strike);
        }
    }
    (least, place)
}

fn larger(worst: Requirement, (least, price): (i128, i64), expiry: i32) -> Requirement {
    let amount = -least * MILL * i128::from(SHARES);
    if amount > worst.amount { Requirement { amount, price, expiry } } else { worst }
}

/// Long contracts that later shorts leave over, the best cover first: calls by rising, puts by falling strike.
#[derive(Default)]
struct Longs {
    calls: Vec<Bend>,
    puts: Vec<Bend>,
}

impl Longs {
    fn legs(&self, expiry: i32) -> impl Iterator<Item = Leg> + '_ {
        let leg = move |right, &(strike, qty): &Bend| Leg { contract: super::Contract { expiry, strike, right }, qty };
        let calls = self.calls.iter().map(move |bend| leg(Right::Call, bend));
        calls.chain(self.puts.iter().map(move |bend| leg(Right::Put, bend)))
    }

    fn check_cover(&self, own: impl Iterator<Item = Leg>, expiry: i32) -> Result<(), Uncovered> {
        let net: i64 = own.filter(|leg| leg.contract.right == Right::Call).map(|leg| leg.qty).sum();
        let left = net + self.calls.iter().map(|bend| bend.1).sum::<i64>();
        if left < 0 { Err(Uncovered { expiry, contracts: -left }) } else { Ok(()) }
    }

    /// Add a date's longs, and let its shorts use up the best of what there is. What stays helps earlier dates.
    fn take(&mut self, own: impl Iterator<Item = Leg>) {
        let (mut short_calls, mut short_puts) = (0, 0);
        for leg in own {
            let (pool, shorts) = match leg.contract.right {
                Right::Call => (&mut self.calls, &mut short_calls),
                Right::Put => (&mut self.puts, &mut short_puts),
            };
            if leg.qty > 0 {
                pool.push((leg.contract.strike, leg.qty));
            } else {
                *shorts -= leg.qty;
            }
        }
        let pools = [(Right::Call, &mut self.calls, short_calls), (Right::Put, &mut self.puts, short_puts)];
        for (right, pool, mut shorts) in pools {
            match right {
                Right::Call => pool.sort_unstable_by_key(|bend| bend.0),
                Right::Put => pool.sort_unstable_by_key(|bend| std::cmp::Reverse(bend.0)),
            }
            for bend in pool.iter_mut() {
                let used = shorts.min(bend.1);
                bend.1 -= used;
                shorts -= used;
            }
            pool.retain(|bend| bend.1 > 0);
        }
    }
}

#[cfg(test)]
mod tests;
