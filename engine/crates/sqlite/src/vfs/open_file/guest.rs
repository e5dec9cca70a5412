//! Files of other formats.

use std::ffi::c_int;

use super::{Common, KEPT, SqliteFile};
use crate::library::abi::*;
use crate::vfs::guest::Guest;
use ground::error::{FileKind, Result};
use ground::failure;
use storage::Storage;

/// A file of a format that is not ours.
pub struct GuestFile(Box<dyn Guest>);

impl GuestFile {
    /// What its format made of it.
    pub fn new(guest: Box<dyn Guest>) -> Self {
        GuestFile(guest)
    }
}

impl SqliteFile for GuestFile {
    fn kind(&self) -> Option<FileKind> {
        Some(self.0.kind())
    }

    fn read(&mut self, common: &mut Common, buf: &mut [u8], offset: u64) -> Result<bool> {
        self.0.read(&mut common.base, &common.path, buf, offset)
    }

    fn write(&mut self, common: &mut Common, data: &[u8], offset: u64) -> Result<()> {
        self.0.write(&mut common.base, &common.path, data, offset)
    }

    fn truncate(&mut self, common: &mut Common, size: u64) -> Result<()> {
        self.0.truncate(&mut common.base, size)
    }

    fn sync(&mut self, common: &mut Common, flags: c_int) -> Result<()> {
        common.base.sync(flags)
    }

    fn size(&mut self, common: &mut Common) -> Result<u64> {
        self.0.size(&mut common.base)
    }

    fn locked(&mut self, common: &mut Common, _: c_int) -> Result<()> {
        if common.level == SQLITE_LOCK_SHARED {
            failure::clear();
        }
        self.0.judge(&mut common.base, &common.path)
    }

    /// A block is rewritten as a whole, the WAL's last one, too, while others rely on it: SQLite is to know that and fill
    /// sectors up. Nothing tells how much of what was appended is there.
    fn device_characteristics(&self, below: c_int) -> c_int {
        below & KEPT
    }

    /// The medium's own sectors matter where it does not keep writes apart.
    fn sector_size(&mut self, _: &mut Common, below: c_int, powersafe: bool) -> c_int {
        let own = self.0.sector_size() as c_int;
        if powersafe { own } else { own.max(below) }
    }

    fn status(&self) -> String {
        self.0.status()
    }

    fn guest(&mut self) -> Option<&mut dyn Guest> {
        Some(&mut *self.0)
    }
}
