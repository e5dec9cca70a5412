use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::progress::{Meter, finish};
use crypto::{Argon2Cost, SuiteId};
use ground::error::{FaultClass, Result};
use lmdb::keyed::Keyed;
use lmdb::{DatabaseFlags, Environment, Put};
use proptest::prelude::*;
use serde_json::Value;
use storage::MemoryFile;
use vault::header::HEADER_LEN;
use vault::material::Key;
use vault::options::OpenOptions;

const PAGE: usize = 1024;

fn options(suite: SuiteId) -> OpenOptions {
    OpenOptions {
        suite: Some(suite),
        block_size: Some(PAGE as u32),
        key: suite.is_keyed().then(|| Arc::new(Key::raw(&[1; 32]).unwrap())),
        kdf: Some(Argon2Cost { m_kib: 64, t: 1, p: 1 }),
        ..OpenOptions::default()
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("lumo-verify-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn open(&self, suite: SuiteId) -> Environment {
        let options = options(suite);
        Keyed { key: options.key.as_deref(), options: &options, create: true, at_any_cost: true }
            .open(self.0.join("app.lmdb"), |settings| settings.max_dbs(8))
            .unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.0.join("app.lmdb")).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Several databases of all kinds, with big values, over several commits that free pages.
fn fill(env: &Environment, rounds: u64) {
    let plain = env.create_database(Some("plain"), DatabaseFlags::default()).unwrap();
    let many = env.create_database(Some("many"), DatabaseFlags::DUP_SORT).unwrap();
    let fixed = DatabaseFlags::DUP_SORT | DatabaseFlags::DUP_FIXED;
    let fixed = env.create_database(Some("fixed"), fixed).unwrap();
    for round in 0..rounds {
        let mut txn = env.write().unwrap();
        for n in 0..120_u64 {
            let key = format!("key {n:04}");
            let len = if n % 30 == 0 { 3000 } else { 40 + (n * 7 + round) as usize % 60 };
            txn.put(plain, key.as_bytes(), &vec![round as u8; len], Put::default()).unwrap();
        }
        for n in 0..80_u64 {
            txn.put(many, b"much", format!("value {n:04} of {round}").as_bytes(), Put::default()).unwrap();
            txn.put(many, format!("few {}", n % 20).as_bytes(), &n.to_be_bytes(), Put::default()).unwrap();
            txn.put(fixed, b"numbers", &(n * 1000 + round).to_be_bytes(), Put::default()).unwrap();
        }
        for n in 0..20 {
            txn.delete(plain, format!("key {:04}", (n * 5 + round) % 120).as_bytes(), None).unwrap();
        }
        txn.commit().unwrap();
    }
}

fn whole(suite: SuiteId, rounds: u64) -> Vec<u8> {
    let folder = Folder::new();
    fill(&folder.open(suite), rounds);
    folder.bytes()
}

fn check(bytes: Vec<u8>, suite: SuiteId) -> Result<Value> {
    let mut file = MemoryFile { bytes, ..MemoryFile::default() };
    finish(verify(&mut file, &options(suite), Path::new("app.lmdb"), &Meter::default()))
}

fn page(bytes: &mut [u8], number: usize) -> &mut [u8] {
    let at = HEADER_LEN as usize + number * PAGE;
    &mut bytes[at..at + PAGE]
}

fn pages(bytes: &[u8]) -> usize {
    (bytes.len() - HEADER_LEN as usize) / PAGE
}

#[test]
fn what_was_written_is_whole_under_every_suite() {
    for suite in [
        SuiteId::Aegis256,
        SuiteId::Aegis256x2,
        SuiteId::XChaCha20Poly1305,
        SuiteId::Aes256Gcm,
        SuiteId::Checksum,
    ] {
        for rounds in [0, 1, 2, 7] {
            let found = check(whole(suite, rounds), suite).unwrap();
            assert_eq!(found["ok"], true, "{found:#}");
            assert_eq!(found["warnings"], serde_json::json!([]), "{found:#}");
            assert!(rounds < 2 || found["free"].as_u64() > Some(3), "{found:#}");
        }
    }
}

#[test]
fn a_damaged_page_is_named_with_its_database_and_keys() {
    let suite = SuiteId::DEFAULT;
    let bytes = whole(suite, 4);
    let mut owners = std::collections::BTreeSet::new();
    let mut ranges = 0;
    for number in 2..pages(&bytes) {
        let mut bytes = bytes.clone();
        page(&mut bytes, number)[100] ^= 4;
        let found = check(bytes, suite).unwrap();
        if found["ok"] == true {
            continue; // a free one
        }
        let damage = &found["damaged"][0];
        // One within an extent is its first page's damage.
        assert!(damage["block"].as_u64().unwrap() <= number as u64, "{found:#}");
        owners.insert(format!("{} {}", damage["owner"]["type"], damage["owner"]["database"]));
        ranges += u32::from(damage["keys"]["from"].is_string() && damage["keys"]["to"].is_string());
    }
    let owners: Vec<_> = owners.into_iter().collect();
    let expected = ["\"database\" \"fixed\"", "\"database\" \"many\"", "\"database\" \"plain\""];
    assert!(expected.iter().all(|one| owners.iter().any(|owner| owner == one)), "{owners:?}");
    assert!(owners.iter().any(|owner| owner == "\"database\" null"), "{owners:?}");
    assert!(owners.iter().any(|owner| owner == "\"freelist\" null"), "{owners:?}");
    assert!(ranges > 3);
}

/// The pages that something leads to.
fn used(bytes: &[u8], suite: SuiteId) -> Vec<usize> {
    let is_used = |number: &usize| {
        let mut bytes = bytes.to_vec();
        page(&mut bytes, *number).fill(0);
        check(bytes, suite).is_ok_and(|found| found["ok"] == false)
    };
    (2..pages(bytes)).filter(is_used).collect()
}

#[test]
fn swapped_pages_are_damage() {
    let suite = SuiteId::DEFAULT;
    let bytes = whole(suite, 3);
    for pair in used(&bytes, suite).windows(2) {
        let mut bytes = bytes.clone();
        let first = page(&mut bytes, pair[0]).to_vec();
        let second = page(&mut bytes, pair[1]).to_vec();
        page(&mut bytes, pair[0]).copy_from_slice(&second);
        page(&mut bytes, pair[1]).copy_from_slice(&first);
        assert_eq!(check(bytes, suite).unwrap()["ok"], false, "{pair:?}");
    }
}

#[test]
fn the_fall_back_to_the_commit_before_is_said() {
    let suite = SuiteId::DEFAULT;
    let folder = Folder::new();
    let env = folder.open(suite);
    fill(&env, 3);
    drop(env);
    let bytes = folder.bytes();
    let before = check(bytes.clone(), suite).unwrap();
    let number = before["transaction"].as_u64().unwrap() as usize % 2;
    let mut damaged = bytes.clone();
    page(&mut damaged, number)[40] ^= 1;
    std::fs::write(folder.0.join("app.lmdb"), &damaged).unwrap();
    // It opens as if nothing had been, with a transaction less.
    let last = folder.open(suite).info().unwrap().last_txn;
    assert_eq!(last + 1, before["transaction"].as_u64().unwrap());
    let found = check(damaged, suite).unwrap();
    assert_eq!((&found["ok"], found["transaction"].as_u64()), (&Value::Bool(false), Some(last)));
    let reason = found["damaged"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("a commit is lost") && reason.contains("later transaction"), "{reason}");
    // The other one is no loss; but nothing tells.
    let mut damaged = bytes;
    page(&mut damaged, 1 - number)[40] ^= 1;
    let found = check(damaged, suite).unwrap();
    assert_eq!((&found["ok"], &found["transaction"]), (&Value::Bool(false), &before["transaction"]));
}

#[test]
fn an_older_meta_page_in_its_place_is_a_warning() {
    let suite = SuiteId::DEFAULT;
    let folder = Folder::new();
    let env = folder.open(suite);
    fill(&env, 3);
    let mut older = folder.bytes();
    let number = check(older.clone(), suite).unwrap()["transaction"].as_u64().unwrap() as usize % 2;
    let database = env.database(Some("plain")).unwrap();
    for _ in 0..2 {
        let mut txn = env.write().unwrap();
        txn.put(database, b"one more", b"value", Put::default()).unwrap();
        txn.commit().unwrap();
    }
    let mut bytes = folder.bytes();
    assert_eq!(check(bytes.clone(), suite).unwrap()["warnings"], serde_json::json!([]));
    let meta = page(&mut older, number)[..192].to_vec();
    page(&mut bytes, number)[..192].copy_from_slice(&meta);
    let found = check(bytes, suite).unwrap();
    let warnings = found["warnings"].to_string();
    assert!(warnings.contains("an older meta page was put back"), "{found:#}");
}

#[test]
fn an_older_leaf_in_its_place_is_noticed_by_what_is_missing() {
    let suite = SuiteId::DEFAULT;
    let folder = Folder::new();
    let env = folder.open(suite);
    let database = env.create_database(None, DatabaseFlags::default()).unwrap();
    let mut versions = Vec::new();
    for round in 0..12_u64 {
        let mut txn = env.write().unwrap();
        txn.put(database, &round.to_be_bytes(), b"value", Put::default()).unwrap();
        txn.commit().unwrap();
        versions.push(folder.bytes());
    }
    let newest = versions.pop().unwrap();
    let mut noticed = 0;
    for mut older in versions {
        for number in 2..pages(&older).min(pages(&newest)) {
            let mut bytes = newest.clone();
            if page(&mut bytes, number) == page(&mut older, number) {
                continue;
            }
            let old = page(&mut older, number).to_vec();
            page(&mut bytes, number).copy_from_slice(&old);
            noticed += u32::from(check(bytes, suite).unwrap()["ok"] == false);
        }
    }
    assert!(noticed > 0);
}

#[test]
fn neither_meta_page_and_a_cut_file_are_errors_or_damage() {
    let suite = SuiteId::DEFAULT;
    let bytes = whole(suite, 2);
    let mut none = bytes.clone();
    page(&mut none, 0)[40] ^= 1;
    page(&mut none, 1)[40] ^= 1;
    assert_eq!(check(none, suite).unwrap_err().class, FaultClass::HeaderDamaged);
    for len in (0..bytes.len()).step_by(777) {
        let cut = bytes[..len].to_vec();
        match check(cut, suite) {
            Ok(found) => assert!(found["ok"] == false || len + 20 * PAGE > bytes.len(), "{len}: {found:#}"),
            Err(fault) => assert!(len < HEADER_LEN as usize + 2 * PAGE, "{fault:?}"),
        }
    }
}

#[test]
fn a_flip_of_any_byte_in_use_is_damage() {
    let suite = SuiteId::DEFAULT;
    let bytes = whole(suite, 2);
    for number in used(&bytes, suite) {
        for at in (0..PAGE).step_by(13).chain([0, 8, 15, 16, PAGE - 41, PAGE - 40, PAGE - 16, PAGE - 1]) {
            let mut bytes = bytes.clone();
            page(&mut bytes, number)[at] ^= 0x10;
            assert_eq!(check(bytes, suite).unwrap()["ok"], false, "page {number}, byte {at}");
        }
    }
    // In the header: an error, a damage, or a byte that is not the region's to mean anything with.
    for at in (0..HEADER_LEN as usize).step_by(97) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        let whole = check(bytes, suite).is_ok_and(|found| found["ok"] == true);
        assert!(!whole, "byte {at}");
    }
}

#[test]
fn a_flip_of_any_byte_under_a_right_checksum_is_survived() {
    let suite = SuiteId::Checksum;
    let bytes = whole(suite, 1);
    for at in HEADER_LEN as usize + 2 * PAGE..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0xFF;
        forge(&mut bytes, suite);
        let _ = check(bytes, suite);
    }
}

/// Gives all pages the sums that they would have.
fn forge(bytes: &mut [u8], suite: SuiteId) {
    if suite != SuiteId::Checksum {
        return;
    }
    for number in 2..pages(bytes) {
        let page = page(bytes, number);
        let sum = xxhash_rust::xxh3::xxh3_128(&page[..PAGE - 16]).to_le_bytes();
        page[PAGE - 16..].copy_from_slice(&sum);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever is in the pages, it ends, without a panic.
    #[test]
    fn forged_pages_are_survived(changes in prop::collection::vec((any::<prop::sample::Index>(), 0..PAGE, any::<u8>()), 1..40),
                                 copies in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..4)) {
        static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let mut bytes = BYTES.get_or_init(|| whole(SuiteId::Checksum, 2)).clone();
        let count = pages(&bytes) - 2;
        for (from, to) in copies {
            let from = page(&mut bytes, 2 + from.index(count)).to_vec();
            page(&mut bytes, 2 + to.index(count))[16..].copy_from_slice(&from[16..]);
        }
        for (number, at, byte) in changes {
            page(&mut bytes, 2 + number.index(count))[if at % 3 == 0 { at } else { at % 64 }] = byte;
        }
        forge(&mut bytes, SuiteId::Checksum);
        let _ = check(bytes, SuiteId::Checksum);
    }
}

#[test]
fn an_environment_is_described_without_a_key() {
    let bytes = whole(SuiteId::Aegis256, 1);
    let (size, count) = (bytes.len(), pages(&bytes));
    let mut file = MemoryFile { bytes, ..MemoryFile::default() };
    let found = crate::inspect::inspect(&mut file).unwrap();
    assert_eq!((&found["format"], &found["contents"]), (&"lumocrypt".into(), &"lmdb".into()));
    assert_eq!((&found["cipher"], found["block_size"].as_u64()), (&"aegis-256".into(), Some(PAGE as u64)));
    assert_eq!((found["size"].as_u64(), found["slots"].as_u64()), (Some(size as u64), Some(count as u64)));
    assert_eq!(found["keyslots"][0]["type"], "raw");
}

/// What is said of the environment, whose pages get the sums that they would have.
fn reasons(mut bytes: Vec<u8>) -> String {
    forge(&mut bytes, SuiteId::Checksum);
    check(bytes, SuiteId::Checksum).unwrap()["damaged"].to_string()
}

#[test]
fn a_page_that_is_newer_than_what_leads_to_it_is_damage() {
    let bytes = whole(SuiteId::Checksum, 2);
    let newer = |number: &usize| {
        let mut bytes = bytes.clone();
        page(&mut bytes, *number)[8..16].copy_from_slice(&1000_u64.to_le_bytes());
        reasons(bytes).contains("newer than what leads to it")
    };
    let found = used(&bytes, SuiteId::Checksum).into_iter().filter(newer).count();
    assert!(found > 10, "{found}");
}

#[test]
fn a_page_in_use_that_the_free_list_has_is_damage() {
    let bytes = whole(SuiteId::Checksum, 4);
    let used = used(&bytes, SuiteId::Checksum);
    let (count, mut found) = (pages(&bytes), 0);
    for number in used.iter().copied() {
        for at in (24..PAGE - 24).step_by(2) {
            let mut bytes = bytes.clone();
            let entry = &mut page(&mut bytes, number)[at..at + 8];
            let listed = u64::from_le_bytes(*entry.first_chunk().unwrap()) as usize;
            if listed < 2 || listed >= count || used.contains(&listed) {
                continue;
            }
            entry.copy_from_slice(&(used[0] as u64).to_le_bytes());
            found += u32::from(reasons(bytes).contains("the free list has it"));
        }
    }
    assert!(found > 0);
}
