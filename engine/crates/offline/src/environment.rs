//! Encrypted LMDB environments, looked at without LMDB: whatever is in the file, this ends, and says what is wrong.
//!
//! Reading order: `region` (header and meta pages), `node` (what is in a page), `pages` (a page out of the file),
//! `walk` (every tree), `findings`, `check` (all of it);
//! `edit` (keyslots), `restore` (a header out of a copy).

mod check;
mod edit;
mod findings;
mod node;
mod pages;
mod region;
mod restore;
mod walk;

pub use check::verify;
pub use edit::edit;
pub use region::is_environment;
pub use restore::{is_header, restore};

#[cfg(test)]
mod tests;
