//! The superblock: who the database is and how its data key is wrapped (`docs/reference/format.md`, section 2.1).

use super::keyslot::{KEYSLOT_LEN, Keyslot};
use crate::format::link::{LINK_LEN, Link};
use crate::format::mac::Mac;
use crypto::kdf::{equal, sha256};
use crypto::suite::SuiteId;
use ground::bytes::{all_zero, array, put, u32_at, u64_at};

/// Bytes of one copy.
pub const SUPERBLOCK_LEN: usize = 16384;
/// Keyslots in a copy.
pub const KEYSLOT_COUNT: usize = 12;
/// The first bytes of a copy. The line endings reveal a transfer that changed them.
pub const MAGIC: [u8; 16] = *b"lumocrypt\x00\x0d\x0a\x1a\x0a\x00\x00";
/// The version that this module reads and writes.
pub const VERSION: u32 = 1;
/// The flag of a database whose data key is being changed: there is a link to the key before.
const REKEYING: u64 = 1;
/// The flag of a database that keeps a length cell, and cells of which both copies say the same.
const KEEPS_LENGTH: u64 = 2;
/// The flag of an LMDB environment.
const LMDB: u64 = 4;

/// The highest generation. Nobody counts that far; a copy that says more was made up, and counting on from it would end.
const LAST_GENERATION: u64 = u64::MAX >> 1;

/// The smallest and the largest block, in bytes: SQLite's own limits on page sizes, which hold for every format.
pub const BLOCK_SIZES: std::ops::RangeInclusive<u32> = 512..=65536;

/// Offset in a copy of its generation: eight bytes, little-endian.
pub const GENERATION_AT: u64 = 24;

// Offsets within the copy. Magic, version, length, generation and digest keep theirs in every version, so
// that each version can tell an intact copy of another one from a damaged copy.
const VERSION_AT: usize = 16;
const LENGTH: usize = 20;
const GENERATION: usize = GENERATION_AT as usize;
const UUID: usize = 32;
const KEY_ID: usize = 48;
const SUITE: usize = 64;
const BLOCK_SIZE: usize = 68;
const FLAGS: usize = 72;
const RESERVED: usize = 80;
const LINK: usize = 512;
const LINK_END: usize = LINK + LINK_LEN;
const KEYSLOTS: usize = 1024;
const KEYSLOTS_END: usize = KEYSLOTS + KEYSLOT_COUNT * KEYSLOT_LEN;
const MAC: usize = 16320;
const DIGEST: usize = 16352;

/// What is behind a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// The blocks of an SQLite database.
    Sqlite,
    /// The pages of an LMDB environment.
    Lmdb,
}

/// One copy of the superblock, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Counts the changes; the higher one of two intact copies counts.
    pub generation: u64,
    /// The database's UUID.
    pub uuid: [u8; 16],
    /// The name of its data key.
    pub key_id: [u8; 16],
    /// Its suite.
    pub suite: SuiteId,
    /// Its block size.
    pub block_size: u32,
    /// There is a length cell, and both copies of each cell are written together. Every database that this version makes or
    /// writes to; others are of before.
    pub keeps_length: bool,
    /// What is behind the header.
    pub contents: Contents,
    /// The data key that this one is taking the place of, while it does.
    pub link: Option<Link>,
    /// The keyslots.
    pub slots: [Keyslot; KEYSLOT_COUNT],
}

/// What one of the two places for a superblock holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyState {
    /// A copy whose digest is right.
    Intact(Box<Superblock>),
    /// Anything else.
    Damaged,
    /// A copy whose digest is right, but that this version must not use.
    Unsupported {
        /// The version it says it is of.
        version: u32,
        /// Its generation.
        generation: u64,
        /// Why not.
        reason: String,
    },
}

impl Superblock {
    /// The copy as it is stored, with MAC and digest.
    pub fn encode(&self, keys: &(impl Mac + ?Sized)) -> Vec<u8> {
        let mut out = vec![0; SUPERBLOCK_LEN];
        put(&mut out, 0, &MAGIC);
        put(&mut out, VERSION_AT, &VERSION.to_le_bytes());
        put(&mut out, LENGTH, &(SUPERBLOCK_LEN as u32).to_le_bytes());
        put(&mut out, GENERATION, &self.generation.to_le_bytes());
        put(&mut out, UUID, &self.uuid);
        put(&mut out, KEY_ID, &self.key_id);
        put(&mut out, SUITE, &(self.suite as u32).to_le_bytes());
        put(&mut out, BLOCK_SIZE, &self.block_size.to_le_bytes());
        let rekeying = if self.link.is_some() { REKEYING } else { 0 };
        let keeps_length = if self.keeps_length { KEEPS_LENGTH } else { 0 };
        let lmdb = if self.contents == Contents::Lmdb { LMDB } else { 0 };
        put(&mut out, FLAGS, &(rekeying | keeps_length | lmdb).to_le_bytes());
        if let Some(link) = &self.link {
            put(&mut out, LINK, &link.encode());
        }
        for (i, slot) in self.slots.iter().enumerate() {
            put(&mut out, KEYSLOTS + i * KEYSLOT_LEN, &slot.encode());
        }
        let mac = keys.superblock_mac(&out[..MAC]);
        put(&mut out, MAC, &mac);
        let digest = sha256(&out[..DIGEST]);
        put(&mut out, DIGEST, &digest);
        out
    }

    /// Whether the copy in `bytes` has the MAC that `keys` give it.
    pub fn has_mac(bytes: &[u8], keys: &(impl Mac + ?Sized)) -> bool {
        bytes.len() >= SUPERBLOCK_LEN && equal(&keys.superblock_mac(&bytes[..MAC]), &array::<32>(bytes, MAC))
    }

    /// Reads one copy, without any key. `bytes` may be short.
    pub fn decode(bytes: &[u8]) -> CopyState {
        let Some(bytes) = bytes.get(..SUPERBLOCK_LEN) else { return CopyState::Damaged };
        let intact = bytes[..16] == MAGIC
            && u64_at(bytes, GENERATION) <= LAST_GENERATION
            && u32_at(bytes, LENGTH) as usize == SUPERBLOCK_LEN
            && sha256(&bytes[..DIGEST]) == array::<32>(bytes, DIGEST);
        if !intact {
            return CopyState::Damaged;
        }
        match Superblock::decode_fields(bytes) {
            Ok(superblock) => CopyState::Intact(Box::new(superblock)),
            Err(reason) => CopyState::Unsupported {
                version: u32_at(bytes, VERSION_AT),
                generation: u64_at(bytes, GENERATION),
                reason,
            },
        }
    }

    fn decode_fields(bytes: &[u8]) -> Result<Superblock, String> {
        let version = u32_at(bytes, VERSION_AT);
        if version != VERSION {
            return Err(format!("format version {version}"));
        }
        let flags = u64_at(bytes, FLAGS);
        if flags & !(REKEYING | KEEPS_LENGTH | LMDB) != 0 {
            return Err(format!("unknown feature flags {flags:#x}"));
        }
        let suite = u32_at(bytes, SUITE);
        let suite = SuiteId::from_id(suite).ok_or_else(|| format!("unknown cipher {suite}"))?;
        let block_size = u32_at(bytes, BLOCK_SIZE);
        if !is_block_size(block_size) {
            return Err(format!("a block size of {block_size}"));
        }
        let reserved = [RESERVED..LINK, LINK_END..KEYSLOTS, KEYSLOTS_END..MAC];
        if !reserved.into_iter().all(|reserved| all_zero(&bytes[reserved])) {
            return Err("reserved bytes that are not zero".to_owned());
        }
        let link = match flags & REKEYING {
            0 if !all_zero(&bytes[LINK..LINK_END]) => {
                return Err("reserved bytes that are not zero".to_owned());
            }
            0 => None,
            _ => Some(Link::decode(&array(bytes, LINK))?),
        };
        let mut slots = std::array::from_fn(|_| Keyslot::empty());
        for (i, slot) in slots.iter_mut().enumerate() {
            *slot = Keyslot::decode(&array(bytes, KEYSLOTS + i * KEYSLOT_LEN))?;
        }
        let key_id = array(bytes, KEY_ID);
        if !suite.is_keyed()
            && (key_id != [0; 16] || link.is_some() || slots.iter().any(|slot| !slot.is_empty()))
        {
            return Err("keyslots with a cipher that has no key".to_owned());
        }
        Ok(Superblock {
            generation: u64_at(bytes, GENERATION),
            uuid: array(bytes, UUID),
            key_id,
            suite,
            block_size,
            keeps_length: flags & KEEPS_LENGTH != 0,
            contents: if flags & LMDB == 0 { Contents::Sqlite } else { Contents::Lmdb },
            link,
            slots,
        })
    }
}

/// Whether a database may have blocks of this size.
pub fn is_block_size(block_size: u32) -> bool {
    block_size.is_power_of_two() && BLOCK_SIZES.contains(&block_size)
}

#[cfg(test)]
mod tests;
