use std::sync::Arc;

use super::*;
use crate::create::{CreateOptions, at_any_cost};
use crate::draft::Draft;
use crate::material::Key;
use crypto::kdf::Argon2Cost;
use crypto::suite::SuiteId;

const TINY: Argon2Cost = Argon2Cost { t: 1, m_kib: 8, p: 1 };

fn raw(byte: u8) -> Arc<Key> {
    Arc::new(Key::raw(&[byte; 32]).unwrap())
}

fn passphrase(text: &str) -> Arc<Key> {
    Arc::new(Key::passphrase(text.as_bytes()).unwrap())
}

fn new(key: &Arc<Key>, label: Option<&str>) -> NewSlot {
    let draft = Draft::at_any_cost(key, TINY, label.unwrap_or_default()).unwrap();
    NewSlot { key: Arc::clone(key), draft, label: label.map(str::to_owned) }
}

struct Database {
    superblock: Superblock,
    keys: FileKeys,
}

impl Database {
    fn new(key: &Key) -> Database {
        let options = CreateOptions { kdf: TINY, label: "first".to_owned(), ..CreateOptions::default() };
        let (_, keys, superblock) = at_any_cost(Some(key), &options).unwrap();
        Database { superblock, keys }
    }

    fn slots(&mut self) -> Slots<'_> {
        const LIMITS: KdfLimits = KdfLimits { t: 64, m_kib: 1 << 20, p: 64, work_kib: 8 << 20 };
        Slots { superblock: &mut self.superblock, keys: &self.keys, limits: &LIMITS }
    }

    fn place_of(&self, key: &Key) -> Option<u32> {
        slot_of(&self.superblock, key, &KdfLimits::default()).unwrap()
    }
}

#[test]
fn twelve_keys_and_no_more() {
    let mut database = Database::new(&raw(0));
    for byte in 1..12 {
        assert_eq!(database.slots().add(&new(&raw(byte), None)).unwrap(), u32::from(byte));
    }
    for byte in 0..12 {
        assert_eq!(database.place_of(&raw(byte)), Some(u32::from(byte)));
    }
    let fault = database.slots().add(&new(&raw(12), None)).unwrap_err();
    assert!(fault.class == FaultClass::InvalidArgument && fault.message.contains("all 12"));
    database.slots().remove(&Which::OpenedBy(raw(5))).unwrap();
    assert_eq!(database.place_of(&raw(5)), None);
    assert_eq!(database.slots().add(&new(&raw(12), None)).unwrap(), 5);
}

#[test]
fn the_last_key_stays() {
    let mut database = Database::new(&raw(1));
    for which in [Which::At(0), Which::OpenedBy(raw(1))] {
        let fault = database.slots().remove(&which).unwrap_err();
        assert!(fault.class == FaultClass::InvalidArgument && fault.message.contains("last keyslot"));
    }
    assert_eq!(database.place_of(&raw(1)), Some(0));
    database.slots().add(&new(&raw(2), None)).unwrap();
    database.slots().remove(&Which::OpenedBy(raw(1))).unwrap();
    assert_eq!((database.place_of(&raw(1)), database.place_of(&raw(2))), (None, Some(1)));
    assert!(database.slots().remove(&Which::At(1)).is_err());
}

#[test]
fn a_change_keeps_place_and_label() {
    let (old, other) = (passphrase("old"), passphrase("other"));
    let mut database = Database::new(&old);
    database.slots().add(&new(&other, Some("second"))).unwrap();
    database.slots().change(&Which::OpenedBy(Arc::clone(&old)), &new(&passphrase("new"), None)).unwrap();
    assert_eq!((database.place_of(&old), database.place_of(&passphrase("new"))), (None, Some(0)));
    assert_eq!(database.superblock.slots[0].label, "first");
    database.slots().change(&Which::OpenedBy(other), &new(&raw(1), Some("raw"))).unwrap();
    assert_eq!(database.place_of(&raw(1)), Some(1));
    assert_eq!(
        (database.superblock.slots[1].label.as_str(), database.superblock.slots[1].cost),
        ("raw", None)
    );
}

#[test]
fn a_label_changes_nothing_else() {
    let mut database = Database::new(&raw(1));
    let before = database.superblock.slots[0].clone();
    database.slots().label(&Which::At(0), "desk").unwrap();
    assert_eq!(database.superblock.slots[0], Keyslot { label: "desk".to_owned(), ..before });
    assert_eq!(database.place_of(&raw(1)), Some(0));
}

#[test]
fn a_key_that_opens_nothing_and_a_free_slot_are_told_apart() {
    let mut database = Database::new(&raw(1));
    let wrong = Which::OpenedBy(raw(9));
    assert_eq!(database.slots().remove(&wrong).unwrap_err().class, FaultClass::WrongKey);
    assert_eq!(database.slots().change(&wrong, &new(&raw(2), None)).unwrap_err().class, FaultClass::WrongKey);
    assert_eq!(database.slots().label(&Which::At(3), "x").unwrap_err().class, FaultClass::InvalidArgument);
}

#[test]
fn nobody_is_locked_out_by_the_sum_of_the_costs() {
    let mut database = Database::new(&raw(1));
    let key = passphrase("p");
    database.slots().add(&new(&key, None)).unwrap();
    let mut dear = database.superblock.slots[1].clone();
    dear.cost = Some(Argon2Cost { t: 8, m_kib: 1 << 20, p: 4 });
    database.superblock.slots[2] = dear;
    let mut slots = database.slots();
    let fault = slots.add(&new(&key, None)).unwrap_err();
    assert!(fault.class == FaultClass::InvalidArgument && fault.message.contains("lower cost"));
    slots.superblock.slots[3] = Keyslot::empty();
    // A raw key adds nothing to the sum; and whoever raised the limits knows that they have to be.
    slots.add(&new(&raw(7), None)).unwrap();
    let raised = KdfLimits { work_kib: 9 << 20, ..*slots.limits };
    slots.limits = &raised;
    slots.add(&new(&key, None)).unwrap();
}

#[test]
fn a_removed_passphrase_is_not_let_in_by_the_cache_hazard_16() {
    let (gone, stays) = (passphrase("gone"), passphrase("stays"));
    let mut database = Database::new(&stays);
    database.slots().add(&new(&gone, None)).unwrap();
    // Both are cached from now on.
    assert_eq!((database.place_of(&gone), database.place_of(&stays)), (Some(1), Some(0)));
    database.slots().remove(&Which::OpenedBy(Arc::clone(&gone))).unwrap();
    assert_eq!((database.place_of(&gone), database.place_of(&stays)), (None, Some(0)));
    // Nor is one that was changed, in the same place.
    database.slots().change(&Which::OpenedBy(Arc::clone(&stays)), &new(&gone, None)).unwrap();
    assert_eq!((database.place_of(&gone), database.place_of(&stays)), (Some(0), None));
}

#[test]
fn a_checksummed_database_has_no_keyslots() {
    let options = CreateOptions { suite: SuiteId::Checksum, ..CreateOptions::default() };
    let (_, keys, superblock) = at_any_cost(None, &options).unwrap();
    let mut database = Database { superblock, keys };
    assert_eq!(database.slots().add(&new(&raw(1), None)).unwrap_err().class, FaultClass::NotEncrypted);
}
