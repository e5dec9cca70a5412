//! The one way to change the superblock of a database: both copies, one synced before the other.
//!
//! Only under SQLite's write lock, which keeps out everybody else who would. What the header says is read again under
//! that lock: the connection may have read it long ago.

use super::base::BaseFile;
use super::database::{Database, read_header};
use crate::files::header_region::replace_copies;
use crate::format::header::{self, COPY_B_OFFSET, Header};
use ground::error::{Fault, Result};
use storage::{SYNC_NORMAL, Storage};
use vault::file_keys::FileKeys;
use vault::format::superblock::{SUPERBLOCK_LEN, Superblock};

impl Database {
    /// Applies `change` to the superblock, which is written as the next generation if it differs then. When this returns, the
    /// change is durable; if it fails, the old or the new state opens, and the next writer completes it.
    pub fn edit_header<T>(
        &mut self,
        base: &mut BaseFile,
        change: impl FnOnce(&mut Superblock, &FileKeys) -> Result<T>,
    ) -> Result<T> {
        let keys = self.ready()?.keys().clone();
        let header = self.read_again(base)?;
        let Some((current, raw)) = header.authentic(&keys) else { return Err(self.replaced()) };
        complete(base, &header, raw)?;
        self.stale_copy = None;
        let mut next = current.clone();
        let result = change(&mut next, &keys)?;
        if next != *current {
            // Both copies are the current one: nothing in the file has a higher generation.
            next.generation = current.generation + 1;
            replace_copies(base, raw, &next.encode(&keys))?;
        }
        self.superblock = Some(next);
        Ok(result)
    }

    /// What the header of an unlocked database says now. Without a lock, and so perhaps what it said before a change that is
    /// under way.
    pub fn current_header(&mut self, base: &mut BaseFile) -> Result<Superblock> {
        let keys = self.ready()?.keys().clone();
        let header = self.read_again(base)?;
        match header.authentic(&keys) {
            Some((superblock, _)) => Ok(superblock.clone()),
            None => Err(self.replaced()),
        }
    }

    fn read_again(&self, base: &mut BaseFile) -> Result<Header> {
        header::parse(read_header(base)?).map_err(|fault| fault.at_path(&self.path))
    }

    fn replaced(&self) -> Fault {
        header::replaced().at_path(&self.path)
    }
}

/// Writes `copy` over a copy that differs from it, which a change that was cut short has left behind or somebody without
/// the key has altered. Otherwise a crash in the next change could bring an older state back.
fn complete(base: &mut BaseFile, header: &Header, copy: &[u8]) -> Result<()> {
    for offset in [0, COPY_B_OFFSET] {
        if header.raw()[offset as usize..][..SUPERBLOCK_LEN] != *copy {
            base.write(copy, offset)?;
            base.sync(SYNC_NORMAL)?;
        }
    }
    Ok(())
}
