//! The kernel's random number generator without a system call: `__vdso_getrandom` of Linux 6.11 and newer, which newer C
//! libraries use for `getrandom` themselves.
//!
//! It keeps a key per thread in memory that the kernel gives to nobody else, wipes in a forked child and may drop, and
//! looks before each use whether the kernel has got fresh entropy since, which it also does when a virtual machine resumes
//! from a snapshot. So nothing repeats, and nothing needs to be kept in stock.

use std::ffi::{c_uint, c_void};
use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;

use ground::error::Result;

/// `__vdso_getrandom` (include/vdso/getrandom.h): buffer, its length, flags, state, its length.
type Getrandom = unsafe extern "C" fn(*mut c_void, usize, c_uint, *mut c_void, usize) -> isize;

/// What memory it wants for its state (struct vgetrandom_opaque_params in include/uapi/linux/random.h).
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Parameters {
    state_len: u32,
    prot: u32,
    flags: u32,
    reserved: [u32; 13],
}

/// The length of the state that asks for the parameters instead.
const ASK: usize = usize::MAX;
/// States must not reach across pages; each has one of the smallest pages there are to itself.
const PAGE: usize = 4096;

/// The function and its wishes, where the kernel has it.
fn kernel() -> Option<(Getrandom, Parameters)> {
    static KERNEL: OnceLock<Option<(Getrandom, Parameters)>> = OnceLock::new();
    *KERNEL.get_or_init(|| {
        // SAFETY: two strings; the object is part of every process and is never unloaded.
        let function = unsafe {
            let object = libc::dlopen(c"linux-vdso.so.1".as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
            if object.is_null() {
                return None;
            }
            libc::dlsym(object, c"__vdso_getrandom".as_ptr())
        };
        if function.is_null() {
            return None;
        }
        // SAFETY: the kernel's own function of that name has this signature.
        let function: Getrandom = unsafe { std::mem::transmute(function) };
        let mut parameters = Parameters::default();
        // SAFETY: room for the parameters, and nothing else is read or written.
        let code = unsafe { function(null_mut(), 0, 0, (&raw mut parameters).cast(), ASK) };
        let fits = (1..=PAGE).contains(&(parameters.state_len as usize));
        (code == 0 && fits).then_some((function, parameters))
    })
}

/// Looks for the function, once.
pub(super) fn find() {
    kernel();
}

/// A thread's state.
pub(super) struct Generator {
    function: Getrandom,
    state: NonNull<c_void>,
    state_len: usize,
}

impl Generator {
    /// `None` where the kernel has no such thing.
    pub(super) fn new() -> Option<Self> {
        let (function, parameters) = kernel()?;
        // SAFETY: a new mapping, at an address of the kernel's choice, of the kind that the kernel asked for.
        let state =
            unsafe { libc::mmap(null_mut(), PAGE, parameters.prot as i32, parameters.flags as i32, -1, 0) };
        if state == libc::MAP_FAILED {
            return None;
        }
        Some(Generator { function, state: NonNull::new(state)?, state_len: parameters.state_len as usize })
    }

    /// A fresh nonce.
    pub(super) fn draw(&mut self) -> Result<[u8; 24]> {
        let mut nonce = [0u8; 24];
        // SAFETY: a buffer of that length and this thread's own state.
        let written = unsafe {
            (self.function)(nonce.as_mut_ptr().cast(), nonce.len(), 0, self.state.as_ptr(), self.state_len)
        };
        if written != nonce.len() as isize {
            // Interrupted, or without entropy yet: the system call says what it is.
            super::random(&mut nonce)?;
        }
        Ok(nonce)
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // SAFETY: the mapping made by `new`, which nothing refers to any more.
        unsafe { libc::munmap(self.state.as_ptr(), PAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_differ_between_draws_and_generators() {
        let (Some(mut one), Some(mut two)) = (Generator::new(), Generator::new()) else {
            eprintln!("SKIPPED: this kernel has no __vdso_getrandom");
            return;
        };
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            assert!(seen.insert(one.draw().unwrap()));
            assert!(seen.insert(two.draw().unwrap()));
        }
        // Every byte takes many values.
        for at in 0..24 {
            let values: std::collections::HashSet<u8> = seen.iter().map(|nonce| nonce[at]).collect();
            assert_eq!(values.len(), 256);
        }
    }

    #[test]
    fn a_forked_child_gets_others_hazard_11() {
        let Some(mut generator) = Generator::new() else {
            eprintln!("SKIPPED: this kernel has no __vdso_getrandom");
            return;
        };
        for _ in 0..20 {
            generator.draw().unwrap();
            let child = super::super::pool::from_child(|| generator.draw().unwrap_or_default());
            assert_ne!(child, [0; 24]);
            for _ in 0..50 {
                assert_ne!(generator.draw().unwrap(), child);
            }
        }
    }
}
