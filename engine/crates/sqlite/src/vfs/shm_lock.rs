//! Locks of SQLite's shared memory, and what it means that a connection takes or gives back one.

use std::ffi::c_int;

use crate::library::abi::*;
use crypto::nonce;
use ground::failure;

/// wal.c, WAL_WRITE_LOCK: the lock that a WAL write transaction holds.
const WAL_WRITE_LOCK: c_int = 0;
/// wal.c, WAL_CKPT_LOCK: the lock that a checkpoint holds.
pub const WAL_CHECKPOINT_LOCK: c_int = 1;
/// wal.c, WAL_READ_LOCK(0).
const WAL_FIRST_READ_LOCK: c_int = 3;

/// Some of the locks, as one call of `xShmLock` takes or gives them back.
pub struct ShmLock {
    first: c_int,
    count: c_int,
    /// They are taken, and not given back.
    pub is_taken: bool,
    /// They are exclusive.
    pub is_exclusive: bool,
}

impl ShmLock {
    /// What `xShmLock` is called with.
    pub fn new(first: c_int, count: c_int, flags: c_int) -> Self {
        let (is_taken, is_exclusive) = (flags & SQLITE_SHM_LOCK != 0, flags & SQLITE_SHM_EXCLUSIVE != 0);
        ShmLock { first, count, is_taken, is_exclusive }
    }

    /// Is the writers' lock among them?
    pub fn is_writers(&self) -> bool {
        self.is_exclusive && self.covers(WAL_WRITE_LOCK)
    }

    /// Is the checkpoints' lock among them?
    pub fn is_checkpoints(&self) -> bool {
        self.is_exclusive && self.covers(WAL_CHECKPOINT_LOCK)
    }

    /// Is it a reader's?
    pub fn is_readers(&self) -> bool {
        !self.is_exclusive && self.first >= WAL_FIRST_READ_LOCK
    }

    /// Is it one under which the database or the log is changed? To change a mark takes an exclusive lock on it, but nobody
    /// reads or writes the database with that alone.
    pub fn is_to_change(&self) -> bool {
        self.is_exclusive && self.first < WAL_FIRST_READ_LOCK
    }

    /// They were taken: with that a transaction may begin.
    pub fn begins(&self) {
        if !self.is_taken {
        } else if self.is_writers() {
            nonce::discard_pool();
        } else if self.is_readers() {
            failure::clear();
        }
    }

    fn covers(&self, lock: c_int) -> bool {
        (self.first..self.first + self.count).contains(&lock)
    }
}
