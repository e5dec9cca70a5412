//! SQLite's shared caches: connections that read each other's pages, and of which only the first opens the file.
//!
//! No other one is seen by `xOpen`, so that a key that it brings never arrives, and it needs none. So a database whose key
//! a connection showed for itself is on such a cache only where every connection proves its key: on VFSs whose names
//! nobody knows but `lumocrypt.connect`, which has each of its connections run `PRAGMA lumo_proof`. Where the process knows
//! the key (`lumocrypt.unlock`, `LUMO_KEY`), everybody in it might have opened the file.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use super::database::Phase;
use super::file::{Content, OpenFile};
use super::given::{self, Origin};
use crate::error::{Fault, FaultClass, Result};
use crate::keys::registry::{self, OpenOptions};

/// Who uses the cache of a main database.
#[derive(Default)]
pub(super) struct Sharing {
    /// Its first connection is known.
    known: bool,
    /// Another one joined without having shown a key. Nobody is served from then on: which connection is which, a file
    /// is not told.
    strangers: AtomicBool,
}

impl Sharing {
    /// May its connections go on?
    pub(super) fn check(&self) -> Result<()> {
        if self.strangers.load(Ordering::Acquire) {
            return Err(Fault::new(
                FaultClass::KeyRequired,
                "another connection has joined the cache of this one without having shown the key, so that neither is \
                 served; open the database anew, with cache=private or lumocrypt.connect",
            ));
        }
        Ok(())
    }
}

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

/// SQLite says whose database this is: once for each connection that uses its cache. Whether the one it says it of is kept
/// out.
pub(super) fn somebody_joined(open: &mut OpenFile) -> bool {
    if !std::mem::replace(&mut open.sharing.known, true) || (open.shim.shared && is_expected()) {
        return false;
    }
    let Content::Main(database) = &open.content else { return false };
    let needs_none =
        database.superblock.as_ref().map_or(database.may_stay_plain, |own| !own.suite.is_keyed());
    let opened_anyway = || match (database.origin, &database.options.key) {
        (Origin::Unlocked | Origin::Environment, Some(key)) => {
            given::complete(OpenOptions::default(), &database.path, None)
                .is_ok_and(|given| given.open.key.is_some_and(|known| known.is_same_as(key)))
        }
        _ => false,
    };
    if needs_none || opened_anyway() {
        return false;
    }
    open.sharing.strangers.store(true, Ordering::Release);
    true
}

/// `PRAGMA lumo_proof = '<handle>'`: if the handle, with which the connection was to be opened, was not used for that, the
/// connection has joined another one's cache; it is as good as one that opened the file only if the handle opens it.
pub(super) fn proof(open: &mut OpenFile, handle: Option<&[u8]>) -> Result<String> {
    let OpenFile { content: Content::Main(database), base, .. } = open else {
        return Err(Fault::new(
            FaultClass::NotEncrypted,
            "this database is plaintext: there is no key to show",
        ));
    };
    let options = handle.and_then(|handle| std::str::from_utf8(handle).ok()).and_then(registry::take_handle);
    match options {
        Some(options) => database.prove(base, options)?,
        // It opened the file, and so decides what others find.
        None if matches!(database.phase, Phase::Locked) => database.ready().map(|_| ())?,
        None => {}
    }
    Ok("ok".to_owned())
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
