//! What is told of reads and writes.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

/// A direction; the numbers are part of the C ABI.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `xRead`.
    Read = 0,
    /// `xWrite`.
    Write = 1,
}

/// What is called after each read and write: context, operation, kind of file, offset, bytes asked for, nanoseconds,
/// and SQLite's result code.
pub type RecorderFunction = unsafe extern "C" fn(u64, c_int, c_int, i64, i64, u64, c_int);

/// A function to call, and what to call it with.
#[derive(Clone, Copy)]
pub struct Recorder {
    /// The function. It stays callable until [`stop_recorders`].
    pub function: RecorderFunction,
    /// Its first argument.
    pub context: u64,
}

/// False once the process, or the interpreter in it, is about to end.
static RECORDING: AtomicBool = AtomicBool::new(true);

/// No recorder is called any more.
pub fn stop_recorders() {
    RECORDING.store(false, Ordering::Release);
}

/// Are recorders called?
pub fn are_called() -> bool {
    RECORDING.load(Ordering::Acquire)
}
