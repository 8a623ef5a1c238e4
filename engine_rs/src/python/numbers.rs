//! Scaled integers as Python objects, cheaply: most of a drain's time is making them.

use pyo3::prelude::*;
use pyo3::types::PyInt;

use crate::wire::Dec;

/// A Python int: 64 bits are read in one step, which the stable ABI does not do for 128.
#[derive(Clone, Copy, Debug)]
pub struct Int(pub i128);

impl<'py> FromPyObject<'_, 'py> for Int {
    type Error = PyErr;

    #[inline]
    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let number = object.cast::<PyInt>()?;
        let mut overflow = 0;
        // SAFETY: the GIL is held and the object is an int, so there is no error besides the overflow.
        let value = unsafe { pyo3::ffi::PyLong_AsLongLongAndOverflow(number.as_ptr(), &raw mut overflow) };
        if overflow == 0 { Ok(Self(i128::from(value))) } else { number.extract().map(Self) }
    }
}

/// Turns decimals into Python ints at one scale. Raw values exceed 64 bits, which the stable ABI makes slowly, so they
/// are a product of two small ints; and those that come again and again (sizes, prices near the market) are kept.
pub struct Raws {
    scale: u8,
    powers: Vec<Py<PyAny>>,
    kept: Vec<Option<(Dec, Py<PyAny>)>>,
    small: Vec<Py<PyAny>>,
}

const KEPT: usize = 4096;

impl Raws {
    pub fn new(py: Python<'_>, scale: u8) -> PyResult<Self> {
        let powers = (0..=u32::from(scale))
            .map(|power| Ok(10_i128.pow(power).into_pyobject(py)?.into_any().unbind()))
            .collect::<PyResult<Vec<_>>>()?;
        let small = (0..=scale).map(|digits| Ok(digits.into_pyobject(py)?.into_any().unbind()));
        Ok(Self { scale, powers, kept: (0..KEPT).map(|_| None).collect(), small: small.collect::<PyResult<Vec<_>>>()? })
    }

    pub fn scale(&self) -> u8 {
        self.scale
    }

    /// `value` must fit the scale already.
    #[inline]
    pub fn get(&mut self, py: Python<'_>, value: Dec) -> PyResult<Py<PyAny>> {
        let hash = (value.mantissa as u64 ^ u64::from(value.digits) << 57).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let slot = &mut self.kept[(hash >> 52) as usize % KEPT];
        if let Some((kept, object)) = slot
            && *kept == value
        {
            return Ok(object.clone_ref(py));
        }
        let mantissa = value.mantissa.into_pyobject(py)?;
        let raw = multiply(&mantissa, &self.powers[usize::from(self.scale - value.digits)])?;
        *slot = Some((value, raw.clone_ref(py)));
        Ok(raw)
    }

    /// A precision as a Python int.
    #[inline]
    pub fn precision(&self, py: Python<'_>, digits: u8) -> Py<PyAny> {
        self.small[usize::from(digits)].clone_ref(py)
    }
}

fn multiply(mantissa: &Bound<'_, PyInt>, power: &Py<PyAny>) -> PyResult<Py<PyAny>> {
    Ok(mantissa.as_any().mul(power)?.unbind())
}

/// Call with positional arguments through the vectorcall protocol, without a tuple in between.
#[inline]
pub fn call<const N: usize>(callable: &Bound<'_, PyAny>, args: &[Py<PyAny>; N]) -> PyResult<Py<PyAny>> {
    let py = callable.py();
    let mut pointers = [std::ptr::null_mut(); N];
    for (pointer, arg) in pointers.iter_mut().zip(args) {
        *pointer = arg.as_ptr();
    }
    // SAFETY: the GIL is held, the arguments are alive for the call, and a new reference or an error comes back.
    unsafe {
        let result = pyo3::ffi::PyObject_Vectorcall(callable.as_ptr(), pointers.as_ptr(), N, std::ptr::null_mut());
        Ok(Bound::from_owned_ptr_or_err(py, result)?.unbind())
    }
}
