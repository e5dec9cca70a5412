//! XAES-256-GCM (<https://c2sp.org/XAES-256-GCM>): a CMAC-based derivation turns the key and the first 12
//! bytes of the nonce into a key for AES-256-GCM, which works under the other 12.

use aes::Aes256Enc;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN as SHORT_NONCE, Nonce, UnboundKey};
use zeroize::Zeroize;

use crate::locked::LockedBox;
use crate::nonce;
use crate::secret::Secret;
use crate::suite::{AAD_LEN, NONCE_LEN, Suite, TAG_LEN, Unauthentic, split, split_mut, wrong_lengths};
use ground::error::Result;

/// The suite `aes-256-gcm`.
pub(crate) struct XAes256Gcm {
    /// In locked memory: the first round keys are the key.
    cipher: LockedBox<Aes256Enc>,
    /// Under a key of zeros, to leave behind in registers.
    blank: LockedBox<Aes256Enc>,
    /// The CMAC subkey K1 (NIST SP 800-38B, section 6.1), computed once per key.
    k1: Secret<16>,
}

/// The cipher and the CMAC subkey K1. Never inlined: what one call leaves on the stack, the next one covers.
#[inline(never)]
fn expand(key: &[u8; 32]) -> (LockedBox<Aes256Enc>, Secret<16>) {
    let cipher = LockedBox::new(Aes256Enc::new(key.into()));
    let mut block = Array::from([0; 16]);
    cipher.encrypt_block(&mut block);
    let mut l = u128::from_be_bytes(block.into());
    // Doubling in GF(2^128); the product instead of a branch keeps it independent of the secret bit.
    let mut doubled = (l << 1) ^ ((l >> 127) * 0x87);
    let mut k1 = Secret::zeroed();
    *k1.expose_mut() = doubled.to_be_bytes();
    block.as_mut_slice().zeroize();
    l.zeroize();
    doubled.zeroize();
    (cipher, k1)
}

impl XAes256Gcm {
    pub(crate) fn new(key: &Secret<32>) -> Self {
        let (cipher, k1) = expand(key.expose());
        // The round keys passed through the stack and were left in vector registers. The same with others takes their
        // place.
        let (blank, _) = expand(&[0; 32]);
        XAes256Gcm { cipher, blank, k1 }
    }

    /// The derived key Kₓ for the first half of a nonce: two AES blocks.
    pub(crate) fn derive(&self, nonce: &[u8; 12]) -> [u8; 32] {
        let mut blocks = [Array::from([0; 16]), Array::from([0; 16])];
        for (counter, block) in (1..).zip(&mut blocks) {
            block[..4].copy_from_slice(&[0, counter, b'X', 0]);
            block[4..].copy_from_slice(nonce);
            for (byte, mask) in block.iter_mut().zip(self.k1.expose()) {
                *byte ^= mask;
            }
        }
        self.cipher.encrypt_blocks(&mut blocks);
        let mut key = [0; 32];
        for (half, block) in key.chunks_exact_mut(16).zip(&mut blocks) {
            half.copy_from_slice(block);
            block.as_mut_slice().zeroize();
        }
        // The round keys, the first of which are the key itself, are left in vector registers, and whoever saves
        // those next puts them on the stack. The same with others takes their place.
        self.blank.encrypt_blocks(&mut blocks);
        std::hint::black_box(&blocks);
        key
    }

    /// The key and nonce of the inner AES-256-GCM.
    fn inner(&self, nonce: &[u8; NONCE_LEN]) -> (LessSafeKey, Nonce) {
        let (prefix, suffix) = nonce.split_first_chunk::<12>().expect("24 bytes");
        let mut key = self.derive(prefix);
        let cipher = UnboundKey::new(&AES_256_GCM, &key).expect("a key of 32 bytes");
        key.zeroize();
        let suffix: [u8; SHORT_NONCE] = suffix.try_into().expect("24 bytes");
        (LessSafeKey::new(cipher), Nonce::assume_unique_for_key(suffix))
    }

    /// Encrypts `plaintext` into `ciphertext`, which is as long, and returns the tag.
    pub(crate) fn encrypt(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        plaintext: &[u8],
        ciphertext: &mut [u8],
    ) -> [u8; TAG_LEN] {
        let (cipher, nonce) = self.inner(nonce);
        let mut tag = [0; TAG_LEN];
        cipher
            .seal_out_of_place_scatter(nonce, Aad::from(aad), plaintext, ciphertext, &[], &mut tag)
            .expect("a block of legal size");
        tag
    }

    /// Decrypts `data` in place; on failure it is zero.
    pub(crate) fn decrypt_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        tag: &[u8; TAG_LEN],
        data: &mut [u8],
    ) -> std::result::Result<(), Unauthentic> {
        let (cipher, nonce) = self.inner(nonce);
        if cipher.open_in_place_separate_tag(nonce, Aad::from(aad), tag, data).is_ok() {
            return Ok(());
        }
        data.zeroize();
        Err(Unauthentic)
    }
}

impl Suite for XAes256Gcm {
    fn overhead(&self) -> usize {
        NONCE_LEN + TAG_LEN
    }

    fn seal(&self, aad: &[u8; AAD_LEN], plaintext: &[u8], out: &mut [u8]) -> Result<()> {
        let (ciphertext, nonce, tag) = split_mut(plaintext.len(), out).ok_or_else(wrong_lengths)?;
        *nonce = nonce::draw()?;
        *tag = self.encrypt(nonce, aad, plaintext, ciphertext);
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
        // GHASH and counter mode may read the ciphertext separately: both must see the same bytes.
        out.copy_from_slice(ciphertext);
        self.decrypt_in_place(&nonce, aad, &tag, out)
    }
}
