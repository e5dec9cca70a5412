//! `fork` in a process with threads: the child finds the engine's own locks free.
//!
//! A lock that another thread holds at that moment would stay held in the child, where that thread does not
//! exist. So whoever forks takes all of them first, in the order of `locks::Rank`, and gives them back in parent and child.
//! They are held for moments only, and nothing below them forks.

use std::any::Any;
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::locks;

thread_local! {
    /// What the thread that is forking holds.
    static HELD: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// The `fork`s between the first process and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// A number that is another one in a forked child, once [`watch`] was called: for what belongs to the process that opened
/// it.
pub fn generation() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// Has the C library call the handlers below. Every way into the engine that takes a lock comes by here first. `prepare` is
/// called before: it finds what cannot be looked for while another thread forks.
pub fn watch(prepare: fn()) {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if WATCHED.load(Ordering::Acquire) {
        return;
    }
    prepare();
    // Two threads may both get here, which the handlers allow for; a lock would not survive `fork`.
    #[cfg(unix)]
    // SAFETY: the handlers are `extern "C"`, do not unwind, and live as long as the library, which stays loaded.
    let watched = unsafe { libc::pthread_atfork(Some(before), Some(after), Some(in_child)) } == 0;
    #[cfg(not(unix))]
    let watched = true;
    WATCHED.store(watched, Ordering::Release);
}

#[cfg(unix)]
extern "C" fn before() {
    // A thread that is being torn down has no place to keep them, and goes without.
    let _ = HELD.try_with(|held| {
        if let Ok(mut held) = held.try_borrow_mut()
            && held.is_none()
        {
            *held = Some(locks::hold_all());
        }
    });
}

#[cfg(unix)]
extern "C" fn after() {
    let _ = HELD.try_with(|held| held.try_borrow_mut().map(|mut held| held.take()));
}

#[cfg(unix)]
extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    after();
}
