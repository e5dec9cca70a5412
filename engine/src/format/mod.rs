//! Bytes on disk: where everything lies and how it is written (`docs/reference/format.md`).
//!
//! Nothing in here knows SQLite's interface or touches a file; callers hand over bytes.

pub(crate) mod bytes;
pub mod cell;
pub mod cells;
pub mod geometry;
pub mod header;
pub mod journal_header;
pub mod keyslot;
pub mod length;
pub mod preamble;
pub mod recent;
pub mod redo_header;
pub mod rekey;
pub mod superblock;
pub mod wal_header;

#[cfg(test)]
pub(crate) mod testing;
