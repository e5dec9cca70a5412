//! Reads and writes as they are counted, timed, and told to a recorder.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use super::file::{Content, OpenFile};
use ground::error::FileKind;
use ground::failure;
use ground::stats::{Tally, Watch};

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

/// The counters of a file with that content.
pub fn tally_of(content: &Content) -> Option<Tally> {
    let kind = match content {
        Content::Plain => return None,
        Content::Main(_) => FileKind::MainDb,
        Content::Journal(..) => FileKind::MainJournal,
        Content::Wal(..) => FileKind::Wal,
        Content::Temp(file) => file.kind(),
        Content::Guest(file) => file.kind(),
    };
    Some(Tally::new(kind))
}

impl OpenFile {
    fn recorder(&self) -> Option<Recorder> {
        self.shim.recorder().filter(|_| RECORDING.load(Ordering::Acquire))
    }

    /// A read or write begins.
    pub(super) fn operation_begins(&self) -> Option<Watch> {
        self.tally.as_ref()?.begin(self.recorder().is_some())
    }

    /// It has ended with `code`. Returns what is to be called when nothing of the file is borrowed any more: a recorder
    /// may use the very connection that it is told of.
    pub(super) fn operation_ended(
        &self,
        operation: Operation,
        watch: Option<Watch>,
        offset: i64,
        len: usize,
        code: c_int,
    ) -> Option<impl FnOnce() + use<>> {
        let tally = self.tally.as_ref().filter(|_| !matches!(self.content, Content::Plain))?;
        match operation {
            Operation::Read => tally.read(len, watch.as_ref()),
            Operation::Write => tally.wrote(len, watch.as_ref()),
        }
        let (recorder, kind) = (self.recorder()?, tally.kind());
        let nanoseconds = watch.map_or(0, |watch| watch.nanoseconds());
        Some(move || {
            // What it does in the engine must not take the place of the failure that it is told of.
            let fault = failure::take();
            // SAFETY: whoever registered the recorder promised that it can be called.
            unsafe {
                (recorder.function)(
                    recorder.context,
                    operation as c_int,
                    kind as c_int,
                    offset,
                    len as i64,
                    nanoseconds,
                    code,
                );
            }
            match fault {
                Some(fault) => failure::record(fault),
                None => failure::clear(),
            }
        })
    }
}
