//! The WAL's header: a clear preamble, then SQLite's own header under seal (`docs/reference/format.md`, section 4).

pub use super::preamble::LogPreamble;
use super::preamble::{PREAMBLE_LEN, Preamble};
use crypto::suite::Unauthentic;
use ground::bytes::{array, put, u64_at};
use ground::error::{FileKind, Result};
use vault::file_keys::Sealer;
use vault::format::superblock::is_block_size;

/// Where copy A of the header is.
pub const WAL_HEADER_A_OFFSET: u64 = 0;
/// Where copy B of the header is: on a page of its own, so that writing one cannot tear the other.
pub const WAL_HEADER_B_OFFSET: u64 = 4096;
/// Where the frames begin.
pub const WAL_FRAMES_OFFSET: u64 = 8192;
/// The block index that headers are sealed at; no frame ever has it.
pub const WAL_HEADER_INDEX: u64 = u64::MAX;

/// Plaintext bytes under seal: SQLite's header, slots, sequence, previous generation.
const BODY_LEN: usize = 64;
const MAIN_SLOTS: usize = 32;
const SEQUENCE: usize = 40;
const PREVIOUS: usize = 48;

/// The clear part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WalPreamble {
    /// Counts the generations; the higher one of two authentic headers counts.
    pub sequence: u64,
    /// The database's UUID.
    pub uuid: [u8; 16],
    /// The name of the data key.
    pub key_id: [u8; 16],
    /// Names this generation of the log; part of every frame's AAD.
    pub generation: [u8; 16],
}

/// A whole header, opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WalHeader {
    /// The clear part.
    pub preamble: WalPreamble,
    /// SQLite's own WAL header.
    pub sqlite: [u8; 32],
    /// Slots of the main file, all synced, when the generation began.
    pub main_slots: u64,
    /// The generation before.
    pub previous: [u8; 16],
}

impl WalHeader {
    /// Bytes of a stored header under a suite with `overhead`.
    pub fn stored_len(overhead: usize) -> usize {
        PREAMBLE_LEN + BODY_LEN + overhead
    }

    /// The header as it is stored; `sealer` is the WAL's.
    pub fn encode(&self, sealer: &Sealer) -> Result<Vec<u8>> {
        let preamble = Preamble {
            kind: FileKind::Wal,
            sequence: self.preamble.sequence,
            uuid: self.preamble.uuid,
            key_id: self.preamble.key_id,
            id: self.preamble.generation,
        };
        let mut body = [0; BODY_LEN];
        put(&mut body, 0, &self.sqlite);
        put(&mut body, MAIN_SLOTS, &self.main_slots.to_le_bytes());
        put(&mut body, SEQUENCE, &self.preamble.sequence.to_le_bytes());
        put(&mut body, PREVIOUS, &self.previous);
        let mut out = vec![0; WalHeader::stored_len(sealer.overhead())];
        put(&mut out, 0, &preamble.encode());
        sealer.seal(WAL_HEADER_INDEX, &self.preamble.generation, &body, &mut out[PREAMBLE_LEN..])?;
        Ok(out)
    }

    /// Judges one copy without any key.
    pub fn parse_preamble(bytes: &[u8]) -> LogPreamble<WalPreamble> {
        Preamble::parse(bytes, FileKind::Wal).map(|preamble| WalPreamble {
            sequence: preamble.sequence,
            uuid: preamble.uuid,
            key_id: preamble.key_id,
            generation: preamble.id,
        })
    }

    /// Opens the copy in `bytes`, whose `preamble` was parsed before. The sequence number is under seal too:
    /// the preamble alone would let anybody bring an older copy to the front.
    pub fn open(
        preamble: WalPreamble,
        bytes: &[u8],
        sealer: &Sealer,
    ) -> std::result::Result<WalHeader, Unauthentic> {
        let sealed = bytes.get(PREAMBLE_LEN..WalHeader::stored_len(sealer.overhead())).ok_or(Unauthentic)?;
        let mut body = [0; BODY_LEN];
        sealer.open(WAL_HEADER_INDEX, &preamble.generation, sealed, &mut body)?;
        if u64_at(&body, SEQUENCE) != preamble.sequence || !sealer.is_for(&preamble.uuid, &preamble.key_id) {
            return Err(Unauthentic);
        }
        let header = WalHeader {
            preamble,
            sqlite: array(&body, 0),
            main_slots: u64_at(&body, MAIN_SLOTS),
            previous: array(&body, PREVIOUS),
        };
        // Anybody can forge a `checksum` header, and buffers are made by this number.
        if is_block_size(header.page_size()) { Ok(header) } else { Err(Unauthentic) }
    }

    /// The page size in SQLite's header; 1 stands for 65536 (fileformat2, section 4.1, and SQLite's `wal.c`,
    /// which writes the number itself, so both are read).
    pub fn page_size(&self) -> u32 {
        match u32::from_be_bytes(array(&self.sqlite, 8)) {
            1 => 65536,
            size => size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::secret::Secret;
    use crypto::suite::SuiteId;
    use ground::bytes::hex;
    use proptest::prelude::*;
    use vault::file_keys::FileKeys;

    fn sealer(suite: SuiteId, uuid: u8) -> Sealer {
        let (key_id, data_key) =
            if suite.is_keyed() { ([0x22; 16], Secret::from_slice(&[0x33; 32])) } else { ([0; 16], None) };
        FileKeys::new([uuid; 16], key_id, suite, data_key).unwrap().sealer(FileKind::Wal).unwrap()
    }

    fn header(suite: SuiteId) -> WalHeader {
        let key_id = if suite.is_keyed() { [0x22; 16] } else { [0; 16] };
        let mut sqlite = [0x66; 32];
        sqlite[8..12].copy_from_slice(&4096u32.to_be_bytes());
        WalHeader {
            preamble: WalPreamble { sequence: 0x0304, uuid: [0x11; 16], key_id, generation: [0x44; 16] },
            sqlite,
            main_slots: 0x0506,
            previous: [0x55; 16],
        }
    }

    /// From an independent implementation; the `checksum` suite, whose seal is not randomised.
    const GOLDEN: &str = concat!(
        "6c756d6f63727970742d77616c000d0a0100000003000000040300000000000011111111111111111111111111111111",
        "000000000000000000000000000000004444444444444444444444444444444400000000000000000000000000000000",
        "0f14ee34c87251d0c9cc30d665900c7a2fa41ee5d935bd0ae229d38f6a22669a66666666666666660000100066666666",
        "666666666666666666666666666666660605000000000000040300000000000055555555555555555555555555555555",
        "1428c4651262da89efe210cad87255fe"
    );

    #[test]
    fn golden_bytes() {
        let bytes = header(SuiteId::Checksum).encode(&sealer(SuiteId::Checksum, 0x11)).unwrap();
        assert_eq!(bytes.len(), 208);
        assert_eq!(hex(&bytes), GOLDEN);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for suite in [SuiteId::DEFAULT, SuiteId::Checksum] {
            let sealer = sealer(suite, 0x11);
            let bytes = header(suite).encode(&sealer).unwrap();
            for bit in 0..bytes.len() * 8 {
                let mut bent = bytes.clone();
                bent[bit / 8] ^= 1 << (bit % 8);
                match WalHeader::parse_preamble(&bent) {
                    LogPreamble::Torn => assert!(bit < 128 * 8),
                    LogPreamble::Valid(preamble) => {
                        assert_eq!(WalHeader::open(preamble, &bent, &sealer), Err(Unauthentic), "bit {bit}");
                    }
                    other => panic!("bit {bit}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_header_is_bound_to_its_database_and_sequence_number() {
        let sealer_here = sealer(SuiteId::DEFAULT, 0x11);
        let bytes = header(SuiteId::DEFAULT).encode(&sealer_here).unwrap();
        let preamble = header(SuiteId::DEFAULT).preamble;
        assert!(WalHeader::open(preamble, &bytes, &sealer_here).is_ok());
        assert!(WalHeader::open(preamble, &bytes, &sealer(SuiteId::DEFAULT, 0x77)).is_err());
        for other in [
            WalPreamble { sequence: 9, ..preamble },
            WalPreamble { uuid: [9; 16], ..preamble },
            WalPreamble { key_id: [9; 16], ..preamble },
            WalPreamble { generation: [9; 16], ..preamble },
        ] {
            assert!(WalHeader::open(other, &bytes, &sealer_here).is_err());
        }
        assert!(WalHeader::open(preamble, &bytes[..bytes.len() - 1], &sealer_here).is_err());
    }

    #[test]
    fn a_page_size_that_sqlite_does_not_have_is_no_header() {
        for suite in [SuiteId::DEFAULT, SuiteId::Checksum] {
            let sealer = sealer(suite, 0x11);
            for page_size in [0, 2, 511, 4097, 131_072, u32::MAX] {
                let mut header = header(suite);
                header.sqlite[8..12].copy_from_slice(&page_size.to_be_bytes());
                let bytes = header.encode(&sealer).unwrap();
                assert_eq!(WalHeader::open(header.preamble, &bytes, &sealer), Err(Unauthentic));
            }
        }
    }

    #[test]
    fn page_size_is_read_as_sqlite_writes_it() {
        let mut header = header(SuiteId::DEFAULT);
        assert_eq!(header.page_size(), 4096);
        header.sqlite[8..12].copy_from_slice(&1u32.to_be_bytes());
        assert_eq!(header.page_size(), 65536);
        header.sqlite[8..12].copy_from_slice(&65536u32.to_be_bytes());
        assert_eq!(header.page_size(), 65536);
    }

    proptest! {
        #[test]
        fn round_trip(
            sequence: u64, generation: [u8; 16], sqlite: [u8; 32], main_slots: u64, previous: [u8; 16],
            shift in 9u32..=16
        ) {
            let mut sqlite = sqlite;
            sqlite[8..12].copy_from_slice(&(1u32 << shift).to_be_bytes());
            let preamble = WalPreamble { sequence, uuid: [0x11; 16], key_id: [0x22; 16], generation };
            let header = WalHeader { preamble, sqlite, main_slots, previous };
            let sealer = sealer(SuiteId::DEFAULT, 0x11);
            let bytes = header.encode(&sealer).unwrap();
            prop_assert_eq!(bytes.len(), 232);
            prop_assert_eq!(WalHeader::parse_preamble(&bytes), LogPreamble::Valid(preamble));
            prop_assert_eq!(WalHeader::open(preamble, &bytes, &sealer), Ok(header));
        }
    }
}
