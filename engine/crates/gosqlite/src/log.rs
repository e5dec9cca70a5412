//! What the beginning of a log shows, and which blocks it is in.
//!
//! The original has had logs in blocks of a page, and has them in blocks of 512 bytes now. Nothing in a file says which,
//! so both are tried, and what SQLite wrote tells: the beginning of a log, and the checksum of the first page in it.

use super::frames::whole_frame;
use super::marks::{is_log, word};
use super::{GosqliteFile, SMALL_BLOCK};
use ground::error::{FileKind, Result};
use ground::memory;
use sqlite::facts::{JOURNAL_HEADER, WAL_HEADER};
use storage::{Storage, is_zero};

const WAL_PAGE_SIZE: usize = 8;
/// Magic and number of records. A journal that SQLite has yet to sync has zeros there, and what its checksums begin with
/// already behind them (pager.c, writeJournalHdr).
const JOURNAL_MARK: usize = 12;
/// Where a journal's header has what its checksums begin with, the size to which it is padded, and the page size.
const JOURNAL_NONCE: usize = 12;
const JOURNAL_SECTOR: usize = 20;
const JOURNAL_PAGE_SIZE: usize = 24;
/// Every this many bytes of a page, counted from its end, one is in a journal record's checksum (pager.c).
const CHECKSUM_STRIDE: usize = 200;

/// What a log begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beginning {
    /// Nothing that counts: empty, or a journal that is finished, or one of a transaction whose journal was never synced
    /// and which therefore has not touched the main file.
    Nothing,
    /// What such a log begins with, under the right key.
    Log,
    /// What such a log begins with, without encryption.
    Plaintext,
    /// Something else: torn by a crash, or not under this key.
    Unknown,
}

/// How much of a log makes sense in blocks of one size.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sense {
    None,
    /// It says that there is nothing.
    Finished,
    /// Its header, which XTS decrypts whatever the size of the blocks.
    Header,
    /// The page behind it, too.
    Page,
}

/// What [`recognise`] finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// What the log begins with.
    pub beginning: Beginning,
    /// It can be in blocks of this size only.
    pub certain: bool,
}

/// Finds out what the log `file` begins with, and whether it is in small blocks or in those of the main file, which have
/// `block_size` bytes. From here on the log is read and written in those.
pub fn recognise(file: &mut GosqliteFile, storage: &mut dyn Storage, block_size: usize) -> Result<Found> {
    let found = |beginning, certain| Ok(Found { beginning, certain });
    file.set_block_size(SMALL_BLOCK)?;
    let mut head = [0; JOURNAL_HEADER];
    storage.read(&mut head, 0)?;
    if is_zero(&head) {
        return found(Beginning::Nothing, false);
    }
    if is_log(file.kind(), &head) {
        return found(Beginning::Plaintext, false);
    }
    let small = sense(file, storage)?;
    file.set_block_size(block_size)?;
    let large = sense(file, storage)?;
    let (best, is_small) = match large.cmp(&small) {
        std::cmp::Ordering::Less => (small, true),
        std::cmp::Ordering::Greater => (large, false),
        // No page tells, so there is none. Whoever has large blocks leaves whole ones.
        std::cmp::Ordering::Equal => (small, !storage.size()?.is_multiple_of(block_size as u64)),
    };
    if is_small {
        file.set_block_size(SMALL_BLOCK)?;
    }
    match best {
        Sense::None => found(Beginning::Unknown, false),
        Sense::Finished => found(Beginning::Nothing, false),
        Sense::Header | Sense::Page => found(Beginning::Log, small != large || block_size == SMALL_BLOCK),
    }
}

/// How much of the log `file` makes sense.
fn sense(file: &mut GosqliteFile, storage: &mut dyn Storage) -> Result<Sense> {
    let mut head = [0; WAL_HEADER];
    file.read(storage, &mut head, 0)?;
    let mark = if file.kind() == FileKind::Wal { WAL_HEADER } else { JOURNAL_MARK };
    if is_zero(&head[..mark]) {
        return Ok(Sense::Finished);
    }
    if !is_log(file.kind(), &head) {
        return Ok(Sense::None);
    }
    let page_size_at = if file.kind() == FileKind::Wal { WAL_PAGE_SIZE } else { JOURNAL_PAGE_SIZE };
    let page_size = word(&head[page_size_at..], true) as usize;
    if !super::is_block_size(page_size) {
        return Ok(Sense::Header);
    }
    let whole = match file.kind() {
        // Of a log that a new one has begun to overwrite, the first frame does not follow the header any more, but the
        // second still follows the first.
        FileKind::Wal => {
            whole_frame(file, storage, 1, page_size)?.is_some()
                || whole_frame(file, storage, 2, page_size)?.is_some()
        }
        _ => is_record_whole(file, storage, &head, page_size)?,
    };
    Ok(if whole { Sense::Page } else { Sense::Header })
}

/// Does the first record of a journal have its checksum (fileformat2, section 3)?
fn is_record_whole(
    file: &mut GosqliteFile,
    storage: &mut dyn Storage,
    head: &[u8],
    page_size: usize,
) -> Result<bool> {
    let mut record = memory::zeroed(4 + page_size + 4)?;
    let complete = file.read(storage, &mut record, u64::from(word(&head[JOURNAL_SECTOR..], true)))?;
    let page = &record[4..4 + page_size];
    let places =
        (1..).map(|step| page_size.saturating_sub(step * CHECKSUM_STRIDE)).take_while(|place| *place > 0);
    let nonce = word(&head[JOURNAL_NONCE..], true);
    let sum = places.fold(nonce, |sum, place| sum.wrapping_add(u32::from(page[place])));
    Ok(complete && sum == word(&record[4 + page_size..], true))
}
