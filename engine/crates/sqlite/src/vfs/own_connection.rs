//! A connection of the engine's own, for work on a database under SQLite's locks from within another connection's call.
//!
//! SQLite's locks belong to its connections: which ones there are to take, and what a crash has left to recover first,
//! is its pager's knowledge. So nothing is locked behind its back; a second connection asks for the lock as any would.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;

use serde_json::Value;

use super::host::Shim;
use crate::library::abi::*;
use ground::error::{Fault, FaultClass, Result};
use ground::failure;
use ground::locks;
use ground::paths;
use vault::commands::Command;
use vault::registry::{self, OpenOptions};

/// Milliseconds to wait for other writers: what Python's `sqlite3` waits by default.
const BUSY_TIMEOUT: c_int = 5000;

/// A connection, closed when dropped.
pub struct OwnConnection {
    shim: &'static Shim,
    connection: *mut sqlite3,
}

/// Carries out `command` in a write transaction of its own on the database at `path`, opened with `options`.
pub fn run(shim: &'static Shim, path: &Path, options: OpenOptions, command: Command) -> Result<()> {
    OwnConnection::open(shim, path, options)?.command(command).map(drop)
}

impl OwnConnection {
    /// Opens the database at `path` through the VFS `shim`.
    pub fn open(shim: &'static Shim, path: &Path, options: OpenOptions) -> Result<OwnConnection> {
        let uri = format!(
            "file:{}?vfs={}&mode=rw&cache=private&lumo_handle={}",
            encoded(paths::bytes(path)),
            encoded(shim.name().as_bytes()),
            registry::issue_handle(options)?
        );
        let uri = CString::new(uri)
            .map_err(|_| Fault::new(FaultClass::InvalidArgument, "a path with a NUL byte"))?;
        let api = shim.host().api;
        let mut own = OwnConnection { shim, connection: std::ptr::null_mut() };
        locks::calls_out();
        // SAFETY: a string, a place for the connection, and the default VFS, which the URI overrides.
        let code = unsafe {
            (api.open_v2)(
                uri.as_ptr(),
                &mut own.connection,
                SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI,
                std::ptr::null(),
            )
        };
        check(code)?;
        // SAFETY: an open connection.
        check(unsafe { (api.busy_timeout)(own.connection, BUSY_TIMEOUT) })?;
        Ok(own)
    }

    /// Carries out `command` in a write transaction of its own, and returns its answer.
    pub fn command(&self, command: Command) -> Result<Value> {
        self.execute("BEGIN IMMEDIATE")?;
        let handle = registry::issue_command(command)?;
        let done = self.query(&format!("PRAGMA lumo_command='{handle}'"));
        // Nothing that SQLite knows of was changed.
        self.execute("ROLLBACK")?;
        serde_json::from_str(&done?)
            .map_err(|_| Fault::new(FaultClass::Internal, "the answer to a command is no JSON"))
    }

    /// Carries out a statement.
    pub fn execute(&self, sql: &str) -> Result<()> {
        self.query(sql).map(drop)
    }

    /// The first column of a statement's last row; empty if there is none.
    fn query(&self, sql: &str) -> Result<String> {
        let sql =
            CString::new(sql).map_err(|_| Fault::new(FaultClass::Internal, "an SQL text with a NUL byte"))?;
        locks::calls_out();
        let mut found = String::new();
        // SAFETY: an open connection, a string, and a callback with the argument that it expects; no message wanted.
        check(unsafe {
            (self.shim.host().api.exec)(
                self.connection,
                sql.as_ptr(),
                Some(keep_first),
                std::ptr::from_mut(&mut found).cast(),
                std::ptr::null_mut(),
            )
        })?;
        Ok(found)
    }
}

/// Keeps a row's first column.
///
/// # Safety
/// As `sqlite3_exec` calls it, with a `String` as `argument`.
unsafe extern "C" fn keep_first(
    argument: *mut c_void,
    columns: c_int,
    values: *mut *mut c_char,
    _names: *mut *mut c_char,
) -> c_int {
    // SAFETY: SQLite's array has as many values as there are columns, and each is null or a string.
    unsafe {
        if columns > 0 && !(*values).is_null() {
            *argument.cast::<String>() = CStr::from_ptr(*values).to_string_lossy().into_owned();
        }
    }
    SQLITE_OK
}

impl Drop for OwnConnection {
    fn drop(&mut self) {
        locks::calls_out();
        // SAFETY: SQLite's connection or null, which closing accepts; it has no statements left.
        unsafe { (self.shim.host().api.close)(self.connection) };
    }
}

/// A failure of SQLite, or of ours below it.
fn check(code: c_int) -> Result<()> {
    match code & 0xff {
        SQLITE_OK => Ok(()),
        SQLITE_BUSY | SQLITE_LOCKED => Err(Fault::new(
            FaultClass::InUse,
            "another connection is writing and does not finish; try again when it has",
        )),
        _ => Err(failure::take().unwrap_or_else(|| {
            Fault::new(FaultClass::Io, format!("SQLite answered with result code {code}")).with_code(code)
        })),
    }
}

/// `text` as it stands in a URI (https://sqlite.org/uri.html): everything but letters, digits and a few signs escaped.
fn encoded(text: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let escape = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    // "file:/a" rather than "file://a", whose first part would be a host's name.
    text.iter().copied().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_signs() {
        assert_eq!(encoded("/tmp/a b?c#d%e&f+é.db".as_bytes()), "/tmp/a%20b%3Fc%23d%25e%26f%2B%C3%A9.db");
        assert_eq!(encoded(b"/tmp/\xe9.db"), "/tmp/%E9.db");
    }
}
