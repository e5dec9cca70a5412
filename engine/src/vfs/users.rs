//! The connection that uses a database file, and the company that the file is in: that connection's main database.
//!
//! SQLite names the connection (`SQLITE_FCNTL_PDB`) while it holds a mutex that every opening with a shared cache has to
//! pass. `sqlite3_file_control`, the documented way from a connection to its main database, takes the mutexes of
//! connection and cache, which another thread may hold while it waits for that one. So the way taken here is by the
//! name, which needs none: `sqlite3_db_filename` returns the very string that the pager passed to `xOpen`, and from that
//! string SQLite finds the pager's file object (pager.c, sqlite3_database_file_object). Only a main database without a
//! name, in memory or temporary, has to be asked for; its cache is nobody else's, unless that is shared, too.
//!
//! A file with a shared cache is opened once and told of each further connection. Which one it is told of then is not
//! certain: SQLite passes the place where the cache notes who uses it, and another thread may be using it. So only the
//! first word counts, and of the others it is remembered that there are some ([`Users::joined`]). Who uses the file is
//! looked up when SQLite does: then the thread holds the cache's mutex and the connection's.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

use super::abi::*;
use super::api::Api;
use super::callbacks::{is_open_file, is_ours};
use super::file::OpenFile;
use super::host::is_our_vfs;
use crate::error::{Fault, FaultClass, Result};

/// What a file object knows of the connections that it serves. It is read without any mutex.
#[derive(Default)]
pub struct Users {
    /// The first connection is known.
    introduced: AtomicBool,
    /// There were others since.
    joined: AtomicBool,
}

impl Users {
    /// SQLite names a connection: is it the first, the one that has just opened the file?
    pub fn is_first(&self) -> bool {
        let first = !self.introduced.swap(true, Ordering::AcqRel);
        if !first {
            self.joined.store(true, Ordering::Release);
        }
        first
    }

    /// Do several connections use the file?
    pub fn is_shared(&self) -> bool {
        self.joined.load(Ordering::Acquire)
    }
}

/// A connection's main database.
pub struct Main {
    /// Its file object; null if it has no name.
    pub file: *mut sqlite3_file,
    /// Do its connection's temporary files go through a VFS of ours?
    pub is_ours: bool,
}

/// The main database of `connection`; `None` while SQLite opens it.
///
/// # Safety
/// The calling thread holds the connection's mutex.
pub unsafe fn main_of(api: &Api, connection: *mut sqlite3) -> Option<Main> {
    // SAFETY: as the caller promises. The name is the pager's, so its file object can be asked for, and the pager is open.
    unsafe {
        let name = (api.db_filename)(connection, c"main".as_ptr());
        if name.is_null() {
            return None;
        }
        if *name != 0 {
            let file = (api.database_file_object)(name);
            return Some(Main { file, is_ours: is_ours(file) });
        }
        let mut vfs: *mut sqlite3_vfs = null_mut();
        let place: *mut c_void = (&raw mut vfs).cast();
        let code = (api.file_control)(connection, c"main".as_ptr(), SQLITE_FCNTL_VFS_POINTER, place);
        (code == SQLITE_OK).then(|| Main { file: null_mut(), is_ours: is_our_vfs(vfs) })
    }
}

/// Why a database must not be used by a connection whose main database is none of ours: SQLite puts the temporary files
/// of a whole connection through its main database's VFS.
pub fn foreign(path: &str) -> Fault {
    Fault::new(
        FaultClass::InUse,
        "an encrypted database cannot be attached to a connection whose main database is on another VFS: \
         SQLite would sort its rows into clear temporary files. Open the main database through lumocrypt \
         (vfs=lumocrypt) and attach to that",
    )
    .at_path(path)
}

/// One of the connections that share a file's cache is about to use it.
///
/// Errors: as [`foreign`].
///
/// # Safety
/// SQLite calls for `open` on behalf of one of its connections.
pub unsafe fn check_user(open: &OpenFile) -> Result<()> {
    // SAFETY: the place is the cache's, which lives as long as the file; its mutex is held.
    let Some(user) = (unsafe { open.user.as_ref() }) else { return Ok(()) };
    // SAFETY: SQLite holds a connection's mutex whenever it works for it.
    let main = unsafe { main_of(&open.shim.host().api, *user) };
    match main {
        // SAFETY: a file object that SQLite handed out.
        Some(main) if !main.is_ours && !unsafe { is_open_file(main.file, open) } => Err(foreign(&open.path)),
        _ => Ok(()),
    }
}
