//! One file of the VFS below, as [`Storage`] and as the lock and shared-memory calls that pass through.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::map::{FileMap, Name};
use super::writer::{self, Writer};
use crate::library::abi::*;
use crate::library::calls::{self, check, length};
use ground::error::Result;
use ground::locks;
use ground::sabotage::{self, Sabotage};
use storage::batch::Batch;
use storage::{BatchEnd, LONGEST_TRANSFER, Storage};

/// A file opened by the VFS below, in the memory behind our own `sqlite3_file`.
pub struct BaseFile {
    file: *mut sqlite3_file,
    map: Map,
    /// May a second thread write to it?
    background: bool,
    beside_reads: bool,
    writer: Option<Writer>,
    /// The writer may have batches. Nothing else is done with the file before it is done with them.
    writing: Cell<bool>,
    failed_syncs: u64,
}

/// Looks at a file before it is mapped: reads of a block or a part of one, and of the header's generation. To make a map
/// and to give it back costs some 25 microseconds, as much as so many system calls cost more than looks at a map: a
/// connection that finds a row and goes is not to pay that.
const LOOKS_BEFORE_MAP: u32 = 32;

/// Is the file read through a map?
enum Map {
    No,
    /// It is to be mapped, after so many more looks, and once it is long enough.
    Wanted(Name, u32),
    Yes(Arc<FileMap>),
}

impl BaseFile {
    /// Wraps a file that the VFS below has opened.
    ///
    /// # Safety
    /// `file` stays a valid, open file for as long as this value is used.
    pub unsafe fn new(file: *mut sqlite3_file) -> Self {
        BaseFile {
            file,
            map: Map::No,
            background: false,
            beside_reads: false,
            writer: None,
            writing: Cell::new(false),
            failed_syncs: 0,
        }
    }

    /// The methods of the file below.
    pub fn methods(&self) -> &sqlite3_io_methods {
        locks::calls_out();
        // SAFETY: an open file has methods (sqlite3.h, sqlite3_file).
        unsafe { &*(*self.file).methods }
    }

    /// The file below.
    pub fn as_ptr(&self) -> *mut sqlite3_file {
        self.wait();
        self.file
    }

    /// A second thread may write batches of the file; `beside_reads`: and need not be waited for by reads of what it does
    /// not write.
    pub fn enable_writer(&mut self, beside_reads: bool) {
        self.background = true;
        self.beside_reads = beside_reads;
    }

    /// Nothing is on its way to the file any more.
    fn wait(&self) {
        if self.writing.get()
            && !sabotage::is(Sabotage::BatchWait)
            && let Some(writer) = self.writer.as_ref().filter(|writer| writer.is_here())
        {
            self.writing.set(false);
            writer.wait();
        }
    }

    /// The file, which was just opened under the name `path`, is to be read through a map, where one can be had.
    pub fn enable_map(&mut self, path: &Path) {
        self.map = Name::of(path).map_or(Map::No, |name| Map::Wanted(name, LOOKS_BEFORE_MAP));
    }

    /// Is the file read through a map, or will it be?
    pub fn wants_map(&self) -> bool {
        !matches!(self.map, Map::No)
    }

    /// A map that has the bytes from `offset` to `end`.
    fn map_to(&mut self, offset: u64, end: u64) -> Option<*const u8> {
        if let Map::Yes(map) = &self.map
            && let Some(bytes) = map.get(offset, end)
        {
            return Some(bytes);
        }
        match &mut self.map {
            Map::No => return None,
            Map::Wanted(_, looks) if *looks > 0 => {
                *looks -= 1;
                return None;
            }
            Map::Wanted(..) | Map::Yes(_) => {}
        }
        let size = self.size().ok().filter(|size| end <= *size)?;
        let map = match &self.map {
            Map::No => None,
            // SAFETY: an open file.
            Map::Wanted(name, _) => unsafe { FileMap::of(self.file, name, size) },
            Map::Yes(map) if map.reaches(end) => Some(Arc::clone(map)),
            Map::Yes(map) => map.grown(size),
        };
        self.map = map.map_or(Map::No, Map::Yes);
        let Map::Yes(map) = &self.map else { return None };
        map.set_size(size);
        map.get(offset, end)
    }

    /// Passes a file control down.
    ///
    /// # Safety
    /// `argument` is what SQLite defines for `operation`.
    pub unsafe fn control(&self, operation: c_int, argument: *mut c_void) -> c_int {
        // SAFETY: an open file, and as the caller promises.
        unsafe { calls::control(self.file, operation, argument) }
    }

    /// Does the file still have the name by which it was opened? SQLite's VFS compares the inodes.
    pub fn has_its_name(&self) -> bool {
        // SAFETY: an open file.
        unsafe { calls::has_its_name(self.file) }
    }

    /// Closes the file.
    pub fn close(&mut self) -> c_int {
        self.wait();
        self.writer = None;
        self.map = Map::No;
        let Some(close) = self.methods().close else { return SQLITE_OK };
        // SAFETY: an open file, closed once: our own close callback is the only caller.
        unsafe { close(self.file) }
    }
}

/// How often a read may fall short of the end of the file before it is an error. Once is normal where another
/// process appends. Bytes that the file has and does not give are not zeros: a log would end there, and a block
/// would seem to be tampered with.
const SHORT_READ_TRIES: u32 = 2;

impl Storage for BaseFile {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        // Slots that are being written are read from their batch.
        if !self.beside_reads {
            self.wait();
        }
        let Some(read) = self.methods().read else { return check(SQLITE_IOERR, "reading").map(|()| false) };
        let mut at = offset;
        let mut complete = true;
        for part in buf.chunks_mut(LONGEST_TRANSFER) {
            if !complete {
                part.fill(0);
                continue;
            }
            let mut tries = SHORT_READ_TRIES;
            complete = loop {
                // SAFETY: an open file and a buffer of that length.
                let code =
                    unsafe { read(self.file, part.as_mut_ptr().cast(), length(part.len()), at as i64) };
                if code != SQLITE_IOERR_SHORT_READ {
                    check(code, "reading")?;
                    break true;
                }
                if self.size()? < at + part.len() as u64 {
                    break false;
                }
                tries -= 1;
                if tries == 0 {
                    return check(SQLITE_IOERR_READ, "reading").map(|()| false);
                }
            };
            at += part.len() as u64;
        }
        Ok(complete)
    }

    fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        self.wait();
        // SAFETY: an open file.
        unsafe { calls::write(self.file, data, offset) }
    }

    fn truncate(&mut self, size: u64) -> Result<()> {
        self.wait();
        let Some(truncate) = self.methods().truncate else { return check(SQLITE_IOERR, "truncating") };
        if let Map::Yes(map) = &self.map {
            // Others that read meanwhile look at the file again.
            map.set_size(0);
        }
        // SAFETY: an open file.
        check(unsafe { truncate(self.file, size as i64) }, "truncating")
    }

    fn sync(&mut self, flags: i32) -> Result<()> {
        self.wait();
        let Some(sync) = self.methods().sync else { return check(SQLITE_IOERR, "syncing") };
        // SAFETY: an open file.
        let synced = check(unsafe { sync(self.file, flags) }, "syncing");
        self.failed_syncs += u64::from(synced.is_err());
        synced
    }

    fn failed_syncs(&self) -> u64 {
        self.failed_syncs
    }

    fn size(&mut self) -> Result<u64> {
        self.wait();
        let Some(file_size) = self.methods().file_size else {
            return check(SQLITE_IOERR, "asking for the size").map(|()| 0);
        };
        let mut size = 0;
        // SAFETY: an open file and a place for the result.
        check(unsafe { file_size(self.file, &mut size) }, "asking for the size")?;
        let size = size.max(0) as u64;
        if let Map::Yes(map) = &self.map {
            map.set_size(size);
        }
        Ok(size)
    }

    fn visit_map(&mut self, offset: u64, len: usize, visit: &mut dyn FnMut(&[u8])) -> bool {
        let Some(bytes) = self.map_to(offset, offset + len as u64) else { return false };
        prefetch(bytes, len);
        // SAFETY: mapped for as long as `self.map` is, and within the file. Another process may change them meanwhile,
        // which visitors are written to survive.
        visit(unsafe { std::slice::from_raw_parts(bytes, len) });
        true
    }

    fn pace_for_batches(&self) -> Duration {
        if self.background { writer::pace() } else { Duration::ZERO }
    }

    fn begin_batch(&mut self, batch: &Arc<Batch>) -> bool {
        if self.background && self.writer.is_none() {
            // SAFETY: an open file, until `close`, which stops the writer; every other use of it waits.
            self.writer = unsafe { Writer::new(self.file) };
            self.background = self.writer.is_some();
        }
        let Some(writer) = self.writer.as_ref().filter(|writer| writer.is_here()) else { return false };
        writer.begin(batch);
        self.writing.set(true);
        true
    }

    fn end_batch(&mut self) -> BatchEnd {
        let end = match &self.writer {
            Some(_) if sabotage::is(Sabotage::BatchWait) => BatchEnd::Written,
            Some(writer) if writer.is_here() => {
                if writer.end() {
                    BatchEnd::Written
                } else {
                    BatchEnd::Failed
                }
            }
            Some(_) => BatchEnd::Elsewhere,
            None => BatchEnd::Failed,
        };
        if end != BatchEnd::Written {
            self.background &= end != BatchEnd::Elsewhere;
            self.end_batches();
        }
        end
    }

    fn end_batches(&mut self) {
        self.wait();
        if !sabotage::is(Sabotage::BatchWait) {
            self.writing.set(false);
            self.writer = None;
        }
    }
}

/// Asks the processor for `len` bytes at `bytes` at once: an AEAD reads the nonce at the end of a slot first, and
/// otherwise waits for memory twice.
fn prefetch(bytes: *const u8, len: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..len).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(bytes.add(line).cast()) };
    }
}
