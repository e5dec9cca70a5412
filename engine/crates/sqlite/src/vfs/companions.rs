//! The logs that lie with a main file, and what they say when that is empty, new or about to lose one.

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::base::BaseFile;
use super::database::{Database, Link, News, Phase};
use super::host::{Host, Shim};
use super::mains;
use super::orphans::{self, NewMain, Outcome};
use super::own_file::OwnFile;
use crate::files::journal::JournalFile;
use crate::files::redo::{REDO_SUFFIX, redo_path};
use crate::files::wal::{MainLink, WalFile};
use crate::format::journal_header::{EXTENT_HEAD_LEN, JOURNAL_PREAMBLE_LEN};
use crate::library::abi::*;
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::{locks, paths};
use storage::{Storage, is_zero};
use vault::file_keys::FileKeys;
use vault::format::header;

/// What the log of the main file `path` that counts ends in, if one does. `exists` answers for files.
///
/// Errors: those of opening and reading a log.
pub fn log_that_counts(
    host: &'static Host,
    path: &Path,
    exists: impl Fn(&Path) -> bool,
) -> Result<Option<&'static str>> {
    for (suffix, log) in ["-wal", "-journal", REDO_SUFFIX].into_iter().zip(logs_of(path)) {
        // A change of the data key is never finished while its file is there.
        if exists(&log) && (suffix == REDO_SUFFIX || !is_finished(host, &log)?) {
            return Ok(Some(suffix));
        }
    }
    Ok(None)
}

/// Does the log begin as `journal_mode=PERSIST` leaves a finished journal? Then it counts for nothing.
fn is_finished(host: &'static Host, path: &Path) -> Result<bool> {
    let Some(mut log) = OwnFile::open(host, path)? else { return Ok(true) };
    let mut head = [0u8; JOURNAL_PREAMBLE_LEN + EXTENT_HEAD_LEN];
    log.base.read(&mut head, 0)?;
    Ok(is_zero(&head))
}

impl Shim {
    /// Is there a file with content of that name, below us?
    fn exists(&self, path: &Path) -> bool {
        locks::calls_out();
        let Ok(path) = CString::new(paths::bytes(path)) else { return false };
        let mut answer = 0;
        // SAFETY: the VFS below, a name and a place for the answer.
        let code = unsafe {
            (*self.base).access.map_or(SQLITE_ERROR, |access| {
                access(self.base, path.as_ptr(), SQLITE_ACCESS_EXISTS, &mut answer)
            })
        };
        code == SQLITE_OK && answer != 0
    }

    /// An empty main file beside a log with content is no new database: SQLite would delete the log.
    /// Where there was no file at all, the log is one whose database is gone: it is moved aside, while SQLite holds SHARED,
    /// which `level` says, and no more.
    pub fn check_companions(
        &self,
        database: &mut Database,
        base: &mut BaseFile,
        path: &Path,
        level: c_int,
    ) -> Result<()> {
        if !matches!(database.phase, Phase::New) {
            return Ok(());
        }
        if level == SQLITE_LOCK_SHARED
            && let Some(new_main) = database.new_main.take()
            && self.set_logs_aside(database, base, path, new_main)?
        {
            return Ok(());
        }
        if self.check_no_log(path).is_err() {
            if orphans::is_announced(path) {
                return Err(being_made(SQLITE_BUSY));
            }
            // Whoever announced it may have made it in between.
            return if base.size()? == 0 {
                self.check_no_log(path)
            } else {
                database.settle(base, News::Lock)
            };
        }
        Ok(())
    }

    /// Announces a main file that opening `path` makes.
    pub fn announce(&self, path: &Path) -> Option<NewMain> {
        NewMain::announce(path, || logs_of(path).iter().any(|log| self.exists(log)))
    }

    /// An error if an empty main file has a log that counts.
    fn check_no_log(&self, path: &Path) -> Result<()> {
        match log_that_counts(self.host(), path, |log| self.exists(log))? {
            Some(suffix) => Err(header::emptied(suffix).at_path(path)),
            None => Ok(()),
        }
    }

    /// Moves the logs of a database that is gone aside. Returns whether that, or another connection, settled the matter.
    fn set_logs_aside(
        &self,
        database: &mut Database,
        base: &mut BaseFile,
        path: &Path,
        new_main: NewMain,
    ) -> Result<bool> {
        let logs: Vec<_> = logs_of(path).into_iter().filter(|log| self.exists(log)).collect();
        if logs.is_empty() {
            return Ok(true);
        }
        match orphans::set_aside(&self.host().api, base, &logs)? {
            Outcome::Moved => Ok(true),
            Outcome::Left => Ok(false),
            Outcome::Created => database.settle(base, News::Lock).map(|()| true),
            Outcome::Busy(code) => {
                database.new_main = Some(new_main);
                Err(being_made(code))
            }
        }
    }

    /// SQLite is about to delete `name`. If that is a WAL, everything in it is in the main file: the database
    /// stops naming it first, durably. A log beside a main file that was cut to nothing is not deleted at all.
    ///
    /// # Safety
    /// `name` is null or a string.
    pub unsafe fn before_delete(&self, name: *const c_char) -> Result<()> {
        if name.is_null() {
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let text = unsafe { CStr::from_ptr(name) }.to_bytes();
        let Some((main, is_wal)) = mains::owner_of(self, name, text) else { return Ok(()) };
        // SAFETY: the owner is removed from the list before it is freed, and SQLite deletes a log from the
        // thread that uses its connection.
        let Some((main, common)) = unsafe { &mut *main }.main() else { return Ok(()) };
        let Some(file) = main.file() else { return Ok(()) };
        let (mut link, path) = (Link { file, base: &mut common.base }, &common.path);
        if is_wal {
            return self.retire_wal(link, path);
        }
        if link.slots()? == 0 {
            self.keep_needed_journal(link.file.keys().clone(), path)?;
        }
        Ok(())
    }

    fn retire_wal(&self, mut link: Link<'_>, path: &Path) -> Result<()> {
        let cell = link.cell()?;
        if cell.active && link.slots()? == 0 {
            return Err(cut_to_nothing("write-ahead log holds commits", path));
        }
        let path = paths::beside(path, "-wal");
        if !cell.active && std::fs::metadata(&path).is_ok_and(|log| log.len() == 0) {
            // It says nothing that the cell does not.
            return Ok(());
        }
        match OwnFile::open(self.host(), &path)? {
            Some(mut log) => {
                WalFile::new(link.file.keys().clone(), true)?.retire(&mut log.base, &mut link)?;
                link.file.forget_log();
                link.file.record_unsynced(link.base)
            }
            None if cell.active => link.set_cell(false, [0; 16], cell.current, Some(SQLITE_SYNC_NORMAL)),
            None => Ok(()),
        }
    }

    /// A journal that restores pages of a main file that has none: the file was cut, the journal is evidence.
    fn keep_needed_journal(&self, keys: Arc<FileKeys>, path: &Path) -> Result<()> {
        let Some(mut file) = OwnFile::open(self.host(), &paths::beside(path, "-journal"))? else {
            return Ok(());
        };
        match JournalFile::new(keys, true)?.original_pages(&mut file.base)? {
            0 => Ok(()),
            _ => Err(cut_to_nothing("rollback journal holds pages of it", path)),
        }
    }
}

fn cut_to_nothing(evidence: &str, path: &Path) -> Fault {
    Fault::new(
        FaultClass::Tampered,
        format!("the database file was cut to nothing while its {evidence}; restore it from a backup"),
    )
    .in_file(FileKind::MainDb)
    .at_path(path)
}

fn logs_of(path: &Path) -> [PathBuf; 3] {
    [paths::beside(path, "-wal"), paths::beside(path, "-journal"), redo_path(path)]
}

fn being_made(code: c_int) -> Fault {
    Fault::new(FaultClass::Io, "another connection is making the database").with_code(code)
}
