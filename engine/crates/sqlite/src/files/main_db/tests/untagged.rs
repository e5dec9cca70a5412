//! Main files whose blocks carry no tag: what still holds where nothing fails to open.

use proptest::prelude::*;

use super::*;
use crate::facts::MAGIC;
use crypto::suite::SuiteId;

const SUITES: [SuiteId; 2] = [SuiteId::Adiantum, SuiteId::Aes256Xts];

/// Pages of 512 bytes of a database, as many as asked for.
fn pages(count: usize, fill: u8) -> Vec<u8> {
    let mut pages = vec![fill; count * 512];
    pages[..16].copy_from_slice(MAGIC);
    pages
}

fn database(suite: SuiteId, block_size: u32, count: usize) -> (MainFile, MemoryFile) {
    let (mut file, mut storage) = created(block_size, suite);
    file.write(&mut storage, &pages(count, 1), 0).unwrap();
    (file, storage)
}

#[derive(Clone, Debug)]
enum PageStep {
    Write { page: u64, count: usize, fill: u8 },
    Truncate { pages: u64 },
    Reopen,
}

fn page_steps() -> impl Strategy<Value = Vec<PageStep>> {
    let step = prop_oneof![
        5 => (1u64..40, 1usize..20, any::<u8>())
            .prop_map(|(page, count, fill)| PageStep::Write { page, count, fill }),
        1 => (1u64..40).prop_map(|pages| PageStep::Truncate { pages }),
        1 => Just(PageStep::Reopen),
    ];
    proptest::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any sequence of page writes and cuts reads back like a plain file, read page by page and at once.
    #[test]
    fn reads_back_what_was_written_hazard_14(
        suite in prop::sample::select(&SUITES[..]),
        shift in 0u32..6,
        combine: bool,
        steps in page_steps(),
    ) {
        let (mut file, mut storage) = created(512 << shift, suite);
        file.set_combine(combine);
        let block = 512 << shift;
        let mut model = pages(1, 9);
        file.write(&mut storage, &model, 0).unwrap();
        model.resize(block, 0);
        for step in steps {
            match step {
                PageStep::Write { page, count, fill } => {
                    let (data, at) = (vec![fill; count * 512], page as usize * 512);
                    file.write(&mut storage, &data, at as u64).unwrap();
                    model.resize(model.len().max(at + data.len()), 0);
                    model[at..at + data.len()].copy_from_slice(&data);
                    model.resize(model.len().next_multiple_of(block), 0);
                }
                PageStep::Truncate { pages } => {
                    let size = pages as usize * 512;
                    file.truncate(&mut storage, size as u64).unwrap();
                    match size > model.len() {
                        true => model.resize(size.next_multiple_of(block), 0),
                        false => model.truncate(size.next_multiple_of(block)),
                    }
                }
                PageStep::Reopen => {
                    file.flush(&mut storage).unwrap();
                    file = MainFile::new(file.keys().clone(), file.block_size()).unwrap();
                }
            }
        }
        prop_assert_eq!(file.size(&mut storage).unwrap(), model.len() as u64);
        let mut page = [0; 512];
        for (number, expected) in model.chunks(512).enumerate() {
            prop_assert!(file.read(&mut storage, &mut page, number as u64 * 512).unwrap());
            prop_assert_eq!(&page[..], expected);
        }
        let mut content = vec![0xaa; model.len() + 100];
        prop_assert!(!file.read(&mut storage, &mut content, 0).unwrap());
        prop_assert_eq!(&content[..model.len()], &model[..]);
        prop_assert!(content[model.len()..].iter().all(|byte| *byte == 0));
        // Without tags the file is as long as what is in it.
        file.flush(&mut storage).unwrap();
        prop_assert_eq!(storage.bytes.len(), 65_536 + model.len());
    }
}

#[test]
fn a_first_block_of_noise_is_damage_hazard_14() {
    for suite in SUITES {
        let (mut file, mut storage) = database(suite, 512, 4);
        storage.bytes[65_536] ^= 1;
        let mut page = [9; 512];
        let fault = file.read(&mut storage, &mut page, 0).unwrap_err();
        assert_eq!((fault.class, fault.number, page), (FaultClass::Tampered, Some(0), [0; 512]));
        // SQLite's look at the change counter, too.
        assert!(file.read(&mut storage, &mut [0; 16], CHANGE_COUNTER_AT).is_err());
        // Of others nothing can be said.
        storage.bytes[65_536 + 512] ^= 1;
        assert!(file.read(&mut storage, &mut page, 512).unwrap());
        assert_ne!(page, [1; 512]);
    }
}

/// A part of the last block that was cut off is missing, and no write seals zeros in its place.
#[test]
fn a_last_block_that_was_cut_short_is_missing_hazard_14() {
    for (suite, cut) in SUITES.into_iter().flat_map(|suite| [512, 1024, 3584, 4000].map(|cut| (suite, cut))) {
        let (mut file, mut storage) = database(suite, 4096, 17);
        file.sync(&mut storage, 0).unwrap();
        assert_eq!(storage.bytes.len(), 65_536 + 3 * 4096);
        storage.bytes.truncate(65_536 + 3 * 4096 - cut);
        let mut file = MainFile::new(file.keys().clone(), 4096).unwrap();
        assert_eq!(file.check_length(&mut storage).unwrap_err().number, Some(2));
        for (at, len) in [(2 * 4096, 4096), (2 * 4096, 512), (3 * 4096 - 512, 512)] {
            let fault = file.read(&mut storage, &mut vec![0; len], at).unwrap_err();
            assert_eq!((fault.class, fault.number), (FaultClass::Tampered, Some(2)), "{cut} {at} {len}");
        }
        let before = storage.bytes.clone();
        assert!(file.write(&mut storage, &[1; 4096], 3 * 4096).is_err());
        assert_eq!(storage.bytes, before);
    }
}

/// Before there were length cells a last block could be shorter; it is read, and whole from its next write on.
#[test]
fn a_short_last_block_of_before_is_read() {
    for suite in SUITES {
        let (mut file, mut storage) = database(suite, 4096, 16);
        file.sync(&mut storage, 0).unwrap();
        file.truncate(&mut storage, 4096).unwrap();
        file.sync(&mut storage, 0).unwrap();
        storage.bytes.resize(65_536 + 4096 + 512, 7);
        let mut file = MainFile::new(file.keys().clone(), 4096).unwrap();
        assert_eq!(file.size(&mut storage).unwrap(), 4096 + 512);
        assert!(file.read(&mut storage, &mut [0; 512], 4096).unwrap());
        file.write(&mut storage, &[3; 512], 4096 + 512).unwrap();
        file.sync(&mut storage, 0).unwrap();
        assert_eq!(storage.bytes.len(), 65_536 + 2 * 4096);
        storage.bytes.truncate(65_536 + 4096 + 512);
        assert!(file.check_length(&mut storage).is_err());
    }
}

#[test]
fn a_first_block_that_is_being_written_is_read_again_hazard_14() {
    for suite in SUITES {
        let (mut file, storage) = database(suite, 512, 4);
        let mut busy = Busy { file: storage, torn: 3, reads: 0 };
        let mut page = [9; 512];
        assert!(file.read(&mut busy, &mut page, 0).unwrap());
        assert_eq!((&page[..], busy.reads), (&pages(1, 1)[..], 4));
    }
}

#[test]
fn pages_written_before_the_first_leave_it_readable_hazard_14() {
    for suite in SUITES {
        let (mut file, mut storage) = created(4096, suite);
        // In its block, and behind it.
        for at in [512, 8192] {
            file.write(&mut storage, &[2; 512], at).unwrap();
            let mut page = [9; 512];
            assert!(file.read(&mut storage, &mut page, 0).unwrap());
            assert_eq!(page, [0; 512]);
        }
        file.write(&mut storage, &pages(1, 1), 0).unwrap();
        let mut page = [9; 512];
        file.read(&mut storage, &mut page, 512).unwrap();
        assert_eq!(page, [2; 512]);
    }
}

#[test]
fn an_erased_slot_is_damage_and_an_honest_hole_is_zeros_hazard_14() {
    for suite in SUITES {
        let (mut file, mut storage) = database(suite, 512, 8);
        storage.bytes[65_536 + 5 * 512..][..512].fill(0);
        let mut page = [9; 512];
        let fault = file.read(&mut storage, &mut page, 5 * 512).unwrap_err();
        assert_eq!((fault.class, fault.number), (FaultClass::Tampered, Some(5)));
        file.lock_taken(&mut storage, true);
        file.set_log(&mut storage, Some(CurrentLog { generation: [1; 16], main_slots: 4 })).unwrap();
        assert!(file.read(&mut storage, &mut page, 5 * 512).unwrap());
        assert_eq!(page, [0; 512]);
        file.sync(&mut storage, 2).unwrap();
        file.forget_log();
        assert!(storage.bytes[65_536 + 5 * 512..][..512].iter().any(|byte| *byte != 0), "sealed");
        assert!(file.read(&mut storage, &mut page, 5 * 512).unwrap());
        assert_eq!(page, [0; 512]);
    }
}

/// There is no nonce and no tag to tell a block kept in clear from the one on disk.
#[test]
fn another_connections_write_is_seen_at_the_next_look_hazard_14() {
    for suite in SUITES {
        let (mut one, mut storage) = database(suite, 4096, 8);
        let mut other = MainFile::new(one.keys().clone(), 4096).unwrap();
        let mut counter = [0; CHANGE_COUNTER_LEN];
        for fill in [3, 4, 5] {
            other.write(&mut storage, &pages(8, fill), 0).unwrap();
            one.read(&mut storage, &mut counter, CHANGE_COUNTER_AT).unwrap();
            assert_eq!(counter, [fill; CHANGE_COUNTER_LEN]);
        }
    }
}

/// A last block shorter than its slot, as databases of before have it, would open to noise at the slot's length.
#[test]
fn a_short_last_block_is_read_at_its_length_in_order_too_hazard_14() {
    for suite in SUITES {
        let (mut file, mut storage) = database(suite, 4096, 8 * 5);
        let mut last = vec![0; 3 * 512];
        file.sealer().seal(5, &NO_CONTEXT, &[1; 3 * 512], &mut last).unwrap();
        storage.bytes.extend(last);
        file = MainFile::new(file.keys().clone(), 4096).unwrap();
        let mut block = [9; 4096];
        for index in 0..5 {
            assert!(file.read(&mut storage, &mut block, index * 4096).unwrap());
        }
        assert!(!file.read(&mut storage, &mut block, 5 * 4096).unwrap());
        assert!(block[..3 * 512].iter().all(|byte| *byte == 1));
        assert!(block[3 * 512..].iter().all(|byte| *byte == 0));
    }
}

/// A rollback rewrites the pages of a torn block one by one, and reads what is left of it as it is.
#[test]
fn a_torn_block_is_whole_again_once_all_of_its_pages_are_written_hazard_14() {
    for suite in SUITES {
        let (mut file, mut storage) = database(suite, 4096, 24);
        for byte in &mut storage.bytes[65_536 + 4096..][..2000] {
            *byte ^= 0x55;
        }
        file = MainFile::new(file.keys().clone(), 4096).unwrap();
        for page in 8..16 {
            file.write(&mut storage, &[7; 512], page * 512).unwrap();
        }
        file.sync(&mut storage, 2).unwrap();
        file.rolled_back(&mut storage).unwrap();
        let mut block = [0; 4096];
        assert!(file.read(&mut storage, &mut block, 4096).unwrap());
        assert_eq!(block, [7; 4096]);
    }
}

#[test]
fn what_is_no_whole_page_at_the_end_counts_for_nothing_hazard_14() {
    for suite in SUITES {
        let (mut file, mut storage) = database(suite, 4096, 16);
        storage.bytes.extend([0x5a; 511]);
        file = MainFile::new(file.keys().clone(), 4096).unwrap();
        assert_eq!(file.size(&mut storage).unwrap(), 16 * 512);
        // The next block goes over it.
        file.write(&mut storage, &[6; 4096], 16 * 512).unwrap();
        let mut block = [0; 4096];
        assert!(file.read(&mut storage, &mut block, 16 * 512).unwrap());
        assert_eq!(block, [6; 4096]);
    }
}
