//! The lumocrypt engine: what runs per page, inside SQLite's callbacks, and to unlock a database.
//!
//! Reading order: [`crypto`] (suites and keys' arithmetic), [`format`] (bytes on disk), [`keys`]
//! (who may open what), `files` (one module per kind of file, no SQLite), `vfs` (SQLite's C
//! interface), `offline` (whole files at once), `capi` (what Python calls).

pub mod crypto;
pub mod error;
pub mod format;
pub mod keys;
