//! What the blocks that a change of the data key is writing are headed by (`docs/format.md`, section 6).

pub use super::preamble::LogPreamble;
use super::preamble::{PREAMBLE_LEN, Preamble};
use crate::error::FileKind;

/// Where the slots begin.
pub const REDO_SLOTS_OFFSET: u64 = 4096;
/// Bytes of the header.
pub const REDO_HEADER_LEN: usize = PREAMBLE_LEN;

/// The header: which slots follow, and whose they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RedoHeader {
    /// The database's UUID.
    pub uuid: [u8; 16],
    /// The name of the new data key, which the slots are under.
    pub key_id: [u8; 16],
    /// The first slot.
    pub first: u64,
    /// How many follow each other; the last may be shorter than a slot.
    pub count: u64,
}

impl RedoHeader {
    /// The header as it is stored.
    pub fn encode(&self) -> [u8; REDO_HEADER_LEN] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.count.to_le_bytes());
        let (kind, sequence) = (FileKind::Redo, self.first);
        Preamble { kind, sequence, uuid: self.uuid, key_id: self.key_id, id }.encode()
    }

    /// Reads a header.
    pub fn parse(bytes: &[u8]) -> LogPreamble<RedoHeader> {
        Preamble::parse(bytes, FileKind::Redo).map(|preamble| RedoHeader {
            uuid: preamble.uuid,
            key_id: preamble.key_id,
            first: preamble.sequence,
            count: u64::from_le_bytes(*preamble.id.first_chunk().expect("16 bytes")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_and_another_file_is_none() {
        let header = RedoHeader { uuid: [1; 16], key_id: [2; 16], first: 3, count: 4 };
        let mut bytes = header.encode();
        assert_eq!(RedoHeader::parse(&bytes), LogPreamble::Valid(header));
        bytes[24] ^= 1;
        assert_eq!(RedoHeader::parse(&bytes), LogPreamble::Torn);
        assert_eq!(RedoHeader::parse(&[]), LogPreamble::Absent);
    }
}
