//! How one data key leads to the other while one takes the place of the other.

use std::sync::Arc;

use crate::file_keys::FileKeys;
use crate::format::link::{Link, NONCE_LEN, Wrapped};
use crypto::nonce;
use crypto::secret::Secret;
use crypto::wrap::{wrap_open, wrap_seal};
use ground::bytes::put;
use ground::error::{Fault, FaultClass, Result};

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
                    "the checksum cipher has no key that could be changed",
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
    use crate::format::link::LINK_LEN;
    use crypto::suite::SuiteId;

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
