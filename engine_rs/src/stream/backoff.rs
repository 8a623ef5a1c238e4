//! How long to stay away after a connection was lost.

use std::time::Duration;

/// Why the connection ended, as far as the next attempt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Lost,
    /// 406 or 429: the venue still counts the old connection, or has had enough of us.
    Busy,
    /// Keys or plan: trying again rarely helps, and never soon.
    Refused,
}

#[derive(Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    busy: Duration,
    lost: u32,
    busied: u32,
    seed: u64,
}

impl Backoff {
    pub fn new(min: Duration, max: Duration, busy: Duration, seed: u64) -> Self {
        Self { min, max, busy, lost: 0, busied: 0, seed: seed | 1 }
    }

    /// The connection has proved itself.
    pub fn reset(&mut self) {
        self.lost = 0;
        self.busied = 0;
    }

    pub fn next(&mut self, cause: Cause) -> Duration {
        let delay = match cause {
            Cause::Lost => {
                let delay = self.min.saturating_mul(1 << self.lost.min(16)).min(self.max);
                self.lost += 1;
                delay
            }
            Cause::Busy => {
                self.busied += 1;
                self.busy.saturating_mul(self.busied).min(self.max.max(self.busy))
            }
            Cause::Refused => self.max,
        };
        // Up to a quarter more, so that many clients don't come back at the same instant; never less.
        delay.mul_f64(1.0 + self.random() * 0.25)
    }

    fn random(&mut self) -> f64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(delay: Duration, ms: u64) -> bool {
        (ms..=ms + ms / 4).contains(&(delay.as_millis() as u64))
    }

    #[test]
    fn waits_grow_to_the_maximum_and_start_anew_after_success() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(4), Duration::from_secs(5), 7);
        for ms in [500, 1000, 2000, 4000, 4000] {
            assert!(about(backoff.next(Cause::Lost), ms), "{ms}");
        }
        backoff.reset();
        assert!(about(backoff.next(Cause::Lost), 500));
    }

    #[test]
    fn a_busy_venue_is_left_alone_for_longer() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(12), Duration::from_secs(5), 7);
        for ms in [5000, 10_000, 12_000] {
            assert!(about(backoff.next(Cause::Busy), ms), "{ms}");
        }
        assert!(about(backoff.next(Cause::Refused), 12_000));
    }
}
