//! Is there memory for another thread?
//!
//! The C library ends the process if a thread that was started finds no memory for the library's own data, and that is no
//! error that anybody could handle. So it is asked before.

/// What a thread may need beside its stack: thread-local data, and a page for whatever else it allocates, since there may
/// be none for an arena of its own. Some 100 KiB were seen; several threads may be starting.
const BESIDE: usize = 1 << 20;

/// Whether a thread with a stack of `stack` bytes can be started.
#[cfg(unix)]
pub fn for_thread(stack: usize) -> bool {
    let len = stack.saturating_add(BESIDE);
    // Not from the allocator, which might keep it: then there would be none for the thread.
    // SAFETY: a new private mapping, which nobody uses and which goes at once.
    unsafe {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let room = libc::mmap(std::ptr::null_mut(), len, access, kind, -1, 0);
        room != libc::MAP_FAILED && libc::munmap(room, len) == 0
    }
}

/// Whether a thread with a stack of `stack` bytes can be started. Elsewhere that is not asked.
#[cfg(not(unix))]
pub fn for_thread(_stack: usize) -> bool {
    true
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_a_thread_and_not_for_any() {
        assert!(for_thread(512 * 1024));
        assert!(!for_thread(usize::MAX));
        assert!(!for_thread(1 << 60));
    }
}
