//! What waits between the socket and Python, within bounds.
//!
//! Above a mark, quotes conflate: the newest of a symbol takes the place of the one that waits, until the backlog is
//! nearly gone; each quote lost so is counted. Trades, bars and other market messages wait up to a second, larger
//! bound; beyond it they are dropped, counted, and their symbol is reported as gapped. Trading events have no bound.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;

use crate::wire::{Band, Bar, Quote, Trade};

/// `ts_init` is when the frame came, in UNIX nanoseconds.
#[derive(Debug)]
pub enum Item {
    Quote { symbol: u32, quote: Quote, ts_init: i64 },
    Trade { symbol: u32, trade: Trade, ts_init: i64 },
    Bar { slot: u32, bar: Bar, ts_init: i64 },
    Band { symbol: u32, band: Band, ts_init: i64 },
    Message { kind: Box<str>, symbol: Box<str>, json: Box<[u8]>, bounded: bool },
    State { state: &'static str, detail: String },
}

#[derive(Debug)]
pub struct Ring {
    items: VecDeque<Item>,
    /// The absolute position of `items[0]`.
    base: u64,
    /// Where the newest waiting quote of each symbol is; 0 is nowhere, else the position plus one.
    newest: Vec<u64>,
    /// Trades, bars and bounded messages that wait.
    kept: usize,
    conflating: bool,
    gapped: FxHashSet<Box<str>>,
    conflate_above: usize,
    spill_above: usize,
    pub conflated: u64,
    pub dropped: u64,
    pub gaps: u64,
}

impl Ring {
    pub fn new(conflate_above: usize, spill_above: usize) -> Self {
        Self {
            items: VecDeque::new(),
            base: 0,
            newest: Vec::new(),
            kept: 0,
            conflating: false,
            gapped: FxHashSet::default(),
            conflate_above,
            spill_above,
            conflated: 0,
            dropped: 0,
            gaps: 0,
        }
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `name` gives the symbol of an item that has to be dropped.
    #[inline]
    pub fn push(&mut self, item: Item, name: impl FnOnce(&Item) -> Box<str>) {
        match item {
            Item::Quote { symbol, .. } => self.push_quote(symbol as usize, item),
            Item::Trade { .. } | Item::Bar { .. } | Item::Band { .. } | Item::Message { bounded: true, .. } => {
                if self.kept >= self.spill_above {
                    self.drop_item(name(&item));
                    return;
                }
                self.kept += 1;
                self.items.push_back(item);
            }
            Item::Message { .. } | Item::State { .. } => self.items.push_back(item),
        }
    }

    fn push_quote(&mut self, symbol: usize, item: Item) {
        if self.newest.len() <= symbol {
            self.newest.resize(symbol + 1, 0);
        }
        if !self.conflating && self.len() >= self.conflate_above {
            self.conflating = true;
            self.purge();
        }
        let waiting = self.newest[symbol];
        if self.conflating && waiting > self.base {
            // In its place, not behind the others: a symbol that changes all the time would never be delivered.
            self.items[(waiting - 1 - self.base) as usize] = item;
            self.conflated += 1;
            return;
        }
        self.items.push_back(item);
        self.newest[symbol] = self.base + self.items.len() as u64;
    }

    /// Keep the newest waiting quote of each symbol only.
    fn purge(&mut self) {
        let mut kept = VecDeque::with_capacity(self.items.len());
        for (at, item) in self.items.drain(..).enumerate() {
            if let Item::Quote { symbol, .. } = item {
                if self.newest[symbol as usize] != self.base + at as u64 + 1 {
                    self.conflated += 1;
                    continue;
                }
                // Positions after the purge count from the same base.
                kept.push_back(item);
                self.newest[symbol as usize] = (self.base + kept.len() as u64) | PURGED;
            } else {
                kept.push_back(item);
            }
        }
        for position in &mut self.newest {
            *position = if *position & PURGED == 0 { 0 } else { *position & !PURGED };
        }
        self.items = kept;
    }

    fn drop_item(&mut self, symbol: Box<str>) {
        self.dropped += 1;
        if self.gapped.contains(&symbol) {
            return;
        }
        self.gaps += 1;
        self.items.push_back(Item::State { state: "gapped", detail: symbol.to_string() });
        self.gapped.insert(symbol);
    }

    /// Move up to `limit` items to `out`.
    pub fn pop_into(&mut self, out: &mut VecDeque<Item>, limit: usize) {
        for _ in 0..limit {
            let Some(item) = self.items.pop_front() else { break };
            self.base += 1;
            if matches!(
                item,
                Item::Trade { .. } | Item::Bar { .. } | Item::Band { .. } | Item::Message { bounded: true, .. }
            ) {
                self.kept -= 1;
            }
            out.push_back(item);
        }
        let backlog = self.len();
        if self.conflating && backlog <= self.conflate_above / 16 {
            self.conflating = false;
        }
        // A symbol is reported again only after the worst is over.
        if !self.gapped.is_empty() && self.kept <= self.spill_above / 2 {
            self.gapped.clear();
        }
    }
}

/// Marks positions already renumbered while a purge is under way; positions never grow that far.
const PURGED: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Dec, TradeId};
    use proptest::prelude::*;

    fn quote(symbol: u32, ts: i64) -> Item {
        let zero = Dec::default();
        Item::Quote { symbol, quote: Quote { bid: zero, ask: zero, bid_size: zero, ask_size: zero, ts }, ts_init: ts }
    }

    fn trade(symbol: u32, ts: i64) -> Item {
        let one = Dec { mantissa: 1, digits: 0 };
        Item::Trade {
            symbol,
            trade: Trade { price: one, size: one, aggressor: 0, id: TradeId::Absent, ts },
            ts_init: ts,
        }
    }

    fn push(ring: &mut Ring, item: Item) {
        ring.push(item, |item| match item {
            Item::Trade { symbol, .. } => symbol.to_string().into(),
            _ => "?".into(),
        });
    }

    fn drain(ring: &mut Ring) -> Vec<Item> {
        let mut out = VecDeque::new();
        ring.pop_into(&mut out, usize::MAX);
        out.into()
    }

    fn text(items: &[Item]) -> String {
        let one = |item: &Item| match item {
            Item::Quote { symbol, quote, .. } => format!("q{symbol}@{}", quote.ts),
            Item::Trade { symbol, trade, .. } => format!("t{symbol}@{}", trade.ts),
            Item::State { state, detail } => format!("{state}:{detail}"),
            _ => "?".into(),
        };
        items.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn below_the_mark_everything_comes_in_order() {
        let mut ring = Ring::new(100, 100);
        for ts in 0..5 {
            push(&mut ring, quote(0, ts));
            push(&mut ring, trade(0, ts));
        }
        assert_eq!(text(&drain(&mut ring)), "q0@0 t0@0 q0@1 t0@1 q0@2 t0@2 q0@3 t0@3 q0@4 t0@4");
        assert_eq!(ring.conflated, 0);
    }

    #[test]
    fn above_the_mark_the_newest_quote_of_each_symbol_survives() {
        let mut ring = Ring::new(4, 100);
        for ts in 0..4 {
            push(&mut ring, quote((ts % 2) as u32, ts));
        }
        push(&mut ring, trade(0, 4));
        push(&mut ring, quote(0, 5));
        push(&mut ring, quote(2, 6));
        push(&mut ring, quote(2, 7));
        assert_eq!(text(&drain(&mut ring)), "q0@5 q1@3 t0@4 q2@7");
        assert_eq!(ring.conflated, 4);
    }

    #[test]
    fn conflation_ends_when_the_backlog_is_gone() {
        let mut ring = Ring::new(2, 100);
        for ts in 0..10 {
            push(&mut ring, quote(0, ts));
        }
        drain(&mut ring);
        push(&mut ring, quote(0, 10));
        push(&mut ring, quote(0, 11));
        assert_eq!(text(&drain(&mut ring)), "q0@10 q0@11");
    }

    #[test]
    fn beyond_the_bound_trades_are_dropped_and_their_symbol_is_gapped_once() {
        let mut ring = Ring::new(100, 2);
        for ts in 0..6 {
            push(&mut ring, trade((ts % 2) as u32, ts));
        }
        assert_eq!(text(&drain(&mut ring)), "t0@0 t1@1 gapped:0 gapped:1");
        assert_eq!((ring.dropped, ring.gaps), (4, 2));
        for ts in 6..9 {
            push(&mut ring, trade(0, ts));
        }
        assert_eq!(text(&drain(&mut ring)), "t0@6 t0@7 gapped:0");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_uncounted_and_bounds_hold(
            steps in prop::collection::vec((0_u8..12, 0_u32..5), 1..400),
            mark in 1_usize..40,
            bound in 1_usize..40,
        ) {
            let mut ring = Ring::new(mark, bound);
            let (mut quotes_in, mut trades_in, mut quotes_out, mut trades_out) = (0_u64, 0_u64, 0_u64, 0_u64);
            let mut newest = [-1_i64; 5];
            let mut last_out = [-1_i64; 5];
            let mut last_trade = -1_i64;
            let mut check = |items: Vec<Item>, last_out: &mut [i64; 5]| {
                for item in items {
                    match item {
                        Item::Quote { symbol, quote, .. } => {
                            quotes_out += 1;
                            assert!(quote.ts > last_out[symbol as usize], "an older quote after a newer one");
                            last_out[symbol as usize] = quote.ts;
                        }
                        Item::Trade { trade, .. } => {
                            trades_out += 1;
                            assert!(trade.ts > last_trade, "trades out of order");
                            last_trade = trade.ts;
                        }
                        _ => {}
                    }
                }
            };
            for (ts, (what, symbol)) in steps.into_iter().enumerate() {
                let ts = ts as i64;
                match what {
                    0 => {
                        let mut out = VecDeque::new();
                        ring.pop_into(&mut out, 7);
                        check(out.into(), &mut last_out);
                    }
                    1..=7 => {
                        quotes_in += 1;
                        newest[symbol as usize] = ts;
                        push(&mut ring, quote(symbol, ts));
                    }
                    _ => {
                        trades_in += 1;
                        push(&mut ring, trade(symbol, ts));
                    }
                }
                prop_assert!(ring.kept <= bound);
                // Quotes: below the mark, or one of each symbol that came while conflating; and the notices of gaps.
                prop_assert!(ring.len() <= mark + bound + 5 + ring.gaps as usize);
            }
            check(drain(&mut ring), &mut last_out);
            prop_assert_eq!(last_out, newest, "the newest quote of each symbol survives");
            prop_assert_eq!(quotes_in, quotes_out + ring.conflated);
            prop_assert_eq!(trades_in, trades_out + ring.dropped);
        }
    }
}
