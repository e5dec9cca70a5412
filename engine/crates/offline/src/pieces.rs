//! A database cut into pieces that can be worked on independently.

use sqlite::format::geometry::Geometry;
use storage::LONGEST_TRANSFER;

/// Blocks whose slots lie behind each other on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The first block.
    pub first: u64,
    /// Logical offset of its first byte.
    pub start: u64,
    /// Logical bytes.
    pub plain_len: usize,
    /// Physical offset of its first slot.
    pub offset: u64,
    /// Physical bytes.
    pub sealed_len: usize,
}

/// All pieces of a database, in order.
#[derive(Clone, Debug)]
pub struct Pieces {
    geometry: Geometry,
    size: u64,
    next: u64,
}

impl Pieces {
    /// The pieces of `size` logical bytes.
    pub fn new(geometry: Geometry, size: u64) -> Self {
        Pieces { geometry, size, next: 0 }
    }

    /// The geometry that they are cut by.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The most blocks in one piece: what one call transfers. Longer pieces save nothing that can be measured, and a
    /// piece in clear and sealed should stay in the cache that is nearest to its core.
    pub fn most_blocks(&self) -> usize {
        (LONGEST_TRANSFER / self.geometry.slot_len()).max(1)
    }

    /// About how many there are left.
    pub fn left(&self) -> u64 {
        (self.geometry.block_count(self.size) - self.next).div_ceil(self.most_blocks() as u64)
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let (geometry, first) = (self.geometry, self.next);
        let slots = geometry.block_count(self.size);
        if first >= slots {
            return None;
        }
        let mut end = slots.min(first + self.most_blocks() as u64);
        // The slots before the lock bytes and those behind them do not touch.
        let before = geometry.slots_before_lock_page();
        if first < before {
            end = end.min(before);
        }
        let block_size = u64::from(geometry.block_size);
        let plain_len = ((end * block_size).min(self.size) - first * block_size) as usize;
        self.next = end;
        Some(Piece {
            first,
            start: first * block_size,
            plain_len,
            offset: geometry.slot_offset(first),
            sealed_len: plain_len + (end - first) as usize * geometry.overhead as usize,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn geometries() -> impl Strategy<Value = Geometry> {
        (9u32..=16, prop_oneof![Just(16usize), Just(40)])
            .prop_map(|(bits, overhead)| Geometry::new(1 << bits, overhead))
    }

    /// Small ones, and those that end near the lock bytes.
    fn databases() -> impl Strategy<Value = (Geometry, u64)> {
        geometries().prop_flat_map(|geometry| {
            let gap = geometry.slots_before_lock_page() * u64::from(geometry.block_size);
            (Just(geometry), prop_oneof![0u64..2_000_000, gap - 300_000..gap + 300_000])
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_block_is_in_one_piece_and_where_the_geometry_puts_it((geometry, size) in databases()) {
            let block_size = u64::from(geometry.block_size);
            let (mut at, mut next) = (0, 0);
            for piece in Pieces::new(geometry, size) {
                prop_assert_eq!((piece.first, piece.start), (next, at));
                let blocks = (piece.plain_len as u64).div_ceil(block_size);
                prop_assert!(blocks > 0 && blocks <= Pieces::new(geometry, size).most_blocks() as u64);
                let last = piece.first + blocks - 1;
                prop_assert_eq!(piece.offset, geometry.slot_offset(piece.first));
                // Nothing but its slots lies between its ends.
                let last_len = piece.plain_len as u64 - (blocks - 1) * block_size + u64::from(geometry.overhead);
                prop_assert_eq!(piece.offset + piece.sealed_len as u64, geometry.slot_offset(last) + last_len);
                (at, next) = (at + piece.plain_len as u64, next + blocks);
            }
            prop_assert_eq!((at, next), (size, geometry.block_count(size)));
        }
    }

    #[test]
    fn a_piece_is_one_transfer_and_at_least_one_block() {
        for (block_size, blocks) in [(512, 230), (4096, 30), (65536, 1)] {
            let pieces = Pieces::new(Geometry::new(block_size, 40), 1 << 24);
            assert_eq!(pieces.most_blocks(), blocks);
            assert_eq!(pieces.left(), pieces.count() as u64);
        }
    }

    #[test]
    fn beyond_four_gibibytes_nothing_wraps() {
        let mut pieces = Pieces::new(Geometry::new(4096, 40), 1 << 40);
        pieces.next = (1 << 28) - 1;
        let piece = pieces.next().unwrap();
        assert_eq!(piece.start, (1 << 40) - 4096);
        assert_eq!(piece.plain_len, 4096);
        assert_eq!(pieces.next(), None);
    }
}
