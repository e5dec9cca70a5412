//! Write-ahead logs.

use std::ffi::c_int;

use super::{Common, Companion, OpenFile, SqliteFile};
use crate::files::wal::WalFile;
use crate::vfs::wal_index::WalIndex;
use ground::error::{Fault, FaultClass, FileKind, Result};

/// A WAL.
pub struct Wal {
    file: WalFile,
    main: Companion,
}

impl Wal {
    /// The WAL of the database `main`.
    pub fn new(file: WalFile, main: Companion) -> Self {
        Wal { file, main }
    }
}

impl SqliteFile for Wal {
    fn kind(&self) -> Option<FileKind> {
        Some(FileKind::Wal)
    }

    fn read(&mut self, common: &mut Common, buf: &mut [u8], offset: u64) -> Result<bool> {
        let complete = self.file.read(&mut common.base, &mut self.main.link()?, buf, offset)?;
        common.keep_evidence(self.file.take_loss());
        Ok(complete)
    }

    fn write(&mut self, common: &mut Common, data: &[u8], offset: u64) -> Result<()> {
        check_log_is_sqlites(data, offset)?;
        self.file.write(&mut common.base, &mut self.main.link()?, data, offset)
    }

    fn truncate(&mut self, common: &mut Common, size: u64) -> Result<()> {
        self.file.truncate(&mut common.base, &mut self.main.link()?, size)
    }

    /// If that is for a checkpoint, it is going to copy no frame that is committed later.
    fn sync(&mut self, common: &mut Common, flags: c_int) -> Result<()> {
        let committed = self
            .main
            .common()
            .and_then(|main| main.wal_index)
            .and_then(WalIndex::salts_and_last_frame)
            .filter(|(salts, _)| self.file.salts() == Some(*salts))
            .map(|(_, last)| last);
        self.file.sync(&mut common.base, flags)?;
        if let Some((main, _)) = self.main.main() {
            main.durable_frames = committed;
        }
        Ok(())
    }

    fn size(&mut self, common: &mut Common) -> Result<u64> {
        let size = self.file.size(&mut common.base, &mut self.main.link()?)?;
        common.keep_evidence(self.file.take_loss());
        Ok(size)
    }

    unsafe fn introduce(&mut self, own: *mut OpenFile) -> usize {
        if let Some((main, common)) = self.main.main() {
            // SAFETY: as the caller promises; `close` takes it back.
            main.wal_opens(common, unsafe { Companion::new(own) });
        }
        self.main.connection()
    }

    fn close(&mut self, _: &mut Common) {
        if let Some((main, _)) = self.main.main() {
            main.wal_closes();
        }
    }

    fn follow(&mut self, _: &mut Common, always: bool) -> Result<bool> {
        self.main.follow(always, |keys| self.file.set_keys(keys))
    }

    fn wal(&mut self) -> Option<&mut WalFile> {
        Some(&mut self.file)
    }
}

/// What a WAL begins with (fileformat2, section 4.1); the last bit is the byte order of its checksums.
const WAL_MAGIC: u32 = 0x377f_0682;

/// A log is kept frame by frame, and a commit is known by what is in a frame. A VFS above ours that changes what it hands
/// on would make every commit look like none, so it is found out by the log's first bytes.
fn check_log_is_sqlites(data: &[u8], offset: u64) -> Result<()> {
    match data.first_chunk() {
        Some(magic) if offset == 0 && u32::from_be_bytes(*magic) & !1 != WAL_MAGIC => Err(Fault::new(
            FaultClass::InUse,
            "what is written to the write-ahead log is not SQLite's: a VFS that is stacked above lumocrypt's and changes \
             content can be used without a write-ahead log only (PRAGMA journal_mode=DELETE)",
        )),
        _ => Ok(()),
    }
}
