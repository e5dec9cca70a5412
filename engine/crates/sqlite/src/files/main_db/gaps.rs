//! Blocks that nothing was written to: what a write skips, and the holes that a crash may leave.

use super::{MainFile, NO_CONTEXT};
use ground::error::Result;
use ground::memory;
use ground::sabotage::{self, Sabotage};
use storage::{Storage, is_zero};

/// Slots sealed or inspected in one system call when a gap is filled or searched.
const RUN: usize = 64;

impl MainFile {
    /// Seals zeros from logical `from` up to, but not into, the block that holds `to`.
    ///
    /// Errors: `Tampered` where something was, and not nothing: zeros would take the place of pages that were cut off.
    pub(super) fn fill_gap(&mut self, storage: &mut dyn Storage, from: u64, to: u64) -> Result<()> {
        let block_size = u64::from(self.geometry.block_size);
        if to / block_size > from / block_size {
            // Without tags a last block that was cut short is missing, too.
            self.refuse_missing(storage, self.counted(from))?;
        }
        let partial = (from % block_size) as usize;
        let mut next = from / block_size;
        if partial != 0 && to / block_size > next {
            let rest = memory::zeroed(block_size as usize - partial)?;
            let awaited = self.overlays.contains_key(&next);
            self.write_part(storage, next, partial, &rest, partial)?;
            if !awaited && self.overlays.remove(&next).is_some() {
                // Cut by somebody, or torn while the file grew, and SQLite is not rewriting it: what is left of it
                // stays as unreadable as it is, at full length.
                let end = self.geometry.slot_offset(next) + self.geometry.slot_len() as u64;
                storage.write(&[0], end - 1)?;
            }
            next += 1;
        }
        if !sabotage::is(Sabotage::GapSealing) {
            self.seal_zeros(storage, next, to / block_size)?;
        }
        self.grown_to((to / block_size * block_size).max(from));
        Ok(())
    }

    /// Seals zero blocks in slots `from` to `to`, exclusive, many to a write.
    fn seal_zeros(&mut self, storage: &mut dyn Storage, from: u64, to: u64) -> Result<()> {
        self.outbox.flush(storage)?;
        self.ahead.forget();
        let zeros = memory::zeroed(self.geometry.block_size as usize)?;
        let slot_len = self.geometry.slot_len();
        let mut run = memory::zeroed(slot_len * to.saturating_sub(from).min(RUN as u64) as usize)?;
        let mut next = from;
        while next < to {
            let start = self.geometry.slot_offset(next);
            let mut count = 0;
            while count < RUN
                && next + (count as u64) < to
                && self.geometry.slot_offset(next + count as u64) == start + (count * slot_len) as u64
            {
                let sealed = &mut run[count * slot_len..(count + 1) * slot_len];
                self.sealer.seal(next + count as u64, &NO_CONTEXT, &zeros, sealed)?;
                count += 1;
            }
            storage.write(&run[..count * slot_len], start)?;
            next += count as u64;
        }
        Ok(())
    }

    pub(super) fn seal_holes(&mut self, storage: &mut dyn Storage) -> Result<()> {
        let end = self.slots(storage)?;
        let whole = self.size(storage)? / u64::from(self.geometry.block_size);
        for index in self.sealed_to.max(self.required_slots(storage)?)..whole {
            let offset = self.geometry.slot_offset(index);
            storage.read(&mut self.slot, offset)?;
            if is_zero(&self.slot) {
                self.seal_zeros(storage, index, index + 1)?;
            }
        }
        self.sealed_to = self.sealed_to.max(end);
        Ok(())
    }
}
