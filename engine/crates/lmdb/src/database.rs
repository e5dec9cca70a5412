//! Handles of databases.

use lmdb_sys as sys;

/// A database of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Database {
    pub(crate) dbi: sys::MDB_dbi,
    /// The opening that it belongs to: in another one, the number is another database's.
    pub(crate) opening: u64,
}
