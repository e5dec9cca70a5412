//! Bytes of callers and for callers.

use lumo_lmdb::sys::MDB_val;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

/// Bytes of an object that has some, kept as long as this.
pub enum Given<'py> {
    /// Those of `bytes`, which nobody changes.
    Bytes(&'py [u8]),
    /// Those of anything else, copied: its owner may change them.
    Copied(Vec<u8>),
}

impl<'py> Given<'py> {
    /// The bytes of an object.
    pub fn of(object: &'py Bound<'_, PyAny>) -> PyResult<Given<'py>> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Given::Bytes(bytes.as_bytes()));
        }
        match PyBuffer::<u8>::get(object) {
            Ok(buffer) => Ok(Given::Copied(buffer.to_vec(object.py())?)),
            Err(_) => Err(PyTypeError::new_err(format!("bytes are expected, not {}", object.get_type()))),
        }
    }

    /// As LMDB takes them.
    pub fn val(&self) -> MDB_val {
        let bytes = match self {
            Given::Bytes(bytes) => *bytes,
            Given::Copied(bytes) => bytes,
        };
        MDB_val { mv_size: bytes.len(), mv_data: bytes.as_ptr().cast_mut().cast() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.val().mv_size == 0
    }
}

/// An empty value, to be filled in.
pub fn empty() -> MDB_val {
    MDB_val { mv_size: 0, mv_data: std::ptr::null_mut() }
}

/// The bytes of a value of LMDB's: a copy, since pages come and go.
///
/// # Safety
/// The value is there.
pub unsafe fn copy<'py>(py: Python<'py>, value: &MDB_val) -> Bound<'py, PyBytes> {
    let bytes = match value.mv_size {
        0 => &[][..],
        // SAFETY: The caller's promise.
        size => unsafe { std::slice::from_raw_parts(value.mv_data.cast::<u8>(), size) },
    };
    PyBytes::new(py, bytes)
}

/// What a caller gets who asked for buffers, or did not. This may run code of anybody's.
pub fn wrap<'py>(bytes: Bound<'py, PyBytes>, buffers: bool) -> PyResult<Bound<'py, PyAny>> {
    if buffers { Ok(PyMemoryView::from(bytes.as_any())?.into_any()) } else { Ok(bytes.into_any()) }
}

/// Both.
///
/// # Safety
/// The value is there.
pub unsafe fn give<'py>(py: Python<'py>, value: &MDB_val, buffers: bool) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: The caller's promise.
    wrap(unsafe { copy(py, value) }, buffers)
}
