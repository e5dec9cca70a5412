//! SQLite's file object and its callbacks: from C's calls to the file modules.

use std::ffi::c_int;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::base::BaseFile;
use super::company;
use super::database::{Database, News, Phase};
use super::evidence;
use super::mains;
use super::open_file::{Checkpoint, Content, OpenFile, link_of};
use crate::facts;
use crate::library::abi::*;
use crypto::nonce;
use ground::error::{Fault, FaultClass, Result};
use ground::failure;
use ground::stats::STATS;
use storage::Storage;
use storage::disk::sync_folder;
use vault::file_keys::FileKeys;

/// wal.c, WAL_WRITE_LOCK: the lock that a WAL write transaction holds.
const WAL_WRITE_LOCK: c_int = 0;
/// wal.c, WAL_CKPT_LOCK: the lock that a checkpoint holds.
pub(super) const WAL_CHECKPOINT_LOCK: c_int = 1;
/// wal.c, WAL_READ_LOCK(0).
const WAL_FIRST_READ_LOCK: c_int = 3;

impl OpenFile {
    /// Before the connection writes its main file, its journal must be on its way to the disk.
    fn flush_journal(&mut self) -> Result<()> {
        // SAFETY: set while the journal is open, cleared by its close; SQLite uses one connection's files
        // from one thread at a time.
        if let Some(journal) = unsafe { self.journal.as_mut() }
            && let Content::Journal(file, _) = &mut journal.content
        {
            file.main_file_follows(&mut journal.base)?;
        }
        Ok(())
    }

    /// SQLite keeps a journal open while it has no lock where open files cannot be deleted, as the VFS above or below may
    /// say. What another connection left in it then is for this one to roll back.
    fn forget_journal(&mut self) -> Result<()> {
        // SAFETY: as in `flush_journal`.
        match unsafe { self.journal.as_mut() } {
            Some(OpenFile { content: Content::Journal(journal, _), .. }) => journal.forget(),
            _ => Ok(()),
        }
    }

    /// The main file is about to be synced, or would be if SQLite synced: what waits is written. If a rollback ends
    /// here, what it leaves torn is mended while the journal still stands.
    pub(super) fn before_sync(&mut self) -> Result<()> {
        if let Some((file, base)) = self.main_file() {
            file.flush(base)?;
        }
        // SAFETY: as in `flush_journal`.
        let Some(journal) = (unsafe { self.journal.as_mut() }) else { return Ok(()) };
        let Content::Journal(journal, _) = &journal.content else { return Ok(()) };
        if let Content::Main(database) = &mut self.content
            && let Phase::Ready(main) = &mut database.phase
            && (journal.is_hot() || main.may_be_torn(&self.base))
        {
            main.rolled_back(&mut self.base)?;
        }
        Ok(())
    }

    /// For a main database: its connection is in a write transaction, so nobody else writes.
    pub(super) fn excludes_other_writers(&self) -> bool {
        self.excludes_writers || self.level >= SQLITE_LOCK_RESERVED
    }

    /// For a main database: it holds the file's exclusive lock, as the last one to leave a WAL does.
    pub(super) fn excludes_all(&self) -> bool {
        self.level == SQLITE_LOCK_EXCLUSIVE
    }

    /// Another connection may have restarted the WAL: if the wal-index names other salts than we know,
    /// the header is read again before the next use.
    pub(super) fn refresh_wal(&mut self) {
        let index = self.wal_index;
        let Some((file, base)) = self.wal_and_base() else { return };
        file.transaction_boundary(base);
        if index.is_some_and(|index| file.salts() != Some(index.salts())) {
            file.forget_log();
        }
    }

    /// For a main database: somebody may have changed its data key; its logs are to know. See [`Database::follow`].
    pub(super) fn follow(&mut self, always: bool) -> Result<bool> {
        let Content::Main(database) = &mut self.content else { return Ok(false) };
        let changed = database.follow(&mut self.base, always)?;
        if changed {
            self.pass_on_keys();
        }
        Ok(changed)
    }

    /// As [`OpenFile::follow`], by who keeps other writers out. A new data key must not be built upon while a power cut may
    /// undo it: the header copy that lags is completed, and with it the other becomes durable.
    fn follow_to_write(&mut self) -> Result<()> {
        self.follow(false)?;
        self.begin_length()?;
        match &mut self.content {
            Content::Main(database)
                if database.superblock.as_ref().is_some_and(|superblock| superblock.link.is_some()) =>
            {
                database.complete_header(&mut self.base)
            }
            _ => Ok(()),
        }
    }

    /// For a main database: its logs use its keys from here on.
    pub(super) fn pass_on_keys(&mut self) {
        let Some(keys) = self.main_file().map(|(file, _)| file.keys().clone()) else { return };
        // SAFETY: set while the logs are open, cleared by their close; SQLite uses one connection's files from one
        // thread at a time.
        let logs = unsafe { [self.wal.as_mut(), self.journal.as_mut()] };
        for log in logs.into_iter().flatten() {
            log.take_over(&keys);
        }
    }

    fn take_over(&mut self, keys: &Arc<FileKeys>) {
        match &mut self.content {
            Content::Wal(file, _) => file.set_keys(keys),
            Content::Journal(file, _) => file.set_keys(keys),
            Content::Main(_) | Content::Plain | Content::Temp(_) | Content::Guest(_) => {}
        }
    }

    /// Something did not authenticate. Was the data key changed since the header was last read? Then it is worth a second
    /// look.
    ///
    /// Errors: `WrongKey` if what opened the database opens it no more, `InUse` or `NotEncrypted` if another database is in
    /// its place, and nothing else: `fault` says enough.
    fn explains(&mut self, fault: &Fault) -> Result<bool> {
        if !matches!(fault.class, FaultClass::Tampered | FaultClass::HeaderDamaged) {
            return Ok(false);
        }
        let known = match &mut self.content {
            Content::Main(_) => self.follow(true),
            Content::Wal(_, main) | Content::Journal(_, main) => {
                // SAFETY: SQLite closes a log before its main database.
                let Some(OpenFile { content: Content::Main(database), base, .. }) =
                    (unsafe { main.as_mut() })
                else {
                    return Ok(false);
                };
                let changed = database.follow(base, true);
                if changed.is_ok()
                    && let Phase::Ready(file) = &database.phase
                {
                    let keys = file.keys().clone();
                    self.take_over(&keys);
                }
                changed
            }
            Content::Plain | Content::Temp(_) | Content::Guest(_) => Ok(false),
        };
        match known {
            // Its key is gone, or the whole database: there is another one in its place.
            Err(other)
                if matches!(
                    other.class,
                    FaultClass::WrongKey | FaultClass::InUse | FaultClass::NotEncrypted
                ) =>
            {
                Err(other)
            }
            known => Ok(known.unwrap_or(false)),
        }
    }

    pub(super) fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<c_int> {
        match self.read_once(buf, offset) {
            Err(fault) if self.explains(&fault)? => self.read_once(buf, offset),
            result => result,
        }
    }

    fn read_once(&mut self, buf: &mut [u8], offset: u64) -> Result<c_int> {
        let complete = match &mut self.content {
            Content::Plain => self.base.read(buf, offset)?,
            Content::Temp(file) => file.read(&mut self.base, buf, offset)?,
            Content::Journal(file, _) => {
                let complete = file.read(&mut self.base, buf, offset)?;
                evidence::keep(&self.shim.host().api, &self.path, file.take_loss());
                complete
            }
            Content::Wal(file, main) => {
                // SAFETY: SQLite closes a WAL before its main database.
                let mut link = unsafe { link_of(*main) }?;
                let complete = file.read(&mut self.base, &mut link, buf, offset)?;
                evidence::keep(&self.shim.host().api, &self.path, file.take_loss());
                complete
            }
            Content::Main(database) => read_main(database, &mut self.base, buf, offset)?,
            Content::Guest(file) => file.read(&mut self.base, &self.path, buf, offset)?,
        };
        Ok(if complete { SQLITE_OK } else { SQLITE_IOERR_SHORT_READ })
    }

    pub(super) fn write(&mut self, data: &[u8], offset: u64) -> Result<c_int> {
        if let Content::Main(_) = &self.content {
            self.flush_journal()?;
            self.before_copying()?;
        }
        let rolling_back = self.plays_journal_back();
        match &mut self.content {
            Content::Plain => self.base.write(data, offset)?,
            Content::Temp(file) => file.write(&mut self.base, data, offset)?,
            Content::Journal(file, _) => file.write(&mut self.base, data, offset)?,
            Content::Wal(file, main) => {
                company::check_log_is_sqlites(data, offset)?;
                // SAFETY: SQLite closes a WAL before its main database.
                let mut link = unsafe { link_of(*main) }?;
                file.write(&mut self.base, &mut link, data, offset)?;
            }
            Content::Main(database) => {
                if database.may_stay_plain {
                    self.content = Content::Plain;
                    return self.write(data, offset);
                }
                database.create(&mut self.base)?;
                if database.stale_copy.is_some() {
                    database.complete_header(&mut self.base)?;
                }
                if database.empty_when_read {
                    database.fit_block_size(&mut self.base, data.len())?;
                }
                let file = database.ready()?;
                file.set_rolling_back(rolling_back);
                // With a journal every commit and every rollback passes SQLITE_FCNTL_SYNC, and what a failure leaves is
                // rolled back in the end. A journal in memory does not outlive a rollback that fails.
                file.set_combine(!self.journal.is_null() || self.checkpoint == Checkpoint::Combining);
                file.write(&mut self.base, data, offset)?;
            }
            Content::Guest(file) => file.write(&mut self.base, &self.path, data, offset)?,
        }
        Ok(SQLITE_OK)
    }

    pub(super) fn truncate(&mut self, size: u64) -> Result<c_int> {
        if let Content::Main(_) = &self.content {
            self.refuse_failed_checkpoint()?;
            self.flush_journal()?;
        }
        match &mut self.content {
            Content::Plain => self.base.truncate(size)?,
            Content::Temp(file) => file.truncate(&mut self.base, size)?,
            Content::Journal(file, _) => file.truncate(&mut self.base, size)?,
            Content::Wal(file, main) => {
                // SAFETY: SQLite closes a WAL before its main database.
                let mut link = unsafe { link_of(*main) }?;
                file.truncate(&mut self.base, &mut link, size)?;
            }
            Content::Main(database) => match &database.phase {
                Phase::New if size == 0 => {}
                _ => database.ready()?.truncate(&mut self.base, size)?,
            },
            Content::Guest(file) => file.truncate(&mut self.base, size)?,
        }
        Ok(SQLITE_OK)
    }

    pub(super) fn sync(&mut self, flags: c_int) -> Result<c_int> {
        self.refuse_failed_checkpoint()?;
        match &mut self.content {
            Content::Plain | Content::Guest(_) => self.base.sync(flags)?,
            Content::Temp(file) => file.sync(&mut self.base, flags)?,
            Content::Journal(file, _) => {
                file.sync(&mut self.base, flags)?;
                if file.is_hot() {
                    // Whoever made it may not have come to that, and SQLite does it for a journal of its own only.
                    sync_folder(&self.path)?;
                }
            }
            Content::Wal(_, _) => self.sync_wal(flags)?,
            Content::Main(_) => self.sync_main(flags)?,
        }
        Ok(SQLITE_OK)
    }

    /// For a main database: a journal that a crash left is being played back.
    fn plays_journal_back(&self) -> bool {
        // SAFETY: as in `flush_journal`.
        match unsafe { self.journal.as_ref() } {
            Some(OpenFile { content: Content::Journal(journal, _), .. }) => journal.is_hot(),
            _ => false,
        }
    }

    pub(super) fn size(&mut self) -> Result<u64> {
        match self.size_once() {
            Err(fault) if self.explains(&fault)? => self.size_once(),
            result => result,
        }
    }

    fn size_once(&mut self) -> Result<u64> {
        match &mut self.content {
            Content::Plain => self.base.size(),
            Content::Temp(file) => Ok(file.size()),
            Content::Journal(file, _) => {
                let size = file.size(&mut self.base)?;
                evidence::keep(&self.shim.host().api, &self.path, file.take_loss());
                Ok(size)
            }
            Content::Wal(file, main) => {
                // SAFETY: SQLite closes a WAL before its main database.
                let mut link = unsafe { link_of(*main) }?;
                let size = file.size(&mut self.base, &mut link)?;
                evidence::keep(&self.shim.host().api, &self.path, file.take_loss());
                Ok(size)
            }
            Content::Main(database) => match &mut database.phase {
                Phase::Ready(file) => file.size(&mut self.base),
                Phase::New => Ok(0),
                // Never zero for a file with content: SQLite would delete its logs.
                _ => self.base.size(),
            },
            Content::Guest(file) => file.size(&mut self.base),
        }
    }

    pub(super) fn lock(&mut self, level: c_int) -> Result<c_int> {
        if self.level == SQLITE_LOCK_NONE {
            self.forget_journal()?;
        }
        let Some(lock) = self.base.methods().lock else { return Ok(SQLITE_OK) };
        // SAFETY: an open file below.
        let code = unsafe { lock(self.base.as_ptr(), level) };
        if code != SQLITE_OK {
            return Ok(code);
        }
        let before = std::mem::replace(&mut self.level, level);
        if let Content::Main(database) = &mut self.content {
            if level == SQLITE_LOCK_SHARED {
                failure::clear();
            }
            if level >= SQLITE_LOCK_RESERVED && before < SQLITE_LOCK_RESERVED {
                // A transaction that writes begins.
                nonce::discard_pool();
            }
            if database.may_stay_plain && level >= SQLITE_LOCK_SHARED {
                self.content = Content::Plain;
                return Ok(SQLITE_OK);
            }
            // RESERVED is taken in rollback mode only, and there nobody else changes the file from SHARED on. EXCLUSIVE
            // may follow SHARED in a WAL database whose WAL this connection has yet to open (exclusive locking mode).
            let news = match level {
                SQLITE_LOCK_SHARED => News::Transaction,
                _ if !self.wal.is_null() => News::Lock,
                SQLITE_LOCK_RESERVED if before == SQLITE_LOCK_SHARED => News::None,
                _ if before >= SQLITE_LOCK_RESERVED => News::None,
                _ => News::Lock,
            };
            let settled = database
                .settle(&mut self.base, news)
                .and_then(|()| self.shim.check_companions(database, &mut self.base, &self.path, level));
            // Whoever writes must know the data key of now. Readers notice when something does not authenticate; where
            // it costs no system call they look, too.
            let writes = level >= SQLITE_LOCK_RESERVED && before < SQLITE_LOCK_RESERVED;
            let settled = match settled {
                Ok(()) if writes => self.follow_to_write(),
                Ok(()) if self.base.wants_map() => self.follow(false).map(|_| ()),
                settled => settled,
            };
            settled.inspect_err(|_| self.give_back(before))?;
        } else if let Content::Guest(database) = &mut self.content {
            if level == SQLITE_LOCK_SHARED {
                failure::clear();
            }
            let judged = database.judge(&mut self.base, &self.path);
            judged.inspect_err(|_| self.give_back(before))?;
        }
        Ok(SQLITE_OK)
    }

    /// Gives back a lock that SQLite is told it did not get. Only these two can be gone back to; where SQLite has more
    /// already, it keeps what it was not told of.
    fn give_back(&mut self, before: c_int) {
        if let Some(unlock) = self.base.methods().unlock
            && before <= SQLITE_LOCK_SHARED
        {
            self.level = before;
            // SAFETY: an open file below.
            unsafe { unlock(self.base.as_ptr(), before) };
        }
    }

    pub(super) fn unlock(&mut self, level: c_int) -> Result<c_int> {
        if level == SQLITE_LOCK_NONE {
            self.refresh_wal();
        }
        // Nothing waits here any more, unless SQLite finds a way that does not pass SQLITE_FCNTL_SYNC.
        let flushed = self.main_file().map_or(Ok(()), |(file, base)| file.flush(base));
        self.level = level;
        let code = match self.base.methods().unlock {
            // SAFETY: an open file below.
            Some(unlock) => unsafe { unlock(self.base.as_ptr(), level) },
            None => SQLITE_OK,
        };
        flushed.map(|()| code)
    }

    pub(super) fn shm_lock(&mut self, first: c_int, count: c_int, flags: c_int) -> c_int {
        let Some(shm_lock) = self.base.methods().shm_lock else { return SQLITE_IOERR };
        let exclusive_write = flags & SQLITE_SHM_EXCLUSIVE != 0 && first <= WAL_WRITE_LOCK;
        if exclusive_write && flags & SQLITE_SHM_UNLOCK != 0 {
            // What a rolled-back transaction left half assembled must go before others may write.
            self.refresh_wal();
        }
        // SAFETY: an open file below.
        let code = unsafe { shm_lock(self.base.as_ptr(), first, count, flags) };
        if code == SQLITE_OK && flags & SQLITE_SHM_EXCLUSIVE != 0 {
            let locked = flags & SQLITE_SHM_LOCK != 0;
            let covers = |lock: c_int| (first..first + count).contains(&lock);
            if covers(WAL_WRITE_LOCK) {
                self.excludes_writers = locked;
            }
            if covers(WAL_CHECKPOINT_LOCK) {
                self.durable_frames = None;
            }
            if covers(WAL_CHECKPOINT_LOCK) && !locked {
                // SQLite knows by now whether it failed.
                self.checkpoint = Checkpoint::None;
            }
        }
        if code == SQLITE_OK && flags & SQLITE_SHM_LOCK != 0 {
            // As in `lock`: a writer of the log, a checkpoint, a recovery, and readers. To change a mark takes an exclusive
            // lock on it, but nobody reads or writes the database with that alone.
            let exclusive = flags & SQLITE_SHM_EXCLUSIVE != 0;
            let looks = if exclusive { first < WAL_FIRST_READ_LOCK } else { self.base.wants_map() };
            if looks
                && let Err(fault) =
                    if exclusive_write { self.follow_to_write() } else { self.follow(false).map(|_| ()) }
            {
                let released = flags & !SQLITE_SHM_LOCK | SQLITE_SHM_UNLOCK;
                // SAFETY: gives back the lock that SQLite is told it did not get.
                unsafe { shm_lock(self.base.as_ptr(), first, count, released) };
                let fault = fault.of_connection(self.connection);
                return super::report::report(&self.shim.host().api, &self.path, fault);
            }
            if let Some((file, base)) = self.main_file() {
                file.lock_taken(base, flags & SQLITE_SHM_EXCLUSIVE != 0);
            }
            if exclusive_write {
                nonce::discard_pool();
                self.refresh_wal();
            } else if flags & SQLITE_SHM_SHARED != 0 && first >= WAL_FIRST_READ_LOCK {
                failure::clear();
                self.refresh_wal();
                if let Err(fault) = self.check_frames() {
                    let released = flags & !SQLITE_SHM_LOCK | SQLITE_SHM_UNLOCK;
                    // SAFETY: as above.
                    unsafe { shm_lock(self.base.as_ptr(), first, count, released) };
                    return super::report::report(&self.shim.host().api, &self.path, fault);
                }
            }
        }
        code
    }

    /// Removes a file that this connection made and that was then refused, if nobody has written to it.
    fn remove_stray(&mut self) {
        let (true, Content::Main(database)) = (self.is_stray, &self.content) else { return };
        let Some(lock) = self.base.methods().lock else { return };
        let levels = [SQLITE_LOCK_SHARED, SQLITE_LOCK_RESERVED, SQLITE_LOCK_EXCLUSIVE];
        // SAFETY: an open file that is about to be closed, which gives the locks back.
        let alone = levels.iter().all(|level| unsafe { lock(self.base.as_ptr(), *level) } == SQLITE_OK);
        if alone && matches!(self.base.size(), Ok(0)) && self.base.has_its_name() {
            // What cannot be removed is an empty file.
            let _ = fs::remove_file(&database.path);
        }
    }

    pub(super) fn close(&mut self) {
        match &mut self.content {
            Content::Journal(file, main) => {
                // An error here is one that SQLite would not have seen either: close does not report.
                let _ = file.close(&mut self.base);
                // SAFETY: SQLite closes a journal before its main database.
                if let Some(main) = unsafe { main.as_mut() } {
                    main.journal = std::ptr::null_mut();
                    if let Content::Main(database) = &mut main.content {
                        database.journal_buffers = file.take_buffers();
                    }
                }
            }
            Content::Wal(_, main) => {
                // SAFETY: as above.
                if let Some(main) = unsafe { main.as_mut() } {
                    main.wal = std::ptr::null_mut();
                    main.checkpoint = Checkpoint::None;
                    if let Some((file, _)) = main.main_file() {
                        file.forget_log();
                    }
                }
            }
            Content::Main(database) if database.counted => {
                if let Phase::Ready(file) = &mut database.phase {
                    // As above.
                    let _ = file.flush(&mut self.base);
                }
                STATS.open.fetch_sub(1, Ordering::Relaxed);
            }
            Content::Main(_) | Content::Plain | Content::Temp(_) | Content::Guest(_) => {}
        }
        if matches!(self.content, Content::Main(_) | Content::Plain | Content::Guest(_)) {
            mains::remove(std::ptr::from_mut(self));
        }
        if self.is_own_main {
            failure::forget_connection(self.connection);
        }
        self.remove_stray();
        self.base.close();
    }
}

/// Reads of the main file, with the answers that a file without a key or content gives.
fn read_main(database: &mut Database, base: &mut BaseFile, buf: &mut [u8], offset: u64) -> Result<bool> {
    // sqlite3_open reads the first 100 bytes without a lock and fails if it cannot; nothing depends on
    // them but a guess at the page size.
    let header_probe = offset == 0 && buf.len() == facts::HEADER_LEN;
    match &mut database.phase {
        Phase::New => {
            buf.fill(0);
            Ok(false)
        }
        Phase::Ready(file) => match file.read(base, buf, offset) {
            Err(fault) if header_probe && fault.class == FaultClass::Tampered => {
                buf.fill(0);
                Ok(true)
            }
            result => result,
        },
        Phase::Locked | Phase::Refused(_) if header_probe => {
            buf.fill(0);
            Ok(true)
        }
        Phase::Locked | Phase::Refused(_) => database.ready().map(|_| false),
    }
}
