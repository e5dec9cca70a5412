//! Files of the gosqlite format (docs/reference/gosqlite.md): no header, nothing stored beside the content, every file
//! a run of blocks under a length-preserving cipher, whose tweak is the kind of file and the block's number.
//!
//! Nothing here can notice that a block was changed. What can be noticed is what SQLite itself writes: the header of a
//! database ([`header`], [`main_blocks`]), the beginning of a log ([`log`]) and the checksum of a WAL frame ([`frames`]).

pub mod frames;
pub mod header;
pub mod log;
pub mod main_blocks;
mod marks;
pub mod opener;
pub mod units;

use std::sync::Arc;

use crypto::LengthPreservingCipher;
use ground::error::{FileKind, Result};
use ground::memory;
use sqlite::facts;
use storage::{Storage, is_zero};
use vault::format::superblock;

/// The bytes in a block of a log or journal, whatever the main file's are: with it an append rewrites no more than a
/// sector.
pub const SMALL_BLOCK: usize = 512;

/// The bytes in a block of a new file of `kind`, where those of the main file have `main` bytes.
pub fn block_size_of(kind: FileKind, main: usize) -> usize {
    match kind {
        FileKind::MainDb | FileKind::TempDb => main,
        _ => SMALL_BLOCK,
    }
}

/// Can a block have this size in bytes? Here, too, it is one of those of SQLite's pages.
pub fn is_block_size(size: usize) -> bool {
    u32::try_from(size).is_ok_and(superblock::is_block_size)
}

/// The page size in bytes that a database's first bytes name; `None` if they are not those of a database.
pub fn page_size(plain: &[u8]) -> Option<usize> {
    (plain.len() >= facts::PAGE_COUNT_AT && plain.starts_with(facts::MAGIC))
        .then(|| facts::page_size_in(plain))
        .flatten()
        .map(|size| size as usize)
}

/// A cipher that several files share.
pub type SharedCipher = Arc<dyn LengthPreservingCipher>;

/// One file.
pub struct GosqliteFile {
    kind: FileKind,
    cipher: SharedCipher,
    block_size: usize,
    /// Whole blocks, between calls of no meaning.
    span: Vec<u8>,
}

impl GosqliteFile {
    /// A file of `kind` in blocks of `block_size` bytes.
    pub fn new(cipher: SharedCipher, kind: FileKind, block_size: usize) -> Result<Self> {
        debug_assert!(is_block_size(block_size));
        Ok(GosqliteFile { kind, cipher, block_size, span: memory::zeroed(block_size)? })
    }

    /// The kind of file.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// The size of a block in bytes.
    pub fn block_size(&self) -> usize {
        self.block_size
    }

    /// From here on blocks have `size` bytes.
    pub fn set_block_size(&mut self, size: usize) -> Result<()> {
        debug_assert!(is_block_size(size));
        if self.span.len() < size {
            memory::resize(&mut self.span, size)?;
        }
        self.block_size = size;
        Ok(())
    }

    /// The blocks that hold `offset..offset + len`: where they begin and end.
    fn blocks_of(&self, offset: u64, len: usize) -> (u64, u64) {
        let size = self.block_size as u64;
        (offset / size * size, (offset + len as u64).div_ceil(size) * size)
    }

    /// Fills `buf` from `offset`; `false` if the file ended early, the rest being zero.
    pub fn read(&mut self, storage: &mut dyn Storage, buf: &mut [u8], offset: u64) -> Result<bool> {
        let (start, end) = self.blocks_of(offset, buf.len());
        if start == offset && end - start == buf.len() as u64 {
            return Ok(self.read_blocks(storage, buf, start)? == buf.len());
        }
        let mut span = std::mem::take(&mut self.span);
        let read = memory::resize(&mut span, (end - start) as usize).and_then(|()| {
            let span = &mut span[..(end - start) as usize];
            let within = (offset - start) as usize;
            let known = self.read_blocks(storage, span, start)?;
            buf.copy_from_slice(&span[within..within + buf.len()]);
            Ok(known >= within + buf.len())
        });
        self.span = span;
        read
    }

    /// Reads and decrypts whole blocks; returns how many bytes the file has of them, in whole blocks. The rest is zero.
    fn read_blocks(&self, storage: &mut dyn Storage, blocks: &mut [u8], offset: u64) -> Result<usize> {
        let mut known = blocks.len();
        if !storage.read(blocks, offset)? {
            // A part of a block says nothing of what it was a part of.
            let there = storage.size()?.saturating_sub(offset).min(known as u64) as usize;
            known = there / self.block_size * self.block_size;
            blocks[known..].fill(0);
        }
        for (block, number) in blocks[..known].chunks_exact_mut(self.block_size).zip(self.number(offset)..) {
            // A hole, which SQLite leaves where it writes behind the end of a file, reads as zeros. Content that
            // encrypts to zeros is not to be feared: there are 512 of them at least.
            if !is_zero(block) {
                self.cipher.decrypt(self.kind as u8, number, block);
            }
        }
        Ok(known)
    }

    fn number(&self, offset: u64) -> u64 {
        offset / self.block_size as u64
    }

    /// Writes `data` at `offset`. Of blocks that it does not fill, the rest stays, or is zero if it is new.
    pub fn write(&mut self, storage: &mut dyn Storage, data: &[u8], offset: u64) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let mut span = std::mem::take(&mut self.span);
        let written = self.write_span(storage, &mut span, data, offset);
        self.span = span;
        written
    }

    fn write_span(
        &self,
        storage: &mut dyn Storage,
        span: &mut Vec<u8>,
        data: &[u8],
        offset: u64,
    ) -> Result<()> {
        let (start, end) = self.blocks_of(offset, data.len());
        let len = (end - start) as usize;
        memory::resize(span, len)?;
        let span = &mut span[..len];
        let within = (offset - start) as usize;
        let (first, last) = (within > 0, within + data.len() < len);
        let tail = len - self.block_size;
        if first && last && len <= 2 * self.block_size {
            self.read_blocks(storage, span, start)?;
        } else {
            if first {
                self.read_blocks(storage, &mut span[..self.block_size], start)?;
            }
            if last {
                self.read_blocks(storage, &mut span[tail..], start + tail as u64)?;
            }
        }
        span[within..within + data.len()].copy_from_slice(data);
        for (block, number) in span.chunks_exact_mut(self.block_size).zip(self.number(start)..) {
            self.cipher.encrypt(self.kind as u8, number, block);
        }
        storage.write(span, start)
    }

    /// Cuts or extends the file so that it ends with the block that byte `size` would be the next of.
    ///
    /// A part of a block could not be decrypted any more, so a cut inside a block keeps the block, and the file is
    /// longer than asked for. In journals and temporary files what is behind the cut becomes zero. In a main file or a
    /// WAL it stays: a block that others rely on is not written again for bytes that nobody relies on.
    pub fn truncate(&mut self, storage: &mut dyn Storage, size: u64) -> Result<()> {
        let (start, end) = self.blocks_of(size, 0);
        let relied_on = matches!(self.kind, FileKind::MainDb | FileKind::Wal);
        if end > start && !relied_on && storage.size()? >= end {
            let mut rest = memory::zeroed((end - size) as usize)?;
            self.read(storage, &mut rest, size)?;
            if !is_zero(&rest) {
                rest.fill(0);
                self.write(storage, &rest, size)?;
            }
        }
        storage.truncate(end)
    }

    /// The length of the file in bytes, as SQLite is to see it.
    ///
    /// Files end with a whole block, and nothing but their content says where that ends. SQLite finds the end by
    /// itself, except that of a journal which names a super-journal: there it looks at the last bytes. So a journal
    /// that ends in such a name and zeros ends with the name. A part of a block, which only others can have left, is
    /// no part of a log. Of a main file it is: one without content would be a new database, whose logs SQLite deletes.
    pub fn size(&mut self, storage: &mut dyn Storage) -> Result<u64> {
        let mut size = storage.size()?;
        if self.kind != FileKind::MainDb {
            size -= size % self.block_size as u64;
        }
        if self.kind != FileKind::MainJournal || size == 0 {
            return Ok(size);
        }
        // Two, because what ends a name may lie in both.
        let start = size.saturating_sub(2 * self.block_size as u64);
        let mut last = memory::zeroed((size - start) as usize)?;
        self.read_blocks(storage, &mut last, start)?;
        let content = last.iter().rposition(|byte| *byte != 0).map_or(0, |place| place + 1);
        if last[..content].ends_with(&facts::JOURNAL_MAGIC) { Ok(start + content as u64) } else { Ok(size) }
    }
}

#[cfg(test)]
mod tests;
