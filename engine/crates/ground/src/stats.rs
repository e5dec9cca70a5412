//! Counters of the whole process. Relaxed atomics: each is exact, together they are no snapshot.
//!
//! What is counted per operation is counted per open file, in memory that only the thread in the file's call writes
//! to: three plain additions, without a bus lock and without a cache line that threads pass to and fro. Asking adds up
//! the files that are open and what closed ones have left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use serde_json::{Value, json};

use crate::error::FileKind;
use crate::locks::{Guard, Lasting, Rank};

/// One operation of this many is timed, unless a recorder wants all of them timed: the clock costs more than the rest
/// of the counting. The time of the others is estimated from it.
const SAMPLING: u64 = 64;

/// How far apart files that are opened one after the other begin in the sampling: odd, so that every beginning is as
/// frequent, and not one, because files are opened in turns.
const PHASE_STEP: u64 = 37;

/// Everything that is counted once per event, and not per operation.
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
    /// Failures of the class `tampered`.
    unauthentic: AtomicU64,
    /// Those of `unauthentic` whose kind of file is known, by kind.
    unauthentic_in: [AtomicU64; KINDS],
}

/// The process's counters.
pub static STATS: Stats = Stats {
    opened: AtomicU64::new(0),
    open: AtomicU64::new(0),
    created: AtomicU64::new(0),
    temporary: AtomicU64::new(0),
    unauthentic: AtomicU64::new(0),
    unauthentic_in: [const { AtomicU64::new(0) }; KINDS],
};

const KINDS: usize = FileKind::ALL.len();

/// Operations of one direction.
#[derive(Default)]
struct Operations {
    count: AtomicU64,
    bytes: AtomicU64,
    nanoseconds: AtomicU64,
}

/// What is counted of one open file.
pub struct FileCounters {
    kind: FileKind,
    /// Where in the sampling the file begins, so that files of few operations are sampled like others.
    phase: u64,
    reads: Operations,
    writes: Operations,
}

/// Sums of one kind of file and direction.
#[derive(Default, Clone, Copy)]
struct Sums {
    count: u64,
    bytes: u64,
    nanoseconds: u64,
}

struct Files {
    open: Vec<Arc<FileCounters>>,
    /// Reads and writes of closed files, by kind.
    closed: [[Sums; 2]; KINDS],
    /// Where in the sampling the next file begins.
    opened: u64,
}

static FILES: Lasting<Files> = Lasting::new(
    Rank::Counters,
    Files { open: Vec::new(), closed: [[Sums { count: 0, bytes: 0, nanoseconds: 0 }; 2]; KINDS], opened: 0 },
);

fn files() -> Guard<'static, Files> {
    FILES.lock()
}

/// Adds where only one thread at a time writes.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
}

impl Operations {
    fn done(&self, bytes: usize, watch: Option<&Watch>) {
        add(&self.count, 1);
        add(&self.bytes, bytes as u64);
        if let Some(watch) = watch {
            add(&self.nanoseconds, watch.nanoseconds().wrapping_mul(watch.stands_for));
        }
    }

    fn add_to(&self, sums: &mut Sums) {
        sums.count += self.count.load(Relaxed);
        sums.bytes += self.bytes.load(Relaxed);
        sums.nanoseconds += self.nanoseconds.load(Relaxed);
    }
}

/// An operation that is being timed.
pub struct Watch {
    begun: Instant,
    /// So many operations count as having taken as long: those that are not timed, too.
    stands_for: u64,
}

impl Watch {
    /// Nanoseconds since it began.
    pub fn nanoseconds(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The counters of an open file of ours; they count for the process from here on, and stay counted when this is
/// dropped.
pub struct Tally(Arc<FileCounters>);

impl Tally {
    /// The counters of a file that is being opened.
    pub fn new(kind: FileKind) -> Tally {
        let mut files = files();
        let phase = files.opened % SAMPLING;
        files.opened += PHASE_STEP;
        let counters = Arc::new(FileCounters {
            kind,
            phase,
            reads: Operations::default(),
            writes: Operations::default(),
        });
        files.open.push(Arc::clone(&counters));
        Tally(counters)
    }

    /// The kind of file.
    pub fn kind(&self) -> FileKind {
        self.0.kind
    }

    /// An operation begins, which is timed if it is one of the sample, or if all are.
    pub fn begin(&self, time_all: bool) -> Option<Watch> {
        if time_all {
            return Some(Watch { begun: Instant::now(), stands_for: 1 });
        }
        let done = self.0.reads.count.load(Relaxed).wrapping_add(self.0.writes.count.load(Relaxed));
        let is_sample = done.wrapping_add(self.0.phase) % SAMPLING == SAMPLING - 1;
        is_sample.then(|| Watch { begun: Instant::now(), stands_for: SAMPLING })
    }

    /// A read of `bytes` has ended.
    pub fn read(&self, bytes: usize, watch: Option<&Watch>) {
        self.0.reads.done(bytes, watch);
    }

    /// A write of `bytes` has ended.
    pub fn wrote(&self, bytes: usize, watch: Option<&Watch>) {
        self.0.writes.done(bytes, watch);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let mut files = files();
        let [reads, writes] = &mut files.closed[self.0.kind.index()];
        self.0.reads.add_to(reads);
        self.0.writes.add_to(writes);
        if let Some(place) = files.open.iter().position(|open| Arc::ptr_eq(open, &self.0)) {
            files.open.swap_remove(place);
        }
    }
}

impl Stats {
    /// Adds one.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// A block or log failed authentication.
    pub fn count_unauthentic(&self, kind: Option<FileKind>) {
        Self::count(&self.unauthentic);
        if let Some(kind) = kind {
            Self::count(&self.unauthentic_in[kind.index()]);
        }
    }

    /// All counters, and how often the KDF has run, as JSON (docs/reference/c-abi.md).
    pub fn to_json(&self, kdf_runs: u64) -> String {
        let files = self.files();
        let sum = |direction: &str| -> u64 {
            ["main", "journal", "wal"].iter().filter_map(|kind| files[kind][direction].as_u64()).sum()
        };
        json!({
            "opened": self.opened.load(Relaxed),
            "open": self.open.load(Relaxed),
            "created": self.created.load(Relaxed),
            "temporary": self.temporary.load(Relaxed),
            "reads": sum("reads"),
            "writes": sum("writes"),
            "unauthentic": self.unauthentic.load(Relaxed),
            "kdf_runs": kdf_runs,
            "files": files,
        })
        .to_string()
    }

    fn files(&self) -> Value {
        let mut sums = {
            let files = files();
            let mut sums = files.closed;
            for open in &files.open {
                let [reads, writes] = &mut sums[open.kind.index()];
                open.reads.add_to(reads);
                open.writes.add_to(writes);
            }
            sums
        };
        let describe = |kind: FileKind| {
            let [reads, writes] = &mut sums[kind.index()];
            let counts = json!({
                "reads": reads.count,
                "read_bytes": reads.bytes,
                "read_nanoseconds": reads.nanoseconds,
                "writes": writes.count,
                "write_bytes": writes.bytes,
                "write_nanoseconds": writes.nanoseconds,
                "unauthentic": self.unauthentic_in[kind.index()].load(Relaxed),
            });
            (kind.name().to_owned(), counts)
        };
        Value::Object(FileKind::ALL.into_iter().map(describe).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sub-journals are of no other test that runs at the same time.
    fn sub_journals() -> Value {
        STATS.files()["sub-journal"].clone()
    }

    #[test]
    fn open_and_closed_files_count() {
        let before = sub_journals();
        let (one, two) = (Tally::new(FileKind::SubJournal), Tally::new(FileKind::SubJournal));
        one.read(100, None);
        one.wrote(7, one.begin(true).as_ref());
        two.read(11, None);
        let more = |now: &Value, name: &str| now[name].as_u64().unwrap() - before[name].as_u64().unwrap();
        let open = sub_journals();
        drop((one, two));
        for now in [open, sub_journals()] {
            assert_eq!(more(&now, "reads"), 2);
            assert_eq!(more(&now, "read_bytes"), 111);
            assert_eq!((more(&now, "writes"), more(&now, "write_bytes")), (1, 7));
        }
    }

    #[test]
    fn one_operation_in_so_many_is_timed_and_stands_for_the_others() {
        let tally = Tally::new(FileKind::TempJournal);
        let watches = (0..10 * SAMPLING).filter_map(|_| {
            let watch = tally.begin(false);
            tally.wrote(1, None);
            watch
        });
        let stand_for: Vec<_> = watches.map(|watch| watch.stands_for).collect();
        assert_eq!(stand_for, [SAMPLING; 10]);
        assert_eq!(tally.begin(true).map(|watch| watch.stands_for), Some(1));
    }

    #[test]
    fn files_of_one_operation_are_sampled_like_others() {
        let sampled = (0..SAMPLING).filter(|_| Tally::new(FileKind::TempJournal).begin(false).is_some());
        // Other tests open files at the same time.
        assert!((0..=8).contains(&sampled.count()));
        let mut phases: Vec<_> = (0..SAMPLING).map(|place| place * PHASE_STEP % SAMPLING).collect();
        phases.sort_unstable();
        assert_eq!(phases, (0..SAMPLING).collect::<Vec<_>>());
    }
}
