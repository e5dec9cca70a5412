//! Blocks that a crash tore: collected from the pieces that a journal's playback writes, and what becomes of the
//! parts that no journal restores.

use super::freelist::FreePages;
use super::{COVER, MainFile};
use ground::error::{FaultClass, Result};
use ground::memory;
use ground::sabotage::{self, Sabotage};
use storage::{Storage, rewrite};
use vault::file_keys::FileKeys;
use vault::format::mac::Mac;

/// Partial writes over a block that cannot be read, kept until they cover it.
///
/// A journal's playback rewrites every page of a torn block, but where pages are smaller than blocks it
/// does so piece by piece, and the first piece must not fail for want of the others.
pub(super) struct Overlay {
    pub(super) data: Vec<u8>,
    /// Which of its units are there.
    pub(super) covered: Vec<bool>,
}

/// Derives the mark of a lost unit; a WAL cell begins otherwise.
const LOST_LABEL: &[u8] = b"lumocrypt v1 lost unit";

/// What stands for a unit of a block that is lost. Only who has the key can write it.
fn lost_mark(keys: &FileKeys, unit: usize) -> [u8; COVER] {
    let mut mark = [0; COVER];
    for (part, bytes) in mark.chunks_exact_mut(32).enumerate() {
        let place = [unit as u8, part as u8];
        bytes.copy_from_slice(&keys.cell_mac(&[LOST_LABEL, &place].concat()));
    }
    mark
}

/// The marks of all units of a block.
pub struct LostMarks {
    own: Vec<[u8; COVER]>,
    /// Those of the data key before, while it is being changed.
    older: Vec<[u8; COVER]>,
}

impl LostMarks {
    /// The marks in blocks of `len` bytes.
    pub fn new(keys: &FileKeys, len: usize) -> Result<LostMarks> {
        let marks = |keys: &FileKeys| -> Result<Vec<[u8; COVER]>> {
            let mut marks = Vec::new();
            memory::reserve(&mut marks, len / COVER)?;
            marks.extend((0..len / COVER).map(|unit| lost_mark(keys, unit)));
            Ok(marks)
        };
        Ok(LostMarks { own: marks(keys)?, older: keys.older().map_or(Ok(Vec::new()), |older| marks(older))? })
    }

    /// The mark of one unit.
    #[cfg(any(test, feature = "test-support"))]
    pub fn of_unit(&self, unit: usize) -> [u8; COVER] {
        self.own[unit]
    }

    /// Does `content`, all of a unit, say that it is lost?
    pub fn says_lost(&self, unit: usize, content: &[u8]) -> bool {
        let says = |marks: &[[u8; COVER]]| marks.get(unit).is_some_and(|mark| content == mark);
        says(&self.own) || says(&self.older)
    }

    /// Puts the marks of the current data key in the place of older ones in `block`.
    pub fn renew(&self, block: &mut [u8]) {
        for ((unit, own), older) in block.chunks_exact_mut(COVER).zip(&self.own).zip(&self.older) {
            if unit == older {
                unit.copy_from_slice(own);
            }
        }
    }
}

impl MainFile {
    pub(super) fn write_overlay(
        &mut self,
        storage: &mut dyn Storage,
        index: u64,
        within: usize,
        part: &[u8],
        have: usize,
    ) -> Result<()> {
        let Some(overlay) = self.overlays.get_mut(&index) else { return Ok(()) };
        overlay.data[within..within + part.len()].copy_from_slice(part);
        for unit in within.div_ceil(COVER)..(within + part.len()) / COVER {
            overlay.covered[unit] = true;
        }
        self.settle_overlay(storage, index, have.max(within + part.len()))
    }

    /// Seals a collected block, of which the file has `len` bytes, once everything in it that counts is there.
    /// In the last block that is what lies before the end of the file, or before the place where SQLite cut it.
    pub(super) fn settle_overlay(&mut self, storage: &mut dyn Storage, index: u64, len: usize) -> Result<()> {
        let start = index * u64::from(self.geometry.block_size);
        let counts = self.cut.map_or(len, |cut| cut.saturating_sub(start).min(len as u64) as usize);
        let Some(overlay) = self.overlays.get(&index) else { return Ok(()) };
        if overlay.covered[..counts.div_ceil(COVER)].iter().all(|covered| *covered)
            && let Some(overlay) = self.overlays.remove(&index)
        {
            return self.write_block(storage, index, &overlay.data[..len]);
        }
        Ok(())
    }

    /// Seals the collected blocks that nothing completed. A journal does not restore pages whose content did not
    /// matter, so its playback may leave gaps in a torn block; they are marked, and reading one is an error.
    pub(super) fn settle_overlays(&mut self, storage: &mut dyn Storage) -> Result<()> {
        while let Some((index, mut overlay)) = self.overlays.pop_first() {
            let start = index * u64::from(self.geometry.block_size);
            let size = self.size(storage)?;
            let len = size.saturating_sub(start).min(overlay.data.len() as u64) as usize;
            for unit in (0..overlay.covered.len()).filter(|unit| !overlay.covered[*unit]) {
                let mark = lost_mark(&self.keys, unit);
                overlay.data[unit * COVER..(unit + 1) * COVER].copy_from_slice(&mark);
            }
            if len > 0 {
                self.write_block(storage, index, &overlay.data[..len])?;
            }
        }
        Ok(())
    }

    /// An error if a whole unit within the `len` bytes at `within` is marked as lost. Only reads of parts of a
    /// block come here: where pages are as large as blocks, no block is ever collected from pieces.
    pub(super) fn refuse_lost(&self, index: u64, block: &[u8], within: usize, len: usize) -> Result<()> {
        for unit in within.div_ceil(COVER)..(within + len) / COVER {
            if self.lost_marks.get().is_none() {
                // Nobody else sets it: the cell belongs to one connection.
                let _ = self.lost_marks.set(LostMarks::new(&self.keys, block.len())?);
            }
            let content = &block[unit * COVER..(unit + 1) * COVER];
            if self.lost_marks.get().is_some_and(|marks| marks.says_lost(unit, content)) {
                return Err(self.tampered(index, "was damaged, and this part of it could not be restored"));
            }
        }
        Ok(())
    }

    /// A rollback has put every page that the database had in its place again, and its journal still stands.
    ///
    /// SQLite journals no page that it takes from its free list or from behind the end of the database, so the
    /// transaction that was rolled back may have left such pages torn. SQLite would never read them; but they would be damage to `verify`, to backups and to
    /// whoever copies the file. They hold nothing, and become zeros.
    ///
    /// Errors: those of the storage. Where the list itself cannot be read, or there is no memory for it, nothing is done.
    pub fn rolled_back(&mut self, storage: &mut dyn Storage) -> Result<()> {
        self.flush(storage)?;
        let size = self.size(storage)?;
        let free = match FreePages::read(size, |buf, offset| self.read(storage, buf, offset)) {
            // Tidying is not worth a rollback.
            Err(fault) if matches!(fault.class, FaultClass::Tampered | FaultClass::NoMemory) => return Ok(()),
            result => result?,
        };
        let Some(free) = free else { return Ok(()) };
        // Less than a block's overhead at the end counts for nothing, and SQLite, which does not see it, cannot cut it.
        let physical = self.geometry.physical_size(size);
        if storage.size()? > physical {
            storage.truncate(physical)?;
        }
        self.complete_overlays(storage, &free, size)?;
        let block_size = u64::from(self.geometry.block_size);
        // The rollback has cut the database to its size; the rest of the last block is nobody's.
        let end = self.cut.map_or(size, |cut| cut.min(size));
        let mut next = 0;
        let behind = u64::from(free.pages) + 1..end.div_ceil(free.page_size) + 1;
        for page in free.leaves.iter().copied().map(u64::from).chain(behind) {
            let start = (page - 1) * free.page_size;
            let blocks = start / block_size..(start + free.page_size).min(end).div_ceil(block_size);
            for index in blocks.start.max(next)..blocks.end {
                let (from, to) = (index * block_size, ((index + 1) * block_size).min(size));
                if free.cover(from, to.min(end)) && !self.overlays.contains_key(&index) {
                    self.zero_if_torn(storage, index, (to - from) as usize)?;
                }
            }
            next = blocks.end;
        }
        self.write_failed = false;
        self.mended_syncs = storage.failed_syncs();
        self.flush(storage)
    }

    /// Parts of collected blocks that only free pages lie in are there as zeros.
    fn complete_overlays(&mut self, storage: &mut dyn Storage, free: &FreePages, size: u64) -> Result<()> {
        let block_size = u64::from(self.geometry.block_size);
        let mut indices = Vec::new();
        memory::reserve(&mut indices, self.overlays.len())?;
        indices.extend(self.overlays.keys().copied());
        for index in indices {
            let start = index * block_size;
            if let Some(overlay) = self.overlays.get_mut(&index) {
                for (unit, covered) in overlay.covered.iter_mut().enumerate() {
                    let at = start + (unit * COVER) as u64;
                    *covered |= free.cover(at, at + COVER as u64);
                }
            }
            self.settle_overlay(storage, index, size.saturating_sub(start).min(block_size) as usize)?;
        }
        Ok(())
    }

    fn zero_if_torn(&mut self, storage: &mut dyn Storage, index: u64, len: usize) -> Result<()> {
        self.outbox.flush(storage)?;
        let mut block = std::mem::take(&mut self.block);
        let read = self.try_block(storage, index, &mut block);
        block.fill(0);
        let result = match read {
            Err(fault) if fault.class == FaultClass::Tampered => {
                self.write_block(storage, index, &block[..len])
            }
            // It may be whole to read and torn on the disk: a sync that failed covered it, and a later one only the part of
            // it that shares a page of the kernel's with a block that was written again.
            Ok(_) if !sabotage::is(Sabotage::BlockOnce) => {
                rewrite(storage, self.geometry.slot_offset(index), (len + self.sealer.overhead()) as u64)
            }
            read => read.map(|_| ()),
        };
        self.block = block;
        result
    }

    /// After a sync that failed a checkpoint copies everything again, and so writes every block again that the log holds. Of
    /// the others only those that it sealed to fill gaps were written: they lie behind what was ever durable.
    pub(super) fn write_gaps_again(&mut self, storage: &mut dyn Storage) -> Result<()> {
        if storage.failed_syncs() == self.mended_syncs || sabotage::is(Sabotage::BlockOnce) {
            return Ok(());
        }
        let from = self.geometry.slot_offset(self.required_slots(storage)?);
        let end = storage.size()?;
        rewrite(storage, from, end.saturating_sub(from))?;
        self.mended_syncs = storage.failed_syncs();
        Ok(())
    }

    /// Is a rollback to see to what it does not restore? See [`rolled_back`](Self::rolled_back).
    pub fn may_be_torn(&self, storage: &dyn Storage) -> bool {
        self.write_failed || storage.failed_syncs() != self.mended_syncs
    }
}

#[cfg(test)]
mod tests;
