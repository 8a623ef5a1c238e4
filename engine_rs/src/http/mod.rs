//! Requests to Alpaca's trading and market-data hosts.

mod bucket;
mod client;
mod history;
mod line;
mod outcome;
mod quota;
mod stats;
mod target;

pub use client::{Answer, Client, Config, Job, Method, Read};
pub use history::History;
pub use outcome::{Outcome, ReadError, error_body, is_json};
