use std::ffi::{c_int, c_void};
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::channel;
use std::thread;

use super::super::base::BaseFile;
use super::*;
use crate::library::abi::{SQLITE_IOERR_WRITE, SQLITE_OK, sqlite3_io_methods};
use crypto::secret::Secret;
use crypto::suite::SuiteId;
use ground::error::{FileKind, Result};
use storage::LONGEST_TRANSFER;
use storage::batch::Slot;
use storage::outbox::Outbox;
use vault::file_keys::{FileKeys, Sealer};

/// Longer than anybody is patient.
const SLOW: Duration = Duration::from_millis(50);
/// Slots of a batch.
const MOST: u64 = 7;

/// A file whose writes by other threads than the first take long, or fail.
#[repr(C)]
struct Below {
    head: sqlite3_file,
    owner: thread::ThreadId,
    /// Where was written, in this order.
    writes: Mutex<Vec<i64>>,
    /// So many of the next writes fail.
    failing: AtomicU32,
}

unsafe extern "C" fn write_slowly(file: *mut sqlite3_file, _: *const c_void, _: c_int, offset: i64) -> c_int {
    // SAFETY: a file of these tests.
    let below = unsafe { &*file.cast::<Below>() };
    if thread::current().id() != below.owner {
        thread::sleep(SLOW);
    }
    if below.failing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        return SQLITE_IOERR_WRITE;
    }
    below.writes.lock().unwrap().push(offset);
    SQLITE_OK
}

static METHODS: sqlite3_io_methods =
    sqlite3_io_methods { write: Some(write_slowly), ..sqlite3_io_methods::NONE };

/// A file and its outbox.
struct Bench {
    below: &'static Below,
    base: BaseFile,
    outbox: Outbox,
    sealer: Sealer,
}

// SAFETY: used by one thread after the other, as connections are.
unsafe impl Send for Bench {}

impl Bench {
    fn new() -> Bench {
        let below = Box::leak(Box::new(Below {
            head: sqlite3_file { methods: &raw const METHODS },
            owner: thread::current().id(),
            writes: Mutex::default(),
            failing: AtomicU32::new(0),
        }));
        // SAFETY: never freed.
        let mut base = unsafe { BaseFile::new(std::ptr::from_mut(below).cast()) };
        base.enable_writer(false);
        let keys = FileKeys::new([1; 16], [2; 16], SuiteId::DEFAULT, Some(Secret::random().unwrap()));
        let sealer = keys.unwrap().sealer(FileKind::MainDb).unwrap();
        Bench { below, base, outbox: Outbox::default(), sealer }
    }

    fn add(&mut self, slots: u64) -> Result<()> {
        let len = LONGEST_TRANSFER / MOST as usize;
        let plain = vec![7; len - self.sealer.overhead()];
        for index in 0..slots {
            let slot = Slot { index, offset: index * len as u64, context: [0; 16], parts: [&[], &plain] };
            self.outbox.add(&mut self.base, &self.sealer, &slot)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.outbox.flush(&mut self.base)
    }

    fn discard(&mut self) {
        self.outbox.discard(&mut self.base);
    }

    fn writes(&self) -> usize {
        self.below.writes.lock().unwrap().len()
    }

    /// The first slot of each write.
    fn first_slots(&self) -> Vec<i64> {
        let len = LONGEST_TRANSFER as i64 / MOST as i64;
        self.below.writes.lock().unwrap().iter().map(|offset| offset / len).collect()
    }
}

/// What `work` returns; fails if it does not.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = channel();
    thread::spawn(move || done.send(work()));
    result.recv_timeout(Duration::from_secs(60)).expect("it hangs")
}

#[test]
fn one_thread_begins_and_another_ends() {
    let mut bench = Bench::new();
    bench.add(2 * MOST + 1).unwrap();
    assert_eq!(bench.writes(), 1, "the second batch is on its way");
    // The connection goes to another thread, which has to sleep until the writer is done.
    let mut bench = in_time(move || {
        bench.flush().unwrap();
        bench
    });
    assert_eq!(bench.writes(), 3);
    bench.add(3 * MOST).unwrap();
    in_time(move || bench.discard());
}

#[test]
fn other_uses_of_the_file_wait() {
    let mut bench = Bench::new();
    bench.add(2 * MOST + 1).unwrap();
    let _ = bench.base.as_ptr();
    assert_eq!(bench.writes(), 2);
    bench.flush().unwrap();
    assert_eq!(bench.writes(), 3);
}

#[test]
fn a_writer_that_is_dropped_ends_after_its_batch() {
    let mut bench = Bench::new();
    bench.add(2 * MOST + 1).unwrap();
    let below = bench.below;
    in_time(move || drop(bench));
    assert_eq!(below.writes.lock().unwrap().len(), 2);
}

#[test]
fn a_failure_is_the_next_calls() {
    let mut bench = Bench::new();
    bench.add(MOST + 1).unwrap();
    bench.below.failing.store(u32::MAX, Ordering::Relaxed);
    // The thread has two batches, and cannot write the first.
    bench.add(2 * MOST).unwrap();
    assert!(bench.flush().is_err());
    assert!(bench.flush().is_err());
    bench.below.failing.store(0, Ordering::Relaxed);
    bench.flush().unwrap();
    // The first batch, of the second slot 7 and those in front of it, the third, and what waited.
    assert_eq!(bench.writes(), 5);
}

#[test]
fn nothing_is_written_after_what_failed() {
    let mut bench = Bench::new();
    bench.add(MOST + 1).unwrap();
    bench.below.failing.store(1, Ordering::Relaxed);
    // Three batches are handed over; of the first, slots 7 and 0 to 5, the first write fails.
    bench.add(3 * MOST).unwrap();
    bench.flush().unwrap();
    assert_eq!(bench.first_slots(), [0, 7, 0, 6, 13, 20]);
}

#[test]
fn more_batches_than_may_be_on_their_way() {
    let mut bench = Bench::new();
    // The first is written at once. Then the thread, which is slow, has as many as it may, and has to be waited for.
    bench.add(20 * MOST).unwrap();
    assert!(bench.writes() >= 14, "{}", bench.writes());
    bench.flush().unwrap();
    assert_eq!(bench.first_slots(), (0..20 * MOST as i64).step_by(MOST as usize).collect::<Vec<_>>());
}
