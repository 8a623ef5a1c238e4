//! What an order breaks, as Python has it.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::exposure::{self, Breach, Level};
use crate::risk::quote::Off;
use crate::risk::{Fault, Wrong};

/// A class of its own for each kind, for `match`.
#[pyclass(frozen, module = "runner._engine")]
pub enum RiskFault {
    Twin { order: usize, age_ns: Option<i64> },
    SelfMatch { order: usize, met: String },
    Qty { order: usize },
    Notional { order: usize, value: i128 },
    Unpriced { order: usize, notional: bool },
    QuoteMissing { order: usize },
    QuoteCrossed { order: usize },
    QuoteStale { order: usize, age_ns: i64 },
    Collar { order: usize, price: i128, reference: i128, away: i128, worth: i128, absolute: bool, at_trigger: bool },
    Position { order: usize, account: bool, instrument: u32, worst: i128, held: i128, working: i128 },
    PositionUnpriced { order: usize, account: bool },
    Gross { bound: usize, before: i128, after: i128 },
    GrossUnpriced { bound: usize, instrument: u32 },
    OpenOrders { bound: usize, working: usize },
    Rate { bound: usize, held: usize },
    Short { order: usize },
    Margin { cost: i128, kept: i128, own: i128, broker: Option<i128> },
    NoPrice { order: usize },
    NoEquity {},
    Unreadable {},
    Burden {},
    Unsized { instrument: u32 },
    Overflow {},
}

impl From<Fault> for RiskFault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Twin { order, age } => Self::Twin { order, age_ns: age },
            Fault::SelfMatch { order, met } => Self::SelfMatch { order, met: met.into() },
            Fault::Qty { order } => Self::Qty { order },
            Fault::Notional { order, value } => Self::Notional { order, value },
            Fault::Unpriced { order, notional } => Self::Unpriced { order, notional },
            Fault::Quote { order, off } => match off {
                Off::Missing => Self::QuoteMissing { order },
                Off::Crossed => Self::QuoteCrossed { order },
                Off::Stale { age } => Self::QuoteStale { order, age_ns: age },
                Off::Away { price, reference, away, worth, absolute, at_trigger } => {
                    Self::Collar { order, price, reference, away, worth, absolute, at_trigger }
                }
            },
            Fault::Exposure(breach) => breach.into(),
            Fault::Rate { bound, held } => Self::Rate { bound, held },
            Fault::Short { order } => Self::Short { order },
            Fault::Margin { cost, kept, own, broker } => Self::Margin { cost, kept, own, broker },
            Fault::NoPrice { order } => Self::NoPrice { order },
            Fault::NoEquity => Self::NoEquity {},
            Fault::Wrong(wrong) => match wrong {
                Wrong::Unreadable => Self::Unreadable {},
                Wrong::Burden => Self::Burden {},
                Wrong::Unsized(instrument) | Wrong::Exposure(exposure::Wrong::Undeclared(instrument)) => {
                    Self::Unsized { instrument }
                }
                Wrong::Exposure(exposure::Wrong::Overflow) => Self::Overflow {},
            },
        }
    }
}

impl From<Breach> for RiskFault {
    fn from(breach: Breach) -> Self {
        match breach {
            Breach::Position { level, candidate: order, instrument, worst, held, working } => {
                Self::Position { order, account: level == Level::Account, instrument, worst, held, working }
            }
            Breach::PositionUnpriced { level, candidate: order } => {
                Self::PositionUnpriced { order, account: level == Level::Account }
            }
            Breach::Gross { bound, before, after } => Self::Gross { bound, before, after },
            Breach::GrossUnpriced { bound, instrument } => Self::GrossUnpriced { bound, instrument },
            Breach::OpenOrders { bound, working } => Self::OpenOrders { bound, working },
        }
    }
}

pub fn level_of(name: &str) -> PyResult<Level> {
    match name {
        "node" => Ok(Level::Node),
        "account" => Ok(Level::Account),
        "strategy" => Ok(Level::Strategy),
        _ => Err(PyValueError::new_err(format!("a level is node, account or strategy, not {name}"))),
    }
}
