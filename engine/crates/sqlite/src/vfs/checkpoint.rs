//! Checkpoints, as the main file sees them: when its blocks may wait for each other, and what follows if they are lost.

use std::ffi::c_int;

use super::database::Link;
use super::open_file::{Checkpoint, Common, MainDatabase};
use super::wal_index::WalIndex;
use crypto::nonce;
use ground::error::{Fault, FaultClass, Result};
use ground::sabotage::{self, Sabotage};
use storage::Storage;

impl MainDatabase {
    /// A checkpoint begins to copy (SQLITE_FCNTL_CKPT_START). Its writes may wait for each other if it is bound to cut
    /// and sync the main file in the end, because a failure has to be heeded before SQLite tells everybody to read
    /// there. It is if it copies the whole WAL, and nobody can add to that meanwhile.
    pub(super) fn checkpoint_starts(&mut self, common: &mut Common) {
        self.refresh_wal(common);
        if let Some((wal, _)) = self.open_wal() {
            wal.set_checkpoint(true);
        }
        // SQLite does not heed what this file control returns, so the first write fails in its place.
        if self.record_copied(common).is_err() {
            self.checkpoint = Checkpoint::Failed;
            return;
        }
        let whole = common.wal_index.is_none_or(|index| {
            (common.excludes_writers || common.excludes_all()) && index.is_free_of_old_readers()
        });
        self.checkpoint = if whole { Checkpoint::Combining } else { Checkpoint::None };
        // It writes without the locks at which transactions begin.
        nonce::discard_pool();
    }

    /// Before a checkpoint writes to the main file, the length cell says how many frames the log must have: all that are
    /// committed. Its first frames alone would leave half a transaction in the main file.
    fn record_copied(&mut self, common: &mut Common) -> Result<()> {
        let (durable, main) = (self.durable_frames, &mut self.database);
        let Some((wal, log)) = self.wal.wal() else { return Ok(()) };
        let frames = match (durable, common.wal_index) {
            (Some(frames), _) => u64::from(frames),
            (None, Some(index)) => u64::from(index.last_frame()),
            // Nobody else uses the log, and SQLite keeps its index to itself. What a checkpoint reads is committed.
            (None, None) => wal.frames_read(),
        };
        let mut link = Link { file: main.ready()?, base: &mut common.base };
        wal.look(log, &mut link)?;
        link.file.record_copied(link.base, frames)
    }

    /// SQLite is about to write to the main file.
    pub(super) fn before_copying(&mut self, common: &mut Common) -> Result<()> {
        self.refuse_failed_checkpoint(common)?;
        if common.wal_index.is_none() && self.open_wal().is_some_and(|(wal, _)| wal.is_checkpointing()) {
            self.record_copied(common)?;
        }
        Ok(())
    }

    /// An error if the log ends, as SQLite reads it, in front of frames that a checkpoint has begun to copy.
    pub(super) fn check_frames(&mut self, common: &Common) -> Result<()> {
        let Some((salts, last)) = common.wal_index.and_then(WalIndex::salts_and_last_frame) else {
            return Ok(());
        };
        match self.open_wal() {
            Some((wal, _)) if wal.salts() == Some(salts) => wal.check_frames(u64::from(last)),
            _ => Ok(()),
        }
    }

    /// A checkpoint has copied what it could (SQLITE_FCNTL_CKPT_DONE). SQLite ignores what this returns, so the cut and
    /// the sync that follow fail as well.
    pub(super) fn checkpoint_done(&mut self, common: &mut Common) -> Result<()> {
        self.checkpoint = Checkpoint::None;
        if let Some((wal, _)) = self.open_wal() {
            wal.set_checkpoint(false);
        }
        let Some(file) = self.file() else { return Ok(()) };
        file.set_combine(false);
        let flushed = file.flush(&mut common.base);
        if flushed.is_err() {
            self.checkpoint = Checkpoint::Failed;
        }
        flushed
    }

    /// An error if the last checkpoint lost blocks.
    pub(super) fn refuse_failed_checkpoint(&self, common: &Common) -> Result<()> {
        match self.checkpoint {
            Checkpoint::Failed => Err(Fault::new(
                FaultClass::Io,
                "a checkpoint could not write the database; its pages stay in the write-ahead log",
            )
            .at_path(&common.path)),
            _ => Ok(()),
        }
    }

    /// The main file is made durable.
    pub(super) fn make_durable(&mut self, common: &mut Common, flags: c_int) -> Result<()> {
        let before = common.base.failed_syncs();
        let synced = match self.file() {
            Some(file) => file.sync(&mut common.base, flags),
            None => common.base.sync(flags),
        };
        if common.base.failed_syncs() != before
            && let Some(index) = common.wal_index.filter(|_| !sabotage::is(Sabotage::BackfillKept))
        {
            // What earlier checkpoints have copied may be lost with it, if they did not come to a sync.
            index.forget_backfill();
        }
        synced
    }
}
