//! The slots of a main file, every one of them opened, for `verify`.

use std::thread;
use std::time::Duration;

use super::Unlocked;
use super::pieces::Piece;
use super::progress::Progress;
use super::workers::{Desk, Input, Workers};
use ground::error::Result;
use ground::locks::{Lock, Rank};
use sqlite::files::main_db::{COVER, LostMarks};
use storage::is_zero;

/// How often a block that does not authenticate is read again, in case a checkpoint is writing it.
pub const TRIES: u32 = 5;
/// How long that is waited for, each time.
pub const PAUSE: Duration = Duration::from_micros(200);

/// What is wrong with a block.
pub type Found = (u64, &'static str);

/// The slots of one file.
pub struct Slots<'a> {
    file: &'a Unlocked,
    holes_from: Option<u64>,
    /// What stands for the units of a block that a recovery could not restore.
    marks: LostMarks,
}

/// A block that did not open when it was first read.
struct Suspect {
    index: u64,
    erased: bool,
}

impl<'a> Slots<'a> {
    /// The slots of `file`; from `holes_from` on they may be zero.
    pub fn new(file: &'a Unlocked, holes_from: Option<u64>) -> Result<Self> {
        let marks = LostMarks::new(&file.keys, file.geometry.block_size as usize)?;
        Ok(Slots { file, holes_from, marks })
    }

    /// Opens all that `main` holds, on several threads, and tells `add` what is wrong, in order.
    pub async fn verify(
        &self,
        main: &mut dyn Input,
        threads: Option<usize>,
        mut progress: Progress<'_>,
        add: &mut dyn FnMut(Found),
    ) -> Result<()> {
        let mut workers = Workers::new(self.file.pieces(), main, threads, 1)?;
        let found = Lock::new(Rank::Work, Vec::new());
        let work = |piece: &Piece, desk: &mut Desk<'_>| {
            let wrong = self.verify_piece(piece, desk)?;
            if !wrong.is_empty() {
                found.lock().extend(wrong);
            }
            Ok(())
        };
        while let Some(done) = workers.round(&work)? {
            // After each round: a file may be damaged in more places than there is memory to list them in.
            let mut found = std::mem::take(&mut *found.lock());
            found.sort_unstable_by_key(|(index, _)| *index);
            found.into_iter().for_each(&mut *add);
            progress.advance(done).await;
        }
        Ok(())
    }

    fn verify_piece(&self, piece: &Piece, desk: &mut Desk<'_>) -> Result<Vec<Found>> {
        let sealed = &mut desk.sealed[..piece.sealed_len];
        desk.input.read(sealed, piece.offset)?;
        let (mut found, mut suspects) = (Vec::new(), Vec::new());
        for (slot, index) in sealed.chunks(self.file.geometry.slot_len()).zip(piece.first..) {
            match self.open(index, slot, desk.plain) {
                Some(None) => {}
                Some(Some(lost)) => found.push((index, lost)),
                None => {
                    let erased = is_zero(slot);
                    if !(erased && self.holes_from.is_some_and(|from| index >= from)) {
                        suspects.push(Suspect { index, erased });
                    }
                }
            }
        }
        if !suspects.is_empty() {
            self.look_again(piece, &mut suspects, desk, &mut found)?;
            let reason = |erased| if erased { "erased" } else { "does not authenticate" };
            found.extend(suspects.iter().map(|suspect| (suspect.index, reason(suspect.erased))));
        }
        Ok(found)
    }

    /// `None`: the slot does not open. `Some(Some(…))`: it does, and what it says of itself is no good.
    fn open(&self, index: u64, slot: &[u8], plain: &mut [u8]) -> Option<Option<&'static str>> {
        let plain = plain.get_mut(..slot.len().checked_sub(self.file.sealer.overhead())?)?;
        if !self.file.open_slot(index, slot, plain) {
            return None;
        }
        let lost =
            plain.chunks_exact(COVER).enumerate().any(|(unit, content)| self.marks.says_lost(unit, content));
        Some(lost.then_some("a part of it was lost and is marked so"))
    }

    /// Drops those `suspects` that open after all: a checkpoint may have been writing them. The pauses are for all
    /// of a piece together, since a file may hold nothing but damaged blocks.
    fn look_again(
        &self,
        piece: &Piece,
        suspects: &mut Vec<Suspect>,
        desk: &mut Desk<'_>,
        found: &mut Vec<Found>,
    ) -> Result<()> {
        let geometry = &self.file.geometry;
        for _ in 0..TRIES {
            thread::sleep(PAUSE);
            let size = desk.input.size()?;
            // A writer may have made the file shorter.
            let slots = geometry.block_count(geometry.logical_size(size));
            let mut left = Vec::new();
            for suspect in suspects.drain(..) {
                let offset = geometry.slot_offset(suspect.index);
                let within = (offset - piece.offset) as usize;
                let end = piece.sealed_len.min(within + geometry.slot_len());
                let slot = &mut desk.sealed[within..end];
                desk.input.read(slot, offset)?;
                match self.open(suspect.index, slot, desk.plain) {
                    Some(lost) => found.extend(lost.map(|lost| (suspect.index, lost))),
                    None if size < self.file.physical && suspect.index >= slots => {}
                    None => left.push(suspect),
                }
            }
            *suspects = left;
            if suspects.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
