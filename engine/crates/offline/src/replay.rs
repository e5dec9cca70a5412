//! What the logs beside a database say about its pages, by SQLite's own rules but without giving up at damage.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ground::error::{FileKind, Result};
use ground::paths;
use sqlite::facts::JOURNAL_MAGIC;
use sqlite::files::journal::JournalFile;
use sqlite::files::wal::FRAME_HEADER;
use sqlite::files::wal::chain::Chain;
use sqlite::format::geometry::LOCK_PAGE_OFFSET;
use sqlite::format::wal_header::{
    LogPreamble, WAL_FRAMES_OFFSET, WAL_HEADER_A_OFFSET, WAL_HEADER_B_OFFSET, WalHeader,
};
use storage::Storage;
use vault::file_keys::{FileKeys, Sealer};
use vault::format::cell::Cell;
use vault::format::length::Length;
use vault::format::superblock::is_block_size;

/// SQLite's journal header (fileformat2, section 3): magic, records, nonce, pages, sector, page size.
const JOURNAL_HEADER: usize = 28;
/// Every this many bytes of a page, counted from its end, one is in a journal record's checksum (pager.c).
const CHECKSUM_STRIDE: usize = 200;
/// What ends a journal that names a super-journal, behind the name: length, checksum, magic.
const SUPER_TAIL: u64 = 16;
/// The longest super-journal name that is believed.
const NAME_MAX: u64 = 64 * 1024;

/// What a reader of the logs should know.
#[derive(Default)]
pub struct Notes {
    /// What was done.
    pub done: Vec<String>,
    /// What was lost, or may have been.
    pub lost: Vec<String>,
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |word| u32::from_be_bytes(word.try_into().unwrap_or_default()))
}

/// What a rollback would restore.
pub struct Rollback {
    /// Where each page's content is in the logical journal.
    pub pages: HashMap<u32, u64>,
    /// The size of those pages.
    pub page_size: u32,
    /// How many pages the database has after it.
    pub page_count: u32,
    journal: JournalFile,
}

impl Rollback {
    /// The rollback that the next opener would do, if there is one. What goes wrong is noted, not raised.
    pub fn find(
        storage: &mut dyn Storage,
        keys: &Arc<FileKeys>,
        exists: &dyn Fn(&Path) -> bool,
        notes: &mut Notes,
    ) -> Result<Option<Rollback>> {
        let mut strict = JournalFile::new(keys.clone(), false)?;
        if let Err(fault) = strict.size(storage) {
            notes.lost.push(fault.message);
        }
        let mut journal = JournalFile::new(keys.clone(), true)?;
        let Ok(size) = journal.size(storage) else { return Ok(None) };
        let mut header = [0; JOURNAL_HEADER];
        journal.read(storage, &mut header, 0)?;
        if !header.starts_with(&JOURNAL_MAGIC) {
            return Ok(None);
        }
        if super_journal(&mut journal, storage, size)?.is_some_and(|name| !exists(&name)) {
            return Ok(None); // the transaction that it belongs to has committed
        }
        let (page_size, sector) = (be32(&header, 24), be32(&header, 20));
        if !is_block_size(page_size) || !(32..=65536).contains(&sector) {
            return Ok(None);
        }
        let mut found = Rollback { pages: HashMap::new(), page_size, page_count: be32(&header, 16), journal };
        found.play(storage, size, u64::from(sector))?;
        notes.done.push(
            "a rollback journal lies beside the database: its unfinished transaction was rolled back"
                .to_owned(),
        );
        Ok(Some(found))
    }

    /// As pager.c's pager_playback.
    fn play(&mut self, storage: &mut dyn Storage, size: u64, sector: u64) -> Result<()> {
        let mut header = [0; JOURNAL_HEADER];
        let mut record = vec![0; self.page_size as usize + 8];
        let mut at = 0;
        while at + JOURNAL_HEADER as u64 <= size {
            self.journal.read(storage, &mut header, at)?;
            if !header.starts_with(&JOURNAL_MAGIC) {
                return Ok(());
            }
            let (records, nonce) = (be32(&header, 8), be32(&header, 12));
            at += sector;
            // Without syncs the count is 2^32 - 1: as many as there are.
            for _ in 0..records {
                if at + record.len() as u64 > size {
                    return Ok(());
                }
                self.journal.read(storage, &mut record, at)?;
                if !self.take(&record, nonce, at + 4) {
                    return Ok(());
                }
                at += record.len() as u64;
            }
            at = at.div_ceil(sector) * sector;
        }
        Ok(())
    }

    /// `false`: the journal ends here.
    fn take(&mut self, record: &[u8], nonce: u32, content: u64) -> bool {
        let (number, page_size) = (be32(record, 0), self.page_size as usize);
        let lock_page = (LOCK_PAGE_OFFSET / u64::from(self.page_size) + 1) as u32;
        if number == 0 || number == lock_page {
            return false;
        }
        if number > self.page_count || self.pages.contains_key(&number) {
            return true;
        }
        let page = &record[4..4 + page_size];
        let mut sum = nonce;
        let mut at = page_size.saturating_sub(CHECKSUM_STRIDE);
        while at > 0 {
            sum = sum.wrapping_add(u32::from(page[at]));
            at = at.saturating_sub(CHECKSUM_STRIDE);
        }
        if sum != be32(record, 4 + page_size) {
            return false;
        }
        self.pages.insert(number, content);
        true
    }

    /// Reads a page that the rollback restores.
    pub fn page(&mut self, storage: &mut dyn Storage, number: u32, buf: &mut [u8]) -> Result<bool> {
        match self.pages.get(&number) {
            Some(at) => self.journal.read(storage, buf, *at),
            None => Ok(false),
        }
    }
}

/// The super-journal that a journal ends with (pager.c, readSuperJournal).
fn super_journal(journal: &mut JournalFile, storage: &mut dyn Storage, size: u64) -> Result<Option<PathBuf>> {
    let Some(tail_at) = size.checked_sub(SUPER_TAIL) else { return Ok(None) };
    let mut tail = [0; SUPER_TAIL as usize];
    journal.read(storage, &mut tail, tail_at)?;
    let len = u64::from(be32(&tail, 0));
    if tail[8..] != JOURNAL_MAGIC || len == 0 || len > NAME_MAX || len > tail_at {
        return Ok(None);
    }
    let mut name = vec![0; len as usize];
    journal.read(storage, &mut name, tail_at - len)?;
    // C's char is signed where it matters: the sum wraps the same way.
    let sum = name.iter().fold(0u32, |sum, byte| sum.wrapping_add((*byte as i8 as i32) as u32));
    Ok(if sum == be32(&tail, 4) { Some(paths::from_bytes(name)) } else { None })
}

/// A committed version of a page.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    page: u32,
    frame: u64,
}

/// The committed part of a WAL.
pub struct Replay {
    /// The frame that holds the newest version of each page.
    pub pages: HashMap<u32, u64>,
    /// The size of those pages.
    pub page_size: u32,
    /// How many pages the database has after the last commit; `None`: no commit in it.
    pub page_count: Option<u32>,
    /// Slots of the main file from here on may be honest holes.
    pub holes_from: Option<u64>,
    sealer: Sealer,
    generation: [u8; 16],
    sealed: Vec<u8>,
    plain: Vec<u8>,
}

/// Frames in commit order, in front of a damaged one and behind it.
#[derive(Default)]
struct Committed {
    before: Vec<Version>,
    before_count: Option<u32>,
    behind: Vec<Version>,
    behind_count: Option<u32>,
    gaps: Vec<u64>,
}

impl Replay {
    /// Finds the log that counts. `page_size` is for a log whose own header is lost. What goes wrong is noted.
    pub fn find(
        storage: Option<&mut dyn Storage>,
        keys: &FileKeys,
        (cell, length): (Option<Cell>, Option<Length>),
        page_size: u32,
        main_page: &mut dyn FnMut(u32, &mut [u8]) -> Result<bool>,
        notes: &mut Notes,
    ) -> Result<Option<Replay>> {
        let active = cell.is_some_and(|cell| cell.active);
        let Some(storage) = storage else {
            if active {
                notes
                    .lost
                    .push("the write-ahead log with the last commits is missing: they are lost".to_owned());
            }
            return Ok(None);
        };
        let (replay, chain) = match (newest_header(storage, keys)?, cell) {
            (Some((header, sealer)), cell) => {
                if !counts(&header, cell, notes) {
                    return Ok(None);
                }
                let generation = header.preamble.generation;
                let holes_from = length.unwrap_or_default().slots_under(&generation, header.main_slots);
                let replay = Replay::new(sealer, generation, header.page_size(), Some(holes_from));
                (replay, Chain::of(&header.sqlite))
            }
            (None, Some(cell)) if cell.active => {
                // The frames are sealed under the generation that the cell names.
                notes
                    .done
                    .push("the header of the write-ahead log is damaged; its frames were used".to_owned());
                (Replay::new(keys.sealer(FileKind::Wal)?, cell.current, page_size, None), Chain::unknown())
            }
            (None, Some(_)) => return Ok(None),
            (None, None) => {
                notes.lost.push(
                    "neither copy of the WAL cell nor the write-ahead log's header can be read: its commits are lost"
                        .to_owned(),
                );
                return Ok(None);
            }
        };
        let mut replay = replay;
        if !is_block_size(replay.page_size) {
            return Ok(None);
        }
        let committed = replay.scan(storage, chain)?;
        let copied = length.unwrap_or_default().frames_of(&replay.generation);
        let committed_to = committed.before.last().map_or(0, |version| version.frame + 1);
        if committed_to < copied && committed.behind.is_empty() {
            notes.lost.push(format!(
                "a checkpoint has begun to copy {copied} frames of the write-ahead log, and {committed_to} are left: some \
                 pages may be of a later time than others"
            ));
        }
        replay.choose(storage, committed, main_page, notes)?;
        Ok(Some(replay))
    }

    fn new(sealer: Sealer, generation: [u8; 16], page_size: u32, holes_from: Option<u64>) -> Replay {
        Replay {
            pages: HashMap::new(),
            page_size,
            page_count: None,
            holes_from,
            sealed: vec![0; FRAME_HEADER + page_size as usize + sealer.overhead()],
            plain: vec![0; FRAME_HEADER + page_size as usize],
            sealer,
            generation,
        }
    }

    fn open(&mut self, storage: &mut dyn Storage, frame: u64) -> Result<bool> {
        let at = WAL_FRAMES_OFFSET + frame * self.sealed.len() as u64;
        let whole = storage.read(&mut self.sealed, at)?;
        Ok(whole && self.sealer.open(frame, &self.generation, &self.sealed, &mut self.plain).is_ok())
    }

    /// Collects what was committed: salts, cumulative checksums and commit marks decide, as in wal.c. Behind a
    /// frame that does not open the chain of checksums begins anew with what the next frame says.
    fn scan(&mut self, storage: &mut dyn Storage, mut chain: Chain) -> Result<Committed> {
        let mut committed = Committed::default();
        let mut uncommitted = Vec::new();
        let mut gaps = Vec::new();
        let frames = storage.size()?.saturating_sub(WAL_FRAMES_OFFSET) / self.sealed.len() as u64;
        for frame in 0..frames {
            if !self.open(storage, frame)? {
                // Of a transaction with a part missing nothing is taken.
                uncommitted.clear();
                gaps.push(frame);
                chain.skip();
                continue;
            }
            if !chain.takes(&self.plain) {
                break; // left from a transaction that did not commit
            }
            uncommitted.push(Version { page: be32(&self.plain, 0), frame });
            let count = be32(&self.plain, 4);
            if count > 0 {
                if gaps.is_empty() {
                    committed.before.append(&mut uncommitted);
                    committed.before_count = Some(count);
                } else {
                    committed.gaps.clone_from(&gaps);
                    committed.behind.append(&mut uncommitted);
                    committed.behind_count = Some(count);
                }
            }
        }
        Ok(committed)
    }

    /// Which of the committed frames count.
    ///
    /// Which page a damaged frame held is not known. With everything behind it, some page would silently be of
    /// an older state than the others; without it the result is the state of one commit. Only if a
    /// checkpoint has copied frames from behind the gap into the main file are they all used: leaving them
    /// out would put older pages over newer ones.
    fn choose(
        &mut self,
        storage: &mut dyn Storage,
        committed: Committed,
        main_page: &mut dyn FnMut(u32, &mut [u8]) -> Result<bool>,
        notes: &mut Notes,
    ) -> Result<()> {
        self.page_count = committed.before_count;
        self.pages = committed.before.iter().map(|version| (version.page, version.frame)).collect();
        let (Some(behind_count), Some(gap)) = (committed.behind_count, committed.gaps.first()) else {
            return Ok(());
        };
        let behind = committed.behind.len();
        if self.checkpointed(storage, &committed.behind, main_page)? {
            self.pages.extend(committed.behind.iter().map(|version| (version.page, version.frame)));
            self.page_count = Some(behind_count);
            notes.lost.push(format!(
                "frame {gap} of the write-ahead log is damaged; the {behind} committed frames behind it were used, \
                 because the main file is of a later time. The page in a damaged frame may be an older one"
            ));
        } else {
            notes.lost.push(format!(
                "frame {gap} of the write-ahead log is damaged; the {behind} committed frames behind it were left \
                 out, because only the state in front of it is complete: the last commits are lost"
            ));
        }
        Ok(())
    }

    fn checkpointed(
        &mut self,
        storage: &mut dyn Storage,
        behind: &[Version],
        main_page: &mut dyn FnMut(u32, &mut [u8]) -> Result<bool>,
    ) -> Result<bool> {
        let mut content = vec![0; self.page_size as usize];
        let mut seen = HashSet::new();
        for version in behind.iter().rev() {
            if !seen.insert(version.page) || !main_page(version.page, &mut content)? {
                continue;
            }
            if !self.open(storage, version.frame)? || self.plain[FRAME_HEADER..] != content[..] {
                continue;
            }
            // The same content in front of the gap, or an unchanged page, proves nothing.
            let earlier = self.pages.get(&version.page).copied();
            match earlier {
                None => return Ok(true),
                Some(frame) if self.open(storage, frame)? && self.plain[FRAME_HEADER..] != content[..] => {
                    return Ok(true);
                }
                Some(_) => {}
            }
        }
        Ok(false)
    }

    /// Reads a page from the log.
    pub fn page(&mut self, storage: &mut dyn Storage, number: u32, buf: &mut [u8]) -> Result<bool> {
        let Some(frame) = self.pages.get(&number).copied() else { return Ok(false) };
        let opened = self.open(storage, frame)?;
        if opened {
            buf.copy_from_slice(&self.plain[FRAME_HEADER..]);
        }
        Ok(opened)
    }
}

fn newest_header(storage: &mut dyn Storage, keys: &FileKeys) -> Result<Option<(WalHeader, Sealer)>> {
    let mut newest: Option<(WalHeader, Sealer)> = None;
    let overhead = keys.sealer(FileKind::Wal)?.overhead();
    for offset in [WAL_HEADER_A_OFFSET, WAL_HEADER_B_OFFSET] {
        let mut bytes = vec![0; WalHeader::stored_len(overhead)];
        storage.read(&mut bytes, offset)?;
        let LogPreamble::Valid(preamble) = WalHeader::parse_preamble(&bytes) else { continue };
        let Some(sealer) = keys.log_sealer(FileKind::Wal, &preamble.uuid, &preamble.key_id)? else {
            continue;
        };
        let Ok(header) = WalHeader::open(preamble, &bytes, &sealer) else { continue };
        if newest.as_ref().is_none_or(|(other, _)| other.preamble.sequence < header.preamble.sequence) {
            newest = Some((header, sealer));
        }
    }
    Ok(newest)
}

/// docs/reference/format.md, section 4: which WAL belongs to the database.
fn counts(header: &WalHeader, cell: Option<Cell>, notes: &mut Notes) -> bool {
    let Some(cell) = cell else {
        notes.done.push(
            "both copies of the WAL cell are damaged; the log beside the database was taken for the current one"
                .to_owned(),
        );
        return true;
    };
    let generation = header.preamble.generation;
    let latest = cell.latest();
    if (cell.active && generation == cell.current) || header.previous == latest {
        return true;
    }
    let text = "the write-ahead log is not the one that the database names and was left out";
    if cell.active {
        notes.lost.push(format!("{text}: the last commits are lost"));
    } else if generation != cell.previous {
        notes.done.push(text.to_owned());
    }
    false
}

#[cfg(test)]
mod tests;
