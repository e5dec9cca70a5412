//! Slots read ahead of a sequential scan, sealed as they are on disk.
//!
//! Where no map can be had, sixteen slots in one call cost little more than one. What was read ahead is only
//! valid within one of SQLite's read transactions: the owner forgets it at every lock that begins one, at its
//! own writes, and at SQLite's look at the change counter.

use super::memory;
use super::storage::Storage;
use crate::error::Result;
use crate::format::geometry::Geometry;

/// Slots read in one call.
const DEPTH: u64 = 16;

/// Slots `first` to `first + count`, exclusive, as they were on disk.
#[derive(Default)]
pub struct Readahead {
    first: u64,
    count: u64,
    /// The slot that a sequential reader wants next.
    expected: u64,
    bytes: Vec<u8>,
}

impl Readahead {
    /// What was read may be out of date.
    pub fn forget(&mut self) {
        self.count = 0;
    }

    /// Tries to open slot `index` from what was read ahead, reading ahead if the reader goes straight on.
    /// `false`: the slot has to be read by itself, which also decides whether it is damaged.
    pub fn open(
        &mut self,
        storage: &mut dyn Storage,
        geometry: &Geometry,
        index: u64,
        open: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<bool> {
        let sequential = index == self.expected && index > 0;
        self.expected = index + 1;
        let is_here = (self.first..self.first + self.count).contains(&index);
        if !(is_here || sequential && self.fill(storage, geometry, index)?) {
            return Ok(false);
        }
        let start = (index - self.first) as usize * geometry.slot_len();
        Ok(open(&self.bytes[start..start + geometry.slot_len()]))
    }

    fn fill(&mut self, storage: &mut dyn Storage, geometry: &Geometry, index: u64) -> Result<bool> {
        let (slot_len, start) = (geometry.slot_len(), geometry.slot_offset(index));
        let end = start + DEPTH * slot_len as u64;
        if geometry.slot_offset(index + DEPTH) != end {
            return Ok(false); // around the lock page
        }
        self.count = 0;
        memory::resize(&mut self.bytes, DEPTH as usize * slot_len)?;
        // Behind the end of the file there are zeros, which open as nothing.
        storage.read(&mut self.bytes, start)?;
        self.first = index;
        self.count = DEPTH;
        Ok(true)
    }
}
