//! `AlpacaWebSocketClient`: turns what waits in the ring into calls, when the loop calls `drain`.

use std::collections::VecDeque;
use std::sync::Mutex;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::builders::{Builders, Target};
use super::errors::EngineError;
use super::numbers::call;
use super::{forked, seconds};
use crate::origin::Origin;
use crate::secret::Secret;
use crate::stream::{BarChannel, Codec, Config, Item, Protocol, Stream};
use crate::sync::Relock;

/// What is taken from the ring can't be replaced by anything newer: little at a time.
const TAKEN_AT_ONCE: usize = 32;

#[derive(Default)]
struct Targets {
    ticks: Vec<Option<Target>>,
    bars: Vec<Option<BarTarget>>,
}

/// What bars of one symbol and channel are built for: the type, how far their close is from the wire's start, and
/// whether they come in place of one that was built before.
struct BarTarget {
    target: Target,
    offset_ns: i64,
    revised: bool,
}

/// One stream connection that stays up: authenticates, subscribes, re-subscribes, backs off, watches for silence.
#[pyclass(frozen, module = "runner._engine")]
pub struct AlpacaWebSocketClient {
    stream: Stream,
    /// Taken from the ring and not delivered yet.
    waiting: Mutex<VecDeque<Item>>,
    targets: Mutex<Targets>,
    builders: Mutex<Option<Py<Builders>>>,
    origin: Origin,
}

#[pymethods]
impl AlpacaWebSocketClient {
    #[new]
    #[pyo3(signature = (url, key, secret, *, protocol, codec="json", header_auth=false, connect_timeout_s=10.0, ping_interval_s=10.0,
        silence_timeout_s=30.0, backoff_min_s=0.5, backoff_max_s=30.0, busy_backoff_s=5.0, conflate_above=20_000, spill_above=1_000_000))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        url: String,
        key: String,
        secret: String,
        protocol: &str,
        codec: &str,
        header_auth: bool,
        connect_timeout_s: f64,
        ping_interval_s: f64,
        silence_timeout_s: f64,
        backoff_min_s: f64,
        backoff_max_s: f64,
        busy_backoff_s: f64,
        conflate_above: usize,
        spill_above: usize,
    ) -> PyResult<Self> {
        let protocol = match protocol {
            "market" => Protocol::Market,
            "trading" => Protocol::Trading,
            other => {
                return Err(PyValueError::new_err(format!("protocol must be 'market' or 'trading', not {other:?}")));
            }
        };
        let codec = match codec {
            "json" => Codec::Json,
            "msgpack" => Codec::Msgpack,
            other => return Err(PyValueError::new_err(format!("codec must be 'json' or 'msgpack', not {other:?}"))),
        };
        let config = Config {
            url,
            key: Secret::new(key),
            secret: Secret::new(secret),
            protocol,
            codec,
            header_auth,
            connect_timeout: seconds("connect_timeout_s", connect_timeout_s)?,
            ping_interval: seconds("ping_interval_s", ping_interval_s)?,
            silence_timeout: seconds("silence_timeout_s", silence_timeout_s)?,
            backoff_min: seconds("backoff_min_s", backoff_min_s)?,
            backoff_max: seconds("backoff_max_s", backoff_max_s)?,
            busy_backoff: seconds("busy_backoff_s", busy_backoff_s)?,
            conflate_above,
            spill_above,
        };
        Ok(Self {
            stream: Stream::new(config).map_err(PyValueError::new_err)?,
            waiting: Mutex::default(),
            targets: Mutex::default(),
            builders: Mutex::default(),
            origin: Origin::here(),
        })
    }

    #[getter]
    fn fd(&self) -> i32 {
        self.stream.fd()
    }

    fn start(&self) -> PyResult<()> {
        self.check_origin()?;
        self.stream.start();
        Ok(())
    }

    fn stop(&self) {
        self.stream.stop();
    }

    fn set_builders(&self, builders: Py<Builders>) {
        self.stream.set_scale(builders.get().scale());
        *self.builders.relock() = Some(builders);
    }

    /// Needed before its quotes and trades are delivered; ticks of unmapped symbols are counted and dropped.
    fn map_symbol(
        &self,
        symbol: &str,
        instrument_id: Py<PyAny>,
        price_precision: i64,
        size_precision: i64,
    ) -> PyResult<()> {
        let target = Target::new(instrument_id, price_precision, size_precision)?;
        let number = self.stream.map_symbol(symbol) as usize;
        put(&mut self.targets.relock().ticks, number, Some(target));
        Ok(())
    }

    /// `channel` is bars, updatedBars or dailyBars; ts_event = wire start + close_offset_ns.
    fn map_bar(
        &self,
        channel: &str,
        symbol: &str,
        bar_type: Py<PyAny>,
        price_precision: i64,
        size_precision: i64,
        close_offset_ns: i64,
    ) -> PyResult<()> {
        let target = Target::new(bar_type, price_precision, size_precision)?;
        let channel = bar_channel(channel)?;
        let number = self.stream.map_bar(channel, symbol) as usize;
        let revised = channel == BarChannel::Updated;
        let target = BarTarget { target, offset_ns: close_offset_ns, revised };
        put(&mut self.targets.relock().bars, number, Some(target));
        Ok(())
    }

    fn unmap_bar(&self, channel: &str, symbol: &str) -> PyResult<()> {
        if let Some(number) = self.stream.unmap_bar(bar_channel(channel)?, symbol) {
            put(&mut self.targets.relock().bars, number as usize, None);
        }
        Ok(())
    }

    /// Add to the wanted set; sent as a delta, again in full after every reconnect.
    fn subscribe(&self, channel: &str, symbols: Vec<String>) {
        self.stream.subscribe(channel, symbols);
    }

    fn unsubscribe(&self, channel: &str, symbols: Vec<String>) {
        self.stream.unsubscribe(channel, symbols);
    }

    /// What the server last confirmed.
    fn subscriptions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let confirmed = PyDict::new(py);
        for (channel, symbols) in self.stream.confirmed() {
            confirmed.set_item(channel, symbols.into_iter().collect::<Vec<_>>())?;
        }
        Ok(confirmed)
    }

    /// Deliver up to `limit` items in the order they came; returns how many (fd stays readable while more wait).
    #[pyo3(signature = (sink, on_message, on_state, limit=512))]
    fn drain(
        &self,
        py: Python<'_>,
        sink: Option<&Bound<'_, PyAny>>,
        on_message: &Bound<'_, PyAny>,
        on_state: &Bound<'_, PyAny>,
        limit: usize,
    ) -> PyResult<usize> {
        self.check_origin()?;
        self.stream.clear();
        let mut delivered = 0;
        let mut failure = None;
        // A callback may drain too: each item is taken when its turn has come, and by nobody else.
        while delivered < limit {
            let item = {
                let mut waiting = self.waiting.relock();
                if waiting.is_empty() {
                    self.stream.pop_into(&mut waiting, TAKEN_AT_ONCE.min(limit - delivered));
                }
                waiting.pop_front()
            };
            let Some(item) = item else { break };
            delivered += 1;
            if let Err(error) = self.deliver(py, item, sink, on_message, on_state) {
                failure = Some(error);
                break;
            }
        }
        self.stream.count_delivered(delivered as u64);
        self.stream.raise_if_waiting(!self.waiting.relock().is_empty());
        failure.map_or(Ok(delivered), Err)
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let figures = PyDict::new(py);
        let waiting = self.waiting.relock().len() as u64;
        for (name, value) in self.stream.figures() {
            figures.set_item(name, if name == "backlog" { value + waiting } else { value })?;
        }
        Ok(figures)
    }

    #[getter]
    fn state(&self) -> &'static str {
        self.stream.state()
    }

    fn __repr__(&self) -> String {
        format!("AlpacaWebSocketClient(url={:?}, state={:?})", self.stream.url(), self.stream.state())
    }
}

impl AlpacaWebSocketClient {
    #[inline]
    fn check_origin(&self) -> PyResult<()> {
        if self.origin.is_here() { Ok(()) } else { Err(forked("AlpacaWebSocketClient")) }
    }

    #[inline]
    fn deliver(
        &self,
        py: Python<'_>,
        item: Item,
        sink: Option<&Bound<'_, PyAny>>,
        on_message: &Bound<'_, PyAny>,
        on_state: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let built = match &item {
            Item::State { state, detail } => return on_state.call1((*state, detail)).map(drop),
            Item::Message { kind, json, .. } => return on_message.call1((&**kind, PyBytes::new(py, json))).map(drop),
            _ if sink.is_none() => return Ok(()),
            Item::Quote { symbol, quote, ts_init } => {
                let Some(target) = self.target(py, *symbol) else { return Ok(()) };
                self.builders(py)?.get().quote(py, quote, &target, Some(*ts_init))?
            }
            Item::Trade { symbol, trade, ts_init } => {
                let Some(target) = self.target(py, *symbol) else { return Ok(()) };
                self.builders(py)?.get().trade(py, trade, &target, Some(*ts_init))?
            }
            Item::Bar { slot, bar, ts_init } => {
                let Some(found) = self.bar_target(py, *slot) else { return Ok(()) };
                self.builders(py)?.get().bar(py, bar, &found.target, found.offset_ns, Some(*ts_init), found.revised)?
            }
            Item::Band { symbol, band, ts_init } => {
                let Some(target) = self.target(py, *symbol) else { return Ok(()) };
                self.builders(py)?.get().band(py, band, &target, Some(*ts_init))?
            }
        };
        match (built, sink) {
            (Some(object), Some(sink)) => call(sink, &[object]).map(drop),
            _ => {
                self.stream.count_parse_error();
                Ok(())
            }
        }
    }

    #[inline]
    fn builders(&self, py: Python<'_>) -> PyResult<Py<Builders>> {
        let builders = self.builders.relock().as_ref().map(|builders| builders.clone_ref(py));
        builders.ok_or_else(|| EngineError::new_err("no builders: call set_builders before ticks are drained"))
    }

    #[inline]
    fn target(&self, py: Python<'_>, number: u32) -> Option<Target> {
        let found = self
            .targets
            .relock()
            .ticks
            .get(number as usize)
            .and_then(|slot| slot.as_ref().map(|target| target.copy(py)));
        if found.is_none() {
            self.stream.count_unmapped();
        }
        found
    }

    fn bar_target(&self, py: Python<'_>, number: u32) -> Option<BarTarget> {
        let targets = self.targets.relock();
        let found = targets
            .bars
            .get(number as usize)
            .and_then(|slot| slot.as_ref().map(|found| BarTarget { target: found.target.copy(py), ..*found }));
        if found.is_none() {
            self.stream.count_unmapped();
        }
        found
    }
}

fn put<T>(slots: &mut Vec<Option<T>>, number: usize, value: Option<T>) {
    if slots.len() <= number {
        slots.resize_with(number + 1, || None);
    }
    slots[number] = value;
}

fn bar_channel(channel: &str) -> PyResult<BarChannel> {
    BarChannel::named(channel).ok_or_else(|| {
        PyValueError::new_err(format!("channel must be bars, updatedBars or dailyBars, not {channel:?}"))
    })
}
