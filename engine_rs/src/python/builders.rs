//! The caller's constructors, and building its objects with them.

use std::sync::Mutex;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::numbers::{Raws, call};
use crate::sync::Relock;
use crate::wire::{Band, Bar, Dec, Quote, Tick, Trade, TradeId};

/// The constructors that turn parsed ticks into the caller's objects; each is called with positional arguments.
#[pyclass(frozen, module = "runner._engine")]
pub struct Builders {
    quote: Py<PyAny>,
    trade: Py<PyAny>,
    bar: Py<PyAny>,
    trade_id: Py<PyAny>,
    aggressors: [Py<PyAny>; 3],
    revision: Option<Py<PyAny>>,
    band: Option<Py<PyAny>>,
    raws: Mutex<Raws>,
}

#[pymethods]
impl Builders {
    #[new]
    #[pyo3(signature = (*, scale, quote, trade, bar, trade_id, aggressors, revision=None, band=None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        scale: i64,
        quote: Py<PyAny>,
        trade: Py<PyAny>,
        bar: Py<PyAny>,
        trade_id: Py<PyAny>,
        aggressors: (Py<PyAny>, Py<PyAny>, Py<PyAny>),
        revision: Option<Py<PyAny>>,
        band: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let scale = u8::try_from(scale)
            .ok()
            .filter(|scale| *scale <= 18)
            .ok_or_else(|| PyValueError::new_err(format!("scale must be between 0 and 18, not {scale}")))?;
        let (none, buyer, seller) = aggressors;
        let raws = Mutex::new(Raws::new(py, scale)?);
        Ok(Self { quote, trade, bar, trade_id, aggressors: [none, buyer, seller], revision, band, raws })
    }
}

/// What ticks of one symbol are built for: the instrument's id (or the bar type), and its precisions.
pub struct Target {
    pub id: Py<PyAny>,
    pub price: u8,
    pub size: u8,
}

impl Target {
    pub fn copy(&self, py: Python<'_>) -> Self {
        Self { id: self.id.clone_ref(py), price: self.price, size: self.size }
    }

    pub fn new(id: Py<PyAny>, price_precision: i64, size_precision: i64) -> PyResult<Self> {
        Ok(Self {
            id,
            price: precision("price_precision", price_precision)?,
            size: precision("size_precision", size_precision)?,
        })
    }
}

fn precision(name: &str, value: i64) -> PyResult<u8> {
    u8::try_from(value)
        .ok()
        .filter(|value| *value <= 18)
        .ok_or_else(|| PyValueError::new_err(format!("{name} must be between 0 and 18, not {value}")))
}

impl Builders {
    pub fn scale(&self) -> u8 {
        self.raws.relock().scale()
    }

    /// None for a value with more digits than the scale can hold.
    pub fn tick(
        &self,
        py: Python<'_>,
        tick: &Tick,
        target: &Target,
        offset_ns: i64,
        ts_init: Option<i64>,
    ) -> PyResult<Option<Py<PyAny>>> {
        match tick {
            Tick::Quote(quote) => self.quote(py, quote, target, ts_init),
            Tick::Trade(trade) => self.trade(py, trade, target, ts_init),
            Tick::Bar(bar) => self.bar(py, bar, target, offset_ns, ts_init, false),
            Tick::Band(band) => self.band(py, band, target, ts_init),
        }
    }

    #[inline]
    pub fn quote(
        &self,
        py: Python<'_>,
        quote: &Quote,
        target: &Target,
        ts_init: Option<i64>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let mut raws = self.raws.relock();
        let scale = raws.scale();
        let Some([bid, ask, bid_size, ask_size]) = fit([quote.bid, quote.ask, quote.bid_size, quote.ask_size], scale)
        else {
            return Ok(None);
        };
        let price_digits = target.price.max(bid.digits).max(ask.digits).min(scale);
        let size_digits = target.size.max(bid_size.digits).max(ask_size.digits).min(scale);
        let price = raws.precision(py, price_digits);
        let size = raws.precision(py, size_digits);
        let ts = time(py, quote.ts)?;
        let args = [
            target.id.clone_ref(py),
            raws.get(py, bid)?,
            raws.get(py, ask)?,
            price.clone_ref(py),
            price,
            raws.get(py, bid_size)?,
            raws.get(py, ask_size)?,
            size.clone_ref(py),
            size,
            ts.clone_ref(py),
            init(py, ts_init, ts)?,
        ];
        drop(raws);
        call(self.quote.bind(py), &args).map(Some)
    }

    #[inline]
    pub fn trade(
        &self,
        py: Python<'_>,
        trade: &Trade,
        target: &Target,
        ts_init: Option<i64>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let mut raws = self.raws.relock();
        let scale = raws.scale();
        let Some([price, size]) = fit([trade.price, trade.size], scale) else { return Ok(None) };
        let price_digits = raws.precision(py, target.price.max(price.digits).min(scale));
        let size_digits = raws.precision(py, target.size.max(size.digits).min(scale));
        let (price, size) = (raws.get(py, price)?, raws.get(py, size)?);
        drop(raws);
        let id = match &trade.id {
            TradeId::Number(number) => number.to_string(),
            TradeId::Text(text) => text.to_string(),
            // Option trades have no id; the venue's stamp is what tells them apart.
            TradeId::Absent => format!("T{}", trade.ts),
        };
        let id = self.trade_id.bind(py).call1((id,))?.unbind();
        let ts = time(py, trade.ts)?;
        let aggressor = self.aggressors[usize::from(trade.aggressor.min(2))].clone_ref(py);
        let args = [
            target.id.clone_ref(py),
            price,
            price_digits,
            size,
            size_digits,
            aggressor,
            id,
            ts.clone_ref(py),
            init(py, ts_init, ts)?,
        ];
        call(self.trade.bind(py), &args).map(Some)
    }

    /// None where the caller gave no constructor for bands.
    pub fn band(
        &self,
        py: Python<'_>,
        band: &Band,
        target: &Target,
        ts_init: Option<i64>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let Some(build) = &self.band else { return Ok(None) };
        let mut raws = self.raws.relock();
        let scale = raws.scale();
        let Some([upper, lower]) = fit([band.upper, band.lower], scale) else { return Ok(None) };
        let digits = raws.precision(py, target.price.max(upper.digits).max(lower.digits).min(scale));
        let (upper, lower) = (raws.get(py, upper)?, raws.get(py, lower)?);
        drop(raws);
        let letter = |byte: u8| -> PyResult<Py<PyAny>> {
            let text = if byte == 0 { String::new() } else { char::from(byte).to_string() };
            Ok(text.into_pyobject(py)?.into_any().unbind())
        };
        let ts = time(py, band.ts)?;
        let args = [
            target.id.clone_ref(py),
            upper,
            lower,
            digits,
            letter(band.indicator)?,
            letter(band.tape)?,
            ts.clone_ref(py),
            init(py, ts_init, ts)?,
        ];
        call(build.bind(py), &args).map(Some)
    }

    /// `offset_ns` moves the wire's start of the interval to its close. A revised bar is built as any other where the
    /// caller gave no constructor for revisions.
    pub fn bar(
        &self,
        py: Python<'_>,
        bar: &Bar,
        target: &Target,
        offset_ns: i64,
        ts_init: Option<i64>,
        revised: bool,
    ) -> PyResult<Option<Py<PyAny>>> {
        let mut raws = self.raws.relock();
        let scale = raws.scale();
        let Some([open, high, low, close, volume]) = fit([bar.open, bar.high, bar.low, bar.close, bar.volume], scale)
        else {
            return Ok(None);
        };
        let digits = [open, high, low, close].iter().map(|price| price.digits).fold(target.price, u8::max);
        let ts = time(py, bar.ts.saturating_add(offset_ns))?;
        let args = [
            target.id.clone_ref(py),
            raws.get(py, open)?,
            raws.get(py, high)?,
            raws.get(py, low)?,
            raws.get(py, close)?,
            raws.precision(py, digits.min(scale)),
            raws.get(py, volume)?,
            raws.precision(py, target.size.max(volume.digits).min(scale)),
            ts.clone_ref(py),
            init(py, ts_init, ts)?,
        ];
        drop(raws);
        let build = self.revision.as_ref().filter(|_| revised).unwrap_or(&self.bar);
        call(build.bind(py), &args).map(Some)
    }
}

#[inline]
fn fit<const N: usize>(values: [Dec; N], scale: u8) -> Option<[Dec; N]> {
    let mut fitted = [Dec::default(); N];
    for (slot, value) in fitted.iter_mut().zip(values) {
        *slot = value.fit(scale)?;
    }
    Some(fitted)
}

#[inline]
fn time(py: Python<'_>, ns: i64) -> PyResult<Py<PyAny>> {
    Ok(ns.into_pyobject(py)?.into_any().unbind())
}

#[inline]
fn init(py: Python<'_>, ts_init: Option<i64>, ts_event: Py<PyAny>) -> PyResult<Py<PyAny>> {
    match ts_init {
        Some(ns) => time(py, ns),
        None => Ok(ts_event),
    }
}
