//! Does every byte of a database authenticate?

use std::path::Path;

use serde_json::{Value, json};

use super::Unlocked;
use super::inspect::copy_state;
use super::logs::{LogReport, verify_journal, verify_wal};
use super::progress::{Meter, Progress};
use super::slots::{PAUSE, Slots, TRIES};
use super::undo::Undo;
use super::workers::Input;
use ground::error::{Fault, FaultClass, FileKind, Result, numbered};
use sqlite::facts;
use sqlite::files::main_db::MainFile;
use storage::Storage;
use vault::file_keys::NO_CONTEXT;
use vault::format::cells::Cells;
use vault::format::length::counts_slots;
use vault::registry::OpenOptions;

/// The most damages that are listed one by one.
const LISTED: usize = 10_000;

/// What is to be said of a rollback journal that is not hot, and of one that is.
const JOURNAL: [&str; 2] = [
    "a rollback journal lies beside the database, and nothing is to be rolled back: its transaction has ended",
    "a rollback journal lies beside the database: its last transaction was not finished and will be rolled back when it \
     is opened",
];

/// Collects damages, listing the first [`LISTED`].
#[derive(Default)]
struct Findings {
    damaged: Vec<Value>,
    total: u64,
    warnings: Vec<String>,
}

impl Findings {
    fn add(&mut self, kind: FileKind, number: Option<u64>, reason: &str) {
        self.total += 1;
        if self.damaged.len() < LISTED {
            let [block, frame, extent] = numbered(Some(kind), number);
            self.damaged.push(json!({
                "file_kind": kind.name(),
                "block": block,
                "frame": frame,
                "extent": extent,
                "reason": reason,
            }));
        }
    }

    fn add_log(&mut self, kind: FileKind, report: &LogReport) {
        for (number, reason) in &report.damaged {
            self.add(kind, *number, reason);
        }
        self.warnings.extend(report.warnings.iter().cloned());
    }
}

/// The files of one database.
pub struct Files<'a> {
    /// The database.
    pub main: &'a mut dyn Input,
    /// Its WAL, if there is one with content.
    pub wal: Option<&'a mut dyn Storage>,
    /// Its rollback journal, likewise.
    pub journal: Option<&'a mut dyn Storage>,
    /// Answers for super-journals.
    pub exists: &'a dyn Fn(&Path) -> bool,
}

/// Verifies the header, every slot and the logs. The result is the JSON of docs/reference/c-abi.md.
pub async fn verify(files: Files<'_>, options: &OpenOptions, path: &Path, meter: &Meter) -> Result<Value> {
    let file = Unlocked::open(files.main, options, path)?;
    let mut findings = Findings::default();
    let (states, cells) = verify_header(&file, &mut findings);
    let wal = verify_wal(files.wal, &file.keys, cells.wal_cell(), cells.length())?;
    findings.add_log(FileKind::Wal, &wal);
    let (mut extents, mut undo) = (0, None);
    if let Some(journal) = files.journal {
        let report = verify_journal(journal, &file.keys)?;
        extents = report.authentic;
        if report.damaged.is_empty() && extents > 0 {
            undo = Undo::find(journal, files.main, &file, files.exists)?;
            findings.warnings.push(JOURNAL[usize::from(undo.is_some())].to_owned());
        }
        findings.add_log(FileKind::MainJournal, &report);
    }
    let aside = Aside { holes_from: wal.holes_from, undo: undo.as_ref() };
    verify_slots(&file, files.main, &aside, options.threads, &mut findings, meter).await?;
    if let Some(fault) = missing_end(&file, files.main, undo.as_ref())? {
        // A block that a crash tore is no damage where a log holds all of it; one that is missing is.
        let block = fault.number.filter(|_| wal.committed == 0 && undo.is_none());
        findings.add(FileKind::MainDb, block, &fault.message);
    } else if file.size == 0 {
        findings.warnings.push(
            "the database has a header and no content: its creation was not finished, or it was cut"
                .to_owned(),
        );
    } else if wal.committed == 0 && undo.is_none() {
        verify_length(&file, files.main, &mut findings)?;
    }
    let [(_, wal_copies), (_, length_copies)] = cells.states();
    Ok(json!({
        "ok": findings.total == 0,
        "cipher": file.superblock.suite.name(),
        "slots": file.geometry.block_count(file.size),
        "damaged": findings.damaged,
        "damaged_total": findings.total,
        "header": {"a": states[0], "b": states[1]},
        "cells": {
            "a": wal_copies[0],
            "b": wal_copies[1],
        },
        "length_cells": {
            "a": length_copies[0],
            "b": length_copies[1],
        },
        "wal_frames": wal.authentic,
        "journal_extents": extents,
        "warnings": findings.warnings,
    }))
}

/// Both copies of the superblock, and both of each cell. Returns the states of the former, and the latter.
fn verify_header(file: &Unlocked, findings: &mut Findings) -> ([&'static str; 2], Cells) {
    let generation = file.superblock.generation;
    let header_a = copy_state(&file.header.a, generation);
    let header_b = copy_state(&file.header.b, generation);
    for (name, state) in [("A", header_a), ("B", header_b)] {
        if state == "stale" && file.is_every_copy_authentic() {
            findings.warnings.push(format!(
                "copy {name} of the superblock is of an earlier change than the other: a change of the header is under way, or \
                 was cut short; the next writer completes it"
            ));
        } else if state == "damaged" && name == "A" && file.size == 0 && !counts_slots(file.header.raw()) {
            findings.warnings.push(
                "copy A of the superblock is damaged, which is written last, and there is no content: the creation of the \
                 database was cut short; the next writer completes it"
                    .to_owned(),
            );
        } else if state != "ok" {
            findings.add(FileKind::MainDb, None, &format!("copy {name} of the superblock is {state}"));
        }
    }
    for reserved in &file.header.warnings {
        findings.add(FileKind::MainDb, None, reserved);
    }
    findings.warnings.extend(file.unauthenticated());
    let cells = file.header.cells(&file.keys);
    for (cell, copies) in cells.states() {
        for (name, _) in ["A", "B"].iter().zip(copies).filter(|(_, state)| *state != "ok") {
            findings.add(FileKind::MainDb, None, &format!("copy {name} of the {cell} is damaged"));
        }
    }
    ([header_a, header_b], cells)
}

/// What makes a block that does not open no damage.
struct Aside<'a> {
    /// From here on slots may be honest holes.
    holes_from: Option<u64>,
    /// A rollback is to come.
    undo: Option<&'a Undo>,
}

/// Opens every slot.
async fn verify_slots(
    file: &Unlocked,
    main: &mut dyn Input,
    aside: &Aside<'_>,
    threads: Option<usize>,
    findings: &mut Findings,
    meter: &Meter,
) -> Result<()> {
    let progress = Progress::new(file.size, meter);
    let block_size = u64::from(file.geometry.block_size);
    let mut mended = 0u64;
    let mut add = |index, reason: &str| {
        if aside.undo.is_some_and(|undo| undo.mends(index, block_size)) {
            mended += 1;
        } else {
            findings.add(FileKind::MainDb, Some(index), reason);
        }
    };
    let slots = Slots::new(file, aside.holes_from)?;
    slots.verify(main, threads, progress, &mut |(index, reason)| add(index, reason)).await?;
    // As it was at the start: a writer may have extended the file since.
    let torn = file.physical.saturating_sub(file.geometry.physical_size(file.size));
    if torn > 0 {
        add(
            file.geometry.block_count(file.size),
            &format!("the file ends in {torn} bytes that are no whole block: it was cut"),
        );
    }
    if mended > 0 {
        let (blocks, them) =
            if mended == 1 { ("1 block does", "it") } else { (&*format!("{mended} blocks do"), "them") };
        findings.warnings.push(format!(
            "{blocks} not authenticate, and the rollback restores or removes all that was in {them}: a crash may have \
             torn {them}"
        ));
    }
    Ok(())
}

/// What is to be said if the file is shorter than its length cell says it must be, or than the rollback that is to come
/// takes it to be.
fn missing_end(file: &Unlocked, main: &mut dyn Storage, undo: Option<&Undo>) -> Result<Option<Fault>> {
    let mut current = MainFile::new(file.keys.clone(), file.geometry.block_size)?;
    current.set_keeps_length(file.superblock.keeps_length);
    match current.check_length(main) {
        Err(fault) if fault.class == FaultClass::Tampered => return Ok(Some(fault)),
        // Damaged cells are in the list already.
        Err(fault) if fault.class == FaultClass::HeaderDamaged => {}
        checked => checked?,
    }
    Ok(undo.filter(|undo| undo.needs_more_than(file.size)).map(|undo| {
        let slots = |size| file.geometry.block_count(size);
        current.cut_off(slots(file.size), slots(undo.size()))
    }))
}

/// Does the file have as many pages as SQLite's header counts? With a log in force the header may be ahead.
fn verify_length(file: &Unlocked, main: &mut dyn Storage, findings: &mut Findings) -> Result<()> {
    for _ in 0..TRIES {
        match missing_length(file, main)? {
            // A commit writes the header before the pages that make the file longer.
            Some(_) => std::thread::sleep(PAUSE),
            None => return Ok(()),
        }
    }
    if let Some((size, have)) = missing_length(file, main)? {
        let text =
            format!("the database is {size} bytes long and the file holds {have}: its end was cut off");
        findings.add(FileKind::MainDb, Some(file.geometry.block_count(have)), &text);
    }
    Ok(())
}

/// How long the database is and how much of it is there, if not all is.
fn missing_length(file: &Unlocked, main: &mut dyn Storage) -> Result<Option<(u64, u64)>> {
    let first = file.size.min(u64::from(file.geometry.block_size)) as usize;
    let mut slot = vec![0; first + file.sealer.overhead()];
    main.read(&mut slot, file.geometry.slot_offset(0))?;
    let mut header = vec![0; first];
    if file.sealer.open(0, &NO_CONTEXT, &slot, &mut header).is_err() {
        return Ok(None);
    }
    // After the header: what it counts has been written by then, or is about to be.
    let have = file.geometry.logical_size(main.size()?);
    Ok(sqlite_size(&header).filter(|size| *size > have).map(|size| (size, have)))
}

/// The size that SQLite's header records.
pub(super) fn sqlite_size(header: &[u8]) -> Option<u64> {
    if header.len() < facts::HEADER_LEN || !header.starts_with(facts::MAGIC) {
        return None;
    }
    let page_size =
        facts::page_size(u16::from_be_bytes([header[facts::PAGE_SIZE_AT], header[facts::PAGE_SIZE_AT + 1]]));
    Some(u64::from(facts::page_count(header)?) * u64::from(page_size))
}
