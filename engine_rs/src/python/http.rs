//! `AlpacaHttpClient`: futures of the caller's loop, resolved when the loop calls `dispatch`.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use super::builders::{Builders, Target};
use super::{errors, forked, outcome, seconds};
use crate::http::{Answer, Client, Config, History, Job, Method, Outcome, Read, ReadError};
use crate::origin::Origin;
use crate::secret::Secret;
use crate::sync::Relock;
use crate::wire::Tick;
use crate::wire::history::Rows;

/// A future that waits, with what its answer is to become.
struct Pending {
    future: Py<PyAny>,
    build: Option<Build>,
    command: bool,
}

struct Build {
    builders: Py<Builders>,
    target: Target,
    offset_ns: i64,
}

/// A long history that is being built, a part at each dispatch, so that the loop is not held up.
struct Building {
    pending: Pending,
    ticks: std::vec::IntoIter<Tick>,
    list: Py<PyList>,
}

/// Objects built at one dispatch: about two milliseconds' worth.
const BUILT_AT_ONCE: usize = 4096;

struct Attached {
    event_loop: Py<PyAny>,
    create_future: Py<PyAny>,
}

type Params = Vec<(String, String)>;

/// Keep-alive client for Alpaca's trading and market-data hosts; one account's keys.
#[pyclass(frozen, module = "runner._engine")]
pub struct AlpacaHttpClient {
    client: std::sync::Arc<Client>,
    pending: Mutex<HashMap<u64, Pending>>,
    building: Mutex<VecDeque<Building>>,
    attached: Mutex<Option<Attached>>,
    next_id: AtomicU64,
    closed: std::sync::atomic::AtomicBool,
    hosts: (String, String),
    origin: Origin,
}

#[pymethods]
impl AlpacaHttpClient {
    #[new]
    #[pyo3(signature = (key, secret, *, trading_url, data_url, timeout_s=10.0, connect_timeout_s=5.0, pool_size=8,
        trading_per_min=200, data_per_min=200, reserve=0.2, read_retries=3, retry_delay_s=0.5, serial=false))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        key: String,
        secret: String,
        trading_url: String,
        data_url: String,
        timeout_s: f64,
        connect_timeout_s: f64,
        pool_size: usize,
        trading_per_min: u32,
        data_per_min: u32,
        reserve: f64,
        read_retries: u32,
        retry_delay_s: f64,
        serial: bool,
    ) -> PyResult<Self> {
        let hosts = (trading_url.clone(), data_url.clone());
        let config = Config {
            key: Secret::new(key),
            secret: Secret::new(secret),
            trading_url,
            data_url,
            timeout: seconds("timeout_s", timeout_s)?,
            connect_timeout: seconds("connect_timeout_s", connect_timeout_s)?,
            pool_size,
            trading_per_min,
            data_per_min,
            reserve,
            read_retries,
            retry_delay: seconds("retry_delay_s", retry_delay_s)?,
            serial,
        };
        Ok(Self {
            client: Client::new(config).map_err(PyValueError::new_err)?,
            pending: Mutex::default(),
            building: Mutex::default(),
            attached: Mutex::default(),
            next_id: AtomicU64::new(1),
            closed: false.into(),
            hosts,
            origin: Origin::here(),
        })
    }

    #[getter]
    fn fd(&self) -> i32 {
        self.client.notify.fd()
    }

    /// Resolve futures on `loop` from now on (adds a reader for `fd`). Call from the loop's thread.
    #[pyo3(signature = (r#loop))]
    fn attach(slf: &Bound<'_, Self>, r#loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let this = slf.get();
        this.check_open()?;
        this.detach(slf.py())?;
        r#loop.call_method1("add_reader", (this.fd(), slf.getattr("dispatch")?))?;
        *this.attached.relock() = Some(Attached {
            event_loop: r#loop.clone().unbind(),
            create_future: r#loop.getattr("create_future")?.unbind(),
        });
        Ok(())
    }

    /// From now on a connection stands open for the next command.
    fn keep_open(&self) -> PyResult<()> {
        self.check_open()?;
        self.client.keep_open();
        Ok(())
    }

    fn detach(&self, py: Python<'_>) -> PyResult<()> {
        let attached = self.attached.relock().take();
        if let Some(attached) = attached {
            let event_loop = attached.event_loop.bind(py);
            if !event_loop.call_method0("is_closed")?.is_truthy()? {
                event_loop.call_method1("remove_reader", (self.fd(),))?;
            }
        }
        Ok(())
    }

    /// Resolve the futures whose replies are here; returns how many.
    fn dispatch(&self, py: Python<'_>) -> PyResult<usize> {
        if !self.origin.is_here() {
            return Err(forked("AlpacaHttpClient"));
        }
        let mut resolved = 0;
        for (id, answer) in self.client.take_done() {
            let pending = self.pending.relock().remove(&id);
            match (pending, answer) {
                (Some(pending), Answer::Ticks(Ok(ticks))) => {
                    let list = PyList::empty(py).unbind();
                    self.building.relock().push_back(Building { pending, ticks: ticks.into_iter(), list });
                }
                (Some(pending), answer) => resolved += usize::from(settle(py, &pending, conclude(py, answer))?),
                (None, _) => {}
            }
        }
        resolved += self.build_some(py)?;
        Ok(resolved)
    }

    /// One read. Raises (through the future) HttpError or Unavailable. `data` picks the market-data host.
    #[pyo3(signature = (path, params=Vec::new(), *, data=false))]
    fn get(&self, py: Python<'_>, path: String, params: Params, data: bool) -> PyResult<Py<PyAny>> {
        self.submit(py, Job::Read(Read { path, params, data }), None)
    }

    fn post(&self, py: Python<'_>, path: String, body: &[u8]) -> PyResult<Py<PyAny>> {
        self.command(py, Method::Post, path, Vec::new(), Some(body))
    }

    fn patch(&self, py: Python<'_>, path: String, body: &[u8]) -> PyResult<Py<PyAny>> {
        self.command(py, Method::Patch, path, Vec::new(), Some(body))
    }

    #[pyo3(signature = (path, params=Vec::new()))]
    fn delete(&self, py: Python<'_>, path: String, params: Params) -> PyResult<Py<PyAny>> {
        self.command(py, Method::Delete, path, params, None)
    }

    /// All pages of a history of quotes, oldest first, built by `builders.quote`. `limit` 0 is all. ts_init = ts_event.
    #[pyo3(signature = (path, params, symbol, instrument_id, price_precision, size_precision, builders, limit=0))]
    #[allow(clippy::too_many_arguments)]
    fn request_quotes(
        &self,
        py: Python<'_>,
        path: String,
        params: Params,
        symbol: String,
        instrument_id: Py<PyAny>,
        price_precision: i64,
        size_precision: i64,
        builders: Py<Builders>,
        limit: usize,
    ) -> PyResult<Py<PyAny>> {
        let target = Target::new(instrument_id, price_precision, size_precision)?;
        self.history(py, Rows::Quotes, path, params, symbol, limit, Build { builders, target, offset_ns: 0 })
    }

    #[pyo3(signature = (path, params, symbol, instrument_id, price_precision, size_precision, builders, limit=0))]
    #[allow(clippy::too_many_arguments)]
    fn request_trades(
        &self,
        py: Python<'_>,
        path: String,
        params: Params,
        symbol: String,
        instrument_id: Py<PyAny>,
        price_precision: i64,
        size_precision: i64,
        builders: Py<Builders>,
        limit: usize,
    ) -> PyResult<Py<PyAny>> {
        let target = Target::new(instrument_id, price_precision, size_precision)?;
        self.history(py, Rows::Trades, path, params, symbol, limit, Build { builders, target, offset_ns: 0 })
    }

    #[pyo3(signature = (path, params, symbol, bar_type, price_precision, size_precision, close_offset_ns, builders, limit=0))]
    #[allow(clippy::too_many_arguments)]
    fn request_bars(
        &self,
        py: Python<'_>,
        path: String,
        params: Params,
        symbol: String,
        bar_type: Py<PyAny>,
        price_precision: i64,
        size_precision: i64,
        close_offset_ns: i64,
        builders: Py<Builders>,
        limit: usize,
    ) -> PyResult<Py<PyAny>> {
        let target = Target::new(bar_type, price_precision, size_precision)?;
        self.history(
            py,
            Rows::Bars,
            path,
            params,
            symbol,
            limit,
            Build { builders, target, offset_ns: close_offset_ns },
        )
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (rate_limit, rate_remaining) = self.client.figures();
        let stats = &self.client.stats;
        let figures = PyDict::new(py);
        for (name, value) in [
            ("requests", &stats.requests),
            ("replies", &stats.replies),
            ("retries", &stats.retries),
            ("throttled", &stats.throttled),
            ("unknown", &stats.unknown),
            ("in_flight", &stats.in_flight),
            ("last_latency_ns", &stats.last_latency_ns),
        ] {
            figures.set_item(name, value.load(Ordering::Relaxed))?;
        }
        figures.set_item("rate_limit", rate_limit)?;
        figures.set_item("rate_remaining", rate_remaining)?;
        Ok(figures)
    }

    /// Stop; what is still in flight resolves to Unknown or Unavailable.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.closed.swap(true, Ordering::SeqCst) || !self.origin.is_here() {
            return Ok(());
        }
        self.client.close();
        let alive = match &*self.attached.relock() {
            Some(attached) => !attached.event_loop.bind(py).call_method0("is_closed")?.is_truthy()?,
            None => false,
        };
        if alive {
            self.dispatch(py)?;
        }
        let mut left: Vec<Pending> = self.pending.relock().drain().map(|(_, pending)| pending).collect();
        left.extend(self.building.relock().drain(..).map(|building| building.pending));
        for pending in left.iter().filter(|_| alive) {
            let reason = "the client was closed";
            let answer = if pending.command {
                Answer::Outcome(Outcome::unknown(reason, true))
            } else {
                Answer::Body(Err(ReadError::unavailable(reason)))
            };
            settle(py, pending, conclude(py, answer))?;
        }
        self.detach(py)
    }

    fn __repr__(&self) -> String {
        format!("AlpacaHttpClient(trading_url={:?}, data_url={:?})", self.hosts.0, self.hosts.1)
    }
}

impl AlpacaHttpClient {
    fn check_open(&self) -> PyResult<()> {
        if !self.origin.is_here() {
            return Err(forked("AlpacaHttpClient"));
        }
        if self.closed.load(Ordering::SeqCst) {
            return Err(PyRuntimeError::new_err("this AlpacaHttpClient is closed"));
        }
        Ok(())
    }

    /// Go on with the history that is next; the descriptor stays readable while more is to be built.
    fn build_some(&self, py: Python<'_>) -> PyResult<usize> {
        let Some(mut building) = self.building.relock().pop_front() else { return Ok(0) };
        let mut resolved = 0;
        if !is_done(building.pending.future.bind(py))? {
            match building.advance(py, BUILT_AT_ONCE) {
                Ok(false) => self.building.relock().push_front(building),
                Ok(true) => {
                    let list = building.list.clone_ref(py).into_any();
                    resolved = usize::from(settle(py, &building.pending, Ok(list))?);
                }
                Err(error) => resolved = usize::from(settle(py, &building.pending, Err(error))?),
            }
        }
        if !self.building.relock().is_empty() {
            self.client.notify.raise();
        }
        Ok(resolved)
    }

    fn submit(&self, py: Python<'_>, job: Job, build: Option<Build>) -> PyResult<Py<PyAny>> {
        self.check_open()?;
        let create_future = self.attached.relock().as_ref().map(|attached| attached.create_future.clone_ref(py));
        let Some(create_future) = create_future else {
            return Err(PyRuntimeError::new_err("no event loop: call attach(loop) before the first request"));
        };
        let future = create_future.call0(py)?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let command = matches!(job, Job::Command { .. });
        self.pending.relock().insert(id, Pending { future: future.clone_ref(py), build, command });
        self.client.submit(id, job);
        Ok(future)
    }

    fn command(
        &self,
        py: Python<'_>,
        method: Method,
        path: String,
        params: Params,
        body: Option<&[u8]>,
    ) -> PyResult<Py<PyAny>> {
        let body = body.map(bytes::Bytes::copy_from_slice);
        self.submit(py, Job::Command { method, path, params, body }, None)
    }

    #[allow(clippy::too_many_arguments)]
    fn history(
        &self,
        py: Python<'_>,
        rows: Rows,
        path: String,
        params: Params,
        symbol: String,
        limit: usize,
        build: Build,
    ) -> PyResult<Py<PyAny>> {
        let read = Read { path, params, data: true };
        self.submit(py, Job::History(History { rows, read, symbol, limit }), Some(build))
    }
}

/// What a future is resolved with.
fn conclude(py: Python<'_>, answer: Answer) -> PyResult<Py<PyAny>> {
    match answer {
        Answer::Body(Ok(body)) => Ok(PyBytes::new(py, &body).into_any().unbind()),
        Answer::Outcome(outcome) => outcome::into_py(py, outcome),
        Answer::Body(Err(error)) | Answer::Ticks(Err(error)) => Err(errors::from_read(py, error)),
        Answer::Ticks(Ok(_)) => Err(errors::EngineError::new_err("a history is built, not concluded")),
    }
}

/// Resolve one future, unless nobody waits for it any more.
fn settle(py: Python<'_>, pending: &Pending, result: PyResult<Py<PyAny>>) -> PyResult<bool> {
    let future = pending.future.bind(py);
    if is_done(future)? {
        return Ok(false);
    }
    match result {
        Ok(value) => future.call_method1("set_result", (value,))?,
        Err(error) => future.call_method1("set_exception", (error.into_value(py),))?,
    };
    Ok(true)
}

fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    future.call_method0("done")?.is_truthy()
}

impl Building {
    /// Build up to `limit` objects; true once all are there.
    fn advance(&mut self, py: Python<'_>, limit: usize) -> PyResult<bool> {
        let Some(build) = &self.pending.build else {
            return Err(errors::EngineError::new_err("a history without builders"));
        };
        let builders = build.builders.get();
        let list = self.list.bind(py);
        for tick in self.ticks.by_ref().take(limit) {
            let object = builders.tick(py, &tick, &build.target, build.offset_ns, None)?;
            let object = object.ok_or_else(|| {
                errors::EngineError::new_err(format!("{tick:?} has more digits than the scale holds"))
            })?;
            list.append(object)?;
        }
        Ok(self.ticks.len() == 0)
    }
}
