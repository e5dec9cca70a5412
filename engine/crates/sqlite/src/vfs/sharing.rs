//! SQLite's shared caches: connections that read each other's pages, and of which only the first opens the file.
//!
//! No other one is seen by `xOpen`, so that a key that it brings never arrives, and it needs none. So a database whose key
//! a connection showed for itself is on such a cache only where every connection proves its key: on VFSs whose names
//! nobody knows but `lumocrypt.connect`, which has each of its connections run `PRAGMA lumo_proof`. Where the process knows
//! the key (`lumocrypt.unlock`, `LUMO_KEY`), everybody in it might have opened the file.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use super::given;
use ground::error::{Fault, FaultClass};
use vault::material::Key;
use vault::registry::OpenOptions;

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// This thread is opening a connection that may join a cache and will prove its key then, or is done with that.
pub fn expect(expected: bool) {
    let _ = EXPECTED.try_with(|cell| cell.set(expected));
}

/// Is this thread doing that?
pub fn is_expected() -> bool {
    EXPECTED.try_with(Cell::get).unwrap_or(false)
}

/// The key with which a connection that joins a cache now, and showed none, could have opened the file at `path`.
pub(super) fn known_key(path: &Path) -> Option<Arc<Key>> {
    given::complete(OpenOptions::default(), path, None).ok().and_then(|given| given.open.key)
}

/// The fault for all connections of a cache that one joined without a key. Nobody is served from then on: which
/// connection is which, a file is not told.
pub(super) fn joined() -> Fault {
    Fault::new(
        FaultClass::KeyRequired,
        "another connection has joined the cache of this one without having shown the key, so that neither is served; \
         open the database anew, with cache=private or lumocrypt.connect",
    )
}

/// The fault for an ATTACH that could join a cache, where nobody would ask it for a key.
pub(super) fn joining() -> Fault {
    Fault::new(
        FaultClass::KeyRequired,
        "the database is open in a shared cache, which SQL cannot join because SQLite asks it for no key; use \
         lumocrypt.attach with the key",
    )
}

/// The fault for a key that would open a cache that others may share.
pub(super) fn refused() -> Fault {
    Fault::new(
        FaultClass::InUse,
        "with cache=shared SQLite lets others use this connection's cache without asking them for a key; use \
         lumocrypt.connect, which asks every one, or cache=private",
    )
}
