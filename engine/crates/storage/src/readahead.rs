//! Slots read ahead of a sequential reader, sealed as they are on disk.
//!
//! Where there is no map (yet), or its pages would be used once, sixteen slots in one call cost little more than one. What
//! was read ahead is only valid within one of SQLite's transactions: the owner forgets it at every lock that begins
//! one, at its own writes, and at SQLite's look at the change counter.

use crate::Storage;
use crate::batch::LONGEST_TRANSFER;
use ground::error::Result;
use ground::memory;

/// Slots read in one call, if they are not too long for one.
const DEPTH: usize = 16;

/// Slots in a row that make a reader a sequential one. Two are too few: page 2 is what follows the schema in many a
/// small database.
const SEQUENTIAL: u32 = 3;

/// Slots `first` to `first + count`, exclusive, as they were on disk.
#[derive(Default)]
pub struct Readahead {
    first: u64,
    count: u64,
    /// The slot that a sequential reader wants next, and how many it has wanted in a row.
    expected: u64,
    run: u32,
    slot_len: usize,
    bytes: Vec<u8>,
}

impl Readahead {
    /// What was read may be out of date.
    pub fn forget(&mut self) {
        self.count = 0;
    }

    /// Tries to open slot `index` of `slot_len` bytes from what was read ahead, reading ahead if the reader goes straight
    /// on and the slots lie directly behind each other. `false`: the slot has to be read by itself, which also decides
    /// whether it is damaged.
    pub fn open(
        &mut self,
        storage: &mut dyn Storage,
        index: u64,
        slot_len: usize,
        offset_of: impl Fn(u64) -> u64,
        open: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<bool> {
        self.run = if index == self.expected { self.run.saturating_add(1) } else { 1 };
        self.expected = index + 1;
        if slot_len != self.slot_len {
            (self.count, self.slot_len) = (0, slot_len);
        }
        if !(self.first..self.first + self.count).contains(&index) {
            let (offset, depth) = (offset_of(index), DEPTH.min(LONGEST_TRANSFER / slot_len));
            let end = offset + (depth * slot_len) as u64;
            if self.run < SEQUENTIAL || depth < 2 || offset_of(index + depth as u64) != end {
                return Ok(false);
            }
            self.count = 0;
            memory::resize(&mut self.bytes, depth * slot_len)?;
            // Behind the end of the file there are zeros, which open as nothing.
            storage.read(&mut self.bytes[..depth * slot_len], offset)?;
            (self.first, self.count) = (index, depth as u64);
        }
        let start = (index - self.first) as usize * slot_len;
        Ok(open(&self.bytes[start..start + slot_len]))
    }
}
