//! Rollback journals.

use std::ffi::c_int;

use super::{Common, Companion, OpenFile, SqliteFile};
use crate::files::journal::JournalFile;
use ground::error::{FileKind, Result};
use storage::disk::sync_folder;

/// A rollback journal.
pub struct Journal {
    file: JournalFile,
    main: Companion,
}

impl Journal {
    /// The journal of the database `main`.
    pub fn new(file: JournalFile, main: Companion) -> Self {
        Journal { file, main }
    }
}

impl SqliteFile for Journal {
    fn kind(&self) -> Option<FileKind> {
        Some(FileKind::MainJournal)
    }

    fn read(&mut self, common: &mut Common, buf: &mut [u8], offset: u64) -> Result<bool> {
        let complete = self.file.read(&mut common.base, buf, offset)?;
        common.keep_evidence(self.file.take_loss());
        Ok(complete)
    }

    fn write(&mut self, common: &mut Common, data: &[u8], offset: u64) -> Result<()> {
        self.file.write(&mut common.base, data, offset)
    }

    fn truncate(&mut self, common: &mut Common, size: u64) -> Result<()> {
        self.file.truncate(&mut common.base, size)
    }

    fn sync(&mut self, common: &mut Common, flags: c_int) -> Result<()> {
        self.file.sync(&mut common.base, flags)?;
        if self.file.is_hot() {
            // Whoever made it may not have come to that, and SQLite does it for a journal of its own only.
            sync_folder(&common.path)?;
        }
        Ok(())
    }

    fn size(&mut self, common: &mut Common) -> Result<u64> {
        let size = self.file.size(&mut common.base)?;
        common.keep_evidence(self.file.take_loss());
        Ok(size)
    }

    unsafe fn introduce(&mut self, own: *mut OpenFile) -> usize {
        if let Some((main, _)) = self.main.main() {
            // SAFETY: as the caller promises; `close` takes it back.
            main.journal_opens(unsafe { Companion::new(own) });
        }
        self.main.connection()
    }

    fn close(&mut self, common: &mut Common) {
        // An error here is one that SQLite would not have seen either: close does not report.
        let _ = self.file.close(&mut common.base);
        if let Some((main, _)) = self.main.main() {
            main.journal_closes(self.file.take_buffers());
        }
    }

    fn follow(&mut self, _: &mut Common, always: bool) -> Result<bool> {
        self.main.follow(always, |keys| self.file.set_keys(keys))
    }

    fn journal(&mut self) -> Option<&mut JournalFile> {
        Some(&mut self.file)
    }
}
