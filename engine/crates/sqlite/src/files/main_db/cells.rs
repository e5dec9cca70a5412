//! The cells in the header region: what the database knows about its log, and about its own length.
//!
//! Who may write which: the WAL cell whoever keeps other writers of the log out; the length cell whoever keeps others from
//! writing the main file, which in WAL mode is the checkpoint. So neither undoes what the other has just written.

use super::MainFile;
use crate::files::header_region::{write_cell, write_cells};
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::sabotage::{self, Sabotage};
use storage::{SYNC_NORMAL, Storage};
use vault::format::cell::{CELL_A_OFFSET, CELL_LEN, COPY_B_BEHIND, Cell, PAIR_LEN, choose};
use vault::format::cells::{length_copies, wal_cell, wal_copies};
use vault::format::length::{LENGTH_A_OFFSET, Length};

/// The log that counts, and how many slots there were when it began, all of them synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CurrentLog {
    /// Its generation.
    pub generation: [u8; 16],
    /// Slots of the main file.
    pub main_slots: u64,
}

impl MainFile {
    /// There is a log that counts, or none.
    pub fn set_log(&mut self, storage: &mut dyn Storage, log: Option<CurrentLog>) -> Result<()> {
        if self.log != log {
            self.log = log;
            self.sealed_to = if log.is_some() { self.required_slots(storage)? } else { 0 };
        }
        Ok(())
    }

    /// The log was closed, or is none any more.
    pub fn forget_log(&mut self) {
        self.log = None;
        self.sealed_to = 0;
    }

    /// Is a slot that ought to be there missing, or all zeros? It may be where a WAL counts, behind everything that was ever
    /// known to be durable: pages that were freed in the transaction that made them never enter the log, and a power
    /// cut may leave the file with their places empty.
    pub fn may_be_hole(&mut self, storage: &mut dyn Storage, index: u64) -> Result<bool> {
        Ok(self.log.is_some() && index >= self.required_slots(storage)?)
    }

    /// So many slots must be there.
    pub fn required_slots(&self, storage: &mut dyn Storage) -> Result<u64> {
        let length = self.read_length(storage)?;
        Ok(match &self.log {
            Some(log) => length.slots_under(&log.generation, log.main_slots),
            None => length.slots,
        })
    }

    /// Slot `index` lies behind the end of the file. SQLite takes what is not there for zeros.
    ///
    /// Errors: `Tampered` if it was there once, durably.
    pub(super) fn refuse_missing(&mut self, storage: &mut dyn Storage, index: u64) -> Result<()> {
        if sabotage::is(Sabotage::MissingEnd) || index >= self.required_slots(storage)? {
            return Ok(());
        }
        // Somebody may just have cut the file and said so before, or made it longer and said so after.
        self.check_length(storage)
    }

    /// Is everything there that was ever durable?
    ///
    /// Needs no lock: the count is lowered before slots go, and raised after they came. So at any time there are at least
    /// so many slots, and two looks at the count that agree are about the size in between.
    ///
    /// Errors: `Tampered` if slots are missing.
    pub fn check_length(&self, storage: &mut dyn Storage) -> Result<()> {
        let mut before = self.read_length(storage)?;
        loop {
            let slots = self.counted(self.geometry.logical_size(storage.size()?));
            if slots >= before.slots {
                return Ok(());
            }
            let after = self.read_length(storage)?;
            if after == before {
                return Err(self.cut_off(slots, before.slots));
            }
            before = after;
        }
    }

    /// See [`Geometry::counted_blocks`](crate::format::geometry::Geometry::counted_blocks).
    pub(super) fn counted(&self, size: u64) -> u64 {
        self.geometry.counted_blocks(size, self.keeps_length)
    }

    /// The fault of a file of which only `slots` slots are there.
    pub fn cut_off(&self, slots: u64, required: u64) -> Fault {
        Fault::new(
            FaultClass::Tampered,
            format!(
                "the end of the database was cut off: {slots} blocks are there, and {required} must be; restore it from \
                 a backup, or copy out what is left with `lumocrypt salvage`"
            ),
        )
        .in_file(FileKind::MainDb)
        .at_number(slots)
    }

    /// What was written is durable: none of the slots that there are can be an honest hole any more. The cell may become
    /// durable later than what it says.
    pub(super) fn record_synced(&mut self, storage: &mut dyn Storage) -> Result<()> {
        let size = match self.size {
            Some(size) => size,
            None => self.geometry.logical_size(storage.size()?),
        };
        let slots = self.counted(size);
        if self.recorded == Some(slots) || !self.keeps_length {
            return Ok(());
        }
        // Fewer than there must be is no news, but damage.
        if slots > self.read_length(storage)?.slots {
            let log = self.log;
            self.write_length(storage, log, |length| length.slots = slots, None)?;
        }
        self.recorded = Some(slots);
        Ok(())
    }

    /// A rollback-mode transaction has ended. Where it was synced this is nothing new. With synchronous=OFF nothing ever is,
    /// and no power cut is promised to be survived; but the end must not be cut off unnoticed.
    pub fn record_unsynced(&mut self, storage: &mut dyn Storage) -> Result<()> {
        if self.unsynced && self.log.is_none() { self.record_synced(storage) } else { Ok(()) }
    }

    /// Slots are about to be cut off, so that `slots` are left: they need not be there any more. Durable before they go,
    /// or a power cut could leave a shorter file than the cell says.
    pub(super) fn record_cut(&mut self, storage: &mut dyn Storage, slots: u64) -> Result<()> {
        let required = if self.keeps_length {
            self.read_length(storage)?.slots
        } else {
            self.read_cell(storage)?.synced_slots
        };
        if required > slots {
            // With synchronous=OFF nothing is synced, and a power cut may leave anything: a commit is cutting then what it
            // wrote. A checkpoint syncs after it has cut.
            let without_syncs = self.unsynced && self.log.is_none() && slots > 0;
            let sync = (!without_syncs).then_some(SYNC_NORMAL);
            if self.keeps_length {
                let log = self.log;
                self.write_length(storage, log, |length| length.slots = slots, sync)?;
            } else {
                self.write_cell(storage, |cell| cell.synced_slots = slots, sync)?;
            }
        } else if storage.failed_syncs() != self.failed_syncs {
            // That may be the sync which was to make the lower count durable.
            self.sync_cells(storage, SYNC_NORMAL)?;
        }
        self.recorded = None;
        Ok(())
    }

    /// A checkpoint is about to copy from the log, in which `frames` frames are committed, and as durable as they ever will
    /// be: without them half a transaction would be left in the main file.
    pub fn record_copied(&mut self, storage: &mut dyn Storage, frames: u64) -> Result<()> {
        let Some(log) = self.log.filter(|_| self.keeps_length && !sabotage::is(Sabotage::CopiedFrames))
        else {
            return Ok(());
        };
        // Where a checkpoint says more with every frame that it copies, most add nothing.
        if self.copied.generation == log.generation && self.copied.frames >= frames {
            return Ok(());
        }
        if self.read_length(storage)?.frames_of(&log.generation) < frames {
            self.write_length(storage, Some(log), |length| length.frames = frames, None)?;
        }
        self.copied = Length { generation: log.generation, frames, ..Length::default() };
        Ok(())
    }

    /// So many frames the log of `generation` must have.
    pub fn copied_frames(&self, storage: &mut dyn Storage, generation: &[u8; 16]) -> Result<u64> {
        Ok(self.read_length(storage)?.frames_of(generation))
    }

    /// The current WAL cell.
    pub fn read_cell(&self, storage: &mut dyn Storage) -> Result<Cell> {
        self.find_cell(storage).map(|(cell, _)| cell)
    }

    /// The same, and whether copy A is the one that counts.
    fn find_cell(&self, storage: &mut dyn Storage) -> Result<(Cell, bool)> {
        let mut bytes = [0; PAIR_LEN];
        storage.read(&mut bytes, CELL_A_OFFSET)?;
        let copies = wal_copies(&bytes, &self.keys);
        let cell = wal_cell(copies, self.keeps_length).ok_or_else(|| damaged("WAL"))?;
        Ok((cell, copies[0] == Some(cell)))
    }

    /// Writes a successor of the current WAL cell, synced if `flags` says how.
    pub fn write_cell(
        &mut self,
        storage: &mut dyn Storage,
        change: impl FnOnce(&mut Cell),
        flags: Option<i32>,
    ) -> Result<()> {
        let (mut cell, a_counts) = self.find_cell(storage)?;
        cell.sequence = self.next(cell.sequence)?;
        change(&mut cell);
        write_cell(storage, CELL_A_OFFSET, &cell.encode(&self.keys), a_counts)?;
        flags.map_or(Ok(()), |flags| self.sync_cells(storage, flags))
    }

    /// What must be there of the main file and its log.
    pub fn read_length(&self, storage: &mut dyn Storage) -> Result<Length> {
        if !self.keeps_length {
            return self.read_cell(storage).map(Length::before);
        }
        self.find_length(storage).map(|(length, _)| length)
    }

    /// The length cell, and whether copy A is the one that counts.
    fn find_length(&self, storage: &mut dyn Storage) -> Result<(Length, bool)> {
        let mut bytes = [0; PAIR_LEN];
        storage.read(&mut bytes, LENGTH_A_OFFSET)?;
        let [a, b] = length_copies(&bytes, &self.keys);
        let length = choose(a, b).ok_or_else(|| damaged("length"))?;
        Ok((length, a == Some(length)))
    }

    /// Writes a successor of the current length cell, synced if `flags` says how. The first of a generation takes over what
    /// the log says.
    fn write_length(
        &mut self,
        storage: &mut dyn Storage,
        log: Option<CurrentLog>,
        change: impl FnOnce(&mut Length),
        flags: Option<i32>,
    ) -> Result<()> {
        let (mut length, a_counts) = self.find_length(storage)?;
        length.sequence = self.next(length.sequence)?;
        if let Some(log) = log.filter(|log| log.generation != length.generation) {
            length.slots = length.slots_under(&log.generation, log.main_slots);
            (length.generation, length.frames) = (log.generation, 0);
        }
        change(&mut length);
        write_cell(storage, LENGTH_A_OFFSET, &length.encode(&self.keys), a_counts)?;
        flags.map_or(Ok(()), |flags| self.sync_cells(storage, flags))
    }

    /// Both cells of a database that has had no length cell, durable before the superblock says that there is one. Nobody
    /// else writes to the log or to the main file meanwhile.
    pub fn begin_length(&mut self, storage: &mut dyn Storage) -> Result<()> {
        let cell = self.read_cell(storage)?;
        let mut length = Length::before(cell);
        let size = self.geometry.logical_size(storage.size()?);
        if length.slots == self.geometry.block_count(size) {
            length.slots = self.geometry.counted_blocks(size, true);
        }
        write_cells(storage, &self.keys, cell, length)
    }

    /// A length cell is kept from here on.
    pub fn set_keeps_length(&mut self, keeps_length: bool) {
        self.keeps_length = keeps_length;
        self.recorded = None;
    }

    /// Seals the cells with the current data key, durably, where they are an older one's.
    pub fn renew_cells(&mut self, storage: &mut dyn Storage, flags: i32) -> Result<()> {
        self.write_cell(storage, |_| {}, None)?;
        if self.keeps_length {
            self.write_length(storage, None, |_| {}, None)?;
        }
        self.sync_cells(storage, flags)
    }

    /// Makes the file durable. After a sync that failed nobody knows whether the cells are on the disk, however often they
    /// can be read: they are written again.
    pub fn sync_cells(&mut self, storage: &mut dyn Storage, flags: i32) -> Result<()> {
        let failed = storage.failed_syncs();
        if failed != self.failed_syncs && !sabotage::is(Sabotage::CellOnce) {
            let mut offsets = vec![CELL_A_OFFSET];
            offsets.extend(self.keeps_length.then_some(LENGTH_A_OFFSET));
            for offset in offsets.into_iter().flat_map(|offset| [offset, offset + COPY_B_BEHIND]) {
                let mut copy = [0; CELL_LEN];
                storage.read(&mut copy, offset)?;
                storage.write(&copy, offset)?;
            }
        }
        storage.sync(flags)?;
        self.failed_syncs = failed;
        Ok(())
    }

    fn next(&self, sequence: u64) -> Result<u64> {
        sequence.checked_add(1).ok_or_else(|| self.tampered(0, "has a header that counted to its end"))
    }
}

fn damaged(cell: &str) -> Fault {
    Fault::new(
        FaultClass::HeaderDamaged,
        format!(
            "the {cell} cell in the database header is damaged; restore the file from a backup or copy out what is \
             readable with `lumocrypt salvage`"
        ),
    )
    .in_file(FileKind::MainDb)
}
