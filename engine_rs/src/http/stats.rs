//! What the client counts.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub struct Stats {
    /// Requests put on the wire, retries included.
    pub requests: AtomicU64,
    pub replies: AtomicU64,
    pub retries: AtomicU64,
    /// Requests that had to wait for the quota, and 429 replies.
    pub throttled: AtomicU64,
    pub unknown: AtomicU64,
    pub in_flight: AtomicU64,
    pub last_latency_ns: AtomicU64,
}

pub fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub fn take(counter: &AtomicU64) {
    counter.fetch_sub(1, Ordering::Relaxed);
}

pub fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Counts a request as in flight while it lives.
pub struct InFlight<'a>(&'a AtomicU64);

impl<'a> InFlight<'a> {
    pub fn new(counter: &'a AtomicU64) -> Self {
        add(counter);
        Self(counter)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        take(self.0);
    }
}
