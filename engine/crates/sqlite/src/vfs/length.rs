//! Databases of before there were length cells get one from their next writer.

use super::database::Phase;
use super::file::WAL_CHECKPOINT_LOCK;
use super::open_file::{Content, OpenFile};
use crate::library::abi::*;
use ground::error::{Fault, FaultClass, Result};

impl OpenFile {
    /// For a main database: from here on there is a length cell. The connection keeps other writers out; whoever else has the
    /// database open learns of it from the header, which it looks at before it writes.
    ///
    /// Errors: those of the storage; SQLITE_BUSY while somebody else's checkpoint is writing to the main file.
    pub(super) fn begin_length(&mut self) -> Result<()> {
        let lacks_length = |open: &OpenFile| {
            matches!(&open.content, Content::Main(database)
                if database.superblock.as_ref().is_some_and(|superblock| !superblock.keeps_length))
        };
        if self.read_only || !lacks_length(self) {
            return Ok(());
        }
        let begun = without_checkpoints(self, |open| {
            let Content::Main(database) = &mut open.content else { return Ok(()) };
            let Phase::Ready(file) = &mut database.phase else { return Ok(()) };
            file.begin_length(&mut open.base)?;
            database.edit_header(&mut open.base, |superblock, _| {
                superblock.keeps_length = true;
                Ok(())
            })?;
            if let Phase::Ready(file) = &mut database.phase {
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
    open: &mut OpenFile,
    work: impl FnOnce(&mut OpenFile) -> Result<T>,
) -> Result<Option<T>> {
    if open.wal_and_base().is_none() || open.excludes_all() {
        return work(open).map(Some);
    }
    let Some(shm_lock) = open.base.methods().shm_lock else {
        return Err(Fault::new(FaultClass::Internal, "a write-ahead log without a wal-index"));
    };
    // SAFETY: an open file with a wal-index; SQLite holds no lock of that number here, so none of its is given back.
    let lock =
        |flags| unsafe { shm_lock(open.base.as_ptr(), WAL_CHECKPOINT_LOCK, 1, flags | SQLITE_SHM_EXCLUSIVE) };
    match lock(SQLITE_SHM_LOCK) {
        SQLITE_OK => {}
        SQLITE_BUSY => return Ok(None),
        code => return Err(Fault::new(FaultClass::Io, "locking checkpoints out failed").with_code(code)),
    }
    let result = work(open);
    // SAFETY: as above.
    unsafe { shm_lock(open.base.as_ptr(), WAL_CHECKPOINT_LOCK, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE) };
    result.map(Some)
}
