//! Slots that wait to be written together, and those that are on their way to the file.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{BatchEnd, LONGEST_TRANSFER, Storage};
use ground::error::{Fault, FaultClass, Result};
use ground::memory;
use vault::file_keys::Sealer;

/// Batches that may be on their way at once. With one, whoever is faster in the long run waits wherever the other is
/// for once.
const IN_FLIGHT: usize = 4;

/// What is to be a slot of a file.
pub struct Slot<'a> {
    /// Its number.
    pub index: u64,
    /// Its place in the file, in bytes.
    pub offset: u64,
    /// What it is bound to beside its number; see [`Sealer::seal`].
    pub context: [u8; 16],
    /// What is in it, in two parts, of which the first may be empty.
    pub parts: [&'a [u8]; 2],
}

/// A slot that is not written yet.
#[derive(Debug, PartialEq, Eq)]
pub enum Unwritten<'a> {
    /// As it will be in the file.
    Sealed(&'a [u8]),
    /// As it was given, both parts together.
    Clear(&'a [u8]),
}

/// Slots for one go: as many as fit into [`LONGEST_TRANSFER`] bytes.
#[derive(Default)]
pub struct Batch {
    /// The numbers of the slots, apart from the rest: they are looked through at every read.
    indices: Vec<u64>,
    slots: Vec<Placed>,
    /// The slots one behind the other; what lies behind the last is left over from fuller batches.
    bytes: Vec<u8>,
    /// Bytes of them, and what they will be in the file.
    filled: usize,
    sealed: usize,
}

/// A slot in a batch.
struct Placed {
    offset: u64,
    start: usize,
    /// Bytes in the batch, and in the file.
    len: usize,
    sealed_len: usize,
    /// What it is still to be sealed with.
    clear: Option<Clear>,
}

/// A slot that is not sealed.
struct Clear {
    sealer: Sealer,
    index: u64,
    context: [u8; 16],
}

impl Batch {
    fn is_full(&self, sealed_len: usize) -> bool {
        self.sealed + sealed_len > LONGEST_TRANSFER
    }

    fn clear(&mut self) {
        self.indices.clear();
        self.slots.clear();
        (self.filled, self.sealed) = (0, 0);
    }

    /// The slot `index` as it was added last.
    fn get(&self, index: u64) -> Option<Unwritten<'_>> {
        let slot = &self.slots[self.indices.iter().rposition(|waiting| *waiting == index)?];
        let bytes = &self.bytes[slot.start..slot.start + slot.len];
        Some(if slot.clear.is_some() { Unwritten::Clear(bytes) } else { Unwritten::Sealed(bytes) })
    }

    fn end(&self) -> u64 {
        self.slots.iter().map(|slot| slot.offset + slot.sealed_len as u64).max().unwrap_or(0)
    }

    /// Adds a slot, sealed now or when the batch is written; returns what is in the batch.
    fn add(&mut self, sealer: &Sealer, slot: &Slot, now: bool, scratch: &mut Vec<u8>) -> Result<&[u8]> {
        let [head, body] = slot.parts;
        let plain_len = head.len() + body.len();
        let sealed_len = plain_len + sealer.overhead();
        let len = if now { sealed_len } else { plain_len };
        let (start, end) = (self.filled, self.filled + len);
        if self.bytes.len() < end {
            memory::resize(&mut self.bytes, end)?;
        }
        memory::reserve(&mut self.slots, 1)?;
        memory::reserve(&mut self.indices, 1)?;
        let place = &mut self.bytes[start..end];
        if !now {
            place[..head.len()].copy_from_slice(head);
            place[head.len()..].copy_from_slice(body);
        } else if head.is_empty() {
            sealer.seal(slot.index, &slot.context, body, place)?;
        } else {
            memory::resize(scratch, plain_len)?;
            sealer.seal_parts(slot.index, &slot.context, slot.parts, place, scratch)?;
        }
        let clear =
            (!now).then(|| Clear { sealer: sealer.clone(), index: slot.index, context: slot.context });
        self.filled = end;
        self.sealed += sealed_len;
        self.indices.push(slot.index);
        self.slots.push(Placed { offset: slot.offset, start, len, sealed_len, clear });
        Ok(&self.bytes[start..end])
    }

    /// Writes the slots in the order in which they were added, and seals those that are not, in `room`. Those that lie
    /// behind each other in the file go in one call of `write`, which gets bytes and their offset.
    ///
    /// Errors: those of `write`, no memory, and no randomness.
    pub fn write_by(
        &self,
        room: &mut Vec<u8>,
        mut write: impl FnMut(&[u8], u64) -> Result<()>,
    ) -> Result<()> {
        let adjoin = |left: &Placed, right: &Placed| {
            left.offset + left.sealed_len as u64 == right.offset
                && left.clear.is_some() == right.clear.is_some()
        };
        for neighbours in self.slots.chunk_by(adjoin) {
            let [first, ..] = neighbours else { continue };
            let len: usize = neighbours.iter().map(|slot| slot.sealed_len).sum();
            if first.clear.is_none() {
                write(&self.bytes[first.start..first.start + len], first.offset)?;
                continue;
            }
            if room.len() < len {
                memory::resize(room, len)?;
            }
            let mut rest = &mut room[..len];
            for slot in neighbours {
                let (place, behind) = rest.split_at_mut(slot.sealed_len);
                if let Some(clear) = &slot.clear {
                    let plain = &self.bytes[slot.start..slot.start + slot.len];
                    clear.sealer.seal(clear.index, &clear.context, plain, place)?;
                }
                rest = behind;
            }
            write(&room[..len], first.offset)?;
        }
        Ok(())
    }
}

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
        self.waiting.slots.is_empty() && self.sent.is_empty()
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
