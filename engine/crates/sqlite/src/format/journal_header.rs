//! The rollback journal's preamble and the heads of its extents (`docs/reference/format.md`, section 5).

pub use super::preamble::LogPreamble;
use super::preamble::{PREAMBLE_LEN, Preamble};
use ground::bytes::{array, put, u32_at};
use ground::error::FileKind;

/// Bytes of the preamble.
pub const JOURNAL_PREAMBLE_LEN: usize = PREAMBLE_LEN;
/// Bytes in front of an extent's sealed payload.
pub const EXTENT_HEAD_LEN: usize = 24;
/// The shortest payload: a logical offset and a number of durable extents, without data.
pub const MIN_EXTENT_PAYLOAD: usize = 16;
/// The longest payload: 1 MiB of data, so that a reader's buffer is bounded.
pub const MAX_EXTENT_PAYLOAD: usize = MIN_EXTENT_PAYLOAD + (1 << 20);

const MARK: &[u8; 4] = b"LJX1";

/// What a journal begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JournalPreamble {
    /// The database's UUID.
    pub uuid: [u8; 16],
    /// The name of the data key.
    pub key_id: [u8; 16],
    /// Names this use of the journal; part of every extent's AAD.
    pub journal_id: [u8; 16],
}

impl JournalPreamble {
    /// The preamble as it is stored.
    pub fn encode(&self) -> [u8; JOURNAL_PREAMBLE_LEN] {
        Preamble {
            kind: FileKind::MainJournal,
            sequence: 0,
            uuid: self.uuid,
            key_id: self.key_id,
            id: self.journal_id,
        }
        .encode()
    }

    /// Judges the beginning of a journal.
    pub fn parse(bytes: &[u8]) -> LogPreamble<JournalPreamble> {
        Preamble::parse(bytes, FileKind::MainJournal).map(|preamble| JournalPreamble {
            uuid: preamble.uuid,
            key_id: preamble.key_id,
            journal_id: preamble.id,
        })
    }
}

/// What stands in front of an extent's sealed payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtentHead {
    /// Length of the payload before sealing.
    pub len: u32,
    /// The journal that the extent belongs to.
    pub journal_id: [u8; 16],
}

impl ExtentHead {
    /// The head as it is stored.
    pub fn encode(&self) -> [u8; EXTENT_HEAD_LEN] {
        debug_assert!((MIN_EXTENT_PAYLOAD..=MAX_EXTENT_PAYLOAD).contains(&(self.len as usize)));
        let mut out = [0; EXTENT_HEAD_LEN];
        put(&mut out, 0, MARK);
        put(&mut out, 4, &self.len.to_le_bytes());
        put(&mut out, 8, &self.journal_id);
        out
    }

    /// The head at the beginning of `bytes`, if there is one with a possible length.
    pub fn parse(bytes: &[u8]) -> Option<ExtentHead> {
        if bytes.len() < EXTENT_HEAD_LEN || !bytes.starts_with(MARK) {
            return None;
        }
        let len = u32_at(bytes, 4);
        let possible = (MIN_EXTENT_PAYLOAD..=MAX_EXTENT_PAYLOAD).contains(&(len as usize));
        possible.then(|| ExtentHead { len, journal_id: array(bytes, 8) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ground::bytes::hex;
    use proptest::prelude::*;

    /// From an independent implementation of section 5.
    const GOLDEN: &str = concat!(
        "6c756d6f63727970742d6a6e6c000d0a0100000002000000000000000000000011111111111111111111111111111111",
        "222222222222222222222222222222224444444444444444444444444444444400000000000000000000000000000000",
        "1984816d4d87f38e0b7ed79bdb3428e2fc8ea2cb357a4f6f23efce53658c543f"
    );

    #[test]
    fn golden_bytes() {
        let preamble = JournalPreamble { uuid: [0x11; 16], key_id: [0x22; 16], journal_id: [0x44; 16] };
        assert_eq!(hex(&preamble.encode()), GOLDEN);
        let head = ExtentHead { len: 0x0001_0008, journal_id: [0x44; 16] };
        assert_eq!(hex(&head.encode()), format!("4c4a583108000100{}", "44".repeat(16)));
    }

    #[test]
    fn lengths_are_bounded() {
        for (len, possible) in
            [(0, false), (15, false), (16, true), (1_048_592, true), (1_048_593, false), (u32::MAX, false)]
        {
            let mut bytes = ExtentHead { len: 16, journal_id: [1; 16] }.encode();
            bytes[4..8].copy_from_slice(&len.to_le_bytes());
            assert_eq!(ExtentHead::parse(&bytes).is_some(), possible, "{len}");
        }
        assert_eq!(ExtentHead::parse(&[0; 24]), None);
        assert_eq!(ExtentHead::parse(&ExtentHead { len: 16, journal_id: [1; 16] }.encode()[..23]), None);
    }

    proptest! {
        #[test]
        fn round_trip(uuid: [u8; 16], key_id: [u8; 16], journal_id: [u8; 16], len in 16u32..=1_048_592) {
            let preamble = JournalPreamble { uuid, key_id, journal_id };
            prop_assert_eq!(JournalPreamble::parse(&preamble.encode()), LogPreamble::Valid(preamble));
            let head = ExtentHead { len, journal_id };
            prop_assert_eq!(ExtentHead::parse(&head.encode()), Some(head));
        }
    }
}
