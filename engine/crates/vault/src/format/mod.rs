//! The header's bytes: where everything lies and how it is written (`docs/format.md`, section 2).

pub mod cell;
pub mod cells;
pub mod header;
pub mod keyslot;
pub mod length;
pub mod link;
pub mod superblock;
