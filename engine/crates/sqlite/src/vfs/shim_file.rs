//! SQLite's file object.

use super::open_file::OpenFile;
use super::users::Users;
use crate::library::abi::sqlite3_file;

/// What SQLite allocates for us: its own first member, ours, and the file below behind them.
#[repr(C)]
pub struct ShimFile {
    pub(super) head: sqlite3_file,
    pub(super) open: *mut OpenFile,
    pub(super) users: Users,
}
