//! Wrapping of data keys in keyslots: XChaCha20-Poly1305 of 32 bytes, 48 when wrapped.

use super::secret::Secret;
use super::suite::{NONCE_LEN, TAG_LEN, Unauthentic};
use crate::suites::xchacha;

/// Wraps `plaintext` under `key`: 32 bytes of ciphertext, then 16 of tag.
pub fn wrap_seal(key: &Secret<32>, nonce: &[u8; NONCE_LEN], aad: &[u8], plaintext: &[u8; 32]) -> [u8; 48] {
    let mut wrapped = [0; 48];
    let (data, tag) = wrapped.split_at_mut(32);
    tag.copy_from_slice(&xchacha::encrypt(key.expose(), nonce, aad, plaintext, data));
    wrapped
}

/// Unwraps what [`wrap_seal`] made with the same key, nonce and associated data.
pub fn wrap_open(
    key: &Secret<32>,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    wrapped: &[u8; 48],
) -> Result<Secret<32>, Unauthentic> {
    let (data, tag) = wrapped.split_first_chunk::<32>().expect("48 bytes");
    let tag: &[u8; TAG_LEN] = tag.try_into().expect("48 bytes");
    let mut plaintext = Secret::zeroed();
    *plaintext.expose_mut() = *data;
    xchacha::decrypt_in_place(key.expose(), nonce, aad, tag, plaintext.expose_mut())?;
    Ok(plaintext)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unwraps_only_what_was_wrapped() {
        let key = Secret::random().unwrap();
        let wrapped = wrap_seal(&key, &[7; 24], b"slot 0", &[9; 32]);
        assert_eq!(wrap_open(&key, &[7; 24], b"slot 0", &wrapped).unwrap().expose(), &[9; 32]);
        assert!(wrap_open(&key, &[8; 24], b"slot 0", &wrapped).is_err());
        assert!(wrap_open(&key, &[7; 24], b"slot 1", &wrapped).is_err());
        assert!(wrap_open(&Secret::random().unwrap(), &[7; 24], b"slot 0", &wrapped).is_err());
        for bit in 0..48 * 8 {
            let mut bent = wrapped;
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(wrap_open(&key, &[7; 24], b"slot 0", &bent).is_err(), "bit {bit}");
        }
    }
}
