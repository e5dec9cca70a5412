//! What the blocks that a change of the data key is writing are headed by (`docs/reference/format.md`, section 6.1).

pub use super::preamble::LogPreamble;
use super::preamble::{PREAMBLE_LEN, Preamble};
use crypto::kdf::equal;
use ground::bytes::{array, put};
use ground::error::FileKind;
use vault::file_keys::FileKeys;

/// Where the slots begin.
pub const REDO_SLOTS_OFFSET: u64 = 4096;
/// Bytes of the header: a preamble and its MAC. They lie in one sector, so no crash leaves a half.
pub const REDO_HEADER_LEN: usize = PREAMBLE_LEN + 32;

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
    /// The header as it is stored, by who has its `keys`.
    pub fn encode(&self, keys: &FileKeys) -> [u8; REDO_HEADER_LEN] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.count.to_le_bytes());
        let (kind, sequence) = (FileKind::Redo, self.first);
        let preamble = Preamble { kind, sequence, uuid: self.uuid, key_id: self.key_id, id }.encode();
        let mut out = [0; REDO_HEADER_LEN];
        put(&mut out, 0, &preamble);
        put(&mut out, PREAMBLE_LEN, &keys.kept_mac(&preamble));
        out
    }

    /// Reads a header. Nobody has vouched for it: see [`RedoHeader::is_authentic`].
    pub fn parse(bytes: &[u8]) -> LogPreamble<RedoHeader> {
        Preamble::parse(bytes, FileKind::Redo).map(|preamble| RedoHeader {
            uuid: preamble.uuid,
            key_id: preamble.key_id,
            first: preamble.sequence,
            count: u64::from_le_bytes(*preamble.id.first_chunk().expect("16 bytes")),
        })
    }

    /// Was the header in `bytes`, which [`RedoHeader::parse`] has read, written by somebody with these keys? One of
    /// version 1 has no MAC: it decides nothing but where to look.
    pub fn is_authentic(bytes: &[u8; REDO_HEADER_LEN], keys: &FileKeys) -> bool {
        !Preamble::is_authenticated(bytes)
            || equal(&keys.kept_mac(&bytes[..PREAMBLE_LEN]), &array::<32>(bytes, PREAMBLE_LEN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::kdf::sha256;
    use crypto::secret::Secret;
    use crypto::suite::SuiteId;

    fn keys(byte: u8) -> FileKeys {
        FileKeys::new([1; 16], [2; 16], SuiteId::DEFAULT, Secret::from_slice(&[byte; 32])).unwrap()
    }

    const HEADER: RedoHeader = RedoHeader { uuid: [1; 16], key_id: [2; 16], first: 3, count: 4 };

    #[test]
    fn a_header_survives_and_another_file_is_none() {
        let mut bytes = HEADER.encode(&keys(7));
        assert_eq!(RedoHeader::parse(&bytes), LogPreamble::Valid(HEADER));
        assert!(RedoHeader::is_authentic(&bytes, &keys(7)));
        assert!(!RedoHeader::is_authentic(&bytes, &keys(8)));
        bytes[24] ^= 1;
        assert_eq!(RedoHeader::parse(&bytes), LogPreamble::Torn);
        assert_eq!(RedoHeader::parse(&[]), LogPreamble::Absent);
    }

    #[test]
    fn a_header_that_somebody_without_the_keys_has_written_is_noticed() {
        let sound = HEADER.encode(&keys(7));
        for at in 0..REDO_HEADER_LEN {
            let mut bent = sound;
            bent[at] ^= 0x10;
            let digest = sha256(&bent[..96]);
            put(&mut bent, 96, &digest);
            let taken = matches!(RedoHeader::parse(&bent), LogPreamble::Valid(_))
                && RedoHeader::is_authentic(&bent, &keys(7));
            assert!(!taken || bent == sound, "byte {at}");
        }
    }
}
