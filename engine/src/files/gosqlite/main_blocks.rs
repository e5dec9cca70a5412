//! How large the blocks of a main file under XTS are.
//!
//! Adiantum turns the first block into noise unless its size is right. XTS decrypts the first bytes whatever the size is:
//! the tweak of a place depends on its block's number and on how far into the block it is, so blocks of two sizes agree
//! as far as the first of the smaller ones reaches, and nowhere else. The page size in SQLite's header is the block size
//! as a rule. The original takes any two, so what lies further behind has to tell.

use super::{BLOCK_SIZES, SharedCipher, header};
use crate::error::FileKind;
use crate::files::memory;
use crate::files::storage::is_zero;

/// What is looked at as one.
const STRETCH: usize = 512;
/// So many equal bytes, or so many printable ones, in a row are no noise: one stretch in 2^46 has them by chance.
const EQUAL: usize = 8;
const PRINTABLE: usize = 32;
/// Where SQLite's header has the number of pages (fileformat2, section 1.3).
const PAGE_COUNT_AT: usize = 28;
/// In larger databases, and larger pages, numbers of pages and places in them are no rare ones.
const FEW_PAGES: u32 = 1 << 12;
const SMALL_PAGE: usize = 8192;

/// All sizes that blocks can have.
pub fn sizes() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(*BLOCK_SIZES.start()), |size| Some(size * 2))
        .take_while(|size| BLOCK_SIZES.contains(size))
}

/// Does `encrypted`, the beginning of a main file under XTS, make sense in blocks of `block_size` bytes where it makes
/// none in blocks of any other size? `false` is no proof of the contrary.
pub fn is_proven(cipher: &SharedCipher, encrypted: &[u8], block_size: usize) -> bool {
    let blocks = encrypted.len() / block_size;
    // Larger blocks agree up to here, smaller ones end before; in the only block there is, no larger one has room.
    let first = if blocks == 1 { block_size / 2 } else { block_size };
    let Ok(mut block) = memory::zeroed(block_size) else { return false };
    let mut head = None;
    for number in 0..blocks {
        let start = number * block_size;
        block.copy_from_slice(&encrypted[start..start + block_size]);
        cipher.decrypt(FileKind::MainDb as u8, number as u64, &mut block);
        let head = head.get_or_insert_with(|| Head::of(&block));
        for at in (0..block_size).step_by(STRETCH) {
            let place = start + at;
            // A hole has no content, whatever it decrypts to.
            if place < first.max(STRETCH) || is_zero(&encrypted[place..place + STRETCH]) {
                continue;
            }
            let stretch = &block[at..at + STRETCH];
            if is_no_noise(stretch) || head.page_begins(stretch, place) {
                return true;
            }
        }
    }
    false
}

/// What the header of the database says.
struct Head {
    page_size: Option<usize>,
    pages: u32,
}

impl Head {
    fn of(block: &[u8]) -> Head {
        let count = &block[PAGE_COUNT_AT..PAGE_COUNT_AT + 4];
        Head {
            page_size: header::page_size(block),
            pages: u32::from_be_bytes([count[0], count[1], count[2], count[3]]),
        }
    }

    /// Does `stretch`, which is at `place`, begin like a page? As a page of a b-tree or of an overflow chain
    /// (fileformat2, sections 1.6 and 1.7).
    fn page_begins(&self, stretch: &[u8], place: usize) -> bool {
        let Some(size) = self.page_size.filter(|size| place.is_multiple_of(*size)) else { return false };
        let next = u32::from_be_bytes([stretch[0], stretch[1], stretch[2], stretch[3]]);
        if self.pages < FEW_PAGES && next <= self.pages {
            return true;
        }
        let word = |at: usize| usize::from(u16::from_be_bytes([stretch[at], stretch[at + 1]]));
        let (free, cells, content, fragments) = (word(1), word(3), word(5), stretch[7]);
        let end_of_cells = 12 + 2 * cells;
        size <= SMALL_PAGE
            && matches!(stretch[0], 2 | 5 | 10 | 13)
            && (free == 0 || (content..size).contains(&free))
            && (end_of_cells - 4..=size).contains(&content)
            && fragments <= 60
    }
}

/// Has `stretch` what random bytes do not have?
fn is_no_noise(stretch: &[u8]) -> bool {
    let (mut equal, mut printable, mut before) = (0, 0, None);
    for &byte in stretch {
        equal = if before == Some(byte) { equal + 1 } else { 1 };
        printable = if matches!(byte, b' '..=b'~') { printable + 1 } else { 0 };
        if equal == EQUAL || printable == PRINTABLE {
            return true;
        }
        before = Some(byte);
    }
    false
}

#[cfg(test)]
mod tests;
