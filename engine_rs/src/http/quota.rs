//! Who may send next on one host: commands and reads each in the order they were asked for.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::bucket::{Bucket, Limits};
use crate::sync::Relock;

pub struct Quota<T> {
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    bucket: Bucket,
    lanes: [Lane<T>; 2],
}

struct Lane<T> {
    waiting: VecDeque<T>,
    pumped: bool,
}

/// What to do with a job that was offered.
pub enum Offer<T> {
    /// It has its token: send it.
    Go(T),
    /// It waits, and somebody must pump the lane.
    Pump,
    Queued,
}

impl<T> Quota<T> {
    pub fn new(per_minute: u32, reserve: f64) -> Self {
        let lane = || Lane { waiting: VecDeque::new(), pumped: false };
        let bucket = Bucket::new(per_minute, reserve, Instant::now());
        Self { inner: Mutex::new(Inner { bucket, lanes: [lane(), lane()] }) }
    }

    /// With `direct`, a job that need not wait goes at once.
    pub fn offer(&self, job: T, command: bool, direct: bool) -> Offer<T> {
        let mut inner = self.inner.relock();
        let idle = !inner.lanes[usize::from(command)].pumped;
        if direct && idle && inner.bucket.take(Instant::now(), command).is_ok() {
            return Offer::Go(job);
        }
        let lane = &mut inner.lanes[usize::from(command)];
        lane.waiting.push_back(job);
        if lane.pumped {
            Offer::Queued
        } else {
            lane.pumped = true;
            Offer::Pump
        }
    }

    /// The next job of a lane; None ends the pumping.
    pub fn next(&self, command: bool) -> Option<T> {
        let mut inner = self.inner.relock();
        let lane = &mut inner.lanes[usize::from(command)];
        let job = lane.waiting.pop_front();
        lane.pumped = job.is_some();
        job
    }

    /// A token, or how long to wait before asking again.
    pub fn take(&self, command: bool) -> Result<(), Duration> {
        self.inner.relock().bucket.take(Instant::now(), command)
    }

    /// Wait for a token; None if `deadline` comes first. Says whether it had to wait.
    pub async fn acquire(&self, command: bool, deadline: Option<Instant>) -> Option<bool> {
        let mut waited = false;
        loop {
            match self.take(command) {
                Ok(()) => return Some(waited),
                Err(wait) => {
                    if deadline.is_some_and(|deadline| Instant::now() + wait > deadline) {
                        return None;
                    }
                    waited = true;
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    pub fn answered(&self, limits: Limits) {
        self.inner.relock().bucket.answered(Instant::now(), limits);
    }

    pub fn block(&self, pause: Duration) {
        self.inner.relock().bucket.block(Instant::now(), pause);
    }

    /// (limit per minute, left of it).
    pub fn figures(&self) -> (u64, u64) {
        let inner = self.inner.relock();
        (inner.bucket.per_minute(), inner.bucket.tokens())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_keep_their_order_and_one_pump_serves_a_lane() {
        let quota = Quota::new(1, 0.0);
        assert!(matches!(quota.offer(1, true, true), Offer::Go(1)));
        assert!(matches!(quota.offer(2, true, true), Offer::Pump));
        assert!(matches!(quota.offer(3, true, true), Offer::Queued));
        assert!(matches!(quota.offer(9, false, true), Offer::Pump));
        assert_eq!((quota.next(true), quota.next(true), quota.next(true)), (Some(2), Some(3), None));
        assert!(matches!(quota.offer(4, true, true), Offer::Pump));
    }
}
