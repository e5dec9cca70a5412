//! Pages as they are in the file, opened without LMDB: for whoever looks at a file that LMDB might stumble over.

use crypto::kdf::equal;
use ground::error::{Fault, Result};

use super::{HEADER, Identity, MAC, PageCipher, Protection, SUM, TAIL};

/// Bytes of a meta page that its MAC is over.
pub const META_LEN: usize = 160;

/// Opens pages of one environment.
pub struct PageOpener(PageCipher);

impl PageOpener {
    /// Errors: a suite without a tag.
    pub fn new(protection: &Protection, identity: &Identity) -> Result<PageOpener> {
        Ok(PageOpener(PageCipher::new(protection, identity).map_err(Fault::from)?))
    }

    /// How many bytes at the end of a page or an extent are not LMDB's.
    pub fn overhead(&self) -> usize {
        if self.0.suite.is_some() { TAIL } else { SUM }
    }

    /// Opens a page or an extent. `clear` is as long; what is not LMDB's is zero in it, and so is all of it on failure.
    pub fn open(&self, stored: &[u8], clear: &mut [u8]) -> bool {
        clear.fill(0);
        let Some(len) = stored.len().checked_sub(self.overhead()).filter(|len| *len >= HEADER) else {
            return false;
        };
        if clear.len() != stored.len() {
            return false;
        }
        let Some(suite) = &self.0.suite else {
            let sum = xxhash_rust::xxh3::xxh3_128(&stored[..len]).to_le_bytes();
            let right = stored[len..] == sum;
            if right {
                clear[..len].copy_from_slice(&stored[..len]);
            }
            return right;
        };
        let Some(header) = stored.first_chunk::<HEADER>() else { return false };
        let aad = self.0.page_aad(header);
        if suite.open(&aad, &stored[HEADER..], &mut clear[HEADER..len]).is_err() {
            clear.fill(0);
            return false;
        }
        clear[..HEADER].copy_from_slice(header);
        true
    }

    /// Whether the first bytes of a meta page are followed by their MAC.
    pub fn is_meta(&self, stored: &[u8; META_LEN + MAC]) -> bool {
        let (bytes, mac) = stored.split_at(META_LEN);
        equal(&self.0.mac(bytes), mac)
    }
}
