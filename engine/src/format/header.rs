//! The header region: two superblock copies and two copies of each cell (`docs/reference/format.md`, section 2).

use std::borrow::Cow;

use super::bytes::{all_zero, put};
use super::cells::{self, Cells};
use super::geometry::HEADER_LEN;
use super::keyslot::{Draft, Keyslot, check_label};
use super::length;
pub use super::superblock::CopyState;
use super::superblock::{KEYSLOT_COUNT, MAGIC, SUPERBLOCK_LEN, Superblock, VERSION, is_block_size};
use crate::crypto::kdf::Argon2Cost;
use crate::crypto::nonce;
use crate::crypto::secret::Secret;
use crate::crypto::suite::SuiteId;
use crate::error::{Fault, FaultClass, Result};
use crate::keys::cache;
use crate::keys::file_keys::FileKeys;
use crate::keys::limits::check_floor;
use crate::keys::material::Key;
use crate::keys::options::{OpenOptions, ServiceKey};

/// What a plaintext SQLite database begins with (fileformat2, section 1.3.1).
pub const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Where superblock copy B is; copy A is at 0.
pub const COPY_B_OFFSET: u64 = SUPERBLOCK_LEN as u64;

/// A header region, parsed without any key. At least one copy is intact.
#[derive(Clone, Debug)]
pub struct Header {
    raw: Vec<u8>,
    /// The superblock at 0.
    pub a: CopyState,
    /// The superblock at 0x4000.
    pub b: CopyState,
    /// Places outside the copies that should be zero and are not: no harm, but somebody wrote there.
    pub warnings: Vec<String>,
}

const UNKNOWN: &str =
    "This file was neither encrypted by lumocrypt nor is it a SQLite database; check the path.";
const NOISE: &str = "This file was neither encrypted by lumocrypt nor is it a SQLite database. It looks like noise, as \
                     databases in the gosqlite format do: if it is one, open it with lumocrypt.crypto_vfs, or bring it \
                     into another format with `lumocrypt decrypt --format gosqlite` or `lumocrypt convert --from gosqlite`.";
/// The smallest block of the gosqlite format, and how many different bytes one of noise has at least: it has 221 on
/// average, with a standard deviation of 5.
const SMALLEST_BLOCK: usize = 512;
const DIFFERENT_BYTES: usize = 180;

/// Does a file that begins with `region` look as one in the gosqlite format does, which has no header? `region` is
/// shorter than [`HEADER_LEN`] only if the file is.
pub fn is_noise(region: &[u8]) -> bool {
    let Some(block) = region.get(..SMALLEST_BLOCK) else { return false };
    let mut seen = [false; 256];
    for &byte in block {
        seen[usize::from(byte)] = true;
    }
    let different = seen.iter().filter(|seen| **seen).count();
    region.len().is_multiple_of(SMALLEST_BLOCK) && different >= DIFFERENT_BYTES
}

/// Reads the header region from the beginning of a file; `region` is shorter only if the file is.
///
/// Fails with `NotEncrypted` if the file is something else, `HeaderDamaged` if it is ours but no copy is
/// intact or part of the region is missing, and `UnsupportedFormat` if the copy that counts is not for this
/// version.
pub fn parse<'a>(region: impl Into<Cow<'a, [u8]>>) -> Result<Header> {
    let region = region.into();
    if region.starts_with(SQLITE_MAGIC) {
        return Err(Fault::new(
            FaultClass::NotEncrypted,
            "This is a plaintext SQLite database; encrypt it first with `lumocrypt encrypt`.",
        ));
    }
    let copy_b = region.get(SUPERBLOCK_LEN..).unwrap_or_default();
    let cut_in_magic = region.len() < MAGIC.len() && MAGIC.starts_with(&region);
    if !region.starts_with(&MAGIC) && !copy_b.starts_with(&MAGIC) && !cut_in_magic {
        return Err(Fault::new(FaultClass::NotEncrypted, if is_noise(&region) { NOISE } else { UNKNOWN }));
    }
    if (region.len() as u64) < HEADER_LEN {
        if is_unfinished(&region, region.len() as u64) {
            return Err(unfinished());
        }
        return Err(Fault::new(
            FaultClass::HeaderDamaged,
            format!(
                "The file ends after {} of the {HEADER_LEN} bytes of its header; restore the file or its header \
                 from a backup.",
                region.len()
            ),
        ));
    }
    let mut raw = region.into_owned();
    raw.truncate(HEADER_LEN as usize);
    let a = Superblock::decode(&raw);
    // The copies differ only while the header is being changed.
    let copy_b = &raw[SUPERBLOCK_LEN..];
    let same = raw[..SUPERBLOCK_LEN] == copy_b[..SUPERBLOCK_LEN];
    let b = if same { a.clone() } else { Superblock::decode(copy_b) };
    let header = Header { warnings: warnings(&raw), raw, a, b };
    header.refuse_unsupported()?;
    if header.newest().is_none() {
        return Err(damaged("Both copies of the header's superblock are damaged"));
    }
    Ok(header)
}

/// Did a crash leave the creation of a database behind? Then there are no slots, and superblock copy A, which is
/// written last, is still all zeros. What else is there may be torn, even where copy B looks intact.
/// A file of no bytes is new, too.
pub fn is_unfinished(region: &[u8], size: u64) -> bool {
    size <= HEADER_LEN
        && all_zero(&region[..region.len().min(SUPERBLOCK_LEN)])
        && !length::counts_slots(region)
}

/// The fault for a file that [`is_unfinished`].
pub fn unfinished() -> Fault {
    Fault::new(
        FaultClass::HeaderDamaged,
        "The database holds nothing: its creation was interrupted. The next program that writes to it makes it anew.",
    )
}

/// The fault for a header that cannot be used, with what to do about it.
pub fn damaged(what: &str) -> Fault {
    Fault::new(FaultClass::HeaderDamaged, format!("{what}; restore the file from a backup."))
}

/// The fault for the header of another database than the one that was unlocked.
pub fn replaced() -> Fault {
    Fault::new(
        FaultClass::InUse,
        "this is another database now: the file was replaced while this connection was open; close it and open the \
         database again",
    )
}

impl Header {
    /// The intact copy with the higher generation: the one that counts.
    pub fn newest(&self) -> Option<&Superblock> {
        self.newest_first().first().map(|(superblock, _)| *superblock)
    }

    /// The intact copies with their stored bytes, the higher generation first, copy A first if equal.
    pub fn newest_first(&self) -> Vec<(&Superblock, &[u8])> {
        let (raw_a, raw_b) = self.raw[..2 * SUPERBLOCK_LEN].split_at(SUPERBLOCK_LEN);
        let mut copies = Vec::with_capacity(2);
        for (state, raw) in [(&self.a, raw_a), (&self.b, raw_b)] {
            if let CopyState::Intact(superblock) = state {
                copies.push((superblock.as_ref(), raw));
            }
        }
        copies.sort_by_key(|(superblock, _)| std::cmp::Reverse(superblock.generation));
        copies
    }

    /// The first of [`Header::newest_first`] that was written by somebody who has these keys, with its stored bytes.
    pub fn authentic(&self, keys: &FileKeys) -> Option<(&Superblock, &[u8])> {
        let ours = |superblock: &Superblock| superblock.uuid == keys.uuid && superblock.key_id == keys.key_id;
        self.newest_first()
            .into_iter()
            .find(|(superblock, raw)| ours(superblock) && Superblock::verify_mac(raw, keys))
    }

    /// Where the copy is that is not intact or of a lower generation than the other, if there is one.
    pub fn stale_copy(&self) -> Option<u64> {
        let newest = self.newest()?.generation;
        let counts = |state: &CopyState| matches!(state, CopyState::Intact(superblock) if superblock.generation == newest);
        match (counts(&self.a), counts(&self.b)) {
            (false, _) => Some(0),
            (true, false) => Some(COPY_B_OFFSET),
            (true, true) => None,
        }
    }

    /// The whole region as it was read.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The cells, as the superblock that counts has them.
    pub fn cells(&self, keys: &FileKeys) -> Cells {
        let keeps_length = self.newest().is_some_and(|superblock| superblock.keeps_length);
        Cells::of(&self.raw, keys, keeps_length)
    }

    /// An intact copy of another version counts like any other: falling back to an older copy of this
    /// version would undo whatever the other version did.
    fn refuse_unsupported(&self) -> Result<()> {
        let newest = self.newest().map(|superblock| superblock.generation);
        for state in [&self.a, &self.b] {
            match state {
                CopyState::Unsupported { version, generation, reason } if newest <= Some(*generation) => {
                    let remedy = if *version > VERSION {
                        "a newer lumocrypt reads it"
                    } else {
                        "use the lumocrypt that wrote it"
                    };
                    return Err(Fault::new(
                        FaultClass::UnsupportedFormat,
                        format!(
                            "The database uses {reason}, which this version of lumocrypt does not read; {remedy}."
                        ),
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Reserved space outside the copies. It is not authenticated, so it decides nothing.
fn warnings(raw: &[u8]) -> Vec<String> {
    const PART: usize = 4096;
    (2 * SUPERBLOCK_LEN..raw.len())
        .step_by(PART)
        .map(|start| (cells::reserved_from(start), start + PART))
        .filter(|(start, end)| !all_zero(&raw[*start..*end]))
        .map(|(start, end)| format!("reserved header bytes between {start:#x} and {end:#x} are not zero"))
        .collect()
}

/// What a new database is to be like.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// Its suite.
    pub suite: SuiteId,
    /// Its block size.
    pub block_size: u32,
    /// The cost of its passphrase slot.
    pub kdf: Argon2Cost,
    /// The label of its first keyslot.
    pub label: String,
    /// What it is called and what its first keyslot says, if a key-management service has the key.
    pub kms: Option<ServiceKey>,
}

impl Default for CreateOptions {
    fn default() -> Self {
        CreateOptions {
            suite: SuiteId::DEFAULT,
            block_size: 4096,
            kdf: Argon2Cost::INTERACTIVE,
            label: String::new(),
            kms: None,
        }
    }
}

impl From<&OpenOptions> for CreateOptions {
    fn from(options: &OpenOptions) -> Self {
        let defaults = CreateOptions::default();
        CreateOptions {
            suite: options.suite.unwrap_or(defaults.suite),
            block_size: options.block_size.unwrap_or(defaults.block_size),
            kdf: options.kdf.unwrap_or(defaults.kdf),
            label: options.label.clone().unwrap_or_default(),
            kms: options.kms.clone(),
        }
    }
}

/// A new database: its header region, keys and superblock. Nothing is written.
pub fn create(key: Option<&Key>, options: &CreateOptions) -> Result<(Vec<u8>, FileKeys, Superblock)> {
    if matches!(key, Some(Key::Passphrase(_))) {
        check_floor(&options.kdf)?;
    }
    create_at_any_cost(key, options)
}

/// [`create`] without the floor, for tests that cannot afford it.
pub(crate) fn create_at_any_cost(
    key: Option<&Key>,
    options: &CreateOptions,
) -> Result<(Vec<u8>, FileKeys, Superblock)> {
    check_options(options)?;
    let suite = options.suite;
    let mut slots = std::array::from_fn::<_, KEYSLOT_COUNT, _>(|_| Keyslot::empty());
    let (uuid, key_id) = match &options.kms {
        Some(service) => (service.uuid, service.key_id),
        None => (draw_id()?, draw_id()?),
    };
    let keys = match (key, suite.is_keyed()) {
        (Some(key), true) => {
            let data_key = Secret::random()?;
            if matches!(key, Key::Passphrase(_)) {
                cache::count_kdf_run();
            }
            let draft = match &options.kms {
                Some(service) => Draft::for_service(key, &service.provider, &options.label)?,
                None => Draft::at_any_cost(key, options.kdf, &options.label)?,
            };
            slots[0] = draft.seal(0, &data_key, &key_id)?;
            // Whoever makes a database opens it next; that should not derive the same key again.
            cache::remember(&uuid, &key_id, 0, &slots[0], key, &data_key)?;
            FileKeys::new(uuid, key_id, suite, Some(data_key))?
        }
        (None, false) => FileKeys::new(uuid, [0; 16], suite, None)?,
        (None, true) => {
            return Err(Fault::new(
                FaultClass::KeyRequired,
                format!("A new database with the suite {} needs a key; give one.", suite.name()),
            ));
        }
        (Some(_), false) => {
            return Err(invalid(format!(
                "The suite {} has no key and encrypts nothing; leave the key out or choose another suite.",
                suite.name()
            )));
        }
    };
    let superblock = Superblock {
        generation: 1,
        uuid,
        key_id: keys.key_id,
        suite,
        block_size: options.block_size,
        keeps_length: true,
        link: None,
        slots,
    };
    Ok((new_region(&superblock, &keys), keys, superblock))
}

/// The header of a copy made by `VACUUM INTO`: a new UUID, hence new subkeys, but the same data key and
/// keyslots, so that everybody who opens the original opens the copy.
pub fn create_copy_of(original: &Superblock, keys: &FileKeys) -> Result<(Vec<u8>, FileKeys, Superblock)> {
    let uuid = draw_id()?;
    let data_key = keys.data_key().map(Secret::duplicate);
    let new_keys = FileKeys::new(uuid, original.key_id, original.suite, data_key)?;
    // What is copied is sealed anew: there is nothing under an older key in it.
    let superblock = Superblock { generation: 1, uuid, keeps_length: true, link: None, ..original.clone() };
    Ok((new_region(&superblock, &new_keys), new_keys, superblock))
}

/// Both copies and both cells of a database without a log.
fn new_region(superblock: &Superblock, keys: &FileKeys) -> Vec<u8> {
    let mut region = vec![0; HEADER_LEN as usize];
    let copy = superblock.encode(keys);
    put(&mut region, 0, &copy);
    put(&mut region, COPY_B_OFFSET as usize, &copy);
    for (offset, bytes) in cells::new_cells(keys, 0) {
        put(&mut region, offset as usize, &bytes);
    }
    region
}

fn check_options(options: &CreateOptions) -> Result<()> {
    if !is_block_size(options.block_size) {
        return Err(invalid(format!(
            "A block size of {} is not possible; choose a power of two from 512 to 65536.",
            options.block_size
        )));
    }
    check_label(&options.label)
}

fn invalid(message: String) -> Fault {
    Fault::new(FaultClass::InvalidArgument, message)
}

fn draw_id() -> Result<[u8; 16]> {
    let mut id = [0; 16];
    nonce::random(&mut id)?;
    Ok(id)
}

#[cfg(test)]
mod tests;
