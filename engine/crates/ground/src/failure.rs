//! The calling thread's failure record: what a result code cannot carry.
//!
//! A VFS can return only codes. The fault behind the last one is kept per thread, so that a host which
//! knows this library can tell its user which block of which file failed, and why.
//!
//! Not every failure becomes an error that somebody sees: SQLite passes over some, and some are another library's in
//! the same thread. So the record names the library and the connection that it belongs to, and is handed out only for an error that is
//! theirs (`sqlite/src/vfs/blame.rs`).

use std::cell::RefCell;

use crate::error::{Fault, numbered};
use crate::paths;

/// What a connection says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Its last call failed with this code, and this is its message.
    This,
    /// Something else: its last call succeeded, or failed otherwise.
    Otherwise,
    /// It is not known, or has no file of ours open.
    Unknown,
}

thread_local! {
    static LAST: RefCell<Option<Fault>> = const { RefCell::new(None) };
}

/// Keeps `fault` as the calling thread's last failure.
pub fn record(fault: Fault) {
    replace(Some(fault));
}

/// Takes the calling thread's last failure, leaving none.
pub fn take() -> Option<Fault> {
    replace(None)
}

/// A connection is closing: what it failed in is of no interest any more.
pub fn forget_connection(connection: usize) {
    if connection != 0 {
        let last = take().filter(|fault| fault.connection != connection);
        replace(last);
    }
}

/// Forgets the calling thread's last failure: a new operation begins.
pub fn clear() {
    replace(None);
}

/// Never panics: it runs where nothing would catch that. A thread that is being torn down, and may still close
/// its connections, has no record.
fn replace(fault: Option<Fault>) -> Option<Fault> {
    LAST.try_with(|last| last.try_borrow_mut().ok().and_then(|mut last| std::mem::replace(&mut last, fault)))
        .ok()
        .flatten()
}

/// The record as JSON (docs/reference/c-abi.md).
pub fn to_json(fault: &Fault) -> String {
    to_json_with(fault, None)
}

/// The record as JSON, with what its connection says.
pub fn to_json_with(fault: &Fault, says: Option<Says>) -> String {
    let [block, frame, extent] = numbered(fault.kind, fault.number);
    serde_json::json!({
        "class": fault.class as i32,
        "name": fault.class.name(),
        "message": fault.message,
        "path": fault.path.as_deref().map(paths::text),
        "path_hex": fault.path.as_deref().and_then(paths::hex),
        "file_kind": fault.kind.map(|kind| kind.name()),
        "block": block,
        "frame": frame,
        "extent": extent,
        "sqlite_pages": fault.sqlite_pages,
        "code": fault.code,
        "says": says.map(|says| match says {
            Says::This => "this",
            Says::Otherwise => "otherwise",
            Says::Unknown => "unknown",
        }),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{FaultClass, FileKind};
    use serde_json::{Value, json};

    #[test]
    fn a_number_is_named_by_what_its_file_is_sealed_in() {
        for (kind, unit) in [
            (FileKind::MainDb, "block"),
            (FileKind::TempDb, "block"),
            (FileKind::Wal, "frame"),
            (FileKind::MainJournal, "extent"),
            (FileKind::SubJournal, "extent"),
        ] {
            let fault = Fault::new(FaultClass::Tampered, "no").in_file(kind).at_number(7);
            let record: Value = serde_json::from_str(&to_json(&fault)).unwrap();
            for name in ["block", "frame", "extent"] {
                assert_eq!(
                    record[name],
                    if name == unit { json!(7) } else { json!(null) },
                    "{kind:?} {name}"
                );
            }
        }
    }
}
