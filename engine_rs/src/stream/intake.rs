//! From the bytes of a data frame to items for the ring, and control messages for the session.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use super::control::{self, Control};
use super::ring::Item;
use super::session::Session;
use super::stats::add;
use super::symbols::{BarChannel, Symbols};
use crate::wire::tick::is_tick;
use crate::wire::time::{now_ns, parse_rfc3339};
use crate::wire::{Message, Tick, frame, scan};

impl Session<'_> {
    /// Take in one frame; true if it carried anything but control messages.
    pub(super) fn take_in(&mut self, bytes: &[u8], controls: &mut Vec<(Control, Vec<u8>)>) -> bool {
        let ts_init = now_ns();
        let stats = &self.shared.stats;
        add(&stats.frames, 1);
        add(&stats.bytes, bytes.len() as u64);
        stats.last_frame_ns.store(ts_init, Ordering::Relaxed);
        if control::is_market(&self.shared.config) {
            self.market(bytes, ts_init, controls)
        } else {
            self.trading(bytes, controls)
        }
    }

    fn market(&mut self, bytes: &[u8], ts_init: i64, controls: &mut Vec<(Control, Vec<u8>)>) -> bool {
        let stats = &self.shared.stats;
        let symbols = self.shared.symbols.read().unwrap_or_else(PoisonError::into_inner);
        let scale = self.shared.scale.load(Ordering::Relaxed);
        let items = &mut self.items;
        let (mut messages, mut newest) = (0, 0);
        let (mut quotes, mut trades, mut bars, mut other, mut unmapped, mut faults) = (0, 0, 0, 0, 0, 0);
        let mut control_messages = 0;
        let whole = scan(bytes, |message| {
            messages += 1;
            if let Some(tick) = message.tick.as_ref().filter(|tick| tick.fits(scale)) {
                newest = newest.max(tick.ts());
                match tick {
                    Tick::Quote(_) => quotes += 1,
                    Tick::Trade(_) => trades += 1,
                    Tick::Bar(_) => bars += 1,
                    Tick::Band(_) => other += 1,
                }
                match item(&symbols, message, ts_init) {
                    Some(item) => items.push(item),
                    None => unmapped += 1,
                }
                return;
            }
            if is_tick(message.kind) {
                faults += 1;
            }
            let Some(json) = message.json() else {
                faults += 1;
                return;
            };
            if matches!(message.kind, b"success" | b"error" | b"subscription") {
                control_messages += 1;
                controls.push((control::market(message.kind, &json), json));
                return;
            }
            other += 1;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into();
            let (kind, symbol) = (text(message.kind), text(message.symbol));
            items.push(Item::Message { kind, symbol, json: json.into(), bounded: true });
        });
        if whole.is_err() {
            // Whose messages were in it nobody knows: all symbols may lack something now.
            faults += 1;
            items.push(Item::State { state: "gapped", detail: "*".into() });
        }
        let counts: [(&AtomicU64, u64); 7] = [
            (&stats.messages, messages),
            (&stats.quotes, quotes),
            (&stats.trades, trades),
            (&stats.bars, bars),
            (&stats.other, other),
            (&stats.unmapped, unmapped),
            (&stats.parse_errors, faults),
        ];
        for (counter, count) in counts {
            if count > 0 {
                add(counter, count);
            }
        }
        if newest > 0 {
            stats.last_event_ns.fetch_max(newest, Ordering::Relaxed);
        }
        messages > control_messages
    }

    fn trading(&mut self, bytes: &[u8], controls: &mut Vec<(Control, Vec<u8>)>) -> bool {
        let stats = &self.shared.stats;
        add(&stats.messages, 1);
        let read = frame::to_json(bytes).and_then(|json| control::trading(&json));
        let Some((control, kind, data)) = read else {
            // It may have been a fill: handed on as it came, so that the reader knows that it must ask.
            add(&stats.parse_errors, 1);
            self.items.push(message("trade_updates".into(), bytes.into()));
            return true;
        };
        if control == Control::Other {
            add(&stats.other, 1);
            if let Some(ts) = stamp(&data) {
                stats.last_event_ns.fetch_max(ts, Ordering::Relaxed);
            }
            self.items.push(message(kind.into(), data.into()));
            return true;
        }
        controls.push((control, data));
        false
    }
}

fn message(kind: Box<str>, json: Box<[u8]>) -> Item {
    Item::Message { kind, symbol: "".into(), json, bounded: false }
}

/// None if nobody wants it.
#[inline]
fn item(symbols: &Symbols, message: Message<'_>, ts_init: i64) -> Option<Item> {
    Some(match message.tick? {
        Tick::Quote(quote) => Item::Quote { symbol: symbols.tick(message.symbol)?, quote, ts_init },
        Tick::Trade(trade) => Item::Trade { symbol: symbols.tick(message.symbol)?, trade, ts_init },
        Tick::Band(band) => Item::Band { symbol: symbols.tick(message.symbol)?, band, ts_init },
        Tick::Bar(bar) => Item::Bar { slot: symbols.bar(BarChannel::of(message.kind)?, message.symbol)?, bar, ts_init },
    })
}

/// The venue's stamp of a trade update.
fn stamp(data: &[u8]) -> Option<i64> {
    #[derive(serde::Deserialize)]
    struct Stamped<'a> {
        #[serde(borrow)]
        timestamp: Option<&'a str>,
        #[serde(borrow)]
        at: Option<&'a str>,
    }
    let stamped: Stamped<'_> = serde_json::from_slice(data).ok()?;
    parse_rfc3339(stamped.timestamp.or(stamped.at)?.as_bytes())
}
