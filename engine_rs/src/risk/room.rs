//! What working orders hold of their accounts' buying power, and what is left of it. In 10⁻¹⁸ USD.
//!
//! Own computation: excess = equity - burden (the initial margin of all positions). A margin account (equity from 2,000
//! up) buys marginable stock with twice the excess, options with the excess, and what is not marginable (crypto too)
//! with the smaller of cash and excess; a cash account buys everything with the latter, less what secures options.
//! Working orders that open take their cost off it.
//!
//! The broker's figure has working orders taken off already, but only those that it knew of when it told us; what it
//! can't know of yet is counted as missing until a report comes that was asked for later.

use rustc_hash::FxHashMap;

use super::{ATTO, Wrong};
use crate::exposure::{minus, plus, times};
use crate::margin::NANO;

/// The least equity that the broker lends on.
pub const LEAST_EQUITY: i128 = 2000 * ATTO;
/// A report that was asked for before an order reached the broker can come after the order's answer, but not so much
/// later: no request is waited for any longer.
const LATEST_REPORT_NS: i64 = 10_000_000_000;

/// What an asset is bought with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purse {
    RegT,
    Cash,
    Options,
}

/// One of the broker's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Figure {
    #[default]
    Untold,
    /// It was told, and is no number.
    Unreadable,
    Is(i128),
}

impl Figure {
    /// An error only where it is needed: one that is no number holds back nothing else.
    fn read(self) -> Result<Option<i128>, Wrong> {
        match self {
            Self::Untold => Ok(None),
            Self::Unreadable => Err(Wrong::Unreadable),
            Self::Is(value) => Ok(Some(value)),
        }
    }
}

/// What the broker told of an account.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub buying_power: Figure,
    pub cash: Figure,
    pub options: Figure,
    pub multiplier: Figure,
}

#[derive(Clone, Copy, Debug)]
struct Report {
    figures: Figures,
    at: i64,
    /// When the report before it had come.
    before: i64,
}

/// Of an account, by our own books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    pub equity: i128,
    pub cash: i128,
    /// What of the equity is spoken for; None where that can't be told.
    pub burden: Option<i128>,
    /// What of that secures options: where nothing is lent it is cash, and can't be spent.
    pub secured: i128,
    /// Whether it is a margin account, should the broker not tell.
    pub lends: bool,
}

/// What an order costs as a whole, and of how many nano-units that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    pub amount: i128,
    pub units: i128,
}

/// One working order.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub account: u32,
    /// How much of it closes, in nano-units.
    pub closing: i128,
    /// The least that a unit costs, in nano-dollars.
    pub least: i128,
    /// Whether half of what it costs is lent.
    pub lent: bool,
    /// Worked out by the caller: an order of options.
    pub whole: Option<Whole>,
    /// Whether the broker's last figure has it taken off.
    pub seen: bool,
    pub amount: i128,
    /// Since when the broker knows it.
    pub known: Option<i64>,
    /// Which one it is, in the order in which they came.
    pub number: u64,
    /// As it was noted last.
    pub open: Option<Open>,
}

impl Entry {
    pub fn new(account: u32, closing: i128, least: i128) -> Self {
        Self {
            account,
            closing,
            least,
            lent: false,
            whole: None,
            seen: false,
            amount: 0,
            known: None,
            number: 0,
            open: None,
        }
    }

    /// What it costs with so much of it open.
    fn cost(&self, open: &Open) -> Result<i128, Wrong> {
        if let Some(Whole { amount, units }) = self.whole {
            // Taken apart, so that the product does not overflow on its way.
            let (each, rest) = (amount.div_euclid(units), amount.rem_euclid(units));
            let rest = times(rest, open.left)?;
            return Ok(plus(times(each, open.left)?, rest.div_euclid(units) + i128::from(rest.rem_euclid(units) > 0))?);
        }
        let opens = opens(open.left, self.closing, open.filled);
        if opens == 0 {
            return Ok(0);
        }
        Ok(times(times(opens, open.worth.map_or(self.least, |worth| worth.max(self.least)))?, open.size?)?)
    }
}

/// What opens of what is left of an order, of which `closing` closed before `filled` of it was filled.
pub fn opens(left: i128, closing: i128, filled: i128) -> i128 {
    let closing = closing.saturating_sub(filled).max(0);
    left.saturating_sub(closing).max(0)
}

/// How much of an order is open now, and how it stands.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    pub left: i128,
    /// What one unit is taken to be worth.
    pub worth: Option<i128>,
    pub filled: i128,
    /// Units of the underlying in one contract; an error only where some of it opens.
    pub size: Result<i128, Wrong>,
    pub closed: bool,
    /// Whether the broker has given it a number.
    pub accepted: bool,
}

/// What can be spent on one kind of asset, before headroom; `broker` is None where the broker has told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Power {
    pub own: i128,
    pub broker: Option<i128>,
    /// What headroom is a part of: the power of the equity, with nothing held.
    pub whole: i128,
}

impl Power {
    /// What headroom keeps: a fraction in billionths, rounded up.
    pub fn kept(&self, headroom: i128) -> Result<i128, Wrong> {
        let (each, rest) = (self.whole.div_euclid(NANO), self.whole.rem_euclid(NANO));
        let rest = times(rest, headroom)?;
        Ok(plus(times(each, headroom)?, rest.div_euclid(NANO) + i128::from(rest.rem_euclid(NANO) > 0))?)
    }
}

#[derive(Debug, Default)]
struct Account {
    reserved: i128,
    /// The part of it of which half is lent.
    halved: i128,
    /// By order: what the broker's last figure can't have had taken off, and since when the broker knows it.
    unseen: FxHashMap<Box<str>, (i128, Option<i64>)>,
    missing: i128,
    report: Option<Report>,
    /// When the last fill was told of.
    filled: Option<i64>,
    own: Option<Own>,
}

impl Account {
    /// Whether the last report was asked for after that time: it was, where the one before it had come since.
    fn knows(&self, at: i64) -> bool {
        self.report.is_some_and(|report| at < report.before || report.at.saturating_sub(at) >= LATEST_REPORT_NS)
    }

    fn miss(&mut self, order: &str, amount: i128, known: Option<i64>) -> Result<(), Wrong> {
        let before = self.unseen.get(order).map_or(0, |(before, _)| *before);
        self.missing = plus(self.missing, minus(amount, before)?)?;
        match self.unseen.get_mut(order) {
            Some(entry) => *entry = (amount, known),
            None => _ = self.unseen.insert(order.into(), (amount, known)),
        }
        Ok(())
    }

    /// Hold more, or less, for working orders.
    fn reserve(&mut self, more: i128, lent: bool) -> Result<(), Wrong> {
        self.reserved = plus(self.reserved, more)?;
        // It is a part of what is reserved: where that fits, so does this.
        self.halved += if lent { more } else { 0 };
        Ok(())
    }

    fn saw(&mut self, order: &str) {
        if let Some((amount, _)) = self.unseen.remove(order) {
            self.missing -= amount;
        }
    }

    fn figures(&self) -> Figures {
        self.report.map(|report| report.figures).unwrap_or_default()
    }

    fn levered(&self, own: Own) -> Result<bool, Wrong> {
        if own.equity < LEAST_EQUITY {
            return Ok(false);
        }
        Ok(self.figures().multiplier.read()?.map_or(own.lends, |multiplier| multiplier > ATTO))
    }
}

/// What every working order costs, kept up by events: a decision adds up nothing but the figures of its account.
#[derive(Debug, Default)]
pub struct Room {
    entries: FxHashMap<Box<str>, Entry>,
    number: u64,
    accounts: FxHashMap<u32, Account>,
}

impl Room {
    pub fn entry(&self, order: &str) -> Option<&Entry> {
        self.entries.get(order)
    }

    /// An order works from now on; `note` says what it costs. What it cost before is given back.
    pub fn enter(&mut self, order: &str, entry: Entry) {
        self.number += 1;
        let entry = Entry { number: self.number, ..entry };
        if let Some(old) = self.entries.insert(order.into(), entry)
            && let Some(account) = self.accounts.get_mut(&old.account)
        {
            _ = account.reserve(-old.amount, old.lent); // gives back what fitted
            account.saw(order);
        }
    }

    /// A modification passed: what it asks for counts from now on, a unit for the dearer of before and after (it may
    /// still be refused). `closing`: how much of the order closes then.
    pub fn expect(&mut self, order: &str, least: i128, whole: Option<Whole>, closing: i128) -> Result<(), Wrong> {
        let Some(entry) = self.entries.get_mut(order) else { return Ok(()) };
        entry.least = entry.least.max(least);
        entry.closing = entry.closing.max(closing);
        if let (Some(new), Some(old)) = (whole, entry.whole)
            && new.units > 0
            && dearer(new, old)?
        {
            entry.whole = Some(new);
        }
        Ok(())
    }

    /// No modification is under way any more: a unit costs at least this from now on. Without `whole`, what the order
    /// costs as a whole stays as it is.
    pub fn settle(&mut self, order: &str, least: i128, whole: Option<Whole>) {
        let Some(entry) = self.entries.get_mut(order) else { return };
        entry.least = least;
        entry.whole = whole.or(entry.whole);
    }

    /// Of an order so much can be filled now, and `closes` of that closes: what it costs is worked out anew. What can't
    /// be told stays as it was.
    pub fn cover(&mut self, order: &str, free: i128, closes: i128) {
        let Some(entry) = self.entries.get(order) else { return };
        let Some(open) = entry.open else { return };
        // Of an exit, what can't be filled yet closes what its entry opens.
        let waits = open.left.saturating_sub(free).max(0);
        let changed = Entry { closing: open.filled.saturating_add(waits).saturating_add(closes), ..*entry };
        self.change(order, changed, &open);
    }

    /// What an order costs as a whole is something else by now. What can't be told stays as it was.
    pub fn recost(&mut self, order: &str, whole: Whole) {
        let Some(entry) = self.entries.get(order) else { return };
        let Some(open) = entry.open else { return };
        self.change(order, Entry { whole: Some(whole), ..*entry }, &open);
    }

    fn change(&mut self, order: &str, changed: Entry, open: &Open) {
        let Some(entry) = self.entries.get_mut(order) else { return };
        let Ok(amount) = changed.cost(open) else { return };
        let account = self.accounts.entry(entry.account).or_default();
        let more = amount - entry.amount;
        if account.reserve(more, entry.lent).is_err() {
            return;
        }
        *entry = Entry { amount, ..changed };
    }

    /// Something happened to an order: what it still costs is worked out anew. Tells its account where that may change
    /// what closes of others; nothing where it was never entered.
    pub fn note(&mut self, order: &str, open: &Open, now: i64) -> Result<Option<u32>, Wrong> {
        let Some(entry) = self.entries.get_mut(order) else { return Ok(None) };
        let amount = if open.closed { 0 } else { entry.cost(open)? };
        let account = self.accounts.entry(entry.account).or_default();
        let more = minus(amount, entry.amount)?;
        account.reserve(more, entry.lent)?;
        entry.amount = amount;
        let before = entry.open.replace(*open);
        let moved = before.is_none_or(|before| {
            // What closes nothing leaves nothing to others.
            let closed = entry.closing > before.filled;
            closed && (open.closed || (before.left, before.filled) != (open.left, open.filled))
        });
        let moved = moved.then_some(entry.account);
        if entry.known.is_none() && open.accepted {
            entry.known = Some(now);
        }
        let (seen, known) = (entry.seen, entry.known);
        if open.closed {
            self.entries.remove(order);
        }
        if account.report.is_none() {
            return Ok(moved); // nobody tells figures that could lack it
        }
        if open.closed && open.filled == 0 {
            account.saw(order);
            return Ok(moved);
        }
        let before = account.unseen.get(order).map(|(before, _)| *before);
        if seen && more > 0 {
            // A modification adds to what the broker knows.
            account.miss(order, plus(before.unwrap_or(0), more)?, Some(now))?;
        } else if !seen && (amount != 0 || before.is_some()) {
            // What was filled of it stays missing in the broker's figure until the next report.
            account.miss(order, before.unwrap_or(0).max(amount), if open.closed { Some(now) } else { known })?;
        }
        Ok(moved)
    }

    /// The broker told the account's figures.
    pub fn report(&mut self, account: u32, figures: Figures, now: i64) {
        let account = self.accounts.entry(account).or_default();
        let before = account.report.map_or(0, |report| report.at);
        account.report = Some(Report { figures, at: now, before });
        let told: Vec<Box<str>> = account
            .unseen
            .iter()
            .filter(|(_, (_, known))| known.is_some_and(|at| account.knows(at)))
            .map(|(order, _)| order.clone())
            .collect();
        for order in told {
            account.saw(&order);
            if let Some(entry) = self.entries.get_mut(&order) {
                entry.seen = true;
            }
        }
    }

    pub fn fill(&mut self, account: u32, now: i64) {
        self.accounts.entry(account).or_default().filled = Some(now);
    }

    /// Whether the broker's last report has every fill in it that was told of.
    pub fn is_current(&self, account: u32) -> bool {
        self.accounts.get(&account).is_none_or(|account| account.filled.is_none_or(|at| account.knows(at)))
    }

    /// What our own books say of an account; None where they can't.
    pub fn own(&mut self, account: u32, own: Option<Own>) {
        self.accounts.entry(account).or_default().own = own;
    }

    pub fn reserved(&self, account: u32) -> i128 {
        self.accounts.get(&account).map_or(0, |account| account.reserved)
    }

    /// What the broker's last figure can't have had taken off yet.
    pub fn missing(&self, account: u32) -> i128 {
        self.accounts.get(&account).map_or(0, |account| account.missing)
    }

    /// Whether the broker lends: a margin account, with the least equity that one needs. False where that is unknown.
    pub fn levered(&self, account: u32) -> Result<bool, Wrong> {
        match self.accounts.get(&account) {
            Some(account) => account.own.map_or(Ok(false), |own| account.levered(own)),
            None => Ok(false),
        }
    }

    /// What is left to spend on one kind of asset; None where the account's equity is not known.
    pub fn power(&self, account: u32, purse: Purse) -> Result<Option<Power>, Wrong> {
        let Some((account, own)) = self.accounts.get(&account).and_then(|account| Some((account, account.own?))) else {
            return Ok(None);
        };
        let burden = own.burden.ok_or(Wrong::Burden)?;
        let excess = minus(own.equity, burden)?.max(0);
        let levered = account.levered(own)?;
        let figures = account.figures();
        let (spent, whole, told) = match purse {
            Purse::RegT if levered => (
                plus(times(minus(excess, account.reserved)?, 2)?, account.halved)?,
                times(own.equity, 2)?,
                figures.buying_power,
            ),
            Purse::Options if levered => {
                let free = minus(excess, account.reserved)?;
                (plus(free, account.halved.div_euclid(2))?, own.equity, figures.options)
            }
            _ => {
                // Options have a figure of the broker's own.
                let told = if purse == Purse::Options { figures.options } else { figures.cash };
                let cash = if levered { own.cash } else { minus(own.cash, own.secured)? };
                (minus(excess.min(cash), account.reserved)?, own.equity, told)
            }
        };
        let broker = told.read()?.map(|told| minus(told, account.missing)).transpose()?;
        Ok(Some(Power { own: spent, broker, whole }))
    }
}

/// Whether a unit of the one costs more than one of the other.
fn dearer(one: Whole, other: Whole) -> Result<bool, Wrong> {
    let (whole, least) = (one.amount.div_euclid(one.units), other.amount.div_euclid(other.units));
    if whole != least {
        return Ok(whole > least);
    }
    let rest = times(one.amount.rem_euclid(one.units), other.units)?;
    Ok(rest > times(other.amount.rem_euclid(other.units), one.units)?)
}

#[cfg(test)]
mod tests;
