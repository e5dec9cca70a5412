//! The main database file: blocks in slots behind the header region.

mod cells;
mod freelist;
mod gaps;
mod torn;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::redo;
use crate::facts;
use crate::format::geometry::Geometry;
pub use cells::CurrentLog;
pub use freelist::FreePages;
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::memory;
use ground::sabotage::{self, Sabotage};
use storage::batch::{Slot, Unwritten};
use storage::outbox::Outbox;
use storage::readahead::Readahead;
use storage::{Storage, is_zero};
pub use torn::LostMarks;
use torn::Overlay;
use vault::file_keys::{FileKeys, NO_CONTEXT, Sealer};
use vault::format::length::Length;

/// How often a read of block 0 is tried again, after 50 microseconds at first and twice as long each time: a fifth of a
/// second in all, since the kernel may hold a writer up between the two pages of a slot. A checkpointer in another process
/// may rewrite it while we read it without a lock that excludes that: SQLite's unlocked header read, its change-counter
/// read and its first page-1 read. Every other read is excluded by SQLite's locks and fails at once.
const BLOCK_ZERO_TRIES: u32 = 12;

/// The first pause between them. Fuzzing has no other process to wait for.
const FIRST_PAUSE: std::time::Duration =
    std::time::Duration::from_micros(if cfg!(feature = "fuzzing") { 0 } else { 50 });

/// What SQLite reads at the start of each transaction: the change counter and what follows it (pager.c, dbFileVers).
const CHANGE_COUNTER_AT: u64 = facts::CHANGE_COUNTER_AT as u64;
const CHANGE_COUNTER_LEN: usize = 16;

/// SQLite's smallest page, and the unit in which parts of a block count as there or lost.
pub const COVER: usize = 512;

/// A block in clear, reusable for as long as its slot still ends in the same nonce and tag.
struct CachedBlock {
    index: u64,
    trailer: Vec<u8>,
    data: Vec<u8>,
}

/// The main database file of one connection, unlocked.
pub struct MainFile {
    keys: Arc<FileKeys>,
    sealer: Sealer,
    geometry: Geometry,
    slot: Vec<u8>,
    block: Vec<u8>,
    cached: Option<CachedBlock>,
    overlays: BTreeMap<u64, Overlay>,
    /// A write failed since the first lock was taken: it may have left half a block.
    write_failed: bool,
    /// Where SQLite last cut the file, while its lock lasts: behind it a block holds nothing that counts.
    cut: Option<u64>,
    /// Logical size, as long as our locks keep others from changing it; writes need it at every call.
    size: Option<u64>,
    /// The WAL generation that is current, if one is.
    log: Option<CurrentLog>,
    /// See [`Superblock::keeps_length`](vault::format::superblock::Superblock::keeps_length).
    keeps_length: bool,
    /// What the length cell was last seen to say of copied frames.
    copied: Length,
    /// Something was written since the last sync.
    unsynced: bool,
    /// A journal that a crash left is being played back.
    rolling_back: bool,
    /// Failed syncs of the file after which the cells were written again; see [`Storage::failed_syncs`].
    failed_syncs: u64,
    /// The same, for blocks that nothing restores: neither a journal nor a log has them. Cells may be written again, and
    /// synced, long before those are.
    mended_syncs: u64,
    /// Slots below this are known to be sealed.
    sealed_to: u64,
    /// The marks of lost units, once a part of a block was read.
    lost_marks: OnceCell<LostMarks>,
    /// The number of slots that the length cell is known to have caught up with.
    recorded: Option<u64>,
    /// Blocks that wait to be written together, while `combine` allows it.
    outbox: Outbox,
    combine: bool,
    ahead: Readahead,
    /// See `read`.
    unlocked: bool,
    /// Where the database is, to find what a change of the data key is writing; empty if nobody said.
    path: PathBuf,
}

impl MainFile {
    /// A file with the given keys and block size in bytes.
    pub fn new(keys: Arc<FileKeys>, block_size: u32) -> Result<Self> {
        let sealer = keys.sealer(FileKind::MainDb)?;
        let geometry = Geometry::new(block_size, sealer.overhead());
        Ok(MainFile {
            keys,
            sealer,
            geometry,
            slot: memory::zeroed(geometry.slot_len())?,
            block: memory::zeroed(block_size as usize)?,
            cached: None,
            overlays: BTreeMap::new(),
            write_failed: false,
            cut: None,
            size: None,
            log: None,
            keeps_length: true,
            copied: Length::default(),
            unsynced: false,
            rolling_back: false,
            failed_syncs: 0,
            mended_syncs: 0,
            sealed_to: 0,
            lost_marks: OnceCell::new(),
            recorded: None,
            outbox: Outbox::default(),
            combine: false,
            ahead: Readahead::default(),
            unlocked: false,
            path: PathBuf::new(),
        })
    }

    /// Where the database is: beside it lies what a change of the data key was writing when it was interrupted.
    pub fn set_path(&mut self, path: &Path) {
        path.clone_into(&mut self.path);
    }

    /// The data key is being changed, or was.
    pub fn set_keys(&mut self, keys: &Arc<FileKeys>) -> Result<()> {
        self.sealer = keys.sealer(FileKind::MainDb)?;
        self.keys = Arc::clone(keys);
        self.lost_marks = OnceCell::new();
        self.forget_transaction();
        Ok(())
    }

    /// What seals and opens its blocks.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// The keys that unlocked the file.
    pub fn keys(&self) -> &Arc<FileKeys> {
        &self.keys
    }

    /// The block size in bytes.
    pub fn block_size(&self) -> u32 {
        self.geometry.block_size
    }

    /// A lock was taken: what was known of the file's size may be out of date. At the `first` lock of a
    /// transaction, so are partial writes that an earlier one could not complete: others may have repaired the
    /// block since.
    pub fn lock_taken(&mut self, storage: &mut dyn Storage, first: bool) {
        self.forget_transaction();
        if first {
            self.outbox.discard(storage);
            self.write_failed = false;
            self.overlays.clear();
        }
    }

    /// What was known of the file for as long as others were kept from changing it.
    fn forget_transaction(&mut self) {
        if !sabotage::is(Sabotage::StaleSize) {
            self.size = None;
        }
        self.cut = None;
        self.ahead.forget();
    }

    /// May whole blocks wait for their neighbours? Only where a call of [`flush`](Self::flush) follows whose failure
    /// SQLite heeds.
    pub fn set_combine(&mut self, combine: bool) {
        self.combine = combine;
    }

    /// Writes the blocks that wait.
    ///
    /// Errors: those of the storage. SQLite then gives the transaction up, and what it wrote is dropped: a rollback
    /// must not fail because the blocks that it undoes cannot be written.
    pub fn flush(&mut self, storage: &mut dyn Storage) -> Result<()> {
        let flushed = self.outbox.flush(storage);
        self.written(storage, flushed)
    }

    /// What a failed write leaves: nothing waits any more, and the size is anyone's guess.
    fn written(&mut self, storage: &mut dyn Storage, result: Result<()>) -> Result<()> {
        if result.is_err() {
            self.outbox.discard(storage);
            self.size = None;
            self.write_failed = true;
        }
        result
    }

    /// Is a journal that a crash left being played back? It makes no database longer: what it counts was there.
    pub fn set_rolling_back(&mut self, rolling_back: bool) {
        self.rolling_back = rolling_back;
    }

    /// The logical size in bytes.
    ///
    /// A file without slots that once had some was cut off: SQLite would take it for a new database and delete
    /// its logs.
    pub fn size(&mut self, storage: &mut dyn Storage) -> Result<u64> {
        if let Some(size) = self.size {
            return Ok(size);
        }
        let size = self.geometry.logical_size(storage.size()?.max(self.outbox.end()));
        if size == 0 {
            self.check_length(storage)?;
        }
        self.size = Some(size);
        Ok(size)
    }

    /// The number of slots, a last partial one included.
    pub fn slots(&mut self, storage: &mut dyn Storage) -> Result<u64> {
        let size = self.size(storage)?;
        Ok(self.geometry.block_count(size))
    }

    /// Fills `buf` from logical `offset`; `false` if the file ended early, the rest being zero.
    pub fn read(&mut self, storage: &mut dyn Storage, buf: &mut [u8], offset: u64) -> Result<bool> {
        if offset == CHANGE_COUNTER_AT && buf.len() == CHANGE_COUNTER_LEN {
            // SQLite's look at the change counter begins a transaction, with or without a lock (nolock=1).
            self.forget_transaction();
        }
        // SQLite opens a database with this read, without a lock: somebody may cut the file meanwhile, and what a map
        // does not have any more kills the process.
        self.unlocked = offset == 0 && buf.len() == facts::HEADER_LEN;
        let block_size = self.geometry.block_size as usize;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let (index, within) = (at / block_size as u64, (at % block_size as u64) as usize);
            let want = (buf.len() - done).min(block_size - within);
            let part = &mut buf[done..done + want];
            let have = if want == block_size {
                self.read_block(storage, index, part)?
            } else {
                self.read_part(storage, index, within, part)?
            };
            if have < want {
                buf[done + have..].fill(0);
                return Ok(false);
            }
            done += want;
        }
        Ok(true)
    }

    /// Reads a whole block into `out`; returns how many bytes of it the file has.
    fn read_block(&mut self, storage: &mut dyn Storage, index: u64, out: &mut [u8]) -> Result<usize> {
        if !self.overlays.is_empty() && self.overlays.contains_key(&index) {
            return Err(self.tampered(index, "is damaged and was only partly rewritten"));
        }
        // A change of the data key seals blocks anew while others read them.
        let rekeying = self.keys.older().is_some();
        let mut tries = if index == 0 || rekeying { BLOCK_ZERO_TRIES } else { 1 };
        let mut pause = FIRST_PAUSE;
        loop {
            let fault = match self.try_block(storage, index, out) {
                Ok(have) => return Ok(have),
                Err(fault) => fault,
            };
            // The file may become shorter while this waits.
            self.unlocked = true;
            tries -= 1;
            let tampered = fault.class == FaultClass::Tampered;
            // Block 0 is read without a lock, and what is found beside the database may be an older one.
            if tampered
                && rekeying
                && (index > 0 || tries == 0)
                && let Some(have) = self.open_interrupted(index, out)
            {
                return Ok(have);
            }
            if tries == 0 || !tampered {
                out.fill(0);
                return Err(fault);
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
    }

    /// Opens a block that a change of the data key was writing when it was interrupted; how many bytes it has.
    fn open_interrupted(&mut self, index: u64, out: &mut [u8]) -> Option<usize> {
        let len = redo::find(&self.path, &self.keys, &self.geometry, index, &mut self.slot)?;
        let have = len.checked_sub(self.sealer.overhead())?;
        self.sealer.open_new(index, &NO_CONTEXT, &self.slot[..len], &mut out[..have]).ok()?;
        out[have..].fill(0);
        Some(have)
    }

    fn try_block(&mut self, storage: &mut dyn Storage, index: u64, out: &mut [u8]) -> Result<usize> {
        let (sealer, geometry) = (&self.sealer, self.geometry);
        if let Some(unwritten) = self.outbox.get(index) {
            let (have, opened) = match unwritten {
                Unwritten::Clear(plain) => {
                    out[..plain.len()].copy_from_slice(plain);
                    (plain.len(), true)
                }
                Unwritten::Sealed(sealed) => {
                    let have = sealed.len() - sealer.overhead();
                    (have, sealer.open(index, &NO_CONTEXT, sealed, &mut out[..have]).is_ok())
                }
            };
            out[have..].fill(0);
            return if opened { Ok(have) } else { Err(self.tampered(index, "changed in memory")) };
        }
        let offset = geometry.slot_offset(index);
        let mut opened = false;
        if !self.unlocked {
            storage.visit_map(offset, geometry.slot_len(), &mut |sealed| {
                opened = sealer.open(index, &NO_CONTEXT, sealed, out).is_ok();
            });
        }
        // A failure in the map may be a stale map, and one in what was read ahead a write of another process: the
        // file decides.
        let mut open = |sealed: &[u8]| sealer.open(index, &NO_CONTEXT, sealed, out).is_ok();
        // Nothing is read ahead while blocks wait: the file has older ones in their places.
        // Nor where nothing tells a last block that is shorter than its slot from a whole one.
        if opened
            || self.outbox.is_empty()
                && sealer.overhead() > 0
                && self.ahead.open(
                    storage,
                    index,
                    geometry.slot_len(),
                    |index| geometry.slot_offset(index),
                    &mut open,
                )?
        {
            return Ok(out.len());
        }
        let mut sealed_len = self.slot.len();
        if !storage.read(&mut self.slot, offset)? {
            let logical = geometry.logical_size(storage.size()?);
            let start = index * u64::from(geometry.block_size);
            let have = logical.saturating_sub(start).min(out.len() as u64) as usize;
            if have == 0 {
                out.fill(0);
                return self.refuse_missing(storage, index).map(|()| 0);
            }
            sealed_len = have + sealer.overhead();
            storage.read(&mut self.slot[..sealed_len], offset)?;
            if self.sealer.overhead() == 0 && have < out.len() {
                self.refuse_missing(storage, index)?;
            }
        }
        let sealer = &self.sealer;
        let have = sealed_len - sealer.overhead();
        let sealed = &self.slot[..sealed_len];
        if sealer.open(index, &NO_CONTEXT, sealed, &mut out[..have]).is_ok() {
            out[have..].fill(0);
            return Ok(have);
        }
        if is_zero(sealed) {
            if self.may_be_hole(storage, index)? {
                out.fill(0);
                return Ok(have);
            }
            return Err(self.tampered(index, "was erased"));
        }
        Err(self.tampered(index, "does not authenticate: it was changed, moved or damaged"))
    }

    /// Reads part of a block. SQLite does so to look at the change counter at the start of each read
    /// transaction, so the last such block is kept.
    fn read_part(
        &mut self,
        storage: &mut dyn Storage,
        index: u64,
        within: usize,
        out: &mut [u8],
    ) -> Result<usize> {
        if index > 0 {
            // The last block may be shorter than its slot. Once per transaction this looks at the file, and so does the
            // map, whose idea of the size may be an old one.
            self.size(storage)?;
        }
        if let Some(overlay) = self.overlays.get(&index) {
            let units = within / COVER..(within + out.len()).div_ceil(COVER);
            if overlay.covered[units].iter().all(|covered| *covered) {
                out.copy_from_slice(&overlay.data[within..within + out.len()]);
                return Ok(out.len());
            }
        }
        if self.cache_still_holds(storage, index)
            && let Some(cached) = &self.cached
        {
            self.refuse_lost(index, &cached.data, within, out.len())?;
            out.copy_from_slice(&cached.data[within..within + out.len()]);
            return Ok(out.len());
        }
        let mut block = std::mem::take(&mut self.block);
        let have = self.read_block(storage, index, &mut block);
        self.block = block;
        let have = have?;
        let usable = have.saturating_sub(within).min(out.len());
        self.refuse_lost(index, &self.block, within, usable)?;
        out[..usable].copy_from_slice(&self.block[within..within + usable]);
        out[usable..].fill(0);
        Ok(usable)
    }

    /// Does the slot on disk still end in the nonce and tag of the block kept in clear? Equality of both is
    /// the only thing that makes reuse safe; a lock or an unchanged counter is not.
    fn cache_still_holds(&mut self, storage: &mut dyn Storage, index: u64) -> bool {
        let overhead = self.sealer.overhead();
        if overhead == 0 {
            // Without them there is nothing to compare.
            return false;
        }
        let block_size = self.geometry.block_size as usize;
        let end = self.geometry.slot_offset(index) + block_size as u64;
        let mut trailer = [0u8; 64];
        let trailer = &mut trailer[..overhead];
        if self.outbox.get(index).is_some()
            || (self.unlocked
                || !storage.visit_map(end, overhead, &mut |bytes| trailer.copy_from_slice(bytes)))
                && !storage.read(trailer, end).unwrap_or(false)
        {
            return false;
        }
        if let Some(cached) = &self.cached
            && cached.index == index
            && (cached.trailer == *trailer || sabotage::is(Sabotage::StaleBlock))
        {
            return true;
        }
        let reused = self.cached.take().map(|cached| cached.data);
        let Ok(mut data) = reused.map_or_else(|| memory::zeroed(block_size), Ok) else { return false };
        match self.read_block(storage, index, &mut data) {
            // The trailer was read before the block: if a writer came between, the next use notices.
            Ok(have) if have == block_size && !trailer.iter().all(|byte| *byte == 0) => {
                self.cached = Some(CachedBlock { index, trailer: trailer.to_vec(), data });
                true
            }
            _ => false,
        }
    }

    /// Writes `data` at logical `offset`, sealing every block that it touches or skips.
    pub fn write(&mut self, storage: &mut dyn Storage, data: &[u8], offset: u64) -> Result<()> {
        let written = self.write_blocks(storage, data, offset);
        self.written(storage, written)
    }

    fn write_blocks(&mut self, storage: &mut dyn Storage, data: &[u8], offset: u64) -> Result<()> {
        let size = self.size(storage)?;
        let block_size = u64::from(self.geometry.block_size);
        self.unsynced = true;
        let end = offset + data.len() as u64;
        // Playback writes whole pages. Of the last one the file may have a part only, where an earlier rollback left the last
        // block as long as a crash had left it; to SQLite that was a page when it wrote the journal.
        let there = size.next_multiple_of((data.len() as u64).max(1));
        if self.rolling_back && end > there && !sabotage::is(Sabotage::MissingEnd) {
            return Err(self.cut_off(self.geometry.block_count(size), self.geometry.block_count(end)));
        }
        if offset > size {
            self.fill_gap(storage, size, offset)?;
        }
        let size = size.max(offset);
        self.cut = self.cut.map(|cut| cut.max(end));
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let (index, within) = (at / block_size, (at % block_size) as usize);
            let take = (data.len() - done).min(block_size as usize - within);
            let part = &data[done..done + take];
            if take == block_size as usize {
                self.overlays.remove(&index);
                self.write_block(storage, index, part)?;
            } else {
                let have = size.saturating_sub(index * block_size).min(block_size) as usize;
                self.write_part(storage, index, within, part, have)?;
            }
            done += take;
        }
        self.grown_to(size.max(end));
        Ok(())
    }

    fn grown_to(&mut self, size: u64) {
        let size = self.geometry.written_size(size);
        let (before, after) =
            (self.geometry.block_count(self.size.unwrap_or(0)), self.geometry.block_count(size));
        if before <= self.sealed_to {
            self.sealed_to = self.sealed_to.max(after);
        }
        self.size = Some(size);
    }

    fn write_block(&mut self, storage: &mut dyn Storage, index: u64, plain: &[u8]) -> Result<()> {
        if self.geometry.written_size(plain.len() as u64) > plain.len() as u64 {
            // Without a tag a part of a block could be cut off unnoticed.
            let mut whole = memory::zeroed(self.geometry.block_size as usize)?;
            whole[..plain.len()].copy_from_slice(plain);
            return self.write_block(storage, index, &whole);
        }
        self.ahead.forget();
        let cached = self.cached.take_if(|cached| cached.index == index);
        let offset = self.geometry.slot_offset(index);
        let slot = Slot { index, offset, context: NO_CONTEXT, parts: [&[], plain] };
        let sealed = self.outbox.add(storage, &self.sealer, &slot)?;
        if let Some(mut cached) = cached.filter(|cached| cached.data.len() == plain.len())
            && let Some(sealed) = sealed
        {
            // It holds as soon as the slot is on disk, and not before.
            cached.data.copy_from_slice(plain);
            cached.trailer.copy_from_slice(&sealed[plain.len()..]);
            self.cached = Some(cached);
        }
        let sealed_len = plain.len() + self.sealer.overhead();
        if self.combine { self.outbox.send_if_full(storage, sealed_len) } else { self.outbox.flush(storage) }
    }

    /// Read-modify-write of a block of which the file has `have` bytes.
    fn write_part(
        &mut self,
        storage: &mut dyn Storage,
        index: u64,
        within: usize,
        part: &[u8],
        have: usize,
    ) -> Result<()> {
        if self.overlays.contains_key(&index) {
            return self.write_overlay(storage, index, within, part, have);
        }
        self.outbox.flush(storage)?;
        let mut block = std::mem::take(&mut self.block);
        block.fill(0);
        let read = if have == 0 { Ok(0) } else { self.read_block(storage, index, &mut block) };
        let result = match read {
            Ok(_) => {
                block[within..within + part.len()].copy_from_slice(part);
                let len = have.max(within + part.len());
                self.write_block(storage, index, &block[..len])
            }
            Err(fault) if fault.class == FaultClass::Tampered => {
                let units = block.len().div_ceil(COVER);
                memory::zeroed(block.len()).and_then(|data| {
                    self.overlays.insert(index, Overlay { data, covered: vec![false; units] });
                    self.write_overlay(storage, index, within, part, have)
                })
            }
            Err(fault) => Err(fault),
        };
        self.block = block;
        result
    }

    /// Cuts or extends the logical file to `size` bytes.
    ///
    /// A cut inside a block keeps the whole block: sealing the shorter block in place would put live pages
    /// that no journal holds at the mercy of a torn write. SQLite does not mind a longer file.
    pub fn truncate(&mut self, storage: &mut dyn Storage, size: u64) -> Result<()> {
        self.ahead.forget();
        self.flush(storage)?;
        let current = self.size(storage)?;
        let block_size = u64::from(self.geometry.block_size);
        let kept = size.div_ceil(block_size) * block_size;
        if kept < current {
            self.record_cut(storage, kept / block_size)?;
            storage.truncate(self.geometry.physical_size(kept))?;
            self.overlays.retain(|index, _| *index < kept / block_size);
            self.cached = None;
            self.sealed_to = self.sealed_to.min(kept / block_size);
            self.size = Some(kept);
        }
        if size <= current {
            self.cut = Some(size);
            // A block that was waiting for pages behind the cut is complete now.
            let index = size / block_size;
            let have = current.min(kept).saturating_sub(index * block_size) as usize;
            self.settle_overlay(storage, index, have)?;
        } else {
            self.cut = self.cut.map(|cut| cut.max(size));
            self.fill_gap(storage, current, size)?;
            let (index, tail) = (size / block_size, (size % block_size) as usize);
            if tail != 0 {
                let have = current.saturating_sub(index * block_size).min(block_size) as usize;
                let zeros = memory::zeroed(tail - have)?;
                self.write_part(storage, index, have, &zeros, have)?;
            }
            self.grown_to(size);
        }
        // What it filled up must not wait: after a checkpoint's cut nothing follows that would write it.
        self.flush(storage)
    }

    /// Makes everything written durable. A checkpoint's sync first seals the holes that a crash may have
    /// left, so that after it an all-zero slot is damage again.
    pub fn sync(&mut self, storage: &mut dyn Storage, flags: i32) -> Result<()> {
        self.settle_overlays(storage)?;
        self.flush(storage)?;
        if self.log.is_some() {
            self.seal_holes(storage)?;
            self.write_gaps_again(storage)?;
        }
        if !sabotage::is(Sabotage::MainSync) {
            self.sync_cells(storage, flags)?;
        }
        self.unsynced = false;
        self.record_synced(storage)
    }

    fn tampered(&self, index: u64, what: &str) -> Fault {
        Fault::new(
            FaultClass::Tampered,
            format!(
                "block {index} of the database {what}; run `lumocrypt verify` to see the extent and restore from a \
                 backup"
            ),
        )
        .in_file(FileKind::MainDb)
        .at_number(index)
    }
}

#[cfg(test)]
mod tests;
