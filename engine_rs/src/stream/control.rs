//! The words of the two protocols: what we send, and what the server's control messages mean.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::config::{Codec, Config, Protocol};
use super::subscriptions::{Channels, Request};
use crate::wire::msgpack;

/// What the server said about the connection itself.
#[derive(Debug, PartialEq, Eq)]
pub enum Control {
    Connected,
    Authenticated,
    Refused(String),
    Subscribed(Channels),
    Listening(bool),
    Error { code: i64, message: String },
    Other,
}

pub fn auth(config: &Config) -> Value {
    json!({"action": "auth", "key": config.key.expose(), "secret": config.secret.expose()})
}

pub fn listen() -> Value {
    json!({"action": "listen", "data": {"streams": ["trade_updates"]}})
}

pub fn subscription(request: &Request) -> Value {
    let mut message = Map::new();
    message.insert("action".into(), if request.subscribe { "subscribe" } else { "unsubscribe" }.into());
    for (channel, symbols) in &request.channels {
        message.insert(channel.clone(), symbols.iter().cloned().collect());
    }
    Value::Object(message)
}

pub fn encode(codec: Codec, value: &Value) -> Message {
    match codec {
        Codec::Json => Message::text(value.to_string()),
        Codec::Msgpack => {
            let mut bytes = Vec::new();
            msgpack::encode(value, &mut bytes);
            Message::binary(bytes)
        }
    }
}

/// A `success`, `error` or `subscription` message of a market-data stream.
pub fn market(kind: &[u8], message: &[u8]) -> Control {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        msg: String,
        #[serde(default)]
        code: i64,
    }
    match kind {
        b"subscription" => {
            let Ok(members) = serde_json::from_slice::<Map<String, Value>>(message) else { return Control::Other };
            Control::Subscribed(members.into_iter().filter_map(|(key, value)| Some((key, texts(&value)?))).collect())
        }
        b"success" | b"error" => match (kind, serde_json::from_slice::<Body>(message)) {
            (b"error", Ok(body)) => Control::Error { code: body.code, message: body.msg },
            (_, Ok(body)) if body.msg == "connected" => Control::Connected,
            (_, Ok(body)) if body.msg == "authenticated" => Control::Authenticated,
            _ => Control::Other,
        },
        _ => Control::Other,
    }
}

fn texts(value: &Value) -> Option<std::collections::BTreeSet<String>> {
    value.as_array().map(|list| list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
}

/// A message of the trading stream: its control meaning, its kind, and the JSON to hand on (the `data`, where it has any).
pub fn trading(message: &[u8]) -> Option<(Control, String, Vec<u8>)> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        stream: Option<String>,
        action: Option<String>,
        #[serde(borrow)]
        data: Option<&'a RawValue>,
    }
    #[derive(Default, Deserialize)]
    struct Data {
        #[serde(default)]
        status: String,
        #[serde(default)]
        streams: Vec<String>,
        #[serde(default)]
        error_message: String,
    }
    let envelope: Envelope<'_> = serde_json::from_slice(message).ok()?;
    let text = envelope.data.map_or("null", RawValue::get);
    let kind = envelope.stream.or(envelope.action).unwrap_or_default();
    let data = || serde_json::from_str::<Data>(text).unwrap_or_default();
    let control = match kind.as_str() {
        "authorization" => match data().status {
            status if status == "authorized" => Control::Authenticated,
            status => Control::Refused(format!("authorization: {status}")),
        },
        "listening" => Control::Listening(data().streams.iter().any(|stream| stream == "trade_updates")),
        "error" => Control::Error { code: 500, message: data().error_message },
        _ => Control::Other,
    };
    Some((control, kind, text.as_bytes().to_vec()))
}

/// What an error before `ready` means for the connection.
pub enum Verdict {
    Lost,
    Busy,
    Refused,
    Ignore,
}

/// Codes of the market-data stream (Alpaca's page on streaming market data), and the same numbers as HTTP statuses.
pub fn verdict(code: i64) -> Verdict {
    match code {
        406 | 429 => Verdict::Busy,
        // Keys, plan, scope, or a stream that wants the other codec: a later try meets the same.
        401 | 402 | 408 | 409 | 411 | 412 => Verdict::Refused,
        403 => Verdict::Ignore,
        _ => Verdict::Lost,
    }
}

/// Errors that answer a subscription, which is then unchanged.
pub fn refuses_subscription(code: i64) -> bool {
    matches!(code, 400 | 405 | 410 | 413)
}

pub fn is_market(config: &Config) -> bool {
    config.protocol == Protocol::Market
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn market_controls_are_understood() {
        assert_eq!(market(b"success", br#"{"T":"success","msg":"connected"}"#), Control::Connected);
        assert_eq!(market(b"success", br#"{"T":"success","msg":"authenticated"}"#), Control::Authenticated);
        let error = market(b"error", br#"{"T":"error","code":406,"msg":"connection limit exceeded"}"#);
        assert_eq!(error, Control::Error { code: 406, message: "connection limit exceeded".into() });
        let ack = market(b"subscription", br#"{"T":"subscription","trades":["A"],"quotes":[]}"#);
        let Control::Subscribed(channels) = ack else { panic!("no ack") };
        assert_eq!(channels["trades"].len(), 1);
        assert!(channels["quotes"].is_empty());
    }

    const UPDATE: &str =
        r#"{"stream":"trade_updates","data":{"event":"fill","timestamp":"2021-02-22T15:51:45Z","order":{"id":"x"}}}"#;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..UPDATE.len(), byte in any::<u8>()) {
            let mut damaged = UPDATE.as_bytes().to_vec();
            damaged[at] = byte;
            for bytes in [&bytes, &damaged] {
                let _ = trading(bytes);
                for kind in [&b"success"[..], b"error", b"subscription", b"x"] {
                    let _ = market(kind, bytes);
                }
            }
        }
    }

    #[test]
    fn nothing_of_the_keys_is_in_a_debug_print() {
        let text = format!("{:?}", crate::stream::tests::config());
        assert!(text.contains("***") && !text.contains("key-value") && !text.contains("secret-value"), "{text}");
    }

    #[test]
    fn trading_controls_are_understood() {
        let of = |text: &str| trading(text.as_bytes()).unwrap();
        assert_eq!(
            of(r#"{"stream":"authorization","data":{"status":"authorized","action":"authenticate"}}"#).0,
            Control::Authenticated
        );
        assert!(matches!(of(r#"{"stream":"authorization","data":{"status":"unauthorized"}}"#).0, Control::Refused(_)));
        assert_eq!(of(r#"{"stream":"listening","data":{"streams":["trade_updates"]}}"#).0, Control::Listening(true));
        assert_eq!(of(r#"{"stream":"listening","data":{"streams":[]}}"#).0, Control::Listening(false));
        let (control, kind, data) = of(r#"{"stream":"trade_updates","data":{"event":"fill","price":"1.50"}}"#);
        assert_eq!(
            (control, kind.as_str(), data.as_slice()),
            (Control::Other, "trade_updates", br#"{"event":"fill","price":"1.50"}"#.as_slice())
        );
        assert_eq!(of(r#"{"stream":"trade_updates","data":null}"#).2, b"null");
        assert!(trading(b"[1]").is_none());
    }
}
