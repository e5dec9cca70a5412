//! Randomness: straight from the system, and nonces in small batches.
//!
//! One system call per nonce would cost more than sealing a page. Newer kernels give nonces without one ([`vdso`]);
//! others give many in one call. A buffer of nonces, however, repeats itself after `fork` or when a virtual machine
//! resumes from a snapshot, and a repeated nonce is fatal to AEGIS. So the buffer is small, belongs to one thread, is wiped by the kernel in a forked child, is also
//! given up if a `fork` handler says so, and is discarded when a transaction starts. A snapshot that is
//! taken in the middle of a transaction and resumed twice remains uncovered there.

mod pool;
#[cfg(target_os = "linux")]
mod vdso;

use ground::error::{Fault, FaultClass, Result};

/// A fresh 24-byte nonce.
pub fn draw() -> Result<[u8; 24]> {
    #[cfg(any(test, feature = "fault-injection", feature = "test-support"))]
    injection::check()?;
    match pool::draw() {
        Some(drawn) => drawn,
        None => {
            let mut nonce = [0; 24];
            random(&mut nonce)?;
            Ok(nonce)
        }
    }
}

/// Finds the kernel's generator, before a `fork` may come in between.
pub fn prepare() {
    #[cfg(target_os = "linux")]
    vdso::find();
}

/// Throws away the nonces that this thread has in stock. To be called when a transaction starts.
pub fn discard_pool() {
    pool::discard();
}

/// Fills `buf` from the system's random number generator. There is no fallback: without randomness nothing
/// is sealed.
pub fn random(buf: &mut [u8]) -> Result<()> {
    #[cfg(any(test, feature = "fault-injection", feature = "test-support"))]
    injection::check()?;
    getrandom::fill(buf).map_err(|error| failure(&error.to_string()))
}

fn failure(reason: &str) -> Fault {
    Fault::new(
        FaultClass::Io,
        format!("the system's random number generator failed ({reason}); nothing was written"),
    )
}

#[cfg(any(test, feature = "fault-injection", feature = "test-support"))]
mod injection {
    use std::cell::Cell;

    #[derive(Clone, Copy)]
    pub(super) enum Mode {
        Working,
        Failing,
        Panicking,
    }

    /// Fails as it was told to.
    pub(super) fn check() -> super::Result<()> {
        match MODE.get() {
            Mode::Working => Ok(()),
            Mode::Failing => Err(super::failure("injected")),
            Mode::Panicking => panic!("injected"),
        }
    }

    thread_local! {
        pub(super) static MODE: Cell<Mode> = const { Cell::new(Mode::Working) };
    }
}

/// Makes the random number generator fail, or work again, for the calling thread.
#[cfg(any(test, feature = "fault-injection", feature = "test-support"))]
#[doc(hidden)]
pub fn fail_rng_for_tests(on: bool) {
    discard_pool();
    injection::MODE.set(if on { injection::Mode::Failing } else { injection::Mode::Working });
}

/// Makes the random number generator panic for the calling thread, as a bug in the middle of a call would.
/// [`fail_rng_for_tests`] ends it.
#[cfg(any(test, feature = "fault-injection", feature = "test-support"))]
#[doc(hidden)]
pub fn panic_rng_for_tests() {
    discard_pool();
    injection::MODE.set(injection::Mode::Panicking);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nonces_do_not_repeat() {
        let mut seen = HashSet::new();
        for i in 0..100_000 {
            if i % 997 == 0 {
                discard_pool();
            }
            assert!(seen.insert(draw().unwrap()), "repeated after {i}");
        }
    }

    #[test]
    fn threads_draw_different_nonces() {
        let threads: Vec<_> = (0..8)
            .map(|_| std::thread::spawn(|| (0..2000).map(|_| draw().unwrap()).collect::<Vec<_>>()))
            .collect();
        let mut seen = HashSet::new();
        for thread in threads {
            for nonce in thread.join().unwrap() {
                assert!(seen.insert(nonce));
            }
        }
    }

    #[test]
    fn a_failing_generator_fails_the_draw() {
        draw().unwrap();
        fail_rng_for_tests(true);
        assert_eq!(draw().unwrap_err().class, FaultClass::Io);
        assert_eq!(random(&mut [0; 32]).unwrap_err().class, FaultClass::Io);
        fail_rng_for_tests(false);
        draw().unwrap();
    }
}
