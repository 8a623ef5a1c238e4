//! Margin arithmetic: see `crate::margin`. Money crosses as Python ints of nano-dollars.

use std::sync::Mutex;

use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::margin::account::{Account, Figures};
use crate::margin::leg::{Leg, Right, parse_occ};
use crate::margin::order::{CostBasis, Intent, OrderLeg, Refusal, validate};
use crate::margin::reg_t::{self, Rates};
use crate::margin::usr::{Expirations, Requirement, Uncovered, requirement};
use crate::margin::{Wrong, product, ranged};
use crate::sync::Relock;

create_exception!(_engine, UncoveredError, PyValueError);

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("UncoveredError", module.py().get_type::<UncoveredError>())?;
    module.add_class::<MarginRates>()?;
    module.add_class::<OptionRequirement>()?;
    module.add_class::<OptionCost>()?;
    module.add_class::<MarginFigures>()?;
    module.add_class::<MarginAccount>()?;
    module.add_function(wrap_pyfunction!(option_margin, module)?)?;
    module.add_function(wrap_pyfunction!(option_requirement, module)?)?;
    module.add_function(wrap_pyfunction!(option_order_refusal, module)?)?;
    module.add_function(wrap_pyfunction!(order_unit_value, module)?)?;
    module.add_function(wrap_pyfunction!(nano_product, module)?)?;
    module.add("OPTION_REFUSALS", Refusal::ALL.map(Refusal::code))?;
    Ok(())
}

fn wrong(error: &Wrong) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn uncovered(found: Uncovered) -> PyErr {
    let Uncovered { expiry, contracts } = found;
    UncoveredError::new_err((
        format!("{contracts} short calls that expire on {expiry:06} (YYMMDD) or later are covered by nothing"),
        expiry,
        contracts,
    ))
}

fn reading(text: &str) -> PyResult<Expirations> {
    match text {
        "per_date" => Ok(Expirations::PerDate),
        "from_date" => Ok(Expirations::FromDate),
        _ => Err(PyValueError::new_err(format!("expirations must be per_date or from_date, not {text}"))),
    }
}

fn money(name: &'static str, value: i128) -> PyResult<i128> {
    ranged(name, value).map_err(|error| wrong(&error))
}

/// Python's `list[tuple[bool, int, int, int]]`.
fn read_legs(legs: &Bound<'_, PyList>) -> PyResult<Vec<Leg>> {
    let mut read = Vec::with_capacity(legs.len());
    for item in legs.iter() {
        let row = item.cast::<PyTuple>()?;
        if row.len() != 4 {
            return Err(PyValueError::new_err("a leg is (call, strike, expiry, contracts)"));
        }
        let call: bool = row.get_borrowed_item(0)?.extract()?;
        let strike: i64 = row.get_borrowed_item(1)?.extract()?;
        let expiry: i32 = row.get_borrowed_item(2)?.extract()?;
        let qty: i64 = row.get_borrowed_item(3)?.extract()?;
        let right = if call { Right::Call } else { Right::Put };
        read.push(Leg::new(right, strike, expiry, qty).map_err(|error| wrong(&error))?);
    }
    Ok(read)
}

#[pyfunction]
#[pyo3(signature = (legs, shares=0, expirations="per_date"))]
fn option_margin(legs: &Bound<'_, PyList>, shares: i64, expirations: &str) -> PyResult<i128> {
    let found = requirement(&read_legs(legs)?, shares, reading(expirations)?);
    Ok(found.map_err(uncovered)?.amount)
}

#[pyfunction]
#[pyo3(signature = (legs, shares=0, expirations="per_date"))]
fn option_requirement(legs: &Bound<'_, PyList>, shares: i64, expirations: &str) -> PyResult<OptionRequirement> {
    let found = requirement(&read_legs(legs)?, shares, reading(expirations)?);
    Ok(OptionRequirement(found.map_err(uncovered)?))
}

/// `legs`: (OCC symbol, ratio, intent, contracts held before).
#[pyfunction]
fn option_order_refusal(legs: Vec<(String, i64, String, i64)>, qty: i64, level: u8) -> PyResult<Option<&'static str>> {
    let mut root: Option<&str> = None;
    let mut read = Vec::with_capacity(legs.len());
    for (symbol, ratio, intent, held) in &legs {
        let (of, contract) = parse_occ(symbol).map_err(|error| wrong(&error))?;
        let intent = Intent::parse(intent)
            .ok_or_else(|| PyValueError::new_err(format!("`{intent}` is no position intent, such as buy_to_open")))?;
        if *root.get_or_insert(of) != of {
            return Ok(Some(Refusal::Underlying.code()));
        }
        read.push(OrderLeg { contract, ratio: *ratio, intent, held: *held });
    }
    Ok(validate(&read, qty, level).err().map(Refusal::code))
}

#[pyfunction]
#[pyo3(signature = (buys, limit, ask))]
fn order_unit_value(buys: bool, limit: Option<i128>, ask: Option<i128>) -> PyResult<Option<i128>> {
    let limit = limit.map(|value| money("limit", value)).transpose()?;
    let ask = ask.map(|value| money("ask", value)).transpose()?;
    Ok(reg_t::unit_value(buys, limit, ask))
}

#[pyfunction]
fn nano_product(a: i128, b: i128) -> PyResult<i128> {
    Ok(product(money("a", a)?, money("b", b)?))
}

/// How an asset is margined.
#[pyclass(frozen, module = "runner._engine", from_py_object)]
#[derive(Clone)]
pub struct MarginRates(pub Rates);

#[pymethods]
impl MarginRates {
    #[new]
    #[pyo3(signature = (*, marginable=true, long_percent=0, short_percent=0, leverage=1))]
    fn new(marginable: bool, long_percent: i64, short_percent: i64, leverage: u8) -> PyResult<Self> {
        if !(0..=1000).contains(&long_percent) || !(0..=1000).contains(&short_percent) || !(1..=3).contains(&leverage) {
            return Err(PyValueError::new_err("rates are whole per cent from 0 to 1000, leverage is 1, 2 or 3"));
        }
        Ok(Self(Rates { marginable, long: long_percent, short: short_percent, leverage }))
    }

    fn initial(&self, qty: i128, price: i128) -> PyResult<i128> {
        Ok(reg_t::initial(money("qty", qty)?, money("price", price)?, &self.0))
    }

    fn maintenance(&self, qty: i128, price: i128) -> PyResult<i128> {
        Ok(reg_t::maintenance(money("qty", qty)?, money("price", price)?, &self.0))
    }
}

#[pyclass(frozen, module = "runner._engine")]
pub struct OptionRequirement(Requirement);

#[pymethods]
impl OptionRequirement {
    #[getter]
    fn amount(&self) -> i128 {
        self.0.amount
    }

    #[getter]
    fn price(&self) -> i64 {
        self.0.price
    }

    #[getter]
    fn expiry(&self) -> i32 {
        self.0.expiry
    }

    fn __repr__(&self) -> String {
        format!("OptionRequirement(amount={}, price={}, expiry={})", self.0.amount, self.0.price, self.0.expiry)
    }
}

#[pyclass(frozen, module = "runner._engine")]
pub struct OptionCost(CostBasis);

#[pymethods]
impl OptionCost {
    #[getter]
    fn amount(&self) -> i128 {
        self.0.amount
    }

    #[getter]
    fn net(&self) -> i128 {
        self.0.net
    }

    #[getter]
    fn owed(&self) -> i128 {
        self.0.owed
    }

    #[getter]
    fn before(&self) -> OptionRequirement {
        OptionRequirement(self.0.before)
    }

    #[getter]
    fn after(&self) -> OptionRequirement {
        OptionRequirement(self.0.after)
    }

    fn __repr__(&self) -> String {
        format!("OptionCost(amount={}, net={})", self.0.amount, self.0.net)
    }
}

#[pyclass(frozen, module = "runner._engine")]
pub struct MarginFigures(Figures);

#[pymethods]
impl MarginFigures {
    #[getter]
    fn equity(&self) -> i128 {
        self.0.equity
    }

    #[getter]
    fn long_market_value(&self) -> i128 {
        self.0.long_market_value
    }

    #[getter]
    fn short_market_value(&self) -> i128 {
        self.0.short_market_value
    }

    #[getter]
    fn initial_margin(&self) -> i128 {
        self.0.initial
    }

    #[getter]
    fn maintenance_margin(&self) -> i128 {
        self.0.maintenance
    }

    #[getter]
    fn options_margin(&self) -> i128 {
        self.0.options
    }

    #[getter]
    fn excess(&self) -> i128 {
        self.0.excess
    }

    #[getter]
    fn buying_power(&self) -> i128 {
        self.0.buying_power
    }

    #[getter]
    fn options_buying_power(&self) -> i128 {
        self.0.options_buying_power
    }

    #[getter]
    fn non_marginable_buying_power(&self) -> i128 {
        self.0.non_marginable_buying_power
    }

    fn __repr__(&self) -> String {
        format!("MarginFigures(equity={}, initial_margin={}, excess={})", self.0.equity, self.0.initial, self.0.excess)
    }
}

/// One account, kept up change by change.
#[pyclass(frozen, module = "runner._engine")]
pub struct MarginAccount(Mutex<Account>);

#[pymethods]
impl MarginAccount {
    #[new]
    #[pyo3(signature = (*, multiplier=2, expirations="per_date"))]
    fn new(multiplier: i64, expirations: &str) -> PyResult<Self> {
        if ![1, 2, 4].contains(&multiplier) {
            return Err(PyValueError::new_err(format!("an account's multiplier is 1, 2 or 4, not {multiplier}")));
        }
        Ok(Self(Mutex::new(Account::new(multiplier, reading(expirations)?))))
    }

    fn set_cash(&self, cash: i128) -> PyResult<()> {
        self.0.relock().cash = money("cash", cash)?;
        Ok(())
    }

    fn set_position(&self, symbol: &str, qty: i128, price: i128, rates: &MarginRates) -> PyResult<()> {
        self.0.relock().set_position(symbol, money("qty", qty)?, money("price", price)?, rates.0);
        Ok(())
    }

    fn set_price(&self, symbol: &str, price: i128) -> PyResult<()> {
        self.0.relock().set_price(symbol, money("price", price)?);
        Ok(())
    }

    fn set_option(&self, symbol: &str, qty: i64, price: i128) -> PyResult<()> {
        let (root, contract) = parse_occ(symbol).map_err(|error| wrong(&error))?;
        let leg = Leg::new(contract.right, contract.strike, contract.expiry, qty).map_err(|error| wrong(&error))?;
        self.0.relock().set_option(root, leg.contract, leg.qty, money("price", price)?);
        Ok(())
    }

    fn reserve(&self, order: &str, amount: i128) -> PyResult<()> {
        self.0.relock().reserve(order, money("amount", amount)?);
        Ok(())
    }

    fn release(&self, order: &str) {
        self.0.relock().release(order);
    }

    #[getter]
    fn reserved(&self) -> i128 {
        self.0.relock().reserved()
    }

    fn held(&self, symbol: &str) -> PyResult<i64> {
        let (root, contract) = parse_occ(symbol).map_err(|error| wrong(&error))?;
        Ok(self.0.relock().held(root, contract))
    }

    fn shares(&self, root: &str) -> i64 {
        self.0.relock().shares(root)
    }

    /// `legs`: (OCC symbol, signed contracts in all), one root; `net` nano-dollars a share for `qty` units.
    #[pyo3(signature = (legs, net, qty, *, shares=0))]
    fn options_cost(&self, legs: Vec<(String, i64)>, net: i128, qty: i64, shares: i64) -> PyResult<OptionCost> {
        let mut root: Option<&str> = None;
        let mut changes = Vec::with_capacity(legs.len());
        for (symbol, signed) in &legs {
            let (of, contract) = parse_occ(symbol).map_err(|error| wrong(&error))?;
            if *root.get_or_insert(of) != of {
                return Err(PyValueError::new_err(format!("{symbol} is of another root than {}", root.unwrap_or(""))));
            }
            let leg = Leg::new(contract.right, contract.strike, contract.expiry, *signed);
            changes.push(leg.map_err(|error| wrong(&error))?);
        }
        let Some(root) = root else { return Err(PyValueError::new_err("an order has at least one leg")) };
        let (net, qty) = (money("net", net)?, Leg::new(Right::Call, 1, 0, qty).map_err(|error| wrong(&error))?.qty);
        let account = self.0.relock();
        account.options_cost(root, &changes, shares, net, qty).map(OptionCost).map_err(uncovered)
    }

    /// Whether the short calls of a root stay covered once its shares change by so many.
    fn covers(&self, root: &str, shares: i64) -> bool {
        self.0.relock().options_cost(root, &[], shares, 0, 1).is_ok()
    }

    fn figures(&self) -> PyResult<MarginFigures> {
        self.0.relock().figures().map(MarginFigures).map_err(uncovered)
    }
}
