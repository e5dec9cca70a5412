//! The rollback journal: an append-only sequence of sealed extents.
//!
//! SQLite writes small unaligned records and later patches its header. Blocks encrypted in place would put
//! records that are already synced at the mercy of a torn write, so nothing here is ever encrypted in
//! place: writes collect in memory, and each flush appends them as one extent; a patch is a further extent.

mod recovery;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::facts::{JOURNAL_HEADER, JOURNAL_MAGIC};
use crate::format::journal_header::{
    EXTENT_HEAD_LEN, ExtentHead, JOURNAL_PREAMBLE_LEN, JournalPreamble, MIN_EXTENT_PAYLOAD,
};
use crypto::nonce;
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::memory;
use ground::sabotage::{self, Sabotage};
use storage::{Storage, is_zero};
use vault::file_keys::{FileKeys, Sealer};

/// Where it has the sector size, big-endian, to which it is padded.
const SECTOR_SIZE: std::ops::Range<usize> = 20..24;
/// What SQLite writes to finish a persistent journal (pager.c, zeroJournalHdr).
const FINISH_LEN: usize = JOURNAL_HEADER;
/// Data collected before an extent is written: large enough to make its head and tag cheap.
const COLLECT: usize = 256 * 1024;
/// The most that is kept of a closed journal's memory, in bytes per buffer.
const KEPT: usize = 64 * 1024;
/// The longest name in a super-journal trailer that is believed.
const NAME_MAX: usize = 64 * 1024;

/// Where a piece of the logical file is: `len` bytes at `at` in the data of an extent.
#[derive(Clone, Copy)]
struct Segment {
    len: u64,
    extent: usize,
    at: u64,
}

/// An extent on disk.
#[derive(Clone, Copy)]
struct Extent {
    physical: u64,
    payload: usize,
    /// Where in the logical file its data belong.
    at: u64,
}

/// The rollback journal of one connection.
pub struct JournalFile {
    keys: Arc<FileKeys>,
    sealer: Sealer,
    loaded: bool,
    finished: bool,
    id: Option<[u8; 16]>,
    extents: Vec<Extent>,
    segments: BTreeMap<u64, Segment>,
    /// Physical end of the last extent: where the next goes, over a trailer if there is one.
    end: u64,
    /// Logical size.
    size: u64,
    pending_at: u64,
    pending: Vec<u8>,
    trailer: Option<Vec<u8>>,
    preamble_due: bool,
    /// This connection began it; otherwise it is what a crash left.
    ours: bool,
    /// Extents that were on disk when the journal was last synced.
    durable: u64,
    /// The last sync failed: what is behind those may not be on disk.
    distrusted: bool,
    /// The user accepts that a damaged journal is rolled back as far as it goes.
    accept_damage: bool,
    /// Why the journal is about to be lost although not all of it could be rolled back.
    loss: Option<String>,
    opened: Option<usize>,
    data: Vec<u8>,
    sealed: Vec<u8>,
}

/// Memory that a journal collects and seals in: the next one can have it.
#[derive(Default)]
pub struct Buffers {
    pending: Vec<u8>,
    sealed: Vec<u8>,
}

impl JournalFile {
    /// A journal under the main file's keys.
    ///
    /// `accept_damage`: roll back what is left of a damaged journal instead of refusing it.
    pub fn new(keys: Arc<FileKeys>, accept_damage: bool) -> Result<Self> {
        JournalFile::with_buffers(keys, accept_damage, Buffers::default())
    }

    /// As [`JournalFile::new`], in the memory of an earlier journal.
    pub fn with_buffers(keys: Arc<FileKeys>, accept_damage: bool, buffers: Buffers) -> Result<Self> {
        let sealer = keys.sealer(FileKind::MainJournal)?;
        Ok(JournalFile {
            keys,
            sealer,
            loaded: false,
            finished: false,
            id: None,
            extents: Vec::new(),
            segments: BTreeMap::new(),
            end: 0,
            size: 0,
            pending_at: 0,
            pending: buffers.pending,
            trailer: None,
            preamble_due: false,
            ours: false,
            durable: 0,
            distrusted: false,
            accept_damage,
            loss: None,
            opened: None,
            data: Vec::new(),
            sealed: buffers.sealed,
        })
    }

    /// The data key is being changed, or was. A journal that has begun goes on under the key that it began with.
    pub fn set_keys(&mut self, keys: &Arc<FileKeys>) {
        self.keys = Arc::clone(keys);
    }

    /// Others may have written the file since: it is read before it is used again.
    pub fn forget(&mut self) -> Result<()> {
        let buffers = self.take_buffers();
        *self = JournalFile::with_buffers(Arc::clone(&self.keys), self.accept_damage, buffers)?;
        Ok(())
    }

    /// The journal is closed; its memory, unless that is unusually large, can be used again.
    pub fn take_buffers(&mut self) -> Buffers {
        let reuse = |buffer: &mut Vec<u8>| {
            let mut buffer = std::mem::take(buffer);
            if buffer.capacity() > KEPT {
                return Vec::new();
            }
            buffer.clear();
            buffer
        };
        Buffers { pending: reuse(&mut self.pending), sealed: reuse(&mut self.sealed) }
    }

    fn reset(&mut self) {
        self.id = None;
        self.extents.clear();
        self.segments.clear();
        self.end = 0;
        self.size = 0;
        self.pending.clear();
        self.trailer = None;
        self.preamble_due = false;
        self.ours = false;
        self.durable = 0;
        self.distrusted = false;
        self.opened = None;
        self.finished = false;
        self.loaded = true;
    }

    /// Does the file end in `trailer`, directly behind the last extent?
    fn stands(&self, storage: &mut dyn Storage, trailer: &[u8]) -> Result<bool> {
        let mut found = memory::zeroed(trailer.len())?;
        Ok(storage.size()? == self.end + trailer.len() as u64
            && storage.read(&mut found, self.end)?
            && found == trailer)
    }

    fn extent_len(&self, payload: usize) -> u64 {
        (EXTENT_HEAD_LEN + payload + self.sealer.overhead()) as u64
    }

    /// Opens extent `index` into `self.data`.
    fn open_extent(&mut self, storage: &mut dyn Storage, index: usize) -> Result<bool> {
        if self.opened == Some(index) {
            return Ok(true);
        }
        let (Some(id), extent) = (self.id, self.extents[index]) else { return Ok(false) };
        self.opened = None;
        memory::resize(&mut self.data, extent.payload)?;
        memory::resize(&mut self.sealed, extent.payload + self.sealer.overhead())?;
        if !storage.read(&mut self.sealed, extent.physical + EXTENT_HEAD_LEN as u64)? {
            return Ok(false);
        }
        if self.sealer.open(index as u64, &id, &self.sealed, &mut self.data).is_err() {
            return Ok(false);
        }
        self.opened = Some(index);
        Ok(true)
    }

    /// Lays `len` bytes of extent `index` over the logical file at `at`; no bytes mean a cut.
    fn apply(&mut self, index: usize, at: u64, len: u64) {
        if len == 0 {
            self.cut(at);
            return;
        }
        self.uncover(at, at + len);
        self.segments.insert(at, Segment { len, extent: index, at: 0 });
        self.size = self.size.max(at + len);
    }

    fn cut(&mut self, size: u64) {
        self.uncover(size, u64::MAX);
        self.size = self.size.min(size);
    }

    /// Removes `from..to` from the segments, splitting those that reach across.
    fn uncover(&mut self, from: u64, to: u64) {
        let first = self.segments.range(..from).next_back().map_or(from, |(start, _)| *start);
        let touched: Vec<(u64, Segment)> =
            self.segments.range(first..to).map(|(start, segment)| (*start, *segment)).collect();
        for (start, segment) in touched {
            let end = start + segment.len;
            if end <= from {
                continue;
            }
            self.segments.remove(&start);
            if start < from {
                self.segments.insert(start, Segment { len: from - start, ..segment });
            }
            if end > to {
                let skipped = to - start;
                let rest = Segment { len: end - to, at: segment.at + skipped, ..segment };
                self.segments.insert(to, rest);
            }
        }
    }

    /// The logical size in bytes; of a finished journal the physical one, which is what SQLite limits.
    pub fn size(&mut self, storage: &mut dyn Storage) -> Result<u64> {
        self.load(storage)?;
        if self.finished {
            return storage.size();
        }
        Ok(self.size.max(self.pending_end()))
    }

    fn pending_end(&self) -> u64 {
        if self.pending.is_empty() { 0 } else { self.pending_at + self.pending.len() as u64 }
    }

    /// Fills `buf` from logical `offset`; `false` if the journal ended early, the rest being zero.
    pub fn read(&mut self, storage: &mut dyn Storage, buf: &mut [u8], offset: u64) -> Result<bool> {
        if self.distrusted {
            self.drop_unsynced(storage);
            return Err(Fault::new(
                FaultClass::Io,
                "the rollback journal could not be made durable; the next use of the database rolls back what is",
            ));
        }
        self.load(storage)?;
        buf.fill(0);
        let end = offset + buf.len() as u64;
        let mut at = offset;
        while at < end {
            let next = self.segments.range(..=at).next_back().map(|(start, segment)| (*start, *segment));
            match next {
                Some((start, segment)) if at < start + segment.len => {
                    let take = (start + segment.len).min(end) - at;
                    if !self.open_extent(storage, segment.extent)? {
                        return Err(self.fault(
                            "a part of the rollback journal that authenticated before no longer does: it was changed \
                             or damaged",
                        ));
                    }
                    let from = MIN_EXTENT_PAYLOAD + (segment.at + at - start) as usize;
                    let to = (at - offset) as usize;
                    buf[to..to + take as usize].copy_from_slice(&self.data[from..from + take as usize]);
                    at += take;
                }
                _ => at = self.segments.range(at + 1..).next().map_or(end, |(start, _)| (*start).min(end)),
            }
        }
        // What is collected but not written yet lies over everything else.
        let (from, to) = (self.pending_at.max(offset), self.pending_end().min(end));
        if from < to {
            let (source, target) = ((from - self.pending_at) as usize, (from - offset) as usize);
            let len = (to - from) as usize;
            buf[target..target + len].copy_from_slice(&self.pending[source..source + len]);
        }
        // A finished journal reads as zeros for as long as it says it is: with an exclusive lock SQLite plays back
        // whatever journal it finds, and its look at the tail must not fail.
        let size = if self.finished { storage.size()? } else { self.size.max(self.pending_end()) };
        Ok(end <= size)
    }

    /// Writes `data` at logical `offset`, into memory.
    pub fn write(&mut self, storage: &mut dyn Storage, data: &[u8], offset: u64) -> Result<()> {
        if offset != 0 || self.loaded || !data.starts_with(&JOURNAL_MAGIC) {
            // A header, where nothing was read before, begins a journal over whatever is there.
            self.load(storage)?;
        }
        if offset == 0 && data.len() == FINISH_LEN && is_zero(data) {
            return self.finish(storage);
        }
        if self.id.is_none() {
            self.begin()?;
        }
        let end = self.pending_end();
        if self.pending.is_empty() {
            self.pending_at = offset;
        } else if offset < self.pending_at || offset > end || self.pending.len() + data.len() > COLLECT {
            self.flush(storage)?;
            self.pending_at = offset;
        }
        let start = (offset - self.pending_at) as usize;
        let overlap = (self.pending.len() - start).min(data.len());
        memory::reserve(&mut self.pending, data.len() - overlap)?;
        self.pending[start..start + overlap].copy_from_slice(&data[..overlap]);
        self.pending.extend_from_slice(&data[overlap..]);
        if data == JOURNAL_MAGIC {
            self.end_with_trailer(storage, offset + data.len() as u64)?;
        }
        if self.pending.len() >= COLLECT {
            self.flush(storage)?;
        }
        Ok(())
    }

    /// A new journal, over whatever is left of an old one.
    fn begin(&mut self) -> Result<()> {
        self.reset();
        if !self.sealer.is_for(&self.keys.uuid, &self.keys.key_id) {
            self.sealer = self.keys.sealer(FileKind::MainJournal)?;
        }
        // From the stock of nonces: a journal has one id, and a system call for it would be one per transaction.
        self.id = nonce::draw()?.first_chunk().copied();
        self.preamble_due = true;
        self.ours = true;
        self.end = JOURNAL_PREAMBLE_LEN as u64;
        Ok(())
    }

    /// SQLite has just written the magic that may end a super-journal record at logical `end`. The record must
    /// never be known here and missing at the end of the file: whoever rolls back the other databases first looks
    /// for it there, deletes the super-journal if nobody needs it, and then this one would not be rolled back.
    fn end_with_trailer(&mut self, storage: &mut dyn Storage, end: u64) -> Result<()> {
        let Some(trailer) = self.find_trailer(storage, end)? else { return Ok(()) };
        self.trailer = Some(trailer);
        let written = self.flush(storage).and_then(|()| self.cut_behind_trailer(storage));
        if written.is_err() {
            self.recheck_trailer(storage);
        }
        written
    }

    /// After a failed write: if the record is not at the end of the file, it is forgotten here, too. The
    /// transaction is going to be rolled back then, whatever becomes of the super-journal.
    fn recheck_trailer(&mut self, storage: &mut dyn Storage) {
        let Some(trailer) = self.trailer.take() else { return };
        let stands = self.stands(storage, &trailer).unwrap_or(false);
        if stands {
            self.trailer = Some(trailer);
            return;
        }
        let end = self.size.max(self.pending_end());
        let start = end.saturating_sub(trailer.len() as u64);
        self.pending.truncate(start.saturating_sub(self.pending_at) as usize);
        self.cut(start);
    }

    /// An older, longer journal must not hide the trailer from those who look for it at the end.
    fn cut_behind_trailer(&self, storage: &mut dyn Storage) -> Result<()> {
        let Some(trailer) = &self.trailer else { return Ok(()) };
        let end = self.end + trailer.len() as u64;
        if storage.size()? > end {
            storage.truncate(end)?;
        }
        Ok(())
    }

    /// The record that ends at logical `end`, if there is one: name, length, checksum, magic (pager.c,
    /// writeSuperJournal).
    fn find_trailer(&mut self, storage: &mut dyn Storage, end: u64) -> Result<Option<Vec<u8>>> {
        let mut tail = [0u8; 16];
        let Some(tail_at) = end.checked_sub(tail.len() as u64) else { return Ok(None) };
        self.read(storage, &mut tail, tail_at)?;
        let name_len = u32::from_be_bytes([tail[0], tail[1], tail[2], tail[3]]) as usize;
        let Some(start) = tail_at.checked_sub(name_len as u64) else { return Ok(None) };
        if name_len == 0 || name_len > NAME_MAX || tail[8..] != JOURNAL_MAGIC {
            return Ok(None);
        }
        let mut trailer = memory::zeroed(name_len + tail.len())?;
        self.read(storage, &mut trailer, start)?;
        Ok(Some(trailer))
    }

    /// Writes what is collected as one extent.
    ///
    /// Called before the journal is synced or closed, and before its connection writes the main file.
    pub fn flush(&mut self, storage: &mut dyn Storage) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let data = std::mem::take(&mut self.pending);
        let at = self.pending_at;
        let result = match self.without_padding(at, &data) {
            Some(parts) => self.append_extents(storage, &parts),
            None => self.append_extents(storage, &[(at, &data)]),
        };
        self.pending = data;
        match result {
            Ok(()) => self.pending.clear(),
            // Kept: SQLite may try again, and a rollback still reads it.
            Err(_) => self.recheck_trailer(storage),
        }
        result
    }

    /// The header that `data` begins with and what follows its padding, if that is worth an extent of its own. SQLite
    /// pads a header to a sector; where nothing was written a journal reads as zeros.
    fn without_padding<'a>(&self, at: u64, data: &'a [u8]) -> Option<[(u64, &'a [u8]); 2]> {
        let sector = u32::from_be_bytes(*data.get(SECTOR_SIZE)?.first_chunk()?) as usize;
        let padding = data.get(JOURNAL_HEADER..sector)?;
        let worth_it = data.len() > sector
            && padding.len() > MIN_EXTENT_PAYLOAD + EXTENT_HEAD_LEN + self.sealer.overhead();
        (worth_it && data.starts_with(&JOURNAL_MAGIC) && at >= self.size && is_zero(padding))
            .then(|| [(at, &data[..JOURNAL_HEADER]), (at + sector as u64, &data[sector..])])
    }

    /// The connection is about to write its main file: from here on the journal is needed. Everything collected
    /// is written, and if all of it had been synced a last extent says so, because nothing else would tell
    /// damage in what was synced last from a torn write.
    pub fn main_file_follows(&mut self, storage: &mut dyn Storage) -> Result<()> {
        if sabotage::is(Sabotage::JournalFlush) {
            return Ok(());
        }
        self.flush(storage)?;
        // Behind a super-journal's trailer nothing may be appended without a sync: it must stay at the end.
        if self.trailer.is_none()
            && self.id.is_some()
            && self.durable > 0
            && self.durable == self.extents.len() as u64
        {
            // A cut behind every file that can be changes nothing.
            self.append(storage, i64::MAX as u64, &[])?;
        }
        Ok(())
    }

    /// The size in pages that the database had before the transaction (pager.c, writeJournalHdr); 0 if the
    /// journal has nothing to roll back.
    pub fn original_pages(&mut self, storage: &mut dyn Storage) -> Result<u32> {
        let mut header = [0u8; 20];
        let complete = self.read(storage, &mut header, 0)?;
        let is_header = complete && header.starts_with(&JOURNAL_MAGIC);
        Ok(if is_header { u32::from_be_bytes([header[16], header[17], header[18], header[19]]) } else { 0 })
    }

    /// Appends one extent with `data` for logical offset `at`, nothing being collected.
    fn append(&mut self, storage: &mut dyn Storage, at: u64, data: &[u8]) -> Result<()> {
        let result = self.append_extents(storage, &[(at, data)]);
        if result.is_err() {
            self.recheck_trailer(storage);
        }
        result
    }

    /// Appends extents with these data for these logical offsets, in one write.
    fn append_extents(&mut self, storage: &mut dyn Storage, parts: &[(u64, &[u8])]) -> Result<()> {
        let Some(id) = self.id else { return Ok(()) };
        self.opened = None;
        memory::reserve(&mut self.extents, parts.len())?;
        let mut image = std::mem::take(&mut self.sealed);
        image.clear();
        let sealed = self.seal_extents(&mut image, id, parts);
        let start = if self.preamble_due { 0 } else { self.end };
        let written = sealed.and_then(|()| storage.write(&image, start));
        self.sealed = image;
        written?;
        self.preamble_due = false;
        for (at, data) in parts {
            let payload = MIN_EXTENT_PAYLOAD + data.len();
            self.extents.push(Extent { physical: self.end, payload, at: *at });
            self.end += self.extent_len(payload);
            self.apply(self.extents.len() - 1, *at, data.len() as u64);
        }
        Ok(())
    }

    /// What goes to the disk for them, into the empty `image`.
    fn seal_extents(&mut self, image: &mut Vec<u8>, id: [u8; 16], parts: &[(u64, &[u8])]) -> Result<()> {
        let overhead = self.sealer.overhead();
        let extent_len = |data: &[u8]| EXTENT_HEAD_LEN + MIN_EXTENT_PAYLOAD + data.len() + overhead;
        let trailer = self.trailer.as_deref().unwrap_or_default();
        let extents: usize = parts.iter().map(|(_, data)| extent_len(data)).sum();
        memory::reserve(image, JOURNAL_PREAMBLE_LEN + extents + trailer.len())?;
        if self.preamble_due {
            let preamble = JournalPreamble { uuid: self.keys.uuid, key_id: self.keys.key_id, journal_id: id };
            image.extend_from_slice(&preamble.encode());
        }
        for (index, (at, data)) in (self.extents.len() as u64..).zip(parts) {
            let mut head = [0; MIN_EXTENT_PAYLOAD];
            head[..8].copy_from_slice(&at.to_le_bytes());
            head[8..].copy_from_slice(&self.durable.to_le_bytes());
            let payload = head.len() + data.len();
            image.extend_from_slice(&ExtentHead { len: payload as u32, journal_id: id }.encode());
            let body = image.len();
            image.resize(body + payload + overhead, 0);
            memory::resize(&mut self.data, payload)?;
            self.sealer.seal_parts(index, &id, [&head, data], &mut image[body..], &mut self.data)?;
        }
        if !sabotage::is(Sabotage::JournalTrailer) {
            // Other connections look for the super-journal's name at the physical end (docs/reference/format.md).
            image.extend_from_slice(trailer);
        }
        Ok(())
    }

    /// `journal_mode=PERSIST` ends a transaction: zeros over the preamble, and over the first extent's head so
    /// that its id cannot stand in, end the journal in one small write within one sector. What was never
    /// flushed is not needed any more.
    fn finish(&mut self, storage: &mut dyn Storage) -> Result<()> {
        // First the disk: if that fails, SQLite rolls back from this very journal.
        self.write_finish(storage)?;
        self.reset();
        self.finished = true;
        Ok(())
    }

    fn write_finish(&self, storage: &mut dyn Storage) -> Result<()> {
        match storage.size()? {
            0 => Ok(()),
            _ => storage.write(&[0; JOURNAL_PREAMBLE_LEN + EXTENT_HEAD_LEN], 0),
        }
    }

    /// Cuts the journal to `size` logical bytes.
    pub fn truncate(&mut self, storage: &mut dyn Storage, size: u64) -> Result<()> {
        self.load(storage)?;
        if size == 0 {
            // First the disk: if that fails, SQLite rolls back from this very journal.
            storage.truncate(0)?;
            self.reset();
            return Ok(());
        }
        if self.finished || self.id.is_none() {
            return storage.truncate(size.max(JOURNAL_PREAMBLE_LEN as u64));
        }
        self.flush(storage)?;
        if size < self.size {
            self.append(storage, size, &[])?;
        }
        // Behind the last extent (and its trailer) there may be the rest of an older, longer journal.
        let trailer = self.trailer.as_ref().map_or(0, Vec::len) as u64;
        storage.truncate(self.end + trailer)
    }

    /// Makes the journal durable.
    pub fn sync(&mut self, storage: &mut dyn Storage, flags: i32) -> Result<()> {
        // SQLite syncs what a crash left before it reads any of it.
        self.load(storage)?;
        self.flush(storage)?;
        self.cut_behind_trailer(storage)?;
        if self.distrusted {
            self.drop_unsynced(storage);
        }
        if !sabotage::is(Sabotage::JournalSync) {
            let mut synced = storage.sync(flags);
            if synced.is_err() && self.finished && !sabotage::is(Sabotage::JournalOnce) {
                // The end of a transaction, in the one write that says so. If that is not on the disk, the journal would
                // count again after a power cut, over whatever is committed later.
                synced = self.write_finish(storage).and_then(|()| storage.sync(flags));
            }
            self.distrusted =
                synced.is_err() && self.ours && !self.finished && !sabotage::is(Sabotage::JournalOnce);
            synced?;
        }
        self.durable = self.extents.len() as u64;
        Ok(())
    }

    /// After a sync that failed nobody knows what is on the disk of what it covered, whatever can be read. SQLite rolls back
    /// now. It has written no page to the main file whose original is not in the part that was synced before. The
    /// others it would write again as they are, and sealed again and torn by a power cut they would be lost. So the
    /// journal ends where it is durable; and so that SQLite does not keep in its cache what it cannot take back then,
    /// its rollback fails once, and it begins with the next use, as after a crash.
    fn drop_unsynced(&mut self, storage: &mut dyn Storage) {
        self.distrusted = false;
        let mut extents = std::mem::take(&mut self.extents);
        extents.truncate(self.durable as usize);
        self.segments.clear();
        self.size = 0;
        self.pending.clear();
        self.trailer = None;
        self.opened = None;
        self.end = JOURNAL_PREAMBLE_LEN as u64;
        for (index, extent) in extents.iter().enumerate() {
            self.apply(index, extent.at, (extent.payload - MIN_EXTENT_PAYLOAD) as u64);
            self.end = extent.physical + self.extent_len(extent.payload);
        }
        self.preamble_due = extents.is_empty();
        self.extents = extents;
        // What cannot be cut off does not count here. For whoever opens it next it does: SQLite's own fate.
        let _ = storage.truncate(if self.preamble_due { 0 } else { self.end });
    }

    /// The journal is closed: whoever opens it next finds nothing in it that may not be on the disk.
    ///
    /// Errors: those of writing what is collected.
    pub fn close(&mut self, storage: &mut dyn Storage) -> Result<()> {
        if self.distrusted {
            self.drop_unsynced(storage);
        }
        self.flush(storage)
    }

    /// Is it a journal that a crash left, and that is being played back?
    pub fn is_hot(&self) -> bool {
        !self.ours && !self.extents.is_empty()
    }

    /// Why the journal is about to be lost although not all of it could be rolled back; once.
    pub fn take_loss(&mut self) -> Option<String> {
        self.loss.take()
    }

    /// How many extents authenticate, and whether anything but a trailer follows them: for reports.
    pub fn extents(&mut self, storage: &mut dyn Storage) -> Result<(u64, bool)> {
        self.load(storage)?;
        let mut magic = JOURNAL_MAGIC;
        let size = storage.size()?;
        if size > self.end {
            storage.read(&mut magic, size - JOURNAL_MAGIC.len() as u64)?;
        }
        Ok((self.extents.len() as u64, !self.finished && magic != JOURNAL_MAGIC))
    }

    fn fault(&self, message: &str) -> Fault {
        Fault::new(FaultClass::Tampered, message).in_file(FileKind::MainJournal)
    }
}

#[cfg(test)]
mod tests;
