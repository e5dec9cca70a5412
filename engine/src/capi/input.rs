//! The file that a whole-file operation reads, once for every thread, and the one that it writes.

use std::ffi::c_int;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use super::files::open;
use crate::error::{Fault, FaultClass, Result};
use crate::files::disk::DiskFile;
use crate::files::storage::Storage;
use crate::offline::workers::Input;
use crate::vfs::host::OwnFile;

/// A file opened through a registered SQLite.
pub(super) struct InputFile {
    file: OwnFile,
    host: u32,
    path: String,
}

// SAFETY: SQLite's files belong to connections, which its hosts move between threads; one thread at a time uses a
// file then, and so it is here. What the file points to is its own memory, which does not move.
unsafe impl Send for InputFile {}

impl InputFile {
    /// Opens the file at `path` with SQLite `host`: where the descriptor `folder` is one, the file of that name in that
    /// folder, whatever became of the names above it.
    pub(super) fn open(host: u32, path: &str, folder: c_int) -> Result<InputFile> {
        let opened = held(path, folder).unwrap_or_else(|| path.to_owned());
        let file = open(host, &opened).map_err(|fault| Fault { path: Some(path.to_owned()), ..fault })?;
        Ok(InputFile { file, host, path: opened })
    }
}

/// The way to the file through the folder that the caller holds. `None`: there is no such way.
fn held(path: &str, folder: c_int) -> Option<String> {
    let name = Path::new(path).file_name().filter(|_| folder >= 0)?;
    let folder = PathBuf::from(format!("/proc/self/fd/{folder}"));
    folder.join(".").exists().then(|| folder.join(name).to_str().map(str::to_owned)).flatten()
}

/// The empty file that the caller has made, and holds open for reading and writing as `descriptor`.
///
/// # Safety
/// The descriptor stays open until the call returns.
pub(super) unsafe fn new_file(descriptor: c_int) -> Result<DiskFile> {
    if descriptor < 0 {
        return Err(Fault::new(FaultClass::InvalidArgument, "a required descriptor is none"));
    }
    // SAFETY: as the caller promises.
    let file = unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned().map_err(|error| {
        Fault::new(FaultClass::Io, format!("the new file cannot be opened again: {error}"))
    })?;
    DiskFile::of_new(File::from(file))
}

impl Input for InputFile {
    fn another(&mut self) -> Option<Box<dyn Input>> {
        let other = InputFile::open(self.host, &self.path, -1).ok()?;
        // Somebody may have renamed another database to this name meanwhile: half of one and half of the other would
        // be neither. SQLite knows how to have two descriptors of a database (see `OwnFile`), and says so if its VFS
        // does not.
        (other.file.base.has_its_name() && self.file.base.has_its_name())
            .then(|| Box::new(other) as Box<dyn Input>)
    }
}

impl Storage for InputFile {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        self.file.read(buf, offset)
    }

    fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        self.file.write(data, offset)
    }

    fn truncate(&mut self, size: u64) -> Result<()> {
        self.file.truncate(size)
    }

    fn sync(&mut self, flags: i32) -> Result<()> {
        self.file.sync(flags)
    }

    fn size(&mut self) -> Result<u64> {
        self.file.size()
    }
}
