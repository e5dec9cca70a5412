//! Main databases.

use std::ffi::c_int;
use std::fs;
use std::sync::atomic::Ordering;

use super::{Common, Companion, Control, KEPT, SqliteFile, masked};
use crate::facts;
use crate::files::journal::Buffers;
use crate::files::main_db::MainFile;
use crate::files::wal::WalFile;
use crate::library::abi::*;
use crate::vfs::base::BaseFile;
use crate::vfs::database::{Database, News, Phase};
use crate::vfs::shm_lock::ShmLock;
use crypto::nonce;
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::failure;
use ground::stats::STATS;
use storage::Storage;

/// A main database.
pub struct MainDatabase {
    /// How far it has come from a name to a key.
    pub database: Database,
    journal: Companion,
    /// See [`MainDatabase::open_wal`].
    pub(in crate::vfs) wal: Companion,
    /// What its checkpoint does to it.
    pub(in crate::vfs) checkpoint: Checkpoint,
    /// So many frames of the log were committed when its checkpoint made them durable.
    pub(in crate::vfs) durable_frames: Option<u32>,
    /// It was made by opening it, and is of no use: if it is still empty when it is closed, it goes.
    is_stray: bool,
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

impl MainDatabase {
    /// As it was opened, without logs yet.
    pub fn new(database: Database) -> Self {
        MainDatabase {
            database,
            journal: Companion::none(),
            wal: Companion::none(),
            checkpoint: Checkpoint::None,
            durable_frames: None,
            is_stray: false,
        }
    }

    /// The main file, of an unlocked database.
    pub fn file(&mut self) -> Option<&mut MainFile> {
        match &mut self.database.phase {
            Phase::Ready(file) => Some(file),
            _ => None,
        }
    }

    /// The WAL and the file below it, while it is open.
    pub fn open_wal(&mut self) -> Option<(&mut WalFile, &mut BaseFile)> {
        self.wal.wal()
    }

    pub(super) fn journal_opens(&mut self, journal: Companion) {
        self.journal = journal;
    }

    pub(super) fn journal_closes(&mut self, buffers: Buffers) {
        self.journal = Companion::none();
        self.database.journal_buffers = buffers;
    }

    pub(super) fn wal_opens(&mut self, common: &mut Common, wal: Companion) {
        self.wal = wal;
        // From here on checkpoints of others may change it.
        if let Some(file) = self.file() {
            file.lock_taken(&mut common.base, false);
        }
    }

    pub(super) fn wal_closes(&mut self) {
        self.wal = Companion::none();
        self.checkpoint = Checkpoint::None;
        if let Some(file) = self.file() {
            file.forget_log();
        }
    }

    /// Refuses the file for as long as it is open; if opening it made it, it goes when it is closed.
    pub fn refuse(&mut self, fault: Fault) {
        self.is_stray = self.database.new_main.is_some();
        self.database.may_stay_plain = false;
        self.database.phase = Phase::Refused(fault);
    }

    /// Before the connection writes its main file, its journal must be on its way to the disk.
    fn flush_journal(&mut self) -> Result<()> {
        self.journal.journal().map_or(Ok(()), |(journal, base)| journal.main_file_follows(base))
    }

    /// Is a journal that a crash left being played back?
    fn plays_journal_back(&mut self) -> bool {
        self.journal.journal().is_some_and(|(journal, _)| journal.is_hot())
    }

    /// The main file is about to be synced, or would be if SQLite synced: what waits is written. If a rollback ends
    /// here, what it leaves torn is mended while the journal still stands.
    fn before_sync(&mut self, common: &mut Common) -> Result<()> {
        let Phase::Ready(file) = &mut self.database.phase else { return Ok(()) };
        file.flush(&mut common.base)?;
        if let Some((journal, _)) = self.journal.journal()
            && (journal.is_hot() || file.may_be_torn(&common.base))
        {
            file.rolled_back(&mut common.base)?;
        }
        Ok(())
    }

    /// Another connection may have restarted the WAL: if the wal-index names other salts than we know,
    /// the header is read again before the next use.
    pub(in crate::vfs) fn refresh_wal(&mut self, common: &Common) {
        let Some((wal, base)) = self.wal.wal() else { return };
        wal.transaction_boundary(base);
        if common.wal_index.is_some_and(|index| wal.salts() != Some(index.salts())) {
            wal.forget_log();
        }
    }

    /// As [`SqliteFile::follow`], by who keeps other writers out. A new data key must not be built upon while a power cut may
    /// undo it: the header copy that lags is completed, and with it the other becomes durable.
    fn follow_to_write(&mut self, common: &mut Common) -> Result<()> {
        self.follow(common, false)?;
        self.begin_length(common)?;
        match &self.database.superblock {
            Some(superblock) if superblock.link.is_some() => self.database.complete_header(&mut common.base),
            _ => Ok(()),
        }
    }

    /// Its logs use its keys from here on.
    pub(in crate::vfs) fn pass_on_keys(&mut self) {
        let Phase::Ready(file) = &self.database.phase else { return };
        if let Some((wal, _)) = self.wal.wal() {
            wal.set_keys(file.keys());
        }
        if let Some((journal, _)) = self.journal.journal() {
            journal.set_keys(file.keys());
        }
    }

    /// Removes a file that this connection made and that was then refused, if nobody has written to it.
    fn remove_stray(&self, base: &mut BaseFile) {
        let (true, Some(lock)) = (self.is_stray, base.methods().lock) else { return };
        let levels = [SQLITE_LOCK_SHARED, SQLITE_LOCK_RESERVED, SQLITE_LOCK_EXCLUSIVE];
        // SAFETY: an open file that is about to be closed, which gives the locks back.
        let alone = levels.iter().all(|level| unsafe { lock(base.as_ptr(), *level) } == SQLITE_OK);
        if alone && matches!(base.size(), Ok(0)) && base.has_its_name() {
            // What cannot be removed is an empty file.
            let _ = fs::remove_file(&self.database.path);
        }
    }
}

/// Names SQLite's pages in the block that a fault is about. SQLite reads and writes a main database by pages, but for parts
/// of the first.
fn with_sqlite_pages(fault: Fault, block_size: u32, page_size: usize) -> Fault {
    match fault.number {
        Some(block) if u32::try_from(page_size).is_ok_and(facts::is_page_size) => {
            let (page, size) = (page_size as u64, u64::from(block_size));
            fault.of_sqlite_pages(block * size / page + 1, ((block + 1) * size - 1) / page + 1)
        }
        _ => fault,
    }
}

impl SqliteFile for MainDatabase {
    fn kind(&self) -> Option<FileKind> {
        Some(FileKind::MainDb)
    }

    /// Reads, with the answers that a file without a key or content gives.
    fn read(&mut self, common: &mut Common, buf: &mut [u8], offset: u64) -> Result<bool> {
        // sqlite3_open reads the first 100 bytes without a lock and fails if it cannot; nothing depends on
        // them but a guess at the page size.
        let header_probe = offset == 0 && buf.len() == facts::HEADER_LEN;
        match &mut self.database.phase {
            Phase::New => {
                buf.fill(0);
                Ok(false)
            }
            Phase::Ready(file) => match file.read(&mut common.base, buf, offset) {
                Err(fault) if header_probe && fault.class == FaultClass::Tampered => {
                    buf.fill(0);
                    Ok(true)
                }
                result => result.map_err(|fault| with_sqlite_pages(fault, file.block_size(), buf.len())),
            },
            Phase::Locked | Phase::Refused(_) if header_probe => {
                buf.fill(0);
                Ok(true)
            }
            Phase::Locked | Phase::Refused(_) => self.database.ready().map(|_| false),
        }
    }

    fn write(&mut self, common: &mut Common, data: &[u8], offset: u64) -> Result<()> {
        self.flush_journal()?;
        self.before_copying(common)?;
        let rolling_back = self.plays_journal_back();
        let (database, base) = (&mut self.database, &mut common.base);
        database.create(base)?;
        if database.stale_copy.is_some() {
            database.complete_header(base)?;
        }
        if database.empty_when_read {
            database.fit_block_size(base, data.len())?;
        }
        let file = database.ready()?;
        file.set_rolling_back(rolling_back);
        // With a journal every commit and every rollback passes SQLITE_FCNTL_SYNC, and what a failure leaves is
        // rolled back in the end. A journal in memory does not outlive a rollback that fails.
        file.set_combine(!self.journal.is_none() || self.checkpoint == Checkpoint::Combining);
        file.write(base, data, offset)
            .map_err(|fault| with_sqlite_pages(fault, file.block_size(), data.len()))
    }

    fn truncate(&mut self, common: &mut Common, size: u64) -> Result<()> {
        self.refuse_failed_checkpoint(common)?;
        self.flush_journal()?;
        match &self.database.phase {
            Phase::New if size == 0 => Ok(()),
            _ => self.database.ready()?.truncate(&mut common.base, size),
        }
    }

    fn sync(&mut self, common: &mut Common, flags: c_int) -> Result<()> {
        self.refuse_failed_checkpoint(common)?;
        self.make_durable(common, flags)
    }

    fn size(&mut self, common: &mut Common) -> Result<u64> {
        match &mut self.database.phase {
            Phase::Ready(file) => file.size(&mut common.base),
            Phase::New => Ok(0),
            // Never zero for a file with content: SQLite would delete its logs.
            Phase::Locked | Phase::Refused(_) => common.base.size(),
        }
    }

    fn close(&mut self, common: &mut Common) {
        if self.database.counted {
            if let Some(file) = self.file() {
                // An error here is one that SQLite would not have seen either: close does not report.
                let _ = file.flush(&mut common.base);
            }
            STATS.open.fetch_sub(1, Ordering::Relaxed);
        }
        self.remove_stray(&mut common.base);
    }

    /// Its logs learn of it.
    fn follow(&mut self, common: &mut Common, always: bool) -> Result<bool> {
        let changed = self.database.follow(&mut common.base, always)?;
        if changed {
            self.pass_on_keys();
        }
        Ok(changed)
    }

    /// SQLite keeps a journal open while it has no lock where open files cannot be deleted, as the VFS above or below may
    /// say. What another connection left in it then is for this one to roll back.
    fn before_first_lock(&mut self) -> Result<()> {
        self.journal.journal().map_or(Ok(()), |(journal, _)| journal.forget())
    }

    fn locked(&mut self, common: &mut Common, before: c_int) -> Result<()> {
        let level = common.level;
        // Whoever writes must know the data key of now. Readers notice when something does not authenticate; where
        // it costs no system call they look, too.
        let writes = level >= SQLITE_LOCK_RESERVED && before < SQLITE_LOCK_RESERVED;
        if level == SQLITE_LOCK_SHARED {
            failure::clear();
        }
        if writes {
            // A transaction that writes begins.
            nonce::discard_pool();
        }
        if self.becomes_plain() {
            return Ok(());
        }
        // RESERVED is taken in rollback mode only, and there nobody else changes the file from SHARED on. EXCLUSIVE
        // may follow SHARED in a WAL database whose WAL this connection has yet to open (exclusive locking mode).
        let news = match level {
            SQLITE_LOCK_SHARED => News::Transaction,
            _ if !self.wal.is_none() => News::Lock,
            SQLITE_LOCK_RESERVED if before == SQLITE_LOCK_SHARED => News::None,
            _ if before >= SQLITE_LOCK_RESERVED => News::None,
            _ => News::Lock,
        };
        let (database, base) = (&mut self.database, &mut common.base);
        database.settle(base, news)?;
        common.shim.check_companions(database, base, &common.path, level)?;
        match writes {
            true => self.follow_to_write(common),
            false if common.base.wants_map() => self.follow(common, false).map(|_| ()),
            false => Ok(()),
        }
    }

    /// Nothing waits any more when the lock is gone, unless SQLite finds a way that does not pass SQLITE_FCNTL_SYNC.
    fn before_unlock(&mut self, common: &mut Common, level: c_int) -> Result<()> {
        if level == SQLITE_LOCK_NONE {
            self.refresh_wal(common);
        }
        self.file().map_or(Ok(()), |file| file.flush(&mut common.base))
    }

    /// What a rolled-back transaction left half assembled must go before others may write.
    fn before_shm_unlock(&mut self, common: &mut Common) {
        self.refresh_wal(common);
    }

    fn shm_locked(&mut self, common: &mut Common, lock: &ShmLock) -> Result<()> {
        if lock.is_checkpoints() {
            self.durable_frames = None;
            if !lock.is_taken {
                // SQLite knows by now whether it failed.
                self.checkpoint = Checkpoint::None;
            }
        }
        if !lock.is_taken {
            return Ok(());
        }
        // As in `locked`: a writer of the log, a checkpoint, a recovery, and readers.
        if lock.is_writers() {
            self.follow_to_write(common)?;
        } else if lock.is_to_change() || !lock.is_exclusive && common.base.wants_map() {
            self.follow(common, false)?;
        }
        if let Some(file) = self.file() {
            file.lock_taken(&mut common.base, lock.is_exclusive);
        }
        lock.begins();
        if lock.is_writers() || lock.is_readers() {
            self.refresh_wal(common);
        }
        if lock.is_readers() { self.check_frames(common) } else { Ok(()) }
    }

    fn file_control(&mut self, common: &mut Common, operation: c_int) -> Result<Control> {
        match operation {
            // In front of every sync of a database, also where synchronous=OFF leaves the sync itself out.
            SQLITE_FCNTL_SYNC => self.before_sync(common)?,
            // A transaction has ended, and the lock on the database lasts.
            SQLITE_FCNTL_COMMIT_PHASETWO => {
                if let Some(file) = self.file() {
                    // The commit stands; the next one tries again.
                    let _ = file.record_unsynced(&mut common.base);
                }
            }
            SQLITE_FCNTL_CKPT_START => self.checkpoint_starts(common),
            SQLITE_FCNTL_CKPT_DONE => self.checkpoint_done(common)?,
            _ => {}
        }
        Ok(masked(operation))
    }

    /// While POWERSAFE_OVERWRITE is set SQLite journals 512-byte sectors and never asks for the sector size, so a block
    /// larger than a page would be rewritten without its neighbours being journaled. The WAL decides by it whether to split
    /// frames at sector boundaries: there the base's answer holds.
    fn device_characteristics(&self, below: c_int) -> c_int {
        let kept = if self.wal.is_none() { KEPT } else { KEPT | SQLITE_IOCAP_POWERSAFE_OVERWRITE };
        below & kept | SQLITE_IOCAP_SAFE_APPEND
    }

    fn sector_size(&mut self, common: &mut Common, _: c_int, _: bool) -> c_int {
        self.database.sector_size(&mut common.base) as c_int
    }

    fn becomes_plain(&self) -> bool {
        self.database.may_stay_plain
    }

    fn status(&self) -> String {
        self.database.status()
    }

    fn main(&mut self) -> Option<&mut MainDatabase> {
        Some(self)
    }

    fn main_ref(&self) -> Option<&MainDatabase> {
        Some(self)
    }
}
