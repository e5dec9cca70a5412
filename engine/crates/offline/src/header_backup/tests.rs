use std::sync::Arc;

use super::*;
use storage::MemoryFile;
use vault::create::{self, CreateOptions};
use vault::format::superblock::SUPERBLOCK_LEN;
use vault::material::Key;

const BLOCK: usize = 512;

struct Database {
    file: MemoryFile,
    keys: FileKeys,
    superblock: Superblock,
}

fn key(byte: u8) -> Arc<Key> {
    Arc::new(Key::raw(&[byte; 32]).unwrap())
}

fn options(byte: u8) -> OpenOptions {
    OpenOptions { key: Some(key(byte)), ..OpenOptions::default() }
}

impl Database {
    fn new(byte: u8, blocks: u64) -> Database {
        let options = CreateOptions { block_size: BLOCK as u32, ..CreateOptions::default() };
        let (region, keys, superblock) = create::database(Some(&key(byte)), &options).unwrap();
        let mut database =
            Database { file: MemoryFile { bytes: region, ..MemoryFile::default() }, keys, superblock };
        for index in 0..blocks {
            database.seal(index);
        }
        database
    }

    fn seal(&mut self, index: u64) {
        let sealer = self.keys.sealer(FileKind::MainDb).unwrap();
        let mut slot = vec![0; BLOCK + sealer.overhead()];
        sealer.seal(index, &NO_CONTEXT, &[7; BLOCK], &mut slot).unwrap();
        self.file.write(&slot, geometry(&self.superblock).slot_offset(index)).unwrap();
    }

    fn backup(&mut self) -> Vec<u8> {
        let mut copy = MemoryFile::default();
        back_up(&mut self.file, &mut copy).unwrap();
        copy.bytes
    }

    fn restore(&mut self, backup: &[u8], byte: u8) -> Result<Restored> {
        let (before, mut saved) = (self.file.bytes.clone(), MemoryFile::default());
        let result = restore(&mut self.file, backup, &options(byte), &mut saved, false);
        match &result {
            Ok(_) => assert_eq!(saved.bytes, before[..HEADER_LEN as usize]),
            Err(_) => assert!(self.file.bytes == before),
        }
        result
    }

    fn class(&mut self, backup: &[u8], byte: u8) -> FaultClass {
        self.restore(backup, byte).err().expect("must be refused").class
    }

    /// As after a change of keyslots.
    fn advance(&mut self) {
        self.superblock.generation += 1;
        write_copies(&mut self.file, &self.superblock.encode(&self.keys)).unwrap();
    }

    fn generation(&mut self) -> u64 {
        let (_, found) = unlock::unlock(
            &header::parse(&self.file.bytes[..HEADER_LEN as usize]).unwrap(),
            Some(&key(1)),
            &OpenOptions::default().limits,
            "",
        )
        .unwrap();
        found.generation
    }
}

#[test]
fn a_header_that_is_gone_comes_back() {
    let mut database = Database::new(1, 40);
    let backup = database.backup();
    assert_eq!(backup, database.file.bytes[..HEADER_LEN as usize]);
    database.file.bytes[..HEADER_LEN as usize].fill(0);
    let restored = database.restore(&backup, 1).unwrap();
    assert_eq!((restored.generation, restored.tried, restored.opened), (2, 16, 16));
    assert!(restored.new_cells);
    assert_eq!(database.generation(), 2);
    let cells = Cells::of(&database.file.bytes, &database.keys, true);
    assert!(!cells.wal_cell().unwrap().active);
    assert_eq!(cells.length().unwrap().slots, 40);
    // A second time nothing but the generation changes.
    assert!(!database.restore(&backup, 1).unwrap().new_cells);
    assert_eq!(database.generation(), 3);
}

#[test]
fn cells_that_are_sound_stay() {
    let mut database = Database::new(1, 3);
    let backup = database.backup();
    database.file.bytes[..2 * SUPERBLOCK_LEN].fill(0xee);
    let cells = database.file.bytes[2 * SUPERBLOCK_LEN..HEADER_LEN as usize].to_vec();
    assert!(!database.restore(&backup, 1).unwrap().new_cells);
    assert!(database.file.bytes[2 * SUPERBLOCK_LEN..HEADER_LEN as usize] == cells);
}

#[test]
fn damaged_cells_beside_a_log_are_not_made_up() {
    let mut database = Database::new(1, 3);
    let backup = database.backup();
    database.file.bytes[..HEADER_LEN as usize].fill(0);
    let (before, mut saved) = (database.file.bytes.clone(), MemoryFile::default());
    let result = restore(&mut database.file, &backup, &options(1), &mut saved, true);
    assert_eq!(result.err().unwrap().class, FaultClass::HeaderDamaged);
    assert!(database.file.bytes == before && saved.bytes.is_empty());
}

#[test]
fn a_header_of_another_key_stays_out_hazard_6() {
    let mut old = Database::new(1, 40);
    let backup = old.backup();
    // The same database under another data key, as after a change of it; and while that goes on.
    let mut next = Database::new(1, 40);
    assert_eq!(next.class(&backup, 1), FaultClass::InvalidArgument);
    let first_half = geometry(&old.superblock).slot_offset(20) as usize;
    next.file.bytes[first_half..].copy_from_slice(&old.file.bytes[first_half..]);
    assert_eq!(next.class(&backup, 1), FaultClass::InvalidArgument);
    // Nothing says which key the blocks are under, but the blocks.
    let mut headless = Database::new(1, 40);
    headless.file.bytes[..HEADER_LEN as usize].fill(0);
    assert_eq!(headless.class(&backup, 1), FaultClass::InvalidArgument);
    // An empty database says nothing at all.
    let mut empty = Database::new(1, 0);
    let own = empty.backup();
    assert!(empty.restore(&own, 1).is_ok());
    assert_eq!(empty.class(&backup, 1), FaultClass::InvalidArgument);
    empty.file.bytes.fill(0);
    assert_eq!(empty.class(&own, 1), FaultClass::InvalidArgument);
}

#[test]
fn a_header_that_somebody_forged_does_not_keep_the_right_one_out() {
    let mut database = Database::new(1, 40);
    let backup = database.backup();
    let mut forged = Database::new(9, 0);
    forged.superblock.generation = u64::MAX >> 1;
    database.file.bytes[..HEADER_LEN as usize].copy_from_slice(&forged.file.bytes);
    write_copies(&mut database.file, &forged.superblock.encode(&forged.keys)).unwrap();
    let restored = database.restore(&backup, 1).unwrap();
    assert_eq!((restored.tried, restored.opened), (40, 40));
    assert_eq!(database.generation(), 2);
}

#[test]
fn the_generation_goes_on_from_the_highest() {
    let mut database = Database::new(1, 3);
    let backup = database.backup();
    for _ in 0..5 {
        database.advance();
    }
    assert_eq!(database.restore(&backup, 1).unwrap().generation, 7);
}

#[test]
fn damaged_blocks_are_counted_and_one_that_opens_is_enough() {
    let mut database = Database::new(1, 10);
    let backup = database.backup();
    database.file.bytes[..HEADER_LEN as usize + 2000].fill(0);
    let restored = database.restore(&backup, 1).unwrap();
    assert!(restored.tried == 10 && (1..10).contains(&restored.opened));
}

#[test]
fn the_backup_has_to_open() {
    let mut database = Database::new(1, 3);
    let backup = database.backup();
    assert_eq!(database.class(&backup, 2), FaultClass::WrongKey);
    let mut damaged = backup.clone();
    damaged[100] ^= 1;
    damaged[SUPERBLOCK_LEN + 100] ^= 1;
    assert_eq!(database.class(&damaged, 1), FaultClass::HeaderDamaged);
    assert_eq!(database.class(&[b'x'; HEADER_LEN as usize], 1), FaultClass::NotEncrypted);
    let plaintext = &mut MemoryFile { bytes: b"SQLite format 3\0".repeat(5000), ..MemoryFile::default() };
    assert_eq!(back_up(plaintext, &mut MemoryFile::default()).unwrap_err().class, FaultClass::NotEncrypted);
}
