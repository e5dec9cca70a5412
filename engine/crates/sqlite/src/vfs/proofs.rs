//! Keys that connections show which join another one's cache; see [`sharing`](super::sharing).

use super::database::Phase;
use super::given::Origin;
use super::open_file::OpenFile;
use ground::error::{Fault, FaultClass, Result};
use vault::material::Key;
use vault::registry;

/// May a connection use the cache of `open` that joined it without having shown a key, when `known` was the one that the
/// process knew?
pub(super) fn may_join(open: &OpenFile, known: Option<&Key>) -> bool {
    let Some(database) = open.database_ref() else { return true };
    if database.superblock.as_ref().map_or(database.may_stay_plain, |own| !own.suite.is_keyed()) {
        return true;
    }
    match (database.origin, &database.options.key, known) {
        (Origin::Unlocked | Origin::Environment, Some(key), Some(known)) => known.is_same_as(key),
        _ => false,
    }
}

/// `PRAGMA lumo_proof = '<handle>'`: if the handle, with which the connection was to be opened, was not used for that, the
/// connection has joined another one's cache; it is as good as one that opened the file only if the handle opens it.
pub(super) fn proof(open: &mut OpenFile, handle: Option<&[u8]>) -> Result<String> {
    let Some((database, base)) = open.database() else {
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
