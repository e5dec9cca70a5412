//! Data keys that this process has unwrapped, so that Argon2id runs once per process and file instead of
//! once per connection.
//!
//! An entry is found by an HMAC, under a key that never leaves the process, of everything that the
//! derivation depends on; so a hit proves the same key material for the same slot bytes, and neither
//! passphrases nor anything that they could be guessed from is kept. Entries survive `fork`. A derivation
//! that was under way in another thread does not, so flights of another process are not waited for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::format::keyslot::Keyslot;
use crate::material::Key;
use crypto::kdf::hmac_sha256;
use crypto::secret::{Secret, SecretBytes};
use ground::error::Result;
use ground::locks::{Lasting, Lock, Rank};

/// How many data keys are kept; the least recently used one makes room.
pub const CAPACITY: usize = 256;

type Id = [u8; 32];

/// What a data key of a database is known by in this process, where the key itself is not kept.
pub type KeyName = [u8; 32];

struct Entry {
    uuid: [u8; 16],
    data_key: Secret<32>,
    used: u64,
}

#[derive(Default)]
struct Entries {
    by_id: HashMap<Id, Entry>,
    clock: u64,
}

/// Derivations under way, by what they derive from; the process they belong to.
#[derive(Default)]
struct Flights {
    process: u32,
    by_id: HashMap<Id, Arc<Lock<()>>>,
}

/// The cache. There is one per process, [`global`]; tests make their own.
pub(crate) struct Cache {
    secret: Secret<32>,
    entries: Lock<Entries>,
    flights: Lock<Flights>,
    runs: AtomicU64,
}

impl Cache {
    /// An empty cache.
    pub(crate) fn new() -> Result<Cache> {
        Ok(Cache {
            secret: Secret::random()?,
            entries: Lock::new(Rank::CacheEntries, Entries::default()),
            flights: Lock::new(Rank::Flights, Flights::default()),
            runs: AtomicU64::new(0),
        })
    }

    /// Names the entry for `key` in this slot of this database.
    pub(crate) fn id(&self, uuid: &[u8; 16], key_id: &[u8; 16], index: u32, slot: &Keyslot, key: &Key) -> Id {
        self.digest_key(&[uuid, key_id, &index.to_le_bytes(), &slot.encode()], key)
    }

    /// The data key of an entry.
    pub(crate) fn get(&self, id: &Id) -> Option<Secret<32>> {
        let mut entries = self.entries.lock();
        entries.clock += 1;
        let now = entries.clock;
        let entry = entries.by_id.get_mut(id)?;
        entry.used = now;
        Some(entry.data_key.duplicate())
    }

    /// Keeps a data key.
    pub(crate) fn put(&self, id: Id, uuid: &[u8; 16], data_key: &Secret<32>) {
        let mut entries = self.entries.lock();
        entries.clock += 1;
        let used = entries.clock;
        if entries.by_id.len() >= CAPACITY && !entries.by_id.contains_key(&id) {
            let oldest = entries.by_id.iter().min_by_key(|(_, entry)| entry.used).map(|(id, _)| *id);
            oldest.map(|id| entries.by_id.remove(&id));
        }
        entries.by_id.insert(id, Entry { uuid: *uuid, data_key: data_key.duplicate(), used });
    }

    /// Drops every data key of a database.
    pub(crate) fn forget(&self, uuid: &[u8; 16]) {
        self.entries.lock().by_id.retain(|_, entry| entry.uuid != *uuid);
    }

    /// Runs `derive` while no other thread derives for the same database and key: the second one waits and
    /// then finds the entry instead of computing it again.
    pub(crate) fn one_at_a_time<T>(&self, uuid: &[u8; 16], key: &Key, derive: impl FnOnce() -> T) -> T {
        let id = self.digest_key(&[uuid], key);
        let flight = {
            let mut flights = self.flights.lock();
            let process = std::process::id();
            if flights.process != process {
                // Behind a fork: the threads that hold these locks exist only in the parent.
                *flights = Flights { process, by_id: HashMap::new() };
            }
            Arc::clone(flights.by_id.entry(id).or_insert_with(|| Arc::new(Lock::new(Rank::Derivation, ()))))
        };
        let result = {
            let _turn = flight.lock();
            derive()
        };
        let mut flights = self.flights.lock();
        // Two holders, the map and this thread: nobody waits for this flight any more.
        if Arc::strong_count(&flight) == 2 {
            flights.by_id.remove(&id);
        }
        result
    }

    /// Counts a run of the KDF.
    pub(crate) fn count_run(&self) {
        self.runs.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the KDF ran.
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// The name of a data key of a database.
    pub(crate) fn name(&self, uuid: &[u8; 16], key_id: &[u8; 16], data_key: &Secret<32>) -> KeyName {
        self.digest(&[uuid, key_id], 3, data_key.expose())
    }

    fn digest_key(&self, parts: &[&[u8]], key: &Key) -> Id {
        match key {
            Key::Passphrase(passphrase) => self.digest(parts, 1, passphrase.expose()),
            Key::Raw(raw) => self.digest(parts, 2, raw.expose()),
        }
    }

    fn digest(&self, parts: &[&[u8]], kind: u8, material: &[u8]) -> Id {
        // The material goes last and everything before it has a fixed length, so no two inputs are the
        // same. It is hashed first, in order not to copy it to where it would not be wiped.
        let material = SecretBytes::new(&hmac_sha256(self.secret.expose(), material));
        let mut message: Vec<u8> = parts.concat();
        message.push(kind);
        message.extend_from_slice(material.expose());
        hmac_sha256(self.secret.expose(), &message)
    }
}

/// The process's cache, once there is one. Not a `OnceLock`: one that is being set cannot be held for `fork`.
static CACHE: Lasting<Option<&'static Cache>> = Lasting::new(Rank::Cache, None);

/// The process's cache.
pub(crate) fn global() -> Result<&'static Cache> {
    let mut place = CACHE.lock();
    match *place {
        Some(cache) => Ok(cache),
        None => {
            let cache: &'static Cache = Box::leak(Box::new(Cache::new()?));
            cache.entries.enrol();
            cache.flights.enrol();
            Ok(place.insert(cache))
        }
    }
}

/// Keeps the data key that `key` opens `slot` with, as unlocking would.
pub fn remember(
    uuid: &[u8; 16],
    key_id: &[u8; 16],
    index: u32,
    slot: &Keyslot,
    key: &Key,
    data_key: &Secret<32>,
) -> Result<()> {
    let cache = global()?;
    if matches!(key, Key::Passphrase(_)) {
        cache.put(cache.id(uuid, key_id, index, slot, &key.written()), uuid, data_key);
    }
    Ok(())
}

/// Drops what is kept of the database `uuid`. Connections that are open keep theirs.
pub fn forget(uuid: &[u8; 16]) {
    if let Ok(cache) = global() {
        cache.forget(uuid);
    }
}

/// Drops everything.
pub fn forget_all() {
    if let Ok(cache) = global() {
        cache.entries.lock().by_id.clear();
    }
}

/// How often the KDF has run in this process.
pub fn kdf_runs() -> u64 {
    global().map_or(0, Cache::runs)
}

/// Counts a run of the KDF outside of unlocking.
pub(crate) fn count_kdf_run() {
    if let Ok(cache) = global() {
        cache.count_run();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::raw(&[byte; 32]).unwrap()
    }

    fn data_key(byte: u8) -> Secret<32> {
        Secret::from_slice(&[byte; 32]).unwrap()
    }

    #[test]
    fn an_entry_is_bound_to_everything_it_was_derived_from_hazard_16() {
        let cache = Cache::new().unwrap();
        let slot = Keyslot { created: 1, kind: crate::format::keyslot::KeyslotKind::Raw, ..Keyslot::empty() };
        let changed = Keyslot { created: 2, ..slot.clone() };
        let id = cache.id(&[1; 16], &[2; 16], 3, &slot, &key(4));
        cache.put(id, &[1; 16], &data_key(5));
        assert_eq!(cache.get(&id).unwrap().expose(), &[5; 32]);
        let passphrase = Key::passphrase(&[4; 32]).unwrap();
        for other in [
            cache.id(&[9; 16], &[2; 16], 3, &slot, &key(4)),
            cache.id(&[1; 16], &[9; 16], 3, &slot, &key(4)),
            cache.id(&[1; 16], &[2; 16], 9, &slot, &key(4)),
            cache.id(&[1; 16], &[2; 16], 3, &changed, &key(4)),
            cache.id(&[1; 16], &[2; 16], 3, &slot, &key(9)),
            cache.id(&[1; 16], &[2; 16], 3, &slot, &passphrase),
            Cache::new().unwrap().id(&[1; 16], &[2; 16], 3, &slot, &key(4)),
        ] {
            assert!(cache.get(&other).is_none());
        }
    }

    #[test]
    fn the_least_recently_used_entry_makes_room() {
        let cache = Cache::new().unwrap();
        let id = |n: usize| -> Id { [(n % 256) as u8; 32].map(|byte| byte ^ (n / 256) as u8 ^ 0x5a) };
        let ids: Vec<Id> = (0..CAPACITY + 1)
            .map(|n| {
                let mut id = id(n);
                id[..8].copy_from_slice(&(n as u64).to_le_bytes());
                id
            })
            .collect();
        for id in &ids[..CAPACITY] {
            cache.put(*id, &[0; 16], &data_key(1));
        }
        assert!(cache.get(&ids[0]).is_some());
        cache.put(ids[CAPACITY], &[0; 16], &data_key(1));
        assert!(cache.get(&ids[0]).is_some());
        assert!(cache.get(&ids[1]).is_none());
        assert_eq!(cache.entries.lock().by_id.len(), CAPACITY);
    }

    #[test]
    fn forgetting_is_by_database() {
        let cache = Cache::new().unwrap();
        cache.put([1; 32], &[1; 16], &data_key(1));
        cache.put([2; 32], &[2; 16], &data_key(2));
        cache.forget(&[1; 16]);
        assert!(cache.get(&[1; 32]).is_none());
        assert!(cache.get(&[2; 32]).is_some());
    }

    #[test]
    fn flights_take_turns_and_leave_nothing_behind() {
        let cache = Cache::new().unwrap();
        let inside = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    cache.one_at_a_time(&[1; 16], &key(1), || {
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    });
                });
            }
        });
        assert!(cache.flights.lock().by_id.is_empty());
    }

    #[test]
    fn flights_of_a_parent_process_are_not_waited_for() {
        let cache = Cache::new().unwrap();
        cache.one_at_a_time(&[1; 16], &key(1), || {
            // As a forked child finds it: the same entry, but of another process.
            cache.flights.lock().process = 0;
            let again = || cache.one_at_a_time(&[1; 16], &key(1), || ());
            std::thread::scope(|scope| scope.spawn(again).join()).unwrap();
        });
    }
}
