//! Ciphers whose ciphertext is as long as the plaintext: nothing is stored beside it, so nothing is authenticated.
//!
//! The place of a block, a kind of file and a number, takes the place of a nonce. The same block at the same place
//! always encrypts to the same bytes, and every ciphertext decrypts to something.

use super::adiantum::{self, Adiantum};
use super::xts::{self, Aes256Xts};
use crate::kdf;
use ground::error::{Fault, FaultClass, Result};

/// The length-preserving ciphers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LengthPreserving {
    /// Adiantum with XChaCha12 and AES-256 (Crowley and Biggers, 2018): every bit of a block depends on every other.
    Adiantum,
    /// AES-256 in XTS mode (IEEE 1619, NIST SP 800-38E): 16 bytes at a time.
    Aes256Xts,
}

impl LengthPreserving {
    /// Both.
    pub const ALL: [LengthPreserving; 2] = [LengthPreserving::Adiantum, LengthPreserving::Aes256Xts];

    /// The cipher with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cipher| cipher.name() == name)
    }

    /// Its public name.
    pub fn name(self) -> &'static str {
        match self {
            LengthPreserving::Adiantum => "adiantum",
            LengthPreserving::Aes256Xts => "aes-256-xts",
        }
    }

    /// Bytes of its key.
    pub fn key_len(self) -> usize {
        match self {
            LengthPreserving::Adiantum => adiantum::KEY_LEN,
            LengthPreserving::Aes256Xts => xts::KEY_LEN,
        }
    }

    /// Whether it takes blocks of `len` bytes.
    pub fn takes(self, len: usize) -> bool {
        match self {
            LengthPreserving::Adiantum => len >= adiantum::MIN_LEN,
            LengthPreserving::Aes256Xts => len > 0 && len.is_multiple_of(xts::UNIT),
        }
    }
}

/// A length-preserving cipher with its key.
pub trait LengthPreservingCipher: Send + Sync {
    /// Encrypts block `number` of a file of `kind` in place.
    ///
    /// # Panics
    /// If the cipher does not take blocks of this length ([`LengthPreserving::takes`]), or `number` has more than 56
    /// bits, which no file has blocks for.
    fn encrypt(&self, kind: u8, number: u64, block: &mut [u8]);

    /// Decrypts what [`encrypt`](Self::encrypt) made at the same place.
    ///
    /// # Panics
    /// As `encrypt`.
    fn decrypt(&self, kind: u8, number: u64, block: &mut [u8]);
}

/// The cipher under `key`, whose copy is kept in locked memory.
///
/// Errors: `InvalidArgument` if the key does not have [`LengthPreserving::key_len`] bytes, and for AES-256-XTS if its
/// halves are equal.
pub fn instantiate_length_preserving(
    cipher: LengthPreserving,
    key: &[u8],
) -> Result<Box<dyn LengthPreservingCipher>> {
    let refused = |reason: &str| Fault::new(FaultClass::InvalidArgument, reason);
    let wrong_length = || {
        let (name, expected) = (cipher.name(), cipher.key_len());
        refused(&format!("a key for {name} has {expected} bytes, and this one has {}", key.len()))
    };
    match cipher {
        LengthPreserving::Adiantum => {
            let key = key.try_into().map_err(|_| wrong_length())?;
            Ok(Box::new(Adiantum::new(key)))
        }
        LengthPreserving::Aes256Xts => {
            let key: &[u8; xts::KEY_LEN] = key.try_into().map_err(|_| wrong_length())?;
            let (data, tweak) = key.split_at(xts::KEY_LEN / 2);
            // IEEE 1619, and FIPS 140's guidance on it: equal halves let chosen blocks give the tweaks away.
            if kdf::equal(data, tweak) {
                return Err(refused(
                    "the two halves of an AES-256-XTS key must differ; use 64 bytes that were derived or drawn as one",
                ));
            }
            Ok(Box::new(Aes256Xts::new(key)))
        }
    }
}

impl LengthPreservingCipher for Adiantum {
    fn encrypt(&self, kind: u8, number: u64, block: &mut [u8]) {
        Adiantum::encrypt(self, &adiantum_tweak(kind, number), block);
    }

    fn decrypt(&self, kind: u8, number: u64, block: &mut [u8]) {
        Adiantum::decrypt(self, &adiantum_tweak(kind, number), block);
    }
}

impl LengthPreservingCipher for Aes256Xts {
    fn encrypt(&self, kind: u8, number: u64, block: &mut [u8]) {
        Aes256Xts::encrypt(self, sector(kind, number), block);
    }

    fn decrypt(&self, kind: u8, number: u64, block: &mut [u8]) {
        Aes256Xts::decrypt(self, sector(kind, number), block);
    }
}

/// The kind, then the number as 8 bytes, the most significant first.
fn adiantum_tweak(kind: u8, number: u64) -> [u8; 9] {
    let mut tweak = [kind; 9];
    tweak[1..].copy_from_slice(&number.to_be_bytes());
    tweak
}

/// The kind in the highest byte of a 64-bit sector number, the block's number in the others.
fn sector(kind: u8, number: u64) -> u64 {
    assert!(number < 1 << 56, "a number that leaves room for the kind");
    u64::from(kind) << 56 | number
}

#[cfg(test)]
mod tests;
