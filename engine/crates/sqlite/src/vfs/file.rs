//! What SQLite's calls do to an open file: what all kinds have in common, and the one step from there to the kind.

use std::ffi::c_int;

use super::mains;
use super::open_file::OpenFile;
use super::shm_lock::ShmLock;
use crate::library::abi::*;
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::failure;

impl OpenFile {
    /// Something did not authenticate. Was the data key changed since the header was last read? Then it is worth a second
    /// look.
    ///
    /// Errors: `WrongKey` if what opened the database opens it no more, `InUse` or `NotEncrypted` if another database is in
    /// its place, and nothing else: `fault` says enough.
    fn explains(&mut self, fault: &Fault) -> Result<bool> {
        if !matches!(fault.class, FaultClass::Tampered | FaultClass::HeaderDamaged) {
            return Ok(false);
        }
        match self.follow(true) {
            // Its key is gone, or the whole database: there is another one in its place.
            Err(other)
                if matches!(
                    other.class,
                    FaultClass::WrongKey | FaultClass::InUse | FaultClass::NotEncrypted
                ) =>
            {
                Err(other)
            }
            known => Ok(known.unwrap_or(false)),
        }
    }

    pub(super) fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<c_int> {
        let complete = match self.file.read(&mut self.common, buf, offset) {
            Err(fault) if self.explains(&fault)? => self.file.read(&mut self.common, buf, offset),
            result => result,
        }?;
        Ok(if complete { SQLITE_OK } else { SQLITE_IOERR_SHORT_READ })
    }

    pub(super) fn write(&mut self, data: &[u8], offset: u64) -> Result<c_int> {
        self.settle_plain();
        self.file.write(&mut self.common, data, offset).map(|()| SQLITE_OK)
    }

    pub(super) fn truncate(&mut self, size: u64) -> Result<c_int> {
        self.file.truncate(&mut self.common, size).map(|()| SQLITE_OK)
    }

    pub(super) fn sync(&mut self, flags: c_int) -> Result<c_int> {
        self.file.sync(&mut self.common, flags).map(|()| SQLITE_OK)
    }

    pub(super) fn size(&mut self) -> Result<u64> {
        match self.file.size(&mut self.common) {
            Err(fault) if self.explains(&fault)? => self.file.size(&mut self.common),
            result => result,
        }
    }

    pub(super) fn lock(&mut self, level: c_int) -> Result<c_int> {
        let common = &mut self.common;
        if common.level == SQLITE_LOCK_NONE {
            self.file.before_first_lock()?;
        }
        let Some(lock) = common.base.methods().lock else { return Ok(SQLITE_OK) };
        // SAFETY: an open file below.
        let code = unsafe { lock(common.base.as_ptr(), level) };
        if code != SQLITE_OK {
            return Ok(code);
        }
        let before = std::mem::replace(&mut common.level, level);
        match self.file.locked(common, before) {
            Ok(()) => self.settle_plain(),
            Err(fault) => {
                self.give_back(before);
                return Err(fault);
            }
        }
        Ok(SQLITE_OK)
    }

    /// Gives back a lock that SQLite is told it did not get. Only these two can be gone back to; where SQLite has more
    /// already, it keeps what it was not told of.
    fn give_back(&mut self, before: c_int) {
        let common = &mut self.common;
        if let Some(unlock) = common.base.methods().unlock
            && before <= SQLITE_LOCK_SHARED
        {
            common.level = before;
            // SAFETY: an open file below.
            unsafe { unlock(common.base.as_ptr(), before) };
        }
    }

    pub(super) fn unlock(&mut self, level: c_int) -> Result<c_int> {
        let common = &mut self.common;
        let ready = self.file.before_unlock(common, level);
        common.level = level;
        let code = match common.base.methods().unlock {
            // SAFETY: an open file below.
            Some(unlock) => unsafe { unlock(common.base.as_ptr(), level) },
            None => SQLITE_OK,
        };
        ready.map(|()| code)
    }

    pub(super) fn shm_lock(&mut self, first: c_int, count: c_int, flags: c_int) -> Result<c_int> {
        let (common, lock) = (&mut self.common, ShmLock::new(first, count, flags));
        let Some(shm_lock) = common.base.methods().shm_lock else { return Ok(SQLITE_IOERR) };
        if lock.is_writers() && !lock.is_taken {
            self.file.before_shm_unlock(common);
        }
        // SAFETY: an open file below.
        let code = unsafe { shm_lock(common.base.as_ptr(), first, count, flags) };
        if code != SQLITE_OK {
            return Ok(code);
        }
        let settled = self.file.shm_locked(common, &lock);
        if lock.is_writers() {
            common.excludes_writers = lock.is_taken && settled.is_ok();
        }
        if let Err(fault) = settled {
            let released = flags & !SQLITE_SHM_LOCK | SQLITE_SHM_UNLOCK;
            // SAFETY: gives back the lock that SQLite is told it did not get.
            unsafe { shm_lock(common.base.as_ptr(), first, count, released) };
            return Err(fault);
        }
        Ok(SQLITE_OK)
    }

    pub(super) fn close(&mut self) {
        self.file.close(&mut self.common);
        if matches!(self.file.kind(), None | Some(FileKind::MainDb)) {
            mains::remove(std::ptr::from_mut(self));
        }
        if self.is_own_main {
            failure::forget_connection(self.connection);
        }
        self.common.base.close();
    }
}
