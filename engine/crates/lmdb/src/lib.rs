//! Encrypted LMDB environments.
//!
//! Reading order: [`cipher`] (what LMDB's callbacks do with a page), [`options`], `opening` (one per file and
//! process), [`environment`], [`transaction`], [`cursor`], [`copy`] (compacting, also under a new key). LMDB itself, with its edits, is
//! `lumocrypt-lmdb-sys`.
//!
//! Every environment is mapped in chunks (`MDB_REMAP_CHUNKS`): nothing is reserved, so the map's size is no worry.
//! Every page is sealed, or has a checksum; every meta page has a MAC. Why things are as they are is in
//! `docs/decisions`, from `47-lmdb-source.md` on.

pub mod cipher;
pub mod copy;
pub mod cursor;
pub mod database;
pub mod environment;
pub mod error;
mod opening;
pub mod options;
pub mod raw;
pub mod transaction;

pub use lmdb_sys as sys;

pub use cipher::{Identity, Protection};
pub use cursor::{Cursor, Step, WriteCursor};
pub use database::Database;
pub use environment::{Environment, Info};
pub use error::{Error, Result};
pub use options::{DatabaseFlags, Durability, Options};
pub use transaction::{Put, ReadTxn, Txn, WriteTxn};
