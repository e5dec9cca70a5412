//! The entry point of the run-time loadable extension.

use std::ffi::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use sqlite::library::abi::{SQLITE_ERROR, SQLITE_OK_LOAD_PERMANENTLY, sqlite3};
use sqlite::library::api::Api;
use sqlite::vfs::shim;

/// Called by SQLite when the shared object is loaded as an extension: registers the VFSs in that SQLite.
///
/// # Safety
/// Only SQLite calls this, as `sqlite3_loadext_entry` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_lumocrypt_init(
    _connection: *mut sqlite3,
    error_message: *mut *mut c_char,
    routines: *const c_void,
) -> c_int {
    let served = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: SQLite passes its routines.
        let api = unsafe { Api::from_routines(routines) }?;
        shim::serve(api).inspect_err(|fault| {
            if !error_message.is_null() {
                // SAFETY: SQLite's place for a message in its own memory.
                unsafe { *error_message = api.sqlite_string(&fault.to_string()) };
            }
        })
    }));
    match served {
        // The VFSs point into this object: it must stay loaded when the connection closes.
        Ok(Ok(_)) => SQLITE_OK_LOAD_PERMANENTLY,
        _ => SQLITE_ERROR,
    }
}
