//! Frames of a WAL: where they are, and whether one was read whole.

use super::GosqliteFile;
use super::marks::{is_log, settled, word};
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::memory;
use sqlite::facts::{FRAME_HEADER, WAL_HEADER};
use storage::Storage;

/// Where a WAL's header has its checksum.
const WAL_CHECKSUM: usize = 24;
/// How much of a frame's header is under its checksum, and where in it that is.
const FRAME_SUMMED: usize = 8;
const FRAME_CHECKSUM: usize = 16;

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
            .at_number(u64::from(number - 1))
        })
    })?;
    let within = (offset - start) as usize;
    buf.copy_from_slice(&frame[within..within + buf.len()]);
    Ok(true)
}

/// SQLite's checksum of a log (fileformat2, section 4.2), continued over `bytes`.
fn checksum(start: (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    bytes.chunks_exact(8).fold(start, |(first, second), pair| {
        let first = first.wrapping_add(word(pair, big_endian)).wrapping_add(second);
        (first, second.wrapping_add(word(&pair[4..], big_endian)).wrapping_add(first))
    })
}
