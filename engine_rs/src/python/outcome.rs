//! What became of a command, as Python sees it.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::http::Outcome;

/// The venue took the command. `body` is its reply (empty for a cancel).
#[pyclass(frozen, get_all, module = "runner._engine")]
pub struct Accepted {
    status: u16,
    body: Py<PyBytes>,
    request_id: Option<String>,
}

#[pymethods]
impl Accepted {
    #[new]
    #[pyo3(signature = (status, body, request_id=None))]
    fn new(status: u16, body: Py<PyBytes>, request_id: Option<String>) -> Self {
        Self { status, body, request_id }
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("Accepted(status={}, body=<{} bytes>)", self.status, self.body.bind(py).as_bytes().len())
    }
}

/// The venue refused, and nothing happened there.
#[pyclass(frozen, get_all, module = "runner._engine")]
pub struct Rejected {
    status: u16,
    code: Option<i64>,
    message: String,
    body: Py<PyBytes>,
    request_id: Option<String>,
}

#[pymethods]
impl Rejected {
    #[new]
    #[pyo3(signature = (status, code, message, body, request_id=None))]
    fn new(status: u16, code: Option<i64>, message: String, body: Py<PyBytes>, request_id: Option<String>) -> Self {
        Self { status, code, message, body, request_id }
    }

    fn __repr__(&self) -> String {
        let code = self.code.map_or_else(|| "None".to_owned(), |code| code.to_string());
        format!("Rejected(status={}, code={code}, message={:?})", self.status, self.message)
    }
}

/// Nobody can say what happened. Look it up, never resend.
#[pyclass(frozen, get_all, module = "runner._engine")]
pub struct Unknown {
    reason: String,
    status: Option<u16>,
    sent: bool,
}

#[pymethods]
impl Unknown {
    #[new]
    #[pyo3(signature = (reason, status=None, sent=true))]
    fn new(reason: String, status: Option<u16>, sent: bool) -> Self {
        Self { reason, status, sent }
    }

    fn __repr__(&self) -> String {
        let status = self.status.map_or_else(|| "None".to_owned(), |status| status.to_string());
        let sent = if self.sent { "True" } else { "False" };
        format!("Unknown(reason={:?}, status={status}, sent={sent})", self.reason)
    }
}

pub fn into_py(py: Python<'_>, outcome: Outcome) -> PyResult<Py<PyAny>> {
    Ok(match outcome {
        Outcome::Accepted { status, body, request_id } => {
            let body = PyBytes::new(py, &body).unbind();
            Py::new(py, Accepted { status, body, request_id })?.into_any()
        }
        Outcome::Rejected { status, code, message, body, request_id } => {
            let body = PyBytes::new(py, &body).unbind();
            Py::new(py, Rejected { status, code, message, body, request_id })?.into_any()
        }
        Outcome::Unknown { reason, status, sent } => Py::new(py, Unknown { reason, status, sent })?.into_any(),
    })
}
