//! A main database on its way from a file name to a key: new, locked, refused or ready.

use std::sync::Arc;

use super::base::BaseFile;
use crate::crypto::suite::SuiteId;
use crate::error::{Fault, FaultClass, FileKind, Result};
use crate::files::main_db::MainFile;
use crate::files::storage::{Storage, is_zero};
use crate::files::wal::MainLink;
use crate::format::cell::Cell;
use crate::format::geometry::HEADER_LEN;
use crate::format::header::{self, CreateOptions};
use crate::format::superblock::{SUPERBLOCK_LEN, Superblock};
use crate::keys::file_keys::FileKeys;
use crate::keys::material::Key;
use crate::keys::registry::OpenOptions;
use crate::keys::unlock;
use crate::stats::{STATS, Stats};

/// What SQLite itself syncs with by default (SQLITE_SYNC_NORMAL).
const SYNC_NORMAL: i32 = 2;

/// How far a main database has come.
pub enum Phase {
    /// The file is empty: it becomes a database with its first transaction.
    New,
    /// The file is encrypted and no key is known yet.
    Locked,
    /// The file must not be used, for the reason given.
    Refused(Fault),
    /// Unlocked.
    Ready(MainFile),
}

/// One connection's main database.
pub struct Database {
    /// How far it has come.
    pub phase: Phase,
    /// The file's path, for reports.
    pub path: String,
    /// What the connection was opened with.
    pub options: OpenOptions,
    /// A database whose keys a new file takes over (VACUUM INTO, ATTACH of a new file).
    pub heir_of: Option<(Superblock, Arc<FileKeys>)>,
    /// The superblock, once unlocked.
    pub superblock: Option<Superblock>,
    /// An empty file opened without a key through the pass-through VFS: it stays plaintext unless its
    /// connection turns out to be an encrypted one.
    pub may_stay_plain: bool,
    /// The user accepts that a missing WAL is gone (`lumo_discard_wal=1`).
    pub discard_wal: bool,
    /// The user accepts that a damaged rollback journal is rolled back as far as it goes
    /// (`lumo_partial_journal=1`).
    pub partial_journal: bool,
    /// The database is among those that the process has open.
    pub counted: bool,
}

impl Database {
    /// The unlocked file, or why there is none.
    pub fn ready(&mut self) -> Result<&mut MainFile> {
        match &mut self.phase {
            Phase::Ready(file) => Ok(file),
            Phase::Refused(fault) => Err(fault.clone()),
            Phase::New | Phase::Locked => Err(key_required(&self.path)),
        }
    }

    /// Reads the header of a file that is not empty and unlocks it with the key at hand, if any.
    pub fn unlock(&mut self, base: &mut BaseFile) -> Result<()> {
        let region = read_header(base)?;
        if is_unfinished(&region, base.size()?) {
            return Ok(());
        }
        let key = self.options.key.clone();
        match unlock::unlock(&region, key.as_deref(), &self.options.limits, &self.path) {
            Ok((keys, superblock)) => self.adopt(base, keys, superblock),
            Err(fault) if fault.class == FaultClass::KeyRequired => {
                // A file that shares its data key with the connection's main database needs no key of its own.
                if let Some((_, parent)) = &self.heir_of
                    && let Some((keys, superblock)) = unlock::unlock_relative(&region, parent, &self.path)?
                {
                    return self.adopt(base, keys, superblock);
                }
                self.phase = Phase::Locked;
                Ok(())
            }
            Err(fault) => Err(fault.at_path(&self.path)),
        }
    }

    fn adopt(&mut self, base: &mut BaseFile, keys: Arc<FileKeys>, superblock: Superblock) -> Result<()> {
        if !superblock.suite.is_available() {
            return Err(Fault::new(
                FaultClass::UnsupportedFormat,
                format!("this build cannot use the cipher {}", superblock.suite.name()),
            ));
        }
        let mut file = MainFile::new(keys, superblock.block_size)?;
        // The cell is read with every WAL; a header without one is better refused at once.
        file.read_cell(base)?;
        file.lock_taken();
        self.phase = Phase::Ready(file);
        self.superblock = Some(superblock);
        self.may_stay_plain = false;
        if !self.counted {
            self.counted = true;
            Stats::count(&STATS.opened);
            Stats::count(&STATS.open);
        }
        Ok(())
    }

    /// SQLite is about to use the database under a lock: a new file may have been created by another
    /// connection since we looked.
    pub fn settle(&mut self, base: &mut BaseFile) -> Result<()> {
        if matches!(self.phase, Phase::New) && base.size()? > 0 {
            // Another connection has created the database, or is about to.
            self.unlock(base)?;
        }
        match &mut self.phase {
            Phase::New => Ok(()),
            Phase::Ready(file) => {
                file.lock_taken();
                Ok(())
            }
            Phase::Locked => Err(key_required(&self.path)),
            Phase::Refused(fault) => Err(fault.clone()),
        }
    }

    /// Makes the empty file a database: both header copies and cells, synced before anything refers to them.
    ///
    /// SQLite holds RESERVED or more when this is called, so nobody else is creating it.
    pub fn create(&mut self, base: &mut BaseFile) -> Result<()> {
        if !matches!(self.phase, Phase::New) {
            return self.ready().map(|_| ());
        }
        if base.size()? > 0 {
            self.settle(base)?;
            if !matches!(self.phase, Phase::New) {
                return Ok(());
            }
        }
        let (region, keys, superblock) = match &self.heir_of {
            Some((parent, keys)) if self.options.key.is_none() => header::create_copy_of(parent, keys)?,
            _ => {
                let suite = self.options.suite.unwrap_or(SuiteId::DEFAULT);
                if suite.is_keyed() && self.options.key.is_none() {
                    return Err(key_required(&self.path));
                }
                let defaults = CreateOptions::default();
                let options = CreateOptions {
                    suite,
                    block_size: self.options.block_size.unwrap_or(defaults.block_size),
                    kdf: self.options.kdf.unwrap_or(defaults.kdf),
                    label: self.options.label.clone().unwrap_or_default(),
                };
                header::create(self.options.key.as_deref(), &options)?
            }
        };
        // Copy A comes last: until it begins to be there, the file is an unfinished creation and not a damaged
        // database.
        base.write(&region[SUPERBLOCK_LEN..], SUPERBLOCK_LEN as u64)?;
        base.sync(SYNC_NORMAL)?;
        base.write(&region[..SUPERBLOCK_LEN], 0)?;
        base.sync(SYNC_NORMAL)?;
        Stats::count(&STATS.created);
        self.adopt(base, Arc::new(keys), superblock)
    }

    /// `PRAGMA lumo_key`: unlocks a locked database, names the key of a new one, checks the key of an open one.
    pub fn offer_key(&mut self, base: &mut BaseFile, key: Key) -> Result<()> {
        let key = Arc::new(key);
        match &self.phase {
            Phase::Refused(fault) => Err(fault.clone()),
            Phase::New if base.size()? == 0 || is_unfinished(&read_header(base)?, base.size()?) => {
                self.options.key = Some(key);
                self.may_stay_plain = false;
                Ok(())
            }
            Phase::Ready(_) => {
                let region = read_header(base)?;
                unlock::unlock(&region, Some(&key), &self.options.limits, &self.path).map(|_| ())
            }
            Phase::New | Phase::Locked => {
                let before = self.options.key.replace(key);
                let result = self.unlock(base);
                if result.is_err() {
                    self.options.key = before;
                }
                result
            }
        }
    }

    /// The name of the cipher in use, or to be used.
    pub fn cipher(&self) -> &'static str {
        match (&self.superblock, self.options.suite) {
            (Some(superblock), _) => superblock.suite.name(),
            (None, Some(suite)) => suite.name(),
            (None, None) => SuiteId::DEFAULT.name(),
        }
    }

    /// `PRAGMA lumo_status`: one JSON object.
    pub fn status(&self) -> String {
        let state = match &self.phase {
            Phase::New => "new",
            Phase::Locked => "locked",
            Phase::Refused(_) => "refused",
            Phase::Ready(_) => "unlocked",
        };
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        serde_json::json!({
            "state": state,
            "encrypted": self.superblock.as_ref().is_some_and(|superblock| superblock.suite.is_keyed()),
            "cipher": self.cipher(),
            "uuid": self.superblock.as_ref().map(|superblock| hex(&superblock.uuid)),
            "key_id": self.superblock.as_ref().map(|superblock| hex(&superblock.key_id)),
            "block_size": self.superblock.as_ref().map(|superblock| superblock.block_size),
            "format_version": 1,
            "engine_version": env!("CARGO_PKG_VERSION"),
        })
        .to_string()
    }
}

/// The header region of a file that is not empty; shorter than the region if the file is.
pub fn read_header(base: &mut BaseFile) -> Result<Vec<u8>> {
    let len = base.size()?.min(HEADER_LEN) as usize;
    let mut region = vec![0; len];
    base.read(&mut region, 0)?;
    Ok(region)
}

/// Did a crash leave the creation of a database behind? Then superblock copy A, which is written last, is
/// still all zeros, copy B is not intact, and there are no slots.
fn is_unfinished(region: &[u8], size: u64) -> bool {
    size <= HEADER_LEN
        && is_zero(&region[..region.len().min(SUPERBLOCK_LEN)])
        && header::parse(region).is_err()
}

/// What a connection without a key is told.
fn key_required(path: &str) -> Fault {
    Fault::new(
        FaultClass::KeyRequired,
        "the database is encrypted and no key was given: pass key= to lumocrypt.connect, run PRAGMA lumo_key = '…', \
         or set LUMO_KEY",
    )
    .at_path(path)
    .in_file(FileKind::MainDb)
}

/// The main file as its WAL sees it.
pub struct Link<'a> {
    /// The unlocked main file.
    pub file: &'a mut MainFile,
    /// Its bytes.
    pub base: &'a mut BaseFile,
}

impl MainLink for Link<'_> {
    fn cell(&mut self) -> Result<Cell> {
        self.file.read_cell(self.base).map(|(cell, _)| cell)
    }

    fn set_cell(
        &mut self,
        active: bool,
        current: [u8; 16],
        previous: [u8; 16],
        sync: Option<i32>,
    ) -> Result<()> {
        self.file.write_cell(self.base, active, current, previous, sync)
    }

    fn slots(&mut self) -> Result<u64> {
        self.file.slots(self.base)
    }

    fn set_holes_from(&mut self, slots: Option<u64>) {
        self.file.set_holes_from(slots);
    }
}
