//! AEGIS-256 and AEGIS-256X2 with 16-byte tags (draft-irtf-cfrg-aegis-aead).
//!
//! The 32-byte nonce is the 24 stored random bytes completed by the block index.

use crate::nonce;
use crate::primitives::libaegis::{AEGIS_256, AEGIS_256X2, LibAegis};
use crate::secret::Secret;
use crate::suite::{
    AAD_LEN, NONCE_LEN, Suite, TAG_LEN, Unauthentic, index_bytes, split, split_mut, wrong_lengths,
};
use ground::error::Result;

/// The suite `aegis-256` or `aegis-256x2`.
pub(crate) struct Aegis {
    variant: LibAegis,
    key: Secret<32>,
}

/// The full nonce of a block.
fn full_nonce(stored: &[u8; NONCE_LEN], aad: &[u8; AAD_LEN]) -> [u8; 32] {
    let mut nonce = [0; 32];
    nonce[..NONCE_LEN].copy_from_slice(stored);
    nonce[NONCE_LEN..].copy_from_slice(index_bytes(aad));
    nonce
}

impl Aegis {
    /// AEGIS-256.
    pub(crate) fn single(key: &Secret<32>) -> Self {
        Aegis { variant: LibAegis::new(&AEGIS_256), key: key.duplicate() }
    }

    /// AEGIS-256X2.
    pub(crate) fn double(key: &Secret<32>) -> Self {
        Aegis { variant: LibAegis::new(&AEGIS_256X2), key: key.duplicate() }
    }

    /// The bare AEAD with an explicit nonce: what the published vectors describe.
    pub(crate) fn encrypt(
        &self,
        nonce: &[u8; 32],
        aad: &[u8],
        parts: [&[u8]; 2],
        ciphertext: &mut [u8],
    ) -> [u8; TAG_LEN] {
        self.variant.encrypt(self.key.expose(), nonce, aad, parts, ciphertext)
    }

    /// The inverse of `encrypt`; on failure the parts are zero.
    pub(crate) fn decrypt(
        &self,
        nonce: &[u8; 32],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_LEN],
        parts: [&mut [u8]; 2],
    ) -> std::result::Result<(), Unauthentic> {
        self.variant.decrypt(self.key.expose(), nonce, aad, ciphertext, tag, parts)
    }
}

impl Suite for Aegis {
    fn overhead(&self) -> usize {
        NONCE_LEN + TAG_LEN
    }

    fn seal(&self, aad: &[u8; AAD_LEN], plaintext: &[u8], out: &mut [u8]) -> Result<()> {
        self.seal_parts(aad, [&[], plaintext], out, &mut [])
    }

    fn open(
        &self,
        aad: &[u8; AAD_LEN],
        sealed: &[u8],
        out: &mut [u8],
    ) -> std::result::Result<(), Unauthentic> {
        self.open_parts(aad, sealed, [&mut [], out], &mut [])
    }

    fn seal_parts(
        &self,
        aad: &[u8; AAD_LEN],
        parts: [&[u8]; 2],
        out: &mut [u8],
        _scratch: &mut [u8],
    ) -> Result<()> {
        let len = parts[0].len() + parts[1].len();
        let (ciphertext, nonce, tag) = split_mut(len, out).ok_or_else(wrong_lengths)?;
        *nonce = nonce::draw()?;
        *tag = self.encrypt(&full_nonce(nonce, aad), aad, parts, ciphertext);
        Ok(())
    }

    fn open_parts(
        &self,
        aad: &[u8; AAD_LEN],
        sealed: &[u8],
        parts: [&mut [u8]; 2],
        _scratch: &mut [u8],
    ) -> std::result::Result<(), Unauthentic> {
        let Some((ciphertext, nonce, tag)) = split(parts[0].len() + parts[1].len(), sealed) else {
            for part in parts {
                part.fill(0);
            }
            return Err(Unauthentic);
        };
        self.decrypt(&full_nonce(&nonce, aad), aad, ciphertext, &tag, parts)
    }
}
