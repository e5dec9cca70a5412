//! How far an operation has come, and the points at which it pauses.
//!
//! Operations on whole files are `async`, and nothing else about them is: the compiler makes of each a value that goes on
//! from where it has paused. Whoever drives it does so between two pauses what a progress function would do within
//! them, and stops it by dropping it. So no caller has to be called, which some cannot have: a function of Python's
//! becomes one of C's only in memory that is written and then executed, and hardened processes get none.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;

/// How far an operation has come; it outlives the operation's pauses.
#[derive(Default)]
pub struct Meter {
    done: Cell<u64>,
    total: Cell<u64>,
    /// Which part of the whole is being done, and how many there are beyond the first.
    part: Cell<u64>,
    more: Cell<u64>,
}

impl Meter {
    /// Bytes done and bytes in all.
    pub fn read(&self) -> (u64, u64) {
        (self.done.get(), self.total.get())
    }

    /// What follows is part `part` of `parts` of the same size, counted from 0.
    pub fn enter_part(&self, part: u64, parts: u64) {
        self.part.set(part);
        self.more.set(parts.saturating_sub(1));
    }

    fn set(&self, done: u64, total: u64) {
        self.done.set(total.saturating_mul(self.part.get()).saturating_add(done));
        self.total.set(total.saturating_mul(self.more.get().saturating_add(1)));
    }
}

/// Progress of one operation over a known number of bytes.
pub struct Progress<'a> {
    done: u64,
    total: u64,
    meter: &'a Meter,
}

impl<'a> Progress<'a> {
    /// Nothing of `total` bytes done yet.
    pub fn new(total: u64, meter: &'a Meter) -> Self {
        Progress { done: 0, total, meter }
    }

    /// How many bytes are done.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// `bytes` more are done: a pause.
    pub async fn advance(&mut self, bytes: u64) {
        self.done = (self.done + bytes).min(self.total);
        self.meter.set(self.done, self.total);
        pause().await;
    }
}

/// Gives way to whoever drives the operation, once.
async fn pause() {
    let mut paused = false;
    poll_fn(|_| if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Drives an operation to its end, for tests.
#[cfg(test)]
pub(crate) fn finish<T>(operation: impl Future<Output = T>) -> T {
    let mut operation = std::pin::pin!(operation);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let Poll::Ready(result) = operation.as_mut().poll(&mut context) {
            return result;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn an_operation_pauses_at_each_advance_and_parts_add_up() {
        let meter = Meter::default();
        let mut operation = pin!(async {
            for part in 0..2 {
                meter.enter_part(part, 2);
                let mut progress = Progress::new(10, &meter);
                progress.advance(4).await;
                progress.advance(9).await;
            }
        });
        let mut context = Context::from_waker(Waker::noop());
        for expected in [(4, 20), (10, 20), (14, 20), (20, 20)] {
            assert!(operation.as_mut().poll(&mut context).is_pending());
            assert_eq!(meter.read(), expected);
        }
        assert!(operation.as_mut().poll(&mut context).is_ready());
    }
}
