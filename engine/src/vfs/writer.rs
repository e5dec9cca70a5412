//! A thread that seals and writes batches of one file while its connection fills the next one.
//!
//! It lives from the second full batch of a transaction or checkpoint to its end: programs that fork between
//! transactions, and tools that count threads, never see it.

use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{Builder, JoinHandle, Thread, available_parallelism, current, park, yield_now};
use std::time::{Duration, Instant};

use super::abi::sqlite3_file;
use super::base::write;
use crate::files::outbox::Batch;

/// Bytes of stack: ciphers and SQLite's xWrite need a few thousand.
const STACK: usize = 1 << 18;

/// How long either thread looks whether the other is done before it sleeps. A batch takes some 50 to 200 microseconds, and
/// to wake a thread on a core that sleeps up to 25 of the one that wakes it.
const PATIENCE: Duration = Duration::from_micros(200);
/// How long it does so without letting others have the core.
const GREED: Duration = Duration::from_micros(20);

/// What the thread is to do, or has done.
const IDLE: u8 = 0;
const WRITE: u8 = 1;
const WRITTEN: u8 = 2;
const STOP: u8 = 3;

/// The thread of one file.
pub struct Writer {
    shared: Arc<Shared>,
    /// There until it is ended.
    thread: Option<JoinHandle<()>>,
    /// The process that has it: a child of `fork` has not.
    process: u32,
}

struct Shared {
    state: AtomicU8,
    /// Was the last batch written?
    written: AtomicBool,
    job: Mutex<Option<Job>>,
}

struct Job {
    batch: Arc<Batch>,
    /// Who waits for the answer.
    client: Thread,
}

impl Shared {
    fn job(&self) -> MutexGuard<'_, Option<Job>> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for one of two states.
    fn wait_for(&self, wanted: [u8; 2]) -> u8 {
        let mut since = None;
        loop {
            let state = self.state.load(Ordering::Acquire);
            if wanted.contains(&state) {
                return state;
            }
            let waited = since.get_or_insert_with(Instant::now).elapsed();
            if waited > PATIENCE {
                // Whoever changes the state wakes this thread afterwards.
                park();
            } else if waited > GREED {
                yield_now();
            } else {
                (0..32).for_each(|_| spin_loop());
            }
        }
    }

    /// What the thread does.
    fn serve(&self, file: &Handed) {
        let mut room = Vec::new();
        while self.wait_for([WRITE, STOP]) == WRITE {
            let Some(Job { batch, client }) = self.job().take() else { return };
            // A bug in there must not leave the other thread waiting.
            let written = catch_unwind(AssertUnwindSafe(|| {
                // SAFETY: as the caller of `Writer::new` promises.
                batch.write_by(&mut room, |bytes, offset| unsafe { write(file.0, bytes, offset) })
            }));
            // Whoever hears the answer wants the batch to himself.
            drop(batch);
            self.written.store(matches!(written, Ok(Ok(()))), Ordering::Relaxed);
            self.state.store(WRITTEN, Ordering::Release);
            client.unpark();
        }
    }
}

/// May there be a second thread at all?
pub fn is_possible() -> bool {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    *POSSIBLE.get_or_init(|| {
        let alone = std::env::var("LUMO_THREADS").is_ok_and(|threads| threads.trim() == "1");
        !alone && available_parallelism().is_ok_and(|cores| cores.get() > 1)
    })
}

/// A file, which is used by one thread at a time: [`Writer`]'s owner waits before it does anything with it.
struct Handed(*mut sqlite3_file);

// SAFETY: SQLite's files belong to no thread (os_unix.c: descriptors and memory of the process), and are used by one at a
// time.
unsafe impl Send for Handed {}

impl Writer {
    /// A thread that writes `file`; `None` if it cannot be had.
    ///
    /// # Safety
    /// `file` stays open until this value is dropped, and is not used between [`begin`](Self::begin) and
    /// [`end`](Self::end).
    pub unsafe fn new(file: *mut sqlite3_file) -> Option<Writer> {
        let shared = Arc::new(Shared {
            state: AtomicU8::new(IDLE),
            written: AtomicBool::new(true),
            job: Mutex::new(None),
        });
        let (theirs, file) = (Arc::clone(&shared), Handed(file));
        let work = move || theirs.serve(&file);
        let builder = Builder::new().name("lumocrypt-write".into()).stack_size(STACK);
        let thread = without_signals(|| builder.spawn(work)).ok()?;
        Some(Writer { shared, thread: Some(thread), process: std::process::id() })
    }

    fn tell(&self, state: u8) {
        self.shared.state.store(state, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Hands `batch` over.
    pub fn begin(&self, batch: &Arc<Batch>) {
        *self.shared.job() = Some(Job { batch: Arc::clone(batch), client: current() });
        self.tell(WRITE);
    }

    /// Waits for it. Was it written?
    pub fn end(&self) -> bool {
        if self.process != std::process::id() {
            return false;
        }
        self.shared.wait_for([WRITTEN, WRITTEN]);
        self.shared.written.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    /// Ends the thread, which has nothing to do.
    fn drop(&mut self) {
        let here = self.process == std::process::id();
        if here {
            self.tell(STOP);
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

/// Starts a thread that the host's signal handlers never run in.
#[cfg(unix)]
fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: places for two sets, of which the second is used if the call that fills it succeeded. A new thread inherits
    // its creator's mask (pthread_sigmask(3)).
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
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
