//! A file that no SQLite has open: the destination of a conversion, or what a change of the data key is writing.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Fault, FaultClass, Result};
use crate::files::storage::Storage;

/// SQLite's code for a full disk, which the package turns into ENOSPC (sqlite3.h, SQLITE_FULL).
const SQLITE_FULL: i32 = 13;

/// A file opened by the operating system.
pub struct DiskFile {
    file: File,
    path: PathBuf,
}

impl DiskFile {
    /// Opens the empty file at `path`, which the caller has made, for writing.
    pub fn open_empty(path: impl AsRef<Path>) -> Result<DiskFile> {
        let path = path.as_ref();
        let file =
            OpenOptions::new().read(true).write(true).open(path).map_err(|e| fault("opening", path, &e))?;
        let mut file = DiskFile { file, path: path.to_owned() };
        if file.size()? != 0 {
            return Err(Fault::new(
                FaultClass::InvalidArgument,
                "the destination is not empty; nothing was written to it",
            )
            .at_path(path));
        }
        Ok(file)
    }

    /// Opens the file at `path` for reading. `None`: there is none.
    pub fn open(path: impl AsRef<Path>) -> Result<Option<DiskFile>> {
        DiskFile::open_with(OpenOptions::new().read(true), path.as_ref())
    }

    /// Opens the file at `path` for reading and writing. `None`: there is none.
    pub fn open_to_write(path: impl AsRef<Path>) -> Result<Option<DiskFile>> {
        DiskFile::open_with(OpenOptions::new().read(true).write(true), path.as_ref())
    }

    /// Whoever may write to the folder may have put something else there: no link is followed, and no pipe waited for.
    fn open_with(options: &mut OpenOptions, path: &Path) -> Result<Option<DiskFile>> {
        match options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
            Ok(file) => match file.metadata() {
                Ok(found) if found.is_file() => Ok(Some(DiskFile { file, path: path.to_owned() })),
                Ok(_) => {
                    Err(Fault::new(FaultClass::Io, "this is not a regular file; move it away").at_path(path))
                }
                Err(error) => Err(fault("looking at", path, &error)),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fault("opening", path, &error)),
        }
    }

    /// Makes the file at `path`, which nobody may read who may not read `other`, as SQLite makes its journals.
    pub fn create_like(path: &Path, other: &Path) -> Result<DiskFile> {
        let like = std::fs::metadata(other).map_err(|error| fault("looking at", other, &error))?;
        let mode = like.mode() & 0o777;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)
            .map_err(|error| fault("making", path, &error))?;
        // As SQLite does with its journals; who may not give files away keeps it.
        let _ = std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()));
        Ok(DiskFile { file, path: path.to_owned() })
    }

    /// As [`Storage::write`], from any number of threads at once.
    pub fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(data, offset).map_err(|error| fault("writing", &self.path, &error))
    }
}

/// An error of the operating system, with its own words: "No space left on device" says what to do.
fn fault(what: &str, path: &Path, error: &Error) -> Fault {
    let fault = Fault::new(FaultClass::Io, format!("{what} failed: {error}")).at_path(path);
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
                Err(error) => return Err(fault("reading", &self.path, &error)),
            }
        }
        Ok(true)
    }

    fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        self.write_at(data, offset)
    }

    fn truncate(&mut self, size: u64) -> Result<()> {
        self.file.set_len(size).map_err(|error| fault("truncating", &self.path, &error))
    }

    fn sync(&mut self, _flags: i32) -> Result<()> {
        self.file.sync_all().map_err(|error| fault("syncing", &self.path, &error))
    }

    fn size(&mut self) -> Result<u64> {
        self.file
            .metadata()
            .map(|meta| meta.len())
            .map_err(|error| fault("asking for the size", &self.path, &error))
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
pub fn sync_folder(name: &Path) -> Result<()> {
    let folder = name.parent().filter(|folder| !folder.as_os_str().is_empty());
    let synced = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
    synced.map_err(|error| {
        Fault::new(FaultClass::Io, format!("syncing the folder failed: {error}")).at_path(name)
    })
}
