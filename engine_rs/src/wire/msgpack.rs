//! MessagePack as Alpaca sends it: reading values in place, turning any message into JSON, and writing our requests.

use super::decimal::Dec;
use super::tick::{TradeId, Value, text_id};
use super::time::{format_rfc3339, parse_rfc3339};

/// One value. Containers are only counted here: their elements come next from the cursor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pack<'a> {
    Nil,
    Bool(bool),
    Int(i128),
    F32(f32),
    F64(f64),
    Text(&'a [u8]),
    Binary(&'a [u8]),
    /// The timestamp extension, type -1, in UNIX nanoseconds.
    Time(i64),
    Extension(i8, &'a [u8]),
    Array(usize),
    Map(usize),
}

impl Value for Pack<'_> {
    fn dec(self) -> Option<Dec> {
        match self {
            Self::Int(value) => Dec::from_int(value),
            Self::F64(value) => Dec::from_f64(value),
            Self::F32(value) => Dec::from_f32(value),
            Self::Text(text) => Dec::parse(text),
            _ => None,
        }
    }

    fn ns(self) -> Option<i64> {
        match self {
            Self::Time(ns) => Some(ns),
            Self::Text(text) => parse_rfc3339(text),
            _ => None,
        }
    }

    fn id(self) -> Option<TradeId> {
        match self {
            Self::Int(value) => u64::try_from(value).ok().map(TradeId::Number),
            Self::Text(text) => text_id(text),
            _ => None,
        }
    }

    fn letter(self) -> Option<u8> {
        match self {
            Self::Text(text) => text.first().copied(),
            _ => None,
        }
    }
}

/// Nesting beyond this is an attack, not a message.
const MAX_DEPTH: usize = 32;

#[derive(Clone)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        if self.rest.len() < count {
            return None;
        }
        let (head, rest) = self.rest.split_at(count);
        self.rest = rest;
        Some(head)
    }

    #[inline]
    fn unsigned(&mut self, width: usize) -> Option<u64> {
        Some(self.bytes(width)?.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn length(&mut self, width: usize) -> Option<usize> {
        usize::try_from(self.unsigned(width)?).ok()
    }

    #[inline]
    pub fn read(&mut self) -> Option<Pack<'a>> {
        let marker = self.bytes(1)?[0];
        Some(match marker {
            0x00..=0x7f => Pack::Int(i128::from(marker)),
            0x80..=0x8f => Pack::Map(usize::from(marker & 0x0f)),
            0x90..=0x9f => Pack::Array(usize::from(marker & 0x0f)),
            0xa0..=0xbf => Pack::Text(self.bytes(usize::from(marker & 0x1f))?),
            0xc0 => Pack::Nil,
            0xc1 => return None,
            0xc2 => Pack::Bool(false),
            0xc3 => Pack::Bool(true),
            0xc4..=0xc6 => {
                let length = self.length(1 << (marker - 0xc4))?;
                Pack::Binary(self.bytes(length)?)
            }
            0xc7..=0xc9 => {
                let length = self.length(1 << (marker - 0xc7))?;
                self.extension(length)?
            }
            0xca => Pack::F32(f32::from_bits(self.unsigned(4)? as u32)),
            0xcb => Pack::F64(f64::from_bits(self.unsigned(8)?)),
            0xcc..=0xcf => Pack::Int(i128::from(self.unsigned(1 << (marker - 0xcc))?)),
            0xd0 => Pack::Int(i128::from(self.unsigned(1)? as i8)),
            0xd1 => Pack::Int(i128::from(self.unsigned(2)? as i16)),
            0xd2 => Pack::Int(i128::from(self.unsigned(4)? as i32)),
            0xd3 => Pack::Int(i128::from(self.unsigned(8)? as i64)),
            0xd4..=0xd8 => self.extension(1 << (marker - 0xd4))?,
            0xd9..=0xdb => {
                let length = self.length(1 << (marker - 0xd9))?;
                Pack::Text(self.bytes(length)?)
            }
            0xdc | 0xdd => Pack::Array(self.length(if marker == 0xdc { 2 } else { 4 })?),
            0xde | 0xdf => Pack::Map(self.length(if marker == 0xde { 2 } else { 4 })?),
            0xe0..=0xff => Pack::Int(i128::from(marker as i8)),
        })
    }

    fn extension(&mut self, length: usize) -> Option<Pack<'a>> {
        let kind = self.bytes(1)?[0] as i8;
        let body = self.bytes(length)?;
        let mut inner = Self::new(body);
        let time = match (kind, length) {
            (-1, 4) => inner.unsigned(4).and_then(|seconds| to_ns(seconds as i64, 0)),
            (-1, 8) => inner.unsigned(8).and_then(|both| to_ns((both & 0x3_ffff_ffff) as i64, both >> 34)),
            (-1, 12) => {
                inner.unsigned(4).zip(inner.unsigned(8)).and_then(|(nanos, seconds)| to_ns(seconds as i64, nanos))
            }
            _ => None,
        };
        Some(time.map_or(Pack::Extension(kind, body), Pack::Time))
    }

    /// Move over one value with all that is in it.
    pub fn skip(&mut self) -> Option<()> {
        let value = self.read()?;
        self.skip_inside(value, 0)
    }

    /// Move over the elements of a container that `read` has just returned.
    pub fn skip_inside(&mut self, value: Pack<'a>, depth: usize) -> Option<()> {
        let count = match value {
            Pack::Array(count) => count,
            Pack::Map(count) => count.checked_mul(2)?,
            _ => return Some(()),
        };
        if depth >= MAX_DEPTH {
            return None;
        }
        for _ in 0..count {
            let inner = self.read()?;
            self.skip_inside(inner, depth + 1)?;
        }
        Some(())
    }

    /// The next value as JSON text; timestamps become RFC 3339, binaries lists of numbers.
    pub fn to_json(&mut self) -> Option<Vec<u8>> {
        let value = self.tree(0)?;
        serde_json::to_vec(&value).ok()
    }

    fn tree(&mut self, depth: usize) -> Option<serde_json::Value> {
        use serde_json::Value as Json;
        if depth >= MAX_DEPTH {
            return None;
        }
        Some(match self.read()? {
            Pack::Nil => Json::Null,
            Pack::Bool(value) => Json::Bool(value),
            Pack::Int(value) => match i64::try_from(value) {
                Ok(value) => Json::from(value),
                Err(_) => Json::from(u64::try_from(value).ok()?),
            },
            Pack::F32(value) => format!("{value}").parse::<f64>().map_or(Json::Null, Json::from),
            Pack::F64(value) => Json::from(value),
            Pack::Text(text) => Json::String(String::from_utf8_lossy(text).into_owned()),
            Pack::Binary(bytes) | Pack::Extension(_, bytes) => Json::from(bytes),
            Pack::Time(ns) => Json::String(format_rfc3339(ns)),
            Pack::Array(count) => {
                // Every element takes a byte at least: a length that can't be true must not reserve memory.
                let mut items = Vec::with_capacity(count.min(self.rest.len()));
                for _ in 0..count {
                    items.push(self.tree(depth + 1)?);
                }
                Json::Array(items)
            }
            Pack::Map(count) => {
                let mut members = serde_json::Map::new();
                for _ in 0..count {
                    let key = match self.read()? {
                        Pack::Text(text) => String::from_utf8_lossy(text).into_owned(),
                        Pack::Int(value) => value.to_string(),
                        _ => return None,
                    };
                    members.insert(key, self.tree(depth + 1)?);
                }
                Json::Object(members)
            }
        })
    }
}

fn to_ns(seconds: i64, nanos: u64) -> Option<i64> {
    if nanos >= 1_000_000_000 {
        return None;
    }
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos as i64)
}

/// JSON to MessagePack, for the few requests that a stream client makes.
pub fn encode(value: &serde_json::Value, out: &mut Vec<u8>) {
    use serde_json::Value as Json;
    match value {
        Json::Null => out.push(0xc0),
        Json::Bool(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
        Json::Number(number) => {
            if let Some(whole) = number.as_i64() {
                out.push(0xd3);
                out.extend(whole.to_be_bytes());
            } else if let Some(whole) = number.as_u64() {
                out.push(0xcf);
                out.extend(whole.to_be_bytes());
            } else {
                out.push(0xcb);
                out.extend(number.as_f64().unwrap_or(0.0).to_be_bytes());
            }
        }
        Json::String(text) => {
            header(out, text.len(), (0xa0, 31), 0xda, 0xdb);
            out.extend(text.as_bytes());
        }
        Json::Array(items) => {
            header(out, items.len(), (0x90, 15), 0xdc, 0xdd);
            items.iter().for_each(|item| encode(item, out));
        }
        Json::Object(members) => {
            header(out, members.len(), (0x80, 15), 0xde, 0xdf);
            for (key, member) in members {
                header(out, key.len(), (0xa0, 31), 0xda, 0xdb);
                out.extend(key.as_bytes());
                encode(member, out);
            }
        }
    }
}

fn header(out: &mut Vec<u8>, length: usize, (short, most): (u8, usize), two: u8, four: u8) {
    if length <= most {
        out.push(short | length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(two);
        out.extend(length.to_be_bytes());
    } else {
        out.push(four);
        out.extend((length as u32).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_is_encoded_reads_back() {
        let long: Vec<String> = (0..300).map(|n| format!("SYMBOL{n}")).collect();
        let value =
            json!({"action": "subscribe", "quotes": long, "ok": true, "none": null, "text": "x".repeat(70_000)});
        let mut bytes = Vec::new();
        encode(&value, &mut bytes);
        let json = Cursor::new(&bytes).to_json().unwrap();
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&json).unwrap(), value);
    }

    #[test]
    fn all_three_timestamp_forms_are_nanoseconds() {
        let s32 = [0xd6, 0xff, 0x60, 0x33, 0xd3, 0x10];
        assert_eq!(Cursor::new(&s32).read(), Some(Pack::Time(0x6033_d310 * 1_000_000_000)));
        let both = (335_689_322_u64 << 34) | 1_614_009_105;
        let mut s64 = vec![0xd7, 0xff];
        s64.extend(both.to_be_bytes());
        assert_eq!(Cursor::new(&s64).read(), Some(Pack::Time(1_614_009_105_335_689_322)));
        let mut s96 = vec![0xc7, 12, 0xff];
        s96.extend(5_u32.to_be_bytes());
        s96.extend(1_614_009_105_i64.to_be_bytes());
        assert_eq!(Cursor::new(&s96).read(), Some(Pack::Time(1_614_009_105_000_000_005)));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert_eq!(Cursor::new(&[0xdd, 0xff, 0xff, 0xff, 0xff]).to_json(), None);
        assert_eq!(Cursor::new(&[0xdb, 0xff, 0xff, 0xff, 0xff, 1]).to_json(), None);
        assert_eq!(Cursor::new(&[0x91; 200]).skip(), None);
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value as Json;
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            // Only what JSON's own text gives back exactly: serde reads the last digit of a long float another way.
            (-1_000_000_000_i64..1_000_000_000).prop_map(|cents| Json::from(cents as f64 / 100.0)),
            ".{0,40}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 40, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(Json::from),
                prop::collection::btree_map(".{0,8}", inner, 0..20)
                    .prop_map(|members| Json::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_another_library_packs_reads_as_the_same(value in json()) {
            let packed = rmp_serde::to_vec_named(&value).unwrap();
            let text = Cursor::new(&packed).to_json().unwrap();
            prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&text).unwrap(), value);
            let mut cursor = Cursor::new(&packed);
            prop_assert_eq!(cursor.skip(), Some(()));
            prop_assert!(cursor.at_end());
            for cut in 0..packed.len() {
                prop_assert_eq!(Cursor::new(&packed[..cut]).to_json(), None);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Cursor::new(&bytes).to_json();
            let _ = Cursor::new(&bytes).skip();
        }
    }
}
