//! LMDB environments as files: what is done to them without LMDB.

use std::ffi::{c_char, c_int};

use super::files::open_options;
use super::{call, file_name, give, required};
use ground::error::{Fault, FaultClass};
use offline::environment;
use sqlite::vfs::host;
use sqlite::vfs::own_file::OwnFile;
use vault::registry;

/// Carries out the command that `handle` names, for keyslots of the LMDB environment at `path`.
///
/// # Safety
/// `path` and `handle` are strings, `options` is null or one; `json` is null or a place for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_environment_command(
    host: u32,
    path: *const c_char,
    key: u64,
    options: *const c_char,
    handle: *const c_char,
    json: *mut *mut c_char,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (path, options, handle) =
            unsafe { (file_name(path)?, open_options(options, key)?, required(handle)?) };
        let command = registry::take_command(handle).ok_or_else(|| {
            Fault::new(FaultClass::InvalidArgument, "the handle of this command was used already, or is none")
        })?;
        // Keeps others out who change the header. LMDB locks a file of its own.
        let mut file =
            OwnFile::open_exclusively(host::host(host)?, path).map_err(|fault| fault.at_path(path))?;
        let answer = environment::edit(&mut file.base, &options, path, command)
            .map_err(|fault| fault.at_path(path))?;
        // SAFETY: as the caller promises.
        unsafe { give(json, &answer.to_string()) }
    })
}
