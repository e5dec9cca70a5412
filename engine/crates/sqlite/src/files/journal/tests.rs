use proptest::prelude::*;

use super::*;
use crate::format::journal_header::MAX_EXTENT_PAYLOAD;
use crypto::secret::Secret;
use crypto::suite::SuiteId;
use storage::MemoryFile;

fn keys() -> Arc<FileKeys> {
    Arc::new(FileKeys::new([1; 16], [2; 16], SuiteId::DEFAULT, Secret::from_slice(&[3; 32])).unwrap())
}

fn content(file: &mut JournalFile, storage: &mut MemoryFile) -> Vec<u8> {
    let mut all = vec![0; file.size(storage).unwrap() as usize];
    assert!(file.read(storage, &mut all, 0).unwrap());
    all
}

#[derive(Clone, Debug)]
enum Step {
    Write { at: u64, len: usize, fill: u8 },
    Append { len: usize, fill: u8 },
    Cut { percent: u64 },
    Flush,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (1usize..5000, 1u8..).prop_map(|(len, fill)| Step::Append { len, fill }),
        2 => (0u64..60_000, 1usize..600, 1u8..).prop_map(|(at, len, fill)| Step::Write { at, len, fill }),
        1 => (1u64..100).prop_map(|percent| Step::Cut { percent }),
        2 => Just(Step::Flush),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Appends, patches and cuts read back like a plain file, from memory and from disk.
    #[test]
    fn reads_back_what_was_written(steps in steps()) {
        let (keys, mut storage) = (keys(), MemoryFile::default());
        let mut file = JournalFile::new(keys.clone(), false).unwrap();
        let mut model: Vec<u8> = Vec::new();
        for step in steps {
            let (at, len, fill) = match step {
                Step::Write { at, len, fill } => (at, len, fill),
                Step::Append { len, fill } => (model.len() as u64, len, fill),
                Step::Cut { percent } => {
                    let size = model.len() as u64 * percent / 100;
                    if size > 0 {
                        file.truncate(&mut storage, size).unwrap();
                        model.truncate(size as usize);
                    }
                    continue;
                }
                Step::Flush => {
                    file.flush(&mut storage).unwrap();
                    continue;
                }
                Step::Reopen => {
                    file.flush(&mut storage).unwrap();
                    file = JournalFile::new(keys.clone(), false).unwrap();
                    continue;
                }
            };
            file.write(&mut storage, &vec![fill; len], at).unwrap();
            let end = at as usize + len;
            if model.len() < end {
                model.resize(end, 0);
            }
            model[at as usize..end].fill(fill);
            prop_assert_eq!(file.size(&mut storage).unwrap(), model.len() as u64);
        }
        prop_assert_eq!(content(&mut file, &mut storage), model.clone());
        file.flush(&mut storage).unwrap();
        let mut again = JournalFile::new(keys, false).unwrap();
        prop_assert_eq!(content(&mut again, &mut storage), model);
    }

    /// Whatever a crash leaves of the end, what was flushed before is there.
    #[test]
    fn a_torn_tail_costs_only_itself(cut in 0usize..3000, noise in any::<u8>()) {
        let (keys, mut storage) = (keys(), MemoryFile::default());
        let mut file = JournalFile::new(keys.clone(), false).unwrap();
        file.write(&mut storage, &[1; 3000], 0).unwrap();
        file.sync(&mut storage, 2).unwrap();
        let synced = storage.bytes.len();
        file.write(&mut storage, &[2; 2500], 3000).unwrap();
        file.write(&mut storage, &[3; 12], 100).unwrap();
        file.flush(&mut storage).unwrap();
        let keep = (synced + cut).min(storage.bytes.len());
        storage.bytes[keep..].fill(noise);
        let mut again = JournalFile::new(keys, false).unwrap();
        let left = content(&mut again, &mut storage);
        prop_assert!(left.len() >= 3000);
        prop_assert_eq!(&left[200..3000], &[1; 2800][..]);
    }
}

#[test]
fn a_patch_is_appended_and_nothing_synced_is_written_again() {
    let (keys, mut storage) = (keys(), MemoryFile::default());
    let mut file = JournalFile::new(keys, false).unwrap();
    file.write(&mut storage, &[1; 5000], 0).unwrap();
    file.sync(&mut storage, 2).unwrap();
    let synced = storage.bytes.clone();
    file.write(&mut storage, &[2; 12], 0).unwrap();
    file.sync(&mut storage, 2).unwrap();
    assert_eq!(storage.bytes[..synced.len()], synced[..]);
    assert!(storage.bytes.len() > synced.len());
}

#[test]
fn the_padding_behind_a_header_takes_no_room() {
    let keys = keys();
    let mut header = vec![0; 4096];
    header[..8].copy_from_slice(&JOURNAL_MAGIC);
    header[8..12].fill(0xff);
    header[SECTOR_SIZE].copy_from_slice(&4096u32.to_be_bytes());
    for (records, most) in [(0, 4600), (3000, 3400)] {
        let (mut file, mut storage) = (JournalFile::new(keys.clone(), false).unwrap(), MemoryFile::default());
        let whole = [&header[..], &vec![7; records]].concat();
        file.write(&mut storage, &header, 0).unwrap();
        file.write(&mut storage, &vec![7; records], 4096).unwrap();
        file.sync(&mut storage, 2).unwrap();
        assert!(storage.bytes.len() < most);
        assert_eq!(storage.writes, 1);
        assert_eq!(content(&mut file, &mut storage), whole);
        assert_eq!(content(&mut JournalFile::new(keys.clone(), false).unwrap(), &mut storage), whole);
    }
    // Where something else was written, zeros are content.
    let (mut file, mut storage) = (JournalFile::new(keys, false).unwrap(), MemoryFile::default());
    file.write(&mut storage, &[9; 6000], 0).unwrap();
    file.sync(&mut storage, 2).unwrap();
    let whole = [&header[..], &[7; 1904]].concat();
    file.write(&mut storage, &whole, 0).unwrap();
    file.sync(&mut storage, 2).unwrap();
    assert_eq!(content(&mut file, &mut storage), whole);
}

#[test]
fn what_another_connection_left_is_seen_by_one_that_kept_the_journal_open() {
    let mut storage = MemoryFile::default();
    let mut kept = JournalFile::new(keys(), false).unwrap();
    kept.write(&mut storage, &[1; 600], 0).unwrap();
    kept.sync(&mut storage, 2).unwrap();
    kept.truncate(&mut storage, 0).unwrap();
    let mut other = JournalFile::new(keys(), false).unwrap();
    other.write(&mut storage, &[2; 600], 0).unwrap();
    other.sync(&mut storage, 2).unwrap();
    kept.forget().unwrap();
    assert_eq!(content(&mut kept, &mut storage), [2; 600]);
}

#[test]
fn zeroing_the_header_finishes_a_persistent_journal() {
    let (keys, mut storage) = (keys(), MemoryFile::default());
    let mut file = JournalFile::new(keys.clone(), false).unwrap();
    file.write(&mut storage, &JOURNAL_MAGIC.repeat(100), 0).unwrap();
    file.sync(&mut storage, 2).unwrap();
    file.write(&mut storage, &[0; FINISH_LEN], 0).unwrap();
    for mut file in [file, JournalFile::new(keys, false).unwrap()] {
        let mut first = [9];
        file.read(&mut storage, &mut first, 0).unwrap();
        assert_eq!(first, [0], "the journal must not look hot");
    }
}

#[test]
fn damage_in_a_part_that_was_durable_is_an_error_and_a_torn_end_is_not() {
    let (keys, mut storage) = (keys(), MemoryFile::default());
    let mut file = JournalFile::new(keys.clone(), false).unwrap();
    file.write(&mut storage, &[1; 3000], 0).unwrap();
    file.flush(&mut storage).unwrap();
    let first = storage.bytes.len();
    file.write(&mut storage, &[2; 3000], 3000).unwrap();
    file.sync(&mut storage, 2).unwrap();
    let synced = storage.bytes.len();
    file.write(&mut storage, &[3; 12], 8).unwrap();
    file.sync(&mut storage, 2).unwrap();
    for at in (JOURNAL_PREAMBLE_LEN..synced).step_by(97).chain([first, first + 5, first + 9]) {
        let mut damaged = storage.clone();
        damaged.bytes[at] ^= 1;
        let mut file = JournalFile::new(keys.clone(), false).unwrap();
        let fault = file.size(&mut damaged).unwrap_err();
        assert_eq!(fault.class, FaultClass::Tampered, "byte {at}");
        assert!(file.size(&mut damaged).is_err(), "and again");
        assert!(JournalFile::new(keys.clone(), true).unwrap().size(&mut damaged).is_ok());
    }
    let mut torn = storage.clone();
    torn.bytes[synced + 30] ^= 1;
    let size = JournalFile::new(keys, false).unwrap().size(&mut torn).unwrap();
    assert_eq!(size, 6000);
}

#[test]
fn a_bit_flipped_in_a_finished_journal_does_not_revive_it() {
    let (keys, mut storage) = (keys(), MemoryFile::default());
    let mut file = JournalFile::new(keys.clone(), false).unwrap();
    file.write(&mut storage, &[4; 700], 0).unwrap();
    file.sync(&mut storage, 2).unwrap();
    file.write(&mut storage, &[0; FINISH_LEN], 0).unwrap();
    for at in 0..JOURNAL_PREAMBLE_LEN + EXTENT_HEAD_LEN {
        let mut changed = storage.clone();
        changed.bytes[at] ^= 1;
        let mut first = [9];
        if JournalFile::new(keys.clone(), false).unwrap().read(&mut changed, &mut first, 0).is_ok() {
            assert_eq!(first, [0], "byte {at}");
        }
    }
}

#[test]
fn a_damaged_preamble_does_not_lose_the_extents() {
    let (keys, mut storage) = (keys(), MemoryFile::default());
    let mut file = JournalFile::new(keys.clone(), false).unwrap();
    file.write(&mut storage, &[4; 700], 0).unwrap();
    file.sync(&mut storage, 2).unwrap();
    storage.bytes[70] ^= 1;
    assert_eq!(content(&mut JournalFile::new(keys, false).unwrap(), &mut storage), vec![4; 700]);
}

#[test]
fn foreign_and_plaintext_journals_are_errors() {
    let (keys, mut storage) = (keys(), MemoryFile::default());
    let mut file = JournalFile::new(keys.clone(), false).unwrap();
    file.write(&mut storage, &[4; 700], 0).unwrap();
    file.sync(&mut storage, 2).unwrap();
    let other = FileKeys::new([9; 16], [2; 16], SuiteId::DEFAULT, Secret::from_slice(&[3; 32])).unwrap();
    let fault = JournalFile::new(Arc::new(other), false).unwrap().size(&mut storage).unwrap_err();
    assert_eq!((fault.class, fault.kind), (FaultClass::Tampered, Some(FileKind::MainJournal)));
    let mut plain = MemoryFile { bytes: JOURNAL_MAGIC.repeat(64), ..MemoryFile::default() };
    let fault = JournalFile::new(keys, false).unwrap().size(&mut plain).unwrap_err();
    assert_eq!(fault.class, FaultClass::Tampered);
}

#[test]
fn the_super_journal_trailer_is_clear_and_last() {
    let (keys, mut storage) = (keys(), MemoryFile::default());
    let mut file = JournalFile::new(keys.clone(), false).unwrap();
    file.write(&mut storage, &[4; 700], 0).unwrap();
    let name = b"/tmp/app.db-mj0123";
    let mut record = vec![0, 0, 0, 9];
    record.extend_from_slice(name);
    record.extend_from_slice(&(name.len() as u32).to_be_bytes());
    record.extend_from_slice(&77u32.to_be_bytes());
    file.write(&mut storage, &record[..4], 700).unwrap();
    file.write(&mut storage, name, 704).unwrap();
    file.write(&mut storage, &record[4 + name.len()..][..4], 704 + name.len() as u64).unwrap();
    file.write(&mut storage, &record[8 + name.len()..], 708 + name.len() as u64).unwrap();
    file.write(&mut storage, &JOURNAL_MAGIC, 712 + name.len() as u64).unwrap();
    file.sync(&mut storage, 2).unwrap();
    // SQLite patches the record count and syncs once more after the trailer.
    file.write(&mut storage, &[0, 0, 0, 1], 8).unwrap();
    file.sync(&mut storage, 2).unwrap();
    let mut trailer = record[4..].to_vec();
    trailer.extend_from_slice(&JOURNAL_MAGIC);
    assert!(storage.bytes.ends_with(&trailer));
    let all = content(&mut JournalFile::new(keys, false).unwrap(), &mut storage);
    assert!(all.ends_with(&trailer), "the sealed copy says the same");
    assert_eq!(&all[8..12], &[0, 0, 0, 1]);
}

#[test]
fn a_journal_full_of_overlapping_heads_is_refused_quickly() {
    let (mut storage, mut file) = (MemoryFile::default(), JournalFile::new(keys(), false).unwrap());
    file.write(&mut storage, &[7; 4000], 0).unwrap();
    file.flush(&mut storage).unwrap();
    let id: [u8; 16] = storage.bytes[64..80].try_into().unwrap();
    let head = ExtentHead { len: MAX_EXTENT_PAYLOAD as u32, journal_id: id }.encode();
    // Each of these could be the beginning of an extent of 1 MiB, and would be tried under several numbers.
    storage.bytes.extend(head.repeat(4 << 20 >> 4));
    let started = std::time::Instant::now();
    let mut file = JournalFile::new(keys(), false).unwrap();
    assert_eq!(file.size(&mut storage).unwrap_err().class, FaultClass::Tampered);
    assert!(started.elapsed().as_secs() < 20);
}

#[test]
fn an_extent_beyond_every_offset_is_not_read() {
    // Without a key anybody can make one.
    let keys = Arc::new(FileKeys::new([1; 16], [0; 16], SuiteId::Checksum, None).unwrap());
    let sealer = keys.sealer(FileKind::MainJournal).unwrap();
    for at in [u64::MAX, u64::MAX - 8, i64::MAX as u64] {
        let preamble = JournalPreamble { uuid: keys.uuid, key_id: keys.key_id, journal_id: [4; 16] };
        let mut storage = MemoryFile { bytes: preamble.encode().to_vec(), ..MemoryFile::default() };
        let payload = [&at.to_le_bytes()[..], &[0; 8], &[7; 100]].concat();
        storage.bytes.extend(ExtentHead { len: payload.len() as u32, journal_id: [4; 16] }.encode());
        let start = storage.bytes.len();
        storage.bytes.resize(start + payload.len() + sealer.overhead(), 0);
        sealer.seal(0, &[4; 16], &payload, &mut storage.bytes[start..]).unwrap();
        let mut file = JournalFile::new(keys.clone(), false).unwrap();
        assert_eq!(file.size(&mut storage).unwrap(), 0);
    }
}
