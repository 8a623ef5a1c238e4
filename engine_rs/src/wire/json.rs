//! A cursor over JSON bytes that hands out spans. It reads what it must and skips the rest.

use std::borrow::Cow;

use super::decimal::Dec;
use super::tick::{TradeId, Value, text_id};
use super::time::parse_rfc3339;

/// A value's bytes, quotes and brackets included.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a>(pub &'a [u8]);

impl<'a> Raw<'a> {
    /// The bytes between the quotes, if it is a text without escapes.
    #[inline]
    pub fn plain(self) -> Option<&'a [u8]> {
        match self.0 {
            [b'"', inner @ .., b'"'] => Some(inner),
            _ => None,
        }
    }

    /// The text, escapes resolved.
    #[inline]
    pub fn text(self) -> Option<Cow<'a, [u8]>> {
        let inner = self.plain()?;
        if inner.contains(&b'\\') {
            let text: String = serde_json::from_slice(self.0).ok()?;
            return Some(Cow::Owned(text.into_bytes()));
        }
        Some(Cow::Borrowed(inner))
    }
}

impl Value for Raw<'_> {
    #[inline]
    fn dec(self) -> Option<Dec> {
        Dec::parse(self.plain().unwrap_or(self.0))
    }

    #[inline]
    fn ns(self) -> Option<i64> {
        parse_rfc3339(self.plain()?)
    }

    #[inline]
    fn id(self) -> Option<TradeId> {
        if let Some(text) = self.plain() {
            return text_id(text);
        }
        let mut value: u64 = 0;
        for &byte in self.0 {
            if !byte.is_ascii_digit() {
                return None;
            }
            value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        }
        Some(TradeId::Number(value))
    }

    #[inline]
    fn letter(self) -> Option<u8> {
        self.plain()?.first().copied()
    }
}

/// A value that was read while it was passed over, where that is cheap: numbers. Others are spans.
#[derive(Clone, Copy, Debug)]
pub enum Read<'a> {
    Number(Dec),
    Span(Raw<'a>),
}

impl<'a> Read<'a> {
    /// The text of a span, escapes resolved.
    #[inline]
    pub fn text(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Number(_) => None,
            Self::Span(raw) => raw.text(),
        }
    }
}

impl Value for Read<'_> {
    #[inline]
    fn dec(self) -> Option<Dec> {
        match self {
            Self::Number(dec) => Some(dec),
            Self::Span(raw) => raw.dec(),
        }
    }

    #[inline]
    fn ns(self) -> Option<i64> {
        match self {
            Self::Number(_) => None,
            Self::Span(raw) => raw.ns(),
        }
    }

    #[inline]
    fn id(self) -> Option<TradeId> {
        match self {
            Self::Number(Dec { mantissa, digits: 0 }) => u64::try_from(mantissa).ok().map(TradeId::Number),
            Self::Number(_) => None,
            Self::Span(raw) => raw.id(),
        }
    }

    #[inline]
    fn letter(self) -> Option<u8> {
        match self {
            Self::Number(_) => None,
            Self::Span(raw) => raw.letter(),
        }
    }
}

/// The high bit of each byte of `word` that equals `byte`; above the first such byte there may be false ones.
#[inline]
fn has_byte(word: u64, byte: u8) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zeroed = word ^ (ONES * u64::from(byte));
    zeroed.wrapping_sub(ONES) & !zeroed & (ONES << 7)
}

pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at)? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    /// Move over `byte`, if it is next.
    #[inline]
    pub fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    pub fn at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// The next value's span, whatever it is.
    #[inline]
    pub fn value(&mut self) -> Option<Raw<'a>> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'"' => self.skip_text()?,
            b'{' | b'[' => self.skip_nested()?,
            _ => {
                while let Some(byte) = self.bytes.get(self.at) {
                    if matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t') {
                        break;
                    }
                    self.at += 1;
                }
                if self.at == start {
                    return None;
                }
            }
        }
        Some(Raw(&self.bytes[start..self.at]))
    }

    /// The next value, read at once if it is a plain number.
    #[inline]
    pub fn read(&mut self) -> Option<Read<'a>> {
        let first = self.peek()?;
        if first == b'-' || first.is_ascii_digit() {
            let start = self.at;
            if let Some((dec, length)) = Dec::prefix(&self.bytes[start..]) {
                self.at = start + length;
                return Some(Read::Number(dec));
            }
        }
        self.value().map(Read::Span)
    }

    #[inline]
    fn skip_text(&mut self) -> Option<()> {
        self.at += 1;
        // Eight bytes at a time, while none of them is a quote or a backslash.
        while let Some(chunk) = self.bytes.get(self.at..self.at + 8) {
            let word = u64::from_le_bytes(chunk.try_into().ok()?);
            let found = has_byte(word, b'"') | has_byte(word, b'\\');
            if found != 0 {
                self.at += (found.trailing_zeros() / 8) as usize;
                break;
            }
            self.at += 8;
        }
        loop {
            match *self.bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    /// The key that is next, without its quotes. Most have one or two letters.
    #[inline]
    fn key(&mut self) -> Option<&'a [u8]> {
        let start = self.at + 1;
        match self.bytes.get(start..start + 3)? {
            [one, b'"', _] if *one != b'"' && *one != b'\\' => self.at = start + 2,
            [one, two, b'"'] if !matches!(one, b'"' | b'\\') && !matches!(two, b'"' | b'\\') => self.at = start + 3,
            _ => self.skip_text()?,
        }
        Some(&self.bytes[start..self.at - 1])
    }

    fn skip_nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match *self.bytes.get(self.at)? {
                b'"' => {
                    self.skip_text()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Call `visit(key, value)` for each member of the object that is next; returns the object's span.
    #[inline]
    pub fn object(&mut self, visit: impl FnMut(&'a [u8], Raw<'a>)) -> Option<Raw<'a>> {
        self.members(Self::value, visit)
    }

    /// As `object`, with numbers read at once.
    #[inline]
    pub fn fields(&mut self, visit: impl FnMut(&'a [u8], Read<'a>)) -> Option<Raw<'a>> {
        self.members(Self::read, visit)
    }

    #[inline]
    fn members<V>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Option<V>,
        mut visit: impl FnMut(&'a [u8], V),
    ) -> Option<Raw<'a>> {
        self.take(b'{')?;
        let start = self.at - 1;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(Raw(&self.bytes[start..self.at]));
        }
        loop {
            if self.peek()? != b'"' {
                return None;
            }
            let key = self.key()?;
            self.take(b':')?;
            let value = read(self)?;
            visit(key, value);
            let next = self.peek()?;
            self.at += 1;
            match next {
                b',' => {}
                b'}' => return Some(Raw(&self.bytes[start..self.at])),
                _ => return None,
            }
        }
    }

    /// Call `visit` with the cursor before each element of the array that is next; `visit` must consume one value.
    #[inline]
    pub fn array(&mut self, mut visit: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(b'[')?;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            visit(self)?;
            let next = self.peek()?;
            self.at += 1;
            match next {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }
}
