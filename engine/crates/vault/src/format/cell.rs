//! WAL cells: which log belongs to the database (`docs/reference/format.md`, section 2.3).

use crate::format::mac::Mac;
use crypto::kdf::equal;
use ground::bytes::{all_zero, array, put, u32_at, u64_at};

/// Where copy A is in the header region.
pub const CELL_A_OFFSET: u64 = 0x8000;
/// Where copy B is in the header region.
pub const CELL_B_OFFSET: u64 = 0x9000;
/// Bytes written for a cell. They lie within one 512-byte sector, so a cell is not torn by itself.
pub const CELL_LEN: usize = 256;
/// The part that means something: the rest of the cell's 4096 bytes is zero and not authenticated.
pub(crate) const CELL_USED: usize = MAC + 32;
/// How far copy B of any cell is behind its copy A.
pub const COPY_B_BEHIND: u64 = CELL_B_OFFSET - CELL_A_OFFSET;
/// From the beginning of copy A to the end of copy B.
pub const PAIR_LEN: usize = (CELL_B_OFFSET - CELL_A_OFFSET) as usize + CELL_LEN;

const MAGIC: &[u8; 8] = b"lumocell";
const SEQUENCE: usize = 8;
const STATE: usize = 16;
const CURRENT: usize = 24;
const PREVIOUS: usize = 40;
const SYNCED_SLOTS: usize = 56;
const RESERVED: usize = 64;
const MAC: usize = 192;

/// A cell of which two copies are kept.
pub trait Sequenced {
    /// Counts the changes.
    fn sequence(&self) -> u64;
}

/// Puts the MAC behind what is authenticated.
pub(super) fn seal(cell: &mut [u8; CELL_LEN], keys: &(impl Mac + ?Sized)) {
    let mac = keys.cell_mac(&cell[..MAC]);
    put(cell, MAC, &mac);
}

/// Does `bytes` begin with `magic`, and was it written with these very keys?
pub(super) fn sealed_by(bytes: &[u8], magic: &[u8; 8], keys: &(impl Mac + ?Sized)) -> bool {
    bytes.len() >= CELL_USED
        && bytes.starts_with(magic)
        && equal(&keys.cell_mac(&bytes[..MAC]), &array::<32>(bytes, MAC))
}

/// What the database knows about its WAL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cell {
    /// Counts the changes; the higher one of two authentic cells counts.
    pub sequence: u64,
    /// Whether a log with frames must be there.
    pub active: bool,
    /// The generation of that log; zero if there is none.
    pub current: [u8; 16],
    /// The generation before.
    pub previous: [u8; 16],
    /// So many slots of the main file were once sealed and synced, and have not been cut off since. Only in databases
    /// without a length cell, which has the count elsewhere.
    pub synced_slots: u64,
}

impl Sequenced for Cell {
    fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl Cell {
    /// The last generation there was, whether its log is still needed or not.
    pub fn latest(&self) -> [u8; 16] {
        if self.active { self.current } else { self.previous }
    }

    /// The cell as it is stored.
    pub fn encode(&self, keys: &(impl Mac + ?Sized)) -> [u8; CELL_LEN] {
        let mut out = [0; CELL_LEN];
        put(&mut out, 0, MAGIC);
        put(&mut out, SEQUENCE, &self.sequence.to_le_bytes());
        put(&mut out, STATE, &u32::from(self.active).to_le_bytes());
        if self.active {
            put(&mut out, CURRENT, &self.current);
        }
        put(&mut out, PREVIOUS, &self.previous);
        put(&mut out, SYNCED_SLOTS, &self.synced_slots.to_le_bytes());
        seal(&mut out, keys);
        out
    }

    /// The cell in `bytes`, if it is authentic and means something to this version. While the data key is being
    /// changed it may be the older one's.
    pub fn decode(bytes: &[u8], keys: &(impl Mac + ?Sized)) -> Option<Cell> {
        Cell::decode_new(bytes, keys).or_else(|| Cell::decode(bytes, keys.older()?))
    }

    /// As [`Cell::decode`], of a cell that was written with these very keys.
    pub fn decode_new(bytes: &[u8], keys: &(impl Mac + ?Sized)) -> Option<Cell> {
        if !sealed_by(bytes, MAGIC, keys) {
            return None;
        }
        let active = match u32_at(bytes, STATE) {
            0 if all_zero(&bytes[CURRENT..PREVIOUS]) => false,
            1 => true,
            _ => return None,
        };
        if !all_zero(&bytes[STATE + 4..CURRENT]) || !all_zero(&bytes[RESERVED..MAC]) {
            return None;
        }
        Some(Cell {
            sequence: u64_at(bytes, SEQUENCE),
            active,
            current: array(bytes, CURRENT),
            previous: array(bytes, PREVIOUS),
            synced_slots: u64_at(bytes, SYNCED_SLOTS),
        })
    }
}

/// The copy that counts: the authentic one that was written last. `None`: neither is authentic, the header is damaged.
pub fn choose<C: Sequenced>(a: Option<C>, b: Option<C>) -> Option<C> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.sequence() > a.sequence() { b } else { a }),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_keys::FileKeys;
    use crypto::secret::Secret;
    use crypto::suite::SuiteId;
    use proptest::prelude::*;

    fn keys() -> FileKeys {
        let data_key = Secret::from_slice(&[0x33; 32]);
        FileKeys::new([0x11; 16], [0x22; 16], SuiteId::Aegis256, data_key).unwrap()
    }

    fn cell(sequence: u64, active: bool) -> Cell {
        let current = if active { [0x44; 16] } else { [0; 16] };
        Cell { sequence, active, current, previous: [0x55; 16], synced_slots: 0 }
    }

    #[test]
    fn golden_bytes() {
        let bytes = cell(0x0102, true).encode(&keys());
        let mut expected = b"lumocell\x02\x01\0\0\0\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
        expected.extend([0x44; 16]);
        expected.extend([0x55; 16]);
        expected.resize(192, 0);
        assert_eq!(bytes[..192], expected);
        assert_eq!(ground::bytes::hex(&bytes[192..224]), GOLDEN_MAC);
        assert_eq!(bytes[224..], [0; 32]);
    }

    /// From an independent implementation of section 2.3.
    const GOLDEN_MAC: &str = "1a58e9c092e49142796aafb1cd7639f61febdf2cdca4873b00b8b503258d6168";

    #[test]
    fn every_flipped_bit_is_noticed() {
        let keys = keys();
        let bytes = cell(7, true).encode(&keys);
        assert_eq!(Cell::decode(&bytes, &keys), Some(cell(7, true)));
        for bit in 0..CELL_USED * 8 {
            let mut bent = bytes;
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Cell::decode(&bent, &keys), None, "bit {bit}");
        }
        assert_eq!(Cell::decode(&bytes[..CELL_USED - 1], &keys), None);
        assert_eq!(Cell::decode(&[0; CELL_LEN], &keys), None);
    }

    #[test]
    fn authentic_cells_of_a_later_version_are_not_understood() {
        let keys = keys();
        for (offset, value) in [(16, 2), (20, 1), (64, 1), (191, 1)] {
            let mut bytes = cell(7, true).encode(&keys);
            bytes[offset] = value;
            let mac = keys.cell_mac(&bytes[..MAC]);
            put(&mut bytes, MAC, &mac);
            assert_eq!(Cell::decode(&bytes, &keys), None, "offset {offset}");
        }
    }

    #[test]
    fn the_newer_authentic_copy_counts() {
        let (old, new) = (cell(4, false), cell(5, true));
        assert_eq!(choose(Some(new), Some(old)), Some(new));
        assert_eq!(choose(Some(old), Some(new)), Some(new));
        assert_eq!(choose(Some(old), None), Some(old));
        assert_eq!(choose(None, Some(old)), Some(old));
        assert_eq!(choose::<Cell>(None, None), None);
    }

    proptest! {
        #[test]
        fn round_trip(
            sequence: u64, active: bool, current: [u8; 16], previous: [u8; 16], synced_slots: u64
        ) {
            let current = if active { current } else { [0; 16] };
            let cell = Cell { sequence, active, current, previous, synced_slots };
            prop_assert_eq!(Cell::decode(&cell.encode(&keys()), &keys()), Some(cell));
        }
    }
}
