//! What can go wrong, told apart: the classes that hosts see and the facts that go with them.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::paths;

/// What a plaintext SQLite database begins with (fileformat2, section 1.3.1).
pub const DATABASE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The kind of file a block belongs to. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum FileKind {
    /// The main database file.
    MainDb = 1,
    /// Its rollback journal.
    MainJournal = 2,
    /// Its write-ahead log.
    Wal = 3,
    /// A temporary or transient database.
    TempDb = 4,
    /// A sorter's spill file.
    TempJournal = 5,
    /// A statement journal.
    SubJournal = 6,
    /// The blocks that a change of the data key is writing.
    Redo = 7,
}

impl FileKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [FileKind; 6] = [
        FileKind::MainDb,
        FileKind::MainJournal,
        FileKind::Wal,
        FileKind::TempDb,
        FileKind::TempJournal,
        FileKind::SubJournal,
    ];

    /// Its place in [`FileKind::ALL`].
    pub fn index(self) -> usize {
        self as usize - 1
    }

    /// What a file of this kind is sealed in, and what its parts are called wherever they are numbered.
    pub fn unit(self) -> &'static str {
        match self {
            FileKind::MainDb | FileKind::TempDb | FileKind::Redo => "block",
            FileKind::Wal => "frame",
            FileKind::MainJournal | FileKind::TempJournal | FileKind::SubJournal => "extent",
        }
    }

    /// What every file of this kind begins with in clear, where that is known.
    pub fn beginning(self) -> Option<&'static [u8]> {
        (self == FileKind::MainDb).then_some(DATABASE_MAGIC)
    }

    /// The stable name used in error reports and metrics.
    pub fn name(self) -> &'static str {
        match self {
            FileKind::MainDb => "main",
            FileKind::MainJournal => "journal",
            FileKind::Wal => "wal",
            FileKind::TempDb => "temp",
            FileKind::TempJournal => "temp-journal",
            FileKind::SubJournal => "sub-journal",
            FileKind::Redo => "rekey",
        }
    }
}

/// The class of a failure. The numbers are part of the C ABI (`docs/reference/c-abi.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum FaultClass {
    /// The database is encrypted and no key was given.
    KeyRequired = 1,
    /// The key given opens no keyslot.
    WrongKey = 2,
    /// A key was given for a file that is not a lumocrypt database.
    NotEncrypted = 3,
    /// A block, log or cell failed authentication.
    Tampered = 4,
    /// Both superblock copies, or both WAL cells, are unusable.
    HeaderDamaged = 5,
    /// A newer version, an unknown suite, unknown flags, or a KDF cost that does not exist.
    UnsupportedFormat = 6,
    /// The file is in use in a way that forbids the operation.
    InUse = 7,
    /// An argument is malformed.
    InvalidArgument = 8,
    /// The operating system or the VFS below failed.
    Io = 9,
    /// No memory.
    NoMemory = 10,
    /// A bug in the engine.
    Internal = 11,
    /// A header that no key has authenticated yet asks for more key derivation than its reader allows.
    KdfLimit = 12,
    /// Another database than the one that was asked for.
    WrongDatabase = 13,
    /// A file that is to become a database and is none yet.
    NoDatabase = 14,
}

/// `number` as JSON has it under `"block"`, `"frame"` and `"extent"`: under the one that a file of `kind` is sealed in.
pub fn numbered(kind: Option<FileKind>, number: Option<u64>) -> [Option<u64>; 3] {
    let unit = kind.map_or("block", FileKind::unit);
    ["block", "frame", "extent"].map(|name| number.filter(|_| name == unit))
}

impl FaultClass {
    /// The stable name used across the C ABI.
    pub fn name(self) -> &'static str {
        match self {
            FaultClass::KeyRequired => "key_required",
            FaultClass::WrongKey => "wrong_key",
            FaultClass::NotEncrypted => "not_encrypted",
            FaultClass::Tampered => "tampered",
            FaultClass::HeaderDamaged => "header_damaged",
            FaultClass::UnsupportedFormat => "unsupported_format",
            FaultClass::InUse => "in_use",
            FaultClass::InvalidArgument => "invalid_argument",
            FaultClass::Io => "io",
            FaultClass::NoMemory => "no_memory",
            FaultClass::Internal => "internal",
            FaultClass::KdfLimit => "kdf_limit",
            FaultClass::WrongDatabase => "wrong_database",
            FaultClass::NoDatabase => "no_database",
        }
    }
}

/// A failure with everything known about it. `message` says what happened and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind of failure it is.
    pub class: FaultClass,
    /// One or two sentences for a person; never contains a secret.
    pub message: String,
    /// The file concerned.
    pub path: Option<PathBuf>,
    /// The kind of that file.
    pub kind: Option<FileKind>,
    /// The number of the block, frame or extent, from 0; which of them it is, the kind of file says.
    pub number: Option<u64>,
    /// SQLite's numbers of the first and the last page in that block, from 1.
    pub sqlite_pages: Option<(u64, u64)>,
    /// The SQLite result code it travels as; 0 until it reaches the VFS boundary.
    pub code: i32,
    /// The SQLite library that it was reported to, by its number; `None` for a call that SQLite had no part in.
    pub host: Option<u32>,
    /// The connection whose file it is, by its address; 0 where that is not known.
    pub connection: usize,
}

impl Fault {
    /// A failure of `class` with its message.
    pub fn new(class: FaultClass, message: impl Into<String>) -> Self {
        Fault {
            class,
            message: message.into(),
            path: None,
            kind: None,
            number: None,
            sqlite_pages: None,
            code: 0,
            host: None,
            connection: 0,
        }
    }

    /// Names the file, unless it is named already.
    #[must_use]
    pub fn at_path(mut self, path: impl AsRef<Path>) -> Self {
        self.path.get_or_insert_with(|| path.as_ref().to_owned());
        self
    }

    /// Names the kind of file.
    #[must_use]
    pub fn in_file(mut self, kind: FileKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Names the block, frame or extent.
    #[must_use]
    pub fn at_number(mut self, number: u64) -> Self {
        self.number = Some(number);
        self
    }

    /// Names SQLite's pages in the block, the first and the last.
    #[must_use]
    pub fn of_sqlite_pages(mut self, first: u64, last: u64) -> Self {
        self.sqlite_pages = Some((first, last));
        self
    }

    /// Names the connection, unless it is named already.
    #[must_use]
    pub fn of_connection(mut self, connection: usize) -> Self {
        if self.connection == 0 {
            self.connection = connection;
        }
        self
    }

    /// Sets the SQLite result code.
    #[must_use]
    pub fn with_code(mut self, code: i32) -> Self {
        self.code = code;
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(path) = &self.path {
            write!(f, " [{}]", paths::shown(path))?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// The engine's result type.
pub type Result<T> = std::result::Result<T, Fault>;
