//! The header's bytes: where everything lies and how it is written (`docs/reference/format.md`, section 2).
//!
//! Bytes and MACs, and nothing else: nothing here has a key, derives one or draws one.

pub mod cell;
pub mod cells;
pub mod header;
pub mod keyslot;
pub mod length;
pub mod link;
pub mod mac;
pub mod superblock;
