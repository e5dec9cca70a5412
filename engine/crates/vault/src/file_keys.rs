//! The keys of one database, derived from its data key, and the sealers made of them.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::cache::{self, KeyName};
use crate::format::mac::Mac;
use crypto::kdf::{hkdf_sha256, hmac_sha256, sha256};
use crypto::nonce;
use crypto::secret::Secret;
use crypto::suite::{AAD_LEN, Suite, SuiteId, Unauthentic};
use crypto::suites::{instantiate, instantiate_random};
use ground::error::{Fault, FaultClass, FileKind, Result};

// The `info` strings of `docs/reference/format.md`, section 1: one context each, so that no key serves two purposes.
const BLOCK_KEY: &[u8] = b"lumocrypt v1 block key";
const SUPERBLOCK_MAC: &[u8] = b"lumocrypt v1 superblock mac";
const CELL_MAC: &[u8] = b"lumocrypt v1 wal cell mac";
const LINK_KEY: &[u8] = b"lumocrypt v1 rekey link";
const KEPT_MAC: &[u8] = b"lumocrypt v1 rekey blocks mac";

/// Blocks of the main file and of temporary files have no context in their AAD.
pub const NO_CONTEXT: [u8; 16] = [0; 16];

/// What an unlocked database's keys are: the data key and the identity that its subkeys are bound to.
pub struct FileKeys {
    /// The database's UUID.
    pub uuid: [u8; 16],
    /// The name of its data key; zero if it has none.
    pub key_id: [u8; 16],
    /// Its suite.
    pub suite: SuiteId,
    data_key: Option<Secret<32>>,
    /// The keys that these are taking the place of. What they sealed is still opened; nothing new is sealed with them.
    older: Option<Arc<FileKeys>>,
    /// The cipher of rollback journals, once made: one is opened for every transaction.
    journal: OnceLock<Arc<dyn Suite>>,
    /// The key of the WAL cells' MACs, once derived.
    cell_mac: OnceLock<Option<Secret<32>>>,
}

impl FileKeys {
    /// The keys of the database `uuid`. A keyed suite needs a data key; an unkeyed one has none.
    pub fn new(
        uuid: [u8; 16],
        key_id: [u8; 16],
        suite: SuiteId,
        data_key: Option<Secret<32>>,
    ) -> Result<Self> {
        if suite.is_keyed() != data_key.is_some() {
            return Err(Fault::new(
                FaultClass::Internal,
                "a data key was given for a suite without one, or is missing for a suite that needs it",
            ));
        }
        Ok(FileKeys {
            uuid,
            key_id,
            suite,
            data_key,
            older: None,
            journal: OnceLock::new(),
            cell_mac: OnceLock::new(),
        })
    }

    /// The same, while they take the place of `older` ones.
    #[must_use]
    pub fn with_older(self, older: Arc<FileKeys>) -> Self {
        FileKeys { older: Some(older), ..self }
    }

    /// The keys that these are taking the place of, while they do.
    pub fn older(&self) -> Option<&Arc<FileKeys>> {
        self.older.as_ref()
    }

    /// What opens and seals a log whose preamble has these names. A log is under one key from beginning to end, and while
    /// the data key is being changed that may be the older one. `None`: the log is another database's.
    pub fn log_sealer(&self, kind: FileKind, uuid: &[u8; 16], key_id: &[u8; 16]) -> Result<Option<Sealer>> {
        if self.uuid == *uuid && self.key_id == *key_id {
            return self.sealer(kind).map(Some);
        }
        self.older().map_or(Ok(None), |older| older.log_sealer(kind, uuid, key_id))
    }

    /// What data keys are wrapped with for a while when one takes the other's place.
    pub fn link_key(&self) -> Option<Secret<32>> {
        self.subkey(&[LINK_KEY, &self.key_id])
    }

    /// What seals and opens the blocks of this database's files of `kind`.
    pub fn sealer(&self, kind: FileKind) -> Result<Sealer> {
        let suite = match self.journal.get() {
            Some(suite) if kind == FileKind::MainJournal => Arc::clone(suite),
            _ => self.cipher(kind)?,
        };
        if kind == FileKind::MainJournal {
            let _ = self.journal.set(Arc::clone(&suite));
        }
        // A log is under one key, which it names. The blocks of the main file are changed over one by one.
        let older = match self.older() {
            Some(older) if kind == FileKind::MainDb => Some(Arc::new(older.sealer(kind)?)),
            _ => None,
        };
        Ok(Sealer { suite, uuid: self.uuid, key_id: self.key_id, kind, older })
    }

    fn cipher(&self, kind: FileKind) -> Result<Arc<dyn Suite>> {
        let suite = if kind == FileKind::MainDb { self.suite } else { self.suite.for_logs() };
        let suite_id = (suite as u32).to_le_bytes();
        let kind_id = (kind as u32).to_le_bytes();
        let info: &[&[u8]] = &[BLOCK_KEY, &self.key_id, &suite_id, &kind_id];
        // An unkeyed suite ignores its key; the all-zero one says so.
        match suite.key_len() {
            64 => instantiate(suite, &self.subkey::<64>(info).unwrap_or_else(Secret::zeroed)),
            _ => instantiate(suite, &self.subkey::<32>(info).unwrap_or_else(Secret::zeroed)),
        }
    }

    /// The MAC of the header of what a change of the data key is writing.
    pub fn kept_mac(&self, bytes: &[u8]) -> [u8; 32] {
        mac(self.subkey(&[KEPT_MAC, &self.key_id]).as_ref(), bytes)
    }

    /// What these keys are known by in this process, where they are not kept. `None`: there is no key, or no randomness for
    /// the secret that names are made with.
    pub fn name(&self) -> Option<KeyName> {
        let cache = cache::global().ok()?;
        self.data_key.as_ref().map(|data_key| cache.name(&self.uuid, &self.key_id, data_key))
    }

    /// The data key, unless the suite has none.
    pub fn data_key(&self) -> Option<&Secret<32>> {
        self.data_key.as_ref()
    }

    fn subkey<const N: usize>(&self, info: &[&[u8]]) -> Option<Secret<N>> {
        let data_key = self.data_key.as_ref()?;
        let mut key = Secret::zeroed();
        hkdf_sha256(data_key.expose(), &self.uuid, info, key.expose_mut());
        Some(key)
    }
}

impl Mac for FileKeys {
    fn superblock_mac(&self, bytes: &[u8]) -> [u8; 32] {
        mac(self.subkey(&[SUPERBLOCK_MAC, &self.key_id]).as_ref(), bytes)
    }

    /// Its key is derived once: cells are read in pairs, whenever a log begins or ends.
    fn cell_mac(&self, bytes: &[u8]) -> [u8; 32] {
        if let Some(key) = self.cell_mac.get() {
            return mac(key.as_ref(), bytes);
        }
        // Derived before it is put there: a place that is being filled could not be held for `fork`.
        let key = self.subkey(&[CELL_MAC, &self.key_id]);
        let found = mac(key.as_ref(), bytes);
        let _ = self.cell_mac.set(key);
        found
    }

    fn older(&self) -> Option<&dyn Mac> {
        self.older.as_deref().map(|older| older as &dyn Mac)
    }
}

/// The suite without a key has digests in the place of MACs.
fn mac(key: Option<&Secret<32>>, bytes: &[u8]) -> [u8; 32] {
    match key {
        Some(key) => hmac_sha256(key.expose(), bytes),
        None => sha256(bytes),
    }
}

impl fmt::Debug for FileKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileKeys").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// Seals and opens the blocks of one kind of file. Cheap to clone.
#[derive(Clone)]
pub struct Sealer {
    suite: Arc<dyn Suite>,
    uuid: [u8; 16],
    key_id: [u8; 16],
    kind: FileKind,
    /// What else opens blocks, while the data key is being changed.
    older: Option<Arc<Sealer>>,
}

impl Sealer {
    /// A sealer for one temporary file: its key and UUID are drawn here and never stored, so that blocks can
    /// be swapped neither between temporary files nor with any other.
    pub fn temporary(suite: SuiteId, kind: FileKind) -> Result<Self> {
        // Without a key there is nothing to keep temporary content secret with, and without a tag nothing to
        // tell damage by; the default suite has both and costs a temporary file nothing that lasts.
        let authenticated = suite.is_keyed() && suite.has_tags();
        let suite = if authenticated { suite } else { SuiteId::DEFAULT };
        let mut uuid = [0; 16];
        nonce::random(&mut uuid)?;
        Ok(Sealer { suite: instantiate_random(suite)?, uuid, key_id: [0; 16], kind, older: None })
    }

    /// Bytes that a sealed block is longer than its plaintext.
    pub fn overhead(&self) -> usize {
        self.suite.overhead()
    }

    /// What opens blocks that were sealed before the data key was changed, while it is.
    pub fn older(&self) -> Option<&Sealer> {
        self.older.as_deref()
    }

    /// Whether this seals for the database `uuid` under the data key `key_id`.
    pub fn is_for(&self, uuid: &[u8; 16], key_id: &[u8; 16]) -> bool {
        self.uuid == *uuid && self.key_id == *key_id
    }

    /// Seals `plain` as block `index` into `out`, which is longer by [`Sealer::overhead`]. `context` is the
    /// WAL generation, the journal id, or zero.
    pub fn seal(&self, index: u64, context: &[u8; 16], plain: &[u8], out: &mut [u8]) -> Result<()> {
        self.suite.seal(&self.aad(index, context), plain, out)
    }

    /// Opens what [`Sealer::seal`] made, at the same place.
    pub fn open(
        &self,
        index: u64,
        context: &[u8; 16],
        sealed: &[u8],
        out: &mut [u8],
    ) -> std::result::Result<(), Unauthentic> {
        let opened = self.open_new(index, context, sealed, out);
        match &self.older {
            Some(older) if opened.is_err() => older.open(index, context, sealed, out),
            _ => opened,
        }
    }

    /// As [`Sealer::open`], of what was sealed with these keys and not with those before them.
    pub fn open_new(
        &self,
        index: u64,
        context: &[u8; 16],
        sealed: &[u8],
        out: &mut [u8],
    ) -> std::result::Result<(), Unauthentic> {
        self.suite.open(&self.aad(index, context), sealed, out)?;
        if index == 0 && self.overhead() == 0 && !may_begin(self.kind, out) {
            out.fill(0);
            return Err(Unauthentic);
        }
        Ok(())
    }

    /// As [`Sealer::seal`], of a plaintext in two parts. `scratch` is as long as both.
    pub fn seal_parts(
        &self,
        index: u64,
        context: &[u8; 16],
        parts: [&[u8]; 2],
        out: &mut [u8],
        scratch: &mut [u8],
    ) -> Result<()> {
        self.suite.seal_parts(&self.aad(index, context), parts, out, scratch)
    }

    /// As [`Sealer::open`], into two parts. `scratch` is as long as both.
    pub fn open_parts(
        &self,
        index: u64,
        context: &[u8; 16],
        sealed: &[u8],
        parts: [&mut [u8]; 2],
        scratch: &mut [u8],
    ) -> std::result::Result<(), Unauthentic> {
        self.suite.open_parts(&self.aad(index, context), sealed, parts, scratch)
    }

    fn aad(&self, index: u64, context: &[u8; 16]) -> [u8; AAD_LEN] {
        let mut aad = [0; AAD_LEN];
        aad[..16].copy_from_slice(&self.uuid);
        aad[16..32].copy_from_slice(&self.key_id);
        aad[32..36].copy_from_slice(&(self.kind as u32).to_le_bytes());
        aad[40..48].copy_from_slice(&index.to_le_bytes());
        aad[48..].copy_from_slice(context);
        aad
    }
}

/// The first block is the one whose content is known: what files of the kind begin with, or zeros where what lies behind
/// it was written first. Without a tag this is what tells it from noise.
fn may_begin(kind: FileKind, block: &[u8]) -> bool {
    kind.beginning().is_none_or(|beginning| {
        block.starts_with(beginning) || block.iter().take(beginning.len()).all(|byte| *byte == 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(uuid: u8, key_id: u8, suite: SuiteId, data_key: u8) -> FileKeys {
        let data_key = suite.is_keyed().then(|| Secret::from_slice(&[data_key; 32]).unwrap());
        FileKeys::new([uuid; 16], [key_id; 16], suite, data_key).unwrap()
    }

    #[test]
    fn the_aad_is_laid_out_as_the_format_says() {
        let sealer = keys(1, 2, SuiteId::DEFAULT, 3).sealer(FileKind::Wal).unwrap();
        let mut expected = [0; 64];
        expected[..16].fill(1);
        expected[16..32].fill(2);
        expected[32] = 3;
        expected[40..48].copy_from_slice(&0x0102_0304_0506_0708u64.to_le_bytes());
        expected[48..].fill(9);
        assert_eq!(sealer.aad(0x0102_0304_0506_0708, &[9; 16]), expected);
    }

    #[test]
    fn a_block_opens_only_at_its_own_place() {
        for suite in SuiteId::ALL.into_iter().filter(|suite| suite.has_tags()) {
            let sealer = keys(1, 2, suite, 3).sealer(FileKind::MainDb).unwrap();
            let plain = [7; 100];
            let mut sealed = vec![0; 100 + sealer.overhead()];
            sealer.seal(5, &[4; 16], &plain, &mut sealed).unwrap();
            let mut out = [0; 100];
            sealer.open(5, &[4; 16], &sealed, &mut out).unwrap();
            assert_eq!(out, plain);
            assert!(sealer.open(6, &[4; 16], &sealed, &mut out).is_err());
            assert!(sealer.open(5, &[5; 16], &sealed, &mut out).is_err());
            for other in [keys(9, 2, suite, 3), keys(1, 9, suite, 3)] {
                let other = other.sealer(FileKind::MainDb).unwrap();
                assert!(other.open(5, &[4; 16], &sealed, &mut out).is_err());
            }
            let wal = keys(1, 2, suite, 3).sealer(FileKind::Wal).unwrap();
            assert!(wal.open(5, &[4; 16], &sealed, &mut out).is_err());
        }
    }

    #[test]
    fn subkeys_differ_by_everything_they_are_bound_to() {
        let base = keys(1, 2, SuiteId::Aegis256, 3);
        let mac = base.superblock_mac(b"x");
        assert_ne!(mac, base.cell_mac(b"x"));
        assert_ne!(mac, keys(9, 2, SuiteId::Aegis256, 3).superblock_mac(b"x"));
        assert_ne!(mac, keys(1, 9, SuiteId::Aegis256, 3).superblock_mac(b"x"));
        assert_ne!(mac, keys(1, 2, SuiteId::Aegis256, 9).superblock_mac(b"x"));
        assert_eq!(keys(1, 0, SuiteId::Checksum, 0).superblock_mac(b"x"), sha256(b"x"));
    }

    #[test]
    fn a_keyed_suite_needs_a_data_key_and_the_other_way_round() {
        assert!(FileKeys::new([0; 16], [0; 16], SuiteId::DEFAULT, None).is_err());
        assert!(FileKeys::new([0; 16], [0; 16], SuiteId::Checksum, Some(Secret::zeroed())).is_err());
    }

    #[test]
    fn only_the_main_file_goes_without_tags_hazard_14() {
        for suite in [SuiteId::Adiantum, SuiteId::Aes256Xts] {
            let (one, other) = (keys(1, 2, suite, 3), keys(9, 2, suite, 3));
            assert_eq!(one.sealer(FileKind::MainDb).unwrap().overhead(), 0);
            for kind in [FileKind::MainJournal, FileKind::Wal] {
                let sealer = one.sealer(kind).unwrap();
                let mut sealed = vec![0; 100 + sealer.overhead()];
                sealer.seal(5, &[4; 16], &[7; 100], &mut sealed).unwrap();
                sealed[50] ^= 1;
                assert!(sealer.open(5, &[4; 16], &sealed, &mut [0; 100]).is_err());
            }
            // UUID, and by the key id the data key, are in no tweak: the key is bound to them.
            let sealed = |keys: &FileKeys| {
                let mut sealed = [0; 512];
                keys.sealer(FileKind::MainDb).unwrap().seal(5, &[0; 16], &[7; 512], &mut sealed).unwrap();
                sealed
            };
            assert_ne!(sealed(&one), sealed(&other));
            assert_ne!(sealed(&one), sealed(&keys(1, 9, suite, 3)));
            assert_eq!(sealed(&one), sealed(&keys(1, 2, suite, 3)));
        }
    }

    #[test]
    fn temporary_files_share_nothing() {
        for suite in [SuiteId::Aegis256, SuiteId::Checksum, SuiteId::Adiantum, SuiteId::Aes256Xts] {
            let one = Sealer::temporary(suite, FileKind::TempDb).unwrap();
            let two = Sealer::temporary(suite, FileKind::TempDb).unwrap();
            assert_eq!(one.overhead(), SuiteId::DEFAULT.overhead());
            let mut sealed = vec![0; 32 + one.overhead()];
            one.seal(0, &[0; 16], &[1; 32], &mut sealed).unwrap();
            assert_ne!(sealed[..32], [1; 32]);
            assert!(two.open(0, &[0; 16], &sealed, &mut [0; 32]).is_err());
        }
    }
}
