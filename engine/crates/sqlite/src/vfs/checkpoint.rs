//! Checkpoints, as the main file sees them: when its blocks may wait for each other, and what follows if they are lost.

use std::ffi::c_int;

use super::database::Link;
use super::open_file::{Checkpoint, Content, OpenFile};
use super::wal_index::WalIndex;
use crypto::nonce;
use ground::error::{Fault, FaultClass, Result};
use ground::sabotage::{self, Sabotage};
use storage::Storage;

impl OpenFile {
    /// A checkpoint begins to copy (SQLITE_FCNTL_CKPT_START). Its writes may wait for each other if it is bound to cut
    /// and sync the main file in the end, because a failure has to be heeded before SQLite tells everybody to read
    /// there. It is if it copies the whole WAL, and nobody can add to that meanwhile.
    pub(super) fn checkpoint_starts(&mut self) {
        self.refresh_wal();
        if let Some(wal) = self.wal_file() {
            wal.set_checkpoint(true);
        }
        // SQLite does not heed what this file control returns, so the first write fails in its place.
        if self.record_copied().is_err() {
            self.checkpoint = Checkpoint::Failed;
            return;
        }
        let whole = self.wal_index.is_none_or(|index| {
            (self.excludes_writers || self.excludes_all()) && index.is_free_of_old_readers()
        });
        self.checkpoint = if whole { Checkpoint::Combining } else { Checkpoint::None };
        // It writes without the locks at which transactions begin.
        nonce::discard_pool();
    }

    /// Before a checkpoint writes to the main file, the length cell says how many frames the log must have: all that are
    /// committed. Its first frames alone would leave half a transaction in the main file.
    fn record_copied(&mut self) -> Result<()> {
        let frames = match (self.durable_frames, self.wal_index) {
            (Some(frames), _) => u64::from(frames),
            (None, Some(index)) => u64::from(index.last_frame()),
            // Nobody else uses the log, and SQLite keeps its index to itself. What a checkpoint reads is committed.
            (None, None) => self.wal_file().map_or(0, |wal| wal.frames_read()),
        };
        // SAFETY: set while the log is open, cleared by its close; SQLite uses one connection's files from one thread at a
        // time.
        let Some(OpenFile { content: Content::Wal(wal, _), base: log, .. }) = (unsafe { self.wal.as_mut() })
        else {
            return Ok(());
        };
        let Content::Main(database) = &mut self.content else { return Ok(()) };
        let mut link = Link { file: database.ready()?, base: &mut self.base };
        wal.look(log, &mut link)?;
        link.file.record_copied(link.base, frames)
    }

    /// For a main database: SQLite is about to write to it.
    pub(super) fn before_copying(&mut self) -> Result<()> {
        self.refuse_failed_checkpoint()?;
        if self.wal_index.is_none() && self.wal_file().is_some_and(|wal| wal.is_checkpointing()) {
            self.record_copied()?;
        }
        Ok(())
    }

    /// An error if the log ends, as SQLite reads it, in front of frames that a checkpoint has begun to copy.
    pub(super) fn check_frames(&mut self) -> Result<()> {
        let Some((salts, last)) = self.wal_index.and_then(|index| index.salts_and_last_frame()) else {
            return Ok(());
        };
        match self.wal_file() {
            Some(wal) if wal.salts() == Some(salts) => wal.check_frames(u64::from(last)),
            _ => Ok(()),
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

    /// A WAL is made durable. If that is for a checkpoint, it is going to copy no frame that is committed later.
    pub(super) fn sync_wal(&mut self, flags: c_int) -> Result<()> {
        let Content::Wal(file, main) = &mut self.content else { return Ok(()) };
        // SAFETY: SQLite closes a WAL before its main database.
        let main = unsafe { main.as_mut() };
        let index = main.as_ref().and_then(|main| main.wal_index);
        let committed = index
            .and_then(WalIndex::salts_and_last_frame)
            .filter(|(salts, _)| file.salts() == Some(*salts))
            .map(|(_, last)| last);
        file.sync(&mut self.base, flags)?;
        if let Some(main) = main {
            main.durable_frames = committed;
        }
        Ok(())
    }

    /// The main file is made durable.
    pub(super) fn sync_main(&mut self, flags: c_int) -> Result<()> {
        let before = self.base.failed_syncs();
        let synced = match self.main_file() {
            Some((file, base)) => file.sync(base, flags),
            None => self.base.sync(flags),
        };
        if self.base.failed_syncs() != before
            && let Some(index) = self.wal_index.filter(|_| !sabotage::is(Sabotage::BackfillKept))
        {
            // What earlier checkpoints have copied may be lost with it, if they did not come to a sync.
            index.forget_backfill();
        }
        synced
    }
}
