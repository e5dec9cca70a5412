//! Sealed slots that lie behind each other on disk, collected for one write.

use super::memory;
use super::storage::{LONGEST_TRANSFER, Storage};
use crate::error::Result;

/// Slots `first` to `first + count`, exclusive, sealed and not written yet.
#[derive(Default)]
pub struct SlotRun {
    first: u64,
    count: u64,
    offset: u64,
    /// The slots, in the first `len` bytes; what lies behind is left over from longer runs.
    bytes: Vec<u8>,
    len: usize,
}

impl SlotRun {
    /// Does no slot wait?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Does slot `index` wait?
    pub fn contains(&self, index: u64) -> bool {
        (self.first..self.first + self.count).contains(&index)
    }

    /// The physical offset behind the last slot that waits; 0 if none does.
    pub fn end(&self) -> u64 {
        if self.is_empty() { 0 } else { self.offset + self.len as u64 }
    }

    /// Is the run as long as it gets? It is written in one call, and another slot of `len` bytes would not fit.
    pub fn is_full(&self, len: usize) -> bool {
        self.len + len > LONGEST_TRANSFER
    }

    /// Adds slot `index` of `len` bytes at physical `offset`, sealed by `seal`. What waits and does not lie just in
    /// front of it is written first.
    ///
    /// Errors: those of the storage and of `seal`, and no memory; the slot is not added then.
    pub fn add(
        &mut self,
        storage: &mut dyn Storage,
        index: u64,
        offset: u64,
        len: usize,
        seal: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let continues = index == self.first + self.count && offset == self.offset + self.len as u64;
        if !self.is_empty() && (!continues || self.is_full(len)) {
            self.flush(storage)?;
        }
        if self.is_empty() {
            self.first = index;
            self.offset = offset;
            self.len = 0;
        }
        let end = self.len + len;
        if self.bytes.len() < end {
            memory::resize(&mut self.bytes, end)?;
        }
        seal(&mut self.bytes[self.len..end])?;
        self.len = end;
        self.count += 1;
        Ok(())
    }

    /// Writes what waits. If that fails it goes on waiting.
    pub fn flush(&mut self, storage: &mut dyn Storage) -> Result<()> {
        if !self.is_empty() {
            storage.write(&self.bytes[..self.len], self.offset)?;
            self.discard();
        }
        Ok(())
    }

    /// Drops what waits.
    pub fn discard(&mut self) {
        self.count = 0;
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Fault, FaultClass};
    use crate::files::storage::MemoryFile;

    fn add(run: &mut SlotRun, disk: &mut MemoryFile, index: u64) -> Result<()> {
        run.add(disk, index, index * 4, 4, |slot| {
            slot.fill(index as u8);
            Ok(())
        })
    }

    #[test]
    fn neighbours_wait_and_others_do_not() {
        let (mut run, mut disk) = (SlotRun::default(), MemoryFile::default());
        for index in [0, 1, 2] {
            add(&mut run, &mut disk, index).unwrap();
        }
        assert!(disk.bytes.is_empty() && run.contains(0) && run.contains(2) && !run.contains(3));
        add(&mut run, &mut disk, 1).unwrap();
        assert_eq!(disk.bytes, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
        assert!(run.contains(1) && !run.contains(2));
        run.flush(&mut disk).unwrap();
        assert!(run.is_empty());
    }

    #[test]
    fn a_full_run_is_written() {
        let (mut run, mut disk) = (SlotRun::default(), MemoryFile::default());
        let most = (LONGEST_TRANSFER / 4) as u64;
        for index in 0..=most {
            add(&mut run, &mut disk, index).unwrap();
        }
        assert_eq!(disk.bytes.len(), LONGEST_TRANSFER);
        assert_eq!(disk.writes, 1);
        assert!(run.contains(most));
    }

    #[test]
    fn a_slot_that_cannot_be_sealed_does_not_wait_and_the_others_do() {
        let (mut run, mut disk) = (SlotRun::default(), MemoryFile::default());
        add(&mut run, &mut disk, 0).unwrap();
        let refused = run.add(&mut disk, 1, 4, 4, |slot| {
            slot.fill(9);
            Err(Fault::new(FaultClass::Internal, "no"))
        });
        assert!(refused.is_err() && run.contains(0) && !run.contains(1));
        add(&mut run, &mut disk, 1).unwrap();
        run.flush(&mut disk).unwrap();
        assert_eq!(disk.bytes, [0, 0, 0, 0, 1, 1, 1, 1]);
    }
}
