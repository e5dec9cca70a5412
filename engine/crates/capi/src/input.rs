//! The file that a whole-file operation reads, once for every thread, and the one that it writes.

use std::ffi::c_int;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ground::error::{Fault, FaultClass, Result};
use ground::paths;
use offline::workers::Input;
use sqlite::vfs::host;
use sqlite::vfs::own_file::OwnFile;
use storage::Storage;
use storage::disk::DiskFile;

/// A file opened through a registered SQLite.
pub(super) struct InputFile {
    file: OwnFile,
    host: u32,
    path: PathBuf,
    /// What `path` leads through, if it is the caller's folder.
    folder: Option<Arc<OwnedFd>>,
}

// SAFETY: SQLite's files belong to connections, which its hosts move between threads; one thread at a time uses a
// file then, and so it is here. What the file points to is its own memory, which does not move.
unsafe impl Send for InputFile {}

impl InputFile {
    /// Opens the file at `path` with SQLite `host`: where the descriptor `folder` is one, the file of that name in that
    /// folder, whatever became of the names above it.
    pub(super) fn open(host: u32, path: &Path, folder: c_int) -> Result<InputFile> {
        // The caller may close its own while the work goes on.
        // SAFETY: the exported functions promise that it is open until they return.
        let folder = (folder >= 0).then(|| unsafe { duplicate(folder) }).transpose()?.map(Arc::new);
        let opened = folder.as_ref().and_then(|folder| held(path, folder.as_raw_fd()));
        let opened = opened.unwrap_or_else(|| path.to_owned());
        let file = open(host, &opened).map_err(|fault| Fault { path: Some(path.to_owned()), ..fault })?;
        Ok(InputFile { file, host, path: opened, folder })
    }
}

/// The file at `path`, opened with SQLite `host`.
pub(super) fn open(host: u32, path: &Path) -> Result<OwnFile> {
    OwnFile::open(host::host(host)?, path)?
        .ok_or_else(|| Fault::new(FaultClass::Io, "there is no such file").with_code(14).at_path(path))
}

/// The log of a database, if it is there and has content.
pub(super) fn beside(host: u32, path: &Path, suffix: &str) -> Result<Option<OwnFile>> {
    let Some(mut file) = OwnFile::open(host::host(host)?, &paths::beside(path, suffix))? else {
        return Ok(None);
    };
    Ok(if file.base.size()? > 0 { Some(file) } else { None })
}

/// The way to the file through the folder that the caller holds. `None`: there is no such way.
pub(super) fn held(path: &Path, folder: c_int) -> Option<PathBuf> {
    let name = path.file_name().filter(|_| folder >= 0)?;
    let folder = PathBuf::from(format!("/proc/self/fd/{folder}"));
    folder.join(".").exists().then(|| folder.join(name))
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
    DiskFile::of_new(File::from(unsafe { duplicate(descriptor) }?))
}

/// A descriptor of ours of what the caller holds open as `descriptor`.
///
/// # Safety
/// As for [`new_file`].
unsafe fn duplicate(descriptor: c_int) -> Result<OwnedFd> {
    // SAFETY: as the caller promises.
    unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned().map_err(|error| {
        Fault::new(FaultClass::Io, format!("a descriptor of the caller's cannot be duplicated: {error}"))
    })
}

impl Input for InputFile {
    fn another(&mut self) -> Option<Box<dyn Input>> {
        let other =
            InputFile { folder: self.folder.clone(), ..InputFile::open(self.host, &self.path, -1).ok()? };
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
