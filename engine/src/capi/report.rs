//! Version, failure record and counters.

use std::ffi::{CString, c_char};

use super::{ABI_VERSION, owned};
use crate::failure;
use crate::fork;
use crate::stats::STATS;

/// The version of the ABI.
#[unsafe(no_mangle)]
pub extern "C" fn lumo_abi_version() -> u32 {
    ABI_VERSION
}

/// Frees a string that a function of this library returned.
///
/// # Safety
/// `text` is null or such a string, not freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_string_free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: as the caller promises.
        drop(unsafe { CString::from_raw(text) });
    }
}

/// The calling thread's failure record as JSON, or null; clears it.
#[unsafe(no_mangle)]
pub extern "C" fn lumo_failure_take() -> *mut c_char {
    failure::take().map_or(std::ptr::null_mut(), |fault| owned(&failure::to_json(&fault)))
}

/// Forgets the calling thread's failure record.
#[unsafe(no_mangle)]
pub extern "C" fn lumo_failure_clear() {
    failure::clear();
}

/// The process's counters as JSON.
#[unsafe(no_mangle)]
pub extern "C" fn lumo_stats() -> *mut c_char {
    fork::watch();
    owned(&STATS.to_json())
}
