//! Temporary files: databases, their journals, what a sort spills.

use std::ffi::c_int;

use super::{Common, SqliteFile};
use crate::files::temp::TempFile;
use ground::error::{FileKind, Result};

/// A temporary file. Its key is its own, and goes with it.
pub struct Temporary(TempFile);

impl Temporary {
    /// A new one.
    pub fn new(file: TempFile) -> Self {
        Temporary(file)
    }
}

impl SqliteFile for Temporary {
    fn kind(&self) -> Option<FileKind> {
        Some(self.0.kind())
    }

    fn read(&mut self, common: &mut Common, buf: &mut [u8], offset: u64) -> Result<bool> {
        self.0.read(&mut common.base, buf, offset)
    }

    fn write(&mut self, common: &mut Common, data: &[u8], offset: u64) -> Result<()> {
        self.0.write(&mut common.base, data, offset)
    }

    fn truncate(&mut self, common: &mut Common, size: u64) -> Result<()> {
        self.0.truncate(&mut common.base, size)
    }

    fn sync(&mut self, common: &mut Common, flags: c_int) -> Result<()> {
        self.0.sync(&mut common.base, flags)
    }

    fn size(&mut self, _: &mut Common) -> Result<u64> {
        Ok(self.0.size())
    }
}
