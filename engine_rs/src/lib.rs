//! The engine of the trading node: network, parsing and delivery, without the GIL. It knows nothing of Nautilus.

pub mod exposure;
pub mod http;
pub mod margin;
pub mod notify;
pub mod origin;
#[cfg(feature = "python")]
mod python;
pub mod rate;
pub mod risk;
pub mod runtime;
pub mod secret;
pub mod stream;
pub mod sync;
pub mod tls;
pub mod watchdog;
pub mod wire;
