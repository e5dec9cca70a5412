//! The C ABI (docs/reference/c-abi.md): what the Python package calls, and SQLite's entry point.

use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crypto::nonce;
use ground::error::{Fault, FaultClass, Result};
use ground::failure;
use ground::fork;
use ground::paths;

pub mod bench;
pub mod commands;
pub mod environment;
pub mod extension;
pub mod files;
pub mod gosqlite;
pub mod header;
pub mod image;
mod input;
pub mod keys;
pub mod lmdb;
pub mod python;
pub mod registration;
pub mod report;
pub mod stream;
pub mod transcode;
pub mod work;

/// The version of this ABI. It changes with every incompatible change of a function or of its JSON.
pub const ABI_VERSION: u32 = 3;

/// Runs the body of an exported function: a fault becomes the thread's record and its class, and nothing
/// unwinds into C.
pub(crate) fn call(body: impl FnOnce() -> Result<()>) -> c_int {
    fork::watch(nonce::prepare);
    failure::clear();
    let fault = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return 0,
        Ok(Err(fault)) => fault,
        Err(_) => Fault::new(FaultClass::Internal, "an internal error in lumocrypt; please report it"),
    };
    let class = fault.class as c_int;
    failure::record(fault);
    class
}

/// A string argument.
///
/// # Safety
/// `text` is null or a NUL-terminated string that outlives the result.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(text) }
        .to_str()
        .map(Some)
        .map_err(|_| Fault::new(FaultClass::InvalidArgument, "an argument is not valid UTF-8"))
}

/// A string argument that must be there.
///
/// # Safety
/// As for [`text`].
pub(crate) unsafe fn required<'a>(argument: *const c_char) -> Result<&'a str> {
    // SAFETY: as the caller promises.
    unsafe { text(argument) }?
        .ok_or_else(|| Fault::new(FaultClass::InvalidArgument, "a required argument is null"))
}

/// The name of a file that must be there: any bytes.
///
/// # Safety
/// As for [`text`].
pub(crate) unsafe fn file_name<'a>(argument: *const c_char) -> Result<&'a Path> {
    // SAFETY: as the caller promises.
    unsafe { optional_file_name(argument) }
        .ok_or_else(|| Fault::new(FaultClass::InvalidArgument, "a required argument is null"))
}

/// The name of a file, or none.
///
/// # Safety
/// As for [`text`].
pub(crate) unsafe fn optional_file_name<'a>(argument: *const c_char) -> Option<&'a Path> {
    // SAFETY: as the caller promises.
    (!argument.is_null()).then(|| paths::from_c(unsafe { CStr::from_ptr(argument) }))
}

/// Hands a string to the caller, who frees it with `lumo_string_free`.
///
/// # Safety
/// `out` is null or a place for a pointer.
pub(crate) unsafe fn give(out: *mut *mut c_char, value: &str) -> Result<()> {
    if !out.is_null() {
        // SAFETY: as the caller promises.
        unsafe { *out = owned(value) };
    }
    Ok(())
}

/// A string that the caller frees.
pub(crate) fn owned(value: &str) -> *mut c_char {
    CString::new(value.replace('\0', "\u{fffd}")).unwrap_or_default().into_raw()
}
