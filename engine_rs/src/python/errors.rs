//! The exceptions, and how the core's errors become them.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;

use crate::http::ReadError;

pyo3::create_exception!(_engine, EngineError, PyException, "Base of what the engine raises.");
pyo3::create_exception!(
    _engine,
    HttpError,
    EngineError,
    "A read that the venue refused. Attributes: `status`, `code` (or None), `message`, `request_id` (or None)."
);
pyo3::create_exception!(
    _engine,
    Unavailable,
    EngineError,
    "A read that got no usable answer after its retries. Attribute: `reason`."
);

/// Adds the exceptions to the module; the attributes exist on the classes too, so that stubs and fakes agree.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let (http, unavailable) = (py.get_type::<HttpError>(), py.get_type::<Unavailable>());
    http.setattr("status", 0)?;
    http.setattr("code", py.None())?;
    http.setattr("message", "")?;
    http.setattr("request_id", py.None())?;
    unavailable.setattr("reason", "")?;
    for kind in [py.get_type::<EngineError>(), http, unavailable] {
        kind.setattr("__module__", "runner._engine")?;
        module.add(kind.name()?, kind)?;
    }
    Ok(())
}

pub fn from_read(py: Python<'_>, error: ReadError) -> PyErr {
    match build(py, error) {
        Ok(err) | Err(err) => err,
    }
}

fn build(py: Python<'_>, error: ReadError) -> PyResult<PyErr> {
    match error {
        ReadError::Refused { status, code, message, request_id } => {
            let text = match code {
                Some(code) => format!("HTTP {status} ({code}): {message}"),
                None => format!("HTTP {status}: {message}"),
            };
            let err = HttpError::new_err(text);
            let value = err.value(py);
            value.setattr("status", status)?;
            value.setattr("code", code)?;
            value.setattr("message", message)?;
            value.setattr("request_id", request_id)?;
            Ok(err)
        }
        ReadError::Unavailable { reason } => {
            let err = Unavailable::new_err(reason.clone());
            err.value(py).setattr("reason", reason)?;
            Ok(err)
        }
    }
}
