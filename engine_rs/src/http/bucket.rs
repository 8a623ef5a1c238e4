//! How many requests may leave: a token bucket, narrowed by what the venue says in its X-RateLimit headers.

use std::time::{Duration, Instant};

/// What a reply's headers said. `reset` is in UNIX seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    pub limit: Option<u32>,
    pub remaining: Option<u32>,
    pub reset: Option<u64>,
}

#[derive(Debug)]
pub struct Bucket {
    per_minute: f64,
    tokens: f64,
    filled: Instant,
    /// The part that reads leave to commands.
    reserve: f64,
    /// The venue's window that `tokens` was last compared with.
    window: u64,
    unanswered: u32,
    blocked_until: Option<Instant>,
}

/// Longest wait before the bucket is asked again: headers may have changed it meanwhile.
const MAX_WAIT: Duration = Duration::from_secs(1);

impl Bucket {
    pub fn new(per_minute: u32, reserve: f64, now: Instant) -> Self {
        let per_minute = f64::from(per_minute.max(1));
        Self {
            per_minute,
            tokens: per_minute,
            filled: now,
            reserve: reserve.clamp(0.0, 0.9),
            window: 0,
            unanswered: 0,
            blocked_until: None,
        }
    }

    /// Take a token, or learn how long to wait before asking again.
    pub fn take(&mut self, now: Instant, command: bool) -> Result<(), Duration> {
        if let Some(until) = self.blocked_until {
            if now < until {
                return Err((until - now).min(MAX_WAIT));
            }
            self.blocked_until = None;
        }
        self.fill(now);
        let floor = if command { 0.0 } else { (self.per_minute * self.reserve).min(self.per_minute - 1.0) };
        let missing = floor + 1.0 - self.tokens;
        if missing <= 1e-9 {
            self.tokens -= 1.0;
            self.unanswered += 1;
            return Ok(());
        }
        let wait = Duration::from_secs_f64(missing * 60.0 / self.per_minute);
        Err(wait.clamp(Duration::from_millis(1), MAX_WAIT))
    }

    fn fill(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + seconds * self.per_minute / 60.0).min(self.per_minute);
        self.filled = now;
    }

    /// A request got its answer, or will get none.
    pub fn answered(&mut self, now: Instant, limits: Limits) {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.fill(now);
        if let Some(limit) = limits.limit.filter(|&limit| limit > 0) {
            self.per_minute = f64::from(limit);
            self.tokens = self.tokens.min(self.per_minute);
        }
        let Some(remaining) = limits.remaining else { return };
        let free = (f64::from(remaining) - f64::from(self.unanswered)).max(0.0);
        match limits.reset {
            // Replies may come out of order: one of an earlier window says nothing any more.
            Some(reset) if reset < self.window => {}
            Some(reset) if reset > self.window => {
                self.window = reset;
                self.tokens = free.min(self.per_minute);
            }
            _ => self.tokens = self.tokens.min(free),
        }
    }

    /// The venue said that it is too much: nothing leaves for a while.
    pub fn block(&mut self, now: Instant, pause: Duration) {
        let until = now + pause;
        self.blocked_until = Some(self.blocked_until.map_or(until, |earlier| earlier.max(until)));
    }

    pub fn per_minute(&self) -> u64 {
        self.per_minute as u64
    }

    pub fn tokens(&self) -> u64 {
        self.tokens.max(0.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_leave_the_reserve_to_commands() {
        let now = Instant::now();
        let mut bucket = Bucket::new(10, 0.2, now);
        let reads = (0..20).filter(|_| bucket.take(now, false).is_ok()).count();
        let commands = (0..20).filter(|_| bucket.take(now, true).is_ok()).count();
        assert_eq!((reads, commands), (8, 2));
    }

    #[test]
    fn tokens_come_back_with_time() {
        let now = Instant::now();
        let mut bucket = Bucket::new(60, 0.0, now);
        while bucket.take(now, true).is_ok() {}
        assert_eq!(bucket.take(now, true), Err(Duration::from_secs(1)));
        assert_eq!(bucket.take(now + Duration::from_secs(1), true), Ok(()));
    }

    #[test]
    fn headers_narrow_it_and_a_new_window_opens_it() {
        let now = Instant::now();
        let mut bucket = Bucket::new(200, 0.0, now);
        bucket.take(now, true).unwrap();
        bucket.answered(now, Limits { limit: Some(100), remaining: Some(1), reset: Some(1000) });
        assert_eq!((bucket.per_minute(), bucket.tokens()), (100, 1));
        bucket.take(now, true).unwrap();
        assert!(bucket.take(now, true).is_err());
        bucket.answered(now, Limits { limit: None, remaining: Some(99), reset: Some(1060) });
        assert_eq!(bucket.tokens(), 99);
        bucket.answered(now, Limits { limit: None, remaining: Some(0), reset: Some(1000) });
        assert_eq!(bucket.tokens(), 99);
    }

    #[test]
    fn what_is_still_on_its_way_counts_against_the_remainder() {
        let now = Instant::now();
        let mut bucket = Bucket::new(200, 0.0, now);
        for _ in 0..3 {
            bucket.take(now, true).unwrap();
        }
        bucket.answered(now, Limits { limit: None, remaining: Some(5), reset: Some(1000) });
        assert_eq!(bucket.tokens(), 3);
    }

    #[test]
    fn a_pause_holds_everything() {
        let now = Instant::now();
        let mut bucket = Bucket::new(200, 0.0, now);
        bucket.block(now, Duration::from_millis(500));
        assert_eq!(bucket.take(now, true), Err(Duration::from_millis(500)));
        assert_eq!(bucket.take(now + Duration::from_millis(500), true), Ok(()));
    }
}
