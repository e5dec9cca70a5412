//! Commands to a connection's main file.

use std::ffi::{c_char, c_int};

use super::{call, owned, required};
use ground::error::{Fault, FaultClass, Result};
use vault::commands::Command;
use vault::registry;

/// Makes a single-use handle for `PRAGMA lumo_command`. `keys` are the numbers of the keys that the command takes, in order.
///
/// # Safety
/// `json` is a C string, `keys` points to `n` numbers or is null with `n` 0, `handle` is null or points to a writable
/// pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_command_new(
    json: *const c_char,
    keys: *const u64,
    n: usize,
    handle: *mut *mut c_char,
) -> c_int {
    call(|| {
        // SAFETY: passed on from the caller.
        let handle = unsafe { handle.as_mut() }
            .ok_or_else(|| Fault::new(FaultClass::InvalidArgument, "there is no place for the result"))?;
        *handle = std::ptr::null_mut();
        let numbers = match n {
            0 => &[][..],
            // SAFETY: passed on from the caller.
            _ => unsafe { std::slice::from_raw_parts(keys, n) },
        };
        let keys = numbers
            .iter()
            .map(|number| {
                registry::get_key(*number).ok_or_else(|| {
                    Fault::new(FaultClass::InvalidArgument, "there is no such key; it may have been freed")
                })
            })
            .collect::<Result<Vec<_>>>()?;
        // SAFETY: passed on from the caller.
        let command = Command::from_json(unsafe { required(json) }?, keys)?;
        *handle = owned(&registry::issue_command(command)?);
        Ok(())
    })
}
