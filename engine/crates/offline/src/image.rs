//! The pages of a database as the next opener would see them, one at a time and in spite of damage.
//!
//! For `verify`, which says what damaged blocks held, and for `salvage`. Nothing is written, no lock is taken,
//! and no page is released that did not authenticate in every byte.

use std::path::Path;

use serde_json::{Value, json};

use super::Unlocked;
use super::replay::{Notes, Replay, Rollback};
use ground::error::Result;
use sqlite::facts::{self, MAGIC};
use sqlite::files::main_db::{COVER, LostMarks};
use storage::{Storage, is_zero};
use vault::create;
use vault::format::cell;
use vault::registry::OpenOptions;

/// How many times as many pages as there are a database is believed to have.
const MOST_MISSING: u32 = 8;

/// How many pages there may be because the log holds the last of them.
const MOST_UNSEEN: u32 = 1 << 18;

/// The files of one database.
pub struct ImageFiles {
    /// The database.
    pub main: Box<dyn Storage>,
    /// Its WAL, if there is one with content.
    pub wal: Option<Box<dyn Storage>>,
    /// Its rollback journal, likewise.
    pub journal: Option<Box<dyn Storage>>,
}

/// Where a page was found. The numbers are part of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Source {
    /// Nowhere: what there is does not authenticate.
    Unreadable = 0,
    /// In the main file.
    Main = 1,
    /// In the write-ahead log.
    Wal = 2,
    /// In the rollback journal.
    Journal = 3,
}

/// The main file, block by block.
struct Blocks {
    storage: Box<dyn Storage>,
    file: Unlocked,
    holes_from: Option<u64>,
    /// What stands for the units of a block that a recovery could not restore.
    lost_marks: LostMarks,
    sealed: Vec<u8>,
    plain: Vec<u8>,
    /// The block in `plain`.
    at: Option<u64>,
}

impl Blocks {
    /// Makes `plain` the content of a block. `false`: it does not authenticate.
    fn load(&mut self, index: u64) -> Result<bool> {
        if self.at == Some(index) {
            return Ok(true);
        }
        self.at = None;
        let geometry = self.file.geometry;
        let block_size = u64::from(geometry.block_size);
        let start = index * block_size;
        if start >= self.file.size {
            return Ok(false);
        }
        let len = (self.file.size - start).min(block_size) as usize;
        self.plain.resize(len, 0);
        self.sealed.resize(len + self.file.sealer.overhead(), 0);
        let whole = self.storage.read(&mut self.sealed, geometry.slot_offset(index))?;
        let opened = whole && self.file.open_slot(index, &self.sealed, &mut self.plain);
        if !opened {
            let hole = self.holes_from.is_some_and(|from| index >= from) && is_zero(&self.sealed);
            if !hole {
                return Ok(false);
            }
            self.plain.fill(0);
        }
        self.at = Some(index);
        Ok(true)
    }

    /// Does any unit of the loaded block between `within` and `len` bytes on hold nothing but the mark?
    fn is_lost(&self, within: usize, len: usize) -> bool {
        let units = self.plain.chunks_exact(COVER).enumerate();
        units
            .skip(within / COVER)
            .take_while(|(unit, _)| unit * COVER < within + len)
            .any(|(unit, content)| self.lost_marks.says_lost(unit, content))
    }

    /// Fills `buf` from logical `offset`. `false`: not all of it authenticates.
    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        let block_size = u64::from(self.file.geometry.block_size);
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            if !self.load(at / block_size)? {
                return Ok(false);
            }
            let within = (at % block_size) as usize;
            if within >= self.plain.len() {
                return Ok(false);
            }
            let take = (self.plain.len() - within).min(buf.len() - done);
            if self.is_lost(within, take) {
                return Ok(false);
            }
            buf[done..done + take].copy_from_slice(&self.plain[within..within + take]);
            done += take;
        }
        Ok(true)
    }
}

/// A database to read pages from.
pub struct Image {
    blocks: Blocks,
    wal: Option<(Box<dyn Storage>, Replay)>,
    journal: Option<(Box<dyn Storage>, Rollback)>,
    page_size: u32,
    page_count: u32,
    notes: Notes,
}

impl Image {
    /// Unlocks the database and reads its logs. `exists` answers for super-journals.
    pub fn open(
        mut files: ImageFiles,
        options: &OpenOptions,
        path: impl AsRef<Path>,
        exists: &dyn Fn(&Path) -> bool,
    ) -> Result<Image> {
        let file = Unlocked::open(files.main.as_mut(), options, path)?;
        let (keys, block_size) = (file.keys.clone(), file.geometry.block_size);
        let cells = file.header.cells(&keys);
        // An older cell alone may be out of date, and is more than nothing.
        let (cell, length) = (cell::choose(cells.wal[0], cells.wal[1]), cells.length());
        let mut notes = Notes::default();
        notes.done.extend(file.unauthenticated());
        let mut blocks = Blocks {
            storage: files.main,
            file,
            holes_from: None,
            lost_marks: LostMarks::new(&keys, block_size as usize)?,
            sealed: Vec::new(),
            plain: Vec::new(),
            at: None,
        };
        let mut journal = None;
        if let Some(mut storage) = files.journal {
            let found = Rollback::find(storage.as_mut(), &keys, exists, &mut notes)?;
            journal = found.map(|rollback| (storage, rollback));
        }
        let mut head = [0; facts::HEADER_LEN];
        let known = blocks.read(&mut head, 0)? && head.starts_with(MAGIC);
        let main_page_size = if known { facts::page_size_in(&head) } else { None };
        let likely = journal.as_ref().map(|(_, rollback)| rollback.page_size).or(main_page_size);
        let likely = likely.unwrap_or(block_size);
        let mut main_page = |number: u32, buf: &mut [u8]| {
            let offset = u64::from(number).saturating_sub(1) * buf.len() as u64;
            blocks.read(buf, offset)
        };
        let replay = match files.wal {
            Some(mut storage) => Replay::find(
                Some(storage.as_mut()),
                &keys,
                (cell, length),
                likely,
                &mut main_page,
                &mut notes,
            )?
            .map(|replay| (storage, replay)),
            None => {
                Replay::find(None, &keys, (cell, length), likely, &mut main_page, &mut notes)?;
                None
            }
        };
        let keeps_length = blocks.file.superblock.keeps_length;
        let there = blocks.file.geometry.counted_blocks(blocks.file.size, keeps_length);
        if let Some(length) = length.filter(|length| length.slots > there) {
            notes.lost.push(format!(
                "the end of the database was cut off: {there} of {} blocks are there",
                length.slots
            ));
        }
        let mut image = Image { blocks, wal: replay, journal, page_size: likely, page_count: 0, notes };
        image.measure(likely)?;
        Ok(image)
    }

    /// Page size and number of pages, as the newest authentic source has them.
    fn measure(&mut self, likely: u32) -> Result<()> {
        self.page_size = likely;
        if let Some((_, replay)) = &self.wal {
            self.blocks.holes_from = replay.holes_from;
            self.blocks.at = None;
            if replay.page_count.is_some() {
                self.page_size = replay.page_size;
            }
        }
        let mut first = vec![0; self.page_size as usize];
        let readable = self.page(1, &mut first)? != Source::Unreadable && first.starts_with(MAGIC);
        let there = self.blocks.file.size.div_ceil(u64::from(self.page_size)) as u32;
        let logged = self.wal.as_ref().and_then(|(_, replay)| replay.page_count);
        let rolled_back = self.journal.as_ref().map(|(_, rollback)| rollback.page_count);
        let in_header = if readable { facts::page_count(&first).filter(|count| *count > 0) } else { None };
        let count = logged.or(rolled_back).or(in_header).unwrap_or(there);
        let frames = self.wal.as_ref().map_or(0, |(_, replay)| replay.pages.len());
        let highest = self.wal.as_ref().and_then(|(_, replay)| replay.pages.keys().max().copied());
        self.page_count = believed(count, there, frames, highest.unwrap_or(0));
        Ok(())
    }

    /// Fills `buf`, of the page size, with a page; they count from 1. It is zero where nothing authenticates.
    pub fn page(&mut self, number: u32, buf: &mut [u8]) -> Result<Source> {
        buf.fill(0);
        let Some(index) = number.checked_sub(1) else { return Ok(Source::Unreadable) };
        if let Some((storage, replay)) = &mut self.wal
            && replay.page_size as usize == buf.len()
            && replay.pages.contains_key(&number)
        {
            let found = replay.page(storage.as_mut(), number, buf)?;
            return Ok(if found { Source::Wal } else { Source::Unreadable });
        }
        if let Some((storage, rollback)) = &mut self.journal
            && rollback.page_size as usize == buf.len()
            && rollback.pages.contains_key(&number)
        {
            let found = rollback.page(storage.as_mut(), number, buf)?;
            return Ok(if found { Source::Journal } else { Source::Unreadable });
        }
        if self.blocks.read(buf, u64::from(index) * buf.len() as u64)? {
            return Ok(Source::Main);
        }
        buf.fill(0);
        Ok(Source::Unreadable)
    }

    /// Bytes in a page.
    pub fn page_size(&self) -> u32 {
        self.page_size
    }

    /// The description of docs/reference/c-abi.md.
    pub fn describe(&self) -> Value {
        json!({
            "page_size": self.page_size,
            "page_count": self.page_count,
            "block_size": self.blocks.file.geometry.block_size,
            "cipher": self.blocks.file.superblock.suite.name(),
            "notes": self.notes.done,
            "lost": self.notes.lost,
        })
    }

    /// Makes the empty `destination` a database without content that the same keys open.
    pub fn relative(&self, destination: &mut dyn Storage) -> Result<()> {
        let file = &self.blocks.file;
        let (region, _, _) = create::copy_of(&file.superblock, &file.keys)?;
        destination.write(&region, 0)?;
        destination.sync(0)
    }
}

/// How many of the `count` pages that a database is said to have are looked for, where `there` are pages in the main file
/// and `frames` in the log, `highest` among them. A file that was cut has fewer than it says, and pages that went to the
/// free list in the transaction that made them are nowhere; but nobody should have to count to 2^32 because somebody
/// wrote that into a database without a key.
fn believed(count: u32, there: u32, frames: usize, highest: u32) -> u32 {
    let known = there.saturating_add(u32::try_from(frames).unwrap_or(u32::MAX));
    let most = known.saturating_mul(MOST_MISSING).saturating_add(1024);
    count.min(most.max(highest.min(MOST_UNSEEN)))
}

#[cfg(test)]
mod tests;
