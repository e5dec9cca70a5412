//! A main database on its way from a file name to a key: new, locked, refused or ready.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::base::BaseFile;
use super::given::{self, Given, Origin};
use super::host::Shim;
use super::orphans::NewMain;
use super::own_file::OwnFile;
use super::sharing;
use crate::facts;
use crate::files::header_region::{replace_copies, write_copies};
use crate::files::journal::Buffers;
use crate::files::main_db::{CurrentLog, MainFile};
use crate::files::wal::MainLink;
use crate::format::header::HEADER_LEN;
use crate::format::header::{self, CopyState, Header};
use crypto::suite::SuiteId;
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::sabotage::{self, Sabotage};
use ground::stats::{STATS, Stats};
use storage::{SYNC_NORMAL, Storage};
use vault::file_keys::FileKeys;
use vault::format::cell::Cell;
use vault::format::superblock::{self, GENERATION_AT, Superblock};
use vault::material::Key;
use vault::registry::OpenOptions;
use vault::{unlock, unlocked};

/// The block size in bytes of a new database until its first page is written: SQLite's default page size.
const DEFAULT_BLOCK_SIZE: u32 = 4096;
/// How often the header is read again because it changed meanwhile. Each change of it takes two syncs.
const OPEN_TRIES: u32 = 10;

/// How far a main database has come.
pub enum Phase {
    /// The file is empty: it becomes a database with its first transaction.
    New,
    /// The file is encrypted and no key is known yet.
    Locked,
    /// The file must not be used, for the reason given.
    Refused(Fault),
    /// Unlocked.
    Ready(Box<MainFile>),
}

/// What a superblock copy says from [`GENERATION_AT`] on: generation, UUID, key id.
pub type Identity = [u8; 40];

/// What a lock that was taken means for what is known of the file.
#[derive(Clone, Copy)]
pub enum News {
    /// Others could not change it since the last one.
    None,
    /// It may have changed.
    Lock,
    /// A transaction begins, and it may have changed.
    Transaction,
}

/// How far a change of the data key by this connection has come.
pub struct Progress {
    /// The name of the new data key.
    pub key_id: [u8; 16],
    /// The next block; beyond all numbers when there is none.
    pub next: u64,
    /// Blocks were being written and may not be durable, whatever can be read of them: the last step failed.
    pub unsettled: bool,
    /// The file that they are kept in is known to have its name durably.
    pub named: bool,
}

impl Progress {
    /// Nothing was done yet.
    pub fn new(key_id: [u8; 16]) -> Self {
        Progress { key_id, next: 0, unsettled: false, named: false }
    }
}

/// One connection's main database.
pub struct Database {
    /// How far it has come.
    pub phase: Phase,
    /// The file's path, for reports.
    pub path: PathBuf,
    /// What the connection was opened with, and which database is wanted.
    pub options: OpenOptions,
    /// Where its key comes from.
    pub origin: Origin,
    /// What the path is known by, if it is unlocked: it is about an encrypted database then, and about one alone.
    pub entry: Option<u64>,
    /// The caller named the database that is wanted, by its UUID.
    pub pinned: bool,
    /// The connection was told to share its cache.
    pub shares_cache: bool,
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
    /// The cipher was asked for by name.
    pub cipher_named: bool,
    /// The sector size that SQLite was told, which it never asks for again; 0 before it asks.
    pub sector_told: u32,
    /// The file had no blocks when its header was read: another connection may still change the block size.
    pub empty_when_read: bool,
    /// The header of a database without blocks is durable, as far as this connection saw to it itself.
    pub header_confirmed: bool,
    /// Where the superblock copy is that a crash left behind the other.
    pub stale_copy: Option<u64>,
    /// What superblock copy A says of itself since the header was last read, as it is stored: something else says that
    /// somebody has changed the header since, or put another database in its place.
    pub generation_seen: Identity,
    /// A change of the data key by this connection.
    pub rekey: Option<Progress>,
    /// The database is among those that the process has open.
    pub counted: bool,
    /// There was no file of that name when it was opened, and the logs beside it are yet to be looked at.
    pub new_main: Option<NewMain>,
    /// The memory of the last rollback journal, for the next.
    pub journal_buffers: Buffers,
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
        let mut tries = OPEN_TRIES;
        loop {
            tries -= 1;
            match self.try_unlock(base) {
                // The header is read without a lock, and its parts one after the other: the data key may have been changed
                // in between.
                Err(fault)
                    if fault.class == FaultClass::HeaderDamaged
                        && tries > 0
                        && generation_of(base)? != self.generation_seen => {}
                result => return result,
            }
        }
    }

    fn try_unlock(&mut self, base: &mut BaseFile) -> Result<()> {
        let region = read_header(base)?;
        if header::is_unfinished(&region, base.size()?) {
            return Ok(());
        }
        let header = header::parse(region).map_err(|fault| fault.at_path(&self.path))?;
        self.generation_seen = generation_in(&header);
        match unlock::unlock_as(&header, self.options.key.as_deref(), &self.options, &self.path) {
            Ok((keys, superblock)) => self.adopt(base, keys, superblock),
            Err(fault) if fault.class == FaultClass::KeyRequired => {
                self.phase = Phase::Locked;
                Ok(())
            }
            Err(fault)
                if matches!(fault.class, FaultClass::WrongKey | FaultClass::KdfLimit)
                    && self.origin == Origin::Environment =>
            {
                // The file may turn out to be a relative of the connection's main database.
                self.phase = Phase::Refused(fault.at_path(&self.path));
                Ok(())
            }
            Err(fault) => Err(fault.at_path(&self.path)),
        }?;
        self.inherit(base, header.raw())?;
        self.stale_copy = header.stale_copy();
        Ok(())
    }

    /// Somebody may have changed the header since it was last read: a keyslot, or the data key. `always`: it is read
    /// whatever its generation. Returns whether the data key is another one, or is not being changed any more.
    ///
    /// Errors: `WrongKey` if what opened the database opens it no more.
    pub fn follow(&mut self, base: &mut BaseFile, always: bool) -> Result<bool> {
        let Phase::Ready(file) = &mut self.phase else { return Ok(false) };
        if !always && (generation_of(base)? == self.generation_seen || sabotage::is(Sabotage::StaleKey)) {
            return Ok(false);
        }
        let region = read_header(base)?;
        let header = header::parse(region).map_err(|fault| replaced(fault).at_path(&self.path))?;
        let before = Arc::clone(file.keys());
        let (options, path) = (&self.options, &self.path);
        let (keys, superblock) =
            unlock::follow(&header, &before, options.key.as_deref(), &options.limits, path)?;
        self.generation_seen = generation_in(&header);
        self.stale_copy = header.stale_copy();
        if superblock.block_size != file.block_size() {
            // Fitted to the pages of whoever wrote the first of them.
            self.adopt(base, keys, superblock)?;
            return Ok(true);
        }
        let changed = keys.key_id != before.key_id || keys.older().is_some() != before.older().is_some();
        if changed {
            file.set_keys(&keys)?;
        }
        file.set_keeps_length(superblock.keeps_length);
        self.superblock = Some(superblock);
        Ok(changed)
    }

    /// What a new file takes over from this database, as it is now; `None` while it has no keys. The header is read through
    /// a file of its own, and nothing is remembered of it.
    ///
    /// Errors: as [`Database::follow`].
    pub fn heritage(&self, shim: &Shim) -> Result<Option<(Superblock, Arc<FileKeys>)>> {
        let (Phase::Ready(file), Some(superblock)) = (&self.phase, &self.superblock) else { return Ok(None) };
        let Some(mut own) = OwnFile::open_through(shim.base, &self.path)? else {
            // Deleted: nobody has changed it since.
            return Ok(Some((superblock.clone(), Arc::clone(file.keys()))));
        };
        let header = header::parse(read_header(&mut own.base)?);
        let header = header.map_err(|fault| replaced(fault).at_path(&self.path))?;
        let (key, limits) = (self.options.key.as_deref(), &self.options.limits);
        let (keys, superblock) = unlock::follow(&header, file.keys(), key, limits, &self.path)?;
        Ok(Some((superblock, keys)))
    }

    /// Writes the header's next superblock, copy A and then copy B, each durably, and uses its keys from here on. The
    /// caller keeps everybody else from writing and has just read the header.
    pub fn replace_superblock(
        &mut self,
        base: &mut BaseFile,
        keys: &Arc<FileKeys>,
        superblock: Superblock,
    ) -> Result<()> {
        let Phase::Ready(file) = &mut self.phase else { return Err(key_required(&self.path)) };
        let header = header::parse(read_header(base)?).map_err(|fault| fault.at_path(&self.path))?;
        match header.authentic(file.keys()) {
            Some((_, raw)) => replace_copies(base, raw, &superblock.encode(keys))?,
            None => write_copies(base, &superblock.encode(keys))?,
        }
        self.generation_seen = identity(&superblock);
        self.stale_copy = None;
        file.set_keys(keys)?;
        self.superblock = Some(superblock);
        Ok(())
    }

    /// A writer completes the superblock copy that an interrupted change of the header left behind.
    pub fn complete_header(&mut self, base: &mut BaseFile) -> Result<()> {
        // Another connection may have been quicker, and changed more: what is known of the header here is too old to be
        // written.
        if self.stale_copy.is_some() { self.edit_header(base, |_, _| Ok(())) } else { Ok(()) }
    }

    /// A file that shares its data key with the connection's main database needs no key of its own.
    fn inherit(&mut self, base: &mut BaseFile, region: &[u8]) -> Result<()> {
        if matches!(self.phase, Phase::Ready(_) | Phase::New) {
            return Ok(());
        }
        let Some((_, parent)) = &self.heir_of else { return Ok(()) };
        let header = header::parse(region).map_err(|fault| fault.at_path(&self.path))?;
        match unlock::unlock_relative(&header, parent, &self.path)? {
            Some((keys, superblock)) => self.adopt(base, keys, superblock),
            None => Ok(()),
        }
    }

    /// The sector size in bytes that SQLite is to be told: what a write may destroy around it, which is a block.
    pub fn sector_size(&mut self, base: &mut BaseFile) -> u32 {
        let mut in_header = || read_header(base).ok().and_then(|region| header::parse(region).ok());
        self.sector_told = match &self.phase {
            Phase::Ready(file) => file.block_size(),
            Phase::New => self.options.block_size.unwrap_or(DEFAULT_BLOCK_SIZE),
            // The key may come later, the question does not.
            Phase::Locked | Phase::Refused(_) => in_header()
                .and_then(|header| header.newest().map(|superblock| superblock.block_size))
                .unwrap_or(DEFAULT_BLOCK_SIZE),
        };
        self.sector_told
    }

    /// SQLite journals the pages of a sector together, so that no block holds pages that are in no journal. It
    /// learned the sector size when the file was opened; if another connection has made the database since,
    /// with larger blocks than that and smaller pages, writing would not be safe.
    fn check_sector(&mut self, base: &mut BaseFile) -> Result<()> {
        let Phase::Ready(file) = &mut self.phase else { return Ok(()) };
        let block_size = file.block_size();
        if self.sector_told == 0 || block_size <= self.sector_told {
            return Ok(());
        }
        let mut page_size = [0u8; 2];
        file.read(base, &mut page_size, facts::PAGE_SIZE_AT as u64)?;
        if facts::page_size(u16::from_be_bytes(page_size)) < block_size {
            return Err(Fault::new(
                FaultClass::InUse,
                "the database was made by another connection while this one was open, with larger blocks; close \
                 this connection and open it again",
            )
            .at_path(&self.path));
        }
        Ok(())
    }

    /// The first page is about to be written to a database without any. Unless somebody chose the block size,
    /// a block is no larger than a page: then no write touches more than it has to.
    pub fn fit_block_size(&mut self, base: &mut BaseFile, page_size: usize) -> Result<()> {
        let Phase::Ready(file) = &mut self.phase else { return Ok(()) };
        let Ok(page_size) = u32::try_from(page_size) else { return Ok(()) };
        if self.options.block_size.is_some()
            || !self.empty_when_read
            || file.block_size() <= page_size
            || !superblock::is_block_size(page_size)
        {
            return Ok(());
        }
        if base.size()? > HEADER_LEN {
            self.empty_when_read = false;
            return Ok(());
        }
        let keys = file.keys().clone();
        self.edit_header(base, |superblock, _| {
            superblock.block_size = page_size;
            Ok(())
        })?;
        let mut file = MainFile::new(keys, page_size)?;
        file.set_path(&self.path);
        self.phase = Phase::Ready(Box::new(file));
        Ok(())
    }

    pub(super) fn adopt(
        &mut self,
        base: &mut BaseFile,
        keys: Arc<FileKeys>,
        superblock: Superblock,
    ) -> Result<()> {
        self.check(&superblock).map_err(|fault| fault.at_path(&self.path))?;
        let mut file = MainFile::new(keys, superblock.block_size)?;
        file.set_path(&self.path);
        file.set_keeps_length(superblock.keeps_length);
        // The cell is read with every WAL; a header without one is better refused at once, and so is a file whose end is
        // missing.
        file.read_cell(base)?;
        file.check_length(base)?;
        self.empty_when_read = base.size()? <= HEADER_LEN;
        self.phase = Phase::Ready(Box::new(file));
        self.superblock = Some(superblock);
        self.may_stay_plain = false;
        if !self.counted {
            self.counted = true;
            Stats::count(&STATS.opened);
            Stats::count(&STATS.open);
        }
        Ok(())
    }

    /// Another connection has written the first blocks: it may have fitted the block size to its pages.
    fn reload(&mut self, base: &mut BaseFile) -> Result<()> {
        let Phase::Ready(file) = &self.phase else { return Ok(()) };
        let keys = file.keys().clone();
        let superblock = self.current_header(base)?;
        self.adopt(base, keys, superblock)
    }

    /// SQLite is about to use the database under a lock: a new file may have been created by another
    /// connection since we looked.
    pub fn settle(&mut self, base: &mut BaseFile, news: News) -> Result<()> {
        if matches!(self.phase, Phase::New) && base.size()? > 0 {
            // Another connection has created the database, or is about to.
            self.unlock(base)?;
        }
        if self.empty_when_read && base.size()? > HEADER_LEN {
            self.reload(base)?;
            self.check_sector(base)?;
        }
        match &mut self.phase {
            Phase::New => Ok(()),
            Phase::Ready(file) => {
                match news {
                    News::None => {}
                    News::Lock => file.lock_taken(base, false),
                    News::Transaction => file.lock_taken(base, true),
                }
                Ok(())
            }
            Phase::Locked => Err(key_required(&self.path)),
            Phase::Refused(fault) => Err(fault.clone()),
        }
    }

    /// A database that must not be used, for the reason given.
    pub fn refused(path: &Path, fault: Fault) -> Database {
        Database::at(path, Phase::Refused(fault))
    }

    /// The database at `path`, of which nothing else is known yet.
    pub fn at(path: &Path, phase: Phase) -> Database {
        Database {
            phase,
            path: path.to_owned(),
            options: OpenOptions::default(),
            heir_of: None,
            superblock: None,
            may_stay_plain: false,
            discard_wal: false,
            partial_journal: false,
            origin: Origin::Nobody,
            entry: None,
            pinned: false,
            shares_cache: false,
            cipher_named: false,
            sector_told: 0,
            empty_when_read: false,
            header_confirmed: false,
            stale_copy: None,
            generation_seen: [0xff; size_of::<Identity>()],
            rekey: None,
            counted: false,
            new_main: None,
            journal_buffers: Buffers::default(),
        }
    }

    /// Tries a key from somewhere else than the database was opened with, perhaps that of another one of the connection.
    pub fn offer_key_of(&mut self, origin: Origin, base: &mut BaseFile, key: &Arc<Key>) -> Result<()> {
        let before = (self.options.key.replace(Arc::clone(key)), std::mem::replace(&mut self.origin, origin));
        let result = self.unlock(base).and_then(|()| self.check_sector(base));
        if result.is_err() {
            (self.options.key, self.origin) = before;
        }
        result
    }

    /// `PRAGMA lumo_key`: unlocks a locked database, names the key of a new one, checks the key of an open one.
    pub fn offer_key(&mut self, base: &mut BaseFile, key: Key) -> Result<()> {
        let key = Arc::new(key);
        if self.shares_cache && !matches!(self.phase, Phase::Ready(_)) {
            return Err(sharing::refused().at_path(&self.path));
        }
        match &self.phase {
            Phase::Refused(fault) if !matches!(fault.class, FaultClass::WrongKey | FaultClass::KdfLimit) => {
                Err(fault.clone())
            }
            Phase::New if base.size()? == 0 || header::is_unfinished(&read_header(base)?, base.size()?) => {
                let before =
                    (self.options.key.replace(key), std::mem::replace(&mut self.origin, Origin::Caller));
                let result = self.check_new();
                if result.is_err() {
                    (self.options.key, self.origin) = before;
                } else {
                    self.may_stay_plain = false;
                }
                result
            }
            Phase::Ready(_) => {
                let region = read_header(base)?;
                unlock::unlock(
                    &header::parse(region).map_err(|fault| fault.at_path(&self.path))?,
                    Some(&key),
                    &self.options.limits,
                    &self.path,
                )?;
                // It has shown it: from here on it may change it.
                (self.options.key, self.origin) = (Some(key), Origin::Caller);
                Ok(())
            }
            Phase::New | Phase::Locked | Phase::Refused(_) => self.offer_key_of(Origin::Caller, base, &key),
        }
    }

    /// Is this the database that is wanted, and one that an unlocked path may lead to?
    fn check(&mut self, superblock: &Superblock) -> Result<()> {
        unlock::check_identity(superblock, self.options.uuid.as_ref())?;
        let Some(entry) = self.entry else { return Ok(()) };
        if !superblock.suite.is_keyed() {
            return Err(Fault::new(
                FaultClass::NotEncrypted,
                "the path was unlocked with a key, and the file there is only checksummed: it takes none. Find out who put \
                 it there, or call lumocrypt.lock for the path if it is meant",
            ));
        }
        unlocked::bind(entry, superblock.uuid, false);
        Ok(())
    }

    /// May the file, which is empty, become a database?
    ///
    /// Errors: `WrongDatabase` if a certain one is wanted, `NotEncrypted` if a key was given and the cipher takes none.
    pub fn check_new(&self) -> Result<()> {
        if self.pinned {
            return Err(Fault::new(
                FaultClass::WrongDatabase,
                "the file is empty, and a certain database was asked for by its UUID; restore it, or make a new one without \
                 asking for a UUID",
            )
            .at_path(&self.path));
        }
        let takes_none = self.options.suite.is_some_and(|suite| !suite.is_keyed());
        if takes_none && self.origin != Origin::Nobody && self.heir_of.is_none() {
            return Err(Fault::new(
                FaultClass::NotEncrypted,
                "the checksum cipher takes no key, and one was given, by LUMO_KEY, lumocrypt.unlock or the connection; say \
                 that none is meant (key=lumocrypt.NO_KEY, lumo_no_key=1 in the URI, --no-key), or choose another cipher",
            )
            .at_path(&self.path));
        }
        Ok(())
    }

    /// A connection that joined the cache of this one shows what it was to be opened with, as if it opened the file.
    ///
    /// Errors: those of an open with it; `InUse` if the cache belongs to a connection that has no key.
    pub fn prove(&self, base: &mut BaseFile, options: OpenOptions) -> Result<()> {
        let Given { open, .. } = given::complete(options, &self.path, None)?;
        match &self.phase {
            Phase::Ready(_) => {
                let header = header::parse(read_header(base)?).map_err(|fault| fault.at_path(&self.path))?;
                unlock::unlock_as(&header, open.key.as_deref(), &open, &self.path).map(|_| ())
            }
            Phase::New => match (&open.key, &self.options.key) {
                (Some(one), Some(other)) if one.is_same_as(other) => Ok(()),
                (None, None) => Ok(()),
                (None, Some(_)) => Err(key_required(&self.path)),
                (Some(_), _) => Err(Fault::new(
                    FaultClass::WrongKey,
                    "another connection is making the database with another key; use that one",
                )
                .at_path(&self.path)),
            },
            Phase::Refused(fault) => Err(fault.clone()),
            Phase::Locked => Err(key_required(&self.path)),
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
            "rekeying": self.superblock.as_ref().is_some_and(|superblock| superblock.link.is_some()),
            "block_size": self.superblock.as_ref().map(|superblock| superblock.block_size),
            "format_version": 1,
            "engine_version": env!("CARGO_PKG_VERSION"),
        })
        .to_string()
    }
}

/// The fault behind a header that can no longer be read, of a database that was unlocked.
fn replaced(fault: Fault) -> Fault {
    if fault.class != FaultClass::NotEncrypted {
        return fault;
    }
    Fault::new(
        FaultClass::NotEncrypted,
        "the file was replaced while it was open, and what is there now is no encrypted database; close this connection, \
         and put the database back",
    )
}

/// The header region of a file that is not empty; shorter than the region if the file is.
pub fn read_header(base: &mut BaseFile) -> Result<Vec<u8>> {
    let len = base.size()?.min(HEADER_LEN) as usize;
    let mut region = Vec::new();
    region
        .try_reserve_exact(len)
        .map_err(|_| Fault::new(FaultClass::NoMemory, "there is no memory for the header of the database"))?;
    region.resize(len, 0);
    base.read(&mut region, 0)?;
    Ok(region)
}

/// Generation, UUID and key id in superblock copy A, as they are stored. They decide nothing: whoever finds others than
/// before reads the whole header.
fn generation_of(base: &mut BaseFile) -> Result<Identity> {
    let mut generation: Identity = [0; size_of::<Identity>()];
    if !base.visit_map(GENERATION_AT, generation.len(), &mut |bytes| generation.copy_from_slice(bytes)) {
        base.read(&mut generation, GENERATION_AT)?;
    }
    Ok(generation)
}

/// The same, of a header that was read; impossible if that copy is damaged or being written, so that it is read again.
fn generation_in(header: &Header) -> Identity {
    match &header.a {
        CopyState::Intact(superblock) => identity(superblock),
        _ => [0xff; size_of::<Identity>()],
    }
}

fn identity(superblock: &Superblock) -> Identity {
    let mut identity = [0; size_of::<Identity>()];
    let parts = [&superblock.generation.to_le_bytes()[..], &superblock.uuid, &superblock.key_id];
    identity.copy_from_slice(&parts.concat());
    identity
}

/// What a connection without a key is told.
pub(super) fn key_required(path: &Path) -> Fault {
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
        self.file.read_cell(self.base)
    }

    fn set_cell(
        &mut self,
        active: bool,
        current: [u8; 16],
        previous: [u8; 16],
        sync: Option<i32>,
    ) -> Result<()> {
        let change = |cell: &mut Cell| {
            cell.active = active;
            cell.current = current;
            cell.previous = previous;
        };
        self.file.write_cell(self.base, change, sync)
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_cells(self.base, SYNC_NORMAL)
    }

    fn slots(&mut self) -> Result<u64> {
        self.file.slots(self.base)
    }

    fn set_log(&mut self, log: Option<CurrentLog>) -> Result<()> {
        self.file.set_log(self.base, log)
    }

    fn copied_frames(&mut self, generation: &[u8; 16]) -> Result<u64> {
        self.file.copied_frames(self.base, generation)
    }
}
