//! Reads and writes as they are counted, timed, and told to a recorder.

use std::ffi::c_int;

use super::open_file::OpenFile;
use super::recorder::{self, Operation, Recorder};
use ground::failure;
use ground::stats::Watch;

impl OpenFile {
    fn recorder(&self) -> Option<Recorder> {
        self.common.shim.recorder().filter(|_| recorder::are_called())
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
        let tally = self.tally.as_ref()?;
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
