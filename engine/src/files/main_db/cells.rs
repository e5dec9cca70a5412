//! The WAL cells in the header region: what the database knows about its log, and about its own length.

use super::MainFile;
use crate::error::{Fault, FaultClass, FileKind, Result};
use crate::files::storage::Storage;
use crate::format::cell::{self, CELL_A_OFFSET, CELL_B_OFFSET, CELL_LEN, Cell};

impl MainFile {
    /// Lets the cell know how many slots are sealed and synced: none of them can be an honest hole any more,
    /// and a file without any is no new database. It may become durable later than what it says.
    pub(super) fn record_synced(&mut self, storage: &mut dyn Storage) -> Result<()> {
        let recorded = match self.recorded {
            Some(recorded) => recorded,
            None => self.read_cell(storage)?.0.synced_slots,
        };
        self.recorded = Some(recorded);
        if recorded > 0 && self.holes_from.is_none() {
            return Ok(());
        }
        let slots = self.geometry.block_count(self.geometry.logical_size(storage.size()?));
        if slots > recorded {
            self.write_cell(storage, |cell| cell.synced_slots = slots, None)?;
            self.recorded = Some(slots);
        }
        Ok(())
    }

    /// The current WAL cell and the offset of the copy to overwrite next.
    pub fn read_cell(&self, storage: &mut dyn Storage) -> Result<(Cell, u64)> {
        const SECOND: usize = (CELL_B_OFFSET - CELL_A_OFFSET) as usize;
        let mut copies = [0u8; SECOND + CELL_LEN];
        storage.read(&mut copies, CELL_A_OFFSET)?;
        let decode = |copy: &[u8]| Cell::decode(copy, &self.keys);
        cell::choose(decode(&copies[..CELL_LEN]), decode(&copies[SECOND..])).ok_or_else(|| {
            Fault::new(
                FaultClass::HeaderDamaged,
                "both copies of the WAL cell in the database header are damaged; restore the file from a backup \
                 or copy out what is readable",
            )
            .in_file(FileKind::MainDb)
        })
    }

    /// Writes a successor of the current WAL cell, synced if `flags` says how.
    pub fn write_cell(
        &self,
        storage: &mut dyn Storage,
        change: impl FnOnce(&mut Cell),
        flags: Option<i32>,
    ) -> Result<()> {
        let (mut cell, offset) = self.read_cell(storage)?;
        cell.sequence = cell
            .sequence
            .checked_add(1)
            .ok_or_else(|| self.tampered(0, "has a header that counted to its end"))?;
        change(&mut cell);
        storage.write(&cell.encode(&self.keys), offset)?;
        match flags {
            Some(flags) => storage.sync(flags),
            None => Ok(()),
        }
    }

    /// Seals both cells with the current data key, durably, where they are an older one's.
    pub fn renew_cells(&mut self, storage: &mut dyn Storage, flags: i32) -> Result<()> {
        for _ in 0..2 {
            let mut renewed = true;
            for offset in [CELL_A_OFFSET, CELL_B_OFFSET] {
                let mut copy = [0u8; CELL_LEN];
                storage.read(&mut copy, offset)?;
                renewed &= Cell::decode_new(&copy, &self.keys).is_some();
            }
            if renewed {
                break;
            }
            // Over the older copy; the second time over the other.
            self.write_cell(storage, |_| {}, Some(flags))?;
        }
        Ok(())
    }
}
