//! Calls of an open file of a SQLite library.

use std::ffi::{c_int, c_void};

use crate::library::abi::*;
use ground::error::{Fault, FaultClass, Result};
use ground::locks;
use storage::LONGEST_TRANSFER;

/// A failure below us: SQLite knows how to report its own codes.
pub fn check(code: c_int, what: &str) -> Result<()> {
    if code == SQLITE_OK {
        return Ok(());
    }
    let class = if code & 0xff == SQLITE_NOMEM { FaultClass::NoMemory } else { FaultClass::Io };
    Err(Fault::new(class, format!("{what} failed with SQLite result code {code}")).with_code(code))
}

/// SQLite's calls take lengths as `int`; none of ours comes near its limit.
pub fn length(len: usize) -> c_int {
    c_int::try_from(len).unwrap_or(c_int::MAX)
}

/// Writes all of `data` to `file` at `offset`.
///
/// # Safety
/// `file` is open, and no other thread uses it.
pub unsafe fn write(file: *mut sqlite3_file, data: &[u8], offset: u64) -> Result<()> {
    locks::calls_out();
    // SAFETY: an open file has methods (sqlite3.h, sqlite3_file).
    let Some(write) = (unsafe { (*(*file).methods).write }) else { return check(SQLITE_IOERR, "writing") };
    let mut at = offset;
    for part in data.chunks(LONGEST_TRANSFER) {
        // SAFETY: an open file and a buffer of that length.
        let code = unsafe { write(file, part.as_ptr().cast(), length(part.len()), at as i64) };
        check(code, "writing")?;
        at += part.len() as u64;
    }
    Ok(())
}

/// Passes a file control down.
///
/// # Safety
/// `file` is open; `argument` is what SQLite defines for `operation`.
pub unsafe fn control(file: *mut sqlite3_file, operation: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: an open file has methods (sqlite3.h, sqlite3_file).
    match unsafe { (*(*file).methods).file_control } {
        // SAFETY: as the caller promises.
        Some(control) => unsafe { control(file, operation, argument) },
        None => SQLITE_NOTFOUND,
    }
}

/// Does the file still have the name by which it was opened? SQLite's VFS compares the inodes.
///
/// # Safety
/// `file` is open.
pub unsafe fn has_its_name(file: *mut sqlite3_file) -> bool {
    let mut moved: c_int = 0;
    // SAFETY: the file control takes a pointer to an int.
    let code = unsafe { control(file, SQLITE_FCNTL_HAS_MOVED, (&raw mut moved).cast()) };
    code == SQLITE_OK && moved == 0
}
