use super::*;
use crate::facts::MAGIC;
use crate::files::main_db::tests::{Failing, default_file};
use storage::MemoryFile;

const PAGES: u32 = 24;
/// A trunk page and its leaves; the rest is in use.
const TRUNK: u32 = 3;
const LEAVES: [u32; 9] = [4, 9, 10, 11, 12, 13, 14, 15, 16];

/// A database of `PAGES` pages that end in their numbers, with a free list.
fn database(block_size: u32, page_size: usize) -> (MainFile, MemoryFile) {
    let (mut file, mut storage) = default_file(block_size);
    for number in 1..=PAGES {
        file.write(&mut storage, &page(number, page_size), offset(number, page_size)).unwrap();
    }
    file.sync(&mut storage, 2).unwrap();
    (file, storage)
}

fn page(number: u32, page_size: usize) -> Vec<u8> {
    let mut page = vec![number as u8; page_size];
    let mut word = |at: usize, value: u32| page[at..at + 4].copy_from_slice(&value.to_be_bytes());
    if number == 1 {
        word(32, TRUNK);
        word(36, 1 + LEAVES.len() as u32);
        page[..16].copy_from_slice(MAGIC);
        page[16..18].copy_from_slice(&(page_size as u16).to_be_bytes());
    } else if number == TRUNK {
        word(0, 0);
        word(4, LEAVES.len() as u32);
        for (place, leaf) in LEAVES.iter().enumerate() {
            word(8 + 4 * place, *leaf);
        }
    }
    page
}

fn offset(number: u32, page_size: usize) -> u64 {
    u64::from(number - 1) * page_size as u64
}

fn tear(file: &MainFile, storage: &mut MemoryFile, block: u64) {
    let at = file.geometry.slot_offset(block) as usize;
    storage.bytes[at + 100] ^= 1;
}

#[test]
fn a_torn_free_page_is_zeros_after_a_rollback_and_a_torn_page_in_use_stays_an_error() {
    for (block_size, page_size) in [(4096, 4096), (512, 512), (512, 2048)] {
        let (mut file, mut storage) = database(block_size, page_size);
        let blocks = (page_size / block_size as usize) as u64;
        for number in [4u32, 12, 20] {
            tear(&file, &mut storage, u64::from(number - 1) * blocks + blocks / 2);
        }
        let intact = storage.bytes.clone();
        file.rolled_back(&mut storage).unwrap();
        let mut found = vec![0; page_size];
        for number in 1..=PAGES {
            let read = file.read(&mut storage, &mut found, offset(number, page_size));
            match number {
                4 | 12 => {
                    read.unwrap();
                    let at = blocks as usize / 2 * block_size as usize;
                    assert!(found[at..at + block_size as usize].iter().all(|byte| *byte == 0));
                }
                20 => assert_eq!(read.unwrap_err().class, FaultClass::Tampered),
                _ => {
                    read.unwrap();
                    assert_eq!(found, page(number, page_size));
                }
            }
        }
        let changed = storage.bytes.iter().zip(&intact).filter(|(now, before)| now != before).count();
        assert!(changed <= 2 * (block_size as usize + 40), "only what was torn is written");
    }
}

#[test]
fn in_a_block_of_several_pages_a_free_page_that_no_journal_restores_is_zeros() {
    // Pages 9 to 16 are one block and all free; pages 1 to 8 are another, of which only page 4 is.
    let (mut file, mut storage) = database(4096, 512);
    tear(&file, &mut storage, 0);
    tear(&file, &mut storage, 1);
    for number in (1..=8).filter(|number| *number != 4) {
        file.write(&mut storage, &page(number, 512), offset(number, 512)).unwrap();
    }
    file.rolled_back(&mut storage).unwrap();
    let mut found = vec![0; 512];
    for number in 1..=PAGES {
        assert!(file.read(&mut storage, &mut found, offset(number, 512)).unwrap());
        let expected =
            if number == 4 || (9..=16).contains(&number) { vec![0; 512] } else { page(number, 512) };
        assert_eq!(found, expected, "page {number}");
    }
}

#[test]
fn in_a_block_of_several_pages_a_page_in_use_that_no_journal_restores_stays_an_error() {
    let (mut file, mut storage) = database(4096, 512);
    tear(&file, &mut storage, 0);
    tear(&file, &mut storage, 2);
    for number in (1..=7).filter(|number| *number != 4) {
        file.write(&mut storage, &page(number, 512), offset(number, 512)).unwrap();
    }
    file.rolled_back(&mut storage).unwrap();
    file.sync(&mut storage, 2).unwrap();
    let mut found = vec![0; 512];
    for (number, readable) in [(4, true), (7, true), (8, false), (16, true), (17, false), (24, false)] {
        let read = file.read(&mut storage, &mut found, offset(number, 512));
        assert_eq!(read.is_ok(), readable, "page {number}");
    }
}

#[test]
fn a_free_list_that_makes_no_sense_does_no_harm() {
    let (mut file, mut storage) = database(4096, 4096);
    let mut trunk = vec![0xff; 4096];
    trunk[..4].copy_from_slice(&TRUNK.to_be_bytes());
    file.write(&mut storage, &trunk, offset(TRUNK, 4096)).unwrap();
    let before = storage.bytes.clone();
    file.rolled_back(&mut storage).unwrap();
    assert!(storage.bytes == before);
    // And one that cannot be read.
    tear(&file, &mut storage, u64::from(TRUNK) - 1);
    let before = storage.bytes.clone();
    file.rolled_back(&mut storage).unwrap();
    assert!(storage.bytes == before);
}

#[test]
fn a_torn_last_block_that_reaches_beyond_the_database_is_zeros_if_its_pages_are_free() {
    // Pages 9 to 13 and nothing behind them.
    let (mut file, mut storage) = database(4096, 512);
    tear(&file, &mut storage, 1);
    file.truncate(&mut storage, 13 * 512).unwrap();
    file.rolled_back(&mut storage).unwrap();
    let mut found = vec![9; 5 * 512];
    assert!(file.read(&mut storage, &mut found, 8 * 512).unwrap());
    assert!(found.iter().all(|byte| *byte == 0));
}

#[test]
fn torn_pages_behind_the_end_of_the_database_are_zeros() {
    for (block_size, page_size) in [(4096, 4096), (512, 512), (4096, 512)] {
        let (mut file, mut storage) = database(block_size, page_size);
        // A crash after VACUUM had committed and before it cut the file: 18 of 24 pages count.
        let mut first = page(1, page_size);
        first[28..32].copy_from_slice(&18u32.to_be_bytes());
        file.write(&mut storage, &first, 0).unwrap();
        let block_of = |number: u32| offset(number, page_size) / u64::from(block_size);
        let torn = if page_size < block_size as usize { 21..=21 } else { 19..=24 };
        for number in torn {
            tear(&file, &mut storage, block_of(number));
        }
        if page_size < block_size as usize {
            // The block begins with pages 17 and 18, which the journal restores.
            for number in [17, 18] {
                file.write(&mut storage, &page(number, page_size), offset(number, page_size)).unwrap();
            }
        }
        file.rolled_back(&mut storage).unwrap();
        let mut found = vec![9; page_size];
        for number in 17..=PAGES {
            assert!(file.read(&mut storage, &mut found, offset(number, page_size)).unwrap());
            assert_eq!(found[0], if number <= 18 { number as u8 } else { 0 });
        }
    }
}

#[test]
fn what_is_left_of_a_torn_append_is_cut_off() {
    let (mut file, mut storage) = database(4096, 4096);
    let whole = storage.bytes.len();
    storage.bytes.extend([7; 32]);
    file.rolled_back(&mut storage).unwrap();
    assert_eq!(storage.bytes.len(), whole);
    assert_eq!(file.size(&mut storage).unwrap(), u64::from(PAGES) * 4096);
}

#[test]
fn free_pages_are_written_again_after_a_failed_sync_even_if_the_cells_came_first() {
    let (mut file, storage) = database(512, 512);
    let mut storage = Failing::holding(storage);
    let longer = page(PAGES + 1, 512);
    file.write(&mut storage, &longer, offset(PAGES + 1, 512)).unwrap();
    storage.fail = true;
    assert!(file.sync(&mut storage, 2).is_err());
    // The rollback cuts first, and the count of blocks must be durable before.
    file.truncate(&mut storage, offset(PAGES + 1, 512)).unwrap();
    assert!(file.may_be_torn(&storage));
    file.rolled_back(&mut storage).unwrap();
    for leaf in LEAVES {
        let at = file.geometry.slot_offset(u64::from(leaf - 1)) as usize;
        let written = storage.written.iter().any(|(from, to)| *from <= at && at + 512 < *to);
        assert!(written, "page {leaf}");
    }
    assert!(!file.may_be_torn(&storage));
}
