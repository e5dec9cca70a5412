//! The connections that use a file: one, or those that share its cache.
//!
//! A file with a shared cache is opened once and told of each further connection, without the cache's mutex. Which
//! connection it is told of then is not certain: SQLite passes the place where the cache notes who uses it, and another
//! thread may be using it. So only the first word counts, and of the others it is remembered that there are some. Who uses
//! the file is looked up when SQLite does: then the thread holds the cache's mutex and the connection's.

use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::company::{self, Main};
use super::mains;
use super::open_file::OpenFile;
use super::proofs;
use super::sharing;
use ground::error::{Fault, FaultClass, Result};
use ground::locks::{Lock, Rank};
use vault::material::Key;

/// What a file object knows of the connections that it serves. It is read without any mutex of SQLite's.
pub struct Users {
    /// The file's path, and whether connections on its VFS prove their keys.
    path: PathBuf,
    prove: bool,
    /// The first connection is known.
    introduced: AtomicBool,
    /// There were others since.
    joined: AtomicBool,
    /// Those that will not prove a key, by the key that the process knew of the path when they joined. Whether that lets
    /// them in depends on what the file is open with, which is looked at under the cache's mutex.
    unproven: Lock<Vec<Option<Arc<Key>>>>,
    /// One of them must not use the cache.
    strangers: AtomicBool,
}

impl Users {
    /// Of the file at `path`, on a VFS whose connections `prove` their keys, or do not.
    pub fn new(prove: bool, path: PathBuf) -> Users {
        Users {
            path,
            prove,
            introduced: AtomicBool::new(false),
            joined: AtomicBool::new(false),
            unproven: Lock::new(Rank::Joiners, Vec::new()),
            strangers: AtomicBool::new(false),
        }
    }

    /// SQLite names a connection: is it the first, the one that has just opened the file?
    pub fn is_first(&self) -> bool {
        let first = !self.introduced.swap(true, Ordering::AcqRel);
        if !first {
            if !(self.prove && sharing::is_expected()) {
                let known = sharing::known_key(&self.path);
                self.unproven.lock().push(known);
            }
            self.joined.store(true, Ordering::Release);
        }
        first
    }

    /// Refuses everybody once a connection has joined that has shown no key and needed one.
    fn check(&self, open: &OpenFile) -> Result<()> {
        let unproven = std::mem::take(&mut *self.unproven.lock());
        if unproven.iter().any(|known| !proofs::may_join(open, known.as_deref())) {
            self.strangers.store(true, Ordering::Release);
        }
        if self.strangers.load(Ordering::Acquire) { Err(sharing::joined()) } else { Ok(()) }
    }

    /// Do several connections use the file?
    pub fn is_shared(&self) -> bool {
        self.joined.load(Ordering::Acquire)
    }
}

/// Why a database must not be used by a connection whose main database is none of ours: SQLite puts the temporary files
/// of a whole connection through its main database's VFS.
pub fn foreign(path: &Path) -> Fault {
    Fault::new(
        FaultClass::InUse,
        "an encrypted database cannot be attached to a connection whose main database is on another VFS: \
         SQLite would sort its rows into clear temporary files. Open the main database through lumocrypt \
         (vfs=lumocrypt) and attach to that",
    )
    .at_path(path)
}

/// Several connections use the file: from here on it belongs to none, and what fails is not laid at the first one's door.
pub fn disown(open: &mut OpenFile) {
    if open.connection != 0 {
        open.connection = 0;
        mains::set_connection(open, null_mut());
    }
}

/// One of the connections that share a file's cache is about to use it.
///
/// Errors: as [`foreign`]; `KeyRequired` if a connection has joined that needed a key and has shown none.
///
/// # Safety
/// SQLite calls for `open` on behalf of one of its connections, which are `users`.
pub unsafe fn check_user(open: &mut OpenFile, users: &Users) -> Result<()> {
    disown(open);
    users.check(open)?;
    // SAFETY: the place is the cache's, which lives as long as the file; its mutex is held.
    let Some(user) = (unsafe { open.user.as_ref() }) else { return Ok(()) };
    // SAFETY: SQLite holds a connection's mutex whenever it works for it.
    match unsafe { company::main_of(&open.common.shim.host().api, *user) } {
        Main::Foreign if !open.is_plain() => Err(foreign(&open.common.path)),
        _ => Ok(()),
    }
}
