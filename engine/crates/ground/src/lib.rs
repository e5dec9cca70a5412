//! What every floor of the engine stands on. It knows nothing of keys, formats or SQLite.

pub mod access;
pub mod bytes;
pub mod error;
pub mod failure;
pub mod fork;
pub mod locks;
pub mod memory;
pub mod paths;
pub mod room;
pub mod sabotage;
pub mod stats;
pub mod threads;
