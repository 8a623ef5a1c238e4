//! What a decision is about: an order, and what binds it. See `crate::risk`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;

use super::fault::level_of;
use super::numbers::Int;
use crate::exposure::{Bounds, Leg, Level};
use crate::rate::Limit;
use crate::risk::quote::{Collar, HeldTo};
use crate::risk::room::Purse;
use crate::risk::{Most, Order, Rules};

/// What binds the orders of one strategy on one account.
#[pyclass(frozen, module = "runner._engine")]
pub struct RiskRules(pub(super) Rules);

#[pymethods]
impl RiskRules {
    #[new]
    #[pyo3(signature = (
        *, qty=None, notional=None, position_of_account=None, position_of_strategy=None, gross=Some(vec![]),
        open_orders=vec![], collar_percent=None, collar_absolute=None, quote_age_ns=None, twins_ns=None,
        self_match=false, rates=vec![], headroom=None,
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        qty: Option<(i128, String)>,
        notional: Option<(i128, String)>,
        position_of_account: Option<i128>,
        position_of_strategy: Option<i128>,
        gross: Option<Vec<(String, i128)>>,
        open_orders: Vec<(String, usize)>,
        collar_percent: Option<i128>,
        collar_absolute: Option<i128>,
        quote_age_ns: Option<i64>,
        twins_ns: Option<i64>,
        self_match: bool,
        rates: Vec<(String, usize, i64)>,
        headroom: Option<i128>,
    ) -> PyResult<Self> {
        let most = |bound: Option<(i128, String)>| bound.map(|(value, place)| Most { value, place: place.into() });
        let open_orders = levels(&open_orders)?;
        let of_equity = gross.is_none();
        let gross = levels(&gross.unwrap_or_default())?;
        Ok(Self(Rules {
            qty: most(qty),
            notional: most(notional),
            bounds: Bounds { position_of_account, position_of_strategy, gross, open_orders },
            of_equity,
            collar: Collar { percent: collar_percent, absolute: collar_absolute, age: quote_age_ns },
            twins: twins_ns,
            self_match,
            rates: rates.into_iter().map(|(key, count, per)| Limit { key: key.into(), count, per }).collect(),
            headroom,
        }))
    }
}

/// An order as it would be.
#[pyclass(frozen, module = "runner._engine")]
pub struct RiskOrder(pub(super) Order);

#[pymethods]
impl RiskOrder {
    #[new]
    #[pyo3(signature = (
        id, instrument, buy, kind, held_to, asked, units, left, cost, worth, limit, mark, purse, /, *, released=None,
        filled=Int(0), trigger=None, trail=None, least=Int(0), group=None, plain=true, exempt=false, exit=false, money=false,
        change=false, legs=vec![],
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        id: PyBackedStr,
        instrument: u32,
        buy: bool,
        kind: u8,
        held_to: u8,
        asked: Int,
        units: Option<Int>,
        left: Int,
        cost: Option<Int>,
        worth: Option<Int>,
        limit: Option<Int>,
        mark: Option<Int>,
        purse: u8,
        released: Option<Int>,
        filled: Int,
        trigger: Option<Int>,
        trail: Option<Int>,
        least: Int,
        group: Option<PyBackedStr>,
        plain: bool,
        exempt: bool,
        exit: bool,
        money: bool,
        change: bool,
        legs: Vec<Contract>,
    ) -> PyResult<Self> {
        Ok(Self(Order {
            id: (*id).into(),
            instrument,
            buy,
            kind,
            held_to: match held_to {
                0 => HeldTo::Market,
                1 => HeldTo::Limit,
                2 => HeldTo::Trigger,
                _ => return Err(PyValueError::new_err("held_to is 0 (market), 1 (limit) or 2 (trigger)")),
            },
            asked: asked.0,
            money,
            units: int(units),
            left: left.0,
            released: released.unwrap_or(left).0,
            filled: filled.0,
            cost: int(cost),
            least: least.0,
            worth: int(worth),
            limit: int(limit),
            trigger: int(trigger),
            trail: int(trail),
            mark: int(mark),
            group: group.map(|group| (*group).into()),
            plain,
            exempt,
            exit,
            purse: match purse {
                0 => None,
                1 => Some(Purse::Cash),
                2 => Some(Purse::RegT),
                _ => return Err(PyValueError::new_err("purse is 0 (judged elsewhere), 1 (cash) or 2 (Reg T)")),
            },
            change,
            legs: legs_of(legs),
        }))
    }
}

/// A contract of a spread: instrument, ratio, what a unit is worth.
pub(super) type Contract = (u32, i64, Option<Int>);

pub(super) fn legs_of(legs: Vec<Contract>) -> Box<[Leg]> {
    let leg = |(instrument, ratio, worth)| Leg { instrument, ratio: i128::from(ratio), worth: int(worth) };
    legs.into_iter().map(leg).collect()
}

pub(super) fn int(value: Option<Int>) -> Option<i128> {
    value.map(|value| value.0)
}

pub(super) fn levels<T: Copy>(named: &[(String, T)]) -> PyResult<Vec<(Level, T)>> {
    named.iter().map(|(name, most)| Ok((level_of(name)?, *most))).collect()
}
