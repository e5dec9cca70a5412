//! SQLite: its own facts ([`facts`]), what its files are like ([`format`](mod@format), [`files`]), its library ([`library`]), and the VFS ([`vfs`]).

pub mod facts;
pub mod files;
pub mod format;
pub mod library;
pub mod vfs;
