//! The cells of a header region, each in two copies: which copy counts (`docs/reference/format.md`, section 2.3).

use super::cell::{CELL_A_OFFSET, CELL_LEN, CELL_USED, COPY_B_BEHIND, Cell, PAIR_LEN, choose};
use super::length::{LENGTH_A_OFFSET, Length};
use crate::format::mac::Mac;

/// Where copy B begins behind copy A.
const SECOND: usize = COPY_B_BEHIND as usize;

/// Both copies of the WAL cell in what a file has at [`CELL_A_OFFSET`].
pub fn wal_copies(bytes: &[u8; PAIR_LEN], keys: &(impl Mac + ?Sized)) -> [Option<Cell>; 2] {
    [0, SECOND].map(|at| Cell::decode(&bytes[at..], keys))
}

/// Both copies of the length cell in what a file has at [`LENGTH_A_OFFSET`].
pub fn length_copies(bytes: &[u8; PAIR_LEN], keys: &(impl Mac + ?Sized)) -> [Option<Length>; 2] {
    [0, SECOND].map(|at| Length::decode(&bytes[at..], keys))
}

/// The WAL cell that counts. `None`: the header is damaged.
///
/// Where no length cell is kept, an earlier lumocrypt wrote the copies in turn, and one alone may say less than the one
/// that is damaged did.
pub fn wal_cell([a, b]: [Option<Cell>; 2], keeps_length: bool) -> Option<Cell> {
    if !keeps_length && a.is_some() != b.is_some() { None } else { choose(a, b) }
}

/// All cells of a header region that is in memory.
#[derive(Clone, Debug)]
pub struct Cells {
    /// The authentic copies of the WAL cell.
    pub wal: [Option<Cell>; 2],
    /// The authentic copies of the length cell.
    pub length: [Option<Length>; 2],
    keeps_length: bool,
}

impl Cells {
    /// The cells in `region`, a whole header region; `keeps_length` is the superblock's.
    pub fn of(region: &[u8], keys: &(impl Mac + ?Sized), keeps_length: bool) -> Cells {
        let at = |offset: u64| {
            let mut bytes = [0; PAIR_LEN];
            if let Some(found) = region.get(offset as usize..offset as usize + PAIR_LEN) {
                bytes.copy_from_slice(found);
            }
            bytes
        };
        Cells {
            wal: wal_copies(&at(CELL_A_OFFSET), keys),
            length: length_copies(&at(LENGTH_A_OFFSET), keys),
            keeps_length,
        }
    }

    /// The WAL cell that counts. `None`: the header is damaged.
    pub fn wal_cell(&self) -> Option<Cell> {
        wal_cell(self.wal, self.keeps_length)
    }

    /// What must be there of the files. `None`: the header is damaged.
    pub fn length(&self) -> Option<Length> {
        if self.keeps_length {
            return choose(self.length[0], self.length[1]);
        }
        self.wal_cell().map(Length::before)
    }

    /// What is wrong with single copies, by cell and copy; `ok` where nothing is.
    pub fn states(&self) -> [(&'static str, [&'static str; 2]); 2] {
        let copies = |sound: [bool; 2]| sound.map(|sound| if sound { "ok" } else { "damaged" });
        let length = self.length.map(|copy| copy.is_some() || !self.keeps_length);
        [("WAL cell", copies(self.wal.map(|copy| copy.is_some()))), ("length cell", copies(length))]
    }
}

impl Length {
    /// What a database without a length cell says of its length in its WAL cell.
    pub fn before(cell: Cell) -> Length {
        Length { slots: cell.synced_slots, ..Length::default() }
    }
}

/// The cells of a database that has `slots` durable slots and no log: all copies, each with its offset.
pub fn new_cells(keys: &(impl Mac + ?Sized), slots: u64) -> [(u64, [u8; CELL_LEN]); 4] {
    let (wal, length) = (Cell::default(), Length { slots, ..Length::default() });
    let (wal, length) = (wal.encode(keys), length.encode(keys));
    [
        (CELL_A_OFFSET, wal),
        (CELL_A_OFFSET + COPY_B_BEHIND, wal),
        (LENGTH_A_OFFSET, length),
        (LENGTH_A_OFFSET + COPY_B_BEHIND, length),
    ]
}

/// Where reserved space begins in the 4096 bytes at `start` of a header region, behind the superblock copies.
pub fn reserved_from(start: usize) -> usize {
    let copies = [CELL_A_OFFSET, LENGTH_A_OFFSET].map(|a| [a as usize, a as usize + SECOND]);
    start + if copies.as_flattened().contains(&start) { CELL_USED } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_keys::FileKeys;
    use crate::format::header::HEADER_LEN;
    use crypto::secret::Secret;
    use crypto::suite::SuiteId;
    use ground::bytes::put;

    fn keys() -> FileKeys {
        FileKeys::new([1; 16], [2; 16], SuiteId::Aegis256, Secret::from_slice(&[3; 32])).unwrap()
    }

    fn region(slots: u64) -> Vec<u8> {
        let mut region = vec![0; HEADER_LEN as usize];
        for (offset, bytes) in new_cells(&keys(), slots) {
            put(&mut region, offset as usize, &bytes);
        }
        region
    }

    #[test]
    fn any_one_damaged_copy_of_each_cell_is_made_up_for() {
        for (wal_at, length_at) in [(0x8000, 0xA000), (0x9000, 0xB000), (0x8000, 0xB000)] {
            let mut region = region(9);
            region[wal_at + 17] ^= 1;
            region[length_at + 16] ^= 1;
            let cells = Cells::of(&region, &keys(), true);
            assert_eq!(cells.wal_cell(), Some(Cell::default()));
            assert_eq!(cells.length().unwrap().slots, 9);
            assert_eq!(
                cells.states().iter().flat_map(|(_, copies)| copies).filter(|state| **state != "ok").count(),
                2
            );
        }
        let mut region = region(9);
        (region[0xA010], region[0xB010]) = (1, 1);
        assert_eq!(Cells::of(&region, &keys(), true).length(), None);
    }

    #[test]
    fn without_a_length_cell_one_copy_alone_is_not_believed() {
        let mut region = region(9);
        let cell = Cell { synced_slots: 4, ..Cell::default() };
        for at in [0x8000, 0x9000] {
            put(&mut region, at, &cell.encode(&keys()));
        }
        assert_eq!(Cells::of(&region, &keys(), false).length().unwrap().slots, 4);
        region[0x9000] ^= 1;
        let cells = Cells::of(&region, &keys(), false);
        assert_eq!((cells.wal_cell(), cells.length()), (None, None));
    }

    #[test]
    fn what_lies_in_no_cell_is_reserved() {
        assert_eq!([0x8000, 0x9000, 0xa000, 0xb000].map(reserved_from), [0x80e0, 0x90e0, 0xa0e0, 0xb0e0]);
        assert_eq!(reserved_from(0xc000), 0xc000);
    }
}
