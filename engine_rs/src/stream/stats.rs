//! What a stream counts.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

#[derive(Default)]
pub struct Stats {
    pub frames: AtomicU64,
    pub bytes: AtomicU64,
    pub messages: AtomicU64,
    pub quotes: AtomicU64,
    pub trades: AtomicU64,
    pub bars: AtomicU64,
    pub other: AtomicU64,
    pub unmapped: AtomicU64,
    pub parse_errors: AtomicU64,
    pub reconnects: AtomicU64,
    pub delivered: AtomicU64,
    pub last_frame_ns: AtomicI64,
    pub last_event_ns: AtomicI64,
}

#[inline]
pub fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
