//! Requests to Alpaca's trading and market-data hosts.

mod bucket;
mod client;
mod history;
mod outcome;
mod quota;
mod stats;

pub use client::{Answer, Client, Config, Job, Method, Read};
pub use history::History;
pub use outcome::{Outcome, ReadError, error_body, is_json};
