//! Files that are passed through.

use std::ffi::c_int;

use super::{Common, Control, SqliteFile};
use ground::error::{FileKind, Result};
use storage::Storage;

/// A plaintext database of the pass-through VFS, a log of one, or a super-journal.
pub struct Plain;

impl SqliteFile for Plain {
    fn kind(&self) -> Option<FileKind> {
        None
    }

    fn read(&mut self, common: &mut Common, buf: &mut [u8], offset: u64) -> Result<bool> {
        common.base.read(buf, offset)
    }

    fn write(&mut self, common: &mut Common, data: &[u8], offset: u64) -> Result<()> {
        common.base.write(data, offset)
    }

    fn truncate(&mut self, common: &mut Common, size: u64) -> Result<()> {
        common.base.truncate(size)
    }

    fn sync(&mut self, common: &mut Common, flags: c_int) -> Result<()> {
        common.base.sync(flags)
    }

    fn size(&mut self, common: &mut Common) -> Result<u64> {
        common.base.size()
    }

    fn file_control(&mut self, _: &mut Common, _: c_int) -> Result<Control> {
        Ok(Control::PassOn)
    }

    fn device_characteristics(&self, below: c_int) -> c_int {
        below
    }
}
