//! Blocks that are sealed anew with another data key, by several threads at once.

use std::thread::{available_parallelism, scope};

use crate::files::main_db::LostMarks;
use ground::error::Result;
use ground::locks::{Lock, Rank};
use ground::memory;
use ground::threads::{MOST_THREADS, start};
use vault::file_keys::{NO_CONTEXT, Sealer};

/// Bytes that a thread takes at a time: some 50 microseconds of work with the fastest suite.
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
    /// the new key already are left alone.
    ///
    /// Errors: no memory, and no randomness; some of the slots are sealed anew then, and others are not.
    pub fn run(&self, first: u64, slots: &mut [u8]) -> Result<Renewed> {
        let each = (PIECE / self.slot_len).max(1);
        let useful = slots.len().div_ceil(each * self.slot_len) / PIECES_EACH;
        let mut own = memory::zeroed(self.slot_len)?;
        let others = if useful > 1 { self.others(useful) } else { Vec::new() };
        let pieces = Lock::new(Rank::Work, (0..).step_by(each).zip(slots.chunks_mut(each * self.slot_len)));
        let found = Lock::new(Rank::Work, Ok(Renewed::default()));
        let work = |plain: &mut [u8]| {
            while found.lock().is_ok() {
                let next = pieces.lock().next();
                let Some((place, piece)) = next else { return };
                let done = self.piece(first, place, piece, plain);
                let mut found = found.lock();
                if let Ok(all) = &mut *found
                    && let Err(fault) = done.and_then(|done| all.add(done))
                {
                    *found = Err(fault);
                }
            }
        };
        scope(|scope| {
            for mut plain in others {
                let work = &work;
                if !start(scope, move || work(&mut plain)) {
                    break; // those that there are do the work
                }
            }
            work(&mut own);
        });
        let mut renewed = found.into_inner()?;
        renewed.unopened.sort_unstable();
        Ok(renewed)
    }

    /// Room for a block in clear for each thread beside this one, where memory for it can be had.
    fn others(&self, useful: usize) -> Vec<Vec<u8>> {
        let asked = self.threads.unwrap_or_else(|| available_parallelism().map_or(1, |cores| cores.get()));
        (1..asked.min(useful).min(MOST_THREADS)).map_while(|_| memory::zeroed(self.slot_len).ok()).collect()
    }

    /// The same with the slots of one piece, the first of which is at `place`.
    fn piece(&self, first: u64, place: usize, slots: &mut [u8], plain: &mut [u8]) -> Result<Renewed> {
        let mut renewed = Renewed::default();
        // A change that is taken up again passes by many that are sealed anew already, one behind the other.
        let mut likely_new = false;
        for (place, slot) in (place..).zip(slots.chunks_mut(self.slot_len)) {
            let index = first + place as u64;
            // What is too short for a block is none.
            let Some(len) = slot.len().checked_sub(self.new.overhead()) else { continue };
            let plain = &mut plain[..len];
            // A block opens under one key alone: without tags no data key is changed.
            let opens =
                |sealer: &Sealer, plain: &mut [u8]| sealer.open_new(index, &NO_CONTEXT, slot, plain).is_ok();
            if likely_new && opens(self.new, plain) {
                continue;
            }
            if opens(self.older, plain) {
                self.marks.renew(plain);
                self.new.seal(index, &NO_CONTEXT, plain, slot)?;
                renewed.add(Renewed { changed: Some((place, place)), unopened: Vec::new() })?;
                likely_new = false;
            } else if !likely_new && opens(self.new, plain) {
                likely_new = true;
            } else {
                memory::reserve(&mut renewed.unopened, 1)?;
                renewed.unopened.push(place);
            }
        }
        Ok(renewed)
    }
}

impl Renewed {
    fn add(&mut self, other: Renewed) -> Result<()> {
        memory::reserve(&mut self.unopened, other.unopened.len())?;
        self.unopened.extend(other.unopened);
        self.changed = match (self.changed, other.changed) {
            (Some((first, last)), Some((from, to))) => Some((first.min(from), last.max(to))),
            (one, other) => one.or(other),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::secret::Secret;
    use crypto::suite::SuiteId;
    use ground::error::FileKind;
    use vault::file_keys::FileKeys;

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
            let renewal = Renewal { new, older, marks: &marks, slot_len, threads };
            let renewed = renewal.run(FIRST, &mut slots).unwrap();
            for (place, slot) in slots.chunks(slot_len).enumerate() {
                let before = &before[place * slot_len..place * slot_len + slot.len()];
                let mut plain = [0; BLOCK];
                if place == whole || place % 7 > 4 {
                    assert_eq!(slot, before, "{place}");
                } else {
                    new.open_new(FIRST + place as u64, &NO_CONTEXT, slot, &mut plain).unwrap();
                    assert_eq!(plain, [place as u8; BLOCK]);
                }
            }
            assert_eq!(renewed.unopened, (0..whole).filter(|place| place % 7 == 6).collect::<Vec<_>>());
            let last = (0..whole).rfind(|place| place % 7 < 5).unwrap();
            assert_eq!(renewed.changed, Some((0, last)));
            let again = renewal.run(FIRST, &mut slots).unwrap();
            assert_eq!(again, Renewed { changed: None, unopened: renewed.unopened });
        }
    }
}
