//! One file of the VFS below, as [`Storage`] and as the lock and shared-memory calls that pass through.

use std::ffi::{c_int, c_void};

use super::abi::*;
use crate::error::{Fault, FaultClass, Result};
use crate::files::storage::Storage;

/// Bytes asked of the VFS below for its map: more than any file. SQLite clamps it to its own limit
/// (SQLITE_MAX_MMAP_SIZE, 2 GiB unless built otherwise); what lies beyond is read.
const MAP_LIMIT: i64 = 1 << 46;

/// Reads beyond the end of the map before it is made anew, the file having grown.
const MISSES_BEFORE_REMAP: u32 = 64;

/// A file opened by the VFS below, in the memory behind our own `sqlite3_file`.
pub struct BaseFile {
    file: *mut sqlite3_file,
    mapped: bool,
    misses: u32,
}

impl BaseFile {
    /// Wraps a file that the VFS below has opened.
    ///
    /// # Safety
    /// `file` stays a valid, open file for as long as this value is used.
    pub unsafe fn new(file: *mut sqlite3_file) -> Self {
        BaseFile { file, mapped: false, misses: 0 }
    }

    /// The methods of the file below.
    pub fn methods(&self) -> &sqlite3_io_methods {
        // SAFETY: an open file has methods (sqlite3.h, sqlite3_file).
        unsafe { &*(*self.file).methods }
    }

    /// The file below.
    pub fn as_ptr(&self) -> *mut sqlite3_file {
        self.file
    }

    /// Asks the VFS below to map the file. Without effect where it cannot.
    pub fn enable_map(&mut self) {
        let methods = self.methods();
        if methods.version < 3 || methods.fetch.is_none() || methods.unfetch.is_none() {
            return;
        }
        let mut limit = MAP_LIMIT;
        // SAFETY: the file control takes a pointer to a 64-bit limit.
        let code = unsafe { self.control(SQLITE_FCNTL_MMAP_SIZE, (&raw mut limit).cast()) };
        self.mapped = code == SQLITE_OK;
    }

    /// Passes a file control down.
    ///
    /// # Safety
    /// `argument` is what SQLite defines for `operation`.
    pub unsafe fn control(&self, operation: c_int, argument: *mut c_void) -> c_int {
        match self.methods().file_control {
            // SAFETY: as the caller promises.
            Some(control) => unsafe { control(self.file, operation, argument) },
            None => SQLITE_NOTFOUND,
        }
    }

    /// Closes the file.
    pub fn close(&mut self) -> c_int {
        let Some(close) = self.methods().close else { return SQLITE_OK };
        // SAFETY: an open file, closed once: our own close callback is the only caller.
        unsafe { close(self.file) }
    }
}

/// A failure below us: SQLite knows how to report its own codes.
fn check(code: c_int, what: &str) -> Result<()> {
    if code == SQLITE_OK {
        return Ok(());
    }
    let class = if code & 0xff == SQLITE_NOMEM { FaultClass::NoMemory } else { FaultClass::Io };
    Err(Fault::new(class, format!("{what} failed with SQLite result code {code}")).with_code(code))
}

/// The most that goes down in one call: SQLite's unix VFS silently cuts lengths to 17 bits (os_unix.c,
/// seekAndRead and seekAndWriteFd), because no page is that long.
const LONGEST_TRANSFER: usize = 0x1_f000;

/// How often a read may fall short of the end of the file before it is an error. Once is normal where another
/// process appends. Bytes that the file has and does not give are not zeros: a log would end there, and a block
/// would seem to be tampered with.
const SHORT_READ_TRIES: u32 = 2;

/// SQLite's calls take lengths as `int`; none of ours comes near its limit.
fn length(len: usize) -> c_int {
    c_int::try_from(len).unwrap_or(c_int::MAX)
}

impl Storage for BaseFile {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
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
        let Some(write) = self.methods().write else { return check(SQLITE_IOERR, "writing") };
        let mut at = offset;
        for part in data.chunks(LONGEST_TRANSFER) {
            // SAFETY: an open file and a buffer of that length.
            let code = unsafe { write(self.file, part.as_ptr().cast(), length(part.len()), at as i64) };
            check(code, "writing")?;
            at += part.len() as u64;
        }
        Ok(())
    }

    fn truncate(&mut self, size: u64) -> Result<()> {
        let Some(truncate) = self.methods().truncate else { return check(SQLITE_IOERR, "truncating") };
        // SAFETY: an open file.
        check(unsafe { truncate(self.file, size as i64) }, "truncating")
    }

    fn sync(&mut self, flags: i32) -> Result<()> {
        let Some(sync) = self.methods().sync else { return check(SQLITE_IOERR, "syncing") };
        // SAFETY: an open file.
        check(unsafe { sync(self.file, flags) }, "syncing")
    }

    fn size(&mut self) -> Result<u64> {
        let Some(file_size) = self.methods().file_size else {
            return check(SQLITE_IOERR, "asking for the size").map(|()| 0);
        };
        let mut size = 0;
        // SAFETY: an open file and a place for the result.
        check(unsafe { file_size(self.file, &mut size) }, "asking for the size")?;
        Ok(size.max(0) as u64)
    }

    fn visit_map(&mut self, offset: u64, len: usize, visit: &mut dyn FnMut(&[u8])) -> bool {
        if !self.mapped {
            return false;
        }
        let (Some(fetch), Some(unfetch)) = (self.methods().fetch, self.methods().unfetch) else {
            return false;
        };
        let mut page = std::ptr::null_mut();
        // SAFETY: an open file and a place for the result; the VFS returns null where no map covers the range.
        let code = unsafe { fetch(self.file, offset as i64, length(len), &mut page) };
        if code != SQLITE_OK || page.is_null() {
            self.misses += 1;
            if self.misses >= MISSES_BEFORE_REMAP {
                self.misses = 0;
                // SAFETY: null asks to drop the map; nothing fetched is outstanding here.
                unsafe { unfetch(self.file, 0, std::ptr::null_mut()) };
            }
            return false;
        }
        // SAFETY: the VFS promises `len` readable bytes until the page is given back. Another process may
        // change them meanwhile, which visitors are written to survive.
        visit(unsafe { std::slice::from_raw_parts(page.cast::<u8>(), len) });
        // SAFETY: gives back what was fetched.
        unsafe { unfetch(self.file, offset as i64, page) };
        true
    }
}
