//! NH, the universal hash below Adiantum (Crowley and Biggers, <https://eprint.iacr.org/2018/720>, section 5.2): four
//! passes over 32-bit words, each a sum of 64-bit products.
//!
//! A hash of linear sums and products, with no branch and no table that depends on a secret.

/// The longest message in bytes.
pub(crate) const MESSAGE_MAX: usize = 1024;
/// Messages are multiples of this many bytes.
pub(crate) const UNIT: usize = 16;
/// Passes, each with the key moved on by one unit.
const PASSES: usize = 4;
/// Bytes of a hash.
pub(crate) const HASH_LEN: usize = 8 * PASSES;
/// Bytes of a key: one unit for each unit of the longest message and each further pass.
pub(crate) const KEY_LEN: usize = MESSAGE_MAX + UNIT * (PASSES - 1);
/// Words of a unit, and of its key.
const WORDS: usize = UNIT / 4;

/// A key: the words of each unit in the order 0, 2, 1, 3, so that the two that are multiplied with each other
/// lie side by side.
pub(crate) struct NhKey([[u32; WORDS]; KEY_LEN / UNIT]);

impl NhKey {
    /// A key from its bytes.
    pub(crate) fn new(bytes: &[u8; KEY_LEN]) -> Self {
        let mut key = [[0; WORDS]; KEY_LEN / UNIT];
        for (unit, bytes) in key.iter_mut().zip(bytes.as_chunks::<UNIT>().0) {
            let [a, b, c, d] = words(bytes);
            *unit = [a, c, b, d];
        }
        NhKey(key)
    }

    /// The hash of `message`.
    ///
    /// # Panics
    /// If `message` is not a multiple of [`UNIT`] bytes, or longer than [`MESSAGE_MAX`].
    pub(crate) fn hash(&self, message: &[u8]) -> [u8; HASH_LEN] {
        let (units, rest) = message.as_chunks::<UNIT>();
        assert!(rest.is_empty() && message.len() <= MESSAGE_MAX, "a message that NH takes");
        let mut hash = [0; HASH_LEN];
        for (bytes, sum) in hash.as_chunks_mut::<8>().0.iter_mut().zip(self.sums(units)) {
            *bytes = sum.to_le_bytes();
        }
        hash
    }

    fn sums(&self, units: &[[u8; UNIT]]) -> [u64; PASSES] {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            let (pairs, rest) = units.as_chunks::<2>();
            // SAFETY: the processor was just found to have AVX2.
            let sums = unsafe { avx2::sums(&self.0, pairs) };
            return portable(&self.0[2 * pairs.len()..], rest, sums);
        }
        portable(&self.0, units, [0; PASSES])
    }
}

fn words(unit: &[u8; UNIT]) -> [u32; WORDS] {
    std::array::from_fn(|word| {
        u32::from_le_bytes(*unit[4 * word..].first_chunk().expect("a unit has four words"))
    })
}

/// `sums` and what `units` add to them under the key that begins with `key`.
fn portable(key: &[[u32; WORDS]], units: &[[u8; UNIT]], mut sums: [u64; PASSES]) -> [u64; PASSES] {
    for (key, unit) in key.windows(PASSES).zip(units) {
        let [a, b, c, d] = words(unit);
        for (sum, key) in sums.iter_mut().zip(key) {
            let product = |x: u32, y: u32, i: usize| {
                u64::from(x.wrapping_add(key[i])) * u64::from(y.wrapping_add(key[i + 1]))
            };
            *sum = sum.wrapping_add(product(a, c, 0)).wrapping_add(product(b, d, 2));
        }
    }
    sums
}

/// The same, two units at a time.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{PASSES, UNIT, WORDS};

    #[target_feature(enable = "avx2")]
    pub(crate) fn sums(key: &[[u32; WORDS]], pairs: &[[[u8; UNIT]; 2]]) -> [u64; PASSES] {
        let mut sums = [_mm256_setzero_si256(); PASSES];
        for (pair, key) in pairs.iter().zip(key.windows(PASSES + 1).step_by(2)) {
            // SAFETY: a pair has 32 bytes, and the load needs no alignment.
            let message = unsafe { _mm256_loadu_si256(pair.as_ptr().cast()) };
            // Words 0, 2, 1, 3 of each unit, as in the key.
            let message = _mm256_shuffle_epi32::<0b11_01_10_00>(message);
            for (pass, sum) in sums.iter_mut().enumerate() {
                // SAFETY: two units of the key follow from here, since a window has one more than there are passes.
                let key = unsafe { _mm256_loadu_si256(key[pass..].as_ptr().cast()) };
                let words = _mm256_add_epi32(message, key);
                let products = _mm256_mul_epu32(words, _mm256_srli_epi64::<32>(words));
                *sum = _mm256_add_epi64(*sum, products);
            }
        }
        sums.map(|sum| {
            let mut lanes = [0u64; 4];
            // SAFETY: four lanes have 32 bytes, and the store needs no alignment.
            unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
            lanes.into_iter().fold(0, u64::wrapping_add)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::vectors::{hex, load};

    #[derive(Deserialize)]
    struct NhTest {
        name: String,
        key: String,
        msg: String,
        hash: String,
    }

    #[test]
    fn nh_of_google() {
        let tests: Vec<NhTest> = load(include_str!("../../tests/vectors/nh.json"));
        assert_eq!(tests.len(), 15);
        for test in tests {
            let key = NhKey::new(hex(&test.key)[..].try_into().unwrap());
            assert_eq!(key.hash(&hex(&test.msg))[..], hex(&test.hash), "{}", test.name);
        }
    }

    proptest! {
        /// Whatever the processor has gives what the definition says.
        #[test]
        fn all_ways_to_compute_it_agree(
            key in proptest::collection::vec(any::<u8>(), KEY_LEN),
            units in proptest::collection::vec(any::<[u8; UNIT]>(), 0..=MESSAGE_MAX / UNIT),
        ) {
            let key = NhKey::new(key[..].try_into().unwrap());
            prop_assert_eq!(key.sums(&units), portable(&key.0, &units, [0; PASSES]));
        }
    }

    #[test]
    fn sums_and_products_wrap_where_the_definition_says() {
        let key = NhKey::new(&[0xFF; KEY_LEN]);
        // Words of zero under a key of ones: 64 units of twice (2^32 - 1)^2, modulo 2^64.
        let expected = (u64::from(u32::MAX).wrapping_mul(u32::MAX.into())).wrapping_mul(2 * 64);
        assert_eq!(key.hash(&[0; MESSAGE_MAX]), [expected.to_le_bytes(); PASSES].as_flattened());
        // A word of one wraps to zero.
        let one = [1, 0, 0, 0].repeat(MESSAGE_MAX / 4);
        assert_eq!(key.hash(&one), [0; HASH_LEN]);
    }
}
