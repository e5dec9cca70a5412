//! What every suite promises, whatever the cipher behind it.

use proptest::prelude::*;

use super::*;
use crate::nonce;
use crate::suite::{AAD_LEN, Unauthentic};

/// Those that tell damage.
fn tagged() -> impl Iterator<Item = SuiteId> {
    SuiteId::ALL.into_iter().filter(|id| id.has_tags())
}

fn untagged() -> impl Iterator<Item = SuiteId> {
    SuiteId::ALL.into_iter().filter(|id| !id.has_tags())
}

/// Those that tell tampering.
fn authenticated() -> impl Iterator<Item = SuiteId> {
    tagged().filter(|id| id.is_keyed())
}

fn suite_under(id: SuiteId, key: u8) -> Arc<dyn Suite> {
    // The halves of a key of 64 bytes must differ.
    let long: [u8; 64] = std::array::from_fn(|i| key ^ (i / 32) as u8);
    match id.key_len() {
        64 => instantiate(id, &Secret::<64>::from_slice(&long).unwrap()).unwrap(),
        _ => instantiate(id, &Secret::<32>::from_slice(&long[..32]).unwrap()).unwrap(),
    }
}

/// AAD laid out as in `docs/reference/format.md`, section 1.
fn aad(kind: u32, index: u64, context: u8) -> [u8; AAD_LEN] {
    let mut aad = [0; AAD_LEN];
    aad[..16].fill(0x55);
    aad[16..32].fill(0x4b);
    aad[32..36].copy_from_slice(&kind.to_le_bytes());
    aad[40..48].copy_from_slice(&index.to_le_bytes());
    aad[48..].fill(context);
    aad
}

fn sealed(suite: &dyn Suite, aad: &[u8; AAD_LEN], plaintext: &[u8]) -> Vec<u8> {
    let mut out = vec![0; plaintext.len() + suite.overhead()];
    suite.seal(aad, plaintext, &mut out).unwrap();
    out
}

/// Asserts that `sealed` does not open and that nothing of it is left behind.
fn assert_shut(suite: &dyn Suite, aad: &[u8; AAD_LEN], sealed: &[u8], len: usize, what: &str) {
    let mut out = vec![0xAA; len];
    assert_eq!(suite.open(aad, sealed, &mut out), Err(Unauthentic), "{what}");
    assert!(out.iter().all(|&b| b == 0), "{what}: plaintext left behind");
}

#[test]
fn names_and_numbers_lead_back_to_the_suite() {
    for id in SuiteId::ALL {
        assert_eq!(SuiteId::from_id(id as u32), Some(id));
        assert_eq!(SuiteId::from_name(id.name()), Some(id));
    }
    assert_eq!(SuiteId::from_id(0), None);
    assert_eq!(SuiteId::from_id(8), None);
    assert_eq!(SuiteId::from_name("AEGIS-256"), None);
    assert!(SuiteId::DEFAULT.has_tags() && SuiteId::DEFAULT.is_keyed());
}

#[test]
fn logs_have_tags_and_a_key_where_their_database_has_one_hazard_14() {
    for id in SuiteId::ALL {
        assert!(id.for_logs().has_tags());
        assert_eq!(id.for_logs().is_keyed(), id.is_keyed());
        assert!(!id.has_tags() || id.for_logs() == id);
    }
}

#[test]
fn a_block_without_a_tag_opens_to_something_but_never_elsewhere_to_the_same_hazard_14() {
    let plaintext: Vec<u8> = (0..512).map(|i| (i % 251) as u8).collect();
    for id in untagged() {
        let suite = suite_under(id, 1);
        let good = sealed(&*suite, &aad(1, 5, 0), &plaintext);
        let opened = |suite: &dyn Suite, aad: &[u8; AAD_LEN]| {
            let mut out = vec![0xAA; 512];
            suite.open(aad, &good, &mut out).unwrap();
            out
        };
        assert_eq!(opened(&*suite, &aad(1, 5, 0)), plaintext, "{}", id.name());
        assert_ne!(opened(&*suite, &aad(1, 6, 0)), plaintext, "{} index", id.name());
        assert_ne!(opened(&*suite, &aad(2, 5, 0)), plaintext, "{} kind", id.name());
        assert_ne!(opened(&*suite_under(id, 2), &aad(1, 5, 0)), plaintext, "{} key", id.name());
    }
}

#[test]
fn a_block_of_zeros_was_never_sealed_hazard_14() {
    for id in untagged() {
        assert_shut(&*suite_under(id, 1), &aad(1, 5, 0), &[0; 512], 512, id.name());
        let zeros = sealed(&*suite_under(id, 1), &aad(1, 5, 0), &[0; 512]);
        assert_ne!(zeros, [0; 512], "{}", id.name());
    }
}

#[test]
fn a_key_of_the_wrong_length_is_refused() {
    for id in SuiteId::ALL.into_iter().filter(|id| id.is_keyed()) {
        let fault = match id.key_len() {
            64 => instantiate(id, &Secret::<32>::zeroed()).err(),
            _ => instantiate(id, &Secret::<64>::zeroed()).err(),
        };
        assert!(fault.is_some(), "{}", id.name());
    }
}

#[test]
fn overhead_of_the_id_is_that_of_the_suite() {
    for id in SuiteId::ALL {
        assert_eq!(id.overhead(), suite_under(id, 1).overhead(), "{}", id.name());
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let plaintext: Vec<u8> = (0..37).map(|i| i + 1).collect();
    let aad = aad(1, 5, 0);
    for id in tagged() {
        let suite = suite_under(id, 1);
        let good = sealed(&*suite, &aad, &plaintext);
        for bit in 0..good.len() * 8 {
            let mut bent = good.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_shut(&*suite, &aad, &bent, plaintext.len(), &format!("{} bit {bit}", id.name()));
        }
    }
}

#[test]
fn every_bit_of_the_associated_data_counts() {
    let plaintext = [7; 40];
    let good_aad = aad(1, 5, 0);
    for id in tagged() {
        let suite = suite_under(id, 1);
        let good = sealed(&*suite, &good_aad, &plaintext);
        for bit in 0..AAD_LEN * 8 {
            let mut bent = good_aad;
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_shut(&*suite, &bent, &good, plaintext.len(), &format!("{} AAD bit {bit}", id.name()));
        }
    }
}

#[test]
fn a_block_opens_only_in_its_place() {
    let plaintext = [7; 4096];
    for id in tagged() {
        let suite = suite_under(id, 1);
        let good = sealed(&*suite, &aad(1, 5, 0), &plaintext);
        for (other, what) in [(aad(1, 6, 0), "index"), (aad(2, 5, 0), "kind"), (aad(1, 5, 9), "context")] {
            assert_shut(&*suite, &other, &good, plaintext.len(), &format!("{} wrong {what}", id.name()));
        }
    }
}

#[test]
fn a_block_opens_only_under_its_key_and_suite() {
    let plaintext = [7; 100];
    let aad = aad(1, 5, 0);
    for id in authenticated() {
        let good = sealed(&*suite_under(id, 1), &aad, &plaintext);
        assert_shut(&*suite_under(id, 2), &aad, &good, plaintext.len(), id.name());
        for other in authenticated().filter(|&other| other != id) {
            let what = format!("{} as {}", id.name(), other.name());
            assert_shut(&*suite_under(other, 1), &aad, &good, plaintext.len(), &what);
        }
    }
}

#[test]
fn wrong_lengths_fail_without_a_panic() {
    let aad = aad(1, 5, 0);
    for id in tagged() {
        let suite = suite_under(id, 1);
        let good = sealed(&*suite, &aad, &[7; 64]);
        for len in (0..200).filter(|&len| len != 64) {
            assert_shut(&*suite, &aad, &good, len, &format!("{} opened as {len}", id.name()));
        }
        for len in 0..good.len() {
            assert_shut(&*suite, &aad, &good[..len], 64, &format!("{} cut to {len}", id.name()));
        }
        for len in (0..200).filter(|&len| len != good.len()) {
            let fault = suite.seal(&aad, &[7; 64], &mut vec![0; len]).unwrap_err();
            assert_eq!(fault.class, FaultClass::Internal);
        }
    }
}

#[test]
fn equal_blocks_seal_differently() {
    let aad = aad(1, 5, 0);
    for id in authenticated() {
        let suite = suite_under(id, 1);
        let (a, b) = (sealed(&*suite, &aad, &[0; 64]), sealed(&*suite, &aad, &[0; 64]));
        assert_ne!(a[..64], b[..64], "{} ciphertext", id.name());
        assert_ne!(a[64..88], b[64..88], "{} nonce", id.name());
    }
}

#[test]
fn without_randomness_nothing_is_sealed_hazard_11() {
    let aad = aad(1, 5, 0);
    for id in authenticated() {
        let suite = suite_under(id, 1);
        let mut out = vec![0; 64 + suite.overhead()];
        nonce::fail_rng_for_tests(true);
        let refused = suite.seal(&aad, &[7; 64], &mut out);
        nonce::fail_rng_for_tests(false);
        assert_eq!(refused.unwrap_err().class, FaultClass::Io, "{}", id.name());
        suite.seal(&aad, &[7; 64], &mut out).unwrap();
    }
}

/// The layout of `docs/reference/format.md`: the stored nonce and the block index make the nonce of AEGIS.
#[test]
fn the_sealed_layout_is_that_of_the_format() {
    let aad = aad(3, 0x0102_0304_0506_0708, 9);
    let key = Secret::from_slice(&[1; 32]).unwrap();
    let block = sealed(&*suite_under(SuiteId::Aegis256, 1), &aad, &[7; 50]);
    let mut full_nonce = [0; 32];
    full_nonce[..24].copy_from_slice(&block[50..74]);
    full_nonce[24..].copy_from_slice(&[8, 7, 6, 5, 4, 3, 2, 1]);
    let mut ciphertext = [0; 50];
    let tag = Aegis::single(&key).encrypt(&full_nonce, &aad, [&[], &[7; 50]], &mut ciphertext);
    assert_eq!([&ciphertext[..], &full_nonce[..24], &tag].concat(), block);

    let block = sealed(&*suite_under(SuiteId::Checksum, 1), &aad, &[7; 50]);
    let sum = xxhash_rust::xxh3::xxh3_128(&[&aad[..], &[7; 50]].concat());
    assert_eq!([&[7; 50][..], &sum.to_le_bytes()].concat(), block);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_sealed_opens(len in 0usize..70_000, seed: u8, index: u64, kind in 1u32..7, context: u8) {
        let plaintext: Vec<u8> = (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
        let aad = aad(kind, index, context);
        for id in tagged() {
            let suite = suite_under(id, seed);
            let block = sealed(&*suite, &aad, &plaintext);
            let mut out = vec![0xAA; len];
            prop_assert_eq!(suite.open(&aad, &block, &mut out), Ok(()));
            let (head, body) = plaintext.split_at(len.min(24));
            let mut scratch = vec![0; len];
            let mut in_parts = vec![0; block.len()];
            suite.seal_parts(&aad, [head, body], &mut in_parts, &mut scratch).unwrap();
            for block in [&block, &in_parts] {
                let mut parts = vec![0xAA; len];
                let (head, body) = parts.split_at_mut(len.min(24));
                prop_assert_eq!(suite.open_parts(&aad, block, [head, body], &mut scratch), Ok(()));
                prop_assert_eq!(&parts, &plaintext);
            }
            if let Some(byte) = in_parts.last_mut() {
                *byte ^= 1;
                let mut parts = vec![0xAA; len];
                let (head, body) = parts.split_at_mut(len.min(24));
                prop_assert_eq!(suite.open_parts(&aad, &in_parts, [head, body], &mut scratch), Err(Unauthentic));
                prop_assert!(parts.iter().all(|byte| *byte == 0));
            }
            prop_assert!(out == plaintext);
        }
    }

    #[test]
    fn what_was_tampered_with_stays_shut(
        len in 0usize..10_000,
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let plaintext = vec![0x42; len];
        let aad = aad(1, 5, 0);
        for id in tagged() {
            let suite = suite_under(id, 1);
            let mut block = sealed(&*suite, &aad, &plaintext);
            let at = at.index(block.len());
            block[at] ^= flip;
            let mut out = vec![0xAA; len];
            prop_assert_eq!(suite.open(&aad, &block, &mut out), Err(Unauthentic));
            prop_assert!(out.iter().all(|&b| b == 0));
        }
    }
}
