//! Margin and buying power, in exact integers: what an account must keep, what an order takes, what may be sent at all.
//!
//! Money is in nano-dollars (10⁻⁹ USD), quantities of shares and coins in nano-units, strikes in mills (10⁻³ USD, as OCC
//! symbols write them), contracts whole. A product that does not come out even is rounded up: a requirement never reads
//! less than it is. Arguments out of [`RANGE`] are errors, and within it nothing overflows.
//!
//! Sources: docs.alpaca.markets "Options Level 3 Trading" (Universal Spread Rule, order cost basis), "Options Trading
//! Overview" (levels), "Margin and Short Selling" (Reg T, maintenance), "Orders at Alpaca" (buying power at submission).

pub mod account;
pub mod leg;
pub mod order;
pub mod reg_t;
pub mod usr;

pub use leg::{Contract, Leg, Right};

/// One dollar.
pub const NANO: i128 = 1_000_000_000;
/// Nano-dollars in a mill.
pub const MILL: i128 = 1_000_000;
/// Shares that a standard contract is for.
pub const SHARES: i64 = 100;
/// No money, quantity or number of contracts that comes in may be larger than this, either way: ten trillion dollars,
/// shares or coins. Ten times (1,000 %) the product of two, of a hundred positions, still fits 128 bits.
pub const RANGE: i128 = 10_000_000_000_000_000_000_000;

/// `a * b / NANO`, rounded up in size (away from zero). Both within [`RANGE`].
pub fn product(a: i128, b: i128) -> i128 {
    let negative = (a < 0) != (b < 0);
    let (a, b) = (a.unsigned_abs(), b.unsigned_abs());
    let nano = NANO.unsigned_abs();
    // Taken apart, so that the product of two large numbers does not overflow on its way.
    let (high, low) = (a / nano, a % nano);
    let size = high * b + (low * (b / nano)) + (low * (b % nano)).div_ceil(nano);
    let size = i128::try_from(size).unwrap_or(i128::MAX);
    if negative { -size } else { size }
}

/// What is wrong with an argument.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("{0} is out of range")]
    Range(&'static str),
    #[error("`{0}` is not an OCC option symbol, such as AAPL250117C00190000")]
    Symbol(String),
}

/// Check an argument against [`RANGE`].
pub fn ranged(name: &'static str, value: i128) -> Result<i128, Wrong> {
    if value.abs() > RANGE { Err(Wrong::Range(name)) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_rounded_up_in_size() {
        assert_eq!(product(3 * NANO, 2 * NANO), 6 * NANO);
        assert_eq!(product(1, 1), 1);
        assert_eq!(product(-1, 1), -1);
        assert_eq!(product(NANO / 2, 3), 2);
        assert_eq!(product(RANGE, NANO), RANGE);
        assert_eq!(product(RANGE, -RANGE), -(RANGE / NANO * RANGE));
    }
}
