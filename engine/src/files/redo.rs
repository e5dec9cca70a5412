//! The blocks that a change of the data key is writing: `<database>-lumo-rekey` (`docs/format.md`, section 6).
//!
//! A block that a crash tears while it is sealed anew opens under neither key. It therefore lies here, durably, before
//! it is written in its place. Only blocks that do not authenticate there are ever taken from here: what does may be
//! newer.

use std::fs;
use std::path::{Path, PathBuf};

use super::disk::{DiskFile, sync_folder};
use super::storage::Storage;
use crate::error::{Fault, FaultClass, Result};
use crate::format::geometry::Geometry;
use crate::format::redo_header::{LogPreamble, REDO_HEADER_LEN, REDO_SLOTS_OFFSET, RedoHeader};
use crate::keys::file_keys::FileKeys;
use crate::paths;

/// What the file's name ends in.
pub const REDO_SUFFIX: &str = "-lumo-rekey";

/// The name of the file for the database at `path`.
pub fn redo_path(path: &Path) -> PathBuf {
    paths::beside(path, REDO_SUFFIX)
}

/// The file, if it belongs to the database with these keys.
fn open(path: &Path, keys: &FileKeys) -> Option<(DiskFile, RedoHeader)> {
    let mut file = DiskFile::open(redo_path(path)).ok()??;
    let mut head = [0; REDO_HEADER_LEN];
    file.read(&mut head, 0).ok()?;
    match RedoHeader::parse(&head) {
        LogPreamble::Valid(header) if header.uuid == keys.uuid && header.key_id == keys.key_id => {
            Some((file, header))
        }
        _ => None,
    }
}

/// Finds slot `index` of the database at `path` among the blocks that are being written, and puts it into `sealed`,
/// which is as long as a slot. Returns its length; whether it is authentic is for the caller to say.
///
/// Errors: none. What cannot be read is not there.
pub fn find(
    path: &Path,
    keys: &FileKeys,
    geometry: &Geometry,
    index: u64,
    sealed: &mut [u8],
) -> Option<usize> {
    let (mut file, header) = open(path, keys)?;
    let place = index.checked_sub(header.first).filter(|place| *place < header.count)?;
    let offset = REDO_SLOTS_OFFSET.checked_add(place.checked_mul(geometry.slot_len() as u64)?)?;
    let len = file.size().ok()?.checked_sub(offset)?.min(sealed.len() as u64) as usize;
    (file.read(&mut sealed[..len], offset).ok()? && len > 0).then_some(len)
}

/// The slots of the database that are being written, as far as that is known.
pub fn indices(path: &Path, keys: &FileKeys) -> std::ops::Range<u64> {
    open(path, keys).map_or(0..0, |(_, header)| header.first..header.first.saturating_add(header.count))
}

/// The slots that were kept are in their places, durably, and must not be taken for newer ones any more.
pub fn discard(path: &Path) -> Result<()> {
    match DiskFile::open_to_write(redo_path(path))? {
        Some(mut file) => {
            file.write(&[0; REDO_HEADER_LEN], 0)?;
            file.sync(0)
        }
        None => Ok(()),
    }
}

/// Makes `slots`, a number of slots that follow each other from `first` on, durable for the database at `path`.
///
/// Errors: those of the disk, a full one among them; the database was not touched then.
pub fn keep(path: &Path, keys: &FileKeys, geometry: &Geometry, first: u64, slots: &[u8]) -> Result<()> {
    let name = redo_path(path);
    let (mut file, created) = match DiskFile::open_to_write(&name)? {
        Some(file) => (file, false),
        None => (DiskFile::create_like(&name, path)?, true),
    };
    let count = slots.len().div_ceil(geometry.slot_len()) as u64;
    let header = RedoHeader { uuid: keys.uuid, key_id: keys.key_id, first, count };
    // An old, longer one must not lend its end to a shorter last slot.
    file.truncate(REDO_SLOTS_OFFSET + slots.len() as u64)?;
    file.write(slots, REDO_SLOTS_OFFSET)?;
    file.write(&header.encode(), 0)?;
    file.sync(0)?;
    if created {
        sync_folder(&name)?;
    }
    Ok(())
}

/// All blocks are in their places, durably.
pub fn remove(path: &Path) -> Result<()> {
    let name = redo_path(path);
    match fs::remove_file(&name) {
        Ok(()) => sync_folder(&name),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Fault::new(
            FaultClass::Io,
            format!("the blocks that were being written cannot be removed: {error}"),
        )
        .at_path(&name)),
    }
}
