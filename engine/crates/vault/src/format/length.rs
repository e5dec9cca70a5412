//! The length cell: how long the database is, as far as that is known to be durable (`docs/reference/format.md`, 2.3).
//!
//! A WAL cell is written by whoever writes to the log, a length cell by whoever writes to the main file. In WAL mode those
//! are two, at the same time, so each has a cell of its own.

use super::cell::{CELL_LEN, CELL_USED, Sequenced, seal, sealed_by};
use crate::format::mac::Mac;
use ground::bytes::{all_zero, array, put, u64_at};

/// Where copy A is in the header region.
pub const LENGTH_A_OFFSET: u64 = 0xA000;
/// Where copy B is in the header region.
pub const LENGTH_B_OFFSET: u64 = 0xB000;

const MAGIC: &[u8; 8] = b"lumolong";
const SEQUENCE: usize = 8;
const SLOTS: usize = 16;
const GENERATION: usize = 24;
const FRAMES: usize = 40;
const RESERVED: usize = 48;
const MAC: usize = CELL_USED - 32;

/// What must be there of the main file, and of its log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Length {
    /// Counts the changes; the higher one of two authentic cells counts.
    pub sequence: u64,
    /// So many slots of the main file are sealed and durable, and have not been cut off since.
    pub slots: u64,
    /// The WAL generation that the next field is about.
    pub generation: [u8; 16],
    /// So many frames of that generation were in the log, whole transactions and as durable as the log ever was, when a
    /// checkpoint began to copy them. Without them the main file would hold half a transaction.
    pub frames: u64,
}

impl Length {
    /// The cell as it is stored.
    pub fn encode(&self, keys: &(impl Mac + ?Sized)) -> [u8; CELL_LEN] {
        let mut out = [0; CELL_LEN];
        put(&mut out, 0, MAGIC);
        put(&mut out, SEQUENCE, &self.sequence.to_le_bytes());
        put(&mut out, SLOTS, &self.slots.to_le_bytes());
        put(&mut out, GENERATION, &self.generation);
        put(&mut out, FRAMES, &self.frames.to_le_bytes());
        seal(&mut out, keys);
        out
    }

    /// The cell in `bytes`, if it is authentic and means something to this version. While the data key is being
    /// changed it may be the older one's.
    pub fn decode(bytes: &[u8], keys: &(impl Mac + ?Sized)) -> Option<Length> {
        Length::decode_new(bytes, keys).or_else(|| Length::decode(bytes, keys.older()?))
    }

    /// As [`Length::decode`], of a cell that was written with these very keys.
    pub fn decode_new(bytes: &[u8], keys: &(impl Mac + ?Sized)) -> Option<Length> {
        (sealed_by(bytes, MAGIC, keys) && all_zero(&bytes[RESERVED..MAC])).then(|| Length {
            sequence: u64_at(bytes, SEQUENCE),
            slots: u64_at(bytes, SLOTS),
            generation: array(bytes, GENERATION),
            frames: u64_at(bytes, FRAMES),
        })
    }

    /// The frames that the log of `generation` must have.
    pub fn frames_of(&self, generation: &[u8; 16]) -> u64 {
        if self.generation == *generation { self.frames } else { 0 }
    }

    /// The slots that must be there while the log of `generation` counts, which began when `main_slots` were. The log cannot
    /// know of slots that were cut off since; this cell does, from the first checkpoint of that generation on.
    pub fn slots_under(&self, generation: &[u8; 16], main_slots: u64) -> u64 {
        if self.generation == *generation { self.slots } else { self.slots.max(main_slots) }
    }
}

/// Does a length cell in `region`, the beginning of a file, count slots? Without a key that proves nothing, but a creation that
/// was interrupted leaves none, so it keeps a header whose beginning was erased from being taken for that.
pub fn counts_slots(region: &[u8]) -> bool {
    [LENGTH_A_OFFSET, LENGTH_B_OFFSET].into_iter().any(|offset| {
        region
            .get(offset as usize..offset as usize + CELL_LEN)
            .is_some_and(|cell| cell.starts_with(MAGIC) && u64_at(cell, SLOTS) > 0)
    })
}

impl Sequenced for Length {
    fn sequence(&self) -> u64 {
        self.sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_keys::FileKeys;
    use crate::format::cell::Cell;
    use crypto::secret::Secret;
    use crypto::suite::SuiteId;
    use proptest::prelude::*;

    fn keys() -> FileKeys {
        let data_key = Secret::from_slice(&[0x33; 32]);
        FileKeys::new([0x11; 16], [0x22; 16], SuiteId::Aegis256, data_key).unwrap()
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let keys = keys();
        let length = Length { sequence: 7, slots: 8, generation: [9; 16], frames: 10 };
        let bytes = length.encode(&keys);
        assert_eq!(Length::decode(&bytes, &keys), Some(length));
        for bit in 0..CELL_USED * 8 {
            let mut bent = bytes;
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Length::decode(&bent, &keys), None, "bit {bit}");
        }
        assert_eq!(Length::decode(&bytes[..CELL_USED - 1], &keys), None);
        assert_eq!(Length::decode(&[0; CELL_LEN], &keys), None);
    }

    #[test]
    fn a_wal_cell_is_no_length_cell_and_the_reverse() {
        let keys = keys();
        assert_eq!(Cell::decode(&Length::default().encode(&keys), &keys), None);
        assert_eq!(Length::decode(&Cell::default().encode(&keys), &keys), None);
    }

    #[test]
    fn authentic_cells_of_a_later_version_are_not_understood() {
        let keys = keys();
        for offset in [RESERVED, MAC - 1] {
            let mut bytes = Length::default().encode(&keys);
            bytes[offset] = 1;
            seal(&mut bytes, &keys);
            assert_eq!(Length::decode(&bytes, &keys), None, "offset {offset}");
        }
    }

    #[test]
    fn a_log_that_this_cell_does_not_name_yet_counts_with_what_it_says_itself() {
        let length = Length { sequence: 1, slots: 5, generation: [1; 16], frames: 3 };
        assert_eq!((length.frames_of(&[1; 16]), length.frames_of(&[2; 16])), (3, 0));
        assert_eq!((length.slots_under(&[1; 16], 9), length.slots_under(&[2; 16], 9)), (5, 9));
    }

    proptest! {
        #[test]
        fn round_trip(sequence: u64, slots: u64, generation: [u8; 16], frames: u64) {
            let length = Length { sequence, slots, generation, frames };
            prop_assert_eq!(Length::decode(&length.encode(&keys()), &keys()), Some(length));
        }
    }
}
