//! What is in front of LMDB's pages, and the meta pages.

use std::path::Path;
use std::sync::Arc;

use crypto::Secret;
use ground::error::{Fault, FaultClass, Result};
use lmdb::cipher::{META_LEN, PageOpener};
use lmdb::{Identity, Protection};
use storage::Storage;
use vault::file_keys::FileKeys;
use vault::format::superblock::{Contents, Superblock};
use vault::header::{self, HEADER_LEN, Header};
use vault::options::OpenOptions;
use vault::{unlock, unlocked};

use super::node::{Tree, bytes_at, u16_at, u32_at, u64_at};

/// The first bytes of a meta page behind the page's header, and LMDB's version of the format.
const MAGIC: u32 = 0xBEEF_C0DE;
const DATA_VERSION: u32 = 3;
const P_META: u16 = 8;
const MAC_LEN: usize = 32;

/// Whether the file begins with the header of an environment. No key is needed, and nothing is authenticated.
pub fn is_environment(file: &mut dyn Storage) -> Result<bool> {
    let size = file.size()?;
    let mut region = vec![0; size.min(HEADER_LEN) as usize];
    file.read(&mut region, 0)?;
    Ok(header::parse_of(Contents::Lmdb, region).is_ok())
}

/// An environment whose header a key has opened.
pub(super) struct Unlocked {
    pub keys: Arc<FileKeys>,
    pub superblock: Superblock,
    pub header: Header,
    pub opener: PageOpener,
    /// How long the file was.
    pub size: u64,
}

impl Unlocked {
    /// Errors: those of a wrong key and a damaged header; `UnsupportedFormat` while the data key is being changed.
    pub fn open(file: &mut dyn Storage, options: &OpenOptions, path: &Path) -> Result<Unlocked> {
        let size = file.size()?;
        let mut region = vec![0; size.min(HEADER_LEN) as usize];
        file.read(&mut region, 0)?;
        Self::of(region, size, options, path)
    }

    /// As [`Unlocked::open`], with this header region in front of a file of `size` bytes.
    pub fn of(region: Vec<u8>, size: u64, options: &OpenOptions, path: &Path) -> Result<Unlocked> {
        let header = header::parse_of(Contents::Lmdb, region)?;
        // Limits that the path was unlocked with hold here, too.
        let mut limited = options.clone();
        let known = unlocked::find(path, None);
        limited.settle_limits(None, known.as_ref().map(|known| &known.options))?;
        let (keys, superblock) = unlock::unlock_as(&header, limited.key.as_deref(), &limited, path)?;
        lmdb::keyed::refuse_half_changed(&keys)?;
        let protection = match keys.data_key() {
            Some(key) => Protection::Sealed { suite: superblock.suite, key: Secret::duplicate(key) },
            None => Protection::Checksum,
        };
        let identity = Identity { uuid: superblock.uuid, key_id: superblock.key_id };
        let opener = PageOpener::new(&protection, &identity)?;
        Ok(Unlocked { keys, superblock, header, opener, size })
    }

    /// Both meta pages; why, where one does not count.
    pub fn metas(&self, file: &mut dyn Storage) -> Result<[std::result::Result<Meta, &'static str>; 2]> {
        Ok([self.meta(file, 0)?, self.meta(file, 1)?])
    }

    fn meta(&self, file: &mut dyn Storage, number: u64) -> Result<std::result::Result<Meta, &'static str>> {
        let mut stored = [0; META_LEN + MAC_LEN];
        if !file.read(&mut stored, HEADER_LEN + number * u64::from(self.superblock.block_size))? {
            return Ok(Err("the file ends before it"));
        }
        if !self.opener.is_meta(&stored) {
            return Ok(Err("it does not authenticate"));
        }
        Ok(Meta::parse(&stored, number, self.superblock.block_size).ok_or("it is no meta page of this place"))
    }

    /// The fault of an environment neither of whose meta pages counts.
    pub fn no_meta(&self) -> Fault {
        Fault::new(
            FaultClass::HeaderDamaged,
            "neither meta page authenticates, so nothing says where the data is; restore the environment from a backup",
        )
    }
}

/// What a commit left: where the trees of its state are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Meta {
    /// The transaction.
    pub txn: u64,
    /// The last page that it knows of.
    pub last_page: u64,
    pub free: Tree,
    pub main: Tree,
}

impl Meta {
    fn parse(page: &[u8], number: u64, page_size: u32) -> Option<Meta> {
        let right = u64_at(page, 0)? == number
            && u16_at(page, 18)? & P_META != 0
            && u32_at(page, 24)? == MAGIC
            && u32_at(page, 28)? == DATA_VERSION
            && u32_at(page, 48)? == page_size;
        right.then_some(())?;
        Some(Meta {
            free: Tree::parse(bytes_at(page, 48, Tree::LEN)?)?,
            main: Tree::parse(bytes_at(page, 96, Tree::LEN)?)?,
            last_page: u64_at(page, 144)?,
            txn: u64_at(page, 152)?,
        })
    }
}
