//! Adiantum with XChaCha12 and AES-256 (Crowley and Biggers, "Adiantum: length-preserving encryption for entry-level
//! processors", <https://eprint.iacr.org/2018/720>): a hash over the block, one AES block, a stream cipher, and the
//! hash again. Composed of `chacha20`, `aes` and AWS-LC's Poly1305; [`super::nh`] is the part that no crate has.

use aes::Aes256;
use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher};
use chacha20::{ChaCha12, R12, hchacha};
use zeroize::Zeroize;

use super::nh::{self, NhKey};
use super::poly1305::{self, poly1305};
use crate::locked::LockedBox;

/// Bytes of a key.
pub(crate) const KEY_LEN: usize = 32;
/// Bytes of the shortest block: the right part alone.
pub(crate) const MIN_LEN: usize = 16;

/// Adiantum under one key.
pub(crate) struct Adiantum {
    keys: LockedBox<Keys>,
}

/// Everything that follows from the key alone.
struct Keys {
    /// K_S, the key itself.
    stream: [u8; KEY_LEN],
    /// K_E.
    block: Aes256,
    /// K_T.
    tweak: [u8; poly1305::KEY_LEN],
    /// K_L.
    message: [u8; poly1305::KEY_LEN],
    /// K_N.
    nh: NhKey,
}

/// Bytes of K_E, K_T, K_L and K_N.
const DERIVED_LEN: usize = 32 + 2 * poly1305::KEY_LEN + nh::KEY_LEN;

/// Never inlined: what one call leaves on the stack, the next one covers.
#[inline(never)]
fn expand(key: &[u8; KEY_LEN]) -> LockedBox<Keys> {
    let mut derived = [0; DERIVED_LEN];
    apply_stream(key, &[], &mut derived);
    let (block, rest) = derived.split_first_chunk::<32>().expect("long enough");
    let (tweak, rest) = rest.split_first_chunk().expect("long enough");
    let (message, nh) = rest.split_first_chunk().expect("long enough");
    let keys = LockedBox::new(Keys {
        stream: *key,
        block: Aes256::new(block.into()),
        tweak: *tweak,
        message: *message,
        nh: NhKey::new(nh.try_into().expect("the rest of the derived bytes")),
    });
    derived.zeroize();
    keys
}

/// XChaCha12 with `nonce`, followed by a one and zeros, over `data`.
fn apply_stream(key: &[u8; KEY_LEN], nonce: &[u8], data: &mut [u8]) {
    let mut padded = [0; 24];
    padded[..nonce.len()].copy_from_slice(nonce);
    padded[nonce.len()] = 1;
    let (prefix, suffix) = padded.split_first_chunk::<16>().expect("24 bytes");
    let mut subkey = hchacha::<R12>(key.into(), prefix.into());
    // The extended nonce of Adiantum has a counter of 64 bits and a nonce of 64, `ChaCha12` one of 32 and one of 96:
    // the same below 256 GiB.
    let mut short = [0; 12];
    short[4..].copy_from_slice(suffix);
    ChaCha12::new(&subkey, &short.into()).apply_keystream(data);
    subkey.as_mut_slice().zeroize();
}

impl Adiantum {
    /// The cipher under `key`.
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Self {
        let keys = expand(key);
        std::hint::black_box(expand(&[0; KEY_LEN]));
        Adiantum { keys }
    }

    /// Encrypts `block` in place under `tweak`, which may have any length.
    ///
    /// # Panics
    /// If `block` is shorter than [`MIN_LEN`].
    pub(crate) fn encrypt(&self, tweak: &[u8], block: &mut [u8]) {
        let (left, right) = block.split_last_chunk_mut::<16>().expect("a block of at least 16 bytes");
        let tweak = self.hash_tweak(tweak, left.len());
        let sum = u128::from_le_bytes(*right).wrapping_add(tweak).wrapping_add(self.hash_message(left));
        let mut middle = Array::from(sum.to_le_bytes());
        self.keys.block.encrypt_block(&mut middle);
        apply_stream(&self.keys.stream, &middle, left);
        let middle = u128::from_le_bytes(middle.into());
        *right = middle.wrapping_sub(tweak).wrapping_sub(self.hash_message(left)).to_le_bytes();
    }

    /// Decrypts `block` in place, which was encrypted under the same `tweak`.
    ///
    /// # Panics
    /// As `encrypt`.
    pub(crate) fn decrypt(&self, tweak: &[u8], block: &mut [u8]) {
        let (left, right) = block.split_last_chunk_mut::<16>().expect("a block of at least 16 bytes");
        let tweak = self.hash_tweak(tweak, left.len());
        let sum = u128::from_le_bytes(*right).wrapping_add(tweak).wrapping_add(self.hash_message(left));
        let mut middle = Array::from(sum.to_le_bytes());
        apply_stream(&self.keys.stream, &middle, left);
        self.keys.block.decrypt_block(&mut middle);
        let middle = u128::from_le_bytes(middle.into());
        *right = middle.wrapping_sub(tweak).wrapping_sub(self.hash_message(left)).to_le_bytes();
    }

    /// The hash of the tweak and the length of the left part.
    fn hash_tweak(&self, tweak: &[u8], left_len: usize) -> u128 {
        poly1305(&self.keys.tweak, [&(8 * left_len as u128).to_le_bytes()[..], tweak])
    }

    /// The hash of a left part: Poly1305 over the NH hashes of its pieces.
    fn hash_message(&self, message: &[u8]) -> u128 {
        poly1305(&self.keys.message, message.chunks(nh::MESSAGE_MAX).map(|piece| self.hash_piece(piece)))
    }

    /// NH of a piece that is filled up with zeros.
    fn hash_piece(&self, piece: &[u8]) -> [u8; nh::HASH_LEN] {
        if piece.len().is_multiple_of(nh::UNIT) {
            return self.keys.nh.hash(piece);
        }
        let mut padded = [0; nh::MESSAGE_MAX];
        padded[..piece.len()].copy_from_slice(piece);
        let hash = self.keys.nh.hash(&padded[..piece.len().next_multiple_of(nh::UNIT)]);
        padded.zeroize();
        hash
    }
}

#[cfg(test)]
mod tests;
