//! The keyless suite: an XXH3-128 over associated data and block, which finds damage and misplaced blocks.

use xxhash_rust::xxh3::Xxh3;
use zeroize::Zeroize;

use crate::suite::{AAD_LEN, Suite, TAG_LEN, Unauthentic, wrong_lengths};
use ground::error::Result;

/// The `checksum` suite.
pub(crate) struct Checksum;

/// XXH3-128 with seed 0 over `AAD ‖ data`, stored as a little-endian 128-bit integer.
fn digest(aad: &[u8; AAD_LEN], data: &[u8]) -> [u8; TAG_LEN] {
    let mut hash = Xxh3::new();
    hash.update(aad);
    hash.update(data);
    hash.digest128().to_le_bytes()
}

impl Suite for Checksum {
    fn overhead(&self) -> usize {
        TAG_LEN
    }

    fn seal(&self, aad: &[u8; AAD_LEN], plaintext: &[u8], out: &mut [u8]) -> Result<()> {
        let (data, tag) = out.split_at_mut_checked(plaintext.len()).ok_or_else(wrong_lengths)?;
        let tag: &mut [u8; TAG_LEN] = tag.try_into().map_err(|_| wrong_lengths())?;
        data.copy_from_slice(plaintext);
        *tag = digest(aad, plaintext);
        Ok(())
    }

    fn open(
        &self,
        aad: &[u8; AAD_LEN],
        sealed: &[u8],
        out: &mut [u8],
    ) -> std::result::Result<(), Unauthentic> {
        let intact = match sealed.split_at_checked(out.len()) {
            Some((data, tag)) => {
                // Copied before it is hashed, as the memory behind `sealed` may change.
                out.copy_from_slice(data);
                <[u8; TAG_LEN]>::try_from(tag).is_ok_and(|tag| tag == digest(aad, out))
            }
            None => false,
        };
        if intact {
            return Ok(());
        }
        out.zeroize();
        Err(Unauthentic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streaming_over_both_parts_equals_one_hash_of_their_concatenation() {
        for len in [0usize, 1, 16, 175, 176, 177, 192, 256, 1000, 4096, 65536] {
            let aad: [u8; AAD_LEN] = std::array::from_fn(|i| i as u8);
            let data: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let whole = [&aad[..], &data].concat();
            assert_eq!(digest(&aad, &data), xxhash_rust::xxh3::xxh3_128(&whole).to_le_bytes(), "{len}");
        }
    }
}
