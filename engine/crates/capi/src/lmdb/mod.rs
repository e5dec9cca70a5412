//! Encrypted LMDB environments, for bindings that keep transactions and cursors in objects (docs/reference/c-abi.md, "LMDB").
//!
//! An environment, a transaction and a cursor are addresses. Whoever has them sees to it that a cursor is closed before its
//! transaction ends, and that one thread at a time uses a transaction with its cursors. An environment is another matter: any
//! thread may use it, and it stays open as long as one of its transactions is there.

use std::ffi::c_void;

use ground::error::{Fault, FaultClass, Result};
use lmdb::sys::MDB_val;

pub mod copy;
pub mod cursor;
pub mod database;
pub mod environment;
mod settings;
pub mod transaction;

/// What is behind an address that a caller got from here.
///
/// # Safety
/// `address` is null, or from the function that makes a `T`, and was not given back.
unsafe fn behind<'a, T>(address: *mut c_void) -> Result<&'a T> {
    // SAFETY: as the caller promises.
    unsafe { address.cast::<T>().as_ref() }.ok_or_else(null)
}

fn null() -> Fault {
    Fault::new(FaultClass::InvalidArgument, "a required argument is null")
}

/// Writes a result where the caller wants it.
///
/// # Safety
/// `place` is null or a place for a `T`.
unsafe fn put<T>(place: *mut T, value: T) -> Result<()> {
    if place.is_null() {
        return Err(null());
    }
    // SAFETY: as the caller promises.
    unsafe { place.write(value) };
    Ok(())
}

/// A caller's bytes, as LMDB takes them.
fn val(start: *const u8, len: usize) -> MDB_val {
    MDB_val { mv_size: len, mv_data: start.cast_mut().cast() }
}
