//! Encrypting a database that the caller has in clear, and that is in no file.

use std::ffi::{c_char, c_int, c_void};

use super::files::{describe, open_options};
use super::input::new_file;
use super::{call, give};
use ground::error::{Fault, FaultClass, Result};
use offline::stream::Stream;

/// Begins the empty file that is open as `destination` for a plaintext database of `size` bytes that begins with the
/// `head_len` bytes at `head`, 100 or all of them.
///
/// # Safety
/// `options` is a string or null; the descriptor stays open until the call returns; `head` points to `head_len` readable
/// bytes; `stream` is null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_stream_open(
    destination: c_int,
    head: *const u8,
    head_len: usize,
    size: u64,
    key: u64,
    options: *const c_char,
    stream: *mut *mut c_void,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (target, options, head) =
            unsafe { (new_file(destination)?, open_options(options, key)?, bytes(head, head_len)?) };
        // SAFETY: as the caller promises.
        let place = unsafe { stream.as_mut() }.ok_or_else(null)?;
        let begun = Stream::begin(target, head, size, &options)?;
        *place = Box::into_raw(Box::new(begun)).cast();
        Ok(())
    })
}

/// Encrypts and writes the `len` bytes at `content`, which follow those of the last call.
///
/// # Safety
/// `stream` is from [`lumo_stream_open`] and used by one thread at a time; `content` points to `len` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_stream_write(stream: *mut c_void, content: *const u8, len: usize) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (stream, content) = unsafe { (stream.cast::<Stream>().as_mut(), bytes(content, len)?) };
        stream.ok_or_else(null)?.push(content)
    })
}

/// Ends a stream. With a place for `json` the database is completed and synced, and described there; without, what was
/// written so far is left as it is.
///
/// # Safety
/// `stream` is null or from [`lumo_stream_open`], and not used again; `json` is null or a place for a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_stream_close(stream: *mut c_void, json: *mut *mut c_char) -> c_int {
    call(|| {
        if stream.is_null() {
            return Ok(());
        }
        // SAFETY: made by Box::into_raw, and given back once.
        let stream = unsafe { Box::from_raw(stream.cast::<Stream>()) };
        if json.is_null() {
            return Ok(());
        }
        let done = stream.finish()?;
        // SAFETY: as the caller promises.
        unsafe { give(json, &describe(&done)) }
    })
}

/// # Safety
/// `start` points to `len` readable bytes, or is null.
unsafe fn bytes<'a>(start: *const u8, len: usize) -> Result<&'a [u8]> {
    if start.is_null() {
        return Err(null());
    }
    // SAFETY: as the caller promises.
    Ok(unsafe { std::slice::from_raw_parts(start, len) })
}

fn null() -> Fault {
    Fault::new(FaultClass::InvalidArgument, "a required argument is null")
}
