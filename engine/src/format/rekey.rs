//! The link between two data keys while one takes the place of the other (`docs/reference/format.md`, section 2.4).

use std::sync::Arc;

use super::bytes::{array, put, u32_at};
use crate::crypto::nonce;
use crate::crypto::secret::Secret;
use crate::crypto::suite::SuiteId;
use crate::crypto::wrap::{wrap_open, wrap_seal};
use crate::error::{Fault, FaultClass, Result};
use crate::keys::file_keys::FileKeys;

/// Bytes of the link in a superblock.
pub const LINK_LEN: usize = 168;

// Offsets within the link.
const KEY_ID: usize = 0;
const SUITE: usize = 16;
const RESERVED: usize = 20;
const OLDER: usize = 24;
const NEWER: usize = OLDER + WRAPPED_LEN;

const NONCE_LEN: usize = 24;
/// A nonce and the 48 bytes of a wrapped data key.
const WRAPPED_LEN: usize = NONCE_LEN + 48;

/// A data key, wrapped under another one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wrapped {
    nonce: [u8; NONCE_LEN],
    sealed: [u8; 48],
}

/// What a superblock says of the data key that its own is taking the place of.
///
/// Whoever comes with a key opens the new data key's keyslots, and finds the old data key here; whoever has the file
/// open since before knows the old data key, and finds the new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The name of the older data key.
    pub key_id: [u8; 16],
    /// The suite that it was used with.
    pub suite: SuiteId,
    older: Wrapped,
    newer: Wrapped,
}

/// Which of the two keys is wrapped; part of what the wrapping authenticates.
#[derive(Clone, Copy)]
enum Direction {
    Older = 0,
    Newer = 1,
}

impl Link {
    /// Links the `newer` keys of a database to the `older` ones.
    pub fn new(older: &FileKeys, newer: &FileKeys) -> Result<Link> {
        let wrap = |under: &FileKeys, inner: &FileKeys, direction| {
            let (Some(key), Some(data_key)) = (under.link_key(), inner.data_key()) else {
                return Err(Fault::new(
                    FaultClass::InvalidArgument,
                    "the checksum suite has no key that could be changed",
                ));
            };
            let mut nonce = [0; NONCE_LEN];
            nonce::random(&mut nonce)?;
            let aad = aad(&older.uuid, &older.key_id, &newer.key_id, direction);
            Ok(Wrapped { nonce, sealed: wrap_seal(&key, &nonce, &aad, data_key.expose()) })
        };
        Ok(Link {
            key_id: older.key_id,
            suite: older.suite,
            older: wrap(newer, older, Direction::Older)?,
            newer: wrap(older, newer, Direction::Newer)?,
        })
    }

    /// The older keys, found by who has the `newer` ones. `None`: the link was altered.
    pub fn older(&self, newer: &FileKeys) -> Result<Option<FileKeys>> {
        let aad = aad(&newer.uuid, &self.key_id, &newer.key_id, Direction::Older);
        let Some(data_key) = self.older.open(newer, &aad) else { return Ok(None) };
        FileKeys::new(newer.uuid, self.key_id, self.suite, Some(data_key)).map(Some)
    }

    /// The data key called `key_id`, found by who has the `older` keys. `None`: they are others, or the link was
    /// altered.
    pub fn newer(&self, older: &FileKeys, key_id: &[u8; 16]) -> Option<Secret<32>> {
        if older.key_id != self.key_id {
            return None;
        }
        self.newer.open(older, &aad(&older.uuid, &self.key_id, key_id, Direction::Newer))
    }

    /// The link as it is stored.
    pub fn encode(&self) -> [u8; LINK_LEN] {
        let mut out = [0; LINK_LEN];
        put(&mut out, KEY_ID, &self.key_id);
        put(&mut out, SUITE, &(self.suite as u32).to_le_bytes());
        for (at, wrapped) in [(OLDER, &self.older), (NEWER, &self.newer)] {
            put(&mut out, at, &wrapped.nonce);
            put(&mut out, at + NONCE_LEN, &wrapped.sealed);
        }
        out
    }

    /// Reads a link; the error says what this version does not understand.
    pub fn decode(bytes: &[u8; LINK_LEN]) -> std::result::Result<Link, String> {
        let suite = u32_at(bytes, SUITE);
        let suite = SuiteId::from_id(suite)
            .filter(|suite| suite.is_keyed())
            .ok_or_else(|| format!("a rekey from the unknown suite {suite}"))?;
        if u32_at(bytes, RESERVED) != 0 {
            return Err("reserved bytes of a rekey that are not zero".to_owned());
        }
        let wrapped = |at| Wrapped { nonce: array(bytes, at), sealed: array(bytes, at + NONCE_LEN) };
        Ok(Link { key_id: array(bytes, KEY_ID), suite, older: wrapped(OLDER), newer: wrapped(NEWER) })
    }
}

impl Wrapped {
    fn open(&self, under: &FileKeys, aad: &[u8]) -> Option<Secret<32>> {
        wrap_open(&under.link_key()?, &self.nonce, aad, &self.sealed).ok()
    }
}

fn aad(uuid: &[u8; 16], older: &[u8; 16], newer: &[u8; 16], direction: Direction) -> [u8; 49] {
    let mut aad = [0; 49];
    put(&mut aad, 0, uuid);
    put(&mut aad, 16, older);
    put(&mut aad, 32, newer);
    aad[48] = direction as u8;
    aad
}

/// `keys` with those that `link` says were there before them. `None`: the link was altered.
pub fn with_older(keys: FileKeys, link: Option<&Link>) -> Result<Option<FileKeys>> {
    let Some(link) = link else { return Ok(Some(keys)) };
    Ok(link.older(&keys)?.map(|older| keys.with_older(Arc::new(older))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(key_id: u8, suite: SuiteId) -> FileKeys {
        FileKeys::new([1; 16], [key_id; 16], suite, Secret::from_slice(&[key_id ^ 0x55; 32])).unwrap()
    }

    #[test]
    fn each_key_finds_the_other_and_nobody_else_does() {
        let (old, new) = (keys(2, SuiteId::Aegis256), keys(3, SuiteId::XChaCha20Poly1305));
        let link = Link::decode(&Link::new(&old, &new).unwrap().encode()).unwrap();
        let found = link.older(&new).unwrap().unwrap();
        assert_eq!((found.key_id, found.suite), (old.key_id, old.suite));
        assert_eq!(found.data_key().unwrap().expose(), old.data_key().unwrap().expose());
        assert_eq!(link.newer(&old, &new.key_id).unwrap().expose(), new.data_key().unwrap().expose());
        assert!(link.newer(&old, &[9; 16]).is_none());
        assert!(link.newer(&keys(4, SuiteId::Aegis256), &new.key_id).is_none());
        assert!(link.older(&keys(5, SuiteId::Aegis256)).unwrap().is_none());
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (old, new) = (keys(2, SuiteId::Aegis256), keys(3, SuiteId::Aegis256));
        let bytes = Link::new(&old, &new).unwrap().encode();
        for at in 0..LINK_LEN {
            let mut bent = bytes;
            bent[at] ^= 0x40;
            let sound = Link::decode(&bent).is_ok_and(|link| {
                let older = link.older(&new).unwrap();
                older.is_some_and(|older| older.suite == old.suite) && link.newer(&old, &new.key_id).is_some()
            });
            assert!(!sound, "byte {at}");
        }
    }
}
