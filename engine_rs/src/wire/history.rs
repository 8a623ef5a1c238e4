//! One page of a history: rows of one symbol, and the token of the next page.

use super::json::{Cursor, Raw};
use super::tick::{Fields, Tick};

/// What the rows are; also the page's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    Quotes,
    Trades,
    Bars,
}

impl Rows {
    fn key(self) -> &'static [u8] {
        match self {
            Self::Quotes => b"quotes",
            Self::Trades => b"trades",
            Self::Bars => b"bars",
        }
    }

    fn kind(self) -> &'static [u8] {
        match self {
            Self::Quotes => b"q",
            Self::Trades => b"t",
            Self::Bars => b"b",
        }
    }
}

#[derive(Debug, Default)]
pub struct Page {
    pub ticks: Vec<Tick>,
    pub next_token: Option<String>,
    /// Trades of no size: they stand in the history, but are none.
    pub empty_trades: usize,
}

/// Read a page of either shape: `{"bars": {"AAPL": [...]}}` or `{"symbol": "AAPL", "bars": [...]}`.
pub fn parse(body: &[u8], rows: Rows, symbol: &str) -> Result<Page, String> {
    let mut page = Page::default();
    let mut section = None;
    let mut token = None;
    let mut cursor = Cursor::new(body);
    cursor
        .object(|key, value| match key {
            b"next_page_token" => token = Some(value),
            key if key == rows.key() => section = Some(value),
            _ => {}
        })
        .filter(|_| cursor.at_end())
        .ok_or("the page is not a JSON object")?;
    page.next_token = token.and_then(Raw::text).and_then(|text| String::from_utf8(text.into_owned()).ok());
    page.next_token = page.next_token.filter(|text| !text.is_empty());
    let Some(section) = section else { return Ok(page) };
    match section.0.first() {
        Some(b'[') => read_rows(section, rows, &mut page)?,
        Some(b'{') => {
            let mut found = None;
            Cursor::new(section.0)
                .object(|key, value| {
                    let key =
                        Raw(&section.0[offset(section.0, key) - 1..offset(section.0, key) + key.len() + 1]).text();
                    if key.is_some_and(|key| *key == *symbol.as_bytes()) {
                        found = Some(value);
                    }
                })
                .ok_or("the page's symbols are not a JSON object")?;
            if let Some(list) = found {
                read_rows(list, rows, &mut page)?;
            }
        }
        _ => {}
    }
    Ok(page)
}

/// Where `part`, a slice of `whole`, begins in it.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

fn read_rows(list: Raw<'_>, rows: Rows, page: &mut Page) -> Result<(), String> {
    if list.0 == b"null" {
        return Ok(());
    }
    let mut fault = None;
    Cursor::new(list.0)
        .array(|cursor| {
            let mut fields = Fields::new();
            let whole = cursor.fields(|key, value| fields.put(key, value))?;
            match fields.tick(rows.kind()) {
                Some(tick) => page.ticks.push(tick),
                None if rows == Rows::Trades && fields.is_empty_trade() => page.empty_trades += 1,
                None => {
                    let text = String::from_utf8_lossy(whole.0);
                    fault = Some(format!("row {} cannot be read: {:.200}", page.ticks.len() + 1, text));
                    return None;
                }
            }
            Some(())
        })
        .ok_or_else(|| fault.unwrap_or_else(|| "the page's rows are not a JSON array".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_shapes_of_a_page_are_read() {
        let row = r#"{"t":"2022-01-03T09:00:00Z","o":178.26,"h":178.26,"l":178.21,"c":178.21,"v":1118,"n":65,"vw":178.235733}"#;
        let multi = format!(r#"{{"bars":{{"IBM":[{row}],"AAPL":[{row},{row}]}},"next_page_token":"QUFQTHxN"}}"#);
        let page = parse(multi.as_bytes(), Rows::Bars, "AAPL").unwrap();
        assert_eq!((page.ticks.len(), page.next_token.as_deref()), (2, Some("QUFQTHxN")));
        let single = format!(r#"{{"symbol":"AAPL","bars":[{row}],"next_page_token":null}}"#);
        let page = parse(single.as_bytes(), Rows::Bars, "AAPL").unwrap();
        assert_eq!((page.ticks.len(), page.next_token), (1, None));
    }

    #[test]
    fn nothing_is_an_answer() {
        for body in [r#"{"bars":null,"next_page_token":null}"#, r#"{"bars":{}}"#, r#"{"bars":{"AAPL":null}}"#, r"{}"] {
            assert!(parse(body.as_bytes(), Rows::Bars, "AAPL").unwrap().ticks.is_empty(), "{body}");
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_fails_the_page() {
        let error = parse(br#"{"quotes":{"A":[{"bp":1}]}}"#, Rows::Quotes, "A").unwrap_err();
        assert_eq!(error, r#"row 1 cannot be read: {"bp":1}"#);
        assert!(parse(b"<html>", Rows::Quotes, "A").is_err());
        assert!(parse(br#"{"quotes":{"A":[{"bp":1}"#, Rows::Quotes, "A").is_err());
    }

    const PAGE: &str = r#"{"quotes":{"A\u002fB":[{"t":"2022-01-03T09:00:00Z","bp":1.5,"bs":1,"ap":1.6,"as":2,"c":["R"]}],"C":[]},"next_page_token":"a\"b"}"#;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for rows in [Rows::Quotes, Rows::Trades, Rows::Bars] {
                let _ = parse(&bytes, rows, "A");
            }
        }

        #[test]
        fn no_damage_makes_it_panic(at in 0..PAGE.len(), byte in any::<u8>(), cut in 0..PAGE.len()) {
            let mut bytes = PAGE.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = parse(&bytes, Rows::Quotes, "A/B");
            let _ = parse(&bytes[..cut], Rows::Quotes, "A/B");
        }

        #[test]
        fn a_page_means_what_serde_reads(rows in prop::collection::vec((1_u32..10_000_000, 1_u32..100_000), 0..20), symbol in "[A-Z]{1,5}(/USD)?") {
            let list: Vec<_> = rows.iter().map(|(cents, size)| {
                serde_json::json!({"t": "2022-01-03T09:00:00Z", "p": f64::from(*cents) / 100.0, "s": size, "x": "V", "c": ["@", "\"]"]})
            }).collect();
            let body = serde_json::json!({"trades": {"ZZZZZZ": [{"p": "none of ours"}], symbol.clone(): list}, "next_page_token": null});
            let page = parse(body.to_string().as_bytes(), Rows::Trades, &symbol).unwrap();
            let read: Vec<_> = page.ticks.iter().map(|tick| match tick {
                Tick::Trade(trade) => (trade.price.raw(2), trade.size.raw(0)),
                _ => (None, None),
            }).collect();
            let sent: Vec<_> = rows.iter().map(|&(cents, size)| (Some(i128::from(cents)), Some(i128::from(size)))).collect();
            prop_assert_eq!(read, sent);
        }
    }

    #[test]
    fn keys_with_escapes_are_found() {
        assert_eq!(parse(PAGE.as_bytes(), Rows::Quotes, "A/B").unwrap().ticks.len(), 1);
        assert_eq!(parse(PAGE.as_bytes(), Rows::Quotes, "A/B").unwrap().next_token.as_deref(), Some("a\"b"));
    }

    #[test]
    fn trades_of_nothing_are_left_out() {
        let body = br#"{"trades":{"A":[{"t":"2022-01-03T09:00:00Z","p":1.5,"s":0},{"t":"2022-01-03T09:00:01Z","p":1.5,"s":2,"i":9}]}}"#;
        let page = parse(body, Rows::Trades, "A").unwrap();
        assert_eq!((page.ticks.len(), page.empty_trades), (1, 1));
    }
}
