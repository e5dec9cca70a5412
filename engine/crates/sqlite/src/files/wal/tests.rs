mod loss;

use proptest::prelude::*;

use super::*;
use crate::files::main_db::MainFile;
use crate::format::header::HEADER_LEN;
use crypto::secret::Secret;
use crypto::suite::SuiteId;
use storage::LONGEST_TRANSFER;
use storage::MemoryFile;
use vault::create::{self, CreateOptions};
use vault::material::Key;

const PAGE: usize = 512;
const FRAME: u64 = (FRAME_HEADER + PAGE) as u64;

/// The main file's part, without a main file.
#[derive(Clone)]
struct Main {
    cell: Cell,
    log: Option<CurrentLog>,
    copied: u64,
    syncs: usize,
}

impl MainLink for Main {
    fn cell(&mut self) -> Result<Cell> {
        Ok(self.cell)
    }
    fn set_cell(
        &mut self,
        active: bool,
        current: [u8; 16],
        previous: [u8; 16],
        sync: Option<i32>,
    ) -> Result<()> {
        self.syncs += usize::from(sync.is_some());
        self.cell = Cell { sequence: self.cell.sequence + 1, active, current, previous, synced_slots: 0 };
        Ok(())
    }
    fn sync(&mut self) -> Result<()> {
        self.syncs += 1;
        Ok(())
    }
    fn slots(&mut self) -> Result<u64> {
        Ok(42)
    }
    fn set_log(&mut self, log: Option<CurrentLog>) -> Result<()> {
        self.log = log;
        Ok(())
    }
    fn copied_frames(&mut self, _: &[u8; 16]) -> Result<u64> {
        Ok(self.copied)
    }
}

struct Bench {
    keys: Arc<FileKeys>,
    main: Main,
    storage: MemoryFile,
}

impl Bench {
    fn new() -> Bench {
        let keys = FileKeys::new([1; 16], [2; 16], SuiteId::DEFAULT, Secret::from_slice(&[3; 32])).unwrap();
        let cell = Cell { sequence: 1, active: false, current: [0; 16], previous: [0; 16], synced_slots: 0 };
        Bench {
            keys: Arc::new(keys),
            main: Main { cell, log: None, copied: 0, syncs: 0 },
            storage: MemoryFile::default(),
        }
    }

    fn open(&self) -> WalFile {
        WalFile::new(self.keys.clone(), false).unwrap()
    }

    fn write(&mut self, wal: &mut WalFile, data: &[u8], at: u64) {
        wal.write(&mut self.storage, &mut self.main, data, at).unwrap();
    }

    fn begin(&mut self, wal: &mut WalFile, salt: u8) {
        let mut header = [salt; SQLITE_HEADER];
        header[8..12].copy_from_slice(&(PAGE as u32).to_be_bytes());
        // A restart counts the first salt up.
        header[16..20].copy_from_slice(&u32::from(salt).to_be_bytes());
        self.write(wal, &header, 0);
    }

    /// A frame as SQLite writes it: header, then page.
    fn frame(&mut self, wal: &mut WalFile, index: u64, fill: u8) {
        self.write(wal, &[fill; FRAME_HEADER], 32 + index * FRAME);
        self.write(wal, &[fill; PAGE], 32 + index * FRAME + FRAME_HEADER as u64);
    }

    fn read(&mut self, wal: &mut WalFile, at: u64, len: usize) -> Result<Vec<u8>> {
        let mut buf = vec![0xaa; len];
        wal.read(&mut self.storage, &mut self.main, &mut buf, at).map(|_| buf)
    }

    fn page(&mut self, wal: &mut WalFile, index: u64) -> Result<Vec<u8>> {
        self.read(wal, 32 + index * FRAME + FRAME_HEADER as u64, PAGE)
    }

    fn whole(&mut self, wal: &mut WalFile, index: u64) -> Result<Vec<u8>> {
        self.read(wal, 32 + index * FRAME, FRAME as usize)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Frames, page-only and header-only rewrites, and headers split anywhere, read back as written.
    #[test]
    fn all_write_shapes_read_back(
        shapes in proptest::collection::vec((0u8..5, 0u64..12, 1u8.., 1usize..(FRAME as usize)), 1..40)
    ) {
        let mut bench = Bench::new();
        let mut wal = bench.open();
        bench.begin(&mut wal, 5);
        let mut model: Vec<Vec<u8>> = Vec::new();
        for (shape, target, fill, split) in shapes {
            let index = if model.is_empty() { 0 } else { target % model.len() as u64 };
            let at = 32 + index * FRAME;
            match shape {
                1 if !model.is_empty() => {
                    bench.write(&mut wal, &[fill; PAGE], at + FRAME_HEADER as u64);
                    model[index as usize][FRAME_HEADER..].fill(fill);
                }
                2 if !model.is_empty() => {
                    bench.write(&mut wal, &[fill; FRAME_HEADER], at);
                    model[index as usize][..FRAME_HEADER].fill(fill);
                }
                3 => {
                    // walWriteToLog splits at a sector boundary, wherever that falls.
                    let (end, whole) = (32 + model.len() as u64 * FRAME, vec![fill; FRAME as usize]);
                    bench.write(&mut wal, &whole[..split], end);
                    bench.write(&mut wal, &whole[split..], end + split as u64);
                    model.push(whole);
                }
                _ => {
                    bench.frame(&mut wal, model.len() as u64, fill);
                    model.push(vec![fill; FRAME as usize]);
                }
            }
        }
        let mut other = bench.open();
        for (index, frame) in model.iter().enumerate() {
            let index = index as u64;
            prop_assert_eq!(&bench.whole(&mut wal, index).unwrap(), frame);
            prop_assert_eq!(&bench.whole(&mut other, index).unwrap(), frame);
            prop_assert_eq!(&bench.read(&mut other, 32 + index * FRAME + 16, 8).unwrap(), &frame[16..24]);
            prop_assert_eq!(&bench.page(&mut other, index).unwrap(), &frame[FRAME_HEADER..]);
        }
        let size = other.size(&mut bench.storage, &mut bench.main).unwrap();
        prop_assert_eq!(size, 32 + model.len() as u64 * FRAME);
    }
}

#[test]
fn the_cell_follows_the_first_frame_without_a_sync() {
    let mut bench = Bench::new();
    let mut wal = bench.open();
    bench.begin(&mut wal, 5);
    assert!(!bench.main.cell.active, "the header may not be durable yet");
    bench.frame(&mut wal, 0, 1);
    assert!(bench.main.cell.active);
    assert_eq!((bench.main.syncs, bench.main.log.unwrap().main_slots), (0, 42));
    wal.truncate(&mut bench.storage, &mut bench.main, 0).unwrap();
    assert!(!bench.main.cell.active);
    assert_eq!(bench.main.syncs, 1, "the log must not vanish before the cell has forgotten it");
}

#[test]
fn another_connections_generation_is_noticed_and_old_frames_end_the_log() {
    let mut bench = Bench::new();
    let (mut writer, mut reader) = (bench.open(), bench.open());
    bench.begin(&mut writer, 5);
    for index in 0..3 {
        bench.frame(&mut writer, index, 1);
    }
    assert_eq!(bench.page(&mut reader, 2).unwrap(), vec![1; PAGE]);
    bench.begin(&mut writer, 6);
    bench.frame(&mut writer, 0, 2);
    assert_eq!(bench.page(&mut reader, 0).unwrap(), vec![2; PAGE], "a stale generation is refreshed");
    assert_eq!(bench.whole(&mut reader, 1).unwrap(), vec![0; FRAME as usize], "recovery ends here");
    assert!(bench.page(&mut reader, 1).is_err(), "a page that the wal-index names must be there");
}

/// SQLite writes the same header again after the first transaction of a generation was rolled back.
#[test]
fn the_same_header_again_is_the_same_generation() {
    let mut bench = Bench::new();
    let (mut first, mut second) = (bench.open(), bench.open());
    bench.begin(&mut first, 5);
    bench.frame(&mut first, 0, 1);
    let generation = bench.main.cell.current;
    first.transaction_boundary(&mut bench.storage);
    bench.begin(&mut second, 5);
    bench.frame(&mut second, 0, 2);
    assert_eq!((bench.main.cell.current, bench.main.syncs), (generation, 0));
    // The other connection sees the same salts and goes on.
    bench.frame(&mut first, 1, 3);
    for (index, fill) in [(0, 2), (1, 3)] {
        let mut other = bench.open();
        assert_eq!(bench.page(&mut other, index).unwrap(), vec![fill; PAGE]);
    }
}

/// A generation that replaces one which no checkpoint has ended must not follow a name that a crash can lose.
#[test]
fn a_generation_after_a_rolled_back_first_one_syncs_the_cell() {
    let mut bench = Bench::new();
    let mut wal = bench.open();
    bench.begin(&mut wal, 5);
    bench.frame(&mut wal, 0, 1);
    assert_eq!(bench.main.syncs, 0);
    bench.begin(&mut wal, 6);
    assert_eq!(bench.main.syncs, 0, "a restart follows a checkpoint, which has synced");
    bench.frame(&mut wal, 0, 1);
    bench.begin(&mut wal, 99);
    assert_eq!(bench.main.syncs, 1);
}

#[test]
fn a_replayed_log_is_refused_and_a_missing_one_too() {
    let mut bench = Bench::new();
    let mut wal = bench.open();
    bench.begin(&mut wal, 5);
    bench.frame(&mut wal, 0, 1);
    let old = bench.storage.clone();
    wal.truncate(&mut bench.storage, &mut bench.main, 0).unwrap();
    bench.begin(&mut wal, 6);
    bench.frame(&mut wal, 0, 2);
    let current = std::mem::replace(&mut bench.storage, old);
    let mut fresh = bench.open();
    assert_eq!(bench.read(&mut fresh, 0, SQLITE_HEADER).unwrap_err().class, FaultClass::Tampered);
    bench.storage = MemoryFile::default();
    let mut fresh = bench.open();
    assert!(fresh.size(&mut bench.storage, &mut bench.main).is_err());
    let mut resigned = WalFile::new(bench.keys.clone(), true).unwrap();
    assert_eq!(resigned.size(&mut bench.storage, &mut bench.main).unwrap(), 0);
    bench.storage = current;
    let mut fresh = bench.open();
    assert_eq!(bench.page(&mut fresh, 0).unwrap(), vec![2; PAGE]);
}

#[test]
fn a_log_whose_name_a_crash_lost_cannot_be_put_back_once_it_was_emptied() {
    for named in [true, false] {
        let mut bench = Bench::new();
        let mut wal = bench.open();
        if named {
            bench.begin(&mut wal, 5);
            bench.frame(&mut wal, 0, 1);
        }
        let before = bench.main.clone();
        bench.begin(&mut wal, 6);
        bench.frame(&mut wal, 0, 2);
        let old = bench.storage.clone();
        // The frames were synced, the cell's change was not. Somebody recovers, checkpoints and leaves.
        bench.main = before;
        let mut after = bench.open();
        assert_eq!(bench.page(&mut after, 0).unwrap(), vec![2; PAGE]);
        after.truncate(&mut bench.storage, &mut bench.main, 0).unwrap();
        assert!(!bench.main.cell.active);
        bench.storage = old;
        let mut replayed = bench.open();
        assert!(!bench.read(&mut replayed, 32, FRAME as usize).unwrap_or_default().starts_with(&[2]));
    }
}

#[test]
fn a_crash_between_header_and_cell_is_no_tampering() {
    let mut bench = Bench::new();
    let mut wal = bench.open();
    bench.begin(&mut wal, 5);
    bench.frame(&mut wal, 0, 1);
    let before = bench.main.clone();
    bench.begin(&mut wal, 6);
    bench.frame(&mut wal, 0, 2);
    // The frames were synced, the cell's last change was not.
    bench.main = before;
    let mut after = bench.open();
    assert_eq!(bench.page(&mut after, 0).unwrap(), vec![2; PAGE]);
    // The next generation must follow one that the cell names.
    bench.begin(&mut after, 7);
    let mut again = bench.open();
    assert!(bench.read(&mut again, 0, SQLITE_HEADER).is_ok());
    // A torn new header leaves the old one, in the other copy.
    let newest = bench.storage.bytes[..16].to_vec();
    assert_eq!(&newest[..13], b"lumocrypt-wal");
    bench.storage.bytes[100] ^= 1;
    let mut torn = bench.open();
    assert_eq!(bench.page(&mut torn, 0).unwrap(), vec![2; PAGE]);
}

#[test]
fn a_rolled_back_half_frame_does_not_outlive_its_transaction() {
    let mut bench = Bench::new();
    let mut wal = bench.open();
    bench.begin(&mut wal, 5);
    bench.frame(&mut wal, 0, 1);
    bench.write(&mut wal, &[9; FRAME_HEADER], 32 + FRAME);
    wal.transaction_boundary(&mut bench.storage);
    let mut other = bench.open();
    bench.frame(&mut other, 1, 7);
    let written = bench.storage.bytes.clone();
    wal.transaction_boundary(&mut bench.storage);
    assert_eq!(bench.storage.bytes, written);
    assert_eq!(bench.page(&mut wal, 1).unwrap(), vec![7; PAGE]);
}

#[test]
fn plaintext_and_foreign_logs_are_errors() {
    let mut bench = Bench::new();
    let mut header = vec![0x37, 0x7f, 0x06, 0x82];
    header.resize(600, 0);
    bench.storage.bytes = header;
    let mut wal = bench.open();
    let fault = bench.read(&mut wal, 0, SQLITE_HEADER).unwrap_err();
    assert_eq!((fault.class, fault.kind), (FaultClass::Tampered, Some(FileKind::Wal)));

    let mut bench = Bench::new();
    let mut wal = bench.open();
    bench.begin(&mut wal, 5);
    let other = FileKeys::new([8; 16], [2; 16], SuiteId::DEFAULT, Secret::from_slice(&[3; 32])).unwrap();
    bench.keys = Arc::new(other);
    let mut foreign = bench.open();
    assert!(bench.read(&mut foreign, 0, SQLITE_HEADER).is_err());
}

/// A real main file as its log sees it.
struct Linked<'a> {
    file: &'a mut MainFile,
    storage: &'a mut MemoryFile,
}

impl MainLink for Linked<'_> {
    fn cell(&mut self) -> Result<Cell> {
        self.file.read_cell(self.storage)
    }
    fn set_cell(
        &mut self,
        active: bool,
        current: [u8; 16],
        previous: [u8; 16],
        sync: Option<i32>,
    ) -> Result<()> {
        let change =
            |cell: &mut Cell| (cell.active, cell.current, cell.previous) = (active, current, previous);
        self.file.write_cell(self.storage, change, sync)
    }
    fn sync(&mut self) -> Result<()> {
        self.storage.sync(SYNC_NORMAL)
    }
    fn slots(&mut self) -> Result<u64> {
        self.file.slots(self.storage)
    }
    fn set_log(&mut self, log: Option<CurrentLog>) -> Result<()> {
        self.file.set_log(self.storage, log)
    }
    fn copied_frames(&mut self, generation: &[u8; 16]) -> Result<u64> {
        self.file.copied_frames(self.storage, generation)
    }
}

/// A checkpoint extends the main file by pages that are in no frame, because they were freed again; a crash keeps
/// the file's new length and loses what sealed them. The log tells such holes from slots that somebody erased.
#[test]
fn a_crash_in_a_checkpoint_is_no_tampering_hazard_8() {
    let options = CreateOptions { block_size: PAGE as u32, ..CreateOptions::default() };
    let key = Key::raw(&[7; 32]).unwrap();
    let (region, keys, _) = create::database(Some(&key), &options).unwrap();
    let keys = Arc::new(keys);
    let mut disk = MemoryFile { bytes: region, ..MemoryFile::default() };
    let mut log = MemoryFile::default();
    let new =
        || (MainFile::new(keys.clone(), PAGE as u32).unwrap(), WalFile::new(keys.clone(), false).unwrap());
    let page = PAGE as u64;

    let (mut file, mut wal) = new();
    file.write(&mut disk, &[1; 4 * PAGE], 0).unwrap();
    file.sync(&mut disk, SYNC_NORMAL).unwrap();
    let mut link = Linked { file: &mut file, storage: &mut disk };
    let mut header = [5; SQLITE_HEADER];
    header[8..12].copy_from_slice(&(PAGE as u32).to_be_bytes());
    wal.write(&mut log, &mut link, &header, 0).unwrap();
    wal.write(&mut log, &mut link, &[5; FRAME as usize], 32).unwrap();
    // Pages 4 to 6 are in no frame.
    file.write(&mut disk, &[2; PAGE], 7 * page).unwrap();
    let slot = (disk.bytes.len() - HEADER_LEN as usize) / 8;
    let erase = |disk: &mut MemoryFile, index: usize| {
        disk.bytes[HEADER_LEN as usize + index * slot..][..slot].fill(0);
    };
    erase(&mut disk, 5);

    let (mut file, mut wal) = new();
    let mut block = [9; PAGE];
    // Without the log it could be anybody's doing.
    assert!(file.read(&mut disk, &mut block, 5 * page).is_err());
    let mut link = Linked { file: &mut file, storage: &mut disk };
    wal.read(&mut log, &mut link, &mut [0; SQLITE_HEADER], 0).unwrap();
    assert!(file.read(&mut disk, &mut block, 5 * page).unwrap());
    assert_eq!(block, [0; PAGE]);
    // What had been synced before the log began is no honest hole.
    let intact = disk.bytes.clone();
    erase(&mut disk, 2);
    assert!(file.read(&mut disk, &mut block, 2 * page).is_err());
    disk.bytes = intact;
    // The checkpoint that recovery ends with seals it; afterwards no hole is honest.
    file.sync(&mut disk, SYNC_NORMAL).unwrap();
    wal.truncate(&mut log, &mut Linked { file: &mut file, storage: &mut disk }, 0).unwrap();
    let (mut file, _) = new();
    assert!(file.read(&mut disk, &mut block, 5 * page).unwrap());
    erase(&mut disk, 5);
    assert!(file.read(&mut disk, &mut block, 5 * page).is_err());
}

/// A frame that is not the last of its transaction; `frame` makes one that is.
fn first_frames(bench: &mut Bench, wal: &mut WalFile, frames: std::ops::Range<u64>, fill: u8) {
    for index in frames {
        let mut header = [fill; FRAME_HEADER];
        header[4..8].fill(0);
        bench.write(wal, &header, 32 + index * FRAME);
        bench.write(wal, &[fill; PAGE], 32 + index * FRAME + FRAME_HEADER as u64);
    }
}

#[test]
fn a_transaction_is_one_write_at_its_commit_frame() {
    let mut bench = Bench::new();
    let mut wal = bench.open();
    bench.begin(&mut wal, 5);
    let before = bench.storage.writes;
    first_frames(&mut bench, &mut wal, 0..15, 1);
    assert_eq!(bench.storage.writes, before);
    bench.frame(&mut wal, 15, 1);
    assert_eq!(bench.storage.writes, before + 1);
    for index in 0..16 {
        let mut other = bench.open();
        assert_eq!(bench.page(&mut other, index).unwrap(), vec![1; PAGE]);
    }
    // A large one, as many frames at a time as one call takes.
    let at_a_time = (LONGEST_TRANSFER / (FRAME_HEADER + PAGE + 40)) as u64;
    first_frames(&mut bench, &mut wal, 16..16 + 3 * at_a_time, 2);
    bench.frame(&mut wal, 16 + 3 * at_a_time, 2);
    assert_eq!(bench.storage.writes, before + 1 + 4);
}

#[test]
fn frames_are_read_ahead_in_order_and_only_within_a_transaction() {
    let mut bench = Bench::new();
    let mut wal = bench.open();
    bench.begin(&mut wal, 5);
    first_frames(&mut bench, &mut wal, 0..79, 1);
    bench.frame(&mut wal, 79, 1);
    let mut reader = bench.open();
    // Two in a row may be chance.
    for index in 0..=1 {
        assert_eq!(bench.page(&mut reader, index).unwrap(), vec![1; PAGE]);
    }
    let before = bench.storage.reads;
    for index in 2..=65 {
        assert_eq!(bench.page(&mut reader, index).unwrap(), vec![1; PAGE]);
    }
    assert_eq!(bench.storage.reads - before, 4);
    // A transaction that was rolled back had written frames behind the last commit; another one's take their place.
    assert_eq!(bench.page(&mut reader, 66).unwrap(), vec![1; PAGE]);
    assert_eq!(bench.storage.reads - before, 5);
    wal.transaction_boundary(&mut bench.storage);
    bench.frame(&mut wal, 70, 2);
    reader.transaction_boundary(&mut bench.storage);
    assert_eq!(bench.page(&mut reader, 66).unwrap(), vec![1; PAGE]);
    assert_eq!(bench.page(&mut reader, 70).unwrap(), vec![2; PAGE]);
    // A connection's own frames, and those that still wait, are never read as they were.
    for index in 66..=68 {
        assert_eq!(bench.page(&mut reader, index).unwrap(), vec![1; PAGE]);
    }
    first_frames(&mut bench, &mut reader, 69..72, 3);
    for index in 69..72 {
        assert_eq!(bench.page(&mut reader, index).unwrap(), vec![3; PAGE]);
    }
}

#[test]
fn a_checkpoint_reads_ahead_what_is_there_when_it_begins() {
    let mut bench = Bench::new();
    let mut wal = bench.open();
    bench.begin(&mut wal, 5);
    first_frames(&mut bench, &mut wal, 0..31, 1);
    let mut reader = bench.open();
    for index in 0..4 {
        let _ = bench.page(&mut reader, index);
    }
    bench.frame(&mut wal, 31, 1);
    reader.set_checkpoint(true);
    for index in 0..32 {
        assert_eq!(bench.page(&mut reader, index).unwrap(), vec![1; PAGE]);
    }
    reader.set_checkpoint(false);
}

#[test]
fn a_spilled_frame_that_waits_is_read_and_rewritten() {
    let mut bench = Bench::new();
    let mut wal = bench.open();
    bench.begin(&mut wal, 5);
    first_frames(&mut bench, &mut wal, 0..5, 1);
    assert_eq!(bench.page(&mut wal, 3).unwrap(), vec![1; PAGE]);
    first_frames(&mut bench, &mut wal, 5..8, 1);
    // SQLite writes a page that it spilled again in its place, and later all headers from there on.
    bench.write(&mut wal, &[2; PAGE], 32 + 6 * FRAME + FRAME_HEADER as u64);
    bench.frame(&mut wal, 8, 1);
    bench.write(&mut wal, &[3; FRAME_HEADER], 32 + 7 * FRAME);
    let mut other = bench.open();
    assert_eq!(bench.page(&mut other, 6).unwrap(), vec![2; PAGE]);
    assert_eq!(bench.whole(&mut other, 7).unwrap()[..FRAME_HEADER], [3; FRAME_HEADER]);
    assert_eq!(bench.page(&mut other, 8).unwrap(), vec![1; PAGE]);
}

#[test]
fn what_waits_goes_with_its_transaction() {
    let mut bench = Bench::new();
    let mut wal = bench.open();
    bench.begin(&mut wal, 5);
    bench.frame(&mut wal, 0, 1);
    first_frames(&mut bench, &mut wal, 1..4, 2);
    wal.transaction_boundary(&mut bench.storage);
    let size = bench.storage.bytes.len();
    wal.sync(&mut bench.storage, 2).unwrap();
    assert_eq!(bench.storage.bytes.len(), size);
    // A commit that cannot be written is given up, and must not turn up later.
    bench.storage.limit = Some(size);
    first_frames(&mut bench, &mut wal, 1..3, 3);
    let frame = [3; FRAME_HEADER + PAGE];
    assert!(wal.write(&mut bench.storage, &mut bench.main, &frame, 32 + 3 * FRAME).is_err());
    bench.storage.limit = None;
    wal.sync(&mut bench.storage, 2).unwrap();
    assert_eq!(bench.storage.bytes.len(), size);
    bench.frame(&mut wal, 1, 4);
    let mut other = bench.open();
    assert_eq!(bench.page(&mut other, 1).unwrap(), vec![4; PAGE]);
    assert!(
        bench.page(&mut other, 2).is_err()
            || bench.storage.bytes.len() as u64 <= WAL_FRAMES_OFFSET + 3 * FRAME
    );
}
