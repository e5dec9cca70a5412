//! The file that a whole-file operation reads, once for every thread.

use std::path::{Path, PathBuf};

use super::files::open;
use crate::error::Result;
use crate::files::storage::Storage;
use crate::offline::workers::Input;
use crate::vfs::host::OwnFile;

/// A file opened through a registered SQLite.
pub(super) struct InputFile {
    file: OwnFile,
    host: u32,
    path: PathBuf,
}

// SAFETY: SQLite's files belong to connections, which its hosts move between threads; one thread at a time uses a
// file then, and so it is here. What the file points to is its own memory, which does not move.
unsafe impl Send for InputFile {}

impl InputFile {
    /// Opens the file at `path` with SQLite `host`.
    pub(super) fn open(host: u32, path: &Path) -> Result<InputFile> {
        Ok(InputFile { file: open(host, path)?, host, path: path.to_owned() })
    }
}

impl Input for InputFile {
    fn another(&mut self) -> Option<Box<dyn Input>> {
        let other = InputFile::open(self.host, &self.path).ok()?;
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
