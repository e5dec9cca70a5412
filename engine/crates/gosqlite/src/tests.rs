use std::sync::Arc;

use proptest::prelude::*;

use super::frames::{frame_at, frame_of, is_rewritten, read_beside_writers, whole_frame};
use super::header::judge;
use super::log::{Beginning, recognise};
use super::*;
use crypto::{LengthPreserving, instantiate_length_preserving};
use ground::error::{FaultClass, FileKind, Result};
use storage::{MemoryFile, Storage};

const BLOCK: usize = 512;

pub(super) fn cipher_of(kind: LengthPreserving, seed: u8) -> SharedCipher {
    let key: Vec<u8> = (0..kind.key_len() as u8).map(|byte| byte.wrapping_mul(7) ^ seed).collect();
    Arc::from(instantiate_length_preserving(kind, &key).unwrap())
}

fn file_of(kind: FileKind) -> GosqliteFile {
    GosqliteFile::new(cipher_of(LengthPreserving::Adiantum, 1), kind, BLOCK).unwrap()
}

/// What a file is to look like on disk: each block by itself, under its kind and number.
pub(super) fn encrypted(cipher: &SharedCipher, kind: FileKind, block_size: usize, plain: &[u8]) -> Vec<u8> {
    let mut bytes = plain.to_vec();
    bytes.resize(plain.len().next_multiple_of(block_size), 0);
    for (number, block) in bytes.chunks_exact_mut(block_size).enumerate() {
        cipher.encrypt(kind as u8, number as u64, block);
    }
    bytes
}

#[test]
fn a_file_is_its_blocks_and_nothing_else() {
    let plain: Vec<u8> = (0..3 * 4096 + 100).map(|place| (place / 3) as u8 | 1).collect();
    for algorithm in LengthPreserving::ALL {
        for kind in FileKind::ALL {
            for block_size in [512, 4096] {
                let cipher = cipher_of(algorithm, 2);
                let mut file = GosqliteFile::new(Arc::clone(&cipher), kind, block_size).unwrap();
                let mut storage = MemoryFile::default();
                // Odd pieces, as SQLite writes logs.
                for (place, piece) in plain.chunks(700).enumerate() {
                    file.write(&mut storage, piece, place as u64 * 700).unwrap();
                }
                assert_eq!(storage.bytes, encrypted(&cipher, kind, block_size, &plain));
                let mut read = vec![0; plain.len()];
                assert!(file.read(&mut storage, &mut read, 0).unwrap());
                assert_eq!(read, plain);
            }
        }
    }
}

#[test]
fn what_the_file_does_not_have_reads_as_zeros() {
    let (mut file, mut storage) = (file_of(FileKind::MainDb), MemoryFile::default());
    let mut buf = [1; 100];
    assert!(!file.read(&mut storage, &mut buf, 0).unwrap());
    assert_eq!(buf, [0; 100]);

    // A hole, as behind the end of a file that is written further on.
    file.write(&mut storage, &[5; BLOCK], 3 * BLOCK as u64).unwrap();
    assert_eq!(&storage.bytes[..3 * BLOCK], &[0; 3 * BLOCK]);
    let mut buf = [1; 2 * BLOCK];
    assert!(file.read(&mut storage, &mut buf, 2 * BLOCK as u64).unwrap());
    assert_eq!((&buf[..BLOCK], &buf[BLOCK..]), (&[0; BLOCK][..], &[5; BLOCK][..]));

    // A block of which a part is left.
    storage.bytes.truncate(4 * BLOCK - 1);
    assert!(!file.read(&mut storage, &mut buf, 2 * BLOCK as u64).unwrap());
    assert_eq!(buf, [0; 2 * BLOCK]);
}

#[test]
fn a_cut_inside_a_block_keeps_the_block() {
    for (kind, behind) in
        [(FileKind::MainDb, 9), (FileKind::Wal, 9), (FileKind::MainJournal, 0), (FileKind::TempDb, 0)]
    {
        let (mut file, mut storage) = (file_of(kind), MemoryFile::default());
        file.write(&mut storage, &[9; 3 * BLOCK], 0).unwrap();
        file.truncate(&mut storage, BLOCK as u64 + 10).unwrap();
        assert_eq!(storage.bytes.len(), 2 * BLOCK);
        let mut buf = [1; 20];
        assert!(file.read(&mut storage, &mut buf, BLOCK as u64).unwrap());
        assert_eq!((buf[9], buf[10]), (9, behind), "{kind:?}");
        file.truncate(&mut storage, 0).unwrap();
        assert_eq!(storage.bytes.len(), 0);
    }
}

/// `pager.c`, writeSuperJournal: SQLite cuts the journal behind the name, and looks for it at the very end.
#[test]
fn a_journal_with_a_super_journals_name_ends_with_it() {
    for name_at in [BLOCK, 2 * BLOCK - 50, 2 * BLOCK - 30, 2 * BLOCK - 3] {
        let (mut file, mut storage) = (file_of(FileKind::MainJournal), MemoryFile::default());
        file.write(&mut storage, &[7; 4 * BLOCK], 0).unwrap();
        let tail = [&[3; 20][..], &20u32.to_be_bytes(), &[0, 0, 0, 60], &facts::JOURNAL_MAGIC].concat();
        file.write(&mut storage, &tail, name_at as u64).unwrap();
        let end = (name_at + tail.len()) as u64;
        file.truncate(&mut storage, end).unwrap();
        assert_eq!(file.size(&mut storage).unwrap(), end);
        let mut read = vec![0; tail.len()];
        file.read(&mut storage, &mut read, name_at as u64).unwrap();
        assert_eq!(read, tail);
    }
    let (mut file, mut storage) = (file_of(FileKind::MainJournal), MemoryFile::default());
    file.write(&mut storage, &[7; 100], 0).unwrap();
    assert_eq!(file.size(&mut storage).unwrap(), BLOCK as u64);
}

fn database(page_size: usize) -> Vec<u8> {
    let mut page = vec![0; page_size];
    page[..16].copy_from_slice(b"SQLite format 3\0");
    page[16..18].copy_from_slice(&u16::try_from(page_size).unwrap_or(1).to_be_bytes());
    page[100] = 13;
    page
}

#[test]
fn a_header_shows_whether_key_and_block_size_are_right() {
    let sizes = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];
    for algorithm in LengthPreserving::ALL {
        let cipher = cipher_of(algorithm, 3);
        for own in sizes {
            let bytes = encrypted(&cipher, FileKind::MainDb, own, &database(own));
            for given in sizes {
                let judged = judge(&cipher, algorithm, &bytes, given);
                if own == given {
                    assert_eq!(judged.unwrap(), own);
                    continue;
                }
                let fault = judged.unwrap_err();
                assert_eq!(fault.class, FaultClass::UnsupportedFormat);
                assert!(
                    fault.message.contains(&format!("page_size is {own} in the file, and {given} was given"))
                );
            }
            if own > 512 {
                // A database cut in mid-block is not one of smaller blocks.
                assert!(judge(&cipher, algorithm, &bytes[..own - 1], own).is_err());
            }
            let other = judge(&cipher_of(algorithm, 4), algorithm, &bytes, own).unwrap_err();
            assert_eq!(other.class, FaultClass::WrongKey);
        }
        let plain = judge(&cipher, algorithm, &database(4096), 4096).unwrap_err();
        assert_eq!(plain.class, FaultClass::NotEncrypted);
        assert_eq!(judge(&cipher, algorithm, b"x", 4096).unwrap_err().class, FaultClass::WrongKey);
    }
}

fn begins(file: &mut GosqliteFile, storage: &mut MemoryFile) -> Beginning {
    recognise(file, storage, BLOCK).unwrap().beginning
}

#[test]
fn the_beginning_of_a_log() {
    let magics: [(FileKind, &[u8]); 3] = [
        (FileKind::MainJournal, &facts::JOURNAL_MAGIC),
        (FileKind::Wal, &[0x37, 0x7f, 0x06, 0x82]),
        (FileKind::Wal, &[0x37, 0x7f, 0x06, 0x83]),
    ];
    for (kind, magic) in magics {
        let (mut file, mut storage) = (file_of(kind), MemoryFile::default());
        assert_eq!(begins(&mut file, &mut storage), Beginning::Nothing);
        file.write(&mut storage, magic, 0).unwrap();
        assert_eq!(begins(&mut file, &mut storage), Beginning::Log);
        let mut other = GosqliteFile::new(cipher_of(LengthPreserving::Adiantum, 9), kind, BLOCK).unwrap();
        assert_eq!(begins(&mut other, &mut storage), Beginning::Unknown);
        if kind == FileKind::MainJournal {
            // SQLite writes magic and number of records when it syncs.
            file.write(&mut storage, &[0; 12], 0).unwrap();
            file.write(&mut storage, &[5; 16], 12).unwrap();
            assert_eq!(begins(&mut file, &mut storage), Beginning::Nothing);
        }
        // journal_mode=PERSIST.
        file.write(&mut storage, &[0; 32], 0).unwrap();
        file.write(&mut storage, &[1; 28], 32).unwrap();
        assert_eq!(begins(&mut file, &mut storage), Beginning::Nothing);
        storage.bytes[..magic.len()].copy_from_slice(magic);
        assert_eq!(begins(&mut file, &mut storage), Beginning::Plaintext);
    }
}

#[test]
fn the_block_that_the_last_frame_ends_in_is_written_again() {
    // Frames of 536 bytes behind a header of 32: the first ends at 568, in the second block.
    assert_eq!((frame_at(1, 512), frame_at(2, 512)), (32, 568));
    assert_eq!((frame_of(32, 512), frame_of(567, 512), frame_of(568, 512)), (1, 1, 2));
    assert!(is_rewritten(1, 1, 512, 512));
    assert!(!is_rewritten(1, 2, 512, 512));
    assert!(!is_rewritten(2, 1, 512, 512));
    // Blocks of several frames.
    assert!(is_rewritten(2, 4, 512, 4096) && is_rewritten(1, 4, 512, 4096));
    // The 60th ends at 32 + 60 * 536 = 32192 = 62 * 512 + 448; the 64th would at 34336.
    assert!(is_rewritten(60, 60, 512, 512));
    let aligned = (1..600).find(|last| frame_at(last + 1, 512).is_multiple_of(512)).unwrap();
    assert!(!is_rewritten(aligned, aligned, 512, 512));
}

/// A WAL of SQLite 3.40.1, in clear: `PRAGMA page_size=512; CREATE TABLE t(a); INSERT INTO t VALUES ('x')`.
pub(super) const WAL: &[u8] = include_bytes!("tests/wal-512.bin");

#[test]
fn a_frame_has_its_checksum_or_is_not_whole() {
    let (mut file, mut storage) = (file_of(FileKind::Wal), MemoryFile::default());
    file.write(&mut storage, WAL, 0).unwrap();
    let frames = ((WAL.len() - 32) / 536) as u32;
    assert!(frames >= 3);
    for number in 1..=frames {
        let start = frame_at(number, 512) as usize;
        let frame = whole_frame(&mut file, &mut storage, number, 512).unwrap();
        assert_eq!(frame.as_deref(), Some(&WAL[start..start + 536]));
    }
    assert_eq!(whole_frame(&mut file, &mut storage, frames + 1, 512).unwrap(), None);
    let end = frame_at(2, 512) as usize;
    storage.bytes[end] ^= 1;
    assert_eq!(whole_frame(&mut file, &mut storage, 1, 512).unwrap(), None);
}

/// A file of which reads see half of a write, as often as `tears` says.
struct Torn {
    file: MemoryFile,
    block: usize,
    tears: u32,
}

impl Storage for Torn {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        let complete = self.file.read(buf, offset)?;
        let place = (self.block * BLOCK + 30) as u64;
        if self.tears > 0 && (offset..offset + buf.len() as u64).contains(&place) {
            self.tears -= 1;
            buf[(place - offset) as usize] ^= 1;
        }
        Ok(complete)
    }
    fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        self.file.write(data, offset)
    }
    fn truncate(&mut self, size: u64) -> Result<()> {
        self.file.truncate(size)
    }
    fn sync(&mut self, flags: i32) -> Result<()> {
        self.file.sync(flags)
    }
    fn size(&mut self) -> Result<u64> {
        self.file.size()
    }
}

#[test]
fn a_reader_does_not_see_half_of_the_block_that_a_writer_writes_again() {
    let mut file = file_of(FileKind::Wal);
    let mut storage = Torn { file: MemoryFile::default(), block: 3, tears: 0 };
    file.write(&mut storage, WAL, 0).unwrap();
    let mut page_of = |storage: &mut Torn, number: u32, last: u32| {
        let (mut page, at) = (vec![0; 512], frame_at(number, 512) as usize + 24);
        let read = read_beside_writers(&mut file, storage, &mut page, at as u64, last, 512);
        read.map(|complete| complete && page == WAL[at..at + 512])
    };
    // The third and last ends in block 3, at 1640.
    storage.tears = 2;
    assert_eq!(page_of(&mut storage, 3, 3), Ok(true));
    assert_eq!(storage.tears, 0);
    storage.tears = u32::MAX;
    let fault = page_of(&mut storage, 3, 3).unwrap_err();
    assert_eq!((fault.class, fault.kind, fault.number), (FaultClass::Tampered, Some(FileKind::Wal), Some(2)));
    // Frames before it cost nothing more.
    (storage.tears, storage.file.reads) = (0, 0);
    assert_eq!(page_of(&mut storage, 2, 3), Ok(true));
    assert_eq!(storage.file.reads, 1);
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize, usize, u8),
    Truncate(usize),
    Read(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (place, len) = (0..6000usize, 1..2000usize);
    prop_oneof![
        (place.clone(), len.clone(), 1..255u8).prop_map(|(at, len, fill)| Step::Write(at, len, fill)),
        (0..6000usize).prop_map(Step::Truncate),
        (place, len).prop_map(|(at, len)| Step::Read(at, len)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_temporary_file_is_a_vec(steps in proptest::collection::vec(step(), 1..40), block in 9..13u32) {
        let block = 1usize << block;
        let cipher = cipher_of(LengthPreserving::Aes256Xts, 5);
        let mut file = GosqliteFile::new(Arc::clone(&cipher), FileKind::SubJournal, block).unwrap();
        let (mut storage, mut model) = (MemoryFile::default(), Vec::new());
        for step in steps {
            match step {
                Step::Write(at, len, fill) => {
                    file.write(&mut storage, &vec![fill; len], at as u64).unwrap();
                    if model.len() < at + len {
                        model.resize(at + len, 0);
                    }
                    model[at..at + len].fill(fill);
                }
                Step::Truncate(size) => {
                    let size = size.min(model.len());
                    file.truncate(&mut storage, size as u64).unwrap();
                    model.resize(size, 0);
                }
                Step::Read(at, len) => {
                    let mut buf = vec![1; len];
                    let complete = file.read(&mut storage, &mut buf, at as u64).unwrap();
                    let end = model.len().next_multiple_of(block);
                    prop_assert_eq!(complete, at + len <= end);
                    let expected: Vec<u8> =
                        (at..at + len).map(|place| model.get(place).copied().unwrap_or(0)).collect();
                    prop_assert_eq!(buf, expected);
                }
            }
            prop_assert_eq!(storage.bytes.len(), model.len().next_multiple_of(block));
        }
        for (number, block) in storage.bytes.chunks_exact_mut(block).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                cipher.decrypt(6, number as u64, block);
            }
        }
        storage.bytes.truncate(model.len());
        prop_assert_eq!(storage.bytes, model);
    }
}
