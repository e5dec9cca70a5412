//! Bytes on disk: where everything lies and how it is written (`docs/reference/format.md`).
//!
//! Nothing in here knows SQLite's interface or touches a file; callers hand over bytes.

#![forbid(unsafe_code)]

pub mod geometry;
pub mod header;
pub mod journal_header;
pub mod preamble;
pub mod redo_header;
pub mod wal_header;
