//! Databases of an environment, and their entries.

use std::ffi::{CString, c_int, c_uint, c_void};
use std::ptr::{null, null_mut};
use std::slice::from_raw_parts;

use ground::error::{Fault, FaultClass, Result};
use lmdb::sys::{self, MDB_val};

use super::environment::stat_numbers;
use super::transaction::Txn;
use super::{behind, put, val};
use crate::call;

/// Opens a database, or creates it, with LMDB's flags; `name` null is the nameless one. The number is good in this
/// transaction, and in others of this opening once it is committed.
///
/// # Safety
/// `transaction` is from `lumo_lmdb_txn_begin`; `name` points to `len` bytes or is null; `database` and `flags_there` are
/// places for numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_db_open(
    transaction: *mut c_void,
    name: *const u8,
    len: usize,
    flags: u32,
    database: *mut u32,
    flags_there: *mut u32,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let txn = unsafe { behind::<Txn>(transaction) }?;
        let name = match name.is_null() {
            true => None,
            // SAFETY: as the caller promises.
            false => Some(CString::new(unsafe { from_raw_parts(name, len) }).map_err(|_| {
                Fault::new(
                    FaultClass::InvalidArgument,
                    "the name of a database has no NUL; choose another one",
                )
                .with_code(libc::EINVAL)
            })?),
        };
        let address = name.as_ref().map_or(null(), |name| name.as_ptr());
        let (raw, mut dbi, mut kind): (_, c_uint, c_uint) = (txn.get()?, 0, 0);
        // SAFETY: the transaction has not ended; the name is a string or null.
        unsafe {
            txn.env.check(sys::mdb_dbi_open(raw, address, flags, &mut dbi))?;
            txn.env.check(sys::mdb_dbi_flags(raw, dbi, &mut kind))?;
            put(database, dbi)?;
            put(flags_there, kind)
        }
    })
}

/// The numbers of `MDB_stat`, as `lumo_lmdb_env_stat` has them.
///
/// # Safety
/// `transaction` is from `lumo_lmdb_txn_begin`; `numbers` has room for 6.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_db_stat(
    transaction: *mut c_void,
    database: u32,
    numbers: *mut u64,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let txn = unsafe { behind::<Txn>(transaction) }?;
        // SAFETY: the transaction has not ended, and LMDB fills it in; all of it are numbers.
        unsafe {
            let mut stat = std::mem::zeroed();
            txn.env.check(sys::mdb_stat(txn.get()?, database, &mut stat))?;
            put(numbers.cast(), stat_numbers(&stat))
        }
    })
}

/// Removes everything in a database, and with `delete` the database itself, whose number is good for nothing then.
///
/// # Safety
/// `transaction` is from `lumo_lmdb_txn_begin`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_db_drop(transaction: *mut c_void, database: u32, delete: c_int) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let txn = unsafe { behind::<Txn>(transaction) }?;
        // SAFETY: the transaction has not ended.
        Ok(txn.env.check(unsafe { sys::mdb_drop(txn.get()?, database, c_int::from(delete != 0)) })?)
    })
}

/// The value of a key; the first, if there are several. `value` null: there is none. It is where it is in a page, for as long
/// as nothing else is done in the transaction.
///
/// # Safety
/// `transaction` is from `lumo_lmdb_txn_begin`; `key` points to `key_len` bytes; `value` and `value_len` are places for results.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_get(
    transaction: *mut c_void,
    database: u32,
    key: *const u8,
    key_len: usize,
    value: *mut *const u8,
    value_len: *mut usize,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let txn = unsafe { behind::<Txn>(transaction) }?;
        let (mut wanted, mut found) = (val(key, key_len), val(null(), 0));
        // SAFETY: the transaction has not ended; LMDB looks at the key and fills in the value.
        let rc = unsafe { sys::mdb_get(txn.get()?, database, &mut wanted, &mut found) };
        // SAFETY: as the caller promises.
        unsafe { give(there(txn, rc, sys::MDB_NOTFOUND)?.then_some(&found), value, value_len) }
    })
}

/// Puts an entry, with LMDB's flags. `done`: whether it was put; 0 if the flags forbid to put another one in its place.
///
/// # Safety
/// As for [`lumo_lmdb_get`]; `value` points to `value_len` bytes; `done` is a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_put(
    transaction: *mut c_void,
    database: u32,
    key: *const u8,
    key_len: usize,
    value: *const u8,
    value_len: usize,
    flags: u32,
    done: *mut c_int,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let txn = unsafe { behind::<Txn>(transaction) }?;
        let (mut key, mut value) = (val(key, key_len), val(value, value_len));
        // SAFETY: the transaction has not ended; LMDB copies both.
        let rc = unsafe { sys::mdb_put(txn.get()?, database, &mut key, &mut value, flags) };
        // SAFETY: as the caller promises.
        unsafe { put(done, there(txn, rc, sys::MDB_KEYEXIST)?.into()) }
    })
}

/// Removes a key; where a key has several values, the one at `value`, or all if that is null. `done`: whether it was there.
///
/// # Safety
/// As for [`lumo_lmdb_put`]; `value` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_delete(
    transaction: *mut c_void,
    database: u32,
    key: *const u8,
    key_len: usize,
    value: *const u8,
    value_len: usize,
    done: *mut c_int,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let txn = unsafe { behind::<Txn>(transaction) }?;
        let (mut key, mut one) = (val(key, key_len), val(value, value_len));
        let one = if value.is_null() { null_mut() } else { &raw mut one };
        // SAFETY: the transaction has not ended; LMDB looks at both.
        let rc = unsafe { sys::mdb_del(txn.get()?, database, &mut key, one) };
        // SAFETY: as the caller promises.
        unsafe { put(done, there(txn, rc, sys::MDB_NOTFOUND)?.into()) }
    })
}

/// Whether LMDB did it, or said that it could not since `otherwise`.
pub(super) fn there(txn: &Txn, rc: c_int, otherwise: c_int) -> Result<bool> {
    if rc == otherwise {
        return Ok(false);
    }
    txn.env.check(rc)?;
    Ok(true)
}

/// # Safety
/// `start` and `len` are null or places for results.
pub(super) unsafe fn give(found: Option<&MDB_val>, start: *mut *const u8, len: *mut usize) -> Result<()> {
    let (address, size) = match found {
        // An empty value is somewhere, too.
        Some(found) if found.mv_data.is_null() => (std::ptr::dangling(), 0),
        Some(found) => (found.mv_data.cast_const().cast(), found.mv_size),
        None => (null(), 0),
    };
    // SAFETY: as the caller promises.
    unsafe {
        put(start, address)?;
        put(len, size)
    }
}
