//! A thread that seals and writes batches of one file while its connection fills the next ones.
//!
//! It lives from the third full batch of a transaction or checkpoint, if they follow fast, to its end: programs that fork
//! between transactions, and tools that count threads, do not see it. Only of a rollback in exclusive locking mode no call
//! tells: there it lives to the end of the next transaction.

use std::cell::Cell;
use std::collections::VecDeque;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, OnceLock};
use std::thread::{Builder, JoinHandle, available_parallelism, yield_now};
use std::time::{Duration, Instant};

use crate::library::abi::sqlite3_file;
use crate::library::calls::write;
use ground::locks::{Lock, Rank};
use ground::room;
use storage::batch::Batch;

/// Bytes of stack: ciphers and SQLite's xWrite need a few thousand.
const STACK: usize = 1 << 18;

/// How long either thread looks whether the other is done before it sleeps. A batch takes some 50 to 200 microseconds, and
/// to wake a thread on a core that sleeps up to 25 of the one that wakes it.
const PATIENCE: Duration = Duration::from_micros(200);
/// How long it does so without letting others have the core.
const GREED: Duration = Duration::from_micros(20);

/// The thread of one file. Its owner may be used by one thread after the other.
pub struct Writer {
    shared: Arc<Shared>,
    /// Batches that the owner has asked about.
    ended: Cell<u64>,
    /// There until it is ended.
    thread: Option<JoinHandle<()>>,
    /// The process that has it: a child of `fork` has not.
    process: u32,
}

/// What both threads know. The numbers are of batches, and change under the lock of `asleep`.
struct Shared {
    /// Those that were begun.
    begun: AtomicU64,
    /// Those that the thread is done with, and how many of them are written: all up to the first that failed.
    done: AtomicU64,
    written: AtomicU64,
    /// There will be no more.
    stop: AtomicBool,
    queue: Lock<VecDeque<Arc<Batch>>>,
    /// How many threads sleep until something changes.
    asleep: Lock<u32>,
    changed: Condvar,
}

impl Shared {
    fn new() -> Shared {
        Shared {
            begun: AtomicU64::new(0),
            done: AtomicU64::new(0),
            written: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            queue: Lock::new(Rank::Work, VecDeque::new()),
            asleep: Lock::new(Rank::Work, 0),
            changed: Condvar::new(),
        }
    }

    /// Changes something that the other thread may wait for.
    fn tell(&self, change: impl FnOnce()) {
        let asleep = self.asleep.lock();
        change();
        if *asleep > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits until something is so.
    fn wait_for(&self, is_so: impl Fn() -> bool) {
        let mut since = None;
        while !is_so() {
            let waited = since.get_or_insert_with(Instant::now).elapsed();
            if waited > PATIENCE {
                return self.sleep_until(is_so);
            } else if waited > GREED {
                yield_now();
            } else {
                (0..32).for_each(|_| spin_loop());
            }
        }
    }

    fn sleep_until(&self, is_so: impl Fn() -> bool) {
        let mut asleep = self.asleep.lock();
        while !is_so() {
            *asleep += 1;
            asleep = asleep.wait(&self.changed);
            *asleep -= 1;
        }
    }

    /// What the thread does.
    fn serve(&self, file: &Handed) {
        let mut room = Vec::new();
        loop {
            let done = self.done.load(Ordering::Relaxed);
            self.wait_for(|| self.begun.load(Ordering::Acquire) > done || self.stop.load(Ordering::Acquire));
            let Some(batch) = self.queue.lock().pop_front() else { return };
            let written = self.written.load(Ordering::Relaxed);
            // A bug in there must not leave the other thread waiting.
            let is_written = written == done
                && catch_unwind(AssertUnwindSafe(|| {
                    // SAFETY: as the caller of `Writer::new` promises.
                    let write = |bytes: &[u8], offset| unsafe { write(file.0, bytes, offset) };
                    batch.write_by(&mut room, write).is_ok()
                }))
                .unwrap_or(false);
            // Whoever hears the answer wants the batch to himself.
            drop(batch);
            self.tell(|| {
                self.written.store(written + u64::from(is_written), Ordering::Relaxed);
                self.done.store(done + 1, Ordering::Release);
            });
        }
    }
}

/// How fast batches have to fill to be worth the thread: it costs as much as a batch takes to write, in being woken or in
/// what it takes from a core that is half of another. `LUMO_THREADS` says that there is to be none (1) or always one.
/// Zero: none.
pub fn pace() -> Duration {
    static PACE: OnceLock<Duration> = OnceLock::new();
    *PACE.get_or_init(|| {
        let wanted =
            std::env::var("LUMO_THREADS").ok().and_then(|threads| threads.trim().parse::<usize>().ok());
        match wanted {
            Some(1) => Duration::ZERO,
            Some(_) => Duration::MAX,
            None if cfg!(test) => Duration::MAX,
            None if available_parallelism().is_ok_and(|cores| cores.get() > 1) => Duration::from_micros(500),
            None => Duration::ZERO,
        }
    })
}

/// A file, which is used by one thread at a time but for reads by position: [`Writer`]'s owner waits before it does
/// anything else with it.
struct Handed(*mut sqlite3_file);

// SAFETY: SQLite's files belong to no thread (os_unix.c: descriptors and memory of the process), and are used as said.
unsafe impl Send for Handed {}

impl Writer {
    /// A thread that writes `file`; `None` if it cannot be had.
    ///
    /// # Safety
    /// `file` stays open until this value is dropped, and is not used between [`begin`](Self::begin) and
    /// [`wait`](Self::wait), but for reads by position if its VFS makes such.
    pub unsafe fn new(file: *mut sqlite3_file) -> Option<Writer> {
        if !room::for_thread(STACK) {
            return None;
        }
        let shared = Arc::new(Shared::new());
        let (theirs, file) = (Arc::clone(&shared), Handed(file));
        let work = move || theirs.serve(&file);
        let builder = Builder::new().name("lumocrypt-write".into()).stack_size(STACK);
        let thread = without_signals(|| builder.spawn(work)).ok()?;
        Some(Writer { shared, ended: Cell::new(0), thread: Some(thread), process: std::process::id() })
    }

    /// Is the thread in this process? Otherwise locks may be held by whom `fork` left behind.
    pub fn is_here(&self) -> bool {
        self.process == std::process::id()
    }

    /// Hands `batch` over.
    pub fn begin(&self, batch: &Arc<Batch>) {
        self.shared.queue.lock().push_back(Arc::clone(batch));
        self.shared.tell(|| _ = self.shared.begun.fetch_add(1, Ordering::Release));
    }

    /// Waits for all that it was handed.
    pub fn wait(&self) {
        let begun = self.shared.begun.load(Ordering::Relaxed);
        self.shared.wait_for(|| self.shared.done.load(Ordering::Acquire) == begun);
    }

    /// Waits for the first that was not asked about yet. Was it written? After one that was not, none is.
    pub fn end(&self) -> bool {
        let ended = self.ended.replace(self.ended.get() + 1);
        debug_assert!(ended < self.shared.begun.load(Ordering::Relaxed), "nothing to wait for");
        self.shared.wait_for(|| self.shared.done.load(Ordering::Acquire) > ended);
        self.shared.written.load(Ordering::Relaxed) > ended
    }
}

impl Drop for Writer {
    /// Ends the thread, after what it was handed.
    fn drop(&mut self) {
        let here = self.is_here();
        if here {
            self.shared.tell(|| self.shared.stop.store(true, Ordering::Release));
        }
        match self.thread.take() {
            Some(thread) if here => {
                let _ = thread.join();
            }
            // Nobody by that name in this process.
            thread => std::mem::forget(thread),
        }
    }
}

/// Signals that say what a thread itself did: a host may want to tell of a crash.
#[cfg(unix)]
const OWN: [libc::c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGTRAP];

/// Starts a thread that the host's handlers of other signals never run in.
#[cfg(unix)]
fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: places for two sets, of which the second is used if the call that fills it succeeded. A new thread inherits
    // its creator's mask (pthread_sigmask(3)).
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        for signal in OWN {
            libc::sigdelset(all.as_mut_ptr(), signal);
        }
        let masked = libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0;
        let started = start();
        if masked {
            libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        }
        started
    }
}

#[cfg(not(unix))]
fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    start()
}

#[cfg(test)]
mod tests;
