//! Threads that work through the pieces of a database, for a moment at a time.
//!
//! They live for one round of a tenth of a second. Between rounds the caller is alone, where no other thread uses the
//! files: it may take long, stop the work or `fork`. Threads
//! that lived on would be missing in a forked child, which would wait for them for ever. Starting them anew costs less
//! than a thousandth of a round.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::pieces::{Piece, Pieces};
use ground::error::{Fault, Result};
use ground::locks::{Lock, Rank};
use ground::memory;
use ground::threads::{MOST_THREADS, start};
use storage::Storage;
use storage::disk::DiskFile;

/// How long a round takes, and so how often a progress function is called: more often nobody can see.
const ROUND: Duration = Duration::from_millis(100);
/// A thread is worth its start if it gets about as many pieces.
const PIECES_EACH: u64 = 8;

/// A file to read from.
pub trait Input: Storage + Send {
    /// The same file, for another thread. `None`: it can be read by one thread only.
    ///
    /// One file that all threads take turns with is no faster than one thread: reading is half of the work, and a
    /// thread that has to wait its turn takes longer to wake up than to read.
    fn another(&mut self) -> Option<Box<dyn Input>> {
        None
    }
}

/// A new file that is read back.
impl Input for DiskFile {}

/// One thread's memory.
struct Buffers {
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

/// What one thread works with.
pub struct Desk<'a> {
    /// The file that it reads.
    pub input: &'a mut dyn Input,
    /// Room for blocks in clear.
    pub plain: &'a mut [u8],
    /// Room for a piece's slots.
    pub sealed: &'a mut [u8],
}

/// What is done with a piece.
pub type Work<'a> = dyn Fn(&Piece, &mut Desk<'_>) -> Result<()> + Sync + 'a;

/// The pieces that are left, and what each thread needs.
pub struct Workers<'a> {
    pieces: Lock<Pieces>,
    input: &'a mut dyn Input,
    buffers: Buffers,
    others: Vec<(Box<dyn Input>, Buffers)>,
}

impl<'a> Workers<'a> {
    /// For `threads` threads, or one per core; fewer where there is little to do, and where memory or files for more
    /// cannot be had. Each has room for the slots of a piece, and for `plain_blocks` of its blocks in clear.
    pub fn new(
        pieces: Pieces,
        input: &'a mut dyn Input,
        threads: Option<usize>,
        plain_blocks: usize,
    ) -> Result<Self> {
        let asked = threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, |cores| cores.get()));
        let useful = pieces.left().div_ceil(PIECES_EACH).min(MOST_THREADS as u64) as usize;
        let geometry = *pieces.geometry();
        let sealed_len = pieces.most_blocks() * geometry.slot_len();
        let buffers = || -> Result<Buffers> {
            Ok(Buffers {
                plain: memory::zeroed(plain_blocks * geometry.block_size as usize)?,
                sealed: memory::zeroed(sealed_len)?,
            })
        };
        let own = buffers()?;
        let others =
            (1..asked.min(useful)).map_while(|_| Some((input.another()?, buffers().ok()?))).collect();
        Ok(Workers { pieces: Lock::new(Rank::Work, pieces), input, buffers: own, others })
    }

    /// Has all threads do `work` for a moment, and returns how many logical bytes were done; `None` if nothing was
    /// left.
    ///
    /// Errors: that of the first piece, in order, that has one. All pieces before it were worked on.
    pub fn round(&mut self, work: &Work<'_>) -> Result<Option<u64>> {
        if self.pieces.lock().left() == 0 {
            return Ok(None);
        }
        let round = Round {
            pieces: &self.pieces,
            work,
            end: Instant::now() + ROUND,
            done: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            fault: Lock::new(Rank::Work, None),
        };
        let (input, own, others) = (&mut *self.input, &mut self.buffers, &mut self.others);
        thread::scope(|scope| {
            for (input, buffers) in others {
                if !start(scope, || round.run(input.as_mut(), buffers)) {
                    break; // those that there are do the work
                }
            }
            round.run(input, own);
        });
        match round.fault.into_inner() {
            Some((_, fault)) => Err(fault),
            None => Ok(Some(round.done.into_inner())),
        }
    }
}

/// What the threads of one round share.
struct Round<'a> {
    pieces: &'a Lock<Pieces>,
    work: &'a Work<'a>,
    end: Instant,
    done: AtomicU64,
    failed: AtomicBool,
    /// That of the first piece that has one.
    fault: Lock<Option<(u64, Fault)>>,
}

impl Round<'_> {
    /// Takes pieces until the round ends. Pieces are taken in order and finished, so that everything in front of one
    /// that fails has been worked on when all threads are back.
    fn run(&self, input: &mut dyn Input, buffers: &mut Buffers) {
        let mut desk = Desk { input, plain: &mut buffers.plain, sealed: &mut buffers.sealed };
        while !self.failed.load(Ordering::Relaxed) {
            let Some(piece) = self.pieces.lock().next() else { return };
            match (self.work)(&piece, &mut desk) {
                Ok(()) => self.done.fetch_add(piece.plain_len as u64, Ordering::Relaxed),
                Err(fault) => return self.fail(piece.first, fault),
            };
            if Instant::now() >= self.end {
                return;
            }
        }
    }

    fn fail(&self, place: u64, fault: Fault) {
        let mut first = self.fault.lock();
        if first.as_ref().is_none_or(|(other, _)| place < *other) {
            *first = Some((place, fault));
        }
        self.failed.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
