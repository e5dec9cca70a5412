//! The suites over a length-preserving cipher: a sealed block is as long as the plaintext and carries no tag.
//!
//! They open whatever they are given, but for one thing: a block of zeros was never sealed.

use crate::primitives::length_preserving::{
    LengthPreserving, LengthPreservingCipher, instantiate_length_preserving,
};
use crate::suite::{AAD_LEN, Suite, Unauthentic, index_bytes, kind_bytes, wrong_lengths};
use ground::error::Result;

/// The suite `adiantum` or `aes-256-xts`.
pub(crate) struct Untagged {
    variant: LengthPreserving,
    cipher: Box<dyn LengthPreservingCipher>,
}

/// Kind and index, all of the associated data that such a cipher knows of. The rest is bound by the key.
fn place(aad: &[u8; AAD_LEN]) -> (u8, u64) {
    (kind_bytes(aad)[0], u64::from_le_bytes(*index_bytes(aad)))
}

impl Untagged {
    /// Errors: those of [`instantiate_length_preserving`].
    pub(crate) fn new(variant: LengthPreserving, key: &[u8]) -> Result<Self> {
        Ok(Untagged { variant, cipher: instantiate_length_preserving(variant, key)? })
    }
}

impl Suite for Untagged {
    fn overhead(&self) -> usize {
        0
    }

    fn seal(&self, aad: &[u8; AAD_LEN], plaintext: &[u8], out: &mut [u8]) -> Result<()> {
        if out.len() != plaintext.len() || !self.variant.takes(out.len()) {
            return Err(wrong_lengths());
        }
        out.copy_from_slice(plaintext);
        let (kind, index) = place(aad);
        self.cipher.encrypt(kind, index, out);
        Ok(())
    }

    fn open(
        &self,
        aad: &[u8; AAD_LEN],
        sealed: &[u8],
        out: &mut [u8],
    ) -> std::result::Result<(), Unauthentic> {
        if sealed.len() != out.len() || !self.variant.takes(out.len()) {
            out.fill(0);
            return Err(Unauthentic);
        }
        // Copied before anything looks at it, as the memory behind `sealed` may change.
        out.copy_from_slice(sealed);
        // Of all ciphertexts of a page no plaintext that anybody writes has this one.
        if out.iter().all(|byte| *byte == 0) {
            return Err(Unauthentic);
        }
        let (kind, index) = place(aad);
        self.cipher.decrypt(kind, index, out);
        Ok(())
    }
}
