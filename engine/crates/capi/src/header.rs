//! Copies of a database's header.

use std::ffi::{c_char, c_int};
use std::path::Path;

use serde_json::json;

use super::files::open_options;
use super::input::{beside, held, new_file, open};
use super::{call, file_name, give};
use ground::error::{Fault, FaultClass, Result};
use offline::environment;
use offline::header_backup;
use sqlite::format::header::HEADER_LEN;
use sqlite::vfs::host;
use sqlite::vfs::own_file::OwnFile;
use storage::{Storage, is_zero};

/// Copies the header region of the database at `path` to the empty file that is open as `destination`. Needs no key.
///
/// # Safety
/// `path` is a string; the descriptor stays open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_header_backup(host: u32, path: *const c_char, destination: c_int) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (path, mut target) = unsafe { (file_name(path)?, new_file(destination)?) };
        let mut file = open(host, path)?;
        header_backup::back_up(&mut file.base, &mut target).map_err(|fault| fault.at_path(path))
    })
}

/// Puts the header that `backup` begins with back into the database at `path`, which is in the open folder `folder` if
/// that is not negative, after the one that is there was copied to
/// the empty file that is open as `saved`.
///
/// # Safety
/// `path` and `backup` are strings; the descriptor stays open; `options` is null or one; `json` is null or a place for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_header_restore(
    host: u32,
    path: *const c_char,
    folder: c_int,
    backup: *const c_char,
    key: u64,
    options: *const c_char,
    saved: c_int,
    json: *mut *mut c_char,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (path, backup, options, mut target) =
            unsafe { (file_name(path)?, file_name(backup)?, open_options(options, key)?, new_file(saved)?) };
        let region = backup_region(host, backup)?;
        let opened = held(path, folder).unwrap_or_else(|| path.to_owned());
        let mut file =
            OwnFile::open_exclusively(host::host(host)?, &opened).map_err(|fault| fault.at_path(path))?;
        let has_logs = beside(host, path, "-wal")?.is_some() || has_journal(host, path)?;
        let restored = if environment::is_header(&region) {
            environment::restore(&mut file.base, &region, &options, &mut target)
        } else {
            header_backup::restore(&mut file.base, &region, &options, &mut target, has_logs)
        }
        .map_err(|fault| fault.at_path(path))?;
        let answer = json!({
            "generation": restored.generation,
            "tried": restored.tried,
            "opened": restored.opened,
            "new_cells": restored.new_cells,
        });
        // SAFETY: as the caller promises.
        unsafe { give(json, &answer.to_string()) }
    })
}

/// The first bytes of a backup. It may be a whole database: hence through SQLite's VFS, which keeps the process's locks.
fn backup_region(host: u32, path: &Path) -> Result<Vec<u8>> {
    let mut file = open(host, path)?;
    let mut region = vec![0; HEADER_LEN as usize];
    if file.base.read(&mut region, 0)? {
        return Ok(region);
    }
    Err(Fault::new(FaultClass::InvalidArgument, "the file is shorter than a header: it is no backup of one")
        .at_path(path))
}

/// Is there a journal beside the database that is not finished?
fn has_journal(host: u32, path: &Path) -> Result<bool> {
    let Some(mut journal) = beside(host, path, "-journal")? else { return Ok(false) };
    let mut head = [0; 1];
    journal.base.read(&mut head, 0)?;
    Ok(!is_zero(&head))
}
