//! A database's header, read from its file.

use std::borrow::Cow;

use crate::file_keys::FileKeys;
pub use crate::format::header::*;
use crate::format::superblock::{Contents, Superblock};
use ground::error::{Fault, FaultClass, Result};

/// Reads the header region from the beginning of a file; see [`parse_with`]. Copies that were read before are known.
///
/// Errors: also `UnsupportedFormat` for an LMDB environment.
pub fn parse<'a>(region: impl Into<Cow<'a, [u8]>>) -> Result<Header> {
    parse_of(Contents::Sqlite, region)
}

/// As [`parse`], of what `contents` says and nothing else. No copy may be of the other kind: either may come to count.
pub fn parse_of<'a>(contents: Contents, region: impl Into<Cow<'a, [u8]>>) -> Result<Header> {
    let header = parse_with(region, Superblock::decode_known)?;
    if header.newest_first().iter().any(|(superblock, _)| superblock.contents != contents) {
        return Err(Fault::new(
            FaultClass::UnsupportedFormat,
            match contents {
                Contents::Sqlite => {
                    "this is an LMDB environment and no SQLite database; open it as an LMDB environment"
                }
                Contents::Lmdb => {
                    "this is an SQLite database and no LMDB environment; open it with lumocrypt.connect"
                }
            },
        ));
    }
    Ok(header)
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
