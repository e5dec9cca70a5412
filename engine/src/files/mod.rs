//! The files of a database, one module per kind, over [`storage::Storage`] and free of SQLite.

pub mod disk;
pub mod gosqlite;
pub mod header_region;
pub mod journal;
pub mod main_db;
pub(crate) mod memory;
pub mod outbox;
mod readahead;
pub mod redo;
pub mod storage;
pub mod temp;
pub mod wal;
