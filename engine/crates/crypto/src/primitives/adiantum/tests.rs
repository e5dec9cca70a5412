//! Adiantum and its parts against the vectors of its authors, and its behaviour at the edges.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::vectors::{hex, load};

#[derive(Deserialize)]
struct AdiantumTest {
    name: String,
    key: String,
    tweak: String,
    msg: String,
    ct: String,
}

#[test]
fn adiantum_of_google() {
    let tests: Vec<AdiantumTest> = load(include_str!("../../../tests/vectors/adiantum.json"));
    assert_eq!(tests.len(), 180);
    for test in tests {
        let adiantum = Adiantum::new(hex(&test.key)[..].try_into().unwrap());
        let (tweak, msg, ct) = (hex(&test.tweak), hex(&test.msg), hex(&test.ct));
        let mut block = msg.clone();
        adiantum.encrypt(&tweak, &mut block);
        assert_eq!(block, ct, "{}", test.name);
        adiantum.decrypt(&tweak, &mut block);
        assert_eq!(block, msg, "{}", test.name);
    }
}

#[derive(Deserialize)]
struct HashTest {
    name: String,
    key: String,
    msg: String,
    hash: String,
}

/// The hash over the left part, under keys that are given instead of derived.
#[test]
fn nhpoly1305_of_google() {
    let tests: Vec<HashTest> = load(include_str!("../../../tests/vectors/nhpoly1305.json"));
    assert_eq!(tests.len(), 30);
    for test in tests {
        let key = hex(&test.key);
        let (poly, nh) = key.split_first_chunk().unwrap();
        let keys = Keys {
            stream: [0; KEY_LEN],
            block: Aes256::new(&[0; 32].into()),
            tweak: *poly,
            message: *poly,
            nh: NhKey::new(nh.try_into().unwrap()),
        };
        let adiantum = Adiantum { keys: LockedBox::new(keys) };
        assert_eq!(
            adiantum.hash_message(&hex(&test.msg)).to_le_bytes()[..],
            hex(&test.hash),
            "{}",
            test.name
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_encrypted_decrypts(
        key: [u8; 32],
        tweak in proptest::collection::vec(any::<u8>(), 0..70),
        len in MIN_LEN..=65_536,
        seed: u8,
    ) {
        let adiantum = Adiantum::new(&key);
        let msg: Vec<u8> = (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
        let mut block = msg.clone();
        adiantum.encrypt(&tweak, &mut block);
        prop_assert!(block != msg);
        adiantum.decrypt(&tweak, &mut block);
        prop_assert!(block == msg);
    }

    /// One bit, wherever it is, changes all of the block, in both directions.
    #[test]
    fn every_bit_depends_on_every_other(at in any::<prop::sample::Index>(), bit in 0u8..8, encrypting: bool) {
        let adiantum = Adiantum::new(&[7; 32]);
        let run = |block: &mut [u8]| match encrypting {
            true => adiantum.encrypt(&[1], block),
            false => adiantum.decrypt(&[1], block),
        };
        let (mut one, mut other) = ([0; 512], [0; 512]);
        other[at.index(512)] ^= 1 << bit;
        run(&mut one);
        run(&mut other);
        // 64 bytes that are equal by chance alone: below 2^-500.
        for (one, other) in one.chunks(64).zip(other.chunks(64)) {
            prop_assert_ne!(one, other);
        }
    }
}

#[test]
fn the_tweak_and_its_length_count() {
    let adiantum = Adiantum::new(&[7; 32]);
    let encrypted = |tweak: &[u8]| {
        let mut block = [0; 64];
        adiantum.encrypt(tweak, &mut block);
        block
    };
    let blocks =
        [encrypted(&[]), encrypted(&[0]), encrypted(&[0; 9]), encrypted(&[0, 0, 0, 0, 0, 0, 0, 0, 1])];
    for (i, one) in blocks.iter().enumerate() {
        assert!(blocks[..i].iter().all(|other| other != one));
    }
}

#[test]
#[should_panic(expected = "at least 16 bytes")]
fn a_block_below_16_bytes_is_refused() {
    Adiantum::new(&[7; 32]).encrypt(&[], &mut [0; 15]);
}
