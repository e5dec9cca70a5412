//! What the logs beside a database hold, for `verify`.

use ground::error::{FaultClass, FileKind, Result};
use ground::memory;
use sqlite::files::journal::JournalFile;
use sqlite::files::wal::chain::Chain;
use sqlite::files::wal::{FRAME_HEADER, is_commit};
use sqlite::format::wal_header::{
    LogPreamble, WAL_FRAMES_OFFSET, WAL_HEADER_A_OFFSET, WAL_HEADER_B_OFFSET, WalHeader,
};
use storage::{LONGEST_TRANSFER, Storage};
use vault::file_keys::{FileKeys, Sealer};
use vault::format::cell::Cell;
use vault::format::length::Length;

/// What is wrong with a log, or noteworthy.
#[derive(Default)]
pub struct LogReport {
    /// Authentic frames or extents, up to the first that is not.
    pub authentic: u64,
    /// Frames up to the last commit, by SQLite's rules.
    pub committed: u64,
    /// Frame or extent, and what is wrong with it.
    pub damaged: Vec<(Option<u64>, String)>,
    /// What is odd but may be honest.
    pub warnings: Vec<String>,
    /// Slots of the main file from here on may be honest holes.
    pub holes_from: Option<u64>,
}

/// Judges a WAL. `None` for a file that is not there.
pub fn verify_wal(
    wal: Option<&mut dyn Storage>,
    keys: &std::sync::Arc<FileKeys>,
    cell: Option<Cell>,
    length: Option<Length>,
) -> Result<LogReport> {
    let mut report = LogReport::default();
    let active = cell.is_some_and(|cell| cell.active);
    let Some(wal) = wal else {
        if active {
            report.damaged.push((None, "the database names a write-ahead log that is missing".to_owned()));
        }
        return Ok(report);
    };
    let size = wal.size()?;
    let overhead = keys.sealer(FileKind::Wal)?.overhead();
    let mut newest: Option<(WalHeader, Sealer)> = None;
    for offset in [WAL_HEADER_A_OFFSET, WAL_HEADER_B_OFFSET] {
        let mut bytes = vec![0; WalHeader::stored_len(overhead)];
        wal.read(&mut bytes, offset)?;
        match WalHeader::parse_preamble(&bytes) {
            LogPreamble::Valid(preamble) => {
                let Some(sealer) = keys.log_sealer(FileKind::Wal, &preamble.uuid, &preamble.key_id)? else {
                    report.damaged.push((None, "it belongs to another database or another key".to_owned()));
                    return Ok(report);
                };
                if let Ok(header) = WalHeader::open(preamble, &bytes, &sealer) {
                    let number = header.preamble.sequence;
                    if newest.as_ref().is_none_or(|(other, _)| other.preamble.sequence < number) {
                        newest = Some((header, sealer));
                    }
                } else {
                    report.damaged.push((None, format!("the header at {offset} does not authenticate")));
                }
            }
            LogPreamble::Plaintext if offset == WAL_HEADER_A_OFFSET => {
                report.damaged.push((None, "it is a plaintext write-ahead log".to_owned()));
                return Ok(report);
            }
            LogPreamble::Absent => {}
            _ => report.damaged.push((None, format!("the header at {offset} is damaged"))),
        }
    }
    let Some((header, sealer)) = newest else {
        if active && report.damaged.is_empty() {
            report
                .damaged
                .push((None, "it has no header, but the database's last commits are in it".to_owned()));
        }
        return Ok(report);
    };
    if let Some(cell) = cell {
        let generation = header.preamble.generation;
        let latest = cell.latest();
        let counts = (cell.active && generation == cell.current) || header.previous == latest;
        if !counts {
            if cell.active || generation != cell.previous {
                report.damaged.push((None, "it is not the log that the database names".to_owned()));
            }
            return Ok(report);
        }
    }
    let length = length.unwrap_or_default();
    let generation = &header.preamble.generation;
    report.holes_from = Some(length.slots_under(generation, header.main_slots));
    count_frames(wal, &header, &sealer, size, &mut report)?;
    let copied = length.frames_of(generation);
    if report.committed < copied {
        let text = format!(
            "a checkpoint has begun to copy {copied} frames, and the log ends after {}: the database holds half a \
             transaction",
            report.committed
        );
        report.damaged.push((Some(report.committed), text));
    }
    Ok(report)
}

fn count_frames(
    wal: &mut dyn Storage,
    header: &WalHeader,
    sealer: &Sealer,
    size: u64,
    report: &mut LogReport,
) -> Result<()> {
    let plain_len = FRAME_HEADER + header.page_size() as usize;
    let slot_len = plain_len + sealer.overhead();
    let batch = (LONGEST_TRANSFER / slot_len).max(1);
    let (mut plain, mut slots) = (memory::zeroed(plain_len)?, memory::zeroed(batch * slot_len)?);
    let frames = size.saturating_sub(WAL_FRAMES_OFFSET) / slot_len as u64;
    // None: what SQLite takes for the log has ended.
    let mut chain = Some(Chain::of(&header.sqlite));
    let mut gap = None;
    // The first frame behind the gap that goes on, and how many transactions end behind it.
    let (mut behind, mut commits) = (None, 0u64);
    for first in (0..frames).step_by(batch) {
        let slots = &mut slots[..(frames - first).min(batch as u64) as usize * slot_len];
        wal.read(slots, WAL_FRAMES_OFFSET + first * slot_len as u64)?;
        for (slot, index) in slots.chunks(slot_len).zip(first..) {
            // Frames of earlier generations lie behind the current ones until they are overwritten: they do
            // not authenticate, and that is the end of the log.
            if sealer.open(index, &header.preamble.generation, slot, &mut plain).is_err() {
                gap.get_or_insert(index);
                if let Some(chain) = &mut chain {
                    chain.skip();
                }
                continue;
            }
            report.authentic += u64::from(gap.is_none());
            // Those of a transaction that was rolled back, or killed before its end, authenticate and do not go on.
            chain = chain.and_then(|mut chain| chain.takes(&plain).then_some(chain));
            if chain.is_none() {
                continue;
            }
            if gap.is_some() {
                behind.get_or_insert(index);
                commits += u64::from(is_commit(&plain));
            } else if is_commit(&plain) {
                report.committed = index + 1;
            }
        }
    }
    if let (Some(gap), Some(behind)) = (gap, behind)
        && commits > 0
    {
        let lost = match commits {
            1 => "the commit behind it is lost".to_owned(),
            _ => format!("the {commits} commits behind it are lost"),
        };
        let text = format!(
            "frame {gap} does not authenticate although frame {behind} behind it does; when the database is opened, {lost}"
        );
        report.damaged.push((Some(gap), text));
    }
    Ok(())
}

/// Judges a rollback journal.
pub fn verify_journal(journal: &mut dyn Storage, keys: &std::sync::Arc<FileKeys>) -> Result<LogReport> {
    let mut report = LogReport::default();
    let mut file = JournalFile::new(keys.clone(), false)?;
    match file.extents(journal) {
        Ok((authentic, rest)) => {
            report.authentic = authentic;
            if rest {
                report.warnings.push(format!(
                    "behind extent {authentic} the rollback journal holds bytes that do not authenticate: a torn \
                     write, or a change"
                ));
            }
        }
        Err(fault) if fault.class == FaultClass::Tampered => report.damaged.push((None, fault.message)),
        Err(fault) => return Err(fault),
    }
    Ok(report)
}
