//! Checkpoints, as the main file sees them: when its blocks may wait for each other, and what follows if they are lost.

use super::file::OpenFile;
use crate::crypto::nonce;
use crate::error::{Fault, FaultClass, Result};

/// A checkpoint of a main database.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Checkpoint {
    /// None is under way, or it writes block by block.
    None,
    /// One that is bound to end in a sync is writing blocks, which may wait for each other.
    Combining,
    /// The last one lost blocks. SQLite must not learn that they are in the main file.
    Failed,
}

impl OpenFile {
    /// A checkpoint begins to copy (SQLITE_FCNTL_CKPT_START). Its writes may wait for each other if it is bound to cut
    /// and sync the main file in the end, because a failure has to be heeded before SQLite tells everybody to read
    /// there. It is if it copies the whole WAL, and nobody can add to that meanwhile.
    pub(super) fn checkpoint_starts(&mut self) {
        let whole = self.wal_index.is_none_or(|index| {
            (self.excludes_writers || self.excludes_all()) && index.is_free_of_old_readers()
        });
        self.checkpoint = if whole { Checkpoint::Combining } else { Checkpoint::None };
        // It writes without the locks at which transactions begin.
        nonce::discard_pool();
        if let Some(wal) = self.wal_file() {
            wal.set_checkpoint(true);
        }
    }

    /// A checkpoint has copied what it could (SQLITE_FCNTL_CKPT_DONE). SQLite ignores what this returns, so the cut and
    /// the sync that follow fail as well.
    pub(super) fn checkpoint_done(&mut self) -> Result<()> {
        self.checkpoint = Checkpoint::None;
        if let Some(wal) = self.wal_file() {
            wal.set_checkpoint(false);
        }
        let Some((file, base)) = self.main_file() else { return Ok(()) };
        file.set_combine(false);
        let flushed = file.flush(base);
        if flushed.is_err() {
            self.checkpoint = Checkpoint::Failed;
        }
        flushed
    }

    /// An error if the last checkpoint lost blocks.
    pub(super) fn refuse_failed_checkpoint(&self) -> Result<()> {
        match self.checkpoint {
            Checkpoint::Failed => Err(Fault::new(
                FaultClass::Io,
                "a checkpoint could not write the database; its pages stay in the write-ahead log",
            )
            .at_path(&self.path)),
            _ => Ok(()),
        }
    }
}
