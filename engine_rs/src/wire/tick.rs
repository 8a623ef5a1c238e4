//! Quotes, trades, bars and price bands, and how the fields of a message become one.

use super::decimal::Dec;

/// Prices and sizes as on the wire; `ts` is the venue's stamp in UNIX nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    pub bid: Dec,
    pub ask: Dec,
    pub bid_size: Dec,
    pub ask_size: Dec,
    pub ts: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trade {
    pub price: Dec,
    pub size: Dec,
    /// 0 unknown, 1 the buyer was the taker, 2 the seller.
    pub aggressor: u8,
    pub id: TradeId,
    pub ts: i64,
}

/// The venue's id of a trade; option trades have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TradeId {
    Number(u64),
    Text(Box<str>),
    Absent,
}

/// `ts` is the start of the interval, as on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    pub open: Dec,
    pub high: Dec,
    pub low: Dec,
    pub close: Dec,
    pub volume: Dec,
    pub ts: i64,
}

/// Between which prices a stock may trade (limit up, limit down). `indicator` and `tape` are letters, 0 where absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    pub upper: Dec,
    pub lower: Dec,
    pub indicator: u8,
    pub tape: u8,
    pub ts: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tick {
    Quote(Quote),
    Trade(Trade),
    Bar(Bar),
    Band(Band),
}

impl Tick {
    pub fn ts(&self) -> i64 {
        match self {
            Self::Quote(quote) => quote.ts,
            Self::Trade(trade) => trade.ts,
            Self::Bar(bar) => bar.ts,
            Self::Band(band) => band.ts,
        }
    }

    /// Whether every value is exact at `scale`.
    #[inline]
    pub fn fits(&self, scale: u8) -> bool {
        let fits = |value: &Dec| value.digits <= scale || value.fit(scale).is_some();
        match self {
            Self::Quote(quote) => [&quote.bid, &quote.ask, &quote.bid_size, &quote.ask_size].into_iter().all(fits),
            Self::Trade(trade) => fits(&trade.price) && fits(&trade.size),
            Self::Bar(bar) => [&bar.open, &bar.high, &bar.low, &bar.close, &bar.volume].into_iter().all(fits),
            Self::Band(band) => fits(&band.upper) && fits(&band.lower),
        }
    }
}

/// A value of either codec, read as what the field must be.
pub trait Value: Copy {
    fn dec(self) -> Option<Dec>;
    fn ns(self) -> Option<i64>;
    fn id(self) -> Option<TradeId>;
    /// The first byte of a text; None for anything else.
    fn letter(self) -> Option<u8>;
}

/// The fields that ticks are made of, by their short wire names. Others are skipped.
#[derive(Clone, Copy)]
pub struct Fields<V> {
    slots: [Option<V>; SLOTS],
}

const SLOTS: usize = 17;
const TIME: usize = 0;
const PRICE: usize = 1;
const SIZE: usize = 2;
const ID: usize = 3;
const BID: usize = 4;
const BID_SIZE: usize = 5;
const ASK: usize = 6;
const ASK_SIZE: usize = 7;
const OPEN: usize = 8;
const HIGH: usize = 9;
const LOW: usize = 10;
const CLOSE: usize = 11;
const VOLUME: usize = 12;
const TAKER: usize = 13;
const UPPER: usize = 14;
const LOWER: usize = 15;
const TAPE: usize = 16;

impl<V: Value> Fields<V> {
    pub fn new() -> Self {
        Self { slots: [None; SLOTS] }
    }

    #[inline]
    pub fn put(&mut self, key: &[u8], value: V) {
        let slot = match key {
            b"t" => TIME,
            b"p" => PRICE,
            b"s" => SIZE,
            b"i" => ID,
            b"bp" => BID,
            b"bs" => BID_SIZE,
            b"ap" => ASK,
            b"as" => ASK_SIZE,
            b"o" => OPEN,
            b"h" => HIGH,
            b"l" => LOW,
            b"c" => CLOSE,
            b"v" => VOLUME,
            b"tks" => TAKER,
            b"u" => UPPER,
            b"d" => LOWER,
            b"z" => TAPE,
            _ => return,
        };
        self.slots[slot] = Some(value);
    }

    #[inline]
    fn dec(&self, slot: usize) -> Option<Dec> {
        self.slots[slot]?.dec()
    }

    #[inline]
    fn size(&self, slot: usize) -> Option<Dec> {
        self.dec(slot).filter(|size| size.mantissa >= 0)
    }

    #[inline]
    fn ts(&self) -> Option<i64> {
        // Before 1970 nothing traded here, and Nautilus's times are unsigned.
        self.slots[TIME]?.ns().filter(|&ts| ts >= 0)
    }

    #[inline]
    pub fn quote(&self) -> Option<Quote> {
        Some(Quote {
            bid: self.dec(BID)?,
            ask: self.dec(ASK)?,
            bid_size: self.size(BID_SIZE)?,
            ask_size: self.size(ASK_SIZE)?,
            ts: self.ts()?,
        })
    }

    /// None also for a trade of nothing, which is no trade to anyone downstream.
    #[inline]
    pub fn trade(&self) -> Option<Trade> {
        Some(Trade {
            price: self.dec(PRICE)?,
            size: self.size(SIZE).filter(|size| size.is_positive())?,
            aggressor: match self.slots[TAKER].and_then(Value::letter) {
                Some(b'B') => 1,
                Some(b'S') => 2,
                _ => 0,
            },
            id: self.slots[ID].and_then(Value::id).unwrap_or(TradeId::Absent),
            ts: self.ts()?,
        })
    }

    /// A trade whose size is 0.
    pub fn is_empty_trade(&self) -> bool {
        self.dec(PRICE).is_some() && self.dec(SIZE).is_some_and(|size| size.mantissa == 0)
    }

    #[inline]
    pub fn bar(&self) -> Option<Bar> {
        Some(Bar {
            open: self.dec(OPEN)?,
            high: self.dec(HIGH)?,
            low: self.dec(LOW)?,
            close: self.dec(CLOSE)?,
            volume: self.size(VOLUME)?,
            ts: self.ts()?,
        })
    }

    pub fn band(&self) -> Option<Band> {
        // In this message alone `i` is a letter.
        let letter = |slot: usize| self.slots[slot].and_then(Value::letter).filter(u8::is_ascii_graphic).unwrap_or(0);
        Some(Band {
            upper: self.size(UPPER)?,
            lower: self.size(LOWER)?,
            indicator: letter(ID),
            tape: letter(TAPE),
            ts: self.ts()?,
        })
    }

    /// The tick that a message of this `T` is, if it is one and all of it could be read.
    #[inline]
    pub fn tick(&self, kind: &[u8]) -> Option<Tick> {
        match kind {
            b"q" => self.quote().map(Tick::Quote),
            b"t" => self.trade().map(Tick::Trade),
            b"b" | b"u" | b"d" => self.bar().map(Tick::Bar),
            b"l" => self.band().map(Tick::Band),
            _ => None,
        }
    }
}

impl<V: Value> Default for Fields<V> {
    fn default() -> Self {
        Self::new()
    }
}

pub fn is_tick(kind: &[u8]) -> bool {
    matches!(kind, b"q" | b"t" | b"b" | b"u" | b"d" | b"l")
}

/// An id that downstream constructors take: printable ASCII, at most 36 characters.
pub fn text_id(text: &[u8]) -> Option<TradeId> {
    let fits = (1..=36).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
    let text = std::str::from_utf8(text).ok()?;
    fits.then(|| TradeId::Text(text.into()))
}
