//! Slots that wait to be written together, and those that are on their way to the file.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Storage;
use crate::batch::{Batch, BatchEnd, Slot, Unwritten};
use ground::error::{Fault, FaultClass, Result};
use vault::file_keys::Sealer;

/// Batches that may be on their way at once. With one, whoever is faster in the long run waits wherever the other is
/// for once.
const IN_FLIGHT: usize = 4;

/// The slots of one file that are not written yet.
///
/// Where batches fill fast the storage may seal and write some while the next fills: of a transaction's frames, or a
/// checkpoint's blocks, nothing counts before [`flush`](Self::flush) has returned. Batches are written in order.
#[derive(Default)]
pub struct Outbox {
    waiting: Batch,
    /// The batches before, oldest first, which the storage is writing.
    sent: VecDeque<Arc<Batch>>,
    /// It could not write the first of them; all are this thread's now.
    failed: bool,
    spare: Vec<Batch>,
    /// What waits is for the storage to write in a thread of its own, and sealed there.
    background: bool,
    /// That thread was started since the last flush.
    begun: bool,
    /// When a batch was full last.
    full_at: Option<Instant>,
    scratch: Vec<u8>,
    room: Vec<u8>,
}

impl Outbox {
    /// Is every slot written?
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty()
    }

    /// Slot `index`, if it is not written yet.
    pub fn get(&self, index: u64) -> Option<Unwritten<'_>> {
        let sent = || self.sent.iter().rev().find_map(|batch| batch.get(index));
        self.waiting.get(index).or_else(sent)
    }

    /// The physical offset behind the last slot that is not written; 0 if all are.
    pub fn end(&self) -> u64 {
        self.sent.iter().map(|batch| batch.end()).fold(self.waiting.end(), u64::max)
    }

    /// Adds a slot. If there is no room for it, those that wait are sent first. Returns the slot as it will be in the
    /// file, if it is sealed already.
    ///
    /// Errors: those of the storage, for whatever was sent, no randomness, and no memory; the slot is not added then.
    pub fn add(&mut self, storage: &mut dyn Storage, sealer: &Sealer, slot: &Slot) -> Result<Option<&[u8]>> {
        let len = slot.parts[0].len() + slot.parts[1].len() + sealer.overhead();
        self.send_if_full(storage, len)?;
        let now = !self.background;
        let added = self.waiting.add(sealer, slot, now, &mut self.scratch)?;
        Ok(now.then_some(added))
    }

    /// Sends what waits if another slot of `len` bytes would not fit.
    pub fn send_if_full(&mut self, storage: &mut dyn Storage, len: usize) -> Result<()> {
        if self.waiting.is_full(len) { self.send(storage) } else { Ok(()) }
    }

    fn send(&mut self, storage: &mut dyn Storage) -> Result<()> {
        self.settle(storage, IN_FLIGHT - 1)?;
        let (now, worth) = (Instant::now(), storage.pace_for_batches());
        let background = match self.full_at.replace(now) {
            Some(before) => now - before < worth,
            None => worth == Duration::MAX,
        };
        if self.background {
            let batch = Arc::new(std::mem::take(&mut self.waiting));
            if storage.begin_batch(&batch) {
                self.waiting = self.spare.pop().unwrap_or_default();
                self.sent.push_back(batch);
                (self.background, self.begun) = (background, true);
                return Ok(());
            }
            self.waiting = Arc::into_inner(batch).unwrap_or_default();
        }
        // This thread's turn comes after the other's.
        self.settle(storage, 0)?;
        self.write_waiting(storage)?;
        self.background = background;
        Ok(())
    }

    fn write_waiting(&mut self, storage: &mut dyn Storage) -> Result<()> {
        self.waiting.write_by(&mut self.room, |bytes, offset| storage.write(bytes, offset))?;
        self.waiting.clear();
        Ok(())
    }

    /// Waits until all but `rest` of the batches sent are written. What failed, and all that was sent after it, is written
    /// again by this thread, so that the error is that of a call that can tell it.
    fn settle(&mut self, storage: &mut dyn Storage, rest: usize) -> Result<()> {
        while self.sent.len() > if self.failed { 0 } else { rest } {
            if !self.failed {
                match storage.end_batch() {
                    BatchEnd::Written => {}
                    BatchEnd::Failed => self.failed = true,
                    BatchEnd::Elsewhere => {
                        self.sent.clear();
                        return Err(Fault::new(
                            FaultClass::Io,
                            "the connection belongs to the process that this one was forked from; open another one here",
                        ));
                    }
                }
            }
            if self.failed
                && let Some(batch) = self.sent.front()
            {
                batch.write_by(&mut self.room, |bytes, offset| storage.write(bytes, offset))?;
            }
            if let Some(mut batch) = self.sent.pop_front().and_then(Arc::into_inner) {
                batch.clear();
                self.spare.push(batch);
            }
        }
        self.failed = false;
        Ok(())
    }

    /// Writes what waits, and waits for what was sent. If that fails they go on waiting.
    pub fn flush(&mut self, storage: &mut dyn Storage) -> Result<()> {
        if !self.is_empty() {
            self.settle(storage, 0)?;
            self.write_waiting(storage)?;
        }
        self.rest(storage);
        Ok(())
    }

    /// Drops what is not written. When this returns, nothing is on its way any more.
    pub fn discard(&mut self, storage: &mut dyn Storage) {
        self.rest(storage);
        self.sent.clear();
        self.failed = false;
        self.waiting.clear();
    }

    /// A transaction has ended. The thread may go, and the memory of a large one is not worth keeping.
    fn rest(&mut self, storage: &mut dyn Storage) {
        if std::mem::replace(&mut self.begun, false) {
            storage.end_batches();
            (self.spare, self.room) = (Vec::new(), Vec::new());
        }
        (self.background, self.full_at) = (false, None);
    }
}

#[cfg(test)]
mod tests;
