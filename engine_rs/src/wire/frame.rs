//! One frame of a market-data stream: an array of messages, in JSON or MessagePack, told apart by the first byte.

use std::borrow::Cow;

use super::tick::{Fields, Tick};
use super::{json, msgpack};

/// One message. `tick` is None for other types, and for a tick that could not be read exactly.
pub struct Message<'a> {
    pub kind: &'a [u8],
    pub symbol: &'a [u8],
    pub tick: Option<Tick>,
    body: Body<'a>,
}

enum Body<'a> {
    Json(&'a [u8]),
    Pack(&'a [u8]),
}

impl Message<'_> {
    /// The message as JSON; None if it is not even that.
    pub fn json(&self) -> Option<Vec<u8>> {
        match self.body {
            Body::Json(bytes) => crate::http::is_json(bytes).then(|| bytes.to_vec()),
            Body::Pack(bytes) => msgpack::Cursor::new(bytes).to_json(),
        }
    }
}

/// The frame was cut, or is no array of messages. Those before the fault have been visited.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// Visit each message of a frame in order.
pub fn scan(frame: &[u8], mut visit: impl FnMut(Message<'_>)) -> Result<(), Malformed> {
    let done = match frame.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => {
            let mut cursor = json::Cursor::new(frame);
            let done = cursor.array(|cursor| json_message(cursor, &mut visit));
            done.filter(|()| cursor.at_end())
        }
        Some(b'{') => {
            let mut cursor = json::Cursor::new(frame);
            json_message(&mut cursor, &mut visit).filter(|()| cursor.at_end())
        }
        Some(_) => pack_frame(frame, &mut visit),
        None => None,
    };
    done.ok_or(Malformed)
}

#[inline]
fn json_message<'a>(cursor: &mut json::Cursor<'a>, visit: &mut impl FnMut(Message<'_>)) -> Option<()> {
    let mut kind: Option<json::Read<'a>> = None;
    let mut symbol: Option<json::Read<'a>> = None;
    let mut fields = Fields::new();
    let whole = cursor.fields(|key, value| match key {
        b"T" => kind = Some(value),
        b"S" => symbol = Some(value),
        _ => fields.put(key, value),
    })?;
    let kind = kind.and_then(json::Read::text).unwrap_or(Cow::Borrowed(b""));
    let symbol = symbol.and_then(json::Read::text).unwrap_or(Cow::Borrowed(b""));
    let tick = fields.tick(&kind);
    visit(Message { kind: &kind, symbol: &symbol, tick, body: Body::Json(whole.0) });
    Some(())
}

fn pack_frame(frame: &[u8], visit: &mut impl FnMut(Message<'_>)) -> Option<()> {
    let mut cursor = msgpack::Cursor::new(frame);
    let mut ahead = cursor.clone();
    let count = match ahead.read()? {
        msgpack::Pack::Array(count) => {
            cursor = ahead;
            count
        }
        msgpack::Pack::Map(_) => 1,
        _ => return None,
    };
    for _ in 0..count {
        pack_message(&mut cursor, visit)?;
    }
    cursor.at_end().then_some(())
}

fn pack_message(cursor: &mut msgpack::Cursor<'_>, visit: &mut impl FnMut(Message<'_>)) -> Option<()> {
    let start = cursor.remaining();
    let msgpack::Pack::Map(count) = cursor.read()? else { return None };
    let (mut kind, mut symbol): (&[u8], &[u8]) = (b"", b"");
    let mut fields = Fields::new();
    for _ in 0..count {
        let key = cursor.read()?;
        let value = cursor.read()?;
        cursor.skip_inside(value, 0)?;
        match (key, value) {
            (msgpack::Pack::Text(b"T"), msgpack::Pack::Text(text)) => kind = text,
            (msgpack::Pack::Text(b"S"), msgpack::Pack::Text(text)) => symbol = text,
            (msgpack::Pack::Text(key), value) => fields.put(key, value),
            _ => {}
        }
    }
    let whole = &start[..start.len() - cursor.remaining().len()];
    let tick = fields.tick(kind);
    visit(Message { kind, symbol, tick, body: Body::Pack(whole) });
    Some(())
}

/// Any frame that holds one value, as JSON: trade updates come as text, as JSON in binary frames, or as MessagePack.
pub fn to_json(frame: &[u8]) -> Option<Cow<'_, [u8]>> {
    match frame.iter().find(|byte| !byte.is_ascii_whitespace())? {
        b'{' | b'[' => crate::http::is_json(frame).then_some(Cow::Borrowed(frame)),
        _ => msgpack::Cursor::new(frame).to_json().map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dec, TradeId};
    use super::*;
    use proptest::prelude::*;

    const FRAME: &str = r#"[{"T":"t","S":"AAPL","i":96921,"x":"D","p":126.55,"s":1,"t":"2021-02-22T15:51:44.208Z","c":["@","I"],"z":"C"},
 {"T":"q","S":"AMD","bx":"U","bp":87.660,"bs":1,"ax":"Q","ap":87.68,"as":4,"t":"2021-02-22T15:51:45.335689322Z","c":["R"],"z":"C"},
 {"T":"b","S":"SPY","o":388.985,"h":389.13,"l":388.975,"c":389.12,"v":49378,"n":461,"vw":389.062639,"t":"2021-02-22T19:15:00Z"},
 {"T":"l","S":"IONM","u":3.24,"d":2.650,"i":"B","t":"2023-04-06T13:34:45.565004401Z","z":"C"},
 {"T":"zz","S":"X","new":{"a":[1,"]"]}},{"T":"t","S":"BTC\/USD","p":27000.5,"s":0.01,"t":"2023-08-01T12:00:00Z","i":77,"tks":"B"}]"#;

    type Seen = (String, String, Option<Tick>);

    fn collect(frame: &[u8]) -> (Vec<Seen>, Result<(), Malformed>) {
        let mut seen = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let result = scan(frame, |message| {
            seen.push((text(message.kind), text(message.symbol), message.tick.clone()));
        });
        (seen, result)
    }

    #[test]
    fn every_message_of_a_frame_is_read() {
        let (seen, result) = collect(FRAME.as_bytes());
        assert_eq!(result, Ok(()));
        assert_eq!(seen.len(), 6);
        let Some(Tick::Trade(trade)) = &seen[0].2 else { panic!("no trade") };
        assert_eq!(trade.price, Dec { mantissa: 12_655, digits: 2 });
        assert_eq!(trade.id, TradeId::Number(96_921));
        let Some(Tick::Quote(quote)) = &seen[1].2 else { panic!("no quote") };
        assert_eq!(quote.bid, Dec { mantissa: 87_660, digits: 3 });
        assert_eq!(quote.ts, 1_614_009_105_335_689_322);
        let Some(Tick::Bar(bar)) = &seen[2].2 else { panic!("no bar") };
        assert_eq!(bar.close, Dec { mantissa: 38_912, digits: 2 });
        let Some(Tick::Band(band)) = &seen[3].2 else { panic!("no band") };
        assert_eq!((band.upper.raw(2), band.lower.raw(2)), (Some(324), Some(265)));
        assert_eq!((band.indicator, band.tape, band.ts), (b'B', b'C', 1_680_788_085_565_004_401));
        assert_eq!((seen[4].0.as_str(), seen[4].2.is_none()), ("zz", true));
        let Some(Tick::Trade(crypto)) = &seen[5].2 else { panic!("no trade") };
        assert_eq!((seen[5].1.as_str(), crypto.aggressor), ("BTC/USD", 1));
    }

    #[test]
    fn both_codecs_say_the_same() {
        let value: serde_json::Value = serde_json::from_str(FRAME).unwrap();
        let mut packed = Vec::new();
        msgpack::encode(&value, &mut packed);
        let (from_pack, result) = collect(&packed);
        assert_eq!(result, Ok(()));
        let (mut from_json, _) = collect(FRAME.as_bytes());
        // A float has no trailing zeros.
        if let Some(Tick::Quote(quote)) = &mut from_json[1].2 {
            quote.bid = Dec { mantissa: 8766, digits: 2 };
        }
        if let Some(Tick::Band(band)) = &mut from_json[3].2 {
            band.lower = Dec { mantissa: 265, digits: 2 };
        }
        assert_eq!(from_pack, from_json);
    }

    #[test]
    fn a_cut_frame_gives_what_came_before_the_cut() {
        let (seen, result) = collect(&FRAME.as_bytes()[..200]);
        assert_eq!((seen.len(), result), (1, Err(Malformed)));
        assert_eq!(collect(b"").1, Err(Malformed));
        assert_eq!(collect(b"[{}] x").1, Err(Malformed));
    }

    #[test]
    fn an_unreadable_tick_is_none_and_keeps_its_json() {
        let frame = br#"[{"T":"t","S":"A","p":"high","s":1,"t":"2021-02-22T15:51:44Z"}]"#;
        let mut seen = 0;
        scan(frame, |message| {
            assert!(message.tick.is_none());
            assert_eq!(message.json().unwrap(), &frame[1..frame.len() - 1]);
            seen += 1;
        })
        .unwrap();
        assert_eq!(seen, 1);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = collect(&bytes);
            let _ = to_json(&bytes);
        }

        #[test]
        fn no_damage_makes_it_panic(at in 0..FRAME.len(), byte in any::<u8>()) {
            let mut bytes = FRAME.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = collect(&bytes);
        }

        #[test]
        fn a_quote_means_what_serde_reads(bid in 0_u32..10_000_000, ask in 0_u32..10_000_000, size in 0_u32..100_000, spaces in 0_usize..3) {
            let gap = " ".repeat(spaces);
            let text = format!("[{gap}{{\"as\":{size},{gap}\"T\":\"q\",\"bp\":{}.{:02},\"S\":\"A\",\"ap\":{gap}{},\"bs\":0,\"t\":\"2021-02-22T15:51:44Z\"}}{gap}]", bid / 100, bid % 100, ask);
            let (seen, result) = collect(text.as_bytes());
            prop_assert_eq!(result, Ok(()));
            let Some(Tick::Quote(quote)) = &seen[0].2 else { panic!("no quote") };
            prop_assert_eq!(quote.bid.raw(2), Some(i128::from(bid)));
            prop_assert_eq!(quote.ask.raw(0), Some(i128::from(ask)));
            prop_assert_eq!(quote.ask_size.raw(0), Some(i128::from(size)));
        }
    }
}
