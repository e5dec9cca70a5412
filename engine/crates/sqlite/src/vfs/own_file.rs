//! Files that the engine opens for itself, through a library's own VFS.

use std::ffi::{c_char, c_int};
use std::path::Path;

use super::base::BaseFile;
use super::host::Host;
use crate::library::abi::*;
use ground::error::{Fault, FaultClass, Result};
use ground::{locks, paths};
use storage::Storage;

/// A file opened through a library's own default VFS, for the engine's own use. A second descriptor on a
/// database would drop the process's locks on it when closed; SQLite's VFS knows how not to.
pub struct OwnFile {
    _name: Vec<u8>,
    _memory: Vec<u64>,
    /// The open file.
    pub base: BaseFile,
}

/// Zero bytes around a name: what SQLite's VFSs look for in front of it and behind it (main.c,
/// sqlite3_create_filename).
const NAME_PADDING: usize = 8;

/// How often a lock that others hold is asked for again, and the time in between: a second in all.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

impl OwnFile {
    /// Opens `path` for reading. `None`: there is no such file.
    pub fn open(host: &'static Host, path: &Path) -> Result<Option<OwnFile>> {
        Self::open_through(host.base_of_default(), path)
    }

    /// Opens `path`, which exists, for writing, and takes SQLite's EXCLUSIVE lock on it, which no connection that is in a
    /// transaction or in WAL mode lets it have. The lock goes with the file.
    pub fn open_exclusively(host: &'static Host, path: &Path) -> Result<OwnFile> {
        let file = Self::open_with(host.base_of_default(), path, SQLITE_OPEN_READWRITE)?;
        let file = file
            .ok_or_else(|| Fault::new(FaultClass::Io, "there is no such file").with_code(SQLITE_CANTOPEN))?;
        let Some(lock) = file.base.methods().lock else { return Ok(file) };
        for level in [SQLITE_LOCK_SHARED, SQLITE_LOCK_EXCLUSIVE] {
            let mut tries = LOCK_TRIES;
            loop {
                // SAFETY: an open file, and a lock that may follow the one that is held.
                match unsafe { lock(file.base.as_ptr(), level) } {
                    SQLITE_OK => break,
                    code if code & 0xff != SQLITE_BUSY => {
                        return Err(Fault::new(FaultClass::Io, "the file cannot be locked").with_code(code));
                    }
                    _ if tries == 0 => {
                        return Err(Fault::new(
                            FaultClass::InUse,
                            "other connections have the database open or locked; close them and try again",
                        ));
                    }
                    _ => tries -= 1,
                }
                std::thread::sleep(LOCK_PAUSE);
            }
        }
        Ok(file)
    }

    /// As `open`, through a VFS that is not one of ours.
    pub fn open_through(base_vfs: *mut sqlite3_vfs, path: &Path) -> Result<Option<OwnFile>> {
        Self::open_with(base_vfs, path, SQLITE_OPEN_READONLY)
    }

    fn open_with(base_vfs: *mut sqlite3_vfs, path: &Path, access: c_int) -> Result<Option<OwnFile>> {
        locks::calls_out();
        // To open a pipe waits for somebody at its other end.
        if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(Fault::new(FaultClass::Io, "this is no regular file")
                .with_code(SQLITE_CANTOPEN)
                .at_path(path));
        }
        // SAFETY: a registered VFS.
        let vfs = unsafe { &*base_vfs };
        let mut name = vec![0; NAME_PADDING];
        name.extend_from_slice(paths::bytes(path));
        name.extend_from_slice(&[0; NAME_PADDING]);
        let mut memory = vec![0u64; (vfs.os_file_size.max(0) as usize).div_ceil(8)];
        let file: *mut sqlite3_file = memory.as_mut_ptr().cast();
        let name_ptr: *const c_char = name[NAME_PADDING..].as_ptr().cast();
        let (mut exists, mut granted) = (0, access);
        // SAFETY: the VFS, a padded name, and places for the answers.
        unsafe {
            if let Some(ask) = vfs.access {
                ask(base_vfs, name_ptr, SQLITE_ACCESS_EXISTS, &mut exists);
            }
            let is_gone = || !path.exists();
            if exists == 0 && is_gone() {
                return Ok(None);
            }
            let code = match vfs.open {
                Some(open) => open(base_vfs, name_ptr, file, access | SQLITE_OPEN_MAIN_DB, &mut granted),
                None => SQLITE_CANTOPEN,
            };
            let why = std::io::Error::last_os_error();
            if code != SQLITE_OK {
                if is_gone() {
                    // Deleted meanwhile, as logs of a database in use are.
                    return Ok(None);
                }
                // What SQLite's VFS does after its call of the system has failed does not change these two.
                let message = match why.raw_os_error() {
                    Some(libc::EMFILE | libc::ENFILE) => format!("the file cannot be opened: {why}"),
                    _ => "the file cannot be opened".to_owned(),
                };
                return Err(Fault::new(FaultClass::Io, message).with_code(code).at_path(path));
            }
            let own = OwnFile { _name: name, _memory: memory, base: BaseFile::new(file) };
            if granted & access == 0 {
                // SQLite's VFS goes on with less where it cannot have what it was asked for.
                return Err(Fault::new(FaultClass::Io, "the file cannot be opened for writing")
                    .with_code(SQLITE_READONLY)
                    .at_path(path));
            }
            Ok(Some(own))
        }
    }
}

impl Storage for OwnFile {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        self.base.read(buf, offset)
    }

    fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        self.base.write(data, offset)
    }

    fn truncate(&mut self, size: u64) -> Result<()> {
        self.base.truncate(size)
    }

    fn sync(&mut self, flags: i32) -> Result<()> {
        self.base.sync(flags)
    }

    fn size(&mut self) -> Result<u64> {
        self.base.size()
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        self.base.close();
    }
}
