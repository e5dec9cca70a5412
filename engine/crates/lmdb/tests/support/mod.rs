//! What the tests have in common.

#![allow(dead_code)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crypto::Secret;
use lumo_lmdb::{Environment, Identity, Options, Protection, Result};

/// A folder that is empty, and goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        // In memory where that is possible: these tests are about pages, not about disks.
        let shm = PathBuf::from("/dev/shm");
        let base = if shm.is_dir() { shm } else { PathBuf::from(env!("CARGO_TARGET_TMPDIR")) };
        let folder = base.join(format!("lumo-lmdb-{name}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    pub fn file(&self) -> PathBuf {
        self.0.join("app.lmdb")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub const IDENTITY: Identity = Identity { uuid: [1; 16], key_id: [2; 16] };

pub fn key(byte: u8) -> Secret<32> {
    Secret::from_slice(&[byte; 32]).unwrap()
}

pub fn options() -> Options {
    Options::new(Protection::sealed(key(7)), IDENTITY)
}

pub fn open(folder: &Folder) -> Result<Environment> {
    options().open(folder.file())
}

/// Numbers that are the same for the same seed.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ x >> 31
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Bytes that say which they are.
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut numbers = Numbers(seed);
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| numbers.next().to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}
