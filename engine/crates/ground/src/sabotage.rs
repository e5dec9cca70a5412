//! An engine that is broken on purpose: what a campaign of crashes has to notice, or its silence means nothing.
//!
//! With the feature `fault-injection`, and never in a release, the environment variable `LUMO_FAULT` names one
//! thing to do wrong. Without the feature nothing of this is left.

/// A thing to do wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    /// The main file is written before what its journal has collected.
    JournalFlush,
    /// The journal is not synced.
    JournalSync,
    /// A super-journal's name does not end its journals.
    JournalTrailer,
    /// The WAL is not synced.
    WalSync,
    /// The cell names a WAL generation whose header is not synced yet.
    WalCell,
    /// A WAL is emptied or deleted before the cell that no longer names it is durable.
    WalRetire,
    /// The main file is not synced.
    MainSync,
    /// What a write skips is left unsealed.
    GapSealing,
    /// A new database's header is not synced.
    HeaderSync,
    /// Both superblock copies are written without a sync in between.
    CopySync,
    /// A block in clear is used again although the one on disk has changed.
    StaleBlock,
    /// The WAL generation that another connection has ended is taken for current.
    StaleLog,
    /// What a WAL transaction has written or half assembled is remembered after its end.
    StaleFrame,
    /// The main file's size is remembered across locks.
    StaleSize,
    /// A change of the data key writes blocks in their places that are not kept elsewhere.
    Redo,
    /// A change of the data key that is taken up again trusts what it can read of the blocks that were being written.
    KeptTrust,
    /// A writer does not look whether the data key was changed.
    StaleKey,
    /// Nobody waits for the thread that writes a batch.
    BatchWait,
    /// What was cut off the end of the main file reads as zeros, and is sealed as such.
    MissingEnd,
    /// A checkpoint does not say how many frames it copies.
    CopiedFrames,
    /// The cells are not written again after a sync that failed.
    CellOnce,
    /// The WAL is not written again after a sync that failed.
    WalOnce,
    /// What a failed sync of a journal covered counts as a part of it.
    JournalOnce,
    /// Blocks that no journal and no log holds are not written again after a sync that failed.
    BlockOnce,
    /// What a checkpoint has copied counts as copied although the sync of it failed.
    BackfillKept,
}

/// Is the engine to do `what`?
#[cfg(not(feature = "fault-injection"))]
pub const fn is(_what: Sabotage) -> bool {
    false
}

/// Is the engine to do `what`?
#[cfg(feature = "fault-injection")]
pub fn is(what: Sabotage) -> bool {
    use std::sync::OnceLock;

    static CHOSEN: OnceLock<Option<Sabotage>> = OnceLock::new();
    *CHOSEN.get_or_init(|| named(&std::env::var("LUMO_FAULT").ok()?)) == Some(what)
}

/// A misspelt name would pass for a fault that nothing notices.
#[cfg(feature = "fault-injection")]
fn named(name: &str) -> Option<Sabotage> {
    Some(match name {
        "journal-flush" => Sabotage::JournalFlush,
        "journal-sync" => Sabotage::JournalSync,
        "journal-trailer" => Sabotage::JournalTrailer,
        "wal-sync" => Sabotage::WalSync,
        "wal-cell" => Sabotage::WalCell,
        "wal-retire" => Sabotage::WalRetire,
        "main-sync" => Sabotage::MainSync,
        "gap-sealing" => Sabotage::GapSealing,
        "header-sync" => Sabotage::HeaderSync,
        "copy-sync" => Sabotage::CopySync,
        "stale-block" => Sabotage::StaleBlock,
        "stale-log" => Sabotage::StaleLog,
        "stale-frame" => Sabotage::StaleFrame,
        "stale-size" => Sabotage::StaleSize,
        "redo" => Sabotage::Redo,
        "kept-trust" => Sabotage::KeptTrust,
        "stale-key" => Sabotage::StaleKey,
        "batch-wait" => Sabotage::BatchWait,
        "missing-end" => Sabotage::MissingEnd,
        "copied-frames" => Sabotage::CopiedFrames,
        "cell-once" => Sabotage::CellOnce,
        "wal-once" => Sabotage::WalOnce,
        "journal-once" => Sabotage::JournalOnce,
        "block-once" => Sabotage::BlockOnce,
        "backfill-kept" => Sabotage::BackfillKept,
        _ => {
            eprintln!("LUMO_FAULT names no fault: {name}");
            std::process::abort()
        }
    })
}
