//! Option contracts and how many of them: what the spread rule works on.

use super::Wrong;

/// A call or a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    Call,
    Put,
}

/// What a contract is for. `strike` in mills, `expiry` as the number YYMMDD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contract {
    pub expiry: i32,
    pub strike: i64,
    pub right: Right,
}

/// `qty` contracts, negative where they are short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    pub contract: Contract,
    pub qty: i64,
}

/// No position is larger than this many contracts.
pub const MOST_CONTRACTS: i64 = 1_000_000_000_000;
/// The largest strike, in mills, that an OCC symbol can write.
pub const MOST_STRIKE: i64 = 99_999_999;

impl Leg {
    /// A leg whose numbers are in range.
    pub fn new(right: Right, strike: i64, expiry: i32, qty: i64) -> Result<Self, Wrong> {
        if !(1..=MOST_STRIKE).contains(&strike) {
            return Err(Wrong::Range("strike"));
        }
        if !(0..=991_231).contains(&expiry) {
            return Err(Wrong::Range("expiry"));
        }
        if qty.abs() > MOST_CONTRACTS {
            return Err(Wrong::Range("quantity"));
        }
        Ok(Self { contract: Contract { expiry, strike, right }, qty })
    }
}

/// Take an OCC symbol apart: its root, and the contract. The root of an adjusted contract has a digit at its end and is
/// another root than its underlying's, so that the two never cover each other.
pub fn parse_occ(symbol: &str) -> Result<(&str, Contract), Wrong> {
    let wrong = || Wrong::Symbol(symbol.chars().take(32).collect());
    let bytes = symbol.as_bytes();
    let split = bytes.len().checked_sub(15).filter(|&at| (1..=6).contains(&at)).ok_or_else(wrong)?;
    let (root, tail) = bytes.split_at(split);
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    if !root.iter().all(u8::is_ascii_alphanumeric) || !digits(&tail[..6]) || !digits(&tail[7..]) {
        return Err(wrong());
    }
    let right = match tail[6] {
        b'C' => Right::Call,
        b'P' => Right::Put,
        _ => return Err(wrong()),
    };
    let number = |text: &[u8]| text.iter().fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let (expiry, strike) = (number(&tail[..6]), number(&tail[7..]));
    let (month, day) = (expiry / 100 % 100, expiry % 100);
    if strike == 0 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(wrong());
    }
    let expiry = i32::try_from(expiry).map_err(|_| wrong())?;
    Ok((&symbol[..split], Contract { expiry, strike, right }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occ_symbols() {
        let (root, contract) = parse_occ("AAPL250117C00190000").unwrap();
        assert_eq!((root, contract), ("AAPL", Contract { expiry: 250_117, strike: 190_000, right: Right::Call }));
        assert_eq!(parse_occ("F251219P00009500").unwrap().1.strike, 9_500);
        for bad in [
            "",
            "AAPL",
            "250117C00190000",
            "AAPL250117X00190000",
            "AAPL25011 C00190000",
            "AAPL251317C00190000",
            "AAPL250117C00000000",
            "TOOLONGX250117C00190000",
            "ÄAPL250117C00190000",
        ] {
            assert!(parse_occ(bad).is_err(), "{bad}");
        }
    }
}
