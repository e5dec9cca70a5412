//! What the write transaction under way has put into the log.

use super::FRAME_HEADER;
use ground::error::Result;
use ground::memory;

/// Frame headers kept at most: 1.5 MiB. Those of later frames are read back where they are needed.
const KEPT: u64 = 65_536;

/// Frames `first` to `end`, exclusive, and the headers of the first of them. SQLite writes a page that it spilled twice
/// in place, without its header, and the two are one slot.
#[derive(Default)]
pub struct Transaction {
    first: u64,
    end: u64,
    headers: Vec<[u8; FRAME_HEADER]>,
}

impl Transaction {
    /// Did this transaction write frame `index`?
    pub fn contains(&self, index: u64) -> bool {
        (self.first..self.end).contains(&index)
    }

    /// Frame `index` was written.
    ///
    /// Errors: no memory.
    pub fn add(&mut self, index: u64, header: [u8; FRAME_HEADER]) -> Result<()> {
        if self.contains(index) {
            self.set_header(index, header);
            return Ok(());
        }
        if index != self.end || self.first == self.end {
            self.clear();
            (self.first, self.end) = (index, index);
        }
        if index - self.first < KEPT {
            memory::reserve(&mut self.headers, 1)?;
            self.headers.push(header);
        }
        self.end = index + 1;
        Ok(())
    }

    /// The header of frame `index`, if it is kept.
    pub fn header(&self, index: u64) -> Option<&[u8; FRAME_HEADER]> {
        let place = index.checked_sub(self.first)?;
        self.headers.get(usize::try_from(place).ok()?)
    }

    /// The header of frame `index` was written anew.
    pub fn set_header(&mut self, index: u64, header: [u8; FRAME_HEADER]) {
        if let Some(kept) =
            index.checked_sub(self.first).and_then(|place| self.headers.get_mut(place as usize))
        {
            *kept = header;
        }
    }

    /// It has ended.
    pub fn clear(&mut self) {
        (self.first, self.end) = (0, 0);
        self.headers.clear();
        // A large transaction's memory is not worth keeping.
        self.headers.shrink_to(1024);
    }
}
