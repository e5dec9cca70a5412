//! The link between two data keys while one takes the place of the other (`docs/reference/format.md`, section 2.4).

use crypto::suite::SuiteId;
use ground::bytes::{array, put, u32_at};

/// Bytes of the link in a superblock.
pub const LINK_LEN: usize = 168;

// Offsets within the link.
const KEY_ID: usize = 0;
const SUITE: usize = 16;
const RESERVED: usize = 20;
const OLDER: usize = 24;
const NEWER: usize = OLDER + WRAPPED_LEN;

pub(crate) const NONCE_LEN: usize = 24;
/// A nonce and the 48 bytes of a wrapped data key.
const WRAPPED_LEN: usize = NONCE_LEN + 48;

/// A data key, wrapped under another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrapped {
    pub(crate) nonce: [u8; NONCE_LEN],
    pub(crate) sealed: [u8; 48],
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
    pub(crate) older: Wrapped,
    pub(crate) newer: Wrapped,
}

impl Link {
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
            .ok_or_else(|| format!("a rekey from the unknown cipher {suite}"))?;
        if u32_at(bytes, RESERVED) != 0 {
            return Err("reserved bytes of a rekey that are not zero".to_owned());
        }
        let wrapped = |at| Wrapped { nonce: array(bytes, at), sealed: array(bytes, at + NONCE_LEN) };
        Ok(Link { key_id: array(bytes, KEY_ID), suite, older: wrapped(OLDER), newer: wrapped(NEWER) })
    }
}
