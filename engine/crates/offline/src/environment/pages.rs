//! Pages out of the file, and which of them are in use.

use ground::error::Result;
use ground::memory;
use lmdb::cipher::PageOpener;
use storage::Storage;
use vault::header::HEADER_LEN;

use super::node::{Extent, PAGE_HEADER, Page, heads_extent, u64_at};

/// Why a page does not count.
pub(super) type Bad = &'static str;

const UNAUTHENTIC: Bad = "it does not authenticate: it is damaged, or was changed";
const ENDS: Bad = "the file ends before it: its end was cut off";
const ELSEWHERE: Bad = "it is authentic and belongs to another place";
const NEWER: Bad = "it is newer than what leads to it: one of the two was put back or written over";
const CONTRADICTS: Bad = "it authenticates, and its content makes no sense";
const OLD_VALUE: Bad =
    "it is authentic, and not the value that its entry means: it was put back or written over";

/// The pages of one file.
pub(super) struct Pages<'a> {
    pub file: &'a mut dyn Storage,
    pub opener: &'a PageOpener,
    pub page_size: u64,
    /// Whole pages in the file.
    pub count: u64,
}

impl Pages<'_> {
    /// Page `number` as LMDB would see it. `newest` is the transaction that nothing in it may be newer than.
    pub fn tree_page(&mut self, number: u64, newest: u64) -> Result<std::result::Result<Page, Bad>> {
        let clear = match self.open(number, 1)? {
            Ok(clear) => clear,
            Err(bad) => return Ok(Err(bad)),
        };
        let Some(page) = Page::parse(clear) else { return Ok(Err(CONTRADICTS)) };
        Ok(match (page.number(), page.txn()) {
            (Some(found), _) if found != number => Err(ELSEWHERE),
            (_, Some(txn)) if txn > newest => Err(NEWER),
            _ => Ok(page),
        })
    }

    /// The value that lies in pages of its own.
    pub fn value(&mut self, extent: &Extent) -> Result<std::result::Result<Vec<u8>, Bad>> {
        let needed = PAGE_HEADER as u64 + u64::from(extent.len) + self.opener.overhead() as u64;
        if needed > extent.pages.saturating_mul(self.page_size) {
            return Ok(Err(CONTRADICTS));
        }
        let mut clear = match self.open(extent.first, extent.pages)? {
            Ok(clear) => clear,
            Err(bad) => return Ok(Err(bad)),
        };
        if u64_at(&clear, 0) != Some(extent.first) {
            return Ok(Err(ELSEWHERE));
        }
        if !heads_extent(&clear, extent.pages) || u64_at(&clear, 8) != Some(extent.txn) {
            return Ok(Err(OLD_VALUE));
        }
        clear.drain(..PAGE_HEADER);
        clear.truncate(extent.len as usize);
        Ok(Ok(clear))
    }

    /// The transaction of page `number`, if it is authentic, in its place, and newer than `txn`.
    pub fn newer(&mut self, number: u64, txn: u64) -> Result<Option<u64>> {
        let mut head = [0; 16];
        self.file.read(&mut head, self.offset(number))?;
        let Some(found) = u64_at(&head, 8).filter(|found| *found > txn && u64_at(&head, 0) == Some(number))
        else {
            return Ok(None);
        };
        Ok(self.open(number, 1)?.is_ok().then_some(found))
    }

    fn offset(&self, number: u64) -> u64 {
        HEADER_LEN + number * self.page_size
    }

    /// What is LMDB's of so many pages from `number` on.
    fn open(&mut self, number: u64, pages: u64) -> Result<std::result::Result<Vec<u8>, Bad>> {
        // Nothing is allocated for what the file does not have.
        if number.checked_add(pages).is_none_or(|end| end > self.count) {
            return Ok(Err(ENDS));
        }
        let len = (pages * self.page_size) as usize;
        let (mut stored, mut clear) = (memory::zeroed(len)?, memory::zeroed(len)?);
        self.file.read(&mut stored, self.offset(number))?;
        if !self.opener.open(&stored, &mut clear) {
            return Ok(Err(UNAUTHENTIC));
        }
        clear.truncate(len - self.opener.overhead());
        Ok(Ok(clear))
    }
}

/// One bit for each page of the file.
pub(super) struct Marks(Vec<u8>);

impl Marks {
    /// Errors: no memory.
    pub fn new(count: u64) -> Result<Marks> {
        memory::zeroed(count.div_ceil(8) as usize).map(Marks)
    }

    pub fn has(&self, number: u64) -> bool {
        self.0.get((number / 8) as usize).is_some_and(|byte| byte & 1 << (number % 8) != 0)
    }

    /// Marks it; false if it was marked already. What the file does not have is never marked.
    pub fn add(&mut self, number: u64) -> bool {
        let had = self.has(number);
        if let Some(byte) = self.0.get_mut((number / 8) as usize) {
            *byte |= 1 << (number % 8);
        }
        !had
    }
}
