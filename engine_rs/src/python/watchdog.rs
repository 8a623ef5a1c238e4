//! `LoopWatchdog`: see `crate::watchdog`.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tokio::task::AbortHandle;

use super::seconds;
use crate::secret::Secret;
use crate::sync::Relock;
use crate::watchdog::{CancelRequest, LAST_WORDS, Limits, Watchdog, say, serve_health, trace};

type Requests = Vec<(String, String, Vec<(String, String)>)>;

/// A thread that notices a stuck event loop. `beat()` must be called at least every `limit_s`.
#[pyclass(frozen, module = "runner._engine")]
pub struct LoopWatchdog {
    watchdog: Arc<Watchdog>,
    exit_code: i32,
    trace_signal: i32,
    server: Mutex<Option<AbortHandle>>,
}

#[pymethods]
impl LoopWatchdog {
    #[new]
    #[pyo3(signature = (*, unhealthy_s, limit_s, exit_code, cancel_requests=Vec::new(), deadline_s=5.0, stderr_fd=2, trace_signal=0))]
    fn new(
        unhealthy_s: f64,
        limit_s: f64,
        exit_code: i32,
        cancel_requests: Requests,
        deadline_s: f64,
        stderr_fd: i32,
        trace_signal: i32,
    ) -> PyResult<Self> {
        LAST_WORDS.store(stderr_fd, Ordering::Relaxed);
        let limits = Limits {
            unhealthy: seconds("unhealthy_s", unhealthy_s)?,
            limit: seconds("limit_s", limit_s)?,
            deadline: seconds("deadline_s", deadline_s)?,
        };
        let watchdog = Watchdog::new(limits, requests(cancel_requests)?);
        Ok(Self { watchdog, exit_code, trace_signal, server: Mutex::new(None) })
    }

    fn start(&self) -> PyResult<()> {
        let (code, trace_signal) = (self.exit_code, self.trace_signal);
        let end = move || {
            if trace_signal > 0 {
                trace(trace_signal);
            }
            say(format!("the event loop is stuck: ending the process with code {code}\n"));
            // SAFETY: ends the process without running anything of it, since its main thread answers no more.
            unsafe { libc::_exit(code) }
        };
        Ok(self.watchdog.start(end)?)
    }

    fn beat(&self) {
        self.watchdog.beat();
    }

    fn set_cancel_requests(&self, cancel_requests: Requests) -> PyResult<()> {
        self.watchdog.set_requests(requests(cancel_requests)?);
        Ok(())
    }

    /// Answer `/-/healthy` on this port of 127.0.0.1 (0 picks one), whatever the loop does. Returns the port.
    fn serve_health(&self, port: u16) -> PyResult<u16> {
        let (port, server) = serve_health(&self.watchdog, port)?;
        let before = self.server.relock().replace(server);
        if let Some(before) = before {
            before.abort();
        }
        Ok(port)
    }

    #[getter]
    fn healthy(&self) -> bool {
        self.watchdog.is_healthy()
    }

    #[getter]
    fn late_s(&self) -> f64 {
        self.watchdog.late().as_secs_f64()
    }

    fn stop(&self, py: Python<'_>) {
        if let Some(server) = self.server.relock().take() {
            server.abort();
        }
        py.detach(|| self.watchdog.stop());
    }
}

fn requests(given: Requests) -> PyResult<Vec<CancelRequest>> {
    given
        .into_iter()
        .map(|(method, url, headers)| {
            if !(url.starts_with("http://") || url.starts_with("https://")) {
                return Err(PyValueError::new_err(format!("{url:?} is neither http nor https")));
            }
            let headers = headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
            Ok(CancelRequest { method, url, headers })
        })
        .collect()
}

impl Drop for LoopWatchdog {
    fn drop(&mut self) {
        if let Some(server) = self.server.relock().take() {
            server.abort();
        }
        // The thread needs no GIL, so waiting for it here can't lock up.
        self.watchdog.stop();
    }
}
