//! Blocks that are sealed anew with another data key, by several threads at once.

use std::sync::Mutex;
use std::thread::{Builder, available_parallelism, scope};

use zeroize::zeroize_stack;

use crate::error::Result;
use crate::files::main_db::LostMarks;
use crate::files::memory;
use crate::keys::file_keys::Sealer;
use crate::offline::NO_CONTEXT;
use crate::offline::workers::{STACK, STACK_USED, locked};

/// Bytes that a thread takes at a time: some 50 microseconds of work.
const PIECE: usize = 256 * 1024;
/// A thread is worth its start, which takes some 30 microseconds, if it gets about so many pieces.
const PIECES_EACH: usize = 4;

/// How blocks are sealed anew.
pub struct Renewal<'a> {
    /// With what.
    pub new: &'a Sealer,
    /// What opens those that are not yet.
    pub older: &'a Sealer,
    /// What stands in them for what is lost.
    pub marks: &'a LostMarks,
    /// Bytes of a slot.
    pub slot_len: usize,
    /// How many threads there may be; `None`: one per core.
    pub threads: Option<usize>,
}

/// What became of slots, which are counted from 0 on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// The first and the last that were sealed anew.
    pub changed: Option<(usize, usize)>,
    /// Those that open under neither key, in order. They are as they were.
    pub unopened: Vec<usize>,
}

impl Renewal<'_> {
    /// Seals `slots` anew in their places; the first is number `first`, and the last may be shorter. Those that are under
    /// the new key already are left alone. If there is a `source` of the same length, that is where they are taken from;
    /// it may be a map of a file that somebody changes meanwhile.
    ///
    /// Errors: no memory, and no randomness; some of the slots are sealed anew then, and others are not.
    pub fn run(&self, first: u64, source: Option<&[u8]>, slots: &mut [u8]) -> Result<Renewed> {
        let each = (PIECE / self.slot_len).max(1);
        let count = slots.len().div_ceil(each * self.slot_len);
        let allowed = self.threads.unwrap_or_else(|| available_parallelism().map_or(1, |cores| cores.get()));
        let pieces = Mutex::new((0..).step_by(each).zip(slots.chunks_mut(each * self.slot_len)));
        let found = Mutex::new(Ok(Renewed::default()));
        let work = || {
            let mut plain = match memory::zeroed(self.slot_len) {
                Ok(plain) => plain,
                Err(fault) => return *locked(&found) = Err(fault),
            };
            while let Some((place, piece)) = {
                let next = locked(&pieces).next();
                next.filter(|_| locked(&found).is_ok())
            } {
                let from = place * self.slot_len;
                let source = source.map(|source| &source[from..from + piece.len()]);
                let done = self.piece(first, place, source, piece, &mut plain);
                let mut found = locked(&found);
                match (&mut *found, done) {
                    (Ok(all), Ok(done)) => all.add(done),
                    (Ok(_), Err(fault)) => *found = Err(fault),
                    (Err(_), _) => {}
                }
            }
        };
        scope(|scope| {
            for _ in 1..allowed.min(count / PIECES_EACH) {
                let thread = Builder::new().name("lumocrypt".into()).stack_size(STACK);
                let started = thread.spawn_scoped(scope, || {
                    work();
                    // The C library keeps the stacks of threads that have ended, for the next ones.
                    zeroize_stack::<STACK_USED>();
                });
                if started.is_err() {
                    break; // those that there are do the work
                }
            }
            work();
        });
        let mut renewed = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)?;
        renewed.unopened.sort_unstable();
        Ok(renewed)
    }

    /// The same with the slots of one piece, the first of which is at `place`.
    fn piece(
        &self,
        first: u64,
        place: usize,
        source: Option<&[u8]>,
        slots: &mut [u8],
        plain: &mut [u8],
    ) -> Result<Renewed> {
        let mut renewed = Renewed::default();
        let mut sources = source.map(|source| source.chunks(self.slot_len));
        for (place, slot) in (place..).zip(slots.chunks_mut(self.slot_len)) {
            let source = sources.as_mut().and_then(Iterator::next);
            match self.slot(first + place as u64, source, slot, plain)? {
                Slot::Anew => renewed.add(Renewed { changed: Some((place, place)), unopened: Vec::new() }),
                Slot::AsItWas => {}
                Slot::Unopened => {
                    memory::reserve(&mut renewed.unopened, 1)?;
                    renewed.unopened.push(place);
                }
            }
        }
        Ok(renewed)
    }

    fn slot(&self, index: u64, source: Option<&[u8]>, slot: &mut [u8], plain: &mut [u8]) -> Result<Slot> {
        let mut plain = slot.len().checked_sub(self.new.overhead()).map(|len| &mut plain[..len]);
        // Most are under the older key. A block opens under one key alone.
        if let Some(plain) = &mut plain
            && self.older.open_new(index, &NO_CONTEXT, source.unwrap_or(slot), plain).is_ok()
        {
            self.marks.renew(plain);
            self.new.seal(index, &NO_CONTEXT, plain, slot)?;
            return Ok(Slot::Anew);
        }
        if let Some(source) = source {
            slot.copy_from_slice(source);
        }
        // What is too short for a block is none.
        let opens = plain.is_none_or(|plain| self.new.open_new(index, &NO_CONTEXT, slot, plain).is_ok());
        Ok(if opens { Slot::AsItWas } else { Slot::Unopened })
    }
}

/// What became of a slot.
enum Slot {
    Anew,
    AsItWas,
    Unopened,
}

impl Renewed {
    fn add(&mut self, other: Renewed) {
        self.changed = match (self.changed, other.changed) {
            (Some((first, last)), Some((from, to))) => Some((first.min(from), last.max(to))),
            (one, other) => one.or(other),
        };
        self.unopened.extend(other.unopened);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::secret::Secret;
    use crate::crypto::suite::SuiteId;
    use crate::error::FileKind;
    use crate::keys::file_keys::FileKeys;

    const BLOCK: usize = 512;
    const FIRST: u64 = 1000;

    fn keys(byte: u8) -> FileKeys {
        let data_key = Secret::from_slice(&[byte; 32]);
        FileKeys::new([1; 16], [byte; 16], SuiteId::DEFAULT, data_key).unwrap()
    }

    /// Slot `place` before, by turns under the older key, under the new one, and neither.
    fn slot(place: usize, [older, new]: [&Sealer; 2]) -> Vec<u8> {
        let mut slot = vec![0; BLOCK + new.overhead()];
        let (index, plain) = (FIRST + place as u64, [place as u8; BLOCK]);
        match place % 7 {
            0..5 => older.seal(index, &NO_CONTEXT, &plain, &mut slot).unwrap(),
            5 => new.seal(index, &NO_CONTEXT, &plain, &mut slot).unwrap(),
            _ => older.seal(index + 1, &NO_CONTEXT, &plain, &mut slot).unwrap(),
        }
        slot
    }

    #[test]
    fn every_slot_becomes_the_new_keys_however_many_threads() {
        let (older_keys, new_keys) = (keys(2), keys(3));
        let sealers = [older_keys, new_keys].map(|keys| keys.sealer(FileKind::MainDb).unwrap());
        let [older, new] = sealers.each_ref();
        let marks = LostMarks::new(&keys(3), BLOCK).unwrap();
        let slot_len = BLOCK + new.overhead();
        let count = 4 * PIECES_EACH * PIECE / slot_len + 3;
        for threads in [Some(1), Some(2), Some(7), None] {
            let mut slots: Vec<u8> = (0..count).flat_map(|place| slot(place, [older, new])).collect();
            // The file ends within the last slot, and what is left of it is no block.
            slots.truncate(slots.len() - slot_len + 5);
            let before = slots.clone();
            let whole = count - 1;
            let check = |slots: &[u8], before: &[u8]| {
                let pairs = slots.chunks(slot_len).zip(before.chunks(slot_len)).enumerate();
                for (place, (slot, before)) in pairs {
                    let mut plain = [0; BLOCK];
                    if place == whole || place % 7 > 4 {
                        assert_eq!(slot, before, "{place}");
                    } else {
                        new.open_new(FIRST + place as u64, &NO_CONTEXT, slot, &mut plain).unwrap();
                        assert_eq!(plain, [place as u8; BLOCK]);
                    }
                }
            };
            let renewal = Renewal { new, older, marks: &marks, slot_len, threads };
            let mut copied = vec![0; slots.len()];
            let from_source = renewal.run(FIRST, Some(&slots), &mut copied).unwrap();
            let renewed = renewal.run(FIRST, None, &mut slots).unwrap();
            assert_eq!(from_source, renewed);
            for slots in [&slots, &copied] {
                check(slots, &before);
            }
            assert_eq!(renewed.unopened, (0..whole).filter(|place| place % 7 == 6).collect::<Vec<_>>());
            let last = (0..whole).rfind(|place| place % 7 < 5).unwrap();
            assert_eq!(renewed.changed, Some((0, last)));
            let again = renewal.run(FIRST, None, &mut slots).unwrap();
            assert_eq!(again, Renewed { changed: None, unopened: renewed.unopened });
        }
    }
}
