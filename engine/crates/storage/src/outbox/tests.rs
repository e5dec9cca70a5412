use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::MemoryFile;
use crate::batch::LONGEST_TRANSFER;
use crypto::nonce;
use crypto::secret::Secret;
use crypto::suite::SuiteId;
use ground::error::FileKind;
use vault::file_keys::FileKeys;

/// A file whose batches are written when they are waited for, or fail.
#[derive(Default)]
struct SlowFile {
    disk: MemoryFile,
    on_its_way: VecDeque<Arc<Batch>>,
    /// Which of the next batches fail.
    failing: VecDeque<bool>,
    begun: usize,
    ended: usize,
    gone: bool,
    never: bool,
    /// No further batch is taken.
    refuses: bool,
}

impl Storage for SlowFile {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        self.disk.read(buf, offset)
    }
    fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        assert!(self.on_its_way.is_empty(), "two threads write");
        self.disk.write(data, offset)
    }
    fn truncate(&mut self, size: u64) -> Result<()> {
        self.disk.truncate(size)
    }
    fn sync(&mut self, flags: i32) -> Result<()> {
        self.disk.sync(flags)
    }
    fn size(&mut self) -> Result<u64> {
        self.disk.size()
    }
    fn pace_for_batches(&self) -> Duration {
        if self.never { Duration::ZERO } else { Duration::MAX }
    }
    fn begin_batch(&mut self, batch: &Arc<Batch>) -> bool {
        assert!(self.on_its_way.len() < IN_FLIGHT, "too many batches at a time");
        if self.refuses {
            return false;
        }
        self.on_its_way.push_back(Arc::clone(batch));
        self.begun += 1;
        self.gone = false;
        true
    }
    fn end_batch(&mut self) -> BatchEnd {
        let batch = self.on_its_way.pop_front().expect("asked about a batch that was never begun");
        self.ended += 1;
        let write = |bytes: &[u8], offset| self.disk.write(bytes, offset);
        if self.failing.pop_front().unwrap_or(false) || batch.write_by(&mut Vec::new(), write).is_err() {
            self.on_its_way.clear();
            return BatchEnd::Failed;
        }
        BatchEnd::Written
    }
    fn end_batches(&mut self) {
        while !self.on_its_way.is_empty() {
            self.end_batch();
        }
        self.gone = true;
    }
}

/// Slots so long that few fit into a batch.
const LEN: usize = LONGEST_TRANSFER / 7;
/// Slots of a full batch.
const MOST: u64 = 7;
const CONTEXT: [u8; 16] = [5; 16];

/// An outbox with what seals its slots.
struct Bench {
    outbox: Outbox,
    sealer: Sealer,
}

impl Bench {
    fn new() -> Self {
        let keys = FileKeys::new([1; 16], [2; 16], SuiteId::DEFAULT, Some(Secret::random().unwrap()));
        Bench { outbox: Outbox::default(), sealer: keys.unwrap().sealer(FileKind::MainDb).unwrap() }
    }

    fn plain_len(&self) -> usize {
        LEN - self.sealer.overhead()
    }

    /// Adds slot `index`, filled with `value`, in two parts if the value is odd.
    fn add(&mut self, storage: &mut dyn Storage, index: u64, value: u8) -> Result<()> {
        let plain = vec![value; self.plain_len()];
        let parts = plain.split_at(usize::from(value % 2) * 24).into();
        let slot = Slot { index, offset: index * LEN as u64, context: CONTEXT, parts };
        self.outbox.add(storage, &self.sealer, &slot).map(|_| ())
    }

    /// What slot `index` is filled with, as the outbox has it.
    fn unwritten(&self, index: u64) -> Option<u8> {
        match self.outbox.get(index)? {
            Unwritten::Clear(plain) => Some(plain[plain.len() - 1]),
            Unwritten::Sealed(sealed) => Some(self.open(index, sealed)),
        }
    }

    fn open(&self, index: u64, sealed: &[u8]) -> u8 {
        let mut plain = vec![0; self.plain_len()];
        self.sealer.open(index, &CONTEXT, sealed, &mut plain).unwrap();
        assert!(plain.iter().all(|byte| *byte == plain[0]));
        plain[0]
    }

    /// What the slots of a file are filled with; 0 for a hole.
    fn file(&self, disk: &MemoryFile) -> Vec<u8> {
        let slots = disk.bytes.chunks(LEN).enumerate();
        slots
            .map(
                |(index, slot)| {
                    if slot.iter().all(|byte| *byte == 0) { 0 } else { self.open(index as u64, slot) }
                },
            )
            .collect()
    }
}

#[test]
fn slots_wait_and_neighbours_are_one_write() {
    let (mut bench, mut disk) = (Bench::new(), MemoryFile::default());
    for index in [0, 1, 2, 5, 6, 4] {
        bench.add(&mut disk, index, index as u8 + 1).unwrap();
    }
    assert!(disk.bytes.is_empty() && !bench.outbox.is_empty());
    assert_eq!((bench.unwritten(5), bench.unwritten(3)), (Some(6), None));
    assert_eq!(bench.outbox.end(), 7 * LEN as u64);
    bench.add(&mut disk, 1, 9).unwrap();
    assert_eq!(bench.unwritten(1), Some(9));
    bench.outbox.flush(&mut disk).unwrap();
    assert_eq!(disk.writes, 4);
    assert_eq!(bench.file(&disk), [1, 9, 3, 0, 5, 6, 7]);
    assert!(bench.outbox.is_empty() && bench.unwritten(1).is_none() && bench.outbox.end() == 0);
}

#[test]
fn a_full_batch_is_written_and_later_ones_beside_the_work() {
    let (mut bench, mut file) = (Bench::new(), SlowFile::default());
    for index in 0..MOST + 1 {
        bench.add(&mut file, index, 1).unwrap();
    }
    assert_eq!((file.disk.bytes.len(), file.disk.writes, file.begun), (MOST as usize * LEN, 1, 0));
    assert!(matches!(bench.outbox.get(MOST), Some(Unwritten::Clear(_))), "the thread seals it");
    for index in MOST + 1..2 * MOST + 1 {
        bench.add(&mut file, index, 2).unwrap();
    }
    assert_eq!((file.begun, file.ended, file.disk.writes), (1, 0, 1));
    assert_eq!((bench.unwritten(0), bench.unwritten(MOST + 1)), (None, Some(2)));
    assert_eq!(bench.outbox.end(), (2 * MOST + 1) * LEN as u64);
    bench.outbox.flush(&mut file).unwrap();
    assert_eq!((file.ended, file.gone), (1, true));
    assert_eq!(bench.file(&file.disk), [[1; 8].as_slice(), &[2; 7]].concat());
    // Several may be on their way, and the thread stays. Only then the first is waited for.
    let slots = (IN_FLIGHT as u64 + 2) * MOST;
    for index in 0..slots {
        bench.add(&mut file, index, 3).unwrap();
    }
    assert_eq!((file.on_its_way.len(), file.ended, file.gone), (IN_FLIGHT, 1, false));
    assert_eq!((bench.unwritten(0), bench.unwritten(MOST)), (None, Some(3)));
    bench.add(&mut file, slots, 4).unwrap();
    assert_eq!((file.on_its_way.len(), file.ended, bench.unwritten(MOST)), (IN_FLIGHT, 2, None));
    bench.add(&mut file, 2 * MOST, 5).unwrap();
    assert_eq!(bench.unwritten(2 * MOST), Some(5), "the last word");
    bench.outbox.flush(&mut file).unwrap();
    assert_eq!((file.begun, file.ended, file.gone), (IN_FLIGHT + 2, IN_FLIGHT + 2, true));
    let mut expected = vec![3; slots as usize + 1];
    (expected[2 * MOST as usize], expected[slots as usize]) = (5, 4);
    assert_eq!(bench.file(&file.disk), expected);
}

#[test]
fn what_fills_slowly_is_written_at_once() {
    let (mut bench, mut file) = (Bench::new(), SlowFile { never: true, ..SlowFile::default() });
    for index in 0..4 * MOST + 1 {
        bench.add(&mut file, index, 1).unwrap();
    }
    assert_eq!((file.begun, file.disk.writes), (0, 4));
    assert!(matches!(bench.outbox.get(4 * MOST), Some(Unwritten::Sealed(_))));
}

#[test]
fn a_pace_that_changes_in_the_middle_is_followed() {
    let (mut bench, mut file) = (Bench::new(), SlowFile::default());
    for index in 0..9 * MOST + 1 {
        file.never = (3 * MOST..6 * MOST).contains(&index);
        bench.add(&mut file, index, index as u8 + 1).unwrap();
    }
    assert!((3..7).contains(&file.begun), "{}", file.begun);
    bench.outbox.flush(&mut file).unwrap();
    assert_eq!(bench.file(&file.disk), (1..=9 * MOST as u8 + 1).collect::<Vec<_>>());
    assert!(file.gone);
}

#[test]
fn a_batch_that_failed_is_written_again_or_fails_the_next_call() {
    let (mut bench, mut file) = (Bench::new(), SlowFile::default());
    file.failing = [true].into();
    for index in 0..2 * MOST + 1 {
        bench.add(&mut file, index, 1).unwrap();
    }
    bench.outbox.flush(&mut file).unwrap();
    assert_eq!(bench.file(&file.disk), [1; 15]);

    // The second of three that are on their way; the third stays behind it.
    file.failing = [false, true].into();
    for index in 0..4 * MOST + 1 {
        bench.add(&mut file, index, 2).unwrap();
    }
    assert_eq!(file.on_its_way.len(), 3);
    file.disk.limit = Some(2 * MOST as usize * LEN);
    for _ in 0..3 {
        assert!(bench.outbox.flush(&mut file).is_err());
        assert_eq!((bench.unwritten(MOST), bench.unwritten(2 * MOST)), (None, Some(2)));
        assert_eq!((bench.unwritten(3 * MOST), bench.unwritten(4 * MOST)), (Some(2), Some(2)));
        assert_eq!(bench.file(&file.disk)[..14], [2; 14]);
    }
    file.disk.limit = None;
    bench.outbox.flush(&mut file).unwrap();
    assert_eq!(bench.file(&file.disk), [2; 29]);
}

#[test]
fn a_batch_that_is_refused_is_written_after_those_that_were_not() {
    let (mut bench, mut file) = (Bench::new(), SlowFile::default());
    for index in 0..3 * MOST + 1 {
        bench.add(&mut file, index, 1).unwrap();
    }
    assert_eq!(file.on_its_way.len(), 2);
    file.refuses = true;
    // Of what is on its way already, slot 2 * MOST is written again.
    for index in 2 * MOST..3 * MOST {
        bench.add(&mut file, index, 2).unwrap();
    }
    assert_eq!((file.on_its_way.len(), file.ended), (0, 2));
    bench.outbox.flush(&mut file).unwrap();
    assert_eq!(bench.file(&file.disk), [[1; 14].as_slice(), &[2; 7], &[1]].concat());
}

#[test]
fn what_is_discarded_is_not_on_its_way_any_more() {
    let (mut bench, mut file) = (Bench::new(), SlowFile::default());
    for index in 0..2 * MOST + 1 {
        bench.add(&mut file, index, 1).unwrap();
    }
    assert!(!file.on_its_way.is_empty());
    bench.outbox.discard(&mut file);
    assert!(file.on_its_way.is_empty() && file.gone);
    assert!(bench.outbox.is_empty() && bench.unwritten(MOST).is_none());
    let written = file.disk.bytes.clone();
    bench.outbox.flush(&mut file).unwrap();
    assert_eq!(file.disk.bytes, written);
}

#[test]
fn a_slot_that_cannot_be_sealed_does_not_wait_and_the_others_do() {
    let (mut bench, mut disk) = (Bench::new(), MemoryFile::default());
    bench.add(&mut disk, 0, 7).unwrap();
    nonce::fail_rng_for_tests(true);
    for index in [0, 1] {
        assert!(bench.add(&mut disk, index, 9).is_err());
    }
    nonce::fail_rng_for_tests(false);
    assert_eq!((bench.unwritten(0), bench.unwritten(1)), (Some(7), None));
    bench.add(&mut disk, 1, 8).unwrap();
    bench.outbox.flush(&mut disk).unwrap();
    assert_eq!(bench.file(&disk), [7, 8]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is written in whatever order, with batches that fail: the outbox has what was added last, and in the end
    /// so does the file.
    #[test]
    fn the_last_word_counts(
        writes in prop::collection::vec((0u64..60, 0u8..60), 0..240),
        failing in prop::collection::vec(prop::bool::weighted(0.2), 0..30),
    ) {
        let (mut bench, mut file) = (Bench::new(), SlowFile::default());
        file.failing = failing.into();
        let mut expected = std::collections::BTreeMap::new();
        for (turn, (index, what)) in writes.into_iter().enumerate() {
            if what == 0 {
                bench.outbox.flush(&mut file).unwrap();
            }
            let value = turn as u8 + 1;
            bench.add(&mut file, index, value).unwrap();
            expected.insert(index, value);
            prop_assert_eq!(bench.unwritten(index), Some(value));
        }
        bench.outbox.flush(&mut file).unwrap();
        let written = bench.file(&file.disk);
        for (index, value) in expected {
            prop_assert_eq!(written[index as usize], value);
        }
    }
}
