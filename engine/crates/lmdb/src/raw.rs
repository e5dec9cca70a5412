//! An open environment without lifetimes: for bindings of other languages, which keep transactions and cursors in
//! objects.
//!
//! Whoever uses this sees to it himself that a cursor is closed before its transaction ends, that a transaction that
//! writes stays in its thread, and that nothing of a parent process is touched in a forked child
//! ([`RawEnvironment::is_ours`]).

use std::ffi::c_int;
use std::sync::Arc;

use lmdb_sys as sys;

use crate::environment::Environment;
use crate::error::Result;
use crate::opening::Inner;

/// Keeps an environment open.
#[derive(Clone)]
pub struct RawEnvironment(Arc<Inner>);

impl Environment {
    /// The environment as it is open in this process. A forked child gets one of its own.
    pub fn raw(&self) -> Result<RawEnvironment> {
        self.inner().map(RawEnvironment)
    }
}

impl RawEnvironment {
    /// LMDB's environment, which is open as long as `self` is there.
    pub fn as_ptr(&self) -> *mut sys::MDB_env {
        self.0.env
    }

    /// Whether this process opened it. If not, its transactions and cursors are to be forgotten, not ended.
    pub fn is_ours(&self) -> bool {
        self.0.is_ours()
    }

    /// Which opening this is: a database's handle is good for this one only.
    pub fn opening(&self) -> u64 {
        self.0.opening
    }

    /// A code of LMDB's as a result, with the page that was damaged.
    pub fn check(&self, rc: c_int) -> Result<()> {
        self.0.check(rc)
    }

    /// What must be done before a transaction that writes begins, unless it is within another one. Afterwards
    /// [`writing`](Self::writing) is told.
    pub fn before_write(&self) -> Result<()> {
        self.0.before_write()
    }

    /// This thread has begun to write, or is about to end.
    pub fn writing(&self, on: bool) {
        self.0.writing(on);
    }
}
