//! Where a thread's nonces come from: the kernel's generator without a system call, or a stock in memory that the kernel
//! wipes in a forked child.

use ground::error::Result;

#[cfg(all(test, target_os = "linux"))]
pub(super) use linux::from_child;
#[cfg(target_os = "linux")]
pub(super) use linux::{discard, draw};

/// Without memory that is wiped on `fork` there is no stock: `None` sends the caller to the system.
#[cfg(not(target_os = "linux"))]
pub(super) fn draw() -> Option<Result<[u8; 24]>> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(super) fn discard() {}

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::RefCell;
    use std::ptr::{NonNull, null_mut};
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use zeroize::Zeroize;

    use super::super::vdso::Generator;
    use super::Result;

    /// Nonces in stock at most: what fits into one page beside the bookkeeping.
    const CAPACITY: usize = 170;
    /// Each further batch of a transaction is so many times larger. The first one is as large as the transaction
    /// before needed in all: transactions of a connection resemble each other, and a system call costs 0.4 µs, then
    /// 60 ns per nonce.
    const GROWTH: usize = 4;

    /// The mapping. All of it lives in memory that is wiped on `fork`, so that a child sees `left == 0`.
    #[repr(C)]
    struct Stock {
        nonces: [[u8; 24]; CAPACITY],
        left: u16,
        /// Drawn since the last discard.
        drawn: u16,
        next_batch: u32,
        /// The value of `FORKS` when the stock was filled.
        filled_at: u64,
    }

    /// Counts the `fork`s between the first process and this one. A second guard beside the kernel's: asking
    /// for the process id instead is a system call, which costs half as much as sealing a page.
    static FORKS: AtomicU64 = AtomicU64::new(1);

    extern "C" fn count_fork() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }

    /// Has the C library call `count_fork` in children; false if it will not.
    fn watch_forks() -> bool {
        static WATCHED: AtomicBool = AtomicBool::new(false);
        if WATCHED.load(Ordering::Acquire) {
            return true;
        }
        // Two threads may both get here; counting twice is harmless, and a lock would not survive `fork`.
        // SAFETY: `count_fork` is an `extern "C"` function that only adds to an atomic, which is allowed in
        // a forked child; the library stays loaded for the life of the process.
        let watched = unsafe { libc::pthread_atfork(None, None, Some(count_fork)) } == 0;
        WATCHED.store(watched, Ordering::Release);
        watched
    }

    struct Pool(NonNull<Stock>);

    impl Pool {
        /// `None` where the kernel cannot wipe memory on `fork`.
        fn new() -> Option<Self> {
            if !watch_forks() {
                return None;
            }
            let len = size_of::<Stock>();
            // SAFETY: an anonymous private mapping at an address of the kernel's choice touches nothing of
            // ours; a failed one is not used.
            let page = unsafe {
                libc::mmap(
                    null_mut(),
                    len,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                )
            };
            if page == libc::MAP_FAILED {
                return None;
            }
            // Zero bytes are a valid, empty `Stock`, and page alignment suits it.
            let pool = Pool(NonNull::new(page.cast())?);
            // Some emulators accept any advice and do nothing: advice that does not exist must be refused.
            // SAFETY: the range is the mapping made above, and neither advice affects other memory.
            let wiped = unsafe {
                libc::madvise(page, len, -1) != 0 && libc::madvise(page, len, libc::MADV_WIPEONFORK) == 0
            };
            // SAFETY: as above; failing to keep nonces, which are public in the end, out of dumps is harmless.
            unsafe { libc::madvise(page, len, libc::MADV_DONTDUMP) };
            wiped.then_some(pool)
        }

        fn stock(&mut self) -> &mut Stock {
            // SAFETY: the mapping is page-aligned, as large as a `Stock`, valid for every bit pattern, and
            // owned by this `Pool` alone.
            unsafe { self.0.as_mut() }
        }

        fn draw(&mut self) -> Result<[u8; 24]> {
            let forks = FORKS.load(Ordering::Relaxed);
            let stock = self.stock();
            if stock.left == 0 || stock.filled_at != forks {
                stock.refill(forks)?;
            }
            let last = stock.left as usize - 1;
            stock.left -= 1;
            stock.drawn = stock.drawn.saturating_add(1);
            // Taken out and wiped, so that nothing can hand it out again.
            let nonce = stock.nonces[last];
            stock.nonces[last].zeroize();
            Ok(nonce)
        }
    }

    impl Stock {
        fn refill(&mut self, forks: u64) -> Result<()> {
            if self.filled_at != forks {
                self.discard();
                self.filled_at = forks;
            }
            let batch = (self.next_batch as usize).clamp(1, CAPACITY);
            super::super::random(self.nonces[..batch].as_flattened_mut())?;
            self.left = batch as u16;
            self.next_batch = (batch * GROWTH).min(CAPACITY) as u32;
            Ok(())
        }

        fn discard(&mut self) {
            let left = (self.left as usize).min(CAPACITY);
            self.nonces[..left].as_flattened_mut().zeroize();
            self.left = 0;
            if self.drawn > 0 {
                self.next_batch = self.drawn.into();
                self.drawn = 0;
            }
        }
    }

    impl Drop for Pool {
        fn drop(&mut self) {
            self.stock().discard();
            // SAFETY: the mapping was made by `new` with this length and nothing refers to it any more.
            unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<Stock>()) };
        }
    }

    enum Slot {
        Untried,
        Unavailable,
        Kernel(Generator),
        Stock(Pool),
    }

    impl Slot {
        /// The kernel's generator if it can be had without a system call; else a stock.
        fn fill(&mut self) {
            *self = match Generator::new() {
                Some(generator) => Slot::Kernel(generator),
                None => Pool::new().map_or(Slot::Unavailable, Slot::Stock),
            };
        }
    }

    thread_local! {
        static SLOT: RefCell<Slot> = const { RefCell::new(Slot::Untried) };
    }

    /// A nonce from this thread's generator or stock; `None` if it can have neither, or the thread is ending.
    pub(in super::super) fn draw() -> Option<Result<[u8; 24]>> {
        SLOT.try_with(|slot| {
            let slot = &mut *slot.borrow_mut();
            if let Slot::Untried = slot {
                slot.fill();
            }
            match slot {
                Slot::Kernel(generator) => Some(generator.draw()),
                Slot::Stock(pool) => Some(pool.draw()),
                Slot::Untried | Slot::Unavailable => None,
            }
        })
        .ok()
        .flatten()
    }

    /// Empties this thread's stock.
    pub(in super::super) fn discard() {
        let _ = SLOT.try_with(|slot| {
            if let Slot::Stock(pool) = &mut *slot.borrow_mut() {
                pool.stock().discard();
            }
        });
    }

    /// Forks; the child runs `in_child` on its copy of the state and sends the 24 bytes that it returns.
    #[cfg(test)]
    pub(in super::super) fn from_child(in_child: impl FnOnce() -> [u8; 24]) -> [u8; 24] {
        let mut ends = [0; 2];
        // SAFETY: `pipe` gets room for two descriptors. The child of this threaded process calls only
        // code without locks (atomics, thread-locals, system calls) and leaves with `_exit`.
        unsafe {
            assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
            let child = libc::fork();
            assert!(child >= 0);
            if child == 0 {
                let nonce = in_child();
                libc::write(ends[1], nonce.as_ptr().cast(), nonce.len());
                libc::_exit(0);
            }
            let mut nonce = [0u8; 24];
            assert_eq!(libc::read(ends[0], nonce.as_mut_ptr().cast(), nonce.len()), 24);
            libc::waitpid(child, null_mut(), 0);
            libc::close(ends[0]);
            libc::close(ends[1]);
            nonce
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::nonce;

        #[test]
        fn the_stock_fills_exactly_one_page() {
            assert_eq!(size_of::<Stock>(), 4096);
        }

        #[test]
        fn a_transaction_fetches_what_the_one_before_needed() {
            let mut pool = Pool::new().expect("Linux 4.14 or newer");
            for transaction in 0..3 {
                for left in [6, 5, 4, 3, 2, 1, 0] {
                    pool.draw().unwrap();
                    if transaction > 0 {
                        assert_eq!(pool.stock().left, left);
                    }
                }
                pool.stock().discard();
                // Locks that nothing is sealed under make no difference.
                pool.stock().discard();
            }
            pool.draw().unwrap();
            assert_eq!(pool.stock().left, 6);
            for _ in 0..1000 {
                pool.draw().unwrap();
                assert!(pool.stock().left as usize <= CAPACITY);
            }
        }

        #[test]
        fn drawn_and_discarded_nonces_are_wiped() {
            let mut pool = Pool::new().expect("Linux 4.14 or newer");
            for _ in 0..50 {
                pool.draw().unwrap();
            }
            let left = pool.stock().left as usize;
            assert!(pool.stock().nonces[..left].iter().all(|n| n != &[0; 24]));
            assert!(pool.stock().nonces[left..].iter().all(|n| n == &[0; 24]));
            pool.stock().discard();
            assert!(pool.stock().nonces.iter().all(|n| n == &[0; 24]));
        }

        #[test]
        fn a_forked_child_draws_different_nonces_hazard_11() {
            for _ in 0..20 {
                nonce::draw().unwrap(); // so that there is a stock to inherit
            }
            let child = from_child(|| nonce::draw().unwrap_or([0; 24]));
            assert_ne!(child, [0; 24]);
            for _ in 0..CAPACITY * 2 {
                assert_ne!(nonce::draw().unwrap(), child);
            }
        }

        #[test]
        fn either_guard_alone_empties_the_stock_of_a_child_hazard_11() {
            let mut pool = Pool::new().expect("Linux 4.14 or newer");
            pool.draw().unwrap();
            let before = FORKS.load(Ordering::Relaxed);
            let seen = from_child(|| {
                let stock = pool.stock();
                let mut report = [0; 24];
                report[0] = u8::from(stock.left == 0 && stock.nonces.iter().all(|n| n == &[0; 24]));
                report[1] = u8::from(FORKS.load(Ordering::Relaxed) != before);
                report
            });
            assert_eq!(seen[..2], [1, 1], "wiped by the kernel, counted by the fork handler");
            let inherited = pool.stock().nonces;
            pool.stock().filled_at = before.wrapping_sub(1); // as a child would see it without the kernel
            assert!(!inherited.contains(&pool.draw().unwrap()));
        }
    }
}
