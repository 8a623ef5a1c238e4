//! What one stream connection is told.

use std::time::Duration;

use crate::secret::Secret;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Market,
    Trading,
}

/// How our own messages are written; what comes is told apart by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Json,
    Msgpack,
}

#[derive(Clone, Debug)]
pub struct Config {
    pub url: String,
    pub key: Secret,
    pub secret: Secret,
    pub protocol: Protocol,
    pub codec: Codec,
    pub header_auth: bool,
    pub connect_timeout: Duration,
    pub ping_interval: Duration,
    pub silence_timeout: Duration,
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    pub busy_backoff: Duration,
    pub conflate_above: usize,
    pub spill_above: usize,
}
