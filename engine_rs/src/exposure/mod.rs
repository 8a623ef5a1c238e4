//! What accounts and strategies are exposed to, with everything that works counted at once: kept up change by change,
//! so that a question walks over nothing that it is not about.
//!
//! With `held` the signed position, an instrument can become `max(|held + Σ buys|, |held - Σ sells|)`, whichever of the
//! orders fill. Quantities are in nano-units and prices in nano-dollars; values are their products, in 10⁻¹⁸ USD, so
//! nothing is rounded. What does not fit 128 bits (10²⁰ USD) is an error, never a wrapped number.

pub mod book;
pub mod side;

pub use book::{Book, Bounds, Breach, Candidate, Leg, Level, Resting};
pub use side::{Open, Side, Sum};

/// What can't be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("a value of more than 10^20 USD can't be added up")]
    Overflow,
    #[error("instrument {0} was never declared")]
    Undeclared(u32),
}

pub(crate) fn times(a: i128, b: i128) -> Result<i128, Wrong> {
    a.checked_mul(b).ok_or(Wrong::Overflow)
}

pub(crate) fn minus(a: i128, b: i128) -> Result<i128, Wrong> {
    a.checked_sub(b).ok_or(Wrong::Overflow)
}

pub(crate) fn plus(a: i128, b: i128) -> Result<i128, Wrong> {
    a.checked_add(b).ok_or(Wrong::Overflow)
}
