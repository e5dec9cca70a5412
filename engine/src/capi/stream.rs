//! Encrypting a database that the caller has in clear, and that is in no file.

use std::ffi::{c_char, c_int, c_void};

use super::files::{LumoProgress, describe, open_options, reporter};
use super::{call, file_name, give};
use crate::error::{Fault, FaultClass, Result};
use crate::files::disk::DiskFile;
use crate::files::storage::Storage;
use crate::offline::convert;
use crate::offline::workers::Input;

/// Fills `len` bytes at `buf` with the database's content from `offset` on; a non-zero answer stops the operation.
pub type LumoSource = Option<unsafe extern "C" fn(u64, *mut u8, usize, *mut c_void) -> c_int>;

/// Encrypts `size` bytes of a plaintext database, which `source` hands out, into the empty file `destination`.
/// `source` is called by the calling thread only, in the order of the offsets but for the first 100 bytes, which are
/// asked for twice.
///
/// # Safety
/// `destination` and `options` are strings, the latter or null; `source` accepts `context` and writes as many bytes as
/// it is asked for; `progress` and `json` as for `lumo_encrypt_file`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_encrypt_stream(
    destination: *const c_char,
    size: u64,
    key: u64,
    options: *const c_char,
    source: LumoSource,
    progress: LumoProgress,
    context: *mut c_void,
    json: *mut *mut c_char,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (destination, options) = unsafe { (file_name(destination)?, open_options(options, key)?) };
        let Some(source) = source else {
            return Err(Fault::new(FaultClass::InvalidArgument, "a required argument is null"));
        };
        let mut stream = Stream { source, context, size };
        let mut target = DiskFile::open_empty(destination)?;
        let mut report = reporter(progress, context);
        let done = convert::encrypt(&mut stream, &mut target, &options, &mut report)?;
        // SAFETY: as the caller promises.
        unsafe { give(json, &describe(&done)) }
    })
}

/// What the caller's function hands out, as a file.
struct Stream {
    source: unsafe extern "C" fn(u64, *mut u8, usize, *mut c_void) -> c_int,
    context: *mut c_void,
    size: u64,
}

// SAFETY: there is no second one for another thread (`Input::another`), and the calling thread does the work of the
// first itself.
unsafe impl Send for Stream {}

impl Input for Stream {}

impl Storage for Stream {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        let there = self.size.saturating_sub(offset).min(buf.len() as u64) as usize;
        let (wanted, rest) = buf.split_at_mut(there);
        rest.fill(0);
        // SAFETY: as the caller of the exported function promised; the buffer has the length that is passed.
        let answer = unsafe { (self.source)(offset, wanted.as_mut_ptr(), wanted.len(), self.context) };
        if answer != 0 {
            return Err(Fault::new(FaultClass::Io, "the source of the pages gave up"));
        }
        Ok(rest.is_empty())
    }

    fn write(&mut self, _data: &[u8], _offset: u64) -> Result<()> {
        Err(read_only())
    }

    fn truncate(&mut self, _size: u64) -> Result<()> {
        Err(read_only())
    }

    fn sync(&mut self, _flags: i32) -> Result<()> {
        Err(read_only())
    }

    fn size(&mut self) -> Result<u64> {
        Ok(self.size)
    }
}

fn read_only() -> Fault {
    Fault::new(FaultClass::Internal, "a source of pages cannot be written")
}
