//! In which blocks a log is read and written while it is open.
//!
//! New logs are in small blocks. One that somebody has written in blocks of the main file's size is continued in those,
//! because others may have it open. A log changes its kind only where nothing of it is left: a WAL that is empty, a
//! journal of which no transaction depends any more.

use super::log::{Beginning, Found, recognise};
use super::marks::settled;
use super::{GosqliteFile, SMALL_BLOCK};
use ground::error::{Fault, FaultClass, FileKind, Result};
use storage::Storage;

/// What tells one WAL from the next in the same file: SQLite's salts, as the wal-index has them.
pub type Generation = [u8; 8];

/// What the wal-index says of a WAL.
#[derive(Clone, Copy)]
pub struct Index {
    /// Which WAL it is about.
    pub generation: Generation,
    /// It has committed frames.
    pub has_frames: bool,
}

/// The blocks of one journal or WAL.
pub struct Units {
    /// The main file's, in bytes.
    main: usize,
    /// The blocks are known, for the WAL that the wal-index named then. There is no wal-index in exclusive locking mode,
    /// nor for journals: those are opened anew for each transaction.
    known_for: Option<Option<Generation>>,
}

impl Units {
    /// Nothing is known yet; the main file's blocks have `main` bytes.
    pub fn new(main: usize) -> Self {
        Units { main, known_for: None }
    }

    /// Looks at what is in the file.
    pub fn look(
        &mut self,
        file: &mut GosqliteFile,
        storage: &mut dyn Storage,
        index: Option<Index>,
    ) -> Result<Beginning> {
        let Found { beginning, certain } = recognise(file, storage, self.main)?;
        // A journal that somebody is writing is read by nobody else.
        let is_known = certain || file.kind() == FileKind::MainJournal;
        self.known_for = is_known.then_some(generation_of(index));
        Ok(beginning)
    }

    /// Something is about to be read, or the file's length.
    pub fn before_read(
        &mut self,
        file: &mut GosqliteFile,
        storage: &mut dyn Storage,
        index: Option<Index>,
    ) -> Result<()> {
        if self.known_for == Some(generation_of(index)) {
            return Ok(());
        }
        self.find_out(file, storage, index).map(drop)
    }

    /// `data` is about to be written at `offset`.
    pub fn before_write(
        &mut self,
        file: &mut GosqliteFile,
        storage: &mut dyn Storage,
        index: Option<Index>,
        data: &[u8],
        offset: u64,
    ) -> Result<()> {
        let is_journal = file.kind() == FileKind::MainJournal;
        // What is shorter ends a journal, or says how many records it has.
        let is_header = offset == 0 && (!is_journal || data.len() >= SMALL_BLOCK);
        if is_journal && is_header {
            file.set_block_size(SMALL_BLOCK)?;
        } else if self.known_for != Some(generation_of(index)) {
            let beginning = self.find_out(file, storage, index)?;
            if is_header && beginning != Beginning::Log {
                file.set_block_size(SMALL_BLOCK)?;
            }
        }
        // Nobody else writes meanwhile, and the wal-index names another WAL once this one has a commit.
        self.known_for = Some(generation_of(index));
        Ok(())
    }

    /// Looks until the blocks are known, if the file can tell.
    fn find_out(
        &mut self,
        file: &mut GosqliteFile,
        storage: &mut dyn Storage,
        index: Option<Index>,
    ) -> Result<Beginning> {
        // With frames in it only a block that somebody is adding to just now can keep it from telling.
        let tells = index.is_some_and(|index| index.has_frames);
        let unclear = Fault::new(FaultClass::Tampered, "");
        let mut beginning = Beginning::Unknown;
        let looked = settled(|| {
            beginning = self.look(file, storage, index)?;
            if tells && self.known_for.is_none() { Err(unclear.clone()) } else { Ok(()) }
        });
        match looked {
            // It is damaged, or SQLite's wal-index is about to be found wrong. Its checksums will tell.
            Err(fault) if fault != unclear => Err(fault),
            _ => Ok(beginning),
        }
    }

    /// The file was cut to `size` bytes.
    pub fn cut(&mut self, size: u64) {
        if size == 0 {
            self.known_for = None;
        }
    }
}

fn generation_of(index: Option<Index>) -> Option<Generation> {
    index.map(|index| index.generation)
}

#[cfg(test)]
mod tests;
