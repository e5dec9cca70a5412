//! What a crash left of a journal: which extents count, and whether any that counted once are lost.

use super::{Extent, JournalFile};
use crate::format::journal_header::{
    EXTENT_HEAD_LEN, ExtentHead, JOURNAL_PREAMBLE_LEN, JournalPreamble, MAX_EXTENT_PAYLOAD,
    MIN_EXTENT_PAYLOAD,
};
use crate::format::wal_header::LogPreamble;
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::memory;
use storage::Storage;

/// Extents behind an unreadable one that are tried under the numbers they may have.
const NUMBERS_TRIED: usize = 4;
/// Bytes searched at a time for an extent behind an unreadable one.
const SEARCH: usize = 64 * 1024;

impl JournalFile {
    /// Reads what is on disk: a journal that a crash left, or nothing. What could not be read is not known: it is
    /// read again at the next use, instead of being taken for an empty journal.
    pub(super) fn load(&mut self, storage: &mut dyn Storage) -> Result<()> {
        if self.loaded {
            return Ok(());
        }
        let result = self.read_all(storage);
        self.loaded = result.is_ok();
        result
    }

    fn read_all(&mut self, storage: &mut dyn Storage) -> Result<()> {
        self.reset();
        let physical = storage.size()?;
        if physical == 0 {
            return Ok(());
        }
        let mut head = [0u8; JOURNAL_PREAMBLE_LEN];
        storage.read(&mut head, 0)?;
        let preamble = JournalPreamble::parse(&head);
        let torn = matches!(preamble, LogPreamble::Torn);
        self.id = match preamble {
            LogPreamble::Valid(preamble) => {
                let names = (&preamble.uuid, &preamble.key_id);
                let Some(sealer) = self.keys.log_sealer(FileKind::MainJournal, names.0, names.1)? else {
                    return Err(self.fault(
                        "the rollback journal beside the database belongs to another database or another key; move \
                         it away, or put the database that it belongs to back",
                    ));
                };
                self.sealer = sealer;
                Some(preamble.journal_id)
            }
            LogPreamble::Plaintext => {
                return Err(self.fault(
                    "a plaintext rollback journal lies beside the encrypted database; it was left by another \
                     database or put there. Move it away to open the database",
                ));
            }
            LogPreamble::Unsupported(version) => {
                return Err(Fault::new(
                    FaultClass::UnsupportedFormat,
                    format!("the rollback journal has format version {version}; a newer lumocrypt wrote it"),
                )
                .in_file(FileKind::MainJournal));
            }
            LogPreamble::Absent => {
                self.finished = true;
                None
            }
            // A torn or damaged preamble. Rolling back from extents that are authentic is right in both cases.
            LogPreamble::Torn => {
                let mut extent = [0u8; EXTENT_HEAD_LEN];
                storage.read(&mut extent, JOURNAL_PREAMBLE_LEN as u64)?;
                let head = ExtentHead::parse(&extent);
                if head.is_none() && physical > JOURNAL_PREAMBLE_LEN as u64 {
                    self.loss = Some("its beginning is damaged, and it cannot be rolled back".to_owned());
                }
                head.map(|head| head.journal_id)
            }
        };
        self.end = JOURNAL_PREAMBLE_LEN as u64;
        if let Some(id) = self.id {
            while self.load_extent(storage, id)? {}
            if let Some(older) = self.keys.older().filter(|_| torn && self.extents.is_empty()) {
                // The preamble that is torn would have said whose it is.
                self.sealer = older.sealer(FileKind::MainJournal)?;
                while self.load_extent(storage, id)? {}
            }
            if self.was_durable(storage, id, physical)? {
                if !self.accept_damage {
                    return Err(self.damaged());
                }
                self.loss = Some(format!(
                    "extent {} is damaged, and what is in front of it was rolled back on demand",
                    self.extents.len()
                ));
            }
        }
        if self.extents.is_empty() {
            self.id = None;
        }
        self.believe_trailer(storage)
    }

    /// A super-journal record counts only while the clear trailer stands at the end of the file. Others go by that
    /// one: where it is torn, they have deleted the super-journal without regard to this database. It is durable
    /// before the transaction can commit, so that without it there is nothing but a rollback.
    fn believe_trailer(&mut self, storage: &mut dyn Storage) -> Result<()> {
        let end = self.size;
        if let Some(trailer) = self.find_trailer(storage, end)?
            && !self.stands(storage, &trailer)?
        {
            self.cut(end - trailer.len() as u64);
        }
        Ok(())
    }

    fn load_extent(&mut self, storage: &mut dyn Storage, id: [u8; 16]) -> Result<bool> {
        let mut head = [0u8; EXTENT_HEAD_LEN];
        if !storage.read(&mut head, self.end)? {
            return Ok(false);
        }
        let Some(head) = ExtentHead::parse(&head) else { return Ok(false) };
        let payload = head.len as usize;
        if head.journal_id != id || !(MIN_EXTENT_PAYLOAD..=MAX_EXTENT_PAYLOAD).contains(&payload) {
            return Ok(false);
        }
        memory::reserve(&mut self.extents, 1)?;
        self.extents.push(Extent { physical: self.end, payload, at: 0 });
        let index = self.extents.len() - 1;
        if !self.open_extent(storage, index)? {
            self.extents.pop();
            return Ok(false);
        }
        let (at, len) = (self.payload_head().0, (payload - MIN_EXTENT_PAYLOAD) as u64);
        // Without a key anybody can seal: an extent must lie where SQLite's offsets reach.
        if at.checked_add(len).is_none_or(|end| end > i64::MAX as u64) {
            self.extents.pop();
            self.opened = None;
            return Ok(false);
        }
        self.extents[index].at = at;
        self.apply(index, at, len);
        self.end += self.extent_len(payload);
        Ok(true)
    }

    /// The logical offset of the opened extent, and how many extents were durable when it was written.
    fn payload_head(&self) -> (u64, u64) {
        let word = |at: usize| u64::from_le_bytes(self.data[at..at + 8].try_into().unwrap_or_default());
        (word(0), word(8))
    }

    /// Was the extent that ends the readable part once durable? A torn write never was; but if an authentic
    /// extent behind it says that it was, somebody or something damaged it, and rolling back only the part in
    /// front of it would leave half a transaction.
    fn was_durable(&mut self, storage: &mut dyn Storage, id: [u8; 16], physical: u64) -> Result<bool> {
        let unreadable = self.extents.len() as u64;
        // Extents do not overlap. Heads that do were put there, to be tried for hours.
        let mut budget = physical + MAX_EXTENT_PAYLOAD as u64;
        let mut window = memory::zeroed(SEARCH)?;
        let mut at = self.end + 1;
        while at + (EXTENT_HEAD_LEN as u64) < physical {
            let len = (physical - at).min(SEARCH as u64) as usize;
            storage.read(&mut window[..len], at)?;
            for start in 0..len.saturating_sub(EXTENT_HEAD_LEN - 1) {
                let Some(head) = ExtentHead::parse(&window[start..start + EXTENT_HEAD_LEN]) else { continue };
                let payload = head.len as usize;
                if head.journal_id != id || !(MIN_EXTENT_PAYLOAD..=MAX_EXTENT_PAYLOAD).contains(&payload) {
                    continue;
                }
                let Some(left) = budget.checked_sub(payload as u64) else { return Ok(true) };
                budget = left;
                if self.durable_before(storage, at + start as u64, payload)? > unreadable {
                    return Ok(true);
                }
            }
            at += (len - EXTENT_HEAD_LEN + 1) as u64;
        }
        Ok(false)
    }

    /// How many extents were durable when the one at `physical` was written; 0 if it is not authentic.
    fn durable_before(&mut self, storage: &mut dyn Storage, physical: u64, payload: usize) -> Result<u64> {
        let readable = self.extents.len();
        let mut durable = 0;
        for number in readable + 1..=readable + NUMBERS_TRIED {
            self.extents.resize(number + 1, Extent { physical, payload, at: 0 });
            if self.open_extent(storage, number)? {
                durable = self.payload_head().1;
                break;
            }
        }
        self.extents.truncate(readable);
        self.opened = None;
        Ok(durable)
    }

    fn damaged(&self) -> Fault {
        self.fault(
            "the rollback journal of an unfinished transaction is damaged in a part that was complete once; rolling \
             back the rest would leave half a transaction. Restore the journal or the database, or open with \
             lumo_partial_journal=1 to roll back what is left of it",
        )
        .at_number(self.extents.len() as u64)
    }
}
