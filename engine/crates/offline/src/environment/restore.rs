//! A copy of an environment's header, put back.

use std::path::Path;

use ground::error::{Fault, FaultClass, Result};
use sqlite::files::header_region::{write_copies, write_new_cells};
use storage::Storage;
use vault::format::superblock::{Contents, Superblock};
use vault::header::{self, HEADER_LEN};
use vault::options::OpenOptions;

use super::region::Unlocked;
use crate::header_backup::Restored;

/// Whether a backup is of an environment's header. Nothing is authenticated.
pub fn is_header(backup: &[u8]) -> bool {
    header::parse_of(Contents::Lmdb, backup).is_ok()
}

/// As [`crate::header_backup::restore`], of an environment: the meta pages are what has to open under the backup.
pub fn restore(
    file: &mut dyn Storage,
    backup: &[u8],
    options: &OpenOptions,
    saved: &mut dyn Storage,
) -> Result<Restored> {
    let size = file.size()?;
    let unlocked = Unlocked::of(backup.to_vec(), size, options, Path::new("")).map_err(|fault| Fault {
        message: format!("the backup: {}", fault.message),
        path: None,
        ..fault
    })?;
    let metas = unlocked.metas(file)?;
    let opened = metas.iter().filter(|meta| meta.is_ok()).count() as u64;
    if opened == 0 {
        return Err(Fault::new(
            FaultClass::InvalidArgument,
            "the backup is of another environment or data key, or both meta pages are damaged: neither authenticates \
             under it; nothing was changed",
        ));
    }
    let mut region = vec![0; HEADER_LEN as usize];
    file.read(&mut region, 0)?;
    saved.write(&region, 0)?;
    saved.sync(0)?;
    let keys = &*unlocked.keys;
    let there = header::parse_of(Contents::Lmdb, &region).ok();
    let now =
        there.as_ref().and_then(|header| header.authentic(keys)).map(|(superblock, _)| superblock.generation);
    let generation = now.unwrap_or(0).max(unlocked.superblock.generation) + 1;
    let is_whole = |header: &header::Header| {
        header.cells(keys).states().iter().all(|(_, copies)| copies.iter().all(|state| *state == "ok"))
    };
    let new_cells = !there.as_ref().is_some_and(is_whole);
    if new_cells {
        write_new_cells(file, keys, 0)?;
    }
    let next = Superblock { generation, ..unlocked.superblock.clone() };
    write_copies(file, &next.encode(keys))?;
    Ok(Restored { generation, tried: 2, opened, new_cells })
}
