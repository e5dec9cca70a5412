//! Header regions: parsing, unlocking and describing what anybody may have changed.
#![no_main]

use std::sync::LazyLock;

use crypto::kdf::{Argon2Cost, sha256};
use crypto::suite::SuiteId;
use libfuzzer_sys::fuzz_target;
use lumocrypt_fuzz::{Disk, Script, suite};
use offline::inspect::inspect;
use sqlite::format::header::{self, CopyState, Header};
use vault::create::{self, CreateOptions};
use vault::file_keys::FileKeys;
use vault::format::keyslot::{Keyslot, KeyslotKind};
use vault::format::mac::Mac;
use vault::format::superblock::{SUPERBLOCK_LEN, Superblock};
use vault::limits::KdfLimits;
use vault::material::Key;
use vault::unlock::{unlock, unlock_relative};

/// Small enough for thousands of derivations a second.
const LIMITS: KdfLimits = KdfLimits { t: 2, m_kib: 64, p: 2, work_kib: 256 };
const MAC: usize = 16320;
const DIGEST: usize = 16352;

/// An authentic header region, whose copies differ in generation and keyslots, and its keys.
struct Original {
    region: Vec<u8>,
    keys: FileKeys,
    copies: [Superblock; 2],
}

fn raw_key() -> Key {
    Key::raw(&[0x77; 32]).expect("32 bytes")
}

fn original(suite: SuiteId) -> Original {
    let key = suite.is_keyed().then(raw_key);
    let options = CreateOptions { suite, label: "first".to_owned(), ..CreateOptions::default() };
    let (mut region, keys, older) = create::database(key.as_ref(), &options).expect("randomness");
    let mut newer = Superblock { generation: 2, ..older.clone() };
    if suite.is_keyed() {
        // Nobody's passphrase: deriving is what is to be tried.
        let cost = Some(Argon2Cost { t: 1, m_kib: 16, p: 1 });
        let passphrase =
            Keyslot { kind: KeyslotKind::Passphrase, cost, salt: [9; 32], ..newer.slots[0].clone() };
        let data_key = keys.data_key().expect("a keyed suite");
        newer.slots[3] = Keyslot::seal(3, &raw_key(), data_key, &keys.key_id, Argon2Cost::INTERACTIVE, "")
            .expect("randomness");
        newer.slots[5] = passphrase;
    }
    region[..SUPERBLOCK_LEN].copy_from_slice(&newer.encode(&keys));
    Original { region, keys, copies: [newer, older] }
}

static ORIGINALS: LazyLock<[Original; 4]> =
    LazyLock::new(|| [0, 1, 2, 3].map(|choice| original(suite(choice))));

fn check_copies(header: &Header) {
    for (state, raw) in [(&header.a, header.raw()), (&header.b, &header.raw()[SUPERBLOCK_LEN..])] {
        if let CopyState::Intact(superblock) = state {
            for (slot, raw) in superblock.slots.iter().zip(raw[1024..].chunks_exact(1024)) {
                assert_eq!(slot.encode(), raw, "a keyslot is written as it was read");
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let choice = script.byte();
    let fixes = script.byte();
    let original = &ORIGINALS[usize::from(choice >> 4) % 4];
    let mut region = original.region.clone();
    if choice & 1 != 0 {
        region.fill(0);
    }
    if choice & 2 != 0 {
        // Onto the fields of both copies, where there is something to decide.
        for copy in [0, SUPERBLOCK_LEN] {
            let at = script.below(14000);
            let patch = script.bytes(24);
            region[copy + at..copy + at + patch.len()].copy_from_slice(patch);
        }
    }
    script.damage(&mut region, 70_000);
    let mut forged = false;
    for (copy, bits) in [(0, fixes), (SUPERBLOCK_LEN, fixes >> 2)] {
        let Some(copy) = region.get_mut(copy..copy + SUPERBLOCK_LEN) else { continue };
        if bits & 3 == 3 {
            forged = true;
            let mac = original.keys.superblock_mac(&copy[..MAC]);
            copy[MAC..DIGEST].copy_from_slice(&mac);
        }
        if bits & 3 != 0 {
            let digest = sha256(&copy[..DIGEST]);
            copy[DIGEST..].copy_from_slice(&digest);
        }
    }

    let _ = inspect(&mut Disk::new(region.clone(), false));
    let Ok(header) = header::parse(&region) else { return };
    check_copies(&header);
    header.cells(&original.keys);
    let key = match (fixes >> 4) & 3 {
        0 | 1 => Some(raw_key()),
        2 => Key::passphrase(b"nobody's").ok(),
        _ => None,
    };
    if let Ok((keys, superblock)) = unlock(&header, key.as_ref(), &LIMITS, "fuzz")
        && !forged
        && original.keys.suite.is_keyed()
        && superblock.suite.is_keyed()
    {
        assert!(original.copies.contains(&superblock), "an altered superblock was believed");
        header.cells(&keys);
    }
    if let Ok(Some((_, superblock))) = unlock_relative(&header, &original.keys, "fuzz")
        && !forged
    {
        assert!(original.copies.contains(&superblock), "an altered superblock was believed");
    }
});
