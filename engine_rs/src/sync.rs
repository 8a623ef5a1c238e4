//! Locks that survive a panic elsewhere: the state behind them is valid after every statement.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub trait Relock<T> {
    fn relock(&self) -> MutexGuard<'_, T>;
}

impl<T> Relock<T> for Mutex<T> {
    #[inline]
    fn relock(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
