//! What the beginning of a log shows, and whether a frame of a WAL was read whole.

use super::GosqliteFile;
use crate::error::{FileKind, Result};
pub use crate::files::journal::SQLITE_MAGIC as JOURNAL_MAGIC;
use crate::files::memory;
use crate::files::storage::{Storage, is_zero};

/// How a WAL begins; the last bit says that its checksums are over big-endian words (wal.c, WAL_MAGIC).
const WAL_MAGIC: [u8; 4] = [0x37, 0x7f, 0x06, 0x82];
/// Length of a WAL's header in bytes, and where in it the checksum is.
const WAL_HEADER: usize = 32;
const WAL_CHECKSUM: usize = 24;
/// Length of a frame's header in bytes, how much of it is under its checksum, and where in it that is.
const FRAME_HEADER: usize = 24;
const FRAME_SUMMED: usize = 8;
const FRAME_CHECKSUM: usize = 16;
/// What `journal_mode=PERSIST` makes zero of a finished journal: its header (fileformat2, section 3).
const JOURNAL_HEADER: usize = 28;

/// What a log begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beginning {
    /// Nothing: empty, or a journal that is finished.
    Nothing,
    /// What such a log begins with, under the right key.
    Log,
    /// What such a log begins with, without encryption.
    Plaintext,
    /// Something else: torn by a crash, or not under this key.
    Unknown,
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
    Ok(match is_log(file.kind(), &head) {
        true => Beginning::Log,
        false if is_zero(&head) => Beginning::Nothing,
        false => Beginning::Unknown,
    })
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
