//! What is behind transactions and cursors, and the order in which they end.

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use lumo_lmdb::raw::RawEnvironment;
use lumo_lmdb::sys;
use pyo3::prelude::*;

use crate::errors::{raise, refuse};

/// Something that only a thread with the interpreter's lock touches.
pub struct Guarded<T>(T);

// SAFETY: Every use is in a method of a Python object, which runs with the interpreter's lock. abi3 modules are not
// loaded by an interpreter without one.
unsafe impl<T> Send for Guarded<T> {}
// SAFETY: As above.
unsafe impl<T> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    pub fn new(inner: T) -> Self {
        Guarded(inner)
    }
}

impl<T> std::ops::Deref for Guarded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A cursor's address; null when it is closed.
pub type CursorState = Guarded<Cell<*mut sys::MDB_cursor>>;

/// Snapshots that ended, with their slots, for the next ones; each with the opening that it is of.
pub type Spares = Guarded<RefCell<Vec<(u64, *mut sys::MDB_txn)>>>;

/// How many are kept.
const SPARES: usize = 4;

/// Ends all that are left. Their environment is open.
pub fn end_spares(spares: &Spares, env: &RawEnvironment) {
    for (opening, txn) in spares.take() {
        if opening == env.opening() && env.is_ours() {
            // SAFETY: It is of this environment, and nobody else has it.
            unsafe { sys::mdb_txn_abort(txn) };
        }
    }
}

/// A transaction.
pub struct TxnState {
    pub env: RawEnvironment,
    closed: Arc<AtomicBool>,
    txn: Cell<*mut sys::MDB_txn>,
    cursors: RefCell<Vec<Arc<CursorState>>>,
    within: RefCell<Option<Arc<Guarded<TxnState>>>>,
    spares: Arc<Spares>,
    /// Whether a database was opened in it, whose handle goes unless it is committed.
    pub opened: Cell<bool>,
    /// Grows with everything that is written, so that cursors look again.
    pub writes: Cell<u64>,
    pub write: bool,
    /// Whether it is within another one.
    pub nested: bool,
}

/// What an environment's transactions have in common: whether it was closed, and the spare ones.
pub type Shared = (Arc<AtomicBool>, Arc<Spares>);

impl TxnState {
    pub fn new(
        env: RawEnvironment,
        (closed, spares): Shared,
        txn: *mut sys::MDB_txn,
        write: bool,
        nested: bool,
    ) -> Self {
        TxnState {
            env,
            closed,
            txn: Cell::new(txn),
            cursors: RefCell::default(),
            within: RefCell::default(),
            spares,
            opened: Cell::new(false),
            writes: Cell::new(0),
            write,
            nested,
        }
    }

    /// The transaction, if it can be used.
    pub fn ptr(&self) -> PyResult<*mut sys::MDB_txn> {
        let txn = self.txn.get();
        if txn.is_null() || self.closed.load(Relaxed) || !self.env.is_ours() {
            return Err(refuse("attempt to operate on closed/deleted/dropped object"));
        }
        Ok(txn)
    }

    /// Success, or an exception.
    pub fn check(&self, what: &str, rc: c_int) -> PyResult<()> {
        if rc == 0 {
            return Ok(());
        }
        self.env.check(rc).map_err(|failure| raise(what, &failure))
    }

    /// A new cursor, which is closed with the transaction at the latest.
    pub fn open_cursor(&self, dbi: sys::MDB_dbi) -> PyResult<Arc<CursorState>> {
        let mut cursor = null_mut();
        // SAFETY: The transaction has not ended.
        self.check("mdb_cursor_open", unsafe { sys::mdb_cursor_open(self.ptr()?, dbi, &mut cursor) })?;
        let state = Arc::new(Guarded::new(Cell::new(cursor)));
        self.cursors.borrow_mut().push(state.clone());
        Ok(state)
    }

    /// Closes a cursor, if it is open.
    pub fn close_cursor(&self, cursor: &Arc<CursorState>) {
        self.cursors.borrow_mut().retain(|other| !Arc::ptr_eq(other, cursor));
        self.close(cursor);
    }

    fn close(&self, cursor: &CursorState) {
        let address = cursor.replace(null_mut());
        if !address.is_null() && self.env.is_ours() {
            // SAFETY: It is open, and so is its transaction, which closes its cursors when it ends.
            unsafe { sys::mdb_cursor_close(address) };
        }
    }

    /// Remembers the transaction within this one.
    pub fn set_within(&self, state: &Arc<Guarded<TxnState>>) {
        *self.within.borrow_mut() = Some(state.clone());
    }

    /// The transaction, to be ended: there are no cursors left, nothing within it, and nobody else will find it.
    pub fn take(&self) -> Option<*mut sys::MDB_txn> {
        if let Some(within) = self.within.take()
            && let Some(txn) = within.take()
        {
            // SAFETY: It has not ended, and is ours.
            unsafe { sys::mdb_txn_abort(txn) };
        }
        for cursor in self.cursors.take() {
            self.close(&cursor);
        }
        let txn = self.txn.replace(null_mut());
        if !txn.is_null() && self.write && !self.nested {
            self.env.writing(false);
        }
        (!txn.is_null() && self.env.is_ours()).then_some(txn)
    }

    /// Gives everything up, and keeps a snapshot's slot for the next one.
    pub fn abort(&self) {
        let Some(txn) = self.take() else { return };
        let spare = !self.write && !self.opened.get() && !self.closed.load(Relaxed);
        if spare && self.spares.borrow().len() < SPARES {
            // SAFETY: It is a snapshot that has not ended, and nobody else has it any more.
            unsafe { sys::mdb_txn_reset(txn) };
            self.spares.borrow_mut().push((self.env.opening(), txn));
        } else {
            // SAFETY: It has not ended, and nobody else has it any more.
            unsafe { sys::mdb_txn_abort(txn) };
        }
    }
}

impl Drop for TxnState {
    fn drop(&mut self) {
        self.abort();
    }
}
