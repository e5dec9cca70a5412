//! A copy of a database's header region, and its way back.
//!
//! Who loses the header loses the data key, and with it everything. Who puts an old header back may lose it, too, if the
//! data key has changed since: so a header is put back only where blocks of the file open under it.

use ground::error::{Fault, FaultClass, FileKind, Result};
use sqlite::facts::MAGIC;
use sqlite::files::header_region::{write_cells, write_copies, write_new_cells};
use sqlite::format::geometry::Geometry;
use sqlite::format::header;
use sqlite::format::header::HEADER_LEN;
use storage::Storage;
use vault::file_keys::{FileKeys, NO_CONTEXT};
use vault::format::cells::Cells;
use vault::format::length::Length;
use vault::format::link::Link;
use vault::format::superblock::{Contents, Superblock};
use vault::header::parse_of;
use vault::registry::OpenOptions;
use vault::unlock;

/// How often a header is read until both copies are the same: they differ while somebody changes it.
const READS: u32 = 20;
/// The time in between.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(10);
/// Blocks that are tried with the keys of a backup, where two would do: any may be damaged.
const SAMPLE: u64 = 16;

/// What a restoration did.
pub struct Restored {
    /// The generation of the header now.
    pub generation: u64,
    /// Blocks of the file that were tried with the backup's keys.
    pub tried: u64,
    /// Those of them that opened.
    pub opened: u64,
    /// The WAL cells were damaged, too, and made anew.
    pub new_cells: bool,
}

/// Copies the header region of `file` to `destination`, which is empty.
pub fn back_up(file: &mut dyn Storage, destination: &mut dyn Storage) -> Result<()> {
    let mut region = read_region(file)?;
    for _ in 1..READS {
        if parse_any(&region)?.stale_copy().is_none() {
            break;
        }
        std::thread::sleep(PAUSE);
        region = read_region(file)?;
    }
    parse_any(&region)?;
    destination.write(&region, 0)?;
    destination.sync(0)
}

/// The header of a database or of an LMDB environment.
fn parse_any(region: &[u8]) -> Result<header::Header> {
    parse_of(Contents::Lmdb, region).or_else(|_| header::parse(region))
}

/// Puts the superblock of `backup`, a header region, back into `file`, which nobody else uses. What is there goes to
/// `saved`, which is empty, first. `has_logs`: there is a WAL or a rollback journal with content beside the file.
pub fn restore(
    file: &mut dyn Storage,
    backup: &[u8],
    options: &OpenOptions,
    saved: &mut dyn Storage,
    has_logs: bool,
) -> Result<Restored> {
    let (keys, superblock) = header::parse(backup)
        .and_then(|header| unlock::unlock_as(&header, options.key.as_deref(), options, ""))
        .map_err(|fault| Fault { message: format!("the backup: {}", fault.message), path: None, ..fault })?;
    let physical = file.size()?;
    if physical < HEADER_LEN {
        return Err(Fault::new(
            FaultClass::HeaderDamaged,
            "the file ends within its header: there is nothing that a header could be restored to",
        ));
    }
    let region = read_region(file)?;
    let (tried, opened) = try_blocks(file, &region, &superblock, &keys)?;
    // Whether the database kept a length cell said the superblock, which may be gone: from here on it does.
    let cells = Cells::of(&region, &keys, true);
    let new_cells = cells.wal_cell().is_none();
    if new_cells && has_logs {
        return Err(Fault::new(
            FaultClass::HeaderDamaged,
            "the part of the header that says which log belongs to the database is damaged, too, and there is a log; \
             restore the database from a backup, or move its -wal and -journal away and lose what is in them",
        ));
    }
    saved.write(&region, 0)?;
    saved.sync(0)?;
    let newest = [&region[..], backup].into_iter().filter_map(|region| generation(region, &keys)).max();
    // Whether the data key is being changed now does not follow from a copy of then.
    let link = current_link(&region, &keys).unwrap_or_else(|| superblock.link.clone());
    let next = Superblock { generation: newest.unwrap_or(0) + 1, keeps_length: true, link, ..superblock };
    let slots = geometry(&next).block_count(geometry(&next).logical_size(physical));
    match cells.wal_cell() {
        None => write_new_cells(file, &keys, slots)?,
        Some(cell) => {
            // Beside a log some of the slots may not be durable.
            let slots = if has_logs { cell.synced_slots } else { slots };
            let length = cells.length().unwrap_or(Length { slots, ..Length::default() });
            write_cells(file, &keys, cell, length)?;
        }
    }
    write_copies(file, &next.encode(&keys))?;
    Ok(Restored { generation: next.generation, tried, opened, new_cells })
}

fn read_region(file: &mut dyn Storage) -> Result<Vec<u8>> {
    let mut region = vec![0; file.size()?.min(HEADER_LEN) as usize];
    file.read(&mut region, 0)?;
    Ok(region)
}

fn geometry(superblock: &Superblock) -> Geometry {
    Geometry::new(superblock.block_size, superblock.suite.overhead())
}

/// Whether, and from which key, the data key is being changed, as the header in `region` says. `None`: it says nothing that
/// can be believed.
fn current_link(region: &[u8], keys: &FileKeys) -> Option<Option<Link>> {
    let header = header::parse(region).ok()?;
    header.authentic(keys).map(|(superblock, _)| superblock.link.clone())
}

/// The generation of what somebody with these keys wrote into `region` last. Others' numbers do not count.
fn generation(region: &[u8], keys: &FileKeys) -> Option<u64> {
    let header = header::parse(region).ok()?;
    header.authentic(keys).map(|(superblock, _)| superblock.generation)
}

/// Tries blocks of `file` with the backup's keys: how many, and how many opened. An error if the backup is of another
/// database or of another data key.
fn try_blocks(
    file: &mut dyn Storage,
    region: &[u8],
    superblock: &Superblock,
    keys: &FileKeys,
) -> Result<(u64, u64)> {
    let geometry = geometry(superblock);
    let physical = file.size()?;
    let blocks = geometry.block_count(geometry.logical_size(physical));
    let named = header::parse(region).ok().and_then(|header| header.newest().cloned());
    let claimed = named.as_ref().map(|current| current.uuid == keys.uuid && current.key_id == keys.key_id);
    let sealer = keys.sealer(FileKind::MainDb)?;
    // A header that names another key proves nothing, since anybody can write it; but in the middle of a change of the
    // data key some blocks are still under the old one. Then every single one has to open.
    let all = claimed == Some(false);
    // A suite without a tag opens everything; then only SQLite's own mark in block 0 says something.
    let tagged = sealer.overhead() > 0;
    let tries = if all && tagged { blocks } else { blocks.min(if tagged { SAMPLE } else { 1 }) };
    let mut opened = 0;
    let mut slot = vec![0; geometry.slot_len()];
    let mut plain = vec![0; superblock.block_size as usize];
    for attempt in 0..tries {
        // The first, the last, and those in between at equal distances.
        let index = if all || tries == 1 { attempt } else { attempt * (blocks - 1) / (tries - 1) };
        let offset = geometry.slot_offset(index);
        let len = slot.len().min((physical - offset) as usize);
        file.read(&mut slot[..len], offset)?;
        let plain = &mut plain[..len.saturating_sub(sealer.overhead())];
        let opens = sealer.open(index, &NO_CONTEXT, &slot[..len], plain).is_ok();
        if opens && (tagged || plain.starts_with(MAGIC)) {
            opened += 1;
        } else if all {
            break;
        }
    }
    match claimed {
        Some(false) if opened < blocks || blocks == 0 => Err(Fault::new(
            FaultClass::InvalidArgument,
            "the backup is of another database, or from before a change of its data key: the header that is there names \
             another key, and blocks do not open under the backup's; nothing was changed",
        )),
        None if opened == 0 => Err(Fault::new(
            FaultClass::InvalidArgument,
            "no block of the file opens under the keys of the backup: it is of another database, from before a change of \
             the data key, or everything is damaged; nothing was changed",
        )),
        Some(true) if blocks > 0 && opened == 0 => Err(Fault::new(
            FaultClass::Tampered,
            "the backup's keys are those that the header names, but no block opens under them: the blocks are damaged, \
             which another header does not mend; nothing was changed",
        )),
        _ => Ok((tries, opened)),
    }
}

#[cfg(test)]
mod tests;
