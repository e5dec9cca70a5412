//! Threads that seal and open blocks.

use std::thread;

use zeroize::zeroize_stack;

use crate::room;

/// The buffers of more threads than this would no longer be a few megabytes.
pub const MOST_THREADS: usize = 16;
/// What a thread's stack may need, several times over; each is wiped at the end.
const STACK: usize = 512 * 1024;
/// What sealing and opening leave on it.
const STACK_USED: usize = 32 * 1024;

/// Starts a thread that seals and opens; `false` if that cannot be had.
pub fn start<'scope>(scope: &'scope thread::Scope<'scope, '_>, work: impl FnOnce() + Send + 'scope) -> bool {
    let thread = thread::Builder::new().name("lumocrypt".into()).stack_size(STACK);
    let wiped = || {
        work();
        // The C library keeps the stacks of threads that have ended, for the next ones.
        zeroize_stack::<STACK_USED>();
    };
    room::for_thread(STACK) && thread.spawn_scoped(scope, wiped).is_ok()
}
