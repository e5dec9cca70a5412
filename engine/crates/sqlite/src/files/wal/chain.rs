//! SQLite's own verdict on the frames of a log: salts, and checksums that each go on from the one before (wal.c,
//! walDecodeFrame).
//!
//! A frame that authenticates is one that this database wrote here, in this generation. Whether it counts is another
//! matter: frames of transactions that were rolled back, or killed halfway, authenticate as well.

use super::{FRAME_HEADER, SQLITE_HEADER};

/// The magic of a log whose checksums are over big-endian words; the other is one less (wal.c, WAL_MAGIC).
const BIG_ENDIAN_MAGIC: [u8; 4] = 0x377f_0683_u32.to_be_bytes();

/// What the next frame has to go on from, as far as that is known.
pub struct Chain {
    sum: Option<Sum>,
    salts: Option<[u8; 8]>,
    big_endian: Option<bool>,
}

type Sum = (u32, u32);

impl Chain {
    /// The chain that begins with SQLite's header of the log.
    pub fn of(header: &[u8; SQLITE_HEADER]) -> Chain {
        Chain {
            sum: Some(stored(header, 24)),
            salts: header[16..24].try_into().ok(),
            big_endian: Some(header[..4] == BIG_ENDIAN_MAGIC),
        }
    }

    /// The chain of a log whose header is lost: what the first frame says of itself is believed.
    pub fn unknown() -> Chain {
        Chain { sum: None, salts: None, big_endian: None }
    }

    /// A frame cannot be read. What the one behind it says of itself is believed, but for its salts.
    pub fn skip(&mut self) {
        self.sum = None;
    }

    /// Does this frame, header and page, go on from the last one? If not, the log ends in front of it.
    pub fn takes(&mut self, frame: &[u8]) -> bool {
        let (head, page) = frame.split_at(FRAME_HEADER);
        let salts: [u8; 8] = head[8..16].try_into().unwrap_or_default();
        if head[..4] == [0; 4] || *self.salts.get_or_insert(salts) != salts {
            return false;
        }
        let own = stored(head, 16);
        if let Some(sum) = self.sum {
            let order = [false, true]
                .into_iter()
                .filter(|order| self.big_endian.is_none_or(|known| known == *order))
                .find(|order| checksum([&head[..8], page], sum, *order) == own);
            if order.is_none() {
                return false;
            }
            self.big_endian = order;
        }
        self.sum = Some(own);
        true
    }
}

fn stored(bytes: &[u8], at: usize) -> Sum {
    let word = |at: usize| bytes.get(at..at + 4).map_or([0; 4], |word| word.try_into().unwrap_or_default());
    (u32::from_be_bytes(word(at)), u32::from_be_bytes(word(at + 4)))
}

/// As wal.c's walChecksumBytes.
fn checksum(parts: [&[u8]; 2], start: Sum, big_endian: bool) -> Sum {
    let word = |bytes: &[u8]| {
        let bytes = bytes.try_into().unwrap_or_default();
        if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    };
    parts.iter().flat_map(|part| part.chunks_exact(8)).fold(start, |(first, second), pair| {
        let first = first.wrapping_add(word(&pair[..4])).wrapping_add(second);
        (first, second.wrapping_add(word(&pair[4..])).wrapping_add(first))
    })
}

/// A frame of page `number` that goes on from `sum`, for tests.
#[cfg(test)]
pub fn frame(number: u32, commit: u32, salts: [u8; 8], page: &[u8], sum: Sum) -> (Vec<u8>, Sum) {
    let mut frame = [number.to_be_bytes(), commit.to_be_bytes()].concat();
    let sum = checksum([&frame, page], sum, false);
    frame.extend_from_slice(&salts);
    frame.extend_from_slice(&sum.0.to_be_bytes());
    frame.extend_from_slice(&sum.1.to_be_bytes());
    frame.extend_from_slice(page);
    (frame, sum)
}
