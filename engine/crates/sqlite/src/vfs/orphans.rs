//! Logs whose database is gone.
//!
//! Where there is no main file and a log of one, the database was deleted, or moved without its log. SQLite deletes such
//! a log when the next database of that name is made. Nothing of it can be read without the main file's header; but that
//! may be found again, so the log is moved aside instead.
//!
//! And the other way round: files that were made for a database which could not be.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::base::BaseFile;
use crate::library::abi::*;
use crate::library::api::Api;
use ground::error::Result;
use ground::paths;
use storage::Storage;

/// What the moved log's name ends in, behind the log's; with a number where that is there already.
const SUFFIX: &str = ".lumo-orphaned";
/// How many names are tried.
const NAMES: u32 = 1000;

/// What became of the logs.
pub enum Outcome {
    /// They are out of the way.
    Moved,
    /// Another connection uses the file that was just made; SQLite is to try again.
    Busy(i32),
    /// The database is another connection's by now.
    Created,
    /// They are where they were.
    Left,
}

/// A main file that was not there when it was opened, until its maker has looked at the logs beside it.
///
/// From before the file appears to then, a lock on its folder says that an empty file beside a log is about to be made
/// into a database. Only a maker that finds a log takes it; without such locks in the file system, others call the
/// empty file an error.
pub struct NewMain {
    folder: Option<File>,
}

impl NewMain {
    /// Announces the main file `path`, which is about to be opened and made; None if it is there. `has_log` says whether a
    /// log of it is.
    pub fn announce(path: &Path, has_log: impl FnOnce() -> bool) -> Option<Self> {
        let folder = if is_absent(path) && has_log() { lockable(path) } else { None };
        let folder = folder.filter(|folder| folder.lock_shared().is_ok());
        is_absent(path).then_some(Self { folder })
    }
}

impl Drop for NewMain {
    fn drop(&mut self) {
        // Closing it is not enough where a fork has copied the descriptor.
        if let Some(folder) = &self.folder {
            let _ = folder.unlock();
        }
    }
}

/// Is another connection about to make the main file `path`, which is empty beside a log?
pub fn is_announced(path: &Path) -> bool {
    lockable(path).is_some_and(|folder| matches!(folder.try_lock(), Err(TryLockError::WouldBlock)))
}

fn lockable(path: &Path) -> Option<File> {
    // Names of SQLite's are absolute.
    File::open(path.parent()?).ok()
}

/// Is there no file of that name? One that nobody may look at is there.
fn is_absent(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Moves the logs `logs` of a main file aside that did not exist when it was opened. The caller holds SQLite's SHARED lock
/// on it, and does afterwards.
///
/// A database has a header before it has a log, and makes that under RESERVED. So if under EXCLUSIVE there is still no
/// byte in the file, the log is older than the file.
pub fn set_aside(api: &Api, base: &mut BaseFile, logs: &[PathBuf]) -> Result<Outcome> {
    let (Some(lock), Some(unlock)) = (base.methods().lock, base.methods().unlock) else {
        return Ok(Outcome::Left);
    };
    // SAFETY: an open file that has SHARED, and locks that follow it.
    let code = unsafe {
        match lock(base.as_ptr(), SQLITE_LOCK_RESERVED) {
            SQLITE_OK => lock(base.as_ptr(), SQLITE_LOCK_EXCLUSIVE),
            code => code,
        }
    };
    let outcome = if code != SQLITE_OK {
        Ok(Outcome::Busy(code))
    } else {
        match base.size() {
            Ok(0) => {
                Ok(if logs.iter().all(|log| move_aside(api, log)) { Outcome::Moved } else { Outcome::Left })
            }
            Ok(_) => Ok(Outcome::Created),
            Err(fault) => Err(fault),
        }
    };
    // SAFETY: gives back what was taken above.
    unsafe { unlock(base.as_ptr(), SQLITE_LOCK_SHARED) };
    outcome
}

fn move_aside(api: &Api, log: &Path) -> bool {
    match renamed(log) {
        Ok(name) => {
            let text = format!(
                "{}: a log was there, but no database; the log was moved to {} and a new database is made",
                paths::shown(log),
                paths::shown(&name)
            );
            api.write_log(SQLITE_WARNING, &text);
            true
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => {
            let text =
                format!("{}: a log without a database cannot be moved aside: {error}", paths::shown(log));
            api.write_log(SQLITE_WARNING, &text);
            false
        }
    }
}

/// Gives the log another name, which nothing had before.
fn renamed(log: &Path) -> io::Result<PathBuf> {
    for number in 0..NAMES {
        let name = match number {
            0 => paths::ours_beside(log, SUFFIX),
            number => paths::ours_beside(log, &format!("{SUFFIX}-{number}")),
        };
        match fs::hard_link(log, &name) {
            Ok(()) => {
                fs::remove_file(log)?;
                return Ok(name);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
            // A file system without links.
            Err(_) if fs::symlink_metadata(&name).is_err() => {
                fs::rename(log, &name)?;
                return Ok(name);
            }
            Err(_) => {}
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
