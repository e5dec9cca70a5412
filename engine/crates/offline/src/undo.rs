//! What the rollback of a hot journal makes of the blocks of the main file, for `verify`.

use std::path::Path;

use super::Unlocked;
use super::replay::{Notes, Rollback};
use ground::error::Result;
use sqlite::files::main_db::FreePages;
use storage::Storage;

/// A rollback that the next opener does.
pub struct Undo {
    rollback: Rollback,
    /// Free pages of the database that it restores: none is journalled, and it makes zeros of those that are torn.
    free: Option<FreePages>,
}

impl Undo {
    /// The rollback by this journal, if it is hot. `exists` answers for super-journals.
    ///
    /// Errors: those of the storage, and no memory.
    pub fn find(
        journal: &mut dyn Storage,
        main: &mut dyn Storage,
        file: &Unlocked,
        exists: &dyn Fn(&Path) -> bool,
    ) -> Result<Option<Undo>> {
        let Some(mut rollback) = Rollback::find(journal, &file.keys, exists, &mut Notes::default())? else {
            return Ok(None);
        };
        // A list is no longer than the file, whatever a journal says.
        let free = FreePages::read(file.size, |buf, offset| {
            restored(&mut rollback, journal, main, file, buf, offset).map(|there| there.is_some())
        })?;
        Ok(Some(Undo { rollback, free }))
    }

    /// Bytes of the database that it restores.
    pub fn size(&self) -> u64 {
        u64::from(self.rollback.page_count) * u64::from(self.rollback.page_size)
    }

    /// Did its database have pages of which a file of `size` bytes holds nothing? A page of which the file holds a part was
    /// one page to SQLite when it wrote the journal: a rollback may leave the last block longer than its pages.
    pub fn needs_more_than(&self, size: u64) -> bool {
        self.size() > size.next_multiple_of(u64::from(self.rollback.page_size))
    }

    /// Does all that a torn block of the main file may have held come back, mean nothing, or go? If only a part of it
    /// does, the rest is lost.
    pub fn mends(&self, block: u64, block_size: u64) -> bool {
        let page_size = u64::from(self.rollback.page_size);
        let (from, to) = (block * block_size, ((block + 1) * block_size).min(self.size()));
        (from / page_size..to.div_ceil(page_size)).all(|page| {
            let number = u32::try_from(page + 1).unwrap_or(u32::MAX);
            let is_free = |free: &FreePages| free.cover(page * page_size, (page + 1) * page_size);
            self.rollback.pages.contains_key(&number) || self.free.as_ref().is_some_and(is_free)
        })
    }
}

/// Fills `buf`, which lies within a page, as the rollback leaves it. `None`: it cannot be read.
fn restored(
    rollback: &mut Rollback,
    journal: &mut dyn Storage,
    main: &mut dyn Storage,
    file: &Unlocked,
    buf: &mut [u8],
    offset: u64,
) -> Result<Option<()>> {
    let page_size = u64::from(rollback.page_size);
    let (page, within) = (offset / page_size, (offset % page_size) as usize);
    if within + buf.len() > rollback.page_size as usize {
        // Pages of another size than the journal's: nothing of the list is believed.
        return Ok(None);
    }
    let number = u32::try_from(page + 1).unwrap_or(u32::MAX);
    if rollback.pages.contains_key(&number) {
        let mut whole = vec![0; rollback.page_size as usize];
        let there = rollback.page(journal, number, &mut whole)?;
        buf.copy_from_slice(&whole[within..within + buf.len()]);
        return Ok(there.then_some(()));
    }
    let block_size = u64::from(file.geometry.block_size);
    let mut done = 0;
    while done < buf.len() {
        let at = offset + done as u64;
        let (block, within) = (at / block_size, (at % block_size) as usize);
        let len = file.size.saturating_sub(block * block_size).min(block_size) as usize;
        let (mut sealed, mut plain) = (vec![0; len + file.sealer.overhead()], vec![0; len]);
        if within >= len
            || !main.read(&mut sealed, file.geometry.slot_offset(block))?
            || !file.open_slot(block, &sealed, &mut plain)
        {
            return Ok(None);
        }
        let take = (len - within).min(buf.len() - done);
        buf[done..done + take].copy_from_slice(&plain[within..within + take]);
        done += take;
    }
    Ok(Some(()))
}
