//! What can't be answered, and what orders break.

use super::quote::Off;
use crate::exposure::{self, Breach};

/// What can't be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error(transparent)]
    Exposure(#[from] exposure::Wrong),
    #[error("a figure that the broker told is no number")]
    Unreadable,
    #[error("the margin of the positions can't be told")]
    Burden,
    #[error("what a contract of instrument {0} is of is not known")]
    Unsized(u32),
}

/// What an order breaks, with the numbers; `order`: which one, counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `age`: how long ago the same passed; None where it is in the list twice.
    Twin {
        order: usize,
        age: Option<i64>,
    },
    SelfMatch {
        order: usize,
        met: Box<str>,
    },
    Qty {
        order: usize,
    },
    Notional {
        order: usize,
        value: i128,
    },
    /// A limit on one order can't be judged: `notional` or its quantity.
    Unpriced {
        order: usize,
        notional: bool,
    },
    Quote {
        order: usize,
        off: Off,
    },
    Exposure(Breach),
    Rate {
        bound: usize,
        held: usize,
    },
    /// A short sale where the broker does not lend.
    Short {
        order: usize,
    },
    Margin {
        cost: i128,
        kept: i128,
        own: i128,
        broker: Option<i128>,
    },
    /// What it costs is not known.
    NoPrice {
        order: usize,
    },
    NoEquity,
    Wrong(Wrong),
}

impl From<Wrong> for Fault {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

impl From<exposure::Wrong> for Fault {
    fn from(wrong: exposure::Wrong) -> Self {
        Self::Wrong(wrong.into())
    }
}

/// What orders would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether they only shrink positions of the account, together with what closes them already. Money can't be
    /// compared with a position for certain.
    pub reduces: bool,
    /// What no order may do, be it that it closes.
    pub at_all: Option<Fault>,
    /// What no order may do that opens. Not looked for where they reduce.
    pub opening: Option<Fault>,
}
