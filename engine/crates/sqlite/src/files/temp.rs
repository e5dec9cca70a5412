//! Temporary files: temporary and transient databases, sorter files and statement journals.
//!
//! Each has a key of its own that is never stored, so the file is unreadable once it is closed. One
//! connection owns it and it never survives a crash, which allows what the other files must not do: the
//! last block written is kept in memory, and nothing is ever synced on purpose.

use crypto::suite::SuiteId;
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::memory;
use storage::Storage;
use vault::file_keys::{NO_CONTEXT, Sealer};

/// Block size in bytes: SQLite's default page size.
const BLOCK: usize = 4096;
/// Blocks collected before they are written: SQLite spills statement journals and sorted runs in long
/// sequential writes.
const RUN: usize = 16;

/// One temporary file.
pub struct TempFile {
    kind: FileKind,
    sealer: Sealer,
    /// Logical size.
    size: u64,
    /// Blocks that are on disk, or about to be.
    blocks: u64,
    /// First block of the run in memory.
    run_at: u64,
    /// The run, in clear, whole blocks.
    run: Vec<u8>,
    block: Vec<u8>,
    sealed: Vec<u8>,
}

impl TempFile {
    /// A file under a fresh key.
    pub fn new(suite: SuiteId, kind: FileKind) -> Result<Self> {
        let sealer = Sealer::temporary(suite, kind)?;
        Ok(TempFile {
            kind,
            sealer,
            size: 0,
            blocks: 0,
            run_at: 0,
            run: Vec::new(),
            block: memory::zeroed(BLOCK)?,
            sealed: Vec::new(),
        })
    }

    /// The kind of file.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// The logical size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn slot_len(&self) -> usize {
        BLOCK + self.sealer.overhead()
    }

    fn run_end(&self) -> u64 {
        self.run_at + (self.run.len() / BLOCK) as u64
    }

    /// The place of a block within the run in memory.
    fn in_run(&self, index: u64) -> Option<std::ops::Range<usize>> {
        (self.run_at..self.run_end()).contains(&index).then(|| {
            let start = (index - self.run_at) as usize * BLOCK;
            start..start + BLOCK
        })
    }

    /// Fills `buf` from `offset`; `false` if the file ended early, the rest being zero.
    pub fn read(&mut self, storage: &mut dyn Storage, buf: &mut [u8], offset: u64) -> Result<bool> {
        let available = self.size.saturating_sub(offset).min(buf.len() as u64) as usize;
        let mut done = 0;
        while done < available {
            let at = offset + done as u64;
            let (index, within) = (at / BLOCK as u64, (at % BLOCK as u64) as usize);
            let take = (available - done).min(BLOCK - within);
            let target = &mut buf[done..done + take];
            if let Some(range) = self.in_run(index) {
                target.copy_from_slice(&self.run[range][within..within + take]);
            } else {
                self.open_block(storage, index)?;
                target.copy_from_slice(&self.block[within..within + take]);
            }
            done += take;
        }
        buf[available..].fill(0);
        Ok(available == buf.len())
    }

    fn open_block(&mut self, storage: &mut dyn Storage, index: u64) -> Result<()> {
        let slot_len = self.slot_len();
        memory::resize(&mut self.sealed, slot_len)?;
        let complete = storage.read(&mut self.sealed[..slot_len], index * slot_len as u64)?;
        let sealed = &self.sealed[..slot_len];
        if !complete || self.sealer.open(index, &NO_CONTEXT, sealed, &mut self.block).is_err() {
            return Err(Fault::new(
                FaultClass::Tampered,
                "a block of a temporary file does not authenticate: somebody changed the file while it was in use",
            )
            .in_file(self.kind)
            .at_number(index));
        }
        Ok(())
    }

    /// Writes `data` at `offset`.
    pub fn write(&mut self, storage: &mut dyn Storage, data: &[u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let (index, within) = (at / BLOCK as u64, (at % BLOCK as u64) as usize);
            let take = (data.len() - done).min(BLOCK - within);
            let range = self.bring_in(storage, index, take == BLOCK)?;
            self.run[range][within..within + take].copy_from_slice(&data[done..done + take]);
            done += take;
        }
        self.size = self.size.max(offset + data.len() as u64);
        Ok(())
    }

    /// Makes block `index` part of the run in memory; its content is only read if some of it stays.
    fn bring_in(
        &mut self,
        storage: &mut dyn Storage,
        index: u64,
        replaced: bool,
    ) -> Result<std::ops::Range<usize>> {
        if let Some(range) = self.in_run(index) {
            return Ok(range);
        }
        if !self.run.is_empty() && (index != self.run_end() || self.run.len() >= RUN * BLOCK) {
            self.flush(storage)?;
        }
        if self.run.is_empty() {
            self.fill_gap(storage, index)?;
            self.run_at = index;
        }
        if replaced || index >= self.blocks {
            self.block.fill(0);
        } else {
            self.open_block(storage, index)?;
        }
        let start = self.run.len();
        memory::extend(&mut self.run, &self.block)?;
        self.blocks = self.blocks.max(index + 1);
        Ok(start..start + BLOCK)
    }

    /// Seals zeros in the blocks between the end of the file and `index`.
    fn fill_gap(&mut self, storage: &mut dyn Storage, index: u64) -> Result<()> {
        while self.blocks < index {
            let count = (index - self.blocks).min(RUN as u64);
            self.write_blocks(storage, self.blocks, &memory::zeroed(count as usize * BLOCK)?)?;
            self.blocks += count;
        }
        Ok(())
    }

    fn write_blocks(&mut self, storage: &mut dyn Storage, first: u64, plain: &[u8]) -> Result<()> {
        let slot_len = self.slot_len();
        let count = plain.len() / BLOCK;
        memory::resize(&mut self.sealed, slot_len * count.max(1))?;
        let slots = self.sealed.chunks_exact_mut(slot_len);
        for ((plain, sealed), index) in plain.chunks_exact(BLOCK).zip(slots).zip(first..) {
            self.sealer.seal(index, &NO_CONTEXT, plain, sealed)?;
        }
        storage.write(&self.sealed[..slot_len * count], first * slot_len as u64)
    }

    /// Writes the run in memory.
    fn flush(&mut self, storage: &mut dyn Storage) -> Result<()> {
        if self.run.is_empty() {
            return Ok(());
        }
        let run = std::mem::take(&mut self.run);
        let written = self.write_blocks(storage, self.run_at, &run);
        self.run = run;
        written?;
        self.run.clear();
        Ok(())
    }

    /// Cuts or extends the file to `size` bytes.
    pub fn truncate(&mut self, storage: &mut dyn Storage, size: u64) -> Result<()> {
        if size >= self.size {
            if size > self.size {
                self.write(storage, &[0], size - 1)?;
            }
            return Ok(());
        }
        self.flush(storage)?;
        self.size = size;
        self.blocks = size.div_ceil(BLOCK as u64);
        let tail = (size % BLOCK as u64) as usize;
        if tail != 0 {
            // What lies behind the cut must read as zeros when the file grows again.
            let range = self.bring_in(storage, size / BLOCK as u64, false)?;
            self.run[range][tail..].fill(0);
        }
        storage.truncate(self.blocks * self.slot_len() as u64)
    }

    /// Writes what is in memory and syncs.
    pub fn sync(&mut self, storage: &mut dyn Storage, flags: i32) -> Result<()> {
        self.flush(storage)?;
        storage.sync(flags)
    }
}

#[cfg(test)]
mod tests;
