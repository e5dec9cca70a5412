//! Transactions.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::thread::{self, ThreadId};

use ground::error::{Fault, FaultClass, Result};
use lmdb::raw::RawEnvironment;
use lmdb::{Environment, sys};

use super::{behind, put};
use crate::call;

/// A transaction that has not ended.
pub(super) struct Txn {
    pub(super) env: RawEnvironment,
    txn: *mut sys::MDB_txn,
    write: bool,
    nested: bool,
    /// LMDB's mutex belongs to the thread that writes.
    thread: ThreadId,
}

impl Txn {
    /// LMDB's transaction, if it is one of this process.
    pub(super) fn get(&self) -> Result<*mut sys::MDB_txn> {
        if self.env.is_ours() {
            return Ok(self.txn);
        }
        Err(Fault::new(
            FaultClass::InvalidArgument,
            "the transaction is one of the process that this one was forked from; begin another one",
        )
        .with_code(sys::MDB_BAD_TXN))
    }

    /// Ends it. One of a parent process is forgotten: its slot and its mutex are the parent's.
    fn end(self, end: impl FnOnce(*mut sys::MDB_txn) -> c_int) -> Result<()> {
        if !self.env.is_ours() {
            return Ok(());
        }
        if self.write && !self.nested {
            // Said before it ends, when the next thread may begin.
            self.env.writing(false);
        }
        Ok(self.env.check(end(self.txn))?)
    }

    /// Whether this thread may end it.
    fn here(&self) -> Result<()> {
        if !self.write || self.thread == thread::current().id() || !self.env.is_ours() {
            return Ok(());
        }
        Err(Fault::new(
            FaultClass::InvalidArgument,
            "a transaction that writes ends in the thread that it began in; commit or abort it there",
        )
        .with_code(libc::EPERM))
    }
}

/// Begins a transaction, one that writes or a snapshot to read; with `parent` one within it, which writes. One that writes
/// waits for that of another thread or process, and ends in its thread.
///
/// # Safety
/// `environment` is from `lumo_lmdb_env_open`; `parent` is null or a transaction of it that writes; `transaction` is null or a
/// place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_txn_begin(
    environment: *mut c_void,
    parent: *mut c_void,
    write: c_int,
    transaction: *mut *mut c_void,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let env = unsafe { behind::<Environment>(environment) }?.raw()?;
        let (nested, write) = (!parent.is_null(), write != 0);
        let outer = match nested {
            // SAFETY: as the caller promises.
            true => unsafe { behind::<Txn>(parent) }?.get()?,
            false => null_mut(),
        };
        if write && !nested {
            env.before_write()?;
        }
        let (mut txn, flags) = (null_mut(), if write { 0 } else { sys::MDB_RDONLY });
        // SAFETY: the environment is open, and so is the parent, if there is one.
        env.check(unsafe { sys::mdb_txn_begin(env.as_ptr(), outer, flags, &mut txn) })?;
        if write && !nested {
            env.writing(true);
        }
        let begun = Txn { env, txn, write, nested, thread: thread::current().id() };
        // SAFETY: as the caller promises.
        unsafe { put(transaction, Box::into_raw(Box::new(begun)).cast()) }
    })
}

/// Commits. The transaction has ended whatever comes of it, but for class 8 with code EPERM: it is another thread's.
///
/// # Safety
/// `transaction` is from [`lumo_lmdb_txn_begin`], without a cursor or a transaction within it, and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_txn_commit(transaction: *mut c_void) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let txn = unsafe { owned(transaction) }?;
        txn.get().map(drop)?;
        // SAFETY: it has not ended.
        txn.end(|txn| unsafe { sys::mdb_txn_commit(txn) })
    })
}

/// Gives up everything that it did. As for [`lumo_lmdb_txn_commit`].
///
/// # Safety
/// As for [`lumo_lmdb_txn_commit`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_txn_abort(transaction: *mut c_void) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let txn = unsafe { owned(transaction) }?;
        txn.end(|txn| {
            // SAFETY: it has not ended.
            unsafe { sys::mdb_txn_abort(txn) };
            0
        })
    })
}

/// # Safety
/// As for [`lumo_lmdb_txn_commit`].
unsafe fn owned(transaction: *mut c_void) -> Result<Txn> {
    // SAFETY: as the caller promises.
    unsafe { behind::<Txn>(transaction) }?.here()?;
    // SAFETY: made by Box::into_raw, and given back once.
    Ok(*unsafe { Box::from_raw(transaction.cast::<Txn>()) })
}

/// Ends a snapshot but for its slot, for [`lumo_lmdb_txn_renew`].
///
/// # Safety
/// `transaction` is a snapshot from [`lumo_lmdb_txn_begin`], without a cursor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_txn_reset(transaction: *mut c_void) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let txn = unsafe { behind::<Txn>(transaction) }?.get()?;
        // SAFETY: as the caller promises.
        unsafe { sys::mdb_txn_reset(txn) };
        Ok(())
    })
}

/// A snapshot of the newest state, with the slot that was kept.
///
/// # Safety
/// `transaction` was reset.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_txn_renew(transaction: *mut c_void) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let behind = unsafe { behind::<Txn>(transaction) }?;
        // SAFETY: as the caller promises.
        Ok(behind.env.check(unsafe { sys::mdb_txn_renew(behind.get()?) })?)
    })
}

/// The transaction's number.
///
/// # Safety
/// `transaction` is from [`lumo_lmdb_txn_begin`]; `number` is a place for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_txn_id(transaction: *mut c_void, number: *mut u64) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let txn = unsafe { behind::<Txn>(transaction) }?.get()?;
        // SAFETY: it has not ended.
        unsafe { put(number, sys::mdb_txn_id(txn) as u64) }
    })
}
