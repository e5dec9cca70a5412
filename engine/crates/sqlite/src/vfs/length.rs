//! Databases of before there were length cells get one from their next writer.

use super::database::Phase;
use super::open_file::{Common, MainDatabase};
use super::shm_lock::WAL_CHECKPOINT_LOCK;
use crate::library::abi::*;
use ground::error::{Fault, FaultClass, Result};

impl MainDatabase {
    /// From here on there is a length cell. The connection keeps other writers out; whoever else has the database open learns
    /// of it from the header, which it looks at before it writes.
    ///
    /// Errors: those of the storage; SQLITE_BUSY while somebody else's checkpoint is writing to the main file.
    pub(super) fn begin_length(&mut self, common: &mut Common) -> Result<()> {
        let superblock = self.database.superblock.as_ref();
        if common.read_only || superblock.is_none_or(|superblock| superblock.keeps_length) {
            return Ok(());
        }
        let begun = without_checkpoints(self, common, |main, common| {
            let Phase::Ready(file) = &mut main.database.phase else { return Ok(()) };
            file.begin_length(&mut common.base)?;
            main.database.edit_header(&mut common.base, |superblock, _| {
                superblock.keeps_length = true;
                Ok(())
            })?;
            if let Some(file) = main.file() {
                file.set_keeps_length(true);
            }
            Ok(())
        })?;
        begun.ok_or_else(|| {
            Fault::new(FaultClass::InUse, "somebody else's checkpoint is writing to the database; try again")
                .with_code(SQLITE_BUSY)
        })
    }
}

/// Runs `work` while no checkpoint writes to the main file; `None`: one is at it. The caller keeps writers out already.
pub(super) fn without_checkpoints<T>(
    main: &mut MainDatabase,
    common: &mut Common,
    work: impl FnOnce(&mut MainDatabase, &mut Common) -> Result<T>,
) -> Result<Option<T>> {
    if main.open_wal().is_none() || common.excludes_all() {
        return work(main, common).map(Some);
    }
    let Some(shm_lock) = common.base.methods().shm_lock else {
        return Err(Fault::new(FaultClass::Internal, "a write-ahead log without a wal-index"));
    };
    // SAFETY: an open file with a wal-index; SQLite holds no lock of that number here, so none of its is given back.
    let lock = |flags| unsafe {
        shm_lock(common.base.as_ptr(), WAL_CHECKPOINT_LOCK, 1, flags | SQLITE_SHM_EXCLUSIVE)
    };
    match lock(SQLITE_SHM_LOCK) {
        SQLITE_OK => {}
        SQLITE_BUSY => return Ok(None),
        code => return Err(Fault::new(FaultClass::Io, "locking checkpoints out failed").with_code(code)),
    }
    let result = work(main, common);
    // SAFETY: as above.
    unsafe {
        shm_lock(common.base.as_ptr(), WAL_CHECKPOINT_LOCK, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE)
    };
    result.map(Some)
}
