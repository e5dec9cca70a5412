//! Superblock copies that this process has read and found right, so that a database's next connection does not hash
//! them again, once for the digest and once for the MAC.
//!
//! A copy is known by all of its bytes, and its MAC is known to be right for one data key, which is known by an HMAC
//! under a key that never leaves the process. So nothing is taken for right that was not checked, and nothing here is
//! secret.

use crate::cache::KeyName;
use crate::file_keys::FileKeys;
use crate::format::superblock::{CopyState, SUPERBLOCK_LEN, Superblock};
use crypto::kdf::equal;
use ground::locks::{Guard, Lasting, Rank};

/// How many copies are kept, of 16 KiB each; the one that was looked for longest ago makes room.
const CAPACITY: usize = 8;

struct Known {
    bytes: Vec<u8>,
    superblock: Box<Superblock>,
    /// The key that its MAC was found right with.
    key: Option<KeyName>,
}

/// The one looked for last comes last.
#[derive(Default)]
struct Recent(Vec<Known>);

static RECENT: Lasting<Recent> = Lasting::new(Rank::Recent, Recent(Vec::new()));

impl Superblock {
    /// As [`Superblock::decode`], of a copy that may have been read before.
    pub fn decode_known(bytes: &[u8]) -> CopyState {
        let Some(bytes) = bytes.get(..SUPERBLOCK_LEN) else { return CopyState::Damaged };
        if let Some(known) = lock().find(bytes) {
            return CopyState::Intact(known.superblock.clone());
        }
        let state = Superblock::decode(bytes);
        if let CopyState::Intact(superblock) = &state {
            lock().keep(bytes, superblock);
        }
        state
    }

    /// Whether the copy in `bytes` was written by somebody who has the data key.
    pub fn verify_mac(bytes: &[u8], keys: &FileKeys) -> bool {
        let Some(copy) = bytes.get(..SUPERBLOCK_LEN) else { return false };
        let name = keys.name();
        let is_known = |name: KeyName| {
            lock().find(copy).and_then(|known| known.key).is_some_and(|other| equal(&other, &name))
        };
        if name.is_some_and(is_known) {
            return true;
        }
        let right = Superblock::has_mac(copy, keys);
        if let Some(name) = name.filter(|_| right)
            && let Some(known) = lock().find(copy)
        {
            known.key = Some(name);
        }
        right
    }
}

impl Recent {
    fn find(&mut self, bytes: &[u8]) -> Option<&mut Known> {
        let at = self.0.iter().position(|known| known.bytes == bytes)?;
        self.0[at..].rotate_left(1);
        self.0.last_mut()
    }

    fn keep(&mut self, bytes: &[u8], superblock: &Superblock) {
        let mut copy = Vec::new();
        // Another thread may have been quicker; and whoever has no memory for it hashes again.
        if self.find(bytes).is_some()
            || copy.try_reserve_exact(bytes.len()).is_err()
            || self.0.try_reserve(1).is_err()
        {
            return;
        }
        copy.extend_from_slice(bytes);
        if self.0.len() >= CAPACITY {
            self.0.remove(0);
        }
        self.0.push(Known { bytes: copy, superblock: Box::new(superblock.clone()), key: None });
    }
}

fn lock() -> Guard<'static, Recent> {
    RECENT.lock()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::keyslot::Keyslot;
    use crate::format::superblock::Contents;
    use crypto::suite::SuiteId;

    fn superblock(generation: u64) -> Superblock {
        Superblock {
            generation,
            uuid: [1; 16],
            key_id: [2; 16],
            suite: SuiteId::DEFAULT,
            block_size: 4096,
            keeps_length: true,
            contents: Contents::Sqlite,
            link: None,
            slots: std::array::from_fn(|_| Keyslot::empty()),
        }
    }

    #[test]
    fn the_copy_looked_for_longest_ago_makes_room() {
        let mut recent = Recent::default();
        let bytes = |n: usize| [n as u8; 16];
        for n in 0..CAPACITY {
            recent.keep(&bytes(n), &superblock(n as u64));
        }
        assert_eq!(*recent.find(&bytes(0)).unwrap().superblock, superblock(0));
        recent.keep(&bytes(CAPACITY), &superblock(99));
        assert!(recent.find(&bytes(1)).is_none());
        for (n, generation) in [(0, 0), (2, 2), (CAPACITY - 1, CAPACITY as u64 - 1), (CAPACITY, 99)] {
            assert_eq!(*recent.find(&bytes(n)).unwrap().superblock, superblock(generation));
        }
        assert_eq!(recent.0.len(), CAPACITY);
    }

    #[test]
    fn keeping_a_copy_again_forgets_nothing_of_it() {
        let mut recent = Recent::default();
        recent.keep(&[1; 16], &superblock(1));
        recent.find(&[1; 16]).unwrap().key = Some([7; 32]);
        recent.keep(&[1; 16], &superblock(1));
        assert_eq!(recent.find(&[1; 16]).unwrap().key, Some([7; 32]));
        assert_eq!(recent.0.len(), 1);
    }
}
