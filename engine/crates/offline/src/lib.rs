//! Whole files at once: encrypt, decrypt, verify, inspect, read in spite of damage. No SQLite connection is involved; the caller
//! holds whatever lock keeps the source still.

#![forbid(unsafe_code)]

pub mod convert;
pub mod environment;
pub mod header_backup;
pub mod image;
pub mod inspect;
pub mod logs;
pub mod pieces;
pub mod progress;
pub mod replay;
pub mod slots;
pub mod stream;
pub mod transcode;
pub mod undo;
pub mod verify;
pub mod view;
pub mod workers;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ground::error::{FileKind, Result};
use pieces::Pieces;
use sqlite::files::redo;
use sqlite::format::geometry::Geometry;
use sqlite::format::header::HEADER_LEN;
use sqlite::format::header::{self, Header};
use storage::Storage;
use vault::file_keys::{FileKeys, NO_CONTEXT, Sealer};
use vault::format::superblock::Superblock;
use vault::registry::OpenOptions;
use vault::{unlock, unlocked};

/// An unlocked database file.
pub struct Unlocked {
    /// Its keys.
    pub keys: Arc<FileKeys>,
    /// The superblock copy that counted.
    pub superblock: Superblock,
    /// The header region.
    pub header: Header,
    /// Where its blocks are.
    pub geometry: Geometry,
    /// What opens them.
    pub sealer: Sealer,
    /// The logical size in bytes.
    pub size: u64,
    /// The size on disk when it was opened.
    pub physical: u64,
    /// Where it is.
    path: PathBuf,
}

impl Unlocked {
    /// Reads the header of `file` and unlocks it.
    pub fn open(file: &mut dyn Storage, options: &OpenOptions, path: impl AsRef<Path>) -> Result<Unlocked> {
        let path = path.as_ref();
        let physical = file.size()?;
        let mut region = vec![0; physical.min(HEADER_LEN) as usize];
        file.read(&mut region, 0)?;
        if header::is_unfinished(&region, physical) {
            return Err(header::unfinished().at_path(path));
        }
        let header = header::parse(&region).map_err(|fault| fault.at_path(path))?;
        // Limits that the path was unlocked with hold for its whole-file operations, too.
        let mut limited = options.clone();
        let known = unlocked::find(Path::new(path), None);
        limited.settle_limits(None, known.as_ref().map(|known| &known.options))?;
        let (keys, superblock) = unlock::unlock_as(&header, limited.key.as_deref(), &limited, path)?;
        let sealer = keys.sealer(FileKind::MainDb)?;
        let geometry = Geometry::new(superblock.block_size, sealer.overhead());
        Ok(Unlocked {
            size: geometry.logical_size(physical),
            physical,
            keys,
            superblock,
            header,
            geometry,
            sealer,
            path: path.to_owned(),
        })
    }

    /// Was each intact copy of the superblock written by somebody who has the data key, or had the one before?
    pub fn is_every_copy_authentic(&self) -> bool {
        let keys = [Some(&self.keys), self.keys.older()];
        self.header
            .newest_first()
            .iter()
            .all(|(_, raw)| keys.iter().flatten().any(|keys| Superblock::verify_mac(raw, keys)))
    }

    /// What is to be said of a database whose blocks have no tags.
    pub fn unauthenticated(&self) -> Option<String> {
        let suite = self.superblock.suite;
        (!suite.has_tags()).then(|| {
            format!(
                "{} authenticates no block of the database: beside the header and the logs only its length, its first \
                 bytes and that no block was erased could be checked",
                suite.name()
            )
        })
    }

    /// Opens slot `index`, all of which is in `sealed`, into `plain`. While the data key is being changed it may be the
    /// copy of a slot that was torn meanwhile.
    pub fn open_slot(&self, index: u64, sealed: &[u8], plain: &mut [u8]) -> bool {
        if self.sealer.open(index, &NO_CONTEXT, sealed, plain).is_ok() {
            return true;
        }
        if self.keys.older().is_none() {
            return false;
        }
        let mut kept = vec![0; sealed.len()];
        redo::find(&self.path, &self.keys, &self.geometry, index, &mut kept) == Some(sealed.len())
            && self.sealer.open_new(index, &NO_CONTEXT, &kept, plain).is_ok()
    }

    /// The pieces to work on.
    pub fn pieces(&self) -> Pieces {
        Pieces::new(self.geometry, self.size)
    }
}
