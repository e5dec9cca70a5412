//! Version, failure record and counters.

use std::ffi::{CStr, CString, c_char};
use std::panic::catch_unwind;

use super::{ABI_VERSION, owned};
use crypto::nonce;
use ground::failure;
use ground::fork;
use ground::stats::STATS;
use sqlite::vfs::{blame, dialects};
use vault::cache;

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

/// The calling thread's failure record as JSON, if an error of the SQLite `host` with the text `message` may be about it,
/// with what its connection says: `"says"` is `"this"`, `"otherwise"` or `"unknown"`. Null if there is none. Clears it.
///
/// # Safety
/// `message` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_failure_behind(host: u32, message: *const c_char) -> *mut c_char {
    let found = catch_unwind(|| {
        // SAFETY: as the caller promises.
        let message = unsafe { CStr::from_ptr(message) }.to_string_lossy();
        blame::behind(host, &message).map(|(fault, says)| failure::to_json_with(&fault, Some(says)))
    });
    found.ok().flatten().map_or(std::ptr::null_mut(), |json| owned(&json))
}

/// Why the pragma `name`, in lower case, must not pass for one that did something: a misspelt one of ours, or another
/// product's. Null if it is none of these.
///
/// # Safety
/// `name` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_pragma_refusal(name: *const c_char) -> *mut c_char {
    let found = catch_unwind(|| {
        // SAFETY: as the caller promises.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        let ours =
            ["lumo_key", "lumo_change_key", "lumo_rekey", "lumo_cipher", "lumo_status", "lumo_command"];
        (!ours.contains(&&*name)).then(|| dialects::refusal(&name)).flatten()
    });
    found.ok().flatten().map_or(std::ptr::null_mut(), |fault| owned(&fault.message))
}

/// Forgets the calling thread's failure record.
#[unsafe(no_mangle)]
pub extern "C" fn lumo_failure_clear() {
    failure::clear();
}

/// The process's counters as JSON.
#[unsafe(no_mangle)]
pub extern "C" fn lumo_stats() -> *mut c_char {
    fork::watch(nonce::prepare);
    owned(&STATS.to_json(cache::kdf_runs()))
}
