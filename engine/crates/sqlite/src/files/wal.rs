//! The write-ahead log: sealed frames behind a header in two copies.
//!
//! A frame header and its page are one sealed slot, because either alone would leak or could be spliced.
//! SQLite writes them in two calls, and may later write either again, so a slot is assembled in memory and
//! written when it is whole; a part of a slot that this transaction wrote before is patched in place.

pub mod chain;
mod generation;
mod transaction;

use std::sync::Arc;

use super::main_db::CurrentLog;
pub use crate::facts::{FRAME_HEADER, WAL_HEADER as SQLITE_HEADER};
use crate::format::wal_header::WAL_FRAMES_OFFSET;
use chain::Chain;
use generation::salts_of;
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::memory;
use ground::sabotage::{self, Sabotage};
use storage::batch::{Slot, Unwritten};
use storage::outbox::Outbox;
use storage::readahead::Readahead;
use storage::{SYNC_NORMAL, Storage};
use transaction::Transaction;
use vault::file_keys::{FileKeys, Sealer};
use vault::format::cell::Cell;

/// Where a frame header has the database's size after a commit, zero in every other frame (wal.c).
const COMMIT_MARK: std::ops::Range<usize> = 4..8;
/// What the log needs of the main file that it belongs to.
pub trait MainLink {
    /// The current WAL cell.
    fn cell(&mut self) -> Result<Cell>;
    /// Writes the successor of the cell.
    fn set_cell(
        &mut self,
        active: bool,
        current: [u8; 16],
        previous: [u8; 16],
        sync: Option<i32>,
    ) -> Result<()>;
    /// Makes the main file, its cells included, durable.
    fn sync(&mut self) -> Result<()>;
    /// The number of slots of the main file.
    fn slots(&mut self) -> Result<u64>;
    /// This log counts, or none does.
    fn set_log(&mut self, log: Option<CurrentLog>) -> Result<()>;
    /// So many frames of a generation a checkpoint has begun to copy: they must be in the log.
    fn copied_frames(&mut self, generation: &[u8; 16]) -> Result<u64>;
}

/// The generation that is current on disk, as this connection last saw it.
struct Log {
    generation: [u8; 16],
    sequence: u64,
    sqlite: [u8; SQLITE_HEADER],
    page_size: usize,
    /// The cell does not name this generation yet; the first frame written sees to it.
    cell_lags: bool,
    /// So many frames were there, durably, when a checkpoint began to copy them.
    copied: u64,
    /// SQLite has read the pages of frames below this one, as it does of committed ones only, and of its own.
    read: u64,
    /// What lies behind the frame that ended recovery was looked at.
    searched: bool,
}

impl Log {
    fn plain_len(&self) -> usize {
        FRAME_HEADER + self.page_size
    }
}

/// A slot of which SQLite has written only the beginning.
struct Pending {
    index: u64,
    filled: usize,
}

/// The WAL of one connection.
pub struct WalFile {
    keys: Arc<FileKeys>,
    sealer: Sealer,
    log: Option<Log>,
    pending: Option<Pending>,
    /// The write transaction under way.
    transaction: Transaction,
    /// The frame of that transaction that is in `plain`.
    opened: Option<u64>,
    /// Frames of the transaction under way that wait to be written together.
    outbox: Outbox,
    discard_missing: bool,
    /// Why the log is about to be lost although it holds commits.
    loss: Option<String>,
    loss_told: bool,
    assembly: Vec<u8>,
    plain: Vec<u8>,
    slot: Vec<u8>,
    scratch: Vec<u8>,
    ahead: Readahead,
    /// A checkpoint is reading: every frame once, mostly in order.
    checkpoint: bool,
}

impl WalFile {
    /// A log under the main file's keys. `discard_missing`: the user accepts that the log is gone.
    pub fn new(keys: Arc<FileKeys>, discard_missing: bool) -> Result<Self> {
        let sealer = keys.sealer(FileKind::Wal)?;
        Ok(WalFile {
            keys,
            sealer,
            log: None,
            pending: None,
            transaction: Transaction::default(),
            opened: None,
            outbox: Outbox::default(),
            discard_missing,
            loss: None,
            loss_told: false,
            assembly: Vec::new(),
            plain: Vec::new(),
            slot: Vec::new(),
            scratch: Vec::new(),
            ahead: Readahead::default(),
            checkpoint: false,
        })
    }

    /// The salts of the generation last seen (wal.c, bytes 16 to 23 of the header), to compare with the
    /// wal-index: they differ exactly if another connection has begun a new generation.
    pub fn salts(&self) -> Option<[u8; 8]> {
        self.log.as_ref().map(|log| salts_of(&log.sqlite))
    }

    /// Another connection may have begun a new generation: look at the header before the next use.
    pub fn forget_log(&mut self) {
        if !sabotage::is(Sabotage::StaleLog) {
            self.log = None;
        }
    }

    /// A write transaction begins or ends. What was assembled but not completed belongs to a transaction
    /// that was rolled back: keeping it would let it overwrite frames that others commit meanwhile.
    pub fn transaction_boundary(&mut self, storage: &mut dyn Storage) {
        if sabotage::is(Sabotage::StaleFrame) {
            return;
        }
        self.pending = None;
        self.transaction.clear();
        self.opened = None;
        self.outbox.discard(storage);
        self.ahead.forget();
    }

    /// A checkpoint begins or ends. It reads every frame once, mostly in order: reading ahead is cheaper than a map
    /// whose pages are touched once.
    pub fn set_checkpoint(&mut self, running: bool) {
        self.checkpoint = running;
        self.ahead.forget();
    }

    /// Is a checkpoint reading?
    pub fn is_checkpointing(&self) -> bool {
        self.checkpoint
    }

    /// The logical size in bytes.
    pub fn size(&mut self, storage: &mut dyn Storage, main: &mut dyn MainLink) -> Result<u64> {
        self.outbox.flush(storage)?;
        let physical = storage.size()?;
        if physical == 0 {
            self.log = None;
            main.set_log(None)?;
            if main.cell()?.active && !self.discard_missing {
                return Err(self.fault(
                    "the write-ahead log that holds the database's last commits is missing or was emptied; put the \
                     -wal file back beside the database, or open with the URI parameter lumo_discard_wal=1 to go \
                     on without those commits",
                ));
            }
            return Ok(0);
        }
        self.load(storage, main)?;
        Ok(match &self.log {
            None => 0,
            Some(log) => {
                let slot_len = (log.plain_len() + self.sealer.overhead()) as u64;
                let frames = physical.saturating_sub(WAL_FRAMES_OFFSET) / slot_len;
                if frames < log.copied {
                    return Err(self.copied_frame_missing(frames, log.copied));
                }
                SQLITE_HEADER as u64 + frames * log.plain_len() as u64
            }
        })
    }

    /// Fills `buf` from logical `offset`; `false` if the log ended early, the rest being zero.
    pub fn read(
        &mut self,
        storage: &mut dyn Storage,
        main: &mut dyn MainLink,
        buf: &mut [u8],
        offset: u64,
    ) -> Result<bool> {
        let mut done = 0;
        let complete = self.read_slots(storage, main, buf, offset, &mut done);
        buf[done..].fill(0);
        complete
    }

    /// Fills `buf` up to `done`.
    fn read_slots(
        &mut self,
        storage: &mut dyn Storage,
        main: &mut dyn MainLink,
        buf: &mut [u8],
        offset: u64,
        done: &mut usize,
    ) -> Result<bool> {
        if offset == 0 && buf.len() == SQLITE_HEADER {
            // Recovery and every change of generation begin with this read.
            self.log = None;
            self.ahead.forget();
        }
        self.load(storage, main)?;
        if offset < SQLITE_HEADER as u64 {
            let Some(log) = &self.log else { return Ok(storage.size()? > 0) };
            let start = offset as usize;
            *done = (SQLITE_HEADER - start).min(buf.len());
            buf[..*done].copy_from_slice(&log.sqlite[start..start + *done]);
        }
        while *done < buf.len() {
            let Some(log) = &self.log else { return Ok(false) };
            let plain_len = log.plain_len() as u64;
            let at = offset + *done as u64 - SQLITE_HEADER as u64;
            let (index, within) = (at / plain_len, (at % plain_len) as usize);
            let want = (buf.len() - *done).min(plain_len as usize - within);
            let whole = within == 0 && want == plain_len as usize;
            let part = &mut buf[*done..*done + want];
            let is_page = within == FRAME_HEADER && within + want == plain_len as usize;
            if is_page
                && self.checkpoint
                && let Some(log) = &mut self.log
            {
                log.read = log.read.max(index + 1);
            }
            if !self.read_slot(storage, main, index, is_page.then_some(&mut *part))? {
                // Recovery reads whole frames and takes zeros for the end of the log; a page that the
                // wal-index names, or a frame of our own, has to be there.
                if !whole || self.transaction.contains(index) {
                    return self.missing_frame(storage, index);
                }
                if let Some(log) = self.log.as_ref().filter(|log| index < log.copied) {
                    return Err(self.copied_frame_missing(index, log.copied));
                }
                self.search_behind(storage, index);
                return Ok(true);
            }
            if !is_page {
                part.copy_from_slice(&self.plain[within..within + want]);
            }
            *done += want;
        }
        Ok(true)
    }

    /// Recovery ends at frame `index`, which does not open. A power cut may leave that, and so may damage. If frames of
    /// the same generation behind it open, go on from each other as SQLite wants it and end a transaction, there were
    /// commits, which are going to be written over. What a transaction left that never committed ends none: SQLite
    /// writes its commit frame with salts and checksum of zero as long as headers in front of it are still to be
    /// written again.
    fn search_behind(&mut self, storage: &mut dyn Storage, index: u64) {
        let Some(log) = &mut self.log else { return };
        if std::mem::replace(&mut log.searched, true) {
            return;
        }
        let mut chain = Chain::of(&log.sqlite);
        chain.skip();
        let slot_len = (log.plain_len() + self.sealer.overhead()) as u64;
        let frames = storage.size().unwrap_or(0).saturating_sub(WAL_FRAMES_OFFSET) / slot_len;
        for behind in index + 1..frames {
            // Recovery does not depend on what is found, nor on whether it can be read.
            if !self.open_slot(storage, behind, None).unwrap_or(false) {
                chain.skip();
            } else if !chain.takes(&self.plain) {
                return;
            } else if is_commit(&self.plain) {
                self.loss = Some(format!(
                    "frame {index} does not authenticate, and recovery ends there; frame {behind} behind it does, and \
                     ends a transaction"
                ));
                return;
            }
        }
    }

    /// Why the log is about to be lost although it holds commits; once per connection.
    pub fn take_loss(&mut self) -> Option<String> {
        let loss = self.loss.take()?;
        (!std::mem::replace(&mut self.loss_told, true)).then_some(loss)
    }

    /// So many frames at least are committed, as far as a checkpoint has read them.
    pub fn frames_read(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.read)
    }

    /// The generation that counts, as the files say now.
    pub fn look(&mut self, storage: &mut dyn Storage, main: &mut dyn MainLink) -> Result<()> {
        self.load(storage, main)
    }

    /// An error if the log ends, as SQLite reads it, in front of a frame that a checkpoint has begun to copy. `frames` is
    /// what the wal-index says of the generation that this connection knows.
    pub fn check_frames(&self, frames: u64) -> Result<()> {
        match &self.log {
            Some(log) if frames < log.copied => Err(self.copied_frame_missing(frames, log.copied)),
            _ => Ok(()),
        }
    }

    fn copied_frame_missing(&self, index: u64, copied: u64) -> Fault {
        self.fault(&format!(
            "frame {index} of the write-ahead log is missing or does not authenticate, and a checkpoint has begun to copy \
             {copied} frames: without it the database would hold half a transaction. Put the right -wal file back, restore \
             both from a backup, or copy out what is readable with `lumocrypt salvage`"
        ))
        .at_number(index)
    }

    fn missing_frame(&self, storage: &mut dyn Storage, index: u64) -> Result<bool> {
        if storage.size()? <= self.slot_offset(index) {
            return Ok(false);
        }
        Err(self
            .fault("a frame of the write-ahead log does not authenticate: it was changed or damaged")
            .at_number(index))
    }

    fn slot_offset(&self, index: u64) -> u64 {
        let plain_len = self.log.as_ref().map_or(0, Log::plain_len);
        WAL_FRAMES_OFFSET + index * (plain_len + self.sealer.overhead()) as u64
    }

    /// Opens slot `index`, its page into `page` or all of it into `self.plain`. A failure may only mean that another
    /// connection began a new generation, so the header is read again once.
    fn read_slot(
        &mut self,
        storage: &mut dyn Storage,
        main: &mut dyn MainLink,
        index: u64,
        mut page: Option<&mut [u8]>,
    ) -> Result<bool> {
        if self.open_slot(storage, index, page.as_deref_mut())? {
            return Ok(true);
        }
        let known = self.log.as_ref().map(|log| log.generation);
        self.log = None;
        self.load(storage, main)?;
        if self.log.as_ref().map(|log| log.generation) == known {
            return Ok(false);
        }
        self.open_slot(storage, index, page)
    }

    fn open_slot(&mut self, storage: &mut dyn Storage, index: u64, page: Option<&mut [u8]>) -> Result<bool> {
        self.opened = None;
        let offset = self.slot_offset(index);
        let Some(log) = &self.log else { return Ok(false) };
        memory::resize(&mut self.plain, log.plain_len())?;
        memory::resize(&mut self.scratch, log.plain_len())?;
        memory::resize(&mut self.slot, log.plain_len() + self.sealer.overhead())?;
        let (sealer, generation, scratch) = (&self.sealer, &log.generation, &mut self.scratch);
        let in_plain = page.is_none();
        let (head, body) = self.plain.split_at_mut(FRAME_HEADER);
        let body = match page {
            // Another generation, with other pages.
            Some(page) if page.len() != body.len() => return Ok(false),
            Some(page) => page,
            None => body,
        };
        // A transaction reads or rewrites what it spilled.
        let unwritten = self.outbox.get(index);
        if let Some(Unwritten::Clear(plain)) = unwritten {
            head.copy_from_slice(&plain[..FRAME_HEADER]);
            body.copy_from_slice(&plain[FRAME_HEADER..]);
            self.opened = in_plain.then_some(index);
            return Ok(true);
        }
        let mut open = |sealed: &[u8]| {
            sealer.open_parts(index, generation, sealed, [&mut *head, &mut *body], scratch).is_ok()
        };
        let slot_len = self.slot.len();
        let mut opened = matches!(unwritten, Some(Unwritten::Sealed(sealed)) if open(sealed));
        if unwritten.is_none() && !self.checkpoint {
            storage.visit_map(offset, slot_len, &mut |sealed| opened = open(sealed));
        }
        // Nothing is read ahead while frames wait: the file has older ones in their places.
        if !opened && self.outbox.is_empty() {
            let offset_of = |index| WAL_FRAMES_OFFSET + index * slot_len as u64;
            opened = self.ahead.open(storage, index, slot_len, offset_of, &mut open)?;
        }
        // A failure in what was read ahead, or in the map, may be an older state: the file decides.
        if !opened && unwritten.is_none() && storage.read(&mut self.slot, offset)? {
            opened = open(&self.slot);
        }
        self.opened = (in_plain && opened && self.transaction.contains(index)).then_some(index);
        Ok(opened)
    }

    /// Writes `data` at logical `offset`.
    pub fn write(
        &mut self,
        storage: &mut dyn Storage,
        main: &mut dyn MainLink,
        data: &[u8],
        offset: u64,
    ) -> Result<()> {
        if offset == 0 && data.len() == SQLITE_HEADER {
            return self.begin_generation(storage, main, data);
        }
        self.load(storage, main)?;
        let mut done = 0;
        while done < data.len() {
            let Some(log) = &self.log else {
                return Err(self.fault("a frame was written to a write-ahead log without a header"));
            };
            let plain_len = log.plain_len() as u64;
            let at = (offset + done as u64).saturating_sub(SQLITE_HEADER as u64);
            let (index, within) = (at / plain_len, (at % plain_len) as usize);
            let take = (data.len() - done).min(plain_len as usize - within);
            self.write_part(storage, main, index, within, &data[done..done + take])?;
            done += take;
        }
        Ok(())
    }

    fn write_part(
        &mut self,
        storage: &mut dyn Storage,
        main: &mut dyn MainLink,
        index: u64,
        within: usize,
        part: &[u8],
    ) -> Result<()> {
        let plain_len = self.log.as_ref().map_or(0, Log::plain_len);
        let continues =
            self.pending.as_ref().is_some_and(|pending| pending.index == index && pending.filled == within);
        if !continues && (within != 0 || self.transaction.contains(index)) {
            // Either part of a slot that is written already: a page spilled again, or a header with its final
            // checksum.
            self.pending = None;
            return self.rewrite_part(storage, main, index, within, part);
        }
        memory::resize(&mut self.assembly, plain_len)?;
        let filled = within + part.len();
        if within == FRAME_HEADER && filled == plain_len {
            let header = header_of(&self.assembly);
            self.pending = None;
            return self.put(storage, main, index, header, part);
        }
        self.assembly[within..filled].copy_from_slice(part);
        if filled < plain_len {
            self.pending = Some(Pending { index, filled });
            return Ok(());
        }
        self.pending = None;
        self.put_assembly(storage, main, index)
    }

    /// Writes part of frame `index` over what is there. SQLite does so to frames of its own transaction: it writes a
    /// page that it has spilled before, and in the end, if it did, all headers from that frame on.
    fn rewrite_part(
        &mut self,
        storage: &mut dyn Storage,
        main: &mut dyn MainLink,
        index: u64,
        within: usize,
        part: &[u8],
    ) -> Result<()> {
        let plain_len = self.log.as_ref().map_or(0, Log::plain_len);
        if within == FRAME_HEADER
            && part.len() == plain_len - FRAME_HEADER
            && let Some(header) = self.transaction.header(index).copied()
        {
            return self.put(storage, main, index, header, part);
        }
        // It has just been read, where SQLite is about to write its header.
        if self.opened != Some(index) && !self.open_slot(storage, index, None)? {
            return Err(self.fault("a frame being rewritten does not authenticate").at_number(index));
        }
        self.opened = None;
        std::mem::swap(&mut self.assembly, &mut self.plain);
        self.assembly[within..within + part.len()].copy_from_slice(part);
        self.put_assembly(storage, main, index)
    }

    /// Writes the frame that is assembled.
    fn put_assembly(&mut self, storage: &mut dyn Storage, main: &mut dyn MainLink, index: u64) -> Result<()> {
        let frame = std::mem::take(&mut self.assembly);
        let written = self.put(storage, main, index, header_of(&frame), &frame[FRAME_HEADER..]);
        self.assembly = frame;
        written
    }

    /// Writes a frame.
    fn put(
        &mut self,
        storage: &mut dyn Storage,
        main: &mut dyn MainLink,
        index: u64,
        header: [u8; FRAME_HEADER],
        page: &[u8],
    ) -> Result<()> {
        if self.opened == Some(index) {
            self.opened = None;
        }
        self.ahead.forget();
        // First what may fail for want of memory: a commit that is on disk must not be reported as failed.
        let written = self
            .transaction
            .add(index, header)
            .and_then(|()| self.put_slot(storage, main, index, [&header, page]));
        if written.is_err() {
            // SQLite gives the transaction up, and none of it may reach the disk later.
            self.transaction_boundary(storage);
        }
        written
    }

    /// Seals a frame. It waits for others, but not beyond its transaction's commit frame, which is the last that
    /// SQLite writes, and the last that it writes again: when its call for that one returns, all are written.
    fn put_slot(
        &mut self,
        storage: &mut dyn Storage,
        main: &mut dyn MainLink,
        index: u64,
        frame: [&[u8]; 2],
    ) -> Result<()> {
        let offset = self.slot_offset(index);
        let Some(log) = &mut self.log else { return Ok(()) };
        if log.cell_lags {
            // The header was synced before this first frame, so the cell never names a log that a crash
            // could have lost; it needs no sync of its own, because the log says what came before it.
            let cell = main.cell()?;
            let previous = cell.latest();
            main.set_cell(true, log.generation, previous, None)?;
            log.cell_lags = false;
        }
        let slot_len = log.plain_len() + self.sealer.overhead();
        let slot = Slot { index, offset, context: log.generation, parts: frame };
        self.outbox.add(storage, &self.sealer, &slot)?;
        if is_commit(frame[0]) {
            self.outbox.flush(storage)
        } else {
            self.outbox.send_if_full(storage, slot_len)
        }
    }

    /// Cuts the log to `size` logical bytes; zero ends the current generation.
    pub fn truncate(&mut self, storage: &mut dyn Storage, main: &mut dyn MainLink, size: u64) -> Result<()> {
        if size == 0 {
            self.retire(storage, main)?;
            return storage.truncate(0);
        }
        self.outbox.flush(storage)?;
        self.load(storage, main)?;
        let Some(log) = &self.log else { return Ok(()) };
        let frames = size.saturating_sub(SQLITE_HEADER as u64) / log.plain_len() as u64;
        storage.truncate(self.slot_offset(frames))
    }

    /// Makes the log durable. After a sync that failed SQLite gives up the transaction that it was for, and writes its frames
    /// anew with the next; the header is written again in [`begin_generation`](Self::begin_generation).
    pub fn sync(&mut self, storage: &mut dyn Storage, flags: i32) -> Result<()> {
        self.outbox.flush(storage)?;
        if sabotage::is(Sabotage::WalSync) {
            return Ok(());
        }
        let synced = storage.sync(flags);
        if synced.is_err() {
            // In exclusive locking mode no lock that goes says that the transaction is given up.
            self.transaction_boundary(storage);
        }
        synced
    }

    /// Sequence number of the header last seen, for reports.
    pub fn sequence(&self) -> Option<u64> {
        self.log.as_ref().map(|log| log.sequence)
    }

    fn fault(&self, message: &str) -> Fault {
        Fault::new(FaultClass::Tampered, message).in_file(FileKind::Wal)
    }
}

/// The header of a frame.
fn header_of(frame: &[u8]) -> [u8; FRAME_HEADER] {
    frame.first_chunk().copied().unwrap_or_default()
}

/// Does this frame end a transaction? Its header then gives the size of the database (wal.c, walEncodeFrame).
pub fn is_commit(frame: &[u8]) -> bool {
    frame[COMMIT_MARK] != [0; 4]
}

#[cfg(test)]
mod tests;
