//! Is all of an environment what its owner wrote?

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use ground::error::Result;
use storage::Storage;
use vault::header::HEADER_LEN;
use vault::options::OpenOptions;

use super::findings::Findings;
use super::pages::{Marks, Pages};
use super::region::{Meta, Unlocked};
use super::walk::{Nobody, Walk};
use crate::inspect::copy_state;
use crate::progress::{Meter, Progress};

/// How long it works between two pauses.
const ROUND: Duration = Duration::from_millis(100);

/// Verifies the header, both meta pages and every page of the newest state. Nothing is locked: whoever writes meanwhile
/// may make it look damaged. The result is the JSON of docs/reference/c-abi.md.
///
/// Errors: those of a key, `HeaderDamaged` also if neither meta page counts.
pub async fn verify(
    file: &mut dyn Storage,
    options: &OpenOptions,
    path: &Path,
    meter: &Meter,
) -> Result<Value> {
    let unlocked = Unlocked::open(file, options, path)?;
    let mut findings = Findings::default();
    let header = check_header(&unlocked, &mut findings);
    let metas = unlocked.metas(file)?;
    let Some((number, newest)) = newest(&metas) else { return Err(unlocked.no_meta()) };
    let page_size = u64::from(unlocked.superblock.block_size);
    let count = unlocked.size.saturating_sub(HEADER_LEN) / page_size;
    let mut pages = Pages { file, opener: &unlocked.opener, page_size, count };
    let mut pace = Pace { progress: Progress::new(unlocked.size, meter), since: Instant::now(), done: 0 };
    let mut nobody = Nobody;
    let mut walk = Walk::new(&mut pages, newest, &mut findings, &mut nobody)?;
    while walk.step()? {
        pace.at(HEADER_LEN + walk.used_count * page_size).await;
    }
    let Walk { used, free, used_count, free_count, complete, .. } = walk;
    let rest = look_at_rest(&mut pages, &used, &free, newest, &mut pace).await?;
    if complete && rest.neither > 0 {
        findings.warnings.push(format!(
            "{} pages are neither in use nor in the free list: the space is lost, and nothing else",
            rest.neither
        ));
    }
    check_metas(&metas, number, &rest, &mut findings);
    let states: Vec<_> = metas
        .iter()
        .enumerate()
        .map(|(at, meta)| match meta {
            Ok(_) if at == number => "ok",
            Ok(_) => "older",
            Err(_) => "damaged",
        })
        .collect();
    Ok(json!({
        "ok": findings.total == 0,
        "contents": "lmdb",
        "cipher": unlocked.superblock.suite.name(),
        "slots": used_count + 2,
        "damaged": findings.damaged,
        "damaged_total": findings.total,
        "header": header[0],
        "cells": header[1],
        "length_cells": header[2],
        "wal_frames": 0,
        "journal_extents": 0,
        "metas": states,
        "transaction": newest.txn,
        "free": free_count,
        "warnings": findings.warnings,
    }))
}

/// The meta page that counts, as LMDB chooses it.
pub(super) fn newest(metas: &[std::result::Result<Meta, &str>; 2]) -> Option<(usize, Meta)> {
    match metas {
        [Ok(first), Ok(second)] if first.txn < second.txn => Some((1, *second)),
        [Ok(first), _] => Some((0, *first)),
        [_, Ok(second)] => Some((1, *second)),
        _ => None,
    }
}

/// The superblock's copies and the cells; returns their states.
fn check_header(unlocked: &Unlocked, findings: &mut Findings) -> [Value; 3] {
    let header = &unlocked.header;
    let generation = unlocked.superblock.generation;
    let copies = [copy_state(&header.a, generation), copy_state(&header.b, generation)];
    for (name, state) in ["A", "B"].iter().zip(copies).filter(|(_, state)| *state != "ok") {
        findings.of_header(None, &format!("copy {name} of the superblock is {state}"));
    }
    for reserved in &header.warnings {
        findings.of_header(None, reserved);
    }
    let states = header.cells(&*unlocked.keys).states();
    for (cell, copies) in states {
        for (name, _) in ["A", "B"].iter().zip(copies).filter(|(_, state)| *state != "ok") {
            findings.of_header(None, &format!("copy {name} of the {cell} is damaged"));
        }
    }
    let [(_, wal), (_, length)] = states;
    [copies, wal, length].map(|[a, b]| json!({"a": a, "b": b}))
}

/// What is to be said of the meta pages.
fn check_metas(
    metas: &[std::result::Result<Meta, &str>; 2],
    number: usize,
    rest: &Rest,
    findings: &mut Findings,
) {
    let Some(Ok(newest)) = metas.get(number) else { return };
    let txn = newest.txn;
    for (at, why) in
        metas.iter().enumerate().filter_map(|(at, meta)| meta.as_ref().err().map(|why| (at, why)))
    {
        let which = if rest.newer.is_some() {
            "the file has pages that a later transaction wrote, so it is likely that a commit is lost"
        } else {
            "if it was the newer one, a commit is lost"
        };
        findings.of_header(
            Some(at as u64),
            &format!(
                "meta page {at} does not count: {why}. LMDB opens the state of transaction {txn}, and says nothing; {which}"
            ),
        );
    }
    if let Some(newer) = rest.newer.filter(|_| metas.iter().all(std::result::Result::is_ok)) {
        findings.warnings.push(format!(
            "the file has pages of transaction {newer}, and its newest meta page is of {txn}: a commit was cut short \
             before its end, or an older meta page was put back"
        ));
    }
    if let [Ok(one), Ok(other)] = metas
        && one.txn.abs_diff(other.txn) > 1
    {
        findings.warnings.push(format!(
            "the meta pages are of transactions {} and {}, which do not follow each other: one of them was put back",
            one.txn, other.txn
        ));
    }
}

/// What is in the pages that no tree has.
struct Rest {
    /// The newest transaction that wrote one, if it is newer than the state.
    newer: Option<u64>,
    /// Pages that the free list has not, either.
    neither: u64,
}

async fn look_at_rest(
    pages: &mut Pages<'_>,
    used: &Marks,
    free: &Marks,
    state: Meta,
    pace: &mut Pace<'_>,
) -> Result<Rest> {
    let mut rest = Rest { newer: None, neither: 0 };
    for number in 2..pages.count {
        if used.has(number) {
            continue;
        }
        rest.neither += u64::from(number <= state.last_page && !free.has(number));
        rest.newer = rest.newer.max(pages.newer(number, state.txn)?);
        pace.more(pages.page_size).await;
    }
    Ok(rest)
}

/// Pauses now and then.
struct Pace<'a> {
    progress: Progress<'a>,
    since: Instant,
    done: u64,
}

impl Pace<'_> {
    async fn more(&mut self, bytes: u64) {
        self.done += bytes;
        if self.since.elapsed() >= ROUND {
            self.progress.advance(std::mem::take(&mut self.done)).await;
            self.since = Instant::now();
        }
    }

    /// So many bytes are done in all.
    async fn at(&mut self, bytes: u64) {
        if self.since.elapsed() >= ROUND {
            let done = self.progress.done();
            self.done = 0;
            self.progress.advance(bytes.saturating_sub(done)).await;
            self.since = Instant::now();
        }
    }
}
