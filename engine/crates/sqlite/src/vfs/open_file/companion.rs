//! Files of one connection that belong together: a log and its main database.

use super::{Common, MainDatabase, OpenFile};
use crate::files::journal::JournalFile;
use crate::files::wal::WalFile;
use crate::vfs::base::BaseFile;
use crate::vfs::database::Link;
use crate::vfs::guest::Guest;
use ground::error::{Fault, FaultClass, Result};
use std::path::Path;
use std::sync::Arc;
use vault::file_keys::FileKeys;

/// The main database of a log, or a log of a main database, while it is open.
///
/// The two lead to each other, so nobody may go on from a companion to that one's companions: there is the file that the
/// call came from, which is borrowed.
pub struct Companion(*mut OpenFile);

impl Companion {
    /// There is none.
    pub const fn none() -> Self {
        Companion(std::ptr::null_mut())
    }

    /// # Safety
    /// `file` is an open file. This is gone, or overwritten, when it is closed, and is used only within calls that SQLite
    /// makes for the connection of `file`, one of which runs at a time, and while nothing of `file` is borrowed otherwise.
    pub unsafe fn new(file: *mut OpenFile) -> Self {
        Companion(file)
    }

    /// Is there none?
    pub fn is_none(&self) -> bool {
        self.0.is_null()
    }

    /// The file itself.
    pub(super) fn get(&mut self) -> Option<&mut OpenFile> {
        // SAFETY: as promised to `new`.
        unsafe { self.0.as_mut() }
    }

    /// What the file has beside its kind.
    pub fn common(&self) -> Option<&Common> {
        // SAFETY: as promised to `new`.
        unsafe { self.0.as_ref() }.map(|open| &open.common)
    }

    /// The connection that the file belongs to, or 0.
    pub fn connection(&self) -> usize {
        // SAFETY: as promised to `new`.
        unsafe { self.0.as_ref() }.map_or(0, |open| open.connection)
    }

    /// The main database.
    pub fn main(&mut self) -> Option<(&mut MainDatabase, &mut Common)> {
        self.get()?.main()
    }

    /// The main database, of another format.
    pub fn guest(&mut self) -> Option<(&mut dyn Guest, &mut BaseFile, &Path)> {
        self.get()?.guest()
    }

    /// [`SqliteFile::follow`](super::SqliteFile::follow) for a log of the main database: `take_over` gets the keys of now.
    pub(super) fn follow(&mut self, always: bool, take_over: impl FnOnce(&Arc<FileKeys>)) -> Result<bool> {
        let Some((main, common)) = self.main() else { return Ok(false) };
        let changed = main.database.follow(&mut common.base, always)?;
        if let Some(file) = main.file() {
            take_over(file.keys());
        }
        Ok(changed)
    }

    /// The main database as its WAL sees it.
    ///
    /// Errors: those of a database that is not unlocked.
    pub(super) fn link(&mut self) -> Result<Link<'_>> {
        match self.main() {
            Some((main, common)) => Ok(Link { file: main.database.ready()?, base: &mut common.base }),
            None => Err(Fault::new(FaultClass::Internal, "a write-ahead log without its database")),
        }
    }

    /// The rollback journal, and the file below it.
    pub(super) fn journal(&mut self) -> Option<(&mut JournalFile, &mut BaseFile)> {
        let open = self.get()?;
        Some((open.file.journal()?, &mut open.common.base))
    }

    /// The WAL, and the file below it.
    pub(in crate::vfs) fn wal(&mut self) -> Option<(&mut WalFile, &mut BaseFile)> {
        let open = self.get()?;
        Some((open.file.wal()?, &mut open.common.base))
    }
}
