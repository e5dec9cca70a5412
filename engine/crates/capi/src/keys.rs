//! Keys, handles and unlocked paths, as `docs/reference/c-abi.md` describes them.

use std::ffi::{c_char, c_int};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::{call, file_name, give, owned, text};
use crypto::kdf::{Argon2Cost, argon2id};
use ground::error::{Fault, FaultClass, Result};
use sqlite::format::header;
use sqlite::vfs::probe;
use vault::cache;
use vault::material::Key;
use vault::registry::{self, OpenOptions};
use vault::{unlock, unlocked};

/// Stores a passphrase: not empty, no NUL, valid UTF-8.
///
/// # Safety
/// `utf8` points to `n` readable bytes or is null with `n` 0; `key` is null or points to a writable number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_key_passphrase(utf8: *const u8, n: usize, key: *mut u64) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { new_key(key, || Key::passphrase(bytes(utf8, n)?)) }
}

/// Stores a raw key of 32 bytes.
///
/// # Safety
/// As [`lumo_key_passphrase`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_key_raw(raw: *const u8, n: usize, key: *mut u64) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { new_key(key, || Key::raw(bytes(raw, n)?)) }
}

/// Stores a key from its text form: `x'<64 hex>'` is raw, anything else a passphrase.
///
/// # Safety
/// As [`lumo_key_passphrase`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_key_parse(text: *const u8, n: usize, key: *mut u64) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { new_key(key, || Key::parse(bytes(text, n)?)) }
}

/// Stores a raw key from the system's random number generator.
///
/// # Safety
/// `key` is null or points to a writable number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_key_random(key: *mut u64) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { new_key(key, Key::random) }
}

/// Gives up a key. It is wiped as soon as no connection holds it any more. Unknown numbers are ignored.
#[unsafe(no_mangle)]
pub extern "C" fn lumo_key_free(key: u64) {
    // Wiping cannot panic; if it did, there would be nobody to tell.
    let _ = catch_unwind(|| registry::drop_key(key));
}

/// The shortest salt of [`lumo_derive_key`], in bytes: RFC 9106 recommends 16 (section 3.1).
const MIN_SALT: usize = 16;

/// Derives a key for the gosqlite format: Argon2id with 3 passes, 64 MiB and 4 lanes, into the 32 or 64 bytes of `key`.
///
/// # Safety
/// `passphrase` and `salt` point to as many readable bytes as said, `key` to `key_len` writable ones.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_derive_key(
    passphrase: *const u8,
    passphrase_len: usize,
    salt: *const u8,
    salt_len: usize,
    key: *mut u8,
    key_len: usize,
) -> c_int {
    call(|| {
        // SAFETY: passed on from the caller.
        let (passphrase, salt) = unsafe { (bytes(passphrase, passphrase_len)?, bytes(salt, salt_len)?) };
        if passphrase.is_empty() {
            return Err(Fault::new(FaultClass::InvalidArgument, "the passphrase is empty; give one"));
        }
        if salt.len() < MIN_SALT {
            let message = format!("a salt of {} bytes is too short; use {MIN_SALT} random ones", salt.len());
            return Err(Fault::new(FaultClass::InvalidArgument, message));
        }
        if key.is_null() {
            return Err(null_result());
        }
        // SAFETY: passed on from the caller.
        let out = unsafe { std::slice::from_raw_parts_mut(key, key_len) };
        match out.len() {
            32 => out.copy_from_slice(argon2id::<32>(passphrase, salt, Argon2Cost::INTERACTIVE)?.expose()),
            64 => out.copy_from_slice(argon2id::<64>(passphrase, salt, Argon2Cost::INTERACTIVE)?.expose()),
            _ => return Err(Fault::new(FaultClass::InvalidArgument, "a derived key has 32 or 64 bytes")),
        }
        Ok(())
    })
}

/// Makes a single-use handle for an open; `key` 0 means options only.
///
/// # Safety
/// `options` is null or a C string; `handle` is null or points to a writable pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_handle_new(
    key: u64,
    options: *const c_char,
    handle: *mut *mut c_char,
) -> c_int {
    call(|| {
        // SAFETY: passed on from the caller.
        let handle = unsafe { handle.as_mut() }.ok_or_else(null_result)?;
        *handle = std::ptr::null_mut();
        // SAFETY: passed on from the caller.
        let mut options = unsafe { options_from(options) }?;
        options.key = if key == 0 { None } else { Some(stored_key(key)?) };
        *handle = owned(&registry::issue_handle(options)?);
        Ok(())
    })
}

/// Lets every later open of `path` in this process use `key`; 0: the one that it uses already, for the database that is
/// there now. If the file exists, the key is checked.
///
/// # Safety
/// `path` is a C string, `options` is null or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_unlock(path: *const c_char, key: u64, options: *const c_char) -> c_int {
    call(|| {
        // SAFETY: passed on from the caller.
        let (name, path, mut options) =
            unsafe { (file_name(path)?, path_from(path)?, options_from(options)?) };
        let key = match key {
            0 => known_at(name, &path, &mut options)?,
            key => stored_key(key)?,
        };
        // Through SQLite's VFS: a descriptor of our own would, on closing, drop the process's locks.
        let uuid = match probe::read_header(&path)? {
            Some(region) => {
                let header = header::parse(&region).map_err(|fault| fault.at_path(&path))?;
                Some(unlock::unlock_as(&header, Some(&key), &options, &path)?.1.uuid)
            }
            None => options.uuid,
        };
        options.key = Some(key);
        unlocked::insert(name, options, uuid);
        Ok(())
    })
}

/// The key that a path was unlocked with, whose other options go to `options`.
fn known_at(name: &Path, path: &Path, options: &mut OpenOptions) -> Result<Arc<Key>> {
    let known = unlocked::find(path, Some(name));
    *options = known.map(|known| known.options).unwrap_or_default();
    options.uuid = None;
    let none =
        || Fault::new(FaultClass::InvalidArgument, "the path is not unlocked, so there is no key for it");
    options.key.clone().ok_or_else(none)
}

/// Takes back [`lumo_unlock`] and forgets the file's data key. Open connections stay open.
///
/// # Safety
/// `path` is a C string; `was_unlocked` is null or points to a writable number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_lock(path: *const c_char, was_unlocked: *mut c_int) -> c_int {
    call(|| {
        // SAFETY: passed on from the caller.
        let (name, path) = unsafe { (file_name(path)?, path_from(path)?) };
        let was = unlocked::remove(name);
        match probe::read_header(&path).map(|region| region.map(|region| header::parse(&region))) {
            Ok(Some(Ok(header))) => header.newest().into_iter().for_each(|copy| cache::forget(&copy.uuid)),
            // Whose data key it was cannot be told any more, so all go; that costs others one derivation.
            _ => cache::forget_all(),
        }
        // SAFETY: passed on from the caller.
        if let Some(was_unlocked) = unsafe { was_unlocked.as_mut() } {
            *was_unlocked = c_int::from(was);
        }
        Ok(())
    })
}

/// What `path` was unlocked with: a number for its key, 0 if it is not unlocked, and what else is known as JSON.
///
/// # Safety
/// `path` is a C string; `key` and `json` are null or places for results.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_unlocked(path: *const c_char, key: *mut u64, json: *mut *mut c_char) -> c_int {
    call(|| {
        // SAFETY: passed on from the caller.
        let (name, path, number) =
            unsafe { (file_name(path)?, path_from(path)?, key.as_mut().ok_or_else(null_result)?) };
        *number = 0;
        let Some(known) = unlocked::find(&path, Some(name)) else { return Ok(()) };
        let Some(kept) = known.options.key else { return Ok(()) };
        let kind = if matches!(*kept, Key::Raw(_)) { "raw" } else { "passphrase" };
        let uuid = known.uuid.as_ref().map(unlock::dashed);
        *number = registry::store_key(kept);
        // SAFETY: passed on from the caller.
        unsafe { give(json, &json!({"kind": kind, "uuid": uuid}).to_string()) }
    })
}

/// Makes a key, stores it and hands out its number.
///
/// # Safety
/// `number` is null or points to a writable number.
unsafe fn new_key(number: *mut u64, make: impl FnOnce() -> Result<Key>) -> c_int {
    call(|| {
        // SAFETY: passed on from the caller.
        let number = unsafe { number.as_mut() }.ok_or_else(null_result)?;
        *number = 0;
        *number = registry::store_key(Arc::new(make()?));
        Ok(())
    })
}

fn stored_key(number: u64) -> Result<Arc<Key>> {
    registry::get_key(number).ok_or_else(|| {
        Fault::new(FaultClass::InvalidArgument, "there is no such key; it may have been freed")
    })
}

/// # Safety
/// `start` points to `n` readable bytes or is null; they stay so while the result is used.
unsafe fn bytes<'a>(start: *const u8, n: usize) -> Result<&'a [u8]> {
    match (start.is_null(), n) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Fault::new(FaultClass::InvalidArgument, "the key's bytes are missing")),
        // SAFETY: passed on from the caller.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(start, n) }),
    }
}

/// The one name of the file that is meant.
///
/// # Safety
/// `path` is null or a C string.
unsafe fn path_from(path: *const c_char) -> Result<PathBuf> {
    // SAFETY: passed on from the caller.
    match unsafe { file_name(path) }? {
        path if path.as_os_str().is_empty() => {
            Err(Fault::new(FaultClass::InvalidArgument, "the path is empty"))
        }
        path => Ok(registry::canonical(path)),
    }
}

/// # Safety
/// `options` is null or a C string.
unsafe fn options_from(options: *const c_char) -> Result<OpenOptions> {
    // SAFETY: passed on from the caller.
    OpenOptions::from_json(unsafe { text(options) }?.unwrap_or("null"))
}

fn null_result() -> Fault {
    Fault::new(FaultClass::InvalidArgument, "there is no place for the result")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::nonce;
    use ground::failure;
    use std::ffi::CString;
    use std::ptr::{null, null_mut};

    fn failure_class() -> Option<FaultClass> {
        failure::take().map(|fault| fault.class)
    }

    #[test]
    fn keys_come_and_go() {
        let mut key = 7;
        // SAFETY: the pointers are valid for the lengths given.
        unsafe {
            assert_eq!(lumo_key_passphrase(b"p".as_ptr(), 1, &mut key), 0);
            assert!(matches!(*registry::get_key(key).unwrap(), Key::Passphrase(_)));
            lumo_key_free(key);
            assert!(registry::get_key(key).is_none());
            assert_eq!(lumo_key_raw([1; 32].as_ptr(), 32, &mut key), 0);
            assert_eq!(lumo_key_random(&mut key), 0);
            assert!(matches!(*registry::get_key(key).unwrap(), Key::Raw(_)));
            assert_eq!(lumo_key_parse(b"x'00'".as_ptr(), 5, &mut key), 8);
        }
        assert_eq!(key, 0);
        assert_eq!(failure_class(), Some(FaultClass::InvalidArgument));
        lumo_key_free(0);
    }

    #[test]
    fn null_pointers_are_refused() {
        let mut key = 0;
        // SAFETY: null is allowed everywhere here.
        unsafe {
            assert_eq!(lumo_key_passphrase(null(), 0, &mut key), 8);
            assert_eq!(lumo_key_passphrase(null(), 3, &mut key), 8);
            assert_eq!(lumo_key_random(null_mut()), 8);
            assert_eq!(lumo_handle_new(0, null(), null_mut()), 8);
            assert_eq!(lumo_unlock(null(), 1, null()), 8);
            assert_eq!(lumo_lock(null(), null_mut()), 8);
        }
        assert_eq!(failure_class(), Some(FaultClass::InvalidArgument));
    }

    #[test]
    fn a_handle_carries_key_and_options_once() {
        let (mut key, mut handle) = (0, null_mut());
        // SAFETY: the pointers are valid; the handle is freed as `lumo_string_free` would.
        let handle = unsafe {
            assert_eq!(lumo_key_random(&mut key), 0);
            assert_eq!(lumo_handle_new(key, c"{\"block_size\": 512}".as_ptr(), &mut handle), 0);
            CString::from_raw(handle).into_string().unwrap()
        };
        lumo_key_free(key);
        let options = registry::take_handle(&handle).unwrap();
        assert!(options.key.is_some());
        assert_eq!(options.block_size, Some(512));
        assert!(registry::take_handle(&handle).is_none());
    }

    #[test]
    fn a_handle_needs_sound_options_and_a_key_that_exists() {
        let mut handle = null_mut();
        // SAFETY: the pointers are valid.
        unsafe {
            assert_eq!(lumo_handle_new(0, c"{\"colour\": 1}".as_ptr(), &mut handle), 8);
            assert_eq!(lumo_handle_new(u64::MAX, null(), &mut handle), 8);
            assert_eq!(lumo_handle_new(0, c"\xff".as_ptr(), &mut handle), 8);
        }
        assert!(handle.is_null());
    }

    #[test]
    fn a_panic_in_an_exported_function_is_a_class() {
        let mut key = 0;
        nonce::panic_rng_for_tests();
        // SAFETY: a place for the number.
        let class = unsafe { lumo_key_random(&mut key) };
        nonce::fail_rng_for_tests(false);
        assert_eq!((class, key), (FaultClass::Internal as c_int, 0));
        assert_eq!(failure::take().unwrap().class, FaultClass::Internal);
    }
}
