//! From the bytes of a frame or a page to exact numbers: no floats, no copies that are not needed.

pub mod decimal;
pub mod frame;
pub mod history;
pub mod json;
pub mod msgpack;
#[cfg(any(test, feature = "oracle"))]
pub mod oracle;
pub mod tick;
pub mod time;

pub use decimal::Dec;
pub use frame::{Message, scan};
pub use tick::{Band, Bar, Quote, Tick, Trade, TradeId};
