//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha): HChaCha20 derives a key from the first 16 bytes of the
//! nonce, and ChaCha20-Poly1305 (RFC 8439) works under that key and the other 8.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN as SHORT_NONCE, Nonce, UnboundKey};
use chacha20::{R20, hchacha};
use zeroize::Zeroize;

use crate::nonce;
use crate::secret::Secret;
use crate::suite::{AAD_LEN, NONCE_LEN, Suite, TAG_LEN, Unauthentic, split, split_mut, wrong_lengths};
use ground::error::Result;

/// The suite `xchacha20-poly1305`.
pub(crate) struct XChaCha20Poly1305 {
    key: Secret<32>,
}

/// The key and nonce of the inner ChaCha20-Poly1305.
fn inner(key: &[u8; 32], nonce: &[u8; NONCE_LEN]) -> (LessSafeKey, Nonce) {
    let (prefix, suffix) = nonce.split_first_chunk::<16>().expect("24 bytes");
    let mut subkey: [u8; 32] = hchacha::<R20>(key.into(), prefix.into()).into();
    let cipher = UnboundKey::new(&CHACHA20_POLY1305, &subkey).expect("a key of 32 bytes");
    subkey.zeroize();
    let mut short = [0; SHORT_NONCE];
    short[4..].copy_from_slice(suffix);
    (LessSafeKey::new(cipher), Nonce::assume_unique_for_key(short))
}

/// Encrypts `plaintext` into `ciphertext`, which is as long, and returns the tag.
pub(crate) fn encrypt(
    key: &[u8; 32],
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    plaintext: &[u8],
    ciphertext: &mut [u8],
) -> [u8; TAG_LEN] {
    let (cipher, nonce) = inner(key, nonce);
    let mut tag = [0; TAG_LEN];
    cipher
        .seal_out_of_place_scatter(nonce, Aad::from(aad), plaintext, ciphertext, &[], &mut tag)
        .expect("a block of legal size");
    tag
}

/// Decrypts `data` in place; on failure it is zero.
pub(crate) fn decrypt_in_place(
    key: &[u8; 32],
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    tag: &[u8; TAG_LEN],
    data: &mut [u8],
) -> std::result::Result<(), Unauthentic> {
    let (cipher, nonce) = inner(key, nonce);
    if cipher.open_in_place_separate_tag(nonce, Aad::from(aad), tag, data).is_ok() {
        return Ok(());
    }
    data.zeroize();
    Err(Unauthentic)
}

impl XChaCha20Poly1305 {
    pub(crate) fn new(key: &Secret<32>) -> Self {
        XChaCha20Poly1305 { key: key.duplicate() }
    }
}

impl Suite for XChaCha20Poly1305 {
    fn overhead(&self) -> usize {
        NONCE_LEN + TAG_LEN
    }

    fn seal(&self, aad: &[u8; AAD_LEN], plaintext: &[u8], out: &mut [u8]) -> Result<()> {
        let (ciphertext, nonce, tag) = split_mut(plaintext.len(), out).ok_or_else(wrong_lengths)?;
        *nonce = nonce::draw()?;
        *tag = encrypt(self.key.expose(), nonce, aad, plaintext, ciphertext);
        Ok(())
    }

    fn open(
        &self,
        aad: &[u8; AAD_LEN],
        sealed: &[u8],
        out: &mut [u8],
    ) -> std::result::Result<(), Unauthentic> {
        let Some((ciphertext, nonce, tag)) = split(out.len(), sealed) else {
            out.fill(0);
            return Err(Unauthentic);
        };
        // Poly1305 runs over the ciphertext before ChaCha20 does: both must see the same bytes.
        out.copy_from_slice(ciphertext);
        decrypt_in_place(self.key.expose(), &nonce, aad, &tag, out)
    }
}
