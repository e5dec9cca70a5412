//! The files of a database, one module per kind, over [`storage::Storage`] and free of SQLite's interface.

#![forbid(unsafe_code)]

pub mod header_region;
pub mod journal;
pub mod main_db;
pub mod redo;
pub mod temp;
pub mod wal;
