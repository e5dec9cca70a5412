//! The callbacks that SQLite calls with a file of ours, and the tables that they stand in.

use std::ffi::{c_int, c_void};

use super::base::BaseFile;
use super::control;
use super::mains;
use super::open_file::OpenFile;
use super::recorder::Operation;
use super::report::guard;
use super::shim_file::ShimFile;
use super::users::{self, Users};
use super::wal_index::WalIndex;
use crate::library::abi::*;
use ground::error::{Fault, FaultClass, Result};

/// The open file behind a file object of ours.
///
/// # Safety
/// `file` was opened by our `xOpen` and is not closed.
unsafe fn open_of<'a>(file: *mut sqlite3_file) -> &'a mut OpenFile {
    // SAFETY: as the caller promises; SQLite uses a file from one thread at a time.
    unsafe { &mut *(*file.cast::<ShimFile>()).open }
}

/// The file of the VFS below, which lies behind ours, eight-byte aligned.
///
/// # Safety
/// `file` is memory of the size that our VFS asks for.
pub unsafe fn below_of(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: as the caller promises.
    unsafe { file.cast::<u8>().add(size_of::<ShimFile>()).cast() }
}

/// The connections of the file, if there are several.
///
/// # Safety
/// As for `open_of`.
unsafe fn sharers<'a>(file: *mut sqlite3_file) -> Option<&'a Users> {
    // SAFETY: as the caller promises.
    let users = unsafe { &(*file.cast::<ShimFile>()).users };
    users.is_shared().then_some(users)
}

unsafe extern "C" fn x_close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes a file once; the box was leaked by xOpen.
    let mut open = unsafe { Box::from_raw((*file.cast::<ShimFile>()).open) };
    // SAFETY: as above; xOpen put them there.
    unsafe { std::ptr::drop_in_place(&raw mut (*file.cast::<ShimFile>()).users) };
    let (shim, path) = (open.common.shim, std::mem::take(&mut open.common.path));
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
    let (watch, len) = (open.operation_begins(), buf.len());
    // SAFETY: as above.
    let sharers = unsafe { sharers(file) };
    let code = guard_state(open, |open| {
        if let Some(users) = sharers {
            // SAFETY: SQLite reads for a connection.
            unsafe { users::check_user(open, users) }?;
        }
        open.read(buf, offset as u64)
    });
    if let Some(tell) = open.operation_ended(Operation::Read, watch, offset, len, code) {
        tell();
    }
    code
}

unsafe extern "C" fn x_write(file: *mut sqlite3_file, data: *const c_void, len: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    let open = unsafe { open_of(file) };
    // SAFETY: SQLite passes a buffer of that length.
    let data = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len.max(0) as usize) };
    let watch = open.operation_begins();
    let code = given_up(guard_state(open, |open| open.write(data, offset as u64)));
    if let Some(tell) = open.operation_ended(Operation::Write, watch, offset, data.len(), code) {
        tell();
    }
    code
}

/// The code of a failed write, cut or sync, after which what waited is dropped: the pager gives a transaction up for
/// SQLITE_IOERR and SQLITE_FULL, but after a bare SQLITE_NOMEM it might go on and commit.
fn given_up(code: c_int) -> c_int {
    if code == SQLITE_NOMEM { SQLITE_IOERR_NOMEM } else { code }
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
    let shim = open.common.shim;
    let file = std::ptr::from_mut(open);
    guard(&shim.host().api, "", || {
        body(open).map_err(|fault| {
            // SAFETY: the body's borrow has ended.
            let open = unsafe { &*file };
            fault.at_path(&open.common.path).of_connection(open.connection)
        })
    })
}

unsafe extern "C" fn x_truncate(file: *mut sqlite3_file, size: i64) -> c_int {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    given_up(guard_state(unsafe { open_of(file) }, |open| open.truncate(size.max(0) as u64)))
}

unsafe extern "C" fn x_sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    given_up(guard_state(unsafe { open_of(file) }, |open| open.sync(flags)))
}

unsafe extern "C" fn x_lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    let (open, sharers) = unsafe { (open_of(file), sharers(file)) };
    mains::used(open);
    guard_state(open, |open| {
        if let Some(users) = sharers {
            // SAFETY: SQLite locks for a connection.
            unsafe { users::check_user(open, users) }?;
        }
        open.lock(level)
    })
}

unsafe extern "C" fn x_file_control(
    file: *mut sqlite3_file,
    operation: c_int,
    argument: *mut c_void,
) -> c_int {
    let shim_file = file.cast::<ShimFile>();
    // SAFETY: SQLite calls with a file that our xOpen opened. Other threads may be using what it has open: a connection
    // that joins a shared cache is announced without the cache's mutex.
    if operation == SQLITE_FCNTL_PDB && !unsafe { (*shim_file).users.is_first() } {
        // SAFETY: the file below, to which SQLite would say the same, in the same way.
        return unsafe { control_below(file, operation, argument) };
    }
    // SAFETY: as above, and nobody else is.
    let open = unsafe { open_of(file) };
    mains::used(open);
    // SAFETY: as above.
    if unsafe { sharers(file) }.is_some() {
        users::disown(open);
    }
    // SAFETY: SQLite passes what it defines for the operation.
    guard_fast(open, |open| unsafe { control::file_control(open, operation, argument) })
}

/// Passes a file control down, without a look at what else the file is doing.
///
/// # Safety
/// `file` was opened by our `xOpen`; `argument` is what SQLite defines for `operation`.
unsafe fn control_below(file: *mut sqlite3_file, operation: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: as the caller promises; an open file has methods.
    unsafe {
        let below = below_of(file);
        (*(*below).methods)
            .file_control
            .map_or(SQLITE_NOTFOUND, |control| control(below, operation, argument))
    }
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
    let base = unsafe { &open_of(file).common.base };
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
    let Some(shm_map) = open.common.base.methods().shm_map else { return SQLITE_IOERR };
    // SAFETY: an open file below; the result passes through, whatever code it comes with.
    let code = unsafe { shm_map(open.common.base.as_ptr(), region, size, extend, address) };
    if region == 0 && !address.is_null() {
        // SAFETY: SQLite's place for the result, just written; regions are 32 KiB.
        open.common.wal_index = unsafe { WalIndex::new((*address).cast()) };
    }
    code
}

unsafe extern "C" fn x_shm_lock(file: *mut sqlite3_file, first: c_int, count: c_int, flags: c_int) -> c_int {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    let open = unsafe { open_of(file) };
    guard_fast(open, |open| open.shm_lock(first, count, flags))
}

unsafe extern "C" fn x_shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    let base = unsafe { &open_of(file).common.base };
    if let Some(barrier) = base.methods().shm_barrier {
        // SAFETY: an open file below.
        unsafe { barrier(base.as_ptr()) }
    }
}

unsafe extern "C" fn x_shm_unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: SQLite calls with a file that our xOpen opened.
    let open = unsafe { open_of(file) };
    open.common.wal_index = None;
    match open.common.base.methods().shm_unmap {
        // SAFETY: an open file below.
        Some(unmap) => unsafe { unmap(open.common.base.as_ptr(), delete) },
        None => SQLITE_OK,
    }
}

/// Version 1: no shared memory. `xFetch` (version 3) is never offered: SQLite would read ciphertext.
const PLAIN_METHODS: sqlite3_io_methods = sqlite3_io_methods {
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
    ..sqlite3_io_methods::NONE
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
