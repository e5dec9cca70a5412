//! Cursors.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use ground::error::Result;
use lmdb::sys;

use super::database::{give, there};
use super::transaction::Txn;
use super::{behind, put, val};
use crate::call;

/// A cursor that is open, in a transaction that has not ended.
struct Cursor {
    cursor: *mut sys::MDB_cursor,
    txn: *const Txn,
}

impl Cursor {
    fn txn(&self) -> &Txn {
        // SAFETY: the transaction ends after its cursors, as its caller promises.
        unsafe { &*self.txn }
    }

    fn get(&self) -> Result<*mut sys::MDB_cursor> {
        self.txn().get()?;
        Ok(self.cursor)
    }
}

/// Opens a cursor on a database.
///
/// # Safety
/// `transaction` is from `lumo_lmdb_txn_begin`, and ends after the cursor; `cursor` is null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_cursor_open(
    transaction: *mut c_void,
    database: u32,
    cursor: *mut *mut c_void,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let txn = unsafe { behind::<Txn>(transaction) }?;
        let mut opened = null_mut();
        // SAFETY: the transaction has not ended.
        txn.env.check(unsafe { sys::mdb_cursor_open(txn.get()?, database, &mut opened) })?;
        // SAFETY: as the caller promises.
        unsafe { put(cursor, Box::into_raw(Box::new(Cursor { cursor: opened, txn })).cast()) }
    })
}

/// Closes a cursor.
///
/// # Safety
/// `cursor` is null or from [`lumo_lmdb_cursor_open`], and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_cursor_close(cursor: *mut c_void) {
    if cursor.is_null() {
        return;
    }
    // Closing cannot panic; if it did, there would be nobody to tell.
    let _ = std::panic::catch_unwind(|| {
        // SAFETY: made by Box::into_raw, and given back once.
        let closed = unsafe { Box::from_raw(cursor.cast::<Cursor>()) };
        if closed.get().is_ok() {
            // SAFETY: it is open, and so is its transaction.
            unsafe { sys::mdb_cursor_close(closed.cursor) };
        }
    });
}

/// Goes where LMDB's `operation` says, to the key and the value that are given, if it needs them. `found`: whether it is
/// anywhere then; and key and value are where they are in a page, for as long as the cursor stays and nothing is written. Either
/// may be null if the operation does not say.
///
/// # Safety
/// `cursor` is from [`lumo_lmdb_cursor_open`]; `key` and `value` point to as many bytes as said or are null with 0, and all
/// places are there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_cursor_get(
    cursor: *mut c_void,
    operation: u32,
    key: *mut *const u8,
    key_len: *mut usize,
    value: *mut *const u8,
    value_len: *mut usize,
    found: *mut c_int,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let cursor = unsafe { behind::<Cursor>(cursor) }?;
        if [key.is_null(), key_len.is_null(), value.is_null(), value_len.is_null()].contains(&true) {
            return Err(super::null());
        }
        // SAFETY: as the caller promises.
        let (mut one, mut other) = unsafe { (val(*key, *key_len), val(*value, *value_len)) };
        // SAFETY: cursor and transaction are there.
        let rc = unsafe { sys::mdb_cursor_get(cursor.get()?, &mut one, &mut other, operation) };
        // LMDB's answer to a cursor that is nowhere.
        let nowhere = if operation == sys::MDB_GET_CURRENT { libc::EINVAL } else { sys::MDB_NOTFOUND };
        let is_there = rc != nowhere && there(cursor.txn(), rc, sys::MDB_NOTFOUND)?;
        // SAFETY: as the caller promises.
        unsafe {
            give(is_there.then_some(&one), key, key_len)?;
            give(is_there.then_some(&other), value, value_len)?;
            put(found, is_there.into())
        }
    })
}

/// Puts an entry and goes there, as `lumo_lmdb_put`.
///
/// # Safety
/// As for `lumo_lmdb_put`, and [`lumo_lmdb_cursor_get`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_cursor_put(
    cursor: *mut c_void,
    key: *const u8,
    key_len: usize,
    value: *const u8,
    value_len: usize,
    flags: u32,
    done: *mut c_int,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let cursor = unsafe { behind::<Cursor>(cursor) }?;
        let (mut key, mut value) = (val(key, key_len), val(value, value_len));
        // SAFETY: cursor and transaction are there; LMDB copies both.
        let rc = unsafe { sys::mdb_cursor_put(cursor.get()?, &mut key, &mut value, flags) };
        // SAFETY: as the caller promises.
        unsafe { put(done, there(cursor.txn(), rc, sys::MDB_KEYEXIST)?.into()) }
    })
}

/// Removes the entry where the cursor is; with `all` all values of its key.
///
/// # Safety
/// `cursor` is from [`lumo_lmdb_cursor_open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_cursor_delete(cursor: *mut c_void, all: c_int) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let cursor = unsafe { behind::<Cursor>(cursor) }?;
        let flags = if all != 0 { sys::MDB_NODUPDATA } else { 0 };
        // SAFETY: cursor and transaction are there.
        Ok(cursor.txn().env.check(unsafe { sys::mdb_cursor_del(cursor.get()?, flags) })?)
    })
}

/// How many values the key has where the cursor is.
///
/// # Safety
/// `cursor` is from [`lumo_lmdb_cursor_open`]; `count` is a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_cursor_count(cursor: *mut c_void, count: *mut u64) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let cursor = unsafe { behind::<Cursor>(cursor) }?;
        let mut values = 0;
        // SAFETY: cursor and transaction are there.
        cursor.txn().env.check(unsafe { sys::mdb_cursor_count(cursor.get()?, &mut values) })?;
        // SAFETY: as the caller promises.
        unsafe { put(count, values as u64) }
    })
}

/// Whether the entry where the cursor is is a named database.
///
/// # Safety
/// As for [`lumo_lmdb_cursor_count`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_cursor_is_db(cursor: *mut c_void, answer: *mut c_int) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let cursor = unsafe { behind::<Cursor>(cursor) }?;
        // SAFETY: cursor and transaction are there.
        unsafe { put(answer, c_int::from(sys::mdb_cursor_is_db(cursor.get()?) != 0)) }
    })
}
