use pyo3::prelude::*;

#[pyclass(frozen, module = "runner._engine")]
pub struct LoopWatchdog {}
