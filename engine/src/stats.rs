//! Counters of the whole process. Relaxed atomics: each is exact, together they are no snapshot.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Everything that is counted.
#[derive(Default)]
pub struct Stats {
    /// Encrypted main databases opened since the process began.
    pub opened: AtomicU64,
    /// Encrypted main databases open now.
    pub open: AtomicU64,
    /// Encrypted databases created.
    pub created: AtomicU64,
    /// Temporary files opened.
    pub temporary: AtomicU64,
    /// Calls to read and write that reached an encrypted file.
    pub reads: AtomicU64,
    /// See `reads`.
    pub writes: AtomicU64,
    /// Failures of the class `tampered`.
    pub unauthentic: AtomicU64,
}

/// The process's counters.
pub static STATS: Stats = Stats {
    opened: AtomicU64::new(0),
    open: AtomicU64::new(0),
    created: AtomicU64::new(0),
    temporary: AtomicU64::new(0),
    reads: AtomicU64::new(0),
    writes: AtomicU64::new(0),
    unauthentic: AtomicU64::new(0),
};

impl Stats {
    /// Adds one.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// All counters as JSON.
    pub fn to_json(&self) -> String {
        serde_json::json!({
            "opened": self.opened.load(Relaxed),
            "open": self.open.load(Relaxed),
            "created": self.created.load(Relaxed),
            "temporary": self.temporary.load(Relaxed),
            "reads": self.reads.load(Relaxed),
            "writes": self.writes.load(Relaxed),
            "unauthentic": self.unauthentic.load(Relaxed),
            "kdf_runs": crate::keys::cache::kdf_runs(),
        })
        .to_string()
    }
}
