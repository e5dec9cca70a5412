//! Where a block of the logical file lies in the physical one. Pure arithmetic.

use crate::format::header::HEADER_LEN;

/// Offset of the 512 bytes that SQLite locks (`PENDING_BYTE` in SQLite's `os.h`). No slot covers them:
/// on systems with mandatory locks they cannot be read or written.
pub const LOCK_PAGE_OFFSET: u64 = 1 << 30;

/// The physical offset of the first slot behind the lock bytes.
const SECOND_RUN_OFFSET: u64 = LOCK_PAGE_OFFSET + 65536;

/// SQLite's smallest page.
const SMALLEST_PAGE: u64 = 512;

/// The block size and overhead of a database, and the arithmetic that follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Plaintext bytes in a block.
    pub block_size: u32,
    /// Bytes that the suite adds to a block.
    pub overhead: u32,
}

impl Geometry {
    /// The geometry for blocks of `block_size` bytes under a suite that adds `overhead` bytes to each.
    pub fn new(block_size: u32, overhead: usize) -> Self {
        assert!(block_size > 0, "a block holds at least one byte");
        Geometry { block_size, overhead: u32::try_from(overhead).expect("an overhead is a few bytes") }
    }

    /// Physical bytes of a whole slot.
    pub fn slot_len(&self) -> usize {
        self.slot() as usize
    }

    /// Physical offset of slot `index`. Saturates where no file can reach.
    pub fn slot_offset(&self, index: u64) -> u64 {
        let before = self.slots_before_lock_page();
        if index < before {
            HEADER_LEN + index * self.slot()
        } else {
            SECOND_RUN_OFFSET.saturating_add((index - before).saturating_mul(self.slot()))
        }
    }

    /// The logical size of a file of `physical` bytes. A remainder too short to hold a sealed byte is a torn
    /// append and counts for nothing; so does what lies in the gap around the lock bytes. Without tags nothing else
    /// could tell it, and what is not as long as a page counts for nothing.
    pub fn logical_size(&self, physical: u64) -> u64 {
        let before = self.slots_before_lock_page();
        if physical < SECOND_RUN_OFFSET {
            let end_of_first_run = HEADER_LEN + before * self.slot();
            self.run_logical(physical.min(end_of_first_run).saturating_sub(HEADER_LEN))
        } else {
            before * u64::from(self.block_size) + self.run_logical(physical - SECOND_RUN_OFFSET)
        }
    }

    /// The physical size of a file of `logical` bytes: the exact end of its last slot, or the header's length
    /// when there is none.
    pub fn physical_size(&self, logical: u64) -> u64 {
        let block = u64::from(self.block_size);
        match (logical / block, logical % block) {
            (0, 0) => HEADER_LEN,
            (whole, 0) => self.slot_offset(whole - 1).saturating_add(self.slot()),
            (whole, rest) => self.slot_offset(whole).saturating_add(rest + u64::from(self.overhead)),
        }
    }

    /// How many whole slots fit between the header and the lock bytes (`n0` in the format).
    pub fn slots_before_lock_page(&self) -> u64 {
        (LOCK_PAGE_OFFSET - HEADER_LEN) / self.slot()
    }

    /// The block that holds the byte at `logical_offset`.
    pub fn block_of(&self, logical_offset: u64) -> u64 {
        logical_offset / u64::from(self.block_size)
    }

    /// How many blocks, the last of which may be partial, a file of `logical` bytes has.
    pub fn block_count(&self, logical: u64) -> u64 {
        logical.div_ceil(u64::from(self.block_size))
    }

    /// How many of the blocks of a file of `logical` bytes must be there. A length cell does not count a shorter last block
    /// without a tag: nothing would tell it from one that was cut. Before there were length cells it counted.
    pub fn counted_blocks(&self, logical: u64, keeps_length: bool) -> u64 {
        if keeps_length && self.overhead == 0 {
            logical / u64::from(self.block_size)
        } else {
            self.block_count(logical)
        }
    }

    /// The size of a file of `logical` bytes once its last block was written: without tags that is a whole one.
    pub fn written_size(&self, logical: u64) -> u64 {
        if self.overhead == 0 { logical.next_multiple_of(u64::from(self.block_size)) } else { logical }
    }

    fn slot(&self) -> u64 {
        u64::from(self.block_size) + u64::from(self.overhead)
    }

    /// Logical bytes in `physical` bytes of consecutive slots.
    fn run_logical(&self, physical: u64) -> u64 {
        let (whole, rest) = (physical / self.slot(), physical % self.slot());
        let rest = match self.overhead {
            0 => rest - rest % SMALLEST_PAGE,
            overhead => rest.saturating_sub(u64::from(overhead)),
        };
        whole * u64::from(self.block_size) + rest
    }

    /// Whether a database of `logical` bytes can be stored: without tags one of whole pages.
    pub fn takes(&self, logical: u64) -> bool {
        self.overhead > 0 || logical.is_multiple_of(SMALLEST_PAGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;

    fn geometries() -> impl Strategy<Value = Geometry> {
        (9u32..=16, prop_oneof![Just(0usize), Just(16), Just(40)])
            .prop_map(|(bits, overhead)| Geometry::new(1 << bits, overhead))
    }

    fn sizes() -> impl Strategy<Value = u64> {
        prop_oneof![
            0u64..200_000,
            GIB - 80_000_000..GIB + 200_000,
            4 * GIB - 100_000..4 * GIB + 100_000,
            0u64..1 << 47
        ]
    }

    proptest! {
        #[test]
        fn physical_size_is_inverted_by_logical_size(geometry in geometries(), logical in sizes()) {
            let logical = if geometry.takes(logical) { logical } else { logical / 512 * 512 };
            prop_assert_eq!(geometry.logical_size(geometry.physical_size(logical)), logical);
        }

        #[test]
        fn no_slot_touches_the_lock_bytes_and_slots_do_not_overlap(geometry in geometries(), offset in sizes()) {
            let index = geometry.block_of(offset);
            let start = geometry.slot_offset(index);
            let end = start + geometry.slot_len() as u64;
            prop_assert!(end <= GIB || start >= GIB + 65536);
            prop_assert!(end <= geometry.slot_offset(index + 1));
            prop_assert!(start >= HEADER_LEN);
        }

        #[test]
        fn a_shorter_file_is_never_larger_inside(geometry in geometries(), physical in sizes()) {
            let (less, more) = (geometry.logical_size(physical), geometry.logical_size(physical + 1));
            let step = if geometry.overhead == 0 { 512 } else { 1 };
            prop_assert!(less <= more && more - less <= step);
            // A cut anywhere leaves a logical size whose own end is not behind the cut.
            if less > 0 {
                prop_assert!(geometry.physical_size(less) <= physical);
            }
        }
    }

    #[test]
    fn the_numbers_of_the_default_geometry() {
        let geometry = Geometry::new(4096, 40);
        assert_eq!(geometry.slot_len(), 4136);
        assert_eq!(geometry.slots_before_lock_page(), 259_592);
        assert_eq!(geometry.slot_offset(0), 65_536);
        assert_eq!(geometry.slot_offset(1), 69_672);
        assert_eq!(geometry.slot_offset(259_591), 65_536 + 259_591 * 4136);
        assert_eq!(geometry.slot_offset(259_592), GIB + 65_536);
        assert_eq!(geometry.physical_size(0), 65_536);
        assert_eq!(geometry.physical_size(1), 65_536 + 41);
        assert_eq!(geometry.physical_size(4096), 65_536 + 4136);
        assert_eq!(geometry.block_count(4097), 2);
    }

    #[test]
    fn sizes_inside_the_lock_gap_count_the_slots_before_it() {
        for geometry in [Geometry::new(4096, 40), Geometry::new(65536, 16), Geometry::new(512, 0)] {
            let before = geometry.slots_before_lock_page();
            let full = before * u64::from(geometry.block_size);
            let end = geometry.slot_offset(before - 1) + geometry.slot_len() as u64;
            for physical in [end, end + 1, GIB, GIB + 511, GIB + 512, GIB + 65_536] {
                assert_eq!(geometry.logical_size(physical.max(end)), full, "{geometry:?} {physical}");
            }
            let overhead = u64::from(geometry.overhead);
            assert_eq!(geometry.logical_size(GIB + 65_536 + overhead), full);
            let more = u64::from(overhead > 0);
            assert_eq!(geometry.logical_size(GIB + 65_536 + overhead + 1), full + more);
        }
    }

    #[test]
    fn torn_appends_and_truncated_headers_count_for_nothing() {
        let geometry = Geometry::new(4096, 40);
        for physical in [0, 1, 65_535, 65_536, 65_537, 65_576] {
            assert_eq!(geometry.logical_size(physical), 0);
        }
        assert_eq!(geometry.logical_size(65_577), 1);
        // Without tags, what is no whole page.
        let geometry = Geometry::new(4096, 0);
        for physical in [0, 65_536, 65_537, 65_536 + 511] {
            assert_eq!(geometry.logical_size(physical), 0);
        }
        assert_eq!(geometry.logical_size(65_536 + 512), 512);
        assert_eq!(geometry.logical_size(65_536 + 4096 + 1023), 4096 + 512);
        assert!(geometry.takes(4096 + 512) && !geometry.takes(4096 + 513));
    }

    #[test]
    fn every_size_near_the_lock_bytes_round_trips() {
        for geometry in [Geometry::new(512, 40), Geometry::new(4096, 40), Geometry::new(65536, 16)] {
            let full = geometry.slots_before_lock_page() * u64::from(geometry.block_size);
            for logical in full - 70_000..full + 70_000 {
                assert_eq!(geometry.logical_size(geometry.physical_size(logical)), logical);
            }
        }
    }
}
