//! Payloads: borrowed on the way out, shared on the way in.

use std::ffi::{c_int, c_void};

use bytes::Bytes;
use pyo3::{
    buffer::PyBuffer,
    exceptions::PyTypeError,
    ffi,
    prelude::*,
    pybacked::PyBackedBytes,
    types::{PyBytes, PyString},
};

/// Received bytes, not copied: a read-only buffer. `bytes(payload)` copies them, and
/// `memoryview(payload)` looks at them.
///
/// ```python
/// >>> answer = await connection.request(b"hello", view=True)
/// >>> bytes(memoryview(answer)[:5])
/// b'hello'
///
/// ```
#[pyclass(frozen, module = "netcom._native")]
pub(crate) struct Payload(pub(crate) Bytes);

/// The bytes of an object. `bytes` are borrowed until the peer has them; what can be changed is
/// copied.
pub(crate) fn outgoing(payload: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(bytes) = payload.cast_exact::<PyBytes>() {
        let length = bytes.as_bytes().len();
        if length < BORROW_FROM {
            return Ok(Bytes::copy_from_slice(bytes.as_bytes()));
        }
        return Ok(Bytes::from_owner(PyBackedBytes::from(bytes.clone())));
    }
    if let Ok(payload) = payload.cast_exact::<Payload>() {
        return Ok(payload.get().0.clone());
    }
    if payload.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err(
            "text has no bytes by itself: encode it, as by .encode()",
        ));
    }
    let buffer = PyBuffer::<u8>::get(payload).map_err(|_| {
        let kind = payload.get_type();
        PyTypeError::new_err(format!("bytes or a buffer of bytes is needed, not {kind}"))
    })?;
    Ok(Bytes::from(buffer.to_vec(payload.py())?))
}

/// Received bytes as `bytes`, or as they are.
pub(crate) fn incoming(py: Python<'_>, bytes: Bytes, is_view: bool) -> PyResult<Py<PyAny>> {
    if is_view {
        Ok(Py::new(py, Payload(bytes))?.into_any())
    } else {
        Ok(PyBytes::new(py, &bytes).into_any().unbind())
    }
}

#[expect(unsafe_code, reason = "Python's buffer protocol hands out pointers")]
#[pymethods]
impl Payload {
    unsafe fn __getbuffer__(
        slf: &Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let bytes = &slf.get().0;
        let length = ffi::Py_ssize_t::try_from(bytes.len())?;
        let start = bytes.as_ptr().cast::<c_void>().cast_mut();
        // SAFETY: the caller gives a view to fill. The bytes are never moved or changed while
        // `slf` lives, to which the filled view holds a reference, and they are marked read-only.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, length, 1, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        if let Ok(other) = other.cast::<Self>() {
            return self.0 == other.get().0;
        }
        other.cast::<PyBytes>().is_ok_and(|other| self.0 == other.as_bytes())
    }

    /// The same as that of the `bytes` it is equal to.
    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        PyBytes::new(py, &self.0).hash()
    }

    fn __repr__(&self) -> String {
        format!("<netcom.Payload of {} bytes>", self.0.len())
    }
}

/// Shorter payloads are copied: that costs less than giving them back.
const BORROW_FROM: usize = 1024;
