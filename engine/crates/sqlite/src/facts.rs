//! What SQLite's files are like, in one place: nothing of this is decided here.

pub use ground::error::DATABASE_MAGIC as MAGIC;
