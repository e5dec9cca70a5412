//! The clear, checksummed preamble that logs start with (`docs/reference/format.md`, sections 3 to 5): enough to tell
//! a log of this database from a plaintext one, a foreign one, one under another key, and a torn one.

use crate::facts;
use crypto::kdf::sha256;
use ground::bytes::{all_zero, array, put, u32_at, u64_at};
use ground::error::FileKind;

/// Bytes of a preamble with its digest.
pub const PREAMBLE_LEN: usize = 128;
/// The version of logs that this module reads and writes.
pub const VERSION: u32 = 1;
/// The version of the file of a change of the data key that it writes. It reads the one before, too.
const REDO_VERSION: u32 = 2;

const WAL_MAGIC: &[u8; 16] = b"lumocrypt-wal\x00\x0d\x0a";
const REDO_MAGIC: &[u8; 16] = b"lumocrypt-rky\x00\x0d\x0a";
const JOURNAL_MAGIC: &[u8; 16] = b"lumocrypt-jnl\x00\x0d\x0a";

// Offsets. Magic, version and digest keep theirs in every version.
const VERSION_AT: usize = 16;
const KIND: usize = 20;
const SEQUENCE: usize = 24;
const UUID: usize = 32;
const KEY_ID: usize = 48;
const ID: usize = 64;
const RESERVED: usize = 80;
const DIGEST: usize = 96;

/// What is found where a preamble should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogPreamble<T> {
    /// A preamble.
    Valid(T),
    /// Nothing: too short for one, or zero bytes in its place.
    Absent,
    /// Something that is no preamble, or one whose digest is wrong.
    Torn,
    /// A log that SQLite wrote without encryption.
    Plaintext,
    /// A preamble whose digest is right, of a version or kind that this version does not read here.
    Unsupported(u32),
}

impl<T> LogPreamble<T> {
    /// The same finding about another type of preamble.
    pub(super) fn map<U>(self, convert: impl FnOnce(T) -> U) -> LogPreamble<U> {
        match self {
            LogPreamble::Valid(preamble) => LogPreamble::Valid(convert(preamble)),
            LogPreamble::Absent => LogPreamble::Absent,
            LogPreamble::Torn => LogPreamble::Torn,
            LogPreamble::Plaintext => LogPreamble::Plaintext,
            LogPreamble::Unsupported(version) => LogPreamble::Unsupported(version),
        }
    }
}

/// The fields that these files have in common. `sequence` is zero in journals; `id` is the WAL's generation or the
/// journal's id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Preamble {
    pub kind: FileKind,
    pub sequence: u64,
    pub uuid: [u8; 16],
    pub key_id: [u8; 16],
    pub id: [u8; 16],
}

impl Preamble {
    pub fn encode(&self) -> [u8; PREAMBLE_LEN] {
        let mut out = [0; PREAMBLE_LEN];
        put(&mut out, 0, magic(self.kind));
        let version = if self.kind == FileKind::Redo { REDO_VERSION } else { VERSION };
        put(&mut out, VERSION_AT, &version.to_le_bytes());
        put(&mut out, KIND, &(self.kind as u32).to_le_bytes());
        put(&mut out, SEQUENCE, &self.sequence.to_le_bytes());
        put(&mut out, UUID, &self.uuid);
        put(&mut out, KEY_ID, &self.key_id);
        put(&mut out, ID, &self.id);
        let digest = sha256(&out[..DIGEST]);
        put(&mut out, DIGEST, &digest);
        out
    }

    /// Does it say that what follows it has a MAC?
    pub fn is_authenticated(bytes: &[u8]) -> bool {
        u32_at(bytes, VERSION_AT) == REDO_VERSION
    }

    /// Judges the beginning of a log of `kind`.
    pub fn parse(bytes: &[u8], kind: FileKind) -> LogPreamble<Preamble> {
        // First, and whatever the length: a plaintext log is shorter than a preamble while it is empty.
        if facts::WAL_MAGICS.iter().any(|magic| bytes.starts_with(magic))
            || bytes.starts_with(&facts::JOURNAL_MAGIC)
        {
            return LogPreamble::Plaintext;
        }
        if bytes.len() < PREAMBLE_LEN || all_zero(&bytes[..PREAMBLE_LEN]) {
            return LogPreamble::Absent;
        }
        if sha256(&bytes[..DIGEST]) != array::<32>(bytes, DIGEST) {
            return LogPreamble::Torn;
        }
        let version = u32_at(bytes, VERSION_AT);
        // A right digest is no accident: what else is unexpected was written so, and is not to be treated as
        // torn, which would end recovery quietly.
        let understood = bytes.starts_with(magic(kind))
            && (version == VERSION || kind == FileKind::Redo && version == REDO_VERSION)
            && u32_at(bytes, KIND) == kind as u32
            && (kind != FileKind::MainJournal || u64_at(bytes, SEQUENCE) == 0)
            && all_zero(&bytes[RESERVED..DIGEST]);
        if !understood {
            return LogPreamble::Unsupported(version);
        }
        LogPreamble::Valid(Preamble {
            kind,
            sequence: u64_at(bytes, SEQUENCE),
            uuid: array(bytes, UUID),
            key_id: array(bytes, KEY_ID),
            id: array(bytes, ID),
        })
    }
}

fn magic(kind: FileKind) -> &'static [u8; 16] {
    match kind {
        FileKind::Wal => WAL_MAGIC,
        FileKind::Redo => REDO_MAGIC,
        _ => JOURNAL_MAGIC,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preamble(kind: FileKind) -> Preamble {
        let sequence = if kind == FileKind::Wal { 9 } else { 0 };
        Preamble { kind, sequence, uuid: [1; 16], key_id: [2; 16], id: [3; 16] }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for kind in [FileKind::Wal, FileKind::MainJournal] {
            let bytes = preamble(kind).encode();
            assert_eq!(Preamble::parse(&bytes, kind), LogPreamble::Valid(preamble(kind)));
            for bit in 0..PREAMBLE_LEN * 8 {
                let mut bent = bytes;
                bent[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Preamble::parse(&bent, kind), LogPreamble::Torn, "bit {bit}");
            }
        }
    }

    #[test]
    fn nothing_is_told_from_something() {
        assert_eq!(Preamble::parse(&[], FileKind::Wal), LogPreamble::Absent);
        assert_eq!(Preamble::parse(&[0; 4096], FileKind::Wal), LogPreamble::Absent);
        assert_eq!(Preamble::parse(&[7; 127], FileKind::Wal), LogPreamble::Absent);
        assert_eq!(Preamble::parse(&[7; 128], FileKind::Wal), LogPreamble::Torn);
    }

    #[test]
    fn plaintext_logs_are_recognised_even_when_short() {
        for magic in [&[0x37, 0x7f, 0x06, 0x82][..], &[0x37, 0x7f, 0x06, 0x83], &facts::JOURNAL_MAGIC] {
            for length in [magic.len(), 32, 512] {
                let mut bytes = magic.to_vec();
                bytes.resize(length.max(magic.len()), 0);
                for kind in [FileKind::Wal, FileKind::MainJournal] {
                    assert_eq!(Preamble::parse(&bytes, kind), LogPreamble::Plaintext);
                }
            }
        }
    }

    #[test]
    fn other_versions_and_kinds_are_not_torn() {
        let wal = preamble(FileKind::Wal).encode();
        assert_eq!(Preamble::parse(&wal, FileKind::MainJournal), LogPreamble::Unsupported(1));
        for (offset, value, version) in [(16, 2, 2), (20, 4, 1), (80, 1, 1), (95, 1, 1)] {
            let mut bytes = wal;
            bytes[offset] = value;
            let digest = sha256(&bytes[..DIGEST]);
            put(&mut bytes, DIGEST, &digest);
            assert_eq!(Preamble::parse(&bytes, FileKind::Wal), LogPreamble::Unsupported(version));
        }
    }
}
