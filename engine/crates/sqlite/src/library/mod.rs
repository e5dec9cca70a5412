//! A SQLite library: its structures and functions, calls of its files, and how to talk to its error log.

pub mod abi;
pub mod api;
pub mod calls;
pub mod log_lines;
