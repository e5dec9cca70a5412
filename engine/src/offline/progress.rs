//! How far an operation has come, and whether it is to go on.

/// Called with bytes done and bytes in all; `false` stops the operation.
pub type Report<'a> = dyn FnMut(u64, u64) -> bool + 'a;

/// Progress of one operation over a known number of bytes.
pub struct Progress<'a> {
    done: u64,
    total: u64,
    report: &'a mut Report<'a>,
}

impl<'a> Progress<'a> {
    /// Nothing of `total` bytes done yet.
    pub fn new(total: u64, report: &'a mut Report<'a>) -> Self {
        Progress { done: 0, total, report }
    }

    /// `bytes` more are done. `false`: stop.
    pub fn advance(&mut self, bytes: u64) -> bool {
        self.done = (self.done + bytes).min(self.total);
        (self.report)(self.done, self.total)
    }
}
