//! VFSs of the gosqlite format.

use std::ffi::{c_char, c_int};

use super::{call, give, required, text};
use crypto::LengthPreserving;
use gosqlite::opener::{self, Options};
use ground::error::{Fault, FaultClass};
use sqlite::vfs::host;
use sqlite::vfs::recorder::{self, Recorder};

/// Called after each read and write with the caller's context, 0 for a read and 1 for a write, the kind of file, the
/// offset, the bytes asked for, nanoseconds, and SQLite's result code.
pub type LumoRecorder = Option<unsafe extern "C" fn(u64, c_int, c_int, i64, i64, u64, c_int)>;

/// Registers a VFS of the gosqlite format over the VFS called `base_vfs`, or over the default one. `name` is for
/// `vfs=` in a URI, `number` for [`lumo_gosqlite_close`].
///
/// # Safety
/// `base_vfs` is null or a string, `cipher` is a string; `key` points to `key_len` readable bytes; `recorder` is null
/// or a function that can be called until [`lumo_recorders_stop`]; `number` and `name` are places for the results.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_gosqlite_open(
    host: u32,
    base_vfs: *const c_char,
    cipher: *const c_char,
    key: *const u8,
    key_len: usize,
    page_size: usize,
    recorder: LumoRecorder,
    context: u64,
    number: *mut u64,
    name: *mut *mut c_char,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (base, cipher) = unsafe { (text(base_vfs)?, required(cipher)?) };
        let cipher = LengthPreserving::from_name(cipher).ok_or_else(|| {
            let names: Vec<_> = LengthPreserving::ALL.iter().map(|cipher| cipher.name()).collect();
            Fault::new(
                FaultClass::InvalidArgument,
                format!("cipher={cipher:?}: the ciphers of this format are {}", names.join(" and ")),
            )
        })?;
        let null = || Fault::new(FaultClass::InvalidArgument, "a required argument is null");
        if key.is_null() {
            return Err(null());
        }
        // SAFETY: as the caller promises.
        let (key, number) = unsafe { (std::slice::from_raw_parts(key, key_len), number.as_mut()) };
        let number = number.ok_or_else(null)?;
        let recorder = recorder.map(|function| Recorder { function, context });
        let options = Options { cipher, block_size: page_size, recorder };
        let (id, vfs_name) = opener::register(host::host(host)?, base, options, key)?;
        *number = id;
        // SAFETY: as the caller promises.
        unsafe { give(name, &vfs_name) }
    })
}

/// Unregisters such a VFS and wipes its key; class 7 while files are open through it.
#[unsafe(no_mangle)]
pub extern "C" fn lumo_gosqlite_close(number: u64) -> c_int {
    call(|| opener::close(number))
}

/// No recorder is called any more: the interpreter is about to end.
#[unsafe(no_mangle)]
pub extern "C" fn lumo_recorders_stop() {
    recorder::stop_recorders();
}
