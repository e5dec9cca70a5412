//! Poly1305 (RFC 8439, section 2.5) as the universal hash that Adiantum wants: without the key that is added at the end.
//!
//! AWS-LC's, through its own C interface, since `aws-lc-rs` has it only within an AEAD. The `poly1305` crate takes 930 ns
//! for the 128 bytes that stand for a page of 4 KiB, and 560 ns for the 25 of a tweak.

use aws_lc_sys::{CRYPTO_poly1305_finish, CRYPTO_poly1305_init, CRYPTO_poly1305_update, poly1305_state};
use zeroize::Zeroize;

/// Bytes of the key r.
pub(crate) const KEY_LEN: usize = 16;

/// The hash of `parts`, one after the other, under `r`: an integer modulo 2^128.
pub(crate) fn poly1305<P: AsRef<[u8]>>(r: &[u8; KEY_LEN], parts: impl IntoIterator<Item = P>) -> u128 {
    let mut key = [0; 2 * KEY_LEN];
    key[..KEY_LEN].copy_from_slice(r);
    let (mut state, mut hash): (poly1305_state, _) = ([0; 512], [0; 16]);
    // SAFETY: a state of AWS-LC's own type, which stays where it is until the end, since AWS-LC finds an aligned place
    // within it; and the 32 bytes of a key (openssl/poly1305.h).
    unsafe { CRYPTO_poly1305_init(&raw mut state, key.as_ptr()) };
    for part in parts {
        let part = part.as_ref();
        // SAFETY: the state made above, and as many bytes as are said to be there.
        unsafe { CRYPTO_poly1305_update(&raw mut state, part.as_ptr(), part.len()) };
    }
    // SAFETY: the same state, and room for 16 bytes.
    unsafe { CRYPTO_poly1305_finish(&raw mut state, hash.as_mut_ptr()) };
    state.zeroize();
    key.zeroize();
    u128::from_le_bytes(hash)
}
