//! The calling thread's failure record: what a result code cannot carry.
//!
//! A VFS can return only codes. The fault behind the last one is kept per thread, so that a host which
//! knows this library can tell its user which page of which file failed, and why.

use std::cell::RefCell;

use crate::error::Fault;

thread_local! {
    static LAST: RefCell<Option<Fault>> = const { RefCell::new(None) };
}

/// Keeps `fault` as the calling thread's last failure.
pub fn record(fault: Fault) {
    LAST.with(|last| *last.borrow_mut() = Some(fault));
}

/// Takes the calling thread's last failure, leaving none.
pub fn take() -> Option<Fault> {
    LAST.with(|last| last.borrow_mut().take())
}

/// Forgets the calling thread's last failure: a new operation begins.
pub fn clear() {
    // A thread that is being torn down has no record to clear.
    let _ = LAST.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            *last = None;
        }
    });
}

/// The record as JSON (docs/c-abi.md).
pub fn to_json(fault: &Fault) -> String {
    serde_json::json!({
        "class": fault.class as i32,
        "name": fault.class.name(),
        "message": fault.message,
        "path": fault.path,
        "file_kind": fault.kind.map(|kind| kind.name()),
        "page": fault.page,
        "code": fault.code,
    })
    .to_string()
}
