//! Writing to the header region of a database, in the order that a crash survives (`docs/reference/format.md`, 2.1).

use crate::format::header::COPY_B_OFFSET;
use crate::format::header::HEADER_LEN;
use ground::bytes::put;
use ground::error::Result;
use ground::sabotage::{self, Sabotage};
use storage::{SYNC_NORMAL, Storage};
use vault::file_keys::FileKeys;
use vault::format::cell::{CELL_A_OFFSET, CELL_LEN, COPY_B_BEHIND, Cell};
use vault::format::cells;
use vault::format::length::{LENGTH_A_OFFSET, Length};

/// Makes `next` the superblock of a file whose copies say `current`.
///
/// Copy B is made durable first, even where it can be read as it should be: an earlier change may have ended in a sync
/// that failed, and then the copy that is to stand in for A while A is written need not be on the disk.
pub fn replace_copies(file: &mut dyn Storage, current: &[u8], next: &[u8]) -> Result<()> {
    file.write(current, COPY_B_OFFSET)?;
    if !sabotage::is(Sabotage::CopySync) {
        file.sync(SYNC_NORMAL)?;
    }
    write_copies(file, next)
}

/// Writes both superblock copies, A first; a crash never finds both half written.
pub fn write_copies(file: &mut dyn Storage, copy: &[u8]) -> Result<()> {
    for offset in [0, COPY_B_OFFSET] {
        file.write(copy, offset)?;
        if !sabotage::is(Sabotage::CopySync) {
            file.sync(SYNC_NORMAL)?;
        }
    }
    Ok(())
}

/// Writes everything behind the superblock anew, for a database without a WAL of which `slots` slots are sealed and synced.
pub fn write_new_cells(file: &mut dyn Storage, keys: &FileKeys, slots: u64) -> Result<()> {
    let mut rest = vec![0; (HEADER_LEN - CELL_A_OFFSET) as usize];
    for (offset, bytes) in cells::new_cells(keys, slots) {
        put(&mut rest, (offset - CELL_A_OFFSET) as usize, &bytes);
    }
    file.write(&rest, CELL_A_OFFSET)?;
    file.sync(SYNC_NORMAL)
}

/// Writes both copies of both cells, and makes them durable.
pub fn write_cells(file: &mut dyn Storage, keys: &FileKeys, cell: Cell, length: Length) -> Result<()> {
    write_cell(file, CELL_A_OFFSET, &cell.encode(keys), true)?;
    write_cell(file, LENGTH_A_OFFSET, &length.encode(keys), true)?;
    file.sync(SYNC_NORMAL)
}

/// Writes both copies of a cell, of which copy A is at `offset`. Each is within a sector, and alone in what is written
/// to it: a power cut leaves a copy as it was or as it is now. At rest both say the same, so one that is damaged is made
/// up for by the other, and never by something older. `a_counts`: copy A is the one that counts now, and goes last: a
/// write that fails halfway leaves the other.
pub fn write_cell(file: &mut dyn Storage, offset: u64, cell: &[u8; CELL_LEN], a_counts: bool) -> Result<()> {
    let (a, b) = (offset, offset + COPY_B_BEHIND);
    for copy in if a_counts { [b, a] } else { [a, b] } {
        file.write(cell, copy)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::header;
    use storage::MemoryFile;
    use vault::create::{self, CreateOptions};
    use vault::format::superblock::SUPERBLOCK_LEN;
    use vault::limits::KdfLimits;
    use vault::material::Key;
    use vault::unlock::unlock;

    /// A file whose calls are written down.
    #[derive(Default)]
    struct Recorder {
        calls: Vec<Call>,
    }

    enum Call {
        Write(u64, Vec<u8>),
        Sync,
    }

    impl Storage for Recorder {
        fn read(&mut self, _: &mut [u8], _: u64) -> Result<bool> {
            unreachable!("what is to be written is known")
        }
        fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
            self.calls.push(Call::Write(offset, data.to_vec()));
            Ok(())
        }
        fn truncate(&mut self, _: u64) -> Result<()> {
            unreachable!("a header keeps its length")
        }
        fn sync(&mut self, _: i32) -> Result<()> {
            self.calls.push(Call::Sync);
            Ok(())
        }
        fn size(&mut self) -> Result<u64> {
            unreachable!("what is to be written is known")
        }
    }

    /// Every file that a crash during `calls` may leave of `before`: what was synced is there, and of the write that was
    /// not, the sectors that `keep` says.
    fn crashes(before: &[u8], calls: &[Call]) -> Vec<(usize, Vec<u8>)> {
        let keeps: [fn(usize) -> bool; 5] =
            [|_| false, |_| true, |sector| sector < 9, |sector| sector >= 9, |sector| sector % 2 == 0];
        let mut durable = MemoryFile { bytes: before.to_vec(), ..MemoryFile::default() };
        let mut found = vec![(0, before.to_vec())];
        let mut waiting: Vec<(u64, &[u8])> = Vec::new();
        for (done, call) in calls.iter().enumerate() {
            match call {
                Call::Write(offset, data) => waiting.push((*offset, data)),
                Call::Sync => {
                    for (offset, data) in waiting.drain(..) {
                        durable.write(data, offset).unwrap();
                    }
                }
            }
            for keep in keeps {
                let mut after = durable.clone();
                for (offset, data) in &waiting {
                    for (sector, piece) in data.chunks(512).enumerate().filter(|(sector, _)| keep(*sector)) {
                        after.write(piece, offset + 512 * sector as u64).unwrap();
                    }
                }
                found.push((done + 1, after.bytes));
            }
        }
        found
    }

    #[test]
    fn a_crash_leaves_the_old_or_the_new_header_and_a_return_the_new_one_hazard_1() {
        let key = Key::raw(&[1; 32]).unwrap();
        let (region, keys, old) = create::database(Some(&key), &CreateOptions::default()).unwrap();
        let mut new = old.clone();
        new.generation += 1;
        new.slots[0].label = "new".to_owned();
        let mut recorder = Recorder::default();
        write_copies(&mut recorder, &new.encode(&keys)).unwrap();
        for (done, image) in crashes(&region, &recorder.calls) {
            let (_, found) =
                unlock(&header::parse(&image).unwrap(), Some(&key), &KdfLimits::default(), "").unwrap();
            assert!(found == old || found == new);
            if done == recorder.calls.len() {
                assert_eq!(found, new);
                assert_eq!(image[..SUPERBLOCK_LEN], image[SUPERBLOCK_LEN..2 * SUPERBLOCK_LEN]);
            }
        }
    }
}

#[cfg(test)]
mod failing_medium;
