//! The pages of a database whose content means nothing: SQLite's list of free pages (sqlite.org/fileformat2.html,
//! section 1.5), and what lies behind the last page that the database counts.

use crate::facts::{self, HEADER_LEN, MAGIC, word};
use ground::error::Result;
use ground::memory;

/// Where the header has the first trunk page of the list, and the number of free pages.
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
        let Some(page_size) = facts::page_size_in(&header) else { return Ok(None) };
        free.page_size = u64::from(page_size);
        if let Some(pages) = facts::page_count(&header).filter(|pages| *pages > 0) {
            free.pages = pages;
        }
        let mut page = memory::zeroed(free.page_size as usize)?;
        // There are no more free pages than pages, whatever the header says: a list may lead in circles.
        let most = u32::try_from(size / free.page_size).unwrap_or(u32::MAX);
        let (mut trunk, mut left) = (word(&header, FIRST_TRUNK_AT), word(&header, FREE_PAGES_AT).min(most));
        while trunk != 0 && left > 0 && read(&mut page, u64::from(trunk - 1) * free.page_size)? {
            left -= 1;
            let room = page.len() / 4 - TRUNK_HEAD / 4;
            let count = (word(&page, 4).min(left) as usize).min(room);
            left -= count as u32;
            memory::reserve(&mut free.leaves, count)?;
            let leaves = page[TRUNK_HEAD..].chunks_exact(4).take(count).map(|leaf| word(leaf, 0));
            free.leaves.extend(leaves.filter(|leaf| *leaf > 1));
            trunk = word(&page, 0);
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
