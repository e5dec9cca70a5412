//! The pages of a database whose content means nothing: SQLite's list of free pages (sqlite.org/fileformat2.html,
//! section 1.5), and what lies behind the last page that the database counts.

use crate::facts::MAGIC;
use ground::error::Result;
use ground::memory;

/// The database header: its length, and where it names the page size, the number of pages (which counts if the
/// change counter equals the one that it was written with), the first trunk page of the list and the number of free
/// pages.
const HEADER_LEN: usize = 100;
const PAGE_SIZE_AT: usize = 16;
const CHANGE_COUNTER_AT: usize = 24;
const PAGES_AT: usize = 28;
const VALID_FOR_AT: usize = 92;
const FIRST_TRUNK_AT: usize = 32;
const FREE_PAGES_AT: usize = 36;
/// A trunk page begins with the number of the next one and the number of its leaves.
const TRUNK_HEAD: usize = 8;

/// The pages whose content means nothing.
pub struct FreePages {
    /// SQLite's page size in bytes.
    pub page_size: u64,
    /// Number of pages of the database. The file may be longer, after a crash before it was cut.
    pub pages: u32,
    /// Numbers of the leaves of the free list, counted from 1, in order. Trunk pages are not among them: those
    /// have content.
    pub leaves: Vec<u32>,
}

impl FreePages {
    /// Walks the list of a database of `size` bytes. `read(buf, offset)` fills `buf` from the logical file, or says that it ends before.
    ///
    /// `None`: there is no database yet. A list that makes no sense is taken as far as it does.
    ///
    /// Errors: those of `read`, and no memory.
    pub fn read(
        size: u64,
        mut read: impl FnMut(&mut [u8], u64) -> Result<bool>,
    ) -> Result<Option<FreePages>> {
        let mut header = [0u8; HEADER_LEN];
        let mut free = FreePages { page_size: 0, pages: u32::MAX, leaves: Vec::new() };
        if !read(&mut header, 0)? || !header.starts_with(MAGIC) {
            return Ok(None);
        }
        free.page_size = match u16::from_be_bytes([header[PAGE_SIZE_AT], header[PAGE_SIZE_AT + 1]]) {
            1 => 65536,
            size if size >= 512 && size.is_power_of_two() => u64::from(size),
            _ => return Ok(None),
        };
        if number(&header, CHANGE_COUNTER_AT) == number(&header, VALID_FOR_AT)
            && number(&header, PAGES_AT) > 0
        {
            free.pages = number(&header, PAGES_AT);
        }
        let mut page = memory::zeroed(free.page_size as usize)?;
        // There are no more free pages than pages, whatever the header says: a list may lead in circles.
        let most = u32::try_from(size / free.page_size).unwrap_or(u32::MAX);
        let (mut trunk, mut left) =
            (number(&header, FIRST_TRUNK_AT), number(&header, FREE_PAGES_AT).min(most));
        while trunk != 0 && left > 0 && read(&mut page, u64::from(trunk - 1) * free.page_size)? {
            left -= 1;
            let room = page.len() / 4 - TRUNK_HEAD / 4;
            let count = (number(&page, 4).min(left) as usize).min(room);
            left -= count as u32;
            memory::reserve(&mut free.leaves, count)?;
            let leaves = page[TRUNK_HEAD..].chunks_exact(4).take(count).map(|leaf| number(leaf, 0));
            free.leaves.extend(leaves.filter(|leaf| *leaf > 1));
            trunk = number(&page, 0);
        }
        free.leaves.sort_unstable();
        free.leaves.dedup();
        Ok(Some(free))
    }

    /// Do all pages in the bytes `from` to `to`, exclusive, mean nothing?
    pub fn cover(&self, from: u64, to: u64) -> bool {
        let end = to.div_ceil(self.page_size).min(u64::from(self.pages)) + 1;
        let pages = from / self.page_size + 1..end;
        if pages.is_empty() {
            return true;
        }
        let first = self.leaves.partition_point(|leaf| u64::from(*leaf) < pages.start);
        // In order and without doubles: equally many, ending in the last, are all of them.
        let last = first + (pages.end - pages.start) as usize - 1;
        self.leaves.get(first).is_some_and(|leaf| u64::from(*leaf) == pages.start)
            && self.leaves.get(last).is_some_and(|leaf| u64::from(*leaf) == pages.end - 1)
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
