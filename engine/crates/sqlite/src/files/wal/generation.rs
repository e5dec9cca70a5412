//! Generations of a log: which one counts, how the next begins, and how the last ends.

use std::sync::Arc;

use super::{Log, MainLink, SQLITE_HEADER, SYNC_NORMAL, WalFile};
use crate::files::main_db::CurrentLog;
use crate::format::wal_header::{LogPreamble, WAL_HEADER_B_OFFSET, WalHeader, WalPreamble};
use crypto::nonce;
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::sabotage::{self, Sabotage};
use storage::{Storage, rewrite};
use vault::file_keys::{FileKeys, Sealer};

/// A header copy lies within one sector. It is read with room for every suite's overhead.
const SECTOR: usize = 512;

impl WalFile {
    /// Finds the generation that counts, unless it is known.
    pub(super) fn load(&mut self, storage: &mut dyn Storage, main: &mut dyn MainLink) -> Result<()> {
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
            main.set_log(None)?;
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
        let latest = cell.latest();
        let counts = (cell.active && generation == cell.current) || header.previous == latest;
        if counts {
            main.set_log(Some(CurrentLog { generation, main_slots: header.main_slots }))?;
            self.sealer = self.sealer_of(&header.preamble)?;
            let copied = main.copied_frames(&generation)?;
            return Ok(Some(Log {
                generation,
                sequence: header.preamble.sequence,
                sqlite: header.sqlite,
                page_size: header.page_size() as usize,
                cell_lags: !(cell.active && generation == cell.current),
                copied,
                read: 0,
                searched: false,
            }));
        }
        main.set_log(None)?;
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
            let mut bytes = [0u8; SECTOR];
            storage.read(&mut bytes, offset)?;
            match WalHeader::parse_preamble(&bytes) {
                LogPreamble::Valid(preamble) => {
                    let sealer = self.sealer_of(&preamble)?;
                    if let Ok(header) = WalHeader::open(preamble, &bytes, &sealer) {
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

    /// What opens and seals the generation with this preamble.
    fn sealer_of(&self, preamble: &WalPreamble) -> Result<Sealer> {
        if self.sealer.is_for(&preamble.uuid, &preamble.key_id) {
            return Ok(self.sealer.clone());
        }
        self.keys.log_sealer(FileKind::Wal, &preamble.uuid, &preamble.key_id)?.ok_or_else(|| {
            self.fault(
                "the write-ahead log beside the database belongs to another database or another key; move it away, \
                 or put the database that it belongs to back",
            )
        })
    }

    /// The data key is being changed, or was.
    pub fn set_keys(&mut self, keys: &Arc<FileKeys>) {
        // The generation that is loaded goes on under the key that it began with.
        self.keys = Arc::clone(keys);
    }

    /// Is every header in the log under the current data key?
    ///
    /// Errors: those of the storage, and of headers that belong to neither key.
    pub fn is_changed_over(&mut self, storage: &mut dyn Storage) -> Result<bool> {
        for offset in [0, WAL_HEADER_B_OFFSET] {
            let mut bytes = [0u8; SECTOR];
            storage.read(&mut bytes, offset)?;
            if let LogPreamble::Valid(preamble) = WalHeader::parse_preamble(&bytes)
                && preamble.key_id != self.keys.key_id
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// SQLite writes a new header, in the copy that does not hold the current one. Generations and SQLite's
    /// salts belong together: another connection tells from the salts in the wal-index whether the generation
    /// that it knows is current.
    pub(super) fn begin_generation(
        &mut self,
        storage: &mut dyn Storage,
        main: &mut dyn MainLink,
        sqlite: &[u8],
    ) -> Result<()> {
        self.transaction_boundary(storage);
        let sqlite: [u8; SQLITE_HEADER] =
            sqlite.try_into().map_err(|_| self.fault("a header of the wrong length"))?;
        let on_disk = if storage.size()? == 0 { None } else { self.newest_header(storage)? };
        let cell = main.cell()?;
        let mut latest = cell.latest();
        let mut generation = [0u8; 16];
        let mut main_slots = main.slots()?;
        let mut sealer = self.keys.sealer(FileKind::Wal)?;
        let mut key_id = self.keys.key_id;
        if let Some(header) = &on_disk {
            if header.sqlite == sqlite {
                // The first transaction of a generation was rolled back: the next one writes the same header. It may be
                // there to read and not be on the disk, if that transaction ended in a sync that failed.
                self.write_header_again(storage, header)?;
                self.log = None;
                return self.load(storage, main);
            }
            if salts_of(&header.sqlite) == salts_of(&sqlite) {
                generation = header.preamble.generation;
                latest = header.previous;
                main_slots = header.main_slots;
                (sealer, key_id) = (self.sealer_of(&header.preamble)?, header.preamble.key_id);
            } else if cell.active && header.previous == cell.current {
                // A crash lost the cell's last change, or a sync of the log has failed since. The new header must follow a
                // named generation, and a generation that is named must be on the disk.
                self.write_header_again(storage, header)?;
                storage.sync(SYNC_NORMAL)?;
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
        self.sealer = sealer;
        let header = WalHeader {
            preamble: WalPreamble { sequence, uuid: self.keys.uuid, key_id, generation },
            sqlite,
            main_slots,
            previous: latest,
        };
        if sabotage::is(Sabotage::WalCell) {
            main.set_cell(true, generation, latest, None)?;
        }
        storage.write(&header.encode(&self.sealer)?, header_offset(sequence))?;
        main.set_log(Some(CurrentLog { generation, main_slots }))?;
        let copied = main.copied_frames(&generation)?;
        self.log = Some(Log {
            generation,
            sequence,
            sqlite,
            page_size: header.page_size() as usize,
            cell_lags: !(cell.active && cell.current == generation),
            copied,
            read: 0,
            searched: false,
        });
        Ok(())
    }

    /// A header that can be read need not be on the disk.
    fn write_header_again(&self, storage: &mut dyn Storage, header: &WalHeader) -> Result<()> {
        if sabotage::is(Sabotage::WalOnce) {
            return Ok(());
        }
        // Not all of its sector, in which it is alone: a power cut leaves it as it was or as it is, and so the same.
        let len = WalHeader::stored_len(self.sealer.overhead());
        rewrite(storage, header_offset(header.preamble.sequence), len as u64)
    }

    /// The log is about to be deleted or emptied, everything in it being in the synced main file: clears the
    /// cell first, durably, or a crash would leave a database that misses its log. The cell remembers the last
    /// generation there was, or that one could be put back and would count again.
    pub fn retire(&mut self, storage: &mut dyn Storage, main: &mut dyn MainLink) -> Result<()> {
        let cell = main.cell()?;
        let latest = cell.latest();
        // A log that cannot be read or is another's says nothing about ours.
        let unnamed = self.newest_header(storage).ok().flatten().filter(|header| header.previous == latest);
        // Also where the cell says so already: it may be there to read and not be on the disk.
        if cell.active || unnamed.is_some() || storage.size()? > 0 {
            let last = unnamed.map_or(latest, |header| header.preamble.generation);
            let sync = (!sabotage::is(Sabotage::WalRetire)).then_some(SYNC_NORMAL);
            main.set_cell(false, [0; 16], last, sync)?;
        }
        self.transaction_boundary(storage);
        self.log = None;
        main.set_log(None)
    }
}

/// Where the header with this sequence number is. Odd numbers in copy A, even in B: the copy follows from the number, and never
/// hits the current one.
fn header_offset(sequence: u64) -> u64 {
    if sequence % 2 == 1 { 0 } else { WAL_HEADER_B_OFFSET }
}

/// The salts in SQLite's WAL header (wal.c, bytes 16 to 23).
pub(super) fn salts_of(header: &[u8; SQLITE_HEADER]) -> [u8; 8] {
    header[16..24].try_into().unwrap_or_default()
}

/// Was `new` made by restarting the log of `old`, which SQLite does when a checkpoint has copied and synced
/// all of it? It then counts the first salt up (wal.c, walRestartHdr); otherwise it draws both anew.
fn follows(old: &[u8; SQLITE_HEADER], new: &[u8; SQLITE_HEADER]) -> bool {
    let first =
        |header: &[u8; SQLITE_HEADER]| u32::from_be_bytes(header[16..20].try_into().unwrap_or_default());
    first(old).wrapping_add(1) == first(new)
}
