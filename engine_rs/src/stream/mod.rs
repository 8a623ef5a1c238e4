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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::secret::Secret;

    pub fn config() -> Config {
        let second = Duration::from_secs(1);
        Config {
            url: "ws://127.0.0.1:1/v2/iex".into(),
            key: Secret::new("key-value".into()),
            secret: Secret::new("secret-value".into()),
            protocol: Protocol::Market,
            codec: Codec::Json,
            header_auth: true,
            connect_timeout: second,
            ping_interval: second,
            silence_timeout: second,
            backoff_min: second,
            backoff_max: second,
            busy_backoff: second,
            conflate_above: 10,
            spill_above: 10,
        }
    }

    #[test]
    fn a_stream_can_be_dropped_while_it_tries_to_connect() {
        for _ in 0..50 {
            let stream = Stream::new(config()).unwrap();
            stream.start();
            stream.subscribe("quotes", vec!["A".into()]);
            drop(stream);
        }
    }
}
