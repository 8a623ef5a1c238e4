//! Sliding windows: see `crate::rate`.

use std::sync::Mutex;

use pyo3::prelude::*;

use crate::rate::{Limit, Windows};
use crate::sync::Relock;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<RateLimits>()?;
    module.add_class::<RateWindows>()
}

#[pyclass(frozen, module = "runner._engine")]
pub struct RateLimits(Vec<Limit>);

#[pymethods]
impl RateLimits {
    #[new]
    fn new(limits: Vec<(String, usize, i64)>) -> Self {
        Self(limits.into_iter().map(|(key, count, per)| Limit { key: key.into(), count, per }).collect())
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

#[pyclass(frozen, module = "runner._engine")]
pub struct RateWindows(Mutex<Windows>);

#[pymethods]
impl RateWindows {
    #[new]
    fn new() -> Self {
        Self(Mutex::new(Windows::default()))
    }

    fn exceeded(&self, limits: &RateLimits, more: usize, now_ns: i64) -> Option<(usize, usize)> {
        self.0.relock().exceeded(&limits.0, more, now_ns)
    }

    fn count(&self, limits: &RateLimits, more: usize, now_ns: i64) {
        self.0.relock().count(&limits.0, more, now_ns);
    }

    fn held(&self, key: &str, per_ns: i64, now_ns: i64) -> usize {
        self.0.relock().held(key, per_ns, now_ns)
    }
}
