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

    #[inline]
    fn skip_text(&mut self) -> Option<()> {
        self.at += 1;
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
    pub fn object(&mut self, mut visit: impl FnMut(&'a [u8], Raw<'a>)) -> Option<Raw<'a>> {
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
            let key_start = self.at + 1;
            self.skip_text()?;
            let key = &self.bytes[key_start..self.at - 1];
            self.take(b':')?;
            let value = self.value()?;
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
