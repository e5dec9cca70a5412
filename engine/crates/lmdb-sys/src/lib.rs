//! LMDB 1.0.2 with page encryption that loses nothing: raw bindings.
//!
//! LMDB's functions are linked under the prefix `lumo_`, so a stock LMDB in the same process is another library. What
//! is different is in `edits/`; `docs/decisions/47-lmdb-source.md` says why. With the feature `stock`, [`stock`] is the
//! same source unedited, for tests that must be red there.

#![allow(non_camel_case_types, non_upper_case_globals, missing_docs)]

/// x
pub type mdb_mode_t = libc::mode_t;
pub type mdb_filehandle_t = libc::c_int;

include!(concat!(env!("OUT_DIR"), "/lumo_lmdb.rs"));

/// Authenticates the first bytes of a meta page: writes the MAC if `make`, else returns 0 if it is right.
pub type LumoMacFunc = Option<
    unsafe extern "C" fn(
        context: *mut libc::c_void,
        meta: *const libc::c_void,
        length: usize,
        mac: *mut libc::c_void,
        make: libc::c_int,
    ) -> libc::c_int,
>;

/// What the cache of clear pages holds, and the last page that could not be used.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct LumoCacheInfo {
    /// Bytes of the clear pages.
    pub bytes: usize,
    /// Bytes that they may have, but for those in use.
    pub limit: usize,
    /// Clear pages and extents.
    pub pages: usize,
    /// Pages that were found, once per transaction.
    pub hits: usize,
    /// Pages that were opened.
    pub misses: usize,
    /// How often a page could not be used.
    pub damages: usize,
    /// The last of them.
    pub damaged_pgno: mdb_size_t,
}

unsafe extern "C" {
    /// Lets LMDB's pages begin so many bytes into the file, a multiple of 65536. Before the environment is opened.
    pub fn lumo_mdb_env_set_shift(env: *mut MDB_env, shift: usize) -> libc::c_int;
    /// How many bytes of clear pages are kept, but for those in use. Before the environment is opened.
    pub fn lumo_mdb_env_set_cachesize(env: *mut MDB_env, bytes: usize) -> libc::c_int;
    /// Gives the meta pages a MAC. Before the environment is opened.
    pub fn lumo_mdb_env_set_metamac(
        env: *mut MDB_env,
        mac: LumoMacFunc,
        context: *mut libc::c_void,
        size: libc::c_uint,
    ) -> libc::c_int;
    /// Nothing that the transaction reads from now on goes before it ends, or writes.
    pub fn lumo_mdb_txn_hold(txn: *mut MDB_txn);
    /// The state of the cache.
    pub fn lumo_mdb_env_cacheinfo(env: *mut MDB_env, info: *mut LumoCacheInfo) -> libc::c_int;
}

/// The same source without the edits.
#[cfg(feature = "stock")]
pub mod stock {
    use super::{mdb_filehandle_t, mdb_mode_t};

    include!(concat!(env!("OUT_DIR"), "/stock_lmdb.rs"));
}
