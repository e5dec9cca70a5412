use super::*;
use crate::create::{CreateOptions, at_any_cost, copy_of};
use crate::format::superblock::SUPERBLOCK_LEN;
use crypto::kdf::{Argon2Cost, sha256};
use crypto::suite::SuiteId;

const TINY: Argon2Cost = Argon2Cost { t: 1, m_kib: 8, p: 1 };
const A: usize = 0;
const B: usize = SUPERBLOCK_LEN;
/// Salt of keyslot 0 within a copy.
const SALT: usize = 1024 + 32;
/// The second byte of the generation within a copy: changing it makes the copy the newest.
const GENERATION: usize = 25;

fn unlock(
    region: &[u8],
    key: Option<&Key>,
    limits: &KdfLimits,
    path: &str,
) -> Result<(Arc<FileKeys>, Superblock)> {
    super::unlock(&header::parse(region).map_err(|fault| fault.at_path(path))?, key, limits, path)
}

fn unlock_relative(
    region: &[u8],
    known: &FileKeys,
    path: &str,
) -> Result<Option<(Arc<FileKeys>, Superblock)>> {
    super::unlock_relative(&header::parse(region)?, known, path)
}

struct Database {
    region: Vec<u8>,
    keys: FileKeys,
    superblock: Superblock,
}

impl Database {
    fn new(key: Option<&Key>, suite: SuiteId) -> Database {
        let options = CreateOptions { suite, kdf: TINY, ..CreateOptions::default() };
        let (region, keys, superblock) = at_any_cost(key, &options).unwrap();
        Database { region, keys, superblock }
    }

    fn write(&mut self, offset: usize, superblock: &Superblock) {
        self.region[offset..offset + SUPERBLOCK_LEN].copy_from_slice(&superblock.encode(&self.keys));
    }

    /// The next generation, with another key in slot 1.
    fn with_second(&self, key: &Key) -> Superblock {
        let mut next = self.superblock.clone();
        next.generation += 1;
        next.slots[1] =
            Keyslot::seal_at_any_cost(1, key, self.keys.data_key().unwrap(), &next.key_id, TINY, "").unwrap();
        next
    }

    /// Changes a byte of a copy and makes its digest right again, as somebody without the key can.
    fn forge(&mut self, copy: usize, offset: usize) {
        self.region[copy + offset] ^= 1;
        let digest = sha256(&self.region[copy..copy + SUPERBLOCK_LEN - 32]);
        self.region[copy + SUPERBLOCK_LEN - 32..copy + SUPERBLOCK_LEN].copy_from_slice(&digest);
    }

    fn open_in(&self, cache: &Cache, key: &Key) -> Result<Superblock> {
        self.open_within(cache, key, &KdfLimits::default())
    }

    fn open_within(&self, cache: &Cache, key: &Key, limits: &KdfLimits) -> Result<Superblock> {
        let unlock = Unlock { cache, key: Some(key), limits, tried: RefCell::default() };
        unlock.run(&header::parse(&self.region)?).map(|(keys, superblock)| {
            let expected = self.keys.data_key().map(|key| *key.expose());
            assert_eq!(keys.data_key().map(|key| *key.expose()), expected);
            superblock
        })
    }

    fn open(&self, key: &Key) -> Result<Superblock> {
        self.open_in(&Cache::new().unwrap(), key)
    }

    fn class(&self, key: &Key) -> FaultClass {
        self.open(key).expect_err("must be refused").class
    }
}

fn passphrase(text: &str) -> Key {
    Key::passphrase(text.as_bytes()).unwrap()
}

fn raw(byte: u8) -> Key {
    Key::raw(&[byte; 32]).unwrap()
}

#[test]
fn the_right_key_opens_and_another_does_not() {
    for (right, wrong) in
        [(passphrase("right"), passphrase("wrong")), (raw(1), raw(2)), (raw(1), passphrase("p"))]
    {
        let database = Database::new(Some(&right), SuiteId::DEFAULT);
        assert_eq!(database.open(&right).unwrap(), database.superblock);
        assert_eq!(database.class(&wrong), FaultClass::WrongKey);
    }
}

#[test]
fn every_slot_is_tried() {
    let mut database = Database::new(Some(&passphrase("first")), SuiteId::DEFAULT);
    let next = database.with_second(&passphrase("second"));
    database.write(A, &next);
    database.write(B, &next);
    assert_eq!(database.open(&passphrase("first")).unwrap(), next);
    assert_eq!(database.open(&passphrase("second")).unwrap(), next);
    assert_eq!(database.class(&passphrase("third")), FaultClass::WrongKey);
}

#[test]
fn cheap_slots_are_tried_before_dear_ones_hazard_16() {
    let mut database = Database::new(Some(&passphrase("first")), SuiteId::DEFAULT);
    let mut next = database.with_second(&passphrase("second"));
    next.slots[0].cost = Some(Argon2Cost { t: 2, ..TINY });
    database.write(A, &next);
    database.write(B, &next);
    let cache = Cache::new().unwrap();
    database.open_in(&cache, &passphrase("second")).unwrap();
    assert_eq!(cache.runs(), 1);
}

#[test]
fn the_limits_are_for_the_slots_of_both_copies_and_each_is_tried_once_hazard_16() {
    let mut database = Database::new(Some(&passphrase("first")), SuiteId::DEFAULT);
    let next = database.with_second(&passphrase("second"));
    let mut other = next.clone();
    other.generation += 1;
    other.slots[1] = Keyslot { salt: [1; 32], ..next.slots[1].clone() };
    database.write(A, &other);
    database.write(B, &next);
    // Three slots in all: one that both copies have, and one in each.
    let cache = Cache::new().unwrap();
    let limits = |work_kib| KdfLimits { work_kib, ..KdfLimits::default() };
    let wrong = passphrase("wrong");
    assert_eq!(database.open_within(&cache, &wrong, &limits(24)).unwrap_err().class, FaultClass::WrongKey);
    assert_eq!(cache.runs(), 3);
    assert_eq!(database.open_within(&cache, &wrong, &limits(23)).unwrap_err().class, FaultClass::KdfLimit);
    assert_eq!(cache.runs(), 5);
    assert_eq!(database.open_within(&cache, &wrong, &limits(15)).unwrap_err().class, FaultClass::KdfLimit);
    assert_eq!(cache.runs(), 5);
}

#[test]
fn keyless_opens_say_what_is_missing() {
    let limits = KdfLimits::default();
    let encrypted = Database::new(Some(&raw(1)), SuiteId::DEFAULT);
    let fault = unlock(&encrypted.region, None, &limits, "/x/app.db").unwrap_err();
    assert_eq!((fault.class, fault.path.as_deref()), (FaultClass::KeyRequired, Some(Path::new("/x/app.db"))));
    let checksum = Database::new(None, SuiteId::Checksum);
    assert!(unlock(&checksum.region, None, &limits, "").is_ok());
    assert_eq!(checksum.class(&raw(1)), FaultClass::NotEncrypted);
    let plaintext = unlock(b"SQLite format 3\0", Some(&raw(1)), &limits, "p").unwrap_err();
    assert_eq!(
        (plaintext.class, plaintext.path.as_deref()),
        (FaultClass::NotEncrypted, Some(Path::new("p")))
    );
}

#[test]
fn a_flipped_bit_is_never_a_wrong_key_hazard_2() {
    let key = passphrase("right");
    let mut database = Database::new(Some(&key), SuiteId::DEFAULT);
    database.region[A + SALT] ^= 1;
    assert!(database.open(&key).is_ok());
    database.region[B + SALT] ^= 1;
    assert_eq!(database.class(&key), FaultClass::HeaderDamaged);
    assert_eq!(database.class(&passphrase("wrong")), FaultClass::HeaderDamaged);
}

#[test]
fn a_wrong_mac_falls_back_to_the_other_copy() {
    let key = raw(1);
    let mut database = Database::new(Some(&key), SuiteId::DEFAULT);
    let newer = Superblock { generation: 2, ..database.superblock.clone() };
    database.write(A, &newer);
    database.forge(A, GENERATION);
    assert_eq!(database.open(&key).unwrap(), database.superblock);
    database.forge(B, GENERATION);
    assert_eq!(database.class(&key), FaultClass::HeaderDamaged);
    let mut checksum = Database::new(None, SuiteId::Checksum);
    checksum.forge(A, GENERATION);
    let limits = KdfLimits::default();
    assert_eq!(unlock(&checksum.region, None, &limits, "").unwrap().1, checksum.superblock);
    checksum.forge(B, GENERATION);
    assert_eq!(unlock(&checksum.region, None, &limits, "").unwrap_err().class, FaultClass::HeaderDamaged);
}

#[test]
fn a_forged_slot_in_the_newer_copy_is_damage_and_no_wrong_key() {
    let key = raw(1);
    for offset in [SALT, 1024 + 64, 1024 + 96, 1024 + 120] {
        let mut database = Database::new(Some(&key), SuiteId::DEFAULT);
        database.forge(A, offset);
        assert_eq!(database.open(&key).unwrap(), database.superblock, "offset {offset}");
        assert_eq!(database.class(&raw(2)), FaultClass::WrongKey);
    }
    // In both copies alike: indistinguishable from another key's slot as long as the commitment differs.
    let mut database = Database::new(Some(&key), SuiteId::DEFAULT);
    database.forge(A, 1024 + 120);
    database.forge(B, 1024 + 120);
    assert_eq!(database.class(&key), FaultClass::HeaderDamaged);
}

#[test]
fn a_removed_key_does_not_come_back_through_the_older_copy_hazard_1() {
    let (kept, removed) = (raw(1), raw(2));
    let mut database = Database::new(Some(&kept), SuiteId::DEFAULT);
    let with_both = database.with_second(&removed);
    let mut without = with_both.clone();
    without.generation += 1;
    without.slots[1] = Keyslot::empty();
    // The change stopped between the copies.
    database.write(A, &without);
    database.write(B, &with_both);
    assert_eq!(database.class(&removed), FaultClass::WrongKey);
    assert_eq!(database.open(&kept).unwrap(), without);
    // Only if the newer copy is damaged does the older one count.
    database.region[A + 40] ^= 1;
    assert_eq!(database.open(&removed).unwrap(), with_both);
}

#[test]
fn a_stale_copy_under_another_data_key_is_not_used() {
    let (old_key, new_key) = (raw(1), raw(2));
    let old = Database::new(Some(&old_key), SuiteId::DEFAULT);
    let mut database = Database::new(Some(&new_key), SuiteId::DEFAULT);
    database.superblock.generation = 2;
    let newer = database.superblock.clone();
    database.write(A, &newer);
    database.region[B..B + SUPERBLOCK_LEN].copy_from_slice(&old.region[..SUPERBLOCK_LEN]);
    assert_eq!(database.class(&old_key), FaultClass::WrongKey);
    assert_eq!(database.open(&new_key).unwrap(), newer);
}

#[test]
fn costs_are_refused_before_anything_runs_hazard_16() {
    let key = passphrase("right");
    let mut database = Database::new(Some(&key), SuiteId::DEFAULT);
    database.superblock.slots[5] = database.superblock.slots[0].clone();
    database.superblock.slots[5].cost = Some(Argon2Cost { t: u32::MAX, m_kib: 8, p: 1 });
    let bad = database.superblock.clone();
    database.write(A, &bad);
    database.write(B, &bad);
    let cache = Cache::new().unwrap();
    let fault = database.open_in(&cache, &key).unwrap_err();
    assert_eq!(fault.class, FaultClass::KdfLimit);
    assert!(fault.message.contains("t=4294967295"));
    assert_eq!(cache.runs(), 0);
}

#[test]
fn the_kdf_runs_once_per_process_and_file() {
    let key = passphrase("right");
    let database = Database::new(Some(&key), SuiteId::DEFAULT);
    let cache = Cache::new().unwrap();
    for _ in 0..5 {
        database.open_in(&cache, &key).unwrap();
    }
    assert_eq!(cache.runs(), 1);
    // A wrong key fails all the same, and every time it is tried.
    for attempt in 2..4 {
        assert_eq!(database.open_in(&cache, &passphrase("wrong")).unwrap_err().class, FaultClass::WrongKey);
        assert_eq!(cache.runs(), attempt);
    }
    cache.forget(&database.superblock.uuid);
    database.open_in(&cache, &key).unwrap();
    assert_eq!(cache.runs(), 4);
}

#[test]
fn the_slot_that_opened_last_time_is_found_without_trying_those_before() {
    let mut database = Database::new(Some(&passphrase("first")), SuiteId::DEFAULT);
    let next = database.with_second(&passphrase("second"));
    database.write(A, &next);
    database.write(B, &next);
    let cache = Cache::new().unwrap();
    for _ in 0..3 {
        database.open_in(&cache, &passphrase("second")).unwrap();
    }
    assert_eq!(cache.runs(), 2);
}

#[test]
fn eight_threads_derive_once() {
    let key = passphrase("right");
    let database = Database::new(Some(&key), SuiteId::DEFAULT);
    let cache = Cache::new().unwrap();
    let start = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                database.open_in(&cache, &key).unwrap();
            });
        }
    });
    assert_eq!(cache.runs(), 1);
}

#[test]
fn a_cached_key_does_not_hide_a_changed_header() {
    let key = passphrase("right");
    let mut database = Database::new(Some(&key), SuiteId::DEFAULT);
    let cache = Cache::new().unwrap();
    database.open_in(&cache, &key).unwrap();
    database.forge(A, GENERATION);
    database.forge(B, GENERATION);
    assert_eq!(database.open_in(&cache, &key).unwrap_err().class, FaultClass::HeaderDamaged);
}

#[test]
fn making_a_database_counts_as_unlocking_it() {
    let key = passphrase("fresh");
    let database = Database::new(Some(&key), SuiteId::DEFAULT);
    let global = cache::global().unwrap();
    let superblock = &database.superblock;
    let id = global.id(&superblock.uuid, &superblock.key_id, 0, &superblock.slots[0], &key);
    assert!(global.get(&id).is_some());
    cache::forget(&superblock.uuid);
    assert!(global.get(&id).is_none());
    assert!(cache::kdf_runs() >= 1);
}

#[test]
fn a_relative_needs_no_key_of_its_own() {
    let database = Database::new(Some(&raw(1)), SuiteId::DEFAULT);
    let (mut copy, copy_keys, superblock) = copy_of(&database.superblock, &database.keys).unwrap();
    let opened = |region: &[u8]| unlock_relative(region, &database.keys, "copy.db");
    let (keys, found) = opened(&copy).unwrap().unwrap();
    assert_eq!((keys.uuid, found), (copy_keys.uuid, superblock.clone()));
    // Its keyslots came along.
    assert_eq!(unlock(&copy, Some(&raw(1)), &KdfLimits::default(), "").unwrap().1, superblock);
    copy[B + 100] ^= 1;
    assert!(opened(&copy).unwrap().is_some());
    // A stranger under the same key id is an altered header, one under another key id a stranger.
    let impostor =
        FileKeys::new([9; 16], superblock.key_id, superblock.suite, Secret::from_slice(&[0; 32])).unwrap();
    copy[A..A + SUPERBLOCK_LEN]
        .copy_from_slice(&Superblock { uuid: [9; 16], ..superblock }.encode(&impostor));
    assert_eq!(opened(&copy).unwrap_err().class, FaultClass::HeaderDamaged);
    let stranger = Database::new(Some(&raw(1)), SuiteId::DEFAULT);
    assert!(opened(&stranger.region).unwrap().is_none());
    let checksum = Database::new(None, SuiteId::Checksum);
    assert!(opened(&checksum.region).unwrap().is_none());
    assert!(unlock_relative(&checksum.region, &checksum.keys, "").unwrap().is_none());
}
