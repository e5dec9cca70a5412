//! SQLite's file object and its callbacks: from C's calls to the file modules.

use std::ffi::{c_int, c_void};
use std::sync::atomic::Ordering;

use super::abi::*;
use super::base::BaseFile;
use super::checkpoint::Checkpoint;
use super::control;
use super::database::{Database, Link, Phase};
use super::evidence;
use super::host::Shim;
use super::report::guard;
use super::wal_index::WalIndex;
use crate::crypto::nonce;
use crate::error::{Fault, FaultClass, Result};
use crate::failure;
use crate::files::journal::JournalFile;
use crate::files::main_db::MainFile;
use crate::files::storage::Storage;
use crate::files::temp::TempFile;
use crate::files::wal::WalFile;
use crate::stats::{STATS, Stats};

/// What SQLite allocates for us: its own first member, ours, and the file below behind them.
#[repr(C)]
pub struct ShimFile {
    pub(super) head: sqlite3_file,
    pub(super) open: *mut OpenFile,
}

/// An open file.
pub struct OpenFile {
    /// The VFS it was opened through.
    pub shim: &'static Shim,
    /// The path, for reports; empty for files without a name.
    pub path: String,
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
    /// For a main database: it holds the lock of WAL writers.
    pub(super) excludes_writers: bool,
    /// For a main database: it holds the file's exclusive lock, as the last one to leave a WAL does.
    pub(super) excludes_all: bool,
    /// A call is under way. Still set when the next one begins, it says that a panic cut that call short.
    busy: bool,
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
}

/// wal.c, WAL_WRITE_LOCK: the lock that a WAL write transaction holds.
const WAL_WRITE_LOCK: c_int = 0;
/// wal.c, WAL_CKPT_LOCK: the lock that a checkpoint holds.
const WAL_CHECKPOINT_LOCK: c_int = 1;
/// wal.c, WAL_READ_LOCK(0).
const WAL_FIRST_READ_LOCK: c_int = 3;

impl OpenFile {
    /// A file just opened below.
    pub fn new(shim: &'static Shim, path: String, base: BaseFile, content: Content) -> Box<Self> {
        Box::new(OpenFile {
            shim,
            path,
            base,
            content,
            journal: std::ptr::null_mut(),
            wal: std::ptr::null_mut(),
            wal_index: None,
            checkpoint: Checkpoint::None,
            excludes_writers: false,
            excludes_all: false,
            busy: false,
        })
    }

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
            && (journal.is_hot() || main.write_failed())
        {
            main.rolled_back(&mut self.base)?;
        }
        Ok(())
    }

    /// Another connection may have restarted the WAL: if the wal-index names other salts than we know,
    /// the header is read again before the next use.
    fn refresh_wal(&mut self, boundary: bool) {
        // SAFETY: set while the WAL is open, cleared by its close.
        let Some(wal) = (unsafe { self.wal.as_mut() }) else { return };
        let Content::Wal(file, _) = &mut wal.content else { return };
        if boundary {
            file.transaction_boundary();
        }
        if self.wal_index.is_some_and(|index| file.salts() != Some(index.salts())) {
            file.forget_log();
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

    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<c_int> {
        let complete = match &mut self.content {
            Content::Plain => self.base.read(buf, offset)?,
            Content::Temp(file) => file.read(&mut self.base, buf, offset)?,
            Content::Journal(file, _) => {
                Stats::count(&STATS.reads);
                let complete = file.read(&mut self.base, buf, offset)?;
                evidence::keep(&self.shim.host().api, &self.path, file.take_loss());
                complete
            }
            Content::Wal(file, main) => {
                Stats::count(&STATS.reads);
                // SAFETY: SQLite closes a WAL before its main database.
                let mut link = unsafe { link_of(*main) }?;
                let complete = file.read(&mut self.base, &mut link, buf, offset)?;
                evidence::keep(&self.shim.host().api, &self.path, file.take_loss());
                complete
            }
            Content::Main(database) => {
                Stats::count(&STATS.reads);
                read_main(database, &mut self.base, buf, offset)?
            }
        };
        Ok(if complete { SQLITE_OK } else { SQLITE_IOERR_SHORT_READ })
    }

    fn write(&mut self, data: &[u8], offset: u64) -> Result<c_int> {
        if let Content::Main(_) = &self.content {
            self.flush_journal()?;
        }
        match &mut self.content {
            Content::Plain => self.base.write(data, offset)?,
            Content::Temp(file) => file.write(&mut self.base, data, offset)?,
            Content::Journal(file, _) => {
                Stats::count(&STATS.writes);
                file.write(&mut self.base, data, offset)?;
            }
            Content::Wal(file, main) => {
                Stats::count(&STATS.writes);
                // SAFETY: SQLite closes a WAL before its main database.
                let mut link = unsafe { link_of(*main) }?;
                file.write(&mut self.base, &mut link, data, offset)?;
            }
            Content::Main(database) => {
                Stats::count(&STATS.writes);
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
                // With a journal every commit and every rollback passes SQLITE_FCNTL_SYNC, and what a failure leaves is
                // rolled back in the end. A journal in memory does not outlive a rollback that fails.
                file.set_combine(!self.journal.is_null() || self.checkpoint == Checkpoint::Combining);
                file.write(&mut self.base, data, offset)?;
            }
        }
        Ok(SQLITE_OK)
    }

    fn truncate(&mut self, size: u64) -> Result<c_int> {
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
        }
        Ok(SQLITE_OK)
    }

    fn sync(&mut self, flags: c_int) -> Result<c_int> {
        self.refuse_failed_checkpoint()?;
        match &mut self.content {
            Content::Plain => self.base.sync(flags)?,
            Content::Temp(file) => file.sync(&mut self.base, flags)?,
            Content::Journal(file, _) => file.sync(&mut self.base, flags)?,
            Content::Wal(file, _) => file.sync(&mut self.base, flags)?,
            Content::Main(database) => match &mut database.phase {
                Phase::Ready(file) => file.sync(&mut self.base, flags)?,
                _ => self.base.sync(flags)?,
            },
        }
        Ok(SQLITE_OK)
    }

    fn size(&mut self) -> Result<u64> {
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
        }
    }

    fn lock(&mut self, level: c_int) -> Result<c_int> {
        let Some(lock) = self.base.methods().lock else { return Ok(SQLITE_OK) };
        // SAFETY: an open file below.
        let code = unsafe { lock(self.base.as_ptr(), level) };
        if code != SQLITE_OK {
            return Ok(code);
        }
        self.excludes_all = level == SQLITE_LOCK_EXCLUSIVE;
        if let Content::Main(database) = &mut self.content {
            if level == SQLITE_LOCK_SHARED {
                failure::clear();
            }
            if level >= SQLITE_LOCK_RESERVED {
                nonce::discard_pool();
            }
            if database.may_stay_plain && level >= SQLITE_LOCK_SHARED {
                self.content = Content::Plain;
                return Ok(SQLITE_OK);
            }
            let settled = database
                .settle(&mut self.base, level == SQLITE_LOCK_SHARED)
                .and_then(|()| self.shim.check_companions(database, &self.path));
            if let Err(fault) = settled {
                if let Some(unlock) = self.base.methods().unlock {
                    let before =
                        if level == SQLITE_LOCK_SHARED { SQLITE_LOCK_NONE } else { SQLITE_LOCK_SHARED };
                    // SAFETY: gives back the lock that SQLite is told it did not get.
                    unsafe { unlock(self.base.as_ptr(), before) };
                }
                return Err(fault);
            }
        }
        Ok(SQLITE_OK)
    }

    fn unlock(&mut self, level: c_int) -> Result<c_int> {
        if level == SQLITE_LOCK_NONE {
            self.refresh_wal(true);
        }
        // Nothing waits here any more, unless SQLite finds a way that does not pass SQLITE_FCNTL_SYNC.
        let flushed = self.main_file().map_or(Ok(()), |(file, base)| file.flush(base));
        self.excludes_all = false;
        let code = match self.base.methods().unlock {
            // SAFETY: an open file below.
            Some(unlock) => unsafe { unlock(self.base.as_ptr(), level) },
            None => SQLITE_OK,
        };
        flushed.map(|()| code)
    }

    fn shm_lock(&mut self, first: c_int, count: c_int, flags: c_int) -> c_int {
        let Some(shm_lock) = self.base.methods().shm_lock else { return SQLITE_IOERR };
        let exclusive_write = flags & SQLITE_SHM_EXCLUSIVE != 0 && first <= WAL_WRITE_LOCK;
        if exclusive_write && flags & SQLITE_SHM_UNLOCK != 0 {
            // What a rolled-back transaction left half assembled must go before others may write.
            self.refresh_wal(true);
        }
        // SAFETY: an open file below.
        let code = unsafe { shm_lock(self.base.as_ptr(), first, count, flags) };
        if code == SQLITE_OK && flags & SQLITE_SHM_EXCLUSIVE != 0 {
            let locked = flags & SQLITE_SHM_LOCK != 0;
            let covers = |lock: c_int| (first..first + count).contains(&lock);
            if covers(WAL_WRITE_LOCK) {
                self.excludes_writers = locked;
            }
            if covers(WAL_CHECKPOINT_LOCK) && !locked {
                // SQLite knows by now whether it failed.
                self.checkpoint = Checkpoint::None;
            }
        }
        if code == SQLITE_OK && flags & SQLITE_SHM_LOCK != 0 {
            if let Content::Main(database) = &mut self.content
                && let Phase::Ready(file) = &mut database.phase
            {
                file.lock_taken(flags & SQLITE_SHM_EXCLUSIVE != 0);
            }
            if exclusive_write {
                nonce::discard_pool();
                self.refresh_wal(true);
            } else if flags & SQLITE_SHM_SHARED != 0 && first >= WAL_FIRST_READ_LOCK {
                failure::clear();
                self.refresh_wal(true);
            }
        }
        code
    }

    fn close(&mut self) {
        match &mut self.content {
            Content::Journal(file, main) => {
                // An error here is one that SQLite would not have seen either: close does not report.
                let _ = file.flush(&mut self.base);
                // SAFETY: SQLite closes a journal before its main database.
                if let Some(main) = unsafe { main.as_mut() } {
                    main.journal = std::ptr::null_mut();
                }
            }
            Content::Wal(_, main) => {
                // SAFETY: as above.
                if let Some(main) = unsafe { main.as_mut() } {
                    main.wal = std::ptr::null_mut();
                    main.checkpoint = Checkpoint::None;
                    if let Content::Main(database) = &mut main.content
                        && let Phase::Ready(file) = &mut database.phase
                    {
                        file.set_holes_from(None);
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
            Content::Main(_) | Content::Plain | Content::Temp(_) => {}
        }
        if matches!(self.content, Content::Main(_)) {
            self.shim.forget_log_names(std::ptr::from_mut(self));
        }
        self.base.close();
    }
}

/// Reads of the main file, with the answers that a file without a key or content gives.
fn read_main(database: &mut Database, base: &mut BaseFile, buf: &mut [u8], offset: u64) -> Result<bool> {
    // sqlite3_open reads the first 100 bytes without a lock and fails if it cannot; nothing depends on
    // them but a guess at the page size.
    let header_probe = offset == 0 && buf.len() == 100;
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

/// The open file behind a file object of ours.
///
/// # Safety
/// `file` was opened by our `xOpen` and is not closed.
unsafe fn open_of<'a>(file: *mut sqlite3_file) -> &'a mut OpenFile {
    // SAFETY: as the caller promises; SQLite uses a file from one thread at a time.
    unsafe { &mut *(*file.cast::<ShimFile>()).open }
}

/// Is this file object ours? Its methods tell.
///
/// # Safety
/// `file` is null or a file object that SQLite handed out.
pub unsafe fn is_ours(file: *mut sqlite3_file) -> bool {
    if file.is_null() {
        return false;
    }
    // SAFETY: a file object that SQLite handed out; null methods mean that it is not open.
    let methods = unsafe { (*file).methods };
    METHODS.iter().any(|table| std::ptr::eq(table, methods))
}

/// Is `file` the file object of `open`?
///
/// # Safety
/// `file` is null or a file object that SQLite handed out.
pub unsafe fn is_open_file(file: *mut sqlite3_file, open: *const OpenFile) -> bool {
    // SAFETY: as the caller promises; ours if its methods are.
    unsafe { is_ours(file) && std::ptr::eq((*file.cast::<ShimFile>()).open, open) }
}

/// The open file behind `file`, if it is ours.
///
/// # Safety
/// `file` is null or a file object that SQLite handed out.
pub unsafe fn ours_of<'a>(file: *mut sqlite3_file) -> Option<&'a mut OpenFile> {
    // SAFETY: as the caller promises; ours, and open since it has methods.
    unsafe { is_ours(file).then(|| open_of(file)) }
}

/// Defines a callback: the body sees the open file, and nothing unwinds out of it.
macro_rules! callback {
    ($name:ident, $file:ident, ($($argument:ident: $type:ty),*), $body:expr) => {
        unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $type)*) -> c_int {
            // SAFETY: SQLite calls with a file that our xOpen opened.
            guard_state(unsafe { open_of(file) }, |$file| $body)
        }
    };
}

unsafe extern "C" fn x_close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes a file once; the box was leaked by xOpen.
    let mut open = unsafe { Box::from_raw((*file.cast::<ShimFile>()).open) };
    let (shim, path) = (open.shim, std::mem::take(&mut open.path));
    guard(&shim.host().api, &path, || {
        open.close();
        Ok(SQLITE_OK)
    })
}

unsafe extern "C" fn x_read(file: *mut sqlite3_file, buf: *mut c_void, len: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    let open = unsafe { open_of(file) };
    // SAFETY: SQLite passes a buffer of that length.
    let buf = unsafe { std::slice::from_raw_parts_mut(buf.cast::<u8>(), len.max(0) as usize) };
    guard_state(open, |open| open.read(buf, offset as u64))
}

unsafe extern "C" fn x_write(file: *mut sqlite3_file, data: *const c_void, len: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    let open = unsafe { open_of(file) };
    // SAFETY: SQLite passes a buffer of that length.
    let data = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len.max(0) as usize) };
    guard_state(open, |open| open.write(data, offset as u64))
}

/// As `guard_fast`, for what depends on the file's state: a panic may have left that half changed, so afterwards
/// the file is of no use but to be unlocked and closed.
fn guard_state(open: &mut OpenFile, body: impl FnOnce(&mut OpenFile) -> Result<c_int>) -> c_int {
    guard_fast(open, |open| {
        if open.busy {
            return Err(Fault::new(
                FaultClass::Internal,
                "an internal error in lumocrypt happened before; close the connection and report the error",
            ));
        }
        open.busy = true;
        let result = body(open);
        open.busy = false;
        result
    })
}

/// As `guard`, without a copy of the path on the way that succeeds.
fn guard_fast(open: &mut OpenFile, body: impl FnOnce(&mut OpenFile) -> Result<c_int>) -> c_int {
    let shim = open.shim;
    let file = std::ptr::from_mut(open);
    guard(&shim.host().api, "", || {
        body(open).map_err(|fault| {
            // SAFETY: the body's borrow has ended.
            fault.at_path(unsafe { &(*file).path })
        })
    })
}

callback!(x_truncate, open, (size: i64), open.truncate(size.max(0) as u64));
callback!(x_sync, open, (flags: c_int), open.sync(flags));
callback!(x_lock, open, (level: c_int), open.lock(level));

unsafe extern "C" fn x_file_control(
    file: *mut sqlite3_file,
    operation: c_int,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    let open = unsafe { open_of(file) };
    // SAFETY: SQLite passes what it defines for the operation.
    guard_fast(open, |open| unsafe { control::file_control(open, operation, argument) })
}

unsafe extern "C" fn x_file_size(file: *mut sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    let open = unsafe { open_of(file) };
    guard_state(open, |open| {
        let bytes = open.size()?;
        // SAFETY: SQLite passes a place for the result.
        unsafe { *size = bytes as i64 };
        Ok(SQLITE_OK)
    })
}

unsafe extern "C" fn x_unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    let open = unsafe { open_of(file) };
    guard_fast(open, |open| open.unlock(level))
}

unsafe extern "C" fn x_check_reserved_lock(file: *mut sqlite3_file, reserved: *mut c_int) -> c_int {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    let base = unsafe { &open_of(file).base };
    match base.methods().check_reserved_lock {
        // SAFETY: an open file below and SQLite's place for the result.
        Some(check) => unsafe { check(base.as_ptr(), reserved) },
        None => SQLITE_OK,
    }
}

unsafe extern "C" fn x_sector_size(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    let open = unsafe { open_of(file) };
    control::sector_size(open)
}

unsafe extern "C" fn x_device_characteristics(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    let open = unsafe { open_of(file) };
    control::device_characteristics(open)
}

unsafe extern "C" fn x_shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    address: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    let open = unsafe { open_of(file) };
    let Some(shm_map) = open.base.methods().shm_map else { return SQLITE_IOERR };
    // SAFETY: an open file below; the result passes through, whatever code it comes with.
    let code = unsafe { shm_map(open.base.as_ptr(), region, size, extend, address) };
    if region == 0 && !address.is_null() {
        // SAFETY: SQLite's place for the result, just written; regions are 32 KiB.
        open.wal_index = unsafe { WalIndex::new((*address).cast()) };
    }
    code
}

unsafe extern "C" fn x_shm_lock(file: *mut sqlite3_file, first: c_int, count: c_int, flags: c_int) -> c_int {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    let open = unsafe { open_of(file) };
    guard_fast(open, |open| Ok(open.shm_lock(first, count, flags)))
}

unsafe extern "C" fn x_shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    let base = unsafe { &open_of(file).base };
    if let Some(barrier) = base.methods().shm_barrier {
        // SAFETY: an open file below.
        unsafe { barrier(base.as_ptr()) }
    }
}

unsafe extern "C" fn x_shm_unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    let open = unsafe { open_of(file) };
    open.wal_index = None;
    match open.base.methods().shm_unmap {
        // SAFETY: an open file below.
        Some(unmap) => unsafe { unmap(open.base.as_ptr(), delete) },
        None => SQLITE_OK,
    }
}

/// Version 1: no shared memory. `xFetch` (version 3) is never offered: SQLite would read ciphertext.
const PLAIN_METHODS: sqlite3_io_methods = sqlite3_io_methods {
    version: 1,
    close: Some(x_close),
    read: Some(x_read),
    write: Some(x_write),
    truncate: Some(x_truncate),
    sync: Some(x_sync),
    file_size: Some(x_file_size),
    lock: Some(x_lock),
    unlock: Some(x_unlock),
    check_reserved_lock: Some(x_check_reserved_lock),
    file_control: Some(x_file_control),
    sector_size: Some(x_sector_size),
    device_characteristics: Some(x_device_characteristics),
    shm_map: None,
    shm_lock: None,
    shm_barrier: None,
    shm_unmap: None,
    fetch: None,
    unfetch: None,
};

/// The method tables: by what the file below offers. SQLite tests version and `xShmMap` to decide whether WAL
/// is possible (pager.c, sqlite3PagerWalSupported), so an absent `xShmMap` below must be absent here.
static METHODS: [sqlite3_io_methods; 3] = [
    PLAIN_METHODS,
    sqlite3_io_methods { version: 2, ..PLAIN_METHODS },
    sqlite3_io_methods {
        version: 2,
        shm_map: Some(x_shm_map),
        shm_lock: Some(x_shm_lock),
        shm_barrier: Some(x_shm_barrier),
        shm_unmap: Some(x_shm_unmap),
        ..PLAIN_METHODS
    },
];

/// The table that fits the file below.
pub fn methods_for(base: &BaseFile) -> &'static sqlite3_io_methods {
    let below = base.methods();
    match (below.version, below.shm_map) {
        (..2, _) => &METHODS[0],
        (_, None) => &METHODS[1],
        (_, Some(_)) => &METHODS[2],
    }
}
