mod untagged;

use proptest::prelude::*;

use super::*;
use crate::facts::MAGIC;
use storage::MemoryFile;
use vault::create::{self, CreateOptions};
use vault::format::cell::{CELL_A_OFFSET, CELL_B_OFFSET, Cell};
use vault::material::Key;

fn created(block_size: u32, suite: crypto::suite::SuiteId) -> (MainFile, MemoryFile) {
    let key = Key::raw(&[7; 32]).unwrap();
    let options = CreateOptions { block_size, suite, ..CreateOptions::default() };
    let key = suite.is_keyed().then_some(key);
    let (region, keys, _) = create::database(key.as_ref(), &options).unwrap();
    let file = MainFile::new(Arc::new(keys), block_size).unwrap();
    (file, MemoryFile { bytes: region, ..MemoryFile::default() })
}

pub fn default_file(block_size: u32) -> (MainFile, MemoryFile) {
    created(block_size, crypto::suite::SuiteId::DEFAULT)
}

#[derive(Clone, Debug)]
enum Step {
    Write { at: u64, len: usize, fill: u8 },
    Truncate { size: u64 },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u64..40, 1usize..20, any::<u8>())
            .prop_map(|(at, len, fill)| Step::Write { at: at * 512, len: len * 512, fill }),
        1 => (0u64..30_000, 1usize..3000, any::<u8>()).prop_map(|(at, len, fill)| Step::Write { at, len, fill }),
        1 => (0u64..40).prop_map(|pages| Step::Truncate { size: pages * 512 }),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Any sequence of writes and cuts reads back like a plain file, but for a cut inside a block, which may
    /// leave the block's rest.
    #[test]
    fn reads_back_what_was_written(shift in 0u32..6, combine: bool, steps in steps()) {
        let (mut file, mut storage) = default_file(512 << shift);
        file.set_combine(combine);
        let block = u64::from(file.block_size());
        let mut model: Vec<u8> = Vec::new();
        for step in steps {
            match step {
                Step::Write { at, len, fill } => {
                    let data = vec![fill; len];
                    file.write(&mut storage, &data, at).unwrap();
                    if model.len() < at as usize + len {
                        model.resize(at as usize + len, 0);
                    }
                    model[at as usize..at as usize + len].copy_from_slice(&data);
                }
                Step::Truncate { size } => {
                    file.truncate(&mut storage, size).unwrap();
                    let kept = (size.div_ceil(block) * block) as usize;
                    if size as usize > model.len() {
                        model.resize(size as usize, 0);
                    } else {
                        model.truncate(kept);
                    }
                }
                Step::Reopen => {
                    file.flush(&mut storage).unwrap();
                    file = MainFile::new(file.keys().clone(), file.block_size()).unwrap();
                }
            }
            if !combine {
                prop_assert_eq!(file.size(&mut storage).unwrap(), model.len() as u64);
            }
        }
        prop_assert_eq!(file.size(&mut storage).unwrap(), model.len() as u64);
        let mut content = vec![0xaa; model.len() + 100];
        let complete = file.read(&mut storage, &mut content, 0).unwrap();
        prop_assert!(!complete);
        prop_assert_eq!(&content[..model.len()], &model[..]);
        prop_assert!(content[model.len()..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn every_suite_round_trips_and_hides_what_it_should() {
    for suite in crypto::suite::SuiteId::ALL {
        let (mut file, mut storage) = created(4096, suite);
        let mut data = b"a marker that must not be found".repeat(512);
        data[..16].copy_from_slice(MAGIC);
        file.write(&mut storage, &data, 0).unwrap();
        let mut back = vec![0; data.len()];
        assert!(file.read(&mut storage, &mut back, 0).unwrap());
        assert_eq!(back, data);
        let seen = storage.bytes.windows(16).any(|window| window == b"marker that must");
        assert_eq!(seen, !suite.is_keyed(), "{}", suite.name());
    }
}

/// A log that began when the file had so many slots.
fn log(main_slots: u64) -> Option<CurrentLog> {
    Some(CurrentLog { generation: [7; 16], main_slots })
}

#[test]
fn a_gap_is_sealed_and_an_erased_slot_is_damage() {
    let (mut file, mut storage) = default_file(512);
    file.write(&mut storage, &[1; 512], 10 * 512).unwrap();
    let mut block = [9; 512];
    assert!(file.read(&mut storage, &mut block, 4 * 512).unwrap());
    assert_eq!(block, [0; 512]);
    let at = file.geometry.slot_offset(4) as usize;
    storage.bytes[at..at + file.geometry.slot_len()].fill(0);
    let fault = file.read(&mut storage, &mut block, 4 * 512).unwrap_err();
    assert_eq!((fault.class, fault.number), (FaultClass::Tampered, Some(4)));
}

#[test]
fn a_hole_beyond_the_generations_count_reads_as_zeros_and_a_checkpoint_seals_it_hazard_8() {
    let (mut file, mut storage) = default_file(512);
    file.write(&mut storage, &[1; 4 * 512], 0).unwrap();
    let synced = file.slots(&mut storage).unwrap();
    // Another process's checkpoint extended the file, and a crash kept the length and lost a sealed slot.
    let mut other = MainFile::new(file.keys().clone(), 512).unwrap();
    other.write(&mut storage, &[2; 4 * 512], synced * 512).unwrap();
    let at = file.geometry.slot_offset(5) as usize;
    storage.bytes[at..at + file.geometry.slot_len()].fill(0);

    let mut block = [9; 512];
    file.lock_taken(&mut storage, true);
    assert!(file.read(&mut storage, &mut block, 5 * 512).is_err());
    file.set_log(&mut storage, log(synced)).unwrap();
    assert!(file.read(&mut storage, &mut block, 5 * 512).unwrap());
    assert_eq!(block, [0; 512]);
    // Below the count it is still damage.
    let early = file.geometry.slot_offset(2) as usize;
    let saved = storage.bytes[early..early + file.geometry.slot_len()].to_vec();
    storage.bytes[early..early + saved.len()].fill(0);
    assert!(file.read(&mut storage, &mut block, 2 * 512).is_err());
    storage.bytes[early..early + saved.len()].copy_from_slice(&saved);

    file.sync(&mut storage, 2).unwrap();
    file.forget_log();
    assert!(file.read(&mut storage, &mut block, 5 * 512).unwrap());
    assert_eq!(block, [0; 512]);
}

#[test]
fn partial_writes_over_a_torn_block_are_collected_until_they_cover_it() {
    let (mut file, mut storage) = default_file(4096);
    file.write(&mut storage, &[1; 8192], 0).unwrap();
    let at = file.geometry.slot_offset(1) as usize;
    storage.bytes[at + 700..at + 1200].fill(0xee);
    for part in 0..8u64 {
        file.write(&mut storage, &[part as u8; 512], 4096 + part * 512).unwrap();
        let mut back = [0; 512];
        assert!(file.read(&mut storage, &mut back, 4096 + part * 512).unwrap());
        assert_eq!(back, [part as u8; 512]);
    }
    file.sync(&mut storage, 2).unwrap();
    let mut block = [0; 4096];
    assert!(file.read(&mut storage, &mut block, 4096).unwrap());
    assert_eq!((block[0], block[4095]), (0, 7));
}

#[test]
fn what_nothing_restored_of_a_torn_block_is_an_error_and_the_rest_is_there() {
    let (mut file, mut storage) = default_file(4096);
    file.write(&mut storage, &[1; 8192], 0).unwrap();
    let at = file.geometry.slot_offset(1) as usize;
    storage.bytes[at + 700] ^= 1;
    for part in [0, 1, 4, 5, 6, 7u64] {
        file.write(&mut storage, &[9; 512], 4096 + part * 512).unwrap();
    }
    file.sync(&mut storage, 2).unwrap();
    let mut again = MainFile::new(file.keys().clone(), 4096).unwrap();
    for part in 0..8u64 {
        let mut page = [0; 512];
        let read = again.read(&mut storage, &mut page, 4096 + part * 512);
        match part {
            2 | 3 => assert_eq!(read.unwrap_err().number, Some(1)),
            _ => assert_eq!((read.unwrap(), page), (true, [9; 512])),
        }
    }
    // A page that is written anew is whole again.
    again.write(&mut storage, &[5; 512], 4096 + 2 * 512).unwrap();
    assert!(again.read(&mut storage, &mut [0; 512], 4096 + 2 * 512).unwrap());
}

#[test]
fn holes_end_where_a_sync_was_recorded_and_an_emptied_file_is_no_new_one() {
    let (mut file, mut storage) = default_file(512);
    file.set_log(&mut storage, log(0)).unwrap();
    file.write(&mut storage, &[2; 8 * 512], 0).unwrap();
    file.sync(&mut storage, 2).unwrap();
    assert_eq!(file.read_length(&mut storage).unwrap().slots, 8);
    let emptied = MemoryFile {
        bytes: storage.bytes[..vault::format::header::HEADER_LEN as usize].to_vec(),
        ..MemoryFile::default()
    };
    // For as long as a lock keeps others from changing the size, it is not asked for again.
    assert_eq!(file.size(&mut emptied.clone()).unwrap(), 8 * 512);
    file.lock_taken(&mut storage, true);
    assert_eq!(file.size(&mut emptied.clone()).unwrap_err().class, FaultClass::Tampered);
    // SQLite may empty it itself: the rollback of the first transaction does.
    file.truncate(&mut storage, 3 * 512).unwrap();
    assert_eq!(file.read_length(&mut storage).unwrap().slots, 3);
    file.truncate(&mut storage, 0).unwrap();
    assert_eq!(file.size(&mut storage).unwrap(), 0);
}

#[test]
fn cells_say_the_same_twice_and_one_copy_is_enough() {
    let (mut file, mut storage) = default_file(512);
    assert!(!file.read_cell(&mut storage).unwrap().active);
    let change = |active, current, previous| {
        move |cell: &mut Cell| {
            cell.active = active;
            cell.current = current;
            cell.previous = previous;
        }
    };
    file.write_cell(&mut storage, change(true, [1; 16], [0; 16]), Some(2)).unwrap();
    file.write_cell(&mut storage, change(false, [0; 16], [1; 16]), None).unwrap();
    for copy in [CELL_A_OFFSET, CELL_B_OFFSET] {
        let mut bent = storage.clone();
        bent.bytes[copy as usize + 30] ^= 1;
        let cell = file.read_cell(&mut bent).unwrap();
        assert_eq!((cell.active, cell.previous), (false, [1; 16]), "never a step back");
        bent.bytes[(CELL_A_OFFSET + CELL_B_OFFSET - copy) as usize + 30] ^= 1;
        assert_eq!(file.read_cell(&mut bent).unwrap_err().class, FaultClass::HeaderDamaged);
    }
}

#[test]
fn a_cell_that_is_half_written_leaves_the_copy_that_counts() {
    let (mut file, mut storage) = default_file(512);
    for round in 1..6u8 {
        let before = file.read_cell(&mut storage).unwrap();
        // Somebody's write of one copy ended halfway; the next one meets the damage first.
        let damaged = if round % 2 == 0 { CELL_A_OFFSET } else { CELL_B_OFFSET };
        storage.bytes[damaged as usize + 30] ^= 1;
        let mut failing = HalfWrites(storage.clone());
        assert!(file.write_cell(&mut failing, |cell| cell.previous = [round; 16], None).is_err());
        assert_eq!(file.read_cell(&mut failing.0).unwrap(), before);
        file.write_cell(&mut storage, |cell| cell.previous = [round; 16], None).unwrap();
    }
}

/// Writes half of what it is given, and says so.
struct HalfWrites(MemoryFile);

impl Storage for HalfWrites {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        self.0.read(buf, offset)
    }
    fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        self.0.write(&data[..data.len() / 2], offset)?;
        Err(Fault::new(FaultClass::Io, "half of it"))
    }
    fn truncate(&mut self, size: u64) -> Result<()> {
        self.0.truncate(size)
    }
    fn sync(&mut self, flags: i32) -> Result<()> {
        self.0.sync(flags)
    }
    fn size(&mut self) -> Result<u64> {
        self.0.size()
    }
}

/// Trap 9 in the last block, of which the file has a part only: what has to be rewritten ends with the file, or
/// where playback cut it before.
#[test]
fn a_torn_last_block_is_whole_once_its_part_is_rewritten() {
    let page = |fill: u8| vec![fill; 512];
    for (grown, cut) in [(false, false), (true, true), (true, false)] {
        let (mut file, mut storage) = default_file(4096);
        file.write(&mut storage, &vec![1; 4096 + 3 * 512], 0).unwrap();
        if grown {
            file.write(&mut storage, &page(2), 4096 + 3 * 512).unwrap();
        }
        let torn = storage.bytes.len() - 100;
        storage.bytes[torn] ^= 1;
        file = MainFile::new(file.keys().clone(), 4096).unwrap();
        if cut {
            file.truncate(&mut storage, 4096 + 3 * 512).unwrap();
        }
        for at in [2, 0, 1] {
            file.write(&mut storage, &page(7), 4096 + at * 512).unwrap();
            assert_eq!(file.overlays.is_empty(), at == 1 && (cut || !grown), "{grown} {cut} {at}");
        }
        if grown && !cut {
            // A checkpoint writes first and cuts in the end.
            file.truncate(&mut storage, 4096 + 3 * 512).unwrap();
        }
        file.sync(&mut storage, 2).unwrap();
        let mut content = vec![0; 4096 + 3 * 512];
        assert!(
            MainFile::new(file.keys().clone(), 4096).unwrap().read(&mut storage, &mut content, 0).unwrap()
        );
        assert!(content[..4096].iter().all(|byte| *byte == 1));
        assert!(content[4096..].iter().all(|byte| *byte == 7));
    }
}

#[test]
fn a_last_block_that_was_cut_stays_an_error_when_the_file_grows() {
    for block_size in [512, 4096] {
        let block = block_size as usize;
        let (mut file, mut storage) = default_file(block_size);
        file.write(&mut storage, &vec![1; 3 * block], 0).unwrap();
        file.sync(&mut storage, 2).unwrap();
        storage.bytes.truncate(storage.bytes.len() - 100);
        file = MainFile::new(file.keys().clone(), block_size).unwrap();
        // SQLite appends by its own count of pages, and need not have read the last one.
        file.write(&mut storage, &vec![2; block], 5 * block as u64).unwrap();
        file.sync(&mut storage, 2).unwrap();
        file = MainFile::new(file.keys().clone(), block_size).unwrap();
        let mut page = vec![9; block];
        let fault = file.read(&mut storage, &mut page, 2 * block as u64).unwrap_err();
        assert_eq!((fault.class, fault.number), (FaultClass::Tampered, Some(2)));
        for (index, fill) in [(1, 1), (3, 0), (4, 0), (5, 2)] {
            assert!(file.read(&mut storage, &mut page, index * block as u64).unwrap());
            assert_eq!(page, vec![fill; block]);
        }
        // Whole, it can be written again.
        file.write(&mut storage, &vec![3; block], 2 * block as u64).unwrap();
        assert!(file.read(&mut storage, &mut page, 2 * block as u64).unwrap());
    }
}

/// A file whose slot is torn for the first `torn` reads, as a checkpointer's write looks to others, and that counts
/// its reads.
struct Busy {
    file: MemoryFile,
    torn: usize,
    reads: usize,
}

impl Storage for Busy {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        self.reads += 1;
        let complete = self.file.read(buf, offset)?;
        if self.reads <= self.torn {
            buf[0] ^= 1;
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
fn only_block_zero_is_read_again_trap_17() {
    let (mut file, mut storage) = default_file(512);
    file.write(&mut storage, &[1; 4 * 512], 0).unwrap();
    let mut busy = Busy { file: storage, torn: 3, reads: 0 };
    let mut block = [9; 512];
    assert!(file.read(&mut busy, &mut block, 0).unwrap());
    assert_eq!((block, busy.reads), ([1; 512], 4));
    for index in 1..4 {
        busy.reads = 0;
        file.lock_taken(&mut busy, true);
        let fault = file.read(&mut busy, &mut block, index * 512).unwrap_err();
        // Reading ahead, then the block alone.
        assert!(busy.reads <= 2);
        assert_eq!((fault.number, block), (Some(index), [0; 512]));
    }
    // Damage that stays is an error in the end.
    busy.torn = usize::MAX;
    busy.reads = 0;
    assert!(file.read(&mut busy, &mut block, 0).is_err());
    assert!((10..100).contains(&busy.reads));
}

#[test]
fn neighbours_are_written_together() {
    for (combine, writes) in [(true, 11), (false, 200)] {
        let (mut file, mut storage) = default_file(512);
        file.write(&mut storage, &[1; 512], 0).unwrap();
        file.set_combine(combine);
        let before = storage.writes;
        for index in 1..=190 {
            file.write(&mut storage, &[2; 512], index * 512).unwrap();
        }
        // Elsewhere, and where the first ones are.
        for index in (1..=10).rev() {
            file.write(&mut storage, &[3; 512], index * 512).unwrap();
        }
        file.flush(&mut storage).unwrap();
        assert_eq!(storage.writes - before, writes);
        let mut page = [0; 512];
        for index in 0..=190 {
            file.read(&mut storage, &mut page, index * 512).unwrap();
            assert_eq!(page[0], if index == 0 { 1 } else { 2 + u8::from(index <= 10) });
        }
    }
}

#[test]
fn what_waits_is_read_and_counted_and_synced() {
    let (mut file, mut storage) = default_file(512);
    file.set_combine(true);
    for index in 0..5 {
        file.write(&mut storage, &[index as u8 + 1; 512], index * 512).unwrap();
    }
    assert_eq!(file.size(&mut storage).unwrap(), 5 * 512);
    file.write(&mut storage, &[9; 512], 512).unwrap();
    let mut page = [0; 512];
    file.read(&mut storage, &mut page, 512).unwrap();
    assert_eq!(page, [9; 512]);
    file.write(&mut storage, &[8; 512], 2 * 512).unwrap();
    file.sync(&mut storage, 2).unwrap();
    let mut other = MainFile::new(file.keys().clone(), 512).unwrap();
    other.read(&mut storage, &mut page, 2 * 512).unwrap();
    assert_eq!(page, [8; 512]);
    // A part of a block that waits.
    file.write(&mut storage, &[7; 512], 3 * 512).unwrap();
    file.write(&mut storage, &[6; 100], 3 * 512 + 50).unwrap();
    file.read(&mut storage, &mut page, 3 * 512).unwrap();
    assert_eq!((page[49], page[50], page[149], page[150]), (7, 6, 6, 7));
    // And one that is cut off.
    file.write(&mut storage, &[5; 512], 4 * 512).unwrap();
    file.truncate(&mut storage, 4 * 512).unwrap();
    assert_eq!(file.size(&mut storage).unwrap(), 4 * 512);
}

#[test]
fn what_could_not_be_written_does_not_get_in_the_way_of_a_rollback() {
    let (mut file, mut storage) = default_file(512);
    for index in 0..4 {
        file.write(&mut storage, &[1; 512], index * 512).unwrap();
    }
    file.set_combine(true);
    storage.limit = Some(storage.bytes.len());
    file.write(&mut storage, &[2; 512], 2 * 512).unwrap();
    file.write(&mut storage, &[2; 512], 3 * 512).unwrap();
    file.write(&mut storage, &[2; 512], 4 * 512).unwrap();
    assert_eq!(file.flush(&mut storage).unwrap_err().class, FaultClass::Io);
    assert!(file.may_be_torn(&storage));
    // The playback of the journal, with the disk still full.
    file.write(&mut storage, &[1; 512], 2 * 512).unwrap();
    file.write(&mut storage, &[1; 512], 3 * 512).unwrap();
    file.truncate(&mut storage, 4 * 512).unwrap();
    file.sync(&mut storage, 2).unwrap();
    let mut page = [0; 512];
    for index in 0..4 {
        assert!(file.read(&mut storage, &mut page, index * 512).unwrap());
        assert_eq!(page, [1; 512]);
    }
}

#[test]
fn blocks_that_wait_are_not_read_ahead_in_their_older_version() {
    let (mut file, mut storage) = default_file(512);
    for index in 0..40 {
        file.write(&mut storage, &[1; 512], index * 512).unwrap();
    }
    file.set_combine(true);
    file.write(&mut storage, &[2; 512], 5 * 512).unwrap();
    let mut page = [0; 512];
    for index in [2, 3, 4] {
        file.read(&mut storage, &mut page, index * 512).unwrap();
    }
    file.flush(&mut storage).unwrap();
    file.read(&mut storage, &mut page, 5 * 512).unwrap();
    assert_eq!(page, [2; 512]);
}

#[test]
fn what_was_read_ahead_is_not_there_any_more_once_it_is_cut_off() {
    let (mut file, mut storage) = default_file(512);
    for index in 0..40 {
        file.write(&mut storage, &[1; 512], index * 512).unwrap();
    }
    let mut page = [0; 512];
    for index in [2, 3, 4] {
        file.read(&mut storage, &mut page, index * 512).unwrap();
    }
    file.truncate(&mut storage, 6 * 512).unwrap();
    assert!(!file.read(&mut storage, &mut page, 6 * 512).unwrap());
    assert!(page.iter().all(|byte| *byte == 0));
}

/// A file of eight synced slots of which the last three are gone.
fn cut_file() -> (MainFile, MemoryFile) {
    let (mut file, mut storage) = default_file(512);
    file.write(&mut storage, &[2; 8 * 512], 0).unwrap();
    file.sync(&mut storage, 2).unwrap();
    storage.bytes.truncate(file.geometry.slot_offset(5) as usize);
    file.lock_taken(&mut storage, true);
    (file, storage)
}

#[test]
fn a_slot_that_was_durable_once_and_is_missing_is_damage_with_and_without_a_log() {
    for current in [None, log(0), log(8)] {
        let (mut file, mut storage) = cut_file();
        file.set_log(&mut storage, current).unwrap();
        assert_eq!(file.check_length(&mut storage).unwrap_err().number, Some(5));
        let fault = file.read(&mut storage, &mut [0; 512], 6 * 512).unwrap_err();
        assert_eq!((fault.class, fault.number), (FaultClass::Tampered, Some(5)));
        // Nobody takes zeros for what is missing, whatever is written behind it.
        let before = storage.bytes.clone();
        assert_eq!(file.write(&mut storage, &[3; 512], 7 * 512).unwrap_err().class, FaultClass::Tampered);
        file.lock_taken(&mut storage, true);
        assert_eq!(file.truncate(&mut storage, 8 * 512).unwrap_err().class, FaultClass::Tampered);
        assert_eq!(storage.bytes, before);
    }
}

#[test]
fn what_a_log_may_hold_may_be_missing() {
    let (mut file, mut storage) = cut_file();
    // The log began with five slots, and a checkpoint of its own cut the file to them.
    file.set_log(&mut storage, log(5)).unwrap();
    storage.bytes.resize(file.geometry.slot_offset(8) as usize, 0);
    file.truncate(&mut storage, 5 * 512).unwrap();
    assert_eq!(file.read_length(&mut storage).unwrap().slots, 5);
    assert!(!file.read(&mut storage, &mut [0; 512], 6 * 512).unwrap());
    file.truncate(&mut storage, 8 * 512).unwrap();
    let mut block = [9; 512];
    assert!(file.read(&mut storage, &mut block, 6 * 512).unwrap());
    assert_eq!(block, [0; 512]);
}

#[test]
fn a_rollback_after_a_crash_completes_the_page_that_the_file_ends_in() {
    let (mut file, mut storage) = default_file(2048);
    file.write(&mut storage, &[2; 2048 + 600], 0).unwrap();
    file.set_rolling_back(true);
    assert_eq!(file.write(&mut storage, &[0; 512], 3072).unwrap_err().class, FaultClass::Tampered);
    file.lock_taken(&mut storage, true);
    file.write(&mut storage, &[3; 512], 2560).unwrap();
    assert_eq!(file.size(&mut storage).unwrap(), 3072);
}

#[test]
fn a_rollback_after_a_crash_makes_no_file_longer() {
    let (mut file, mut storage) = default_file(512);
    file.write(&mut storage, &[2; 4 * 512], 0).unwrap();
    file.set_rolling_back(true);
    // SQLite extends a file that is shorter than its journal says by its last page.
    for offset in [4 * 512, 6 * 512] {
        assert_eq!(file.write(&mut storage, &[0; 512], offset).unwrap_err().class, FaultClass::Tampered);
        file.lock_taken(&mut storage, true);
    }
    file.write(&mut storage, &[3; 512], 3 * 512).unwrap();
    file.set_rolling_back(false);
    file.write(&mut storage, &[0; 512], 4 * 512).unwrap();
}

#[test]
fn the_count_of_slots_follows_every_sync_and_goes_down_before_the_slots() {
    let (mut file, mut storage) = default_file(512);
    for slots in [3, 3, 7, 9] {
        file.write(&mut storage, &vec![1; slots * 512], 0).unwrap();
        assert!(file.read_length(&mut storage).unwrap().slots <= slots as u64);
        file.sync(&mut storage, 2).unwrap();
        assert_eq!(file.read_length(&mut storage).unwrap().slots, slots as u64);
    }
    let syncs = storage.syncs;
    file.truncate(&mut storage, 4 * 512).unwrap();
    assert_eq!((file.read_length(&mut storage).unwrap().slots, storage.syncs), (4, syncs + 1));
    // What was never synced is cut off again without a sync, as after a rollback.
    file.write(&mut storage, &[1; 512], 6 * 512).unwrap();
    file.truncate(&mut storage, 4 * 512).unwrap();
    assert_eq!((file.read_length(&mut storage).unwrap().slots, storage.syncs), (4, syncs + 1));
}

#[test]
fn copied_frames_are_of_one_generation() {
    let (mut file, mut storage) = default_file(512);
    file.record_copied(&mut storage, 3).unwrap();
    file.set_log(&mut storage, log(5)).unwrap();
    assert_eq!(file.copied_frames(&mut storage, &[7; 16]).unwrap(), 0);
    file.record_copied(&mut storage, 3).unwrap();
    file.record_copied(&mut storage, 2).unwrap();
    assert_eq!(file.copied_frames(&mut storage, &[7; 16]).unwrap(), 3);
    assert_eq!(
        file.read_length(&mut storage).unwrap().slots,
        5,
        "what the log says of the main file stays known"
    );
    assert_eq!(file.copied_frames(&mut storage, &[8; 16]).unwrap(), 0);
}

/// A file whose sync fails once and loses what it covered, as Linux does.
pub struct Failing {
    pub file: MemoryFile,
    durable: Vec<u8>,
    /// Where it was written since the last sync.
    pub written: Vec<(usize, usize)>,
    pub fail: bool,
    failed: u64,
}

impl Failing {
    pub fn holding(file: MemoryFile) -> Failing {
        Failing { durable: file.bytes.clone(), file, written: Vec::new(), fail: false, failed: 0 }
    }
}

impl Storage for Failing {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        self.file.read(buf, offset)
    }
    fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        self.written.push((offset as usize, offset as usize + data.len()));
        self.file.write(data, offset)
    }
    fn truncate(&mut self, size: u64) -> Result<()> {
        self.file.truncate(size)
    }
    fn sync(&mut self, _: i32) -> Result<()> {
        let written = std::mem::take(&mut self.written);
        if std::mem::take(&mut self.fail) {
            self.failed += 1;
            return Err(Fault::new(FaultClass::Io, "the medium failed"));
        }
        self.durable.resize(self.file.bytes.len(), 0);
        for (from, to) in written {
            self.durable[from..to].copy_from_slice(&self.file.bytes[from..to]);
        }
        Ok(())
    }
    fn size(&mut self) -> Result<u64> {
        self.file.size()
    }
    fn failed_syncs(&self) -> u64 {
        self.failed
    }
}

#[test]
fn cells_that_a_failed_sync_covered_are_written_again() {
    let (mut file, storage) = default_file(512);
    let mut storage = Failing::holding(storage);
    file.write_cell(&mut storage, |cell| cell.previous = [5; 16], None).unwrap();
    file.set_log(&mut storage, log(0)).unwrap();
    file.record_copied(&mut storage, 9).unwrap();
    storage.fail = true;
    assert!(file.sync(&mut storage, 2).is_err());
    file.sync(&mut storage, 2).unwrap();
    let mut after = MemoryFile { bytes: storage.durable, ..MemoryFile::default() };
    assert_eq!(file.read_cell(&mut after).unwrap().previous, [5; 16]);
    assert_eq!(file.copied_frames(&mut after, &[7; 16]).unwrap(), 9);
}
