//! A file that SQLite has open: what every one has, and what it is to us, which is one of six kinds.
//!
//! [`OpenFile`] is the shell: what SQLite calls comes in there (`file.rs`), and goes on to the kind as one call of the trait
//! [`SqliteFile`]. Each kind is a type of its own: [`MainDatabase`], [`Journal`], [`Wal`], [`Temporary`], [`GuestFile`] and
//! [`Plain`]. A log and its main database know each other as [`Companion`]s.

use std::ffi::c_int;
use std::path::{Path, PathBuf};

use super::base::BaseFile;
use super::database::Database;
use super::evidence;
use super::guest::Guest;
use super::host::Shim;
use super::shm_lock::ShmLock;
use super::wal_index::WalIndex;
use crate::files::journal::JournalFile;
use crate::files::wal::WalFile;
use crate::library::abi::*;
use ground::error::{FileKind, Result};
use ground::stats::Tally;

mod companion;
mod guest;
mod journal;
mod main_database;
mod plain;
mod temporary;
mod wal;

pub use companion::Companion;
pub use guest::GuestFile;
pub use journal::Journal;
pub use main_database::{Checkpoint, MainDatabase};
pub use plain::Plain;
pub use temporary::Temporary;
pub use wal::Wal;

/// Device characteristics that stay true above us. Masked: ATOMIC* (a page is not one device block any more),
/// SEQUENTIAL (our flushes may reorder), BATCH_ATOMIC (the VFS below would apply it to other offsets), SUBPAGE_READ (a
/// part of a page costs us the whole).
const KEPT: c_int = SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN | SQLITE_IOCAP_IMMUTABLE;

/// An open file.
pub struct OpenFile {
    /// What a file of each kind has.
    pub common: Common,
    /// What it is to us.
    pub file: Box<dyn SqliteFile>,
    /// Where SQLite notes which connection uses the file; null until it is known.
    pub(super) user: *const *mut sqlite3,
    /// The connection that it belongs to, by its address; 0 where it is not known, or several share the file.
    pub(super) connection: usize,
    /// It is the connection's main database.
    pub(super) is_own_main: bool,
    /// For a main database: what `PRAGMA mmap_size` was set to.
    pub(super) mmap_size: Option<i64>,
    /// A call is under way. Still set when the next one begins, it says that a panic cut that call short.
    pub(super) busy: bool,
    /// Its counters; none of what is passed through.
    pub(super) tally: Option<Tally>,
}

/// What an open file of each kind has.
pub struct Common {
    /// The VFS it was opened through.
    pub shim: &'static Shim,
    /// The path, for reports; empty for files without a name.
    pub path: PathBuf,
    /// The file below.
    pub base: BaseFile,
    /// For a main database: the first page of its wal-index, once mapped.
    pub wal_index: Option<WalIndex>,
    /// For a main database: it holds the lock of WAL writers.
    pub excludes_writers: bool,
    /// It was opened for reading only.
    pub(super) read_only: bool,
    /// The lock that it holds on the file.
    pub(super) level: c_int,
}

impl Common {
    /// For a main database: its connection is in a write transaction, so nobody else writes.
    pub(super) fn excludes_other_writers(&self) -> bool {
        self.excludes_writers || self.level >= SQLITE_LOCK_RESERVED
    }

    /// For a main database: it holds the file's exclusive lock, as the last one to leave a WAL does.
    pub(super) fn excludes_all(&self) -> bool {
        self.level == SQLITE_LOCK_EXCLUSIVE
    }

    /// For a log: if a recovery is going to lose something of it, a copy is kept.
    fn keep_evidence(&self, loss: Option<String>) {
        evidence::keep(&self.shim.host().api, &self.path, loss);
    }
}

/// What is to become of a file control.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The file below is told.
    PassOn,
    /// This is SQLite's answer.
    Answer(c_int),
}

/// A file as one of the kinds there are. `common` is what the same file has beside.
///
/// What these call, the VFS below among it, may lead to calls for other files of the same connection, its companions too.
/// So of a companion nothing stays borrowed for longer than one call of its own.
pub trait SqliteFile {
    /// The kind of file; `None` if it is passed through, which is neither counted nor told to recorders.
    fn kind(&self) -> Option<FileKind>;

    /// `xRead`: whether the file had all of it; what it had not is zeros.
    fn read(&mut self, common: &mut Common, buf: &mut [u8], offset: u64) -> Result<bool>;

    /// `xWrite`.
    fn write(&mut self, common: &mut Common, data: &[u8], offset: u64) -> Result<()>;

    /// `xTruncate`, to `size` bytes.
    fn truncate(&mut self, common: &mut Common, size: u64) -> Result<()>;

    /// `xSync`.
    fn sync(&mut self, common: &mut Common, flags: c_int) -> Result<()>;

    /// `xFileSize`, in bytes.
    fn size(&mut self, common: &mut Common) -> Result<u64>;

    /// SQLite has the file now, as `own`: a log makes itself known to its main database. Returns the connection that it
    /// belongs to, if that is known by now, or 0.
    ///
    /// # Safety
    /// `own` is the open file that this is in, and stays there until it is closed.
    unsafe fn introduce(&mut self, own: *mut OpenFile) -> usize {
        let _ = own;
        0
    }

    /// The file is about to be closed. `xClose` reports nothing.
    fn close(&mut self, common: &mut Common) {
        let _ = common;
    }

    /// Somebody may have changed the data key of the database. `always`: its header is read again even if it looks like the
    /// one that is known. Returns whether there is another data key.
    ///
    /// Errors: as [`Database::follow`].
    fn follow(&mut self, common: &mut Common, always: bool) -> Result<bool> {
        let _ = (common, always);
        Ok(false)
    }

    /// SQLite wants a lock on the file, and has none yet.
    fn before_first_lock(&mut self) -> Result<()> {
        Ok(())
    }

    /// SQLite got a lock on the file, instead of one of the level `before`. An error takes it back.
    fn locked(&mut self, common: &mut Common, before: c_int) -> Result<()> {
        let _ = (common, before);
        Ok(())
    }

    /// SQLite goes back to a lock of `level`. An error is told after that.
    fn before_unlock(&mut self, common: &mut Common, level: c_int) -> Result<()> {
        let _ = (common, level);
        Ok(())
    }

    /// A writer of the WAL is about to let others write.
    fn before_shm_unlock(&mut self, common: &mut Common) {
        let _ = common;
    }

    /// A lock of the shared memory was taken, or was given back. An error takes one back that was taken.
    fn shm_locked(&mut self, common: &mut Common, lock: &ShmLock) -> Result<()> {
        let _ = common;
        lock.begins();
        Ok(())
    }

    /// A file control that means the same to files of every kind.
    fn file_control(&mut self, common: &mut Common, operation: c_int) -> Result<Control> {
        let _ = common;
        Ok(masked(operation))
    }

    /// The device characteristics that SQLite is told, where the file below has `below`.
    ///
    /// Said of a main file SAFE_APPEND is meant of its journal: what is appended counts from when all of it is there, because
    /// reading a journal stops at the first extent that does not authenticate. SQLite then need not write, and sync in
    /// between, how many records there are.
    fn device_characteristics(&self, below: c_int) -> c_int {
        below & (KEPT | SQLITE_IOCAP_POWERSAFE_OVERWRITE) | SQLITE_IOCAP_SAFE_APPEND
    }

    /// The sector size in bytes that SQLite is told: what a write may destroy around it. Below it is `below`;
    /// `powersafe`: and there a write destroys nothing around it.
    fn sector_size(&mut self, common: &mut Common, below: c_int, powersafe: bool) -> c_int {
        let _ = (common, powersafe);
        below
    }

    /// It is about to be used, and is to be passed through from here on.
    fn becomes_plain(&self) -> bool {
        false
    }

    /// `PRAGMA lumo_status`: one JSON object.
    fn status(&self) -> String {
        r#"{"state":"plain","encrypted":false}"#.to_owned()
    }

    /// The main database that this is.
    fn main(&mut self) -> Option<&mut MainDatabase> {
        None
    }

    /// As `main`, to look at.
    fn main_ref(&self) -> Option<&MainDatabase> {
        None
    }

    /// The rollback journal that this is.
    fn journal(&mut self) -> Option<&mut JournalFile> {
        None
    }

    /// The WAL that this is.
    fn wal(&mut self) -> Option<&mut WalFile> {
        None
    }

    /// The file of another format that this is.
    fn guest(&mut self) -> Option<&mut dyn Guest> {
        None
    }
}

/// What becomes of a file control of a file whose bytes are not those that SQLite sees.
fn masked(operation: c_int) -> Control {
    match operation {
        // Hints in logical sizes, which the file below would apply to physical ones.
        SQLITE_FCNTL_SIZE_HINT | SQLITE_FCNTL_CHUNK_SIZE | SQLITE_FCNTL_OVERWRITE => {
            Control::Answer(SQLITE_OK)
        }
        SQLITE_FCNTL_BEGIN_ATOMIC_WRITE
        | SQLITE_FCNTL_COMMIT_ATOMIC_WRITE
        | SQLITE_FCNTL_ROLLBACK_ATOMIC_WRITE => Control::Answer(SQLITE_NOTFOUND),
        _ => Control::PassOn,
    }
}

impl OpenFile {
    /// A file just opened below.
    pub fn new(shim: &'static Shim, path: PathBuf, base: BaseFile, file: Box<dyn SqliteFile>) -> Box<Self> {
        let tally = file.kind().map(Tally::new);
        let common = Common {
            shim,
            path,
            base,
            wal_index: None,
            excludes_writers: false,
            read_only: false,
            level: SQLITE_LOCK_NONE,
        };
        Box::new(OpenFile {
            common,
            file,
            user: std::ptr::null(),
            connection: 0,
            is_own_main: false,
            mmap_size: None,
            busy: false,
            tally,
        })
    }

    /// The main database that this is, and what the file has beside.
    pub fn main(&mut self) -> Option<(&mut MainDatabase, &mut Common)> {
        Some((self.file.main()?, &mut self.common))
    }

    /// The same without what only its connection knows of it: the database, and the file below.
    pub fn database(&mut self) -> Option<(&mut Database, &mut BaseFile)> {
        Some((&mut self.file.main()?.database, &mut self.common.base))
    }

    /// The same, to look at.
    pub fn database_ref(&self) -> Option<&Database> {
        self.file.main_ref().map(|main| &main.database)
    }

    /// The file of another format that this is, the file below, and its path.
    pub fn guest(&mut self) -> Option<(&mut dyn Guest, &mut BaseFile, &Path)> {
        Some((self.file.guest()?, &mut self.common.base, &self.common.path))
    }

    /// Is it passed through?
    pub fn is_plain(&self) -> bool {
        self.file.kind().is_none()
    }

    /// See [`SqliteFile::follow`].
    pub(super) fn follow(&mut self, always: bool) -> Result<bool> {
        self.file.follow(&mut self.common, always)
    }

    /// A new database whose connection has turned out to be one in clear is passed through from here on.
    pub(super) fn settle_plain(&mut self) {
        if self.file.becomes_plain() {
            self.file = Box::new(Plain);
            self.tally = None;
        }
    }
}
