use super::*;
use crate::format::cell::Cell;
use crate::format::keyslot::KeyslotKind;
use crate::format::length::Length;
use crate::format::superblock::SUPERBLOCK_LEN;
use crate::header::{CopyState, parse};
use crate::limits::KdfLimits;
use ground::bytes::hex;
use ground::bytes::put;
use ground::error::FileKind;

const TINY: Argon2Cost = Argon2Cost { t: 1, m_kib: 8, p: 1 };

fn raw() -> Key {
    Key::raw(&[7; 32]).unwrap()
}

fn options(suite: SuiteId) -> CreateOptions {
    CreateOptions { suite, kdf: TINY, ..CreateOptions::default() }
}

fn new_database() -> (Vec<u8>, FileKeys, Superblock) {
    database(Some(&raw()), &options(SuiteId::DEFAULT)).unwrap()
}

fn class(region: &[u8]) -> FaultClass {
    parse(region).expect_err("must be refused").class
}

/// `superblock` at one of the two places.
fn place(region: &mut [u8], offset: usize, superblock: &Superblock, keys: &FileKeys) {
    put(region, offset, &superblock.encode(keys));
}

#[test]
fn a_new_database_has_everything_twice() {
    let (region, keys, superblock) = new_database();
    assert_eq!(region.len(), 65536);
    let header = parse(&region).unwrap();
    assert_eq!(header.a, CopyState::Intact(Box::new(superblock.clone())));
    assert_eq!(header.a, header.b);
    assert!(header.warnings.is_empty());
    assert_eq!((superblock.generation, superblock.block_size, &superblock.link), (1, 4096, &None));
    assert_eq!(superblock.slots.iter().filter(|slot| !slot.is_empty()).count(), 1);
    assert!(header.newest_first().iter().all(|(_, raw)| Superblock::verify_mac(raw, &keys)));
    let cells = header.cells(&keys);
    assert_eq!(cells.wal, [Some(Cell::default()); 2]);
    assert_eq!(cells.length, [Some(Length::default()); 2]);
    assert!(superblock.keeps_length);
    let data_key = superblock.slots[0].open(0, &superblock.key_id, &raw(), &KdfLimits::default()).unwrap();
    assert_eq!(data_key.unwrap().expose(), keys.data_key().unwrap().expose());
}

#[test]
fn no_two_databases_are_alike() {
    let (one, two) = (new_database(), new_database());
    assert_ne!(one.2.uuid, two.2.uuid);
    assert_ne!(one.2.key_id, two.2.key_id);
    assert_ne!(one.1.data_key().unwrap().expose(), two.1.data_key().unwrap().expose());
}

#[test]
fn checksum_databases_have_neither_key_nor_slots() {
    let (region, keys, superblock) = database(None, &options(SuiteId::Checksum)).unwrap();
    assert!(keys.data_key().is_none());
    assert_eq!(superblock.key_id, [0; 16]);
    assert!(superblock.slots.iter().all(Keyslot::is_empty));
    assert_ne!(superblock.uuid, [0; 16]);
    parse(&region).unwrap();
}

#[test]
fn impossible_databases_are_refused() {
    let key = raw();
    let refusals = [
        (Some(&key), options(SuiteId::Checksum), FaultClass::InvalidArgument),
        (None, options(SuiteId::DEFAULT), FaultClass::KeyRequired),
        (
            Some(&key),
            CreateOptions { block_size: 256, ..options(SuiteId::DEFAULT) },
            FaultClass::InvalidArgument,
        ),
        (
            Some(&key),
            CreateOptions { block_size: 5000, ..options(SuiteId::DEFAULT) },
            FaultClass::InvalidArgument,
        ),
        (
            Some(&key),
            CreateOptions { label: "x".repeat(65), ..options(SuiteId::DEFAULT) },
            FaultClass::InvalidArgument,
        ),
    ];
    for (key, options, expected) in refusals {
        assert_eq!(database(key, &options).unwrap_err().class, expected);
    }
    let passphrase = Key::passphrase(b"p").unwrap();
    let low = database(Some(&passphrase), &options(SuiteId::DEFAULT)).unwrap_err();
    assert_eq!(low.class, FaultClass::InvalidArgument);
    assert!(low.message.contains("floor"));
    assert!(at_any_cost(Some(&passphrase), &options(SuiteId::DEFAULT)).is_ok());
}

#[test]
fn other_files_are_told_apart() {
    let (region, ..) = new_database();
    assert_eq!(class(&[0x55; 70_000]), FaultClass::NotEncrypted);
    assert_eq!(class(&[0; 65536]), FaultClass::NotEncrypted);
    assert_eq!(class(b"x"), FaultClass::NotEncrypted);
    assert_eq!(class(&[]), FaultClass::NoDatabase);
    for length in [1, 8, 15, 16, 80, 16384, 32768, 65535] {
        assert_eq!(class(&region[..length]), FaultClass::HeaderDamaged, "{length} bytes");
    }
    let mut longer = region.clone();
    longer.extend([1; 4136]);
    assert!(parse(&longer).is_ok());
}

#[test]
fn one_sound_copy_is_enough() {
    let (region, _, superblock) = new_database();
    for (offset, damaged_a) in [(100, true), (0, true), (16384, false), (16384 + 16000, false)] {
        let mut bent = region.clone();
        bent[offset] ^= 0x40;
        let header = parse(&bent).unwrap();
        assert_eq!(header.a == CopyState::Damaged, damaged_a);
        assert_eq!(header.b == CopyState::Damaged, !damaged_a);
        assert_eq!(header.newest(), Some(&superblock));
    }
    let mut both = region;
    both[100] ^= 1;
    both[16384] ^= 1;
    let fault = parse(&both).unwrap_err();
    assert_eq!(fault.class, FaultClass::HeaderDamaged);
    assert!(fault.message.contains("restore"));
}

#[test]
fn the_higher_generation_counts() {
    let (mut region, keys, superblock) = new_database();
    let newer = Superblock { generation: 2, ..superblock.clone() };
    place(&mut region, SUPERBLOCK_LEN, &newer, &keys);
    let header = parse(&region).unwrap();
    assert_eq!(header.newest(), Some(&newer));
    let order: Vec<_> = header.newest_first().iter().map(|(copy, _)| copy.generation).collect();
    assert_eq!(order, [2, 1]);
    // The newer copy is damaged: the stale one stands in.
    region[SUPERBLOCK_LEN + 50] ^= 1;
    assert_eq!(parse(&region).unwrap().newest(), Some(&superblock));
}

#[test]
fn a_copy_of_a_later_version_counts_unless_it_is_the_older_one() {
    let (region, keys, superblock) = new_database();
    let of_version_2 = |generation| {
        let mut copy = Superblock { generation, ..superblock.clone() }.encode(&keys);
        copy[16] = 2;
        let digest = crypto::kdf::sha256(&copy[..SUPERBLOCK_LEN - 32]);
        put(&mut copy, SUPERBLOCK_LEN - 32, &digest);
        copy
    };
    for (generation, supported) in [(0, true), (1, false), (2, false)] {
        let mut mixed = region.clone();
        put(&mut mixed, 0, &of_version_2(generation));
        match parse(&mixed) {
            Ok(header) => {
                assert!(supported);
                assert!(matches!(header.a, CopyState::Unsupported { version: 2, .. }));
            }
            Err(fault) => {
                assert!(!supported);
                assert_eq!(fault.class, FaultClass::UnsupportedFormat);
                assert!(fault.message.contains("version 2") && fault.message.contains("newer"));
            }
        }
    }
    let mut alone = region;
    put(&mut alone, 0, &of_version_2(1));
    alone[SUPERBLOCK_LEN + 1] ^= 1;
    assert_eq!(class(&alone), FaultClass::UnsupportedFormat);
}

#[test]
fn writing_in_reserved_space_is_reported_and_harmless() {
    let (region, ..) = new_database();
    for (offset, place) in [
        (0x80E0, "0x80e0"),
        (0x8FFF, "0x80e0"),
        (0x90E0, "0x90e0"),
        (0xA0E0, "0xa0e0"),
        (0xC000, "0xc000"),
        (0xFFFF, "0xf000"),
    ] {
        let mut bent = region.clone();
        bent[offset] = 1;
        let header = parse(&bent).unwrap();
        assert_eq!(header.warnings.len(), 1);
        assert!(header.warnings[0].contains(place), "{:?}", header.warnings);
    }
}

#[test]
fn a_copy_of_a_database_opens_with_the_same_keys_and_is_another_database() {
    let (region, keys, superblock) = new_database();
    let (copy, new_keys, new) = copy_of(&superblock, &keys).unwrap();
    assert_ne!(new.uuid, superblock.uuid);
    assert_eq!(new_keys.uuid, new.uuid);
    assert_eq!((new.key_id, &new.slots), (superblock.key_id, &superblock.slots));
    assert_eq!((new.suite, new.block_size, new.generation), (superblock.suite, superblock.block_size, 1));
    let opened = new.slots[0].open(0, &new.key_id, &raw(), &KdfLimits::default()).unwrap().unwrap();
    assert_eq!(opened.expose(), keys.data_key().unwrap().expose());
    // Subkeys are the copy's own: neither superblock nor blocks of one pass in the other.
    assert!(Superblock::verify_mac(&copy, &new_keys) && !Superblock::verify_mac(&copy, &keys));
    assert!(!Superblock::verify_mac(&region, &new_keys));
    let (here, there) = (keys.sealer(FileKind::MainDb).unwrap(), new_keys.sealer(FileKind::MainDb).unwrap());
    let mut sealed = vec![0; 64 + here.overhead()];
    here.seal(0, &[0; 16], &[1; 64], &mut sealed).unwrap();
    assert!(there.open(0, &[0; 16], &sealed, &mut [0; 64]).is_err());
    let (region, keys, superblock) = database(None, &options(SuiteId::Checksum)).unwrap();
    let (copy, ..) = copy_of(&superblock, &keys).unwrap();
    assert_ne!(hex(&copy[32..48]), hex(&region[32..48]));
}

#[test]
fn a_database_of_a_service_is_called_what_the_service_was_told_hazard_12() {
    let service = ServiceKey { uuid: [1; 16], key_id: [2; 16], provider: vec![3; 100] };
    let create_with = |key: &Key| {
        database(Some(key), &CreateOptions { kms: Some(service.clone()), ..options(SuiteId::DEFAULT) })
    };
    let (_, keys, superblock) = create_with(&raw()).unwrap();
    assert_eq!((superblock.uuid, superblock.key_id), (service.uuid, service.key_id));
    assert_eq!((keys.uuid, keys.key_id), (service.uuid, service.key_id));
    let slot = &superblock.slots[0];
    assert_eq!((slot.kind, &slot.provider), (KeyslotKind::Kms, &service.provider));
    let data_key = slot.open(0, &superblock.key_id, &raw(), &KdfLimits::default()).unwrap();
    assert_eq!(data_key.unwrap().expose(), keys.data_key().unwrap().expose());
    let refused = create_with(&Key::passphrase(b"no raw key").unwrap()).expect_err("must be refused");
    assert_eq!(refused.class, FaultClass::InvalidArgument);
}
