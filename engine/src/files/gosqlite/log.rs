//! What the beginning of a log shows, and whether a frame of a WAL was read whole.

use std::thread;
use std::time::Duration;

use super::GosqliteFile;
use crate::error::{Fault, FaultClass, FileKind, Result};
pub use crate::files::journal::SQLITE_MAGIC as JOURNAL_MAGIC;
use crate::files::memory;
use crate::files::storage::{Storage, is_zero};

/// How a WAL begins; the last bit says that its checksums are over big-endian words (wal.c, WAL_MAGIC).
const WAL_MAGIC: [u8; 4] = [0x37, 0x7f, 0x06, 0x82];
/// Length of a WAL's header in bytes, and where in it the checksum is.
const WAL_HEADER: usize = 32;
const WAL_CHECKSUM: usize = 24;
const WAL_PAGE_SIZE: usize = 8;
/// Length of a frame's header in bytes, how much of it is under its checksum, and where in it that is.
const FRAME_HEADER: usize = 24;
const FRAME_SUMMED: usize = 8;
const FRAME_CHECKSUM: usize = 16;
/// What `journal_mode=PERSIST` makes zero of a finished journal: its header (fileformat2, section 3).
const JOURNAL_HEADER: usize = 28;
/// Where a journal's header has what its checksums begin with, the size to which it is padded, and the page size.
const JOURNAL_NONCE: usize = 12;
const JOURNAL_SECTOR: usize = 20;
const JOURNAL_PAGE_SIZE: usize = 24;
/// Every this many bytes of a page, counted from its end, one is in a journal record's checksum (pager.c).
const CHECKSUM_STRIDE: usize = 200;

/// How often something is looked at that another process may be writing just then, and the pause in between.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(1);

/// What a log begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beginning {
    /// Nothing: empty, or a journal that is finished.
    Nothing,
    /// What such a log begins with, under the right key.
    Log,
    /// What such a log begins with, without encryption.
    Plaintext,
    /// What such a log begins with, but in blocks of [`SMALL_BLOCK`] bytes.
    SmallBlocks,
    /// Something else: torn by a crash, or not under this key.
    Unknown,
}

/// The blocks in bytes that newer versions of the original write logs in, whatever the page size.
pub const SMALL_BLOCK: usize = 512;

/// How much of a log makes sense.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sense {
    None,
    /// Its header, which XTS decrypts whatever the size of the blocks.
    Header,
    /// The page behind it, too.
    Page,
}

/// Does a log of `kind` begin like this?
fn is_log(kind: FileKind, bytes: &[u8]) -> bool {
    match kind {
        FileKind::Wal => bytes.len() >= 4 && bytes[..3] == WAL_MAGIC[..3] && bytes[3] & !1 == WAL_MAGIC[3],
        _ => bytes.starts_with(&JOURNAL_MAGIC),
    }
}

/// What the log `file` begins with.
pub fn beginning(file: &mut GosqliteFile, storage: &mut dyn Storage) -> Result<Beginning> {
    let mut head = [0; JOURNAL_HEADER];
    storage.read(&mut head, 0)?;
    if is_zero(&head) {
        return Ok(Beginning::Nothing);
    }
    if is_log(file.kind(), &head) {
        return Ok(Beginning::Plaintext);
    }
    file.read(storage, &mut head, 0)?;
    if is_zero(&head) {
        return Ok(Beginning::Nothing);
    }
    let own = sense(file, storage)?;
    if own < Sense::Page && file.block_size() > SMALL_BLOCK {
        let mut small = GosqliteFile::new(file.cipher.clone(), file.kind(), SMALL_BLOCK)?;
        let other = sense(&mut small, storage)?;
        if other > own {
            return Ok(Beginning::SmallBlocks);
        }
    }
    Ok(if own == Sense::None { Beginning::Unknown } else { Beginning::Log })
}

/// How much of the log `file` makes sense.
fn sense(file: &mut GosqliteFile, storage: &mut dyn Storage) -> Result<Sense> {
    let mut head = [0; WAL_HEADER];
    file.read(storage, &mut head, 0)?;
    if !is_log(file.kind(), &head) {
        return Ok(Sense::None);
    }
    let page_size_at = if file.kind() == FileKind::Wal { WAL_PAGE_SIZE } else { JOURNAL_PAGE_SIZE };
    let page_size = word(&head[page_size_at..], true) as usize;
    if !super::is_block_size(page_size) {
        return Ok(Sense::Header);
    }
    let whole = match file.kind() {
        FileKind::Wal => whole_frame(file, storage, 1, page_size)?.is_some(),
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

/// Where frame `number`, counted from 1, of a WAL of pages of `page_size` bytes begins.
pub fn frame_at(number: u32, page_size: usize) -> u64 {
    let before = u64::from(number.saturating_sub(1));
    WAL_HEADER as u64 + before * (FRAME_HEADER + page_size) as u64
}

/// The frame whose page, or more of it, is at `offset`.
pub fn frame_of(offset: u64, page_size: usize) -> u32 {
    let frames = offset.saturating_sub(WAL_HEADER as u64) / (FRAME_HEADER + page_size) as u64;
    u32::try_from(frames + 1).unwrap_or(u32::MAX)
}

/// Does the block in which frame `last` ends hold some of frame `number`, and room for what comes next?
///
/// Such a block is encrypted and written again by whoever adds to the log.
pub fn is_rewritten(number: u32, last: u32, page_size: usize, block_size: usize) -> bool {
    let end = frame_at(last.saturating_add(1), page_size);
    let block = end / block_size as u64 * block_size as u64;
    number <= last && block < end && frame_at(number.saturating_add(1), page_size) > block
}

/// Frame `number` of a WAL, header and page, if it has the checksum that its header names.
pub fn whole_frame(
    file: &mut GosqliteFile,
    storage: &mut dyn Storage,
    number: u32,
    page_size: usize,
) -> Result<Option<Vec<u8>>> {
    let mut head = [0; WAL_HEADER];
    file.read(storage, &mut head, 0)?;
    if !is_log(FileKind::Wal, &head) {
        return Ok(None);
    }
    let big_endian = head[3] & 1 != 0;
    let mut before = [0; 8];
    if number <= 1 {
        before.copy_from_slice(&head[WAL_CHECKSUM..]);
    } else {
        file.read(storage, &mut before, frame_at(number - 1, page_size) + FRAME_CHECKSUM as u64)?;
    }
    let mut frame = memory::zeroed(FRAME_HEADER + page_size)?;
    let complete = file.read(storage, &mut frame, frame_at(number, page_size))?;
    let pair = |bytes: &[u8]| (word(bytes, true), word(&bytes[4..], true));
    let start = checksum(pair(&before), &frame[..FRAME_SUMMED], big_endian);
    let sum = checksum(start, &frame[FRAME_HEADER..], big_endian);
    let whole = complete && sum == pair(&frame[FRAME_CHECKSUM..FRAME_HEADER]);
    Ok(whole.then_some(frame))
}

/// Fills `buf` from `offset` of a WAL of which `last` is the last committed frame, while another connection may be
/// adding to it.
///
/// The block in which that frame ends is written again by whoever adds the next, and nothing keeps a read from seeing
/// half of such a write. So what is read of it must have the checksum that SQLite gave the frame.
pub fn read_beside_writers(
    file: &mut GosqliteFile,
    storage: &mut dyn Storage,
    buf: &mut [u8],
    offset: u64,
    last: u32,
    page_size: usize,
) -> Result<bool> {
    let number = frame_of(offset, page_size);
    let start = frame_at(number, page_size);
    let is_of_a_frame =
        offset >= start && offset + buf.len() as u64 <= frame_at(number.saturating_add(1), page_size);
    if !is_of_a_frame || !is_rewritten(number, last, page_size, file.block_size()) {
        return file.read(storage, buf, offset);
    }
    let frame = settled(|| {
        whole_frame(file, storage, number, page_size)?.ok_or_else(|| {
            Fault::new(
                FaultClass::Tampered,
                "a committed frame of the write-ahead log does not have its checksum: the log was damaged or changed",
            )
            .in_file(FileKind::Wal)
            .at_page(u64::from(number - 1))
        })
    })?;
    let within = (offset - start) as usize;
    buf.copy_from_slice(&frame[within..within + buf.len()]);
    Ok(true)
}

/// Looks at something until it is well, for as long as another process may be in the middle of writing it.
pub fn settled<T>(mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let mut looks = 1;
    loop {
        match look() {
            Err(fault)
                if looks < LOOKS && matches!(fault.class, FaultClass::WrongKey | FaultClass::Tampered) =>
            {
                looks += 1;
                thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
}

fn word(bytes: &[u8], big_endian: bool) -> u32 {
    let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
    if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

/// SQLite's checksum of a log (fileformat2, section 4.2), continued over `bytes`.
fn checksum(start: (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    bytes.chunks_exact(8).fold(start, |(first, second), pair| {
        let first = first.wrapping_add(word(pair, big_endian)).wrapping_add(second);
        (first, second.wrapping_add(word(&pair[4..], big_endian)).wrapping_add(first))
    })
}
