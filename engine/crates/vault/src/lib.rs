//! Who may open what: key material, unlocking, and what the process remembers.

#![forbid(unsafe_code)]

pub mod cache;
pub mod commands;
pub mod create;
pub mod draft;
pub mod file_keys;
pub mod format;
pub mod header;
mod keyslots;
pub mod limits;
pub mod links;
pub mod material;
pub mod options;
pub mod recent;
pub mod registry;
pub mod rekey;
pub mod slots;
pub mod unlock;
pub mod unlocked;
