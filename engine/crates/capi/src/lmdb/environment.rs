//! Environments: opening them, and what they say of themselves.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use ground::error::Result;
use ground::fork;
use lmdb::keyed::Keyed;
use lmdb::{Environment, Identity, Options, Protection, sys};

use super::settings::Settings;
use super::{behind, null, put};
use crate::files::open_options;
use crate::{call, file_name, give, required};

/// Opens the environment in the file at `path`, and creates it if the settings say so and there is none. Opened twice in a
/// process, an environment is one, and how it is opened is what the first one said.
///
/// # Safety
/// Strings as named; `options` is a string or null; `environment` is null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_env_open(
    path: *const c_char,
    key: u64,
    options: *const c_char,
    settings: *const c_char,
    environment: *mut *mut c_void,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let (path, options, settings) = unsafe {
            (file_name(path)?, open_options(options, key)?, Settings::from_json(required(settings)?)?)
        };
        // Refused before there is a file.
        settings.check(Options::new(Protection::Checksum, Identity { uuid: [0; 16], key_id: [0; 16] }))?;
        let keyed = Keyed {
            key: options.key.as_deref(),
            options: &options,
            create: settings.create(),
            at_any_cost: false,
        };
        let opened = keyed.open(path, |options| settings.apply(options))?;
        // SAFETY: as the caller promises.
        unsafe { hand_out(opened, environment) }
    })
}

/// # Safety
/// `place` is null or a place for a pointer.
unsafe fn hand_out(environment: Environment, place: *mut *mut c_void) -> Result<()> {
    if place.is_null() {
        return Err(null());
    }
    // SAFETY: as the caller promises.
    unsafe { put(place, Box::into_raw(Box::new(environment)).cast()) }
}

/// Gives an environment back. It is closed when its last transaction has ended.
///
/// # Safety
/// `environment` is null or from [`lumo_lmdb_env_open`], and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_env_close(environment: *mut c_void) {
    if !environment.is_null() {
        // Closing cannot panic; if it did, there would be nobody to tell.
        let _ = std::panic::catch_unwind(|| {
            // SAFETY: made by Box::into_raw, and given back once.
            drop(unsafe { Box::from_raw(environment.cast::<Environment>()) });
        });
    }
}

/// Which opening this is, of all in this process and those that it was forked from. In a forked child the first call opens the
/// environment again. A database's number is good for one opening.
///
/// # Safety
/// `environment` is from [`lumo_lmdb_env_open`]; `opening` is a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_env_opening(environment: *mut c_void, opening: *mut u64) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        unsafe { put(opening, behind::<Environment>(environment)?.raw()?.opening()) }
    })
}

/// The numbers of `MDB_envinfo`, and those of the cache of clear pages: map size, last page, last transaction, slots for
/// readers, slots used, the longest key, LMDB's flags, bytes of clear pages, and how many there may be.
///
/// # Safety
/// As for [`lumo_lmdb_env_opening`]; `numbers` has room for 9.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_env_info(environment: *mut c_void, numbers: *mut u64) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let environment = unsafe { behind::<Environment>(environment) }?;
        let (info, raw) = (environment.info()?, environment.raw()?);
        let mut flags: c_uint = 0;
        // SAFETY: the environment is open.
        raw.check(unsafe { sys::mdb_env_get_flags(raw.as_ptr(), &mut flags) })?;
        let found = [
            info.map_size as u64,
            info.last_page,
            info.last_txn,
            info.max_readers.into(),
            info.readers.into(),
            info.max_key.into(),
            flags.into(),
            info.cache.bytes as u64,
            info.cache.limit as u64,
        ];
        // SAFETY: as the caller promises.
        unsafe { put(numbers.cast(), found) }
    })
}

/// The numbers of `MDB_stat` of the nameless database: page size, depth, branch, leaf and overflow pages, entries.
///
/// # Safety
/// As for [`lumo_lmdb_env_opening`]; `numbers` has room for 6.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_env_stat(environment: *mut c_void, numbers: *mut u64) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let raw = unsafe { behind::<Environment>(environment) }?.raw()?;
        // SAFETY: the environment is open, and LMDB fills it in; all of it are numbers.
        let stat = unsafe {
            let mut stat = std::mem::zeroed();
            raw.check(sys::mdb_env_stat(raw.as_ptr(), &mut stat))?;
            stat
        };
        // SAFETY: as the caller promises.
        unsafe { put(numbers.cast(), stat_numbers(&stat)) }
    })
}

pub(super) fn stat_numbers(stat: &sys::MDB_stat) -> [u64; 6] {
    [
        stat.ms_psize.into(),
        stat.ms_depth.into(),
        stat.ms_branch_pages as u64,
        stat.ms_leaf_pages as u64,
        stat.ms_overflow_pages as u64,
        stat.ms_entries as u64,
    ]
}

/// Makes everything durable that was committed; without `force` only what the environment's settings let it.
///
/// # Safety
/// As for [`lumo_lmdb_env_opening`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_env_sync(environment: *mut c_void, force: c_int) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let raw = unsafe { behind::<Environment>(environment) }?.raw()?;
        // SAFETY: the environment is open.
        Ok(raw.check(unsafe { sys::mdb_env_sync(raw.as_ptr(), force) })?)
    })
}

/// The most that the environment may grow to in this process. No transaction of this process may be there.
///
/// # Safety
/// As for [`lumo_lmdb_env_opening`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_env_set_mapsize(environment: *mut c_void, bytes: usize) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let raw = unsafe { behind::<Environment>(environment) }?.raw()?;
        // SAFETY: the environment is open.
        Ok(raw.check(unsafe { sys::mdb_env_set_mapsize(raw.as_ptr(), bytes) })?)
    })
}

/// The table of readers, as text.
///
/// # Safety
/// As for [`lumo_lmdb_env_opening`]; `text` is null or a place for a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_env_readers(environment: *mut c_void, text: *mut *mut c_char) -> c_int {
    unsafe extern "C" fn line(text: *const c_char, lines: *mut c_void) -> c_int {
        // SAFETY: LMDB gives a string and what it was given, which is the `String` below.
        unsafe { (*lines.cast::<String>()).push_str(&CStr::from_ptr(text).to_string_lossy()) };
        0
    }
    call(|| {
        // SAFETY: as the caller promises.
        let raw = unsafe { behind::<Environment>(environment) }?.raw()?;
        let mut lines = String::new();
        // SAFETY: the environment is open; `lines` is there meanwhile. The count that comes back is no error.
        let rc = unsafe { sys::mdb_reader_list(raw.as_ptr(), Some(line), (&raw mut lines).cast()) };
        raw.check(rc.min(0))?;
        // SAFETY: as the caller promises.
        unsafe { give(text, &lines) }
    })
}

/// Frees the slots of readers that died, and says how many those were.
///
/// # Safety
/// As for [`lumo_lmdb_env_opening`]; `dead` is a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_env_reader_check(environment: *mut c_void, dead: *mut u32) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        unsafe { put(dead, behind::<Environment>(environment)?.check_readers()?) }
    })
}

/// LMDB's version: three numbers.
///
/// # Safety
/// `numbers` has room for 3.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lmdb_version(numbers: *mut c_int) -> c_int {
    call(|| {
        let mut found: [c_int; 3] = [0; 3];
        let [major, minor, patch] = &mut found;
        // SAFETY: three places for numbers.
        unsafe { sys::mdb_version(major, minor, patch) };
        // SAFETY: as the caller promises.
        unsafe { put(numbers.cast(), found) }
    })
}

/// A number that is another one in a forked child.
#[unsafe(no_mangle)]
pub extern "C" fn lumo_lmdb_generation() -> u32 {
    fork::generation()
}
