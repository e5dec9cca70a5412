//! Slots that go to the file together.

use ground::error::Result;
use ground::memory;
use vault::file_keys::Sealer;

/// The most that goes down in one call, in bytes: SQLite's unix VFS silently cuts lengths to 17 bits (os_unix.c,
/// seekAndRead and seekAndWriteFd), because no page is that long.
pub const LONGEST_TRANSFER: usize = 0x1_f000;

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchEnd {
    /// It is in the file.
    Written,
    /// All of it, or some, is not.
    Failed,
    /// A process writes it of which this one is a forked child.
    Elsewhere,
}

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
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn is_full(&self, sealed_len: usize) -> bool {
        self.sealed + sealed_len > LONGEST_TRANSFER
    }

    pub(crate) fn clear(&mut self) {
        self.indices.clear();
        self.slots.clear();
        (self.filled, self.sealed) = (0, 0);
    }

    /// The slot `index` as it was added last.
    pub(crate) fn get(&self, index: u64) -> Option<Unwritten<'_>> {
        let slot = &self.slots[self.indices.iter().rposition(|waiting| *waiting == index)?];
        let bytes = &self.bytes[slot.start..slot.start + slot.len];
        Some(if slot.clear.is_some() { Unwritten::Clear(bytes) } else { Unwritten::Sealed(bytes) })
    }

    pub(crate) fn end(&self) -> u64 {
        self.slots.iter().map(|slot| slot.offset + slot.sealed_len as u64).max().unwrap_or(0)
    }

    /// Adds a slot, sealed now or when the batch is written; returns what is in the batch.
    pub(crate) fn add(
        &mut self,
        sealer: &Sealer,
        slot: &Slot,
        now: bool,
        scratch: &mut Vec<u8>,
    ) -> Result<&[u8]> {
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
