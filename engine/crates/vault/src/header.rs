//! A database's header, read from its file.

use std::borrow::Cow;

use crate::file_keys::FileKeys;
pub use crate::format::header::*;
use crate::format::superblock::Superblock;
use ground::error::Result;

/// Reads the header region from the beginning of a file; see [`parse_with`]. Copies that were read before are known.
pub fn parse<'a>(region: impl Into<Cow<'a, [u8]>>) -> Result<Header> {
    parse_with(region, Superblock::decode_known)
}

impl Header {
    /// The first of [`Header::newest_first`] that was written by somebody who has these keys, with its stored bytes.
    pub fn authentic(&self, keys: &FileKeys) -> Option<(&Superblock, &[u8])> {
        let ours = |superblock: &Superblock| superblock.uuid == keys.uuid && superblock.key_id == keys.key_id;
        self.newest_first()
            .into_iter()
            .find(|(superblock, raw)| ours(superblock) && Superblock::verify_mac(raw, keys))
    }
}
