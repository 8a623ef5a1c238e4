//! Decimal numbers as they stand on the wire, exactly.

use std::io::Write;

/// `mantissa` / 10 ** `digits`. `digits` counts the fractional digits that were written: 180.0850 has four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dec {
    pub mantissa: i64,
    pub digits: u8,
}

/// More fractional digits than this fit no scale in use.
pub const MAX_DIGITS: u8 = 18;

impl Dec {
    /// Parse JSON number text: sign, digits, fraction, exponent. None if it is none, or does not fit exactly.
    #[inline]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (negative, body) = match text.first()? {
            b'-' => (true, &text[1..]),
            _ => (false, text),
        };
        // 18 digits and a point can't overflow: the common case runs without checks.
        if body.len() > 19 {
            return parse_long(negative, body);
        }
        let mut value: u64 = 0;
        let mut point = usize::MAX;
        for (at, &byte) in body.iter().enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit < 10 {
                value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            } else if byte == b'.' && point == usize::MAX && at > 0 {
                point = at;
            } else {
                return parse_long(negative, body);
            }
        }
        if body.is_empty() {
            return None;
        }
        let digits = if point == usize::MAX { 0 } else { body.len() - point - 1 };
        if (point != usize::MAX && digits == 0) || (point == usize::MAX && body.len() == 19) {
            return parse_long(negative, body);
        }
        let mantissa = i64::try_from(value).ok()?;
        Some(Self { mantissa: if negative { -mantissa } else { mantissa }, digits: digits as u8 })
    }

    /// The plain number at the start of `text`, and its length. None if it is not plain: an exponent, many digits, no end.
    #[inline]
    pub fn prefix(text: &[u8]) -> Option<(Self, usize)> {
        let negative = *text.first()? == b'-';
        let start = usize::from(negative);
        let mut value: u64 = 0;
        let mut point = usize::MAX;
        for (at, &byte) in text.iter().enumerate().skip(start) {
            let digit = byte.wrapping_sub(b'0');
            if digit < 10 {
                value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
                continue;
            }
            if byte == b'.' && point == usize::MAX && at > start {
                point = at;
                continue;
            }
            let digits = if point == usize::MAX { 0 } else { at - point - 1 };
            let ended = matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            let empty = at == start || (point != usize::MAX && digits == 0);
            if !ended || empty || at - start > 18 {
                return None;
            }
            let mantissa = value as i64;
            return Some((Self { mantissa: if negative { -mantissa } else { mantissa }, digits: digits as u8 }, at));
        }
        None
    }

    /// The decimal that a float's shortest round-trip text stands for: what the sender had before it made a float of it.
    pub fn from_f64(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        let mut buffer = [0_u8; 64];
        let mut rest = &mut buffer[..];
        write!(rest, "{value}").ok()?;
        let length = 64 - rest.len();
        Self::parse(&buffer[..length])
    }

    /// As `from_f64` for single floats, whose shortest text is shorter.
    pub fn from_f32(value: f32) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        Self::parse(format!("{value}").as_bytes())
    }

    pub fn from_int(value: i128) -> Option<Self> {
        Some(Self { mantissa: i64::try_from(value).ok()?, digits: 0 })
    }

    /// The same value with at most `scale` fractional digits; None where that would lose some.
    #[inline]
    pub fn fit(self, scale: u8) -> Option<Self> {
        if self.digits <= scale {
            return Some(self);
        }
        let mut fitted = self;
        while fitted.digits > scale {
            if fitted.mantissa % 10 != 0 {
                return None;
            }
            fitted.mantissa /= 10;
            fitted.digits -= 1;
        }
        Some(fitted)
    }

    /// The value times 10 ** `scale`.
    pub fn raw(self, scale: u8) -> Option<i128> {
        let fitted = self.fit(scale)?;
        Some(i128::from(fitted.mantissa) * 10_i128.pow(u32::from(scale - fitted.digits)))
    }

    pub fn is_positive(self) -> bool {
        self.mantissa > 0
    }
}

/// Exponents and long mantissas, which Alpaca rarely sends.
#[cold]
fn parse_long(negative: bool, body: &[u8]) -> Option<Dec> {
    let (number, exponent) = match body.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&body[..at], std::str::from_utf8(&body[at + 1..]).ok()?.parse::<i32>().ok()?),
        None => (body, 0),
    };
    let (whole, fraction) = match number.iter().position(|&byte| byte == b'.') {
        Some(at) => (&number[..at], Some(&number[at + 1..])),
        None => (number, None),
    };
    if whole.is_empty() || fraction.is_some_and(<[u8]>::is_empty) {
        return None;
    }
    let fraction = fraction.unwrap_or_default();
    let mut value: i128 = 0;
    for &byte in whole.iter().chain(fraction) {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
    }
    let mut digits = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    if value == 0 {
        digits = digits.clamp(0, i32::from(MAX_DIGITS));
    }
    while digits < 0 {
        value = value.checked_mul(10)?;
        digits += 1;
    }
    while digits > i32::from(MAX_DIGITS) || (i64::try_from(value).is_err() && digits > 0) {
        if value % 10 != 0 {
            return None;
        }
        value /= 10;
        digits -= 1;
    }
    let mantissa = i64::try_from(value).ok()?;
    Some(Dec { mantissa: if negative { -mantissa } else { mantissa }, digits: digits as u8 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dec(text: &str) -> Option<(i64, u8)> {
        Dec::parse(text.as_bytes()).map(|dec| (dec.mantissa, dec.digits))
    }

    #[test]
    fn the_digits_written_are_kept() {
        assert_eq!(dec("180.0850"), Some((1_800_850, 4)));
        assert_eq!(dec("-0.05"), Some((-5, 2)));
        assert_eq!(dec("0"), Some((0, 0)));
        assert_eq!(dec("440000"), Some((440_000, 0)));
    }

    #[test]
    fn exponents_are_exact() {
        assert_eq!(dec("1e-9"), Some((1, 9)));
        assert_eq!(dec("1.5E+3"), Some((1500, 0)));
        assert_eq!(dec("2.50e1"), Some((250, 1)));
        assert_eq!(dec("0e99999"), Some((0, 0)));
    }

    #[test]
    fn what_does_not_fit_or_is_no_number_is_refused() {
        for text in
            ["", "-", ".", "1.", ".5", "1.2.3", "abc", "1e", "null", "99999999999999999999", "1e30", "0x10", "+1"]
        {
            assert_eq!(dec(text), None, "{text}");
        }
    }

    #[test]
    fn long_zeros_are_no_obstacle() {
        assert_eq!(dec("1.50000000000000000000000"), Some((1_500_000_000_000_000_000, 18)));
        assert_eq!(dec("9223372036854775807"), Some((i64::MAX, 0)));
    }

    #[test]
    fn floats_become_what_was_meant() {
        assert_eq!(Dec::from_f64(174.78), Some(Dec { mantissa: 17_478, digits: 2 }));
        assert_eq!(Dec::from_f64(0.1 + 0.2), Some(Dec { mantissa: 30_000_000_000_000_004, digits: 17 }));
        assert_eq!(Dec::from_f64(1e-9), Some(Dec { mantissa: 1, digits: 9 }));
        assert_eq!(Dec::from_f64(100.0), Some(Dec { mantissa: 100, digits: 0 }));
        assert_eq!(Dec::from_f64(f64::NAN), None);
        assert_eq!(Dec::from_f64(1e300), None);
    }

    #[test]
    fn scaling_never_rounds() {
        assert_eq!(Dec { mantissa: 15, digits: 1 }.raw(16), Some(15_000_000_000_000_000));
        assert_eq!(Dec { mantissa: 1500, digits: 3 }.raw(1), Some(15));
        assert_eq!(Dec { mantissa: 1501, digits: 3 }.raw(1), None);
    }

    proptest! {
        #[test]
        fn any_decimal_text_comes_back_as_itself(mantissa in -999_999_999_999_999_999_i64..=999_999_999_999_999_999, digits in 0_u8..=18) {
            let unsigned = format!("{:0width$}", mantissa.unsigned_abs(), width = usize::from(digits) + 1);
            let (whole, fraction) = unsigned.split_at(unsigned.len() - usize::from(digits));
            let sign = if mantissa < 0 { "-" } else { "" };
            let text = if digits == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
            prop_assert_eq!(Dec::parse(text.as_bytes()), Some(Dec { mantissa, digits }));
        }

        #[test]
        fn a_number_read_in_passing_is_the_same(text in "-?[0-9]{0,12}\\.?[0-9]{0,12}(e-?[0-9])?", end in "[,}\\] x]") {
            let whole = format!("{text}{end}");
            match Dec::prefix(whole.as_bytes()) {
                Some((dec, length)) => {
                    prop_assert_eq!(length, text.len());
                    prop_assert_eq!(Some(dec), Dec::parse(text.as_bytes()));
                }
                None => prop_assert!(text.len() > 18 || text.contains('e') || end == "x" || Dec::parse(text.as_bytes()).is_none()),
            }
        }

        #[test]
        fn any_number_is_what_long_arithmetic_says(whole in "[0-9]{1,22}", fraction in "[0-9]{0,22}", exponent in -25_i32..=25, sign in "-?") {
            let point = if fraction.is_empty() { "" } else { "." };
            let text = format!("{sign}{whole}{point}{fraction}e{exponent}");
            // By moving the point in the text: digits, and how many of them stand behind it.
            let mut digits = format!("{whole}{fraction}");
            let mut behind = fraction.len() as i32 - exponent;
            while behind < 0 {
                digits.push('0');
                behind += 1;
            }
            while behind > 0 && digits.ends_with('0') {
                digits.pop();
                behind -= 1;
            }
            let plain = digits.trim_start_matches('0');
            let exact: Option<i64> = format!("{sign}{}", if plain.is_empty() { "0" } else { plain }).parse().ok();
            let fits = plain.is_empty() || (behind <= i32::from(MAX_DIGITS) && exact.is_some());
            match Dec::parse(text.as_bytes()) {
                Some(dec) if plain.is_empty() => prop_assert_eq!(dec.mantissa, 0),
                Some(dec) => {
                    prop_assert!(fits, "{} was read as {:?}", text, dec);
                    let shortest = dec.fit(behind as u8).expect("as many digits as it needs");
                    prop_assert_eq!(Some(i128::from(exact.unwrap())), shortest.raw(behind as u8));
                }
                // What i128 can't hold before its zeros are taken off is refused too.
                None => prop_assert!(!fits || whole.len() + fraction.len() + exponent.max(0) as usize > 36, "{} was refused", text),
            }
        }

        #[test]
        fn an_exponent_only_moves_the_point(mantissa in 1_i64..1_000_000_000, exponent in 0_u8..=9) {
            let text = format!("{mantissa}e-{exponent}");
            prop_assert_eq!(Dec::parse(text.as_bytes()), Some(Dec { mantissa, digits: exponent }));
        }

        #[test]
        fn the_decimal_of_a_float_reads_back_as_that_float(value in -1e9_f64..1e9) {
            if let Some(dec) = Dec::from_f64(value) {
                let text = format!("{}e-{}", dec.mantissa, dec.digits);
                prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), if value == 0.0 { 0 } else { value.to_bits() });
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Dec::parse(&bytes);
            let _ = Dec::prefix(&bytes);
        }
    }
}
