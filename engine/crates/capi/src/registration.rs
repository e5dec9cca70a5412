//! Registering the VFSs in a SQLite library.

use std::ffi::{c_char, c_int};

use super::{call, give, optional_file_name, owned, required};
use crypto::nonce;
use ground::error::Result;
use ground::fork;
use sqlite::library::api::Api;
use sqlite::vfs::host::{self, Host};
use sqlite::vfs::{sharing, shim};

fn describe(host: &Host) -> serde_json::Value {
    serde_json::json!({
        "host": host.id,
        "sqlite_version": host.api.version(),
        "vfs": host.vfs_names(),
    })
}

/// All SQLite libraries registered so far, as a JSON array: how a host that was registered by loading the
/// extension is found.
#[unsafe(no_mangle)]
pub extern "C" fn lumo_hosts() -> *mut c_char {
    fork::watch(nonce::prepare);
    let hosts: Vec<_> = host::hosts().into_iter().map(describe).collect();
    owned(&serde_json::Value::from(hosts).to_string())
}

/// Registers the VFSs in the SQLite that `shared_object` links or holds; null: the process's own symbols.
///
/// # Safety
/// `shared_object` is null or a string; `json` is null or a place for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_register_library(
    shared_object: *const c_char,
    json: *mut *mut c_char,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let path = unsafe { optional_file_name(shared_object) };
        let host = shim::serve(Api::from_library(path)?)?;
        // SAFETY: as the caller promises.
        unsafe { give(json, &describe(host).to_string()) }
    })
}

/// Registers `lumocrypt-<base>` over the VFS called `base_vfs`.
///
/// # Safety
/// `base_vfs` is a string; `vfs_name` is null or a place for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_register_over(
    host: u32,
    base_vfs: *const c_char,
    vfs_name: *mut *mut c_char,
) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let name = host::host(host)?.add_over(unsafe { required(base_vfs) }?)?;
        // SAFETY: as the caller promises.
        unsafe { give(vfs_name, &name) }
    })
}

/// Names a VFS over that of `vfs`, one of ours, on which connections share their caches.
///
/// # Safety
/// As for [`lumo_register_over`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lumo_shared_vfs(host: u32, vfs: *const c_char, vfs_name: *mut *mut c_char) -> c_int {
    call(|| {
        // SAFETY: as the caller promises.
        let name = host::host(host)?.shared_vfs(unsafe { required(vfs) }?)?;
        // SAFETY: as the caller promises.
        unsafe { give(vfs_name, &name) }
    })
}

/// Says whether the calling thread is opening a connection that may join another one's cache, and will prove its key then.
#[unsafe(no_mangle)]
pub extern "C" fn lumo_expect_sharing(expected: c_int) {
    sharing::expect(expected != 0);
}

/// Makes the pass-through VFS the library's default (`on` not zero; 2: strictly), or restores the former default.
#[unsafe(no_mangle)]
pub extern "C" fn lumo_set_default(host: u32, on: c_int) -> c_int {
    call(|| -> Result<()> { host::host(host)?.set_default(on != 0, on == 2) })
}
