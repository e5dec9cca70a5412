//! A file that no SQLite has open: the destination of a conversion, or what a change of the data key is writing.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::Storage;
use ground::access;
use ground::error::{Fault, FaultClass, Result};

/// SQLite's code for a full disk, which the package turns into ENOSPC (sqlite3.h, SQLITE_FULL).
const SQLITE_FULL: i32 = 13;

/// A file opened by the operating system.
pub struct DiskFile {
    file: File,
    /// `None`: it has no name yet.
    path: Option<PathBuf>,
}

impl DiskFile {
    /// The empty file that the caller has made and opened for reading and writing. It is nobody's database yet, so that
    /// its descriptors may come and go: no lock is lost with them.
    pub fn of_new(file: File) -> Result<DiskFile> {
        let mut file = DiskFile { file, path: None };
        let found = file.file.metadata().map_err(|error| fault("looking at", None, &error))?;
        if !found.is_file() || file.size()? != 0 {
            return Err(Fault::new(
                FaultClass::InvalidArgument,
                "the destination is no empty file; nothing was written to it",
            ));
        }
        Ok(file)
    }

    /// A descriptor of its own for the same file.
    pub fn again(&self) -> Result<DiskFile> {
        let file = self.file.try_clone().map_err(|error| fault("opening", self.path(), &error))?;
        Ok(DiskFile { file, path: self.path.clone() })
    }

    /// Opens the file at `path` for reading. `None`: there is none.
    pub fn open(path: impl AsRef<Path>) -> Result<Option<DiskFile>> {
        DiskFile::open_with(OpenOptions::new().read(true), path.as_ref())
    }

    /// Opens the file at `path` for reading and writing. `None`: there is none.
    pub fn open_to_write(path: impl AsRef<Path>) -> Result<Option<DiskFile>> {
        DiskFile::open_with(OpenOptions::new().read(true).write(true), path.as_ref())
    }

    /// As `open_to_write`, but of a file with an owner who may read the file at `other` anyway.
    pub fn open_own(path: &Path, other: &Path) -> Result<Option<DiskFile>> {
        let Some(found) = DiskFile::open_to_write(path)? else { return Ok(None) };
        let like = access::of(other).map_err(|error| fault("looking at", Some(other), &error))?;
        match access::is_own(&found.file, &like) {
            Ok(true) => Ok(Some(found)),
            Ok(false) => {
                let message = "this file belongs to another user, or has other names: nothing was written to it; find out who \
                               may write to the folder, and remove it";
                Err(Fault::new(FaultClass::Io, message).at_path(path))
            }
            Err(error) => Err(fault("looking at", Some(path), &error)),
        }
    }

    /// Whoever may write to the folder may have put something else there: no link is followed, and no pipe waited for.
    fn open_with(options: &mut OpenOptions, path: &Path) -> Result<Option<DiskFile>> {
        match options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
            Ok(file) => match file.metadata() {
                Ok(found) if found.is_file() => Ok(Some(DiskFile { file, path: Some(path.to_owned()) })),
                Ok(_) => {
                    Err(Fault::new(FaultClass::Io, "this is not a regular file; move it away").at_path(path))
                }
                Err(error) => Err(fault("looking at", Some(path), &error)),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fault("opening", Some(path), &error)),
        }
    }

    /// Makes the file at `path`, which lets in nobody whom the file at `other` does not.
    pub fn create_like(path: &Path, other: &Path) -> Result<DiskFile> {
        let like = access::of(other).map_err(|error| fault("looking at", Some(other), &error))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| fault("making", Some(path), &error))?;
        // Who may not give it to others keeps it.
        let _ = access::hand_over(&like, &file);
        Ok(DiskFile { file, path: Some(path.to_owned()) })
    }

    fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// As [`Storage::write`], from any number of threads at once.
    pub fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(data, offset).map_err(|error| fault("writing", self.path(), &error))
    }
}

/// An error of the operating system, with its own words: "No space left on device" says what to do.
fn fault(what: &str, path: Option<&Path>, error: &Error) -> Fault {
    let fault = match path {
        Some(path) => Fault::new(FaultClass::Io, format!("{what} failed: {error}")).at_path(path),
        None => Fault::new(FaultClass::Io, format!("{what} the new file failed: {error}")),
    };
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => fault.with_code(SQLITE_FULL),
        _ => fault,
    }
}

impl Storage for DiskFile {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => {
                    buf[done..].fill(0);
                    return Ok(false);
                }
                Ok(read) => done += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(fault("reading", self.path(), &error)),
            }
        }
        Ok(true)
    }

    fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        self.write_at(data, offset)
    }

    fn truncate(&mut self, size: u64) -> Result<()> {
        self.file.set_len(size).map_err(|error| fault("truncating", self.path(), &error))
    }

    fn sync(&mut self, _flags: i32) -> Result<()> {
        self.file.sync_all().map_err(|error| fault("syncing", self.path(), &error))
    }

    fn size(&mut self) -> Result<u64> {
        self.file
            .metadata()
            .map(|meta| meta.len())
            .map_err(|error| fault("asking for the size of", self.path(), &error))
    }
}

/// Makes durable what the file at `path`, if there is one, holds now.
pub fn sync_if_there(path: &Path) -> Result<()> {
    match DiskFile::open_to_write(path)? {
        Some(mut file) => file.sync(0),
        None => Ok(()),
    }
}

/// Makes durable which files the folder of `name` has.
///
/// Errors: `Io` for a medium that fails. Where folders cannot be opened or synced, their names are as durable as the file
/// system makes them by itself, and work goes on, as in SQLite.
pub fn sync_folder(name: &Path) -> Result<()> {
    let folder = name.parent().filter(|folder| !folder.as_os_str().is_empty());
    let synced = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
    match synced {
        Err(error) if !cannot_sync(&error) => {
            Err(Fault::new(FaultClass::Io, format!("syncing the folder failed: {error}")).at_path(name))
        }
        _ => Ok(()),
    }
}

/// Does the error say that this cannot be synced at all, and not that it failed?
fn cannot_sync(error: &Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ENOSYS | libc::EBADF | libc::EACCES | libc::EROFS)
    )
}
