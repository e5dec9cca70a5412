//! Every fault of LMDB 1.0.2 that an edit mends: there in the library as it is, gone in ours.
//!
//! Each case is a process, since some end in an abort. `cargo test --release --features stock,small-lists` takes
//! seconds; without `small-lists` transactions spill where they do in production, which takes minutes.

use std::path::PathBuf;
use std::process::{Command, Output};

/// Runs a case on one of the libraries.
fn run(library: &str, case: &str) -> Output {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{library}-{case}"));
    let _ = std::fs::remove_dir_all(&folder);
    let output = Command::new(env!("CARGO_BIN_EXE_repro"))
        .args([library, case])
        .arg(&folder)
        .output()
        .expect("the program runs");
    let _ = std::fs::remove_dir_all(&folder);
    output
}

fn green(case: &str) {
    let output = run("lumo", case);
    assert!(output.status.success(), "{case}: {output:?}");
}

fn red(case: &str) {
    let output = run("stock", case);
    assert!(!output.status.success(), "{case} is mended in LMDB itself: is the edit needed any more?");
    assert_ne!(output.status.code(), Some(2), "{case}: {output:?}");
}

macro_rules! cases {
    ($($name:ident $case:literal),* $(,)?) => {
        $(#[test] fn $name() { green($case); red($case); })*
    };
}

cases! {
    pages_that_were_written_again_are_not_served_as_they_were "stale",
    pages_that_another_process_wrote_are_seen "others",
    pages_that_a_transaction_spilled_are_not_served_as_they_were "spill",
    readers_do_not_see_each_other_decrypt "race",
    writers_in_threads_keep_their_pages_apart "writers",
    there_may_be_thousands_of_cursors "cursors",
    memory_is_bounded "memory",
    nothing_can_be_prepared "prepare",
    values_stay_where_they_are "hold",
    pages_in_each_others_places_are_refused "swap",
    old_extents_are_refused "extent",
    checksums_are_looked_at "sums-read",
    checksums_are_not_forgotten "sums-forgotten",
    checksums_fit "sums-size",
    writemap_is_refused "writemap",
    compacting_copies_are_right_or_refused "compact",
    meta_pages_are_authenticated "metas",
}

#[test]
fn a_file_that_ends_too_early_is_an_error() {
    green("truncated");
}
