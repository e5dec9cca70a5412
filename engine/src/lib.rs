//! The lumocrypt engine: what runs per page, inside SQLite's callbacks, and to unlock a database.
//!
//! Reading order: [`crypto`] (suites, key derivation, randomness), [`format`] (bytes on disk), [`keys`]
//! (who may open what), [`files`] (one module per kind of file, no SQLite), [`vfs`] (SQLite's C interface),
//! [`offline`] (whole files at once), [`capi`] (what Python and SQLite's extension loader call).

pub mod access;
pub mod capi;
pub mod crypto;
pub mod error;
pub mod failure;
pub mod files;
pub mod fork;
pub mod format;
pub mod keys;
pub mod locks;
pub mod offline;
pub mod paths;
pub mod room;
pub mod sabotage;
pub mod stats;
pub mod threads;
pub mod vfs;
