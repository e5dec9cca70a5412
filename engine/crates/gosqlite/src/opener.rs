//! VFSs of the gosqlite format: each has its own key, and lives from a call that makes it to one that closes it.

use std::ffi::{c_char, c_int};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::log::{self, Beginning};
use crate::marks::settled;
use crate::units::{Index, Units};
use crate::{
    GosqliteFile, SMALL_BLOCK, SharedCipher, block_size_of, frames, header, is_block_size, page_size,
};
use crypto::{LengthPreserving, instantiate_length_preserving, nonce};
use ground::error::{Fault, FaultClass, FileKind, Result};
use ground::locks::{Guard, Lasting, Rank};
use ground::memory;
use ground::paths;
use ground::stats::{STATS, Stats};
use sqlite::facts;
use sqlite::library::abi::*;
use sqlite::vfs::base::BaseFile;
use sqlite::vfs::evidence;
use sqlite::vfs::guest::Guest;
use sqlite::vfs::host::{Host, Opener, Shim};
use sqlite::vfs::open_file::{Common, Companion};
use sqlite::vfs::own_file::OwnFile;
use sqlite::vfs::recorder::Recorder;
use sqlite::vfs::shim::database_of;
use storage::Storage;
use vault::format::superblock::BLOCK_SIZES;

/// What the names of these VFSs begin with; 16 random hex digits follow.
const NAME: &str = "lumocrypt-go-";
/// In place of the number of open files: the VFS is closed.
const CLOSED: usize = usize::MAX;
/// SQLite's `sqlite3_open` reads this much from the beginning, without a lock, to guess the page size.
const HEADER_PROBE: usize = facts::HEADER_LEN;

/// How a VFS of this format is made.
pub struct Options {
    /// The cipher.
    pub cipher: LengthPreserving,
    /// The size of a block in bytes: SQLite's page size.
    pub block_size: usize,
    /// What is told of reads and writes.
    pub recorder: Option<Recorder>,
}

/// What makes a VFS object one of this format. Like the object it lives for ever; the key does not.
pub struct Gosqlite {
    id: u64,
    options: Options,
    /// Open files, or [`CLOSED`].
    files: AtomicUsize,
}

/// A VFS that is not closed.
struct Registered {
    vfs: &'static Gosqlite,
    shim: &'static Shim,
    cipher: SharedCipher,
}

static REGISTERED: Lasting<Vec<Registered>> = Lasting::new(Rank::Gosqlite, Vec::new());

fn registered() -> Guard<'static, Vec<Registered>> {
    REGISTERED.lock()
}

/// Registers a VFS with `host` over the VFS called `base`, or over the default one; returns its number and its name.
pub fn register(
    host: &'static Host,
    base: Option<&str>,
    options: Options,
    key: &[u8],
) -> Result<(u64, String)> {
    if !is_block_size(options.block_size) {
        return Err(Fault::new(
            FaultClass::InvalidArgument,
            format!(
                "page_size={}: it must be a power of two from {} to {}, as a rule PRAGMA page_size",
                options.block_size,
                BLOCK_SIZES.start(),
                BLOCK_SIZES.end()
            ),
        ));
    }
    let cipher: SharedCipher = Arc::from(instantiate_length_preserving(options.cipher, key)?);
    let below = match base {
        Some(name) => host.find_base(name)?,
        None => host.base_of_default(),
    };
    let mut random = [0; 8];
    nonce::random(&mut random)?;
    let id = u64::from_ne_bytes(random);
    let name = format!("{NAME}{id:016x}");
    let vfs: &'static Gosqlite = Box::leak(Box::new(Gosqlite { id, options, files: AtomicUsize::new(0) }));
    let shim = host.register(below, &name, vfs)?;
    registered().push(Registered { vfs, shim, cipher });
    Ok((id, name))
}

/// Unregisters the VFS with that number and wipes its key. Refused while files are open through it; again, it does
/// nothing.
pub fn close(id: u64) -> Result<()> {
    let mut registered = registered();
    let Some(place) = registered.iter().position(|known| known.vfs.id == id) else { return Ok(()) };
    let Registered { vfs, shim, .. } = registered[place];
    if let Err(open) = vfs.files.compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Acquire) {
        return Err(Fault::new(
            FaultClass::InUse,
            format!(
                "{open} file(s) are still open through the VFS {}; close every connection that uses it first",
                shim.name()
            ),
        ));
    }
    registered.swap_remove(place);
    drop(registered);
    shim.unregister();
    Ok(())
}

/// An open file, counted as long as this lives.
struct Counted {
    vfs: &'static Gosqlite,
    is_main: bool,
}

impl Counted {
    fn new(vfs: &'static Gosqlite, kind: FileKind) -> Result<Counted> {
        let one_more = |open| (open != CLOSED).then(|| open + 1);
        if vfs.files.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_err() {
            return Err(closed());
        }
        let is_main = kind == FileKind::MainDb;
        match kind {
            FileKind::MainDb => {
                Stats::count(&STATS.opened);
                Stats::count(&STATS.open);
            }
            FileKind::MainJournal | FileKind::Wal => {}
            _ => Stats::count(&STATS.temporary),
        }
        Ok(Counted { vfs, is_main })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.vfs.files.fetch_sub(1, Ordering::AcqRel);
        if self.is_main {
            STATS.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn closed() -> Fault {
    Fault::new(FaultClass::InvalidArgument, "the VFS is closed; make another one with lumocrypt.crypto_vfs")
}

/// An open file of this format.
pub struct GosqliteContent {
    shim: &'static Shim,
    file: GosqliteFile,
    cipher: SharedCipher,
    role: Role,
    counted: Counted,
}

enum Role {
    Main(Judgement),
    /// A WAL and the main database it belongs to.
    Wal(Units, Companion),
    /// A rollback journal.
    Journal(Units),
    /// A temporary file.
    Other,
}

/// What is known of a main database.
#[derive(Default)]
struct Judgement {
    /// The key was seen to be right.
    is_right: bool,
    /// The page size in the file's header, where that was there when the file was first looked at.
    page_size: Option<usize>,
    /// A crash may have torn the header, which a log restores, with whatever page size that has.
    is_excused: bool,
    /// Why the file must not be used.
    refused: Option<Fault>,
}

/// The kind of a file that SQLite opens with `flags`; `None` for super-journals, which are clear.
fn kind_of(flags: c_int) -> Option<FileKind> {
    [
        (SQLITE_OPEN_MAIN_DB, FileKind::MainDb),
        (SQLITE_OPEN_MAIN_JOURNAL, FileKind::MainJournal),
        (SQLITE_OPEN_WAL, FileKind::Wal),
        // The original leaves transient databases in clear.
        (SQLITE_OPEN_TEMP_DB | SQLITE_OPEN_TRANSIENT_DB, FileKind::TempDb),
        (SQLITE_OPEN_TEMP_JOURNAL, FileKind::TempJournal),
        (SQLITE_OPEN_SUBJOURNAL, FileKind::SubJournal),
    ]
    .into_iter()
    .find_map(|(flag, kind)| (flags & flag != 0).then_some(kind))
}

impl Opener for Gosqlite {
    unsafe fn open(
        &'static self,
        shim: &'static Shim,
        name: *const c_char,
        path: &Path,
        base: &mut BaseFile,
        flags: c_int,
    ) -> Result<Option<Box<dyn Guest>>> {
        let (cipher, block_size) = (self.cipher()?, self.options.block_size);
        let open = |kind| -> Result<GosqliteContent> {
            let file = GosqliteFile::new(Arc::clone(&cipher), kind, block_size_of(kind, block_size))?;
            let role = match kind {
                FileKind::MainDb => Role::Main(Judgement::default()),
                FileKind::MainJournal => Role::Journal(Units::new(block_size)),
                _ => Role::Other,
            };
            Ok(GosqliteContent {
                shim,
                file,
                cipher: Arc::clone(&cipher),
                role,
                counted: Counted::new(self, kind)?,
            })
        };
        let Some(kind) = kind_of(flags) else {
            // SQLite reads the journals that a super-journal names as if they were super-journals, to find the name that
            // they end in. Taken for one without, the super-journal would go, and with it the other database's rollback.
            let mut journal = open(FileKind::MainJournal)?;
            return Ok(match log::recognise(&mut journal.file, base, block_size)?.beginning {
                Beginning::Log => Some(Box::new(journal)),
                _ => None,
            });
        };
        let mut content = open(kind)?;
        if matches!(kind, FileKind::MainJournal | FileKind::Wal) {
            // SAFETY: the name of a log that SQLite passed to xOpen.
            let mut main = unsafe { database_of(shim, name) }?;
            if let Some((database, main_base, main_path)) = main.guest() {
                database.judge(main_base, main_path)?;
            }
            if kind == FileKind::Wal {
                content.role = Role::Wal(Units::new(block_size), main);
            }
            // A journal that is being made holds nothing that counts.
            if kind == FileKind::Wal || flags & SQLITE_OPEN_CREATE == 0 {
                content.look_at_log(base, path)?;
            }
        }
        Ok(Some(Box::new(content)))
    }

    fn recorder(&self) -> Option<Recorder> {
        self.options.recorder
    }
}

impl Gosqlite {
    fn cipher(&self) -> Result<SharedCipher> {
        let registered = registered();
        let own = registered.iter().find(|known| known.vfs.id == self.id);
        own.map(|known| Arc::clone(&known.cipher)).ok_or_else(closed)
    }
}

impl GosqliteContent {
    /// The size of a block in bytes.
    fn block_size(&self) -> usize {
        self.file.block_size()
    }

    /// The blocks of a log, its file, and what the wal-index says of it.
    fn units(&mut self) -> Option<(&mut Units, &mut GosqliteFile, Option<Index>)> {
        match &mut self.role {
            Role::Wal(units, main) => {
                let index = main.common().and_then(|main| main.wal_index);
                let index = index
                    .map(|index| Index { generation: index.salts(), has_frames: index.last_frame() > 0 });
                Some((units, &mut self.file, index))
            }
            Role::Journal(units) => Some((units, &mut self.file, None)),
            Role::Main(_) | Role::Other => None,
        }
    }

    /// A log is opened. One in clear is not this database's; one that begins like none is kept in copy, because SQLite
    /// is about to take it for nothing.
    fn look_at_log(&mut self, base: &mut BaseFile, path: &Path) -> Result<()> {
        let kind = self.kind();
        let Some((units, file, index)) = self.units() else { return Ok(()) };
        let unknown = Fault::new(FaultClass::WrongKey, "");
        let beginning = settled(|| match units.look(file, base, index)? {
            Beginning::Unknown => Err(unknown.clone()),
            known => Ok(known),
        });
        let log_name = if kind == FileKind::Wal { "write-ahead log" } else { "rollback journal" };
        match beginning {
            Ok(Beginning::Plaintext) => Err(Fault::new(
                FaultClass::Tampered,
                format!(
                    "a plaintext {log_name} lies beside the encrypted database; it was left by another database or put \
                     there. Move it away to open the database"
                ),
            )
            .in_file(kind)
            .at_path(path)),
            Ok(_) => Ok(()),
            Err(fault) if fault == unknown => {
                let loss = format!(
                    "the {log_name} does not begin as one under this key: a crash tore its beginning, it is damaged, or it \
                     was written with another key, cipher or page size. SQLite will ignore it"
                );
                evidence::keep(&self.shim.host().api, path, Some(loss));
                Ok(())
            }
            Err(fault) => Err(fault),
        }
    }

    /// Finds out in which blocks a log is.
    fn find_blocks(&mut self, base: &mut BaseFile) -> Result<()> {
        match self.units() {
            Some((units, file, index)) => units.before_read(file, base, index),
            None => Ok(()),
        }
    }
}

impl Guest for GosqliteContent {
    /// The kind of file.
    fn kind(&self) -> FileKind {
        self.file.kind()
    }

    /// What SQLite is to take for a sector, in bytes: what it fills up before it syncs, so that nothing that comes later
    /// is written into the same block.
    ///
    /// In a WAL that is a block. Of a main file SQLite asks for the sake of its journal, which is in small blocks. Larger
    /// sectors would have it take the short journals of others for none (pager.c, readJournalHdr).
    fn sector_size(&self) -> usize {
        match self.role {
            Role::Wal(..) => self.file.block_size(),
            _ => SMALL_BLOCK,
        }
    }

    /// The name of the cipher.
    fn cipher_name(&self) -> &'static str {
        self.counted.vfs.options.cipher.name()
    }

    fn another_key(&self) -> Fault {
        Fault::new(
            FaultClass::InvalidArgument,
            "this VFS was made with its key; make another one with lumocrypt.crypto_vfs for another key",
        )
    }

    fn another_cipher(&self) -> Fault {
        Fault::new(
            FaultClass::InvalidArgument,
            "this VFS was made with its cipher; make another one with lumocrypt.crypto_vfs for another cipher",
        )
    }

    /// Refuses the file from now on.
    fn refuse(&mut self, fault: Fault) {
        if let Role::Main(judgement) = &mut self.role {
            judgement.refused = Some(fault);
        }
    }

    /// Makes sure, before anything depends on it, that the key opens the main database: SQLite takes logs that it
    /// cannot make sense of for finished ones, and deletes them.
    fn judge(&mut self, base: &mut BaseFile, path: &Path) -> Result<()> {
        let (block_size, cipher_name) = (self.file.block_size(), self.counted.vfs.options.cipher);
        let Role::Main(judgement) = &mut self.role else { return Ok(()) };
        if let Some(fault) = &judgement.refused {
            return Err(fault.clone());
        }
        let size = base.size()?;
        if judgement.is_right || size == 0 {
            return Ok(());
        }
        let mut head = memory::zeroed(size.min(header::sample_len(cipher_name) as u64) as usize)?;
        let judged = settled(|| {
            base.read(&mut head, 0)?;
            header::judge(&self.cipher, cipher_name, &head, block_size)
        });
        let fault = match judged {
            Ok(page_size) => {
                judgement.is_right = true;
                judgement.page_size = Some(page_size);
                return Ok(());
            }
            Err(fault) => fault,
        };
        // A crash may have torn the first page, which the log that says so restores.
        for (suffix, kind) in [("-journal", FileKind::MainJournal), ("-wal", FileKind::Wal)] {
            let Some(mut log) = OwnFile::open_through(self.shim.base, &paths::beside(path, suffix))? else {
                continue;
            };
            let mut file = GosqliteFile::new(Arc::clone(&self.cipher), kind, block_size)?;
            if log::recognise(&mut file, &mut log.base, block_size)?.beginning == Beginning::Log {
                judgement.is_excused = true;
                return Ok(());
            }
        }
        Err(fault.in_file(FileKind::MainDb).at_path(path))
    }

    /// `xRead`.
    fn read(&mut self, base: &mut BaseFile, path: &Path, buf: &mut [u8], offset: u64) -> Result<bool> {
        match self.role {
            // Nothing depends on that but a guess at the page size.
            Role::Main(_) if offset == 0 && buf.len() == HEADER_PROBE => {}
            Role::Main(_) => self.judge(base, path)?,
            Role::Wal(..) | Role::Journal(_) => self.find_blocks(base)?,
            Role::Other => {}
        }
        if let Role::Wal(_, main) = &self.role
            && let Some((last, page_size)) = main.common().and_then(last_frame_of_others)
        {
            return frames::read_beside_writers(&mut self.file, base, buf, offset, last, page_size);
        }
        self.file.read(base, buf, offset)
    }

    /// `xWrite`.
    fn write(&mut self, base: &mut BaseFile, path: &Path, data: &[u8], offset: u64) -> Result<()> {
        self.judge(base, path)?;
        if offset == 0
            && let Role::Main(judgement) = &self.role
            && let Some(page_size) = page_size(data)
            && page_size != self.file.block_size()
            && judgement.page_size != Some(page_size)
            && !judgement.is_excused
        {
            let given = self.file.block_size();
            return Err(Fault::new(
                FaultClass::UnsupportedFormat,
                format!(
                    "the database's pages would have {page_size} bytes, and the VFS was made with page_size={given}: \
                     run PRAGMA page_size = {given} before the first table is made, or make the VFS with \
                     page_size={page_size}"
                ),
            )
            .in_file(FileKind::MainDb));
        }
        if let Some((units, file, index)) = self.units() {
            units.before_write(file, base, index, data, offset)?;
        }
        self.file.write(base, data, offset)
    }

    /// `xTruncate`.
    fn truncate(&mut self, base: &mut BaseFile, size: u64) -> Result<()> {
        self.find_blocks(base)?;
        self.file.truncate(base, size)?;
        if let Some((units, ..)) = self.units() {
            units.cut(size);
        }
        Ok(())
    }

    /// `xFileSize`.
    fn size(&mut self, base: &mut BaseFile) -> Result<u64> {
        self.find_blocks(base)?;
        self.file.size(base)
    }

    /// `PRAGMA lumo_status`: one JSON object.
    fn status(&self) -> String {
        let state = match &self.role {
            Role::Main(Judgement { refused: Some(_), .. }) => "refused",
            Role::Main(Judgement { is_right: true, .. }) => "unlocked",
            _ => "new",
        };
        serde_json::json!({
            "state": state,
            "encrypted": true,
            "cipher": self.cipher_name(),
            "block_size": self.block_size(),
            "format": "gosqlite",
            "engine_version": env!("CARGO_PKG_VERSION"),
        })
        .to_string()
    }
}

/// The last committed frame of a database's WAL and the size of its pages, if others may be adding to it.
fn last_frame_of_others(main: &Common) -> Option<(u32, usize)> {
    let index = main.wal_index.filter(|_| !main.excludes_writers)?;
    Some((index.last_frame(), index.page_size()?))
}
