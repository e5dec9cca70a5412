//! How large the blocks of a main file under XTS are.
//!
//! Adiantum turns the first block into noise unless its size is right. XTS decrypts the first bytes whatever the size is:
//! the tweak of a place depends on its block's number and on how far into the block it is, so blocks of two sizes agree
//! as far as the first of the smaller ones reaches, and nowhere else. The page size in SQLite's header is the block size
//! as a rule. The original takes any two, so what lies further behind has to tell.

use super::SharedCipher;
use ground::error::FileKind;
use ground::memory;
use sqlite::facts::PAGE_COUNT_AT;
use storage::is_zero;
use vault::format::superblock::BLOCK_SIZES;

/// What is looked at as one.
const STRETCH: usize = 512;
/// So many equal bytes, or so many printable ones, in a row are no noise: one stretch in 2^46 has them by chance.
const EQUAL: usize = 8;
const PRINTABLE: usize = 32;
/// In larger databases, and larger pages, numbers of pages and places in them are no rare ones.
const FEW_PAGES: u32 = 1 << 12;
const SMALL_PAGE: usize = 8192;

/// All sizes in bytes that blocks can have.
pub fn sizes() -> impl Iterator<Item = usize> {
    let size = |bits: u32| 1 << bits;
    (BLOCK_SIZES.start().ilog2()..=BLOCK_SIZES.end().ilog2()).map(size)
}

/// The size of the blocks of a main file under XTS of which `encrypted` is the beginning, two of the largest blocks or all
/// of a file that is shorter. `given`, which somebody thinks it is, is tried first. `None` if nothing tells.
pub fn find(cipher: &SharedCipher, encrypted: &[u8], given: usize) -> Option<usize> {
    let tells = |size: &usize| makes_sense_behind_the_first(cipher, encrypted, *size);
    std::iter::once(given).chain(sizes()).find(tells).or_else(|| find_by_length(cipher, encrypted))
}

/// Does something behind the first of blocks of `size` bytes make sense? It does in no blocks of another size.
fn makes_sense_behind_the_first(cipher: &SharedCipher, encrypted: &[u8], size: usize) -> bool {
    let Some(first) = decrypted(cipher, encrypted, size, 0) else { return false };
    let head = Head::of(&first);
    (1..encrypted.len() / size).any(|number| {
        let start = number * size;
        decrypted(cipher, encrypted, size, number)
            .is_some_and(|block| last_sense(&head, &block, &encrypted[start..start + size], start).is_some())
    })
}

/// Where there is one block, it is longer than what makes sense in it, and the last page, which the header names, ends
/// in it.
fn find_by_length(cipher: &SharedCipher, encrypted: &[u8]) -> Option<usize> {
    let largest = sizes().filter(|size| *size <= encrypted.len()).last()?;
    let block = decrypted(cipher, encrypted, largest, 0)?;
    let head = Head::of(&block);
    let sense = last_sense(&head, &block, &encrypted[..largest], 0).unwrap_or(0);
    let content = head.page_size? * head.pages as usize;
    let mut fitting = sizes()
        .filter(|size| *size > sense && content > 0 && content.next_multiple_of(*size) == encrypted.len());
    let only = fitting.next();
    only.filter(|_| fitting.next().is_none())
}

fn decrypted(cipher: &SharedCipher, encrypted: &[u8], size: usize, number: usize) -> Option<Vec<u8>> {
    let mut block = memory::zeroed(size).ok()?;
    block.copy_from_slice(encrypted.get(number * size..(number + 1) * size)?);
    cipher.decrypt(FileKind::MainDb as u8, number as u64, &mut block);
    Some(block)
}

/// The last place in `block`, which begins at `start` of the file, that makes sense.
fn last_sense(head: &Head, block: &[u8], encrypted: &[u8], start: usize) -> Option<usize> {
    (0..block.len()).step_by(STRETCH).rev().find(|&at| {
        let stretch = &block[at..at + STRETCH];
        // A hole has no content, whatever it decrypts to.
        !is_zero(&encrypted[at..at + STRETCH])
            && (is_no_noise(stretch) || head.page_begins(stretch, start + at))
    })
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
            page_size: super::page_size(block),
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
