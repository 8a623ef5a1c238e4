//! A stream connection that stays up, and what it hands over.

mod backoff;
mod config;
mod connect;
mod control;
mod handle;
mod intake;
mod ring;
mod session;
mod stats;
mod subscriptions;
mod symbols;
mod task;

pub use config::{Codec, Config, Protocol};
pub use handle::Stream;
pub use ring::Item;
pub use symbols::BarChannel;
