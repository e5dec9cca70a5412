//! Random work on environments, beside maps in memory that must say the same.
//!
//! A few seconds; `LUMO_LMDB_SECONDS` for longer. With the feature `small-lists` every larger transaction spills.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lumo_lmdb::{
    Database, DatabaseFlags, Durability, Environment, Identity, Options, Protection, Put, ReadTxn, Step,
};
use lumo_lmdb::{Txn, WriteTxn};
use support::{Folder, Numbers, bytes, key};

/// Lengths and seeds instead of values, so that snapshots cost little.
#[derive(Clone, Default, PartialEq)]
struct State {
    values: BTreeMap<u64, (u64, usize)>,
    sorted: BTreeMap<u64, BTreeSet<u64>>,
}

/// One environment and what should be in it.
struct World {
    numbers: Numbers,
    folder: Folder,
    env: Option<Environment>,
    state: State,
    snapshots: Vec<(ReadTxn, State)>,
    page_size: u32,
    cache: usize,
    sums: bool,
    largest: u64,
    keys: u64,
}

/// The two databases of the model.
#[derive(Clone, Copy)]
struct Databases {
    values: Database,
    sorted: Database,
}

fn databases(env: &Environment) -> Databases {
    Databases {
        values: env.create_database(Some("values"), DatabaseFlags::default()).unwrap(),
        sorted: env.create_database(Some("sorted"), DatabaseFlags::DUP_SORT).unwrap(),
    }
}

fn name(key: u64) -> [u8; 8] {
    key.to_be_bytes()
}

impl World {
    fn new(seed: u64) -> World {
        let mut numbers = Numbers(seed);
        World {
            folder: Folder::new("model"),
            env: None,
            state: State::default(),
            snapshots: Vec::new(),
            page_size: 512 << numbers.below(5),
            cache: if numbers.one_in(2) { 1 << 17 } else { 16 << 20 },
            sums: numbers.one_in(4),
            largest: [200, 5_000, 200_000][numbers.below(3) as usize],
            keys: [50, 3000][numbers.below(2) as usize],
            numbers,
        }
    }

    fn open(&mut self) {
        let identity = Identity { uuid: [3; 16], key_id: [4; 16] };
        let protection = if self.sums { Protection::Checksum } else { Protection::sealed(key(5)) };
        let options = Options::new(protection, identity)
            .page_size(self.page_size)
            .cache_size(self.cache)
            .header_len(65536)
            .durability(Durability::NoSync);
        self.env = Some(options.open(self.folder.file()).unwrap());
    }

    fn env(&self) -> &Environment {
        self.env.as_ref().unwrap()
    }

    /// Puts and removes in a transaction, and looks at what it sees.
    fn work(&mut self, txn: &mut WriteTxn<'_>, dbs: Databases, depth: u32) {
        for _ in 0..self.numbers.below(40) {
            let key = self.numbers.below(self.keys);
            match self.numbers.below(12) {
                0..=4 => {
                    let long = self.numbers.one_in(4);
                    let len = self.numbers.below(if long { self.largest } else { 120 }) as usize;
                    let seed = self.numbers.next();
                    txn.put(dbs.values, &name(key), &bytes(seed, len), Put::default()).unwrap();
                    self.state.values.insert(key, (seed, len));
                }
                5 | 6 => {
                    let there = txn.delete(dbs.values, &name(key), None).unwrap();
                    assert_eq!(there, self.state.values.remove(&key).is_some());
                }
                7 => {
                    let value = self.numbers.below(100);
                    let put = txn.put(dbs.sorted, &name(key % 40), &name(value), Put::NO_DUP_DATA).unwrap();
                    assert_eq!(put, self.state.sorted.entry(key % 40).or_default().insert(value));
                }
                8 => {
                    let value = self.numbers.below(100);
                    let there = txn.delete(dbs.sorted, &name(key % 40), Some(&name(value))).unwrap();
                    let values = self.state.sorted.entry(key % 40).or_default();
                    assert_eq!(there, values.remove(&value));
                    if values.is_empty() {
                        self.state.sorted.remove(&(key % 40));
                    }
                }
                9 => self.walk_and_write(txn, dbs),
                10 if depth < 3 => {
                    let before = self.state.clone();
                    let mut nested = txn.nested().unwrap();
                    self.work(&mut nested, dbs, depth + 1);
                    if self.numbers.one_in(2) {
                        nested.abort();
                        self.state = before;
                    } else {
                        nested.commit().unwrap();
                    }
                }
                _ => look(txn, dbs, &self.state, key),
            }
        }
    }

    /// Replaces and removes through a cursor.
    fn walk_and_write(&mut self, txn: &mut WriteTxn<'_>, dbs: Databases) {
        let mut cursor = txn.write_cursor(dbs.values).unwrap();
        let start = self.numbers.below(self.keys);
        let Some((found, _)) = cursor.go(Step::From(&name(start))).unwrap() else {
            assert!(self.state.values.range(start..).next().is_none());
            return;
        };
        let key = u64::from_be_bytes(found.try_into().unwrap());
        assert_eq!(Some(&key), self.state.values.range(start..).next().map(|(key, _)| key));
        if self.numbers.one_in(2) {
            cursor.delete(false).unwrap();
            self.state.values.remove(&key);
        } else {
            let (seed, len) = (self.numbers.next(), self.numbers.below(500) as usize);
            cursor.replace(&name(key), &bytes(seed, len)).unwrap();
            self.state.values.insert(key, (seed, len));
        }
    }

    fn step(&mut self) {
        let dbs = databases(self.env());
        let before = self.state.clone();
        let env = self.env().clone();
        let mut txn = env.write().unwrap();
        self.work(&mut txn, dbs, 0);
        if self.numbers.one_in(60) {
            // Enough to spill where lists are small.
            for key in 0..self.keys {
                let seed = self.numbers.next();
                txn.put(dbs.values, &name(key), &bytes(seed, 300), Put::default()).unwrap();
                self.state.values.insert(key, (seed, 300));
                let asked = self.numbers.below(self.keys);
                look(&txn, dbs, &self.state, asked);
            }
        }
        match self.numbers.below(8) {
            0 => {
                txn.abort();
                self.state = before;
            }
            1 => {
                txn.prepare().unwrap();
                txn.abort();
                self.state = before;
            }
            2 => {
                txn.prepare().unwrap();
                txn.commit().unwrap();
            }
            _ => txn.commit().unwrap(),
        }
        if self.numbers.one_in(3) && self.snapshots.len() < 8 {
            self.snapshots.push((env.read().unwrap(), self.state.clone()));
        }
        if !self.snapshots.is_empty() && self.numbers.one_in(2) {
            let which = self.numbers.below(self.snapshots.len() as u64) as usize;
            let (txn, state) = &self.snapshots[which];
            for _ in 0..30 {
                let key = self.numbers.below(self.keys);
                look(txn, dbs, state, key);
            }
            if self.numbers.one_in(3) {
                let (txn, state) = self.snapshots.swap_remove(which);
                all(&txn, dbs, &state);
            }
        }
        if self.numbers.one_in(25) {
            all(&env.read().unwrap(), dbs, &self.state);
        }
        drop(env);
        if self.numbers.one_in(40) {
            self.snapshots.clear();
            self.env = None;
            self.open();
            let dbs = databases(self.env());
            all(&self.env().read().unwrap(), dbs, &self.state);
        }
    }
}

fn look(txn: &Txn, dbs: Databases, state: &State, key: u64) {
    let wanted = state.values.get(&key).map(|(seed, len)| bytes(*seed, *len));
    if key.is_multiple_of(3) {
        assert_eq!(txn.get(dbs.values, &name(key)).unwrap(), wanted.as_deref(), "key {key}");
    } else {
        let mut found = Vec::new();
        let there = txn.get_to(dbs.values, &name(key), &mut found).unwrap();
        assert_eq!(there.then_some(found), wanted, "key {key}");
    }
}

fn all(txn: &Txn, dbs: Databases, state: &State) {
    let mut cursor = txn.cursor(dbs.values).unwrap();
    let mut wanted = state.values.iter();
    while let Some((key, value)) = cursor.go(Step::Next).unwrap() {
        let (expected, (seed, len)) = wanted.next().expect("an entry that should not be there");
        assert_eq!(key, name(*expected));
        assert_eq!(value, bytes(*seed, *len), "key {expected}");
    }
    assert_eq!(wanted.next(), None, "an entry is missing");
    let mut cursor = txn.cursor(dbs.sorted).unwrap();
    let mut pairs = state.sorted.iter().flat_map(|(key, values)| values.iter().map(|value| (*key, *value)));
    while let Some((key, value)) = cursor.go(Step::Next).unwrap() {
        let (expected, one) = pairs.next().expect("a value that should not be there");
        assert_eq!((key, value), (&name(expected)[..], &name(one)[..]));
    }
    assert_eq!(pairs.next(), None, "a value is missing");
}

#[test]
fn what_an_environment_says_is_what_was_put_there() {
    let seconds = std::env::var("LUMO_LMDB_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let first = std::env::var("LUMO_LMDB_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut seed = first;
    while Instant::now() < end || seed < first + 3 {
        eprintln!("seed {seed}");
        let mut world = World::new(seed);
        world.open();
        for _ in 0..150 {
            world.step();
        }
        seed += 1;
    }
}
