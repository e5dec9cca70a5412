//! Copies of an environment that is in use.

use std::ffi::{c_char, c_int, c_void};
use std::fs::File;
use std::os::fd::BorrowedFd;

use ground::error::{Fault, FaultClass, Result};
use lmdb::keyed::Keyed;
use lmdb::{Environment, Error};

use super::behind;
use crate::files::open_options;
use crate::{call, file_name};

/// Copies an environment into a file that does not exist yet: as it is; or with `compact` without free pages.
///
/// # Safety
/// `environment` is from `lumo_lmdb_env_open`; `path` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_env_copy(
    environment: *mut c_void,
    path: *const c_char,
    compact: c_int,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (environment, path) = unsafe { (behind::<Environment>(environment)?, file_name(path)?) };
        let named = |error: Error| Fault::from(error).at_path(path);
        if compact != 0 {
            return environment.copy_compact_alike(path).map_err(named);
        }
        let file = File::create_new(path).map_err(|error| system(&error).at_path(path))?;
        environment.copy_plain(&file).map_err(|error| {
            // It is ours, and nothing without its end.
            let _ = std::fs::remove_file(path);
            named(error)
        })
    })
}

/// Copies an environment, without free pages, into a file that does not exist yet, under another key: a new environment with
/// the same content.
///
/// # Safety
/// As for [`lumo_lmdb_env_copy`]; `options` is a string or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_env_copy_as(
    environment: *mut c_void,
    path: *const c_char,
    key: u64,
    options: *const c_char,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (environment, path, options) =
            unsafe { (behind::<Environment>(environment)?, file_name(path)?, open_options(options, key)?) };
        Keyed { key: options.key.as_deref(), options: &options, create: true, at_any_cost: false }
            .copy(environment, path)
    })
}

/// Copies an environment as it is into what is open for writing as `descriptor`, and empty.
///
/// # Safety
/// As for [`lumo_lmdb_env_copy`]; the descriptor is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_env_copy_fd(environment: *mut c_void, descriptor: c_int) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let environment = unsafe { behind::<Environment>(environment) }?;
        Ok(environment.copy_plain(&duplicate(descriptor)?)?)
    })
}

fn duplicate(descriptor: c_int) -> Result<File> {
    if descriptor < 0 {
        return Err(Fault::new(FaultClass::InvalidArgument, "a required descriptor is none"));
    }
    // SAFETY: it is not negative, and the caller promises that it is open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    borrowed.try_clone_to_owned().map(File::from).map_err(|error| system(&error))
}

fn system(error: &std::io::Error) -> Fault {
    Error::System(error.raw_os_error().unwrap_or(libc::EIO)).into()
}
