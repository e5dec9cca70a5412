use super::*;
use crate::file_keys::FileKeys;
use crate::format::keyslot::KeyslotKind;
use crypto::kdf::Argon2Cost;
use crypto::secret::Secret;
use ground::bytes::hex;
use proptest::prelude::*;

/// From an independent implementation of section 2.1.
const GOLDEN_START: &str = concat!(
    "6c756d6f6372797074000d0a1a0a00000100000000400000050000000000000011111111111111111111111111111111",
    "2222222222222222222222222222222202000000001000000000000000000000"
);
const GOLDEN_MAC_AND_DIGEST: &str = concat!(
    "e059ed7e637ad3b76465e5663494b938c293899ddebf06d882244964b1a3c0c703ec7a52233b44d6babb4e9a0074062e",
    "33f4d0c121539492305df04b115c7a38"
);
const GOLDEN_SHA256: &str = "e72391f91135c14b3af0e2cc7a12f613654c1e8fc795abb4b36c913c48b45670";

fn keys(suite: SuiteId) -> FileKeys {
    let data_key = suite.is_keyed().then(|| Secret::from_slice(&[0x33; 32]).unwrap());
    let key_id = if suite.is_keyed() { [0x22; 16] } else { [0; 16] };
    FileKeys::new([0x11; 16], key_id, suite, data_key).unwrap()
}

fn superblock(suite: SuiteId) -> Superblock {
    Superblock {
        generation: 5,
        uuid: [0x11; 16],
        key_id: keys(suite).key_id,
        suite,
        block_size: 4096,
        keeps_length: false,
        contents: Contents::Sqlite,
        link: None,
        slots: std::array::from_fn(|_| Keyslot::empty()),
    }
}

/// The digest made right again after a change.
fn redigest(bytes: &mut [u8]) {
    let digest = sha256(&bytes[..DIGEST]);
    put(bytes, DIGEST, &digest);
}

#[test]
fn golden_bytes() {
    let mut superblock = superblock(SuiteId::Aegis256x2);
    let common =
        Keyslot { created: 0x0102_0304_0506_0708, salt: [0x88; 32], nonce: [0x99; 24], ..Keyslot::empty() };
    superblock.slots[0] = Keyslot {
        kind: KeyslotKind::Passphrase,
        cost: Some(Argon2Cost { t: 2, m_kib: 64, p: 2 }),
        commitment: unhex("606a26432bae3e7545b2abadc0b9c95b708b01331de078e90ddda4e465698a77"),
        wrapped: unhex(
            "f879b8627667cc7af8db10057f36371d09825ab63b14c7e27e90d0913168bcc23ae40e6fa91440014a5406fbab441f87",
        ),
        ..common.clone()
    };
    superblock.slots[3] = Keyslot {
        kind: KeyslotKind::Raw,
        label: "laptop".to_owned(),
        commitment: unhex("3d87c9cb4b3ffc3cd183dc126a042fe70f657e6fa8217aaa6f90d9634dc47018"),
        wrapped: unhex(
            "95d210a2d51ed2e208028bac97ae0c50f13d48d98c9988cbd0657c19857a34619ccdb2dc703838ebfc09fe37fd9f4611",
        ),
        ..common
    };
    let bytes = superblock.encode(&keys(SuiteId::Aegis256x2));
    assert_eq!(hex(&bytes[..80]), GOLDEN_START);
    assert_eq!(hex(&bytes[MAC..]), GOLDEN_MAC_AND_DIGEST);
    assert_eq!(hex(&sha256(&bytes)), GOLDEN_SHA256);
    assert_eq!(Superblock::decode(&bytes), CopyState::Intact(Box::new(superblock)));
}

fn unhex<const N: usize>(digits: &str) -> [u8; N] {
    std::array::from_fn(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap())
}

#[test]
fn every_flipped_bit_is_noticed_without_a_key() {
    let mut bytes = superblock(SuiteId::DEFAULT).encode(&keys(SuiteId::DEFAULT));
    for bit in 0..SUPERBLOCK_LEN * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        // Checking the digest first is what the loop can afford; the digest decides in any case.
        assert_eq!(Superblock::decode(&bytes), CopyState::Damaged, "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(matches!(Superblock::decode(&bytes), CopyState::Intact(_)));
}

#[test]
fn short_copies_are_damaged() {
    let bytes = superblock(SuiteId::DEFAULT).encode(&keys(SuiteId::DEFAULT));
    for length in [0, 1, 16, 80, SUPERBLOCK_LEN - 1] {
        assert_eq!(Superblock::decode(&bytes[..length]), CopyState::Damaged);
        assert!(!Superblock::verify_mac(&bytes[..length], &keys(SuiteId::DEFAULT)));
    }
}

#[test]
fn a_copy_of_another_length_is_damaged() {
    let mut bytes = superblock(SuiteId::DEFAULT).encode(&keys(SuiteId::DEFAULT));
    bytes[LENGTH] = 1;
    redigest(&mut bytes);
    assert_eq!(Superblock::decode(&bytes), CopyState::Damaged);
}

#[test]
fn a_right_digest_does_not_make_a_right_mac() {
    for suite in [SuiteId::DEFAULT, SuiteId::Checksum] {
        let mut bytes = superblock(suite).encode(&keys(suite));
        assert!(Superblock::verify_mac(&bytes, &keys(suite)));
        bytes[GENERATION] ^= 1;
        redigest(&mut bytes);
        assert!(matches!(Superblock::decode(&bytes), CopyState::Intact(_)));
        assert!(!Superblock::verify_mac(&bytes, &keys(suite)));
    }
}

#[test]
fn what_this_version_does_not_know_is_unsupported() {
    let cases: [(usize, &[u8], u32, &str); 11] = [
        (VERSION_AT, &[2], 2, "version 2"),
        (VERSION_AT, &[0], 0, "version 0"),
        (FLAGS, &[8], 1, "flags 0x8"),
        (SUITE, &[0], 1, "cipher 0"),
        (SUITE, &[8], 1, "cipher 8"),
        (BLOCK_SIZE, &[0, 1], 1, "block size of 256"),
        (BLOCK_SIZE, &[0, 0x18], 1, "block size of 6144"),
        (BLOCK_SIZE, &[0, 0, 2], 1, "block size of 131072"),
        (RESERVED, &[1], 1, "reserved"),
        (MAC - 1, &[1], 1, "reserved"),
        (KEYSLOTS, &[9], 1, "keyslot"),
    ];
    for (offset, change, expected, words) in cases {
        let mut bytes = superblock(SuiteId::DEFAULT).encode(&keys(SuiteId::DEFAULT));
        put(&mut bytes, offset, change);
        redigest(&mut bytes);
        match Superblock::decode(&bytes) {
            CopyState::Unsupported { version, generation, reason } => {
                assert_eq!((version, generation), (expected, 5));
                assert!(reason.contains(words), "{reason}");
            }
            other => panic!("{words}: {other:?}"),
        }
    }
}

#[test]
fn a_suite_without_a_key_has_no_keyslots() {
    let mut with_slot = superblock(SuiteId::Checksum);
    with_slot.slots[0] = Keyslot { kind: KeyslotKind::Raw, ..Keyslot::empty() };
    let mut with_key_id = superblock(SuiteId::Checksum);
    with_key_id.key_id[0] = 1;
    for wrong in [with_slot, with_key_id] {
        let bytes = wrong.encode(&keys(SuiteId::Checksum));
        assert!(matches!(Superblock::decode(&bytes), CopyState::Unsupported { .. }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trip(generation in 0..1u64 << 63, bits in 9u32..=16, used in 0usize..KEYSLOT_COUNT, created: u64) {
        let mut superblock = superblock(SuiteId::XChaCha20Poly1305);
        superblock.generation = generation;
        superblock.block_size = 1 << bits;
        superblock.slots[used] = Keyslot { kind: KeyslotKind::Raw, created, ..Keyslot::empty() };
        let keys = keys(superblock.suite);
        let bytes = superblock.encode(&keys);
        prop_assert!(Superblock::verify_mac(&bytes, &keys));
        prop_assert_eq!(Superblock::decode(&bytes), CopyState::Intact(Box::new(superblock)));
    }
}

#[test]
fn what_is_remembered_of_a_copy_holds_for_its_bytes_and_its_key_alone() {
    let keys = keys(SuiteId::Aegis256);
    let other = |uuid: u8, key_id: u8, data_key: u8| {
        let data_key = Secret::from_slice(&[data_key; 32]);
        FileKeys::new([uuid; 16], [key_id; 16], SuiteId::Aegis256, data_key).unwrap()
    };
    let original = Superblock { generation: 0x5eed, ..superblock(SuiteId::Aegis256) };
    let bytes = original.encode(&keys);
    // The second time round it is known.
    for _ in 0..2 {
        assert_eq!(Superblock::decode(&bytes), CopyState::Intact(Box::new(original.clone())));
        assert!(Superblock::verify_mac(&bytes, &keys));
        for other in [other(0x12, 0x22, 0x33), other(0x11, 0x23, 0x33), other(0x11, 0x22, 0x34)] {
            assert!(!Superblock::verify_mac(&bytes, &other));
        }
        for at in [0, GENERATION, KEYSLOTS, MAC, MAC + 31, DIGEST, SUPERBLOCK_LEN - 1] {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            assert_eq!(Superblock::decode(&bent), CopyState::Damaged, "byte {at}");
            redigest(&mut bent);
            if at == GENERATION {
                assert!(matches!(Superblock::decode(&bent), CopyState::Intact(found) if *found != original));
                assert!(!Superblock::verify_mac(&bent, &keys));
            }
        }
    }
}

#[test]
fn a_generation_that_nobody_can_count_to_is_damage() {
    let (keys, mut superblock) = (keys(SuiteId::DEFAULT), superblock(SuiteId::DEFAULT));
    for (generation, intact) in [(u64::MAX >> 1, true), (1 << 63, false), (u64::MAX, false)] {
        superblock.generation = generation;
        let copy = Superblock::decode(&superblock.encode(&keys));
        assert_eq!(matches!(copy, CopyState::Intact(_)), intact, "{generation}");
    }
}
