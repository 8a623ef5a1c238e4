//! What must hold of the parsers whatever bytes come: each function takes any bytes and panics where it does not.
//! `cargo test` feeds them mutated real payloads, `make fuzz` what a fuzzer finds.

use serde_json::Value;

use super::{Dec, Tick, frame, history, msgpack, time};

/// A frame of market data: every message that is visited is whole JSON by itself, and a frame that an independent
/// parser takes for an array of objects is read to its end, none left out.
pub fn check_frame(bytes: &[u8]) {
    let mut seen = 0_usize;
    let mut unreadable = 0_usize;
    let done = frame::scan(bytes, |message| {
        seen += 1;
        if let Some(Tick::Band(band)) = &message.tick {
            assert!(band.ts >= 0 && band.upper.mantissa >= 0 && band.lower.mantissa >= 0, "no band of prices");
            assert!(band.indicator.is_ascii() && band.tape.is_ascii(), "no letters");
        }
        match message.json() {
            Some(json) => assert!(is_whole(&json), "a message is not JSON"),
            None => unreadable += 1,
        }
    });
    if let Ok(Value::Array(rows)) = serde_json::from_slice::<Value>(bytes)
        && rows.iter().all(Value::is_object)
    {
        assert_eq!(done, Ok(()), "a valid frame was refused");
        assert_eq!((seen, unreadable), (rows.len(), 0), "messages were left out");
    }
}

/// A trade update in any of its three forms: what comes out is JSON.
pub fn check_update(bytes: &[u8]) {
    if let Some(json) = frame::to_json(bytes) {
        assert!(is_whole(&json), "an update is not JSON");
    }
}

/// MessagePack: what was made from JSON reads back as the same JSON.
pub fn check_msgpack(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    if has_float(&value) {
        return; // a float has many spellings
    }
    let mut packed = Vec::new();
    msgpack::encode(&value, &mut packed);
    let mut cursor = msgpack::Cursor::new(&packed);
    let back = cursor.to_json().expect("what was encoded can be read");
    assert!(cursor.at_end(), "something is left over");
    assert_eq!(serde_json::from_slice::<Value>(&back).expect("JSON"), value);
}

/// A page of a history, for every kind of rows: rows or an error, and no row of a later time than can be.
pub fn check_page(bytes: &[u8]) {
    for rows in [history::Rows::Quotes, history::Rows::Trades, history::Rows::Bars] {
        if let Ok(page) = history::parse(bytes, rows, "AAPL") {
            assert!(page.next_token.is_none_or(|token| !token.is_empty()));
        }
    }
}

/// A number: the value read is exactly the one written, worked out here digit by digit.
pub fn check_decimal(bytes: &[u8]) {
    let Some(read) = Dec::parse(bytes) else { return };
    let text = std::str::from_utf8(bytes).expect("a number is ASCII");
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i64>().expect("an exponent is whole")),
        None => (text, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let written = format!("{}{fraction}", whole.trim_start_matches('-'));
    // Compare without trailing zeros: value = digits * 10^scale.
    let scale = exponent - i64::try_from(fraction.len()).expect("short");
    let left = stripped(written.trim_start_matches('0'), scale);
    let right = stripped(&read.mantissa.unsigned_abs().to_string(), -i64::from(read.digits));
    if read.mantissa == 0 {
        assert!(left.0.is_empty(), "{text} was read as 0");
        return;
    }
    assert_eq!(left, (right.0, right.1), "{text} was read as {read:?}");
    assert_eq!(number.starts_with('-'), read.mantissa < 0, "the sign of {text}");
}

/// A time: what is read can be written and read again.
pub fn check_time(bytes: &[u8]) {
    if let Some(ns) = time::parse_rfc3339(bytes) {
        assert_eq!(time::parse_rfc3339(time::format_rfc3339(ns).as_bytes()), Some(ns));
    }
}

/// JSON by its grammar, which allows numbers that no float holds.
fn is_whole(json: &[u8]) -> bool {
    match serde_json::from_slice::<Value>(json) {
        Ok(_) => true,
        Err(error) => error.to_string().starts_with("number out of range"),
    }
}

fn stripped(digits: &str, scale: i64) -> (String, i64) {
    let kept = digits.trim_end_matches('0');
    let dropped = i64::try_from(digits.len() - kept.len()).expect("short");
    (kept.to_owned(), if kept.is_empty() { 0 } else { scale + dropped })
}

fn has_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_float),
        Value::Object(members) => members.values().any(has_float),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Payloads in the form that Alpaca documents, one of each kind; the fuzzer starts from them too.
    const SEEDS: [&str; 10] = [
        include_str!("../../fuzz/seeds/0"),
        include_str!("../../fuzz/seeds/1"),
        include_str!("../../fuzz/seeds/2"),
        include_str!("../../fuzz/seeds/3"),
        include_str!("../../fuzz/seeds/4"),
        include_str!("../../fuzz/seeds/5"),
        include_str!("../../fuzz/seeds/6"),
        include_str!("../../fuzz/seeds/7"),
        include_str!("../../fuzz/seeds/8"),
        include_str!("../../fuzz/seeds/9"),
    ];

    fn all(bytes: &[u8]) {
        check_frame(bytes);
        check_update(bytes);
        check_msgpack(bytes);
        check_page(bytes);
        check_decimal(bytes);
        check_time(bytes);
    }

    /// One edit: at a place (as a share of the length), of a kind, with a byte.
    fn edit(bytes: &mut Vec<u8>, (place, kind, byte): (f64, u8, u8)) {
        let at = (place * bytes.len() as f64) as usize;
        match kind {
            _ if bytes.is_empty() => bytes.push(byte),
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => {
                bytes.remove(at);
            }
            3 => bytes.truncate(at),
            4 => bytes.extend_from_within(at..),
            _ => bytes[at] ^= 1 << (byte % 8),
        }
    }

    #[test]
    fn seeds_hold() {
        SEEDS.iter().for_each(|seed| all(seed.as_bytes()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn any_bytes_hold(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            all(&bytes);
        }

        #[test]
        fn mutated_payloads_hold(
            seed in 0..SEEDS.len(),
            packed in any::<bool>(),
            edits in prop::collection::vec((0.0..1.0_f64, 0..6_u8, any::<u8>()), 0..6),
        ) {
            let mut bytes = SEEDS[seed].as_bytes().to_vec();
            if packed && let Ok(value) = serde_json::from_slice::<Value>(&bytes) {
                bytes.clear();
                msgpack::encode(&value, &mut bytes);
            }
            for one in edits {
                edit(&mut bytes, one);
            }
            all(&bytes);
        }
    }
}
