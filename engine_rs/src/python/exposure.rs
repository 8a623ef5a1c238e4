//! The book of exposures: see `crate::exposure`. Quantities cross as nano-units, prices as nano-dollars.

use std::sync::Mutex;

use pyo3::exceptions::{PyLookupError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;

use super::numbers::Int;
use crate::exposure::{Book, Bounds, Breach, Candidate, Level, Open, Resting, Wrong};
use crate::sync::Relock;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ExposureBounds>()?;
    module.add_class::<ExposureBreach>()?;
    module.add_class::<ExposureBook>()
}

fn wrong(error: Wrong) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn level(name: &str) -> PyResult<Level> {
    match name {
        "node" => Ok(Level::Node),
        "account" => Ok(Level::Account),
        "strategy" => Ok(Level::Strategy),
        _ => Err(PyValueError::new_err(format!("a level is node, account or strategy, not {name}"))),
    }
}

fn named(level: Level) -> &'static str {
    match level {
        Level::Node => "node",
        Level::Account => "account",
        Level::Strategy => "strategy",
    }
}

/// (order, instrument, buy, quantity, price, group).
type Row = (PyBackedStr, u32, bool, Option<Int>, Option<Int>, Option<PyBackedStr>);

fn candidate((order, instrument, buy, qty, price, group): &Row) -> Candidate<'_> {
    let (qty, price) = (qty.map(|qty| qty.0), price.map(|price| price.0));
    Candidate { order, instrument: *instrument, buy: *buy, qty, price, group: group.as_deref() }
}

fn candidates(rows: &[Row]) -> Vec<Candidate<'_>> {
    rows.iter().map(candidate).collect()
}

fn reduces(book: &Book, account: u32, asked: &[Candidate<'_>]) -> PyResult<bool> {
    for each in asked {
        if !book.reduces(account, None, each.instrument, asked).map_err(wrong)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What binds the orders of one strategy on one account.
#[pyclass(frozen, module = "runner._engine")]
pub struct ExposureBounds(Bounds);

#[pymethods]
impl ExposureBounds {
    #[new]
    #[pyo3(signature = (*, position_of_account=None, position_of_strategy=None, gross=vec![], open_orders=vec![]))]
    fn new(
        position_of_account: Option<i128>,
        position_of_strategy: Option<i128>,
        gross: Vec<(String, i128)>,
        open_orders: Vec<(String, usize)>,
    ) -> PyResult<Self> {
        Ok(Self(Bounds {
            position_of_account,
            position_of_strategy,
            gross: gross.iter().map(|(name, most)| Ok((level(name)?, *most))).collect::<PyResult<_>>()?,
            open_orders: open_orders.iter().map(|(name, most)| Ok((level(name)?, *most))).collect::<PyResult<_>>()?,
        }))
    }
}

#[pyclass(frozen, module = "runner._engine")]
pub struct ExposureBreach(Breach);

#[pymethods]
impl ExposureBreach {
    #[getter]
    fn kind(&self) -> &'static str {
        match self.0 {
            Breach::Position { .. } => "position",
            Breach::PositionUnpriced { .. } => "position_unpriced",
            Breach::Gross { .. } => "gross",
            Breach::GrossUnpriced { .. } => "gross_unpriced",
            Breach::OpenOrders { .. } => "open_orders",
            Breach::Overflow => "overflow",
        }
    }

    #[getter]
    fn level(&self) -> Option<&'static str> {
        match self.0 {
            Breach::Position { level, .. } | Breach::PositionUnpriced { level, .. } => Some(named(level)),
            _ => None,
        }
    }

    #[getter]
    fn candidate(&self) -> usize {
        match self.0 {
            Breach::Position { candidate, .. } | Breach::PositionUnpriced { candidate, .. } => candidate,
            _ => 0,
        }
    }

    #[getter]
    fn bound(&self) -> usize {
        match self.0 {
            Breach::Gross { bound, .. } | Breach::GrossUnpriced { bound, .. } | Breach::OpenOrders { bound, .. } => {
                bound
            }
            _ => 0,
        }
    }

    #[getter]
    fn instrument(&self) -> Option<u32> {
        match self.0 {
            Breach::GrossUnpriced { instrument, .. } => Some(instrument),
            _ => None,
        }
    }

    #[getter]
    fn before(&self) -> i128 {
        match self.0 {
            Breach::Gross { before, .. } => before,
            Breach::Position { held, .. } => held,
            _ => 0,
        }
    }

    #[getter]
    fn after(&self) -> i128 {
        match self.0 {
            Breach::Gross { after, .. } => after,
            Breach::Position { worst, .. } => worst,
            _ => 0,
        }
    }

    #[getter]
    fn working(&self) -> i128 {
        match self.0 {
            Breach::Position { working, .. } => working,
            Breach::OpenOrders { working, .. } => working as i128,
            _ => 0,
        }
    }

    fn __repr__(&self) -> String {
        format!("ExposureBreach({:?})", self.0)
    }
}

/// Positions, working orders and marks of all accounts.
#[pyclass(frozen, module = "runner._engine")]
pub struct ExposureBook(Mutex<Book>);

#[pymethods]
impl ExposureBook {
    #[new]
    fn new() -> Self {
        Self(Mutex::new(Book::default()))
    }

    fn declare(&self, instrument: u32, multiplier: Option<i64>) {
        self.0.relock().declare(instrument, multiplier.map(i128::from));
    }

    fn mark(&self, instrument: u32, buy: bool, price: Option<Int>) -> PyResult<()> {
        self.0.relock().mark(instrument, buy, price.map(|price| price.0)).map_err(wrong)
    }

    fn hold(
        &self,
        account: u32,
        strategy: Option<u32>,
        instrument: u32,
        held: Int,
        opened_at: Option<Int>,
    ) -> PyResult<()> {
        self.0.relock().hold(account, strategy, instrument, held.0, opened_at.map(|price| price.0)).map_err(wrong)
    }

    #[pyo3(signature = (order, account, strategy, instrument, buy, qty, price, limit=None, exempt=false, group=None))]
    #[allow(clippy::too_many_arguments)]
    fn put(
        &self,
        order: &str,
        account: u32,
        strategy: u32,
        instrument: u32,
        buy: bool,
        qty: Int,
        price: Option<Int>,
        limit: Option<Int>,
        exempt: bool,
        group: Option<&str>,
    ) -> PyResult<()> {
        let open = Open { qty: qty.0, price: price.map(|price| price.0), group: group.map(Into::into) };
        let resting = match limit {
            _ if exempt => Resting::Exempt,
            Some(limit) => Resting::Limit(limit.0),
            None => Resting::Market,
        };
        self.0.relock().put(order, account, strategy, instrument, buy, open, resting).map_err(wrong)
    }

    fn drop(&self, order: &str) {
        self.0.relock().remove(order);
    }

    #[pyo3(signature = (account=None, strategy=None))]
    fn orders(&self, account: Option<u32>, strategy: Option<u32>) -> usize {
        self.0.relock().orders(account, strategy)
    }

    fn instruments(&self) -> Vec<u32> {
        self.0.relock().instruments()
    }

    #[pyo3(signature = (account, strategy=None))]
    fn total(&self, account: u32, strategy: Option<u32>) -> PyResult<i128> {
        self.0.relock().total(account, strategy).map_err(PyLookupError::new_err)
    }

    #[pyo3(signature = (account, strategy=None))]
    fn largest(&self, account: u32, strategy: Option<u32>) -> i128 {
        self.0.relock().largest(account, strategy)
    }

    #[pyo3(signature = (account, instrument, buy, candidates=vec![], strategy=None))]
    fn side(
        &self,
        account: u32,
        instrument: u32,
        buy: bool,
        candidates: Vec<Row>,
        strategy: Option<u32>,
    ) -> PyResult<i128> {
        let asked = self::candidates(&candidates);
        Ok(self.0.relock().side(account, strategy, instrument, buy, &asked).map_err(wrong)?.qty)
    }

    /// All that a decision asks, in one step: whether the candidates only shrink positions, which of our own orders each
    /// could meet at its limit, and the first bound that is exceeded (`overflow` where that can't be told).
    fn look(
        &self,
        account: u32,
        strategy: u32,
        candidates: Vec<Row>,
        limits: Vec<Option<Int>>,
        bounds: &ExposureBounds,
    ) -> PyResult<(bool, Vec<Option<String>>, Option<ExposureBreach>)> {
        let asked = self::candidates(&candidates);
        let book = self.0.relock();
        let met = asked.iter().zip(&limits).map(|(each, limit)| {
            let limit = limit.map(|limit| limit.0);
            book.meets(account, each.instrument, each.buy, limit, each.order).map(Into::into)
        });
        let met = met.collect();
        let found = match book.check(account, strategy, &asked, &bounds.0) {
            Err(Wrong::Overflow) => Some(Breach::Overflow),
            found => found.map_err(wrong)?,
        };
        Ok((reduces(&book, account, &asked)?, met, found.map(ExposureBreach)))
    }

    fn check(
        &self,
        account: u32,
        strategy: u32,
        candidates: Vec<Row>,
        bounds: &ExposureBounds,
    ) -> PyResult<Option<ExposureBreach>> {
        let asked = self::candidates(&candidates);
        let found = self.0.relock().check(account, strategy, &asked, &bounds.0).map_err(wrong)?;
        Ok(found.map(ExposureBreach))
    }
}
