use super::*;
use crate::format::keyslot::KEYSLOT_LEN;
use crate::limits::KdfLimits;
use ground::bytes::all_zero;
use ground::bytes::hex;
use proptest::prelude::*;

const KEY_ID: [u8; 16] = [0x22; 16];
const TINY: Argon2Cost = Argon2Cost { t: 2, m_kib: 64, p: 2 };

/// From an independent implementation of section 2.2: the first 240 bytes; the others are zero.
const GOLDEN_RAW: &str = concat!(
    "020000000000000008070605040302010000000000000000000000000000000088888888888888888888888888888888",
    "888888888888888888888888888888883d87c9cb4b3ffc3cd183dc126a042fe70f657e6fa8217aaa6f90d9634dc47018",
    "99999999999999999999999999999999999999999999999995d210a2d51ed2e208028bac97ae0c50f13d48d98c9988cb",
    "d0657c19857a34619ccdb2dc703838ebfc09fe37fd9f4611060000006c6170746f700000000000000000000000000000",
    "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
);
const GOLDEN_PASSPHRASE: &str = concat!(
    "010000000000000008070605040302010100000002000000400000000200000088888888888888888888888888888888",
    "88888888888888888888888888888888606a26432bae3e7545b2abadc0b9c95b708b01331de078e90ddda4e465698a77",
    "999999999999999999999999999999999999999999999999f879b8627667cc7af8db10057f36371d09825ab63b14c7e2",
    "7e90d0913168bcc23ae40e6fa91440014a5406fbab441f87000000000000000000000000000000000000000000000000",
    "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
);

fn data_key() -> Secret<32> {
    Secret::from_slice(&[0x33; 32]).unwrap()
}

fn raw() -> Key {
    Key::raw(&[0x77; 32]).unwrap()
}

fn passphrase(text: &str) -> Key {
    Key::passphrase(text.as_bytes()).unwrap()
}

fn fresh() -> Fresh {
    Fresh { created: 0x0102_0304_0506_0708, salt: [0x88; 32] }
}

fn open(slot: &Keyslot, index: u32, key: &Key) -> Result<Option<Secret<32>>> {
    slot.open(index, &KEY_ID, key, &KdfLimits::default())
}

#[test]
fn golden_bytes() {
    let cases = [
        (3, raw(), "laptop", GOLDEN_RAW),
        (0, passphrase("correct horse battery staple"), "", GOLDEN_PASSPHRASE),
    ];
    for (index, key, label, golden) in cases {
        let draft = Draft::derive(&key, TINY, label, fresh()).unwrap();
        let slot = draft.seal_with(index, &data_key(), &KEY_ID, [0x99; 24]);
        let bytes = slot.encode();
        assert_eq!(hex(&bytes[..240]), golden);
        assert!(all_zero(&bytes[240..]));
        assert_eq!(Keyslot::decode(&bytes), Ok(slot.clone()));
        assert_eq!(open(&slot, index, &key).unwrap().unwrap().expose(), &[0x33; 32]);
    }
    assert_eq!(Keyslot::empty().encode(), [0; KEYSLOT_LEN]);
    assert_eq!(Keyslot::decode(&[0; KEYSLOT_LEN]), Ok(Keyslot::empty()));
}

#[test]
fn a_commitment_mismatch_is_another_key_and_no_damage_hazard_15() {
    let slot = Keyslot::seal_at_any_cost(0, &passphrase("right"), &data_key(), &KEY_ID, TINY, "").unwrap();
    assert!(open(&slot, 0, &passphrase("wrong")).unwrap().is_none());
    let mut bent = slot.clone();
    bent.commitment[31] ^= 1;
    assert!(open(&bent, 0, &passphrase("right")).unwrap().is_none());
    // Another type of key does not even try, whatever the caps.
    let none = KdfLimits { t: 0, m_kib: 0, p: 0, work_kib: 0 };
    assert!(slot.open(0, &KEY_ID, &raw(), &none).unwrap().is_none());
    assert!(open(&Keyslot::empty(), 0, &raw()).unwrap().is_none());
}

#[test]
fn a_slot_that_was_changed_or_moved_is_damage_hazard_15() {
    let slot = Keyslot::seal_at_any_cost(3, &raw(), &data_key(), &KEY_ID, TINY, "").unwrap();
    let damaged = |result: Result<Option<Secret<32>>>| {
        assert_eq!(result.unwrap_err().class, FaultClass::HeaderDamaged);
    };
    damaged(open(&slot, 4, &raw()));
    damaged(slot.open(3, &[9; 16], &raw(), &KdfLimits::default()));
    let changes: [fn(&mut Keyslot); 3] =
        [|slot| slot.created ^= 1, |slot| slot.nonce[0] ^= 1, |slot| slot.wrapped[47] ^= 1];
    for change in changes {
        let mut bent = slot.clone();
        change(&mut bent);
        damaged(open(&bent, 3, &raw()));
    }
}

#[test]
fn costs_beyond_the_caps_are_refused_before_anything_runs() {
    let mut slot = Keyslot::seal_at_any_cost(0, &passphrase("p"), &data_key(), &KEY_ID, TINY, "").unwrap();
    slot.cost = Some(Argon2Cost { t: u32::MAX, m_kib: u32::MAX, p: 4 });
    let started = std::time::Instant::now();
    assert_eq!(open(&slot, 0, &passphrase("p")).unwrap_err().class, FaultClass::KdfLimit);
    assert!(started.elapsed().as_secs() < 5);
}

#[test]
fn the_floor_is_for_passphrases_only() {
    let refused = Keyslot::seal(0, &passphrase("p"), &data_key(), &KEY_ID, TINY, "").unwrap_err();
    assert_eq!(refused.class, FaultClass::InvalidArgument);
    assert!(Keyslot::seal(0, &raw(), &data_key(), &KEY_ID, TINY, "").is_ok());
}

#[test]
fn a_slot_of_a_service_is_bound_to_what_the_service_is_shown() {
    let provider = [0xab; PROVIDER_MAX];
    let draft = Draft::for_service(&raw(), &provider, "cloud").unwrap();
    let slot = draft.seal(2, &data_key(), &KEY_ID).unwrap();
    assert_eq!((slot.kind, slot.cost, slot.provider.len()), (KeyslotKind::Kms, None, PROVIDER_MAX));
    assert_eq!(Keyslot::decode(&slot.encode()), Ok(slot.clone()));
    assert_eq!(open(&slot, 2, &raw()).unwrap().unwrap().expose(), &[0x33; 32]);
    assert!(open(&slot, 2, &Key::raw(&[1; 32]).unwrap()).unwrap().is_none());
    assert!(open(&slot, 2, &passphrase("p")).unwrap().is_none());
    let changes: [fn(&mut Keyslot); 3] = [
        |slot| slot.provider[700] ^= 1,
        |slot| slot.provider.truncate(700),
        // The AAD holds the slot's type.
        |slot| slot.kind = KeyslotKind::Raw,
    ];
    for change in changes {
        let mut bent = slot.clone();
        change(&mut bent);
        assert_eq!(open(&bent, 2, &raw()).unwrap_err().class, FaultClass::HeaderDamaged);
    }
    let mut renamed = slot.clone();
    renamed.label.clear();
    assert!(open(&renamed, 2, &raw()).unwrap().is_some());
    for (key, provider) in [(raw(), &[][..]), (raw(), &[0; PROVIDER_MAX + 1]), (passphrase("p"), &[1])] {
        assert_eq!(Draft::for_service(&key, provider, "").unwrap_err().class, FaultClass::InvalidArgument);
    }
}

#[test]
fn slots_of_one_key_share_nothing() {
    let seal = || Keyslot::seal(0, &raw(), &data_key(), &KEY_ID, TINY, "").unwrap();
    let (one, two) = (seal(), seal());
    assert_ne!(one.salt, two.salt);
    assert_ne!(one.nonce, two.nonce);
    assert_ne!(one.commitment, two.commitment);
    assert_ne!(one.wrapped, two.wrapped);
}

#[test]
fn labels_are_short_and_printable() {
    let seal = |label: &str| Keyslot::seal(0, &raw(), &data_key(), &KEY_ID, TINY, label);
    assert_eq!(seal(&"é".repeat(32)).unwrap().label.len(), 64);
    for bad in ["é".repeat(33), "a\0".to_owned(), "\x1b[31m".to_owned()] {
        assert_eq!(seal(&bad).unwrap_err().class, FaultClass::InvalidArgument);
    }
}

#[test]
fn what_is_not_understood_is_never_skipped() {
    let raw_slot = Keyslot::seal(0, &raw(), &data_key(), &KEY_ID, TINY, "label").unwrap().encode();
    for (offset, value) in [(0, 0), (0, 4), (4, 1), (16, 1), (16, 2), (20, 1), (31, 1), (168, 65), (168, 4)] {
        let mut bytes = raw_slot;
        bytes[offset] = value;
        assert!(Keyslot::decode(&bytes).is_err(), "offset {offset}");
    }
    for (offset, value) in [(172, 0xff), (200, 1), (237, 4), (300, 1), (1023, 1)] {
        let mut bytes = raw_slot;
        bytes[offset] = value;
        assert!(Keyslot::decode(&bytes).is_err(), "offset {offset}");
    }
    let mut kdf_missing =
        Keyslot::seal_at_any_cost(0, &passphrase("p"), &data_key(), &KEY_ID, TINY, "").unwrap().encode();
    kdf_missing[16] = 0;
    assert!(Keyslot::decode(&kdf_missing).is_err());
}

fn slots() -> impl Strategy<Value = Keyslot> {
    let bytes = |range| proptest::collection::vec(any::<u8>(), range);
    (
        1u32..=3,
        any::<(u64, u32, u32, u32)>(),
        any::<([u8; 32], [u8; 32], [u8; 24])>(),
        bytes(48..49),
        "\\PC{0,16}",
        bytes(0..785),
    )
        .prop_map(
            |(kind, (created, t, m_kib, p), (salt, commitment, nonce), wrapped, label, provider)| Keyslot {
                kind: [KeyslotKind::Passphrase, KeyslotKind::Raw, KeyslotKind::Kms][kind as usize - 1],
                created,
                cost: (kind == 1).then_some(Argon2Cost { t, m_kib, p }),
                salt,
                commitment,
                nonce,
                wrapped: wrapped.try_into().unwrap(),
                label,
                provider,
            },
        )
}

proptest! {
    #[test]
    fn round_trip(slot in slots()) {
        prop_assert_eq!(Keyslot::decode(&slot.encode()), Ok(slot));
    }

    #[test]
    fn decoding_is_strict(bytes in proptest::collection::vec(any::<u8>(), KEYSLOT_LEN), kind in 0u8..5, typed: bool) {
        let mut bytes: [u8; KEYSLOT_LEN] = bytes.try_into().unwrap();
        if typed {
            bytes[..4].copy_from_slice(&u32::from(kind).to_le_bytes());
            bytes[4..8].fill(0);
            bytes[16..32].fill(0);
            bytes[168..].fill(0);
        }
        // Whatever is accepted is stored again just so.
        if let Ok(slot) = Keyslot::decode(&bytes) {
            prop_assert_eq!(slot.encode(), bytes);
        }
    }
}
