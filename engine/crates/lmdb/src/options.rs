//! How an environment is opened, and what kinds of databases there are in it.

use std::ffi::c_uint;

use lmdb_sys as sys;

use crate::cipher::{Identity, Protection};
use crate::error::{Error, Result};

/// What a commit promises when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// It survives a power cut.
    #[default]
    Full,
    /// A power cut may undo the last commit, and never leaves half of one (`MDB_NOMETASYNC`).
    NoMetaSync,
    /// A power cut may destroy the environment (`MDB_NOSYNC`); a killed process does not.
    NoSync,
}

/// Kinds of databases, as LMDB's flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DatabaseFlags(pub(crate) c_uint);

impl DatabaseFlags {
    /// Keys are compared from their last byte on.
    pub const REVERSE_KEY: Self = Self(sys::MDB_REVERSEKEY);
    /// A key may have several values, which are sorted.
    pub const DUP_SORT: Self = Self(sys::MDB_DUPSORT);
    /// Keys are native integers.
    pub const INTEGER_KEY: Self = Self(sys::MDB_INTEGERKEY);
    /// Values of a key all have one size.
    pub const DUP_FIXED: Self = Self(sys::MDB_DUPFIXED);
    /// Values are native integers.
    pub const INTEGER_DUP: Self = Self(sys::MDB_INTEGERDUP);
    /// Values are compared from their last byte on.
    pub const REVERSE_DUP: Self = Self(sys::MDB_REVERSEDUP);

    /// Flags as LMDB counts them; what is no kind of database is left out.
    pub fn from_bits(bits: u32) -> Self {
        const ALL: c_uint = sys::MDB_REVERSEKEY
            | sys::MDB_DUPSORT
            | sys::MDB_INTEGERKEY
            | sys::MDB_DUPFIXED
            | sys::MDB_INTEGERDUP
            | sys::MDB_REVERSEDUP;
        Self(bits & ALL)
    }

    /// As LMDB counts them.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `other` are there.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for DatabaseFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How an environment is opened.
pub struct Options {
    pub(crate) protection: Protection,
    pub(crate) identity: Identity,
    pub(crate) page_size: Option<u32>,
    pub(crate) map_size: usize,
    pub(crate) cache_size: usize,
    pub(crate) header_len: usize,
    pub(crate) max_dbs: u32,
    pub(crate) max_readers: u32,
    pub(crate) read_only: bool,
    pub(crate) lock: bool,
    pub(crate) readahead: bool,
    pub(crate) durability: Durability,
    pub(crate) previous_snapshot: bool,
    pub(crate) mode: u32,
}

impl Options {
    /// The defaults, for one protection and identity.
    pub fn new(protection: Protection, identity: Identity) -> Self {
        Options {
            protection,
            identity,
            page_size: None,
            // Nothing is reserved for it, so it is as large as any file.
            map_size: 1 << 46,
            cache_size: 64 << 20,
            header_len: 0,
            max_dbs: 32,
            max_readers: 4096,
            read_only: false,
            lock: true,
            readahead: true,
            durability: Durability::Full,
            previous_snapshot: false,
            mode: 0o600,
        }
    }

    /// The size of a new environment's pages: a power of two from 512 to 65536.
    pub fn page_size(mut self, bytes: u32) -> Self {
        self.page_size = Some(bytes);
        self
    }

    /// The most that the environment may grow to.
    pub fn map_size(mut self, bytes: usize) -> Self {
        self.map_size = bytes;
        self
    }

    /// How many bytes of clear pages are kept, but for those in use.
    pub fn cache_size(mut self, bytes: usize) -> Self {
        self.cache_size = bytes;
        self
    }

    /// LMDB's pages begin so many bytes into the file; what is before them is the caller's. A multiple of 65536.
    pub fn header_len(mut self, bytes: usize) -> Self {
        self.header_len = bytes;
        self
    }

    /// How many named databases may be open at once.
    pub fn max_dbs(mut self, count: u32) -> Self {
        self.max_dbs = count;
        self
    }

    /// How many read transactions there may be at once, in all processes.
    pub fn max_readers(mut self, count: u32) -> Self {
        self.max_readers = count;
        self
    }

    /// Nothing is written.
    pub fn read_only(mut self, on: bool) -> Self {
        self.read_only = on;
        self
    }

    /// Without a lock file; the caller sees to it that nobody writes meanwhile.
    pub fn lock(mut self, on: bool) -> Self {
        self.lock = on;
        self
    }

    /// Whether the system may read ahead.
    pub fn readahead(mut self, on: bool) -> Self {
        self.readahead = on;
        self
    }

    /// What a commit promises.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Opens the state before the last commit. Nobody else may have the environment open.
    pub fn previous_snapshot(mut self, on: bool) -> Self {
        self.previous_snapshot = on;
        self
    }

    /// The permissions of new files.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Refused: the pages in the map would be in clear, and LMDB drops the wish without a word.
    pub fn write_map(self, on: bool) -> Result<Self> {
        match on {
            true => Err(Error::Refused(
                "writemap does not go with encryption: pages in the map would be in clear",
            )),
            false => Ok(self),
        }
    }

    /// Refused: there is no one map whose address could be fixed.
    pub fn fixed_map(self, on: bool) -> Result<Self> {
        match on {
            true => Err(Error::Refused(
                "fixedmap does not go with encryption: pages are not used where they are mapped",
            )),
            false => Ok(self),
        }
    }

    /// The same once more, for a copy under the same key.
    pub(crate) fn again(&self) -> Options {
        let protection = match &self.protection {
            Protection::Sealed { suite, key } => Protection::Sealed { suite: *suite, key: key.duplicate() },
            Protection::Checksum => Protection::Checksum,
        };
        Options { protection, read_only: false, previous_snapshot: false, ..*self }
    }

    pub(crate) fn flags(&self) -> c_uint {
        let when = |on: bool, flag: c_uint| if on { flag } else { 0 };
        sys::MDB_NOSUBDIR
            | sys::MDB_NOTLS
            | sys::MDB_REMAP_CHUNKS
            | when(self.read_only, sys::MDB_RDONLY)
            | when(!self.lock, sys::MDB_NOLOCK)
            | when(!self.readahead, sys::MDB_NORDAHEAD)
            | when(self.previous_snapshot, sys::MDB_PREVSNAPSHOT)
            | match self.durability {
                Durability::Full => 0,
                Durability::NoMetaSync => sys::MDB_NOMETASYNC,
                Durability::NoSync => sys::MDB_NOSYNC,
            }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.page_size.is_some_and(|size| !size.is_power_of_two() || !(512..=65536).contains(&size)) {
            return Err(Error::Refused("the page size must be a power of two from 512 to 65536"));
        }
        if !self.header_len.is_multiple_of(65536) {
            return Err(Error::Refused("the header's length must be a multiple of 65536"));
        }
        if self.cache_size == 0 || self.max_readers == 0 {
            return Err(Error::Refused("the cache and the number of readers must not be 0"));
        }
        Ok(())
    }
}
