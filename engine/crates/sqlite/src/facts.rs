//! What SQLite's files are like, in one place: nothing of this is decided here.
//!
//! Sections are those of <https://sqlite.org/fileformat2.html>.

pub use ground::error::DATABASE_MAGIC as MAGIC;
use vault::format::superblock::is_block_size;

/// Length of a database's header (section 1.3). `sqlite3_open` reads as much, without a lock, to guess the page size.
pub const HEADER_LEN: usize = 100;
/// Where the header has the page size: two bytes, big-endian (section 1.3.2).
pub const PAGE_SIZE_AT: usize = 16;
/// Where it has the change counter.
pub const CHANGE_COUNTER_AT: usize = 24;
/// Where it has the number of pages.
pub const PAGE_COUNT_AT: usize = 28;
/// Where it has the change counter of when the number of pages was written.
pub const VALID_FOR_AT: usize = 92;

/// How a rollback journal begins (section 3; pager.c, aJournalMagic), and what a super-journal's name ends in.
pub const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
/// The part of a journal's header that means something (pager.c, writeJournalHdr).
pub const JOURNAL_HEADER: usize = 28;

/// How a WAL begins, for either order of the words in its checksums (section 4.1).
pub const WAL_MAGICS: [[u8; 4]; 2] = [[0x37, 0x7f, 0x06, 0x82], [0x37, 0x7f, 0x06, 0x83]];
/// Length of a WAL's header (wal.c, WAL_HDRSIZE).
pub const WAL_HEADER: usize = 32;
/// Length of a frame's header (wal.c, WAL_FRAME_HDRSIZE).
pub const FRAME_HEADER: usize = 24;

/// The page size that two bytes of a file say: 1 stands for 65536 (section 1.3.2).
pub fn page_size(stored: u16) -> u32 {
    if stored == 1 { 65536 } else { u32::from(stored) }
}

/// The page size in a database's header, of which there are [`PAGE_COUNT_AT`] bytes at least. `None`: pages cannot have it.
pub fn page_size_in(header: &[u8]) -> Option<u32> {
    let size = page_size(u16::from_be_bytes([header[PAGE_SIZE_AT], header[PAGE_SIZE_AT + 1]]));
    is_page_size(size).then_some(size)
}

/// Whether pages can have this size in bytes. Blocks have the sizes of pages, all of them and no other.
pub fn is_page_size(size: u32) -> bool {
    is_block_size(size)
}

/// The four bytes at `at` of a database, which are big-endian.
pub fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The number of pages in a database's header, of which there are 96 bytes at least; `None` where it was not kept: an old
/// SQLite wrote the file after it.
pub fn page_count(header: &[u8]) -> Option<u32> {
    (word(header, CHANGE_COUNTER_AT) == word(header, VALID_FOR_AT)).then(|| word(header, PAGE_COUNT_AT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_how_long_its_pages_are_and_how_many() {
        let mut header = [0; HEADER_LEN];
        for (stored, size) in
            [(512, Some(512)), (32768, Some(32768)), (1, Some(65536)), (0, None), (256, None), (513, None)]
        {
            header[PAGE_SIZE_AT..][..2].copy_from_slice(&u16::to_be_bytes(stored));
            assert_eq!(page_size_in(&header), size, "{stored}");
        }
        header[PAGE_COUNT_AT + 3] = 7;
        assert_eq!(page_count(&header), Some(7));
        header[VALID_FOR_AT] = 1;
        assert_eq!(page_count(&header), None);
    }
}
