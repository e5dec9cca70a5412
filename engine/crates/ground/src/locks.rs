//! The engine's locks and their order.
//!
//! Two rules keep threads from waiting for each other for ever, among each other and with SQLite's mutexes, of which a host
//! may hold any when it calls the engine:
//!
//! 1. A lock is taken only by a thread that holds none, or locks of lower [`Rank`] alone.
//! 2. Nothing of SQLite that may wait is called while a lock is held: neither its functions nor a file or VFS below.
//!    [`calls_out`] stands at each such place.
//!
//! Builds with debug assertions, the engine's unit tests and the feature `fault-injection` check both, and panic. In a
//! release a [`Lock`] is a `Mutex` whose poison is ignored: a panic leaves nothing half done under any of them that matters.
//!
//! What outlives a call is a [`Lasting`] lock, or one that was given to [`Lock::enrol`]: `fork` takes all of these
//! ([`hold_all`]).

use std::any::Any;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The order of locks; what is held at once is taken from the top down. But for [`Rank::Derivation`] and `fork`, which
/// takes all that outlive a call, nobody holds two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// One derivation of a key from a passphrase (`vault/src/cache.rs`): held for as long as that takes, some 100 ms.
    Derivation,
    /// Keys, handles and commands by number (`vault/src/registry.rs`).
    Registry,
    /// Paths that were unlocked (`vault/src/unlocked.rs`).
    Unlocked,
    /// Where the cache of data keys is.
    Cache,
    /// What is in it.
    CacheEntries,
    /// The derivations under way.
    Flights,
    /// Superblock copies that were found right (`vault/src/recent.rs`).
    Recent,
    /// The SQLite libraries (`sqlite/src/vfs/host.rs`).
    Hosts,
    /// The VFSs of one of them. Held for several hosts at once, in the order of their numbers.
    Shims,
    /// The main files that are open (`sqlite/src/vfs/mains.rs`).
    Mains,
    /// The VFSs of the gosqlite format (`gosqlite/src/opener.rs`).
    Gosqlite,
    /// The LMDB environments that are open (`lmdb/src/opening.rs`). Held while one is opened or closed.
    Environments,
    /// Maps of files (`sqlite/src/vfs/map.rs`).
    Maps,
    /// Counters of open files (`stats.rs`).
    Counters,
    /// Who joined the cache of one file (`sqlite/src/vfs/users.rs`); not held for `fork`.
    Joiners,
    /// What the threads of one call share: batches, pieces, findings. Of one call only, so not held for `fork`.
    Work,
}

/// Are the rules checked?
const CHECKED: bool =
    cfg!(any(debug_assertions, test, feature = "fault-injection", feature = "test-support"));

/// A mutex with a place in the order.
pub struct Lock<T> {
    rank: Rank,
    mutex: Mutex<T>,
}

/// A lock that is held.
pub struct Guard<'a, T> {
    // In front of `held`, so that what is said to be held is.
    guard: MutexGuard<'a, T>,
    held: Held,
}

impl<T> Lock<T> {
    /// Around `value`.
    pub const fn new(rank: Rank, value: T) -> Lock<T> {
        Lock { rank, mutex: Mutex::new(value) }
    }

    /// Waits for the lock.
    pub fn lock(&self) -> Guard<'_, T> {
        let held = Held::new(self.rank);
        Guard { guard: self.mutex.lock().unwrap_or_else(PoisonError::into_inner), held }
    }

    /// The value, of a lock that nobody has any more.
    pub fn into_inner(self) -> T {
        self.mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lock of the whole process, which `fork` takes from its first use on.
pub struct Lasting<T> {
    lock: Lock<T>,
    is_enrolled: AtomicBool,
}

impl<T: Send> Lasting<T> {
    /// Around `value`.
    pub const fn new(rank: Rank, value: T) -> Lasting<T> {
        Lasting { lock: Lock::new(rank, value), is_enrolled: AtomicBool::new(false) }
    }

    /// Waits for the lock.
    pub fn lock(&'static self) -> Guard<'static, T> {
        if !self.is_enrolled.load(Ordering::Acquire) {
            self.lock.enrol();
            self.is_enrolled.store(true, Ordering::Release);
        }
        self.lock.lock()
    }
}

/// The locks that `fork` takes. Not a [`Lock`]: it is taken by threads that hold others, for a moment.
static ENROLLED: Mutex<Vec<&'static dyn Hold>> = Mutex::new(Vec::new());

fn enrolled() -> MutexGuard<'static, Vec<&'static dyn Hold>> {
    ENROLLED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A lock, whatever it guards.
trait Hold: Sync {
    fn rank(&self) -> Rank;
    fn hold(&'static self) -> Box<dyn Any>;
}

impl<T: Send> Hold for Lock<T> {
    fn rank(&self) -> Rank {
        self.rank
    }

    fn hold(&'static self) -> Box<dyn Any> {
        Box::new(self.lock())
    }
}

/// Where a lock is: one order for locks of the same rank.
fn address(lock: &'static dyn Hold) -> usize {
    std::ptr::from_ref(lock).cast::<()>() as usize
}

impl<T: Send> Lock<T> {
    /// From here on `fork` takes this lock, too. To be called before another thread can.
    pub fn enrol(&'static self) {
        let mut enrolled = enrolled();
        // Two threads may be the first to use it.
        if !enrolled.iter().any(|lock| address(*lock) == address(self)) {
            enrolled.push(self);
        }
    }
}

/// Every lock that was enrolled, in their order, and the list of them: a thread that uses one for the first time waits.
///
/// The list is taken last. A thread that enrols a lock may hold others, and gets both while this waits for those; then
/// all is given back and taken again.
pub fn hold_all() -> Box<dyn Any> {
    loop {
        let mut all = enrolled().clone();
        all.sort_by_key(|lock| (lock.rank(), address(*lock)));
        let held: Vec<_> = all.iter().map(|lock| lock.hold()).collect();
        let list = enrolled();
        if list.len() == all.len() {
            return Box::new((held, list));
        }
    }
}

impl<'a, T> Guard<'a, T> {
    /// Gives the lock back until `condition` is told of.
    pub fn wait(self, condition: &Condvar) -> Guard<'a, T> {
        let Guard { guard, held } = self;
        Guard { guard: condition.wait(guard).unwrap_or_else(PoisonError::into_inner), held }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// SQLite, or a VFS below, is about to be called: it may take mutexes that another thread holds while it waits for a
/// lock of ours, and it may call the engine again.
#[inline]
pub fn calls_out() {
    if CHECKED {
        order::nothing_is_held();
    }
}

/// A rank that the thread holds.
struct Held(Rank);

impl Held {
    #[inline]
    fn new(rank: Rank) -> Held {
        if CHECKED {
            order::take(rank);
        }
        Held(rank)
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        if CHECKED {
            order::give_back(self.0);
        }
    }
}

/// What the calling thread holds, where that is checked.
mod order {
    use std::cell::RefCell;
    use std::thread::panicking;

    use super::Rank;

    thread_local! {
        static HELD: RefCell<Vec<Rank>> = const { RefCell::new(Vec::new()) };
    }

    /// A thread that is being torn down has no list, and is not checked; one that panics has said enough.
    fn with_held(look: impl FnOnce(&mut Vec<Rank>)) {
        let _ = HELD.try_with(|held| {
            if let Ok(mut held) = held.try_borrow_mut() {
                look(&mut held);
            }
        });
    }

    pub fn take(rank: Rank) {
        let mut wrong = None;
        with_held(|held| {
            wrong =
                held.iter().copied().find(|other| *other > rank || (*other == rank && rank != Rank::Shims));
            held.push(rank);
        });
        if let Some(other) = wrong.filter(|_| !panicking()) {
            give_back(rank);
            panic!("the lock {rank:?} is taken by a thread that holds {other:?}");
        }
    }

    pub fn give_back(rank: Rank) {
        with_held(|held| {
            if let Some(place) = held.iter().rposition(|other| *other == rank) {
                held.remove(place);
            }
        });
    }

    pub fn nothing_is_held() {
        let mut holds = None;
        with_held(|held| holds = held.last().copied());
        if let Some(rank) = holds.filter(|_| !panicking()) {
            panic!("SQLite is called by a thread that holds the lock {rank:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    static OUTER: Lock<u32> = Lock::new(Rank::Derivation, 0);
    static INNER: Lock<u32> = Lock::new(Rank::Work, 0);

    fn message(body: impl FnOnce()) -> String {
        let panic = catch_unwind(AssertUnwindSafe(body)).expect_err("a panic");
        panic.downcast_ref::<String>().expect("a text").clone()
    }

    #[test]
    fn locks_are_taken_in_their_order_and_no_other() {
        let (lower, higher) = (Lock::new(Rank::Registry, 1), Lock::new(Rank::Maps, 2));
        {
            let (one, two) = (lower.lock(), higher.lock());
            // Given back in any order.
            drop(one);
            assert_eq!(*two, 2);
        }
        let wrong = message(|| {
            let _two = higher.lock();
            lower.lock();
        });
        assert!(wrong.contains("Registry") && wrong.contains("Maps"), "{wrong}");
        let twice = message(|| {
            let _one = lower.lock();
            Lock::new(Rank::Registry, 1).lock();
        });
        assert!(twice.contains("Registry"), "{twice}");
        // What a panic gave back is not held.
        calls_out();
    }

    #[test]
    fn sqlite_is_not_called_under_a_lock() {
        calls_out();
        let wrong = message(|| {
            let _held = INNER.lock();
            calls_out();
        });
        assert!(wrong.contains("Work"), "{wrong}");
        calls_out();
        // Another thread's locks are its own.
        let _held = OUTER.lock();
        std::thread::scope(|scope| scope.spawn(calls_out).join()).expect("no panic");
    }

    #[test]
    fn hold_all_takes_what_was_used_once_and_what_was_enrolled() {
        static USED: Lasting<u32> = Lasting::new(Rank::Mains, 0);
        static UNUSED: Lasting<u32> = Lasting::new(Rank::Gosqlite, 0);
        static GIVEN: Lock<u32> = Lock::new(Rank::Maps, 0);
        drop(USED.lock());
        drop(USED.lock());
        GIVEN.enrol();
        GIVEN.enrol();
        let is_free = |lock: &Lock<u32>| lock.mutex.try_lock().is_ok();
        assert!(is_free(&USED.lock) && is_free(&GIVEN));
        let held = hold_all();
        assert!(!is_free(&USED.lock) && !is_free(&GIVEN) && is_free(&UNUSED.lock));
        std::thread::scope(|scope| {
            // The first use of a lock waits until the others are free.
            let first = scope.spawn(|| drop(UNUSED.lock()));
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!first.is_finished());
            drop(held);
        });
        assert!(is_free(&USED.lock) && is_free(&GIVEN));
        let held = hold_all();
        assert!(!is_free(&UNUSED.lock));
        drop(held);
    }

    #[test]
    fn a_lock_that_is_waited_with_is_held_again() {
        let (lock, told) = (Lock::new(Rank::Work, false), Condvar::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                *lock.lock() = true;
                told.notify_all();
            });
            let mut guard = lock.lock();
            while !*guard {
                guard = guard.wait(&told);
            }
            assert!(message(calls_out).contains("Work"));
        });
        calls_out();
    }
}
