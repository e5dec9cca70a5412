//! The blocks that a change of the data key is writing: `<database>-lumo-rekey` (`docs/reference/format.md`, 6).
//!
//! A block that a crash tears while it is sealed anew opens under neither key. It therefore lies here, durably, before
//! it is written in its place. What authenticates there with the new data key may be newer, and is never replaced by what is
//! here.

use std::ffi::OsStr;
use std::fs;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::format::geometry::Geometry;
use crate::format::redo_header::{LogPreamble, REDO_HEADER_LEN, REDO_SLOTS_OFFSET, RedoHeader};
use crypto::kdf::sha256;
use ground::error::{Fault, FaultClass, Result};
use ground::paths;
use storage::Storage;
use storage::disk::{DiskFile, sync_folder};
use vault::file_keys::FileKeys;

/// What the file's name ends in.
pub const REDO_SUFFIX: &str = "-lumo-rekey";
/// Bytes of the longest name that file systems take (NAME_MAX).
const LONGEST_NAME: usize = 255;
/// Where that would be too long: what a name begins with that is made of a digest of the database's.
const SHORT_PREFIX: &str = ".lumo-rekey-";

/// The name of the file for the database at `path`.
pub fn redo_path(path: &Path) -> PathBuf {
    let name = path.file_name().map_or(&[][..], OsStr::as_bytes);
    if name.len() + REDO_SUFFIX.len() <= LONGEST_NAME {
        return paths::beside(path, REDO_SUFFIX);
    }
    let digest = sha256(name);
    let digest: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    path.with_file_name(format!("{SHORT_PREFIX}{digest}"))
}

/// The blocks that are being written, and the file that they are in.
pub struct Kept {
    file: DiskFile,
    header: RedoHeader,
    slot_len: u64,
}

impl Kept {
    /// The blocks that are being written to the database at `path`, which has these keys. `None`: none are.
    ///
    /// Errors: those of the disk; `Tampered` for a header that was altered; `UnsupportedFormat` for one by a newer version. The
    /// file must not be removed then: it may hold the only copy of a block.
    pub fn open(path: &Path, keys: &FileKeys, geometry: &Geometry) -> Result<Option<Kept>> {
        let name = redo_path(path);
        let Some(mut file) = DiskFile::open(&name)? else { return Ok(None) };
        let mut head = [0; REDO_HEADER_LEN];
        file.read(&mut head, 0)?;
        let mut header = match RedoHeader::parse(&head) {
            LogPreamble::Valid(header) => header,
            // It was being written, and nothing else yet; or it was discarded.
            LogPreamble::Absent | LogPreamble::Torn => return Ok(None),
            LogPreamble::Plaintext | LogPreamble::Unsupported(_) => return Err(newer(&name)),
        };
        if header.uuid != keys.uuid || header.key_id != keys.key_id {
            return Ok(None);
        }
        if !RedoHeader::is_authentic(&head, keys) {
            return Err(altered(&name));
        }
        // Whatever it says: there are no more than the file has room for.
        let slot_len = geometry.slot_len() as u64;
        let there = file.size()?.saturating_sub(REDO_SLOTS_OFFSET).div_ceil(slot_len);
        header.count = header.count.min(there);
        Ok(Some(Kept { file, header, slot_len }))
    }

    /// The slots of the database that are there.
    pub fn indices(&self) -> Range<u64> {
        self.header.first..self.header.first.saturating_add(self.header.count)
    }

    /// Puts slot `index` of the database into `sealed`, which is as long as a slot. Returns its length, `None` if it is not
    /// there; whether it is authentic is for the caller to say.
    pub fn read(&mut self, index: u64, sealed: &mut [u8]) -> Result<Option<usize>> {
        let place = index.checked_sub(self.header.first).filter(|place| *place < self.header.count);
        let Some(offset) =
            place.and_then(|place| place.checked_mul(self.slot_len)?.checked_add(REDO_SLOTS_OFFSET))
        else {
            return Ok(None);
        };
        let len = self.file.size()?.saturating_sub(offset).min(sealed.len() as u64) as usize;
        Ok((len > 0 && self.file.read(&mut sealed[..len], offset)?).then_some(len))
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
    Kept::open(path, keys, geometry).ok()??.read(index, sealed).ok()?
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

/// Makes `slots`, a number of slots that follow each other from `first` on, durable for the database at `path`. `named`:
/// the file is known to have its name durably, which it has from here on.
///
/// Errors: those of the disk, a full one among them; the database was not touched then.
pub fn keep(
    path: &Path,
    keys: &FileKeys,
    geometry: &Geometry,
    first: u64,
    slots: &[u8],
    named: &mut bool,
) -> Result<()> {
    let name = redo_path(path);
    let (mut file, created) = match DiskFile::open_own(&name, path)? {
        Some(file) => (file, false),
        None => (DiskFile::create_like(&name, path)?, true),
    };
    let count = slots.len().div_ceil(geometry.slot_len()) as u64;
    let header = RedoHeader { uuid: keys.uuid, key_id: keys.key_id, first, count };
    // An old, longer one must not lend its end to a shorter last slot.
    file.truncate(REDO_SLOTS_OFFSET + slots.len() as u64)?;
    file.write(slots, REDO_SLOTS_OFFSET)?;
    file.write(&header.encode(keys), 0)?;
    file.sync(0)?;
    // That it is there says nothing: whoever made it may have failed to make its name durable.
    if created || !*named {
        *named = false;
        sync_folder(&name)?;
    }
    *named = true;
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

fn altered(name: &Path) -> Fault {
    Fault::new(
        FaultClass::Tampered,
        "the blocks that a change of the data key was writing were altered; put the file back as it was, or move it away \
         and run rekey again: whatever is damaged without it is then named",
    )
    .at_path(name)
}

fn newer(name: &Path) -> Fault {
    Fault::new(
        FaultClass::UnsupportedFormat,
        "the blocks that a change of the data key was writing are in a format that this version does not read; end the \
         change with the version that began it",
    )
    .at_path(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_be_too_long_becomes_a_short_one_of_its_own() {
        let database = |len: usize, letter: &str| PathBuf::from(format!("/a/folder/{}", letter.repeat(len)));
        assert_eq!(redo_path(Path::new("app.db")), Path::new("app.db-lumo-rekey"));
        assert_eq!(redo_path(&database(244, "n")), paths::beside(&database(244, "n"), REDO_SUFFIX));
        let short = redo_path(&database(245, "n"));
        let text = short.to_str().unwrap();
        assert!(text.starts_with("/a/folder/.lumo-rekey-") && text.len() < 60);
        assert_ne!(short, redo_path(&database(246, "n")));
        assert_ne!(short, redo_path(&database(245, "m")));
        assert_eq!(redo_path(Path::new(&"n".repeat(245))), short.strip_prefix("/a/folder").unwrap());
    }
}
