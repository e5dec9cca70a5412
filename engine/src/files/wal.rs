//! The write-ahead log: sealed frames behind a header in two copies.
//!
//! A frame header and its page are one sealed slot, because either alone would leak or could be spliced.
//! SQLite writes them in two calls, and may later write either again, so a slot is assembled in memory and
//! written when it is whole; a part of a slot that this transaction wrote before is patched in place.

mod transaction;

use std::sync::Arc;

use super::memory;
use super::run::SlotRun;
use super::storage::Storage;
use crate::crypto::nonce;
use crate::error::{Fault, FaultClass, FileKind, Result};
use crate::format::cell::Cell;
use crate::format::wal_header::{
    LogPreamble, WAL_FRAMES_OFFSET, WAL_HEADER_B_OFFSET, WalHeader, WalPreamble,
};
use crate::keys::file_keys::{FileKeys, Sealer};
use crate::sabotage::{self, Sabotage};
use transaction::Transaction;

/// SQLite's WAL header (wal.c, WAL_HDRSIZE).
pub const SQLITE_HEADER: usize = 32;
/// SQLite's frame header (wal.c, WAL_FRAME_HDRSIZE).
pub const FRAME_HEADER: usize = 24;
/// Where a frame header has the database's size after a commit, zero in every other frame (wal.c).
pub const COMMIT_MARK: std::ops::Range<usize> = 4..8;
/// A header copy is read with room for every suite's overhead.
const HEADER_READ: usize = 512;

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
    /// Slots from here on may be holes (`None`: no log is current).
    fn set_holes_from(&mut self, slots: Option<u64>);
}

/// The generation that is current on disk, as this connection last saw it.
struct Log {
    generation: [u8; 16],
    sequence: u64,
    sqlite: [u8; SQLITE_HEADER],
    page_size: usize,
    /// The cell does not name this generation yet; the first frame written sees to it.
    cell_lags: bool,
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
    /// Frames of the transaction under way that are sealed and wait to be written together.
    run: SlotRun,
    discard_missing: bool,
    /// Why the log is about to be lost although it holds commits.
    loss: Option<String>,
    loss_told: bool,
    assembly: Vec<u8>,
    plain: Vec<u8>,
    slot: Vec<u8>,
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
            run: SlotRun::default(),
            discard_missing,
            loss: None,
            loss_told: false,
            assembly: Vec::new(),
            plain: Vec::new(),
            slot: Vec::new(),
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
    pub fn transaction_boundary(&mut self) {
        if sabotage::is(Sabotage::StaleFrame) {
            return;
        }
        self.pending = None;
        self.transaction.clear();
        self.opened = None;
        self.run.discard();
    }

    /// The logical size in bytes.
    pub fn size(&mut self, storage: &mut dyn Storage, main: &mut dyn MainLink) -> Result<u64> {
        self.run.flush(storage)?;
        let physical = storage.size()?;
        if physical == 0 {
            self.log = None;
            main.set_holes_from(None);
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
                SQLITE_HEADER as u64 + frames * log.plain_len() as u64
            }
        })
    }

    /// Finds the generation that counts, unless it is known.
    fn load(&mut self, storage: &mut dyn Storage, main: &mut dyn MainLink) -> Result<()> {
        if self.log.is_some() {
            return Ok(());
        }
        // Header and cell are two reads: only a verdict that stands when repeated is one.
        let mut tries = 3;
        self.log = loop {
            tries -= 1;
            match self.find_log(storage, main) {
                Err(fault) if tries > 0 && fault.class == FaultClass::Tampered => {}
                verdict => break verdict?,
            }
        };
        Ok(())
    }

    fn find_log(&mut self, storage: &mut dyn Storage, main: &mut dyn MainLink) -> Result<Option<Log>> {
        let newest = self.newest_header(storage)?;
        let cell = main.cell()?;
        let Some(header) = newest else {
            main.set_holes_from(None);
            if cell.active && !self.discard_missing && storage.size()? > 0 {
                return Err(self.fault(
                    "the write-ahead log beside the database has no valid header, but the database's last commits \
                     are in it; restore both files from a backup, or open with lumo_discard_wal=1 to go on without \
                     those commits",
                ));
            }
            if cell.active && storage.size()? > 0 {
                self.loss = Some("its header is damaged, and it was discarded on demand".to_owned());
            }
            return Ok(None);
        };
        let generation = header.preamble.generation;
        let latest = if cell.active { cell.current } else { cell.previous };
        let counts = (cell.active && generation == cell.current) || header.previous == latest;
        if counts {
            main.set_holes_from(Some(header.main_slots.max(cell.synced_slots)));
            return Ok(Some(Log {
                generation,
                sequence: header.preamble.sequence,
                sqlite: header.sqlite,
                page_size: header.page_size() as usize,
                cell_lags: !(cell.active && generation == cell.current),
                searched: false,
            }));
        }
        main.set_holes_from(None);
        if !cell.active && generation == cell.previous {
            // Everything in this log was checkpointed before the cell was cleared.
            return Ok(None);
        }
        if self.discard_missing {
            self.loss =
                Some("it is not the log that the database names, and it was discarded on demand".to_owned());
            return Ok(None);
        }
        Err(self.fault(
            "the write-ahead log beside the database is not the one that the database names: it was replaced by an \
             older one or taken from a copy; put the right -wal file back, or remove this one and open with \
             lumo_discard_wal=1",
        ))
    }

    /// The authentic header copy with the highest sequence number.
    fn newest_header(&mut self, storage: &mut dyn Storage) -> Result<Option<WalHeader>> {
        let mut newest: Option<WalHeader> = None;
        for offset in [0, WAL_HEADER_B_OFFSET] {
            let mut bytes = [0u8; HEADER_READ];
            storage.read(&mut bytes, offset)?;
            match WalHeader::parse_preamble(&bytes) {
                LogPreamble::Valid(preamble) => {
                    self.check_owner(&preamble)?;
                    if let Ok(header) = WalHeader::open(preamble, &bytes, &self.sealer) {
                        let newer = newest
                            .as_ref()
                            .is_none_or(|other| other.preamble.sequence < header.preamble.sequence);
                        if newer {
                            newest = Some(header);
                        }
                    }
                }
                LogPreamble::Plaintext if offset == 0 => {
                    return Err(self.fault(
                        "a plaintext write-ahead log lies beside the encrypted database; it was left by another \
                         database or put there. Move it away to open the database",
                    ));
                }
                LogPreamble::Unsupported(version) => {
                    return Err(Fault::new(
                        FaultClass::UnsupportedFormat,
                        format!(
                            "the write-ahead log has format version {version}; a newer lumocrypt wrote it"
                        ),
                    )
                    .in_file(FileKind::Wal));
                }
                LogPreamble::Absent | LogPreamble::Torn | LogPreamble::Plaintext => {}
            }
        }
        Ok(newest)
    }

    fn check_owner(&self, preamble: &WalPreamble) -> Result<()> {
        if preamble.uuid != self.keys.uuid || preamble.key_id != self.keys.key_id {
            return Err(self.fault(
                "the write-ahead log beside the database belongs to another database or another key; move it away, \
                 or put the database that it belongs to back",
            ));
        }
        Ok(())
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
            if !self.read_slot(storage, main, index)? {
                // Recovery reads whole frames and takes zeros for the end of the log; a page that the
                // wal-index names, or a frame of our own, has to be there.
                if !whole || self.transaction.contains(index) {
                    return self.missing_frame(storage, index);
                }
                self.search_behind(storage, index);
                return Ok(true);
            }
            buf[*done..*done + want].copy_from_slice(&self.plain[within..within + want]);
            *done += want;
        }
        Ok(true)
    }

    /// Recovery ends at frame `index`, which does not open. A power cut may leave that, and so may damage. If a
    /// frame of the same generation behind it opens and ends a transaction, there were commits, which are going to
    /// be written over.
    fn search_behind(&mut self, storage: &mut dyn Storage, index: u64) {
        let Some(log) = &mut self.log else { return };
        if std::mem::replace(&mut log.searched, true) {
            return;
        }
        let slot_len = (log.plain_len() + self.sealer.overhead()) as u64;
        let frames = storage.size().unwrap_or(0).saturating_sub(WAL_FRAMES_OFFSET) / slot_len;
        // Recovery does not depend on what is found, nor on whether it can be read.
        if let Some(behind) = (index + 1..frames)
            .find(|behind| self.open_slot(storage, *behind).unwrap_or(false) && is_commit(&self.plain))
        {
            self.loss = Some(format!(
                "frame {index} does not authenticate, and recovery ends there; frame {behind} behind it does, and ends \
                 a transaction"
            ));
        }
    }

    /// Why the log is about to be lost although it holds commits; once per connection.
    pub fn take_loss(&mut self) -> Option<String> {
        let loss = self.loss.take()?;
        (!std::mem::replace(&mut self.loss_told, true)).then_some(loss)
    }

    fn missing_frame(&self, storage: &mut dyn Storage, index: u64) -> Result<bool> {
        if storage.size()? <= self.slot_offset(index) {
            return Ok(false);
        }
        Err(self
            .fault("a frame of the write-ahead log does not authenticate: it was changed or damaged")
            .at_page(index))
    }

    fn slot_offset(&self, index: u64) -> u64 {
        let plain_len = self.log.as_ref().map_or(0, Log::plain_len);
        WAL_FRAMES_OFFSET + index * (plain_len + self.sealer.overhead()) as u64
    }

    /// Opens slot `index` into `self.plain`. A failure may only mean that another connection began a new
    /// generation, so the header is read again once.
    fn read_slot(&mut self, storage: &mut dyn Storage, main: &mut dyn MainLink, index: u64) -> Result<bool> {
        if self.open_slot(storage, index)? {
            return Ok(true);
        }
        let known = self.log.as_ref().map(|log| log.generation);
        self.log = None;
        self.load(storage, main)?;
        if self.log.as_ref().map(|log| log.generation) == known {
            return Ok(false);
        }
        self.open_slot(storage, index)
    }

    fn open_slot(&mut self, storage: &mut dyn Storage, index: u64) -> Result<bool> {
        if self.run.contains(index) {
            // A transaction reads or rewrites what it spilled.
            self.run.flush(storage)?;
        }
        self.opened = None;
        let offset = self.slot_offset(index);
        let Some(log) = &self.log else { return Ok(false) };
        memory::resize(&mut self.plain, log.plain_len())?;
        memory::resize(&mut self.slot, log.plain_len() + self.sealer.overhead())?;
        let complete = storage.read(&mut self.slot, offset)?;
        let opened =
            complete && self.sealer.open(index, &log.generation, &self.slot, &mut self.plain).is_ok();
        self.opened = (opened && self.transaction.contains(index)).then_some(index);
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
        self.assembly[within..within + part.len()].copy_from_slice(part);
        let filled = within + part.len();
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
        memory::resize(&mut self.assembly, plain_len)?;
        let whole_page = within == FRAME_HEADER && part.len() == plain_len - FRAME_HEADER;
        match self.transaction.header(index) {
            Some(header) if whole_page => self.assembly[..FRAME_HEADER].copy_from_slice(header),
            _ => {
                // It has just been read, where SQLite is about to write its header.
                if self.opened != Some(index) && !self.open_slot(storage, index)? {
                    return Err(self.fault("a frame being rewritten does not authenticate").at_page(index));
                }
                self.assembly.copy_from_slice(&self.plain);
            }
        }
        self.opened = None;
        self.assembly[within..within + part.len()].copy_from_slice(part);
        self.put_assembly(storage, main, index)
    }

    /// Writes the frame that is assembled.
    fn put_assembly(&mut self, storage: &mut dyn Storage, main: &mut dyn MainLink, index: u64) -> Result<()> {
        let plain = std::mem::take(&mut self.assembly);
        let mut header = [0; FRAME_HEADER];
        header.copy_from_slice(&plain[..FRAME_HEADER]);
        // First what may fail for want of memory: a commit that is on disk must not be reported as failed.
        let written =
            self.transaction.add(index, header).and_then(|()| self.put_slot(storage, main, index, &plain));
        self.assembly = plain;
        if written.is_err() {
            // SQLite gives the transaction up, and none of it may reach the disk later.
            self.transaction_boundary();
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
        plain: &[u8],
    ) -> Result<()> {
        let offset = self.slot_offset(index);
        let Some(log) = &mut self.log else { return Ok(()) };
        if log.cell_lags {
            // The header was synced before this first frame, so the cell never names a log that a crash
            // could have lost; it needs no sync of its own, because the log says what came before it.
            let cell = main.cell()?;
            let previous = if cell.active { cell.current } else { cell.previous };
            main.set_cell(true, log.generation, previous, None)?;
            log.cell_lags = false;
        }
        let (sealer, generation) = (&self.sealer, log.generation);
        let slot_len = plain.len() + sealer.overhead();
        let seal = |slot: &mut [u8]| sealer.seal(index, &generation, plain, slot);
        self.run.add(storage, index, offset, slot_len, seal)?;
        if is_commit(plain) || self.run.is_full() {
            self.run.flush(storage)?;
        }
        Ok(())
    }

    /// SQLite writes a new header, in the copy that does not hold the current one. Generations and SQLite's
    /// salts belong together: another connection tells from the salts in the wal-index whether the generation
    /// that it knows is current.
    fn begin_generation(
        &mut self,
        storage: &mut dyn Storage,
        main: &mut dyn MainLink,
        sqlite: &[u8],
    ) -> Result<()> {
        self.transaction_boundary();
        let sqlite: [u8; SQLITE_HEADER] =
            sqlite.try_into().map_err(|_| self.fault("a header of the wrong length"))?;
        let on_disk = if storage.size()? == 0 { None } else { self.newest_header(storage)? };
        let cell = main.cell()?;
        let mut latest = if cell.active { cell.current } else { cell.previous };
        let mut generation = [0u8; 16];
        let mut main_slots = main.slots()?;
        if let Some(header) = &on_disk {
            if header.sqlite == sqlite {
                // The first transaction of a generation was rolled back: the next one writes the same header.
                self.log = None;
                return self.load(storage, main);
            }
            if salts_of(&header.sqlite) == salts_of(&sqlite) {
                generation = header.preamble.generation;
                latest = header.previous;
                main_slots = header.main_slots;
            } else if cell.active && header.previous == cell.current {
                // A crash lost the cell's last change. The new header must follow a named generation.
                main.set_cell(true, header.preamble.generation, cell.current, Some(SYNC_NORMAL))?;
                latest = header.preamble.generation;
            } else if !follows(&header.sqlite, &sqlite) {
                // No checkpoint has synced the main file since the cell was changed: a generation whose only
                // transaction was rolled back is replaced. A crash must not lose the name it goes by.
                main.sync()?;
            }
        }
        if generation == [0; 16] {
            nonce::random(&mut generation)?;
        }
        let sequence = on_disk
            .as_ref()
            .map_or(Some(1), |header| header.preamble.sequence.checked_add(1))
            .ok_or_else(|| self.fault("the write-ahead log's sequence number has come to its end"))?;
        let header = WalHeader {
            preamble: WalPreamble { sequence, uuid: self.keys.uuid, key_id: self.keys.key_id, generation },
            sqlite,
            main_slots,
            previous: latest,
        };
        if sabotage::is(Sabotage::WalCell) {
            main.set_cell(true, generation, latest, None)?;
        }
        // Odd numbers in copy A, even in B: the copy follows from the number, and never hits the current one.
        let offset = if sequence % 2 == 1 { 0 } else { WAL_HEADER_B_OFFSET };
        storage.write(&header.encode(&self.sealer)?, offset)?;
        main.set_holes_from(Some(main_slots.max(cell.synced_slots)));
        self.log = Some(Log {
            generation,
            sequence,
            sqlite,
            page_size: header.page_size() as usize,
            cell_lags: !(cell.active && cell.current == generation),
            searched: false,
        });
        Ok(())
    }

    /// Cuts the log to `size` logical bytes; zero ends the current generation.
    pub fn truncate(&mut self, storage: &mut dyn Storage, main: &mut dyn MainLink, size: u64) -> Result<()> {
        if size == 0 {
            self.retire(storage, main)?;
            return storage.truncate(0);
        }
        self.run.flush(storage)?;
        self.load(storage, main)?;
        let Some(log) = &self.log else { return Ok(()) };
        let frames = size.saturating_sub(SQLITE_HEADER as u64) / log.plain_len() as u64;
        storage.truncate(self.slot_offset(frames))
    }

    /// The log is about to be deleted or emptied, everything in it being in the synced main file: clears the
    /// cell first, durably, or a crash would leave a database that misses its log. The cell remembers the last
    /// generation there was, or that one could be put back and would count again.
    pub fn retire(&mut self, storage: &mut dyn Storage, main: &mut dyn MainLink) -> Result<()> {
        let cell = main.cell()?;
        let latest = if cell.active { cell.current } else { cell.previous };
        // A log that cannot be read or is another's says nothing about ours.
        let unnamed = self.newest_header(storage).ok().flatten().filter(|header| header.previous == latest);
        if cell.active || unnamed.is_some() {
            let last = unnamed.map_or(latest, |header| header.preamble.generation);
            let sync = (!sabotage::is(Sabotage::WalRetire)).then_some(SYNC_NORMAL);
            main.set_cell(false, [0; 16], last, sync)?;
        }
        self.transaction_boundary();
        self.log = None;
        main.set_holes_from(None);
        Ok(())
    }

    /// Makes the log durable.
    pub fn sync(&mut self, storage: &mut dyn Storage, flags: i32) -> Result<()> {
        self.run.flush(storage)?;
        if sabotage::is(Sabotage::WalSync) {
            return Ok(());
        }
        storage.sync(flags)
    }

    /// Sequence number of the header last seen, for reports.
    pub fn sequence(&self) -> Option<u64> {
        self.log.as_ref().map(|log| log.sequence)
    }

    fn fault(&self, message: &str) -> Fault {
        Fault::new(FaultClass::Tampered, message).in_file(FileKind::Wal)
    }
}

/// Does this frame end a transaction? Its header then gives the size of the database (wal.c, walEncodeFrame).
fn is_commit(frame: &[u8]) -> bool {
    frame[COMMIT_MARK] != [0; 4]
}

/// The salts in SQLite's WAL header (wal.c, bytes 16 to 23).
fn salts_of(header: &[u8; SQLITE_HEADER]) -> [u8; 8] {
    header[16..24].try_into().unwrap_or_default()
}

/// Was `new` made by restarting the log of `old`, which SQLite does when a checkpoint has copied and synced
/// all of it? It then counts the first salt up (wal.c, walRestartHdr); otherwise it draws both anew.
fn follows(old: &[u8; SQLITE_HEADER], new: &[u8; SQLITE_HEADER]) -> bool {
    let first =
        |header: &[u8; SQLITE_HEADER]| u32::from_be_bytes(header[16..20].try_into().unwrap_or_default());
    first(old).wrapping_add(1) == first(new)
}

/// SQLITE_SYNC_NORMAL (sqlite3.h).
const SYNC_NORMAL: i32 = 2;

#[cfg(test)]
mod tests;
