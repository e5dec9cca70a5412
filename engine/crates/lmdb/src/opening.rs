//! What is open in this process: each file once, and again in a forked child.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CString, c_int};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use crypto::nonce;
use ground::fork;
use ground::locks::{Lasting, Rank};
use lmdb_sys as sys;

use crate::cipher::PageCipher;
use crate::database::Database;
use crate::error::{Error, Result, from_code};
use crate::options::Options;

/// An open environment of LMDB's, with what its callbacks need.
pub(crate) struct Inner {
    pub(crate) env: *mut sys::MDB_env,
    /// What LMDB has the address of. Freed after `env`.
    cipher: Box<PageCipher>,
    generation: u32,
    /// Which opening this is, of all in the process and its parents.
    pub(crate) opening: u64,
    /// Once it is open.
    identity: Option<Identified>,
    /// The thread that writes, or 0.
    writer: AtomicU64,
    /// Handles by name. Held while one is opened, which LMDB wants one thread to do at a time.
    pub(crate) databases: Mutex<HashMap<Option<Vec<u8>>, Database>>,
}

// SAFETY: LMDB's environments may be used by several threads; `cipher` is never changed.
unsafe impl Send for Inner {}
// SAFETY: As above.
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        // A forked child leaves its parent's environment as it is: closing would free what another thread may have
        // locked.
        if !self.is_ours() {
            return;
        }
        // One that failed to open is in no list, and dropped by whoever holds it.
        let mut opened = self.identity.map(|identity| (OPENED.lock(), identity));
        // SAFETY: Transactions keep the environment, so there is none left.
        unsafe { sys::mdb_env_close(self.env) };
        if let Some((opened, identity)) = &mut opened {
            opened.remove(identity);
        }
    }
}

static OPENINGS: AtomicU64 = AtomicU64::new(1);

/// A file, as the system knows it.
type Identified = (u64, u64);

/// The environments of this process, so that a second opening shares the first one's: two of one file would drop each
/// other's locks. One stays here until it is closed. It may be a parent's, whose generation is another.
static OPENED: Lasting<Openings> = Lasting::new(Rank::Environments, BTreeMap::new());

type Openings = BTreeMap<Identified, (u32, Weak<Inner>)>;

/// A number that no other thread has while this one is there; not 0.
fn this_thread() -> u64 {
    static THREADS: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static THIS: u64 = THREADS.fetch_add(1, Relaxed);
    }
    THIS.with(|this| *this)
}

fn identify(path: &Path) -> Option<Identified> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// An opening, and the one of a child that was forked since.
///
/// No lock: a thread that has one while another forks would leave it locked in the child.
pub(crate) struct Opening {
    pub(crate) inner: Arc<Inner>,
    /// Set by who holds `OPENED`, so that no `fork` comes in between.
    next: OnceLock<Box<Opening>>,
}

impl Opening {
    pub(crate) fn new(inner: Arc<Inner>) -> Opening {
        Opening { inner, next: OnceLock::new() }
    }

    /// The last that there is.
    pub(crate) fn last(&self) -> &Opening {
        let mut last = self;
        while let Some(next) = last.next.get() {
            last = next;
        }
        last
    }
}

impl Inner {
    /// The one that is open already, or a new one. What a child opens is kept at the end of `openings`.
    pub(crate) fn open(options: &Options, path: &Path, openings: Option<&Opening>) -> Result<Arc<Inner>> {
        loop {
            let cipher = Box::new(PageCipher::new(&options.protection, &options.identity)?);
            let mut opened = OPENED.lock();
            let generation = fork::generation();
            // What another thread of this child opened meanwhile.
            if let Some(last) = openings.map(Opening::last).filter(|last| last.inner.is_ours()) {
                return Ok(last.inner.clone());
            }
            let there = identify(path).and_then(|file| opened.get(&file));
            let inner = match there.filter(|(of, _)| *of == generation).map(|(_, there)| there.upgrade()) {
                // Another thread is about to close it, which must come first. It waits for the list.
                Some(None) => {
                    drop(opened);
                    std::thread::yield_now();
                    continue;
                }
                Some(Some(there)) => {
                    if !there.cipher.same(&cipher) {
                        // Dropped after the list, which it may need.
                        drop(opened);
                        return Err(Error::OtherKey);
                    }
                    there
                }
                None => {
                    let (inner, identity) = Self::open_new(options, path, cipher, generation)?;
                    let inner = Arc::new(inner);
                    opened.insert(identity, (generation, Arc::downgrade(&inner)));
                    inner
                }
            };
            if let Some(last) = openings.map(Opening::last) {
                // Nobody else sets it: we hold the list.
                let _ = last.next.set(Box::new(Opening::new(inner.clone())));
            }
            return Ok(inner);
        }
    }

    /// Under the list's lock: whatever fails must not be in it.
    fn open_new(
        options: &Options,
        path: &Path,
        cipher: Box<PageCipher>,
        generation: u32,
    ) -> Result<(Inner, Identified)> {
        let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::System(libc::EINVAL))?;
        let mut env = null_mut();
        // SAFETY: LMDB writes the address of an environment.
        let rc = unsafe { sys::mdb_env_create(&mut env) };
        if rc != 0 {
            // SAFETY: There is no environment.
            return Err(unsafe { from_code(rc, null_mut()) });
        }
        let opening = OPENINGS.fetch_add(1, Relaxed);
        // Closes the environment when it goes, whatever happens below.
        let mut inner = Inner {
            env,
            cipher,
            generation,
            opening,
            identity: None,
            writer: AtomicU64::new(0),
            databases: Mutex::default(),
        };
        // SAFETY: The environment is not open yet. The cipher is in a box of its own and outlives it.
        unsafe {
            inner.cipher.install(env)?;
            inner.setting(sys::mdb_env_set_mapsize(env, options.map_size))?;
            inner.setting(sys::mdb_env_set_maxdbs(env, options.max_dbs))?;
            inner.setting(sys::mdb_env_set_maxreaders(env, options.max_readers))?;
            inner.setting(sys::lumo_mdb_env_set_cachesize(env, options.cache_size))?;
            inner.setting(sys::lumo_mdb_env_set_shift(env, options.header_len))?;
            if let Some(size) = options.page_size {
                inner.setting(sys::mdb_env_set_pagesize(env, size.cast_signed()))?;
            }
            let rc = sys::mdb_env_open(env, name.as_ptr(), options.flags(), options.mode as sys::mdb_mode_t);
            match rc {
                0 => {}
                sys::MDB_CRYPTO_FAIL => return Err(Error::Unauthentic),
                rc => return Err(from_code(rc, null_mut())),
            }
        }
        let identity = identify(path).ok_or(Error::System(libc::ENOENT))?;
        inner.identity = Some(identity);
        Ok((inner, identity))
    }

    /// Whether this process opened it, not one that it was forked from.
    pub(crate) fn is_ours(&self) -> bool {
        self.generation == fork::generation()
    }

    /// What must be done before a transaction that writes: a second one in the same thread would wait for itself.
    pub(crate) fn before_write(&self) -> Result<()> {
        if self.writer.load(Relaxed) == this_thread() {
            return Err(Error::Refused(
                "this thread is writing already: end its transaction, or begin one within it",
            ));
        }
        // Slots of killed readers would keep every page that was freed since.
        self.check_readers()?;
        // Nonces in stock may be older than a snapshot of the machine.
        nonce::discard_pool();
        Ok(())
    }

    /// This thread has begun to write, or has ended.
    pub(crate) fn writing(&self, on: bool) {
        self.writer.store(if on { this_thread() } else { 0 }, Relaxed);
    }

    fn setting(&self, rc: c_int) -> Result<()> {
        // SAFETY: There is no page to ask for yet.
        if rc == 0 { Ok(()) } else { Err(unsafe { from_code(rc, null_mut()) }) }
    }

    pub(crate) fn check(&self, rc: c_int) -> Result<()> {
        // SAFETY: The environment is open as long as `self` is there.
        if rc == 0 { Ok(()) } else { Err(unsafe { from_code(rc, self.env) }) }
    }

    pub(crate) fn check_readers(&self) -> Result<u32> {
        let mut dead = 0;
        // SAFETY: The environment is open.
        self.check(unsafe { sys::mdb_reader_check(self.env, &mut dead) })?;
        Ok(dead.unsigned_abs())
    }
}
