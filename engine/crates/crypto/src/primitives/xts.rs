//! AES-256 in XTS mode (IEEE 1619-2007, NIST SP 800-38E), for data units of whole 16-byte blocks: databases have no
//! others, so ciphertext stealing is left out.

use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit, consts::U16};
use aes::{Aes256, Aes256Enc};

use crate::locked::LockedBox;

/// Bytes of a key: one AES-256 key for the data, then one for the tweaks.
pub(crate) const KEY_LEN: usize = 64;
/// Data units are multiples of this many bytes.
pub(crate) const UNIT: usize = 16;
/// Blocks whose tweaks are at hand at a time: as many as the widest implementation in `aes` takes at once.
const BATCH: usize = 64;

type Block = Array<u8, U16>;

/// AES-256-XTS under one key.
pub(crate) struct Aes256Xts {
    /// In locked memory: the first round keys are the key.
    keys: LockedBox<Keys>,
    /// Under keys of zeros, to leave behind in registers and on the stack.
    blank: LockedBox<Keys>,
}

struct Keys {
    data: Aes256,
    tweak: Aes256Enc,
}

/// Never inlined: what one call leaves on the stack, the next one covers.
#[inline(never)]
fn expand(key: &[u8; KEY_LEN]) -> LockedBox<Keys> {
    let (data, tweak) = key.split_first_chunk::<32>().expect("64 bytes");
    let tweak: &[u8; 32] = tweak.try_into().expect("64 bytes");
    LockedBox::new(Keys { data: Aes256::new(data.into()), tweak: Aes256Enc::new(tweak.into()) })
}

impl Aes256Xts {
    /// The cipher under `key`, the halves of which the caller has found to differ.
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Self {
        let keys = expand(key);
        // The round keys passed through the stack and vector registers. Those of another key take their place.
        Aes256Xts { keys, blank: expand(&[0; KEY_LEN]) }
    }

    /// Encrypts the data unit with this number in place.
    ///
    /// # Panics
    /// If it is empty or not a multiple of [`UNIT`] bytes.
    pub(crate) fn encrypt(&self, sector: u64, unit: &mut [u8]) {
        self.run(sector, unit, |cipher, blocks| cipher.encrypt_blocks(blocks));
    }

    /// Decrypts the data unit with this number in place.
    ///
    /// # Panics
    /// As `encrypt`.
    pub(crate) fn decrypt(&self, sector: u64, unit: &mut [u8]) {
        self.run(sector, unit, |cipher, blocks| cipher.decrypt_blocks(blocks));
    }

    /// The widest implementations keep all round keys in vector registers, or spill them to the stack. After the work is
    /// done, the same with others takes their place, a batch at most.
    #[inline]
    fn run(&self, sector: u64, unit: &mut [u8], cipher: impl Fn(&Aes256, &mut [Block])) {
        process(&self.keys, sector, unit, &cipher);
        let mut cover = [0; BATCH * UNIT];
        let len = unit.len().min(cover.len());
        process(&self.blank, 0, &mut cover[..len], &cipher);
        std::hint::black_box(&cover);
    }
}

/// Never inlined, as `expand`.
#[inline(never)]
fn process(keys: &Keys, sector: u64, unit: &mut [u8], cipher: &impl Fn(&Aes256, &mut [Block])) {
    let (blocks, rest) = Block::slice_as_chunks_mut(unit);
    assert!(!blocks.is_empty() && rest.is_empty(), "a data unit of whole blocks");
    let mut first = Block::from(u128::from(sector).to_le_bytes());
    keys.tweak.encrypt_block(&mut first);
    let mut next = u128::from_le_bytes(first.into());
    let mut tweaks = [0; BATCH];
    for batch in blocks.chunks_mut(BATCH) {
        for tweak in &mut tweaks[..batch.len()] {
            *tweak = next;
            next = double(next);
        }
        mask(batch, &tweaks);
        cipher(&keys.data, batch);
        mask(batch, &tweaks);
    }
}

/// Multiplication by x in GF(2^128), IEEE 1619, section 5.2; the product instead of a branch keeps it independent of
/// the bit that falls out.
fn double(tweak: u128) -> u128 {
    (tweak << 1) ^ ((tweak >> 127) * 0x87)
}

fn mask(blocks: &mut [Block], tweaks: &[u128; BATCH]) {
    for (block, tweak) in blocks.iter_mut().zip(tweaks) {
        *block = (u128::from_le_bytes((*block).into()) ^ tweak).to_le_bytes().into();
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::vectors::{hex, load};

    #[derive(Deserialize)]
    struct XtsTest {
        name: String,
        key: String,
        sector: u64,
        msg: String,
        ct: String,
    }

    fn check(file: &str) -> usize {
        let tests: Vec<XtsTest> = load(file);
        for test in &tests {
            let xts = Aes256Xts::new(hex(&test.key)[..].try_into().unwrap());
            let (msg, ct) = (hex(&test.msg), hex(&test.ct));
            let mut unit = msg.clone();
            xts.encrypt(test.sector, &mut unit);
            assert_eq!(unit, ct, "{}", test.name);
            xts.decrypt(test.sector, &mut unit);
            assert_eq!(unit, msg, "{}", test.name);
        }
        tests.len()
    }

    #[test]
    fn xts_of_nist() {
        assert_eq!(check(include_str!("../../tests/vectors/cavp-aes-256-xts.json")), 600);
    }

    #[test]
    fn xts_of_ieee_1619() {
        assert_eq!(check(include_str!("../../tests/vectors/ieee-1619-aes-256-xts.json")), 5);
    }

    /// Longer than a batch, and not a multiple of one: the tweaks go on where they were.
    #[test]
    fn a_long_unit_is_the_definition_block_by_block() {
        let key: [u8; KEY_LEN] = std::array::from_fn(|i| i as u8);
        let xts = Aes256Xts::new(&key);
        let msg: Vec<u8> = (0..UNIT * (3 * BATCH + 5)).map(|i| (i * 7) as u8).collect();
        let mut unit = msg.clone();
        xts.encrypt(9, &mut unit);
        let data = Aes256::new(key[..32].try_into().unwrap());
        let mut tweak = Block::from([9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        Aes256::new(key[32..].try_into().unwrap()).encrypt_block(&mut tweak);
        for (plain, sealed) in msg.chunks_exact(UNIT).zip(unit.chunks_exact(UNIT)) {
            let mut block = Block::try_from(plain).unwrap();
            let masked = |block: Block| Block::from_fn(|i| block[i] ^ tweak[i]);
            block = masked(block);
            data.encrypt_block(&mut block);
            assert_eq!(masked(block)[..], *sealed);
            // IEEE 1619, section 5.2, byte by byte.
            let mut carry = 0;
            for byte in &mut tweak {
                (*byte, carry) = (*byte << 1 | carry, *byte >> 7);
            }
            tweak[0] ^= 0x87 * carry;
        }
        xts.decrypt(9, &mut unit);
        assert_eq!(unit, msg);
    }
}
