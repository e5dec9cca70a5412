//! Memory that files ask for and do not get: SQLITE_NOMEM instead of the end of the process, and nothing is lost.
//!
//! An allocator that fails the n-th large allocation of a thread stands behind everything here. An allocation of
//! that size which Rust does not let fail would abort the test. Small ones (paths, boxes, nodes of maps) still do:
//! an engine that cannot get a hundred bytes cannot report that either.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell as Local;
use std::sync::Arc;

use crypto::secret::Secret;
use crypto::suite::SuiteId;
use ground::error::{FaultClass, FileKind, Result};
use lumocrypt_offline::pieces::Pieces;
use lumocrypt_offline::workers::{Input, Workers};
use sqlite::facts::JOURNAL_MAGIC;
use sqlite::files::journal::JournalFile;
use sqlite::files::main_db::{CurrentLog, MainFile};
use sqlite::files::temp::TempFile;
use sqlite::files::wal::{FRAME_HEADER, MainLink, SQLITE_HEADER, WalFile};
use sqlite::format::geometry::Geometry;
use storage::Storage;
use vault::create::{self, CreateOptions};
use vault::file_keys::FileKeys;
use vault::format::cell::Cell;
use vault::material::Key;

/// From this size on an allocation must be able to fail: what scales with pages, blocks and journals.
const LARGE: usize = 400;
const PAGE: usize = 4096;

thread_local! {
    static LEFT: Local<Option<usize>> = const { Local::new(None) };
    static FAILED: Local<bool> = const { Local::new(false) };
}

struct Failing;

fn fails(size: usize) -> bool {
    if size < LARGE {
        return false;
    }
    let left = LEFT.try_with(Local::get).ok().flatten();
    match left {
        None => false,
        Some(0) => {
            LEFT.set(None);
            FAILED.set(true);
            true
        }
        Some(left) => {
            LEFT.set(Some(left - 1));
            false
        }
    }
}

// SAFETY: the system's allocator, which may fail.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        if fails(layout.size()) { std::ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        if fails(size) { std::ptr::null_mut() } else { unsafe { System.realloc(at, layout, size) } }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// A file whose own memory never has to grow.
struct Disk(Vec<u8>);

impl Disk {
    fn new() -> Disk {
        Disk(Vec::with_capacity(32 << 20))
    }
}

impl Storage for Disk {
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        let start = (offset as usize).min(self.0.len());
        let end = (start + buf.len()).min(self.0.len());
        buf[..end - start].copy_from_slice(&self.0[start..end]);
        buf[end - start..].fill(0);
        Ok(end - start == buf.len())
    }
    fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        let end = offset as usize + data.len();
        assert!(end <= self.0.capacity());
        if self.0.len() < end {
            self.0.resize(end, 0);
        }
        self.0[offset as usize..end].copy_from_slice(data);
        Ok(())
    }
    fn truncate(&mut self, size: u64) -> Result<()> {
        self.0.truncate(size as usize);
        Ok(())
    }
    fn sync(&mut self, _flags: i32) -> Result<()> {
        Ok(())
    }
    fn size(&mut self) -> Result<u64> {
        Ok(self.0.len() as u64)
    }
}

impl Input for Disk {
    fn another(&mut self) -> Option<Box<dyn Input>> {
        Some(Box::new(Disk(Vec::new())))
    }
}

fn keys() -> Arc<FileKeys> {
    let secret = Secret::from_slice(&[3; 32]);
    Arc::new(FileKeys::new([1; 16], [2; 16], SuiteId::DEFAULT, secret).expect("keys"))
}

/// Runs `scenario` with every one of its large allocations failing once. It retries what failed, as an
/// application does, and checks for itself that all is there in the end.
fn sweep(scenario: impl Fn()) -> usize {
    for n in 0.. {
        FAILED.set(false);
        LEFT.set(Some(n));
        scenario();
        LEFT.set(None);
        if !FAILED.get() {
            return n;
        }
    }
    0
}

/// Does it, twice if memory was short.
fn persist<T>(mut action: impl FnMut() -> Result<T>) -> T {
    let failed_before = FAILED.get();
    match action() {
        Ok(value) => value,
        Err(fault) => {
            assert_eq!(fault.class, FaultClass::NoMemory, "{fault}");
            assert!(FAILED.get() && !failed_before, "an allocation failed, and just now");
            action().expect("there is memory again")
        }
    }
}

fn page(number: u64) -> Vec<u8> {
    let armed = LEFT.take();
    let page = vec![number as u8 ^ 0x5a; PAGE];
    LEFT.set(armed);
    page
}

/// `sweep` counts what the engine allocates and not what the scenario does.
fn unarmed<T>(make: impl FnOnce() -> T) -> T {
    let armed = LEFT.take();
    let made = make();
    LEFT.set(armed);
    made
}

#[test]
fn the_main_file() {
    let allocations = sweep(|| {
        let (keys, mut disk) = unarmed(|| {
            let key = Key::raw(&[7; 32]).expect("a key");
            let (region, keys, _) =
                create::database(Some(&key), &CreateOptions::default()).expect("a header");
            let mut disk = Disk::new();
            disk.0.extend_from_slice(&region);
            (Arc::new(keys), disk)
        });
        let mut file = persist(|| MainFile::new(keys.clone(), PAGE as u32));
        let mut buf = unarmed(|| vec![0; PAGE]);
        // A gap, parts of blocks, and what a cut leaves.
        for number in [0, 3, 1, 90, 2] {
            let data = page(number);
            persist(|| file.write(&mut disk, &data, number * PAGE as u64));
        }
        persist(|| file.write(&mut disk, &[7; 512], 512));
        persist(|| file.truncate(&mut disk, 80 * PAGE as u64));
        persist(|| file.truncate(&mut disk, 81 * PAGE as u64 + 100));
        for number in [1, 2, 3] {
            assert!(persist(|| file.read(&mut disk, &mut buf, number * PAGE as u64)));
            assert_eq!(buf, page(number));
        }
        assert!(persist(|| file.read(&mut disk, &mut buf[..512], 512)));
        assert_eq!(buf[..512], [7; 512]);
        persist(|| file.sync(&mut disk, 2));
    });
    assert!(allocations > 3);
}

#[test]
fn the_rollback_journal() {
    let allocations = sweep(|| {
        let (keys, mut disk) = unarmed(|| (keys(), Disk::new()));
        let mut file = JournalFile::new(keys.clone(), false).expect("a journal");
        let mut header = unarmed(|| vec![0; 512]);
        header[..8].copy_from_slice(&JOURNAL_MAGIC);
        persist(|| file.write(&mut disk, &header, 0));
        for number in 0..200 {
            let data = page(number);
            persist(|| file.write(&mut disk, &data, 512 + number * PAGE as u64));
        }
        let end = 512 + 200 * PAGE as u64;
        // A super-journal's name: page number, name, length, checksum, magic.
        persist(|| file.write(&mut disk, &[0; 4], end));
        persist(|| file.write(&mut disk, b"/super", end + 4));
        persist(|| file.write(&mut disk, &6u32.to_be_bytes(), end + 10));
        persist(|| file.write(&mut disk, &[0; 4], end + 14));
        persist(|| file.write(&mut disk, &JOURNAL_MAGIC, end + 18));
        persist(|| file.sync(&mut disk, 2));
        persist(|| file.main_file_follows(&mut disk));
        let mut again = JournalFile::new(keys, false).expect("a journal");
        let mut buf = unarmed(|| vec![0; PAGE]);
        for number in [0, 77, 199] {
            assert!(persist(|| again.read(&mut disk, &mut buf, 512 + number * PAGE as u64)));
            assert_eq!(buf, page(number));
        }
    });
    assert!(allocations > 5);
}

/// A main file's part in a WAL.
struct Main(Cell);

impl MainLink for Main {
    fn cell(&mut self) -> Result<Cell> {
        Ok(self.0)
    }
    fn set_cell(
        &mut self,
        active: bool,
        current: [u8; 16],
        previous: [u8; 16],
        _: Option<i32>,
    ) -> Result<()> {
        self.0 = Cell { sequence: self.0.sequence + 1, active, current, previous, synced_slots: 0 };
        Ok(())
    }
    fn sync(&mut self) -> Result<()> {
        Ok(())
    }
    fn slots(&mut self) -> Result<u64> {
        Ok(1)
    }
    fn set_log(&mut self, _: Option<CurrentLog>) -> Result<()> {
        Ok(())
    }
    fn copied_frames(&mut self, _: &[u8; 16]) -> Result<u64> {
        Ok(0)
    }
}

#[test]
fn the_wal() {
    let allocations = sweep(|| {
        let (keys, mut disk) = unarmed(|| (keys(), Disk::new()));
        let cell = Cell { sequence: 1, active: false, current: [0; 16], previous: [0; 16], synced_slots: 0 };
        let mut main = Main(cell);
        let mut file = WalFile::new(keys.clone(), false).expect("a log");
        let mut header = [9; SQLITE_HEADER];
        header[8..12].copy_from_slice(&(PAGE as u32).to_be_bytes());
        persist(|| file.write(&mut disk, &mut main, &header, 0));
        let frame = (FRAME_HEADER + PAGE) as u64;
        for number in 0..5 {
            let (at, data) = (SQLITE_HEADER as u64 + number * frame, page(number));
            // As SQLite does after an error: from the header on.
            persist(|| {
                file.write(&mut disk, &mut main, &[1; FRAME_HEADER], at)?;
                file.write(&mut disk, &mut main, &data, at + FRAME_HEADER as u64)
            });
        }
        let mut again = WalFile::new(keys, false).expect("a log");
        let mut buf = unarmed(|| vec![0; PAGE]);
        for number in 0..5 {
            let at = SQLITE_HEADER as u64 + number * frame + FRAME_HEADER as u64;
            assert!(persist(|| again.read(&mut disk, &mut main, &mut buf, at)));
            assert_eq!(buf, page(number));
        }
    });
    assert!(allocations > 3);
}

#[test]
fn a_temporary_file() {
    let allocations = sweep(|| {
        let mut disk = unarmed(Disk::new);
        let mut file = persist(|| TempFile::new(SuiteId::DEFAULT, FileKind::TempDb));
        for number in [0, 1, 2, 40, 41, 7] {
            let data = page(number);
            persist(|| file.write(&mut disk, &data, number * PAGE as u64));
        }
        let mut buf = unarmed(|| vec![0; PAGE]);
        for number in [0, 7, 41] {
            assert!(persist(|| file.read(&mut disk, &mut buf, number * PAGE as u64)));
            assert_eq!(buf, page(number));
        }
        persist(|| file.truncate(&mut disk, 3 * PAGE as u64 + 5));
        persist(|| file.sync(&mut disk, 2));
    });
    assert!(allocations > 3);
}

#[test]
fn work_on_a_whole_file_goes_on_with_fewer_threads() {
    let (total, refused) = (1000 * 4096, Local::new(0));
    let allocations = sweep(|| {
        let mut disk = unarmed(Disk::new);
        let pieces = Pieces::new(Geometry::new(4096, 40), total);
        match Workers::new(pieces, &mut disk, Some(4), 30) {
            Ok(mut workers) => {
                let left = LEFT.take();
                let mut done = 0;
                while let Some(bytes) = workers.round(&|_, _| Ok(())).expect("nothing fails") {
                    done += bytes;
                }
                assert_eq!(done, total);
                LEFT.set(left);
            }
            Err(fault) => {
                assert_eq!(fault.class, FaultClass::NoMemory);
                refused.set(refused.get() + 1);
            }
        }
    });
    // The first thread's two buffers have to be had, and none of the others.
    assert_eq!((allocations, refused.get()), (8, 2));
}
