//! The numbers of a decision: see `crate::risk`. Quantities cross as nano-units, prices as nano-dollars, values in
//! 10⁻¹⁸ USD.

use std::sync::Mutex;

use pyo3::exceptions::{PyLookupError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::fault::RiskFault;
use super::margin::MarginRates;
use super::numbers::Int;
use super::order::{Contract, RiskOrder, RiskRules, int, legs_of, levels};
use crate::exposure::{Open, Resting};
use crate::risk::quote::Quote;
use crate::risk::room::{Entry, Figure, Figures, LEAST_EQUITY, Own, Purse, Whole};
use crate::risk::{Checks, Desk, Fault, Look, Order, Priced, Wrong};
use crate::sync::Relock;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<RiskFault>()?;
    module.add_class::<RiskRules>()?;
    module.add_class::<RiskOrder>()?;
    module.add_class::<RiskLook>()?;
    module.add_class::<RiskBook>()
}

fn wrong(error: impl Into<Wrong>) -> PyErr {
    PyValueError::new_err(error.into().to_string())
}

fn purse(name: &str) -> PyResult<Purse> {
    match name {
        "regt" => Ok(Purse::RegT),
        "cash" => Ok(Purse::Cash),
        "options" => Ok(Purse::Options),
        _ => Err(PyValueError::new_err(format!("a purse is regt, cash or options, not {name}"))),
    }
}

/// What orders would do, with the orders that were asked about.
#[pyclass(frozen, get_all, module = "runner._engine")]
pub struct RiskLook {
    orders: Py<PyList>,
    reduces: bool,
    at_all: Option<Py<RiskFault>>,
    opening: Option<Py<RiskFault>>,
}

impl RiskLook {
    fn new(py: Python<'_>, orders: Bound<'_, PyList>, look: Look) -> PyResult<Self> {
        // Each kind of a fault is an object of its own class, which `Py::new` does not make.
        let fault = |fault: Option<Fault>| {
            fault.map(|fault| RiskFault::from(fault).into_pyobject(py).map(Bound::unbind)).transpose()
        };
        Ok(Self {
            orders: orders.unbind(),
            reduces: look.reduces,
            at_all: fault(look.at_all)?,
            opening: fault(look.opening)?,
        })
    }
}

/// Positions, working orders, prices and buying power of all accounts.
#[pyclass(frozen, module = "runner._engine")]
pub struct RiskBook(Mutex<Desk>);

#[pymethods]
impl RiskBook {
    /// In 10^-18 USD.
    #[classattr]
    const LEAST_EQUITY: i128 = LEAST_EQUITY;
    #[classattr]
    const NEW_ORDER: u16 = Checks::NEW_ORDER.0;
    #[classattr]
    const SELF_MATCH: u16 = Checks::SELF_MATCH.0;
    #[classattr]
    const QTY: u16 = Checks::QTY.0;
    #[classattr]
    const NOTIONAL: u16 = Checks::NOTIONAL.0;
    #[classattr]
    const QUOTES: u16 = Checks::QUOTES.0;
    #[classattr]
    const EXPOSURE: u16 = Checks::EXPOSURE.0;
    #[classattr]
    const OPEN_ORDERS: u16 = Checks::OPEN_ORDERS.0;
    #[classattr]
    const RATES: u16 = Checks::RATES.0;
    #[classattr]
    const MARGIN: u16 = Checks::MARGIN.0;

    #[new]
    fn new() -> Self {
        Self(Mutex::default())
    }

    // What changed.

    #[pyo3(signature = (instrument, multiplier, spread=false, rates=None))]
    fn declare(&self, instrument: u32, multiplier: Option<i64>, spread: bool, rates: Option<MarginRates>) {
        let mut desk = self.0.relock();
        desk.book.declare(instrument, multiplier.map(i128::from), spread);
        if let Some(MarginRates(rates)) = rates {
            desk.margined(instrument, rates);
        }
    }

    fn mark(&self, instrument: u32, buy: bool, price: Option<Int>) -> PyResult<()> {
        self.0.relock().book.mark(instrument, buy, int(price)).map_err(wrong)
    }

    #[pyo3(signature = (instrument, bid, ask, ts_ns, worth=None, newest_ns=None))]
    fn quote(
        &self,
        instrument: u32,
        bid: Option<Int>,
        ask: Option<Int>,
        ts_ns: i64,
        worth: Option<Int>,
        newest_ns: Option<i64>,
    ) {
        let newest = newest_ns.unwrap_or(ts_ns);
        self.0.relock().quote(instrument, Quote { bid: int(bid), ask: int(ask), ts: ts_ns, newest, worth: int(worth) });
    }

    fn hold(
        &self,
        account: u32,
        strategy: Option<u32>,
        instrument: u32,
        held: i128,
        opened_at: Option<i128>,
    ) -> PyResult<()> {
        self.0.relock().hold(account, strategy, instrument, held, opened_at).map_err(wrong)
    }

    #[pyo3(signature = (
        order, account, strategy, instrument, buy, released, price, limit=None, exempt=false, group=None,
        legs=vec![]
    ))]
    #[allow(clippy::too_many_arguments)]
    fn put(
        &self,
        order: &str,
        account: u32,
        strategy: u32,
        instrument: u32,
        buy: bool,
        released: Int,
        price: Option<Int>,
        limit: Option<Int>,
        exempt: bool,
        group: Option<&str>,
        legs: Vec<Contract>,
    ) -> PyResult<()> {
        let open = Open { qty: released.0, price: int(price), group: group.map(Into::into), leg: false };
        let resting = match limit {
            _ if exempt => Resting::Exempt,
            Some(limit) => Resting::Limit(limit.0),
            None => Resting::Market,
        };
        self.0
            .relock()
            .book
            .put(order, account, strategy, instrument, buy, open, resting, &legs_of(legs))
            .map_err(wrong)
    }

    fn drop(&self, order: &str) {
        self.0.relock().book.remove(order);
    }

    // Buying power.

    fn follow_margin(&self) {
        self.0.relock().margin = true;
    }

    #[pyo3(signature = (account, equity, cash, burden, lends, secured=0))]
    fn own(&self, account: u32, equity: Option<i128>, cash: i128, burden: Option<i128>, lends: bool, secured: i128) {
        let own = equity.map(|equity| Own { equity, cash, burden, secured, lends });
        self.0.relock().room.own(account, own);
    }

    /// Each figure: None where it was not told, "" where it is no number.
    fn report(&self, account: u32, buying_power: Told, cash: Told, options: Told, multiplier: Told, now_ns: i64) {
        let [buying_power, cash, options, multiplier] = [buying_power, cash, options, multiplier].map(|told| told.0);
        self.0.relock().room.report(account, Figures { buying_power, cash, options, multiplier }, now_ns);
    }

    fn fill(&self, account: u32, now_ns: i64) {
        self.0.relock().room.fill(account, now_ns);
    }

    fn is_current(&self, account: u32) -> bool {
        self.0.relock().room.is_current(account)
    }

    fn levered(&self, account: u32) -> PyResult<bool> {
        self.0.relock().room.levered(account).map_err(wrong)
    }

    #[pyo3(signature = (order, account, priced, closing, least, lent, whole=None, *, seen=false))]
    #[allow(clippy::too_many_arguments)]
    fn enter(
        &self,
        order: &str,
        account: u32,
        priced: UnitPrice,
        closing: Int,
        least: Int,
        lent: bool,
        whole: Option<(i128, i128)>,
        seen: bool,
    ) -> PyResult<()> {
        let mut desk = self.0.relock();
        let least = if lent { desk.floor(account, &priced_of(priced), least.0).map_err(wrong)? } else { least.0 };
        let entry = Entry { lent, seen, whole: of_whole(whole), ..Entry::new(account, closing.0, least) };
        desk.room.enter(order, entry);
        Ok(())
    }

    #[pyo3(signature = (order, least, whole=None, becomes=None))]
    fn expect(
        &self,
        order: &str,
        least: Int,
        whole: Option<(i128, i128)>,
        becomes: Option<Bound<'_, RiskOrder>>,
    ) -> PyResult<()> {
        let becomes = becomes.as_ref().map(|order| &order.get().0);
        self.0.relock().expect(order, least.0, of_whole(whole), becomes).map_err(wrong)
    }

    #[pyo3(signature = (order, priced, least, whole=None))]
    fn settle(&self, order: &str, priced: UnitPrice, least: Int, whole: Option<(i128, i128)>) -> PyResult<()> {
        self.0.relock().settle(order, &priced_of(priced), least.0, of_whole(whole)).map_err(wrong)
    }

    fn recost(&self, order: &str, whole: (i128, i128)) {
        if let Some(whole) = of_whole(Some(whole)) {
            self.0.relock().room.recost(order, whole);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn note(
        &self,
        order: &str,
        instrument: u32,
        left: Int,
        worth: Option<Int>,
        filled: Int,
        closed: bool,
        accepted: bool,
        now_ns: i64,
    ) -> PyResult<()> {
        let mut desk = self.0.relock();
        desk.note(order, instrument, left.0, int(worth), filled.0, closed, accepted, now_ns).map_err(wrong)
    }

    #[pyo3(signature = (account, instrument, buy, order, strategy=None))]
    fn closable(&self, account: u32, instrument: u32, buy: bool, order: &str, strategy: Option<u32>) -> PyResult<i128> {
        self.0.relock().closable(account, strategy, instrument, buy, order, None).map_err(wrong)
    }

    fn cost(&self, order: &str) -> i128 {
        let mut desk = self.0.relock();
        desk.cover();
        desk.room.entry(order).map_or(0, |entry| entry.amount)
    }

    fn reserved(&self, account: u32) -> i128 {
        let mut desk = self.0.relock();
        desk.cover();
        desk.room.reserved(account)
    }

    fn missing(&self, account: u32) -> i128 {
        self.0.relock().room.missing(account)
    }

    fn power(&self, account: u32, of: &str) -> PyResult<Option<(i128, Option<i128>, i128)>> {
        let mut desk = self.0.relock();
        desk.cover();
        let power = desk.room.power(account, purse(of)?).map_err(wrong)?;
        Ok(power.map(|power| (power.own, power.broker, power.whole)))
    }

    // What is.

    #[pyo3(signature = (account=None, strategy=None))]
    fn orders(&self, account: Option<u32>, strategy: Option<u32>) -> usize {
        self.0.relock().book.orders(account, strategy)
    }

    fn instruments(&self) -> Vec<u32> {
        self.0.relock().book.instruments()
    }

    #[pyo3(signature = (account, strategy=None))]
    fn total(&self, account: u32, strategy: Option<u32>) -> PyResult<i128> {
        self.0.relock().book.total(account, strategy).map_err(PyLookupError::new_err)
    }

    #[pyo3(signature = (account, strategy=None))]
    fn largest(&self, account: u32, strategy: Option<u32>) -> i128 {
        self.0.relock().book.largest(account, strategy)
    }

    #[pyo3(signature = (account, instrument, buy, orders=vec![]))]
    fn side(&self, account: u32, instrument: u32, buy: bool, orders: Vec<Bound<'_, RiskOrder>>) -> PyResult<i128> {
        let asked: Vec<_> = orders.iter().enumerate().map(|(of, order)| order.get().0.candidate(of)).collect();
        self.0.relock().book.side(account, None, instrument, buy, &asked).map_err(wrong)
    }

    fn largest_order(&self, place: &str) -> i128 {
        self.0.relock().largest(place)
    }

    fn passed(&self, key: &str, per_ns: i64, now_ns: i64) -> usize {
        self.0.relock().passed(key, per_ns, now_ns)
    }

    // Decisions.

    #[pyo3(signature = (account, strategy, rules, orders, now_ns, checks=Checks::NEW_ORDER.0, gross=None))]
    #[allow(clippy::too_many_arguments)]
    fn look<'py>(
        &self,
        py: Python<'py>,
        account: u32,
        strategy: u32,
        rules: &RiskRules,
        orders: Bound<'py, PyList>,
        now_ns: i64,
        checks: u16,
        gross: Option<Vec<(String, i128)>>,
    ) -> PyResult<RiskLook> {
        let gross = gross.map(|gross| levels(&gross)).transpose()?;
        let rows = orders.iter().map(Bound::cast_into).collect::<Result<Vec<Bound<'_, RiskOrder>>, _>>()?;
        let judged: Vec<&Order> = rows.iter().map(|order| &order.get().0).collect();
        let look = {
            let mut desk = self.0.relock();
            desk.look(account, strategy, &rules.0, &judged, Checks(checks), gross.as_deref(), now_ns).map_err(wrong)?
        };
        RiskLook::new(py, orders, look)
    }

    fn reduces(&self, account: u32, strategy: u32, orders: Vec<Bound<'_, RiskOrder>>) -> PyResult<bool> {
        let orders: Vec<&Order> = orders.iter().map(|order| &order.get().0).collect();
        self.0.relock().reduces(account, strategy, &orders).map_err(wrong)
    }

    fn costs(&self, account: u32, orders: Vec<Bound<'_, RiskOrder>>) -> PyResult<(i128, i128)> {
        let orders: Vec<&Order> = orders.iter().map(|order| &order.get().0).collect();
        let [lent, cash] = self.0.relock().costs(account, &orders).map_err(|fault| match fault {
            Fault::Wrong(error) => wrong(error),
            fault => PyValueError::new_err(format!("what orders cost can't be told: {fault:?}")),
        })?;
        Ok((lent, cash))
    }

    #[allow(clippy::too_many_arguments)]
    fn take(
        &self,
        account: u32,
        strategy: u32,
        rules: &RiskRules,
        orders: Vec<Bound<'_, RiskOrder>>,
        wholes: Vec<Option<Int>>,
        counted: usize,
        now_ns: i64,
    ) -> PyResult<()> {
        if orders.len() != wholes.len() || counted > orders.len() {
            return Err(PyValueError::new_err("take asks for one whole (or None) of each order, and counts no more"));
        }
        let orders: Vec<&Order> = orders.iter().map(|order| &order.get().0).collect();
        let mut desk = self.0.relock();
        for (order, whole) in orders.iter().zip(wholes) {
            let whole = of_whole(int(whole).map(|amount| (amount, order.left)));
            desk.take(account, strategy, order, whole, now_ns).map_err(wrong)?;
        }
        if counted > 0 {
            desk.count(strategy, &rules.0, &orders[..counted], now_ns);
        }
        Ok(())
    }

    fn count(&self, strategy: u32, rules: &RiskRules, orders: Vec<Bound<'_, RiskOrder>>, now_ns: i64) {
        let orders: Vec<&Order> = orders.iter().map(|order| &order.get().0).collect();
        self.0.relock().count(strategy, &rules.0, &orders, now_ns);
    }
}

/// Instrument, whether it is bought, the price of a unit.
type UnitPrice = (u32, bool, Option<Int>);

fn priced_of((instrument, buy, price): UnitPrice) -> Priced {
    Priced { instrument, buy, price: int(price) }
}

fn of_whole(whole: Option<(i128, i128)>) -> Option<Whole> {
    whole.filter(|(_, units)| *units > 0).map(|(amount, units)| Whole { amount, units })
}

/// A figure of the broker's: None, a number, or anything else for what is no number.
struct Told(Figure);

impl<'py> FromPyObject<'_, 'py> for Told {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(if object.is_none() {
            Figure::Untold
        } else {
            object.extract().map_or(Figure::Unreadable, Figure::Is)
        }))
    }
}
