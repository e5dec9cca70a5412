use std::sync::Arc;

use super::super::log::recognise;
use super::super::tests::{WAL, cipher_of, encrypted};
use super::*;
use crate::SharedCipher;
use crypto::LengthPreserving;
use sqlite::facts::JOURNAL_MAGIC;
use storage::MemoryFile;

const MAIN: usize = 4096;
const KINDS: [usize; 2] = [SMALL_BLOCK, MAIN];

/// A journal of SQLite: a header padded to 512 bytes, and a record of page 1.
fn journal() -> Vec<u8> {
    let page: Vec<u8> = (0..4096).map(|place| (place % 251) as u8).collect();
    let nonce = 77u32;
    let sum = (1..=20).fold(nonce, |sum, step| sum + u32::from(page[4096 - step * 200]));
    let mut journal = [&JOURNAL_MAGIC[..], &1u32.to_be_bytes(), &nonce.to_be_bytes()].concat();
    journal.extend([1u32, 512, 4096].map(u32::to_be_bytes).concat());
    journal.resize(512, 0);
    journal.extend([&1u32.to_be_bytes()[..], &page, &sum.to_be_bytes()].concat());
    journal
}

fn log_of(kind: FileKind) -> Vec<u8> {
    if kind == FileKind::Wal { WAL.to_vec() } else { journal() }
}

fn open(cipher: &SharedCipher, kind: FileKind) -> (GosqliteFile, Units) {
    (GosqliteFile::new(Arc::clone(cipher), kind, SMALL_BLOCK).unwrap(), Units::new(MAIN))
}

fn stored(cipher: &SharedCipher, kind: FileKind, block_size: usize, plain: &[u8]) -> MemoryFile {
    MemoryFile { bytes: encrypted(cipher, kind, block_size, plain), ..MemoryFile::default() }
}

fn index(generation: u8) -> Option<Index> {
    Some(Index { generation: [generation; 8], has_frames: true })
}

#[test]
fn a_log_shows_its_blocks() {
    for algorithm in LengthPreserving::ALL {
        let cipher = cipher_of(algorithm, 6);
        for kind in [FileKind::MainJournal, FileKind::Wal] {
            for block_size in KINDS {
                let mut storage = stored(&cipher, kind, block_size, &log_of(kind));
                let (mut file, mut units) = open(&cipher, kind);
                assert_eq!(units.look(&mut file, &mut storage, None).unwrap(), Beginning::Log);
                assert_eq!(file.block_size(), block_size, "{algorithm:?} {kind:?}");
                let mut read = vec![0; log_of(kind).len()];
                units.before_read(&mut file, &mut storage, None).unwrap();
                file.read(&mut storage, &mut read, 0).unwrap();
                assert_eq!(read, log_of(kind));
            }
        }
    }
}

/// A journal's header is all there is when a process is killed before the first sync, and it has no magic yet.
#[test]
fn an_unsynced_or_finished_journal_is_nothing() {
    for algorithm in LengthPreserving::ALL {
        let cipher = cipher_of(algorithm, 6);
        for block_size in KINDS {
            for zeros in [12, 28] {
                let mut plain = journal();
                plain[..zeros].fill(0);
                let mut storage = stored(&cipher, FileKind::MainJournal, block_size, &plain);
                let (mut file, mut units) = open(&cipher, FileKind::MainJournal);
                let beginning = units.look(&mut file, &mut storage, None).unwrap();
                assert_eq!(beginning, Beginning::Nothing, "{algorithm:?} {block_size} {zeros}");
                let mut first = [1];
                file.read(&mut storage, &mut first, 0).unwrap();
                assert_eq!(first, [0]);
            }
        }
    }
}

#[test]
fn a_new_transaction_has_a_new_journal_in_small_blocks() {
    let cipher = cipher_of(LengthPreserving::Adiantum, 6);
    for zeros in [0, 28] {
        let mut plain = journal();
        plain[..zeros].fill(0);
        let mut storage = stored(&cipher, FileKind::MainJournal, MAIN, &plain);
        let (mut file, mut units) = open(&cipher, FileKind::MainJournal);
        // The end of a journal is in its own blocks, the header of the next in small ones.
        let mut write = |storage: &mut MemoryFile, data: &[u8], offset: u64| {
            units.before_write(&mut file, storage, None, data, offset).unwrap();
            file.write(storage, data, offset).unwrap();
        };
        write(&mut storage, &[0; 28], 0);
        let mut finished = journal();
        finished[..28].fill(0);
        assert_eq!(storage.bytes, encrypted(&cipher, FileKind::MainJournal, MAIN, &finished));
        for (place, piece) in journal().chunks(512).enumerate() {
            write(&mut storage, piece, place as u64 * 512);
        }
        let small = encrypted(&cipher, FileKind::MainJournal, SMALL_BLOCK, &journal());
        // Behind the last byte written the block keeps what was there.
        let whole = journal().len() / 512 * 512;
        assert_eq!(storage.bytes[..whole], small[..whole]);
        let mut again = GosqliteFile::new(Arc::clone(&cipher), FileKind::MainJournal, MAIN).unwrap();
        let found = recognise(&mut again, &mut storage, MAIN).unwrap();
        assert_eq!((found.beginning, again.block_size()), (Beginning::Log, SMALL_BLOCK));
    }
}

#[test]
fn a_wal_is_continued_in_its_own_blocks_until_it_is_empty() {
    for algorithm in LengthPreserving::ALL {
        let cipher = cipher_of(algorithm, 6);
        for block_size in KINDS {
            let mut storage = stored(&cipher, FileKind::Wal, block_size, WAL);
            let (mut file, mut units) = open(&cipher, FileKind::Wal);
            let end = WAL.len() as u64;
            units.before_write(&mut file, &mut storage, index(1), &[7; 24], end).unwrap();
            file.write(&mut storage, &[7; 24], end).unwrap();
            assert_eq!(
                storage.bytes,
                encrypted(&cipher, FileKind::Wal, block_size, &[WAL, &[7; 24]].concat())
            );
            // Started again from its beginning, beside others that have it open.
            units.before_write(&mut file, &mut storage, index(2), &WAL[..32], 0).unwrap();
            assert_eq!(file.block_size(), block_size, "{algorithm:?}");
            file.truncate(&mut storage, 0).unwrap();
            units.cut(0);
            units.before_write(&mut file, &mut storage, index(2), &WAL[..32], 0).unwrap();
            assert_eq!(file.block_size(), SMALL_BLOCK);
        }
    }
}

/// Others may have emptied the log, and begun another in other blocks: the wal-index names that one.
#[test]
fn another_wal_in_the_same_file_is_looked_at_anew() {
    for algorithm in LengthPreserving::ALL {
        let cipher = cipher_of(algorithm, 6);
        let (mut file, mut units) = open(&cipher, FileKind::Wal);
        for (generation, block_size) in [(1, MAIN), (2, SMALL_BLOCK), (3, MAIN)] {
            let mut storage = stored(&cipher, FileKind::Wal, block_size, WAL);
            units.before_read(&mut file, &mut storage, index(generation)).unwrap();
            assert_eq!(file.block_size(), block_size);
            let reads = storage.reads;
            units.before_read(&mut file, &mut storage, index(generation)).unwrap();
            assert_eq!(storage.reads, reads, "it is known");
        }
        let mut empty = MemoryFile::default();
        units
            .before_read(&mut file, &mut empty, Some(Index { generation: [4; 8], has_frames: false }))
            .unwrap();
        units.before_write(&mut file, &mut empty, index(4), &WAL[..32], 0).unwrap();
        assert_eq!(file.block_size(), SMALL_BLOCK);
    }
}

/// A log that a new one has begun to overwrite: its header is new, and its frames are still the old ones.
#[test]
fn the_header_of_a_wal_alone_does_not_hide_the_blocks() {
    for algorithm in LengthPreserving::ALL {
        let cipher = cipher_of(algorithm, 6);
        for block_size in KINDS {
            let mut plain = WAL.to_vec();
            plain[16..32].fill(9);
            let mut storage = stored(&cipher, FileKind::Wal, block_size, &plain);
            let (mut file, mut units) = open(&cipher, FileKind::Wal);
            assert_eq!(units.look(&mut file, &mut storage, None).unwrap(), Beginning::Log);
            assert_eq!(file.block_size(), block_size, "{algorithm:?}");
            // Without any frame the length has to tell.
            let mut storage = stored(&cipher, FileKind::Wal, block_size, &plain[..32]);
            units.look(&mut file, &mut storage, None).unwrap();
            assert_eq!(file.block_size(), block_size, "{algorithm:?}");
        }
    }
}
