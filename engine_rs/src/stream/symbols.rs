//! Which symbols are wanted, and the small numbers that stand for them between the socket and Python.

use rustc_hash::FxHashMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarChannel {
    Minute,
    Updated,
    Daily,
}

impl BarChannel {
    /// From the name of the subscription.
    pub fn named(channel: &str) -> Option<Self> {
        match channel {
            "bars" => Some(Self::Minute),
            "updatedBars" => Some(Self::Updated),
            "dailyBars" => Some(Self::Daily),
            _ => None,
        }
    }

    /// From a message's `T`.
    pub fn of(kind: &[u8]) -> Option<Self> {
        match kind {
            b"b" => Some(Self::Minute),
            b"u" => Some(Self::Updated),
            b"d" => Some(Self::Daily),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Slots {
    tick: Option<u32>,
    bars: [Option<u32>; 3],
}

/// Numbers are dense, per table of ticks and per table of bars, and never reused.
#[derive(Debug, Default)]
pub struct Symbols {
    slots: FxHashMap<Box<[u8]>, Slots>,
    names: Vec<Box<str>>,
    bar_names: Vec<Box<str>>,
}

impl Symbols {
    pub fn map(&mut self, symbol: &str) -> u32 {
        let slots = self.slots.entry(symbol.as_bytes().into()).or_default();
        *slots.tick.get_or_insert_with(|| number(&mut self.names, symbol))
    }

    pub fn map_bar(&mut self, channel: BarChannel, symbol: &str) -> u32 {
        let slots = self.slots.entry(symbol.as_bytes().into()).or_default();
        *slots.bars[channel as usize].get_or_insert_with(|| number(&mut self.bar_names, symbol))
    }

    pub fn unmap_bar(&mut self, channel: BarChannel, symbol: &str) -> Option<u32> {
        self.slots.get_mut(symbol.as_bytes())?.bars[channel as usize].take()
    }

    #[inline]
    pub fn tick(&self, symbol: &[u8]) -> Option<u32> {
        self.slots.get(symbol)?.tick
    }

    #[inline]
    pub fn bar(&self, channel: BarChannel, symbol: &[u8]) -> Option<u32> {
        self.slots.get(symbol)?.bars[channel as usize]
    }

    pub fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", |name| name)
    }

    pub fn bar_name(&self, number: u32) -> &str {
        self.bar_names.get(number as usize).map_or("", |name| name)
    }
}

fn number(names: &mut Vec<Box<str>>, symbol: &str) -> u32 {
    names.push(symbol.into());
    (names.len() - 1) as u32
}
