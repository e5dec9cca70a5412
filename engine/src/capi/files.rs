//! Operations on whole files.

use std::ffi::{c_char, c_int, c_void};
use std::path::Path;

use serde_json::json;

use super::input::InputFile;
use super::{call, file_name, give, text};
use crate::error::{Fault, FaultClass, Result};
use crate::files::disk::DiskFile;
use crate::files::storage::Storage;
use crate::keys::registry::{self, OpenOptions};
use crate::offline::convert::{self, Converted};
use crate::offline::inspect::{self, hex};
use crate::offline::progress::Report;
use crate::offline::verify::{self, Files};
use crate::paths;
use crate::vfs::host::{self, OwnFile};

/// Called with bytes done, bytes in all and the caller's context; a non-zero answer stops the operation.
pub type LumoProgress = Option<unsafe extern "C" fn(u64, u64, *mut c_void) -> c_int>;

/// Describes the file at `path` without a key.
///
/// # Safety
/// `path` is a string; `json` is null or a place for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_inspect(host: u32, path: *const c_char, json: *mut *mut c_char) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let path = unsafe { file_name(path) }?;
        let mut file = open(host, path)?;
        let description = inspect::inspect(&mut file.base).map_err(|fault| fault.at_path(path))?;
        // SAFETY: as the caller promises.
        unsafe { give(json, &description.to_string()) }
    })
}

/// Encrypts `source` into the empty file `destination`.
///
/// # Safety
/// Strings as named; `progress` is null or a function that accepts `context`; `json` as for [`lumo_inspect`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_encrypt_file(
    host: u32,
    source: *const c_char,
    destination: *const c_char,
    key: u64,
    options: *const c_char,
    progress: LumoProgress,
    context: *mut c_void,
    json: *mut *mut c_char,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (source, destination, options) =
            unsafe { (file_name(source)?, file_name(destination)?, open_options(options, key)?) };
        let mut file = InputFile::open(host, source)?;
        let mut target = DiskFile::open_empty(destination)?;
        let mut report = reporter(progress, context);
        let done = convert::encrypt(&mut file, &mut target, &options, &mut report)
            .map_err(|fault| fault.at_path(source))?;
        // SAFETY: as the caller promises.
        unsafe { give(json, &describe(&done)) }
    })
}

/// Makes the empty file `destination` a database without content.
///
/// # Safety
/// Strings as named.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_create_file(
    destination: *const c_char,
    key: u64,
    options: *const c_char,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (destination, options) = unsafe { (file_name(destination)?, open_options(options, key)?) };
        let mut target = DiskFile::open_empty(destination)?;
        convert::create(&mut target, &options).map_err(|fault| fault.at_path(destination))
    })
}

/// Decrypts `source` into the empty file `destination`.
///
/// # Safety
/// As for [`lumo_encrypt_file`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_decrypt_file(
    host: u32,
    source: *const c_char,
    destination: *const c_char,
    key: u64,
    options: *const c_char,
    progress: LumoProgress,
    context: *mut c_void,
    json: *mut *mut c_char,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (source, destination, options) =
            unsafe { (file_name(source)?, file_name(destination)?, open_options(options, key)?) };
        let mut file = InputFile::open(host, source)?;
        let mut target = DiskFile::open_empty(destination)?;
        let mut report = reporter(progress, context);
        let done = convert::decrypt(&mut file, &mut target, &options, source, &mut report)
            .map_err(|fault| fault.at_path(source))?;
        // SAFETY: as the caller promises.
        unsafe { give(json, &describe(&done)) }
    })
}

/// Verifies the database at `path` and the logs beside it.
///
/// # Safety
/// As for [`lumo_encrypt_file`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_verify_file(
    host: u32,
    path: *const c_char,
    key: u64,
    options: *const c_char,
    progress: LumoProgress,
    context: *mut c_void,
    json: *mut *mut c_char,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (path, options) = unsafe { (file_name(path)?, open_options(options, key)?) };
        let mut main = InputFile::open(host, path)?;
        let mut wal = beside(host, path, "-wal")?;
        let mut journal = beside(host, path, "-journal")?;
        let mut report = reporter(progress, context);
        let files = Files {
            main: &mut main,
            wal: wal.as_mut().map(|file| &mut file.base as &mut dyn Storage),
            journal: journal.as_mut().map(|file| &mut file.base as &mut dyn Storage),
        };
        let verdict =
            verify::verify(files, &options, path, &mut report).map_err(|fault| fault.at_path(path))?;
        // SAFETY: as the caller promises.
        unsafe { give(json, &verdict.to_string()) }
    })
}

pub(super) fn open(host: u32, path: &Path) -> Result<OwnFile> {
    OwnFile::open(host::host(host)?, path)?
        .ok_or_else(|| Fault::new(FaultClass::Io, "there is no such file").with_code(14).at_path(path))
}

/// The log of a database, if it is there and has content.
pub(super) fn beside(host: u32, path: &Path, suffix: &str) -> Result<Option<OwnFile>> {
    let Some(mut file) = OwnFile::open(host::host(host)?, &paths::beside(path, suffix))? else {
        return Ok(None);
    };
    Ok(if file.base.size()? > 0 { Some(file) } else { None })
}

/// # Safety
/// `options` is null or a string.
pub(super) unsafe fn open_options(options: *const c_char, key: u64) -> Result<OpenOptions> {
    // SAFETY: as the caller promises.
    let mut open = OpenOptions::from_json(unsafe { text(options) }?.unwrap_or("{}"))?;
    if key != 0 {
        open.key = Some(registry::get_key(key).ok_or_else(|| {
            Fault::new(FaultClass::InvalidArgument, format!("no key has the number {key}; it was freed"))
        })?);
    }
    Ok(open)
}

pub(super) fn reporter(progress: LumoProgress, context: *mut c_void) -> Box<Report<'static>> {
    match progress {
        // SAFETY: the caller of the exported function promised that the function accepts the context.
        Some(progress) => Box::new(move |done, total| unsafe { progress(done, total, context) == 0 }),
        None => Box::new(|_, _| true),
    }
}

pub(super) fn describe(done: &Converted) -> String {
    json!({
        "cipher": done.suite.name(),
        "uuid": hex(&done.uuid),
        "block_size": done.block_size,
        "size": done.size,
        "stopped": done.stopped,
    })
    .to_string()
}
