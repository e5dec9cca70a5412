//! What the engine knows of a file that SQLite has open.

use std::ffi::c_int;
use std::path::PathBuf;

use super::base::BaseFile;
use super::database::{Database, Link, Phase};
use super::guest::Guest;
use super::host::Shim;
use super::wal_index::WalIndex;
use crate::files::journal::JournalFile;
use crate::files::main_db::MainFile;
use crate::files::temp::TempFile;
use crate::files::wal::WalFile;
use crate::library::abi::*;
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::stats::Tally;

/// An open file.
pub struct OpenFile {
    /// The VFS it was opened through.
    pub shim: &'static Shim,
    /// The path, for reports; empty for files without a name.
    pub path: PathBuf,
    /// The file below.
    pub base: BaseFile,
    /// What it is to us.
    pub content: Content,
    /// For a main database: its journal and its WAL, while they are open.
    pub journal: *mut OpenFile,
    /// See `journal`.
    pub wal: *mut OpenFile,
    /// For a main database: the first page of its wal-index, once mapped.
    pub wal_index: Option<WalIndex>,
    /// For a main database: what its checkpoint does to it.
    pub(super) checkpoint: Checkpoint,
    /// For a main database: so many frames of the log were committed when its checkpoint made them durable.
    pub(super) durable_frames: Option<u32>,
    /// For a main database: it holds the lock of WAL writers.
    pub excludes_writers: bool,
    /// Where SQLite notes which connection uses the file; null until it is known.
    pub(super) user: *const *mut sqlite3,
    /// It was opened for reading only.
    pub(super) read_only: bool,
    /// The connection that it belongs to, by its address; 0 where it is not known, or several share the file.
    pub(super) connection: usize,
    /// It is the connection's main database.
    pub(super) is_own_main: bool,
    /// It was made by opening it, and is of no use: if it is still empty when it is closed, it goes.
    pub(super) is_stray: bool,
    /// For a main database: what `PRAGMA mmap_size` was set to.
    pub(super) mmap_size: Option<i64>,
    /// The lock that it holds on the file.
    pub(super) level: c_int,
    /// A call is under way. Still set when the next one begins, it says that a panic cut that call short.
    pub(super) busy: bool,
    /// Its counters; none of what was passed through from the beginning.
    pub(super) tally: Option<Tally>,
}

/// What a file is to us.
pub enum Content {
    /// Passed through: a plaintext database of the pass-through VFS and its logs, or a super-journal.
    Plain,
    /// A main database.
    Main(Box<Database>),
    /// A rollback journal and the main database it belongs to.
    Journal(Box<JournalFile>, *mut OpenFile),
    /// A WAL and the main database it belongs to.
    Wal(Box<WalFile>, *mut OpenFile),
    /// A temporary file.
    Temp(Box<TempFile>),
    /// A file of a format that is not ours.
    Guest(Box<dyn Guest>),
}

impl Content {
    /// The counters of a file with this content.
    pub(super) fn tally(&self) -> Option<Tally> {
        let kind = match self {
            Content::Plain => return None,
            Content::Main(_) => FileKind::MainDb,
            Content::Journal(..) => FileKind::MainJournal,
            Content::Wal(..) => FileKind::Wal,
            Content::Temp(file) => file.kind(),
            Content::Guest(file) => file.kind(),
        };
        Some(Tally::new(kind))
    }
}

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
    /// A file just opened below.
    pub fn new(shim: &'static Shim, path: PathBuf, base: BaseFile, content: Content) -> Box<Self> {
        let tally = content.tally();
        Box::new(OpenFile {
            shim,
            path,
            base,
            content,
            journal: std::ptr::null_mut(),
            wal: std::ptr::null_mut(),
            wal_index: None,
            checkpoint: Checkpoint::None,
            durable_frames: None,
            excludes_writers: false,
            user: std::ptr::null(),
            read_only: false,
            connection: 0,
            is_own_main: false,
            is_stray: false,
            mmap_size: None,
            level: SQLITE_LOCK_NONE,
            busy: false,
            tally,
        })
    }

    /// The WAL of a database and the file below it, while it is open.
    pub(super) fn wal_and_base(&mut self) -> Option<(&mut WalFile, &mut BaseFile)> {
        // SAFETY: as in `wal_file`.
        match unsafe { self.wal.as_mut() } {
            Some(OpenFile { content: Content::Wal(file, _), base, .. }) => Some((file, base)),
            _ => None,
        }
    }

    /// The WAL of a database, while it is open.
    pub(super) fn wal_file(&mut self) -> Option<&mut WalFile> {
        // SAFETY: set while the WAL is open, cleared by its close.
        match unsafe { self.wal.as_mut() } {
            Some(OpenFile { content: Content::Wal(file, _), .. }) => Some(file),
            _ => None,
        }
    }

    /// The main file of an unlocked database.
    pub(super) fn main_file(&mut self) -> Option<(&mut MainFile, &mut BaseFile)> {
        match &mut self.content {
            Content::Main(database) => match &mut database.phase {
                Phase::Ready(file) => Some((file, &mut self.base)),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The main database of a WAL.
///
/// # Safety
/// `main` is null or an open file that outlives the link and is not borrowed elsewhere.
pub unsafe fn link_of<'a>(main: *mut OpenFile) -> Result<Link<'a>> {
    // SAFETY: as the caller promises.
    let main = unsafe { main.as_mut() };
    match main {
        Some(OpenFile { content: Content::Main(database), base, .. }) => {
            Ok(Link { file: database.ready()?, base })
        }
        _ => Err(Fault::new(FaultClass::Internal, "a write-ahead log without its database")),
    }
}
