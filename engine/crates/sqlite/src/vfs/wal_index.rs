//! What the engine reads in SQLite's wal-index (wal.c, WalIndexHdr and WalCkptInfo; the layout is the same in every
//! version and part of SQLite's file format).

use crate::facts;

/// Offset of the page size (szPage): two bytes, 1 for 65536.
const PAGE_SIZE: usize = 14;
/// Offset of the last valid frame's number (mxFrame).
const MAX_FRAME: usize = 16;
/// Offset of the salts (aSalt), copied there from the WAL header.
const SALTS: usize = 32;
/// Offset of the second copy of the header, which SQLite writes first.
const SECOND_HEADER: usize = 48;
/// Offset of the number of frames that checkpoints have copied (nBackfill).
const BACKFILL: usize = 96;
/// Offset of the second read mark, behind two headers of 48 bytes and nBackfill. The first mark is always zero: its
/// readers read the main file only.
const READ_MARKS: usize = 104;
/// Read marks behind the first (WAL_NREADER).
const READERS: usize = 4;

/// The first page of a wal-index, while it is mapped.
#[derive(Clone, Copy)]
pub struct WalIndex(*const u8);

impl WalIndex {
    /// The wal-index at `address`; `None` if nothing is mapped.
    ///
    /// # Safety
    /// `address` is null, or at least 32 KiB are mapped there for as long as this is used.
    pub unsafe fn new(address: *const u8) -> Option<WalIndex> {
        (!address.is_null()).then_some(WalIndex(address))
    }

    /// The salts of the current generation.
    pub fn salts(self) -> [u8; 8] {
        let mut salts = [0; 8];
        for (offset, salt) in salts.iter_mut().enumerate() {
            // SAFETY: within the mapping; other processes write to it.
            *salt = unsafe { self.0.add(SALTS + offset).read_volatile() };
        }
        salts
    }

    /// The salts and the number of the last committed frame, of one moment; `None` while a writer changes them.
    pub fn salts_and_last_frame(self) -> Option<([u8; 8], u32)> {
        let found = (self.salts(), self.last_frame());
        let words = [MAX_FRAME, SALTS, SALTS + 4];
        words
            .into_iter()
            .all(|offset| self.word(offset) == self.word(SECOND_HEADER + offset))
            .then_some(found)
            .filter(|found| *found == (self.salts(), self.last_frame()))
    }

    /// Nothing that checkpoints have copied counts as copied any more: the frames are still in the log, and the next
    /// checkpoint copies them again. A reader that begins now takes pages from the log that it may take from there.
    pub fn forget_backfill(self) {
        // SAFETY: within the mapping, which SQLite writes to, and aligned; read and written word by word, as SQLite does.
        unsafe { self.0.cast_mut().add(BACKFILL).cast::<u32>().write_volatile(0) };
    }

    /// The number of the last committed frame.
    pub fn last_frame(self) -> u32 {
        self.word(MAX_FRAME)
    }

    /// The size in bytes of the pages in the WAL; `None` where the wal-index was not filled yet.
    pub fn page_size(self) -> Option<usize> {
        // SAFETY: within the mapping and aligned.
        match unsafe { self.0.add(PAGE_SIZE).cast::<u16>().read_volatile() } {
            0 => None,
            stored => Some(facts::page_size(stored) as usize),
        }
    }

    /// Will a checkpoint that begins now copy the whole WAL? Not if a reader holds an older mark: SQLite has just
    /// raised the marks of all that nobody holds (walCheckpoint).
    pub fn is_free_of_old_readers(self) -> bool {
        let last = self.word(MAX_FRAME);
        (0..READERS).all(|reader| self.word(READ_MARKS + 4 * reader) >= last)
    }

    fn word(self, offset: usize) -> u32 {
        // SAFETY: within the mapping and aligned; read word by word, as SQLite does.
        unsafe { self.0.add(offset).cast::<u32>().read_volatile() }
    }
}
