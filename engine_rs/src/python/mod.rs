//! The bindings: conversions and the event loop's side of each client. All work is in the other modules.

mod builders;
mod errors;
mod fault;
mod http;
mod margin;
mod numbers;
mod order;
mod outcome;
mod rate;
mod risk;
mod stream;
mod watchdog;

use pyo3::prelude::*;

/// Ends the engine's threads; registered with `atexit`.
#[pyfunction]
fn _shutdown() {
    crate::runtime::shutdown();
}

#[pymodule]
fn _engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    errors::register(module)?;
    module.add_class::<outcome::Accepted>()?;
    module.add_class::<outcome::Rejected>()?;
    module.add_class::<outcome::Unknown>()?;
    module.add("Outcome", outcome_alias(module.py())?)?;
    module.add_class::<builders::Builders>()?;
    module.add_class::<http::AlpacaHttpClient>()?;
    module.add_class::<stream::AlpacaWebSocketClient>()?;
    module.add_class::<watchdog::LoopWatchdog>()?;
    margin::register(module)?;
    rate::register(module)?;
    risk::register(module)?;
    let shutdown = wrap_pyfunction!(_shutdown, module)?;
    module.py().import("atexit")?.call_method1("register", (shutdown,))?;
    Ok(())
}

/// `Accepted | Rejected | Unknown`.
fn outcome_alias(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let union = py.get_type::<outcome::Accepted>().as_any().bitor(py.get_type::<outcome::Rejected>())?;
    union.bitor(py.get_type::<outcome::Unknown>())
}

/// What a client says in a forked child: its threads stayed with the parent.
fn forked(what: &str) -> PyErr {
    let text = format!("this {what} was made before a fork: make one in the process that uses it");
    pyo3::exceptions::PyRuntimeError::new_err(text)
}

/// Seconds as Python gives them; negative, infinite and not-a-number ones are the caller's mistake.
fn seconds(name: &str, value: f64) -> PyResult<std::time::Duration> {
    std::time::Duration::try_from_secs_f64(value).map_err(|_| {
        pyo3::exceptions::PyValueError::new_err(format!("{name} must be a number of seconds >= 0, not {value}"))
    })
}
